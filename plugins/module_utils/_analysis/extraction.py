# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Takes the value that is judged out of a response.

A ``jsonPath`` is Kubernetes' own dialect, which no Python library reads: braces,
``.`` after ``\\``, the first hit counts, and a step without a hit is an error. So it
is read here. JMESPath is read by its library.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass
from itertools import islice

from .. import _deps
from .expression_values import (
    BOOL,
    NUMBER,
    STRING,
    Budget,
    Fault,
    kind_of,
    ordered,
)
from .measurement import MeasurementError
from .pattern import Pattern, PatternError, read_pattern
from .shapes import shown

_MAX_QUERY = 2000
# So many values may pass one step of a path: [0,0][0,0] multiplies.
_MAX_VALUES = 5_000_000
_SHOWN_KEYS = 5


class _PathError(ValueError):
    """Why a path cannot be read, as a clause."""


# ------------------------------------------------------------------ selectors


@dataclass(frozen=True)
class _Keys:
    names: tuple[str, ...]

    def hits(self, value: t.Any) -> t.Iterable[t.Any]:
        if not isinstance(value, dict):
            return ()
        return [value[name] for name in self.names if name in value]


@dataclass(frozen=True)
class _Slice:
    start: int | None
    stop: int | None
    step: int | None

    def hits(self, value: t.Any) -> t.Iterable[t.Any]:
        if not isinstance(value, list):
            return ()
        return value[self.start : self.stop : self.step]


@dataclass(frozen=True)
class _Indexes:
    indexes: tuple[int, ...]

    def hits(self, value: t.Any) -> t.Iterable[t.Any]:
        if not isinstance(value, list):
            return ()
        size = len(value)
        return [value[index] for index in self.indexes if -size <= index < size]


@dataclass(frozen=True)
class _Wildcard:
    def hits(self, value: t.Any) -> t.Iterable[t.Any]:
        return _children(value)


@dataclass(frozen=True)
class _Descent:
    """The value and all that it holds, however deep; only what holds something."""

    def hits(self, value: t.Any) -> t.Iterable[t.Any]:
        # No recursion: what a server sends may be nested deeper than Python's stack.
        waiting = [value]
        while waiting:
            each = waiting.pop()
            inner = _children(each)
            if inner:
                yield each
                waiting.extend(reversed(inner))


@dataclass(frozen=True)
class _Filter:
    """The elements of which something holds, or in which something exists."""

    left: _Path
    # Empty: it exists.
    operator: str
    # A string, a number, a bool, a Pattern, or a path from the element.
    right: t.Any

    def hits(self, value: t.Any) -> t.Iterable[t.Any]:
        if not isinstance(value, list):
            return ()
        budget = Budget()
        return [each for each in value if self._fits(each, budget)]

    def _fits(self, element: t.Any, budget: Budget) -> bool:
        left = _walk(element, self.left).found
        right = [self.right]
        if isinstance(self.right, tuple):
            right = _walk(element, self.right).found
        if not left or not right:
            return False
        return not self.operator or _compare(self.operator, left[0], right[0], budget)


_Selector: t.TypeAlias = "_Keys | _Slice | _Indexes | _Wildcard | _Descent | _Filter"


@dataclass(frozen=True)
class _Step:
    text: str
    selector: _Selector


_Path: t.TypeAlias = "tuple[_Step, ...]"


