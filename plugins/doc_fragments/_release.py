# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: it may change in any release.

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  state:
    description:
      - With V(released) the manifest is released.
      - With V(restarted) the pods of the active revision are replaced, each new one
        ready before an old one goes, so that no PodDisruptionBudget is touched. It
        needs O(name) and O(namespace) only.
      - With V(ejected) the rollout becomes a plain Deployment and plain Services again,
        as they were before their first release, without restarting a pod. It needs
        O(name) and O(namespace) only.
      - With V(taken_over) what an Argo Rollout, or one of two Deployments, runs becomes
        the first revision, as O(take_over) says. The options below are those of later
        releases; those that are left out are read from what runs.
    type: str
    choices: [released, restarted, ejected, taken_over]
    default: released
  take_over:
    description:
      - What is taken over with O(state=taken_over).
      - "V({rollout: NAME}) is a blue-green Rollout of Argo Rollouts; without this
        option it is the one with the O(name) of the rollout."
      - "V({blue: NAME, green: NAME}) are two Deployments between which
        O(active_service) was switched by hand. The one that it selects is taken over,
        the other one is left as it is."
    type: raw
  argo_is_stopped:
    description:
      - Whether you have seen to it that the controller of Argo Rollouts does not run.
      - Otherwise that is looked for, during its Lease's duration of 15 seconds; where
        the Lease is not found, or cannot be read, nothing is taken over.
    type: bool
    default: false
  argo_namespace:
    description:
      - The namespace in which the controller of Argo Rollouts keeps its Lease.
    type: str
    default: argo-rollouts
  definition:
    description:
      - The application's Deployment manifest as it is. Required with
        O(state=released), unless O(workload_ref) is given.
      - A mapping, YAML text, or the path of a file. A string with a newline, or
        with a colon and a space, is text. A path is looked up in the folder that
        ansible-playbook was started in, then in Ansible's search path, on the
        controller.
      - A change of C(spec.template) is a new revision; a change of C(spec.replicas) or
        of the options below is not, except for O(config).
    type: raw
  config:
    description:
      - ConfigMaps and Secrets that belong to the revision, as a manifest or a list of
        manifests, each a mapping, YAML text (also of several documents) or a path, as
        in O(definition).
      - Each is created as C(<name>-<hash>), immutable, and every reference to it in the
        pod template of O(definition) is rewritten to that name. It is kept as long as
        the revision is, so that a rollback brings it back, and deleted with it.
      - A change of it is a new revision.
      - A manifest that nothing in the pod template refers to is refused, and so is a
        reference to a key that it does not have.
    type: raw
  workload_ref:
    description:
      - A Deployment in the namespace that is kept as the template of the revisions,
        instead of O(definition).
      - Its name, or a mapping of C(name) and C(scale_down).
      - A revision is made from its pod template, as the API server has it, whenever
        that has changed. The Deployment itself is never rolled out by a release.
      - With C(scale_down=on_success) it is scaled down to 0 pods once its users have
        moved to a revision, after O(scale_down_delay_seconds). Its size is kept in an
        annotation. With C(never), the default, it is left as it is.
      - A Deployment that is paused, or owned by another object, is refused.
    type: raw
  active_service:
    description:
      - The Service that users reach. Required with O(state=released).
      - A name, a manifest (created if absent), or a list of either.
    type: raw
  preview_service:
    description:
      - The Service that shows the new revision to a few users before it is promoted.
      - A name, a manifest (created if absent), or a list of either.
    type: raw
  other_services:
    description:
      - Names of Services that may select the pods of every revision, such as one for
        metrics.
      - Any Service that would select the new revision's pods and is not declared is
        refused by name.
    type: list
    elements: str
    default: []
  accept_field_manager:
    description:
      - Field managers that may own C(spec.selector) of the Services by server-side
        apply, because they were told to ignore that field.
    type: list
    elements: str
    default: []
  preview_replica_count:
    description:
      - How many pods the new revision has before promotion.
      - If not given, as many as after it.
    type: int
  scale_up_steps:
    description:
      - The sizes through which the new revision grows before promotion, as counts or
        percentages of its size before promotion.
      - Each step is ready before the next.
    type: list
    elements: str
    default: ["100%"]
  scale_up_interval_seconds:
    description: How long each step is held before the next, in seconds.
    type: int
    default: 0
  auto_promotion_enabled:
    description: Whether the release is promoted without a person's decision.
    type: bool
    default: true
  auto_promotion_seconds:
    description: The pause before the release is promoted by itself, in seconds.
    type: int
    default: 0
  scale_down_delay_seconds:
    description:
      - How long the old revision is kept at its size after the promotion, in seconds.
      - V(0) scales it down at once, V(-1) never.
    type: int
    default: 30
  scale_down_delay_revision_limit:
    description:
      - How many old revisions keep their delay; older ones are scaled down at once.
      - If not given, all of them.
    type: int
  abort_scale_down_delay_seconds:
    description:
      - How long an aborted revision is kept at its size, in seconds.
      - V(0) scales it down at once, V(-1) never.
    type: int
    default: 30
  on_failure:
    description:
      - What becomes of a release that does not pass an analysis, or its progress
        deadline with O(progress_deadline_abort).
      - V(abort) brings the users back to the stable revision.
      - V(hold) leaves everything where it is for a person to look at. The task fails,
        and so does every later run, until the release is aborted, promoted in full, or
        its manifest is deployed again, which measures it anew.
      - A cutover is never held half done. There the release is aborted.
    type: str
    choices: [abort, hold]
    default: abort
  preview_when_idle:
    description:
      - What the preview Services select while no update is in flight.
      - V(stable) is the stable revision, V(none) nothing at all, so that whoever gets
        an answer knows that the new revision gave it.
    type: str
    choices: [stable, none]
    default: stable
  gate_first_deploy:
    description:
      - Whether the very first release passes its analyses and its pause, too.
      - Until it is promoted, the active Services select nothing.
      - It has nothing to go back to, so where it fails it is held.
    type: bool
    default: false
  progress_deadline_seconds:
    description:
      - How long the release may go without another pod becoming available, in seconds.
      - If not given, the manifest's C(progressDeadlineSeconds), else 600.
    type: int
  progress_deadline_abort:
    description: Whether a release that misses its progress deadline is aborted.
    type: bool
    default: false
  min_ready_seconds:
    description:
      - How long a pod must be ready to count as available, in seconds.
      - If not given, the manifest's C(minReadySeconds), else 0.
    type: int
  revision_history_limit:
    description: How many scaled-down revisions are kept for a way back.
    type: int
    default: 10
  rollback_window:
    description:
      - How many revisions back a rollback needs neither analysis nor pause, even where
        the revision has been scaled down already.
      - If not given, only one that is still within its scale-down delay needs none.
    type: int
  retry_aborted:
    description:
      - Whether a revision that was aborted is tried again when its manifest is
        deployed again. If not, the task fails; that is for scheduled runs.
    type: bool
    default: true
  analysis_templates:
    description:
      - AnalysisTemplates and ClusterAnalysisTemplates as Argo Rollouts has them, for
        the analyses below.
      - A mapping, YAML text of one or more documents, the path of a file, or a
        list of these.
      - Files are read as they are, so placeholders of arguments in them stay;
        elsewhere mark the text C(!unsafe).
      - A template that is named and not given is looked up in the cluster.
    type: raw
  pre_promotion_analysis:
    description:
      - What measures the new revision while it is scaled up. It must succeed before the
        promotion; if it fails, the release is aborted.
      - The name of a template, V(pods) for the built-in one, a list of names, or a
        mapping with the keys C(templates), C(args), C(dry_run) and
        C(measurement_retention).
      - The very first release is not measured.
    type: raw
  post_promotion_analysis:
    description:
      - What measures the new revision once it serves all users. If it fails, the old
        revision takes them back, which is kept until then.
      - Given as O(pre_promotion_analysis).
    type: raw
  hooks:
    description:
      - What runs at points of the release, a list of hooks.
      - Each has C(name) (lower-case letters, digits and hyphens), C(at), and one of
        C(webhook), C(job) and C(tasks).
      - C(at) is C(before) or C(after) and one of the stages V(started), V(created),
        V(previewed), V(analysed), V(paused), V(promoted), V(verified) and V(retired);
        or V(on pause), V(on abort), V(on failure) or V(on rollback).
      - C(webhook) has C(url) (or C(url_secret), C(name) and C(key) of a Secret),
        C(headers) and C(body), fields that are sent beside those of the release.
      - C(job) has the C(spec) of a Kubernetes Job.
      - C(tasks) is the path of a file with Ansible tasks on the controller, which
        the role includes.
      - C(timeout_seconds) (300) is for each attempt, C(retries) (0) how many more there
        are, ten seconds after one that failed.
      - C(on_failure) is V(abort), V(hold) (everything stays where it is for a person)
        or V(ignore). Where a release cannot be aborted any more, it is V(ignore).
      - C(past_no_return=true), from V(after verified) on, says that no earlier revision
        can take the users back once the hook has succeeded.
    type: raw
  drain_http:
    description:
      - A request to each pod of an old revision before it is scaled down, which tells
        it to close what it holds, such as its kept-alive connections.
      - A mapping with C(port) (the number or the name of a container port), C(path)
        and C(method), V(GET) (if not given) or V(POST). It goes through the API
        server to the pod itself. A status of 400 or more is a failure.
      - A pod may be told more than once. One that cannot be told is named in a
        warning, is tried again, and ends at O(drain_timeout_seconds) all the same.
      - What is asked for here and in the five options below stands with the revision,
        and holds when that one ends. An old revision whose own release asked for none
        of it ends as the present release asks.
    type: raw
  drain_exec:
    description:
      - A command in each pod, with the same purpose and the same rules as
        O(drain_http). Both may be given.
      - A list, or a mapping with C(command) (a list) and C(container) (the pod's
        default one if not given). No shell is added. It must end within 10 seconds,
        with 0.
    type: raw
  drain:
    description:
      - An analysis of the old revision which says when it has closed what it held,
        and so may go before O(drain_timeout_seconds). C(podTemplateHashValue)
        V(Latest) is its own hash here.
      - It is measured until it is successful. However else it ends, it is measured
        again, at most until the timeout.
      - Given as O(pre_promotion_analysis).
    type: raw
  drain_timeout_seconds:
    description:
      - How long an old revision drains at most, in seconds from when its first pods
        were told.
      - With O(drain_http) or O(drain_exec) and no O(drain) it drains exactly that
        long, because nothing says when it is over.
    type: int
    default: 60
  scale_down_steps:
    description:
      - The sizes at which an old revision ends, as numbers of pods or percentages of
        its size, falling. The last is 0 and may be left out.
    type: list
    elements: str
    default: ["0"]
  scale_down_interval_seconds:
    description: How long each of these sizes is held, in seconds.
    type: int
    default: 0
  pdb:
    description:
      - What the PodDisruptionBudget of each revision asks for, as a mapping with
        C(minAvailable) or C(maxUnavailable), and C(unhealthyPodEvictionPolicy) if
        wanted.
      - One is kept for each revision that has pods, so that a drain of nodes counts
        their pods apart. Any other PodDisruptionBudget over the same pods is refused by
        name, because two of them make every eviction fail.
      - If not given, none is kept.
    type: raw
  active_metadata:
    description:
      - Labels and annotations that the pods of the active revision carry, as a mapping
        with C(labels), C(annotations) or both.
      - They are put on the pods of a new revision in place of O(preview_metadata) once
        its cutover is proven, and taken from those of the revision before it once the
        new one is stable. No pod is restarted. They are no part of the revision.
      - A key that the pod template has, too, gets its own value back.
      - Labels by which the definition, or an active or preview Service, selects pods
        are refused.
    type: raw
  preview_metadata:
    description:
      - Labels and annotations that the pods of a new revision carry from their creation
        until it is promoted or aborted. Given as O(active_metadata).
    type: raw
  anti_affinity:
    description:
      - Keeps the pods of a new revision off the nodes that run the stable one. Either
        C(required), an empty mapping, or C(preferred) with a C(weight) from 1 to 100.
        The names that Kubernetes has for them, which end in
        C(DuringSchedulingIgnoredDuringExecution), are accepted, too.
      - It is no part of the revision, and is taken from its pod template once it is
        promoted, or aborted. No pod is restarted.
    type: raw
  cutover:
    description:
      - How the active Services are moved, at a promotion and on the way back.
      - V(atomic) writes each selector once. With one EndpointSlice a Service, all of
        its endpoints change in one write.
      - V(overlap) lets each Service select both revisions, waits until the endpoints of
        the new one are in its EndpointSlices, holds for O(overlap_seconds), and
        then directs it to the new one alone. Both serve meanwhile, and every other
        revision ends its pods before.
      - V(auto) is V(overlap) where one write is a mixed window itself. That is with a
        Service of type LoadBalancer, a traffic policy C(Local), or more than one
        EndpointSlice. Else it is V(atomic). The task says which, and why.
    type: str
    choices: [auto, atomic, overlap]
    default: auto
  overlap_seconds:
    description:
      - How long both revisions serve in an overlap, in seconds. It should cover the
        time that a load balancer needs to find a new target healthy.
    type: int
    default: 10
  route:
    description:
      - The HTTPRoute of the namespace (Gateway API, C(gateway.networking.k8s.io/v1))
        through which users come. O(active_service) are then the two Services that it
        refers to.
      - A cutover is one update of its weights, from 100 and 0 to 0 and 100, in every
        rule that refers to the two. It was seen once every parent of the route says
        C(Accepted) and C(ResolvedRefs) of that update. A parent that refuses it has
        the weights put back. Rules that refer to neither are left alone.
      - Each of the two Services selects one revision. The one without users is directed
        to the next revision; the other one is not touched, so a load balancer keeps
        its healthy targets.
      - O(cutover) says nothing about a route, and is refused with one.
    type: str
  probe:
    description:
      - Requests that this task sends to the active Service from before a promotion
        until it was seen, on new and on reused connections. What they met is in
        RV(cutover.bluegreen.bluegreen_info#module:rollout).
      - The address at which users reach the active Service from where this task runs,
        or a mapping with C(url) and, if wanted, C(rate) (requests a second of each
        kind, at most 50; 20 if not given), C(timeout_seconds) (2), C(settle_seconds)
        (how long they go on after the last write, 5), C(host) (the Host header),
        C(version_header) (a header of the answer that tells the versions apart),
        C(ca_cert) (PEM text) and C(insecure).
      - No answer, and a status of 500 or more, is an error. No request is sent again.
    type: raw
  probe_max_errors:
    description:
      - How many of these requests may fail. One more aborts the release, and the old
        revision takes the users back.
      - If not given, they are only counted.
    type: int
  until:
    description:
      - How far this task goes.
      - With V(promoted) it promotes the new revision itself where neither a scale-up
        step nor an analysis nor a pause lies between; else it ends at V(previewed) all
        the same.
      - With V(verified) it goes on through the post-promotion analysis.
    type: str
    choices: [previewed, promoted, verified]
    default: previewed
"""
