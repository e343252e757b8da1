# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many rollouts: one a host, or several on one host."""

from __future__ import annotations

import re
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
    Kube,
    resource_path,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.manifests import (
    deployment,
    service,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.plain import (
    release_vars,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.playbook import (
    Playbook,
)

DEPLOY = "cutover.bluegreen.deploy"
REVISION = "cutover.bluegreen/revision"
LIVE_LINE = re.compile(r"bluegreen ([-\w]+/[-\w]+) \[[^\]]*\+\d+s\] \S")


def sizes(kube: Kube, namespace: str, rollout: str) -> dict[str, int]:
    """Return the pods asked for of each revision, by its number."""
    listed = kube.list(
        resource_path("deployments", namespace), f"cutover.bluegreen/rollout={rollout}"
    )
    return {
        d["metadata"]["annotations"][REVISION]: d["spec"]["replicas"] for d in listed
    }


def test_twenty_hosts_are_released_side_by_side(
    kube: Kube, namespace: str, playbook: Playbook
) -> None:
    names = [f"app-{i:02}" for i in range(20)]

    def run(version: str) -> t.Any:
        hosts = {
            name: release_vars(
                namespace,
                deployment(name, version=version, replicas=1),
                active_service=service(name),
            )
            for name in names
        }
        return playbook(
            DEPLOY,
            {"bluegreen_hosts": "all"},
            inventory={"all": {"hosts": hosts}},
            args=["--forks=10"],
        ).check()

    run("1")
    result = run("2")
    assert set(result.recap) == set(names)
    for name in names:
        assert sizes(kube, namespace, name) == {"1": 0, "2": 1}
        assert result.recap[name]["failures"] == 0
    lines = [x for x in result.stdout.splitlines() if x.startswith("bluegreen ")]
    said = [LIVE_LINE.match(line) for line in lines]
    assert all(said), [x for x, m in zip(lines, said, strict=True) if not m]
    assert {m.group(1) for m in said if m} == {f"{namespace}/{n}" for n in names}


def twice(namespace: str, version: str) -> list[dict[str, t.Any]]:
    return [
        release_vars(
            namespace,
            deployment(name, version=version, replicas=1),
            active_service=service(name),
            scale_down_delay_seconds=1,
        )
        for name in ("shop", "cart")
    ]


ROLE = "cutover.bluegreen.bluegreen"


def listed(namespace: str, version: str) -> dict[str, t.Any]:
    return {
        "roles": [{"role": ROLE, "vars": given} for given in twice(namespace, version)]
    }


def included(namespace: str, version: str) -> dict[str, t.Any]:
    first, second = twice(namespace, version)
    assert first.keys() == second.keys()
    task = {
        "name": "Release each",
        "ansible.builtin.include_role": {"name": ROLE},
        "loop": [first, second],
        "loop_control": {"loop_var": "app", "label": "{{ app.bluegreen_name }}"},
        "vars": {key: "{{ app." + key + " }}" for key in first},
    }
    return {"tasks": [task]}


@pytest.mark.parametrize("way", [listed, included])
def test_two_rollouts_on_one_host_are_both_retired(
    kube: Kube,
    namespace: str,
    playbook: Playbook,
    way: t.Callable[[str, str], dict[str, t.Any]],
) -> None:
    """A handler runs once: it must know of both."""
    for version in ("1", "2"):
        play = {"hosts": "localhost", "gather_facts": False, "connection": "local"}
        playbook({**play, **way(namespace, version)}).check()
    assert sizes(kube, namespace, "shop") == {"1": 0, "2": 1}
    assert sizes(kube, namespace, "cart") == {"1": 0, "2": 1}
