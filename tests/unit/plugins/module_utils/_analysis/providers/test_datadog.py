# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Datadog's provider, against a server that speaks as Datadog documents its API.

It is not Datadog's server: what is shown here is that our requests and our reading
of the answers follow the documentation.
"""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.measurement import (  # noqa: E501 - a name
    MeasurementError,
    SecretMissing,
    Value,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.providers import (  # noqa: E501 - a name
    datadog,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.http_server import (
    Hang,
    HttpServer,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.vendors import (
    NO_ANSWERS,
    NOW_SECONDS,
    request,
)

KEYS = {"api-key": "the-api-key\n", "app-key": "the-app-key"}
V1 = {"query": "avg:errors{*}"}
V2 = {"apiVersion": "v2", "query": "avg:errors{*}"}


def measure(server: HttpServer, config: t.Mapping[str, t.Any]) -> Value:
    secrets = {"datadog": {**KEYS, "address": server.url}}
    outcome = datadog.measure(request(config, secrets))
    assert isinstance(outcome, Value)
    return outcome


def scalar(*columns: t.Any) -> dict[str, t.Any]:
    return {"data": {"type": "scalar_response", "attributes": {"columns": columns}}}


def column(*values: t.Any) -> dict[str, t.Any]:
    return {"name": "query", "type": "number", "values": values}


def group(*values: t.Any) -> dict[str, t.Any]:
    return {"name": "env", "type": "group", "values": values}


# -- v1 --------------------------------------------------------------------------------


def test_v1_asks_for_the_last_five_minutes_with_both_keys(server: HttpServer) -> None:
    server.reply(
        {"status": "ok", "series": [{"pointlist": [[1e12, 1.0], [2e12, 2.5]]}]}
    )
    outcome = measure(server, V1)
    (asked,) = server.requests
    assert (asked.method, asked.path) == ("GET", "/api/v1/query")
    assert asked.query == {
        "query": "avg:errors{*}",
        "from": str(NOW_SECONDS - 300),
        "to": str(NOW_SECONDS),
    }
    assert asked.headers["dd-api-key"] == "the-api-key"
    assert asked.headers["dd-application-key"] == "the-app-key"
    assert outcome.value == 2.5
    assert outcome.metadata == {"query": "avg:errors{*}"}


def test_the_interval_is_the_window(server: HttpServer) -> None:
    server.reply({"series": []})
    measure(server, {**V1, "interval": "1h30m"})
    assert server.requests[0].query["from"] == str(NOW_SECONDS - 5400)


@pytest.mark.parametrize(
    ("series", "value"),
    [
        ([], None),
        ([{"pointlist": []}], None),
        ([{"pointlist": [[1, None]]}], None),
        # The current minute has no value yet.
        ([{"pointlist": [[1, 7], [2, None]]}], 7),
        ([{"pointlist": [[1, 0]]}], 0),
        ([{"pointlist": [[1, 1]]}, {"pointlist": [[1, 2]]}], 1),
    ],
)
def test_v1_the_newest_value_of_the_first_series(
    server: HttpServer, series: t.Any, value: t.Any
) -> None:
    server.reply({"series": series})
    assert measure(server, V1).value == value


@pytest.mark.parametrize(
    "answer",
    [
        {"series": [{"pointlist": [[1, "many"]]}]},
        {"series": [{"pointlist": [[1]]}]},
        {"series": [{"pointlist": "none"}]},
        {"series": "none"},
        {"series": ["none"]},
    ],
)
def test_v1_what_is_no_series_is_a_sentence(server: HttpServer, answer: t.Any) -> None:
    server.reply(answer)
    with pytest.raises(
        MeasurementError, match=r"GET http://127.0.0.1:\d+/api/v1/query"
    ):
        measure(server, V1)


def test_v1_an_error_of_the_query_with_status_200(server: HttpServer) -> None:
    server.reply({"status": "error", "error": "Rule 'scope_expr' didn't match at '{'."})
    with pytest.raises(MeasurementError, match="refused the query: Rule 'scope_expr'"):
        measure(server, V1)


# -- v2 --------------------------------------------------------------------------------


def test_v2_asks_for_a_scalar(server: HttpServer) -> None:
    server.reply(scalar(column(0.25)))
    outcome = measure(server, {**V2, "aggregator": "sum"})
    (asked,) = server.requests
    assert (asked.method, asked.path) == ("POST", "/api/v2/query/scalar")
    assert asked.headers["dd-application-key"] == "the-app-key"
    assert asked.headers["content-type"] == "application/json"
    assert asked.json() == {
        "data": {
            "type": "scalar_request",
            "attributes": {
                "from": (NOW_SECONDS - 300) * 1000,
                "to": NOW_SECONDS * 1000,
                "queries": [
                    {
                        "aggregator": "sum",
                        "data_source": "metrics",
                        "name": "query",
                        "query": "avg:errors{*}",
                    }
                ],
                "formulas": [{"formula": "query"}],
            },
        }
    }
    assert outcome.value == 0.25


def test_v2_queries_with_a_formula(server: HttpServer) -> None:
    server.reply(scalar(column(3)))
    config = {"apiVersion": "v2", "queries": {"a": "x", "b": "y"}, "formula": "a / b"}
    assert measure(server, config).value == 3
    attributes = server.requests[0].json()["data"]["attributes"]
    assert [query["name"] for query in attributes["queries"]] == ["a", "b"]
    assert {query["aggregator"] for query in attributes["queries"]} == {"last"}
    assert attributes["formulas"] == [{"formula": "a / b"}]


def test_v2_a_list_for_formulas(server: HttpServer) -> None:
    server.reply(scalar(column(3), column()))
    config = {"apiVersion": "v2", "queries": {"a": "x"}, "formulas": ["a", "a*2"]}
    assert measure(server, config).value == [3, None]


@pytest.mark.parametrize(
    "answer", [scalar(), scalar(column()), scalar(column(None))], ids=str
)
def test_v2_no_data(server: HttpServer, answer: t.Any) -> None:
    server.reply(answer)
    assert measure(server, V2).value is None


def test_v2_a_grouped_query_is_a_list_even_of_one(server: HttpServer) -> None:
    server.reply(scalar(group(["prod"]), group(["GET /a"]), column(0.5)))
    outcome = measure(server, V2)
    assert outcome.value == [0.5]
    groups = json.loads(outcome.metadata["groups"])
    assert groups == [{"name": "prod,GET /a", "value": 0.5}]


def test_v2_a_grouped_query_without_groups_is_no_data(server: HttpServer) -> None:
    server.reply(scalar(group(), column()))
    assert measure(server, V2).value == []


def test_v2_only_the_highest_groups_are_shown(server: HttpServer) -> None:
    names = [[f"pod-{number}"] for number in range(150)]
    server.reply(scalar(group(*names), column(*range(150))))
    outcome = measure(server, V2)
    assert len(outcome.value) == 150
    groups = json.loads(outcome.metadata["groups"])
    assert [groups[0], len(groups)] == [{"name": "pod-149", "value": 149}, 100]
    assert outcome.metadata["groups_truncated"] == "true"


@pytest.mark.parametrize(
    "answer",
    [
        scalar({"values": "invalid"}),
        scalar(column("many")),
        scalar(7),
        scalar(group(["a"]), column(1), column(2)),
        {"data": {"attributes": {"columns": None}}},
    ],
    ids=str,
)
def test_v2_what_is_no_column_is_a_sentence(server: HttpServer, answer: t.Any) -> None:
    server.reply(answer)
    with pytest.raises(MeasurementError, match="Datadog|/api/v2/query/scalar"):
        measure(server, V2)


@pytest.mark.parametrize(
    "answer",
    [{"errors": ["bad formula"]}, {"data": {"errors": "bad formula"}}],
    ids=str,
)
def test_v2_an_error_with_status_200(server: HttpServer, answer: t.Any) -> None:
    server.reply(answer)
    with pytest.raises(MeasurementError, match="refused the query: .*bad formula"):
        measure(server, V2)


# -- both ------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [V1, V2], ids=["v1", "v2"])
@pytest.mark.parametrize("answer", NO_ANSWERS, ids=range(len(NO_ANSWERS)))
def test_whatever_answers_becomes_a_sentence(
    server: HttpServer, config: t.Any, answer: t.Any
) -> None:
    server.reply(answer)
    with pytest.raises(MeasurementError) as caught:
        measure(server, config)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("config", [V1, V2], ids=["v1", "v2"])
def test_a_refusal_shows_the_status_and_no_key(
    server: HttpServer, config: t.Any
) -> None:
    said = {"errors": ["Forbidden", "the-api-key"]}
    server.reply(said, status=403)
    with pytest.raises(MeasurementError) as caught:
        measure(server, config)
    message = str(caught.value)
    assert "403 Forbidden" in message
    assert "the-api-key" not in message
    assert "the-app-key" not in message


def test_a_hanging_server_is_cut_off(server: HttpServer) -> None:
    server.reply(Hang())
    with pytest.raises(MeasurementError, match=r" 0\.2 s"):
        measure(server, {**V1, "requestTimeout": "200ms"})


def test_the_engine_waits_as_long_as_the_request_may_take() -> None:
    assert datadog.seconds_allowed(V1) == 10
    assert datadog.seconds_allowed({**V1, "requestTimeout": "1m"}) == 60
    assert datadog.seconds_allowed({**V1, "timeoutSeconds": 3}) == 3


@pytest.mark.parametrize("left_out", ["api-key", "app-key"])
def test_a_missing_key_is_told(server: HttpServer, left_out: str) -> None:
    keys = {name: value for name, value in KEYS.items() if name != left_out}
    with pytest.raises(SecretMissing, match=left_out):
        datadog.measure(request(V1, {"datadog": keys}))


def test_an_empty_key_is_told() -> None:
    with pytest.raises(SecretMissing, match="api-key of the Secret datadog is empty"):
        datadog.measure(request(V1, {"datadog": {**KEYS, "api-key": " \n"}}))


def test_a_secret_and_an_address_of_the_block_win(server: HttpServer) -> None:
    server.reply({"series": []})
    secrets = {
        "datadog": {"api-key": "no", "app-key": "no"},
        "mine": {**KEYS, "address": "http://127.0.0.1:1"},
    }
    ref = {"name": "mine", "namespaced": True}
    config = {**V1, "secretRef": ref, "address": f"{server.url}/"}
    datadog.measure(request(config, secrets))
    assert server.requests[0].headers["dd-api-key"] == "the-api-key"
    assert server.requests[0].path == "/api/v1/query"


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({}, "query"),
        ({"query": ""}, "query"),
        ({"query": 7}, "query"),
        ({**V1, "apiVersion": "v3"}, "apiVersion"),
        ({**V1, "apiVersion": 2}, "apiVersion"),
        ({**V1, "interval": "5 minutes"}, "interval"),
        ({**V1, "interval": "0s"}, "interval"),
        ({**V1, "interval": 300}, "interval"),
        ({**V1, "requestTimeout": "soon"}, "requestTimeout"),
        ({**V1, "timeoutSeconds": "soon"}, "timeoutSeconds"),
        ({**V1, "address": "datadog.example"}, "address"),
        ({**V1, "secretRef": "datadog"}, "secretRef"),
        ({**V1, "secretRef": {}}, "secretRef.name"),
        ({**V1, "secretRef": {"name": "a", "nam": "b"}}, "secretRef.nam"),
        ({**V1, "querry": "x"}, "querry"),
        ({**V1, "queries": {"a": "x"}}, "queries"),
        ({**V1, "formula": "a"}, "formula"),
        ({**V1, "aggregator": "sum"}, "aggregator"),
        ({**V2, "aggregator": "most"}, "aggregator"),
        ({**V2, "queries": {"a": "x"}}, "queries"),
        ({"apiVersion": "v2"}, "query"),
        ({"apiVersion": "v2", "queries": ["x"]}, "queries"),
        ({"apiVersion": "v2", "queries": {"a": 1}}, "queries.a"),
        ({"apiVersion": "v2", "queries": {"a": "x", "b": "y"}}, "formula"),
        ({**V2, "formula": "query * 2"}, "formula"),
        ({**V2, "formulas": ["query"]}, "formulas"),
        (
            {
                "apiVersion": "v2",
                "queries": {"a": "x"},
                "formula": "a",
                "formulas": "b",
            },
            "formulas",
        ),
        ({"apiVersion": "v2", "queries": {"a": "x"}, "formula": 5}, "formula"),
        ({"apiVersion": "v2", "queries": {"a": "x"}, "formulas": "a"}, "formulas"),
    ],
    ids=str,
)
def test_bad_input_names_its_field(config: dict[str, t.Any], field: str) -> None:
    assert f"datadog.{field}" in [problem.field for problem in datadog.problems(config)]
    with pytest.raises(MeasurementError, match=r"^datadog\."):
        datadog.measure(request(config, {"datadog": KEYS}))


@pytest.mark.parametrize(
    "config",
    [
        V1,
        V2,
        {**V1, "apiVersion": "v1", "interval": "{{args.window}}"},
        {**V2, "aggregator": "{{ args.aggregator }}", "address": "{{args.address}}"},
        {"apiVersion": "v2", "queries": {"a": "x", "b": "y"}, "formula": "a / b"},
        {"apiVersion": "v2", "queries": {"a": "x"}},
    ],
    ids=str,
)
def test_what_is_right_or_not_known_yet_is_no_problem(config: dict[str, t.Any]) -> None:
    assert datadog.problems(config) == []
