# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Invariant 9: no secret leaves its place.

Each place that takes a secret gets one of its own, so that a leak tells where it came
from. Looked at is all that a run shows, keeps and leaves behind, at the highest
verbosity.
"""

from __future__ import annotations

import base64
import contextlib
import json
import pathlib
import secrets
import typing as t

import pytest
import yaml

from ansible_collections.cutover.bluegreen.tests.integration.support import session
from ansible_collections.cutover.bluegreen.tests.integration.support.access import (
    DocumentedAccount,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.analysis import (
    POST,
    PRE,
    as_file,
    job_metric,
    template,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
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
    Handle,
    Playbook,
    Run,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.release import (
    ACTIVE,
    Path,
    Release,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.http_server import (
    HttpServer,
    Received,
    Reply,
)

LOUD = ("-vvvv", "--diff")
KEPT = ("configmaps", "leases", "events", "jobs", "deployments", "services", "pods")
# What the test itself writes for a run to read.
GIVEN = ("vars.json", "play.yml", "inventory.yml")


class Canaries:
    """Secrets by the name of the place that they are given in."""

    def __init__(self) -> None:
        self._spellings: dict[str, list[str]] = {}

    def new(self, place: str) -> str:
        secret = f"canary-{place}-{secrets.token_hex(8)}"
        self.add(place, secret)
        return secret

    def add(self, place: str, *spellings: str) -> None:
        """A secret that is not ours to choose, or another way to write one."""
        assert all(len(s) > 8 for s in spellings)
        self._spellings.setdefault(place, []).extend(spellings)

    def leaked_in(self, text: str) -> list[str]:
        """The places whose secrets stand in a text."""
        return [
            place
            for place, spellings in self._spellings.items()
            if any(spelling in text for spelling in spellings)
        ]


@pytest.fixture
def canaries() -> Canaries:
    return Canaries()


def environment_of(folder: pathlib.Path) -> dict[str, str]:
    """Every way in which Ansible writes results down."""
    return {
        "ANSIBLE_LOG_PATH": str(folder / "ansible.log"),
        "ANSIBLE_CALLBACKS_ENABLED": "results_lines,ansible.builtin.tree",
        "ANSIBLE_CALLBACK_TREE_DIR": str(folder / "tree"),
    }


def command_lines(handle: Handle) -> str:
    """Those of all processes of a run."""
    found = []
    for pid in handle.processes():
        with contextlib.suppress(OSError):
            found.append(pathlib.Path(f"/proc/{pid}/cmdline").read_bytes())
    return b"\n".join(found).replace(b"\0", b" ").decode(errors="replace")


def left_by(run: Run) -> dict[str, str]:
    """The text of each file that a run has left: logs, results, temporary files."""
    base = run.folder.parent
    files = [p for p in base.rglob("*") if p.is_file() and p.name not in GIVEN]
    return {str(p.relative_to(base)): p.read_text(errors="replace") for p in files}


def assert_silent(
    canaries: Canaries, release: Release, run: Run, folder: pathlib.Path
) -> None:
    texts = {**left_by(run), "results": json.dumps([r.result for r in run.results])}
    logs = [folder / "ansible.log", *(folder / "tree").iterdir()]
    texts |= {str(log): log.read_text() for log in logs}
    for resource in KEPT:
        found = release.kube.list(resource_path(resource, release.namespace))
        texts[resource] = json.dumps(found)
    assert {"stdout", "stderr"} <= set(texts)
    leaks = {where: canaries.leaked_in(text) for where, text in texts.items()}
    assert {where: found for where, found in leaks.items() if found} == {}


# -- what an analysis is given ---------------------------------------------------------

PLACES = ("bearer", "basic", "oauth2", "header", "body")
IN_CLUSTER = ("bearer", "header")


def argument(place: str) -> str:
    return f"{{{{args.{place}}}}}"


def measured(server: HttpServer) -> Object:
    """A template with a metric for each place, and a Job beside them."""
    url = f"{server.url}/rate"
    token_url = f"{server.url}/token"
    oauth2 = {
        "tokenUrl": token_url,
        "clientId": "client",
        "clientSecret": argument("oauth2"),
    }
    basic = {"username": "user", "password": argument("basic")}
    web: dict[str, dict[str, t.Any]] = {
        "bearer": {"authentication": {"bearerToken": argument("bearer")}},
        "basic": {"authentication": {"basicAuth": basic}},
        "oauth2": {"authentication": {"oauth2": oauth2}},
        "header": {"headers": [{"key": "X-Key", "value": argument("header")}]},
        "body": {"method": "POST", "body": f"key={argument('body')}"},
    }
    metrics = [
        {
            "name": place,
            "successCondition": "result.rate == 1",
            "provider": {"web": {"url": url, "timeoutSeconds": 10, **config}},
        }
        for place, config in web.items()
    ]
    args = [
        {
            "name": place,
            "valueFrom": {"secretKeyRef": {"name": f"meter-{place}", "key": "token"}},
        }
        for place in PLACES
    ]
    # The others decide; it is there to be looked at.
    dry = [{"metricName": "smoke"}]
    return template("all", *metrics, job_metric(), args=args, dryRun=dry)


def echo(request: Received, rate: object, status: int) -> Reply:
    """A server that tells everybody what it was told."""
    told = {"headers": dict(request.headers), "body": request.body.decode()}
    return Reply({"rate": rate, "told": told, "target": request.target}, status)


OUTCOMES: dict[str, tuple[object, int]] = {
    "passes": (1, 200),
    "fails": (0, 200),
    "errs": (1, 500),
}


class Measured:
    """A release whose server looks at the run's processes while it is asked."""

    def __init__(
        self,
        release: Release,
        server: HttpServer,
        canaries: Canaries,
        folder: pathlib.Path,
    ) -> None:
        self._release = release
        self._folder = folder
        self._handle: Handle | None = None
        self.command_lines: list[str] = []
        self._server = server
        self._given: dict[str, t.Any] = {
            "analysis_templates": as_file(folder, measured(server)),
            "analysis_secrets": self._placed(canaries),
            PRE: "all",
            POST: "all",
        }
        token = canaries.new("access-token")
        server.reply({"access_token": token, "expires_in": 600}, path="/token")

    def _placed(self, canaries: Canaries) -> dict[str, dict[str, str]]:
        """Some in Secrets of the namespace; the others are returned."""
        values = {place: canaries.new(place) for place in PLACES}
        for place, user in (("basic", "user"), ("oauth2", "client")):
            pair = f"{user}:{values[place]}".encode()
            canaries.add(place, base64.b64encode(pair).decode())
        path = resource_path("secrets", self._release.namespace)
        for place in IN_CLUSTER:
            data = {"token": values[place]}
            body = {"metadata": {"name": f"meter-{place}"}, "stringData": data}
            self._release.kube.create(path, body)
            canaries.add(place, base64.b64encode(values[place].encode()).decode())
        return {
            f"meter-{place}": {"token": value}
            for place, value in values.items()
            if place not in IN_CLUSTER
        }

    def answers(self, rate: object, status: int) -> None:
        def answer(request: Received) -> Reply:
            if self._handle is not None:
                self.command_lines.append(command_lines(self._handle))
            return echo(request, rate, status)

        self._server.reply(answer, path="/rate")

    def deploy(self, version: str, *args: str) -> Run:
        handle = self._release.start_deploy(
            version,
            args=[*LOUD, *args],
            env=environment_of(self._folder),
            **self._given,
        )
        self._handle = handle
        return handle.wait()


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_measured_release(
    release: Release,
    account: DocumentedAccount,
    canaries: Canaries,
    tmp_path: pathlib.Path,
    path: Path,
    outcome: str,
) -> None:
    canaries.add("kubeconfig", account.token)
    release.path = path
    release.deploy("1").check()
    folder = tmp_path / "given"
    folder.mkdir()
    with HttpServer() as server:
        it = Measured(release, server, canaries, folder)
        it.answers(*OUTCOMES[outcome])
        assert_silent(canaries, release, it.deploy("2", "--check").check(), folder)
        assert release.sizes() == {1: 2}
        run = it.deploy("2")
        asked = server.requests
    promoted = release.directed_to(ACTIVE) == 2
    assert promoted == (outcome == "passes"), run
    assert (run.rc == 0) == (outcome == "passes"), run
    assert_silent(canaries, release, run, folder)
    if outcome == "passes":
        # They arrived where they belong; else the first that fails ends the others.
        arrived = json.dumps([[dict(r.headers), r.body.decode()] for r in asked])
        assert {*PLACES, "access-token"} <= set(canaries.leaked_in(arrived))
    assert it.command_lines
    assert canaries.leaked_in("\n".join(it.command_lines)) == []


