# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every way to say where the API server is, and that no secret leaves its place."""

from __future__ import annotations

import base64
import json
import pathlib
import typing as t

import pytest
import yaml

from ansible_collections.cutover.bluegreen.tests.integration.support import session
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
    release_vars,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.playbook import (
    Playbook,
    Run,
)

DEPLOY = "cutover.bluegreen.deploy"
INFO = "cutover.bluegreen.bluegreen_info"
GROUP = "group/cutover.bluegreen.bluegreen"
RIGHTS = {"*": ["*"]}


class Access:
    """What the embedded cluster's kubeconfig holds, taken apart."""

    def __init__(self, kubeconfig: pathlib.Path, folder: pathlib.Path) -> None:
        self.kubeconfig = kubeconfig
        self.config: Object = yaml.safe_load(kubeconfig.read_text())
        self.cluster = self.config["clusters"][0]["cluster"]
        self.host: str = self.cluster["server"]
        self._folder = folder
        self.ca_cert = self._file(self.cluster, "certificate-authority")
        users = [u["user"] for u in self.config["users"]]
        (holder,) = [u for u in users if any("client-certificate" in k for k in u)]
        self.client_cert = self._file(holder, "client-certificate")
        self.client_key = self._file(holder, "client-key")
        (self.token,) = [u["token"] for u in users if "token" in u]

    def _file(self, section: Object, key: str) -> str:
        if key in section:
            return str(self.kubeconfig.parent / section[key])
        path = self._folder / key
        path.write_bytes(base64.b64decode(section[f"{key}-data"]))
        return str(path)


@pytest.fixture
def access(cluster: session.Cluster, tmp_path: pathlib.Path) -> Access:
    if not cluster.embedded:
        pytest.skip("this takes the embedded cluster's kubeconfig apart")
    return Access(cluster.kubeconfig, tmp_path)


def task(namespace: str, **options: t.Any) -> dict[str, t.Any]:
    return {INFO: {"name": "web", "namespace": namespace, **options}}


def play_of(*tasks: t.Mapping[str, t.Any], **keywords: t.Any) -> dict[str, t.Any]:
    return {
        "hosts": "localhost",
        "gather_facts": False,
        "connection": "local",
        "tasks": [{"name": f"Look {i}", **one} for i, one in enumerate(tasks)],
        **keywords,
    }


NOWHERE = {"KUBECONFIG": "/nowhere/config"}


def assert_all_looked(run: Run, count: int) -> None:
    results = run.check().of(INFO)
    assert len(results) == count
    assert all(r.result["exists"] is False for r in results)


def test_the_ways_to_connect(
    namespace: str,
    playbook: Playbook,
    path: t.Literal["action", "module"],
    access: Access,
) -> None:
    """Each task says it in another way; the process itself is told nothing."""
    token = {"host": access.host, "api_key": access.token}
    certificate = {
        "host": access.host,
        "client_cert": access.client_cert,
        "client_key": access.client_key,
    }
    authority = {"ca_cert": access.ca_cert}
    variables = {
        "K8S_AUTH_HOST": access.host,
        "K8S_AUTH_API_KEY": access.token,
        "K8S_AUTH_SSL_CA_CERT": access.ca_cert,
    }
    inline = json.loads(json.dumps(access.config))
    inline["clusters"][0]["cluster"]["certificate-authority"] = access.ca_cert
    tasks = [
        task(namespace, kubeconfig=str(access.kubeconfig)),
        task(namespace, kubeconfig=str(access.kubeconfig), context="certificate"),
        task(namespace, kubeconfig=inline),
        task(namespace, **token, **authority),
        task(namespace, **certificate, **authority),
        {**task(namespace), "environment": variables},
        {**task(namespace), "environment": {"KUBECONFIG": str(access.kubeconfig)}},
        {
            **task(namespace),
            "environment": {
                "K8S_AUTH_KUBECONFIG": str(access.kubeconfig),
                "K8S_AUTH_CONTEXT": "certificate",
            },
        },
        # An option goes before a variable.
        {
            **task(namespace, kubeconfig=str(access.kubeconfig)),
            "environment": {"K8S_AUTH_KUBECONFIG": "/nowhere/other"},
        },
    ]
    run = playbook(play_of(*tasks), env=NOWHERE, path=path)
    assert_all_looked(run, len(tasks))


