# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verdict: a test for every row of Argo Rollouts' tables, and where we differ."""

from __future__ import annotations

import math
import typing as t
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis import (
    schedule,
    verdict,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.spec import (
    UNLIMITED,
    Metric,
    Range,
    Spec,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.state import (
    ERROR,
    FAILED,
    FINAL,
    INCONCLUSIVE,
    PENDING,
    RUNNING,
    SUCCESSFUL,
    AnalysisState,
    Measurement,
    MetricState,
    from_plain,
    to_plain,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
PHASES = {"s": SUCCESSFUL, "f": FAILED, "i": INCONCLUSIVE, "e": ERROR}


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def metric(name: str = "m", **changes: t.Any) -> Metric:
    values: dict[str, t.Any] = {"interval": 10.0, "count": 5, **changes}
    return Metric(name, "web", **values)


def begun() -> AnalysisState:
    return AnalysisState("web-pre", NOW)


def taken(phase: str, at: float = 1.0, value: str = "0.5") -> Measurement:
    return Measurement(phase, after(at - 0.5), after(at), value, "why")


def unfinished(at: float = 1.0) -> Measurement:
    return Measurement(RUNNING, after(at), metadata={"job": "x"}, resume_at=after(at))


def driven(spec: Spec, letters: t.Mapping[str, str]) -> AnalysisState:
    """The state after these measurements of each metric, one of each in turn."""
    state = begun()
    longest = max(map(len, letters.values()))
    for turn in range(longest):
        for name, each in letters.items():
            if turn < len(each):
                measurement = taken(PHASES[each[turn]], turn + 1.0)
                state = verdict.measured(spec, state, name, measurement)
    return state


# -- one measurement: the reference's table --------------------------------------------

LOW, HIGH = "result < 1", "result > 2"


@pytest.mark.parametrize(
    ("row", "success", "failure", "value", "phase"),
    [
        ("none and none: successful", "", "", 7, SUCCESSFUL),
        ("success set: true", LOW, "", 0, SUCCESSFUL),
        ("success set: false", LOW, "", 5, FAILED),
        ("failure set: true", "", HIGH, 5, FAILED),
        ("failure set: false", "", HIGH, 0, SUCCESSFUL),
        ("both: failure wins", "result > 0", HIGH, 5, FAILED),
        ("both: success", LOW, HIGH, 0, SUCCESSFUL),
        ("both: neither", LOW, HIGH, 1.5, INCONCLUSIVE),
        ("NaN with success only", LOW, "", math.nan, FAILED),
        ("NaN with both", LOW, HIGH, math.nan, INCONCLUSIVE),
        ("infinity", "", HIGH, math.inf, FAILED),
        ("minus infinity", LOW, "", -math.inf, SUCCESSFUL),
        ("no boolean", "result + 1", "", 1, ERROR),
        ("a string for a number", LOW, "", "0.5", ERROR),
        ("a field that is not there", "result.x.y > 1", "", {"a": 1}, ERROR),
        ("an index that is not there", "result[3] > 1", "", [1], ERROR),
    ],
)
def test_a_measurement(
    row: str, success: str, failure: str, value: object, phase: str
) -> None:
    judged = metric(success_condition=success, failure_condition=failure)
    found, message = verdict.judge(judged, value)
    assert found == phase, row
    assert bool(message) == (phase != SUCCESSFUL), row


@pytest.mark.parametrize("empty", [None, [], {}])
@pytest.mark.parametrize(
    ("no_data", "success", "phase"),
    [
        ("", LOW, INCONCLUSIVE),
        ("", "", INCONCLUSIVE),
        ("", "all(result, {# > 1})", INCONCLUSIVE),
        ("pass", LOW, SUCCESSFUL),
        ("fail", LOW, FAILED),
        ("inconclusive", LOW, INCONCLUSIVE),
        ("fail", "isNil(result)", FAILED),
    ],
)
def test_an_answer_without_data(
    empty: object, no_data: str, success: str, phase: str
) -> None:
    judged = metric(success_condition=success, no_data=no_data)
    assert verdict.judge(judged, empty)[0] == phase


@pytest.mark.parametrize(
    ("success", "value"),
    [
        ("default(result, 0) < 0.05", None),
        ("isNil(result)", None),
        ("len(result) == 0 || result[0] > 1", []),
        ("(result ?? 0) == 0", None),
        ("result == nil", None),
    ],
)
def test_a_condition_that_deals_with_no_data_is_asked(
    success: str, value: object
) -> None:
    assert verdict.judge(metric(success_condition=success), value)[0] == SUCCESSFUL


@pytest.mark.parametrize(
    ("bounds", "value", "phase"),
    [
        (Range(0.9, 1.0), 0.95, SUCCESSFUL),
        (Range(0.9, 1.0), [0.95], SUCCESSFUL),
        (Range(0.9, 1.0), [0.95, 0.8], FAILED),
        (Range(0.9, None), 0.9, SUCCESSFUL),
        (Range(0.9, None), 0.89, FAILED),
        (Range(None, 1), 2, FAILED),
        (Range(None, 1), math.nan, FAILED),
        (Range(None, 1), "1", ERROR),
        (Range(None, 1), True, ERROR),
        (Range(None, 1), [None], ERROR),
        (Range(None, 1), [], INCONCLUSIVE),
    ],
)
def test_a_threshold_range(bounds: Range, value: object, phase: str) -> None:
    assert verdict.judge(metric(threshold_range=bounds), value)[0] == phase


# -- one metric ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "letters", "changes", "phase"),
    [
        ("nothing measured", "", {}, PENDING),
        ("count not reached", "ss", {}, RUNNING),
        ("count reached", "sssss", {}, SUCCESSFUL),
        ("one failure, limit 0", "sf", {}, FAILED),
        ("failures within the limit", "sfs", {"failure_limit": 1}, RUNNING),
        ("failures over the limit", "sfsf", {"failure_limit": 1}, FAILED),
        ("failures within, count reached", "fssss", {"failure_limit": 1}, SUCCESSFUL),
        ("one inconclusive, limit 0", "i", {}, INCONCLUSIVE),
        ("inconclusive within", "isi", {"inconclusive_limit": 2}, RUNNING),
        ("inconclusive over", "iii", {"inconclusive_limit": 2}, INCONCLUSIVE),
        ("four errors in a row", "eeee", {}, RUNNING),
        ("five errors in a row", "eeeee", {}, ERROR),
        ("errors are reset by any other", "eeeeseeee", {}, RUNNING),
        ("errors do not count", "seeeese", {}, RUNNING),
        ("error limit 0", "e", {"consecutive_error_limit": 0}, ERROR),
        (
            "failed and error at once: error is looked at last",
            "fe",
            {"failure_limit": 1, "consecutive_error_limit": 0},
            ERROR,
        ),
        (
            "failure limit off: failures never end it",
            "ffff",
            {"failure_limit": UNLIMITED, "consecutive_success_limit": 2},
            RUNNING,
        ),
        (
            "enough successes in a row",
            "fss",
            {"failure_limit": UNLIMITED, "consecutive_success_limit": 2},
            SUCCESSFUL,
        ),
        (
            "successes in a row are reset by anything else",
            "sfs",
            {"failure_limit": UNLIMITED, "consecutive_success_limit": 2},
            RUNNING,
        ),
        (
            "an error resets successes in a row",
            "ses",
            {"failure_limit": UNLIMITED, "consecutive_success_limit": 2},
            RUNNING,
        ),
        (
            "count reached, only the success limit is on",
            "sfsfs",
            {"failure_limit": UNLIMITED, "consecutive_success_limit": 2},
            FAILED,
        ),
        (
            "count reached, both limits are on",
            "sfsfs",
            {"failure_limit": 2, "consecutive_success_limit": 2},
            INCONCLUSIVE,
        ),
        ("endless", "s" * 40, {"count": None}, RUNNING),
        ("count 1", "s", {"count": 1, "interval": None}, SUCCESSFUL),
    ],
)
def test_a_metric(
    row: str, letters: str, changes: dict[str, t.Any], phase: str
) -> None:
    spec = Spec((metric(**changes),))
    state = driven(spec, {"m": letters}) if letters else begun()
    assert state.metric("m").phase == phase, row
    assert state.final == (phase in FINAL), row
    assert state.phase == (phase if phase in FINAL else RUNNING), row


def test_a_final_metric_never_changes() -> None:
    spec = Spec((metric(), metric("other")))
    failed = verdict.measured(spec, begun(), "m", taken(FAILED))
    assert verdict.measured(spec, failed, "m", taken(SUCCESSFUL, 2)) == failed


def test_an_unfinished_measurement_keeps_a_metric_running() -> None:
    spec = Spec((metric(count=1),))
    state = verdict.measured(spec, begun(), "m", unfinished())
    assert state.metric("m").phase == RUNNING
    assert state.metric("m").started == 1
    ended = verdict.measured(spec, state, "m", taken(SUCCESSFUL, 9))
    assert ended.phase == SUCCESSFUL
    assert ended.metric("m").started == 1
    assert len(ended.metric("m").measurements) == 1


@pytest.mark.parametrize(
    ("letters", "argo"),
    [("", "Successful"), ("s", "Successful"), ("ss", "Successful")],
)
def test_what_is_ended_before_its_verdict_has_not_passed(
    letters: str, argo: str
) -> None:
    """Argo Rollouts calls each of these Successful."""
    spec = Spec((metric(), metric("other")))
    state = driven(spec, {"m": letters, "other": "ssf"})
    assert state.phase == FAILED
    assert state.metric("m").phase == INCONCLUSIVE != argo


# -- the analysis ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "first", "second", "phase"),
    [
        ("both successful", "sssss", "sssss", SUCCESSFUL),
        ("one still runs", "sssss", "ssss", RUNNING),
        ("one failed: the other is ended", "sf", "ss", FAILED),
        ("one inconclusive", "si", "ss", INCONCLUSIVE),
        ("one erred", "eeeee", "ssss", ERROR),
        ("inconclusive in the end", "sssss", "sssi", INCONCLUSIVE),
    ],
)
def test_an_analysis(row: str, first: str, second: str, phase: str) -> None:
    spec = Spec((metric("a"), metric("b")))
    assert driven(spec, {"a": first, "b": second}).phase == phase, row


@pytest.mark.parametrize(
    ("phases", "worst"),
    [
        ((SUCCESSFUL, INCONCLUSIVE), INCONCLUSIVE),
        ((INCONCLUSIVE, ERROR), ERROR),
        ((ERROR, FAILED), FAILED),
        ((FAILED, SUCCESSFUL), FAILED),
    ],
)
def test_an_analysis_ends_as_its_worst_metric(
    phases: tuple[str, str], worst: str
) -> None:
    spec = Spec((metric("a"), metric("b")))
    state = begun()
    for each, phase in zip(spec.metrics, phases, strict=True):
        state = state.with_metric(each.name, MetricState(phase, "because", 1))
    assert verdict.settled(spec, state, NOW).phase == worst


def test_a_dry_run_never_decides() -> None:
    spec = Spec((metric("a", dry_run=True), metric("b")))
    state = driven(spec, {"a": "f", "b": "sssss"})
    assert state.phase == SUCCESSFUL
    assert state.metric("a").phase == FAILED
    assert not verdict.is_terminating(spec, driven(spec, {"a": "f", "b": "s"}))


def test_only_dry_runs_succeed() -> None:
    spec = Spec((metric("a", dry_run=True),))
    assert driven(spec, {"a": "f"}).phase == SUCCESSFUL


def test_a_job_that_goes_on_is_ended_before_the_verdict() -> None:
    spec = Spec((metric("a"), metric("b", count=1)))
    state = verdict.measured(spec, begun(), "b", unfinished())
    state = verdict.measured(spec, state, "a", taken(FAILED))
    assert verdict.is_terminating(spec, state)
    assert not state.final
    assert schedule.due(spec, state, after(100)) == ()
    ended = verdict.measured(spec, state, "b", taken(INCONCLUSIVE, 3))
    assert ended.phase == FAILED
    assert ended.finished_at == after(3)


def test_the_reason_names_metric_limit_results_and_condition() -> None:
    judged = metric("success-rate", success_condition="result >= 0.95")
    phase, why = verdict.judge(judged, 0.91)
    spec = Spec((judged,))
    state = verdict.measured(
        spec, begun(), "success-rate", Measurement(phase, NOW, NOW, "0.91", why)
    )
    assert state.message == (
        "metric success-rate failed: 1 measurement failed, failureLimit is 0; result"
        " 0.91: result >= 0.95 does not hold"
    )


def test_what_is_stopped_has_failed_however_good_it_looked() -> None:
    spec = Spec((metric(),))
    state = verdict.stopped(driven(spec, {"m": "ssss"}), "V2 did not grow", after(9))
    assert (state.phase, state.message) == (FAILED, "stopped: V2 did not grow")
    assert verdict.measured(spec, state, "m", taken(SUCCESSFUL)) == state
    assert verdict.stopped(state, "again", after(10)) == state


# -- the schedule ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "letters", "changes", "at"),
    [
        ("the first at once", "", {}, 0),
        ("the first after its delay", "", {"initial_delay": 30.0}, 30),
        ("an interval after the end of the last", "s", {}, 11),
        ("after an error 10 s", "e", {"interval": 60.0}, 11),
        ("after an error the interval if that is less", "e", {"interval": 3.0}, 4),
        ("after an error 10 s without interval", "e", {"interval": None}, 11),
        ("none after the end", "sssss", {}, None),
        ("none after a failure", "f", {}, None),
    ],
)
def test_the_next_measurement(
    row: str, letters: str, changes: dict[str, t.Any], at: float | None
) -> None:
    each = metric(**changes)
    spec = Spec((each,))
    state = driven(spec, {"m": letters}) if letters else begun()
    expected = None if at is None else after(at)
    assert schedule.due_at(each, state) == expected, row
    assert schedule.next_at(spec, state) == expected, row
    if expected is not None:
        assert schedule.due(spec, state, expected) == (each,), row
        assert not schedule.due(spec, state, expected - timedelta(seconds=1)), row


