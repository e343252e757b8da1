# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of the integration tests: a real cluster, a real ansible-playbook."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.tests.integration.support import session
from ansible_collections.cutover.bluegreen.tests.integration.support.argo import (
    installed_templates,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.fixtures import (
    account,
    account_kubeconfig,
    collections_path,
    kube,
    make_namespace,
    namespace,
    playbook,
    release,
    restricted_kubeconfig,
    selections,
    session_label,
    shared_folder,
    sizes,
    watcher,
    wire,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.gateway import (
    GATEWAY_LOCK,
    Gateway,
    Route,
    installed_routes,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.kube import Kube
from ansible_collections.cutover.bluegreen.tests.integration.support.rollouts import (
    ROLLOUTS_LOCK,
    shared_definition,
)

__all__ = [
    "account",
    "account_kubeconfig",
    "argo",
    "cluster",
    "collections_path",
    "gateway",
    "kube",
    "make_namespace",
    "namespace",
    "path",
    "playbook",
    "release",
    "restricted_kubeconfig",
    "rollouts",
    "route",
    "selections",
    "session_label",
    "shared_folder",
    "sizes",
    "watcher",
    "wire",
]


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config) -> session.Cluster:
    """The cluster that KUBECONFIG names, else the session's own embedded one."""
    foreign = session.foreign_cluster()
    if foreign is not None:
        return foreign
    owner = session.session_pid()
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    # A first build takes minutes: whoever waits should see why.
    with capture.global_and_fixture_disabled():
        return session.embedded_cluster(f"pytest-{owner}", owner)


@pytest.fixture
def argo(kube: Kube, shared_folder: pathlib.Path) -> t.Iterator[None]:
    """A cluster with Argo Rollouts' definitions of templates."""
    with installed_templates(kube, shared_folder / "argo.lock"):
        yield


@pytest.fixture(scope="session")
def rollouts(kube: Kube, shared_folder: pathlib.Path) -> t.Iterator[None]:
    """A cluster with Argo Rollouts' definition of Rollout."""
    with shared_definition(kube, shared_folder / ROLLOUTS_LOCK):
        yield


@pytest.fixture
def route(kube: Kube, namespace: str, shared_folder: pathlib.Path) -> t.Iterator[Route]:
    """A cluster with the Gateway API; the route of the test is not made yet."""
    with installed_routes(kube, shared_folder / GATEWAY_LOCK):
        yield Route(kube, namespace)


@pytest.fixture
def gateway(route: Route) -> t.Iterator[Gateway]:
    """A gateway that answers what it sees of the route."""
    found = Gateway(route)
    yield found
    found.stop()


@pytest.fixture(params=["action", "module"])
def path(request: pytest.FixtureRequest) -> str:
    """Both ways to the same core: playbook(..., path=path)."""
    return t.cast(str, request.param)
