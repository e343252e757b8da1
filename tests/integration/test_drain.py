# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How an old revision ends on a real API: drained first, and then step by step.

KWOK's pods have nobody who would answer, so what is seen here of the telling is how it
fails; tests/node has pods that hear it.
"""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.tests.integration.support.analysis import (
    Jobs,
    Meter,
    as_file,
    job_metric,
    template,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.kube import Kube
from ansible_collections.cutover.bluegreen.tests.integration.support.manifests import (
    deployment,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.playbook import (
    Handle,
    Run,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.release import (
    ACTIVE,
    NAME,
    Path,
    Release,
    Sizes,
    message,
    rollout_of,
    steps_of,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.waiting import (
    eventually,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.watcher import (
    Watcher,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.wire import Wire
from ansible_collections.cutover.bluegreen.tests.unit.support.http_server import (
    HttpServer,
)

# Longer than any test.
LONG = 600
HTTP = {"port": "http", "path": "/drain"}
EXEC = ["/app", "drain"]
SECRET = "hunter2-hunter2"
PAST = "2020-01-01T00:00:00Z"


@pytest.fixture
def meter() -> t.Iterator[Meter]:
    """How many requests V1 still has in flight."""
    with HttpServer() as server:
        made = Meter(server)
        made.reads(4)
        yield made


def idle(meter: Meter, **metric: t.Any) -> dict[str, t.Any]:
    """A template: V1 may go once nothing is in flight."""
    once = {"interval": None, "count": None, "failureCondition": None}
    wanted = {"successCondition": "result == 0", **once, **metric}
    return meter.template(name="in-flight", **wanted)


def drained_by(meter: Meter, **metric: t.Any) -> dict[str, t.Any]:
    return {"analysis_templates": idle(meter, **metric), "drain": "rate"}


def warnings_of(run: Run) -> list[str]:
    found = [i for r in run.results for i in r.result.get("results", [r.result])]
    return [w for r in found if isinstance(r, dict) for w in r.get("warnings", [])]


def drain_of(release: Release) -> dict[str, t.Any]:
    return t.cast("dict[str, t.Any]", release.details().get("drain", {}))


def drains(release: Release, handle: Handle) -> dict[str, t.Any]:
    """Wait until V1 drains and what it holds was seen."""

    def seen() -> dict[str, t.Any]:
        assert handle.running, f"it ended\n{handle.wait()}"
        found = drain_of(release) if release.record() else {}
        return found if found.get("values") else {}

    return eventually(seen, 60, "a measurement of what drains")


# -- drained ---------------------------------------------------------------------------


@pytest.mark.lane
def test_v1_goes_once_it_is_idle(
    release: Release, watcher: t.Callable[..., Watcher], meter: Meter, path: Path
) -> None:
    """Invariants 1 and 2."""
    release.path = path
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    handle = release.start_deploy("2", **drained_by(meter), drain_timeout_seconds=LONG)
    found = drains(release, handle)
    assert found["values"] == {"in-flight": "4"}
    assert found["revision"] == release.hash_of(1)
    assert release.record()["stage"] == "verified"
    assert release.record()["next-at"] == found["until"]
    assert release.directed_to(ACTIVE) == 2
    assert release.sizes() == {1: 2, 2: 2}
    meter.reads(0)
    run = handle.wait().check()
    assert release.sizes() == {1: 0, 2: 2}
    (step,) = [s for s in steps_of(run) if "from 2 to 0 pods" in s]
    assert "it was drained within" in step
    assert rollout_of(run)["phase"] == "Healthy"
    assert rollout_of(run)["drain"] is None
    assert rollout_of(run)["analysis"]["drain"]["phase"] == "Successful"
    assert "RevisionDrained" in release.events()
    assert "drain" not in release.details()
    seen.assert_never_below(ACTIVE, 2)


def test_what_it_still_held_is_said(release: Release, meter: Meter) -> None:
    release.deploy("1").check()
    run = release.deploy("2", **drained_by(meter), drain_timeout_seconds=2).check()
    held = "its drain had not ended: in-flight = 4"
    assert any(f"after 2 s {held}" in step for step in steps_of(run))
    assert any(held in text for _at, text in release.details()["timeline"])
    lines = [x for x in run.stdout.splitlines() if x.startswith("bluegreen ")]
    assert any("drains: in-flight = 4" in x and "s left" in x for x in lines), run
    assert "RevisionNotDrained" in release.events()
    assert release.sizes() == {1: 0, 2: 2}
    assert release.phase() == "Healthy"


@pytest.mark.parametrize("breakage", ["breaks", "hangs"])
def test_what_cannot_be_measured_holds_nothing_up(
    release: Release, meter: Meter, breakage: str
) -> None:
    release.deploy("1").check()
    getattr(meter, breakage)()
    run = release.deploy("2", **drained_by(meter), drain_timeout_seconds=2).check()
    assert any("after 2 s its drain had not ended" in step for step in steps_of(run))
    assert release.sizes() == {1: 0, 2: 2}


def test_it_is_measured_by_its_own_hash(
    release: Release, meter: Meter, tmp_path: pathlib.Path
) -> None:
    """The old revision is what an analysis of a drain means by the latest one."""
    release.deploy("1").check()
    measured = idle(meter, successCondition="result == 4")
    measured["spec"]["args"] = [{"name": "hash"}, {"name": "new"}]
    web = measured["spec"]["metrics"][0]["provider"]["web"]
    web["url"] += "?old={{args.hash}}&new={{args.new}}"
    values = [("hash", "Latest"), ("new", "Stable")]
    run = release.deploy(
        "2",
        analysis_templates=as_file(tmp_path, measured),
        drain={
            "templates": [{"templateName": "rate"}],
            "args": [
                {"name": name, "valueFrom": {"podTemplateHashValue": which}}
                for name, which in values
            ],
        },
    ).check()
    assert any("it was drained within" in step for step in steps_of(run))
    expected = {"old": release.hash_of(1), "new": release.hash_of(2)}
    # One that is cut off on a busy machine is taken again.
    assert meter.queries
    assert all(query == expected for query in meter.queries)


def test_a_secret_that_is_given_reaches_the_handler(
    release: Release, meter: Meter, tmp_path: pathlib.Path
) -> None:
    """Invariant 9."""
    release.deploy("1").check()
    measured = idle(meter, successCondition="result == 4")
    reference = {"secretKeyRef": {"name": "meter", "key": "token"}}
    measured["spec"]["args"] = [{"name": "token", "valueFrom": reference}]
    web = measured["spec"]["metrics"][0]["provider"]["web"]
    web["headers"] = [{"key": "Authorization", "value": "{{args.token}}"}]
    given = {"analysis_templates": as_file(tmp_path, measured), "drain": "rate"}
    assert "Secret meter does not exist" in message(release.deploy("2", **given))
    run = release.deploy(
        "2",
        **given,
        analysis_secrets={"meter": {"token": SECRET}},
        # The handler comes later, as a task of its own.
        scale_down_delay_seconds=1,
        args=["-vvv"],
    ).check()
    assert any("it was drained within" in step for step in steps_of(run))
    assert set(meter.tokens) == {SECRET}
    assert SECRET not in f"{run.stdout}{run.stderr}{json.dumps(release.record())}"


def test_a_job_that_measures_is_ended_at_the_timeout(
    release: Release, kube: Kube
) -> None:
    release.deploy("1").check()
    jobs = Jobs(kube, release.namespace)
    measured = template("rate", job_metric(runs_for="1h"))
    options: dict[str, t.Any] = {"analysis_templates": measured, "drain": "rate"}
    release.deploy("2", **options, drain_timeout_seconds=4).check()
    assert len(jobs.seen) == 1
    assert jobs.left == []
    assert release.sizes() == {1: 0, 2: 2}
    jobs.stop()


# -- step by step ----------------------------------------------------------------------


def test_it_falls_by_its_steps(
    release: Release, sizes: t.Callable[[], Sizes], watcher: t.Callable[..., Watcher]
) -> None:
    release.deploy("1", replicas=4).check()
    seen, watched = sizes(), watcher(ACTIVE)
    release.deploy(
        "2", replicas=4, scale_down_steps=["50%", 1], scale_down_interval_seconds=1
    ).check()
    assert seen.asked_for(release.hash_of(1)) == [4, 2, 1, 0]
    watched.assert_never_below(ACTIVE, 4)


def test_an_aborted_revision_falls_by_its_own_steps(
    release: Release, sizes: t.Callable[[], Sizes]
) -> None:
    release.deploy("1").check()
    seen = sizes()
    options: dict[str, t.Any] = {"scale_down_steps": "1"}
    release.deploy("2", auto_promotion_enabled=False, **options).check()
    release.run("abort").check()
    assert seen.asked_for(release.hash_of(2))[-3:] == [2, 1, 0]
    assert release.sizes() == {1: 2, 2: 0}


# -- telling ---------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["drain_http", "drain_exec"])
def test_who_cannot_be_told_is_named_and_ends_all_the_same(
    release: Release, wire: t.Callable[..., Wire], kube: Kube, how: str
) -> None:
    release.deploy("1").check()
    first = release.hash_of(1)
    old = {p for p in pod_names(kube, release) if first in p}
    asked = wire()
    given: dict[str, t.Any] = {how: HTTP if how == "drain_http" else EXEC}
    run = release.deploy("2", **given, drain_timeout_seconds=1).check()
    said = [w for w in warnings_of(run) if "could not be told" in w]
    assert {w.split()[1] for w in said} == old
    assert any("2 pods could not be told" in step for step in steps_of(run))
    subresource = "proxy" if how == "drain_http" else "exec"
    tried = [r for r in asked.requests if r.subresource == subresource]
    assert {r.name.split(":")[0] for r in tried} == old
    if how == "drain_http":
        assert all(r.uri.endswith(":8080/proxy/drain") for r in tried)
    assert release.sizes() == {1: 0, 2: 2}
    assert "Traceback" not in f"{run.stdout}{run.stderr}"


def pod_names(kube: Kube, release: Release) -> list[str]:
    found = kube.list(f"/api/v1/namespaces/{release.namespace}/pods")
    return [pod["metadata"]["name"] for pod in found]


def test_a_pod_that_does_not_run_is_left_alone(release: Release) -> None:
    """Its image cannot be pulled: there is nobody to tell, and nothing to wait for."""
    release.deploy("1").check()
    release.deploy(
        "2",
        steering={"image_pull": "fail"},
        drain_http=HTTP,
        progress_deadline_seconds=1,
        progress_deadline_abort=True,
        drain_timeout_seconds=1,
    )
    run = release.run("scale_down").check()
    assert not [w for w in warnings_of(run) if "could not be told" in w]
    assert release.sizes() == {1: 2, 2: 0}


# -- ended, killed, resumed, left ------------------------------------------------------


def test_killed_it_goes_on_with_its_deadline(release: Release, meter: Meter) -> None:
    """Invariant 5."""
    release.deploy("1").check()
    given = {**drained_by(meter), "drain_timeout_seconds": LONG}
    handle = release.start_deploy("2", **given)
    before = drains(release, handle)
    handle.kill_tree()
    assert release.sizes() == {1: 2, 2: 2}
    again = release.start("scale_down")
    count = meter.count
    eventually(lambda: meter.count > count, 60, "a measurement by the next run")
    assert drain_of(release)["until"] == before["until"]
    assert drain_of(release)["began_at"] == before["began_at"]
    meter.reads(0)
    again.wait().check()
    assert release.sizes() == {1: 0, 2: 2}


def test_a_countdown_detaches_and_a_later_run_goes_on(release: Release) -> None:
    release.deploy("1").check()
    given = {"drain_http": HTTP, "wait": "detach", "drain_timeout_seconds": LONG}
    run = release.deploy("2", **given).check()
    assert rollout_of(run)["drain"]["revision"] == 1
    release.run("resume", wait="detach").check()
    assert release.sizes() == {1: 2, 2: 2}
    # Nobody waits that long.
    release.edit_details(drain={**drain_of(release), "until": PAST})
    release.run("resume", wait="detach").check()
    assert release.sizes() == {1: 0, 2: 2}


def test_what_is_measured_is_stayed_for_where_other_waits_detach(
    release: Release, meter: Meter
) -> None:
    release.deploy("1").check()
    options: dict[str, t.Any] = {"wait": "detach", "scale_down_delay_seconds": LONG}
    release.deploy("2", **drained_by(meter), **options).check()
    assert meter.count == 0
    release.edit_details(retire_at={release.hash_of(1): PAST})
    handle = release.start("resume", wait="detach")
    drains(release, handle)
    meter.reads(0)
    handle.wait().check()
    assert release.sizes() == {1: 0, 2: 2}


def test_the_way_back_to_what_drains_waits_for_nothing(
    release: Release,
    meter: Meter,
    sizes: t.Callable[[], Sizes],
    watcher: t.Callable[..., Watcher],
) -> None:
    """Invariants 1 and 3."""
    release.deploy("1").check()
    watched, seen = watcher(ACTIVE), sizes()
    given = {**drained_by(meter), "drain_timeout_seconds": LONG}
    handle = release.start_deploy("2", **given)
    drains(release, handle)
    handle.kill_tree()
    first = release.hash_of(1)
    second = release.hash_of(2)
    back = release.start("rollback")
    # On the way back V2 is the old one, and drains in its turn.
    eventually(lambda: drain_of(release).get("revision") == second, 60, "V2's drain")
    back.kill_tree()
    assert "a way back that needs no gates" in back.stdout
    assert release.hash_of(release.directed_to(ACTIVE) or 0) == first
    assert watched.revisions_seen(ACTIVE) == [first, second]
    assert seen.asked_for(first) == [2]
    watched.assert_never_below(ACTIVE, 2)


def test_another_release_goes_on_while_v1_drains(
    release: Release, meter: Meter
) -> None:
    release.deploy("1").check()
    given = {**drained_by(meter), "drain_timeout_seconds": LONG}
    handle = release.start_deploy("2", **given)
    until = drains(release, handle)["until"]
    handle.kill_tree()
    options: dict[str, t.Any] = {"wait": "detach", "scale_down_delay_seconds": LONG}
    # It ends with what is measured, which a task stays for.
    following = release.start_deploy("3", **given, **options)
    eventually(lambda: release.directed_to(ACTIVE) == 3, 60, "the next promotion")
    release.reaches(stage="verified")
    assert release.sizes() == {1: 2, 2: 2, 3: 2}
    assert drain_of(release)["until"] == until
    meter.reads(0)
    following.wait().check()
    assert release.sizes() == {1: 0, 2: 2, 3: 2}


# -- planned, and nothing to do --------------------------------------------------------


def test_it_is_planned(
    release: Release, meter: Meter, wire: t.Callable[..., Wire]
) -> None:
    release.deploy("1").check()
    sent = wire()
    run = release.deploy(
        "2",
        **drained_by(meter),
        drain_http=HTTP,
        scale_down_steps=[1],
        args=["--check"],
    ).check()
    steps = " / ".join(steps_of(run))
    for said in (
        "is drained before it ends: its scale-down delay is over",
        "tell the pods of revision 1",
        "measure in-flight until the drain analysis has passed",
        "from 2 to 1 pod:",
        "from 1 to 0 pods:",
    ):
        assert said in steps, said
    assert sent.writes == []
    assert meter.count == 0


def test_a_second_run_writes_nothing(
    release: Release, meter: Meter, wire: t.Callable[..., Wire]
) -> None:
    """Invariant 4."""
    meter.reads(0)
    # V1 ends as its own release asked.
    given = {
        **drained_by(meter),
        "drain_http": HTTP,
        "drain_timeout_seconds": 1,
        "scale_down_steps": ["50%"],
    }
    release.deploy("1", **given).check()
    release.deploy("2", **given).check()
    sent = wire()
    run = release.deploy("2", **given).check()
    assert not run.changed
    assert sent.writes == []


# -- said before -----------------------------------------------------------------------

REFUSED: dict[str, tuple[dict[str, t.Any], str]] = {
    "a request without a port": (
        {"drain_http": {"path": "/drain"}},
        "bluegreen_drain_http: port is missing",
    ),
    "a method that changes nothing": (
        {"drain_http": {"port": 80, "method": "PUT"}},
        "bluegreen_drain_http: method is 'PUT'",
    ),
    "what nobody knows": (
        {"drain_http": {"port": 80, "url": "/x"}},
        "bluegreen_drain_http: url is not known",
    ),
    "a token for all to read": (
        {"drain_http": {"port": 80, "path": "/drain?token=x"}},
        "bluegreen_drain_http: path holds credentials",
    ),
    "a command as a sentence": (
        {"drain_exec": "nginx -s quit"},
        "bluegreen_drain_exec: 'nginx -s quit' is no command",
    ),
    "no such template": ({"drain": "gone"}, "bluegreen_drain"),
    "steps that rise": (
        {"scale_down_steps": [1, 2]},
        "bluegreen_scale_down_steps: 2 comes after 1 and is higher",
    ),
    "a step that is none": (
        {"scale_down_steps": ["half"]},
        "bluegreen_scale_down_steps: 'half' is neither a count nor a percentage",
    ),
    "time that runs back": (
        {"drain_timeout_seconds": -1},
        "bluegreen_drain_timeout_seconds: -1 is too low",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused_before_the_first_write(
    release: Release, wire: t.Callable[..., Wire], case: str
) -> None:
    given, said = REFUSED[case]
    sent = wire()
    assert said in message(release.deploy("1", **given))
    assert sent.writes == []


@pytest.mark.parametrize(
    ("spec", "warned"),
    [
        ({"terminationGracePeriodSeconds": 2}, True),
        ({}, False),
        ({"terminationGracePeriodSeconds": 2, "preStop": 1}, False),
    ],
)
def test_pods_that_end_too_suddenly_are_named(
    release: Release, spec: dict[str, t.Any], warned: bool
) -> None:
    first = deployment(NAME, version="1", replicas=2)
    pod = first["spec"]["template"]["spec"]
    seconds = spec.pop("preStop", None)
    if seconds:
        hook = {"preStop": {"sleep": {"seconds": seconds}}}
        pod["containers"][0]["lifecycle"] = hook
    pod.update(spec)
    run = release.deploy(definition=first).check()
    assert not [w for w in warnings_of(run) if "preStop" in w]
    run = release.deploy("2").check()
    found = [w for w in warnings_of(run) if "no preStop hook and are killed 2 s" in w]
    assert len(found) == warned
