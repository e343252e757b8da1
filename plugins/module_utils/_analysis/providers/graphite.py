# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``graphite``: numbers by Graphite's render API.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import math
import typing as t
from urllib.parse import parse_qsl

from .. import fields, http
from ..measurement import MeasurementError, Problem, Request, Value

TIMEOUT = 10.0
_FIELDS = (
    "address",
    "authentication",
    "caCert",
    "headers",
    "insecure",
    "query",
    "timeoutSeconds",
)
_WAYS = ("basicAuth", "bearerToken", "oauth2")


def problems(config: t.Mapping[str, t.Any]) -> list[Problem]:
    """What is wrong with the block."""
    found = fields.mapping_problems(config, "graphite")
    if found:
        return found
    return [
        *fields.unknown_problems(config, _FIELDS, "graphite"),
        *fields.url_problems(config.get("address"), "graphite.address"),
        *_query_problems(config.get("query")),
        *fields.connection_problems(config, "graphite"),
        *fields.authentication_problems(
            config.get("authentication"), "graphite.authentication", _WAYS
        ),
    ]


def seconds_allowed(config: t.Mapping[str, t.Any]) -> float:
    """Seconds that a measurement may take."""
    return fields.seconds_allowed(config, TIMEOUT)


def measure(request: Request) -> Value:
    """The numbers of all series in their order, without the points that are null.

    :raises MeasurementError: Graphite gave no such answer.
    """
    config = request.config
    fields.refuse(problems(config))
    connection = fields.connection(config, TIMEOUT)
    headers = fields.authentication_headers(config, connection)
    asked = [(k, v) for k, v in _asked(config["query"]) if k != "format"]
    url = http.below(config["address"], "/render", [*asked, ("format", "json")])
    answer = connection.send("GET", url, headers)
    return Value(_numbers(answer), {"query": http.shown(config["query"])})


def _asked(query: str) -> list[tuple[str, str]]:
    """The query is the URL's, with blanks and line breaks for people."""
    return parse_qsl(" ".join(query.split()).lstrip("?"), keep_blank_values=True)


def _query_problems(query: t.Any) -> list[Problem]:
    found = fields.text_problems(query, "graphite.query")
    if found or fields.holds_placeholder(query):
        return found
    if any(name == "target" and value.strip() for name, value in _asked(query)):
        return []
    text = "there is no target in it; begin it with target="
    return [Problem("graphite.query", text)]


def _numbers(answer: http.Answer) -> list[float]:
    document = answer.json()
    try:
        points = [point[0] for series in document for point in series["datapoints"]]
        numbers = [float(point) for point in points if point is not None]
    except (TypeError, ValueError, OverflowError, LookupError):
        raise MeasurementError(
            f"{answer.source} did not answer as Graphite does; check graphite.address."
        ) from None
    # Graphite has no word for NaN but null.
    return [number for number in numbers if not math.isnan(number)]