def _children(value: t.Any) -> list[t.Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _compare(operator: str, left: t.Any, right: t.Any, budget: Budget) -> bool:
    """Whether it holds; values of different kinds are different and have no order."""
    if isinstance(right, Pattern):
        if not isinstance(left, str):
            return False
        budget.spend(right.cost(left))
        return right.found_in(left)
    kind = kind_of(left)
    alike = kind == kind_of(right) and kind in (BOOL, NUMBER, STRING)
    if operator in ("==", "!="):
        return (alike and left == right) == (operator == "==")
    return alike and kind != BOOL and ordered(operator, left, right)


# --------------------------------------------------------------------- parser

_BLANK = re.compile(r"\s*")
_FIELD = re.compile(r"(?:\\.|[^\s.,\[\]${}@\\()'\"=<>!~])+")
_INTEGER = re.compile(r"-?[0-9]{1,9}")
_SLICE = re.compile(
    r"\s*(-?[0-9]{1,9})?\s*:\s*(-?[0-9]{1,9})?\s*(?::\s*([0-9]{1,9})?\s*)?"
)
_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"")
_OPERATOR = re.compile(r"\s*(==|!=|<=|>=|=~|<|>)\s*")
_NUMBER = re.compile(r"[-+]?[0-9]{1,300}(\.[0-9]{1,300})?")


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def path(self) -> _Path:
        # The root.
        self._take("$") or self._take("@")
        steps = self._steps()
        if self._at < len(self._text):
            raise self._unexpected("a step such as .name, [0] or ['name']")
        if [type(step.selector) for step in steps].count(_Descent) > 1:
            raise _PathError("'..' can stand in it only once")
        return steps

    def _unexpected(self, expected: str) -> _PathError:
        rest = self._text[self._at : self._at + 12]
        place = f"near {rest!r}" if rest else "at its end"
        return _PathError(f"{place}: expected {expected}")

    def _take(self, expected: str) -> bool:
        if not self._text.startswith(expected, self._at):
            return False
        self._at += len(expected)
        return True

    def _expect(self, expected: str) -> None:
        self._match(_BLANK)
        if not self._take(expected):
            raise self._unexpected(f"the closing {expected}")

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.match(self._text, self._at)
        if match:
            self._at = match.end()
        return match

    def _steps(self) -> _Path:
        steps: list[_Step] = []
        while self._text.startswith((".", "["), self._at):
            start = self._at
            if self._take(".."):
                steps.append(_Step("..", _Descent()))
                if self._text.startswith("[", self._at):
                    continue
                selector = self._field()
            else:
                selector = self._field() if self._take(".") else self._bracket()
            steps.append(_Step(self._text[start : self._at], selector))
        return tuple(steps)

    def _field(self) -> _Selector:
        if self._take("*"):
            return _Wildcard()
        match = self._match(_FIELD)
        if not match:
            raise self._unexpected("the name of a field, or *")
        return _Keys((_without_backslashes(match.group()),))

    def _bracket(self) -> _Selector:
        self._take("[")
        if self._take("?("):
            return self._filter()
        selector: _Selector
        sliced = self._match(_SLICE)
        if sliced:
            selector = _Slice(*(int(g) if g else None for g in sliced.groups()))
            if selector.step == 0:
                raise _PathError("the step of a slice must not be 0")
        else:
            selector = _Wildcard() if self._take("*") else self._union()
        self._expect("]")
        return selector

    def _union(self) -> _Selector:
        items = [self._union_item()]
        while self._take(","):
            items.append(self._union_item())
        names = tuple(item for item in items if isinstance(item, str))
        indexes = tuple(item for item in items if isinstance(item, int))
        if names and indexes:
            raise _PathError("names and numbers cannot stand in the same brackets")
        return _Keys(names) if names else _Indexes(indexes)

    def _union_item(self) -> str | int:
        self._match(_BLANK)
        item: str | int | None = self._quoted()
        if item is None:
            number = self._match(_INTEGER)
            if not number:
                raise self._unexpected("a number, a quoted name, * or ?(...)")
            item = int(number.group())
        self._match(_BLANK)
        return item

    def _quoted(self) -> str | None:
        match = self._match(_QUOTED)
        if not match:
            return None
        return _without_backslashes(match.group()[1:-1])

    def _filter(self) -> _Selector:
        self._match(_BLANK)
        left = self._inner_path()
        operator, right = "", None
        match = self._match(_OPERATOR)
        if match:
            operator = match.group(1)
            right = self._pattern() if operator == "=~" else self._operand()
        self._expect(")")
        self._expect("]")
        return _Filter(left, operator, right)

    def _inner_path(self) -> _Path:
        if not self._take("@"):
            raise self._unexpected("a path from the element, such as @.name")
        steps = self._steps()
        # They would multiply the work.
        if any(isinstance(step.selector, (_Filter, _Descent)) for step in steps):
            raise _PathError("a filter cannot contain another filter or '..'")
        return steps

    def _operand(self) -> t.Any:
        quoted = self._quoted()
        if quoted is not None:
            return quoted
        if self._text.startswith("@", self._at):
            return self._inner_path()
        for word, value in (("true", True), ("false", False)):
            if self._take(word):
                return value
        number = self._match(_NUMBER)
        if not number:
            raise self._unexpected("a quoted text, a number, true, false or @.name")
        return float(number.group()) if number.group(1) else int(number.group())

    def _pattern(self) -> Pattern:
        quoted = self._quoted()
        if quoted is None:
            raise self._unexpected("a quoted pattern")
        try:
            return read_pattern(quoted)
        except PatternError as error:
            raise _PathError(f"the pattern cannot be used: {error}") from None


