# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What people write, looked at before it is used: plain data, known fields.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import datetime
import difflib
import math
import typing as t

from .._errors import BadInput

_MAX_DEPTH = 60
_MAX_VALUES = 50_000
_MAX_SHOWN = 60


def plain(value: object, where: str) -> t.Any:
    """A copy made of what JSON has: what YAML has besides is made so, or refused.

    Dates become text, as they do in Kubernetes manifests.

    :param where: stands before the sentence of an error.
    :raises BadInput: it holds what JSON cannot, or is too deep or too large.
    """
    return _Copy(where).of(value, "", 0)


class _Copy:
    def __init__(self, where: str) -> None:
        self._where = where
        self._left = _MAX_VALUES

    def of(self, value: object, path: str, depth: int) -> t.Any:
        self._left -= 1
        # Aliases of YAML let a short text refer to itself, or grow without end.
        if depth > _MAX_DEPTH or self._left < 0:
            raise BadInput(
                f"{self._where}: this is nested deeper than {_MAX_DEPTH} levels or has"
                f" more than {_MAX_VALUES} values; make it smaller."
            )
        if isinstance(value, dict):
            return {
                self._key(k, path): self.of(
                    v, f"{path}.{k}" if path else str(k), depth + 1
                )
                for k, v in value.items()
            }
        if isinstance(value, (list, tuple)):
            return [self.of(v, f"{path}[{i}]", depth + 1) for i, v in enumerate(value)]
        return self._scalar(value, path)

    def _key(self, key: object, path: str) -> str:
        if isinstance(key, str):
            return str(self._scalar(key, path))
        raise BadInput(
            f"{self._where}: {path + ': ' if path else ''}the key {shown(key)} is not"
            " text; put it in quotes."
        )

    def _scalar(self, value: object, path: str) -> t.Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str) and _is_unicode(value):
            return str(value)
        if isinstance(value, int) and abs(value) < 2**63:
            return int(value)
        if isinstance(value, float) and math.isfinite(value):
            return float(value)
        if isinstance(value, datetime.date):
            return value.isoformat()
        raise BadInput(
            f"{self._where}: {path + ': ' if path else ''}{shown(value)} is not plain"
            " data; give text, a finite number, true, false, a list or a mapping."
        )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(value: object) -> str:
    """A value as messages show it: on one line, cut where it is long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        return f"an unprintable {type(value).__name__}"
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def text_of(value: object) -> str | None:
    """A scalar as text, spelt as JSON does; none if it is no scalar."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    return None


def did_you_mean(name: str, known: t.Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` when a known name is close, else nothing.

    Case, hyphens and underscores make no difference.
    """
    spelt = {_folded(k): k for k in known}
    close = difflib.get_close_matches(_folded(name[:_MAX_SHOWN]), spelt, n=1)
    return f" (did you mean {spelt[close[0]]!r}?)" if close else ""


def _folded(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def unknown_fields(
    given: t.Mapping[str, t.Any], known: t.Sequence[str], where: str
) -> list[str]:
    """A sentence about each field that is not known."""
    return [
        f"{where}: {shown(name)} is no field of it"
        f"{did_you_mean(name, known) or '; known are ' + ', '.join(known)}."
        for name in given
        if name not in known
    ]


def list_at(
    given: t.Mapping[str, t.Any], field: str, where: str, problems: list[str]
) -> list[t.Any]:
    """The list below a field; none is an empty one, anything else a problem."""
    value = given.get(field)
    if value is None:
        return []
    if isinstance(value, list):
        return value
    problems.append(f"{where}: {field}: a list is expected, {shown(value)} was found.")
    return []
