# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Wavefront's provider, against a server that speaks as its charts API is documented.

It is not Wavefront's server: what is shown here is that our requests and our reading
of the answers follow the documentation.
"""

from __future__ import annotations

import math
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.measurement import (  # noqa: E501 - a name
    MeasurementError,
    SecretMissing,
    Value,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.providers import (  # noqa: E501 - a name
    wavefront,
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

# The key of a Secret holds no colon, so it is the host alone.
TOKENS = {"wavefront-api-tokens": {"127.0.0.1": "the-token"}}
QUERY = "sum(rate(ts(requests)))"


def block(server: HttpServer, **more: t.Any) -> dict[str, t.Any]:
    return {"address": server.url, "query": QUERY, **more}


def measure(server: HttpServer, **more: t.Any) -> Value:
    outcome = wavefront.measure(request(block(server, **more), TOKENS))
    assert isinstance(outcome, Value)
    return outcome


def answer_with(*series: t.Any) -> dict[str, t.Any]:
    return {"query": QUERY, "timeseries": [{"label": "a", "data": d} for d in series]}


def test_the_query_asks_for_the_points_next_to_now(server: HttpServer) -> None:
    server.reply(answer_with([[NOW_SECONDS - 2, 0.5]]))
    outcome = measure(server)
    (asked,) = server.requests
    assert (asked.method, asked.path) == ("GET", "/api/v2/chart/api")
    assert asked.query == {
        "q": QUERY,
        "s": f"{NOW_SECONDS}000",
        "e": f"{NOW_SECONDS}000",
        "p": "1",
        "g": "s",
        "i": "true",
    }
    assert asked.headers["authorization"] == "Bearer the-token"
    assert outcome.value == 0.5
    assert outcome.metadata == {
        "query": QUERY,
        "timestamps": str(NOW_SECONDS - 2),
        "drift": "-2",
    }


@pytest.mark.parametrize(
    ("points", "value"),
    [
        ([[NOW_SECONDS - 60, 1], [NOW_SECONDS + 5, 2], [NOW_SECONDS + 90, 3]], 2),
        ([[NOW_SECONDS - 60, 1], [NOW_SECONDS, None]], 1),
        ([], None),
        ([[NOW_SECONDS, None]], None),
    ],
    ids=str,
)
def test_the_nearest_point_counts(
    server: HttpServer, points: t.Any, value: t.Any
) -> None:
    server.reply(answer_with(points))
    assert measure(server).value == value


def test_several_series_are_a_list(server: HttpServer) -> None:
    server.reply(answer_with([[NOW_SECONDS, 1]], [], [[NOW_SECONDS - 1, 3.5]]))
    outcome = measure(server)
    assert outcome.value == [1, None, 3.5]
    assert outcome.metadata["drift"] == "[0, null, -1]"


@pytest.mark.parametrize(
    "answer", [answer_with(), answer_with([], []), {"query": QUERY}], ids=str
)
def test_no_data(server: HttpServer, answer: t.Any) -> None:
    server.reply(answer)
    assert measure(server).value is None


@pytest.mark.parametrize("number", ["NaN", '"NaN"'])
def test_nan_stays_what_it_is(server: HttpServer, number: str) -> None:
    server.reply(f'{{"timeseries": [{{"data": [[{NOW_SECONDS}, {number}]]}}]}}')
    value = measure(server).value
    assert isinstance(value, float)
    assert math.isnan(value)


def test_warnings_are_kept(server: HttpServer) -> None:
    server.reply({**answer_with(), "warnings": "a stale\nseries"})
    assert measure(server).metadata["warnings"] == "a stale series"


def test_an_error_of_the_query_with_status_200(server: HttpServer) -> None:
    error = {"errorType": "QueryExecutionFailed", "errorMessage": "Terminating Query"}
    server.reply({"query": QUERY, **error})
    with pytest.raises(MeasurementError, match="refused the query: Terminating Query"):
        measure(server)


@pytest.mark.parametrize(
    "answer",
    [
        {"timeseries": "none"},
        {"timeseries": [{"data": "none"}]},
        answer_with([[1, 2, 3]]),
        answer_with(["point"]),
        answer_with([[NOW_SECONDS, "many"]]),
        answer_with([[NOW_SECONDS, True]]),
        answer_with([[None, 1]]),
        answer_with([["NaN", 1]]),
        answer_with([["Infinity", 1]]),
    ],
    ids=str,
)
def test_other_shapes_are_a_sentence(server: HttpServer, answer: t.Any) -> None:
    server.reply(answer)
    with pytest.raises(MeasurementError, match="GET http://127.0.0.1"):
        measure(server)


@pytest.mark.parametrize("answer", NO_ANSWERS, ids=range(len(NO_ANSWERS)))
def test_whatever_answers_becomes_a_sentence(server: HttpServer, answer: t.Any) -> None:
    server.reply(answer)
    with pytest.raises(MeasurementError) as caught:
        measure(server)
    assert "\n" not in str(caught.value)


def test_a_refusal_shows_the_status_and_no_token(server: HttpServer) -> None:
    server.reply({"message": "the-token is not valid"}, status=403)
    with pytest.raises(
        MeasurementError, match="403 Forbidden: .* is not valid"
    ) as found:
        measure(server)
    assert "the-token" not in str(found.value)


def test_a_hanging_server_is_cut_off(server: HttpServer) -> None:
    server.reply(Hang())
    with pytest.raises(MeasurementError, match=r" 0\.2 s"):
        measure(server, timeoutSeconds=0.2)


def test_a_missing_token_is_told(server: HttpServer) -> None:
    with pytest.raises(SecretMissing, match=r"127\.0\.0\.1"):
        wavefront.measure(request(block(server), {"wavefront-api-tokens": {}}))


def test_a_secret_and_its_key_of_the_block(server: HttpServer) -> None:
    server.reply(answer_with())
    config = block(server, secretRef={"name": "mine", "key": "token"})
    wavefront.measure(request(config, {"mine": {"token": "other"}}))
    assert server.requests[0].headers["authorization"] == "Bearer other"


@pytest.mark.parametrize(
    ("address", "key", "url"),
    [
        (
            "example.wavefront.com",
            "example.wavefront.com",
            "https://example.wavefront.com",
        ),
        ("https://example.com:8443/", "example.com", "https://example.com:8443"),
        ("http://10.0.0.1/wf", "10.0.0.1", "http://10.0.0.1/wf"),
    ],
)
def test_a_host_alone_is_an_address(
    address: str, key: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def instead_of_the_vendor(
        _self: object, _method: str, url: str, **_: object
    ) -> t.Any:
        asked.append(url)
        raise MeasurementError("not asked")

    monkeypatch.setattr(wavefront.Connection, "send", instead_of_the_vendor)
    secrets = {"wavefront-api-tokens": {key: "the-token"}}
    with pytest.raises(MeasurementError, match="not asked"):
        wavefront.measure(request({"address": address, "query": QUERY}, secrets))
    assert asked[0].startswith(f"{url}/api/v2/chart/api?q=")


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"query": "x"}, "address"),
        ({"query": "x", "address": ""}, "address"),
        ({"query": "x", "address": "a b"}, "address"),
        ({"query": "x", "address": "ftp://a"}, "address"),
        ({"query": "x", "address": 7}, "address"),
        ({"address": "a"}, "query"),
        ({"address": "a", "query": "x", "secretRef": {"key": "k"}}, "secretRef.name"),
        ({"address": "a", "query": "x", "timeoutSeconds": -1}, "timeoutSeconds"),
        ({"address": "a", "query": "x", "token": "t"}, "token"),
    ],
    ids=str,
)
def test_bad_input_names_its_field(config: dict[str, t.Any], field: str) -> None:
    assert [problem.field for problem in wavefront.problems(config)] == [
        f"wavefront.{field}"
    ]
    with pytest.raises(MeasurementError, match=rf"^wavefront\.{field}: "):
        wavefront.measure(request(config, TOKENS))


def test_what_is_right_or_not_known_yet_is_no_problem() -> None:
    assert wavefront.problems({"address": "{{args.a}}", "query": "{{args.q}}"}) == []
