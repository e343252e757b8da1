# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pods that lose their readiness and get it back, as a kubelet would report it."""

from __future__ import annotations

import datetime

from .kube import Kube, resource_path
from .watcher import REVISION_LABEL


def pods_of(kube: Kube, namespace: str, revision: str) -> list[str]:
    """The names of a revision's pods, those that end left out."""
    found = kube.list(resource_path("pods", namespace), f"{REVISION_LABEL}={revision}")
    return sorted(
        pod["metadata"]["name"]
        for pod in found
        if "deletionTimestamp" not in pod["metadata"]
    )


def set_ready(kube: Kube, namespace: str, pod: str, ready: bool) -> None:
    """Report a pod as ready or not; KWOK leaves it at that."""
    now = datetime.datetime.now(datetime.timezone.utc)
    conditions = [
        {
            "type": kind,
            "status": str(ready),
            "reason": None if ready else "ContainersNotReady",
            "lastTransitionTime": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        for kind in ("Ready", "ContainersReady")
    ]
    path = resource_path("pods", namespace, pod, "status")
    kube.patch(path, {"status": {"conditions": conditions}}, "strategic")
