# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Releases that the cluster itself measures: by Jobs, and by the revision's own pods.

Also what the cluster adds to a measurement: revisions' hashes, the rollout's fields,
templates that are kept there.
"""

from __future__ import annotations

import datetime
import json
import pathlib
import secrets
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.tests.integration.support import session
from ansible_collections.cutover.bluegreen.tests.integration.support.analysis import (
    KINDS,
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
from ansible_collections.cutover.bluegreen.tests.integration.support.argo import (
    ARGO,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
    Kube,
    Object,
    resource_path,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.playbook import (
    Handle,
    Playbook,
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
    REVISION_LABEL,
    Watcher,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.wire import Wire
from ansible_collections.cutover.bluegreen.tests.unit.support.http_server import (
    HttpServer,
)

TTL_SECONDS = 600
WITNESSES = {PRE: users_never_saw_it, POST: users_came_back}

Watch = t.Callable[..., Watcher]


@pytest.fixture
def steered(cluster: session.Cluster) -> None:
    if not cluster.embedded:
        pytest.skip("pods and Jobs are steered by the embedded cluster's stages")


@pytest.fixture
def meter() -> t.Iterator[Meter]:
    with HttpServer() as server:
        yield Meter(server)


@pytest.fixture
def jobs(kube: Kube, namespace: str, steered: None) -> t.Iterator[Jobs]:
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


@pytest.mark.parametrize("kind", [PRE, POST])
def test_a_job_that_fails(
    release: Release, watcher: Watch, jobs: Jobs, kind: str
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
    WITNESSES[kind](release, seen)


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


def recorded(release: Release, handle: Handle, kind: str, metric: str) -> None:
    """Wait until a measurement stands in the record of the run that goes on."""

    def is_recorded() -> bool:
        assert handle.running, f"it ended\n{handle.wait()}"
        if KINDS[kind] not in json.loads(release.record()["details"]).get(
            "analysis", {}
        ):
            return False
        metrics = state_of(release, kind).get("metrics", {})
        taken = metrics.get(metric, {}).get("measurements")
        # Without metadata, its Job is about to be created.
        return bool(taken and taken[-1].get("metadata"))

    eventually(is_recorded, 60, f"a measurement of {metric} in the record")


def start_with_a_job(release: Release, runs_for: str) -> Handle:
    """A deploy of V2 whose Job runs, and stands in the record."""
    given = measured_by(job_metric(runs_for=runs_for))
    handle = release.start_deploy("2", **given)
    recorded(release, handle, PRE, "smoke")
    return handle


def test_killed_and_resumed_it_is_the_same_job(
    release: Release, watcher: Watch, jobs: Jobs
) -> None:
    """Invariant 5."""
    release.deploy("1").check()
    seen = watcher(ACTIVE, PREVIEW)
    start_with_a_job(release, "8s").kill_tree()
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
    handle = start_with_a_job(release, "1h")
    release.run("abort").check()
    assert "was aborted" in message(handle.wait())
    assert state_of(release, PRE)["stopped"] == "the release was aborted"
    assert len(jobs.seen) == 1
    assert not jobs.left
    users_never_saw_it(release, seen)


def test_v3_deletes_the_job_of_v2(release: Release, watcher: Watch, jobs: Jobs) -> None:
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    start_with_a_job(release, "1h").kill_tree()
    release.deploy("3", **measured_by(job_metric())).check()
    assert release.directed_to(ACTIVE) == 3
    assert release.aborted(2)
    owners = [owner_of(job) for job in jobs.seen]
    assert owners == [deployment_of(release, 2), deployment_of(release, 3)]
    assert not jobs.left
    seen.assert_never_below(ACTIVE, 2)
    seen.assert_never_mixed(ACTIVE)


@pytest.mark.parametrize("delay", ["2s", "0s"], ids=["runs", "is being created"])
def test_another_metric_that_fails_ends_the_job(
    release: Release, meter: Meter, jobs: Jobs, delay: str
) -> None:
    release.deploy("1").check()
    meter.reads(0.1)
    failing = meter.metric(count=None, interval=None, initialDelay=delay)
    given = measured_by(job_metric(runs_for="1h"), failing)
    assert "result 0.1: result < 0.5 holds" in message(release.deploy("2", **given))
    assert len(jobs.seen) <= 1
    assert not jobs.left


def test_an_abort_finds_the_job_of_a_run_that_was_killed_creating_it(
    release: Release, jobs: Jobs
) -> None:
    """Invariant 5: what is in the record before leads to what was created."""
    release.deploy("1").check()
    start_with_a_job(release, "1h").kill_tree()
    analysis = release.details()["analysis"]
    (measurement,) = analysis["pre-promotion"]["metrics"]["smoke"]["measurements"]
    # As the record was before the answer to the Job's creation came.
    del measurement["metadata"]
    release.edit_details(analysis=analysis)
    release.run("abort").check()
    assert len(jobs.seen) == 1
    assert not jobs.left


def test_a_job_without_a_rollout(
    playbook: Playbook, namespace: str, jobs: Jobs
) -> None:
    options = {
        "namespace": namespace,
        "analysis_templates": template("smoke", job_metric()),
        "analysis": "smoke",
    }
    task = {"cutover.bluegreen.bluegreen_analysis": options}
    play = {"hosts": "localhost", "gather_facts": False, "tasks": [task]}
    playbook(play).check()
    (job,) = jobs.seen
    assert "ownerReferences" not in job["metadata"]
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


def pod_of_v2(release: Release) -> Object:
    selector = f"{REVISION_LABEL}={release.hash_of(2)}"
    return release.kube.list(resource_path("pods", release.namespace), selector)[0]


def restarts(pod: Object) -> Object:
    (container,) = pod["status"]["containerStatuses"]
    terminated = {"exitCode": 137, "reason": "OOMKilled"}
    changed = {**container, "restartCount": 1, "lastState": {"terminated": terminated}}
    return {"containerStatuses": [changed]}


def loses_its_readiness(pod: Object) -> Object:
    # Later than the conditions that a pod starts with.
    started = datetime.datetime.fromisoformat(pod["status"]["startTime"][:-1])
    at = started + datetime.timedelta(seconds=5)
    lost = {
        "status": "False",
        "reason": "ContainersNotReady",
        "lastTransitionTime": f"{at:%Y-%m-%dT%H:%M:%SZ}",
    }
    conditions = pod["status"]["conditions"]
    gone = ("Ready", "ContainersReady")
    return {
        "conditions": [{**c, **lost} if c["type"] in gone else c for c in conditions]
    }


@pytest.mark.parametrize(
    ("kind", "happens", "said"),
    [
        (PRE, restarts, "container web was restarted 1 time"),
        (POST, restarts, "container web was restarted 1 time"),
        (PRE, loses_its_readiness, "not ready (Containers"),
    ],
)
def test_a_pod_in_trouble(
    release: Release,
    watcher: Watch,
    steered: None,
    kind: str,
    happens: t.Callable[[Object], Object],
    said: str,
) -> None:
    """Invariants 3 and 6."""
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    given = measured_by(pods_metric(count=1000), kind=kind)
    handle = release.start_deploy("2", **given)
    recorded(release, handle, kind, "pods")
    pod = pod_of_v2(release)
    name = pod["metadata"]["name"]
    path = resource_path("pods", release.namespace, name, "status")
    release.kube.patch(path, {"status": happens(pod)})
    text = message(handle.wait())
    assert f"was aborted by its {KINDS[kind]} analysis (metric pods failed" in text
    assert f"{name}: {said}" in text
    assert release.directed_to(ACTIVE) == release.directed_to(PREVIEW) == 1
    WITNESSES[kind](release, seen)


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


def test_several_templates_are_one_analysis(
    release: Release, meter: Meter, tmp_path: pathlib.Path
) -> None:
    """As in Argo Rollouts' examples: shared and nested ones, defaults, a dry run."""
    release.deploy("1").check()
    shared = [{"name": "service-name"}, {"name": "times", "value": "2"}]
    url = f"{meter.url}?service={{{{ args.service-name }}}}&metric="
    count = "{{args.times}}"

    def metric(name: str, **more: t.Any) -> dict[str, t.Any]:
        web = {"url": f"{url}{name}", "jsonPath": "{$.rate}"}
        provider = {"web": web}
        return meter.metric(name=name, count=count, provider=provider, **more)

    templates = (
        template("success-rate", metric("success-rate"), args=shared),
        template(
            "error-rate",
            metric(
                "error-rate", successCondition="result < 0.5", failureCondition=None
            ),
            args=shared,
            dryRun=[{"metricName": "error.*"}],
            templates=[{"templateName": "success-rate"}, {"templateName": "latency"}],
        ),
        template("latency", metric("latency", initialDelay="300ms"), args=shared),
    )
    asked = {
        "templates": ["success-rate", "error-rate"],
        "args": [
            {"name": "service-name", "value": PREVIEW},
            {"name": "times", "value": 3},
        ],
    }
    given = {"analysis_templates": as_file(tmp_path, *templates), PRE: asked}
    release.deploy("2", **given).check()
    assert release.directed_to(ACTIVE) == 2
    metrics = state_of(release, PRE)["metrics"]
    assert sorted(metrics) == ["error-rate", "latency", "success-rate"]
    assert metrics["error-rate"]["phase"] == "Failed"
    assert metrics["success-rate"]["successful"] == 3
    assert metrics["latency"]["successful"] == 3
    assert {query["service"] for query in meter.queries} == {PREVIEW}
    by_metric = [query["metric"] for query in meter.queries]
    counts = {name: by_metric.count(name) for name in metrics}
    assert counts == {"error-rate": 1, "latency": 3, "success-rate": 3}


