# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state machine: what to do next, from what was asked and what was seen.

Pure: no I/O and no clock. Each rule returns a step, or none if it has nothing to
say; the first that speaks wins, so their order is the design.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import dataclasses
import typing as t
from datetime import datetime, timedelta

from . import _decide_drain, _decide_hooks, _decide_overlay
from . import _history as ended_releases
from . import _names as names
from ._analysis.state import (
    DRAIN,
    POST_PROMOTION,
    PRE_PROMOTION,
    AnalysisState,
)
from ._decide_config import keep_config
from ._decide_cutover import (
    await_published,
    close_window,
    lost_in_window,
    move,
    never_leave_open,
    open_proof,
    prove,
    prove_after,
    wait,
    wait_for_pods,
)
from ._decide_failure import can_go_back, stay_held
from ._drain import Drain
from ._history import ABORTED, SUPERSEDED
from ._model import ROUTE, SERVICE, Observed, Revision, ServiceSeen, describe, listed
from ._parameters import NEVER, Parameters
from ._record import Record, Request
from ._stages import (
    ANALYSED,
    CREATED,
    DEGRADED,
    HEALTHY,
    PAUSED,
    PHASE_PAUSED,
    PREVIEWED,
    PROGRESSING,
    PROMOTED,
    RETIRED,
    STABLE,
    STARTED,
    VERIFIED,
    at_least,
)
from ._steps import (
    ROLLOUT_ABORTED,
    ROLLOUT_UPDATED,
    CloseProof,
    CreateRevision,
    CreateServices,
    Delete,
    Done,
    EndWorkload,
    Event,
    Fail,
    KeepBudget,
    MarkAborted,
    Note,
    Point,
    RemoveBudget,
    Retarget,
    Revive,
    Scale,
    Step,
    UpdateParameters,
    Wait,
)
from ._view import View, Want, is_quick_way_back, selectors_of_move

# Each task has a clock of its own, set by a header that counts whole seconds: the next
# one may still see a countdown run that the one before it saw end.
CLOCK_GRAIN = timedelta(seconds=2)


Rule: t.TypeAlias = "t.Callable[[View], Step | None]"


def decide(want: Want, seen: Observed, now: datetime) -> Step:
    """The next step towards the goal."""
    view = View(want, seen, now)
    decided = _decided(view)
    step = _decide_hooks.heed(view, decided)
    return _awake_for_the_end(view, step)


def _decided(view: View) -> _decide_hooks.Decided:
    for rule in _RULES:
        step = rule(view)
        if step is not None:
            retires = rule is _retire_due
            forward = retires or rule in _FORWARD
            return _decide_hooks.Decided(step, forward, retires)
    return _decide_hooks.Decided(Done())


def _awake_for_the_end(view: View, step: Step) -> Step:
    """Whatever is waited for: an old revision that ends goes on meanwhile."""
    if view.record.drain is None or not isinstance(step, Wait):
        return step
    instants = (step.wake, _decide_drain.wake_at(view))
    return dataclasses.replace(step, wake=min(filter(None, instants), default=None))


def close_what_others_opened(want: Want, seen: Observed, now: datetime) -> Step:
    """The step that goes before any refusal: users are where nobody decided."""
    step = _close_what_others_opened(View(want, seen, now))
    return Done() if step is None or isinstance(step, Fail) else step


def finish_changes(want: Want, seen: Observed, now: datetime) -> Step:
    """The step that ends what another run has begun to change of a pod template."""
    return _decide_overlay.finish(View(want, seen, now)) or Done()


# -- what others opened between runs is closed first ---------------------------------


def _close_what_others_opened(view: View) -> Step | None:
    return _close_window(view) or _close_strays(view)


def _close_window(view: View) -> Step | None:
    """A run was ended while two revisions served: one of them serves on, alone."""
    if view.seen.window or not any(s.wide for s in view.serving):
        return None
    home, intent = _home(view), view.record.intent
    to = None
    if intent.get("act") == "promote":
        to = view.seen.revision(intent.get("revision"))
    both = [r for r in (home, to) if r is not None]
    # Where as many pods are up, the one that users had before.
    best = max(both, key=lambda r: (r.available, r is home), default=None)
    if best is None or best.available == 0:
        return None
    return close_window(view, best)


def _close_strays(view: View) -> Step | None:
    seen = view.seen
    strays = [s for s in view.serving if _is_stray(view, s)]
    if not strays or not seen.revisions:
        return None
    home = _home(view)
    if home is None or all(s.target == home.hash for s in strays):
        return None
    which = listed(strays)
    deleted = all(s.target and seen.revision(s.target) is None for s in strays)
    if home.available < 1 and deleted:
        return _miss_active(view, which, home)
    if home.available < 1:
        return Fail(
            f"{which} does not direct to a revision that this rollout"
            f" promoted, and {describe(home)}, the stable one, has no available pod to"
            " go back to; bring it up or run the abort playbook once it is up.",
            evidence=home.hash,
        )
    step = _show_home(view, strays, home)
    if step is not None:
        return step
    return Point(
        tuple(s.name for s in strays),
        home.hash,
        "somebody deleted the Deployment that it was directed to"
        if deleted
        else f"its {_what_directs(strays)} changed by somebody else",
    )


def _what_directs(services: t.Iterable[ServiceSeen]) -> str:
    return "weights were" if any(s.kind == ROUTE for s in services) else "selector was"


def _show_home(
    view: View, strays: t.Iterable[ServiceSeen], home: Revision
) -> Step | None:
    """A route can only be directed to where one of its Services shows endpoints."""
    if all(s.kind == SERVICE for s in strays):
        return None
    proofs = view.proofs(home.hash)
    if proofs is None:
        return open_proof(view, home)
    for proof in proofs:
        if not proof.endpoints.ready:
            what = f"endpoints of {describe(home)} as {listed([proof])} sees them"
            return wait(view, home, 0, f"{what}: none ready")
    return None


