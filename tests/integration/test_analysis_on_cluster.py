# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Releases that the cluster itself measures: by Jobs, and by the revision's own pods.

Also what the cluster adds to a measurement: revisions' hashes, the rollout's fields,
templates that are kept there.
"""

from __future__ import annotations

import pathlib
import secrets
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.tests.integration.support import session
from ansible_collections.cutover.bluegreen.tests.integration.support.analysis import (
    POST,
    PRE,
    Jobs,
    Meter,
    as_file,
    job_metric,
    state_of,
    template,
    users_came_back,
    users_never_saw_it,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
    ApiError,
    Kube,
    Object,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.playbook import (
    Handle,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.release import (
    ACTIVE,
    NAME,
    PREVIEW,
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
from ansible_collections.cutover.bluegreen.tests.unit.support.http_server import (
    HttpServer,
)

TTL_SECONDS = 600

Watch = t.Callable[..., Watcher]


@pytest.fixture(autouse=True)
def _embedded(cluster: session.Cluster) -> None:
    if not cluster.embedded:
        pytest.skip("pods and Jobs are steered by the embedded cluster's stages")


@pytest.fixture
def meter() -> t.Iterator[Meter]:
    with HttpServer() as server:
        yield Meter(server)


@pytest.fixture
def jobs(kube: Kube, namespace: str) -> t.Iterator[Jobs]:
    watched = Jobs(kube, namespace)
    yield watched
    watched.stop()


def measured_by(*metrics: t.Mapping[str, t.Any], kind: str = PRE) -> dict[str, t.Any]:
    return {"analysis_templates": template("smoke", *metrics), kind: "smoke"}


def owner_of(job: Object) -> tuple[str, str]:
    (owner,) = job["metadata"]["ownerReferences"]
    return owner["kind"], owner["uid"]


def deployment_of(release: Release, number: int) -> tuple[str, str]:
    return "Deployment", release.revisions()[number]["metadata"]["uid"]


# -- a Job decides ---------------------------------------------------------------------


def test_jobs_that_complete(release: Release, watcher: Watch, jobs: Jobs) -> None:
    """Each measurement has one of its own, which the revision owns until it is done."""
    release.deploy("1").check()
    seen = watcher(ACTIVE, PREVIEW)
    metric = {**job_metric(), "count": 2, "interval": "200ms"}
    run = release.deploy("2", **measured_by(metric), **{POST: "smoke"}).check()
    assert rollout_of(run)["phase"] == "Healthy"
    for kind in (PRE, POST):
        state = state_of(release, kind)
        assert state["phase"] == "Successful"
        assert state["metrics"]["smoke"]["successful"] == 2
    assert len({job["metadata"]["name"] for job in jobs.seen}) == 4
    assert {owner_of(job) for job in jobs.seen} == {deployment_of(release, 2)}
    assert not jobs.left
    seen.assert_never_below(ACTIVE, 2)
    seen.assert_never_mixed(ACTIVE)


@pytest.mark.parametrize(
    ("kind", "witness"), [(PRE, users_never_saw_it), (POST, users_came_back)]
)
def test_a_job_that_fails(
    release: Release,
    watcher: Watch,
    jobs: Jobs,
    kind: str,
    witness: t.Callable[[Release, Watcher], None],
) -> None:
    """Invariants 3 and 6; what is left of it can be read for a while."""
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    metric = job_metric(exit_code="3", last_words="2 of 9 tests failed")
    text = message(release.deploy("2", **measured_by(metric, kind=kind)))
    assert "was aborted by its" in text
    assert "ended with exit code 3: 2 of 9 tests failed" in text
    (left,) = jobs.left
    logs = f"kubectl logs job/{left['metadata']['name']} -n {release.namespace}"
    assert logs in text
    assert left["spec"]["ttlSecondsAfterFinished"] == TTL_SECONDS
    assert release.directed_to(ACTIVE) == release.directed_to(PREVIEW) == 1
    release.run("scale_down").check()
    assert release.sizes() == {1: 2, 2: 0}
    witness(release, seen)


def test_a_job_whose_image_cannot_be_had(
    release: Release, watcher: Watch, jobs: Jobs
) -> None:
    """It says nothing about the revision: a person decides."""
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    run = release.deploy("2", **measured_by(job_metric(image_pull="fail"))).check()
    assert rollout_of(run)["phase"] == "Paused"
    said = release.record()["message"]
    assert "the image example/smoke:1 of container smoke cannot be had" in said
    assert "promote accepts it, abort refuses it" in said
    assert len(jobs.seen) == 1
    assert not jobs.left
    users_never_saw_it(release, seen)


def start_with_a_job(
    release: Release, jobs: Jobs, runs_for: str, **given: t.Any
) -> Handle:
    """A deploy of V2 whose Job runs, and stands in the record."""
    handle = release.start_deploy(
        "2", **measured_by(job_metric(runs_for=runs_for)), **given
    )

    def is_recorded() -> bool:
        assert handle.running, f"it ended\n{handle.wait()}"
        if "analysis" not in release.record().get("details", ""):
            return False
        metrics = state_of(release, PRE).get("metrics", {})
        return bool(metrics.get("smoke", {}).get("measurements"))

    eventually(is_recorded, 60, "a Job in the record")
    return handle


def test_killed_and_resumed_it_is_the_same_job(
    release: Release, watcher: Watch, jobs: Jobs
) -> None:
    """Invariant 5."""
    release.deploy("1").check()
    seen = watcher(ACTIVE, PREVIEW)
    start_with_a_job(release, jobs, "8s").kill_tree()
    (begun,) = jobs.left
    assert owner_of(begun) == deployment_of(release, 2)
    release.run("resume").check()
    assert release.directed_to(ACTIVE) == 2
    assert state_of(release, PRE)["metrics"]["smoke"]["successful"] == 1
    assert [j["metadata"]["uid"] for j in jobs.seen] == [begun["metadata"]["uid"]]
    assert not jobs.left
    seen.assert_never_below(ACTIVE, 2)
    seen.assert_never_mixed(ACTIVE)


def test_an_abort_from_another_job_deletes_it(
    release: Release, watcher: Watch, jobs: Jobs
) -> None:
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    handle = start_with_a_job(release, jobs, "1h")
    release.run("abort").check()
    assert "was aborted" in message(handle.wait())
    assert state_of(release, PRE)["stopped"] == "the release was aborted"
    assert len(jobs.seen) == 1
    assert not jobs.left
    users_never_saw_it(release, seen)


def test_v3_deletes_the_job_of_v2(release: Release, watcher: Watch, jobs: Jobs) -> None:
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    start_with_a_job(release, jobs, "1h").kill_tree()
    release.deploy("3", **measured_by(job_metric())).check()
    assert release.directed_to(ACTIVE) == 3
    assert release.aborted(2)
    owners = [owner_of(job) for job in jobs.seen]
    assert owners == [deployment_of(release, 2), deployment_of(release, 3)]
    assert not jobs.left
    seen.assert_never_below(ACTIVE, 2)
    seen.assert_never_mixed(ACTIVE)


@pytest.mark.parametrize("delay", ["0s", "2s"])
def test_another_metric_that_fails_ends_the_job(
    release: Release, meter: Meter, jobs: Jobs, delay: str
) -> None:
    release.deploy("1").check()
    meter.reads(0.1)
    failing = meter.metric(count=None, interval=None, initialDelay=delay)
    given = measured_by(job_metric(runs_for="1h"), failing)
    assert "result 0.1: result < 0.5 holds" in message(release.deploy("2", **given))
    assert len(jobs.seen) == 1
    assert not jobs.left


# -- its own pods decide ---------------------------------------------------------------


def pods_metric(**changes: t.Any) -> dict[str, t.Any]:
    """The built-in template's metric, in less time."""
    troubles = ("restarts", "unready", "crash_loops", "image_errors", "warnings")
    return {
        "name": "pods",
        "interval": "200ms",
        "count": 3,
        "successCondition": " && ".join(f"result.{each} == 0" for each in troubles),
        "provider": {"pods": {}},
        **changes,
    }


