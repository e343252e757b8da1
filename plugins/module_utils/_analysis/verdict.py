# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verdict: of one measurement, of a metric and of the whole analysis. Pure.

The tables are those of Argo Rollouts, whose ``utils/evaluate`` and ``analysis``
packages define them; where they let a doubtful release pass, these do not: an answer
without data is inconclusive, and what was stopped before its verdict has not passed.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import dataclasses
import json
import typing as t
from datetime import datetime
from functools import lru_cache

from . import expression
from .spec import UNLIMITED, Metric, Range, Spec
from .state import (
    ERROR,
    FAILED,
    FINAL,
    INCONCLUSIVE,
    PENDING,
    RUNNING,
    SUCCESSFUL,
    AnalysisState,
    Measurement,
    MetricState,
)

_NO_DATA = {"pass": SUCCESSFUL, "fail": FAILED, "inconclusive": INCONCLUSIVE, "": ""}
_SHOWN_RESULTS = 3
_ENDED_EARLY = "ended before its verdict"

# Many measurements are judged by the same few conditions.
_parsed = lru_cache(maxsize=256)(expression.parse)


# -- one measurement -------------------------------------------------------------------


def judge(metric: Metric, value: t.Any) -> tuple[str, str]:
    """What a measured value means.

    :returns: Successful, Failed, Inconclusive or Error, and why unless successful.
    """
    if value is None or (isinstance(value, (list, dict)) and not value):
        verdict = _without_data(metric)
        if verdict is not None:
            return verdict
    try:
        succeeds = _succeeds(metric, value)
        fails = _holds(metric.failure_condition, value)
    except expression.ExpressionError as error:
        return ERROR, str(error)
    if fails:
        return FAILED, f"{metric.failure_condition} holds"
    if succeeds is not False:
        return SUCCESSFUL, ""
    if fails is None:
        return FAILED, f"{_condition(metric)} does not hold"
    return (
        INCONCLUSIVE,
        f"neither {_condition(metric)} nor {metric.failure_condition} holds",
    )


def _without_data(metric: Metric) -> tuple[str, str] | None:
    if metric.no_data:
        return _NO_DATA[metric.no_data], f"no data, which noData: {metric.no_data} says"
    conditions = (metric.success_condition, metric.failure_condition)
    if any(c and _parsed(c).handles_no_data for c in conditions):
        return None
    return INCONCLUSIVE, "no data"


def _holds(condition: str, value: t.Any) -> bool | None:
    return _parsed(condition).judge(value) if condition else None


def _succeeds(metric: Metric, value: t.Any) -> bool | None:
    if metric.threshold_range is not None:
        return _is_within(metric.threshold_range, value)
    return _holds(metric.success_condition, value)


def _is_within(bounds: Range, value: t.Any) -> bool:
    values = value if isinstance(value, list) else [value]
    for each in values:
        if isinstance(each, bool) or not isinstance(each, (int, float)):
            raise expression.ExpressionError(
                f"thresholdRange needs a number or a list of numbers; the result is"
                f" {shown(value)}."
            )
    least, most = bounds.least, bounds.most
    # NaN is within no bounds.
    return all(
        (least is None or each >= least) and (most is None or each <= most)
        for each in values
    )


def _condition(metric: Metric) -> str:
    bounds = metric.threshold_range
    if bounds is None:
        return metric.success_condition
    if bounds.least is None:
        return f"result <= {bounds.most:g}"
    if bounds.most is None:
        return f"result >= {bounds.least:g}"
    return f"{bounds.least:g} <= result <= {bounds.most:g}"


def shown(value: t.Any) -> str:
    """A measured value as people and the record get it: JSON, or a Python text."""
    try:
        return json.dumps(value, default=str)
    except (TypeError, ValueError, RecursionError):
        return str(value)


def line(
    metric: Metric, state: AnalysisState, measurement: Measurement
) -> tuple[str, str]:
    """What all alike lines begin with, and the line about one measurement."""
    own = state.metric(metric.name)
    dry = " (dry run)" if metric.dry_run else ""
    prefix = f"{metric.name}{dry} {measurement.phase}"
    counted = f"{own.count}/{metric.count}" if metric.count else str(own.count)
    found = ": ".join(x for x in (measurement.value, measurement.message) if x)
    return f"{prefix} ", f"{prefix} ({counted})" + (f": {found}" if found else "")


# -- one metric ------------------------------------------------------------------------


def assess(metric: Metric, state: MetricState, terminating: bool) -> tuple[str, str]:
    """The phase of a metric and why. A final one never changes.

    :param terminating: whether nothing is measured any more.
    """
    if state.phase in FINAL:
        return state.phase, state.message
    if state.unfinished is not None:
        return RUNNING, ""
    over = _over_limit(metric, state)
    if over is not None:
        return over
    wanted = metric.consecutive_success_limit
    if 0 < wanted <= state.consecutive_success:
        return SUCCESSFUL, ""
    if metric.count is not None and state.count >= metric.count:
        return _at_count(metric, state)
    if terminating:
        return INCONCLUSIVE, _ENDED_EARLY
    return (RUNNING if state.started else PENDING), ""


def _over_limit(metric: Metric, state: MetricState) -> tuple[str, str] | None:
    found = None
    if UNLIMITED < metric.failure_limit < state.failed:
        found = FAILED, _exceeded(state, state.failed, FAILED, metric.failure_limit)
    if UNLIMITED < metric.inconclusive_limit < state.inconclusive:
        found = (
            INCONCLUSIVE,
            _exceeded(
                state, state.inconclusive, INCONCLUSIVE, metric.inconclusive_limit
            ),
        )
    limit = metric.consecutive_error_limit
    if limit < state.consecutive_error:
        found = ERROR, _exceeded(state, state.consecutive_error, ERROR, limit)
    return found


