# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What becomes of a release that must not go on. Pure, as :mod:`._decide` is.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import typing as t

from ._record import Request
from ._stages import DEGRADED, PROGRESSING
from ._steps import Fail, Step

if t.TYPE_CHECKING:
    from ._view import View

HOLD = "hold"


def give_up(view: View, why: str, how: str = "") -> Step:
    """The release fails here.

    :param why: as a clause that names what failed.
    :param how: ``hold`` leaves everything where it is, for a person; else users go back
        to the stable revision.
    """
    if how == HOLD:
        say = f"{view.name()} is held: {why}; promote goes on with it, abort leaves it"
        return view.note(say, phase=DEGRADED, held=why, message=say, promote_at=None)
    stable, target = view.stable, view.target_hash or ""
    if stable is None or stable.hash == target:
        return Fail(
            f"{view.name()} did not pass {why}, and there is no other revision to go"
            " back to; deploy a corrected manifest.",
            degrades=True,
        )
    return view.note(why, request=Request("abort", target, why))


def stay_held(view: View) -> Step | None:
    """Nothing moves until a person promotes or aborts it."""
    if not view.record.held or not view.in_flight:
        return None
    if view.record.approved or view.want.approve:
        return view.note("what held it was accepted", held="", phase=PROGRESSING)
    return Fail(
        f"{view.name()} is held where it is: {view.record.held}; run the promote"
        " playbook to accept that and go on, or the abort playbook to leave it."
    )
