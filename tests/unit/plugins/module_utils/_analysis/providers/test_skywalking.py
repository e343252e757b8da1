# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SkyWalking's provider, against a server that speaks as its OAP server is documented.

It is not SkyWalking's server: what is shown here is that our requests and our reading
of the answers follow the documentation.
"""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.measurement import (  # noqa: E501 - a name
    MeasurementError,
    Value,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.providers import (  # noqa: E501 - a name
    skywalking,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.http_server import (
    Hang,
    HttpServer,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.vendors import (
    NO_ANSWERS,
    request,
)

QUERY = "query queryData($duration: Duration!) { apdex: readMetricsValues(x) }"


def measure(server: HttpServer, **more: t.Any) -> Value:
    config = {"address": f"{server.url}/", "query": QUERY, **more}
    outcome = skywalking.measure(request(config))
    assert isinstance(outcome, Value)
    return outcome


def test_the_query_gets_the_window_as_its_duration(server: HttpServer) -> None:
    data = {"apdex": {"values": {"values": [{"value": 10000}]}}}
    server.reply({"data": data})
    outcome = measure(server, interval="3m")
    (asked,) = server.requests
    assert (asked.method, asked.path) == ("POST", "/graphql")
    assert asked.headers["content-type"] == "application/json"
    assert asked.json() == {
        "query": QUERY,
        "variables": {
            "duration": {
                "start": "2020-01-01 1157",
                "end": "2020-01-01 1200",
                "step": "MINUTE",
            }
        },
    }
    assert outcome.value == data
    assert outcome.metadata == {"start": "2020-01-01 1157", "end": "2020-01-01 1200"}


def test_the_window_is_five_minutes_unless_said(server: HttpServer) -> None:
    server.reply({"data": {}})
    assert measure(server).metadata["start"] == "2020-01-01 1155"


@pytest.mark.parametrize("data", [None, {}, {"apdex": None}, {"v": ["NaN", 1, None]}])
def test_the_value_is_the_data_as_it_came(server: HttpServer, data: t.Any) -> None:
    server.reply({"data": data})
    assert measure(server).value == data


def test_headers_of_the_block_are_sent(server: HttpServer) -> None:
    server.reply({"data": {}})
    measure(server, headers=[{"key": "Authorization", "value": "Basic secret"}])
    assert server.requests[0].headers["authorization"] == "Basic secret"


@pytest.mark.parametrize(
    "errors", [[{"message": "Exception while fetching data"}], ["Exception while"]]
)
def test_an_error_of_the_query_with_status_200(
    server: HttpServer, errors: t.Any
) -> None:
    server.reply({"data": None, "errors": errors})
    with pytest.raises(MeasurementError, match="refused the query: Exception while"):
        measure(server)


@pytest.mark.parametrize("answer", NO_ANSWERS, ids=range(len(NO_ANSWERS)))
def test_whatever_answers_becomes_a_sentence(server: HttpServer, answer: t.Any) -> None:
    server.reply(answer)
    with pytest.raises(MeasurementError) as caught:
        measure(server)
    assert "\n" not in str(caught.value)


def test_a_refusal_shows_the_status_and_no_secret(server: HttpServer) -> None:
    server.reply("no entry for the-password", status=403)
    headers = [{"key": "Authorization", "value": "Bearer the-password"}]
    with pytest.raises(MeasurementError, match="403 Forbidden: no entry") as found:
        measure(server, headers=headers)
    assert "the-password" not in str(found.value)


def test_a_hanging_server_is_cut_off(server: HttpServer) -> None:
    server.reply(Hang())
    with pytest.raises(MeasurementError, match=r" 0\.2 s"):
        measure(server, timeoutSeconds=0.2)


def test_the_engine_waits_as_long_as_the_request_may_take() -> None:
    assert skywalking.seconds_allowed({}) == 30
    assert skywalking.seconds_allowed({"timeoutSeconds": "4"}) == 4


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"query": "x"}, "address"),
        ({"query": "x", "address": "skywalking:12800"}, "address"),
        ({"address": "http://a"}, "query"),
        ({"address": "http://a", "query": "x", "interval": "3"}, "interval"),
        ({"address": "http://a", "query": "x", "headers": {"a": "b"}}, "headers"),
        ({"address": "http://a", "query": "x", "intervall": "3m"}, "intervall"),
    ],
    ids=str,
)
def test_bad_input_names_its_field(config: dict[str, t.Any], field: str) -> None:
    assert [problem.field for problem in skywalking.problems(config)] == [
        f"skywalking.{field}"
    ]
    with pytest.raises(MeasurementError, match=rf"^skywalking\.{field}: "):
        skywalking.measure(request(config))


def test_what_is_right_or_not_known_yet_is_no_problem() -> None:
    config = {"address": "{{args.a}}", "query": "{{args.q}}", "interval": "{{args.i}}"}
    assert skywalking.problems(config) == []
