# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An analysis without a rollout: any templates, any arguments, in anybody's play.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import json
import threading
import time
import typing as t
import uuid
from functools import cached_property

from ._analysis import plan, schedule, verdict
from ._analysis.measurement import Place
from ._analysis.parsing import arguments_of
from ._analysis.registry import RESUMABLE
from ._analysis.spec import Metric
from ._analysis.state import FINAL, SUCCESSFUL, AnalysisState, to_plain
from ._api import Api
from ._asked_analysis import Asked, missing_secrets
from ._auth import connect
from ._clock import ServerClock
from ._errors import BadInput, BluegreenError
from ._measuring import Assignment, Measured, Measuring
from ._secrets import Secrets, parse_given

if t.TYPE_CHECKING:
    from ._tasks import Params, Result, Runtime

_KIND = "analysis"
_HEARTBEAT_SECONDS = 30.0


def run_alone(params: Params, runtime: Runtime) -> Result:
    """Run an analysis to its verdict; anything but success is a failed task."""
    alone: Alone | None = None
    try:
        alone = Alone(params, runtime)
        return alone.run()
    except BluegreenError as error:
        return {"failed": True, "msg": str(error), "changed": False}
    finally:
        if alone is not None:
            alone.end()


class Alone:
    """One analysis, kept in memory."""

    def __init__(self, params: Params, runtime: Runtime) -> None:
        self._params = params
        self._runtime = runtime
        self._clock = ServerClock()
        self._changed = threading.Event()
        self._measuring = Measuring(self._changed.set)
        self._began = time.monotonic()
        if params.get("revision"):
            raise BadInput("revision: it needs the name of a rollout; give name, too.")
        given = parse_given(params.get("analysis_secrets"), "analysis_secrets")
        self._secrets = Secrets(given, lambda: self._api, params["namespace"])
        asked = Asked(
            params.get("analysis_templates"),
            lambda: self._api,
            params["namespace"],
            {},
        )
        text = asked.text(params.get("analysis"), "analysis")
        if not text:
            raise BadInput(
                "analysis: nothing was given to measure; name a template, or give name"
                " to measure the release of a rollout."
            )
        problems = [
            f"analysis: argument {a.name}: podTemplateHashValue is the hash of a"
            " rollout's revision, and this analysis stands alone; give it a value."
            for a in arguments_of(json.loads(text))
            if a.hash_of
        ]
        problems += missing_secrets(text, self._secrets, "analysis")
        if problems:
            raise BadInput("\n".join(problems))
        self._plan = plan.read(text, "", "")
        self._state = AnalysisState(
            f"analysis-{uuid.uuid4().hex[:10]}", self._clock.now()
        )

    @cached_property
    def _api(self) -> Api:
        connection = connect(self._params, self._runtime.environment)
        api = Api(connection, self._clock)
        api.before_write.append(self._runtime.guard.check)
        return api

    def run(self) -> Result:
        """Measure until there is a verdict."""
        if self._runtime.check_mode:
            listed = ", ".join(m.name for m in self._plan.spec.metrics)
            self._report(f"would measure {listed}")
            return {"changed": False, "planned": True}
        while not self._reached_verdict():
            self._measure_what_is_due()
            self._changed.wait(self._seconds_to_wait())
            self._changed.clear()
        return self._result()

    def _reached_verdict(self) -> bool:
        for measured in self._measuring.take():
            self._measuring.drop(measured)
            self._note(measured)
        if verdict.is_terminating(self._plan.spec, self._state):
            self.end()
        return self._state.final

    def _note(self, measured: Measured) -> None:
        self._state = verdict.measured(
            self._plan.spec, self._state, measured.metric, measured.measurement
        )
        if measured.measurement.finished:
            metric = self._plan.spec.metric(measured.metric)
            _prefix, line = verdict.line(metric, self._state, measured.measurement)
            self._report(line)

    def _measure_what_is_due(self) -> None:
        busy = {name for _kind, name in self._measuring.under_way}
        now = self._clock.now()
        for metric in schedule.due(self._plan.spec, self._state, now):
            if metric.name in busy:
                continue
            own = self._state.metric(metric.name)
            if metric.provider in RESUMABLE and own.unfinished is None:
                self._state = verdict.begun(
                    self._plan.spec, self._state, metric.name, now
                )
            self._measuring.start(self._assignment(metric))

    def _seconds_to_wait(self) -> float:
        left = [_HEARTBEAT_SECONDS]
        busy = {name for _kind, name in self._measuring.under_way}
        at = schedule.next_at(self._plan.spec, self._state, busy)
        if at is not None:
            left.append((at - self._clock.now()).total_seconds())
        cut_off = self._measuring.seconds_left()
        if cut_off is not None:
            left.append(cut_off)
        # The smallest pause keeps an instant that has just passed from spinning.
        return max(min(left), 0.01)

    def _assignment(self, metric: Metric) -> Assignment:
        own = self._state.metric(metric.name)
        return Assignment(
            kind=_KIND,
            metric=metric,
            number=own.started + (0 if own.unfinished else 1),
            place=Place(
                now=self._clock.now,
                secret=self._secrets.get,
                api=lambda: self._api,
                namespace=self._params["namespace"],
                run=self._state.run,
            ),
            values=self._plan.values,
            values_of_stable=self._plan.values_of_stable,
            secrets=self._plan.secrets,
            unfinished=own.unfinished,
        )

    def end(self) -> None:
        """End what still goes on elsewhere, and count it."""
        self._await_what_is_being_created()
        for metric in self._plan.spec.metrics:
            own = self._state.metric(metric.name)
            if own.unfinished is not None and own.phase not in FINAL:
                self._measuring.end(self._assignment(metric))
        for measured in self._measuring.take():
            self._measuring.drop(measured)
            self._note(measured)

    def _await_what_is_being_created(self) -> None:
        resumable = {m.name for m in self._plan.spec.metrics if m.provider in RESUMABLE}
        while resumable & {name for _kind, name in self._measuring.under_way}:
            self._changed.wait(self._seconds_to_wait())
            self._changed.clear()
            for measured in self._measuring.take():
                self._measuring.drop(measured)
                self._note(measured)

    def _result(self) -> Result:
        result: Result = {"changed": False, "analysis": to_plain(self._state)}
        if self._state.phase != SUCCESSFUL:
            result["failed"] = True
            result["msg"] = (
                f"The analysis is {self._state.phase}: {self._state.message}."
            )
        return result

    def _report(self, text: str) -> None:
        if self._params.get("progress", True):
            elapsed = time.monotonic() - self._began
            self._runtime.report(f"bluegreen analysis [+{elapsed:.0f}s] {text}")
