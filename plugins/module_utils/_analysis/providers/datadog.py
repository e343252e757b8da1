# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Datadog: one number, or a list of them, from its metrics API v1 or v2.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import json
import typing as t
from urllib.parse import urlencode

from .. import fields
from ..fields import (
    Connection,
    connection,
    connection_problems,
    holds_placeholder,
    kind,
    refuse,
    text_problems,
    unknown_problems,
    url_problems,
)
from ..http import Answer, shown
from ..measurement import MeasurementError, Outcome, Place, Problem, Request, Value
from . import _vendor

ADDRESS = "https://api.datadoghq.com"
SECRET = "datadog"
TIMEOUT_SECONDS = 10.0
AGGREGATORS = (
    *("avg", "min", "max", "sum", "last"),
    *("percentile", "mean", "l2norm", "area"),
)
# Groups are for people to read; a query by pod would fill the record with them.
_SHOWN_GROUPS = 100
_AT = "datadog"
_QUERYING = ("query", "queries", "formula", "formulas")
_FIELDS = (
    *("apiVersion", "address", "interval", "aggregator", "secretRef"),
    *_QUERYING,
    "requestTimeout",
    *_vendor.CONNECTION_FIELDS,
)


def problems(config: t.Mapping[str, t.Any]) -> list[Problem]:
    """What is wrong with the block as it was written."""
    return [
        *unknown_problems(config, _FIELDS, _AT),
        *_choice_problems(config, "apiVersion", ("v1", "v2")),
        *_choice_problems(config, "aggregator", AGGREGATORS),
        *url_problems(config.get("address"), f"{_AT}.address", required=False),
        *fields.window_problems(config.get("interval"), f"{_AT}.interval"),
        *fields.window_problems(config.get("requestTimeout"), f"{_AT}.requestTimeout"),
        *_vendor.secret_ref_problems(
            config.get("secretRef"), f"{_AT}.secretRef", ("name", "namespaced")
        ),
        *_query_problems(config),
        *connection_problems(config, _AT),
    ]


def measure(request: Request) -> Outcome:
    """One query over the last ``interval``.

    :returns: a number; a list with one for each group or formula; ``None`` without
        data.
    """
    config = request.config
    refuse(problems(config))
    keys = _Keys.of(config, request.place)
    end = int(request.place.now().timestamp())
    start = end - int(fields.window(config.get("interval")))
    if config.get("apiVersion") == "v2":
        return _measure_v2(config, keys, start, end)
    return _measure_v1(config, keys, start, end)


def seconds_allowed(config: t.Mapping[str, t.Any]) -> float:
    """Seconds after which a measurement is cut off."""
    return _connection(config).timeout


class _Keys(t.NamedTuple):
    address: str
    headers: t.Mapping[str, str]

    @classmethod
    def of(cls, config: t.Mapping[str, t.Any], place: Place) -> _Keys:
        secret = _vendor.secret_name(config, SECRET)
        headers = {
            "Content-Type": "application/json",
            "DD-API-KEY": _vendor.credential(place, secret, "api-key"),
            "DD-APPLICATION-KEY": _vendor.credential(place, secret, "app-key"),
        }
        address = str(
            config.get("address")
            or _vendor.optional_credential(place, secret, "address")
            or ADDRESS
        )
        return cls(address.rstrip("/"), headers)


def _connection(config: t.Mapping[str, t.Any]) -> Connection:
    timeout = fields.window(config.get("requestTimeout"), TIMEOUT_SECONDS)
    return connection(config, timeout)


# -- v1 --------------------------------------------------------------------------------


