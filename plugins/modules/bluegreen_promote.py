#!/usr/bin/python
# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: bluegreen_promote
short_description: Direct the active Service to the new revision, or abort it
version_added: 1.0.0
author:
  - The cutover.bluegreen contributors (@cutover-bluegreen)
description:
  - Promotes the release in flight. It proves the new revision's endpoints, directs
    every active Service to it, and sees that their EndpointSlices list no other
    revision.
  - Promotes only through an open gate. While the pause before promotion lasts it writes
    nothing and returns RV(rollout.phase=Paused), unless O(approve=true).
  - With O(state=aborted) it goes back to the stable revision, which never depends on
    the new one.
  - Where another run drives the rollout, that run is asked to promote or abort, and
    does it at once.
extends_documentation_fragment:
  - cutover.bluegreen._rollout
  - cutover.bluegreen._expected
  - cutover.bluegreen._wait
  - cutover.bluegreen._auth
  - cutover.bluegreen._attributes
attributes:
  check_mode:
    support: full
    details: The plan is worked out to the end; nothing is written.
  diff_mode:
    support: full
    details: The revisions' sizes and where each Service directs, before and after.
  idempotent:
    support: full
  async:
    support: none
  action:
    support: full
  action_group:
    support: full
    membership: [cutover.bluegreen.bluegreen]
options:
  state:
    description: Whether to promote the release in flight or to abort it.
    type: str
    choices: [promoted, aborted]
    default: promoted
  approve:
    description: Whether to open the gate, as a person's decision.
    type: bool
    default: false
seealso:
  - module: cutover.bluegreen.bluegreen_pause
  - module: cutover.bluegreen.bluegreen_scale_down
"""

EXAMPLES = r"""
---
- name: Promote through an open gate
  cutover.bluegreen.bluegreen_promote:
    name: web
    namespace: shop

- name: Go back
  cutover.bluegreen.bluegreen_promote:
    name: web
    namespace: shop
    state: aborted
"""

RETURN = r"""
---
rollout:
  description: The rollout as it was seen at the end of the task, on failure too.
  returned: when the cluster could be read
  type: dict
  contains:
    name:
      description: The name of the rollout.
      type: str
      returned: always
      sample: web
    namespace:
      description: Its namespace.
      type: str
      returned: always
      sample: shop
    phase:
      description: V(Progressing), V(Paused), V(Healthy) or V(Degraded).
      type: str
      returned: always
      sample: Healthy
    stage:
      description: The last of the nine stages of a release that was reached.
      type: str
      returned: always
      sample: retired
    message:
      description: One sentence for people.
      type: str
      returned: always
      sample: revision 2 is stable and serves all users
    target:
      description: The revision that the task was about, by number and hash.
      type: dict
      returned: always
      sample: {revision: 2, hash: 3f2a9c1d0b}
    active:
      description: The revision that every active Service directs to.
      type: dict
      returned: always
      sample: {revision: 2, hash: 3f2a9c1d0b}
    stable:
      description: The last fully promoted revision.
      type: dict
      returned: always
      sample: {revision: 2, hash: 3f2a9c1d0b}
    preview:
      description: The revision that the preview Services direct to.
      type: dict
      returned: always
      sample: {revision: 2, hash: 3f2a9c1d0b}
    next_at:
      description: When the rollout goes on by itself, in RFC 3339.
      type: str
      returned: always
      sample: "2026-11-23T03:00:30.000Z"
    next_task:
      description:
        - Which module takes the rollout on from here, V(analysis), V(pause),
          V(promote), V(scale_down) or V(none).
      type: str
      returned: always
      sample: none
    cutover:
      description:
        - What was seen of the last cutover, in milliseconds from its first write and in
          ready endpoints.
      type: dict
      returned: always
      sample: {written_ms: 6, proven_ms: 31, least_ready: 3, mixed: false}
    revisions:
      description: The revisions that still exist, newest first, at most 50.
      type: list
      elements: dict
      returned: always
      sample:
        - revision: 2
          hash: 3f2a9c1d0b
          deployment: web-3f2a9c1d0b
          replicas: 3
          available: 3
          tags: [active, stable, preview]
    steps:
      description: What this task did, or would do in check mode.
      type: list
      elements: str
      returned: always
      sample: [cut over Service web to revision 2 (web-3f2a9c1d0b)]
planned:
  description: Present and true in check mode, when nothing was done.
  returned: in check mode
  type: bool
"""

from ansible_collections.cutover.bluegreen.plugins.module_utils._module import main

if __name__ == "__main__":
    main("bluegreen_promote")
