# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: it may change in any release.

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and say what it would do without doing it.
    support: full
    details: The plan is worked out to the end; nothing is written.
  diff_mode:
    description: Will return what changed when in diff mode.
    support: full
    details:
      - The revisions' sizes and where each Service directs, before and after.
  idempotent:
    description: Run again with the same input, it changes nothing.
    support: full
  async:
    description: Supports being used with the C(async) keyword.
    support: none
  action:
    description:
      - Has an action plugin of the same name, which does the work on the controller
        when the connection is local.
    support: full
  action_group:
    description:
      - C(module_defaults) for V(group/cutover.bluegreen.bluegreen) apply, so that
        authentication is written once.
    support: full
    membership: [cutover.bluegreen.bluegreen]
"""
