# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way back to an earlier revision, and a promotion in full."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.state import (
    INCONCLUSIVE,
    RUNNING,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._parameters import (
    Parameters,
    canonical,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._record import (
    Record,
    Request,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._stages import (
    HEALTHY,
    PAUSED,
    PHASE_PAUSED,
    PREVIEWED,
    PROMOTED,
    RETIRED,
    VERIFIED,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._steps import (
    Cutover,
    Done,
    EndMeasurement,
    Revive,
    Scale,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._view import (
    Want,
    is_quick_way_back,
    previous_stable,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.states import (
    NOW,
    V0,
    V1,
    V2,
    V3,
    World,
    after,
    observed,
    parameters,
    preview,
    revision,
    service,
    settled,
)

MEASURED = canonical(
    {
        "metrics": [
            {
                "name": "rate",
                "count": 2,
                "interval": "1s",
                "provider": {"web": {"url": "http://127.0.0.1/"}},
            }
        ]
    }
)
GATED = parameters(
    auto_promotion_enabled=False,
    pre_promotion_analysis=MEASURED,
    post_promotion_analysis=MEASURED,
)


def v2_is_stable(pods_of_v1: int = 3, until: int | None = 20) -> World:
    """V2 serves everyone; V1 did before, and runs for 20 seconds more."""
    record = Record(
        revision=V2,
        stage=VERIFIED,
        phase=HEALTHY,
        active=V2,
        stable=V2,
        last_number=2,
        retire_at={V1: after(until)} if until is not None and pods_of_v1 else {},
        history=(
            {"revision": 1, "hash": V1, "outcome": "promoted"},
            {"revision": 2, "hash": V2, "outcome": "promoted"},
        ),
    )
    return World(
        observed(
            [revision(V1, pods_of_v1), revision(V2, parameters=GATED)],
            [service(V2), preview(V2)],
            record,
        )
    )


def back(p: Parameters = GATED, goal: str = RETIRED, **changes: t.Any) -> Want:
    return Want(goal, hash=V1, deploy=p, rollback=True, **changes)


def test_within_its_delay_it_is_one_cutover_without_gates() -> None:
    world = v2_is_stable()
    world.run(back(goal=VERIFIED))
    kinds = world.kinds()
    assert kinds.count("Cutover") == 1
    assert not {"Measure", "Scale"} & set(kinds)
    assert world.seen.active_hash == V1
    assert world.seen.record.phase == HEALTHY
    assert not world.seen.record.fast
    newest = world.seen.revision(V1)
    assert newest is not None and newest.number == 3
    # Nothing was waited for but the slices.
    assert world.now == NOW


def test_scaled_down_it_passes_the_gates_of_the_present_policy() -> None:
    world = v2_is_stable(pods_of_v1=0)
    world.run(back(goal=VERIFIED))
    assert world.kinds().count("Measure") == 2
    assert (world.seen.record.phase, world.seen.record.stage) == (PHASE_PAUSED, PAUSED)
    assert world.seen.active_hash == V2


def test_within_the_window_it_is_scaled_up_and_needs_no_gates() -> None:
    world = v2_is_stable(pods_of_v1=0)
    world.run(back(dataclasses.replace(GATED, rollback_window=1), goal=VERIFIED))
    kinds = world.kinds()
    assert "Measure" not in kinds
    assert kinds.index("Revive") < kinds.index("Cutover")
    assert world.seen.active_hash == V1


@pytest.mark.parametrize(
    ("row", "pods", "until", "window", "quick"),
    [
        ("within its delay", 3, 20, None, True),
        ("its delay is over", 3, -1, None, False),
        ("kept for ever", 3, None, None, True),
        ("scaled down", 0, None, None, False),
        ("scaled down, in the window", 0, None, 1, True),
        ("scaled down, a window of none", 0, None, 0, False),
    ],
)
def test_what_a_quick_way_back_is(
    row: str, pods: int, until: int | None, window: int | None, quick: bool
) -> None:
    world = v2_is_stable(pods, until)
    target = world.seen.revision(V1)
    assert target is not None
    p = parameters(rollback_window=window)
    assert is_quick_way_back(target, p, world.seen, NOW) is quick, row


def test_neither_an_aborted_nor_a_newer_revision_is_a_quick_way_back() -> None:
    world = v2_is_stable()
    window = parameters(rollback_window=9)
    for other in (revision(V1, aborted=True), revision(V3)):
        assert not is_quick_way_back(other, window, world.seen, NOW)


def test_the_window_counts_what_lies_between() -> None:
    record = Record(revision=V3, stage=RETIRED, stable=V3)
    seen = observed(
        [revision(V0, 0), revision(V1, 0), revision(V2, 0), revision(V3)],
        [service(V3)],
        record,
    )
    for window, quick in ((2, False), (3, True)):
        p = parameters(rollback_window=window)
        assert is_quick_way_back(revision(V0, 0), p, seen, NOW) is quick


def test_a_deploy_of_the_old_manifest_keeps_its_gates() -> None:
    """Only who asks for a rollback gets the way without gates."""
    world = v2_is_stable()
    world.run(Want(RETIRED, hash=V1, deploy=GATED))
    assert world.seen.active_hash == V2
    assert world.seen.record.phase == PHASE_PAUSED


def test_a_way_back_that_was_ended_goes_on_without_gates() -> None:
    world = v2_is_stable()
    world.run(back(goal=PREVIEWED))
    assert world.seen.record.fast
    world.run(Want(VERIFIED))
    assert world.seen.active_hash == V1
    assert "Measure" not in world.kinds()


def test_with_preview_replica_count_nothing_is_shrunk() -> None:
    """Argo Rollouts first shrinks the old revision, and loses the fast track (H3)."""
    world = v2_is_stable()
    world.run(back(dataclasses.replace(GATED, preview_replica_count=1), VERIFIED))
    assert world.seen.active_hash == V1
    assert not [s for s in world.steps if isinstance(s, Scale)]
    assert [s.replicas for s in world.steps if isinstance(s, Revive)] == [3]


def test_the_previous_stable_is_what_served_before() -> None:
    world = v2_is_stable()
    found = previous_stable(world.seen)
    assert found is not None and found.hash == V1
    world.run(back(goal=VERIFIED))
    again = previous_stable(world.seen)
    assert again is not None and again.hash == V2


def test_with_a_lost_record_it_is_the_newest_other() -> None:
    seen = observed(
        [revision(V0, 0), revision(V1), revision(V2), revision(V3, aborted=True)],
        [service(V2)],
    )
    found = previous_stable(seen)
    assert found is not None and found.hash == V1
    alone = observed([revision(V2)], [service(V2)])
    assert previous_stable(alone) is None


# -- a promotion in full ---------------------------------------------------------------


def in_flight(verdicts: list[str], goal: str = VERIFIED) -> World:
    world = v2_is_stable(0)
    world.verdicts = verdicts
    world.run(Want(goal, hash=V3, deploy=GATED))
    return world


def test_in_full_skips_what_is_left_of_pauses_and_analysis() -> None:
    world = in_flight([])
    assert world.seen.record.phase == PHASE_PAUSED
    measured = world.kinds().count("Measure")
    world.run(Want(PROMOTED, approve=True, full=True))
    assert world.kinds().count("Measure") == measured
    assert [s.hash for s in world.steps if isinstance(s, Cutover)] == [V3]
    assert world.seen.record.phase == HEALTHY


def test_in_full_never_skips_the_proofs() -> None:
    world = in_flight([], PREVIEWED)
    world.broken = {V3}
    world.act(lambda seen: settled(seen, world.broken))
    world.run(Want(PROMOTED, approve=True, full=True))
    assert world.seen.active_hash == V2


def test_in_full_ends_what_is_measured_elsewhere() -> None:
    world = in_flight([RUNNING, INCONCLUSIVE])
    world.run(Want(PROMOTED, approve=True, full=True))
    assert world.seen.active_hash == V3


def test_a_request_promotes_in_full() -> None:
    world = in_flight([])
    world.act(
        lambda seen: dataclasses.replace(
            seen,
            record=dataclasses.replace(
                seen.record, request=Request("promote_full", V3, "a person")
            ),
        )
    )
    assert isinstance(world.run(Want(VERIFIED)), Done)
    assert world.seen.active_hash == V3
    assert world.seen.record.phase == HEALTHY
    assert not [s for s in world.steps if isinstance(s, EndMeasurement)]
