# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Arguments and placeholders; and what may stand in what people write."""

from __future__ import annotations

import datetime
import json
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis import (
    arguments,
    shapes,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.arguments import (  # noqa: E501 - one name
    Argument,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.measurement import (  # noqa: E501 - one name
    MeasurementError,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._errors import BadInput

ROLLOUT: dict[str, t.Any] = {
    "metadata": {"name": "web", "labels": {"app.kubernetes.io/part-of": "shop"}},
    "spec": {
        "replicas": 3,
        "paused": False,
        "template": {"spec": {"containers": [{"name": "web"}, {"name": "proxy"}]}},
    },
}


def read(*raw: object) -> tuple[tuple[Argument, ...], list[str]]:
    problems: list[str] = []
    return arguments.read_arguments(list(raw), "args", problems), problems


@pytest.mark.parametrize(
    ("raw", "argument"),
    [
        ({"name": "a"}, Argument("a")),
        ({"name": "a", "value": None}, Argument("a")),
        ({"name": "a", "value": ""}, Argument("a", value="")),
        ({"name": "a", "value": "x"}, Argument("a", value="x")),
        ({"name": "a", "value": 5}, Argument("a", value="5")),
        ({"name": "a", "value": 0.5}, Argument("a", value="0.5")),
        ({"name": "a", "value": True}, Argument("a", value="true")),
        ({"name": "a", "value": "{{.status}}"}, Argument("a", value="{{.status}}")),
        (
            {"name": "a", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            Argument("a", secret=("s", "k")),
        ),
        (
            {"name": "a", "valueFrom": {"podTemplateHashValue": "Stable"}},
            Argument("a", hash_of="Stable"),
        ),
        (
            {"name": "a", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            Argument("a", field_path="metadata.name"),
        ),
    ],
)
def test_an_argument_is_read_in_argo_rollouts_spelling_and_written_in_it(
    raw: dict[str, t.Any], argument: Argument
) -> None:
    assert read(raw) == ((argument,), [])
    assert read(argument.to_plain()) == ((argument,), [])


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (5, "args[0]: a mapping with a name is expected, 5 was found."),
        (
            {"value": "x"},
            "args[0]: a mapping with a name is expected, {'value': 'x'} was found.",
        ),
        (
            {"name": "a b"},
            "args[0]: 'a b' cannot name an argument; use neither spaces nor braces.",
        ),
        (
            {"name": "a", "vlaue": "x"},
            "argument a: 'vlaue' is no field of it (did you mean 'value'?).",
        ),
        (
            {"name": "a", "value": ["x"]},
            "argument a: value: text, a number, true or false is expected, ['x'] was"
            " found.",
        ),
        (
            {"name": "a", "value": "{{ args.b }}"},
            "argument a: value: '{{ args.b }}' holds a placeholder, which is not"
            " replaced in an argument's own value; write the text out.",
        ),
        (
            {
                "name": "a",
                "value": "x",
                "valueFrom": {"podTemplateHashValue": "Stable"},
            },
            "argument a: value and valueFrom are both given; keep one.",
        ),
        (
            {"name": "a", "valueFrom": {}},
            "argument a: valueFrom: a mapping with one of secretKeyRef, fieldRef,"
            " podTemplateHashValue is expected, {} was found.",
        ),
        (
            {"name": "a", "valueFrom": {"configMapKeyRef": {}}},
            "argument a: valueFrom: 'configMapKeyRef' is no field of it; known are"
            " secretKeyRef, fieldRef, podTemplateHashValue.",
        ),
        (
            {"name": "a", "valueFrom": {"podTemplateHashValue": "stable"}},
            "argument a: valueFrom: podTemplateHashValue is 'stable'; write Stable or"
            " Latest.",
        ),
        (
            {"name": "a", "valueFrom": {"secretKeyRef": {"name": "s"}}},
            "argument a: valueFrom: a mapping with the texts name and key is expected,"
            " {'name': 's'} was found.",
        ),
        (
            {"name": "a", "valueFrom": {"fieldRef": "metadata.name"}},
            "argument a: valueFrom: a mapping with the text fieldPath is expected,"
            " 'metadata.name' was found.",
        ),
    ],
)
def test_what_is_no_argument_is_refused_in_one_sentence(
    raw: object, sentence: str
) -> None:
    assert read(raw)[1] == [sentence]


def test_an_argument_stands_once() -> None:
    assert read({"name": "a"}, {"name": "a"})[1] == [
        "args: argument a is listed twice; keep one."
    ]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "web"),
        ("metadata.labels['app.kubernetes.io/part-of']", "shop"),
        ('metadata.labels["app.kubernetes.io/part-of"]', "shop"),
        ("spec.replicas", "3"),
        ("spec.paused", "false"),
        ("spec.template.spec.containers[1].name", "proxy"),
        ("spec['template'].spec.containers[0]['name']", "web"),
    ],
)
def test_a_field_of_the_rollout_is_found_by_its_path(path: str, value: str) -> None:
    assert arguments.field_at(ROLLOUT, path) == value


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("", "is no text, number, true or false"),
        ("metadata", "is no text, number, true or false"),
        ("metadata.uid", "is not there: nothing was found at metadata.uid"),
        (
            "metadata.name.first",
            "is not there: nothing was found at metadata.name.first",
        ),
        (
            "spec.template.spec.containers[2].name",
            "is not there: nothing was found at spec.template.spec.containers[2]",
        ),
        (
            "spec.template.spec.containers.name",
            "is not there: nothing was found at spec.template.spec.containers.name",
        ),
        (
            f"spec.template.spec.containers[{'9' * 5000}]",
            "is not there: nothing was found at"
            f" spec.template.spec.containers[{'9' * 5000}]",
        ),
        ("metadata.labels[app]", "is no path at character 16"),
        ("metadata..name", "is no path at character 9"),
        (".metadata.name", "is no path at character 1"),
    ],
)
def test_a_path_that_leads_to_no_value_is_refused(path: str, why: str) -> None:
    with pytest.raises(KeyError) as error:
        arguments.field_at(ROLLOUT, path)
    assert error.value.args == (why,)


