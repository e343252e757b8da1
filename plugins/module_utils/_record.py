# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The record: what a rollout is doing, has done and waits for, as a ConfigMap.

It explains; the selectors and Deployments are the truth. Losing it loses history,
and keeps every gate shut.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import dataclasses
import json
import typing as t
from dataclasses import dataclass, field
from datetime import datetime

from . import _drain, _hooks
from . import _history as ended_releases
from ._analysis.state import AnalysisState, from_plain, to_plain
from ._clock import format_instant, parse_instant
from ._drain import Drain
from ._hooks import HookState
from ._stages import (
    DEGRADED,
    HEALTHY,
    PAUSED,
    PHASE_PAUSED,
    PHASES,
    RETIRED,
    STABLE,
    STAGES,
)

MAX_BYTES = 256 * 1024
# Raised when a later release gives what is written another meaning.
FORMAT = "1"
_MAX_TIMELINE = 200
_MAX_HISTORY = 50
_INSTANTS = (
    "promote_at",
    "scale_at",
    "progress_at",
    "started_at",
    "narrow_at",
    "workload_at",
)
# ``promote_full`` also skips what is left of analysis and pauses.
VERBS = ("promote", "promote_full", "abort")
_FLAT = ("phase", "stage", "message", "active", "stable", "preview")


@dataclass(frozen=True)
class Request:
    """What another run asks of the one that drives: one of :data:`VERBS`."""

    verb: str
    revision: str
    by: str = ""


