# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A condition after it was read: nodes that give a value for a run.

What is written in a row, such as ``a && b && c`` or ``a.b[0].c``, is one node with
many parts: so the depth of a tree is that of its brackets, which the parser limits.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .expression_functions import Function, PredicateFunction, Test
from .expression_values import (
    ARRAY,
    MAP,
    NIL,
    STRING,
    Budget,
    Fault,
    array,
    contained,
    described,
    divided,
    equal,
    kind_of,
    minus,
    negated,
    number,
    ordered,
    plus,
    power,
    remainder,
    text,
    times,
    truth,
    whole,
)
from .pattern import Pattern, PatternError, read_pattern


@dataclass
class Run:
    """One judgement: what was measured, and the element that a predicate looks at."""

    result: t.Any
    element: t.Any = None
    budget: Budget = field(default_factory=Budget)


class Node(t.Protocol):
    """A part of a condition."""

    def evaluate(self, run: Run) -> t.Any:
        """The value of this part.

        :raises Fault: there is none.
        """


def _at(fault: Fault, place: int) -> Fault:
    """The fault with its place; the innermost is the most exact."""
    if fault.place is None:
        fault.place = place
    return fault


# --------------------------------------------------------------------- values


@dataclass(frozen=True)
class Literal:
    value: t.Any

    def evaluate(self, run: Run) -> t.Any:
        return self.value


@dataclass(frozen=True)
class Result:
    def evaluate(self, run: Run) -> t.Any:
        return run.result


@dataclass(frozen=True)
class Element:
    def evaluate(self, run: Run) -> t.Any:
        return run.element


@dataclass(frozen=True)
class Array:
    items: tuple[Node, ...]

    def evaluate(self, run: Run) -> t.Any:
        return [item.evaluate(run) for item in self.items]


@dataclass(frozen=True)
class Map:
    pairs: tuple[tuple[str, Node], ...]

    def evaluate(self, run: Run) -> t.Any:
        return {key: value.evaluate(run) for key, value in self.pairs}


# ---------------------------------------------------------------------- paths


@dataclass(frozen=True)
class Index:
    """``[0]``, ``["name"]`` and ``.name``."""

    key: Node
    place: int
    optional: bool = False

    def step(self, value: t.Any, run: Run) -> t.Any:
        key = self.key.evaluate(run)
        try:
            return _element_of(value, key)
        except Fault as fault:
            raise _at(fault, self.place) from None


@dataclass(frozen=True)
class Slice:
    """``[1:3]``; either end may be missing."""

    start: Node | None
    stop: Node | None
    place: int
    optional: bool = False

    def step(self, value: t.Any, run: Run) -> t.Any:
        bounds = [end.evaluate(run) if end else None for end in (self.start, self.stop)]
        try:
            start, stop = (
                None if end is None else whole(end, "a slice") for end in bounds
            )
            sliced = value if isinstance(value, str) else array(value, "a slice")
            run.budget.spend_on(sliced)
            return sliced[start:stop]
        except Fault as fault:
            raise _at(fault, self.place) from None


@dataclass(frozen=True)
class Path:
    """A value and the steps into it."""

    base: Node
    steps: tuple[Index | Slice, ...]

    def evaluate(self, run: Run) -> t.Any:
        value = self.base.evaluate(run)
        for step in self.steps:
            if step.optional and value is None:
                return None
            value = step.step(value, run)
        return value


def _element_of(value: t.Any, key: t.Any) -> t.Any:
    kind = kind_of(value)
    if kind == MAP:
        return value.get(text(key, "a map"))
    if kind in (ARRAY, STRING):
        return _indexed(value, key)
    hint = "; write ?. if it may be missing" if kind == NIL else ""
    raise Fault(f"{described(value)} has no elements or fields{hint}")


def _indexed(value: t.Any, key: t.Any) -> t.Any:
    if isinstance(key, str):
        hint = "; take an element first, [0]" if kind_of(value) == ARRAY else ""
        raise Fault(f"{described(value)} has no fields{hint}")
    index = whole(key, "[ ]")
    if not -len(value) <= index < len(value):
        raise Fault(
            f"{described(value)} of length {len(value)} has no such element; look at"
            " len() first"
        )
    return value[index]


# ------------------------------------------------------------------ operators

Operation: t.TypeAlias = "t.Callable[[t.Any, t.Any, Budget], t.Any]"


def _ordering(operator: str) -> Operation:
    return lambda left, right, _budget: ordered(operator, left, right)


def _on_texts(operator: str, holds: t.Callable[[str, str], bool]) -> Operation:
    def call(left: t.Any, right: t.Any, budget: Budget) -> bool:
        whole_text, part = text(left, operator), text(right, operator)
        budget.spend_on(whole_text)
        return holds(whole_text, part)

    return call


def _matches(left: t.Any, right: t.Any, budget: Budget) -> bool:
    searched = text(left, "matches")
    pattern = right if isinstance(right, Pattern) else pattern_of(right)
    budget.spend(pattern.cost(searched))
    return pattern.found_in(searched)


def pattern_of(value: t.Any) -> Pattern:
    """The right side of ``matches``.

    :raises Fault: it is no string, or no pattern.
    """
    try:
        return read_pattern(text(value, "matches"))
    except PatternError as error:
        raise Fault(f"the pattern cannot be used: {error}") from None


