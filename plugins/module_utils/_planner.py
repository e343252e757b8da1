# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A plan for whoever signs a release off: reads the cluster, and tries the writes.

Every write here is a dry-run. What the user may not read is said and left out.
Private to the collection: it may change in any release.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import typing as t
from dataclasses import dataclass

from . import _names as names
from . import _plan, _room
from ._api import Api, forbidden
from ._cluster import Cluster
from ._errors import ApiError, Conflict, NotFound
from ._findings import (
    ERROR,
    NOTICE,
    Finding,
    labels_of_revision,
    of_definition,
    of_service,
    ordered,
    summary,
)
from ._manifests import Deployment, ServiceInput
from ._model import ROUTE, Observed
from ._objects import Object
from ._overlay import without_overlay
from ._parameters import Parameters
from ._preflight import accepts, is_allowed, rules_of_user
from ._steps import (
    CreateRevision,
    CreateServices,
    Cutover,
    Delete,
    Point,
    Retarget,
    Scale,
    Step,
)

_DRY_RUN = {"dryRun": "All"}
_RUNNING = {"fieldSelector": "status.phase!=Succeeded,status.phase!=Failed"}

Try = t.Callable[[], "Object | None"]


class DryRunApi(Api):
    """The API, where each write is tried and none is done."""

    def __init__(self, api: Api) -> None:
        # One connection, one clock: it is the same server.
        self.__dict__.update(vars(api))

    def _request(
        self,
        method: str,
        path: str,
        query: t.Mapping[str, str] | None = None,
        body: object = None,
        content_type: str = "application/json",
    ) -> Object:
        if method != "GET":
            query = {**(query or {}), **_DRY_RUN}
        return super()._request(method, path, query, body, content_type)


def trial_of(cluster: Cluster) -> Cluster:
    """The same verbs on a cluster that keeps nothing of them."""
    trial = copy.copy(cluster)
    trial.api = DryRunApi(cluster.api)
    for name in ("services", "deployments", "autoscalers"):
        known = getattr(cluster, name)
        setattr(
            trial,
            name,
            dataclasses.replace(known, items=dict(known.items), on_change=None),
        )
    return trial


@dataclass(frozen=True)
class Asked:
    """What a plan is about."""

    deployment: Deployment
    services: tuple[ServiceInput, ...]
    parameters: Parameters
    accepted_managers: tuple[str, ...] = ()
    # The plain Deployment that is about to be adopted, if any.
    adopted: Object | None = None
    # What the deploy would warn of.
    warnings: tuple[str, ...] = ()