def _home(view: View) -> Revision | None:
    """Where our last decision directed the users."""
    promoted = view.seen.revision(view.in_flight_hash)
    if (
        view.seen.record_exists
        and view.record.stage == PROMOTED
        and not view.cutting_over
        and promoted is not None
        and not promoted.aborted
        and promoted.available > 0
    ):
        return promoted
    return view.stable


def _miss_active(view: View, services: str, home: Revision) -> Step | None:
    """Nobody is reached: a release or the way back goes on, and ends it."""
    if view.want.deploy is not None or view.in_flight_hash is not None:
        return None
    return Fail(
        f"{services} directs to a revision whose Deployment somebody deleted,"
        f" and {describe(home)} has no available pod to go back to; run the deploy"
        " playbook with a manifest, or the rollback playbook.",
        degrades=True,
    )


def _is_stray(view: View, service: ServiceSeen) -> bool:
    """Whether an active Service directs where no decision of ours directed it."""
    revision, home = view.seen.revision(service.target), view.stable
    if service.wide and view.seen.window:
        return False
    if revision is None or revision.aborted:
        return True
    if revision.replicas == 0 and home is not None and home.available > 0:
        return True
    if service.target != view.in_flight_hash or view.cutting_over:
        return False
    return view.seen.record_exists and not at_least(view.record.stage, PROMOTED)


def _miss_services(view: View) -> Step | None:
    """Without an active Service there is nothing to prove and nothing to direct."""
    if view.want.deploy is not None or not view.seen.revisions:
        return None
    active = view.seen.with_role(names.ROLE_ACTIVE)
    if active and (
        view.want.abort and view.serving or len(view.serving) == len(active)
    ):
        return None
    absent = [s for s in active if not s.exists]
    found = f"{listed(absent)} does not exist" if absent else "no Service is known"
    if any(s.kind == ROUTE for s in absent):
        found = f"{listed(absent)}, or each of its two Services, does not exist"
    return Fail(
        f"{found}, to which this rollout directs its users; run the deploy playbook,"
        " which knows the active Service."
    )


# -- an abort --------------------------------------------------------------------------


def _heed_request(view: View) -> Step | None:
    request = view.record.request
    if request is None:
        return None
    if request.revision != view.in_flight_hash:
        return view.note(request=None)
    if request.verb == "abort":
        return None
    full = request.verb == "promote_full"
    if full:
        step = _stop_analyses(view, "what is left was skipped")
        if step is not None:
            return step
    how = "promotion in full" if full else "promotion"
    return view.note(
        f"{how} was approved by {request.by}",
        request=None,
        approved=True,
        held="" if full else view.record.held,
        approved_by=request.by,
        fast=full or view.record.fast,
        promote_at=None,
        phase=PROGRESSING,
    )


def _abort(view: View) -> Step | None:
    request = view.record.request
    asked = (
        request is not None
        and request.verb == "abort"
        and request.revision == view.target_hash
    )
    target, stable = view.target, view.stable
    marked = target is not None and target.aborted
    # An earlier run began to abort it, and was ended before it was done.
    unfinished = marked and view.in_flight and view.want.deploy is None
    if not (view.want.abort or asked or unfinished):
        return None
    ended = view.seen.record_exists and view.record.stage == STABLE
    same = view.record.revision == view.target_hash
    if ended and (marked or (target is None and same)):
        return None
    lost = marked and not view.seen.record_exists
    if not (view.in_flight or lost or (target and view.in_flight_hash == target.hash)):
        return Fail(
            f"There is no release in flight to abort:"
            f" {describe(view.active)} is active; use a deploy of an earlier manifest"
            " to go back."
        )
    if stable is None or stable.hash == view.target_hash:
        refusal = (
            f"{view.name()} is the first one: there is no earlier revision to go back"
            " to; deploy a corrected manifest instead."
        )
        if not view.want.abort and asked:
            return view.note(f"Not aborted: {refusal}", request=None)
        return Fail(refusal)
    return _go_back(view, stable, asked_by=request.by if asked and request else "")


def _go_back(view: View, stable: Revision, asked_by: str) -> Step:
    """Active back first, then the preview, then the target is marked and left."""
    target = view.target
    if view.seen.targets(names.ROLE_ACTIVE) - {stable.hash}:
        return _bring_back(view, stable)
    if stable.replicas == 0:
        planned = stable.parameters.replicas if stable.parameters else None
        return Scale(stable.hash, planned or 1, "it must carry all users again")
    if view.moving_to(stable.hash):
        # Seen to serve again: how many more it needs is no reason to keep the target.
        return prove_after(view, stable, 1) or view.note(intent={})
    step = _rest_preview(view, stable, f"{view.name()} is aborted")
    if step is not None:
        return step
    if target is not None and not target.aborted:
        return MarkAborted(target.hash)
    step = _stop_analyses(view, "the release was aborted")
    if step is not None:
        return step
    if view.has_proof_to_close:
        return CloseProof()
    by = f" by {asked_by}" if asked_by else ""
    serves = _how_it_serves(view, stable)
    message = f"{view.name()} was aborted{by}; {describe(stable)} {serves}"
    about = dataclasses.replace(view.record, revision=view.target_hash or "")
    asker = asked_by or (view.want.by if view.want.abort else "")
    closed = about.closed(
        view.now,
        ABORTED,
        target.number if target else 0,
        f"by {asker}" if asker else "",
    )
    retire_at = dict(view.record.retire_at)
    delay = view.parameters.abort_scale_down_delay_seconds
    if delay != NEVER and target is not None and target.replicas > 0:
        retire_at[target.hash] = view.now + timedelta(seconds=delay)
    retire_at.pop(stable.hash, None)
    record = dataclasses.replace(
        closed,
        stage=STABLE,
        phase=DEGRADED,
        message=message,
        active=stable.hash,
        stable=stable.hash,
        preview=_shown_at_rest(view, stable),
        retire_at=retire_at,
    )
    return Note(
        record.noted(view.now, message),
        message,
        (Event(ROLLOUT_ABORTED, message, warning=True),),
    )


