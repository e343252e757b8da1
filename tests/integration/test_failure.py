# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What becomes of a release that has failed, and what is shown between releases."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.cutover.bluegreen.tests.integration.support.analysis import (
    POST,
    PRE,
    Meter,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.release import (
    ACTIVE,
    PREVIEW,
    Path,
    Release,
    message,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.watcher import (
    Watcher,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.wire import Wire
from ansible_collections.cutover.bluegreen.tests.unit.support.http_server import (
    HttpServer,
)


def held_by(meter: Meter, kind: str) -> dict[str, t.Any]:
    return {
        "analysis_templates": meter.template(count=1, interval=None),
        kind: "rate",
        "on_failure": "hold",
    }


@pytest.fixture
def meter() -> t.Iterator[Meter]:
    with HttpServer() as server:
        yield Meter(server)


def test_it_stays_where_it_failed_until_a_person_decides(
    release: Release,
    watcher: t.Callable[..., Watcher],
    meter: Meter,
    wire: t.Callable[..., Wire],
    path: Path,
) -> None:
    """Later runs say so and write nothing; an abort goes back."""
    release.path = path
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    meter.reads(0.1)
    said = message(release.deploy("2", **held_by(meter, PRE)))
    assert "did not pass its pre-promotion analysis" in said
    assert "it is held where it is" in said
    assert "Deploy its manifest again to try again" in said
    assert release.sizes() == {1: 2, 2: 2}
    assert release.directed_to(PREVIEW) == 2
    assert release.directed_to(ACTIVE) == 1
    assert release.phase() == "Degraded"
    assert "RolloutHeld" in release.events()

    requests = wire()
    assert "it is held where it is" in message(release.run("resume"))
    assert "it is held where it is" in message(release.run("promote"))
    assert not requests.writes

    release.run("abort").check()
    assert release.directed_to(PREVIEW) == 1
    assert release.sizes()[1] == 2
    seen.assert_never_below(ACTIVE, 2)
    seen.assert_never_mixed(ACTIVE)


def test_its_manifest_deployed_again_measures_it_anew(
    release: Release, meter: Meter
) -> None:
    release.deploy("1").check()
    meter.reads(0.1)
    given = held_by(meter, PRE)
    message(release.deploy("2", **given))
    assert "is held" in message(release.deploy("2", **given, retry_aborted=False))
    message(release.deploy("2", **given))
    meter.reads(1.0)
    release.deploy("2", **given).check()
    assert release.directed_to(ACTIVE) == 2
    assert release.phase() == "Healthy"


def test_promoted_in_full_it_goes_on(release: Release, meter: Meter) -> None:
    """Also after the users have moved: there it is confirmed by that."""
    release.deploy("1").check()
    meter.reads(0.1)
    assert "post-promotion" in message(release.deploy("2", **held_by(meter, POST)))
    assert release.directed_to(ACTIVE) == 2
    assert release.sizes() == {1: 2, 2: 2}
    assert release.record()["stable"] == release.hash_of(1)
    release.run("promote", full=True).check()
    assert release.record()["stable"] == release.hash_of(2)
    assert release.phase() == "Healthy"


def test_another_manifest_takes_its_place(release: Release, meter: Meter) -> None:
    release.deploy("1").check()
    meter.reads(0.1)
    message(release.deploy("2", **held_by(meter, PRE)))
    release.deploy("3").check()
    assert release.directed_to(ACTIVE) == 3


# -- the very first release ------------------------------------------------------------


def test_the_first_release_passes_its_gates_where_it_is_asked_to(
    release: Release, watcher: t.Callable[..., Watcher], meter: Meter
) -> None:
    """Nobody reaches it before it is promoted, though its labels are those of the
    Service's own selector.
    """
    seen = watcher(ACTIVE)
    meter.reads(0.1)
    given = {
        "analysis_templates": meter.template(count=1, interval=None),
        PRE: "rate",
        "gate_first_deploy": True,
        "auto_promotion_enabled": False,
    }
    said = message(release.deploy("1", **given))
    assert "did not pass its pre-promotion analysis" in said
    assert "abort" not in said.partition("Deploy")[2]
    assert release.directed_to(PREVIEW) == 1
    meter.reads(1.0)
    release.deploy("1", **given).check()
    assert release.phase() == "Paused"
    assert not any(moment.ready for moment in seen.moments(ACTIVE))
    release.run("promote").check()
    assert release.directed_to(ACTIVE) == 1
    assert release.phase() == "Healthy"
    assert not release.deploy("1", **given).check().changed


# -- what the preview shows between updates --------------------------------------------


def test_the_preview_shows_nothing_between_updates(
    release: Release, watcher: t.Callable[..., Watcher], wire: t.Callable[..., Wire]
) -> None:
    seen = watcher(PREVIEW)
    given = {"preview_when_idle": "none"}
    release.deploy("1", **given).check()
    assert not seen.moments(PREVIEW)[-1].ready
    requests = wire()
    assert not release.deploy("1", **given).check().changed
    assert not requests.writes
    release.deploy("2", **given, auto_promotion_enabled=False).check()
    assert release.directed_to(PREVIEW) == 2
    release.run("abort").check()
    assert release.service(PREVIEW)["spec"]["selector"]["app"] == "web"
    assert release.directed_to(ACTIVE) == 1
    assert "-> nothing" in str(release.run("status").check().stdout)
