# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: it may change in any release.

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  name:
    description:
      - The name of the rollout, unique in its namespace.
      - At most 52 lower-case letters, digits and hyphens.
    type: str
    required: true
  namespace:
    description: The namespace of the rollout and of everything that belongs to it.
    type: str
    default: default
  progress:
    description:
      - Whether to show a line at each change and at least every 30 seconds while the
        task runs.
      - Lines are shown on local connections, where the work is done by the controller.
    type: bool
    default: true
  _holder:
    description:
      - Which playbook run this task belongs to. The action plugin sets it when it hands
        the task over; leave it out.
    type: str
"""
