# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests with traffic take for granted: the node, the application, the load."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
    Kube,
    resource_path,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.waiting import (
    eventually,
)
from ansible_collections.cutover.bluegreen.tests.node.support import application
from ansible_collections.cutover.bluegreen.tests.node.support.load import (
    Answers,
    Load,
)
from ansible_collections.cutover.bluegreen.tests.node.support.traffic import flows

Start = t.Callable[..., Load]


def delete_a_pod(kube: Kube, namespace: str) -> str:
    """Delete one of two pods; return its name when it is gone and replaced."""
    name = str(application.pods(kube, namespace)[0]["metadata"]["name"])
    path = resource_path("pods", namespace, name)
    kube.delete(path)
    eventually(lambda: kube.find(path) is None, 60, "the end of the pod")
    eventually(
        lambda: application.available(kube, namespace, "web") == 2, 60, "a replacement"
    )
    return name


def test_quiet_service(kube: Kube, namespace: str, load: Start) -> None:
    address = application.run(kube, namespace, application.application())
    running = load(address)
    flows(running)
    seen = running.stop()
    print(f"\n{seen}")
    assert seen.errors == []
    assert set(seen.versions) == {"1"}
    assert len(seen.of("new").pods) == 2
    assert len(seen.of("reused").pods) == 2


def test_asking_early_harms_no_user(kube: Kube, namespace: str, load: Start) -> None:
    """The kernel remembers a question that a Service without pods refused."""
    address = application.run(kube, namespace, application.application())
    path = resource_path("services", namespace, "web")
    kube.patch(path, {"spec": {"selector": {"app": "nobody"}}})
    eventually(lambda: application.get(address) == {}, 30, "the Service's refusal")
    # As many as it takes to come round to the first of the client's ports.
    for _question in range(3000):
        assert application.get(address) == {}
    kube.patch(path, {"spec": {"selector": {"app": "web"}}})
    eventually(lambda: application.get(address), 30, f"{address} answers")
    running = load(address)
    flows(running)
    assert running.stop().errors == []


def after_a_deletion(
    kube: Kube, namespace: str, load: Start, shutdown: application.Shutdown
) -> Answers:
    manifest = application.application(shutdown=shutdown)
    running = load(application.run(kube, namespace, manifest))
    flows(running, 100)
    deleted = delete_a_pod(kube, namespace)
    flows(running, 100)
    seen = running.stop()
    print(f"\n{shutdown}\n{seen}")
    assert deleted in seen.of("reused").pods
    return seen


def test_abrupt_end_breaks_reused_connections(
    kube: Kube, namespace: str, load: Start
) -> None:
    seen = after_a_deletion(kube, namespace, load, "abrupt")
    assert seen.of("reused").errors


def test_graceful_end_breaks_nothing(kube: Kube, namespace: str, load: Start) -> None:
    seen = after_a_deletion(kube, namespace, load, "graceful")
    assert seen.errors == []


def test_drained_pod_loses_its_clients(kube: Kube, namespace: str, load: Start) -> None:
    """Told to drain, a pod outside of every Service is left by all of its clients."""
    address = application.run(kube, namespace, application.application())
    running = load(address)
    flows(running, 100)
    pod = application.pods(kube, namespace)[0]
    assert application.connections(kube, pod)["open"] > 0
    path = resource_path("pods", namespace, pod["metadata"]["name"])
    kube.patch(path, {"metadata": {"labels": {"app": None}}})
    proxied = resource_path("pods", namespace, pod["metadata"]["name"], "proxy")
    assert kube.get(f"{proxied}/drain")["draining"]
    eventually(
        lambda: application.connections(kube, pod)["open"] == 0, 30, "no more clients"
    )
    seen = running.stop()
    assert seen.errors == []


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:8080/",
        "http://127.0.0.1:32768/",
        "http://192.0.2.1:30080/",
        "http://localhost:30080/",
        "https://127.0.0.1:30080/",
    ],
)
def test_load_goes_to_node_ports_only(address: str, load: Start) -> None:
    with pytest.raises(ValueError, match="nowhere else"):
        load(address)
