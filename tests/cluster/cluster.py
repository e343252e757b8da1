# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The embedded cluster: a real control plane with KWOK nodes, no root, no Docker."""

from __future__ import annotations

import argparse
import base64
import contextlib
import dataclasses
import json
import os
import pathlib
import random
import re
import secrets
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import typing as t
import urllib.error
import urllib.request

import binaries
from basics import ClusterError, locked, say, user_folder

HERE = pathlib.Path(__file__).resolve().parent
PACKAGES = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    "kwok": "sigs.k8s.io/kwok/cmd/kwok",
}
USERS = (
    "admin",
    "system:kube-controller-manager",
    "system:kube-scheduler",
    "kwok",
    "kubelet",
    "kube-proxy",
)
SERVICES = "10.96.0.0/16,fd00:10:96::/112"
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
# Below Linux's ephemeral range: no outgoing connection takes the port
# between choosing it and listening on it.
PORTS = range(20000, 32000)
# sockaddr_un.sun_path, with its closing zero
SOCKET_PATH_LIMIT = 107
START_TIMEOUT = 60.0
END_TIMEOUT = 2.0
LOG_LINES = 15


@dataclasses.dataclass(frozen=True)
class Process:
    """A started process; the start time tells it from a later one with its pid."""

    name: str
    pid: int
    start_time: int

    def alive(self) -> bool:
        return process_start_time(self.pid) == self.start_time


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Where one named cluster keeps its files."""

    name: str
    home: pathlib.Path

    @property
    def kubeconfig(self) -> pathlib.Path:
        return self.home / "kubeconfig"

    @property
    def audit_log(self) -> pathlib.Path:
        return self.home / "audit.log"

    @property
    def processes_file(self) -> pathlib.Path:
        return self.home / "processes.json"

    def log(self, component: str) -> pathlib.Path:
        return self.home / f"{component}.log"


def named(name: str, group: str = "") -> Cluster:
    """Return the cluster of that name; those of a group have a folder of their own."""
    if not NAME.fullmatch(name):
        raise ClusterError(
            f"the cluster name {name!r} must be 1 to 40 lower-case letters, digits"
            " and inner hyphens"
        )
    home = user_folder("XDG_STATE_HOME", ".local/state") / group / name
    if len(str(home / "etcd-client:0")) > SOCKET_PATH_LIMIT:
        raise ClusterError(
            f"the state folder {home} is too long for a socket's path: set"
            " XDG_STATE_HOME to a shorter one"
        )
    return Cluster(name, home)


def process_start_time(pid: int) -> int | None:
    """Return the start time in clock ticks since boot; None if dead or a zombie."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in parentheses may itself hold spaces and parentheses.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])


# --- certificates and credentials


