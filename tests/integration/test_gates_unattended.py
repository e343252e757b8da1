# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gate where nobody sits at a terminal, and where somebody does."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import termios
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.tests.integration.support import session
from ansible_collections.cutover.bluegreen.tests.integration.support.playbook import (
    BIN,
    Handle,
    Run,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.release import (
    ACTIVE,
    PREVIEW,
    Path,
    Release,
    message,
    rollout_of,
    steps_of,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.waiting import (
    eventually,
)

# Longer than any test: what ends such a countdown is a decision.
LONG = 600
CTRL_C = b"\x03"
# What a CI system or a runner says about itself must not decide what is tested.
NO_AUTOMATION = {
    "CI": "",
    "GITHUB_ACTIONS": "",
    "JOB_ID": "",
    "AWX_JOB_ID": "",
    "JENKINS_URL": "",
}


def commands(release: Release) -> dict[str, str]:
    rollout = f"-e bluegreen_name=web -e bluegreen_namespace={release.namespace}"
    return {
        verb: f"ansible-playbook cutover.bluegreen.{verb} {rollout}"
        for verb in ("promote", "abort")
    }


def directed_to_v1(release: Release) -> None:
    assert release.directed_to(ACTIVE) == 1
    assert release.directed_to(PREVIEW) == 2
    assert release.phase() == "Paused"


# -- nobody is there -----------------------------------------------------------------

CLOSED = ("sh", "-c", 'exec "$@" <&-', "sh")
NOBODY = {
    "closed": CLOSED,
    "dev-null": ("sh", "-c", 'exec "$@" </dev/null', "sh"),
    # Answers to a question that is not asked.
    "pipe": ("sh", "-c", 'printf "\\003c\\ny\\n" | exec "$@"', "sh"),
    # As cron and CI start it.
    "setsid": ("setsid", "--wait"),
}


@pytest.mark.parametrize("interactive", [False, True])
def test_without_a_terminal_the_gate_stays_shut(
    release: Release, interactive: bool
) -> None:
    """Invariant 6: the run succeeds at once, says how to go on, and promotes nothing.

    A pause of ansible.builtin with a prompt goes on there by itself.
    """
    release.deploy("1").check()
    first = release.deploy("2", auto_promotion_enabled=False).check()
    for verb, command in commands(release).items():
        assert f"to {verb} it: {command}" in first.stdout
    handles = {
        how: release.start(
            "resume", interactive=interactive, prefix=prefix, env=NO_AUTOMATION
        )
        for how, prefix in NOBODY.items()
    }
    for how, handle in handles.items():
        run = handle.wait().check()
        assert rollout_of(run)["phase"] == "Paused", how
        assert run.of("bluegreen_pause")[0].result["commands"] == commands(release)
        warned = "interactive: ignored, because the standard input is"
        assert (warned in flat(run.stderr)) == interactive, how
    directed_to_v1(release)
    assert release.holder() == ""


def flat(text: str) -> str:
    """As one line: Ansible wraps its warnings."""
    return " ".join(text.split())


def test_a_countdown_without_a_terminal_says_when_it_ends(release: Release) -> None:
    release.deploy("1").check()
    handle = release.start_deploy(
        "2", auto_promotion_seconds=LONG, interactive=True, prefix=CLOSED
    )
    release.pauses(handle)
    ends = release.record()["next-at"]
    eventually(lambda: f"it is promoted by itself at {ends}" in handle.stdout, 30)
    command = commands(release)["promote"]
    assert f"to promote it: {command}" in handle.stdout
    # It can be pasted as it is.
    _program, _playbook, *arguments = command.split()
    release.start("promote", args=arguments).wait().check()
    handle.wait().check()
    assert release.directed_to(ACTIVE) == 2


def test_a_play_of_pause_and_promote_keeps_the_gate_shut(
    release: Release, path: Path
) -> None:
    """Invariant 6: after a pause that nobody ended there is nothing to promote."""
    release.path = path
    release.deploy("1").check()
    release.deploy("2", auto_promotion_enabled=False).check()
    run = release.play(
        {"bluegreen_pause": {"interactive": True}}, {"bluegreen_promote": {}}
    ).check()
    assert not run.changed
    directed_to_v1(release)
    (paused,) = run.of("bluegreen_pause")
    assert paused.result["commands"] == commands(release)
    assert f"to promote it: {commands(release)['promote']}" in run.stdout


@pytest.mark.parametrize("variable", ["JOB_ID", "CI"])
def test_a_job_is_not_asked_whatever_terminal_it_has(
    release: Release, terminal: Terminal, variable: str
) -> None:
    """AWX's runner gives Ansible a terminal that nobody sits at."""
    release.deploy("1").check()
    run = terminal.deploy(
        release, "2", auto_promotion_enabled=False, env={variable: "1"}
    )
    ended = run.wait().check()
    assert f"({variable} is set)" in flat(ended.stderr)
    directed_to_v1(release)


def test_what_else_keeps_it_from_asking(release: Release, terminal: Terminal) -> None:
    """Each says why, and leaves the gate shut."""
    release.deploy("1").check()
    run = terminal.deploy(
        release, "2", auto_promotion_enabled=False, wait="detach"
    ).wait()
    assert "wait is detach" in flat(run.check().stderr)
    play = {
        "hosts": "all",
        "gather_facts": False,
        "connection": "local",
        "tasks": [
            {
                "cutover.bluegreen.bluegreen_pause": {
                    "name": "web",
                    "namespace": release.namespace,
                    "interactive": True,
                }
            }
        ],
    }
    both: dict[str, t.Any] = {"all": {"hosts": {"a": {}, "b": {}}}}
    run = release._playbook(
        play, inventory=both, prefix=terminal.prefix, env=NO_AUTOMATION
    )
    assert "the play has 2 hosts, and one terminal" in flat(run.check().stderr)
    directed_to_v1(release)


def test_what_a_workflow_of_awx_sees(release: Release) -> None:
    """One artifact of the job tells the next node where each rollout stands."""
    release.deploy("1").check()
    run = release.deploy("2", auto_promotion_seconds=LONG, wait="detach").check()
    (artifact,) = artifacts(run)
    key = f"{release.namespace}/web"
    assert list(artifact) == [key]
    assert artifact[key]["phase"] == "Paused"
    assert artifact[key]["next_at"] == release.record()["next-at"]
    assert artifact[key]["target"]["revision"] == 2
    # AWX keeps artifacts of at most a megabyte, and shows them.
    assert len(json.dumps(artifact)) < 2000

    older = {key: {"target": artifact[key]["stable"]}}
    refused = approved(release, older)
    assert refused.rc == 2
    assert "another release came between" in message(refused)
    directed_to_v1(release)

    run = approved(release, artifact).check()
    (artifact,) = artifacts(run)
    assert artifact[key]["phase"] == "Healthy"
    assert artifact[key]["stable"]["revision"] == 2


def approved(release: Release, artifact: t.Any) -> Run:
    """What the node after the approval runs, with the deploy node's artifact."""
    playbook = session.ROOT / "examples" / "awx" / "playbooks" / "promote.yml"
    given = {"name": "web", "namespace": release.namespace, "rollouts": artifact}
    variables = {f"bluegreen_{key}": value for key, value in given.items()}
    return release._playbook(str(playbook), variables)


def artifacts(run: Run) -> list[t.Any]:
    """The value of `bluegreen_rollouts` as Ansible's own statistics end with it."""
    found: dict[str, t.Any] = {}
    for result in run.results:
        found.update(result.result.get("ansible_stats", {}).get("data", {}))
    return list(found.values())


def test_detached_and_resumed_by_a_schedule(release: Release) -> None:
    """A `resume` before its time changes nothing; one after it promotes."""
    release.deploy("1").check()
    options: dict[str, t.Any] = {"wait": "detach", "auto_promotion_seconds": LONG}
    run = release.deploy("2", **options).check()
    ends = release.record()["next-at"]
    assert f"the resume playbook promotes it from {ends} on" in run.stdout
    early = release.run("resume", wait="detach").check()
    assert not early.changed
    directed_to_v1(release)
    # The time that is left is over: what the record says decides, and nothing else.
    release.edit_details(promote_at="2026-01-01T00:00:00Z")
    late = release.run("resume", wait="detach").check()
    assert rollout_of(late)["phase"] == "Healthy"
    assert release.directed_to(ACTIVE) == 2


# -- ansible-runner, AWX's engine ----------------------------------------------------


def test_under_ansible_runner(release: Release, tmp_path: pathlib.Path) -> None:
    """Invariant 6: ansible-runner gives Ansible a terminal, and nobody answers there.

    A pause of ansible.builtin with a prompt hangs there for ever.
    """
    program = BIN / "ansible-runner"
    if not program.exists():
        pytest.skip("ansible-runner is not installed: NOT TESTED under it")
    release.deploy("1").check()
    release.deploy("2", auto_promotion_enabled=False).check()
    identity = {"name": "web", "namespace": release.namespace}
    pause = {"cutover.bluegreen.bluegreen_pause": {**identity, "interactive": True}}
    promote = {"cutover.bluegreen.bluegreen_promote": identity}
    play = {"hosts": "localhost", "gather_facts": False, "tasks": [pause, promote]}
    environment = release._playbook._environment(tmp_path)
    for name in ("ANSIBLE_CALLBACKS_ENABLED", "ANSIBLE_CALLBACK_PLUGINS"):
        del environment[name]
    folder = tmp_path / "runner"
    for name, content in {
        "project/play.yml": json.dumps([play]),
        "inventory/hosts": "localhost ansible_connection=local\n",
        "env/envvars": json.dumps(environment),
        "env/settings": json.dumps({"job_timeout": 100}),
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    ended = subprocess.run(
        [program, "run", folder, "-p", "play.yml", "--ident", "job"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert ended.returncode == 0, ended
    said = flat((folder / "artifacts/job/stdout").read_text())
    assert "interactive: ignored, because this is a job of A" in said
    assert f"to promote it: {commands(release)['promote']}" in said
    directed_to_v1(release)
    # What AWX takes for the job's artifacts.
    events = [json.loads(x.read_text()) for x in folder.rglob("job_events/*.json")]
    (stats,) = [e for e in events if e["event"] == "playbook_on_stats"]
    rollouts = stats["event_data"]["artifact_data"]["bluegreen_rollouts"]
    assert rollouts[f"{release.namespace}/web"]["phase"] == "Paused"


# -- a person at a terminal ----------------------------------------------------------


class Terminal:
    """A pseudo-terminal with a person who presses keys."""

    def __init__(self) -> None:
        self._person, self._side = os.openpty()
        name = os.ttyname(self._side)
        # The session's leader gets the terminal that it opens first.
        self.prefix = ("sh", "-c", 'exec "$@" <>"$0"', name)
        self.before = termios.tcgetattr(self._side)

    def deploy(
        self, release: Release, version: str, env: t.Any = None, **options: t.Any
    ) -> Handle:
        return release.start_deploy(
            version,
            interactive=True,
            prefix=self.prefix,
            env={**NO_AUTOMATION, **(env or {})},
            **options,
        )

    def press(self, keys: bytes) -> None:
        os.write(self._person, keys)

    def as_before(self) -> bool:
        return termios.tcgetattr(self._side) == self.before

    def is_asked(self, handle: Handle) -> None:
        eventually(lambda: "Ctrl+C then C promotes it" in handle.stdout, 60)

    def asks_which(self, handle: Handle) -> None:
        eventually(lambda: "press C to promote it now" in handle.stdout, 30)

    def close(self) -> None:
        os.close(self._person)
        os.close(self._side)


@pytest.fixture
def terminal() -> t.Iterator[Terminal]:
    made = Terminal()
    yield made
    made.close()


FOREVER: dict[str, t.Any] = {"auto_promotion_enabled": False}
COUNTDOWN: dict[str, t.Any] = {"auto_promotion_seconds": LONG}


@pytest.mark.parametrize("options", [FOREVER, COUNTDOWN], ids=["forever", "countdown"])
def test_c_promotes(
    release: Release, terminal: Terminal, options: dict[str, t.Any]
) -> None:
    release.deploy("1").check()
    handle = terminal.deploy(release, "2", **options)
    terminal.is_asked(handle)
    assert not terminal.as_before()
    terminal.press(CTRL_C)
    terminal.asks_which(handle)
    directed_to_v1(release)
    terminal.press(b"c")
    run = handle.wait().check()
    assert rollout_of(run)["phase"] == "Healthy"
    assert release.directed_to(ACTIVE) == 2
    by = f"approved by a person at the terminal of process {handle.pid}"
    assert any(by in step for step in steps_of(run))
    assert terminal.as_before()


def test_a_aborts(release: Release, terminal: Terminal) -> None:
    """Invariant 3; the play ends as by an abort from elsewhere."""
    release.deploy("1").check()
    handle = terminal.deploy(release, "2", **COUNTDOWN)
    terminal.is_asked(handle)
    terminal.press(CTRL_C + b"A")
    run = handle.wait()
    assert run.rc == 2
    assert "was aborted by a person at the terminal of" in message(run)
    assert release.directed_to(ACTIVE) == release.directed_to(PREVIEW) == 1
    assert release.aborted(2)
    assert terminal.as_before()


def test_no_other_key_decides(release: Release, terminal: Terminal) -> None:
    """Invariant 6: Enter, a C alone, Ctrl+C twice, Ctrl+Z and Ctrl+D open nothing."""
    release.deploy("1").check()
    handle = terminal.deploy(release, "2", **FOREVER)
    terminal.is_asked(handle)
    terminal.press(b"\ncCaA\x1a\x04y\n" + CTRL_C)
    terminal.asks_which(handle)
    terminal.press(CTRL_C + b"\nyx\x1a\x04")
    # Another run is answered by the one that waits: it is there, and has not decided.
    refused = release.deploy("3")
    assert f"is being driven by process {handle.pid}" in message(refused)
    directed_to_v1(release)
    terminal.press(b"c")
    handle.wait().check()
    assert release.directed_to(ACTIVE) == 2


@pytest.mark.parametrize("options", [FOREVER, COUNTDOWN], ids=["forever", "countdown"])
def test_a_promotion_from_elsewhere_ends_the_question(
    release: Release, terminal: Terminal, options: dict[str, t.Any]
) -> None:
    release.deploy("1").check()
    handle = terminal.deploy(release, "2", **options)
    terminal.is_asked(handle)
    release.run("promote").check()
    run = handle.wait().check()
    assert rollout_of(run)["phase"] == "Healthy"
    assert release.directed_to(ACTIVE) == 2
    assert terminal.as_before()


def test_an_abort_from_elsewhere_ends_the_question(
    release: Release, terminal: Terminal
) -> None:
    release.deploy("1").check()
    handle = terminal.deploy(release, "2", **FOREVER)
    terminal.is_asked(handle)
    terminal.press(CTRL_C)
    terminal.asks_which(handle)
    release.run("abort").check()
    run = handle.wait()
    assert run.rc == 2
    assert "was aborted by process" in message(run)
    assert release.aborted(2)
    assert terminal.as_before()


def test_the_end_of_the_countdown_ends_the_question(
    release: Release, terminal: Terminal
) -> None:
    release.deploy("1").check()
    handle = terminal.deploy(release, "2", auto_promotion_seconds=3)
    terminal.is_asked(handle)
    run = handle.wait().check()
    assert rollout_of(run)["phase"] == "Healthy"
    assert terminal.as_before()


@pytest.mark.parametrize("ends", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_ended_leaves_the_terminal_as_it_was(
    release: Release, terminal: Terminal, ends: signal.Signals
) -> None:
    """Invariant 6, and the next run goes on."""
    release.deploy("1").check()
    handle = terminal.deploy(release, "2", **FOREVER)
    terminal.is_asked(handle)
    assert not terminal.as_before()
    os.kill(handle.pid, ends)
    assert handle.wait().rc != 0
    eventually(terminal.as_before, 10, "the terminal as it was")
    eventually(lambda: not handle.processes(), 10, "no process left")
    directed_to_v1(release)
    release.run("promote").check()
    assert release.directed_to(ACTIVE) == 2


def test_in_the_background_nobody_is_asked(
    release: Release, terminal: Terminal
) -> None:
    """A job that was put into the background must not take the terminal away."""
    release.deploy("1").check()
    script = "import os, sys; os.setpgid(0, 0); os.execvp(sys.argv[1], sys.argv[1:])"
    background = (
        *terminal.prefix,
        # Without job control, a shell gives what it puts into the background no input.
        *("sh", "-c", 'exec 3<&0; "$0" "$@" <&3 & wait $!'),
        *(sys.executable, "-c", script),
    )
    run = release.start_deploy(
        "2", prefix=background, interactive=True, env=NO_AUTOMATION, **FOREVER
    ).wait()
    assert "runs in the background" in flat(run.check().stderr)
    directed_to_v1(release)
    assert terminal.as_before()
