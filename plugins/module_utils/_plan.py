# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a release would change: objects, endpoints, and who else has a say.

Pure. Private to the collection: it may change in any release.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t
from dataclasses import dataclass

from . import _names as names
from ._findings import NOTICE, WARNING, Finding
from ._manifests import original_selector
from ._model import ROUTE, Observed, ServiceSeen, describe
from ._objects import Object
from ._steps import (
    CreateRevision,
    CreateServices,
    Cutover,
    Delete,
    KeepBudget,
    MarkAborted,
    Note,
    OpenProof,
    Point,
    RemoveBudget,
    Retarget,
    Revive,
    Scale,
    Step,
    UpdateParameters,
    Widen,
)
from ._surroundings import matches, reconciler_of

Labels = t.Mapping[str, str]
# Each step and what is assumed to be seen before it, to the end.
Planned = t.Sequence["tuple[Step, Observed]"]

CREATE, UPDATE, DELETE = "create", "update", "delete"
PASSED, REFUSED = "passed", "refused"
NOT_TRIED, FORBIDDEN = "planned, not dry-run", "not allowed to this user"

_MOST_SHOWN = 80
# Where plain texts may be secrets.
_MASKED = re.compile(r"(^|\.)(env|args|command|annotations|exec|httpHeaders)(\.|$)")
_KINDS = re.compile(
    r"(?P<object>(?:Service|Deployment|Pod|PodDisruptionBudget|NetworkPolicy|HTTPRoute"
    r"|HorizontalPodAutoscaler) [a-z0-9][-a-z0-9.]*) (?P<rest>.+)",
    re.S,
)
# They write a selector once, and nobody is behind them who would do it again.
_PEOPLE = ("kubectl", names.FIELD_MANAGER)


@dataclass(frozen=True)
class Change:
    """What becomes of one object."""

    object: str
    action: str
    fields: tuple[str, ...] = ()
    dry_run: str = NOT_TRIED

    def __str__(self) -> str:
        told = f": {'; '.join(self.fields)}" if self.fields else ""
        outcome = NOT_TRIED if self.dry_run == NOT_TRIED else f"dry-run {self.dry_run}"
        return f"{self.action} {self.object} ({outcome}){told}"

    def as_data(self) -> dict[str, t.Any]:
        """As results have it."""
        return {**dataclasses.asdict(self), "fields": list(self.fields)}


def changes_of(planned: Planned, rollout: str) -> list[Change]:
    """What becomes of each object, in the order in which it is first touched."""
    found: dict[str, Change] = {}
    for step, seen in planned:
        for change in _of_step(step, seen, rollout):
            known = found.get(change.object)
            found[change.object] = _after(known, change) if known else change
    return list(found.values())


def _after(known: Change, later: Change) -> Change:
    """Both as one: what is created and changed later is created."""
    fields = tuple(dict.fromkeys((*known.fields, *later.fields)))
    action = known.action
    if later.action == DELETE:
        action = DELETE if known.action == UPDATE else f"{CREATE}, then {DELETE}"
    return dataclasses.replace(known, action=action, fields=fields)


def _of_step(step: Step, seen: Observed, rollout: str) -> list[Change]:
    if isinstance(step, Note):
        action = UPDATE if seen.record_exists else CREATE
        return [Change(f"ConfigMap {names.record_name(rollout)}", action)]
    if isinstance(step, (CreateServices, Point, Cutover, Widen, OpenProof)):
        return _of_services(step, seen)
    if isinstance(step, (KeepBudget, RemoveBudget, Retarget)):
        return [_of_guard(step, seen, rollout)]
    if isinstance(
        step, (CreateRevision, Revive, Scale, UpdateParameters, MarkAborted, Delete)
    ):
        return [_of_revision(step, seen, rollout)]
    return []


