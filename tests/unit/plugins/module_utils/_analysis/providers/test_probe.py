# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Probes: how many, how fast, where to, and what is made of the answers."""

from __future__ import annotations

import itertools
import json
import typing as t

import pytest
from cluster import free_port
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.measurement import (  # noqa: E501 - a module's name
    MeasurementError,
    Place,
    Request,
    Value,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.providers import (  # noqa: E501 - a package's name
    probe,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.providers.probe import (  # noqa: E501 - a module's name
    Pace,
    Result,
    value_of,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._api import Api
from ansible_collections.cutover.bluegreen.plugins.module_utils._auth import connect
from ansible_collections.cutover.bluegreen.plugins.module_utils._clock import (
    ServerClock,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._errors import LockLost
from ansible_collections.cutover.bluegreen.tests.unit.support.http_server import (
    Close,
    Hang,
    HttpServer,
    Received,
    Reply,
)

Object = dict[str, t.Any]

URL = "http://web-preview.shop/health"


# -- bad input -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "field", "text"),
    [
        ({"uri": URL}, "probe.uri", "there is no such field"),
        ({"url": "web-preview"}, "probe.url", "does not begin with http"),
        ({"url": URL, "service": "web"}, "probe.url", "service were found as well"),
        ({"url": URL, "path": "/a", "port": 1}, "probe.url", "port and path were"),
        ({"url": URL, "via": "apiserver"}, "probe.via", "reaches Services only"),
        ({"via": "proxy"}, "probe.via", "expected is apiserver or direct"),
        ({"scheme": "ftp"}, "probe.scheme", "expected is http or https"),
        ({"service": "Web!"}, "probe.service", "the name of a Service"),
        ({"port": 0}, "probe.port", "0 was found"),
        ({"port": True}, "probe.port", "True was found"),
        ({"port": 70000}, "probe.port", "a port's number or name"),
        ({"port": "³"}, "probe.port", "a port's number or name"),
        ({"path": 1}, "probe.path", "a number was found"),
        ({"path": "/../../secrets"}, "probe.path", ".. was found in it"),
        ({"path": "/a/%2e%2E/b"}, "probe.path", ".. was found in it"),
        ({"method": "DELETE"}, "probe.method", "expected is GET or HEAD or POST"),
        ({"body": "x"}, "probe.body", "GET sends no body"),
        ({"headers": {"a": "b"}}, "probe.headers", "a mapping was found"),
        (
            {"headers": [{"key": "Authorization", "value": "x"}]},
            "probe.headers[0]",
            "does not go through the API server",
        ),
        (
            {"headers": [{"key": "impersonate-user", "value": "x"}]},
            "probe.headers[0]",
            "does not go through the API server",
        ),
        ({"expectedStatus": "2xx"}, "probe.expectedStatus", "'2xx' was found"),
        ({"expectedStatus": [200, "9"]}, "probe.expectedStatus", "codes from 100"),
        ({"expectedStatus": "300-200"}, "probe.expectedStatus", "ranges of them"),
        ({"expectedStatus": []}, "probe.expectedStatus", "[] was found"),
        ({"requests": 1001}, "probe.requests", "a whole number up to 1000"),
        ({"requests": 0}, "probe.requests", "0 was found"),
        ({"requests": 1.5}, "probe.requests", "a whole number"),
        ({"rate": 51}, "probe.rate", "a number up to 50"),
        ({"rate": -1}, "probe.rate", "-1 was found"),
        ({"rate": "fast"}, "probe.rate", "'fast' was found"),
        ({"concurrency": 51}, "probe.concurrency", "up to 50"),
        ({"timeoutSeconds": 61}, "probe.timeoutSeconds", "up to 60"),
        ({"duration": "long"}, "probe.duration", "expected is a duration"),
        ({"duration": "5s", "requests": 5}, "probe.duration", "requests was found"),
        ({"duration": "6m", "rate": 1}, "probe", "at most 300 s are allowed"),
        ({"duration": "30s", "rate": 50}, "probe", "1500 requests were asked for"),
        ({"requests": 500, "rate": 1}, "probe", "take 499 s"),
        ({"insecure": "yes"}, "probe.insecure", "expected is true or false"),
        ({"caCert": "x"}, "probe.caCert", "certificate"),
    ],
)
def test_problems(config: Object, field: str, text: str) -> None:
    (problem,) = probe.problems(config)
    assert problem.field == field
    assert text in problem.text
    with pytest.raises(MeasurementError):
        probe.measure(request_of(config))


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"url": URL, "headers": [{"key": "Authorization", "value": "x"}]},
        {"service": "web", "port": "http", "path": "health?deep=..", "scheme": "https"},
        {"via": "direct", "headers": [{"key": "Authorization", "value": "x"}]},
        {"method": "POST", "body": "{}", "expectedStatus": [200, "300-399"]},
        {"expectedStatus": 204},
        {"expectedStatus": "200, 204,300-308"},
        {"requests": "100", "rate": "20", "concurrency": 5, "timeoutSeconds": 1},
        {"duration": "20s", "rate": 50},
        {"duration": "5m", "rate": 0.5},
        {
            name: "{{args.a}}"
            for name in ("url", "method", "expectedStatus", "requests", "rate")
        },
        {name: "{{ args.a }}" for name in ("service", "port", "path", "duration")},
    ],
)
def test_no_problems(config: Object) -> None:
    assert probe.problems(config) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=5,
)
FIELDS = st.sampled_from(
    [
        *("url", "service", "port", "path", "scheme", "via", "method", "headers"),
        *("body", "expectedStatus", "requests", "rate", "duration", "concurrency"),
        *("timeoutSeconds", "insecure", "caCert"),
    ]
)


