# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``prometheus``: an instant or a range query by Prometheus' HTTP API.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass
from datetime import datetime

from .. import fields, http, sigv4
from ..durations import seconds_of
from ..instants import instant
from ..measurement import MeasurementError, Place, Problem, Request, Value
from ..shapes import shown

TIMEOUT = 30.0
# What Argo Rollouts calls it, so that its users find it again.
QUERY = "ResolvedPrometheusQuery"
ADDRESSES = ("ARGO_ROLLOUTS_PROMETHEUS_ADDRESS", "PROMETHEUS_ADDRESS")
_FIELDS = (
    "address",
    "authentication",
    "caCert",
    "headers",
    "insecure",
    "query",
    "rangeQuery",
    "timeout",
)
_WAYS = ("basicAuth", "bearerToken", "oauth2", "sigv4")
_RANGE = ("start", "end", "step")
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True)
class _Query:
    """A request of the API: its path, its fields, and what people are shown of it."""

    path: str
    form: t.Mapping[str, str]
    metadata: t.Mapping[str, str]


def problems(config: t.Mapping[str, t.Any]) -> list[Problem]:
    """What is wrong with the block."""
    found = fields.mapping_problems(config, "prometheus")
    if found:
        return found
    authentication, at = config.get("authentication"), "prometheus.authentication"
    found += fields.unknown_problems(config, _FIELDS, "prometheus")
    found += fields.url_problems(config.get("address"), "prometheus.address", False)
    found += fields.text_problems(config.get("query"), "prometheus.query")
    found += fields.connection_problems(config, "prometheus", "timeout")
    found += fields.authentication_problems(authentication, at, _WAYS)
    if isinstance(authentication, t.Mapping):
        found += sigv4.problems(authentication.get("sigv4"), f"{at}.sigv4")
    return found + _range_problems(config.get("rangeQuery"))


def seconds_allowed(config: t.Mapping[str, t.Any]) -> float:
    """Seconds that a measurement may take."""
    return fields.seconds_allowed(config, TIMEOUT, "timeout")


def measure(request: Request) -> Value:
    """A list of numbers for a vector or a matrix, a number for a scalar; no samples
    are an empty list.

    :raises MeasurementError: Prometheus gave no such answer.
    """
    config = request.config
    fields.refuse(problems(config))
    query = _query(config, request.place)
    answer = _ask(config, query)
    document = _document(answer)
    metadata = dict(query.metadata)
    warnings = document.get("warnings")
    if isinstance(warnings, list) and warnings:
        metadata["warnings"] = answer.quoted("; ".join(str(w) for w in warnings))
    return Value(_value(document.get("data"), answer), metadata)


# -- the request -----------------------------------------------------------------------


def _query(config: t.Mapping[str, t.Any], place: Place) -> _Query:
    query, now = config["query"], place.now()
    metadata = {QUERY: query}
    span = config.get("rangeQuery")
    if not span:
        return _Query(
            "/api/v1/query", {"query": query, "time": _timestamp(now)}, metadata
        )
    start, end = instant(span["start"], now), instant(span["end"], now)
    if start > end:
        raise MeasurementError(
            "prometheus.rangeQuery: start lies after end; exchange them."
        )
    step = span["step"]
    metadata["range"] = f"{start.isoformat()} to {end.isoformat()} by {step}"
    form = {
        "query": query,
        "start": _timestamp(start),
        "end": _timestamp(end),
        "step": f"{seconds_of(step):g}",
    }
    return _Query("/api/v1/query_range", form, metadata)


def _timestamp(when: datetime) -> str:
    return f"{when.timestamp():.3f}"


def _address(config: t.Mapping[str, t.Any]) -> str:
    if config.get("address"):
        return str(config["address"])
    for name in ADDRESSES:
        if os.environ.get(name):
            wrong = fields.url_problems(os.environ[name], f"The environment's {name}")
            fields.refuse(wrong)
            return os.environ[name]
    raise MeasurementError(
        "prometheus.address: there is none; give the URL of the server, or set"
        f" {ADDRESSES[0]} where the release runs."
    )


