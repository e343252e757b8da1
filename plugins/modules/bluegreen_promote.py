#!/usr/bin/python
# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: bluegreen_promote
short_description: Direct the active Service to the new revision, or back
version_added: 1.0.0
author:
  - The cutover.bluegreen contributors (@cutover-bluegreen)
description:
  - Promotes the release in flight. It proves the new revision's endpoints, directs
    every active Service to it, and sees that their EndpointSlices list no other
    revision.
  - A post-promotion analysis that is due is left to
    M(cutover.bluegreen.bluegreen_analysis), unless O(until=verified).
  - Promotes only through an open gate. While the pause before promotion lasts it writes
    nothing and returns the phase V(Paused), unless O(approve=true).
  - With O(state=aborted) it goes back to the stable revision, which never depends on
    the new one.
  - With O(state=rolled_back) it releases an earlier revision again, from what is kept
    of it in the cluster. One that still runs within its scale-down delay, or is within
    the rollback window, needs neither analysis nor pause.
  - Where another run drives the rollout, that run is asked to promote or abort, and
    does it at once.
extends_documentation_fragment:
  - cutover.bluegreen._rollout
  - cutover.bluegreen._secrets
  - cutover.bluegreen._expected
  - cutover.bluegreen._wait
  - cutover.bluegreen._auth
  - cutover.bluegreen._attributes
options:
  state:
    description:
      - Whether to promote the release in flight, to abort it, or to go back to an
        earlier revision.
    type: str
    choices: [promoted, aborted, rolled_back]
    default: promoted
  to_revision:
    description:
      - With O(state=rolled_back) the revision to go back to, by its number or hash.
      - If not given, the one that was stable before the present one.
    type: str
  past_no_return:
    description:
      - With O(state=rolled_back), whether to go back although a hook of a later
        revision has done what earlier ones cannot work with (C(past_no_return) of
        O(cutover.bluegreen.bluegreen_rollout#module:hooks)).
    type: bool
    default: false
  full:
    description:
      - With O(approve=true), whether to skip what is left of analysis and pauses. The
        proofs are never skipped.
    type: bool
    default: false
  approve:
    description:
      - Whether to open the gate, as a person's decision.
      - It also accepts an analysis that has ended inconclusive.
    type: bool
    default: false
  until:
    description:
      - How far this task goes. With V(verified) it goes on through the post-promotion
        analysis.
    type: str
    choices: [promoted, verified]
    default: promoted
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

- name: Go back to the revision that was stable before
  cutover.bluegreen.bluegreen_promote:
    name: web
    namespace: shop
    state: rolled_back
    until: verified
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
    main("bluegreen_promote")