def _how_it_serves(view: View, stable: Revision) -> str:
    if stable.available == 0:
        return "is active and has no available pod"
    for service in view.serving:
        if service.refused:
            return f"is active again, and {listed([service])}: {service.refused}"
    return "serves all users"


def _bring_back(view: View, stable: Revision) -> Step:
    """The active Services back to the stable revision, which passes the proof first."""
    intent = view.record.intent
    if intent.get("act") != "abort" and not view.moving_to(stable.hash):
        left: dict[str, t.Any] = {}
        if not view.seen.record_exists:
            # From here on only the record tells which of the two is left.
            left = {
                "revision": view.target_hash,
                "stage": STARTED,
                "phase": PROGRESSING,
                "stable": stable.hash,
            }
        return view.note(
            f"{view.name()} is aborted: {describe(stable)} takes the users back",
            intent={"act": "abort", "revision": view.target_hash},
            # Whoever runs next goes on with it, should this run be ended.
            request=view.record.request or Request("abort", view.target_hash or ""),
            progress_at=None,
            progress_available=0,
            **left,
        )
    # In a window it has carried all users up to now.
    carried = 0
    if view.target is not None and not view.seen.window:
        carried = view.target.replicas
    size = max(carried, stable.replicas, 1)
    if stable.replicas < size:
        return Scale(stable.hash, size, "it must carry all users again")
    # Not one less than users have now, but no more either: where the target has
    # broken down, each further pod that is waited for is one more second without.
    need = max(1, *(len(s.endpoints.ready) for s in view.serving))
    need = min(need, size)
    if stable.available < need:
        return _or_stay(view, wait_for_pods(view, stable, need))
    step = prove(view, stable, need)
    return _or_stay(view, step) if step is not None else move(view, stable, need)


def _or_stay(view: View, step: Step) -> Step:
    """Where the way back is not proven, users stay, and the failure says so."""
    if not isinstance(step, Fail):
        return step
    away = [s for s in view.serving if s.target == view.target_hash]
    stay = f"{_listed(away)} directs to {view.name()}" if away else "nothing was moved"
    message = f"{step.message} Users stay where they are: {stay}."
    return dataclasses.replace(step, message=message)


def _heed_probe(view: View) -> Step | None:
    """Users would meet what our own requests have met: back to what served them."""
    probed, most = view.seen.probed, view.parameters.probe_max_errors
    target, record = view.target, view.record
    if probed is None or most is None or probed.errors <= most or target is None:
        return None
    if not can_go_back(view) or record.request is not None:
        return None
    found = (
        f"{probed.errors} of {probed.requests} requests through the active Service"
        f" failed ({probed.first_error}), {most} may"
    )
    return view.note(
        found, request=Request("abort", target.hash, f"its probe: {found}")
    )


def _skip_gates(view: View) -> Step | None:
    """A person promotes in full: what is left of analysis and pauses is skipped."""
    if not view.want.full or not view.in_flight or view.record.fast:
        return None
    step = _stop_analyses(view, "what is left was skipped")
    if step is not None:
        return step
    return view.note(
        "promotion in full was approved",
        approved=True,
        approved_by=view.want.by,
        fast=True,
        promote_at=None,
        phase=PROGRESSING,
    )


# -- what is the users' own and acts on the pods ---------------------------------------


def _retarget(view: View) -> Step | None:
    """The autoscaler follows the users, once they were seen to have moved."""
    home = view.active
    if home is None or view.record.active != home.hash:
        return None
    for autoscaler in view.seen.autoscalers:
        if autoscaler.target != home.deployment:
            return Retarget(autoscaler.name, home.hash)
    return None


def _keep_budgets(view: View) -> Step | None:
    """One PodDisruptionBudget for each revision with pods whose release asks for it."""
    have, known = view.seen.budgets, {r.hash for r in view.seen.revisions}
    for revision in view.seen.revisions:
        present = have.get(revision.hash, "")
        wanted = _budget_of(view, revision, present)
        if wanted == present:
            continue
        if wanted:
            return KeepBudget(revision.hash, wanted)
        return RemoveBudget(revision.hash)
    gone = sorted(set(have) - known)
    return RemoveBudget(gone[0]) if gone else None


def _budget_of(view: View, revision: Revision, present: str) -> str:
    """What its release asks for; what it has, where that cannot be read any more."""
    if revision.replicas == 0:
        return ""
    parameters = revision.parameters
    if view.want.deploy is not None and revision.hash == view.target_hash:
        parameters = view.want.deploy
    return present if parameters is None else parameters.pdb


# -- a release begins ------------------------------------------------------------------


def _supersede(view: View) -> Step | None:
    """Another revision is wanted while one is in flight: that one ends here."""
    old = view.in_flight_hash
    if view.want.deploy is None or not view.another_in_flight or old is None:
        return None
    revision = view.seen.revision(old)
    if revision is not None and not revision.aborted:
        if view.seen.active_hash == old:
            return None
        return MarkAborted(old)
    if not view.seen.record_exists:
        return None
    step = _stop_analyses(view, f"revision {view.target_hash} supersedes it")
    if step is not None:
        return step
    number = revision.number if revision else 0
    successor = f"by revision {_number_to_start(view)}"
    closed = view.record.closed(view.now, SUPERSEDED, number, successor)
    retire_at = dict(view.record.retire_at)
    delay = NEVER if revision is None else _delay_of(view, revision)
    if delay != NEVER and revision is not None and revision.replicas > 0:
        retire_at[old] = view.now + timedelta(seconds=delay)
    say = f"{describe(revision, f'revision {old}')} is superseded"
    settled = dataclasses.replace(
        closed,
        stage=STABLE,
        phase=PROGRESSING,
        message=say,
        retire_at=retire_at,
    )
    return Note(settled.noted(view.now, say), say)


