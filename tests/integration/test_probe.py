# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests of our own while the active Service moves. No pod of this cluster answers
any: a server of the test's does, as the version that the Service selects would.
"""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.cutover.bluegreen.tests.integration.support.release import (
    ACTIVE,
    Release,
    message,
    rollout_of,
    steps_of,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.watcher import (
    Watcher,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.http_server import (
    HttpServer,
    Received,
    Reply,
)

KEPT: dict[str, t.Any] = {"scale_down_delay_seconds": 600, "wait": "detach"}


@pytest.fixture
def server() -> t.Iterator[HttpServer]:
    with HttpServer() as running:
        yield running


def users_reach(release: Release, server: HttpServer, broken: int = 0) -> None:
    """Answer as the revision that the active Service selects; one may be broken."""

    def answer(_request: Received) -> Reply:
        number = release.directed_to()
        status = 503 if number == broken else 200
        return Reply(str(number), status, {"X-Version": str(number)}, keeps=True)

    server.reply(answer, path="/")


def probe(server: HttpServer, **more: t.Any) -> dict[str, t.Any]:
    return {"url": server.url, "version_header": "X-Version", **more}


@pytest.mark.parametrize("cutover", ["atomic", "overlap"])
def test_what_requests_met_is_recorded_and_told(
    release: Release, server: HttpServer, cutover: str
) -> None:
    release.deploy(replicas=2).check()
    users_reach(release, server)
    run = release.deploy(
        "2",
        cutover=cutover,
        overlap_seconds=1,
        probe=probe(server, settle_seconds=2),
        probe_max_errors=0,
    ).check()
    seen = rollout_of(run)["cutover"]
    assert seen["cutover"] == cutover
    assert set(seen["probe"]) == {"new", "reused"}
    for one in seen["probe"].values():
        assert one["errors"] == 0
        assert one["versions"]["1"]["first_ms"] < 0, "before the first write"
        assert one["versions"]["2"]["last_ms"] > seen["written_ms"]
    answered = [request for request in server.requests if request.path == "/"]
    assert sum(one["requests"] for one in seen["probe"].values()) == len(answered)
    assert release.details()["cutover"] == seen
    told = [s for s in steps_of(run) if s.startswith("seen of the cutover: ")]
    assert len(told) == 1
    assert "new connections: 0 of " in told[0]
    assert "reused connections: 0 of " in told[0]


def test_failed_requests_take_users_back(
    release: Release, server: HttpServer, watcher: t.Callable[..., Watcher]
) -> None:
    release.deploy(replicas=2).check()
    users_reach(release, server, broken=2)
    seen = watcher(ACTIVE)
    run = release.deploy("2", probe=probe(server), probe_max_errors=3, **KEPT)
    said = message(run)
    assert "was aborted by its probe: " in said
    assert "requests through the active Service failed (HTTP status 503), 3 may" in said
    assert release.directed_to() == 1
    assert release.phase() == "Degraded"
    seen.assert_never_below(ACTIVE, 2)


def test_without_a_limit_they_are_counted(release: Release, server: HttpServer) -> None:
    release.deploy(replicas=2).check()
    users_reach(release, server, broken=2)
    run = release.deploy("2", probe=probe(server, settle_seconds=1)).check()
    assert release.directed_to() == 2
    found = rollout_of(run)["cutover"]["probe"]
    assert found["new"]["errors"] > 0
    assert found["new"]["first_error"] == "HTTP status 503"


def test_a_way_back_is_not_held_up_by_it(release: Release, server: HttpServer) -> None:
    release.deploy(replicas=2).check()
    users_reach(release, server)
    options = {"probe": probe(server, settle_seconds=1), "probe_max_errors": 0}
    release.deploy("2", **options, **KEPT).check()
    users_reach(release, server, broken=3)
    # A rollback is a release, and watched; what is worse than before is left again.
    run = release.run("rollback", wait="detach")
    assert "requests through the active Service failed" in message(run)
    assert release.directed_to() == 2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"probe": "web:8080"}, "probe: "),
        ({"probe": {"url": "http://web/", "rate": 500}}, "probe: rate is 500"),
        ({"probe_max_errors": 1}, "probe_max_errors: there is no probe"),
        ({"probe": "http://web/", "probe_max_errors": -1}, "probe_max_errors: -1"),
    ],
)
def test_bad_input_is_said_before_the_first_write(
    release: Release, options: dict[str, t.Any], says: str
) -> None:
    said = message(release.deploy(**options))
    assert said.startswith(f"bluegreen_{says}")
    assert "\n" not in said
    assert release.revisions() == {}
