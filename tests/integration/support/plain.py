# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An application as it runs before anybody releases it blue-green."""

from __future__ import annotations

import dataclasses
import typing as t

from .kube import Kube, Object, resource_path
from .manifests import deployment, service
from .waiting import eventually
from .watcher import REVISION_LABEL, SERVICE_LABEL


@dataclasses.dataclass(frozen=True)
class Plain:
    """A Deployment and a Service of one name, and what is seen of them."""

    kube: Kube
    namespace: str
    name: str

    def path(self, resource: str, name: str | None = None) -> str:
        return resource_path(resource, self.namespace, name or self.name)

    def pods(self) -> dict[str, tuple[str, int]]:
        """The living pods of the app: uid -> name and restarts."""
        listed = self.kube.list(
            resource_path("pods", self.namespace), f"app={self.name}"
        )
        return {
            pod["metadata"]["uid"]: (
                pod["metadata"]["name"],
                sum(
                    c["restartCount"]
                    for c in pod["status"].get("containerStatuses") or []
                ),
            )
            for pod in listed
            if "deletionTimestamp" not in pod["metadata"]
        }

    def slices(self) -> list[Object]:
        return self.kube.list(
            resource_path("endpointslices", self.namespace),
            f"{SERVICE_LABEL}={self.name}",
        )

    def ready(self) -> int:
        return sum(
            e.get("conditions", {}).get("ready") is not False
            for s in self.slices()
            for e in s.get("endpoints") or ()
        )

    def deployments(self) -> dict[str, Object]:
        listed = self.kube.list(resource_path("deployments", self.namespace))
        return {d["metadata"]["name"]: d for d in listed}

    def replica_sets(self) -> list[Object]:
        return self.kube.list(resource_path("replicasets", self.namespace))

    def selector(self) -> dict[str, str]:
        found = self.kube.get(self.path("services"))
        return t.cast("dict[str, str]", found["spec"]["selector"])

    def hash(self) -> str:
        """The revision that the Service selects; empty before its adoption."""
        return self.selector().get(REVISION_LABEL, "")

    def settled(self) -> bool:
        found = self.kube.get(self.path("deployments"))
        status, wanted = found.get("status", {}), found["spec"]["replicas"]
        return bool(
            status.get("observedGeneration") == found["metadata"]["generation"]
            and status.get("replicas") == wanted
            and status.get("updatedReplicas") == wanted
            and status.get("availableReplicas") == wanted
            and self.ready() == wanted
        )


def run_plain(
    kube: Kube,
    namespace: str,
    manifest: Object | None = None,
    selector: t.Mapping[str, str] | None = None,
) -> Plain:
    """Create a Deployment and a Service of its name; wait until users reach it."""
    manifest = manifest or deployment("web")
    plain = Plain(kube, namespace, manifest["metadata"]["name"])
    kube.create(resource_path("deployments", namespace), manifest)
    kube.create(
        resource_path("services", namespace), service(plain.name, selector=selector)
    )
    eventually(plain.settled, 30, f"Deployment {plain.name} to settle")
    return plain


def release_vars(
    namespace: str, manifest: t.Mapping[str, t.Any], **options: t.Any
) -> dict[str, t.Any]:
    """The role's variables for a release without a delay, `options` without prefix."""
    name = manifest["metadata"]["name"]
    given = {
        "name": name,
        "namespace": namespace,
        "definition": manifest,
        "active_service": name,
        "scale_down_delay_seconds": 0,
        **options,
    }
    return {f"bluegreen_{key}": value for key, value in given.items()}
