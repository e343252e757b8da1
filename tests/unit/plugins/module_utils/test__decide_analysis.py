# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state machine around an analysis: steps 5 and 8, with every way they end."""

from __future__ import annotations

import dataclasses
import json
import typing as t

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.state import (
    ERROR,
    FAILED,
    INCONCLUSIVE,
    POST_PROMOTION,
    PRE_PROMOTION,
    RUNNING,
    SUCCESSFUL,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._decide import (
    next_task,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._errors import BadInput
from ansible_collections.cutover.bluegreen.plugins.module_utils._parameters import (
    Parameters,
    canonical,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._record import (
    Record,
    Request,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._stages import (
    ANALYSED,
    DEGRADED,
    HEALTHY,
    PAUSED,
    PHASE_PAUSED,
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
    Fail,
    Measure,
    Note,
    Scale,
    Step,
    Wait,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._view import (
    Want,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.states import (
    NOW,
    V1,
    V2,
    V3,
    World,
    observed,
    parameters,
    preview,
    revision,
    service,
)


def analysis(*names: str, **changes: t.Any) -> str:
    """A composed analysis: each metric is measured three times, once a second."""
    return canonical(
        {
            "metrics": [
                {
                    "name": name,
                    "interval": "1s",
                    "count": 3,
                    "provider": {"web": {"url": "http://127.0.0.1/"}},
                    **changes,
                }
                for name in names or ("rate",)
            ],
            "args": [],
            "dryRun": [],
            "measurementRetention": [],
        }
    )


PRE = parameters(pre_promotion_analysis=analysis())
POST = parameters(post_promotion_analysis=analysis())
BOTH = parameters(pre_promotion_analysis=analysis(), post_promotion_analysis=analysis())


def at_rest() -> World:
    """V1 is stable and serves everyone; nothing else exists."""
    record = Record(
        revision=V1, stage=RETIRED, phase=HEALTHY, active=V1, stable=V1, last_number=1
    )
    return World(observed([revision(V1)], [service(V1), preview(V1)], record))


def deploy(p: Parameters, revision_hash: str = V2, goal: str = RETIRED) -> Want:
    return Want(goal, hash=revision_hash, deploy=p)


def go_on(goal: str = RETIRED, **changes: t.Any) -> Want:
    return Want(goal, **changes)


def active(world: World) -> str | None:
    return world.seen.active_hash


def cutovers(world: World) -> list[str]:
    return [step.hash for step in world.steps if isinstance(step, Cutover)]


def test_a_passing_analysis_lets_the_release_go_on() -> None:
    world = at_rest()
    assert isinstance(world.run(deploy(BOTH)), Done)
    assert world.seen.record.phase == HEALTHY
    assert cutovers(world) == [V2]
    assert world.kinds().count("Measure") == 6


def test_growing_and_measuring_are_two_activities_of_one_loop() -> None:
    world = at_rest()
    steps = dataclasses.replace(
        PRE, scale_up_steps=parameters_steps(1, 2, 3), scale_up_interval_seconds=1
    )
    world.run(deploy(steps))
    kinds = [
        type(s).__name__
        for s in world.steps
        if isinstance(s, (Measure, Cutover)) or (isinstance(s, Scale) and s.hash == V2)
    ]
    # Both are due each second; which of them is taken first does not matter.
    assert sorted(kinds[1:5]) == ["Measure", "Measure", "Scale", "Scale"]
    assert (kinds[0], kinds[-1], len(kinds)) == ("Measure", "Cutover", 6)


def parameters_steps(*sizes: int) -> tuple[t.Any, ...]:
    text = json.dumps(
        {"active_services": ["web"], "scale_up_steps": [str(s) for s in sizes]}
    )
    found = Parameters.from_json(text)
    assert found is not None
    return found.scale_up_steps


@pytest.mark.parametrize("verdict", [FAILED, ERROR])
def test_a_failing_analysis_aborts_and_the_active_service_never_moves(
    verdict: str,
) -> None:
    world = at_rest()
    world.verdicts = [verdict] * 5
    world.run(deploy(PRE))
    record = world.seen.record
    assert world.aborted
    assert cutovers(world) == []
    assert (record.phase, record.stage, active(world)) == (DEGRADED, STABLE, V1)
    assert "its pre-promotion analysis (metric rate" in record.message
    assert "as the test says" in record.message


def test_a_failing_metric_stops_the_growth_at_once() -> None:
    world = at_rest()
    steps = dataclasses.replace(PRE, scale_up_steps=parameters_steps(1, 2, 3))
    world.verdicts = [FAILED]
    world.run(deploy(steps))
    assert not [s for s in world.steps if isinstance(s, Scale) and s.replicas > 1]


def test_promotion_needs_full_scale_and_a_passed_analysis() -> None:
    world = at_rest()
    world.broken = {V2}
    world.run(deploy(PRE, goal=ANALYSED))
    assert cutovers(world) == []


@pytest.mark.parametrize("verdict", [FAILED, ERROR])
def test_a_failing_post_promotion_analysis_takes_the_users_back(verdict: str) -> None:
    world = at_rest()
    world.verdicts = [SUCCESSFUL, *[verdict] * 5]
    world.run(deploy(POST))
    assert world.aborted
    assert cutovers(world) == [V2, V1]
    assert (world.seen.record.phase, active(world)) == (DEGRADED, V1)
    assert "its post-promotion analysis (metric rate" in world.seen.record.message


def test_the_old_revision_is_kept_until_the_verdict() -> None:
    world = at_rest()
    kept = dataclasses.replace(POST, scale_down_delay_seconds=0)
    world.verdicts = [SUCCESSFUL, SUCCESSFUL, FAILED]
    world.run(deploy(kept))
    old = world.seen.revision(V1)
    assert old is not None
    assert old.replicas == 3
    assert not [s for s in world.steps if isinstance(s, Scale) and s.hash == V1]


# -- inconclusive ----------------------------------------------------------------------


def test_an_inconclusive_analysis_shuts_the_gate() -> None:
    world = at_rest()
    world.verdicts = [INCONCLUSIVE]
    assert isinstance(world.run(deploy(PRE)), Done)
    record = world.seen.record
    assert (record.phase, record.stage, active(world)) == (PHASE_PAUSED, PAUSED, V1)
    assert "promote accepts it, abort refuses it" in record.message
    assert next_task(go_on(), world.seen, world.now) == "pause"
    again = len(world.steps)
    assert isinstance(world.run(deploy(PRE)), Done)
    assert [type(s) for s in world.steps[again:]] == [Done]


def test_promote_accepts_what_is_inconclusive() -> None:
    world = at_rest()
    world.verdicts = [INCONCLUSIVE]
    world.run(deploy(PRE))
    assert isinstance(world.run(go_on(PROMOTED, approve=True)), Done)
    assert cutovers(world) == [V2]
    assert world.seen.record.phase == HEALTHY


def test_abort_refuses_what_is_inconclusive() -> None:
    world = at_rest()
    world.verdicts = [INCONCLUSIVE]
    world.run(deploy(PRE))
    world.run(go_on(STABLE, abort=True))
    assert (active(world), cutovers(world)) == (V1, [])
    assert world.seen.record.phase == DEGRADED


def test_a_request_accepts_what_is_inconclusive() -> None:
    world = at_rest()
    world.verdicts = [INCONCLUSIVE]
    world.run(deploy(PRE))
    asks(world, "promote")
    world.run(go_on())
    assert cutovers(world) == [V2]


def asks(world: World, verb: str) -> None:
    world.act(
        lambda seen: dataclasses.replace(
            seen,
            record=dataclasses.replace(
                seen.record, request=Request(verb, V2, "a person")
            ),
        )
    )


@pytest.mark.parametrize("p", [PRE, POST], ids=["before", "after"])
@pytest.mark.parametrize("by_request", [True, False])
def test_an_approval_that_came_before_accepts_nothing_inconclusive(
    p: Parameters, by_request: bool
) -> None:
    world = at_rest()
    world.run(deploy(p, goal=PREVIEWED))
    world.verdicts = [SUCCESSFUL, INCONCLUSIVE]
    if by_request:
        asks(world, "promote")
        world.run(go_on(VERIFIED))
    else:
        world.run(go_on(VERIFIED, approve=True))
    record = world.seen.record
    assert (record.phase, record.approved) == (PHASE_PAUSED, False)
    assert active(world) == (V1 if p is PRE else V2)


def test_an_inconclusive_post_promotion_analysis_waits_for_a_person() -> None:
    world = at_rest()
    world.verdicts = [INCONCLUSIVE]
    assert isinstance(world.run(deploy(POST)), Done)
    record = world.seen.record
    assert (record.phase, record.stage, active(world)) == (PHASE_PAUSED, PROMOTED, V2)
    assert next_task(go_on(), world.seen, world.now) == "pause"
    old = world.seen.revision(V1)
    assert old is not None
    assert old.replicas == 3
    assert isinstance(world.run(go_on(PROMOTED, approve=True)), Done)
    assert (world.seen.record.phase, active(world)) == (HEALTHY, V2)


def test_an_inconclusive_post_promotion_analysis_can_be_refused() -> None:
    world = at_rest()
    world.verdicts = [INCONCLUSIVE]
    world.run(deploy(POST))
    world.run(go_on(STABLE, abort=True))
    assert cutovers(world) == [V2, V1]


def test_no_countdown_opens_what_is_inconclusive() -> None:
    world = at_rest()
    timed = dataclasses.replace(PRE, auto_promotion_seconds=5)
    world.verdicts = [INCONCLUSIVE]
    world.run(deploy(timed))
    assert cutovers(world) == []
    world.now = NOW.replace(year=2027)
    world.run(deploy(timed))
    assert cutovers(world) == []


# -- how far a task goes ---------------------------------------------------------------


def test_each_task_goes_as_far_as_it_says() -> None:
    world = at_rest()
    world.run(deploy(BOTH, goal=PREVIEWED))
    assert "Measure" not in world.kinds()
    assert next_task(go_on(), world.seen, world.now) == "analysis"
    world.run(go_on(ANALYSED))
    assert next_task(go_on(), world.seen, world.now) == "promote"
    assert cutovers(world) == []
    world.run(go_on(PROMOTED))
    assert (active(world), world.seen.record.stage) == (V2, PROMOTED)
    assert next_task(go_on(), world.seen, world.now) == "analysis"
    before = world.kinds().count("Measure")
    world.run(go_on(VERIFIED))
    assert world.kinds().count("Measure") == before + 3
    assert world.seen.record.phase == HEALTHY


def test_a_first_release_is_not_measured() -> None:
    world = World(observed([], [service(None, exists=False)]))
    world.run(deploy(BOTH, V1))
    assert "Measure" not in world.kinds()
    assert world.seen.record.phase == HEALTHY


def test_the_counts_go_on_after_a_kill() -> None:
    world = at_rest()
    world.run(deploy(PRE, goal=PREVIEWED))
    measured = 0

    class Killed(Exception):
        pass

    def look(want: Want, step: Step) -> None:
        nonlocal measured
        if isinstance(step, Note) and step.measured is not None:
            measured += 1
            if measured == 2:
                raise Killed

    world.look = look  # type: ignore[method-assign] # a spy on one instance
    with pytest.raises(Killed):
        world.run(go_on(ANALYSED))
    # Nothing but the record is left of the run that was ended.
    world.seen = dataclasses.replace(world.seen, measured=(), measuring=frozenset())
    world.look = lambda want, step: None  # type: ignore[method-assign] # as before
    world.run(go_on(ANALYSED))
    # One result was lost with the run; the one before it counts.
    assert world.seen.record.analysis[PRE_PROMOTION].metric("rate").successful == 3
    assert world.kinds().count("Measure") == 4


def test_a_lost_record_confirms_nothing() -> None:
    """Invariant 6: what the record alone knew is measured again."""
    world = at_rest()
    world.verdicts = [SUCCESSFUL]
    world.run(deploy(POST, goal=PROMOTED))
    assert world.seen.record.stage == PROMOTED
    world.act(
        lambda seen: dataclasses.replace(seen, record=Record(), record_exists=False)
    )
    world.verdicts = [FAILED]
    world.run(deploy(POST))
    assert cutovers(world) == [V2, V1]


# -- what ends an analysis from outside ------------------------------------------------


def test_an_abort_ends_what_goes_on_elsewhere() -> None:
    world = at_rest()
    world.run(deploy(PRE, goal=PREVIEWED))
    stop_at_first_wait(world, [RUNNING])
    world.run(go_on(STABLE, abort=True))
    assert "EndMeasurement" in world.kinds()
    state = world.seen.record.analysis[PRE_PROMOTION]
    assert (state.phase, state.stopped) == (FAILED, "the release was aborted")
    assert world.seen.record.phase == DEGRADED


def stop_at_first_wait(world: World, verdicts: list[str]) -> None:
    """Run until nothing is due, as if the run was killed there."""
    world.verdicts = list(verdicts)

    class Stop(Exception):
        pass

    original = world._wait

    def wait(step: t.Any) -> bool:
        if not world.verdicts:
            raise Stop
        return original(step)

    world._wait = wait  # type: ignore[method-assign] # a spy on one instance
    with pytest.raises(Stop):
        world.run(go_on(ANALYSED))
    world._wait = original  # type: ignore[method-assign] # as before


def test_a_superseding_release_ends_what_goes_on_elsewhere() -> None:
    world = at_rest()
    world.run(deploy(PRE, goal=PREVIEWED))
    stop_at_first_wait(world, [RUNNING])
    begun = world.seen.record.analysis[PRE_PROMOTION].run
    assert isinstance(world.run(deploy(PRE, V3)), Done)
    assert [s for s in world.steps if isinstance(s, EndMeasurement)]
    assert world.seen.record.analysis[PRE_PROMOTION].run != begun
    assert (active(world), world.seen.record.phase) == (V3, HEALTHY)


CONTAINER = {"name": "smoke", "image": "smoke:1"}
JOB = {"job": {"spec": {"template": {"spec": {"containers": [CONTAINER]}}}}}


def with_job(*others: str) -> Parameters:
    """A metric that goes on elsewhere, and others that do not."""
    composed = json.loads(analysis("smoke", *others))
    composed["metrics"][0] |= {"provider": JOB, "count": 1, "interval": "1s"}
    return parameters(pre_promotion_analysis=canonical(composed))


def test_what_goes_on_elsewhere_is_recorded_before_it_is_begun() -> None:
    """Invariant 5: a run killed right after it created a Job finds it again."""
    world = at_rest()

    def look(want: Want, step: Step) -> None:
        if isinstance(step, Measure):
            own = world.seen.record.analysis[step.kind].metric("smoke")
            assert own.unfinished is not None
            assert own.started == 1

    world.look = look  # type: ignore[method-assign] # a spy on one instance
    world.run(deploy(with_job()))
    assert world.kinds().count("Measure") == 1
    assert active(world) == V2


@pytest.mark.parametrize("want", [go_on(ANALYSED), go_on(STABLE, abort=True)])
def test_nothing_ends_before_what_is_being_created_can_be_ended(want: Want) -> None:
    world = at_rest()
    world.run(deploy(with_job("rate"), goal=PREVIEWED))
    creating: frozenset[tuple[str, str]] = frozenset([(PRE_PROMOTION, "smoke")])

    def look(_want: Want, step: Step) -> None:
        if isinstance(step, Measure) and step.metric.name == "smoke":
            raise Creating

    class Creating(Exception):
        pass

    world.look = look  # type: ignore[method-assign] # a spy on one instance
    with pytest.raises(Creating):
        world.run(go_on(ANALYSED))
    # The Job is being created just now, when the other metric fails.
    world.act(lambda seen: dataclasses.replace(seen, measuring=creating))
    world.verdicts = [FAILED] * 3
    assert isinstance(world.run(want), Wait)
    assert "EndMeasurement" not in world.kinds()
    world.act(lambda seen: dataclasses.replace(seen, measuring=frozenset()))
    world.look = lambda want, step: None  # type: ignore[method-assign] # as before
    world.run(want)
    assert world.kinds().count("EndMeasurement") == 1
    assert world.seen.record.phase == DEGRADED


def test_a_failing_metric_ends_the_job_of_another() -> None:
    world = at_rest()
    two = parameters(pre_promotion_analysis=analysis("job", "rate"))
    world.verdicts = [RUNNING, FAILED]
    world.run(deploy(two))
    assert world.aborted
    assert [s.metric.name for s in world.steps if isinstance(s, EndMeasurement)] == [
        "job"
    ]


def test_a_scale_up_that_fails_ends_the_analysis_which_begins_anew() -> None:
    world = at_rest()
    steps = dataclasses.replace(PRE, scale_up_steps=parameters_steps(1, 3))
    world.run(deploy(steps, goal=PREVIEWED))
    world.broken = {V2}
    long_enough = dataclasses.replace(
        steps, pre_promotion_analysis=analysis(count=5000)
    )
    ended = world.run(deploy(long_enough, goal=ANALYSED), limit=6000)
    assert isinstance(ended, Fail)
    state = world.seen.record.analysis[PRE_PROMOTION]
    assert (state.phase, state.stopped) == (FAILED, "the scale-up failed")
    # The engine writes it so when a step fails.
    world.act(
        lambda seen: dataclasses.replace(seen, record=seen.record.degraded("no pods"))
    )
    world.broken = set()
    assert isinstance(world.run(deploy(steps)), Done)
    assert not world.aborted
    assert world.seen.record.analysis[PRE_PROMOTION].phase == SUCCESSFUL
    assert (active(world), world.seen.record.phase) == (V2, HEALTHY)


def test_a_retry_measures_anew() -> None:
    world = at_rest()
    world.verdicts = [FAILED]
    world.run(deploy(PRE))
    assert isinstance(world.run(deploy(PRE)), Done)
    assert world.seen.record.analysis[PRE_PROMOTION].phase == SUCCESSFUL
    assert active(world) == V2


def test_an_analysis_that_was_edited_beyond_use_keeps_the_gate_shut() -> None:
    world = at_rest()
    world.run(deploy(PRE, goal=PREVIEWED))
    edited = dataclasses.replace(PRE, pre_promotion_analysis='{"metrics":[{}]}')
    world.act(
        lambda seen: dataclasses.replace(
            seen,
            revisions=tuple(
                dataclasses.replace(r, parameters=edited) if r.hash == V2 else r
                for r in seen.revisions
            ),
        )
    )
    with pytest.raises(BadInput, match="cannot be read"):
        world.run(go_on(ANALYSED))
    world.run(go_on(STABLE, abort=True))
    assert (active(world), world.seen.record.phase) == (V1, DEGRADED)


def test_without_an_analysis_nothing_is_measured() -> None:
    world = at_rest()
    world.run(deploy(parameters()))
    assert "Measure" not in world.kinds()
    assert world.seen.record.analysis == {}


# -- for all verdicts ------------------------------------------------------------------

verdicts = st.lists(
    st.sampled_from([SUCCESSFUL, SUCCESSFUL, FAILED, INCONCLUSIVE, ERROR, RUNNING]),
    max_size=25,
)


@given(
    verdicts,
    st.sampled_from([PRE, POST, BOTH]),
    st.integers(0, 2),
    st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_nothing_goes_on_against_its_verdict(
    tape: list[str], p: Parameters, limit: int, approves: bool
) -> None:
    changes = {
        "failureLimit": limit,
        "inconclusiveLimit": limit,
        "consecutiveErrorLimit": limit,
    }
    allowed = dataclasses.replace(
        p,
        pre_promotion_analysis=p.pre_promotion_analysis and analysis("a", **changes),
        post_promotion_analysis=p.post_promotion_analysis
        and analysis("a", "b", **changes),
    )
    world = at_rest()
    world.verdicts = list(tape)
    world.run(deploy(allowed), limit=600)
    for _again in range(2):
        states = world.seen.record.analysis
        before = states.get(PRE_PROMOTION)
        afterwards = states.get(POST_PROMOTION)
        if V2 in cutovers(world) and allowed.pre_promotion_analysis:
            assert before is not None
            accepted = before.phase == INCONCLUSIVE and approves and _again
            assert before.phase == SUCCESSFUL or accepted
        if afterwards is not None and afterwards.phase in (FAILED, ERROR):
            assert active(world) == V1
        if world.seen.record.phase == HEALTHY:
            assert active(world) == V2
        else:
            assert world.seen.record.phase in (DEGRADED, PHASE_PAUSED)
        world.run(go_on(VERIFIED, approve=approves), limit=600)