ORDERINGS: dict[str, Operation] = {
    operator: _ordering(operator) for operator in ("<", "<=", ">", ">=")
}
COMPARISONS: dict[str, Operation] = {
    **ORDERINGS,
    "==": equal,
    "!=": lambda left, right, budget: not equal(left, right, budget),
    "in": contained,
    "contains": _on_texts("contains", lambda left, right: right in left),
    "startsWith": _on_texts("startsWith", str.startswith),
    "endsWith": _on_texts("endsWith", str.endswith),
    "matches": _matches,
}

ARITHMETIC: dict[str, Operation] = {
    "+": plus,
    "-": minus,
    "*": times,
    "/": divided,
    "%": remainder,
}


@dataclass(frozen=True)
class Operand:
    """An operator and what stands on its right."""

    operation: Operation
    node: Node
    place: int
    # As in ``not in``.
    negated: bool = False
    # The ``< c`` of ``a < b < c``: it compares b.
    chained: bool = False

    def apply(self, left: t.Any, right: t.Any, run: Run) -> t.Any:
        try:
            return self.operation(left, right, run.budget)
        except Fault as fault:
            raise _at(fault, self.place) from None


@dataclass(frozen=True)
class Comparison:
    """Comparisons from left to right; of ``a < b < c`` each pair must hold."""

    first: Node
    others: tuple[Operand, ...]

    def evaluate(self, run: Run) -> t.Any:
        value = left = self.first.evaluate(run)
        for other in self.others:
            if other.chained and value is False:
                continue
            right = other.node.evaluate(run)
            compared = left if other.chained else value
            value = other.apply(compared, right, run) != other.negated
            left = right
        return value


@dataclass(frozen=True)
class Arithmetic:
    """Operators of one rank, from left to right."""

    first: Node
    others: tuple[Operand, ...]

    def evaluate(self, run: Run) -> t.Any:
        value = self.first.evaluate(run)
        for other in self.others:
            value = other.apply(value, other.node.evaluate(run), run)
        return value


@dataclass(frozen=True)
class Power:
    base: Node
    exponent: Node
    place: int

    def evaluate(self, run: Run) -> float:
        base, exponent = self.base.evaluate(run), self.exponent.evaluate(run)
        try:
            return power(base, exponent)
        except Fault as fault:
            raise _at(fault, self.place) from None


@dataclass(frozen=True)
class Logic:
    """``and`` and ``or``: what stands behind the deciding one is not looked at."""

    operator: str
    decisive: bool
    operands: tuple[tuple[Node, int], ...]

    def evaluate(self, run: Run) -> bool:
        for node, place in self.operands:
            value = node.evaluate(run)
            try:
                if truth(value, self.operator) == self.decisive:
                    return self.decisive
            except Fault as fault:
                raise _at(fault, place) from None
        return not self.decisive


@dataclass(frozen=True)
class Unary:
    operator: str
    operand: Node
    place: int

    def evaluate(self, run: Run) -> t.Any:
        value = self.operand.evaluate(run)
        try:
            if self.operator == "-":
                return negated(value)
            if self.operator == "+":
                return number(value, "+")
            return not truth(value, self.operator)
        except Fault as fault:
            raise _at(fault, self.place) from None


@dataclass(frozen=True)
class Coalesce:
    """``a ?? b``: the first that is not nil, else the last."""

    operands: tuple[Node, ...]

    def evaluate(self, run: Run) -> t.Any:
        value = None
        for operand in self.operands:
            value = operand.evaluate(run)
            if value is not None:
                break
        return value


@dataclass(frozen=True)
class Conditional:
    condition: Node
    then: Node
    otherwise: Node
    place: int

    def evaluate(self, run: Run) -> t.Any:
        value = self.condition.evaluate(run)
        try:
            holds = truth(value, "?")
        except Fault as fault:
            raise _at(fault, self.place) from None
        return (self.then if holds else self.otherwise).evaluate(run)


# ---------------------------------------------------------------------- calls


@dataclass(frozen=True)
class Call:
    function: Function
    arguments: tuple[Node, ...]
    place: int

    def evaluate(self, run: Run) -> t.Any:
        values = [argument.evaluate(run) for argument in self.arguments]
        try:
            return self.function.call(run.budget, *values)
        except Fault as fault:
            raise _at(fault, self.place) from None


@dataclass(frozen=True)
class PredicateCall:
    """``all(array, predicate)`` and the like."""

    name: str
    function: PredicateFunction
    items: Node
    predicate: Node | None
    # The nodes of the predicate.
    cost: int
    place: int

    def evaluate(self, run: Run) -> t.Any:
        value = self.items.evaluate(run)
        outer = run.element
        try:
            items = array(value, f"{self.name}()")
            run.budget.spend(len(items) * self.cost + 1)
            return self.function.call(items, self._test(run))
        except Fault as fault:
            raise _at(fault, self.place) from None
        finally:
            run.element = outer

    def _test(self, run: Run) -> Test:
        predicate = self.predicate
        if predicate is None:
            return lambda element: element

        def test(element: t.Any) -> t.Any:
            run.element = element
            return predicate.evaluate(run)

        return test
