# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Accounts that may do only what a test lets them, or what the documentation says."""

from __future__ import annotations

import pathlib
import re
import typing as t

import yaml

from .kube import Kube, Object, resource_path
from .session import ROOT
from .waiting import eventually

PAGE = ROOT / "docs" / "permissions.md"
_BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_RBAC = "rbac.authorization.k8s.io"
# A token outlives the longest session.
_TOKEN_SECONDS = 24 * 3600


class Right(t.NamedTuple):
    """One verb on one resource; a subresource is part of the resource."""

    verb: str
    resource: str
    group: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource} ({self.group or 'core'})"


def documented_roles() -> dict[str, Object]:
    """The Roles and ClusterRoles of the documentation by name."""
    blocks = [yaml.safe_load(b) for b in _BLOCK.findall(PAGE.read_text())]
    roles = {b["metadata"]["name"]: b for b in blocks}
    assert len(roles) == len(blocks), "two Roles of one name"
    return roles


def rules_of(roles: t.Iterable[Object]) -> list[Object]:
    """The rules of several Roles."""
    return [rule for role in roles for rule in role["rules"]]


def rights_in(rules: t.Iterable[Object]) -> set[Right]:
    """Each verb on each resource that rules allow."""
    return {
        Right(verb, resource, group)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def make_account(
    kube: Kube, namespace: str, name: str, rules: t.Sequence[Object] = ()
) -> str:
    """Make a service account with these rules in its namespace; return its token."""
    kube.create(
        resource_path("serviceaccounts", namespace), {"metadata": {"name": name}}
    )
    if rules:
        role = {"metadata": {"name": name}, "rules": list(rules)}
        kube.create(resource_path("roles", namespace), role)
        bind(kube, namespace, name, namespace, "Role", name)
    token = resource_path("serviceaccounts", namespace, name, "token")
    spec = {"expirationSeconds": _TOKEN_SECONDS}
    return t.cast(str, kube.create(token, {"spec": spec})["status"]["token"])


def make_restricted_account(
    kube: Kube, namespace: str, name: str, verbs: t.Mapping[str, t.Sequence[str]]
) -> str:
    """Make a service account that may do `verbs` by resource; return its token."""
    rules = [
        {"apiGroups": ["*"], "resources": [resource], "verbs": list(allowed)}
        for resource, allowed in verbs.items()
    ]
    return make_account(kube, namespace, name, rules)


def bind(
    kube: Kube, namespace: str, account: str, home: str, kind: str, role: str
) -> None:
    """Bind a Role or ClusterRole, in one namespace, to an account of another."""
    path = resource_path("rolebindings", namespace)
    kube.create(path, _binding(f"{home}-{role}", account, home, kind, role))
    where = namespace if kind == "Role" else None
    role_path = resource_path(f"{kind.lower()}s", where, role)
    _await_rules_of(kube, role_path, account, home, namespace)


def _await_rules_of(
    kube: Kube, role_path: str, account: str, home: str, namespace: str
) -> None:
    """The API server authorizes by what it watches, a moment behind what is written."""
    rules = kube.get(role_path)["rules"]
    reviews = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    user = kube.acting_as(f"system:serviceaccount:{home}:{account}")

    def all_given() -> bool:
        review = user.create(reviews, {"spec": {"namespace": namespace}})
        given = review["status"]["resourceRules"]
        return all(rule in given for rule in rules)

    eventually(all_given, 30, f"the rights of {home}/{account} in {namespace}")


def _binding(name: str, account: str, home: str, kind: str, role: str) -> Object:
    return {
        "metadata": {"name": name},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": home}],
        "roleRef": {"apiGroup": _RBAC, "kind": kind, "name": role},
    }


class ClusterRights:
    """ClusterRoles of a test's own, which are gone when it has ended."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._made: list[str] = []

    def make(self, name: str, rules: t.Sequence[Object]) -> None:
        """Make a ClusterRole."""
        body = {"metadata": {"name": name}, "rules": list(rules)}
        self._create("clusterroles", name, body)

    def give(self, name: str, account: str, home: str) -> None:
        """Bind it to an account in all namespaces."""
        body = _binding(name, account, home, "ClusterRole", name)
        self._create("clusterrolebindings", name, body)
        role_path = resource_path("clusterroles", name=name)
        _await_rules_of(self._kube, role_path, account, home, home)

    def _create(self, resource: str, name: str, body: Object) -> None:
        self._kube.create(resource_path(resource), body)
        self._made.append(resource_path(resource, name=name))

    def remove(self) -> None:
        while self._made:
            self._kube.delete(self._made.pop())


class DocumentedAccount:
    """The service account that the suite's runs are: it has all that is documented,
    in each namespace that it is bound in.
    """

    NAME = "runs"

    def __init__(self, kube: Kube, namespace: str) -> None:
        self._kube = kube
        self._home = namespace
        self._cluster_rights = ClusterRights(kube)
        roles = documented_roles().values()
        namespaced = rules_of(r for r in roles if r["kind"] == "Role")
        for rule in namespaced:
            # Which Secrets there are is for each test to say.
            rule.pop("resourceNames", None)
        self._cluster_rights.make(namespace, namespaced)
        self.token = make_account(kube, namespace, self.NAME)
        wide = f"{namespace}-wide"
        cluster_wide = rules_of(r for r in roles if r["kind"] == "ClusterRole")
        self._cluster_rights.make(wide, cluster_wide)
        self._cluster_rights.give(wide, self.NAME, namespace)

    def bind(self, namespace: str) -> None:
        """Let it release in a namespace."""
        home = self._home
        bind(self._kube, namespace, self.NAME, home, "ClusterRole", home)

    def remove(self) -> None:
        self._cluster_rights.remove()


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