def _exceeded(state: MetricState, count: int, phase: str, limit: int) -> str:
    unit = "measurement" if count == 1 else "measurements"
    kind = {
        FAILED: f"{unit} failed, failureLimit is",
        INCONCLUSIVE: f"inconclusive {unit}, inconclusiveLimit is",
        ERROR: "errors one after another, consecutiveErrorLimit is",
    }[phase]
    return f"{count} {kind} {limit}{_evidence(state, phase)}"


def _evidence(state: MetricState, phase: str) -> str:
    """The last results of that phase, oldest first."""
    alike = [m for m in state.measurements if m.phase == phase][-_SHOWN_RESULTS:]
    if not alike:
        return ""
    reason = alike[-1].message
    values = ", ".join(m.value for m in alike if m.value)
    if not values:
        return f"; last: {reason}" if reason else ""
    found = f"; last results {values}" if len(alike) > 1 else f"; result {values}"
    return f"{found}: {reason}" if reason else found


def _at_count(metric: Metric, state: MetricState) -> tuple[str, str]:
    if metric.consecutive_success_limit <= 0:
        return SUCCESSFUL, ""
    short = (
        f"{state.count} measurements without {metric.consecutive_success_limit}"
        " successful ones in a row"
    )
    return (FAILED if metric.failure_limit == UNLIMITED else INCONCLUSIVE), short


# -- the analysis ----------------------------------------------------------------------


def is_terminating(spec: Spec, state: AnalysisState) -> bool:
    """Whether a metric that decides has ended badly: the rest is not measured."""
    return any(
        state.metric(m.name).phase in FINAL
        and state.metric(m.name).phase != SUCCESSFUL
        and not m.dry_run
        for m in spec.metrics
    )


def measured(
    spec: Spec, state: AnalysisState, name: str, measurement: Measurement
) -> AnalysisState:
    """The analysis with one more measurement, or with an unfinished one carried on."""
    if state.final or state.metric(name).phase in FINAL:
        return state
    after = counted(spec, state, name, measurement)
    return settled(spec, after, measurement.finished_at)


def begun(spec: Spec, state: AnalysisState, name: str, now: datetime) -> AnalysisState:
    """The analysis with a measurement that is about to go on elsewhere."""
    return measured(spec, state, name, Measurement(RUNNING, now, resume_at=now))


def counted(
    spec: Spec, state: AnalysisState, name: str, measurement: Measurement
) -> AnalysisState:
    """As :func:`measured`, with no verdict drawn from it."""
    metric = spec.metric(name)
    own = _counted(metric, state.metric(name), measurement.cut())
    return state.with_metric(name, own)


def _counted(
    metric: Metric, state: MetricState, measurement: Measurement
) -> MetricState:
    resumed = state.unfinished is not None
    kept = state.measurements[:-1] if resumed else state.measurements
    changes: dict[str, t.Any] = {
        "started": state.started + (0 if resumed else 1),
        "measurements": (*kept, measurement)[-max(metric.retention, 1) :],
    }
    phase = measurement.phase
    if phase in FINAL:
        field = phase.lower()
        changes[field] = getattr(state, field) + 1
        changes["consecutive_error"] = (
            state.consecutive_error + 1 if phase == ERROR else 0
        )
        changes["consecutive_success"] = (
            state.consecutive_success + 1 if phase == SUCCESSFUL else 0
        )
    return dataclasses.replace(state, **changes)


def settled(spec: Spec, state: AnalysisState, now: datetime | None) -> AnalysisState:
    """The analysis with every verdict drawn that can be drawn."""
    if state.final:
        return state
    # What ends the others is decided first: by metrics that ended by themselves.
    for terminating in (False, True):
        if terminating and not is_terminating(spec, state):
            break
        for metric in spec.metrics:
            phase, message = assess(metric, state.metric(metric.name), terminating)
            changed = dataclasses.replace(
                state.metric(metric.name), phase=phase, message=message
            )
            if changed != MetricState():
                state = state.with_metric(metric.name, changed)
    phases = {m.name: state.metric(m.name).phase for m in spec.metrics}
    if any(phase not in FINAL for phase in phases.values()):
        return state
    deciding = [phases[m.name] for m in spec.metrics if not m.dry_run]
    phase = max(deciding, key=FINAL.index, default=SUCCESSFUL)
    return dataclasses.replace(
        state, phase=phase, finished_at=now, message=_reasons(spec, state, phase)
    )


def _reasons(spec: Spec, state: AnalysisState, phase: str) -> str:
    if phase == SUCCESSFUL:
        return ""
    return "; ".join(
        f"metric {m.name} {_ENDED[phase]}: {state.metric(m.name).message}"
        for m in spec.metrics
        if not m.dry_run
        and state.metric(m.name).phase == phase
        and state.metric(m.name).message != _ENDED_EARLY
    )


_ENDED = {
    FAILED: "failed",
    ERROR: "could not be measured",
    INCONCLUSIVE: "is inconclusive",
}


def stopped(state: AnalysisState, why: str, now: datetime) -> AnalysisState:
    """The analysis ended from outside: it has failed, however good it looked."""
    if state.final:
        return state
    return dataclasses.replace(
        state,
        phase=FAILED,
        message=f"stopped: {why}",
        stopped=why,
        finished_at=now,
        metrics={
            name: metric
            if metric.phase in FINAL
            else dataclasses.replace(metric, phase=INCONCLUSIVE, message=_ENDED_EARLY)
            for name, metric in state.metrics.items()
        },
    )
