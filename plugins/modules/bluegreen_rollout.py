#!/usr/bin/python
# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: bluegreen_rollout
short_description: Start a blue-green release and show it through the preview Service
version_added: 1.0.0
author:
  - The cutover.bluegreen contributors (@cutover-bluegreen)
description:
  - Creates a new revision of a Deployment beside the one that serves users, and directs
    the preview Service to it once its first step is proven ready.
  - The new revision receives no request of the active Service before it is promoted.
  - Run again, it goes on where an interrupted run stopped. With an unchanged pod
    template and nothing left to do it sends no write request.
  - A plain Deployment of the manifest's name that is already running is adopted,
    without restarting a pod and without changing an EndpointSlice.
extends_documentation_fragment:
  - cutover.bluegreen._rollout
  - cutover.bluegreen._release
  - cutover.bluegreen._secrets
  - cutover.bluegreen._wait
  - cutover.bluegreen._auth
  - cutover.bluegreen._attributes
seealso:
  - module: cutover.bluegreen.bluegreen_analysis
  - module: cutover.bluegreen.bluegreen_promote
"""

EXAMPLES = r"""
---
- name: Release the application and show it through the preview Service
  cutover.bluegreen.bluegreen_rollout:
    name: web
    namespace: shop
    definition: web.yml
    active_service: web
    preview_service: web-preview
    scale_up_steps: ["25%", "50%", "100%"]
  register: release

- name: Start a release that is measured before and after its promotion
  cutover.bluegreen.bluegreen_rollout:
    name: web
    namespace: shop
    definition: web.yml
    active_service: web
    preview_service: web-preview
    analysis_templates: success-rate.yml
    pre_promotion_analysis: pods
    post_promotion_analysis:
      templates: [success-rate]
      args: {service: web}

- name: Restart the pods of the active revision
  cutover.bluegreen.bluegreen_rollout:
    name: web
    namespace: shop
    state: restarted

- name: Go back to a plain Deployment and plain Services
  cutover.bluegreen.bluegreen_rollout:
    name: web
    namespace: shop
    state: ejected

- name: Take over what an Argo Rollout of the same name runs
  cutover.bluegreen.bluegreen_rollout:
    name: web
    namespace: shop
    state: taken_over
    definition: web.yml

- name: Take over the one of two Deployments that users reach
  cutover.bluegreen.bluegreen_rollout:
    name: web
    namespace: shop
    state: taken_over
    take_over: {blue: web-blue, green: web-green}
    definition: web.yml
    active_service: web

- name: Show what a release would do
  cutover.bluegreen.bluegreen_rollout:
    name: web
    namespace: shop
    definition: "{{ lookup('ansible.builtin.template', 'web.yml.j2') }}"
    active_service: web
  check_mode: true
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
plan:
  description:
    - What a release would change, and what a person should know before it.
    - Each write that can be tried is tried by a server-side dry-run. What the user may
      not read is left out, and named in a notice.
  returned: in check mode with O(state=released)
  type: dict
  contains:
    changes:
      description: What becomes of each object, in order. Empty if nothing is to do.
      type: list
      elements: dict
      returned: always
      contains:
        object:
          description: Kind and name.
          type: str
          returned: always
        action:
          description: V(create), V(update), V(delete), or V(create, then delete).
          type: str
          returned: always
        fields:
          description:
            - What differs, as far as it is known. What may be a secret is named without
              its value.
          type: list
          elements: str
          returned: always
        dry_run:
          description:
            - V(passed) or V(refused) by the API server; V(not allowed to this user);
              V(planned, not dry-run) where that cannot be tried.
          type: str
          returned: always
    endpoints:
      description:
        - By Service. C(before) lists its ready endpoints; C(after) has the revision,
          the number of its pods, and those of them that exist already.
      type: dict
      returned: always
    findings:
      description:
        - What was found, worst first. Each has a C(level) (V(error), V(warning) or
          V(notice)), an C(object) and a C(message).
      type: list
      elements: dict
      returned: always
  sample:
    changes:
      - object: Service web
        action: update
        fields: ["directed to: revision 1 (web-9f86d08188) -> revision 2 (3f2a9c1d0b)"]
        dry_run: passed
    endpoints:
      web:
        before:
          - {pod: web-9f86d08188-x7k2p-4mzvd, addresses: [10.0.0.7], revision: 1}
        after: {revision: 2, hash: 3f2a9c1d0b, count: 1, pods: []}
    findings:
      - level: error
        object: ResourceQuota shop
        message: >-
          pods: the release needs 1 more, 0 of 4 are left; raise the quota, or release
          smaller.
"""

from ansible_collections.cutover.bluegreen.plugins.module_utils._module import main

if __name__ == "__main__":
    main("bluegreen_rollout")