def _of_revision(
    step: CreateRevision | Revive | Scale | UpdateParameters | MarkAborted | Delete,
    seen: Observed,
    rollout: str,
) -> Change:
    name = f"Deployment {names.deployment_name(rollout, step.hash)}"
    if isinstance(step, Delete):
        return Change(name, DELETE)
    size = getattr(step, "replicas", None)
    if isinstance(step, CreateRevision):
        return Change(name, CREATE, (f"spec.replicas: {size}",))
    present = seen.revision(step.hash)
    before = present.replicas if present else 0
    resized = size is not None and size != before
    fields = (f"spec.replicas: {before} -> {size}",) if resized else ()
    return Change(name, UPDATE, fields)


def _of_services(
    step: CreateServices | Point | Cutover | Widen | OpenProof, seen: Observed
) -> list[Change]:
    to = describe(seen.revision(step.hash), step.hash)
    if isinstance(step, CreateServices):
        return [
            Change(f"Service {n}", CREATE, (f"directed to {to}",)) for n in step.names
        ]
    if isinstance(step, OpenProof):
        return [
            Change(
                f"Service {names.proof_service_name(s.name)}",
                f"{CREATE}, then {DELETE}",
            )
            for s in seen.with_role(names.ROLE_ACTIVE)
            if s.exists and s.kind != ROUTE
        ]
    if isinstance(step, Point):
        moved = [s for s in seen.services if s.name in step.services and not s.kept]
    else:
        moved = [s for s in seen.with_role(names.ROLE_ACTIVE) if s.exists]
    if isinstance(step, Widen):
        return [Change(f"{s.kind} {s.name}", UPDATE, ("selects both",)) for s in moved]
    return [_moved(s, seen, to) for s in moved]


def _moved(service: ServiceSeen, seen: Observed, to: str) -> Change:
    before = describe(seen.revision(service.target), "its own selector")
    name = f"{service.kind} {service.name}"
    return Change(name, UPDATE, (f"directed to: {before} -> {to}",))


def _of_guard(
    step: KeepBudget | RemoveBudget | Retarget, seen: Observed, rollout: str
) -> Change:
    to = names.deployment_name(rollout, step.hash)
    if isinstance(step, Retarget):
        name = f"HorizontalPodAutoscaler {step.autoscaler}"
        return Change(name, UPDATE, (f"spec.scaleTargetRef.name: {to}",))
    name = f"PodDisruptionBudget {to}"
    if isinstance(step, RemoveBudget):
        return Change(name, DELETE)
    action = UPDATE if step.hash in seen.budgets else CREATE
    return Change(name, action, (step.spec,))


def growth_of(planned: Planned) -> dict[str, int]:
    """How many more pods than now each revision has at its largest, by its hash."""
    observed = [seen for _step, seen in planned]
    now = {r.hash: r.replicas for seen in observed[:1] for r in seen.revisions}
    most: dict[str, int] = {}
    for seen in observed:
        for revision in seen.revisions:
            more = revision.replicas - now.get(revision.hash, 0)
            most[revision.hash] = max(more, most.get(revision.hash, 0))
    return {revision: more for revision, more in most.items() if more}


# -- what differs ----------------------------------------------------------------------


def differences(before: object, after: object, path: str = "") -> list[str]:
    """Where two structures differ: `path: old -> new`.

    What may be a secret is named without its values. Lists of named items are compared
    by name.
    """
    one, other = _by_key(before), _by_key(after)
    # What is there on one side only is told field by field, too: parts are masked.
    one = {} if not before and other is not None else one
    other = {} if not after and one is not None else other
    if one is not None and other is not None:
        return [
            line
            for key in dict.fromkeys((*one, *other))
            for line in differences(
                one.get(key), other.get(key), f"{path}.{key}" if path else key
            )
        ]
    if before == after:
        return []
    if _MASKED.search(path):
        verb = "added" if before is None else "removed" if after is None else "changed"
        return [f"{path}: {verb}"]
    return [f"{path}: {_short(before)} -> {_short(after)}"]


def _by_key(value: object) -> dict[str, t.Any] | None:
    if isinstance(value, dict):
        return value
    if not isinstance(value, list) or not value:
        return None
    if not all(isinstance(v, dict) and "name" in v for v in value):
        return None
    return {str(v["name"]): v for v in value}


def _short(value: object) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


# -- endpoints -------------------------------------------------------------------------


