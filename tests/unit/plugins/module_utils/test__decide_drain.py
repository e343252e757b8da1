# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How an old revision ends: told, measured, and then smaller step by step."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.state import (
    DRAIN,
    ERROR,
    FAILED,
    INCONCLUSIVE,
    RUNNING,
    SUCCESSFUL,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._decide import (
    decide,
    next_task,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._drain import (
    Drain,
    Told,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._parameters import (
    NEVER,
    Parameters,
    Size,
    canonical,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._record import (
    Record,
    Request,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._stages import (
    HEALTHY,
    PREVIEWED,
    PROMOTED,
    RETIRED,
    STABLE,
    VERIFIED,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._steps import (
    Cutover,
    Done,
    EndMeasurement,
    Event,
    Measure,
    Note,
    Scale,
    Tell,
    Wait,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._view import (
    View,
    Want,
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
    revision,
    service,
)

HTTP = canonical({"port": "http", "path": "/drain", "method": "GET"})
EXEC = canonical({"command": ["/app", "drain"]})
TO_END = Want(RETIRED)
JOB = {"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "b"}]}}}}
HALVES = (Size(50, True), Size(0, False))


def analysis(provider: str = "web", **changes: t.Any) -> str:
    """One metric that is measured once a run, unless told otherwise."""
    config = {"web": {"url": "http://127.0.0.1/"}, "job": JOB}
    metric = {
        "name": "in-flight",
        "provider": {provider: config[provider]},
        **changes,
    }
    return canonical({"metrics": [metric], "args": [], "dryRun": []})


def told(**changes: t.Any) -> Parameters:
    return parameters(scale_down_delay_seconds=0, drain_http=HTTP, **changes)


def promoted(
    old: Parameters, new: Parameters | None = None, pods: int = 4, **changes: t.Any
) -> World:
    """V2 serves everyone; V1's scale-down delay is over."""
    revisions = [
        revision(V1, pods, parameters=old),
        revision(V2, parameters=new or old),
    ]
    record = Record(
        revision=V2,
        stage=VERIFIED,
        phase=HEALTHY,
        active=V2,
        stable=V2,
        last_number=2,
        **{"retire_at": {V1: after(-1)}, **changes},
    )
    return World(observed(revisions, [service(V2)], record))


def acts(world: World) -> list[str]:
    return [kind for kind in world.kinds() if kind != "Done"]


def scales(world: World) -> list[int]:
    return [s.replicas for s in world.steps if isinstance(s, Scale)]


def scaled_down(world: World) -> Scale:
    return next(s for s in world.steps if isinstance(s, Scale) and s.replicas == 0)


def events(world: World) -> list[Event]:
    return [e for s in world.steps if isinstance(s, Note) for e in s.events]


def drain_of(world: World) -> Drain:
    drain = world.seen.record.drain
    assert drain is not None
    return drain


def until(world: World, kind: type, want: Want = TO_END) -> t.Any:
    """Drive up to the next step of a kind, which is not taken."""
    for _step in range(40):
        step = decide(want, world.seen, world.now)
        if isinstance(step, kind):
            return step
        try:
            world.run(want, 1)
        except AssertionError as error:
            assert "no end after" in str(error)
    raise AssertionError(f"no {kind.__name__}: {world.steps}")


def test_what_asks_for_nothing_ends_at_once() -> None:
    world = promoted(parameters(scale_down_delay_seconds=0))
    assert isinstance(world.run(TO_END), Done)
    assert acts(world) == ["Scale"]
    assert scaled_down(world).why == "its scale-down delay is over"
    assert world.seen.record.drain is None


def test_without_an_analysis_the_time_is_given_in_full() -> None:
    world = promoted(told(drain_timeout_seconds=60))
    wait = until(world, Wait)
    assert (wait.until, wait.then) == (after(60), "until it is scaled down")
    assert wait.what == "revision 1 (web-1111111111) closes what it holds"
    assert isinstance(world.run(TO_END), Done)
    assert acts(world) == ["Tell", "Scale"]
    assert world.now == after(60)
    assert scaled_down(world).why == "it had 60 s to close what it held"
    assert world.seen.record.drain is None


def test_who_tells_is_told_how() -> None:
    step = until(promoted(told(drain_exec=EXEC, drain_timeout_seconds=7)), Tell)
    assert step == Tell(V1, HTTP, EXEC, 7)


def test_the_intent_is_written_before_anybody_is_told() -> None:
    world = promoted(told())
    until(world, Tell)
    assert drain_of(world).revision == V1
    assert drain_of(world).size == 4
    assert not drain_of(world).tried


def test_a_successful_analysis_ends_the_wait() -> None:
    world = promoted(told(drain=analysis()))
    assert isinstance(world.run(TO_END), Done)
    assert acts(world) == ["Tell", "Measure", "Scale"]
    assert world.now == NOW
    assert scaled_down(world).why == "it was drained within 0 s"
    assert [e.reason for e in events(world)][-1:] == ["RevisionDrained"]


@pytest.mark.parametrize("verdict", [FAILED, ERROR, INCONCLUSIVE])
def test_what_has_not_passed_is_measured_again_until_the_timeout(verdict: str) -> None:
    """A verdict blocks nothing, and never the way to the end."""
    limits: dict[str, t.Any] = {
        "failureLimit": 0,
        "inconclusiveLimit": 0,
        "consecutiveErrorLimit": 0,
    }
    world = promoted(told(drain=analysis(**limits), drain_timeout_seconds=30), pods=3)
    world.verdicts = [verdict] * 50
    assert isinstance(world.run(TO_END), Done)
    assert acts(world).count("Measure") == 6
    assert world.now == after(30)
    assert scaled_down(world).why == (
        "after 30 s its drain had not ended: in-flight = 0.5"
    )
    found = [e for e in events(world) if e.warning]
    assert [e.reason for e in found] == ["RevisionNotDrained"]
    assert world.seen.record.phase == HEALTHY
    assert any("had not ended: in-flight" in line for _at, line in timeline(world))


def timeline(world: World) -> list[tuple[str, str]]:
    """What the engine notes of an act is in it, too."""
    acts = [("", s.why) for s in world.steps if isinstance(s, Scale)]
    return [*world.seen.record.timeline, *acts]


def test_it_passes_in_the_end() -> None:
    world = promoted(told(drain=analysis(), drain_timeout_seconds=30))
    world.verdicts = [FAILED, FAILED, SUCCESSFUL]
    world.run(TO_END)
    assert world.now == after(10)
    assert scaled_down(world).why == "it was drained within 10 s"


def test_an_analysis_alone_is_enough() -> None:
    world = promoted(parameters(scale_down_delay_seconds=0, drain=analysis()))
    world.run(TO_END)
    assert acts(world) == ["Measure", "Scale"]


def test_the_live_line_tells_what_it_still_holds() -> None:
    world = promoted(told(drain=analysis(failureLimit=8, interval="1s", count=9)))
    world.verdicts = [FAILED]
    until(world, Measure)
    world.run(Want(PROMOTED))
    assert isinstance(decide(TO_END, world.seen, world.now), Wait)
    wait = until(world, Wait)
    assert wait.what == "revision 1 (web-1111111111) drains: in-flight = 0.5"
    assert (wait.until, wait.wake) == (after(60), after(1))


def test_what_goes_on_elsewhere_is_ended_at_the_timeout() -> None:
    world = promoted(told(drain=analysis("job"), drain_timeout_seconds=5), pods=3)
    world.verdicts = [RUNNING] * 9
    assert isinstance(world.run(TO_END), Done)
    assert any(isinstance(s, EndMeasurement) for s in world.steps)
    assert "nothing was measured" in scaled_down(world).why


def test_an_analysis_that_cannot_be_read_keeps_nothing() -> None:
    """Somebody has edited the annotation."""
    world = promoted(told(drain='{"metrics":5}', drain_timeout_seconds=5))
    assert isinstance(world.run(TO_END), Done)
    assert world.now == after(5)
    assert scaled_down(world).why == (
        "after 5 s its drain had not ended: nothing was measured"
    )


# -- who is asked how it ends ----------------------------------------------------------

PLAIN = parameters(scale_down_delay_seconds=0)
OWN = {
    "its own release": (told(drain_timeout_seconds=5), PLAIN, 5),
    "the present one, where its own asked for nothing": (
        PLAIN,
        told(drain_timeout_seconds=9),
        9,
    ),
    "its own, whatever the present one asks": (
        told(drain_timeout_seconds=5),
        told(drain_timeout_seconds=9),
        5,
    ),
}


@pytest.mark.parametrize("case", OWN)
def test_a_revision_ends_as_was_asked_by(case: str) -> None:
    old, new, seconds = OWN[case]
    world = promoted(old, new)
    world.run(TO_END)
    assert world.now == after(seconds)


# -- step by step ----------------------------------------------------------------------

FALLING: dict[str, tuple[tuple[Size, ...], int, list[int]]] = {
    "to half": ((Size(50, True),), 4, [2, 0]),
    "rounded up": ((Size(50, True), Size(25, True)), 3, [2, 1, 0]),
    "counts": ((Size(3, False), Size(1, False), Size(0, False)), 4, [3, 1, 0]),
    "beyond its size": ((Size(9, False), Size(100, True)), 4, [0]),
    "of one pod": ((Size(50, True), Size(10, True)), 1, [0]),
}


@pytest.mark.parametrize("case", FALLING)
def test_it_falls_by_its_steps(case: str) -> None:
    steps, pods, expected = FALLING[case]
    world = promoted(parameters(scale_down_steps=steps), pods=pods)
    assert isinstance(world.run(TO_END), Done)
    assert scales(world) == expected
    assert world.now == NOW


def test_each_size_is_held() -> None:
    p = parameters(scale_down_steps=HALVES, scale_down_interval_seconds=20)
    world = promoted(p)
    until(world, Wait)
    assert scales(world) == [2]
    wait = decide(TO_END, world.seen, world.now)
    assert isinstance(wait, Wait)
    assert (wait.what, wait.until) == ("revision 1 (web-1111111111) holds", after(20))
    assert world.seen.record.next_at == after(20)
    assert isinstance(world.run(TO_END), Done)
    assert scales(world) == [2, 0]
    assert world.now == after(20)


def test_a_hold_goes_on_where_a_run_was_ended() -> None:
    p = parameters(scale_down_steps=HALVES, scale_down_interval_seconds=20)
    world = promoted(p)
    until(world, Wait)
    world.now = after(15)
    world.end()
    world.run(TO_END)
    assert world.now == after(20)


def test_it_drains_first_and_falls_then() -> None:
    p = told(
        drain_timeout_seconds=5,
        scale_down_steps=HALVES,
        scale_down_interval_seconds=20,
    )
    world = promoted(p)
    world.run(TO_END)
    assert acts(world) == ["Tell", "Scale", "Scale"]
    assert world.now == after(25)


# -- who could not be told -------------------------------------------------------------


def heard(world: World, told_: Told, seconds: int = 60) -> None:
    """Some pods hear it, as the engine notes it."""
    timeout = after(seconds) - NOW
    drain = drain_of(world).heard(told_, world.now, timeout)
    record = dataclasses.replace(world.seen.record, drain=drain)
    world.seen = dataclasses.replace(world.seen, record=record)


def test_who_could_not_be_told_is_tried_again() -> None:
    world = promoted(told())
    until(world, Tell)
    heard(world, Told(pods=("a",), failed={"b": "it answered 500"}))
    wait = decide(TO_END, world.seen, world.now)
    assert isinstance(wait, Wait)
    assert (wait.until, wait.wake) == (after(60), after(10))
    world.now = after(10)
    assert isinstance(decide(TO_END, world.seen, world.now), Tell)


def test_who_could_not_be_told_holds_up_what_has_passed_until_the_timeout() -> None:
    world = promoted(told(drain=analysis()))
    until(world, Tell)
    heard(world, Told(failed={"b": "it answered 500"}))
    until(world, Wait)
    assert acts(world) == ["Measure"]
    while isinstance(step := decide(TO_END, world.seen, world.now), (Wait, Tell)):
        if isinstance(step, Wait):
            assert step.until is not None
            world.now = min(step.until, step.wake or step.until)
        else:
            heard(world, Told(failed={"b": "it answered 500"}))
    assert world.now == after(60)
    world.run(TO_END)
    assert scaled_down(world).why == (
        "after 60 s its drain had not ended: 1 pod could not be told"
    )


def test_a_pod_that_has_gone_need_not_be_told() -> None:
    world = promoted(told(drain=analysis()))
    until(world, Tell)
    heard(world, Told(failed={"b": "it answered 500"}))
    world.now = after(10)
    assert isinstance(decide(TO_END, world.seen, world.now), Tell)
    heard(world, Told())
    world.run(TO_END)
    assert scaled_down(world).why == "it was drained within 10 s"


def test_many_pods_are_told_some_at_a_time() -> None:
    world = promoted(told())
    until(world, Tell)
    heard(world, Told(pods=("a", "b"), left=("c", "d")))
    assert isinstance(decide(TO_END, world.seen, world.now), Tell)
    heard(world, Told(pods=("c",), failed={"d": "no answer"}))
    assert isinstance(decide(TO_END, world.seen, world.now), Wait)
    assert sorted(drain_of(world).told) == ["a", "b", "c"]
    assert drain_of(world).until == after(60)


def test_a_run_that_was_ended_before_it_told_takes_no_time_away() -> None:
    world = promoted(told(drain_timeout_seconds=60))
    until(world, Tell)
    world.now = after(3600)
    assert isinstance(decide(TO_END, world.seen, world.now), Tell)
    world.run(TO_END)
    assert world.now == after(3660)


def test_a_run_that_was_ended_tells_nobody_twice() -> None:
    world = promoted(told(drain_timeout_seconds=60))
    until(world, Wait)
    assert acts(world) == ["Tell"]
    world.end()
    world.now = after(30)
    world.run(TO_END)
    assert acts(world) == ["Tell", "Scale"]
    assert world.now == after(60)


# -- beside other things ---------------------------------------------------------------


def test_early_because_too_many_are_kept() -> None:
    p = told(scale_down_delay_revision_limit=0, drain_timeout_seconds=5)
    world = promoted(p, retire_at={V1: after(600)})
    world.run(TO_END)
    assert acts(world) == ["Tell", "Scale"]
    assert world.now == after(5)


def test_early_where_the_delay_is_endless() -> None:
    p = dataclasses.replace(
        told(scale_down_delay_revision_limit=0, drain_timeout_seconds=5),
        scale_down_delay_seconds=NEVER,
    )
    world = promoted(p, retire_at={})
    assert isinstance(world.run(Want(VERIFIED)), Done)
    assert next_task(TO_END, world.seen, world.now) == "scale_down"
    world.run(TO_END)
    assert acts(world) == ["Tell", "Scale"]


def test_an_aborted_revision_is_drained_as_its_own_release_asked() -> None:
    aborted = revision(V2, parameters=told(drain_timeout_seconds=5), aborted=True)
    record = Record(
        revision=V2,
        stage=STABLE,
        phase=HEALTHY,
        active=V1,
        stable=V1,
        retire_at={V2: after(-1)},
    )
    seen = observed([revision(V1, parameters=PLAIN), aborted], [service(V1)], record)
    world = World(seen)
    world.run(TO_END)
    assert acts(world) == ["Tell", "Scale"]
    assert world.seen.targets("active") == {V1}


def test_two_that_are_due_drain_one_after_the_other() -> None:
    p = told(drain_timeout_seconds=5)
    world = promoted(p, retire_at={V0: after(-1), V1: after(-1)})
    world.seen = dataclasses.replace(
        world.seen, revisions=(revision(V0, 2, parameters=p), *world.seen.revisions)
    )
    assert isinstance(world.run(TO_END), Done)
    assert acts(world) == ["Tell", "Scale", "Tell", "Scale"]
    assert world.now == after(10)


def test_what_just_goes_does_not_wait_for_what_drains() -> None:
    world = promoted(
        told(drain_timeout_seconds=50), PLAIN, retire_at={V0: after(3), V1: after(-1)}
    )
    world.seen = dataclasses.replace(
        world.seen,
        revisions=(revision(V0, 2, parameters=PLAIN), *world.seen.revisions),
    )
    wait = until(world, Wait)
    assert wait.wake == after(3)
    until(world, Scale)
    assert world.now == after(3)
    assert world.seen.record.drain is not None


def test_another_release_goes_on_meanwhile() -> None:
    """It is not held up, and the drain goes on in between."""
    world = promoted(told(drain_timeout_seconds=30))
    until(world, Wait)
    assert isinstance(world.run(Want(PREVIEWED, V3, PLAIN)), Done)
    assert world.now < after(30)
    assert drain_of(world).revision == V1
    world.run(Want(PROMOTED))
    assert world.seen.targets("active") == {V3}
    world.run(TO_END)
    found = world.seen.revision(V1)
    assert found is not None and found.replicas == 0
    assert [s.hash for s in world.steps if isinstance(s, Tell)] == [V1, V2]


def test_a_way_back_to_what_drains_waits_for_nothing() -> None:
    """Invariant 3."""
    p = told(drain=analysis("job"), drain_timeout_seconds=600)
    world = promoted(p)
    world.verdicts = [RUNNING] * 9
    until(world, Measure)
    world.run(Want(PROMOTED))
    assert drain_of(world).ended_at is None
    began = len(world.steps)
    back = Want(PREVIEWED, V1, p, rollback=True)
    for want in (back, Want(PROMOTED)):
        assert isinstance(world.run(want), Done)
    kinds = [type(s) for s in world.steps[began:]]
    assert world.seen.targets("active") == {V1}
    assert world.now == NOW
    # What it measured is ended once users are back.
    assert EndMeasurement not in kinds[: kinds.index(Cutover)]
    world.run(Want(VERIFIED))
    assert world.seen.record.drain is None or drain_of(world).revision == V2
    assert any(isinstance(s, EndMeasurement) for s in world.steps)


def test_what_was_wanted_again_and_left_again_drains_anew() -> None:
    p = told(drain_timeout_seconds=30)
    world = promoted(p)
    until(world, Wait)
    for want in (Want(PREVIEWED, V1, p, rollback=True), Want(VERIFIED)):
        world.run(want)
    assert world.seen.targets("active") == {V1}
    world.run(Want(PREVIEWED, V3, dataclasses.replace(p, replicas=4)))
    world.run(Want(VERIFIED))
    began = len(world.steps)
    world.run(TO_END)
    ended = world.steps[began:]
    for old in (V1, V2):
        found = world.seen.revision(old)
        assert found is not None and found.replicas == 0
    assert {s.hash for s in ended if isinstance(s, Scale)} <= {V1, V2}
    assert V1 in {s.hash for s in world.steps if isinstance(s, Tell)}


def test_an_abort_goes_before_a_drain() -> None:
    world = promoted(told(drain_timeout_seconds=30))
    until(world, Wait)
    world.run(Want(PREVIEWED, V3, PLAIN))
    record = dataclasses.replace(world.seen.record, request=Request("abort", V3, "me"))
    world.seen = dataclasses.replace(world.seen, record=record)
    world.run(Want(PROMOTED))
    assert world.seen.record.stage == STABLE
    assert world.seen.targets("active") == {V2}
    assert drain_of(world).revision == V1


# -- where a task ends -----------------------------------------------------------------

DETACHED = Want(RETIRED, inline=False)


def test_a_countdown_detaches() -> None:
    world = promoted(told(drain_timeout_seconds=30))
    assert isinstance(world.run(DETACHED), Done)
    assert acts(world) == ["Tell"]
    assert world.now == NOW
    assert next_task(DETACHED, world.seen, world.now) == "none"
    assert world.seen.record.next_at == after(30)
    world.now = after(31)
    assert next_task(DETACHED, world.seen, world.now) == "promote"
    world.run(DETACHED)
    assert acts(world) == ["Tell", "Scale"]


def test_what_is_measured_is_stayed_for() -> None:
    world = promoted(told(drain=analysis(), drain_timeout_seconds=30))
    world.verdicts = [FAILED, SUCCESSFUL]
    assert isinstance(world.run(Want(VERIFIED, inline=False)), Done)
    assert next_task(DETACHED, world.seen, world.now) == "scale_down"
    assert isinstance(world.run(DETACHED), Done)
    assert acts(world)[-1] == "Scale"
    assert world.now == after(5)


def test_the_scale_down_is_the_task_that_goes_on() -> None:
    world = promoted(told(drain_timeout_seconds=30))
    assert next_task(TO_END, world.seen, world.now) == "scale_down"
    until(world, Wait)
    assert next_task(TO_END, world.seen, world.now) == "scale_down"


def test_a_lost_record_starts_no_drain_beside_a_release() -> None:
    p = told(scale_down_delay_revision_limit=0)
    revisions = [
        revision(V1, parameters=p),
        revision(V2, parameters=p),
        revision(V3, parameters=p),
    ]
    seen = observed(revisions, [service(V2)])
    view = View(TO_END, seen, NOW)
    assert view.in_flight_hash == V3
    step = decide(TO_END, seen, NOW)
    assert not (isinstance(step, Note) and step.record.drain is not None)


def test_the_analysis_is_its_own_and_not_of_the_release() -> None:
    world = promoted(told(drain=analysis()))
    until(world, Measure)
    view = View(TO_END, world.seen, world.now)
    assert DRAIN in view.record.analysis
    assert view.record.analysis[DRAIN].run.startswith(f"web-{V1}-drain-")
    assert not view.is_to_be_measured
