# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for objects in the middle of a step that goes on by itself.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import typing as t

from ._api import Api
from ._errors import BluegreenError, NotFound
from ._objects import Object
from ._watches import Collection, Watches

T = t.TypeVar("T")

STEP_SECONDS = 60.0


def await_object(
    api: Api, folder: str, name: str, until: t.Callable[[Object], bool], what: str
) -> Object:
    """Watch one object until it is as expected.

    :param what: what is waited for, as it stands after "Waited 60 s for".
    :raises BluegreenError: nothing happened to it for a minute.
    """
    watched = Collection(folder, {"fieldSelector": f"metadata.name={name}"})

    def found() -> Object | None:
        item = watched.items.get(name)
        if item is None:
            kind = folder.rpartition("/")[2]
            raise NotFound(f"{kind} {name} is gone; somebody else deleted it.")
        return item if until(item) else None

    return await_collection(api, watched, found, what)


def await_collection(
    api: Api, watched: Collection, until: t.Callable[[], T | None], what: str
) -> T:
    """Watch objects until they are as expected.

    :returns: what ``until`` gave at last.
    """
    watched.load(api)
    watches = Watches(api)
    try:
        for _round in range(1000):
            found = until()
            if found is not None:
                return found
            watches.watch([watched])
            if not watches.wait(STEP_SECONDS):
                break
    finally:
        watches.close()
    raise BluegreenError(
        f"Waited {STEP_SECONDS:.0f} s for {what}, and it did not happen; nothing is"
        " lost: run again."
    )
