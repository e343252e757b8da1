# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who drives a rollout, and the guard that ends a driver with its ansible-playbook.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import dataclasses
import os
import pwd
import signal
import socket
import threading
import typing as t
from dataclasses import dataclass

CHECKS_PER_SECOND = 5


@dataclass(frozen=True)
class Holder:
    """A playbook run on one inventory host.

    ``started`` is the start time of the process as the kernel counts it; empty where
    it cannot be read.
    """

    node: str
    pid: int
    started: str
    host: str = ""
    # For people only: the AWX job or the process, and who started it there.
    display: str = ""
    person: str = ""

    def identity(self) -> str:
        """The Lease's ``holderIdentity``."""
        return "/".join((self.node, str(self.pid), self.started, self.host))

    @classmethod
    def from_identity(cls, identity: str) -> Holder | None:
        """Read it back; none if it is not one of ours."""
        parts = identity.split("/", 3)
        if len(parts) != 4 or not parts[1].isdigit():
            return None
        return cls(parts[0], int(parts[1]), parts[2], parts[3])

    def hand_over(self) -> str:
        """The identity and the texts for people, for a module that drives on its
        behalf.
        """
        return f"{self.identity()}\n{self.display}\n{self.person}"

    @classmethod
    def from_hand_over(cls, text: str) -> Holder | None:
        """Read :meth:`hand_over` back; none if it is not one."""
        identity, _newline, for_people = text.partition("\n")
        display, _newline, person = for_people.partition("\n")
        holder = cls.from_identity(identity)
        if holder is None:
            return None
        return dataclasses.replace(holder, display=display, person=person)

    def is_gone(self) -> bool:
        """Whether it ran on this very machine, and its process has ended."""
        return self._is_of_here and process_start(self.pid) != self.started

    def lives_here(self) -> bool:
        """Whether it runs on this very machine."""
        return self._is_of_here and process_start(self.pid) == self.started

    @property
    def _is_of_here(self) -> bool:
        return self.node == socket.gethostname() and bool(self.started)


@dataclass(frozen=True)
class Driving:
    """Who drives a rollout, as one sees it who only looks."""

    # Who has the lock, as people know them; empty: nobody.
    by: str = ""
    # Whether they are seen to be there.
    live: bool = False


def process_start(pid: int) -> str:
    """When a process of this machine started, in the kernel's ticks; else empty."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            fields = stat.read().rpartition(")")[2].split()
    except OSError:
        return ""
    # A zombie drives nothing: it only waits for its parent.
    return "" if fields[0] == "Z" else fields[19]


def holder_of(
    pid: int, host: str, environment: t.Mapping[str, str], user: str = ""
) -> Holder:
    """The holder for a process of this machine.

    :param user: who started its job, where that is not the user of the process.
    """
    node = socket.gethostname()
    job = environment.get("JOB_ID") or environment.get("AWX_JOB_ID")
    display = f"AWX job {job}" if job else f"process {pid} on {node}"
    person = user or f"{_user_of_process()}@{node}"
    if job:
        person = f"{person} ({display})"
    return Holder(node, pid, process_start(pid), host, display, person)


def _user_of_process() -> str:
    # Not by LOGNAME and the like, which anybody can set. A container's user often has
    # no name.
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


class Guard:
    """Ends this process, and its group if it leads one, when its playbook has ended.

    An ansible-playbook that is killed leaves its workers behind since ansible-core
    2.19, where each leads a session of its own.
    """

    def __init__(self, playbook: Holder | None) -> None:
        self._parent = os.getppid()
        self._playbook = playbook
        self._stop = threading.Event()
        # Called before this process is ended: what it must not leave behind.
        self.before_end: list[t.Callable[[], None]] = []

    def __enter__(self) -> Guard:
        threading.Thread(target=self._watch, name="guard", daemon=True).start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()

    def _watch(self) -> None:
        while not self._stop.wait(1 / CHECKS_PER_SECOND):
            self.check()

    def check(self) -> None:
        """Return if the playbook is alive; else do not return at all."""
        orphaned = os.getppid() != self._parent
        if orphaned or (self._playbook is not None and self._playbook.is_gone()):
            for clean_up in tuple(self.before_end):
                clean_up()
            _end()


def _end() -> None:
    # The group of a worker that does not lead it belongs to somebody else.
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)
