# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Labels and annotations that pods carry for the time of their revision's role."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
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
    rollout_of,
    steps_of,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.watcher import (
    REVISION_LABEL,
    Watcher,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.wire import Wire

ROLE = "example.com/role"
TEAM = "team"
OWN = "web-team"
OVERLAY = "cutover.bluegreen/overlay"
METADATA: dict[str, t.Any] = {
    "active_metadata": {
        "labels": {ROLE: "active", TEAM: "on-call"},
        "annotations": {"example.com/tier": "1"},
    },
    "preview_metadata": {"labels": {ROLE: "preview"}},
}


def manifest(version: str) -> Object:
    """A pod template that has a label of the active metadata, too."""
    made = deployment(NAME, version=version, replicas=2)
    made["spec"]["template"]["metadata"]["labels"][TEAM] = OWN
    return made


def deploy(release: Release, version: str, **options: t.Any) -> t.Any:
    return release.deploy(
        version, definition=manifest(version), **{**METADATA, **options}
    )


def pods_of(release: Release, number: int) -> list[Object]:
    label = f"{REVISION_LABEL}={release.hash_of(number)}"
    found = release.kube.list(resource_path("pods", release.namespace), label)
    return [p for p in found if "deletionTimestamp" not in p["metadata"]]


def uids(release: Release, number: int) -> set[str]:
    return {p["metadata"]["uid"] for p in pods_of(release, number)}


def metadata_of(release: Release, number: int) -> list[tuple[str, str, str]]:
    """What each pod, and each template that makes pods, has of the metadata."""
    label = f"{REVISION_LABEL}={release.hash_of(number)}"
    sets = release.kube.list(resource_path("replicasets", release.namespace), label)
    ours = release.revisions()[number]
    templates = [item["spec"]["template"] for item in (ours, *sets)]
    assert len(sets) == 1, "another ReplicaSet was made"
    found = []
    for item in (*templates, *pods_of(release, number)):
        labels = item["metadata"]["labels"]
        annotations = item["metadata"].get("annotations") or {}
        tier = annotations.get("example.com/tier", "")
        found.append((labels.get(ROLE, ""), labels.get(TEAM, ""), tier))
    return found


def is_active(release: Release, number: int) -> bool:
    return set(metadata_of(release, number)) == {("active", "on-call", "1")}


def is_previewed(release: Release, number: int) -> bool:
    return set(metadata_of(release, number)) == {("preview", OWN, "")}


def is_bare(release: Release, number: int) -> bool:
    return set(metadata_of(release, number)) == {("", OWN, "")}


def assert_goes_on(release: Release) -> None:
    """No Deployment is paused, and no change of one is under way."""
    for found in release.revisions().values():
        assert not found["spec"].get("paused"), found
        kept = found["metadata"]["annotations"].get(OVERLAY, "")
        assert '"changing":true' not in kept


def test_pods_carry_the_metadata_of_their_revisions_role(
    release: Release, watcher: t.Callable[..., Watcher], wire: t.Callable[..., Wire]
) -> None:
    """From preview to promotion, and no pod is restarted."""
    deploy(release, "1").check()
    assert is_active(release, 1)
    first, seen = uids(release, 1), watcher(ACTIVE)
    deploy(
        release, "2", auto_promotion_enabled=False, scale_down_delay_seconds=-1
    ).check()
    assert is_previewed(release, 2)
    assert is_active(release, 1)
    second = uids(release, 2)
    release.run("promote").check()
    assert is_active(release, 2)
    assert is_bare(release, 1)
    assert (uids(release, 1), uids(release, 2)) == (first, second)
    assert_goes_on(release)
    seen.assert_never_below(ACTIVE, 2)
    requests = wire()
    again = deploy(
        release, "2", auto_promotion_enabled=False, scale_down_delay_seconds=-1
    )
    assert not again.check().changed
    assert not [r for r in requests.requests if r.write]


def test_an_abort_takes_it_from_the_new_revision_only(release: Release) -> None:
    """Also when the release asked to be measured, and was promoted before."""
    options: dict[str, t.Any] = {"abort_scale_down_delay_seconds": -1}
    deploy(release, "1").check()
    first = uids(release, 1)
    deploy(release, "2", auto_promotion_enabled=False, **options).check()
    second = uids(release, 2)
    release.run("abort")
    assert is_bare(release, 2)
    assert is_active(release, 1)
    assert (uids(release, 1), uids(release, 2)) == (first, second)
    # Revived, it is previewed again, with the pods that it has.
    deploy(release, "2", auto_promotion_enabled=False, **options).check()
    assert is_previewed(release, 3)
    assert uids(release, 3) == second
    assert_goes_on(release)
