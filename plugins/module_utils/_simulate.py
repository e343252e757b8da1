# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the cluster would look like after a step, if all goes well.

Pure. Check mode plans with it, and the property tests drive the state machine
through it. Private to the collection: it may change in any release.
"""

from __future__ import annotations

import dataclasses
import typing as t
from datetime import datetime, timedelta

from . import _names as names
from ._analysis.state import SUCCESSFUL
from ._decide_cutover import yet_to_widen
from ._drain import Told
from ._hooks import SUCCEEDED
from ._model import (
    ROUTE,
    Autoscaler,
    ConfigSeen,
    Endpoints,
    Observed,
    Revision,
    ServiceSeen,
)
from ._steps import (
    ChangeTemplate,
    CloseProof,
    CreateConfig,
    CreateRevision,
    CreateServices,
    Cutover,
    Delete,
    DropConfig,
    EndHook,
    EndMeasurement,
    EndWorkload,
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
from ._view import Want


def assume(
    step: Step, seen: Observed, want: Want, now: datetime
) -> tuple[Observed, datetime]:
    """The state after a step, and the time: a wait ends when it is over."""
    if isinstance(step, Note):
        return dataclasses.replace(seen, record=step.record, record_exists=True), now
    if isinstance(step, Wait):
        return _after_wait(step, seen, now)
    if isinstance(step, (Measure, EndMeasurement)):
        return _after_analysis(step.kind, seen, now), now
    if isinstance(step, (RunHook, RunTasks, EndHook)):
        return _after_hook(step.name, seen, now), now
    if isinstance(step, Tell):
        return _after_telling(step, seen, now), now
    return after_write(step, seen, want), now


def _after_hook(name: str, seen: Observed, now: datetime) -> Observed:
    """All goes well: it succeeds."""
    hooks = seen.record.hooks
    ended = dataclasses.replace(hooks[name], phase=SUCCEEDED, finished_at=now)
    return dataclasses.replace(
        seen, record=dataclasses.replace(seen.record, hooks={**hooks, name: ended})
    )


def _after_telling(step: Tell, seen: Observed, now: datetime) -> Observed:
    """All goes well: each pod hears it."""
    drain, revision = seen.record.drain, seen.revision(step.hash)
    if drain is None or revision is None:
        return seen
    pods = tuple(f"{step.hash}-{i}" for i in range(revision.available))
    told = drain.heard(Told(pods), now, timedelta(seconds=step.timeout_seconds))
    return dataclasses.replace(
        seen, record=dataclasses.replace(seen.record, drain=told)
    )


def after_write(step: Step, seen: Observed, want: Want) -> Observed:
    """The objects right after a write: nothing has become ready yet."""
    after = _objects_after(step, seen, want)
    return dataclasses.replace(after, config=_config_after(step, after))


def _config_after(step: Step, seen: Observed) -> tuple[ConfigSeen, ...]:
    if isinstance(step, CreateConfig):
        revision = seen.revision(step.hash)
        owner = revision.uid if revision is not None else ""
        made = tuple(ConfigSeen(ref, step.hash, owner) for ref in step.refs)
        others = (c for c in seen.config if (c.ref, c.hash) not in _keys(made))
        return (*others, *made)
    if isinstance(step, (Delete, DropConfig)):
        return tuple(c for c in seen.config if c.hash != step.hash)
    if isinstance(step, (CreateRevision, OwnConfig)):
        revision = seen.revision(step.hash)
        return tuple(
            dataclasses.replace(c, owner=revision.uid)
            if revision is not None and c.hash == step.hash
            else c
            for c in seen.config
        )
    return seen.config


def _keys(config: t.Iterable[ConfigSeen]) -> set[tuple[str, str]]:
    return {(c.ref, c.hash) for c in config}


def _objects_after(step: Step, seen: Observed, want: Want) -> Observed:
    if isinstance(step, CreateRevision):
        created = Revision(
            number=step.number,
            hash=step.hash,
            deployment=step.hash,
            uid=step.hash,
            replicas=step.replicas,
            parameters=want.deploy,
            overlay=step.overlay,
        )
        return dataclasses.replace(seen, revisions=(*seen.revisions, created))
    if isinstance(step, Delete):
        kept = tuple(r for r in seen.revisions if r.hash != step.hash)
        return dataclasses.replace(seen, revisions=kept)
    if isinstance(step, (Revive, Scale, MarkAborted, UpdateParameters, ChangeTemplate)):
        changes = _changes(step, want)
        if isinstance(step, Revive):
            known = seen.revision(step.hash)
            running = known.replicas if known is not None else 0
            changes["replicas"] = max(step.replicas, running)
        return dataclasses.replace(
            seen,
            revisions=tuple(
                _shrunk(dataclasses.replace(r, **changes)) if r.hash == step.hash else r
                for r in seen.revisions
            ),
        )
    if isinstance(step, Retarget):
        return _retargeted(step, seen)
    if isinstance(step, EndWorkload) and seen.workload is not None:
        ended = dataclasses.replace(seen.workload, replicas=0)
        return dataclasses.replace(seen, workload=ended)
    if isinstance(step, (KeepBudget, RemoveBudget)):
        budgets = {k: v for k, v in seen.budgets.items() if k != step.hash}
        if isinstance(step, KeepBudget):
            budgets[step.hash] = step.spec
        return dataclasses.replace(seen, budgets=budgets)
    services = _services_after(step, seen)
    window = isinstance(step, Widen) or (seen.window and any(s.wide for s in services))
    return dataclasses.replace(seen, services=services, window=window)


def _retargeted(step: Retarget, seen: Observed) -> Observed:
    target = seen.revision(step.hash)
    if target is None:
        return seen
    autoscalers = tuple(
        dataclasses.replace(a, target=target.deployment)
        if a.name == step.autoscaler
        else a
        for a in seen.autoscalers
    )
    by_target: dict[str, Autoscaler] = {a.target: a for a in autoscalers}
    revisions = tuple(
        dataclasses.replace(
            r,
            autoscaled=r.deployment in by_target,
            limits=(found.least, found.most)
            if (found := by_target.get(r.deployment))
            else None,
        )
        for r in seen.revisions
    )
    return dataclasses.replace(seen, autoscalers=autoscalers, revisions=revisions)


def _changes(
    step: Revive | Scale | MarkAborted | UpdateParameters | ChangeTemplate, want: Want
) -> dict[str, t.Any]:
    if isinstance(step, ChangeTemplate):
        return {"overlay": step.overlay, "changing": False}
    if isinstance(step, Scale):
        return {"replicas": step.replicas}
    if isinstance(step, MarkAborted):
        return {"aborted": True}
    if isinstance(step, Revive):
        return {
            "number": step.number,
            "parameters": want.deploy,
            "aborted": False,
        }
    changes: dict[str, t.Any] = {"parameters": step.parameters}
    if step.replicas is not None:
        changes["replicas"] = step.replicas
    return changes


def _shrunk(revision: Revision) -> Revision:
    return dataclasses.replace(
        revision, available=min(revision.available, revision.replicas)
    )


def _services_after(step: Step, seen: Observed) -> tuple[ServiceSeen, ...]:
    services = routes_follow(_directed(step, seen))
    if isinstance(step, (Cutover, Point)):
        return routes_follow(_weighed(step, services))
    return services


def _weighed(
    step: Cutover | Point, services: tuple[ServiceSeen, ...]
) -> tuple[ServiceSeen, ...]:
    """A route's weight on the backend that shows the revision it was directed to."""
    routes = {
        s.name
        for s in services
        if s.kind == ROUTE and (isinstance(step, Cutover) or s.name in step.services)
    }
    chosen = {
        s.of: s.name
        for s in services
        if s.of in routes and s.kept and s.target == step.hash
    }

    def weighed(seen: ServiceSeen) -> ServiceSeen:
        if seen.kept and seen.of in chosen:
            weight = 100 if chosen[seen.of] == seen.name else 0
            return dataclasses.replace(seen, weight=weight)
        if seen.kind == ROUTE and seen.name in chosen:
            return dataclasses.replace(seen, lagging="it was just updated", refused="")
        return seen

    return tuple(weighed(s) for s in services)


