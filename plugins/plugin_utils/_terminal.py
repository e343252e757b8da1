# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The terminal of ansible-playbook, where a person decides at a gate.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import contextlib
import os
import queue
import select
import signal
import stat
import termios
import threading
import typing as t

from ansible_collections.cutover.bluegreen.plugins.module_utils._driver import Guard
from ansible_collections.cutover.bluegreen.plugins.module_utils._errors import (
    BluegreenError,
)

_QUESTION = "press C to promote it now or A to abort it; any other key is ignored"
_HINT = "here: Ctrl+C then C promotes it now, Ctrl+C then A aborts it"
_GONE = "gone"
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_LOCAL_MODES = 3
_CONTROL_CHARACTERS = 6
# Set for every job by what starts it: nobody is there to press a key, whatever stands
# in for a terminal. AWX's runner gives Ansible one.
_AUTOMATION = {
    "AWX": ("JOB_ID", "AWX_JOB_ID", "AWX_ISOLATED_DATA_DIR"),
    "ansible-runner": ("RUNNER_OMIT_EVENTS",),
    "CI": ("CI", "JENKINS_URL", "TF_BUILD", "TEAMCITY_VERSION", "GITHUB_ACTIONS"),
}
_UNSET = ("", "0", "false", "no")


class NoTerminalError(Exception):
    """There is no terminal to ask at; the text says why."""


def refuse_automation(environment: t.Mapping[str, str]) -> None:
    """Return where a person may be at the terminal.

    :raises NoTerminalError: a machine runs the playbook.
    """
    for where, variables in _AUTOMATION.items():
        for variable in variables:
            if environment.get(variable, "").lower() not in _UNSET:
                raise NoTerminalError(f"this is a job of {where} ({variable} is set)")


class Keys:
    """What the keys mean: the interrupt key, then C or A, as Ansible's own pause.

    No other key decides anything, so that nothing typed ahead or pasted opens a gate.
    """

    ASK = "ask"

    def __init__(self, interrupt: bytes) -> None:
        self._interrupt = interrupt
        self._asking = False

    def take(self, key: bytes) -> str:
        """The meaning of one key: empty, ``ask``, ``promote`` or ``abort``."""
        if not self._asking:
            self._asking = key == self._interrupt
            return self.ASK if self._asking else ""
        verb = {b"c": "promote", b"a": "abort"}.get(key.lower(), "")
        self._asking = not verb
        return verb


