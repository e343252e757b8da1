# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An update from V1 to V2: what users and the preview see, and the sizes on the way."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
    Kube,
    resource_path,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.release import (
    ACTIVE,
    PREVIEW,
    Path,
    Release,
    Sizes,
    rollout_of,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.waiting import (
    eventually,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.watcher import (
    Watcher,
)


@pytest.mark.lane
def test_users_go_over_at_once_and_lose_nothing(
    release: Release, watcher: t.Callable[..., Watcher], path: Path
) -> None:
    """Invariants 1 and 8, and step by step what the record says of it."""
    release.path = path
    release.deploy("1", replicas=3).check()
    seen = watcher(ACTIVE, PREVIEW)
    run = release.deploy("2", replicas=3).check()
    first, second = release.hash_of(1), release.hash_of(2)

    seen.assert_never_below(ACTIVE, 3)
    seen.assert_never_mixed(ACTIVE)
    assert seen.revisions_seen(ACTIVE) == [first, second]
    assert seen.revisions_seen(PREVIEW) == [first, second]
    assert release.directed_to(ACTIVE) == release.directed_to(PREVIEW) == 2
    assert release.sizes() == {1: 0, 2: 3}
    assert release.phase() == "Healthy"

    rollout = rollout_of(run)
    assert rollout["active"] == rollout["stable"] == {"revision": 2, "hash": second}
    cutover = release.details()["cutover"]
    assert cutover["revision"] == second
    assert cutover["least_ready"] == 3
    assert cutover["mixed_ms"] == 0
    counts = [(v["ready"], v["new"]) for v in cutover["services"][ACTIVE]["versions"]]
    assert counts == [(3, 0), (3, 3)]
    # No proof Service of ours is left.
    services = release.kube.list(resource_path("services", release.namespace))
    assert {s["metadata"]["name"] for s in services} == {ACTIVE, PREVIEW}


def test_the_preview_shows_v2_only_once_its_first_step_is_ready(
    release: Release, watcher: t.Callable[..., Watcher]
) -> None:
    release.deploy("1").check()
    seen = watcher(ACTIVE, PREVIEW)
    handle = release.start_deploy(
        "2", steering={"ready_after": "1500ms"}, auto_promotion_enabled=False
    )
    eventually(lambda: 2 in release.sizes(), 60, "V2")
    assert release.directed_to(PREVIEW) == 1
    handle.wait().check()
    assert release.directed_to(PREVIEW) == 2
    assert release.directed_to(ACTIVE) == 1
    # The preview never had an unready endpoint of V2.
    second = release.hash_of(2)
    for moment in seen.moments(PREVIEW):
        if second in seen.revisions_of(moment):
            assert all(e.ready for e in moment.endpoints), seen.story(PREVIEW)
    assert seen.revisions_seen(ACTIVE) == [release.hash_of(1)]


def test_no_preview_service(
    release: Release, watcher: t.Callable[..., Watcher]
) -> None:
    """Invariant 1."""
    release.deploy("1", preview_service=None).check()
    seen = watcher(ACTIVE)
    release.deploy("2", preview_service=None).check()
    seen.assert_never_below(ACTIVE, 2)
    seen.assert_never_mixed(ACTIVE)
    assert release.directed_to(ACTIVE) == 2


def test_v2_is_scaled_up_step_by_step(
    release: Release, sizes: t.Callable[[], Sizes], watcher: t.Callable[..., Watcher]
) -> None:
    """Each step is ready before the next; users stay with V1. Invariant 1."""
    release.deploy("1", replicas=4).check()
    seen, active = sizes(), watcher(ACTIVE)
    release.deploy(
        "2",
        replicas=4,
        steering={"ready_after": "300ms"},
        scale_up_steps=["25%", 3, "100%"],
        scale_up_interval_seconds=1,
    ).check()
    second = release.hash_of(2)
    assert seen.asked_for(second) == [1, 3, 4]
    pairs = seen.of(second)
    for before, after in zip(pairs, pairs[1:], strict=False):
        if after[0] > before[0]:
            assert before[0] == before[1], pairs
    active.assert_never_below(ACTIVE, 4)
    active.assert_never_mixed(ACTIVE)
    said = [text for _at, text in release.details()["timeline"]]
    wanted = ("direct Service web-preview", "from 1 to 3 pods", "from 3 to 4 pods")
    places = [[w in text for text in said].index(True) for w in wanted]
    assert places == sorted(places), said


def test_preview_replica_count(
    release: Release, sizes: t.Callable[[], Sizes], watcher: t.Callable[..., Watcher]
) -> None:
    """V2 is small until the gate opens, and full before users reach it."""
    release.deploy("1", replicas=3).check()
    seen, active = sizes(), watcher(ACTIVE)
    options: dict[str, t.Any] = {"replicas": 3, "preview_replica_count": 1}
    release.deploy("2", auto_promotion_enabled=False, **options).check()
    assert release.sizes() == {1: 3, 2: 1}
    release.run("promote").check()
    assert seen.asked_for(release.hash_of(2)) == [1, 3]
    active.assert_never_below(ACTIVE, 3)
    active.assert_never_mixed(ACTIVE)
    assert release.sizes() == {1: 0, 2: 3}


def test_v2_gets_the_size_that_an_autoscaler_gave_v1(
    release: Release, kube: Kube, namespace: str, watcher: t.Callable[..., Watcher]
) -> None:
    """Invariant 1: the floor is what V1 has now, not what its manifest says."""
    release.deploy("1").check()
    name = release.revisions()[1]["metadata"]["name"]
    autoscaler = {
        "metadata": {"name": "web"},
        "spec": {
            "scaleTargetRef": {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "name": name,
            },
            "minReplicas": 1,
            "maxReplicas": 9,
        },
    }
    kube.create(resource_path("horizontalpodautoscalers", namespace), autoscaler)
    scale = resource_path("deployments", namespace, name, "scale")
    kube.patch(scale, {"spec": {"replicas": 4}})
    eventually(lambda: release.available(1) == 4, 30, "four pods")
    # A run without a change leaves the autoscaler's size alone.
    assert not release.deploy("1").check().changed
    assert release.sizes() == {1: 4}

    seen = watcher(ACTIVE)
    release.deploy("2").check()
    seen.assert_never_below(ACTIVE, 4)
    assert release.sizes() == {1: 0, 2: 4}


def test_replicas_alone_scale_in_place(
    release: Release, watcher: t.Callable[..., Watcher]
) -> None:
    release.deploy(replicas=2).check()
    seen = watcher(ACTIVE)
    assert release.deploy(replicas=4).check().changed
    assert release.sizes() == {1: 4}
    assert release.available(1) == 4
    assert release.phase() == "Healthy"
    seen.assert_never_below(ACTIVE, 2)
    assert not release.deploy(replicas=4).check().changed
    assert release.deploy(replicas=3).check().changed
    assert release.sizes() == {1: 3}


def test_changed_release_parameters_alone_make_no_revision(release: Release) -> None:
    release.deploy().check()
    assert release.deploy(revision_history_limit=3).check().changed
    assert release.sizes() == {1: 2}
    assert not release.deploy(revision_history_limit=3).check().changed


def test_an_update_that_also_changes_its_size(
    release: Release, watcher: t.Callable[..., Watcher]
) -> None:
    """Invariant 1: the floor is what is planned."""
    release.deploy("1", replicas=3).check()
    seen = watcher(ACTIVE)
    release.deploy("2", replicas=2).check()
    assert release.sizes() == {1: 0, 2: 2}
    seen.assert_never_below(ACTIVE, 2)
    seen.assert_never_mixed(ACTIVE)


def test_going_back_by_deploying_the_earlier_manifest(
    release: Release, watcher: t.Callable[..., Watcher]
) -> None:
    """It is a new release of the same pods: a higher number, the same Deployment."""
    release.deploy("1").check()
    first = release.hash_of(1)
    release.deploy("2").check()
    seen = watcher(ACTIVE)
    release.deploy("1").check()
    assert release.hash_of(3) == first
    assert release.sizes() == {2: 0, 3: 2}
    assert release.directed_to(ACTIVE) == 3
    seen.assert_never_below(ACTIVE, 2)
    seen.assert_never_mixed(ACTIVE)
