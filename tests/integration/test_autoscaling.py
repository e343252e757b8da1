# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The user's HorizontalPodAutoscaler follows the users from revision to revision."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
    Object,
    resource_path,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.release import (
    ACTIVE,
    NAME,
    Path,
    Release,
    Sizes,
    message,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.waiting import (
    eventually,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.watcher import (
    Stream,
    Watcher,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.wire import Wire

LONG = 600
KEPT: dict[str, t.Any] = {"scale_down_delay_seconds": LONG, "wait": "detach"}


def autoscaler_path(release: Release, name: str | None = None) -> str:
    return resource_path("horizontalpodautoscalers", release.namespace, name)


def autoscale(
    release: Release,
    target: str = NAME,
    least: int = 1,
    most: int = 9,
    name: str = NAME,
    **metadata: t.Any,
) -> None:
    """Create the HorizontalPodAutoscaler of a user."""
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": target}
    spec = {"scaleTargetRef": reference, "minReplicas": least, "maxReplicas": most}
    body = {"metadata": {"name": name, **metadata}, "spec": spec}
    release.kube.create(autoscaler_path(release), body)


def target_of(release: Release, name: str = NAME) -> str:
    found = release.kube.get(autoscaler_path(release, name))
    return t.cast(str, found["spec"]["scaleTargetRef"]["name"])


def deployment_of(release: Release, number: int) -> str:
    return t.cast(str, release.revisions()[number]["metadata"]["name"])


def scale(release: Release, number: int, replicas: int) -> None:
    """As an autoscaler does."""
    path = resource_path(
        "deployments", release.namespace, deployment_of(release, number), "scale"
    )
    release.kube.patch(path, {"spec": {"replicas": replicas}})
    eventually(lambda: release.available(number) == replicas, 30, "that many pods")


class Targets:
    """Where the active Service and the autoscaler pointed, in the order of writes."""

    def __init__(self, release: Release) -> None:
        self._seen: list[tuple[int, str, str]] = []
        self._streams = [
            Stream(release.kube, path, None, self._see)
            for path in (
                autoscaler_path(release),
                resource_path("services", release.namespace),
            )
        ]
        for stream in self._streams:
            stream.start()

    def _see(self, items: list[tuple[Object, bool]]) -> None:
        for item, deleted in items:
            spec = item["spec"]
            if deleted or item["metadata"]["name"] != NAME:
                continue
            if "scaleTargetRef" in spec:
                kind, target = "autoscaler", spec["scaleTargetRef"]["name"]
            else:
                revision = spec["selector"].get("cutover.bluegreen/revision-hash")
                kind, target = "users", f"{NAME}-{revision}"
            version = int(item["metadata"]["resourceVersion"])
            self._seen.append((version, kind, target))

    def moves(self) -> list[tuple[str, str]]:
        """Return each change: what moved, and to which Deployment."""
        for stream in self._streams:
            eventually(stream.caught_up, 10, "catching up")
            stream.stop()
        last: dict[str, str] = {}
        moves = []
        # One etcd counts the versions of all kinds.
        for _version, kind, target in sorted(self._seen):
            if last.setdefault(kind, target) != target:
                last[kind] = target
                moves.append((kind, target))
        return moves


def test_it_is_retargeted_after_the_users_have_moved(
    release: Release,
    watcher: t.Callable[..., Watcher],
    sizes: t.Callable[[], Sizes],
    wire: t.Callable[..., Wire],
    path: Path,
) -> None:
    """Forth and back, by promotion, rollback and abort; one autoscaler throughout."""
    release.path = path
    release.deploy("1", **KEPT).check()
    autoscale(release)
    # The manifest's own name is as good as the revision's.
    release.deploy("1", **KEPT).check()
    assert target_of(release) == deployment_of(release, 1)
    scale(release, 1, 4)
    sent = wire()
    assert not release.deploy("1", **KEPT).check().changed
    assert sent.writes == []

    seen, targets, grown = watcher(ACTIVE), Targets(release), sizes()
    first = deployment_of(release, 1)
    release.deploy("2", auto_promotion_enabled=False, **KEPT).check()
    assert target_of(release) == first
    release.run("promote", wait="detach").check()
    second = deployment_of(release, 2)
    assert targets.moves() == [("users", second), ("autoscaler", second)]
    assert release.sizes() == {1: 4, 2: 4}
    assert grown.asked_for(release.hash_of(2)) == [4]

    back = Targets(release)
    release.run("rollback", wait="detach").check()
    assert back.moves() == [("users", first), ("autoscaler", first)]
    seen.assert_never_below(ACTIVE, 4)
    assert len(release.kube.list(autoscaler_path(release))) == 1


def test_an_abort_after_the_promotion_takes_it_back(release: Release) -> None:
    release.deploy("1", **KEPT).check()
    autoscale(release, target=deployment_of(release, 1))
    analysis = {
        "analysis_templates": {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "AnalysisTemplate",
            "metadata": {"name": "slow"},
            "spec": {
                "metrics": [
                    {
                        "name": "pods",
                        "initialDelay": "10m",
                        "provider": {"pods": {}},
                    }
                ]
            },
        },
        "post_promotion_analysis": "slow",
    }
    handle = release.start_deploy("2", **KEPT, **analysis)
    release.reaches(stage="promoted")
    eventually(
        lambda: target_of(release) == deployment_of(release, 2) or not handle.running,
        60,
        "the autoscaler to follow",
    )
    assert target_of(release) == deployment_of(release, 2), handle.wait()
    release.run("abort", wait="detach").check()
    handle.wait()
    assert release.directed_to(ACTIVE) == 1
    assert target_of(release) == deployment_of(release, 1)


def test_v2_keeps_within_its_limits(
    release: Release, watcher: t.Callable[..., Watcher]
) -> None:
    """The manifest asks for more than the autoscaler allows."""
    release.deploy("1", replicas=2).check()
    autoscale(release, target=deployment_of(release, 1), most=3)
    seen = watcher(ACTIVE)
    release.deploy("2", replicas=6).check()
    seen.assert_never_below(ACTIVE, 2)
    assert release.sizes() == {1: 0, 2: 3}
    assert target_of(release) == deployment_of(release, 2)


def test_one_that_came_after_the_release_began_follows_too(release: Release) -> None:
    release.deploy("1").check()
    handle = release.start_deploy("2", auto_promotion_seconds=LONG)
    release.pauses(handle)
    autoscale(release, target=deployment_of(release, 1))
    release.run("promote").check()
    handle.wait().check()
    assert target_of(release) == deployment_of(release, 2)
    assert release.sizes() == {1: 0, 2: 2}


OWNED: dict[str, tuple[dict[str, t.Any], str]] = {
    "KEDA": (
        {
            "ownerReferences": [
                {
                    "apiVersion": "keda.sh/v1alpha1",
                    "kind": "ScaledObject",
                    "name": "shop",
                    "uid": "4b1f5d04-7e0b-4c8e-8b0e-000000000000",
                }
            ]
        },
        "the ScaledObject shop of KEDA",
    ),
    "Argo CD": (
        {"annotations": {"argocd.argoproj.io/tracking-id": "shop:x/y:z/web"}},
        "Argo CD (shop:x/y:z/web)",
    ),
    "Flux": ({"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}}, "Flux (apps)"),
}


@pytest.mark.parametrize("owner", OWNED)
def test_one_that_somebody_else_keeps_is_refused_by_its_owner(
    release: Release, wire: t.Callable[..., Wire], owner: str
) -> None:
    metadata, said = OWNED[owner]
    release.deploy("1").check()
    autoscale(release, **metadata)
    sent = wire()
    found = message(release.deploy("2"))
    assert "HorizontalPodAutoscaler web" in found
    assert said in found
    assert sent.writes == []
    if owner == "Argo CD":
        release.deploy("2", accept_field_manager=["argocd-controller"]).check()
        assert target_of(release) == deployment_of(release, 2)


def test_one_that_is_applied_by_the_server_is_refused_by_its_manager(
    release: Release, wire: t.Callable[..., Wire]
) -> None:
    release.deploy("1").check()
    body = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": NAME},
        "spec": {
            "scaleTargetRef": {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "name": NAME,
            },
            "maxReplicas": 5,
        },
    }
    release.kube.request(
        "PATCH",
        autoscaler_path(release, NAME),
        body,
        {"fieldManager": "reconciler"},
        "application/apply-patch+yaml",
    )
    sent = wire()
    found = message(release.deploy("2"))
    assert "reconciler would put its spec.scaleTargetRef back" in found
    assert "bluegreen_accept_field_manager: [reconciler]" in found
    assert sent.writes == []


def test_two_are_refused_by_name(release: Release, wire: t.Callable[..., Wire]) -> None:
    release.deploy("1").check()
    autoscale(release)
    autoscale(release, target=deployment_of(release, 1), name="web-too")
    sent = wire()
    assert "HorizontalPodAutoscalers web, web-too" in message(release.deploy("2"))
    assert sent.writes == []
