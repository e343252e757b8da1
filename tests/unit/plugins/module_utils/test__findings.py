# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is seen in the manifests of a release."""

from __future__ import annotations

import copy
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._findings import (
    Finding,
    of_definition,
    of_service,
    ordered,
    refusal_of_labels,
    summary,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._manifests import (
    Deployment,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._parameters import (
    Parameters,
    parse_size,
)

GOOD: dict[str, t.Any] = {
    "name": "web",
    "image": "example/web:1",
    "ports": [{"name": "http", "containerPort": 8080}],
    "readinessProbe": {"httpGet": {"path": "/", "port": "http"}},
    "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
    "resources": {"requests": {"cpu": "100m"}},
}
SIDECAR: dict[str, t.Any] = {
    "name": "log",
    "image": "example/log:1",
    **{"resources": {"limits": {"memory": "1Mi"}}},
}


def manifest(*containers: t.Any, **pod_spec: t.Any) -> Deployment:
    spec = {"containers": list(containers or (GOOD,)), **pod_spec}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": spec}
    selector = {"matchLabels": {"app": "web"}}
    body = {
        "metadata": {"name": "web"},
        "spec": {"selector": selector, "template": template},
    }
    return Deployment("web", copy.deepcopy(body))


def told(deployment: Deployment, **parameters: t.Any) -> list[str]:
    given = Parameters(**{"replicas": 3, "active_services": ("web",), **parameters})
    return [f"{f.level}: {f.message}" for f in of_definition(deployment, given)]


def test_nothing_is_said_of_a_manifest_that_lacks_nothing() -> None:
    assert told(manifest()) == []
    assert told(manifest(GOOD, SIDECAR)) == []


@pytest.mark.parametrize(
    ("without", "said"),
    [
        ("readinessProbe", "warning: container web without readinessProbe"),
        ("lifecycle", "warning: no preStop hook"),
        ("resources", "notice: container web without resources.requests"),
        ("image", "error: container web has no image"),
    ],
)
def test_what_a_container_lacks(without: str, said: str) -> None:
    container = {k: v for k, v in GOOD.items() if k != without}
    (line,) = told(manifest(container))
    assert line.startswith(said)


def test_a_second_container_with_ports_and_without_probe() -> None:
    second = {**SIDECAR, "ports": [{"containerPort": 9090}]}
    (line,) = told(manifest(GOOD, second))
    assert line.startswith("notice: container log with ports and without")


@pytest.mark.parametrize(
    ("image", "policy", "said"),
    [
        ("example/web", "IfNotPresent", "a node runs whatever it pulled first"),
        ("example/web:latest", "Never", "a node runs whatever it pulled first"),
        ("example/web:latest", None, "the new code"),
        ("registry:5000/web", "Always", "the new code"),
        ("registry:5000/web:1", None, ""),
        ("example/web@sha256:abc", "IfNotPresent", ""),
    ],
)
def test_images_without_a_version(image: str, policy: str | None, said: str) -> None:
    container = {**GOOD, "image": image}
    if policy:
        container["imagePullPolicy"] = policy
    lines = told(manifest(container))
    assert len(lines) == bool(said)
    assert said in "".join(lines)


@pytest.mark.parametrize(
    ("hook", "grace", "said"),
    [
        ({"sleep": {"seconds": 10}}, 10, True),
        ({"exec": {"command": ["sleep", "40"]}}, None, True),
        ({"exec": {"command": ["sh", "-c", "sleep 15 && nginx -s quit"]}}, 12, True),
        ({"exec": {"command": ["sh", "-c", "sleep 15"]}}, 45, False),
        ({"exec": {"command": ["/stop"]}}, 1, False),
    ],
)
def test_a_hook_longer_than_the_grace_period(
    hook: dict[str, t.Any], grace: int | None, said: bool
) -> None:
    given = {} if grace is None else {"terminationGracePeriodSeconds": grace}
    lines = told(manifest({**GOOD, "lifecycle": {"preStop": hook}}, **given))
    assert len(lines) == said
    assert all("terminationGracePeriodSeconds is" in line for line in lines)


def test_sizes() -> None:
    assert "spec.replicas is 1" in told(manifest(), replicas=1)[0]
    assert "spec.replicas is not given" in told(manifest(), replicas=None)[0]
    steps = tuple(parse_size(s, "scale_up_steps") for s in ("10%", "20%", "100%"))
    (line,) = told(manifest(), replicas=2, scale_up_steps=steps)
    assert "names 3 steps; of 2 pods these are 2: 1, 2" in line


def test_a_manifest_that_a_reconciler_applies() -> None:
    marked = manifest()
    mark = {"argocd.argoproj.io/tracking-id": "shop"}
    marked.body["metadata"]["annotations"] = mark
    (line,) = told(marked)
    assert "Argo CD (shop) applies it" in line


@pytest.mark.parametrize(
    ("target", "count"), [("http", 0), (8080, 0), ("metrics", 1), (None, 0)]
)
def test_the_port_of_a_service(target: object, count: int) -> None:
    port = {"port": 80} if target is None else {"port": 80, "targetPort": target}
    service = {"metadata": {"name": "web"}, "spec": {"ports": [port]}}
    found = of_service(service, manifest())
    assert len(found) == count
    assert all("targetPort metrics is the name of no port" in str(f) for f in found)


@pytest.mark.parametrize(
    ("selector", "said"),
    [
        ({"app": "web"}, ""),
        ({}, "preview: Service web has no selector"),
        ({"app": "api"}, "selects app=api, the pods of the definition have app=web"),
    ],
)
def test_the_selector_of_a_service(selector: dict[str, str], said: str) -> None:
    service = {"metadata": {"name": "web"}, "spec": {"selector": selector}}
    refusal = refusal_of_labels("web", service, "preview", {"app": "web"})
    assert said in refusal
    assert bool(said) == bool(refusal)


def test_findings_are_told_once_and_worst_first() -> None:
    notice, error = Finding("notice", "a", "x"), Finding("error", "b", "y")
    assert ordered([notice, error, notice]) == [error, notice]
    assert str(error) == "error: b: y"
    assert summary([notice, error, notice]) == "1 error, 2 notices"
    assert summary([]) == "nothing found"
