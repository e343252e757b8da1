# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Users come through a route: its Service without users is the proof."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._decide import (
    close_what_others_opened,
    decide,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._errors import BadInput
from ansible_collections.cutover.bluegreen.plugins.module_utils._model import (
    ROUTE,
    Endpoints,
    Observed,
    Revision,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._parameters import (
    validate,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._record import Record
from ansible_collections.cutover.bluegreen.plugins.module_utils._stages import (
    ANALYSED,
    DEGRADED,
    HEALTHY,
    PREVIEWED,
    PROGRESSING,
    PROMOTED,
    RETIRED,
    STABLE,
    STARTED,
    VERIFIED,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._steps import (
    CreateServices,
    Cutover,
    Done,
    Fail,
    Note,
    OpenProof,
    Point,
    Step,
    Wait,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._view import View, Want
from ansible_collections.cutover.bluegreen.tests.unit.support.states import (
    BACKENDS,
    NOW,
    V1,
    V2,
    V3,
    World,
    observed,
    parameters,
    revision,
    routed,
)

PROMOTE = Want(PROMOTED)
RELEASE = parameters(active_services=BACKENDS, route="web", overlap_seconds=0)


def state(
    targets: t.Sequence[str | None] = (V1, V2),
    weights: t.Sequence[int] = (100, 0),
    stage: str = ANALYSED,
    more: t.Iterable[Revision] = (),
    **changes: t.Any,
) -> Observed:
    """V2 is in flight, V1 is stable."""
    known = Record(
        revision=V2,
        stage=stage,
        phase=PROGRESSING,
        active=V1,
        stable=V1,
        last_number=2,
        **changes,
    )
    found = [*more, revision(V1, parameters=RELEASE), revision(V2, parameters=RELEASE)]
    return observed(found, routed(targets, weights), known)


def with_route(seen: Observed, **changes: t.Any) -> Observed:
    services = tuple(
        dataclasses.replace(s, **changes) if s.kind == ROUTE else s
        for s in seen.services
    )
    return dataclasses.replace(seen, services=services)


def without_endpoints(seen: Observed, target: str) -> Observed:
    services = tuple(
        dataclasses.replace(s, endpoints=Endpoints())
        if s.kept and s.target == target
        else s
        for s in seen.services
    )
    return dataclasses.replace(seen, services=services)


def declared(seen: Observed, revision_hash: str = V2) -> Observed:
    """The record says where the users are about to go."""
    intent = View(PROMOTE, seen, NOW).cutover_intent(revision_hash)
    record = dataclasses.replace(seen.record, intent=intent)
    return dataclasses.replace(seen, record=record)


def step_of(seen: Observed, want: Want = PROMOTE) -> Step:
    return decide(want, seen, NOW)


def test_the_service_without_users_is_directed_first() -> None:
    assert step_of(state(targets=(V1, V3), stage=STARTED)) == OpenProof(V2)
    # The other way round, too: it is what has no weight.
    assert step_of(state((V3, V1), (0, 1), stage=STARTED)) == OpenProof(V2)


def test_users_go_over_by_one_update_of_the_weights() -> None:
    how = "atomic: one update of its weights moves all users"
    assert step_of(declared(state())) == Cutover(V2, how)


def test_nobody_goes_where_no_endpoints_are_seen() -> None:
    step = step_of(without_endpoints(declared(state()), V2))
    assert isinstance(step, Note)
    assert step.record.progress_at is not None


def test_pods_that_only_the_other_revision_publishes_are_none_of_its_proof() -> None:
    """The Service that users leave may publish what is not ready."""
    seen = declared(state())
    services = tuple(
        dataclasses.replace(
            s, endpoints=dataclasses.replace(s.endpoints, unready=frozenset({"x"}))
        )
        if s.kept and s.target == V1
        else s
        for s in seen.services
    )
    assert isinstance(step_of(dataclasses.replace(seen, services=services)), Cutover)


def test_gateways_that_lag_are_waited_for() -> None:
    moved = with_route(
        declared(state(weights=(0, 100), progress_at=None)), lagging="gw lags"
    )
    step = step_of(moved, Want(VERIFIED))
    assert isinstance(step, Note)
    waiting = dataclasses.replace(moved, record=step.record)
    step = step_of(waiting, Want(VERIFIED))
    assert isinstance(step, Wait)
    assert step.what == "HTTPRoute web: gw lags"


def test_gateways_that_refuse_send_the_users_back() -> None:
    moved = with_route(
        declared(state(weights=(0, 100))), lagging="gw lags", refused="gw says no"
    )
    step = step_of(moved, Want(VERIFIED))
    assert isinstance(step, Note)
    assert step.record.request is not None
    assert (step.record.request.verb, step.record.request.revision) == ("abort", V2)
    assert "gw says no" in step.record.request.by


def test_what_is_refused_again_does_not_hold_the_way_back() -> None:
    """Invariant 3: V1 has the weight again; what its gateways say of it is told."""
    world = World(declared(state(weights=(0, 100))))
    world.refused = "gw says no"
    world.seen = with_route(world.seen, refused="gw says no")
    world.run(Want(VERIFIED))
    assert world.seen.active_hash == V1
    assert world.seen.record.stage == STABLE
    assert world.seen.record.phase == DEGRADED
    assert "is active again, and HTTPRoute web: gw says no" in world.seen.record.message


def test_at_rest_nobody_asks_the_gateways() -> None:
    """Invariant 4."""
    at_rest = state((V1, V2), stage=RETIRED)
    record = dataclasses.replace(at_rest.record, revision=V1, phase=HEALTHY)
    at_rest = dataclasses.replace(
        at_rest,
        record=record,
        revisions=tuple(
            dataclasses.replace(r, replicas=0, available=0) if r.hash == V2 else r
            for r in at_rest.revisions
        ),
    )
    for said in ({"lagging": "gw lags"}, {"refused": "gw says no"}):
        assert isinstance(step_of(with_route(at_rest, **said), Want(RETIRED)), Done)


@pytest.mark.parametrize("weights", [(0, 100), (50, 50), (0, 0)])
def test_weights_that_others_changed_are_put_back(weights: tuple[int, int]) -> None:
    """Invariant 6."""
    step = step_of(state(weights=weights, stage=PREVIEWED))
    assert step == Point(("web",), V1, "its weights were changed by somebody else")


def test_a_selector_that_others_changed_is_passed_by() -> None:
    """What users reach is not V1's any more: the other Service takes them back."""
    changed = state((V3, V2), stage=PREVIEWED, more=[revision(V3, aborted=True)])
    assert step_of(changed) == OpenProof(V1)
    assert close_what_others_opened(PROMOTE, changed, NOW) == OpenProof(V1)
    shown = state((V3, V1), stage=PREVIEWED, more=[revision(V3, aborted=True)])
    assert isinstance(step_of(without_endpoints(shown, V1)), Note)
    assert isinstance(step_of(shown), Point)


def test_where_each_has_weight_and_none_is_known_a_person_decides() -> None:
    lost = state((V3, None), (50, 50), stage=PREVIEWED)
    step = step_of(lost)
    assert isinstance(step, Fail)
    assert "sends requests to each of its Services (web-a 50, web-b 50)" in step.message


def test_a_deleted_service_is_named() -> None:
    seen = state(targets=(V1, None), stage=STARTED)
    gone = tuple(
        dataclasses.replace(s, exists=False) if s.name == "web-b" else s
        for s in seen.services
    )
    step = step_of(dataclasses.replace(seen, services=gone))
    assert isinstance(step, Fail)
    assert "Service web-b does not exist, to which HTTPRoute web" in step.message
    # A deploy makes it anew, for what users have.
    deploy = Want(PREVIEWED, V2, RELEASE)
    assert step_of(dataclasses.replace(seen, services=gone), deploy) == CreateServices(
        ("web-b",), V1
    )


def test_a_route_that_is_gone_is_named() -> None:
    step = step_of(with_route(state(), exists=False))
    assert isinstance(step, Fail)
    assert "HTTPRoute web, or each of its two Services, does not exist" in step.message


def test_the_first_release_makes_both_services() -> None:
    absent = tuple(
        dataclasses.replace(s, exists=False, target=None)
        for s in routed((None, None), (1, 0))
    )
    world = World(observed([], absent))
    assert isinstance(world.run(Want(PREVIEWED, V1, RELEASE)), Done)
    assert CreateServices(BACKENDS, V1) in world.steps
    assert world.seen.active_hash == V1
    assert isinstance(world.run(Want(RETIRED)), Done)
    assert world.seen.record.phase == HEALTHY


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"active_services": ("web",)}, "1 were given"),
        ({"active_services": ("a", "b", "c")}, "3 were given"),
        ({"cutover": "overlap"}, "cutover: overlap is how Services move"),
        ({"cutover": "atomic"}, "cutover: atomic is how Services move"),
        ({"route": "no name"}, "'no name' cannot name an HTTPRoute"),
        ({"preview_services": ("web",)}, "has the name of the HTTPRoute"),
    ],
)
def test_what_a_route_goes_with(changes: dict[str, t.Any], expected: str) -> None:
    validate(RELEASE)
    with pytest.raises(BadInput, match=expected):
        validate(dataclasses.replace(RELEASE, **changes))
