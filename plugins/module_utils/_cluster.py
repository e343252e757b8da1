# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verbs on one rollout: observe it, create a revision, scale it, point a Service.

Every write carries a precondition; a :class:`Conflict` means that the caller reads
again and decides anew. Private to the collection: it may change in any release.
"""

from __future__ import annotations

import dataclasses
import json
import typing as t
import uuid
from datetime import datetime

from . import _names as names
from . import _route as routes
from . import _workload as workloads
from ._api import Api, forbidden
from ._balancers import Balancers, pods_of_revision, unhealthy_gate
from ._clock import ServerClock, format_instant, parse_instant
from ._config import references
from ._config_store import ConfigStore
from ._errors import ApiError, BluegreenError, Conflict, NotFound
from ._manifests import (
    Deployment,
    ServiceInput,
    deployment_body,
    original_selector,
    proof_body,
    service_annotations,
)
from ._model import (
    ROUTE,
    Autoscaler,
    Endpoints,
    Observed,
    Revision,
    ServiceSeen,
    Workload,
)
from ._objects import (
    Object,
    annotation_of,
    annotation_pointer,
    expect,
    label_pointer,
)
from ._overlay import NOTHING, Kept, Overlay, lay_from_the_start
from ._parameters import Parameters, canonical
from ._record import Record
from ._steps import Event
from ._watches import Collection, Watches

_SERVICE_NAME = "kubernetes.io/service-name"
# As kubectl rollout restart writes it.
_RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"


# The EndpointSlice controller's --max-endpoints-per-slice, unless set otherwise.
MOST_IN_ONE_SLICE = 100


class Cluster:
    """One rollout in one namespace."""

    def __init__(
        self, api: Api, clock: ServerClock, namespace: str, rollout: str
    ) -> None:
        self.api = api
        self.namespace = namespace
        self.rollout = rollout
        self._clock = clock
        self._inputs: tuple[ServiceInput, ...] = ()
        self._active: tuple[str, ...] = ()
        self._preview: tuple[str, ...] = ()
        self._route = ""
        self._named: tuple[tuple[str, ...], tuple[str, ...], str] = ((), (), "")
        # The two Services of the route, which then is what is active.
        self._backends: tuple[str, ...] = ()
        label = {"labelSelector": f"{names.LABEL_ROLLOUT}={rollout}"}
        record = {"fieldSelector": f"metadata.name={names.record_name(rollout)}"}
        self.deployments = Collection(self._path("deployments", "apps/v1"), label)
        self.services = Collection(self._path("services"))
        self.slices = Collection(self._path("endpointslices", "discovery.k8s.io/v1"))
        self.records = Collection(self._path("configmaps"), record)
        self.autoscalers = Collection(
            self._path("horizontalpodautoscalers", "autoscaling/v2")
        )
        # All of the namespace: those of users are looked at, too.
        self.budgets = Collection(self._path("poddisruptionbudgets", "policy/v1"))
        # Only read where a release names one.
        self.routes = Collection(self._path("httproutes", routes.GROUP_VERSION))
        # Only read while two revisions serve.
        self.pods_of_rollout = Collection(self._path("pods"), label)
        # The Deployment that revisions are made from, where one is referred to.
        self.workload = Collection(self._path("deployments", "apps/v1"))
        self._workload_ref = ""
        self.balancers = Balancers(api, namespace)
        self.config = ConfigStore(api, namespace, rollout)
        # The revision that the active Services were widened for.
        self._widened_for = ""
        self.watches = Watches(api)

    def _path(self, resource: str, group_version: str = "v1", name: str = "") -> str:
        root = "/api/v1" if group_version == "v1" else f"/apis/{group_version}"
        path = f"{root}/namespaces/{self.namespace}/{resource}"
        return f"{path}/{name}" if name else path

    # -- observing -----------------------------------------------------------------

    def load(
        self,
        inputs: tuple[ServiceInput, ...] = (),
        active: tuple[str, ...] = (),
        preview: tuple[str, ...] = (),
        budgets: bool = False,
        route: str = "",
        workload_ref: str = "",
    ) -> None:
        """Read everything once.

        :param active: names of the active Services; none means those in the cluster.
        :param route: the HTTPRoute between them, if users come through one.
        :param budgets: whether PodDisruptionBudgets are asked for; those that earlier
            releases asked for are read in any case.
        :param workload_ref: refers to the Deployment that a revision is made from; none
            means that of the newest revision.
        """
        self._inputs = inputs
        for collection in (
            self.services,
            self.deployments,
            self.records,
            self.autoscalers,
        ):
            collection.load(self.api)
        if not active:
            active, preview, route = self._services_of_rollout()
            workload_ref = self._kept_workload_ref()
        self._load_workload(workload_ref)
        self._named = (active, preview, route)
        self._preview, self._route = preview, route
        self._active, self._backends = ((), active) if route else (active, ())
        self._load_route()
        self._load_slices()
        kept = (r.parameters.pdb for r in self._revisions() if r.parameters)
        if budgets or any(kept):
            self.load_budgets_once()

    def _load_route(self) -> None:
        if not self._route:
            return
        self.routes.query = {"fieldSelector": f"metadata.name={self._route}"}
        try:
            self.routes.load(self.api)
        except NotFound:
            # The cluster has no Gateway API: then there is no such route.
            self.routes.items = {}

    def _kept_workload_ref(self) -> str:
        newest = max(self._revisions(), key=lambda r: r.number, default=None)
        return newest.parameters.workload_ref if newest and newest.parameters else ""

    def _load_workload(self, reference: str) -> None:
        self._workload_ref, name = reference, workloads.name_of(reference)
        if name:
            self.workload.query = {"fieldSelector": f"metadata.name={name}"}
            self.workload.load(self.api)

    @property
    def has_other_services(self) -> bool:
        """Whether the rollout has other Services by now than were loaded."""
        return self._services_of_rollout() != self._named

    def load_pods_of_rollout(self) -> None:
        """Read the pods, which are watched from then on."""
        self.pods_of_rollout.load(self.api)

    def load_config(self, given: t.Iterable[str] = ()) -> None:
        """Read the configuration of revisions, where there is any.

        :param given: ``<kind>/<name>`` of what a release is given.
        """
        kept = (r.parameters.config for r in self._revisions() if r.parameters)
        self.config.load(given, [ref for refs in kept for ref in refs])

    def load_budgets_once(self) -> None:
        """Read the PodDisruptionBudgets, unless this task has done so."""
        if not self.budgets.version:
            self.budgets.load(self.api)

    def load_autoscalers(self) -> None:
        """Read the HorizontalPodAutoscalers again, which are not watched."""
        self.autoscalers.load(self.api)

    def _load_slices(self) -> None:
        watched = [
            *self._active,
            *self._backends,
            *self._preview,
            *(names.proof_service_name(s) for s in self._active),
        ]
        if not watched:
            return
        selector = f"{_SERVICE_NAME} in ({','.join(watched)})"
        self.slices.query = {"labelSelector": selector}
        self.slices.load(self.api)

    def reload(self) -> None:
        """Read everything again, after a conflict."""
        for collection in (
            self.services,
            self.deployments,
            self.records,
            self.slices,
            self.autoscalers,
            self.budgets,
            self.routes,
            self.pods_of_rollout,
            self.workload,
        ):
            if collection.version:
                collection.load(self.api)
        self.config.reload()

    def _services_of_rollout(
        self,
    ) -> tuple[tuple[str, ...], tuple[str, ...], str]:
        """The Services, and the route, that the newest revision was released with."""
        revisions = sorted(self._revisions(), key=lambda r: r.number)
        for revision in reversed(revisions):
            if revision.parameters is not None:
                p = revision.parameters
                return p.active_services, p.preview_services, p.route
        active = self._annotated(names.ROLE_ACTIVE)
        return active, self._annotated(names.ROLE_PREVIEW), ""

    def _annotated(self, role: str) -> tuple[str, ...]:
        return tuple(
            sorted(
                name
                for name, service in self.services.items.items()
                if self._role_of(service) == role
            )
        )

    def _role_of(self, service: Object) -> str:
        annotations = service["metadata"].get("annotations") or {}
        if annotations.get(names.ANNOTATION_ROLLOUT) != self.rollout:
            return ""
        return str(annotations.get(names.ANNOTATION_ROLE, ""))

    def observe(self) -> Observed:
        """The rollout as the collections have it now."""
        raw = self._raw_record()
        return Observed(
            revisions=self._revisions(),
            services=self._services_seen(),
            record=Record.from_data(raw.get("data") or {}) if raw else Record(),
            record_exists=raw is not None,
            autoscalers=self._autoscalers_seen(),
            budgets=self._budgets_seen(),
            workload=self._workload_seen(),
            config=self.config.seen(),
            config_kinds=self.config.kinds,
            pods={
                name: pod["metadata"]["labels"].get(names.LABEL_HASH, "")
                for name, pod in self.pods_of_rollout.items.items()
            },
        )

    def _workload_seen(self) -> Workload | None:
        found = self.workload.items.get(workloads.name_of(self._workload_ref))
        return None if found is None else workloads.seen(found, self._workload_ref)

    def _raw_record(self) -> Object | None:
        return self.records.items.get(names.record_name(self.rollout))

    def _revisions(self) -> tuple[Revision, ...]:
        found = [
            self._revision(d)
            for d in self.deployments.items.values()
            if "deletionTimestamp" not in d["metadata"]
            and names.LABEL_HASH in d["metadata"].get("labels", {})
        ]
        return tuple(sorted(found, key=lambda r: r.number))

    def _revision(self, deployment: Object) -> Revision:
        metadata, spec = deployment["metadata"], deployment["spec"]
        annotations = metadata.get("annotations") or {}
        status = deployment.get("status") or {}
        number = str(annotations.get(names.ANNOTATION_REVISION, ""))
        since, failure = _replica_failure(status)
        containers = spec["template"]["spec"].get("containers") or []
        kept = Kept.of(deployment)
        return Revision(
            number=int(number) if number.isdigit() else 0,
            hash=metadata["labels"][names.LABEL_HASH],
            deployment=metadata["name"],
            uid=metadata["uid"],
            replicas=spec.get("replicas", 1),
            available=status.get("availableReplicas", 0),
            pods=status.get("replicas", 0),
            parameters=Parameters.from_json(
                annotations.get(names.ANNOTATION_PARAMETERS)
            ),
            aborted=names.ANNOTATION_ABORTED in annotations,
            failing_since=since,
            failure=failure,
            created=metadata.get("creationTimestamp", ""),
            images=tuple(str(c.get("image", "")) for c in containers),
            reads=self._read_by(spec["template"]),
            autoscaled=self.is_autoscaled(metadata["name"]),
            limits=self._limits_of(metadata["name"]),
            overlay=kept.overlay,
            changing=kept.changing,
        )

    def _read_by(self, template: Object) -> frozenset[str]:
        if not self.config.kinds:
            return frozenset()
        return frozenset(reference.ref for reference in references(template))

    def endpoints(self, service: str) -> Endpoints:
        """The endpoints of a Service as they are known now; none if it is gone."""
        if service == self._route:
            return self._endpoints_of_route()
        return self._endpoints_of_service(service)

    def _endpoints_of_service(self, name: str) -> Endpoints:
        known = self.services.items.get(name)
        if known is None:
            return Endpoints()
        return endpoints_of(known, self.slices.items.values())

    def proven(self, service: str, revision_hash: str) -> frozenset[str]:
        """The ready endpoints of a revision as they are shown before an active Service
        or a route moves to it.
        """
        if service == self._route:
            return self._proven_by_backend(revision_hash)
        name = names.proof_service_name(service)
        proof = self.services.items.get(name)
        if proof is None:
            return frozenset()
        shown = (proof["spec"].get("selector") or {}).get(names.LABEL_HASH)
        return self.endpoints(name).ready if shown == revision_hash else frozenset()

    def is_autoscaled(self, deployment: str) -> bool:
        """Whether a HorizontalPodAutoscaler decides the size of a Deployment."""
        return bool(self.autoscalers_of([deployment]))

    def autoscalers_of(
        self, deployments: t.Iterable[str], kind: str = "Deployment"
    ) -> list[Object]:
        """The HorizontalPodAutoscalers that target one of these Deployments, or of
        these objects of another kind.
        """
        wanted = set(deployments)
        return [
            item
            for _name, item in sorted(self.autoscalers.items.items())
            if item["spec"]["scaleTargetRef"].get("kind") == kind
            and item["spec"]["scaleTargetRef"].get("name") in wanted
        ]

    def names_of_deployments(self) -> set[str]:
        """Each Deployment of the rollout, and the manifests that they were made from:
        whatever is meant for one of these is meant for the revision that serves.
        """
        definitions = {
            annotation_of(d, names.ANNOTATION_DEFINITION)
            for d in self.deployments.items.values()
        }
        return set(self.deployments.items) | (definitions - {""})

    def _autoscalers_seen(self) -> tuple[Autoscaler, ...]:
        if not self.autoscalers.items:
            return ()
        return tuple(
            Autoscaler(
                name=item["metadata"]["name"],
                target=item["spec"]["scaleTargetRef"]["name"],
                least=item["spec"].get("minReplicas", 1),
                most=item["spec"]["maxReplicas"],
            )
            for item in self.autoscalers_of(self.names_of_deployments())
        )

    def _limits_of(self, deployment: str) -> tuple[int, int] | None:
        for item in self.autoscalers_of([deployment]):
            return item["spec"].get("minReplicas", 1), item["spec"]["maxReplicas"]
        return None

    def is_our_budget(self, budget: Object) -> bool:
        """Whether a PodDisruptionBudget is one that this rollout keeps."""
        labels = budget["metadata"].get("labels") or {}
        revision_hash = labels.get(names.LABEL_HASH, "")
        return labels.get(names.LABEL_ROLLOUT) == self.rollout and (
            budget["metadata"]["name"]
            == names.deployment_name(self.rollout, revision_hash)
        )

    def _budgets_seen(self) -> dict[str, str]:
        """What is asked for by the budgets of ours, by revision."""
        return {
            item["metadata"]["labels"][names.LABEL_HASH]: _asked_by(item)
            for item in self.budgets.items.values()
            if self.is_our_budget(item) and "deletionTimestamp" not in item["metadata"]
        }

    def _services_seen(self) -> tuple[ServiceSeen, ...]:
        seen = [self._service_seen(n, names.ROLE_ACTIVE) for n in self._active]
        seen += [self._service_seen(n, names.ROLE_PREVIEW) for n in self._preview]
        for name in self._active:
            proof = self.services.items.get(names.proof_service_name(name))
            if proof is not None and self._role_of(proof) == names.ROLE_PROOF:
                shown = self._service_seen(proof["metadata"]["name"], names.ROLE_PROOF)
                seen.append(dataclasses.replace(shown, of=name))
        if self._route:
            seen += [self._route_seen(), *self._backends_seen()]
        return tuple(seen)

    # -- a route and its two Services ----------------------------------------------

    def _weights(self) -> dict[str, int]:
        route = self.routes.items.get(self._route)
        if route is None:
            return dict.fromkeys(self._backends, 0)
        return routes.weights(route, self._backends)

    def _endpoints_of_route(self) -> Endpoints:
        """Of each Service that gets requests."""
        found = [self._endpoints_of_service(n) for n, w in self._weights().items() if w]
        return Endpoints(
            **{
                f.name: frozenset().union(*(getattr(e, f.name) for e in found))
                for f in dataclasses.fields(Endpoints)
            }
        )

    def _target_of(self, name: str) -> str | None:
        """The revision that a Service selects."""
        service = self.services.items.get(name)
        selector = (service["spec"].get("selector") or {}) if service else {}
        return t.cast("str | None", selector.get(names.LABEL_HASH))

    def _route_seen(self) -> ServiceSeen:
        route = self.routes.items.get(self._route)
        present = any(name in self.services.items for name in self._backends)
        if route is None or not present:
            return ServiceSeen(self._route, names.ROLE_ACTIVE, exists=False, kind=ROUTE)
        lagging, refused = routes.verdict(route)
        return ServiceSeen(
            self._route,
            names.ROLE_ACTIVE,
            kind=ROUTE,
            target=self._target_of(routes.holder(route, self._backends)),
            selector={name: str(w) for name, w in self._weights().items()},
            endpoints=self._endpoints_of_route(),
            lagging=lagging,
            refused=refused,
        )

    def _backends_seen(self) -> list[ServiceSeen]:
        return [
            dataclasses.replace(
                self._service_seen(name, names.ROLE_PROOF),
                wide=False,
                mixes="",
                of=self._route,
                kept=True,
                weight=weight,
            )
            for name, weight in self._weights().items()
        ]

    def _proven_by_backend(self, revision_hash: str) -> frozenset[str]:
        shown = [b for b in self._backends if self._target_of(b) == revision_hash]
        return self._endpoints_of_service(shown[0]).ready if shown else frozenset()

    def is_route_taken_in(self) -> bool:
        """Whether every gateway says that it has taken in the route as it is now."""
        route = self.routes.items.get(self._route)
        return route is not None and not any(routes.verdict(route))

    def _point_route(self, revision_hash: str) -> None:
        """All of the weight, at once in every rule, to the Service that selects a
        revision, if the route still is what was seen.
        """
        route = self.routes.items.get(self._route)
        if route is None:
            raise NotFound(
                f"HTTPRoute {self._route} is gone; somebody else deleted it."
            )
        problem = routes.refusal_of_shape(route, self._backends)
        if problem:
            raise BluegreenError(f"{problem[0].upper()}{problem[1:]}")
        weights = self._weights()
        shown = [
            name
            for name in self._backends
            if self._target_of(name) == revision_hash
            and self._endpoints_of_service(name).ready
        ]
        if not shown:
            raise Conflict(
                f"no Service of HTTPRoute {self._route} has a ready endpoint of"
                f" {names.deployment_name(self.rollout, revision_hash)} any more"
            )
        to = max(shown, key=lambda name: weights[name])
        operations = routes.moved(route, self._backends, to)
        if operations:
            path = f"{self.routes.path}/{self._route}"
            self.routes.take(self.api.patch(path, operations))

    def _direct_idle_backend(self, revision_hash: str) -> None:
        """The Service of the route that gets no requests, read now, to a revision."""
        if any(self._target_of(name) == revision_hash for name in self._backends):
            return
        self.routes.load(self.api)
        idle = [
            name
            for name, weight in self._weights().items()
            if not weight and name in self.services.items
        ]
        if not idle:
            raise Conflict(
                f"HTTPRoute {self._route} has no Service left that gets no requests"
            )
        self._select(idle[0], {names.LABEL_HASH: revision_hash})

    def _service_seen(self, name: str, role: str) -> ServiceSeen:
        service = self.services.items.get(name)
        if service is None:
            return ServiceSeen(name, role, exists=False)
        selector = dict(service["spec"].get("selector") or {})
        narrow = names.LABEL_HASH in selector
        wide = not narrow and selector.get(names.LABEL_ROLLOUT) == self.rollout
        return ServiceSeen(
            name,
            role,
            target=selector.get(names.LABEL_HASH),
            wide=wide,
            mixes=why_mixed(service, self.slices.items.values())
            or self.balancers.why_mixed(service),
            pending=self._pending(service, wide),
            local=local_policy_of(service),
            selector=selector,
            original=original_selector(service),
            endpoints=endpoints_of(service, self.slices.items.values()),
        )

    def _pending(self, service: Object, wide: bool) -> str:
        if not wide or not self._widened_for:
            return ""
        pods = self.pods_of_rollout.items.values()
        return self.balancers.pending(
            service, pods_of_revision(pods, self._widened_for)
        )

    def load_balancers_once(self) -> None:
        """Read what balances the load of the active Services, before they move."""
        active = (self.services.items.get(name) for name in self._active)
        self.balancers.load_once([service for service in active if service])

    @property
    def is_proving(self) -> bool:
        """Whether a proof Service is there: a cutover is near."""
        return any(
            names.proof_service_name(name) in self.services.items
            for name in self._active
        )

    # -- waiting -------------------------------------------------------------------

    def owner_reference(self, revision: Revision) -> Object | None:
        """What an object carries that is deleted with a revision."""
        return self._owner_reference(revision.deployment)

    def _owner_reference(self, name: str) -> Object | None:
        deployment = self.deployments.items.get(name)
        if deployment is None:
            return None
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "name": name,
            "uid": deployment["metadata"]["uid"],
        }

    def wait(self, seconds: float) -> None:
        """Until something of the rollout changes, at most so long."""
        watched = [self.deployments, self.services, self.records]
        maybe = (self.slices, self.routes, self.pods_of_rollout, self.workload)
        watched += [c for c in maybe if c.version]
        watched += self.balancers.watched()
        self.watches.watch(watched)
        self.watches.wait(seconds)

    def close(self) -> None:
        """End the watches."""
        self.watches.close()

    # -- writing -------------------------------------------------------------------

    def write_record(self, record: Record) -> None:
        """Create or replace the record, unless somebody changed it meanwhile."""
        name = names.record_name(self.rollout)
        known = self._raw_record()
        labels = {names.LABEL_ROLLOUT: self.rollout}
        metadata: Object = {"name": name, "namespace": self.namespace, "labels": labels}
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata,
            "data": record.to_data(),
        }
        if known is None:
            written = self.api.create(self._path("configmaps"), body)
        else:
            for key in ("resourceVersion", "annotations", "labels"):
                if key in known["metadata"]:
                    metadata[key] = known["metadata"][key]
            written = self.api.replace(self._path("configmaps", name=name), body)
        self.records.take(written)

    def create_revision(
        self,
        deployment: Deployment,
        number: int,
        replicas: int,
        parameters: Parameters,
        overlay: Overlay = NOTHING,
        dry_run: bool = False,
    ) -> None:
        """Create the Deployment of a new revision."""
        body = deployment_body(
            deployment,
            self.rollout,
            self.namespace,
            number,
            replicas,
            parameters,
            fence=self.fence(),
        )
        lay_from_the_start(body, overlay, self.rollout)
        query = {"dryRun": "All"} if dry_run else None
        written = self.api.create(self._path("deployments", "apps/v1"), body, query)
        if not dry_run:
            self.deployments.take(written)

    def own_config(self, revision_hash: str) -> None:
        """Have the configuration of a revision go with its Deployment."""
        name = names.deployment_name(self.rollout, revision_hash)
        owner = self._owner_reference(name)
        if owner is not None:
            self.config.own(revision_hash, owner)

    def fence(self) -> str:
        """The number that each takeover of the lock raises."""
        seen = [
            annotation_of(d, names.ANNOTATION_FENCE)
            for d in self.deployments.items.values()
        ]
        return str(max([0, *(int(f) for f in seen if f.isdigit())]))

    def raise_fence(self) -> None:
        """Make every write of the previous holder fail."""
        raised = str(int(self.fence()) + 1)
        for collection, wanted in (
            (self.deployments, tuple(self.deployments.items)),
            (self.services, (*self._active, *self._backends, *self._preview)),
            (self.routes, tuple(self.routes.items)),
            (self.records, tuple(self.records.items)),
        ):
            for name in wanted:
                item = collection.items.get(name)
                if item is None:
                    continue
                operations = _annotate(item, {names.ANNOTATION_FENCE: raised})
                path = f"{collection.path}/{name}"
                collection.take(self.api.patch(path, operations))

        self._raise_fence_of_autoscalers(raised)

    def _raise_fence_of_autoscalers(self, raised: str) -> None:
        """Where this user may: it is asked for this right only where a release needs
        it, and a way back must not fail for want of it.
        """
        for seen in self._autoscalers_seen():
            operations = _annotate(
                self.autoscalers.items[seen.name], {names.ANNOTATION_FENCE: raised}
            )
            path = f"{self.autoscalers.path}/{seen.name}"
            try:
                self.autoscalers.take(self.api.patch(path, operations))
            except NotFound:
                # It was read once and is not watched: somebody has deleted it since.
                continue
            except ApiError as error:
                if not forbidden(error):
                    raise

    def _patch_deployment(self, revision_hash: str, operations: list[Object]) -> Object:
        name = names.deployment_name(self.rollout, revision_hash)
        known = self.deployments.items.get(name)
        if known is None:
            raise NotFound(
                f"Deployment {name} is gone; somebody else deleted it. Run again."
            )
        guarded = [expect("/metadata/uid", known["metadata"]["uid"])]
        fence = annotation_of(known, names.ANNOTATION_FENCE)
        if fence:
            guarded.append(
                expect(annotation_pointer(names.ANNOTATION_FENCE), fence),
            )
        path = self._path("deployments", "apps/v1", name)
        written = self.api.patch(path, [*guarded, *operations])
        self.deployments.take(written)
        return written

    def scale(self, revision: Revision, replicas: int) -> None:
        """Set the number of pods, if it still is what was seen."""
        if replicas < revision.replicas:
            self._refuse_if_users_reach(revision)
        self._patch_deployment(
            revision.hash,
            [
                expect("/spec/replicas", revision.replicas),
                {"op": "replace", "path": "/spec/replicas", "value": replicas},
            ],
        )
        if replicas < revision.replicas and self._reached_by(revision):
            self._patch_deployment(
                revision.hash,
                [
                    {
                        "op": "replace",
                        "path": "/spec/replicas",
                        "value": revision.replicas,
                    }
                ],
            )
            raise BluegreenError(
                f"Service {', '.join(self._reached_by(revision))} was directed to"
                f" {revision.deployment} while it was being scaled down; its size was"
                " put back. Find out who changes the Service, then run again."
            )

    def _reached_by(self, revision: Revision) -> list[str]:
        """The Services, read now, that send users to a revision's pods."""
        return self._reaching_pods_of(self.deployments.items[revision.deployment])

    def _reaching_pods_of(self, deployment: Object) -> list[str]:
        self.services.load(self.api)
        self._load_route()
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        wanted = {*self._active, *self._annotated(names.ROLE_ACTIVE)}
        wanted -= set(self._backends)
        if self._route:
            wanted |= {name for name, weight in self._weights().items() if weight}
        else:
            wanted |= set(self._annotated(names.ROLE_BACKEND))
        return sorted(
            name
            for name in wanted
            if (service := self.services.items.get(name)) and selects(service, labels)
        )

    def _refuse_if_users_reach(self, revision: Revision) -> None:
        reached = self._reached_by(revision)
        if reached:
            raise BluegreenError(
                f"Service {', '.join(reached)} selects pods of {revision.deployment},"
                " so it is not scaled down or deleted; direct the Service elsewhere"
                " first."
            )

    def end_workload(self) -> None:
        """Scale the Deployment that is only a template down to 0 pods, if it still is
        what was seen and no Service of the rollout sends users to them.
        """
        for known in tuple(self.workload.items.values()):
            name = known["metadata"]["name"]
            reached = self._reaching_pods_of(known)
            if reached:
                raise BluegreenError(
                    f"Service {', '.join(reached)} selects pods of Deployment {name},"
                    " so it is not scaled down; find out who changed the Service, then"
                    " run again."
                )
            path = self._path("deployments", "apps/v1", name)
            self.workload.take(self.api.patch(path, workloads.resize(known, 0)))

    def delete_revision(self, revision: Revision) -> None:
        """Delete the Deployment of an old revision without pods."""
        self._refuse_if_users_reach(revision)
        known = self.deployments.items[revision.deployment]
        path = self._path("deployments", "apps/v1", revision.deployment)
        self.api.delete(path, known["metadata"]["uid"])
        self.deployments.drop(known)
        self.config.forget(known["metadata"]["uid"])

    def revive(
        self,
        revision: Revision,
        number: int,
        replicas: int,
        parameters: Parameters,
    ) -> None:
        """Make an aborted or older revision the newest one."""
        known = self.deployments.items[revision.deployment]
        operations = _annotations_of(
            known,
            {
                names.ANNOTATION_REVISION: str(number),
                names.ANNOTATION_PARAMETERS: parameters.to_json(),
            },
        )
        if revision.aborted:
            pointer = annotation_pointer(names.ANNOTATION_ABORTED)
            operations.append({"op": "remove", "path": pointer})
        if replicas > revision.replicas:
            operations.append(
                {"op": "replace", "path": "/spec/replicas", "value": replicas}
            )
        self._patch_deployment(revision.hash, operations)

    def restart(self, revision: Revision) -> None:
        """Have the Deployment replace its pods, each new one ready before an old one
        goes: never fewer than before, whatever the manifest's strategy says.
        """
        known = self.deployments.items[revision.deployment]
        has_annotations = "annotations" in known["spec"]["template"]["metadata"]
        strategy = {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0},
        }
        operations: list[Object] = [
            {"op": "add", "path": "/spec/strategy", "value": strategy}
        ]
        if not has_annotations:
            operations.append(
                {
                    "op": "add",
                    "path": "/spec/template/metadata/annotations",
                    "value": {},
                }
            )
        operations.append(
            {
                "op": "add",
                "path": f"/spec/template{annotation_pointer(_RESTARTED_AT)}",
                "value": format_instant(self._clock.now()),
            }
        )
        self._patch_deployment(revision.hash, operations)

    def restart_progress(self, revision: Revision) -> tuple[int, int, str]:
        """How many of the wanted pods are new and available while no old one is left;
        how many are wanted; and why it goes on no more, if it does not.
        """
        deployment = self.deployments.items[revision.deployment]
        status = deployment.get("status") or {}
        wanted = deployment["spec"].get("replicas", 1)
        known = status.get("observedGeneration", 0)
        if known < deployment["metadata"]["generation"]:
            return 0, wanted, ""
        old = status.get("replicas", 0) - status.get("updatedReplicas", 0)
        new = min(status.get("updatedReplicas", 0), status.get("availableReplicas", 0))
        for condition in status.get("conditions") or []:
            if condition["type"] == "Progressing" and condition["status"] == "False":
                return new, wanted, str(condition.get("message", ""))
        return (min(new, wanted - 1) if old > 0 else new), wanted, ""

    def update_parameters(
        self, revision: Revision, parameters: Parameters, replicas: int | None
    ) -> None:
        """Write changed release parameters onto a revision."""
        known = self.deployments.items[revision.deployment]
        operations = _annotations_of(
            known, {names.ANNOTATION_PARAMETERS: parameters.to_json()}
        )
        values: dict[str, object] = {
            "minReadySeconds": parameters.min_ready_seconds,
            "progressDeadlineSeconds": parameters.progress_deadline_seconds,
        }
        if replicas is not None:
            values["replicas"] = replicas
        operations += [
            {"op": "add", "path": f"/spec/{key}", "value": value}
            for key, value in values.items()
        ]
        self._patch_deployment(revision.hash, operations)

    def change_template(self, revision: Revision, overlay: Overlay) -> None:
        """Lay an overlay over a revision's pod template and pods, none of which is
        replaced.
        """
        # Only a release that asks for it pays for importing it.
        from ._template import TemplateChange

        TemplateChange(
            self.api,
            self.deployments.items[revision.deployment],
            lambda operations: self._patch_deployment(revision.hash, operations),
            lambda: self.pods_of(revision.hash),
        ).run(overlay)

    def mark_aborted(self, revision: Revision) -> None:
        """Mark a revision as aborted, with the instant."""
        known = self.deployments.items[revision.deployment]
        instant = format_instant(self._clock.now())
        self._patch_deployment(
            revision.hash, _annotations_of(known, {names.ANNOTATION_ABORTED: instant})
        )

    def point(self, service: str, revision_hash: str) -> None:
        """Direct one Service to a revision, if it still is what was seen.

        The selector is written whole: the user's own plus the hash.
        """
        if service == self._route:
            self._point_route(revision_hash)
            return
        self._select(service, {names.LABEL_HASH: revision_hash})

    def take_service(
        self,
        service: str,
        revision_hash: str,
        keys: t.Collection[str],
        annotations: t.Collection[str],
    ) -> None:
        """Direct a Service to a revision that something else directed before, if it
        still is what was seen.

        :param keys: those of its selector that only the other one used.
        :param annotations: the marks of the other one.
        """
        ours = {names.LABEL_HASH: revision_hash}
        self._select(service, ours, keys, annotations)

    def widen(self, service: str) -> None:
        """Let one Service select every revision, if it still is what was seen."""
        self._select(service, {names.LABEL_ROLLOUT: self.rollout})

    def _select(
        self,
        service: str,
        ours: t.Mapping[str, str],
        without_keys: t.Collection[str] = (),
        without_annotations: t.Collection[str] = (),
    ) -> None:
        known = self.services.items.get(service)
        if known is None:
            raise NotFound(f"Service {service} is gone; somebody else deleted it.")
        original = {
            k: v for k, v in original_selector(known).items() if k not in without_keys
        }
        role = self._role_to_be(service)
        operations = [
            expect("/metadata/resourceVersion", known["metadata"]["resourceVersion"]),
            {
                "op": "add",
                "path": "/spec/selector",
                "value": {**original, **ours},
            },
            *_annotations_of(known, service_annotations(self.rollout, role, original)),
        ]
        operations += [
            {"op": "remove", "path": annotation_pointer(key)}
            for key in without_annotations
            if annotation_of(known, key)
        ]
        if role == names.ROLE_BACKEND:
            operations += _labels_of(known, ours)
        path = self._path("services", name=service)
        self.services.take(self.api.patch(path, operations))

    def _role_to_be(self, service: str) -> str:
        if service in self._preview:
            return names.ROLE_PREVIEW
        if service in self._backends:
            return names.ROLE_BACKEND
        return names.ROLE_ACTIVE

    def prepare_to_widen(self, revision_hash: str, allowed: t.Collection[str]) -> None:
        """Before the active Services are widened: only pods of these revisions may get
        requests. Reads the pods, which are watched from now on.

        :param revision_hash: the one that the Services move to.
        :raises BluegreenError: there is another one.
        """
        self.pods_of_rollout.load(self.api)
        self.balancers.remember()
        self._widened_for = revision_hash
        for name, pod in sorted(self.pods_of_rollout.items.items()):
            metadata = pod["metadata"]
            labels = metadata["labels"]
            known = labels.get(names.LABEL_HASH) in allowed
            if known or "deletionTimestamp" in metadata:
                continue
            reached = [
                service
                for service in self._active
                if (found := self.services.items.get(service))
                and original_selector(found).items() <= labels.items()
            ]
            if reached:
                raise BluegreenError(
                    f"Pod {name} carries the label {names.LABEL_ROLLOUT} and is of no"
                    f" revision that this cutover is about, so Service {reached[0]}"
                    " would send it requests while both revisions serve; remove the"
                    " pod, or release with cutover: atomic."
                )

    def directed_services(self) -> list[str]:
        """The users' Services that this rollout directs."""
        ours = {
            *self._annotated(names.ROLE_ACTIVE),
            *self._annotated(names.ROLE_BACKEND),
            *self._annotated(names.ROLE_PREVIEW),
        }
        narrowed = {
            name
            for name in (*self._active, *self._backends, *self._preview)
            if (service := self.services.items.get(name))
            and names.LABEL_HASH in (service["spec"].get("selector") or {})
        }
        return sorted(ours | narrowed)

    def give_back(self, service: str) -> None:
        """Give a Service its own selector again, and take what is ours from it."""
        known = self.services.items[service]
        present = known["metadata"].get("annotations") or {}
        operations = [
            expect("/metadata/resourceVersion", known["metadata"]["resourceVersion"]),
            {
                "op": "replace",
                "path": "/spec/selector",
                "value": original_selector(known),
            },
            *(
                {"op": "remove", "path": annotation_pointer(key)}
                for key in sorted(present)
                if key.startswith(f"{names.PREFIX}/")
            ),
        ]
        if names.LABEL_HASH in (known["metadata"].get("labels") or {}):
            pointer = label_pointer(names.LABEL_HASH)
            operations.append({"op": "remove", "path": pointer})
        path = self._path("services", name=service)
        self.services.take(self.api.patch(path, operations))

    def remove_record(self) -> None:
        """Delete the record, at the end of a rollout that is no more."""
        known = self._raw_record()
        if known is not None:
            path = self._path("configmaps", name=known["metadata"]["name"])
            self.api.delete(path, known["metadata"]["uid"])
            self.records.drop(known)

    def create_service(self, name: str, revision_hash: str) -> None:
        """Create a Service from its manifest, directed to a revision."""
        given = next(i for i in self._inputs if i.name == name)
        manifest = t.cast(Object, given.manifest)
        original = original_selector(manifest)
        role = self._role_to_be(name)
        metadata = manifest["metadata"]
        ours = {names.LABEL_HASH: revision_hash} if role == names.ROLE_BACKEND else {}
        body = {
            **manifest,
            "metadata": {
                **metadata,
                "namespace": self.namespace,
                "labels": {**(metadata.get("labels") or {}), **ours},
                "annotations": {
                    **(metadata.get("annotations") or {}),
                    **service_annotations(self.rollout, role, original),
                },
            },
            "spec": {
                **manifest["spec"],
                "selector": {**original, names.LABEL_HASH: revision_hash},
            },
        }
        self.services.take(self.api.create(self._path("services"), body))

    def open_proof(self, revision_hash: str) -> None:
        """Make a proof Service for each active Service that selects a revision; of a
        route, its own Service without users is directed to it.

        A proof of another revision is made anew: as long as its slices lag, they would
        pass the old pods off as the new ones.
        """
        if self._route:
            self._direct_idle_backend(revision_hash)
        for active in self._active:
            name = names.proof_service_name(active)
            known = self.services.items.get(name)
            service = self.services.items.get(active)
            if service is None:
                # Deleted by somebody: there is nothing to prove for it.
                continue
            if known is not None:
                selector = known["spec"].get("selector") or {}
                if selector.get(names.LABEL_HASH) == revision_hash:
                    continue
                self._delete_proof(known)
            body = proof_body(service, self.rollout, self.namespace, revision_hash)
            self.services.take(self.api.create(self._path("services"), body))

    def close_proof(self) -> None:
        """Delete the proof Services."""
        for active in self._active:
            known = self.services.items.get(names.proof_service_name(active))
            if known is not None:
                self._delete_proof(known)

    def _delete_proof(self, proof: Object) -> None:
        if self._role_of(proof) != names.ROLE_PROOF:
            return
        metadata = proof["metadata"]
        self.api.delete(self._path("services", name=metadata["name"]), metadata["uid"])
        self.services.drop(proof)

    def retarget(self, autoscaler: str, deployment: str) -> None:
        """Have an autoscaler decide another Deployment's size, if it still is what was
        seen.
        """
        known = self.autoscalers.items[autoscaler]
        # Whole: it may have been of another kind.
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment}
        operations = [
            expect("/metadata/resourceVersion", known["metadata"]["resourceVersion"]),
            {"op": "replace", "path": "/spec/scaleTargetRef", "value": target},
        ]
        path = f"{self.autoscalers.path}/{autoscaler}"
        self.autoscalers.take(self.api.patch(path, operations))

    def keep_budget(self, revision: Revision, spec: str) -> None:
        """Create or correct the PodDisruptionBudget of a revision, which goes with it.

        :param spec: what it asks for, as :class:`Parameters` has it.
        """
        ours = {
            names.LABEL_ROLLOUT: self.rollout,
            names.LABEL_HASH: revision.hash,
        }
        whole = {**json.loads(spec), "selector": {"matchLabels": ours}}
        known = self.budgets.items.get(revision.deployment)
        if known is not None:
            operations = [
                expect("/metadata/uid", known["metadata"]["uid"]),
                {"op": "replace", "path": "/spec", "value": whole},
            ]
            path = f"{self.budgets.path}/{revision.deployment}"
            self.budgets.take(self.api.patch(path, operations))
            return
        owner = self.owner_reference(revision)
        body = {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {
                "name": revision.deployment,
                "namespace": self.namespace,
                "labels": ours,
                "ownerReferences": [owner] if owner else [],
            },
            "spec": whole,
        }
        self.budgets.take(self.api.create(self.budgets.path, body))

    def remove_budget(self, revision_hash: str) -> None:
        """Delete the PodDisruptionBudget of a revision."""
        name = names.deployment_name(self.rollout, revision_hash)
        known = self.budgets.items.get(name)
        if known is None or not self.is_our_budget(known):
            return
        self.api.delete(f"{self.budgets.path}/{name}", known["metadata"]["uid"])
        self.budgets.drop(known)

    def emit(self, event: Event, revision_hash: str) -> None:
        """Post an Event about a revision's Deployment.

        :raises ApiError: it was refused; nothing depends on an Event.
        """
        name = names.deployment_name(self.rollout, revision_hash)
        known = self.deployments.items.get(name)
        if known is None:
            return
        now = format_instant(self._clock.now())
        seconds = f"{now[:19]}Z"
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{self.rollout}.{uuid.uuid4().hex[:16]}",
                "namespace": self.namespace,
            },
            "involvedObject": {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "name": name,
                "namespace": self.namespace,
                "uid": known["metadata"]["uid"],
            },
            "reason": event.reason,
            "message": event.message,
            "type": "Warning" if event.warning else "Normal",
            "source": {"component": names.FIELD_MANAGER},
            "firstTimestamp": seconds,
            "lastTimestamp": seconds,
            "count": 1,
        }
        try:
            self.api.create(self._path("events"), body)
        except Conflict:
            return

    # -- looking closer ------------------------------------------------------------

    def pods(self, selector: str = "") -> list[Object]:
        """Pods by label selector; without one, those of the rollout."""
        selector = selector or f"{names.LABEL_ROLLOUT}={self.rollout}"
        listed = self.api.get(self._path("pods"), {"labelSelector": selector})
        items: list[Object] = listed["items"]
        return items

    def pods_of(self, revision_hash: str) -> list[Object]:
        """The pods of one revision."""
        ours = {names.LABEL_ROLLOUT: self.rollout, names.LABEL_HASH: revision_hash}
        return self.pods(",".join(f"{key}={value}" for key, value in ours.items()))

    def evidence(self, revision_hash: str) -> str:
        """Why the pods of a revision are not ready: the most frequent reason."""
        try:
            pods = self.pods(f"{names.LABEL_HASH}={revision_hash}")
        except ApiError:
            return ""
        reasons = [r for r in (pod_trouble(p) for p in pods) if r]
        if not reasons:
            return ""
        worst = max(reasons, key=reasons.count)
        said = f"{reasons.count(worst)} of {len(pods)} pods: {worst}"
        return f"{said}{self._why_kept_off(revision_hash, worst)}"

    def _why_kept_off(self, revision_hash: str, trouble: str) -> str:
        """What the scheduler does not know: why there is an anti-affinity."""
        name = names.deployment_name(self.rollout, revision_hash)
        deployment = self.deployments.items.get(name)
        if deployment is None or "anti-affinity" not in trouble:
            return ""
        overlay = Kept.of(deployment).overlay
        if not overlay.keeps_off or overlay.weight:
            return ""
        stable = names.deployment_name(self.rollout, overlay.keeps_off)
        return f" (anti_affinity: required keeps them off the nodes of {stable})"


