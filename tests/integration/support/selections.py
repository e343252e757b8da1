# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An independent witness of what Services selected, and what the record said of it."""

from __future__ import annotations

import bisect
import json
import threading
import typing as t

from .kube import Kube, Object, resource_path
from .release import NAME
from .waiting import eventually
from .watcher import REVISION_LABEL, Stream, Watcher

ROLLOUT_LABEL = "cutover.bluegreen/rollout"
# What a Service selects that takes in every revision of the rollout.
EVERY_REVISION = "every revision"


def selected_by(service: Object) -> str:
    """The hash that a Service's selector names, or that it takes in all revisions."""
    selector = service["spec"].get("selector") or {}
    if REVISION_LABEL in selector:
        return t.cast(str, selector[REVISION_LABEL])
    return EVERY_REVISION if selector.get(ROLLOUT_LABEL) == NAME else ""


class Selections:
    """Each selector and each intent of the record, version by version.

    One API server's versions are in the order of its writes, so what a slice listed
    can be held against what the record declared at that moment.
    """

    def __init__(self, kube: Kube, namespace: str) -> None:
        self._lock = threading.Lock()
        self._selected: dict[str, list[str]] = {}
        self._intents: list[tuple[int, Object]] = []
        self._streams = (
            Stream(kube, resource_path("services", namespace), None, self._see),
            Stream(
                kube,
                resource_path("configmaps", namespace),
                f"{ROLLOUT_LABEL}={NAME}",
                self._see_record,
            ),
        )
        for stream in self._streams:
            stream.start()

    def _see(self, services: list[tuple[Object, bool]]) -> None:
        with self._lock:
            for item, deleted in services:
                known = self._selected.setdefault(item["metadata"]["name"], [])
                now = selected_by(item)
                if not deleted and known[-1:] != [now]:
                    known.append(now)

    def _see_record(self, records: list[tuple[Object, bool]]) -> None:
        with self._lock:
            for item, _deleted in records:
                details = json.loads(item["data"].get("details") or "{}")
                version = int(item["metadata"]["resourceVersion"])
                self._intents.append((version, details.get("intent") or {}))

    def stop(self) -> None:
        for stream in self._streams:
            stream.stop()

    def of(self, service: str) -> list[str]:
        """What the Service selected, in its order."""
        self._sync()
        with self._lock:
            return list(self._selected[service])

    def intent_at(self, version: int) -> Object:
        """What the record declared when this resource version was written."""
        self._sync()
        with self._lock:
            versions = [v for v, _intent in self._intents]
            place = bisect.bisect_right(versions, version)
            return self._intents[place - 1][1] if place else {}

    def _sync(self) -> None:
        for stream in self._streams:
            eventually(stream.caught_up, 10, f"{stream.name}: catching up")

    def assert_mixed_only_as_declared(self, seen: Watcher, service: str) -> int:
        """Fail if the Service listed two revisions without a window in the record.

        :returns: how many moments it listed two.
        """
        mixed = [m for m in seen.moments(service) if len(seen.revisions_of(m)) > 1]
        for moment in mixed:
            revisions = seen.revisions_of(moment)
            assert len(revisions) == 2, seen.story(service)
            intent = self.intent_at(moment.resource_version)
            declared = (intent.get("act"), intent.get("cutover"))
            assert declared == ("promote", "overlap"), (
                f"{intent}\n{seen.story(service)}"
            )
            assert intent["revision"] in revisions, intent
        return len(mixed)
