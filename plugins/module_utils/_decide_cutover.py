# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state machine's rules about a cutover: proofs, and how the Services move. Pure.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import typing as t
from datetime import timedelta

from . import _names as names
from ._decide_failure import can_go_back, give_up
from ._model import ROUTE, Observed, Revision, ServiceSeen, describe, listed
from ._parameters import ATOMIC
from ._record import Request
from ._steps import Cutover, Fail, OpenProof, Point, Scale, Step, Wait, Widen
from ._view import View

# The ReplicaSet controller retries; a pod that it could not create for this long
# meets a quota or an admission rule, not a hiccup.
CREATE_FAILURE_GRACE = timedelta(seconds=15)


def open_proof(view: View, revision: Revision) -> Step:
    """What shows the endpoints of a revision: of a route, its Service without users."""
    for service in view.serving:
        backends = [
            s for s in view.seen.with_role(names.ROLE_PROOF) if s.of == service.name
        ]
        if service.kind != ROUTE or any(s.exists and not s.weight for s in backends):
            continue
        absent = [s for s in backends if not s.exists]
        if absent:
            return Fail(
                f"{listed(absent)} does not exist, to which HTTPRoute {service.name}"
                f" is to send the users of {describe(revision)}; run the deploy"
                " playbook with its manifest."
            )
        return Fail(
            f"HTTPRoute {service.name} sends requests to each of its Services"
            f" ({', '.join(f'{s.name} {s.weight}' for s in backends)}), so neither can"
            f" be directed to {describe(revision)}; give one of them all of the weight,"
            " then run again."
        )
    return OpenProof(revision.hash)


def prove(view: View, revision: Revision, need: int) -> Step | None:
    """Until the proof Services show that many ready endpoints of a revision."""
    proofs = view.proofs(revision.hash)
    if proofs is None:
        return open_proof(view, revision)
    for proof in proofs:
        ready = len(proof.endpoints.ready)
        if ready >= need:
            continue
        if proof.endpoints.portless:
            return Fail(
                f"{describe(revision)} has no container port by a name that an active"
                f" Service's targetPort uses (seen through Service {proof.name}), so"
                " every request to it would be refused; name the port in the"
                " manifest."
            )
        what = (
            f"endpoints of {describe(revision)} as Service {proof.name} sees them:"
            f" {ready}/{need} ready"
        )
        if proof.endpoints.partly:
            lacking = len(proof.endpoints.partly)
            what += f", {lacking} without an address of each family of the Service"
        return wait(view, revision, ready, what)
    return None


def await_published(view: View, revision: Revision) -> Step | None:
    """Until no proof Service sends requests to a pod that is not ready: where not-ready
    addresses are published, users would reach it.
    """
    for proof in view.proofs(revision.hash) or ():
        unready = len(proof.endpoints.unready)
        if unready:
            what = (
                f"Service {proof.name} publishes {unready} pods of"
                f" {describe(revision)} that are not ready"
            )
            return wait(view, revision, len(proof.endpoints.ready), what)
    return None


def nodes_without_pods(seen: Observed, revision_hash: str) -> list[str]:
    """A warning for each active Service that keeps requests on the node that they reach
    and will have no ready pod on one where it has one now.
    """
    proofs = {
        s.of: s for s in seen.with_role(names.ROLE_PROOF) if s.target == revision_hash
    }
    warnings = []
    for service in seen.with_role(names.ROLE_ACTIVE):
        proof = proofs.get(service.name)
        if not service.local or proof is None:
            continue
        left = sorted(service.endpoints.nodes - proof.endpoints.nodes)
        if left:
            revision = describe(seen.revision(revision_hash), revision_hash)
            warnings.append(
                f"Service {service.name} has {service.local} Local, and {revision} has"
                f" no ready pod on node {', '.join(left)}, where users have one now:"
                " what is sent to such a node is lost until its sender knows better."
                " Spread the pods over the nodes in the manifest"
                " (topologySpreadConstraints)."
            )
    return warnings


def wait_for_pods(view: View, revision: Revision, need: int) -> Step:
    what = f"{describe(revision)}: {revision.available}/{need} pods available"
    return wait(view, revision, revision.available, what)


def wait(view: View, revision: Revision, have: int, what: str) -> Step:
    """Wait under the progress deadline, which each newly available pod renews."""
    since = revision.failing_since
    if since is not None and view.now >= since + CREATE_FAILURE_GRACE:
        return Fail(
            f"Pods of {describe(revision)} cannot be created: {revision.failure}",
            evidence=revision.hash,
            degrades=True,
        )
    record = view.record
    seconds = view.parameters.progress_deadline_seconds
    deadline = record.progress_at
    if deadline is None or have > record.progress_available:
        return view.note(
            progress_at=view.now + timedelta(seconds=seconds),
            progress_available=max(have, record.progress_available),
        )
    if view.now < deadline:
        return Wait(what, deadline, "until its progress deadline")
    goes_back = view.parameters.progress_deadline_abort or view.is_active
    if goes_back and revision.hash == view.target_hash and can_go_back(view):
        why = f"its progress deadline of {seconds} s"
        return give_up(view, why, say=f"{what}: no progress for {seconds} s")
    return Fail(
        f"{what}; no further one became available within the progress deadline of"
        f" {seconds} s.",
        evidence=revision.hash,
        degrades=True,
    )


def prove_after(view: View, target: Revision, need: int) -> Step | None:
    proofs = view.proofs(target.hash)
    if proofs is None:
        return open_proof(view, target)
    if target.available < need:
        return wait_for_pods(view, target, need)
    proven = frozenset().union(*(s.endpoints.reached for s in proofs))
    for service in view.serving:
        ready = service.endpoints.ready
        foreign = len(service.endpoints.reached - proven)
        if foreign or len(ready) < need:
            what = (
                f"{service.kind} {service.name} moves to {describe(target)}:"
                f" {len(ready & proven)}/{need} of its endpoints seen"
                + (f", {foreign} others still listed" if foreign else "")
            )
            return wait(view, target, len(ready & proven), what)
    return _await_gateways(view, target)


