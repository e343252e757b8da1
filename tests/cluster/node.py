# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cluster with one real node, for traffic: kubelet, containerd, kube-proxy; as root.

The control plane is the embedded cluster's. What the node starts lives in namespaces
of its own for processes and mounts, so that the end of their first process is the end
of all; the network is the machine's, so that its NodePorts are on 127.0.0.1.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import typing as t
import urllib.request

import binaries
import cluster as control
import images
import machine
from basics import ClusterError, locked, say
from cluster import Cluster
from toolbox import Toolbox, toolbox, unavailable

HERE = pathlib.Path(__file__).resolve().parent
PACKAGES = {
    **{name: control.PACKAGES[name] for name in control.PACKAGES if name != "kwok"},
    "kubelet": "k8s.io/kubernetes/cmd/kubelet",
    "kube-proxy": "k8s.io/kubernetes/cmd/kube-proxy",
}
APP = HERE / "app" / "main.go"
APP_IMAGE = images.Image("localhost/cutover-bluegreen/app:1", ("/app",))
PAUSE_IMAGE = images.Image("localhost/cutover-bluegreen/pause:1", ("/app", "pause"))
NODE_PROGRAMS = (
    *("containerd", "containerd-shim-runc-v2", "kubelet", "kube-proxy"),
    *("nsenter", "unshare"),
)
NAME = "node"
# A dot is in no cluster's name.
GROUP = "nodes.d"
# One node a machine: its home stands in here, also when who started it is dead.
CLAIM = pathlib.Path("/run/cutover-bluegreen-node")
CLAIM_LOCK = CLAIM.with_suffix(".lock")
# containerd and its shims write below these, whatever they are told.
PRIVATE_FOLDERS = ("/run", "/var/log", *map(str, machine.FOLDERS))


# --- the first process of the node's namespaces


def init(home: pathlib.Path) -> None:
    """Give the node its own folders, then collect its dead until it is ended."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    for folder in PRIVATE_FOLDERS:
        command = ["mount", "-t", "tmpfs", "-o", "mode=755", "node", folder]
        subprocess.run(command, check=True)
    os.chdir("/")
    (home / "init").touch()
    while True:
        signal.sigwait({signal.SIGCHLD})
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def init_command(home: pathlib.Path) -> list[str]:
    return [sys.executable, str(HERE / "node.py"), "init", f"--home={home}"]


def inits(home: pathlib.Path) -> list[int]:
    """Return the node's first process, and the one outside that waits for it."""
    wanted = "\0".join(["init", f"--home={home}", ""]).encode()
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_bytes().endswith(wanted):
                found.append(int(path.parent.name))
    return sorted(found)


def is_first(pid: int) -> bool:
    """Whether the process is the first one of a namespace for processes."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("NSpid:"))
    return len(line.split()) > 2 and line.split()[-1] == "1"


# --- up


def up(name: str, end_with: int | None = None) -> pathlib.Path:
    """Bring the cluster up unless it is; return the path of its kubeconfig."""
    why = unavailable()
    if why:
        raise ClusterError(why)
    cluster = control.named(name, GROUP)
    built = binaries.build(PACKAGES)
    app = binaries.build({"app": "./app"}, [APP]) / "app"
    box = toolbox()
    with locked(CLAIM_LOCK):
        if claimed() == cluster.home and is_up(cluster):
            say(f"cluster {name}: already up")
            return cluster.kubeconfig
        make_way(cluster, box)
        CLAIM.write_text(str(cluster.home))
        try:
            start(cluster, built, app, box)
            if end_with is not None:
                control.start_guard(cluster, pathlib.Path(__file__), end_with)
        except BaseException:
            end_processes(cluster)
            raise
    return cluster.kubeconfig


def claimed() -> pathlib.Path | None:
    try:
        return pathlib.Path(CLAIM.read_text())
    except FileNotFoundError:
        return None


def is_up(cluster: Cluster) -> bool:
    processes = control.read_processes(cluster)
    return (
        bool(processes)
        and all(process.alive() for process in processes)
        and control.is_up(cluster)
    )


def make_way(cluster: Cluster, box: Toolbox) -> None:
    """Clean up what a dead node left; refuse where a living one is."""
    home = claimed()
    if home is not None and home != cluster.home:
        other = Cluster(home.name, home)
        if is_up(other):
            raise ClusterError(
                f"the machine's one real node is in use by the cluster {other.name} in"
                f" {home}; end it first: {down_command(other)}"
            )
        clean_up_after(other, box)
    # Also where nobody claims the machine: it has been started anew since.
    if home == cluster.home or cluster.home.exists():
        clean_up_after(cluster, box)
    machine.refuse_if_taken(box)


def clean_up_after(cluster: Cluster, box: Toolbox) -> None:
    say(f"cluster {cluster.name}: cleaning up what it left")
    tear_down(cluster, box)


def down_command(cluster: Cluster) -> str:
    if cluster.name == NAME:
        return "make cluster-node-down"
    return f"python3 tests/cluster/node.py down --name={cluster.name}"


def start(
    cluster: Cluster, built: pathlib.Path, app: pathlib.Path, box: Toolbox
) -> None:
    began = time.monotonic()
    say(f"cluster {cluster.name}: starting {', '.join(PACKAGES)}, containerd")
    cluster.home.parent.mkdir(parents=True, exist_ok=True)
    # Before the first change of the machine: else there is no way back from it.
    before = machine.Before.of(box)
    api = control.start_control_plane(cluster, built, services=machine.SERVICES)
    before.save(before_file(cluster))
    machine.make_bridge()
    enter = start_namespaces(cluster)
    start_containerd(cluster, box, enter)
    import_images(cluster, box, app)
    kubelet = kubelet_command(cluster, built)
    control.start(cluster, "kubelet", [*enter, *kubelet], box.environment)
    control.wait_until(cluster, "the node's readiness", lambda: node_ready(api))
    # Only now: it waits for longer and longer for a node that is not there yet.
    health = control.free_port()
    proxy = proxy_command(cluster, built, health)
    control.start(cluster, "kube-proxy", [*enter, *proxy], box.environment)
    control.wait_until(cluster, "kube-proxy's first rules", lambda: healthy(health))
    control.complete(cluster, began)


def before_file(cluster: Cluster) -> pathlib.Path:
    return cluster.home / "before.json"


def start_namespaces(cluster: Cluster) -> list[str]:
    """Make the node's namespaces; return the beginning of a command inside them."""
    machine.make_folders()
    # Without --kill-child its namespace would outlive it.
    alone = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
    control.start(cluster, "init", [*alone, *init_command(cluster.home)])
    ready = cluster.home / "init"
    control.wait_until(cluster, "the node's namespaces", ready.exists)
    (first,) = (pid for pid in inits(cluster.home) if is_first(pid))
    return ["nsenter", f"--target={first}", "--mount", "--pid", "--"]