def test_healthy_pods_pass_the_built_in_template(
    release: Release, watcher: Watch
) -> None:
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    release.deploy("2", **{PRE: "pods"}).check()
    assert release.directed_to(ACTIVE) == 2
    assert state_of(release, PRE)["metrics"]["pods"]["successful"] == 6
    seen.assert_never_below(ACTIVE, 2)
    seen.assert_never_mixed(ACTIVE)


@pytest.mark.parametrize(
    ("steering", "said"),
    [
        ({"crash": "true"}, "container web was restarted 3 times"),
        ({"unready_after": "4s"}, "not ready (ContainersNotReady)"),
    ],
)
def test_pods_that_are_in_trouble(
    release: Release, watcher: Watch, steering: dict[str, str], said: str
) -> None:
    """Invariant 6."""
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    given = measured_by(pods_metric(count=1000))
    text = message(release.deploy("2", steering=steering, **given))
    assert "was aborted by its pre-promotion analysis (metric pods failed" in text
    assert said in text
    assert f"web-{release.hash_of(2)}" in text
    assert release.directed_to(ACTIVE) == release.directed_to(PREVIEW) == 1
    users_never_saw_it(release, seen)


# -- what the cluster knows ------------------------------------------------------------


def asking(meter: Meter, **metric: t.Any) -> dict[str, t.Any]:
    """A metric whose request carries the arguments `new`, `old` and `app`."""
    query = "new={{args.new}}&old={{ args.old }}&app={{args.app}}"
    web = {"url": f"{meter.url}?{query}", "jsonPath": "{$.rate}"}
    return meter.metric(provider={"web": web}, **metric)


def named(*names: str) -> list[dict[str, str]]:
    return [{"name": name} for name in names]


ARGS = [
    {"name": "new", "valueFrom": {"podTemplateHashValue": "Latest"}},
    {"name": "old", "valueFrom": {"podTemplateHashValue": "Stable"}},
    {
        "name": "app",
        "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}},
    },
]


def test_hashes_and_fields_reach_the_provider(
    release: Release, meter: Meter, tmp_path: pathlib.Path
) -> None:
    release.deploy("1").check()
    declared = template("rate", asking(meter), args=named("new", "old", "app"))
    given = {"analysis_templates": as_file(tmp_path, declared)}
    asked = {"templates": ["rate"], "args": ARGS}
    release.deploy("2", **given, **{PRE: asked, POST: asked}).check()
    one, two = release.hash_of(1), release.hash_of(2)
    assert meter.count == 6
    assert meter.queries == [{"new": two, "old": one, "app": NAME}] * 6
