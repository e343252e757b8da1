# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The manifests that an ordinary user would bring."""

from __future__ import annotations

import typing as t

STEERING = "test.cutover.bluegreen/"


def deployment(
    name: str,
    *,
    namespace: str | None = None,
    version: str = "1",
    replicas: int = 3,
    labels: t.Mapping[str, str] | None = None,
    annotations: t.Mapping[str, str] | None = None,
    **steering: str,
) -> dict[str, t.Any]:
    """Return a Deployment manifest; `version` is its image's tag and an env variable.

    `annotations` are the pod template's. `steering` are those that the embedded
    cluster's KWOK stages read, with underscores for hyphens: `ready_after="5s"`,
    `ready="never"`, `unready_after="3s"`, `crash="true"`, `image_pull="fail"`,
    `ipv6="true"`.
    """
    labels = dict(labels or {"app": name})
    annotations = dict(annotations or {})
    for key, value in steering.items():
        annotations[STEERING + key.replace("_", "-")] = value
    template_metadata: dict[str, t.Any] = {"labels": labels}
    if annotations:
        template_metadata["annotations"] = annotations
    container = {
        "name": name,
        "image": f"example/{name}:{version}",
        "env": [{"name": "VERSION", "value": version}],
        "ports": [{"name": "http", "containerPort": 8080}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(name, namespace, labels),
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": dict(labels)},
            "template": {
                "metadata": template_metadata,
                "spec": {"containers": [container]},
            },
        },
    }


def service(
    name: str,
    *,
    namespace: str | None = None,
    selector: t.Mapping[str, str] | None = None,
    port: int = 80,
    target_port: int | str = "http",
) -> dict[str, t.Any]:
    """Return a ClusterIP Service manifest; it selects `app: <name>` by default."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(name, namespace, {}),
        "spec": {
            "selector": dict(selector or {"app": name}),
            "ports": [{"name": "http", "port": port, "targetPort": target_port}],
        },
    }


def _metadata(
    name: str, namespace: str | None, labels: t.Mapping[str, str]
) -> dict[str, t.Any]:
    metadata: dict[str, t.Any] = {"name": name}
    if namespace is not None:
        metadata["namespace"] = namespace
    if labels:
        metadata["labels"] = dict(labels)
    return metadata
