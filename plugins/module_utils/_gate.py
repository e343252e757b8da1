# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who stands at a shut gate: says how to decide, and hears what is decided there.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import shlex
import typing as t
from datetime import datetime

from ._clock import format_instant
from ._record import Request

Say = t.Callable[[str], None]

VERBS = ("promote", "abort")


class Terminal(t.Protocol):
    """A terminal with a person at it."""

    def open(self, say: Say, wake: t.Callable[[], None]) -> None:
        """Begin to ask; ``wake`` is called once there is something to hear."""

    def decision(self) -> str:
        """One of :data:`VERBS`, once; empty as long as none was made.

        :raises BluegreenError: the terminal is gone.
        """

    def close(self) -> None:
        """Ask no longer, and leave the terminal as it was found."""


def commands(
    name: str, namespace: str, verbs: t.Iterable[str] = VERBS
) -> dict[str, str]:
    """The complete command for each playbook of that name."""
    rollout = shlex.join(
        ["-e", f"bluegreen_name={name}", "-e", f"bluegreen_namespace={namespace}"]
    )
    return {
        verb: f"ansible-playbook cutover.bluegreen.{verb} {rollout}" for verb in verbs
    }


class Gatekeeper:
    """Tells once how a release goes on, and asks a person where there is one.

    :param say: shows one line.
    :param wake: ends the present wait, so that a decision is heard at once.
    :param driver: the run that waits, as people know it.
    :param terminal: where a person is asked; none if nobody is.
    """

    def __init__(
        self,
        name: str,
        namespace: str,
        say: Say,
        wake: t.Callable[[], None],
        driver: str,
        terminal: Terminal | None = None,
    ) -> None:
        self._commands = commands(name, namespace)
        self._say = say
        self._wake = wake
        self._by = f"a person at the terminal of {driver}"
        self._terminal = terminal
        self._told = False

    def __enter__(self) -> Gatekeeper:
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._terminal is not None:
            self._terminal.close()

    def hear(self, revision: str, until: datetime | None) -> Request | None:
        """Called before each wait at the gate.

        :param revision: the hash of the revision that waits to be promoted.
        :param until: when it is promoted by itself; none if only by a decision.
        :raises BluegreenError: the terminal is gone.
        """
        at = format_instant(until) if until else ""
        self._tell(f"it is promoted by itself at {at}" if at else "")
        if self._terminal is None:
            return None
        verb = self._terminal.decision()
        return Request(verb, revision, self._by) if verb else None

    def leave(self, until: datetime | None) -> None:
        """The run ends and the gate stays shut."""
        at = format_instant(until) if until else ""
        resumed = f"the resume playbook promotes it from {at} on"
        self._tell(resumed if at else "it stays paused until one of them is run")

    def _tell(self, when: str) -> None:
        if self._told:
            return
        self._told = True
        for verb, command in self._commands.items():
            self._say(f"to {verb} it: {command}")
        if when:
            self._say(when)
        if self._terminal is not None:
            self._terminal.open(self._say, self._wake)
