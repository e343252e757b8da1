# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Manifests: read, refused in one sentence, hashed, and made into revisions."""

from __future__ import annotations

import copy
import typing as t

import pytest
import yaml

from ansible_collections.cutover.bluegreen.plugins.module_utils import (
    _manifests as manifests,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils import _names as names
from ansible_collections.cutover.bluegreen.plugins.module_utils._errors import BadInput
from ansible_collections.cutover.bluegreen.tests.unit.support.states import parameters

Object = dict[str, t.Any]

TEMPLATE: Object = {
    "metadata": {"labels": {"app": "web"}},
    "spec": {
        "containers": [
            {
                "name": "web",
                "image": "registry.example/web:1.0",
                "ports": [{"name": "http", "containerPort": 8080}],
            }
        ]
    },
}
DEPLOYMENT: Object = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web"},
    "spec": {
        "replicas": 3,
        "selector": {"matchLabels": {"app": "web"}},
        "template": TEMPLATE,
    },
}
SERVICE: Object = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web"},
    "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]},
}
# What pods of running releases are labelled with: another value starts a new
# revision of every application in every cluster.
GOLDEN = "d633ae1564"


def changed(manifest: Object, path: str, value: object) -> Object:
    """A copy with one field set; a value of None removes it."""
    body = copy.deepcopy(manifest)
    *folders, key = path.split("/")
    place = body
    for folder in folders:
        place = place[folder]
    if value is None:
        del place[key]
    else:
        place[key] = value
    return body


def test_the_hash_of_a_template_never_changes() -> None:
    assert manifests.hash_of(TEMPLATE) == GOLDEN
    assert manifests.parse_deployment(DEPLOYMENT, "shop").hash == GOLDEN


def test_the_hash_is_of_what_is_meant_not_of_how_it_is_written() -> None:
    text = yaml.safe_dump(DEPLOYMENT, sort_keys=False)
    assert manifests.parse_deployment(text, "shop").hash == GOLDEN
    resized = changed(DEPLOYMENT, "spec/replicas", 9)
    assert manifests.parse_deployment(resized, "shop").hash == GOLDEN
    relabelled = changed(DEPLOYMENT, "metadata/labels", {"team": "a"})
    assert manifests.parse_deployment(relabelled, "shop").hash == GOLDEN


def test_another_template_is_another_hash() -> None:
    other = changed(DEPLOYMENT, "spec/template/spec/serviceAccountName", "web")
    assert manifests.parse_deployment(other, "shop").hash != GOLDEN


def test_the_input_is_left_as_it_is() -> None:
    given = copy.deepcopy(DEPLOYMENT)
    deployment = manifests.parse_deployment(given, "shop")
    manifests.deployment_body(deployment, "web", "shop", 1, 3, parameters(), "0")
    assert given == DEPLOYMENT


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (5, "a manifest is expected, int was found"),
        ("a: b: c", "this is not YAML"),
        ("a: 1\n---\nb: 1\n", "2 documents were found"),
        ("", "0 documents were found"),
        ("- a\n", "list was found"),
        (SERVICE, "apps/v1 Deployment is expected, v1 Service was found"),
        (changed(DEPLOYMENT, "metadata/name", None), "metadata.name is missing"),
        (changed(DEPLOYMENT, "metadata", None), "definition.metadata is missing"),
        (changed(DEPLOYMENT, "metadata/namespace", "other"), "is of namespace other"),
        (changed(DEPLOYMENT, "spec", None), "definition.spec is missing"),
        (changed(DEPLOYMENT, "spec/template", []), "spec.template is missing"),
        (changed(DEPLOYMENT, "spec/template/spec", None), "template.spec is missing"),
        (changed(DEPLOYMENT, "spec/template/spec/containers", []), "no containers"),
        (changed(DEPLOYMENT, "spec/template/metadata", None), "has no labels"),
        (changed(DEPLOYMENT, "spec/template/metadata", "x"), "has no labels"),
        (
            changed(DEPLOYMENT, "spec/selector", {"matchLabels": {"app": "x"}}),
            "asks for app=x, its pod template has app=web",
        ),
        (changed(DEPLOYMENT, "spec/selector", {}), "the selector of Deployment web"),
        (
            changed(DEPLOYMENT, "spec/selector", {"matchLabels": ["app"]}),
            "spec.selector.matchLabels of Deployment web is ['app']; give a mapping",
        ),
        (changed(DEPLOYMENT, "spec/replicas", "3"), "spec.replicas of Deployment web"),
        (changed(DEPLOYMENT, "spec/replicas", True), "give a whole number"),
    ],
)
def test_a_deployment_is_refused(value: object, sentence: str) -> None:
    with pytest.raises(BadInput) as refused:
        manifests.parse_deployment(value, "shop")
    assert sentence in str(refused.value)


