#!/usr/bin/python
# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: bluegreen_info
short_description: Show a blue-green rollout
version_added: 1.0.0
author:
  - The cutover.bluegreen contributors (@cutover-bluegreen)
description:
  - Reads a rollout and returns it as data and as a tree for people.
  - Can watch it until it rests, and fail on a phase that is not expected.
  - Writes nothing to the cluster.
extends_documentation_fragment:
  - cutover.bluegreen._rollout
  - cutover.bluegreen._wait
  - cutover.bluegreen._auth
  - cutover.bluegreen._attributes
options:
  show:
    description:
      - Whether to show the tree on the screen, too.
    type: bool
    default: false
  watch:
    description:
      - Whether to show the tree at each change, at most one a second, until the rollout
        rests.
      - It rests where a person has to decide, and where no run drives it. While a run
        drives it, also through a countdown or a scale-down delay, it does not.
      - A run counts as gone if it was not seen renewing its lock for 15 seconds, or if
        it ran on this machine and has ended.
    type: bool
    default: false
  watch_timeout_seconds:
    description:
      - How long to watch at most; the task fails if the rollout does not rest by then.
      - 0 is for as long as it takes.
    type: int
    default: 0
  expect:
    description:
      - The phases that are right. In any other one, and where there is no such rollout,
        the task fails, after it has watched if O(watch) is set.
      - If empty, every phase is right.
    type: list
    elements: str
    choices: [Healthy, Paused, Degraded, Progressing]
    default: []
  status_file:
    description:
      - The path of a file on the controller that gets C(rollout), C(exists), C(tree)
        and C(rest) as JSON, also where the task fails because of O(expect) or
        O(watch_timeout_seconds).
      - It is replaced in one step, keeps the mode that it has, and gets C(0600)
        otherwise. A relative path is relative to the folder that ansible-playbook
        was started in.
      - A report is no change of anything managed, so the task is not V(changed) by it.
        In check mode it is not written.
    type: path
attributes:
  check_mode:
    details: It only reads; O(status_file) is not written.
  diff_mode:
    support: N/A
    details: It changes nothing in the cluster.
seealso:
  - module: cutover.bluegreen.bluegreen_rollout
"""

EXAMPLES = r"""
---
- name: Show the rollout as a tree
  cutover.bluegreen.bluegreen_info:
    name: web
    namespace: shop
    show: true

- name: Read the rollout
  cutover.bluegreen.bluegreen_info:
    name: web
    namespace: shop
  register: status

