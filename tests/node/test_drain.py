# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Switched is not drained: what becomes of the connections that V1 still holds."""

from __future__ import annotations

import http.server
import json
import threading
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.tests.integration.support.analysis import (
    template,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.kube import Kube
from ansible_collections.cutover.bluegreen.tests.integration.support.release import (
    ACTIVE,
    Release,
    Sizes,
    steps_of,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.waiting import (
    eventually,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.watcher import (
    REVISION_LABEL,
)
from ansible_collections.cutover.bluegreen.tests.node.support import application
from ansible_collections.cutover.bluegreen.tests.node.support.load import (
    Answers,
    Load,
)
from ansible_collections.cutover.bluegreen.tests.node.support.traffic import flows

Start = t.Callable[..., Load]
# More than kube-proxy needs to follow a Service: what comes on a new connection is not
# what these tests are about.
SYNCED_SECONDS = 5
TOLD: dict[str, dict[str, t.Any]] = {
    "by a request": {"drain_http": {"port": "http", "path": "/drain"}},
    "by a command": {"drain_exec": ["/app", "drain"]},
}


class Held:
    """How many connections the pods of one revision hold, at an address of its own."""

    def __init__(self, kube: Kube, release: Release, number: int) -> None:
        self._kube = kube
        self._namespace = release.namespace
        self._selector = f"{REVISION_LABEL}={release.hash_of(number)}"
        self.seen: list[int] = []
        held = self

        class Answer(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps({"open": held.count()}).encode())

            def log_message(self, *_arguments: object) -> None:
                """Nobody reads it."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def count(self) -> int:
        found = application.pods(self._kube, self._namespace, self._selector)
        held = sum(
            int(application.connections(self._kube, pod)["open"]) for pod in found
        )
        self.seen.append(held)
        return held

    def template(self) -> dict[str, t.Any]:
        url = f"http://127.0.0.1:{self._server.server_port}/"
        return template(
            "held",
            {
                "name": "connections",
                "successCondition": "result == 0",
                "provider": {"web": {"url": url, "jsonPath": "{$.open}"}},
            },
        )

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def deploy(release: Release, version: str, **options: t.Any) -> list[str]:
    """Release an application whose process ends at once when it is told to."""
    manifest = application.application(version=version, shutdown="abrupt")
    run = release.deploy(
        version,
        definition=manifest,
        active_service=application.node_port_service(ACTIVE),
        preview_service=None,
        **options,
    ).check()
    return steps_of(run)


def updated(
    kube: Kube, release: Release, load: Start, **options: t.Any
) -> tuple[Answers, list[str]]:
    """What users saw of an update, and what the release says that it did."""
    address = application.address_of(kube, release.namespace)
    # The node follows the first release, too.
    eventually(lambda: application.get(address), 30, "an answer at the NodePort")
    running = load(address)
    flows(running, 100)
    steps = deploy(release, "2", scale_down_delay_seconds=SYNCED_SECONDS, **options)
    flows(running, 100)
    seen = running.stop()
    print(f"\n{options}\n{seen}")
    assert set(seen.versions) == {"1", "2"}
    assert release.sizes() == {1: 0, 2: 2}
    return seen, steps


@pytest.mark.parametrize("how", TOLD)
def test_nobody_loses_a_connection(
    kube: Kube,
    release: Release,
    load: Start,
    sizes: t.Callable[[], Sizes],
    how: str,
) -> None:
    deploy(release, "1")
    held, watched = Held(kube, release, 1), sizes()
    seen, steps = updated(
        kube,
        release,
        load,
        analysis_templates=held.template(),
        drain="held",
        **TOLD[how],
    )
    held.stop()
    assert seen.errors == []
    # It went because nothing was left of them, and not because its time was over.
    assert any("it was drained within" in step for step in steps), steps
    assert held.seen[-1] == 0
    assert watched.asked_for(release.hash_of(1)) == [2, 0]


def test_without_a_drain_every_kept_connection_breaks(
    kube: Kube, release: Release, load: Start
) -> None:
    """The control: this load sees what a drain prevents."""
    deploy(release, "1")
    seen, _steps = updated(kube, release, load)
    assert seen.of("reused").errors
    assert not seen.of("new").errors


def test_without_an_analysis_it_has_its_time(
    kube: Kube, release: Release, load: Start
) -> None:
    deploy(release, "1")
    seen, steps = updated(
        kube, release, load, drain_timeout_seconds=5, **TOLD["by a request"]
    )
    assert seen.errors == []
    assert any("it had 5 s to close what it held" in step for step in steps), steps


def test_a_command_that_fails_is_named(release: Release) -> None:
    deploy(release, "1")
    manifest = application.application(version="2", shutdown="abrupt")
    run = release.deploy(
        "2",
        definition=manifest,
        active_service=application.node_port_service(ACTIVE),
        preview_service=None,
        drain_exec={"command": ["/app", "no-such-command"], "container": ACTIVE},
        drain_timeout_seconds=1,
    ).check()
    found = [
        w
        for r in run.results
        for w in r.result.get("warnings", [])
        if "could not be told to close what it holds: command /app" in w
    ]
    assert len(found) == 2
    assert release.sizes() == {1: 0, 2: 2}