class Planner:
    """One plan of one deploy.

    :param planned: each step and what is assumed to be seen before it, to the end.
    """

    def __init__(self, cluster: Cluster, asked: Asked, planned: _plan.Planned) -> None:
        self._cluster = cluster
        self._asked = asked
        self._planned = planned
        self._seen = cluster.observe()
        self._expected = planned[-1][1] if planned else self._seen
        self._trial = trial_of(cluster)
        self._findings: list[Finding] = []
        # What was to be looked at, and may not be.
        self._unread: list[str] = []
        self._rules = rules_of_user(cluster)
        self.lines: list[str] = []

    def plan(self) -> dict[str, t.Any]:
        """The plan as data: `changes`, `endpoints`, `findings`; its lines beside it."""
        changes = self._changes()
        endpoints = self._endpoints()
        self._look_around()
        self._look_for_room(changes)
        findings = ordered([*self._findings, *self._told_unread()])
        self.lines += [str(change) for change in changes]
        self.lines += [
            _plan.endpoints_line(name, e["before"], e["after"])
            for name, e in endpoints.items()
        ]
        self.lines += [str(finding) for finding in findings]
        count = f"{len(changes)} object{'' if len(changes) == 1 else 's'} to change"
        self.lines.append(f"summary: {summary(findings)}; {count}")
        return {
            "changes": [change.as_data() for change in changes],
            "endpoints": endpoints,
            "findings": [finding.as_data() for finding in findings],
        }

    # -- what changes --------------------------------------------------------------

    def _changes(self) -> list[_plan.Change]:
        tries = self._tries()
        changes = _plan.changes_of(self._planned, self._cluster.rollout)
        return [
            self._tried(change, tries[change.object])
            if change.object in tries
            else change
            for change in changes
        ]

    def _tried(self, change: _plan.Change, attempt: Try) -> _plan.Change:
        kind, _space, name = change.object.partition(" ")
        before = self._present(kind, name)
        try:
            after = attempt()
        except (NotFound, Conflict):
            # It depends on what is not there yet, or somebody was quicker: no verdict.
            return change
        except ApiError as error:
            if not error.status:
                raise
            if forbidden(error) and " cannot " in str(error):
                return dataclasses.replace(change, dry_run=_plan.FORBIDDEN)
            message = " ".join(str(error).split())
            self._findings.append(Finding(ERROR, change.object, message))
            return dataclasses.replace(change, dry_run=_plan.REFUSED)
        fields = _compared(before, after) if before and after else []
        # That is told by the revision that it directs to.
        fields = [f for f in fields if f"{names.LABEL_HASH}: " not in f]
        if kind == "Deployment" and before is None and after:
            fields = self._against_active(after)
        return dataclasses.replace(
            change,
            dry_run=_plan.PASSED,
            fields=tuple(dict.fromkeys((*change.fields, *fields))),
        )

    def _present(self, kind: str, name: str) -> Object | None:
        collections = {
            "Service": self._cluster.services,
            "Deployment": self._cluster.deployments,
            "HorizontalPodAutoscaler": self._cluster.autoscalers,
        }
        return collections[kind].items.get(name)

    def _against_active(self, new: Object) -> list[str]:
        """What the new revision's pods have that those of the active one have not."""
        old = self._active_deployment()
        if old is None:
            return []
        before, after = (
            _bare(without_overlay(each, self._cluster.rollout)) for each in (old, new)
        )
        return _plan.differences(before, after, "template")

    def _tries(self) -> dict[str, Try]:
        """How each object's first change is tried."""
        tries: dict[str, Try] = {}
        for step, seen in self._planned:
            for name, attempt in self._tries_of(step, seen):
                tries.setdefault(name, attempt)
        return tries

    def _tries_of(self, step: Step, seen: Observed) -> list[tuple[str, Try]]:
        if isinstance(step, (CreateServices, Point, Cutover)):
            return self._tries_of_services(step, seen)
        if isinstance(step, Retarget):
            name = f"HorizontalPodAutoscaler {step.autoscaler}"
            return [(name, functools.partial(self._retarget, step))]
        if not isinstance(step, (CreateRevision, Scale, Delete)):
            return []
        name = names.deployment_name(self._cluster.rollout, step.hash)
        if isinstance(step, CreateRevision):
            return [(f"Deployment {name}", functools.partial(self._create, step))]
        known = self._cluster.deployments.items.get(name)
        if known is None:
            return []
        attempt = functools.partial(self._write_deployment, known, step)
        return [(f"Deployment {name}", attempt)]

    def _tries_of_services(
        self, step: CreateServices | Point | Cutover, seen: Observed
    ) -> list[tuple[str, Try]]:
        if isinstance(step, CreateServices):
            return [
                (f"Service {n}", functools.partial(self._create_service, n, step.hash))
                for n in step.names
            ]
        moved = [
            s
            for s in seen.services
            if s.kind != ROUTE and not s.kept and s.name in self._cluster.services.items
        ]
        if isinstance(step, Point):
            moved = [s for s in moved if s.name in step.services]
        else:
            moved = [s for s in moved if s.role == names.ROLE_ACTIVE]
        return [
            (f"Service {s.name}", functools.partial(self._direct, s.name, step.hash))
            for s in moved
        ]

    def _create(self, step: CreateRevision) -> Object | None:
        asked = self._asked
        self._trial.create_revision(
            asked.deployment,
            step.number,
            step.replicas,
            asked.parameters,
            step.overlay,
        )
        name = names.deployment_name(self._cluster.rollout, step.hash)
        return self._trial.deployments.items.get(name)

    def _create_service(self, name: str, revision_hash: str) -> Object | None:
        self._trial.create_service(name, revision_hash)
        return None

    def _direct(self, name: str, revision_hash: str) -> Object | None:
        self._trial.point(name, revision_hash)
        return self._trial.services.items.get(name)

    def _retarget(self, step: Retarget) -> Object | None:
        to = names.deployment_name(self._cluster.rollout, step.hash)
        self._trial.retarget(step.autoscaler, to)
        return self._trial.autoscalers.items.get(step.autoscaler)

    def _write_deployment(self, known: Object, step: Scale | Delete) -> Object | None:
        path = f"{self._cluster.deployments.path}/{known['metadata']['name']}"
        if isinstance(step, Delete):
            self._trial.api.delete(path, known["metadata"]["uid"])
            return None
        size = {"op": "replace", "path": "/spec/replicas", "value": step.replicas}
        self._trial.api.patch(path, [size])
        return None

    # -- endpoints -----------------------------------------------------------------

    def _endpoints(self) -> dict[str, t.Any]:
        pods = self._cluster.pods()
        slices = list(self._cluster.slices.items.values())
        return {
            service.name: {
                "before": _plan.endpoints_now(service.name, slices, pods, self._seen),
                "after": _plan.endpoints_then(service, self._expected, pods),
            }
            for service in self._expected.services
            if service.kind != ROUTE
            and (service.role != names.ROLE_PROOF or service.kept)
        }

    # -- what is around ------------------------------------------------------------

    def _look_around(self) -> None:
        asked, cluster = self._asked, self._cluster
        found = self._findings
        found += [_plan.from_warning(text) for text in asked.warnings]
        found += of_definition(asked.deployment, asked.parameters)
        services = self._services()
        for service in services:
            found += of_service(service, asked.deployment)
        new = labels_of_revision(asked.deployment, cluster.rollout)
        directed = {s.name for s in asked.services} | {
            names.proof_service_name(s.name) for s in asked.services
        }
        found += _plan.of_services(cluster.services.items.values(), directed, new)
        found += _plan.of_autoscalers(self._seen)
        for service in services:
            item = {**service, "kind": "Service"}
            found += _plan.of_managers(item, "selector", asked.accepted_managers)
        if asked.adopted is not None:
            item = {**asked.adopted, "kind": "Deployment"}
            found += _plan.of_managers(item, "replicas", asked.accepted_managers)
        self._look_at_neighbours(services, new)

    def _services(self) -> list[Object]:
        """Those that the release directs: as they are, else as they are given."""
        known = self._cluster.services.items
        found = [known.get(s.name, s.manifest) for s in self._asked.services]
        return [service for service in found if service is not None]

    def _look_at_neighbours(self, services: list[Object], new: _plan.Labels) -> None:
        old = self._active_deployment()
        labels = old["spec"]["template"]["metadata"]["labels"] if old else {}
        budgets = self._read("poddisruptionbudgets.policy", "policy/v1")
        ours = self._cluster.is_our_budget
        others = [b for b in budgets or [] if not ours(b)]
        self._findings += _plan.of_budgets(others, labels, new)
        policies = self._read("networkpolicies.networking.k8s.io")
        self._findings += _plan.of_policies(policies or [], new)
        jobs = [
            {**job, "kind": kind}
            for kind, resource in (("CronJob", "cronjobs.batch"), ("Job", "jobs.batch"))
            for job in self._read(resource) or []
            # What a CronJob makes is told once.
            if not job["metadata"].get("ownerReferences")
        ]
        self._findings += _plan.of_jobs(jobs, services)

    def _active_deployment(self) -> Object | None:
        active = self._seen.revision(self._seen.active_hash)
        if active is None:
            return self._asked.adopted
        return self._cluster.deployments.items.get(active.deployment)

    # -- room ----------------------------------------------------------------------

    def _look_for_room(self, changes: list[_plan.Change]) -> None:
        ranges = self._read("limitranges")
        quotas = self._read("resourcequotas")
        growth = tuple(
            _room.Growth(_room.defaulted(self._pod_spec(revision), ranges or []), more)
            for revision, more in _plan.growth_of(self._planned).items()
        )
        for each in growth:
            self._findings += _room.of_ranges(each.pod_spec, ranges or [])
        need = _room.Need(growth, _created(changes))
        self._findings += _room.of_quotas(quotas or [], need)
        if growth:
            self._look_at_nodes(growth)

    def _pod_spec(self, revision_hash: str) -> Object:
        name = names.deployment_name(self._cluster.rollout, revision_hash)
        known = self._cluster.deployments.items.get(name)
        template = (
            known["spec"]["template"] if known else self._asked.deployment.template
        )
        spec: Object = template["spec"]
        return spec

    def _look_at_nodes(self, growth: tuple[_room.Growth, ...]) -> None:
        nodes = self._read("nodes", namespaced=False)
        if nodes is None:
            return
        pods = self._read("pods", namespaced=False, query=_RUNNING)
        if pods is None:
            return
        for each in growth:
            usable = [
                n
                for n in nodes
                if accepts(n, each.pod_spec) and _room.tolerated(n, each.pod_spec)
            ]
            self._findings += _room.of_nodes(usable, pods, each)

    # -- reading -------------------------------------------------------------------

    def _read(
        self,
        resource: str,
        version: str = "",
        namespaced: bool = True,
        query: t.Mapping[str, str] | None = None,
    ) -> list[Object] | None:
        """A list; none where the user may not read it, which is said."""
        plural, _dot, group = resource.partition(".")
        if self._rules is not None and not is_allowed(self._rules, resource, "list"):
            self._unread.append(plural)
            return None
        root = f"/apis/{version or group + '/v1'}" if group else "/api/v1"
        home = f"/namespaces/{self._cluster.namespace}" if namespaced else ""
        try:
            items = self._cluster.api.get(f"{root}{home}/{plural}", query)["items"]
        except ApiError as error:
            if not forbidden(error):
                raise
            self._unread.append(plural if namespaced else f"{plural} on all nodes")
            return None
        return t.cast("list[Object]", items)

    def _told_unread(self) -> list[Finding]:
        if not self._unread:
            return []
        return [
            Finding(
                NOTICE,
                "not checked",
                f"{', '.join(self._unread)}, which the user may not list; the Roles for"
                " plans in docs/permissions.md allow it.",
            )
        ]


