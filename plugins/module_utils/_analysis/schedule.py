# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When what is measured next. Pure: time is passed in.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import typing as t
from datetime import datetime, timedelta

from .spec import Metric, Spec
from .state import ERROR, FINAL, AnalysisState
from .verdict import is_terminating

# Argo Rollouts tries again after 10 s whatever the interval; a metric that is
# measured more often need not wait so long.
ERROR_RETRY_SECONDS = 10.0


def due_at(metric: Metric, state: AnalysisState) -> datetime | None:
    """When a metric is measured, or asked for again; none if it has ended."""
    own = state.metric(metric.name)
    if state.final or own.phase in FINAL:
        return None
    last = own.last
    if last is None:
        return state.started_at + timedelta(seconds=metric.initial_delay)
    if last.finished_at is None:
        return last.resume_at or last.started_at
    gap = metric.interval
    if last.phase == ERROR:
        gap = min(ERROR_RETRY_SECONDS, gap or ERROR_RETRY_SECONDS)
    return last.finished_at + timedelta(seconds=gap or 0)


def next_at(
    spec: Spec, state: AnalysisState, busy: t.Collection[str] = ()
) -> datetime | None:
    """When anything is measured next; none if nothing is.

    :param busy: the metrics that are being measured at the moment.
    """
    if is_terminating(spec, state):
        return None
    free = (metric for metric in spec.metrics if metric.name not in busy)
    instants = (due_at(metric, state) for metric in free)
    return min((at for at in instants if at is not None), default=None)


def due(spec: Spec, state: AnalysisState, now: datetime) -> tuple[Metric, ...]:
    """The metrics to measure now."""
    if is_terminating(spec, state):
        return ()
    return tuple(
        metric
        for metric in spec.metrics
        if (at := due_at(metric, state)) is not None and at <= now
    )