@given(st.dictionaries(FIELDS, JSON))
def test_nothing_breaks_the_check(config: Object) -> None:
    for problem in probe.problems(config):
        assert problem.field.startswith("probe")
        assert problem.text
    assert 0 < probe.seconds_allowed(config) < 600


# -- how fast ------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_requests_begin_evenly() -> None:
    pace = Pace(requests=4, rate=4, last_begin=10, clock=Clock())
    assert [pace.take() for _turn in range(5)] == [0.0, 0.25, 0.5, 0.75, None]


def test_nothing_is_caught_up_on() -> None:
    clock = Clock()
    pace = Pace(requests=10, rate=1, last_begin=100, clock=clock)
    assert pace.take() == 0.0
    clock.now += 5.5
    assert [pace.take(), pace.take(), pace.take()] == [0.0, 1.0, 2.0]


def test_what_there_is_no_time_for_is_not_sent() -> None:
    clock = Clock()
    pace = Pace(requests=10, rate=1, last_begin=12, clock=clock)
    pace.take()
    clock.now += 11.5
    assert [pace.take(), pace.take()] == [0.0, None]


@given(
    st.integers(1, 60),
    st.floats(0.5, 50),
    st.lists(st.floats(0, 20), max_size=60),
)
def test_never_faster_than_the_rate(
    requests: int, rate: float, delays: list[float]
) -> None:
    clock = Clock()
    pace = Pace(requests, rate, last_begin=30, clock=clock)
    begins = []
    for delay in [*delays, *[0.0] * (requests + 1)]:
        wait = pace.take()
        if wait is None:
            break
        begins.append(clock.now + wait)
        clock.now += delay
    assert len(begins) <= requests
    assert all(b - a >= 1 / rate - 1e-6 for a, b in itertools.pairwise(begins))
    assert all(begin <= 1000 + 30 for begin in begins)


# -- what is made of it --------------------------------------------------------------


def results(*of: tuple[int | None, float]) -> list[Result]:
    return [
        Result(began=n, took=took, status=status, text=f"request {n}")
        for n, (status, took) in enumerate(of)
    ]


def test_the_value() -> None:
    found = results((200, 0.010), (503, 0.030), (None, 5.0), (302, 0.020))
    assert value_of(found[::-1], [(200, 399)], planned=6) == {
        "requests": 4,
        "ok": 2,
        "errors": 2,
        "unsent": 2,
        "success_rate": 0.5,
        "status": {"200": 1, "302": 1, "503": 1},
        "latency_ms": {"p50": 20.0, "p90": 30.0, "p95": 30.0, "p99": 30.0, "max": 30.0},
        "first_error": "request 1",
    }


def test_the_value_without_an_answer() -> None:
    value = value_of(results((None, 5.0)), [(200, 399)], planned=1)
    assert value["success_rate"] == 0.0
    assert set(value["latency_ms"].values()) == {None}
    assert value["status"] == {}


def test_percentiles_are_by_nearest_rank() -> None:
    found = results(*[(200, n / 1000) for n in range(100, 0, -1)])
    value = value_of(found, [(200, 200)], planned=100)
    assert value["latency_ms"] == {
        "p50": 50.0,
        "p90": 90.0,
        "p95": 95.0,
        "p99": 99.0,
        "max": 100.0,
    }
    assert value["first_error"] == ""


# -- sending -------------------------------------------------------------------------


