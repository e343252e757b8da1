# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The providers prometheus and compare against a real Prometheus."""

from __future__ import annotations

import dataclasses
import math
import typing as t
from datetime import datetime, timezone

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.measurement import (  # noqa: E501 - a name
    MeasurementError,
    Request,
    Value,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.providers import (  # noqa: E501 - a name
    compare,
    prometheus,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.prometheus import (
    Prometheus,
    running,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.waiting import (
    eventually,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.http_server import (
    HttpServer,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.vendors import place

# What the application exports: two revisions, the new one with twice the errors.
METRICS = """\
# TYPE app_temperature gauge
app_temperature 21.5
# TYPE app_nothing_yet gauge
app_nothing_yet NaN
# TYPE app_limit gauge
app_limit +Inf
# TYPE app_error_rate gauge
app_error_rate{revision="abc"} 0.04
app_error_rate{revision="def"} 0.02
# TYPE app_requests gauge
app_requests{revision="abc"} 150
app_requests{revision="def"} 4000
"""


@pytest.fixture(scope="module", autouse=True)
def _no_proxy() -> t.Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("no_proxy", "NO_PROXY"):
            patch.setenv(name, "127.0.0.1")
        yield


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Prometheus]:
    """A Prometheus that has scraped the application a few times."""
    with HttpServer() as exporter:
        text = {"Content-Type": "text/plain; version=0.0.4"}
        exporter.reply(METRICS, headers=text, path="/metrics")
        scraped = exporter.url.partition("//")[2]
        with running(scraped, tmp_path_factory.mktemp("prometheus")) as started:
            count = "count_over_time(app_temperature[1m])"
            eventually(
                lambda: measure(started, query=count).value > [3.0],
                what="the application is scraped",
            )
            yield started


def request(config: t.Mapping[str, t.Any], stable: t.Any = None) -> Request:
    there = dataclasses.replace(
        place(), now=lambda: datetime.now(timezone.utc), stable="def"
    )
    return Request("m", 1, config, stable or config, there)


def measure(server: Prometheus, **config: t.Any) -> Value:
    return prometheus.measure(request({"address": server.url, **config}))


def test_instant(server: Prometheus) -> None:
    outcome = measure(server, query="app_temperature")
    assert outcome.value == [21.5]
    assert outcome.metadata["ResolvedPrometheusQuery"] == "app_temperature"


def test_series(server: Prometheus) -> None:
    outcome = measure(server, query="sort(app_error_rate)")
    assert outcome.value == [0.02, 0.04]


def test_scalar(server: Prometheus) -> None:
    assert measure(server, query="scalar(app_temperature) * 2").value == 43.0


def test_no_samples(server: Prometheus) -> None:
    assert measure(server, query="app_that_is_not_there").value == []


def test_nan_and_infinity(server: Prometheus) -> None:
    (value,) = measure(server, query="app_nothing_yet").value
    assert math.isnan(value)
    assert measure(server, query="app_limit").value == [math.inf]
    (ratio,) = measure(server, query="0 * app_temperature / 0").value
    assert math.isnan(ratio)


def test_matrix(server: Prometheus) -> None:
    values = measure(server, query="app_temperature[1m]").value
    assert len(values) > 3
    assert set(values) == {21.5}


def test_range(server: Prometheus) -> None:
    span = {"start": 'now() - duration("4s")', "end": "now()", "step": "2s"}
    outcome = measure(server, query="vector(7)", rangeQuery=span)
    assert outcome.value == [7.0, 7.0, 7.0]


def test_range_without_samples(server: Prometheus) -> None:
    start = 'date("2020-01-01T00:00:00Z")'
    span = {"start": start, "end": f'{start} + duration("1m")', "step": "10s"}
    assert measure(server, query="app_temperature", rangeQuery=span).value == []


def test_range_with_too_many_points(server: Prometheus) -> None:
    span = {"start": 'now() - duration("24h")', "end": "now()", "step": "1s"}
    with pytest.raises(MeasurementError, match=r"\(bad_data\): .*11,000 points"):
        measure(server, query="app_temperature", rangeQuery=span)


def test_query_that_is_wrong(server: Prometheus) -> None:
    with pytest.raises(MeasurementError) as caught:
        measure(server, query="sum(rate(app_temperature[1m])")
    message = str(caught.value)
    assert message.startswith(
        f"POST {server.url}/api/v1/query answered 400, an error (bad_data): "
    )
    assert "parse error" in message
    assert "\n" not in message


def test_text(server: Prometheus) -> None:
    with pytest.raises(MeasurementError, match="answered with a string"):
        measure(server, query='"text"')


def test_long_query(server: Prometheus) -> None:
    """Longer than servers allow in a URL."""
    query = " or ".join(f'app_temperature{{a="{n}"}}' for n in range(2000))
    assert measure(server, query=query).value == []


def comparison(server: Prometheus, revision: str, least: int) -> dict[str, t.Any]:
    def query(metric: str) -> dict[str, t.Any]:
        text = f'sum({metric}{{revision="{revision}"}})'
        return {"prometheus": {"address": server.url, "query": text}}

    return {
        "provider": query("app_error_rate"),
        "samples": query("app_requests"),
        "minSamples": least,
    }


def test_comparison(server: Prometheus) -> None:
    blocks = [comparison(server, revision, 150) for revision in ("abc", "def")]
    outcome = compare.measure(request(*blocks))
    assert outcome.value == {
        "latest": 0.04,
        "stable": 0.02,
        "ratio": 2.0,
        "difference": 0.02,
        "samples": {"latest": 150.0, "stable": 4000.0},
    }


def test_comparison_with_too_few_samples(server: Prometheus) -> None:
    blocks = [comparison(server, revision, 151) for revision in ("abc", "def")]
    outcome = compare.measure(request(*blocks))
    assert outcome.value is None
    assert outcome.metadata["reason"] == (
        "There are 150 samples of the latest revision, at least 151 are expected."
    )


def test_comparison_with_a_revision_without_metrics(server: Prometheus) -> None:
    blocks = [comparison(server, revision, 1) for revision in ("abc", "gone")]
    outcome = compare.measure(request(*blocks))
    assert outcome.value is None
    assert "of the stable revision: there is no data" in outcome.metadata["reason"]
