# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When hooks run, in which order, and what their answers do to a release."""

from __future__ import annotations

import dataclasses
import typing as t
from datetime import timedelta

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.state import (
    ERROR,
    RUNNING,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.state import (
    FAILED as SAID_NO,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._decide import (
    decide,
    next_task,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._decide_hooks import (
    told,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._hooks import (
    FAILED,
    PENDING,
    SUCCEEDED,
    HookState,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._parameters import (
    Parameters,
    canonical,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._record import (
    Record,
    Request,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._simulate import (
    assume,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._stages import (
    DEGRADED,
    PHASE_PAUSED,
    RETIRED,
    STABLE,
    VERIFIED,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._steps import (
    CreateRevision,
    Cutover,
    Done,
    EndHook,
    Fail,
    Note,
    Point,
    RunHook,
    RunTasks,
    Scale,
    Step,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._view import View, Want
from ansible_collections.cutover.bluegreen.tests.unit.support.states import (
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

POINTS_OF_UPDATE = [
    *("before started", "after started", "before created", "after created"),
    *("before previewed", "after previewed", "before analysed", "after analysed"),
    *("before promoted", "after promoted", "before verified", "after verified"),
    *("before retired", "after retired"),
]
POINTS_OF_PAUSE = [
    *POINTS_OF_UPDATE[:8],
    *("before paused", "on pause", "after paused"),
    *POINTS_OF_UPDATE[8:],
]
JOB = {"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "b"}]}}}}


def named(at: str) -> str:
    return at.replace(" ", "-")


def hook(at: str, **changes: t.Any) -> dict[str, t.Any]:
    beyond = at.startswith("on ") or at in POINTS_OF_UPDATE[-3:]
    given = {
        "name": named(at),
        "at": at,
        "webhook": {"url": "http://a/"},
        "on_failure": "ignore" if beyond else "abort",
        **changes,
    }
    return {k: v for k, v in given.items() if v is not None}


def asked(*hooks: t.Mapping[str, t.Any], **changes: t.Any) -> Parameters:
    return parameters(
        preview_services=("web-preview",),
        hooks=canonical(list(hooks)),
        scale_down_delay_seconds=0,
        abort_scale_down_delay_seconds=0,
        **changes,
    )


def update(deploy: Parameters, goal: str = RETIRED) -> tuple[World, Want]:
    """Revision 1 serves and revision 2 is wanted."""
    seen = observed(
        [revision(V1)],
        (service(V1), preview(V1)),
        record=Record(V1, stage=RETIRED, active=V1, stable=V1, last_number=1),
    )
    return World(seen), Want(goal, V2, deploy=deploy)


def on(world: World, goal: str = RETIRED, **changes: t.Any) -> Want:
    return Want(goal, world.seen.record.revision, **changes)


def ran(world: World) -> list[str]:
    return [s.name for s in world.steps if isinstance(s, RunHook)]


def position(world: World, of: t.Callable[[Step], bool]) -> int:
    return next(i for i, step in enumerate(world.steps) if of(step))


def state(world: World, at: str) -> HookState:
    return world.seen.record.hooks[named(at)]


def every(*points: str) -> Parameters:
    return asked(*(hook(at) for at in points))


def test_an_update_passes_its_points_in_order() -> None:
    world, want = update(every(*reversed(POINTS_OF_PAUSE)))
    assert isinstance(world.run(want), Done)
    # It has no pause, and so nothing about one.
    assert ran(world) == [named(at) for at in POINTS_OF_UPDATE]
    before = position(world, lambda s: s == RunHook("before-created"))
    assert before < position(world, lambda s: isinstance(s, CreateRevision))
    before = position(world, lambda s: s == RunHook("before-previewed"))
    assert before < position(world, lambda s: isinstance(s, Point))
    cutover = position(world, lambda s: isinstance(s, Cutover))
    assert position(world, lambda s: s == RunHook("before-promoted")) < cutover
    assert cutover < position(world, lambda s: s == RunHook("after-promoted"))
    goes = position(world, lambda s: isinstance(s, Scale) and s.hash == V1)
    assert position(world, lambda s: s == RunHook("before-retired")) < goes
    assert goes < position(world, lambda s: s == RunHook("after-retired"))


def test_a_second_run_runs_none() -> None:
    world, want = update(every(*POINTS_OF_UPDATE))
    world.run(want)
    world.steps.clear()
    assert world.run(want) == Done()
    assert world.steps == [Done()]


def test_hooks_that_are_added_at_rest_are_those_of_the_next_release() -> None:
    world, want = update(asked())
    world.run(want)
    world.steps.clear()
    world.run(dataclasses.replace(want, deploy=every(*POINTS_OF_UPDATE)))
    assert ran(world) == []


def test_a_pause_has_points_of_its_own() -> None:
    deploy = dataclasses.replace(every(*POINTS_OF_PAUSE), auto_promotion_enabled=False)
    world, want = update(deploy)
    assert isinstance(world.run(want), Done)
    assert ran(world)[-2:] == ["before-paused", "on-pause"]
    assert world.seen.record.phase == PHASE_PAUSED
    world.run(on(world, approve=True))
    assert ran(world) == [named(at) for at in POINTS_OF_PAUSE]


def test_a_first_release_passes_few() -> None:
    seen = observed([], (service(None, exists=False),))
    world = World(seen)
    world.run(Want(RETIRED, V1, deploy=every(*POINTS_OF_UPDATE)))
    assert ran(world) == [
        *("before-started", "after-started", "before-created", "after-created"),
        *("before-verified", "after-verified", "before-retired", "after-retired"),
    ]


def test_several_at_one_point_run_in_their_order() -> None:
    first, second = hook("after created", name="b"), hook("after created", name="a")
    world, want = update(asked(first, second))
    world.run(want)
    assert ran(world) == ["b", "a"]


@pytest.mark.parametrize("at", POINTS_OF_UPDATE[:11])
def test_a_failed_hook_aborts(at: str) -> None:
    world, want = update(asked(hook(at), hook("on failure"), hook("on abort")))
    world.answers = [SAID_NO]
    assert isinstance(world.run(want), Done)
    assert world.aborted
    record = world.seen.record
    assert (record.stage, record.phase) == (STABLE, DEGRADED)
    assert f"hook {named(at)}" in record.message
    assert world.seen.active_hash == V1
    # Users are back before anybody is told.
    assert ran(world) == [named(at), "on-failure", "on-abort"]
    at_home = position(world, lambda s: s == RunHook("on-failure"))
    back = [i for i, s in enumerate(world.steps) if isinstance(s, Cutover)]
    assert all(i < at_home for i in back)


def test_a_person_s_abort_is_no_failure() -> None:
    deploy = asked(
        *(hook(at) for at in ("on failure", "on abort")), auto_promotion_enabled=False
    )
    world, want = update(deploy)
    world.run(want)
    world.run(on(world, STABLE, abort=True))
    assert ran(world) == ["on-abort"]
    world.steps.clear()
    world.run(on(world, STABLE, abort=True))
    assert world.steps == [Done()]


def test_hold_freezes_it_until_it_is_promoted() -> None:
    world, want = update(
        asked(hook("before promoted", on_failure="hold"), hook("on failure"))
    )
    world.answers = [SAID_NO]
    end = world.run(want)
    assert isinstance(end, Fail)
    assert "did not pass its hook before-promoted (before promoted)" in end.message
    assert "is held where it is" in end.message
    assert ran(world) == ["before-promoted", "on-failure"]
    assert world.seen.record.phase == DEGRADED
    world.steps.clear()
    again = world.run(want)
    assert isinstance(again, Fail)
    assert len(world.steps) == 1
    assert world.seen.active_hash == V1
    assert isinstance(world.run(on(world, approve=True)), Done)
    assert world.seen.active_hash == V2
    assert ran(world) == []


def test_hold_can_be_left_by_an_abort() -> None:
    world, want = update(asked(hook("before promoted", on_failure="hold")))
    world.answers = [SAID_NO]
    world.run(want)
    assert isinstance(world.run(on(world, STABLE, abort=True)), Done)
    assert world.seen.record.held == ""
    assert world.seen.record.stage == STABLE


def test_ignore_goes_on_and_says_so() -> None:
    world, want = update(asked(hook("before promoted", on_failure="ignore")))
    world.answers = [SAID_NO]
    assert isinstance(world.run(want), Done)
    assert world.seen.active_hash == V2
    warnings = [s.warning for s in world.steps if isinstance(s, Note) and s.warning]
    assert warnings == [
        "hook before-promoted (before promoted) failed: it was Failed. The release"
        " goes on without it."
    ]


def test_an_error_is_tried_again_ten_seconds_later() -> None:
    world, want = update(asked(hook("before promoted", retries=2)))
    world.answers = [ERROR, ERROR]
    world.run(want)
    known = state(world, "before promoted")
    assert (known.phase, known.attempts) == (SUCCEEDED, 3)
    assert known.seconds == pytest.approx(20, abs=1)


def test_a_refusal_is_not_tried_again() -> None:
    world, want = update(asked(hook("before promoted", retries=2)))
    world.answers = [SAID_NO]
    world.run(want)
    assert world.aborted
    assert state(world, "before promoted").attempts == 1


def test_a_failed_job_is() -> None:
    asked_for = hook("before promoted", retries=1, webhook=None, job=JOB)
    world, want = update(asked(asked_for))
    world.answers = [SAID_NO]
    world.run(want)
    assert not world.aborted
    assert state(world, "before promoted").attempts == 2


def test_not_yet_is_asked_for_again_until_the_timeout() -> None:
    world, want = update(asked(hook("before promoted", timeout_seconds=25)))
    world.answers = [RUNNING] * 9
    world.run(want)
    assert world.aborted
    assert "did not end within 25 s" in state(world, "before promoted").message
    assert len(ran(world)) == 4
    assert state(world, "before promoted").attempts == 1


def test_a_job_that_takes_too_long_is_ended() -> None:
    asked_for = hook("before promoted", timeout_seconds=25, webhook=None, job=JOB)
    world, want = update(asked(asked_for))
    world.answers = [RUNNING] * 9
    world.run(want)
    assert EndHook("before-promoted") in world.steps
    assert world.aborted


def test_a_job_does_not_outlive_the_release_that_is_left() -> None:
    world, want = update(asked(hook("before promoted", webhook=None, job=JOB)))
    world.answers = [RUNNING]
    while RunHook("before-promoted") not in world.steps:
        _one_step(world, want)
    _one_step(world, want)
    world.act(
        lambda seen: dataclasses.replace(
            seen,
            record=dataclasses.replace(
                seen.record, request=Request("abort", V2, "alice")
            ),
        )
    )
    world.run(want)
    assert world.aborted
    assert EndHook("before-promoted") in world.steps
    assert state(world, "before promoted").phase == FAILED


@pytest.mark.parametrize("other", [None, hook("before created")])
def test_a_job_does_not_outlive_a_release_that_left_no_deployment(
    other: dict[str, t.Any] | None,
) -> None:
    """The next release knows nothing of it, or something else by its name."""
    world, want = update(asked(hook("before created", webhook=None, job=JOB)))
    world.answers = [RUNNING]
    while RunHook("before-created") not in world.steps:
        _one_step(world, want)
    _one_step(world, want)
    assert world.seen.revision(V2) is None
    deploy = asked(*([other] if other else []))
    world.run(Want(RETIRED, V3, deploy=deploy))
    ended = position(world, lambda step: step == EndHook("before-created"))
    created = position(world, lambda step: isinstance(step, CreateRevision))
    assert ended < created
    assert ran(world) == ["before-created"] * (2 if other else 1)


def _one_step(world: World, want: Want) -> None:
    with pytest.raises(AssertionError, match="no end after 1 steps"):
        world.run(want, limit=1)


def test_who_takes_over_repeats_no_success_and_takes_up_what_was_begun() -> None:
    world, want = update(every("after created", "before promoted"))
    while RunHook("before-promoted") not in world.steps:
        _one_step(world, want)
    # The run is killed: its answer is lost with it.
    world.act(lambda seen: dataclasses.replace(seen, hooked=()))
    known = state(world, "before promoted")
    world.steps.clear()
    world.run(on(world))
    assert ran(world) == ["before-promoted"]
    after_it = state(world, "before promoted")
    assert (after_it.id, after_it.attempts) == (known.id, 1)


def test_with_no_way_back_it_is_held_and_a_later_deploy_tries_again() -> None:
    seen = observed([], (service(None, exists=False),))
    world = World(seen)
    deploy = asked(hook("before created"), hook("on failure"))
    world.answers = [SAID_NO]
    end = world.run(Want(RETIRED, V1, deploy=deploy))
    assert isinstance(end, Fail)
    assert "did not pass its hook before-created" in end.message
    assert ran(world) == ["before-created", "on-failure"]
    world.steps.clear()
    assert isinstance(world.run(Want(RETIRED, V1, deploy=deploy, retry=True)), Done)
    assert ran(world) == ["before-created"]


def test_what_makes_a_release_fail_is_told_before_the_task_fails() -> None:
    world, want = update(asked(hook("on failure")))
    world.broken = {V2}
    end = world.run(want)
    assert isinstance(end, Fail)
    assert ran(world) == ["on-failure"]


def test_a_rollback_runs_only_what_is_on_it() -> None:
    world, want = update(every(*POINTS_OF_UPDATE, "on rollback"))
    world.run(want)
    assert "on-rollback" not in ran(world)
    world.steps.clear()
    deploy = want.deploy
    world.run(Want(RETIRED, V1, deploy=deploy, rollback=True))
    assert world.seen.active_hash == V1
    assert ran(world) == ["on-rollback"]


def test_a_next_release_waits_for_what_follows_the_last() -> None:
    world, want = update(every("after verified"), goal=VERIFIED)
    while not (isinstance(s := world.seen.record.stage, str) and s == VERIFIED):
        _one_step(world, want)
    world.run(Want(VERIFIED, V3, deploy=asked()))
    assert ran(world) == ["after-verified"]
    assert world.seen.active_hash == V3


def test_what_closes_the_way_back_is_recorded() -> None:
    world, want = update(asked(hook("after verified", past_no_return=True)))
    world.run(want)
    assert world.seen.record.no_return == V2


# -- task files ------------------------------------------------------------------------


def tasks(at: str = "after previewed", **changes: t.Any) -> dict[str, t.Any]:
    return hook(at, webhook=None, tasks="/srv/smoke.yml", **changes)


def tell(world: World, succeeded: bool, message: str = "") -> None:
    view = View(on(world), world.seen, world.now)
    note = told(view, "after-previewed", succeeded, message)
    assert note is not None
    world.seen = dataclasses.replace(world.seen, record=note.record)


def test_a_task_file_stops_the_machine_until_its_outcome_is_told() -> None:
    world, want = update(asked(tasks()))
    assert world.run(want) == RunTasks("after-previewed")
    assert next_task(want, world.seen, world.now) == "hook"
    # Whoever comes again finds it as it is.
    world.steps.clear()
    world.run(on(world))
    assert world.steps == [RunTasks("after-previewed")]
    tell(world, succeeded=True)
    assert next_task(want, world.seen, world.now) != "hook"
    view = View(on(world), world.seen, world.now)
    assert told(view, "after-previewed", succeeded=True, message="") is None
    assert isinstance(world.run(on(world)), Done)
    assert world.seen.active_hash == V2


def test_a_task_file_that_failed_is_tried_again_and_aborts() -> None:
    world, want = update(asked(tasks(retries=1)))
    world.run(want)
    tell(world, succeeded=False, message="smoke: 500")
    assert state(world, "after previewed").phase == PENDING
    assert world.run(on(world)) == RunTasks("after-previewed")
    assert state(world, "after previewed").attempts == 2
    tell(world, succeeded=False, message="smoke: 500")
    world.run(on(world))
    assert world.aborted
    assert "smoke: 500" in world.seen.record.message


def test_a_task_file_that_began_too_long_ago_has_failed() -> None:
    world, want = update(asked(tasks(timeout_seconds=60)))
    world.run(want)
    world.now += timedelta(seconds=61)
    assert next_task(want, world.seen, world.now) != "hook"
    world.run(on(world))
    assert world.aborted


def test_a_plan_takes_every_hook_for_successful() -> None:
    world, want = update(asked(tasks(), hook("before promoted")))
    seen, now = world.seen, world.now
    for _step in range(100):
        step = decide(want, seen, now)
        if isinstance(step, Done):
            break
        seen, now = assume(step, seen, want, now)
    assert seen.active_hash == V2
    assert {s.phase for s in seen.record.hooks.values()} == {SUCCEEDED}