def _measure_v1(
    config: t.Mapping[str, t.Any], keys: _Keys, start: int, end: int
) -> Value:
    asked = {"query": config["query"], "from": start, "to": end}
    answer = _connection(config).send(
        "GET", f"{keys.address}/api/v1/query?{urlencode(asked)}", headers=keys.headers
    )
    document = answer.json()
    if _vendor.part(document, "status") == "error" or _vendor.part(document, "error"):
        raise _refused(answer, _vendor.part(document, "error"))
    series = _vendor.part(document, "series")
    if not isinstance(series, list):
        raise _vendor.unexpected(answer, "a list of series")
    metadata = {"query": str(config["query"])}
    if not series:
        return Value(None, metadata)
    return Value(_last_point(answer, series[0]), metadata)


def _last_point(answer: Answer, series: object) -> float | None:
    """The newest point that has a value: of the current minute there may be none."""
    points = _vendor.part(series, "pointlist")
    if not isinstance(points, list):
        raise _vendor.unexpected(answer, "a pointlist")
    for point in reversed(points):
        if not isinstance(point, list) or len(point) != 2:
            raise _vendor.unexpected(answer, "points of a time and a value")
        value = _vendor.number(answer, point[1])
        if value is not None:
            return value
    return None


# -- v2 --------------------------------------------------------------------------------


def _measure_v2(
    config: t.Mapping[str, t.Any], keys: _Keys, start: int, end: int
) -> Value:
    queries = config.get("queries") or {"query": config.get("query")}
    attributes = {
        "from": start * 1000,
        "to": end * 1000,
        "queries": [
            {
                "aggregator": config.get("aggregator") or "last",
                "data_source": "metrics",
                "name": name,
                "query": query,
            }
            for name, query in queries.items()
        ],
        "formulas": [{"formula": formula} for formula in _formulas(config, queries)],
    }
    body = {"data": {"type": "scalar_request", "attributes": attributes}}
    answer = _connection(config).send(
        "POST",
        f"{keys.address}/api/v2/query/scalar",
        headers=keys.headers,
        body=json.dumps(body).encode(),
    )
    metadata = {"query": "; ".join(f"{k}: {v}" for k, v in queries.items())}
    return _read_v2(answer, metadata, several=bool(config.get("formulas")))


def _formulas(
    config: t.Mapping[str, t.Any], queries: t.Mapping[str, str]
) -> tuple[str, ...]:
    if config.get("formulas"):
        return tuple(config["formulas"])
    return (config.get("formula") or next(iter(queries)),)


def _read_v2(answer: Answer, metadata: dict[str, str], several: bool) -> Value:
    document = answer.json()
    errors = _vendor.part(document, "errors") or _vendor.part(
        document, "data", "errors"
    )
    if errors:
        raise _refused(answer, errors)
    columns = _vendor.part(document, "data", "attributes", "columns")
    if not isinstance(columns, list):
        raise _vendor.unexpected(answer, "columns")
    numbers = [_numbers(answer, column) for column in columns if not _is_group(column)]
    groups = [_texts(column) for column in columns if _is_group(column)]
    if groups:
        return _grouped(groups, numbers, metadata)
    firsts = [values[0] if values else None for values in numbers]
    if several:
        return Value(firsts, metadata)
    return Value(firsts[0] if firsts else None, metadata)


def _is_group(column: object) -> bool:
    return bool(_vendor.part(column, "type") == "group")


def _numbers(answer: Answer, column: object) -> list[float | None]:
    values = _vendor.part(column, "values")
    if not isinstance(values, list):
        raise _vendor.unexpected(answer, "a list of values")
    return [_vendor.number(answer, value) for value in values]


def _texts(column: object) -> list[str]:
    values = _vendor.part(column, "values")
    return [
        ",".join(map(str, value)) if isinstance(value, list) else str(value)
        for value in (values if isinstance(values, list) else [])
    ]


