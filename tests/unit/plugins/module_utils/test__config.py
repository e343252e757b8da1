# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configuration of a revision: read, refused, referred to and hashed."""

from __future__ import annotations

import base64
import copy
import json
import typing as t

import pytest
import yaml

from ansible_collections.cutover.bluegreen.plugins.module_utils import _config as config
from ansible_collections.cutover.bluegreen.plugins.module_utils import _names as names
from ansible_collections.cutover.bluegreen.plugins.module_utils._argspec import (
    MODULES,
    secrets_of,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._asked_config import (
    parse_config,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._errors import BadInput
from ansible_collections.cutover.bluegreen.plugins.module_utils._manifests import (
    Deployment,
    deployment_body,
    hash_of,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._parameters import (
    Parameters,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.states import parameters

Object = dict[str, t.Any]

HASH = "0123456789"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def config_map(name: str = "settings", **fields: t.Any) -> Object:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    return {**body, "data": {"level": "info"}, **fields}


def secret(name: str = "login", **fields: t.Any) -> Object:
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}
    return {**body, **(fields or {"stringData": {"password": "hunter2"}})}


def template(**spec: t.Any) -> Object:
    """A pod template; without a specification of its own it refers to both."""
    both = [
        {"configMapRef": {"name": "settings"}},
        {"secretRef": {"name": "login"}},
    ]
    container = {"name": "web", "image": "web:1", "envFrom": both}
    return {
        "metadata": {"labels": {"app": "web"}},
        "spec": spec or {"containers": [container]},
    }


def parsed(
    value: object, of_template: Object | None = None
) -> tuple[config.ConfigObject, ...]:
    return parse_config(value, "config", "shop", of_template or template())


def deployment(*given: Object, of_template: Object | None = None) -> Deployment:
    wanted = of_template or template()
    body = {
        "metadata": {"name": "web"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": wanted},
    }
    return Deployment("web", body, parsed(list(given), wanted) if given else ())


# -- as it is given --------------------------------------------------------------------

BOTH = [config_map(), secret()]


@pytest.mark.parametrize(
    "value",
    [
        BOTH,
        list(reversed(BOTH)),
        json.dumps(BOTH),
        yaml.safe_dump(BOTH),
        yaml.safe_dump_all(BOTH),
        [yaml.safe_dump(BOTH[0]), BOTH[1]],
        json.dumps([yaml.safe_dump_all(BOTH)]),
    ],
    ids=["list", "reversed", "JSON", "YAML", "documents", "mixed", "handed over"],
)
def test_every_way_to_give_it_is_one(value: object) -> None:
    found = parsed(value)
    assert [c.ref for c in found] == ["ConfigMap/settings", "Secret/login"]
    assert found == parsed(BOTH)


@pytest.mark.parametrize("nothing", [[], "[]", "---\n", ""])
def test_nothing_is_nothing(nothing: object) -> None:
    assert parsed(nothing) == ()


def test_a_single_mapping() -> None:
    (only,) = parsed(config_map())
    assert only.keys == ("level",)


def test_an_object_of_a_revision_cannot_be_changed() -> None:
    metadata = {
        "name": "login",
        "labels": {"team": "a", names.LABEL_HASH: "x"},
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "hunter2"},
        "resourceVersion": "7",
    }
    given = secret(metadata=metadata, stringData={"password": "hunter2"})
    (found,) = parsed(given)
    assert found.body("web", "shop", HASH) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": f"login-{HASH}",
            "namespace": "shop",
            "labels": {
                "team": "a",
                names.LABEL_ROLLOUT: "web",
                names.LABEL_HASH: HASH,
            },
            "annotations": {},
        },
        "immutable": True,
        "type": "Opaque",
        "data": {"password": encoded("hunter2")},
    }


REFUSED: list[tuple[object, str]] = [
    ("a: [", "config: this is not YAML (line 1, column 5)"),
    ("a: *hunter2", "config: this is not YAML (line 1, column 4)"),
    ("hunter2: {", "config: this is not YAML"),
    (5, "config: a manifest is expected, int was found"),
    ([["hunter2"]], "config: a manifest is expected, list was found"),
    ("hunter2", "config: a manifest is expected, str was found"),
    ({}, "apiVersion is missing and kind is missing; give v1 and ConfigMap or Secret"),
    (config_map(kind="Service"), "apiVersion is v1 and kind is Service;"),
    (config_map(kind=["hunter2"]), "apiVersion is v1 and kind is list;"),
    (config_map(apiVersion="v2"), "apiVersion is v2 and kind is ConfigMap;"),
    (config_map(metadata={}), "config: a ConfigMap has no metadata.name"),
    (config_map(metadata=None), "config: a ConfigMap has no metadata.name"),
    (config_map(metadata="hunter2"), "a ConfigMap has metadata of type str"),
    (config_map(metadata={"generateName": "a-"}), "has no metadata.name"),
    (config_map("n" * 243), "use at most 242 lower-case letters"),
    (config_map("Settings"), "is named 'Settings'; use at most 242"),
    (
        config_map(metadata={"name": "settings", "namespace": "other"}),
        "ConfigMap settings is of namespace other, the rollout of shop",
    ),
    (config_map(stringData={}), "has the field stringData, which is not known"),
    (secret(binaryData={}), "has the field binaryData, which is not known"),
    (config_map(data=["hunter2"]), "ConfigMap settings has data of type list"),
    (config_map(data={"port": 8080}), "data: the value of port is of type int"),
    (config_map(data={8080: "a"}), "data: the key 8080 is of type int"),
    (secret(stringData={"pin": 4711}), "the value of pin is of type int, a text"),
    (secret(data={"pin": "hunter2!"}), "Secret login, data: pin is not base64"),
    (config_map(binaryData={"b": "hunter2!"}), "binaryData: b is not base64; encode"),
    (config_map(data={"a b": "x"}), "has the key 'a b'; use letters"),
    (config_map(data={"a": "x"}, binaryData={"a": ""}), "the key a in data and in"),
    (config_map(data={"a": "é" * 524289}), "holds 1048578 bytes"),
    (secret(stringData={"a": "x" * 1048577}), "holds 1048577 bytes"),
    (config_map(metadata={"name": "settings", "labels": {"a": 1}}), "labels: the val"),
    ([config_map(), config_map(data={})], "ConfigMap settings is given twice; give"),
    (
        config_map("others"),
        "config: no container, volume or imagePullSecret of the definition refers to"
        " ConfigMap others; refer to it, or leave it out.",
    ),
    (secret("settings"), "refers to Secret settings"),
]


@pytest.mark.parametrize(("value", "sentence"), REFUSED)
def test_what_is_refused(value: object, sentence: str) -> None:
    with pytest.raises(BadInput) as refused:
        parsed(value)
    assert sentence in str(refused.value)
    assert "hunter2" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert "\n" not in str(refused.value)


# -- references ------------------------------------------------------------------------


def in_env(name: str, kind: str, **selector: t.Any) -> Object:
    source = {"ConfigMap": "configMapKeyRef", "Secret": "secretKeyRef"}[kind]
    value = {source: {"name": name, "key": "k", **selector}}
    return {"name": "A", "valueFrom": value}


def with_volume(**source: t.Any) -> Object:
    return template(containers=[{"name": "web"}], volumes=[{"name": "v", **source}])


def with_container(group: str = "containers", **fields: t.Any) -> Object:
    return template(**{group: [{"name": "web", **fields}]})


# Each kind of reference: the pod template that has only this one, and its kind.
PLACES: dict[str, tuple[Object, str]] = {
    "env ConfigMap": (with_container(env=[in_env("it", "ConfigMap")]), "ConfigMap"),
    "env Secret": (with_container(env=[in_env("it", "Secret")]), "Secret"),
    "envFrom ConfigMap": (
        with_container(envFrom=[{"configMapRef": {"name": "it"}}]),
        "ConfigMap",
    ),
    "envFrom Secret": (
        with_container(envFrom=[{"prefix": "A_", "secretRef": {"name": "it"}}]),
        "Secret",
    ),
    "init container": (
        with_container("initContainers", env=[in_env("it", "Secret")]),
        "Secret",
    ),
    "ephemeral container": (
        with_container(
            "ephemeralContainers", envFrom=[{"configMapRef": {"name": "it"}}]
        ),
        "ConfigMap",
    ),
    "volume ConfigMap": (with_volume(configMap={"name": "it"}), "ConfigMap"),
    "volume Secret": (with_volume(secret={"secretName": "it"}), "Secret"),
    "projected ConfigMap": (
        with_volume(projected={"sources": [{"configMap": {"name": "it"}}]}),
        "ConfigMap",
    ),
    "projected Secret": (
        with_volume(projected={"sources": [{"secret": {"name": "it"}}]}),
        "Secret",
    ),
    "imagePullSecrets": (template(imagePullSecrets=[{"name": "it"}]), "Secret"),
    "CSI": (
        with_volume(csi={"driver": "d", "nodePublishSecretRef": {"name": "it"}}),
        "Secret",
    ),
    "flexVolume": (with_volume(flexVolume={"secretRef": {"name": "it"}}), "Secret"),
    "rbd": (with_volume(rbd={"image": "i", "secretRef": {"name": "it"}}), "Secret"),
    "azureFile": (
        with_volume(azureFile={"secretName": "it", "shareName": "s"}),
        "Secret",
    ),
}
KEEPS_OTHERS = [
    with_container(env=[in_env("it", "Secret"), in_env("other", "Secret")]),
    template(
        serviceAccountName="it",
        volumes=[{"name": "it", "persistentVolumeClaim": {"claimName": "it"}}],
        imagePullSecrets=[{"name": "it"}, {"name": "other"}],
    ),
]


@pytest.mark.parametrize("place", PLACES)
def test_every_reference_is_rewritten(place: str) -> None:
    of_template, kind = PLACES[place]
    (reference,) = config.references(of_template)
    assert reference.ref == f"{kind}/it"
    given = [config.ConfigObject(kind, "it", {})]
    before = copy.deepcopy(of_template)
    rewritten = config.versioned(of_template, given, HASH)
    assert of_template == before
    text, its_text = json.dumps(before), json.dumps(rewritten)
    assert its_text == text.replace('"it"', f'"it-{HASH}"')
    other = "Secret" if kind == "ConfigMap" else "ConfigMap"
    of_other = [config.ConfigObject(other, "it", {})]
    assert config.versioned(of_template, of_other, HASH) == before


@pytest.mark.parametrize("of_template", KEEPS_OTHERS)
def test_what_refers_to_something_else_stays(of_template: Object) -> None:
    given = [config.ConfigObject("Secret", "it", {})]
    found = json.dumps(config.versioned(of_template, given, HASH))
    assert found.count(f"it-{HASH}") == 1
    assert f"other-{HASH}" not in found


@pytest.mark.parametrize(
    "spec",
    [
        {"containers": None, "volumes": "x"},
        {"containers": ["x"], "volumes": [{"name": "v", "secret": None}]},
        {"containers": [{"env": [{"name": "A"}], "envFrom": [None]}]},
        {"containers": [{"env": [{"valueFrom": {"fieldRef": {"fieldPath": "a"}}}]}]},
        {"volumes": [{"name": "v", "configMap": {"optional": True}}]},
    ],
)
def test_what_is_no_reference(spec: Object) -> None:
    assert list(config.references(template(**spec))) == []


LACKING = {
    "env": with_container(env=[in_env("it", "ConfigMap")]),
    "volume": with_volume(configMap={"name": "it", "items": [{"key": "k"}]}),
    "projected": with_volume(
        projected={"sources": [{"configMap": {"name": "it", "items": [{"key": "k"}]}}]}
    ),
}


@pytest.mark.parametrize("place", LACKING)
def test_a_key_that_is_missing_is_refused(place: str) -> None:
    of_template = LACKING[place]
    given = config_map("it", data={"a": "1"}, binaryData={"b": ""})
    with pytest.raises(BadInput) as refused:
        parsed(given, of_template)
    assert "asks for the key k of ConfigMap it" in str(refused.value)
    assert "whose keys in config are: a, b; add it" in str(refused.value)
    parsed(config_map("it", binaryData={"k": ""}), of_template)
    text = json.dumps(of_template).replace('"name": "it"', '"name": "it", "optional":1')
    parsed(given, json.loads(text))


# -- the hash --------------------------------------------------------------------------


def test_without_configuration_the_hash_is_that_of_the_template() -> None:
    assert deployment().hash == hash_of(template())


def test_the_hash_never_changes_by_itself() -> None:
    """What running revisions are named by: another value would make new ones."""
    assert deployment(config_map(), secret()).hash == "9781c78616"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (secret(), secret(data={"password": encoded("hunter2")})),
        (secret(), secret(data={"password": "aHVu\n dGVyMg=="})),
        (secret(), secret(type="Opaque", stringData={"password": "hunter2"})),
        (
            secret(),
            secret(data={"password": "eA=="}, stringData={"password": "hunter2"}),
        ),
        (config_map(), config_map(immutable=False)),
        (config_map(), config_map(binaryData=None)),
    ],
)
def test_what_means_the_same_has_one_hash(first: Object, second: Object) -> None:
    one_of_two = with_container(
        envFrom=[
            {"configMapRef": {"name": "settings"}},
            {"secretRef": {"name": "login"}},
        ]
    )
    assert (
        deployment(first, of_template=one_of_two).hash
        == deployment(second, of_template=one_of_two).hash
    )


