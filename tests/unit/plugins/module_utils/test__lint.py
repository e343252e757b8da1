# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a deploy would refuse, told at once and without a cluster."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._argspec import MODULES
from ansible_collections.cutover.bluegreen.plugins.module_utils._driver import (
    Guard,
    holder_of,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._tasks import (
    Runtime,
    execute,
)

CONTAINER = {
    "name": "web",
    "image": "example/web:1",
    "ports": [{"name": "http", "containerPort": 8080}],
    "readinessProbe": {"tcpSocket": {"port": "http"}},
    "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
    "resources": {"requests": {"cpu": "100m"}},
}
DEFINITION: dict[str, t.Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web"},
    "spec": {
        "replicas": 3,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [CONTAINER]},
        },
    },
}
TEMPLATE: dict[str, t.Any] = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "AnalysisTemplate",
    "metadata": {"name": "smoke"},
    "spec": {"metrics": [{"name": "pods", "provider": {"pods": {}}}]},
}


def service(app: str = "web", port: object = "http") -> dict[str, t.Any]:
    ports = [{"port": 80, "targetPort": port}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"selector": {"app": app}, "ports": ports},
    }


def lint(**options: t.Any) -> tuple[dict[str, t.Any], list[str]]:
    """The result, and each finding as a line."""
    spec = MODULES["bluegreen_lint"]
    params = {name: rule.get("default") for name, rule in spec.items()}
    given = {"name": "web", "definition": DEFINITION, "active_service": "web"}
    lines: list[str] = []
    with Guard(None) as guard:
        runtime = Runtime(
            environment={"KUBECONFIG": "/nowhere"},
            report=lines.append,
            holder=holder_of(1, "", {}),
            guard=guard,
        )
        result = execute("bluegreen_lint", {**params, **given, **options}, runtime)
    assert result["changed"] is False
    found = [f"{f['level']}: {f['object']}: {f['message']}" for f in result["findings"]]
    assert [line.partition(" [lint] ")[2] for line in lines] == [
        *found,
        f"summary: {result['summary']}",
    ]
    return result, found


def test_nothing_is_found_in_good_input() -> None:
    result, found = lint(active_service=service(), scale_up_steps=["50%", "100%"])
    assert found == []
    assert not result.get("failed")
    assert result["summary"] == "nothing found"


def test_every_option_that_is_wrong_is_told() -> None:
    result, found = lint(
        preview_service="Web Preview",
        scale_up_steps=["50%", "20%"],
        scale_down_steps=["x"],
        scale_down_delay_seconds=-3,
        rollback_window=-1,
        pdb={"minAvailable": "x"},
        probe={"path": 1},
        probe_max_errors=-1,
        drain_http={"pfad": "/"},
        pre_promotion_analysis={"templates": ["pods"], "argz": {}},
        post_promotion_analysis={"templates": [3]},
        analysis_secrets={"a": "b"},
    )
    assert result["failed"] is True
    assert len(result["msg"].splitlines()) == len(
        [line for line in found if line.startswith("error")]
    )
    for option in (
        "preview_service",
        "scale_up_steps",
        "scale_down_steps",
        "scale_down_delay_seconds",
        "rollback_window",
        "pdb",
        "probe",
        "probe_max_errors",
        "drain_http",
        "pre_promotion_analysis",
        "post_promotion_analysis",
        "analysis_secrets",
    ):
        assert any(line.startswith(f"error: {option}") for line in found), (
            option,
            found,
        )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"definition": None}, "definition: nothing was given"),
        ({"definition": {"kind": "Pod"}}, "definition: a manifest of apps/v1"),
        ({"active_service": None}, "active_service: nothing was given"),
        ({"name": "Web"}, "name: 'Web' cannot name a rollout"),
        ({"state": "ejected"}, "state: ejected takes no manifest"),
        ({"_unread": ["definition: the file a.yml was not found."]}, "the file a.yml"),
    ],
)
def test_the_rest_is_still_looked_at(options: dict[str, t.Any], said: str) -> None:
    _result, found = lint(pdb={}, **options)
    assert any(said in line for line in found), found
    assert any(line.startswith("error: pdb: neither") for line in found), found


def test_a_manifest_beyond_what_can_be_left_out() -> None:
    body = {**DEFINITION, "spec": {**DEFINITION["spec"], "replicas": 0}}
    _result, found = lint(definition=body, active_service=service("api"))
    assert found == [
        "error: definition: spec.replicas: 0 is too low; give a number of pods of at"
        " least 1."
    ]


def test_services_beside_the_definition() -> None:
    _result, found = lint(active_service=service("api", "metrics"))
    assert [line.partition(";")[0] for line in found] == [
        "error: active_service: Service web selects app=api, the pods of the definition"
        " have app=web, so it would never reach them",
        "error: Service web: targetPort metrics is the name of no port of Deployment"
        " web, so it would have no endpoint",
    ]


def test_a_template_that_may_be_in_the_cluster_is_no_error() -> None:
    result, found = lint(pre_promotion_analysis="elsewhere")
    assert not result.get("failed")
    assert found == [
        "notice: pre_promotion_analysis: AnalysisTemplate elsewhere is not among"
        " analysis_templates; whether the cluster has it is not checked here."
    ]
    assert lint(pre_promotion_analysis="smoke", analysis_templates=[TEMPLATE])[1] == []


def test_no_line_without_progress() -> None:
    spec = MODULES["bluegreen_lint"]
    params = {name: rule.get("default") for name, rule in spec.items()}
    lines: list[str] = []
    with Guard(None) as guard:
        runtime = Runtime({}, lines.append, holder_of(1, "", {}), guard)
        execute("bluegreen_lint", {**params, "name": "web", "progress": False}, runtime)
    assert lines == []
