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
from datetime import datetime, timedelta

from . import _names as names
from ._clock import ServerClock
from ._cluster import Cluster
from ._config import describe_config
from ._decide import decide
from ._decide_cutover import nodes_without_pods, yet_to_widen
from ._errors import ApiError, BluegreenError, Conflict
from ._flight import Flight, told
from ._hooks import KIND as HOOK
from ._lock import Lock
from ._manifests import Deployment
from ._model import ROUTE, Observed, Revision, ServiceSeen, describe, listed
from ._record import Record, Request, defect
from ._simulate import assume
from ._stages import PHASE_PAUSED, PROMOTED, STABLE, VERIFIED
from ._steps import (
    ROLLOUT_ABORTED,
    Act,
    ChangeTemplate,
    CloseProof,
    CreateConfig,
    CreateRevision,
    CreateServices,
    Cutover,
    Delete,
    Done,
    DropConfig,
    EndHook,
    EndMeasurement,
    EndWorkload,
    Event,
    Fail,
    KeepBudget,
    MarkAborted,
    Measure,
    Note,
    OpenProof,
    OwnConfig,
    Point,
    RemoveBudget,
    Retarget,
    Revive,
    RunHook,
    RunTasks,
    Scale,
    Step,
    Tell,
    UpdateParameters,
    Wait,
    Widen,
)
from ._view import View, Want, as_abort

if t.TYPE_CHECKING:
    from ._analyst import Analyst
    from ._gate import Gatekeeper
    from ._hooking import Hooker
    from ._measuring import Measured

Report = t.Callable[[str], None]
Rules = t.Callable[[Want, Observed, datetime], Step]

