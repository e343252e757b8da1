# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Gateway API route as what users come through: its weights move, Services stay."""

from __future__ import annotations

import pathlib
import re
import typing as t

import pytest
import yaml

from ansible_collections.cutover.bluegreen.tests.integration.support.gateway import (
    FIRST,
    GATEWAY_LOCK,
    ROUTE,
    SECOND,
    Gateway,
    Route,
    rule,
    serves_routes,
    weights_of,
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
    Handle,
    Run,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.release import (
    NAME,
    PREVIEW,
    Path,
    Release,
    message,
    rollout_of,
    steps_of,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.session import (
    ROOT,
    Cluster,
    locked,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.waiting import (
    eventually,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.watcher import (
    Watcher,
)

TWO = [service(name, selector={"app": NAME}) for name in (FIRST, SECOND)]
TO_FIRST, TO_SECOND = {FIRST: 100, SECOND: 0}, {FIRST: 0, SECOND: 100}


def start(release: Release, version: str, **options: t.Any) -> Handle:
    options = {"active_service": TWO, "route": ROUTE, **options}
    return release.start_deploy(version, **options)


def deploy(release: Release, version: str, **options: t.Any) -> Run:
    return start(release, version, **options).wait()


def moved(route: Object) -> bool:
    return weights_of(route) == [TO_SECOND]


@pytest.fixture
def first(release: Release, route: Route, gateway: Gateway) -> Route:
    """The route, with V1 behind it."""
    route.create()
    deploy(release, "1").check()
    return route


def test_users_go_over_by_the_weights(
    release: Release,
    route: Route,
    gateway: Gateway,
    watcher: t.Callable[..., Watcher],
    path: Path,
) -> None:
    """Invariants 1, 4 and 8, from the first release to the third."""
    release.path = path
    route.create(rule(), rule(path="/static"))
    deploy(release, "1").check()
    assert release.directed_to(FIRST) == 1
    assert route.weights() == [TO_FIRST, TO_FIRST]
    assert not deploy(release, "1").check().changed

    seen = watcher(FIRST, SECOND)
    generation = route.get()["metadata"]["generation"]
    run = deploy(release, "2").check()
    assert route.weights() == [TO_SECOND, TO_SECOND]
    # One update moved every rule.
    assert route.get()["metadata"]["generation"] == generation + 1
    assert release.directed_to(SECOND) == 2
    assert release.directed_to(FIRST) == 1
    assert release.directed_to(PREVIEW) == 2
    assert release.sizes() == {1: 0, 2: 2}
    assert rollout_of(run)["active"]["revision"] == 2
    assert rollout_of(run)["phase"] == "Healthy"
    said = "\n".join(steps_of(run))
    assert "prove the endpoints of revision 2" in said
    assert f"through Service {SECOND}, which gets no requests" in said
    assert f"cut over HTTPRoute {ROUTE} to revision 2" in said
    cutover = rollout_of(run)["cutover"]
    assert cutover["least_ready"] == 2, cutover["services"]
    assert cutover["mixed_ms"] == 0
    assert cutover["taken_in_ms"] is not None
    assert not deploy(release, "2").check().changed

    deploy(release, "3").check()
    assert route.weights() == [TO_FIRST, TO_FIRST]
    assert release.directed_to(FIRST) == 3
    gateway.assert_users_lost_nothing(seen, 2)
    services = release.kube.list(resource_path("services", release.namespace))
    assert {s["metadata"]["name"] for s in services} == {FIRST, SECOND, PREVIEW}


def test_status_shows_the_weights(release: Release, first: Route) -> None:
    run = release.play({"bluegreen_info": {}}).check()
    tree = "\n".join(run.results[-1].result["tree"])
    assert f"HTTPRoute {ROUTE} (active) -> revision 1, 2 ready" in tree
    assert f"weight 100  Service {FIRST} -> revision 1, 2 ready" in tree
    assert f"weight 0  Service {SECOND} -> revision 1, 2 ready" in tree


def test_an_abort_before_the_promotion(
    release: Release, first: Route, gateway: Gateway, watcher: t.Callable[..., Watcher]
) -> None:
    """Invariant 3."""
    seen = watcher(FIRST, SECOND)
    deploy(release, "2", auto_promotion_enabled=False).check()
    assert release.directed_to(SECOND) == 2
    release.run("abort").check()
    assert first.weights() == [TO_FIRST]
    assert release.sizes() == {1: 2, 2: 0}
    assert release.phase() == "Degraded"
    gateway.assert_users_lost_nothing(seen, 2)


def test_a_rollback(
    release: Release, first: Route, gateway: Gateway, watcher: t.Callable[..., Watcher]
) -> None:
    """Invariant 3: while V1 is kept, the way back is one update of the weights."""
    seen = watcher(FIRST, SECOND)
    deploy(release, "2", scale_down_delay_seconds=-1).check()
    generation = first.get()["metadata"]["generation"]
    release.run("rollback").check()
    assert first.weights() == [TO_FIRST]
    assert first.get()["metadata"]["generation"] == generation + 1
    assert release.directed_to(FIRST) == 3
    assert release.directed_to(SECOND) == 2
    gateway.assert_users_lost_nothing(seen, 2)


def test_killed_between_the_proof_and_the_cutover(
    release: Release, first: Route, gateway: Gateway, watcher: t.Callable[..., Watcher]
) -> None:
    """Invariant 5."""
    seen = watcher(FIRST, SECOND)
    handle = start(release, "2", steering={"ready_after": "2s"})
    eventually(lambda: release.directed_to(SECOND) == 2, 60, "the proof of V2")
    handle.kill_tree()
    assert first.weights() == [TO_FIRST]
    release.run("resume").check()
    assert first.weights() == [TO_SECOND]
    assert release.phase() == "Healthy"
    gateway.assert_users_lost_nothing(seen, 2)


def test_a_gateway_that_lags_is_waited_for(
    release: Release, first: Route, gateway: Gateway
) -> None:
    """Invariant 8: V2 is not stable, and V1 not scaled down, before it has answered."""
    gateway.held = True
    handle = start(release, "2")
    eventually(lambda: first.weights() == [TO_SECOND], 60, "the cutover")
    waits = "does not say Accepted and ResolvedRefs of its present version yet"
    eventually(lambda: waits in handle.stdout, 60, "that it says so")
    assert release.record()["stable"] == release.hash_of(1)
    assert release.sizes()[1] == 2
    gateway.answer()
    handle.wait().check()
    assert release.phase() == "Healthy"
    assert release.sizes() == {1: 0, 2: 2}


@pytest.mark.parametrize("answers", [True, False], ids=["refused", "no answer"])
def test_what_gateways_do_not_take_in_is_put_back(
    release: Release,
    first: Route,
    gateway: Gateway,
    watcher: t.Callable[..., Watcher],
    answers: bool,
) -> None:
    """Invariants 1 and 8: abort after the cutover."""
    seen = watcher(FIRST, SECOND)
    if answers:
        gateway.refuses = lambda found: "BackendNotFound" if moved(found) else ""
    else:
        gateway.ignores = moved
    run = deploy(release, "2", progress_deadline_seconds=3)
    assert run.rc == 2
    said = message(run)
    expected = (
        f"HTTPRoute {ROUTE}: Gateway shop says ResolvedRefs=False of it"
        " (BackendNotFound)"
        if answers
        else "its progress deadline of 3 s"
    )
    assert expected in said, said
    assert first.weights() == [TO_FIRST]
    assert release.phase() == "Degraded"
    assert release.sizes() == {1: 2, 2: 0}
    gateway.assert_users_lost_nothing(seen, 2)


@pytest.mark.parametrize("split", [False, True], ids=["moved", "split"])
def test_weights_that_somebody_changed_are_put_back_first(
    release: Release, first: Route, split: bool
) -> None:
    """Invariant 6."""
    deploy(release, "2", auto_promotion_enabled=False).check()
    first.set_weights(*((50, 50) if split else (0, 100)))
    run = deploy(release, "2", auto_promotion_enabled=False).check()
    assert first.weights() == [TO_FIRST]
    assert "its weights were changed by somebody else" in "\n".join(steps_of(run))
    assert release.phase() == "Paused"


def test_the_guard_counts_where_the_weight_is(
    release: Release, first: Route, kube: Kube
) -> None:
    """Invariant 2: what only the other Service selects goes; what users reach stays."""
    deploy(release, "2", scale_down_delay_seconds=-1).check()
    assert release.directed_to(FIRST) == 1
    assert release.sizes() == {1: 2, 2: 2}
    deploy(release, "2", scale_down_delay_seconds=0).check()
    assert release.sizes() == {1: 0, 2: 2}
    assert release.directed_to(FIRST) == 1


def test_a_rollout_changes_to_a_route(
    release: Release,
    route: Route,
    gateway: Gateway,
    watcher: t.Callable[..., Watcher],
) -> None:
    """Invariant 1: at rest, where the route sends users to its active Service."""
    route.create(rule(0, 100))
    release.deploy("1", active_service=TWO[0]).check()
    run = deploy(release, "2")
    assert run.rc == 2
    assert f"users come through Service {FIRST} now" in message(run)
    route.set_weights(100, 0)
    seen = watcher(FIRST, SECOND)
    deploy(release, "2").check()
    assert route.weights() == [TO_SECOND]
    assert release.sizes() == {1: 0, 2: 2}
    deploy(release, "3").check()
    assert route.weights() == [TO_FIRST]
    assert release.sizes() == {1: 0, 2: 0, 3: 2}
    gateway.assert_users_lost_nothing(seen, 2)
    back = release.deploy("4", active_service=TWO[0])
    assert f"was released with HTTPRoute {ROUTE}, none is given now" in message(back)


def test_eject_leaves_the_weights(
    release: Release, first: Route, gateway: Gateway, watcher: t.Callable[..., Watcher]
) -> None:
    seen = watcher(FIRST, SECOND)
    deploy(release, "2").check()
    release.run("eject").check()
    assert first.weights() == [TO_SECOND]
    for name in (FIRST, SECOND, PREVIEW):
        assert release.service(name)["spec"]["selector"] == {"app": NAME}
    gateway.assert_users_lost_nothing(seen, 2)


def test_check_mode_plans_the_update_of_the_weights(
    release: Release, first: Route
) -> None:
    before = first.get()
    run = start(release, "2", args=["--check"]).wait().check()
    assert f"cut over HTTPRoute {ROUTE} to" in "\n".join(steps_of(run))
    assert first.get() == before


def test_no_gateway_api(
    release: Release, kube: Kube, cluster: Cluster, shared_folder: pathlib.Path
) -> None:
    if not cluster.embedded:
        pytest.skip("whether another cluster has the Gateway API is not ours to say")
    with locked(shared_folder / GATEWAY_LOCK):
        # Another test may have had it a moment ago.
        eventually(lambda: not serves_routes(kube), 60, "no Gateway API")
        run = deploy(release, "1")
    assert run.rc == 2
    assert "this cluster knows no HTTPRoute of gateway.networking.k8s.io/v1" in message(
        run
    )
    assert release.sizes() == {}


FOREIGN = {"name": "other", "port": 80, "weight": 1}
BAD: dict[str, tuple[list[t.Any], dict[str, t.Any], str]] = {
    "absent": ([], {}, "route: HTTPRoute web does not exist in namespace"),
    "neither": (
        [{"backendRefs": [FOREIGN]}],
        {},
        "refers to neither Service web-a nor web-b in any rule",
    ),
    "one": (
        [rule(), rule(1, None, "/x")],
        {},
        "rule 2 of HTTPRoute web refers to Service web-a and not to web-b",
    ),
    "third": (
        [{"backendRefs": [*rule()["backendRefs"], FOREIGN]}],
        {},
        "rule 1 of HTTPRoute web also sends requests to Service other (weight 1)",
    ),
    "split": (
        [rule(90, 10)],
        {},
        "the weights are web-a 90 (rule 1), web-b 10 (rule 1)",
    ),
    "rules disagree": (
        [rule(), rule(0, 100, "/x")],
        {},
        "does not send all requests to one of its two Services",
    ),
    "one Service": ([rule()], {"active_service": TWO[:1]}, "1 were given"),
    "cutover": ([rule()], {"cutover": "overlap"}, "cutover: overlap is how Services"),
    "name": ([rule()], {"route": "We b"}, "'We b' cannot name an HTTPRoute"),
    "preview": (
        [rule()],
        {"preview_service": service("web", selector={"app": NAME})},
        "preview_service: Service web has the name of the HTTPRoute",
    ),
}


def test_what_is_refused_before_the_first_write(
    release: Release, route: Route, kube: Kube
) -> None:
    for case, (rules, options, expected) in BAD.items():
        if rules:
            route.create(*rules)
        run = deploy(release, "1", **options)
        assert run.rc == 2, case
        assert expected in message(run), (case, message(run))
        assert release.sizes() == {}, case
        assert kube.list(resource_path("services", release.namespace)) == [], case
        if rules:
            kube.delete(route.path)


def test_a_plain_deployment_is_not_adopted_behind_a_route(
    release: Release, route: Route, gateway: Gateway, kube: Kube
) -> None:
    route.create()
    for each in TWO:
        kube.create(resource_path("services", release.namespace), each)
    plain = deployment(NAME, replicas=2)
    kube.create(resource_path("deployments", release.namespace), plain)
    path = resource_path("deployments", release.namespace, NAME)
    eventually(
        lambda: kube.get(path)["status"].get("availableReplicas") == 2, 60, "its pods"
    )
    run = deploy(release, "1")
    assert run.rc == 2
    assert "is not adopted behind a route" in message(run)
    # The way that the sentence names.
    release.deploy("1", active_service=FIRST, other_services=[SECOND]).check()
    deploy(release, "2").check()
    assert route.weights() == [TO_SECOND]


def test_the_example_of_the_page(
    release: Release, route: Route, gateway: Gateway, kube: Kube
) -> None:
    page = (ROOT / "docs" / "routes.md").read_text()
    blocks = re.findall(r"^```yaml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    manifest, variables = map(yaml.safe_load, blocks)
    manifest["metadata"]["namespace"] = release.namespace
    kube.create(route.folder, manifest)
    given = {
        key.removeprefix("bluegreen_"): value
        for key, value in variables.items()
        if key not in ("bluegreen_namespace", "bluegreen_definition")
    }
    for version, weights in (("1", TO_FIRST), ("2", TO_SECOND)):
        release.deploy(version, **given).check()
        assert route.weights() == [weights]


def test_a_refused_route_is_corrected_before_a_release(
    release: Release, first: Route, gateway: Gateway
) -> None:
    gateway.refuses = lambda _route: "RefNotPermitted"
    gateway.answer()
    run = deploy(release, "2")
    assert run.rc == 2
    assert "says ResolvedRefs=False of it (RefNotPermitted)" in message(run)
    assert release.sizes() == {1: 2}
    # Nothing to do is no reason to fail.
    assert not deploy(release, "1").check().changed
