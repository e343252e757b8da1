# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values taken out of responses: what a path finds, and what it says if it does not."""

from __future__ import annotations

import math
import typing as t

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.cutover.bluegreen.plugins.module_utils import _deps
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis import (
    extraction,
    measurement,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.search import examples

MeasurementError = measurement.MeasurementError
by_jmespath, by_json_path = extraction.by_jmespath, extraction.by_json_path

RESPONSE: dict[str, t.Any] = {
    "data": {"ok": True, "percent": 0.95, "none": None, "a.b": 1, "it's": 2},
    "series": [
        {"name": "p50", "value": 10, "tags": ["x", "y"]},
        {"name": "p95", "value": 20.5, "limit": 20.5},
        {"name": "other", "value": "n/a"},
    ],
    "empty": [],
    "deep": {"one": {"two": {"name": "innermost"}}},
}


def refusal(path: str, *documents: t.Any) -> str:
    (document,) = documents or (RESPONSE,)
    with pytest.raises(MeasurementError) as caught:
        by_json_path(document, path)
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message
    return message


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("{$}", RESPONSE),
        ("$", RESPONSE),
        ("{ $ }", RESPONSE),
        ("{@}", RESPONSE),
        ("{$.data.ok}", True),
        ("$.data.ok", True),
        ("{.data.percent}", 0.95),
        ("{$.data}", RESPONSE["data"]),
        ("{$.data.none}", None),
        (r"{$.data.a\.b}", 1),
        ("{$.data['a.b']}", 1),
        ('{$["data"]["a.b"]}', 1),
        (r"{$.data['it\'s']}", 2),
        ('{$.data["it\'s"]}', 2),
        ("{$['data']['ok']}", True),
        ("{$.data['missing','percent']}", 0.95),
        ("{$.series[0].name}", "p50"),
        ("{$.series[-1].name}", "other"),
        ("{$.series[1,0].name}", "p95"),
        ("{$.series[ 9 , 2 ].name}", "other"),
        ("{$.series[*].name}", "p50"),
        ("{$.series.*.name}", "p50"),
        ("{$.series[1:].name}", "p95"),
        ("{$.series[-2:-1].name}", "p95"),
        ("{$.series[:].limit}", 20.5),
        ("{$.series[1:3:2].name}", "p95"),
        ("{$.series[*].tags[1]}", "y"),
        ("{$.empty}", []),
        ("{$..name}", "p50"),
        ("{$..two.name}", "innermost"),
        ("{$..tags[0]}", "x"),
        ("{$..[1].name}", "p95"),
        ("{$.deep..name}", "innermost"),
        ("{$.deep.*.*.name}", "innermost"),
        ("{$..*}", RESPONSE["data"]),
        ('{$.series[?(@.name=="p95")].value}', 20.5),
        ("{$.series[?(@.name == 'p95')].value}", 20.5),
        ("{$.series[?( @.value > 15 )].name}", "p95"),
        ("{$.series[?(@.value >= 20.5)].name}", "p95"),
        ("{$.series[?(@.value < 15)].name}", "p50"),
        ("{$.series[?(@.value <= 10)].name}", "p50"),
        ("{$.series[?(@.value != 10)].name}", "p95"),
        ("{$.series[?(@.value == @.limit)].name}", "p95"),
        ("{$.series[?(@.limit)].name}", "p95"),
        ("{$.series[?(@['limit'])].name}", "p95"),
        ("{$.series[?(@.name =~ '^p9')].name}", "p95"),
        ("{$.series[?(@.tags[1] == 'y')].name}", "p50"),
    ],
)
def test_the_first_hit(path: str, expected: t.Any) -> None:
    assert extraction.json_path_problem(path) is None
    assert by_json_path(RESPONSE, path) == expected


@pytest.mark.parametrize(
    ("path", "document", "expected"),
    [
        ("{$}", None, None),
        ("{$}", "text", "text"),
        ("{$[0]}", [5], 5),
        ("{$[?(@ > 1)]}", [1, 2, 3], 2),
        ("{$[?(@ == true)]}", [1, True], True),
        ("{$[?(@ == 1)]}", [True, 1.0], 1.0),
        ("{$[?(@ < 'b')]}", [0, "a"], "a"),
        ("{$[?(@ == -1.5)]}", [0, -1.5], -1.5),
        ("{$[?(@.x)].x}", [{}, {"x": 0}], 0),
        ("{$.ünï-code/x}", {"ünï-code/x": 1}, 1),
    ],
)
def test_other_documents(path: str, document: t.Any, expected: t.Any) -> None:
    found = by_json_path(document, path)
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    ("path", "clause"),
    [
        (
            "{$.data.missing}",
            "the step '.missing' finds nothing in an object with the fields 'ok',"
            " 'percent', 'none', 'a.b', \"it's\" of the response",
        ),
        ("{$.data.ok.x}", "the step '.x' finds nothing in a bool"),
        ("{$.data.none.x}", "the step '.x' finds nothing in null"),
        ("{$.series.name}", "the step '.name' finds nothing in an array of 3"),
        ("{$.series[3]}", "the step '[3]' finds nothing in an array of 3"),
        ("{$.series[-4]}", "the step '[-4]' finds nothing in an array of 3"),
        ("{$.empty[0]}", "the step '[0]' finds nothing in an array of 0"),
        ("{$.empty[*].x}", "the step '[*]' finds nothing in an array of 0"),
        ("{$.series[*].x}", "the step '.x' finds nothing in any of 3 values"),
        ("{$.data[0]}", "the step '[0]' finds nothing in an object with"),
        ("{$..missing}", "the step '..missing' finds nothing in any of"),
        (
            "{$.series[?(@.name == 'x')].value}",
            "the step \"[?(@.name == 'x')]\" finds nothing in an array of 3",
        ),
        ("{$.data[?(@.x)]}", "finds nothing in an object with the fields"),
    ],
)
def test_nothing_found_says_at_which_step(path: str, clause: str) -> None:
    assert clause in refusal(path)


