# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The functions that a condition can call.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import math
import re
import statistics
import typing as t
from dataclasses import dataclass

from .expression_values import (
    ARRAY,
    NUMBER,
    Budget,
    Fault,
    array,
    described,
    floating,
    kind_of,
    number,
    text,
    truth,
)
from .extraction import by_jmespath
from .measurement import MeasurementError
from .shapes import shown

_INT = re.compile(r"[+-]?[0-9]{1,19}")
_FLOAT = re.compile(
    r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf(?:inity)?|nan)",
    re.IGNORECASE,
)

Test: t.TypeAlias = "t.Callable[[t.Any], t.Any]"


@dataclass(frozen=True)
class Function:
    """A function of values."""

    call: t.Callable[..., t.Any]
    least: int = 1
    # None: any number of arguments.
    most: int | None = 1


@dataclass(frozen=True)
class PredicateFunction:
    """A function of an array and of a predicate on its elements."""

    call: t.Callable[[t.Sequence[t.Any], Test], t.Any]
    # Without a predicate the elements themselves count.
    optional: bool = False


# ------------------------------------------------------------ no data, NaN, Inf


def is_without_data(value: t.Any) -> bool:
    """Whether a measurement had no data: nil, an empty array or an empty map."""
    return value is None or (isinstance(value, (list, tuple, dict)) and not value)


def _default(_budget: Budget, value: t.Any, otherwise: t.Any) -> t.Any:
    return otherwise if is_without_data(value) else value


def _is_nil(_budget: Budget, value: t.Any) -> bool:
    return is_without_data(value)


def _is_nan(_budget: Budget, value: t.Any) -> bool:
    return math.isnan(floating(number(value, "isNaN()")))


def _is_inf(_budget: Budget, value: t.Any) -> bool:
    return math.isinf(floating(number(value, "isInf()")))


# ------------------------------------------------------------------ conversions


def _as_int(_budget: Budget, value: t.Any) -> int:
    given = _read_int(value) if isinstance(value, str) else number(value, "asInt()")
    if isinstance(given, float) and not math.isfinite(given):
        raise Fault("asInt() cannot make a whole number of NaN or Inf")
    whole = number(int(given), "asInt()")
    if isinstance(whole, float):
        raise Fault("asInt() gives at most 64 bits, and this number has more")
    return whole


def _read_int(value: str) -> int:
    if not _INT.fullmatch(value):
        raise Fault(f"asInt() cannot read {shown(value)} as a whole number")
    return int(value)


def _as_float(_budget: Budget, value: t.Any) -> float:
    if not isinstance(value, str):
        return floating(number(value, "asFloat()"))
    if _FLOAT.fullmatch(value):
        given = float(value)
        if math.isfinite(given) or not any(c.isdigit() for c in value):
            return given
    raise Fault(f"asFloat() cannot read {shown(value)} as a number")


