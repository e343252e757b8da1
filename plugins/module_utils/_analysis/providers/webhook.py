# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A hook's webhook: one POST, and what its answer says of the hook.

It is no provider of analyses. Private to the collection: it may change in any release.
"""

from __future__ import annotations

import typing as t
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qsl, urlsplit

from ..._argspec import mask
from .. import http
from ..measurement import (
    MeasurementError,
    Outcome,
    Problem,
    Request,
    Unfinished,
    Verdict,
)
from ..state import FAILED, SUCCESSFUL

# Asked again after so many seconds, where the answer names no other time.
ASK_AGAIN = 10.0
_LONGEST_GAP = 3600.0
# A shorter part of a path is a word, and would blot out what people need to read.
_LEAST_SECRET = 6
_LATER = (202, 429)
# The server gave up on a request that may well succeed when it is sent again.
_TRY_AGAIN = 408


def problems(config: t.Mapping[str, t.Any]) -> list[Problem]:
    """None: the parser of the hooks has checked it."""
    return []


def seconds_allowed(config: t.Mapping[str, t.Any]) -> float:
    """Seconds that the request may take."""
    return float(config["timeout"])


def measure(request: Request) -> Outcome:
    """Send the request once.

    A redirect is not followed: where it leads was not asked for.

    :raises MeasurementError: it may be sent again; one sentence without secrets.
    """
    config = request.config
    hidden = _hidden(config)
    try:
        answer = http.send(
            "POST",
            config["url"],
            headers={"Content-Type": "application/json", **config["headers"]},
            body=http.encoded(config["text"]),
            timeout=config["timeout"],
            accept_any_status=True,
        )
    except MeasurementError as error:
        raise MeasurementError(mask(str(error), hidden)) from None
    said = mask(answer.shown(), hidden)
    message = f"it answered {answer.status}" + (f": {said}" if said else "")
    if answer.status in _LATER:
        gap = _retry_after(answer.headers.get("retry-after"), request)
        return Unfinished({"message": message}, gap)
    if 200 <= answer.status < 300:
        return Verdict(SUCCESSFUL, message)
    if answer.status == _TRY_AGAIN or answer.status >= 500:
        raise MeasurementError(message)
    if 300 <= answer.status < 400:
        message = f"{message}; give the address that it redirects to"
    return Verdict(FAILED, message)


def _hidden(config: t.Mapping[str, t.Any]) -> tuple[str, ...]:
    """What must not be shown: of a secret URL all but the server's name, and every
    header, which may be a secret.
    """
    found = [v for v in config["headers"].values() if len(v) > 3]
    if config["secret_url"]:
        parts = urlsplit(config["url"])
        values = [value for _key, value in parse_qsl(parts.query)]
        parted = [
            p for p in (*parts.path.split("/"), *values) if len(p) >= _LEAST_SECRET
        ]
        found += [config["url"], parts.path.strip("/"), parts.query, *parted]
    return tuple(text for text in found if text)


def _retry_after(value: str | None, request: Request) -> float:
    """Seconds until it is asked again: the header's, a number or a date."""
    text = (value or "").strip()
    if text.isdigit():
        return min(max(float(text), 1.0), _LONGEST_GAP)
    try:
        at = parsedate_to_datetime(text)
        seconds = (at - request.place.now()).total_seconds()
    except (TypeError, ValueError):
        return ASK_AGAIN
    return min(max(seconds, 1.0), _LONGEST_GAP)
