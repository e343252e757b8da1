#!/usr/bin/python
# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: bluegreen_lint
short_description: Check the input of a release without a cluster
version_added: 1.0.0
author:
  - The cutover.bluegreen contributors (@cutover-bluegreen)
description:
  - Parses everything that M(cutover.bluegreen.bluegreen_rollout) takes as that does,
    and tells all that is wrong with it at once, of each option the first.
  - Also tells what the manifests lack for a release without loss, such as readiness
    probes, preStop hooks and image tags.
  - Reaches no cluster, and reads no kubeconfig. What can only be seen in the cluster is
    seen by M(cutover.bluegreen.bluegreen_rollout) in check mode.
  - Fails if there is any error; its message has a line for each.
extends_documentation_fragment:
  - cutover.bluegreen._rollout
  - cutover.bluegreen._release
  - cutover.bluegreen._secrets
  - cutover.bluegreen._wait
  - cutover.bluegreen._attributes
attributes:
  diff_mode:
    support: none
    details: It changes nothing.
  action_group:
    support: none
    details:
      - The defaults of the group are how to reach a cluster.
seealso:
  - module: cutover.bluegreen.bluegreen_rollout
"""

EXAMPLES = r"""
---
- name: Check what will be released, as a step of a pull request
  cutover.bluegreen.bluegreen_lint:
    name: web
    namespace: shop
    definition: web.yml
    active_service: web
    scale_up_steps: ["25%", "50%", "100%"]
"""

RETURN = r"""
---
findings:
  description:
    - What was found, worst first.
  returned: unless an option is unknown or of another type
  type: list
  elements: dict
  contains:
    level:
      description: V(error), V(warning) or V(notice).
      type: str
      returned: always
    object:
      description: An option, or a manifest as kind and name.
      type: str
      returned: always
    message:
      description: What was found, what is expected and what to do.
      type: str
      returned: always
  sample:
    - level: warning
      object: Deployment web
      message: "no preStop hook: ..."
summary:
  description: How many findings there are of each level.
  returned: unless an option is unknown or of another type
  type: str
  sample: 1 error, 2 warnings
"""

from ansible_collections.cutover.bluegreen.plugins.module_utils._module import main

if __name__ == "__main__":
    main("bluegreen_lint")
