# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._route import (
    holder,
    moved,
    reached,
    refusal_of_shape,
    refusal_of_split,
    verdict,
    weights,
)

TWO = ("a", "b")
Object = dict[str, t.Any]


def ref(name: str, weight: int | None = None, **more: t.Any) -> Object:
    given = {} if weight is None else {"weight": weight}
    return {"name": name, "port": 80, **given, **more}


def route(
    *rules: list[Object], parents: t.Sequence[Object] = ({"name": "gw"},), **more: t.Any
) -> Object:
    return {
        "metadata": {
            "name": "web",
            "namespace": "shop",
            "resourceVersion": "7",
            "generation": 4,
        },
        "spec": {
            "parentRefs": list(parents),
            "rules": [{"backendRefs": references} for references in rules],
        },
        **more,
    }


def said(kind: str, status: str = "True", generation: int = 4, **more: t.Any) -> Object:
    return {
        "type": kind,
        "status": status,
        "observedGeneration": generation,
        **more,
    }


GOOD = [said("Accepted"), said("ResolvedRefs")]


def answered(*conditions: Object, parent: str = "gw", **more: t.Any) -> Object:
    return {"parentRef": {"name": parent, **more}, "conditions": list(conditions)}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([[ref("a", 100), ref("b", 0)]], "a"),
        ([[ref("a", 0), ref("b", 3)]], "b"),
        # No weight means 1.
        ([[ref("a"), ref("b", 0)]], "a"),
        ([[ref("a"), ref("b")]], ""),
        ([[ref("a", 0), ref("b", 0)]], ""),
        ([[ref("a", 1), ref("b", 0)], [ref("a", 0), ref("b", 1)]], ""),
        ([[ref("a", 1), ref("b", 0)], [ref("a", 0), ref("b", 0)]], ""),
        ([[ref("a", 1), ref("b", 0)], [ref("other", 5)]], "a"),
        # Two ports of one Service.
        ([[ref("a", 1), ref("a", 2), ref("b", 0)]], "a"),
        ([[ref("a", 1, namespace="shop"), ref("b", 0)]], "a"),
        # A Service of another namespace, and what is no Service, are not ours.
        ([[ref("a", 1), ref("b", 9, namespace="far"), ref("b", 0)]], "a"),
        ([[ref("a", 1), ref("b", 9, kind="Bucket"), ref("b", 0)]], "a"),
        ([], ""),
    ],
)
def test_who_gets_all_requests(rules: list[list[Object]], expected: str) -> None:
    assert holder(route(*rules), TWO) == expected


def test_each_rule_counts_for_who_is_reached() -> None:
    found = route([ref("a", 1), ref("b", 0)], [ref("a", 0), ref("b", 40)])
    assert weights(found, TWO) == {"a": 1, "b": 40}
    assert reached(found, TWO) == ["a", "b"]
    assert reached(route([ref("a", 1), ref("b", 0)]), TWO) == ["a"]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (route([ref("a"), ref("b", 0)]), ""),
        (route([ref("a"), ref("b", 0)], [ref("x"), ref("y")]), ""),
        (route([ref("a"), ref("b", 0), ref("x", 0)]), ""),
        (route([ref("x")]), "refers to neither Service a nor b in any rule"),
        (route(), "refers to neither Service a nor b in any rule"),
        (
            route([ref("a"), ref("b", 0)], [ref("b", 0)]),
            "rule 2 of HTTPRoute web refers to Service b and not to a",
        ),
        (
            route([ref("a"), ref("b", 0), ref("x")]),
            "rule 1 of HTTPRoute web also sends requests to Service x (weight 1)",
        ),
        (
            route([ref("a"), ref("b", 0), ref("b", 2, kind="Bucket", group="s")]),
            "also sends requests to Bucket b (weight 2)",
        ),
        (route([ref("a"), ref("b", 0)], parents=[]), "is attached to no Gateway"),
    ],
)
def test_what_could_not_be_moved_is_refused(found: Object, expected: str) -> None:
    refusal = refusal_of_shape(found, TWO)
    assert expected in refusal
    assert bool(refusal) == bool(expected)


def test_a_split_is_told_with_its_weights() -> None:
    refusal = refusal_of_split(route([ref("a", 9), ref("b", 1)]), TWO)
    assert "the weights are a 9 (rule 1), b 1 (rule 1)" in refusal
    assert refusal_of_split(route([ref("a", 9), ref("b", 0)]), TWO) == ""


def test_one_patch_moves_every_rule() -> None:
    found = route(
        [ref("a"), ref("b", 0)], [ref("x")], [ref("b", 0), ref("x", 0), ref("a", 7)]
    )
    refs = "/spec/rules/{}/backendRefs/{}/weight"
    assert moved(found, TWO, "b") == [
        {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "add", "path": refs.format(0, 0), "value": 0},
        {"op": "add", "path": refs.format(0, 1), "value": 100},
        {"op": "add", "path": refs.format(2, 0), "value": 100},
        {"op": "add", "path": refs.format(2, 2), "value": 0},
    ]
    # What is so already is not written.
    assert moved(found, TWO, "a") == []


@pytest.mark.parametrize(
    ("status", "lagging", "refused"),
    [
        ([answered(*GOOD)], "", ""),
        # As the API server fills it in.
        (
            [
                answered(
                    *GOOD,
                    group="gateway.networking.k8s.io",
                    kind="Gateway",
                    namespace="shop",
                )
            ],
            "",
            "",
        ),
        ([], "Gateway gw does not say Accepted and ResolvedRefs", ""),
        ([answered(*GOOD, parent="other")], "Gateway gw does not say", ""),
        ([answered(said("Accepted"))], "does not say ResolvedRefs", ""),
        (
            [answered(said("Accepted", generation=3), said("ResolvedRefs"))],
            "does not say Accepted of",
            "",
        ),
        (
            [answered(said("Accepted"), said("ResolvedRefs", "Unknown"))],
            "does not say ResolvedRefs of",
            "",
        ),
        # What was refused before is no answer to the present version.
        (
            [answered(said("Accepted"), said("ResolvedRefs", "False", 3))],
            "does not say ResolvedRefs of",
            "",
        ),
        (
            [
                answered(
                    said("Accepted"),
                    said("ResolvedRefs", "False", reason="No", message="None of it."),
                )
            ],
            "does not say ResolvedRefs of",
            "Gateway gw says ResolvedRefs=False of it (No: None of it)",
        ),
        # One controller of two lags.
        (
            [answered(*GOOD), answered(said("Accepted", generation=3))],
            "Gateway gw does not say",
            "",
        ),
        # What else it says decides nothing.
        ([answered(*GOOD, said("PartiallyInvalid", "False", 3))], "", ""),
    ],
)
def test_what_the_gateways_say(
    status: list[Object], lagging: str, refused: str
) -> None:
    found = route(status={"parents": status})
    waits, refuses = verdict(found)
    assert lagging in waits
    assert bool(waits) == bool(lagging)
    assert refuses == refused


def test_every_parent_must_have_answered() -> None:
    parents = [{"name": "gw"}, {"name": "gw", "sectionName": "tls"}]
    one = {"parents": [answered(*GOOD)]}
    both = {"parents": [answered(*GOOD), answered(*GOOD, sectionName="tls")]}
    assert verdict(route(parents=parents, status=one))[0]
    assert verdict(route(parents=parents, status=both)) == ("", "")
