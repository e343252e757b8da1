# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the other tests take for granted: the embedded cluster, and their witnesses."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import tempfile
import time
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.tests.integration.support import session
from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
    ApiError,
    Kube,
    Object,
    resource_path,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.manifests import (
    deployment,
    service,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.playbook import (
    Playbook,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.waiting import (
    eventually,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.watcher import (
    Watcher,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.wire import Wire

Pods = t.Callable[..., list[Object]]


@pytest.fixture
def embedded(cluster: session.Cluster) -> session.Cluster:
    if not cluster.embedded:
        pytest.skip("this is about the embedded cluster")
    return cluster


@pytest.fixture
def pods(embedded: session.Cluster, kube: Kube, namespace: str) -> Pods:
    """Create a Deployment; return its pods as soon as KWOK has started them all."""

    def create(**options: t.Any) -> list[Object]:
        manifest = deployment("web", replicas=2, **options)
        kube.create(resource_path("deployments", namespace), manifest)
        return eventually(started, 10, "two started pods")

    def started() -> list[Object]:
        found = kube.list(resource_path("pods", namespace))
        addresses = {pod["status"].get("podIP") for pod in found} - {None}
        return found if len(addresses) == 2 else []

    return create


def ready(pod: Object) -> bool:
    (condition,) = [c for c in pod["status"]["conditions"] if c["type"] == "Ready"]
    return bool(condition["status"] == "True")


def waiting_reason(pod: Object) -> str:
    (container,) = pod["status"]["containerStatuses"]
    return str(container["state"].get("waiting", {}).get("reason", ""))


def latest(kube: Kube, pod: Object) -> Object:
    metadata = pod["metadata"]
    return kube.get(resource_path("pods", metadata["namespace"], metadata["name"]))


def test_pods_are_ready_at_once(pods: Pods, kube: Kube, namespace: str) -> None:
    assert all(ready(pod) for pod in pods())
    web = resource_path("deployments", namespace, "web")
    eventually(
        lambda: kube.get(web)["status"].get("availableReplicas") == 2, 10, "available"
    )


def test_ready_after(pods: Pods, kube: Kube) -> None:
    created = pods(ready_after="700ms")
    seen = time.monotonic()
    assert not any(ready(pod) for pod in created)
    # A write to the pod does not start the delay again.
    for pod in created:
        metadata = pod["metadata"]
        path = resource_path("pods", metadata["namespace"], metadata["name"])
        kube.patch(path, {"metadata": {"labels": {"touched": "yes"}}})
    eventually(lambda: all(ready(latest(kube, pod)) for pod in created), 5, "ready")
    assert time.monotonic() - seen < 0.7 + 0.5
    (condition,) = [
        c
        for c in latest(kube, created[0])["status"]["conditions"]
        if c["type"] == "Ready"
    ]
    assert "message" not in condition
    assert "reason" not in condition


def test_unready_after(pods: Pods, kube: Kube) -> None:
    created = pods(unready_after="500ms")
    assert all(ready(pod) for pod in created)
    eventually(
        lambda: not any(ready(latest(kube, pod)) for pod in created), 5, "not ready"
    )


@pytest.mark.parametrize(
    ("steering", "phase", "reason"),
    [
        ({"ready": "never"}, "Running", ""),
        ({"crash": "true"}, "Running", "CrashLoopBackOff"),
        ({"image_pull": "fail"}, "Pending", "ImagePullBackOff"),
    ],
)
def test_never_ready(
    pods: Pods, kube: Kube, steering: dict[str, str], phase: str, reason: str
) -> None:
    for pod in pods(**steering):
        assert not ready(pod)
        assert pod["status"]["phase"] == phase
        assert waiting_reason(pod) == reason
        (container,) = pod["status"]["containerStatuses"]
        assert container["restartCount"] == (3 if "crash" in steering else 0)


def test_pods_go_when_deleted(pods: Pods, kube: Kube, namespace: str) -> None:
    pods(ready="never")
    kube.delete(resource_path("deployments", namespace, "web"))
    eventually(lambda: not kube.list(resource_path("pods", namespace)), 10, "no pod")


def test_job_completes(embedded: session.Cluster, kube: Kube, namespace: str) -> None:
    template = deployment("once")["spec"]["template"]
    template["spec"]["restartPolicy"] = "Never"
    job = {"metadata": {"name": "once"}, "spec": {"template": template}}
    kube.create(resource_path("jobs", namespace), job)
    path = resource_path("jobs", namespace, "once")
    eventually(lambda: kube.get(path)["status"].get("succeeded") == 1, 10, "a success")


def test_wire_tells_writes_from_reads(
    cluster: session.Cluster, namespace: str, wire: t.Callable[..., Wire]
) -> None:
    user = Kube(cluster.kubeconfig, agent="somebody")
    configmaps = resource_path("configmaps", namespace)
    body = {"metadata": {"name": "x"}}
    sent = wire()
    user.create(configmaps, body, dryRun="All")
    user.create(configmaps, body)
    user.list(configmaps)
    with pytest.raises(ApiError):
        user.create(configmaps, body)
    written = [(r.verb, r.resource, r.code) for r in sent.writes]
    assert written == [("create", "configmaps", 201), ("create", "configmaps", 409)]
    assert [(r.verb, r.dry_run) for r in sent.reads] == [
        ("create", True),
        ("list", False),
    ]
    assert {(r.user, r.user_agent) for r in sent.requests} == {("admin", "somebody")}
    sent.mark()
    assert sent.requests == []


def test_wire_leaves_out_the_tests_and_the_components(
    pods: Pods, wire: t.Callable[..., Wire]
) -> None:
    sent = wire()
    pods()
    assert sent.requests == []


def test_certificate_context(embedded: session.Cluster) -> None:
    user = Kube(embedded.kubeconfig, context="certificate").create(
        "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}
    )["status"]["userInfo"]
    assert user["username"] == "admin"
    assert "system:masters" in user["groups"]


def test_restricted_account(
    kube: Kube,
    namespace: str,
    restricted_kubeconfig: t.Callable[..., pathlib.Path],
) -> None:
    user = Kube(restricted_kubeconfig({"deployments": ["list"]}))
    assert user.list(resource_path("deployments", namespace)) == []
    with pytest.raises(ApiError) as caught:
        user.list(resource_path("services", namespace))
    assert caught.value.code == 403


def test_wire_sees_a_watch_that_goes_on(
    cluster: session.Cluster, namespace: str, wire: t.Callable[..., Wire]
) -> None:
    sent = wire()
    user = Kube(cluster.kubeconfig, agent="somebody")
    response = user.open_watch(resource_path("pods", namespace), {})
    assert [(r.verb, r.resource, r.code) for r in sent.reads] == [
        ("watch", "pods", 200)
    ]
    response.close()


def make_revision(kube: Kube, namespace: str, revision: str) -> None:
    labels = {"app": "web", "cutover.bluegreen/revision-hash": revision}
    manifest = deployment(f"web-{revision}", replicas=2, labels=labels)
    kube.create(resource_path("deployments", namespace), manifest)


def select(kube: Kube, namespace: str, revision: str | None) -> None:
    """Point Service web at one revision, or at both."""
    selector = {"cutover.bluegreen/revision-hash": revision}
    path = resource_path("services", namespace, "web")
    kube.patch(path, {"spec": {"selector": selector}})


def ready_pods(watcher: Watcher) -> int:
    moments = watcher.moments("web")
    return len(moments[-1].ready) if moments else 0


def test_watcher_sees_a_clean_flip(
    kube: Kube, namespace: str, watcher: t.Callable[..., Watcher]
) -> None:
    make_revision(kube, namespace, "aaa")
    kube.create(resource_path("services", namespace), service("web"))
    select(kube, namespace, "aaa")
    seen = watcher("web")
    eventually(lambda: ready_pods(seen) == 2, 20, "version 1 ready")
    make_revision(kube, namespace, "bbb")
    available = resource_path("deployments", namespace, "web-bbb")
    eventually(
        lambda: kube.get(available)["status"].get("availableReplicas") == 2, 20, "V2"
    )
    select(kube, namespace, "bbb")
    eventually(lambda: seen.revisions_seen("web")[-1] == "bbb", 20, "the flip")
    seen.assert_never_mixed("web")
    seen.assert_never_below("web", 2)
    assert seen.revisions_seen("web") == ["aaa", "bbb"]

    kube.delete(resource_path("deployments", namespace, "web-bbb"))
    eventually(lambda: ready_pods(seen) == 0, 20, "the loss")
    assert seen.min_ready("web") == 0
    with pytest.raises(AssertionError, match=r"below 2"):
        seen.assert_never_below("web", 2)


def test_watcher_sees_a_mixed_service(
    kube: Kube, namespace: str, watcher: t.Callable[..., Watcher]
) -> None:
    seen = watcher("web")
    kube.create(resource_path("services", namespace), service("web"))
    make_revision(kube, namespace, "aaa")
    make_revision(kube, namespace, "bbb")
    eventually(lambda: ready_pods(seen) == 4, 20, "four ready pods")
    assert set(seen.revisions_seen("web")) == {"aaa", "bbb"}
    with pytest.raises(AssertionError, match="listed two revisions"):
        seen.assert_never_mixed("web")


def cluster_script(folder: pathlib.Path, *arguments: str, **env: str) -> str:
    """Run cluster.py with a state folder of the test's own."""
    environment = {**os.environ, "XDG_STATE_HOME": str(folder), **env}
    environment.pop("KUBECONFIG", None)
    return session.run_cluster_script(
        *arguments, env=environment, stderr=subprocess.PIPE
    )


def runs(pid: int) -> bool:
    """Tell whether there is such a process; a zombie has no command line."""
    try:
        return bool(pathlib.Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return False


def answers(kubeconfig: str) -> bool:
    return bool(Kube(pathlib.Path(kubeconfig)).get("/version")["major"])


@pytest.fixture
def short_folder() -> t.Iterator[pathlib.Path]:
    """Make a folder with a path short enough for sockets, as tmp_path's is not."""
    with tempfile.TemporaryDirectory(prefix="bg-") as folder:
        yield pathlib.Path(folder)


def test_up_is_idempotent_and_down_ends_one(
    embedded: session.Cluster, short_folder: pathlib.Path
) -> None:
    state = short_folder
    try:
        first = cluster_script(
            state, "up", "--name=other", "--nodes=1", f"--end-with={os.getpid()}"
        )
        kubeconfig = first.strip()
        recorded = json.loads(
            pathlib.Path(kubeconfig).with_name("processes.json").read_text()
        )
        assert cluster_script(state, "up", "--name=other") == first
        assert answers(kubeconfig)
        assert answers(str(embedded.kubeconfig))
        assert len(Kube(pathlib.Path(kubeconfig)).list(resource_path("nodes"))) == 1
    finally:
        cluster_script(state, "down", "--name=other")
    assert not pathlib.Path(kubeconfig).exists()
    for process in recorded:
        assert not runs(process["pid"]), process
    assert answers(str(embedded.kubeconfig))


def test_a_cluster_ends_with_its_process(
    embedded: session.Cluster, short_folder: pathlib.Path
) -> None:
    owner = subprocess.Popen(["sleep", "600"])
    try:
        kubeconfig = cluster_script(
            short_folder, "up", "--name=owned", "--nodes=0", f"--end-with={owner.pid}"
        ).strip()
        assert answers(kubeconfig)
    finally:
        owner.kill()
        owner.wait()
    home = pathlib.Path(kubeconfig).parent
    eventually(lambda: not home.exists(), 20, "the end of the cluster")


def test_a_component_that_dies_is_shown(
    embedded: session.Cluster, short_folder: pathlib.Path
) -> None:
    # A stand-in for `openssl` whose certificates are none.
    tools = short_folder / "tools"
    tools.mkdir()
    (tools / "openssl").write_text(
        "#!/bin/sh\nexec touch ca.crt admin.crt admin.key server.crt server.key\n"
    )
    (tools / "openssl").chmod(0o755)
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    with pytest.raises(subprocess.CalledProcessError) as caught:
        cluster_script(short_folder, "up", "--name=broken", PATH=path)
    cluster_script(short_folder, "down", "--name=broken")
    assert "kube-apiserver ended at its start" in caught.value.stderr
    assert "Traceback" not in caught.value.stderr


def test_up_with_kubeconfig_starts_nothing() -> None:
    output = session.run_cluster_script(
        "up", env={**os.environ, "KUBECONFIG": "/somewhere/config"}
    )
    assert output == "/somewhere/config\n"


PLAY = {
    "hosts": "localhost",
    "gather_facts": False,
    "tasks": [
        {"name": "Say it", "ansible.builtin.debug": {"msg": "{{ word }}"}},
        {"name": "Ping", "ansible.builtin.ping": {}},
        {"name": "Skip", "ansible.builtin.ping": {}, "when": False},
        {
            "name": "Fail",
            "ansible.builtin.command": {"argv": ["/bin/false"]},
            "ignore_errors": True,
        },
    ],
}


@pytest.mark.lane
def test_playbook_results(
    playbook: Playbook, path: t.Literal["action", "module"]
) -> None:
    run = playbook(PLAY, {"word": ["typed", 1]}, path=path).check()
    assert [r.status for r in run.results] == ["ok", "ok", "skipped", "failed"]
    assert run.of("ansible.builtin.debug")[0].result["msg"] == ["typed", 1]
    assert run.of("ping")[0].result["ping"] == "pong"
    assert run.results[-1].ignored
    assert run.recap["localhost"]["failures"] == 0
    assert "Say it" in run.stdout
    assert list(run.folder.iterdir()) == []


def test_kill_tree_leaves_nothing(playbook: Playbook) -> None:
    # `setsid` leaves the session, as a worker does.
    sleep = {"ansible.builtin.command": {"argv": ["setsid", "-w", "sleep", "600"]}}
    handle = playbook.start({**PLAY, "tasks": [sleep]})
    eventually(lambda: len(handle.processes()) > 3, 20, "the task's processes")
    handle.kill_tree()
    assert handle.processes() == []
    assert handle.wait().rc == -9
