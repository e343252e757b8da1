# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configuration that a release is given: read, and refused in one sentence, which
never holds a value.

Pure. Private to the collection: it may change in any release.
"""

from __future__ import annotations

import base64
import binascii
import re
import typing as t

from . import _names as names
from ._config import CONFIG_MAP, SECRET, ConfigObject, documents, references
from ._deps import yaml
from ._errors import BadInput
from ._objects import Object

_FIELDS = {
    CONFIG_MAP: ("data", "binaryData"),
    SECRET: ("type", "data", "stringData"),
}
_COMMON_FIELDS = ("apiVersion", "kind", "metadata", "immutable")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
# An object's name is at most that long, and a hyphen and the hash are added.
_LONGEST_NAME = 253 - len(names.config_name("", "0" * 10))
_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
# Of all values together, as the API server has it.
_MOST_BYTES = 1024 * 1024
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def parse_config(
    value: object, variable: str, namespace: str, template: Object
) -> tuple[ConfigObject, ...]:
    """ConfigMaps and Secrets, in an order of their own, for a pod template.

    :raises BadInput: one sentence about the first that is wrong.
    """
    config = tuple(_object(d, variable, namespace) for d in _given(value, variable))
    config = tuple(sorted(config, key=lambda c: c.ref))
    seen: set[str] = set()
    for item in config:
        if item.ref in seen:
            raise BadInput(
                f"{variable}: {item.kind} {item.name} is given twice; give it once."
            )
        seen.add(item.ref)
        _check_references(item, template, variable)
    return config


def _given(value: object, variable: str) -> list[object]:
    try:
        return list(documents(value))
    except (ValueError, yaml.YAMLError) as error:
        # What the parser met may be part of a value.
        mark = getattr(error, "problem_mark", None)
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise BadInput(
            f"{variable}: this is not YAML{place}; correct it, or give the path of a"
            " manifest."
        ) from None


def _object(body: object, variable: str, namespace: str) -> ConfigObject:
    if not isinstance(body, dict):
        raise BadInput(
            f"{variable}: a manifest is expected, {type(body).__name__} was found;"
            " give ConfigMaps and Secrets as mappings, YAML text or paths."
        )
    kind = body.get("kind")
    if (
        body.get("apiVersion") != "v1"
        or not isinstance(kind, str)
        or kind not in _FIELDS
    ):
        raise BadInput(
            f"{variable}: apiVersion is {_shown(body.get('apiVersion'))} and kind is"
            f" {_shown(body.get('kind'))}; give v1 and {' or '.join(_FIELDS)}."
        )
    metadata = _mapping(body, "metadata", f"{variable}: a {kind}")
    name = _name(metadata, f"{variable}: a {kind}")
    where = f"{variable}: {kind} {name}"
    found = metadata.get("namespace")
    if found not in (None, namespace):
        raise BadInput(
            f"{where} is of namespace {found}, the rollout of {namespace}; set"
            f" namespace to {found}, or change the manifest."
        )
    for field in body:
        if field not in (*_COMMON_FIELDS, *_FIELDS[kind]):
            known = ", ".join(_FIELDS[kind])
            raise BadInput(
                f"{where} has the field {field}, which is not known; a {kind} has"
                f" {known}."
            )
    return ConfigObject(kind, name, _content(body, metadata, kind, where))


def _shown(value: object) -> str:
    """Never a value that was put in the wrong place, which may be secret."""
    if value is None:
        return "missing"
    return value if isinstance(value, str) else type(value).__name__


def _mapping(parent: Object, key: str, where: str) -> Object:
    value = parent.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadInput(
            f"{where} has {key} of type {type(value).__name__}; give a mapping."
        )
    return value


def _name(metadata: Object, where: str) -> str:
    name = metadata.get("name")
    if not isinstance(name, str) or not name:
        raise BadInput(f"{where} has no metadata.name; give it one.")
    if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
        raise BadInput(
            f"{where} is named {name[:60]!r}; use at most {_LONGEST_NAME} lower-case"
            " letters, digits, hyphens and dots, as the hash of the revision is added."
        )
    return name


def _content(body: Object, metadata: Object, kind: str, where: str) -> Object:
    content: Object = {}
    for part in ("labels", "annotations"):
        texts = _texts(_mapping(metadata, part, where), f"{where}, {part}")
        texts.pop(_LAST_APPLIED, None)
        if texts:
            content[part] = texts
    if kind == SECRET:
        content["type"] = str(body.get("type") or "Opaque")
        data = {**_base64(body, "data", where), **_encoded(body, where)}
        binary: Object = {}
        sizes = [len(base64.b64decode(text)) for text in data.values()]
    else:
        data = _texts(_mapping(body, "data", where), f"{where}, data")
        binary = _base64(body, "binaryData", where)
        sizes = [len(text.encode()) for text in data.values()]
        sizes += [len(base64.b64decode(text)) for text in binary.values()]
    if sum(sizes) > _MOST_BYTES:
        raise BadInput(
            f"{where} holds {sum(sizes)} bytes, and Kubernetes takes at most"
            f" {_MOST_BYTES}; split it."
        )
    content.update({k: v for k, v in (("data", data), ("binaryData", binary)) if v})
    _check_keys([*data, *binary], where)
    return content


def _check_keys(keys: t.Sequence[str], where: str) -> None:
    for key in keys:
        if not _KEY.fullmatch(key):
            raise BadInput(
                f"{where} has the key {key[:60]!r}; use letters, digits, hyphens,"
                " underscores and dots."
            )
        if keys.count(key) > 1:
            raise BadInput(
                f"{where} has the key {key} in data and in binaryData; keep one."
            )


def _texts(values: Object, where: str) -> dict[str, str]:
    for key, value in values.items():
        for text, what in ((key, "the key"), (value, "the value of")):
            if not isinstance(text, str):
                kind = type(text).__name__
                raise BadInput(
                    f"{where}: {what} {key} is of type {kind}, a text is expected;"
                    " quote it."
                )
    return dict(values)


def _encoded(body: Object, where: str) -> dict[str, str]:
    """A Secret's stringData as data: both spellings are one Secret."""
    texts = _texts(_mapping(body, "stringData", where), f"{where}, stringData")
    return {k: base64.b64encode(v.encode()).decode() for k, v in texts.items()}


def _base64(body: Object, part: str, where: str) -> dict[str, str]:
    texts = _texts(_mapping(body, part, where), f"{where}, {part}")
    decoded = {}
    for key, text in texts.items():
        try:
            # As the API server reads it: line breaks do not count.
            raw = base64.b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError):
            instead = "stringData" if part == "data" else "data"
            raise BadInput(
                f"{where}, {part}: {key} is not base64; encode it, or give it as text"
                f" in {instead}."
            ) from None
        decoded[key] = base64.b64encode(raw).decode()
    return decoded


def _check_references(item: ConfigObject, template: Object, variable: str) -> None:
    """Refuse what the pods would not read, or not find when they start."""
    found = [r for r in references(template) if r.ref == item.ref]
    which = f"{item.kind} {item.name}"
    if not found:
        raise BadInput(
            f"{variable}: no container, volume or imagePullSecret of the definition"
            f" refers to {which}; refer to it, or leave it out."
        )
    for reference in found:
        for key in reference.keys:
            if key not in item.keys:
                known = ", ".join(item.keys) or "none"
                raise BadInput(
                    f"definition: {reference.where} asks for the key {key} of {which},"
                    f" whose keys in {variable} are: {known}; add it, or correct the"
                    " reference."
                )