def _start(view: View) -> Step | None:
    """The record says ``started`` before anything else is written."""
    if view.want.deploy is None or view.target_hash is None:
        return None
    if view.in_flight and not _begins_anew(view):
        return None
    if view.is_active and view.target is not None:
        return None
    number = _number_to_start(view)
    # What users have now is what they go back to.
    before = view.active or view.stable
    say = f"revision {number} ({view.target_hash}) starts"
    fast = (
        view.want.rollback
        and view.target is not None
        and is_quick_way_back(view.target, view.parameters, view.seen, view.now)
    )
    if fast:
        say = f"{say}: a way back that needs no gates"
    deadline = timedelta(seconds=view.parameters.progress_deadline_seconds)
    return view.note(
        say,
        (Event(ROLLOUT_UPDATED, f"Rollout updated to revision {number}"),),
        revision=view.target_hash,
        stage=STARTED,
        phase=PROGRESSING,
        message=f"revision {number} is being created",
        active=view.seen.active_hash or "",
        stable="" if before is None or view.first else before.hash,
        last_number=max(number, view.record.last_number),
        started_at=view.now,
        started_by=view.want.by,
        rolls_back=before.number if before and view.want.rollback else 0,
        promote_at=None,
        approved=False,
        held="",
        approved_by="",
        fast=fast,
        scale_at=None,
        scale_from=0,
        progress_at=view.now + deadline,
        progress_available=0,
        request=None,
        cutover={},
        analysis=_of_what_ends(view),
        drain=_left(view),
        intent=_intent_of_start(view, view.target_hash),
        retire_at={
            k: v for k, v in view.record.retire_at.items() if k != view.target_hash
        },
    )


def _number_to_start(view: View) -> int:
    """The number of the revision that is wanted; a new one where it begins anew."""
    if view.target is not None and not _must_revive(view, view.target):
        return view.target.number
    return view.seen.next_number


def _of_what_ends(view: View) -> dict[str, AnalysisState]:
    """The analysis of an old revision goes on beside the new release."""
    state = view.record.analysis.get(DRAIN)
    return {} if state is None or view.record.drain is None else {DRAIN: state}


def _left(view: View) -> Drain | None:
    """A revision that is wanted again is drained no more."""
    drain = view.record.drain
    if drain is None or drain.revision != view.target_hash:
        return drain
    return dataclasses.replace(drain, left=True)


def _intent_of_start(view: View, revision_hash: str) -> dict[str, t.Any]:
    if view.is_active:
        # Somebody deleted its Deployment: users are directed to it all the while.
        return view.cutover_intent(revision_hash)
    preview = view.seen.with_role(names.ROLE_PREVIEW)
    return {
        "act": "create",
        "revision": revision_hash,
        "services": selectors_of_move(preview, revision_hash),
    }


def _begins_anew(view: View) -> bool:
    """Whether what the record says of the target is about one that is no more: an
    approval, a countdown or a step that it passed opens nothing for the next.
    """
    gone = view.target is None or view.target.aborted
    return gone and (view.record.stage != STARTED or view.record.approved)


def _must_revive(view: View, target: Revision) -> bool:
    """Whether an existing revision is released again, under a new number."""
    if target.aborted:
        return True
    return view.active is not None and target.number < view.active.number


def _create(view: View) -> Step | None:
    deploy = view.want.deploy
    if deploy is None or view.target_hash is None:
        return None
    if view.target is None:
        # Where nothing serves yet there is nobody to be gentle to, and a Service that
        # directs to it already would take its first step for the whole.
        at_once = (view.first and not view.gates_first) or view.is_active
        size = view.full if at_once else view.sizes[0]
        overlay = _decide_overlay.overlay_in_flight(view)
        return CreateRevision(view.target_hash, view.newest_number, size, overlay)
    if view.in_flight and not view.is_active and _must_revive(view, view.target):
        step = _decide_overlay.before_revival(view, view.target)
        return step or Revive(view.target_hash, view.newest_number, view.sizes[0])
    absent = tuple(
        s.name for s in view.seen.services if not s.exists and s.kind == SERVICE
    )
    if absent and not _reaches_users(view):
        shut = tuple(s.name for s in view.seen.with_role(names.ROLE_ACTIVE))
        shut = tuple(name for name in shut if name in absent)
        if shut:
            return CreateServices(shut, names.NO_REVISION)
    if absent:
        home = view.active or (None if view.first else view.stable) or view.target
        return CreateServices(absent, home.hash)
    return None


def _shut_first(view: View) -> Step | None:
    """No user reaches the pods of the first revision before it has passed its gates:
    the active Services select nothing until then, not whatever has their labels.
    """
    if not view.in_flight or _reaches_users(view):
        return None
    # What users reach already, stays within their reach.
    plain = tuple(
        s.name
        for s in view.serving
        if s.kind == SERVICE and s.target is None and not s.endpoints.ready
    )
    why = "nobody reaches the first revision before it is promoted"
    return Point(plain, names.NO_REVISION, why) if plain else None


def _reaches_users(view: View) -> bool:
    """Whether the target may be reached by whoever reaches an active Service."""
    return not view.gates_first or view.cutting_over or view.is_active


def _update_parameters(view: View) -> Step | None:
    deploy, target = view.want.deploy, view.target
    if deploy is None or target is None or target.parameters == deploy:
        return None
    before = target.parameters.replicas if target.parameters else None
    changed = deploy.replicas is not None and deploy.replicas != before
    resize = view.is_active and changed and not target.autoscaled
    if resize and view.record.progress_at is None:
        return _expect_pods(view, deploy)
    return UpdateParameters(target.hash, deploy, deploy.replicas if resize else None)


