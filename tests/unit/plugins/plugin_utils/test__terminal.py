# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The terminal of ansible-playbook: what its keys mean, and how it is left."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import termios
import threading
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cutover.bluegreen.plugins.module_utils._driver import Guard
from ansible_collections.cutover.bluegreen.plugins.module_utils._errors import (
    BluegreenError,
)
from ansible_collections.cutover.bluegreen.plugins.plugin_utils._terminal import (
    Keys,
    NoTerminalError,
    Terminal,
    refuse_automation,
)

CTRL_C = b"\x03"


def meanings(typed: bytes) -> list[str]:
    keys = Keys(CTRL_C)
    found = [keys.take(bytes([key])) for key in typed]
    return [meaning for meaning in found if meaning]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (b"", []),
        (b"c", []),
        (b"a\r\nC A", []),
        (CTRL_C, ["ask"]),
        (CTRL_C + b"c", ["ask", "promote"]),
        (CTRL_C + b"C", ["ask", "promote"]),
        (CTRL_C + b"a", ["ask", "abort"]),
        (CTRL_C + b"A", ["ask", "abort"]),
        (CTRL_C + CTRL_C, ["ask"]),
        (CTRL_C + CTRL_C + b"x\r\nc", ["ask", "promote"]),
        # A decision is one: the next needs its own interrupt.
        (CTRL_C + b"ca", ["ask", "promote"]),
        (CTRL_C + b"c" + CTRL_C + b"a", ["ask", "promote", "ask", "abort"]),
    ],
)
def test_what_keys_mean(typed: bytes, meant: list[str]) -> None:
    assert meanings(typed) == meant


@given(st.binary().filter(lambda typed: CTRL_C not in typed))
def test_nothing_is_decided_without_the_interrupt(typed: bytes) -> None:
    assert meanings(typed) == []


@pytest.mark.parametrize(
    ("environment", "where"),
    [
        ({"JOB_ID": "7"}, "AWX (JOB_ID is set)"),
        ({"RUNNER_OMIT_EVENTS": "True"}, "ansible-runner"),
        ({"CI": "true"}, "CI (CI is set)"),
        ({"TF_BUILD": "True"}, "CI (TF_BUILD is set)"),
    ],
)
def test_automation_is_no_person(environment: dict[str, str], where: str) -> None:
    with pytest.raises(NoTerminalError) as refused:
        refuse_automation(environment)
    assert where in str(refused.value)


@pytest.mark.parametrize("value", ["", "0", "false", "no", "False"])
def test_what_is_switched_off_is_no_automation(value: str) -> None:
    refuse_automation({"CI": value, "HOME": "/root"})


