# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Conditions: what holds, what is refused and where, and that nothing else happens."""

from __future__ import annotations

import json
import math
import typing as t

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ansible_collections.cutover.bluegreen.plugins.module_utils import _deps
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis import (
    expression,
    expression_tree,
    expression_values,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.search import examples

MAX_NESTING, MAX_TEXT = expression.MAX_NESTING, expression.MAX_TEXT
ExpressionError = expression.ExpressionError
parse = expression.parse
NAN, INF = math.nan, math.inf


def judged(condition: str, result: t.Any = None) -> bool:
    return parse(condition).judge(result)


def refusal(condition: str, result: t.Any = None) -> str:
    with pytest.raises(ExpressionError) as caught:
        judged(condition, result)
    return str(caught.value)


# ------------------------------------------------- the shapes that providers give

HOLD: list[tuple[str, t.Any]] = [
    # One number: wavefront, datadog, a Prometheus scalar.
    ("result >= 0.95", 0.95),
    ("result <= 0.01", 0.0061),
    ("result >= 0.90 && result <= 1.00", 1),
    ("default(result, 0) < 10", None),
    ("default(result, 0) < 10", []),
    ("default(result, 0) < 10", {}),
    ("default(result, 0) < 10", 9.5),
    ("isNil(result)", None),
    ("isNil(result)", []),
    ("!isNil(result)", 0),
    ("result == nil", None),
    ("result != nil", 0),
    # A list of numbers: Prometheus vectors, graphite, influxdb.
    ("result[0] >= 0.95", [0.99]),
    ("len(result) == 0 || isNaN(result[0]) || result[0] < 0.02", []),
    ("len(result) == 0 || isNaN(result[0]) || result[0] < 0.02", [NAN]),
    ("len(result) == 0 || isNaN(result[0]) || result[0] < 0.02", [0.01]),
    ("len(result) == 1 && !isNaN(result[0]) && !isInf(result[0])", [20.0]),
    ("all(result, {# < 0.05})", [0.01, 0.02]),
    ("any(result, # >= 1)", [0, 1]),
    ("max(result) < 0.05", [0.01, 0.02]),
    ("2 in result", [2.0, 3.0]),
    # Objects: web, newRelic, cloudWatch.
    ("result == true", True),
    ("result == 'true'", "true"),
    ("asFloat(result) >= 0.90", "0.95"),
    ("asInt(result) == 3", "3"),
    ("result.ok && result.successPercent >= 0.90", {"ok": True, "successPercent": 0.9}),
    ("all(result.a.b, {# > 1})", {"a": {"b": [2.0, 2.0]}}),
    ("result[0].Values[0] < 5 and len(result) == 1", [{"Values": [4]}]),
    ("all(result[0].Values, {# <= 0.01})", [{"Values": [0.0, 0.01]}]),
    ("result['p95'] < 300 && result.p50 < 100", {"p95": 299, "p50": 99}),
    ("jmespath(result, 'pods[?ready].name | length(@)') == 1", {"pods": [
        {"name": "a", "ready": True}, {"name": "b", "ready": False}]}),
]  # fmt: skip

DO_NOT_HOLD: list[tuple[str, t.Any]] = [
    ("result >= 0.95", 0.94),
    ("result >= 0.95", NAN),
    ("result < 0.95", NAN),
    ("result == result", NAN),
    ("result[0] < 0.95", [NAN]),
    ("result < 1000", INF),
    ("all(result, {# < 0.05})", [0.01, 0.05]),
    ("all(result, {# < 0.05})", [0.01, NAN]),
    ("max(result) < 0.05", [0.01, NAN]),
    ("max(result) < 0.05", [NAN, 0.01]),
    ("result == true", False),
    ("result != nil", None),
    ("isNil(result)", 0),
]


@pytest.mark.parametrize(("condition", "result"), HOLD)
def test_it_holds(condition: str, result: t.Any) -> None:
    assert judged(condition, result) is True


@pytest.mark.parametrize(("condition", "result"), DO_NOT_HOLD)
def test_it_does_not_hold(condition: str, result: t.Any) -> None:
    assert judged(condition, result) is False


# ------------------------------------------------------------------ the language


@pytest.mark.parametrize(
    "condition",
    [
        # Literals
        "1_000 == 1000",
        "1e3 == 1000",
        "1.5e-1 == .15",
        "0xFf == 255 && 0b101 == 5 && 0o17 == 15",
        "9223372036854775807 > 0",
        "'a' == \"a\" && `a` == 'a'",
        r"""'\'' == "'" and "\"" == '"'""",
        r"'\n\t\\' == `" + "\n\t" + r"\`",
        r"'\x41\u0042\U00000043\104' == 'ABCD'",
        r"`\n` != '\n'",
        "[1, 2,] == [1.0, 2]",
        "[] == []",
        "{'a': 1, b: [2]}.b[0] == 2",
        "{} == {}",
        "{1: 'x'}['1'] == 'x'",
        "nil == nil",
        "true // a comment",
        "/* a\ncomment */ true",
        # Indexes, fields, slices
        "[1, 2, 3][-1] == 3",
        "[1, 2, 3][1.0] == 2",
        "'abc'[0] == 'a' && 'abc'[1:] == 'bc'",
        "[1, 2, 3][1:] == [2, 3] && [1, 2, 3][:1] == [1] && [1, 2, 3][:] == [1, 2, 3]",
        "[1, 2, 3][1:-1] == [2]",
        "[1, 2, 3][-9:9] == [1, 2, 3]",
        "[1, 2, 3][2:1] == []",
        "{'a': nil}.a == nil",
        "{}.missing == nil",
        "{'in': 1}.in == 1 and {'not': {'or': 2}}.not.or == 2",
        "nil?.a == nil",
        "nil?.a.b[0] == nil",
        "nil?.[0] == nil",
        "{'a': 1}?.a == 1",
        "(nil ?? 1) == 1",
        "(nil ?? nil ?? 2) == 2",
        "(0 ?? 2) == 0",
        # Comparisons
        "1 < 2 && 2 <= 2 && 3 > 2 && 2 >= 2 && 1 != 2",
        "'a' < 'b'",
        "1 < 2 < 3",
        "!(1 < 3 < 2)",
        "1 == 1.0",
        "nil != 1 && nil != 'a' && nil != [] && nil != {}",
        "[1, 'a'] != [1, 2]",
        "[1, [2, {'a': nil}]] == [1, [2, {'a': nil}]]",
        "{'a': 1} != {'b': 1}",
        "[true] != [1]",
        # Words
        "true and not false or false",
        "1 in [1, 2] && 3 not in [1, 2]",
        "'a' in [1, 'a'] && nil in [nil]",
        "'a' in {'a': 1} && 'b' not in {'a': 1}",
        "'abc' contains 'b' && 'abc' not contains 'x'",
        "'abc' startsWith 'a' && 'abc' endsWith 'c' && 'abc' not startsWith 'b'",
        "'abc' matches '^a.c$' && 'abc' not matches 'x'",
        "'v2.1' matches `^v\\d+\\.\\d+$`",
        "!('abc' matches 'B')",
        "'abc' matches '(?i)B'",
        # Arithmetic
        "1 + 2 * 3 == 7",
        "(1 + 2) * 3 == 9",
        "7 - 2 - 1 == 4",
        "8 / 2 / 2 == 2",
        "1 / 4 == .25",
        "7 % 3 == 1 && -7 % 3 == -1 && 7 % -3 == 1",
        "2 ** 3 ** 2 == 512 && 2 ^ 3 == 8",
        "-2 ** 2 == -4",
        "2 ** -1 == 0.5",
        "-(-1) == 1 && +1 == 1 && - -1 == 1",
        "'a' + 'b' == 'ab'",
        "1 / 0 == 1 / 0 && isInf(1 / 0) && isInf(-1 / 0) && -1 / 0 < 0",
        "isNaN(0 / 0) && !(0 / 0 == 0 / 0) && 0 / 0 != 0 / 0",
        "isInf(2.0 ** 2000) && (-2) ** 2001 < -1e308 && isNaN((-1) ** 0.5)",
        "isInf(0 ** -1) && isInf(0.0 ** -2)",
        "9223372036854775807 + 1 > 9e18",
        "!true == false",
        "!(true == false)",
        # Conditions
        "true ? true : false",
        "false ? false : true ? true : false",
        "(1 > 2 ? 'a' : 'b') == 'b'",
        "true || 1 / 'x' > 0",
        "!(false && nil.x)",
        "true or false and false",
        # Functions
        "len([1, 2]) == 2 && len('héé') == 3 && len({'a': 1}) == 1",
        "all([], {# > 1}) && !any([], {# > 1}) && none([], true) && !one([], true)",
        "one([1, 2], # == 2) && !one([2, 2], # == 2) && none([1], # == 2)",
        "filter([1, 2, 3], {# > 1}) == [2, 3]",
        "map([1, 2], # * 2) == [2, 4]",
        "map([{'a': 1}], .a) == [1] && map([{'a': {'b': 2}}], .a.b) == [2]",
        "count([1, 2, 3], # > 1) == 2 && count([true, false, true]) == 2",
        "sum([1, 2.5]) == 3.5 && sum([]) == 0 && sum([{'n': 2}], .n) == 2",
        "all([[1, 2], [3]], all(#, # > 0))",
        "any([[1], [2, 3]], {len(#) > 1 && all(#, {# > 1})})",
        "map([[1, 2], [3]], {sum(#) + len(#)}) == [5, 4]",
        "min([3, 1, 2]) == 1 && max(1, [5, [7]], 2) == 7",
        "min([]) == nil && mean([]) == nil && median([]) == nil",
        "mean([1, 2, 6]) == 3 && median([5, 1, 9]) == 5 && median([1, 2]) == 1.5",
        "abs(-2) == 2 && abs(-2.5) == 2.5",
        "round(2.5) == 3 && round(-2.5) == -3 && round(0.49999999999999994) == 0",
        "floor(1.7) == 1 && floor(-1.2) == -2 && ceil(1.2) == 2 && isInf(ceil(1 / 0))",
        "first([1, 2]) == 1 && last([1, 2]) == 2",
        "first([]) == nil && last([]) == nil",
        "asInt('12') == 12 && asInt('-3') == -3 && asInt(1.9) == 1 && int('4') == 4",
        "asFloat('1e2') == 100 && asFloat('.5') == 0.5 && float(2) == 2",
        "isNaN(asFloat('NaN')) && isInf(asFloat('-Inf')) && isInf(asFloat('infinity'))",
        "string(1) == '1' && string(1.5) == '1.5' && string(true) == 'true'",
        "string(1.0) == '1' && string(1e21) == '1e+21' && string(1 / 0) == '+Inf'",
        "string(0.00001) == '1e-05' && string('x') == 'x' && string(0 / 0) == 'NaN'",
        "lower('AB') == 'ab' && upper('ab') == 'AB' && trim('  a ') == 'a'",
        "trim('__a_', '_') == 'a'",
        "default(nil, 1) == 1 && default(0, 1) == 0 && default('', 1) == ''",
        "jmespath({'a': [1, 2]}, 'a[1]') == 2 && jmespath({}, 'a') == nil",
    ],
)
def test_the_language(condition: str) -> None:
    assert judged(condition) is True


@pytest.mark.parametrize(
    ("condition", "grouped"),
    [
        ("true || false && false", "true || (false && false)"),
        ("1 + 1 == 2 && true", "((1 + 1) == 2) && true"),
        ("2 + 3 * 4 ** 2 == 50", "(2 + (3 * (4 ** 2))) == 50"),
        ("not false and false", "(not false) and false"),
        ("!false == true", "(!false) == true"),
        ("-3 * -2 == 6", "((-3) * (-2)) == 6"),
        ("1 + (nil ?? 2) == 3", "(1 + (nil ?? 2)) == 3"),
        ("1 < 2 < 3 == true", "((1 < 2) && (2 < 3)) == true"),
        ("1 < 2 > 1.5", "(1 < 2) && (2 > 1.5)"),
        ("3 < 2 < 'a'", "(3 < 2) && (2 < 'a')"),
        ("1 == 1 == true", "(1 == 1) == true"),
        ("1 in [1] != false", "(1 in [1]) != false"),
    ],
)
def test_which_operator_binds_first(condition: str, grouped: str) -> None:
    assert judged(condition) == judged(grouped)


def test_only_orders_in_a_row_are_pairs() -> None:
    assert "cannot compare a bool with a number" in refusal("1 < 2 == 2")
    assert "cannot compare a bool with a number" in refusal("1 == 1 < 2")


@pytest.mark.parametrize(
    ("condition", "handles"),
    [
        ("result < 1", False),
        ("all(result, {# < 1})", False),
        ("max(result) < 1", False),
        ("result == 'nil'", False),
        ("result.len < 1", False),
        ("default(result, 0) < 1", True),
        ("isNil(result) || result < 1", True),
        ("len(result) == 0", True),
        ("count(result, # > 1) == 0", True),
        ("(result ?? 0) < 1", True),
        ("result?.a == 1", True),
        ("result != nil", True),
    ],
)
def test_whether_it_deals_with_no_data(condition: str, handles: bool) -> None:
    assert parse(condition).handles_no_data is handles


def test_one_reading_serves_many_judgements() -> None:
    condition = parse("all(result, {# < 1})")
    judgements = [condition.judge(result) for result in ([0], [2], [0.5, 0.6])]
    assert judgements == [True, False, True]


def test_a_predicate_does_not_outlive_its_call() -> None:
    assert judged("any([1, 2], {any([5], {# == 5}) && # == 2})")


# ------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("", "'': a condition is expected, such as result < 0.05."),
        ("  ", "'  ': a condition is expected, such as result < 0.05."),
        ("result <", "'result <' at its end: expected a value, found the end."),
        (
            "result => 1",
            "'result => 1' at character 8 near '=> 1': = is no operator; write == to"
            " compare.",
        ),
        (
            "result = 1",
            "'result = 1' at character 8 near '= 1': = is no operator; write == to"
            " compare.",
        ),
        (
            "(result < 1",
            "'(result < 1' at its end: expected ), found the end.",
        ),
        (
            "result < 1)",
            "'result < 1)' at character 11 near ')': expected an operator or the end,"
            " found ).",
        ),
        (
            "result < 'abc",
            '"result < \'abc" at character 10 near "\'abc": the string is not closed on'
            " its line.",
        ),
        (
            "value < 1",
            "'value < 1' at character 1 near 'value < 1': there is no value; the"
            " measured value is called result.",
        ),
    ],
)
def test_a_wrong_condition_says_where(condition: str, message: str) -> None:
    assert refusal(condition) == message


