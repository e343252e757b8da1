# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``influxdb``: a Flux query by the HTTP API of InfluxDB 2.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import csv
import io
import json
import typing as t

from .. import fields, http
from ..measurement import MeasurementError, Place, Problem, Request, Value
from . import _vendor

TIMEOUT = 30.0
SECRET = "influxdb"
_FIELDS = (
    "address",
    "authToken",
    "caCert",
    "headers",
    "insecure",
    "org",
    "profile",
    "query",
    "secretRef",
    "timeoutSeconds",
)
# What the annotations tell of a column: its type, and the value of an empty field.
_DIALECT = {"annotations": ["datatype", "default"], "header": True}


def problems(config: t.Mapping[str, t.Any]) -> list[Problem]:
    """What is wrong with the block."""
    found = fields.mapping_problems(config, "influxdb")
    if found:
        return found
    found += fields.unknown_problems(config, _FIELDS, "influxdb")
    found += fields.url_problems(config.get("address"), "influxdb.address", False)
    found += fields.text_problems(config.get("query"), "influxdb.query")
    for name in ("org", "authToken", "profile"):
        found += fields.text_problems(config.get(name), f"influxdb.{name}", False)
    found += _secret_problems(config)
    return found + fields.connection_problems(config, "influxdb")


def seconds_allowed(config: t.Mapping[str, t.Any]) -> float:
    """Seconds that a measurement may take."""
    return fields.seconds_allowed(config, TIMEOUT)


def measure(request: Request) -> Value:
    """What stands in the column ``_value`` of all tables, without the fields that are
    null; no rows are an empty list.

    :raises MeasurementError: InfluxDB gave no such answer.
    :raises SecretMissing: the address, the organization or the token is not there.
    """
    config, place = request.config, request.place
    fields.refuse(problems(config))
    connection = fields.connection(config, TIMEOUT)
    address = _given(config, "address", place)
    # It may come from the Secret.
    fields.refuse(fields.url_problems(address, "influxdb.address"))
    url = http.below(address, "/api/v2/query", [("org", _given(config, "org", place))])
    headers = {
        "Authorization": f"Token {_given(config, 'authToken', place)}",
        "Content-Type": "application/json",
        "Accept": "application/csv",
    }
    asked = {"type": "flux", "query": config["query"], "dialect": _DIALECT}
    answer = connection.send("POST", url, headers, http.encoded(json.dumps(asked)))
    return Value(_values(answer), {"query": http.shown(config["query"])})


def _given(config: t.Mapping[str, t.Any], name: str, place: Place) -> str:
    """From the block, else from the Secret."""
    if config.get(name):
        return str(config[name])
    secret = _vendor.secret_name(config, str(config.get("profile") or SECRET))
    return _vendor.credential(place, secret, name)


def _secret_problems(config: t.Mapping[str, t.Any]) -> list[Problem]:
    reference, at = config.get("secretRef"), "influxdb.secretRef"
    found = _vendor.secret_ref_problems(reference, at)
    if reference and config.get("profile"):
        found.append(Problem(at, "it stands beside profile; give only one"))
    return found


# -- the answer ------------------------------------------------------------------------


def _values(answer: http.Answer) -> list[t.Any]:
    values: list[t.Any] = []
    try:
        for table in _tables(answer.text()):
            values += _values_of(table, answer)
    except (ValueError, IndexError, csv.Error):
        raise MeasurementError(
            f"{answer.source} did not answer as InfluxDB 2 does; check"
            " influxdb.address."
        ) from None
    return [value for value in values if value is not None]


def _tables(text: str) -> t.Iterator[list[list[str]]]:
    """Empty lines stand between tables."""
    table: list[list[str]] = []
    for row in csv.reader(io.StringIO(text)):
        if row:
            table.append(row)
        elif table:
            yield table
            table = []
    if table:
        yield table


def _values_of(table: list[list[str]], answer: http.Answer) -> list[t.Any]:
    annotations = {row[0]: row for row in table if row[0].startswith("#")}
    header, *rows = [row for row in table if not row[0].startswith("#")]
    if "error" in header:
        said = rows[0][header.index("error")] if rows else ""
        raise MeasurementError(
            f"{answer.source} answered with an error: {answer.quoted(said)}"
        )
    if "#datatype" not in annotations:
        raise ValueError(header)
    if "_value" not in header:
        raise MeasurementError(
            f"{answer.source} answered without a column _value; keep it in the query,"
            " or rename() one to it."
        )
    column = header.index("_value")
    kind = annotations["#datatype"][column]
    default = annotations["#default"][column] if "#default" in annotations else ""
    return [_typed(kind, row[column] or default) for row in rows]


def _typed(kind: str, text: str) -> t.Any:
    if kind == "string":
        return text
    if not text:
        return None
    if kind == "double":
        return float(text)
    if kind in ("long", "unsignedLong"):
        return int(text)
    return text == "true" if kind == "boolean" else text
