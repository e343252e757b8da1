# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PodDisruptionBudgets and NetworkPolicies beside two revisions."""

from __future__ import annotations

import typing as t

from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
    ApiError,
    Object,
    resource_path,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.release import (
    ACTIVE,
    NAME,
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
)
from ansible_collections.cutover.bluegreen.tests.integration.support.wire import Wire

LONG = 600
ROLLOUT_LABEL = "cutover.bluegreen/rollout"
KEPT: dict[str, t.Any] = {"scale_down_delay_seconds": LONG, "wait": "detach"}


def budget_path(release: Release, name: str | None = None) -> str:
    return resource_path("poddisruptionbudgets", release.namespace, name)


def budgets(release: Release) -> dict[str, Object]:
    """The spec of each PodDisruptionBudget, by name."""
    found = release.kube.list(budget_path(release))
    return {
        b["metadata"]["name"]: b["spec"]
        for b in found
        if "deletionTimestamp" not in b["metadata"]
    }


def budget_of(release: Release, number: int, **asked: t.Any) -> dict[str, Object]:
    """The one that a revision is to have."""
    found = release.revisions()[number]
    labels = {
        ROLLOUT_LABEL: NAME,
        REVISION_LABEL: found["metadata"]["labels"][REVISION_LABEL],
    }
    name = found["metadata"]["name"]
    return {name: {**asked, "selector": {"matchLabels": labels}}}


def create_budget(release: Release, selector: Object) -> None:
    body = {
        "metadata": {"name": "mine"},
        "spec": {"minAvailable": 2, "selector": selector},
    }
    release.kube.create(budget_path(release), body)


def counted(release: Release, name: str) -> int:
    """Return how many healthy pods a budget counts."""
    status = release.kube.get(budget_path(release, name)).get("status") or {}
    return t.cast(int, status.get("currentHealthy", 0))


def evict_all_of(release: Release, number: int) -> int:
    """Ask for the eviction of each pod of a revision; return how many were let go."""
    label = f"{REVISION_LABEL}={release.hash_of(number)}"
    path = resource_path("pods", release.namespace)
    evicted = 0
    for pod in release.kube.list(path, label):
        name = pod["metadata"]["name"]
        eviction = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": release.namespace},
        }
        try:
            release.kube.create(f"{path}/{name}/eviction", eviction)
            evicted += 1
        except ApiError as error:
            assert error.code == 429, error
    return evicted


def test_each_revision_with_pods_has_one_of_its_own(
    release: Release, wire: t.Callable[..., Wire], path: Path
) -> None:
    release.path = path
    asked = {"pdb": {"minAvailable": 4}}
    options = {"replicas": 4, **asked, **KEPT}
    release.deploy("1", **options).check()
    first = budget_of(release, 1, minAvailable=4)
    assert budgets(release) == first

    manual = {"auto_promotion_enabled": False, **options}
    release.deploy("2", **manual).check()
    second = budget_of(release, 2, minAvailable=4)
    assert budgets(release) == {**first, **second}
    # A drain counts the pods of each revision apart: eight pods, and none to spare.
    (mine,) = first
    eventually(lambda: counted(release, mine) == 4, 30, "the pods to be counted")
    assert evict_all_of(release, 1) == 0

    release.run("promote", wait="detach").check()
    assert budgets(release) == {**first, **second}
    sent = wire()
    assert not release.deploy("2", **manual).check().changed
    assert sent.writes == []
    # The next release leaves the old ones no delay.
    release.deploy("3", replicas=4, scale_down_delay_revision_limit=0, **asked).check()
    third = budget_of(release, 3, minAvailable=4)
    assert release.sizes() == {1: 0, 2: 0, 3: 4}
    assert budgets(release) == third


def test_it_is_put_right_and_goes_when_it_is_not_asked_for(release: Release) -> None:
    release.deploy("1", pdb="maxUnavailable: 1").check()
    name = release.revisions()[1]["metadata"]["name"]
    assert budgets(release) == budget_of(release, 1, maxUnavailable=1)
    release.kube.patch(budget_path(release, name), {"spec": {"maxUnavailable": 2}})
    release.deploy("1", pdb={"maxUnavailable": 1}).check()
    assert budgets(release) == budget_of(release, 1, maxUnavailable=1)
    release.deploy("1", pdb={"minAvailable": 1}).check()
    assert budgets(release) == budget_of(release, 1, minAvailable=1)
    release.deploy("1").check()
    assert budgets(release) == {}


def test_an_aborted_revision_loses_its_own(release: Release) -> None:
    asked = {"pdb": {"maxUnavailable": 1}}
    release.deploy("1", **asked).check()
    release.deploy("2", auto_promotion_enabled=False, **asked).check()
    assert len(budgets(release)) == 2
    release.run("abort").check()
    assert release.sizes() == {1: 2, 2: 0}
    assert budgets(release) == budget_of(release, 1, maxUnavailable=1)
    release.run("eject").check()
    assert budgets(release) == {}


def test_one_over_both_revisions_is_warned_of_once_a_release(release: Release) -> None:
    release.deploy("1").check()
    create_budget(release, {"matchLabels": {"app": NAME}})
    said = "PodDisruptionBudget mine counts the pods of both revisions as one"
    manual = {"auto_promotion_enabled": False}
    assert said in release.deploy("2", **manual).check().stderr
    assert said not in release.deploy("2", **manual).check().stderr


def test_a_second_one_over_the_same_pods_is_refused_by_name(
    release: Release, wire: t.Callable[..., Wire]
) -> None:
    release.deploy("1").check()
    create_budget(release, {})
    sent = wire()
    found = message(release.deploy("2", pdb={"maxUnavailable": 1}))
    assert found.startswith("bluegreen_pdb: PodDisruptionBudget mine selects the pods")
    assert sent.writes == []


def test_check_mode_plans_it(release: Release, wire: t.Callable[..., Wire]) -> None:
    sent = wire()
    run = release.deploy("1", pdb={"maxUnavailable": 1}, args=["--check"]).check()
    assert any("keep a PodDisruptionBudget for revision 1" in s for s in steps_of(run))
    assert sent.writes == []


def create_policy(release: Release, name: str, spec: Object) -> None:
    path = f"/apis/networking.k8s.io/v1/namespaces/{release.namespace}/networkpolicies"
    release.kube.create(path, {"metadata": {"name": name}, "spec": spec})


def test_policies_that_leave_the_new_revision_out_are_warned_of(
    release: Release,
) -> None:
    """One pins the revision, one lets it through, one holds for both."""
    release.deploy("1").check()
    pinned = {"matchLabels": {REVISION_LABEL: release.hash_of(1)}}
    own = {"matchLabels": {"app": NAME}}
    create_policy(release, "pinned", {"podSelector": pinned})
    create_policy(
        release,
        "peer",
        {"podSelector": {}, "ingress": [{"from": [{"podSelector": pinned}]}]},
    )
    create_policy(
        release,
        "both",
        {"podSelector": own, "ingress": [{"from": [{"podSelector": own}]}]},
    )
    said = release.deploy("2").check().stderr
    assert "NetworkPolicy pinned holds for the pods of the active revision" in said
    assert "NetworkPolicy peer lets the pods of the active revision through" in said
    assert "NetworkPolicy both" not in said
    assert release.directed_to(ACTIVE) == 2
