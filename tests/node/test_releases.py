# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Thirty releases under real traffic, and what a bare patch of the selector costs.

The numbers are printed: run with `-s` to see them.
"""

from __future__ import annotations

import functools
import time
import typing as t

from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
    Kube,
    resource_path,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.playbook import (
    Playbook,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.waiting import (
    eventually,
)
from ansible_collections.cutover.bluegreen.tests.node.support import application
from ansible_collections.cutover.bluegreen.tests.node.support.load import (
    Answers,
    Load,
)
from ansible_collections.cutover.bluegreen.tests.node.support.traffic import flows

RELEASES = 30
CLIENTS = 12
# Requests a second of all clients of a kind together: a fifth above what is promised.
RATE = 60
PROMISED_RATE = 50
# Two ways in which an application lets its clients go: it closes what it holds when
# it is ended, or it is told to beforehand and then ends at once.
GRACEFUL, DRAINED = "graceful", "drained"

Start = t.Callable[..., Load]


def variables(
    namespace: str, name: str, version: str, cutover: str
) -> dict[str, t.Any]:
    """The variables of one application's release, as its user writes them."""
    values: dict[str, t.Any] = {
        "name": name,
        "namespace": namespace,
        "definition": application.application(
            name,
            version=version,
            shutdown="graceful" if name == GRACEFUL else "abrupt",
        ),
        "active_service": application.node_port_service(name),
        "cutover": cutover,
        "overlap_seconds": 1,
        # The node's proxy follows within a second or two.
        "scale_down_delay_seconds": 3,
    }
    if name == DRAINED:
        values["drain_http"] = {"port": application.PORT, "path": "/drain"}
        values["drain_timeout_seconds"] = 3
    return {f"bluegreen_{key}": value for key, value in values.items()}


def run(
    playbook: Playbook, namespace: str, verb: str, version: str = "", cutover: str = ""
) -> None:
    """Run a playbook of the collection on both applications."""
    hosts = {}
    for name in (GRACEFUL, DRAINED):
        identity = {"bluegreen_name": name, "bluegreen_namespace": namespace}
        given = variables(namespace, name, version, cutover) if version else identity
        hosts[name] = {"ansible_connection": "local", **given}
    playbook(
        f"cutover.bluegreen.{verb}",
        {"bluegreen_hosts": "all"},
        inventory={"all": {"hosts": hosts}},
    ).check()


def users(kube: Kube, namespace: str, name: str, load: Start) -> Load:
    """Users begin to send requests, once the node serves the new Service at all."""
    address = application.address_of(kube, namespace, name)
    eventually(lambda: application.get(address), 30, f"{address} answers")
    return load(address, clients=CLIENTS, rate=RATE, seconds=1800)


def test_thirty_releases_under_traffic(
    kube: Kube, namespace: str, playbook: Playbook, load: Start
) -> None:
    run(playbook, namespace, "deploy", "0", "auto")
    running = {name: users(kube, namespace, name, load) for name in (GRACEFUL, DRAINED)}
    print()
    for number in range(1, RELEASES + 1):
        began = time.monotonic()
        if number % 3 == 0:
            how = "rollback"
            run(playbook, namespace, "rollback")
        else:
            how = "overlap" if number % 2 else "atomic"
            run(playbook, namespace, "deploy", str(number), how)
        for name, one in running.items():
            flows(one, 50)
            seen = one.answers().since(began)
            assert seen.errors == [], f"release {number} of {name} ({how}):\n{seen}"
            print(f"release {number:2} {how:8} {name:8} {one_line(seen)}", flush=True)
    for name, one in running.items():
        whole = one.stop()
        print(f"{name}, {RELEASES} releases:\n{whole}")
        assert whole.errors == []
        assert len(whole.versions) > RELEASES / 2
        assert min(whole.of("new").rate, whole.of("reused").rate) >= PROMISED_RATE


def one_line(seen: Answers) -> str:
    """Requests, errors and the longest gap of each kind of connection."""
    return "; ".join(
        f"{kind}: {len(part)} requests, {len(part.errors)} errors, longest gap"
        f" {part.longest_gap * 1000:.0f} ms"
        for kind in ("new", "reused")
        if (part := seen.of(kind))
    )


def test_what_a_bare_patch_of_the_selector_costs(
    kube: Kube, namespace: str, load: Start
) -> None:
    """The comparison: the selector is patched, the old version ends at once."""
    name = "bare"
    selector = {"app": name, "version": "0"}
    service = application.node_port_service(name, selector=selector)
    kube.create(resource_path("services", namespace), service)
    by_hand = functools.partial(application.by_hand, name, shutdown="abrupt")
    application.create(kube, namespace, by_hand("0"))
    running = users(kube, namespace, name, load)
    print()
    for number in range(1, 7):
        began = time.monotonic()
        application.create(kube, namespace, by_hand(str(number)))
        kube.patch(
            resource_path("services", namespace, name),
            {"spec": {"selector": {"version": str(number)}}},
        )
        old = resource_path("deployments", namespace, f"{name}-{number - 1}")
        kube.patch(old, {"spec": {"replicas": 0}})
        flows(running, 100)
        seen = running.answers().since(began)
        print(f"bare patch {number}: {one_line(seen)}", flush=True)
    whole = running.stop()
    print(f"bare patch, 6 releases:\n{whole}")
    # Else the other test would prove nothing: here is what can go wrong.
    assert whole.of("reused").errors