def start_containerd(cluster: Cluster, box: Toolbox, enter: t.Sequence[str]) -> None:
    home = cluster.home
    network = home / "cni" / "10-bridge.conflist"
    network.parent.mkdir()
    network.write_text(json.dumps(network_configuration(home), indent=2))
    path = home / "containerd.toml"
    path.write_text(containerd_configuration(home, box))
    command = [*enter, box.path_of("containerd"), f"--config={path}"]
    control.start(cluster, "containerd", command, box.environment)
    control.wait_until(
        cluster,
        "an answer from containerd",
        lambda: ctr(cluster, box, "version").returncode == 0,
    )


def socket_of(home: pathlib.Path) -> pathlib.Path:
    return home / "containerd.sock"


def ctr(
    cluster: Cluster, box: Toolbox, *arguments: str
) -> subprocess.CompletedProcess[str]:
    address = f"--address={socket_of(cluster.home)}"
    return box.run("ctr", address, "--namespace=k8s.io", *arguments)


def import_images(cluster: Cluster, box: Toolbox, app: pathlib.Path) -> None:
    archive = cluster.home / "images.tar"
    images.pack(app, [APP_IMAGE, PAUSE_IMAGE], archive)
    done = ctr(cluster, box, "images", "import", "--snapshotter=native", str(archive))
    if done.returncode != 0:
        raise ClusterError(f"containerd refused the images:\n{done.stderr}")


def containerd_configuration(home: pathlib.Path, box: Toolbox) -> str:
    # The snapshotter `native` copies; it works on every file system, and the one
    # image has a few megabytes.
    return f"""\
version = 2
root = "{home}/containerd/root"
state = "{home}/containerd/state"
[grpc]
  address = "{socket_of(home)}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{home}/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE.name}"
  # Without CAP_SYS_RESOURCE runc cannot lower it, and says only "EOF".
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{box.cni}"
    conf_dir = "{home}/cni"
"""


def network_configuration(home: pathlib.Path) -> dict[str, t.Any]:
    return {
        "cniVersion": "0.4.0",
        "name": machine.BRIDGE,
        "plugins": [
            {
                "type": "bridge",
                "bridge": machine.BRIDGE,
                "isGateway": True,
                "hairpinMode": True,
                # Pods have nobody to talk to outside: no rules of its own.
                "ipMasq": False,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": machine.PODS}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                    "dataDir": f"{home}/cni-addresses",
                },
            }
        ],
    }


def kubelet_command(cluster: Cluster, built: pathlib.Path) -> list[str]:
    home = cluster.home
    configuration = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": machine.NODE_ADDRESS,
        "port": control.free_port(),
        "readOnlyPort": 0,
        "healthzPort": 0,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": False},
            "x509": {"clientCAFile": f"{home}/pki/ca.crt"},
        },
        "authorization": {"mode": "AlwaysAllow"},
        "containerRuntimeEndpoint": f"unix://{socket_of(home)}",
        "podLogsDir": f"{home}/logs",
        "volumePluginDir": f"{home}/volume-plugins",
        "resolvConf": "",
        "maxPods": 200,
        "kubeAPIQPS": 500,
        "kubeAPIBurst": 1000,
        "registryPullQPS": 0,
        # Control groups of pods and classes are not needed; version 1 will do.
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "failCgroupV1": False,
        "failSwapOn": False,
        "localStorageCapacityIsolation": False,
        # It would add chains of its own.
        "makeIPTablesUtilChains": False,
        # A full disk is the machine's matter; nothing can be pulled anew.
        "evictionHard": {"memory.available": "1Mi"},
        "imageGCHighThresholdPercent": 100,
    }
    path = home / "kubelet.json"
    path.write_text(json.dumps(configuration, indent=2))
    return [
        str(built / "kubelet"),
        f"--config={path}",
        f"--kubeconfig={home}/kubelet.kubeconfig",
        f"--root-dir={home}/kubelet",
        f"--cert-dir={home}/kubelet-pki",
        f"--hostname-override={NAME}",
        f"--node-ip={machine.NODE_ADDRESS}",
    ]


