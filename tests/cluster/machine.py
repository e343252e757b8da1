# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a node changes on its machine outside of its own namespaces, and the way back.

Containers, mounts and processes are in namespaces of the node's own and end with
them. The network is the machine's: the bridge, kube-proxy's rules, a few sysctls.
"""

from __future__ import annotations

import dataclasses
import errno
import ipaddress
import json
import os
import pathlib
import re
import subprocess
import time
import typing as t

from basics import ClusterError
from toolbox import Toolbox

BRIDGE = "cutover0"
PODS = "10.211.0.0/24"
SERVICES = "10.212.0.0/24"
# The bridge's own address: pods' way out, and where kubelet is, which will not have
# one on the loopback.
NODE_ADDRESS = "10.211.0.1"
# A bridge without one of its own takes a pod's, and another one when that pod ends:
# the other pods then answer to where nobody is.
BRIDGE_MAC = "02:00:0a:d3:00:01"
# The namespace of containerd for Kubernetes, and so its group of control groups.
CGROUP = "k8s.io"
# libcni and kubelet write here, wherever they are told to keep what is theirs.
FOLDERS = (pathlib.Path("/var/lib/cni"), pathlib.Path("/var/lib/kubelet"))
CHAIN = re.compile(r"^:(KUBE-\S+)", re.MULTILINE)
JUMP = re.compile(r"^-A ((?!KUBE-)\S+ .*-j KUBE-\S+.*)$", re.MULTILINE)
# kubelet, kube-proxy and the CNI plugin `bridge` set these.
SYSCTLS = (
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "net/bridge/bridge-nf-call-iptables",
    "net/bridge/bridge-nf-call-ip6tables",
    "net/ipv4/conf/all/forwarding",
    "net/ipv4/conf/all/route_localnet",
    "net/ipv4/conf/default/forwarding",
    "net/ipv4/ip_forward",
    "net/netfilter/nf_conntrack_max",
    "net/netfilter/nf_conntrack_tcp_be_liberal",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
)


@dataclasses.dataclass(frozen=True)
class Before:
    """How the machine was: what a node may change, in its state before one."""

    sysctls: dict[str, str]
    tables: list[list[str]]
    folders: list[str]
    cgroups: list[str]

    @classmethod
    def of(cls, box: Toolbox) -> Before:
        return cls(
            {name: value for name in SYSCTLS if (value := read_sysctl(name))},
            [list(table) for table in tables(box)],
            [str(folder) for folder in FOLDERS if folder.exists()],
            [str(group) for group in cgroups()],
        )

    def save(self, path: pathlib.Path) -> None:
        path.write_text(json.dumps(dataclasses.asdict(self), indent=2) + "\n")

    @classmethod
    def load(cls, path: pathlib.Path) -> Before:
        return cls(**json.loads(path.read_text()))


def sysctl(name: str) -> pathlib.Path:
    return pathlib.Path("/proc/sys") / name


def read_sysctl(name: str) -> str:
    try:
        return sysctl(name).read_text().strip()
    except OSError:
        return ""


def tables(box: Toolbox) -> list[tuple[str, str]]:
    """Return the family and the name of every table of the machine's nf_tables."""
    listed = json.loads(box.must("nft", "--json", "list", "tables"))["nftables"]
    found = (entry["table"] for entry in listed if "table" in entry)
    return [(table["family"], table["name"]) for table in found]


def refuse_if_taken(box: Toolbox) -> None:
    """Raise ClusterError where something of this machine would be in a node's way."""
    chains = kube_chains(box, "iptables")
    if chains:
        raise ClusterError(
            f"this machine's iptables has the chain {chains[0]} already: kube-proxy"
            " runs here, and a second one would take its rules away; run the node on"
            " another machine"
        )
    if pathlib.Path("/sys/class/net", BRIDGE).exists():
        raise ClusterError(
            f"this machine has an interface {BRIDGE} that no node of ours made; remove"
            f" it: ip link delete {BRIDGE}"
        )
    for route in routes():
        for ours in (PODS, SERVICES):
            if route.prefixlen and route.overlaps(ipaddress.IPv4Network(ours)):
                raise ClusterError(
                    f"this machine's route {route} overlaps {ours}, which the node"
                    " needs; run the node on another machine"
                )


def routes() -> list[ipaddress.IPv4Network]:
    command = ["ip", "-json", "-4", "route", "show", "table", "all"]
    listed = json.loads(subprocess.check_output(command))
    found = [r["dst"] for r in listed if "type" not in r or r["type"] == "unicast"]
    return [
        ipaddress.IPv4Network(destination)
        for destination in found
        if destination != "default"
    ]