# -- templates that are kept in the cluster --------------------------------------------


@pytest.fixture
def cluster_template(kube: Kube, argo: None, meter: Meter) -> t.Iterator[str]:
    """A ClusterAnalysisTemplate with a default and an argument that nothing uses."""
    name = f"t-{secrets.token_hex(4)}"
    args = [{"name": "app", "value": "none"}, {"name": "unused", "value": "x"}]
    web = {"url": f"{meter.url}?wide={{{{args.app}}}}", "jsonPath": "{$.rate}"}
    body = template(name, meter.metric(name="wide", provider={"web": web}), args=args)
    path = f"{ARGO}/clusteranalysistemplates"
    kube.create(path, {**body, "kind": "ClusterAnalysisTemplate"})
    yield name
    kube.delete(f"{path}/{name}")


def test_templates_are_found_in_the_cluster(
    release: Release, meter: Meter, cluster_template: str
) -> None:
    nested = [{"templateName": cluster_template, "clusterScope": True}]
    body = template("rate", asking(meter), args=named("new", "old", "app"))
    body["spec"]["templates"] = nested
    path = f"{ARGO}/namespaces/{release.namespace}/analysistemplates"
    release.kube.create(path, body)
    release.deploy("1").check()
    asked = {"templates": ["rate"], "args": ARGS}
    release.deploy("2", **{PRE: asked, POST: {"templates": nested}}).check()
    assert release.directed_to(ACTIVE) == 2
    before, after = (state_of(release, kind)["metrics"] for kind in (PRE, POST))
    assert sorted(before) == ["rate", "wide"]
    assert sorted(after) == ["wide"]
    wide = [query["wide"] for query in meter.queries if "wide" in query]
    assert wide == [NAME] * 3 + ["none"] * 3


def test_without_argo_s_definitions_a_template_is_missing(
    kube: Kube, release: Release, wire: t.Callable[..., Wire]
) -> None:
    release.deploy("1").check()
    requests = wire()
    wide = {"templates": [{"templateName": "gone", "clusterScope": True}]}
    text = message(release.deploy("2", **{PRE: "gone", POST: wide}))
    where = "was found neither among the templates that were given nor in the cluster"
    assert f"pre_promotion_analysis: AnalysisTemplate gone {where}" in text
    assert f"post_promotion_analysis: ClusterAnalysisTemplate gone {where}" in text
    assert not requests.writes
