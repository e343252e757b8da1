# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fields that providers' blocks share: what is wrong with them, and their values.

The same checks run twice: on the block as it was written, where a value that still
holds a placeholder is not judged, and on the filled one right before a measurement.
Private to the collection: it may change in any release.
"""

from __future__ import annotations

import math
import re
import typing as t
from dataclasses import dataclass

from . import http
from .durations import seconds_of
from .measurement import MeasurementError, Problem
from .shapes import did_you_mean, shown

Config: t.TypeAlias = "t.Mapping[str, t.Any]"

_PLACEHOLDER = re.compile(r"\{\{\s*args\.")
_LONGEST_TIMEOUT = 600.0
WINDOW_SECONDS = 300.0
_SLACK = 5.0


@dataclass(frozen=True)
class Connection:
    """What a block says of its HTTP requests."""

    headers: t.Mapping[str, str]
    timeout: float
    insecure: bool
    ca_cert: str

    def send(
        self,
        method: str,
        url: str,
        headers: t.Mapping[str, str] | None = None,
        body: bytes | None = None,
        accept_any_status: bool = False,
    ) -> http.Answer:
        """:func:`.http.send`; the block's own headers win over these."""
        return http.send(
            method,
            url,
            headers=merged(headers or {}, self.headers),
            body=body,
            timeout=self.timeout,
            insecure=self.insecure,
            ca_cert=self.ca_cert,
            accept_any_status=accept_any_status,
        )


def connection(
    config: Config, default_timeout: float, timeout_field: str = "timeoutSeconds"
) -> Connection:
    """``headers``, the timeout in seconds, ``insecure`` and ``caCert`` of a block
    without problems.
    """
    return Connection(
        headers={h["key"]: str(h["value"]) for h in config.get("headers") or ()},
        timeout=seconds(config.get(timeout_field), default_timeout),
        insecure=flag(config.get("insecure")),
        ca_cert=str(config.get("caCert") or ""),
    )


def connection_problems(
    config: Config, at: str, timeout_field: str = "timeoutSeconds"
) -> list[Problem]:
    """What is wrong with the fields that :func:`connection` reads."""
    return [
        *header_problems(config.get("headers"), f"{at}.headers"),
        *seconds_problems(config.get(timeout_field), f"{at}.{timeout_field}"),
        *flag_problems(config.get("insecure"), f"{at}.insecure"),
        *ca_cert_problems(config.get("caCert"), f"{at}.caCert"),
    ]


def seconds_allowed(
    config: Config, default_timeout: float, timeout_field: str = "timeoutSeconds"
) -> float:
    """How long one measurement by such a block may take, a token included.

    A little longer than its requests: their own deadline has the better message.
    """
    timeout = config.get(timeout_field)
    each = (
        _LONGEST_TIMEOUT
        if holds_placeholder(timeout)
        else seconds(timeout, default_timeout)
    )
    authentication = config.get("authentication")
    token = isinstance(authentication, t.Mapping) and authentication.get("oauth2")
    return (2 if token else 1) * each + _SLACK


def refuse(problems: t.Sequence[Problem]) -> None:
    """Before a measurement: its block must be without problems.

    :raises MeasurementError: it is not; the first of them.
    """
    for problem in problems:
        raise MeasurementError(f"{problem.field}: {problem.text}.")


def merged(*headers: t.Mapping[str, str]) -> dict[str, str]:
    """All these headers; a later one replaces an earlier one of the same name."""
    found: dict[str, tuple[str, str]] = {}
    for each in headers:
        found.update({name.lower(): (name, value) for name, value in each.items()})
    return dict(found.values())


def holds_placeholder(value: object) -> bool:
    """Whether an argument is still to be filled in somewhere in it."""
    if isinstance(value, str):
        return bool(_PLACEHOLDER.search(value))
    if isinstance(value, t.Mapping):
        return any(holds_placeholder(v) for v in value.values())
    return isinstance(value, (list, tuple)) and any(map(holds_placeholder, value))


