# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Regular expressions whose work is bounded by their length times the text's.

Python's ``re`` backtracks: ``(a+)+$`` needs 2^n steps for n characters, and it holds
the interpreter's lock all the while, so that no time limit and no thread that renews
a Lease could run. No bound on lengths helps against that. A condition meets a text
that a server chose, so here all ways through the pattern are followed at once, as
Go's RE2 does, whose syntax this is: literals, ``.``, classes, anchors, groups,
alternatives and repetitions; no look-around, no back-references, no Unicode classes.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

_MAX_PATTERN = 1000
_MAX_STATES = 2000
_MAX_GROUPS = 30
# RE2's own.
_MAX_REPEAT = 1000

_DIGITS = (("0", "9"),)
_WORDS = (("0", "9"), ("A", "Z"), ("_", "_"), ("a", "z"))
_SPACES = (("\t", "\n"), ("\f", "\r"), (" ", " "))
_SHORTHANDS = {"d": _DIGITS, "w": _WORDS, "s": _SPACES}
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "a": "\a"}
_ASSERTIONS = {"b": "word", "B": "no word", "A": "begin", "z": "end"}

_Ranges: t.TypeAlias = "tuple[tuple[str, str], ...]"


class PatternError(ValueError):
    """Why a pattern cannot be used, as a clause."""


@dataclass(frozen=True)
class _Characters:
    ranges: _Ranges
    negated: bool = False
    any_case: bool = False

    def accept(self, character: str) -> bool:
        found = self._has(character)
        if self.any_case and not found:
            found = self._has(character.lower()) or self._has(character.upper())
        return found != self.negated

    def _has(self, character: str) -> bool:
        return any(low <= character <= high for low, high in self.ranges)


@dataclass(frozen=True)
class _Assertion:
    kind: str


@dataclass(frozen=True)
class _Sequence:
    parts: tuple[_Part, ...]


@dataclass(frozen=True)
class _Choice:
    options: tuple[_Part, ...]


@dataclass(frozen=True)
class _Repeat:
    part: _Part
    least: int
    # None: without end.
    most: int | None


_Part: t.TypeAlias = "_Characters | _Assertion | _Sequence | _Choice | _Repeat"


# --------------------------------------------------------------------- parser


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._groups = 0
        self._any_case = self._many_lines = self._dot_is_all = False

    def parse(self) -> _Part:
        self._flags()
        part = self._choice()
        if self._at < len(self._text):
            raise PatternError("it closes a bracket ) that was not opened")
        return part

    def _flags(self) -> None:
        end = self._text.find(")")
        flags = self._text[2:end]
        if not self._text.startswith("(?") or not flags or set(flags) - set("ims"):
            return
        self._any_case = "i" in flags
        self._many_lines = "m" in flags
        self._dot_is_all = "s" in flags
        self._at = end + 1

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _next(self) -> str:
        character = self._peek()
        if not character:
            raise PatternError("it ends in the middle")
        self._at += 1
        return character

    def _take(self, expected: str) -> bool:
        if not self._text.startswith(expected, self._at):
            return False
        self._at += len(expected)
        return True

    def _choice(self) -> _Part:
        options = [self._sequence()]
        while self._take("|"):
            options.append(self._sequence())
        return options[0] if len(options) == 1 else _Choice(tuple(options))

    def _sequence(self) -> _Part:
        parts = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._repeated(self._atom()))
        return _Sequence(tuple(parts))

    def _repeated(self, part: _Part) -> _Part:
        bounds = self._bounds()
        if bounds is None:
            return part
        # Lazy or greedy: where it matches does not matter, only whether.
        self._take("?")
        if self._bounds() is not None:
            raise PatternError("it repeats a repetition; write a group between them")
        return _Repeat(part, *bounds)

    def _bounds(self) -> tuple[int, int | None] | None:
        for sign, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._take(sign):
                return bounds
        start = self._at
        if not self._take("{"):
            return None
        end = self._text.find("}", start)
        least, comma, most = self._text[start + 1 : max(end, start)].partition(",")
        if end < 0 or not _is_count(least) or not (_is_count(most) or not most):
            # As in RE2, a brace that counts nothing stands for itself.
            self._at = start
            return None
        self._at = end + 1
        return _counted(least, comma, most)

    def _atom(self) -> _Part:
        character = self._next()
        if character == "(":
            return self._group()
        if character == "[":
            return self._class()
        if character == "\\":
            return self._escape()
        if character == ".":
            excluded = () if self._dot_is_all else (("\n", "\n"),)
            return _Characters(excluded, negated=True)
        if character in "^$":
            edge = "begin" if character == "^" else "end"
            return _Assertion(f"line {edge}" if self._many_lines else edge)
        if character in "*+?":
            raise PatternError(f"nothing stands before {character} to be repeated")
        return self._literal(character)

    def _literal(self, character: str) -> _Characters:
        return _Characters(((character, character),), any_case=self._any_case)

    def _group(self) -> _Part:
        self._groups += 1
        if self._groups > _MAX_GROUPS:
            raise PatternError(f"it has more than {_MAX_GROUPS} groups")
        if self._take("?") and not (self._take(":") or self._named()):
            raise PatternError(
                "(? begins something other than (?:...), (?P<name>...) or, at the"
                " very beginning, (?i), (?m) or (?s), which is not supported"
            )
        part = self._choice()
        if not self._take(")"):
            raise PatternError("a bracket ( is not closed")
        return part

    def _named(self) -> bool:
        if not (self._take("P<") or self._take("<")):
            return False
        name, end, _rest = self._text[self._at :].partition(">")
        self._at += len(name) + len(end)
        return name.isidentifier() and bool(end)

    def _escape(self) -> _Part:
        character = self._next()
        if character in _ASSERTIONS:
            return _Assertion(_ASSERTIONS[character])
        if character.lower() in _SHORTHANDS:
            return _Characters(_SHORTHANDS[character.lower()], character.isupper())
        return self._literal(_escaped(character))

    def _class(self) -> _Part:
        negated = self._take("^")
        ranges: list[tuple[str, str]] = []
        first = True
        while first or not self._take("]"):
            ranges += self._class_item()
            first = False
        return _Characters(tuple(ranges), negated, self._any_case)

    def _class_item(self) -> _Ranges:
        if self._text.startswith("[:", self._at):
            raise PatternError("classes such as [:alpha:] are not supported; write a-z")
        low = self._next()
        if low == "\\":
            low = self._next()
            if low in _SHORTHANDS:
                return _SHORTHANDS[low]
            low = _escaped(low)
        following = self._text[self._at : self._at + 2]
        if not following.startswith("-") or following in ("-", "-]"):
            return ((low, low),)
        self._next()
        high = self._next()
        if high == "\\":
            high = _escaped(self._next())
        if high < low:
            raise PatternError(f"the range {low}-{high} is the wrong way round")
        return ((low, high),)


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _counted(least: str, comma: str, most: str) -> tuple[int, int | None]:
    # Compared by length first: a count may have thousands of digits.
    if max(len(least), len(most)) > 4 or max(int(least), int(most or 0)) > _MAX_REPEAT:
        raise PatternError(f"it repeats something more than {_MAX_REPEAT} times")
    if most and int(most) < int(least):
        raise PatternError(f"{{{least},{most}}} repeats at most less than at least")
    if most:
        return int(least), int(most)
    return int(least), None if comma else int(least)