def test_variables_of_the_process_itself(
    namespace: str, playbook: Playbook, access: Access
) -> None:
    """As an AWX credential sets them."""
    variables = {
        "KUBECONFIG": None,
        "K8S_AUTH_HOST": access.host,
        "K8S_AUTH_API_KEY": access.token,
        "K8S_AUTH_VERIFY_SSL": "False",
    }
    run = playbook(play_of(task(namespace)), env=variables)
    assert_all_looked(run, 1)
    assert "TLS verification" in run.stdout + run.stderr


def test_module_defaults_of_the_group(
    namespace: str,
    playbook: Playbook,
    path: t.Literal["action", "module"],
    access: Access,
) -> None:
    """Set once for a play: the role's own tasks go by it, too."""
    given = {
        "host": access.host,
        "api_key": access.token,
        "ca_cert": access.ca_cert,
    }
    release = release_vars(namespace, deployment("web"), active_service=service("web"))
    play = play_of(
        module_defaults={GROUP: given}, roles=["cutover.bluegreen.bluegreen"]
    )
    run = playbook(play, release, env=NOWHERE, path=path).check()
    rollout = run.of("bluegreen_rollout")[0].result["rollout"]
    assert rollout["name"] == "web"


@pytest.mark.parametrize("validate", [False, True])
def test_validate_certs(
    namespace: str,
    playbook: Playbook,
    path: t.Literal["action", "module"],
    access: Access,
    validate: bool,
) -> None:
    """Off, it connects and warns; on, a certificate nobody vouches for is refused."""
    token = {"host": access.host, "api_key": access.token}
    one = task(namespace, **token, validate_certs=validate)
    run = playbook(play_of(one), env=NOWHERE, path=path)
    if validate:
        assert run.rc != 0
        message = run.of(INFO)[0].result["msg"]
        assert "check ca_cert" in message
        assert access.token not in message
    else:
        run.check()
        assert "TLS verification" in run.stdout + run.stderr


def everything_in(kube: Kube, namespace: str) -> str:
    """Return every object that a release may have written, as text."""
    resources = ("configmaps", "events", "leases", "services", "deployments", "pods")
    return json.dumps([kube.list(resource_path(r, namespace)) for r in resources])


@pytest.mark.parametrize(
    "way", ["api_key", "kubeconfig", "environment", "task environment", "refused"]
)
def test_no_secret_leaves_its_place(
    kube: Kube,
    namespace: str,
    playbook: Playbook,
    path: t.Literal["action", "module"],
    access: Access,
    way: str,
) -> None:
    """Invariant 9, at the highest verbosity."""
    if (way, path) == ("task environment", "module"):
        pytest.skip("Ansible itself shows the command line, environment first")
    secret = "canary-4f1d" if way == "refused" else access.token
    token = {"host": access.host, "api_key": secret, "ca_cert": access.ca_cert}
    inline = json.loads(json.dumps(access.config))
    inline["clusters"][0]["cluster"]["certificate-authority"] = access.ca_cert
    given: dict[str, t.Any] = {"kubeconfig": inline} if way == "kubeconfig" else token
    play = play_of(roles=["cutover.bluegreen.bluegreen"])
    env: dict[str, str | None] = dict(NOWHERE)
    variables = {f"K8S_AUTH_{key.upper()}": value for key, value in token.items()}
    if way == "environment":
        env = {"KUBECONFIG": None, **variables}
    elif way == "task environment":
        play["environment"] = variables
    else:
        play["module_defaults"] = {GROUP: given}
    release = release_vars(namespace, deployment("web"), active_service=service("web"))
    run = playbook(play, release, args=["-vvvv", "--diff"], env=env, path=path)
    assert (run.rc == 0) == (way != "refused"), run
    assert secret not in run.stdout
    assert secret not in run.stderr
    for result in run.results:
        assert secret not in json.dumps(result.result)
    assert secret not in everything_in(kube, namespace)
