# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Accounts that may do only what a test lets them."""

from __future__ import annotations

import pathlib
import typing as t

import yaml

from .kube import Kube, resource_path


def make_restricted_account(
    kube: Kube, namespace: str, name: str, verbs: t.Mapping[str, t.Sequence[str]]
) -> str:
    """Make a service account that may do `verbs` by resource; return its token."""
    rules = [
        {"apiGroups": ["*"], "resources": [resource], "verbs": list(allowed)}
        for resource, allowed in verbs.items()
    ]
    metadata = {"name": name}
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    for resource, body in (
        ("serviceaccounts", {}),
        ("roles", {"rules": rules}),
        ("rolebindings", {"subjects": [subject], "roleRef": role}),
    ):
        path = resource_path(resource, namespace)
        kube.create(path, {"metadata": metadata, **t.cast("dict[str, t.Any]", body)})
    token = resource_path("serviceaccounts", namespace, name, "token")
    return t.cast(str, kube.create(token, {"spec": {}})["status"]["token"])


def write_token_kubeconfig(
    path: pathlib.Path, template: pathlib.Path, token: str
) -> None:
    """Write a kubeconfig as `template`, with the token for its current user."""
    config = yaml.safe_load(template.read_text())
    (context,) = [
        c["context"]
        for c in config["contexts"]
        if c["name"] == config["current-context"]
    ]
    config["users"] = [{"name": context["user"], "user": {"token": token}}]
    path.write_text(yaml.safe_dump(config))
