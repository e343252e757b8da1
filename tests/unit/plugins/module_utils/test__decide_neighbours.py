# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Autoscalers and disruption budgets in the state machine."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._decide import (
    decide,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._model import (
    Autoscaler,
    Observed,
    Revision,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._record import Record
from ansible_collections.cutover.bluegreen.plugins.module_utils._stages import (
    HEALTHY,
    PAUSED,
    PREVIEWED,
    PROMOTED,
    RETIRED,
    STABLE,
    VERIFIED,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._steps import (
    Cutover,
    Done,
    KeepBudget,
    Note,
    RemoveBudget,
    Retarget,
    Scale,
    Step,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._view import (
    Want,
    full_size,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.states import (
    NOW,
    V1,
    V2,
    World,
    observed,
    parameters,
    preview,
    proof,
    revision,
    service,
)

ONE = '{"maxUnavailable":1}'
HALF = '{"minAvailable":"50%"}'
TO_END = Want(RETIRED)


def autoscaler(target: str, least: int = 1, most: int = 9) -> Autoscaler:
    return Autoscaler("web", target, least, most)


def at(
    active: str,
    recorded: str,
    target: str,
    stage: str = RETIRED,
    revisions: t.Sequence[Revision] = (revision(V1), revision(V2)),
    **changes: t.Any,
) -> Observed:
    """The active Service directs to one revision, the record knows of another."""
    record = Record(
        revision=V2,
        stage=stage,
        phase=HEALTHY,
        active=recorded,
        stable=changes.pop("stable", recorded),
        last_number=2,
        **changes,
    )
    seen = observed(revisions, [service(active), preview(active), proof(V2)], record)
    return dataclasses.replace(seen, autoscalers=(autoscaler(target),))


RETARGETED = {
    "once the users were seen to have moved": (at(V2, V2, f"web-{V1}"), V2),
    "where it names the manifest": (at(V2, V2, "web"), V2),
    "after the way back": (at(V1, V1, f"web-{V2}", STABLE), V1),
    "before the old revision is scaled down": (
        at(V2, V2, f"web-{V1}", VERIFIED, retire_at={V1: NOW}),
        V2,
    ),
}


@pytest.mark.parametrize("case", RETARGETED)
def test_the_autoscaler_follows_the_users(case: str) -> None:
    seen, home = RETARGETED[case]
    assert decide(TO_END, seen, NOW) == Retarget("web", home)


LEFT_ALONE = {
    "before the cutover is proven": at(
        V2, V1, f"web-{V1}", PAUSED, approved=True, intent={}, stable=V1
    ),
    "where it is right": at(V2, V2, f"web-{V2}"),
    "before the promotion": at(V1, V1, f"web-{V1}", PAUSED),
}


@pytest.mark.parametrize("case", LEFT_ALONE)
def test_the_autoscaler_is_left_alone(case: str) -> None:
    world = World(LEFT_ALONE[case])
    step = decide(TO_END, world.seen, world.now)
    assert not isinstance(step, Retarget), step


@pytest.mark.parametrize(
    ("size", "limits", "expected"),
    [
        (4, (1, 9), 4),
        (3, (5, 9), 5),
        (7, (1, 6), 6),
        (4, None, 4),
    ],
)
def test_a_new_revision_keeps_within_the_limits(
    size: int, limits: tuple[int, int] | None, expected: int
) -> None:
    active = revision(V1, size, autoscaled=True, limits=limits)
    assert full_size(parameters(), active) == expected


def test_a_whole_release_moves_the_autoscaler_after_the_users() -> None:
    """V2 has the size that the autoscaler gave V1, and no other before it follows."""
    first = revision(V1, 5, autoscaled=True, limits=(1, 9))
    seen = observed(
        [first],
        [service(V1), preview(V1)],
        Record(
            revision=V1,
            stage=RETIRED,
            phase=HEALTHY,
            active=V1,
            stable=V1,
            last_number=1,
        ),
    )
    world = World(dataclasses.replace(seen, autoscalers=(autoscaler(f"web-{V1}"),)))
    deploy = parameters(scale_down_delay_seconds=0)
    assert isinstance(world.run(Want(RETIRED, V2, deploy)), Done)
    acts = [s for s in world.steps if isinstance(s, (Cutover, Retarget, Scale))]
    assert [type(s).__name__ for s in acts] == ["Cutover", "Retarget", "Scale"]
    assert acts[1] == Retarget("web", V2)
    second = world.seen.revision(V2)
    assert second is not None
    assert (second.replicas, second.autoscaled, second.limits) == (5, True, (1, 9))


def keeping(
    budgets: dict[str, str],
    *,
    first: Revision | None = None,
    second: Revision | None = None,
) -> Observed:
    found = [first or revision(V1, parameters=parameters(pdb=ONE))]
    if second is not None:
        found.append(second)
    record = Record(
        revision=V1, stage=RETIRED, phase=HEALTHY, active=V1, stable=V1, last_number=1
    )
    seen = observed(found, [service(V1), preview(V1)], record)
    return dataclasses.replace(seen, budgets=budgets)


BUDGETS: dict[str, tuple[Want, Observed, Step]] = {
    "one is created": (TO_END, keeping({}), KeepBudget(V1, ONE)),
    "one that says something else is corrected": (
        TO_END,
        keeping({V1: HALF}),
        KeepBudget(V1, ONE),
    ),
    "what a deploy asks for goes before what was": (
        Want(PREVIEWED, V1, parameters(pdb=HALF)),
        keeping({V1: ONE}),
        KeepBudget(V1, HALF),
    ),
    "one that is not asked for any more is removed": (
        Want(PREVIEWED, V1, parameters()),
        keeping({V1: ONE}),
        RemoveBudget(V1),
    ),
    "that of a revision that was scaled down is removed": (
        TO_END,
        keeping(
            {V1: ONE, V2: ONE},
            second=revision(V2, 0, aborted=True, parameters=parameters(pdb=ONE)),
        ),
        RemoveBudget(V2),
    ),
    "that of a revision that is gone is removed": (
        TO_END,
        keeping({V1: ONE, V2: ONE}),
        RemoveBudget(V2),
    ),
    "one is enough": (TO_END, keeping({V1: ONE}), Done()),
    "it stays where nobody can read what was asked for": (
        TO_END,
        keeping({V1: ONE}, first=revision(V1, parameters=None)),
        Done(),
    ),
}


@pytest.mark.parametrize("case", BUDGETS)
def test_each_revision_with_pods_keeps_its_budget(case: str) -> None:
    want, seen, expected = BUDGETS[case]
    assert decide(want, seen, NOW) == expected


def test_a_new_revision_has_its_budget_before_the_users_come() -> None:
    asked = parameters(pdb=ONE, scale_down_delay_seconds=0)
    world = World(keeping({V1: ONE}))
    assert isinstance(world.run(Want(RETIRED, V2, asked)), Done)
    kinds = world.kinds()
    assert kinds.index("KeepBudget") < kinds.index("Cutover")
    assert kinds.index("RemoveBudget") > kinds.index("Scale")
    assert world.seen.budgets == {V2: ONE}


def test_an_abort_does_not_wait_for_the_autoscaler() -> None:
    """Invariant 3: the way back comes before what is the users' own."""
    seen = at(V2, V2, "web", PROMOTED, stable=V1)
    step = decide(Want(STABLE, V2, abort=True), seen, NOW)
    assert isinstance(step, Note)
    assert step.record.intent == {"act": "abort", "revision": V2}