HEARTBEAT_SECONDS = 30.0
_MAX_CONFLICTS = 20
# More steps than any release has between two waits: a loop that turns in circles is
# an error of ours, and must not write for ever.
_MAX_STEPS_WITHOUT_WAIT = 200


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
        # Set where a release may have hooks.
        self.hooker: Hooker | None = None
        # Set where a person may decide.
        self.gatekeeper: Gatekeeper | None = None
        self._flight: Flight | None = None
        # Whether this run has let active Services select two revisions.
        self._window = False
        self._aborted_because = ""
        self._steps_without_wait = 0
        self._conflicts = 0
        self.steps: list[str] = []
        # Of a plan: each step and what is assumed to be seen before it, to the end.
        self.planned: list[tuple[Step, Observed]] = []
        self.changed = False
        self.warnings: list[str] = []

    # -- observing -----------------------------------------------------------------

    def observe(self) -> Observed:
        """The cluster, with what this run has noted and not yet written."""
        if self.cluster.is_proving:
            self._look_at_balancers()
        return self._observe()

    def observe_anew(self) -> Observed:
        """The cluster as others have made it, for a run that drives nothing.

        What only a cutover has to know is not asked for.
        """
        self._record = self._written = None
        return self._observe()

    def _observe(self) -> Observed:
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
        self._window = self._window and any(s.wide for s in seen.services)
        seen = dataclasses.replace(
            seen,
            record=self._record,
            record_exists=known,
            window=self._window,
            probed=self._flight.probed if self._flight else None,
        )
        if self.hooker is not None:
            seen = self.hooker.look(seen)
        return self.analyst.look(seen) if self.analyst is not None else seen

    def _look_at_balancers(self) -> None:
        self.cluster.load_balancers_once()
        new = [w for w in self.cluster.balancers.warnings if w not in self.warnings]
        self.warnings += new

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
                step = rules(want, seen, self._clock.now())
                if isinstance(step, (Done, RunTasks)):
                    return self._arrive()
                self._count(step)
                self._take(step, seen, want)
                want = heeded(want, step, seen)
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
                want = as_abort(want)

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
        elif isinstance(step, (RunHook, EndHook)):
            self._hook(step, seen, want)
        elif isinstance(step, Tell):
            self._tell(step, seen)
        elif not isinstance(step, (Done, RunTasks)):
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

    def _hook(self, step: RunHook | EndHook, seen: Observed, want: Want) -> None:
        # Only the driver runs one, and who runs next finds in the record that it was
        # begun.
        self.take_lock()
        self.flush(only_significant=True)
        if self.hooker is None:
            raise BluegreenError(f"{step!r} with nobody to run it; please report this.")
        for check in self.cluster.api.before_write:
            # Who lost the lock, or whose playbook has ended, tells nobody.
            check()
        view = View(want, seen, self._clock.now())
        if isinstance(step, RunHook):
            self.hooker.run(view, step.name)
        else:
            self.hooker.end(view, step.name)

    def _tell(self, step: Tell, seen: Observed) -> None:
        # Only a release that asks for it pays for importing it.
        from ._telling import tell

        record = t.cast(Record, self._record)
        drain = record.drain
        if drain is None:
            raise BluegreenError(f"{step!r} of no drain; please report this.")
        self.take_lock()
        self.flush(only_significant=True)
        if not drain.tried:
            self._report(planned_line(step, seen))
            self.steps.append(planned_line(step, seen))
        pods = self.cluster.pods_of(step.hash)
        result = tell(self.cluster.api, pods, step.http, step.exec, drain)
        for pod, why in result.failed.items():
            if pod not in drain.untold:
                self.warnings.append(
                    f"Pod {pod} could not be told to close what it holds: {why}. It is"
                    " tried again until the drain's timeout, and then ends all the"
                    " same."
                )
        timeout = timedelta(seconds=step.timeout_seconds)
        heard = drain.heard(result, self._clock.now(), timeout)
        self._record = dataclasses.replace(record, drain=heard)
        # At once: whoever is ended now tells nobody twice.
        self.flush()
        self.changed = True

    def _note(self, note: Note, want: Want) -> None:
        record = note.record
        if note.measured is not None:
            self._forget(note.measured)
        if note.warning:
            self.warnings.append(note.warning)
        if record.stage in (PROMOTED, VERIFIED, STABLE) and self._flight is not None:
            record = self._land(self._flight, record)
        self._record = record
        revision = want.hash or record.revision
        self._events += [(event, revision) for event in note.events]
        if note.say:
            self._report(note.say)
            self.steps.append(note.say)
        aborted = any(event.reason == ROLLOUT_ABORTED for event in note.events)
        if aborted and not want.abort:
            # Its pods may be gone when this run has ended.
            evidence = self.cluster.evidence(record.revision)
            more = f". {evidence}." if evidence else ""
            self._aborted_because = f"{record.message}{more}"

    def _forget(self, measured: Measured) -> None:
        """What is in the record now need not be kept."""
        if self.hooker is not None and measured.kind == HOOK:
            self.hooker.drop(measured)
        elif self.analyst is not None:
            self.analyst.drop(measured)

    def _land(self, flight: Flight, record: Record) -> Record:
        """The cutover was seen to its end: what was seen of it is kept and told."""
        self._flight = None
        self.cluster.slices.on_change = self.cluster.routes.on_change = None
        seen = flight.result()
        line = told(seen)
        self._report(line)
        self.steps.append(line)
        return dataclasses.replace(record, cutover=seen).noted(self._clock.now(), line)

    def _take_off(self, step: Widen | Cutover, seen: Observed) -> Flight:
        """What is recorded of a cutover begins before its first write."""
        if self._flight is not None:
            return self._flight
        prober = None
        text = View(Want(PROMOTED), seen, self._clock.now()).parameters.probe
        if text and step.hash == seen.record.revision:
            from ._prober import Prober

            prober = Prober(text)
        moving = [s for s in seen.with_role(names.ROLE_ACTIVE) if s.exists]
        by_route = any(s.kind == ROUTE for s in moving)
        flight = Flight(
            step.hash,
            seen.record.intent,
            [s.name for s in moving],
            self.cluster.endpoints,
            self.cluster.proven,
            prober,
            self.cluster.is_route_taken_in if by_route else None,
        )
        self._flight = flight
        self.cluster.slices.on_change = flight.look
        self.cluster.routes.on_change = flight.look
        if prober is not None:
            self._report("requests through the active Service watch the cutover")
            prober.start()
        flight.begin()
        return flight

    def close(self) -> None:
        """End what runs in the background."""
        if self._flight is not None:
            self._flight.close()

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
        if self.hooker is not None:
            left = min(left, self.hooker.seconds_left(HEARTBEAT_SECONDS))
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
        # Why it is held is to be known to whoever runs next.
        self.flush()
        raise BluegreenError(message)

    # -- acts ----------------------------------------------------------------------

    def _perform(self, step: Act, seen: Observed, want: Want) -> None:
        if isinstance(step, (CreateRevision, Revive, UpdateParameters)):
            self._perform_on_revision(step, seen, want)
        elif isinstance(step, (Scale, MarkAborted, Delete, ChangeTemplate)):
            self._perform_on_known(step, _known(seen, step.hash))
        elif isinstance(step, (CreateConfig, OwnConfig, DropConfig)):
            self._perform_on_config(step)
        elif isinstance(step, (Retarget, KeepBudget, RemoveBudget, EndWorkload)):
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
                self.deployment,
                step.number,
                step.replicas,
                want.deploy,
                step.overlay,
            )
            self.cluster.own_config(step.hash)
        else:
            self.cluster.revive(
                _known(seen, step.hash), step.number, step.replicas, want.deploy
            )

    def _perform_on_known(
        self, step: Scale | MarkAborted | Delete | ChangeTemplate, revision: Revision
    ) -> None:
        if isinstance(step, Scale):
            self.cluster.scale(revision, step.replicas)
        elif isinstance(step, MarkAborted):
            self.cluster.mark_aborted(revision)
        elif isinstance(step, ChangeTemplate):
            self.cluster.change_template(revision, step.overlay)
        else:
            self.cluster.delete_revision(revision)

    def _perform_on_config(self, step: CreateConfig | OwnConfig | DropConfig) -> None:
        if isinstance(step, CreateConfig):
            for item in self.deployment.config if self.deployment else ():
                if item.ref in step.refs:
                    self.cluster.config.keep(item, step.hash)
        if isinstance(step, DropConfig):
            self.cluster.config.drop(step.hash)
        else:
            self.cluster.own_config(step.hash)

    def _perform_on_neighbours(
        self,
        step: Retarget | KeepBudget | RemoveBudget | EndWorkload,
        seen: Observed,
    ) -> None:
        if isinstance(step, Retarget):
            deployment = _known(seen, step.hash).deployment
            self.cluster.retarget(step.autoscaler, deployment)
        elif isinstance(step, KeepBudget):
            self.cluster.keep_budget(_known(seen, step.hash), step.spec)
        elif isinstance(step, EndWorkload):
            self.cluster.end_workload()
        else:
            self.cluster.remove_budget(step.hash)

    def _perform_on_services(
        self,
        step: CreateServices | OpenProof | CloseProof | Point | Widen | Cutover,
        seen: Observed,
    ) -> None:
        if isinstance(step, (Widen, Cutover)):
            known = set(self.warnings)
            found = nodes_without_pods(seen, step.hash)
            self.warnings += [w for w in found if w not in known]
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
            if step.failure:
                self._fail(Fail(step.failure, step.evidence, degrades=True))
        elif isinstance(step, Widen):
            left = [s for s in seen.with_role(names.ROLE_ACTIVE) if s.exists]
            both = {step.hash, *(s.target for s in left if s.target)}
            self.cluster.prepare_to_widen(step.hash, both)
            self._take_off(step, seen)
            self._window = True
            self._move(step, yet_to_widen(left, step.hash))
        else:
            flight = self._take_off(step, seen)
            left = [s for s in seen.with_role(names.ROLE_ACTIVE) if s.exists]
            self._move(step, [s for s in left if s.target != step.hash])
            flight.all_written()
            # One that was created since this run began is to follow, too.
            self.cluster.load_autoscalers()

    def _move(self, step: Widen | Cutover, services: list[ServiceSeen]) -> None:
        """Write the selectors, one after another; one that is refused after others
        have moved aborts the release, which puts them back.
        """
        moved: list[str] = []
        for service in services:
            try:
                if isinstance(step, Widen):
                    self.cluster.widen(service.name)
                else:
                    self.cluster.point(service.name, step.hash)
            except Conflict:
                raise
            except ApiError as error:
                record = t.cast(Record, self._record)
                if not moved or not error.status or record.revision != step.hash:
                    raise
                why = f"{listed([service])}, which could not be moved: {error}"
                request = Request("abort", step.hash, why)
                self._record = dataclasses.replace(record, request=request)
                return
            moved.append(service.name)
            if self._flight is not None:
                self._flight.written(service.name)

    # -- check mode ----------------------------------------------------------------

    def plan(self, want: Want) -> Observed:
        """The steps that :meth:`run` would take, if all goes well; no write.

        :returns: what would be seen at the end.
        """
        self._look_at_balancers()
        seen, now = self.observe(), self._clock.now()
        for _step in range(_MAX_STEPS_WITHOUT_WAIT):
            step = decide(want, seen, now)
            if isinstance(step, Fail):
                raise BluegreenError(step.message)
            self.planned.append((step, seen))
            if isinstance(step, Done):
                break
            line = planned_line(step, seen)
            if line and line not in self.steps[-1:]:
                self._report(line)
                self.steps.append(line)
            self.changed = self.changed or not isinstance(step, Wait)
            seen, now = assume(step, seen, want, now)
        return seen


