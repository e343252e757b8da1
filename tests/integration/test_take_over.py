# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an Argo Rollout, or one of two Deployments, runs becomes the first revision."""

from __future__ import annotations

import pathlib
import threading
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.tests.integration.support.fault_proxy import (  # noqa: E501 - a module's name
    Fault,
    FaultProxy,
    first_of,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
    Kube,
    Object,
    resource_path,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.manifests import (
    deployment,
    service,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.plain import (
    Plain,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.playbook import (
    Playbook,
    Run,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.release import (
    message,
    rollout_of,
    steps_of,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.rollouts import (
    KEY,
    MANAGED_BY,
    Argo,
    run_argo,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.waiting import (
    eventually,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.watcher import (
    REVISION_LABEL,
    Watcher,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.wire import Wire

pytestmark = pytest.mark.usefixtures("rollouts")

TAKE_OVER = "cutover.bluegreen.take_over"
DEPLOY = "cutover.bluegreen.deploy"


class Rollout:
    """The rollout `web` of one namespace, run with the variables of its releases."""

    def __init__(
        self,
        kube: Kube,
        namespace: str,
        playbook: Playbook,
        wire: t.Callable[..., Wire],
    ) -> None:
        self.kube = kube
        self.namespace = namespace
        self.playbook = playbook
        self.wire = wire

    def options(self, **changes: t.Any) -> dict[str, t.Any]:
        given = {
            "name": "web",
            "namespace": self.namespace,
            "definition": deployment("web"),
            "active_service": "web",
            "preview_service": "web-preview",
            "scale_down_delay_seconds": 0,
            "argo_is_stopped": True,
            **changes,
        }
        return {f"bluegreen_{k}": v for k, v in given.items() if v is not None}

    def take_over(self, *args: str, **changes: t.Any) -> Run:
        return self.playbook(TAKE_OVER, self.options(**changes), args=args)

    def deploy(self, version: str, **changes: t.Any) -> Run:
        options = self.options(definition=deployment("web", version=version), **changes)
        return self.playbook(DEPLOY, options)

    def writes_nothing(self, run: t.Callable[[], Run]) -> Run:
        """Run it; fail the test if any object was written."""
        sent = self.wire()
        ended = run()
        assert sent.writes == [], ended
        return ended


@pytest.fixture
def rollout(
    kube: Kube, namespace: str, playbook: Playbook, wire: t.Callable[..., Wire]
) -> Rollout:
    return Rollout(kube, namespace, playbook, wire)


def assert_taken_over(plain: Plain, pods: dict[str, tuple[str, int]]) -> None:
    """The pods of before run on below a Deployment of ours, and users reach them."""
    assert plain.pods() == pods
    revision = plain.hash()
    for name in ("web", "web-preview"):
        found = plain.kube.get(plain.path("services", name))
        assert found["spec"]["selector"] == {"app": "web", REVISION_LABEL: revision}
        assert MANAGED_BY not in found["metadata"]["annotations"]
    ours = plain.deployments()[f"web-{revision}"]
    assert not ours["spec"].get("paused")
    assert ours["status"]["availableReplicas"] == len(pods)
    assert "cutover.bluegreen/taking-over" not in ours["metadata"]["annotations"]
    owners = [
        reference["uid"]
        for found in plain.replica_sets()
        if found["metadata"]["labels"].get(REVISION_LABEL) == revision
        for reference in found["metadata"]["ownerReferences"]
    ]
    assert owners == [ours["metadata"]["uid"]]


def test_a_rollout_is_taken_over_and_released_on(
    rollout: Rollout, watcher: t.Callable[..., Watcher]
) -> None:
    """Invariants 1 and 4; what an earlier revision still ran is gone, an autoscaler
    follows.
    """
    argo = run_argo(rollout.kube, rollout.namespace, earlier_pods=1)
    plain = argo.plain
    pods = {
        uid: found
        for uid, found in plain.pods().items()
        if found[0].startswith(argo.replica_set()["metadata"]["name"])
    }
    _autoscale(rollout, "argoproj.io/v1alpha1", "Rollout", "web")
    seen = watcher("web", "web-preview")

    planned = rollout.writes_nothing(lambda: rollout.take_over("--check")).check()
    assert rollout_of(planned)["active"] is None
    run = rollout.take_over().check()
    assert steps_of(run) == steps_of(planned)
    eventually(lambda: len(plain.pods()) == 3, 20, "the earlier pods to go")
    assert_taken_over(plain, pods)
    assert not argo.exists()
    assert len(plain.replica_sets()) == 1
    (autoscaler,) = rollout.kube.list(
        resource_path("horizontalpodautoscalers", rollout.namespace)
    )
    assert autoscaler["spec"]["scaleTargetRef"] == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": f"web-{plain.hash()}",
    }
    assert len(seen.every_version("web")) == 1

    for again in (rollout.take_over, lambda: rollout.deploy("1")):
        run = rollout.writes_nothing(again).check()
        assert not run.changed
        assert rollout_of(run)["phase"] == "Healthy"
    rollout.deploy("2").check()
    assert rollout_of(rollout.take_over().check())["active"]["revision"] == 2
    seen.assert_never_below("web", 3)
    seen.assert_never_mixed("web")


def _autoscale(rollout: Rollout, version: str, kind: str, name: str) -> None:
    target = {"apiVersion": version, "kind": kind, "name": name}
    rollout.kube.create(
        resource_path("horizontalpodautoscalers", rollout.namespace),
        {
            "metadata": {"name": "web"},
            "spec": {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 10},
        },
    )


# The requests after which a run is killed, and what its successor then finds.
KILLS = ("create deployments", "delete rollouts", "patch replicasets", "patch pods")


def test_killed_again_and_again_it_goes_on_with_the_same_pods(
    rollout: Rollout,
    account_kubeconfig: pathlib.Path,
    tmp_path: pathlib.Path,
    watcher: t.Callable[..., Watcher],
) -> None:
    """Invariants 1 and 5, also where Argo's controller takes its marks off the Service
    meanwhile; it is seen to be stopped by its Lease.
    """
    argo = run_argo(rollout.kube, rollout.namespace)
    argo.create_lease("argo-rollouts-0", seconds=1)
    plain, pods = argo.plain, argo.plain.pods()
    seen = watcher("web", "web-preview")
    # What is needed later is in the cluster, or is read from the Rollout.
    options = rollout.options(
        **dict.fromkeys(("definition", "active_service", "preview_service")),
        argo_is_stopped=False,
        argo_namespace=rollout.namespace,
    )
    with FaultProxy(account_kubeconfig, tmp_path) as proxy:
        for kind in KILLS:
            line = proxy.line(first_of({kind}, Fault.KILL_AFTER))
            handle = rollout.playbook.start(TAKE_OVER, options, env=line.environment)
            line.leads(handle)
            handle.wait()
            line.await_kill()
            assert [a.kind for a, _fault in line.injected] == [kind]
            if kind == "delete rollouts":
                refused = rollout.deploy("2")
                assert "take_over playbook again" in message(refused)
                _as_argo_cleans_up(argo)
    rollout.playbook(TAKE_OVER, options).check()
    assert_taken_over(plain, pods)
    run = rollout.writes_nothing(lambda: rollout.deploy("1")).check()
    assert not run.changed
    seen.assert_never_below("web", 3)
    assert len(seen.every_version("web")) == 1


def _as_argo_cleans_up(argo: Argo) -> None:
    """What its controller does to the Services of a Rollout that is gone."""
    for name in ("web", "web-preview"):
        found = argo.service(name)
        del found["spec"]["selector"][KEY]
        found["metadata"]["annotations"].pop(MANAGED_BY)
        argo.kube.replace(resource_path("services", argo.namespace, name), found)


def test_what_is_not_at_rest_or_not_alone_is_refused(rollout: Rollout) -> None:
    """Nothing is written then."""
    kube, namespace = rollout.kube, rollout.namespace

    def refused(**changes: t.Any) -> str:
        return message(rollout.writes_nothing(lambda: rollout.take_over(**changes)))

    assert "there is no Rollout web" in refused()
    argo = run_argo(kube, namespace, replicas=1)
    watched = {"argo_is_stopped": False, "argo_namespace": namespace}
    assert "there is no Lease argo-rollouts-controller-lock" in refused(**watched)
    argo.set_status(currentPodHash="5c6f7d8e9f")
    assert "an update of Rollout web is in flight" in refused()
    argo.set_status(currentPodHash=argo.get()["status"]["stableRS"])

    wide = deployment("wide", labels={"app": "web"}, replicas=0)
    kube.create(resource_path("deployments", namespace), wide)
    assert "the selector of Deployment wide takes in ReplicaSet web-" in refused()
    kube.delete(resource_path("deployments", namespace, "wide"))

    labels = {**argo.service()["spec"]["selector"], "stray": "true"}
    stray = deployment("stray", labels={"stray": "true"}, replicas=1)
    stray["spec"]["template"]["metadata"]["labels"] = labels
    kube.create(resource_path("deployments", namespace), stray)
    eventually(lambda: argo.plain.ready() == 2, 30, "a stray pod")
    assert "Service web also selects pod stray-" in refused()


def test_while_argo_runs_nothing_is_taken_over(rollout: Rollout) -> None:
    argo = run_argo(rollout.kube, rollout.namespace, replicas=1)
    argo.create_lease("argo-rollouts-0", seconds=15)
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(0.5):
            argo.renew_lease()

    renewing = threading.Thread(target=renew)
    renewing.start()
    try:
        run = rollout.take_over(argo_is_stopped=False, argo_namespace=rollout.namespace)
    finally:
        ended.set()
        renewing.join()
    assert "Argo Rollouts (argo-rollouts-0) is running" in message(run)
    assert argo.exists()
    assert not argo.plain.deployments()


# -- two Deployments -----------------------------------------------------------------


def _coloured(colour: str, version: str) -> Object:
    manifest = deployment(
        f"web-{colour}", version=version, labels={"app": "web", "color": colour}
    )
    container = manifest["spec"]["template"]["spec"]["containers"][0]
    container["name"] = "web"
    container["image"] = f"example/web:{version}"
    return manifest


def test_the_one_of_two_deployments_that_users_reach_is_taken_over(
    rollout: Rollout, watcher: t.Callable[..., Watcher]
) -> None:
    """Invariants 1, 2, 4 and 5: the other one runs on, whatever becomes of it."""
    kube, namespace = rollout.kube, rollout.namespace
    plain = Plain(kube, namespace, "web")
    for manifest in (_coloured("blue", "1"), _coloured("green", "0")):
        kube.create(resource_path("deployments", namespace), manifest)
    for name, colour in (("web", "blue"), ("web-preview", "green")):
        body = service(name, selector={"app": "web", "color": colour})
        kube.create(resource_path("services", namespace), body)
    _autoscale(rollout, "apps/v1", "Deployment", "web-blue")
    eventually(lambda: len(plain.pods()) == 6 and plain.ready() == 3, 30, "both")
    eventually(
        lambda: all(
            d["status"].get("availableReplicas") == 3
            for d in plain.deployments().values()
        ),
        30,
        "both to settle",
    )
    everything = plain.pods()
    blue = {u: p for u, p in everything.items() if p[0].startswith("web-blue-")}
    seen = watcher("web")
    pair = {"take_over": {"blue": "web-blue", "green": "web-green"}}

    run = rollout.take_over(**pair).check()
    assert any("Deployment web-green is left as it is" in w for w in warnings_of(run))
    assert plain.pods() == everything
    assert set(plain.deployments()) == {"web-green", f"web-{plain.hash()}"}
    green = {u for u, p in everything.items() if p[0].startswith("web-green-")}
    assert set(blue) | green == set(everything)
    for name in ("web", "web-preview"):
        selector = kube.get(plain.path("services", name))["spec"]["selector"]
        assert selector == {"app": "web", REVISION_LABEL: plain.hash()}
    assert len(seen.every_version("web")) == 1

    run = rollout.writes_nothing(lambda: rollout.deploy("1")).check()
    assert not run.changed
    rollout.deploy("2").check()
    assert green <= set(plain.pods())
    seen.assert_never_below("web", 3)
    seen.assert_never_mixed("web")


def warnings_of(run: Run) -> list[str]:
    return [w for r in run.results for w in r.result.get("warnings", [])]
