# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What people read about a rollout: the result of a module, and the status tree.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import typing as t
from datetime import datetime

from . import _history as ended_releases
from . import _names as names
from ._analysis.state import (
    ERROR,
    FAILED,
    INCONCLUSIVE,
    SUCCESSFUL,
    AnalysisState,
    to_plain,
)
from ._clock import format_instant, parse_instant
from ._cluster import pod_trouble
from ._config import objects_of
from ._hooks import Hook, HookState
from ._model import Observed, Revision, ServiceSeen
from ._objects import Object
from ._parameters import Parameters
from ._record import Record
from ._stages import RETIRED, STABLE, VERIFIED
from ._view import View, is_quick_way_back

_MAX_LISTED = 50
_MAX_ENDED_IN_TREE = 5


def rollout_result(
    rollout: str,
    namespace: str,
    seen: Observed,
    now: datetime,
    target_hash: str | None,
    next_task: str,
    steps: t.Sequence[str],
) -> dict[str, t.Any]:
    """The ``rollout`` of every module's result."""
    record = seen.record
    return {
        "name": rollout,
        "namespace": namespace,
        "phase": record.phase,
        "stage": record.stage,
        "message": record.message,
        "target": _brief(seen, target_hash),
        "active": _brief(seen, seen.active_hash),
        "stable": _brief(seen, record.stable),
        "preview": _brief(seen, _preview_hash(seen)),
        "next_at": format_instant(record.next_at) if record.next_at else None,
        "next_task": next_task,
        "cutover": dict(record.cutover),
        "analysis": {kind: to_plain(a) for kind, a in record.analysis.items()},
        "drain": _drain(record, seen),
        "hooks": {name: _hook(state) for name, state in record.hooks.items()},
        "rollback_to": [_way_back(r, seen, now) for r in ways_back(seen)],
        "revisions": [
            _listed(r, seen, now)
            for r in sorted(seen.revisions, key=lambda r: -r.number)[:_MAX_LISTED]
        ],
        "history": ended_releases.listed(record.history),
        "steps": list(steps)[-_MAX_LISTED:],
    }


def _drain(record: Record, seen: Observed) -> dict[str, t.Any] | None:
    """The end of an old revision, while it goes on."""
    drain = record.drain
    if drain is None or drain.left:
        return None
    return {
        **(_brief(seen, drain.revision) or {}),
        "until": format_instant(drain.until),
        "ended": drain.ended_at is not None,
        "told": sorted(drain.told),
        "untold": dict(drain.untold),
        "values": dict(drain.values),
        "why": drain.why,
    }


def _hook(state: HookState) -> dict[str, t.Any]:
    """How a hook fares; nothing of what finds it again."""
    instants = {"started_at": state.started_at, "finished_at": state.finished_at}
    return {
        "at": state.at,
        "phase": state.phase,
        "attempts": state.attempts,
        "message": state.message,
        "seconds": state.seconds,
        **{k: format_instant(v) if v else None for k, v in instants.items()},
    }


def hook_result(view: View, hook: Hook | None) -> dict[str, t.Any] | None:
    """The task file that whoever runs the tasks includes now."""
    if hook is None:
        return None
    state = view.record.hooks[hook.name]
    return {
        "name": hook.name,
        "at": hook.at,
        "tasks": hook.tasks,
        "timeout_seconds": hook.timeout_seconds,
        "attempt": state.attempts,
        "id": state.id,
    }


def _hook_line(name: str, state: HookState) -> str:
    line = f"hook {name} ({state.at}) {state.phase}"
    if state.attempts > 1:
        line = f"{line}, {state.attempts} attempts"
    return f"{line}: {state.message}" if state.message else line


def ways_back(seen: Observed) -> list[Revision]:
    """The revisions that a rollback can go to, the newest first."""
    present = seen.record.stable or seen.active_hash
    found = [r for r in seen.revisions if not r.aborted and r.hash != present]
    in_flight = seen.record.revision if seen.record_exists else ""
    ended = seen.record.stage in (STABLE, VERIFIED, RETIRED)
    return sorted(
        (r for r in found if ended or r.hash != in_flight), key=lambda r: -r.number
    )


