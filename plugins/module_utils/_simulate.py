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
from ._decide import Want
from ._model import Autoscaler, Endpoints, Observed, Revision, ServiceSeen
from ._steps import (
    CloseProof,
    CreateRevision,
    CreateServices,
    Cutover,
    Delete,
    EndMeasurement,
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
    return after_write(step, seen, want), now


def after_write(step: Step, seen: Observed, want: Want) -> Observed:
    """The objects right after a write: nothing has become ready yet."""
    if isinstance(step, CreateRevision):
        created = Revision(
            number=step.number,
            hash=step.hash,
            deployment=step.hash,
            replicas=step.replicas,
            parameters=want.deploy,
        )
        return dataclasses.replace(seen, revisions=(*seen.revisions, created))
    if isinstance(step, Delete):
        kept = tuple(r for r in seen.revisions if r.hash != step.hash)
        return dataclasses.replace(seen, revisions=kept)
    if isinstance(step, (Revive, Scale, MarkAborted, UpdateParameters)):
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
    if isinstance(step, (KeepBudget, RemoveBudget)):
        budgets = {k: v for k, v in seen.budgets.items() if k != step.hash}
        if isinstance(step, KeepBudget):
            budgets[step.hash] = step.spec
        return dataclasses.replace(seen, budgets=budgets)
    return dataclasses.replace(seen, services=_services_after(step, seen))


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
    step: Revive | Scale | MarkAborted | UpdateParameters, want: Want
) -> dict[str, t.Any]:
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
    services = seen.services
    if isinstance(step, CloseProof):
        return tuple(s for s in services if s.role != names.ROLE_PROOF)
    if isinstance(step, OpenProof):
        others = tuple(s for s in services if s.role != names.ROLE_PROOF)
        proofs = tuple(
            ServiceSeen(
                names.proof_service_name(s.name),
                names.ROLE_PROOF,
                target=step.hash,
                original=s.original,
            )
            for s in services
            if s.role == names.ROLE_ACTIVE and s.exists
        )
        return (*others, *proofs)
    if isinstance(step, Cutover):
        moved = {s.name for s in services if s.role == names.ROLE_ACTIVE and s.exists}
    elif isinstance(step, Point):
        moved = set(step.services)
    elif isinstance(step, CreateServices):
        moved = set(step.names)
    else:
        return services
    return tuple(
        dataclasses.replace(
            s,
            exists=True,
            target=step.hash,
            selector={**s.original, names.LABEL_HASH: step.hash},
        )
        if s.name in moved
        else s
        for s in services
    )


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
    """All pods available, and the slices follow the selectors."""
    revisions = tuple(
        dataclasses.replace(r, available=r.replicas) for r in seen.revisions
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
        )
        if s.exists
        else s
        for s in seen.services
    )
    return dataclasses.replace(seen, revisions=revisions, services=services)
