# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is the users' own and acts on the pods of a rollout."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._errors import BadInput
from ansible_collections.cutover.bluegreen.plugins.module_utils._surroundings import (
    matches,
    owner_of,
    parse_budget,
)

LABELS = {"app": "web", "tier": "front"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ("", ""),
        ({"maxUnavailable": 1}, '{"maxUnavailable":1}'),
        ("maxUnavailable: 1", '{"maxUnavailable":1}'),
        ('{"minAvailable": "2"}', '{"minAvailable":2}'),
        ({"minAvailable": "50%", "maxUnavailable": None}, '{"minAvailable":"50%"}'),
        (
            {"minAvailable": 0, "unhealthyPodEvictionPolicy": "AlwaysAllow"},
            '{"minAvailable":0,"unhealthyPodEvictionPolicy":"AlwaysAllow"}',
        ),
    ],
)
def test_what_a_budget_asks_for(value: object, text: str) -> None:
    assert parse_budget(value, "pdb") == text


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({}, "neither was found; give one of"),
        ({"minAvailable": 1, "maxUnavailable": 1}, "minAvailable and maxUnavailable"),
        ({"minAvailable": -1}, "minAvailable is -1; give a number of pods"),
        ({"minAvailable": True}, "minAvailable is True"),
        ({"maxUnavailable": "half"}, "maxUnavailable is 'half'"),
        ({"maxUnavailable": 1, "selector": {}}, "selector is not known"),
        ("1", "a manifest is expected, int was found"),
        ([1], "a manifest is expected, list was found"),
    ],
)
def test_what_is_no_budget(value: object, said: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_budget(value, "pdb")
    assert said in str(refused.value)
    assert str(refused.value).startswith("pdb: ")


def expression(key: str, operator: str, *values: str) -> dict[str, t.Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": values}]}


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        (None, False),
        ({}, True),
        ({"matchLabels": {"app": "web"}}, True),
        ({"matchLabels": {"app": "web", "tier": "back"}}, False),
        (expression("app", "In", "web", "shop"), True),
        (expression("app", "In", "shop"), False),
        (expression("zone", "In", "a"), False),
        (expression("app", "NotIn", "shop"), True),
        (expression("app", "NotIn", "web"), False),
        (expression("zone", "NotIn", "a"), True),
        (expression("app", "Exists"), True),
        (expression("zone", "Exists"), False),
        (expression("zone", "DoesNotExist"), True),
        (expression("app", "DoesNotExist"), False),
        (expression("app", "Like", "web"), False),
        ({"matchLabels": {"app": "web"}, **expression("tier", "In", "x")}, False),
    ],
)
def test_label_selectors(selector: dict[str, t.Any] | None, expected: bool) -> None:
    assert matches(selector, LABELS) is expected


def applied(
    manager: str, operation: str = "Apply", field: str = "f:scaleTargetRef"
) -> t.Any:
    owned = {"f:spec": {field: {}}}
    return {
        "managedFields": [
            {"manager": manager, "operation": operation, "fieldsV1": owned}
        ]
    }


@pytest.mark.parametrize(
    ("metadata", "owner", "manager"),
    [
        ({}, "", ""),
        (applied("flux"), "flux", "flux"),
        (applied("kubectl"), "", ""),
        (applied("helm", "Update"), "", ""),
        (applied("flux", field="f:maxReplicas"), "", ""),
        (
            {"ownerReferences": [{"kind": "ScaledObject", "name": "shop"}]},
            "the ScaledObject shop of KEDA",
            "",
        ),
        (
            {"labels": {"scaledobject.keda.sh/name": "shop"}},
            "the ScaledObject shop of KEDA",
            "",
        ),
        ({"ownerReferences": [{"kind": "Shop", "name": "shop"}]}, "", ""),
        (
            {"labels": {"argocd.argoproj.io/instance": "apps"}},
            "Argo CD (apps)",
            "argocd-controller",
        ),
        (
            {"labels": {"helm.toolkit.fluxcd.io/name": "apps"}},
            "Flux (apps)",
            "helm-controller",
        ),
    ],
)
def test_who_would_put_a_target_back(
    metadata: dict[str, t.Any], owner: str, manager: str
) -> None:
    assert owner_of({"metadata": metadata}) == (owner, manager)
