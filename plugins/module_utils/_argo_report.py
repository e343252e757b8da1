# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a conversion says besides the variables: nothing that was given goes unsaid.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ._analysis.shapes import did_you_mean, shown, text_of
from ._errors import BadInput
from ._objects import Object
from ._parameters import canonical

_MAX_FOUND = 100


@dataclass(frozen=True)
class Left:
    """One thing that has no counterpart, or another one than by its name."""

    field: str
    found: str
    why: str
    instead: str


@dataclass(frozen=True)
class Kept:
    """One object that stays as it is."""

    object: str
    why: str


class Report:
    """What was not converted, and which objects are left alone."""

    def __init__(self) -> None:
        self.left: list[Left] = []
        self.kept: list[Kept] = []
        self._sections: list[Section] = []

    def leave(self, field: str, found: object, why: str, instead: str) -> None:
        """Say that a field has no counterpart, and what to do instead."""
        self.left.append(Left(field, _on_one_line(found), why, instead))

    def keep(self, what: str, why: str) -> None:
        """Say that an object stays as it is."""
        self.kept.append(Kept(what, why))

    def section(self, given: object, path: str) -> Section:
        """The fields of a mapping, of which each that nobody takes will be said.

        :raises BadInput: it is not a mapping.
        """
        section = Section(given, path, self)
        self._sections.append(section)
        return section

    def say_what_nobody_took(self) -> None:
        """Every section has been read: what is left in one is unknown."""
        for section in self._sections:
            section.say_what_nobody_took()


class Section:
    """The fields of one mapping. A field that is null is one that is not given."""

    def __init__(self, given: object, path: str, report: Report) -> None:
        if not isinstance(given, dict):
            raise BadInput(f"{path}: a mapping is expected, {shown(given)} was found.")
        self._given: Object = given
        self._path = path
        self._report = report
        self._taken: list[str] = []

    def take(self, field: str) -> t.Any:
        """The value of a field that is known; none if it is not given."""
        self._taken.append(field)
        return self._given.get(field)

    def whole(self, field: str) -> int | None:
        """A whole number.

        :raises BadInput: it is something else.
        """
        value = self.take(field)
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        if value is not None and not is_whole:
            raise self._wrong(field, "a whole number", value)
        return t.cast("int | None", value)

    def flag(self, field: str) -> bool | None:
        """True or false.

        :raises BadInput: it is something else.
        """
        value = self.take(field)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(field, "true or false", value)
        return value

    def text(self, field: str) -> str:
        """A text; empty if it is not given.

        :raises BadInput: it is something else.
        """
        value = self.take(field)
        if value is not None and not isinstance(value, str):
            raise self._wrong(field, "a text", value)
        return value or ""

    def section(self, field: str) -> Section | None:
        """The mapping below a field; none if it is not given."""
        value = self.take(field)
        return None if value is None else self._report.section(value, self.at(field))

    def leave(self, field: str, why: str, instead: str) -> None:
        """Say that a field has no counterpart, if it is given."""
        value = self.take(field)
        if value is not None:
            self._report.leave(self.at(field), value, why, instead)

    def at(self, field: str) -> str:
        """The path of a field."""
        return f"{self._path}.{field}" if self._path else field

    def say_what_nobody_took(self) -> None:
        """What is unknown was not meant so, or is of a newer release."""
        for field, value in self._given.items():
            if field not in self._taken:
                self._report.leave(
                    self.at(field),
                    _form_of(value),
                    f"it is no field that is known{did_you_mean(field, self._taken)}",
                    "correct its name, or remove it",
                )

    def _wrong(self, field: str, expected: str, value: object) -> BadInput:
        return BadInput(
            f"{self.at(field)}: {expected} is expected, {shown(value)} was found;"
            " correct it."
        )


def _form_of(value: object) -> object:
    """What stands where nothing was expected: it may be a password."""
    for form, name in ((str, "a text"), (dict, "a mapping"), (list, "a list")):
        if isinstance(value, form):
            return name
    return value


def _on_one_line(value: object) -> str:
    text = text_of(value)
    line = " ".join((canonical(value) if text is None else text).split())
    return line if len(line) <= _MAX_FOUND else f"{line[:_MAX_FOUND]}..."
