# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs built with Go, once a user, into the user's cache folder."""

from __future__ import annotations

import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import typing as t

from basics import ClusterError, cache_folder, locked, minutes, say

HERE = pathlib.Path(__file__).resolve().parent
PINS = (HERE / "go.mod", HERE / "go.sum")

Packages = t.Mapping[str, str]
"""What is built from which Go package, by the program's name."""


def build(packages: Packages, sources: t.Sequence[pathlib.Path] = PINS) -> pathlib.Path:
    """Build the programs that are not in the cache yet; return their folder.

    The folder is named by a hash of `sources`, so that programs of several calls
    share it; each is built when it is first asked for.
    """
    cache = cache_folder("cluster")
    content = b"".join(source.read_bytes() for source in sources)
    target = cache / hashlib.sha256(content).hexdigest()[:16]
    if not missing(packages, target):
        return target
    with locked(cache / "build.lock"):
        build_into(target, missing(packages, target))
    return target


def missing(packages: Packages, folder: pathlib.Path) -> Packages:
    return {
        name: package
        for name, package in packages.items()
        if not (folder / name).exists()
    }


def build_into(target: pathlib.Path, packages: Packages) -> None:
    if not packages:
        return
    if shutil.which("go") is None:
        raise ClusterError(
            "the embedded cluster is built with Go (1.26 or newer), and no `go` was"
            " found on PATH; install it, or set KUBECONFIG to use a cluster of yours"
        )
    started = time.monotonic()
    target.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="build-", dir=target.parent) as folder:
        for number, (name, package) in enumerate(packages.items(), 1):
            what = f"building {name} ({number} of {len(packages)})"
            output = pathlib.Path(folder, name)
            build_one(package, output, what, started)
            # All or nothing: who finds it in `target` finds the whole of it.
            output.rename(target / name)
    took = minutes(time.monotonic() - started)
    say(f"built {', '.join(packages)} in {took}")


def build_one(
    package: str, output: pathlib.Path, what: str, started: float, every: float = 30
) -> None:
    command = ["go", "build", "-ldflags=-s -w", "-o", str(output), package]
    environment = {**os.environ, "CGO_ENABLED": "0"}
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, cwd=HERE, env=environment, stderr=errors)
        try:
            while True:
                so_far = minutes(time.monotonic() - started)
                say(
                    f"{what}, {so_far} so far;"
                    " a first build of all takes about 7 minutes on two cores"
                )
                try:
                    process.wait(every)
                    break
                except subprocess.TimeoutExpired:
                    continue
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
        if process.returncode != 0:
            errors.seek(0)
            raise ClusterError(f"{what}: `go build` failed:\n{errors.read().strip()}")
