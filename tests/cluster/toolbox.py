# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The programs that a node runs on: the machine's own, else Debian's, unpacked."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
import subprocess
import sys
import typing as t

import debian
from basics import ClusterError, cache_folder, locked

# One program does the work of iptables, ip6tables, their -save and their -restore,
# by the name that it is called by; kube-proxy calls it by all of these.
XTABLES = "xtables-nft-multi"
XTABLES_NAMES = tuple(
    family + verb
    for family in ("iptables", "ip6tables")
    for verb in ("", "-save", "-restore")
)
PROGRAMS = (
    "conntrack",
    "containerd",
    "containerd-shim-runc-v2",
    "ctr",
    "nft",
    "runc",
    XTABLES,
)
CNI_PLUGINS = ("bridge", "host-local", "loopback")
CNI_FOLDERS = ("usr/lib/cni", "opt/cni/bin")
PACKAGES = (
    *("containerd", "runc", "containernetworking-plugins"),
    *("iptables", "nftables", "conntrack"),
    # What these need beyond a minimal system; unpacking looks at no dependencies.
    *("libbsd0", "libedit2", "libgmp10", "libip4tc2", "libip6tc2", "libjansson4"),
    *("libmd0", "libmnl0", "libnetfilter-conntrack3", "libnfnetlink0"),
    *("libnftables1", "libnftnl11", "libseccomp2", "libtinfo6", "libxtables12"),
)
SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")
# What kube-proxy's rules need: network address translation, weights, connections.
RULES = (
    ("-N", "CUTOVER"),
    ("-A", "CUTOVER", "-m", "comment", "--comment", "a try", "-j", "MASQUERADE"),
    (
        *("-A", "CUTOVER", "-m", "statistic", "--mode", "random"),
        *("--probability", "0.5", "-m", "addrtype", "--dst-type", "LOCAL"),
        *("-j", "MARK", "--or-mark", "0x4000"),
    ),
    (
        *("-A", "CUTOVER", "-p", "tcp", "-m", "conntrack", "--ctstate", "NEW"),
        *("-j", "DNAT", "--to-destination", "192.0.2.1:80"),
    ),
)


@dataclasses.dataclass(frozen=True)
class Toolbox:
    """Where the programs are, and with which variables they run."""

    environment: dict[str, str]
    cni: pathlib.Path

    def path_of(self, program: str) -> str:
        found = shutil.which(program, path=self.environment["PATH"])
        assert found is not None, program
        return found

    def run(
        self, *command: str, given: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of the box to its end, whatever that is."""
        return subprocess.run(
            [self.path_of(command[0]), *command[1:]],
            env={**os.environ, **self.environment},
            input=given,
            stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def must(self, *command: str, given: str | None = None) -> str:
        """Run a program that has to succeed; return its output."""
        result = self.run(*command, given=given)
        if result.returncode != 0:
            raise ClusterError(f"`{' '.join(command)}` failed:\n{result.stderr}")
        return result.stdout


def toolbox() -> Toolbox:
    """Return the programs; download those of Debian where one is not installed."""
    installed = of_system()
    if installed is not None:
        return with_iptables_names(installed)
    return with_iptables_names(of_debian(debian.unpacked(*PACKAGES)))


def of_system() -> Toolbox | None:
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *SYSTEM_FOLDERS])
    plugins = cni_below(pathlib.Path("/"))
    if plugins is None or any(shutil.which(one, path=path) is None for one in PROGRAMS):
        return None
    return Toolbox({"PATH": path}, plugins)


def of_debian(root: pathlib.Path) -> Toolbox:
    programs = [str(root / folder) for folder in ("usr/sbin", "usr/bin", "sbin", "bin")]
    libraries = sorted({str(path.parent) for path in root.glob("**/lib*.so.*")})
    (modules,) = root.glob("usr/lib/*/xtables")
    plugins = cni_below(root)
    assert plugins is not None
    path = [*programs, os.environ.get("PATH", os.defpath), *SYSTEM_FOLDERS]
    return Toolbox(
        {
            "PATH": os.pathsep.join(path),
            "LD_LIBRARY_PATH": os.pathsep.join(libraries),
            "XTABLES_LIBDIR": str(modules),
        },
        plugins,
    )


def cni_below(root: pathlib.Path) -> pathlib.Path | None:
    for folder in CNI_FOLDERS:
        if all((root / folder / plugin).exists() for plugin in CNI_PLUGINS):
            return root / folder
    return None


def with_iptables_names(box: Toolbox) -> Toolbox:
    """Add a folder in which `iptables` is the one that speaks to nf_tables."""
    cache = cache_folder("iptables")
    program = box.path_of(XTABLES)
    with locked(cache / "links.lock"):
        for name in XTABLES_NAMES:
            link = cache / name
            if not link.is_symlink() or os.readlink(link) != program:
                link.unlink(missing_ok=True)
                link.symlink_to(program)
    path = os.pathsep.join([str(cache), box.environment["PATH"]])
    return dataclasses.replace(box, environment={**box.environment, "PATH": path})


def unavailable() -> str:
    """Return why a node cannot run on this machine, as a sentence; "" if it can.

    Downloads the programs if they are not there.
    """
    if not sys.platform.startswith("linux"):
        return f"a real node needs Linux, and this is {sys.platform}"
    if os.geteuid() != 0:
        return "a real node needs root: kubelet, containerd and kube-proxy do"
    needed = ("go", "ip", "mount", "nsenter", "openssl", "unshare")
    for program in needed:
        if shutil.which(program) is None:
            return f"a real node needs the program `{program}`, which is not on PATH"
    try:
        box = toolbox()
    except ClusterError as error:
        first = str(error).replace("\n", " ")
        return f"a real node needs containerd, runc, iptables and others: {first}"
    return kernel_lacks(box)


def kernel_lacks(box: Toolbox) -> str:
    """Try, in namespaces that end with the attempt, what a node does to the machine."""
    isolated = ("unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc")
    tries: list[tuple[str, t.Sequence[str]]] = [
        ("namespaces for networks, mounts and processes", ("true",)),
        ("bridges", ("ip", "link", "add", "cutover0", "type", "bridge")),
        ("veth pairs", ("ip", "link", "add", "cutover0", "type", "veth")),
        ("the rules of iptables", ("sh", "-ec", rules_script())),
    ]
    for what, command in tries:
        result = box.run(*isolated, *command)
        if result.returncode != 0:
            said = " ".join(result.stderr.split())
            return f"a real node needs {what}, and this machine refuses: {said}"
    return ""


def rules_script() -> str:
    lines = [" ".join(["iptables", "-t", "nat", *map(quoted, rule)]) for rule in RULES]
    return "\n".join(lines)


def quoted(word: str) -> str:
    return f"'{word}'"
