# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kubernetes objects, for the providers that measure on the cluster itself.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import contextlib
import typing as t

from .._api import Api
from .._errors import ApiError, BadInput
from .http import shown
from .measurement import MeasurementError

Object = dict[str, t.Any]

_NO_IMAGE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName")


def path(
    namespace: str, resource: str, name: str = "", group_version: str = "v1"
) -> str:
    """The REST path of objects in a namespace, or of one of them."""
    root = "/api/v1" if group_version == "v1" else f"/apis/{group_version}"
    collection = f"{root}/namespaces/{namespace}/{resource}"
    return f"{collection}/{name}" if name else collection


def items(api: Api, collection: str, query: t.Mapping[str, str]) -> list[Object]:
    """The objects of a list.

    :raises MeasurementError: the answer is no list of objects.
    """
    found = api.get(collection, query).get("items")
    if not isinstance(found, list):
        raise MeasurementError(
            f"The answer to a list of {collection} holds no items; check host, the"
            " kubeconfig and proxies on the way to the API server."
        )
    return found


@contextlib.contextmanager
def asking(what: str) -> t.Iterator[None]:
    """Turn what goes wrong with the API server into a :class:`MeasurementError`.

    A lost lock is none of it: it ends the run, not the measurement.
    """
    try:
        yield
    except (ApiError, BadInput) as error:
        raise MeasurementError(str(error)) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # Objects are read as the API documents them. What looks otherwise does not
        # come from an API server, but from something on the way.
        raise MeasurementError(
            f"{what} cannot be read: an answer is not what a Kubernetes API server"
            " gives; check host, the kubeconfig and proxies on the way."
        ) from error


def container_statuses(pod: Object) -> list[Object]:
    """What Kubernetes reports of a pod's containers, the init containers first."""
    status = pod.get("status") or {}
    return [
        *(status.get("initContainerStatuses") or []),
        *(status.get("containerStatuses") or []),
    ]


def waiting_reason(container: Object) -> str:
    """Why a container does not run yet, in one word; empty if it does."""
    waiting = (container.get("state") or {}).get("waiting") or {}
    return str(waiting.get("reason") or "")


def image_trouble(pod: Object) -> str:
    """Which image of a pod cannot be had, and why; empty if none waits for one."""
    for container in container_statuses(pod):
        reason = waiting_reason(container)
        if reason in _NO_IMAGE:
            said = shown(str(container["state"]["waiting"].get("message") or ""))
            return (
                f"the image {container.get('image') or '?'} of container"
                f" {container.get('name')} cannot be had ({reason}"
                f"{f': {said}' if said else ''})"
            )
    return ""
