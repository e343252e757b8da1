# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the repository's steps one after another and add up what they found.

    .build/venv/bin/python tests/checks/run.py all

Every step runs, whatever became of those before it. A step that ran nothing has
failed. The last line is `N passed, N failed, N skipped`: the tests of every
pytest run, and one for each other check.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import checks
import environments
import suites
from outcome import Outcome


@dataclass(frozen=True)
class Step:
    """One thing to run: its name, the groups that it belongs to, and how."""

    name: str
    groups: frozenset[str]
    run: Callable[[], Outcome]


def step(name: str, groups: str, run: Callable[[], Outcome]) -> Step:
    """Return the step; every step belongs to the group "all", too."""
    return Step(name, frozenset([*groups.split(), "all"]), run)


STEPS = (
    step("ruff check", "lint", checks.ruff_check),
    step("ruff format", "lint", checks.ruff_format),
    step("mypy", "lint", checks.mypy),
    step("yamllint", "lint", checks.yamllint),
    step("changelog", "lint", checks.changelog),
    step("ansible-lint", "lint", checks.ansible_lint),
    step("antsibull-docs", "lint", checks.antsibull_docs),
    step("sanity", "lint sanity", checks.sanity),
    step("galaxy-importer", "build", checks.galaxy_importer),
    step("units", "units", suites.units),
    step(
        "embedded cluster", "integration molecule lanes faults", suites.cluster_binaries
    ),
    step("integration", "integration", suites.integration),
    step("real node", "node", suites.real_node),
    step("molecule", "molecule", suites.molecule),
    step("lane 2.19", "lanes", lambda: suites.lane("lane-2.19")),
    step("lane 2.16", "lanes", lambda: suites.lane("lane-2.16")),
    # Hours, not minutes: "all" has a sample of it among the integration tests.
    Step("faults", frozenset({"faults"}), suites.faults),
)
GROUPS = sorted(frozenset[str]().union(*(one.groups for one in STEPS)))


def main(group: str) -> int:
    """Run the steps of one group; return the exit code."""
    started = time.monotonic()
    python = environments.version_of(environments.ENVIRONMENTS["main"])
    print(f"Python {python} in {environments.BUILD / 'venv'}", flush=True)
    outcomes = [run_step(one) for one in STEPS if group in one.groups]
    print(f"\n{table(outcomes)}\n\n{minutes(time.monotonic() - started)} in all")
    total = sum(outcomes, Outcome("total"))
    print(f"{total.passed} passed, {total.failed} failed, {total.skipped} skipped")
    return 1 if total.failed else 0


def run_step(one: Step) -> Outcome:
    """Run one step between a heading and its duration."""
    print(f"\n=== {one.name} ===", flush=True)
    started = time.monotonic()
    outcome = replace(one.run(), name=one.name, seconds=time.monotonic() - started)
    if outcome.ran_nothing:
        outcome = replace(outcome, failed=1, note=outcome.note or "ran nothing")
    note = f": {outcome.note}" if outcome.note else ""
    print(f"--- {one.name}: {outcome.word}, {outcome.seconds:.0f} s{note}", flush=True)
    return outcome


def table(outcomes: list[Outcome]) -> str:
    """Return the summary: a line for each step."""
    width = max(len(outcome.name) for outcome in outcomes)
    lines = [
        f"{'step':{width}}  {'time':>7}  passed  failed  skipped",
        *(
            f"{outcome.name:{width}}  {minutes(outcome.seconds):>7}"
            f"  {outcome.passed:6}  {outcome.failed:6}  {outcome.skipped:7}"
            f"  {outcome.word if outcome.word != 'passed' else '':7} {outcome.note}"
            for outcome in outcomes
        ),
    ]
    return "\n".join(line.rstrip() for line in lines)


def minutes(seconds: float) -> str:
    """Return a duration as a person reads it: 3:07."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("group", choices=GROUPS, help="which steps to run")
    try:
        sys.exit(main(parser.parse_args().group))
    except KeyboardInterrupt:
        sys.exit(130)  # what was running has been ended; a traceback tells nothing
