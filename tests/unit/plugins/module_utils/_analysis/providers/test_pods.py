# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The health of pods, from what the Kubernetes API lists of them."""

from __future__ import annotations

import typing as t
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.measurement import (  # noqa: E501 - a module's name
    MeasurementError,
    Place,
    Request,
    Value,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.providers import (  # noqa: E501 - a package's name
    pods,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._errors import (
    ApiError,
    BluegreenError,
)

Object = dict[str, t.Any]

NOW = datetime(2026, 1, 2, 12, 0, tzinfo=timezone.utc)
# What the built-in analysis wants to be zero.
TROUBLES = ("restarts", "unready", "crash_loops", "image_errors", "warnings")


def ago(seconds: float) -> str:
    """Kubernetes' spelling, in whole seconds."""
    return (NOW - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def pod(
    name: str = "a",
    *,
    started: float = 100,
    ready: bool = True,
    since: float | None = None,
    phase: str = "Running",
    containers: t.Sequence[Object] = ({"name": "web", "restartCount": 0},),
    **more: t.Any,
) -> Object:
    """A pod that started, and became as ready as it is, so many seconds ago."""
    condition = {
        "type": "Ready",
        "status": "True" if ready else "False",
        "reason": None if ready else "ContainersNotReady",
        "lastTransitionTime": ago(started if since is None else since),
    }
    metadata = {"name": name, "uid": f"uid-{name}", "creationTimestamp": ago(started)}
    return {
        "metadata": metadata,
        "spec": {"containers": [{"name": "web"}]},
        "status": {
            "phase": phase,
            "startTime": ago(started),
            "conditions": [condition],
            "containerStatuses": list(containers),
        },
        **more,
    }


def unscheduled(created: float) -> Object:
    metadata = {"name": "a", "uid": "uid-a", "creationTimestamp": ago(created)}
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/4 nodes are available",
    }
    status = {"phase": "Pending", "conditions": [condition]}
    return {"metadata": metadata, "spec": {}, "status": status}


def waiting(reason: str, restarts: int = 0, **more: t.Any) -> Object:
    return {
        "name": "web",
        "image": "example/web:2",
        "restartCount": restarts,
        "state": {"waiting": {"reason": reason, "message": "details"}},
        **more,
    }


def event(
    seen: float, reason: str = "Unhealthy", of: str = "a", **more: t.Any
) -> Object:
    return {
        "metadata": {"creationTimestamp": ago(seen)},
        "involvedObject": {"kind": "Pod", "name": of, "uid": f"uid-{of}"},
        "type": "Warning",
        "reason": reason,
        "message": "Readiness probe failed",
        "lastTimestamp": ago(seen),
        **more,
    }


def health(*of: Object, events: t.Sequence[Object] = (), **more: float) -> Object:
    return pods.health_of(of, events, NOW, **more)


def troubles(found: Object) -> dict[str, int]:
    return {name: found[name] for name in TROUBLES if found[name]}


def test_healthy_pods() -> None:
    assert health(pod("a", since=90), pod("b", since=30)) == {
        "pods": 2,
        "ready": 2,
        "unready": 0,
        "lost_ready": 0,
        "restarts": 0,
        "crash_loops": 0,
        "image_errors": 0,
        "ended": 0,
        "warnings": 0,
        "oldest_ready_seconds": 90,
        "reasons": [],
    }


# -- starting ------------------------------------------------------------------------


@pytest.mark.parametrize(("started", "unready"), [(10, 0), (60, 0), (61, 1)])
def test_a_pod_may_take_its_time_to_start(started: float, unready: int) -> None:
    found = health(pod(started=started, ready=False))
    assert (found["ready"], found["unready"]) == (0, unready)
    assert found["lost_ready"] == 0
    assert found["reasons"] == ["a: not ready (ContainersNotReady)"][:unready]


def test_the_time_to_start_can_be_set() -> None:
    slow = pod(started=100, ready=False)
    assert health(slow, startup_seconds=120)["unready"] == 0
    assert health(slow, startup_seconds=90)["unready"] == 1


def test_a_pod_without_a_node() -> None:
    assert troubles(health(unscheduled(30))) == {}
    found = health(unscheduled(90))
    assert found["unready"] == 1
    assert found["reasons"] == ["a: Unschedulable: 0/4 nodes are available"]


def test_a_healthy_start_is_no_trouble() -> None:
    """Probes that failed, a node that was not there and a slow volume."""
    events = [
        event(95, "FailedScheduling"),
        event(92, "FailedMount"),
        event(85, "Unhealthy", count=7),
        event(80, "Unhealthy"),
    ]
    assert troubles(health(pod(started=100, since=80), events=events)) == {}
    still_starting = pod(started=100, ready=False)
    assert troubles(health(still_starting, events=events, startup_seconds=200)) == {}


def test_an_initial_container_may_be_tried_again() -> None:
    tried = {"name": "wait", "restartCount": 4}
    sidecar = {"name": "proxy", "restartCount": 2}
    found = pod(since=50)
    found["spec"]["initContainers"] = [
        {"name": "wait"},
        {"name": "proxy", "restartPolicy": "Always"},
    ]
    found["status"]["initContainerStatuses"] = [tried, sidecar]
    assert health(found)["restarts"] == 2


# -- trouble -------------------------------------------------------------------------


def test_a_pod_that_was_ready_is_unready_at_once() -> None:
    found = health(pod(started=30, ready=False, since=5), pod("b"))
    assert troubles(found) == {"unready": 1}
    assert found["lost_ready"] == 1


def test_conditions_that_come_a_second_late_are_no_loss() -> None:
    assert health(pod(started=30, ready=False, since=28))["lost_ready"] == 0


def test_restarts() -> None:
    ended = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    again = {"name": "web", "restartCount": 2, "lastState": ended}
    once = {"name": "log", "restartCount": 1}
    found = health(pod(containers=[again, once]), pod("b"))
    assert troubles(found) == {"restarts": 3}
    assert found["reasons"] == [
        "a: container web was restarted 2 times, last with exit code 137 (OOMKilled)",
        "a: container log was restarted 1 time",
    ]


def test_a_crash_loop() -> None:
    crashing = pod(ready=False, containers=[waiting("CrashLoopBackOff", 3)])
    found = health(crashing, startup_seconds=600)
    assert troubles(found) == {"crash_loops": 1, "restarts": 3}


@pytest.mark.parametrize(
    "reason", ["ErrImagePull", "ImagePullBackOff", "InvalidImageName"]
)
def test_an_image_that_cannot_be_had(reason: str) -> None:
    found = health(
        pod(ready=False, containers=[waiting(reason)]), pod("b"), startup_seconds=600
    )
    assert troubles(found) == {"image_errors": 1}


def test_an_image_that_is_being_pulled_is_none() -> None:
    starting = pod(started=30, ready=False, containers=[waiting("ContainerCreating")])
    assert troubles(health(starting)) == {}


def test_pods_that_are_deleted_or_were_replaced_do_not_count() -> None:
    deleted = pod("b", ready=False)
    deleted["metadata"]["deletionTimestamp"] = ago(1)
    evicted = pod("c", ready=False, phase="Failed")
    found = health(pod(), deleted, evicted, events=[event(1, of="b"), event(1, of="c")])
    assert troubles(found) == {}
    assert (found["pods"], found["ended"]) == (1, 1)


# -- Events --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "counts"),
    [
        (event(30), 1),
        (event(30, "Evicted"), 1),
        (event(30, type="Normal"), 0),
        (event(30, of="other"), 0),
        (event(30, "DNSConfigForming"), 0),
        (event(30, "FailedToRetrieveImagePullSecret"), 0),
        # Before the pod was ready, and in the second in which it became so.
        (event(85), 0),
        (event(80), 0),
        (event(500, series={"lastObservedTime": ago(30)}), 1),
        (event(500, lastTimestamp=None, eventTime=ago(30)), 1),
        (event(30, lastTimestamp=None), 1),
        (event(500), 0),
    ],
)
def test_warnings(found: Object, counts: int) -> None:
    assert health(pod(since=80), events=[found])["warnings"] == counts


def test_a_warning_counts_for_the_window() -> None:
    old = pod(started=1000)
    assert health(old, events=[event(299)])["warnings"] == 1
    assert health(old, events=[event(301)])["warnings"] == 0
    assert health(old, events=[event(301)], window_seconds=400)["warnings"] == 1


def test_a_pod_that_flapped_shows_by_its_warnings() -> None:
    """It is ready again since 5 s; what failed 20 s ago was no part of its start."""
    flapped = pod(started=200, since=5)
    assert troubles(health(flapped, events=[event(20)])) == {"warnings": 1}


def test_reasons_are_short_and_few() -> None:
    many = [pod(f"p{n}", ready=False) for n in range(14)]
    events = [event(1, of="p0", message="x" * 5000)]
    reasons = health(*many, events=events)["reasons"]
    assert len(reasons) == 11
    assert reasons[-1] == "and 5 more"
    (long,) = health(pod("p0"), events=events)["reasons"]
    assert len(long) < 250


# -- measuring -----------------------------------------------------------------------


class FakeApi:
    """Lists what it is told."""

    def __init__(self, *answers: t.Any) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, t.Mapping[str, str]]] = []

    def get(self, path: str, query: t.Mapping[str, str]) -> t.Any:
        self.asked.append((path, query))
        answer = self.answers.pop(0)
        if isinstance(answer, BluegreenError):
            raise answer
        return answer


