# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SkyWalking: what a GraphQL query to its OAP server returns.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import typing as t
from datetime import datetime, timedelta, timezone

from .. import fields
from ..fields import (
    Connection,
    connection,
    connection_problems,
    refuse,
    text_problems,
    unknown_problems,
    url_problems,
)
from ..measurement import Outcome, Problem, Request, Value
from . import _vendor

TIMEOUT_SECONDS = 30.0
_AT = "skywalking"
_FIELDS = ("address", "query", "interval", *_vendor.CONNECTION_FIELDS)


def problems(config: t.Mapping[str, t.Any]) -> list[Problem]:
    """What is wrong with the block as it was written."""
    return [
        *unknown_problems(config, _FIELDS, _AT),
        *url_problems(config.get("address"), f"{_AT}.address"),
        *text_problems(config.get("query"), f"{_AT}.query"),
        *fields.window_problems(config.get("interval"), f"{_AT}.interval"),
        *connection_problems(config, _AT),
    ]


def measure(request: Request) -> Outcome:
    """One GraphQL query, with the last ``interval`` as its variable ``duration``.

    :returns: the answer's ``data``.
    """
    config = request.config
    refuse(problems(config))
    end = request.place.now().astimezone(timezone.utc)
    start = end - timedelta(seconds=fields.window(config.get("interval")))
    duration = {"start": _minute(start), "end": _minute(end), "step": "MINUTE"}
    _answer, data = _vendor.graphql(
        _connection(config),
        f"{config['address'].rstrip('/')}/graphql",
        config["query"],
        {"duration": duration},
    )
    return Value(data, {"start": duration["start"], "end": duration["end"]})


def seconds_allowed(config: t.Mapping[str, t.Any]) -> float:
    """Seconds after which a measurement is cut off."""
    return _connection(config).timeout


def _connection(config: t.Mapping[str, t.Any]) -> Connection:
    return connection(config, TIMEOUT_SECONDS)


def _minute(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%d %H%M")
