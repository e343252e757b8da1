# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a cluster's owner forbids."""

from __future__ import annotations

import typing as t

from .kube import ApiError, Kube, Object, resource_path


class Policy:
    """A ValidatingAdmissionPolicy of the test's, in its namespace alone."""

    KINDS = ("validatingadmissionpolicies", "validatingadmissionpolicybindings")

    def __init__(
        self, kube: Kube, namespace: str, rule: Object, when: str, allowed: str
    ) -> None:
        self._kube = kube
        self.name = f"test.{namespace}"
        match = {"resourceRules": [{**rule, "operations": ["CREATE", "UPDATE"]}]}
        policy = {
            "metadata": {"name": self.name},
            "spec": {
                "matchConstraints": match,
                "matchConditions": [{"name": "these", "expression": when}],
                "validations": [{"expression": allowed, "message": "not today"}],
            },
        }
        labels = {"kubernetes.io/metadata.name": namespace}
        binding = {
            "metadata": {"name": self.name},
            "spec": {
                "policyName": self.name,
                "validationActions": ["Deny"],
                "matchResources": {"namespaceSelector": {"matchLabels": labels}},
            },
        }
        for kind, body in zip(self.KINDS, (policy, binding), strict=True):
            kube.create(resource_path(kind), body)

    def remove(self) -> None:
        for kind in self.KINDS:
            path = resource_path(kind, name=self.name)
            if self._kube.find(path) is not None:
                self._kube.delete(path)


def is_refused(attempt: t.Callable[[], object]) -> bool:
    try:
        attempt()
    except ApiError as error:
        assert "not today" in error.body, error
        return True
    return False
