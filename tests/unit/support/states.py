# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Observed states, written in few words, and a cluster that only exists in them."""

from __future__ import annotations

import dataclasses
import typing as t
from datetime import datetime, timedelta, timezone

from ansible_collections.cutover.bluegreen.plugins.module_utils import _names as names
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.state import (
    INCONCLUSIVE,
    RUNNING,
    SUCCESSFUL,
    Measurement,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._decide import (
    decide,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._engine import (
    heeded,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._measuring import (
    Measured,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._model import (
    ROUTE,
    Endpoints,
    Observed,
    Revision,
    ServiceSeen,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._parameters import (
    Parameters,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._record import Record
from ansible_collections.cutover.bluegreen.plugins.module_utils._simulate import (
    assume,
    everything_ready,
    routes_follow,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._steps import (
    ROLLOUT_ABORTED,
    Done,
    EndHook,
    EndMeasurement,
    Fail,
    Measure,
    Note,
    Point,
    RunHook,
    RunTasks,
    Step,
    Wait,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._view import (
    Want,
    as_abort,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
V0, V1, V2, V3 = "0000000000", "1111111111", "2222222222", "3333333333"
ORIGINAL = {"app": "web"}
# What a Service is directed to while a cutover overlaps.
BOTH = "both"


def after(seconds: float) -> datetime:
    """That long after NOW."""
    return NOW + timedelta(seconds=seconds)


def parameters(**changes: t.Any) -> Parameters:
    """Release parameters: three pods, the Service web, and what is given."""
    values: dict[str, t.Any] = {"replicas": 3, "active_services": ("web",), **changes}
    return Parameters(**values)


def revision(
    revision_hash: str, pods: int = 3, ready: int | None = None, **changes: t.Any
) -> Revision:
    """A revision, numbered by its hash, with all of its pods available."""
    values: dict[str, t.Any] = {
        "number": int(revision_hash[0]),
        "hash": revision_hash,
        "deployment": f"web-{revision_hash}",
        "replicas": pods,
        "available": pods if ready is None else ready,
        "parameters": parameters(),
        **changes,
    }
    return Revision(**values)


def pods_of(found: Revision | None) -> frozenset[str]:
    """The names of a revision's ready pods."""
    if found is None:
        return frozenset()
    return frozenset(f"{found.hash}-{i}" for i in range(found.available))


def service(
    target: str | None,
    name: str = "web",
    role: str = names.ROLE_ACTIVE,
    exists: bool = True,
) -> ServiceSeen:
    """A Service directed to a revision; to any pod of the application if none."""
    if target == BOTH:
        return dataclasses.replace(service(None, name, role), wide=True)
    selector = {**ORIGINAL, names.LABEL_HASH: target} if target else dict(ORIGINAL)
    if not exists:
        return ServiceSeen(name, role, exists=False)
    return ServiceSeen(
        name, role, target=target, selector=selector, original=dict(ORIGINAL)
    )


def preview(target: str | None, exists: bool = True) -> ServiceSeen:
    """The preview Service."""
    return service(target, "web-preview", names.ROLE_PREVIEW, exists)


def proof(target: str, of: str = "web") -> ServiceSeen:
    """A proof Service."""
    found = service(target, names.proof_service_name(of), names.ROLE_PROOF)
    return dataclasses.replace(found, of=of)


BACKENDS = ("web-a", "web-b")


def routed(
    targets: t.Sequence[str | None],
    weights: t.Sequence[int] = (100, 0),
    name: str = "web",
) -> tuple[ServiceSeen, ...]:
    """A route, and its two Services directed to these revisions."""
    backends = [
        dataclasses.replace(
            service(target, backend, names.ROLE_PROOF),
            of=name,
            kept=True,
            weight=weight,
        )
        for target, weight, backend in zip(targets, weights, BACKENDS, strict=True)
    ]
    route = ServiceSeen(name, names.ROLE_ACTIVE, kind=ROUTE)
    return routes_follow((route, *backends))


def observed(
    revisions: t.Iterable[Revision],
    services: t.Iterable[ServiceSeen],
    record: Record | None = None,
) -> Observed:
    """A state whose slices follow the selectors."""
    return with_slices(
        Observed(
            revisions=tuple(revisions),
            services=tuple(services),
            record=record or Record(),
            record_exists=record is not None,
        )
    )


def with_slices(seen: Observed) -> Observed:
    """The slices list the available pods of what each selector asks for."""
    everything = frozenset().union(*(pods_of(r) for r in seen.revisions))
    return dataclasses.replace(
        seen,
        pods={pod: r.hash for r in seen.revisions for pod in pods_of(r)},
        services=tuple(
            dataclasses.replace(
                s,
                endpoints=Endpoints(
                    pods_of(seen.revision(s.target)) if s.target else everything
                ),
            )
            if s.exists
            else s
            for s in seen.services
        ),
    )


def settled(seen: Observed, broken: t.Collection[str] = ()) -> Observed:
    """All pods are ready, but for those of broken revisions: none of them is."""
    ready = everything_ready(seen)
    return with_slices(
        dataclasses.replace(
            ready,
            revisions=tuple(
                dataclasses.replace(r, available=0) if r.hash in broken else r
                for r in ready.revisions
            ),
        )
    )


def answered(seen: Observed, refused: str) -> Observed:
    """The gateways have looked at the route as it is now."""
    return dataclasses.replace(
        seen,
        services=tuple(
            dataclasses.replace(s, refused=refused) if s.kind == ROUTE else s
            for s in seen.services
        ),
    )


def _aborts(note: Note) -> bool:
    return any(event.reason == ROLLOUT_ABORTED for event in note.events)


class World:
    """A cluster in which one rollout is driven, by pure functions alone."""

    def __init__(
        self,
        seen: Observed,
        now: datetime = NOW,
        broken: t.Collection[str] = (),
    ) -> None:
        self.seen = seen
        self.now = now
        self.broken = set(broken)
        # What gateways refuse of each new version of a route.
        self.refused = ""
        self.steps: list[Step] = []
        self.aborted = False
        # What the next measurements are, in turn; all successful if none is left.
        self.verdicts: list[str] = []
        # What hooks answer, in turn; all successful if none is left.
        self.answers: list[str] = []

    def look(self, want: Want, step: Step) -> None:
        """Called with each step before it is taken."""

    def run(self, want: Want, limit: int = 200) -> Step:
        """Drive as the engine does.

        :returns: the step that ended it: Done, Fail, or a Wait that nothing ends.
        """
        for _step in range(limit):
            step = decide(want, self.seen, self.now)
            self._before = self.seen
            self.look(want, step)
            self.steps.append(step)
            if isinstance(step, (Done, Fail, RunTasks)):
                self.end()
                return step
            if isinstance(step, Wait):
                if not self._wait(step):
                    return step
            elif isinstance(step, (Measure, EndMeasurement, RunHook, EndHook)):
                self._aside(step)
            else:
                self.seen, self.now = assume(step, self.seen, want, self.now)
                if isinstance(step, Point) and step.failure:
                    self.end()
                    return Fail(step.failure)
                if isinstance(step, Note) and step.measured is not None:
                    self.seen = dataclasses.replace(self.seen, measured=(), hooked=())
                want = heeded(want, step, self._before)
                if isinstance(step, Note) and not want.abort and _aborts(step):
                    self.aborted = True
                    want = as_abort(want)
        raise AssertionError(f"no end after {limit} steps: {self.steps[-6:]}")

    def end(self) -> None:
        """The task is over, or was killed: no window is its own any more."""
        self.seen = dataclasses.replace(self.seen, window=False)

    def _aside(self, step: Measure | EndMeasurement | RunHook | EndHook) -> None:
        if isinstance(step, (RunHook, EndHook)):
            self._hook(step)
        else:
            self._measure(step)

    def _measure(self, step: Measure | EndMeasurement) -> None:
        """One measurement, at once; `Running` goes on elsewhere for ten seconds."""
        state = self.seen.record.analysis[step.kind]
        verdict = self.verdicts.pop(0) if self.verdicts else SUCCESSFUL
        if isinstance(step, EndMeasurement):
            verdict = INCONCLUSIVE
        finished = verdict != RUNNING
        taken = Measurement(
            verdict,
            self.now,
            self.now if finished else None,
            "0.5",
            "as the test says",
            resume_at=None if finished else self.now + timedelta(seconds=10),
        )
        measured = Measured(step.kind, state.run, step.metric.name, taken)
        self.seen = dataclasses.replace(self.seen, measured=(measured,))

    def _hook(self, step: RunHook | EndHook) -> None:
        """One answer, at once; `Running` is asked for again after ten seconds."""
        verdict = self.answers.pop(0) if self.answers else SUCCESSFUL
        if isinstance(step, EndHook):
            verdict = INCONCLUSIVE
        finished = verdict != RUNNING
        taken = Measurement(
            verdict,
            self.now,
            self.now if finished else None,
            message=f"it was {verdict}",
            metadata={} if finished else {"job": step.name},
            resume_at=None if finished else self.now + timedelta(seconds=10),
        )
        measured = Measured("hook", "run", step.name, taken)
        self.seen = dataclasses.replace(self.seen, hooked=(measured,))

    def _wait(self, step: Wait) -> bool:
        ready = answered(settled(self.seen, self.broken), self.refused)
        if ready != self.seen:
            self.seen = ready
            return True
        ends = [at for at in (step.until, step.wake) if at is not None]
        if not ends:
            return False
        assert min(ends) > self.now, f"a wait for the past: {step}"
        self.now = min(ends)
        return True

    def act(self, change: t.Callable[[Observed], Observed]) -> None:
        """Somebody else changes something."""
        self.seen = change(self.seen)

    def kinds(self) -> list[str]:
        """The steps taken, by name, without the waits and the notes."""
        found = [type(s).__name__ for s in self.steps]
        return [k for k in found if k not in ("Wait", "Note")]