def routes_follow(services: tuple[ServiceSeen, ...]) -> tuple[ServiceSeen, ...]:
    """Each route directs where the one of its backends does that has the weight."""

    def followed(route: ServiceSeen) -> ServiceSeen:
        backends = [s for s in services if s.of == route.name and s.exists]
        held = [s for s in backends if s.weight]
        target = held[0].target if len(held) == 1 else None
        return dataclasses.replace(route, exists=bool(backends), target=target)

    return tuple(followed(s) if s.kind == ROUTE else s for s in services)


def _with_proofs(
    services: tuple[ServiceSeen, ...], revision_hash: str
) -> tuple[ServiceSeen, ...]:
    """A proof Service for each active one; of a route, the backend without users."""
    others = tuple(s for s in services if s.role != names.ROLE_PROOF or s.kept)
    shown = {s.of for s in others if s.kept and s.target == revision_hash}
    idle = {s.name for s in others if s.kept and not s.weight and s.of not in shown}
    proofs = tuple(
        ServiceSeen(
            names.proof_service_name(s.name),
            names.ROLE_PROOF,
            target=revision_hash,
            original=s.original,
            of=s.name,
        )
        for s in services
        if s.role == names.ROLE_ACTIVE and s.exists and s.kind != ROUTE
    )
    return (
        *(
            dataclasses.replace(s, target=revision_hash)
            if s.kept and s.name in idle
            else s
            for s in others
        ),
        *proofs,
    )


