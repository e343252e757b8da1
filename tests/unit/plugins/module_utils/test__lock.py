# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lock: one driver at a time, alive is who is seen renewing."""

from __future__ import annotations

import copy
import os
import socket
import threading
import time
import types
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils import _lock
from ansible_collections.cutover.bluegreen.plugins.module_utils._api import Api, Stream
from ansible_collections.cutover.bluegreen.plugins.module_utils._clock import (
    ServerClock,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._driver import (
    Driving,
    Holder,
    process_start,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._errors import (
    ApiError,
    BluegreenError,
    Conflict,
    LockHeld,
    LockLost,
)

Object = dict[str, t.Any]

OURS = Holder("node-a", 1, "1", "web", "AWX job 1")
THEIRS = Holder("node-b", 2, "2", "web", "AWX job 2")


class Leases:
    """One Lease, with preconditions and a watch, as the client gives them."""

    def __init__(self) -> None:
        self.lease: Object | None = None
        self.version = 0
        self.writes = 0
        self.fails: BluegreenError | None = None
        # How many answers are lost of writes that took effect and are sent again.
        self.answers_lost = 0
        self.changed = threading.Condition()

    def _store(self, body: Object) -> Object:
        with self.changed:
            if self.fails is not None:
                raise self.fails
            self.writes += 1
            self.version += 1
            self.lease = copy.deepcopy(body)
            self.lease["metadata"]["resourceVersion"] = str(self.version)
            self.lease["metadata"]["uid"] = "uid"
            self.changed.notify_all()
            if self.answers_lost:
                self.answers_lost -= 1
                raise Conflict("it conflicts with itself", 409)
            return copy.deepcopy(self.lease)

    def find(self, path: str) -> Object | None:
        return copy.deepcopy(self.lease)

    def create(self, path: str, body: Object) -> Object:
        if self.lease is not None:
            raise Conflict("it exists", 409)
        return self._store(body)

    def replace(self, path: str, body: Object) -> Object:
        known = self.lease or {"metadata": {"resourceVersion": "none"}}
        sent = body["metadata"]["resourceVersion"]
        if sent != known["metadata"]["resourceVersion"]:
            raise Conflict("it was changed", 409)
        return self._store(body)

    def get(self, path: str, query: object = None) -> Object:
        items = [copy.deepcopy(self.lease)] if self.lease else []
        return {"metadata": {"resourceVersion": str(self.version)}, "items": items}

    def watch(
        self, path: str, query: object, version: str, stream: Stream
    ) -> t.Iterator[tuple[str, Object]]:
        seen = int(version)
        while not stream.is_closed():
            with self.changed:
                self.changed.wait(0.02)
                if self.version == seen or self.lease is None:
                    continue
                seen = self.version
                item = copy.deepcopy(self.lease)
            yield "MODIFIED", item

    def holder(self) -> str:
        assert self.lease is not None
        return str(self.lease["spec"]["holderIdentity"])


class Run:
    """A run that wants the lock."""

    def __init__(self, leases: Leases, holder: Holder) -> None:
        self.lost: list[LockLost] = []
        self.taken_over: list[str] = []
        self.lock = _lock.Lock(
            t.cast(Api, leases),
            ServerClock(),
            "shop",
            "web",
            holder,
            self.lost.append,
            self.taken_over.append,
        )


Start = t.Callable[[Holder], Run]


@pytest.fixture
def leases(monkeypatch: pytest.MonkeyPatch) -> Leases:
    monkeypatch.setattr(_lock, "LEASE_SECONDS", 0.3)
    monkeypatch.setattr(_lock, "RENEW_SECONDS", 0.03)
    return Leases()


@pytest.fixture
def start(leases: Leases) -> t.Iterator[Start]:
    runs: list[Run] = []

    def create(holder: Holder) -> Run:
        runs.append(Run(leases, holder))
        return runs[-1]

    yield create
    for run in runs:
        run.lock.suspend()


def eventually(condition: t.Callable[[], bool]) -> None:
    until = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


def test_the_first_takes_it_and_renews(leases: Leases, start: Start) -> None:
    run = start(OURS)
    run.lock.check()
    run.lock.acquire()
    run.lock.acquire()
    assert run.lock.held and leases.holder() == OURS.identity()
    assert leases.lease is not None
    annotations = leases.lease["metadata"]["annotations"]
    assert annotations["cutover.bluegreen/holder"] == "AWX job 1"
    acquired = leases.lease["spec"]["acquireTime"]
    eventually(lambda: leases.writes >= 3)
    assert leases.lease["spec"]["acquireTime"] == acquired
    run.lock.check()


def test_a_second_one_is_told_who_has_it(leases: Leases, start: Start) -> None:
    start(THEIRS).lock.acquire()
    with pytest.raises(LockHeld, match="shop/web is being driven by AWX job 2"):
        start(OURS).lock.acquire()
    assert start(OURS).lock.live_holder() == "AWX job 2"
    assert leases.holder() == THEIRS.identity()


@pytest.mark.parametrize("released_before", [False, True])
def test_the_second_of_the_same_moment_is_told_who_was_first(
    leases: Leases,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    released_before: bool,
) -> None:
    """Both looked before either of them wrote."""
    if released_before:
        earlier = start(OURS)
        earlier.lock.acquire()
        earlier.lock.release()
    looked = [copy.deepcopy(leases.lease)]
    start(THEIRS).lock.acquire()
    find = leases.find
    monkeypatch.setattr(leases, "find", lambda p: looked.pop() if looked else find(p))
    second = start(OURS)
    with pytest.raises(LockHeld, match="driven by AWX job 2, which began at the same"):
        second.lock.acquire()
    assert not second.lock.held
    assert leases.holder() == THEIRS.identity()


@pytest.mark.parametrize("released_before", [False, True])
def test_a_lost_answer_to_taking_it_is_no_other_run(
    leases: Leases, start: Start, released_before: bool
) -> None:
    """A write that took effect is sent again, and conflicts."""
    if released_before:
        earlier = start(THEIRS)
        earlier.lock.acquire()
        earlier.lock.release()
    leases.answers_lost = 1
    run = start(OURS)
    run.lock.acquire()
    assert run.lock.held
    assert leases.holder() == OURS.identity()
    written = leases.writes
    eventually(lambda: leases.writes > written)
    run.lock.check()


def test_one_that_lets_go_while_it_is_looked_at_is_followed(
    leases: Leases, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It came to its end: there is nothing to take over, and nobody to wait for."""
    first = start(THEIRS)
    first.lock.acquire()
    find = leases.find

    def find_just_before_its_end(path: str) -> Object | None:
        found = find(path)
        if leases.holder() == THEIRS.identity():
            monkeypatch.setattr(leases, "find", find)
            first.lock.release()
        return found

    monkeypatch.setattr(leases, "find", find_just_before_its_end)
    second = start(OURS)
    second.lock.acquire()
    assert leases.holder() == OURS.identity()
    assert not second.taken_over


def test_one_that_is_not_seen_renewing_is_taken_over(
    leases: Leases, start: Start
) -> None:
    dead = start(THEIRS)
    dead.lock.acquire()
    dead.lock.suspend()
    assert start(OURS).lock.live_holder() == ""
    ours = start(OURS)
    ours.lock.acquire()
    assert ours.taken_over == ["AWX job 2"]
    assert leases.holder() == OURS.identity()


def test_a_holder_of_this_machine_whose_process_is_gone_is_not_waited_for(
    leases: Leases, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_lock, "LEASE_SECONDS", 600)
    gone = Holder(socket.gethostname(), os.getpid(), "1", "web", "an earlier run")
    dead = start(gone)
    dead.lock.acquire()
    dead.lock.suspend()
    run = start(OURS)
    run.lock.acquire()
    assert run.taken_over == ["an earlier run"]


def test_the_next_task_of_a_play_goes_on_with_it(leases: Leases, start: Start) -> None:
    first = start(OURS)
    first.lock.acquire()
    first.lock.suspend()
    second = start(OURS)
    second.lock.acquire()
    assert second.lock.held and second.taken_over == []


def test_a_lock_that_was_let_go_is_free_at_once(leases: Leases, start: Start) -> None:
    first = start(THEIRS)
    first.lock.acquire()
    first.lock.release()
    assert not first.lock.held and leases.holder() == ""
    second = start(OURS)
    assert second.lock.live_holder() == ""
    second.lock.acquire()
    assert second.taken_over == []


def test_another_task_of_the_play_lets_it_go(leases: Leases, start: Start) -> None:
    first = start(OURS)
    first.lock.acquire()
    first.lock.suspend()
    start(OURS).lock.release()
    assert leases.holder() == ""


def test_nobody_lets_go_what_is_not_theirs(leases: Leases, start: Start) -> None:
    start(THEIRS).lock.acquire()
    start(OURS).lock.release()
    assert leases.holder() == THEIRS.identity()


def test_losing_it_stops_the_run(leases: Leases, start: Start) -> None:
    run = start(OURS)
    run.lock.acquire()
    body = leases.find("")
    assert body is not None
    with leases.changed:
        stolen = copy.deepcopy(leases.lease)
    assert stolen is not None
    stolen["spec"]["holderIdentity"] = THEIRS.identity()
    stolen["metadata"]["annotations"] = {}
    leases._store(stolen)
    eventually(lambda: bool(run.lost))
    with pytest.raises(LockLost, match="was taken over by node-b/2/2/web"):
        run.lock.check()


def test_a_conflict_over_our_own_lease_is_no_loss(leases: Leases, start: Start) -> None:
    run = start(OURS)
    run.lock.acquire()
    noted = leases.find("")
    assert noted is not None
    noted["metadata"]["labels"] = {"a": "b"}
    leases._store(noted)
    before = leases.writes
    eventually(lambda: leases.writes >= before + 2)
    run.lock.check()
    assert not run.lost


def test_one_that_cannot_renew_writes_no_more(leases: Leases, start: Start) -> None:
    run = start(OURS)
    run.lock.acquire()
    leases.fails = ApiError("503", 503)

    def refused() -> bool:
        try:
            run.lock.check()
        except LockLost as error:
            return "could not be renewed" in str(error)
        return False

    eventually(refused)
    leases.fails = None
    run.lock.suspend()


def test_two_at_the_same_moment(leases: Leases, start: Start) -> None:
    run = start(OURS)
    start(THEIRS).lock.acquire()

    def nothing(path: str) -> None:
        return None

    leases.find = nothing  # type: ignore[method-assign]
    with pytest.raises((LockHeld, Conflict)):
        run.lock.acquire()
    assert not run.lock.held


def test_our_own_process_is_known() -> None:
    here = Holder(socket.gethostname(), os.getpid(), process_start(os.getpid()))
    assert not here.is_gone()


# -- who only looks --------------------------------------------------------------------


def onlooker(leases: Leases, own: str = "") -> _lock.SeenLock:
    found = _lock.SeenLock(t.cast(Api, leases), "shop", "web", own)
    found.load()
    return found


def test_a_free_lock_has_no_driver(leases: Leases, start: Start) -> None:
    assert onlooker(leases).driving() == Driving()
    run = start(THEIRS)
    run.lock.acquire()
    run.lock.release()
    assert onlooker(leases).driving() == Driving()


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> t.Callable[[float], None]:
    """Let the local clock go on, which else stands."""
    now = [time.monotonic()]

    def pass_by(leases: float) -> None:
        now[0] += leases * _lock.LEASE_SECONDS

    clock = types.SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr(_lock, "time", clock)
    return pass_by


Later = t.Callable[[float], None]


def test_a_driver_is_live_as_long_as_it_is_seen_renewing(
    leases: Leases, start: Start, later: Later
) -> None:
    run = start(THEIRS)
    run.lock.acquire()
    run.lock.suspend()
    seen = onlooker(leases)
    for _renewal in range(5):
        assert seen.driving() == Driving("AWX job 2", live=True)
        later(0.9)
        assert leases.lease is not None
        leases.replace("", leases.lease)
        seen.load()
    later(0.9)
    assert seen.driving() == Driving("AWX job 2", live=True)
    later(0.2)
    assert seen.driving() == Driving("AWX job 2", live=True)
    later(0.9)
    assert seen.driving() == Driving("AWX job 2", live=False)


def test_the_lock_of_ones_own_playbook_keeps_nothing_going(
    leases: Leases, start: Start
) -> None:
    """An earlier task of the same play has it."""
    start(THEIRS).lock.acquire()
    assert onlooker(leases, own=THEIRS.identity()).driving() == Driving()


def test_a_driver_of_this_machine_is_looked_for_there(
    leases: Leases, start: Start, later: Later
) -> None:
    pid = os.getpid()
    here = Holder(socket.gethostname(), pid, process_start(pid), "web", "a play")
    run = start(here)
    run.lock.acquire()
    # It does something else between two tasks: it lives.
    run.lock.suspend()
    seen = onlooker(leases)
    seen.driving()
    later(1.5)
    assert seen.driving() == Driving("a play", live=True)
    gone = Holder(socket.gethostname(), pid, "1", "web", "an earlier play")
    assert leases.lease is not None
    leases.lease["spec"]["holderIdentity"] = gone.identity()
    seen.load()
    assert seen.driving() == Driving("a play", live=False)
