# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the scenarios do to a cluster beside the collection, and how they look at it.

kube.py namespace NAME        makes it, once an earlier one is gone
kube.py apply < MANIFESTS     creates objects, as kubectl would
kube.py show NAMESPACE        prints what there is of an application, as JSON
kube.py delete NAME           deletes the namespace
"""

from __future__ import annotations

import json
import sys
import time
import typing as t

import kubernetes

HASH = "cutover.bluegreen/revision-hash"
FOLDERS = {
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices",
    "Pod": "/api/v1/namespaces/{}/pods",
    "Service": "/api/v1/namespaces/{}/services",
}


def call(method: str, path: str, body: t.Any = None) -> t.Any:
    """Send a request, as JSON: the typed APIs take a second to import."""
    prepared = CLIENT.param_serialize(
        method,
        path,
        header_params={"Content-Type": "application/json"},
        body=body,
        auth_settings=["BearerToken"],
    )
    answer = CLIENT.call_api(*prepared)
    answer.read()
    return CLIENT.response_deserialize(answer, {"2XX": "object"}).data


def namespace(name: str) -> None:
    """Make a namespace; one that is being deleted is waited for."""
    for _try in range(240):
        try:
            call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
            return
        except kubernetes.client.ApiException as error:
            if error.status != 409:
                raise
        time.sleep(0.25)
    sys.exit(f"there is a namespace {name} already; delete it first")


def apply() -> None:
    """Create the objects whose manifests stand on stdin."""
    for manifest in json.load(sys.stdin):
        folder = FOLDERS[manifest["kind"]]
        call("POST", folder.format(manifest["metadata"]["namespace"]), manifest)


def show(name: str) -> None:
    """Print Deployments by image, pods by name, the images behind each Service, and
    the ConfigMaps of revisions.
    """
    deployments, pods, slices, config_maps = (
        call("GET", FOLDERS[kind].format(name))["items"]
        for kind in ("Deployment", "Pod", "EndpointSlice", "ConfigMap")
    )
    images = {pod["metadata"]["name"]: image(pod["spec"]) for pod in pods}
    serving: dict[str, list[str]] = {}
    for each in slices:
        service = each["metadata"]["labels"]["kubernetes.io/service-name"]
        found = serving.setdefault(service, [])
        for endpoint in each.get("endpoints") or []:
            if endpoint["conditions"].get("ready"):
                found.append(images.get(endpoint["targetRef"]["name"], "unknown"))
    sizes = [
        {
            "name": deployment["metadata"]["name"],
            "image": image(deployment["spec"]["template"]["spec"]),
            "replicas": deployment["spec"]["replicas"],
            "reads": names_read(deployment["spec"]["template"]["spec"]),
        }
        for deployment in deployments
    ]
    shown = {
        "deployments": sizes,
        "pods": sorted(images),
        "serving": {service: sorted(found) for service, found in serving.items()},
        "configuration": {
            each["metadata"]["name"]: each["data"]
            for each in config_maps
            if HASH in each["metadata"].get("labels", {})
        },
    }
    print(json.dumps(shown))


def image(pod_spec: t.Any) -> str:
    """Return the image of the one container."""
    return str(pod_spec["containers"][0]["image"])


def names_read(pod_spec: t.Any) -> list[str]:
    """Return the ConfigMaps that the one container gets its environment from."""
    sources = pod_spec["containers"][0].get("envFrom") or []
    return [source["configMapRef"]["name"] for source in sources]


def delete(name: str) -> None:
    """Delete a namespace; its end is not waited for, and none is fine."""
    try:
        call("DELETE", f"/api/v1/namespaces/{name}")
    except kubernetes.client.ApiException as error:
        if error.status != 404:
            raise


if __name__ == "__main__":
    CLIENT = kubernetes.config.new_client_from_config()
    verb = {f.__name__: f for f in (namespace, apply, show, delete)}[sys.argv[1]]
    verb(*sys.argv[2:])
