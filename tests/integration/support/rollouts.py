# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An application as Argo Rollouts has left it: its controller does not run."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import fcntl
import pathlib
import typing as t

from .argo import ARGO
from .definitions import is_served
from .kube import Kube, Object, resource_path
from .manifests import deployment, service
from .plain import Plain
from .waiting import eventually

KEY = "rollouts-pod-template-hash"
MANAGED_BY = "argo-rollouts.argoproj.io/managed-by-rollouts"
LEASE = "argo-rollouts-controller-lock"
# The file by which tests share the definition, in the folder that they share.
ROLLOUTS_LOCK = "rollouts.lock"
_MADE_HERE = "test.cutover.bluegreen/made-here"
_DEFINITION = (
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/rollouts.argoproj.io"
)
_STABLE, _EARLIER, _OLDEST = "5b8f7c6d9f", "6d4cf56db6", "7c9d8b7f54"


@contextlib.contextmanager
def shared_definition(kube: Kube, lock: pathlib.Path) -> t.Iterator[None]:
    """The definition of Rollout, for all who share the cluster at once.

    The last one takes it away again, unless the cluster had it before.
    """
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if kube.find(_DEFINITION) is None:
            kube.create(_DEFINITION.rpartition("/")[0], _definition())
        eventually(lambda: is_served(kube, _definition()), 60, "a list of Rollouts")
        fcntl.flock(file, fcntl.LOCK_SH)
        yield
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        found = kube.find(_DEFINITION)
        if found and _MADE_HERE in found["metadata"].get("labels", {}):
            kube.delete(_DEFINITION)
            eventually(lambda: kube.find(_DEFINITION) is None, 60, "its end")


def _definition() -> Object:
    """As Argo Rollouts has it, but for the schema."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1alpha1", "served": True, "storage": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "rollouts.argoproj.io", "labels": {_MADE_HERE: "true"}},
        "spec": {
            "group": "argoproj.io",
            "scope": "Namespaced",
            "names": {"kind": "Rollout", "plural": "rollouts", "singular": "rollout"},
            "versions": [{**version, "schema": {"openAPIV3Schema": schema}}],
        },
    }


@dataclasses.dataclass(frozen=True)
class Argo:
    """The Rollout `web` of one namespace, and what is seen of its application."""

    kube: Kube
    namespace: str
    plain: Plain

    @property
    def folder(self) -> str:
        return f"{ARGO}/namespaces/{self.namespace}/rollouts"

    @property
    def path(self) -> str:
        return f"{self.folder}/web"

    def get(self) -> Object:
        return self.kube.get(self.path)

    def exists(self) -> bool:
        return self.kube.find(self.path) is not None

    def set_status(self, **changes: object) -> None:
        """Change its status; there is no controller that would put it back."""
        self.kube.patch(self.path, {"status": changes})

    def service(self, name: str = "web") -> Object:
        return self.kube.get(resource_path("services", self.namespace, name))

    def replica_set(self, key: str = _STABLE) -> Object:
        return self.kube.get(resource_path("replicasets", self.namespace, f"web-{key}"))

    def create_lease(self, holder: str, seconds: int = 2) -> None:
        """The Lease of Argo's controller, in the namespace of the application."""
        self.kube.create(
            resource_path("leases", self.namespace),
            {
                "metadata": {"name": LEASE},
                "spec": {"holderIdentity": holder, "leaseDurationSeconds": seconds},
            },
        )

    def renew_lease(self) -> None:
        path = resource_path("leases", self.namespace, LEASE)
        transitions = self.kube.get(path)["spec"].get("leaseTransitions", 0) + 1
        self.kube.patch(path, {"spec": {"leaseTransitions": transitions}})


def run_argo(
    kube: Kube, namespace: str, replicas: int = 3, earlier_pods: int = 0
) -> Argo:
    """Create what a settled Rollout has; wait until users reach it.

    :param earlier_pods: of its earlier revision, in its scale-down delay.
    """
    argo = Argo(kube, namespace, Plain(kube, namespace, "web"))
    manifest = deployment("web", replicas=replicas)
    rollout = kube.create(argo.folder, _rollout(manifest))
    for key, size, version in (
        (_OLDEST, 0, "a"),
        (_EARLIER, earlier_pods, "b"),
        (_STABLE, replicas, "1"),
    ):
        template = deployment("web", version=version)["spec"]["template"]
        _create_replica_set(kube, namespace, rollout, template, key, size)
    for name in ("web", "web-preview"):
        body = service(name, selector={"app": "web", KEY: _STABLE})
        body["metadata"]["annotations"] = {MANAGED_BY: "web"}
        kube.create(resource_path("services", namespace), body)
    eventually(lambda: argo.plain.ready() == replicas, 30, "the pods of the Rollout")
    eventually(
        lambda: argo.replica_set()["status"].get("availableReplicas", 0) == replicas,
        30,
        "its ReplicaSet",
    )
    return argo


def _rollout(manifest: Object) -> Object:
    strategy = {"activeService": "web", "previewService": "web-preview"}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": "web"},
        "spec": {**manifest["spec"], "strategy": {"blueGreen": strategy}},
        "status": {
            "phase": "Healthy",
            "observedGeneration": "1",
            "stableRS": _STABLE,
            "currentPodHash": _STABLE,
            "blueGreen": {"activeSelector": _STABLE, "previewSelector": _STABLE},
        },
    }


def _create_replica_set(
    kube: Kube, namespace: str, rollout: Object, template: Object, key: str, size: int
) -> None:
    template = copy.deepcopy(template)
    template["metadata"]["labels"][KEY] = key
    owner = {
        "apiVersion": rollout["apiVersion"],
        "kind": "Rollout",
        "name": "web",
        "uid": rollout["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    labels = {"app": "web", KEY: key}
    body = {
        "metadata": {
            "name": f"web-{key}",
            "labels": labels,
            "ownerReferences": [owner],
        },
        "spec": {
            "replicas": size,
            "selector": {"matchLabels": labels},
            "template": template,
        },
    }
    kube.create(resource_path("replicasets", namespace), body)
