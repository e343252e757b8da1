# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Debian packages, unpacked into the user's cache folder; nothing is installed."""

from __future__ import annotations

import hashlib
import os
import pathlib
import platform
import shutil
import subprocess
import tempfile
import typing as t

from basics import ClusterError, cache_folder, locked, say


class NoPackagesError(ClusterError):
    """This machine has no way to get Debian packages."""


def unpacked(*packages: str) -> pathlib.Path:
    """Return a folder with the packages' files, as they would lie below `/`.

    Needs no root: they are downloaded and unpacked once, and what they depend on is
    not looked at. Raises ClusterError where that does not succeed.
    """
    cache = cache_folder("debian")
    named = hashlib.sha256(" ".join(sorted(packages)).encode()).hexdigest()[:8]
    target = cache / f"{packages[0]}-{named}-{platform.machine()}"
    if target.is_dir():
        return target
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise NoPackagesError(
            f"there is no apt-get and dpkg to get the package {packages[0]} by"
        )
    with locked(cache / "download.lock"):
        if not target.is_dir():
            say(f"downloading {', '.join(packages)}")
            download(packages, target)
    return target


def download(packages: t.Sequence[str], target: pathlib.Path) -> None:
    with tempfile.TemporaryDirectory(prefix="get-", dir=target.parent) as name:
        scratch = pathlib.Path(name)
        command = ["apt-get", "--quiet", "--quiet", "download", *packages]
        if run(command, scratch).returncode != 0:
            private = private_state(scratch)
            must(["apt-get", *private, "update"], scratch)
            must(["apt-get", *private, *command[1:]], scratch)
        for package in sorted(scratch.glob("*.deb")):
            must(["dpkg", "-x", str(package), "unpacked"], scratch)
        # rename() is all or nothing: an interrupted run leaves no half of it.
        (scratch / "unpacked").rename(target)


def private_state(scratch: pathlib.Path) -> list[str]:
    """Lists of packages of our own, where the machine has none."""
    for name in ("state/lists/partial", "cache/archives/partial"):
        (scratch / name).mkdir(parents=True)
    return [
        f"-oDir::State={scratch / 'state'}",
        f"-oDir::Cache={scratch / 'cache'}",
        "-oDir::State::status=/var/lib/dpkg/status",
    ]


def run(
    command: t.Sequence[str], folder: pathlib.Path
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ClusterError(f"`{' '.join(command)}` did not end within 300 s") from None


def must(command: t.Sequence[str], folder: pathlib.Path) -> None:
    result = run(command, folder)
    if result.returncode != 0:
        raise ClusterError(f"`{' '.join(command)}` failed:\n{result.stderr.strip()}")
