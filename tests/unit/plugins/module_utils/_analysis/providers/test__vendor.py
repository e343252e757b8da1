# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the vendors' providers share."""

from __future__ import annotations

import json
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis import (
    fields,
    http,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.measurement import (  # noqa: E501 - a name
    MeasurementError,
    SecretMissing,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.providers import (  # noqa: E501 - a name
    _vendor,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.vendors import place

ANSWER = http.Answer(200, {}, b"the body", "GET http://vendor:80/path")
DOCUMENT: t.Any = {"a": [{"b": 1}, None], "c": "text"}

documents = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, 300), ("5m", 300), ("1h30m", 5400), ("500ms", 0.5), ("1.5h", 5400)],
)
def test_a_window_in_seconds(value: object, seconds: float) -> None:
    assert fields.window_problems(value, "interval") == []
    assert fields.window(value) == seconds


@pytest.mark.parametrize("value", ["", "0s", "5", "-5m", "5 m", "m5", 5, True, [], {}])
def test_what_is_no_window(value: object) -> None:
    (problem,) = fields.window_problems(value, "interval")
    assert problem.field == "interval"
    assert "expected is a duration such as" in problem.text


@pytest.mark.parametrize(
    ("value", "whole"),
    [(0, 0), (60, 60), ("60", 60), ("060", 60), (-1, None), (1.0, None), (True, None)]
    + [("1.0", None), ("²", None), ("", None), (None, None), ("9" * 5000, None)],
)
def test_whole_numbers(value: object, whole: int | None) -> None:
    assert _vendor.whole(value) == whole


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("a", 0, "b"), 1),
        (("a", -1), None),
        (("a", 2), None),
        (("a", "b"), None),
        (("c", 0), None),
        ((0,), None),
        ((), DOCUMENT),
    ],
)
def test_a_part_of_a_document_or_nothing(
    names: tuple[t.Any, ...], found: t.Any
) -> None:
    assert _vendor.part(DOCUMENT, *names) == found


@given(documents)
def test_whatever_is_measured_is_a_number_or_a_sentence(value: t.Any) -> None:
    try:
        number = _vendor.number(ANSWER, value)
    except MeasurementError as error:
        assert str(error).startswith("GET http://vendor:80/path answered with ")
        assert "\n" not in str(error)
    else:
        assert number is None or type(number) in (int, float)


@given(documents)
def test_whatever_is_answered_to_graphql_is_data_or_a_sentence(value: t.Any) -> None:
    class Answering:
        def send(self, *_a: object, **_k: object) -> http.Answer:
            return http.Answer(200, {}, json.dumps(value).encode(), ANSWER.source)

    answering: t.Any = Answering()
    try:
        _answer, data = _vendor.graphql(answering, "http://vendor", "{ a }", {})
    except MeasurementError as error:
        assert "\n" not in str(error)
    else:
        assert json.dumps(data) == json.dumps(value["data"])


def test_credentials_come_without_the_line_break_that_files_end_with() -> None:
    there = place({"s": {"key": "value\n", "empty": "\n"}})
    assert _vendor.credential(there, "s", "key") == "value"
    with pytest.raises(SecretMissing, match="key empty of the Secret s is empty"):
        _vendor.credential(there, "s", "empty")
    assert _vendor.optional_credential(there, "s", "empty") == ""
    assert _vendor.optional_credential(there, "s", "none") == ""
