# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The provider influxdb against a server that answers as its documentation says.

It is not InfluxDB: what is shown is that requests and answers follow the documents.
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
    influxdb,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.http_server import (
    Drip,
    Hang,
    HttpServer,
    Reply,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.vendors import request

SECRET = "s3cr3t-value"
QUERY = 'from(bucket: "app") |> range(start: -5m) |> mean()'


def table(kind: str, *values: str) -> str:
    rows = "".join(f",,{number},{v}\r\n" for number, v in enumerate(values))
    head = f"#datatype,string,long,{kind}\r\n#default,_result,,\r\n"
    return f"{head},result,table,_value\r\n{rows}\r\n"


def measure(server: HttpServer, **config: t.Any) -> Value:
    secrets = {
        "influxdb": {
            "address": f"{server.url}/\n",
            "org": "shop\n",
            "authToken": SECRET,
        },
        "mine": {"authToken": "of-mine"},
    }
    return influxdb.measure(request({"query": QUERY, **config}, secrets))


def failure(server: HttpServer, **config: t.Any) -> str:
    with pytest.raises(MeasurementError) as caught:
        measure(server, **config)
    assert SECRET not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (table("double", "0.5", "1e3"), [0.5, 1000.0]),
        (table("double", "+Inf", "-Inf"), [math.inf, -math.inf]),
        (table("double", "", "1"), [1.0]),
        (table("long", "7", "-8"), [7, -8]),
        (table("unsignedLong", "18446744073709551615"), [2**64 - 1]),
        (table("boolean", "true", "false"), [True, False]),
        (table("string", "ok", '"with, ""quotes"""', ""), ["ok", 'with, "quotes"', ""]),
        (table("dateTime:RFC3339", "2026-01-01T00:00:00Z"), ["2026-01-01T00:00:00Z"]),
        (table("double", "1") + table("long", "2"), [1.0, 2]),
        (
            "#datatype,string,long,double\r\n#default,_result,,4\r\n"
            ",result,table,_value\r\n,,0,\r\n",
            [4.0],
        ),
        ("\r\n", []),
        ("", []),
    ],
)
def test_value(server: HttpServer, answer: str, expected: list[t.Any]) -> None:
    server.reply(answer)
    assert measure(server).value == expected


def test_nan(server: HttpServer) -> None:
    server.reply(table("double", "NaN"))
    assert math.isnan(measure(server).value[0])


def test_request(server: HttpServer) -> None:
    server.reply("")
    outcome = measure(server)
    (received,) = server.requests
    assert (received.method, received.target) == ("POST", "/api/v2/query?org=shop")
    assert received.headers["authorization"] == f"Token {SECRET}"
    assert received.headers["accept"] == "application/csv"
    assert received.json() == {
        "type": "flux",
        "query": QUERY,
        "dialect": {"annotations": ["datatype", "default"], "header": True},
    }
    assert outcome.metadata == {"query": QUERY}


@pytest.mark.parametrize(
    "config", [{"profile": "mine"}, {"secretRef": {"name": "mine"}}]
)
def test_other_secret(server: HttpServer, config: dict[str, t.Any]) -> None:
    server.reply("")
    measure(server, address=server.url, org="my org", **config)
    (received,) = server.requests
    assert received.query == {"org": "my org"}
    assert received.headers["authorization"] == "Token of-mine"


def test_token_of_the_block(server: HttpServer) -> None:
    server.reply("")
    measure(server, authToken="of-block")
    assert server.requests[0].headers["authorization"] == "Token of-block"


def test_missing_secret(server: HttpServer) -> None:
    with pytest.raises(SecretMissing):
        measure(server, profile="nobody")
    with pytest.raises(SecretMissing):
        measure(server, profile="mine", address=server.url)
    assert server.requests == []


@pytest.mark.parametrize(
    ("script", "about"),
    [
        (
            Reply({"code": "unauthorized", "message": f"no {SECRET}"}, 401),
            "answered 401 Unauthorized: {",
        ),
        (
            Reply(
                "#datatype,string,string\r\n,error,reference\r\n,out of memory,897\r\n"
            ),
            "answered with an error: out of memory",
        ),
        (Reply("<html>no</html>"), "did not answer as InfluxDB 2 does"),
        (Reply({"results": []}), "did not answer as InfluxDB 2 does"),
        (Reply("#datatype,string,long\r\n"), "did not answer as InfluxDB 2 does"),
        (Reply(table("double", "many")), "did not answer as InfluxDB 2 does"),
        (Reply(table("long", "9" * 5000)), "did not answer as InfluxDB 2 does"),
        (Reply(table("double", "1").replace(",,0,1", ",")), "did not answer as"),
        (Reply(table("double", "1").replace("_value", "v")), "a column _value"),
        (Reply("x" * 200_000), "did not answer as InfluxDB 2 does"),
        (Reply(b"\x00\xff,\r\n"), "did not answer as InfluxDB 2 does"),
        (Reply(b"x" * 11 * 1024 * 1024), "more than 10 MiB"),
        (Hang(), "was cut off after 0.5 s"),
        (Drip(headers=True), "was cut off after 0.5 s"),
    ],
)
def test_unhappy(server: HttpServer, script: t.Any, about: str) -> None:
    server.reply(script)
    timeout = 0.5 if isinstance(script, (Hang, Drip)) else 10
    assert about in failure(server, timeoutSeconds=timeout)


@pytest.mark.parametrize(
    ("config", "field", "about"),
    [
        ({"query": None}, "influxdb.query", "nothing was found"),
        ({"address": "influx"}, "influxdb.address", "http:// or https://"),
        ({"token": SECRET}, "influxdb.token", "did you mean 'authToken'?"),
        ({"authToken": [SECRET]}, "influxdb.authToken", "a list was found"),
        ({"secretRef": "mine"}, "influxdb.secretRef", "a text was found"),
        ({"secretRef": {"key": "x"}}, "influxdb.secretRef.key", "no such field"),
        ({"secretRef": {"name": "x"}, "profile": "y"}, "influxdb.secretRef", "beside"),
    ],
)
def test_problems(config: dict[str, t.Any], field: str, about: str) -> None:
    problems = influxdb.problems({"query": QUERY, **config})
    assert about in {p.field: p.text for p in problems}[field]
    assert all(SECRET not in p.text for p in problems)


def test_address_of_the_secret_is_checked() -> None:
    secrets = {"influxdb": {"address": f"//{SECRET}", "org": "o", "authToken": "t"}}
    with pytest.raises(MeasurementError, match=r"^influxdb\.address: ") as caught:
        influxdb.measure(request({"query": QUERY}, secrets))
    assert SECRET not in str(caught.value)
