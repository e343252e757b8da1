# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is read out of EndpointSlices, pods and Deployments."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._cluster import (
    endpoints_of,
    local_policy_of,
    pod_trouble,
    selects,
)

Object = dict[str, t.Any]


def service(ports: int = 1, **spec: t.Any) -> Object:
    numbered = [{"name": f"p{i}", "port": 80 + i} for i in range(ports)]
    return {"metadata": {"name": "web"}, "spec": {"ports": numbered, **spec}}


def endpoint(name: str, address: str = "10.0.0.1", **conditions: t.Any) -> Object:
    return {
        "addresses": [address],
        "conditions": {"ready": True, "serving": True, "terminating": False}
        | conditions,
        "targetRef": {"kind": "Pod", "name": name},
    }


def piece(
    *endpoints: Object, ports: int = 1, of: str = "web", family: str = "IPv4"
) -> Object:
    return {
        "metadata": {"labels": {"kubernetes.io/service-name": of}},
        "addressType": family,
        "ports": [{"port": 8080 + i} for i in range(ports)] or None,
        "endpoints": list(endpoints) or None,
    }


def ready(slices: list[Object], of: Object | None = None) -> set[str]:
    return set(endpoints_of(of or service(), slices).ready)


def test_ready_pods_over_several_slices() -> None:
    slices = [piece(endpoint("a"), endpoint("b")), piece(endpoint("c"))]
    assert ready(slices) == {"a", "b", "c"}


def test_slices_of_other_services_do_not_count() -> None:
    assert ready([piece(endpoint("a"), of="api")]) == set()


def test_slices_of_an_earlier_selector_prove_nothing() -> None:
    """The controller has not seen yet that the Service was directed elsewhere."""
    key = "cutover.bluegreen/revision-hash"
    directed = service(selector={"app": "web", key: "v2"})
    slices = [piece(endpoint("a")), piece(endpoint("b"))]
    slices[0]["metadata"]["labels"][key] = "v1"
    assert ready(slices, directed) == {"a", "b"}
    directed["metadata"]["labels"] = {key: "v2"}
    assert ready(slices, directed) == set()
    slices[1]["metadata"]["labels"][key] = "v2"
    assert ready(slices, directed) == {"b"}
    # Somebody has directed it by hand: the label is of no use.
    directed["spec"]["selector"][key] = "v3"
    assert ready(slices, directed) == {"a", "b"}


@pytest.mark.parametrize(
    ("conditions", "counts"),
    [
        ({}, True),
        ({"serving": None, "ready": True}, True),
        ({"serving": None, "ready": None}, True),
        ({"serving": None, "ready": False}, False),
        ({"serving": False, "ready": False}, False),
        ({"serving": True, "ready": False, "terminating": True}, False),
        ({"serving": True, "terminating": None}, True),
        # publishNotReadyAddresses says ready of any pod; serving tells.
        ({"serving": False, "ready": True}, False),
    ],
)
def test_conditions(conditions: dict[str, t.Any], counts: bool) -> None:
    found = endpoint("a")
    found["conditions"].update(conditions)
    if conditions.get("ready", True) is None:
        del found["conditions"]["ready"]
    assert ready([piece(found)]) == ({"a"} if counts else set())


def test_an_endpoint_without_conditions_is_ready() -> None:
    bare = endpoint("a")
    del bare["conditions"]
    assert ready([piece(bare)]) == {"a"}


def test_an_endpoint_without_a_pod_goes_by_its_address() -> None:
    bare = endpoint("a", "10.0.0.9")
    del bare["targetRef"]
    assert ready([piece(bare)]) == {"10.0.0.9"}


def test_a_slice_needs_a_number_for_every_port() -> None:
    found = endpoints_of(
        service(2), [piece(endpoint("a"), ports=1), piece(endpoint("b"), ports=2)]
    )
    assert (set(found.ready), set(found.portless)) == ({"b"}, {"a"})


def test_without_any_number_every_pod_is_portless() -> None:
    found = endpoints_of(service(), [piece(endpoint("a"), ports=0)])
    assert (set(found.ready), set(found.portless)) == (set(), {"a"})


def test_a_headless_service_without_ports() -> None:
    assert ready([piece(endpoint("a"), ports=0)], service(0)) == {"a"}


def test_dual_stack_needs_both_families() -> None:
    both = service(ipFamilies=["IPv4", "IPv6"])
    slices = [
        piece(endpoint("a"), endpoint("b")),
        piece(endpoint("a"), family="IPv6"),
    ]
    assert ready(slices, both) == {"a"}
    assert ready(slices[:1], both) == set()
    assert ready(slices, service(ipFamilies=["IPv6"])) == {"a"}


