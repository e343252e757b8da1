# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A composed analysis, parsed; and a sentence for everything that is wrong with it."""

from __future__ import annotations

import copy
import typing as t

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis import (
    durations,
    parsing,
    registry,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.spec import (
    Metric,
    Range,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._errors import BadInput

WEB: dict[str, t.Any] = {"web": {"url": "http://web.example/health"}}


def composed(*metrics: object, **rest: object) -> dict[str, t.Any]:
    return {"metrics": list(metrics), **rest}


def metric(**fields: object) -> dict[str, t.Any]:
    return {"name": "m", "provider": copy.deepcopy(WEB), **fields}


def parsed(**fields: object) -> Metric:
    return parsing.parse(composed(metric(**fields)), {}).metric("m")


def problems(
    *metrics: object, values: t.Mapping[str, str] | None = None, **rest: object
) -> list[str]:
    return parsing.problems_of(composed(*metrics, **rest), values or {})


# -- durations -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("0s", 0),
        ("10s", 10),
        ("1h30m", 5400),
        ("500ms", 0.5),
        ("1.5h", 5400),
        (".5s", 0.5),
        ("1.s", 1),
        ("2m3.5s", 123.5),
        ("250us", 0.00025),
        ("250µs", 0.00025),  # the micro sign
        ("250μs", 0.00025),  # the Greek letter
        ("1ns", 1e-9),
    ],
)
def test_a_duration_is_read_as_go_reads_it(text: str, seconds: float) -> None:
    assert durations.seconds_of(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", "5", "s", "-5s", "5 s", "5 minutes", "1d", "1h 30m", "5S", "1e3s", "٥s"]
    + ["9" * 400 + "h", "1s" * 60, "300000000h", 5, 5.0, None, True],
)
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError):
        durations.seconds_of(text)


# -- one metric ------------------------------------------------------------------------


def test_a_metric_without_settings_has_the_defaults_of_argo_rollouts() -> None:
    assert parsed() == Metric(name="m", provider="web", config=WEB["web"])


def test_every_field_is_read() -> None:
    assert parsed(
        interval="1m",
        initialDelay="1h30m",
        count="6",
        failureCondition="result < 0.5",
        thresholdRange={"min": "0.5", "max": 2},
        noData="fail",
        failureLimit="2",
        inconclusiveLimit=3,
        consecutiveErrorLimit=0,
        consecutiveSuccessLimit=4,
    ) == Metric(
        name="m",
        provider="web",
        config=WEB["web"],
        interval=60.0,
        initial_delay=5400.0,
        count=6,
        failure_condition="result < 0.5",
        threshold_range=Range(0.5, 2.0),
        no_data="fail",
        failure_limit=2,
        inconclusive_limit=3,
        consecutive_error_limit=0,
        consecutive_success_limit=4,
    )


@pytest.mark.parametrize(
    ("fields", "count"),
    [({}, 1), ({"count": 0}, 1), ({"count": 1}, 1), ({"count": 1, "interval": "5s"}, 1)]
    + [({"count": 9, "interval": "5s"}, 9), ({"interval": "", "count": ""}, 1)],
)
def test_the_count_that_holds(fields: dict[str, t.Any], count: int) -> None:
    assert parsed(**fields).count == count


@pytest.mark.parametrize("fields", [{"interval": "5s"}, {"interval": "5s", "count": 0}])
def test_a_metric_may_be_endless_where_no_release_waits(
    fields: dict[str, t.Any],
) -> None:
    whole = composed(metric(**fields))
    assert parsing.parse(whole, {}, gate=False).metrics[0].count is None
    assert parsing.problems_of(whole, {}) == [
        "metric m: count: there is an interval without a count, so the metric would"
        " never end and the release wait for ever; give the number of measurements."
    ]