def _way_back(revision: Revision, seen: Observed, now: datetime) -> dict[str, t.Any]:
    stable = seen.revision(seen.record.stable)
    parameters = (stable and stable.parameters) or revision.parameters or Parameters()
    quick = is_quick_way_back(revision, parameters, seen, now)
    if revision.replicas == 0:
        how = "scaled up first, then " + ("no gates" if quick else "its gates")
    else:
        how = "at once" if quick else "its gates"
    created = parse_instant(revision.created)
    return {
        "revision": revision.number,
        "hash": revision.hash,
        "age_seconds": int((now - created).total_seconds()) if created else None,
        "how": how,
    }


def _brief(seen: Observed, revision_hash: str | None) -> dict[str, t.Any] | None:
    revision = seen.revision(revision_hash)
    if revision is None:
        return {"revision": None, "hash": revision_hash} if revision_hash else None
    return {"revision": revision.number, "hash": revision.hash}


def _preview_hash(seen: Observed) -> str | None:
    targets = seen.targets(names.ROLE_PREVIEW) - {names.NO_REVISION}
    return next(iter(targets)) if len(targets) == 1 else None


def _listed(revision: Revision, seen: Observed, now: datetime) -> dict[str, t.Any]:
    return {
        "revision": revision.number,
        "hash": revision.hash,
        "deployment": revision.deployment,
        "replicas": revision.replicas,
        "available": revision.available,
        "images": list(revision.images),
        "config": _config(revision),
        "created": revision.created,
        "tags": tags(revision, seen, now),
    }


def _config(revision: Revision) -> list[str]:
    refs = revision.parameters.config if revision.parameters else ()
    return objects_of(refs, revision.hash)


def tags(revision: Revision, seen: Observed, now: datetime) -> list[str]:
    """What a revision is at this moment, as in ``active`` or ``delay:17s``."""
    found = []
    if revision.hash in seen.targets(names.ROLE_ACTIVE):
        found.append("active")
    if revision.hash == seen.record.stable:
        found.append("stable")
    if revision.hash in seen.targets(names.ROLE_PREVIEW):
        found.append("preview")
    if revision.aborted:
        found.append("aborted")
    if revision in ways_back(seen):
        found.append(f"rollback: {_way_back(revision, seen, now)['how']}")
    at = seen.record.retire_at.get(revision.hash)
    if at is not None and revision.replicas > 0:
        left = (at - now).total_seconds()
        found.append(f"delay:{left:.0f}s" if left > 0 else "delay:passed")
    drain = seen.record.drain
    if drain is not None and drain.revision == revision.hash and not drain.left:
        left = (drain.until - now).total_seconds()
        drains = drain.ended_at is None and left > 0
        found.append(f"drains:{left:.0f}s" if drains else "drains:ended")
    return found


def tree(
    rollout: str,
    namespace: str,
    seen: Observed,
    pods: t.Sequence[Object],
    now: datetime,
) -> list[str]:
    """The status tree, a line each: the rollout, its Services, revisions and pods, and
    below it the releases that ended last.
    """
    ended = ended_releases.listed(seen.record.history)[:_MAX_ENDED_IN_TREE]
    history = [f"history: {ended_releases.told(entry)}" for entry in ended]
    return [*tree_of_present(rollout, namespace, seen, pods, now), *history]


def tree_of_present(
    rollout: str,
    namespace: str,
    seen: Observed,
    pods: t.Sequence[Object],
    now: datetime,
) -> list[str]:
    """The same without what has ended."""
    record = seen.record
    lines = [f"{namespace}/{rollout}  {record.phase or 'Unknown'} ({record.stage})"]
    if record.message:
        lines.append(f"  {record.message}")
    goes_on = when(record, now)
    if goes_on:
        lines.append(f"  {goes_on}")
    lines += [f"  {_analysis_line(k, a)}" for k, a in record.analysis.items()]
    lines += [f"  {_hook_line(n, s)}" for n, s in record.hooks.items()]
    shown = [s for s in seen.services if s.role != names.ROLE_PROOF]
    branches = [_service_line(s, seen) for s in shown]
    for revision in sorted(seen.revisions, key=lambda r: -r.number):
        branches.append(_revision_lines(revision, seen, pods, now))
    if not branches:
        lines.append("  nothing was released yet")
    for index, branch in enumerate(branches):
        lines += _indented(branch, last=index == len(branches) - 1)
    return lines