def test_who_lacks_a_family_is_told_apart() -> None:
    both = service(ipFamilies=["IPv4", "IPv6"])
    slices = [
        piece(endpoint("a"), endpoint("b")),
        piece(endpoint("a"), family="IPv6"),
    ]
    found = endpoints_of(both, slices)
    assert (set(found.ready), set(found.partly)) == ({"a"}, {"b"})
    assert not endpoints_of(service(), slices).partly


@pytest.mark.parametrize(
    ("conditions", "published"),
    [
        ({}, False),
        ({"ready": False, "serving": False}, False),
        ({"ready": False, "terminating": True}, False),
        # Only where the Service has publishNotReadyAddresses.
        ({"serving": False}, True),
        ({"terminating": True}, True),
    ],
)
def test_who_gets_requests_without_being_ready(
    conditions: dict[str, t.Any], published: bool
) -> None:
    found = endpoints_of(service(), [piece(endpoint("a", **conditions))])
    assert set(found.unready) == ({"a"} if published else set())


def test_the_nodes_are_those_of_the_ready() -> None:
    there = endpoint("a") | {"nodeName": "node-1"}
    gone = endpoint("b", ready=False, serving=False) | {"nodeName": "node-2"}
    found = endpoints_of(service(), [piece(there, gone, endpoint("c"))])
    assert set(found.nodes) == {"node-1"}


@pytest.mark.parametrize(
    ("spec", "policy"),
    [
        ({}, ""),
        ({"externalTrafficPolicy": "Cluster"}, ""),
        ({"externalTrafficPolicy": "Local"}, "externalTrafficPolicy"),
        ({"internalTrafficPolicy": "Local"}, "internalTrafficPolicy"),
    ],
)
def test_the_policy_that_keeps_requests_on_their_node(
    spec: dict[str, str], policy: str
) -> None:
    assert local_policy_of(service(**spec)) == policy


def test_slices_of_a_service_that_was_deleted_do_not_count() -> None:
    """Made anew under its name, it has the slices of before until they are deleted."""
    present = service()
    present["metadata"]["uid"] = "now"
    pieces = [piece(endpoint("a")), piece(endpoint("b")), piece(endpoint("c"))]
    for each, uid in zip(pieces, ("before", "now", ""), strict=True):
        owner = {"kind": "Service", "name": "web", "uid": uid}
        each["metadata"]["ownerReferences"] = [owner] if uid else []
    assert ready(pieces, present) == {"b", "c"}


def test_nothing_is_nothing() -> None:
    assert ready([]) == set()
    assert ready([piece()]) == set()


def waiting(reason: str, message: str = "") -> Object:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"status": {"containerStatuses": [{"name": "web", "state": state}]}}


@pytest.mark.parametrize(
    ("pod", "trouble"),
    [
        ({}, ""),
        ({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}, ""),
        (
            waiting("ImagePullBackOff", "no such image"),
            "container web ImagePullBackOff: no such image",
        ),
        (waiting("CrashLoopBackOff"), "container web CrashLoopBackOff"),
        (waiting("ContainerCreating"), ""),
        (
            {
                "status": {
                    "initContainerStatuses": [
                        {
                            "name": "init",
                            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                        }
                    ]
                }
            },
            "container init CrashLoopBackOff",
        ),
        (
            {
                "status": {
                    "conditions": [
                        {
                            "type": "PodScheduled",
                            "status": "False",
                            "reason": "Unschedulable",
                            "message": "0/3 nodes",
                        }
                    ]
                }
            },
            "Unschedulable: 0/3 nodes",
        ),
        (
            {
                "status": {
                    "conditions": [
                        {
                            "type": "Ready",
                            "status": "False",
                            "reason": "ContainersNotReady",
                        }
                    ]
                }
            },
            "not ready (ContainersNotReady)",
        ),
        (
            {"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}},
            "not ready (no reason given)",
        ),
        ({"status": {"containerStatuses": [{"name": "web", "state": None}]}}, ""),
    ],
)
def test_pod_trouble(pod: Object, trouble: str) -> None:
    assert pod_trouble(pod) == trouble


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({"app": "web"}, True),
        ({"app": "web", "x": "y"}, False),
        ({}, False),
        (None, False),
    ],
)
def test_an_empty_selector_selects_nothing(
    selector: dict[str, str] | None, expected: bool
) -> None:
    assert selects({"spec": {"selector": selector}}, {"app": "web"}) is expected
