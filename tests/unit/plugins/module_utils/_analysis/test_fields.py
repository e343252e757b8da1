# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fields that providers share, as they are written and as they are filled."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis import fields
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.measurement import (  # noqa: E501 - a name
    MeasurementError,
    Problem,
)

SECRET = "s3cr3t-value"
PLACEHOLDER = "{{ args.x }}"
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
CHECKS: tuple[t.Callable[[t.Any, str], list[Problem]], ...] = (
    fields.url_problems,
    fields.text_problems,
    fields.header_problems,
    fields.seconds_problems,
    fields.flag_problems,
    fields.ca_cert_problems,
    fields.oauth2_problems,
    fields.basic_problems,
    fields.mapping_problems,
)


@pytest.mark.parametrize("check", CHECKS)
@given(value=PLAIN)
def test_whatever_is_written_ends_as_problems(
    check: t.Callable[[t.Any, str], list[Problem]], value: object
) -> None:
    for problem in check(value, "p.x"):
        assert problem.field.startswith("p.x")
        assert "\n" not in problem.text
        assert not problem.text.endswith(".")


@pytest.mark.parametrize(
    ("check", "good"),
    [
        (fields.url_problems, "https://a:1/b?c=d"),
        (fields.url_problems, f"http://{PLACEHOLDER}:9090"),
        (fields.header_problems, [{"key": "X-A", "value": "b"}]),
        (fields.header_problems, [{"key": "X-A", "value": 7}]),
        (fields.header_problems, [{"key": "X-A", "value": PLACEHOLDER}]),
        (fields.header_problems, None),
        (fields.seconds_problems, 20),
        (fields.seconds_problems, "20"),
        (fields.seconds_problems, 0),
        (fields.seconds_problems, PLACEHOLDER),
        (fields.flag_problems, True),
        (fields.flag_problems, "false"),
        (fields.flag_problems, PLACEHOLDER),
        (fields.ca_cert_problems, PLACEHOLDER),
        (fields.ca_cert_problems, ""),
    ],
)
def test_good(check: t.Callable[[t.Any, str], list[Problem]], good: object) -> None:
    assert check(good, "p.x") == []


@pytest.mark.parametrize(
    ("check", "bad", "about"),
    [
        (fields.url_problems, f"//me:{SECRET}@a", "does not begin with http://"),
        (fields.url_problems, f"http://me:{SECRET}@a:b", "host or port is malformed"),
        (fields.url_problems, 7, "a number was found, expected is a text"),
        (fields.url_problems, "", "an empty text was found"),
        (fields.url_problems, None, "nothing was found"),
        (fields.header_problems, {"X": SECRET}, "expected is a list of {key"),
        (fields.header_problems, [{"name": "X", "value": SECRET}], "key and value"),
        (fields.header_problems, [{"key": "X", "value": [SECRET]}], "a list was found"),
        (fields.header_problems, [{"key": "X", "value": SECRET + "\n"}], "line break"),
        (fields.header_problems, [{"key": 1, "value": SECRET}], "a number was found"),
        (fields.seconds_problems, "10s", "'10s' was found, expected is a number"),
        (fields.seconds_problems, -1, "-1 was found"),
        (fields.seconds_problems, 601, "601 was found"),
        (fields.seconds_problems, True, "True was found"),
        (fields.seconds_problems, "nan", "'nan' was found"),
        (fields.flag_problems, "yes", "a text was found, expected is true or false"),
        (fields.ca_cert_problems, SECRET, "holds no certificate"),
        (fields.oauth2_problems, {"clientSecret": SECRET}, "nothing was found"),
        (fields.basic_problems, [SECRET], "a list was found, expected is a mapping"),
    ],
)
def test_bad(
    check: t.Callable[[t.Any, str], list[Problem]], bad: object, about: str
) -> None:
    problems = check(bad, "p.x")
    assert about in problems[0].text
    assert all(SECRET not in problem.text for problem in problems)


def test_unknown_field() -> None:
    (problem,) = fields.unknown_problems({"adress": 1}, ("address", "query"), "p")
    assert problem == Problem(
        "p.adress",
        "there is no such field (did you mean 'address'?); there are address, query",
    )


@pytest.mark.parametrize(
    ("value", "holds"),
    [
        ("{{args.a}}", True),
        ({"a": ["x", "{{ args.a }}"]}, True),
        ("{{ other }}", False),
        ({"a": [1, None]}, False),
    ],
)
def test_placeholders(value: object, holds: bool) -> None:
    assert fields.holds_placeholder(value) is holds


def test_only_one_way_of_authentication() -> None:
    both = {
        "bearerToken": SECRET,
        "basicAuth": {"username": "a", "password": SECRET},
    }
    ways = ("basicAuth", "bearerToken")
    (problem,) = fields.authentication_problems(both, "p.a", ways)
    assert problem == Problem(
        "p.a", "basicAuth and bearerToken were found; give only one of them"
    )


def test_connection(tmp_path: pathlib.Path) -> None:
    config = {
        "headers": [{"key": "X-A", "value": 7}],
        "timeoutSeconds": "20",
        "insecure": "true",
    }
    assert fields.connection(config, 10) == fields.Connection(
        headers={"X-A": "7"}, timeout=20.0, insecure=True, ca_cert=""
    )
    assert fields.connection({"timeoutSeconds": 0}, 10).timeout == 10


@pytest.mark.parametrize(
    ("config", "seconds"),
    [
        ({}, 15),
        ({"timeoutSeconds": 20}, 25),
        ({"timeoutSeconds": PLACEHOLDER}, 605),
        ({"timeoutSeconds": 20, "authentication": {"oauth2": {"a": 1}}}, 45),
        ({"authentication": "garbage", "timeoutSeconds": []}, 15),
    ],
)
def test_seconds_allowed(config: t.Mapping[str, t.Any], seconds: float) -> None:
    assert fields.seconds_allowed(config, 10) == seconds


def test_headers_are_merged_whatever_their_case() -> None:
    assert fields.merged({"a-b": "1", "C": "2"}, {"A-B": "3"}) == {
        "A-B": "3",
        "C": "2",
    }


def test_refuse() -> None:
    fields.refuse([])
    with pytest.raises(MeasurementError, match=r"^p\.x: it is wrong\.$"):
        fields.refuse([Problem("p.x", "it is wrong"), Problem("p.y", "too")])
