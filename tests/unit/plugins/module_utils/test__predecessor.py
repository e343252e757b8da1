# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ran an application before, and what of it cannot be taken over."""

from __future__ import annotations

import copy
import json
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils import (
    _names as names,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._errors import (
    BadInput,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._manifests import (
    parse_deployment,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._predecessor import (
    ARGO_KEY,
    ARGO_MANAGED_BY,
    DEPLOYMENT,
    ROLLOUT,
    Asked,
    Predecessor,
    active_of,
    as_it_runs,
    differing_labels,
    has_unseen_change,
    manifest_of,
    own_selector,
    parse_take_over,
    refuse_rollout,
    refuse_service,
    refuse_undirected,
    refuse_unready,
    refuse_unsettled,
    services_of,
    template_as_run,
)

Object = dict[str, t.Any]

ARGO = Predecessor(ROLLOUT, "web", "u1", "web-abc", "u2", (ARGO_KEY,))
PAIR = Predecessor(DEPLOYMENT, "web-blue", "u1", "web-blue-abc", "u2", ("color",))
LABELS = {"app": "web", "color": "blue"}


def template(**labels: str) -> Object:
    spec = {"containers": [{"name": "web", "image": "web:1"}]}
    return {"metadata": {"labels": {"app": "web", **labels}}, "spec": spec}


def rollout(**status: t.Any) -> Object:
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {
            "name": "web",
            "namespace": "shop",
            "generation": 3,
            "labels": {"team": "a"},
            "annotations": {"rollout.argoproj.io/revision": "3", "note": "kept"},
        },
        "spec": {
            "replicas": 3,
            "minReadySeconds": 5,
            "selector": {"matchLabels": {"app": "web"}},
            "template": template(),
            "strategy": {"blueGreen": {"activeService": "web", "previewService": "p"}},
        },
        "status": {
            "phase": "Healthy",
            "observedGeneration": "3",
            "stableRS": "abc",
            "currentPodHash": "abc",
            "blueGreen": {"activeSelector": "abc"},
            **status,
        },
    }


def replica_set(wanted: int = 3, available: int = 3) -> Object:
    labels = {"app": "web", ARGO_KEY: "abc"}
    return {
        "metadata": {"name": "web-abc", "uid": "u2", "labels": labels},
        "spec": {
            "replicas": wanted,
            "selector": {"matchLabels": dict(labels)},
            "template": template(**{ARGO_KEY: "abc"}),
        },
        "status": {"availableReplicas": available},
    }


def deployment(colour: str, **changes: t.Any) -> Object:
    return {
        "metadata": {"name": f"web-{colour}", "generation": 1, **changes},
        "spec": {"replicas": 3, "template": template(color=colour)},
        "status": {
            "observedGeneration": 1,
            **dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas"), 3),
        },
    }


def service(
    selector: Object | None = None, annotations: Object | None = None
) -> Object:
    return {
        "metadata": {"name": "web", "annotations": annotations or {}},
        "spec": {"selector": LABELS if selector is None else selector},
    }


# -- the option ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, Asked(rollout="web")),
        ("", Asked(rollout="web")),
        ({"rollout": "shop"}, Asked(rollout="shop")),
        ({"blue": "b", "green": "g"}, Asked(pair=("b", "g"))),
        ("blue: b\ngreen: g", Asked(pair=("b", "g"))),
    ],
)
def test_what_is_asked_for(value: object, expected: Asked) -> None:
    assert parse_take_over(value, "web") == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["web"], "['web'] was found"),
        ({"deployment": "web"}, "deployment is not known"),
        ({"blue": "b"}, "blue: b was found"),
        ({"blue": "b", "green": "b"}, "blue: b, green: b was found"),
        ({"rollout": "r", "blue": "b", "green": "g"}, "rollout: r was found"),
        ({}, "nothing was found"),
        ({"rollout": 7}, "rollout is 7"),
    ],
)
def test_another_option_is_refused(value: object, expected: str) -> None:
    with pytest.raises(BadInput) as error:
        parse_take_over(value, "web")
    assert str(error.value).startswith("take_over: ")
    assert expected in str(error.value)


# -- what a begun take-over keeps ----------------------------------------------------


@pytest.mark.parametrize("before", [ARGO, PAIR])
def test_a_begun_take_over_is_read_back(before: Predecessor) -> None:
    assert Predecessor.from_json(before.to_json()) == before


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "7", json.dumps({**json.loads(ARGO.to_json()), "kind": "Pod"})],
)
def test_an_edited_one_is_none(text: str) -> None:
    assert Predecessor.from_json(text) is None


# -- a Rollout -----------------------------------------------------------------------


def test_a_settled_rollout_passes() -> None:
    refuse_rollout(rollout())
    refuse_rollout(rollout(phase="Paused"))
    assert services_of(rollout()) == ("web", "p")
    assert not has_unseen_change(rollout())
    assert has_unseen_change(rollout(observedGeneration="2"))


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"currentPodHash": "def"}, "an update of Rollout web is in flight"),
        ({"stableRS": ""}, "an update of Rollout web is in flight (stable is none"),
        ({"phase": "Degraded"}, "Rollout web is Degraded, Healthy or Paused"),
        ({"phase": None}, "Rollout web is without a phase"),
        ({"blueGreen": {"activeSelector": "def"}}, "selects def, its stable"),
        ({"blueGreen": None}, "selects none, its stable"),
    ],
)
def test_one_that_is_not_at_rest_is_refused(status: Object, expected: str) -> None:
    with pytest.raises(BadInput) as error:
        refuse_rollout(rollout(**status))
    assert expected in str(error.value)


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ({"canary": {}}, "the strategy canary"),
        ({"blueGreen": {}}, "the strategy blueGreen and no"),
        (None, "the strategy none"),
    ],
)
def test_a_canary_is_refused(strategy: object, expected: str) -> None:
    other = rollout()
    other["spec"]["strategy"] = strategy
    with pytest.raises(BadInput) as error:
        refuse_rollout(other)
    assert expected in str(error.value)