def kube_chains(box: Toolbox, family: str) -> list[str]:
    return CHAIN.findall(box.must(f"{family}-save"))


def make_bridge() -> None:
    for command in (
        ["link", "add", BRIDGE, "address", BRIDGE_MAC, "type", "bridge"],
        ["address", "add", f"{NODE_ADDRESS}/24", "dev", BRIDGE],
        ["link", "set", BRIDGE, "up"],
    ):
        subprocess.run(["ip", *command], check=True)


def make_folders() -> None:
    """Make the folders that the node puts its own over."""
    for folder in FOLDERS:
        folder.mkdir(parents=True, exist_ok=True)


# --- the way back


def restore(box: Toolbox, before: Before) -> None:
    """Undo what a node did to the machine, once all of its processes have ended."""
    for family in ("iptables", "ip6tables"):
        remove_kube_chains(box, family)
    for family, name in tables(box):
        if [family, name] not in before.tables and is_ours(box, family, name):
            box.must("nft", "delete", "table", family, name)
    remove_bridge()
    # Of connections to pods that are no more; exit code 1: there were none.
    box.run("conntrack", "--delete", "--reply-src", PODS)
    remove_cgroups([group for group in cgroups() if str(group) not in before.cgroups])
    for name, value in before.sysctls.items():
        if read_sysctl(name) != value:
            sysctl(name).write_text(value)
    for folder in FOLDERS:
        if str(folder) not in before.folders and folder.exists():
            folder.rmdir()


def remove_kube_chains(box: Toolbox, family: str) -> None:
    saved = box.must(f"{family}-save")
    for part in saved.split("COMMIT\n"):
        table = re.search(r"^\*(\S+)", part, re.MULTILINE)
        chains = CHAIN.findall(part)
        if table is None or not chains:
            continue
        lines = [
            f"*{table[1]}",
            *(f"-D {jump}" for jump in JUMP.findall(part)),
            *(f"-F {chain}" for chain in chains),
            *(f"-X {chain}" for chain in chains),
            "COMMIT",
        ]
        box.must(f"{family}-restore", "--noflush", given="\n".join(lines) + "\n")


def is_ours(box: Toolbox, family: str, name: str) -> bool:
    """Whether the table is one that iptables made and that nobody uses any more."""
    if family not in ("ip", "ip6") or name not in ("filter", "mangle", "nat", "raw"):
        return False
    listed = json.loads(box.must("nft", "--json", "list", "table", family, name))
    return not any("rule" in entry for entry in listed["nftables"])


def remove_bridge() -> None:
    """Delete the bridge once the pods' ends of it are gone with their namespaces."""
    bridge = pathlib.Path("/sys/class/net", BRIDGE)
    deadline = time.monotonic() + 10
    while bridge.exists() and any((bridge / "brif").iterdir()):
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    for end in sorted((bridge / "brif").iterdir()) if bridge.exists() else []:
        subprocess.run(["ip", "link", "delete", end.name], check=False)
    if bridge.exists():
        subprocess.run(["ip", "link", "delete", BRIDGE], check=True)


def cgroups() -> list[pathlib.Path]:
    """Return the node's control groups: one a hierarchy, or the one of version 2."""
    root = pathlib.Path("/sys/fs/cgroup")
    return sorted({*root.glob(CGROUP), *root.glob(f"*/{CGROUP}")})


def remove_cgroups(tops: t.Sequence[pathlib.Path]) -> None:
    for top in tops:
        for folder, _folders, _files in os.walk(top, topdown=False):
            remove_when_empty(folder)


def remove_when_empty(cgroup: str) -> None:
    """Remove a control group; the last process leaves it a moment after its end."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return os.rmdir(cgroup)
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.02)


def leftovers(box: Toolbox, pids: t.Sequence[int]) -> list[str]:
    """Name everything that a node made on this machine and that is still there."""
    found = [f"process {pid}" for pid in pids]
    for family in ("iptables", "ip6tables"):
        found += [f"{family} chain {chain}" for chain in kube_chains(box, family)]
    if pathlib.Path("/sys/class/net", BRIDGE).exists():
        found.append(f"bridge {BRIDGE}")
    found += [f"control group {path}" for path in cgroups()]
    # Not those in which somebody else keeps something.
    empty = (path for path in FOLDERS if path.exists() and not any(path.iterdir()))
    found += [f"folder {path}" for path in empty]
    mounts = pathlib.Path("/proc/self/mounts").read_text().splitlines()
    found += [
        f"mount {line.split()[1]}" for line in mounts if "cutover-bluegreen" in line
    ]
    return found