PLACED = {
    "args": [
        {"name": "n", "value": "4"},
        {"name": "gap", "value": "3s"},
        {"name": "least", "value": "0.9"},
        {"name": "hash", "valueFrom": {"podTemplateHashValue": "Latest"}},
        {"name": "key", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
    ]
}


def test_placeholders_are_replaced_everywhere_but_in_the_providers_block() -> None:
    raw = metric(
        interval="{{args.gap}}",
        initialDelay="{{ args.gap }}",
        count="{{args.n}}",
        failureLimit="{{args.n}}",
        thresholdRange={"min": "{{args.least}}"},
        failureCondition="result < {{ args.least }} || '{{args.hash}}' == ''",
        provider={"web": {"url": "http://{{args.hash}}/?k={{args.key}}"}},
    )
    whole = composed(raw, **PLACED)
    values = parsing.values_of(whole, {"Latest": "abc", "Stable": "def"})
    assert values == {"n": "4", "gap": "3s", "least": "0.9", "hash": "abc"}
    assert parsing.secrets_of(whole) == {"key": ("s", "k")}
    found = parsing.parse(whole, values).metric("m")
    assert (found.interval, found.initial_delay) == (3.0, 3.0)
    assert (found.count, found.failure_limit) == (4, 4)
    assert found.threshold_range == Range(0.9, None)
    assert found.failure_condition == "result < 0.9 || 'abc' == ''"
    assert found.config == {"url": "http://{{args.hash}}/?k={{args.key}}"}


@pytest.mark.parametrize(
    "field",
    ["interval", "initialDelay", "count", "failureLimit", "noData"]
    + ["successCondition", "failureCondition"],
)
def test_a_secret_stands_only_below_the_provider(field: str) -> None:
    assert problems(metric(**{field: "{{ args.key }}"}), **PLACED) == [
        f"metric m: {field}: the secret argument key stands here, where it would be"
        " shown; use it only below provider."
    ]


def test_a_hash_that_is_not_known_is_said() -> None:
    assert problems(metric(noData="{{ args.hash }}"), **PLACED) == [
        "metric m: noData: the placeholder '{{ args.hash }}' has no value; give its"
        " argument one."
    ]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"failure_limit": 2},
            "'failure_limit' is no field of it (did you mean 'failureLimit'?).",
        ),
        (
            {"interval": 5},
            "interval: 5 is not a duration; write a number and a unit, such as 500ms,"
            " 10s, 5m or 1h30m.",
        ),
        (
            {"initialDelay": "soon"},
            "initialDelay: 'soon' is not a duration; write a number and a unit, such as"
            " 500ms, 10s, 5m or 1h30m.",
        ),
        (
            {"interval": "0s", "count": 2},
            "interval: 0 seconds is no interval; give more.",
        ),
        (
            {"count": 2},
            "interval: count is 2, and nothing says how long to wait between"
            " measurements; give an interval such as 10s.",
        ),
        (
            {"count": 2.5},
            "count: 2.5 is no whole number of at least 0; give one.",
        ),
        (
            {"count": True},
            "count: True is no whole number of at least 0; give one.",
        ),
        (
            {"count": "many"},
            "count: 'many' is no whole number of at least 0; give one.",
        ),
        (
            {"count": -1},
            "count: -1 is no whole number of at least 0; give one.",
        ),
        (
            {"count": 2**31},
            "count: 2147483648 is no whole number of at least 0; give one.",
        ),
        (
            {"failureLimit": -2},
            "failureLimit: -2 is no whole number of at least -1 (-1 means no limit);"
            " give one.",
        ),
        (
            {"inconclusiveLimit": -1},
            "inconclusiveLimit: -1 is no whole number of at least 0; give one.",
        ),
        (
            {"consecutiveErrorLimit": -1},
            "consecutiveErrorLimit: -1 is no whole number of at least 0; give one.",
        ),
        (
            {"consecutiveSuccessLimit": -1},
            "consecutiveSuccessLimit: -1 is no whole number of at least 0; give one.",
        ),
        (
            {"failureLimit": -1},
            "failureLimit: it is off (-1) and consecutiveSuccessLimit is, too, so that"
            " nothing could decide; give one of them.",
        ),
        (
            {"failureLimit": 2, "consecutiveSuccessLimit": 2, "count": 3}
            | {"interval": "5s"},
            "count: 3 is less than failureLimit (2) and consecutiveSuccessLimit (2)"
            " together, which could never be met; give 4 or more, or lower them.",
        ),
        (
            {"failureLimit": 2},
            "count: 1 is less than failureLimit (2) and consecutiveSuccessLimit (0)"
            " together, which could never be met; give 2 or more, or lower them.",
        ),
        (
            {"inconclusiveLimit": 2},
            "count: 1 is less than inconclusiveLimit (2), which could never be met;"
            " raise it, or lower the limit.",
        ),
        (
            {"noData": "success"},
            "noData: 'success' is not known; write inconclusive, fail, pass.",
        ),
        (
            {"noData": "inconclusiv"},
            "noData: 'inconclusiv' is not known (did you mean 'inconclusive'?); write"
            " inconclusive, fail, pass.",
        ),
        (
            {"noData": ["fail"]},
            "noData: ['fail'] is not known; write inconclusive, fail, pass.",
        ),
        (
            {"successCondition": True},
            "successCondition: True is not text; put it in quotes.",
        ),
        (
            {"thresholdRange": [1, 2]},
            "thresholdRange: a mapping with min, max or both is expected, [1, 2] was"
            " found.",
        ),
        (
            {"thresholdRange": {"min": 1, "maximum": 2}},
            "thresholdRange: a mapping with min, max or both is expected, {'min': 1,"
            " 'maximum': 2} was found.",
        ),
        (
            {"thresholdRange": {}},
            "thresholdRange: neither min nor max is given; give at least one.",
        ),
        (
            {"thresholdRange": {"min": None}},
            "thresholdRange: neither min nor max is given; give at least one.",
        ),
        (
            {"thresholdRange": {"min": "inf"}},
            "thresholdRange: min is 'inf'; give a finite number.",
        ),
        (
            {"thresholdRange": {"max": True}},
            "thresholdRange: max is True; give a finite number.",
        ),
        (
            {"thresholdRange": {"min": 3, "max": 2}},
            "thresholdRange: min 3 is above max 2, which no value can meet; swap them.",
        ),
        (
            {"thresholdRange": {"min": 3}, "successCondition": "result > 3"},
            "thresholdRange: it stands for a successCondition, and one is given, too;"
            " keep one.",
        ),
        (
            {"provider": None},
            "provider: a mapping with one provider is expected, None was found.",
        ),
        (
            {"provider": {}},
            "provider: exactly one is expected, none with settings was found; give one,"
            " with {} where it needs no settings.",
        ),
        (
            {"provider": {"pods": None}},
            "provider: exactly one is expected, none with settings was found; give one,"
            " with {} where it needs no settings.",
        ),
        (
            {"provider": {**WEB, "pods": {}}},
            "provider: exactly one is expected, 'web' and 'pods' was found; give one,"
            " with {} where it needs no settings.",
        ),
        (
            {"provider": {"prometeus": {}}},
            "provider: 'prometeus' is not known (did you mean 'prometheus'?); there are"
            " cloudWatch, compare, datadog, graphite, influxdb, job, kayenta, newRelic,"
            " pods, probe, prometheus, skywalking, wavefront, web.",
        ),
        (
            {"provider": {"web": "http://web.example"}},
            "provider.web: a mapping is expected, 'http://web.example' was found.",
        ),
    ],
)
def test_what_is_wrong_with_a_metric_is_said_in_one_sentence(
    fields: dict[str, t.Any], sentence: str
) -> None:
    raw = metric(**fields, _template="shop")
    assert problems(raw) == [f"template shop, metric m: {sentence}"]