def test_placeholders_are_replaced_in_keys_and_texts_and_nowhere_else() -> None:
    config = {
        "url": "http://{{args.host}}:{{ args.port }}/{{  args.host  }}",
        "only": "{{args.port}}",
        "{{args.host}}": [{"deep": "{{ args.host }}"}, 5, None, True, 0.5],
    }
    before = json.dumps(config)
    assert arguments.fill(config, {"host": "web", "port": "80"}) == {
        "url": "http://web:80/web",
        "only": "80",
        "web": [{"deep": "web"}, 5, None, True, 0.5],
    }
    assert json.dumps(config) == before


def test_what_a_value_brings_in_is_not_looked_at_again() -> None:
    values = {"a": "{{ args.b }}", "b": "secret"}
    assert arguments.fill("{{ args.a }}", values) == "{{ args.b }}"
    assert arguments.fill("{{ args.a }}", {"a": r"\1 \g<0>"}) == r"\1 \g<0>"


@pytest.mark.parametrize("text", ["{{ args.b }}", "{{ b }}", "{{}}", "x{{args.a.b}}"])
def test_a_placeholder_without_a_value_is_an_error_that_shows_no_value(
    text: str,
) -> None:
    with pytest.raises(MeasurementError) as error:
        arguments.fill({"q": ["{{ args.a }}", text]}, {"a": "hidden"})
    assert "has no value" in str(error.value)
    assert "hidden" not in str(error.value)


def test_the_arguments_of_a_structure_are_found() -> None:
    value = {"{{args.a}}": ["{{ args.b-c }} {{other}}", {"x": "{{ args.d"}]}
    assert arguments.names_in(value) == {"a", "b-c", "d"}
    assert arguments.placeholders_in(value) == [
        "args.a",
        "args.b-c",
        "other",
        "args.d",
    ]