def test_long_objects_are_cut_in_messages() -> None:
    document = {f"key{i}": i for i in range(100)}
    assert "'key4' and 95 more of the response" in refusal("{$.x}", document)
    assert "no fields" in refusal("{$.x}", {})


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("", "it is empty; write {$} for the whole response"),
        ("{}", "it is empty; write {$} for the whole response"),
        ("{$.a", "it must be one path, such as {$.data.value}"),
        ("$.a}", "it must be one path, such as {$.data.value}"),
        ("value {$.a}", "it must be one path, such as {$.data.value}"),
        ("{$.a}{$.b}", "near '}{$.b': expected a step such as .name, [0] or ['name']"),
        ("{range .items[*]}{.a}{end}", "it must begin with $, such as {$.data.value}"),
        ("data", "it must begin with $, such as {$.data.value}"),
        ("{data.ok}", "it must begin with $, such as {$.data.value}"),
        ("{$.}", "at its end: expected the name of a field, or *"),
        ("{$data}", "near 'data': expected a step such as .name, [0] or ['name']"),
        ("{$.a b}", "near ' b': expected a step such as .name, [0] or ['name']"),
        ("{$.a[}", "at its end: expected a number, a quoted name, * or ?(...)"),
        ("{$.a[0}", "at its end: expected the closing ]"),
        ("{$.a[x]}", "near 'x]': expected a number, a quoted name, * or ?(...)"),
        ("{$.a['x]}", "near \"'x]\": expected a number, a quoted name, * or ?(...)"),
        ("{$.a[0,'x']}", "names and numbers cannot stand in the same brackets"),
        ("{$.a[::0]}", "the step of a slice must not be 0"),
        ("{$.a[1:2:3:4]}", "near ':4]': expected the closing ]"),
        ("{$.a[99999999999]}", "near '99]': expected the closing ]"),
        ("{$.a[?(x)]}", "near 'x)]': expected a path from the element, such as @.name"),
        ("{$.a[?(@.x]}", "near ']': expected the closing )"),
        ("{$.a[?(@.x == )]}", "near ')]': expected a quoted text, a number, true,"
                              " false or @.name"),
        ("{$.a[?(@.x == y)]}", "near 'y)]': expected a quoted text, a number, true,"
                               " false or @.name"),
        ("{$.a[?(@.x =~ 1)]}", "near '1)]': expected a quoted pattern"),
        ("{$.a[?(@.x =~ '(')]}", "the pattern cannot be used: a bracket ( is not"
                                 " closed"),
        ("{$.a[?(@..x)]}", "a filter cannot contain another filter or '..'"),
        ("{$.a[?(@[?(@.x)])]}", "a filter cannot contain another filter or '..'"),
        ("{$..a..b}", "'..' can stand in it only once"),
        ("$" + ".a" * 1001, "it has more than 2000 characters"),
    ],
)  # fmt: skip
def test_a_wrong_path_says_where(path: str, problem: str) -> None:
    assert extraction.json_path_problem(path) == problem
    assert problem in refusal(path)


def test_a_path_that_multiplies_is_refused() -> None:
    nested: t.Any = 1
    for _level in range(9):
        nested = [nested]
    assert "more than 5,000,000 values pass [0,0,0,0,0,0]" in refusal(
        "$" + "[0,0,0,0,0,0]" * 9, nested
    )


def test_a_pattern_on_endless_texts_is_refused() -> None:
    message = refusal("$[?(@ =~ '(a|b|c){100}')]", ["a" * 20_000] * 50)
    assert "too much work" in message


def test_a_document_that_is_no_json_is_refused() -> None:
    assert "is no JSON value" in refusal("$.a", object())
    assert "is no JSON value" in refusal("$[?(@ > 1)]", [object()])


