# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook `lint`, where there is no cluster."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.cutover.bluegreen.tests.integration.support.manifests import (
    deployment,
    service,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.playbook import (
    Playbook,
    Run,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.release import (
    NAME,
    Path,
    message,
)


@pytest.fixture
def without_cluster(tmp_path: pathlib.Path, collections_path: pathlib.Path) -> Playbook:
    return Playbook(tmp_path, tmp_path / "no-kubeconfig", collections_path)


def lint(playbook: Playbook, path: Path, **options: object) -> Run:
    given = {
        "name": NAME,
        "definition": deployment(NAME),
        "active_service": service(NAME),
        **options,
    }
    variables = {f"bluegreen_{key}": value for key, value in given.items()}
    return playbook("cutover.bluegreen.lint", variables, path=path)


def test_good_input(without_cluster: Playbook, path: Path) -> None:
    run = lint(without_cluster, path).check()
    assert not run.changed
    (result,) = run.of("bluegreen_lint")
    levels = {f["level"] for f in result.result["findings"]}
    assert "error" not in levels
    assert (" [lint] summary: 2 warnings" in run.stdout) == (path == "action")


def test_all_errors_at_once(without_cluster: Playbook) -> None:
    run = lint(
        without_cluster,
        "action",
        definition="absent.yml",
        scale_up_steps=["50%", "20%"],
        auto_promotion_seconds="-1",
        pdb={"minAvailable": "x"},
        drain_timeout_seconds="soon",
    )
    assert message(run).splitlines() == [
        "bluegreen_drain_timeout_seconds: 'soon' was found, a whole number is expected."
    ]
    run = lint(
        without_cluster,
        "action",
        definition="absent.yml",
        scale_up_steps=["50%", "20%"],
        auto_promotion_seconds="-1",
        pdb={"minAvailable": "x"},
    )
    said = message(run).splitlines()
    assert sorted(line.partition(":")[0] for line in said) == [
        "bluegreen_auto_promotion_seconds",
        "bluegreen_definition",
        "bluegreen_pdb",
        "bluegreen_scale_up_steps",
    ]
    assert "the file absent.yml was not found" in message(run)
    assert [x for x in run.stdout.splitlines() if " [lint] summary: 4 errors" in x]