- name: Watch the release that another job drives, and fail unless it is healthy then
  cutover.bluegreen.bluegreen_info:
    name: web
    namespace: shop
    watch: true
    watch_timeout_seconds: 1800
    expect: [Healthy]
    status_file: rollout.json
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
        - V(hook) where a task file is to be included and its outcome told with
          M(cutover.bluegreen.bluegreen_hook).
      type: str
      returned: always
      sample: none
    hook:
      description:
        - The hook whose task file is to be included now, with C(name), C(at), C(tasks)
          (its path), C(timeout_seconds), C(attempt) and C(id); none at any other time.
      type: dict
      returned: always
      sample: null
    hooks:
      description:
        - The hooks of the release in flight, or of the last one, by their names, with
          C(at), C(phase) (V(Pending), V(Running), V(Successful) or V(Failed)),
          C(attempts), C(seconds), C(started_at), C(finished_at) and C(message), what
          each answered.
      type: dict
      returned: always
    cutover:
      description:
        - What was seen of the last cutover. Instants are in milliseconds from its first
          write.
        - C(cutover) and C(why) say how the Services moved, C(written_ms) when the last
          one was written, C(proven_ms) when all of their endpoints were the new
          revision's, C(least_ready) the fewest ready endpoints of any of them, and
          C(mixed_ms) for how long two revisions were among them.
        - C(services) has the same for each Service, with C(versions), every change of
          its endpoints.
        - C(probe), where requests were sent, has C(requests), C(errors),
          C(first_error), C(longest_gap_ms) and C(versions) of those on C(new) and on
          C(reused) connections.
        - With a route, C(taken_in_ms) tells when its parents had accepted the weights.
      type: dict
      returned: always
      sample:
        cutover: atomic
        why: the endpoints of each Service change in one write
        written_ms: 6
        proven_ms: 31
        mixed_ms: 0
        least_ready: 3
        services:
          web:
            written_ms: 6
            proven_ms: 31
            mixed_ms: 0
            least_ready: 3
            versions:
              - {ms: 0, ready: 3, new: 0}
              - {ms: 31, ready: 3, new: 3}
    analysis:
      description:
        - The analyses of the release in flight, or of the last one, by V(pre-promotion)
          and V(post-promotion), and that of the old revision by V(drain), with their
          phase, and for each metric its counts and last measurements.
      type: dict
      returned: always
      sample:
        pre-promotion:
          phase: Running
          metrics: {success-rate: {phase: Running, successful: 3}}
    drain:
      description:
        - The old revision that ends at the moment, with the instant C(until) which it
          drains at most, the pods that were C(told) and those C(untold) with the
          reason, and the last C(values) of its analysis. None if none does.
      type: dict
      returned: always
      sample:
        revision: 1
        hash: 0d41c7a2be
        until: "2026-11-23T03:01:30.000Z"
        ended: false
        told: [web-0d41c7a2be-6f7d9-x2x4q]
        untold: {}
        values: {in-flight: "4"}
        why: its scale-down delay is over
    rollback_to:
      description: The revisions that a rollback can go to, and how fast it would be.
      type: list
      elements: dict
      returned: always
      sample:
        - {revision: 1, hash: 0d41c7a2be, age_seconds: 86400, how: at once}
    revisions:
      description:
        - The revisions that still exist, newest first, at most 50.
        - C(config) names the ConfigMaps and Secrets that belong to the revision.
      type: list
      elements: dict
      returned: always
      sample:
        - revision: 2
          hash: 3f2a9c1d0b
          deployment: web-3f2a9c1d0b
          replicas: 3
          available: 3
          images: [registry.example/web:2]
          config: [ConfigMap settings-3f2a9c1d0b]
          created: "2026-11-23T02:58:56Z"
          tags: [active, stable, preview]
    history:
      description:
        - The releases that have ended, newest first, at most 50.
        - C(outcome) is V(promoted), V(aborted) or V(superseded), and C(why) goes on
          after it.
        - C(by) is who started the release, C(seconds) how long it took.
        - C(verdicts) has each of its analyses by V(pre-promotion) and
          V(post-promotion), with the C(phase) and how many measurements of all of its
          metrics were C(successful), C(failed), C(inconclusive) and C(error); what is
          0 is left out.
        - What the version that wrote an entry did not keep is empty or none.
      type: list
      elements: dict
      returned: always
      sample:
        - revision: 2
          hash: 3f2a9c1d0b
          started: "2026-11-23T02:58:55.000Z"
          ended: "2026-11-23T03:00:30.000Z"
          seconds: 95
          outcome: promoted
          why: as approved by process 4711 on build-7
          by: alice@build-7 (AWX job 812)
          verdicts: {pre-promotion: {phase: Successful, successful: 5}}
    steps:
      description: What this task did, or would do in check mode.
      type: list
      elements: str
      returned: always
      sample: [cut over Service web to revision 2 (web-3f2a9c1d0b)]
rest:
  description: Why the rollout rests, as a clause.
  returned: with O(watch), when it came to rest
  type: str
  sample: it is Healthy
exists:
  description: Whether anything of the rollout exists.
  returned: when the cluster could be read
  type: bool
tree:
  description:
    - The rollout, its Services, revisions and pods, a line each, and below them the
      five releases that ended last.
  returned: when the cluster could be read
  type: list
  elements: str
"""

from ansible_collections.cutover.bluegreen.plugins.module_utils._module import main

if __name__ == "__main__":
    main("bluegreen_info")