@pytest.mark.parametrize(
    ("condition", "clause"),
    [
        ("result & 1", "write && or and"),
        ("result | len()", "pipes are not supported"),
        ("result ~ 'a'", "write matches"),
        ("1..3", "ranges are not supported"),
        ("let x = 1; x", "let is not supported"),
        ("if result { 1 }", "if is not supported"),
        ("isnan(result)", "there is no function isnan() (did you mean 'isNaN'?)"),
        ("zzzzz(result)", "there is no function zzzzz(); there are abs, all, any"),
        ("$env == 1", "$ has no meaning"),
        ("@ == 1", "@ has no meaning"),
        ("true; false", "variables are not supported"),
        ("result ? 1", "expected :, found the end"),
        ("result[", "expected a value, found the end"),
        ("result[0", "expected ], found the end"),
        ("result.", "expected the name of a field"),
        ("result.5", "expected an operator or the end"),
        ("result.size()", "values have no methods"),
        ("# > 1", "# stands for an element"),
        (".a > 1", ". stands for an element"),
        ("all(result, #index > 1)", "expected an operator after #"),
        ("all(result)", "takes an array and a predicate"),
        ("all(result, {# > 1)", "expected }"),
        ("len()", "takes 1 argument, and got 0"),
        ("len(1, 2)", "takes 1 argument, and got 2"),
        ("default(1)", "takes 2 arguments, and got 1"),
        ("trim('a', 'b', 'c')", "takes 1 or 2 arguments, and got 3"),
        ("max()", "takes at least 1 argument, and got 0"),
        ("len", "write len(result)"),
        ("all == 1", "write all(result)"),
        ("result not 1", "after not"),
        ("result ?? 0 < 1", "needs brackets"),
        ("{1 2}", "expected :"),
        ("{[1]: 2}", "expected a key"),
        ("[1 2]", "expected , or ]"),
        ("1 == 0x", "found x"),
        ("1 == 0x_", "no digits"),
        ("1e999 == 1", "the number is too large"),
        ("9223372036854775808 == 1", "the number is too large"),
        ("9" * 5000 + " == 1", "the number is too large"),
        (r"'\q' == ''", r"\q is no escape sequence"),
        (r"'\ud800' == ''", "no character"),
        (r"'\U00110000' == ''", "no character"),
        ("/* x", "the comment is not closed"),
        ("result < 1 € 2", "this character has no meaning"),
        ("result matches '['", "the pattern cannot be used"),
        ("result matches '(?=a)'", "not supported"),
        ("jmespath(result, 'a[') == 1", "the JMESPath query cannot be used"),
        ("jmespath(result, result) == 1", "as a quoted text"),
    ],
)
def test_what_cannot_be_read(condition: str, clause: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(condition)
    assert clause in str(caught.value)


@pytest.mark.parametrize(
    ("condition", "result", "clause"),
    [
        ("result", 1, "needs true or false, and this is a number; compare it"),
        ("result", None, "needs true or false, and this is nil (no value)"),
        ("result < 1", None, "default(result, 0)"),
        ("result < 1", [0.5], "result[0]"),
        ("result < 1", {"a": 1}, "result.name"),
        ("result < 1", "0.5", "asFloat()"),
        ("result < 1", True, "cannot compare a bool with a number"),
        ("result == 1", "1", "cannot compare a string with a number"),
        ("result == 1", True, "cannot compare a bool with a number"),
        ("result == 'true'", True, "write true and false without quotes"),
        ("asFloat(result) == '1.1'", "1.1", "cannot compare a number with a string"),
        ("result <= true", True, "cannot compare a bool with a bool"),
        ("result < nil", 1, "cannot compare a number with nil"),
        ("[1] < [2]", None, "cannot compare an array with an array"),
        ("result[0] < 1", [], "an array of length 0 has no such element"),
        ("result[1] < 1", [0], "an array of length 1 has no such element"),
        ("result[0.5] < 1", [0], "[ ] needs a whole number"),
        ("result['a'] < 1", [0], "an array has no fields; take an element first, [0]"),
        ("result[0] < 1", {"a": 1}, "a map needs a string"),
        ("result.a < 1", [0], "an array has no fields"),
        ("result.a < 1", "text", "a string has no fields"),
        ("result.a < 1", 1, "a number has no elements or fields"),
        ("result.a.b < 1", {}, "write ?. if it may be missing"),
        ("result[:1] == 1", {}, "a slice needs an array"),
        ("result['a':] == 1", [], "a slice needs a number"),
        ("1 in result", 1, "in needs an array or a map on its right"),
        ("'a' in result", "abc", "use contains"),
        ("1 in result", {"1": 1}, "needs a string"),
        ("result contains 1", "1", "contains needs a string"),
        ("result contains 'a'", None, "contains needs a string, and this is nil"),
        ("result startsWith 'a'", 1, "convert it with string()"),
        ("result matches 'a'", ["a"], "matches needs a string"),
        ("'a' matches result", "[", "the pattern cannot be used"),
        ("result + 1 > 1", "1", "+ needs a number, and this is a string"),
        ("result + '1' == ''", 1, "+ needs a number, and this is a string"),
        ("true + 1 == 2", None, "+ needs a number, and this is a bool"),
        ("-result > 1", "1", "- needs a number"),
        ("!result", 1, "! needs true or false"),
        ("result && true", 1, "&& needs true or false"),
        ("true and result", "x", "and needs true or false"),
        ("result ? true : false", 1, "? needs true or false"),
        ("5 % result == 1", 0, "% by zero has no result"),
        ("5 % result == 1", 0.5, "% needs a whole number"),
        ("asFloat(result) > 1", "x", "asFloat() cannot read 'x' as a number"),
        ("asFloat(result) > 1", "1e999", "asFloat() cannot read '1e999' as a number"),
        ("asFloat(result) > 1", None, "asFloat() needs a number, and this is nil"),
        ("asInt(result) > 1", "1.5", "asInt() cannot read '1.5' as a whole number"),
        ("asInt(result) > 1", " 1", "asInt() cannot read ' 1' as a whole number"),
        ("asInt(result) > 1", "9999999999999999999", "64 bits"),
        ("asInt(result) > 1", NAN, "NaN or Inf"),
        ("string(result) == ''", [], "string() cannot take an array"),
        ("isNaN(result)", [NAN], "isNaN() needs a number, and this is an array"),
        ("len(result) == 1", 5, "len() needs an array, a map or a string"),
        ("all(result, {# > 1})", 5, "all() needs an array, and this is a number"),
        ("all(result, {# > 1})", None, "all() needs an array, and this is nil"),
        ("all(result, {#})", [1], "all() needs true or false"),
        ("sum(result) > 1", ["a"], "sum() needs a number"),
        ("max(result) > 1", ["a"], "max() needs a number"),
        ("max(result) > 1", [], "cannot compare nil (no value) with a number"),
        ("lower(result) == 'a'", 1, "lower() needs a string"),
        ("first(result) == 1", {}, "first() needs an array"),
        ("jmespath(result, 'length(@)') == 1", 5, "length() takes"),
        ("jmespath(result, 'ceil(@)') == 1", INF, "JMESPath query"),
        ("result == 1", object(), "is no JSON value"),
    ],
)
def test_what_cannot_be_judged(condition: str, result: t.Any, clause: str) -> None:
    read = parse(condition)
    with pytest.raises(ExpressionError) as caught:
        read.judge(result)
    message = str(caught.value)
    assert clause in message
    assert message.endswith(".") and "\n" not in message


def test_a_failing_judgement_says_where() -> None:
    assert refusal("result.ok && result.rate < 1", {"ok": True, "rate": [1]}) == (
        "'result.ok && result.rate < 1' at character 26 near '< 1': < cannot compare an"
        " array with a number; take one element, such as result[0], or use max() or"
        " all()."
    )


def test_a_place_in_a_predicate_is_that_of_its_part() -> None:
    assert "at character 16 near '< 1})'" in refusal("all(result, {# < 1})", ["a"])


def test_what_was_measured_is_not_repeated() -> None:
    message = refusal("result < 1", "a token that nobody should read")
    assert "token" not in message


def test_without_the_library_jmespath_the_condition_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_deps, "jmespath", None)
    assert "pip install jmespath" in refusal("jmespath(result, 'a') == 1", {})
    assert judged("result < 1", 0)


