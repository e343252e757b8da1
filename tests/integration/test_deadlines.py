# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A revision that does not become ready, or does not stay so."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.cutover.bluegreen.tests.integration.support.release import (
    ACTIVE,
    PREVIEW,
    Release,
    message,
    rollout_of,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.watcher import (
    Watcher,
)


@pytest.mark.parametrize(
    ("steering", "evidence"),
    [
        ({"ready": "never"}, "2 of 2 pods: not ready"),
        ({"crash": "true"}, "CrashLoopBackOff"),
        ({"image_pull": "fail"}, "ImagePullBackOff"),
    ],
    ids=["never ready", "crash", "image pull"],
)
def test_v2_that_never_is_ready_fails_with_evidence(
    release: Release,
    watcher: t.Callable[..., Watcher],
    steering: dict[str, str],
    evidence: str,
) -> None:
    """Invariant 1: users notice nothing of it."""
    release.deploy("1").check()
    seen = watcher(ACTIVE, PREVIEW)
    run = release.deploy("2", steering=steering, progress_deadline_seconds=4)
    assert run.rc == 2
    said = message(run)
    assert "revision 2" in said
    assert "0/2 pods available" in said
    assert "within the progress deadline of 4 s" in said
    assert evidence in said
    assert release.phase() == "Degraded"
    assert release.record()["message"] in said
    assert release.directed_to(ACTIVE) == release.directed_to(PREVIEW) == 1
    for service in (ACTIVE, PREVIEW):
        seen.assert_never_below(service, 2)
        assert seen.revisions_seen(service) == [release.hash_of(1)]


def test_the_progress_deadline_may_abort(
    release: Release, watcher: t.Callable[..., Watcher]
) -> None:
    """Invariant 3."""
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    run = release.deploy(
        "2",
        steering={"ready": "never"},
        progress_deadline_seconds=1,
        progress_deadline_abort=True,
    )
    assert run.rc == 2
    assert "was aborted by its progress deadline of 1 s" in message(run)
    assert release.aborted(2)
    assert release.sizes() == {1: 2, 2: 0}
    assert release.directed_to(ACTIVE) == release.directed_to(PREVIEW) == 1
    seen.assert_never_below(ACTIVE, 2)


def test_each_available_pod_renews_the_progress_deadline(release: Release) -> None:
    """Three steps of one second each, and a deadline that no two of them fit into."""
    release.deploy("1", replicas=3).check()
    release.deploy(
        "2",
        replicas=3,
        steering={"ready_after": "1200ms"},
        scale_up_steps=[1, 2, 3],
        progress_deadline_seconds=3,
    ).check()
    assert release.directed_to(ACTIVE) == 2


def test_min_ready_seconds(release: Release) -> None:
    release.deploy("1").check()
    release.deploy("2", min_ready_seconds=1).check()
    assert release.revisions()[2]["spec"]["minReadySeconds"] == 1
    assert release.directed_to(ACTIVE) == 2


def test_v2_that_stops_being_ready_is_not_promoted(
    release: Release, watcher: t.Callable[..., Watcher]
) -> None:
    """Invariants 1 and 8: the proof is asked at the promotion, not before the pause."""
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    run = release.deploy(
        "2",
        steering={"unready_after": "1s"},
        auto_promotion_seconds=3,
        progress_deadline_seconds=1,
    )
    assert run.rc == 2
    assert "revision 2" in message(run)
    assert release.phase() == "Degraded"
    assert release.directed_to(ACTIVE) == 1
    seen.assert_never_below(ACTIVE, 2)
    assert seen.revisions_seen(ACTIVE) == [release.hash_of(1)]


def test_a_failed_release_is_tried_again_with_a_new_deadline(release: Release) -> None:
    release.deploy("1").check()
    options: dict[str, t.Any] = {"steering": {"ready_after": "4s"}}
    assert release.deploy("2", progress_deadline_seconds=1, **options).rc == 2
    run = release.deploy("2", progress_deadline_seconds=60, **options).check()
    assert rollout_of(run)["phase"] == "Healthy"
    assert release.directed_to(ACTIVE) == 2
