# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When the pods of a revision get what its role asks for."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._decide import (
    decide,
    finish_changes,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._model import Observed
from ansible_collections.cutover.bluegreen.plugins.module_utils._overlay import (
    NOTHING,
    Overlay,
    overlay_of,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._parameters import (
    Parameters,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._record import Record
from ansible_collections.cutover.bluegreen.plugins.module_utils._stages import (
    HEALTHY,
    PAUSED,
    PROMOTED,
    RETIRED,
    STABLE,
    VERIFIED,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._steps import (
    ChangeTemplate,
    CreateRevision,
    Done,
    Fail,
    Revive,
    Scale,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._view import Want
from ansible_collections.cutover.bluegreen.tests.unit.support.states import (
    NOW,
    V1,
    V2,
    World,
    observed,
    parameters,
    preview,
    revision,
    service,
)

ASKED: dict[str, t.Any] = {
    "active_metadata": '{"labels":{"role":"active"}}',
    "preview_metadata": '{"labels":{"role":"preview"}}',
}
ACTIVE = Overlay({"role": "active"})
PREVIEWED = Overlay({"role": "preview"})
REQUIRED = '{"required":{}}'


def asked(**changes: t.Any) -> Parameters:
    return parameters(**{**ASKED, "preview_services": ("web-preview",), **changes})


def at_rest(overlay: Overlay = ACTIVE, **changes: t.Any) -> Observed:
    record = Record(
        revision=V1, stage=RETIRED, phase=HEALTHY, active=V1, stable=V1, last_number=1
    )
    first = revision(V1, parameters=asked(), overlay=overlay, **changes)
    return observed([first], [service(V1), preview(V1)], record)


def overlays(world: World) -> dict[str, Overlay]:
    return {r.hash: r.overlay for r in world.seen.revisions}


def changed(world: World) -> list[tuple[str, Overlay]]:
    return [(s.hash, s.overlay) for s in world.steps if isinstance(s, ChangeTemplate)]


def deploy(goal: str = RETIRED, **changes: t.Any) -> Want:
    return Want(goal, V2, asked(**changes))


def test_the_first_revision_is_created_as_the_active_one() -> None:
    world = World(observed([], [service(None), preview(None)]))
    assert isinstance(world.run(Want(RETIRED, V1, asked(anti_affinity=REQUIRED))), Done)
    created = [s for s in world.steps if isinstance(s, CreateRevision)]
    assert [s.overlay for s in created] == [ACTIVE]
    assert changed(world) == []


def test_a_promotion_hands_the_role_over_once_the_cutover_is_proven() -> None:
    world = World(at_rest())
    world.run(deploy(anti_affinity=REQUIRED, scale_down_delay_seconds=-1))
    created = [s for s in world.steps if isinstance(s, CreateRevision)]
    assert [s.overlay for s in created] == [
        dataclasses.replace(PREVIEWED, keeps_off=V1)
    ]
    assert changed(world) == [(V2, ACTIVE), (V1, NOTHING)]
    kinds = world.kinds()
    assert kinds.index("ChangeTemplate") > kinds.index("Cutover")
    again = World(world.seen)
    again.run(deploy(anti_affinity=REQUIRED, scale_down_delay_seconds=-1))
    assert again.kinds() == ["Done"]


def test_while_it_is_to_be_confirmed_the_stable_one_keeps_it() -> None:
    """It may get the users back, and never lost what it carries."""
    world = World(at_rest())
    measured = '{"args":[],"metrics":[{"name":"a","provider":{"web":{}}}]}'
    world.run(deploy(PROMOTED, post_promotion_analysis=measured))
    assert world.seen.record.stage == PROMOTED
    assert overlays(world) == {V1: ACTIVE, V2: ACTIVE}
    world.steps.clear()
    world.run(Want(STABLE, V2, abort=True))
    assert world.kinds().index("Cutover") < world.kinds().index("ChangeTemplate")
    assert overlays(world) == {V1: ACTIVE, V2: NOTHING}


def test_an_abort_takes_it_last() -> None:
    world = World(at_rest())
    world.run(deploy(auto_promotion_enabled=False, anti_affinity=REQUIRED))
    world.steps.clear()
    world.run(Want(STABLE, V2, abort=True))
    assert changed(world) == [(V2, NOTHING)]
    assert world.kinds()[0] == "Point"
    # Revived, it keeps off what is stable by then.
    world.steps.clear()
    again = deploy(auto_promotion_enabled=False, anti_affinity=REQUIRED)
    world.run(again)
    assert changed(world) == [(V2, dataclasses.replace(PREVIEWED, keeps_off=V1))]
    kinds = world.kinds()
    assert kinds.index("ChangeTemplate") < kinds.index("Revive")


def test_pods_that_found_no_node_are_made_anew_when_it_is_revived() -> None:
    kept = asked(anti_affinity=REQUIRED)
    second = revision(V2, 3, ready=0, parameters=kept, aborted=True)
    seen = at_rest()
    seen = dataclasses.replace(seen, revisions=(*seen.revisions, second))
    preferred = '{"preferred":{"weight":7}}'
    world = World(seen)
    world.run(deploy(anti_affinity=preferred, auto_promotion_enabled=False))
    steps = [s for s in world.steps if isinstance(s, (Scale, ChangeTemplate, Revive))]
    assert [type(s) for s in steps] == [Scale, ChangeTemplate, Revive]
    assert (steps[0], steps[1].hash) == (
        Scale(V2, 0, "its pods that found no node are made anew"),
        V2,
    )


@pytest.mark.parametrize(
    ("wanted", "steps"),
    [
        ({"anti_affinity": '{"preferred":{"weight":7}}'}, [Scale, ChangeTemplate]),
        ({"anti_affinity": ""}, [Scale, ChangeTemplate]),
        (
            {"anti_affinity": REQUIRED, "preview_metadata": ""},
            [ChangeTemplate],
        ),
    ],
)
def test_pods_that_found_no_node_are_made_anew_for_another_anti_affinity(
    wanted: dict[str, t.Any], steps: list[type]
) -> None:
    shut: dict[str, t.Any] = {"auto_promotion_enabled": False}
    world = World(at_rest(), broken=[V2])
    failed = world.run(deploy(anti_affinity=REQUIRED, **shut))
    assert isinstance(failed, Fail)
    world.steps.clear()
    world.broken.clear()
    degraded = world.seen.record.degraded(failed.message)
    world.seen = dataclasses.replace(world.seen, record=degraded)
    world.run(deploy(**{**shut, **wanted}))
    taken = [s for s in world.steps if isinstance(s, (Scale, ChangeTemplate))]
    assert [type(s) for s in taken[: len(steps)]] == steps
    assert world.seen.record.stage == PAUSED


def test_a_quick_way_back_does_not_wait_for_it() -> None:
    world = World(at_rest())
    world.run(deploy(VERIFIED))
    world.steps.clear()
    back = Want(PROMOTED, V1, asked(), rollback=True)
    world.run(back)
    kinds = world.kinds()
    assert "Revive" in kinds
    assert "ChangeTemplate" not in kinds[: kinds.index("Cutover")]
    assert overlays(world) == {V1: ACTIVE, V2: NOTHING}


@pytest.mark.parametrize("analysed", [False, True])
def test_what_is_asked_for_may_change_until_the_gate_opens(analysed: bool) -> None:
    world = World(at_rest())
    shut = {"auto_promotion_enabled": False}
    world.run(deploy(**shut))
    other = {**shut, "preview_metadata": '{"labels":{"role":"b"}}'}
    if analysed:
        world.run(dataclasses.replace(deploy(**other), approve=True))
        assert (V2, Overlay({"role": "b"})) not in changed(world)
        assert overlays(world)[V2] == ACTIVE
    else:
        world.run(deploy(**other))
        assert changed(world) == [(V2, Overlay({"role": "b"}))]


def test_at_rest_it_follows_the_parameters() -> None:
    for change, overlay in (
        ({"active_metadata": ""}, NOTHING),
        ({"active_metadata": '{"labels":{"a":"b"}}'}, Overlay({"a": "b"})),
    ):
        world = World(at_rest())
        world.run(Want(RETIRED, V1, asked(**change)))
        assert changed(world) == [(V1, overlay)]
    # What cannot be read any more leaves it as it is.
    seen = at_rest(overlay=PREVIEWED)
    lost = dataclasses.replace(seen.revisions[0], parameters=None)
    world = World(dataclasses.replace(seen, revisions=(lost,)))
    world.run(Want(RETIRED))
    assert changed(world) == []


def test_what_was_begun_is_ended_first_but_in_the_middle_of_a_cutover() -> None:
    seen = at_rest(changing=True)
    step = decide(deploy(), seen, NOW)
    assert isinstance(step, ChangeTemplate)
    assert (step.hash, step.overlay) == (V1, ACTIVE)
    assert finish_changes(Want(RETIRED), seen, NOW) == step
    assert isinstance(finish_changes(Want(RETIRED), at_rest(), NOW), Done)
    services = (*seen.services, service(V2, "api"))
    moving = dataclasses.replace(seen, services=services)
    assert isinstance(finish_changes(Want(RETIRED), moving, NOW), Done)


def test_without_metadata_nothing_is_ever_changed() -> None:
    assert overlay_of("") == NOTHING
    world = World(at_rest(NOTHING))
    world.run(Want(RETIRED, V2, parameters()))
    assert changed(world) == []
