# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""New pods that keep off the nodes of the stable revision's."""

from __future__ import annotations

import typing as t

from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
    Object,
    resource_path,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.manifests import (
    deployment,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.release import (
    ACTIVE,
    NAME,
    PREVIEW,
    Release,
    message,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.watcher import (
    REVISION_LABEL,
    Watcher,
)

HOSTNAME = "kubernetes.io/hostname"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
OF_ITS_OWN = {
    "labelSelector": {"matchLabels": {"app": "cache"}},
    "topologyKey": HOSTNAME,
}


def manifest(version: str, affinity: Object, **more: t.Any) -> Object:
    made = deployment(NAME, version=version, replicas=2)
    made["spec"]["template"]["spec"].update(affinity=affinity, **more)
    return made


def pods_of(release: Release, number: int) -> dict[str, str]:
    """The node of each pod, by its uid."""
    label = f"{REVISION_LABEL}={release.hash_of(number)}"
    found = release.kube.list(resource_path("pods", release.namespace), label)
    return {p["metadata"]["uid"]: p["spec"].get("nodeName", "") for p in found}


def affinities(release: Release, number: int) -> list[Object]:
    """Of each template that makes a revision's pods."""
    label = f"{REVISION_LABEL}={release.hash_of(number)}"
    sets = release.kube.list(resource_path("replicasets", release.namespace), label)
    assert len(sets) == 1, "another ReplicaSet was made"
    ours = release.revisions()[number]
    return [i["spec"]["template"]["spec"].get("affinity") for i in (ours, *sets)]


def term(release: Release, number: int) -> Object:
    labels = {
        "cutover.bluegreen/rollout": NAME,
        REVISION_LABEL: release.hash_of(number),
    }
    return {"labelSelector": {"matchLabels": labels}, "topologyKey": HOSTNAME}


def test_until_its_promotion_a_revision_keeps_off_the_stable_ones_nodes(
    release: Release, watcher: t.Callable[..., Watcher]
) -> None:
    """Beside what its manifest asks; then it goes, and no pod is restarted."""
    own: Object = {"podAntiAffinity": {REQUIRED: [OF_ITS_OWN]}}
    asked: dict[str, t.Any] = {
        "anti_affinity": {"required": {}},
        "scale_down_delay_seconds": -1,
    }
    release.deploy("1", definition=manifest("1", own), **asked).check()
    assert affinities(release, 1) == [own, own]
    seen = watcher(ACTIVE)
    second: dict[str, t.Any] = {"definition": manifest("2", own), **asked}
    release.deploy("2", auto_promotion_enabled=False, **second).check()
    both: Object = {"podAntiAffinity": {REQUIRED: [OF_ITS_OWN, term(release, 1)]}}
    assert affinities(release, 2) == [both, both]
    before = pods_of(release, 1), pods_of(release, 2)
    assert not set(before[0].values()) & set(before[1].values())
    release.run("promote").check()
    assert affinities(release, 2) == [own, own]
    assert (pods_of(release, 1), pods_of(release, 2)) == before
    assert not release.revisions()[2]["spec"].get("paused")
    seen.assert_never_below(ACTIVE, 2)
    again = release.deploy("2", auto_promotion_enabled=False, **second)
    assert not again.check().changed


def test_what_finds_no_node_is_said_and_aborted_and_may_be_tried_again(
    release: Release, watcher: t.Callable[..., Watcher]
) -> None:
    """The scheduler says that there is an anti-affinity, we say against whom."""
    nodes = release.kube.list(resource_path("nodes"))
    node = nodes[0]["metadata"]["labels"][HOSTNAME]
    only = {"matchExpressions": [{"key": HOSTNAME, "operator": "In", "values": [node]}]}
    own: Object = {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [only]}}}
    release.deploy("1", definition=manifest("1", own)).check()
    seen = watcher(ACTIVE, PREVIEW)
    pinned = manifest("2", own, nodeSelector={HOSTNAME: node})
    refused = message(
        release.deploy("2", definition=pinned, anti_affinity={"required": {}})
    )
    assert "anti_affinity: required keeps the new revision off the nodes" in refused
    assert list(release.revisions()) == [1]
    # What the nodes are chosen by may be more than can be foreseen.
    second: dict[str, t.Any] = {
        "definition": manifest("2", own),
        "progress_deadline_seconds": 2,
        "progress_deadline_abort": True,
        "abort_scale_down_delay_seconds": -1,
    }
    failed = message(release.deploy("2", anti_affinity={REQUIRED: {}}, **second))
    stable = release.revisions()[1]["metadata"]["name"]
    assert "didn't match pod anti-affinity rules" in failed
    assert f"anti_affinity: required keeps them off the nodes of {stable}" in failed
    assert release.aborted(2)
    assert affinities(release, 2) == [own, own]
    seen.assert_never_below(ACTIVE, 2)
    preferred: dict[str, t.Any] = {"preferred": {"weight": "7"}}
    release.deploy("2", anti_affinity=preferred, auto_promotion_enabled=False, **second)
    weighted = {"weight": 7, "podAffinityTerm": term(release, 1)}
    assert affinities(release, 3)[0]["podAntiAffinity"] == {PREFERRED: [weighted]}