def _grouped(
    groups: list[list[str]], numbers: list[list[float | None]], metadata: dict[str, str]
) -> Value:
    if len(numbers) > 1:
        raise MeasurementError(
            "Datadog answered with groups for several formulas; give one formula with"
            " a query by {tag}, or several formulas without."
        )
    values = numbers[0] if numbers else []
    names = [",".join(tags) for tags in zip(*groups, strict=False)]
    pairs = [(n, v) for n, v in zip(names, values, strict=False) if v is not None]
    highest = sorted(pairs, key=lambda pair: pair[1], reverse=True)[:_SHOWN_GROUPS]
    shown_groups = [{"name": name, "value": value} for name, value in highest]
    metadata["groups"] = json.dumps(shown_groups)
    if len(pairs) > len(highest):
        metadata["groups_truncated"] = "true"
    return Value(values, metadata)


def _refused(answer: Answer, said: object) -> MeasurementError:
    reason = shown(said if isinstance(said, str) else json.dumps(said))
    return MeasurementError(f"{answer.source} refused the query: {reason}")


# -- what is wrong ---------------------------------------------------------------------


def _choice_problems(
    config: t.Mapping[str, t.Any], name: str, known: t.Sequence[str]
) -> list[Problem]:
    value = config.get(name)
    if value is None or value in known or holds_placeholder(value):
        return []
    found = shown(repr(value)) if isinstance(value, str) else kind(value)
    expected = ", ".join(known)
    return [
        Problem(f"{_AT}.{name}", f"{found} was found, expected is one of {expected}")
    ]


def _query_problems(config: t.Mapping[str, t.Any]) -> list[Problem]:
    if holds_placeholder(config.get("apiVersion")):
        return []
    if config.get("apiVersion") != "v2":
        return _v1_problems(config)
    return [
        *_one_of_problems(config, "query", "queries"),
        *_named_problems(config.get("queries")),
        *_formula_problems(config),
    ]


def _v1_problems(config: t.Mapping[str, t.Any]) -> list[Problem]:
    found = [
        Problem(f"{_AT}.{name}", "API v1 has no such field; set apiVersion: v2")
        for name in ("queries", "formula", "formulas", "aggregator")
        if config.get(name)
    ]
    return found or text_problems(config.get("query"), f"{_AT}.query")


def _one_of_problems(
    config: t.Mapping[str, t.Any], first: str, second: str
) -> list[Problem]:
    if config.get(first) and config.get(second):
        text = f"{first} and {second} were found; give only one of them"
        return [Problem(f"{_AT}.{second}", text)]
    if not config.get(second):
        return text_problems(config.get(first), f"{_AT}.{first}")
    return []


def _named_problems(queries: object) -> list[Problem]:
    if not queries:
        return []
    if not isinstance(queries, t.Mapping):
        text = f"{kind(queries)} was found, expected is a mapping of name to query"
        return [Problem(f"{_AT}.queries", text)]
    return [
        problem
        for name, query in queries.items()
        for problem in text_problems(query, f"{_AT}.queries.{name}")
    ]


def _formula_problems(config: t.Mapping[str, t.Any]) -> list[Problem]:
    queries, formula = config.get("queries"), config.get("formula")
    formulas = config.get("formulas")
    if formula and formulas:
        text = "formula and formulas were found; give only one of them"
        return [Problem(f"{_AT}.formulas", text)]
    if (formula or formulas) and not queries:
        text = "it needs queries; name the queries that the formula reads"
        return [Problem(f"{_AT}.{'formula' if formula else 'formulas'}", text)]
    if (
        isinstance(queries, t.Mapping)
        and len(queries) > 1
        and not (formula or formulas)
    ):
        text = f"{len(queries)} queries were found; give a formula that combines them"
        return [Problem(f"{_AT}.formula", text)]
    return [
        *text_problems(formula, f"{_AT}.formula", required=False),
        *_texts_problems(formulas, f"{_AT}.formulas"),
    ]


def _texts_problems(value: object, at: str) -> list[Problem]:
    if not value or (
        isinstance(value, list) and all(isinstance(each, str) for each in value)
    ):
        return []
    return [Problem(at, f"{kind(value)} was found, expected is a list of texts")]
