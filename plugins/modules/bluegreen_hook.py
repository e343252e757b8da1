#!/usr/bin/python
# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: bluegreen_hook
short_description: Tell a release how the task file of a hook has ended
version_added: 1.0.0
author:
  - The cutover.bluegreen contributors (@cutover-bluegreen)
description:
  - A release stops where a hook has a task file, with C(next_task) V(hook) and the hook
    in RV(cutover.bluegreen.bluegreen_info#module:rollout). Whoever runs the modules
    includes that file, tells the outcome with this module and calls the module again
    that stopped there. The role does all of it.
  - Fails if no outcome of that hook is awaited, because it took too long, was told, or
    the release was left meanwhile.
options:
  hook:
    description: The name of the hook.
    type: str
    required: true
  succeeded:
    description: Whether all of its tasks have succeeded.
    type: bool
    default: true
  reason:
    description:
      - What to say of it, without secrets. It is kept in the record and shown.
    type: str
extends_documentation_fragment:
  - cutover.bluegreen._rollout
  - cutover.bluegreen._wait
  - cutover.bluegreen._auth
  - cutover.bluegreen._attributes
seealso:
  - module: cutover.bluegreen.bluegreen_rollout
"""

EXAMPLES = r"""
---
- name: Go on until something is to be done here
  cutover.bluegreen.bluegreen_promote:
    name: web
    namespace: shop
  register: release

- name: Run the task file of the hook
  ansible.builtin.include_tasks: "{{ release.rollout.hook.tasks }}"
  when: release.rollout.next_task == 'hook'

- name: Tell that it has succeeded
  cutover.bluegreen.bluegreen_hook:
    name: web
    namespace: shop
    hook: "{{ release.rollout.hook.name }}"
  when: release.rollout.next_task == 'hook'
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
    phase: Progressing
    stage: previewed
    message: revision 2 is previewed
    target: {revision: 2, hash: 3f2a9c1d0b}
    next_task: analysis
planned:
  description: Present and true in check mode, when nothing was done.
  returned: in check mode
  type: bool
"""

from ansible_collections.cutover.bluegreen.plugins.module_utils._module import main

if __name__ == "__main__":
    main("bluegreen_hook")