# ---------------------------------------------------------------- hostile and large


@pytest.mark.parametrize("opening", ["(", "[", "-", "!", "len(", "all(result,{", "1**"])
def test_nesting_is_refused(opening: str) -> None:
    assert "nested more than" in refusal(opening * (MAX_NESTING + 10))


@pytest.mark.parametrize(
    ("opening", "inner", "closing"),
    [
        ("(", "true", ")"),
        ("(true && 1 == 0 + 1 * 1 ** 1 && ", "true", ")"),
        ("true ? ", "true", " : false"),
        ("all([0], {", "true", "})"),
    ],
)
def test_nesting_up_to_the_limit_is_judged(
    opening: str, inner: str, closing: str
) -> None:
    depth = MAX_NESTING - 3 if opening[0] != "a" else MAX_NESTING // 2
    assert judged(opening * depth + inner + closing * depth)


def deep(levels: int) -> t.Any:
    value: t.Any = 1
    for _level in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("true" + " && true" * 1200, None),
        ("0" + " + 1" * 2000 + " == 2000", None),
        ("1 < 2" + " && 1 in [1]" * 700, None),
        ("result" + ".a" * 3000 + " == 1", deep(3000)),
        ("result" + "?.a" * 3000 + " == nil", None),
        ("(nil" + " ?? nil" * 1300 + ") == nil", None),
        ("1" + " <= 1" * 1900, None),
        ("[" + "1," * 4000 + "] != nil", None),
    ],
)
def test_what_stands_in_a_row_needs_no_depth(text: str, result: t.Any) -> None:
    assert len(text) <= MAX_TEXT
    assert judged(text, result)