@dataclass(frozen=True)
class Record:
    """The state of one rollout. Revisions are named by their hash."""

    revision: str = ""
    stage: str = STABLE
    phase: str = ""
    message: str = ""
    active: str = ""
    stable: str = ""
    preview: str = ""
    last_number: int = 0
    started_at: datetime | None = None
    # Who started the release in flight, and who let it be promoted, as people know
    # them.
    started_by: str = ""
    approved_by: str = ""
    # The number of the revision that it leads away from, if it is a rollback.
    rolls_back: int = 0
    # The pause before promotion ends at this instant; none: only by a decision.
    promote_at: datetime | None = None
    approved: bool = False
    # Neither analysis nor pause: a way back that needs none, or a person's decision.
    fast: bool = False
    # What the release did not pass, where it is held for a person to decide.
    held: str = ""
    # The next step of the scale-up may be taken at this instant.
    scale_at: datetime | None = None
    # The size at which it is held until then.
    scale_from: int = 0
    # No newly available pod by this instant is a failure.
    progress_at: datetime | None = None
    progress_available: int = 0
    # Both revisions serve until this instant.
    narrow_at: datetime | None = None
    # When each old revision is scaled down.
    retire_at: t.Mapping[str, datetime] = field(default_factory=dict)
    # When the Deployment that is only a template gives up its pods.
    workload_at: datetime | None = None
    # The end of the old revision whose delay is over, where it does not just go.
    drain: Drain | None = None
    # The next act, written before it: each selector before and after.
    intent: t.Mapping[str, t.Any] = field(default_factory=dict)
    # What was seen of the last cutover.
    cutover: t.Mapping[str, t.Any] = field(default_factory=dict)
    # The analyses of the release in flight, by their kind.
    analysis: t.Mapping[str, AnalysisState] = field(default_factory=dict)
    # The hooks of the release in flight, or the last one, by their names.
    hooks: t.Mapping[str, HookState] = field(default_factory=dict)
    # The revision that no earlier one can take the users back from.
    no_return: str = ""
    request: Request | None = None
    timeline: tuple[tuple[str, str], ...] = ()
    history: tuple[t.Mapping[str, t.Any], ...] = ()

    @property
    def next_at(self) -> datetime | None:
        """When the rollout goes on by itself, if a run is there to see it."""
        if self.phase == PHASE_PAUSED and self.stage == PAUSED:
            return self.promote_at
        if self.scale_at is not None:
            return self.scale_at
        if self.narrow_at is not None:
            return self.narrow_at
        ends = [*self._ends().values(), self.workload_at]
        return min(filter(None, ends), default=None)

    def _ends(self) -> dict[str, datetime]:
        """When each old revision goes on to its end."""
        ends = dict(self.retire_at)
        if self.drain is not None and self.drain.revision in ends:
            due = ends[self.drain.revision]
            ends[self.drain.revision] = self.drain.next_at or due
        return ends

    def significant(self) -> tuple[object, ...]:
        """What others act upon: written before this run waits or acts.

        The rest (progress, timeline) is written along with it.
        """
        minor = {"progress_at", "progress_available", "timeline", "stage", "cutover"}
        values = [
            getattr(self, f.name)
            for f in dataclasses.fields(self)
            if f.name not in minor
        ]
        return (*values, self.stage == PAUSED)

    def noted(self, at: datetime, text: str) -> Record:
        """The same record with one more line in its timeline."""
        line = (format_instant(at), text)
        return dataclasses.replace(
            self, timeline=(*self.timeline, line)[-_MAX_TIMELINE:]
        )

    def closed(self, at: datetime, outcome: str, number: int, why: str = "") -> Record:
        """The same record with the release in flight moved to the history: nothing of
        its gate, its deadlines or its intent is left for the next.

        :param why: a clause that goes on after the outcome.
        """
        release = {
            "revision": number,
            "hash": self.revision,
            "started": format_instant(self.started_at) if self.started_at else "",
            "ended": format_instant(at),
            "by": self.started_by,
        }
        entry = ended_releases.kept(release, outcome, why, self.analysis)
        return dataclasses.replace(
            self,
            history=(*self.history, entry)[-_MAX_HISTORY:],
            started_by="",
            approved_by="",
            rolls_back=0,
            promote_at=None,
            approved=False,
            fast=False,
            held="",
            scale_at=None,
            progress_at=None,
            narrow_at=None,
            workload_at=None,
            intent={},
            request=None,
        )

    def to_data(self) -> dict[str, str]:
        """The ConfigMap's ``data``: flat keys for ``kubectl wait``, details as JSON.

        At most 256 KiB: the oldest lines of the timeline and history go first.
        """
        data = {"format": FORMAT, **{key: getattr(self, key) for key in _FLAT}}
        data["observed-revision"] = self.revision
        data["next-at"] = format_instant(self.next_at) if self.next_at else ""
        if self.request is not None:
            data["request"] = json.dumps(dataclasses.asdict(self.request))
        trimmed = self
        details = trimmed._details_json()
        while len(details.encode()) > MAX_BYTES and (
            trimmed != (shorter := trimmed._shortened())
        ):
            trimmed = shorter
            details = trimmed._details_json()
        data["details"] = details
        return data

    def _shortened(self) -> Record:
        return dataclasses.replace(
            self,
            timeline=self.timeline[len(self.timeline) // 2 + 1 :],
            history=self.history[len(self.history) // 2 + 1 :],
            analysis={k: v.with_fewer_measurements() for k, v in self.analysis.items()},
        )

    def _details_json(self) -> str:
        details: dict[str, t.Any] = {}
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if f.name in (*_FLAT, "revision", "request") or not value:
                continue
            if isinstance(value, datetime):
                value = format_instant(value)
            if f.name == "retire_at":
                value = {k: format_instant(v) for k, v in value.items()}
            if f.name == "analysis":
                value = {k: to_plain(v) for k, v in value.items()}
            if f.name == "drain":
                value = _drain.to_plain(value)
            if f.name == "hooks":
                value = {k: _hooks.to_plain(v) for k, v in value.items()}
            details[f.name] = value
        return json.dumps(details, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_data(cls, data: t.Mapping[str, str]) -> Record:
        """Read a record back. What cannot be read counts as never written; without its
        stage, the release in flight does.
        """
        if data.get("format", FORMAT) != FORMAT:
            return cls()
        details = _mapping(data.get("details"))
        values: dict[str, t.Any] = {key: data.get(key) or "" for key in _FLAT}
        values["revision"] = data.get("observed-revision") or ""
        if values["phase"] not in PHASES:
            values["phase"] = ""
        if values["stage"] not in STAGES:
            values["stage"], values["revision"] = STABLE, ""
        for key in _INSTANTS:
            values[key] = parse_instant(details.get(key))
        for key in ("last_number", "progress_available", "scale_from", "rolls_back"):
            number = details.get(key)
            values[key] = number if isinstance(number, int) else 0
        for key in ("started_by", "approved_by"):
            text = details.get(key)
            values[key] = text if isinstance(text, str) else ""
        values["approved"] = details.get("approved") is True
        values["fast"] = details.get("fast") is True
        held = details.get("held")
        values["held"] = held if isinstance(held, str) else ""
        values["retire_at"] = {
            k: instant
            for k, v in _as_mapping(details.get("retire_at")).items()
            if (instant := parse_instant(v))
        }
        values["drain"] = _drain.from_plain(details.get("drain"))
        values["intent"] = _as_mapping(details.get("intent"))
        values["cutover"] = _as_mapping(details.get("cutover"))
        values["analysis"] = {
            kind: state
            for kind, plain in _as_mapping(details.get("analysis")).items()
            if (state := from_plain(plain))
        }
        values["hooks"] = {
            name: hook
            for name, plain in _as_mapping(details.get("hooks")).items()
            if (hook := _hooks.from_plain(plain))
        }
        values["no_return"] = str(details.get("no_return") or "")
        values["request"] = _request(data.get("request"))
        values["timeline"] = tuple(
            (str(line[0]), str(line[1]))
            for line in _as_list(details.get("timeline"))
            if isinstance(line, list) and len(line) == 2
        )
        values["history"] = tuple(
            entry
            for entry in _as_list(details.get("history"))
            if isinstance(entry, dict)
        )
        return cls(**values)

    def degraded(self, message: str) -> Record:
        """The same record, degraded. A later run gets a new progress deadline."""
        return dataclasses.replace(
            self, phase=DEGRADED, message=message, progress_at=None
        )


def record_of_adopted(record: Record, revision_hash: str, message: str) -> Record:
    """The record of a rollout whose first revision ran before there was one."""
    return dataclasses.replace(
        record,
        revision=revision_hash,
        phase=HEALTHY,
        stage=RETIRED,
        message=message,
        active=revision_hash,
        stable=revision_hash,
        last_number=1,
    )


def defect(data: t.Mapping[str, str]) -> str:
    """What of a record cannot be read, as a clause; empty if all of it can."""
    if data.get("format", FORMAT) != FORMAT:
        return f"it is written in the format {data['format']}, which is not {FORMAT}"
    if data.get("phase") not in ("", None, *PHASES):
        return f"{data['phase']!r} is not a phase"
    if data.get("stage") not in ("", None, *STAGES):
        return f"{data['stage']!r} is not a stage"
    try:
        readable = isinstance(json.loads(data.get("details") or "{}"), dict)
    except ValueError:
        readable = False
    return "" if readable else "its details are not a JSON object"


def _mapping(text: str | None) -> dict[str, t.Any]:
    try:
        return _as_mapping(json.loads(text or "{}"))
    except ValueError:
        return {}


def _as_mapping(value: object) -> dict[str, t.Any]:
    return value if isinstance(value, dict) else {}


def _as_list(value: object) -> list[t.Any]:
    return value if isinstance(value, list) else []


def _request(text: str | None) -> Request | None:
    values = _mapping(text)
    verb, revision = values.get("verb"), values.get("revision")
    if verb not in VERBS or not isinstance(revision, str):
        return None
    return Request(verb, revision, str(values.get("by", "")))
