# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What lies over a pod template, and goes without a trace."""

from __future__ import annotations

import typing as t

from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.cutover.bluegreen.plugins.module_utils import _names as names
from ansible_collections.cutover.bluegreen.plugins.module_utils._overlay import (
    NOTHING,
    Kept,
    Overlay,
    lay_from_the_start,
    marks_of_pod,
    overlay_of,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.search import examples
from ansible_collections.cutover.bluegreen.tests.unit.support.states import V1

Object = dict[str, t.Any]
TERM = {
    "labelSelector": {
        "matchLabels": {names.LABEL_ROLLOUT: "web", names.LABEL_HASH: V1}
    },
    "topologyKey": "kubernetes.io/hostname",
}
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def template(**spec: t.Any) -> Object:
    return {"metadata": {"labels": {"app": "web", "team": "own"}}, "spec": spec}


def deployment(kept: Kept) -> Object:
    return {"metadata": {"annotations": {names.ANNOTATION_OVERLAY: kept.to_text()}}}


keys = st.sampled_from(["team", "role", "example.com/tier"])
texts = st.dictionaries(keys, st.sampled_from(["", "a", "b"]), max_size=3)
overlays = st.builds(
    Overlay,
    texts,
    texts,
    st.sampled_from(["", V1, "2222222222"]),
    st.sampled_from([0, 7]),
)
templates = st.sampled_from(
    [
        template(),
        template(affinity={}),
        template(affinity={"podAntiAffinity": {REQUIRED: [{"topologyKey": "zone"}]}}),
    ]
)


@given(templates, st.lists(st.tuples(overlays, st.booleans()), max_size=4))
@settings(max_examples=examples(60))
def test_whatever_lay_over_it_the_template_comes_back(
    own: Object, laid: list[tuple[Overlay, bool]]
) -> None:
    """Also where a change was begun and not ended before the next one."""
    found, kept = own, Kept()
    for overlay, ends in [*laid, (NOTHING, True)]:
        kept = Kept.of(deployment(kept)).begun(found, overlay)
        assert kept.laid(found, "web") == kept.laid(kept.laid(found, "web"), "web")
        if ends:
            found = kept.laid(found, "web")
            kept = kept.ended()
    assert found == own
    assert kept == Kept()


@given(overlays)
@settings(max_examples=examples(30))
def test_what_is_remembered_is_read_back(overlay: Overlay) -> None:
    kept = Kept().begun(template(), overlay)
    assert Kept.of(deployment(kept)) == kept
    assert Kept.of(deployment(kept.ended())).overlay == overlay


def test_what_somebody_edited_beyond_use_remembers_nothing() -> None:
    for text in (
        "{",
        "[]",
        '{"overlay":{"x":1}}',
        '{"overlay":{"labels":[1]}}',
        '{"overlay":{"weight":"7"}}',
        '{"own":[]}',
        '{"own":{"labels":{"a":1}}}',
        '{"affinity":[7]}',
    ):
        found = {"metadata": {"annotations": {names.ANNOTATION_OVERLAY: text}}}
        assert Kept.of(found) == Kept()


def test_a_term_stands_beside_the_templates_own() -> None:
    own = {"podAntiAffinity": {REQUIRED: [{"topologyKey": "zone"}]}, "nodeAffinity": {}}
    required = overlay_of("", '{"required":{}}', V1)
    laid = (
        Kept()
        .begun(template(affinity=own), required)
        .laid(template(affinity=own), "web")
    )
    assert laid["spec"]["affinity"] == {
        "podAntiAffinity": {REQUIRED: [{"topologyKey": "zone"}, TERM]},
        "nodeAffinity": {},
    }
    preferred = overlay_of("", '{"preferred":{"weight":7}}', V1)
    laid = Kept().begun(template(), preferred).laid(template(), "web")
    assert laid["spec"]["affinity"] == {
        "podAntiAffinity": {PREFERRED: [{"weight": 7, "podAffinityTerm": TERM}]}
    }


def test_without_another_revision_there_is_nothing_to_keep_off() -> None:
    assert overlay_of("", '{"required":{}}', "") == NOTHING


def test_a_deployment_has_it_from_its_creation() -> None:
    body = {"metadata": {"annotations": {}}, "spec": {"template": template()}}
    lay_from_the_start(body, NOTHING, "web")
    assert body["metadata"] == {"annotations": {}}
    overlay = overlay_of('{"labels":{"team":"on-call"}}')
    lay_from_the_start(body, overlay, "web")
    assert body["spec"]["template"]["metadata"]["labels"]["team"] == "on-call"
    kept = Kept.of(body)
    assert (kept.overlay, kept.changing) == (overlay, False)
    assert kept.own == {"labels": {"team": "own"}}


def test_a_live_pod_gets_only_what_differs() -> None:
    before = Kept().begun(template(), Overlay({"team": "a", "role": "b"}))
    kept = before.begun(template(), Overlay({"role": "c"}, {"tier": "1"}))
    pod = {"metadata": {"labels": {"team": "a", "role": "c"}}}
    assert marks_of_pod(pod, kept) == {
        "labels": {"team": "own"},
        "annotations": {"tier": "1"},
    }
    gone = kept.begun(template(), NOTHING)
    pod["metadata"]["labels"]["team"] = "own"
    assert marks_of_pod(pod, gone) == {"labels": {"role": None}}
