# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state machine's rules about a release that has failed: it goes back, or it is
held where it is. Pure.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

from . import _hooks
from . import _names as names
from ._analysis.state import SUCCESSFUL, AnalysisState
from ._parameters import ABORT
from ._record import Request
from ._stages import DEGRADED, PROGRESSING, PROMOTED
from ._steps import Event, Fail, Note, Step
from ._view import View


def can_go_back(view: View) -> bool:
    """Whether an abort of the release in flight has somewhere to go."""
    stable = view.stable
    return view.in_flight and stable is not None and stable.hash != view.target_hash


def give_up(view: View, why: str, how: str = "", say: str = "") -> Note:
    """The release has failed: users go back, or it is held for a person to decide.

    :param why: what it did not pass, as it goes after `it did not pass`.
    :param how: ``abort`` or ``hold``; empty: as its release parameters say.
    :param say: what was seen, if that is more than what it did not pass.
    """
    how = ABORT if _is_moving(view) else how or view.parameters.on_failure
    if how == ABORT and can_go_back(view):
        request = Request("abort", view.target_hash or "", why)
        return view.note(say, phase=PROGRESSING, request=request)
    message = f"{view.name()} did not pass {why}; it is held where it is"
    return view.note(
        message,
        (Event("RolloutHeld", message, warning=True),),
        phase=DEGRADED,
        message=message,
        held=why,
        # What opened the gate before accepts nothing that was not known.
        approved=False,
        promote_at=None,
        scale_at=None,
        progress_at=None,
        progress_available=0,
    )


def stay_held(view: View) -> Step | None:
    """Nothing moves until a person decides."""
    record = view.record
    if not record.held or not view.in_flight:
        return None
    passed = {k: s for k, s in record.analysis.items() if not _has_failed(s)}
    measured = len(passed) == len(record.analysis)
    approved = record.approved or view.want.approve
    if view.want.full or (approved and measured):
        say = f"{view.name()} goes on in spite of {record.held}"
        return view.note(say, held="", phase=PROGRESSING, message=say)
    if view.want.retry:
        say = f"{view.name()} is tried again"
        return view.note(
            say,
            held="",
            phase=PROGRESSING,
            message=say,
            analysis=passed,
            hooks=_hooks.to_repeat(record.hooks),
        )
    how = "promote it" if measured else "promote it in full"
    ways = [f"{how} to go on in spite of it"]
    if can_go_back(view):
        ways.append("abort it")
    again = "Deploy its manifest again to try again"
    return Fail(f"{record.message}. {again}, {' or '.join(ways)}.")


def _is_moving(view: View) -> bool:
    """Whether a cutover is half done: users are never left between two revisions."""
    reached = view.target_hash in view.seen.targets(names.ROLE_ACTIVE)
    return view.seen.window or (reached and view.record.stage != PROMOTED)


def _has_failed(state: AnalysisState) -> bool:
    return state.final and state.phase != SUCCESSFUL