@pytest.mark.parametrize(
    "other",
    [
        [config_map(data={"level": "debug"}), secret()],
        [config_map(), secret(stringData={"password": "hunter3"})],
        [config_map(), secret(type="a/b", stringData={"password": "hunter2"})],
        [config_map(metadata={"name": "settings", "labels": {"a": "b"}}), secret()],
        [config_map()],
        [],
    ],
)
def test_every_change_is_another_hash(other: list[Object]) -> None:
    assert deployment(*other).hash != deployment(config_map(), secret()).hash


def test_the_order_changes_nothing() -> None:
    assert deployment(*BOTH).hash == deployment(*reversed(BOTH)).hash


def test_a_guess_at_a_secret_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Invariant 9: salted with all else, and slow."""
    salts = []
    derive = config.hashlib.pbkdf2_hmac

    def seen(name: str, text: bytes, salt: bytes, rounds: int) -> bytes:
        assert rounds >= 600_000
        salts.append(salt)
        return derive(name, text, salt, 1)

    monkeypatch.setattr(config.hashlib, "pbkdf2_hmac", seen)
    made = deployment(*BOTH)
    assert made.hash == made.hash
    assert len(salts) == 1
    assert b"info" in salts[0]
    assert b"web:1" in salts[0]
    assert encoded("hunter2").encode() not in salts[0]
    assert deployment(config_map()).hash
    assert len(salts) == 1


# -- the revision ----------------------------------------------------------------------


def test_the_body_of_a_revision_refers_to_its_own() -> None:
    made = deployment(*BOTH)
    asked = parameters(config=tuple(c.ref for c in made.config))
    body = deployment_body(made, "web", "shop", 1, 3, asked, "0")
    revision_hash = body["metadata"]["labels"][names.LABEL_HASH]
    assert revision_hash == made.hash
    first, second = body["spec"]["template"]["spec"]["containers"][0]["envFrom"]
    assert first == {"configMapRef": {"name": f"settings-{revision_hash}"}}
    assert second == {"secretRef": {"name": f"login-{revision_hash}"}}
    kept = body["metadata"]["annotations"][names.ANNOTATION_PARAMETERS]
    assert Parameters.from_json(kept) == asked
    assert "hunter2" not in json.dumps(body)
    assert encoded("hunter2") not in json.dumps(body)


def test_parameters_of_before_say_that_there_is_none() -> None:
    before = Parameters.from_json('{"active_services":["web"]}')
    assert before is not None
    assert before.config == ()


# -- masking ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given", [BOTH, json.dumps(BOTH), yaml.safe_dump_all(BOTH)], ids=type
)
def test_values_of_secrets_are_masked(given: object) -> None:
    found = secrets_of(MODULES["bluegreen_rollout"], {"config": given})
    assert {"hunter2", encoded("hunter2")} <= found
    assert not found & {"info", "login", "Secret", "v1"}


def test_what_other_options_say_openly_is_not_masked() -> None:
    data = {
        "user": "shop-web",
        "state": "stable",
        "port": "80",
        "real": encoded("pass"),
    }
    params = {"name": "shop-web", "config": json.dumps([secret(data=data)])}
    found = secrets_of(MODULES["bluegreen_rollout"], params)
    assert not found & {"shop-web", "stable", "80", ""}
    assert {"pass", encoded("pass"), encoded("shop-web")} <= found


@pytest.mark.parametrize(
    "broken", ["a: [", [["x"]], 5, [{"kind": "Secret", "data": 5}]]
)
def test_what_cannot_be_read_holds_none_that_is_known(broken: object) -> None:
    assert config.secret_values(broken) == set()
