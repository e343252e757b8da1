#!/usr/bin/python
# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: bluegreen_analysis
short_description: Measure a release, and scale it up meanwhile; or run any analysis
version_added: 1.0.0
author:
  - The cutover.bluegreen contributors (@cutover-bluegreen)
description:
  - Before the promotion it takes the release in flight through its scale-up steps, each
    ready before the next, while its pre-promotion analysis measures it.
  - After the promotion it runs the post-promotion analysis. If that fails, the old
    revision takes the users back.
  - An analysis that fails or cannot be measured aborts the release, and the task fails.
    One that is inconclusive leaves the gate shut until a person decides.
  - With no release in flight it changes nothing.
  - Without O(name) it runs O(analysis) by itself, and fails unless it succeeds.
extends_documentation_fragment:
  - cutover.bluegreen._rollout
  - cutover.bluegreen._secrets
  - cutover.bluegreen._expected
  - cutover.bluegreen._wait
  - cutover.bluegreen._auth
  - cutover.bluegreen._attributes
options:
  name:
    description:
      - The name of the rollout. Without it O(analysis) is run alone.
    type: str
    required: false
  analysis_templates:
    description:
      - AnalysisTemplates and ClusterAnalysisTemplates as Argo Rollouts has them, for
        O(analysis).
      - A mapping, YAML text of one or more documents, the path of a file, or a
        list of these.
      - Files are read as they are, so placeholders of arguments in them stay;
        elsewhere mark the text C(!unsafe).
    type: raw
  analysis:
    description:
      - The analysis to run alone. A release is measured by what it was started with.
      - The name of a template, a list of names, or a mapping with the keys
        C(templates), C(args), C(dry_run) and C(measurement_retention).
    type: raw
  until:
    description:
      - How far this task goes.
      - With V(promoted) it promotes the new revision itself where no pause lies
        between; with V(verified) it goes on through the post-promotion analysis.
    type: str
    choices: [analysed, promoted, verified]
    default: analysed
seealso:
  - module: cutover.bluegreen.bluegreen_rollout
  - module: cutover.bluegreen.bluegreen_pause
"""

EXAMPLES = r"""
---
- name: Scale the new revision up while it is measured
  cutover.bluegreen.bluegreen_analysis:
    name: web
    namespace: shop
    revision: "{{ release.rollout.target.hash }}"

- name: Measure anything, without a rollout
  cutover.bluegreen.bluegreen_analysis:
    analysis_templates: checkout-latency.yml
    analysis:
      templates: [checkout-latency]
      args: {threshold: "0.3"}
    analysis_secrets:
      prometheus: {token: "{{ vault_prometheus_token }}"}
"""

RETURN = r"""
---
rollout:
  description:
    - The rollout as it was seen at the end of the task, on failure too.
    - Its keys are those of RV(cutover.bluegreen.bluegreen_info#module:rollout).
  returned: with O(name), when the cluster could be read
  type: dict
  sample:
    phase: Healthy
    stage: retired
    message: revision 2 is stable and serves all users
    target: {revision: 2, hash: 3f2a9c1d0b}
    next_task: none
analysis:
  description: The analysis that was run alone; its phase, and what was measured.
  returned: without O(name)
  type: dict
  sample:
    phase: Successful
    metrics: {checkout-latency: {phase: Successful, successful: 5}}
planned:
  description: Present and true in check mode, when nothing was done.
  returned: in check mode
  type: bool
"""

from ansible_collections.cutover.bluegreen.plugins.module_utils._module import main

if __name__ == "__main__":
    main("bluegreen_analysis")