class Playbook:
    """A process that stands for ansible-playbook: it leads a session on a terminal."""

    def __init__(self) -> None:
        self.person, self.side = os.openpty()
        # It is the session's once its leader opens it.
        self.process = subprocess.Popen(
            ["sh", "-c", 'exec <>"$0"; echo; exec sleep 600 >/dev/null', self.name],
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        self.process.stdout.readline()
        self.before = self.settings()

    @property
    def name(self) -> str:
        return os.ttyname(self.side)

    @property
    def pid(self) -> int:
        return self.process.pid

    def settings(self) -> list[t.Any]:
        return termios.tcgetattr(self.side)

    def press(self, keys: bytes) -> None:
        os.write(self.person, keys)

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        for descriptor in (self.person, self.side):
            with contextlib.suppress(OSError):
                os.close(descriptor)


@pytest.fixture
def playbook() -> t.Iterator[Playbook]:
    made = Playbook()
    yield made
    made.close()


class Asked:
    """A terminal at which somebody is asked."""

    def __init__(self, playbook: Playbook) -> None:
        self.guard = Guard(None)
        self.said: list[str] = []
        self._woken = threading.Semaphore(0)
        self.terminal = Terminal(playbook.pid, self.guard)
        self.terminal.open(self.said.append, self._woken.release)

    def hears(self) -> str:
        """Wait until there is something to hear; return the decision."""
        assert self._woken.acquire(timeout=30)
        return self.terminal.decision()


@pytest.fixture
def asked(playbook: Playbook) -> t.Iterator[Asked]:
    made = Asked(playbook)
    yield made
    made.terminal.close()


def test_a_decision_is_heard_once(playbook: Playbook, asked: Asked) -> None:
    assert playbook.settings() != playbook.before
    assert asked.terminal.decision() == ""
    playbook.press(CTRL_C)
    assert asked.hears() == ""
    assert "Ctrl+C then C promotes it now" in asked.said[0]
    assert "press C to promote it now or A to abort it" in asked.said[1]
    playbook.press(b"c")
    assert asked.hears() == "promote"
    assert asked.terminal.decision() == ""


def test_keys_that_came_at_once_are_all_heard(playbook: Playbook, asked: Asked) -> None:
    playbook.press(CTRL_C + b"\na")
    assert "abort" in (asked.hears(), asked.hears())


def test_it_is_left_as_it_was_found(playbook: Playbook, asked: Asked) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    asked.terminal.close()
    assert playbook.settings() == playbook.before
    assert signal.getsignal(signal.SIGTERM) is not handler
    assert asked.guard.before_end == []
    asked.terminal.close()


def test_it_is_restored_when_the_guard_ends_the_process(
    playbook: Playbook, asked: Asked
) -> None:
    for clean_up in asked.guard.before_end:
        clean_up()
    assert playbook.settings() == playbook.before


def test_what_a_shell_has_set_since_is_left_alone(
    playbook: Playbook, asked: Asked
) -> None:
    anew = playbook.settings()
    anew[3] |= termios.ECHO
    termios.tcsetattr(playbook.side, termios.TCSANOW, anew)
    asked.terminal.close()
    assert playbook.settings() == anew != playbook.before


def test_a_terminal_that_is_gone_is_said(playbook: Playbook, asked: Asked) -> None:
    os.close(playbook.person)
    with pytest.raises(BluegreenError, match="the gate stays shut"):
        asked.hears()
    asked.terminal.close()


ENDED = """
import os, signal, sys
from ansible_collections.cutover.bluegreen.plugins.module_utils._driver import Guard
from ansible_collections.cutover.bluegreen.plugins.plugin_utils._terminal import (
    Terminal,
)
# Whoever runs the tests under nohup has it ignored.
signal.signal(int(sys.argv[2]), signal.SIG_DFL)
terminal = Terminal(int(sys.argv[1]), Guard(None))
terminal.open(lambda line: None, lambda: None)
os.kill(os.getpid(), int(sys.argv[2]))
signal.pause()
"""


@pytest.mark.parametrize("ends", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_restores_it_and_ends_the_process(
    playbook: Playbook, ends: signal.Signals
) -> None:
    command = [sys.executable, "-c", ENDED, str(playbook.pid), str(int(ends))]
    ended = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=60,
        check=False,
        stderr=subprocess.PIPE,
    )
    assert ended.returncode == -ends, ended.stderr
    assert playbook.settings() == playbook.before


def started(*prefix: str, stdin: t.Any) -> t.Any:
    return subprocess.Popen(
        [*prefix, sys.executable, "-c", "import signal; print(); signal.pause()"],
        stdin=stdin,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )


@pytest.mark.parametrize(
    ("prefix", "stdin", "why"),
    [
        ((), subprocess.DEVNULL, "the standard input is no terminal"),
        ((), subprocess.PIPE, "the standard input is no terminal"),
        (("sh", "-c", 'exec "$@" <&-', "sh"), None, "the standard input is closed"),
    ],
)
def test_what_is_no_terminal(prefix: tuple[str, ...], stdin: t.Any, why: str) -> None:
    with started(*prefix, stdin=stdin) as process:
        process.stdout.readline()
        with pytest.raises(NoTerminalError, match=why):
            Terminal(process.pid, Guard(None))
        process.kill()


def test_a_terminal_of_another_session_is_not_asked_at(playbook: Playbook) -> None:
    """Under setsid: a terminal on the standard input that is not the session's."""
    side = os.open(playbook.name, os.O_RDWR | os.O_NOCTTY)
    with started(stdin=side) as process:
        process.stdout.readline()
        with pytest.raises(NoTerminalError, match="without a terminal of its own"):
            Terminal(process.pid, Guard(None))
        process.kill()
    os.close(side)


def test_a_playbook_that_has_ended_has_no_terminal() -> None:
    with pytest.raises(NoTerminalError):
        Terminal(2**22 + 1, Guard(None))
