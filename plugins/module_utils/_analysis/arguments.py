# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The arguments of an analysis, and the placeholders that stand for them.

A placeholder is ``{{ args.<name> }}``, with or without spaces.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from .measurement import MeasurementError
from .shapes import did_you_mean, shown, text_of, unknown_fields

STABLE = "Stable"
LATEST = "Latest"
PREFIX = "args."

_FIELDS = ("name", "value", "valueFrom")
_SOURCES = ("secretKeyRef", "fieldRef", "podTemplateHashValue")
_NAME = re.compile(r"[^\s{}]+")
_PLACEHOLDER = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_STEP = re.compile(r"""\.?([^.\[\]'"]+)|\[([0-9]+)\]|\[(?:'([^']+)'|"([^"]+)")\]""")

_T = t.TypeVar("_T")


@dataclass(frozen=True)
class Argument:
    """One argument: a value, or where the value comes from; or neither yet."""

    name: str
    value: str | None = None
    # The name of a Secret, and a key in it.
    secret: tuple[str, str] | None = None
    # Whose revision hash it is: Stable or Latest; else empty.
    hash_of: str = ""
    # A path into the rollout; else empty.
    field_path: str = ""

    @property
    def is_set(self) -> bool:
        """Whether it has a value, or says where the value comes from."""
        return self.value is not None or bool(
            self.secret or self.hash_of or self.field_path
        )

    def to_plain(self) -> dict[str, t.Any]:
        """The argument in Argo Rollouts' spelling."""
        if self.value is not None:
            return {"name": self.name, "value": self.value}
        source: dict[str, t.Any] = {}
        if self.secret:
            name, key = self.secret
            source = {"secretKeyRef": {"name": name, "key": key}}
        elif self.hash_of:
            source = {"podTemplateHashValue": self.hash_of}
        elif self.field_path:
            source = {"fieldRef": {"fieldPath": self.field_path}}
        return {"name": self.name, **({"valueFrom": source} if source else {})}


def read_arguments(
    given: t.Sequence[object], where: str, problems: list[str]
) -> tuple[Argument, ...]:
    """Arguments in Argo Rollouts' spelling; what is wrong is added to ``problems``."""
    found: dict[str, Argument] = {}
    for position, raw in enumerate(given):
        argument = _argument(raw, f"{where}[{position}]", problems)
        if argument is None:
            continue
        if argument.name in found:
            problems.append(
                f"{where}: argument {argument.name} is listed twice; keep one."
            )
        found[argument.name] = argument
    return tuple(found.values())


def _argument(raw: object, where: str, problems: list[str]) -> Argument | None:
    name = raw.get("name") if isinstance(raw, dict) else None
    if not isinstance(raw, dict) or not isinstance(name, str):
        problems.append(
            f"{where}: a mapping with a name is expected, {shown(raw)} was found."
        )
        return None
    if not _NAME.fullmatch(name):
        problems.append(
            f"{where}: {shown(name)} cannot name an argument; use neither spaces nor"
            " braces."
        )
        return None
    where = f"argument {name}" if where.startswith("args[") else f"{where} ({name})"
    problems += unknown_fields(raw, _FIELDS, where)
    value, source = raw.get("value"), raw.get("valueFrom")
    if value is not None and source is not None:
        problems.append(f"{where}: value and valueFrom are both given; keep one.")
        return None
    if source is not None:
        return _from_source(name, source, where, problems)
    return _from_value(name, value, where, problems)


def _from_value(
    name: str, value: object, where: str, problems: list[str]
) -> Argument | None:
    text = text_of(value)
    if value is not None and text is None:
        problems.append(
            f"{where}: value: text, a number, true or false is expected,"
            f" {shown(value)} was found."
        )
        return None
    if any(p.startswith(PREFIX) for p in placeholders_in(text)):
        problems.append(
            f"{where}: value: {shown(text)} holds a placeholder, which is not replaced"
            " in an argument's own value; write the text out."
        )
        return None
    return Argument(name, value=text)


