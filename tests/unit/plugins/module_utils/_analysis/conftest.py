# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Servers on the loopback, and no proxy on the way to them."""

from __future__ import annotations

import pathlib
import shutil
import typing as t

import pytest
from cluster import make_certificates

from ansible_collections.cutover.bluegreen.tests.unit.support.http_server import (
    HttpServer,
)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server() -> t.Iterator[HttpServer]:
    """A server without TLS."""
    with HttpServer() as started:
        yield started


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with ``ca.crt`` and a server's certificate for 127.0.0.1."""
    if shutil.which("openssl") is None:
        pytest.skip("the certificates of this test need the `openssl` command")
    folder = tmp_path_factory.mktemp("tls") / "certificates"
    make_certificates(folder)
    return folder


@pytest.fixture
def tls_server(certificates: pathlib.Path) -> t.Iterator[HttpServer]:
    """A server with TLS, whose authority is ``certificates / "ca.crt"``."""
    with HttpServer(certificates) as started:
        yield started