class Terminal:
    """The terminal on the standard input of ansible-playbook.

    A task runs in a process of its own that has no terminal: since ansible-core 2.19
    it leads a session of its own. So it opens its parent's.

    :param playbook: the process id of ansible-playbook.
    :raises NoTerminalError: it has none, or this process may not use it.
    """

    def __init__(self, playbook: int, guard: Guard) -> None:
        self._descriptor = _open(playbook)
        self._guard = guard
        self._before: list[t.Any] = []
        self._ours: list[t.Any] = []
        self._handlers: dict[signal.Signals, t.Any] = {}
        self._reader: threading.Thread | None = None
        self._end_read, self._end_write = os.pipe()
        # The reader only fills it: lines are shown by the one thread that decides.
        self._heard: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._say: t.Callable[[str], None] = _unseen

    def open(self, say: t.Callable[[str], None], wake: t.Callable[[], None]) -> None:
        """Take the keys one by one, until :meth:`close`.

        :param say: shows one line.
        :param wake: called from another thread once there is something to hear.
        """
        before = termios.tcgetattr(self._descriptor)
        keys = Keys(before[_CONTROL_CHARACTERS][termios.VINTR])
        self._restore_at_any_end()
        self._take_keys(before)
        self._say = say
        say(_HINT)
        self._reader = threading.Thread(
            target=self._read, args=(keys, wake), name="terminal", daemon=True
        )
        self._reader.start()

    def decision(self) -> str:
        """``promote`` or ``abort``, once; empty as long as nothing was decided.

        :raises BluegreenError: the terminal was closed.
        """
        with contextlib.suppress(queue.Empty):
            while True:
                meaning = self._heard.get_nowait()
                if meaning == _GONE:
                    raise BluegreenError(
                        "The terminal was closed while it was asked for a decision;"
                        " the gate stays shut. Run the promote or the abort playbook."
                    )
                if meaning != Keys.ASK:
                    return meaning
                self._say(_QUESTION)
        return ""

    def close(self) -> None:
        """Leave the terminal as it was found; may be called again."""
        if self._descriptor < 0:
            return
        self._restore()
        os.write(self._end_write, b"x")
        if self._reader is not None:
            self._reader.join()
        for signum, handler in self._handlers.items():
            signal.signal(signum, handler)
        if self._restore in self._guard.before_end:
            self._guard.before_end.remove(self._restore)
        for descriptor in (self._descriptor, self._end_read, self._end_write):
            os.close(descriptor)
        self._descriptor = -1

    # -- the settings --------------------------------------------------------------

    def _take_keys(self, before: list[t.Any]) -> None:
        """One key at a time, not shown, and Ctrl+C as a key; output stays as it is."""
        self._before = before
        mode = termios.tcgetattr(self._descriptor)
        mode[_LOCAL_MODES] &= ~(termios.ICANON | termios.ECHO | termios.ISIG)
        mode[_CONTROL_CHARACTERS][termios.VMIN] = 1
        mode[_CONTROL_CHARACTERS][termios.VTIME] = 0
        termios.tcsetattr(self._descriptor, termios.TCSANOW, mode)
        # What was typed before the question is no answer to it.
        termios.tcflush(self._descriptor, termios.TCIFLUSH)
        self._ours = termios.tcgetattr(self._descriptor)

    def _restore(self) -> None:
        """As it was found, unless somebody has set it anew: a shell whose job died."""
        with contextlib.suppress(termios.error, OSError):
            if self._ours and termios.tcgetattr(self._descriptor) == self._ours:
                termios.tcsetattr(self._descriptor, termios.TCSANOW, self._before)

    def _restore_at_any_end(self) -> None:
        self._guard.before_end.append(self._restore)
        for signum in _ENDING:
            self._handlers[signum] = signal.signal(signum, self._end)

    def _end(self, signum: int, _frame: object) -> None:
        self._restore()
        previous = self._handlers.get(signal.Signals(signum)) or signal.SIG_DFL
        signal.signal(signum, previous)
        os.kill(os.getpid(), signum)

    # -- the keys ------------------------------------------------------------------

    def _read(self, keys: Keys, wake: t.Callable[[], None]) -> None:
        meaning = ""
        while meaning != _GONE:
            watched = [self._descriptor, self._end_read]
            ready, _out, _error = select.select(watched, [], [])
            if self._end_read in ready:
                return
            key = self._key()
            if key is None:
                continue
            meaning = keys.take(key) if key else _GONE
            if meaning:
                self._heard.put(meaning)
                wake()

    def _key(self) -> bytes | None:
        """One key; empty if the terminal is gone, none if there was none after all."""
        try:
            return os.read(self._descriptor, 1)
        except BlockingIOError:
            return None
        except OSError:
            return b""


def _unseen(line: str) -> None:
    """Nobody is asked yet."""


def _open(playbook: int) -> int:
    path = f"/proc/{playbook}/fd/0"
    try:
        if not stat.S_ISCHR(os.stat(path).st_mode):
            raise NoTerminalError("the standard input is no terminal")
        flags = os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        raise NoTerminalError("the standard input is closed") from None
    except OSError as error:
        raise NoTerminalError(f"its terminal cannot be opened: {error}") from error
    try:
        if not os.isatty(descriptor):
            raise NoTerminalError("the standard input is no terminal")
        _refuse_background(playbook)
    except NoTerminalError:
        os.close(descriptor)
        raise
    return descriptor


def _refuse_background(playbook: int) -> None:
    """Return where this process may use the terminal of that one.

    :raises NoTerminalError: it may not, and would be stopped by the attempt.
    """
    try:
        with open(f"/proc/{playbook}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError as error:
        raise NoTerminalError(f"its terminal is not known: {error}") from error
    group, terminal, foreground = fields[2], fields[4], fields[5]
    if terminal == "0":
        raise NoTerminalError("ansible-playbook runs without a terminal of its own")
    if group != foreground:
        raise NoTerminalError("ansible-playbook runs in the background")
    same_session = os.getsid(0) == os.getsid(playbook)
    if same_session and str(os.getpgrp()) != foreground:
        raise NoTerminalError(
            "ansible-core keeps its tasks off the terminal here; leave"
            " ANSIBLE_WORKER_SESSION_ISOLATION on"
        )
