# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run that is killed, and the run after it."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
    Kube,
    resource_path,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.playbook import (
    Handle,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.release import (
    ACTIVE,
    PREVIEW,
    Path,
    Release,
    message,
    rollout_of,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.waiting import (
    eventually,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.watcher import (
    REVISION_LABEL,
    Watcher,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.wire import Wire

# Longer than any test: what ends such a countdown is a decision.
LONG = 600

OPTIONS: dict[str, t.Any] = {
    "steering": {"ready_after": "1s"},
    "scale_up_steps": [1, 2],
    "auto_promotion_seconds": 1,
}


def created(release: Release) -> bool:
    return 2 in release.sizes()


def scaling(release: Release) -> bool:
    return release.sizes().get(2) == 2


def counting_down(release: Release) -> bool:
    return release.phase() == "Paused"


def cut_over(release: Release) -> bool:
    return release.directed_to(ACTIVE) == 2


@pytest.mark.parametrize("point", [created, scaling, counting_down, cut_over])
def test_killed_and_run_again(
    release: Release,
    watcher: t.Callable[..., Watcher],
    point: t.Callable[[Release], bool],
) -> None:
    """Invariants 1 and 5: it converges, and users go over once."""
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    handle = release.start_deploy("2", **OPTIONS)
    eventually(lambda: point(release), 60, point.__name__)
    handle.kill_tree()
    run = release.deploy("2", **OPTIONS).check()
    assert rollout_of(run)["phase"] == "Healthy"
    assert release.sizes() == {1: 0, 2: 2}
    assert release.directed_to(ACTIVE) == release.directed_to(PREVIEW) == 2
    assert seen.revisions_seen(ACTIVE) == [release.hash_of(1), release.hash_of(2)]
    seen.assert_never_below(ACTIVE, 2)
    seen.assert_never_mixed(ACTIVE)
    services = release.kube.list(resource_path("services", release.namespace))
    assert {s["metadata"]["name"] for s in services} == {ACTIVE, PREVIEW}
    assert release.deploy("2", **OPTIONS).check().changed is False


def test_resume_needs_only_the_name(
    release: Release, watcher: t.Callable[..., Watcher], path: Path
) -> None:
    """Invariant 5: what the release asked for stands in the cluster."""
    release.path = path
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    handle = release.start_deploy("2", **OPTIONS)
    eventually(lambda: created(release), 60, "V2")
    handle.kill_tree()
    run = release.run("resume").check()
    assert rollout_of(run)["active"]["revision"] == 2
    assert release.sizes() == {1: 0, 2: 2}
    seen.assert_never_below(ACTIVE, 2)
    seen.assert_never_mixed(ACTIVE)


def test_a_countdown_goes_on_with_what_is_left(release: Release) -> None:
    """Invariant 6: a re-run neither starts it again nor skips it."""
    release.deploy("1").check()
    handle = release.start_deploy("2", auto_promotion_seconds=LONG)
    release.pauses(handle)
    handle.kill_tree()
    ends = release.record()["next-at"]
    run = release.deploy("2", auto_promotion_seconds=LONG, wait="detach").check()
    assert rollout_of(run)["phase"] == "Paused"
    assert release.record()["next-at"] == ends
    assert release.directed_to(ACTIVE) == 1


def test_the_group_is_killed_and_nothing_writes_on(
    release: Release, wire: t.Callable[..., Wire]
) -> None:
    """Invariant 5: a driver does not outlive its ansible-playbook."""
    release.deploy("1").check()
    handle = release.start_deploy("2", auto_promotion_seconds=LONG)
    release.pauses(handle)
    eventually(lambda: waits(handle), 60, "the wait")
    handle.kill_group()
    eventually(lambda: not handle.processes(), 10, "the end of its processes")
    sent = wire()
    assert release.run("status").check().changed is False
    assert sent.writes == []
    run = release.run("promote").check()
    assert rollout_of(run)["phase"] == "Healthy"
    assert release.directed_to(ACTIVE) == 2
    assert release.events().count("SwitchService") == 1


def waits(handle: Handle) -> bool:
    return "is paused before promotion" in handle.stdout


def test_what_is_due_is_scaled_down_by_the_next_run(release: Release) -> None:
    """Invariant 5: no handler ran after the kill."""
    release.deploy("1").check()
    handle = release.start_deploy("2", scale_down_delay_seconds=1)
    eventually(lambda: release.record().get("stage") == "verified", 60, "verified")
    handle.kill_tree()
    assert release.sizes() == {1: 2, 2: 2}
    release.run("resume").check()
    assert release.sizes() == {1: 0, 2: 2}


def test_an_aborted_release_that_was_killed_is_aborted_to_the_end(
    release: Release, kube: Kube
) -> None:
    """Invariant 5: the mark alone is enough for the next run."""
    release.deploy("1").check()
    release.deploy("2", auto_promotion_enabled=False).check()
    path = release.revisions()[2]["metadata"]["name"]
    mark = {"metadata": {"annotations": {"cutover.bluegreen/aborted": "now"}}}
    kube.patch(resource_path("deployments", release.namespace, path), mark)
    release.run("abort").check()
    assert release.directed_to(PREVIEW) == 1
    assert release.sizes() == {1: 2, 2: 0}
    assert release.phase() == "Degraded"


def test_a_label_stripped_during_the_update_is_closed_first(
    release: Release, kube: Kube
) -> None:
    """Invariants 1 and 6: before anything else, the users are back with V1 alone."""
    release.deploy("1").check()
    handle = release.start_deploy("2", auto_promotion_seconds=LONG)
    release.pauses(handle)
    handle.kill_tree()
    path = resource_path("services", release.namespace, ACTIVE)
    kube.patch(path, {"spec": {"selector": {REVISION_LABEL: None}}})
    run = release.deploy("3").check()
    started = run.of("bluegreen_rollout")[0].result["rollout"]["steps"]
    assert "its selector was changed by somebody else" in started[0], started
    assert release.directed_to(ACTIVE) == 3


def test_a_name_that_was_never_released_is_refused(release: Release) -> None:
    release.deploy("1").check()
    run = release.run("promote", name="other")
    assert run.rc == 2
    assert "there is no rollout other" in message(run)
