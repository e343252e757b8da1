# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a running ReplicaSet comes to a Deployment of ours, without restarting a pod.

The steps that an adoption and a take-over share; each is seen to have happened before
it returns. Private to the collection: it may change in any release.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import typing as t

from . import _names as names
from ._await import await_object
from ._cluster import Cluster
from ._errors import ApiError, BadInput, BluegreenError
from ._manifests import Deployment, deployment_body
from ._objects import (
    Object,
    controller_of,
    expect,
    is_observed,
    labels_of,
)
from ._parameters import Parameters
from ._template import mark_pod

POD_TEMPLATE_HASH = "pod-template-hash"
_RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"


class Rehoming:
    """The ReplicaSet of one revision on its way to a Deployment of ours."""

    def __init__(self, cluster: Cluster, revision_hash: str) -> None:
        self._cluster = cluster
        self._api = cluster.api
        self._hash = revision_hash
        self._folder = f"/apis/apps/v1/namespaces/{cluster.namespace}"

    @property
    def _ours(self) -> dict[str, str]:
        return {
            names.LABEL_ROLLOUT: self._cluster.rollout,
            names.LABEL_HASH: self._hash,
        }

    def is_labelled(self, replica_set: Object) -> bool:
        """Whether pods that a ReplicaSet makes are born with our labels."""
        template = replica_set["spec"]["template"]["metadata"]
        return bool(self._ours.items() <= (template.get("labels") or {}).items())

    def label_replica_set(self, replica_set: Object) -> Object:
        """Label a ReplicaSet and its template: our Deployment may own it now."""
        if self.is_labelled(replica_set):
            return replica_set
        template = replica_set["spec"]["template"]["metadata"]
        operations: list[Object] = [
            expect("/metadata/uid", replica_set["metadata"]["uid"]),
            {
                "op": "add",
                "path": "/metadata/labels",
                "value": {**labels_of(replica_set), **self._ours},
            },
            {
                "op": "add",
                "path": "/spec/template/metadata/labels",
                "value": {**(template.get("labels") or {}), **self._ours},
            },
        ]
        path = f"{self._folder}/replicasets/{replica_set['metadata']['name']}"
        return self._api.patch(path, operations)

    def label_pods(self, replica_set: Object) -> None:
        """Label the pods that were born before their ReplicaSet's template was."""
        wanted = {
            k: v
            for k, v in replica_set["spec"]["selector"]["matchLabels"].items()
            if k != names.LABEL_HASH
        }
        selector = ",".join(f"{k}={v}" for k, v in sorted(wanted.items()))
        for pod in self._cluster.pods(selector):
            if not self._ours.items() <= labels_of(pod).items():
                # It may die meanwhile: its successor is born with the labels.
                mark_pod(self._api, pod, {"labels": self._ours})

    def home(
        self,
        deployment: Deployment,
        parameters: Parameters,
        replica_set: Object,
        autoscaled: bool,
        marks: t.Mapping[str, str],
    ) -> Object:
        """Our Deployment, paused, so that it takes the ReplicaSet as it is.

        :param deployment: the manifest, whose template the ReplicaSet's stands for.
        :param autoscaled: whether an autoscaler decides the number of pods.
        :param marks: annotations that it has until it is at home.
        """
        template = copy.deepcopy(replica_set["spec"]["template"])
        for key in (POD_TEMPLATE_HASH, *self._ours):
            template["metadata"]["labels"].pop(key, None)
        body = copy.deepcopy(deployment.body)
        body["spec"]["template"] = template
        replicas = replica_set["spec"].get("replicas", 1)
        if self._hash != deployment.hash and not autoscaled:
            # It runs what its own manifest asked for, which the new one may change.
            parameters = dataclasses.replace(parameters, replicas=replicas)
        if self._hash != deployment.hash:
            # It reads what belongs to no revision.
            parameters = dataclasses.replace(parameters, config=())
        ours = deployment_body(
            Deployment(deployment.name, body),
            self._cluster.rollout,
            self._cluster.namespace,
            number=1,
            replicas=replicas,
            parameters=parameters,
            fence="0",
            revision_hash=self._hash,
        )
        ours["metadata"]["annotations"].update(marks)
        ours["spec"]["paused"] = True
        return ours

    def create_home(self, ours: Object) -> Object:
        """Create our Deployment."""
        written = self._api.create(f"{self._folder}/deployments", ours)
        self._cluster.deployments.take(written)
        return written

    def await_owner(self, ours: Object) -> None:
        """Wait until our Deployment has taken the ReplicaSet over."""
        uid = ours["metadata"]["uid"]
        name = self._replica_set_of_hash()["metadata"]["name"]
        self.await_replica_set(
            name,
            lambda found: controller_of(found) == uid,
            f"ReplicaSet {name} to be taken over by Deployment"
            f" {ours['metadata']['name']}",
        )

    def await_replica_set(
        self, name: str, until: t.Callable[[Object], bool], what: str
    ) -> Object:
        """Watch a ReplicaSet until it is as expected."""
        return await_object(self._api, f"{self._folder}/replicasets", name, until, what)

    def await_paused(self, deployment: Object) -> Object:
        """Wait until the controller has seen that a Deployment is paused."""
        name = deployment["metadata"]["name"]
        generation = deployment["metadata"]["generation"]
        return await_object(
            self._api,
            f"{self._folder}/deployments",
            name,
            lambda found: (
                found["metadata"]["generation"] >= generation and is_observed(found)
            ),
            f"Deployment {name} to be paused",
        )

    def _replica_set_of_hash(self) -> Object:
        label = f"{names.LABEL_HASH}={self._hash}"
        listed = self._api.get(f"{self._folder}/replicasets", {"labelSelector": label})
        if len(listed["items"]) != 1:
            raise BluegreenError(
                f"Revision {self._hash} has {len(listed['items'])} ReplicaSets in the"
                " middle of its adoption, one is expected; look at kubectl get"
                f" replicasets -l {label}, remove the one without ready pods, then run"
                " again."
            )
        found: Object = listed["items"][0]
        return found

    def resume(self, ours: Object) -> Object:
        """Let our Deployment go on as any other does, and wait until it has settled."""
        if not ours["spec"].get("paused"):
            return ours
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

        return await_object(
            self._api,
            f"{self._folder}/deployments",
            name,
            is_settled,
            f"Deployment {name} to settle",
        )

    def refuse_foreign_endpoints(self) -> None:
        """Every ready endpoint carries the hash: narrowing takes none away.

        :raises BluegreenError: one does not.
        """
        labelled = {
            p["metadata"]["name"]
            for p in self._cluster.pods(f"{names.LABEL_HASH}={self._hash}")
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


def bare_template(template: Object, without: t.Iterable[str] = ()) -> Object:
    """A template without the mark of ``kubectl rollout restart``, and without the
    labels that an ejected rollout has left.

    :param without: more labels that do not count.
    """
    template = copy.deepcopy(template)
    for key in (names.LABEL_ROLLOUT, names.LABEL_HASH, *without):
        template["metadata"]["labels"].pop(key, None)
    annotations = template["metadata"].get("annotations")
    if annotations:
        annotations.pop(_RESTARTED_AT, None)
        if not annotations:
            del template["metadata"]["annotations"]
    return template
