# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The provider web against a server of the test's own."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.measurement import (  # noqa: E501 - a name
    MeasurementError,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.providers import (  # noqa: E501 - a name
    web,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.http_server import (
    Hang,
    HttpServer,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.vendors import request

SECRET = "s3cr3t-value"
DOCUMENT = {"data": {"ok": True, "rate": 0.95, "pods": [{"n": 1}, {"n": 2}]}}


def value(server: HttpServer, **config: t.Any) -> t.Any:
    return web.measure(request({"url": f"{server.url}/m?q=1", **config})).value


def failure(server: HttpServer, **config: t.Any) -> str:
    with pytest.raises(MeasurementError) as caught:
        value(server, **config)
    assert SECRET not in str(caught.value)
    return str(caught.value)


def wrong(**config: t.Any) -> dict[str, str]:
    return {p.field: p.text for p in web.problems({"url": "http://a", **config})}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, DOCUMENT),
        ({"jsonPath": "{$}"}, DOCUMENT),
        ({"jsonPath": "{$.data.ok}"}, True),
        ({"jsonPath": "{$.data.pods[*].n}"}, 1),
        ({"jmespath": "data.pods[].n"}, [1, 2]),
        ({"jmespath": "data.nothing"}, None),
    ],
)
def test_value(server: HttpServer, config: dict[str, t.Any], expected: t.Any) -> None:
    server.reply(DOCUMENT)
    assert value(server, **config) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [("0.5", 0.5), ("true", True), ("all is well\n", "all is well\n"), ("", "")],
)
def test_whole_body(server: HttpServer, body: str, expected: t.Any) -> None:
    server.reply(body)
    assert value(server) == expected


def test_json_body(server: HttpServer) -> None:
    server.reply("1")
    headers = [{"key": "X-Key", "value": SECRET}]
    sent = {"a": ["b", 1]}
    outcome = web.measure(
        request(
            {
                "url": f"{server.url}/m?token={SECRET}",
                "method": "POST",
                "jsonBody": sent,
                "headers": headers,
            }
        )
    )
    (received,) = server.requests
    assert (received.method, received.json()) == ("POST", sent)
    assert received.headers["content-type"] == "application/json"
    assert received.headers["x-key"] == SECRET
    assert outcome.metadata == {"request": f"POST {server.url}/m"}


def test_body(server: HttpServer) -> None:
    server.reply("1")
    headers = [{"key": "content-type", "value": "text/plain"}]
    value(server, method="PUT", body="caf\u00e9", headers=headers)
    (received,) = server.requests
    assert (received.method, received.body) == ("PUT", b"caf\xc3\xa9")
    assert received.headers["content-type"] == "text/plain"


def test_the_own_content_type_wins_over_that_of_a_json_body(
    server: HttpServer,
) -> None:
    server.reply("1")
    headers = [{"key": "content-type", "value": "application/vnd.x+json"}]
    value(server, method="POST", jsonBody={"a": 1}, headers=headers)
    assert server.requests[0].headers["content-type"] == "application/vnd.x+json"


def test_oauth2(server: HttpServer) -> None:
    server.reply({"access_token": "abc", "expires_in": 60}, path="/token")
    server.reply("1", path="/m")
    oauth2 = {
        "tokenUrl": f"{server.url}/token",
        "clientId": "me",
        "clientSecret": SECRET,
    }
    assert value(server, authentication={"oauth2": oauth2}) == 1
    assert server.requests[-1].headers["authorization"] == "Bearer abc"


@pytest.mark.parametrize(
    ("authentication", "expected"),
    [
        ({"basicAuth": {"username": "me", "password": "p"}}, "Basic bWU6cA=="),
        ({"bearerToken": "abc"}, "Bearer abc"),
    ],
)
def test_authentication(
    server: HttpServer, authentication: dict[str, t.Any], expected: str
) -> None:
    server.reply("1")
    value(server, authentication=authentication)
    assert server.requests[0].headers["authorization"] == expected


def test_tls(tls_server: HttpServer, certificates: t.Any) -> None:
    tls_server.reply("1", path="/m")
    assert "is not trusted" in failure(tls_server)
    assert value(tls_server, insecure=True) == 1
    assert value(tls_server, caCert=(certificates / "ca.crt").read_text()) == 1


@pytest.mark.parametrize(
    ("script", "status", "config", "about"),
    [
        (f"no {SECRET}", 500, {}, "answered 500 Internal Server Error: no *****"),
        ("<html>login</html>", 200, {"jsonPath": "{$.a}"}, "did not answer with JSON"),
        ("<html>login</html>", 200, {"jmespath": "a"}, "did not answer with JSON"),
        (DOCUMENT, 200, {"jsonPath": "{$.data.nothing}"}, "finds nothing"),
        ("x" * 11 * 1024 * 1024, 200, {}, "more than 10 MiB"),
        (Hang(), 200, {"timeoutSeconds": 0.3}, "was cut off after 0.3 s"),
    ],
)
def test_unhappy(
    server: HttpServer, script: t.Any, status: int, config: t.Any, about: str
) -> None:
    server.reply(script, status=status)
    headers = [{"key": "Authorization", "value": SECRET}]
    assert about in failure(server, headers=headers, **config)


def test_a_filled_block_is_checked_again(server: HttpServer) -> None:
    assert failure(server, timeoutSeconds="soon").startswith("web.timeoutSeconds: ")
    assert server.requests == []


@pytest.mark.parametrize(
    ("config", "field", "about"),
    [
        ({"url": "metrics"}, "web.url", "does not begin with http://"),
        ({"method": "DELETE"}, "web.method", "expected is one of GET, POST, PUT"),
        ({"body": "x"}, "web.body", "a GET sends no body"),
        ({"jsonBody": {"a": 1}}, "web.jsonBody", "a GET sends no body"),
        ({"jsonBody": {}}, "web.jsonBody", "a GET sends no body"),
        (
            {"body": "x", "jsonBody": {"a": 1}, "method": "POST"},
            "web.body",
            "it stands beside jsonBody",
        ),
        ({"body": {"a": 1}, "method": "PUT"}, "web.body", "a mapping was found"),
        ({"jsonPath": "{$.a"}, "web.jsonPath", ""),
        ({"jmespath": "a["}, "web.jmespath", ""),
        ({"jmespath": "a", "jsonPath": "{$.a}"}, "web.jmespath", "beside jsonPath"),
        ({"timeout": 5}, "web.timeout", "did you mean 'timeoutSeconds'?"),
        ({"authentication": {"sigv4": {}}}, "web.authentication.sigv4", "no such"),
    ],
)
def test_problems(config: dict[str, t.Any], field: str, about: str) -> None:
    assert about in wrong(**config)[field]


def test_placeholders_are_not_judged() -> None:
    assert not wrong(
        url="{{args.address}}/x",
        method="{{ args.method }}",
        jsonPath="{$.{{args.path}}[}",
        jmespath=None,
        timeoutSeconds="{{args.seconds}}",
        insecure="{{args.insecure}}",
        caCert="{{args.ca}}",
        headers=[{"key": "Authorization", "value": "Bearer {{args.token}}"}],
    )


def test_no_mapping() -> None:
    problems = web.problems(t.cast(t.Any, "http://a"))
    assert [p.field for p in problems] == ["web"]
