# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The provider prometheus against a server that speaks as its documentation says.

A real Prometheus is asked in the integration tests.
"""

from __future__ import annotations

import math
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils import _deps
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.measurement import (  # noqa: E501 - a name
    MeasurementError,
    Value,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.providers import (  # noqa: E501 - a name
    prometheus,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.http_server import (
    Drip,
    Hang,
    HttpServer,
    Reply,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.vendors import (
    NO_ANSWERS,
    NOW_SECONDS,
    request,
)

SECRET = "s3cr3t-value"
RANGE = {"start": 'now() - duration("5m")', "end": "now()", "step": "1m30s"}


def success(kind: str, result: t.Any, **more: t.Any) -> dict[str, t.Any]:
    data = {"resultType": kind, "result": result}
    return {"status": "success", "data": data, **more}


def vector(*texts: str) -> dict[str, t.Any]:
    return success("vector", [{"metric": {}, "value": [1.5, x]} for x in texts])


def measure(server: HttpServer, **config: t.Any) -> Value:
    return prometheus.measure(request({"address": server.url, "query": "up", **config}))


def failure(server: HttpServer, **config: t.Any) -> str:
    with pytest.raises(MeasurementError) as caught:
        measure(server, **config)
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def wrong(**config: t.Any) -> dict[str, str]:
    found = prometheus.problems({"address": "http://a", "query": "up", **config})
    return {p.field: p.text for p in found}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (vector("1", "0.25"), [1.0, 0.25]),
        (vector("+Inf", "-Inf", "1e3"), [math.inf, -math.inf, 1000.0]),
        (vector(), []),
        (success("scalar", [1.5, "42"]), 42.0),
        (success("matrix", []), []),
        (
            success(
                "matrix",
                [
                    {"metric": {"a": "1"}, "values": [[1, "1"], [2, "2"]]},
                    {"metric": {"a": "2"}, "values": [[1, "3"]]},
                ],
            ),
            [1.0, 2.0, 3.0],
        ),
    ],
)
def test_value(server: HttpServer, answer: t.Any, expected: t.Any) -> None:
    server.reply(answer)
    assert measure(server).value == expected


def test_nan(server: HttpServer) -> None:
    server.reply(vector("NaN", "1"))
    value = measure(server).value
    assert math.isnan(value[0])
    assert value[1] == 1.0


def test_instant_query(server: HttpServer) -> None:
    server.reply(vector("1"))
    headers = [{"key": "X-Scope-OrgID", "value": "tenant"}]
    address = f"{server.url}/prometheus/"
    outcome = measure(
        server, address=address, query='up{a="\u00e4 b"}', headers=headers
    )
    (received,) = server.requests
    assert (received.method, received.target) == ("POST", "/prometheus/api/v1/query")
    assert received.form == {"query": 'up{a="\u00e4 b"}', "time": f"{NOW_SECONDS}.000"}
    assert received.headers["content-type"] == "application/x-www-form-urlencoded"
    assert received.headers["x-scope-orgid"] == "tenant"
    assert outcome.metadata == {"ResolvedPrometheusQuery": 'up{a="\u00e4 b"}'}


def test_range_query(server: HttpServer) -> None:
    server.reply(success("matrix", []))
    outcome = measure(server, rangeQuery=RANGE)
    (received,) = server.requests
    assert received.path == "/api/v1/query_range"
    assert received.form == {
        "query": "up",
        "start": f"{NOW_SECONDS - 300}.000",
        "end": f"{NOW_SECONDS}.000",
        "step": "90",
    }
    assert outcome.metadata["range"] == (
        "2020-01-01T11:55:00+00:00 to 2020-01-01T12:00:00+00:00 by 1m30s"
    )


def test_start_after_end(server: HttpServer) -> None:
    span = {"start": "now()", "end": 'now() - duration("1s")', "step": "1m"}
    assert "start lies after end" in failure(server, rangeQuery=span)
    assert server.requests == []


def test_proxy_that_allows_no_post(server: HttpServer) -> None:
    server.reply("not allowed", status=405)
    server.reply(vector("1"))
    assert measure(server).value == [1.0]
    last = server.requests[1]
    assert (last.method, last.path, last.body) == ("GET", "/api/v1/query", b"")
    assert last.query == {"query": "up", "time": f"{NOW_SECONDS}.000"}


def test_warnings(server: HttpServer) -> None:
    server.reply(success("vector", [], warnings=["store down", "partial"]))
    assert measure(server).metadata["warnings"] == "store down; partial"


@pytest.mark.parametrize("name", prometheus.ADDRESSES)
def test_address_of_the_environment(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for each in prometheus.ADDRESSES:
        monkeypatch.delenv(each, raising=False)
    assert "there is none; give the URL" in failure(server, address=None)
    monkeypatch.setenv(name, f"//{SECRET}")
    assert failure(server, address="").startswith(f"The environment's {name}: ")
    monkeypatch.setenv(name, server.url)
    server.reply(vector("1"))
    assert measure(server, address=None).value == [1.0]


@pytest.mark.parametrize(
    ("authentication", "expected"),
    [
        ({"basicAuth": {"username": "me", "password": "p"}}, "Basic bWU6cA=="),
        ({"bearerToken": "abc"}, "Bearer abc"),
        (
            {
                "oauth2": {
                    "tokenUrl": "{url}/token",
                    "clientId": "me",
                    "clientSecret": SECRET,
                    "scopes": ["read"],
                }
            },
            "Bearer from-server",
        ),
    ],
)
def test_authentication(
    server: HttpServer, authentication: dict[str, t.Any], expected: str
) -> None:
    server.reply({"access_token": "from-server"}, path="/token")
    server.reply(vector("1"), path="/api/v1/query")
    oauth2 = authentication.get("oauth2")
    if oauth2:
        authentication = {"oauth2": {**oauth2, "tokenUrl": f"{server.url}/token"}}
    measure(server, authentication=authentication)
    assert server.requests[-1].headers["authorization"] == expected


def test_sigv4(server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("botocore")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    server.reply(vector("1"))
    measure(server, authentication={"sigv4": {"region": "eu-west-1"}})
    assert "/eu-west-1/aps/aws4_request" in server.requests[0].headers["authorization"]


def test_sigv4_without_botocore(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_deps, "botocore", lambda: None)
    message = failure(server, authentication={"sigv4": {"region": "r"}})
    assert "pip install botocore" in message


def test_query_that_is_refused(server: HttpServer) -> None:
    error = {
        "status": "error",
        "errorType": "bad_data",
        "error": 'invalid parameter "query": 1:1: parse error:\n unexpected end',
    }
    server.reply(error, status=400)
    assert failure(server) == (
        f"POST {server.url}/api/v1/query answered 400, an error (bad_data): invalid"
        ' parameter "query": 1:1: parse error: unexpected end'
    )


def test_error_that_repeats_the_token(server: HttpServer) -> None:
    error = {"status": "error", "error": f"no {SECRET}", "errorType": SECRET}
    server.reply(error, status=401)
    assert "*****" in failure(server, authentication={"bearerToken": SECRET})


@pytest.mark.parametrize("body", NO_ANSWERS)
def test_no_prometheus(server: HttpServer, body: t.Any) -> None:
    server.reply(body)
    assert failure(server).startswith(f"POST {server.url}/api/v1/query did not answer")


@pytest.mark.parametrize(
    "answer",
    [
        success("vector", None),
        success("vector", "text"),
        success("vector", [1]),
        success("vector", [{"metric": {}}]),
        success("vector", [{"value": [1]}]),
        success("vector", [{"value": [1, "many"]}]),
        success("vector", [{"value": [1, None]}]),
        success("matrix", [{"values": 7}]),
        success("matrix", [{"values": [[]]}]),
        success("scalar", []),
        success("scalar", [1, {}]),
        success("scalar", [1, 10**400]),
        {"status": "success", "data": None},
        {"status": "success", "data": {"resultType": ["vector"]}},
    ],
)
def test_malformed_result(server: HttpServer, answer: t.Any) -> None:
    server.reply(answer)
    message = failure(server)
    assert "did not answer as Prometheus does; check prometheus.address" in message


def test_native_histogram(server: HttpServer) -> None:
    server.reply(success("vector", [{"metric": {}, "histogram": [1, {"count": "3"}]}]))
    assert "make numbers of them" in failure(server)


def test_string_result(server: HttpServer) -> None:
    server.reply(success("string", [1, "text"]))
    assert "answered with a string, expected is a vector" in failure(server)


@pytest.mark.parametrize(
    ("script", "config", "about"),
    [
        (Hang(), {"timeout": 0.3}, "was cut off after 0.3 s"),
        (Drip(), {"timeout": 0.3}, "was cut off after 0.3 s"),
        (Drip(headers=True), {"timeout": 0.3}, "was cut off after 0.3 s"),
        (Reply(f"<h1>{SECRET}</h1>", 500), {}, "answered 500 Internal Server Error"),
        (Reply(b"x" * 11 * 1024 * 1024), {}, "more than 10 MiB"),
        (Reply("", 302, {"Location": f"http://b/?x={SECRET}"}), {}, "redirects (302)"),
    ],
)
def test_unhappy(
    server: HttpServer, script: t.Any, config: dict[str, t.Any], about: str
) -> None:
    server.reply(script)
    bearer = {"bearerToken": SECRET}
    assert about in failure(server, authentication=bearer, **config)


def test_tls(tls_server: HttpServer, certificates: t.Any) -> None:
    tls_server.reply(vector("1"), path="/api/v1/query")
    assert "give its authority as caCert" in failure(tls_server)
    assert measure(tls_server, insecure=True).value == [1.0]
    authority = (certificates / "ca.crt").read_text()
    assert measure(tls_server, caCert=authority).value == [1.0]


@pytest.mark.parametrize(
    ("config", "field", "about"),
    [
        ({"address": "prom:9090"}, "prometheus.address", "http:// or https://"),
        ({"query": " "}, "prometheus.query", "an empty text was found"),
        ({"timeoutSeconds": 3}, "prometheus.timeoutSeconds", "did you mean 'timeout'?"),
        ({"timeout": "40s"}, "prometheus.timeout", "expected is a number of seconds"),
        ({"rangeQuery": []}, "prometheus.rangeQuery", "a list was found"),
        ({"rangeQuery": {**RANGE, "step": "0s"}}, "prometheus.rangeQuery.step", "'0s'"),
        ({"rangeQuery": {**RANGE, "step": "1"}}, "prometheus.rangeQuery.step", "'1'"),
        ({"rangeQuery": {**RANGE, "step": 60}}, "prometheus.rangeQuery.step", "number"),
        (
            {"rangeQuery": {**RANGE, "end": "later"}},
            "prometheus.rangeQuery.end",
            "near",
        ),
        ({"rangeQuery": {"start": "now()"}}, "prometheus.rangeQuery.end", "nothing"),
        ({"rangeQuery": {**RANGE, "x": 1}}, "prometheus.rangeQuery.x", "no such field"),
        (
            {"authentication": {"basic": {}}},
            "prometheus.authentication.basic",
            "did you mean 'basicAuth'?",
        ),
        (
            {"authentication": {"sigv4": {"role": "x"}}},
            "prometheus.authentication.sigv4.role",
            "did you mean 'roleArn'?",
        ),
        (
            {"authentication": {"oauth2": {"tokenUrl": "x"}}},
            "prometheus.authentication.oauth2.tokenUrl",
            "http:// or https://",
        ),
    ],
)
def test_problems(config: dict[str, t.Any], field: str, about: str) -> None:
    assert about in wrong(**config)[field]


def test_placeholders_are_not_judged() -> None:
    lookback = 'now() - duration("{{args.lookback}}")'
    assert not wrong(
        address="{{ args.address }}",
        timeout="{{args.timeout}}",
        rangeQuery={"start": lookback, "end": "now()", "step": "{{args.step}}"},
    )


def test_seconds_allowed() -> None:
    assert prometheus.seconds_allowed({}) == 35
    assert prometheus.seconds_allowed({"timeout": 40}) == 45