def _string(_budget: Budget, value: t.Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if kind_of(value) != NUMBER:
        raise Fault(f"string() cannot take {described(value)}")
    given = number(value, "string()")
    return str(given) if isinstance(given, int) else _written_as_in_go(given)


def _written_as_in_go(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value.is_integer() and abs(value) < 1e21:
        return "-0" if math.copysign(1, value) < 0 and value == 0 else str(int(value))
    return repr(value)


# ---------------------------------------------------------------------- numbers


def _absolute(_budget: Budget, value: t.Any) -> int | float:
    return number(abs(number(value, "abs()")), "abs()")


def _rounding(
    name: str, rounded: t.Callable[[float], int]
) -> t.Callable[[Budget, t.Any], float]:
    def call(_budget: Budget, value: t.Any) -> float:
        given = floating(number(value, name))
        return floating(rounded(given)) if math.isfinite(given) else given

    return call


def _half_away_from_zero(value: float) -> int:
    towards_zero = math.trunc(value)
    if abs(value - towards_zero) < 0.5:
        return towards_zero
    return towards_zero + (1 if value > 0 else -1)


def _numbers(budget: Budget, name: str, values: t.Iterable[t.Any]) -> list[int | float]:
    """The numbers among the arguments and in arrays among them, however deep."""
    found: list[int | float] = []
    waiting = list(values)[::-1]
    while waiting:
        value = waiting.pop()
        if kind_of(value) == ARRAY:
            budget.spend_on(value)
            waiting.extend(reversed(value))
        else:
            found.append(number(value, name))
    return found


def _extreme(
    name: str, choose: t.Callable[[list[int | float]], int | float]
) -> t.Callable[..., int | float | None]:
    def call(budget: Budget, *values: t.Any) -> int | float | None:
        numbers = _numbers(budget, name, values)
        # A NaN that loses a comparison would hide a measurement that failed.
        if any(map(math.isnan, numbers)):
            return math.nan
        return choose(numbers) if numbers else None

    return call


def _mean(budget: Budget, *values: t.Any) -> float | None:
    numbers = _numbers(budget, "mean()", values)
    # Not 0, as in Argo Rollouts: that would pass for a good error rate.
    return _total(numbers) / len(numbers) if numbers else None


def _median(budget: Budget, *values: t.Any) -> float | None:
    numbers = [floating(n) for n in _numbers(budget, "median()", values)]
    if any(map(math.isnan, numbers)):
        return math.nan
    return statistics.median(numbers) if numbers else None


def _total(numbers: t.Iterable[int | float]) -> int | float:
    return number(sum(numbers), "sum()")


# ------------------------------------------------------------ arrays and strings


def _length(_budget: Budget, value: t.Any) -> int:
    if isinstance(value, (str, list, tuple, dict)):
        return len(value)
    raise Fault(f"len() needs an array, a map or a string: this is {described(value)}")


def _first(_budget: Budget, value: t.Any) -> t.Any:
    return next(iter(array(value, "first()")), None)


def _last(_budget: Budget, value: t.Any) -> t.Any:
    return next(reversed(array(value, "last()")), None)


def _of_text(name: str, change: t.Callable[..., str]) -> t.Callable[..., str]:
    def call(budget: Budget, *values: t.Any) -> str:
        texts = [text(value, name) for value in values]
        for each in texts:
            budget.spend_on(each)
        return change(*texts)

    return call


def _jmespath(budget: Budget, value: t.Any, query: str) -> t.Any:
    budget.spend_on(value)
    try:
        return by_jmespath(value, query)
    except MeasurementError as error:
        raise Fault(str(error).rstrip(".")) from None


# ------------------------------------------------------------------- predicates


def _all(items: t.Sequence[t.Any], test: Test) -> bool:
    return all(truth(test(item), "all()") for item in items)


def _any(items: t.Sequence[t.Any], test: Test) -> bool:
    return any(truth(test(item), "any()") for item in items)


def _none(items: t.Sequence[t.Any], test: Test) -> bool:
    return not any(truth(test(item), "none()") for item in items)


def _one(items: t.Sequence[t.Any], test: Test) -> bool:
    return sum(truth(test(item), "one()") for item in items) == 1


def _count(items: t.Sequence[t.Any], test: Test) -> int:
    return sum(truth(test(item), "count()") for item in items)


def _filter(items: t.Sequence[t.Any], test: Test) -> list[t.Any]:
    return [item for item in items if truth(test(item), "filter()")]


def _map(items: t.Sequence[t.Any], test: Test) -> list[t.Any]:
    return [test(item) for item in items]


def _sum(items: t.Sequence[t.Any], test: Test) -> int | float:
    return _total(number(test(item), "sum()") for item in items)


FUNCTIONS: dict[str, Function] = {
    "abs": Function(_absolute),
    "asFloat": Function(_as_float),
    "asInt": Function(_as_int),
    "ceil": Function(_rounding("ceil()", math.ceil)),
    "default": Function(_default, 2, 2),
    "first": Function(_first),
    "float": Function(_as_float),
    "floor": Function(_rounding("floor()", math.floor)),
    "int": Function(_as_int),
    "isInf": Function(_is_inf),
    "isNaN": Function(_is_nan),
    "isNil": Function(_is_nil),
    "jmespath": Function(_jmespath, 2, 2),
    "last": Function(_last),
    "len": Function(_length),
    "lower": Function(_of_text("lower()", str.lower)),
    "max": Function(_extreme("max()", max), 1, None),
    "mean": Function(_mean, 1, None),
    "median": Function(_median, 1, None),
    "min": Function(_extreme("min()", min), 1, None),
    "round": Function(_rounding("round()", _half_away_from_zero)),
    "string": Function(_string),
    "trim": Function(_of_text("trim()", str.strip), 1, 2),
    "upper": Function(_of_text("upper()", str.upper)),
}

PREDICATE_FUNCTIONS: dict[str, PredicateFunction] = {
    "all": PredicateFunction(_all),
    "any": PredicateFunction(_any),
    "count": PredicateFunction(_count, optional=True),
    "filter": PredicateFunction(_filter),
    "map": PredicateFunction(_map),
    "none": PredicateFunction(_none),
    "one": PredicateFunction(_one),
    "sum": PredicateFunction(_sum, optional=True),
}