# -- what a revision is given ----------------------------------------------------------


def given_secret(canaries: Canaries, **fields: t.Any) -> Object:
    """A Secret as its owner may write it, in every spelling of a value."""
    places = {"string": "stringData", "data": "data", "lines": "stringData"}
    body: Object = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "login"},
        **fields,
    }
    for key, part in places.items():
        value = canaries.new(key)
        canaries.add(key, base64.b64encode(value.encode()).decode())
        if key == "lines":
            canaries.add(key, base64.b64encode(f"first\n{value}\n".encode()).decode())
            value = f"first\n{value}\n"
        if part == "data":
            value = base64.b64encode(value.encode()).decode()
        body.setdefault(part, {})[key] = value
    return body


@pytest.mark.parametrize("outcome", ["passes", "refused here", "refused there"])
def test_a_release_with_configuration(
    release: Release,
    account: DocumentedAccount,
    canaries: Canaries,
    tmp_path: pathlib.Path,
    path: Path,
    outcome: str,
) -> None:
    canaries.add("kubeconfig", account.token)
    release.path = path
    folder = tmp_path / "given"
    folder.mkdir()
    manifest = deployment("web", replicas=1)
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    read = "other" if outcome == "refused here" else "login"
    container["envFrom"] = [{"secretRef": {"name": read}}]
    # Which the API server knows to need other keys.
    kind = "kubernetes.io/tls" if outcome == "refused there" else "Opaque"
    body = given_secret(canaries, type=kind)
    text = yaml.safe_dump(body, default_style="|")
    run = release.start_deploy(
        definition=manifest,
        config=[body] if outcome == "passes" else text,
        args=LOUD,
        env=environment_of(folder),
    ).wait()
    assert (run.rc == 0) == (outcome == "passes"), run
    assert_silent(canaries, release, run, folder)
    if outcome == "passes":
        found = release.kube.list(resource_path("secrets", release.namespace))
        arrived = canaries.leaked_in(json.dumps(found))
        assert {"string", "data", "lines"} <= set(arrived)