def _await_gateways(view: View, target: Revision) -> Step | None:
    """A route has moved once its gateways have taken it in."""
    for service in view.serving:
        if service.refused and target.hash == view.target_hash and can_go_back(view):
            why = f"{listed([service])}: {service.refused}"
            return view.note(why, request=Request("abort", target.hash, why))
        waited_for = service.refused or service.lagging
        if service.refused and target.hash != view.target_hash:
            # The way back is over: who refuses it refused what is left, too.
            continue
        if waited_for:
            ready = len(service.endpoints.ready)
            return wait(view, target, ready, f"{listed([service])}: {waited_for}")
    return None


# -- how the active Services move ------------------------------------------------------


def move(view: View, to: Revision, need: int) -> Step:
    """The active Services to a revision that passes the proof: in one write each, or
    by way of a window in which they select it beside the present one.
    """
    record, intent = view.record, view.cutover_intent(to.hash)
    stale = record.narrow_at is not None and not view.seen.window
    if dict(record.intent) != intent or stale:
        return view.note(
            intent=intent, narrow_at=None, progress_at=None, progress_available=0
        )
    if intent["cutover"] == ATOMIC:
        return Cutover(to.hash, f"{ATOMIC}: {intent['why']}")
    if not view.seen.window or yet_to_widen(view.serving, to.hash):
        return _clear_others(view, to) or Widen(to.hash, intent["why"])
    return (
        _refuse_foreign(view, to)
        or _take_in(view, to, need)
        or _hold(view, to)
        or Cutover(to.hash, "alone: both have served together")
    )


def yet_to_widen(
    services: t.Iterable[ServiceSeen], revision_hash: str
) -> list[ServiceSeen]:
    """The Services that have yet to be widened, to take in a revision."""
    return [
        s for s in services if s.exists and not s.wide and s.target != revision_hash
    ]


def _clear_others(view: View, to: Revision) -> Step | None:
    """Every other revision ends its pods: a widened Service would select them."""
    kept = {to.hash, *(s.target for s in view.serving)}
    for revision in view.seen.revisions:
        if revision.hash in kept:
            continue
        if revision.replicas > 0:
            early = ""
            if revision.hash in view.record.retire_at:
                early = ", before its scale-down delay is over"
            why = f"its pods would get requests while two revisions serve{early}"
            return Scale(revision.hash, 0, why)
        if revision.pods > 0:
            what = f"{describe(revision)} ends its {revision.pods} pods"
            return wait(view, to, 0, what)
    return None


def _wide(view: View) -> list[ServiceSeen]:
    return [s for s in view.serving if s.wide]


def _refuse_foreign(view: View, to: Revision) -> Step | None:
    """A pod of neither revision gets requests: the window is closed at once."""
    home = view.stable
    # A way back may leave what was never seen to be active.
    ours = {to.hash, view.target_hash, view.record.active}
    ours = (ours | {home.hash} if home else ours) - {""}
    for service in _wide(view):
        foreign = [
            pod
            for pod in sorted(service.endpoints.ready)
            if view.seen.pods.get(pod, to.hash) not in ours
        ]
        if foreign and home is not None:
            return close_window(
                view,
                home,
                f"Service {service.name} sent requests to pod {foreign[0]}, which"
                f" carries the label {names.LABEL_ROLLOUT} and is of neither"
                f" {describe(home)} nor {describe(to)}; remove it, then run again.",
            )
    return None


def _take_in(view: View, to: Revision, need: int) -> Step | None:
    for service in _wide(view):
        ready = service.endpoints.ready
        have = sum(view.seen.pods.get(pod) == to.hash for pod in ready)
        if have < need:
            what = f"Service {service.name} takes in {describe(to)}: {have}/{need}"
            return wait(view, to, have, what)
        if service.pending:
            what = f"Service {service.name} takes in {describe(to)}: {service.pending}"
            return wait(view, to, have, what)
    return None


def _hold(view: View, to: Revision) -> Step | None:
    seconds, until = view.parameters.overlap_seconds, view.record.narrow_at
    if until is None:
        return view.note(
            f"{describe(to)} serves beside the other revision for {seconds} s",
            narrow_at=view.now + timedelta(seconds=seconds),
            message=f"revision {to.number} serves beside the other one for {seconds} s",
            progress_at=None,
            progress_available=0,
        )
    if view.now < until:
        return Wait("both revisions serve", until, f"until only {describe(to)} does")
    return None


def close_window(
    view: View, home: Revision, failure: str = "", evidence: str | None = None
) -> Point:
    """Every widened Service back to one revision."""
    why = (
        "the cutover failed"
        if failure
        else "a run was ended while two revisions served"
    )
    services = tuple(s.name for s in _wide(view))
    return Point(services, home.hash, why, failure, evidence)


def lost_in_window(view: View, to: Revision) -> Fail | None:
    """The new revision serves nobody any more: no reason to leave users in a window."""
    if not view.seen.window or to.available > 0:
        return None
    return Fail(
        f"{describe(to)} lost all of its available pods while both revisions served.",
        evidence=to.hash,
        degrades=True,
    )


def never_leave_open(view: View, step: Step) -> Step:
    """A promotion that fails while both revisions serve leaves the stable one alone."""
    home = view.stable
    if not isinstance(step, Fail) or not _wide(view) or home is None:
        return step
    if home.available == 0:
        return step
    return close_window(view, home, step.message, step.evidence)