def request_of(config: Object, api: Api | None = None, **place: t.Any) -> Request:
    where: Object = {"namespace": "shop", "preview_services": ("web-preview",)}
    return Request(
        metric="probe",
        number=1,
        config=config,
        config_of_stable={},
        place=Place(
            now=ServerClock().now,
            secret=lambda name, key: "",
            api=lambda: t.cast(Api, api),
            **{**where, **place},
        ),
    )


def measured(request: Request) -> Object:
    outcome = probe.measure(request)
    assert isinstance(outcome, Value)
    return t.cast(Object, outcome.value)


def test_requests_to_a_url(server: HttpServer) -> None:
    server.reply("fine", path="/health")
    headers = [{"key": "X-Test", "value": "1"}]
    config = {
        "url": f"{server.url}/health",
        "method": "POST",
        "body": "hello",
        "headers": headers,
        "requests": 7,
        "rate": 50,
        "concurrency": 3,
    }
    value = measured(request_of(config))
    assert (value["requests"], value["ok"], value["errors"]) == (7, 7, 0)
    assert value["success_rate"] == 1.0
    assert value["status"] == {"200": 7}
    assert value["latency_ms"]["max"] > 0
    assert len(server.requests) == 7
    assert {(r.method, r.body, r.headers["x-test"]) for r in server.requests} == {
        ("POST", b"hello", "1")
    }


def test_some_requests_fail(server: HttpServer) -> None:
    for script in (Reply(), Reply("broken", 500), Close(), Hang()):
        server.reply(script)
    config = {
        "url": f"{server.url}/?token=abc",
        "requests": 4,
        "concurrency": 1,
        "rate": 50,
        "timeoutSeconds": 2,
    }
    value = measured(request_of(config))
    assert value["ok"] == 1
    assert value["errors"] == 3
    assert value["status"] == {"200": 1, "500": 1}
    assert value["first_error"] == f"GET {server.url}/ answered 500"


def test_what_is_expected_can_be_said(server: HttpServer) -> None:
    server.reply("", status=204)
    server.reply("", status=200)
    config = {"url": server.url, "requests": 2, "expectedStatus": [204], "rate": 50}
    value = measured(request_of(config))
    assert (value["ok"], value["errors"]) == (1, 1)


def test_nobody_listens() -> None:
    config = {"url": f"http://127.0.0.1:{free_port()}", "requests": 2, "rate": 50}
    value = measured(request_of(config))
    assert value["success_rate"] == 0.0
    assert "cannot be reached" in value["first_error"]


def test_a_slow_server_is_not_overrun(server: HttpServer) -> None:
    """One request at a time hangs; what there is no time for is not sent."""
    server.reply(Hang(), path="/")
    config = {
        "url": f"{server.url}/",
        "requests": 50,
        "rate": 50,
        "concurrency": 2,
        "timeoutSeconds": 0.4,
    }
    value = measured(request_of(config))
    assert value["requests"] == value["errors"] >= len(server.requests) > 0
    assert value["unsent"] == 50 - value["requests"] > 30


# -- through the API server ----------------------------------------------------------

SERVICES = "/api/v1/namespaces/shop/services"
PROXY = f"{SERVICES}/http:web-preview:80/proxy"
PORTS = [{"name": "http", "port": 80}, {"name": "admin", "port": 9000}]


@pytest.fixture
def api(server: HttpServer) -> Api:
    service = {"metadata": {"name": "web-preview"}, "spec": {"ports": PORTS}}
    server.reply({"items": [service]}, path=SERVICES)
    connection = connect({"host": server.url, "api_key": "token"}, {})
    return Api(connection, ServerClock(), sleep=lambda seconds: None)


def status(code: int, reason: str, message: str) -> Reply:
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": reason,
        "message": message,
        "code": code,
    }
    return Reply(body, code)


def test_the_preview_service_is_asked(server: HttpServer, api: Api) -> None:
    server.reply("fine", path=f"{PROXY}/")
    outcome = probe.measure(request_of({"requests": 3, "rate": 50}, api))
    assert isinstance(outcome, Value)
    assert outcome.value["status"] == {"200": 3}
    assert outcome.metadata == {"target": f"GET {PROXY}/"}
    assert server.requests[0].query == {"fieldSelector": "metadata.name=web-preview"}


