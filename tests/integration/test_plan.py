# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A plan for whoever signs a release off: what it says, and that it writes nothing."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
    Kube,
    Object,
    resource_path,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.manifests import (
    deployment,
    service,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.playbook import (
    Run,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.policy import (
    Policy,
    is_refused,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.release import (
    NAME,
    Path,
    Release,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.waiting import (
    eventually,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.wire import Wire

LONG = 600
PLAN = ["--check", "--diff"]
PODS = {"matchLabels": {"app": NAME}}
DEPLOYMENTS = {
    "apiGroups": ["apps"],
    "apiVersions": ["v1"],
    "resources": ["deployments"],
}


def plan_of(run: Run) -> Object:
    (planned,) = run.check().of("bluegreen_rollout")
    return t.cast(Object, planned.result["plan"])


def told(plan: Object, level: str) -> list[str]:
    """Each finding of one level: what it is about, and the message."""
    findings = plan["findings"]
    return [f"{f['object']}: {f['message']}" for f in findings if f["level"] == level]


def create(release: Release, kind: str, name: str, **spec: t.Any) -> str:
    path = resource_path(kind, release.namespace)
    release.kube.create(path, {"metadata": {"name": name}, "spec": spec})
    return resource_path(kind, release.namespace, name)


def surround(release: Release) -> None:
    """What a namespace may have that acts on the pods of a release."""
    create(
        release,
        "limitranges",
        "small",
        limits=[{"type": "Container", "max": {"memory": "64Mi"}}],
    )
    quota = create(release, "resourcequotas", "narrow", hard={"pods": "3"})
    create(
        release,
        "resourcequotas",
        "best-effort",
        hard={"pods": "1"},
        scopes=["BestEffort"],
    )
    create(release, "poddisruptionbudgets", "both", minAvailable=1, selector=PODS)
    create(release, "networkpolicies", "closed", podSelector=PODS)
    pods = {"metadata": {"labels": {"app": NAME}}}
    container = {"name": "report", "image": "example/report:1"}
    pods["spec"] = {"restartPolicy": "Never", "containers": [container]}
    job = {"spec": {"template": pods}}
    create(release, "cronjobs", "report", schedule="0 3 1 1 *", jobTemplate=job)
    target = release.revisions()[1]["metadata"]["name"]
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": target}
    create(
        release,
        "horizontalpodautoscalers",
        "sized",
        scaleTargetRef=reference,
        minReplicas=2,
        maxReplicas=2,
    )
    release.kube.create(
        resource_path("services", release.namespace),
        service("metrics", selector={"app": NAME}),
    )

    def counted() -> bool:
        status = release.kube.get(quota).get("status") or {}
        return bool((status.get("used") or {}).get("pods") == "2")

    eventually(counted, 30, "a quota that counts both pods")


def with_resources(version: str) -> Object:
    manifest = deployment(NAME, version=version, replicas=2)
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    container["resources"] = {"limits": {"cpu": "100m", "memory": "128Mi"}}
    container["env"].append({"name": "PASSWORD", "value": "hunter2"})
    return manifest


@pytest.fixture
def forbidden_image(kube: Kube, release: Release) -> t.Iterator[str]:
    """An image that no Deployment of the namespace may have."""
    image = f"example/{NAME}:forbidden"
    images = "object.spec.template.spec.containers"
    rule = f"{images}.all(c, c.image != '{image}')"
    policy = Policy(kube, release.namespace, DEPLOYMENTS, "true", rule)
    path = resource_path("deployments", release.namespace)
    body = deployment("try", replicas=0)
    body["spec"]["template"]["spec"]["containers"][0]["image"] = image
    eventually(
        lambda: is_refused(lambda: kube.create(path, body, dryRun="All")),
        30,
        "the policy in force",
    )
    yield "forbidden"
    policy.remove()


def test_what_stands_in_the_way_is_told_worst_first_without_a_write(
    release: Release, wire: t.Callable[..., Wire], path: Path
) -> None:
    release.path = path
    release.deploy("1").check()
    surround(release)
    sent = wire()
    run = release.deploy(
        "2",
        args=PLAN,
        definition=with_resources("2"),
        other_services=["metrics"],
    )
    plan = plan_of(run)
    assert sent.writes == []

    errors = told(plan, "error")
    assert any(
        "ResourceQuota narrow: pods: the release needs 2 more, 1 of 3 are left" in line
        for line in errors
    ), errors
    assert any(
        "LimitRange small: container web: limits.memory is 128Mi, at most 64Mi" in line
        for line in errors
    ), errors
    warnings = "\n".join(told(plan, "warning"))
    assert "PodDisruptionBudget both: counts the pods of both revisions" in warnings
    assert "CronJob report: makes pods that the selector of Service web" in warnings
    assert "Deployment web: container web without readinessProbe" in warnings
    notices = "\n".join(told(plan, "notice"))
    assert "HorizontalPodAutoscaler sized: decides the size (2 to 2 pods)" in notices
    assert "NetworkPolicy closed: holds for the new pods" in notices
    assert "Service metrics: selects the pods of every revision" in notices
    assert "ResourceQuota best-effort: not counted" in notices
    levels = [f["level"] for f in plan["findings"]]
    assert levels == sorted(levels, key=["error", "warning", "notice"].index)

    changes = {c["object"]: c for c in plan["changes"]}
    created = changes[f"Deployment {NAME}-{new_hash(plan)}"]
    assert (created["action"], created["dry_run"]) == ("create", "passed")
    assert (
        "template.spec.containers.web.image: example/web:1 -> example/web:2"
        in created["fields"]
    )
    assert changes["Service web"]["dry_run"] == "passed"
    retargeted = changes["HorizontalPodAutoscaler sized"]
    assert (retargeted["action"], retargeted["dry_run"]) == ("update", "passed")
    everything = f"{run}{json.dumps(plan)}"
    assert "hunter2" not in everything

    if path == "action":
        lines = [x for x in run.stdout.splitlines() if " [plan] " in x]
        assert "summary: " in lines[-1]
        assert f"{len(errors)} errors" in lines[-1]


def new_hash(plan: Object) -> str:
    return t.cast(str, plan["endpoints"]["web"]["after"]["hash"])


def test_what_the_role_of_a_revision_adds_is_no_difference(release: Release) -> None:
    """Labels of the active revision, and the nodes that the new one keeps off."""
    asked: dict[str, t.Any] = {
        "active_metadata": {"labels": {"serves": "all"}},
        "preview_metadata": {"labels": {"serves": "few"}},
        "anti_affinity": {"preferred": {"weight": 50}},
    }
    release.deploy("1", **asked).check()
    plan = plan_of(release.deploy("2", args=PLAN, **asked))
    changes = {c["object"]: c for c in plan["changes"]}
    created = changes[f"Deployment {NAME}-{new_hash(plan)}"]
    assert created["dry_run"] == "passed"
    fields = [f for f in created["fields"] if not f.startswith("spec.replicas")]
    assert all(f.startswith("template.spec.containers.web.") for f in fields), fields
    assert len(fields) >= 1


def test_endpoints_before_and_after(release: Release) -> None:
    release.deploy("1").check()
    waits: dict[str, t.Any] = {"scale_down_delay_seconds": LONG, "wait": "detach"}
    release.deploy("2", **waits).check()
    forth = plan_of(release.deploy("3", args=PLAN, replicas=3, **waits))
    served = forth["endpoints"]["web"]
    assert {e["revision"] for e in served["before"]} == {2}
    assert len(served["before"]) == 2
    assert all(e["addresses"] for e in served["before"])
    after = served["after"]
    assert (after["revision"], after["count"], after["pods"]) == (3, 3, [])

    # Of a revision that still runs, the very pods are known.
    back = plan_of(release.deploy("1", args=PLAN, **waits))["endpoints"]["web"]["after"]
    running = release.kube.list(
        resource_path("pods", release.namespace),
        f"cutover.bluegreen/revision-hash={release.hash_of(1)}",
    )
    assert [p["pod"] for p in back["pods"]] == sorted(
        pod["metadata"]["name"] for pod in running
    )


def test_what_a_policy_refuses_is_a_finding(
    release: Release, wire: t.Callable[..., Wire], forbidden_image: str
) -> None:
    release.deploy("1").check()
    sent = wire()
    run = release.deploy(forbidden_image, args=PLAN)
    plan = plan_of(run)
    assert sent.writes == []
    refused = [c for c in plan["changes"] if c["dry_run"] == "refused"]
    assert [c["action"] for c in refused] == ["create"]
    errors = told(plan, "error")
    assert any(refused[0]["object"] in e and "not today" in e for e in errors), errors
    assert "1 error" in run.stdout
    # A release is refused as ever, before its first write.
    assert release.deploy(forbidden_image).rc != 0
    assert sent.writes == []