def openssl(folder: pathlib.Path, *arguments: str) -> None:
    try:
        result = subprocess.run(
            ["openssl", *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        raise ClusterError(
            "the embedded cluster's certificates need the `openssl` command, and it"
            " was not found on PATH"
        ) from None
    if result.returncode != 0:
        raise ClusterError(
            f"`openssl {' '.join(arguments)}` failed:\n{result.stderr.strip()}"
        )


def make_certificates(folder: pathlib.Path) -> None:
    """Make a CA, and signed by it the server's and the administrator's certificate."""
    folder.mkdir()
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc")
    ca = ("-CA", "ca.crt", "-CAkey", "ca.key")
    request = ("req", "-x509", "-days", "365", *key)
    extensions = ("-addext", "basicConstraints=critical,CA:FALSE")
    openssl(
        *(folder, *request, "-keyout", "ca.key", "-out", "ca.crt"),
        *("-subj", "/CN=cutover-bluegreen-embedded"),
        *("-addext", "keyUsage=critical,keyCertSign,digitalSignature"),
    )
    openssl(
        *(folder, *request, *ca, "-keyout", "server.key", "-out", "server.crt"),
        *("-subj", "/CN=kube-apiserver", *extensions),
        *("-addext", "extendedKeyUsage=serverAuth"),
        *("-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost,IP:10.96.0.1"),
    )
    openssl(
        *(folder, *request, *ca, "-keyout", "admin.key", "-out", "admin.crt"),
        *("-subj", "/O=system:masters/CN=admin", *extensions),
        *("-addext", "extendedKeyUsage=clientAuth"),
    )
    # Not genpkey: kube-apiserver reads no PKCS #8 key here.
    openssl(
        *(folder, "ecparam", "-genkey", "-name", "prime256v1", "-noout"),
        *("-out", "service-account.key"),
    )


def base64_file(path: pathlib.Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def write_kubeconfig(
    path: pathlib.Path, server: str, pki: pathlib.Path, token: str
) -> None:
    """Write a kubeconfig: context `token` is the default, `certificate` the other."""
    users = {
        "token": {"token": token},
        "certificate": {
            "client-certificate-data": base64_file(pki / "admin.crt"),
            "client-key-data": base64_file(pki / "admin.key"),
        },
    }
    ca = base64_file(pki / "ca.crt")
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "token",
        "clusters": [
            {
                "name": "embedded",
                "cluster": {"server": server, "certificate-authority-data": ca},
            }
        ],
        "users": [{"name": name, "user": user} for name, user in users.items()],
        "contexts": [
            {"name": name, "context": {"cluster": "embedded", "user": name}}
            for name in users
        ],
    }
    path.touch(mode=0o600)
    # JSON is YAML, and needs no library.
    path.write_text(json.dumps(config, indent=2) + "\n")


def write_tokens(path: pathlib.Path) -> dict[str, str]:
    """Write the static token file; every user is a cluster administrator.

    Users of their own tell the components' requests from a test's in the audit log.
    """
    tokens = {user: secrets.token_urlsafe(24) for user in USERS}
    path.touch(mode=0o600)
    path.write_text(
        "".join(
            f'{token},{user},{user},"system:masters"\n'
            for user, token in tokens.items()
        )
    )
    return tokens


# --- the API


@dataclasses.dataclass(frozen=True)
class Api:
    """The few requests that bringing a cluster up needs."""

    server: str
    token: str
    tls: ssl.SSLContext

    @classmethod
    def of(cls, kubeconfig: pathlib.Path) -> Api:
        config = json.loads(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        ca = base64.b64decode(cluster["certificate-authority-data"]).decode()
        tls = ssl.create_default_context(cadata=ca)
        return cls(cluster["server"], config["users"][0]["user"]["token"], tls)

    def request(self, method: str, path: str, body: t.Any = None) -> bytes:
        request = urllib.request.Request(
            self.server + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self.token}",
                "Content-Type": "application/json",
                "User-Agent": "bluegreen-tests/cluster",
            },
        )
        # A proxy in the environment must not see requests to 127.0.0.1.
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=self.tls),
        )
        with opener.open(request, timeout=5) as response:
            return t.cast(bytes, response.read())

    def ready(self) -> bool:
        try:
            return self.request("GET", "/readyz") == b"ok"
        except OSError:
            return False

    def make_node(self, name: str) -> None:
        labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": name,
                "labels": labels,
                "annotations": {"kwok.x-k8s.io/node": "fake"},
            },
        }
        self.request("POST", "/api/v1/nodes", node)

    def nodes_schedulable(self) -> bool:
        nodes = json.loads(self.request("GET", "/api/v1/nodes"))["items"]
        return not any(node["spec"].get("taints") for node in nodes)

    def controllers_work(self) -> bool:
        path = "/api/v1/namespaces/default/configmaps/kube-root-ca.crt"
        try:
            self.request("GET", path)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return False
            raise
        return True


# --- up


def read_processes(cluster: Cluster) -> list[Process]:
    try:
        recorded = json.loads(cluster.processes_file.read_text())
    except FileNotFoundError:
        return []
    return [Process(**process) for process in recorded]


