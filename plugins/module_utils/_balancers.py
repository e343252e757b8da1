# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Load balancers of a cloud that send requests to pods directly, and follow a Service's
endpoints at their own pace: what can be seen of them in the cluster.

AWS Load Balancer Controller: a TargetGroupBinding names its Service; its annotation
``elbv2.k8s.aws/checkpoint`` changes with each set of targets that it has registered,
and the condition ``target-health.elbv2.k8s.aws/<binding>`` of a pod that has such a
readiness gate tells whether its target is healthy. GKE: the annotation
``cloud.google.com/neg-status`` of a Service names its ServiceNetworkEndpointGroups,
whose ``status.lastSyncTime`` moves with each set of endpoints that was attached.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import json
import typing as t

from . import _names as names
from ._api import Api, forbidden
from ._errors import ApiError, NotFound
from ._objects import Object, annotation_of
from ._watches import Collection

_CHECKPOINT = "elbv2.k8s.aws/checkpoint"
_TARGET_HEALTH = "target-health.elbv2.k8s.aws/"
_NEG_STATUS = "cloud.google.com/neg-status"
_BINDINGS = ("elbv2.k8s.aws", "v1beta1", "targetgroupbindings")
_GROUPS = ("networking.gke.io", "v1beta1", "servicenetworkendpointgroups")


class Balancers:
    """The load balancers of one rollout's Services."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self._namespace = namespace
        self._bindings = self._collection(*_BINDINGS)
        self._groups = self._collection(*_GROUPS)
        # What each binding and group had registered before the Services were widened.
        self._before: dict[str, str] = {}
        self.loaded = False
        self.warnings: list[str] = []

    def _collection(self, group: str, version: str, resource: str) -> Collection:
        folder = f"/apis/{group}/{version}/namespaces/{self._namespace}"
        return Collection(f"{folder}/{resource}")

    def load_once(self, services: t.Iterable[Object]) -> None:
        """Read what balances the load of these Services, where the cluster has such
        kinds at all.
        """
        if self.loaded:
            return
        self.loaded = True
        self._load(self._bindings, _BINDINGS)
        if any(annotation_of(s, _NEG_STATUS) for s in services):
            self._load(self._groups, _GROUPS)

    def _load(self, collection: Collection, kind: tuple[str, str, str]) -> None:
        group, version, resource = kind
        try:
            # Everybody may ask which kinds there are.
            known = self._api.get(f"/apis/{group}/{version}")["resources"]
            if any(one["name"] == resource for one in known):
                collection.load(self._api)
        except NotFound:
            return
        except ApiError as error:
            if not forbidden(error):
                raise
            self.warnings.append(
                "Whether the load balancer has taken in the new pods cannot be seen, so"
                f" overlap_seconds alone must cover it: {error}"
            )

    def watched(self) -> list[Collection]:
        """What is to be watched while the Services are widened."""
        return [c for c in (self._bindings, self._groups) if c.version]

    def why_mixed(self, service: Object) -> str:
        """As :func:`._cluster.why_mixed`."""
        for binding in self._bindings_of(service):
            name = binding["metadata"]["name"]
            return f"is balanced by TargetGroupBinding {name}, which follows later"
        if annotation_of(service, _NEG_STATUS):
            return "is balanced by network endpoint groups, which follow later"
        return ""

    def remember(self) -> None:
        """The Services are about to be widened: what is registered is the old set."""
        self._before = dict(self._registered())

    def _registered(self) -> t.Iterator[tuple[str, str]]:
        for name, binding in self._bindings.items.items():
            yield f"TargetGroupBinding {name}", annotation_of(binding, _CHECKPOINT)
        for name, group in self._groups.items.items():
            synced = str((group.get("status") or {}).get("lastSyncTime", ""))
            yield f"ServiceNetworkEndpointGroup {name}", synced

    def pending(self, service: Object, pods: t.Iterable[Object]) -> str:
        """What a Service's load balancers have not taken in yet, as a clause; empty if
        nothing is known to be missing.

        :param pods: those of the revision that the Services move to.
        """
        now = dict(self._registered())
        for key in self._keys_of(service):
            before = self._before.get(key, "")
            # Without one the controller is of a version that does not tell.
            if before and now.get(key) == before:
                return f"{key} has not registered the new pods yet"
        gates = {
            f"{_TARGET_HEALTH}{binding['metadata']['name']}"
            for binding in self._bindings_of(service)
        }
        for pod in pods:
            gate = unhealthy_gate(pod, gates)
            if gate:
                name = pod["metadata"]["name"]
                return f"pod {name} is not healthy for its target group ({gate})"
        return ""

    def _bindings_of(self, service: Object) -> list[Object]:
        name = service["metadata"]["name"]
        return [
            binding
            for _key, binding in sorted(self._bindings.items.items())
            if (binding["spec"].get("serviceRef") or {}).get("name") == name
        ]

    def _keys_of(self, service: Object) -> list[str]:
        bound = [
            f"TargetGroupBinding {b['metadata']['name']}"
            for b in self._bindings_of(service)
        ]
        return bound + [
            f"ServiceNetworkEndpointGroup {name}" for name in groups_of(service)
        ]


def groups_of(service: Object) -> list[str]:
    """The names of the endpoint groups that GKE keeps for a Service."""
    try:
        status = json.loads(annotation_of(service, _NEG_STATUS) or "{}")
        return sorted(set(status["network_endpoint_groups"].values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        return []


def unhealthy_gate(pod: Object, gates: t.Collection[str]) -> str:
    """The first of these readiness gates that a pod has and that is not True."""
    conditions = {
        condition["type"]: condition["status"]
        for condition in (pod.get("status") or {}).get("conditions") or []
    }
    for gate in pod["spec"].get("readinessGates") or []:
        kind = str(gate["conditionType"])
        if kind in gates and conditions.get(kind) != "True":
            return kind
    return ""


def pods_of_revision(pods: t.Iterable[Object], revision_hash: str) -> list[Object]:
    """The pods of one revision that are not being ended."""
    return [
        pod
        for pod in pods
        if pod["metadata"]["labels"].get(names.LABEL_HASH) == revision_hash
        and "deletionTimestamp" not in pod["metadata"]
    ]
