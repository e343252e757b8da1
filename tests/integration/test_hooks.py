# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a release runs at points of its way: webhooks, Jobs and task files."""

from __future__ import annotations

import base64
import json
import pathlib
import socket
import typing as t

import pytest
import yaml

from ansible_collections.cutover.bluegreen.tests.integration.support.analysis import (
    Jobs,
    job_metric,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
    Kube,
    resource_path,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.playbook import Run
from ansible_collections.cutover.bluegreen.tests.integration.support.release import (
    ACTIVE,
    NAME,
    Path,
    Release,
    message,
    rollout_of,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.waiting import (
    eventually,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.http_server import (
    Hang,
    HttpServer,
)

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples" / "hooks"
# Longer than any test.
LONG = 600
SECRET = "T0SECRET/B0SECRET/hunter2hunter2"


@pytest.fixture
def server() -> t.Iterator[HttpServer]:
    with HttpServer() as made:
        yield made


def hook(name: str, at: str, url: str = "", **changes: t.Any) -> dict[str, t.Any]:
    webhook = {"webhook": {"url": url}} if url else {}
    return {"name": name, "at": at, **webhook, **changes}


def job(name: str, at: str, **steering: str) -> dict[str, t.Any]:
    return {"name": name, "at": at, **job_metric(name, **steering)["provider"]}


def hooks_of(release: Release) -> dict[str, t.Any]:
    return t.cast("dict[str, t.Any]", release.details().get("hooks", {}))


def version_of(release: Release) -> str:
    """What each write of the record changes."""
    return str(release.kube.get(release.record_path)["metadata"]["resourceVersion"])


def asked(server: HttpServer, path: str) -> list[dict[str, t.Any]]:
    """The bodies of the requests to a path, oldest first."""
    return [r.json() for r in list(server.requests) if r.path == path]


def add_secret(kube: Kube, namespace: str, name: str, value: str) -> None:
    kube.create(
        resource_path("secrets", namespace),
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name},
            "data": {"url": base64.b64encode(value.encode()).decode()},
        },
    )


def tells_nothing(run: Run, release: Release) -> None:
    """Invariant 9."""
    shown = [run.stdout, run.stderr, json.dumps(release.record())]
    events = release.kube.list(resource_path("events", release.namespace))
    shown += [json.dumps([e["message"] for e in events])]
    assert not [text for text in shown if "hunter2" in text or "B0SECRET" in text]


def test_webhooks_hear_of_each_point_in_order(
    kube: Kube, namespace: str, release: Release, server: HttpServer
) -> None:
    """Invariants 4, 8 and 9: and what is not yet, comes later."""
    add_secret(kube, namespace, "chat", f"{server.url}/{SECRET}")
    server.reply("ok", path=f"/{SECRET}")
    server.reply("wait", status=202, headers={"Retry-After": "1"})
    server.reply("busy", status=429, headers={"Retry-After": "1"})
    server.reply({"done": True})
    hidden = {"url_secret": {"name": "chat", "key": "url"}, "body": {"channel": "ops"}}
    hooks = [
        hook("second", "before promoted", f"{server.url}/later"),
        {"name": "first", "at": "after created", "webhook": hidden},
    ]
    release.deploy("1").check()
    run = release.deploy("2", hooks=hooks).check()
    assert release.directed_to(ACTIVE) == 2
    assert [r.path for r in server.requests] == [f"/{SECRET}", *["/later"] * 3]
    first, *later = [r.json() for r in server.requests]
    assert first["channel"] == "ops"
    assert (first["rollout"], first["namespace"]) == (NAME, namespace)
    assert (first["hook"], first["at"]) == ("first", "after created")
    assert first["revision"] == {"number": 2, "hash": release.hash_of(2)}
    assert first["active"]["number"] == first["stable"]["number"] == 1
    # Asked again it is the same request: a server may tell by its id.
    assert len({json.dumps(body, sort_keys=True) for body in later}) == 1
    assert later[0]["attempt"] == 1
    found = rollout_of(run)["hooks"]
    assert {name: h["phase"] for name, h in found.items()} == {
        "first": "Successful",
        "second": "Successful",
    }
    assert "it answered 200" in found["second"]["message"]
    assert release.events().count("HookSucceeded") == 2
    tells_nothing(run, release)
    status = release.run("status").check()
    assert "hook first (after created) Successful" in status.stdout
    before = version_of(release)
    again = release.deploy("2", hooks=hooks).check()
    assert again.changed is False
    assert version_of(release) == before
    assert len(server.requests) == 4


def test_a_refusal_aborts_and_users_stay(
    kube: Kube, namespace: str, release: Release, server: HttpServer
) -> None:
    """Invariants 3 and 9: also where the server's answer holds the secret."""
    add_secret(kube, namespace, "chat", f"{server.url}/{SECRET}")
    server.reply(f"no, {SECRET}", status=400, path=f"/{SECRET}")
    server.reply(path="/failed")
    hidden = {"url_secret": {"name": "chat", "key": "url"}}
    hooks = [
        {"name": "gate", "at": "after previewed", "retries": 3, "webhook": hidden},
        hook("failed", "on failure", f"{server.url}/failed"),
        hook("aborted", "on abort", f"{server.url}/failed"),
    ]
    release.deploy("1").check()
    run = release.deploy("2", hooks=hooks)
    assert "hook gate (after previewed): it answered 400" in message(run)
    assert release.directed_to(ACTIVE) == 1
    assert release.aborted(2)
    assert len(asked(server, f"/{SECRET}")) == 1
    told = asked(server, "/failed")
    assert [body["at"] for body in told] == ["on failure", "on abort"]
    assert told[0]["stage"] == "stable"
    assert told[0]["revision"]["number"] == 2
    assert release.events().count("HookFailed") == 1
    tells_nothing(run, release)


def test_no_answer_is_tried_again_or_only_said(
    release: Release, server: HttpServer
) -> None:
    """A server that is broken, one that hangs, and one that is not there."""
    server.reply("boom", status=500)
    server.reply("ok")
    server.reply(Hang(), path="/hang")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        hooks = [
            hook("broken", "after created", f"{server.url}/broken", retries=1),
            hook("gone", "after created", nobody, on_failure="ignore"),
            hook(
                "hangs",
                "before promoted",
                f"{server.url}/hang",
                timeout_seconds=1,
                on_failure="hold",
            ),
        ]
        release.deploy("1").check()
        run = release.deploy("2", hooks=hooks)
    assert "did not pass its hook hangs (before promoted)" in message(run)
    assert [body["attempt"] for body in asked(server, "/broken")] == [1, 2]
    assert len({body["id"] for body in asked(server, "/broken")}) == 1
    found = rollout_of(run)["hooks"]
    assert found["broken"]["attempts"] == 2
    assert "cannot be reached" in found["gone"]["message"]
    assert "cut off after 1 s" in found["hangs"]["message"]
    assert "hook gone (after created) failed" in run.stderr
    assert release.directed_to(ACTIVE) == 1
    assert release.sizes()[2] == 2
    assert "is held where it is" in message(release.run("resume"))
    release.run("promote").check()
    assert release.directed_to(ACTIVE) == 2


def test_a_job_runs_before_the_revision_exists(
    kube: Kube, namespace: str, release: Release
) -> None:
    """Invariant 5: killed while it runs, the next run waits for the very same Job."""
    seen = Jobs(kube, namespace)
    hooks = [
        job("expand", "before created", runs_for="4s"),
        job("contract", "after verified", exit_code="3", last_words="no such table"),
    ]
    release.deploy("1").check()
    handle = release.start_deploy("2", hooks=hooks)
    eventually(lambda: bool(seen.seen), 60, "the Job")
    assert sorted(release.sizes()) == [1]
    handle.kill_tree()
    run = release.deploy("2", hooks=hooks).check()
    names = [j["metadata"]["name"] for j in seen.seen]
    assert [n.rpartition(".")[0].rpartition(".")[2] for n in names] == [
        "expand",
        "contract",
    ]
    found = rollout_of(run)["hooks"]
    assert found["expand"]["phase"] == "Successful"
    # Nothing can be aborted any more.
    assert found["contract"]["phase"] == "Failed"
    assert "exit code 3: no such table" in found["contract"]["message"]
    assert release.directed_to(ACTIVE) == 2
    seen.stop()


def test_a_superseded_release_leaves_no_job(
    kube: Kube, namespace: str, release: Release
) -> None:
    """Also where it left no Deployment that would tell what it ran."""
    release.deploy("1").check()
    hooks = [job("expand", "before created", runs_for=f"{LONG}s")]
    handle = release.start_deploy("2", hooks=hooks)
    jobs = resource_path("jobs", namespace)
    eventually(lambda: kube.list(jobs), 60, "the Job")
    handle.kill_tree()
    assert sorted(release.sizes()) == [1]
    run = release.deploy("3").check()
    assert kube.list(jobs) == []
    assert release.directed_to(ACTIVE) == max(release.sizes())
    assert rollout_of(run)["phase"] == "Healthy"


def test_task_files_of_the_examples(
    kube: Kube, namespace: str, release: Release, server: HttpServer
) -> None:
    """Everything in examples/hooks, and the way back that it closes."""
    add_secret(kube, namespace, "chat", f"{server.url}/{SECRET}")
    server.reply("ok", path=f"/{SECRET}")
    server.reply("ok", path="/health")
    hooks = yaml.safe_load((EXAMPLES / "hooks.yml").read_text())["bluegreen_hooks"]
    for each in hooks:
        if "tasks" in each:
            each["tasks"] = str(EXAMPLES / each["tasks"])
    smoke = ["-e", f"smoke_url={server.url}/health"]
    release.deploy("1").check()
    run = release.deploy("2", hooks=hooks, args=smoke).check()
    assert release.directed_to(ACTIVE) == 2
    assert rollout_of(run)["phase"] == "Healthy"
    paths = [r.path for r in server.requests]
    assert paths == ["/health", f"/{SECRET}"]
    assert {h["phase"] for h in hooks_of(release).values() if not _waits(h)} == {
        "Successful"
    }
    tells_nothing(run, release)
    assert "before revision 2" in message(release.run("rollback"))
    assert release.directed_to(ACTIVE) == 2
    release.run("rollback", past_no_return=True).check()
    # Released again, the first one has a new number.
    assert release.directed_to(ACTIVE) == 3


def _waits(state: t.Mapping[str, t.Any]) -> bool:
    return str(state["at"]) in ("on pause", "on failure")


def test_a_task_file_fails_and_a_killed_one_is_taken_up(
    release: Release, server: HttpServer, tmp_path: pathlib.Path
) -> None:
    """Invariant 5: what has succeeded is not repeated by the run that takes over."""
    uri = {"url": f"{server.url}/made", "method": "POST"}
    made = tmp_path / "made.yml"
    made.write_text(json.dumps([{"ansible.builtin.uri": uri}]))
    slow = tmp_path / "slow.yml"
    wait = {"ansible.builtin.pause": {"seconds": LONG}}
    slow.write_text(json.dumps([wait]))
    server.reply("ok", path="/made")
    hooks = [
        {"name": "made", "at": "before created", "tasks": str(made)},
        {"name": "slow", "at": "after previewed", "tasks": str(slow)},
    ]
    release.deploy("1").check()
    handle = release.start_deploy("2", hooks=hooks)

    def begun() -> bool:
        return hooks_of(release).get("slow", {}).get("phase") == "Running"

    eventually(begun, 150, "the second task file")
    handle.kill_tree()
    fails = {"ansible.builtin.fail": {"msg": "the page is empty"}, "name": "Look"}
    slow.write_text(json.dumps([fails]))
    run = release.run("resume")
    assert "hook slow (after previewed): Look: the page is empty" in message(run)
    assert release.directed_to(ACTIVE) == 1
    assert release.aborted(2)
    assert len(server.requests) == 1


def test_bad_input_and_check_mode_write_nothing(
    release: Release, server: HttpServer, path: Path
) -> None:
    """Invariant 4: both ways into the collection."""
    release.path = path
    release.deploy("1").check()
    before = version_of(release)
    for hooks, says in (
        ([hook("a", "before lunch", "http://a/")], "bluegreen_hooks[0] (a): at is"),
        (
            [{"name": "a", "at": "on pause", "tasks": "no-such.yml"}],
            "no-such.yml was not found; searched",
        ),
        (
            [
                {
                    "name": "a",
                    "at": "on pause",
                    "webhook": {"url_secret": {"name": "chat", "key": "url"}},
                }
            ],
            "Secret chat does not exist",
        ),
    ):
        if path == "module" and "no-such" in says:
            continue
        assert says.replace("bluegreen_" if path == "module" else "\0", "") in message(
            release.deploy("2", hooks=hooks)
        )
    asks = [hook("gate", "before promoted", f"{server.url}/gate")]
    plan = release.deploy("2", hooks=asks, args=["--check"]).check()
    assert any("hook gate (before promoted) begins" in s for s in _steps(plan))
    assert version_of(release) == before
    assert sorted(release.sizes()) == [1]
    assert server.requests == []


def _steps(run: Run) -> list[str]:
    return [str(step) for step in rollout_of(run)["steps"]]