def _from_source(
    name: str, source: object, where: str, problems: list[str]
) -> Argument | None:
    where = f"{where}: valueFrom"
    if not isinstance(source, dict) or len(source) != 1:
        problems.append(
            f"{where}: a mapping with one of {', '.join(_SOURCES)} is expected,"
            f" {shown(source)} was found."
        )
        return None
    problems += unknown_fields(source, _SOURCES, where)
    if "secretKeyRef" in source:
        fields = _texts(source["secretKeyRef"], ("name", "key"), where, problems)
        return Argument(name, secret=(fields[0], fields[1])) if fields else None
    if "fieldRef" in source:
        fields = _texts(source["fieldRef"], ("fieldPath",), where, problems)
        return Argument(name, field_path=fields[0]) if fields else None
    hash_of = source.get("podTemplateHashValue")
    if hash_of in (STABLE, LATEST):
        return Argument(name, hash_of=hash_of)
    if "podTemplateHashValue" in source:
        problems.append(
            f"{where}: podTemplateHashValue is {shown(hash_of)}; write {STABLE} or"
            f" {LATEST}."
        )
    return None


def _texts(
    given: object, names: tuple[str, ...], where: str, problems: list[str]
) -> tuple[str, ...]:
    """The texts of a mapping that has exactly these fields; else none."""
    values = [given.get(n) for n in names] if isinstance(given, dict) else []
    texts = tuple(v for v in values if isinstance(v, str) and v)
    if (
        isinstance(given, dict)
        and set(given) == set(names)
        and len(texts) == len(names)
    ):
        return texts
    problems.append(
        f"{where}: a mapping with the text{'s' if len(names) > 1 else ''}"
        f" {' and '.join(names)} is expected, {shown(given)} was found."
    )
    return ()


def field_at(fields: t.Mapping[str, t.Any], path: str) -> str:
    """The value at a path such as ``metadata.labels['app']``, as text.

    :raises KeyError: it is not there, or no text, number, true or false; its
        argument says why.
    """
    found: t.Any = fields
    end = 0
    while end < len(path):
        step = _STEP.match(path, end)
        if step is None or (end == 0 and path.startswith((".", "["))):
            raise KeyError(f"is no path at character {end + 1}")
        found = _step(found, step, path[: step.end()])
        end = step.end()
    text = text_of(found)
    if text is None:
        raise KeyError("is no text, number, true or false")
    return text


def _step(found: t.Any, step: re.Match[str], so_far: str) -> t.Any:
    name, index, *quoted = step.groups()
    key = name or next((q for q in quoted if q), "")
    if index is not None and isinstance(found, list):
        # Bounded, so that no number is too long to be read.
        if len(index) < 10 and int(index) < len(found):
            return found[int(index)]
    elif index is None and isinstance(found, dict) and key in found:
        return found[key]
    raise KeyError(f"is not there: nothing was found at {so_far}")


def placeholders_in(value: object) -> list[str]:
    """What stands between the braces of every placeholder in a structure.

    Keys are looked at, too. What is opened and not closed counts to the text's end.
    """
    found: list[str] = []
    for text in _texts_in(value):
        found += [inside.strip() for inside in _PLACEHOLDER.findall(text)]
        _before, opened, rest = _PLACEHOLDER.sub("", text).partition("{{")
        if opened:
            found.append(rest.strip())
    return found


def _texts_in(value: object) -> t.Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _texts_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts_in(item)


def names_in(value: object) -> set[str]:
    """The names of the arguments whose placeholders stand in a structure."""
    return {p[len(PREFIX) :] for p in placeholders_in(value) if p.startswith(PREFIX)}


def fill(config: _T, values: t.Mapping[str, str]) -> _T:
    """The structure with every placeholder replaced, in keys and texts, once.

    A text that is only a placeholder stays a text; what a value brings in is not
    looked at again.

    :raises MeasurementError: an argument has no value here; it names the argument.
    """

    def replaced(match: re.Match[str]) -> str:
        inside = match.group(1).strip()
        name = inside[len(PREFIX) :] if inside.startswith(PREFIX) else None
        if name is None or name not in values:
            raise MeasurementError(
                f"the placeholder {shown(match.group())} has no value; give its"
                " argument one."
            )
        return values[name]

    def copied(value: t.Any) -> t.Any:
        if isinstance(value, str):
            return _PLACEHOLDER.sub(replaced, value)
        if isinstance(value, dict):
            return {copied(k): copied(v) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [copied(v) for v in value]
        return value

    filled: _T = copied(config)
    return filled


def unknown_placeholders(value: object, declared: t.Collection[str]) -> list[str]:
    """A clause about each placeholder that stands for no declared argument."""
    known = [PREFIX + name for name in declared]
    return [
        f"the placeholder {shown(f'{{{{ {p} }}}}')} stands for no declared"
        f" argument{did_you_mean(p, known)}; declare it below args, or, to send two"
        " braces as they are, give them in an argument's value."
        for p in dict.fromkeys(placeholders_in(value))
        if p not in known
    ]