def endpoints_now(
    service: str, slices: t.Iterable[Object], pods: t.Iterable[Object], seen: Observed
) -> list[dict[str, t.Any]]:
    """The ready endpoints of a Service: pod, addresses, number of the revision.

    :param pods: the pods of the rollout.
    """
    revisions = {p["metadata"]["name"]: seen.revision(_hash_of(p)) for p in pods}
    found: dict[str, list[str]] = {}
    for piece in slices:
        labels = piece["metadata"].get("labels") or {}
        if labels.get("kubernetes.io/service-name") != service:
            continue
        for endpoint in piece.get("endpoints") or []:
            if (endpoint.get("conditions") or {}).get("ready") is False:
                continue
            name = (endpoint.get("targetRef") or {}).get("name")
            listed = found.setdefault(str(name or endpoint["addresses"][0]), [])
            listed += [a for a in endpoint["addresses"] if a not in listed]
    return [
        {
            "pod": name,
            "addresses": addresses,
            "revision": revision.number if (revision := revisions.get(name)) else None,
        }
        for name, addresses in sorted(found.items())
    ]


def _hash_of(pod: Object) -> str:
    labels = pod["metadata"].get("labels") or {}
    return str(labels.get(names.LABEL_HASH, ""))


def endpoints_then(
    service: ServiceSeen, expected: Observed, pods: t.Iterable[Object]
) -> dict[str, t.Any]:
    """What a Service has at the end: its revision, how many pods, those that exist.

    The names of pods that are yet to be made are not known.
    """
    revision = expected.revision(service.target)
    count = revision.replicas if revision else 0
    known = [
        {
            "pod": pod["metadata"]["name"],
            "addresses": [
                a["ip"] for a in (pod.get("status") or {}).get("podIPs") or []
            ],
            "revision": revision.number,
        }
        for pod in pods
        if revision is not None
        and _hash_of(pod) == revision.hash
        and "deletionTimestamp" not in pod["metadata"]
    ]
    return {
        "revision": revision.number if revision else None,
        "hash": service.target or "",
        "count": count,
        "pods": sorted(known, key=lambda k: str(k["pod"]))[:count],
    }


def endpoints_line(
    service: str, before: list[t.Any], after: t.Mapping[str, t.Any]
) -> str:
    """Both in one line."""
    served = sorted({e["revision"] for e in before if e["revision"] is not None})
    of = f" of revision {' and '.join(map(str, served))}" if served else ""
    if after["revision"] is None:
        return f"endpoints of Service {service}: {len(before)}{of} now"
    return f"endpoints of Service {service}: {len(before)}{of} now, then {_then(after)}"


def _then(after: t.Mapping[str, t.Any]) -> str:
    new = after["count"] - len(after["pods"])
    made = f", {new} yet to be made" if new > 0 else ""
    return f"{after['count']} of revision {after['revision']} ({after['hash']}){made}"


def endpoints_shown(side: t.Any) -> list[str]:
    """One side of a Service's endpoints, as a diff shows it."""
    pods = side["pods"] if isinstance(side, dict) else side
    lines = [
        f"{' '.join(e['addresses'])} {e['pod']} (revision {e['revision'] or 'unknown'})"
        for e in pods
    ]
    if isinstance(side, dict) and side["count"] > len(pods):
        lines.append(_then(side))
    return lines


# -- who else has a say ----------------------------------------------------------------


def from_warning(text: str) -> Finding:
    """What a deploy would warn of, as a finding about the object it begins with."""
    named = _KINDS.fullmatch(text)
    if named is None:
        return Finding(WARNING, "release", text)
    return Finding(WARNING, named["object"], named["rest"])


def of_services(
    services: t.Iterable[Object], directed: t.Collection[str], new: Labels
) -> list[Finding]:
    """Services beside those of the release that select the new pods."""
    return [
        Finding(
            NOTICE,
            f"Service {service['metadata']['name']}",
            "selects the pods of every revision: it sends requests to the new ones as"
            " soon as they are ready, before the promotion.",
        )
        for service in services
        if service["metadata"]["name"] not in directed
        and (selector := service["spec"].get("selector"))
        and all(new.get(k) == v for k, v in selector.items())
    ]