# -- what a connection is given --------------------------------------------------------

GROUP = "group/cutover.bluegreen.bluegreen"
NOWHERE = {"KUBECONFIG": "/nowhere/config"}
# Nobody listens there.
PROXY = "http://user:{}@127.0.0.1:9"


@pytest.fixture
def config(cluster: session.Cluster) -> Object:
    """The embedded cluster's kubeconfig."""
    if not cluster.embedded:
        pytest.skip("this takes the embedded cluster's kubeconfig apart")
    return t.cast(Object, yaml.safe_load(cluster.kubeconfig.read_text()))


class Connections:
    """Each way to connect, with a secret in each place; the options and variables."""

    def __init__(
        self, config: Object, token: str, canaries: Canaries, folder: pathlib.Path
    ) -> None:
        self._token = token
        self._canaries = canaries
        self._cluster = config["clusters"][0]["cluster"]
        ca = base64.b64decode(self._cluster["certificate-authority-data"])
        (folder / "ca.crt").write_bytes(ca)
        self._where = {
            "host": self._cluster["server"],
            "ca_cert": str(folder / "ca.crt"),
        }
        self._folder = folder
        (self._holder,) = [
            u["user"] for u in config["users"] if "client-key-data" in u["user"]
        ]

    def _key(self) -> Object:
        data = self._holder["client-key-data"]
        key = base64.b64decode(data).decode()
        self._canaries.add("client key", data, *key.splitlines()[1:-2])
        return dict(self._holder)

    def api_key(self) -> tuple[Object, Object]:
        self._canaries.add("api_key", self._token)
        return {**self._where, "api_key": self._token}, NOWHERE

    def kubeconfig(self) -> tuple[Object, Object]:
        self._canaries.add("kubeconfig", self._token)
        return {"kubeconfig": self._inline({"token": self._token})}, NOWHERE

    def kubeconfig_with_a_key(self) -> tuple[Object, Object]:
        return {"kubeconfig": self._inline(self._key())}, NOWHERE

    def kubeconfig_with_a_password(self) -> tuple[Object, Object]:
        user = {"username": "user", "password": self._password("kubeconfig password")}
        return {"kubeconfig": self._inline(user)}, NOWHERE

    def kubeconfig_with_a_proxy(self) -> tuple[Object, Object]:
        inline = self._inline({"token": self._canaries.new("kubeconfig token")})
        proxy = PROXY.format(self._canaries.new("kubeconfig proxy"))
        (cluster,) = inline["clusters"]
        cluster["cluster"] = {**cluster["cluster"], "proxy-url": proxy}
        return {"kubeconfig": inline}, NOWHERE

    def _inline(self, user: Object) -> Object:
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "it", "cluster": self._cluster}],
            "users": [{"name": "it", "user": user}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "current-context": "it",
        }

    def client_key(self) -> tuple[Object, Object]:
        """As files; the key is nobody's to show."""
        holder = self._key()
        options = dict(self._where)
        for name in ("certificate", "key"):
            file = self._folder / f"client.{name}"
            file.write_bytes(base64.b64decode(holder[f"client-{name}-data"]))
            options[f"client_{name.replace('certificate', 'cert')}"] = str(file)
        return options, NOWHERE

    def password(self) -> tuple[Object, Object]:
        password = self._password("password")
        return {**self._where, "username": "user", "password": password}, NOWHERE

    def _password(self, place: str) -> str:
        password = self._canaries.new(place)
        pair = base64.b64encode(f"user:{password}".encode()).decode()
        self._canaries.add(place, pair)
        return password

    def proxy(self) -> tuple[Object, Object]:
        proxy = PROXY.format(self._password("proxy"))
        headers = {
            name: f"user:{self._password(name)}"
            for name in ("proxy_basic_auth", "basic_auth")
        }
        options = {**self._where, "proxy": proxy, "proxy_headers": headers}
        return {**options, "api_key": self._canaries.new("api_key")}, NOWHERE

    def environment(self) -> tuple[Object, Object]:
        options, _env = self.api_key()
        return {}, as_environment(options)

    def environment_with_a_password(self) -> tuple[Object, Object]:
        options, _env = self.password()
        return {}, as_environment(options)

    def environment_with_a_proxy(self) -> tuple[Object, Object]:
        options, _env = self.proxy()
        headers = options.pop("proxy_headers")
        options |= {f"proxy_headers_{key}": value for key, value in headers.items()}
        return {}, as_environment(options)


