# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Quotas, limit ranges and nodes: the arithmetic of room."""

from __future__ import annotations

import typing as t
from decimal import Decimal

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._room import (
    Growth,
    Need,
    amount,
    defaulted,
    demand,
    of_nodes,
    of_quotas,
    of_ranges,
    shown,
    tolerated,
)


def container(name: str = "web", **resources: t.Any) -> dict[str, t.Any]:
    return {"name": name, "image": "x:1", "resources": resources}


def pod(*containers: dict[str, t.Any], **more: t.Any) -> dict[str, t.Any]:
    return {"containers": list(containers), **more}


CPU = container(requests={"cpu": "500m"})


@pytest.mark.parametrize(
    ("text", "resource", "written"),
    [
        ("1500m", "cpu", "1500m"),
        ("2", "requests.cpu", "2"),
        ("0.25", "limits.cpu", "250m"),
        ("512Mi", "memory", "512Mi"),
        ("1Gi", "limits.memory", "1Gi"),
        ("100", "pods", "100"),
        ("no number", "memory", "0"),
    ],
)
def test_amounts(text: str, resource: str, written: str) -> None:
    assert shown(amount(text), resource) == written


SIDECAR = {**container("proxy", requests={"cpu": "100m"}), "restartPolicy": "Always"}


@pytest.mark.parametrize(
    ("spec", "cpu"),
    [
        (pod(CPU, CPU), "1"),
        (pod(container(limits={"cpu": "2"})), "2"),
        (pod(container(requests={"cpu": "1"}, limits={"cpu": "2"})), "1"),
        # What runs before counts only where it is more.
        (pod(CPU, initContainers=[container(requests={"cpu": "3"})]), "3"),
        (pod(CPU, initContainers=[container(requests={"cpu": "100m"})]), "0.5"),
        # A sidecar runs beside what comes after it.
        (pod(CPU, initContainers=[SIDECAR]), "0.6"),
        (
            pod(CPU, initContainers=[SIDECAR, container(requests={"cpu": "1"})]),
            "1.1",
        ),
        (
            pod(CPU, initContainers=[container(requests={"cpu": "1"}), SIDECAR]),
            "1",
        ),
        (pod(CPU, overhead={"cpu": "250m"}), "0.75"),
        (pod(CPU, resources={"requests": {"cpu": "2"}}), "2"),
    ],
)
def test_what_a_pod_requests(spec: dict[str, t.Any], cpu: str) -> None:
    assert demand(spec, "requests")["cpu"] == Decimal(cpu)


def test_overhead_is_no_limit_of_a_pod_without_one() -> None:
    assert demand(pod(CPU, overhead={"cpu": "1"}), "limits") == {}


def limit_range(kind: str = "Container", **limits: t.Any) -> dict[str, t.Any]:
    spec = {"limits": [{"type": kind, **limits}]}
    return {"metadata": {"name": "range"}, "spec": spec}


def test_defaults_of_a_limit_range() -> None:
    ranges = [limit_range(default={"cpu": "1"}, defaultRequest={"cpu": "100m"})]
    spec = defaulted(pod(container(), container("b", limits={"cpu": "2"})), ranges)
    first, second = (c["resources"] for c in spec["containers"])
    assert first == {"limits": {"cpu": "1"}, "requests": {"cpu": "100m"}}
    # A limit that is given is the request, before any default is.
    assert second == {"limits": {"cpu": "2"}, "requests": {"cpu": "2"}}


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"max": {"cpu": "1"}}, ["limits.cpu is 2, at most 1 is allowed"]),
        ({"max": {"cpu": "2"}}, []),
        ({"max": {"memory": "1Gi"}}, ["limits.memory is not given, at most 1Gi"]),
        ({"min": {"cpu": "3"}}, ["requests.cpu is 2, at least 3"]),
        ({"min": {"memory": "1Mi"}}, ["requests.memory is not given, at least 1Mi"]),
        ({"kind": "Pod", "max": {"cpu": "3"}}, []),
        ({"kind": "Pod", "max": {"cpu": "1"}}, ["a pod: limits.cpu is 2"]),
        ({"kind": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}, []),
    ],
)
def test_what_a_limit_range_refuses(limits: dict[str, t.Any], said: list[str]) -> None:
    spec = pod(container(limits={"cpu": "2"}))
    found = of_ranges(spec, [limit_range(**limits)])
    assert [f.level for f in found] == ["error"] * len(said)
    for finding, text in zip(found, said, strict=True):
        assert text in finding.message


