# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of every suite on a real cluster; each suite brings its own `cluster`."""

from __future__ import annotations

import os
import pathlib
import secrets
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.tests.integration.support import session
from ansible_collections.cutover.bluegreen.tests.integration.support.access import (
    DocumentedAccount,
    make_restricted_account,
    write_token_kubeconfig,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
    ApiError,
    Kube,
    resource_path,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.playbook import (
    Playbook,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.release import (
    Release,
    Sizes,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.selections import (
    Selections,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.watcher import (
    Watcher,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.wire import Wire

SESSION_LABEL = "test.cutover.bluegreen/session"


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder that all workers of the session share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def collections_path(shared_folder: pathlib.Path) -> pathlib.Path:
    """The folder that holds the collection, installed from its tarball."""
    return session.install_collection(shared_folder)


@pytest.fixture(scope="session")
def kube(cluster: session.Cluster) -> Kube:
    """The tests' own REST client."""
    return Kube(cluster.kubeconfig)


@pytest.fixture(scope="session")
def session_label(kube: Kube, cluster: session.Cluster) -> t.Iterator[str]:
    """What marks this worker's namespaces; a foreign cluster is left without them."""
    value = secrets.token_hex(6)
    yield value
    if not cluster.embedded:
        selector = f"{SESSION_LABEL}={value}"
        for left in kube.list(resource_path("namespaces"), selector):
            if "deletionTimestamp" not in left["metadata"]:
                kube.delete(resource_path("namespaces", name=left["metadata"]["name"]))


@pytest.fixture(scope="session")
def account(kube: Kube, session_label: str) -> t.Iterator[DocumentedAccount]:
    """Who runs the collection: may do what the documentation says, and nothing else."""
    home = f"t-{session_label}"
    metadata = {"name": home, "labels": {SESSION_LABEL: session_label}}
    kube.create(resource_path("namespaces"), {"metadata": metadata})
    made = DocumentedAccount(kube, home)
    yield made
    made.remove()


@pytest.fixture(scope="session")
def account_kubeconfig(
    account: DocumentedAccount,
    cluster: session.Cluster,
    tmp_path_factory: pytest.TempPathFactory,
) -> pathlib.Path:
    """The kubeconfig of who runs the collection."""
    path = tmp_path_factory.mktemp("account") / "kubeconfig"
    write_token_kubeconfig(path, cluster.kubeconfig, account.token)
    return path


@pytest.fixture
def make_namespace(
    kube: Kube, session_label: str, account: DocumentedAccount
) -> t.Iterator[t.Callable[[], str]]:
    """Make namespaces in which the collection may be run.

    Their deletion is asked for at the end and not waited for.
    """
    made = []

    def make() -> str:
        name = f"t-{secrets.token_hex(4)}"
        labels = {SESSION_LABEL: session_label}
        body = {"metadata": {"name": name, "labels": labels}}
        kube.create(resource_path("namespaces"), body)
        made.append(name)
        account.bind(name)
        return name

    yield make
    for name in made:
        try:
            kube.delete(resource_path("namespaces", name=name))
        except ApiError as error:
            # The test has deleted it itself.
            if error.code not in (404, 409):
                raise


@pytest.fixture
def namespace(make_namespace: t.Callable[[], str]) -> str:
    """A namespace of the test's own."""
    return make_namespace()


@pytest.fixture
def restricted_kubeconfig(
    kube: Kube, cluster: session.Cluster, namespace: str, tmp_path: pathlib.Path
) -> t.Callable[..., pathlib.Path]:
    """Make a kubeconfig for a service account with just these rules in the namespace.

    restricted_kubeconfig({"deployments": ["get", "list"]}); a resource's API group
    does not matter.
    """

    def make(verbs: t.Mapping[str, t.Sequence[str]]) -> pathlib.Path:
        name = f"restricted-{secrets.token_hex(3)}"
        token = make_restricted_account(kube, namespace, name, verbs)
        path = tmp_path / name
        write_token_kubeconfig(path, cluster.kubeconfig, token)
        return path

    return make


@pytest.fixture
def watcher(kube: Kube, namespace: str) -> t.Iterator[t.Callable[..., Watcher]]:
    """Start watchers: watcher("web", "web-preview")."""
    started = []

    def start(*services: str, namespace: str = namespace) -> Watcher:
        started.append(Watcher(kube, namespace, services))
        return started[-1]

    yield start
    for each in started:
        each.stop()


@pytest.fixture
def selections(kube: Kube, namespace: str) -> t.Iterator[t.Callable[[], Selections]]:
    """Watch selectors and the record from now on: selections()."""
    started = []

    def start() -> Selections:
        started.append(Selections(kube, namespace))
        return started[-1]

    yield start
    for each in started:
        each.stop()


@pytest.fixture
def wire(cluster: session.Cluster, namespace: str) -> t.Callable[..., Wire]:
    """Read the requests from now on: wire(), wire("other"), wire(None) for all."""
    if cluster.audit_log is None:
        pytest.skip("counting requests needs the embedded cluster's audit log")
    audit_log = cluster.audit_log

    def make(namespace: str | None = namespace) -> Wire:
        return Wire(audit_log, namespace)

    return make


@pytest.fixture
def playbook(
    tmp_path: pathlib.Path,
    account_kubeconfig: pathlib.Path,
    collections_path: pathlib.Path,
) -> t.Iterator[Playbook]:
    """Run ansible-playbook with the installed collection against the cluster."""
    runner = Playbook(tmp_path, account_kubeconfig, collections_path)
    yield runner
    runner.end()


@pytest.fixture
def release(kube: Kube, namespace: str, playbook: Playbook) -> Release:
    """An application to release in the test's namespace."""
    return Release(kube, namespace, playbook)


@pytest.fixture
def sizes(kube: Kube, namespace: str) -> t.Iterator[t.Callable[[], Sizes]]:
    """Watch the sizes of the revisions from now on: sizes()."""
    started = []

    def start() -> Sizes:
        started.append(Sizes(kube, namespace))
        return started[-1]

    yield start
    for each in started:
        each.stop()