def heeded(want: Want, step: Step, seen: Observed) -> Want:
    """What is still wanted after a step: what was asked for before a gate was shut, or
    a release held, accepts nothing that came after.
    """
    if not isinstance(step, Note):
        return want
    pauses = step.record.phase == PHASE_PAUSED and seen.record.phase != PHASE_PAUSED
    if pauses or (step.record.held and not seen.record.held):
        return dataclasses.replace(want, approve=False, full=False, retry=False)
    return want


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
    if which == names.NO_REVISION:
        revision = "nothing"
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
        away = [s for s in seen.services if s.name in step.services and not s.kept]
        return f"direct {listed(away)} to {revision}: {step.why}"
    if isinstance(step, Cutover):
        active = seen.with_role(names.ROLE_ACTIVE)
        how = f", {step.how}" if step.how else ""
        moved = listed(s for s in active if s.target != step.hash)
        return f"cut over {moved} to {revision}{how}"
    if isinstance(step, Widen):
        left = yet_to_widen(seen.with_role(names.ROLE_ACTIVE), step.hash)
        return (
            f"let {listed(left)} select {revision} beside the present one: {step.why}"
        )
    if isinstance(step, OpenProof):
        return f"prove the endpoints of {revision} through {_prover(seen)}"
    return _describe_upkeep(step, revision)