def kind(value: object) -> str:
    """What a value is, for a message that is not to repeat it."""
    names = ((bool, "a boolean"), (str, "a text"), (int, "a number"))
    more = ((float, "a number"), (t.Mapping, "a mapping"), ((list, tuple), "a list"))
    for types, name in (*names, *more):
        if isinstance(value, t.cast("t.Any", types)):
            return name
    return "nothing" if value is None else f"a {type(value).__name__}"


def unknown_problems(config: Config, known: t.Iterable[str], at: str) -> list[Problem]:
    """Fields that the block does not have."""
    names = sorted(known)
    return [
        Problem(
            f"{at}.{name}",
            f"there is no such field{did_you_mean(str(name), names)}; there are"
            f" {', '.join(names)}",
        )
        for name in config
        if name not in names
    ]


def mapping_problems(config: object, at: str) -> list[Problem]:
    """Unless it is a mapping."""
    if isinstance(config, t.Mapping):
        return []
    return [Problem(at, f"{kind(config)} was found, expected is a mapping of fields")]


def text_problems(value: object, at: str, required: bool = True) -> list[Problem]:
    """Unless it is a text that is not empty; or absent, where it is not required."""
    if value is None and not required:
        return []
    if isinstance(value, str) and (value.strip() or not required):
        return []
    found = "an empty text" if isinstance(value, str) else kind(value)
    return [Problem(at, f"{found} was found, expected is a text; give it")]


def url_problems(value: object, at: str, required: bool = True) -> list[Problem]:
    """Unless it is the URL of an HTTP server; the value is not repeated."""
    problems = text_problems(value, at, required)
    if problems or not value or holds_placeholder(value):
        return problems
    try:
        http.shown_url(str(value))
    except MeasurementError as error:
        return [Problem(at, str(error).rstrip("."))]
    return []


def header_problems(value: object, at: str) -> list[Problem]:
    """Unless it is a list of ``{key, value}``; values are not repeated."""
    if value is None:
        return []
    if not isinstance(value, (list, tuple)):
        expected = "expected is a list of {key: ..., value: ...}"
        return [Problem(at, f"{kind(value)} was found, {expected}")]
    return [
        problem
        for index, header in enumerate(value)
        for problem in _header_problems(header, f"{at}[{index}]")
    ]


def _header_problems(header: object, at: str) -> list[Problem]:
    if not isinstance(header, t.Mapping) or set(header) != {"key", "value"}:
        return [Problem(at, "expected are the two fields key and value, and no other")]
    key, value = header["key"], header["value"]
    if not isinstance(key, str):
        return [Problem(f"{at}.key", f"{kind(key)} was found, expected is a text")]
    if not isinstance(value, (str, int, float)):
        return [Problem(f"{at}.value", f"{kind(value)} was found, expected is a text")]
    if holds_placeholder(header):
        return []
    wrong = http.header_problem(key, str(value))
    return [Problem(at, wrong)] if wrong else []


def seconds_problems(value: object, at: str) -> list[Problem]:
    """Unless it is a number of seconds; a text that is one is taken as well."""
    if value is None or holds_placeholder(value):
        return []
    found = number(value)
    if found is not None and 0 <= found <= _LONGEST_TIMEOUT:
        return []
    return [
        Problem(
            at,
            f"{shown(value)} was found, expected is a number of seconds from 1 to"
            f" {_LONGEST_TIMEOUT:g}, or 0 for the default",
        )
    ]


def seconds(value: object, default: float) -> float:
    """The seconds; the default where they are absent, 0, or not known yet."""
    return number(value) or default


