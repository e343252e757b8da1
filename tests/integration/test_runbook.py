# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""docs/runbook.md is true: each situation is brought about, each command is run as it
stands there, and prints what stands there.
"""

from __future__ import annotations

import json
import re
import shlex
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.tests.integration.support import session
from ansible_collections.cutover.bluegreen.tests.integration.support.analysis import (
    Meter,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
    resource_path,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.manifests import (
    deployment,
    service,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.playbook import (
    Handle,
    Playbook,
    Run,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.release import (
    ACTIVE,
    NAME,
    PREVIEW,
    Release,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.watcher import (
    REVISION_LABEL,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.http_server import (
    HttpServer,
)

LONG = 600
PAGE = session.ROOT / "docs" / "runbook.md"
HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What differs from run to run.
CHANGING = (
    (r"\b[0-9a-f]{10}\b", "<hash>"),
    (r"\+\d+s\]", "+0s]"),
    (r"\b\d+ s left\b", "600 s left"),
    (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "<time>"),
    (r"process \d+ on [\w.-]+", "process 4711 on runner"),
    (r"127\.0\.0\.1:\d+", "metrics"),
    (r"\b\d+ s old\b", "0 s old"),
)


class Desk:
    """What a person on call has: the cluster, and the variables of the rollout."""

    def __init__(self, release: Release, playbook: Playbook, meter: Meter) -> None:
        self.release = release
        self.meter = meter
        self._playbook = playbook
        self._variables: dict[str, t.Any] = {}

    def has(self, version: str, ready: str = "", **options: t.Any) -> None:
        """Write this release into app.yml."""
        steering = {"ready": ready} if ready else {}
        self._variables = {
            "name": NAME,
            "namespace": self.release.namespace,
            "definition": deployment(NAME, version=version, replicas=2, **steering),
            "active_service": service(ACTIVE),
            "preview_service": service(PREVIEW, selector={"app": NAME}),
            "scale_down_delay_seconds": 0,
            "abort_scale_down_delay_seconds": 0,
            **options,
        }

    def measured(self) -> dict[str, t.Any]:
        """Options of a release that the meter decides about."""
        templates = self.meter.template(count=2, consecutiveErrorLimit=1)
        return {"analysis_templates": templates, "pre_promotion_analysis": "rate"}

    def start(self, command: str) -> Handle:
        """Start a command of ansible-playbook, beside app.yml."""
        program, playbook, *arguments = shlex.split(command, comments=True)
        assert program == "ansible-playbook"
        variables = {f"bluegreen_{k}": v for k, v in self._variables.items()}
        return self._playbook.start(
            playbook,
            args=arguments,
            files={"app.yml": json.dumps(variables)},
            env={"PYTHONUNBUFFERED": "1"},
        )

    def deploys(self, version: str, **options: t.Any) -> Run:
        """Have a version deployed."""
        self.has(version, **options)
        return self.start(
            "ansible-playbook cutover.bluegreen.deploy -e @app.yml"
        ).wait()

    def waits(self) -> Handle:
        """Have version 1 served, and a run that waits before it promotes version 2."""
        self.deploys("1").check()
        self.has("2", auto_promotion_seconds=LONG)
        run = self.start("ansible-playbook cutover.bluegreen.deploy -e @app.yml")
        self.release.pauses(run)
        return run


Situation = t.Callable[[Desk], t.Iterator[None]]
SITUATIONS: dict[str, Situation] = {}


def situation(heading: str) -> t.Callable[[Situation], Situation]:
    """Bring about the situation, yield while its commands are run, look what is so."""

    def register(function: Situation) -> Situation:
        SITUATIONS[heading] = function
        return function

    return register


def at_the_gate(desk: Desk) -> None:
    desk.deploys("1").check()
    desk.deploys("2", auto_promotion_enabled=False).check()


@situation("Where does it stand?")
def _stands(desk: Desk) -> t.Iterator[None]:
    at_the_gate(desk)
    yield


@situation("It is paused, and the new version is good")
def _good(desk: Desk) -> t.Iterator[None]:
    at_the_gate(desk)
    yield
    assert desk.release.directed_to(ACTIVE) == 2
    assert desk.release.phase() == "Healthy"


@situation("The new version is bad, and not promoted yet")
def _bad(desk: Desk) -> t.Iterator[None]:
    at_the_gate(desk)
    yield
    assert desk.release.directed_to(ACTIVE) == desk.release.directed_to(PREVIEW) == 1
    assert desk.release.sizes() == {1: 2, 2: 0}
    assert desk.release.phase() == "Degraded"


@situation("Another run waits for its countdown, and is not to promote")
def _countdown(desk: Desk) -> t.Iterator[None]:
    run = desk.waits()
    yield
    assert run.wait().rc == 2
    assert desk.release.directed_to(ACTIVE) == 1
    assert desk.release.phase() == "Degraded"


@situation("The new version is bad, and promoted just now")
def _promoted(desk: Desk) -> t.Iterator[None]:
    desk.deploys("1").check()
    desk.deploys("2", scale_down_delay_seconds=LONG, wait="detach").check()
    assert desk.release.sizes() == {1: 2, 2: 2}
    yield
    # The revision that is gone back to has the newest number.
    assert desk.release.directed_to(ACTIVE) == 3
    assert desk.release.phase() == "Healthy"


@situation("The new version is bad, and the old one is scaled down")
def _late(desk: Desk) -> t.Iterator[None]:
    desk.deploys("1").check()
    desk.deploys("2").check()
    assert desk.release.sizes() == {1: 0, 2: 2}
    yield
    assert desk.release.directed_to(ACTIVE) == 3
    assert desk.release.sizes() == {2: 0, 3: 2}


@situation("The new version does not become ready")
def _unready(desk: Desk) -> t.Iterator[None]:
    desk.deploys("1").check()
    run = desk.deploys("2", ready="never", progress_deadline_seconds=1)
    assert run.rc == 2
    yield
    assert desk.release.directed_to(ACTIVE) == desk.release.directed_to(PREVIEW) == 1
    assert desk.release.sizes() == {1: 2, 2: 0}


@situation("It was aborted, and the manifest is corrected")
def _corrected(desk: Desk) -> t.Iterator[None]:
    desk.deploys("1").check()
    desk.deploys("2", ready="never", progress_deadline_seconds=1)
    desk.start("ansible-playbook cutover.bluegreen.abort -e @app.yml").wait().check()
    desk.has("3")
    yield
    assert desk.release.directed_to(ACTIVE) == 3
    assert desk.release.phase() == "Healthy"


@situation("An analysis failed")
def _failed(desk: Desk) -> t.Iterator[None]:
    desk.deploys("1").check()
    desk.meter.reads(0.2)
    assert desk.deploys("2", **desk.measured()).rc == 2
    yield
    assert desk.release.directed_to(ACTIVE) == desk.release.directed_to(PREVIEW) == 1


@situation("An analysis is inconclusive")
def _inconclusive(desk: Desk) -> t.Iterator[None]:
    desk.deploys("1").check()
    desk.meter.reads(0.7)
    desk.deploys("2", **desk.measured()).check()
    assert desk.release.phase() == "Paused"
    yield
    assert desk.release.directed_to(ACTIVE) == 2


@situation("The metrics server is down, and the fix cannot wait")
def _unmeasured(desk: Desk) -> t.Iterator[None]:
    desk.deploys("1").check()
    desk.meter.breaks()
    assert desk.deploys("2", **desk.measured()).rc == 2
    yield
    assert desk.release.directed_to(ACTIVE) == 3
    assert desk.release.phase() == "Healthy"


@situation("The run was killed, or its job was cancelled")
def _killed(desk: Desk) -> t.Iterator[None]:
    run = desk.waits()
    run.kill_tree()
    past = {"promote_at": "2026-01-01T00:00:00Z"}
    desk.release.edit_details(**past)
    yield
    assert desk.release.directed_to(ACTIVE) == 2
    assert desk.release.phase() == "Healthy"


@situation("Another run drives it")
def _driven(desk: Desk) -> t.Iterator[None]:
    run = desk.waits()
    desk.has("3")
    yield
    assert run.running
    assert desk.release.directed_to(PREVIEW) == 2
    run.kill_tree()


@situation("Users reach both versions: the Service lost its hash")
def _stripped(desk: Desk) -> t.Iterator[None]:
    at_the_gate(desk)
    path = resource_path("services", desk.release.namespace, ACTIVE)
    desk.release.kube.patch(path, {"spec": {"selector": {REVISION_LABEL: None}}})
    yield
    assert desk.release.directed_to(ACTIVE) == 1
    assert desk.release.phase() == "Paused"


@situation("The record is gone")
def _lost(desk: Desk) -> t.Iterator[None]:
    at_the_gate(desk)
    path = resource_path("configmaps", desk.release.namespace, f"bluegreen-{NAME}")
    desk.release.kube.delete(path)
    yield
    assert desk.release.directed_to(ACTIVE) == 1
    assert desk.release.phase() == "Paused"


@situation("The pods need a restart")
def _restart(desk: Desk) -> t.Iterator[None]:
    desk.deploys("1").check()
    before = {p["metadata"]["name"] for p in _pods(desk)}
    yield
    assert before.isdisjoint(p["metadata"]["name"] for p in _pods(desk))


def _pods(desk: Desk) -> list[dict[str, t.Any]]:
    found = desk.release.kube.list(resource_path("pods", desk.release.namespace))
    return [p for p in found if "deletionTimestamp" not in p["metadata"]]


# -- the page --------------------------------------------------------------------------


def sections() -> dict[str, list[tuple[str, list[str]]]]:
    """The commands of each section, each with the lines that it prints."""
    _title, *parts = HEADING.split(PAGE.read_text(encoding="utf-8"))
    found: dict[str, list[tuple[str, list[str]]]] = {}
    for heading, text in zip(parts[::2], parts[1::2], strict=True):
        commands = found[heading] = []
        for block in BLOCK.findall(text):
            for line in block.splitlines():
                if line.startswith("$ "):
                    commands.append((line[2:], []))
                elif line != "...":
                    commands[-1][1].append(line)
    return found


def settled(text: str, namespace: str) -> str:
    """The text as it is in every run."""
    text = text.replace(namespace, "shop")
    for pattern, same in CHANGING:
        text = re.sub(pattern, same, text)
    return text


def assert_printed(run: Run, expected: list[str], namespace: str) -> None:
    """Fail unless the run printed these lines in this order, others between them."""
    text = settled(run.stdout + run.stderr, namespace)
    printed = iter(text.splitlines())
    for line in expected:
        wanted = settled(line, namespace)
        assert any(wanted in found for found in printed), f"not printed: {line}\n{text}"


@pytest.fixture
def desk(release: Release, playbook: Playbook) -> t.Iterator[Desk]:
    with HttpServer() as server:
        yield Desk(release, playbook, Meter(server))


def test_the_page_and_the_tests_have_the_same_situations() -> None:
    assert list(sections()) == list(SITUATIONS)


@pytest.mark.parametrize("heading", SITUATIONS)
def test_what_the_runbook_says(desk: Desk, heading: str) -> None:
    run = SITUATIONS[heading](desk)
    next(run)
    commands = sections()[heading]
    assert commands
    for command, expected in commands:
        ended = desk.start(command).wait()
        assert "Traceback" not in ended.stdout + ended.stderr
        assert expected, f"{command} prints\n{ended.stdout}{ended.stderr}"
        assert_printed(ended, expected, desk.release.namespace)
    assert next(run, "looked") == "looked"
