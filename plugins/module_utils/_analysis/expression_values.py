# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The values of a condition: their kinds, and what the operators do with them.

Numbers behave as in Go: whole numbers have 64 bits, ``/`` and ``**`` give floating
point, a division by zero gives Inf or NaN, and NaN compares false.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import math
import typing as t

NIL = "nil"
BOOL = "bool"
NUMBER = "number"
STRING = "string"
ARRAY = "array"
MAP = "map"

_PHRASES = {
    NIL: "nil (no value)",
    BOOL: "a bool",
    NUMBER: "a number",
    STRING: "a string",
    ARRAY: "an array",
    MAP: "a map",
}

_LEAST_INT, _MOST_INT = -(2**63), 2**63 - 1

# About five seconds of work; a million measured values take a quarter of it, or less.
STEPS = 20_000_000
_CHARACTERS_A_STEP = 16


class Fault(Exception):
    """What is wrong with a condition, as a clause; the place is filled in above."""

    def __init__(self, clause: str, place: int | None = None) -> None:
        super().__init__(clause)
        self.clause = clause
        self.place = place


class Budget:
    """How much work one judgement may still do.

    A condition has no loops, but predicates within predicates multiply; a judgement
    without end would hold the release up, and no limit of a metric ends it.
    """

    def __init__(self, steps: int = STEPS) -> None:
        self._left = steps

    def spend(self, steps: int) -> None:
        """Count work that is about to be done.

        :raises Fault: it is more than is left.
        """
        self._left -= steps
        if self._left < 0:
            raise Fault(
                "this is too much work for one measurement; let the query of the"
                " metric give fewer values"
            )

    def spend_on(self, value: t.Any) -> None:
        """Count work that goes once through the value.

        :raises Fault: it is more than is left.
        """
        if isinstance(value, str):
            self.spend(len(value) // _CHARACTERS_A_STEP + 1)
        elif isinstance(value, (list, tuple, dict)):
            self.spend(len(value) + 1)


def kind_of(value: t.Any) -> str:
    """Which of the six kinds a value is.

    :raises Fault: it is no JSON value.
    """
    # bool first: in Python it is a number, too.
    if isinstance(value, bool):
        return BOOL
    if isinstance(value, (int, float)):
        return NUMBER
    if isinstance(value, str):
        return STRING
    if value is None:
        return NIL
    if isinstance(value, (list, tuple)):
        return ARRAY
    if isinstance(value, dict):
        return MAP
    raise Fault(f"a value of the Python type {type(value).__name__} is no JSON value")


def described(value: t.Any) -> str:
    """The kind of a value with its article; never the value, it may be a secret."""
    return _PHRASES[kind_of(value)]


def number(value: t.Any, wanted_by: str) -> int | float:
    """The value as a number; a whole number beyond 64 bits becomes floating point.

    :raises Fault: it is no number.
    """
    # The common case first: this runs a million times for a million values.
    if isinstance(value, float):
        return value
    if kind_of(value) != NUMBER:
        raise Fault(
            f"{wanted_by} needs a number, and this is {described(value)}"
            f"{_hint_for_number(value)}"
        )
    return _of_64_bits(value)


def _hint_for_number(value: t.Any) -> str:
    return {
        NIL: "; give a value for this case, such as default(result, 0)",
        STRING: "; convert it with asInt() or asFloat()",
        ARRAY: "; take one element, such as result[0], or use max() or all()",
        MAP: "; take one field, such as result.name",
    }.get(kind_of(value), "")


def _of_64_bits(value: int | float) -> int | float:
    if isinstance(value, float) or _LEAST_INT <= value <= _MOST_INT:
        return value
    return floating(value)


def floating(value: int | float) -> float:
    """The number as floating point; beyond its range it is infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def text(value: t.Any, wanted_by: str) -> str:
    """The value as a string.

    :raises Fault: it is none.
    """
    if isinstance(value, str):
        return value
    hint = "; convert it with string()" if kind_of(value) in (NUMBER, BOOL) else ""
    raise Fault(f"{wanted_by} needs a string, and this is {described(value)}{hint}")


def array(value: t.Any, wanted_by: str) -> t.Sequence[t.Any]:
    """The value as an array.

    :raises Fault: it is none.
    """
    if isinstance(value, (list, tuple)):
        return value
    raise Fault(f"{wanted_by} needs an array, and this is {described(value)}")


def truth(value: t.Any, wanted_by: str) -> bool:
    """The value as a bool.

    :raises Fault: it is none.
    """
    if isinstance(value, bool):
        return value
    hint = "; compare it with something" if kind_of(value) != NIL else ""
    raise Fault(
        f"{wanted_by} needs true or false, and this is {described(value)}{hint}"
    )


def whole(value: t.Any, wanted_by: str) -> int:
    """The value as a whole number; 2.0 is one, 2.5 is none.

    :raises Fault: it is none.
    """
    given = number(value, wanted_by)
    if isinstance(given, int):
        return given
    if given.is_integer():
        return int(given)
    raise Fault(f"{wanted_by} needs a whole number")


# ---------------------------------------------------------------- comparisons


def equal(left: t.Any, right: t.Any, budget: Budget) -> bool:
    """Whether both are equal.

    :raises Fault: they are of different kinds, and neither is nil.
    """
    kinds = kind_of(left), kind_of(right)
    if kinds[0] != kinds[1] and NIL not in kinds:
        raise _incomparable("==", left, right)
    return same(left, right, budget)


def same(left: t.Any, right: t.Any, budget: Budget) -> bool:
    """Whether both are equal to the last leaf; values of different kinds are not."""
    # No recursion: what a server sends may be nested deeper than Python's stack.
    pairs = [(left, right)]
    while pairs:
        one, other = pairs.pop()
        budget.spend_on(one)
        kind = kind_of(one)
        if kind != kind_of(other):
            return False
        if kind == ARRAY:
            if len(one) != len(other):
                return False
            pairs.extend(zip(one, other, strict=True))
        elif kind == MAP:
            if one.keys() != other.keys():
                return False
            pairs.extend((one[key], other[key]) for key in one)
        elif one != other:
            return False
    return True


def _incomparable(operator: str, left: t.Any, right: t.Any) -> Fault:
    kinds = kind_of(left), kind_of(right)
    hint = ""
    if set(kinds) == {BOOL, STRING}:
        hint = "; write true and false without quotes"
    elif NUMBER in kinds or kinds[0] == kinds[1]:
        hint = _hint_for_number(right if kinds[0] == NUMBER else left)
    return Fault(
        f"{operator} cannot compare {described(left)} with {described(right)}{hint}"
    )


_ORDERS: dict[str, t.Callable[[t.Any, t.Any], bool]] = {
    "<": lambda left, right: bool(left < right),
    "<=": lambda left, right: bool(left <= right),
    ">": lambda left, right: bool(left > right),
    ">=": lambda left, right: bool(left >= right),
}


def ordered(operator: str, left: t.Any, right: t.Any) -> bool:
    """Whether ``<``, ``<=``, ``>`` or ``>=`` holds for two numbers or two strings.

    :raises Fault: they are something else.
    """
    # The common case first: this runs a million times for a million values.
    if isinstance(left, float) and isinstance(right, float):
        return _ORDERS[operator](left, right)
    kind = kind_of(left)
    if kind != kind_of(right) or kind not in (NUMBER, STRING):
        raise _incomparable(operator, left, right)
    return _ORDERS[operator](left, right)


def contained(needle: t.Any, haystack: t.Any, budget: Budget) -> bool:
    """Whether an array has such an element, or a map such a key.

    :raises Fault: the second value is neither.
    """
    kind = kind_of(haystack)
    if kind == ARRAY:
        budget.spend_on(haystack)
        return any(same(needle, element, budget) for element in haystack)
    if kind == MAP:
        return text(needle, "in, with a map on its right,") in haystack
    hint = "; use contains for a part of a string" if kind == STRING else ""
    raise Fault(
        f"in needs an array or a map on its right, and this is"
        f" {described(haystack)}{hint}"
    )


# ----------------------------------------------------------------- arithmetic


def plus(left: t.Any, right: t.Any, budget: Budget) -> t.Any:
    """The sum of two numbers, or two strings put together.

    :raises Fault: they are something else.
    """
    if isinstance(left, str) and isinstance(right, str):
        budget.spend_on(left)
        budget.spend_on(right)
        return left + right
    return _of_64_bits(number(left, "+") + number(right, "+"))


def minus(left: t.Any, right: t.Any, _budget: Budget) -> int | float:
    """The difference of two numbers.

    :raises Fault: one is none.
    """
    return _of_64_bits(number(left, "-") - number(right, "-"))


def times(left: t.Any, right: t.Any, _budget: Budget) -> int | float:
    """The product of two numbers.

    :raises Fault: one is none.
    """
    return _of_64_bits(number(left, "*") * number(right, "*"))


def divided(left: t.Any, right: t.Any, _budget: Budget) -> float:
    """The quotient, always floating point; Inf or NaN where the divisor is zero.

    :raises Fault: one is no number.
    """
    dividend, divisor = floating(number(left, "/")), floating(number(right, "/"))
    if divisor != 0:
        return dividend / divisor
    if dividend == 0 or math.isnan(dividend):
        return math.nan
    return math.copysign(1, dividend) * math.copysign(math.inf, divisor)


def remainder(left: t.Any, right: t.Any, _budget: Budget) -> int:
    """The remainder of two whole numbers; it has the sign of the first, as in Go.

    :raises Fault: one is no whole number, or the second is zero.
    """
    dividend, divisor = whole(left, "%"), whole(right, "%")
    if divisor == 0:
        raise Fault("% by zero has no result")
    rest = abs(dividend) % abs(divisor)
    return rest if dividend >= 0 else -rest


def power(left: t.Any, right: t.Any) -> float:
    """The power, always floating point; Inf or NaN where mathematics has none.

    :raises Fault: one is no number.
    """
    base, exponent = floating(number(left, "**")), floating(number(right, "**"))
    odd = exponent.is_integer() and exponent % 2 == 1
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return -math.inf if base < 0 and odd else math.inf
    except ValueError:
        if base == 0:
            return math.copysign(math.inf, base) if odd else math.inf
        return math.nan


def negated(value: t.Any) -> int | float:
    """The number with the other sign.

    :raises Fault: it is none.
    """
    return _of_64_bits(-number(value, "-"))
