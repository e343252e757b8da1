# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import typing as t

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: results_lines
type: aggregate
short_description: Appends every task result, and the recap, as a JSON line to a file
description:
  - The file's path is in the environment variable E(BLUEGREEN_TEST_RESULTS).
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "results_lines"
    CALLBACK_NEEDS_ENABLED = True

    def _write(self, line: dict[str, t.Any]) -> None:
        with open(os.environ["BLUEGREEN_TEST_RESULTS"], "a", encoding="utf-8") as file:
            file.write(json.dumps(line, default=str) + "\n")

    def _result(self, status: str, result: t.Any, ignored: bool = False) -> None:
        self._write(
            {
                "host": result._host.get_name(),
                "task": result._task.get_name().strip(),
                "action": result._task.action,
                "status": status,
                "ignored": ignored,
                "result": result._result,
            }
        )

    def v2_runner_on_ok(self, result: t.Any) -> None:
        self._result("ok", result)

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        self._result("failed", result, ignore_errors)

    def v2_runner_on_skipped(self, result: t.Any) -> None:
        self._result("skipped", result)

    def v2_runner_on_unreachable(self, result: t.Any) -> None:
        self._result("unreachable", result)

    def v2_playbook_on_stats(self, stats: t.Any) -> None:
        hosts = sorted(stats.processed)
        self._write({"recap": {host: stats.summarize(host) for host in hosts}})
