# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Load balancers that follow the endpoints at their own pace. Their controllers are
clouds' own: the test writes what they would write, when it says so.
"""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
    ApiError,
    Kube,
    Object,
    resource_path,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.manifests import (
    deployment,
    service,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.playbook import (
    Handle,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.release import (
    ACTIVE,
    NAME,
    Release,
    message,
    rollout_of,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.waiting import (
    eventually,
)

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
CHECKPOINT = "elbv2.k8s.aws/checkpoint"
GATE = "target-health.elbv2.k8s.aws/web"
FAST: dict[str, t.Any] = {"overlap_seconds": 0}


def definition(group: str, kind: str, plural: str) -> Object:
    """A kind whose objects hold whatever their controllers write."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural},
            "versions": [
                {
                    "name": "v1beta1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": anything},
                }
            ],
        },
    }


KINDS = {
    "targetgroupbindings": ("elbv2.k8s.aws", "TargetGroupBinding"),
    "servicenetworkendpointgroups": (
        "networking.gke.io",
        "ServiceNetworkEndpointGroup",
    ),
}


@pytest.fixture(scope="session")
def kinds(kube: Kube) -> None:
    """The kinds are known to the cluster; it goes at the session's end, or keeps them
    where a person's cluster has them already.
    """
    for plural, (group, kind) in KINDS.items():
        try:
            kube.create(DEFINITIONS, definition(group, kind, plural))
        except ApiError as error:
            # Another worker of this session made it.
            assert error.code == 409

    def served() -> bool:
        try:
            return all(
                kube.find(f"/apis/{group}/v1beta1/{plural}") is not None
                for plural, (group, _kind) in KINDS.items()
            )
        except ApiError as error:
            # The API server makes room for them first.
            assert error.code == 429
            return False

    eventually(served, 30, "the kinds of load balancers to be served")


def folder_of(plural: str, namespace: str) -> str:
    return f"/apis/{KINDS[plural][0]}/v1beta1/namespaces/{namespace}/{plural}"


def bind(kube: Kube, namespace: str, checkpoint: str = "first") -> str:
    """Make a TargetGroupBinding of the active Service; return its path."""
    folder = folder_of("targetgroupbindings", namespace)
    annotations = {CHECKPOINT: checkpoint} if checkpoint else {}
    kube.create(
        folder,
        {
            "apiVersion": "elbv2.k8s.aws/v1beta1",
            "kind": "TargetGroupBinding",
            "metadata": {"name": "web", "annotations": annotations},
            "spec": {"serviceRef": {"name": ACTIVE, "port": 80}},
        },
    )
    return f"{folder}/web"


def awaits(handle: Handle, text: str) -> None:
    """Until the run says so, while it is running."""

    def says() -> bool:
        assert handle.running, f"it ended\n{handle.wait()}"
        return text in handle.stdout

    eventually(says, 60, text)


def test_the_window_stays_open_until_the_targets_are_registered(
    release: Release, kube: Kube, kinds: None
) -> None:
    release.deploy().check()
    path = bind(kube, release.namespace)
    handle = release.start_deploy("2", **FAST)
    awaits(handle, "TargetGroupBinding web has not registered the new pods yet")
    assert release.directed_to() is None, "it is widened, and stays so"
    kube.patch(path, {"metadata": {"annotations": {CHECKPOINT: "second"}}})
    run = handle.wait().check()
    assert release.directed_to() == 2
    why = "Service web is balanced by TargetGroupBinding web, which follows later"
    assert why in run.stdout


def test_targets_that_are_never_registered_leave_users_where_they_are(
    release: Release, kube: Kube, kinds: None
) -> None:
    release.deploy().check()
    bind(kube, release.namespace)
    run = release.deploy("2", progress_deadline_seconds=3, **FAST)
    assert "has not registered the new pods yet" in message(run)
    assert release.directed_to() == 1
    assert rollout_of(run)["phase"] == "Degraded"


def test_a_controller_that_does_not_tell_is_given_the_time(
    release: Release, kube: Kube, kinds: None
) -> None:
    release.deploy().check()
    bind(kube, release.namespace, checkpoint="")
    release.deploy("2", **FAST).check()
    assert release.directed_to() == 2


def test_pods_with_its_readiness_gate_must_be_healthy_targets(
    release: Release, kube: Kube, kinds: None
) -> None:
    release.deploy().check()
    path = bind(kube, release.namespace)
    gated = deployment(NAME, version="2", replicas=2)
    pod_spec = gated["spec"]["template"]["spec"]
    pod_spec["readinessGates"] = [{"conditionType": GATE}]
    handle = release.start_deploy("2", definition=gated, **FAST)
    awaits(handle, "TargetGroupBinding web has not registered the new pods yet")
    # The nodes of this cluster set every gate when they start a pod.
    set_gates(kube, release, "False")
    kube.patch(path, {"metadata": {"annotations": {CHECKPOINT: "second"}}})
    awaits(handle, f"is not healthy for its target group ({GATE})")
    assert release.directed_to() is None
    set_gates(kube, release, "True")
    handle.wait().check()
    assert release.directed_to() == 2


def set_gates(kube: Kube, release: Release, status: str) -> None:
    """As the load balancer's controller does, for each pod of revision 2."""
    selector = f"cutover.bluegreen/revision-hash={release.hash_of(2)}"
    for pod in kube.list(resource_path("pods", release.namespace), selector):
        kube.patch(
            resource_path("pods", release.namespace, pod["metadata"]["name"], "status"),
            {"status": {"conditions": [{"type": GATE, "status": status}]}},
            "strategic",
        )


def test_endpoint_groups_must_have_been_synchronised(
    release: Release, kube: Kube, kinds: None
) -> None:
    status = {"network_endpoint_groups": {"80": "k8s1-web"}, "zones": ["a"]}
    web = service(ACTIVE)
    web["metadata"]["annotations"] = {"cloud.google.com/neg-status": json.dumps(status)}
    release.deploy(active_service=web).check()
    folder = folder_of("servicenetworkendpointgroups", release.namespace)
    kube.create(
        folder,
        {
            "apiVersion": "networking.gke.io/v1beta1",
            "kind": "ServiceNetworkEndpointGroup",
            "metadata": {"name": "k8s1-web"},
            "status": {"lastSyncTime": "2026-01-02T03:04:05Z"},
        },
    )
    handle = release.start_deploy("2", active_service=web, **FAST)
    awaits(handle, "ServiceNetworkEndpointGroup k8s1-web has not registered the new")
    assert release.directed_to() is None
    later = {"status": {"lastSyncTime": "2026-01-02T03:04:09Z"}}
    kube.patch(f"{folder}/k8s1-web", later)
    run = handle.wait().check()
    assert release.directed_to() == 2
    assert "is balanced by network endpoint groups, which follow later" in run.stdout
