# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.cutover.bluegreen.plugins.plugin_utils._action import (
    run_action,
)


class ActionModule(ActionBase):
    """Runs bluegreen_info in this process where it can."""

    _supports_check_mode = True
    _supports_async = False

    def run(
        self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None
    ) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        result.update(run_action(self, task_vars or {}))
        # Here, not in the core: so it is shown after a hand-over to the module, too.
        shows = any(
            boolean(self._task.args.get(option), strict=False)
            for option in ("show", "watch")
        )
        if shows and "tree" in result:
            # In one piece: many hosts write to one screen.
            Display().display("\n".join(result["tree"]))
        return result
