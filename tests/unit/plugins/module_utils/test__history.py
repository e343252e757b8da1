# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The releases that have ended: kept, read back, and told in one line."""

from __future__ import annotations

import dataclasses
import functools
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.state import (
    DRAIN,
    FAILED,
    POST_PROMOTION,
    PRE_PROMOTION,
    RUNNING,
    SUCCESSFUL,
    AnalysisState,
    MetricState,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._history import (
    ended_as,
    listed,
    told,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._model import Observed
from ansible_collections.cutover.bluegreen.plugins.module_utils._record import (
    Record,
    Request,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._stages import (
    PREVIEWED,
    RETIRED,
    STABLE,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._view import Want
from ansible_collections.cutover.bluegreen.tests.unit.support.states import (
    NOW,
    V1,
    V2,
    V3,
    World,
    after,
    observed,
    parameters,
    preview,
    revision,
    service,
)

ALICE = "alice@build-7 (AWX job 812)"
ANALYSES = {
    PRE_PROMOTION: AnalysisState(
        "web-pre-4",
        NOW,
        SUCCESSFUL,
        metrics={"a": MetricState(successful=3), "b": MetricState(successful=2)},
    ),
    POST_PROMOTION: AnalysisState(
        "web-post-4", NOW, FAILED, metrics={"a": MetricState(successful=1, failed=2)}
    ),
    DRAIN: AnalysisState("web-drain-3", NOW, RUNNING),
}
RELEASE = Record(V2, started_at=NOW, started_by=ALICE, analysis=ANALYSES)


def test_a_release_that_ends_is_kept_with_all_that_an_audit_asks_for() -> None:
    record = RELEASE.closed(after(94.6), "aborted", 4, "by its probe")
    assert listed(record.history) == [
        {
            "revision": 4,
            "hash": V2,
            "started": "2026-01-02T03:04:05.000Z",
            "ended": "2026-01-02T03:05:39.600Z",
            "seconds": 95,
            "outcome": "aborted",
            "why": "by its probe",
            "by": ALICE,
            "verdicts": {
                PRE_PROMOTION: {"phase": SUCCESSFUL, "successful": 5},
                POST_PROMOTION: {"phase": FAILED, "successful": 1, "failed": 2},
            },
        }
    ]
    assert told(listed(record.history)[0]) == (
        "revision 4  aborted 2026-01-02T03:05:39Z by its probe  after 95 s"
        "  started by alice@build-7 (AWX job 812)  pre-promotion Successful (5"
        " successful), post-promotion Failed (1 successful, 2 failed)"
    )
    assert Record.from_data(record.to_data()).history == record.history
    # Nothing of it is left for the next.
    assert (record.started_by, record.approved_by, record.rolls_back) == ("", "", 0)


def test_a_long_reason_is_cut_when_kept_and_once_more_in_its_line() -> None:
    record = RELEASE.closed(NOW, "aborted", 4, "x" * 9000)
    (entry,) = listed(record.history)
    assert len(entry["why"]) == 500
    assert "x" * 97 + "..." in told(entry) and "x" * 98 not in told(entry)


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        (
            {
                "revision": 3,
                "hash": V1,
                "started": "2026-01-02T03:04:05.000Z",
                "ended": "2026-01-02T03:04:06.000Z",
                "outcome": "aborted by process 7 on a",
            },
            "revision 3  aborted 2026-01-02T03:04:06Z by process 7 on a  after 1 s",
        ),
        ({"revision": 3, "outcome": "promoted"}, "revision 3  promoted"),
        ({"outcome": "eaten by bears"}, "revision ?  eaten by bears"),
        (
            {"revision": "3", "started": 7, "ended": "x", "by": [], "verdicts": [1]},
            "revision ?",
        ),
        ({"verdicts": {"pre-promotion": "Successful"}}, "revision ?"),
        ({}, "revision ?"),
    ],
)
def test_what_an_earlier_version_or_somebody_else_wrote_is_readable(
    entry: dict[str, t.Any], line: str
) -> None:
    assert told(listed([entry])[0]) == line


def test_the_newest_comes_first() -> None:
    found = listed([{"revision": 1}, {"revision": 2}])
    assert [entry["revision"] for entry in found] == [2, 1]


def test_the_outcome_of_before_is_one_word_and_a_reason() -> None:
    assert ended_as({"outcome": "promoted"}) == ("promoted", "")
    assert ended_as({"outcome": "aborted by X"}) == ("aborted", "by X")
    assert ended_as({"outcome": "aborted", "why": "by X"}) == ("aborted", "by X")


# -- what the rules write --------------------------------------------------------------


def world() -> World:
    """V1 serves everyone."""
    record = Record(V1, RETIRED, "Healthy", active=V1, stable=V1, last_number=1)
    return World(
        observed([revision(V1)], [service(V1), preview(V1)], record),
    )


MANUAL = parameters(auto_promotion_enabled=False)


def ended(world: World) -> list[tuple[t.Any, ...]]:
    keys = ("revision", "outcome", "why", "by")
    return [tuple(e[k] for k in keys) for e in listed(world.seen.record.history)]


def test_a_release_knows_who_started_and_who_approved_it() -> None:
    one = world()
    one.run(Want(PREVIEWED, V2, MANUAL, by="alice"))
    one.run(Want(RETIRED, V2, by="cron"))
    assert ended(one) == []
    one.run(Want(RETIRED, V2, approve=True, by="bob"))
    assert ended(one) == [(2, "promoted", "as approved by bob", "alice")]


def test_a_release_that_opens_its_gate_by_itself_is_just_promoted() -> None:
    one = world()
    one.run(Want(RETIRED, V2, parameters(), by="alice"))
    assert ended(one) == [(2, "promoted", "", "alice")]


def test_who_asked_the_driver_to_promote_or_abort_is_kept() -> None:
    for verb, expected in (
        ("promote", ("promoted", "as approved by carol")),
        ("abort", ("aborted", "by carol")),
    ):
        one = world()
        one.run(Want(PREVIEWED, V2, MANUAL, by="alice"))
        one.run(Want(RETIRED, V2))
        asked = Request(verb, V2, "carol")
        one.act(functools.partial(with_request, request=asked))
        one.run(Want(RETIRED, V2, by="alice"))
        assert ended(one) == [(2, *expected, "alice")]


def with_request(seen: Observed, request: Request) -> Observed:
    record = dataclasses.replace(seen.record, request=request)
    return dataclasses.replace(seen, record=record)


def test_who_aborts_it_himself_is_kept() -> None:
    one = world()
    one.run(Want(PREVIEWED, V2, MANUAL, by="alice"))
    one.run(Want(STABLE, V2, abort=True, by="bob"))
    assert ended(one) == [(2, "aborted", "by bob", "alice")]


def test_what_supersedes_a_release_is_kept() -> None:
    one = world()
    one.run(Want(PREVIEWED, V2, MANUAL, by="alice"))
    one.run(Want(PREVIEWED, V3, MANUAL, by="bob"))
    assert ended(one) == [(2, "superseded", "by revision 3", "alice")]
    one.run(Want(RETIRED, V3, approve=True, by="bob"))
    assert ended(one)[0] == (3, "promoted", "as approved by bob", "bob")


def test_a_rollback_says_what_it_left() -> None:
    one = world()
    one.run(Want(RETIRED, V2, parameters(), by="alice"))
    one.run(Want(RETIRED, V1, parameters(), rollback=True, by="bob"))
    assert ended(one)[0] == (3, "promoted", "as the way back from revision 2", "bob")
