# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs of the core that begin at the same instant, each in a process of its own.

Reads races as a line of JSON from its standard input: lists of runs, a run being the
options of `bluegreen_rollout`. Writes a line of JSON for each race as soon as all of
its runs but one have ended; the one that is left is killed at the next line of input.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import typing as t

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.cutover.bluegreen.plugins.module_utils._argspec import MODULES
from ansible_collections.cutover.bluegreen.plugins.module_utils._driver import (
    Guard,
    holder_of,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._tasks import (
    Runtime,
    execute,
)

MODULE = "bluegreen_rollout"
PATIENCE_SECONDS = 60
# Races that are run side by side: each has pods to wait for, not processors.
AT_ONCE = 5


def execute_here(options: dict[str, t.Any]) -> dict[str, t.Any]:
    checked = ArgumentSpecValidator(MODULES[MODULE]).validate(options)
    assert not checked.error_messages, checked.error_messages
    with Guard(None) as guard:
        runtime = Runtime(
            environment=os.environ,
            report=lambda line: None,
            holder=holder_of(os.getpid(), "localhost", {}),
            guard=guard,
        )
        return execute(MODULE, checked.validated_parameters, runtime)


class Runner:
    """A process that waits for the start of its race."""

    def __init__(self, options: dict[str, t.Any], start: int) -> None:
        self._answer, answer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.read(start, 1)
            with open(answer, "w", encoding="utf-8") as file:
                json.dump(execute_here(options), file)
            os._exit(0)
        os.close(answer)

    def fileno(self) -> int:
        return self._answer

    def result(self) -> dict[str, t.Any]:
        """What it ended with; blocks until it has."""
        with open(self._answer, encoding="utf-8") as file:
            text = file.read()
        os.waitpid(self.pid, 0)
        result = json.loads(text) if text else {"msg": "it died"}
        return {
            "pid": self.pid,
            "failed": bool(result.get("failed")),
            "msg": result.get("msg", ""),
        }

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


class Race:
    """Runs that wait for one and the same start."""

    def __init__(self, runs: t.Sequence[dict[str, t.Any]]) -> None:
        start, self._start = os.pipe()
        self.runners = [Runner(options, start) for options in runs]
        self._size = len(runs)
        os.close(start)

    def begin(self) -> None:
        os.write(self._start, b"!" * self._size)
        os.close(self._start)

    def end(self) -> dict[str, t.Any]:
        """Let all but one come to their end."""
        ended = []
        while len(self.runners) > 1:
            ready, _out, _error = select.select(self.runners, [], [], PATIENCE_SECONDS)
            if not ready:
                break
            for runner in ready:
                self.runners.remove(runner)
                ended.append(runner.result())
        return {"ended": ended, "driving": [runner.pid for runner in self.runners]}

    def kill(self) -> None:
        for runner in self.runners:
            runner.kill()


def main() -> None:
    races = json.loads(sys.stdin.readline())
    while races:
        begun = [Race(runs) for runs in races[:AT_ONCE]]
        races = races[AT_ONCE:]
        for race in begun:
            race.begin()
        for race in begun:
            print(json.dumps(race.end()), flush=True)
            sys.stdin.readline()
            race.kill()


if __name__ == "__main__":
    main()
