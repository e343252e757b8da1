# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""CloudWatch's provider, against a server that speaks as its JSON API is documented.

It is not AWS's server: what is shown here is that requests are signed and shaped as
documented, and what becomes of answers that AWS does not give when all is well.
tests/integration/test_cloudwatch.py asks moto's server.
"""

from __future__ import annotations

import json
import os
import typing as t

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.cutover.bluegreen.plugins.module_utils import _deps
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.measurement import (  # noqa: E501 - a name
    MeasurementError,
    SecretMissing,
    Value,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.providers import (  # noqa: E501 - a name
    cloudwatch,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.http_server import (
    Drip,
    Hang,
    HttpServer,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.search import examples
from ansible_collections.cutover.bluegreen.tests.unit.support.vendors import (
    NO_ANSWERS,
    NOW_SECONDS,
    request,
)

needs_botocore = pytest.mark.skipif(
    _deps.botocore() is None, reason="botocore is not in this environment"
)
KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIATEST",
    "AWS_SECRET_ACCESS_KEY": "the-secret-key",
    "AWS_SESSION_TOKEN": "the-session-token",
}
STAT = {
    "metric": {"namespace": "app", "metricName": "errors"},
    "period": 300,
    "stat": "Sum",
}
QUERIES = [
    {"id": "rate", "expression": "errors / requests"},
    {"id": "errors", "metricStat": {**STAT, "period": "300"}, "returnData": False},
]
RESULT = {
    "Id": "rate",
    "Label": "rate",
    "StatusCode": "Complete",
    "Timestamps": [NOW_SECONDS],
    "Values": [0.5],
}


@pytest.fixture(autouse=True)
def _no_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of AWS's in the environment, and no question to a cloud's network."""
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def block(server: HttpServer, **more: t.Any) -> dict[str, t.Any]:
    return {
        "endpointUrl": server.url,
        "region": "eu-west-1",
        "secretRef": {"name": "aws"},
        "metricDataQueries": QUERIES,
        **more,
    }


def measure(server: HttpServer, **more: t.Any) -> Value:
    outcome = cloudwatch.measure(request(block(server, **more), {"aws": KEYS}))
    assert isinstance(outcome, Value)
    return outcome


# -- the request -----------------------------------------------------------------------


@needs_botocore
def test_the_request_is_signed_and_spelt_as_aws_does(server: HttpServer) -> None:
    server.reply({"MetricDataResults": [RESULT]})
    measure(server, interval="30m")
    (asked,) = server.requests
    assert (asked.method, asked.path) == ("POST", "/")
    assert (
        asked.headers["x-amz-target"] == "GraniteServiceVersion20100801.GetMetricData"
    )
    authorization = asked.headers["authorization"]
    assert authorization.startswith("AWS4-HMAC-SHA256 Credential=AKIATEST/")
    assert "/eu-west-1/monitoring/aws4_request" in authorization
    assert asked.headers["x-amz-security-token"] == "the-session-token"
    sent = asked.json()
    assert (sent["StartTime"], sent["EndTime"]) == (NOW_SECONDS - 1800, NOW_SECONDS)
    assert sent["MetricDataQueries"] == [
        {"Id": "rate", "Expression": "errors / requests"},
        {
            "Id": "errors",
            "ReturnData": False,
            "MetricStat": {
                "Metric": {"Namespace": "app", "MetricName": "errors"},
                "Period": 300,
                "Stat": "Sum",
            },
        },
    ]


@needs_botocore
def test_dimensions_are_spelt_as_aws_does(server: HttpServer) -> None:
    server.reply({"MetricDataResults": []})
    dimensions = [{"name": "service", "value": "web"}]
    metric = {"namespace": "app", "metricName": "errors", "dimensions": dimensions}
    measure(
        server,
        metricDataQueries=[{"id": "a", "metricStat": {**STAT, "metric": metric}}],
    )
    (query,) = server.requests[0].json()["MetricDataQueries"]
    sent = query["MetricStat"]["Metric"]["Dimensions"]
    assert sent == [{"Name": "service", "Value": "web"}]


@needs_botocore
def test_without_a_secret_the_environment_gives_the_keys(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "key")
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    server.reply({"MetricDataResults": []})
    measure(server, secretRef=None, region=None)
    authorization = server.requests[0].headers["authorization"]
    assert "Credential=AKIAENV/" in authorization
    assert "/us-west-2/monitoring/" in authorization


