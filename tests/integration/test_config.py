# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""ConfigMaps and Secrets that belong to a revision, on a real API."""

from __future__ import annotations

import base64
import pathlib
import typing as t

import yaml

from ansible_collections.cutover.bluegreen.tests.integration.support import session
from ansible_collections.cutover.bluegreen.tests.integration.support.fault_proxy import (  # noqa: E501 - a module's name
    Fault,
    FaultProxy,
    first_of,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
    Kube,
    Object,
    resource_path,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.manifests import (
    deployment,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.plain import (
    run_plain,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.playbook import (
    Playbook,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.release import (
    ACTIVE,
    NAME,
    Release,
    message,
    rollout_of,
    steps_of,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.waiting import (
    eventually,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.watcher import (
    REVISION_LABEL,
    Watcher,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.wire import Wire

# Longer than any test.
LONG = 600
ROLLOUT = "cutover.bluegreen/rollout"
EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "config"
OURS = ("settings", "login")


def settings(level: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings", "labels": {"team": "shop"}},
        "data": {"LEVEL": level},
    }


def login(password: str = "hunter2-hunter2") -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "login"},
        "stringData": {"password": password},
    }


def configured(level: str = "info", **options: t.Any) -> dict[str, t.Any]:
    """The options of a deploy whose pods read both."""
    manifest = deployment(NAME, replicas=2)
    spec = manifest["spec"]["template"]["spec"]
    spec["containers"][0]["envFrom"] = [{"configMapRef": {"name": "settings"}}]
    spec["volumes"] = [{"name": "login", "secret": {"secretName": "login"}}]
    config = [settings(level), login()]
    return {"definition": manifest, "config": config, **options}


def found(release: Release) -> dict[str, Object]:
    """The configuration of the rollout's revisions in the cluster, by name."""
    return {
        item["metadata"]["name"]: item
        for resource in ("configmaps", "secrets")
        for item in release.kube.list(
            resource_path(resource, release.namespace),
            f"{ROLLOUT}={NAME},{REVISION_LABEL}",
        )
    }


def names_of(*hashes: str) -> set[str]:
    return {f"{name}-{revision}" for name in OURS for revision in hashes}


def referred_to(manifest: Object) -> tuple[str, str]:
    spec = manifest["spec"]["template"]["spec"]
    (source,) = spec["containers"][0]["envFrom"]
    (volume,) = spec["volumes"]
    return source["configMapRef"]["name"], volume["secret"]["secretName"]


def test_each_revision_has_its_own_until_it_goes(
    release: Release, wire: t.Callable[..., Wire]
) -> None:
    run = release.deploy(**configured("info")).check()
    first = release.hash_of(1)
    assert f"create ConfigMap settings-{first}, Secret login-{first}" in [
        # The order of kinds is nobody's business.
        step.replace(f"Secret login-{first}, ConfigMap", "ConfigMap")
        for step in steps_of(run)
    ]
    config, of_first = found(release), release.revisions()[1]
    assert set(config) == names_of(first)
    assert referred_to(of_first) == (f"settings-{first}", f"login-{first}")
    for item in config.values():
        assert item["immutable"]
        (owner,) = item["metadata"]["ownerReferences"]
        assert owner["uid"] == of_first["metadata"]["uid"]
    assert config[f"settings-{first}"]["data"] == {"LEVEL": "info"}
    assert config[f"settings-{first}"]["metadata"]["labels"]["team"] == "shop"
    password = config[f"login-{first}"]["data"]["password"]
    assert base64.b64decode(password).decode() == "hunter2-hunter2"

    sent = wire()
    assert not release.deploy(**configured("info")).check().changed
    assert sent.writes == []

    # Nothing but the configuration changes.
    kept = {"revision_history_limit": 1, "scale_down_delay_seconds": 0}
    release.deploy(**configured("debug", **kept)).check()
    second = release.hash_of(2)
    assert release.directed_to(ACTIVE) == 2
    assert set(found(release)) == names_of(first, second)
    assert referred_to(release.revisions()[1]) == referred_to(of_first)
    status = release.run("status").check()
    for listed in rollout_of(status)["revisions"]:
        assert {c.split()[1] for c in listed["config"]} == names_of(listed["hash"])
    for revision in (first, second):
        assert f"├─ ConfigMap settings-{revision}" in status.stdout

    # The way back needs no configuration, and brings the one of before.
    release.run("rollback").check()
    assert release.hash_of(3) == first
    assert release.directed_to(ACTIVE) == 3
    assert referred_to(release.revisions()[3]) == referred_to(of_first)
    annotation = release.revisions()[3]["metadata"]["annotations"]
    assert "ConfigMap/settings" in annotation["cutover.bluegreen/parameters"]

    release.deploy(**configured("warn", **kept)).check()
    third = release.hash_of(4)
    eventually(
        lambda: set(found(release)) == names_of(first, third), 30, "the oldest to go"
    )


def test_check_mode_lists_it_and_what_was_deleted_by_hand_comes_back(
    release: Release, wire: t.Callable[..., Wire]
) -> None:
    sent = wire()
    run = release.deploy(args=["--check"], **configured()).check()
    planned = [step for step in steps_of(run) if "ConfigMap settings-" in step]
    assert len(planned) == 1
    assert "Secret login-" in planned[0]
    assert sent.writes == []
    assert found(release) == {}

    release.deploy(**configured()).check()
    first = release.hash_of(1)
    release.deploy(**configured("debug")).check()
    second = release.hash_of(2)
    for revision in (first, second):
        release.kube.delete(
            resource_path("secrets", release.namespace, f"login-{revision}")
        )
    refused = message(release.run("rollback"))
    assert f"Secret login-{first} of revision 1" in refused
    assert release.directed_to(ACTIVE) == 2
    release.deploy(**configured("debug")).check()
    assert set(found(release)) == {*names_of(second), f"settings-{first}"}
    release.deploy(**configured("info")).check()
    assert set(found(release)) == names_of(first, second)


def test_killed_in_the_middle_it_goes_on_and_nothing_is_left_over(
    release: Release, cluster: session.Cluster, tmp_path: pathlib.Path
) -> None:
    """Invariant 5."""

    def killed_at(proxy: FaultProxy, request: str, level: str) -> None:
        line = proxy.line(first_of({request}, Fault.KILL_BEFORE))
        handle = release.start_deploy(env=line.environment, **configured(level))
        line.leads(handle)
        handle.wait()
        line.await_kill()

    with FaultProxy(cluster.kubeconfig, tmp_path) as proxy:
        killed_at(proxy, "create deployments", "info")
        assert release.sizes() == {}
        left = set(found(release))
        assert len(left) == 2
        # Another one, up to the owner of its configuration.
        killed_at(proxy, "patch secrets", "debug")
    (number,) = release.revisions()
    before = found(release)
    assert set(before) == names_of(release.hash_of(number))
    assert not left & set(before)
    release.deploy(**configured("debug")).check()
    after = found(release)
    owner = release.revisions()[number]["metadata"]["uid"]
    assert {i["metadata"]["uid"] for i in after.values()} == {
        i["metadata"]["uid"] for i in before.values()
    }
    for item in after.values():
        assert [o["uid"] for o in item["metadata"]["ownerReferences"]] == [owner]


def test_a_name_that_somebody_else_has_is_refused(
    release: Release, kube: Kube, namespace: str
) -> None:
    run = release.deploy(args=["--check"], **configured()).check()
    (line,) = [s for s in steps_of(run) if "ConfigMap settings-" in s]
    name = next(w.strip(",") for w in line.split() if w.startswith("settings-"))
    path = resource_path("configmaps", namespace)
    kube.create(path, {"metadata": {"name": name}})
    refused = message(release.deploy(**configured()))
    assert f"config: ConfigMap {name} exists already" in refused
    assert release.record() == {}
    assert release.sizes() == {}
    # What only the API server knows to be wrong is refused before the first write, too.
    config = [settings("info"), login()]
    config[1]["type"] = "kubernetes.io/tls"
    refused = message(release.deploy(**configured(config=config)))
    assert "bluegreen_config: " in refused
    assert "tls.crt" in refused
    assert release.record() == {}


def test_a_plain_deployment_is_adopted_as_it_is_and_then_configured(
    release: Release, kube: Kube, namespace: str, watcher: t.Callable[..., Watcher]
) -> None:
    for resource, item in (("configmaps", settings("info")), ("secrets", login())):
        kube.create(resource_path(resource, namespace), item)
    options = configured()
    plain = run_plain(kube, namespace, options["definition"])
    seen = watcher(ACTIVE)
    release.deploy(**options).check()
    assert release.directed_to(ACTIVE) == 2
    assert referred_to(release.revisions()[1]) == OURS
    second = release.hash_of(2)
    assert set(found(release)) == names_of(second)
    seen.assert_never_below(ACTIVE, 2)

    # Ejected, the pods keep what they read; released again, it is the revision's.
    release.run("eject").check()
    assert set(found(release)) == names_of(second)
    assert len(plain.pods()) == 2
    release.deploy(**options).check()
    assert release.hash_of(1) == second
    owner = release.revisions()[1]["metadata"]["uid"]
    for item in found(release).values():
        assert [o["uid"] for o in item["metadata"]["ownerReferences"]] == [owner]
    seen.assert_never_below(ACTIVE, 2)


def test_the_example_works(playbook: Playbook, kube: Kube, namespace: str) -> None:
    given = yaml.safe_load((EXAMPLE / "release.yml").read_text())
    given["bluegreen_namespace"] = namespace
    given["bluegreen_definition"] = str(EXAMPLE / "web.yml")
    config = given["bluegreen_config"]
    config[0] = str(EXAMPLE / config[0])
    given["database_password"] = "hunter2-hunter2"
    playbook("cutover.bluegreen.deploy", given).check()
    (made,) = kube.list(resource_path("deployments", namespace), f"{ROLLOUT}=web")
    revision = made["metadata"]["labels"][REVISION_LABEL]
    label = f"{REVISION_LABEL}={revision}"
    for resource, names in (
        ("configmaps", ["web-pages", "web-settings"]),
        ("secrets", ["web-credentials"]),
    ):
        items = kube.list(resource_path(resource, namespace), label)
        assert sorted(i["metadata"]["name"] for i in items) == [
            f"{name}-{revision}" for name in names
        ]
