# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lock: a Lease that keeps two runs from driving one rollout.

Alive is who is *seen* renewing, on the local monotonic clock: clocks of different
machines are never compared. Private to the collection: it may change in any release.
"""

from __future__ import annotations

import threading
import time
import typing as t

from . import _names as names
from ._api import Api
from ._clock import ServerClock, format_instant, parse_instant
from ._driver import Driving, Holder
from ._errors import ApiError, Conflict, LockHeld, LockLost
from ._objects import Object
from ._watches import Collection, Watches

LEASE_SECONDS = 15
RENEW_SECONDS = 3
_ANNOTATION_DISPLAY = f"{names.PREFIX}/holder"


class Lock:
    """The Lease of one rollout, taken before the first planned write.

    :param on_lost: called from the renewing thread when another run has it.
    :param on_takeover: called after the lock of a dead holder was taken over, before
        any other write.
    """

    def __init__(
        self,
        api: Api,
        clock: ServerClock,
        namespace: str,
        rollout: str,
        holder: Holder,
        on_lost: t.Callable[[LockLost], None],
        on_takeover: t.Callable[[str], None],
    ) -> None:
        self._api = api
        self._clock = clock
        self._holder = holder
        self._rollout = rollout
        self._namespace = namespace
        self._name = names.record_name(rollout)
        self._folder = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._on_lost = on_lost
        self._on_takeover = on_takeover
        self._lease: Object | None = None
        self._seen_alive = 0.0
        self._stop = threading.Event()
        self._lost: LockLost | None = None
        self._mutex = threading.Lock()

    @property
    def held(self) -> bool:
        """Whether this run drives the rollout."""
        return self._lease is not None

    def check(self) -> None:
        """Called before each write.

        :raises LockLost: another run has taken the rollout over, or may have.
        """
        if self._lost is not None:
            raise self._lost
        silent = time.monotonic() - self._seen_alive
        if self.held and silent > LEASE_SECONDS:
            raise LockLost(
                f"The lock of {self._rollout} could not be renewed for {silent:.0f} s,"
                " so another run may drive it by now; run again."
            )

    def acquire(self) -> None:
        """Take the lock, or stay its holder.

        :raises LockHeld: another run is seen renewing it.
        """
        if self.held:
            return
        found = self._api.find(f"{self._folder}/{self._name}")
        taken_over = ""
        if found is not None and self._is_others(found):
            found = self._wait_for_end_of(found)
            if found is not None and self._is_others(found):
                taken_over = _display(found)
        if found is None:
            lease = self._create()
        elif _identity(found) == self._holder.identity() and self._is_fresh(found):
            lease = found
        else:
            lease = self._take(found)
        self._lease = lease
        self._seen_alive = time.monotonic()
        threading.Thread(target=self._renew, name="lease", daemon=True).start()
        if taken_over:
            self._on_takeover(taken_over)

    def live_holder(self) -> str:
        """Another run that drives this rollout, as people know it; empty if none."""
        found = self._api.find(f"{self._folder}/{self._name}")
        if found is None or not self._is_others(found):
            return ""
        try:
            self._wait_for_end_of(found)
        except LockHeld:
            return _display(found)
        return ""

    def _is_others(self, lease: Object) -> bool:
        return _identity(lease) not in ("", self._holder.identity())

    def _is_fresh(self, lease: Object) -> bool:
        renewed = parse_instant(lease["spec"].get("renewTime"))
        if renewed is None:
            return False
        return abs((self._clock.now() - renewed).total_seconds()) < RENEW_SECONDS

    def _spec(self, holder: str, acquired: str | None = None) -> Object:
        now = format_instant(self._clock.now()).replace("Z", "000Z")
        return {
            "holderIdentity": holder,
            "leaseDurationSeconds": LEASE_SECONDS,
            "acquireTime": acquired or now,
            "renewTime": now,
        }

    def _create(self) -> Object:
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": self._name,
                "namespace": self._namespace,
                "labels": {names.LABEL_ROLLOUT: self._rollout},
                "annotations": {_ANNOTATION_DISPLAY: self._holder.display},
            },
            "spec": self._spec(self._holder.identity()),
        }
        return self._unless_others_came_first(
            body, lambda: self._api.create(self._folder, body)
        )

    def _write(self, lease: Object, holder: str, acquired: str | None) -> Object:
        return self._replace(self._body(lease, holder, acquired))

    def _replace(self, body: Object) -> Object:
        return self._api.replace(f"{self._folder}/{self._name}", body)

    def _body(self, lease: Object, holder: str, acquired: str | None) -> Object:
        metadata = dict(lease["metadata"])
        metadata["annotations"] = {
            **(metadata.get("annotations") or {}),
            _ANNOTATION_DISPLAY: self._holder.display,
        }
        return {**lease, "metadata": metadata, "spec": self._spec(holder, acquired)}

    def _take(self, lease: Object) -> Object:
        body = self._body(lease, self._holder.identity(), None)
        return self._unless_others_came_first(body, lambda: self._replace(body))

    def _unless_others_came_first(
        self, body: Object, write: t.Callable[[], Object]
    ) -> Object:
        """Write the Lease that is to make this run its holder.

        :raises LockHeld: the write of another run came before.
        """
        try:
            return write()
        except Conflict as error:
            found = self._api.find(f"{self._folder}/{self._name}")
            if found is not None and _was_written_as(found, body):
                # The answer was lost; the same, sent again, conflicts with itself.
                return found
            who = "another run that"
            if found is not None and _identity(found):
                who = f"{_display(found)}, which"
            raise self._held_by(f"{who} began at the same moment") from error

    def _held_by(self, who: str) -> LockHeld:
        return LockHeld(
            f"{self._namespace}/{self._rollout} is being driven by {who}; wait until it"
            " ends. The promote and abort playbooks may be run meanwhile: they ask"
            " that run."
        )

    def _wait_for_end_of(self, lease: Object) -> Object | None:
        """Until another's lease is free, or was not seen renewed for its whole length.

        Returns it as it then is: still with its dead holder, free, or deleted.

        :raises LockHeld: it was renewed.
        """
        holder = Holder.from_identity(_identity(lease))
        if holder is not None and holder.is_gone():
            return lease
        query = {"fieldSelector": f"metadata.name={self._name}"}
        watched = Collection(self._folder, query)
        watched.load(self._api)
        watches = Watches(self._api)
        watches.watch([watched])
        deadline = time.monotonic() + LEASE_SECONDS
        try:
            while (left := deadline - time.monotonic()) > 0:
                current = watched.items.get(self._name)
                if current is None or not self._is_others(current):
                    return current
                if _version(current) != _version(lease):
                    raise self._held_by(_display(current))
                watches.wait(left)
        finally:
            watches.close()
        return lease

    def _renew(self) -> None:
        while not self._stop.wait(RENEW_SECONDS):
            with self._mutex:
                if self._stop.is_set() or self._lease is None:
                    return
                try:
                    self._renew_once(self._lease)
                except LockLost as error:
                    self._lost = error
                    self._on_lost(error)
                    return
                except ApiError:
                    # Tried again in three seconds; check() knows how long it has been.
                    continue

    def _renew_once(self, lease: Object) -> None:
        acquired = lease["spec"].get("acquireTime")
        try:
            self._lease = self._write(lease, self._holder.identity(), acquired)
        except Conflict as error:
            current = self._api.find(f"{self._folder}/{self._name}")
            if current is None or _identity(current) != self._holder.identity():
                who = _display(current) if current else "nobody"
                raise LockLost(
                    f"{self._namespace}/{self._rollout} was taken over by {who}; this"
                    " run stops."
                ) from error
            self._lease = current
        self._seen_alive = time.monotonic()

    def suspend(self) -> None:
        """Stop renewing, and stay the holder: the next task of this play goes on."""
        self._stop.set()

    def remove(self) -> None:
        """Delete the Lease, at the end of a rollout that is no more.

        :raises Conflict: it was taken over.
        """
        self._stop.set()
        with self._mutex:
            lease, self._lease = self._lease, None
        if lease is not None:
            self._api.delete(f"{self._folder}/{self._name}", lease["metadata"]["uid"])

    def exists(self) -> bool:
        """Whether there is a Lease, whoever holds it."""
        return self._api.find(f"{self._folder}/{self._name}") is not None

    def release(self) -> None:
        """Let the lock go, if this run has it."""
        self._stop.set()
        with self._mutex:
            lease = self._lease
            if lease is None:
                found = self._api.find(f"{self._folder}/{self._name}")
                if found is None or _identity(found) != self._holder.identity():
                    return
                lease = found
            self._lease = None
            try:
                self._write(lease, "", None)
            except ApiError:
                # It ends by itself fifteen seconds after the last renewal.
                return


class SeenLock:
    """The Lease of one rollout, for a run that only looks.

    :param own: the identity of that run, whose own lock keeps nothing going.
    """

    def __init__(self, api: Api, namespace: str, rollout: str, own: str) -> None:
        self._api = api
        self._own = own
        self._name = names.record_name(rollout)
        folder = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self.leases = Collection(
            folder, {"fieldSelector": f"metadata.name={self._name}"}
        )
        self._version = ""
        self._seen_renewed = 0.0

    def load(self) -> None:
        """Read it from the API server."""
        self.leases.load(self._api)

    def driving(self) -> Driving:
        """Who has it, as the collection has it now. A holder is live until it was not
        seen renewing it for its whole length, or its process is known to be gone.
        """
        lease = self.leases.items.get(self._name)
        identity = _identity(lease) if lease else ""
        if lease is None or identity in ("", self._own):
            return Driving()
        if _version(lease) != self._version:
            self._version = _version(lease)
            self._seen_renewed = time.monotonic()
        holder = Holder.from_identity(identity)
        if holder is not None and (holder.lives_here() or holder.is_gone()):
            return Driving(_display(lease), holder.lives_here())
        silent = time.monotonic() - self._seen_renewed
        return Driving(_display(lease), silent <= LEASE_SECONDS)


def _identity(lease: Object) -> str:
    return str(lease["spec"].get("holderIdentity") or "")


def _was_written_as(lease: Object, body: Object) -> bool:
    sent = body["spec"]
    return _identity(lease) == sent["holderIdentity"] and all(
        parse_instant(lease["spec"].get(key)) == parse_instant(sent[key])
        for key in ("acquireTime", "renewTime")
    )


def _display(lease: Object) -> str:
    annotations = lease["metadata"].get("annotations") or {}
    return str(annotations.get(_ANNOTATION_DISPLAY) or _identity(lease))


def _version(lease: Object) -> str:
    return str(lease["metadata"]["resourceVersion"])
