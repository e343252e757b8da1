# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gate before the promotion: what opens it, and what must not."""

from __future__ import annotations

import typing as t
from datetime import datetime, timedelta

import pytest

from ansible_collections.cutover.bluegreen.tests.integration.support.kube import Kube
from ansible_collections.cutover.bluegreen.tests.integration.support.release import (
    ACTIVE,
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

# Longer than any test: what ends such a countdown is a decision.
LONG = 600


def instant(text: str) -> datetime:
    """Read an RFC 3339 instant in UTC."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def directed_to_v1(release: Release) -> None:
    assert release.directed_to(ACTIVE) == 1
    assert release.directed_to(PREVIEW) == 2
    assert release.phase() == "Paused"


def test_a_countdown_promotes_by_itself(
    release: Release, watcher: t.Callable[..., Watcher]
) -> None:
    """Invariant 1, and a deadline in the record that was written before the wait."""
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    handle = release.start_deploy("2", auto_promotion_seconds=2)
    release.pauses(handle)
    record = release.record()
    assert record["stage"] == "paused"
    ends = instant(record["next-at"])
    run = handle.wait().check()
    assert rollout_of(run)["active"]["revision"] == 2
    said = release.details()["timeline"]
    (cut,) = [instant(at) for at, text in said if text.startswith("cut over")]
    assert cut >= ends
    seen.assert_never_below(ACTIVE, 2)
    seen.assert_never_mixed(ACTIVE)


def test_without_a_countdown_it_waits_for_a_decision(
    release: Release, watcher: t.Callable[..., Watcher], path: Path
) -> None:
    release.path = path
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    run = release.deploy("2", auto_promotion_enabled=False).check()
    assert rollout_of(run)["phase"] == "Paused"
    assert rollout_of(run)["next_at"] is None
    directed_to_v1(release)
    assert release.record()["next-at"] == ""
    assert release.holder() == ""
    assert seen.revisions_seen(ACTIVE) == [release.hash_of(1)]

    run = release.run("promote").check()
    assert rollout_of(run)["phase"] == "Healthy"
    assert release.directed_to(ACTIVE) == 2
    assert release.sizes() == {1: 0, 2: 2}
    seen.assert_never_below(ACTIVE, 2)
    seen.assert_never_mixed(ACTIVE)


def test_a_run_at_a_shut_gate_writes_nothing(
    release: Release, wire: t.Callable[..., Wire]
) -> None:
    """Invariants 4 and 6: deploy and resume leave a shut gate as it is."""
    release.deploy("1").check()
    release.deploy("2", auto_promotion_enabled=False).check()
    sent = wire()
    assert not release.deploy("2", auto_promotion_enabled=False).check().changed
    assert not release.run("resume").check().changed
    assert sent.writes == []
    directed_to_v1(release)


def test_modules_called_by_themselves_keep_the_gate_shut(
    release: Release, path: Path
) -> None:
    """Invariant 6: `bluegreen_promote` without `approve` is no approval."""
    release.path = path
    release.deploy("1").check()
    release.deploy("2", auto_promotion_enabled=False).check()
    run = release.play(
        {"bluegreen_analysis": {}}, {"bluegreen_pause": {}}, {"bluegreen_promote": {}}
    ).check()
    assert not run.changed
    assert rollout_of(run)["phase"] == "Paused"
    directed_to_v1(release)


def test_a_module_does_not_promote_during_the_countdown(release: Release) -> None:
    """Invariant 6, and the countdown goes on with what is left of it."""
    release.deploy("1").check()
    run = release.deploy("2", auto_promotion_seconds=LONG, wait="detach").check()
    assert rollout_of(run)["phase"] == "Paused"
    ends = release.record()["next-at"]
    assert rollout_of(run)["next_at"] == ends
    run = release.play({"bluegreen_promote": {}}).check()
    assert rollout_of(run)["phase"] == "Paused"
    release.run("resume", wait="detach").check()
    directed_to_v1(release)
    assert release.record()["next-at"] == ends


def test_detached_at_each_wait_and_resumed(release: Release) -> None:
    release.deploy("1").check()
    options: dict[str, t.Any] = {
        "wait": "detach",
        "auto_promotion_seconds": 1,
        "scale_down_delay_seconds": 1,
    }
    run = release.deploy("2", **options).check()
    assert rollout_of(run)["phase"] == "Paused"
    directed_to_v1(release)
    assert release.holder() == ""

    # `resume` stays for the waits that are left, unless it is told otherwise.
    run = release.run("resume").check()
    assert rollout_of(run)["phase"] == "Healthy"
    assert release.directed_to(ACTIVE) == 2
    assert release.sizes() == {1: 0, 2: 2}


def test_promote_asks_the_run_that_waits(
    release: Release, watcher: t.Callable[..., Watcher]
) -> None:
    """Invariant 7: the one driver promotes, at once."""
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    handle = release.start_deploy("2", auto_promotion_seconds=LONG)
    release.pauses(handle)
    asked = release.run("promote").check()
    assert any(f"asked process {handle.pid}" in step for step in steps_of(asked))
    run = handle.wait().check()
    assert rollout_of(run)["phase"] == "Healthy"
    assert release.directed_to(ACTIVE) == 2
    seen.assert_never_below(ACTIVE, 2)
    seen.assert_never_mixed(ACTIVE)


def test_abort_asks_the_run_that_waits(
    release: Release, watcher: t.Callable[..., Watcher], path: Path
) -> None:
    """Invariants 3 and 7: that run fails with a sentence; users stay with V1."""
    release.path = path
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    handle = release.start_deploy("2", auto_promotion_seconds=LONG)
    release.pauses(handle)
    release.run("abort").check()
    run = handle.wait()
    assert run.rc == 2
    assert "was aborted by" in message(run)
    assert release.directed_to(ACTIVE) == release.directed_to(PREVIEW) == 1
    assert release.aborted(2)
    assert seen.revisions_seen(ACTIVE) == [release.hash_of(1)]


def test_a_second_driver_fails_at_once_and_names_the_first(release: Release) -> None:
    """Invariant 7."""
    release.deploy("1").check()
    handle = release.start_deploy("2", auto_promotion_seconds=LONG)
    release.pauses(handle)
    run = release.deploy("3")
    assert run.rc == 2
    assert f"is being driven by process {handle.pid}" in message(run)
    assert sorted(release.sizes()) == [1, 2]
    # The first one does not notice.
    assert handle.running
    release.run("promote").check()
    handle.wait().check()
    assert release.directed_to(ACTIVE) == 2


def test_a_lost_record_keeps_the_gate_shut(release: Release, kube: Kube) -> None:
    """Invariant 6: neither by itself nor by a module is V2 promoted."""
    release.deploy("1").check()
    release.deploy("2", auto_promotion_enabled=False).check()
    kube.delete(release.record_path)
    run = release.run("resume")
    assert run.rc == 2
    assert "its record is gone" in message(run)
    assert release.directed_to(ACTIVE) == 1

    run = release.deploy("2", auto_promotion_enabled=False).check()
    assert rollout_of(run)["phase"] == "Paused"
    directed_to_v1(release)
    release.run("promote").check()
    assert release.directed_to(ACTIVE) == 2
    assert release.sizes() == {1: 0, 2: 2}


def test_a_record_lost_during_a_countdown_starts_it_anew(
    release: Release, kube: Kube
) -> None:
    """Invariant 6: a countdown that nobody can prove to be over is not over."""
    release.deploy("1").check()
    options: dict[str, t.Any] = {"auto_promotion_seconds": LONG, "wait": "detach"}
    release.deploy("2", **options).check()
    kube.delete(release.record_path)
    release.deploy("2", **options).check()
    directed_to_v1(release)
    assert release.record()["next-at"]


def test_an_unreadable_deadline_keeps_the_gate_shut(release: Release) -> None:
    """Invariant 6."""
    release.deploy("1").check()
    options: dict[str, t.Any] = {"auto_promotion_seconds": LONG, "wait": "detach"}
    release.deploy("2", **options).check()
    release.edit_details(promote_at="the day before yesterday")
    release.run("resume", wait="detach").check()
    directed_to_v1(release)
    left = instant(release.record()["next-at"]) - datetime.now().astimezone()
    assert left > timedelta(seconds=LONG / 2)


@pytest.mark.parametrize("wanted", ["none", "second"])
def test_a_service_that_somebody_edited_is_directed_back_first(
    release: Release, kube: Kube, wanted: str
) -> None:
    """Invariant 6: what others opened between runs is closed by the next run."""
    release.deploy("1").check()
    release.deploy("2", auto_promotion_enabled=False).check()
    revision = release.hash_of(2) if wanted == "second" else None
    path = f"/api/v1/namespaces/{release.namespace}/services/{ACTIVE}"
    kube.patch(path, {"spec": {"selector": {REVISION_LABEL: revision}}})
    assert release.directed_to(ACTIVE) == (2 if revision else None)
    run = release.run("resume").check()
    assert "changed by somebody else" in steps_of(run)[0]
    directed_to_v1(release)


def test_a_service_that_somebody_edited_at_rest_is_directed_back(
    release: Release, kube: Kube
) -> None:
    """Invariant 6: the same without a release in flight, by each playbook."""
    release.deploy("1").check()
    release.deploy("2", scale_down_delay_seconds=-1).check()
    path = f"/api/v1/namespaces/{release.namespace}/services/{ACTIVE}"
    for playbook in ("resume", "scale_down"):
        kube.patch(path, {"spec": {"selector": {REVISION_LABEL: None}}})
        run = release.run(playbook).check()
        assert "changed by somebody else" in steps_of(run)[0]
        assert release.directed_to(ACTIVE) == 2
    kube.patch(path, {"spec": {"selector": {REVISION_LABEL: None}}})
    run = release.deploy("2", scale_down_delay_seconds=-1).check()
    assert "changed by somebody else" in steps_of(run)[0]
    assert release.directed_to(ACTIVE) == 2
    assert release.sizes() == {1: 2, 2: 2}
