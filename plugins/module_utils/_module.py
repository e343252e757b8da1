# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way into the modules where they run as modules.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ._argspec import MODULES, mask, secrets_of
from ._deps import MISSING
from ._driver import Guard, Holder, holder_of
from ._tasks import Runtime, execute


def argument_spec(module: str) -> dict[str, dict[str, t.Any]]:
    """The options of a module."""
    return MODULES[module]


def main(module_name: str) -> None:
    """Run a module from its arguments to its result."""
    module = AnsibleModule(
        argument_spec=argument_spec(module_name), supports_check_mode=True
    )
    for library, traceback in MISSING.items():
        module.fail_json(msg=missing_required_lib(library), exception=traceback)
    playbook = Holder.from_hand_over(module.params.get("_holder") or "")
    secrets = secrets_of(MODULES[module_name], module.params)
    with Guard(playbook) as guard:
        runtime = Runtime(
            environment=os.environ,
            report=_unseen,
            holder=playbook or holder_of(os.getppid(), "", os.environ),
            guard=guard,
            check_mode=module.check_mode,
        )
        result = mask(execute(module_name, module.params, runtime), secrets)
    for warning in result.pop("warnings", []):
        module.warn(warning)
    if not module._diff:
        result.pop("diff", None)
    if result.get("failed"):
        module.fail_json(**result)
    module.exit_json(**result)


def _unseen(line: str) -> None:
    """A module has no way to show a line while it runs."""
