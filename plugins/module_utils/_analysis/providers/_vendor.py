# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the providers of vendors share: windows of time, Secrets and answers.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import json
import math
import typing as t

from ..fields import (
    Connection,
    kind,
    mapping_problems,
    text_problems,
    unknown_problems,
)
from ..http import Answer, shown
from ..measurement import MeasurementError, Place, Problem, SecretMissing

# Every block of a vendor may hold these; ``fields.connection`` reads them.
CONNECTION_FIELDS = ("headers", "timeoutSeconds", "insecure", "caCert")
# What is written as text where JSON has no number for it.
_UNUSUAL_NUMBERS = {
    "nan": math.nan,
    "inf": math.inf,
    "+inf": math.inf,
    "infinity": math.inf,
    "-inf": -math.inf,
    "-infinity": -math.inf,
}


def secret_ref_problems(
    value: object, at: str, known: t.Sequence[str] = ("name",)
) -> list[Problem]:
    """Unless it is ``{name: <Secret>}`` with at most these fields, or absent."""
    if value is None:
        return []
    if not isinstance(value, t.Mapping):
        return mapping_problems(value, at)
    return [
        *unknown_problems(value, known, at),
        *text_problems(value.get("name"), f"{at}.name"),
    ]


def secret_name(config: t.Mapping[str, t.Any], default: str = "") -> str:
    """The Secret that a block without problems names by ``secretRef``."""
    return str((config.get("secretRef") or {}).get("name") or default)


def credential(place: Place, name: str, key: str) -> str:
    """A value of a Secret, without the blanks and line breaks around it.

    :raises SecretMissing: it is not there, or empty.
    """
    value = place.secret(name, key).strip()
    if not value:
        raise SecretMissing(
            f"The key {key} of the Secret {name} is empty; write the value into it."
        )
    return value


def optional_credential(place: Place, name: str, key: str) -> str:
    """As :func:`credential`; empty where the Secret has no such key."""
    try:
        return credential(place, name, key)
    except SecretMissing:
        return ""


def part(document: object, *names: str | int) -> t.Any:
    """What lies in a JSON document below these keys and indices; else ``None``."""
    for name in names:
        if isinstance(document, t.Mapping) and isinstance(name, str):
            document = document.get(name)
        elif isinstance(document, list) and isinstance(name, int) and document:
            document = (
                document[name] if -len(document) <= name < len(document) else None
            )
        else:
            return None
    return document


def unexpected(answer: Answer, expected: str) -> MeasurementError:
    """The error for an answer whose JSON is not of the documented shape."""
    return MeasurementError(
        f"{answer.source} answered without {expected}, but with {shown(answer.text())};"
        " check that the address is the vendor's."
    )


def number(answer: Answer, value: object) -> float | None:
    """A measured number; ``None`` stays what it is.

    :raises MeasurementError: it is something else.
    """
    if isinstance(value, str):
        value = _UNUSUAL_NUMBERS.get(value.lower(), value)
    if value is None or (
        isinstance(value, (int, float)) and not isinstance(value, bool)
    ):
        return value
    raise MeasurementError(
        f"{answer.source} answered with {kind(value)} where a number is expected:"
        f" {shown(str(value))}."
    )


def whole(value: object) -> int | None:
    """A whole number from 0 on, which may be written as text; else ``None``."""
    if (
        isinstance(value, str)
        and value.isascii()
        and value.isdigit()
        and len(value) < 10
    ):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    return None


def graphql(
    connection: Connection,
    url: str,
    query: str,
    variables: t.Mapping[str, t.Any],
    headers: t.Mapping[str, str] | None = None,
) -> tuple[Answer, t.Any]:
    """Ask a GraphQL server; its answer, and the ``data`` of it.

    :raises MeasurementError: it refused the query, or does not speak GraphQL.
    """
    answer = connection.send(
        "POST",
        url,
        headers={"Content-Type": "application/json", **(headers or {})},
        body=json.dumps({"query": query, "variables": variables}).encode(),
    )
    document = answer.json()
    errors = part(document, "errors")
    if errors:
        said = "; ".join(_error_texts(errors))
        raise MeasurementError(f"{answer.source} refused the query: {shown(said)}")
    if not isinstance(document, t.Mapping) or "data" not in document:
        raise unexpected(answer, "data")
    return answer, document["data"]


def _error_texts(errors: object) -> t.Iterator[str]:
    for error in errors if isinstance(errors, list) else [errors]:
        yield str(part(error, "message") or error)