def _escaped(character: str) -> str:
    if character in _CONTROLS:
        return _CONTROLS[character]
    if character.isascii() and character.isalnum():
        raise PatternError(f"\\{character} is not supported")
    return character


# ------------------------------------------------------------------- program

_MATCH = -1


@dataclass
class _State:
    """One instruction: a test to pass, or none; then where to go on."""

    test: _Characters | _Assertion | None
    following: tuple[int, ...]


class _Program:
    """States in reverse order: each part is added with what follows it known."""

    def __init__(self) -> None:
        self.states: list[_State] = []
        self._added = 0

    def add(self, part: _Part, following: int) -> int:
        """Add the part, going on with that state; the state it begins with."""
        self._added += 1
        # Empty groups that are repeated add no state, and yet take time.
        if max(self._added, len(self.states)) > _MAX_STATES:
            raise PatternError("it is too large; repeat less")
        if isinstance(part, _Sequence):
            for each in reversed(part.parts):
                following = self.add(each, following)
            return following
        if isinstance(part, _Choice):
            begins = tuple(self.add(each, following) for each in part.options)
            return self._state(None, begins)
        if isinstance(part, _Repeat):
            return self._repeat(part, following)
        return self._state(part, (following,))

    def _repeat(self, repeat: _Repeat, following: int) -> int:
        if repeat.most is None:
            loop = self._state(None, ())
            begin = self.add(repeat.part, loop)
            self.states[loop].following = (begin, following)
            following = loop
        else:
            end = following
            for _time in range(repeat.most - repeat.least):
                following = self._state(None, (self.add(repeat.part, following), end))
        for _time in range(repeat.least):
            following = self.add(repeat.part, following)
        return following

    def _state(
        self, test: _Characters | _Assertion | None, following: tuple[int, ...]
    ) -> int:
        self.states.append(_State(test, following))
        return len(self.states) - 1


def _is_word(character: str) -> bool:
    return character == "_" or (character.isascii() and character.isalnum())


def _holds(kind: str, before: str, after: str) -> bool:
    if kind == "begin":
        return not before
    if kind == "end":
        return not after
    if kind == "line begin":
        return before in ("", "\n")
    if kind == "line end":
        return after in ("", "\n")
    return (_is_word(before) != _is_word(after)) == (kind == "word")


@dataclass(frozen=True)
class Pattern:
    """A pattern that was read."""

    states: tuple[_State, ...]
    begin: int

    def cost(self, text: str) -> int:
        """The most steps that the search in that text takes."""
        return (len(self.states) + 1) * (len(text) + 1)

    def found_in(self, text: str) -> bool:
        """Whether any part of the text matches; anchors ask for more."""
        active: set[int] = set()
        for before, after in zip(["", *text], [*text, ""], strict=True):
            reached = self._reach(active | {self.begin}, before, after)
            if _MATCH in reached:
                return True
            active = {
                following
                for index in reached
                for following in self._after(index, after)
            }
        return False

    def _reach(self, indexes: set[int], before: str, after: str) -> set[int]:
        """The states that are reached without another character."""
        reached: set[int] = set()
        waiting = list(indexes)
        while waiting:
            index = waiting.pop()
            if index in reached:
                continue
            reached.add(index)
            if index == _MATCH:
                break
            state = self.states[index]
            test = state.test
            if test is None or (
                isinstance(test, _Assertion) and _holds(test.kind, before, after)
            ):
                waiting.extend(state.following)
        return reached

    def _after(self, index: int, character: str) -> tuple[int, ...]:
        state = self.states[index]
        test = state.test
        if character and isinstance(test, _Characters) and test.accept(character):
            return state.following
        return ()


def read_pattern(text: str) -> Pattern:
    """Read a pattern in RE2's syntax.

    :raises PatternError: it is wrong, too large, or uses what is not supported.
    """
    if len(text) > _MAX_PATTERN:
        raise PatternError(f"it has more than {_MAX_PATTERN} characters")
    program = _Program()
    begin = program.add(_Parser(text).parse(), _MATCH)
    return Pattern(tuple(program.states), begin)
