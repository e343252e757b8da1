# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The clock: the API server's time, whatever the runner's says."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._clock import (
    ServerClock,
    format_instant,
    parse_instant,
)

NOON = datetime(2026, 1, 2, 12, 0, 0, tzinfo=timezone.utc)
HEADER = "Fri, 02 Jan 2026 12:00:00 GMT"


class Times:
    """A runner whose wall clock is an hour behind."""

    def __init__(self) -> None:
        self.monotonic = 100.0
        self.clock = ServerClock(
            lambda: self.monotonic, lambda: NOON.timestamp() - 3600
        )


def test_before_the_first_answer_it_is_the_runners() -> None:
    assert Times().clock.now() == NOON - timedelta(hours=1)


def test_then_it_is_the_servers_carried_on() -> None:
    times = Times()
    times.clock.heard(HEADER)
    times.monotonic += 2.5
    assert times.clock.now() == NOON + timedelta(seconds=2.5)


def test_it_never_goes_back() -> None:
    times = Times()
    times.clock.heard(HEADER)
    times.monotonic += 10
    times.clock.heard("Fri, 02 Jan 2026 12:00:09 GMT")
    assert times.clock.now() == NOON + timedelta(seconds=10)
    times.clock.heard("Fri, 02 Jan 2026 12:00:20 GMT")
    assert times.clock.now() == NOON + timedelta(seconds=20)


@pytest.mark.parametrize("header", [None, "", "yesterday", "99"])
def test_a_header_that_cannot_be_read_says_nothing(header: str | None) -> None:
    times = Times()
    times.clock.heard(header)
    assert times.clock.now() == NOON - timedelta(hours=1)


def test_skew() -> None:
    times = Times()
    times.clock.heard(HEADER)
    assert times.clock.skew_seconds() == -3600


def test_instants() -> None:
    assert format_instant(NOON) == "2026-01-02T12:00:00.000Z"
    assert parse_instant("2026-01-02T12:00:00.000Z") == NOON
    assert parse_instant("2026-01-02T12:00:00Z") == NOON
    assert parse_instant("2026-01-02T12:00:00.000000Z") == NOON
    assert parse_instant("2026-01-02T13:00:00+01:00") == NOON
    for text in (None, "", "soon", "2026-01-02T12:00:00"):
        assert parse_instant(text) is None