def test_a_text_that_is_too_long_is_refused() -> None:
    assert "at most 10,000 characters" in refusal("1" * (MAX_TEXT + 1))


def test_a_million_values_are_judged() -> None:
    values = [i / 1_000_000 for i in range(1_000_000)]
    assert judged("all(result, {# < 1}) && sum(result) / len(result) < 1", values)
    assert not judged("any(result, # > 1)", values)


@pytest.mark.parametrize(
    "condition",
    [
        "all(result, {all(result, {# >= 0})})",
        "all(result, {# in result})",
        "all(result, {sum(result) >= 0})",
        "all(result, {max(result) >= 0})",
        "all(result, {result == result})",
        "all(result, {result[1:] != nil})",
        "none(result, {lower('xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx') == ''})",
        "none(result, {'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' contains 'y'})",
        "none(result, {'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' matches 'y'})",
        "none(result, {'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' + 'x' == ''})",
    ],
)
def test_work_that_multiplies_costs(condition: str) -> None:
    values = list(range(300))
    root = parse(condition).root

    def judge_with(steps: int) -> t.Any:
        budget = expression_values.Budget(steps)
        return root.evaluate(expression_tree.Run(values, budget=budget))

    with pytest.raises(expression_values.Fault, match="too much work"):
        judge_with(1_900)
    assert judge_with(50_000_000) is True


