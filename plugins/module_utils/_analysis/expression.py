# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The conditions that judge a measurement, in the language of Argo Rollouts.

It is expr-lang's, without what a condition has no use for: variables, ranges, pipes,
methods, dates. A condition is read once into a tree and judged any number of times.
Neither can fail with anything but :class:`ExpressionError`, whatever was written or
measured.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from .._errors import BluegreenError
from .expression_functions import FUNCTIONS, PREDICATE_FUNCTIONS
from .expression_tree import (
    ARITHMETIC,
    COMPARISONS,
    ORDERINGS,
    Arithmetic,
    Array,
    Call,
    Coalesce,
    Comparison,
    Conditional,
    Element,
    Index,
    Literal,
    Logic,
    Map,
    Node,
    Operand,
    Operation,
    Path,
    Power,
    PredicateCall,
    Result,
    Run,
    Slice,
    Unary,
    pattern_of,
)
from .expression_values import Fault, truth
from .extraction import jmespath_problem
from .shapes import did_you_mean, shown

MAX_TEXT = 10_000
MAX_NESTING = 50

_SHOWN_PLACE = 16


class ExpressionError(BluegreenError):
    """A condition is wrong, or cannot be judged: one sentence with the place."""


@dataclass(frozen=True)
class Expression:
    """A condition that was read."""

    text: str
    # The condition itself deals with an answer without data: it uses default(),
    # isNil(), len(), count(), ``??``, ``?.`` or nil.
    handles_no_data: bool
    root: Node

    def judge(self, result: t.Any) -> bool:
        """Whether the condition holds for a measured value.

        :param result: plain JSON data; NaN and Inf as floats.
        :raises ExpressionError: it cannot be said: a step fails, or what comes out is
            neither true nor false.
        """
        try:
            return truth(self.root.evaluate(Run(result)), "a condition")
        except Fault as fault:
            raise ExpressionError(_sentence(self.text, fault)) from None
        except RecursionError:
            raise ExpressionError(_sentence(self.text, _TOO_DEEP)) from None


def parse(text: str) -> Expression:
    """Read a condition.

    :raises ExpressionError: it is wrong, too long or nested too deeply.
    """
    try:
        if len(text) > MAX_TEXT:
            raise Fault(f"a condition has at most {MAX_TEXT:,} characters")
        return _Parser(text).parse()
    except Fault as fault:
        raise ExpressionError(_sentence(text, fault)) from None
    except RecursionError:
        raise ExpressionError(_sentence(text, _TOO_DEEP)) from None


_TOO_DEEP = Fault(f"it is nested more than {MAX_NESTING} levels deep")


def _sentence(text: str, fault: Fault) -> str:
    if fault.place is None:
        return f"{shown(text)}: {fault.clause}."
    near = text[fault.place : fault.place + _SHOWN_PLACE].strip()
    if not near:
        return f"{shown(text)} at its end: {fault.clause}."
    place = f"at character {fault.place + 1} near {near!r}"
    return f"{shown(text)} {place}: {fault.clause}."


# --------------------------------------------------------------------- tokens

_NUMBER, _STRING, _NAME, _OPERATOR, _END = "number", "string", "name", "operator", "end"

_TOKEN = re.compile(
    r"""
    (?P<skip> \s+ | //[^\n]* | /\*.*?\*/ )
    | (?P<number>
        0[xX][0-9a-fA-F_]+ | 0[bB][01_]+ | 0[oO][0-7_]+
        | (?: [0-9][0-9_]* (?: \.[0-9][0-9_]* )? | \.[0-9][0-9_]* )
          (?: [eE][+-]?[0-9]+ )?
      )
    | (?P<string>
        "(?: [^"\\\n] | \\[^\n] )*" | '(?: [^'\\\n] | \\[^\n] )*' | `[^`]*`
      )
    | (?P<name> [^\W0-9]\w* )
    | (?P<operator>
        \?\.(?![0-9]) | \?\? | \*\* | \.\. | [=!<>]=? | &&? | \|\|?
        | /(?!\*) | [-+*%^?:,.()\[\]{}#;@$~]
      )
    """,
    re.VERBOSE | re.DOTALL,
)
_WORD_OPERATORS = frozenset(
    ("and", "or", "not", "in", "contains", "startsWith", "endsWith", "matches")
)
_KEYWORDS = ("let", "if", "else")
_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))",
    re.DOTALL,
)
_ESCAPED = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    "'": "'",
    '"': '"',
    "`": "`",
    "?": "?",
}
_UNKNOWN_OPERATORS = {
    "=": "= is no operator; write == to compare",
    "&": "& is no operator; write && or and",
    "|": "pipes are not supported; write the call as f(x), or || for or",
    "..": "ranges are not supported",
    ";": "variables are not supported; write one expression",
    "@": "@ has no meaning here; the measured value is called result",
    "$": "$ has no meaning here; the measured value is called result",
    "~": "~ is no operator; write matches for a pattern",
}


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    place: int


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if not match or match.lastgroup is None:
            raise _unreadable(text, place)
        if match.lastgroup != "skip":
            tokens.append(_token(match, tokens))
        place = match.end()
    tokens.append(_Token(_END, "", len(text)))
    return tokens


