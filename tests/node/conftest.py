# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of the tests on a real node; what any cluster has is shared."""

from __future__ import annotations

import os
import pathlib
import typing as t

import node
import pytest
from toolbox import unavailable

from ansible_collections.cutover.bluegreen.tests.integration.support import session
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
    session_label,
    shared_folder,
    sizes,
    watcher,
    wire,
)
from ansible_collections.cutover.bluegreen.tests.node.support.load import Load

__all__ = [
    "account",
    "account_kubeconfig",
    "cluster",
    "collections_path",
    "kube",
    "load",
    "machine",
    "make_namespace",
    "namespace",
    "playbook",
    "release",
    "restricted_kubeconfig",
    "session_label",
    "shared_folder",
    "sizes",
    "watcher",
    "wire",
]


def pytest_configure(config: pytest.Config) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        raise pytest.UsageError(
            "a machine has one real node, and its load is measured: run tests/node"
            " without -n"
        )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run first what brings the machine's one node up and down by itself."""
    items.sort(key=lambda item: "cluster" in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def machine(pytestconfig: pytest.Config) -> None:
    """A machine that a real node can run on; skips the test where this is none."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        why = unavailable()
    if why:
        pytest.skip(why)


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config, machine: None) -> t.Iterator[session.Cluster]:
    """The session's own cluster with a real node, which leaves nothing behind."""
    owner = session.session_pid()
    name = f"pytest-node-{owner}"
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    # A first build takes minutes: whoever waits should see why.
    with capture.global_and_fixture_disabled():
        made = session.node_cluster(name, owner)
    yield made
    session.run_cluster_script("down", f"--name={name}", script=session.NODE_SCRIPT)
    assert node.leftovers() == []


@pytest.fixture
def load(tmp_path: pathlib.Path) -> t.Iterator[t.Callable[..., Load]]:
    """Start users' requests: load(address), with the options of Load."""
    started: list[Load] = []

    def start(address: str, **options: t.Any) -> Load:
        started.append(Load(address, tmp_path, **options))
        return started[-1]

    yield start
    for each in started:
        if each.running:
            each.stop()
