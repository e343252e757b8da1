# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the demo does beside the collection: its namespace, and a look of its own at
whether the release ended as it said.
"""

from __future__ import annotations

import sys

import kubernetes

NAMESPACE = "demo"
OLD, NEW = "nginx:1.28", "nginx:1.29"


def prepare() -> None:
    """Make the namespace; one that is there already belongs to somebody."""
    body = {"metadata": {"name": NAMESPACE}}
    try:
        kubernetes.client.CoreV1Api().create_namespace(body)
    except kubernetes.client.ApiException as error:
        if error.status != 409:
            raise
        sys.exit(
            f"The cluster has a namespace {NAMESPACE} already, and the demo deletes the"
            " one that it works in; delete it, or choose another cluster."
        )
    print(f"made the namespace {NAMESPACE}")


def verify() -> None:
    """Fail unless the new version serves all users and the old one has no pods."""
    core = kubernetes.client.CoreV1Api()
    pods = core.list_namespaced_pod(NAMESPACE).items
    images = {p.metadata.name: p.spec.containers[0].image for p in pods}
    slices = kubernetes.client.DiscoveryV1Api().list_namespaced_endpoint_slice(
        NAMESPACE, label_selector="kubernetes.io/service-name=web"
    )
    serving = [
        images.get(endpoint.target_ref.name, "an unknown pod")
        for each in slices.items
        for endpoint in each.endpoints or []
        if endpoint.conditions.ready
    ]
    old = [name for name, image in images.items() if image == OLD]
    if serving != [NEW] * 4 or old:
        sys.exit(
            f"The release did not end as it should: Service web leads to {serving},"
            f" pods of version 1: {old}."
        )
    print(
        f"Version 2 ({NEW}) is stable: Service web leads all users to its 4 pods.\n"
        f"Version 1 ({OLD}) is at zero; its Deployment is kept for the way back."
    )


def clean() -> None:
    """Delete the namespace."""
    kubernetes.client.CoreV1Api().delete_namespace(NAMESPACE)
    print(f"deleted the namespace {NAMESPACE}")


if __name__ == "__main__":
    kubernetes.config.load_kube_config()
    {"prepare": prepare, "verify": verify, "clean": clean}[sys.argv[1]]()
