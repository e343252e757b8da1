# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.cutover.bluegreen.plugins.module_utils._argo import convert
from ansible_collections.cutover.bluegreen.plugins.module_utils._errors import BadInput

DOCUMENTATION = r"""
---
name: from_argo
short_description: Convert a blue-green Rollout of Argo Rollouts
version_added: 1.0.0
author:
  - The cutover.bluegreen contributors (@cutover-bluegreen)
description:
  - Makes the variables of the role P(cutover.bluegreen.bluegreen#role) of a C(Rollout)
    with C(strategy.blueGreen), its Services, and its AnalysisTemplates.
  - Nothing is dropped silently. Each field that has no counterpart, or is unknown, is
    in RV(_value.not_converted), and each object that stays as it is in
    RV(_value.kept).
  - Manifests of live objects are taken, too; what the API server and the controller
    have written into them is left out.
  - It reads no cluster and writes nothing.
  - The playbook C(cutover.bluegreen.from_argo) does the same with files.
options:
  _input:
    description:
      - The Rollout and whatever belongs to it.
      - YAML text of one or more documents, a mapping, or a list of either. A C(List)
        stands for its items.
      - A Service that is given becomes the variable's value as a manifest, otherwise
        its name does.
    type: raw
    required: true
  rollout:
    description:
      - The name of the Rollout to convert.
      - Only needed where there are several.
    type: str
    default: ""
notes:
  - With ansible-core 2.18 or older, do not put the result into
    M(ansible.builtin.set_fact). Placeholders such as C(args.service) in the templates
    would be templated when the fact is read. Read it from C(vars), as in the examples,
    or write RV(_value.vars_file) into a file.
seealso:
  - plugin: cutover.bluegreen.bluegreen_rollout
    plugin_type: module
"""

EXAMPLES = r"""
---
- name: Release what a Rollout describes, as often as wanted
  hosts: localhost
  connection: local
  gather_facts: false
  vars:
    text: "{{ lookup('ansible.builtin.file', 'rollout.yml') }}"
    converted: "{{ text | cutover.bluegreen.from_argo }}"
    given: "{{ converted.variables }}"
  tasks:
    - name: See that nothing is lost
      ansible.builtin.assert:
        that: converted.not_converted | length == 0

    - name: Release it
      ansible.builtin.import_role:
        name: cutover.bluegreen.bluegreen
      vars:
        bluegreen_name: "{{ given.bluegreen_name }}"
        bluegreen_definition: "{{ given.bluegreen_definition }}"
        bluegreen_active_service: "{{ given.bluegreen_active_service }}"
        bluegreen_preview_service: "{{ given.bluegreen_preview_service }}"
        bluegreen_auto_promotion_enabled: "{{ given.bluegreen_auto_promotion_enabled }}"

- name: Go over once, and keep the variables in a file
  hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - name: Write the variables
      ansible.builtin.copy:
        content: >-
          {{ (lookup('ansible.builtin.file', 'everything.yml')
          | cutover.bluegreen.from_argo(rollout='web')).vars_file }}
        dest: app.yml
        mode: "0644"
"""

RETURN = r"""
---
_value:
  description: What was converted, and what was not.
  type: dict
  contains:
    variables:
      description:
        - Variables of the role P(cutover.bluegreen.bluegreen#role), by their names.
        - What is not here has the role's default, which is that of Argo Rollouts where
          both have the field.
      type: dict
      sample:
        bluegreen_name: web
        bluegreen_active_service: web
        bluegreen_preview_service: web-preview
        bluegreen_scale_down_delay_seconds: -1
    not_converted:
      description: What has no counterpart, or another one than by its name.
      type: list
      elements: dict
      contains:
        field:
          description: The path of the field, after its object if not the Rollout's.
          type: str
        found:
          description:
            - What was found there, cut where it is long.
            - Of an unknown field only whether it is text, a mapping or a list.
          type: str
        why:
          description: Why it was not converted.
          type: str
        instead:
          description: What to do instead.
          type: str
      sample:
        - field: spec.restartAt
          found: "2026-11-23T21:00:00Z"
          why: there is no schedule without a controller
          instead: run the playbook restart when it is due
    kept:
      description: Objects that stay as they are.
      type: list
      elements: dict
      contains:
        object:
          description: Kind and name.
          type: str
        why:
          description: Why it stays.
          type: str
      sample:
        - object: Ingress web
          why: it names Services, which keep their names
    vars_file:
      description:
        - RV(_value.variables) as the text of a variables file, with
          RV(_value.not_converted) as comments.
        - Text with braces is marked C(!unsafe), so that Ansible leaves it as it is.
      type: str
"""


def from_argo(manifests: object, rollout: str = "") -> dict[str, t.Any]:
    """The filter of that name."""
    try:
        return convert(manifests, rollout).to_plain()
    except BadInput as error:
        raise AnsibleFilterError(f"from_argo: {error}") from error


class FilterModule:
    """What Ansible looks for in a filter plugin."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """The filters of this file by name."""
        return {"from_argo": from_argo}