def _without_backslashes(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _read_path(path: str) -> _Path:
    text = path.strip()
    if len(text) > _MAX_QUERY:
        raise _PathError(f"it has more than {_MAX_QUERY} characters")
    if text.startswith("{") != text.endswith("}"):
        raise _PathError("it must be one path, such as {$.data.value}")
    if text.startswith("{"):
        text = text[1:-1].strip()
    if not text:
        raise _PathError("it is empty; write {$} for the whole response")
    if not text.startswith(("$", ".", "[", "@")):
        raise _PathError("it must begin with $, such as {$.data.value}")
    return _Parser(text).path()


# ----------------------------------------------------------------------- walk


@dataclass
class _Walk:
    found: list[t.Any]
    # Where nothing was found: the step, and the values that stood before it.
    step: _Step | None = None
    before: t.Sequence[t.Any] = ()


def _walk(document: t.Any, path: _Path) -> _Walk:
    values = [document]
    for step in path:
        before = values
        hits = (hit for value in before for hit in step.selector.hits(value))
        values = list(islice(hits, _MAX_VALUES + 1))
        if len(values) > _MAX_VALUES:
            raise _PathError(
                f"more than {_MAX_VALUES:,} values pass {step.text}; write a path to"
                " fewer"
            )
        if not values:
            return _Walk([], step, before)
    return _Walk(values)


def by_json_path(document: t.Any, path: str) -> t.Any:
    """The first hit of a path, such as ``{$.data.ok}``, in a parsed JSON document.

    :param path: Kubernetes' JSONPath; the braces may be left out.
    :returns: the value, which may be None where the document holds null.
    :raises MeasurementError: the path is wrong, or nothing is there; it says which
        step found nothing.
    """
    try:
        walk = _walk(document, _read_path(path))
        if walk.step is None:
            return walk.found[0]
        clause = (
            f"the step {shown(walk.step.text)} finds nothing in"
            f" {_described(walk.before)} of the response; correct the path"
        )
    except (_PathError, Fault) as error:
        clause = str(error)
    raise MeasurementError(f"jsonPath {shown(path)}: {clause}.")


def json_path_problem(path: str) -> str | None:
    """What is wrong with the syntax of a JSONPath, as one clause; none if it is right.

    Replace placeholders before: they are no part of the syntax.
    """
    try:
        _read_path(path)
    except _PathError as error:
        return str(error)
    return None


def _described(values: t.Sequence[t.Any]) -> str:
    if len(values) > 1:
        return f"any of {len(values)} values"
    value = values[0] if values else None
    if isinstance(value, dict):
        return f"an object with {_shown_keys(value)}"
    if isinstance(value, list):
        return f"an array of {len(value)}"
    return "null" if value is None else f"a {kind_of(value)}"


def _shown_keys(mapping: dict[str, t.Any]) -> str:
    if not mapping:
        return "no fields"
    keys = [shown(str(key)) for key in islice(mapping, _SHOWN_KEYS)]
    more = f" and {len(mapping) - len(keys)} more" if len(mapping) > len(keys) else ""
    return f"the fields {', '.join(keys)}{more}"


# ------------------------------------------------------------------- JMESPath

_MISSING = (
    "the Python library jmespath is needed for JMESPath and is not installed; run"
    " 'pip install jmespath' for the Python that runs the module"
)
# The library's own errors are ValueErrors; its functions also let through what Python
# raises for NaN, Inf, and texts nested deeper than its stack.
_JMESPATH_ERRORS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


def by_jmespath(document: t.Any, query: str) -> t.Any:
    """What a JMESPath query gives in a parsed JSON document; None if nothing is there.

    :raises MeasurementError: the query is wrong or fails, or the library is missing.
    """
    problem = jmespath_problem(query)
    if problem is None:
        try:
            return _deps.jmespath.search(query, document)
        except _JMESPATH_ERRORS as error:
            problem = _one_line(error)
    raise MeasurementError(f"JMESPath query {shown(query)}: {problem}.")


def jmespath_problem(query: str) -> str | None:
    """What is wrong with a JMESPath query, as one clause; none if it is right."""
    if _deps.jmespath is None:
        return _MISSING
    if len(query) > _MAX_QUERY:
        return f"it has more than {_MAX_QUERY} characters"
    try:
        _deps.jmespath.compile(query)
    except _JMESPATH_ERRORS as error:
        return _one_line(error)
    return None


def _one_line(error: Exception) -> str:
    """The library's message, without its drawing of the place and without values."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, _deps.jmespath.exceptions.JMESPathTypeError):
        expected = " or ".join(error.expected_types)
        return f"{error.function_name}() takes {expected}, and got {error.actual_type}"
    first = str(error).partition("\n")[0].strip(" .:")
    return first if len(first) <= 200 else f"{first[:197]}..."
