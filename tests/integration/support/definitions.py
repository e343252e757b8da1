# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Custom resources that a cluster serves for as long as a test needs them."""

from __future__ import annotations

import contextlib
import typing as t

from .kube import ApiError, Kube, Object
from .waiting import eventually

_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@contextlib.contextmanager
def installed(kube: Kube, body: Object) -> t.Iterator[None]:
    """A CustomResourceDefinition, unless the cluster has it; what was made goes again.

    Those who share the cluster take turns: see session.locked.
    """
    name = body["metadata"]["name"]
    path = f"{_DEFINITIONS}/{name}"
    if kube.find(path) is not None:
        yield
        return
    kube.create(_DEFINITIONS, body)
    try:
        eventually(lambda: is_served(kube, body), 60, f"a list of {name}")
        yield
    finally:
        kube.delete(path)
        eventually(lambda: kube.find(path) is None, 60, f"the end of {name}")


def is_served(kube: Kube, body: Object) -> bool:
    """Whether the cluster answers a list of what a definition defines."""
    spec = body["spec"]
    served = next(v["name"] for v in spec["versions"] if v["served"])
    try:
        kube.list(f"/apis/{spec['group']}/{served}/{spec['names']['plural']}")
    except ApiError as error:
        # Not yet known, then not yet ready.
        if error.code not in (404, 429):
            raise
        return False
    return True