def test_what_is_being_deleted_is_refused() -> None:
    gone = rollout()
    gone["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    with pytest.raises(BadInput, match="is being deleted by somebody else"):
        refuse_rollout(gone)
    with pytest.raises(BadInput, match="is being deleted by somebody else"):
        refuse_unsettled(deployment("blue", deletionTimestamp="2026-01-01T00:00:00Z"))


def test_its_manifest_is_what_its_user_gave() -> None:
    manifest = manifest_of(rollout(), replica_set())
    assert manifest["metadata"] == {
        "name": "web",
        "namespace": "shop",
        "labels": {"team": "a"},
        "annotations": {"note": "kept"},
    }
    assert manifest["spec"] == {
        "replicas": 3,
        "minReadySeconds": 5,
        "selector": {"matchLabels": {"app": "web"}},
        "template": template(),
    }
    assert parse_deployment(manifest, "shop").template == template()


def test_where_it_refers_to_a_template_that_of_its_pods_counts() -> None:
    referring = rollout()
    referring["spec"]["template"] = {"spec": {"containers": None}}
    assert manifest_of(referring, replica_set())["spec"]["template"] == template()


def test_a_manifest_gets_the_selector_that_runs() -> None:
    other = manifest_of(rollout(), replica_set())
    other["spec"]["template"] = template(tier="web")
    other["spec"]["selector"] = {"matchLabels": {"tier": "web"}}
    given = parse_deployment(other, "shop")
    kept = copy.deepcopy(given.body)
    assert as_it_runs(given, replica_set()).body["spec"]["selector"] == {
        "matchLabels": {"app": "web"}
    }
    assert given.body == kept


def test_labels_of_controllers_do_not_count_in_a_template() -> None:
    ours = {names.LABEL_ROLLOUT: "web", names.LABEL_HASH: "0123456789"}
    found = replica_set()
    found["spec"]["template"] = template(
        **{ARGO_KEY: "abc", "pod-template-hash": "x", "color": "blue", **ours}
    )
    assert template_as_run(found, ["color"]) == template()


# -- a pair --------------------------------------------------------------------------


def test_the_one_that_every_active_service_selects_is_active() -> None:
    blue, green = deployment("blue"), deployment("green")
    assert active_of([blue, green], [service(), service({"color": "blue"})]) is blue
    assert differing_labels(blue, green) == ("color",)


@pytest.mark.parametrize(
    ("services", "expected"),
    [
        ([service({"app": "web"})], "selects the pods of each of"),
        ([service({"app": "shop"})], "selects no pod of"),
        ([service({})], "selects no pod of"),
        ([service(), service({"color": "green"})], "selects no pod of Deployment web-"),
    ],
)
def test_none_is_active_otherwise(services: list[Object], expected: str) -> None:
    pair = [deployment("blue"), deployment("green")]
    with pytest.raises(BadInput) as error:
        active_of(pair, services)
    assert expected in str(error.value)


def test_an_unsettled_or_paused_one_is_refused() -> None:
    refuse_unsettled(deployment("blue"))
    paused, unsettled = deployment("blue"), deployment("blue")
    paused["spec"]["paused"] = True
    unsettled["status"]["availableReplicas"] = 2
    with pytest.raises(BadInput, match="is paused; resume it"):
        refuse_unsettled(paused)
    with pytest.raises(BadInput, match=r"is not settled \(2 of 3 pods available"):
        refuse_unsettled(unsettled)


# -- what both have ------------------------------------------------------------------


@pytest.mark.parametrize(("wanted", "available"), [(0, 0), (3, 2)])
def test_pods_that_are_not_available_are_refused(wanted: int, available: int) -> None:
    refuse_unready(replica_set())
    with pytest.raises(BadInput, match=f"has {available} of {wanted} pods available"):
        refuse_unready(replica_set(wanted, available))


def test_a_service_keeps_its_users_own_selector() -> None:
    found = service({**LABELS, names.LABEL_HASH: "0123456789"})
    assert own_selector(found, ["color"]) == {"app": "web"}
    refuse_service(found, "active_service", "web", PAIR, {"app": "web"})


@pytest.mark.parametrize(
    ("found", "before", "expected"),
    [
        (
            service(annotations={names.ANNOTATION_ROLLOUT: "shop"}),
            PAIR,
            "belongs to the rollout",
        ),
        (
            service(annotations={ARGO_MANAGED_BY: "web"}),
            PAIR,
            "directed by the Argo Rollout web",
        ),
        (
            service(annotations={ARGO_MANAGED_BY: "shop"}),
            ARGO,
            "directed by the Argo Rollout",
        ),
        (service({"color": "blue"}), PAIR, "selects by color alone"),
        (service({"app": "web", "tier": "x"}), PAIR, "selects tier=x, the pods of"),
    ],
)
def test_a_service_of_others_or_for_nobody_is_refused(
    found: Object, before: Predecessor, expected: str
) -> None:
    with pytest.raises(BadInput) as error:
        refuse_service(found, "preview_service", "web", before, {"app": "web"})
    assert str(error.value).startswith("preview_service: Service web ")
    assert expected in str(error.value)


def test_an_active_service_that_leads_elsewhere_is_refused() -> None:
    refuse_undirected(service({"app": "web", ARGO_KEY: "abc"}), replica_set())
    with pytest.raises(BadInput, match="selects app=web, color=blue, which are not"):
        refuse_undirected(service(), replica_set())
