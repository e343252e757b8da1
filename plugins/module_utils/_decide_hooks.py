# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state machine's rules about hooks: what stands before a step that it decided on.

Pure, as :mod:`._decide` is. Private to the collection: it may change in any release.
"""

from __future__ import annotations

import dataclasses
import typing as t
from datetime import timedelta

from . import _hooks
from ._analysis.state import ERROR, INCONCLUSIVE, SUCCESSFUL
from ._analysis.state import FAILED as VERDICT_FAILED
from ._decide_failure import give_up
from ._errors import BluegreenError
from ._hooks import (
    FAILED,
    ON_ABORT,
    ON_FAILURE,
    ON_PAUSE,
    ON_ROLLBACK,
    PENDING,
    RUNNING,
    SUCCEEDED,
    Hook,
    HookState,
    after,
    before,
)
from ._names import ROLE_ACTIVE
from ._stages import (
    ANALYSED,
    CREATED,
    DEGRADED,
    PAUSED,
    PREVIEWED,
    PROGRESSING,
    PROMOTED,
    RETIRED,
    STABLE,
    STARTED,
    VERIFIED,
)
from ._steps import (
    ROLLOUT_ABORTED,
    ROLLOUT_UPDATED,
    Delete,
    Done,
    EndHook,
    Event,
    Fail,
    Note,
    RunHook,
    RunTasks,
    Step,
    Wait,
)
from ._view import View

if t.TYPE_CHECKING:
    from ._measuring import Measured
    from ._model import Revision

RETRY_AFTER = timedelta(seconds=10)
_BY_ITSELF = "the release went on without it"


@dataclasses.dataclass(frozen=True)
class Decided:
    """The step that the machine would take, and what kind of rule it comes from."""

    step: Step
    # It takes the release to its next stage, or ends the one that has passed all.
    forward: bool = False
    # It takes an old revision away.
    retires: bool = False


def release_of(view: View) -> Revision | None:
    """The revision whose release the hooks belong to, if its Deployment exists."""
    return view.seen.revision(view.record.revision)


def _hooks_of(view: View) -> tuple[Hook, ...]:
    """What the release asks for that the record is about."""
    if not view.record.hooks:
        return ()
    deploy, release = view.want.deploy, release_of(view)
    text = view.want.hooks
    if deploy is not None and view.want.hash == view.record.revision:
        text = deploy.hooks
    elif release is not None and release.parameters is not None:
        text = release.parameters.hooks
    return _hooks.read(text)


def find(view: View, name: str) -> Hook:
    """The hook of that name.

    :raises BluegreenError: the release has none.
    """
    for hook in _hooks_of(view):
        if hook.name == name:
            return hook
    raise BluegreenError(f"{view.name()} has no hook {name}; please report this.")


def heed(view: View, decided: Decided) -> Step:
    """The step of a hook that is due before the decided one; else that one."""
    step = decided.step
    if _starts(step):
        return _end_left(view) or _before_next_release(view) or _begun(view, step)
    if not view.record.hooks:
        return step
    due = _first_of(view, points_due(view, decided))
    if due is not None:
        return due
    if view.record.stage == STABLE:
        left = _end_left(view)
        if left is not None:
            return left
    return _with_events(view, step)


def _first_of(view: View, points: t.Iterable[str]) -> Step | None:
    """The next step of the first hook at these points that has not passed."""
    known = _hooks_of(view)
    for point in points:
        for hook in known:
            state = view.record.hooks.get(hook.name)
            if hook.at == point and state is not None and not state.passed:
                return _next(view, hook, state)
    return None


def _starts(step: Step) -> bool:
    """Whether a step begins a release."""
    return isinstance(step, Note) and any(
        event.reason == ROLLOUT_UPDATED for event in step.events
    )


def _begun(view: View, step: Step) -> Step:
    """A release begins, and none of its hooks has run."""
    if not isinstance(step, Note) or view.want.deploy is None:
        return step
    text = view.want.deploy.hooks
    if not text and not step.record.hooks:
        return step
    run = f"{step.record.revision}-{int(view.now.timestamp()):x}"
    begun = _hooks.begun_by(text, run, view.want.rollback)
    return dataclasses.replace(
        step, record=dataclasses.replace(step.record, hooks=begun)
    )


def _before_next_release(view: View) -> Step | None:
    """What the last release left to its end, the next one does not cut off; a way back
    does not wait for it.
    """
    if view.want.rollback or view.record.stage != VERIFIED:
        return None
    return _first_of(view, [after(VERIFIED)])


def _end_left(view: View) -> Step | None:
    """A Job that was begun by a release that is left does not go on."""
    if view.record.stage == VERIFIED:
        return None
    for name, state in view.record.hooks.items():
        if state.phase != RUNNING or state.at in _hooks.EVENTS:
            continue
        # Without a Deployment nothing but the record tells what the release had.
        hook = Hook(name, state.at)
        ended = _result(view, hook, state)
        if state.job and ended is None:
            if name in view.seen.hooking:
                # What is being created just now could not be found yet to be ended.
                return Wait(f"{hook.called()} ends")
            return EndHook(name)
        gone = dataclasses.replace(
            state, phase=FAILED, heeded=True, finished_at=view.now, message=_BY_ITSELF
        )
        return dataclasses.replace(_noted(view, hook, gone), measured=ended)
    return None


# -- which points are due --------------------------------------------------------------


def points_due(view: View, decided: Decided) -> list[str]:
    """The points that must be passed before the decided step, in their order."""
    record, step = view.record, decided.step
    events = [s.at for s in record.hooks.values() if s.due]
    if record.stage == STABLE:
        rests = isinstance(step, (Done, Wait))
        return [p for p in (ON_FAILURE, ON_ABORT) if p in events] if rests else []
    if isinstance(step, Fail):
        failed = step.degrades or ON_FAILURE in events
        return [ON_FAILURE] if failed and view.in_flight else []
    if _goes_back(view):
        return []
    if view.in_flight:
        due = [ON_PAUSE] if ON_PAUSE in events and record.stage == PAUSED else []
        return due + (_on_the_way(view, step) if decided.forward else [])
    return _at_the_end(view, decided)


def follow_promotion(view: View) -> bool:
    """Whether a hook runs between the promotion and the end of the release."""
    points = (after(PROMOTED), before(VERIFIED))
    waiting = [s for s in view.record.hooks.values() if s.at in points]
    return view.in_flight and not view.first and any(not s.passed for s in waiting)


def _goes_back(view: View) -> bool:
    request, intent = view.record.request, view.record.intent
    asked = request is not None and request.verb == "abort"
    return view.want.abort or asked or intent.get("act") == "abort"


def _on_the_way(view: View, step: Step) -> list[str]:
    """The points of a release in flight that a step would leave behind."""
    stage = view.record.stage
    if isinstance(step, Done):
        return []
    following = step.record.stage if isinstance(step, Note) else stage
    serves = view.target_hash in view.seen.targets(ROLE_ACTIVE)
    due = []
    if stage == STARTED:
        due = [before(STARTED), after(STARTED), before(CREATED)]
    if following == VERIFIED or stage == PROMOTED:
        return due + _once_it_serves(view)
    if stage == PROMOTED or serves:
        return due
    return due + _before_it_serves(view, stage, following, step)


def _before_it_serves(view: View, stage: str, following: str, step: Step) -> list[str]:
    due: list[str] = []
    if stage == CREATED:
        due = [after(CREATED), before(PREVIEWED)]
    elif stage == PREVIEWED:
        due = [after(PREVIEWED), before(ANALYSED)]
        if following in (ANALYSED, PAUSED):
            due.append(after(ANALYSED))
        if following == PAUSED:
            due.append(before(PAUSED))
    elif stage == ANALYSED:
        due = [before(PROMOTED)] if following != PAUSED else [before(PAUSED)]
    elif stage == PAUSED and view.record.approved:
        due = [after(PAUSED), before(PROMOTED)]
    return due


def _once_it_serves(view: View) -> list[str]:
    if view.first:
        # Nobody was moved: it is created, and found to serve.
        return [after(CREATED), before(VERIFIED)]
    return [after(PROMOTED), before(VERIFIED)]


def _at_the_end(view: View, decided: Decided) -> list[str]:
    record, step = view.record, decided.step
    if not (decided.forward or isinstance(step, (Done, Wait))):
        return []
    if record.stage == RETIRED:
        return [after(RETIRED)]
    if record.stage != VERIFIED:
        return []
    due = [after(VERIFIED), ON_ROLLBACK]
    retires = isinstance(step, Delete) or (
        isinstance(step, Note) and step.record.stage == RETIRED
    )
    return [*due, before(RETIRED)] if retires or decided.retires else due


def _with_events(view: View, step: Step) -> Step:
    """A record that says what has come to pass makes the hooks of that due."""
    if not isinstance(step, Note):
        return step
    record, known = step.record, view.record
    come = set()
    if record.stage == PAUSED and known.stage != PAUSED:
        come.add(ON_PAUSE)
    if any(event.reason == ROLLOUT_ABORTED for event in step.events):
        come.add(ON_ABORT)
    asked = record.request
    # A person's request has no reason; what failed gives one.
    failed = asked is not None and asked != known.request and bool(asked.by)
    if asked is not None and asked.verb == "abort" and failed:
        come.add(ON_FAILURE)
    if record.held and not known.held:
        come.add(ON_FAILURE)
    if not come:
        return step
    hooks = {
        name: dataclasses.replace(state, due=True) if state.at in come else state
        for name, state in record.hooks.items()
    }
    return dataclasses.replace(step, record=dataclasses.replace(record, hooks=hooks))


# -- one hook --------------------------------------------------------------------------


def _next(view: View, hook: Hook, state: HookState) -> Step:
    """The next step of a hook that is due and has not passed."""
    if state.phase == FAILED:
        return _after_failure(view, hook, state)
    result = _result(view, hook, state)
    if result is not None:
        return _heard(view, hook, state, result)
    if state.phase == PENDING:
        return _begin(view, hook, state)
    if hook.tasks:
        return _go_on_with_tasks(view, hook, state)
    if hook.name in view.seen.hooking:
        return Wait(f"{hook.called()} runs")
    if state.next_at is not None:
        deadline = state.deadline(hook) or state.next_at
        if view.now < min(state.next_at, deadline):
            wake = min(state.next_at, deadline)
            return Wait(f"{hook.called()} goes on", wake=wake)
    return RunHook(hook.name)


def _begin(view: View, hook: Hook, state: HookState) -> Step:
    if state.next_at is not None and view.now < state.next_at:
        what = f"{hook.called()} failed: {state.message}"
        return Wait(what, state.next_at, "until it is tried again")
    began = dataclasses.replace(
        state,
        phase=RUNNING,
        attempts=state.attempts + 1,
        started_at=state.started_at or view.now,
        began_at=view.now,
        next_at=None,
        job=bool(hook.job),
        # Whoever is told the outcome may know no more of it than the record.
        metadata={"hook": _hooks.written(hook)} if hook.tasks else {},
    )
    which = f", attempt {began.attempts}" if began.attempts > 1 else ""
    return _noted(view, hook, began, f"{hook.called()} begins{which}")


def _go_on_with_tasks(view: View, hook: Hook, state: HookState) -> Step:
    deadline = state.deadline(hook)
    if deadline is not None and view.now >= deadline:
        return _failed(view, hook, state, _too_long(hook))
    return RunTasks(hook.name)


def _too_long(hook: Hook) -> str:
    return f"it did not end within {hook.timeout_seconds} s"


def _result(view: View, hook: Hook, state: HookState) -> Measured | None:
    for measured in view.seen.hooked:
        if measured.metric == hook.name and state.phase == RUNNING:
            return measured
    return None


def _heard(view: View, hook: Hook, state: HookState, measured: Measured) -> Step:
    """What a webhook answered, or how a Job fares."""
    result = measured.measurement
    late = view.now >= (state.deadline(hook) or view.now)
    if result.phase == SUCCESSFUL:
        return _of(measured, _succeeded(view, hook, state, result.message))
    # Whether the Job was created is not known: it is looked for under its name.
    unknown = bool(hook.job) and result.phase == ERROR and not state.metadata
    if not result.finished or unknown:
        if late and hook.job:
            return EndHook(hook.name)
        if late:
            return _of(measured, _failed(view, hook, state, _too_long(hook)))
        asked = dataclasses.replace(
            state,
            next_at=result.resume_at or view.now + RETRY_AFTER,
            metadata=dict(result.metadata) or state.metadata,
            message=result.metadata.get("message", result.message),
        )
        return _of(measured, _noted(view, hook, asked))
    final = bool(hook.webhook) and result.phase == VERDICT_FAILED
    cut_off = late and result.phase == INCONCLUSIVE
    message = _too_long(hook) if cut_off else result.message
    return _of(measured, _failed(view, hook, state, message, final))


def _of(measured: Measured, step: Note) -> Note:
    return dataclasses.replace(step, measured=measured)


def _noted(
    view: View,
    hook: Hook,
    state: HookState,
    say: str = "",
    events: tuple[Event, ...] = (),
    **changes: t.Any,
) -> Note:
    hooks = {**view.record.hooks, hook.name: state}
    return view.note(say, events, hooks=hooks, **changes)


def _succeeded(view: View, hook: Hook, state: HookState, message: str) -> Note:
    ended = dataclasses.replace(
        state,
        phase=SUCCEEDED,
        finished_at=view.now,
        next_at=None,
        message=message,
        metadata={},
    )
    what = f"{hook.called()} succeeded"
    say = what + (f": {message}" if message else "")
    changes = _time_anew(view)
    if hook.past_no_return:
        changes["no_return"] = view.record.revision
        say = f"{say}; no earlier revision can take the users back any more"
    return _noted(view, hook, ended, say, (Event("HookSucceeded", say),), **changes)


def _time_anew(view: View) -> dict[str, t.Any]:
    """Pods that are waited for had no chance to become ready while a hook ran."""
    return {"progress_at": None, "progress_available": 0} if view.in_flight else {}


def _failed(
    view: View, hook: Hook, state: HookState, message: str, final: bool = False
) -> Note:
    what = f"{hook.called()} failed: {message}"
    if state.attempts <= hook.retries and not final:
        seconds = int(RETRY_AFTER.total_seconds())
        again = dataclasses.replace(
            state,
            phase=PENDING,
            next_at=view.now + RETRY_AFTER,
            message=message,
            metadata={},
        )
        return _noted(view, hook, again, f"{what}; it is tried again in {seconds} s")
    ended = dataclasses.replace(
        state,
        phase=FAILED,
        finished_at=view.now,
        next_at=None,
        message=message,
        heeded=not hook.stops,
        metadata={},
    )
    event = Event("HookFailed", what, warning=True)
    note = _noted(view, hook, ended, what, (event,), **_time_anew(view))
    if hook.stops:
        return note
    return dataclasses.replace(note, warning=f"{what}. The release goes on without it.")


def _after_failure(view: View, hook: Hook, state: HookState) -> Step:
    if view.record.phase == DEGRADED:
        # A later run, which is to try again what failed.
        anew = HookState(state.id, state.at, due=state.due)
        return _noted(view, hook, anew, phase=PROGRESSING)
    heeded = dataclasses.replace(state, heeded=True)
    record = dataclasses.replace(
        view.record, hooks={**view.record.hooks, hook.name: heeded}
    )
    known = View(view.want, dataclasses.replace(view.seen, record=record), view.now)
    why = f"its {hook.called()}: {state.message}"
    return _with_events(view, give_up(known, why, hook.on_failure))


# -- task files ------------------------------------------------------------------------


def awaited(view: View) -> Hook | None:
    """The task file that whoever includes it is to run now."""
    if view.record.stage == STABLE or _goes_back(view):
        return None
    for state in view.record.hooks.values():
        hook = state.task_file if state.phase == RUNNING else None
        if hook is not None:
            deadline = state.deadline(hook)
            if deadline is None or view.now < deadline:
                return hook
    return None


def told(view: View, name: str, succeeded: bool, message: str) -> Note | None:
    """The outcome of a task file; none if it is known already, or awaited no more."""
    hook, state = awaited(view), view.record.hooks.get(name)
    if hook is None or state is None or hook.name != name:
        return None
    if succeeded:
        return _succeeded(view, hook, state, message)
    return _failed(view, hook, state, message or "its task file failed")
