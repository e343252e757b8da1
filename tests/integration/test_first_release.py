# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The first deploy of an application, and the one after it that has nothing to do."""

from __future__ import annotations

import re
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
    Kube,
    resource_path,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.manifests import (
    service,
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


@pytest.mark.lane
def test_services_are_created_from_their_manifests(
    release: Release, path: Path
) -> None:
    release.path = path
    run = release.deploy(replicas=2).check()
    assert run.changed
    assert release.sizes() == {1: 2}
    assert release.directed_to(ACTIVE) == 1
    assert release.directed_to(PREVIEW) == 1
    for name in (ACTIVE, PREVIEW):
        selector = release.service(name)["spec"]["selector"]
        assert selector == {"app": "web", REVISION_LABEL: release.hash_of(1)}
    rollout = rollout_of(run)
    assert rollout["phase"] == "Healthy"
    assert rollout["active"] == rollout["stable"] == rollout["preview"]
    assert rollout["active"] == {"revision": 1, "hash": release.hash_of(1)}


def test_services_are_given_by_name(
    release: Release, kube: Kube, namespace: str
) -> None:
    services = resource_path("services", namespace)
    kube.create(services, service(ACTIVE))
    kube.create(services, service(PREVIEW, selector={"app": "web"}))
    release.deploy(active_service=ACTIVE, preview_service=PREVIEW).check()
    assert release.directed_to(ACTIVE) == 1
    assert release.directed_to(PREVIEW) == 1
    assert release.service()["spec"]["selector"]["app"] == "web"


def test_no_preview_service_is_needed(release: Release) -> None:
    run = release.deploy(preview_service=None).check()
    assert release.directed_to(ACTIVE) == 1
    assert rollout_of(run)["preview"] is None
    assert release.record()["preview"] == ""


def test_several_active_services(release: Release) -> None:
    second = service("web-internal", selector={"app": "web"})
    release.deploy(active_service=[service(ACTIVE), second]).check()
    assert release.directed_to(ACTIVE) == 1
    assert release.directed_to("web-internal") == 1
    release.deploy("2", active_service=[ACTIVE, "web-internal"]).check()
    assert release.directed_to(ACTIVE) == 2
    assert release.directed_to("web-internal") == 2


def test_stable_only_once_ready(
    release: Release, watcher: t.Callable[..., Watcher]
) -> None:
    """Invariant 8: `Healthy` means that endpoints were observed."""
    seen = watcher(ACTIVE)
    handle = release.start_deploy(steering={"ready_after": "1500ms"})
    eventually(lambda: release.sizes() == {1: 2}, 60, "the first revision")
    assert release.record()["stable"] == ""
    assert release.phase() == "Progressing"
    rollout = rollout_of(handle.wait().check())
    assert release.phase() == rollout["phase"] == "Healthy"
    assert rollout["stable"]["revision"] == 1
    assert len(seen.moments(ACTIVE)[-1].ready) == 2


def test_never_ready_is_never_stable(release: Release) -> None:
    run = release.deploy(steering={"ready": "never"}, progress_deadline_seconds=1)
    assert run.rc == 2
    assert "progress deadline of 1 s" in message(run)
    assert release.record()["stable"] == ""
    assert release.phase() == "Degraded"

    # A corrected manifest is released at once, without a way back to wait for.
    release.deploy("2").check()
    assert release.directed_to(ACTIVE) == 2
    assert release.sizes()[2] == 2
    assert release.phase() == "Healthy"


def test_a_pause_does_not_hold_up_the_first_release(release: Release) -> None:
    run = release.deploy(auto_promotion_enabled=False).check()
    assert rollout_of(run)["phase"] == "Healthy"
    assert release.directed_to(ACTIVE) == 1


def test_the_record_can_be_waited_for(release: Release) -> None:
    release.deploy().check()
    record = release.record()
    revision = release.hash_of(1)
    assert record["phase"] == "Healthy"
    assert record["stage"] == "retired"
    assert {record[k] for k in ("active", "stable", "preview")} == {revision}
    assert record["observed-revision"] == revision
    assert record["next-at"] == ""
    assert "revision 1 is stable" in record["message"]
    (history,) = release.details()["history"]
    assert history["outcome"] == "promoted"
    assert all(
        re.fullmatch(r"[\d-]+T[\d:.]+Z", history[key]) for key in ("started", "ended")
    )
    assert "ownerReferences" not in release.kube.get(release.record_path)["metadata"]


def test_events_are_named_as_argo_names_them(release: Release) -> None:
    release.deploy().check()
    assert release.events() == ["RolloutUpdated", "RolloutCompleted"]
    release.deploy("2").check()
    assert release.events()[2:] == [
        "RolloutUpdated",
        "SwitchService",
        "RolloutCompleted",
    ]


@pytest.mark.lane
def test_the_second_run_writes_nothing(
    release: Release, wire: t.Callable[..., Wire], path: Path
) -> None:
    """Invariant 4, after a first release and after an update."""
    release.path = path
    for version in ("1", "2"):
        release.deploy(version).check()
        sent = wire()
        run = release.deploy(version).check()
        assert not run.changed, run
        assert sent.writes == []
        assert rollout_of(run)["phase"] == "Healthy"
        assert release.holder() == ""


def test_the_second_run_writes_nothing_while_an_old_revision_is_kept(
    release: Release, wire: t.Callable[..., Wire]
) -> None:
    """Invariant 4 with V1 kept at its size for ever."""
    release.deploy("1").check()
    release.deploy("2", scale_down_delay_seconds=-1).check()
    sent = wire()
    run = release.deploy("2", scale_down_delay_seconds=-1).check()
    assert not run.changed, run
    assert sent.writes == []
    assert release.sizes() == {1: 2, 2: 2}


def test_other_playbooks_write_nothing_at_rest(
    release: Release, wire: t.Callable[..., Wire]
) -> None:
    """Invariant 4."""
    release.deploy().check()
    sent = wire()
    for playbook in ("resume", "scale_down", "status", "promote"):
        run = release.run(playbook).check()
        assert not run.changed, run
    assert sent.writes == []