def _restore_size(view: View) -> Step | None:
    """What somebody scaled down at rest, a deploy of its manifest brings back."""
    deploy, target = view.want.deploy, view.target
    if deploy is None or target is None or not view.is_active:
        return None
    if view.in_flight or view.another_in_flight or target.autoscaled:
        return None
    planned = 1 if deploy.replicas is None else deploy.replicas
    if target.replicas >= planned:
        return None
    if view.record.progress_at is None:
        return _expect_pods(view, deploy)
    return Scale(target.hash, planned, "somebody scaled it down")


def _expect_pods(view: View, parameters: Parameters) -> Note:
    deadline = timedelta(seconds=parameters.progress_deadline_seconds)
    return view.note(progress_at=view.now + deadline, progress_available=0)


def _correct_active(view: View) -> Step | None:
    """The record names the revision that users are seen to be directed to."""
    active, recorded = view.active, view.record.active
    if active is None or recorded in ("", active.hash) or view.cutting_over:
        return None
    return view.note(active=active.hash) if view.seen.record_exists else None


# -- old revisions go ------------------------------------------------------------------


def _old_revisions(view: View) -> list[Revision]:
    """Revisions that nobody needs any more, newest first."""
    kept = {view.seen.active_hash, view.record.stable}
    if view.in_flight_hash is not None:
        kept.add(view.in_flight_hash)
        kept.add(view.stable.hash if view.stable else None)
    if view.want.deploy is not None:
        kept.add(view.target_hash)
    old = [r for r in view.seen.revisions if r.hash not in kept]
    return sorted(old, key=lambda r: r.number, reverse=True)


def _running_old(view: View) -> list[Revision]:
    return [r for r in _old_revisions(view) if r.replicas > 0]


def _delay_of(view: View, revision: Revision) -> int:
    p = view.parameters_in_force
    if revision.aborted:
        # What its own release said: the active revision's parameters are older.
        return (revision.parameters or p).abort_scale_down_delay_seconds
    return p.scale_down_delay_seconds


def _retire_due(view: View) -> Step | None:
    if view.seen.active_hash is None:
        return None
    running = _running_old(view)
    step = _decide_drain.leave(view, running)
    if step is not None:
        return step
    limit = view.parameters_in_force.scale_down_delay_revision_limit
    for position, revision in enumerate(running):
        at = view.record.retire_at.get(revision.hash)
        why = ""
        if at is not None and view.now >= at:
            why = "its scale-down delay is over"
        elif limit is not None and position >= limit:
            why = f"only {limit} old revisions keep their delay"
        step = _decide_drain.end(view, revision, why) if why else None
        if step is not None:
            return step
    return None


def _end_workload(view: View) -> Step | None:
    """Its users have moved: the Deployment that is only a template needs no pods."""
    workload, at = view.seen.workload, view.record.workload_at
    at_rest = view.in_flight_hash is None and view.active is not None
    if workload is None or not workload.ends_on_success or not at_rest:
        return None
    if workload.replicas == 0:
        return None if at is None else view.note(workload_at=None)
    if at is None:
        # As with an old revision: not every node has followed yet.
        delay = max(view.parameters_in_force.scale_down_delay_seconds, 0)
        return view.note(workload_at=view.now + timedelta(seconds=delay))
    if view.now < at:
        what = f"Deployment {workload.name} keeps its pods"
        stays = view.want.goal == RETIRED and view.want.inline
        return Wait(what, at, "until it is scaled down") if stays else None
    return EndWorkload(workload.name, f"{describe(view.active)} serves its users")


def _schedule_retirement(view: View) -> Step | None:
    """Each old revision that still runs gets the instant at which it is scaled down."""
    if view.seen.active_hash is None:
        return None
    if view.in_flight_hash is not None and not view.seen.record_exists:
        # A record of this alone would say that nothing is in flight.
        return None
    running = _running_old(view)
    alive = {r.hash for r in running}
    retire_at = {k: v for k, v in view.record.retire_at.items() if k in alive}
    for revision in running:
        delay = _delay_of(view, revision)
        if revision.hash not in retire_at and delay != NEVER:
            retire_at[revision.hash] = view.now + timedelta(seconds=delay)
    if retire_at == view.record.retire_at:
        return None
    return view.note(retire_at=retire_at)


# -- an update in flight ---------------------------------------------------------------


def _reach_first_step(view: View, target: Revision) -> Step | None:
    first_step = view.sizes[0]
    if target.replicas < first_step:
        return Scale(target.hash, first_step, "first step of the scale-up")
    if view.proofs(target.hash) is None:
        return open_proof(view, target)
    if view.record.stage == STARTED:
        return view.note(stage=CREATED)
    if at_least(view.record.stage, PREVIEWED):
        return None
    if target.available < first_step:
        return wait_for_pods(view, target, first_step)
    return prove(view, target, first_step)


def _direct_preview(view: View, to: str, why: str) -> Step | None:
    """The preview Services that direct elsewhere, to what has that hash."""
    away = tuple(s.name for s in view.preview if s.target != to)
    return Point(away, to, why) if away else None


def _rest_preview(view: View, stable: Revision, why: str = "") -> Step | None:
    """The preview Services to what they show between updates."""
    to = view.preview_at_rest(stable)
    if to == names.NO_REVISION:
        return _direct_preview(view, to, why or "it shows nothing between updates")
    why = why or "it shows the stable revision between updates"
    return _direct_preview(view, to, why)


def _shown_at_rest(view: View, stable: Revision) -> str:
    """The revision that the preview Services show between updates; empty: none."""
    shown = view.preview_at_rest(stable)
    return shown if view.preview and shown != names.NO_REVISION else ""


def _show_preview(view: View, target: Revision) -> Step | None:
    why = f"{describe(target)} is shown to a few users"
    step = _direct_preview(view, target.hash, why)
    if step is not None:
        return step
    if at_least(view.record.stage, PREVIEWED):
        return None
    return view.note(
        f"{describe(target)} is created, inactive"
        + (" and shown by " + _listed(view.preview) if view.preview else ""),
        stage=PREVIEWED,
        preview=target.hash if view.preview else "",
        message=f"revision {target.number} is previewed",
        intent={},
    )


