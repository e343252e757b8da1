# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The client against a real HTTP server that answers as it is told."""

from __future__ import annotations

import http.server
import json
import socket
import struct
import threading
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils import _api
from ansible_collections.cutover.bluegreen.plugins.module_utils._api import (
    Api,
    Stream,
    parse_path,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._auth import connect
from ansible_collections.cutover.bluegreen.plugins.module_utils._clock import (
    ServerClock,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._errors import (
    ApiError,
    Conflict,
    NotFound,
)

Object = dict[str, t.Any]
PODS = "/api/v1/namespaces/shop/pods"
WEB = f"{PODS}/web"


class Answer(t.NamedTuple):
    """One answer of the server; a status of 0 cuts the connection off."""

    status: int = 200
    body: object = {"kind": "Pod"}
    headers: dict[str, str] = {}


class Handler(http.server.BaseHTTPRequestHandler):
    """Gives the next answer, and remembers what was asked."""

    protocol_version = "HTTP/1.1"
    server: Server

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        text = self.rfile.read(length).decode()
        self.server.asked.append((self.command, self.path, text, dict(self.headers)))
        answer = self.server.answers.pop(0)
        if answer.status == 0:
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.close_connection = True
            self.connection.close()
            return
        self.send_response(answer.status)
        for key, value in answer.headers.items():
            self.send_header(key, value)
        if isinstance(answer.body, list):
            self._stream(answer.body)
            return
        raw = answer.body if isinstance(answer.body, bytes) else _json(answer.body)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def _stream(self, lines: list[object]) -> None:
        """Chunks; an Event among them is waited for."""
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for line in lines:
            if isinstance(line, threading.Event):
                line.wait(10)
                continue
            raw = line if isinstance(line, bytes) else _json(line) + b"\n"
            try:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(raw), raw))
                self.wfile.flush()
            except OSError:
                self.close_connection = True
                return
        try:
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

    def log_message(self, *args: object) -> None:
        """Silent."""


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


class Server(http.server.ThreadingHTTPServer):
    """An HTTP server on a free port of this machine."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[Answer] = []
        self.asked: list[tuple[str, str, str, dict[str, str]]] = []

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that was cut off is no news."""


class Client:
    """The client, with a time of its own: no test waits."""

    def __init__(self, server: Server, host: str = "") -> None:
        here = f"http://127.0.0.1:{server.server_port}"
        connection = connect({"host": host or here, "api_key": "token"}, {})
        self.now = 0.0
        self.slept: list[float] = []
        self.clock = ServerClock()
        self.server = server
        self.api = Api(
            connection,
            self.clock,
            sleep=self._sleep,
            monotonic=lambda: self.now,
        )

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def will(self, *answers: Answer) -> None:
        self.server.answers += answers


@pytest.fixture
def server() -> t.Iterator[Server]:
    running = Server()
    thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join(5)


@pytest.fixture
def client(server: Server) -> Client:
    return Client(server)


def test_requests_as_kubernetes_wants_them(client: Client) -> None:
    client.will(*[Answer()] * 5)
    client.api.get(PODS, {"labelSelector": "a=b"})
    client.api.create(PODS, {"a": 1})
    client.api.replace(WEB, {"a": 1})
    client.api.patch(WEB, [{"op": "test"}])
    client.api.delete(WEB, "uid-1")
    asked = client.server.asked
    assert [(a[0], a[1]) for a in asked] == [
        ("GET", f"{PODS}?labelSelector=a%3Db"),
        ("POST", f"{PODS}?fieldManager=cutover.bluegreen"),
        ("PUT", f"{WEB}?fieldManager=cutover.bluegreen"),
        ("PATCH", f"{WEB}?fieldManager=cutover.bluegreen"),
        ("DELETE", WEB),
    ]
    assert {a[3]["authorization"] for a in asked} == {"Bearer token"}
    assert asked[3][3]["Content-Type"] == "application/json-patch+json"
    assert json.loads(asked[4][2])["preconditions"] == {"uid": "uid-1"}


def test_429_waits_as_long_as_it_is_told(client: Client) -> None:
    client.will(Answer(429, {}, {"Retry-After": "7"}), Answer())
    assert client.api.get(WEB) == {"kind": "Pod"}
    assert client.slept == [7.0]


@pytest.mark.parametrize("header", ["soon", "Fri, 02 Jan 2026 12:00:00 GMT"])
def test_retry_after_that_is_no_number(client: Client, header: str) -> None:
    client.will(Answer(429, {}, {"Retry-After": header}), Answer())
    client.api.get(WEB)
    assert len(client.slept) == 1 and client.slept[0] <= 0.1


