# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state machine as a table: a state that was seen, and the step that follows."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils import _names as names
from ansible_collections.cutover.bluegreen.plugins.module_utils._decide import (
    decide,
    next_task,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._model import (
    Endpoints,
    Observed,
    Revision,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._parameters import (
    Parameters,
    Size,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._record import (
    Record,
    Request,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._stages import (
    ANALYSED,
    CREATED,
    DEGRADED,
    HEALTHY,
    PAUSED,
    PHASE_PAUSED,
    PREVIEWED,
    PROGRESSING,
    PROMOTED,
    RETIRED,
    STABLE,
    STARTED,
    VERIFIED,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._steps import (
    ROLLOUT_ABORTED,
    CloseProof,
    CreateRevision,
    CreateServices,
    Cutover,
    Delete,
    Done,
    Fail,
    MarkAborted,
    Note,
    OpenProof,
    Point,
    Revive,
    Scale,
    Step,
    UpdateParameters,
    Wait,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._view import (
    View,
    Want,
    full_size,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.states import (
    NOW,
    V0,
    V1,
    V2,
    V3,
    World,
    after,
    observed,
    parameters,
    preview,
    proof,
    revision,
    routed,
    service,
    with_slices,
)

DEPLOY = Want(PREVIEWED, V2, parameters())
PROMOTE = Want(PROMOTED, V2)
ABORT = Want(STABLE, V2, abort=True)
TO_END = Want(RETIRED)


def record(stage: str = RETIRED, about: str = V1, **changes: t.Any) -> Record:
    """V1 is stable; the record is about that revision."""
    values: dict[str, t.Any] = {
        "revision": about,
        "stage": stage,
        "phase": _phase(stage, about),
        "active": V1,
        "stable": V1,
        "last_number": int(about[0]),
        **changes,
    }
    return Record(**values)


def _phase(stage: str, about: str) -> str:
    if about == V1 or stage in (VERIFIED, RETIRED):
        return HEALTHY
    return PHASE_PAUSED if stage == PAUSED else PROGRESSING


def in_flight(stage: str, **changes: t.Any) -> Record:
    return record(stage, V2, **changes)


def seen(
    stage: str,
    pods: int = 3,
    ready: int | None = None,
    active: str | None = V1,
    shown: str = V2,
    proven: str | None = V2,
    release: Parameters | None = None,
    v1: Revision | None = None,
    v2: dict[str, t.Any] | None = None,
    **changes: t.Any,
) -> Observed:
    """V1 serves, V2 is in flight at that stage."""
    release = release or parameters()
    new = revision(V2, pods, ready, **{"parameters": release, **(v2 or {})})
    services = [service(active), preview(shown)]
    if proven:
        services.append(proof(proven))
    return observed([v1 or revision(V1), new], services, in_flight(stage, **changes))


BEFORE = parameters(preview_replica_count=1)
MANUAL = parameters(auto_promotion_enabled=False)
COUNTED = parameters(auto_promotion_seconds=60)
STEPS = parameters(replicas=4, scale_up_steps=(Size(25, True), Size(3, False)))
HOLDING = dataclasses.replace(STEPS, scale_up_interval_seconds=20)
AT_REST = observed([revision(V1)], [service(V1), preview(V1)], record())
NOTHING = observed([], [service(None, exists=False)])
CUT_OVER = {"act": "promote", "revision": V2}


AT_ONCE = "atomic: the endpoints of each Service change in one write"


def cutover_intent(state: Observed, to: str) -> dict[str, t.Any]:
    return View(PROMOTE, state, NOW).cutover_intent(to)


def with_intent(state: Observed, to: str = V2) -> Observed:
    changed = dataclasses.replace(state.record, intent=cutover_intent(state, to))
    return dataclasses.replace(state, record=changed)


class Row(t.NamedTuple):
    name: str
    want: Want
    seen: Observed
    step: Step


ROWS = [
    # -- a first release
    Row(
        "first: the revision is created whole, steps are for updates",
        Want(PREVIEWED, V1, STEPS),
        observed(
            [],
            [service(None, exists=False)],
            Record(revision=V1, stage=STARTED, last_number=1),
        ),
        CreateRevision(V1, 1, 4),
    ),
    Row(
        "first: Services given as manifests are created",
        Want(PREVIEWED, V1, parameters()),
        observed(
            [revision(V1)],
            [service(None, exists=False), preview(None, exists=False)],
            Record(revision=V1, stage=STARTED, last_number=1),
        ),
        CreateServices(("web", "web-preview"), V1),
    ),
    # -- an update begins
    Row(
        "update: the revision is created with its first step",
        Want(PREVIEWED, V2, STEPS),
        observed([revision(V1)], [service(V1)], in_flight(STARTED)),
        CreateRevision(V2, 2, 1),
    ),
    Row(
        "update: the preview size bounds the first step",
        Want(PREVIEWED, V2, parameters(preview_replica_count=2)),
        observed([revision(V1)], [service(V1)], in_flight(STARTED)),
        CreateRevision(V2, 2, 2),
    ),
    Row(
        "update: a deleted active Service comes back at the stable revision",
        DEPLOY,
        observed(
            [revision(V1), revision(V2)],
            [service(None, exists=False)],
            in_flight(STARTED),
        ),
        CreateServices(("web",), V1),
    ),
    Row(
        "update: changed parameters are written onto the revision",
        Want(PREVIEWED, V2, MANUAL),
        seen(CREATED),
        UpdateParameters(V2, MANUAL, None),
    ),
    Row(
        "at rest: changed parameters are written, the size with them",
        Want(PREVIEWED, V1, parameters(replicas=5)),
        observed([revision(V1)], [service(V1)], record(progress_at=after(9))),
        UpdateParameters(V1, parameters(replicas=5), 5),
    ),
    Row(
        "at rest: an autoscaler's size is left alone",
        Want(PREVIEWED, V1, parameters(replicas=5)),
        observed([revision(V1, 7, autoscaled=True)], [service(V1)], record()),
        UpdateParameters(V1, parameters(replicas=5), None),
    ),
    Row(
        "at rest: the same again is nothing",
        Want(PREVIEWED, V1, parameters()),
        AT_REST,
        Done(),
    ),
    # -- step by step
    Row(
        "the first step is proven through a proof Service",
        DEPLOY,
        seen(STARTED, proven=None),
        OpenProof(V2),
    ),
    Row(
        "a proof of another revision is turned",
        DEPLOY,
        seen(STARTED, proven=V1),
        OpenProof(V2),
    ),
    Row(
        "the first step is not smaller than planned",
        Want(PREVIEWED, V2, STEPS),
        seen(CREATED, pods=0, release=STEPS),
        Scale(V2, 1, "first step of the scale-up"),
    ),
    Row(
        "the preview Service moves once the first step is proven",
        DEPLOY,
        seen(CREATED, shown=V1),
        Point(("web-preview",), V2, f"revision 2 (web-{V2}) is shown to a few users"),
    ),
    Row(
        "deploy ends when it is previewed",
        Want(PREVIEWED, V2, STEPS),
        seen(PREVIEWED, pods=1, release=STEPS),
        Done(),
    ),
    Row(
        "the scale-up takes its next step",
        Want(ANALYSED, V2),
        seen(PREVIEWED, pods=1, release=STEPS),
        Scale(V2, 3, "next step of the scale-up"),
    ),
    Row(
        "the last step is the whole",
        Want(ANALYSED, V2),
        seen(PREVIEWED, pods=3, release=STEPS),
        Scale(V2, 4, "next step of the scale-up"),
    ),
    Row(
        "a step is held for the interval",
        Want(ANALYSED, V2),
        seen(PREVIEWED, pods=1, release=HOLDING, scale_from=1, scale_at=after(7)),
        Wait(
            f"revision 2 (web-{V2}) holds at 1/4 pods",
            after(7),
            "until the next step of the scale-up",
        ),
    ),
    Row(
        "after the interval the next step is taken",
        Want(ANALYSED, V2),
        seen(PREVIEWED, pods=1, release=HOLDING, scale_from=1, scale_at=after(0)),
        Scale(V2, 3, "next step of the scale-up"),
    ),
    Row(
        "each step is ready before the next",
        Want(ANALYSED, V2),
        seen(
            PREVIEWED,
            pods=3,
            ready=2,
            release=STEPS,
            progress_at=after(9),
            progress_available=2,
        ),
        Wait(
            f"revision 2 (web-{V2}): 2/3 pods available",
            after(9),
            "until its progress deadline",
        ),
    ),
    # -- the gate
    Row(
        "gate: the countdown is waited for",
        Want(PAUSED, V2),
        seen(PAUSED, release=COUNTED, promote_at=after(5)),
        Wait(
            f"revision 2 (web-{V2}) is paused before promotion",
            after(5),
            "until it is promoted by itself",
            at_gate=True,
        ),
    ),
    Row(
        "gate: nobody waits for a countdown when detached",
        Want(PAUSED, V2, inline=False),
        seen(PAUSED, release=COUNTED, promote_at=after(5)),
        Done(),
    ),
    Row(
        "gate: a decision is not waited for",
        Want(PAUSED, V2),
        seen(PAUSED, release=MANUAL),
        Done(),
    ),
    Row(
        "gate: a decision is waited for where a person is asked",
        Want(PAUSED, V2, attended=True),
        seen(PAUSED, release=MANUAL),
        Wait(f"revision 2 (web-{V2}) waits for a decision", at_gate=True),
    ),
    Row(
        "gate: who is asked leaves once it was approved",
        Want(PAUSED, V2, attended=True),
        seen(PAUSED, release=MANUAL, approved=True),
        Done(),
    ),
    Row(
        "gate: promote stops before a shut one",
        PROMOTE,
        seen(PAUSED, release=MANUAL),
        Done(),
    ),
    Row(
        "gate: an instant opens nothing where a decision is asked for",
        PROMOTE,
        seen(PAUSED, release=MANUAL, promote_at=after(-60)),
        Done(),
    ),
    Row(
        "gate: parameters that cannot be read keep it shut",
        PROMOTE,
        seen(PAUSED, v2={"parameters": None}),
        Done(),
    ),
    Row(
        "gate: analysis ends before an open one",
        Want(ANALYSED, V2),
        seen(ANALYSED),
        Done(),
    ),
    # -- the cutover
    Row(
        "promote: full size first",
        PROMOTE,
        seen(ANALYSED, pods=1, release=STEPS),
        Scale(V2, 4, "full size before promotion"),
    ),
    Row(
        "promote: with the proof and the intent, the cutover",
        PROMOTE,
        with_intent(seen(ANALYSED)),
        Cutover(V2, AT_ONCE),
    ),
    Row(
        "promote: after a restart the proof is opened again",
        PROMOTE,
        with_intent(seen(ANALYSED, proven=None)),
        OpenProof(V2),
    ),
    Row(
        "promote: no less than a hand-raised V1 runs",
        PROMOTE,
        seen(ANALYSED, release=BEFORE, v1=revision(V1, 6)),
        Scale(V2, 6, "full size before promotion"),
    ),
    Row(
        "promote: no less than the revision that still serves in a split cutover",
        PROMOTE,
        with_intent(
            observed(
                [revision(V1, 8, autoscaled=True), revision(V2, 3, parameters=BEFORE)],
                [service(V1), service(V2, "api"), proof(V2), proof(V2, "api")],
                in_flight(ANALYSED),
            )
        ),
        Scale(V2, 8, "full size before promotion"),
    ),
    # -- after the cutover
    Row(
        "after: proof Services show whether it happened",
        PROMOTE,
        with_intent(seen(ANALYSED, active=V2, proven=None)),
        OpenProof(V2),
    ),
    Row(
        "after: a preview that was left behind follows",
        PROMOTE,
        seen(ANALYSED, active=V2, shown=V1, intent=CUT_OVER),
        Point(("web-preview",), V2, "it shows the stable revision between updates"),
    ),
    Row(
        "at rest: proof Services go",
        TO_END,
        observed([revision(V1)], [service(V1), proof(V1)], record()),
        CloseProof(),
    ),
    Row(
        "at rest: a preview that others moved comes back",
        TO_END,
        observed([revision(V1), revision(V0, 0)], [service(V1), preview(V0)], record()),
        Point(("web-preview",), V1, "it shows the stable revision between updates"),
    ),
    # -- what others opened
    Row(
        "others: a stripped active Service is closed first",
        DEPLOY,
        seen(PREVIEWED, active=None),
        Point(("web",), V1, "its selector was changed by somebody else"),
    ),
    Row(
        "others: a Service at an unknown revision is closed",
        TO_END,
        observed([revision(V1)], [service("ffffffffff")], record()),
        Point(("web",), V1, "somebody deleted the Deployment that it was directed to"),
    ),
    Row(
        "rest: what somebody scaled down comes back by its manifest",
        Want(PREVIEWED, V1, parameters(replicas=3)),
        observed(
            [revision(V1, 1, parameters=parameters(replicas=3))],
            [service(V1), preview(V1)],
            record(progress_at=after(60)),
        ),
        Scale(V1, 3, "somebody scaled it down"),
    ),
    Row(
        "rest: pods that came back are waited for until the Service lists them",
        Want(PREVIEWED, V1, parameters()),
        dataclasses.replace(
            observed(
                [revision(V1)],
                [],
                record(phase=DEGRADED, progress_at=after(60), progress_available=3),
            ),
            services=(
                dataclasses.replace(
                    service(V1), endpoints=Endpoints(frozenset({"pod-1"}))
                ),
            ),
        ),
        Wait(
            "endpoints of revision 1 (web-1111111111): 1/3 ready",
            after(60),
            "until its progress deadline",
        ),
    ),
    Row(
        "rest: the size that an autoscaler chose is left",
        Want(PREVIEWED, V1, parameters(replicas=3)),
        observed(
            [revision(V1, 1, parameters=parameters(replicas=3), autoscaled=True)],
            [service(V1), preview(V1)],
            record(),
        ),
        Done(),
    ),
    Row(
        "rest: the record names the revision that is active",
        TO_END,
        observed([revision(V1)], [service(V1), preview(V1)], record(active=V0)),
        Note(record()),
    ),
    Row(
        "rest: a phase that cannot be read is Healthy once the endpoints are seen",
        TO_END,
        observed([revision(V1)], [service(V1), preview(V1)], record(phase="")),
        Note(record(message="revision 1 is stable and serves all users")),
    ),
    Row(
        "others: a stripped hash after the promotion goes back to the promoted one",
        TO_END,
        seen(PROMOTED, active=None),
        Point(("web",), V2, "its selector was changed by somebody else"),
    ),
    Row(
        "others: a stripped hash during an abort goes back to the stable one",
        ABORT,
        seen(PROMOTED, active=None, intent={"act": "abort", "revision": V2}),
        Point(("web",), V1, "its selector was changed by somebody else"),
    ),
    Row(
        "others: a deleted active revision is said",
        TO_END,
        observed([revision(V0, 0)], [service(V1)], record()),
        Fail(
            "Service web directs to a revision whose Deployment somebody deleted, and"
            " revision 0 (web-0000000000) has no available pod to go back to; run the"
            " deploy playbook with a manifest, or the rollback playbook.",
            degrades=True,
        ),
    ),
    Row(
        "others: a deleted active revision is created anew by its manifest",
        Want(PREVIEWED, V1, parameters()),
        observed(
            [revision(V0, 0)],
            [service(V1)],
            record(STARTED, V1, phase=PROGRESSING, intent=dict(CUT_OVER, revision=V1)),
        ),
        CreateRevision(V1, 1, 3),
    ),
    Row(
        "others: abort brings the stable one back where the active one was deleted",
        ABORT,
        observed(
            [revision(V0, 0), revision(V2)],
            [service(V1), preview(V2)],
            in_flight(PAUSED, stable=V1, intent={"act": "abort", "revision": V2}),
        ),
        Scale(V0, 3, "it must carry all users again"),
    ),
    Row(
        "others: abort scales up a stable one that somebody scaled to nothing",
        ABORT,
        seen(PAUSED, v1=revision(V1, 0)),
        Scale(V1, 3, "it must carry all users again"),
    ),
    Row(
        "others: a Service at a revision in flight is closed",
        PROMOTE,
        seen(PREVIEWED, active=V2),
        Point(("web",), V1, "its selector was changed by somebody else"),
    ),
    Row(
        "others: the intent of a shut gate does not declare it",
        PROMOTE,
        seen(PAUSED, active=V2, release=MANUAL, intent=CUT_OVER),
        Point(("web",), V1, "its selector was changed by somebody else"),
    ),
    Row(
        "others: a Service at an aborted revision is closed",
        TO_END,
        observed(
            [revision(V1), revision(V2, aborted=True)],
            [service(V2)],
            record(STABLE, V2),
        ),
        Point(("web",), V1, "its selector was changed by somebody else"),
    ),
    Row(
        "others: a Service at a revision without pods is closed",
        TO_END,
        observed([revision(V0, 0), revision(V1)], [service(V0)], record()),
        Point(("web",), V1, "its selector was changed by somebody else"),
    ),
    # -- abort
    Row(
        "abort before the cutover: the preview goes back",
        ABORT,
        seen(PAUSED),
        Point(("web-preview",), V1, f"revision 2 (web-{V2}) is aborted"),
    ),
    Row(
        "abort before the cutover: the revision is marked",
        ABORT,
        seen(PAUSED, shown=V1),
        MarkAborted(V2),
    ),
    Row(
        "abort before the cutover: the proof goes",
        ABORT,
        seen(PAUSED, shown=V1, v2={"aborted": True}),
        CloseProof(),
    ),
    Row(
        "abort after the cutover: V1 carries all users again",
        ABORT,
        seen(
            PAUSED,
            active=V2,
            v1=revision(V1, 1),
            intent={"act": "abort", "revision": V2},
        ),
        Scale(V1, 3, "it must carry all users again"),
    ),
    Row(
        "abort after the cutover: V1 is proven",
        ABORT,
        seen(PAUSED, active=V2, intent={"act": "abort", "revision": V2}),
        OpenProof(V1),
    ),
    Row(
        "abort after the cutover: back",
        ABORT,
        with_intent(seen(PAUSED, active=V2, proven=V1), V1),
        Cutover(V1, AT_ONCE),
    ),
    Row(
        "abort after the cutover: more pods of V1 are not waited for than users have",
        ABORT,
        with_intent(
            seen(PAUSED, pods=9, ready=0, active=V2, proven=V1, v1=revision(V1, 9, 3)),
            V1,
        ),
        Cutover(V1, "atomic: nothing else serves"),
    ),
    Row(
        "abort of a deleted V2: the Services go back at once",
        ABORT,
        observed([revision(V1)], [service(V2)], in_flight(PAUSED, intent=CUT_OVER)),
        Point(("web",), V1, "somebody deleted the Deployment that it was directed to"),
    ),
    Row(
        "abort again is nothing",
        ABORT,
        observed(
            [revision(V1), revision(V2, 0, aborted=True)],
            [service(V1)],
            record(STABLE, V2, phase=DEGRADED),
        ),
        Done(),
    ),
    Row(
        "an abort that another run began is gone on with",
        PROMOTE,
        seen(PAUSED, v2={"aborted": True}),
        Point(("web-preview",), V1, f"revision 2 (web-{V2}) is aborted"),
    ),
    # -- another release
    Row(
        "superseded: the one in flight is marked",
        Want(PREVIEWED, V3, parameters()),
        seen(PAUSED),
        MarkAborted(V2),
    ),
    Row(
        "retry after abort: the revision is started anew",
        DEPLOY,
        observed(
            [revision(V1), revision(V2, 0, aborted=True)],
            [service(V1)],
            in_flight(STARTED, last_number=3),
        ),
        Revive(V2, 3, 3),
    ),
    Row(
        "an old revision is released again under a new number",
        Want(PREVIEWED, V0, parameters()),
        observed(
            [revision(V0, 0), revision(V1)],
            [service(V1)],
            record(STARTED, V0, last_number=2),
        ),
        Revive(V0, 2, 3),
    ),
    # -- retire
    Row(
        "retire: waits for the delay",
        TO_END,
        observed(
            [revision(V0), revision(V1)],
            [service(V1)],
            record(VERIFIED, retire_at={V0: after(30)}),
        ),
        Wait(
            f"revision 0 (web-{V0}) is kept for a quick way back",
            after(30),
            "until it is scaled down",
        ),
    ),
    Row(
        "retire: nobody waits when detached",
        Want(RETIRED, inline=False),
        observed(
            [revision(V0), revision(V1)],
            [service(V1)],
            record(VERIFIED, retire_at={V0: after(30)}),
        ),
        Done(),
    ),
    Row(
        "retire: the delay is over",
        TO_END,
        observed(
            [revision(V0), revision(V1)],
            [service(V1)],
            record(VERIFIED, retire_at={V0: after(0)}),
        ),
        Scale(V0, 0, "its scale-down delay is over"),
    ),
    Row(
        "retire: -1 is never",
        TO_END,
        observed(
            [
                revision(V0),
                revision(V1, parameters=parameters(scale_down_delay_seconds=-1)),
            ],
            [service(V1)],
            record(),
        ),
        Done(),
    ),
    Row(
        "retire: the revision limit shortens the delay",
        TO_END,
        observed(
            [
                revision(V0),
                revision(V1),
                revision(V2, parameters=parameters(scale_down_delay_revision_limit=1)),
            ],
            [service(V2)],
            record(
                VERIFIED,
                V2,
                active=V2,
                stable=V2,
                retire_at={V0: after(30), V1: after(30)},
            ),
        ),
        Scale(V0, 0, "only 1 old revisions keep their delay"),
    ),
    Row(
        "retire: the oldest beyond the history limit is deleted",
        TO_END,
        observed(
            [
                revision(V0, 0),
                revision(V1, 0),
                revision(V2, parameters=parameters(revision_history_limit=1)),
            ],
            [service(V2)],
            record(VERIFIED, V2, active=V2, stable=V2),
        ),
        Delete(V0),
    ),
    Row(
        "retire: nothing while the Services disagree",
        TO_END,
        observed(
            [revision(V0), revision(V1)],
            [service(V1), service(V0, "api")],
            record(VERIFIED, retire_at={V0: after(-9)}),
        ),
        Done(),
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_next_step(row: Row) -> None:
    assert decide(row.want, row.seen, NOW) == row.step


class Noted(t.NamedTuple):
    name: str
    want: Want
    seen: Observed
    changes: dict[str, t.Any]


NOTES = [
    Noted(
        "first: the record says started before anything else",
        Want(PREVIEWED, V1, parameters()),
        NOTHING,
        {
            "revision": V1,
            "stage": STARTED,
            "phase": PROGRESSING,
            "stable": "",
            "last_number": 1,
            "started_at": NOW,
            "progress_at": after(600),
        },
    ),
    Noted(
        "update: the record says started",
        DEPLOY,
        AT_REST,
        {
            "revision": V2,
            "stage": STARTED,
            "stable": V1,
            "active": V1,
            "last_number": 2,
            "approved": False,
            "promote_at": None,
        },
    ),
    Noted(
        "update over one whose Services moved: what users have is the way back",
        Want(PREVIEWED, V3, parameters()),
        seen(ANALYSED, active=V2, intent=CUT_OVER, approved=True),
        {"revision": V3, "stage": STARTED, "stable": V2, "approved": False},
    ),
    Noted(
        "a lost record starts over, and knows the stable revision",
        DEPLOY,
        observed([revision(V1), revision(V2)], [service(V1)]),
        {"revision": V2, "stage": STARTED, "stable": V1, "approved": False},
    ),
    Noted(
        "a deleted revision in flight starts over, its approval is gone",
        DEPLOY,
        observed([revision(V1)], [service(V1)], in_flight(PAUSED, approved=True)),
        {"stage": STARTED, "approved": False, "last_number": 3},
    ),
    Noted(
        "a revision that was marked aborted starts over",
        DEPLOY,
        seen(PAUSED, v2={"aborted": True}, approved=True),
        {"stage": STARTED, "approved": False},
    ),
    Noted("created", DEPLOY, seen(STARTED), {"stage": CREATED}),
    Noted(
        "previewed",
        DEPLOY,
        seen(CREATED),
        {"stage": PREVIEWED, "preview": V2, "intent": {}},
    ),
    Noted(
        "previewed, without a preview Service",
        DEPLOY,
        observed(
            [revision(V1), revision(V2)], [service(V1), proof(V2)], in_flight(CREATED)
        ),
        {"stage": PREVIEWED, "preview": ""},
    ),
    Noted(
        "the interval begins when the step is ready",
        Want(ANALYSED, V2),
        seen(PREVIEWED, pods=1, release=HOLDING),
        {"scale_at": after(20), "scale_from": 1},
    ),
    Noted(
        "gate auto 0: analysed, and open",
        Want(ANALYSED, V2),
        seen(PREVIEWED),
        {"stage": ANALYSED, "phase": PROGRESSING, "promote_at": None},
    ),
    Noted(
        "gate auto N: paused until an instant",
        Want(ANALYSED, V2),
        seen(PREVIEWED, release=COUNTED),
        {"stage": PAUSED, "phase": PHASE_PAUSED, "promote_at": after(60)},
    ),
    Noted(
        "gate manual: paused until a decision",
        Want(ANALYSED, V2),
        seen(PREVIEWED, release=MANUAL),
        {"stage": PAUSED, "phase": PHASE_PAUSED, "promote_at": None},
    ),
    Noted(
        "gate: an instant that cannot be read is set anew",
        PROMOTE,
        seen(PAUSED, release=COUNTED, phase=PHASE_PAUSED),
        {"stage": PAUSED, "promote_at": after(60), "approved": False},
    ),
    Noted(
        "gate: parameters turned manual shut one that was open",
        PROMOTE,
        seen(ANALYSED, release=MANUAL),
        {"stage": PAUSED, "promote_at": None},
    ),
    Noted(
        "gate: the countdown is over",
        PROMOTE,
        seen(PAUSED, release=COUNTED, promote_at=NOW, phase=PHASE_PAUSED),
        {"approved": True, "phase": PROGRESSING, "promote_at": None},
    ),
    Noted(
        "gate: approved by this run",
        dataclasses.replace(PROMOTE, approve=True),
        seen(PAUSED, release=MANUAL, phase=PHASE_PAUSED),
        {"approved": True, "phase": PROGRESSING},
    ),
    Noted(
        "gate: approved by a request",
        Want(PAUSED, V2),
        seen(PAUSED, release=MANUAL, request=Request("promote", V2, "me")),
        {"approved": True, "request": None, "phase": PROGRESSING},
    ),
    Noted(
        "a request about another revision is dropped",
        Want(PAUSED, V2),
        seen(PAUSED, release=MANUAL, request=Request("promote", V3, "me")),
        {"approved": False, "request": None},
    ),
    Noted(
        "the intent is written before the act",
        PROMOTE,
        seen(ANALYSED),
        {"intent": cutover_intent(seen(ANALYSED), V2)},
    ),
    Noted(
        "verified: V2 is stable, V1 gets its delay",
        PROMOTE,
        seen(ANALYSED, active=V2, intent=CUT_OVER),
        {
            "stage": VERIFIED,
            "phase": HEALTHY,
            "stable": V2,
            "active": V2,
            "retire_at": {V1: after(30)},
            "intent": {},
        },
    ),
    Noted(
        "retired: the release is complete",
        TO_END,
        observed([revision(V0, 0), revision(V1)], [service(V1)], record(VERIFIED)),
        {"stage": RETIRED},
    ),
    Noted(
        "retire: a delay that cannot be read begins anew",
        TO_END,
        observed([revision(V0), revision(V1)], [service(V1)], record()),
        {"retire_at": {V0: after(30)}},
    ),
    Noted(
        "abort after the cutover is asked for in the record first",
        ABORT,
        seen(PAUSED, active=V2, approved=True, intent=CUT_OVER),
        {"intent": {"act": "abort", "revision": V2}, "request": Request("abort", V2)},
    ),
    Noted(
        "aborted: V1 serves, V2 gets its delay",
        ABORT,
        seen(PAUSED, shown=V1, proven=None, v2={"aborted": True}, approved=True),
        {
            "stage": STABLE,
            "phase": DEGRADED,
            "stable": V1,
            "approved": False,
            "retire_at": {V2: after(30)},
        },
    ),
    Noted(
        "superseded: the one in flight is closed",
        Want(PREVIEWED, V3, parameters()),
        seen(PAUSED, v2={"aborted": True}, approved=True, phase=DEGRADED),
        {"stage": STABLE, "approved": False, "phase": PROGRESSING},
    ),
    Noted(
        "undo: V1 is deployed again after an abort",
        Want(PREVIEWED, V1, parameters()),
        observed(
            [revision(V1), revision(V2, 0, aborted=True)],
            [service(V1), proof(V1)],
            record(STABLE, V2, phase=DEGRADED),
        ),
        {"revision": V1, "stage": VERIFIED, "phase": HEALTHY},
    ),
    Noted(
        "progress: the first look sets the deadline",
        DEPLOY,
        seen(CREATED, ready=1),
        {"progress_at": after(600), "progress_available": 1},
    ),
    Noted(
        "progress: each pod renews the deadline",
        DEPLOY,
        seen(CREATED, ready=2, progress_at=after(1), progress_available=1),
        {"progress_at": after(600), "progress_available": 2},
    ),
    Noted(
        "progress: beyond the deadline it asks for an abort",
        Want(PREVIEWED, V2, parameters(progress_deadline_abort=True)),
        seen(
            CREATED,
            ready=1,
            progress_at=after(-1),
            progress_available=1,
            release=parameters(progress_deadline_abort=True),
        ),
        {"request": Request("abort", V2, "its progress deadline of 600 s")},
    ),
    Noted(
        "a release that goes on after a failure is no more Degraded",
        DEPLOY,
        seen(CREATED, phase=DEGRADED),
        {"phase": PROGRESSING},
    ),
    Noted(
        "a stable revision that came up after all is Healthy",
        TO_END,
        observed([revision(V1)], [service(V1)], record(phase=DEGRADED)),
        {"phase": HEALTHY},
    ),
    Noted(
        "resized: the deadline begins before the write",
        Want(PREVIEWED, V1, parameters(replicas=5)),
        observed([revision(V1)], [service(V1)], record()),
        {"progress_at": after(600), "progress_available": 0},
    ),
    Noted(
        "resized: seen ready",
        TO_END,
        observed([revision(V1)], [service(V1)], record(progress_at=after(9))),
        {"progress_at": None},
    ),
]


@pytest.mark.parametrize("row", NOTES, ids=lambda row: row.name)
def test_next_note(row: Noted) -> None:
    step = decide(row.want, row.seen, NOW)
    assert isinstance(step, Note), step
    assert {k: getattr(step.record, k) for k in row.changes} == row.changes


class Refused(t.NamedTuple):
    name: str
    want: Want
    seen: Observed
    sentence: str


REFUSALS = [
    Refused(
        "nothing to abort",
        Want(STABLE, V1, abort=True),
        AT_REST,
        "no release in flight to abort",
    ),
    Refused(
        "the first one cannot be aborted",
        Want(STABLE, V1, abort=True),
        observed([revision(V1)], [service(None)], Record(revision=V1, stage=PREVIEWED)),
        "no earlier revision to go back to",
    ),
    Refused(
        "a lost record keeps what is in flight where it is",
        PROMOTE,
        observed([revision(V1), revision(V2)], [service(V1)]),
        "its record is gone",
    ),
    Refused(
        "a deleted revision in flight",
        PROMOTE,
        observed([revision(V1)], [service(V1)], in_flight(PAUSED)),
        "its Deployment is gone",
    ),
    Refused(
        "a deleted active Service",
        PROMOTE,
        observed(
            [revision(V1), revision(V2)],
            [service(None, exists=False)],
            in_flight(PAUSED),
        ),
        "Service web does not exist",
    ),
    Refused(
        "no known active Service",
        PROMOTE,
        observed([revision(V1), revision(V2)], [], in_flight(PAUSED)),
        "no Service is known",
    ),
    Refused(
        "nothing healthy to close to",
        DEPLOY,
        seen(PREVIEWED, active=None, v1=revision(V1, 3, 0)),
        "has no available pod to go back to",
    ),
    Refused(
        "the progress deadline",
        DEPLOY,
        seen(CREATED, ready=1, progress_at=NOW, progress_available=1),
        "within the progress deadline of 600 s",
    ),
    Refused(
        "pods cannot be created",
        DEPLOY,
        seen(
            CREATED,
            ready=0,
            v2={"failing_since": after(-15), "failure": "exceeded quota"},
        ),
        "cannot be created: exceeded quota",
    ),
]


@pytest.mark.parametrize("row", REFUSALS, ids=lambda row: row.name)
def test_refusal(row: Refused) -> None:
    step = decide(row.want, row.seen, NOW)
    assert isinstance(step, Fail), step
    assert row.sentence in step.message


def test_pods_that_cannot_be_created_get_a_grace() -> None:
    state = seen(
        CREATED, ready=0, v2={"failing_since": after(-14)}, progress_at=after(9)
    )
    assert isinstance(decide(DEPLOY, state, NOW), Wait)


def test_a_named_port_that_the_revision_lacks_is_said() -> None:
    state = seen(CREATED)
    portless = tuple(
        dataclasses.replace(s, endpoints=Endpoints(portless=s.endpoints.ready))
        if s.role == names.ROLE_PROOF
        else s
        for s in state.services
    )
    step = decide(DEPLOY, dataclasses.replace(state, services=portless), NOW)
    assert isinstance(step, Fail)
    assert "no container port by a name" in step.message


@pytest.mark.parametrize("back", [False, True])
def test_nothing_moves_before_the_slices_show_it(back: bool) -> None:
    target = V1 if back else V2
    state = with_intent(
        seen(
            ANALYSED,
            active=V1 if not back else V2,
            proven=target,
            progress_at=after(9),
            progress_available=3,
        ),
        target,
    )
    lagging = tuple(
        dataclasses.replace(
            s, endpoints=Endpoints(frozenset({f"{target}-0", f"{target}-1"}))
        )
        if s.role == names.ROLE_PROOF
        else s
        for s in state.services
    )
    want = ABORT if back else PROMOTE
    assert decide(want, state, NOW) == Cutover(target, AT_ONCE)
    step = decide(want, dataclasses.replace(state, services=lagging), NOW)
    assert isinstance(step, Wait), step
    assert step.what.endswith("2/3 ready")


def test_endpoints_that_are_not_proven_are_waited_for_after_the_cutover() -> None:
    state = seen(ANALYSED, active=V2, intent=CUT_OVER, progress_at=after(9))
    stale = tuple(
        dataclasses.replace(s, endpoints=Endpoints(frozenset({"1111111111-0"})))
        if s.role == names.ROLE_ACTIVE
        else s
        for s in state.services
    )
    step = decide(PROMOTE, dataclasses.replace(state, services=stale), NOW)
    assert isinstance(step, (Wait, Note)), step
    step = decide(
        PROMOTE,
        dataclasses.replace(
            state,
            services=stale,
            record=dataclasses.replace(state.record, progress_available=3),
        ),
        NOW,
    )
    assert isinstance(step, Wait)
    assert "0/3 of its endpoints seen, 1 others still listed" in step.what


def test_a_stopped_application_is_not_called_healthy() -> None:
    state = observed([revision(V1, 0)], [service(V1), proof(V1)])
    step = decide(TO_END, state, NOW)
    assert isinstance(step, Note)
    assert step.record.phase != HEALTHY


def test_an_abort_request_survives_a_run_that_is_about_another_revision() -> None:
    state = seen(PAUSED, release=MANUAL, proven=None, request=Request("abort", V2))
    world = World(state)
    world.run(Want(RETIRED, V1))
    assert world.seen.record.request == Request("abort", V2)


def test_an_abort_without_a_record_brings_users_back() -> None:
    """The record was lost in the middle of a cutover of two Services."""
    services = [service(V1), service(V2, "api"), preview(V2)]
    world = World(observed([revision(V1), revision(V2)], services))
    end = world.run(ABORT)
    assert isinstance(end, Done), end
    assert world.seen.targets(names.ROLE_ACTIVE) == {V1}
    assert [r.hash for r in world.seen.revisions if r.aborted] == [V2]


@pytest.mark.parametrize("with_route", [False, True])
def test_an_abort_never_leads_to_what_is_aborted(with_route: bool) -> None:
    """Record and active Deployment are lost; an older revision can be scaled up."""
    served = [*routed((V1, V2))] if with_route else [service(V1)]
    left = [revision(V0, 0), revision(V2, parameters=MANUAL)]
    world = World(observed(left, [*served, preview(V2)]))
    end = world.run(ABORT)
    assert isinstance(end, Done), end
    assert world.seen.targets(names.ROLE_ACTIVE) == {V0}
    assert [r.hash for r in world.seen.revisions if r.aborted] == [V2]


@pytest.mark.parametrize("with_route", [False, True])
def test_what_follows_one_that_was_deleted_is_not_the_first(with_route: bool) -> None:
    """Its gate stays shut, although nothing but the Services tells of another."""
    served = [*routed((V1, V2))] if with_route else [service(V1)]
    world = World(observed([revision(V2, parameters=MANUAL)], [*served, preview(V1)]))
    for want in (Want(PREVIEWED, V2, MANUAL), Want(ANALYSED), Want(PAUSED)):
        world.run(want)
    end = world.run(PROMOTE)
    assert world.seen.targets(names.ROLE_ACTIVE) == {V1}, end
    world.run(dataclasses.replace(PROMOTE, approve=True))
    assert world.seen.targets(names.ROLE_ACTIVE) == {V2}


def test_a_lost_record_is_not_written_for_a_delay_alone() -> None:
    state = observed([revision(V0), revision(V1), revision(V2)], [service(V1)])
    assert decide(Want(RETIRED, V1), state, NOW) == Done()


def test_what_is_in_flight_is_no_way_back_whatever_a_run_is_about() -> None:
    found = [revision(V1), revision(V2)]
    lost = observed(found, [service(None)])
    for about in (V1, V2, None):
        step = decide(Want(RETIRED, about), lost, NOW)
        why = "its selector was changed by somebody else"
        assert step == Point(("web",), V1, why), about


def test_an_old_delay_is_forgotten_once_its_revision_serves() -> None:
    state = observed([revision(V1)], [service(V1)], record(retire_at={V1: after(-9)}))
    step = decide(TO_END, state, NOW)
    assert isinstance(step, Note)
    assert step.record.retire_at == {}


@pytest.mark.parametrize(
    ("name", "release", "active", "size"),
    [
        ("no active revision", parameters(), None, 3),
        ("no number anywhere", parameters(replicas=None), None, 1),
        ("V1 is stopped", parameters(), revision(V1, 0), 3),
        ("the manifest gives none", parameters(replicas=None), revision(V1, 4), 4),
        ("unchanged", parameters(), revision(V1), 3),
        ("the manifest changed", parameters(replicas=5), revision(V1), 5),
        ("the manifest went down", parameters(replicas=2), revision(V1), 2),
        ("raised by a person", parameters(), revision(V1, 6), 6),
        ("lowered by a person", parameters(), revision(V1, 2), 3),
        ("raised by an HPA", parameters(), revision(V1, 6, autoscaled=True), 6),
        ("lowered by an HPA", parameters(), revision(V1, 2, autoscaled=True), 2),
        (
            "an HPA, and a new number",
            parameters(replicas=5),
            revision(V1, 9, autoscaled=True),
            9,
        ),
        (
            "an HPA, and an old manifest without a number",
            parameters(replicas=2),
            revision(V1, 9, autoscaled=True, parameters=parameters(replicas=None)),
            9,
        ),
        (
            "its parameters cannot be read",
            parameters(replicas=2),
            revision(V1, 9, parameters=None),
            9,
        ),
        (
            "a person, and a new number",
            parameters(replicas=5),
            revision(V1, 9),
            5,
        ),
    ],
)
def test_full_size(
    name: str, release: Parameters, active: Revision | None, size: int
) -> None:
    assert full_size(release, active) == size, name


@pytest.mark.parametrize(
    ("state", "task"),
    [
        (seen(PREVIEWED), "analysis"),
        (seen(PAUSED, release=MANUAL), "pause"),
        (seen(ANALYSED), "promote"),
        (seen(ANALYSED, active=V2, intent=CUT_OVER), "promote"),
        (AT_REST, "none"),
        (
            observed(
                [revision(V0), revision(V1)],
                [service(V1)],
                record(VERIFIED, retire_at={V0: after(30)}),
            ),
            "scale_down",
        ),
    ],
)
def test_next_task(state: Observed, task: str) -> None:
    assert next_task(TO_END, state, NOW) == task


def test_an_update_passes_its_steps_in_order() -> None:
    world = World(AT_REST)
    release = dataclasses.replace(HOLDING, auto_promotion_seconds=60)
    for want in (
        Want(PREVIEWED, V2, release),
        Want(ANALYSED),
        Want(PAUSED),
        Want(PROMOTED),
        TO_END,
    ):
        assert world.run(want) == Done()
    assert world.kinds() == [
        "CreateRevision",
        "OpenProof",
        "Point",
        "Done",
        "Scale",
        "Scale",
        "Done",
        "Done",
        "Cutover",
        "CloseProof",
        "Done",
        "Scale",
        "Done",
    ]
    # Two steps of the scale-up, the pause, and the delay of V1.
    assert (world.now - NOW).total_seconds() == 20 + 20 + 60 + 30


def test_an_abort_after_the_deadline_ends_as_an_abort() -> None:
    release = parameters(progress_deadline_abort=True, progress_deadline_seconds=5)
    world = World(AT_REST, broken={V2})
    assert world.run(Want(PREVIEWED, V2, release)) == Done()
    assert world.aborted
    assert world.seen.record.phase == DEGRADED
    events = [e for s in world.steps if isinstance(s, Note) for e in s.events]
    assert ROLLOUT_ABORTED in {e.reason for e in events}
    assert "its progress deadline of 5 s" in world.seen.record.message


def test_with_slices_follows_the_selectors() -> None:
    assert with_slices(AT_REST) == AT_REST