def _directed(step: Step, seen: Observed) -> tuple[ServiceSeen, ...]:
    services = seen.services
    if isinstance(step, CloseProof):
        return tuple(s for s in services if s.role != names.ROLE_PROOF or s.kept)
    if isinstance(step, OpenProof):
        return _with_proofs(services, step.hash)
    if isinstance(step, Widen):
        active = [s for s in services if s.role == names.ROLE_ACTIVE]
        left = yet_to_widen(active, step.hash)
        return tuple(_widened(s) if s in left else s for s in services)
    if not isinstance(step, (Cutover, Point, CreateServices)):
        return services
    return tuple(
        dataclasses.replace(
            s,
            exists=True,
            target=step.hash,
            wide=False,
            selector={**s.original, names.LABEL_HASH: step.hash},
        )
        if _is_moved(step, s)
        else s
        for s in services
    )


def _is_moved(step: Cutover | Point | CreateServices, service: ServiceSeen) -> bool:
    """Whether a step writes the selector: a route follows its backends."""
    if service.kind == ROUTE:
        return False
    if isinstance(step, Cutover):
        return service.role == names.ROLE_ACTIVE and service.exists
    if isinstance(step, Point):
        return service.name in step.services and not service.kept
    return service.name in step.names


def _widened(service: ServiceSeen) -> ServiceSeen:
    selector = {k: v for k, v in service.original.items() if k != names.LABEL_HASH}
    return dataclasses.replace(service, target=None, wide=True, selector=selector)


def _after_analysis(kind: str, seen: Observed, now: datetime) -> Observed:
    """All goes well: the analysis passes."""
    record = seen.record
    passed = dataclasses.replace(
        record.analysis[kind], phase=SUCCESSFUL, finished_at=now
    )
    record = dataclasses.replace(record, analysis={**record.analysis, kind: passed})
    return dataclasses.replace(seen, record=record)


def _after_wait(step: Wait, seen: Observed, now: datetime) -> tuple[Observed, datetime]:
    settled = everything_ready(seen)
    if settled != seen:
        return settled, now
    if step.until is not None:
        return seen, max(now, step.until) + timedelta(milliseconds=1)
    return seen, now


def everything_ready(seen: Observed) -> Observed:
    """All pods available, the slices follow the selectors, and gateways the routes."""
    revisions = tuple(
        dataclasses.replace(r, available=r.replicas, pods=r.replicas)
        for r in seen.revisions
    )
    ready = {
        r.hash: frozenset(f"{r.hash}-{i}" for i in range(r.available))
        for r in revisions
    }
    everything = frozenset().union(*ready.values())
    services = tuple(
        dataclasses.replace(
            s,
            endpoints=Endpoints(
                ready.get(s.target, frozenset()) if s.target else everything
            ),
            lagging="",
            refused="",
        )
        if s.exists
        else s
        for s in seen.services
    )
    pods = {pod: name for name, ones in ready.items() for pod in ones}
    return dataclasses.replace(seen, revisions=revisions, services=services, pods=pods)
