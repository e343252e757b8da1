# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The provider `pods`: what a real API lists of pods that fare well or badly."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.measurement import (  # noqa: E501 - a module's name
    MeasurementError,
    Place,
    Value,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.providers import (  # noqa: E501 - a package's name
    pods,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._clock import (
    format_instant,
)
from ansible_collections.cutover.bluegreen.tests.integration.support import session
from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
    Kube,
    Object,
    resource_path,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.manifests import (
    deployment,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.measuring import (
    place_on,
    request_at,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.waiting import (
    eventually,
)

HASH = "0123456789"
TROUBLES = ("restarts", "unready", "crash_loops", "image_errors", "warnings")

Start = t.Callable[..., list[Object]]


@pytest.fixture
def place(
    cluster: session.Cluster, account_kubeconfig: pathlib.Path, namespace: str
) -> Place:
    if not cluster.embedded:
        pytest.skip("the pods are steered by the embedded cluster's stages")
    return place_on(account_kubeconfig, namespace, rollout="web", revision=HASH)


@pytest.fixture
def start(kube: Kube, place: Place) -> Start:
    """Create two pods of the revision; return them once KWOK has started them."""

    def create(revision: str = HASH, **steering: str) -> list[Object]:
        labels = {
            "app": "web",
            "cutover.bluegreen/rollout": "web",
            "cutover.bluegreen/revision-hash": revision,
        }
        name = f"web-{revision}"
        manifest = deployment(name, replicas=2, labels=labels, **steering)
        kube.create(resource_path("deployments", place.namespace), manifest)
        return eventually(lambda: started(revision), 20, "two started pods")

    def started(revision: str) -> list[Object]:
        found = kube.list(
            resource_path("pods", place.namespace),
            f"cutover.bluegreen/revision-hash={revision}",
        )
        ready = [pod for pod in found if pod["status"].get("startTime")]
        return found if len(ready) == 2 else []

    return create


def measured(place: Place, **config: t.Any) -> Object:
    outcome = pods.measure(request_at(place, config))
    assert isinstance(outcome, Value)
    return t.cast(Object, outcome.value)


def troubles(value: Object) -> dict[str, int]:
    return {name: value[name] for name in TROUBLES if value[name]}


def test_healthy_pods(start: Start, place: Place) -> None:
    start()
    value = measured(place)
    assert (value["pods"], value["ready"]) == (2, 2)
    assert troubles(value) == {}
    assert value["reasons"] == []


def test_only_the_revision_s_own_pods_count(start: Start, place: Place) -> None:
    start()
    start("9876543210", crash="true")
    value = measured(place)
    assert value["pods"] == 2
    assert troubles(value) == {}
    assert measured(place, selector="app=web")["crash_loops"] == 2


def test_crash_loops(start: Start, place: Place) -> None:
    names = [pod["metadata"]["name"] for pod in start(crash="true")]
    value = measured(place)
    assert troubles(value) == {"crash_loops": 2, "restarts": 6}
    assert sorted(value["reasons"]) == sorted(
        f"{name}: container web-{HASH} was restarted 3 times, last with exit code 1"
        " (Error)"
        for name in names
    )


def test_images_that_cannot_be_had(start: Start, place: Place) -> None:
    start(image_pull="fail")
    assert troubles(measured(place)) == {"image_errors": 2}


def test_pods_that_take_too_long(start: Start, place: Place) -> None:
    start(ready="never")
    value = measured(place)
    assert value["ready"] == 0
    assert troubles(value) == {}
    late = eventually(
        lambda: (v := measured(place, startupSeconds=0.5))["unready"] == 2 and v,
        20,
        "two pods that are late",
    )
    assert late["lost_ready"] == 0


def test_pods_that_were_ready_are_unready_at_once(start: Start, place: Place) -> None:
    start(unready_after="4s")
    assert troubles(measured(place)) == {}
    value = eventually(
        lambda: (v := measured(place))["unready"] == 2 and v, 20, "two unready pods"
    )
    assert value["lost_ready"] == 2
    assert "not ready (ContainersNotReady)" in value["reasons"][0]


def test_warnings(kube: Kube, start: Start, place: Place) -> None:
    """As kubelet writes them; the cluster has none."""
    (first, other), now = start(), place.now()

    def warn(pod: Object, kind: str) -> None:
        metadata = pod["metadata"]
        about = {"kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
        event = {
            "metadata": {"generateName": "web."},
            "involvedObject": {"namespace": place.namespace, **about},
            "type": kind,
            "reason": "Unhealthy",
            "message": "Liveness probe failed: HTTP 500",
            "lastTimestamp": format_instant(place.now())[:19] + "Z",
        }
        kube.create(resource_path("events", place.namespace), event)

    # A warning in the second in which a pod became ready is part of its start.
    eventually(lambda: (place.now() - now).total_seconds() > 2, 10, "a later second")
    assert measured(place)["warnings"] == 0
    warn(first, "Warning")
    warn(other, "Normal")
    value = measured(place)
    assert troubles(value) == {"warnings": 1}
    assert value["reasons"] == [
        f"{first['metadata']['name']}: Unhealthy: Liveness probe failed: HTTP 500"
    ]


def test_no_pods_are_no_data(place: Place) -> None:
    outcome = pods.measure(request_at(place, {}))
    assert isinstance(outcome, Value)
    assert outcome.value is None


def test_a_selector_that_is_none(place: Place) -> None:
    with pytest.raises(MeasurementError, match=r"refused to list pods.*\(400\)"):
        measured(place, selector="app in web")


@pytest.mark.parametrize("missing", ["pods", "events"])
def test_a_missing_right_is_named(
    start: Start,
    restricted_kubeconfig: t.Callable[..., pathlib.Path],
    namespace: str,
    missing: str,
) -> None:
    start()
    rights = {name: ["list"] for name in ("pods", "events") if name != missing}
    place = place_on(
        restricted_kubeconfig(rights), namespace, rollout="web", revision=HASH
    )
    with pytest.raises(MeasurementError, match=f"verb list on {missing}"):
        measured(place)
