# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state machine's rules about an analysis. Pure, as :mod:`._decide` is.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ._analysis import plan, schedule, verdict
from ._analysis.plan import Plan
from ._analysis.registry import RESUMABLE
from ._analysis.state import (
    DRAIN,
    FINAL,
    INCONCLUSIVE,
    KINDS,
    POST_PROMOTION,
    PRE_PROMOTION,
    SUCCESSFUL,
    AnalysisState,
)
from ._decide_failure import give_up
from ._drain import Drain
from ._errors import BadInput
from ._model import describe
from ._record import Record
from ._stages import PAUSED, PHASE_PAUSED
from ._steps import Done, EndMeasurement, Event, Measure, Note, Step, Wait

if t.TYPE_CHECKING:
    from ._measuring import Measured
    from ._view import View

_DECISION = "promote accepts it, abort refuses it"
_SHORT = {PRE_PROMOTION: "pre", POST_PROMOTION: "post", DRAIN: "drain"}


def plan_of(view: View, kind: str) -> Plan:
    """The analysis of that kind, of the target beside the stable revision; of the
    revision that is drained beside the active one.

    :raises BadInput: what is kept of it in the cluster cannot be read.
    """
    measured = measured_by(view, kind) or ""
    stable = (view.seen.active_hash or "") if kind == DRAIN else ""
    if kind != DRAIN and view.stable is not None:
        stable = view.stable.hash
    try:
        return plan.read(_text(view, kind, measured), measured, stable)
    except (BadInput, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(
            f"The {kind} analysis that is kept with {view.name()} cannot be read"
            f" ({error}); run the deploy playbook with its manifest again, or abort it."
        ) from error


def measured_by(view: View, kind: str) -> str | None:
    """The hash of the revision that an analysis of that kind is about."""
    if kind == DRAIN:
        return view.record.drain.revision if view.record.drain else None
    return view.in_flight_hash or view.target_hash


def _text(view: View, kind: str, revision_hash: str) -> str:
    if kind == DRAIN:
        ending = view.seen.revision(revision_hash)
        return view.parameters_to_end(ending).drain if ending else ""
    if revision_hash == view.target_hash:
        return view.analysis_text(kind)
    # It is superseded: what is asked now is about another one.
    revision = view.seen.revision(revision_hash)
    parameters = revision.parameters if revision else None
    return parameters.analysis(kind) if parameters else ""


def next_step(view: View, kind: str) -> Step | None:
    """The next step of an analysis; none once it lets the release go on."""
    found, state = plan_of(view, kind), view.record.analysis.get(kind)
    if state is None:
        return begin(view, kind, found)
    if state.final:
        return _conclude(view, kind, state)
    return go_on(view, kind, found, state)


def go_on(view: View, kind: str, found: Plan, state: AnalysisState) -> Step:
    """The next step of an analysis that has no verdict yet."""
    for measured in view.seen.measured:
        if measured.kind == kind:
            return _heed(view, found, state, measured)
    return _end_what_goes_on(view, kind, found, state) or _go_on(
        view, kind, found, state
    )


def begin(view: View, kind: str, found: Plan, again: bool = False) -> Note:
    """An analysis starts.

    :param again: whether it is one that is measured until it passes, and did not.
    """
    about = view.target
    if kind == DRAIN:
        about = view.seen.revision(measured_by(view, kind))
    owner = about.deployment if about else ""
    # Unlike the one of an earlier attempt, whose Jobs may still be there.
    run = f"{owner}-{_SHORT[kind]}-{int(view.now.timestamp()):x}"
    analysis = {**view.record.analysis, kind: AnalysisState(run, view.now)}
    if again:
        return view.note(analysis=analysis)
    listed = ", ".join(m.name for m in found.spec.metrics)
    say = f"{kind} analysis begins: {listed}"
    event = Event("AnalysisRunRunning", f"{describe(about, view.name())}: {say}")
    return view.note(say, (event,), analysis=analysis)


def _heed(view: View, found: Plan, state: AnalysisState, measured: Measured) -> Note:
    kind, name, measurement = measured.kind, measured.metric, measured.measurement
    after = verdict.measured(found.spec, state, name, measurement)
    changes: dict[str, t.Any] = {"analysis": {**view.record.analysis, kind: after}}
    if not measurement.finished:
        return dataclasses.replace(view.note(**changes), measured=measured)
    events: tuple[Event, ...] = ()
    prefix, say = verdict.line(found.spec.metric(name), after, measurement)
    prefix, say = f"{kind} analysis: {prefix}", f"{kind} analysis: {say}"
    if kind == DRAIN:
        # Its verdict decides nothing but when the revision goes.
        changes["drain"] = _with_value(view, measured)
    elif after.final:
        ended = f"the {kind} analysis is {after.phase}"
        say = f"{say}; {ended}"
        warning = after.phase != SUCCESSFUL
        reason = f" ({after.message})" if after.message else ""
        text = f"{view.name()}: {ended}{reason}"
        events = (Event(f"AnalysisRun{after.phase}", text, warning),)
    if after.phase == INCONCLUSIVE and kind != DRAIN:
        say = f"{say}; {_DECISION}"
        changes.update(_held(view, kind, after))
    record = dataclasses.replace(view.record, **changes)
    if kind == DRAIN and record.drain == view.record.drain:
        # It is asked again and again: what is new is worth a line.
        return Note(record, "", events, measured)
    record = _without(record, prefix).noted(view.now, say)
    return Note(record, say, events, measured)


def _with_value(view: View, measured: Measured) -> Drain | None:
    drain = view.record.drain
    if drain is None:
        return None
    found = measured.measurement.value or measured.measurement.phase
    return dataclasses.replace(drain, values={**drain.values, measured.metric: found})


def _without(record: Record, prefix: str) -> Record:
    """Of measurements that are alike, only the last stays between two other lines."""
    kept = list(record.timeline)
    for index in range(len(kept) - 1, -1, -1):
        if " analysis: " not in kept[index][1]:
            break
        if kept[index][1].startswith(prefix):
            del kept[index]
            break
    return dataclasses.replace(record, timeline=tuple(kept))


def _held(view: View, kind: str, state: AnalysisState) -> dict[str, t.Any]:
    """The gate is shut until a person accepts what could not be decided."""
    number = view.target.number if view.target else 0
    changes: dict[str, t.Any] = {
        "phase": PHASE_PAUSED,
        "message": f"revision {number}: the {kind} analysis is inconclusive"
        f" ({state.message}); {_DECISION}",
        # An approval that was given before accepts nothing that was not known.
        "approved": False,
        "promote_at": None,
        "scale_at": None,
        "progress_at": None,
        "progress_available": 0,
        "intent": {},
    }
    if kind == PRE_PROMOTION:
        changes["stage"] = PAUSED
    return changes


def _conclude(view: View, kind: str, state: AnalysisState) -> Step | None:
    if state.phase == SUCCESSFUL:
        return None
    if state.phase == INCONCLUSIVE:
        accepted = view.record.approved or view.want.approve
        return None if accepted else Done()
    reason = f"its {kind} analysis ({state.message})"
    return give_up(view, reason)


def _end_what_goes_on(
    view: View, kind: str, found: Plan, state: AnalysisState
) -> Step | None:
    if not verdict.is_terminating(found.spec, state):
        return None
    # Its metrics may have been changed while it ran: nothing may be left to measure.
    return _end_unfinished(view, kind, found, state) or _settle(
        view, kind, found, state
    )


def _end_unfinished(
    view: View, kind: str, found: Plan, state: AnalysisState
) -> Step | None:
    for metric in found.spec.metrics:
        if state.metric(metric.name).unfinished is None:
            continue
        if (kind, metric.name) in view.seen.measuring:
            # What is being created just now could not be found yet to be ended.
            return Wait(f"the {kind} analysis ends: {metric.name}")
        return EndMeasurement(kind, metric)
    return None


def _settle(view: View, kind: str, found: Plan, state: AnalysisState) -> Step | None:
    after = verdict.settled(found.spec, state, view.now)
    if after == state:
        return None
    return view.note(analysis={**view.record.analysis, kind: after})


def _go_on(view: View, kind: str, found: Plan, state: AnalysisState) -> Step:
    for metric in schedule.due(found.spec, state, view.now):
        if (kind, metric.name) in view.seen.measuring:
            continue
        own = state.metric(metric.name)
        if metric.provider in RESUMABLE and own.unfinished is None:
            # In the record before it is begun: who runs next finds it, or ends it.
            begun = verdict.begun(found.spec, state, metric.name, view.now)
            return view.note(analysis={**view.record.analysis, kind: begun})
        return Measure(kind, metric)
    settled = _settle(view, kind, found, state)
    if settled is not None:
        return settled
    # Each measurement has a line of its own: this one is the same between them.
    listed = ", ".join(
        m.name for m in found.spec.metrics if state.metric(m.name).phase not in FINAL
    )
    busy = {name for own, name in view.seen.measuring if own == kind}
    return Wait(
        f"{describe(view.target)} is measured by its {kind} analysis: {listed}",
        wake=schedule.next_at(found.spec, state, busy),
    )


def stop(view: View, why: str, kinds: tuple[str, ...] = KINDS) -> Step | None:
    """End the analyses that run: what they measure elsewhere, then they themselves.

    :param kinds: which ones; that of an old revision goes on beside a release.
    """
    for kind in kinds:
        state = view.record.analysis.get(kind)
        if state is None or state.final:
            continue
        step = _clean_up(view, kind, state)
        if step is not None:
            return step
        stopped = verdict.stopped(state, why, view.now)
        return view.note(analysis={**view.record.analysis, kind: stopped})
    return None


def _clean_up(view: View, kind: str, state: AnalysisState) -> Step | None:
    try:
        found = plan_of(view, kind)
    except BadInput:
        # The way back does not depend on what cannot be read.
        return None
    for measured in view.seen.measured:
        if measured.kind == kind:
            name, measurement = measured.metric, measured.measurement
            after = verdict.counted(found.spec, state, name, measurement)
            note = view.note(analysis={**view.record.analysis, kind: after})
            return dataclasses.replace(note, measured=measured)
    return _end_unfinished(view, kind, found, state)