@needs_botocore
def test_the_secret_may_give_the_region(server: HttpServer) -> None:
    server.reply({"MetricDataResults": []})
    secrets = {"aws": {**KEYS, "AWS_REGION": "sa-east-1"}}
    cloudwatch.measure(request(block(server, region=None), secrets))
    assert "/sa-east-1/" in server.requests[0].headers["authorization"]


@needs_botocore
def test_no_credentials_at_all(server: HttpServer) -> None:
    with pytest.raises(MeasurementError, match="There are no AWS credentials; give"):
        measure(server, secretRef=None)
    assert server.requests == []


@needs_botocore
def test_no_region_at_all(server: HttpServer) -> None:
    with pytest.raises(MeasurementError, match="There is no AWS region; give region"):
        measure(server, region=None)


@needs_botocore
def test_a_region_that_cannot_be_one(server: HttpServer) -> None:
    with pytest.raises(MeasurementError, match="CloudWatch was not asked: .*region"):
        measure(server, region="not a region")


@needs_botocore
@pytest.mark.parametrize("left_out", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_a_missing_key_is_told(server: HttpServer, left_out: str) -> None:
    keys = {name: value for name, value in KEYS.items() if name != left_out}
    with pytest.raises(SecretMissing, match=left_out):
        cloudwatch.measure(request(block(server), {"aws": keys}))


def test_without_botocore_the_sentence_says_what_to_install(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_deps, "botocore", lambda: None)
    with pytest.raises(MeasurementError, match="pip install botocore"):
        measure(server)


# -- the answer ------------------------------------------------------------------------


@needs_botocore
def test_the_results_are_plain_data(server: HttpServer) -> None:
    empty = {"Id": "errors", "Label": "x", "Values": [], "Timestamps": []}
    server.reply({"MetricDataResults": [RESULT, empty]})
    outcome = measure(server)
    assert json.loads(json.dumps(outcome.value)) == [
        {**RESULT, "Timestamps": ["2020-01-01T12:00:00Z"], "Messages": []},
        {**empty, "StatusCode": "", "Messages": []},
    ]


@needs_botocore
@pytest.mark.parametrize(
    "results", [[], [{**RESULT, "Values": [], "Timestamps": []}], [{"Id": "rate"}]]
)
def test_results_without_a_value_are_no_data(
    server: HttpServer, results: list[t.Any]
) -> None:
    server.reply({"MetricDataResults": results})
    assert measure(server).value == []


@needs_botocore
def test_messages_are_kept(server: HttpServer) -> None:
    message = {"Code": "MaxMetricsExceeded", "Value": "only 500"}
    server.reply({"MetricDataResults": [RESULT], "Messages": [message]})
    assert measure(server).metadata == {"messages": "MaxMetricsExceeded: only 500"}


@needs_botocore
def test_more_than_one_answer_holds_is_an_error(server: HttpServer) -> None:
    server.reply({"MetricDataResults": [RESULT], "NextToken": "more"})
    with pytest.raises(MeasurementError, match="make interval shorter"):
        measure(server)


@needs_botocore
def test_a_refusal_shows_its_code_and_no_secret(server: HttpServer) -> None:
    error = {
        "__type": "com.amazonaws#SignatureDoesNotMatch",
        "message": "should have been\nx-amz-security-token:the-session-token\nhost",
    }
    server.reply(error, status=403)
    with pytest.raises(MeasurementError) as caught:
        measure(server)
    message = str(caught.value)
    assert message.startswith(
        "CloudWatch refused the request: SignatureDoesNotMatch should have been"
    )
    assert "the-s" not in message
    assert len(server.requests) == 1


@needs_botocore
@pytest.mark.parametrize("status", [200, 403])
@pytest.mark.parametrize("answer", NO_ANSWERS, ids=range(len(NO_ANSWERS)))
def test_whatever_answers_becomes_a_sentence(
    server: HttpServer, answer: t.Any, status: int
) -> None:
    server.reply(answer, status=status)
    with pytest.raises(MeasurementError) as caught:
        measure(server)
    assert "\n" not in str(caught.value)
    assert "the-s" not in str(caught.value)


values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*RESULT, "MetricDataResults", "Messages", "Code"]), inner
        )
    ),
    max_leaves=8,
)


