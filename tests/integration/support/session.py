# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all workers of one test session share: the cluster and the collection."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import pathlib
import shutil
import subprocess
import sys
import typing as t

from .playbook import BIN

ROOT = pathlib.Path(__file__).resolve().parents[3]
CLUSTER_SCRIPT = ROOT / "tests" / "cluster" / "cluster.py"
NODE_SCRIPT = CLUSTER_SCRIPT.with_name("node.py")


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The cluster under test; only the embedded one has an audit log to read."""

    kubeconfig: pathlib.Path
    audit_log: pathlib.Path | None
    embedded: bool


def session_pid() -> int:
    """Return the process of the whole session: a worker's parent, or this one."""
    return os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()


def foreign_cluster() -> Cluster | None:
    """Return the cluster that KUBECONFIG names, if it does."""
    kubeconfig = os.environ.get("KUBECONFIG")
    return Cluster(pathlib.Path(kubeconfig), None, False) if kubeconfig else None


def embedded_cluster(name: str, end_with: int, *without: str) -> Cluster:
    """Bring an embedded cluster up, or find it up; it ends with the process given.

    :param without: controllers that it does not run.
    """
    options = [f"--without-controller={name}" for name in without]
    return _up(CLUSTER_SCRIPT, name, end_with, "--embedded", *options)


def node_cluster(name: str, end_with: int) -> Cluster:
    """Bring the cluster with a real node up; it ends with the process given."""
    return _up(NODE_SCRIPT, name, end_with)


def _up(script: pathlib.Path, name: str, end_with: int, *options: str) -> Cluster:
    arguments = (f"--name={name}", f"--end-with={end_with}", *options)
    lines = run_cluster_script("up", *arguments, script=script).splitlines()
    kubeconfig = pathlib.Path(lines[-1])
    return Cluster(kubeconfig, kubeconfig.with_name("audit.log"), True)


def run_cluster_script(
    *arguments: str, script: pathlib.Path = CLUSTER_SCRIPT, **options: t.Any
) -> str:
    """Run cluster.py or node.py; return its stdout. Its stderr goes to the terminal."""
    command = [sys.executable, str(script), *arguments]
    result = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, **options
    )
    return t.cast(str, result.stdout)


@contextlib.contextmanager
def locked(path: pathlib.Path) -> t.Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def install_collection(
    shared: pathlib.Path, source: pathlib.Path = ROOT
) -> pathlib.Path:
    """Build the collection and install the tarball, once a session.

    Returns the folder for ANSIBLE_COLLECTIONS_PATH.
    """
    with locked(shared / "collection.lock"):
        target = shared / "collections"
        if not target.exists():
            tree = shared / "ansible_collections" / "cutover" / "bluegreen"
            copy_sources(source, tree)
            tarballs = shared / "tarballs"
            _galaxy(
                shared, "build", "--force", "--output-path", str(tarballs), str(tree)
            )
            (tarball,) = tarballs.glob("*.tar.gz")
            new = shared / "collections.new"
            _galaxy(
                *(shared, "install", "--offline", "--force"),
                *("-p", str(new), str(tarball)),
            )
            new.rename(target)
    return target


def copy_sources(source: pathlib.Path, target: pathlib.Path) -> None:
    """Copy what git tracks, and what it would: no ignored leftovers."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=source,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        # Tracked, but deleted in the working tree.
        if not os.path.lexists(source / name):
            continue
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / name, target / name, follow_symlinks=False)


def _galaxy(shared: pathlib.Path, *arguments: str) -> None:
    command = [str(BIN / "ansible-galaxy"), "collection", *arguments]
    home = shared / "galaxy-home"
    home.mkdir(exist_ok=True)
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
    }
    result = subprocess.run(
        command,
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise RuntimeError(
            f"{' '.join(command)} failed:\n{result.stdout}\n{result.stderr}"
        )
