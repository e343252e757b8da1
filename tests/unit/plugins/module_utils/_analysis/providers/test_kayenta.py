# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kayenta's provider, against a server that speaks as Kayenta's API is documented.

It is not Kayenta: what is shown here is that our requests and our reading of the
answers follow the documentation.
"""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.measurement import (  # noqa: E501 - a name
    MeasurementError,
    Outcome,
    Unfinished,
    Verdict,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.providers import (  # noqa: E501 - a name
    kayenta,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.http_server import (
    Hang,
    HttpServer,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.vendors import (
    NO_ANSWERS,
    request,
)

EXECUTION = {"canaryExecutionId": "01CANARY"}
CONFIGS = [{"id": "id-1", "name": "other"}, {"id": "id/2", "name": "my-test"}]


def scope(**more: t.Any) -> dict[str, t.Any]:
    times = {"start": "2020-01-01T11:00:00Z", "end": "2020-01-01T12:00:00Z"}
    return {"scope": "app=guestbook", "region": "here", "step": 30, **times, **more}


def block(address: str, /, **more: t.Any) -> dict[str, t.Any]:
    return {
        "address": address,
        "application": "guestbook",
        "canaryConfigName": "my-test",
        "metricsAccountName": "metrics",
        "configurationAccountName": "intuit",
        "storageAccountName": "storage",
        "threshold": {"pass": 90, "marginal": 75},
        "scopes": [
            {
                "name": "default",
                "controlScope": scope(),
                "experimentScope": scope(scope="app=new"),
            }
        ],
        **more,
    }


def start(server: HttpServer, **more: t.Any) -> Outcome:
    return kayenta.measure(request(block(server.url, **more)))


def look(server: HttpServer, **more: t.Any) -> Outcome:
    return kayenta.measure(request(block(server.url, **more), metadata=EXECUTION))


def scored(score: t.Any) -> dict[str, t.Any]:
    result = {"judgeResult": {"score": {"score": score, "classification": "x"}}}
    return {"complete": True, "status": "succeeded", "result": result}


# -- start -----------------------------------------------------------------------------


def test_an_analysis_is_started_by_its_configurations_name(server: HttpServer) -> None:
    server.reply(CONFIGS)
    server.reply(EXECUTION)
    outcome = start(server)
    assert outcome == Unfinished(EXECUTION, 15.0)
    lookup, started = server.requests
    assert (lookup.method, lookup.path) == ("GET", "/canaryConfig")
    assert lookup.query == {
        "application": "guestbook",
        "configurationAccountName": "intuit",
    }
    assert started.method == "POST"
    assert started.path == "/canary/id%2F2"
    assert started.query == {
        "application": "guestbook",
        "metricsAccountName": "metrics",
        "configurationAccountName": "intuit",
        "storageAccountName": "storage",
    }
    assert started.headers["content-type"] == "application/json"
    sides = started.json()["scopes"].pop("default")
    assert sides["controlScope"] == {**scope(), "location": "here"}
    assert sides["experimentScope"]["scope"] == "app=new"
    assert started.json()["thresholds"] == {"pass": 90, "marginal": 75}


def test_a_scope_without_times_is_the_last_interval(server: HttpServer) -> None:
    server.reply(CONFIGS)
    server.reply(EXECUTION)
    side = {"scope": "app"}
    scopes = [{"name": "d", "controlScope": side, "experimentScope": side}]
    start(server, scopes=scopes, interval="1h")
    assert server.requests[1].json()["scopes"]["d"]["controlScope"] == {
        "scope": "app",
        "region": "",
        "location": "",
        "step": 60,
        "start": "2020-01-01T11:00:00Z",
        "end": "2020-01-01T12:00:00Z",
    }


def test_a_configuration_that_kayenta_does_not_have(server: HttpServer) -> None:
    server.reply([{"id": "id-1", "name": "other"}])
    with pytest.raises(
        MeasurementError, match="no canary configuration 'my-test'.*other"
    ):
        start(server)


def test_the_configuration_may_lie_in_the_storage_account(server: HttpServer) -> None:
    server.reply(CONFIGS)
    server.reply(EXECUTION)
    start(server, configurationAccountName=None)
    assert server.requests[0].query["configurationAccountName"] == "storage"


def test_an_account_that_is_not_given_is_left_to_kayenta(server: HttpServer) -> None:
    server.reply(CONFIGS)
    server.reply(EXECUTION)
    names = ("metricsAccountName", "configurationAccountName", "storageAccountName")
    start(server, **dict.fromkeys(names))
    lookup, started = server.requests
    assert lookup.target == "/canaryConfig?application=guestbook"
    assert started.target.endswith("?application=guestbook")


@pytest.mark.parametrize(
    "answer", [{}, {"canaryExecutionId": None}, {"canaryExecutionId": ""}, [EXECUTION]]
)
def test_an_analysis_without_an_id(server: HttpServer, answer: t.Any) -> None:
    server.reply(CONFIGS)
    server.reply(answer)
    with pytest.raises(MeasurementError, match="without canaryExecutionId"):
        start(server)


@pytest.mark.parametrize("answer", NO_ANSWERS, ids=range(len(NO_ANSWERS)))
def test_whatever_answers_a_start_becomes_a_sentence(
    server: HttpServer, answer: t.Any
) -> None:
    server.reply(answer, path="/canaryConfig")
    with pytest.raises(MeasurementError) as caught:
        start(server)
    assert "\n" not in str(caught.value)


# -- resume ----------------------------------------------------------------------------


def test_an_analysis_that_goes_on_is_asked_for_again(server: HttpServer) -> None:
    server.reply({"complete": False, "status": "running"})
    assert look(server) == Unfinished(EXECUTION, 15.0)
    (asked,) = server.requests
    assert (asked.method, asked.target) == ("GET", "/canary/01CANARY")


@pytest.mark.parametrize(
    ("score", "phase"),
    [
        (100, "Successful"),
        (90, "Successful"),
        (89.9, "Inconclusive"),
        (75, "Inconclusive"),
        (74.99, "Failed"),
        (0, "Failed"),
    ],
)
@pytest.mark.parametrize("spelling", ["threshold", "thresholds"])
def test_the_thresholds_judge_the_score(
    server: HttpServer, score: float, phase: str, spelling: str
) -> None:
    server.reply(scored(score))
    config = block(server.url)
    config[spelling] = config.pop("threshold")
    outcome = kayenta.measure(request(config, metadata=EXECUTION))
    assert isinstance(outcome, Verdict)
    assert (outcome.phase, outcome.value) == (phase, score)
    assert outcome.metadata == EXECUTION
    assert bool(outcome.message) == (phase != "Successful")


def test_nan_is_no_good_score(server: HttpServer) -> None:
    server.reply(scored("NaN"))
    outcome = look(server)
    assert isinstance(outcome, Verdict)
    assert outcome.phase == "Failed"


def test_an_analysis_that_ended_without_a_score(server: HttpServer) -> None:
    exception = {"details": {"error": "no metrics"}}
    server.reply({"complete": True, "status": "terminal", "exception": exception})
    with pytest.raises(MeasurementError, match="status terminal: .*no metrics"):
        look(server)


@pytest.mark.parametrize("answer", [{"complete": "yes"}, scored("good"), scored(True)])
def test_other_shapes_are_a_sentence(server: HttpServer, answer: t.Any) -> None:
    server.reply(answer)
    with pytest.raises(MeasurementError, match="GET http://127.0.0.1"):
        look(server)


@pytest.mark.parametrize("answer", NO_ANSWERS, ids=range(len(NO_ANSWERS)))
def test_whatever_answers_a_look_becomes_a_sentence(
    server: HttpServer, answer: t.Any
) -> None:
    server.reply(answer)
    with pytest.raises(MeasurementError) as caught:
        look(server)
    assert "\n" not in str(caught.value)


def test_a_refusal_shows_the_status_and_no_secret(server: HttpServer) -> None:
    server.reply({"message": "the-token is unknown"}, status=403)
    headers = [{"key": "Authorization", "value": "Bearer the-token"}]
    with pytest.raises(MeasurementError, match="403 Forbidden: .*is unknown") as found:
        look(server, headers=headers)
    assert "the-token" not in str(found.value)


def test_a_hanging_server_is_cut_off(server: HttpServer) -> None:
    server.reply(Hang())
    with pytest.raises(MeasurementError, match=r" 0\.2 s"):
        look(server, timeoutSeconds=0.2)


def test_the_engine_waits_for_two_requests() -> None:
    assert kayenta.seconds_allowed({}) == 30
    assert kayenta.seconds_allowed({"timeoutSeconds": 2}) == 4


# -- terminate -------------------------------------------------------------------------


def test_an_analysis_is_cancelled(server: HttpServer) -> None:
    server.reply(b"")
    kayenta.terminate(request(block(server.url), metadata=EXECUTION))
    (asked,) = server.requests
    assert (asked.method, asked.target) == ("PUT", "/pipelines/01CANARY/cancel")


def test_nothing_is_cancelled_before_it_was_started(server: HttpServer) -> None:
    kayenta.terminate(request(block(server.url)))
    assert server.requests == []


def test_a_cancel_that_fails_is_told(server: HttpServer) -> None:
    server.reply("no", status=500)
    with pytest.raises(MeasurementError, match="500 Internal Server Error: no"):
        kayenta.terminate(request(block(server.url), metadata=EXECUTION))


# -- what is wrong ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"address": None}, "address"),
        ({"address": "kayenta"}, "address"),
        ({"application": ""}, "application"),
        ({"canaryConfigName": None}, "canaryConfigName"),
        ({"metricsAccountName": 7}, "metricsAccountName"),
        ({"threshold": None}, "threshold"),
        ({"threshold": {"pass": 90}}, "threshold.marginal"),
        ({"threshold": {"pass": 101, "marginal": 1}}, "threshold.pass"),
        ({"threshold": {"pass": 90, "marginal": True}}, "threshold.marginal"),
        ({"threshold": {"pass": 75, "marginal": 90}}, "threshold.marginal"),
        ({"threshold": {"pass": 9, "marginal": 1, "fail": 0}}, "threshold.fail"),
        ({"thresholds": {"pass": 9, "marginal": 1}}, "thresholds"),
        ({"interval": 3600}, "interval"),
        ({"scopes": None}, "scopes"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["default"]}, "scopes[0]"),
        ({"timeoutSeconds": "x"}, "timeoutSeconds"),
        ({"lookback": True}, "lookback"),
    ],
    ids=str,
)
def test_bad_input_names_its_field(more: dict[str, t.Any], field: str) -> None:
    config = block("http://kayenta", **more)
    assert [p.field for p in kayenta.problems(config)] == [f"kayenta.{field}"]
    with pytest.raises(MeasurementError, match=r"^kayenta\."):
        kayenta.measure(request(config))


@pytest.mark.parametrize(
    ("side", "field"),
    [
        (None, "controlScope"),
        ({}, "controlScope.scope"),
        ({"scope": "a", "step": "one"}, "controlScope.step"),
        ({"scope": "a", "step": 1.5}, "controlScope.step"),
        ({"scope": "a", "start": 5}, "controlScope.start"),
        ({"scope": "a", "location": "x"}, "controlScope.location"),
    ],
    ids=str,
)
def test_a_bad_scope_names_its_field(side: t.Any, field: str) -> None:
    one = {"name": "default", "controlScope": side, "experimentScope": scope()}
    config = block("http://kayenta", scopes=[one])
    assert [p.field for p in kayenta.problems(config)] == [f"kayenta.scopes[0].{field}"]


def test_what_is_right_or_not_known_yet_is_no_problem() -> None:
    threshold = {"pass": "{{args.pass}}", "marginal": "75"}
    config = block("{{ args.kayenta }}", threshold=threshold, interval="{{args.i}}")
    assert kayenta.problems(config) == []
