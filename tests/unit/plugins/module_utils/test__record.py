# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The record: written, read back, and cut to size."""

from __future__ import annotations

import dataclasses
import json
import typing as t

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.state import (
    KINDS,
    RUNNING,
    SUCCESSFUL,
    AnalysisState,
    Measurement,
    MetricState,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._record import (
    MAX_BYTES,
    Record,
    Request,
    defect,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._stages import (
    DEGRADED,
    PAUSED,
    PHASE_PAUSED,
    PHASES,
    STABLE,
    STAGES,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.search import examples
from ansible_collections.cutover.bluegreen.tests.unit.support.states import (
    NOW,
    V1,
    V2,
    after,
)

texts = st.text(max_size=20)
instants = st.none() | st.integers(-10_000, 10_000).map(after)


@given(
    st.builds(
        Record,
        revision=texts,
        stage=st.sampled_from(STAGES),
        phase=st.sampled_from(("", *PHASES)),
        message=texts,
        stable=texts,
        last_number=st.integers(0, 99),
        promote_at=instants,
        approved=st.booleans(),
        scale_at=instants,
        scale_from=st.integers(0, 9),
        progress_at=instants,
        retire_at=st.dictionaries(texts, st.integers(0, 99).map(after), max_size=3),
        intent=st.dictionaries(texts, texts, max_size=2),
        analysis=st.dictionaries(
            st.sampled_from(KINDS),
            st.builds(
                AnalysisState,
                st.text(min_size=1, max_size=20),
                st.integers(0, 99).map(after),
                message=texts,
                metrics=st.dictionaries(
                    texts,
                    st.builds(
                        MetricState,
                        message=texts,
                        started=st.integers(0, 9),
                        failed=st.integers(0, 9),
                    ),
                    max_size=2,
                ),
            ),
            max_size=2,
        ),
        request=st.none()
        | st.builds(Request, st.sampled_from(["promote", "abort"]), texts, texts),
        timeline=st.lists(st.tuples(texts, texts), max_size=3).map(tuple),
        history=st.lists(st.dictionaries(texts, texts), max_size=2).map(tuple),
    )
)
@settings(max_examples=examples(40))
def test_what_is_written_is_read_back(record: Record) -> None:
    data = record.to_data()
    assert Record.from_data(data) == record
    assert all(isinstance(value, str) for value in data.values())


def test_flat_keys_are_for_kubectl_wait() -> None:
    data = Record(V2, PAUSED, PHASE_PAUSED, "m", V1, V1, V2, promote_at=NOW).to_data()
    assert data.pop("details") == '{"promote_at":"2026-01-02T03:04:05.000Z"}'
    assert data == {
        "format": "1",
        "phase": PHASE_PAUSED,
        "stage": PAUSED,
        "message": "m",
        "active": V1,
        "stable": V1,
        "preview": V2,
        "observed-revision": V2,
        "next-at": "2026-01-02T03:04:05.000Z",
    }


WHOLE = Record(V2, PAUSED, PHASE_PAUSED, "m", V1, V1, V2, last_number=2, approved=True)


def test_a_whole_record_has_no_defect() -> None:
    assert defect(WHOLE.to_data()) == ""
    assert defect({}) == ""


@pytest.mark.parametrize(
    ("edit", "says", "kept"),
    [
        ({"format": "2"}, "it is written in the format 2, which is not 1", Record()),
        (
            {"phase": "Splendid"},
            "'Splendid' is not a phase",
            dataclasses.replace(WHOLE, phase=""),
        ),
        (
            {"stage": "somewhere"},
            "'somewhere' is not a stage",
            dataclasses.replace(WHOLE, stage=STABLE, revision=""),
        ),
        (
            {"details": "{"},
            "its details are not a JSON object",
            dataclasses.replace(WHOLE, last_number=0, approved=False),
        ),
        (
            {"details": "[1]"},
            "its details are not a JSON object",
            dataclasses.replace(WHOLE, last_number=0, approved=False),
        ),
    ],
)
def test_what_cannot_be_read_counts_as_never_written(
    edit: dict[str, str], says: str, kept: Record
) -> None:
    data = {**WHOLE.to_data(), **edit}
    assert defect(data) == says
    assert Record.from_data(data) == kept


def test_the_oldest_lines_go_when_it_grows_too_large() -> None:
    lines = tuple((str(i), "x" * 4000) for i in range(150))
    record = Record(V1, timeline=lines, history=({"revision": 1},) * 9)
    data = record.to_data()
    assert len(data["details"].encode()) <= MAX_BYTES
    kept = Record.from_data(data).timeline
    assert kept and kept == lines[-len(kept) :]


def test_measurements_go_when_it_grows_too_large_and_counts_stay() -> None:
    taken = Measurement(SUCCESSFUL, NOW, NOW, "x" * 250, "y" * 500)
    going_on = Measurement(RUNNING, NOW, metadata={"job": "z"}, resume_at=NOW)
    metrics = {
        str(i): MetricState(successful=40, measurements=(taken,) * 39 + (going_on,))
        for i in range(20)
    }
    state = AnalysisState("web-pre-1", NOW, metrics=metrics)
    data = Record(V1, analysis={"pre-promotion": state}).to_data()
    assert len(data["details"].encode()) <= MAX_BYTES
    kept = Record.from_data(data).analysis["pre-promotion"]
    for metric in kept.metrics.values():
        assert metric.successful == 40
        assert metric.unfinished == going_on


def test_timeline_and_history_are_bounded() -> None:
    record = Record()
    for i in range(300):
        record = record.noted(NOW, str(i)).closed(NOW, "promoted", i)
    assert len(record.timeline) == 200 and record.timeline[-1][1] == "299"
    assert len(record.history) == 50 and record.history[-1]["revision"] == 299


@pytest.mark.parametrize(
    "details",
    [
        "",
        "no JSON",
        "[]",
        "7",
        "null",
        '"text"',
        '{"promote_at": 5}',
        '{"approved": 1}',
        '{"promote_at": "yesterday", "approved": "true"}',
        '{"promote_at": "2026-01-02T03:04:05"}',
        '{"retire_at": [], "intent": 1, "timeline": {}, "last_number": "x"}',
        '{"history": [4]}',
        '{"timeline": [["only one"], "text"], "retire_at": {"h": "soon"}}',
    ],
)
def test_what_cannot_be_read_was_never_written(details: str) -> None:
    record = Record.from_data({"stage": "unheard of", "details": details})
    assert record == Record()
    assert record.stage == STABLE and record.promote_at is None and not record.approved


@pytest.mark.parametrize(
    "request_text",
    [
        None,
        "",
        "{",
        "[]",
        '{"verb": "delete", "revision": "a"}',
        '{"verb": "abort"}',
        '{"verb": "promote", "revision": 5}',
    ],
)
def test_a_request_that_cannot_be_read_asks_nothing(request_text: str | None) -> None:
    data: dict[str, t.Any] = {"request": request_text}
    assert Record.from_data(data).request is None


def test_next_at_is_the_pause_then_the_step_then_the_scale_down() -> None:
    record = Record(retire_at={V1: after(9), V2: after(5)})
    assert record.next_at == after(5)
    assert dataclasses.replace(record, scale_at=after(7)).next_at == after(7)
    paused = dataclasses.replace(record, stage=PAUSED, phase=PHASE_PAUSED)
    assert paused.next_at is None
    assert dataclasses.replace(paused, promote_at=NOW).next_at == NOW


def test_progress_alone_is_not_significant() -> None:
    record = Record(V1)
    minor = dataclasses.replace(record, progress_at=NOW, progress_available=3)
    assert minor.noted(NOW, "x").significant() == record.significant()
    for change in (
        {"approved": True},
        {"intent": {"act": "promote"}},
        {"stage": PAUSED},
        {"retire_at": {V1: NOW}},
        {"request": Request("abort", V1)},
    ):
        changed = dataclasses.replace(record, **change)
        assert changed.significant() != record.significant(), change


def test_a_later_run_gets_a_new_deadline() -> None:
    record = Record(V1, progress_at=NOW).degraded("broken")
    assert (record.phase, record.message) == (DEGRADED, "broken")
    assert record.progress_at is None


def test_details_name_no_empty_value() -> None:
    assert json.loads(Record(V1).to_data()["details"]) == {}
