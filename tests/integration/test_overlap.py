# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cutover by overlap: two revisions serve, for as long as the record declares it."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.cutover.bluegreen.tests.integration.support.analysis import (
    template,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
    Kube,
    Object,
    resource_path,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.manifests import (
    service,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.playbook import (
    Handle,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.readiness import (
    pods_of,
    set_ready,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.release import (
    ACTIVE,
    NAME,
    PREVIEW,
    Path,
    Release,
    message,
    rollout_of,
    says,
    steps_of,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.selections import (
    EVERY_REVISION,
    ROLLOUT_LABEL,
    Selections,
    selected_by,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.waiting import (
    eventually,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.watcher import (
    Watcher,
)

# Longer than any test.
LONG = 600
OVERLAP: dict[str, t.Any] = {"cutover": "overlap", "overlap_seconds": 1}
HELD: dict[str, t.Any] = {"cutover": "overlap", "overlap_seconds": LONG}
KEPT: dict[str, t.Any] = {"scale_down_delay_seconds": LONG, "wait": "detach"}
Watch = t.Callable[..., Watcher]


def begin_to_hold(release: Release, **options: t.Any) -> Handle:
    """Start a deploy of V2 that stays in its window, and wait until it is there."""
    handle = release.start_deploy("2", **{**HELD, **options})
    await_hold(release, handle)
    return handle


def await_hold(release: Release, handle: Handle) -> None:
    def holds() -> bool:
        assert handle.running, f"it ended\n{handle.wait()}"
        return "narrow_at" in release.details()

    eventually(holds, 60, "two revisions that serve")
    assert selected_by(release.service()) == EVERY_REVISION


def a_step_says(steps: t.Iterable[str], *parts: str) -> bool:
    return any(all(part in step for part in parts) for step in steps)


def users_are_back_with_v1(release: Release, seen: Watcher, floor: int = 2) -> None:
    first = release.hash_of(1)
    assert release.directed_to(ACTIVE) == 1
    eventually(
        lambda: seen.revisions_of(seen.moments(ACTIVE)[-1]) == {first}, 10, "V1 alone"
    )
    seen.assert_never_below(ACTIVE, floor)


# -- the way of an overlap -------------------------------------------------------------


@pytest.mark.lane
def test_both_serve_for_a_while_and_only_as_declared(
    release: Release,
    watcher: Watch,
    selections: t.Callable[[], Selections],
    path: Path,
) -> None:
    """Invariant 1: the window is the one that the record declares."""
    release.path = path
    release.deploy("1", replicas=3).check()
    seen, selected = watcher(ACTIVE), selections()
    run = release.deploy("2", replicas=3, **OVERLAP).check()
    first, second = release.hash_of(1), release.hash_of(2)
    assert selected.of(ACTIVE) == [first, EVERY_REVISION, second]
    assert selected.of(PREVIEW) == [first, second]
    assert selected.assert_mixed_only_as_declared(seen, ACTIVE) > 0
    assert max(len(m.ready) for m in seen.moments(ACTIVE)) == 6
    seen.assert_never_below(ACTIVE, 3)
    assert seen.revisions_seen(ACTIVE) == [first, second]
    steps = steps_of(run)
    assert a_step_says(steps, "let Service web select revision 2", ": as asked for")
    assert a_step_says(steps, "serves beside the other revision for 1 s")
    assert a_step_says(steps, "cut over Service web to revision 2", "alone: both have")
    assert release.sizes() == {1: 0, 2: 3}
    assert release.phase() == "Healthy"
    assert release.details().get("intent") is None
    assert release.details().get("narrow_at") is None
    assert not release.deploy("2", replicas=3, **OVERLAP).check().changed


def test_for_no_time_at_all(
    release: Release, watcher: Watch, selections: t.Callable[[], Selections]
) -> None:
    """Both are seen in the slices all the same before V1 leaves them."""
    release.deploy("1").check()
    seen, selected = watcher(ACTIVE), selections()
    release.deploy("2", cutover="overlap", overlap_seconds=0).check()
    first, second = release.hash_of(1), release.hash_of(2)
    assert selected.of(ACTIVE) == [first, EVERY_REVISION, second]
    assert max(len(m.ready) for m in seen.moments(ACTIVE)) == 4
    seen.assert_never_below(ACTIVE, 2)


def test_a_third_revision_goes_first(
    release: Release, watcher: Watch, selections: t.Callable[[], Selections]
) -> None:
    """V1 is kept for long, and would get requests in a window of V2 and V3."""
    release.deploy("1", **KEPT).check()
    release.deploy("2", **KEPT).check()
    assert release.sizes() == {1: 2, 2: 2}
    seen, selected = watcher(ACTIVE), selections()
    run = release.deploy("3", **KEPT, **OVERLAP).check()
    early = "while two revisions serve, before its scale-down delay is over"
    assert a_step_says(steps_of(run), "scale revision 1", "to 0 pods", early)
    assert release.sizes() == {1: 0, 2: 2, 3: 2}
    second, third = release.hash_of(2), release.hash_of(3)
    assert seen.revisions_seen(ACTIVE) == [second, third]
    assert selected.of(ACTIVE) == [second, EVERY_REVISION, third]
    seen.assert_never_below(ACTIVE, 2)


def test_the_plan_says_it(release: Release) -> None:
    release.deploy("1").check()
    run = release.deploy("2", args=["--check"], **HELD).check()
    steps = steps_of(run)
    assert a_step_says(steps, "let Service web select revision 2", "as asked for")
    assert a_step_says(steps, "wait: both revisions serve until only revision 2")
    assert a_step_says(steps, "cut over Service web to revision 2")
    assert release.sizes() == {1: 2}


# -- how it is chosen ------------------------------------------------------------------


def with_spec(**spec: t.Any) -> Object:
    """The active Service with more in its spec."""
    manifest = service(ACTIVE)
    return {**manifest, "spec": {**manifest["spec"], **spec}}


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (
            {"type": "LoadBalancer"},
            "Service web is of type LoadBalancer, whose targets change one after"
            " another",
        ),
        (
            {"type": "NodePort", "externalTrafficPolicy": "Local"},
            "Service web has externalTrafficPolicy Local, so that each node changes for"
            " itself",
        ),
        (
            {"internalTrafficPolicy": "Local"},
            "Service web has internalTrafficPolicy Local, so that each node changes for"
            " itself",
        ),
    ],
    ids=["balanced", "external", "internal"],
)
def test_auto_overlaps_where_one_write_is_a_mixed_window(
    release: Release,
    selections: t.Callable[[], Selections],
    spec: dict[str, t.Any],
    why: str,
) -> None:
    options = {"active_service": with_spec(**spec), "overlap_seconds": 0}
    release.deploy("1", **options).check()
    selected = selections()
    run = release.deploy("2", **options).check()
    assert a_step_says(steps_of(run), f"select revision 2 (web-{release.hash_of(2)})")
    assert a_step_says(steps_of(run), f"beside the present one: {why}")
    first, second = release.hash_of(1), release.hash_of(2)
    assert selected.of(ACTIVE) == [first, EVERY_REVISION, second]


def test_auto_is_one_write_where_that_is_enough(
    release: Release, selections: t.Callable[[], Selections]
) -> None:
    release.deploy("1").check()
    selected = selections()
    run = release.deploy("2").check()
    assert a_step_says(
        steps_of(run),
        "cut over Service web to revision 2",
        "atomic: the endpoints of each Service change in one write",
    )
    assert selected.of(ACTIVE) == [release.hash_of(1), release.hash_of(2)]


def test_atomic_is_taken_at_its_word(
    release: Release, selections: t.Callable[[], Selections]
) -> None:
    options = {"active_service": with_spec(type="LoadBalancer"), "cutover": "atomic"}
    release.deploy("1", **options).check()
    selected = selections()
    run = release.deploy("2", **options).check()
    assert a_step_says(steps_of(run), "atomic: as asked for")
    assert selected.of(ACTIVE) == [release.hash_of(1), release.hash_of(2)]


# -- a run that is ended in its window -------------------------------------------------


@pytest.mark.parametrize("then", ["deploy", "resume", "abort", "another"])
def test_killed_in_the_window(
    release: Release, watcher: Watch, selections: t.Callable[[], Selections], then: str
) -> None:
    """Invariants 1 and 5: the next run closes it before anything else."""
    release.deploy("1").check()
    # A resume goes on with what the release asked for: it must come to its end.
    seconds = 3 if then == "resume" else LONG
    seen, selected = watcher(ACTIVE), selections()
    begin_to_hold(release, overlap_seconds=seconds).kill_tree()
    if then in ("deploy", "another"):
        version = "2" if then == "deploy" else "3"
        run = release.deploy(version, **OVERLAP).check()
    else:
        run = release.run(then).check()
    first = release.hash_of(1)
    closing = "a run was ended while two revisions served"
    assert closing in steps_of(run)[0], steps_of(run)
    last = {"abort": 1, "another": 3}.get(then, 2)
    assert release.directed_to(ACTIVE) == last
    after = [EVERY_REVISION, release.hash_of(last)] if last > 1 else []
    assert selected.of(ACTIVE) == [first, EVERY_REVISION, first, *after]
    selected.assert_mixed_only_as_declared(seen, ACTIVE)
    seen.assert_never_below(ACTIVE, 2)
    assert release.phase() == ("Degraded" if then == "abort" else "Healthy")
    assert release.sizes()[last] == 2


def test_a_look_closes_nothing(release: Release, watcher: Watch) -> None:
    release.deploy("1").check()
    begin_to_hold(release).kill_tree()
    assert not release.run("status").check().changed
    assert selected_by(release.service()) == EVERY_REVISION


# -- the way back ----------------------------------------------------------------------


def test_a_rollback_overlaps(
    release: Release, watcher: Watch, selections: t.Callable[[], Selections]
) -> None:
    release.deploy("1", **KEPT, **OVERLAP).check()
    release.deploy("2", **KEPT, **OVERLAP).check()
    first, second = release.hash_of(1), release.hash_of(2)
    seen, selected = watcher(ACTIVE), selections()
    run = release.run("rollback", wait="detach").check()
    assert rollout_of(run)["active"] == {"revision": 3, "hash": first}
    assert selected.of(ACTIVE) == [second, EVERY_REVISION, first]
    assert selected.assert_mixed_only_as_declared(seen, ACTIVE) > 0
    seen.assert_never_below(ACTIVE, 2)


FAILING = {
    "name": "bad",
    "interval": "200ms",
    "count": 2,
    "successCondition": "result.ready == 0",
    "provider": {"pods": {}},
}


def test_an_abort_after_the_promotion_overlaps(
    release: Release, watcher: Watch, selections: t.Callable[[], Selections]
) -> None:
    release.deploy("1", **OVERLAP).check()
    seen, selected = watcher(ACTIVE), selections()
    run = release.deploy(
        "2",
        **OVERLAP,
        analysis_templates=[template("bad", FAILING)],
        post_promotion_analysis={"templates": [{"templateName": "bad"}]},
    )
    assert run.rc == 2
    assert "was aborted" in message(run)
    first, second = release.hash_of(1), release.hash_of(2)
    there, back = [EVERY_REVISION, second], [EVERY_REVISION, first]
    assert selected.of(ACTIVE) == [first, *there, *back]
    assert selected.assert_mixed_only_as_declared(seen, ACTIVE) > 0
    users_are_back_with_v1(release, seen)
    assert release.details().get("intent") is None


@pytest.mark.parametrize("replicas", [2, 3], ids=["of one size", "of another size"])
def test_an_abort_in_the_window_waits_for_nothing(
    release: Release,
    watcher: Watch,
    selections: t.Callable[[], Selections],
    replicas: int,
) -> None:
    """Invariant 3: another run asks, the one that drives goes back at once."""
    release.deploy("1").check()
    seen, selected = watcher(ACTIVE), selections()
    handle = begin_to_hold(release, replicas=replicas)
    asked = release.run("abort").check()
    assert a_step_says(steps_of(asked), f"to abort revision {release.hash_of(2)}")
    ended = handle.wait()
    assert ended.rc == 2
    assert "was aborted by" in message(ended)
    first = release.hash_of(1)
    assert selected.of(ACTIVE) == [first, EVERY_REVISION, first]
    users_are_back_with_v1(release, seen)
    assert release.sizes() == {1: 2, 2: 0}
    assert release.phase() == "Degraded"


# -- what does not belong into a window ------------------------------------------------


def foreign_pod(kube: Kube, namespace: str, **labels: str) -> str:
    """Make a pod of the application's that is of no revision; its name."""
    container = {"name": NAME, "image": "example/foreign:1"}
    body = {
        "metadata": {
            "name": "stranger",
            "labels": {"app": NAME, ROLLOUT_LABEL: NAME, **labels},
        },
        "spec": {"containers": [container | {"ports": [PORT]}]},
    }
    kube.create(resource_path("pods", namespace), body)
    return "stranger"


PORT = {"name": "http", "containerPort": 8080}


def test_a_foreign_pod_is_found_before_the_write(
    release: Release, kube: Kube, watcher: Watch, selections: t.Callable[[], Selections]
) -> None:
    release.deploy("1").check()
    foreign_pod(kube, release.namespace)
    seen, selected = watcher(ACTIVE), selections()
    refused = message(release.deploy("2", **OVERLAP))
    assert refused.startswith(
        "Pod stranger carries the label cutover.bluegreen/rollout"
    )
    assert "release with cutover: atomic" in refused
    assert selected.of(ACTIVE) == [release.hash_of(1)]
    seen.assert_never_mixed(ACTIVE)
    # One that no active Service would select does no harm.
    stranger = resource_path("pods", release.namespace, "stranger")
    kube.patch(stranger, {"metadata": {"labels": {"app": "another"}}})
    release.deploy("2", **OVERLAP).check()
    assert release.directed_to(ACTIVE) == 2


@pytest.mark.parametrize(
    "labels",
    [{}, {"cutover.bluegreen/revision-hash": "0123456789"}],
    ids=["of no revision", "of an unknown one"],
)
def test_a_foreign_pod_that_appears_closes_the_window(
    release: Release, kube: Kube, watcher: Watch, labels: dict[str, str]
) -> None:
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    handle = begin_to_hold(release)
    foreign_pod(kube, release.namespace, **labels)
    ended = handle.wait()
    assert ended.rc == 2
    first, second = release.hash_of(1), release.hash_of(2)
    failure = message(ended)
    assert failure.startswith(
        "Service web sent requests to pod stranger, which carries"
    )
    assert f"neither revision 1 (web-{first}) nor revision 2 (web-{second})" in failure
    assert failure.endswith("remove it, then run again.")
    users_are_back_with_v1(release, seen)
    assert release.phase() == "Degraded"
    # As it says.
    kube.delete(resource_path("pods", release.namespace, "stranger"))
    release.deploy("2", **OVERLAP).check()
    assert release.directed_to(ACTIVE) == 2
    assert release.phase() == "Healthy"


def make_unready(
    kube: Kube, namespace: str, revision: str, most: int | None = None
) -> None:
    for pod in pods_of(kube, namespace, revision)[:most]:
        set_ready(kube, namespace, pod, False)


def test_v2_is_lost_in_the_window(
    release: Release, kube: Kube, watcher: Watch, selections: t.Callable[[], Selections]
) -> None:
    """V1 has served all the while, and does so alone before the task fails."""
    release.deploy("1").check()
    seen, selected = watcher(ACTIVE), selections()
    handle = begin_to_hold(release)
    make_unready(kube, release.namespace, release.hash_of(2))
    ended = handle.wait()
    assert ended.rc == 2
    failure = message(ended)
    lost = f"revision 2 (web-{release.hash_of(2)}) lost all of its available pods"
    assert failure.startswith(f"{lost} while both revisions served.")
    assert "2 of 2 pods: not ready (ContainersNotReady)" in failure
    first = release.hash_of(1)
    assert selected.of(ACTIVE) == [first, EVERY_REVISION, first]
    users_are_back_with_v1(release, seen)
    assert release.phase() == "Degraded"


def test_a_pod_of_v2_that_comes_back_in_the_window_is_waited_for(
    release: Release, kube: Kube, watcher: Watch
) -> None:
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    handle = begin_to_hold(release, overlap_seconds=4)
    second = release.hash_of(2)
    make_unready(kube, release.namespace, second, most=1)
    says(handle, "1/2 pods available")
    for pod in pods_of(kube, release.namespace, second):
        set_ready(kube, release.namespace, pod, True)
    handle.wait().check()
    assert release.directed_to(ACTIVE) == 2
    seen.assert_never_below(ACTIVE, 2)


def test_v2_lacks_a_pod_for_too_long_and_is_aborted_where_that_is_asked(
    release: Release, kube: Kube, watcher: Watch
) -> None:
    release.deploy("1").check()
    seen = watcher(ACTIVE)
    options = {"progress_deadline_seconds": 2, "progress_deadline_abort": True}
    handle = begin_to_hold(release, **options)
    make_unready(kube, release.namespace, release.hash_of(2), most=1)
    ended = handle.wait()
    assert ended.rc == 2
    assert "was aborted by its progress deadline of 2 s" in message(ended)
    users_are_back_with_v1(release, seen)
    assert release.aborted(2)