def test_an_unfinished_measurement_is_asked_for_when_it_says() -> None:
    spec = Spec((metric(),))
    state = verdict.measured(spec, begun(), "m", unfinished(7))
    assert schedule.next_at(spec, state) == after(7)


def test_what_is_being_measured_is_not_waited_for() -> None:
    spec = Spec((metric("a"), metric("b", initial_delay=5.0)))
    assert schedule.next_at(spec, begun(), {"a"}) == after(5)
    assert schedule.next_at(spec, begun(), {"a", "b"}) is None


# -- for all sequences -----------------------------------------------------------------

limits = st.integers(-1, 3)
metrics = st.builds(
    Metric,
    name=st.sampled_from(["a", "b", "c"]),
    provider=st.just("web"),
    interval=st.just(1.0),
    count=st.none() | st.integers(1, 6),
    failure_limit=limits,
    inconclusive_limit=limits,
    consecutive_error_limit=st.integers(0, 4),
    consecutive_success_limit=st.integers(0, 3),
    dry_run=st.booleans(),
    retention=st.integers(1, 5),
)
specs = st.lists(metrics, min_size=1, max_size=3, unique_by=lambda m: m.name).map(
    lambda found: Spec(tuple(found))
)
sequences = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from([SUCCESSFUL, FAILED, INCONCLUSIVE, ERROR, RUNNING]),
    ),
    max_size=60,
)


