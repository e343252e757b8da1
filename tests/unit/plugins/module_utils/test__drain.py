# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the end of an old revision stands, as the record keeps it."""

from __future__ import annotations

import dataclasses
import json
import typing as t
from datetime import timedelta

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._drain import (
    Drain,
    Told,
    from_plain,
    to_plain,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._record import Record
from ansible_collections.cutover.bluegreen.plugins.module_utils._stages import RETIRED
from ansible_collections.cutover.bluegreen.tests.unit.support.states import (
    NOW,
    V1,
    V2,
    after,
)

BEGUN = Drain(V1, 4, NOW, after(60), tell_at=NOW, why="its delay is over", held=4)
MINUTE = timedelta(minutes=1)
FULL = dataclasses.replace(
    BEGUN,
    told={"a": "2026-01-02T03:04:05Z"},
    untold={"b": "it answered 500"},
    values={"in-flight": "4"},
    ended_at=after(9),
    hold_until=after(20),
    left=True,
)


@pytest.mark.parametrize("drain", [BEGUN, FULL])
def test_what_is_written_is_read_back(drain: Drain) -> None:
    assert from_plain(json.loads(json.dumps(to_plain(drain)))) == drain
    record = Record(revision=V2, stage=RETIRED, retire_at={V1: NOW}, drain=drain)
    assert Record.from_data(record.to_data()) == record


BROKEN: dict[str, t.Any] = {
    "no mapping": [1],
    "empty": {},
    "no deadline": {**to_plain(BEGUN), "until": "soon"},
    "no revision": {**to_plain(BEGUN), "revision": 5},
    "pods by number": {**to_plain(BEGUN), "told": {"a": 1}},
    "a list of pods": {**to_plain(BEGUN), "untold": ["a"]},
    "a size in words": {**to_plain(BEGUN), "size": "four"},
    "what nobody knows": {**to_plain(BEGUN), "surprise": 1},
    "maybe": {**to_plain(BEGUN), "left": "yes"},
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_be_read_begins_anew(case: str) -> None:
    assert from_plain(BROKEN[case]) is None


def test_the_first_telling_starts_the_countdown() -> None:
    heard = BEGUN.heard(Told(("a",), left=("b",)), after(30), MINUTE)
    assert (heard.began_at, heard.until) == (after(30), after(90))
    later = heard.heard(Told(("b",)), after(40), MINUTE)
    assert (later.began_at, later.until) == (after(30), after(90))
    assert later.tell_at is None


def test_who_was_not_tried_yet_comes_at_once_and_who_failed_later() -> None:
    some = BEGUN.heard(Told(("a",), {"b": "no"}, ("c",)), NOW, MINUTE)
    assert some.tell_at == NOW
    rest = some.heard(Told((), {"c": "no"}, ("b",)), NOW, MINUTE)
    assert rest.tell_at == after(10)
    # Whoever failed last is tried last.
    assert list(rest.untold) == ["b", "c"]
    again = rest.heard(Told(("b",), {"c": "still no"}), after(10), MINUTE)
    assert dict(again.untold) == {"c": "still no"}
    assert again.heard(Told(), after(20), MINUTE).untold == {}


def test_a_long_timeout_is_tried_less_often() -> None:
    failed = Told(failed={"b": "no"})
    assert BEGUN.heard(failed, NOW, 60 * MINUTE).tell_at == after(360)


def test_a_long_reason_is_cut() -> None:
    heard = BEGUN.heard(Told(failed={"b": "x" * 900}), NOW, MINUTE)
    assert len(heard.untold["b"]) == 120


def test_it_says_when_it_goes_on() -> None:
    record = Record(revision=V2, stage=RETIRED, retire_at={V1: NOW}, drain=BEGUN)
    assert record.next_at == after(60)
    held = dataclasses.replace(BEGUN, ended_at=NOW, hold_until=after(20))
    assert dataclasses.replace(record, drain=held).next_at == after(20)
    over = dataclasses.replace(BEGUN, ended_at=NOW)
    assert dataclasses.replace(record, drain=over).next_at == NOW
