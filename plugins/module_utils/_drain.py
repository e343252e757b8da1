# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the end of an old revision stands: who was told, and until when it drains.

Pure data. Private to the collection: it may change in any release.
"""

from __future__ import annotations

import dataclasses
import typing as t
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ._clock import format_instant, parse_instant

# A pod that could not be told is tried again no sooner than this.
_TRY_AGAIN = timedelta(seconds=10)
_INSTANTS = ("began_at", "until", "tell_at", "ended_at", "hold_until")
_MAX_REASON = 120


@dataclass(frozen=True)
class Told:
    """What came of telling some pods of a revision to close what they hold.

    :param pods: those that heard it.
    :param failed: why each of the others did not.
    :param left: those that were not tried this time and still run.
    """

    pods: tuple[str, ...] = ()
    failed: t.Mapping[str, str] = field(default_factory=dict)
    left: tuple[str, ...] = ()


@dataclass(frozen=True)
class Drain:
    """The end of one old revision. A drain comes first, then its scale-down."""

    revision: str
    # How many pods it had when its end began: what percentages are of.
    size: int
    began_at: datetime
    # It is scaled down at this instant, drained or not.
    until: datetime
    # Pods are told at this instant; none: nobody is left to be told.
    tell_at: datetime | None = None
    # When each pod was told, as text.
    told: t.Mapping[str, str] = field(default_factory=dict)
    # Why a pod could not be told.
    untold: t.Mapping[str, str] = field(default_factory=dict)
    # The last value of each metric of its analysis.
    values: t.Mapping[str, str] = field(default_factory=dict)
    # Since when it is scaled down.
    ended_at: datetime | None = None
    # Why it is scaled down, and how its drain ended.
    why: str = ""
    # The size that it is held at, and until when.
    held: int = 0
    hold_until: datetime | None = None
    # It is wanted again: nothing of this holds any more.
    left: bool = False

    @property
    def tried(self) -> bool:
        """Whether any pod was told, or tried."""
        return bool(self.told or self.untold)

    @property
    def next_at(self) -> datetime | None:
        """When it goes on, if nothing is seen before; none: at once."""
        return self.until if self.ended_at is None else self.hold_until

    def heard(self, told: Told, now: datetime, timeout: timedelta) -> Drain:
        """The same after some pods were told. The first of them starts the countdown,
        so that a run that was ended before it takes no time away.
        """
        first = not self.tried
        # Whoever fails again goes to the end of the line; who is gone, leaves it.
        untold = {k: v for k, v in self.untold.items() if k in told.left}
        untold.update((k, _cut(v)) for k, v in told.failed.items())
        tell_at = None
        if set(told.left) - set(untold):
            tell_at = now
        elif untold:
            tell_at = now + max(_TRY_AGAIN, timeout / 10)
        heard = dict.fromkeys(told.pods, format_instant(now))
        return dataclasses.replace(
            self,
            began_at=now if first else self.began_at,
            until=now + timeout if first else self.until,
            tell_at=tell_at,
            told={**self.told, **heard},
            untold=untold,
        )


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_REASON else f"{text[: _MAX_REASON - 3]}..."


def to_plain(drain: Drain) -> dict[str, t.Any]:
    """Plain data for JSON; what is empty is left out."""
    plain = {}
    for each in dataclasses.fields(drain):
        value = getattr(drain, each.name)
        if isinstance(value, datetime):
            value = format_instant(value)
        if value:
            plain[each.name] = dict(value) if isinstance(value, t.Mapping) else value
    return plain


def from_plain(plain: object) -> Drain | None:
    """Read :func:`to_plain` back; none if it cannot be read in full: it begins anew."""
    if not isinstance(plain, dict):
        return None
    values: dict[str, t.Any] = {"size": 0, **plain}
    for name in _INSTANTS:
        if name in values:
            values[name] = parse_instant(values[name])
    try:
        drain = Drain(**values)
    except TypeError:
        return None
    fits = (
        all(isinstance(x, str) for x in (drain.revision, drain.why))
        and all(isinstance(x, datetime) for x in (drain.began_at, drain.until))
        and all(_is_count(x) for x in (drain.size, drain.held))
        and all(_is_texts(x) for x in (drain.told, drain.untold, drain.values))
        and isinstance(drain.left, bool)
    )
    return drain if fits else None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_texts(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(x, str) for pair in value.items() for x in pair
    )
