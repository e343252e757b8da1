# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Instants as Prometheus' range queries write them."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.instants import (  # noqa: E501 - a name
    instant,
)

NOW = datetime(2026, 1, 31, 12, 0, 0, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now()", "2026-01-31T12:00:00+00:00"),
        (" now ( ) ", "2026-01-31T12:00:00+00:00"),
        ('now() - duration("5m")', "2026-01-31T11:55:00+00:00"),
        ("now()-duration('1h30m')+duration('30m')", "2026-01-31T11:00:00+00:00"),
        ('duration("1s") + now()', "2026-01-31T12:00:01+00:00"),
        ('date("2026-01-30")', "2026-01-30T00:00:00+00:00"),
        ('date("2026-01-30T10:00:00Z") + duration("1m")', "2026-01-30T10:01:00+00:00"),
        ("2026-01-30T10:00:00+02:00", "2026-01-30T10:00:00+02:00"),
        ("now() - (0)", None),
        ('date("2026-01-30") - date("2026-01-29")', None),
        ("now() + now()", None),
        ('duration("5m") - now()', None),
        ('duration("5m")', None),
        ('now() - duration("5 minutes")', None),
        ('now() - duration("")', None),
        ("", None),
        ("now() -", None),
        ("now() now()", None),
        ("yesterday", None),
        ('date("tomorrow")', None),
        ('date("2026-13-45")', None),
        ('date("0001-01-01") - duration("200000h")', None),
        ("now()" + " " * 1000, None),
        ("now() - duration(\"5m')", None),
    ],
)
def test_instant(text: str, expected: str | None) -> None:
    if expected is not None:
        assert instant(text, NOW) == datetime.fromisoformat(expected)
        return
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        instant(text, NOW)


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(ValueError, match="near '5m'; expected is an instant such as"):
        instant("now() - 5m", NOW)


@given(st.text(alphabet="now() -+\"duration5md2026T:Z'", max_size=60))
def test_whatever_is_written_it_is_an_instant_or_a_sentence(text: str) -> None:
    try:
        assert instant(text, NOW).tzinfo is not None
    except ValueError as error:
        assert "\n" not in str(error)
