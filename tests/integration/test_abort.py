# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Leaving a release: abort, retry, supersede."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.cutover.bluegreen.tests.integration.support.analysis import (
    template,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
    Kube,
    Object,
    resource_path,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.manifests import (
    deployment,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.release import (
    ACTIVE,
    NAME,
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


def pause_v2(release: Release, **options: t.Any) -> None:
    """Bring V2 in flight, up to a gate that only a decision opens."""
    release.deploy("1").check()
    release.deploy("2", auto_promotion_enabled=False, **options).check()
    assert release.phase() == "Paused"


@pytest.mark.parametrize(
    ("delay", "size"), [(0, 0), (1, 0), (-1, 2)], ids=["at once", "1 s", "never"]
)
def test_abort_at_the_gate(
    release: Release, watcher: t.Callable[..., Watcher], delay: int, size: int
) -> None:
    """Invariant 3: preview back, V2 scaled down after its delay, users unmoved."""
    pause_v2(release, abort_scale_down_delay_seconds=delay)
    seen = watcher(ACTIVE, PREVIEW)
    run = release.run("abort").check()
    assert "was aborted" in rollout_of(run)["message"]
    assert release.directed_to(ACTIVE) == release.directed_to(PREVIEW) == 1
    assert release.sizes() == {1: 2, 2: size}
    assert release.aborted(2)
    assert release.phase() == "Degraded"
    assert release.record()["stable"] == release.hash_of(1)
    assert seen.revisions_seen(ACTIVE) == [release.hash_of(1)]
    seen.assert_never_below(ACTIVE, 2)
    assert "RolloutAborted" in release.events()


def test_a_second_abort_has_nothing_to_do(release: Release, path: Path) -> None:
    release.path = path
    pause_v2(release)
    release.run("abort").check()
    assert not release.run("abort").check().changed
    assert release.sizes() == {1: 2, 2: 0}


def test_abort_without_a_release_in_flight_says_so(release: Release) -> None:
    release.deploy("1").check()
    run = release.run("abort")
    assert run.rc == 2
    assert "There is no release in flight to abort" in message(run)
    assert release.directed_to(ACTIVE) == 1


def test_the_first_release_has_no_way_back(release: Release) -> None:
    release.deploy(steering={"ready": "never"}, progress_deadline_seconds=1)
    run = release.run("abort")
    assert run.rc == 2
    assert "there is no earlier revision to go back to" in message(run)


def test_deploying_the_same_manifest_again_retries(
    release: Release, watcher: t.Callable[..., Watcher]
) -> None:
    """Invariant 1."""
    pause_v2(release)
    second = release.hash_of(2)
    release.run("abort").check()
    seen = watcher(ACTIVE)
    run = release.deploy("2").check()
    assert rollout_of(run)["active"] == {"revision": 3, "hash": second}
    assert not release.aborted(3)
    assert release.sizes() == {1: 0, 3: 2}
    seen.assert_never_below(ACTIVE, 2)
    seen.assert_never_mixed(ACTIVE)


def test_a_retry_passes_its_gate_anew(release: Release) -> None:
    """Invariant 6: an earlier approval or countdown opens nothing."""
    pause_v2(release)
    release.run("abort").check()
    run = release.deploy("2", auto_promotion_enabled=False).check()
    assert rollout_of(run)["phase"] == "Paused"
    assert release.directed_to(ACTIVE) == 1
    assert release.directed_to(PREVIEW) == 3


def test_deploying_the_stable_manifest_ends_v2(
    release: Release, watcher: t.Callable[..., Watcher]
) -> None:
    pause_v2(release)
    seen = watcher(ACTIVE)
    run = release.deploy("1").check()
    assert rollout_of(run)["phase"] == "Healthy"
    assert rollout_of(run)["stable"]["revision"] == 1
    assert release.directed_to(ACTIVE) == release.directed_to(PREVIEW) == 1
    assert release.sizes() == {1: 2, 2: 0}
    assert release.aborted(2)
    assert seen.revisions_seen(ACTIVE) == [release.hash_of(1)]
    assert not release.deploy("1").check().changed


def test_v3_supersedes_v2(release: Release, watcher: t.Callable[..., Watcher]) -> None:
    """Invariant 1: and V2 never reaches the users."""
    pause_v2(release)
    seen = watcher(ACTIVE)
    run = release.deploy("3").check()
    assert rollout_of(run)["active"]["revision"] == 3
    assert release.sizes() == {1: 0, 2: 0, 3: 2}
    assert release.aborted(2)
    assert seen.revisions_seen(ACTIVE) == [release.hash_of(1), release.hash_of(3)]
    seen.assert_never_below(ACTIVE, 2)
    seen.assert_never_mixed(ACTIVE)
    outcomes = [h["outcome"] for h in release.details()["history"]]
    assert outcomes == ["promoted", "superseded", "promoted"]


def unschedulable() -> Object:
    broken = deployment(NAME, version="2", replicas=2)
    nowhere = {"kubernetes.io/hostname": "no-such-node"}
    broken["spec"]["template"]["spec"]["nodeSelector"] = nowhere
    return broken


@pytest.mark.parametrize(
    "broken",
    [
        deployment(NAME, version="2", replicas=2, ready="never"),
        deployment(NAME, version="2", replicas=2, crash="true"),
        deployment(NAME, version="2", replicas=2, image_pull="fail"),
        unschedulable(),
    ],
    ids=["unready", "crash loop", "no image", "unschedulable"],
)
def test_abort_while_v2_is_scaled_up(
    release: Release, watcher: t.Callable[..., Watcher], broken: Object
) -> None:
    """Invariant 3: it needs nothing of V2, which is not ready."""
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    handle = release.start_deploy("2", definition=broken)
    eventually(lambda: release.sizes().get(2) == 2, 60, "V2")
    eventually(lambda: "0/2 pods available" in handle.stdout, 60, "a wait")
    release.run("abort").check()
    run = handle.wait()
    assert run.rc == 2
    assert "was aborted by process" in message(run)
    assert release.sizes() == {1: 2, 2: 0}
    assert seen.revisions_seen(ACTIVE) == [release.hash_of(1)]
    seen.assert_never_below(ACTIVE, 2)


def test_abort_after_the_promotion_brings_v1_to_size_first(
    release: Release, kube: Kube, watcher: t.Callable[..., Watcher]
) -> None:
    """Invariant 1, also where somebody has scaled V1 down meanwhile."""
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    endless = {
        "name": "endless",
        "interval": "200ms",
        "count": 1000,
        "successCondition": "result.crash_loops == 0",
        "provider": {"pods": {}},
    }
    handle = release.start_deploy(
        "2",
        analysis_templates=[template("endless", endless)],
        post_promotion_analysis="endless",
    )
    eventually(lambda: release.directed_to(ACTIVE) == 2, 60, "the promotion")
    name = release.revisions()[1]["metadata"]["name"]
    path = resource_path("deployments", release.namespace, name)
    kube.patch(path, {"spec": {"replicas": 1}})
    eventually(lambda: release.available(1) == 1, 60, "V1 scaled down by hand")
    release.run("abort").check()
    assert handle.wait().rc == 2
    assert release.directed_to(ACTIVE) == release.directed_to(PREVIEW) == 1
    assert release.sizes() == {1: 2, 2: 0}
    seen.assert_never_below(ACTIVE, 2)
    seen.assert_never_mixed(ACTIVE)


def test_abort_with_a_lost_record(release: Release) -> None:
    """Invariant 3: the record only explains; the way back does not need it."""
    pause_v2(release)
    release.kube.delete(release.record_path)
    release.run("abort").check()
    assert release.directed_to(ACTIVE) == release.directed_to(PREVIEW) == 1
    assert release.aborted(2)
    assert release.sizes() == {1: 2, 2: 0}


def test_abort_expects_the_revision_that_it_names(release: Release) -> None:
    pause_v2(release)
    run = release.run("abort", revision="1")
    assert run.rc == 2
    assert "another release came between" in message(run)
    assert release.phase() == "Paused"
    release.run("abort", revision="2").check()
    assert release.aborted(2)