def test_a_null_beside_the_one_provider_is_nothing() -> None:
    assert parsed(provider={**WEB, "job": None}).provider == "web"


def test_a_condition_that_cannot_be_read_is_said_with_its_place() -> None:
    (sentence,) = problems(metric(successCondition="result >= "))
    assert sentence.startswith("metric m: successCondition: ")
    assert "result >=" in sentence


def test_what_a_provider_says_of_its_block_names_the_field() -> None:
    found = problems(metric(provider={"web": {"url": "ftp://x", "urll": "x"}}))
    assert [s.split(": ")[1] for s in found] == [
        "provider.web.urll",
        "provider.web.url",
    ]
    assert all(s.endswith(".") and not s.endswith("..") for s in found)


def test_unknown_placeholders_are_said_once_for_each_metric() -> None:
    raw = metric(count="{{args.nn}}", provider={"web": {"url": "http://{{args.nn}}"}})
    assert problems(raw, **PLACED) == [
        "metric m: the placeholder '{{ args.nn }}' stands for no declared argument (did"
        " you mean 'args.n'?); declare it below args, or, to send two braces as they"
        " are, give them in an argument's value."
    ]


# -- the whole -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("whole", "sentence"),
    [
        (None, "the analysis: a mapping is expected, None was found."),
        ([], "the analysis: a mapping is expected, [] was found."),
        (
            {},
            "the analysis has no metrics; name a template that has at least one.",
        ),
        (
            composed(5, metric()),
            "metrics[0]: a mapping with a name is expected, 5 was found.",
        ),
        (
            composed({"_template": "shop", "name": ""}, metric()),
            "template shop, metrics[0]: a mapping with a name is expected,"
            " {'_template': 'shop', 'name': ''} was found.",
        ),
        (
            composed(metric(_template="a"), metric(_template="b")),
            "template b, metric m: the name is also that of template a, metric m;"
            " rename one of them.",
        ),
        (
            composed(metric(), args=[{"name": "a"}]),
            "argument a: no value was given, and its template has no default; give it"
            " below args.",
        ),
        (
            composed(metric(), args={"a": 1}),
            "the analysis: args: a list is expected, {'a': 1} was found.",
        ),
        (
            composed(
                metric(),
                args=[{"name": "a", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}],
            ),
            "argument a: valueFrom.fieldRef was not resolved; give a value.",
        ),
        (
            composed(metric(), dryRun=[{"metricName": "other"}]),
            "dryRun[0]: metricName 'other' matches no metric; there are m.",
        ),
        (
            composed(metric(), dryRun=["m"]),
            "dryRun[0]: a mapping with metricName is expected, 'm' was found.",
        ),
        (
            composed(metric(), dryRun=[{"metricName": "m", "limit": 1}]),
            "dryRun[0]: 'limit' is no field of it; known are metricName.",
        ),
        (
            composed(metric(), dryRun=[{"metricName": "m"}, {"metricName": "m"}]),
            "dryRun[1]: there are two rules for 'm'; keep one.",
        ),
        (
            composed(metric(), dryRun=[{"metricName": "m("}]),
            "dryRun[0]: metricName 'm(' is not a regular expression (missing ),"
            " unterminated subpattern at position 1); write one, or a metric's name.",
        ),
        (
            composed(metric(), measurementRetention=[{"metricName": "m"}]),
            "measurementRetention: 'm': limit: None is no number of measurements; give"
            " a whole number of at least 1, or 0 for the default.",
        ),
        (
            composed(metric(), measurementRetention=[{"metricName": "m", "limit": -1}]),
            "measurementRetention: 'm': limit: -1 is no number of measurements; give a"
            " whole number of at least 1, or 0 for the default.",
        ),
    ],
)
def test_what_is_wrong_with_the_whole_is_said_in_one_sentence(
    whole: object, sentence: str
) -> None:
    assert parsing.problems_of(whole, {}) == [sentence]
    with pytest.raises(BadInput) as error:
        parsing.parse(whole, {})
    assert str(error.value) == sentence


