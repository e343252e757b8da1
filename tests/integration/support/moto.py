# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""AWS on the loopback: moto's server, in the environment ``moto`` of its own.

The environment is made by tests/checks/environments.py when the first test asks for
it, in a fresh clone too; what moto needs never meets what the collection needs.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import typing as t

import pytest

from .waiting import ends_with_us

ROOT = pathlib.Path(__file__).resolve().parents[3]
ENVIRONMENTS = ROOT / "tests" / "checks" / "environments.py"
SERVER = ROOT / ".build" / "moto" / "bin" / "moto_server"
_MAKE_SECONDS = 600
_NO_INTERPRETER = 3
_RUNNING = re.compile(r"Running on (http://127\.0\.0\.1:\d+)")


def make_environment() -> None:
    """Make the environment unless it is there; skip where it has no interpreter."""
    made = subprocess.run(
        [sys.executable, str(ENVIRONMENTS), "moto"],
        check=False,
        capture_output=True,
        text=True,
        timeout=_MAKE_SECONDS,
    )
    if made.returncode == _NO_INTERPRETER:
        pytest.skip(made.stderr.strip())
    assert made.returncode == 0, made.stderr


@contextlib.contextmanager
def running() -> t.Iterator[str]:
    """Run the server on a free port until the block ends.

    :returns: its address.
    """
    make_environment()
    with subprocess.Popen(
        ends_with_us([str(SERVER), "--host", "127.0.0.1", "--port", "0"]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        # Its address comes here, then a line a request: a pipe holds a thousand.
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        try:
            yield _address(process)
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        found = _RUNNING.search(line)
        if found:
            return found[1]
    raise AssertionError(f"moto's server did not start: {''.join(said)}")
