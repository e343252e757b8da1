# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the pods of each revision carry for the time of its role, and when it changes.

A revision in flight is created with what previewed pods have, and gets what active
ones have once its cutover is proven; then every other one but the stable loses it. None
of it comes before a way back, nor between an open gate and its cutover.

Pure: no I/O and no clock. Private to the collection: it may change in any release.
"""

from __future__ import annotations

from . import _names as names
from ._model import Revision
from ._overlay import NOTHING, Overlay, overlay_of
from ._stages import ANALYSED, PROMOTED, at_least
from ._steps import ChangeTemplate, Scale
from ._view import View


def overlay_in_flight(view: View) -> Overlay:
    """What the revision in flight has until its promotion.

    The very first one serves users as soon as it is ready.
    """
    p = view.parameters
    if view.first:
        return overlay_of(p.active_metadata)
    stable = view.stable
    other = stable is not None and stable.hash != view.target_hash
    keeps_off = stable.hash if stable is not None and other else ""
    return overlay_of(p.preview_metadata, p.anti_affinity, keeps_off)


def finish(view: View) -> ChangeTemplate | None:
    """Another run was ended in the middle of a change: its Deployment is paused."""
    if view.seen.window or len(view.seen.targets(names.ROLE_ACTIVE)) > 1:
        # In the middle of a cutover, too, which goes first.
        return None
    for revision in view.seen.revisions:
        if revision.changing:
            why = "an earlier run was ended in the middle of it"
            return ChangeTemplate(revision.hash, revision.overlay, why)
    return None


def before_revival(view: View, target: Revision) -> Scale | ChangeTemplate | None:
    """Before there are pods of it again, which are to keep off the stable one's."""
    if view.fast:
        return None
    kept_off = target.parameters is not None and target.parameters.anti_affinity
    return (_without_nodes(target) if kept_off else None) or _previewed(view, target)


def while_previewed(view: View, target: Revision) -> Scale | ChangeTemplate | None:
    """What is asked for may change until the gate opens."""
    if at_least(view.record.stage, ANALYSED) and view.gate_open:
        return None
    step = None if view.fast else _previewed(view, target)
    before = target.overlay
    if step is not None and before.keeps_off and not step.overlay.keeps_off_as(before):
        return _without_nodes(target) or step
    return step


def _without_nodes(target: Revision) -> Scale | None:
    """Pods that wait for a node wait by the anti-affinity that they were made with."""
    if target.available >= target.replicas:
        return None
    why = "its pods that found no node are made anew"
    return Scale(target.hash, target.available, why)


def _previewed(view: View, target: Revision) -> ChangeTemplate | None:
    if view.want.deploy is None and target.parameters is None:
        # What it asked for cannot be read any more.
        return None
    return _change(target, overlay_in_flight(view), "it is previewed")


def keep(view: View) -> ChangeTemplate | None:
    """Once a cutover is proven, and at rest: every revision has what its role asks."""
    active, in_flight = view.active, view.in_flight_hash
    if active is None or (in_flight is not None and not _is_promoted(view, active)):
        return None
    for revision in (active, *view.seen.revisions):
        step = _of_role(view, revision, active)
        if step is not None:
            return step
    return None


def _is_promoted(view: View, active: Revision) -> bool:
    return active.hash == view.in_flight_hash and view.record.stage == PROMOTED


def _of_role(view: View, revision: Revision, active: Revision) -> ChangeTemplate | None:
    if revision.hash not in (active.hash, view.record.stable):
        return _change(revision, NOTHING, "it is neither active nor previewed")
    parameters = revision.parameters
    if view.want.deploy is not None and revision.hash == view.target_hash:
        parameters = view.want.deploy
    if parameters is None:
        return None
    wanted = overlay_of(parameters.active_metadata)
    return _change(revision, wanted, "it is active")


def _change(revision: Revision, wanted: Overlay, why: str) -> ChangeTemplate | None:
    if revision.overlay == wanted and not revision.changing:
        return None
    return ChangeTemplate(revision.hash, wanted, why)
