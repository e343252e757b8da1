# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Wavefront: the value of a query now, by its charts API.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import json
import typing as t
from urllib.parse import urlencode, urlsplit

from ..fields import (
    Connection,
    connection,
    connection_problems,
    refuse,
    text_problems,
    unknown_problems,
    url_problems,
)
from ..http import Answer, bearer, shown
from ..measurement import MeasurementError, Outcome, Problem, Request, Value
from . import _vendor

SECRET = "wavefront-api-tokens"
TIMEOUT_SECONDS = 10.0
_AT = "wavefront"
_FIELDS = ("address", "query", "secretRef", *_vendor.CONNECTION_FIELDS)


def problems(config: t.Mapping[str, t.Any]) -> list[Problem]:
    """What is wrong with the block as it was written."""
    address = config.get("address")
    return [
        *unknown_problems(config, _FIELDS, _AT),
        *(
            text_problems(address, f"{_AT}.address")
            or url_problems(_url(str(address)), f"{_AT}.address")
        ),
        *text_problems(config.get("query"), f"{_AT}.query"),
        *_vendor.secret_ref_problems(
            config.get("secretRef"), f"{_AT}.secretRef", ("name", "key")
        ),
        *connection_problems(config, _AT),
    ]


def measure(request: Request) -> Outcome:
    """One query for the points next to now.

    :returns: a number; a list with one for each series; ``None`` without a point.
    """
    config = request.config
    refuse(problems(config))
    url = _url(config["address"])
    now = int(request.place.now().timestamp())
    token = _vendor.credential(
        request.place, _vendor.secret_name(config, SECRET), _key(config)
    )
    asked = {
        "q": config["query"],
        "s": now * 1000,
        "e": now * 1000,
        "p": 1,
        "g": "s",
        # The window is one instant: the points next to it lie outside.
        "i": "true",
    }
    answer = _connection(config).send(
        "GET", f"{url}/api/v2/chart/api?{urlencode(asked)}", headers=bearer(token)
    )
    return _read(answer, now, {"query": config["query"]})


def seconds_allowed(config: t.Mapping[str, t.Any]) -> float:
    """Seconds after which a measurement is cut off."""
    return _connection(config).timeout


def _connection(config: t.Mapping[str, t.Any]) -> Connection:
    return connection(config, TIMEOUT_SECONDS)


def _url(address: str) -> str:
    given = address.strip().rstrip("/")
    return given if "://" in given else f"https://{given}"


def _key(config: t.Mapping[str, t.Any]) -> str:
    """The Secret's key is the address as written, or its host: a key holds no ``:``."""
    named = (config.get("secretRef") or {}).get("key")
    return str(named or urlsplit(_url(config["address"])).hostname)


class _Point(t.NamedTuple):
    seconds: int
    value: float


def _read(answer: Answer, now: int, metadata: dict[str, str]) -> Value:
    document = answer.json()
    if _vendor.part(document, "errorType"):
        reason = _vendor.part(document, "errorMessage") or document["errorType"]
        raise MeasurementError(
            f"{answer.source} refused the query: {shown(str(reason))}"
        )
    warnings = _vendor.part(document, "warnings")
    if warnings:
        metadata["warnings"] = shown(str(warnings))
    series = _vendor.part(document, "timeseries")
    if series is None and isinstance(document, dict) and "query" in document:
        return Value(None, metadata)
    if not isinstance(series, list):
        raise _vendor.unexpected(answer, "timeseries")
    nearest = [_nearest(_points(answer, each), now) for each in series]
    return _value(nearest, now, metadata)


def _value(
    nearest: t.Sequence[_Point | None], now: int, metadata: dict[str, str]
) -> Value:
    if not any(nearest):
        return Value(None, metadata)
    times = [point.seconds if point else None for point in nearest]
    drifts = [point.seconds - now if point else None for point in nearest]
    values = [point.value if point else None for point in nearest]
    if len(nearest) == 1:
        metadata |= {"timestamps": str(times[0]), "drift": str(drifts[0])}
        return Value(values[0], metadata)
    metadata |= {"timestamps": json.dumps(times), "drift": json.dumps(drifts)}
    return Value(values, metadata)


def _points(answer: Answer, series: object) -> t.Iterator[_Point]:
    points = _vendor.part(series, "data") or []
    if not isinstance(points, list):
        raise _vendor.unexpected(answer, "data")
    for point in points:
        if not isinstance(point, list) or len(point) != 2:
            raise _vendor.unexpected(answer, "points of a time and a value")
        instant, value = (_vendor.number(answer, each) for each in point)
        if instant is None:
            raise _vendor.unexpected(answer, "the time of a point")
        if value is not None:
            yield _Point(_whole(answer, instant), value)


def _whole(answer: Answer, seconds: float) -> int:
    try:
        return int(seconds)
    except (ValueError, OverflowError):
        raise _vendor.unexpected(answer, "the time of a point") from None


def _nearest(points: t.Iterable[_Point], now: int) -> _Point | None:
    return min(points, key=lambda point: abs(point.seconds - now), default=None)