def _ask(config: t.Mapping[str, t.Any], query: _Query) -> http.Answer:
    """By POST, which has no limit of length; by GET where a proxy allows no other."""
    connection = fields.connection(config, TIMEOUT, "timeout")
    allowed = fields.authentication_headers(config, connection)
    keys = (config.get("authentication") or {}).get("sigv4")
    address = _address(config)

    def send(method: str, url: str, body: bytes | None) -> http.Answer:
        headers = {**allowed, **(_FORM if body else {})}
        if keys:
            headers.update(
                sigv4.headers(keys, "aps", method, url, body, connection.timeout)
            )
        return connection.send(method, url, headers, body, accept_any_status=True)

    body = http.encoded(http.form(query.form.items()))
    answer = send("POST", http.below(address, query.path), body)
    if answer.status in (405, 501):
        answer = send("GET", http.below(address, query.path, query.form.items()), None)
    return answer


# -- the answer ------------------------------------------------------------------------


def _document(answer: http.Answer) -> t.Mapping[str, t.Any]:
    try:
        document = answer.json()
    except MeasurementError:
        http.require_success(answer)
        raise
    if isinstance(document, dict) and document.get("status") == "error":
        raise MeasurementError(
            f"{answer.source} answered {answer.status}, an error"
            f" ({answer.quoted(str(document.get('errorType') or 'of no type'))}):"
            f" {answer.quoted(str(document.get('error') or ''))}"
        )
    http.require_success(answer)
    if isinstance(document, dict):
        return document
    raise _not_prometheus(answer.source)


def _value(data: t.Any, answer: http.Answer) -> t.Any:
    try:
        kind, result = data["resultType"], data["result"]
        if kind == "scalar":
            return float(result[1])
        if kind == "vector":
            return [float(series["value"][1]) for series in result]
        if kind == "matrix":
            samples = [sample for series in result for sample in series["values"]]
            return [float(sample[1]) for sample in samples]
    except (TypeError, ValueError, OverflowError, LookupError):
        if _has_histograms(data):
            raise MeasurementError(
                f"{answer.source} answered with native histograms; make numbers of them"
                " in the query, such as by histogram_quantile()."
            ) from None
        raise _not_prometheus(answer.source) from None
    raise MeasurementError(
        f"{answer.source} answered with a {answer.quoted(str(kind))}, expected is a"
        " vector, a matrix or a scalar; change the query."
    )


def _has_histograms(data: t.Any) -> bool:
    try:
        return any({"histogram", "histograms"} & set(s) for s in data["result"])
    except (TypeError, KeyError):
        return False


def _not_prometheus(source: str) -> MeasurementError:
    return MeasurementError(
        f"{source} did not answer as Prometheus does; check prometheus.address."
    )


# -- the range -------------------------------------------------------------------------


def _range_problems(span: t.Any) -> list[Problem]:
    at = "prometheus.rangeQuery"
    if span is None:
        return []
    if not isinstance(span, t.Mapping):
        return fields.mapping_problems(span, at)
    found = fields.unknown_problems(span, _RANGE, at)
    for name in _RANGE:
        wrong = fields.text_problems(span.get(name), f"{at}.{name}")
        found += wrong
        if not wrong and not fields.holds_placeholder(span[name]):
            found += _bound_problems(name, span[name], f"{at}.{name}")
    return found


def _bound_problems(name: str, text: str, at: str) -> list[Problem]:
    if name == "step":
        try:
            positive = seconds_of(text) > 0
        except ValueError:
            positive = False
        expected = "expected is a duration above 0, such as 30s or 1m"
        return [] if positive else [Problem(at, f"{shown(text)} was found, {expected}")]
    try:
        # Any now will do: only what is written is looked at.
        instant(text, datetime.fromisoformat("2026-01-01T00:00:00+00:00"))
    except ValueError as error:
        return [Problem(at, str(error))]
    return []