def test_too_much_work_is_refused() -> None:
    values = list(range(20_000))
    assert "too much work" in refusal("all(result, {all(result, {# >= 0})})", values)


def test_a_pattern_that_would_backtrack_is_judged() -> None:
    assert not judged("result matches '^(a+)+$'", "a" * 5000 + "b")


def test_a_pattern_on_an_endless_text_is_refused() -> None:
    pattern = "'(a|b|c){100}'"
    assert "too much work" in refusal(f"result matches {pattern}", "a" * 1_000_000)


def test_a_result_that_is_nested_without_end_is_compared() -> None:
    def nested(leaf: int) -> t.Any:
        value: t.Any = leaf
        for _level in range(100_000):
            value = [value]
        return value

    both = {"a": nested(1), "b": nested(1), "c": nested(2)}
    assert judged("result.a == result.b && result.a != result.c", both)
    assert judged("max(result.a, result.c) == 2", both)


HUGE = 10**400


@pytest.mark.parametrize(
    "condition",
    [
        "result > 1e300",
        "isInf(result + 1.0) && isInf(result * 2) && isInf(-result)",
        "isInf(result / 2) && isInf(result ** 2)",
        "isInf(sum([result, 1.5])) && isInf(max([result])) && isInf(mean([result]))",
        "isInf(abs(-result)) && isInf(floor(result)) && isInf(asFloat(result))",
        "string(result) == '+Inf'",
        "result == result && result in [result]",
    ],
)
def test_whole_numbers_beyond_64_bits_are_floating(condition: str) -> None:
    assert judged(condition, HUGE)