def _asked_by(budget: Object) -> str:
    """What a budget of ours asks for; nothing it could ask for, if not of its own
    revision.
    """
    labels, spec = budget["metadata"]["labels"], dict(budget["spec"])
    selector = spec.pop("selector", None)
    ours = {k: labels[k] for k in (names.LABEL_ROLLOUT, names.LABEL_HASH)}
    return canonical(spec) if selector == {"matchLabels": ours} else "{}"


def selects(service: Object, labels: t.Mapping[str, str]) -> bool:
    """Whether a Service's selector matches pods with these labels."""
    selector = service["spec"].get("selector") or {}
    return bool(selector) and all(labels.get(k) == v for k, v in selector.items())


def endpoints_of(service: Object, slices: t.Iterable[Object]) -> Endpoints:
    """The endpoints of a Service, from its EndpointSlices.

    A pod counts if its slice has a number for every port of the Service, in each of
    its address families; and, of a Service that proves something, if the slice was
    made for its present selector.
    """
    ports = len(service["spec"].get("ports") or [])
    families = service["spec"].get("ipFamilies") or ["IPv4"]
    by_family: dict[str, set[str]] = {family: set() for family in families}
    portless: set[str] = set()
    listed: list[Object] = []
    expected = _labelled_revision(service)
    for piece in slices:
        labels = piece["metadata"].get("labels", {})
        if not _is_of(piece, service):
            continue
        if expected and labels.get(names.LABEL_HASH) != expected:
            continue
        endpoints = piece.get("endpoints") or []
        listed += endpoints
        serving = {_endpoint_name(e) for e in endpoints if _serves(e)}
        if len(piece.get("ports") or []) >= ports:
            family = piece.get("addressType", "IPv4")
            by_family.setdefault(family, set()).update(serving)
        else:
            portless |= serving
    in_all = [frozenset(by_family[family]) for family in families]
    ready = in_all[0].intersection(*in_all[1:])
    return Endpoints(
        ready,
        frozenset(portless),
        partly=in_all[0].union(*in_all[1:]) - ready,
        unready=frozenset(_endpoint_name(e) for e in listed if _is_published(e)),
        nodes=frozenset(
            e["nodeName"]
            for e in listed
            if e.get("nodeName") and _endpoint_name(e) in ready
        ),
    )


