# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine: observe, decide, act, and wait for an event or a timer.

Knows nothing of Ansible. Private to the collection: it may change in any release.
"""

from __future__ import annotations

import dataclasses
import time
import typing as t
from datetime import datetime

from . import _names as names
from ._clock import ServerClock
from ._cluster import Cluster
from ._decide import View, Want, decide
from ._errors import ApiError, BluegreenError, Conflict
from ._lock import Lock
from ._manifests import Deployment
from ._model import Observed, Revision, describe
from ._record import Record, defect
from ._simulate import assume
from ._stages import PHASE_PAUSED, PROMOTED, STABLE, VERIFIED
from ._steps import (
    ROLLOUT_ABORTED,
    Act,
    CloseProof,
    CreateRevision,
    CreateServices,
    Cutover,
    Delete,
    Done,
    EndMeasurement,
    Event,
    Fail,
    KeepBudget,
    MarkAborted,
    Measure,
    Note,
    OpenProof,
    Point,
    RemoveBudget,
    Retarget,
    Revive,
    Scale,
    Step,
    UpdateParameters,
    Wait,
)

if t.TYPE_CHECKING:
    from ._analyst import Analyst
    from ._gate import Gatekeeper

Report = t.Callable[[str], None]
Rules = t.Callable[[Want, Observed, datetime], Step]

HEARTBEAT_SECONDS = 30.0
_MAX_CONFLICTS = 20
# More steps than any release has between two waits: a loop that turns in circles is
# an error of ours, and must not write for ever.
_MAX_STEPS_WITHOUT_WAIT = 200
_MAX_SLICE_VERSIONS = 200


class Aborted(BluegreenError):
    """The release was aborted while this run drove it."""


class Engine:
    """Takes one rollout to a goal, one step at a time."""

    def __init__(
        self,
        cluster: Cluster,
        clock: ServerClock,
        lock: Lock,
        report: Report,
    ) -> None:
        self.cluster = cluster
        self._clock = clock
        self._lock = lock
        self._report = report
        # The manifest of a deploy.
        self.deployment: Deployment | None = None
        self._record: Record | None = None
        self._written: Record | None = None
        self._record_version = ""
        self._events: list[tuple[Event, str]] = []
        # Set where a release may be analysed.
        self.analyst: Analyst | None = None
        # Set where a person may decide.
        self.gatekeeper: Gatekeeper | None = None
        self._flight: Flight | None = None
        self._aborted_because = ""
        self._steps_without_wait = 0
        self._conflicts = 0
        self.steps: list[str] = []
        self.changed = False
        self.warnings: list[str] = []

    # -- observing -----------------------------------------------------------------

    def observe(self) -> Observed:
        """The cluster, with what this run has noted and not yet written."""
        seen = self.cluster.observe()
        raw = self._raw_record()
        version = raw["metadata"]["resourceVersion"] if raw else ""
        if self._record is None or self._written is None:
            self._record = self._written = seen.record
            if self.complain_of_record():
                # What could be read of it is written again.
                self._written = Record()
        elif version != self._record_version:
            # Somebody else wrote it: the lock is ours, so it can only ask something.
            # All else that it says now is written over.
            request = seen.record.request
            self._record = dataclasses.replace(self._record, request=request)
            there = seen.record if raw else self._written
            self._written = dataclasses.replace(there, request=request)
            self.complain_of_record()
        self._record_version = version
        noted = self._record != self._written
        # One that names no revision is lost: what this run adds to it says what it did,
        # not where the release stood.
        known = bool(self._record.revision) and (seen.record_exists or noted)
        seen = dataclasses.replace(seen, record=self._record, record_exists=known)
        return self.analyst.look(seen) if self.analyst is not None else seen

    def complain_of_record(self) -> bool:
        """Warn of a record that cannot be read in full; whether it is one."""
        what = defect(self._raw_record().get("data") or {})
        warning = (
            f"The record, ConfigMap {names.record_name(self.cluster.rollout)}, was"
            f" changed by somebody else: {what}. What cannot be read counts as never"
            " written, and opens no gate."
        )
        if what and warning not in self.warnings:
            self.warnings.append(warning)
        return bool(what)

    # -- the loop ------------------------------------------------------------------

    def run(self, want: Want, rules: Rules = decide) -> Observed:
        """Drive until the goal, a shut gate or a failure.

        :param rules: what is next, from what is wanted and was seen.
        :returns: what was seen last.
        :raises BluegreenError: the release failed; the record says so.
        """
        self._steps_without_wait = self._conflicts = 0
        while True:
            try:
                seen = self.observe()
                if self._flight is not None:
                    self._flight.look(seen)
                step = rules(want, seen, self._clock.now())
                if isinstance(step, Done):
                    return self._arrive()
                self._count(step)
                self._take(step, seen, want)
                if _shuts_gate(step, seen):
                    # What was approved before accepts nothing that came after.
                    want = dataclasses.replace(want, approve=False)
            except Conflict as error:
                self._conflicts += 1
                if self._conflicts > _MAX_CONFLICTS:
                    raise BluegreenError(
                        f"{self.cluster.rollout}: somebody else keeps changing its"
                        f" objects ({error}); find out who, then run again."
                    ) from error
                self.cluster.reload()
            if self._aborted_because and not want.abort:
                # On as the abort that was asked for: what is due at once goes now.
                want = dataclasses.replace(want, goal=STABLE, deploy=None, abort=True)

    def _arrive(self) -> Observed:
        # Who slept through a takeover must not report what it knew before.
        self._lock.check()
        self.flush()
        if self._aborted_because:
            raise Aborted(self._aborted_because)
        return self.observe()

    def _count(self, step: Step) -> None:
        self._steps_without_wait += 1
        if isinstance(step, Wait):
            self._steps_without_wait = self._conflicts = 0
        elif self._steps_without_wait > _MAX_STEPS_WITHOUT_WAIT:
            raise BluegreenError(
                f"{self.cluster.rollout}: the release turns in circles at {step!r};"
                " please report this."
            )

    def take_lock(self) -> None:
        """Become the driver, before the first write.

        :raises Conflict: another run drove the rollout between this run's reading
            and now; what was read and noted is forgotten.
        """
        if self._lock.held:
            return
        before = self._raw_record().get("data")
        self._lock.acquire()
        self.cluster.records.load(self.cluster.api)
        if self._raw_record().get("data") != before:
            self._record = self._written = None
            self._events = []
            raise Conflict("another run has just driven it")

    def _raw_record(self) -> dict[str, t.Any]:
        name = names.record_name(self.cluster.rollout)
        return self.cluster.records.items.get(name) or {}

    def _take(self, step: Step, seen: Observed, want: Want) -> None:
        if isinstance(step, Fail):
            self._fail(step)
        elif isinstance(step, Wait):
            self._wait(step)
        elif isinstance(step, Note):
            self._note(step, want)
        elif isinstance(step, (Measure, EndMeasurement)):
            self._measure(step, seen, want)
        elif not isinstance(step, Done):
            self._act(step, seen, want)

    def _act(self, step: Act, seen: Observed, want: Want) -> None:
        self.take_lock()
        self.flush(only_significant=True)
        line = describe_step(step, seen)
        self._report(line)
        self.steps.append(line)
        if not isinstance(step, (OpenProof, CloseProof)):
            self._record = t.cast(Record, self._record).noted(self._clock.now(), line)
        self._perform(step, seen, want)
        self.changed = True

    def _measure(
        self, step: Measure | EndMeasurement, seen: Observed, want: Want
    ) -> None:
        # A measurement may create objects: only the driver takes one, and what it
        # needs to be found again is written before.
        self.take_lock()
        self.flush(only_significant=True)
        if self.analyst is None:
            raise BluegreenError(f"{step!r} without an analyst; please report this.")
        view = View(want, seen, self._clock.now())
        if isinstance(step, Measure):
            self.analyst.measure(view, step.kind, step.metric)
        else:
            self.analyst.end(view, step.kind, step.metric)

    def _note(self, note: Note, want: Want) -> None:
        record = note.record
        if note.measured is not None and self.analyst is not None:
            self.analyst.drop(note.measured)
        if record.stage in (PROMOTED, VERIFIED) and self._flight is not None:
            record = dataclasses.replace(record, cutover=self._flight.result())
            self._flight = None
        self._record = record
        revision = want.hash or record.revision
        self._events += [(event, revision) for event in note.events]
        if note.say:
            self._report(note.say)
            self.steps.append(note.say)
        aborted = any(event.reason == ROLLOUT_ABORTED for event in note.events)
        if aborted and not want.abort:
            self._aborted_because = record.message

    def act_on_own(self, line: str) -> None:
        """Say what is done, or planned, that is no step of the state machine."""
        self._report(line)
        self.steps.append(line)
        self.changed = True

    def note(self, record: Record) -> None:
        """Write a record that no step of the state machine led to."""
        self._record = record
        self.flush()

    def flush(self, only_significant: bool = False) -> None:
        """Write the record if this run has noted anything, then the Events."""
        record, written = self._record, self._written
        if record is None or written is None or record == written:
            return
        if only_significant and record.significant() == written.significant():
            return
        self.take_lock()
        self.cluster.write_record(record)
        self._written = record
        self._record_version = self._raw_record()["metadata"]["resourceVersion"]
        self.changed = True
        self._post_events()

    def _post_events(self) -> None:
        events, self._events = self._events, []
        waiting = []
        for event, revision in events:
            name = names.deployment_name(self.cluster.rollout, revision)
            if name not in self.cluster.deployments.items:
                waiting.append((event, revision))
                continue
            try:
                self.cluster.emit(event, revision)
            except ApiError as error:
                self.warnings.append(f"An Event could not be posted. {error}")
        self._events = waiting

    def _wait(self, step: Wait) -> None:
        self.flush(only_significant=True)
        self._post_events()
        if not self._lock.held:
            # Who waits to go on drives already, and is seen to: requests reach it.
            self.take_lock()
            return
        if step.at_gate and self._hear(step):
            return
        left = HEARTBEAT_SECONDS
        if step.wake is not None:
            left = min(left, (step.wake - self._clock.now()).total_seconds())
        if self.analyst is not None:
            left = min(left, self.analyst.seconds_left(HEARTBEAT_SECONDS))
        text = step.what
        if step.until is not None:
            seconds = (step.until - self._clock.now()).total_seconds()
            left = min(left, seconds)
            text = f"{text}, {max(seconds, 0):.0f} s left {step.then}".rstrip()
        self._report_wait(step.what, text)
        # The smallest pause keeps a deadline that has just passed from spinning.
        self.cluster.wait(max(left, 0.01))

    def _hear(self, wait: Wait) -> bool:
        """Whether a person has decided here; it is a request like any other."""
        record = self._record
        if self.gatekeeper is None or record is None:
            return False
        request = self.gatekeeper.hear(record.revision, wait.until)
        if request is not None:
            self._record = dataclasses.replace(record, request=request)
        return request is not None

    _last_wait: tuple[str, float] = ("", 0.0)

    def _report_wait(self, what: str, text: str) -> None:
        """One line a change, and one every 30 s."""
        now = time.monotonic()
        known, at = self._last_wait
        if what != known or now - at >= HEARTBEAT_SECONDS - 0.5:
            self._last_wait = (what, now)
            self._report(text)

    def _fail(self, step: Fail) -> t.NoReturn:
        message = step.message
        if step.evidence:
            evidence = self.cluster.evidence(step.evidence)
            if evidence:
                message = f"{message} {evidence}."
        if step.degrades and self._record is not None:
            self._record = self._record.degraded(message).noted(
                self._clock.now(), message
            )
            self.flush()
        raise BluegreenError(message)

    # -- acts ----------------------------------------------------------------------

    def _perform(self, step: Act, seen: Observed, want: Want) -> None:
        if isinstance(step, (CreateRevision, Revive, UpdateParameters)):
            self._perform_on_revision(step, seen, want)
        elif isinstance(step, (Scale, MarkAborted, Delete)):
            self._perform_on_known(step, _known(seen, step.hash))
        elif isinstance(step, (Retarget, KeepBudget, RemoveBudget)):
            self._perform_on_neighbours(step, seen)
        else:
            self._perform_on_services(step, seen)

    def _perform_on_revision(
        self,
        step: CreateRevision | Revive | UpdateParameters,
        seen: Observed,
        want: Want,
    ) -> None:
        if isinstance(step, UpdateParameters):
            self.cluster.update_parameters(
                _known(seen, step.hash), step.parameters, step.replicas
            )
            return
        if want.deploy is None:
            raise BluegreenError(f"{step!r} without a manifest; please report this.")
        if isinstance(step, CreateRevision):
            if self.deployment is None:
                raise BluegreenError(f"{step!r} without its manifest; run deploy.")
            self.cluster.create_revision(
                self.deployment, step.number, step.replicas, want.deploy
            )
        else:
            self.cluster.revive(
                _known(seen, step.hash), step.number, step.replicas, want.deploy
            )

    def _perform_on_known(
        self, step: Scale | MarkAborted | Delete, revision: Revision
    ) -> None:
        if isinstance(step, Scale):
            self.cluster.scale(revision, step.replicas)
        elif isinstance(step, MarkAborted):
            self.cluster.mark_aborted(revision)
        else:
            self.cluster.delete_revision(revision)

    def _perform_on_neighbours(
        self, step: Retarget | KeepBudget | RemoveBudget, seen: Observed
    ) -> None:
        if isinstance(step, Retarget):
            deployment = _known(seen, step.hash).deployment
            self.cluster.retarget(step.autoscaler, deployment)
        elif isinstance(step, KeepBudget):
            self.cluster.keep_budget(_known(seen, step.hash), step.spec)
        else:
            self.cluster.remove_budget(step.hash)

    def _perform_on_services(
        self,
        step: CreateServices | OpenProof | CloseProof | Point | Cutover,
        seen: Observed,
    ) -> None:
        if isinstance(step, CreateServices):
            for name in step.names:
                self.cluster.create_service(name, step.hash)
        elif isinstance(step, OpenProof):
            self.cluster.open_proof(step.hash)
        elif isinstance(step, CloseProof):
            self.cluster.close_proof()
        elif isinstance(step, Point):
            for name in step.services:
                self.cluster.point(name, step.hash)
        else:
            self._flight = Flight(step.hash)
            for service in seen.with_role(names.ROLE_ACTIVE):
                if service.exists and service.target != step.hash:
                    self.cluster.point(service.name, step.hash)
            self._flight.written()
            # One that was created since this run began is to follow, too.
            self.cluster.load_autoscalers()

    # -- check mode ----------------------------------------------------------------

    def plan(self, want: Want) -> Observed:
        """The steps that :meth:`run` would take, if all goes well; no write.

        :returns: what would be seen at the end.
        """
        seen, now = self.observe(), self._clock.now()
        for _step in range(_MAX_STEPS_WITHOUT_WAIT):
            step = decide(want, seen, now)
            if isinstance(step, Fail):
                raise BluegreenError(step.message)
            if isinstance(step, Done):
                break
            line = planned_line(step, seen)
            if line and line not in self.steps[-1:]:
                self._report(line)
                self.steps.append(line)
            self.changed = self.changed or not isinstance(step, Wait)
            seen, now = assume(step, seen, want, now)
        return seen


class Flight:
    """What is seen of one cutover: a count for each state of the endpoints."""

    def __init__(self, revision_hash: str) -> None:
        self._hash = revision_hash
        self._began = time.monotonic()
        self._write_ms = 0
        self._counts: list[dict[str, int]] = []

    def written(self) -> None:
        """The last active Service was written."""
        self._write_ms = self._elapsed()

    def _elapsed(self) -> int:
        return round((time.monotonic() - self._began) * 1000)

    def look(self, seen: Observed) -> None:
        """Note the counts if they changed."""
        proven = frozenset().union(
            *(s.endpoints.ready for s in seen.with_role(names.ROLE_PROOF))
        )
        ready = [s.endpoints.ready for s in seen.with_role(names.ROLE_ACTIVE)]
        count = {
            "ready": min((len(r) for r in ready), default=0),
            "new": min((len(r & proven) for r in ready), default=0),
        }
        last = (
            {k: v for k, v in self._counts[-1].items() if k != "ms"}
            if (self._counts)
            else {}
        )
        if count != last and len(self._counts) < _MAX_SLICE_VERSIONS:
            self._counts.append({"ms": self._elapsed(), **count})

    def result(self) -> dict[str, t.Any]:
        """For the record: milliseconds from the first write, and the counts."""
        return {
            "revision": self._hash,
            "written_ms": self._write_ms,
            "proven_ms": self._elapsed(),
            "least_ready": min((c["ready"] for c in self._counts), default=0),
            "mixed": any(0 < c["new"] < c["ready"] for c in self._counts),
            "seen": self._counts,
        }


def _shuts_gate(step: Step, seen: Observed) -> bool:
    return (
        isinstance(step, Note)
        and step.record.phase == PHASE_PAUSED
        and seen.record.phase != PHASE_PAUSED
    )


def _known(seen: Observed, revision_hash: str) -> Revision:
    revision = seen.revision(revision_hash)
    if revision is None:
        raise BluegreenError(
            f"Revision {revision_hash} is gone; somebody else deleted it. Run again."
        )
    return revision


def _pods(count: int) -> str:
    return "1 pod" if count == 1 else f"{count} pods"


def describe_step(step: Act, seen: Observed) -> str:
    """One act, as plans and live lines say it."""
    which = getattr(step, "hash", None)
    revision = describe(seen.revision(which), f"revision {which}")
    if isinstance(step, (CreateRevision, Revive)):
        verb = "create" if isinstance(step, CreateRevision) else "start anew"
        name = f"revision {step.number} ({which})"
        return f"{verb} {name} with {_pods(step.replicas)}, inactive"
    if isinstance(step, Scale):
        before = seen.revision(which)
        size = before.replicas if before else 0
        return f"scale {revision} from {size} to {_pods(step.replicas)}: {step.why}"
    if isinstance(step, CreateServices):
        return f"create Service {', '.join(step.names)}, directed to {revision}"
    if isinstance(step, Point):
        return f"direct Service {', '.join(step.services)} to {revision}: {step.why}"
    if isinstance(step, Cutover):
        moved = [
            s.name for s in seen.with_role(names.ROLE_ACTIVE) if s.target != step.hash
        ]
        return f"cut over Service {', '.join(moved)} to {revision}"
    if isinstance(step, OpenProof):
        return f"prove the endpoints of {revision} through a proof Service"
    return _describe_upkeep(step, revision)


def _describe_upkeep(
    step: UpdateParameters
    | MarkAborted
    | Delete
    | CloseProof
    | Retarget
    | KeepBudget
    | RemoveBudget,
    revision: str,
) -> str:
    if isinstance(step, Retarget):
        return (
            f"have HorizontalPodAutoscaler {step.autoscaler} decide the size of"
            f" {revision}"
        )
    if isinstance(step, KeepBudget):
        return f"keep a PodDisruptionBudget for {revision}: {step.spec}"
    if isinstance(step, RemoveBudget):
        return f"remove the PodDisruptionBudget of {revision}"
    if isinstance(step, UpdateParameters):
        size = f" and scale it to {_pods(step.replicas)}" if step.replicas else ""
        return f"write the changed release parameters onto {revision}{size}"
    if isinstance(step, MarkAborted):
        return f"mark {revision} as aborted"
    if isinstance(step, Delete):
        return f"delete {revision}: it is beyond revision_history_limit"
    return "remove the proof Service"


def planned_line(step: Step, seen: Observed) -> str:
    """One line of a plan; empty for what nobody needs to read."""
    if isinstance(step, Note):
        return step.say
    if isinstance(step, Wait):
        # That pods become ready is what every plan takes for granted.
        timed = "progress deadline" not in step.then
        return f"wait: {step.what} {step.then}" if timed else ""
    if isinstance(step, (Done, Fail, EndMeasurement)):
        return ""
    if isinstance(step, Measure):
        return f"measure {step.metric.name} until the {step.kind} analysis has passed"
    return describe_step(step, seen)


def seconds_until(instant: datetime | None, now: datetime) -> int | None:
    """Whole seconds until an instant, at least 0; none if there is none."""
    if instant is None:
        return None
    return max(0, round((instant - now).total_seconds()))
