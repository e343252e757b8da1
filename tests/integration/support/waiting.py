# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for real state, and programs that wait for us."""

from __future__ import annotations

import shutil
import time
import typing as t

T = t.TypeVar("T")


def eventually(predicate: t.Callable[[], T], timeout: float = 30, what: str = "") -> T:
    """Return the predicate's first truthy value; fail after `timeout` seconds.

    The error shows `what` and the last value. An exception of the predicate is not
    swallowed.
    """
    deadline = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(
                f"{what or 'the condition'}: not within {timeout} s; last: {value!r}"
            )
        time.sleep(0.02)


def ends_with_us(command: list[str]) -> list[str]:
    """The command of a program that a killed test session does not leave behind."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", *command] if setpriv else command