def _listed(services: t.Iterable[ServiceSeen]) -> str:
    return ", ".join(f"{s.kind} {s.name}" for s in services)


def _analyse(view: View, target: Revision) -> Step | None:
    """Step 5: the target grows while it is measured; each due timer moves either."""
    if at_least(view.record.stage, ANALYSED):
        return None
    growth = _grow(view, target)
    if not at_least(view.want.goal, ANALYSED):
        pending = growth is not None or view.analysis_text(PRE_PROMOTION)
        return Done() if pending else _analysed(view, target)
    if isinstance(growth, Fail):
        return _stop_analyses(view, "the scale-up failed") or growth
    measuring = _measure(view, PRE_PROMOTION)
    if measuring is None:
        return growth or _analysed(view, target)
    if isinstance(measuring, Wait) and isinstance(growth, Wait):
        return dataclasses.replace(growth, wake=measuring.wake)
    # What was measured goes before the next step of the scale-up: it may forbid it.
    waits = isinstance(measuring, Wait) and growth is not None
    return growth if waits else measuring


def _measure(view: View, kind: str) -> Step | None:
    """The next step of an analysis; none once it lets the release go on."""
    if not view.analysis_text(kind):
        return None
    from . import _decide_analysis

    return _decide_analysis.next_step(view, kind)


def _stop_analyses(view: View, why: str) -> Step | None:
    if not view.record.analysis:
        return None
    from . import _decide_analysis

    return _decide_analysis.stop(view, why)


def _grow(view: View, target: Revision) -> Step | None:
    """Scale up step by step, each ready before the next, until the last is ready."""
    last = view.sizes[-1]
    if target.replicas >= last and target.available >= last:
        return None
    if target.available < min(target.replicas, last):
        return wait_for_pods(view, target, target.replicas)
    interval = timedelta(seconds=view.parameters.scale_up_interval_seconds)
    record = view.record
    if interval and record.scale_from != target.replicas:
        return view.note(
            scale_at=view.now + interval,
            scale_from=target.replicas,
            progress_at=None,
            message=f"revision {target.number} has {target.replicas}/{last} pods",
        )
    if record.scale_at is not None and view.now < record.scale_at:
        what = f"{describe(target)} holds at {target.replicas}/{last} pods"
        return Wait(what, record.scale_at, "until the next step of the scale-up")
    following = next(s for s in view.sizes if s > target.replicas)
    return Scale(target.hash, following, "next step of the scale-up")


def _analysed(view: View, target: Revision) -> Step:
    """Step 5 is over: on to the promotion, or into the pause before it."""
    if view.gate_open:
        return view.note(
            stage=ANALYSED,
            intent=view.cutover_intent(target.hash),
            scale_at=None,
            progress_at=None,
            progress_available=0,
            message=f"revision {target.number} may be promoted",
        )
    p = view.parameters
    if p.auto_promotion_enabled:
        until = view.now + timedelta(seconds=p.auto_promotion_seconds)
        say = f"paused before promotion for {p.auto_promotion_seconds} s"
    else:
        until = None
        say = "paused before promotion until it is promoted or aborted"
    return view.note(
        say,
        (Event("RolloutPaused", f"Revision {target.number} is {say}"),),
        stage=PAUSED,
        phase=PHASE_PAUSED,
        message=f"revision {target.number} is {say}",
        promote_at=until,
        scale_at=None,
        progress_at=None,
        progress_available=0,
        # Nothing may move before the gate opens: whoever does is not us.
        intent={},
    )


def _pass_gate(view: View, target: Revision) -> Step | None:
    record = view.record
    if not view.gate_open:
        unset = (
            view.parameters.auto_promotion_enabled
            and record.promote_at is None
            and not view.is_inconclusive(PRE_PROMOTION)
        )
        if record.stage != PAUSED or unset:
            return _analysed(view, target)
        if record.phase != PHASE_PAUSED:
            return view.note(phase=PHASE_PAUSED)
        if _stays_for_countdown(view):
            what = f"{describe(target)} is paused before promotion"
            then = "until it is promoted by itself"
            return Wait(what, record.promote_at, then, at_gate=True)
        return _ask_or_leave(view)
    if not at_least(view.want.goal, PROMOTED):
        return Done()
    if record.stage == PAUSED and not record.approved:
        say = "promotion was approved" if view.want.approve else "the pause is over"
        return view.note(
            say,
            approved=True,
            approved_by=view.want.by if view.want.approve else "",
            promote_at=None,
            phase=PROGRESSING,
        )
    return None


def _ask_or_leave(view: View) -> Step:
    """Stay where a person is asked; elsewhere a later run goes on."""
    if not view.want.attended:
        return Done()
    return Wait(f"{view.name()} waits for a decision", at_gate=True)


def _stays_for_countdown(view: View) -> bool:
    """Whether this task waits until the release goes on by itself."""
    at = view.record.promote_at
    counts = view.parameters.auto_promotion_enabled
    if at is None or not counts or not view.want.inline:
        return False
    nearly_over = at - view.now <= CLOCK_GRAIN
    return view.want.goal in (PAUSED, RETIRED) or nearly_over


def _promote(view: View, target: Revision) -> Step | None:
    step: Step | None = lost_in_window(view, target)
    if step is None and target.replicas < view.full:
        return Scale(target.hash, view.full, "full size before promotion")
    if step is None and target.available < view.full:
        step = wait_for_pods(view, target, view.full)
    step = step or prove(view, target, view.full) or await_published(view, target)
    step = step or move(view, target, view.full)
    return never_leave_open(view, step)


