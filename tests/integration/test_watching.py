# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who looks on: shows each change, ends when it rests, and tells phases apart."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.cutover.bluegreen.tests.integration.support.playbook import (
    Run,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.release import (
    Release,
    message,
    rollout_of,
    says,
)

# Longer than any test: what ends such a countdown is a decision.
LONG = 600
ENDLESS = {"ready": "never"}


def info(run: Run) -> dict[str, t.Any]:
    """What the module returned."""
    (result,) = run.of("bluegreen_info")
    return result.result


def status_file(run: Run, name: str = "rollout.json") -> dict[str, t.Any]:
    return t.cast("dict[str, t.Any]", json.loads((run.folder / name).read_text()))


def test_each_phase_of_a_release_that_another_run_drives(release: Release) -> None:
    release.deploy("1").check()
    handle = release.start_deploy("2", auto_promotion_seconds=LONG)
    release.pauses(handle)
    watcher = release.start(
        "status", watch=True, expect="Healthy", status_file="rollout.json"
    )
    says(watcher, f"bluegreen {release.namespace}/web [paused +")
    says(watcher, f"Paused, driven by process {handle.pid} on ")
    release.run("promote").check()
    handle.wait().check()
    run = watcher.wait().check()
    assert not run.changed
    shown = run.stdout
    assert shown.index("Paused, driven by") < shown.index("at rest: it is Healthy")
    assert f"{release.namespace}/web  Healthy (retired)" in shown
    assert "history: revision 2  promoted 20" in shown
    result = info(run)
    assert result["rest"] == "it is Healthy"
    newest, first = result["rollout"]["history"]
    assert newest["why"].startswith("as approved by process ")
    assert (first["outcome"], first["why"]) == ("promoted", "")
    assert newest["by"] == first["by"] and "@" in first["by"]
    assert first["seconds"] >= 0
    kept = {key: result[key] for key in ("rollout", "exists", "tree", "rest")}
    assert status_file(run) == kept
    assert (run.folder / "rollout.json").stat().st_mode & 0o777 == 0o600


def test_a_first_release_is_watched_with_the_services_that_it_makes(
    release: Release,
) -> None:
    handle = release.start_deploy("1", steering={"ready_after": "3s"})
    release.reaches(phase="Progressing")
    run = release.run("status", watch=True, expect=["Healthy"]).check()
    handle.wait().check()
    assert f"{release.namespace}/web  Healthy" in run.stdout
    assert "Service web (active) -> revision 1, 2 ready" in run.stdout


def test_a_gate_that_waits_for_a_person_ends_it_and_phases_are_told_apart(
    release: Release,
) -> None:
    release.deploy("1").check()
    release.deploy("2", auto_promotion_enabled=False).check()
    place = f"{release.namespace}/web"
    run = release.run("status", watch=True, expect="Healthy", status_file="s.json")
    assert run.rc == 2
    assert info(run)["rest"] == "it is Paused and waits for a decision"
    found = message(run)
    assert found.startswith(
        f"bluegreen_expect: {place} is Paused, Healthy was expected: revision 2 is"
    )
    command = f"-e bluegreen_name=web -e bluegreen_namespace={release.namespace}"
    for verb in ("promote", "abort"):
        playbook = f"ansible-playbook cutover.bluegreen.{verb} {command}"
        assert f"; to {verb} it: {playbook}" in found
    assert rollout_of(run)["phase"] == "Paused"
    assert f"{place}  Paused (paused)" in run.stdout
    assert status_file(run, "s.json")["rollout"] == rollout_of(run)

    run = release.play(
        {"bluegreen_info": {"expect": "Paused,Degraded"}},
        {"bluegreen_promote": {"state": "aborted"}},
        {"bluegreen_info": {"expect": ["Healthy", "Paused"]}},
    )
    found = message(run)
    assert f"{place} is Degraded, Healthy or Paused was expected: rev" in found
    assert found.endswith("; deploy a corrected manifest.")
    (aborted, _first) = rollout_of(run)["history"]
    assert (aborted["revision"], aborted["outcome"]) == (2, "aborted")
    assert aborted["why"] == f"by {aborted['by']}"


def test_the_module_gives_and_keeps_the_same(release: Release) -> None:
    """Where it cannot show lines, the last tree is shown all the same."""
    release.deploy("1").check()
    release.path = "module"
    run = release.run("status", watch=True, expect="Paused", status_file="rollout.json")
    assert "web is Healthy, Paused was expected: revision 1 is stable" in message(run)
    result = info(run)
    assert result["rest"] == "it is Healthy"
    assert f"{release.namespace}/web  Healthy" in run.stdout
    kept = {key: result[key] for key in ("rollout", "exists", "tree", "rest")}
    assert status_file(run) == kept


def test_neither_ready_in_time_nor_driven_any_more(release: Release) -> None:
    """What takes longer fails the watcher alone; a driver that is killed ends it."""
    release.deploy("1").check()
    handle = release.start_deploy("2", steering=ENDLESS)
    release.reaches(phase="Progressing")
    late = release.run(
        "status", watch=True, watch_timeout_seconds=1, status_file="rollout.json"
    )
    found = message(late)
    assert found.startswith(
        f"bluegreen_watch_timeout_seconds: {release.namespace}/web did not come to"
        " rest within 1 s; it is Progressing ("
    )
    assert f"driven by process {handle.pid} on " in found
    assert "rest" not in status_file(late)
    assert handle.running

    watcher = release.start("status", watch=True, expect="Healthy")
    says(watcher, "Progressing, driven by process")
    handle.kill_tree()
    run = watcher.wait()
    rest = f"it is Progressing, but the run that drove it (process {handle.pid} on "
    assert info(run)["rest"].startswith(rest)
    assert f"at rest: {rest}" in run.stdout
    assert "to go on, if no run drives it: ansible-playbook" in message(run)


def test_what_is_refused(release: Release) -> None:
    """One sentence each, before anything is looked at."""
    refused = (
        ({"expect": ["Splendid"]}, "expect: 'Splendid' was found, one of Healthy, "),
        ({"watch_timeout_seconds": -1}, "watch_timeout_seconds: -1 was found, a "),
        ({"status_file": "absent/s.json"}, "/absent does not exist; create it first."),
        ({"status_file": "/"}, "is no regular file; give the path of a file."),
        ({"status_file": ["x"]}, "status_file: ['x'] was found, a path is expected."),
        ({"expect": "Healthy"}, "name: there is no rollout web in namespace "),
    )
    tasks = [
        {"bluegreen_info": given, "ignore_errors": True} for given, _text in refused
    ]
    run = release.play(
        *tasks, {"bluegreen_info": {"status_file": "s.json"}, "check_mode": True}
    ).check()
    assert "Traceback" not in f"{run.stdout}{run.stderr}"
    for (given, expected), task in zip(refused, run.results, strict=False):
        assert task.status == "failed", given
        assert expected in task.result["msg"], task.result["msg"]
    assert not (run.folder / "s.json").exists()
