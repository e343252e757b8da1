# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Running ansible-playbook as a user does: from an empty folder, nothing inherited."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import typing as t
import uuid

import pytest

SUPPORT = pathlib.Path(__file__).resolve().parent
# Beside the interpreter as it was called: in a virtual environment that is a link.
BIN = pathlib.Path(sys.executable).parent
MARKER = "BLUEGREEN_TEST_RUN"

Play = t.Mapping[str, t.Any]


@dataclasses.dataclass(frozen=True)
class TaskResult:
    """One task on one host; `status` is ok, failed, skipped or unreachable."""

    host: str
    task: str
    action: str
    status: str
    ignored: bool
    result: dict[str, t.Any]

    @property
    def changed(self) -> bool:
        return bool(self.result.get("changed"))


@dataclasses.dataclass(frozen=True)
class Run:
    """An ansible-playbook that has ended."""

    rc: int
    stdout: str
    stderr: str
    results: list[TaskResult]
    recap: dict[str, dict[str, int]]
    folder: pathlib.Path

    @property
    def changed(self) -> bool:
        return any(host["changed"] for host in self.recap.values())

    def of(self, action: str) -> list[TaskResult]:
        """Return the results of one module, named with or without its collection."""
        name = action.rpartition(".")[2]
        return [r for r in self.results if r.action.rpartition(".")[2] == name]

    def check(self) -> Run:
        """Fail the test unless the playbook succeeded."""
        if self.rc != 0:
            pytest.fail(f"ansible-playbook ended with {self.rc}\n{self}")
        return self

    def __str__(self) -> str:
        return f"--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"


