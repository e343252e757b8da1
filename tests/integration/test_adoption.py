# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A running plain Deployment and its Service become the first revision."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
    Kube,
    Object,
    resource_path,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.manifests import (
    deployment,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.plain import (
    Plain,
    release_vars,
    run_plain,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.playbook import (
    Playbook,
    Run,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.waiting import (
    eventually,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.watcher import (
    REVISION_LABEL,
    Watcher,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.wire import Wire

DEPLOY = "cutover.bluegreen.deploy"
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"

# What is seen, from outside, when a run has done this much of an adoption.
STEPS: dict[str, t.Callable[[Plain], bool]] = {
    "the record is written": lambda p: (
        p.kube.find(p.path("configmaps", f"bluegreen-{p.name}")) is not None
    ),
    "the plain Deployment is paused": lambda p: bool(
        (p.deployments().get(p.name) or {"spec": {"paused": True}})["spec"].get(
            "paused"
        )
    ),
    "the ReplicaSet is labelled": lambda p: any(
        REVISION_LABEL in r["metadata"]["labels"] for r in p.replica_sets()
    ),
    "the plain Deployment is gone": lambda p: p.name not in p.deployments(),
    "the new Deployment is there": lambda p: any(
        REVISION_LABEL in d["metadata"]["labels"] for d in p.deployments().values()
    ),
    "the Service is narrowed": lambda p: bool(p.hash()),
}


def assert_adopted(plain: Plain, pods: dict[str, tuple[str, int]]) -> None:
    """The pods of before run on, below a Deployment and ReplicaSet of our naming."""
    assert plain.pods() == pods
    revision = plain.hash()
    assert plain.selector() == {"app": plain.name, REVISION_LABEL: revision}
    (name, ours), *others = plain.deployments().items()
    assert (name, others) == (f"{plain.name}-{revision}", [])
    assert not ours["spec"].get("paused")
    assert ours["spec"]["selector"]["matchLabels"][REVISION_LABEL] == revision
    assert ours["status"]["availableReplicas"] == len(pods)
    (replica_set,) = plain.replica_sets()
    (owner,) = replica_set["metadata"]["ownerReferences"]
    assert (owner["name"], owner["uid"]) == (name, ours["metadata"]["uid"])


def slice_versions(plain: Plain) -> list[tuple[str, str, list[Object]]]:
    """Every version and endpoint of the Service's slices."""
    return [
        (
            s["metadata"]["name"],
            s["metadata"]["resourceVersion"],
            s.get("endpoints") or [],
        )
        for s in plain.slices()
    ]


def phase(run: Run) -> str:
    return str(run.of("bluegreen_rollout")[0].result["rollout"]["phase"])


@pytest.mark.lane
def test_the_same_manifest_adopts_without_touching_pods_or_slices(
    kube: Kube,
    namespace: str,
    playbook: Playbook,
    path: t.Literal["action", "module"],
    watcher: t.Callable[..., Watcher],
    wire: t.Callable[..., Wire],
) -> None:
    """Invariants 1 and 4: no slice is written, and the second run writes nothing."""
    plain = run_plain(kube, namespace)
    pods, slices = plain.pods(), slice_versions(plain)
    seen = watcher("web")
    release = release_vars(namespace, deployment("web"))

    run = playbook(DEPLOY, release, path=path).check()
    assert run.changed
    assert phase(run) == "Healthy"
    assert_adopted(plain, pods)
    seen.assert_never_below("web", 3)
    assert slice_versions(plain) == slices
    assert len(seen.every_version("web")) == 1

    sent = wire()
    run = playbook(DEPLOY, release, path=path).check()
    assert not run.changed
    assert sent.writes == []


def test_an_update_adopts_first_and_then_releases(
    kube: Kube,
    namespace: str,
    playbook: Playbook,
    watcher: t.Callable[..., Watcher],
    wire: t.Callable[..., Wire],
) -> None:
    """Invariants 1 and 4, with V1 as it ran before."""
    plain = run_plain(kube, namespace)
    pods = plain.pods()
    seen = watcher("web")
    release = release_vars(namespace, deployment("web", version="2"))
    release["bluegreen_scale_down_delay_seconds"] = 600

    playbook(DEPLOY, {**release, "bluegreen_wait": "detach"}).check()
    seen.assert_never_below("web", 3)
    # The watcher reads the labels that the pods have at last: both are revisions.
    seen.assert_never_mixed("web")
    revisions = seen.revisions_seen("web")
    assert len(revisions) == 2
    assert plain.hash() == revisions[1]
    assert pods.items() <= plain.pods().items()
    assert set(plain.deployments()) == {f"web-{r}" for r in revisions}

    sent = wire()
    run = playbook(DEPLOY, {**release, "bluegreen_wait": "detach"}).check()
    assert not run.changed
    assert sent.writes == []


@pytest.mark.parametrize("step", STEPS)
def test_killed_in_the_middle_it_goes_on_with_the_same_pods(
    kube: Kube,
    namespace: str,
    playbook: Playbook,
    watcher: t.Callable[..., Watcher],
    step: str,
) -> None:
    """Invariants 1 and 5."""
    plain = run_plain(kube, namespace)
    pods, slices = plain.pods(), slice_versions(plain)
    seen = watcher("web")
    release = release_vars(namespace, deployment("web"))

    handle = playbook.start(DEPLOY, release)
    eventually(lambda: STEPS[step](plain) or not handle.running, 60, step)
    handle.kill_tree()
    assert plain.pods() == pods

    playbook(DEPLOY, release).check()
    assert_adopted(plain, pods)
    seen.assert_never_below("web", 3)
    assert slice_versions(plain) == slices


def test_killed_in_the_middle_an_update_goes_on(
    kube: Kube,
    namespace: str,
    playbook: Playbook,
    watcher: t.Callable[..., Watcher],
) -> None:
    """Invariants 1 and 5, with another manifest than the one that runs."""
    plain = run_plain(kube, namespace)
    seen = watcher("web")
    release = release_vars(namespace, deployment("web", version="2"))
    handle = playbook.start(DEPLOY, release)
    eventually(
        lambda: STEPS["the plain Deployment is gone"](plain) or not handle.running, 60
    )
    handle.kill_tree()
    playbook(DEPLOY, release).check()
    seen.assert_never_below("web", 3)
    seen.assert_never_mixed("web")
    assert seen.revisions_seen("web")[-1] == plain.hash()
    containers = plain.deployments()[f"web-{plain.hash()}"]["spec"]["template"]["spec"][
        "containers"
    ]
    assert containers[0]["image"] == "example/web:2"


def test_a_restarted_template_counts_as_the_same(
    kube: Kube, namespace: str, playbook: Playbook
) -> None:
    plain = run_plain(kube, namespace)
    restarted = {"metadata": {"annotations": {RESTARTED_AT: "2026-01-01T00:00:00Z"}}}
    kube.patch(plain.path("deployments"), {"spec": {"template": restarted}})
    eventually(plain.settled, 30, "the restart to end")
    pods = plain.pods()
    release = release_vars(namespace, deployment("web"))
    run = playbook(DEPLOY, release).check()
    assert plain.pods() == pods
    assert run.of("bluegreen_rollout")[0].result["rollout"]["active"]["revision"] == 1
    run = playbook(DEPLOY, release).check()
    assert not run.changed


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_size_that_an_autoscaler_chose_is_kept(
    kube: Kube, namespace: str, playbook: Playbook, version: str
) -> None:
    """An HPA scaled the plain Deployment from 3 to 5: so many serve users after it."""
    plain = run_plain(kube, namespace)
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    autoscaler = {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 10}
    kube.create(
        resource_path("horizontalpodautoscalers", namespace),
        {"metadata": {"name": "web"}, "spec": autoscaler},
    )
    kube.patch(plain.path("deployments"), {"spec": {"replicas": 5}})
    eventually(plain.settled, 30, "five pods")
    pods = plain.pods()
    release = release_vars(namespace, deployment("web", version=version))
    playbook(DEPLOY, release).check()
    if version == "1":
        assert_adopted(plain, pods)
    assert plain.ready() == 5
    run = playbook(DEPLOY, release).check()
    assert not run.changed
    assert plain.ready() == 5


def test_check_mode_says_that_it_would_adopt_and_writes_nothing(
    kube: Kube,
    namespace: str,
    playbook: Playbook,
    path: t.Literal["action", "module"],
    wire: t.Callable[..., Wire],
) -> None:
    run_plain(kube, namespace)
    sent = wire()
    for version in ("1", "2"):
        release = release_vars(namespace, deployment("web", version=version))
        run = playbook(DEPLOY, release, args=["--check"], path=path).check()
        (task,) = run.of("bluegreen_rollout")
        assert task.changed
        assert task.result["planned"]
        assert "adopt Deployment web" in task.result["rollout"]["steps"][0]
        created = [s for s in task.result["rollout"]["steps"] if "create rev" in s]
        assert len(created) == (version == "2"), task.result["rollout"]["steps"]
    assert sent.writes == []


@pytest.mark.parametrize("state", ["unsettled", "paused"])
def test_a_deployment_that_is_not_settled_is_refused(
    kube: Kube,
    namespace: str,
    playbook: Playbook,
    wire: t.Callable[..., Wire],
    state: str,
) -> None:
    plain = run_plain(kube, namespace)
    if state == "paused":
        kube.patch(plain.path("deployments"), {"spec": {"paused": True}})
        wanted = "paused; resume it"
    else:
        never = deployment("web", version="1b", ready="never")["spec"]["template"]
        kube.patch(plain.path("deployments"), {"spec": {"template": never}})
        wanted = "not settled"
    eventually(
        lambda: kube.get(plain.path("deployments"))["status"]["observedGeneration"] == 2
    )
    sent = wire()
    run = playbook(DEPLOY, release_vars(namespace, deployment("web", version="2")))
    assert run.rc != 0
    message = run.of("bluegreen_rollout")[0].result["msg"]
    assert wanted in message
    assert "Deployment web" in message
    assert sent.writes == []
