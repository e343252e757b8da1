# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How fast users go over, on a real node under requests: ours, and a bare patch.

What is measured is seen from outside, in the same way for both: the instant at which
the Service's new selector is seen, that at which its EndpointSlices list the new
version alone, and the last answer that the old version gave on a new connection.
"""

from __future__ import annotations

import pathlib
import tempfile
import threading
import time
import typing as t
from dataclasses import dataclass

from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
    Kube,
    Object,
    resource_path,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.waiting import (
    eventually,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.watcher import (
    SERVICE_LABEL,
    Stream,
)
from ansible_collections.cutover.bluegreen.tests.node.support import application
from ansible_collections.cutover.bluegreen.tests.node.support.load import Load

RATE = 100


@dataclass(frozen=True)
class Latency:
    """Milliseconds from the write of the selector."""

    to_endpoints: float
    to_last_old_answer: float


class Seen:
    """When a Service's selector and its endpoints changed, on the monotonic clock."""

    def __init__(self, kube: Kube, namespace: str, service: str) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._selectors: list[tuple[float, Object]] = []
        self._endpoints: list[tuple[float, frozenset[str]]] = []
        slices = f"{SERVICE_LABEL}={service}"
        folder = resource_path("endpointslices", namespace)
        self._streams = (
            Stream(
                kube, resource_path("services", namespace), None, self._see_services
            ),
            Stream(kube, folder, slices, self._see_slices),
        )
        for stream in self._streams:
            stream.start()

    def _see_services(self, services: list[tuple[Object, bool]]) -> None:
        at = time.monotonic()
        with self._lock:
            for item, _deleted in services:
                if item["metadata"]["name"] == self._service:
                    self._selectors.append((at, item["spec"]["selector"]))

    def _see_slices(self, slices: list[tuple[Object, bool]]) -> None:
        at = time.monotonic()
        with self._lock:
            for item, _deleted in slices:
                listed = item.get("endpoints") or []
                pods = frozenset(e["targetRef"]["name"] for e in listed)
                self._endpoints.append((at, pods))

    def selected(self, since: float) -> float:
        """The instant of the last change of the selector since then."""

        def found() -> float | None:
            with self._lock:
                pairs = zip(self._selectors, self._selectors[1:], strict=False)
                changed = [
                    now[0]
                    for before, now in pairs
                    if now[0] > since and before[1] != now[1]
                ]
            return changed[-1] if changed else None

        return eventually(found, 30, "the new selector")

    def listed(self, pods: frozenset[str], since: float) -> float:
        """The instant since then from which on these pods alone are listed."""

        def found() -> float | None:
            with self._lock:
                return next(
                    (at for at, has in self._endpoints if at > since and has == pods),
                    None,
                )

        return eventually(found, 30, "the endpoints of the new version")

    def stop(self) -> None:
        for stream in self._streams:
            stream.stop()


def measure(
    kube: Kube,
    namespace: str,
    deploy: t.Callable[[Object, Object], None],
    times: int,
) -> tuple[list[Latency], list[Latency]]:
    """Move users over again and again, in turn by us and by a bare patch.

    :param deploy: releases a manifest behind a Service in that namespace.
    :returns: what was seen of ours, and of the patches.
    """
    ours, bare = "web", "bare"
    service = application.node_port_service(ours)
    deploy(application.application(ours, version="0"), service)
    selector = {"app": bare, "version": "0"}
    kube.create(
        resource_path("services", namespace),
        application.node_port_service(bare, selector=selector),
    )
    application.create(kube, namespace, application.by_hand(bare, "0"))
    with tempfile.TemporaryDirectory(prefix="cutover-") as folder:
        loads = {
            name: users(kube, namespace, name, pathlib.Path(folder) / name)
            for name in (ours, bare)
        }
        found: dict[str, list[Latency]] = {ours: [], bare: []}
        for number in range(1, times + 1):
            version = str(number)
            manifest = application.application(ours, version=version)
            found[ours].append(
                seen(
                    kube,
                    namespace,
                    ours,
                    loads[ours],
                    lambda manifest=manifest: deploy(manifest, service),
                )
            )
            application.create(kube, namespace, application.by_hand(bare, version))
            patch = {"spec": {"selector": {"version": version}}}
            found[bare].append(
                seen(
                    kube,
                    namespace,
                    bare,
                    loads[bare],
                    lambda patch=patch: kube.patch(
                        resource_path("services", namespace, bare), patch
                    ),
                )
            )
        for one in loads.values():
            one.stop()
    return found[ours], found[bare]


def users(kube: Kube, namespace: str, name: str, folder: pathlib.Path) -> Load:
    folder.mkdir()
    address = application.address_of(kube, namespace, name)
    eventually(lambda: application.get(address), 60, f"{address} answers")
    return Load(address, folder, rate=RATE, kinds=("new",), seconds=1800)


def seen(
    kube: Kube, namespace: str, name: str, load: Load, act: t.Callable[[], object]
) -> Latency:
    """What was seen of one change of the version that serves."""
    watch, began = Seen(kube, namespace, name), time.monotonic()
    try:
        act()
        at = watch.selected(began)
        selector = kube.get(resource_path("services", namespace, name))["spec"][
            "selector"
        ]
        wanted = ",".join(f"{key}={value}" for key, value in selector.items())
        pods = frozenset(
            pod["metadata"]["name"] for pod in application.pods(kube, namespace, wanted)
        )
        # The two watches may tell in either order.
        listed = max(watch.listed(pods, began), at)
        # The node follows within seconds: every answer of three more is the new one's.
        eventually(
            lambda: load.answers().all[-1].start > listed + 3, 30, "requests to go on"
        )
    finally:
        watch.stop()
    answers = load.answers().since(began)
    new = answers.all[-1].version
    old = [a.end for a in answers.all if a.ok and a.version != new]
    to_last = max(*old, at) - at
    return Latency(1000 * (listed - at), 1000 * to_last)
