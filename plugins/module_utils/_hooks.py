# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hooks: what a release runs at points of its way, and how each of them fares.

Pure: no I/O and no clock. Private to the collection: it may change in any release.
"""

from __future__ import annotations

import dataclasses
import json
import typing as t
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ._clock import format_instant, parse_instant
from ._stages import RETIRED, STAGES, VERIFIED

# What a result of a hook is called beside those of analyses.
KIND = "hook"

ON_PAUSE = "on pause"
ON_ABORT = "on abort"
ON_FAILURE = "on failure"
ON_ROLLBACK = "on rollback"
EVENTS = (ON_PAUSE, ON_ABORT, ON_FAILURE, ON_ROLLBACK)

ABORT = "abort"
HOLD = "hold"
IGNORE = "ignore"
OUTCOMES = (ABORT, HOLD, IGNORE)

PENDING = "Pending"
RUNNING = "Running"
SUCCEEDED = "Successful"
FAILED = "Failed"
_PHASES = (PENDING, RUNNING, SUCCEEDED, FAILED)

_INSTANTS = ("started_at", "began_at", "next_at", "finished_at")


def before(stage: str) -> str:
    """The point before what leads to a stage begins."""
    return f"before {stage}"


def after(stage: str) -> str:
    """The point at which a stage is reached."""
    return f"after {stage}"


POINTS = (*(when(s) for s in STAGES[1:] for when in (before, after)), *EVENTS)
# The release has ended, or was left: nothing can be aborted any more.
BEYOND_ABORT = (after(VERIFIED), before(RETIRED), after(RETIRED), *EVENTS)
# Where a schema may be contracted: users were seen to be served by the new revision.
BEYOND_VERIFIED = (after(VERIFIED), before(RETIRED), after(RETIRED))
# The play has failed by then, or is at its handlers: it can include no task file.
WITHOUT_TASKS = (ON_ABORT, ON_FAILURE, before(RETIRED), after(RETIRED))
# During a rollback nothing is to stand between users and their way back.
OF_ROLLBACK = (ON_ROLLBACK, ON_ABORT, ON_FAILURE)


@dataclass(frozen=True)
class Hook:
    """One hook, as it was asked for. Durations are in seconds."""

    name: str
    at: str
    # One of these three is given: a path, or what the parser has checked.
    tasks: str = ""
    webhook: t.Mapping[str, t.Any] = field(default_factory=dict)
    job: t.Mapping[str, t.Any] = field(default_factory=dict)
    # Of each attempt.
    timeout_seconds: int = 300
    retries: int = 0
    on_failure: str = ABORT
    # Once it has succeeded, no earlier revision can take the users back.
    past_no_return: bool = False

    @property
    def stops(self) -> bool:
        """Whether its failure stops the release."""
        return self.on_failure != IGNORE and self.at not in BEYOND_ABORT

    def called(self) -> str:
        """The hook, as messages name it."""
        return f"hook {self.name} ({self.at})"


@dataclass(frozen=True)
class HookState:
    """How a hook of the release in flight fares."""

    # The same for every attempt.
    id: str
    at: str
    phase: str = PENDING
    # Of an event, such as a pause: whether it has come.
    due: bool = False
    attempts: int = 0
    started_at: datetime | None = None
    # When the present attempt began.
    began_at: datetime | None = None
    # It is asked for again, or tried again, at this instant.
    next_at: datetime | None = None
    finished_at: datetime | None = None
    # What it answered, without secrets.
    message: str = ""
    # Its failure has led to what was asked for, and stands in nobody's way any more.
    heeded: bool = False
    # It runs a Job, which goes on until it is ended.
    job: bool = False
    # What finds again what goes on elsewhere.
    metadata: t.Mapping[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether the release may go on, as far as this hook is concerned."""
        return self.phase == SUCCEEDED or (self.phase == FAILED and self.heeded)

    @property
    def task_file(self) -> Hook | None:
        """The hook whose task file runs; none if it is of another kind."""
        try:
            return read(f"[{self.metadata['hook']}]")[0]
        except (KeyError, ValueError):
            return None

    def deadline(self, hook: Hook) -> datetime | None:
        """When the present attempt has taken too long."""
        if self.began_at is None:
            return None
        return self.began_at + timedelta(seconds=hook.timeout_seconds)

    @property
    def seconds(self) -> float | None:
        """How long all of its attempts took; none until it has ended."""
        if self.started_at is None or self.finished_at is None:
            return None
        return round((self.finished_at - self.started_at).total_seconds(), 1)


def to_repeat(hooks: t.Mapping[str, HookState]) -> dict[str, HookState]:
    """The same where the release is tried again: what a stage waited for and has failed
    begins anew.
    """
    return {
        name: HookState(state.id, state.at)
        if state.phase == FAILED and state.at not in EVENTS
        else state
        for name, state in hooks.items()
    }


def read(text: str) -> tuple[Hook, ...]:
    """The hooks, from canonical JSON text that the parser of the option has written.

    :raises ValueError: it is not such a text.
    """
    try:
        return tuple(Hook(**item) for item in json.loads(text)) if text else ()
    except TypeError as error:
        raise ValueError(str(error)) from error


def written(hook: Hook) -> str:
    """The hook as JSON text, which :func:`read` takes in a list."""
    return json.dumps(dataclasses.asdict(hook), sort_keys=True)


def begun_by(text: str, run: str, rollback: bool) -> dict[str, HookState]:
    """The hooks that a release passes, none of which has run yet.

    :param run: what tells this release from every other one.
    """
    return {
        hook.name: HookState(f"{run}.{hook.name}", hook.at)
        for hook in read(text)
        if (hook.at in OF_ROLLBACK if rollback else hook.at != ON_ROLLBACK)
    }


def to_plain(state: HookState) -> dict[str, t.Any]:
    """The state as plain JSON data: what differs from the defaults."""
    plain: dict[str, t.Any] = {"id": state.id, "at": state.at, "phase": state.phase}
    for f in dataclasses.fields(state):
        value = getattr(state, f.name)
        if isinstance(value, datetime):
            plain[f.name] = format_instant(value)
        elif value:
            plain[f.name] = dict(value) if f.name == "metadata" else value
    return plain


def from_plain(plain: object) -> HookState | None:
    """Read a state back; none if it was edited beyond use."""
    if not isinstance(plain, dict):
        return None
    if plain.get("phase") not in _PHASES or not isinstance(plain.get("id"), str):
        return None
    metadata, attempts = plain.get("metadata"), plain.get("attempts")
    return HookState(
        id=plain["id"],
        at=str(plain.get("at", "")),
        phase=plain["phase"],
        due=plain.get("due") is True,
        attempts=attempts if isinstance(attempts, int) else 0,
        message=str(plain.get("message", "")),
        heeded=plain.get("heeded") is True,
        job=plain.get("job") is True,
        metadata=metadata if isinstance(metadata, dict) else {},
        **{key: parse_instant(plain.get(key)) for key in _INSTANTS},
    )