def _update(view: View) -> Step | None:
    target = view.target
    if target is None:
        return _miss_target(view)
    if view.is_active or target.aborted:
        return None
    if not view.in_flight and view.in_flight_hash != target.hash:
        return None
    if not view.seen.record_exists and view.want.deploy is None:
        return Fail(
            f"{describe(target)} is in flight and its record is gone, so it is not"
            " known what it has passed; run the deploy playbook with its manifest, or"
            " abort it."
        )
    if view.record.phase not in (PROGRESSING, PHASE_PAUSED):
        anew = {k: s for k, s in view.record.analysis.items() if not s.stopped}
        return view.note(phase=PROGRESSING, analysis=anew)
    for rule in (
        _decide_overlay.while_previewed,
        _reach_first_step,
        _show_preview,
        _analyse,
        _pass_gate,
        _promote,
    ):
        step = rule(view, target)
        if step is not None:
            return step
    return None


def _miss_target(view: View) -> Step | None:
    if not view.in_flight or view.want.deploy is not None:
        return None
    return Fail(
        f"{view.name()} is in flight and its Deployment is gone; run the deploy"
        " playbook with its manifest, or abort it."
    )


# -- after the cutover -----------------------------------------------------------------


def _verify(view: View) -> Step | None:
    """The cutover is seen to have happened; the target becomes the stable revision."""
    target, record = view.target, view.record
    if target is None or not view.is_active or view.another_in_flight:
        return None
    ended = record.stage in (VERIFIED, RETIRED) and record.revision == target.hash
    if ended and record.stable == target.hash:
        return None
    if view.seen.record_exists and record.stable == target.hash and not view.in_flight:
        return _back_to_rest(view, target)
    if record.stage == PROMOTED and view.in_flight:
        step = _confirm(view)
        if step is not None:
            return step
    step = prove_after(view, target, max(target.replicas, 1)) or _watch_on(view)
    if step is not None:
        return step
    confirmed = view.must_be_confirmed or _decide_hooks.follow_promotion(view)
    if record.stage != PROMOTED and confirmed:
        back = view.stable if view.in_flight else _way_back_without_record(view)
        if back is not None or view.gates_first:
            why = f"{describe(target)} is to be confirmed"
            shown = _direct_preview(view, target.hash, why)
            return shown or _promoted(view, target, back)
    return _rest_preview(view, target) or _verified(view, target)


def _watch_on(view: View) -> Step | None:
    """Each node follows for itself: what the requests meet is watched a little on."""
    probed = view.seen.probed
    if probed is None or probed.seconds_left <= 0:
        return None
    until = view.now + timedelta(seconds=probed.seconds_left)
    return Wait("requests watch the cutover", until, "until it counts as seen")


def _way_back_without_record(view: View) -> Revision | None:
    """The revision before the target, while it runs: nothing tells any more whether
    the target was confirmed, so it is measured again.
    """
    if view.seen.record_exists:
        return None
    running = [
        r
        for r in view.seen.revisions
        if r.hash != view.target_hash and r.replicas > 0 and not r.aborted
    ]
    return max(running, key=lambda r: r.number, default=None)


def _promoted(view: View, target: Revision, back: Revision | None) -> Note:
    """The cutover was seen; whether it was right is measured now."""
    say = f"{describe(target)} is active"
    if view.must_be_confirmed:
        say = f"{say}; the post-promotion analysis is to confirm it"
    return view.note(
        say,
        (_switched(view, target),),
        revision=target.hash,
        stage=PROMOTED,
        phase=PROGRESSING,
        message=f"revision {target.number} serves all users and is to be confirmed",
        active=target.hash,
        stable=back.hash if back is not None else "",
        # What opened the gate before the promotion accepts nothing after it.
        approved=False,
        intent={},
        progress_at=None,
        progress_available=0,
    )


def _confirm(view: View) -> Step | None:
    """Step 8: the post-promotion analysis."""
    waits = view.must_be_confirmed and not at_least(view.want.goal, VERIFIED)
    if waits:
        asks = view.is_inconclusive(POST_PROMOTION)
        return _ask_or_leave(view) if asks else Done()
    return _measure(view, POST_PROMOTION)


def _switched(view: View, target: Revision) -> Event:
    which = listed(view.seen.with_role(names.ROLE_ACTIVE))
    return Event("SwitchService", f"{which} directs to revision {target.number}")


def _verified(view: View, target: Revision) -> Note:
    switched = not view.first or view.moving_to(target.hash)
    number = target.number
    record = dataclasses.replace(
        view.record,
        revision=target.hash,
        stage=VERIFIED,
        phase=HEALTHY,
        message=f"revision {number} is stable and serves all users",
        active=target.hash,
        stable=target.hash,
        preview=_shown_at_rest(view, target),
        last_number=max(number, view.record.last_number),
    ).closed(view.now, ended_releases.PROMOTED, number, _why_promoted(view.record))
    settled = View(view.want, dataclasses.replace(view.seen, record=record), view.now)
    scheduled = _schedule_retirement(settled)
    if isinstance(scheduled, Note):
        record = scheduled.record
    say = f"{describe(target)} is active and stable"
    events: tuple[Event, ...]
    events = (Event("RolloutCompleted", f"Revision {number} is the stable revision"),)
    if switched and view.record.stage != PROMOTED:
        events = (_switched(view, target), *events)
    return Note(record.noted(view.now, say), say, events)


def _why_promoted(record: Record) -> str:
    if record.rolls_back:
        return f"as the way back from revision {record.rolls_back}"
    return f"as approved by {record.approved_by}" if record.approved_by else ""


def _back_to_rest(view: View, target: Revision) -> Step | None:
    """The stable revision is wanted and active again, after an abort or a supersede."""
    step = _rest_preview(view, target)
    if step is not None:
        return step
    if view.want.deploy is None:
        return None
    step = prove_after(view, target, max(target.replicas, 1))
    if step is not None:
        return step
    return view.note(
        revision=target.hash,
        stage=VERIFIED,
        phase=HEALTHY,
        message=f"revision {target.number} is stable and serves all users",
        active=target.hash,
        preview=_shown_at_rest(view, target),
        progress_at=None,
    )