def _is_of(piece: Object, service: Object) -> bool:
    """Whether an EndpointSlice is of this very Service, and not of one of its name
    that was deleted.
    """
    metadata = piece["metadata"]
    labels = metadata.get("labels") or {}
    owners = metadata.get("ownerReferences") or []
    uids = [o["uid"] for o in owners if o.get("kind") == "Service"]
    return labels.get(_SERVICE_NAME) == service["metadata"]["name"] and (
        not uids or service["metadata"].get("uid") in uids
    )


def _is_published(endpoint: Object) -> bool:
    """Whether it gets requests though its pod is not ready."""
    # Absent counts as ready.
    gets_requests = (endpoint.get("conditions") or {}).get("ready") is not False
    return gets_requests and not _serves(endpoint)


def local_policy_of(service: Object) -> str:
    """The traffic policy by which requests stay on the node that they reach, if any."""
    for policy in ("externalTrafficPolicy", "internalTrafficPolicy"):
        if service["spec"].get(policy) == "Local":
            return policy
    return ""


def _labelled_revision(service: Object) -> str:
    """The revision that a Service's slices are labelled with, as it is itself, once
    the controller has seen its present selector; empty: they are not labelled.
    """
    label = (service["metadata"].get("labels") or {}).get(names.LABEL_HASH, "")
    selector = service["spec"].get("selector") or {}
    return label if label == selector.get(names.LABEL_HASH) else ""


