# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Seven ways in which Argo Rollouts can harm users, read from its code: not here.

H1 to H7 name the places in its rollout/ folder: service.go and replicaset.go (H1),
pause.go (H2), utils/replicaset (H3), analysis.go (H4), bluegreen.go (H5), its test
TestBlueGreenUnableToReadScaleDownAt (H6), and the empty list of templates (H7).
"""

from __future__ import annotations

import typing as t

from ansible_collections.cutover.bluegreen.tests.integration.support.analysis import (
    template,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
    resource_path,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.release import (
    ACTIVE,
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
from ansible_collections.cutover.bluegreen.tests.unit.support.http_server import (
    HttpServer,
    Received,
    Reply,
)

# Longer than any test.
LONG = 600


def rate_of(server: HttpServer, **web: t.Any) -> dict[str, t.Any]:
    """A template that the test's own web server answers."""
    block = {"url": f"{server.url}/rate", "jsonPath": "{$.rate}", **web}
    condition = "result >= 0.95"
    metric = {"successCondition": condition, "provider": {"web": block}}
    return template("rate", {"name": "rate", **metric})


def test_h1_the_way_back_needs_nothing_of_v2(
    release: Release, watcher: t.Callable[..., Watcher]
) -> None:
    """V2 breaks down after the switch and its analysis fails: the users go back."""
    release.deploy("1").check()
    seen = watcher(ACTIVE)

    def once_v2_is_broken(_request: Received) -> Reply:
        eventually(lambda: release.available(2) == 0, 60, "V2 breaks down")
        return Reply({"rate": 0.1})

    with HttpServer() as server:
        server.reply(once_v2_is_broken, path="/rate")
        given = rate_of(server, timeoutSeconds=60)
        run = release.deploy(
            "2",
            steering={"unready_after": "2s"},
            analysis_templates=given,
            post_promotion_analysis="rate",
        )
    assert "was aborted by its post-promotion analysis" in message(run)
    assert release.directed_to(ACTIVE) == 1
    assert len(seen.moments(ACTIVE)[-1].ready) == 2


def test_h2_promote_ends_a_countdown_and_does_not_restart_it(release: Release) -> None:
    release.deploy("1").check()
    handle = release.start_deploy("2", auto_promotion_seconds=LONG)
    release.pauses(handle)
    release.run("promote").check()
    assert rollout_of(handle.wait().check())["phase"] == "Healthy"
    assert release.directed_to(ACTIVE) == 2


def test_h3_a_small_preview_does_not_slow_the_way_back(
    release: Release, watcher: t.Callable[..., Watcher]
) -> None:
    kept = {"scale_down_delay_seconds": LONG, "wait": "detach"}
    for version in ("1", "2"):
        release.deploy(version, preview_replica_count=1, **kept).check()
    first, seen = release.hash_of(1), watcher(ACTIVE)
    run = release.run("rollback", wait="detach").check()
    assert rollout_of(run)["active"]["hash"] == first
    assert release.sizes() == {2: 2, 3: 2}
    seen.assert_never_below(ACTIVE, 2)


def test_h4_a_retry_measures_pods_and_not_their_absence(release: Release) -> None:
    release.deploy("1").check()
    available: list[int] = []

    def rate(_request: Received) -> Reply:
        newest = max(release.revisions())
        available.append(release.available(newest))
        return Reply({"rate": 0.1})

    with HttpServer() as server:
        server.reply(rate, path="/rate")
        given = {
            "analysis_templates": rate_of(server),
            "pre_promotion_analysis": "rate",
        }
        assert release.deploy("2", **given).rc == 2
        release.run("scale_down").check()
        assert release.sizes() == {1: 2, 2: 0}
        assert release.deploy("2", **given).rc == 2
    assert available == [2, 2]


def test_h5_a_selector_that_somebody_edits_opens_no_gate(
    release: Release, watcher: t.Callable[..., Watcher]
) -> None:
    """A tool that applies the user's own Service takes the revision's key out."""
    release.deploy("1").check()
    release.deploy("2", auto_promotion_enabled=False).check()
    path = resource_path("services", release.namespace, ACTIVE)
    release.kube.patch(path, {"spec": {"selector": {REVISION_LABEL: None}}})
    seen = watcher(ACTIVE)
    run = release.deploy("2", auto_promotion_enabled=False).check()
    assert rollout_of(run)["phase"] == "Paused"
    assert release.record()["stable"] == release.hash_of(1)
    assert release.directed_to(ACTIVE) == 1
    seen.assert_never_below(ACTIVE, 2)


def test_h6_an_unreadable_deadline_scales_nothing_down(release: Release) -> None:
    kept = {"scale_down_delay_seconds": LONG, "wait": "detach"}
    release.deploy("1", **kept).check()
    release.deploy("2", **kept).check()
    (waiting,) = release.details()["retire_at"]
    release.edit_details(retire_at={waiting: "the day after tomorrow"})
    release.deploy("2", **kept).check()
    assert release.sizes() == {1: 2, 2: 2}
    assert waiting in release.details()["retire_at"]


def test_h7_an_empty_list_of_templates_is_no_analysis(release: Release) -> None:
    release.deploy("1").check()
    none: dict[str, t.Any] = {"templates": []}
    given = {"pre_promotion_analysis": none, "post_promotion_analysis": none}
    run = release.deploy("2", **given).check()
    assert rollout_of(run)["phase"] == "Healthy"
    assert release.directed_to(ACTIVE) == 2