def of_budgets(budgets: t.Iterable[Object], old: Labels, new: Labels) -> list[Finding]:
    """Users' budgets that hold for the new pods only; for both, there is a warning."""
    return [
        Finding(
            NOTICE,
            f"PodDisruptionBudget {budget['metadata']['name']}",
            "holds for the new pods.",
        )
        for budget in budgets
        if matches(selector := budget["spec"].get("selector"), new)
        and not (old and matches(selector, old))
    ]


def of_policies(policies: t.Iterable[Object], new: Labels) -> list[Finding]:
    """NetworkPolicies that hold for the new pods."""
    return [
        Finding(
            NOTICE,
            f"NetworkPolicy {policy['metadata']['name']}",
            "holds for the new pods, too.",
        )
        for policy in policies
        if matches(policy["spec"].get("podSelector") or {}, new)
    ]


def of_autoscalers(seen: Observed) -> list[Finding]:
    """Autoscalers, which follow the users."""
    return [
        Finding(
            NOTICE,
            f"HorizontalPodAutoscaler {autoscaler.name}",
            f"decides the size ({autoscaler.least} to {autoscaler.most} pods), and"
            " follows the users to the new revision after its promotion.",
        )
        for autoscaler in seen.autoscalers
    ]


def of_jobs(jobs: t.Iterable[Object], services: t.Iterable[Object]) -> list[Finding]:
    """Jobs and CronJobs whose pods a Service of the release would select by its own
    selector: they get requests until it selects a revision, and none from then on.
    """
    selectors = {s["metadata"]["name"]: original_selector(s) for s in services}
    found = []
    for job in jobs:
        labels = _labels_of_job(job)
        for name, selector in selectors.items():
            if selector and all(labels.get(k) == v for k, v in selector.items()):
                found.append(
                    Finding(
                        WARNING,
                        f"{job['kind']} {job['metadata']['name']}",
                        f"makes pods that the selector of Service {name} matches: they"
                        " get users' requests wherever it does not select a revision;"
                        " give them other labels.",
                    )
                )
    return found


def _labels_of_job(job: Object) -> Labels:
    spec = job["spec"].get("jobTemplate") or job
    template = (spec.get("spec") or {}).get("template") or {}
    labels: Labels = (template.get("metadata") or {}).get("labels") or {}
    return labels


def of_managers(item: Object, field: str, accepted: t.Collection[str]) -> list[Finding]:
    """Tools that apply an object, and may put a field of its spec back.

    :param item: an object with its kind.
    :param field: of its spec, as people write it.
    :param accepted: field managers that were told to leave it alone.
    """
    metadata = item["metadata"]
    name = f"{item['kind']} {metadata['name']}"
    who, manager = reconciler_of(metadata)
    if who and manager not in accepted:
        return [
            Finding(
                WARNING,
                name,
                f"{who} applies it and may put spec.{field} back; tell it to ignore"
                " that field, and accept it with accept_field_manager.",
            )
        ]
    marks = {**(metadata.get("annotations") or {}), **(metadata.get("labels") or {})}
    if marks.get("app.kubernetes.io/managed-by") == "Helm" and "Helm" not in accepted:
        return [
            Finding(
                NOTICE,
                name,
                f"Helm applies it; helm --force, or Helm 4 with --force-conflicts, puts"
                f" spec.{field} back.",
            )
        ]
    return [
        Finding(
            NOTICE,
            name,
            f"{other} has written spec.{field}; if it does so again, the next run puts"
            " it right.",
        )
        for other in _writers(metadata, field)
        if other not in accepted
    ]


def _writers(metadata: Object, field: str) -> list[str]:
    """Who owns a field of the spec by ordinary writes."""
    found = []
    for entry in metadata.get("managedFields") or []:
        owned = (entry.get("fieldsV1") or {}).get("f:spec") or {}
        manager = str(entry.get("manager"))
        if entry.get("operation") != "Update" or f"f:{field}" not in owned:
            continue
        if not manager.startswith(_PEOPLE):
            found.append(manager)
    return list(dict.fromkeys(found))
