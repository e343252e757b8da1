# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An independent witness of what users' Services led to, version by version."""

from __future__ import annotations

import dataclasses
import itertools
import json
import threading
import time
import typing as t

import urllib3

from .kube import ApiError, Kube, Object, resource_path
from .waiting import eventually

REVISION_LABEL = "cutover.bluegreen/revision-hash"
SERVICE_LABEL = "kubernetes.io/service-name"
UNLABELLED = "(no revision)"


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """One endpoint of a slice."""

    pod: str
    addresses: tuple[str, ...]
    ready: bool
    serving: bool
    terminating: bool


@dataclasses.dataclass(frozen=True)
class SliceVersion:
    """One version of one EndpointSlice, and when it was seen (seconds of wall clock).

    Versions that came in one list share a batch.
    """

    at: float
    batch: int
    service: str
    name: str
    resource_version: int
    deleted: bool
    endpoints: tuple[Endpoint, ...]


@dataclasses.dataclass(frozen=True)
class Moment:
    """A Service's endpoints over all its slices, from `at` until the next moment.

    `resource_version` is that of the slice version which began it: what has a lower
    one happened before.
    """

    at: float
    resource_version: int
    endpoints: tuple[Endpoint, ...]

    @property
    def ready(self) -> frozenset[str]:
        """The pods that are ready in any slice."""
        return frozenset(e.pod for e in self.endpoints if e.ready)


@dataclasses.dataclass
class Life:
    """One pod: which ReplicaSet it is of, and the resource versions of its turns."""

    owner: str
    born: int
    was_ready: bool = False
    # Deleted, or not ready any more: the version that began it.
    ended: int | None = None

    def see(self, pod: Object, deleted: bool) -> None:
        conditions = pod.get("status", {}).get("conditions") or []
        ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
        leaving = deleted or "deletionTimestamp" in pod["metadata"]
        if leaving or (self.was_ready and not ready):
            self.ended = self.ended or _version(pod)
        elif ready:
            # One that recovers has not died.
            self.was_ready, self.ended = True, None


class Stream(threading.Thread):
    """list, watch, relist on 410; every object version reaches `see`, in order."""

    def __init__(
        self,
        kube: Kube,
        path: str,
        selector: str | None,
        see: t.Callable[[list[tuple[Object, bool]]], None],
    ) -> None:
        super().__init__(daemon=True, name=f"watch {path}")
        self._kube = kube
        self._path = path
        self._params: dict[str, t.Any] = {}
        if selector is not None:
            self._params["labelSelector"] = selector
        self._see = see
        self._known: dict[str, Object] = {}
        self._ending = threading.Event()
        self._response: urllib3.BaseHTTPResponse | None = None
        self.gaps = 0
        self.error: BaseException | None = None
        self._version = self._list()

    def _list(self) -> str:
        listed = self._kube.get(self._path, **self._params)
        now = {item["metadata"]["name"]: item for item in listed["items"]}
        gone = [item for name, item in self._known.items() if name not in now]
        self._known = now
        self._see([(item, False) for item in now.values()] + [(i, True) for i in gone])
        return t.cast(str, listed["metadata"]["resourceVersion"])

    def run(self) -> None:
        try:
            while not self._ending.is_set():
                self._watch()
        except BaseException as error:
            self.error = error

    def _watch(self) -> None:
        try:
            for event in self._events():
                self._take(event)
        except ApiError as error:
            if error.code != 410:
                raise
            self.gaps += 1
            self._version = self._list()
        except urllib3.exceptions.HTTPError:
            # Broken off: the next watch goes on from the last version, without a gap.
            self._ending.wait(0.1)

    def _events(self) -> t.Iterator[Object]:
        self._response = self._kube.open_watch(
            self._path,
            {
                **self._params,
                "resourceVersion": self._version,
                "allowWatchBookmarks": True,
            },
        )
        if self._ending.is_set():
            return
        rest = b""
        for chunk in self._response.stream(amt=None):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from map(json.loads, lines)

    def _take(self, event: Object) -> None:
        item = event["object"]
        if event["type"] == "ERROR":
            raise ApiError("WATCH", self._path, item.get("code", 500), json.dumps(item))
        self._version = item["metadata"]["resourceVersion"]
        if event["type"] == "BOOKMARK":
            return
        deleted = event["type"] == "DELETED"
        name = item["metadata"]["name"]
        if deleted:
            self._known.pop(name, None)
        else:
            self._known[name] = item
        self._see([(item, deleted)])

    def caught_up(self) -> bool:
        """Tell whether what the API lists now has been seen; once stopped, yes."""
        if self.error is not None:
            raise self.error
        if self._ending.is_set():
            return True
        listed = self._kube.list(self._path, self._params.get("labelSelector"))
        known = dict(self._known)
        return {i["metadata"]["name"] for i in listed} == set(known) and all(
            _version(known[i["metadata"]["name"]]) >= _version(i) for i in listed
        )

    def stop(self) -> None:
        self._ending.set()
        if self._response is not None:
            self._response.shutdown()
        self.join(5)


