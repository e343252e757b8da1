# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cluster with the Gateway API, one route in it, and what a controller says of it.

No gateway runs: users are those whom the route's weights would send somewhere.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import pathlib
import subprocess
import threading
import typing as t

import yaml

from .definitions import installed
from .kube import ApiError, Kube, Object, resource_path
from .session import locked
from .waiting import eventually
from .watcher import Stream, Watcher

ROUTE = "web"
# The file by which tests take turns, in the folder that they share.
GATEWAY_LOCK = "gateway.lock"
FIRST, SECOND = "web-a", "web-b"
_MODULE = "sigs.k8s.io/gateway-api"
_VERSION = "v1.4.1"
_SUM = "h1:NPxFutNkKNa8UfLd2CMlEuhIPMQgDQ6DXNKG9sHbJU8="
_FILE = "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"
_CONTROLLER = "test.cutover.bluegreen/gateway"
_SINCE = "2026-01-01T00:00:00Z"


def serves_routes(kube: Kube) -> bool:
    """Whether the cluster answers a list of routes."""
    return kube.find(resource_path("httproutes")) is not None


@contextlib.contextmanager
def installed_routes(kube: Kube, lock: pathlib.Path) -> t.Iterator[None]:
    """The definition of HTTPRoute as the Gateway API releases it.

    `lock` is a file of all who share the cluster: one at a time.
    """
    with locked(lock), installed(kube, _definition(lock.parent)):
        yield


def _definition(folder: pathlib.Path) -> Object:
    """From the Go module, whose content the checksum pins."""
    command = ["go", "mod", "download", "-json", f"{_MODULE}@{_VERSION}"]
    result = subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True
    )
    module = json.loads(result.stdout)
    assert module["Sum"] == _SUM, module
    text = pathlib.Path(module["Dir"], _FILE).read_text()
    return t.cast(Object, yaml.safe_load(text))


def rule(first: int | None = 100, second: int | None = 0, path: str = "/") -> Object:
    """A rule between the two Services; a weight of None leaves that Service out."""
    weights = {FIRST: first, SECOND: second}
    references = [
        {"name": name, "port": 80, "weight": weight}
        for name, weight in weights.items()
        if weight is not None
    ]
    match = {"path": {"type": "PathPrefix", "value": path}}
    return {"matches": [match], "backendRefs": references}


class Route:
    """The route `web` of one namespace."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self.kube = kube
        self.folder = resource_path("httproutes", namespace)
        self.path = resource_path("httproutes", namespace, ROUTE)
        self.namespace = namespace

    def create(self, *rules: Object) -> Object:
        """Create it at one gateway; one rule to web-a unless rules are given."""
        body = {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {"name": ROUTE},
            "spec": {
                "parentRefs": [{"name": "shop"}],
                "rules": list(rules) or [rule()],
            },
        }
        return self.kube.create(self.folder, body)

    def get(self) -> Object:
        return self.kube.get(self.path)

    def weights(self) -> list[dict[str, int]]:
        """Return the weights of each rule."""
        return weights_of(self.get())

    def set_weights(self, first: int, second: int) -> None:
        """Change them in every rule by hand."""
        for index, _rule in enumerate(self.get()["spec"]["rules"]):
            path = f"/spec/rules/{index}/backendRefs"
            operations = [
                {"op": "replace", "path": f"{path}/{at}/weight", "value": weight}
                for at, weight in enumerate((first, second))
            ]
            self.kube.patch(self.path, operations, "json")


def weights_of(route: Object) -> list[dict[str, int]]:
    return [
        {r["name"]: r["weight"] for r in each["backendRefs"]}
        for each in route["spec"]["rules"]
    ]


class Gateway:
    """Answers each version of the route in its status, as a controller does.

    While `held` it says nothing, and never of what it `ignores`; `refuses` gives the
    reason for which it does not resolve a version, empty if it does.
    """

    def __init__(self, route: Route) -> None:
        self._route = route
        self._lock = threading.Lock()
        self._last: Object | None = None
        self.held = False
        self.refuses: t.Callable[[Object], str] = lambda _route: ""
        self.ignores: t.Callable[[Object], bool] = lambda _route: False
        # Each version by its resource version, with its weights.
        self.versions: list[tuple[int, list[dict[str, int]]]] = []
        self._stream = Stream(route.kube, route.folder, None, self._see)
        self._stream.start()

    def _see(self, routes: list[tuple[Object, bool]]) -> None:
        for item, deleted in routes:
            if deleted:
                continue
            with self._lock:
                version = int(item["metadata"]["resourceVersion"])
                self.versions.append((version, weights_of(item)))
                self._last = item
                if not self.held:
                    self._answer(item)

    def answer(self) -> None:
        """Say what was held back, and hold nothing back any more."""
        with self._lock:
            self.held = False
            if self._last is not None:
                self._answer(self._last)

    def _answer(self, route: Object) -> None:
        if self.ignores(route):
            return
        reason = self.refuses(route)
        parents = [
            {
                "parentRef": parent,
                "controllerName": _CONTROLLER,
                "conditions": [
                    _condition(route, "Accepted", ""),
                    _condition(route, "ResolvedRefs", reason),
                ],
            }
            for parent in route["spec"]["parentRefs"]
        ]
        if (route.get("status") or {}).get("parents") == parents:
            return
        with contextlib.suppress(ApiError):
            # Gone, with its namespace.
            path = f"{self._route.path}/status"
            self._route.kube.patch(path, {"status": {"parents": parents}})

    def caught_up(self) -> None:
        eventually(self._stream.caught_up, 10, "the route: catching up")

    def stop(self) -> None:
        self._stream.stop()

    def users_met(self, watcher: Watcher) -> list[tuple[int, frozenset[str]]]:
        """Return the number of ready pods, and the revisions listed, of the Services
        that had weight, at each change of the route or of a slice.
        """
        self.caught_up()
        moments = {name: watcher.moments(name) for name in (FIRST, SECOND)}
        instants = sorted(
            {v for v, _weights in self.versions}
            | {m.resource_version for listed in moments.values() for m in listed}
        )
        met = []
        for instant in instants:
            routes = [w for v, w in self.versions if v <= instant]
            if not routes:
                continue
            reached = {n for each in routes[-1] for n, w in each.items() if w > 0}
            ready = 0
            revisions: set[str] = set()
            for name in reached:
                past = [m for m in moments[name] if m.resource_version <= instant]
                if past:
                    ready += len(past[-1].ready)
                    revisions |= watcher.revisions_of(past[-1])
            met.append((ready, frozenset(revisions)))
        return met

    def assert_users_lost_nothing(self, watcher: Watcher, floor: int) -> None:
        """Fail if users, once they had so many ready pods, ever had fewer, or those of
        two revisions.
        """
        met = list(itertools.dropwhile(lambda m: m[0] < floor, self.users_met(watcher)))
        assert met, f"users never had {floor} ready pods"
        for ready, revisions in met:
            assert ready >= floor and len(revisions) == 1, met


def _condition(route: Object, kind: str, reason: str) -> Object:
    return {
        "type": kind,
        "status": "False" if reason else "True",
        "reason": reason or kind,
        "message": "",
        "observedGeneration": route["metadata"]["generation"],
        "lastTransitionTime": _SINCE,
    }