def _token(match: re.Match[str], before: list[_Token]) -> _Token:
    kind, text, place = match.lastgroup or "", match.group(), match.start()
    if text in _UNKNOWN_OPERATORS:
        raise Fault(_UNKNOWN_OPERATORS[text], place)
    is_field = bool(before) and before[-1].text in (".", "?.")
    if kind == _NAME and not is_field:
        if text in _KEYWORDS:
            raise Fault(f"{text} is not supported; write one expression", place)
        if text in _WORD_OPERATORS:
            kind = _OPERATOR
    return _Token(kind, text, place)


def _unreadable(text: str, place: int) -> Fault:
    if text[place] in "\"'`":
        return Fault("the string is not closed on its line", place)
    if text.startswith("/*", place):
        return Fault("the comment is not closed", place)
    return Fault("this character has no meaning here", place)


def _number(token: _Token) -> int | float:
    digits = token.text.replace("_", "").lower()
    number: int | float = 0
    if digits[:2] in ("0x", "0b", "0o"):
        if len(digits) > 2:
            number = int(digits, 0)
    elif "." in digits or "e" in digits:
        number = float(digits)
    else:
        # Python refuses to read thousands of digits as a whole number.
        number = int(digits) if len(digits) < 20 else 2**63
    if len(digits) == 2 and digits[1] in "xbo":
        raise Fault("the number has no digits", token.place)
    if number in (float("inf"), float("-inf")) or (
        isinstance(number, int) and number >= 2**63
    ):
        raise Fault("the number is too large", token.place)
    return number


def _string(token: _Token) -> str:
    inner = token.text[1:-1]
    if token.text[0] == "`":
        return inner

    def character(match: re.Match[str]) -> str:
        *codes, octal, other = match.groups()
        code = next((int(c, 16) for c in codes if c), None)
        if octal:
            code = int(octal, 8)
        if code is None:
            if other not in _ESCAPED:
                raise Fault(f"\\{other} is no escape sequence", token.place)
            return _ESCAPED[other]
        # Surrogates are no characters: they could not be written to any output.
        if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
            raise Fault("an escape sequence gives no character", token.place)
        return chr(code)

    return _ESCAPE.sub(character, inner)


# --------------------------------------------------------------------- parser