def why_mixed(service: Object, slices: t.Iterable[Object]) -> str:
    """Why one write of a Service's selector would not move all of its users at once,
    as a clause about it; empty: nothing speaks against it.
    """
    spec = service["spec"]
    if spec.get("type") == "LoadBalancer":
        return "is of type LoadBalancer, whose targets change one after another"
    policy = local_policy_of(service)
    if policy:
        return f"has {policy} Local, so that each node changes for itself"
    pieces = [
        piece for piece in slices if _is_of(piece, service) and piece.get("endpoints")
    ]
    if len(pieces) > 1:
        return f"has {len(pieces)} EndpointSlices, which change one after another"
    return ""


def _serves(endpoint: Object) -> bool:
    conditions = endpoint.get("conditions") or {}
    serving = conditions.get("serving")
    if serving is None:
        serving = conditions.get("ready", True)
    return bool(serving) and not conditions.get("terminating")


def _endpoint_name(endpoint: Object) -> str:
    reference = endpoint.get("targetRef") or {}
    return str(reference.get("name") or endpoint["addresses"][0])


def _replica_failure(status: Object) -> tuple[datetime | None, str]:
    for condition in status.get("conditions") or []:
        if condition.get("type") == "ReplicaFailure" and condition["status"] == "True":
            since = parse_instant(condition.get("lastTransitionTime"))
            return since, str(condition.get("message", ""))
    return None, ""


