# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state machine, searched for states in which it would do harm.

The numbers are those of the invariants: no write takes users' endpoints away (1),
the traffic guard (2), the way back (3), nothing to do means no write (4), and gates
never open by accident (6).
"""

from __future__ import annotations

import dataclasses
import typing as t
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.cutover.bluegreen.plugins.module_utils import _names as names
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.state import (
    DRAIN,
    FINAL,
    INCONCLUSIVE,
    KINDS,
    PRE_PROMOTION,
    RUNNING,
    SUCCESSFUL,
    AnalysisState,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._asked_hooks import (
    parse_hooks,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._decide import (
    decide,
    next_task,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._drain import Drain
from ansible_collections.cutover.bluegreen.plugins.module_utils._hooks import (
    BEYOND_ABORT,
    POINTS,
    HookState,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._hooks import (
    FAILED as HOOK_FAILED,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._hooks import (
    PENDING as HOOK_PENDING,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._hooks import (
    RUNNING as HOOK_RUNNING,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._hooks import (
    SUCCEEDED as HOOK_SUCCEEDED,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._model import (
    ROUTE,
    Endpoints,
    Observed,
    Revision,
    ServiceSeen,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._overlay import (
    NOTHING,
    Overlay,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._parameters import (
    NONE_AT_ONCE,
    Parameters,
    Size,
    canonical,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._record import (
    Record,
    Request,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._simulate import (
    routes_follow,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._stages import (
    ANALYSED,
    DEGRADED,
    HEALTHY,
    PAUSED,
    PHASE_PAUSED,
    PREVIEWED,
    PROGRESSING,
    PROMOTED,
    RETIRED,
    STABLE,
    STAGES,
    STARTED,
    VERIFIED,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._steps import (
    CreateServices,
    Cutover,
    Delete,
    Done,
    Fail,
    Note,
    Point,
    Scale,
    Step,
    Wait,
    Widen,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._view import (
    View,
    Want,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.search import examples
from ansible_collections.cutover.bluegreen.tests.unit.support.states import (
    BACKENDS,
    BOTH,
    NOW,
    ORIGINAL,
    V0,
    V1,
    V2,
    V3,
    World,
    after,
    answered,
    observed,
    parameters,
    pods_of,
    preview,
    proof,
    revision,
    routed,
    service,
    settled,
    with_slices,
)

Change = t.Callable[["Walk"], None]

HASHES = (V0, V1, V2, V3)
# Instead of a number of active Services.
ROUTED = 0


# -- what must hold of each step -------------------------------------------------------


class Walk(World):
    """A world that knows on its own which gates were opened, and by whom."""

    def __init__(self, *args: t.Any, **options: t.Any) -> None:
        super().__init__(*args, **options)
        # Revisions that users were directed to in the open, at some time.
        self.promoted: set[str] = {self.seen.record.stable} - {""}
        stable = self.seen.revision(self.seen.record.stable)
        if stable is not None:
            # What is older than the stable one and was not aborted was stable once.
            self.promoted |= {
                r.hash
                for r in self.seen.revisions
                if r.number < stable.number and not r.aborted
            }
        self.approved: set[str] = set()
        self.countdown: dict[str, t.Any] = {}
        # Revisions that had passed step 5 by parameters that were others then.
        self.stages_passed: set[str] = set()
        self.changes: dict[int, list[Change]] = {}

    def run(self, want: Want, limit: int = 300) -> Step:
        return super().run(want, limit)

    def look(self, want: Want, step: Step) -> None:
        self._acknowledge()
        self.check(want, step)
        if isinstance(step, Note):
            self._learn(want, step.record)

    def interfere(self) -> None:
        for change in self.changes.pop(len(self.steps), []):
            change(self)

    def _acknowledge(self) -> None:
        """Where no record tells otherwise, the selectors are the truth."""
        record = self.seen.record
        if not self.seen.record_exists or not record.revision:
            self.promoted |= {t for t in self.seen.targets("active") if t}
        if record.request is not None and record.request.verb == "promote":
            self.approved.add(record.request.revision)

    def _learn(self, want: Want, record: Record) -> None:
        before = self.seen.record
        target = self.seen.revision(record.revision)
        p = want.deploy or (target.parameters if target else None)
        if (
            record.stage in (ANALYSED, PAUSED)
            and before.stage
            not in (
                ANALYSED,
                PAUSED,
            )
            and (p is None or not p.pre_promotion_analysis or not self.promoted)
        ):
            self.stages_passed.add(record.revision)
        if record.stage == STARTED:
            self.stages_passed.discard(record.revision)
        if record.stage == STARTED and (
            before.stage != STARTED or before.revision != record.revision
        ):
            self.approved.discard(record.revision)
            self.countdown.pop(record.revision, None)
        if record.stage == PAUSED and record.promote_at is not None:
            self.countdown.setdefault(record.revision, record.promote_at)
        if record.stage == VERIFIED:
            self.promoted.add(record.revision)

    def gate_open(self, want: Want, revision_hash: str) -> bool:
        """Whether users may be directed to a revision, worked out anew."""
        if revision_hash in self.promoted or revision_hash in self.approved:
            return True
        if want.approve:
            return True
        others = [r for r in self.seen.revisions if r.hash != revision_hash]
        target = self.seen.revision(revision_hash)
        p = want.deploy or (target.parameters if target else None)
        first = not self.promoted and all(r.aborted for r in others)
        if first and (p is None or not p.gate_first_deploy):
            return True
        if p is not None and p.auto_promotion_enabled and not p.auto_promotion_seconds:
            # It may be in force for no longer than the present run.
            self.approved.add(revision_hash)
            return True
        until = self.countdown.get(revision_hash)
        return until is not None and self.now >= until

    def check(self, want: Want, step: Step) -> None:
        """Invariants 1, 2 and 6 of one step in the present state."""
        seen = self.seen
        if isinstance(step, Cutover):
            self._check_floor(want, step)
            assert self.gate_open(want, step.hash), (step, seen)
            self._check_analysis(want, step)
            # Until another release of it begins, its gate has been passed.
            self.approved.add(step.hash)
        if isinstance(step, Widen):
            self._check_window(want, step)
        if isinstance(step, Point):
            self._check_point(want, step)
        if isinstance(step, CreateServices):
            created = set(step.names) & {s.name for s in seen.with_role("active")}
            shut = step.hash == names.NO_REVISION
            opened = created and not shut
            assert not opened or self.gate_open(want, step.hash), (step, seen)
        if isinstance(step, Delete):
            assert step.hash not in seen.targets("active"), (step, seen)
            found = seen.revision(step.hash)
            assert found is not None and found.replicas == 0, (step, seen)
        if isinstance(step, Scale):
            found = seen.revision(step.hash)
            assert found is not None
            if step.replicas < found.replicas:
                assert step.hash not in seen.targets("active"), (step, seen)
                assert step.hash != seen.record.stable, (step, seen)
                self._check_drained(want, step)
        if isinstance(step, Note) and step.record.stage == VERIFIED:
            self._check_healthy(want, step)

    def _check_floor(self, want: Want, step: Cutover | Widen) -> None:
        seen = self.seen
        target = seen.revision(step.hash)
        assert target is not None, step
        proven = {
            s.of: s.endpoints.ready
            for s in seen.with_role(names.ROLE_PROOF)
            if s.target == step.hash
        }
        moved = [
            s for s in seen.with_role("active") if s.exists and s.target != step.hash
        ]
        assert moved, (step, seen)
        p = want.deploy or target.parameters
        for s in moved:
            ready = proven[s.name]
            left = seen.revision(s.target)
            planned = p.replicas if p is not None and p.replicas else 10_000
            floor = min(
                len(s.endpoints.ready),
                left.replicas if left else 0,
                max(planned, 1),
            )
            assert len(ready) >= max(floor, 1), (step, floor, seen)
            if s.wide and want.abort is False:
                served = {p for p in s.endpoints.ready if seen.pods[p] == step.hash}
                assert len(served) >= max(floor, 1), (step, floor, seen)

    def _check_window(self, want: Want, step: Widen) -> None:
        """1: two revisions serve only where the record says so, and no third."""
        assert self.gate_open(want, step.hash), (step, self.seen)
        intent = self.seen.record.intent
        declared = (intent.get("act"), intent.get("revision"), intent.get("cutover"))
        assert declared == ("promote", step.hash, "overlap"), (step, self.seen)
        both = {step.hash, *self.seen.targets("active")}
        others = [r for r in self.seen.revisions if r.hash not in both]
        assert all(r.replicas == r.pods == 0 for r in others), (step, self.seen)
        self._check_floor(want, step)
        self._check_analysis(want, step)

    def _check_analysis(self, want: Want, step: Cutover | Widen) -> None:
        """What is measured before its promotion is promoted once it has passed."""
        target = self.seen.revision(step.hash)
        p = want.deploy or (target.parameters if target else None)
        if p is None or step.hash in self.promoted:
            return
        if not self.promoted and not p.gate_first_deploy:
            return
        state = self.seen.record.analysis.get(PRE_PROMOTION)
        if p.pre_promotion_analysis and step.hash not in self.stages_passed:
            assert state is not None, (step, self.seen)
            accepted = state.phase == INCONCLUSIVE
            assert accepted or state.phase == SUCCESSFUL, (step, self.seen)

    def _check_drained(self, want: Want, step: Scale) -> None:
        """What is to drain before it ends has drained, or had its time."""
        view = View(want, self.seen, self.now)
        found = self.seen.revision(step.hash)
        at_once = "while two revisions serve" in step.why
        if found is None or at_once or not view.parameters_to_end(found).drains:
            return
        if step.replicas >= found.available:
            # Those that serve nobody end first.
            return
        drain = self.seen.record.drain
        assert drain is not None and drain.revision == step.hash, (step, self.seen)
        assert drain.ended_at is not None and not drain.left, (step, self.seen)

    def _check_point(self, want: Want, step: Point) -> None:
        seen = self.seen
        active = {s.name: s for s in seen.with_role("active")}
        for name in set(step.services) & set(active):
            if step.hash == names.NO_REVISION:
                assert not active[name].endpoints.ready, (step, seen)
                continue
            home = seen.revision(step.hash)
            assert home is not None and home.available > 0, (step, seen)
            assert self.gate_open(want, step.hash), (step, seen)
            if active[name].kind == ROUTE:
                assert any(
                    s.endpoints.ready
                    for s in seen.with_role(names.ROLE_PROOF)
                    if s.of == name and s.target == step.hash
                ), (step, seen)
            left = seen.revision(active[name].target)
            others = (
                left is None
                or left.aborted
                or left.replicas == 0
                or (left.hash == seen.record.revision)
                or not seen.record_exists
            )
            assert others, (step, seen)

    def _check_healthy(self, want: Want, note: Note) -> None:
        if note.record.phase != HEALTHY or self.seen.record.phase == HEALTHY:
            return
        for s in self.seen.with_role("active"):
            if s.exists:
                assert s.target == note.record.stable, (note, self.seen)
                assert s.endpoints.ready, (note, self.seen)


# -- random states ---------------------------------------------------------------------

MEASURED = canonical(
    {
        "metrics": [
            {
                "name": "rate",
                "count": 2,
                "interval": "1s",
                "failureLimit": 1,
                "inconclusiveLimit": 1,
                "provider": {"web": {"url": "http://127.0.0.1/"}},
            }
        ]
    }
)
TOLD = canonical({"port": 8080, "path": "/drain", "method": "GET"})
FALLING = (Size(50, True), Size(1, False))
sizes = st.one_of(
    st.builds(Size, st.integers(1, 4), st.just(False)),
    st.builds(Size, st.sampled_from([1, 20, 34, 50, 100]), st.just(True)),
)
JOB = {"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "b"}]}}}}


@st.composite
def hooks(draw: st.DrawFn) -> str:
    """What a release asks for; mostly nothing."""
    asked = []
    for at in draw(
        st.one_of(st.just([]), st.lists(st.sampled_from(POINTS), max_size=4))
    ):
        outcomes = ["hold", "ignore"]
        if at not in BEYOND_ABORT:
            outcomes += ["abort", "abort"]
        runs = draw(st.sampled_from([{"webhook": {"url": "http://a/"}}, {"job": JOB}]))
        asked.append(
            {
                "name": f"hook-{len(asked)}",
                "at": at,
                "on_failure": draw(st.sampled_from(outcomes)),
                "retries": draw(st.integers(0, 1)),
                **runs,
            }
        )
    return parse_hooks(asked, "hooks")


releases = st.builds(
    parameters,
    hooks=hooks(),
    replicas=st.sampled_from([None, 1, 2, 3, 5]),
    preview_services=st.sampled_from([(), ("web-preview",)]),
    preview_replica_count=st.sampled_from([None, None, 1, 2]),
    scale_up_steps=st.lists(sizes, min_size=1, max_size=3).map(tuple),
    scale_up_interval_seconds=st.sampled_from([0, 0, 20]),
    auto_promotion_enabled=st.booleans(),
    auto_promotion_seconds=st.sampled_from([0, 0, 60]),
    scale_down_delay_seconds=st.sampled_from([-1, 0, 30]),
    scale_down_delay_revision_limit=st.sampled_from([None, 0, 1]),
    abort_scale_down_delay_seconds=st.sampled_from([-1, 0, 30]),
    progress_deadline_seconds=st.sampled_from([5, 600]),
    progress_deadline_abort=st.booleans(),
    on_failure=st.sampled_from(["abort", "hold"]),
    preview_when_idle=st.sampled_from(["stable", "none"]),
    gate_first_deploy=st.booleans(),
    revision_history_limit=st.sampled_from([0, 1, 10]),
    cutover=st.sampled_from(["auto", "atomic", "overlap", "overlap"]),
    overlap_seconds=st.sampled_from([0, 10]),
    pre_promotion_analysis=st.sampled_from(["", "", MEASURED]),
    post_promotion_analysis=st.sampled_from(["", "", MEASURED]),
    drain_http=st.sampled_from(["", "", TOLD]),
    drain=st.sampled_from(["", "", MEASURED]),
    drain_timeout_seconds=st.sampled_from([0, 5, 60]),
    scale_down_steps=st.sampled_from([NONE_AT_ONCE, NONE_AT_ONCE, FALLING]),
    scale_down_interval_seconds=st.sampled_from([0, 0, 20]),
    active_metadata=st.sampled_from(["", "", '{"labels":{"role":"active"}}']),
    preview_metadata=st.sampled_from(["", "", '{"labels":{"role":"preview"}}']),
    anti_affinity=st.sampled_from(["", "", '{"required":{}}']),
)
instants = st.one_of(st.none(), st.integers(-700, 700).map(after))
known = st.sampled_from(HASHES)


OVERLAYS = (
    NOTHING,
    NOTHING,
    Overlay({"role": "active"}),
    Overlay({"role": "preview"}, keeps_off=V1),
)


@st.composite
def revisions(draw: st.DrawFn, revision_hash: str) -> Revision:
    pods = draw(st.integers(0, 5))
    return revision(
        revision_hash,
        pods,
        draw(st.integers(0, pods)),
        parameters=draw(st.one_of(st.none(), releases)),
        aborted=draw(st.sampled_from([False, False, True])),
        autoscaled=draw(st.booleans()),
        failing_since=draw(st.sampled_from([None, None, after(-60), after(0)])),
        overlay=draw(st.sampled_from(OVERLAYS)),
        changing=draw(st.sampled_from([False, False, True])),
    )


@st.composite
def intents(draw: st.DrawFn) -> dict[str, t.Any]:
    act = draw(st.sampled_from(["", "create", "promote", "abort", 7]))
    how = draw(st.sampled_from(["atomic", "overlap"]))
    return {"act": act, "revision": draw(known), "cutover": how} if act else {}


drains = st.builds(
    Drain,
    revision=known,
    size=st.integers(0, 5),
    began_at=st.just(after(-60)),
    until=st.integers(-60, 60).map(after),
    tell_at=instants,
    told=st.sampled_from([{}, {"a": "2026-01-02T03:04:05Z"}]),
    untold=st.sampled_from([{}, {"b": "it answered 500"}]),
    ended_at=instants,
    held=st.integers(0, 5),
    hold_until=instants,
    left=st.booleans(),
)
hook_states = st.builds(
    HookState,
    id=st.just("1-2.hook"),
    at=st.sampled_from(POINTS),
    phase=st.sampled_from([HOOK_PENDING, HOOK_RUNNING, HOOK_SUCCEEDED, HOOK_FAILED]),
    due=st.booleans(),
    attempts=st.integers(0, 3),
    began_at=instants,
    next_at=instants,
    heeded=st.booleans(),
    metadata=st.sampled_from([{}, {"job": "a"}]),
)
records = st.builds(
    Record,
    hooks=st.one_of(
        st.just({}),
        st.dictionaries(st.sampled_from(["hook-0", "hook-1"]), hook_states),
    ),
    revision=st.sampled_from(["", *HASHES]),
    stage=st.sampled_from(STAGES),
    phase=st.sampled_from(["", HEALTHY, PROGRESSING, PHASE_PAUSED, DEGRADED]),
    active=st.sampled_from(["", *HASHES]),
    stable=st.sampled_from(["", *HASHES]),
    last_number=st.integers(0, 5),
    promote_at=instants,
    approved=st.booleans(),
    held=st.sampled_from(["", "", "its pre-promotion analysis"]),
    scale_at=instants,
    scale_from=st.integers(0, 5),
    progress_at=instants,
    progress_available=st.integers(0, 5),
    narrow_at=instants,
    retire_at=st.dictionaries(known, st.integers(-60, 60).map(after), max_size=3),
    intent=intents(),
    drain=st.one_of(st.none(), drains),
    analysis=st.dictionaries(
        st.sampled_from([*KINDS, DRAIN]),
        st.builds(
            AnalysisState,
            st.just("web-pre-1"),
            st.just(NOW),
            st.sampled_from([RUNNING, *FINAL]),
            finished_at=st.just(NOW),
        ),
        max_size=2,
    ),
    request=st.one_of(
        st.none(),
        st.builds(Request, st.sampled_from(["promote", "abort"]), known, st.just("me")),
    ),
)


@st.composite
def states(draw: st.DrawFn) -> Observed:
    found = [draw(revisions(h)) for h in draw(st.sets(known, max_size=4).map(sorted))]
    targets = st.sampled_from([None, "ffffffffff", V1, V2, V1, V2, V3, BOTH])
    services: list[ServiceSeen] = []
    if draw(st.sampled_from([False, False, True])):
        weights = draw(st.sampled_from([(100, 0), (0, 1), (1, 1), (0, 0)]))
        directed = [draw(targets) for _backend in weights]
        services += routed([None if d == BOTH else d for d in directed], weights)
        services[0] = dataclasses.replace(
            services[0],
            lagging=draw(st.sampled_from(["", "it lags"])),
            refused=draw(st.sampled_from(["", "", "it is refused"])),
        )
    for name in ("web", "api")[: 0 if services else draw(st.integers(0, 2))]:
        exists = draw(st.sampled_from([True, True, True, False]))
        services.append(service(draw(targets), name, exists=exists))
        if exists and draw(st.booleans()):
            services.append(proof(draw(known), name))
    if draw(st.booleans()):
        services.append(preview(draw(targets), draw(st.booleans())))
    seen = observed(found, services, draw(st.one_of(st.none(), records)))
    return dataclasses.replace(seen, window=draw(st.booleans()))


wants = st.builds(
    Want,
    goal=st.sampled_from([PREVIEWED, ANALYSED, PAUSED, PROMOTED, RETIRED]),
    hash=st.one_of(st.none(), known),
    deploy=st.none(),
    approve=st.sampled_from([False, False, True]),
    abort=st.sampled_from([False, False, True]),
    inline=st.booleans(),
) | st.builds(
    Want,
    goal=st.just(PREVIEWED),
    hash=known,
    deploy=releases,
    retry=st.booleans(),
    inline=st.booleans(),
)


@given(states(), wants)
@settings(max_examples=examples(150))
def test_any_state_is_answered_within_the_invariants(
    seen: Observed, want: Want
) -> None:
    step = decide(want, seen, NOW)
    view = View(want, seen, NOW)
    if isinstance(step, Cutover):
        back = view.stable is not None and step.hash == view.stable.hash
        assert back or view.gate_open, (step, seen)
        walk = Walk(seen)
        walk._check_floor(want, step)
    if isinstance(step, (Delete, Scale)):
        found = seen.revision(step.hash)
        assert found is not None
        shrinks = isinstance(step, Delete) or step.replicas < found.replicas
        assert not shrinks or step.hash not in seen.targets("active"), (step, seen)
    if isinstance(step, Point):
        directed = [s for s in seen.with_role("active") if s.name in step.services]
        home = seen.revision(step.hash)
        if step.hash == names.NO_REVISION:
            assert not any(s.endpoints.ready for s in directed), (step, seen)
        else:
            assert not directed or (home is not None and home.available > 0), (
                step,
                seen,
            )
    if isinstance(step, Wait) and step.until is not None:
        assert step.until > NOW, (step, seen)
    next_task(want, seen, NOW)


@given(states(), wants, st.sets(known))
@settings(max_examples=examples(120))
def test_any_state_comes_to_an_end(
    seen: Observed, want: Want, broken: set[str]
) -> None:
    # Who has just begun has opened no window yet.
    world = World(dataclasses.replace(seen, window=False), broken=broken)
    end = world.run(want)
    # A window that was drawn, and not opened by this run, is nobody's afterwards.
    nobodys = seen.window and any(s.wide for s in world.seen.services)
    if isinstance(end, Done) and not world.aborted and not nobodys:
        # 4: the same again has nothing to do, and so nothing to write.
        assert isinstance(decide(want, world.seen, world.now), Done)


# -- random walks ----------------------------------------------------------------------


def _revision_changes(revision_hash: str, **changes: t.Any) -> Change:
    def change(walk: Walk) -> None:
        walk.seen = dataclasses.replace(
            walk.seen,
            revisions=tuple(
                dataclasses.replace(r, **changes) if r.hash == revision_hash else r
                for r in walk.seen.revisions
            ),
        )

    return change


def _pods_fail(revision_hash: str, count: int) -> Change:
    def change(walk: Walk) -> None:
        found = walk.seen.revision(revision_hash)
        if found is not None:
            left = max(found.available - count, 0)
            _revision_changes(revision_hash, available=left)(walk)
            walk.seen = with_slices(walk.seen)

    return change


def _scaled_by_hand(revision_hash: str, pods: int) -> Change:
    def change(walk: Walk) -> None:
        found = walk.seen.revision(revision_hash)
        if found is not None:
            ready = min(found.available, pods)
            _revision_changes(revision_hash, replicas=pods, available=ready)(walk)
            walk.seen = with_slices(walk.seen)

    return change


def _edited_by_hand(name: str, target: str | None) -> Change:
    def change(walk: Walk) -> None:
        edited = tuple(
            dataclasses.replace(s, target=target, wide=False) if s.name == name else s
            for s in walk.seen.services
        )
        if any(s.kind == ROUTE and s.name == name for s in edited):
            edited = _reweighted(walk.seen.services, target)
        walk.seen = with_slices(dataclasses.replace(walk.seen, services=edited))
        found = walk.seen.revision(target)
        # Between updates somebody may go back by hand; a revision in flight or
        # aborted is promoted by nobody but its gate.
        record = walk.seen.record
        at_rest = record.stage in (STABLE, VERIFIED, RETIRED)
        in_flight = not at_rest and record.revision == target
        if found is not None and not found.aborted and not in_flight:
            walk.promoted.add(found.hash)

    return change


def _reweighted(
    services: tuple[ServiceSeen, ...], target: str | None
) -> tuple[ServiceSeen, ...]:
    """Somebody leads a route to a revision; to each of its Services if to none."""
    shown = [s.name for s in services if s.kept and s.target == target]

    def edited(s: ServiceSeen) -> ServiceSeen:
        if not s.kept:
            return s
        if target is None:
            return dataclasses.replace(s, weight=50)
        if shown:
            return dataclasses.replace(s, weight=int(s.name == shown[0]))
        return dataclasses.replace(s, target=target, wide=False) if s.weight else s

    return routes_follow(tuple(edited(s) for s in services))


def _gateways(refused: str) -> Change:
    def change(walk: Walk) -> None:
        walk.refused = refused
        walk.seen = answered(walk.seen, refused)

    return change


def _backend_deleted(name: str) -> Change:
    def change(walk: Walk) -> None:
        kept = tuple(
            dataclasses.replace(s, exists=False, target=None)
            if s.kept and s.name == name
            else s
            for s in walk.seen.services
        )
        walk.seen = with_slices(
            dataclasses.replace(walk.seen, services=routes_follow(kept))
        )

    return change


def _record_lost(walk: Walk) -> None:
    walk.seen = dataclasses.replace(walk.seen, record=Record(), record_exists=False)


def _drain_lost(walk: Walk) -> None:
    _record_changes(drain=None)(walk)


def _record_changes(**changes: t.Any) -> Change:
    def change(walk: Walk) -> None:
        record = dataclasses.replace(walk.seen.record, **changes)
        if walk.seen.record_exists:
            walk.seen = dataclasses.replace(walk.seen, record=record)

    return change


def _asks(verb: str, revision_hash: str) -> Change:
    return _record_changes(request=Request(verb, revision_hash, "somebody"))


def _deleted(revision_hash: str) -> Change:
    def change(walk: Walk) -> None:
        kept = tuple(r for r in walk.seen.revisions if r.hash != revision_hash)
        walk.seen = with_slices(dataclasses.replace(walk.seen, revisions=kept))

    return change


def _time_passes(seconds: int) -> Change:
    def change(walk: Walk) -> None:
        walk.now += timedelta(seconds=seconds)

    return change


def _breaks(revision_hash: str) -> Change:
    def change(walk: Walk) -> None:
        walk.broken.add(revision_hash)
        walk.seen = settled(walk.seen, walk.broken)

    return change


def _measures(verdicts: list[str]) -> Change:
    def change(walk: Walk) -> None:
        walk.verdicts = list(verdicts)

    return change


def _answers(answers: list[str]) -> Change:
    def change(walk: Walk) -> None:
        walk.answers = list(answers)

    return change


def _nothing_is_broken(walk: Walk) -> None:
    walk.broken.clear()
    walk.seen = settled(walk.seen)


def _slices_lag(walk: Walk) -> None:
    """The endpoint controller has not seen yet what the Deployments say."""
    walk.seen = dataclasses.replace(
        walk.seen,
        services=tuple(
            dataclasses.replace(s, endpoints=Endpoints())
            if s.role == names.ROLE_PROOF
            else s
            for s in walk.seen.services
        ),
    )


released = st.sampled_from([V1, V2, V3])
changes = st.one_of(
    st.builds(_pods_fail, released, st.integers(1, 5)),
    st.builds(_scaled_by_hand, released, st.integers(0, 6)),
    st.builds(
        _edited_by_hand,
        st.sampled_from(["web", "web", "api", "web-preview"]),
        st.sampled_from([None, "ffffffffff", V1, V2, V3]),
    ),
    st.just(_record_lost),
    st.builds(
        _record_changes,
        promote_at=st.none(),
        progress_at=st.none(),
        scale_at=st.none(),
    ),
    st.builds(_asks, st.sampled_from(["promote", "abort"]), released),
    st.builds(_deleted, released),
    st.builds(_time_passes, st.sampled_from([1, 31, 61, 700])),
    st.builds(_breaks, released),
    st.just(_nothing_is_broken),
    st.builds(
        _measures, st.lists(st.sampled_from([*FINAL, RUNNING]), min_size=1, max_size=9)
    ),
    st.builds(
        _answers, st.lists(st.sampled_from([*FINAL, RUNNING]), min_size=1, max_size=9)
    ),
    st.just(_slices_lag),
    st.just(_drain_lost),
    st.builds(_gateways, st.sampled_from(["", "it is refused"])),
    st.builds(_backend_deleted, st.sampled_from(BACKENDS)),
    st.builds(_revision_changes, released, parameters=st.none()),
    st.builds(_revision_changes, released, autoscaled=st.booleans()),
)


class Interfered(Walk):
    """A walk in which others do things between the steps."""

    def look(self, want: Want, step: Step) -> None:
        super().look(want, step)

    def run(self, want: Want, limit: int = 300) -> Step:
        """As one module, with each change right before a step."""
        for _part in range(limit):
            upcoming = min(
                (at for at in self.changes if at > len(self.steps)), default=None
            )
            self.interfere()
            if upcoming is None:
                return super().run(want, limit)
            try:
                end = World.run(self, want, upcoming - len(self.steps))
            except AssertionError as error:
                if "no end after" not in str(error):
                    raise
                continue
            self.changes = {
                max(at, len(self.steps) + 1): c for at, c in self.changes.items()
            }
            return end
        raise AssertionError("no end")


def at_rest(with_preview: bool = True, services: int = 1) -> Observed:
    """V1 is stable; V0 is an old one without pods.

    :param services: how many active ones there are; ROUTED: users come by a route.
    """
    found = [service(V1, name) for name in ("web", "api")[:services]]
    if services == ROUTED:
        found += routed((V1, V0))
    if with_preview:
        found.append(preview(V1))
    record = Record(
        revision=V1,
        stage=RETIRED,
        phase=HEALTHY,
        active=V1,
        stable=V1,
        preview=V1,
        last_number=1,
    )
    return observed([revision(V0, 0), revision(V1)], found, record)


def modules(deployed: tuple[str, Parameters], approve: bool, abort: bool) -> list[Want]:
    """What the playbooks run one after the other."""
    revision_hash, release = deployed
    return [
        Want(PREVIEWED, revision_hash, release, retry=True),
        Want(ANALYSED),
        Want(PAUSED),
        Want(STABLE if abort else PROMOTED, approve=approve, abort=abort),
        Want(RETIRED),
    ]


@given(
    st.lists(
        st.tuples(
            st.tuples(released, releases),
            st.booleans(),
            st.sampled_from([False, False, True]),
        ),
        min_size=1,
        max_size=3,
    ),
    st.lists(st.tuples(st.integers(0, 60), changes), max_size=6),
    st.integers(ROUTED, 2),
)
@settings(max_examples=examples(150))
def test_nothing_that_others_do_leads_to_harm(
    plays: list[tuple[tuple[str, Parameters], bool, bool]],
    interference: list[tuple[int, Change]],
    services: int,
) -> None:
    walk = Interfered(at_rest(services=services))
    for at, change in interference:
        walk.changes.setdefault(at, []).append(change)
    for deployed, approve, abort in plays:
        for want in modules(deployed, approve, abort):
            if isinstance(walk.run(want), Fail):
                break


def paused(release: Parameters, services: int) -> Observed:
    """V2 waits before its gate, all of it ready and proven."""
    walk = World(at_rest(services=services))
    release = dataclasses.replace(release, preview_services=("web-preview",))
    for want in (Want(PREVIEWED, V2, release), Want(ANALYSED)):
        walk.run(want)
    return walk.seen


@given(
    releases.map(lambda p: dataclasses.replace(p, auto_promotion_enabled=False)),
    st.lists(st.tuples(st.integers(0, 12), changes), min_size=1, max_size=4),
    st.lists(
        st.sampled_from(
            [
                Want(PAUSED),
                Want(PROMOTED),
                Want(PROMOTED, V2),
                Want(RETIRED),
                Want(RETIRED, V1),
                Want(STABLE, V2, abort=True),
            ]
        ),
        min_size=1,
        max_size=3,
    ),
    st.integers(ROUTED, 2),
)
@settings(max_examples=examples(150))
def test_a_shut_gate_stays_shut(
    release: Parameters,
    interference: list[tuple[int, Change]],
    wanted: list[Want],
    services: int,
) -> None:
    walk = Interfered(paused(release, services))
    for at, change in interference:
        walk.changes.setdefault(at, []).append(change)
    for want in wanted:
        walk.run(want)
    opened = V2 in walk.approved | walk.promoted
    stable = walk.seen.record.stable
    assert opened or stable != V2, walk.seen


@given(releases, st.booleans())
@settings(max_examples=examples(40))
def test_a_cutover_waits_for_the_slices(release: Parameters, approve: bool) -> None:
    walk = Walk(paused(release, 1))
    _slices_lag(walk)
    promote = Want(PROMOTED, approve=approve)
    for _step in range(9):
        step = decide(promote, walk.seen, walk.now)
        walk.look(promote, step)
        assert not isinstance(step, Cutover)
        if not isinstance(step, Note):
            break
        walk.seen = dataclasses.replace(walk.seen, record=step.record)


@given(releases, st.integers(ROUTED, 2), st.booleans())
@settings(max_examples=examples(60))
def test_an_update_left_alone_reaches_its_end(
    release: Parameters, services: int, with_preview: bool
) -> None:
    walk = Walk(at_rest(with_preview, services))
    release = dataclasses.replace(
        release, preview_services=("web-preview",) if with_preview else ()
    )
    deploy = Want(PREVIEWED, V2, release)
    wanted = [*modules((V2, release), True, False)]
    for want in wanted:
        assert isinstance(walk.run(want, 60), Done), walk.steps[-1]
    assert walk.seen.targets("active") == {V2}
    assert walk.seen.record.phase == HEALTHY
    assert walk.seen.record.stage == RETIRED
    found = walk.seen.revision(V2)
    assert found is not None and found.available == found.replicas > 0
    # 4: the same play again writes nothing.
    for want in (deploy, *wanted[1:]):
        assert isinstance(decide(want, walk.seen, walk.now), Done), want


@given(releases, st.booleans())
@settings(max_examples=examples(60))
def test_a_first_release_left_alone_reaches_its_end(
    release: Parameters, exists: bool
) -> None:
    walk = Walk(observed([], [service(None, exists=exists), preview(None, exists)]))
    wanted = modules((V1, release), release.gate_first_deploy, False)
    for want in wanted:
        assert isinstance(walk.run(want, 60), Done), walk.steps[-1]
    found = walk.seen.revision(V1)
    assert walk.seen.targets("active") == {V1}
    assert found is not None and found.available == (release.replicas or 1)
    assert walk.seen.record.phase == HEALTHY
    for want in wanted:
        assert isinstance(decide(want, walk.seen, walk.now), Done), want


@given(
    records,
    st.lists(st.sampled_from([V1, V2, None, "ffffffffff"]), min_size=1, max_size=2),
    st.one_of(st.none(), revisions(V2)),
    st.integers(1, 5),
    st.sampled_from([STARTED, PREVIEWED, ANALYSED, PAUSED]),
    st.booleans(),
)
@settings(max_examples=examples(120))
def test_the_way_back_needs_nothing_of_what_is_left(
    record: Record,
    targets: list[str | None],
    left: Revision | None,
    pods: int,
    stage: str,
    asked: bool,
) -> None:
    # 3: V1 is healthy, V2 is in any state or gone, and stays broken.
    record = dataclasses.replace(
        record,
        revision=V2,
        stable=V1,
        active=V1,
        stage=stage,
        progress_at=None,
        request=Request("abort", V2, "me") if asked else None,
    )
    services = [service(h, n) for n, h in zip(("web", "api"), targets, strict=False)]
    found = [revision(V1, pods), *([left] if left else [])]
    seen = observed(found, [*services, preview(V2)], record)
    walk = World(seen, broken={V2})
    abort = Want(STABLE, V2, abort=True)
    end = walk.run(Want(PAUSED, V2) if asked else abort)
    assert not isinstance(end, Fail), end
    assert walk.seen.targets("active") == {V1}
    assert walk.seen.record.stage == STABLE
    assert walk.seen.record.stable == V1
    assert walk.seen.targets("preview") == {V1}


@pytest.mark.parametrize("ended_after", range(12))
def test_an_abort_that_was_ended_midway_is_gone_on_with(ended_after: int) -> None:
    record = Record(
        revision=V2,
        stage=PAUSED,
        approved=True,
        active=V1,
        stable=V1,
        intent={"act": "promote", "revision": V2},
    )
    seen = observed([revision(V1), revision(V2)], [service(V2), preview(V2)], record)
    walk = Walk(seen)
    abort = Want(STABLE, V2, abort=True)
    for _step in range(ended_after):
        try:
            World.run(walk, abort, 1)
        except AssertionError as error:
            assert "no end after" in str(error)
        walk.end()
    began = walk.seen != seen
    walk.run(Want(RETIRED))
    assert walk.seen.targets("active") == {V1 if began else V2}


def test_original_selectors_are_what_the_states_are_built_of() -> None:
    assert service(V1).selector == {**ORIGINAL, names.LABEL_HASH: V1}
    assert pods_of(revision(V1, 2)) == {f"{V1}-0", f"{V1}-1"}


def killed_after(walk: World, steps: int, wanted: t.Iterable[Want]) -> None:
    """Run the modules, up to a step at which the run is killed."""
    for want in wanted:
        left = steps - len(walk.steps)
        try:
            walk.run(want, left) if left > 0 else None
        except AssertionError as error:
            if "no end after" not in str(error):
                raise
    walk.end()


GOALS = {
    "analysis": VERIFIED,
    "pause": PAUSED,
    "promote": VERIFIED,
    "scale_down": RETIRED,
}


def resume(walk: World) -> Step:
    """What the playbook `resume` runs: each task names the one that goes on.

    :returns: Fail as soon as one of them fails.
    """
    for _task in range(5):
        task = next_task(Want(RETIRED), walk.seen, walk.now)
        if task == "none":
            return Done()
        target = View(Want(RETIRED), walk.seen, walk.now).target_hash
        end = walk.run(Want(GOALS[task], target))
        if isinstance(end, Fail):
            return end
    raise AssertionError(f"{task} is never done: {walk.seen}")


@given(
    releases, st.integers(ROUTED, 2), st.booleans(), st.booleans(), st.integers(1, 40)
)
@settings(max_examples=examples(120))
def test_what_was_killed_anywhere_is_resumed_to_its_end(
    release: Parameters, services: int, with_preview: bool, abort: bool, steps: int
) -> None:
    """Invariant 5: where no task is left, nothing is."""
    walk = Walk(at_rest(with_preview, services))
    release = dataclasses.replace(
        release,
        preview_services=("web-preview",) if with_preview else (),
        auto_promotion_enabled=True,
        auto_promotion_seconds=60 if abort else 0,
    )
    wanted = modules((V2, release), False, abort)
    if abort:
        wanted = [Want(PREVIEWED, V2, release), Want(STABLE, abort=True), Want(RETIRED)]
    killed_after(walk, steps, wanted)
    end = resume(walk)
    created = walk.seen.revision(V2) is not None
    assert isinstance(end, Done if created else Fail), end
    left = decide(Want(RETIRED), walk.seen, walk.now)
    assert type(left) is type(end), (left, walk.seen)