class Handle:
    """An ansible-playbook that may still run."""

    def __init__(
        self,
        command: t.Sequence[str],
        base: pathlib.Path,
        environment: t.Mapping[str, str],
        timeout: float,
    ) -> None:
        self._run_id = uuid.uuid4().hex
        self._base = base
        self._results = base / "results"
        self._deadline = time.monotonic() + timeout
        self._timeout = timeout
        self.folder = base / "work"
        environment = {
            **environment,
            MARKER: self._run_id,
            "BLUEGREEN_TEST_RESULTS": str(self._results),
        }
        with (base / "stdout").open("wb") as out, (base / "stderr").open("wb") as err:
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def stdout(self) -> str:
        """What was printed so far."""
        return (self._base / "stdout").read_text(errors="replace")

    @property
    def stderr(self) -> str:
        return (self._base / "stderr").read_text(errors="replace")

    @property
    def results(self) -> list[TaskResult]:
        """The results so far."""
        return [TaskResult(**x) for x in self._lines() if "recap" not in x]

    def _lines(self) -> list[dict[str, t.Any]]:
        if not self._results.exists():
            return []
        lines = self._results.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def wait(self) -> Run:
        """Wait for the end, at most until the run's timeout."""
        try:
            rc = self._process.wait(max(0, self._deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.kill_tree()
            pytest.fail(
                f"ansible-playbook did not end within {self._timeout} s\n"
                f"--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"
            )
        recaps = [x["recap"] for x in self._lines() if "recap" in x]
        return Run(
            rc=rc,
            stdout=self.stdout,
            stderr=self.stderr,
            results=self.results,
            recap=recaps[-1] if recaps else {},
            folder=self.folder,
        )

    def processes(self) -> list[int]:
        """Return every living process of this run, in whatever session or group."""
        wanted = f"{MARKER}={self._run_id}".encode()
        return [pid for pid in _pids() if wanted in _environment(pid)]

    def kill_group(self) -> None:
        """SIGKILL ansible-playbook's process group only, as cancelling a job does."""
        os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def kill_tree(self) -> None:
        """SIGKILL ansible-playbook and every descendant, wherever it went."""
        # A process may fork between the look and the kill: look until none is left.
        while pids := self.processes():
            for pid in sorted(pids, key=lambda pid: pid != self.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.poll()
        self._process.wait()


class Playbook:
    """Runs ansible-playbook against one cluster with the installed collection."""

    def __init__(
        self,
        tmp: pathlib.Path,
        kubeconfig: pathlib.Path | None,
        collections: pathlib.Path | None,
    ) -> None:
        self._tmp = tmp
        self._kubeconfig = kubeconfig
        self._collections = collections
        self._count = itertools.count(1)
        self._handles: list[Handle] = []

    def __call__(self, *arguments: t.Any, **options: t.Any) -> Run:
        """Run to the end; the parameters are those of start()."""
        return self.start(*arguments, **options).wait()

    def start(
        self,
        playbook: str | Play | t.Sequence[Play],
        extra_vars: t.Mapping[str, t.Any] | None = None,
        *,
        args: t.Sequence[str] = (),
        inventory: str | t.Mapping[str, t.Any] | None = None,
        env: t.Mapping[str, str | None] | None = None,
        files: t.Mapping[str, str] | None = None,
        path: t.Literal["action", "module"] = "action",
        prefix: t.Sequence[str] = (),
        timeout: float = 120,
    ) -> Handle:
        """Start a playbook: its name, or its play or plays.

        `extra_vars` keep their types. `inventory` is what `-i` takes, or a mapping as
        in a YAML inventory. In `env`, None takes a variable away. `files` are made in
        the working folder, which is otherwise empty. `path` chooses whether the action
        plugins do the work themselves or hand over to their modules. `prefix` is a
        program that executes its arguments.
        """
        base = self._tmp / f"run-{next(self._count)}"
        work = base / "work"
        for folder in (base / "home", work):
            folder.mkdir(parents=True)
        for name, text in (files or {}).items():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_text(text)

        command = [str(BIN / "ansible-playbook")]
        command.append(_playbook_argument(playbook, base))
        command += _inventory_arguments(inventory, base)
        variables = dict(extra_vars or {})
        if path == "module":
            variables["ansible_connection"] = "forced_module"
        if variables:
            command += ["-e", "@" + _json_file(base / "vars.json", variables)]
        environment = self._environment(base)
        for key, value in (env or {}).items():
            if value is None:
                environment.pop(key, None)
            else:
                environment[key] = value
        handle = Handle([*prefix, *command, *args], base, environment, timeout)
        self._handles.append(handle)
        return handle

    def _environment(self, base: pathlib.Path) -> dict[str, str]:
        home = base / "home"
        environment = {
            "PATH": os.pathsep.join([str(BIN), os.environ.get("PATH", os.defpath)]),
            "HOME": str(home),
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_HOME": str(home / ".ansible"),
            "ANSIBLE_LOCAL_TEMP": str(home / "local-tmp"),
            "ANSIBLE_REMOTE_TEMP": str(home / "remote-tmp"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_CALLBACKS_ENABLED": "results_lines",
            "ANSIBLE_CALLBACK_PLUGINS": str(SUPPORT / "callback_plugins"),
            "ANSIBLE_CONNECTION_PLUGINS": str(SUPPORT / "connection_plugins"),
            # The interpreter that has `kubernetes`, for modules on any host.
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        }
        if self._collections is not None:
            environment["ANSIBLE_COLLECTIONS_PATH"] = str(self._collections)
        if self._kubeconfig is not None:
            environment["KUBECONFIG"] = str(self._kubeconfig)
        return environment

    def end(self) -> None:
        """Leave no process behind."""
        for handle in self._handles:
            handle.kill_tree()


def _playbook_argument(
    playbook: str | Play | t.Sequence[Play], base: pathlib.Path
) -> str:
    if isinstance(playbook, str):
        return playbook
    plays = [playbook] if isinstance(playbook, t.Mapping) else list(playbook)
    # JSON is YAML.
    return _json_file(base / "play.yml", plays)


def _inventory_arguments(
    inventory: str | t.Mapping[str, t.Any] | None, base: pathlib.Path
) -> list[str]:
    if inventory is None:
        return []
    if isinstance(inventory, str):
        return ["-i", inventory]
    return ["-i", _json_file(base / "inventory.yml", inventory)]


def _json_file(path: pathlib.Path, content: t.Any) -> str:
    path.write_text(json.dumps(content, indent=2))
    return str(path)


def _pids() -> t.Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _environment(pid: int) -> list[bytes]:
    # A zombie's reads as empty; another user's is not ours to read.
    try:
        return pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []
