# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What becomes of old revisions: their delay, its limit, the history."""

from __future__ import annotations

import typing as t

from ansible_collections.cutover.bluegreen.tests.integration.support.release import (
    ACTIVE,
    Release,
    rollout_of,
    steps_of,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.waiting import (
    eventually,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.watcher import (
    Watcher,
)


def test_v1_is_kept_until_its_delay_is_over(
    release: Release, watcher: t.Callable[..., Watcher]
) -> None:
    """Invariants 1 and 2."""
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    handle = release.start_deploy("2", scale_down_delay_seconds=3)
    eventually(lambda: release.record().get("stage") == "verified", 60, "verified")
    assert release.directed_to(ACTIVE) == 2
    assert release.sizes() == {1: 2, 2: 2}
    assert release.record()["next-at"].endswith("Z")
    run = handle.wait().check()
    assert any("its scale-down delay is over" in step for step in steps_of(run))
    assert release.sizes() == {1: 0, 2: 2}
    assert release.record()["stage"] == "retired"
    assert release.record()["next-at"] == ""
    seen.assert_never_below(ACTIVE, 2)


def test_v1_is_never_scaled_down(release: Release) -> None:
    release.deploy("1").check()
    release.deploy("2", scale_down_delay_seconds=-1).check()
    release.run("scale_down").check()
    assert release.sizes() == {1: 2, 2: 2}
    # Asked for later, it is.
    release.deploy("2", scale_down_delay_seconds=0).check()
    assert release.sizes() == {1: 0, 2: 2}


def test_detached_and_scaled_down_later(release: Release) -> None:
    release.deploy("1").check()
    options: dict[str, t.Any] = {"wait": "detach", "scale_down_delay_seconds": 600}
    release.deploy("2", **options).check()
    assert release.sizes() == {1: 2, 2: 2}
    assert not release.run("scale_down", wait="detach").check().changed
    # A later release's own delay is for what that release leaves.
    release.edit_details(retire_at={release.hash_of(1): "2020-01-01T00:00:00Z"})
    release.run("scale_down", wait="detach").check()
    assert release.sizes() == {1: 0, 2: 2}


def test_only_so_many_old_revisions_keep_their_delay(release: Release) -> None:
    options: dict[str, t.Any] = {
        "wait": "detach",
        "scale_down_delay_seconds": 600,
        "scale_down_delay_revision_limit": 1,
    }
    for version in ("1", "2", "3"):
        release.deploy(version, **options).check()
    assert release.sizes() == {1: 0, 2: 2, 3: 2}


def test_the_oldest_beyond_the_history_limit_are_deleted(release: Release) -> None:
    for version in ("1", "2", "3", "4"):
        run = release.deploy(version, revision_history_limit=1).check()
    assert release.sizes() == {3: 0, 4: 2}
    assert any("beyond revision_history_limit" in step for step in steps_of(run))
    listed = [r["revision"] for r in rollout_of(run)["revisions"]]
    assert listed == [4, 3]


def test_a_user_who_still_selects_v1_keeps_it(release: Release) -> None:
    """Invariant 2: what an active Service selects is not scaled down by any path."""
    release.deploy("1").check()
    release.deploy("2", wait="detach", scale_down_delay_seconds=600).check()
    first = release.hash_of(1)
    release.edit_details(retire_at={first: "2020-01-01T00:00:00Z"})
    service = release.service()
    service["spec"]["selector"]["cutover.bluegreen/revision-hash"] = first
    path = f"/api/v1/namespaces/{release.namespace}/services/{ACTIVE}"
    release.kube.replace(path, service)
    release.run("scale_down", wait="detach")
    size = release.sizes()[release.directed_to(ACTIVE) or 0]
    assert size == 2
