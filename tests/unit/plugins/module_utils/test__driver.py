# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who drives, and the guard that ends a driver with its playbook."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import pwd
import signal
import socket
import subprocess
import sys
import time

import pytest

import ansible_collections.cutover.bluegreen.plugins.module_utils._driver as driver

COLLECTIONS = pathlib.Path(driver.__file__).parents[5]

# A playbook that starts a worker under the guard, and says who it is.
PLAYBOOK = """
import os, sys, time
if os.fork() == 0:
    if "session" in sys.argv:
        os.setsid()
    from ansible_collections.cutover.bluegreen.plugins.module_utils._driver import Guard
    with Guard(None):
        print(os.getpid(), flush=True)
        time.sleep(60)
time.sleep(60)
"""


def ended(pid: int, seconds: float = 10) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not driver.process_start(pid):
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("arguments", [[], ["session"]])
def test_a_worker_ends_with_its_playbook(arguments: list[str]) -> None:
    playbook = subprocess.Popen(
        [sys.executable, "-c", PLAYBOOK, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(COLLECTIONS)},
    )
    assert playbook.stdout is not None
    try:
        worker = int(playbook.stdout.readline())
        assert driver.process_start(worker)
    finally:
        playbook.send_signal(signal.SIGKILL)
        playbook.wait(10)
        playbook.stdout.close()
    assert ended(worker)


def test_a_guard_lets_a_living_playbook_be() -> None:
    alive = driver.holder_of(os.getpid(), "web", {})
    with driver.Guard(alive) as guard:
        guard.check()


def test_when_a_process_started() -> None:
    started = driver.process_start(os.getpid())
    assert started.isdigit()
    assert driver.process_start(os.getpid()) == started
    assert driver.process_start(2**22 + 1) == ""


def test_a_process_that_has_ended_drives_nothing() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    holder = driver.holder_of(child.pid, "web", {})
    assert not holder.is_gone()
    child.kill()
    # A zombie until it is waited for, and gone already.
    assert ended(child.pid)
    assert holder.is_gone()
    child.communicate(timeout=10)
    assert holder.is_gone()


def test_a_process_of_another_machine_is_never_known_to_be_gone() -> None:
    assert not driver.Holder("elsewhere", 1, "5", "web").is_gone()
    assert not driver.Holder(socket.gethostname(), 2**22 + 1, "", "web").is_gone()


@pytest.mark.parametrize("host", ["web", "", "a/b", "group 1/äö"])
def test_an_identity_is_read_back(host: str) -> None:
    holder = driver.Holder("node-1", 17, "4711", host)
    assert driver.Holder.from_identity(holder.identity()) == holder


@pytest.mark.parametrize("identity", ["", "a", "a/b/c/d", "a/1/2", "kube-scheduler_7"])
def test_the_identity_of_somebody_else(identity: str) -> None:
    assert driver.Holder.from_identity(identity) is None


def test_people_see_the_job() -> None:
    here = f"process {os.getpid()} on {socket.gethostname()}"
    for environment, display in (
        ({"JOB_ID": "7"}, "AWX job 7"),
        ({"AWX_JOB_ID": "8"}, "AWX job 8"),
        ({}, here),
    ):
        holder = driver.holder_of(os.getpid(), "web", environment)
        assert holder.display == display


def test_a_history_names_the_person_and_the_job() -> None:
    node = socket.gethostname()
    user = pwd.getpwuid(os.getuid()).pw_name
    for environment, job_user, person in (
        ({}, "", f"{user}@{node}"),
        ({"JOB_ID": "7"}, "alice", "alice (AWX job 7)"),
        ({"JOB_ID": "7"}, "", f"{user}@{node} (AWX job 7)"),
    ):
        holder = driver.holder_of(os.getpid(), "web", environment, job_user)
        assert holder.person == person
        assert driver.Holder.from_hand_over(holder.hand_over()) == holder


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    holder = driver.holder_of(os.getpid(), "web", {})
    assert holder.person == f"uid {os.getuid()}@{socket.gethostname()}"


def test_who_lives_here() -> None:
    here = driver.holder_of(os.getpid(), "web", {})
    assert here.lives_here() and not here.is_gone()
    assert not dataclasses.replace(here, started="1").lives_here()
    assert not dataclasses.replace(here, node="elsewhere").lives_here()
