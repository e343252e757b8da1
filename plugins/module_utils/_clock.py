# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Time, passed in: the API server's clock, carried on by the local monotonic one.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import time
import typing as t
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

SKEW_WORTH_SAYING_SECONDS = 5.0


class ServerClock:
    """The API server's time. Before its first answer, the runner's own.

    A runner's wall clock may be wrong by minutes: deadlines are compared with the
    ``Date`` header of the API server, which every response carries.
    """

    def __init__(
        self,
        monotonic: t.Callable[[], float] = time.monotonic,
        wall: t.Callable[[], float] = time.time,
    ) -> None:
        self._monotonic = monotonic
        self._wall = wall
        self._base: datetime | None = None
        self._base_monotonic = 0.0

    def heard(self, date_header: str | None) -> None:
        """Take the server's time from a response.

        The header counts whole seconds, so a later answer only ever moves it on.
        """
        if not date_header:
            return
        try:
            heard = parsedate_to_datetime(date_header).astimezone(timezone.utc)
        except ValueError:
            return
        if self._base is None or heard > self.now():
            self._base = heard
            self._base_monotonic = self._monotonic()

    def now(self) -> datetime:
        """The present instant, in UTC."""
        if self._base is None:
            return datetime.fromtimestamp(self._wall(), timezone.utc)
        return self._base + timedelta(seconds=self._monotonic() - self._base_monotonic)

    def skew_seconds(self) -> float:
        """How far the runner's wall clock is ahead of the server's."""
        return self._wall() - self.now().timestamp()


def format_instant(instant: datetime) -> str:
    """An instant as RFC 3339 in UTC, to the millisecond."""
    return (
        instant.astimezone(timezone.utc)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


def parse_instant(text: str | None) -> datetime | None:
    """An RFC 3339 instant; none if it is absent or cannot be read.

    A deadline that cannot be read is treated as one that was never set, so
    that it is set anew: it never counts as passed.
    """
    if not text:
        return None
    try:
        parsed = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return None
    return parsed if parsed.tzinfo else None
