# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measurements under way: threads, the cut-off, and what is kept out of results."""

from __future__ import annotations

import dataclasses
import json
import threading
import typing as t
from datetime import datetime, timezone

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils import _measuring
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.measurement import (  # noqa: E501 - one name
    MeasurementError,
    Outcome,
    Place,
    Request,
    SecretMissing,
    Unfinished,
    Value,
    Verdict,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.spec import (
    Metric,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.state import (
    ERROR,
    FAILED,
    INCONCLUSIVE,
    RUNNING,
    SUCCESSFUL,
    Measurement,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._measuring import (
    Assignment,
    Measured,
    Measuring,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
PATIENCE = 20.0


class Scripted:
    """A provider whose measurements the test writes."""

    def __init__(self, measure: t.Callable[[Request], Outcome]) -> None:
        self._measure = measure
        self.ended: list[Request] = []
        self.allowed = 30.0

    def problems(self, config: t.Mapping[str, t.Any]) -> list[t.Any]:
        return []

    def measure(self, request: Request) -> Outcome:
        return self._measure(request)

    def seconds_allowed(self, config: t.Mapping[str, t.Any]) -> float:
        return self.allowed

    def terminate(self, request: Request) -> None:
        self.ended.append(request)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> t.Callable[..., Scripted]:
    def install(measure: t.Callable[[Request], Outcome]) -> Scripted:
        provider = Scripted(measure)
        monkeypatch.setattr(_measuring, "provider", lambda name: provider)
        return provider

    return install


def place(**changes: t.Any) -> Place:
    values: dict[str, t.Any] = {
        "now": lambda: NOW,
        "secret": lambda name, key: f"value-of-{name}-{key}",
        "api": lambda: None,
        **changes,
    }
    return Place(**values)


def assignment(metric: Metric | None = None, **changes: t.Any) -> Assignment:
    values: dict[str, t.Any] = {
        "kind": "pre-promotion",
        "metric": metric or Metric("rate", "web", success_condition="result > 1"),
        "number": 1,
        "place": place(),
        "values": {},
        "values_of_stable": {},
        "secrets": {},
        **changes,
    }
    return Assignment(**values)


def result_of(assigned: Assignment) -> Measured:
    done = threading.Event()
    measuring = Measuring(done.set)
    measuring.start(assigned)
    assert done.wait(PATIENCE) or measuring.take()
    (measured,) = measuring.take()
    assert measuring.under_way == frozenset()
    measuring.drop(measured)
    assert measuring.take() == ()
    return measured


@pytest.mark.parametrize(
    ("outcome", "phase", "value"),
    [
        (Value(2), SUCCESSFUL, "2"),
        (Value(0.5), FAILED, "0.5"),
        (Value("x"), ERROR, '"x"'),
        (Value(float("nan")), FAILED, "NaN"),
        (Value([]), INCONCLUSIVE, "[]"),
        (Value(None), INCONCLUSIVE, ""),
        (Verdict(FAILED, "exit code 3"), FAILED, ""),
    ],
)
def test_what_comes_back_is_judged(
    scripted: t.Callable[..., Scripted], outcome: Outcome, phase: str, value: str
) -> None:
    scripted(lambda request: outcome)
    measurement = result_of(assignment()).measurement
    assert (measurement.phase, measurement.value) == (phase, value)
    assert measurement.finished_at == NOW


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MeasurementError("no answer"), "no answer"),
        (SecretMissing("Secret x does not exist"), "Secret x does not exist"),
        (RuntimeError("boom"), "unexpected RuntimeError (boom); please report this"),
    ],
)
def test_whatever_goes_wrong_is_an_error(
    scripted: t.Callable[..., Scripted], error: Exception, said: str
) -> None:
    def measure(request: Request) -> Outcome:
        raise error

    scripted(measure)
    measurement = result_of(assignment()).measurement
    assert (measurement.phase, measurement.message) == (ERROR, said)


def test_what_goes_on_elsewhere_is_asked_for_again(
    scripted: t.Callable[..., Scripted],
) -> None:
    asked: list[Request] = []

    def measure(request: Request) -> Outcome:
        asked.append(request)
        return Unfinished({"job": "x"}, 5) if len(asked) == 1 else Value(3)

    scripted(measure)
    first = result_of(assignment()).measurement
    assert (first.phase, first.resume_at) == (RUNNING, NOW.replace(second=10))
    second = result_of(assignment(unfinished=first)).measurement
    assert asked[1].metadata == {"job": "x"}
    assert (second.phase, second.started_at) == (SUCCESSFUL, first.started_at)


def test_one_that_hangs_is_cut_off_and_its_late_answer_left(
    scripted: t.Callable[..., Scripted], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_measuring, "_GRACE_SECONDS", 0.0)
    released, answered = threading.Event(), threading.Event()

    def measure(request: Request) -> Outcome:
        assert released.wait(PATIENCE)
        return Value(9)

    scripted(measure).allowed = 0.0
    measuring = Measuring(answered.set)
    measuring.start(assignment())
    (cut,) = measuring.take()
    assert (cut.measurement.phase, cut.measurement.message) == (
        ERROR,
        "cut off: it did not end in time",
    )
    measuring.drop(cut)
    released.set()
    assert answered.wait(PATIENCE)
    assert measuring.take() == ()


def test_ending_one_cleans_up_and_leaves_its_answer(
    scripted: t.Callable[..., Scripted],
) -> None:
    provider = scripted(lambda request: Value(1))
    earlier = Measurement(RUNNING, NOW, metadata={"job": "x"}, resume_at=NOW)
    measuring = Measuring(lambda: None)
    measuring.end(assignment(unfinished=earlier))
    (measured,) = measuring.take()
    assert [r.metadata for r in provider.ended] == [{"job": "x"}]
    assert measured.measurement.phase == INCONCLUSIVE


def test_a_clean_up_that_fails_is_said(scripted: t.Callable[..., Scripted]) -> None:
    provider = scripted(lambda request: Value(1))

    def fails(request: Request) -> None:
        raise MeasurementError("forbidden")

    provider.terminate = fails  # type: ignore[method-assign] # one instance
    measuring = Measuring(lambda: None)
    measuring.end(assignment())
    (measured,) = measuring.take()
    assert "could not be cleaned up: forbidden" in measured.measurement.message


def test_arguments_and_secrets_are_filled_in_and_secrets_masked(
    scripted: t.Callable[..., Scripted],
) -> None:
    asked: list[Request] = []

    def measure(request: Request) -> Outcome:
        asked.append(request)
        other = request.place.secret("vendor", "app-key")
        return Value(
            {"echo": request.config["token"], "other": other},
            {"request": f"GET /?{request.config['token']}"},
        )

    scripted(measure)
    metric = Metric(
        "rate",
        "web",
        {"url": "http://x/{{ args.hash }}", "token": "{{args.token}}"},
        failure_condition="result.echo != ''",
    )
    measured = result_of(
        assignment(
            metric,
            values={"hash": "222"},
            values_of_stable={"hash": "111"},
            secrets={"token": ("web", "token"), "unused": ("gone", "gone")},
        )
    )
    (request,) = asked
    assert request.config == {"url": "http://x/222", "token": "value-of-web-token"}
    assert request.config_of_stable["url"] == "http://x/111"
    kept = json.dumps(dataclasses.asdict(measured.measurement), default=str)
    assert "value-of" not in kept
    assert "********" in kept


def test_a_secret_that_nothing_uses_is_not_read(
    scripted: t.Callable[..., Scripted],
) -> None:
    def secret(name: str, key: str) -> str:
        raise AssertionError(name)

    scripted(lambda request: Value(2))
    measured = result_of(
        assignment(place=place(secret=secret), secrets={"unused": ("web", "token")})
    )
    assert measured.measurement.phase == SUCCESSFUL
