# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two revisions side by side, measured by the provider prometheus."""

from __future__ import annotations

import dataclasses
import math
import typing as t
from datetime import datetime, timedelta

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.measurement import (  # noqa: E501 - a name
    MeasurementError,
    Request,
    Value,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.providers import (  # noqa: E501 - a name
    compare,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.http_server import (
    HttpServer,
    Received,
    Reply,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.vendors import (
    NOW,
    place,
)


def serve(server: HttpServer, **values: t.Any) -> None:
    """Prometheus, whose queries are the names of these values."""

    def answer(received: Received) -> Reply:
        given = values[received.form["query"]]
        texts = given if isinstance(given, list) else [given]
        result = [{"metric": {}, "value": [1, str(x)]} for x in texts]
        return Reply(
            {"status": "success", "data": {"resultType": "vector", "result": result}}
        )

    server.reply(answer, path="/api/v1/query")


def block(server: HttpServer, revision: str, **more: t.Any) -> dict[str, t.Any]:
    def query(name: str) -> dict[str, t.Any]:
        return {"prometheus": {"address": server.url, "query": f"{name}_{revision}"}}

    asked = {"provider": query("rate"), **more}
    if "minSamples" in more:
        asked["samples"] = query("count")
    return asked


def comparison(server: HttpServer, stable: str = "old", **more: t.Any) -> Request:
    there = dataclasses.replace(place(), revision="new", stable=stable)
    return Request(
        "m", 1, block(server, "new", **more), block(server, "old", **more), there
    )


def measure(server: HttpServer, **more: t.Any) -> Value:
    return compare.measure(comparison(server, **more))


@pytest.mark.parametrize(
    ("latest", "stable", "ratio", "difference"),
    [
        (3, 2, 1.5, 1.0),
        ([3], [2], 1.5, 1.0),
        (0, 0, 1.0, 0.0),
        (0, 5, 0.0, -5.0),
        (1, 0, math.inf, 1.0),
        (-1, 0, -math.inf, -1.0),
        ("+Inf", 2, math.inf, math.inf),
        (2, "+Inf", 0.0, -math.inf),
        (1e308, 1e-308, math.inf, 1e308),
    ],
)
def test_value(
    server: HttpServer, latest: t.Any, stable: t.Any, ratio: float, difference: float
) -> None:
    serve(server, rate_new=latest, rate_old=stable)
    outcome = measure(server)
    assert outcome.value["ratio"] == ratio
    assert outcome.value["difference"] == difference
    assert set(outcome.value) == {"latest", "stable", "ratio", "difference"}
    assert outcome.metadata == {
        "latest.provider.ResolvedPrometheusQuery": "rate_new",
        "stable.provider.ResolvedPrometheusQuery": "rate_old",
    }


def test_samples(server: HttpServer) -> None:
    serve(server, rate_new=3, rate_old=2, count_new=100, count_old=900)
    assert measure(server, minSamples=100).value == {
        "latest": 3.0,
        "stable": 2.0,
        "ratio": 1.5,
        "difference": 1.0,
        "samples": {"latest": 100.0, "stable": 900.0},
    }


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (
            {"rate_new": []},
            "compare.provider of the latest revision: there is no data.",
        ),
        (
            {"rate_old": []},
            "compare.provider of the stable revision: there is no data.",
        ),
        (
            {"rate_old": "NaN"},
            "compare.provider of the stable revision: the value is not a number (NaN),"
            " so there is no data.",
        ),
        (
            {"count_new": 99},
            "There are 99 samples of the latest revision, at least 100 are expected.",
        ),
        (
            {"count_old": 0},
            "There are 0 samples of the stable revision, at least 100 are expected.",
        ),
        (
            {"count_old": []},
            "compare.samples of the stable revision: there is no data.",
        ),
    ],
)
def test_no_data(server: HttpServer, values: dict[str, t.Any], reason: str) -> None:
    whole = {"rate_new": 3, "rate_old": 2, "count_new": 100, "count_old": 100}
    serve(server, **{**whole, **values})
    outcome = measure(server, minSamples="100")
    assert outcome.value is None
    assert outcome.metadata["reason"] == reason


def test_no_stable_revision(server: HttpServer) -> None:
    outcome = measure(server, stable="")
    assert outcome.value is None
    assert outcome.metadata["reason"].startswith("There is no stable revision")
    assert server.requests == []


def test_block_without_the_revision(server: HttpServer) -> None:
    same = dataclasses.replace(
        comparison(server), config_of_stable=block(server, "new")
    )
    with pytest.raises(MeasurementError, match="is the same for both revisions"):
        compare.measure(same)
    assert server.requests == []


def test_more_than_one_number(server: HttpServer) -> None:
    serve(server, rate_new=[1, 2], rate_old=1)
    with pytest.raises(MeasurementError) as caught:
        measure(server)
    assert str(caught.value) == (
        "compare.provider of the latest revision: a list was found, expected is one"
        " number or a list of one; make one number of it, such as by sum()."
    )


def test_both_look_at_the_same_instant(server: HttpServer) -> None:
    serve(server, rate_new=1, rate_old=1)
    clock = iter(NOW + timedelta(seconds=n) for n in range(100))

    def now() -> datetime:
        return next(clock)

    asked = comparison(server)
    compare.measure(
        dataclasses.replace(asked, place=dataclasses.replace(asked.place, now=now))
    )
    assert len({received.form["time"] for received in server.requests}) == 1


def test_error_of_one_side(server: HttpServer) -> None:
    server.reply("down", status=503, path="/api/v1/query")
    with pytest.raises(MeasurementError, match="answered 503 Service Unavailable"):
        measure(server)


PROMETHEUS = {"prometheus": {"address": "http://a", "query": "{{args.hash}}"}}


@pytest.mark.parametrize(
    ("config", "field", "about"),
    [
        ({}, "compare.provider", "nothing was found"),
        ({"provider": {}}, "compare.provider", "none was found, expected is exactly"),
        (
            {"provider": {**PROMETHEUS, "web": {}}},
            "compare.provider",
            "prometheus, web was found",
        ),
        ({"provider": {"job": {}}}, "compare.provider.job", "it cannot be compared"),
        (
            {"provider": {"compare": {}}},
            "compare.provider.compare",
            "it cannot be compared",
        ),
        ({"provider": {"x": {}}}, "compare.provider.x", "it cannot be compared"),
        (
            {"provider": {"prometheus": {"address": "http://a"}}},
            "compare.provider.prometheus.query",
            "nothing was found",
        ),
        (
            {"provider": PROMETHEUS, "samples": {"prometheus": 3}},
            "compare.samples.prometheus",
            "a number was found",
        ),
        (
            {"provider": PROMETHEUS, "minSamples": 3},
            "compare.minSamples",
            "give compare.samples, too",
        ),
        (
            {"provider": PROMETHEUS, "samples": PROMETHEUS, "minSamples": 0},
            "compare.minSamples",
            "0 was found, expected is a number from 1 on",
        ),
        (
            {"provider": PROMETHEUS, "samples": PROMETHEUS, "minSamples": "few"},
            "compare.minSamples",
            "'few' was found",
        ),
        ({"provider": PROMETHEUS, "sample": 1}, "compare.sample", "did you mean"),
    ],
)
def test_problems(config: dict[str, t.Any], field: str, about: str) -> None:
    found = {p.field: p.text for p in compare.problems(config)}
    assert about in found[field]


def test_seconds_allowed_are_those_of_all_measurements() -> None:
    slow = {"prometheus": {**PROMETHEUS["prometheus"], "timeout": 60}}
    assert compare.seconds_allowed({"provider": PROMETHEUS}) == 70
    both = {"provider": PROMETHEUS, "samples": slow, "minSamples": 3}
    assert compare.seconds_allowed(both) == 200
