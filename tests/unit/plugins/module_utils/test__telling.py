# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pods that are told, well or badly, through a server in the place of the API."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import struct
import threading
import typing as t
from urllib.parse import parse_qsl, urlsplit

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils import _telling
from ansible_collections.cutover.bluegreen.plugins.module_utils._api import Api
from ansible_collections.cutover.bluegreen.plugins.module_utils._auth import connect
from ansible_collections.cutover.bluegreen.plugins.module_utils._clock import (
    ServerClock,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._drain import (
    Drain,
    Told,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._errors import (
    ApiError,
    LockLost,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._parameters import (
    canonical,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.http_server import (
    Close,
    HttpServer,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.states import (
    NOW,
    V1,
    after,
)

BEGUN = Drain(V1, 2, NOW, after(60), tell_at=NOW)
HTTP = canonical({"port": "http", "path": "/drain?x=1", "method": "POST"})
EXEC = canonical({"command": ["/app", "drain"], "container": "web"})


def pod(name: str, phase: str = "Running", **metadata: t.Any) -> dict[str, t.Any]:
    return {
        "metadata": {"name": name, "namespace": "shop", **metadata},
        "spec": {
            "containers": [
                {"name": "side"},
                {"name": "web", "ports": [{"name": "http", "containerPort": 8081}]},
            ]
        },
        "status": {"phase": phase},
    }


def path(name: str) -> str:
    return f"/api/v1/namespaces/shop/pods/{name}:8081/proxy/drain"


def api_at(url: str) -> Api:
    return Api(connect({"host": url, "api_key": "token"}, {}), ServerClock())


@pytest.fixture
def server() -> t.Iterator[HttpServer]:
    with HttpServer() as started:
        yield started


def tell(server: HttpServer, *pods: t.Any, drain: Drain = BEGUN) -> Told:
    return _telling.tell(api_at(server.url), pods, HTTP, "", drain)


def test_each_pod_gets_its_request(server: HttpServer) -> None:
    for name in ("a", "b"):
        server.reply("ok", path=path(name))
    assert tell(server, pod("a"), pod("b")) == Told(("a", "b"))
    assert {(r.method, r.target) for r in server.requests} == {
        ("POST", f"{path(name)}?x=1") for name in ("a", "b")
    }


def test_who_does_not_run_and_who_was_told_is_left_alone(server: HttpServer) -> None:
    server.reply("ok", path=path("a"))
    drain = BEGUN.heard(Told(("told",)), NOW, after(60) - NOW)
    ended = pod("ends", deletionTimestamp="2026-01-02T03:04:05Z")
    found = tell(
        server, pod("a"), pod("new", "Pending"), ended, pod("told"), drain=drain
    )
    assert found == Told(("a",))
    assert len(server.requests) == 1


STATUS = {"kind": "Status", "apiVersion": "v1", "message": "error dialing backend"}
ANSWERS: dict[str, tuple[t.Any, int, str]] = {
    "an error of the pod": ("no", 500, "on port http answered 500"),
    "no such path": ("<html>", 404, "on port http answered 404"),
    "an error of the API server": (STATUS, 502, "answered 502: error dialing backend"),
    "no answer": (Close(), 200, "cannot be reached"),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_who_was_not_told_is_named_with_the_reason(
    server: HttpServer, case: str
) -> None:
    body, status, said = ANSWERS[case]
    server.reply(body, status=status, path=path("a"))
    server.reply("ok", path=path("b"))
    found = tell(server, pod("a"), pod("b"))
    assert found.pods == ("b",)
    assert said in found.failed["a"]


def test_a_pod_without_that_port_is_named(server: HttpServer) -> None:
    other = pod("a")
    other["spec"]["containers"].pop()
    assert tell(server, other).failed == {"a": "it has no container port called http"}


def test_an_annotation_that_was_edited_ends_as_a_reason(server: HttpServer) -> None:
    found = _telling.tell(api_at(server.url), [pod("a")], '{"port":[]}', "", BEGUN)
    assert "port is []" in found.failed["a"]


def test_many_are_told_some_at_a_time_those_first_that_nobody_tried(
    server: HttpServer,
) -> None:
    pods = [pod(f"p{number:02}") for number in range(20)]
    for each in pods:
        server.reply("ok", path=path(each["metadata"]["name"]))
    drain = BEGUN.heard(Told(failed={"p00": "no"}), NOW, after(60) - NOW)
    found = tell(server, *pods, drain=drain)
    assert len(found.pods) == _telling.AT_ONCE
    assert found.left == ("p17", "p18", "p19", "p00")


def test_who_lost_the_lock_tells_nobody(server: HttpServer) -> None:
    api = api_at(server.url)

    def lost() -> None:
        raise LockLost("it was taken over")

    api.before_write.append(lost)
    with pytest.raises(LockLost):
        _telling.tell(api, [pod("a")], HTTP, "", BEGUN)
    assert server.requests == []


# -- a command -------------------------------------------------------------------------


class Kubelet:
    """What ends a command: frames on a WebSocket, as the API server sends them."""

    def __init__(self, *frames: bytes, refuses: int = 0) -> None:
        self.asked: list[tuple[str, list[tuple[str, str]], dict[str, str]]] = []
        self.hold = threading.Event()
        ends = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                headers = {k.lower(): v for k, v in self.headers.items()}
                ends.asked.append((parts.path, parse_qsl(parts.query), headers))
                self.close_connection = True
                if refuses:
                    body = json.dumps({"kind": "Status", "message": "no such right"})
                    self.send_response(refuses)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body.encode())
                    return
                key = headers["sec-websocket-key"] + MAGIC
                accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
                self.send_response(101)
                self.send_header("Upgrade", "websocket")
                self.send_header("Connection", "Upgrade")
                self.send_header("Sec-WebSocket-Accept", accept)
                self.send_header("Sec-WebSocket-Protocol", "v4.channel.k8s.io")
                self.end_headers()
                for frame in frames:
                    self.wfile.write(struct.pack("!BB", 0x82, len(frame)) + frame)
                if not frames:
                    ends.hold.wait(30)

            def log_message(self, *_arguments: object) -> None:
                """Nobody reads it."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> Kubelet:
        return self

    def __exit__(self, *_error: object) -> None:
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()


MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
SUCCESS = b"\x03" + json.dumps({"status": "Success"}).encode()


def failure(code: str) -> bytes:
    causes = [{"reason": "ExitCode", "message": code}]
    status = {"status": "Failure", "details": {"causes": causes}}
    return b"\x03" + json.dumps(status).encode()


def command(kubelet: Kubelet, timeout: float = 10.0) -> None:
    api_at(kubelet.url).execute(
        "/api/v1/namespaces/shop/pods/a/exec", ["/app", "a b"], "web", timeout
    )


def test_a_command_is_sent_as_it_is() -> None:
    with Kubelet(b"\x01some output", b"\x02more", SUCCESS) as kubelet:
        command(kubelet)
    ((asked, query, headers),) = kubelet.asked
    assert asked == "/api/v1/namespaces/shop/pods/a/exec"
    assert [v for k, v in query if k == "command"] == ["/app", "a b"]
    assert ("container", "web") in query
    assert headers["authorization"] == "Bearer token"


ENDS: dict[str, tuple[tuple[bytes, ...], str]] = {
    "an exit code": ((failure("7"),), "it ended with exit code 7"),
    "another failure": (
        (b'\x03{"status":"Failure","message":"no such container"}',),
        "no such container",
    ),
    "what nobody understands": ((b"\x03[",), "the API server gave no reason"),
    "no end": ((b"\x01output",), "the connection"),
}


@pytest.mark.parametrize("case", ENDS)
def test_a_command_that_fails_says_how(case: str) -> None:
    frames, said = ENDS[case]
    with Kubelet(*frames) as kubelet, pytest.raises(ApiError, match=said):
        command(kubelet)


def test_a_command_that_does_not_end_is_left() -> None:
    with Kubelet() as kubelet, pytest.raises(ApiError, match="had not ended after 0.2"):
        command(kubelet, 0.2)


def test_a_command_that_is_refused_says_why() -> None:
    refused = r"refused it \(403\): no such right"
    with Kubelet(refuses=403) as kubelet, pytest.raises(ApiError, match=refused):
        command(kubelet)


def test_nobody_answers_a_command() -> None:
    with Kubelet() as kubelet:
        url = kubelet.url
    with pytest.raises(ApiError, match="no connection"):
        api_at(url).execute("/x/exec", ["a"], "", 5)


def test_a_pod_is_told_by_a_command_as_well() -> None:
    with Kubelet(failure("1")) as kubelet:
        found = _telling.tell(api_at(kubelet.url), [pod("a")], "", EXEC, BEGUN)
    assert found.failed == {"a": "command /app: it ended with exit code 1"}


def test_a_user_who_acts_for_another_does_so_here_too() -> None:
    """The library that Kubernetes' own client has for it leaves these headers out."""
    given = {"api_key": "token", "impersonate_user": "jane"}
    with Kubelet(SUCCESS) as kubelet:
        connection = connect({"host": kubelet.url, **given}, {})
        Api(connection, ServerClock()).execute("/x/exec", ["a"], "", 5)
    assert kubelet.asked[0][2]["impersonate-user"] == "jane"
