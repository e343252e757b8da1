# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cluster that keeps analysis templates, as Argo Rollouts installs it."""

from __future__ import annotations

import contextlib
import pathlib
import typing as t

from .kube import ApiError, Kube, Object
from .session import locked
from .waiting import eventually

ARGO = "/apis/argoproj.io/v1alpha1"
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_SCOPES = {"AnalysisTemplate": "Namespaced", "ClusterAnalysisTemplate": "Cluster"}


@contextlib.contextmanager
def installed_templates(kube: Kube, lock: pathlib.Path) -> t.Iterator[None]:
    """The definitions, unless the cluster has them; what was made goes again.

    `lock` is a file of all who share the cluster: one at a time.
    """
    with locked(lock), contextlib.ExitStack() as made:
        for kind, scope in _SCOPES.items():
            made.enter_context(_installed(kube, kind, scope))
        yield


@contextlib.contextmanager
def _installed(kube: Kube, kind: str, scope: str) -> t.Iterator[None]:
    body = _definition(kind, scope)
    path = f"{_DEFINITIONS}/{body['metadata']['name']}"
    if kube.find(path) is not None:
        yield
        return
    kube.create(_DEFINITIONS, body)
    try:
        eventually(lambda: _is_served(kube, kind), 60, f"a list of {kind}")
        yield
    finally:
        kube.delete(path)
        eventually(lambda: kube.find(path) is None, 60, f"the end of {kind}")


def _definition(kind: str, scope: str) -> Object:
    """As Argo Rollouts has it, but for the schema."""
    plural = f"{kind.lower()}s"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1alpha1", "served": True, "storage": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.argoproj.io"},
        "spec": {
            "group": "argoproj.io",
            "scope": scope,
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [{**version, "schema": {"openAPIV3Schema": schema}}],
        },
    }


def _is_served(kube: Kube, kind: str) -> bool:
    try:
        kube.list(f"{ARGO}/{kind.lower()}s")
    except ApiError as error:
        # Not yet known, then not yet ready.
        if error.code not in (404, 429):
            raise
        return False
    return True