@pytest.mark.parametrize(
    ("text", "clause"),
    [
        (
            "{{ args.servce }}",
            "the placeholder '{{ args.servce }}' stands for no declared argument (did"
            " you mean 'args.service'?); declare it below args, or, to send two braces"
            " as they are, give them in an argument's value.",
        ),
        (
            "{{ .status }}",
            "the placeholder '{{ .status }}' stands for no declared argument; declare"
            " it below args, or, to send two braces as they are, give them in an"
            " argument's value.",
        ),
    ],
)
def test_an_unknown_placeholder_is_refused(text: str, clause: str) -> None:
    assert arguments.unknown_placeholders([text, text], {"service"}) == [clause]
    assert arguments.unknown_placeholders("{{args.service}}", {"service"}) == []


def test_a_placeholder_that_is_not_closed_is_unknown() -> None:
    assert arguments.unknown_placeholders("{{ args.service", {"other"})


@given(st.text(), st.dictionaries(st.text(min_size=1), st.text()))
def test_filling_gives_text_or_says_what_is_missing(
    text: str, values: dict[str, str]
) -> None:
    try:
        filled = arguments.fill(text, values)
    except MeasurementError:
        assert arguments.placeholders_in(text)
    else:
        assert isinstance(filled, str)


@given(st.text(alphabet="abc.[]'\"0 ", max_size=20))
def test_no_path_is_more_than_refused(path: str) -> None:
    try:
        assert isinstance(arguments.field_at({"a": {"b": [1, "c"]}}, path), str)
    except KeyError as error:
        assert error.args[0].startswith("is no")


# -- plain data ------------------------------------------------------------------------


def test_plain_data_is_copied_and_dates_become_text() -> None:
    given_ = {"a": [1, 0.5, None, True, "x"], "b": {"c": datetime.date(2026, 1, 5)}}
    copied = shapes.plain(given_, "here")
    assert copied == {"a": [1, 0.5, None, True, "x"], "b": {"c": "2026-01-05"}}
    copied["a"].append(2)
    assert len(given_["a"]) == 5


def _endless() -> list[t.Any]:
    endless: list[t.Any] = []
    endless.append(endless)
    return endless


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (
            {"a": [{"b": float("nan")}]},
            "here: a[0].b: nan is not plain data; give text, a finite number, true,"
            " false, a list or a mapping.",
        ),
        (
            b"x",
            "here: b'x' is not plain data; give text, a finite number, true, false, a"
            " list or a mapping.",
        ),
        (
            "\ud800",
            r"here: '\ud800' is not plain data; give text, a finite number, true,"
            " false, a list or a mapping.",
        ),
        (
            {"a": 2**20000},
            "here: a: an unprintable int is not plain data; give text, a finite"
            " number, true, false, a list or a mapping.",
        ),
        ({"a": {True: 1}}, "here: a: the key True is not text; put it in quotes."),
        (
            _endless(),
            "here: this is nested deeper than 60 levels or has more than 50000 values;"
            " make it smaller.",
        ),
        (
            [[0] * 1000] * 100,
            "here: this is nested deeper than 60 levels or has more than 50000 values;"
            " make it smaller.",
        ),
    ],
)
def test_what_json_could_not_hold_is_refused(value: object, sentence: str) -> None:
    with pytest.raises(BadInput) as error:
        shapes.plain(value, "here")
    assert str(error.value) == sentence


def test_a_long_value_is_cut_in_messages() -> None:
    assert shapes.shown("x" * 500) == f"'{'x' * 59}..."


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("failure_limit", "failureLimit"),
        ("FAILURELIMIT", "failureLimit"),
        ("intervall", "interval"),
        ("sucessCondition", "successCondition"),
    ],
)
def test_a_close_name_is_proposed(name: str, meant: str) -> None:
    known = ("interval", "failureLimit", "successCondition")
    assert shapes.did_you_mean(name, known) == f" (did you mean {meant!r}?)"


def test_a_name_far_from_all_is_answered_with_all() -> None:
    assert shapes.did_you_mean("zebra", ("interval", "count")) == ""
    assert shapes.unknown_fields({"zebra": 1}, ("interval", "count"), "here") == [
        "here: 'zebra' is no field of it; known are interval, count."
    ]
