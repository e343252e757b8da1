# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The application of tests/cluster/app, as its user would release it."""

from __future__ import annotations

import contextlib
import http.client
import json
import typing as t
import urllib.parse

import node

from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
    Kube,
    Object,
    resource_path,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.manifests import (
    deployment,
    service,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.waiting import (
    eventually,
)

Shutdown = t.Literal["graceful", "abrupt"]
PORT = 8080
# Not where users' requests come from: of a connection from the node itself that a
# Service without pods refused, the kernel remembers for two minutes that it goes to no
# pod, and a user who gets the same port is refused, too, whatever pods there are then.
ASKS_FROM = "127.0.0.2"


def application(
    name: str = "web",
    *,
    version: str = "1",
    replicas: int = 2,
    shutdown: Shutdown = "graceful",
    grace_seconds: int = 25,
    **env: str,
) -> Object:
    """Return a Deployment of the application.

    :param env: more of its variables, such as PORTS; tests/cluster/app/main.go has all.
    """
    manifest = deployment(name, version=version, replicas=replicas)
    pod = manifest["spec"]["template"]["spec"]
    pod["terminationGracePeriodSeconds"] = grace_seconds + 5
    (container,) = pod["containers"]
    container["image"] = node.APP_IMAGE.name
    container["imagePullPolicy"] = "Never"
    variables = {
        "SHUTDOWN": shutdown,
        "GRACE_SECONDS": str(grace_seconds),
        **env,
    }
    container["env"] += [{"name": n, "value": v} for n, v in variables.items()]
    container["readinessProbe"] = {
        "httpGet": {"path": "/readyz", "port": PORT},
        "periodSeconds": 1,
    }
    return manifest


def node_port_service(name: str = "web", **options: t.Any) -> Object:
    """Return a Service that the node serves on 127.0.0.1; options as of `service`."""
    manifest = service(name, **options)
    manifest["spec"]["type"] = "NodePort"
    return manifest


def address_of(kube: Kube, namespace: str, name: str = "web") -> str:
    """Return where the node serves the Service: `http://127.0.0.1:<NodePort>/`."""
    found = kube.get(resource_path("services", namespace, name))
    return f"http://127.0.0.1:{found['spec']['ports'][0]['nodePort']}/"


def pods(kube: Kube, namespace: str, selector: str = "app=web") -> list[Object]:
    """Return the pods that are not being deleted."""
    found = kube.list(resource_path("pods", namespace), selector)
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def connections(kube: Kube, pod: Object) -> dict[str, t.Any]:
    """Ask one pod for its `open` connections, requests `in_flight`, `draining`."""
    return t.cast("dict[str, t.Any]", json.loads(text(kube, pod, "/connections")))


def text(kube: Kube, pod: Object, path: str) -> str:
    """Ask one pod, through the API server; return what it answers."""
    metadata = pod["metadata"]
    proxy = resource_path("pods", metadata["namespace"], metadata["name"], "proxy")
    return kube.text(proxy + path)


def run(kube: Kube, namespace: str, manifest: Object) -> str:
    """Create the Deployment and a NodePort Service of its name; return its address.

    Returns when all pods are available and have been answering at the NodePort.
    """
    name = manifest["metadata"]["name"]
    kube.create(resource_path("services", namespace), node_port_service(name))
    create(kube, namespace, manifest)
    address = address_of(kube, namespace, name)
    wanted = {pod["metadata"]["name"] for pod in pods(kube, namespace, f"app={name}")}
    seen: set[str] = set()

    def all_answered() -> bool:
        seen.add(get(address).get("pod", ""))
        return wanted <= seen

    eventually(all_answered, 30, f"all pods of {name} answer at {address}")
    return address


def available(kube: Kube, namespace: str, name: str) -> int:
    found = kube.get(resource_path("deployments", namespace, name))
    return int(found["status"].get("availableReplicas", 0))


def get(address: str) -> dict[str, t.Any]:
    """Ask once, on a connection of its own; empty where nobody answers."""
    port = urllib.parse.urlsplit(address).port
    connection = http.client.HTTPConnection(
        "127.0.0.1", port, timeout=5, source_address=(ASKS_FROM, 0)
    )
    with contextlib.closing(connection):
        try:
            connection.request("GET", "/")
            return t.cast("dict[str, t.Any]", json.load(connection.getresponse()))
        except (OSError, http.client.HTTPException):
            return {}


def by_hand(name: str, version: str, **options: t.Any) -> Object:
    """Return a Deployment as somebody makes one a version, to switch a selector.

    :param options: as of `application`.
    """
    manifest = application(name, version=version, **options)
    manifest["metadata"]["name"] = f"{name}-{version}"
    labels = {"app": name, "version": version}
    manifest["spec"]["selector"] = {"matchLabels": labels}
    manifest["spec"]["template"]["metadata"]["labels"] = labels
    return manifest


def create(kube: Kube, namespace: str, manifest: Object) -> None:
    """Create a Deployment; return when all of its pods are available."""
    kube.create(resource_path("deployments", namespace), manifest)
    name, replicas = manifest["metadata"]["name"], manifest["spec"]["replicas"]
    eventually(
        lambda: available(kube, namespace, name) == replicas,
        60,
        f"all pods of {name} are available",
    )