@pytest.mark.parametrize(
    ("config", "target"),
    [
        ({"path": "health?deep=1"}, f"{PROXY}/health?deep=1"),
        ({"path": "//health"}, f"{PROXY}/health"),
        ({"port": "admin"}, f"{SERVICES}/http:web-preview:9000/proxy/"),
        ({"port": "9000"}, f"{SERVICES}/http:web-preview:9000/proxy/"),
        (
            {"service": "web", "port": 80, "scheme": "https"},
            f"{SERVICES}/https:web:80/proxy/",
        ),
    ],
)
def test_where_the_requests_go(
    server: HttpServer, api: Api, config: Object, target: str
) -> None:
    server.reply("fine", path=target.partition("?")[0])
    value = measured(request_of({**config, "requests": 1}, api))
    assert value["ok"] == 1
    assert server.requests[-1].target == target


def test_a_service_that_is_not_there(server: HttpServer, api: Api) -> None:
    server.reply({"items": []}, path=SERVICES)
    with pytest.raises(MeasurementError, match="shop/web-preview does not exist"):
        probe.measure(request_of({}, api))


def test_a_port_that_is_not_there(api: Api) -> None:
    with pytest.raises(MeasurementError) as caught:
        probe.measure(request_of({"port": "grpc"}, api))
    assert str(caught.value) == (
        "Service shop/web-preview has no port grpc; it has 80 (http), 9000 (admin)."
    )


def test_no_service_at_all(api: Api) -> None:
    with pytest.raises(MeasurementError, match="there is no preview Service"):
        probe.measure(request_of({}, api, preview_services=()))


def test_no_pods_behind_the_service_are_errors(server: HttpServer, api: Api) -> None:
    text = 'no endpoints available for service "web-preview"'
    server.reply(status(503, "ServiceUnavailable", text), path=f"{PROXY}/")
    value = measured(request_of({"requests": 2, "rate": 50}, api))
    assert value["errors"] == 2
    assert value["first_error"] == f"GET {PROXY}/ answered 503: {text}"


@pytest.mark.parametrize("code", [403, 404, 503])
def test_the_application_s_own_refusals_are_errors(
    server: HttpServer, api: Api, code: int
) -> None:
    server.reply(json.dumps({"kind": "Problem"}), status=code, path=f"{PROXY}/")
    value = measured(request_of({"requests": 1}, api))
    assert value["first_error"] == f"GET {PROXY}/ answered {code}"


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (status(403, "Forbidden", "no."), r"\(403\): no\. Give the user a Role"),
        (status(401, "Unauthorized", "no"), r"Give the user a Role"),
        (status(404, "NotFound", "not found"), r"through \(404\): not found\."),
        (status(429, "TooManyRequests", "slow"), r"through \(429\): slow\."),
    ],
)
def test_a_refusal_of_the_api_server_is_no_measurement(
    server: HttpServer, api: Api, reply: Reply, text: str
) -> None:
    server.reply(reply, path=f"{PROXY}/")
    with pytest.raises(MeasurementError, match=text):
        probe.measure(request_of({"requests": 50, "rate": 50}, api))
    assert len(server.requests) < 50


def test_a_lost_lock_ends_a_probe_that_writes(server: HttpServer, api: Api) -> None:
    def lost() -> None:
        raise LockLost("another run drives")

    api.before_write.append(lost)
    with pytest.raises(LockLost):
        probe.measure(request_of({"method": "POST", "requests": 20, "rate": 50}, api))
    assert [r.path for r in server.requests] == [SERVICES]


def test_an_application_that_is_slow_is_an_error(server: HttpServer, api: Api) -> None:
    server.reply(Hang(), path=f"{PROXY}/")
    value = measured(request_of({"requests": 1, "timeoutSeconds": 0.2}, api))
    assert value["errors"] == 1
    assert value["first_error"].endswith("had not answered after 0.2 s.")


@pytest.mark.parametrize(
    "listed", [{}, {"items": 1}, {"items": [1]}, {"items": [{"spec": {"ports": [1]}}]}]
)
def test_answers_that_no_api_server_gives(
    server: HttpServer, api: Api, listed: Object
) -> None:
    server.reply(listed, path=SERVICES)
    with pytest.raises(MeasurementError, match="check host"):
        probe.measure(request_of({}, api))


def test_the_service_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the API server: the name that the cluster's DNS gives it."""
    seen: list[Received] = []
    with HttpServer() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)

        def answer(request: Received) -> Reply:
            seen.append(request)
            return Reply("fine")

        proxy.reply(answer)
        config = {"via": "direct", "port": 8080, "path": "/health", "requests": 1}
        assert measured(request_of(config))["ok"] == 1
    assert [r.target for r in seen] == ["http://web-preview.shop.svc:8080/health"]
