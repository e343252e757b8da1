# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Instants written as expressions, such as ``now() - duration("5m")``.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import re
import typing as t
from datetime import datetime, timedelta, timezone

from .durations import seconds_of

_LONGEST = 500
_TERM = re.compile(
    r"""\s*(?: (?P<now>now)\s*\(\s*\)
      | (?P<call>duration|date)\s*\(\s*(?P<quote>["'])(?P<text>[^"']*)(?P=quote)\s*\)
      )\s*""",
    re.VERBOSE,
)
_OPERATOR = re.compile(r"[+-]")
_EXPECTED = (
    'expected is an instant such as now() - duration("5m"), or'
    ' date("2026-01-31T12:00:00Z")'
)

_Term: t.TypeAlias = "datetime | timedelta"


def instant(text: str, now: datetime) -> datetime:
    """The instant that an expression of ``now()``, ``duration("5m")``,
    ``date("2026-01-31")``, ``+`` and ``-`` means; a bare RFC 3339 instant is one, too.

    :param now: what ``now()`` is, with its time zone.
    :raises ValueError: it means none; one clause that says why.
    """
    bare = _date(text.strip())
    if bare is not None:
        return bare
    try:
        value = _sum(text, now)
    except OverflowError:
        raise ValueError("it leads out of the years 1 to 9999") from None
    if isinstance(value, datetime):
        return value
    raise ValueError(f"it means a duration; {_EXPECTED}")


def _sum(text: str, now: datetime) -> _Term:
    if len(text) > _LONGEST:
        raise ValueError(f"it has more than {_LONGEST} characters")
    value, at = _term(text, 0, now)
    while at < len(text):
        operator = _OPERATOR.match(text, at)
        if operator is None:
            raise _not_understood(text, at)
        term, at = _term(text, operator.end(), now)
        value = _combined(value, operator.group(), term)
    return value


def _term(text: str, at: int, now: datetime) -> tuple[_Term, int]:
    found = _TERM.match(text, at)
    if found is None:
        raise _not_understood(text, at)
    if found["now"]:
        return now, found.end()
    if found["call"] == "duration":
        return _duration(found["text"]), found.end()
    date = _date(found["text"])
    if date is None:
        raise ValueError(f"{found['text']!r} is no date; {_EXPECTED}")
    return date, found.end()


def _combined(left: _Term, operator: str, right: _Term) -> _Term:
    if isinstance(right, timedelta):
        return left + right if operator == "+" else left - right
    if isinstance(left, datetime) and operator == "-":
        return left - right
    if isinstance(left, timedelta) and operator == "+":
        return right + left
    raise ValueError(f"an instant cannot stand after that {operator}; {_EXPECTED}")


def _duration(text: str) -> timedelta:
    try:
        return timedelta(seconds=seconds_of(text))
    except ValueError:
        raise ValueError(
            f"{text!r} is no duration; expected is one such as 90s, 5m or 1h30m"
        ) from None


def _date(text: str) -> datetime | None:
    if not re.match(r"\d{4}-\d\d-\d\d", text):
        return None
    try:
        # The Z is new to Python 3.11.
        date = datetime.fromisoformat(re.sub("[Zz]$", "+00:00", text))
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=timezone.utc)


def _not_understood(text: str, at: int) -> ValueError:
    rest = text[at:].lstrip()[:20]
    near = f"near {rest!r}" if rest else "at its end"
    return ValueError(f"it is not understood {near}; {_EXPECTED}")