def write_processes(cluster: Cluster, processes: t.Sequence[Process]) -> None:
    content = json.dumps([dataclasses.asdict(process) for process in processes])
    new = cluster.home / "processes.json.new"
    new.write_text(content)
    new.replace(cluster.processes_file)


def start(
    cluster: Cluster,
    name: str,
    command: t.Sequence[str],
    env: t.Mapping[str, str] | None = None,
) -> Process:
    """Start a process that survives this one and its terminal; record it.

    :param env: variables beside those of this process.
    """
    with cluster.log(name).open("wb") as log:
        popen = subprocess.Popen(
            command,
            cwd=cluster.home,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    start_time = process_start_time(popen.pid)
    # Popen reports a child that it did not wait for when it is collected.
    popen.returncode = 0
    if start_time is None:
        raise died(cluster, name)
    process = Process(name, popen.pid, start_time)
    write_processes(cluster, [*read_processes(cluster), process])
    return process


def died(cluster: Cluster, name: str) -> ClusterError:
    lines = cluster.log(name).read_text(errors="replace").splitlines()[-LOG_LINES:]
    return ClusterError(
        f"cluster {cluster.name}: {name} ended at its start. The end of its log:\n"
        + "\n".join(f"  {line}" for line in lines)
    )


def wait_until(cluster: Cluster, what: str, condition: t.Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while not condition():
        for process in read_processes(cluster):
            if not process.alive():
                raise died(cluster, process.name)
        if time.monotonic() > deadline:
            raise ClusterError(
                f"cluster {cluster.name}: {what} did not happen within"
                f" {START_TIMEOUT:.0f} s; the logs are in {cluster.home}"
            )
        time.sleep(0.05)


def free_port() -> int:
    for port in random.sample(PORTS, 100):
        with socket.socket() as candidate:
            try:
                candidate.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ClusterError(
        f"no free port found on 127.0.0.1 between {PORTS.start} and {PORTS.stop}"
    )


def commands(
    cluster: Cluster, port: int, services: str, without: t.Sequence[str]
) -> dict[str, list[str]]:
    home = cluster.home
    pki = home / "pki"
    # etcd wants a port, and makes a socket of that name in its working folder.
    client, peer = "unix://etcd-client:0", "unix://etcd-peer:0"
    fast = ["--kube-api-qps=500", "--kube-api-burst=1000"]
    return {
        "etcd": [
            "--name=embedded",
            f"--data-dir={home}/etcd",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=embedded={peer}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ],
        "kube-apiserver": [
            f"--etcd-servers=unix://{home}/etcd-client:0",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            f"--tls-cert-file={pki}/server.crt",
            f"--tls-private-key-file={pki}/server.key",
            f"--client-ca-file={pki}/ca.crt",
            f"--token-auth-file={home}/tokens.csv",
            "--authorization-mode=RBAC",
            f"--service-account-key-file={pki}/service-account.key",
            f"--service-account-signing-key-file={pki}/service-account.key",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-cluster-ip-range={services}",
            # for `exec` and logs; only a real node has a kubelet to show it to
            f"--kubelet-client-certificate={pki}/admin.crt",
            f"--kubelet-client-key={pki}/admin.key",
            "--kubelet-preferred-address-types=InternalIP",
            "--disable-admission-plugins=ServiceAccount",
            "--endpoint-reconciler-type=none",
            "--allow-privileged=true",
            f"--audit-policy-file={HERE / 'audit-policy.yaml'}",
            f"--audit-log-path={cluster.audit_log}",
            "--audit-log-mode=blocking",
            # a reader keeps an offset into the one file: no rotation
            "--audit-log-maxsize=100000",
        ],
        "kube-controller-manager": [
            f"--kubeconfig={home}/kube-controller-manager.kubeconfig",
            f"--service-account-private-key-file={pki}/service-account.key",
            f"--root-ca-file={pki}/ca.crt",
            "--controllers="
            + ",".join(
                ["*", *(f"-{name}" for name in ("nodeipam", "route", *without))]
            ),
            "--leader-elect=false",
            "--secure-port=0",
            *fast,
        ],
        "kube-scheduler": [
            f"--kubeconfig={home}/kube-scheduler.kubeconfig",
            "--leader-elect=false",
            "--secure-port=0",
            *fast,
        ],
    }


def kwok_arguments(cluster: Cluster) -> list[str]:
    return [
        f"--kubeconfig={cluster.home}/kwok.kubeconfig",
        f"--config={HERE / 'stages.kwok'}",
        "--manage-all-nodes=true",
        "--node-lease-duration-seconds=40",
        "--cidr=10.128.0.0/12",
    ]


def build() -> pathlib.Path:
    """Return the folder of the programs, built if need be."""
    return binaries.build(PACKAGES)


def up(
    name: str,
    nodes: int,
    end_with: int | None = None,
    without: t.Sequence[str] = (),
) -> pathlib.Path:
    """Bring the named cluster up unless it is; return the path of its kubeconfig.

    :param without: controllers that it does not run.
    """
    cluster = named(name)
    built = build()
    with locked(cluster.home.with_suffix(".lock")):
        recorded = read_processes(cluster)
        dead = [process.name for process in recorded if not process.alive()]
        if recorded and not dead and is_up(cluster):
            say(f"cluster {name}: already up")
            return cluster.kubeconfig
        if cluster.home.exists():
            why = f"{', '.join(dead)} not running" if dead else "its start was cut off"
            say(f"cluster {name}: starting it anew, {why}")
            tear_down(cluster)
        try:
            began = time.monotonic()
            say(f"cluster {name}: starting {', '.join(PACKAGES)}")
            api = start_control_plane(cluster, built, without=without)
            start_fake_nodes(cluster, built, api, nodes)
            complete(cluster, began)
            if end_with is not None:
                start_guard(cluster, pathlib.Path(__file__), end_with)
        except BaseException:
            end(read_processes(cluster))
            raise
    return cluster.kubeconfig


def is_up(cluster: Cluster) -> bool:
    return cluster.kubeconfig.exists() and Api.of(cluster.kubeconfig).ready()


def start_control_plane(
    cluster: Cluster,
    built: pathlib.Path,
    services: str = SERVICES,
    without: t.Sequence[str] = (),
) -> Api:
    """Start everything but nodes; return when the controllers work.

    :param services: the CIDRs of the Services' own addresses, one for each family.
    :param without: controllers that it does not run.
    """
    cluster.home.mkdir(mode=0o700)
    pki = cluster.home / "pki"
    make_certificates(pki)
    tokens = write_tokens(cluster.home / "tokens.csv")
    port = free_port()
    server = f"https://127.0.0.1:{port}"
    for user, token in tokens.items():
        path = cluster.home / f"{user.removeprefix('system:')}.kubeconfig"
        write_kubeconfig(path, server, pki, token)
    api = Api.of(unfinished_kubeconfig(cluster))

    arguments = commands(cluster, port, services, without)

    def run(component: str) -> None:
        start(cluster, component, [str(built / component), *arguments[component]])

    run("etcd")
    run("kube-apiserver")
    wait_until(cluster, "an answer from kube-apiserver", api.ready)
    run("kube-controller-manager")
    run("kube-scheduler")
    wait_until(
        cluster, "the first work of kube-controller-manager", api.controllers_work
    )
    return api


def start_fake_nodes(
    cluster: Cluster, built: pathlib.Path, api: Api, count: int
) -> None:
    start(cluster, "kwok", [str(built / "kwok"), *kwok_arguments(cluster)])
    for number in range(count):
        api.make_node(f"node-{number}")
    wait_until(cluster, "the nodes' readiness", api.nodes_schedulable)


def unfinished_kubeconfig(cluster: Cluster) -> pathlib.Path:
    return cluster.home / "admin.kubeconfig"


def complete(cluster: Cluster, began: float) -> None:
    """Say that it is up; who finds `kubeconfig` finds a whole cluster."""
    unfinished_kubeconfig(cluster).rename(cluster.kubeconfig)
    say(f"cluster {cluster.name}: ready in {time.monotonic() - began:.1f} s")


# --- down


def end(processes: t.Sequence[Process]) -> None:
    """End the processes that are still the recorded ones: SIGTERM, then SIGKILL."""
    processes = [process for process in processes if process.pid != os.getpid()]
    deadline = time.monotonic() + END_TIMEOUT
    send(processes, signal.SIGTERM)
    while any(process.alive() for process in processes):
        if time.monotonic() > deadline:
            send(processes, signal.SIGKILL)
        time.sleep(0.02)


def send(processes: t.Sequence[Process], number: signal.Signals) -> None:
    for process in processes:
        if process.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, number)


def tear_down(cluster: Cluster) -> None:
    end(read_processes(cluster))
    shutil.rmtree(cluster.home)


def down(name: str) -> None:
    """End the named cluster's processes and delete its files."""
    cluster = named(name)
    lock = cluster.home.with_suffix(".lock")
    with locked(lock):
        if cluster.home.exists():
            tear_down(cluster)
            say(f"cluster {name}: ended")
        else:
            say(f"cluster {name}: not there, nothing to end")
        lock.unlink()


def start_guard(cluster: Cluster, program: pathlib.Path, pid: int) -> None:
    """Start what runs `down` of the program when the process ends."""
    command = [sys.executable, str(program), "guard"]
    start(cluster, "guard", [*command, f"--name={cluster.name}", f"--pid={pid}"])


def wait_for_end(pid: int) -> None:
    """Return once the process is gone, however it ended."""
    # Not the state folder, which is about to be deleted.
    os.chdir("/")
    with contextlib.suppress(ProcessLookupError):
        select.select([os.pidfd_open(pid)], [], [])


# --- command line


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(prog="cluster.py", description=__doc__)
    verbs = result.add_subparsers(dest="verb", required=True)
    verbs.add_parser("build", help="build the binaries into the user's cache folder")
    upward = verbs.add_parser(
        "up", help="start a cluster; the last line is the path of its kubeconfig"
    )
    upward.add_argument("--nodes", type=int, default=4, help="default: %(default)s")
    upward.add_argument(
        "--embedded",
        action="store_true",
        help="start one even though KUBECONFIG is set",
    )
    upward.add_argument(
        "--without-controller",
        action="append",
        default=[],
        metavar="NAME",
        help="a controller that somebody else runs; may be repeated",
    )
    upward.add_argument(
        "--end-with", type=int, metavar="PID", help="end it when this process ends"
    )
    downward = verbs.add_parser("down", help="end a cluster and delete its files")
    guardian = verbs.add_parser("guard", help="end a cluster when a process ends")
    guardian.add_argument("--pid", type=int, required=True)
    for verb in (upward, downward, guardian):
        verb.add_argument("--name", default="default", help="default: %(default)s")
    return result


def main() -> None:
    arguments = parser().parse_args()
    if arguments.verb == "build":
        print(build())
    elif arguments.verb == "down":
        down(arguments.name)
    elif arguments.verb == "guard":
        wait_for_end(arguments.pid)
        down(arguments.name)
    elif os.environ.get("KUBECONFIG") and not arguments.embedded:
        say("KUBECONFIG is set: using that cluster, starting none")
        print(os.environ["KUBECONFIG"])
    else:
        without = arguments.without_controller
        print(up(arguments.name, arguments.nodes, arguments.end_with, without))


if __name__ == "__main__":
    try:
        main()
    except ClusterError as error:
        say(f"error: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
