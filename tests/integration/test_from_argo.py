# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way over from Argo Rollouts: the manifests as they are, then releases."""

from __future__ import annotations

import json
import pathlib
import stat
import typing as t

import pytest
import yaml

from ansible_collections.cutover.bluegreen.tests.integration.support.analysis import (
    PRE,
    Meter,
    state_of,
    template,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.manifests import (
    deployment,
    service,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.playbook import (
    Playbook,
    Run,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.release import (
    ACTIVE,
    NAME,
    PREVIEW,
    Release,
    message,
    rollout_of,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.http_server import (
    HttpServer,
)

HASH = "rollouts-pod-template-hash"


@pytest.fixture
def meter() -> t.Iterator[Meter]:
    with HttpServer() as server:
        yield Meter(server)


def manifests(meter: Meter, namespace: str, version: str) -> str:
    """A Rollout with an analysis, its Services as they are in a live cluster."""
    plain = deployment(NAME, version=version, replicas=2)
    analysis = {
        "templates": [{"templateName": "rate"}],
        "args": [{"name": "service", "value": PREVIEW}],
    }
    strategy = {
        "activeService": ACTIVE,
        "previewService": PREVIEW,
        "scaleDownDelaySeconds": 1,
        "abortScaleDownDelaySeconds": 1,
        "prePromotionAnalysis": analysis,
    }
    rollout = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {**plain["metadata"], "namespace": namespace},
        "spec": {
            **plain["spec"],
            "strategy": {"blueGreen": strategy},
            "restartAt": "2026-11-23T10:00:00Z",
        },
    }
    url = f"{meter.url}?of={{{{ args.service }}}}"
    web = {"url": url, "jsonPath": "{$.rate}", "timeoutSeconds": 5}
    rate = template(
        "rate", meter.metric(provider={"web": web}), args=[{"name": "service"}]
    )
    services = [
        service(name, selector={"app": NAME, HASH: "5c9f"})
        for name in (ACTIVE, PREVIEW)
    ]
    return "\n---\n".join(map(json.dumps, [rollout, *services, rate]))


def test_a_rollout_is_converted_and_released(
    release: Release, playbook: Playbook, meter: Meter, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "app.yml"
    given = {
        "bluegreen_argo_manifests": "rollout.yml",
        "bluegreen_vars_file": str(file),
    }
    for version in ("1", "2"):
        files = {"rollout.yml": manifests(meter, release.namespace, version)}
        converted = playbook("cutover.bluegreen.from_argo", given, files=files)
        assert "spec.restartAt" in converted.check().stdout
        run = playbook("cutover.bluegreen.deploy", args=["-e", f"@{file}"]).check()
    assert rollout_of(run)["phase"] == "Healthy"
    assert release.sizes() == {1: 0, 2: 2}
    assert state_of(release, PRE)["phase"] == "Successful"
    assert {query["of"] for query in meter.queries} == {PREVIEW}
    selector = release.service(PREVIEW)["spec"]["selector"]
    assert HASH not in selector
    assert selector["app"] == NAME
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.lane
def test_a_play_of_ones_own_takes_the_variables_from_the_filter(
    release: Release, playbook: Playbook, meter: Meter, tmp_path: pathlib.Path
) -> None:
    """The placeholders of its templates are the analysis's, not Ansible's."""
    variables = [
        *("name", "namespace", "definition", "active_service", "preview_service"),
        *("scale_down_delay_seconds", "abort_scale_down_delay_seconds"),
        *("analysis_templates", "pre_promotion_analysis"),
    ]
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars": {
            "text": "{{ lookup('ansible.builtin.file', file) }}",
            "converted": "{{ text | cutover.bluegreen.from_argo(rollout='web') }}",
            **{
                f"bluegreen_{v}": f"{{{{ converted.variables.bluegreen_{v} }}}}"
                for v in variables
            },
        },
        "roles": [{"role": "cutover.bluegreen.bluegreen"}],
    }

    def run(version: str) -> Run:
        file = tmp_path / "rollout.yml"
        file.write_text(manifests(meter, release.namespace, version))
        return playbook(play, {"file": str(file)})

    run("1").check()
    meter.reads(0.1)
    failed = run("2")
    assert "rate failed" in message(failed)
    assert release.directed_to() == 1
    assert {query["of"] for query in meter.queries} == {PREVIEW}


def test_what_cannot_be_converted_is_refused_before_anything_is_written(
    playbook: Playbook, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "app.yml"
    canary = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": NAME},
        "spec": {"strategy": {"canary": {}}},
    }
    given = {"bluegreen_argo_manifests": ["a.yml"], "bluegreen_vars_file": str(file)}
    files = {"a.yml": yaml.safe_dump(canary)}
    run = playbook("cutover.bluegreen.from_argo", given, files=files)
    assert "Rollout web: spec.strategy.canary: it moves users" in message(run)
    assert not file.exists()