def request_of(api: FakeApi, config: Object | None = None, **place: t.Any) -> Request:
    where: Object = {"namespace": "shop", "rollout": "web", "revision": "abc"}
    return Request(
        metric="pods",
        number=1,
        config=config or {},
        config_of_stable={},
        place=Place(
            now=lambda: NOW,
            secret=lambda name, key: "",
            api=lambda: t.cast(t.Any, api),
            **{**where, **place},
        ),
    )


OWN = "cutover.bluegreen/rollout=web,cutover.bluegreen/revision-hash=abc"


def test_what_is_asked_for() -> None:
    api = FakeApi({"items": [pod(since=90)]}, {"items": [event(10)]})
    found = pods.measure(request_of(api))
    assert isinstance(found, Value)
    assert found.value["warnings"] == 1
    assert found.metadata == {"selector": OWN}
    assert api.asked == [
        ("/api/v1/namespaces/shop/pods", {"labelSelector": OWN}),
        (
            "/api/v1/namespaces/shop/events",
            {"fieldSelector": "type=Warning,involvedObject.kind=Pod"},
        ),
    ]


def test_the_block_is_heeded() -> None:
    config = {"selector": "app=web", "startupSeconds": 200, "window": "5s"}
    slow = pod(started=150, ready=False)
    api = FakeApi({"items": [slow, pod("b")]}, {"items": [event(10, of="b")]})
    found = pods.measure(request_of(api, config, rollout="", revision=""))
    assert isinstance(found, Value)
    assert troubles(found.value) == {}
    assert api.asked[0][1] == {"labelSelector": "app=web"}


