#!/usr/bin/python
# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: bluegreen_pause
short_description: Wait before the promotion for a countdown or a decision
version_added: 1.0.0
author:
  - The cutover.bluegreen contributors (@cutover-bluegreen)
description:
  - Waits until C(auto_promotion_seconds)
    have passed, or until somebody promotes or aborts the release from elsewhere.
  - Needs no terminal. Where only a person can decide, it succeeds at once with
    the phase V(Paused), and the gate stays shut.
  - Prints the two commands that decide, and when the release goes on by itself.
options:
  interactive:
    description:
      - Whether to ask at the terminal, and to stay until somebody has decided.
      - The keys are those of M(ansible.builtin.pause). Ctrl+C then C promotes the
        release, Ctrl+C then A aborts it and fails the task.
      - A decision from elsewhere and the end of the countdown end the question at
        once.
      - Ignored with a warning that says why under AWX, ansible-runner or CI, without
        a terminal, for more than one host, with O(wait=detach), and where the task
        does not run on the controller. On the controller it needs C(/proc).
    type: bool
    default: false
extends_documentation_fragment:
  - cutover.bluegreen._rollout
  - cutover.bluegreen._expected
  - cutover.bluegreen._wait
  - cutover.bluegreen._auth
  - cutover.bluegreen._attributes
seealso:
  - module: cutover.bluegreen.bluegreen_promote
"""

EXAMPLES = r"""
---
- name: Keep the preview for as long as was asked
  cutover.bluegreen.bluegreen_pause:
    name: web
    namespace: shop
  register: gate

- name: Ask the person who runs the playbook
  cutover.bluegreen.bluegreen_pause:
    name: web
    namespace: shop
    interactive: true
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
commands:
  description:
    - The complete command lines that promote and abort the release.
  returned: when the gate stays shut
  type: dict
  sample:
    promote: >-
      ansible-playbook cutover.bluegreen.promote
      -e bluegreen_name=web -e bluegreen_namespace=shop
    abort: >-
      ansible-playbook cutover.bluegreen.abort
      -e bluegreen_name=web -e bluegreen_namespace=shop
planned:
  description: Present and true in check mode, when nothing was done.
  returned: in check mode
  type: bool
"""

from ansible_collections.cutover.bluegreen.plugins.module_utils._module import main

if __name__ == "__main__":
    main("bluegreen_pause")
