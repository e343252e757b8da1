# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What pods are to carry for the time of a role, as users give it."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._asked_overlay import (
    parse_anti_affinity,
    parse_metadata,
    refuse_taken_labels,
    rights_to_lay,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._errors import BadInput
from ansible_collections.cutover.bluegreen.plugins.module_utils._parameters import (
    Parameters,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.states import parameters


@pytest.mark.parametrize("nothing", [None, "", {}, {"labels": {}}, {"labels": None}])
def test_nothing_is_asked_for(nothing: t.Any) -> None:
    assert parse_metadata(nothing, "active_metadata") == ""
    assert parse_anti_affinity(nothing if nothing == "" else None, "it") == ""


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"labels": {"role": "a"}}, '{"labels":{"role":"a"}}'),
        ("labels: {example.com/role: ''}", '{"labels":{"example.com/role":""}}'),
        (
            {"annotations": {"b": "{1}", "a": "2"}, "labels": {}},
            '{"annotations":{"a":"2","b":"{1}"}}',
        ),
    ],
)
def test_metadata_is_kept_as_canonical_text(given: t.Any, kept: str) -> None:
    text = parse_metadata(given, "active_metadata")
    assert text == kept
    asked = parameters(active_metadata=text)
    assert Parameters.from_json(asked.to_json()) == asked


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], "a manifest is expected"),
        ({"label": {}}, "'label' is not known"),
        ({"labels": ["a"]}, "a mapping of keys to values is expected, list"),
        ({"labels": {"a b": "c"}}, "'a b' cannot be a key"),
        ({"labels": {"A/b/c": "c"}}, "cannot be a key"),
        ({"annotations": {1: "c"}}, "1 cannot be a key"),
        ({"labels": {"a": 1}}, "a is 1, which is no text"),
        ({"annotations": {"a": True}}, "a is True, which is no text"),
        ({"labels": {"a": "b c"}}, "'b c' of a cannot be a label's value"),
        ({"labels": {"a": "b" * 64}}, "cannot be a label's value"),
        ({"labels": {"pod-template-hash": "b"}}, "set by the release itself"),
        ({"annotations": {"cutover.bluegreen/x": ""}}, "set by the release itself"),
    ],
)
def test_what_no_pod_could_carry_is_refused(given: t.Any, says: str) -> None:
    with pytest.raises(BadInput, match="^active_metadata") as refused:
        parse_metadata(given, "active_metadata")
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"required": {}}, '{"required":{}}'),
        ("{required: }", '{"required":{}}'),
        (
            {"requiredDuringSchedulingIgnoredDuringExecution": {}},
            '{"required":{}}',
        ),
        ({"preferred": {"weight": 1}}, '{"preferred":{"weight":1}}'),
        (
            {"preferredDuringSchedulingIgnoredDuringExecution": {"weight": "100"}},
            '{"preferred":{"weight":100}}',
        ),
    ],
)
def test_both_spellings_of_an_anti_affinity(given: t.Any, kept: str) -> None:
    assert parse_anti_affinity(given, "anti_affinity") == kept


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "neither was found"),
        ({"requried": {}}, "requried was found"),
        ({"required": {}, "preferred": {"weight": 1}}, "required and preferred"),
        ({"required": {"weight": 1}}, "required is {'weight': 1}"),
        ({"required": True}, "required is True"),
        ({"preferred": {}}, "the weight of preferred is missing"),
        ({"preferred": {"weight": 0}}, "the weight of preferred is 0"),
        ({"preferred": {"weight": 101}}, "from 1 to 100"),
        ({"preferred": {"weight": True}}, "the weight of preferred is True"),
        ({"preferred": {"weight": 1.5}}, "the weight of preferred is 1.5"),
    ],
)
def test_what_is_no_anti_affinity_is_refused(given: t.Any, says: str) -> None:
    with pytest.raises(BadInput, match="^anti_affinity: ") as refused:
        parse_anti_affinity(given, "anti_affinity")
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("selector", "services", "by"),
    [
        ({"matchLabels": {"role": "a"}}, {}, "the definition"),
        (
            {"matchExpressions": [{"key": "role", "operator": "Exists"}]},
            {},
            "the definition",
        ),
        ({}, {"web": {"app": "web"}, "api": {"role": "a"}}, "Service api"),
    ],
)
def test_a_label_that_selects_pods_is_refused(
    selector: t.Any, services: t.Any, by: str
) -> None:
    asked = parameters(preview_metadata='{"labels":{"role":"x"}}')
    with pytest.raises(BadInput, match=f"preview_metadata.labels: {by} selects"):
        refuse_taken_labels(asked, selector, services)


def test_an_annotation_selects_nothing() -> None:
    asked = parameters(active_metadata='{"annotations":{"app":"x"}}')
    refuse_taken_labels(asked, {"matchLabels": {"app": "web"}}, {"web": {"app": ""}})


def test_only_marks_need_the_right_to_patch_pods() -> None:
    templates = {"replicasets.apps": ("list", "watch", "patch")}
    assert rights_to_lay(False) == [templates]
    assert rights_to_lay(True) == [templates, {"pods": ("patch",)}]