def _compared(before: Object, after: Object) -> list[str]:
    return [
        line
        for section in ("spec", "metadata")
        for line in _plan.differences(
            _settled(before.get(section)), _settled(after.get(section)), section
        )
    ]


def _settled(section: object) -> object:
    """Without what the API server keeps for itself."""
    if not isinstance(section, dict):
        return section
    ours = ("managedFields", "resourceVersion", "generation")
    return {k: v for k, v in section.items() if k not in ours}


def _bare(template: Object) -> Object:
    """A pod template without the labels that name its revision."""
    metadata = template.get("metadata") or {}
    labels = {
        k: v
        for k, v in (metadata.get("labels") or {}).items()
        if k not in (names.LABEL_HASH, names.LABEL_ROLLOUT)
    }
    kept = {"labels": labels, "annotations": metadata.get("annotations") or {}}
    return {"metadata": kept, "spec": template["spec"]}


def _created(changes: t.Iterable[_plan.Change]) -> dict[str, int]:
    """How many objects are created, as quotas count them."""
    kinds = [c.object.split()[0] for c in changes if c.action.startswith(_plan.CREATE)]
    counts = {
        "deployments.apps": kinds.count("Deployment"),
        "replicasets.apps": kinds.count("Deployment"),
        "services": kinds.count("Service"),
        "configmaps": kinds.count("ConfigMap"),
    }
    return {resource: count for resource, count in counts.items() if count}
