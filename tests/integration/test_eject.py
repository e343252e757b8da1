# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A rollout becomes a plain Deployment and plain Services again."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
    Object,
    resource_path,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.manifests import (
    deployment,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.plain import (
    Plain,
    release_vars,
    run_plain,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.playbook import (
    Playbook,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.release import (
    ACTIVE,
    NAME,
    PREVIEW,
    Path,
    Release,
    message,
    steps_of,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.waiting import (
    eventually,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.watcher import (
    REVISION_LABEL,
    Watcher,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.wire import Wire

LONG = 600
PREFIX = "cutover.bluegreen/"


def plain_of(release: Release) -> Plain:
    return Plain(release.kube, release.namespace, NAME)


def assert_plain(release: Release, pods: dict[str, tuple[str, int]]) -> None:
    """The pods run on, and nothing but two labels tells of the rollout."""
    plain = plain_of(release)
    assert plain.pods() == pods
    assert set(plain.deployments()) == {NAME}
    found = plain.deployments()[NAME]
    assert found["spec"]["selector"] == {"matchLabels": {"app": NAME}}
    assert not found["spec"].get("paused")
    assert found["status"]["availableReplicas"] == len(pods)
    assert marks_of(found) == []
    for name in (ACTIVE, PREVIEW):
        service = release.service(name)
        assert service["spec"]["selector"] == {"app": NAME}
        assert marks_of(service) == []
    assert release.record() == {}
    lease = resource_path("leases", release.namespace, f"bluegreen-{NAME}")
    assert release.kube.find(lease) is None


def marks_of(item: Object) -> list[str]:
    metadata = item["metadata"]
    marks = [*(metadata.get("labels") or {}), *(metadata.get("annotations") or {})]
    return [mark for mark in marks if mark.startswith(PREFIX)]


@pytest.mark.lane
def test_everything_is_plain_again_and_a_deploy_takes_it_over_again(
    release: Release,
    watcher: t.Callable[..., Watcher],
    wire: t.Callable[..., Wire],
    path: Path,
) -> None:
    """Invariants 1, 2 and 4."""
    release.path = path
    kept = {"scale_down_delay_seconds": LONG, "wait": "detach"}
    release.deploy("1", replicas=3, **kept).check()
    release.deploy("2", replicas=3, **kept).check()
    assert release.sizes() == {1: 3, 2: 3}
    label = f"{REVISION_LABEL}={release.hash_of(2)}"
    listed = release.kube.list(resource_path("pods", release.namespace), label)
    served = {p["metadata"]["uid"] for p in listed}
    seen = watcher(ACTIVE)

    assert release.run("eject").check().changed
    pods = plain_of(release).pods()
    assert set(pods) == served
    assert_plain(release, pods)
    assert len(plain_of(release).replica_sets()) == 1

    sent = wire()
    assert not release.run("eject").check().changed
    assert sent.writes == []

    release.deploy("2", replicas=3).check()
    assert plain_of(release).pods() == pods
    assert release.directed_to(ACTIVE) == release.directed_to(PREVIEW) == 1
    assert not release.deploy("2", replicas=3).check().changed
    release.deploy("3", replicas=3).check()
    assert release.directed_to(ACTIVE) == 2
    seen.assert_never_below(ACTIVE, 3)
    seen.assert_never_mixed(ACTIVE)


def test_an_adopted_deployment_gets_its_own_name_back(
    release: Release, playbook: Playbook, watcher: t.Callable[..., Watcher]
) -> None:
    """Its manifest is called otherwise than its rollout."""
    kube, namespace = release.kube, release.namespace
    manifest = deployment("shop")
    manifest["metadata"]["labels"]["team"] = "green"
    plain = run_plain(kube, namespace, manifest)
    pods, seen = plain.pods(), watcher("shop")
    options = {**release_vars(namespace, manifest), "bluegreen_name": "rollout"}
    playbook("cutover.bluegreen.deploy", options).check()
    playbook("cutover.bluegreen.eject", options).check()
    assert plain.pods() == pods
    (found,) = plain.deployments().values()
    assert found["metadata"]["name"] == "shop"
    assert found["metadata"]["labels"] == {"app": "shop", "team": "green"}
    assert plain.selector() == {"app": "shop"}
    seen.assert_never_below("shop", 3)
    assert len(seen.every_version("shop")) == 1
    # Another manifest is released from what runs.
    newer = deployment("shop", version="2")
    options["bluegreen_definition"] = newer
    playbook("cutover.bluegreen.deploy", options).check()
    assert plain.ready() == 3
    seen.assert_never_below("shop", 3)


def exists(release: Release, resource: str, name: str) -> bool:
    path = resource_path(resource, release.namespace, name)
    return release.kube.find(path) is not None


# What is seen, from outside, when a run has done this much of an ejection.
STEPS: dict[str, t.Callable[[Release], bool]] = {
    "the plain Deployment is there": lambda r: exists(r, "deployments", NAME),
    "the revisions are gone": lambda r: not r.revisions(),
    "the plain Deployment goes on": lambda r: (
        not plain_of(r)
        .deployments()
        .get(NAME, {"spec": {"paused": True}})["spec"]
        .get("paused")
    ),
    "a Service is plain": lambda r: (
        REVISION_LABEL not in r.service(ACTIVE)["spec"]["selector"]
    ),
    "the record is gone": lambda r: r.record() == {},
}


@pytest.mark.parametrize("step", STEPS)
def test_killed_in_the_middle_it_goes_on(
    release: Release, watcher: t.Callable[..., Watcher], step: str
) -> None:
    """Invariants 1 and 5."""
    release.deploy("1").check()
    release.deploy("2").check()
    pods, seen = plain_of(release).pods(), watcher(ACTIVE)
    handle = release.start("eject")
    eventually(lambda: STEPS[step](release) or not handle.running, 60, step)
    handle.kill_tree()
    assert plain_of(release).pods() == pods
    release.run("eject").check()
    assert_plain(release, pods)
    seen.assert_never_below(ACTIVE, 2)
    seen.assert_never_mixed(ACTIVE)


def test_check_mode_says_what_it_would_do(
    release: Release, wire: t.Callable[..., Wire]
) -> None:
    release.deploy("1").check()
    release.deploy("2", scale_down_delay_seconds=LONG, wait="detach").check()
    first = release.revisions()[1]["metadata"]["name"]
    second = release.revisions()[2]["metadata"]["name"]
    sent = wire()
    run = release.run("eject", args=["--check"]).check()
    assert run.changed
    assert steps_of(run) == [
        f"delete revision 1 ({first})",
        f"give the 2 pods of revision 2 ({second}) to Deployment web, without"
        " restarting them",
        "give Service web, web-preview their own selectors back",
        "remove the record and the lock",
    ]
    assert sent.writes == []


def test_what_cannot_be_ejected_is_refused(
    release: Release, wire: t.Callable[..., Wire]
) -> None:
    assert "there is no rollout web in namespace" in message(release.run("eject"))
    release.deploy("1").check()
    release.deploy("2", auto_promotion_enabled=False).check()
    sent = wire()
    assert "is in flight; an ejection needs a rollout at rest" in message(
        release.run("eject")
    )
    assert sent.writes == []
    release.run("promote").check()
    deployments = resource_path("deployments", release.namespace)
    release.kube.create(deployments, deployment(NAME, labels={"app": "other"}))
    sent.mark()
    assert "Deployment web exists beside the rollout" in message(release.run("eject"))
    assert sent.writes == []


def test_the_autoscaler_goes_along(
    release: Release, watcher: t.Callable[..., Watcher]
) -> None:
    release.deploy("1", replicas=3).check()
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME}
    path = resource_path("horizontalpodautoscalers", release.namespace)
    spec = {"scaleTargetRef": target, "minReplicas": 3, "maxReplicas": 6}
    release.kube.create(path, {"metadata": {"name": NAME}, "spec": spec})
    release.deploy("2", replicas=3).check()
    seen = watcher(ACTIVE)
    release.run("eject").check()
    found = release.kube.get(f"{path}/{NAME}")
    assert found["spec"]["scaleTargetRef"] == target
    assert_plain(release, plain_of(release).pods())
    seen.assert_never_below(ACTIVE, 3)
