# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""New Relic's provider, against a server that speaks as NerdGraph is documented.

It is not New Relic's server: what is shown here is that our requests and our reading
of the answers follow the documentation.
"""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.measurement import (  # noqa: E501 - a name
    MeasurementError,
    SecretMissing,
    Value,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.providers import (  # noqa: E501 - a name
    newrelic,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.http_server import (
    Hang,
    HttpServer,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.vendors import (
    NO_ANSWERS,
    request,
)

KEYS = {"personal-api-key": "NRAK-secret", "account-id": "12345"}
CONFIG = {"query": "FROM Transaction SELECT average(duration)"}


def measure(
    server: HttpServer,
    config: t.Mapping[str, t.Any],
    keys: t.Mapping[str, str] | None = None,
) -> Value:
    secrets = {
        "newrelic": {**(keys or KEYS), "base-url-nerdgraph": f"{server.url}/graphql"}
    }
    outcome = newrelic.measure(request(config, secrets))
    assert isinstance(outcome, Value)
    return outcome


def results(*rows: t.Any) -> dict[str, t.Any]:
    return {"data": {"actor": {"account": {"nrql": {"results": list(rows)}}}}}


def test_the_query_goes_to_nerdgraph_with_the_key(server: HttpServer) -> None:
    server.reply(results({"average.duration": 0.2}))
    outcome = measure(server, CONFIG)
    (asked,) = server.requests
    assert (asked.method, asked.path) == ("POST", "/graphql")
    assert asked.headers["api-key"] == "NRAK-secret"
    assert asked.headers["content-type"] == "application/json"
    sent = asked.json()
    assert sent["variables"] == {
        "account": 12345,
        "nrql": CONFIG["query"],
        "timeout": 5,
    }
    assert "account(id: $account)" in sent["query"]
    assert "nrql(query: $nrql, timeout: $timeout)" in sent["query"]
    assert outcome.value == {"average.duration": 0.2}
    assert outcome.metadata == {"query": CONFIG["query"]}


@pytest.mark.parametrize(
    ("rows", "value"),
    [
        ([], None),
        ([{}], {}),
        ([{"count": 1}], {"count": 1}),
        ([{"successRate": None}], {"successRate": None}),
        ([{"a": 1}, {"a": "x"}], [{"a": 1}, {"a": "x"}]),
    ],
    ids=str,
)
def test_one_row_is_a_mapping_and_several_are_a_list(
    server: HttpServer, rows: list[t.Any], value: t.Any
) -> None:
    server.reply(results(*rows))
    assert measure(server, CONFIG).value == value


def test_the_time_for_the_query_and_for_the_request(server: HttpServer) -> None:
    server.reply(results())
    measure(server, {**CONFIG, "timeout": 30})
    assert server.requests[0].json()["variables"]["timeout"] == 30
    assert newrelic.seconds_allowed({**CONFIG, "timeout": 30}) == 35
    assert newrelic.seconds_allowed(CONFIG) == 10
    assert newrelic.seconds_allowed({**CONFIG, "timeoutSeconds": 2}) == 2


def test_another_profile_and_address(server: HttpServer) -> None:
    server.reply(results({"count": 1}))
    config = {**CONFIG, "profile": "other", "address": f"{server.url}/proxied"}
    newrelic.measure(request(config, {"other": KEYS}))
    assert server.requests[0].path == "/proxied"


@pytest.mark.parametrize(
    ("region", "address"),
    [
        ({}, "https://api.newrelic.com/graphql"),
        ({"region": "us"}, "https://api.newrelic.com/graphql"),
        ({"region": "EU\n"}, "https://api.eu.newrelic.com/graphql"),
    ],
    ids=str,
)
def test_the_region_chooses_the_address(
    region: dict[str, str], address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def instead_of_the_vendor(_connection: object, url: str, *_more: object) -> t.Any:
        asked.append(url)
        raise MeasurementError("not asked")

    monkeypatch.setattr(newrelic._vendor, "graphql", instead_of_the_vendor)
    with pytest.raises(MeasurementError, match="not asked"):
        newrelic.measure(request(CONFIG, {"newrelic": {**KEYS, **region}}))
    assert asked == [address]


def test_a_region_that_is_none() -> None:
    secrets = {"newrelic": {**KEYS, "region": "moon"}}
    with pytest.raises(MeasurementError, match="region of the Secret newrelic"):
        newrelic.measure(request(CONFIG, secrets))


@pytest.mark.parametrize("account", ["NRAK-secret", "-1", "1.5", "²"])
def test_an_account_that_is_no_number_is_not_shown(
    server: HttpServer, account: str
) -> None:
    with pytest.raises(MeasurementError, match="account-id of the Secret") as caught:
        measure(server, CONFIG, {**KEYS, "account-id": account})
    assert account not in str(caught.value)
    assert server.requests == []


@pytest.mark.parametrize("left_out", list(KEYS))
def test_a_missing_key_is_told(left_out: str) -> None:
    keys = {name: value for name, value in KEYS.items() if name != left_out}
    with pytest.raises(SecretMissing, match=left_out):
        newrelic.measure(request(CONFIG, {"newrelic": keys}))


def test_an_error_of_the_query_with_status_200(server: HttpServer) -> None:
    errors = [{"message": "NRQL Syntax Error: Error at line 1", "path": ["actor"]}]
    server.reply({"data": {"actor": {"account": {"nrql": None}}}, "errors": errors})
    with pytest.raises(MeasurementError, match="refused the query: NRQL Syntax Error"):
        measure(server, CONFIG)


@pytest.mark.parametrize(
    "answer",
    [
        {"errors": "broken"},
        {"errors": [None]},
        {"data": None},
        {"data": {"actor": None}},
        {"data": {"actor": {"account": {"nrql": {"results": "none"}}}}},
        results("row"),
        results({"a": 1}, None),
    ],
    ids=str,
)
def test_other_shapes_are_a_sentence(server: HttpServer, answer: t.Any) -> None:
    server.reply(answer)
    with pytest.raises(MeasurementError, match="POST http://127.0.0.1"):
        measure(server, CONFIG)


@pytest.mark.parametrize("answer", NO_ANSWERS, ids=range(len(NO_ANSWERS)))
def test_whatever_answers_becomes_a_sentence(server: HttpServer, answer: t.Any) -> None:
    server.reply(answer)
    with pytest.raises(MeasurementError) as caught:
        measure(server, CONFIG)
    assert "\n" not in str(caught.value)


def test_a_refusal_shows_the_status_and_no_key(server: HttpServer) -> None:
    said = {"errors": [{"message": "Access denied for NRAK-secret"}]}
    server.reply(said, status=403)
    with pytest.raises(
        MeasurementError, match="403 Forbidden: .*Access denied"
    ) as found:
        measure(server, CONFIG)
    assert "NRAK-secret" not in str(found.value)


def test_a_hanging_server_is_cut_off(server: HttpServer) -> None:
    server.reply(Hang())
    with pytest.raises(MeasurementError, match=r" 0\.2 s"):
        measure(server, {**CONFIG, "timeoutSeconds": 0.2})


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({}, "query"),
        ({"query": ["x"]}, "query"),
        ({**CONFIG, "profile": 7}, "profile"),
        ({**CONFIG, "timeout": "long"}, "timeout"),
        ({**CONFIG, "timeout": -1}, "timeout"),
        ({**CONFIG, "timeoutSeconds": "long"}, "timeoutSeconds"),
        ({**CONFIG, "address": "ftp://x"}, "address"),
        ({**CONFIG, "insecure": "maybe"}, "insecure"),
        ({**CONFIG, "caCert": "none"}, "caCert"),
        ({**CONFIG, "querry": "x"}, "querry"),
    ],
    ids=str,
)
def test_bad_input_names_its_field(config: dict[str, t.Any], field: str) -> None:
    assert [problem.field for problem in newrelic.problems(config)] == [
        f"newRelic.{field}"
    ]
    with pytest.raises(MeasurementError, match=rf"^newRelic\.{field}: "):
        newrelic.measure(request(config, {"newrelic": KEYS}))


def test_what_is_right_or_not_known_yet_is_no_problem() -> None:
    config = {"query": "SELECT {{args.x}}", "profile": "p", "timeout": "{{args.t}}"}
    assert newrelic.problems(config) == []
