# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who measures while the engine drives: assignments from what was seen, results back.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import dataclasses
import typing as t

from . import _decide_analysis
from ._analysis.measurement import Place
from ._analysis.spec import Metric
from ._analysis.state import DRAIN
from ._cluster import Cluster
from ._measuring import Assignment, Measured, Measuring
from ._model import Observed
from ._secrets import Secrets

if t.TYPE_CHECKING:
    from ._clock import ServerClock
    from ._view import View


class Analyst:
    """Takes the measurements of one rollout."""

    def __init__(self, cluster: Cluster, clock: ServerClock, secrets: Secrets) -> None:
        self._cluster = cluster
        self._clock = clock
        self._secrets = secrets
        self._measuring = Measuring(cluster.watches.nudge)

    def look(self, seen: Observed) -> Observed:
        """What was seen, with what is and has been measured."""
        for measured in self._measuring.take():
            state = seen.record.analysis.get(measured.kind)
            if state is None or state.final or state.run != measured.run:
                # Its analysis has ended: nobody asks for it any more.
                self._measuring.drop(measured)
        return dataclasses.replace(
            seen,
            measuring=self._measuring.under_way,
            measured=self._measuring.take(),
        )

    def measure(self, view: View, kind: str, metric: Metric) -> None:
        """Take a measurement in the background."""
        self._measuring.start(self._assignment(view, kind, metric))

    def end(self, view: View, kind: str, metric: Metric) -> None:
        """End a measurement that goes on elsewhere."""
        self._measuring.end(self._assignment(view, kind, metric))

    def drop(self, measured: Measured) -> None:
        """Forget a result that is in the record."""
        self._measuring.drop(measured)

    def seconds_left(self, at_most: float) -> float:
        """Until a measurement must be cut off."""
        left = self._measuring.seconds_left()
        return at_most if left is None else min(left, at_most)

    def _assignment(self, view: View, kind: str, metric: Metric) -> Assignment:
        plan = _decide_analysis.plan_of(view, kind)
        state = view.record.analysis[kind]
        own = state.metric(metric.name)
        return Assignment(
            kind=kind,
            metric=metric,
            number=own.started + (0 if own.unfinished else 1),
            place=self._place(view, kind, state.run),
            values=plan.values,
            values_of_stable=plan.values_of_stable,
            secrets=plan.secrets,
            unfinished=own.unfinished,
        )

    def _place(self, view: View, kind: str, run: str) -> Place:
        measured = view.seen.revision(_decide_analysis.measured_by(view, kind))
        ends = kind == DRAIN
        stable = view.active if ends else view.stable
        return Place(
            now=self._clock.now,
            secret=self._secrets.get,
            api=lambda: self._cluster.api,
            namespace=self._cluster.namespace,
            rollout=self._cluster.rollout,
            revision=measured.hash if measured else "",
            stable=stable.hash if stable else "",
            run=run,
            owner=self._cluster.owner_reference(measured) if measured else None,
            # No Service directs to what is drained.
            preview_services=() if ends else tuple(s.name for s in view.preview),
        )
