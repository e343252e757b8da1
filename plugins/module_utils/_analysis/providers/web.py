# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``web``: an HTTP request, and a value out of its JSON answer.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import json
import typing as t

from .. import fields, http
from ..extraction import (
    by_jmespath,
    by_json_path,
    jmespath_problem,
    json_path_problem,
)
from ..measurement import MeasurementError, Problem, Request, Value
from ..shapes import shown

TIMEOUT = 10.0
METHODS = ("GET", "POST", "PUT")
_WHOLE = "{$}"
_FIELDS = (
    "authentication",
    "body",
    "caCert",
    "headers",
    "insecure",
    "jmespath",
    "jsonBody",
    "jsonPath",
    "method",
    "timeoutSeconds",
    "url",
)
_WAYS = ("basicAuth", "bearerToken", "oauth2")


def problems(config: t.Mapping[str, t.Any]) -> list[Problem]:
    """What is wrong with the block."""
    found = fields.mapping_problems(config, "web")
    if found:
        return found
    return [
        *fields.unknown_problems(config, _FIELDS, "web"),
        *fields.url_problems(config.get("url"), "web.url"),
        *fields.connection_problems(config, "web"),
        *fields.authentication_problems(
            config.get("authentication"), "web.authentication", _WAYS
        ),
        *_body_problems(config),
        *_path_problems(config),
    ]


def seconds_allowed(config: t.Mapping[str, t.Any]) -> float:
    """Seconds that a measurement may take."""
    return fields.seconds_allowed(config, TIMEOUT)


def measure(request: Request) -> Value:
    """The answer's value at ``jsonPath`` or by ``jmespath``; a body that is no JSON is
    a text, unless one of the two is asked for.

    :raises MeasurementError: there is no such answer or value.
    """
    config = request.config
    fields.refuse(problems(config))
    connection = fields.connection(config, TIMEOUT)
    headers = fields.authentication_headers(config, connection)
    body = None
    if config.get("jsonBody") is not None:
        headers["Content-Type"] = "application/json"
        body = http.encoded(json.dumps(config["jsonBody"]))
    elif config.get("body"):
        body = http.encoded(config["body"])
    answer = connection.send(_method(config), config["url"], headers, body)
    return Value(_value(config, answer), {"request": answer.source})


def _method(config: t.Mapping[str, t.Any]) -> str:
    return str(config.get("method") or "GET")


def _value(config: t.Mapping[str, t.Any], answer: http.Answer) -> t.Any:
    query, path = config.get("jmespath"), config.get("jsonPath") or _WHOLE
    if query:
        return by_jmespath(answer.json(), query)
    if path != _WHOLE:
        return by_json_path(answer.json(), path)
    try:
        return answer.json()
    except MeasurementError:
        return answer.text()


def _body_problems(config: t.Mapping[str, t.Any]) -> list[Problem]:
    method = _method(config)
    found = fields.text_problems(config.get("body"), "web.body", required=False)
    if method not in METHODS and not fields.holds_placeholder(method):
        expected = f"expected is one of {', '.join(METHODS)}"
        found.append(Problem("web.method", f"{shown(method)} was found, {expected}"))
    bodies = ("body", "jsonBody")
    given = [name for name in bodies if config.get(name) not in (None, "")]
    if len(given) == 2:
        found.append(Problem("web.body", "it stands beside jsonBody; give only one"))
    if given and method == "GET":
        text = "a GET sends no body; remove it, or set method to POST or PUT"
        found.append(Problem(f"web.{given[0]}", text))
    return found


def _path_problems(config: t.Mapping[str, t.Any]) -> list[Problem]:
    checks = {"jsonPath": json_path_problem, "jmespath": jmespath_problem}
    found = []
    for name, check in checks.items():
        value = config.get(name)
        wrong = fields.text_problems(value, f"web.{name}", required=False)
        found += wrong
        if value and not wrong and not fields.holds_placeholder(value):
            problem = check(value)
            found += [Problem(f"web.{name}", problem)] if problem else []
    if all(config.get(name) for name in checks):
        found.append(
            Problem("web.jmespath", "it stands beside jsonPath; give only one")
        )
    return found
