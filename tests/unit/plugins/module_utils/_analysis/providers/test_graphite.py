# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The provider graphite against a server that answers as its documentation says.

It is not Graphite: what is shown is that requests and answers follow the documents.
"""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.measurement import (  # noqa: E501 - a name
    MeasurementError,
    Value,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.providers import (  # noqa: E501 - a name
    graphite,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.http_server import (
    Drip,
    Hang,
    HttpServer,
    Reply,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.vendors import request

SECRET = "s3cr3t-value"
QUERY = "target=sumSeries(app.*.errors)"


def series(*values: t.Any) -> dict[str, t.Any]:
    return {"target": "t", "datapoints": [[v, 1577880000] for v in values]}


def measure(server: HttpServer, **config: t.Any) -> Value:
    return graphite.measure(request({"address": server.url, "query": QUERY, **config}))


def failure(server: HttpServer, **config: t.Any) -> str:
    with pytest.raises(MeasurementError) as caught:
        measure(server, **config)
    assert SECRET not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ([series(1, 2.5)], [1.0, 2.5]),
        ([series(None, 3, None)], [3.0]),
        ([series("4.5")], [4.5]),
        ([series(1), series(2)], [1.0, 2.0]),
        ([series(float("nan"), 1)], [1.0]),
        ([series(None)], []),
        ([series()], []),
        ([], []),
    ],
)
def test_value(server: HttpServer, answer: t.Any, expected: list[float]) -> None:
    server.reply(answer)
    assert measure(server).value == expected


def test_request(server: HttpServer) -> None:
    server.reply([])
    query = "target=summarize(\n  app.*.errors,\n  '5min'\n)&from=-5min&format=png"
    outcome = measure(server, address=f"{server.url}/graphite/", query=query)
    (received,) = server.requests
    assert (received.method, received.path) == ("GET", "/graphite/render")
    assert received.query == {
        "target": "summarize( app.*.errors, '5min' )",
        "from": "-5min",
        "format": "json",
    }
    assert outcome.metadata["query"].startswith("target=summarize( app.*.errors")


def test_several_targets(server: HttpServer) -> None:
    server.reply([])
    measure(server, query="target=a&target=b%26c")
    assert server.requests[0].target == "/render?target=a&target=b%26c&format=json"


def test_authentication(server: HttpServer) -> None:
    server.reply([])
    measure(server, authentication={"basicAuth": {"username": "a", "password": "b"}})
    assert server.requests[0].headers["authorization"] == "Basic YTpi"


@pytest.mark.parametrize(
    ("script", "about"),
    [
        (Reply("<html>no</html>"), "did not answer with JSON"),
        (Reply({"error": "x"}), "did not answer as Graphite does"),
        (Reply(None), "did not answer as Graphite does"),
        (Reply([1]), "did not answer as Graphite does"),
        (Reply([{"target": "t"}]), "did not answer as Graphite does"),
        (Reply([{"datapoints": [[]]}]), "did not answer as Graphite does"),
        (Reply([series("many")]), "did not answer as Graphite does"),
        (Reply([series({})]), "did not answer as Graphite does"),
        (Reply(b'[{"datapoints": [[1' + b"0" * 400 + b", 1]]}]"), "did not answer as"),
        (Reply(f"no {SECRET}", 500), "answered 500 Internal Server Error: no *****"),
        (Reply(b"x" * 11 * 1024 * 1024), "more than 10 MiB"),
        (Hang(), "was cut off after 0.5 s"),
        (Drip(), "was cut off after 0.5 s"),
    ],
)
def test_unhappy(server: HttpServer, script: t.Any, about: str) -> None:
    server.reply(script)
    timeout = 0.5 if isinstance(script, (Hang, Drip)) else 10
    bearer = {"bearerToken": SECRET}
    message = failure(server, timeoutSeconds=timeout, authentication=bearer)
    assert about in message


@pytest.mark.parametrize(
    ("config", "field", "about"),
    [
        ({"address": None}, "graphite.address", "nothing was found"),
        ({"query": ""}, "graphite.query", "an empty text"),
        ({"query": "app.errors"}, "graphite.query", "begin it with target="),
        ({"query": "from=-5min"}, "graphite.query", "begin it with target="),
        ({"timeout": 3}, "graphite.timeout", "did you mean 'timeoutSeconds'?"),
    ],
)
def test_problems(config: dict[str, t.Any], field: str, about: str) -> None:
    block = {"address": "http://a", "query": QUERY, **config}
    found = {p.field: p.text for p in graphite.problems(block)}
    assert about in found[field]


def test_placeholders_are_not_judged() -> None:
    block = {"address": "{{args.address}}", "query": "{{ args.query }}"}
    assert graphite.problems(block) == []
