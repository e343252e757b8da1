# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where an analysis stands: what was measured, counted and concluded, as frozen data.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import dataclasses
import typing as t
from dataclasses import dataclass, field
from datetime import datetime

from .._clock import format_instant, parse_instant

PENDING = "Pending"
RUNNING = "Running"
SUCCESSFUL = "Successful"
INCONCLUSIVE = "Inconclusive"
ERROR = "Error"
FAILED = "Failed"
# From best to worst; an analysis ends as the worst of its metrics.
FINAL = (SUCCESSFUL, INCONCLUSIVE, ERROR, FAILED)

PRE_PROMOTION = "pre-promotion"
POST_PROMOTION = "post-promotion"
# Those of a release, which end with it.
KINDS = (PRE_PROMOTION, POST_PROMOTION)
# The one of an old revision, before it is scaled down.
DRAIN = "drain"

_MAX_VALUE = 512
_MAX_TEXT = 512


@dataclass(frozen=True)
class Measurement:
    """One measurement. ``value`` is JSON text, cut where it is long."""

    phase: str
    started_at: datetime
    finished_at: datetime | None = None
    value: str = ""
    message: str = ""
    metadata: t.Mapping[str, str] = field(default_factory=dict)
    # When an unfinished one is asked for again.
    resume_at: datetime | None = None

    @property
    def finished(self) -> bool:
        """Whether it has a result."""
        return self.phase in FINAL

    def cut(self) -> Measurement:
        """The same, short enough to be kept."""
        return dataclasses.replace(
            self,
            value=_cut(self.value, _MAX_VALUE),
            message=_cut(self.message, _MAX_TEXT),
            # What an unfinished one needs to be found again is kept whole.
            metadata={
                k: _cut(v, _MAX_TEXT) if self.finished else v
                for k, v in self.metadata.items()
            },
        )


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."


@dataclass(frozen=True)
class MetricState:
    """The measurements of one metric: the newest are kept, all are counted."""

    phase: str = PENDING
    message: str = ""
    # All that have been started, errors and an unfinished one included.
    started: int = 0
    successful: int = 0
    failed: int = 0
    inconclusive: int = 0
    error: int = 0
    consecutive_error: int = 0
    consecutive_success: int = 0
    # Newest last.
    measurements: tuple[Measurement, ...] = ()

    @property
    def count(self) -> int:
        """How many measurements count: all but errors."""
        return self.successful + self.failed + self.inconclusive

    @property
    def last(self) -> Measurement | None:
        """The newest measurement."""
        return self.measurements[-1] if self.measurements else None

    @property
    def unfinished(self) -> Measurement | None:
        """The measurement that goes on elsewhere, if there is one."""
        last = self.last
        return last if last is not None and not last.finished else None


@dataclass(frozen=True)
class AnalysisState:
    """One analysis. ``run`` is its name, the same whenever it is resumed."""

    run: str
    started_at: datetime
    phase: str = RUNNING
    message: str = ""
    finished_at: datetime | None = None
    # What stopped it before it was through; empty if nothing did.
    stopped: str = ""
    metrics: t.Mapping[str, MetricState] = field(default_factory=dict)

    @property
    def final(self) -> bool:
        """Whether it has a verdict, which never changes any more."""
        return self.phase in FINAL

    def metric(self, name: str) -> MetricState:
        """The state of a metric; a new one if nothing was measured yet."""
        return self.metrics.get(name) or MetricState()

    def with_metric(self, name: str, state: MetricState) -> AnalysisState:
        """The same analysis with one metric changed."""
        return dataclasses.replace(self, metrics={**self.metrics, name: state})

    def with_fewer_measurements(self) -> AnalysisState:
        """The same with half of the kept measurements; the counts stay."""
        return dataclasses.replace(
            self,
            metrics={
                name: dataclasses.replace(
                    state,
                    # The newest stays: it may be one that is to be resumed.
                    measurements=state.measurements[
                        -max(len(state.measurements) // 2, 1) :
                    ],
                )
                for name, state in self.metrics.items()
            },
        )


def to_plain(state: AnalysisState) -> dict[str, t.Any]:
    """Plain data for JSON; what is empty is left out."""
    plain: dict[str, t.Any] = _plain(state)
    return plain


def _plain(value: t.Any) -> t.Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            f.name: _plain(getattr(value, f.name))
            for f in dataclasses.fields(value)
            if getattr(value, f.name) not in (None, "", 0, (), {})
        }
    if isinstance(value, datetime):
        return format_instant(value)
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return value


def from_plain(plain: object) -> AnalysisState | None:
    """Read :func:`to_plain` back; none if it cannot be read in full.

    An analysis of which a part is lost must be done anew: counts are a verdict's
    ground.
    """
    try:
        return _analysis(t.cast("dict[str, t.Any]", plain))
    except (TypeError, KeyError, AttributeError, ValueError):
        return None


def _analysis(plain: dict[str, t.Any]) -> AnalysisState:
    values = dict(plain)
    values["started_at"] = _instant(values["started_at"])
    values["finished_at"] = _optional_instant(values.get("finished_at"))
    values["metrics"] = {
        str(name): _metric(state) for name, state in values.get("metrics", {}).items()
    }
    state = AnalysisState(**values)
    if state.phase not in (RUNNING, *FINAL) or not isinstance(state.run, str):
        raise ValueError(state.phase)
    return state


def _metric(plain: dict[str, t.Any]) -> MetricState:
    values = dict(plain)
    values["measurements"] = tuple(
        _measurement(m) for m in values.get("measurements", [])
    )
    state = MetricState(**values)
    if state.phase not in (PENDING, RUNNING, *FINAL):
        raise ValueError(state.phase)
    for f in dataclasses.fields(state):
        # Quoted annotations: their text is what tells a count.
        if f.type == "int" and not isinstance(getattr(state, f.name), int):
            raise TypeError(f.name)
    return state


def _measurement(plain: dict[str, t.Any]) -> Measurement:
    values = dict(plain)
    values["started_at"] = _instant(values["started_at"])
    values["finished_at"] = _optional_instant(values.get("finished_at"))
    values["resume_at"] = _optional_instant(values.get("resume_at"))
    measurement = Measurement(**values)
    if measurement.finished == (measurement.finished_at is None):
        raise ValueError(measurement.phase)
    return measurement


def _instant(text: object) -> datetime:
    instant = parse_instant(text if isinstance(text, str) else None)
    if instant is None:
        raise ValueError(text)
    return instant


def _optional_instant(text: object) -> datetime | None:
    return None if text is None else _instant(text)
