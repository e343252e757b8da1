# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests through the API server's proxy, against a server that behaves badly."""

from __future__ import annotations

import typing as t

import pytest
from cluster import free_port

from ansible_collections.cutover.bluegreen.plugins.module_utils._api import (
    Api,
    NoAnswer,
    Proxied,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._auth import connect
from ansible_collections.cutover.bluegreen.plugins.module_utils._clock import (
    ServerClock,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._errors import (
    ApiError,
    LockLost,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.http_server import (
    Close,
    Drip,
    Hang,
    HttpServer,
)

PATH = "/api/v1/namespaces/shop/services/http:web:80/proxy/health"


@pytest.fixture
def server() -> t.Iterator[HttpServer]:
    with HttpServer() as started:
        yield started


def api_at(url: str, clock: ServerClock | None = None) -> Api:
    connection = connect({"host": url, "api_key": "token"}, {})
    return Api(connection, clock or ServerClock())


def test_the_request_is_sent_as_it_is(server: HttpServer) -> None:
    server.reply(b"\x00\xff", status=201)
    answer = api_at(server.url).proxied(
        "POST", f"{PATH}?a=b", headers={"X-Test": "1"}, body=b"hello", timeout=10
    )
    assert answer == Proxied(201, b"\x00\xff")
    (received,) = server.requests
    assert (received.method, received.target) == ("POST", f"{PATH}?a=b")
    assert received.body == b"hello"
    assert received.headers["x-test"] == "1"
    assert received.headers["accept"] == "*/*"
    assert received.headers["authorization"] == "Bearer token"


@pytest.mark.parametrize("status", [302, 403, 404, 429, 500, 503])
def test_any_status_is_an_answer_and_nothing_is_tried_again(
    server: HttpServer, status: int
) -> None:
    server.reply("no", status=status, headers={"Location": "/elsewhere"})
    answer = api_at(server.url).proxied("GET", PATH, timeout=10)
    assert answer == Proxied(status, b"no")
    assert len(server.requests) == 1


def test_head_has_no_body(server: HttpServer) -> None:
    server.reply(b"")
    assert api_at(server.url).proxied("HEAD", PATH, timeout=10) == Proxied(200, b"")


def test_only_what_changes_something_is_a_write(server: HttpServer) -> None:
    def lost() -> None:
        raise LockLost("lost")

    api = api_at(server.url)
    api.before_write.append(lost)
    for method in ("GET", "HEAD"):
        server.reply(b"")
        assert api.proxied(method, PATH, timeout=10).status == 200
    with pytest.raises(LockLost):
        api.proxied("POST", PATH, timeout=10)
    assert [r.method for r in server.requests] == ["GET", "HEAD"]


@pytest.mark.parametrize("script", [Hang(), Drip()])
def test_it_is_cut_off(server: HttpServer, script: object) -> None:
    server.reply(script)
    with pytest.raises(NoAnswer, match=r"had not answered after 0\.2 s\.$"):
        api_at(server.url).proxied("GET", PATH, timeout=0.2)


def test_an_answer_that_breaks_off(server: HttpServer) -> None:
    server.reply(Close(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"))
    with pytest.raises(NoAnswer, match=r"broke off its answer\.$"):
        api_at(server.url).proxied("GET", PATH, timeout=10)


def test_an_answer_without_end(server: HttpServer) -> None:
    server.reply(b"x" * (10 * 1024 * 1024 + 1))
    with pytest.raises(NoAnswer, match=r"more than 10 MiB\.$"):
        api_at(server.url).proxied("GET", PATH, timeout=60)


def test_the_query_is_not_shown(server: HttpServer) -> None:
    server.reply(Hang())
    with pytest.raises(NoAnswer) as caught:
        api_at(server.url).proxied("GET", f"{PATH}?token=abc", timeout=0.2)
    assert "abc" not in str(caught.value)


def test_nobody_listens() -> None:
    api = api_at(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(ApiError, match="cannot be reached") as caught:
        api.proxied("GET", PATH, timeout=10)
    assert not isinstance(caught.value, NoAnswer)


def test_the_clock_of_the_application_is_not_heard(server: HttpServer) -> None:
    clock = ServerClock()
    server.reply(b"", headers={"Date": "Fri, 02 Jan 2099 12:00:00 GMT"})
    api_at(server.url, clock).proxied("GET", PATH, timeout=10)
    assert clock.now().year < 2099