@given(specs, sequences)
@settings(max_examples=300)
def test_counts_agree_and_a_verdict_stays(
    spec: Spec, sequence: list[tuple[str, str]]
) -> None:
    state = begun()
    names = {m.name for m in spec.metrics}
    for turn, (name, phase) in enumerate(sequence):
        if name not in names:
            continue
        before = state
        measurement = unfinished(turn) if phase == RUNNING else taken(phase, turn)
        state = verdict.measured(spec, before, name, measurement)
        if before.final:
            assert state == before
        if before.metric(name).phase in FINAL:
            assert state.metric(name) == before.metric(name)
        check(spec, state)
        assert from_plain(to_plain(state)) == state


def check(spec: Spec, state: AnalysisState) -> None:
    for each in spec.metrics:
        own = state.metric(each.name)
        pending = 1 if own.unfinished else 0
        assert own.started == own.count + own.error + pending
        assert len(own.measurements) <= each.retention
        assert own.consecutive_success <= own.successful
        assert own.consecutive_error <= own.error
        if own.phase == SUCCESSFUL:
            # Nothing passes without measurements that passed it.
            assert own.successful > 0 or each.failure_limit != 0 or own.inconclusive
            assert own.failed <= each.failure_limit or each.failure_limit == UNLIMITED
        if each.count is not None and own.phase not in FINAL:
            assert own.count < each.count or own.unfinished
    deciding = [m for m in spec.metrics if not m.dry_run]
    if state.phase == SUCCESSFUL:
        assert all(state.metric(m.name).phase == SUCCESSFUL for m in deciding)
    if state.final:
        assert schedule.next_at(spec, state) is None


@pytest.mark.parametrize(
    "damaged",
    [
        None,
        [],
        {},
        {"run": "x"},
        {"run": "x", "started_at": "gestern", "phase": "Running"},
        {"run": "x", "started_at": "2026-01-02T03:04:05Z", "phase": "Great"},
        {"run": "x", "started_at": "2026-01-02T03:04:05Z", "extra": 1},
        {"run": "x", "started_at": "2026-01-02T03:04:05Z", "metrics": []},
        {
            "run": "x",
            "started_at": "2026-01-02T03:04:05Z",
            "metrics": {"m": {"successful": "5"}},
        },
        {
            "run": "x",
            "started_at": "2026-01-02T03:04:05Z",
            "metrics": {"m": {"measurements": [{"phase": "Successful"}]}},
        },
    ],
)
def test_a_damaged_record_is_no_analysis(damaged: object) -> None:
    assert from_plain(damaged) is None