@pytest.mark.parametrize("status", [500, 502, 503, 504, 0])
def test_what_passes_is_tried_again(client: Client, status: int) -> None:
    client.will(Answer(), Answer(status, {}), Answer(status, {}), Answer())
    client.api.get(WEB)
    assert client.api.get(WEB) == {"kind": "Pod"}
    assert len(client.slept) == 2
    assert client.slept[1] <= 0.2


def test_patience_ends_with_a_sentence(client: Client) -> None:
    client.will(Answer(), *[Answer(503, {"message": "etcd is away"})] * 99)
    client.api.get(WEB)
    with pytest.raises(ApiError, match=r"refused to get pods web .*etcd is away"):
        client.api.get(WEB)
    assert 50 < client.now <= 60


def test_a_server_that_was_never_reached_is_given_up_sooner(server: Server) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        client = Client(server, f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(ApiError, match="cannot be reached .*refused"):
            client.api.get(WEB)
    assert client.now <= 8


def test_an_answer_that_does_not_come(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_api, "_READ_TIMEOUT", 0.05)
    monkeypatch.setattr(_api, "_FIRST_PATIENCE", 0.3)
    done = threading.Event()
    client.will(*[Answer(200, [done])] * 9)
    try:
        with pytest.raises(ApiError, match="cannot be reached .*timed out"):
            client.api.get(WEB)
    finally:
        done.set()


@pytest.mark.parametrize(
    ("method", "status"), [("create", 409), ("replace", 409), ("patch", 422)]
)
def test_a_precondition_that_did_not_hold(
    client: Client, method: str, status: int
) -> None:
    client.will(Answer(status, {"message": "it was modified"}))
    body: t.Any = [] if method == "patch" else {}
    with pytest.raises(Conflict, match="changed pods web in namespace shop: it was"):
        getattr(client.api, method)(WEB, body)
    assert not client.slept


def test_a_patch_that_a_policy_refuses_is_no_conflict(client: Client) -> None:
    """A failed precondition names no object; who refuses one, or its content, does."""
    policy = {"message": "not today", "details": {"name": "web", "kind": "pods"}}
    client.will(Answer(422, policy))
    with pytest.raises(ApiError, match="refused to patch .*not today") as error:
        client.api.patch(WEB, [])
    assert not isinstance(error.value, Conflict)
    assert error.value.status == 422


def test_an_invalid_object_is_no_conflict(client: Client) -> None:
    client.will(Answer(422, {"message": "spec.x is wrong"}))
    with pytest.raises(ApiError, match="refused to create .*spec.x is wrong") as error:
        client.api.create(PODS, {})
    assert not isinstance(error.value, Conflict)


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (401, "does not accept the credentials (401)"),
        (403, "Give the user a Role with the verb list on pods in namespace shop"),
        (404, "There is no pods in namespace shop (404)"),
        (400, "refused to list pods in namespace shop (400)"),
    ],
)
def test_refusals(client: Client, status: int, sentence: str) -> None:
    client.will(Answer(status, {"message": "no"}))
    with pytest.raises(ApiError) as error:
        client.api.get(PODS)
    assert sentence in str(error.value)
    assert error.value.status == status


def test_what_does_not_exist(client: Client) -> None:
    client.will(Answer(404, {}), Answer(404, {}), Answer(404, {}))
    assert client.api.find(WEB) is None
    client.api.delete(WEB, "uid")
    with pytest.raises(NotFound):
        client.api.get(WEB)


@pytest.mark.parametrize("body", [b"<html>", b"", b"[]", b"5"])
def test_something_else_answers(client: Client, body: bytes) -> None:
    client.will(Answer(200, body))
    with pytest.raises(ApiError, match="did not answer as a Kubernetes API server"):
        client.api.get(WEB)


def test_redirects_are_not_followed(client: Client) -> None:
    client.will(Answer(302, b"", {"Location": "http://elsewhere.example/"}))
    with pytest.raises(ApiError):
        client.api.get(WEB)


def test_before_each_try_of_a_write_the_right_to_it_is_checked(client: Client) -> None:
    checks: list[int] = []
    client.api.before_write.append(lambda: checks.append(1))
    client.will(Answer(503, {}), Answer(), Answer())
    client.api.create(PODS, {})
    client.api.get(WEB)
    assert len(checks) == 2


