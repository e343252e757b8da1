# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The secrets of an analysis: given with the task, else from the namespace's Secrets.

Values go from here to a measurement and nowhere else. Private to the collection: it
may change in any release.
"""

from __future__ import annotations

import base64
import binascii
import typing as t

from ._analysis.measurement import SecretMissing
from ._errors import BadInput, NotFound

if t.TYPE_CHECKING:
    from ._api import Api

Given = t.Mapping[str, t.Mapping[str, str]]


def parse_given(value: object, variable: str) -> dict[str, dict[str, str]]:
    """The option: Secret name to key to value.

    :raises BadInput: it has another shape; no value is in the message.
    """
    if not value:
        return {}
    if not isinstance(value, dict):
        raise BadInput(f"{variable}: {_SHAPE}, found {type(value).__name__}.")
    for name, entries in value.items():
        if not isinstance(entries, dict):
            kind = type(entries).__name__
            raise BadInput(f"{variable}: {_SHAPE}; {name} is {kind}.")
        for key, text in entries.items():
            if not isinstance(text, (str, int, float)) or isinstance(text, bool):
                kind = type(text).__name__
                raise BadInput(f"{variable}: {name}/{key} is {kind}, expected a text.")
    return {
        str(name): {str(k): str(v) for k, v in entries.items()}
        for name, entries in value.items()
    }


_SHAPE = "expected a mapping of Secret names to their keys and values"


class Secrets:
    """Looks a secret up by Secret name and key.

    :param api: gives the Kubernetes API; it raises where none is known.
    """

    def __init__(self, given: Given, api: t.Callable[[], Api], namespace: str) -> None:
        self._given = given
        self._api = api
        self._namespace = namespace

    def names_given(self) -> tuple[str, ...]:
        """``<Secret>/<key>`` of each that was given with the task, sorted."""
        return tuple(
            sorted(f"{n}/{k}" for n, keys in self._given.items() for k in keys)
        )

    def require(self, names: t.Iterable[str], variable: str) -> None:
        """Refuse to measure without what the release was started with.

        :raises BadInput: it names each that is missing.
        """
        missing = [name for name in names if name not in self.names_given()]
        if missing:
            raise BadInput(
                f"{variable}: {', '.join(missing)} was given when the release was"
                " started and is needed to measure it; give it again. The gate stays"
                " shut."
            )

    def get(self, name: str, key: str) -> str:
        """The secret's value.

        :raises SecretMissing: there is none.
        """
        given = self._given.get(name, {})
        if key in given:
            return given[key]
        path = f"/api/v1/namespaces/{self._namespace}/secrets/{name}"
        try:
            data = self._api().get(path).get("data") or {}
        except NotFound as error:
            raise SecretMissing(
                f"Secret {name} does not exist in namespace {self._namespace}; create"
                f" it with the key {key}, or give it in analysis_secrets."
            ) from error
        if key not in data:
            raise SecretMissing(
                f"Secret {name} in namespace {self._namespace} has no key {key}; add"
                " it, or give it in analysis_secrets."
            )
        try:
            return base64.b64decode(data[key], validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise SecretMissing(
                f"Secret {name}, key {key}, in namespace {self._namespace} is no text."
            ) from error
