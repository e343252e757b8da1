# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real Prometheus on the loopback, from PATH or from the Debian package."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import subprocess
import typing as t
import urllib.error
import urllib.request
from dataclasses import dataclass

import debian
import pytest
from cluster import free_port

from .waiting import ends_with_us, eventually

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
    try:
        return debian.unpacked("prometheus") / "usr" / "bin" / "prometheus"
    except debian.NoPackagesError as error:
        pytest.skip(f"no `prometheus` on PATH, and {error}")


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