_OR, _AND, _COMPARE, _ADD, _NOT, _MULTIPLY, _SIGN, _POWER, _COALESCE = (
    10,
    15,
    20,
    30,
    50,
    60,
    90,
    100,
    500,
)
_RANKS: dict[str, int] = {
    "or": _OR,
    "||": _OR,
    "and": _AND,
    "&&": _AND,
    "not": _COMPARE,
    **dict.fromkeys(COMPARISONS, _COMPARE),
    "+": _ADD,
    "-": _ADD,
    "*": _MULTIPLY,
    "/": _MULTIPLY,
    "%": _MULTIPLY,
    "**": _POWER,
    "^": _POWER,
    "??": _COALESCE,
}
_PREFIXES = {"not": _NOT, "!": _NOT, "-": _SIGN, "+": _SIGN}
_NEGATABLE = ("in", "contains", "startsWith", "endsWith", "matches")
_CONSTANTS: dict[str, t.Any] = {"true": True, "false": False, "nil": None}
_SEES_NO_DATA = ("default", "isNil", "len", "count")


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._index = 0
        self._nesting = 0
        self._predicates = 0
        # How many nodes were made: what a predicate costs for each element.
        self._nodes = 0
        self._handles_no_data = False

    def parse(self) -> Expression:
        if self._current.kind == _END:
            raise Fault("a condition is expected, such as result < 0.05")
        root = self._expression()
        if self._current.kind != _END:
            raise self._unexpected("an operator or the end")
        return Expression(self._text, self._handles_no_data, root)

    # Tokens

    @property
    def _current(self) -> _Token:
        return self._tokens[self._index]

    def _next(self) -> _Token:
        token = self._current
        self._index += 1
        return token

    def _is(self, *operators: str) -> bool:
        token = self._current
        return token.kind == _OPERATOR and token.text in operators

    def _take(self, operator: str) -> bool:
        if not self._is(operator):
            return False
        self._index += 1
        return True

    def _expect(self, operator: str) -> None:
        if not self._take(operator):
            raise self._unexpected(operator)

    def _unexpected(self, expected: str) -> Fault:
        token = self._current
        found = "the end" if token.kind == _END else token.text[:_SHOWN_PLACE]
        return Fault(f"expected {expected}, found {found}", token.place)

    # Expressions

    def _expression(self) -> Node:
        self._deeper()
        condition = self._ranked(0)
        place = self._current.place
        if self._take("?"):
            then = self._expression()
            self._expect(":")
            condition = Conditional(condition, then, self._expression(), place)
        self._nesting -= 1
        return condition

    def _deeper(self) -> None:
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise Fault(_TOO_DEEP.clause, self._current.place)

    def _ranked(self, least: int) -> Node:
        """What operators of that rank and above hold together."""
        left = self._prefixed()
        coalesced = False
        while True:
            rank = self._rank()
            if rank is None or rank < least:
                return left
            if coalesced:
                raise Fault(
                    "what ?? gives needs brackets before another operator, such as"
                    " (result ?? 0) < 1",
                    self._current.place,
                )
            coalesced = rank == _COALESCE
            left = self._combined(left, rank)
            self._nodes += 1

    def _rank(self) -> int | None:
        token = self._current
        return _RANKS.get(token.text) if token.kind == _OPERATOR else None

    def _combined(self, left: Node, rank: int) -> Node:
        if rank in (_OR, _AND):
            return self._logic(left, rank)
        if rank == _COMPARE:
            return Comparison(left, self._operands(rank, COMPARISONS))
        if rank == _POWER:
            place = self._next().place
            self._deeper()
            power = Power(left, self._ranked(rank), place)
            self._nesting -= 1
            return power
        if rank == _COALESCE:
            return self._coalesce(left)
        return Arithmetic(left, self._operands(rank, ARITHMETIC))

    def _logic(self, left: Node, rank: int) -> Node:
        operator = self._current
        operands = [(left, operator.place)]
        while self._rank() == rank:
            place = self._next().place
            operands.append((self._ranked(rank + 1), place))
        return Logic(operator.text, rank == _OR, tuple(operands))

    def _operands(
        self, rank: int, operations: t.Mapping[str, Operation]
    ) -> tuple[Operand, ...]:
        operands: list[Operand] = []
        chains = False
        while self._rank() == rank:
            token = self._next()
            negated = token.text == "not"
            if negated:
                if not self._is(*_NEGATABLE):
                    raise self._unexpected(f"one of {', '.join(_NEGATABLE)} after not")
                token = self._next()
            node = self._operand(token, rank)
            chained = chains and token.text in ORDERINGS
            operation = operations[token.text]
            operands.append(Operand(operation, node, token.place, negated, chained))
            chains = token.text in ORDERINGS
        return tuple(operands)

    def _operand(self, operator: _Token, rank: int) -> Node:
        place = self._current.place
        node = self._ranked(rank + 1)
        return _with_pattern_read(node, place) if operator.text == "matches" else node

    def _coalesce(self, left: Node) -> Node:
        self._handles_no_data = True
        operands = [left]
        while self._take("??"):
            operands.append(self._ranked(_COALESCE + 1))
        return Coalesce(tuple(operands))

    def _prefixed(self) -> Node:
        if not self._is(*_PREFIXES):
            return self._path()
        token = self._next()
        self._deeper()
        operand = self._ranked(_PREFIXES[token.text])
        self._nesting -= 1
        self._nodes += 1
        return Unary(token.text, operand, token.place)

    # Paths

    def _path(self) -> Node:
        base = self._primary()
        self._nodes += 1
        steps: list[Index | Slice] = []
        while self._is(".", "?.", "["):
            optional = self._is("?.")
            self._handles_no_data |= optional
            steps.append(self._step(optional))
            self._nodes += 1
        return Path(base, tuple(steps)) if steps else base

    def _step(self, optional: bool) -> Index | Slice:
        token = self._current
        if self._take("[") or (self._take("?.") and self._take("[")):
            return self._bracket(token.place, optional)
        self._take(".")
        name = self._current
        if name.kind != _NAME:
            raise self._unexpected("the name of a field")
        self._next()
        if self._is("("):
            raise Fault("values have no methods", name.place)
        return Index(Literal(name.text), token.place, optional)

    def _bracket(self, place: int, optional: bool) -> Index | Slice:
        start = None if self._is(":") else self._expression()
        if not self._take(":"):
            self._expect("]")
            return Index(t.cast(Node, start), place, optional)
        stop = None if self._is("]") else self._expression()
        self._expect("]")
        return Slice(start, stop, place, optional)

    # Primaries

    def _primary(self) -> Node:
        token = self._current
        if token.kind == _NUMBER:
            return Literal(_number(self._next()))
        if token.kind == _STRING:
            return Literal(_string(self._next()))
        if token.kind == _NAME:
            return self._named()
        if self._take("("):
            inner = self._expression()
            self._expect(")")
            return inner
        if self._take("["):
            return Array(tuple(self._items("]", self._expression)))
        if self._take("{"):
            return Map(tuple(self._items("}", self._pair)))
        if self._is("#", "."):
            return self._element()
        raise self._unexpected("a value")

    def _items(self, end: str, item: t.Callable[[], t.Any]) -> list[t.Any]:
        items: list[t.Any] = []
        while not self._take(end):
            if items:
                if not self._take(","):
                    raise self._unexpected(f", or {end}")
                if self._take(end):
                    break
            items.append(item())
        return items

    def _pair(self) -> tuple[str, Node]:
        key = self._current
        if key.kind not in (_NAME, _STRING, _NUMBER):
            raise self._unexpected("a key")
        self._next()
        self._expect(":")
        name = _string(key) if key.kind == _STRING else key.text
        return name, self._expression()

    def _element(self) -> Node:
        token = self._current
        if not self._predicates:
            raise Fault(
                f"{token.text} stands for an element, and only within a predicate,"
                " such as all(result, {# < 0.05})",
                token.place,
            )
        # The dot of .name is left for the path.
        if self._take("#") and self._current.kind == _NAME:
            raise self._unexpected("an operator after #; write .name for a field")
        return Element()

    def _named(self) -> Node:
        token = self._next()
        name = token.text
        if self._is("("):
            return self._call(token)
        if name in _CONSTANTS:
            self._handles_no_data |= name == "nil"
            return Literal(_CONSTANTS[name])
        if name == "result":
            return Result()
        if name in FUNCTIONS or name in PREDICATE_FUNCTIONS:
            raise Fault(f"{name} is a function; write {name}(result)", token.place)
        raise Fault(
            f"there is no {name[:_SHOWN_PLACE]}; the measured value is called result",
            token.place,
        )

    # Calls

    def _call(self, token: _Token) -> Node:
        self._handles_no_data |= token.text in _SEES_NO_DATA
        if token.text in PREDICATE_FUNCTIONS:
            return self._predicate_call(token)
        if token.text not in FUNCTIONS:
            known = sorted({*FUNCTIONS, *PREDICATE_FUNCTIONS})
            hint = did_you_mean(token.text, known) or f"; there are {', '.join(known)}"
            raise Fault(
                f"there is no function {token.text[:_SHOWN_PLACE]}(){hint}",
                token.place,
            )
        self._expect("(")
        arguments = tuple(self._items(")", self._expression))
        function = FUNCTIONS[token.text]
        most = function.most
        if len(arguments) < function.least or (most and len(arguments) > most):
            raise Fault(
                f"{token.text}() takes {_count(function.least, most)}, and got"
                f" {len(arguments)}",
                token.place,
            )
        if token.text == "jmespath":
            _check_query(arguments[1], token.place)
        return Call(function, arguments, token.place)

    def _predicate_call(self, token: _Token) -> Node:
        function = PREDICATE_FUNCTIONS[token.text]
        self._expect("(")
        items = self._expression()
        predicate = None
        before = self._nodes
        if self._take(",") and not self._is(")"):
            predicate = self._predicate()
            self._take(",")
        if predicate is None and not function.optional:
            raise Fault(
                f"{token.text}() takes an array and a predicate, such as"
                f" {token.text}(result, {{# < 0.05}})",
                token.place,
            )
        self._expect(")")
        cost = self._nodes - before + 1
        return PredicateCall(token.text, function, items, predicate, cost, token.place)

    def _predicate(self) -> Node:
        braces = self._take("{")
        self._predicates += 1
        predicate = self._expression()
        self._predicates -= 1
        if braces:
            self._expect("}")
        return predicate


def _with_pattern_read(node: Node, place: int) -> Node:
    """A pattern that is written in the condition is read, and refused, at once."""
    if not isinstance(node, Literal):
        return node
    try:
        return Literal(pattern_of(node.value))
    except Fault as fault:
        raise Fault(fault.clause, place) from None


def _check_query(query: Node, place: int) -> None:
    # Not from what was measured: no server may choose the work that is done.
    if not isinstance(query, Literal) or not isinstance(query.value, str):
        raise Fault("jmespath() takes its query as a quoted text", place)
    problem = jmespath_problem(query.value)
    if problem is not None:
        raise Fault(f"the JMESPath query cannot be used: {problem}", place)


def _count(least: int, most: int | None) -> str:
    if most is None:
        return f"at least {least} argument"
    span = str(least) if least == most else f"{least} or {most}"
    return f"{span} argument{'s' if most > 1 else ''}"