def test_the_servers_date_is_heard(client: Client) -> None:
    client.will(Answer())
    client.api.get(WEB)
    assert abs(client.clock.skew_seconds()) < 5


# -- watches ---------------------------------------------------------------------------


def event(kind: str, version: int, **more: t.Any) -> Object:
    return {
        "type": kind,
        "object": {"metadata": {"resourceVersion": str(version)}} | more,
    }


def watched(client: Client, count: int) -> list[tuple[str, str]]:
    """The first changes, as their type and version."""
    stream = Stream()
    found: list[tuple[str, str]] = []
    for kind, item in client.api.watch(PODS, {"a": "b"}, "5", stream):
        found.append((kind, item["metadata"]["resourceVersion"]))
        if len(found) == count:
            stream.close()
    return found


def versions(client: Client) -> list[str]:
    """From which version each watch went on."""
    paths = [path for _method, path, *_rest in client.server.asked]
    return [
        path.partition("resourceVersion=")[2].partition("&")[0]
        for path in paths
        if "watch=1" in path
    ]


def test_a_watch_goes_on_after_bookmarks_and_ends(client: Client) -> None:
    client.will(
        Answer(200, [event("ADDED", 6), event("BOOKMARK", 9)]),
        Answer(200, [event("MODIFIED", 10), event("DELETED", 11)]),
    )
    assert watched(client, 3) == [("ADDED", "6"), ("MODIFIED", "10"), ("DELETED", "11")]
    assert versions(client) == ["5", "9"]
    assert not client.slept


def test_an_event_in_pieces(client: Client) -> None:
    raw = _json(event("ADDED", 6)) + b"\n"
    client.will(Answer(200, [raw[:10], raw[10:]]))
    assert watched(client, 1) == [("ADDED", "6")]


@pytest.mark.parametrize("in_band", [True, False])
def test_a_watch_that_is_too_old_lists_again(client: Client, in_band: bool) -> None:
    error = event("ERROR", 0, code=410, message="too old")
    client.will(
        Answer(200, [error]) if in_band else Answer(410, {"message": "too old"}),
        Answer(200, {"metadata": {"resourceVersion": "20"}, "items": []}),
        Answer(200, [event("ADDED", 21)]),
    )
    assert watched(client, 2) == [("RELISTED", "20"), ("ADDED", "21")]
    assert versions(client) == ["5", "20"]


@pytest.mark.parametrize("status", [0, 429, 503])
def test_a_watch_that_fails_is_opened_again(client: Client, status: int) -> None:
    client.will(Answer(status, {}), Answer(200, [event("ADDED", 6)]))
    assert watched(client, 1) == [("ADDED", "6")]
    assert len(client.slept) == 1


def test_a_watch_that_is_forbidden_ends(client: Client) -> None:
    client.will(Answer(403, {"message": "no"}))
    with pytest.raises(ApiError, match="forbids to watch pods in namespace shop"):
        watched(client, 1)


@pytest.mark.parametrize("line", [b"<html>\n", b"5\n", b'{"type": "ADDED"}\n'])
def test_a_watch_of_something_else_ends(client: Client, line: bytes) -> None:
    client.will(Answer(200, [line]))
    with pytest.raises(ApiError, match="did not answer as a Kubernetes API server"):
        watched(client, 1)


def test_a_watch_is_closed_from_another_thread(client: Client) -> None:
    done, seen = threading.Event(), threading.Event()
    client.will(Answer(200, [event("ADDED", 6), done]))
    stream = Stream()

    def read() -> None:
        for _change in client.api.watch(PODS, {}, "5", stream):
            seen.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    assert seen.wait(10)
    stream.close()
    reader.join(10)
    done.set()
    assert not reader.is_alive()


def test_closing_twice_or_before_it_began_is_nothing() -> None:
    stream = Stream()
    stream.close()
    stream.close()
    assert stream.is_closed()


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        (PODS, ("pods", "", "shop")),
        (WEB, ("pods", "web", "shop")),
        (f"{WEB}/log", ("pods/log", "web", "shop")),
        ("/apis/apps/v1/namespaces/shop/deployments", ("deployments", "", "shop")),
        ("/api/v1/namespaces/shop", ("namespaces", "shop", "")),
        ("/api/v1/nodes", ("nodes", "", "")),
    ],
)
def test_a_path_is_read_as_rbac_writes_it(
    path: str, parts: tuple[str, str, str]
) -> None:
    assert parse_path(path) == parts
