# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who stands at a gate: what is said there, and what is heard."""

from __future__ import annotations

import shlex
import typing as t
from datetime import datetime, timezone

from ansible_collections.cutover.bluegreen.plugins.module_utils._gate import (
    Gatekeeper,
    Terminal,
    commands,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._record import Request

UNTIL = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)
PROMOTE = (
    "ansible-playbook cutover.bluegreen.promote"
    " -e bluegreen_name=web -e bluegreen_namespace=shop"
)


class Person:
    """A terminal with decisions to come."""

    def __init__(self, *decisions: str) -> None:
        self.decisions = list(decisions)
        self.happened: list[str] = []

    def open(self, say: t.Callable[[str], None], wake: t.Callable[[], None]) -> None:
        self.happened.append("opened")

    def decision(self) -> str:
        return self.decisions.pop(0)

    def close(self) -> None:
        self.happened.append("closed")


def gatekeeper(said: list[str], terminal: Terminal | None = None) -> Gatekeeper:
    return Gatekeeper("web", "shop", said.append, print, "process 7 on a", terminal)


def test_the_commands_can_be_pasted() -> None:
    assert commands("web", "shop")["promote"] == PROMOTE
    odd = commands("web", "a b; rm")["abort"]
    assert shlex.split(odd)[-1] == "bluegreen_namespace=a b; rm"


def test_it_says_once_how_to_decide_and_when_it_goes_on() -> None:
    said: list[str] = []
    with gatekeeper(said) as keeper:
        assert keeper.hear("abc", UNTIL) is None
        assert keeper.hear("abc", UNTIL) is None
    keeper.leave(UNTIL)
    assert said == [
        f"to promote it: {PROMOTE}",
        f"to abort it: {PROMOTE.replace('promote', 'abort')}",
        "it is promoted by itself at 2026-03-01T12:00:00.000Z",
    ]


def test_a_run_that_leaves_says_who_goes_on() -> None:
    said: list[str] = []
    gatekeeper(said).leave(UNTIL)
    assert (
        said[-1] == "the resume playbook promotes it from 2026-03-01T12:00:00.000Z on"
    )
    said.clear()
    gatekeeper(said).leave(None)
    assert said[-1] == "it stays paused until one of them is run"


def test_a_decision_at_the_terminal_is_a_request() -> None:
    said: list[str] = []
    person = Person("", "abort")
    with gatekeeper(said, person) as keeper:
        assert keeper.hear("abc", None) is None
        by = "a person at the terminal of process 7 on a"
        assert keeper.hear("abc", None) == Request("abort", "abc", by)
    assert person.happened == ["opened", "closed"]
    assert len(said) == 2


def test_nobody_is_asked_before_there_is_a_gate() -> None:
    person = Person()
    with gatekeeper([], person):
        pass
    assert person.happened == ["closed"]