class Watcher:
    """Watches the EndpointSlices of Services, and the pods behind them.

    A floor counts what writes of Deployments and Services did: a pod that died by
    itself, or was deleted by somebody, counts as ready until its replacement is.
    """

    def __init__(self, kube: Kube, namespace: str, services: t.Sequence[str]) -> None:
        self._lock = threading.Lock()
        self._versions: list[SliceVersion] = []
        self._batches = itertools.count()
        self._revisions: dict[str, str] = {}
        self._lives: dict[str, Life] = {}
        self._kube, self._namespace = kube, namespace
        self._services = tuple(services)
        selector = f"{SERVICE_LABEL} in ({','.join(services)})"
        self._streams = (
            Stream(kube, resource_path("pods", namespace), None, self._see_pods),
            Stream(
                kube,
                resource_path("endpointslices", namespace),
                selector,
                self._see_slices,
            ),
        )
        for stream in self._streams:
            stream.start()

    def _see_pods(self, pods: list[tuple[Object, bool]]) -> None:
        with self._lock:
            for pod, deleted in pods:
                labels = pod["metadata"].get("labels", {})
                name = pod["metadata"]["name"]
                self._revisions[name] = labels.get(REVISION_LABEL, UNLABELLED)
                new = Life(_owner(pod), _version(pod))
                self._lives.setdefault(name, new).see(pod, deleted)

    def _see_slices(self, slices: list[tuple[Object, bool]]) -> None:
        at = time.time()
        with self._lock:
            batch = next(self._batches)
            for item, deleted in slices:
                self._versions.append(_slice_version(item, deleted, at, batch))

    def stop(self) -> None:
        for stream in self._streams:
            stream.stop()

    def sync(self) -> None:
        """Wait until what the API holds now has been seen."""
        for stream in self._streams:
            eventually(stream.caught_up, 10, f"{stream.name}: catching up")
        gaps = sum(stream.gaps for stream in self._streams)
        assert not gaps, f"the watch lost versions {gaps} times (410 Gone)"

    def every_version(self, service: str) -> list[SliceVersion]:
        """Return each slice version of the Service, in the order seen."""
        assert service in self._services, f"{service} is not watched"
        self.sync()
        with self._lock:
            return [v for v in self._versions if v.service == service]

    def moments(self, service: str) -> list[Moment]:
        """Return the Service's endpoints after each change, over all its slices."""
        slices: dict[str, SliceVersion] = {}
        moments = []
        versions = self.every_version(service)
        for _batch, group in itertools.groupby(versions, lambda v: v.batch):
            for version in group:
                slices[version.name] = version
            live = [v for v in slices.values() if not v.deleted]
            endpoints = tuple(e for v in live for e in v.endpoints)
            moments.append(Moment(version.at, version.resource_version, endpoints))
        return moments

    def revisions_of(self, moment: Moment) -> frozenset[str]:
        """Return the revisions of all endpoints listed, ready or not."""
        with self._lock:
            return frozenset(
                self._revisions.get(e.pod, UNLABELLED) for e in moment.endpoints
            )

    def min_ready(self, service: str) -> int:
        """Return the least number of ready pods since the first of them was ready."""
        return min(len(m.ready) for m in self._since(service, 1))

    def revisions_seen(self, service: str) -> list[str]:
        """Return the revisions that the endpoints had, in the order of coming."""
        seen: dict[str, None] = {}
        for moment in self.moments(service):
            seen.update(dict.fromkeys(sorted(self.revisions_of(moment))))
        return list(seen)

    def assert_never_below(self, service: str, floor: int) -> None:
        """Fail if, once it had `floor` ready pods, the Service ever had fewer.

        But for those that died by themselves and are not replaced yet.
        """
        moments = self._since(service, floor)
        if all(len(moment.ready) >= floor for moment in moments):
            return
        lost = self.lost_by_themselves(service)
        for moment in moments:
            have = len(moment.ready) + lost.get(moment, 0)
            assert have >= floor, (
                f"Service {service} had {len(moment.ready)} ready pods, below {floor}"
                f" ({lost.get(moment, 0)} more had died by themselves):"
                f"\n{self.story(service)}"
            )

    def lost_by_themselves(self, service: str) -> dict[Moment, int]:
        """Return how many of the revision's pods were missing at each moment though
        nobody had asked for fewer.

        Whom the ReplicaSet controller deletes since fewer are asked for, it names in
        an Event; so does it say nothing of those whose ReplicaSet was deleted.
        """
        asked_for = self._deleted_by_their_controller()
        serving: frozenset[str] = frozenset()
        was_behind: set[str] = set()
        lost = {}
        for moment in self.moments(service):
            serving = self.revisions_of(moment) or serving
            at = moment.resource_version
            was_behind |= moment.ready
            with self._lock:
                died = {
                    name: life
                    for name in was_behind - moment.ready - asked_for
                    if self._revisions.get(name) in serving
                    and (life := self._lives[name]).ended is not None
                    and life.ended < at
                }
                replaced = sum(
                    any(
                        self._lives[name].owner == life.owner
                        and self._lives[name].born > (life.ended or 0)
                        for life in died.values()
                    )
                    for name in moment.ready
                )
            lost[moment] = max(len(died) - replaced, 0)
        return lost

    def _deleted_by_their_controller(self) -> set[str]:
        sets = self._kube.list(resource_path("replicasets", self._namespace))
        alive = {item["metadata"]["uid"] for item in sets}
        events = self._kube.list(resource_path("events", self._namespace))
        named = {
            event["message"].rpartition(" ")[2]
            for event in events
            if event["reason"] == "SuccessfulDelete"
        }
        with self._lock:
            orphans = {n for n, life in self._lives.items() if life.owner not in alive}
        return named | orphans

    def assert_never_mixed(self, service: str) -> None:
        """Fail if the Service ever listed endpoints of two revisions."""
        for moment in self.moments(service):
            assert len(self.revisions_of(moment)) <= 1, (
                f"Service {service} listed two revisions:\n{self.story(service)}"
            )

    def story(self, service: str) -> str:
        """Return a line per moment, for people."""
        moments = self.moments(service)
        return "\n".join(
            f"  +{moment.at - moments[0].at:7.3f}s  {len(moment.ready)} ready of"
            f" {len(moment.endpoints)}, {', '.join(sorted(self.revisions_of(moment)))}"
            for moment in moments
        )

    def _since(self, service: str, ready: int) -> list[Moment]:
        moments = self.moments(service)
        result = list(itertools.dropwhile(lambda m: len(m.ready) < ready, moments))
        assert result, (
            f"Service {service} never had {ready} ready pods:\n{self.story(service)}"
        )
        return result


def _version(item: Object) -> int:
    return int(item["metadata"]["resourceVersion"])


def _owner(pod: Object) -> str:
    owners = pod["metadata"].get("ownerReferences") or [{}]
    return str(owners[0].get("uid", ""))


def _slice_version(item: Object, deleted: bool, at: float, batch: int) -> SliceVersion:
    return SliceVersion(
        at=at,
        batch=batch,
        service=item["metadata"]["labels"][SERVICE_LABEL],
        name=item["metadata"]["name"],
        resource_version=_version(item),
        deleted=deleted,
        endpoints=tuple(_endpoint(e) for e in item.get("endpoints") or ()),
    )


def _endpoint(endpoint: Object) -> Endpoint:
    conditions = endpoint.get("conditions", {})
    addresses = tuple(endpoint["addresses"])
    # As Kubernetes reads them: a condition that is absent counts as ready.
    ready = conditions.get("ready") is not False
    return Endpoint(
        pod=endpoint.get("targetRef", {}).get("name", addresses[0]),
        addresses=addresses,
        ready=ready,
        serving=conditions.get("serving", ready),
        terminating=bool(conditions.get("terminating")),
    )