# ------------------------------------------------------------------------ properties

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([HUGE, -HUGE, 2**63, -(2**63)])
    | st.floats()
    | st.text(max_size=8)
)
results = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=3) | st.sampled_from(["a", "b"]), inner)
    ),
    max_leaves=12,
)
TOKENS = """
result result result # ( ) [ ] { } , . ?. ?? ? : + - * / % ** ^ ! == != < <= > >= &&
|| and or not in contains startsWith endsWith matches 0 1 -1 0.5 1e308 0x10 'a' 'b'
"(a|b)*" `x` true false nil .a .b a [0] [-1] [1:] [:1] len( all( any( none( one(
filter( map( count( sum( min( max( mean( median( abs( round( floor( ceil( first( last(
asInt( asFloat( isNaN( isInf( isNil( default( int( float( string( lower( upper( trim(
{#
"""
tokens = st.sampled_from(TOKENS.split())


def outcome(text: str, result: t.Any) -> bool | None:
    """What comes out, or none where it is refused in a sentence."""
    try:
        return parse(text).judge(result)
    except ExpressionError as error:
        message = str(error)
        assert message.endswith(".") and "\n" not in message
        return None


@given(st.text(max_size=40), results)
@settings(max_examples=examples(300))
def test_no_text_raises_anything_else(text: str, result: t.Any) -> None:
    assert outcome(text, result) in (True, False, None)