@pytest.mark.parametrize("listed", [[], [pod(phase="Failed")]])
def test_no_pods_are_no_data(listed: list[Object]) -> None:
    api = FakeApi({"items": listed}, {"items": []})
    found = pods.measure(request_of(api))
    assert isinstance(found, Value)
    assert found.value is None


def test_no_rollout_and_no_selector() -> None:
    with pytest.raises(MeasurementError, match="give a label selector"):
        pods.measure(request_of(FakeApi(), rollout="", revision=""))


def test_a_refusal_is_handed_on() -> None:
    api = FakeApi({"items": [pod()]}, ApiError("Events are forbidden.", 403))
    with pytest.raises(MeasurementError, match="^Events are forbidden\\.$"):
        pods.measure(request_of(api))


@pytest.mark.parametrize(
    ("config", "field", "text"),
    [
        ({"selectors": "a"}, "pods.selectors", "there is no such field"),
        ({"selector": 1}, "pods.selector", "a number was found"),
        ({"startupSeconds": "soon"}, "pods.startupSeconds", "'soon' was found"),
        ({"window": "5 minutes"}, "pods.window", "expected is a duration"),
    ],
)
def test_problems(config: Object, field: str, text: str) -> None:
    (problem,) = pods.problems(config)
    assert problem.field == field
    assert text in problem.text
    with pytest.raises(MeasurementError, match=field):
        pods.measure(request_of(FakeApi(), config))


def test_no_problems() -> None:
    assert pods.problems({}) == []
    placeholders = {"selector": "{{args.a}}", "startupSeconds": "{{ args.b }}"}
    assert pods.problems({**placeholders, "window": "{{args.c}}"}) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(JSON, st.data())
def test_garbage_from_a_server_is_one_sentence(
    replaced: t.Any, data: st.DataObject
) -> None:
    """Any part of a pod or an Event may be anything."""
    listed = [pod(since=90)]
    seen = [event(10)]
    part: t.Any = data.draw(st.sampled_from([listed, seen]))
    while isinstance(part, (dict, list)) and part:
        keys = list(part) if isinstance(part, dict) else list(range(len(part)))
        key = data.draw(st.sampled_from(keys))
        deeper = isinstance(part[key], (dict, list)) and part[key]
        if not deeper or data.draw(st.booleans()):
            part[key] = replaced
            break
        part = part[key]
    api = FakeApi({"items": listed}, {"items": seen})
    try:
        assert isinstance(pods.measure(request_of(api)), Value)
    except MeasurementError as error:
        assert "\n" not in str(error)
