# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Revisions made from a Deployment that the user keeps as their template."""

from __future__ import annotations

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
from ansible_collections.cutover.bluegreen.tests.integration.support.release import (
    ACTIVE,
    NAME,
    PREVIEW,
    Path,
    Release,
    message,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.waiting import (
    eventually,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.watcher import (
    Watcher,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.wire import Wire

REFERRED = {
    "definition": None,
    "active_service": ACTIVE,
    "preview_service": PREVIEW,
    "workload_ref": {"name": NAME, "scale_down": "on_success"},
}


@pytest.fixture
def folder(namespace: str) -> str:
    return resource_path("deployments", namespace)


@pytest.fixture
def workload(kube: Kube, namespace: str, folder: str) -> t.Callable[[], Object]:
    """A plain Deployment behind a plain Service, with users."""
    services = resource_path("services", namespace)
    kube.create(services, service(ACTIVE))
    kube.create(services, service(PREVIEW, selector={"app": NAME}))
    kube.create(folder, deployment(NAME, replicas=2))

    def read() -> Object:
        return kube.get(f"{folder}/{NAME}")

    eventually(
        lambda: (read().get("status") or {}).get("availableReplicas") == 2,
        60,
        "the plain Deployment",
    )
    return read


def new_version(kube: Kube, folder: str, version: str) -> None:
    template = deployment(NAME, version=version)["spec"]["template"]
    kube.patch(f"{folder}/{NAME}", {"spec": {"template": template}})


def test_users_move_to_revisions_and_it_gives_up_its_pods(
    release: Release,
    workload: t.Callable[[], Object],
    watcher: t.Callable[..., Watcher],
    wire: t.Callable[..., Wire],
    kube: Kube,
    folder: str,
    path: Path,
) -> None:
    """Its planned size is kept all the while: a second run changes nothing."""
    release.path = path
    seen = watcher(ACTIVE)
    release.deploy(**REFERRED, scale_down_delay_seconds=1).check()
    assert release.directed_to(ACTIVE) == 1
    assert release.sizes() == {1: 2}
    assert workload()["spec"]["replicas"] == 0
    requests = wire()
    assert not release.deploy(**REFERRED, scale_down_delay_seconds=1).check().changed
    assert not requests.writes

    new_version(kube, folder, "2")
    release.deploy(**REFERRED, scale_down_delay_seconds=1).check()
    assert release.directed_to(ACTIVE) == 2
    assert release.sizes() == {1: 0, 2: 2}
    seen.assert_never_below(ACTIVE, 2)
    release.run("rollback").check()
    assert release.directed_to(ACTIVE) == 3
    assert "exists beside the rollout" in message(release.run("eject"))


def test_it_keeps_its_pods_unless_asked(
    release: Release, workload: t.Callable[[], Object]
) -> None:
    release.deploy(**{**REFERRED, "workload_ref": NAME}).check()
    assert release.directed_to(ACTIVE) == 1
    assert workload()["spec"]["replicas"] == 2
    assert not release.deploy(**{**REFERRED, "workload_ref": NAME}).check().changed


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("gone", "Deployment gone does not exist"),
        ({"name": NAME, "scale_down": "progressively"}, "give on_success"),
        ({"name": NAME, "scaleDown": "never"}, "scaleDown is not known"),
    ],
)
def test_what_cannot_be_referred_to(
    release: Release, workload: t.Callable[[], Object], reference: t.Any, said: str
) -> None:
    assert said in message(release.deploy(**{**REFERRED, "workload_ref": reference}))
    assert not release.revisions()


def test_one_that_is_paused_or_one_of_the_revisions_is_refused(
    release: Release, workload: t.Callable[[], Object], kube: Kube, folder: str
) -> None:
    kube.patch(f"{folder}/{NAME}", {"spec": {"paused": True}})
    assert "is paused" in message(release.deploy(**REFERRED))
    assert not release.revisions()
    kube.patch(f"{folder}/{NAME}", {"spec": {"paused": False}})
    release.deploy(**REFERRED, scale_down_delay_seconds=0).check()
    own = release.revisions()[1]["metadata"]["name"]
    said = message(release.deploy(**{**REFERRED, "workload_ref": own}))
    assert "is a revision of the rollout" in said
    both = {**REFERRED, "definition": deployment(NAME)}
    assert "give one of them" in message(release.deploy(**both))