def test_a_rule_is_a_regular_expression_that_matches_anywhere() -> None:
    spec = parsing.parse(
        composed(
            *(metric(name=name) for name in ("errors", "error-rate", "latency")),
            dryRun=[{"metricName": "rror"}],
            measurementRetention=[
                {"metricName": ".*", "limit": "20"},
                {"metricName": "^errors$", "limit": 0},
                {"metricName": "[[l]at", "limit": 3},
            ],
        ),
        {},
    )
    assert {m.name: (m.dry_run, m.retention) for m in spec.metrics} == {
        "errors": (True, 10),
        "error-rate": (True, 20),
        "latency": (False, 3),
    }


def test_everything_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(BadInput) as error:
        parsing.parse(
            composed(
                metric(interval="soon", count=-1, successCondition=5),
                metric(name="n", provider={}, noData="x"),
                dryRun=[{"metricName": "zebra"}],
            ),
            {},
        )
    lines = str(error.value).split("\n")
    assert [line.split(":")[0] for line in lines] == [
        "dryRun[0]",
        "metric m",
        "metric m",
        "metric m",
        "metric n",
        "metric n",
    ]


# Fields and values that are nearly right find more than noise does.
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        ["5s", "m", "{{args.a}}", "{{ x", "result > 1", "0", "-1", "fail", "Stable"]
    ),
)
_KEYS = st.sampled_from(
    [*parsing.METRIC_FIELDS, "metrics", "args", "dryRun", "measurementRetention"]
    + ["metricName", "limit", "value", "valueFrom", "secretKeyRef", "key", "fieldRef"]
    + ["fieldPath", "podTemplateHashValue", "min", "max", "web", "job", "pods", "url"]
    + ["query", "address", "interval", "headers", "threshold", "scopes", "spec"]
    + ["timeoutSeconds", "authentication", "_template", "x", *registry.NAMES]
)
STRUCTURES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(_KEYS, inner, max_size=5)
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(
    st.fixed_dictionaries(
        {"metrics": st.lists(st.dictionaries(_KEYS, STRUCTURES), max_size=3)},
        optional={
            "args": st.lists(st.dictionaries(_KEYS, STRUCTURES), max_size=3),
            "dryRun": STRUCTURES,
            "measurementRetention": STRUCTURES,
        },
    ),
    st.dictionaries(st.sampled_from(["a", "b"]), st.text(max_size=5)),
)
def test_no_structure_is_more_than_refused(
    whole: dict[str, t.Any], values: dict[str, str]
) -> None:
    found = parsing.problems_of(whole, values)
    try:
        parsing.parse(whole, values)
    except BadInput as error:
        assert str(error) == "\n".join(found)
    else:
        assert not found
    parsing.values_of(whole, {"Stable": "s"})
    parsing.secrets_of(whole)


@settings(deadline=None)
@given(st.dictionaries(_KEYS, STRUCTURES, max_size=8))
def test_no_metric_is_more_than_refused(fields: dict[str, t.Any]) -> None:
    whole = composed({**metric(), **fields})
    found = parsing.problems_of(whole, {})
    assert all("\n" not in sentence and sentence.endswith(".") for sentence in found)


@given(
    st.one_of(
        STRUCTURES, st.binary(), st.dates(), st.dictionaries(st.dates(), st.text())
    )
)
def test_nothing_else_is_more_than_refused(whole: object) -> None:
    assert isinstance(parsing.problems_of(whole, {}), list)
