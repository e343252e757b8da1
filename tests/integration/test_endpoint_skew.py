# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An endpoint controller that knows of pods later than everybody else.

It writes slices from its own cache. A Deployment that is available says nothing of it:
whoever moves users on the Deployment's word takes their endpoints away.
"""

from __future__ import annotations

import pathlib
import subprocess
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.tests.integration.support import session
from ansible_collections.cutover.bluegreen.tests.integration.support.fault_proxy import (  # noqa: E501 - a module's name
    FaultProxy,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.fixtures import (
    account,
    account_kubeconfig,
    kube,
    session_label,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
    Kube,
    resource_path,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.manifests import (
    deployment,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.plain import (
    run_plain,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.release import (
    ACTIVE,
    PREVIEW,
    Release,
    says,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.waiting import (
    ends_with_us,
    eventually,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.watcher import (
    Watcher,
)

# Of this file's own: those of the other tests are about the other cluster.
__all__ = ["account", "account_kubeconfig", "cluster", "kube", "session_label"]

CONTROLLER = "endpointslice-controller"
Watch = t.Callable[..., Watcher]


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config) -> t.Iterator[session.Cluster]:
    """An embedded cluster whose endpoint controller is a process of its own."""
    if session.foreign_cluster() is not None:
        pytest.skip("this needs a control plane of its own")
    owner = session.session_pid()
    name = f"pytest-{owner}-skew"
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        yield session.embedded_cluster(name, owner, CONTROLLER)
    session.run_cluster_script("down", f"--name={name}", stderr=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def cache(
    cluster: session.Cluster, tmp_path_factory: pytest.TempPathFactory
) -> t.Iterator[FaultProxy]:
    """What the endpoint controller hears of the cluster goes through here."""
    folder = tmp_path_factory.mktemp("controller")
    programs = pathlib.Path(session.run_cluster_script("build").splitlines()[-1])
    with FaultProxy(cluster.kubeconfig, folder) as proxy:
        command = [
            str(programs / "kube-controller-manager"),
            f"--kubeconfig={proxy.line().kubeconfig}",
            f"--controllers={CONTROLLER}",
            "--leader-elect=false",
            "--secure-port=0",
        ]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                ends_with_us(command), stdout=log, stderr=subprocess.STDOUT
            )
        try:
            yield proxy
        finally:
            proxy.let_go()
            process.terminate()
            process.wait(30)


@pytest.fixture
def lag(cache: FaultProxy) -> t.Iterator[FaultProxy]:
    """The controller knows everything in time, until a test holds pods back."""
    yield cache
    cache.let_go()


def test_a_bare_patch_of_the_selector_leaves_users_without_endpoints(
    lag: FaultProxy, kube: Kube, namespace: str, watcher: Watch
) -> None:
    """What everybody does by hand, once `kubectl rollout status` has said yes."""
    plain = run_plain(kube, namespace, deployment(ACTIVE, version="1"))
    seen = watcher(ACTIVE)
    lag.hold_back("pods")
    green = deployment("green", version="2", labels={"app": "green"})
    kube.create(resource_path("deployments", namespace), green)
    path = resource_path("deployments", namespace, "green")
    eventually(lambda: kube.get(path)["status"].get("availableReplicas") == 3, 30, "V2")
    kube.patch(plain.path("services"), {"spec": {"selector": {"app": "green"}}})
    eventually(lambda: not seen.moments(ACTIVE)[-1].ready, 30, "the outage")
    lag.let_go()
    eventually(lambda: len(seen.moments(ACTIVE)[-1].ready) == 3, 30, "its end")


@pytest.mark.parametrize("cutover", ["atomic", "overlap"])
def test_a_release_waits_for_what_the_controller_knows(
    lag: FaultProxy, release: Release, watcher: Watch, cutover: str
) -> None:
    """Invariant 1."""
    options = {"cutover": cutover, "overlap_seconds": 0}
    release.deploy("1", **options).check()
    seen = watcher(ACTIVE, PREVIEW)
    lag.hold_back("pods")
    handle = release.start_deploy("2", **options)
    eventually(lambda: release.available(2) == 2, 60, "V2")
    says(handle, "as Service web-bluegreen-proof sees them: 0/2 ready")
    assert release.directed_to(ACTIVE) == release.directed_to(PREVIEW) == 1
    lag.let_go()
    handle.wait().check()
    assert release.directed_to(ACTIVE) == 2
    seen.assert_never_below(ACTIVE, 2)
    if cutover == "atomic":
        seen.assert_never_mixed(ACTIVE)


def test_a_pod_more_that_only_the_deployment_knows_of(
    lag: FaultProxy, release: Release, watcher: Watch
) -> None:
    """Invariant 1: V2 grows at the gate; its last pod is proven, too."""
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    gated = {"preview_replica_count": 1, "auto_promotion_enabled": False}
    release.deploy("2", **gated).check()
    lag.hold_back("pods")
    handle = release.start("promote")
    eventually(lambda: release.available(2) == 2, 60, "V2 in full")
    says(handle, "as Service web-bluegreen-proof sees them: 1/2 ready")
    assert release.directed_to(ACTIVE) == 1
    lag.let_go()
    handle.wait().check()
    assert release.directed_to(ACTIVE) == 2
    seen.assert_never_below(ACTIVE, 2)
    seen.assert_never_mixed(ACTIVE)


def test_the_way_back_waits_for_it_too(
    lag: FaultProxy, release: Release, watcher: Watch
) -> None:
    """Invariants 1 and 3."""
    release.deploy("1").check()
    release.deploy("2").check()
    assert release.sizes() == {1: 0, 2: 2}
    seen = watcher(ACTIVE)
    lag.hold_back("pods")
    handle = release.start("rollback")
    eventually(lambda: release.available(3) == 2, 60, "V1's new pods")
    says(handle, "as Service web-bluegreen-proof sees them: 0/2 ready")
    assert release.directed_to(ACTIVE) == 2
    lag.let_go()
    handle.wait().check()
    assert release.directed_to(ACTIVE) == 3
    seen.assert_never_below(ACTIVE, 2)
    seen.assert_never_mixed(ACTIVE)
