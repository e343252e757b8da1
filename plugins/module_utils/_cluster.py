# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verbs on one rollout: observe it, create a revision, scale it, point a Service.

Every write carries a precondition; a :class:`Conflict` means that the caller reads
again and decides anew. Private to the collection: it may change in any release.
"""

from __future__ import annotations

import json
import typing as t
import uuid
from datetime import datetime

from . import _names as names
from ._api import Api, forbidden
from ._clock import ServerClock, format_instant, parse_instant
from ._errors import ApiError, BluegreenError, Conflict, NotFound
from ._manifests import (
    Deployment,
    ServiceInput,
    deployment_body,
    original_selector,
    proof_body,
    service_annotations,
)
from ._model import Autoscaler, Endpoints, Observed, Revision, ServiceSeen
from ._parameters import Parameters, canonical
from ._record import Record
from ._steps import Event
from ._watches import Collection, Watches

Object = dict[str, t.Any]

_SERVICE_NAME = "kubernetes.io/service-name"
# As kubectl rollout restart writes it.
_RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"


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
    ) -> None:
        """Read everything once.

        :param active: names of the active Services; none means those in the cluster.
        :param budgets: whether PodDisruptionBudgets are asked for; those that earlier
            releases asked for are read in any case.
        """
        self._inputs = inputs
        for collection in (
            self.services,
            self.deployments,
            self.records,
            self.autoscalers,
        ):
            collection.load(self.api)
        self._active, self._preview = active, preview
        if not active:
            self._active, self._preview = self._services_of_rollout()
        self._load_slices()
        kept = (r.parameters.pdb for r in self._revisions() if r.parameters)
        if budgets or any(kept):
            self.budgets.load(self.api)

    def load_autoscalers(self) -> None:
        """Read the HorizontalPodAutoscalers again, which are not watched."""
        self.autoscalers.load(self.api)

    def _load_slices(self) -> None:
        watched = [
            *self._active,
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
        ):
            if collection.version:
                collection.load(self.api)

    def _services_of_rollout(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The Services that the newest revision was released with."""
        revisions = sorted(self._revisions(), key=lambda r: r.number)
        for revision in reversed(revisions):
            if revision.parameters is not None:
                p = revision.parameters
                return p.active_services, p.preview_services
        return self._annotated(names.ROLE_ACTIVE), self._annotated(names.ROLE_PREVIEW)

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
        )

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
        return Revision(
            number=int(number) if number.isdigit() else 0,
            hash=metadata["labels"][names.LABEL_HASH],
            deployment=metadata["name"],
            replicas=spec.get("replicas", 1),
            available=status.get("availableReplicas", 0),
            parameters=Parameters.from_json(
                annotations.get(names.ANNOTATION_PARAMETERS)
            ),
            aborted=names.ANNOTATION_ABORTED in annotations,
            failing_since=since,
            failure=failure,
            created=metadata.get("creationTimestamp", ""),
            images=tuple(str(c.get("image", "")) for c in containers),
            autoscaled=self.is_autoscaled(metadata["name"]),
            limits=self._limits_of(metadata["name"]),
        )

    def is_autoscaled(self, deployment: str) -> bool:
        """Whether a HorizontalPodAutoscaler decides the size of a Deployment."""
        return bool(self.autoscalers_of([deployment]))

    def autoscalers_of(self, deployments: t.Iterable[str]) -> list[Object]:
        """The HorizontalPodAutoscalers that target one of these Deployments."""
        wanted = set(deployments)
        return [
            item
            for _name, item in sorted(self.autoscalers.items.items())
            if item["spec"]["scaleTargetRef"].get("kind") == "Deployment"
            and item["spec"]["scaleTargetRef"].get("name") in wanted
        ]

    def names_of_deployments(self) -> set[str]:
        """Each Deployment of the rollout, and the manifests that they were made from:
        whatever is meant for one of these is meant for the revision that serves.
        """
        definitions = {
            _annotation(d, names.ANNOTATION_DEFINITION)
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
                seen.append(
                    self._service_seen(proof["metadata"]["name"], names.ROLE_PROOF)
                )
        return tuple(seen)

    def _service_seen(self, name: str, role: str) -> ServiceSeen:
        service = self.services.items.get(name)
        if service is None:
            return ServiceSeen(name, role, exists=False)
        selector = dict(service["spec"].get("selector") or {})
        return ServiceSeen(
            name,
            role,
            target=selector.get(names.LABEL_HASH),
            selector=selector,
            original=original_selector(service),
            endpoints=endpoints_of(service, self.slices.items.values()),
        )

    # -- waiting -------------------------------------------------------------------

    def owner_reference(self, revision: Revision) -> Object | None:
        """What an object carries that is deleted with a revision."""
        deployment = self.deployments.items.get(revision.deployment)
        if deployment is None:
            return None
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "name": revision.deployment,
            "uid": deployment["metadata"]["uid"],
        }

    def wait(self, seconds: float) -> None:
        """Until something of the rollout changes, at most so long."""
        watched = [self.deployments, self.services, self.records]
        if self.slices.version:
            watched.append(self.slices)
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
        query = {"dryRun": "All"} if dry_run else None
        written = self.api.create(self._path("deployments", "apps/v1"), body, query)
        if not dry_run:
            self.deployments.take(written)

    def fence(self) -> str:
        """The number that each takeover of the lock raises."""
        seen = [
            _annotation(d, names.ANNOTATION_FENCE)
            for d in self.deployments.items.values()
        ]
        return str(max([0, *(int(f) for f in seen if f.isdigit())]))

    def raise_fence(self) -> None:
        """Make every write of the previous holder fail."""
        raised = str(int(self.fence()) + 1)
        for collection, wanted in (
            (self.deployments, tuple(self.deployments.items)),
            (self.services, (*self._active, *self._preview)),
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

    def _patch_deployment(
        self, revision_hash: str, operations: list[Object]
    ) -> Object | None:
        name = names.deployment_name(self.rollout, revision_hash)
        known = self.deployments.items.get(name)
        if known is None:
            raise NotFound(
                f"Deployment {name} is gone; somebody else deleted it. Run again."
            )
        guarded = [_test("/metadata/uid", known["metadata"]["uid"])]
        fence = _annotation(known, names.ANNOTATION_FENCE)
        if fence:
            guarded.append(
                _test(_annotation_pointer(names.ANNOTATION_FENCE), fence),
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
                _test("/spec/replicas", revision.replicas),
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
        """The active Services, read now, that select a revision's pods."""
        self.services.load(self.api)
        deployment = self.deployments.items[revision.deployment]
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        wanted = {*self._active, *self._annotated(names.ROLE_ACTIVE)}
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

    def delete_revision(self, revision: Revision) -> None:
        """Delete the Deployment of an old revision without pods."""
        self._refuse_if_users_reach(revision)
        known = self.deployments.items[revision.deployment]
        path = self._path("deployments", "apps/v1", revision.deployment)
        self.api.delete(path, known["metadata"]["uid"])
        self.deployments.drop(known)

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
            pointer = _annotation_pointer(names.ANNOTATION_ABORTED)
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
                "path": f"/spec/template{_annotation_pointer(_RESTARTED_AT)}",
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
        known = self.services.items.get(service)
        if known is None:
            raise NotFound(f"Service {service} is gone; somebody else deleted it.")
        original = original_selector(known)
        role = (
            names.ROLE_PREVIEW
            if service in self._preview
            else names.ROLE_PROOF
            if service not in self._active
            else names.ROLE_ACTIVE
        )
        operations = [
            _test("/metadata/resourceVersion", known["metadata"]["resourceVersion"]),
            {
                "op": "add",
                "path": "/spec/selector",
                "value": {**original, names.LABEL_HASH: revision_hash},
            },
            *_annotations_of(known, service_annotations(self.rollout, role, original)),
        ]
        path = self._path("services", name=service)
        self.services.take(self.api.patch(path, operations))

    def directed_services(self) -> list[str]:
        """The users' Services that this rollout directs."""
        ours = {
            *self._annotated(names.ROLE_ACTIVE),
            *self._annotated(names.ROLE_PREVIEW),
        }
        narrowed = {
            name
            for name in (*self._active, *self._preview)
            if (service := self.services.items.get(name))
            and names.LABEL_HASH in (service["spec"].get("selector") or {})
        }
        return sorted(ours | narrowed)

    def give_back(self, service: str) -> None:
        """Give a Service its own selector again, and take what is ours from it."""
        known = self.services.items[service]
        present = known["metadata"].get("annotations") or {}
        operations = [
            _test("/metadata/resourceVersion", known["metadata"]["resourceVersion"]),
            {
                "op": "replace",
                "path": "/spec/selector",
                "value": original_selector(known),
            },
            *(
                {"op": "remove", "path": _annotation_pointer(key)}
                for key in sorted(present)
                if key.startswith(f"{names.PREFIX}/")
            ),
        ]
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
        role = names.ROLE_ACTIVE if name in self._active else names.ROLE_PREVIEW
        metadata = manifest["metadata"]
        body = {
            **manifest,
            "metadata": {
                **metadata,
                "namespace": self.namespace,
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
        """Point a proof Service for each active Service at a revision."""
        for active in self._active:
            name = names.proof_service_name(active)
            known = self.services.items.get(name)
            service = self.services.items.get(active)
            if service is None:
                # Deleted by somebody: there is nothing to prove for it.
                continue
            if known is None:
                body = proof_body(
                    service,
                    self.rollout,
                    self.namespace,
                    revision_hash,
                )
                self.services.take(self.api.create(self._path("services"), body))
            elif known["spec"]["selector"].get(names.LABEL_HASH) != revision_hash:
                self.point(name, revision_hash)

    def close_proof(self) -> None:
        """Delete the proof Services."""
        for active in self._active:
            name = names.proof_service_name(active)
            known = self.services.items.get(name)
            if known is not None and self._role_of(known) == names.ROLE_PROOF:
                self.api.delete(
                    self._path("services", name=name), known["metadata"]["uid"]
                )
                self.services.drop(known)

    def retarget(self, autoscaler: str, deployment: str) -> None:
        """Have an autoscaler decide another Deployment's size, if it still is what was
        seen.
        """
        known = self.autoscalers.items[autoscaler]
        operations = [
            _test("/metadata/resourceVersion", known["metadata"]["resourceVersion"]),
            {"op": "replace", "path": "/spec/scaleTargetRef/name", "value": deployment},
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
                _test("/metadata/uid", known["metadata"]["uid"]),
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
        return f"{reasons.count(worst)} of {len(pods)} pods: {worst}"


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
    its address families.
    """
    name = service["metadata"]["name"]
    ports = len(service["spec"].get("ports") or [])
    families = service["spec"].get("ipFamilies") or ["IPv4"]
    ready: dict[str, set[str]] = {family: set() for family in families}
    portless: set[str] = set()
    for piece in slices:
        if piece["metadata"].get("labels", {}).get(_SERVICE_NAME) != name:
            continue
        complete = len(piece.get("ports") or []) >= ports
        serving = {
            _endpoint_name(e) for e in piece.get("endpoints") or [] if _serves(e)
        }
        if complete:
            ready.setdefault(piece.get("addressType", "IPv4"), set()).update(serving)
        else:
            portless |= serving
    in_all = [frozenset(ready[family]) for family in families]
    return Endpoints(in_all[0].intersection(*in_all[1:]), frozenset(portless))


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
            return f"not ready ({condition.get('reason') or 'no reason given'})"
    return ""


def _test(path: str, value: object) -> Object:
    return {"op": "test", "path": path, "value": value}


def _annotation(item: Object, key: str) -> str:
    return str((item["metadata"].get("annotations") or {}).get(key, ""))


def _annotation_pointer(key: str) -> str:
    return "/metadata/annotations/" + key.replace("~", "~0").replace("/", "~1")


def _annotations_of(item: Object, wanted: t.Mapping[str, str]) -> list[Object]:
    """The operations that set annotations which differ."""
    present = item["metadata"].get("annotations")
    if present is None:
        return [{"op": "add", "path": "/metadata/annotations", "value": dict(wanted)}]
    return [
        {"op": "add", "path": _annotation_pointer(key), "value": value}
        for key, value in wanted.items()
        if present.get(key) != value
    ]


def _annotate(item: Object, wanted: t.Mapping[str, str]) -> list[Object]:
    guard = _test("/metadata/uid", item["metadata"]["uid"])
    return [guard, *_annotations_of(item, wanted)]