@pytest.mark.parametrize("label", [names.LABEL_HASH, names.LABEL_ROLLOUT])
def test_our_own_labels_are_refused(label: str) -> None:
    body = copy.deepcopy(DEPLOYMENT)
    body["spec"]["template"]["metadata"]["labels"][label] = "x"
    with pytest.raises(BadInput, match="which this collection sets itself"):
        manifests.parse_deployment(body, "shop")


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (None, []),
        ("", []),
        ([], []),
        ("web", ["web"]),
        (["web", SERVICE | {"metadata": {"name": "api"}}], ["web", "api"]),
        (SERVICE, ["web"]),
        (yaml.safe_dump(SERVICE), ["web"]),
        ("[web, api]", ["web", "api"]),
    ],
)
def test_services(value: object, found: list[str]) -> None:
    services = manifests.parse_services(value, "active_service", "shop")
    assert [s.name for s in services] == found


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("Not a name", "neither the name of a Service nor a manifest"),
        (["web", "web"], "Service web is listed twice"),
        (DEPLOYMENT, "v1 Service is expected, apps/v1 Deployment was found"),
        (changed(SERVICE, "spec/selector", None), "has no selector"),
        (changed(SERVICE, "spec/selector", {}), "has no selector"),
        (changed(SERVICE, "metadata/namespace", "other"), "is of namespace other"),
        (7, "int was found"),
        ("a: [", "this is not YAML"),
    ],
)
def test_a_service_is_refused(value: object, sentence: str) -> None:
    with pytest.raises(BadInput) as refused:
        manifests.parse_services(value, "active_service", "shop")
    assert sentence in str(refused.value)


def test_the_body_of_a_revision() -> None:
    body = copy.deepcopy(DEPLOYMENT)
    body["spec"]["paused"] = True
    body["metadata"]["annotations"] = {
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
        "team": "a",
    }
    deployment = manifests.parse_deployment(body, "shop")
    made = manifests.deployment_body(
        deployment, "web", "shop", 2, 1, parameters(min_ready_seconds=7), "4"
    )
    ours = {names.LABEL_ROLLOUT: "web", names.LABEL_HASH: GOLDEN}
    assert made["metadata"]["name"] == f"web-{GOLDEN}"
    assert made["metadata"]["labels"] == ours
    assert made["metadata"]["annotations"]["team"] == "a"
    assert made["metadata"]["annotations"][names.ANNOTATION_REVISION] == "2"
    assert made["metadata"]["annotations"][names.ANNOTATION_FENCE] == "4"
    assert "last-applied" not in str(made)
    assert made["spec"]["selector"] == {
        "matchLabels": {"app": "web", names.LABEL_HASH: GOLDEN}
    }
    assert made["spec"]["template"]["metadata"]["labels"] == {"app": "web", **ours}
    assert made["spec"]["replicas"] == 1
    assert made["spec"]["minReadySeconds"] == 7
    assert "paused" not in made["spec"]


def test_a_proof_service_asks_for_the_future_selector() -> None:
    live = changed(SERVICE, "spec/ipFamilies", ["IPv6", "IPv4"])
    live["spec"]["selector"][names.LABEL_HASH] = "0123456789"
    live["spec"]["ports"][0]["nodePort"] = 30123
    live["spec"]["publishNotReadyAddresses"] = True
    made = manifests.proof_body(live, "web", "shop", GOLDEN)
    assert made["spec"]["clusterIP"] == "None"
    assert made["spec"]["selector"] == {"app": "web", names.LABEL_HASH: GOLDEN}
    assert made["spec"]["ports"] == [{"port": 80, "targetPort": "http"}]
    assert made["spec"]["ipFamilies"] == ["IPv6", "IPv4"]
    # Who would get requests without being ready is seen here first.
    assert made["spec"]["publishNotReadyAddresses"] is True


@pytest.mark.parametrize("name", ["", "Web", "-web", "web-", "a.b", "w" * 53])
def test_a_name_that_no_object_could_carry(name: str) -> None:
    with pytest.raises(BadInput, match="cannot name a rollout"):
        manifests.check_name(name)


@pytest.mark.parametrize("service", ["web", "w" * 46, "w" * 47, "w" * 63])
def test_the_name_of_a_proof_service_fits(service: str) -> None:
    assert len(names.proof_service_name(service)) <= 63


def test_long_names_stay_apart() -> None:
    assert names.proof_service_name("w" * 60) != names.proof_service_name("w" * 61)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: b", True),
        ("{}", True),
        ("[a]", True),
        ("a\nb", True),
        ("web.yml", False),
        ("~/a b.yml", False),
    ],
)
def test_text_is_told_from_a_path(text: str, expected: bool) -> None:
    assert manifests.is_text(text) is expected
