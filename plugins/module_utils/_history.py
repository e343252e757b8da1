# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The releases that have ended: how they are kept, returned and told.

Pure: no I/O and no clock. Private to the collection: it may change in any release.
"""

from __future__ import annotations

import typing as t

from ._analysis.state import KINDS, AnalysisState
from ._clock import parse_instant

Entry = t.Mapping[str, t.Any]

PROMOTED = "promoted"
ABORTED = "aborted"
SUPERSEDED = "superseded"
_OUTCOMES = (PROMOTED, ABORTED, SUPERSEDED)

_COUNTS = ("successful", "failed", "inconclusive", "error")
_MAX_WHY = 500
_MAX_WHY_IN_LINE = 100


def kept(
    release: Entry, outcome: str, why: str, analyses: t.Mapping[str, AnalysisState]
) -> dict[str, t.Any]:
    """A release that ends, as the record keeps it.

    :param release: its ``revision`` and ``hash``, when it ``started`` and ``ended``,
        and ``by`` whom.
    :param why: a clause that goes on after the outcome; it may be empty.
    """
    verdicts = {kind: _verdict(analyses[kind]) for kind in KINDS if kind in analyses}
    entry = {**release, "outcome": outcome, "why": _cut(why, _MAX_WHY)}
    entry["verdicts"] = verdicts
    return {key: value for key, value in entry.items() if value or key in release}


def _verdict(analysis: AnalysisState) -> dict[str, t.Any]:
    """The phase, and how many measurements of all metrics had which result."""
    counts = {
        count: sum(getattr(metric, count) for metric in analysis.metrics.values())
        for count in _COUNTS
    }
    return {"phase": analysis.phase, **{k: v for k, v in counts.items() if v}}


def listed(history: t.Sequence[Entry]) -> list[dict[str, t.Any]]:
    """The kept releases, the newest first, also those that an earlier version wrote.

    :returns: each with ``revision``, ``hash``, ``started``, ``ended``, ``seconds``,
        ``outcome``, ``why``, ``by`` and ``verdicts``; none and empty where a part is
        not known.
    """
    return [_read(entry) for entry in reversed(history)]


def _read(entry: Entry) -> dict[str, t.Any]:
    outcome, why = ended_as(entry)
    number = entry.get("revision")
    return {
        "revision": number if isinstance(number, int) else None,
        **{key: _text(entry.get(key)) for key in ("hash", "started", "ended")},
        "seconds": _seconds(entry),
        "outcome": outcome,
        "why": why,
        "by": _text(entry.get("by")),
        "verdicts": {
            kind: verdict
            for kind, verdict in _mapping(entry.get("verdicts")).items()
            if isinstance(verdict, dict)
        },
    }


def ended_as(entry: Entry) -> tuple[str, str]:
    """The outcome of a kept release in one word, and why."""
    outcome, why = _text(entry.get("outcome")), _text(entry.get("why"))
    # An earlier version wrote both as one.
    word, _space, rest = outcome.partition(" ")
    return (word, why or rest) if word in _OUTCOMES else (outcome, why)


def _seconds(entry: Entry) -> int | None:
    started = parse_instant(_text(entry.get("started")))
    ended = parse_instant(_text(entry.get("ended")))
    if started is None or ended is None:
        return None
    return max(0, round((ended - started).total_seconds()))


def told(entry: Entry) -> str:
    """One of :func:`listed` in one line, for people."""
    ended = parse_instant(entry["ended"])
    at = f"{ended:%Y-%m-%dT%H:%M:%SZ}" if ended else ""
    why = _cut(entry["why"], _MAX_WHY_IN_LINE)
    number = "?" if entry["revision"] is None else entry["revision"]
    seconds = entry["seconds"]
    parts = [
        f"revision {number}",
        " ".join(filter(None, (entry["outcome"], at, why))),
        "" if seconds is None else f"after {seconds} s",
        f"started by {entry['by']}" if entry["by"] else "",
        ", ".join(_told(k, v) for k, v in entry["verdicts"].items()),
    ]
    return "  ".join(filter(None, parts))


def _told(kind: str, verdict: Entry) -> str:
    counts = [f"{verdict[count]} {count}" for count in _COUNTS if verdict.get(count)]
    shown = f" ({', '.join(counts)})" if counts else ""
    return f"{kind} {verdict.get('phase', '')}{shown}"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _mapping(value: object) -> dict[str, t.Any]:
    return value if isinstance(value, dict) else {}
