# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""New Relic: what an NRQL query returns, by NerdGraph, its GraphQL API.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import typing as t

from ..fields import (
    Connection,
    connection,
    connection_problems,
    refuse,
    seconds,
    seconds_problems,
    text_problems,
    unknown_problems,
    url_problems,
)
from ..measurement import MeasurementError, Outcome, Place, Problem, Request, Value
from . import _vendor

ADDRESSES = {
    "us": "https://api.newrelic.com/graphql",
    "eu": "https://api.eu.newrelic.com/graphql",
}
SECRET = "newrelic"
# For the query; the request may take a little longer.
QUERY_SECONDS = 5.0
_MARGIN_SECONDS = 5.0
_AT = "newRelic"
_FIELDS = ("profile", "query", "timeout", "address", *_vendor.CONNECTION_FIELDS)
_QUERY = """\
query ($account: Int!, $nrql: Nrql!, $timeout: Seconds!) {
  actor { account(id: $account) { nrql(query: $nrql, timeout: $timeout) { results } } }
}
"""


def problems(config: t.Mapping[str, t.Any]) -> list[Problem]:
    """What is wrong with the block as it was written."""
    return [
        *unknown_problems(config, _FIELDS, _AT),
        *text_problems(config.get("query"), f"{_AT}.query"),
        *text_problems(config.get("profile"), f"{_AT}.profile", required=False),
        *seconds_problems(config.get("timeout"), f"{_AT}.timeout"),
        *url_problems(config.get("address"), f"{_AT}.address", required=False),
        *connection_problems(config, _AT),
    ]


def measure(request: Request) -> Outcome:
    """One NRQL query.

    :returns: a mapping of names to values; a list of them for several rows; ``None``
        without any.
    """
    config = request.config
    refuse(problems(config))
    secret = str(config.get("profile") or SECRET)
    key = _vendor.credential(request.place, secret, "personal-api-key")
    variables = {
        "account": _account(request.place, secret),
        "nrql": config["query"],
        "timeout": int(_query_seconds(config)),
    }
    answer, data = _vendor.graphql(
        _connection(config),
        str(config.get("address") or _address(request.place, secret)),
        _QUERY,
        variables,
        {"API-Key": key},
    )
    results = _vendor.part(data, "actor", "account", "nrql", "results")
    if not isinstance(results, list) or not all(isinstance(r, dict) for r in results):
        raise _vendor.unexpected(answer, "results")
    metadata = {"query": str(config["query"])}
    if not results:
        return Value(None, metadata)
    return Value(results[0] if len(results) == 1 else results, metadata)


def seconds_allowed(config: t.Mapping[str, t.Any]) -> float:
    """Seconds after which a measurement is cut off."""
    return _connection(config).timeout


def _query_seconds(config: t.Mapping[str, t.Any]) -> float:
    return max(seconds(config.get("timeout"), QUERY_SECONDS), 1.0)


def _connection(config: t.Mapping[str, t.Any]) -> Connection:
    return connection(config, _query_seconds(config) + _MARGIN_SECONDS)


def _account(place: Place, secret: str) -> int:
    account = _vendor.credential(place, secret, "account-id")
    if account.isascii() and account.isdigit():
        return int(account)
    raise MeasurementError(
        f"The key account-id of the Secret {secret} is not a whole number; write the"
        " number of the New Relic account into it."
    )


def _address(place: Place, secret: str) -> str:
    given = _vendor.optional_credential(place, secret, "base-url-nerdgraph")
    if given:
        return given
    region = _vendor.optional_credential(place, secret, "region").lower() or "us"
    if region in ADDRESSES:
        return ADDRESSES[region]
    raise MeasurementError(
        f"The key region of the Secret {secret} is neither us nor eu; correct it, or"
        " write the address of NerdGraph into the key base-url-nerdgraph."
    )