@needs_botocore
@settings(
    max_examples=examples(15),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(results=values, messages=values)
def test_no_answer_raises_anything_else(
    server: HttpServer, results: t.Any, messages: t.Any
) -> None:
    server.reply({"MetricDataResults": results, "Messages": messages})
    try:
        outcome = measure(server)
    except MeasurementError as error:
        assert "\n" not in str(error)
    else:
        json.dumps(outcome.value)


@needs_botocore
@pytest.mark.parametrize("script", [Hang(), Drip()], ids=str)
def test_a_server_that_does_not_end_is_cut_off(
    server: HttpServer, script: t.Any
) -> None:
    server.reply(script)
    with pytest.raises(MeasurementError, match=r" 0\.3 s"):
        measure(server, timeoutSeconds=0.3)


def test_the_engine_also_waits_for_credentials() -> None:
    assert cloudwatch.seconds_allowed({}) == 30
    assert cloudwatch.seconds_allowed({"timeoutSeconds": 5}) == 25


# -- what is wrong ---------------------------------------------------------------------


def stat(**more: t.Any) -> dict[str, t.Any]:
    return {"id": "a", "metricStat": {**STAT, **more}}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("SELECT", ""),
        ({}, ".id"),
        ({"id": "A", "expression": "x"}, ".id"),
        ({"id": "a"}, ""),
        ({"id": "a", "expression": "x", "metricStat": STAT}, ""),
        ({"id": "a", "expression": 7}, ".expression"),
        ({"id": "a", "expression": "x", "period": 0}, ".period"),
        ({"id": "a", "expression": "x", "period": "5m"}, ".period"),
        ({"id": "a", "expression": "x", "returnData": "no"}, ".returnData"),
        ({"id": "a", "expression": "x", "Label": "x"}, ".Label"),
        ({"id": "a", "metricStat": "errors"}, ".metricStat"),
        (stat(period=None), ".metricStat.period"),
        (stat(stat=None), ".metricStat.stat"),
        (stat(unit=1), ".metricStat.unit"),
        (stat(metric=None), ".metricStat.metric"),
        (stat(metric={"namespace": "x"}), ".metricStat.metric.metricName"),
        (stat(metric={"metricName": "x"}), ".metricStat.metric.namespace"),
        (
            stat(metric={**STAT["metric"], "dimensions": {}}),
            ".metricStat.metric.dimensions",
        ),
        (
            stat(metric={**STAT["metric"], "dimensions": [{"name": "a"}]}),
            ".metricStat.metric.dimensions[0].value",
        ),
    ],
    ids=str,
)
def test_a_bad_query_names_its_field(query: t.Any, field: str) -> None:
    found = cloudwatch.problems({"metricDataQueries": [QUERIES[0], query]})
    expected = f"cloudWatch.metricDataQueries[1]{field}"
    assert expected in [problem.field for problem in found]


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"metricDataQueries": None}, "metricDataQueries"),
        ({"metricDataQueries": []}, "metricDataQueries"),
        ({"metricDataQueries": "[]"}, "metricDataQueries"),
        (
            {"metricDataQueries": [{**QUERIES[0], "returnData": False}]},
            "metricDataQueries",
        ),
        ({"interval": "now"}, "interval"),
        ({"region": 7}, "region"),
        ({"endpointUrl": "monitoring"}, "endpointUrl"),
        ({"secretRef": "aws"}, "secretRef"),
        ({"timeoutSeconds": "x"}, "timeoutSeconds"),
        ({"regoin": "x"}, "regoin"),
        ({"headers": []}, "headers"),
    ],
    ids=str,
)
def test_bad_input_names_its_field(config: dict[str, t.Any], field: str) -> None:
    whole = {"metricDataQueries": QUERIES, **config}
    assert [p.field for p in cloudwatch.problems(whole)] == [f"cloudWatch.{field}"]
    with pytest.raises(MeasurementError, match=rf"^cloudWatch\.{field}: "):
        cloudwatch.measure(request(whole))


def test_what_is_right_or_not_known_yet_is_no_problem() -> None:
    query = {"id": "{{args.id}}", "metricStat": {**STAT, "period": "{{args.p}}"}}
    config = {"metricDataQueries": [query], "interval": "{{args.i}}", "region": "x"}
    assert cloudwatch.problems(config) == []