def test_a_document_that_is_nested_without_end_is_searched() -> None:
    document: t.Any = {"leaf": 7}
    for _level in range(100_000):
        document = [document]
    assert by_json_path(document, "{$..leaf}") == 7


documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abcd"), inner)
    ),
    max_leaves=15,
)
STEPS = """
.a .b ..a .* ..* [0] [-1] [*] [1:] [:-1] [::2] ['a'] ['a','b'] [0,1] [?(@.a)]
[?(@.a==1)] [?(@.a<'b')] [?(@>@.b)] [?(@.a=~'a*')] .. . [ ] { } ( ) ' " \\ @ $ , : ? a
0 -
"""
steps = st.sampled_from(STEPS.split())


def outcome(call: t.Callable[[t.Any, str], t.Any], document: t.Any, text: str) -> None:
    try:
        call(document, text)
    except MeasurementError as error:
        assert str(error).endswith(".") and "\n" not in str(error)


@given(documents, st.text(max_size=20))
@settings(max_examples=examples(200))
def test_no_text_raises_anything_else(document: t.Any, text: str) -> None:
    outcome(by_json_path, document, text)
    outcome(by_json_path, document, f"${text}")


@given(documents, st.lists(steps, max_size=6).map("".join))
@settings(max_examples=examples(400))
def test_no_row_of_steps_raises_anything_else(document: t.Any, text: str) -> None:
    outcome(by_json_path, document, f"${text}")


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)


@given(names, st.lists(names, max_size=3))
@settings(max_examples=examples(100))
def test_every_name_can_be_quoted(name: str, others: list[str]) -> None:
    document = {"x": dict.fromkeys(others, 0) | {name: 1}}
    quoted = name.replace("\\", "\\\\").replace("'", "\\'")
    assert by_json_path(document, f"{{$.x['{quoted}']}}") == 1


@given(st.lists(st.integers(), max_size=6), *[st.integers(-8, 8)] * 2)
@settings(max_examples=examples(100))
def test_slices_are_those_of_python(values: list[int], start: int, stop: int) -> None:
    expected = values[start:stop]
    path = f"$[{start}:{stop}]"
    if expected:
        assert by_json_path(values, path) == expected[0]
    else:
        assert "finds nothing" in refusal(path, values)


# ------------------------------------------------------------------- JMESPath


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("data.ok", True),
        ("series[?name=='p95'].value | [0]", 20.5),
        ("length(series)", 3),
        ("data.missing", None),
        ("@", RESPONSE),
    ],
)
def test_jmespath(query: str, expected: t.Any) -> None:
    assert extraction.jmespath_problem(query) is None
    assert by_jmespath(RESPONSE, query) == expected


@pytest.mark.parametrize(
    ("query", "clause"),
    [
        ("", "cannot be empty"),
        ("a[", "Incomplete expression"),
        ("a..b", "Parse error at column 2"),
        ("'x", "Unclosed ' delimiter"),
        ("(" * 900, "nested too deeply"),
        ("a" * 2001, "more than 2000 characters"),
    ],
)
def test_a_wrong_query_says_so(query: str, clause: str) -> None:
    problem = extraction.jmespath_problem(query)
    assert problem is not None and clause in problem and "\n" not in problem
    with pytest.raises(MeasurementError, match="JMESPath query"):
        by_jmespath(RESPONSE, query)


@pytest.mark.parametrize(
    ("query", "document", "clause"),
    [
        ("nosuch(@)", {}, "Unknown function: nosuch()"),
        ("length(@)", 5, "length() takes string or array or object, and got number"),
        ("ceil(@)", math.inf, "JMESPath query 'ceil(@)': "),
        ("floor(@)", math.nan, "JMESPath query 'floor(@)': "),
        ("sort(@)", [1, "a token that nobody should read"], "sort() takes"),
    ],
)
def test_a_query_that_fails_says_so(query: str, document: t.Any, clause: str) -> None:
    with pytest.raises(MeasurementError) as caught:
        by_jmespath(document, query)
    assert clause in str(caught.value) and "nobody" not in str(caught.value)


QUERY_TOKENS = """
a b . [ ] [0] [*] [] | || && ! @ ( ) , & : ? ` ' " \\ { } == < * length( sort( sum(
avg( max_by( to_number( to_string( keys( merge( ceil( `1` 'x' [?
"""
queries = st.lists(st.sampled_from(QUERY_TOKENS.split()), max_size=8).map("".join)


@pytest.mark.filterwarnings("ignore:deprecated string literal")
@given(documents, queries)
@settings(max_examples=examples(300))
def test_no_query_raises_anything_else(document: t.Any, query: str) -> None:
    outcome(by_jmespath, document, query)


def test_without_the_library_the_sentence_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_deps, "jmespath", None)
    assert "pip install jmespath" in (extraction.jmespath_problem("a") or "")
    with pytest.raises(MeasurementError, match="pip install jmespath"):
        by_jmespath({}, "a")
    assert by_json_path({"a": 1}, "$.a") == 1
