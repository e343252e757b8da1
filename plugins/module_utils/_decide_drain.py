# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state machine's rules about the end of an old revision. Pure.

Its pods are told to close what they hold, what they still hold is measured, and then
they go, step by step. Nothing of it holds the way back up, and nothing that is measured
keeps a revision beyond its timeout. Private to the collection: it may change in any
release.
"""

from __future__ import annotations

import dataclasses
import typing as t
from datetime import datetime, timedelta

from ._analysis.state import DRAIN, SUCCESSFUL, AnalysisState
from ._drain import Drain
from ._errors import BadInput
from ._model import Revision, describe
from ._parameters import Parameters
from ._steps import Event, Note, Scale, Step, Tell, Wait
from ._view import View

# What has not passed is measured again, and gets a moment to change before.
_AGAIN = timedelta(seconds=5)
_MAX_VALUE = 80


def end(view: View, revision: Revision, why: str) -> Step | None:
    """The next step of a revision whose delay is over; none if it waits."""
    p = view.parameters_to_end(revision)
    if not p.ends_gently:
        return Scale(revision.hash, 0, why)
    if view.fast or (view.in_flight_hash and not view.seen.record_exists):
        # A way back waits for nobody; and a record of this alone would say that
        # nothing is in flight.
        return None
    drain = view.record.drain
    if drain is None:
        return _begin(view, revision, p, why)
    if drain.revision != revision.hash:
        return None
    if drain.ended_at is None:
        return _go_on(view, revision, p, drain)
    return _shrink(view, revision, p, drain)


def leave(view: View, running: t.Iterable[Revision]) -> Step | None:
    """Forget the end of a revision that has ended, or that is wanted again.

    :param running: the old revisions that have pods.
    """
    drain = view.record.drain
    if drain is None or view.fast:
        return None
    if not drain.left and any(r.hash == drain.revision for r in running):
        return None
    return _stop_measuring(view, "nothing is left to drain") or view.note(drain=None)


def wait(view: View, running: t.Iterable[Revision]) -> Wait | None:
    """What the end of a revision waits for; none if nothing ends."""
    drain = view.record.drain
    revision = _ending(drain, running)
    if drain is None or revision is None:
        return None
    if drain.ended_at is None:
        what, until = _what_it_holds(view, revision, drain), drain.until
        then = "until it is scaled down"
    elif drain.hold_until is not None:
        what, until = f"{describe(revision)} holds", drain.hold_until
        then = "until its next step down"
    else:
        return None
    if until <= view.now:
        return None
    return Wait(what, until, then, wake=wake_at(view))


def wake_at(view: View) -> datetime | None:
    """When the end of an old revision goes on, whatever else is waited for."""
    drain = view.record.drain
    if drain is None or drain.left:
        return None
    instants = [drain.next_at, drain.tell_at, *view.record.retire_at.values()]
    revision = view.seen.revision(drain.revision)
    if drain.ended_at is None and revision is not None:
        step = _measure(view, revision)
        instants.append(step.wake if isinstance(step, Wait) else None)
    return min((at for at in instants if at and at > view.now), default=None)


def is_measured(view: View, running: t.Iterable[Revision]) -> bool:
    """Whether an analysis says when a revision may go: a task stays for that."""
    drain = view.record.drain
    revision = _ending(drain, running)
    if drain is None or revision is None or drain.ended_at is not None:
        return False
    return bool(view.parameters_to_end(revision).drain)


def _ending(drain: Drain | None, running: t.Iterable[Revision]) -> Revision | None:
    if drain is None or drain.left:
        return None
    return next((r for r in running if r.hash == drain.revision), None)


def _begin(view: View, revision: Revision, p: Parameters, why: str) -> Note:
    timeout = timedelta(seconds=p.drain_timeout_seconds)
    drain = Drain(
        revision=revision.hash,
        size=revision.replicas,
        began_at=view.now,
        until=view.now + timeout,
        tell_at=view.now if p.tells else None,
        ended_at=None if p.drains else view.now,
        why=why,
        held=revision.replicas,
    )
    due = min(view.now, view.record.retire_at.get(revision.hash, view.now))
    analysis = {k: s for k, s in view.record.analysis.items() if k != DRAIN}
    return view.note(
        f"{describe(revision)} is drained before it ends: {why}" if p.drains else "",
        drain=drain,
        analysis=analysis,
        retire_at={**view.record.retire_at, revision.hash: due},
    )


# -- it closes what it holds -----------------------------------------------------------


def _go_on(view: View, revision: Revision, p: Parameters, drain: Drain) -> Step | None:
    due = drain.tell_at is not None and view.now >= drain.tell_at
    tell = Tell(revision.hash, p.drain_http, p.drain_exec, p.drain_timeout_seconds)
    if due and not drain.tried:
        # Also where the countdown is over: a run was ended before it told anybody.
        return tell
    if view.now >= drain.until:
        return _conclude(view, revision, p, drain)
    if due:
        return tell
    step = _measure(view, revision)
    if step is not None and not isinstance(step, Wait):
        return step
    if _has_passed(view) and drain.tell_at is None:
        return _conclude(view, revision, p, drain)
    return None


def _measure(view: View, revision: Revision) -> Step | None:
    """The next step of its analysis; none if there is none, or it has passed."""
    if not view.parameters_to_end(revision).drain:
        return None
    from . import _decide_analysis as analysis

    try:
        found = analysis.plan_of(view, DRAIN)
    except BadInput:
        # What cannot be read must not keep it for ever: it gets its time.
        return None
    state = view.record.analysis.get(DRAIN)
    if state is None:
        return analysis.begin(view, DRAIN, found)
    if not state.final:
        return analysis.go_on(view, DRAIN, found, state)
    if state.phase == SUCCESSFUL:
        return None
    again = (state.finished_at or view.now) + _AGAIN
    if view.now < again:
        return Wait(f"{describe(revision)} is measured again", wake=again)
    return analysis.begin(view, DRAIN, found, again=True)


def _has_passed(view: View) -> bool:
    state = view.record.analysis.get(DRAIN)
    return state is not None and state.phase == SUCCESSFUL


def _stop_measuring(view: View, why: str) -> Step | None:
    if DRAIN not in view.record.analysis:
        return None
    from . import _decide_analysis as analysis

    return analysis.stop(view, why, (DRAIN,))


def _conclude(view: View, revision: Revision, p: Parameters, drain: Drain) -> Step:
    step = _stop_measuring(view, "its time is over")
    if step is not None:
        return step
    drained, outcome = _outcome(view, revision, p, drain)
    reason = "RevisionDrained" if drained else "RevisionNotDrained"
    return view.note(
        "",
        (Event(reason, f"{describe(revision)}: {outcome}", warning=not drained),),
        drain=dataclasses.replace(
            drain, ended_at=view.now, tell_at=None, why=outcome, held=revision.replicas
        ),
    )


def _outcome(
    view: View, revision: Revision, p: Parameters, drain: Drain
) -> tuple[bool, str]:
    """Whether it has closed what it held, as far as is known, and how it ended."""
    seconds = f"{(view.now - drain.began_at).total_seconds():.0f} s"
    untold = _pods_untold(drain)
    if not p.drain:
        text = f"it had {seconds} to close what it held"
        return not untold, f"{text}; {untold}" if untold else text
    if _has_passed(view) and not untold:
        return True, f"it was drained within {seconds}"
    held = [] if _has_passed(view) else [_values(view, drain) or "nothing was measured"]
    why = "; ".join([*held, *([untold] if untold else [])])
    return False, f"after {seconds} its drain had not ended: {why}"


def _pods_untold(drain: Drain) -> str:
    count = len(drain.untold)
    pods = "1 pod" if count == 1 else f"{count} pods"
    return f"{pods} could not be told" if count else ""


def _values(view: View, drain: Drain) -> str:
    """The last value of each metric that has not passed."""
    state = view.record.analysis.get(DRAIN)
    return ", ".join(
        f"{name} = {value[:_MAX_VALUE]}"
        for name, value in drain.values.items()
        if not _passed(state, name)
    )


def _passed(state: AnalysisState | None, metric: str) -> bool:
    return state is not None and state.metric(metric).phase == SUCCESSFUL


def _what_it_holds(view: View, revision: Revision, drain: Drain) -> str:
    p = view.parameters_to_end(revision)
    if not p.drain:
        return f"{describe(revision)} closes what it holds"
    values = _values(view, drain)
    return f"{describe(revision)} drains" + (f": {values}" if values else "")


# -- and goes --------------------------------------------------------------------------


def _shrink(view: View, revision: Revision, p: Parameters, drain: Drain) -> Step | None:
    interval = timedelta(seconds=p.scale_down_interval_seconds)
    if interval and drain.held != revision.replicas:
        held = dataclasses.replace(
            drain, held=revision.replicas, hold_until=view.now + interval
        )
        return view.note(drain=held)
    if drain.hold_until is not None and view.now < drain.hold_until:
        return None
    sizes = p.falling_sizes(drain.size)
    following = next(size for size in sizes if size < revision.replicas)
    return Scale(revision.hash, following, drain.why)