def quota(
    hard: dict[str, str], used: dict[str, str] | None = None, **spec: t.Any
) -> dict[str, t.Any]:
    return {
        "metadata": {"name": "quota"},
        "spec": {"hard": hard, **spec},
        "status": {"hard": hard, "used": used or {}},
    }


NEED = Need((Growth(pod(CPU), 3),), {"services": 1, "deployments.apps": 1})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (quota({"pods": "5"}, {"pods": "2"}), ""),
        (
            quota({"pods": "4"}, {"pods": "2"}),
            "error: ResourceQuota quota: pods: the release needs 3 more, 2 of 4 are"
            " left",
        ),
        (quota({"count/pods": "2"}), "count/pods: the release needs 3 more"),
        (quota({"cpu": "2"}, {"cpu": "500m"}), ""),
        (quota({"requests.cpu": "2"}, {"requests.cpu": "600m"}), "needs 1500m more"),
        (quota({"limits.cpu": "9"}), "container web asks for none"),
        (quota({"requests.memory": "9Gi"}), "container web asks for none"),
        (
            quota({"services": "3"}, {"services": "3"}),
            "services: the release needs 1 more",
        ),
        (
            quota({"count/deployments.apps": "0"}),
            "deployments.apps: the release needs 1 more",
        ),
        (quota({"requests.storage": "0", "secrets": "0"}), ""),
        (quota({"requests.example.com/gpu": "0"}), ""),
        (
            quota({"pods": "0"}, scopes=["BestEffort"]),
            "notice: ResourceQuota quota: not",
        ),
        (
            quota({"pods": "0"}, scopes=["NotBestEffort"]),
            "pods: the release needs 3 more",
        ),
        (quota({"pods": "0"}, scopes=["Terminating"]), "not counted"),
        (
            quota({"pods": "0"}, scopes=["NotTerminating"]),
            "pods: the release needs 3 more",
        ),
        (quota({"pods": "0"}, scopes=["VolumeAttributesClass"]), "not checked"),
        (
            quota(
                {"pods": "0"},
                scopeSelector={
                    "matchExpressions": [
                        {
                            "scopeName": "PriorityClass",
                            "operator": "In",
                            "values": ["high"],
                        }
                    ]
                },
            ),
            "not counted",
        ),
    ],
)
def test_quotas(given: dict[str, t.Any], said: str) -> None:
    lines = [str(f) for f in of_quotas([given], NEED)]
    assert len(lines) == bool(said), lines
    assert said in "".join(lines)


def test_a_quota_with_a_scope_says_nothing_where_no_pod_is_made() -> None:
    assert of_quotas([quota({"pods": "0"}, scopes=["BestEffort"])], Need()) == []


def node(name: str, **allocatable: str) -> dict[str, t.Any]:
    return {
        "metadata": {"name": name},
        "spec": {},
        "status": {"allocatable": {"pods": "10", **allocatable}},
    }


def running(name: str, *containers: dict[str, t.Any]) -> dict[str, t.Any]:
    return {"spec": {"nodeName": name, **pod(*containers)}}


@pytest.mark.parametrize(
    ("nodes", "pods", "room"),
    [
        ([node("a", cpu="2")], [], None),
        ([node("a", cpu="1"), node("b", cpu="700m")], [], None),
        ([node("a", cpu="1")], [], 2),
        ([node("a", cpu="2")], [running("a", CPU, CPU)], 2),
        ([node("a", cpu="2")], [running("elsewhere", CPU, CPU)], None),
        ([node("a", cpu="9", pods="3")], [running("a", CPU)], 2),
        ([], [], 0),
    ],
)
def test_room_on_nodes(nodes: list[t.Any], pods: list[t.Any], room: int | None) -> None:
    found = of_nodes(nodes, pods, Growth(pod(CPU), 3))
    if room is None:
        assert found == []
        return
    (finding,) = found
    assert finding.level == "warning"
    assert f"room for {room} of 3 more pods (cpu 500m each)" in finding.message


@pytest.mark.parametrize(
    ("tolerations", "taken"),
    [
        ([], False),
        ([{"operator": "Exists"}], True),
        ([{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}], True),
        ([{"key": "gpu", "value": "yes"}], True),
        ([{"key": "gpu", "value": "no"}], False),
        ([{"key": "gpu", "value": "yes", "effect": "NoExecute"}], False),
        ([{"key": "other", "operator": "Exists"}], False),
    ],
)
def test_taints(tolerations: list[t.Any], taken: bool) -> None:
    taint = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}
    soft = {"key": "soft", "effect": "PreferNoSchedule"}
    assert tolerated({"spec": {"taints": [soft]}}, {})
    given = {"tolerations": tolerations}
    assert tolerated({"spec": {"taints": [taint]}}, given) is taken
