# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a watcher shows, and when: each change, not each second."""

from __future__ import annotations

import dataclasses
import types
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils import _watching
from ansible_collections.cutover.bluegreen.plugins.module_utils._driver import Driving
from ansible_collections.cutover.bluegreen.plugins.module_utils._model import Observed
from ansible_collections.cutover.bluegreen.plugins.module_utils._record import Record
from ansible_collections.cutover.bluegreen.plugins.module_utils._stages import (
    HEALTHY,
    PAUSED,
    PHASE_PAUSED,
    PREVIEWED,
    PROGRESSING,
    RETIRED,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.states import (
    V1,
    V2,
    after,
    observed,
    revision,
    service,
)

LIVE = Driving("process 7 on a", live=True)
NOBODY = Driving()


def seen(record: Record) -> Observed:
    return observed([revision(V1), revision(V2)], [service(V1)], record)


MIDWAY = seen(Record(V2, PREVIEWED, PROGRESSING, active=V1, stable=V1))
COUNTDOWN = seen(Record(V2, PAUSED, PHASE_PAUSED, promote_at=after(90)))
DONE = seen(Record(V2, RETIRED, HEALTHY, active=V2, stable=V2))

# Until when, on the local clock, the cluster is so.
Story = list[tuple[float, Observed, Driving]]


class World:
    """A cluster in which things happen by themselves, as its watcher uses it."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.seconds = 0.0
        self.reported: list[tuple[float, str]] = []
        self.reloads = 0
        # What the watches have not brought yet, until it is read anew.
        self.stale: Observed | None = None
        self.cluster = types.SimpleNamespace(
            has_other_services=False,
            load_pods_of_rollout=lambda: None,
            reload=self._reload,
            wait=self._wait,
            watches=types.SimpleNamespace(watch=lambda _collections: None),
            pods_of_rollout=types.SimpleNamespace(items={}),
        )
        holder = types.SimpleNamespace(identity=lambda: "us")
        task = types.SimpleNamespace(
            api=None,
            namespace="shop",
            name="web",
            runtime=types.SimpleNamespace(holder=holder),
            clock=types.SimpleNamespace(now=lambda: after(self.seconds)),
            cluster=self.cluster,
            engine=types.SimpleNamespace(observe_anew=self._observe),
            report=lambda text: self.reported.append((self.seconds, text)),
        )
        self.watching = _watching.Watching(t.cast("t.Any", task))
        lock = types.SimpleNamespace(
            load=lambda: None, leases=None, driving=lambda: self._now()[2]
        )
        self.watching._lock = t.cast("t.Any", lock)

    def _now(self) -> tuple[float, Observed, Driving]:
        for until, found, driving in self.story:
            if self.seconds < until:
                return until, found, driving
        return self.story[-1]

    def _observe(self) -> Observed:
        return self.stale or self._now()[1]

    def _reload(self) -> None:
        self.reloads += 1
        self.stale = None

    def _wait(self, seconds: float) -> None:
        until = self._now()[0]
        # An event ends a wait.
        self.seconds = min(self.seconds + max(seconds, 0.001), max(until, 0))

    def heads(self) -> list[tuple[int, str]]:
        return [(round(at), text.partition("\n")[0]) for at, text in self.reported]


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch) -> t.Iterator[t.Callable[..., World]]:
    def begin(*parts: tuple[float, Observed, Driving]) -> World:
        world = World(list(parts))
        clock = types.SimpleNamespace(monotonic=lambda: world.seconds)
        monkeypatch.setattr(_watching, "time", clock)
        return world

    yield begin


Begin = t.Callable[..., World]
DRIVEN = "driven by process 7 on a"


def test_it_shows_each_change_and_ends_at_rest(story: Begin) -> None:
    world = story((5, MIDWAY, LIVE), (10, COUNTDOWN, LIVE), (999, DONE, NOBODY))
    assert world.watching.until_rest(0) == "it is Healthy"
    assert world.heads() == [(0, f"Progressing, {DRIVEN}"), (5, f"Paused, {DRIVEN}")]
    tree = world.reported[1][1]
    assert "goes on at 2026-01-02T03:05:35.000Z, in 85 s" in tree
    assert tree.endswith("\n\n")
    assert round(world.seconds) == 10


def test_a_countdown_alone_is_no_change_but_a_sign_of_life_is_given(
    story: Begin,
) -> None:
    world = story((70, COUNTDOWN, LIVE), (999, DONE, NOBODY))
    world.watching.until_rest(0)
    (_first, head), *rest = world.heads()
    assert head == f"Paused, {DRIVEN}"
    assert [at for at, _text in rest] == [30, 60]
    assert rest[0][1] == (
        "Paused, unchanged; goes on at 2026-01-02T03:05:35.000Z, in 60 s"
    )


def test_changes_within_a_second_are_shown_as_the_last_of_them(story: Begin) -> None:
    at = [
        seen(dataclasses.replace(MIDWAY.record, message=f"message {number}"))
        for number in range(9)
    ]
    parts = [((number + 1) / 10, found, LIVE) for number, found in enumerate(at)]
    world = story(*parts, (2, at[-1], LIVE), (999, DONE, NOBODY))
    world.watching.until_rest(0)
    first, second = [text for _at, text in world.reported]
    assert "message 0" in first and "message 8" in second


def test_a_free_lock_is_believed_once_all_is_read_anew(story: Begin) -> None:
    """The end of the run was heard of before the last that it wrote."""
    world = story((999, DONE, NOBODY))
    world.stale = MIDWAY
    assert world.watching.until_rest(0) == "it is Healthy"
    assert world.reloads == 1


def test_it_does_not_watch_for_longer_than_asked(story: Begin) -> None:
    world = story((999, MIDWAY, LIVE))
    assert world.watching.until_rest(7) == ""
    assert round(world.seconds) == 7
    assert world.watching.driver() == DRIVEN


def test_when_nobody_drives_it_that_is_said(story: Begin) -> None:
    assert story((999, DONE, NOBODY)).watching.driver() == "driven by no run"
