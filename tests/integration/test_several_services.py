# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Several active Services of every kind: all moved and proven, or all put back."""

from __future__ import annotations

import itertools
import pathlib
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.tests.integration.support.fault_proxy import (  # noqa: E501 - a module's name
    Arrival,
    Fault,
    FaultProxy,
    Plan,
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
from ansible_collections.cutover.bluegreen.tests.integration.support.playbook import (
    Run,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.policy import (
    Policy,
    is_refused,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.readiness import (
    pods_of,
    set_ready,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.release import (
    ACTIVE,
    NAME,
    PREVIEW,
    Release,
    message,
    says,
    steps_of,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.selections import (
    EVERY_REVISION,
    Selections,
    selected_by,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.waiting import (
    eventually,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.watcher import (
    SERVICE_LABEL,
    Watcher,
)

Watch = t.Callable[..., Watcher]
DNS, EXTERNAL, PEERS = "web-dns", "web-external", "web-peers"
ACTIVES = (ACTIVE, EXTERNAL, DNS, PEERS)
PREVIEWS = (PREVIEW, "web-preview-dns")
# Of a release that finds out soon that it gets no further.
SHORT = {"progress_deadline_seconds": 2}


def dns(name: str) -> Object:
    """A Service of another protocol, by the name of a port."""
    manifest = service(name, selector={"app": NAME})
    ports = [{"name": "dns", "port": 53, "protocol": "UDP", "targetPort": "dns"}]
    manifest["spec"]["ports"] = ports
    return manifest


def with_spec(name: str, **spec: t.Any) -> Object:
    manifest = service(name, selector={"app": NAME})
    return {**manifest, "spec": {**manifest["spec"], **spec}}


def services() -> dict[str, list[Object]]:
    """Internal and external, TCP and UDP, through a virtual address and without."""
    peers = with_spec(PEERS, clusterIP="None")
    del peers["spec"]["ports"]
    return {
        "active_service": [
            service(ACTIVE),
            with_spec(EXTERNAL, type="NodePort"),
            dns(DNS),
            peers,
        ],
        "preview_service": [
            service(PREVIEW, selector={"app": NAME}),
            dns(PREVIEWS[1]),
        ],
    }


def application(version: str, http: int, dns: int | None, **steering: str) -> Object:
    """A manifest whose ports keep their names, and change their numbers."""
    manifest = deployment(NAME, version=version, replicas=2, **steering)
    ports = [{"name": "http", "containerPort": http}]
    if dns is not None:
        ports.append({"name": "dns", "containerPort": dns, "protocol": "UDP"})
    manifest["spec"]["template"]["spec"]["containers"][0]["ports"] = ports
    return manifest


def ports_of(release: Release, name: str) -> set[int]:
    found = release.kube.list(
        resource_path("endpointslices", release.namespace), f"{SERVICE_LABEL}={name}"
    )
    used = (piece for piece in found if piece.get("endpoints"))
    return {port["port"] for piece in used for port in piece.get("ports") or ()}


# -- all of them -----------------------------------------------------------------------


@pytest.mark.parametrize("cutover", ["auto", "overlap"])
def test_all_are_moved_and_proven(
    release: Release,
    watcher: Watch,
    selections: t.Callable[[], Selections],
    cutover: str,
) -> None:
    """Invariants 1 and 8; a port by its name has another number in V2."""
    options = {**services(), "cutover": cutover, "overlap_seconds": 0}
    release.deploy(definition=application("1", 8080, 5353), **options).check()
    assert ports_of(release, ACTIVE) == {8080}
    seen, selected = watcher(*ACTIVES, *PREVIEWS), selections()
    release.deploy(definition=application("2", 9090, 5454), **options).check()
    first, second = release.hash_of(1), release.hash_of(2)
    between = [EVERY_REVISION] if cutover == "overlap" else []
    for name in ACTIVES:
        assert selected.of(name) == [first, *between, second], name
        assert seen.revisions_seen(name) == [first, second]
        seen.assert_never_below(name, 2)
        mixed = selected.assert_mixed_only_as_declared(seen, name)
        assert bool(mixed) == bool(between), seen.story(name)
    for name in PREVIEWS:
        assert selected.of(name) == [first, second]
    assert ports_of(release, ACTIVE) == ports_of(release, EXTERNAL) == {9090}
    assert ports_of(release, DNS) == {5454}
    moved = f"cut over Service {', '.join(ACTIVES)} to revision 2"
    assert any(moved in step for step in steps_of_all(release))
    assert release.phase() == "Healthy"
    # No proof Service of ours is left.
    left = release.kube.list(resource_path("services", release.namespace))
    assert {s["metadata"]["name"] for s in left} == {*ACTIVES, *PREVIEWS}


def steps_of_all(release: Release) -> list[str]:
    return [text for _at, text in release.details()["timeline"]]


def test_v2_lacks_the_port_of_one_service(
    release: Release, watcher: Watch, selections: t.Callable[[], Selections]
) -> None:
    """Its pods are ready, and each request to them would be refused."""
    release.deploy(definition=application("1", 8080, 5353), **services()).check()
    seen, selected = watcher(*ACTIVES, *PREVIEWS), selections()
    run = release.deploy(definition=application("2", 8080, None), **services())
    first, second = release.hash_of(1), release.hash_of(2)
    assert message(run).startswith(
        f"revision 2 (web-{second}) has no container port by a name that an active"
        f" Service's targetPort uses (seen through Service {DNS}-bluegreen-proof)"
    )
    for name in (*ACTIVES, *PREVIEWS):
        assert selected.of(name) == [first]
        assert seen.revisions_seen(name) == [first]
        seen.assert_never_below(name, 2)
    release.deploy(definition=application("3", 8080, 53), **services()).check()
    assert {release.directed_to(name) for name in ACTIVES} == {3}


# -- pods that get requests before they are ready --------------------------------------

PUBLISHED = {"active_service": with_spec(ACTIVE, publishNotReadyAddresses=True)}


def never_sent_to_an_unready_pod(seen: Watcher, revision: str) -> None:
    for moment in seen.moments(ACTIVE):
        if seen.revisions_of(moment) == {revision}:
            assert all(e.serving for e in moment.endpoints), seen.story(ACTIVE)


def test_pods_that_are_published_before_they_are_ready(
    release: Release, watcher: Watch
) -> None:
    """Users are sent to any pod of such a Service: none of V2's is unready then."""
    release.deploy("1", **PUBLISHED).check()
    seen = watcher(ACTIVE)
    release.deploy("2", steering={"ready_after": "1500ms"}, **PUBLISHED).check()
    never_sent_to_an_unready_pod(seen, release.hash_of(2))
    assert release.directed_to(ACTIVE) == 2
    seen.assert_never_below(ACTIVE, 2)


def test_one_more_pod_than_needed_is_published_and_not_ready(
    release: Release, kube: Kube, watcher: Watch
) -> None:
    release.deploy("1", **PUBLISHED).check()
    seen = watcher(ACTIVE)
    release.deploy("2", auto_promotion_enabled=False, **PUBLISHED).check()
    second = release.hash_of(2)
    name = release.revisions()[2]["metadata"]["name"]
    scale = resource_path("deployments", release.namespace, name, "scale")
    kube.patch(scale, {"spec": {"replicas": 3}})
    eventually(lambda: release.available(2) == 3, 30, "a third pod")
    pod = pods_of(kube, release.namespace, second)[0]
    set_ready(kube, release.namespace, pod, False)
    eventually(lambda: release.available(2) == 2, 30, "its loss")
    handle = release.start("promote")
    says(
        handle,
        f"Service web-bluegreen-proof publishes 1 pods of revision 2 (web-{second})"
        " that are not ready",
    )
    assert release.directed_to(ACTIVE) == 1
    set_ready(kube, release.namespace, pod, True)
    handle.wait().check()
    assert release.directed_to(ACTIVE) == 2
    never_sent_to_an_unready_pod(seen, second)


# -- nodes that keep what reaches them -------------------------------------------------


def on_node(version: str, node: str) -> Object:
    manifest = deployment(NAME, version=version, replicas=2)
    manifest["spec"]["template"]["spec"]["nodeName"] = node
    return manifest


@pytest.fixture
def nodes(kube: Kube) -> list[str]:
    found = [n["metadata"]["name"] for n in kube.list(resource_path("nodes"))]
    if len(found) < 2:
        pytest.skip("it takes two nodes to leave one of them")
    return found


def warnings_of(run: Run) -> list[str]:
    found = [w for r in run.results for w in r.result.get("warnings", [])]
    return [w for w in found if "Local" in w]


def test_a_node_that_is_left_without_a_pod_is_named(
    release: Release, watcher: Watch, nodes: list[str]
) -> None:
    here, there = nodes[:2]
    local = with_spec(ACTIVE, type="NodePort", externalTrafficPolicy="Local")
    options = {"active_service": [local, with_spec(EXTERNAL)], "overlap_seconds": 0}
    release.deploy(definition=on_node("1", here), **options).check()
    assert not warnings_of(release.deploy(definition=on_node("2", here), **options))
    seen = watcher(ACTIVE)
    run = release.deploy(definition=on_node("3", there), **options).check()
    (warning,) = warnings_of(run)
    assert warning.startswith(
        "Service web has externalTrafficPolicy Local, and revision 3"
        f" (web-{release.hash_of(3)}) has no ready pod on node {here}, where users"
        " have one now"
    )
    seen.assert_never_below(ACTIVE, 2)


# -- both address families -------------------------------------------------------------

BOTH = {"active_service": with_spec(ACTIVE, ipFamilyPolicy="PreferDualStack")}


@pytest.fixture
def _dual_stack(kube: Kube, namespace: str) -> None:
    """A cluster that gives Services addresses of both families."""
    tried = with_spec("tried", ipFamilyPolicy="PreferDualStack")
    made = kube.create(resource_path("services", namespace), tried, dryRun="All")
    if len(made["spec"]["ipFamilies"]) < 2:
        pytest.skip("the cluster's Services have one address family")


@pytest.mark.usefixtures("_dual_stack")
def test_both_address_families_go_over(
    release: Release, watcher: Watch, selections: t.Callable[[], Selections]
) -> None:
    """Two slices change one after another, so it is an overlap by itself."""
    options = {**BOTH, "overlap_seconds": 0}
    release.deploy("1", steering={"ipv6": "true"}, **options).check()
    seen, selected = watcher(ACTIVE), selections()
    run = release.deploy("2", steering={"ipv6": "true"}, **options).check()
    why = "Service web has 2 EndpointSlices, which change one after another"
    assert any(f"beside the present one: {why}" in s for s in steps_of(run)), run
    first, second = release.hash_of(1), release.hash_of(2)
    assert selected.of(ACTIVE) == [first, EVERY_REVISION, second]
    selected.assert_mixed_only_as_declared(seen, ACTIVE)
    for colon in (True, False):
        least = min(
            sum(e.ready for e in m.endpoints if (":" in e.addresses[0]) is colon)
            for m in seen.moments(ACTIVE)
        )
        assert least == 2, seen.story(ACTIVE)


@pytest.mark.usefixtures("_dual_stack")
def test_v2_without_addresses_of_one_family_gets_no_users(
    release: Release, watcher: Watch
) -> None:
    release.deploy("1", steering={"ipv6": "true"}, **BOTH).check()
    seen = watcher(ACTIVE)
    refused = message(release.deploy("2", **BOTH, **SHORT))
    assert "0/2 ready, 2 without an address of each family of the Service" in refused
    assert release.directed_to(ACTIVE) == 1
    assert seen.revisions_seen(ACTIVE) == [release.hash_of(1)]


# -- what cannot be moved --------------------------------------------------------------


SERVICES = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["services"]}
SLICES = {
    "apiGroups": ["discovery.k8s.io"],
    "apiVersions": ["v1"],
    "resources": ["endpointslices"],
}


@pytest.fixture
def policy(kube: Kube, namespace: str) -> t.Iterator[t.Callable[..., Policy]]:
    """Make a policy and wait until it is in force: policy(rule, when, allowed, try)."""
    made: list[Policy] = []

    def make(
        rule: Object, when: str, allowed: str, attempt: t.Callable[[], object]
    ) -> Policy:
        made.append(Policy(kube, namespace, rule, when, allowed))
        eventually(lambda: is_refused(attempt), 30, "the policy in force")
        return made[-1]

    yield make
    for each in made:
        each.remove()


def forbid_selector(
    release: Release, policy: t.Callable[..., Policy], service: str, kind: str
) -> None:
    """No selector of the Service may take V2 in, or none may name V2 alone."""
    first, second = release.hash_of(1), release.hash_of(2)
    key = "object.spec.selector['cutover.bluegreen/revision-hash']"
    named = f"('cutover.bluegreen/revision-hash' in object.spec.selector && {key}"
    allowed = {
        "any": f"{named} == '{first}')",
        "alone": f"!{named} == '{second}')",
    }[kind]
    path = resource_path("services", release.namespace, service)
    attempt = {"spec": {"selector": {"cutover.bluegreen/revision-hash": second}}}
    policy(
        SERVICES,
        f"object.metadata.name == '{service}'",
        allowed,
        lambda: release.kube.patch(path, attempt, dryRun="All"),
    )


@pytest.mark.parametrize(
    ("cutover", "kind"),
    [("atomic", "any"), ("overlap", "any"), ("overlap", "alone")],
    ids=["atomic", "widened", "narrowed"],
)
def test_the_second_write_is_refused_after_the_first(
    release: Release,
    watcher: Watch,
    selections: t.Callable[[], Selections],
    policy: t.Callable[..., Policy],
    cutover: str,
    kind: str,
) -> None:
    """Everything is back on V1 and proven, and the sentence names the Service."""
    both = [service(ACTIVE), with_spec(EXTERNAL)]
    options = {"active_service": both, "cutover": cutover, "overlap_seconds": 0}
    release.deploy("1", **options).check()
    release.deploy("2", auto_promotion_enabled=False, **options).check()
    forbid_selector(release, policy, EXTERNAL, kind)
    seen, selected = watcher(ACTIVE, EXTERNAL), selections()
    run = release.run("promote")
    assert run.rc == 2
    told = message(run)
    assert f"was aborted by Service {EXTERNAL}, which could not be moved" in told
    assert "not today" in told
    first, second = release.hash_of(1), release.hash_of(2)
    wide = [EVERY_REVISION]
    way, stayed = {
        "atomic any": ([second], []),
        "overlap any": (wide, []),
        "overlap alone": ([*wide, second], wide),
    }[f"{cutover} {kind}"]
    assert selected.of(ACTIVE) == [first, *way, first]
    assert selected.of(EXTERNAL) == [first, *([*stayed, first] if stayed else [])]
    for name in (ACTIVE, EXTERNAL):
        alone_with(seen, name, first)
        seen.assert_never_below(name, 2)
        selected.assert_mixed_only_as_declared(seen, name)
    assert release.phase() == "Degraded"
    assert release.aborted(2)
    assert release.sizes() == {1: 2, 2: 0}


def test_somebody_changes_the_second_service_between_the_writes(
    release: Release,
    watcher: Watch,
    selections: t.Callable[[], Selections],
    account_kubeconfig: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    """Invariant 1: it is widened all the same, before anything is narrowed."""
    both = [service(ACTIVE), with_spec(EXTERNAL)]
    options = {"active_service": both, "cutover": "overlap", "overlap_seconds": 0}
    release.deploy("1", **options).check()
    seen, selected = watcher(ACTIVE, EXTERNAL), selections()
    conflict = first_of({f"patch services {EXTERNAL}"}, Fault.STATUS_409)
    with FaultProxy(account_kubeconfig, tmp_path) as proxy:
        line = proxy.line(conflict)
        release.start_deploy("2", env=line.environment, **options).wait().check()
        assert len(line.injected) == 1
    first, second = release.hash_of(1), release.hash_of(2)
    for name in (ACTIVE, EXTERNAL):
        assert selected.of(name) == [first, EVERY_REVISION, second]
        seen.assert_never_below(name, 2)


def second_of(kind: str, fault: Fault) -> Plan:
    """The fault befalls the second request of this kind."""
    seen = itertools.count(1)

    def plan(arrival: Arrival) -> Fault | None:
        return fault if arrival.kind == kind and next(seen) == 2 else None

    return plan


@pytest.mark.parametrize("then", ["deploy", "abort"])
def test_killed_when_one_of_two_was_narrowed(
    release: Release,
    watcher: Watch,
    selections: t.Callable[[], Selections],
    account_kubeconfig: pathlib.Path,
    tmp_path: pathlib.Path,
    then: str,
) -> None:
    """Invariants 1 and 5: one Service has moved, the other still selects both."""
    both = [service(ACTIVE), with_spec(EXTERNAL)]
    options = {"active_service": both, "cutover": "overlap", "overlap_seconds": 0}
    release.deploy("1", **options).check()
    seen, selected = watcher(ACTIVE, EXTERNAL), selections()
    narrowing = second_of(f"patch services {EXTERNAL}", Fault.KILL_BEFORE)
    with FaultProxy(account_kubeconfig, tmp_path) as proxy:
        line = proxy.line(narrowing)
        handle = release.start_deploy("2", env=line.environment, **options)
        line.leads(handle)
        handle.wait()
        line.await_kill()
    assert release.directed_to(ACTIVE) == 2
    assert selected_by(release.service(EXTERNAL)) == EVERY_REVISION
    run = release.deploy("2", **options) if then == "deploy" else release.run("abort")
    last = 2 if then == "deploy" else 1
    assert "a run was ended while two" in steps_of(run.check())[0]
    for name in (ACTIVE, EXTERNAL):
        assert release.directed_to(name) == last
        seen.assert_never_below(name, 2)
        selected.assert_mixed_only_as_declared(seen, name)


def alone_with(seen: Watcher, name: str, revision: str) -> None:
    eventually(
        lambda: seen.revisions_of(seen.moments(name)[-1]) == {revision}, 10, "one"
    )


def freeze_slices(
    release: Release, policy: t.Callable[..., Policy], when: str, example: str
) -> Policy:
    """From now on nobody may write slices of which this holds."""
    (piece, *_more) = release.kube.list(
        resource_path("endpointslices", release.namespace),
        f"{SERVICE_LABEL}={example}",
    )
    path = resource_path("endpointslices", release.namespace, piece["metadata"]["name"])
    attempt = {"metadata": {"labels": {"tried": "true"}}}
    return policy(
        SLICES,
        when,
        "false",
        lambda: release.kube.patch(path, attempt, dryRun="All"),
    )


def test_slices_that_do_not_follow_put_users_back_where_v1_is_proven(
    release: Release, watcher: Watch, policy: t.Callable[..., Policy]
) -> None:
    """The selector says V2 and the slices V1: nobody can say that users moved."""
    release.deploy("1", **SHORT).check()
    release.deploy("2", auto_promotion_enabled=False, **SHORT).check()
    first = release.hash_of(1)
    freeze_slices(
        release,
        policy,
        f"object.metadata.labels['{SERVICE_LABEL}'] == '{ACTIVE}'",
        ACTIVE,
    )
    seen = watcher(ACTIVE)
    run = release.run("promote")
    assert run.rc == 2
    assert "was aborted by its progress deadline of 2 s" in message(run)
    assert release.directed_to(ACTIVE) == 1
    assert seen.revisions_seen(ACTIVE) == [first]
    assert release.sizes()[1] == 2
    assert release.phase() == "Degraded"


def test_users_stay_where_v1_is_not_proven(
    release: Release, watcher: Watch, policy: t.Callable[..., Policy]
) -> None:
    """No slice follows anything: a selector that goes back would be a guess."""
    release.deploy("1", **SHORT).check()
    release.deploy("2", auto_promotion_enabled=False, **SHORT).check()
    second = release.hash_of(2)
    frozen = freeze_slices(release, policy, "true", ACTIVE)
    seen = watcher(ACTIVE)
    run = release.run("promote")
    assert run.rc == 2
    told = message(run)
    assert "as Service web-bluegreen-proof sees them: 0/2 ready" in told
    assert told.endswith(
        f"Users stay where they are: Service web directs to revision 2 (web-{second})."
    )
    assert release.directed_to(ACTIVE) == 2
    assert release.sizes() == {1: 2, 2: 2}
    assert release.phase() == "Degraded"
    assert release.record()["message"] in told
    seen.assert_never_below(ACTIVE, 2)
    # Once slices follow again, the next run goes back, as was decided.
    frozen.remove()
    eventually(lambda: now(seen) == {second}, 60, "slices that follow")
    release.run("resume")
    assert release.directed_to(ACTIVE) == 1
    assert selected_by(release.service()) == release.hash_of(1)
    seen.assert_never_below(ACTIVE, 2)


def now(seen: Watcher) -> frozenset[str]:
    return seen.revisions_of(seen.moments(ACTIVE)[-1])
