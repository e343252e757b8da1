# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A rolling restart of the active revision."""

from __future__ import annotations

import typing as t

from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
    resource_path,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.release import (
    ACTIVE,
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


def pods_of(release: Release, number: int) -> set[str]:
    """The uids of the pods of a revision that are not on their way out."""
    label = f"{REVISION_LABEL}={release.hash_of(number)}"
    found = release.kube.list(resource_path("pods", release.namespace), label)
    return {
        p["metadata"]["uid"] for p in found if "deletionTimestamp" not in p["metadata"]
    }


def test_every_pod_is_replaced_and_no_endpoint_is_missed(
    release: Release, watcher: t.Callable[..., Watcher], path: Path
) -> None:
    """Invariant 1."""
    release.path = path
    release.deploy("1", replicas=3, steering={"ready_after": "1s"}).check()
    before, seen = pods_of(release, 1), watcher(ACTIVE)
    run = release.run("restart").check()
    assert rollout_of(run)["phase"] == "Healthy"
    after = pods_of(release, 1)
    assert len(after) == 3
    assert not after & before
    seen.assert_never_below(ACTIVE, 3)
    assert "was restarted" in release.details()["timeline"][-1][1]
    # It is the same revision: its manifest has nothing to release.
    again = release.deploy("1", replicas=3, steering={"ready_after": "1s"}).check()
    assert not again.changed
    release.run("restart").check()
    assert not pods_of(release, 1) & after


def test_a_restart_that_was_killed_goes_on(
    release: Release, watcher: t.Callable[..., Watcher]
) -> None:
    """Invariant 5: it does not begin anew with the pods that are new already."""
    release.deploy("1", replicas=4, steering={"ready_after": "2s"}).check()
    before, seen = pods_of(release, 1), watcher(ACTIVE)
    handle = release.start("restart")
    eventually(lambda: pods_of(release, 1) - before, 60, "a new pod")
    handle.kill_tree()
    first = pods_of(release, 1) - before
    release.run("restart").check()
    assert first <= pods_of(release, 1)
    assert not pods_of(release, 1) & before
    seen.assert_never_below(ACTIVE, 4)


def test_a_release_in_flight_is_not_restarted(release: Release) -> None:
    release.deploy("1").check()
    release.deploy("2", auto_promotion_enabled=False).check()
    refused = message(release.run("restart"))
    assert "is in flight; a restart needs a rollout at rest" in refused


def test_check_mode_restarts_nothing(release: Release) -> None:
    release.deploy("1").check()
    before = pods_of(release, 1)
    run = release.run("restart", args=["--check"]).check()
    assert rollout_of(run)["steps"][0].startswith("restart the 2 pods of revision 1")
    assert pods_of(release, 1) == before
