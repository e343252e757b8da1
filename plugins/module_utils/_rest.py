# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a rollout rests, whether it is as expected, and what to do if it is not.

Pure: no I/O and no clock. Private to the collection: it may change in any release.
"""

from __future__ import annotations

import typing as t
from datetime import datetime

from ._clock import format_instant
from ._driver import Driving
from ._gate import commands
from ._model import Observed
from ._record import Record
from ._stages import DEGRADED, HEALTHY, PAUSED, PHASE_PAUSED, PROGRESSING, STABLE
from ._view import View, Want

UNKNOWN = "Unknown"


def why_at_rest(seen: Observed, driving: Driving) -> str:
    """Why nothing goes on by itself, as a clause about the rollout; empty if something
    does: a run drives it, and waits for nobody.
    """
    record = seen.record
    if _needs_decision(record) and not (driving.live and record.request):
        return "it is Paused and waits for a decision"
    if driving.live:
        return ""
    if record.phase in (HEALTHY, DEGRADED):
        return f"it is {record.phase}"
    nobody = f"the run that drove it ({driving.by}) is gone" if driving.by else ""
    nobody = nobody or "no run drives it"
    if record.phase == PHASE_PAUSED and record.promote_at is not None:
        return f"it is Paused until {format_instant(record.promote_at)}, but {nobody}"
    if record.phase:
        return f"it is {record.phase}, but {nobody}"
    return "its record is lost" if seen.revisions else "nothing was released yet"


def _needs_decision(record: Record) -> bool:
    """Whether it is paused, and only a person ends that."""
    counts_down = record.stage == PAUSED and record.promote_at is not None
    return record.phase == PHASE_PAUSED and not counts_down


def unexpected(
    name: str,
    namespace: str,
    seen: Observed,
    expected: t.Sequence[str],
    now: datetime,
) -> str:
    """What is wrong with the phase, as one sentence; empty if it is an expected one.

    :param expected: the phases that are right; none means that all are.
    """
    phase = seen.record.phase or UNKNOWN
    if not expected or phase in expected:
        return ""
    message = (seen.record.message or "its record is lost").rstrip(".")
    sentence = (
        f"expect: {namespace}/{name} is {phase}, {' or '.join(expected)} was expected:"
        f" {message}"
    )
    return "; ".join((sentence, *what_to_do(name, namespace, seen, now))) + "."


def what_to_do(
    name: str, namespace: str, seen: Observed, now: datetime
) -> tuple[str, ...]:
    """How a person takes a rollout on, as clauses with the complete commands."""
    if seen.record.phase == DEGRADED and _went_back(seen, now):
        return ("deploy a corrected manifest",)
    verbs = _verbs(seen, now)
    found = commands(name, namespace, verbs)
    return tuple(f"to {_SAID[verb]}: {found[verb]}" for verb in verbs)


_SAID = {
    "promote": "promote it",
    "abort": "abort it",
    "rollback": "go back",
    "resume": "go on, if no run drives it",
}


def _verbs(seen: Observed, now: datetime) -> tuple[str, ...]:
    phase = seen.record.phase
    if phase == PHASE_PAUSED:
        return ("promote", "abort")
    if phase == PROGRESSING:
        return ("resume",)
    if phase == DEGRADED:
        return ("abort",) if _in_flight(seen, now) else ("rollback",)
    return ()


def _went_back(seen: Observed, now: datetime) -> bool:
    """Whether the release has ended with its abort."""
    return seen.record.stage == STABLE and not _in_flight(seen, now)


def _in_flight(seen: Observed, now: datetime) -> bool:
    return View(Want(STABLE), seen, now).in_flight_hash is not None
