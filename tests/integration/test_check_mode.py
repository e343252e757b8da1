# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a person sees: plans in check mode, live lines, the status tree."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.cutover.bluegreen.tests.integration.support.release import (
    Path,
    Release,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.wire import Wire


@pytest.mark.parametrize("update", [False, True], ids=["first release", "update"])
def test_check_mode_plans_to_the_end_and_writes_nothing(
    release: Release, wire: t.Callable[..., Wire], path: Path, update: bool
) -> None:
    """Invariant 4: a plan sends no write; later tasks are skipped."""
    release.path = path
    if update:
        release.deploy("1").check()
    before = release.sizes()
    sent = wire()
    run = release.deploy("2", args=["--check", "--diff"]).check()
    assert sent.writes == []
    assert release.sizes() == before
    (planned,) = run.of("bluegreen_rollout")
    assert planned.changed
    assert planned.result["planned"] is True
    steps = " / ".join(planned.result["rollout"]["steps"])
    assert "create revision" in steps
    if update:
        assert "cut over Service web" in steps
    for module in ("bluegreen_analysis", "bluegreen_pause", "bluegreen_promote"):
        assert [r.status for r in run.of(module)] == ["skipped"]
    diff = planned.result["diff"]
    assert diff["before"] != diff["after"]


def test_check_mode_with_nothing_to_do(
    release: Release, wire: t.Callable[..., Wire]
) -> None:
    release.deploy("1").check()
    sent = wire()
    run = release.deploy("1", args=["--check"]).check()
    assert not run.changed
    assert sent.writes == []


def test_check_mode_of_the_other_playbooks(
    release: Release, wire: t.Callable[..., Wire]
) -> None:
    release.deploy("1").check()
    release.deploy("2", auto_promotion_enabled=False).check()
    sent = wire()
    for playbook in ("promote", "abort", "resume", "scale_down"):
        run = release.run(playbook, args=["--check", "--diff"]).check()
        assert run.changed is (playbook in ("promote", "abort")), run
    assert sent.writes == []
    assert release.phase() == "Paused"


def test_a_line_for_each_wait(release: Release) -> None:
    release.deploy("1").check()
    run = release.deploy(
        "2",
        steering={"ready_after": "1s"},
        auto_promotion_seconds=1,
        scale_down_delay_seconds=1,
    ).check()
    lines = [x for x in run.stdout.splitlines() if x.startswith("bluegreen ")]
    assert all(f"{release.namespace}/web" in line for line in lines)
    for wanted in (
        "0/2 pods available",
        "s left until it is promoted by itself",
        "s left until it is scaled down",
    ):
        assert any(wanted in line for line in lines), run.stdout


def test_no_lines_without_progress(release: Release) -> None:
    run = release.deploy(progress=False).check()
    assert "bluegreen " + release.namespace not in run.stdout


def test_the_status_tree(release: Release, path: Path) -> None:
    release.path = path
    release.deploy("1").check()
    release.deploy("2", wait="detach", scale_down_delay_seconds=600).check()
    run = release.run("status").check()
    assert not run.changed
    (result,) = run.of("bluegreen_info")
    tree = "\n".join(result.result["tree"])
    assert f"{release.namespace}/web  Healthy" in tree
    assert "revision 2  active, stable, preview" in tree
    assert "revision 1  rollback: at once, delay:" in tree
    assert "Service web (active) -> revision 2, 2 ready" in tree
    assert tree.count("Pod web-") == 4
    # It is on the screen as it is, not only in the result.
    for line in result.result["tree"]:
        assert line.strip() in run.stdout


def test_the_status_of_nothing(release: Release) -> None:
    run = release.run("status").check()
    assert run.of("bluegreen_info")[0].result["exists"] is False
    assert "nothing was released yet" in run.stdout


def test_one_artifact_for_the_job(release: Release) -> None:
    """As AWX keeps it for the next job of a workflow."""
    release.deploy("1").check()
    show = {"ANSIBLE_SHOW_CUSTOM_STATS": "1"}
    run = release.start("resume", env=show).wait().check()
    assert "CUSTOM STATS" in run.stdout
    artifact = run.stdout.partition("CUSTOM STATS")[2]
    assert "bluegreen_rollouts" in artifact
    assert f"{release.namespace}/web" in artifact
    assert '"phase": "Healthy"' in artifact
