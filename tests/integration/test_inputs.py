# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each variable as AWX and the command line send it: strings, '' and null."""

from __future__ import annotations

import json
import typing as t

import pytest
import yaml

from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
    Kube,
    Object,
    resource_path,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.manifests import (
    deployment,
    service,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.plain import (
    Plain,
    release_vars,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.playbook import (
    Playbook,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.watcher import (
    REVISION_LABEL,
)

DEPLOY = "cutover.bluegreen.deploy"
PARAMETERS = "cutover.bluegreen/parameters"

# Of every option: as a survey sends it, and what the release then goes by.
STRINGS: dict[str, tuple[str, t.Any]] = {
    "preview_replica_count": ("2", 2),
    "scale_up_steps": ("25%,50%,100%", ["25%", "50%", "100%"]),
    "scale_up_interval_seconds": ("1", 1),
    "auto_promotion_enabled": ("false", False),
    "auto_promotion_seconds": ("7", 7),
    "scale_down_delay_seconds": ("5", 5),
    "scale_down_delay_revision_limit": ("4", 4),
    "abort_scale_down_delay_seconds": ("-1", -1),
    "progress_deadline_seconds": ("90", 90),
    "progress_deadline_abort": ("true", True),
    "min_ready_seconds": ("1", 1),
    "revision_history_limit": ("2", 2),
}
OPTIONAL = (
    *STRINGS,
    "preview_service",
    "other_services",
    "accept_field_manager",
    "cutover",
)


def parameters_of(kube: Kube, namespace: str) -> dict[str, t.Any]:
    """Return what the newest revision was released with."""
    found = kube.list(resource_path("deployments", namespace))
    newest = max(
        found,
        key=lambda d: int(d["metadata"]["annotations"]["cutover.bluegreen/revision"]),
    )
    text = newest["metadata"]["annotations"][PARAMETERS]
    return t.cast("dict[str, t.Any]", json.loads(text))


def steps_of(parameters: dict[str, t.Any]) -> list[str]:
    return [str(step) for step in parameters["scale_up_steps"]]


@pytest.mark.lane
def test_every_variable_as_a_string(
    kube: Kube, namespace: str, playbook: Playbook, path: t.Literal["action", "module"]
) -> None:
    """The gate stays shut by the string "false": invariant 6."""
    strings = {
        "name": "web",
        "namespace": namespace,
        "definition": yaml.safe_dump(deployment("web", version="1")),
        "active_service": json.dumps(service("web")),
        "preview_service": json.dumps(
            [service("web-preview", selector={"app": "web"})]
        ),
        "other_services": "metrics,more",
        "accept_field_manager": "flux,argo",
        "cutover": "atomic",
        "wait": "inline",
        "progress": "true",
        "end_host_when_paused": "false",
        **{name: text for name, (text, _value) in STRINGS.items()},
    }
    kube.create(
        resource_path("services", namespace),
        service("metrics", selector={"app": "web"}),
    )

    def run(version: str) -> t.Any:
        strings["definition"] = json.dumps(deployment("web", version=version))
        args = []
        for name, value in strings.items():
            # As `-e key=value` has it: everything is a string.
            args += ["-e", json.dumps({f"bluegreen_{name}": value})]
        return playbook(DEPLOY, args=args, path=path).check()

    run("1")
    result = run("2").of("bluegreen_pause")[0].result["rollout"]
    assert result["phase"] == "Paused"
    assert result["active"]["revision"] == 1
    parameters = parameters_of(kube, namespace)
    for name, (_text, value) in STRINGS.items():
        assert parameters[name] == value, name
    assert parameters["active_services"] == ["web"]
    assert parameters["preview_services"] == ["web-preview"]
    (preview,) = [r for r in result["revisions"] if r["revision"] == 2]
    assert preview["replicas"] == 2


@pytest.mark.parametrize("empty", ["", None])
def test_nothing_in_every_optional_variable_is_not_given(
    kube: Kube,
    namespace: str,
    playbook: Playbook,
    path: t.Literal["action", "module"],
    empty: str | None,
) -> None:
    manifest = deployment("web")
    release = release_vars(namespace, manifest, active_service=service("web"))
    plain = {**release, **{f"bluegreen_{name}": empty for name in OPTIONAL}}
    plain["bluegreen_wait"] = "detach"
    playbook(DEPLOY, plain, path=path).check()
    given = parameters_of(kube, namespace)
    assert given == {"replicas": 3, "active_services": ["web"]}
    assert Plain(kube, namespace, "web").ready() == 3


LISTS: list[tuple[t.Any, list[str]]] = [
    (["25%", "50%"], ["25%", "50%"]),
    ([1, 2], ["1", "2"]),
    ("1,2,3", ["1", "2", "3"]),
    ('["1", "2"]', ["1", "2"]),
    ("[1, 2]", ["1", "2"]),
    ("50%", ["50%"]),
    (2, ["2"]),
]


def test_steps_in_every_shape(
    kube: Kube, make_namespace: t.Callable[[], str], playbook: Playbook
) -> None:
    places = {f"steps-{i}": make_namespace() for i in range(len(LISTS))}
    hosts: dict[str, Object] = {}
    for (host, namespace), (given, _wanted) in zip(places.items(), LISTS, strict=True):
        hosts[host] = release_vars(
            namespace,
            deployment("web", replicas=3),
            active_service=service("web"),
            scale_up_steps=given,
        )
    inventory = {"all": {"hosts": hosts}}
    playbook(DEPLOY, {"bluegreen_hosts": "all"}, inventory=inventory).check()
    for namespace, (given, wanted) in zip(places.values(), LISTS, strict=True):
        assert steps_of(parameters_of(kube, namespace)) == wanted, given


def test_a_definition_in_every_shape_has_the_same_hash(
    make_namespace: t.Callable[[], str],
    playbook: Playbook,
    path: t.Literal["action", "module"],
) -> None:
    manifest = deployment("web")
    shapes = {
        "mapping": manifest,
        "yaml": yaml.safe_dump(manifest),
        "json": json.dumps(manifest),
        "relative": "app/web.yml",
        "home": "~/web.yml",
    }
    files = {
        "app/web.yml": yaml.safe_dump(manifest),
        "../home/web.yml": json.dumps(manifest),
    }
    hosts = {}
    for shape, definition in shapes.items():
        release = release_vars(
            make_namespace(), manifest, active_service=service("web")
        )
        hosts[shape] = {**release, "bluegreen_definition": definition}
    run = playbook(
        DEPLOY,
        {"bluegreen_hosts": "all"},
        inventory={"all": {"hosts": hosts}},
        args=["--check"],
        files=files,
        path=path,
    ).check()
    results = run.of("bluegreen_rollout")
    assert {r.host for r in results} == set(shapes)
    for each in results:
        # It is written down here because a change of it would release every
        # application anew.
        assert any("(04ffd79d74)" in s for s in each.result["rollout"]["steps"])


def test_services_in_every_shape(
    kube: Kube, make_namespace: t.Callable[[], str], playbook: Playbook
) -> None:
    """A name, a manifest, a list of either, and each as text."""
    there, new = service("there", selector={"app": "web"}), service("new")
    new["spec"]["selector"] = {"app": "web"}
    shapes: list[tuple[t.Any, set[str]]] = [
        ("there", {"there"}),
        (new, {"new"}),
        (["there", new], {"there", "new"}),
        (yaml.safe_dump(new), {"new"}),
        (json.dumps(["there", new]), {"there", "new"}),
        ("[there]", {"there"}),
    ]
    hosts, places = {}, []
    for i, (shape, wanted) in enumerate(shapes):
        namespace = make_namespace()
        if "there" in wanted:
            kube.create(resource_path("services", namespace), there)
        hosts[f"shape-{i}"] = release_vars(
            namespace, deployment("web"), active_service=shape
        )
        places.append(namespace)
    inventory = {"all": {"hosts": hosts}}
    playbook(DEPLOY, {"bluegreen_hosts": "all"}, inventory=inventory).check()
    for namespace, (_shape, wanted) in zip(places, shapes, strict=True):
        directed = {
            s["metadata"]["name"]
            for s in kube.list(resource_path("services", namespace))
            if REVISION_LABEL in s["spec"]["selector"]
        }
        assert directed == wanted
