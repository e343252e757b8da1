# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real Prometheus on the loopback, from PATH or from the Debian package."""

from __future__ import annotations

import contextlib
import os
import pathlib
import platform
import shutil
import subprocess
import tempfile
import typing as t
import urllib.error
import urllib.request
from dataclasses import dataclass

import pytest
from cluster import free_port, locked, user_folder

from .waiting import ends_with_us, eventually

_PACKAGE = "prometheus"
_CONFIGURATION = """\
global:
  scrape_interval: 200ms
  scrape_timeout: 200ms
scrape_configs:
- job_name: app
  static_configs:
  - targets: ["{target}"]
"""


@dataclass(frozen=True)
class Prometheus:
    """A running server."""

    url: str


def binary() -> pathlib.Path:
    """The program; skips the test, and says so, where there is no way to get it."""
    installed = shutil.which("prometheus")
    if installed is not None:
        return pathlib.Path(installed)
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        pytest.skip("no `prometheus` on PATH, and no apt-get and dpkg to get it by")
    folder = user_folder("XDG_CACHE_HOME", ".cache") / _PACKAGE
    target = folder / platform.machine()
    with locked(folder / "download.lock"):
        if not target.is_dir():
            _download(folder, target)
    return target / "usr" / "bin" / "prometheus"


def _download(folder: pathlib.Path, target: pathlib.Path) -> None:
    """Neither of the two needs root: nothing is installed."""
    with tempfile.TemporaryDirectory(prefix="download-", dir=folder) as name:
        scratch = pathlib.Path(name)
        download = ["apt-get", "--quiet", "--quiet", "download", _PACKAGE]
        if _run(download, scratch).returncode != 0:
            private = _private_state(scratch)
            _must(["apt-get", *private, "update"], scratch)
            _must([download[0], *private, *download[1:]], scratch)
        (package,) = scratch.glob("*.deb")
        _must(["dpkg", "-x", str(package), "unpacked"], scratch)
        # rename() is all or nothing: an interrupted run leaves no half of it.
        (scratch / "unpacked").rename(target)


def _private_state(scratch: pathlib.Path) -> list[str]:
    """Lists of packages of our own, where the machine has none."""
    for name in ("state/lists/partial", "cache/archives/partial"):
        (scratch / name).mkdir(parents=True)
    return [
        f"-oDir::State={scratch / 'state'}",
        f"-oDir::Cache={scratch / 'cache'}",
        "-oDir::State::status=/var/lib/dpkg/status",
    ]


def _run(command: list[str], folder: pathlib.Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def _must(command: list[str], folder: pathlib.Path) -> None:
    result = _run(command, folder)
    if result.returncode != 0:
        raise RuntimeError(f"`{' '.join(command)}` failed:\n{result.stderr.strip()}")


@contextlib.contextmanager
def running(scraped: str, folder: pathlib.Path) -> t.Iterator[Prometheus]:
    """Prometheus, ready, until the block ends; it scrapes this ``host:port``."""
    program = binary()
    configuration = folder / "prometheus.yml"
    configuration.write_text(_CONFIGURATION.format(target=scraped))
    port = free_port()
    log = folder / "prometheus.log"
    command = [
        str(program),
        f"--config.file={configuration}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with log.open("w") as output:
        process = subprocess.Popen(
            ends_with_us(command), stdout=output, stderr=output, cwd=folder
        )
    try:
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: _ready(url, process, log), 60, "Prometheus is ready")
        yield Prometheus(url)
    finally:
        process.terminate()
        process.wait(30)


def _ready(url: str, process: subprocess.Popen[bytes], log: pathlib.Path) -> bool:
    if process.poll() is not None:
        raise RuntimeError(f"Prometheus ended:\n{log.read_text()[-2000:]}")
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"{url}/-/ready", timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False
