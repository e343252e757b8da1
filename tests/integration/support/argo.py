# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cluster that keeps analysis templates, as Argo Rollouts installs it."""

from __future__ import annotations

import contextlib
import pathlib
import typing as t

from .definitions import installed
from .kube import Kube, Object
from .session import locked

ARGO = "/apis/argoproj.io/v1alpha1"
_SCOPES = {"AnalysisTemplate": "Namespaced", "ClusterAnalysisTemplate": "Cluster"}


@contextlib.contextmanager
def installed_templates(kube: Kube, lock: pathlib.Path) -> t.Iterator[None]:
    """The definitions, unless the cluster has them; what was made goes again.

    `lock` is a file of all who share the cluster: one at a time.
    """
    with locked(lock), contextlib.ExitStack() as made:
        for kind, scope in _SCOPES.items():
            made.enter_context(installed(kube, _definition(kind, scope)))
        yield


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