def when(record: Record, now: datetime) -> str:
    """When it goes on by itself, as a clause; empty if it does not."""
    if record.next_at is None:
        return ""
    left = max((record.next_at - now).total_seconds(), 0)
    return f"goes on at {format_instant(record.next_at)}, in {left:.0f} s"


_SHORT = (
    ("successful", SUCCESSFUL),
    ("failed", FAILED),
    ("inconclusive", INCONCLUSIVE),
    ("error", ERROR),
)


def _analysis_line(kind: str, state: AnalysisState) -> str:
    metrics = []
    for name, metric in state.metrics.items():
        counts = [
            f"{getattr(metric, field)} {phase}"
            for field, phase in _SHORT
            if getattr(metric, field)
        ]
        metrics.append(f"{name} {', '.join(counts) or metric.phase}")
    listed = f" ({'; '.join(metrics)})" if metrics else ""
    return f"{kind} analysis {state.phase}{listed}"


def _service_line(service: ServiceSeen, seen: Observed) -> list[str]:
    """A Service, or a route with its two Services below it."""
    called = f"{service.kind} {service.name} ({service.role})"
    if not service.exists:
        return [f"{called}: does not exist"]
    said = service.refused or service.lagging
    head = f"{called} {_where(service, seen)}" + (f"; {said}" if said else "")
    backends = [s for s in seen.services if s.kept and s.of == service.name]
    below = [_indented([_backend_line(s, seen)], s is backends[-1]) for s in backends]
    return [head, *(line for lines in below for line in lines)]


def _backend_line(service: ServiceSeen, seen: Observed) -> str:
    called = f"weight {service.weight}  Service {service.name}"
    if not service.exists:
        return f"{called}: does not exist"
    return f"{called} {_where(service, seen)}"


def _where(service: ServiceSeen, seen: Observed) -> str:
    if service.target == names.NO_REVISION:
        return "-> nothing"
    revision = seen.revision(service.target)
    where = f"revision {revision.number}" if revision else "no revision of this rollout"
    return f"-> {where}, {len(service.endpoints.ready)} ready"


def _revision_lines(
    revision: Revision, seen: Observed, pods: t.Sequence[Object], now: datetime
) -> list[str]:
    marks = tags(revision, seen, now)
    head = f"revision {revision.number}"
    if marks:
        head = f"{head}  {', '.join(marks)}"
    images = ", ".join(revision.images)
    deployment = (
        f"Deployment {revision.deployment}  {revision.available}/{revision.replicas}"
        f" available  {images}"
    )
    own = [
        p
        for p in pods
        if p["metadata"].get("labels", {}).get(names.LABEL_HASH) == revision.hash
    ]
    lines = [_pod_line(p) for p in sorted(own, key=lambda p: p["metadata"]["name"])]
    if len(lines) > _MAX_LISTED:
        lines = [*lines[:_MAX_LISTED], f"and {len(lines) - _MAX_LISTED} more pods"]
    below = []
    for index, line in enumerate(lines):
        below += _indented([line], last=index == len(lines) - 1)
    config = [line for o in _config(revision) for line in _indented([o], last=False)]
    return [head, *config, *_indented([deployment, *below], last=True)]


def _pod_line(pod: Object) -> str:
    status = pod.get("status") or {}
    containers = status.get("containerStatuses") or []
    ready = sum(1 for c in containers if c.get("ready"))
    restarts = sum(c.get("restartCount", 0) for c in containers)
    total = len(pod["spec"].get("containers") or [])
    phase = (
        "Terminating"
        if "deletionTimestamp" in pod["metadata"]
        else status.get("phase", "Unknown")
    )
    trouble = pod_trouble(pod)
    text = f"Pod {pod['metadata']['name']}  {phase}  ready:{ready}/{total}"
    if restarts:
        text += f"  restarts:{restarts}"
    return f"{text}  {trouble}" if trouble else text


def _indented(lines: t.Sequence[str], last: bool) -> list[str]:
    first, rest = ("└─ ", "   ") if last else ("├─ ", "│  ")
    return [(first if i == 0 else rest) + line for i, line in enumerate(lines)]
