# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a step found, and how a step starts a program."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from environments import BUILD, COLLECTIONS, ENVIRONMENTS, ROOT

MINUTE = 60.0
GRACE_SECONDS = 30.0


@dataclass(frozen=True)
class Outcome:
    """How many tests or checks passed, failed and were skipped, and why."""

    name: str = ""
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    note: str = ""
    may_be_skipped: bool = False
    """A step that was skipped as a whole, aloud; all others have to run something."""

    @property
    def ran_nothing(self) -> bool:
        return not (self.passed or self.failed or self.may_be_skipped)

    @property
    def word(self) -> str:
        if self.failed:
            return "FAILED"
        return "passed" if self.passed else "SKIPPED"

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(
            self.name,
            self.passed + other.passed,
            self.failed + other.failed,
            self.skipped + other.skipped,
            self.seconds + other.seconds,
        )


PASSED = Outcome(passed=1)


def failed(note: str) -> Outcome:
    """Return a failure of one check, with what a person has to know."""
    return Outcome(failed=1, note=note)


def check(
    command: Sequence[str | pathlib.Path],
    *,
    cwd: pathlib.Path = ROOT,
    env: Mapping[str, str] | None = None,
    limit: float = 10 * MINUTE,
) -> Outcome:
    """Run a program that answers by its exit code alone."""
    code = run(command, cwd=cwd, env=env, limit=limit)
    return PASSED if code == 0 else failed(f"exit code {code}")


def run(
    command: Sequence[str | pathlib.Path],
    *,
    cwd: pathlib.Path = ROOT,
    env: Mapping[str, str] | None = None,
    limit: float,
) -> int:
    """Run a program with its output going straight through; return its exit code.

    It has no standard input and no terminal. After `limit` seconds it is asked to
    stop (SIGINT, so that a test runner takes down what it started), and half a
    minute later it is ended with all that it started.
    """
    with subprocess.Popen(
        [str(part) for part in command],
        cwd=cwd,
        env={**base_environment(), **(env or {})},
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            return process.wait(limit)
        except subprocess.TimeoutExpired:
            print(f"still running after {limit:.0f} s: ended", flush=True)
            end(process)
            return process.returncode or 1
        except KeyboardInterrupt:
            end(process)
            raise


def counted(reports: Iterable[pathlib.Path], code: int) -> Outcome:
    """Return what a test runner's JUnit reports count.

    A runner that passed or failed no test at all has failed, and so has one whose
    exit code tells of an error that no test shows.
    """
    outcome = sum((counted_suite(suite) for suite in suites(reports)), Outcome())
    if outcome.ran_nothing:
        return replace(outcome, failed=1, note=f"ran no test (exit code {code})")
    if code != 0 and not outcome.failed:
        return replace(outcome, failed=1, note=f"exit code {code}")
    return outcome


def suites(reports: Iterable[pathlib.Path]) -> Iterator[ET.Element]:
    """Yield every test suite of the reports."""
    for report in reports:
        yield from ET.parse(report).getroot().iter("testsuite")


def counted_suite(suite: ET.Element) -> Outcome:
    """Return what one test suite of a JUnit report counts."""
    tests, failures, errors, skipped = (
        int(suite.get(name, "0")) for name in ("tests", "failures", "errors", "skipped")
    )
    wrong = failures + errors
    return Outcome(
        passed=max(tests - wrong - skipped, 0), failed=wrong, skipped=skipped
    )


def end(process: subprocess.Popen[bytes]) -> None:
    """End a program and all of its group, the gentle way first."""
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def base_environment(environment: str = "main") -> dict[str, str]:
    """Return the variables that programs of an environment are started with."""
    path = f"{ENVIRONMENTS[environment].bin}{os.pathsep}{os.environ.get('PATH', '')}"
    return {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
        # Ansible's and Molecule's temporary files; nothing lands in the user's own.
        "ANSIBLE_HOME": str(BUILD / "ansible"),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(BUILD / "hypothesis"),
        "LC_ALL": "C.UTF-8",
        "NO_COLOR": "1",
        "PATH": path,
        "VIRTUAL_ENV": str(ENVIRONMENTS[environment].path),
    }
