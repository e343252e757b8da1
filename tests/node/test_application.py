# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The application that the other tests release does what they rely on."""

from __future__ import annotations

import pathlib
import typing as t

import kubernetes.client
import kubernetes.config
import kubernetes.stream
import pytest

from ansible_collections.cutover.bluegreen.tests.integration.support import session
from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
    Kube,
    Object,
    resource_path,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.waiting import (
    eventually,
)
from ansible_collections.cutover.bluegreen.tests.node.support import application

Pod = tuple[Object, str]


@pytest.fixture
def pod(kube: Kube, namespace: str) -> Pod:
    """One pod that serves on two ports, and the Service's address."""
    manifest = application.application(replicas=1, PORTS="8080,8081")
    address = application.run(kube, namespace, manifest)
    (only,) = application.pods(kube, namespace)
    return only, address


def test_it_answers_on_every_port(kube: Kube, pod: Pod) -> None:
    metadata = pod[0]["metadata"]
    for port in ("8080", "8081"):
        name = f"{metadata['name']}:{port}"
        path = resource_path("pods", metadata["namespace"], name, "proxy")
        answer = kube.get(f"{path}/any/path")
        assert answer["version"] == "1"
        assert answer["pod"] == metadata["name"]


def test_it_becomes_unready_when_told(kube: Kube, pod: Pod) -> None:
    metadata = pod[0]["metadata"]
    namespace = metadata["namespace"]
    application.text(kube, pod[0], "/readyz/fail")
    eventually(
        lambda: application.available(kube, namespace, "web") == 0, 30, "its end"
    )
    # Its Service has nobody, and it still answers who has found it.
    eventually(lambda: application.get(pod[1]) == {}, 30, "the Service's refusal")
    assert application.connections(kube, pod[0])["open"] == 0


def test_metrics_show_what_is_under_way(
    kube: Kube, pod: Pod, load: t.Callable[..., t.Any]
) -> None:
    def metrics() -> dict[str, int]:
        lines = application.text(kube, pod[0], "/metrics").splitlines()
        pairs = (line.split() for line in lines if not line.startswith("#"))
        return {name: int(value) for name, value in pairs}

    assert metrics()["app_open_connections"] == 0
    assert metrics()["app_requests_in_flight"] == 0
    running = load(pod[1], clients=3, rate=30, kinds=["reused"])
    eventually(lambda: metrics()["app_open_connections"] == 3, 30, "three clients")
    assert application.connections(kube, pod[0])["open"] == 3
    assert running.stop().errors == []
    eventually(lambda: metrics()["app_open_connections"] == 0, 30, "no client")


def test_a_command_in_the_container_drains_it(
    kube: Kube, pod: Pod, cluster: session.Cluster, load: t.Callable[..., t.Any]
) -> None:
    running = load(pod[1], clients=3, rate=30, kinds=["reused"])
    eventually(lambda: application.connections(kube, pod[0])["open"] == 3, 30, "three")
    assert execute(cluster.kubeconfig, pod[0], ["/app", "drain"]) == 0
    assert application.connections(kube, pod[0])["draining"]
    before = running.answers()
    eventually(lambda: len(running.answers()) > len(before) + 30, 30, "more requests")
    assert running.stop().errors == []


def execute(
    kubeconfig: pathlib.Path, pod: Object, command: t.Sequence[str]
) -> int | None:
    """Run a command in the pod's container; return its exit code."""
    metadata = pod["metadata"]
    client: t.Any = kubernetes.config.new_client_from_config(str(kubeconfig))
    api: t.Any = kubernetes.client.CoreV1Api(client)
    running = kubernetes.stream.stream(
        api.connect_get_namespaced_pod_exec,
        *(metadata["name"], metadata["namespace"]),
        command=list(command),
        stdout=True,
        stderr=True,
        _preload_content=False,
    )
    try:
        running.run_forever(timeout=30)
        return t.cast("int | None", running.returncode)
    finally:
        # The frame that closes the stream is not the end of its socket.
        running.close()
        running.sock.shutdown()
        client.close()