def _trouble_of_gate(pod: Object) -> str:
    """A readiness gate that keeps a pod unready whose containers are not to blame."""
    status = pod.get("status") or {}
    conditions = {c["type"]: c["status"] for c in status.get("conditions") or []}
    if conditions.get("ContainersReady") != "True":
        return ""
    gates = (pod.get("spec") or {}).get("readinessGates") or []
    gate = unhealthy_gate(pod, [str(g["conditionType"]) for g in gates])
    return f"its readiness gate {gate} is not True" if gate else ""


def pod_trouble(pod: Object) -> str:
    """Why a pod is not ready, in Kubernetes' own words; empty if it is."""
    status = pod.get("status") or {}
    for state in [
        *(status.get("initContainerStatuses") or []),
        *(status.get("containerStatuses") or []),
    ]:
        waiting = (state.get("state") or {}).get("waiting")
        if waiting and waiting.get("reason") not in (None, "ContainerCreating"):
            message = f": {waiting['message']}" if waiting.get("message") else ""
            return f"container {state.get('name')} {waiting['reason']}{message}"
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"{condition.get('reason')}: {condition.get('message', '')}"
    for condition in status.get("conditions") or []:
        if condition["type"] == "Ready" and condition["status"] != "True":
            return _trouble_of_gate(pod) or (
                f"not ready ({condition.get('reason') or 'no reason given'})"
            )
    return ""


def _annotations_of(item: Object, wanted: t.Mapping[str, str]) -> list[Object]:
    """The operations that set annotations which differ."""
    present = item["metadata"].get("annotations")
    if present is None:
        return [{"op": "add", "path": "/metadata/annotations", "value": dict(wanted)}]
    return [
        {"op": "add", "path": annotation_pointer(key), "value": value}
        for key, value in wanted.items()
        if present.get(key) != value
    ]


def _labels_of(item: Object, wanted: t.Mapping[str, str]) -> list[Object]:
    """The operations that set labels."""
    present = item["metadata"].get("labels")
    if present is None:
        return [{"op": "add", "path": "/metadata/labels", "value": dict(wanted)}]
    return [
        {"op": "add", "path": label_pointer(key), "value": value}
        for key, value in wanted.items()
    ]


def _annotate(item: Object, wanted: t.Mapping[str, str]) -> list[Object]:
    guard = expect("/metadata/uid", item["metadata"]["uid"])
    return [guard, *_annotations_of(item, wanted)]