def as_environment(options: Object) -> Object:
    variables = {f"K8S_AUTH_{key.upper()}": value for key, value in options.items()}
    return {"KUBECONFIG": None, **variables}


# By what they end in: a release, or a refusal.
WAYS = {
    "api_key": True,
    "kubeconfig": True,
    "kubeconfig_with_a_key": True,
    "client_key": True,
    "environment": True,
    "kubeconfig_with_a_password": False,
    "kubeconfig_with_a_proxy": False,
    "password": False,
    "proxy": False,
    "environment_with_a_password": False,
    "environment_with_a_proxy": False,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_connection(
    release: Release,
    playbook: Playbook,
    account: DocumentedAccount,
    config: Object,
    canaries: Canaries,
    tmp_path: pathlib.Path,
    path: Path,
    way: str,
) -> None:
    """Also where it is refused, which is when most is said about it."""
    folder = tmp_path / "given"
    folder.mkdir()
    connections = Connections(config, account.token, canaries, folder)
    options, environment = getattr(connections, way)()
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "roles": ["cutover.bluegreen.bluegreen"],
        "module_defaults": {GROUP: options},
    }
    variables = release_vars(
        release.namespace, deployment("web"), active_service=service("web")
    )
    run = playbook(
        play,
        variables,
        args=LOUD,
        env={**environment, **environment_of(folder)},
        path=path,
    )
    assert (run.rc == 0) == WAYS[way], run
    assert_silent(canaries, release, run, folder)
