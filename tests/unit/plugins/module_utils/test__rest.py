# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When a rollout rests, and what is said of a phase that is not expected."""

from __future__ import annotations

import dataclasses

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._driver import Driving
from ansible_collections.cutover.bluegreen.plugins.module_utils._model import Observed
from ansible_collections.cutover.bluegreen.plugins.module_utils._record import (
    Record,
    Request,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._rest import (
    unexpected,
    why_at_rest,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._stages import (
    DEGRADED,
    HEALTHY,
    PAUSED,
    PHASE_PAUSED,
    PHASES,
    PREVIEWED,
    PROGRESSING,
    PROMOTED,
    RETIRED,
    STABLE,
    VERIFIED,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.states import (
    NOW,
    V1,
    V2,
    after,
    observed,
    revision,
    service,
)

LIVE = Driving("process 7 on a", live=True)
GONE = Driving("process 7 on a")
NOBODY = Driving()

GATE = Record(V2, PAUSED, PHASE_PAUSED)
COUNTDOWN = dataclasses.replace(GATE, promote_at=after(60))
INCONCLUSIVE = Record(V2, PROMOTED, PHASE_PAUSED, retire_at={V1: after(9)})
MIDWAY = Record(V2, PREVIEWED, PROGRESSING)
DONE = Record(V2, RETIRED, HEALTHY)
DELAYED = Record(V2, VERIFIED, HEALTHY, retire_at={V1: after(60)})
ABORTED = Record(V2, STABLE, DEGRADED)
ASKED = dataclasses.replace(GATE, request=Request("promote", V2, "x"))


def seen(record: Record) -> Observed:
    return observed([revision(V1), revision(V2)], [service(V1)], record)


@pytest.mark.parametrize(
    ("record", "driving", "why"),
    [
        # A live run goes on, whatever the phase, unless it waits for a person.
        (MIDWAY, LIVE, ""),
        (COUNTDOWN, LIVE, ""),
        (DELAYED, LIVE, ""),
        (DONE, LIVE, ""),
        (ABORTED, LIVE, ""),
        (GATE, LIVE, "it is Paused and waits for a decision"),
        (INCONCLUSIVE, LIVE, "it is Paused and waits for a decision"),
        # The decision was made, and the run has not heeded it yet.
        (ASKED, LIVE, ""),
        (ASKED, GONE, "it is Paused and waits for a decision"),
        # Without one, nothing goes on.
        (GATE, NOBODY, "it is Paused and waits for a decision"),
        (DONE, NOBODY, "it is Healthy"),
        (DONE, GONE, "it is Healthy"),
        (DELAYED, NOBODY, "it is Healthy"),
        (ABORTED, NOBODY, "it is Degraded"),
        (MIDWAY, NOBODY, "it is Progressing, but no run drives it"),
        (
            MIDWAY,
            GONE,
            "it is Progressing, but the run that drove it (process 7 on a) is gone",
        ),
        (
            COUNTDOWN,
            NOBODY,
            "it is Paused until 2026-01-02T03:05:05.000Z, but no run drives it",
        ),
        (Record(), LIVE, ""),
        (Record(), NOBODY, "its record is lost"),
    ],
)
def test_it_rests_where_nothing_goes_on_by_itself(
    record: Record, driving: Driving, why: str
) -> None:
    assert why_at_rest(seen(record), driving) == why


def test_what_was_never_released_rests_until_somebody_begins() -> None:
    assert why_at_rest(Observed(), NOBODY) == "nothing was released yet"
    assert why_at_rest(Observed(), LIVE) == ""


@pytest.mark.parametrize("phase", PHASES)
def test_an_expected_phase_is_fine(phase: str) -> None:
    found = seen(dataclasses.replace(MIDWAY, phase=phase))
    assert unexpected("web", "shop", found, [phase, "Other"], NOW) == ""
    assert unexpected("web", "shop", found, [], NOW) == ""
    assert unexpected("web", "shop", found, ["Other"], NOW)


OF_WEB = "-e bluegreen_name=web -e bluegreen_namespace=shop"


def to(verb: str, said: str) -> str:
    return f"; to {said}: ansible-playbook cutover.bluegreen.{verb} {OF_WEB}"


@pytest.mark.parametrize(
    ("record", "what_to_do"),
    [
        (GATE, to("promote", "promote it") + to("abort", "abort it")),
        (MIDWAY, to("resume", "go on, if no run drives it")),
        (ABORTED, "; deploy a corrected manifest"),
        # It ran out of time before its promotion, and is in flight.
        (Record(V2, PREVIEWED, DEGRADED), to("abort", "abort it")),
        # What was stable has lost its endpoints.
        (Record(V1, RETIRED, DEGRADED), to("rollback", "go back")),
        (DONE, ""),
    ],
)
def test_a_phase_that_is_not_expected_is_one_sentence_with_the_way_on(
    record: Record, what_to_do: str
) -> None:
    found = seen(dataclasses.replace(record, message="it is so."))
    assert unexpected("web", "shop", found, ["Other", "Else"], NOW) == (
        f"expect: shop/web is {record.phase}, Other or Else was expected: it is so"
        f"{what_to_do}."
    )


def test_a_lost_record_is_no_expected_phase() -> None:
    lost = dataclasses.replace(seen(Record()), record_exists=False)
    assert unexpected("web", "shop", lost, ["Healthy"], NOW) == (
        "expect: shop/web is Unknown, Healthy was expected: its record is lost."
    )
