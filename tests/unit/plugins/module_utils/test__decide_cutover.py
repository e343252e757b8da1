# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the active Services move: in one write each, or in an overlap."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._decide import (
    close_what_others_opened,
    decide,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._decide_cutover import (
    nodes_without_pods,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._model import (
    Endpoints,
    Observed,
    Probed,
    Revision,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._record import (
    Record,
    Request,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._simulate import (
    after_write,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._stages import (
    ANALYSED,
    PROGRESSING,
    PROMOTED,
    STABLE,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._steps import (
    Cutover,
    Fail,
    Note,
    Point,
    Scale,
    Step,
    Wait,
    Widen,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._view import (
    View,
    Want,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.states import (
    BOTH,
    NOW,
    V0,
    V1,
    V2,
    after,
    observed,
    parameters,
    proof,
    revision,
    service,
    with_slices,
)

PROMOTE = Want(PROMOTED)
OVERLAP = parameters(cutover="overlap", overlap_seconds=10)
BALANCED = "is of type LoadBalancer, whose targets change one after another"


def state(
    active: str | None = V1,
    release: t.Any = OVERLAP,
    more: t.Iterable[Revision] = (),
    v1: Revision | None = None,
    v2: Revision | None = None,
    mixes: str = "",
    window: bool = False,
    **changes: t.Any,
) -> Observed:
    """V2 is analysed and proven, its gate is open; V1 is stable."""
    known = Record(
        revision=V2,
        stage=ANALYSED,
        phase=PROGRESSING,
        active=V1,
        stable=V1,
        last_number=2,
    )
    seen = observed(
        [
            *more,
            v1 or revision(V1),
            v2 or revision(V2, parameters=release),
        ],
        [dataclasses.replace(service(active), mixes=mixes), proof(V2)],
        known,
    )
    intent = View(PROMOTE, seen, NOW).cutover_intent(V2)
    record = dataclasses.replace(known, **{"intent": intent, **changes})
    return dataclasses.replace(seen, record=record, window=window)


def opened(**changes: t.Any) -> Observed:
    """The window of this very run."""
    before = state().record.intent
    return state(BOTH, window=True, **{"intent": before, **changes})


def step_of(seen: Observed, want: Want = PROMOTE) -> Step:
    return decide(want, seen, NOW)


def test_it_is_widened_before_it_is_narrowed() -> None:
    assert step_of(state()) == Widen(V2, "as asked for")


def test_the_intent_says_how_and_why() -> None:
    step = step_of(state(intent={}))
    assert isinstance(step, Note)
    intent = step.record.intent
    assert (intent["cutover"], intent["why"]) == ("overlap", "as asked for")
    assert intent["services"]["web"]["before"] == dict(service(V1).selector)


def test_others_end_their_pods_first() -> None:
    running = state(more=[revision(V0, 2)], retire_at={V0: after(20)})
    why = "its pods would get requests while two revisions serve"
    early = ", before its scale-down delay is over"
    assert step_of(running) == Scale(V0, 0, f"{why}{early}")
    kept = state(more=[revision(V0, 2)])
    assert step_of(kept) == Scale(V0, 0, why)


def test_pods_that_still_end_are_waited_for() -> None:
    old = dataclasses.replace(revision(V0, 0), pods=1)
    ending = state(more=[old], progress_at=after(9))
    step = step_of(ending)
    assert isinstance(step, Wait)
    assert step.what == f"revision 0 (web-{V0}) ends its 1 pods"


def test_what_an_older_window_left_behind_shortens_no_hold() -> None:
    step = step_of(state(narrow_at=after(-5)))
    assert isinstance(step, Note)
    assert step.record.narrow_at is None


def test_the_new_endpoints_are_waited_for() -> None:
    lagging = opened(progress_at=after(9), progress_available=1)
    services = tuple(
        dataclasses.replace(s, endpoints=Endpoints(frozenset({f"{V1}-0", f"{V2}-0"})))
        if s.wide
        else s
        for s in lagging.services
    )
    step = step_of(dataclasses.replace(lagging, services=services))
    assert isinstance(step, Wait), step
    assert step.what == f"Service web takes in revision 2 (web-{V2}): 1/3"


def test_both_serve_for_a_while() -> None:
    step = step_of(opened())
    assert isinstance(step, Note)
    assert step.record.narrow_at == after(10)
    assert step.record.next_at == after(10)
    held = step_of(opened(narrow_at=after(4)))
    assert isinstance(held, Wait)
    assert held.until == after(4)
    alone = step_of(opened(narrow_at=after(0)))
    assert alone == Cutover(V2, "alone: both have served together")


def test_a_foreign_pod_closes_it_at_once() -> None:
    seen = opened(narrow_at=after(4))
    services = tuple(
        dataclasses.replace(
            s, endpoints=Endpoints(s.endpoints.ready | {"web-0000000000-x"})
        )
        if s.wide
        else s
        for s in seen.services
    )
    pods = {**seen.pods, "web-0000000000-x": V0}
    step = step_of(dataclasses.replace(seen, services=services, pods=pods))
    assert isinstance(step, Point)
    assert (step.services, step.hash) == (("web",), V1)
    assert "sent requests to pod web-0000000000-x" in step.failure
    assert step.failure.endswith("remove it, then run again.")


def test_a_failure_while_both_serve_leaves_the_stable_one_alone() -> None:
    failing = revision(
        V2,
        parameters=OVERLAP,
        ready=1,
        failing_since=after(-60),
        failure="exceeded quota",
    )
    step = step_of(opened(v2=failing))
    assert isinstance(step, Point)
    assert (step.services, step.hash) == (("web",), V1)
    assert "exceeded quota" in step.failure


def test_v2_without_any_pod_is_no_more_waited_for() -> None:
    lost = opened(v2=revision(V2, parameters=OVERLAP, ready=0), progress_at=after(99))
    step = step_of(lost)
    assert isinstance(step, Point)
    assert (step.hash, step.evidence) == (V1, V2)
    assert step.failure == (
        f"revision 2 (web-{V2}) lost all of its available pods while both revisions"
        " served."
    )
    fewer = opened(v2=revision(V2, parameters=OVERLAP, ready=1), progress_at=after(99))
    assert isinstance(step_of(fewer), (Note, Wait))


def test_an_abort_while_both_serve_waits_for_nothing() -> None:
    request = Request("abort", V2, "me")
    aborting = {"act": "abort", "revision": V2}
    seen = opened(request=request, intent=aborting, narrow_at=after(9))
    seen = dataclasses.replace(
        seen,
        services=tuple(proof(V1) if s.role == "proof" else s for s in seen.services),
    )
    seen = with_slices(seen)
    step = step_of(seen)
    assert isinstance(step, Note)
    assert step.record.intent["cutover"] == "atomic"
    assert step.record.narrow_at is None
    noted = dataclasses.replace(seen, record=step.record)
    assert step_of(noted) == Cutover(V1, "atomic: it has served all the while")


@pytest.mark.parametrize("want", [PROMOTE, Want(STABLE, V2, abort=True)])
def test_the_next_run_closes_an_open_window_before_anything_else(want: Want) -> None:
    seen = dataclasses.replace(opened(), window=False)
    closed = Point(("web",), V1, "a run was ended while two revisions served")
    assert step_of(seen, want) == closed
    assert close_what_others_opened(want, seen, NOW) == closed


def test_an_open_window_is_closed_to_where_pods_are() -> None:
    seen = dataclasses.replace(opened(v1=revision(V1, ready=0)), window=False)
    step = step_of(seen)
    assert isinstance(step, Point)
    assert step.hash == V2


def test_a_way_back_is_never_closed_to_what_it_leaves() -> None:
    seen = opened(v1=revision(V1, ready=1), intent={"act": "abort", "revision": V2})
    step = step_of(dataclasses.replace(seen, window=False))
    assert isinstance(step, Point)
    assert step.hash == V1


@pytest.mark.parametrize(
    ("asked", "mixes", "how", "why"),
    [
        ("auto", "", "atomic", "the endpoints of each Service change in one write"),
        ("auto", BALANCED, "overlap", f"Service web {BALANCED}"),
        ("atomic", BALANCED, "atomic", "as asked for"),
        ("overlap", "", "overlap", "as asked for"),
    ],
)
def test_it_is_chosen_by_what_is_seen(
    asked: str, mixes: str, how: str, why: str
) -> None:
    intent = state(release=parameters(cutover=asked), mixes=mixes).record.intent
    assert (intent["cutover"], intent["why"]) == (how, why)


def test_where_nothing_serves_there_is_nothing_to_overlap_with() -> None:
    dead = state(v1=revision(V1, ready=0)).record.intent
    assert (dead["cutover"], dead["why"]) == ("atomic", "nothing else serves")


PROBED = parameters(probe='{"url":"http://web/"}', probe_max_errors=1)


def moved(probed: Probed | None, release: t.Any = PROBED, **changes: t.Any) -> Observed:
    """V2 is seen to be active while requests watch it."""
    seen = state(V2, release=release, **changes)
    return dataclasses.replace(seen, probed=probed)


def test_failed_requests_beyond_the_limit_abort_the_release() -> None:
    step = step_of(moved(Probed(40, 2, "HTTP status 503", 4)))
    assert isinstance(step, Note)
    found = (
        "2 of 40 requests through the active Service failed (HTTP status 503), 1 may"
    )
    assert step.say == found
    assert step.record.request == Request("abort", V2, f"its probe: {found}")


def test_they_are_only_counted_where_nothing_else_is_asked() -> None:
    counted = parameters(probe='{"url":"http://web/"}')
    step = step_of(moved(Probed(40, 2, "HTTP status 503", 4), counted))
    assert isinstance(step, Wait)


def test_the_cutover_is_watched_a_little_on() -> None:
    step = step_of(moved(Probed(40, 1, "HTTP status 503", 4)))
    assert isinstance(step, Wait)
    assert step.until == after(4)
    ended = step_of(moved(Probed(40, 1, "HTTP status 503", 0)))
    assert isinstance(ended, Note)
    assert ended.record.stage == "verified"


def test_a_first_release_is_aborted_by_no_probe() -> None:
    seen = moved(Probed(40, 9, "HTTP status 503", 0), stable="")
    only = dataclasses.replace(
        seen, revisions=tuple(r for r in seen.revisions if r.hash == V2)
    )
    step = step_of(only)
    assert isinstance(step, Note)
    assert step.record.request is None


# -- several Services ------------------------------------------------------------------


def several(seen: Observed, *others: t.Any) -> Observed:
    """The state with more active Services, and a proof Service for each."""
    proofs = [proof(V2, s.name) for s in others]
    return with_slices(
        dataclasses.replace(seen, services=(*seen.services, *others, *proofs))
    )


def test_a_window_that_was_half_opened_is_opened_to_the_end() -> None:
    """Somebody changed the second Service between our look and our write."""
    seen = several(opened(), service(V1, "api"))
    assert step_of(seen) == Widen(V2, "as asked for")
    after_it = after_write(Widen(V2, ""), seen, PROMOTE)
    assert all(s.wide for s in after_it.with_role("active"))


def test_one_that_has_moved_already_is_not_widened_again() -> None:
    seen = several(state(), service(V2, "api"))
    assert step_of(seen) == Widen(V2, "as asked for")
    (web, api) = after_write(Widen(V2, ""), seen, PROMOTE).with_role("active")
    assert (web.wide, api.wide, api.target) == (True, False, V2)
    narrowing = several(opened(narrow_at=after(0)), service(V2, "api"))
    assert step_of(narrowing) == Cutover(V2, "alone: both have served together")


# -- what is foreign, and who explains a failure ---------------------------------------


def test_what_is_left_by_an_abort_is_not_foreign() -> None:
    """V2 was never seen to serve alone, so the record still names V1 as active."""
    aborting = Request("abort", V2, "me")
    before = state(V2, request=aborting, intent={"act": "abort", "revision": V2})
    proven = dataclasses.replace(
        before,
        services=tuple(proof(V1) if s.role == "proof" else s for s in before.services),
    )
    noted = step_of(with_slices(proven))
    assert isinstance(noted, Note)
    assert noted.record.intent["cutover"] == "overlap"
    wide = dataclasses.replace(
        proven,
        services=(service(BOTH), proof(V1)),
        record=noted.record,
        window=True,
    )
    step = step_of(with_slices(wide))
    assert isinstance(step, Note), step
    assert step.record.narrow_at == after(10)


def test_a_pod_of_no_revision_is_foreign_though_none_was_active() -> None:
    seen = opened()
    seen = dataclasses.replace(seen, record=dataclasses.replace(seen.record, active=""))
    pods = {**seen.pods, "stranger": ""}
    services = tuple(
        dataclasses.replace(s, endpoints=Endpoints(s.endpoints.ready | {"stranger"}))
        if s.wide
        else s
        for s in seen.services
    )
    step = step_of(dataclasses.replace(seen, services=services, pods=pods))
    assert isinstance(step, Point), step
    assert "sent requests to pod stranger" in step.failure


def test_the_pods_that_failed_explain_the_failure() -> None:
    failing = revision(
        V2, parameters=OVERLAP, ready=1, failing_since=after(-60), failure="quota"
    )
    step = step_of(opened(v2=failing))
    assert isinstance(step, Point)
    assert (step.hash, step.evidence) == (V1, V2)


def test_an_abort_in_the_window_asks_no_more_of_v1_than_it_has() -> None:
    """It has carried all users up to now, whatever size V2 has."""
    request = Request("abort", V2, "me")
    seen = opened(
        v2=revision(V2, 5, parameters=OVERLAP),
        request=request,
        intent={"act": "abort", "revision": V2},
    )
    seen = dataclasses.replace(
        seen,
        services=tuple(proof(V1) if s.role == "proof" else s for s in seen.services),
    )
    step = step_of(with_slices(seen))
    assert isinstance(step, Note), step
    assert step.record.intent["why"] == "it has served all the while"


def test_where_the_way_back_is_not_proven_users_stay_and_it_is_said() -> None:
    aborting = Request("abort", V2, "me")
    before = state(
        V2,
        request=aborting,
        intent={"act": "abort", "revision": V2},
        progress_at=after(-1),
        progress_available=3,
    )
    services = tuple(proof(V1) if s.role == "proof" else s for s in before.services)
    unproven = dataclasses.replace(before, services=services)
    step = step_of(with_endpoints(unproven, "proof", ready=frozenset()))
    assert isinstance(step, Fail), step
    assert "0/3 ready; no further one became available" in step.message
    assert step.message.endswith(
        f"Users stay where they are: Service web directs to revision 2 (web-{V2})."
    )


# -- what users would get besides ready pods -------------------------------------------


def with_endpoints(seen: Observed, role: str, **fields: t.Any) -> Observed:
    """The state with more in the slices of the Services of a role."""
    return dataclasses.replace(
        seen,
        services=tuple(
            dataclasses.replace(s, endpoints=dataclasses.replace(s.endpoints, **fields))
            if s.role == role
            else s
            for s in seen.services
        ),
    )


def test_nobody_goes_over_while_an_unready_pod_is_published() -> None:
    seen = state(progress_at=after(9), progress_available=3)
    waiting = step_of(with_endpoints(seen, "proof", unready=frozenset({"x", "y"})))
    assert isinstance(waiting, Wait), waiting
    assert waiting.what == (
        f"Service web-bluegreen-proof publishes 2 pods of revision 2 (web-{V2}) that"
        " are not ready"
    )


def test_an_unready_pod_of_v1_does_not_hold_up_the_way_back() -> None:
    """Invariant 3."""
    aborting = Request("abort", V2, "me")
    before = state(V2, request=aborting, intent={"act": "abort", "revision": V2})
    services = tuple(proof(V1) if s.role == "proof" else s for s in before.services)
    back = with_slices(dataclasses.replace(before, services=services))
    step = step_of(with_endpoints(back, "proof", unready=frozenset({"x"})))
    assert isinstance(step, Note), step
    assert step.record.intent["revision"] == V1


@pytest.mark.parametrize("field", ["unready", "partly"])
def test_v1_has_gone_once_no_pod_of_it_gets_requests(field: str) -> None:
    seen = state(V2, progress_at=after(9), progress_available=3)
    left = with_endpoints(seen, "active", **{field: frozenset({f"{V1}-0"})})
    step = step_of(left)
    assert isinstance(step, Wait), step
    assert step.what.endswith("3/3 of its endpoints seen, 1 others still listed")
    assert not isinstance(step_of(seen), Wait)


def test_a_pod_without_an_address_of_a_family_is_named() -> None:
    pods = frozenset({f"{V2}-0"})
    seen = state(progress_at=after(9), progress_available=3)
    lacking = with_endpoints(seen, "proof", ready=frozenset(), partly=pods)
    step = step_of(lacking)
    assert isinstance(step, Wait), step
    assert step.what.endswith(
        "0/3 ready, 1 without an address of each family of the Service"
    )


def test_the_nodes_that_lose_their_only_pod() -> None:
    local = with_endpoints(state(), "active", nodes=frozenset({"a", "b", "c"}))
    local = with_endpoints(local, "proof", nodes=frozenset({"b"}))
    assert nodes_without_pods(local, V2) == []
    local = dataclasses.replace(
        local,
        services=tuple(
            dataclasses.replace(s, local="externalTrafficPolicy")
            if s.role == "active"
            else s
            for s in local.services
        ),
    )
    (warning,) = nodes_without_pods(local, V2)
    assert "Service web has externalTrafficPolicy Local" in warning
    assert "no ready pod on node a, c" in warning
    # The proof is of another revision: nothing is known.
    assert nodes_without_pods(local, V1) == []