def number(value: object) -> float | None:
    """A finite number, or a text that is one; else none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def flag_problems(value: object, at: str) -> list[Problem]:
    """Unless it is a boolean; the texts true and false are taken as well."""
    known = value is None or isinstance(value, bool) or value in ("true", "false")
    if known or holds_placeholder(value):
        return []
    return [Problem(at, f"{kind(value)} was found, expected is true or false")]


def flag(value: object) -> bool:
    """Whether it is true."""
    return value is True or value == "true"


def ca_cert_problems(value: object, at: str) -> list[Problem]:
    """Unless it is PEM text, or absent."""
    problems = text_problems(value, at, required=False)
    if problems or not value or holds_placeholder(value):
        return problems
    try:
        http.trusting(str(value))
    except MeasurementError:
        return [
            Problem(
                at,
                "it holds no certificate that can be read; give the PEM text, from"
                " -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----",
            )
        ]
    return []


# -- authentication --------------------------------------------------------------------


def oauth2_problems(value: object, at: str) -> list[Problem]:
    """Unless it is ``{tokenUrl, clientId, clientSecret, scopes}``, or absent."""
    if value is None:
        return []
    if not isinstance(value, t.Mapping):
        return mapping_problems(value, at)
    problems = unknown_problems(
        value, ("tokenUrl", "clientId", "clientSecret", "scopes"), at
    )
    problems += url_problems(value.get("tokenUrl"), f"{at}.tokenUrl")
    for name in ("clientId", "clientSecret"):
        problems += text_problems(value.get(name), f"{at}.{name}")
    scopes = value.get("scopes")
    texts = isinstance(scopes, (list, tuple)) and all(
        isinstance(scope, str) for scope in scopes
    )
    if scopes is not None and not texts:
        problems.append(
            Problem(f"{at}.scopes", f"{kind(scopes)} was found, expected are texts")
        )
    return problems


def basic_problems(value: object, at: str) -> list[Problem]:
    """Unless it is ``{username, password}``, or absent."""
    if value is None:
        return []
    if not isinstance(value, t.Mapping):
        return mapping_problems(value, at)
    problems = unknown_problems(value, ("username", "password"), at)
    for name in ("username", "password"):
        problems += text_problems(value.get(name), f"{at}.{name}")
    return problems


def authentication_problems(
    value: object, at: str, ways: t.Sequence[str]
) -> list[Problem]:
    """Unless it is absent, or one of these ways: ``basicAuth``, ``bearerToken``,
    ``oauth2``; other ways are the provider's own to check.
    """
    if value is None:
        return []
    if not isinstance(value, t.Mapping):
        return mapping_problems(value, at)
    problems = unknown_problems(value, ways, at)
    given = [way for way in ways if value.get(way)]
    if len(given) > 1:
        text = f"{' and '.join(given)} were found; give only one of them"
        problems.append(Problem(at, text))
    problems += basic_problems(value.get("basicAuth"), f"{at}.basicAuth")
    problems += text_problems(value.get("bearerToken"), f"{at}.bearerToken", False)
    problems += oauth2_problems(value.get("oauth2"), f"{at}.oauth2")
    return problems


def authentication_headers(config: Config, given: Connection) -> dict[str, str]:
    """The header that a block's ``authentication`` asks for, if any.

    :raises MeasurementError: the token server gave no token.
    """
    ways = config.get("authentication") or {}
    if ways.get("basicAuth"):
        pair = ways["basicAuth"]
        return http.basic(pair["username"], pair["password"])
    if ways.get("bearerToken"):
        return http.bearer(ways["bearerToken"])
    if ways.get("oauth2"):
        token = http.oauth2_token(
            ways["oauth2"], given.timeout, given.insecure, given.ca_cert
        )
        return http.bearer(token)
    return {}


def window_problems(value: object, at: str) -> list[Problem]:
    """Unless it is a duration such as ``5m`` that is longer than nothing, or absent."""
    if value is None or holds_placeholder(value) or _duration(value):
        return []
    found = shown(repr(value)) if isinstance(value, (str, int, float)) else kind(value)
    text = f"{found} was found, expected is a duration such as 30s, 5m or 1h30m"
    return [Problem(at, text)]


def window(value: object, default: float = WINDOW_SECONDS) -> float:
    """The seconds of a duration without problems; the default where it is absent."""
    return _duration(value) or default


def _duration(value: object) -> float:
    try:
        return seconds_of(value)
    except ValueError:
        return 0.0
