# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is cached of the cluster while one task runs: listed once, then watched.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import queue
import threading
import typing as t
from dataclasses import dataclass, field

from ._api import Api, Stream
from ._errors import BluegreenError
from ._objects import Object


@dataclass
class Collection:
    """The objects of one list request, by name."""

    path: str
    query: dict[str, str] = field(default_factory=dict)
    items: dict[str, Object] = field(default_factory=dict)
    version: str = ""
    # Called after each object that has changed.
    on_change: t.Callable[[], None] | None = None

    def load(self, api: Api) -> None:
        """Read the list from the API server."""
        self.take_list(api.get(self.path, self.query))

    def take_list(self, listed: Object) -> None:
        """Replace everything by a list."""
        self.version = listed["metadata"]["resourceVersion"]
        self.items = {item["metadata"]["name"]: item for item in listed["items"]}
        self._changed()

    def take(self, item: Object) -> None:
        """Keep an object unless a newer version of it is known."""
        name = item["metadata"]["name"]
        known = self.items.get(name)
        if known is None or _version(item) >= _version(known):
            self.items[name] = item
            self._changed()

    def drop(self, item: Object) -> None:
        """Forget a deleted object, unless it was created again."""
        name = item["metadata"]["name"]
        known = self.items.get(name)
        if known is not None and known["metadata"]["uid"] == item["metadata"]["uid"]:
            del self.items[name]
            self._changed()

    def _changed(self) -> None:
        if self.on_change is not None:
            self.on_change()


def _version(item: Object) -> int:
    # Comparable within one kind: the API conventions say so since Kubernetes 1.35,
    # and etcd's revisions always were.
    return int(item["metadata"]["resourceVersion"])


class Watches:
    """Watches of several collections, each read by a thread of its own.

    The threads only fill a queue: collections change in :meth:`wait` alone, which
    the one thread that decides calls.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._queue: queue.SimpleQueue[
            tuple[Collection, str, Object] | BluegreenError | None
        ] = queue.SimpleQueue()
        self._streams: list[Stream] = []
        self._watched: list[Collection] = []

    def watch(self, collections: t.Iterable[Collection]) -> None:
        """Begin to watch what is not watched yet."""
        for collection in collections:
            if any(collection is known for known in self._watched):
                continue
            stream = Stream()
            self._watched.append(collection)
            self._streams.append(stream)
            threading.Thread(
                target=self._read,
                args=(collection, stream),
                name=f"watch {collection.path}",
                daemon=True,
            ).start()

    def _read(self, collection: Collection, stream: Stream) -> None:
        changes = self._api.watch(
            collection.path, collection.query, collection.version, stream
        )
        try:
            for kind, item in changes:
                self._queue.put((collection, kind, item))
        except BluegreenError as error:
            self._queue.put(error)

    def wake(self, error: BluegreenError) -> None:
        """End the present or next :meth:`wait` with an error."""
        self._queue.put(error)

    def nudge(self) -> None:
        """End the present or next :meth:`wait`: something else is to be looked at."""
        self._queue.put(None)

    def wait(self, seconds: float) -> bool:
        """Until something changes, at most so long.

        :returns: whether anything changed.
        :raises BluegreenError: a watch cannot go on.
        """
        changed = False
        timeout: float | None = max(seconds, 0.0)
        while True:
            try:
                event = self._queue.get(timeout=timeout) if timeout else self._pending()
            except queue.Empty:
                return changed
            if isinstance(event, BluegreenError):
                raise event
            changed = True
            timeout = None
            if event is not None:
                self._apply(*event)

    def _pending(self) -> tuple[Collection, str, Object] | BluegreenError | None:
        return self._queue.get_nowait()

    @staticmethod
    def _apply(collection: Collection, kind: str, item: Object) -> None:
        if kind == "RELISTED":
            collection.take_list(item)
        elif kind == "DELETED":
            collection.drop(item)
        else:
            collection.take(item)

    def close(self) -> None:
        """End all watches."""
        for stream in self._streams:
            stream.close()
