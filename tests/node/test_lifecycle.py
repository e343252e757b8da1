# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The real node comes and goes, and the machine is as it was before."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import typing as t

import node
import pytest
import toolbox
from machine import BRIDGE, Before

from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
    Kube,
    resource_path,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.session import (
    NODE_SCRIPT,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.waiting import (
    eventually,
)
from ansible_collections.cutover.bluegreen.tests.node.support import application


class Script:
    """node.py with a state folder of the test's own."""

    def __init__(self, state: pathlib.Path) -> None:
        self.state = state
        self._environment = {**os.environ, "XDG_STATE_HOME": str(state)}

    def home(self, name: str) -> pathlib.Path:
        return self.state / "cutover-bluegreen" / node.GROUP / name

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(NODE_SCRIPT), *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str) -> str:
        """Return its output; fail the test if it fails."""
        code, out, err = self._run(*arguments)
        assert code == 0, err
        return out.strip()

    def refused(self, *arguments: str) -> str:
        """Return what it says to be unable to; fail the test if it succeeds."""
        code, out, err = self._run(*arguments)
        assert code == 1, out + err
        return err

    def _run(self, *arguments: str) -> tuple[int, str, str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=600)
        return process.returncode, out, err


@pytest.fixture
def script(machine: None) -> t.Iterator[Script]:
    """Run node.py; fail unless the machine is at last as it was at first."""
    box = toolbox.toolbox()
    before = Before.of(box)
    # A path short enough for sockets, as tmp_path's is not.
    with tempfile.TemporaryDirectory(prefix="bg-") as folder:
        run = Script(pathlib.Path(folder))
        try:
            yield run
        finally:
            home = node.claimed()
            if home is not None and home.is_relative_to(run.state):
                run("down", f"--name={home.name}")
    assert node.leftovers() == []
    assert Before.of(box) == before


def serves(kubeconfig: str) -> None:
    kube = Kube(pathlib.Path(kubeconfig))
    application.run(kube, "default", application.application(replicas=1))


def test_up_twice_and_a_second_one(script: Script) -> None:
    kubeconfig = script("up", "--name=one")
    serves(kubeconfig)
    assert script("up", "--name=one") == kubeconfig
    refusal = script.refused("up", "--name=two")
    assert "one real node is in use by the cluster one" in refusal
    assert "node.py down --name=one" in refusal
    assert "Traceback" not in refusal
    assert len(Kube(pathlib.Path(kubeconfig)).list(resource_path("nodes"))) == 1


def test_it_ends_with_its_process(script: Script) -> None:
    owner = subprocess.Popen(["sleep", "600"])
    try:
        serves(script("up", "--name=owned", f"--end-with={owner.pid}"))
        assert node.leftovers() != []
    finally:
        owner.kill()
        owner.wait()
    eventually(lambda: node.leftovers() == [], 30, "the end of the node")
    assert not script.home("owned").exists()


def test_what_a_killed_start_left_is_cleaned_up(script: Script) -> None:
    starter = script.start("up", "--name=killed")
    log = script.home("killed") / "kube-proxy.log"
    eventually(log.exists, 60, "the start of kube-proxy")
    starter.kill()
    starter.communicate()
    assert not (script.home("killed") / "kubeconfig").exists()
    assert any("bridge" in left for left in node.leftovers())
    serves(script("up", "--name=next"))
    assert not script.home("killed").exists()


def test_what_a_dead_node_left_is_cleaned_up(script: Script) -> None:
    serves(script("up", "--name=dead"))
    (first,) = (pid for pid in node.inits(script.home("dead")) if node.is_first(pid))
    os.kill(first, 9)
    eventually(lambda: not node.inits(script.home("dead")), 30, "its processes' end")
    serves(script("up", "--name=dead"))


def asked(code: str = "", **env: str) -> str:
    """Ask a process of its own, that has done something before, what is in the way."""
    lines = f"import os, toolbox\n{code}\nprint(toolbox.unavailable())"
    environment = {**os.environ, "PYTHONPATH": str(NODE_SCRIPT.parent), **env}
    command = [sys.executable, "-c", lines]
    return subprocess.check_output(command, env=environment, text=True).strip()


def test_somebody_elses_bridge_is_left_alone(script: Script) -> None:
    subprocess.run(["ip", "link", "add", BRIDGE, "type", "bridge"], check=True)
    try:
        assert f"an interface {BRIDGE} that no node" in script.refused("up")
        assert pathlib.Path("/sys/class/net", BRIDGE).exists()
    finally:
        subprocess.run(["ip", "link", "delete", BRIDGE], check=True)


def test_a_machine_that_was_started_anew(script: Script) -> None:
    """Its state folder is still there, all else is not."""
    script("up", "--name=rebooted")
    home = script.home("rebooted")
    kept = {
        name: (home / name).read_bytes() for name in ("before.json", "processes.json")
    }
    script("down", "--name=rebooted")
    home.mkdir()
    for name, content in kept.items():
        (home / name).write_bytes(content)
    serves(script("up", "--name=rebooted"))


def test_without_root_it_says_so() -> None:
    assert asked("os.seteuid(65534)").startswith("a real node needs root")


def test_without_packages_it_says_so(machine: None, tmp_path: pathlib.Path) -> None:
    for program in ("go", "ip", "mount", "nsenter", "openssl", "unshare"):
        (tmp_path / program).symlink_to(str(shutil.which(program)))
    # Debian's own folders would be looked at, too.
    code = "toolbox.SYSTEM_FOLDERS = ()"
    said = asked(code, PATH=str(tmp_path), XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert "there is no apt-get and dpkg to get the package containerd by" in said
