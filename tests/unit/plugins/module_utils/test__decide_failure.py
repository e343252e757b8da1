# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What becomes of a release that has failed: it goes back, or is held where it is."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils import _names as names
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.state import (
    FAILED,
    PRE_PROMOTION,
    SUCCESSFUL,
    AnalysisState,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._decide import (
    decide,
    next_task,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._decide_failure import (
    give_up,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._model import Observed
from ansible_collections.cutover.bluegreen.plugins.module_utils._parameters import (
    Parameters,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._record import Record
from ansible_collections.cutover.bluegreen.plugins.module_utils._stages import (
    ANALYSED,
    DEGRADED,
    PREVIEWED,
    PROGRESSING,
    PROMOTED,
    RETIRED,
    STABLE,
    STARTED,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._steps import (
    CreateServices,
    Fail,
    Note,
    Point,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._view import View, Want
from ansible_collections.cutover.bluegreen.tests.unit.support.states import (
    NOW,
    V1,
    V2,
    V3,
    observed,
    parameters,
    preview,
    revision,
    service,
)

WHY = "its pre-promotion analysis (rate: Failed)"
HOLDING = parameters(on_failure="hold")


def seen(
    stage: str = PREVIEWED,
    release: Parameters = HOLDING,
    active: str | None = V1,
    **changes: t.Any,
) -> Observed:
    """V1 serves, V2 is in flight."""
    values: dict[str, t.Any] = {"stable": V1, "phase": PROGRESSING, **changes}
    record = Record(revision=V2, stage=stage, active=V1, last_number=2, **values)
    services = [service(active), preview(V2)]
    return observed([revision(V1), revision(V2, parameters=release)], services, record)


def held(**changes: t.Any) -> Observed:
    failed = {PRE_PROMOTION: AnalysisState("a", NOW, FAILED)}
    values = {
        "held": WHY,
        "phase": DEGRADED,
        "message": "it is held",
        "analysis": failed,
        **changes,
    }
    return seen(**values)


def given_up(state: Observed, how: str = "") -> Record:
    return give_up(View(Want(RETIRED), state, NOW), WHY, how).record


@pytest.mark.parametrize(
    ("state", "how", "verb"),
    [
        (seen(), "", None),
        (seen(release=parameters()), "", "abort"),
        (seen(), "abort", "abort"),
        (seen(release=parameters()), "hold", None),
        (seen(PROMOTED, active=V2), "", None),
        # Users are between two revisions: they are never left there.
        (seen(ANALYSED, active=V2), "", "abort"),
        (dataclasses.replace(seen(ANALYSED), window=True), "hold", "abort"),
        # Nothing to go back to.
        (seen(release=parameters(), stable=V2), "", None),
    ],
)
def test_it_goes_back_or_is_held(state: Observed, how: str, verb: str | None) -> None:
    record = given_up(state, how)
    assert (record.request.verb if record.request else None) == verb
    assert record.held == ("" if verb else WHY)
    assert record.phase == (PROGRESSING if verb else DEGRADED)
    assert record.stage == state.record.stage


@pytest.mark.parametrize(
    "want", [Want(RETIRED), Want(PROMOTED, approve=True), Want(PREVIEWED, V2, HOLDING)]
)
def test_nothing_moves_while_it_is_held(want: Want) -> None:
    step = decide(want, held(), NOW)
    assert isinstance(step, Fail)
    assert not step.degrades
    assert "again to try again" in step.message
    assert step.message.endswith("or abort it.")
    assert next_task(want, held(), NOW) == "promote"


def test_tried_again_it_measures_anew_what_has_failed() -> None:
    states = {
        "pre-promotion": AnalysisState("a", NOW, FAILED),
        "post-promotion": AnalysisState("b", NOW, SUCCESSFUL),
    }
    step = decide(Want(PREVIEWED, V2, HOLDING, retry=True), held(analysis=states), NOW)
    assert isinstance(step, Note)
    assert step.record.held == ""
    assert step.record.phase == PROGRESSING
    assert set(step.record.analysis) == {"post-promotion"}


def test_what_is_no_verdict_a_promotion_accepts() -> None:
    step = decide(Want(PROMOTED, approve=True), held(analysis={}), NOW)
    assert isinstance(step, Note)
    assert step.record.held == ""


def test_promoted_in_full_it_goes_on() -> None:
    step = decide(Want(PROMOTED, approve=True, full=True), held(fast=True), NOW)
    assert isinstance(step, Note)
    assert step.record.held == ""


def test_an_abort_and_another_manifest_end_it() -> None:
    step = decide(Want(STABLE, V2, abort=True), held(), NOW)
    assert isinstance(step, Point)
    assert step.hash == V1
    step = decide(Want(PREVIEWED, V3, HOLDING), held(), NOW)
    assert not isinstance(step, Fail)


def test_what_others_opened_is_closed_all_the_same() -> None:
    step = decide(Want(RETIRED), held(active=V2), NOW)
    assert isinstance(step, Point)
    assert step.hash == V1


# -- the very first release ------------------------------------------------------------

GATED = parameters(gate_first_deploy=True, auto_promotion_enabled=False)


def first(target: str | None = None, pods: int = 0, exists: bool = True) -> Observed:
    """V1 is the first one; its Service is as somebody made it."""
    record = Record(revision=V1, stage=STARTED, phase=PROGRESSING, last_number=1)
    found = [revision(V1, pods, parameters=GATED)] if pods else []
    return observed(found, [service(target, exists=exists)], record)


def test_the_active_service_selects_nothing_before_there_are_pods() -> None:
    step = decide(Want(PREVIEWED, V1, GATED), first(), NOW)
    assert isinstance(step, Point)
    assert (step.services, step.hash) == (("web",), names.NO_REVISION)


def test_one_that_is_created_selects_nothing() -> None:
    step = decide(Want(PREVIEWED, V1, GATED), first(pods=3, exists=False), NOW)
    assert isinstance(step, CreateServices)
    assert step.hash == names.NO_REVISION


def test_what_users_reach_already_is_not_taken_away() -> None:
    """Invariant 1: its record was lost, or its selector edited."""
    step = decide(Want(PREVIEWED, V1, GATED), first(pods=3), NOW)
    assert not isinstance(step, Point)
