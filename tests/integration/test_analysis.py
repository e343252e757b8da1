# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Steps 5 and 8 on a real API: every way in which a measured release ends.

What is measured is a web server of the test's own; Prometheus and the other parts that
are real have test modules of their own.
"""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.tests.integration.support.analysis import (
    POST,
    PRE,
    Meter,
    as_file,
    state_of,
    users_came_back,
    users_never_saw_it,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
    resource_path,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.playbook import (
    Playbook,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.release import (
    ACTIVE,
    PREVIEW,
    Path,
    Release,
    message,
    rollout_of,
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

SECRET = "hunter2-hunter2"


@pytest.fixture
def meter() -> t.Iterator[Meter]:
    with HttpServer() as server:
        yield Meter(server)


def measured_by(meter: Meter, kind: str, **metric: t.Any) -> dict[str, t.Any]:
    return {"analysis_templates": meter.template(**metric), kind: "rate"}


# -- passing ---------------------------------------------------------------------------


@pytest.mark.lane
def test_a_measured_release(
    release: Release, watcher: t.Callable[..., Watcher], meter: Meter, path: Path
) -> None:
    release.path = path
    release.deploy("1").check()
    seen = watcher(ACTIVE, PREVIEW)
    given = {**measured_by(meter, PRE), POST: "rate"}
    run = release.deploy("2", **given).check()
    assert rollout_of(run)["phase"] == "Healthy"
    assert release.sizes() == {1: 0, 2: 2}
    for kind in (PRE, POST):
        state = state_of(release, kind)
        assert state["phase"] == "Successful"
        assert state["metrics"]["rate"]["successful"] == 3
    assert meter.count == 6
    seen.assert_never_below(ACTIVE, 2)
    seen.assert_never_mixed(ACTIVE)
    reasons = release.events()
    assert reasons.count("AnalysisRunRunning") == 2
    assert reasons.count("AnalysisRunSuccessful") == 2


def test_a_run_with_nothing_to_do_measures_nothing(
    release: Release, meter: Meter, wire: t.Callable[..., Wire]
) -> None:
    """Invariant 4."""
    given = {**measured_by(meter, PRE), POST: "rate"}
    release.deploy("1").check()
    release.deploy("2", **given).check()
    count, requests = meter.count, wire()
    assert not release.deploy("2", **given).check().changed
    assert meter.count == count
    assert not requests.writes


def test_it_grows_while_it_is_measured(release: Release, meter: Meter) -> None:
    """Step 5: measurements stand between the steps of the scale-up."""
    release.deploy("1", replicas=3).check()
    given = measured_by(meter, PRE, count=8)
    steps = {"scale_up_steps": [1, 2, 3], "scale_up_interval_seconds": 1}
    run = release.deploy("2", replicas=3, **steps, **given).check()
    assert rollout_of(run)["phase"] == "Healthy"
    story = [
        "measured" if "analysis: rate" in text else "scaled"
        for _at, text in release.details()["timeline"]
        if "analysis: rate" in text or "next step of the scale-up" in text
    ]
    assert story.count("scaled") == 2
    first, last = story.index("scaled"), len(story) - 1 - story[::-1].index("scaled")
    assert "measured" in story[:first]
    assert "measured" in story[first:last]


def test_the_first_release_is_not_measured(release: Release, meter: Meter) -> None:
    meter.reads(0)
    release.deploy("1", **measured_by(meter, PRE)).check()
    assert meter.count == 0


# -- not passing -----------------------------------------------------------------------


def fails(meter: Meter) -> None:
    meter.reads(0.1)


def breaks(meter: Meter) -> None:
    meter.breaks()


def hangs(meter: Meter) -> None:
    meter.hangs()


@pytest.mark.parametrize(
    ("happens", "phase", "said"),
    [
        (fails, "Failed", "result 0.1: result < 0.5 holds"),
        (breaks, "Error", "answered 500"),
        (hangs, "Error", "5 s"),
    ],
)
def test_it_does_not_pass_before_its_promotion(
    release: Release,
    watcher: t.Callable[..., Watcher],
    meter: Meter,
    happens: t.Callable[[Meter], None],
    phase: str,
    said: str,
) -> None:
    """Invariant 6: the preview goes back, V2 goes, and no user has seen it."""
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    happens(meter)
    run = release.deploy("2", **measured_by(meter, PRE, consecutiveErrorLimit=1))
    text = message(run)
    assert "was aborted by its pre-promotion analysis (metric rate" in text
    assert said in text
    assert state_of(release, PRE)["phase"] == phase
    assert release.directed_to(ACTIVE) == release.directed_to(PREVIEW) == 1
    assert release.phase() == "Degraded"
    release.run("scale_down").check()
    assert release.sizes() == {1: 2, 2: 0}
    users_never_saw_it(release, seen)
    assert f"AnalysisRun{phase}" in release.events()


@pytest.mark.parametrize(
    ("happens", "phase", "said"),
    [
        (fails, "Failed", "result 0.1: result < 0.5 holds"),
        (breaks, "Error", "answered 500"),
        (hangs, "Error", "5 s"),
    ],
)
def test_it_does_not_pass_after_its_promotion(
    release: Release,
    watcher: t.Callable[..., Watcher],
    meter: Meter,
    happens: t.Callable[[Meter], None],
    phase: str,
    said: str,
) -> None:
    """Invariant 3: V1 takes the users back in one cutover."""
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    happens(meter)
    run = release.deploy("2", **measured_by(meter, POST, consecutiveErrorLimit=1))
    text = message(run)
    assert "was aborted by its post-promotion analysis (metric rate" in text
    assert said in text
    assert state_of(release, POST)["phase"] == phase
    assert release.directed_to(ACTIVE) == release.directed_to(PREVIEW) == 1
    release.run("scale_down").check()
    assert release.sizes() == {1: 2, 2: 0}
    users_came_back(release, seen)


@pytest.mark.parametrize("verb", ["promote", "abort"])
def test_it_is_inconclusive_before_its_promotion(
    release: Release, watcher: t.Callable[..., Watcher], meter: Meter, verb: str
) -> None:
    """Invariant 6: a person decides."""
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    meter.reads(0.7)
    run = release.deploy("2", **measured_by(meter, PRE)).check()
    assert rollout_of(run)["phase"] == "Paused"
    assert "promote accepts it, abort refuses it" in rollout_of(run)["message"]
    users_never_saw_it(release, seen)
    assert rollout_of(release.run("resume").check())["phase"] == "Paused"
    release.run(verb).check()
    assert release.directed_to(ACTIVE) == (2 if verb == "promote" else 1)
    seen.assert_never_below(ACTIVE, 2)
    seen.assert_never_mixed(ACTIVE)


@pytest.mark.parametrize("verb", ["promote", "abort"])
def test_it_is_inconclusive_after_its_promotion(
    release: Release, watcher: t.Callable[..., Watcher], meter: Meter, verb: str
) -> None:
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    meter.reads(0.7)
    run = release.deploy("2", **measured_by(meter, POST)).check()
    assert (release.phase(), release.record()["stage"]) == ("Paused", "promoted")
    assert rollout_of(run)["next_task"] == "pause"
    assert release.sizes() == {1: 2, 2: 2}
    release.run(verb).check()
    if verb == "abort":
        users_came_back(release, seen)
    else:
        assert release.phase() == "Healthy"
        assert release.record()["stable"] == release.hash_of(2)


def test_no_data_shuts_the_gate(release: Release, meter: Meter) -> None:
    release.deploy("1").check()
    meter.reads(None)
    release.deploy("2", **measured_by(meter, PRE)).check()
    assert release.phase() == "Paused"
    assert "no data" in release.record()["message"]


def test_a_scale_up_that_fails_is_no_pass(release: Release, meter: Meter) -> None:
    release.deploy("1").check()
    run = release.deploy(
        "2",
        steering={"ready": "never"},
        progress_deadline_seconds=2,
        # The preview has its first step of none: what is measured is up to the test.
        scale_up_steps=[1, 2],
        **measured_by(meter, PRE, count=1000),
    )
    assert "no further one became available" in message(run)
    assert release.directed_to(ACTIVE) == 1
    assert release.phase() == "Degraded"


# -- ended, killed, resumed ------------------------------------------------------------


def test_an_abort_from_another_job_ends_it_at_once(
    release: Release, watcher: t.Callable[..., Watcher], meter: Meter
) -> None:
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    handle = release.start_deploy("2", **measured_by(meter, PRE, count=1000))
    eventually(lambda: meter.count > 2, 60, "measurements")
    release.run("abort").check()
    assert "was aborted" in message(handle.wait())
    assert state_of(release, PRE)["stopped"] == "the release was aborted"
    users_never_saw_it(release, seen)


def test_v3_ends_the_analysis_of_v2(release: Release, meter: Meter) -> None:
    release.deploy("1").check()
    handle = release.start_deploy("2", **measured_by(meter, PRE, count=1000))
    eventually(lambda: meter.count > 2, 60, "measurements")
    handle.kill_tree()
    release.deploy("3").check()
    assert release.directed_to(ACTIVE) == 3
    assert release.aborted(2)


def test_killed_and_resumed_it_goes_on_with_its_counts(
    release: Release, meter: Meter
) -> None:
    """Invariant 5."""
    release.deploy("1").check()
    given = measured_by(meter, PRE, count=8, interval="500ms")
    handle = release.start_deploy("2", **given)

    def three_are_recorded() -> bool:
        kinds = json.loads(release.record().get("details", "{}")).get("analysis", {})
        metrics = kinds.get("pre-promotion", {}).get("metrics", {})
        return bool(metrics.get("rate", {}).get("successful", 0) >= 3)

    eventually(three_are_recorded, 60, "three measurements in the record")
    handle.kill_tree()
    before = state_of(release, PRE)
    release.run("resume").check()
    after = state_of(release, PRE)
    assert release.directed_to(ACTIVE) == 2
    assert after["metrics"]["rate"]["successful"] == 8
    assert after["started_at"] == before["started_at"]
    # At most one was under way when it was killed.
    assert meter.count <= 9


def test_a_retry_measures_anew(release: Release, meter: Meter) -> None:
    release.deploy("1").check()
    meter.reads(0.1)
    given = measured_by(meter, PRE)
    assert release.deploy("2", **given).rc == 2
    meter.reads(1.0)
    release.deploy("2", **given).check()
    assert release.directed_to(ACTIVE) == 3
    assert state_of(release, PRE)["metrics"]["rate"]["successful"] == 3


# -- a dry run, check mode -------------------------------------------------------------


def test_a_dry_run_is_shown_and_never_decides(release: Release, meter: Meter) -> None:
    release.deploy("1").check()
    meter.reads(0.1)
    asked = {"templates": ["rate"], "dry_run": ["rate"]}
    run = release.deploy("2", **{**measured_by(meter, PRE), PRE: asked}).check()
    assert release.directed_to(ACTIVE) == 2
    assert state_of(release, PRE)["metrics"]["rate"]["phase"] == "Failed"
    assert "(dry run) Failed" in run.stdout


def test_check_mode_plans_and_measures_nothing(release: Release, meter: Meter) -> None:
    release.deploy("1").check()
    given = {**measured_by(meter, PRE), POST: "rate"}
    run = release.deploy("2", args=["--check"], **given).check()
    steps = " ".join(rollout_of(run)["steps"])
    assert "measure rate until the pre-promotion analysis has passed" in steps
    assert "measure rate until the post-promotion analysis has passed" in steps
    assert meter.count == 0
    assert list(release.sizes()) == [1]


@pytest.mark.parametrize("until", ["analysed", "verified"])
def test_check_mode_of_one_task_writes_nothing(
    release: Release, meter: Meter, wire: t.Callable[..., Wire], until: str
) -> None:
    release.deploy("1").check()
    given = {**measured_by(meter, PRE, count=1000), "wait": "detach"}
    handle = release.start_deploy("2", **given)
    eventually(lambda: meter.count > 1, 60, "measurements")
    handle.kill_tree()
    measured, requests = meter.count, wire()
    task = {"bluegreen_analysis": {"until": until}, "check_mode": True}
    assert release.play(task).check().results[-1].result["planned"]
    assert not requests.writes
    assert meter.count == measured
    assert release.directed_to(ACTIVE) == 1


# -- secrets ---------------------------------------------------------------------------


def with_token(meter: Meter) -> dict[str, t.Any]:
    template = meter.template()
    web = template["spec"]["metrics"][0]["provider"]["web"]
    web["headers"] = [{"key": "Authorization", "value": "Bearer {{args.token}}"}]
    source = {"secretKeyRef": {"name": "meter", "key": "token"}}
    template["spec"]["args"] = [{"name": "token", "valueFrom": source}]
    return template


def kept_of(release: Release) -> str:
    """All that the release has left in its namespace, but for Secrets."""
    found = [release.record()]
    for resource in ("deployments", "services", "events", "leases", "jobs"):
        found += release.kube.list(resource_path(resource, release.namespace))
    return json.dumps(found)


def test_a_secret_of_the_cluster(
    release: Release, meter: Meter, tmp_path: pathlib.Path
) -> None:
    """Invariant 9."""
    release.deploy("1").check()
    given = {"analysis_templates": as_file(tmp_path, with_token(meter)), PRE: "rate"}
    missing = release.deploy("2", **given)
    assert "Secret meter does not exist" in message(missing)
    assert list(release.sizes()) == [1]
    body = {"metadata": {"name": "meter"}, "stringData": {"token": SECRET}}
    release.kube.create(resource_path("secrets", release.namespace), body)
    run = release.deploy("2", args=["-vvv", "--diff"], **given).check()
    assert release.directed_to(ACTIVE) == 2
    assert SECRET not in f"{run.stdout}{run.stderr}{kept_of(release)}"


def test_a_secret_that_is_given(
    release: Release, meter: Meter, tmp_path: pathlib.Path, path: Path
) -> None:
    """Invariants 6 and 9: without it a later run keeps the gate shut, and says so."""
    release.path = path
    release.deploy("1").check()
    secrets = {"meter": {"token": SECRET}}
    given = {"analysis_templates": as_file(tmp_path, with_token(meter)), PRE: "rate"}
    meter.hangs()
    handle = release.start_deploy("2", **given, analysis_secrets=secrets)
    eventually(lambda: meter.count > 0, 60, "a measurement")
    handle.kill_tree()
    meter.reads(1.0)
    refused = message(release.run("resume"))
    assert refused.startswith("bluegreen_analysis_secrets: meter/token was given")
    assert release.directed_to(ACTIVE) == 1
    run = release.run("resume", analysis_secrets=secrets, args=["-vvv"]).check()
    assert release.directed_to(ACTIVE) == 2
    assert SECRET not in f"{run.stdout}{run.stderr}{kept_of(release)}"


# -- bad input -------------------------------------------------------------------------


def test_all_that_is_wrong_is_said_at_once_and_nothing_is_written(
    release: Release, meter: Meter, wire: t.Callable[..., Wire]
) -> None:
    release.deploy("1").check()
    requests = wire()
    bad = meter.template(count=5, interval=None, successCondition="result >", sucess=1)
    run = release.deploy("2", analysis_templates=bad, **{PRE: "rate", POST: "gone"})
    text = message(run)
    for said in ("interval", "sucess", "successCondition", "gone"):
        assert said in text, said
    assert "bluegreen_pre_promotion_analysis" in text
    assert "bluegreen_post_promotion_analysis" in text
    assert not requests.writes


# -- alone -----------------------------------------------------------------------------


def alone(playbook: Playbook, path: Path, **options: t.Any) -> t.Any:
    task = {"cutover.bluegreen.bluegreen_analysis": options}
    play = {"hosts": "localhost", "gather_facts": False, "tasks": [task]}
    return playbook(play, path=path)


def test_an_analysis_alone(playbook: Playbook, meter: Meter, path: Path) -> None:
    given = {"analysis_templates": meter.template(), "analysis": "rate"}
    run = alone(playbook, path, **given).check()
    (task,) = run.of("cutover.bluegreen.bluegreen_analysis")
    assert task.result["analysis"]["phase"] == "Successful"
    assert not task.result["changed"]
    for value, said in ((0.1, "Failed"), (0.7, "Inconclusive"), (None, "no data")):
        meter.reads(value)
        failed = alone(playbook, path, **given)
        assert failed.rc == 2
        assert said in message(failed)


def test_alone_there_is_no_revision(
    playbook: Playbook, meter: Meter, tmp_path: pathlib.Path
) -> None:
    given = meter.template()
    web = given["spec"]["metrics"][0]["provider"]["web"]
    web["url"] += "?revision={{args.hash}}"
    latest = {"podTemplateHashValue": "Latest"}
    given["spec"]["args"] = [{"name": "hash", "valueFrom": latest}]
    file = as_file(tmp_path, given)
    run = alone(playbook, "action", analysis_templates=file, analysis="rate")
    assert "analysis: argument hash: podTemplateHashValue" in message(run)
    assert meter.count == 0


def test_alone_it_needs_something_to_measure(playbook: Playbook, path: Path) -> None:
    assert "analysis: nothing was given to measure" in message(alone(playbook, path))
