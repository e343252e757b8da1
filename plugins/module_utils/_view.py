# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was asked of a rollout and seen of it, with what follows from both.

Pure: no I/O and no clock. Private to the collection: it may change in any release.
"""

from __future__ import annotations

import dataclasses
import typing as t
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from . import _names as names
from ._analysis.state import INCONCLUSIVE, POST_PROMOTION, PRE_PROMOTION, SUCCESSFUL
from ._history import PROMOTED as ENDED_PROMOTED
from ._history import ended_as
from ._model import ROUTE, Observed, Revision, ServiceSeen, describe
from ._parameters import ATOMIC, AUTO, NOTHING, OVERLAP, Parameters
from ._stages import ANALYSED, PAUSED, RETIRED, STABLE, VERIFIED, at_least
from ._steps import Event, Note


@dataclass(frozen=True)
class Want:
    """What is asked of the machine."""

    # The stage to reach.
    goal: str
    # The revision it is about; none means the one in flight.
    hash: str | None = None
    # The release parameters of a deploy; without them nothing is created or revived.
    deploy: Parameters | None = None
    approve: bool = False
    abort: bool = False
    # Whether the deploy is a way back, which may need no gates.
    rollback: bool = False
    # Whether a release that is held is tried again.
    retry: bool = False
    # Whether to skip what is left of analysis and pauses, as a person's decision.
    full: bool = False
    # Whether to stay for countdowns and delays.
    inline: bool = True
    # Whether a person is asked, so that it stays where only a person can decide.
    attended: bool = False
    # Who asks, as people know them.
    by: str = ""
    # The hooks of a deploy that has become an abort: without a Deployment nothing else
    # tells them.
    hooks: str = ""


def as_abort(want: Want) -> Want:
    """The way back from what was wanted, which was aborted on its way."""
    hooks = want.deploy.hooks if want.deploy is not None else want.hooks
    return dataclasses.replace(want, goal=STABLE, deploy=None, abort=True, hooks=hooks)


def full_size(parameters: Parameters, active: Revision | None) -> int:
    """How many pods a revision has when it serves everyone.

    What the active revision runs now where a HorizontalPodAutoscaler has changed it,
    or a person has raised it; else the manifest's number, one if it gives none. Never
    beyond what the autoscaler allows.
    """
    size = _size_of_active(parameters, active)
    if active is None or active.limits is None:
        return size
    least, most = active.limits
    return min(max(size, least), most)


def _size_of_active(parameters: Parameters, active: Revision | None) -> int:
    wanted = parameters.replicas
    if active is None or active.replicas == 0:
        return 1 if wanted is None else wanted
    if wanted is None:
        return active.replicas
    planned = active.parameters.replicas if active.parameters else None
    if active.replicas == planned:
        return wanted
    if active.autoscaled:
        return active.replicas
    unchanged = active.parameters is None or wanted == planned
    return max(wanted, active.replicas) if unchanged else wanted


def is_quick_way_back(
    revision: Revision, parameters: Parameters, seen: Observed, now: datetime
) -> bool:
    """Whether a rollback to a revision needs neither analysis nor pause.

    As Argo Rollouts has it: it still runs within its scale-down delay, or fewer than
    ``rollback_window`` revisions lie between it and the stable one.
    """
    stable = seen.revision(seen.record.stable)
    if stable is None or revision.aborted or revision.number >= stable.number:
        return False
    at, drain = seen.record.retire_at.get(revision.hash), seen.record.drain
    drains = (
        drain is not None and drain.revision == revision.hash and drain.ended_at is None
    )
    whole = drains or at is None or now < at
    if revision.replicas > 0 and whole:
        return True
    between = [r for r in seen.revisions if revision.number < r.number < stable.number]
    window = parameters.rollback_window
    return window is not None and len(between) < window


def previous_stable(seen: Observed) -> Revision | None:
    """The revision that was stable before the present one, if it still exists."""
    present = seen.record.stable or seen.active_hash
    promoted = [
        seen.revision(str(entry.get("hash")))
        for entry in reversed(seen.record.history)
        if ended_as(entry)[0] == ENDED_PROMOTED
    ]
    by_number = sorted(seen.revisions, key=lambda r: -r.number)
    for revision in (*promoted, *by_number):
        if revision is None or revision.aborted or revision.hash == present:
            continue
        return revision
    return None


def selectors_of_move(
    services: t.Iterable[ServiceSeen], revision_hash: str
) -> dict[str, t.Any]:
    """Each selector before and after Services are directed to a revision."""
    return {
        s.name: {
            "before": dict(s.selector),
            # Of a route these are its weights, and what they are to lead to.
            "after": {**s.original, names.LABEL_HASH: revision_hash},
        }
        for s in services
    }


class View:
    """One question to the machine, with what follows from it."""

    def __init__(self, want: Want, seen: Observed, now: datetime) -> None:
        self.want = want
        self.seen = seen
        self.now = now
        self.record = seen.record

    @cached_property
    def active(self) -> Revision | None:
        """The revision that every active Service directs to."""
        return self.seen.revision(self.seen.active_hash)

    @cached_property
    def in_flight_hash(self) -> str | None:
        """The revision of a release that has begun and not ended."""
        if self.seen.record_exists:
            if self.record.stage in (STABLE, VERIFIED, RETIRED):
                return None
            return self.record.revision or None
        newest = max(self.seen.revisions, key=lambda r: r.number, default=None)
        if newest is None or newest.aborted or newest.hash == self.seen.active_hash:
            return None
        return newest.hash

    @cached_property
    def target_hash(self) -> str | None:
        """The revision that this run is about."""
        present = self.in_flight_hash or self.seen.active_hash
        if present is None and self.seen.revision(self.record.stable) is not None:
            # Somebody else took the active Services away from it.
            present = self.record.stable
        return self.want.hash or present

    @cached_property
    def target(self) -> Revision | None:
        """The revision that this run is about, if its Deployment exists."""
        return self.seen.revision(self.target_hash)

    @cached_property
    def stable(self) -> Revision | None:
        """The last fully promoted revision: where an abort goes back to."""
        recorded = self.seen.revision(self.record.stable)
        if recorded is not None:
            return recorded
        if self.active is not None and self.active.hash != self.in_flight_hash:
            return self.active
        leaving = {self.in_flight_hash}
        if self.want.deploy is not None or self.want.abort:
            leaving.add(self.target_hash)
        earlier = [
            r for r in self.seen.revisions if r.hash not in leaving and not r.aborted
        ]
        return max(earlier, key=lambda r: r.number, default=None)

    @cached_property
    def first(self) -> bool:
        """Whether nothing was ever released before the target."""
        # Of one that somebody has deleted, the Services still tell.
        served = self.seen.targets(names.ROLE_ACTIVE) - {None, names.NO_REVISION}
        earlier = {r.hash for r in self.seen.revisions if not r.aborted} | served
        return self.record.stable == "" and earlier <= {self.target_hash}

    @cached_property
    def gates_first(self) -> bool:
        """Whether the target is the first one and is to pass its gates all the same."""
        return self.first and self.parameters.gate_first_deploy

    @cached_property
    def needs_no_gates(self) -> bool:
        """Whether the target passes neither analysis nor pause: the very first one has
        nothing to go back to.
        """
        return self.fast or (self.first and not self.gates_first)

    @cached_property
    def is_active(self) -> bool:
        """Whether every active Service directs to the target."""
        return (
            self.target_hash is not None and self.seen.active_hash == self.target_hash
        )

    @cached_property
    def in_flight(self) -> bool:
        """Whether the record is about the target, and its release has not ended."""
        return (
            self.record.revision == self.target_hash
            and self.record.stage not in (STABLE, VERIFIED, RETIRED)
            and self.seen.record_exists
        )

    @property
    def another_in_flight(self) -> bool:
        """Whether the release in flight is of another revision than the target."""
        return self.in_flight_hash not in (None, self.target_hash)

    @cached_property
    def parameters(self) -> Parameters:
        """The release parameters in force."""
        if self.want.deploy is not None:
            return self.want.deploy
        if self.target is not None and self.target.parameters is not None:
            return self.target.parameters
        # They cannot be read, and might have asked for a person's decision.
        return Parameters(auto_promotion_enabled=False)

    @cached_property
    def parameters_in_force(self) -> Parameters:
        """Those that old revisions are kept and ended by."""
        if self.want.deploy is None and self.active and self.active.parameters:
            return self.active.parameters
        return self.parameters

    def parameters_to_end(self, revision: Revision) -> Parameters:
        """How an old revision ends: as its own release asked, which knows what its
        pods understand; where that asked for nothing, as the present one asks.
        """
        own = revision.parameters
        if own is not None and own.ends_gently:
            return own
        return self.parameters_in_force

    @cached_property
    def full(self) -> int:
        """The target's size when it serves everyone."""
        if self.is_active and self.target is not None:
            return self.target.replicas
        serving = self.active
        # In the middle of a cutover there is no one active revision.
        if serving is None and self.stable and self.stable.hash != self.target_hash:
            serving = self.stable
        return full_size(self.parameters, serving)

    @cached_property
    def newest_number(self) -> int:
        """The number that the record gives the target, if it is the newest indeed."""
        given = self.record.last_number
        taken = max((r.number for r in self.seen.revisions), default=0)
        return given if given > taken else self.seen.next_number

    def analysis_text(self, kind: str) -> str:
        """The composed analysis of that kind; empty if none is asked for."""
        return "" if self.needs_no_gates else self.parameters.analysis(kind)

    @property
    def fast(self) -> bool:
        """Whether the release in flight passes neither analysis nor pause."""
        return self.in_flight and self.record.fast

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes that the target passes through before its promotion."""
        return (self.full,) if self.fast else self.parameters.step_sizes(self.full)

    def is_inconclusive(self, kind: str) -> bool:
        """Whether that analysis has ended without a verdict: a person decides."""
        state = self.record.analysis.get(kind)
        return state is not None and state.phase == INCONCLUSIVE

    @cached_property
    def gate_open(self) -> bool:
        """Whether the target may be promoted once it is analysed."""
        if self.needs_no_gates or self.record.approved or self.want.approve:
            return True
        p = self.parameters
        if not p.auto_promotion_enabled or self.is_inconclusive(PRE_PROMOTION):
            return False
        if p.auto_promotion_seconds == 0:
            return True
        return self.record.promote_at is not None and self.now >= self.record.promote_at

    @cached_property
    def serving(self) -> tuple[ServiceSeen, ...]:
        """The active Services that exist."""
        return tuple(s for s in self.seen.with_role(names.ROLE_ACTIVE) if s.exists)

    def proofs(self, revision_hash: str) -> tuple[ServiceSeen, ...] | None:
        """What shows each active Service's endpoints of a revision, in their order;
        none until something does for each of them.
        """
        shown = {
            s.of: s
            for s in self.seen.with_role(names.ROLE_PROOF)
            if s.target == revision_hash
        }
        if any(s.name not in shown for s in self.serving):
            return None
        return tuple(shown[s.name] for s in self.serving)

    @property
    def has_proof_to_close(self) -> bool:
        """Whether there are proof Services that are ours."""
        return any(not s.kept for s in self.seen.with_role(names.ROLE_PROOF))

    @cached_property
    def preview(self) -> tuple[ServiceSeen, ...]:
        """The preview Services that exist."""
        return tuple(s for s in self.seen.with_role(names.ROLE_PREVIEW) if s.exists)

    def preview_at_rest(self, revision: Revision) -> str:
        """What the preview Services name while that revision is stable and no update
        is in flight.
        """
        asked = revision.parameters or self.parameters
        idle = asked.preview_when_idle == NOTHING
        return names.NO_REVISION if idle else revision.hash

    def cutover_intent(self, revision_hash: str) -> dict[str, t.Any]:
        """What the record says before the active Services move."""
        if self.seen.window and self.moving_to(revision_hash):
            return dict(self.record.intent)
        how, why = self._cutover_to(revision_hash)
        return {
            "act": "promote",
            "revision": revision_hash,
            "cutover": how,
            "why": why,
            "services": selectors_of_move(
                (s for s in self.serving if s.target != revision_hash), revision_hash
            ),
        }

    def _cutover_to(self, revision_hash: str) -> tuple[str, str]:
        """How the active Services move to a revision, and why so."""
        if self.seen.window:
            return ATOMIC, "it has served all the while"
        leaving = [s for s in self.serving if s.target != revision_hash]
        if not any(s.endpoints.ready for s in leaving):
            return ATOMIC, "nothing else serves"
        if any(s.kind == ROUTE for s in leaving):
            return ATOMIC, "one update of its weights moves all users"
        if self.parameters.cutover != AUTO:
            return self.parameters.cutover, "as asked for"
        for service in (*leaving, *(self.proofs(revision_hash) or ())):
            if service.mixes:
                return OVERLAP, f"Service {service.name} {service.mixes}"
        return ATOMIC, "the endpoints of each Service change in one write"

    def moving_to(self, revision_hash: str | None) -> bool:
        """Whether the record declares a cutover to that revision."""
        intent = self.record.intent
        return intent.get("act") == "promote" and (
            intent.get("revision") == revision_hash
        )

    @property
    def must_be_confirmed(self) -> bool:
        """Whether a post-promotion analysis has not let the target pass yet."""
        if not self.analysis_text(POST_PROMOTION):
            return False
        if self.is_inconclusive(POST_PROMOTION):
            return not (self.record.approved or self.want.approve)
        state = self.record.analysis.get(POST_PROMOTION)
        return state is None or state.phase != SUCCESSFUL

    @property
    def is_to_be_measured(self) -> bool:
        """Whether an analysis stands between the target and the goal."""
        if not self.in_flight or self.want.abort:
            return False
        before = bool(self.analysis_text(PRE_PROMOTION)) and not at_least(
            self.record.stage, ANALYSED
        )
        after = self.must_be_confirmed
        return (before and at_least(self.want.goal, ANALYSED)) or (
            after and at_least(self.want.goal, VERIFIED)
        )

    @property
    def cutting_over(self) -> bool:
        """Whether the record declares that active Services may direct to the revision
        in flight: its promotion, behind its gate, or the way back from it.
        """
        hash_, record = self.in_flight_hash, self.record
        if self.moving_to(hash_):
            return record.stage != PAUSED or record.approved or self.gate_open
        if self.stable is not None and self.moving_to(self.stable.hash):
            return True
        intent = record.intent
        return intent.get("act") == "abort" and intent.get("revision") == hash_

    def note(
        self, say: str = "", events: tuple[Event, ...] = (), **changes: t.Any
    ) -> Note:
        """A change of the record; ``say`` goes into its timeline, too."""
        record = dataclasses.replace(self.record, **changes)
        if say:
            record = record.noted(self.now, say)
        return Note(record, say, events)

    def name(self) -> str:
        """The target, as messages name it."""
        return describe(self.target, f"revision {self.target_hash}")
