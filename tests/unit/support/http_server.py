# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server on the loopback that answers as a test tells it, well or badly.

with HttpServer() as server:
    server.reply({"data": 1})                    # the next answer
    server.reply("no", status=500, path="/x")    # each answer of that path
    server.reply(Hang())
    ... server.url, server.requests
"""

from __future__ import annotations

import http.server
import json
import pathlib
import ssl
import threading
import typing as t
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Received:
    """One request as it came; ``target`` is its path with the query."""

    method: str
    target: str
    # Names in lower case.
    headers: t.Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        """The query's fields; of one that is repeated the last."""
        return {k: v[-1] for k, v in parse_qs(urlsplit(self.target).query).items()}

    @property
    def form(self) -> dict[str, str]:
        """The body's fields, if it is a form."""
        return {k: v[-1] for k, v in parse_qs(self.body.decode()).items()}

    def json(self) -> t.Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """An answer; a body that is neither text nor bytes is sent as JSON."""

    body: t.Any = b""
    status: int = 200
    headers: t.Mapping[str, str] = field(default_factory=dict)
    # Whether the connection may be used again.
    keeps: bool = False


@dataclass(frozen=True)
class Hang:
    """No answer until the server is stopped."""


@dataclass(frozen=True)
class Drip:
    """An answer that never ends, a byte at a time: the headers, or the body."""

    headers: bool = False


@dataclass(frozen=True)
class Close:
    """The connection is closed without an answer, or after these bytes."""

    after: bytes = b""


Script: t.TypeAlias = "Reply | Hang | Drip | Close | t.Callable[[Received], Reply]"


class HttpServer:
    """The server; an unexpected request is answered with 599.

    :param certificates: a folder with ``server.crt`` and ``server.key``: then TLS.
    """

    def __init__(self, certificates: pathlib.Path | None = None) -> None:
        self.requests: list[Received] = []
        self.stopping = threading.Event()
        self._next: list[Script] = []
        self._by_path: dict[str, Script] = {}
        self._lock = threading.Lock()
        self._server = _Server(self, certificates)
        scheme = "http" if certificates is None else "https"
        self.port = int(self._server.server_address[1])
        self.url = f"{scheme}://127.0.0.1:{self.port}"

    def __enter__(self) -> HttpServer:
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}
        ).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()

    def reply(
        self,
        script: t.Any = b"",
        *,
        status: int = 200,
        headers: t.Mapping[str, str] | None = None,
        path: str = "",
    ) -> None:
        """Answer the next request so, or every one of a path.

        ``script`` is one of the classes above, a function of the request, or a body.
        """
        if not isinstance(script, (Reply, Hang, Drip, Close)) and not callable(script):
            script = Reply(script, status, headers or {})
        with self._lock:
            if path:
                self._by_path[path] = script
            else:
                self._next.append(script)

    def received(self, request: Received) -> Script:
        with self._lock:
            self.requests.append(request)
            if request.path in self._by_path:
                return self._by_path[request.path]
            if self._next:
                return self._next.pop(0)
        return Reply("the test has scripted no answer", 599)


class _Server(http.server.ThreadingHTTPServer):
    # Its threads end with the test: each looks at `stopping`.
    daemon_threads = False

    def __init__(self, owner: HttpServer, certificates: pathlib.Path | None) -> None:
        self.owner = owner
        self.context: ssl.SSLContext | None = None
        if certificates is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(
                certificates / "server.crt", certificates / "server.key"
            )
        super().__init__(("127.0.0.1", 0), _Handler)

    def finish_request(self, request: t.Any, client_address: t.Any) -> None:
        if self.context is None:
            super().finish_request(request, client_address)
            return
        try:
            secured = self.context.wrap_socket(request, server_side=True)
        except OSError:
            # The client does not trust the certificate, as its test wants.
            return
        with secured:
            super().finish_request(secured, client_address)

    def handle_error(self, request: t.Any, client_address: t.Any) -> None:
        """A client that goes away is what many tests are about."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    # Nagle's algorithm would hold the dripped bytes back.
    disable_nagle_algorithm = True

    def log_message(self, *_arguments: t.Any) -> None:
        """Not to the terminal."""

    def _handle(self) -> None:
        self.close_connection = True
        length = int(self.headers.get("Content-Length") or 0)
        request = Received(
            self.command,
            self.path,
            {k.lower(): v for k, v in self.headers.items()},
            self.rfile.read(length),
        )
        script = self.server.owner.received(request)
        if callable(script):
            script = script(request)
        if isinstance(script, Reply):
            self._reply(script)
        elif isinstance(script, Hang):
            self.server.owner.stopping.wait()
        elif isinstance(script, Drip):
            self._drip(script)
        else:
            self.wfile.write(script.after)
            self.wfile.flush()

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _handle

    def _reply(self, reply: Reply) -> None:
        body = reply.body
        if isinstance(body, str):
            body = body.encode()
        elif not isinstance(body, bytes):
            body = json.dumps(body).encode()
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        if reply.keeps:
            self.close_connection = False
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def _drip(self, drip: Drip) -> None:
        begin = b"HTTP/1.1 200 OK\r\nX-Slow: "
        if not drip.headers:
            begin += b"no\r\nContent-Length: 1000000\r\n\r\n"
        self.wfile.write(begin)
        while not self.server.owner.stopping.wait(0.02):
            self.wfile.write(b"x")
            self.wfile.flush()
