# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Deployment as the template of revisions, and when it gives up its own pods."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils import (
    _workload as workloads,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._decide import decide
from ansible_collections.cutover.bluegreen.plugins.module_utils._errors import BadInput
from ansible_collections.cutover.bluegreen.plugins.module_utils._manifests import (
    parse_deployment,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._model import (
    Observed,
    Workload,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._record import Record
from ansible_collections.cutover.bluegreen.plugins.module_utils._stages import (
    HEALTHY,
    PROMOTED,
    RETIRED,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._steps import (
    Done,
    EndWorkload,
    Note,
    Wait,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._view import Want
from ansible_collections.cutover.bluegreen.tests.unit.support.states import (
    NOW,
    V1,
    after,
    observed,
    revision,
    service,
)


def live(replicas: int = 3, mark: str = "", **spec: t.Any) -> dict[str, t.Any]:
    annotations = {"team": "shop", "deployment.kubernetes.io/revision": "4"}
    if mark:
        annotations[workloads.ANNOTATION_REPLICAS] = mark
    metadata = {"labels": {"app": "web"}, "creationTimestamp": None}
    restarted = {"kubectl.kubernetes.io/restartedAt": "2026-01-02T03:04:05Z"}
    return {
        "metadata": {"name": "web", "uid": "u", "annotations": annotations},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {**metadata, "annotations": restarted},
                "spec": {"containers": [{"name": "web", "image": "web:1"}]},
            },
            **spec,
        },
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ("", ""),
        ("web", '{"name":"web","scale_down":"never"}'),
        ({"name": "web"}, '{"name":"web","scale_down":"never"}'),
        (
            "name: web\nscale_down: on_success",
            '{"name":"web","scale_down":"on_success"}',
        ),
    ],
)
def test_a_reference(value: object, text: str) -> None:
    assert workloads.parse_workload_ref(value, "workload_ref") == text


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"name": "web", "kind": "PodTemplate"}, "kind is not known"),
        ({"name": "No Name"}, "give the name of a Deployment"),
        ({"scale_down": "never"}, "name is missing"),
        ({"name": "web", "scale_down": "later"}, "give never or on_success"),
        ({"name": "web", "scale_down": "progressively"}, "still selects"),
        ([1], "a manifest is expected"),
    ],
)
def test_what_is_no_reference(value: object, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        workloads.parse_workload_ref(value, "workload_ref")


def test_a_restart_or_another_size_is_no_new_version() -> None:
    found = parse_deployment(workloads.definition_of(live()), "shop")
    restarted = live(0, "3/0")
    restarted["spec"]["template"]["metadata"]["annotations"] = {
        "kubectl.kubernetes.io/restartedAt": "2027-01-01T00:00:00Z"
    }
    again = parse_deployment(workloads.definition_of(restarted), "shop")
    assert found == again
    assert found.body["metadata"]["annotations"] == {"team": "shop"}


@pytest.mark.parametrize(
    ("replicas", "mark", "planned"),
    [(3, "", 3), (0, "3/0", 3), (5, "3/0", 5), (0, "", 0), (0, "x/0", 0)],
)
def test_its_planned_size_is_what_its_owner_gave_it(
    replicas: int, mark: str, planned: int
) -> None:
    assert workloads.planned_size(live(replicas, mark)) == planned


def test_the_refusals() -> None:
    assert not workloads.refusal_of(live(), "web", "workload_ref")
    assert "is paused" in workloads.refusal_of(live(paused=True), "web", "x")
    owned = live()
    owned["metadata"]["ownerReferences"] = [{"controller": True, "uid": "o"}]
    assert "belongs to another object" in workloads.refusal_of(owned, "web", "x")


# -- it gives up its pods --------------------------------------------------------------


def at_rest(replicas: int = 3, **changes: t.Any) -> Observed:
    values = {"stage": RETIRED, "phase": HEALTHY, "stable": V1, **changes}
    record = Record(revision=V1, active=V1, last_number=1, **values)
    seen = observed([revision(V1)], [service(V1)], record)
    return dataclasses.replace(seen, workload=Workload("web", replicas, True))


def test_once_its_users_have_moved_and_nodes_have_followed() -> None:
    step = decide(Want(RETIRED), at_rest(), NOW)
    assert isinstance(step, Note)
    assert step.record.workload_at == step.record.next_at == after(30)
    waiting = at_rest(workload_at=after(30))
    assert isinstance(decide(Want(RETIRED), waiting, NOW), Wait)
    assert isinstance(decide(Want(RETIRED, inline=False), waiting, NOW), Done)
    assert isinstance(decide(Want(RETIRED), waiting, after(30)), EndWorkload)


def test_and_never_before() -> None:
    for state in (
        at_rest(stage=PROMOTED, workload_at=NOW, stable=""),
        dataclasses.replace(at_rest(workload_at=NOW), workload=Workload("web", 3)),
    ):
        assert not isinstance(decide(Want(RETIRED), state, NOW), EndWorkload)


def test_with_no_pods_nothing_is_left_to_do() -> None:
    step = decide(Want(RETIRED), at_rest(0, workload_at=NOW), NOW)
    assert isinstance(step, Note)
    assert step.record.workload_at is None
    assert isinstance(decide(Want(RETIRED), at_rest(0), NOW), Done)
