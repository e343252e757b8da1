# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Adoption: a running plain Deployment becomes the first revision.

Its ReplicaSet is given to a Deployment of ours, so that no pod restarts and no
EndpointSlice changes. Each step is read back before the next, and each begins where
a killed run left off. Private to the collection: it may change in any release.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json
import typing as t

from . import _names as names
from ._api import Api
from ._await import await_object
from ._cluster import Cluster
from ._errors import ApiError, BadInput, BluegreenError
from ._manifests import Deployment, deployment_body, hash_of
from ._objects import (
    Object,
    annotation_of,
    annotation_pointer,
    controller_of,
    expect,
    is_observed,
)
from ._parameters import Parameters
from ._template import mark_pod

Report = t.Callable[[str], None]

_ANNOTATION_ADOPTING = f"{names.PREFIX}/adopting"
_POD_TEMPLATE_HASH = "pod-template-hash"
_RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"


class Adoption:
    """One adoption; :meth:`find` tells whether there is anything to adopt."""

    def __init__(
        self,
        cluster: Cluster,
        deployment: Deployment,
        parameters: Parameters,
        report: Report,
    ) -> None:
        self._cluster = cluster
        self._api: Api = cluster.api
        self._deployment = deployment
        self._parameters = parameters
        self._report = report
        self._folder = f"/apis/apps/v1/namespaces/{cluster.namespace}"
        self.plain: Object | None = None
        self.hash = ""
        self._orphan: Object | None = None

    # -- what there is to adopt ----------------------------------------------------

    def find(self) -> bool:
        """Whether a plain Deployment of the manifest's name runs, or an adoption was
        begun and not ended.

        :raises BadInput: the Deployment cannot be adopted as it is.
        """
        begun = self._begun()
        if begun is not None:
            self.hash = begun["metadata"]["labels"][names.LABEL_HASH]
            return True
        if self._cluster.deployments.items:
            return False
        plain = self._api.find(f"{self._folder}/deployments/{self._deployment.name}")
        if plain is not None and not _is_of_rollout(plain):
            _refuse_half_ejected(plain)
            self.plain = plain
            self.hash = annotation_of(plain, _ANNOTATION_ADOPTING)
            if not self.hash:
                self._refuse_unsettled(plain)
                self.hash = self._hash_of_running(plain)
            return True
        self._orphan = self._find_orphan()
        return self._orphan is not None

    def _begun(self) -> Object | None:
        """Our Deployment of an adoption whose last step was not reached."""
        for deployment in self._cluster.deployments.items.values():
            if annotation_of(deployment, _ANNOTATION_ADOPTING):
                return deployment
        return None

    def _find_orphan(self) -> Object | None:
        label = f"{names.LABEL_ROLLOUT}={self._cluster.rollout}"
        listed = self._api.get(f"{self._folder}/replicasets", {"labelSelector": label})
        for replica_set in listed["items"]:
            if not controller_of(replica_set) and names.LABEL_HASH in _labels(
                replica_set
            ):
                self.hash = _labels(replica_set)[names.LABEL_HASH]
                found: Object = replica_set
                return found
        return None

    def _refuse_unsettled(self, plain: Object) -> None:
        name = plain["metadata"]["name"]
        status, wanted = plain.get("status") or {}, plain["spec"].get("replicas", 1)
        counts = {k: status.get(k, 0) for k in ("updatedReplicas", "availableReplicas")}
        if not is_settled(plain):
            raise BadInput(
                f"definition: Deployment {name} is running and not settled"
                f" ({counts['availableReplicas']} of {wanted} pods available,"
                f" {counts['updatedReplicas']} up to date), so it cannot be taken over"
                " without disturbing its users; wait until its own rollout has ended,"
                " then run again."
            )
        if plain["spec"].get("paused"):
            raise BadInput(
                f"definition: Deployment {name} is paused; resume it (kubectl rollout"
                f" resume deployment {name}), then run again."
            )

    def _refuse_other_selector(self, plain: Object) -> None:
        running = _given(plain["spec"]["selector"])
        wanted = _given(self._deployment.body["spec"]["selector"])
        if wanted != running:
            raise BadInput(
                f"definition: its selector is {json.dumps(wanted)}, the running"
                f" Deployment {self._deployment.name} has {json.dumps(running)}, and"
                " Kubernetes lets nobody change it; give the running one's selector,"
                " or release under another name."
            )

    def _hash_of_running(self, plain: Object) -> str:
        """The manifest's hash if applying it would change nothing, else its own.

        Asked by a dry-run, so that the API server's own defaults decide.
        """
        self._refuse_other_selector(plain)
        body = copy.deepcopy(self._deployment.body)
        body["metadata"] = {
            "name": plain["metadata"]["name"],
            "namespace": self._cluster.namespace,
            "resourceVersion": plain["metadata"]["resourceVersion"],
        }
        path = f"{self._folder}/deployments/{plain['metadata']['name']}"
        with blames_definition():
            applied = self._api.replace(path, body, {"dryRun": "All"})
        kept = self._hash_that_stays(plain)
        if kept:
            return kept
        running = _bare(plain["spec"]["template"])
        if _bare(applied["spec"]["template"]) == running:
            return self._deployment.hash
        return hash_of(running)

    def _hash_that_stays(self, plain: Object) -> str:
        """The hash that its ReplicaSet selects by since an earlier rollout was ejected:
        a ReplicaSet's selector cannot be changed. Empty if there is none.
        """
        for replica_set in self._owned_replica_sets(plain):
            if replica_set["spec"].get("replicas", 0) > 0:
                selector = replica_set["spec"]["selector"].get("matchLabels") or {}
                return str(selector.get(names.LABEL_HASH, ""))
        return ""

    def describe(self) -> str:
        """One line of a plan."""
        if self.plain is None:
            return f"finish the adoption of revision {self.hash}"
        return (
            f"adopt Deployment {self.plain['metadata']['name']} as revision 1"
            f" ({self.hash}), without restarting its pods"
        )

    # -- doing it ------------------------------------------------------------------

    def run(self) -> None:
        """Adopt, from wherever an earlier run stopped.

        :raises BluegreenError: a step was not seen to have happened.
        """
        if self._begun() is None:
            if self.plain is not None:
                self._report(self.describe())
                self._orphan = self._set_free(self.plain)
            if self._orphan is None:
                raise BluegreenError(
                    f"The ReplicaSet of Deployment {self._deployment.name} is gone;"
                    " somebody else deleted it. Run again."
                )
            self._give_home(self._orphan)
        begun = self._begun()
        if begun is not None:
            self._settle_in(begun)

    def _set_free(self, plain: Object) -> Object:
        """Label the ReplicaSet and its pods, and delete the plain Deployment only."""
        if not annotation_of(plain, _ANNOTATION_ADOPTING):
            plain = self._pause(plain)
        replica_set = self._running_replica_set(plain)
        replica_set = self._label_replica_set(replica_set)
        self._label_pods(replica_set)
        name, uid = plain["metadata"]["name"], plain["metadata"]["uid"]
        path = f"{self._folder}/deployments/{name}"
        if "deletionTimestamp" not in plain["metadata"]:
            self._api.delete(path, uid, propagation="Orphan")
        return self._await(
            replica_set,
            lambda found: not controller_of(found),
            f"ReplicaSet {replica_set['metadata']['name']} to be let go by Deployment"
            f" {name}",
        )

    def _pause(self, plain: Object) -> Object:
        name = plain["metadata"]["name"]
        annotations = plain["metadata"].get("annotations") or {}
        operations: list[Object] = [
            expect("/metadata/resourceVersion", plain["metadata"]["resourceVersion"]),
            {"op": "add", "path": "/spec/paused", "value": True},
            {
                "op": "add",
                "path": "/metadata/annotations",
                "value": {**annotations, _ANNOTATION_ADOPTING: self.hash},
            },
        ]
        paused = self._api.patch(f"{self._folder}/deployments/{name}", operations)
        generation = paused["metadata"]["generation"]
        return self._await(
            paused,
            lambda d: (
                (d.get("status") or {}).get("observedGeneration", 0) >= generation
            ),
            f"Deployment {name} to be paused",
            kind="deployments",
        )

    def _owned_replica_sets(self, plain: Object) -> list[Object]:
        labels = plain["spec"]["selector"].get("matchLabels") or {}
        selector = ",".join(f"{k}={v}" for k, v in sorted(labels.items()))
        listed = self._api.get(
            f"{self._folder}/replicasets", {"labelSelector": selector}
        )
        return [
            r for r in listed["items"] if controller_of(r) == plain["metadata"]["uid"]
        ]

    def _running_replica_set(self, plain: Object) -> Object:
        owned = self._owned_replica_sets(plain)
        running = [r for r in owned if r["spec"].get("replicas", 0) > 0]
        if len(running) != 1:
            raise BluegreenError(
                f"Deployment {plain['metadata']['name']} has {len(running)} ReplicaSets"
                " with pods, one is expected; wait until its own rollout has ended,"
                " then run again."
            )
        for replica_set in owned:
            if replica_set is not running[0]:
                path = f"{self._folder}/replicasets/{replica_set['metadata']['name']}"
                self._api.delete(path, replica_set["metadata"]["uid"])
        found: Object = running[0]
        return found

    @property
    def _ours(self) -> dict[str, str]:
        return {
            names.LABEL_ROLLOUT: self._cluster.rollout,
            names.LABEL_HASH: self.hash,
        }

    def _label_replica_set(self, replica_set: Object) -> Object:
        template = replica_set["spec"]["template"]["metadata"]
        if self._ours.items() <= (template.get("labels") or {}).items():
            return replica_set
        operations: list[Object] = [
            expect("/metadata/uid", replica_set["metadata"]["uid"]),
            {
                "op": "add",
                "path": "/metadata/labels",
                "value": {**_labels(replica_set), **self._ours},
            },
            {
                "op": "add",
                "path": "/spec/template/metadata/labels",
                "value": {**(template.get("labels") or {}), **self._ours},
            },
        ]
        path = f"{self._folder}/replicasets/{replica_set['metadata']['name']}"
        return self._api.patch(path, operations)

    def _label_pods(self, replica_set: Object) -> None:
        wanted = {
            k: v
            for k, v in replica_set["spec"]["selector"]["matchLabels"].items()
            if k != names.LABEL_HASH
        }
        selector = ",".join(f"{k}={v}" for k, v in sorted(wanted.items()))
        for pod in self._cluster.pods(selector):
            if not self._ours.items() <= _labels(pod).items():
                # It may die meanwhile: its successor is born with the labels.
                mark_pod(self._api, pod, {"labels": self._ours})

    def _give_home(self, replica_set: Object) -> None:
        """Create our Deployment, paused, so that it takes the ReplicaSet as it is."""
        template = copy.deepcopy(replica_set["spec"]["template"])
        for key in (_POD_TEMPLATE_HASH, *self._ours):
            template["metadata"]["labels"].pop(key, None)
        body = copy.deepcopy(self._deployment.body)
        body["spec"]["template"] = template
        adopted = Deployment(self._deployment.name, body)
        replicas = replica_set["spec"].get("replicas", 1)
        parameters = self._parameters
        autoscaled = self._cluster.is_autoscaled(self._deployment.name)
        if self.hash != self._deployment.hash and not autoscaled:
            # It runs what its own manifest asked for, which the new one may change.
            parameters = dataclasses.replace(parameters, replicas=replicas)
        ours = deployment_body(
            adopted,
            self._cluster.rollout,
            self._cluster.namespace,
            number=1,
            replicas=replicas,
            parameters=parameters,
            fence="0",
            revision_hash=self.hash,
        )
        ours["metadata"]["annotations"][_ANNOTATION_ADOPTING] = self.hash
        ours["spec"]["paused"] = True
        written = self._api.create(f"{self._folder}/deployments", ours)
        self._cluster.deployments.take(written)

    def _settle_in(self, ours: Object) -> None:
        """The Deployment has the ReplicaSet; it is resumed, the Services narrowed."""
        uid = ours["metadata"]["uid"]
        replica_set = self._replica_set_of_hash()
        self._await(
            replica_set,
            lambda found: controller_of(found) == uid,
            f"ReplicaSet {replica_set['metadata']['name']} to be taken over by"
            f" Deployment {ours['metadata']['name']}",
        )
        if ours["spec"].get("paused"):
            ours = self._resume(ours)
        self._await_labelled_endpoints()
        for service in self._parameters.active_services:
            found = self._cluster.services.items.get(service)
            if found and names.LABEL_HASH not in found["spec"]["selector"]:
                self._cluster.point(service, self.hash)
        pointer = annotation_pointer(_ANNOTATION_ADOPTING)
        path = f"{self._folder}/deployments/{ours['metadata']['name']}"
        operations: list[Object] = [
            expect(pointer, self.hash),
            {"op": "remove", "path": pointer},
        ]
        self._cluster.deployments.take(self._api.patch(path, operations))

    def _replica_set_of_hash(self) -> Object:
        label = f"{names.LABEL_HASH}={self.hash}"
        listed = self._api.get(f"{self._folder}/replicasets", {"labelSelector": label})
        if len(listed["items"]) != 1:
            raise BluegreenError(
                f"Revision {self.hash} has {len(listed['items'])} ReplicaSets in the"
                " middle of its adoption, one is expected; look at kubectl get"
                f" replicasets -l {label}, remove the one without ready pods, then run"
                " again."
            )
        found: Object = listed["items"][0]
        return found

    def _resume(self, ours: Object) -> Object:
        name = ours["metadata"]["name"]
        operations: list[Object] = [
            expect("/metadata/uid", ours["metadata"]["uid"]),
            {"op": "replace", "path": "/spec/paused", "value": False},
        ]
        resumed = self._api.patch(f"{self._folder}/deployments/{name}", operations)
        generation = resumed["metadata"]["generation"]

        def is_settled(found: Object) -> bool:
            status = found.get("status") or {}
            return bool(
                status.get("observedGeneration", 0) >= generation
                and status.get("updatedReplicas", 0) >= found["spec"]["replicas"]
            )

        return self._await(
            resumed, is_settled, f"Deployment {name} to settle", kind="deployments"
        )

    def _await_labelled_endpoints(self) -> None:
        """Every ready endpoint carries the hash: narrowing takes none away."""
        labelled = {
            p["metadata"]["name"]
            for p in self._cluster.pods(f"{names.LABEL_HASH}={self.hash}")
        }
        seen = self._cluster.observe()
        for service in seen.with_role(names.ROLE_ACTIVE):
            foreign = sorted(service.endpoints.ready - labelled)
            if service.exists and service.target is None and foreign:
                raise BluegreenError(
                    f"Service {service.name} has the ready endpoint {foreign[0]}, which"
                    " is not of the adopted Deployment and would be taken away; find"
                    " out whose pod it is, then run again."
                )

    def _await(
        self,
        item: Object,
        until: t.Callable[[Object], bool],
        what: str,
        kind: str = "replicasets",
    ) -> Object:
        return await_object(
            self._api, f"{self._folder}/{kind}", item["metadata"]["name"], until, what
        )


