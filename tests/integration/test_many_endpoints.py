# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""More endpoints than one EndpointSlice holds, moved back and forth."""

from __future__ import annotations

import typing as t

import pytest

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

# A slice holds a hundred.
PODS = 120
CUTOVERS = 10


@pytest.mark.parametrize("cutover", ["auto", "atomic"])
def test_ten_cutovers_back_and_forth(
    release: Release, watcher: t.Callable[..., Watcher], cutover: str
) -> None:
    """Invariant 1: never without a ready endpoint; in an overlap never below the floor.

    One write of the selector is several writes of slices here, one after another: the
    number of ready endpoints may dip between them, and never to nothing.
    """
    kept: dict[str, t.Any] = {
        "scale_down_delay_seconds": 600,
        "wait": "detach",
        "preview_service": None,
        "cutover": cutover,
        "overlap_seconds": 0,
    }
    release.deploy("1", replicas=PODS, **kept).check()
    first = release.hash_of(1)
    seen = watcher(ACTIVE)
    release.deploy("2", replicas=PODS, **kept).check()
    both = [release.hash_of(2), first]
    for number in range(1, CUTOVERS):
        run = release.run("rollback", wait="detach").check()
        rollout = rollout_of(run)
        assert rollout["active"]["hash"] == both[number % 2]
        how = "EndpointSlices, which change" if cutover == "auto" else "as asked for"
        assert any(how in step for step in steps_of(run)), steps_of(run)
    eventually(
        lambda: (
            seen.revisions_of(seen.moments(ACTIVE)[-1]) == {both[(CUTOVERS - 1) % 2]}
        ),
        30,
        "one revision",
    )
    assert release.sizes() == {CUTOVERS: PODS, CUTOVERS + 1: PODS}
    assert seen.min_ready(ACTIVE) > 0
    if cutover == "auto":
        seen.assert_never_below(ACTIVE, PODS)
        widest = max(len(moment.ready) for moment in seen.moments(ACTIVE))
        assert widest == 2 * PODS
    print(f"{cutover}: {seen.min_ready(ACTIVE)} of {PODS} endpoints at the least")