def _settle(view: View) -> Step | None:
    """At rest: resized pods are seen ready, drift of the preview is mended."""
    target = view.target
    if target is None or not view.is_active or view.another_in_flight:
        return None
    if view.has_proof_to_close:
        return CloseProof()
    step = _rest_preview(view, target)
    if step is not None:
        return step
    if view.record.progress_at is not None:
        if target.available < target.replicas:
            return wait_for_pods(view, target, target.replicas)
        ready = view.seen.ready_behind(names.ROLE_ACTIVE)
        if _has_ended(view, target) and ready < target.replicas:
            # The slices follow the pods.
            listed = f"{ready}/{target.replicas} ready"
            what = f"endpoints of {describe(target)}: {listed}"
            return wait(view, target, ready, what)
        return view.note(progress_at=None)
    if _has_lost_all(view, target):
        return _report_loss(view, target)
    return _recover(view, target)


def _has_ended(view: View, target: Revision) -> bool:
    record = view.record
    return record.stage in (VERIFIED, RETIRED) and record.revision == target.hash


def _has_lost_all(view: View, target: Revision) -> bool:
    """Whether what is said to be stable serves nobody."""
    # An autoscaler that sleeps has its reasons.
    asleep = target.autoscaled and target.replicas == 0
    none = view.seen.ready_behind(names.ROLE_ACTIVE) == 0
    return _has_ended(view, target) and not asleep and none


def _report_loss(view: View, target: Revision) -> Step | None:
    if view.want.deploy is not None and target.replicas > 0:
        return _expect_pods(view, view.want.deploy)
    if view.record.phase == DEGRADED:
        return None
    say = f"{describe(target)} has no ready endpoint behind {_listed(view.serving)}"
    return view.note(say, phase=DEGRADED, message=say)


def _recover(view: View, target: Revision) -> Step | None:
    """A stable revision is Healthy once all of it is seen ready, whatever it was."""
    need = max(target.replicas, 1)
    ready = view.seen.ready_behind(names.ROLE_ACTIVE)
    healthy = view.record.phase == HEALTHY
    if not _has_ended(view, target) or healthy or ready < need:
        return None
    return view.note(
        phase=HEALTHY,
        message=f"revision {target.number} is stable and serves all users",
    )


def _retire(view: View) -> Step | None:
    """Wait for what is due later, then tidy up."""
    if view.seen.active_hash is None or view.in_flight_hash is not None:
        return None
    old = _old_revisions(view)
    pending = {
        h: at
        for h, at in view.record.retire_at.items()
        if any(r.hash == h and r.replicas > 0 for r in old)
    }
    if pending:
        if view.want.goal != RETIRED:
            return Done()
        ends = _decide_drain.wait(view, old)
        stays = view.want.inline or _decide_drain.is_measured(view, old)
        if ends is not None and stays:
            return ends
        if not view.want.inline:
            return Done()
        first = min(pending, key=lambda h: pending[h])
        what = f"{describe(view.seen.revision(first))} is kept for a quick way back"
        return Wait(what, pending[first], "until it is scaled down")
    limit = view.parameters_in_force.revision_history_limit
    scaled_down = [r for r in old if r.replicas == 0]
    if len(scaled_down) > limit:
        return Delete(scaled_down[-1].hash)
    if view.record.stage == VERIFIED:
        return view.note(
            "the release is complete" if scaled_down else "", stage=RETIRED
        )
    return None


_RULES: tuple[Rule, ...] = (
    _close_what_others_opened,
    _miss_services,
    _heed_request,
    _heed_probe,
    _abort,
    _skip_gates,
    _retarget,
    _decide_overlay.finish,
    _supersede,
    stay_held,
    _start,
    _shut_first,
    keep_config,
    _create,
    _keep_budgets,
    _update_parameters,
    _restore_size,
    _correct_active,
    _retire_due,
    _update,
    _decide_overlay.keep,
    _verify,
    _settle,
    _schedule_retirement,
    _end_workload,
    _retire,
)


# Those by which a release gets from one stage to the next.
_FORWARD: tuple[Rule, ...] = (_create, _update, _verify, _retire)


def next_task(want: Want, seen: Observed, now: datetime) -> str:
    """The module that takes a rollout on from here.

    :returns: ``analysis``, ``pause``, ``promote``, ``scale_down``, ``none``; or
        ``hook``: whoever runs the tasks includes a hook's task file.
    """
    view = View(want, seen, now)
    if _decide_hooks.awaited(view) is not None:
        return "hook"
    target = view.target
    if target is None or target.aborted or view.record.phase == DEGRADED:
        return _rest_task(view)
    if view.in_flight_hash == target.hash and not view.is_active:
        if not at_least(view.record.stage, ANALYSED):
            return "analysis"
        return "promote" if view.gate_open else "pause"
    if view.in_flight:
        if view.record.stage != PROMOTED or not view.must_be_confirmed:
            return "promote"
        return "pause" if view.is_inconclusive(POST_PROMOTION) else "analysis"
    return _rest_task(view)


def _rest_task(view: View) -> str:
    """What is due later, or what a run that was killed has left undone."""
    if _close_what_others_opened(view) is not None:
        return "promote"
    waits = _running_old(view)
    if view.want.inline and any(r.hash in view.record.retire_at for r in waits):
        return "scale_down"
    if _decide_drain.is_measured(view, waits):
        return "scale_down"
    if view.record.held:
        # It says what a person has to decide.
        return "promote"
    settle = Want(VERIFIED, view.target_hash, inline=view.want.inline)
    if not isinstance(decide(settle, view.seen, view.now), Done):
        return "promote"
    retire = dataclasses.replace(settle, goal=RETIRED)
    if view.want.inline and not isinstance(decide(retire, view.seen, view.now), Done):
        return "scale_down"
    return "none"
