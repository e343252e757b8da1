# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Invariant 7: one driver at a time."""

from __future__ import annotations

import functools
import json
import os
import pathlib
import signal
import subprocess
import sys
import typing as t
from datetime import datetime, timezone

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._api import Api
from ansible_collections.cutover.bluegreen.plugins.module_utils._auth import connect
from ansible_collections.cutover.bluegreen.plugins.module_utils._clock import (
    ServerClock,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._cluster import Cluster
from ansible_collections.cutover.bluegreen.plugins.module_utils._errors import Conflict
from ansible_collections.cutover.bluegreen.plugins.module_utils._lock import (
    RENEW_SECONDS,
)
from ansible_collections.cutover.bluegreen.tests.integration.support import session
from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
    Kube,
    Object,
    resource_path,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.manifests import (
    deployment,
    service,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.playbook import (
    Handle,
    Playbook,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.release import (
    ACTIVE,
    PREVIEW,
    Release,
    message,
    rollout_of,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.waiting import (
    ends_with_us,
    eventually,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.watcher import (
    Watcher,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.wire import Wire

# Longer than any test: what ends such a countdown is a decision.
LONG = 600
REPETITIONS = 50
WITH_ANSIBLE = 3
# Its pods never become ready, so that whoever drives it drives it for as long as is
# looked at.
ENDLESS: dict[str, t.Any] = {"ready": "never"}
# An identity as the collection writes it, of a machine that does not exist.
ELSEWHERE = "another-machine/4711/1/localhost"
DISPLAY = "AWX job 4711"


def lease_path(release: Release) -> str:
    return resource_path("leases", release.namespace, "bluegreen-web")


# -- at the same instant -------------------------------------------------------------


def race(
    kubeconfig: pathlib.Path, races: t.Sequence[t.Sequence[dict[str, t.Any]]]
) -> t.Iterator[dict[str, t.Any]]:
    """How each race ended; the run that drives lives until the next is asked for."""
    program = pathlib.Path(__file__).parent / "support" / "race.py"
    environment = {
        **os.environ,
        "KUBECONFIG": str(kubeconfig),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    with subprocess.Popen(
        ends_with_us([sys.executable, str(program)]),
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        print(json.dumps(races), file=process.stdin, flush=True)
        for _race in races:
            yield json.loads(process.stdout.readline())
            print(file=process.stdin, flush=True)


def options(name: str, namespace: str, version: str) -> dict[str, t.Any]:
    return {
        "name": name,
        "namespace": namespace,
        "definition": deployment(name, version=version, replicas=1, **ENDLESS),
        "active_service": service(name),
    }


def test_of_two_at_the_same_instant_one_drives(
    kube: Kube, account_kubeconfig: pathlib.Path, namespace: str
) -> None:
    """Fifty times: the other fails at once, names the first, and has written nothing.

    Every second time the lock was there before, let go by an earlier run.
    """
    count = REPETITIONS - WITH_ANSIBLE
    rollouts = [f"app-{number}" for number in range(count)]
    for name in rollouts[::2]:
        metadata = {"name": f"bluegreen-{name}", "namespace": namespace}
        free = {"metadata": metadata, "spec": {"holderIdentity": ""}}
        kube.create(resource_path("leases", namespace), free)

    def made(name: str) -> list[Object]:
        return kube.list(
            resource_path("deployments", namespace), f"cutover.bluegreen/rollout={name}"
        )

    races = [
        [options(name, namespace, version) for version in "12"] for name in rollouts
    ]
    ends = race(account_kubeconfig, races)
    for name, end in zip(rollouts, ends, strict=True):
        ((driver,), (loser,)) = end["driving"], end["ended"]
        assert loser["failed"]
        assert (
            f"{namespace}/{name} is being driven by process {driver}" in (loser["msg"])
        ), end
        path = resource_path("leases", namespace, f"bluegreen-{name}")
        holder = kube.get(path)["spec"]["holderIdentity"]
        assert holder.split("/")[1] == str(driver)
        found = eventually(functools.partial(made, name), 60, "a revision")
        assert len(found) == 1


@pytest.mark.parametrize("_repetition", range(WITH_ANSIBLE))
def test_of_two_playbooks_at_the_same_instant_one_drives(
    release: Release, watcher: t.Callable[..., Watcher], _repetition: int
) -> None:
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    handles = [release.start_deploy(v, steering=ENDLESS) for v in ("2", "3")]
    eventually(lambda: not all(h.running for h in handles), 60, "the first end")
    (driver,) = [h for h in handles if h.running]
    (loser,) = [h for h in handles if not h.running]
    run = loser.wait()
    assert run.rc == 2
    assert f"is being driven by process {driver.pid}" in message(run)
    assert sorted(release.sizes()) == [1, 2]
    assert release.holder().split("/")[1] == str(driver.pid)
    driver.kill_tree()
    assert seen.revisions_seen(ACTIVE) == [release.hash_of(1)]


# -- who is alive --------------------------------------------------------------------


def held_elsewhere(release: Release) -> Object:
    """Write the lock as a run on another machine would have it."""
    lease: Object = release.kube.get(lease_path(release))
    lease["spec"]["holderIdentity"] = ELSEWHERE
    lease["metadata"]["annotations"]["cutover.bluegreen/holder"] = DISPLAY
    release.kube.replace(lease_path(release), lease)
    return lease


def looks(wire: Wire) -> bool:
    """Whether somebody waits to see a holder renew."""
    return any(r.verb == "watch" and r.resource == "leases" for r in wire.requests)


def test_a_live_holder_is_named_after_one_renewal(
    release: Release, wire: t.Callable[..., Wire]
) -> None:
    release.deploy("1").check()
    held_elsewhere(release)
    sent = wire()
    handle = release.start_deploy("2")
    eventually(lambda: looks(sent), 60, "a look at the lock")
    release.kube.patch(
        lease_path(release), {"spec": {"renewTime": "2026-01-01T00:00:00.000000Z"}}
    )
    run = handle.wait()
    assert f"is being driven by {DISPLAY}" in message(run)
    assert sent.writes == []
    assert sorted(release.sizes()) == [1]
    assert release.holder() == ELSEWHERE


def fence_of(item: Object) -> int:
    annotations = item["metadata"].get("annotations") or {}
    return int(annotations.get("cutover.bluegreen/fence", 0))


def test_a_holder_that_is_not_seen_renewing_is_taken_over(release: Release) -> None:
    """However new its clock says that its last renewal is."""
    release.deploy("1").check()
    lease = held_elsewhere(release)
    lease = release.kube.get(lease_path(release))
    lease["spec"]["renewTime"] = "2099-01-01T00:00:00.000000Z"
    release.kube.replace(lease_path(release), lease)
    before = fence_of(release.revisions()[1])
    run = release.deploy("2").check()
    said = " ".join(run.stderr.split())
    rollout = f"{release.namespace}/web"
    assert f"The run that drove {rollout} ({DISPLAY}) is gone; this run took" in said
    assert f"took over from {DISPLAY}, which is gone" in run.stdout
    assert rollout_of(run)["phase"] == "Healthy"
    for item in (*release.revisions().values(), release.service(ACTIVE)):
        assert fence_of(item) == before + 1
    assert release.holder() == ""


# -- a holder that wakes up ----------------------------------------------------------


def stop(handle: Handle) -> None:
    for pid in handle.processes():
        os.kill(pid, signal.SIGSTOP)


def wake(handle: Handle) -> None:
    for pid in handle.processes():
        os.kill(pid, signal.SIGCONT)


def test_a_holder_that_wakes_up_after_a_takeover_does_nothing(
    release: Release, watcher: t.Callable[..., Watcher], wire: t.Callable[..., Wire]
) -> None:
    """Its countdown is over by then: it would promote what was superseded."""
    release.deploy("1").check()
    seen = watcher(ACTIVE, PREVIEW)
    asleep = release.start_deploy("2", auto_promotion_seconds=20)
    release.pauses(asleep)
    ends = datetime.fromisoformat(release.record()["next-at"].replace("Z", "+00:00"))
    eventually(lambda: "is promoted by itself at" in asleep.stdout, 60, "its wait")
    stop(asleep)
    run = release.deploy("3", auto_promotion_seconds=LONG, wait="detach").check()
    assert f"took over from process {asleep.pid} on" in run.stdout
    assert release.directed_to(PREVIEW) == 3
    eventually(lambda: datetime.now(timezone.utc) > ends, 60, "its end")
    sent = wire()
    wake(asleep)
    ended = asleep.wait()
    assert ended.rc == 2
    said = message(ended)
    assert "was taken over by process" in said or "could not be renewed" in said
    # What it still sends about the lock is refused.
    assert [w for w in sent.writes if w.code < 400] == []
    assert release.directed_to(ACTIVE) == 1
    assert release.directed_to(PREVIEW) == 3
    release.run("promote").check()
    assert release.directed_to(ACTIVE) == 3
    hashes = [release.hash_of(1), release.hash_of(3)]
    assert seen.revisions_seen(ACTIVE) == hashes
    seen.assert_never_below(ACTIVE, 2)
    seen.assert_never_mixed(ACTIVE)


def loaded(cluster: session.Cluster, namespace: str) -> Cluster:
    """The core's view of the rollout, as a run has it that has just looked."""
    connection = connect({"kubeconfig": str(cluster.kubeconfig)}, {})
    clock = ServerClock()
    view = Cluster(Api(connection, clock), clock, namespace, "web")
    view.load()
    return view


def test_each_write_of_a_holder_that_was_taken_over_conflicts(
    release: Release, cluster: session.Cluster
) -> None:
    """The fence: also a write that was decided before the takeover and is sent after
    it, when no look at the lock can keep it back.
    """
    release.deploy("1").check()
    release.deploy("2", auto_promotion_enabled=False).check()
    stale = loaded(cluster, release.namespace)
    loaded(cluster, release.namespace).raise_fence()
    before = release.record(), release.sizes(), release.service(ACTIVE)["spec"]
    seen = stale.observe()
    second = seen.revision(release.hash_of(2))
    assert second is not None
    writes: dict[str, t.Callable[[], object]] = {
        "cutover": lambda: stale.point(ACTIVE, second.hash),
        "preview": lambda: stale.point(PREVIEW, release.hash_of(1)),
        "scale": lambda: stale.scale(second, 5),
        "abort": lambda: stale.mark_aborted(second),
        "record": lambda: stale.write_record(seen.record),
    }
    for name, write in writes.items():
        with pytest.raises(Conflict):
            write()
            pytest.fail(f"the write of {name} was not refused")
    assert before == (
        release.record(),
        release.sizes(),
        release.service(ACTIVE)["spec"],
    )


# -- the tasks of a play -------------------------------------------------------------


def play_in_two_tasks(
    release: Release, playbook: Playbook, go_on: pathlib.Path
) -> Handle:
    """Start V2, wait for a file as for some task of the user's own, then promote."""
    identity = {"name": "web", "namespace": release.namespace}
    started = {
        **identity,
        "definition": deployment("web", version="2", replicas=2),
        "active_service": service(ACTIVE),
        "preview_service": service(PREVIEW, selector={"app": "web"}),
        # A task could go on after the promotion: the play keeps the lock.
        "scale_down_delay_seconds": LONG,
    }
    tasks: list[dict[str, t.Any]] = [
        {"cutover.bluegreen.bluegreen_rollout": started, "register": "started"},
        {"ansible.builtin.wait_for": {"path": str(go_on), "timeout": 100}},
        {
            "cutover.bluegreen.bluegreen_promote": {
                **identity,
                "revision": "{{ started.rollout.target.hash }}",
            }
        },
    ]
    handle = playbook.start(
        {"hosts": "localhost", "gather_facts": False, "tasks": tasks},
        env={"PYTHONUNBUFFERED": "1"},
    )
    eventually(lambda: handle.results, 60, "the end of the first task")
    return handle


def renewal_is_due(release: Release) -> bool:
    renewed = release.kube.get(lease_path(release))["spec"]["renewTime"]
    age = datetime.now(timezone.utc) - datetime.fromisoformat(renewed)
    # The collection reads the server's time off a header, to the second.
    return age.total_seconds() > RENEW_SECONDS + 1


def test_another_job_does_not_come_between_the_tasks_of_a_play(
    release: Release,
    playbook: Playbook,
    tmp_path: pathlib.Path,
    wire: t.Callable[..., Wire],
) -> None:
    """It sees the first one go on, and fails; what was started is what is promoted."""
    release.deploy("1").check()
    go_on = tmp_path / "go-on"
    first = play_in_two_tasks(release, playbook, go_on)
    sent = wire()
    second = release.start_deploy("3")
    eventually(lambda: looks(sent), 60, "a look at the lock")
    # What is as new as the next renewal would be is not renewed.
    eventually(lambda: renewal_is_due(release), 30, "a renewal that is due")
    go_on.touch()
    assert f"is being driven by process {first.pid}" in message(second.wait())
    run = first.wait().check()
    assert rollout_of(run)["active"]["revision"] == 2
    assert release.directed_to(ACTIVE) == 2
    assert sorted(release.sizes()) == [1, 2]


def test_what_came_between_is_not_promoted_by_the_play(
    release: Release, playbook: Playbook, tmp_path: pathlib.Path
) -> None:
    """Where the first one is not seen for a whole lease, the other takes over; the
    first one then refuses to promote what it has not started.
    """
    release.deploy("1").check()
    go_on = tmp_path / "go-on"
    first = play_in_two_tasks(release, playbook, go_on)
    other = release.deploy("3", auto_promotion_seconds=LONG, wait="detach").check()
    assert f"took over from process {first.pid}" in other.stdout
    go_on.touch()
    run = first.wait()
    assert run.rc == 2
    assert "another release came between" in message(run)
    assert release.directed_to(ACTIVE) == 1
    assert release.directed_to(PREVIEW) == 3
    assert release.phase() == "Paused"