def is_settled(deployment: Object) -> bool:
    """Whether a Deployment has rolled out, with all of its pods available."""
    status, wanted = deployment.get("status") or {}, deployment["spec"]["replicas"]
    counts = [
        status.get(key, 0)
        for key in ("replicas", "updatedReplicas", "availableReplicas")
    ]
    return is_observed(deployment) and all(count == wanted for count in counts)


@contextlib.contextmanager
def blames_definition() -> t.Iterator[None]:
    """What the API server finds invalid in a dry-run, it finds in the manifest."""
    try:
        yield
    except ApiError as error:
        if error.status not in (400, 422):
            raise
        raise BadInput(f"definition: {error}") from error


def _refuse_half_ejected(plain: Object) -> None:
    if annotation_of(plain, names.ANNOTATION_EJECTING):
        raise BadInput(
            f"definition: Deployment {plain['metadata']['name']} is on its way out of"
            " an earlier rollout, whose eject was ended in the middle; run the eject"
            " playbook again, then this."
        )


def _given(selector: Object) -> Object:
    return {k: v for k, v in sorted(selector.items()) if v}


def _bare(template: Object) -> Object:
    """A template without the mark of ``kubectl rollout restart``, and without the
    labels that an ejected rollout has left.
    """
    template = copy.deepcopy(template)
    for key in (names.LABEL_ROLLOUT, names.LABEL_HASH):
        template["metadata"]["labels"].pop(key, None)
    annotations = template["metadata"].get("annotations")
    if annotations:
        annotations.pop(_RESTARTED_AT, None)
        if not annotations:
            del template["metadata"]["annotations"]
    return template


def _is_of_rollout(deployment: Object) -> bool:
    return names.LABEL_ROLLOUT in _labels(deployment)


def _labels(item: Object) -> dict[str, str]:
    return dict(item["metadata"].get("labels") or {})
