# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the state machine decides of the configuration of revisions.

Pure. Private to the collection: it may change in any release.
"""

from __future__ import annotations

import typing as t

from ._model import Observed, Revision
from ._steps import CreateConfig, DropConfig, OwnConfig
from ._view import View

ConfigStep: t.TypeAlias = "CreateConfig | OwnConfig | DropConfig"


def keep_config(view: View) -> ConfigStep | None:
    """A revision's configuration is there before its pods ask for it, and goes with it.

    Only a deploy looks at it, and only where it or a revision has any.
    """
    deploy, target = view.want.deploy, view.target_hash
    if deploy is None or target is None or not view.seen.config_kinds:
        return None
    missing = missing_config(view.seen, target, deploy.config)
    if missing and not view.want.rollback:
        return CreateConfig(target, missing)
    for item in view.seen.config:
        revision = view.seen.revision(item.hash)
        if revision is not None and item.owner != revision.uid:
            # A run was ended before it could say so.
            return OwnConfig(item.hash)
    return _drop(view)


def missing_config(
    seen: Observed, revision_hash: str, refs: t.Iterable[str]
) -> tuple[str, ...]:
    """Those of a revision's objects that are not there to stay, of the kinds that were
    read.
    """
    revision = seen.revision(revision_hash)
    there = {
        item.ref
        for item in seen.config
        if item.hash == revision_hash and _stays(item.owner, revision)
    }
    return tuple(
        ref
        for ref in refs
        if ref not in there and ref.partition("/")[0] in seen.config_kinds
    )


def _stays(owner: str, revision: Revision | None) -> bool:
    """Where the revision exists its objects get it as their owner in any case."""
    return revision is not None or owner == ""


def _drop(view: View) -> DropConfig | None:
    """What a release left that was ended before its revision was created."""
    read = {ref for revision in view.seen.revisions for ref in revision.reads}
    kept = {
        view.target_hash,
        view.in_flight_hash,
        view.record.active,
        view.record.stable,
        *(r.hash for r in view.seen.revisions),
        *(s.target for s in view.serving),
        # One that was ejected and adopted anew reads what it read before.
        *(item.hash for item in view.seen.config if item.full_ref in read),
    }
    for item in view.seen.config:
        # What has an owner that is gone, the garbage collector is about to take along.
        if item.hash not in kept and item.owner == "":
            return DropConfig(item.hash)
    return None