def proxy_command(cluster: Cluster, built: pathlib.Path, health: int) -> list[str]:
    return [
        str(built / "kube-proxy"),
        f"--kubeconfig={cluster.home}/kube-proxy.kubeconfig",
        f"--hostname-override={NAME}",
        "--proxy-mode=iptables",
        # NodePorts where the tests' load may go, and nowhere else.
        "--iptables-localhost-nodeports=true",
        "--nodeport-addresses=127.0.0.0/8",
        f"--cluster-cidr={machine.PODS}",
        f"--healthz-bind-address=127.0.0.1:{health}",
        f"--metrics-bind-address=127.0.0.1:{control.free_port()}",
        # 0: these sysctls stay as they are.
        "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0s",
        "--conntrack-tcp-timeout-close-wait=0s",
    ]


def healthy(port: int) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"http://127.0.0.1:{port}/healthz", timeout=5):
            return True
    except OSError:
        return False


def node_ready(api: control.Api) -> bool:
    nodes = json.loads(api.request("GET", "/api/v1/nodes"))["items"]
    return any(
        condition["type"] == "Ready" and condition["status"] == "True"
        for node in nodes
        for condition in node["status"].get("conditions", [])
        if not node["spec"].get("taints")
    )


# --- down


def down(name: str) -> None:
    """End the cluster; leave the machine as it was before."""
    cluster = control.named(name, GROUP)
    with locked(CLAIM_LOCK):
        if claimed() == cluster.home or cluster.home.exists():
            tear_down(cluster, toolbox())
            say(f"cluster {name}: ended")
        else:
            say(f"cluster {name}: not there, nothing to end")
        CLAIM_LOCK.unlink()


def end_processes(cluster: Cluster) -> None:
    """End all that the node runs, then the control plane."""
    for pid in inits(cluster.home):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    control.end(control.read_processes(cluster))
    # A process is seen to be gone when all that were in its namespace are.
    while inits(cluster.home):
        time.sleep(0.02)


def tear_down(cluster: Cluster, box: Toolbox) -> None:
    end_processes(cluster)
    before = before_file(cluster)
    if before.exists():
        machine.restore(box, machine.Before.load(before))
    if cluster.home.exists():
        shutil.rmtree(cluster.home)
    if claimed() == cluster.home:
        CLAIM.unlink()


def leftovers() -> list[str]:
    """Name what a node left on this machine; nothing while none is up."""
    pids = [
        int(path.parent.name)
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline")
        if of_a_node(path)
    ]
    found = machine.leftovers(toolbox(), pids)
    return [*found, str(CLAIM)] if CLAIM.exists() else found


def of_a_node(cmdline: pathlib.Path) -> bool:
    try:
        arguments = cmdline.read_bytes()
    except OSError:
        return False
    program = arguments.partition(b"\0")[0].rpartition(b"/")[2].decode()
    return program in NODE_PROGRAMS and b"cutover-bluegreen" in arguments


# --- command line


def parser() -> argparse.ArgumentParser:
    summary = (__doc__ or "").partition("\n")[0]
    result = argparse.ArgumentParser(prog="node.py", description=summary)
    verbs = result.add_subparsers(dest="verb", required=True)
    verbs.add_parser("unavailable", help="say why none can run here; nothing if it can")
    upward = verbs.add_parser(
        "up", help="start the cluster; the last line is the path of its kubeconfig"
    )
    upward.add_argument(
        "--end-with", type=int, metavar="PID", help="end it when this process ends"
    )
    downward = verbs.add_parser("down", help="end it, and undo what it changed here")
    guardian = verbs.add_parser("guard", help="end it when a process ends")
    guardian.add_argument("--pid", type=int, required=True)
    for verb in (upward, downward, guardian):
        verb.add_argument("--name", default=NAME, help="default: %(default)s")
    first = verbs.add_parser("init", help="be the node's first process")
    first.add_argument("--home", type=pathlib.Path, required=True)
    return result


def main() -> None:
    arguments = parser().parse_args()
    if arguments.verb == "unavailable":
        print(unavailable())
    elif arguments.verb == "up":
        print(up(arguments.name, arguments.end_with))
    elif arguments.verb == "init":
        init(arguments.home)
    elif arguments.verb == "guard":
        control.wait_for_end(arguments.pid)
        down(arguments.name)
    else:
        down(arguments.name)


if __name__ == "__main__":
    try:
        main()
    except ClusterError as error:
        say(f"error: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
