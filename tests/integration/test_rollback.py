# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way back to an earlier revision, a promotion in full, and no second try."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.cutover.bluegreen.tests.integration.support.release import (
    ACTIVE,
    PREVIEW,
    Path,
    Release,
    message,
    rollout_of,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.watcher import (
    Watcher,
)

# Longer than any test.
LONG = 600
KEPT: dict[str, t.Any] = {"scale_down_delay_seconds": LONG, "wait": "detach"}


def two_releases(release: Release, **options: t.Any) -> tuple[str, str]:
    """V2 is stable, V1 was before; their hashes."""
    release.deploy("1", **options).check()
    first = release.hash_of(1)
    release.deploy("2", **options).check()
    assert release.directed_to(ACTIVE) == 2
    return first, release.hash_of(2)


@pytest.mark.lane
def test_within_its_delay_it_is_at_once(
    release: Release, watcher: t.Callable[..., Watcher], path: Path
) -> None:
    """Invariants 1 and 3: no gates, one cutover, no manifest."""
    release.path = path
    # What the present policy asks of a release is no matter for a way back.
    gated = {**KEPT, "auto_promotion_enabled": False}
    release.deploy("1", **gated).check()
    release.deploy("2", **gated).check()
    release.run("promote", wait="detach").check()
    first, second = release.hash_of(1), release.hash_of(2)
    ways = rollout_of(release.run("status").check())["rollback_to"]
    assert [(w["hash"], w["how"]) for w in ways] == [(first, "at once")]
    seen = watcher(ACTIVE)
    run = release.run("rollback", wait="detach").check()
    assert rollout_of(run)["active"] == {"revision": 3, "hash": first}
    assert release.directed_to(ACTIVE) == release.directed_to(PREVIEW) == 3
    assert release.phase() == "Healthy"
    assert seen.revisions_seen(ACTIVE) == [second, first]
    seen.assert_never_below(ACTIVE, 2)
    seen.assert_never_mixed(ACTIVE)
    # And forth again: the previous stable revision is V2 now.
    run = release.run("rollback", wait="detach").check()
    assert rollout_of(run)["active"] == {"revision": 4, "hash": second}


def test_scaled_down_it_is_scaled_up_and_passes_its_gates(
    release: Release, watcher: t.Callable[..., Watcher]
) -> None:
    release.deploy("1").check()
    release.deploy("2", auto_promotion_enabled=False).check()
    release.run("promote").check()
    assert release.sizes() == {1: 0, 2: 2}
    seen = watcher(ACTIVE)
    run = release.run("rollback").check()
    assert rollout_of(run)["phase"] == "Paused"
    assert release.directed_to(ACTIVE) == 2
    assert release.sizes() == {2: 2, 3: 2}
    release.run("promote").check()
    assert release.directed_to(ACTIVE) == 3
    seen.assert_never_below(ACTIVE, 2)
    seen.assert_never_mixed(ACTIVE)


def test_within_the_window_it_needs_no_gates(release: Release) -> None:
    gated = {"auto_promotion_enabled": False, "rollback_window": 1}
    release.deploy("1").check()
    release.deploy("2", **gated).check()
    release.run("promote").check()
    first = release.hash_of(1)
    assert release.sizes() == {1: 0, 2: 2}
    run = release.run("rollback").check()
    assert rollout_of(run)["active"] == {"revision": 3, "hash": first}


def test_to_a_revision_that_is_named(release: Release) -> None:
    for version in ("1", "2", "3"):
        release.deploy(version).check()
    first = release.hash_of(1)
    run = release.run("rollback", to_revision="1").check()
    assert rollout_of(run)["active"] == {"revision": 4, "hash": first}
    refused = message(release.run("rollback", to_revision="17"))
    assert refused.startswith("bluegreen_to_revision: there is no revision 17")
    assert release.directed_to(ACTIVE) == 4


def test_nothing_was_before(release: Release) -> None:
    release.deploy("1").check()
    assert "there is none to go back to" in message(release.run("rollback"))


def test_a_release_in_flight_is_aborted_not_rolled_back(release: Release) -> None:
    two_releases(release)
    release.deploy("3", auto_promotion_enabled=False).check()
    refused = message(release.run("rollback"))
    assert "is in flight; run the abort playbook" in refused
    assert release.phase() == "Paused"


def test_a_broken_v2_does_not_hold_it_up(
    release: Release, watcher: t.Callable[..., Watcher]
) -> None:
    """Invariant 3, and what Argo Rollouts cannot do (H1)."""
    release.deploy("1", **KEPT).check()
    # It serves for a while, and then no pod of it is ready any more.
    release.deploy("2", steering={"unready_after": "4s"}, **KEPT).check()
    first = release.hash_of(1)
    seen = watcher(ACTIVE)
    run = release.run("rollback", wait="detach").check()
    assert rollout_of(run)["active"]["hash"] == first
    assert release.phase() == "Healthy"
    assert seen.revisions_seen(ACTIVE)[-1] == first


def test_check_mode_plans_it(release: Release) -> None:
    two_releases(release, **KEPT)
    run = release.run("rollback", args=["--check"]).check()
    assert any("a way back that needs no gates" in s for s in rollout_of(run)["steps"])
    assert release.directed_to(ACTIVE) == 2


def test_promotion_in_full_skips_the_pause(release: Release) -> None:
    release.deploy("1").check()
    handle = release.start_deploy("2", auto_promotion_seconds=LONG)
    release.pauses(handle)
    release.run("promote", full=True).check()
    handle.wait().check()
    assert release.directed_to(ACTIVE) == 2


def test_an_aborted_revision_is_not_tried_again_where_that_is_asked(
    release: Release,
) -> None:
    release.deploy("1").check()
    release.deploy("2", auto_promotion_enabled=False).check()
    release.run("abort").check()
    refused = message(release.deploy("2", retry_aborted=False))
    assert refused.startswith("bluegreen_retry_aborted: revision 2 (web-")
    assert "is not tried again" in refused
    assert release.directed_to(ACTIVE) == 1
    assert release.aborted(2)
    release.deploy("3", retry_aborted=False).check()
    assert release.directed_to(ACTIVE) == 3
