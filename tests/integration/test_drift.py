# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What somebody else changes between and during runs: seen, said and mended.

Invariants 6 and 8. More of it: a lost record and an edited Service before the promotion
in test_gates.py, a stripped label in test_hazards.py (H5) and test_resume.py.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import pathlib
import re
import typing as t
from datetime import datetime, timezone

import pytest
import yaml

from ansible_collections.cutover.bluegreen.tests.integration.support import session
from ansible_collections.cutover.bluegreen.tests.integration.support.analysis import (
    template,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
    ApiError,
    Kube,
    Object,
    resource_path,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.manifests import (
    service,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.playbook import (
    Handle,
    Run,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.release import (
    ACTIVE,
    PREVIEW,
    Release,
    message,
    rollout_of,
    steps_of,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.waiting import (
    eventually,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.watcher import (
    REVISION_LABEL,
    Watcher,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.http_server import (
    HttpServer,
)

Watch = t.Callable[..., Watcher]
Change = t.Callable[[Release], None]

# Longer than any test: what ends such a wait is a decision.
LONG = 600
MANUAL: dict[str, t.Any] = {"auto_promotion_enabled": False}
COUNTED: dict[str, t.Any] = {"auto_promotion_seconds": LONG, "wait": "detach"}


# -- what a person does by hand --------------------------------------------------------


def object_path(release: Release, resource: str, name: str) -> str:
    return resource_path(resource, release.namespace, name)


def strip_hash(release: Release, service: str = ACTIVE) -> None:
    selector = {"selector": {REVISION_LABEL: None}}
    release.kube.patch(object_path(release, "services", service), {"spec": selector})


def revision_path(release: Release, number: int) -> str:
    name = release.revisions()[number]["metadata"]["name"]
    return object_path(release, "deployments", name)


def resize(release: Release, number: int, replicas: int) -> None:
    """As kubectl scale and the HorizontalPodAutoscaler controller do it."""
    scale = f"{revision_path(release, number)}/scale"
    release.kube.patch(scale, {"spec": {"replicas": replicas}})


def resized(release: Release, number: int, replicas: int) -> None:
    """Resize it, and wait until it is."""
    resize(release, number, replicas)
    eventually(lambda: release.available(number) == replicas, 30, "the new size")


def delete_revision(release: Release, number: int) -> None:
    release.kube.delete(revision_path(release, number))
    eventually(lambda: number not in release.revisions(), 30, "the deletion")


def edit_record(release: Release, **data: str) -> None:
    flat = {key.replace("_", "-"): value for key, value in data.items()}
    release.kube.patch(release.record_path, {"data": flat})


def waits(handle: Handle) -> None:
    """Wait until the task that stays for the countdown has read the record."""
    eventually(lambda: "is paused before promotion," in handle.stdout, 30, "the wait")


def warnings_of(run: Run) -> str:
    return "\n".join(w for r in run.results for w in r.result.get("warnings", []))


def is_unchanged(release: Release, version: str, **options: t.Any) -> None:
    """Nothing is left to be mended, and nothing to be said."""
    run = release.deploy(version, **options).check()
    assert run.changed is False, run
    assert "record" not in warnings_of(run)


# -- the record ------------------------------------------------------------------------


@pytest.mark.parametrize("next_run", ["deploy", "resume"])
def test_a_record_deleted_at_rest_is_written_anew(
    release: Release, watcher: Watch, next_run: str
) -> None:
    """Invariant 8: Healthy again, once the endpoints were seen again."""
    release.deploy("1").check()
    release.deploy("2").check()
    seen = watcher(ACTIVE)
    release.kube.delete(release.record_path)
    assert "Unknown" in release.run("status").check().stdout
    run = release.deploy("2") if next_run == "deploy" else release.run(next_run)
    assert rollout_of(run.check())["phase"] == "Healthy"
    record = release.record()
    assert record["phase"] == "Healthy"
    assert record["stable"] == record["active"] == release.hash_of(2)
    assert release.sizes() == {1: 0, 2: 2}
    assert seen.revisions_seen(ACTIVE) == [release.hash_of(2)]
    seen.assert_never_below(ACTIVE, 2)
    is_unchanged(release, "2")


def test_a_record_deleted_under_a_run_that_waits(
    release: Release, watcher: Watch
) -> None:
    """Invariant 6: that run promotes nothing, and says why."""
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    handle = release.start_deploy("2", auto_promotion_seconds=LONG)
    release.pauses(handle)
    waits(handle)
    release.kube.delete(release.record_path)
    run = handle.wait()
    assert run.rc == 2
    assert "its record is gone" in message(run)
    assert "run the deploy playbook with its manifest, or abort it" in message(run)
    assert rollout_of(release.deploy("2", **COUNTED).check())["phase"] == "Paused"
    assert seen.revisions_seen(ACTIVE) == [release.hash_of(1)]
    seen.assert_never_below(ACTIVE, 2)


EDITS: dict[str, tuple[dict[str, str], str]] = {
    "garbage": ({"details": "{ what is this"}, "its details are not a JSON object"),
    "no-mapping": ({"details": "[1, 2]"}, "its details are not a JSON object"),
    "phase": ({"phase": "Splendid"}, "'Splendid' is not a phase"),
    "stage": ({"stage": "somewhere"}, "'somewhere' is not a stage"),
    "format": ({"format": "7"}, "written in the format 7"),
    "active": ({"active": "0123456789"}, ""),
}


@pytest.fixture(params=EDITS)
def edit(request: pytest.FixtureRequest) -> tuple[dict[str, str], str]:
    return EDITS[request.param]


def test_a_record_edited_at_rest_is_mended(
    release: Release, watcher: Watch, edit: tuple[dict[str, str], str]
) -> None:
    """Invariant 8: said, and then as it was."""
    release.deploy("1").check()
    release.deploy("2").check()
    before = release.record()
    seen = watcher(ACTIVE)
    data, sentence = edit
    edit_record(release, **data)
    assert sentence in warnings_of(release.run("status").check())
    run = release.run("resume").check()
    assert sentence in warnings_of(run)
    release.deploy("2").check()
    after = release.record()
    for key in ("format", "phase", "stage", "active", "stable", "observed-revision"):
        assert after[key] == before[key], key
    assert seen.revisions_seen(ACTIVE) == [release.hash_of(2)]
    seen.assert_never_below(ACTIVE, 2)
    is_unchanged(release, "2")


def test_a_record_edited_in_flight_opens_no_gate(
    release: Release, watcher: Watch, edit: tuple[dict[str, str], str]
) -> None:
    """Invariant 6: not by itself, not for another run; a person still can."""
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    release.deploy("2", **COUNTED).check()
    data, sentence = edit
    edit_record(release, **data)
    run = release.run("resume", wait="detach")
    assert sentence in warnings_of(run)
    if run.rc == 2:
        assert "is in flight and its record is gone" in message(run)
    else:
        assert rollout_of(run)["phase"] == "Paused"
    run = release.deploy("2", **COUNTED).check()
    assert rollout_of(run)["phase"] == release.record()["phase"] == "Paused"
    assert release.record()["active"] == release.hash_of(1)
    assert seen.revisions_seen(ACTIVE) == [release.hash_of(1)]
    assert release.record()["next-at"]
    release.run("promote").check()
    assert release.directed_to(ACTIVE) == 2
    seen.assert_never_below(ACTIVE, 2)
    seen.assert_never_mixed(ACTIVE)


def test_a_record_edited_under_a_run_that_waits_is_written_over(
    release: Release, edit: tuple[dict[str, str], str]
) -> None:
    """Who drives knows better."""
    release.deploy("1").check()
    handle = release.start_deploy("2", auto_promotion_seconds=LONG)
    release.pauses(handle)
    waits(handle)
    before = release.record()
    data, sentence = edit
    edit_record(release, **data)
    flat = ("format", "phase", "stage", "active", "next-at")

    def mended() -> bool:
        record = release.record()
        edited = any(record[key] == value for key, value in data.items())
        return not edited and all(record[key] == before[key] for key in flat)

    eventually(mended, 10, "the record as it was")
    assert release.details()["promote_at"] == before["next-at"]
    release.run("promote").check()
    run = handle.wait().check()
    assert sentence in warnings_of(run)
    assert release.directed_to(ACTIVE) == 2


# -- the active Service's selector -----------------------------------------------------


def test_a_hash_stripped_after_the_promotion_is_put_back(
    release: Release, watcher: Watch
) -> None:
    """Invariant 6: to the revision that was promoted, whatever is still measured."""
    release.deploy("1").check()
    with HttpServer() as server:
        server.reply({"rate": 0.7}, path="/rate")
        metric = {
            "name": "rate",
            "successCondition": "result >= 0.95",
            "failureCondition": "result < 0.5",
            "provider": {"web": {"url": f"{server.url}/rate", "jsonPath": "{$.rate}"}},
        }
        given = {
            "analysis_templates": template("rate", metric),
            "post_promotion_analysis": "rate",
            "scale_down_delay_seconds": LONG,
        }
        release.deploy("2", **given).check()
    assert release.record()["stage"] == "promoted"
    assert release.record()["stable"] == release.hash_of(1)
    strip_hash(release)
    seen = watcher(ACTIVE)
    run = release.run("resume").check()
    assert "direct Service web to revision 2" in steps_of(run)[0]
    assert "its selector was changed by somebody else" in steps_of(run)[0]
    assert rollout_of(run)["phase"] == "Paused"
    assert release.directed_to(ACTIVE) == 2
    assert release.sizes() == {1: 2, 2: 2}
    seen.assert_never_below(ACTIVE, 2)


def test_a_hash_stripped_under_a_run_that_waits_is_put_back_at_once(
    release: Release, watcher: Watch
) -> None:
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    handle = release.start_deploy("2", auto_promotion_seconds=LONG)
    release.pauses(handle)
    strip_hash(release)
    eventually(lambda: release.directed_to(ACTIVE) == 1, 10, "V1 alone again")
    assert handle.running
    release.run("promote").check()
    run = handle.wait().check()
    assert any("changed by somebody else" in step for step in steps_of(run))
    assert release.directed_to(ACTIVE) == 2
    seen.assert_never_below(ACTIVE, 2)


# -- the Deployments' sizes ------------------------------------------------------------


def test_the_active_revision_raised_by_hand_is_left_and_followed(
    release: Release, watcher: Watch
) -> None:
    release.deploy("1").check()
    resized(release, 1, 3)
    is_unchanged(release, "1")
    seen = watcher(ACTIVE)
    release.deploy("2", preview_replica_count=1).check()
    assert release.sizes() == {1: 0, 2: 3}
    seen.assert_never_below(ACTIVE, 3)


@pytest.mark.parametrize("left", [0, 1])
def test_the_active_revision_lowered_by_hand_is_brought_back_by_deploy(
    release: Release, watcher: Watch, left: int
) -> None:
    """Invariant 8: without an endpoint, nobody reports Healthy."""
    release.deploy("1").check()
    resized(release, 1, left)
    seen = watcher(ACTIVE)
    run = release.run("resume").check()
    expected = "Healthy" if left else "Degraded"
    assert rollout_of(run)["phase"] == release.phase() == expected
    if not left:
        assert "has no ready endpoint behind Service web" in release.record()["message"]
    assert release.sizes() == {1: left}
    run = release.deploy("1").check()
    assert rollout_of(run)["phase"] == release.phase() == "Healthy"
    assert f"from {left} to 2 pods: somebody scaled it down" in steps_of(run)[0]
    assert release.sizes() == {1: 2}
    assert len(seen.moments(ACTIVE)[-1].ready) == 2
    seen.assert_never_below(ACTIVE, left)
    is_unchanged(release, "1")


def test_the_active_revision_scaled_to_nothing_during_an_update(
    release: Release, watcher: Watch
) -> None:
    """Invariant 3: brought back before anything else, whatever comes next."""
    release.deploy("1").check()
    release.deploy("2", **MANUAL).check()
    # Before its pods go: they are told by their labels.
    seen = watcher(ACTIVE)
    resized(release, 1, 0)
    run = release.run("abort").check()
    assert "from 0 to 2 pods" in steps_of(run)[0]
    assert release.directed_to(ACTIVE) == 1
    assert release.sizes() == {1: 2, 2: 0}
    eventually(lambda: release.available(1) == 2, 30, "V1 again")
    assert seen.revisions_seen(ACTIVE) == [release.hash_of(1)]


@pytest.mark.parametrize("size", [0, 5])
def test_v2_resized_by_hand_at_the_gate(
    release: Release, watcher: Watch, size: int
) -> None:
    """Invariant 1: it serves nobody before it can serve everybody."""
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    release.deploy("2", **MANUAL).check()
    resized(release, 2, size)
    release.run("promote").check()
    assert release.directed_to(ACTIVE) == 2
    assert release.sizes() == {1: 0, 2: max(size, 2)}
    seen.assert_never_below(ACTIVE, 2)
    seen.assert_never_mixed(ACTIVE)


def test_an_old_revision_scaled_up_by_hand_is_scaled_down_again(
    release: Release, watcher: Watch
) -> None:
    release.deploy("1").check()
    release.deploy("2").check()
    seen = watcher(ACTIVE)
    resized(release, 1, 2)
    release.run("resume").check()
    assert release.sizes() == {1: 0, 2: 2}
    assert seen.revisions_seen(ACTIVE) == [release.hash_of(2)]
    seen.assert_never_below(ACTIVE, 2)


def test_an_autoscaler_that_resizes_v1_during_the_update(
    release: Release, watcher: Watch
) -> None:
    """V2 gets the size that V1 has at the cutover."""
    release.deploy("1").check()
    name = release.revisions()[1]["metadata"]["name"]
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    autoscaler = {
        "metadata": {"name": "web"},
        "spec": {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 10},
    }
    folder = resource_path("horizontalpodautoscalers", release.namespace)
    release.kube.create(folder, autoscaler)
    seen = watcher(ACTIVE)
    handle = release.start_deploy("2", auto_promotion_seconds=LONG)
    release.pauses(handle)
    assert release.sizes() == {1: 2, 2: 2}
    resized(release, 1, 4)
    release.run("promote").check()
    handle.wait().check()
    assert release.sizes() == {1: 0, 2: 4}
    assert release.directed_to(ACTIVE) == 2
    story = [len(moment.ready) for moment in seen.moments(ACTIVE)]
    assert min(story[story.index(4) :]) == 4, seen.story(ACTIVE)


# -- Deployments that are deleted ------------------------------------------------------


def test_an_old_revision_deleted_by_hand_is_no_way_back_any_more(
    release: Release, watcher: Watch
) -> None:
    release.deploy("1").check()
    release.deploy("2", scale_down_delay_seconds=LONG, wait="detach").check()
    seen = watcher(ACTIVE)
    delete_revision(release, 1)
    run = release.run("rollback")
    assert run.rc == 2
    assert "there is none to go back to" in message(run)
    release.run("resume", wait="detach").check()
    assert release.phase() == "Healthy"
    assert release.record()["next-at"] == ""
    assert seen.revisions_seen(ACTIVE) == [release.hash_of(2)]
    seen.assert_never_below(ACTIVE, 2)


@pytest.mark.parametrize("way_on", ["abort", "deploy"])
def test_v2_deleted_by_hand_at_the_gate(
    release: Release, watcher: Watch, way_on: str
) -> None:
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    release.deploy("2", **MANUAL).check()
    delete_revision(release, 2)
    for playbook in ("resume", "promote"):
        run = release.run(playbook)
        assert run.rc == 2
        assert "is in flight and its Deployment is gone" in message(run)
    if way_on == "abort":
        release.run("abort").check()
        assert release.sizes() == {1: 2}
        assert release.phase() == "Degraded"
    else:
        assert rollout_of(release.deploy("2", **MANUAL).check())["phase"] == "Paused"
        assert sorted(release.sizes().values()) == [2, 2]
    assert seen.revisions_seen(ACTIVE) == [release.hash_of(1)]
    seen.assert_never_below(ACTIVE, 2)


@pytest.mark.parametrize("version", ["2", "3"])
def test_the_active_revision_deleted_by_hand_at_rest(
    release: Release, version: str
) -> None:
    """Invariant 8: said by every playbook; any manifest serves the users again."""
    release.deploy("1").check()
    release.deploy("2").check()
    delete_revision(release, 2)
    run = release.run("resume")
    assert run.rc == 2
    assert "whose Deployment somebody deleted" in message(run)
    assert release.phase() == "Degraded"
    run = release.deploy(version).check()
    assert rollout_of(run)["phase"] == "Healthy"
    newest = max(release.revisions())
    assert release.directed_to(ACTIVE) == newest
    assert release.available(newest) == 2
    is_unchanged(release, version)


def test_the_active_revision_deleted_by_hand_and_rolled_back(release: Release) -> None:
    release.deploy("1").check()
    first = release.hash_of(1)
    release.deploy("2").check()
    delete_revision(release, 2)
    run = release.run("rollback").check()
    assert rollout_of(run)["phase"] == "Healthy"
    assert release.service()["spec"]["selector"][REVISION_LABEL] == first
    assert release.available(max(release.revisions())) == 2


@pytest.mark.parametrize("way_on", ["promote", "abort"])
def test_the_active_revision_deleted_by_hand_at_the_gate(
    release: Release, way_on: str
) -> None:
    """Invariants 3 and 8: who serves all users is seen to."""
    release.deploy("1").check()
    release.deploy("2").check()
    release.deploy("3", **MANUAL).check()
    delete_revision(release, 2)
    release.run(way_on).check()
    serving = release.directed_to(ACTIVE)
    assert serving == (3 if way_on == "promote" else 1)
    assert release.available(serving) == 2
    expected = "Healthy" if way_on == "promote" else "Degraded"
    assert release.phase() == expected


# -- Services that are deleted ---------------------------------------------------------


def test_the_active_service_deleted_at_rest(release: Release) -> None:
    release.deploy("1").check()
    release.kube.delete(object_path(release, "services", ACTIVE))
    run = release.run("resume")
    assert run.rc == 2
    assert "Service web does not exist" in message(run)
    assert "run the deploy playbook" in message(run)
    release.deploy("1").check()
    assert release.directed_to(ACTIVE) == 1
    assert release.phase() == "Healthy"


def test_the_active_service_deleted_under_a_run_that_waits(release: Release) -> None:
    """Invariant 6: it comes back with V1, and the gate is as shut as it was."""
    release.deploy("1").check()
    handle = release.start_deploy("2", auto_promotion_seconds=LONG)
    release.pauses(handle)
    release.kube.delete(object_path(release, "services", ACTIVE))
    run = handle.wait()
    assert run.rc == 2
    assert "Service web does not exist" in message(run)
    run = release.deploy("2", **COUNTED).check()
    assert rollout_of(run)["phase"] == "Paused"
    assert release.directed_to(ACTIVE) == 1


@pytest.mark.parametrize("in_flight", [False, True])
def test_the_preview_service_deleted(
    release: Release, watcher: Watch, in_flight: bool
) -> None:
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    if in_flight:
        release.deploy("2", **MANUAL).check()
    version = "2" if in_flight else "1"
    release.kube.delete(object_path(release, "services", PREVIEW))
    release.run("resume").check()
    run = release.deploy(version, **MANUAL).check()
    assert rollout_of(run)["phase"] == ("Paused" if in_flight else "Healthy")
    assert release.directed_to(PREVIEW) == int(version)
    assert release.directed_to(ACTIVE) == 1
    seen.assert_never_below(ACTIVE, 2)


# -- pods that somebody deletes --------------------------------------------------------


def test_pods_deleted_by_hand_during_an_update(
    release: Release, watcher: Watch
) -> None:
    """Invariant 1 counts what our writes did: a floor of pods that live."""
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    handle = release.start_deploy("2", auto_promotion_seconds=LONG)
    release.pauses(handle)
    for number in (1, 2):
        kill_a_pod(release, number)
    release.run("promote").check()
    handle.wait().check()
    assert release.directed_to(ACTIVE) == 2
    kill_a_pod(release, 2)
    lost = seen.lost_by_themselves(ACTIVE)
    assert min(len(moment.ready) for moment in seen.moments(ACTIVE)) < 2
    assert max(lost.values()) == 1
    seen.assert_never_below(ACTIVE, 2)
    seen.assert_never_mixed(ACTIVE)


def kill_a_pod(release: Release, number: int) -> None:
    """Delete one of a revision's pods; wait until another has taken its place."""
    pods = resource_path("pods", release.namespace)
    selector = f"{REVISION_LABEL}={release.hash_of(number)}"

    def uids() -> set[str]:
        listed = release.kube.list(pods, selector)
        return {p["metadata"]["uid"] for p in listed}

    victim = release.kube.list(pods, selector)[0]["metadata"]
    release.kube.delete(f"{pods}/{victim['name']}")
    eventually(lambda: victim["uid"] not in uids(), 30, "the pod's end")
    eventually(lambda: len(uids()) == 2, 30, "its replacement")
    eventually(lambda: release.available(number) == 2, 30, "a replacement that serves")


def test_a_floor_still_sees_what_a_write_took_away(
    release: Release, watcher: Watch
) -> None:
    """Fewer asked for, or a Deployment deleted: no pod died by itself."""
    release.deploy("1", replicas=3).check()
    seen = watcher(ACTIVE)
    resized(release, 1, 1)
    eventually(lambda: len(seen.moments(ACTIVE)[-1].ready) == 1, 30, "one endpoint")
    with pytest.raises(AssertionError, match="below 3"):
        seen.assert_never_below(ACTIVE, 3)
    delete_revision(release, 1)
    eventually(lambda: not seen.moments(ACTIVE)[-1].ready, 30, "no endpoint")
    with pytest.raises(AssertionError, match="below 1"):
        seen.assert_never_below(ACTIVE, 1)


# -- a runner's clock ------------------------------------------------------------------

SKEWS = {"ahead of": 600, "behind": -600}

# The wall clock alone is wrong: the monotonic one is right on every machine.
SITECUSTOMIZE = """\
import os
import time

_shift = int(os.environ["TEST_CLOCK_SHIFT"])
_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + _shift
time.time_ns = lambda: _time_ns() + _shift * 10**9
"""


@pytest.fixture(params=SKEWS)
def skewed(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Skewed:
    """Every Python process of a run reads a wall clock that is wrong."""
    folder = tmp_path / "skewed"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(SITECUSTOMIZE)
    shift = str(SKEWS[request.param])
    environment = {"PYTHONPATH": str(folder), "TEST_CLOCK_SHIFT": shift}
    return Skewed(request.param, environment)


@dataclasses.dataclass(frozen=True)
class Skewed:
    direction: str
    environment: dict[str, str]

    def is_said_by(self, run: Run) -> None:
        said = re.search(
            rf"This machine's clock is (\d+) s {self.direction} the API server's;"
            " deadlines go by the server's.",
            warnings_of(run),
        )
        assert said, run
        assert 595 <= int(said[1]) <= 605


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def seconds_left(release: Release) -> float:
    left = instant(release.record()["next-at"]) - datetime.now(timezone.utc)
    return left.total_seconds()


def test_a_wrong_clock_moves_no_deadline(
    release: Release, watcher: Watch, skewed: Skewed
) -> None:
    """Invariant 6: a countdown and a delay, each gone on with by a run of its own."""
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    options: dict[str, t.Any] = {"scale_down_delay_seconds": LONG, **COUNTED}
    release.deploy("2", env=skewed.environment, **options).check()
    assert LONG - 60 < seconds_left(release) <= LONG
    ends = release.record()["next-at"]
    run = release.run("resume", wait="detach", env=skewed.environment).check()
    skewed.is_said_by(run)
    assert rollout_of(run)["phase"] == "Paused"
    assert release.record()["next-at"] == ends
    assert release.directed_to(ACTIVE) == 1
    release.run("promote", wait="detach", env=skewed.environment).check()
    assert LONG - 60 < seconds_left(release) <= LONG
    release.run("resume", wait="detach", env=skewed.environment).check()
    assert release.sizes() == {1: 2, 2: 2}
    seen.assert_never_below(ACTIVE, 2)
    seen.assert_never_mixed(ACTIVE)


def test_a_wrong_clock_ends_countdowns_delays_and_analyses_in_their_time(
    release: Release, watcher: Watch, skewed: Skewed
) -> None:
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    with HttpServer() as server:
        server.reply({"rate": 1.0}, path="/rate")
        meter = {"url": f"{server.url}/rate", "jsonPath": "{$.rate}"}
        metric = {
            "name": "rate",
            "interval": "1s",
            "count": 3,
            "successCondition": "result >= 0.95",
            "provider": {"web": meter},
        }
        run = release.deploy(
            "2",
            env=skewed.environment,
            analysis_templates=template("rate", metric),
            pre_promotion_analysis="rate",
            auto_promotion_seconds=2,
            scale_down_delay_seconds=2,
        ).check()
        asked = len(server.requests)
    skewed.is_said_by(run)
    assert asked == 3
    assert rollout_of(run)["phase"] == "Healthy"
    assert release.sizes() == {1: 0, 2: 2}
    at = {text.partition(" ")[0]: instant(when) for when, text in timeline(release)}
    assert at["paused"] < at["cut"] < at["scale"]
    assert (at["cut"] - at["paused"]).total_seconds() >= 2
    assert (at["scale"] - at["cut"]).total_seconds() >= 2
    seen.assert_never_below(ACTIVE, 2)


def timeline(release: Release) -> list[list[str]]:
    return t.cast("list[list[str]]", release.details()["timeline"])


def test_a_wrong_clock_neither_steals_a_lock_nor_loses_its_own(
    release: Release, skewed: Skewed
) -> None:
    """Invariant 7: alive is who is seen renewing."""
    release.deploy("1").check()
    handle = release.start_deploy(
        "2", env=skewed.environment, auto_promotion_seconds=LONG
    )
    release.pauses(handle)
    holder = release.holder()
    assert "is being driven by" in message(release.deploy("3"))
    release.run("promote").check()
    assert handle.running or handle.wait().rc == 0
    handle.wait().check()
    assert release.directed_to(ACTIVE) == 2

    right = release.start_deploy("3", auto_promotion_seconds=LONG)
    release.pauses(right)
    assert release.holder() != holder
    run = release.deploy("4", env=skewed.environment)
    assert "is being driven by" in message(run)
    release.run("promote").check()
    right.wait().check()
    assert release.directed_to(ACTIVE) == 3


# -- a tool that applies its Service again ---------------------------------------------

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
RECONCILER = "kustomize-controller"


def apply_client_side(release: Release, manifest: Object) -> None:
    """As kubectl apply without --server-side: what the manifest has, and no longer
    has, is changed; what it never had is left.
    """
    path = object_path(release, "services", ACTIVE)
    live = release.kube.get(path)
    previous = (live["metadata"].get("annotations") or {}).get(LAST_APPLIED, "{}")
    annotated = copy.deepcopy(manifest)
    annotated["metadata"]["annotations"] = {LAST_APPLIED: json.dumps(manifest)}
    patch = {**_taken_out(json.loads(previous), manifest), **annotated}
    release.kube.patch(path, patch, "strategic", fieldManager="kubectl-client-side")


def _taken_out(before: Object, after: Object) -> Object:
    """A patch of the top level and of spec, where this test's manifests differ."""
    gone: Object = {key: None for key in before if key not in after}
    specs = before.get("spec", {}), after.get("spec", {})
    left = {key: None for key in specs[0] if key not in specs[1]}
    return {**gone, "spec": left} if left else gone


def apply_server_side(release: Release, manager: str, force: bool) -> None:
    release.kube.request(
        "PATCH",
        object_path(release, "services", ACTIVE),
        service(ACTIVE),
        {"fieldManager": manager, "force": force},
        "application/apply-patch+yaml",
    )


def test_a_service_applied_again_client_side_keeps_our_key(
    release: Release, watcher: Watch
) -> None:
    release.kube.create(
        resource_path("services", release.namespace),
        {
            **service(ACTIVE),
            "metadata": {
                "name": ACTIVE,
                "annotations": {LAST_APPLIED: json.dumps(service(ACTIVE))},
            },
        },
    )
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    apply_client_side(release, service(ACTIVE))
    assert release.directed_to(ACTIVE) == 1
    handle = release.start_deploy("2", auto_promotion_seconds=LONG)
    release.pauses(handle)
    apply_client_side(release, service(ACTIVE))
    release.run("promote").check()
    handle.wait().check()
    apply_client_side(release, service(ACTIVE))
    assert release.directed_to(ACTIVE) == 2
    assert seen.revisions_seen(ACTIVE) == [release.hash_of(1), release.hash_of(2)]
    seen.assert_never_below(ACTIVE, 2)
    seen.assert_never_mixed(ACTIVE)
    is_unchanged(release, "2", auto_promotion_seconds=LONG)


def test_a_service_applied_again_server_side_without_force_conflicts(
    release: Release, watcher: Watch
) -> None:
    """The API server itself keeps the key: it is ours."""
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    with pytest.raises(ApiError, match="conflict with .*cutover.bluegreen"):
        apply_server_side(release, RECONCILER, force=False)
    assert release.directed_to(ACTIVE) == 1
    assert len(seen.moments(ACTIVE)) == 1


def test_a_forced_apply_is_closed_before_it_is_refused(
    release: Release, watcher: Watch
) -> None:
    """Invariants 1 and 6: users would reach V2; and then the tool is named."""
    release.deploy("1").check()
    release.deploy("2", **MANUAL).check()
    apply_server_side(release, RECONCILER, force=True)
    assert release.directed_to(ACTIVE) is None
    seen = watcher(ACTIVE)
    eventually(lambda: len(seen.moments(ACTIVE)[-1].ready) == 4, 30, "both revisions")
    run = release.deploy("3")
    assert run.rc == 2
    assert f"active_service: {RECONCILER} owns spec.selector of Service web" in (
        message(run).replace("bluegreen_", "")
    )
    assert "its selector was changed by somebody else" in steps_of(run)[0]
    assert release.directed_to(ACTIVE) == 1
    assert sorted(release.sizes()) == [1, 2]
    seen.assert_never_below(ACTIVE, 2)


def test_a_forced_apply_under_a_run_that_waits(
    release: Release, watcher: Watch
) -> None:
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    handle = release.start_deploy("2", auto_promotion_seconds=LONG)
    release.pauses(handle)
    apply_server_side(release, RECONCILER, force=True)
    eventually(lambda: release.directed_to(ACTIVE) == 1, 10, "V1 alone again")
    release.run("promote").check()
    assert any("somebody else" in step for step in steps_of(handle.wait().check()))
    assert release.directed_to(ACTIVE) == 2
    seen.assert_never_below(ACTIVE, 2)


def test_a_tool_that_was_accepted_once_owns_the_selector_no_more(
    release: Release,
) -> None:
    """The first release takes the field over from who leaves it alone from then on."""
    path = resource_path("services", release.namespace)
    release.kube.create(path, service(ACTIVE), fieldManager="somebody")
    apply_server_side(release, RECONCILER, force=True)
    run = release.deploy("1")
    assert f"{RECONCILER} owns spec.selector of Service web" in message(run)
    assert release.sizes() == {}
    release.deploy("1", accept_field_manager=[RECONCILER]).check()
    release.deploy("2").check()
    assert release.directed_to(ACTIVE) == 2


# -- the admission policy of the examples ----------------------------------------------

POLICY = session.ROOT / "examples" / "gitops" / "keep_selector.manifests"


@pytest.fixture
def policy(kube: Kube, namespace: str) -> t.Iterator[str]:
    """The policy as it is shipped, for the test's namespace alone; its name."""
    policy, binding = yaml.safe_load_all(POLICY.read_text())
    name = f"{policy['metadata']['name']}.{namespace}"
    labels = {"kubernetes.io/metadata.name": namespace}
    for item in (policy, binding):
        item["metadata"]["name"] = name
    binding["spec"]["policyName"] = name
    binding["spec"]["matchResources"] = {"namespaceSelector": {"matchLabels": labels}}
    kinds = "validatingadmissionpolicies", "validatingadmissionpolicybindings"
    for kind, item in zip(kinds, (policy, binding), strict=True):
        kube.create(resource_path(kind), item)
    yield name
    for kind in kinds:
        kube.delete(resource_path(kind, name=name))


def refusal_of_a_stripped_hash(release: Release) -> str:
    """What the API server says, without a change; empty as long as it would take it."""
    selector = {"selector": {REVISION_LABEL: None}}
    path = object_path(release, "services", ACTIVE)
    try:
        release.kube.patch(path, {"spec": selector}, dryRun="All")
    except ApiError as error:
        return str(json.loads(error.body)["message"])
    return ""


def test_the_admission_policy_keeps_the_key_and_stands_in_nobody_s_way(
    release: Release, watcher: Watch, policy: str
) -> None:
    release.deploy("1").check()
    refused = eventually(
        lambda: refusal_of_a_stripped_hash(release), 30, "the policy in force"
    )
    assert "Service web is directed to one revision" in refused
    assert "leave spec.selector of this Service alone" in refused
    seen = watcher(ACTIVE)
    with pytest.raises(ApiError, match="is directed to one revision"):
        apply_server_side(release, RECONCILER, force=True)
    live = release.service()
    with pytest.raises(ApiError, match="is directed to one revision"):
        release.kube.replace(
            object_path(release, "services", ACTIVE),
            {**live, "spec": {**live["spec"], "selector": {"app": "web"}}},
        )
    release.deploy("2", scale_down_delay_seconds=-1).check()
    assert release.directed_to(ACTIVE) == 2
    first = release.hash_of(1)
    release.run("rollback").check()
    assert release.service()["spec"]["selector"][REVISION_LABEL] == first
    seen.assert_never_below(ACTIVE, 2)
    seen.assert_never_mixed(ACTIVE)
    assert policy
    release.kube.delete(object_path(release, "services", ACTIVE))


def test_the_admission_policy_lets_a_rollout_be_ejected(
    release: Release, policy: str
) -> None:
    release.deploy("1").check()
    eventually(lambda: refusal_of_a_stripped_hash(release), 30, "the policy in force")
    release.run("eject").check()
    assert REVISION_LABEL not in release.service()["spec"]["selector"]
    assert policy
