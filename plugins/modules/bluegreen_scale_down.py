#!/usr/bin/python
# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: bluegreen_scale_down
short_description: Scale old revisions down when their delay is over
version_added: 1.0.0
author:
  - The cutover.bluegreen contributors (@cutover-bluegreen)
description:
  - Waits for the scale-down delay of each old revision and scales it down, after it has
    drained if its release asked for that.
  - Refuses to scale down what an active Service selects, and looks again afterwards.
  - Scaled-down revisions beyond the history limit are deleted, oldest first.
extends_documentation_fragment:
  - cutover.bluegreen._rollout
  - cutover.bluegreen._secrets
  - cutover.bluegreen._expected
  - cutover.bluegreen._wait
  - cutover.bluegreen._auth
  - cutover.bluegreen._attributes
seealso:
  - module: cutover.bluegreen.bluegreen_promote
"""

EXAMPLES = r"""
---
- name: Scale the old revision down when its delay is over
  cutover.bluegreen.bluegreen_scale_down:
    name: web
    namespace: shop
"""

RETURN = r"""
---
rollout:
  description:
    - The rollout as it was seen at the end of the task, on failure too.
    - Its keys are those of RV(cutover.bluegreen.bluegreen_info#module:rollout).
  returned: when the cluster could be read
  type: dict
  sample:
    phase: Healthy
    stage: retired
    message: revision 2 is stable and serves all users
    target: {revision: 2, hash: 3f2a9c1d0b}
    next_task: none
planned:
  description: Present and true in check mode, when nothing was done.
  returned: in check mode
  type: bool
"""

from ansible_collections.cutover.bluegreen.plugins.module_utils._module import main

if __name__ == "__main__":
    main("bluegreen_scale_down")