def _prover(seen: Observed) -> str:
    idle = [s for s in seen.services if s.kept and not s.weight]
    return f"{listed(idle)}, which gets no requests" if idle else "a proof Service"


def _describe_upkeep(
    step: CreateConfig
    | OwnConfig
    | DropConfig
    | UpdateParameters
    | ChangeTemplate
    | MarkAborted
    | Delete
    | CloseProof
    | Retarget
    | KeepBudget
    | RemoveBudget
    | EndWorkload,
    revision: str,
) -> str:
    if isinstance(step, EndWorkload):
        return f"scale Deployment {step.name} down to 0 pods: {step.why}"
    if isinstance(step, Retarget):
        return (
            f"have HorizontalPodAutoscaler {step.autoscaler} decide the size of"
            f" {revision}"
        )
    if isinstance(step, KeepBudget):
        return f"keep a PodDisruptionBudget for {revision}: {step.spec}"
    if isinstance(step, RemoveBudget):
        return f"remove the PodDisruptionBudget of {revision}"
    if isinstance(step, (CreateConfig, OwnConfig, DropConfig)):
        return _describe_config_step(step, revision)
    if isinstance(step, UpdateParameters):
        size = f" and scale it to {_pods(step.replicas)}" if step.replicas else ""
        return f"write the changed release parameters onto {revision}{size}"
    if isinstance(step, ChangeTemplate):
        return (
            f"change labels, annotations and anti-affinity of {revision}, whose pods"
            f" run on: {step.why}"
        )
    if isinstance(step, MarkAborted):
        return f"mark {revision} as aborted"
    if isinstance(step, Delete):
        return f"delete {revision}: it is beyond revision_history_limit"
    return "remove the proof Service"


def _describe_config_step(
    step: CreateConfig | OwnConfig | DropConfig, revision: str
) -> str:
    if isinstance(step, CreateConfig):
        return f"create {describe_config(step.refs, step.hash)}"
    if isinstance(step, OwnConfig):
        return f"have the configuration of {revision} go with it"
    return f"delete the configuration of {revision}, which was never created"


def planned_line(step: Step, seen: Observed) -> str:
    """One line of a plan; empty for what nobody needs to read."""
    if isinstance(step, Note):
        return step.say
    if isinstance(step, Wait):
        # That pods become ready is what every plan takes for granted.
        timed = "progress deadline" not in step.then
        return f"wait: {step.what} {step.then}" if timed else ""
    if isinstance(step, (Done, Fail, EndMeasurement, RunHook, EndHook, RunTasks)):
        return ""
    if isinstance(step, Measure):
        return f"measure {step.metric.name} until the {step.kind} analysis has passed"
    if isinstance(step, Tell):
        which = describe(seen.revision(step.hash))
        return f"tell the pods of {which} to close what they hold"
    return describe_step(step, seen)


def seconds_until(instant: datetime | None, now: datetime) -> int | None:
    """Whole seconds until an instant, at least 0; none if there is none."""
    if instant is None:
        return None
    return max(0, round((instant - now).total_seconds()))
