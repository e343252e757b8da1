# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""CloudWatch's provider against moto's server: real requests, signed by botocore.

moto's is not AWS's server, and does not verify signatures; that the requests are
those of GetMetricData, and the answers are read as they come, it shows.
"""

from __future__ import annotations

import typing as t
from datetime import datetime, timedelta, timezone

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.measurement import (  # noqa: E501 - a name
    MeasurementError,
    Value,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.providers import (  # noqa: E501 - a name
    cloudwatch,
)
from ansible_collections.cutover.bluegreen.tests.integration.support import moto
from ansible_collections.cutover.bluegreen.tests.unit.support import vendors

botocore_session = pytest.importorskip(
    "botocore.session", reason="botocore is not in this environment"
)

NAMESPACE = "app"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "the-secret"}
# In the midst of a second: moto counts in whole ones.
NOW = datetime.now(timezone.utc).replace(microsecond=500_000)


@pytest.fixture(scope="module")
def aws() -> t.Iterator[str]:
    """The address of AWS, which holds two minutes of requests and errors."""
    with moto.running() as address:
        session = botocore_session.Session()
        session.set_credentials("AKIATEST", "the-secret")
        client = session.create_client(
            "cloudwatch", region_name="eu-west-1", endpoint_url=address
        )
        client.put_metric_data(
            Namespace=NAMESPACE,
            MetricData=[
                datum(name, value, minutes_ago)
                for minutes_ago in (4, 8)
                for name, value in (("requests", 200.0), ("errors", 1.0))
            ],
        )
        yield address


def datum(name: str, value: float, minutes_ago: int) -> dict[str, t.Any]:
    return {
        "MetricName": name,
        "Value": value,
        "Unit": "Count",
        "Timestamp": NOW - timedelta(minutes=minutes_ago),
        "Dimensions": [{"Name": "service", "Value": "web"}],
    }


def stat(metric: str, **more: t.Any) -> dict[str, t.Any]:
    return {
        "id": metric,
        "metricStat": {
            "metric": {
                "namespace": NAMESPACE,
                "metricName": metric,
                "dimensions": [{"name": "service", "value": "web"}],
            },
            "period": 60,
            "stat": "Sum",
            "unit": "Count",
        },
        **more,
    }


def measure(address: str, queries: list[t.Any], **more: t.Any) -> Value:
    config = {
        "endpointUrl": address,
        "region": "eu-west-1",
        "secretRef": {"name": "aws"},
        "metricDataQueries": queries,
        **more,
    }
    request = vendors.request(config, {"aws": KEYS}, now=NOW)
    outcome = cloudwatch.measure(request)
    assert isinstance(outcome, Value)
    return outcome


def test_the_values_of_the_window_come_with_their_instants(aws: str) -> None:
    (result,) = measure(aws, [stat("requests")], interval="5m").value
    assert result["Id"] == "requests"
    assert result["Values"] == [200.0]
    (instant,) = result["Timestamps"]
    seen = datetime.strptime(instant, "%Y-%m-%dT%H:%M:%S%z")
    assert abs(seen - (NOW - timedelta(minutes=4))) <= timedelta(minutes=1)
    assert result["StatusCode"] == "Complete"


def test_a_longer_interval_sees_more(aws: str) -> None:
    (result,) = measure(aws, [stat("requests")], interval="10m").value
    assert result["Values"] == [200.0, 200.0]


def test_several_queries_come_in_their_order(aws: str) -> None:
    queries = [stat("errors", label="bad"), stat("requests", returnData=True)]
    results = measure(aws, queries, interval="5m").value
    assert [(result["Id"], result["Values"]) for result in results] == [
        ("errors", [1.0]),
        ("requests", [200.0]),
    ]
    assert results[0]["Label"] == "bad"


def test_only_what_returns_data_is_in_the_value(aws: str) -> None:
    # moto knows no other expressions than the id of another query.
    queries = [
        {"id": "rate", "expression": "errors"},
        stat("errors", returnData=False),
        stat("requests", returnData=False),
    ]
    (result,) = measure(aws, queries, interval="5m").value
    assert (result["Id"], result["Values"]) == ("rate", [1.0])


def test_an_unknown_metric_is_no_data(aws: str) -> None:
    assert measure(aws, [stat("unknown")]).value == []


def test_a_window_without_values_is_no_data(aws: str) -> None:
    assert measure(aws, [stat("requests")], interval="1m").value == []


def test_a_refusal_is_a_sentence_without_secrets(aws: str) -> None:
    with pytest.raises(
        MeasurementError, match="CloudWatch refused.*StartTime"
    ) as caught:
        measure(aws, [stat("requests")], interval="1ms")
    assert "the-secret" not in str(caught.value)
