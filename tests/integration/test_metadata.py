# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Labels and annotations that pods carry for the time of their revision's role."""

from __future__ import annotations

import pathlib
import typing as t

from ansible_collections.cutover.bluegreen.tests.integration.support.fault_proxy import (  # noqa: E501 - a module's name
    Arrival,
    Fault,
    FaultProxy,
)
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


class At:
    """The fault befalls the n-th request of a kind, where 1 is the first."""

    def __init__(self, kind: str, number: int) -> None:
        self._kind, self._left = kind, number

    def __call__(self, arrival: Arrival) -> Fault | None:
        self._left -= arrival.kind == self._kind
        hit = arrival.kind == self._kind and self._left == 0
        return Fault.KILL_AFTER if hit else None


def test_killed_in_the_middle_the_next_run_ends_it(
    release: Release,
    watcher: t.Callable[..., Watcher],
    account_kubeconfig: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    """Invariant 5: nothing stays paused, and no pod is restarted."""
    kept: dict[str, t.Any] = {"scale_down_delay_seconds": -1}
    deploy(release, "1").check()
    pods, seen = {1: uids(release, 1)}, watcher(ACTIVE)
    with FaultProxy(account_kubeconfig, tmp_path) as proxy:
        # The third release first ends what the second one has left.
        for version, kind, nth in (
            ("2", "patch replicasets", 1),
            ("3", "patch replicasets", 2),
        ):
            line = proxy.line(At(kind, nth))
            inputs = {"definition": manifest(version), **METADATA, **kept}
            handle = release.start_deploy(version, env=line.environment, **inputs)
            line.leads(handle)
            handle.wait()
            line.await_kill()
            assert any(d["spec"].get("paused") for d in release.revisions().values())
            pods[int(version)] = uids(release, int(version))
    release.run("resume").check()
    assert is_active(release, 3)
    assert is_bare(release, 2)
    assert is_bare(release, 1)
    assert_goes_on(release)
    assert pods == {number: uids(release, number) for number in pods}
    seen.assert_never_below(ACTIVE, 2)


def test_labels_by_which_anything_finds_the_pods_are_refused(release: Release) -> None:
    """What selects them would lose them, or have them before their promotion."""
    service_of_own = service(ACTIVE, selector={"app": NAME, TEAM: OWN})
    refused = message(deploy(release, "1", active_service=service_of_own))
    assert f"active_metadata.labels: Service {ACTIVE} selects its pods" in refused
    assert release.revisions() == {}
    deploy(release, "1").check()
    body = service("elsewhere", selector={"app": NAME, ROLE: "preview"})
    release.kube.create(resource_path("services", release.namespace), body)
    refused = message(deploy(release, "2"))
    assert "Service elsewhere would send its users to the new revision" in refused
    assert list(release.revisions()) == [1]


def test_at_rest_it_follows_the_options_and_an_ejection_takes_it(
    release: Release,
) -> None:
    """An adopted Deployment gets it as any other, and check mode plans it."""
    plain = resource_path("deployments", release.namespace)
    release.kube.create(plain, manifest("1"))
    release.kube.create(resource_path("services", release.namespace), service(ACTIVE))

    def settled() -> bool:
        found = release.kube.get(f"{plain}/{NAME}").get("status", {})
        return bool(found.get("availableReplicas") == 2 == found.get("replicas"))

    eventually(settled, 60, "the plain Deployment")
    deploy(release, "1", active_service=ACTIVE).check()
    assert is_active(release, 1)
    pods = uids(release, 1)
    other: dict[str, t.Any] = {
        "active_service": ACTIVE,
        "active_metadata": {"labels": {ROLE: "serves"}},
    }
    planned = deploy(release, "1", args=["--check"], **other).check()
    assert any("change labels, annotations" in step for step in steps_of(planned))
    assert is_active(release, 1)
    deploy(release, "1", **other).check()
    assert set(metadata_of(release, 1)) == {("serves", OWN, "")}
    release.run("eject").check()
    found = release.kube.get(f"{plain}/{NAME}")
    labels = found["spec"]["template"]["metadata"]["labels"]
    assert (labels[TEAM], ROLE in labels) == (OWN, False)
    assert OVERLAY not in found["metadata"]["annotations"]
    every = release.kube.list(resource_path("pods", release.namespace))
    assert {p["metadata"]["uid"] for p in every} == pods
    assert not any(ROLE in p["metadata"]["labels"] for p in every)