@given(st.lists(tokens, max_size=14).map(" ".join), results)
@settings(max_examples=examples(600))
def test_no_row_of_tokens_raises_anything_else(text: str, result: t.Any) -> None:
    assert outcome(text, result) in (True, False, None)


FUNCTIONS = """
len first last abs round floor ceil min max mean median sum count asInt asFloat int
float string isNaN isInf isNil lower upper trim
"""
PREDICATES = "all any none one filter map count sum"
OPERATORS = """
+ - * / % ** == != < <= > >= && || ?? in contains startsWith endsWith matches
"""


def calls(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.tuples(inner, st.sampled_from(OPERATORS.split()), inner)
    return (
        pairs.map(lambda p: f"({p[0]} {p[1]} {p[2]})")
        | st.tuples(st.sampled_from(FUNCTIONS.split()), inner).map(
            "{0[0]}({0[1]})".format
        )
        | st.tuples(
            st.sampled_from(PREDICATES.split()),
            inner,
            inner,
        ).map("{0[0]}({0[1]}, {{{0[2]}}})".format)
        | st.tuples(inner, inner).map("{0[0]}[{0[1]}]".format)
        | st.tuples(inner, inner).map("{0[0]}[{0[1]}:]".format)
        | st.tuples(inner, inner).map("default({0[0]}, {0[1]})".format)
        | st.tuples(inner, inner, inner).map("({0[0]} ? {0[1]} : {0[2]})".format)
        | inner.map("(-{0})".format)
        | inner.map("(!{0})".format)
        | inner.map("[{0}]".format)
        | inner.map("{0}?.a".format)
    )


expressions = st.recursive(
    st.sampled_from(
        ["result", "result.a", "result[0]", "1", "0", "2.5", "1e308", "'a'", "nil"]
        + ["true", "false", "[]", "{}", "[1, 'a']", "-1", "9223372036854775807"]
    ),
    calls,
    max_leaves=8,
)


@given(expressions, results)
@settings(max_examples=examples(800))
@example("(result ** 0.5) < 1", -HUGE)
@example("asInt(result) == 1", 1e300)
@example("round(result) == 1", 1e308)
@example("string(result) == ''", -0.0)
def test_no_result_raises_anything_else(text: str, result: t.Any) -> None:
    assert outcome(text, result) in (True, False, None)


numbers = st.integers(-50, 50).map(str)


@st.composite
def arithmetic(draw: st.DrawFn) -> str:
    """Arithmetic that Python and the language mean the same by, without brackets."""
    terms = draw(st.lists(numbers, min_size=1, max_size=6))
    text = terms[0]
    for term in terms[1:]:
        text += f" {draw(st.sampled_from(['+', '-', '*']))} {term}"
    return text


arithmetic_trees = st.recursive(
    arithmetic(),
    lambda inner: (
        st.tuples(inner, st.sampled_from("+-*"), inner).map(
            lambda p: f"({p[0]}) {p[1]} ({p[2]})"
        )
        | inner.map("-({0})".format)
    ),
    max_leaves=5,
)


@given(arithmetic_trees)
@settings(max_examples=examples(200))
def test_arithmetic_is_that_of_python(text: str) -> None:
    value = eval(text)  # the test's own text: digits, brackets and signs
    if abs(value) < 2**63:
        assert judged(f"{text} == result", value)
        assert not judged(f"{text} < result", value)
        assert judged(f"{text} + 1 > result", value)


comparisons = st.tuples(
    arithmetic(), st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), arithmetic()
).map(" ".join)
boolean_trees = st.recursive(
    comparisons | st.sampled_from(["True", "False"]),
    lambda inner: (
        st.lists(inner, min_size=2, max_size=4).map(" and ".join)
        | st.lists(inner, min_size=2, max_size=4).map(" or ".join)
        | inner.map("({0})".format)
        | inner.map("(not ({0}))".format)
    ),
    max_leaves=8,
)


@given(boolean_trees)
@settings(max_examples=examples(300))
def test_logic_is_that_of_python(text: str) -> None:
    written = text.replace("True", "true").replace("False", "false")
    expected = bool(eval(text))  # the test's own text
    assert judged(written) is expected
    assert judged(written.replace(" and ", " && ").replace(" or ", "||")) is expected


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(finite, min_size=1, max_size=20), finite)
@settings(max_examples=examples(100))
def test_predicates_are_those_of_python(values: list[float], limit: float) -> None:
    result = {"values": json.loads(json.dumps(values)), "limit": limit}
    below = [v for v in values if v < limit]
    for text, expected in (
        ("all(result.values, {# < result.limit})", len(below) == len(values)),
        ("any(result.values, # < result.limit)", bool(below)),
        ("none(result.values, # < result.limit)", not below),
        ("one(result.values, # < result.limit)", len(below) == 1),
        (f"count(result.values, # < result.limit) == {len(below)}", True),
        (f"len(filter(result.values, # < result.limit)) == {len(below)}", True),
        ("max(result.values) < result.limit", max(values) < limit),
        ("min(result.values) < result.limit", min(values) < limit),
        ("first(result.values) == result.values[0]", True),
    ):
        assert judged(text, result) is expected
