# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.cutover.bluegreen.plugins.module_utils._flight import (
    Flight,
    Track,
    Version,
    told,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._model import Endpoints


def track(*versions: tuple[int, int, int]) -> Track:
    found = Track(written_ms=4)
    for ms, ready, new in versions:
        found.add(Version(ms, ready, new))
    return found


def test_only_what_changes_is_kept() -> None:
    seen = track((0, 3, 0), (1, 3, 0), (9, 3, 3), (12, 3, 3)).result()
    assert seen == {
        "written_ms": 4,
        "proven_ms": 9,
        "mixed_ms": 0,
        "least_ready": 3,
        "versions": [
            {"ms": 0, "ready": 3, "new": 0},
            {"ms": 9, "ready": 3, "new": 3},
        ],
    }


def test_the_mixed_window_is_measured() -> None:
    seen = track((0, 3, 0), (5, 6, 3), (1005, 3, 3)).result()
    assert (seen["mixed_ms"], seen["proven_ms"]) == (1000, 1005)


def test_what_nobody_was_served_by_is_not_missed() -> None:
    assert track((0, 0, 0), (5, 2, 2)).result()["least_ready"] == 2
    assert track((0, 2, 0), (5, 0, 0), (9, 2, 2)).result()["least_ready"] == 0


def test_versions_are_bounded() -> None:
    found = track(*((ms, ms % 7 + 1, 0) for ms in range(1000)))
    assert len(found.versions) == 200


def test_each_service_has_a_track_of_its_own() -> None:
    endpoints = {"web": {"a-1"}, "api": {"a-1"}}
    flight = Flight(
        "b",
        {"cutover": "atomic", "why": "as asked for", "act": "promote"},
        ["web", "api"],
        lambda name: Endpoints(frozenset(endpoints[name])),
        lambda _name, _hash: frozenset({"b-1"}),
    )
    flight.begin()
    flight.written("web")
    endpoints["web"] = {"b-1"}
    flight.look()
    flight.written("api")
    endpoints["api"] = {"b-1"}
    flight.look()
    found = flight.result()
    assert (found["revision"], found["cutover"], found["why"]) == (
        "b",
        "atomic",
        "as asked for",
    )
    counts = {
        name: [(v["ready"], v["new"]) for v in one["versions"]]
        for name, one in found["services"].items()
    }
    assert counts == {"web": [(1, 0), (1, 1)], "api": [(1, 0), (1, 1)]}
    assert (found["least_ready"], found["mixed_ms"]) == (1, 0)
    assert "never fewer than 1 ready" in told(found)


def test_the_answer_of_the_gateways_is_timed() -> None:
    taken_in = [False]
    flight = Flight(
        "b",
        {},
        ["web"],
        lambda _name: Endpoints(frozenset({"b-1"})),
        lambda _name, _hash: frozenset({"b-1"}),
        taken_in=lambda: taken_in[0],
    )
    flight.begin()
    # They still say so of what was there before.
    taken_in[0] = True
    flight.look()
    assert flight.result()["taken_in_ms"] is None
    taken_in[0] = False
    flight.written("web")
    flight.look()
    assert flight.result()["taken_in_ms"] is None
    taken_in[0] = True
    flight.look()
    found = flight.result()
    assert found["taken_in_ms"] >= found["written_ms"]
    assert "taken in by the gateways" in told(found)


def test_a_line_tells_what_requests_met() -> None:
    seen = {
        "written_ms": 3,
        "proven_ms": 33,
        "mixed_ms": 0,
        "least_ready": 3,
        "probe": {"new": {"requests": 90, "errors": 1, "longest_gap_ms": 61}},
    }
    assert told(seen) == (
        "seen of the cutover: endpoints seen 30 ms after the last write; never fewer"
        " than 3 ready; new connections: 1 of 90 requests failed, longest gap 61 ms"
    )
