# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measurements under way: each in a thread of its own, cut off when it hangs.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import dataclasses
import queue
import threading
import time
import typing as t
from dataclasses import dataclass, field
from datetime import timedelta

from ._analysis import verdict
from ._analysis.arguments import fill, names_in
from ._analysis.measurement import (
    Place,
    Request,
    Unfinished,
    Value,
)
from ._analysis.registry import provider
from ._analysis.spec import Metric
from ._analysis.state import ERROR, INCONCLUSIVE, RUNNING, Measurement
from ._argspec import mask
from ._errors import BluegreenError

# What a provider may take beyond its own timeout before it is left behind.
_GRACE_SECONDS = 5.0
_LEAST_SECRET = 4


@dataclass(frozen=True)
class Assignment:
    """One measurement to take, to ask for again, or to end."""

    kind: str
    metric: Metric
    # Counts the metric's measurements from 1.
    number: int
    place: Place
    # Arguments that are not secret, and names of those that are: (Secret, key).
    values: t.Mapping[str, str]
    values_of_stable: t.Mapping[str, str]
    secrets: t.Mapping[str, tuple[str, str]]
    # The unfinished measurement that is asked for again.
    unfinished: Measurement | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Which metric of which analysis."""
        return self.kind, self.metric.name


@dataclass(frozen=True)
class Measured:
    """The result of an assignment."""

    kind: str
    run: str
    metric: str
    measurement: Measurement


@dataclass
class _UnderWay:
    assignment: Assignment
    # On the local monotonic clock.
    cut_off_at: float
    started: Measurement = field(init=False)

    def __post_init__(self) -> None:
        earlier = self.assignment.unfinished
        self.started = earlier or Measurement(RUNNING, self.assignment.place.now())


class Measuring:
    """Takes measurements in the background.

    :param wake: called from a thread when a result is there to be taken.
    """

    def __init__(self, wake: t.Callable[[], None]) -> None:
        self._wake = wake
        self._results: queue.SimpleQueue[tuple[_UnderWay, Measurement]] = (
            queue.SimpleQueue()
        )
        self._under_way: dict[tuple[str, str], _UnderWay] = {}
        self._done: list[Measured] = []
        # Every secret that was used, to keep it out of what is shown and recorded.
        self._used: set[str] = set()

    @property
    def under_way(self) -> frozenset[tuple[str, str]]:
        """Kind and metric of each measurement that is being taken."""
        return frozenset(self._under_way)

    def start(self, assignment: Assignment) -> None:
        """Take a measurement in a thread of its own."""
        each = _UnderWay(assignment, 0.0)
        try:
            config = fill(
                assignment.metric.config,
                # No secret says how long its measurement may take.
                {**dict.fromkeys(assignment.secrets, ""), **assignment.values},
            )
            allowed = provider(assignment.metric.provider).seconds_allowed(config)
        except BluegreenError as error:
            self._finish(each, _error(each, str(error)))
            return
        each.cut_off_at = time.monotonic() + allowed + _GRACE_SECONDS
        self._under_way[assignment.key] = each
        threading.Thread(
            target=self._measure,
            args=(each,),
            name=f"measure {assignment.metric.name}",
            daemon=True,
        ).start()

    def _measure(self, each: _UnderWay) -> None:
        try:
            taken = self._taken(each)
        except BluegreenError as error:
            taken = _error(each, str(error))
        # Whatever a server answers must end as a measurement, not as a silent thread.
        except Exception as error:  # noqa: BLE001
            name = type(error).__name__
            taken = _error(each, f"unexpected {name} ({error}); please report this")
        self._results.put((each, taken))
        self._wake()

    def _taken(self, each: _UnderWay) -> Measurement:
        assignment = each.assignment
        outcome = provider(assignment.metric.provider).measure(
            self._request(assignment)
        )
        now = assignment.place.now()
        if isinstance(outcome, Unfinished):
            gap = timedelta(seconds=outcome.resume_after_seconds)
            return Measurement(
                RUNNING,
                each.started.started_at,
                metadata=dict(outcome.metadata),
                resume_at=now + gap,
            )
        if isinstance(outcome, Value):
            phase, message = verdict.judge(assignment.metric, outcome.value)
        else:
            phase, message = outcome.phase, outcome.message
        return Measurement(
            phase,
            each.started.started_at,
            finished_at=now,
            value="" if outcome.value is None else verdict.shown(outcome.value),
            message=message,
            metadata=dict(outcome.metadata),
        )

    def _request(self, assignment: Assignment) -> Request:
        config = assignment.metric.config
        secret = self._secret(assignment.place)
        secrets = {
            argument: secret(*assignment.secrets[argument])
            for argument in names_in(config) & set(assignment.secrets)
        }
        place = dataclasses.replace(assignment.place, secret=secret)
        earlier = assignment.unfinished
        return Request(
            metric=assignment.metric.name,
            number=assignment.number,
            config=fill(config, {**assignment.values, **secrets}),
            config_of_stable=fill(config, {**assignment.values_of_stable, **secrets}),
            place=place,
            metadata=dict(earlier.metadata) if earlier else {},
        )

    def _secret(self, place: Place) -> t.Callable[[str, str], str]:
        def secret(name: str, key: str) -> str:
            value = place.secret(name, key)
            # Whatever is shorter (a region, a number) is no secret, and would blot out
            # half of what people need to read.
            if len(value) >= _LEAST_SECRET:
                self._used.add(value)
            return value

        return secret

    def end(self, assignment: Assignment) -> None:
        """End a measurement that goes on elsewhere, and clean up after it."""
        self._under_way.pop(assignment.key, None)
        each = _UnderWay(assignment, 0.0)
        message = "ended before it was finished"
        ending = getattr(provider(assignment.metric.provider), "terminate", None)
        try:
            if ending is not None:
                ending(self._request(assignment))
        except BluegreenError as error:
            message = f"{message}; it could not be cleaned up: {error}"
        self._finish(
            each,
            Measurement(
                INCONCLUSIVE,
                each.started.started_at,
                finished_at=assignment.place.now(),
                message=message,
            ),
        )

    def take(self) -> tuple[Measured, ...]:
        """The results that :meth:`drop` has not removed, oldest first."""
        while True:
            try:
                each, measurement = self._results.get_nowait()
            except queue.Empty:
                break
            # Another one may have been started for the same metric by now.
            if self._under_way.get(each.assignment.key) is each:
                del self._under_way[each.assignment.key]
                self._finish(each, measurement)
        self._cut_off()
        return tuple(self._done)

    def drop(self, measured: Measured) -> None:
        """Forget a result that was noted."""
        self._done.remove(measured)

    def _cut_off(self) -> None:
        now = time.monotonic()
        for key, each in list(self._under_way.items()):
            if now >= each.cut_off_at:
                del self._under_way[key]
                self._finish(each, _error(each, "cut off: it did not end in time"))

    def seconds_left(self) -> float | None:
        """Until the first measurement is cut off; none if none is under way."""
        ends = [each.cut_off_at for each in self._under_way.values()]
        return min(ends) - time.monotonic() if ends else None

    def _finish(self, each: _UnderWay, measurement: Measurement) -> None:
        assignment = each.assignment
        self._done.append(
            Measured(
                assignment.kind,
                assignment.place.run,
                assignment.metric.name,
                mask_measurement(measurement, self._used),
            )
        )


def mask_measurement(
    measurement: Measurement, secrets: t.Collection[str]
) -> Measurement:
    """The same measurement without any of these secrets in it."""
    return dataclasses.replace(
        measurement,
        value=mask(measurement.value, secrets),
        message=mask(measurement.message, secrets),
        metadata=mask(dict(measurement.metadata), secrets),
    )


def _error(each: _UnderWay, message: str) -> Measurement:
    return Measurement(
        ERROR,
        each.started.started_at,
        finished_at=each.assignment.place.now(),
        message=message,
    )
