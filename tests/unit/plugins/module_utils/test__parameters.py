# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Release parameters: their annotation, their refusals, the steps of a scale-up."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.cutover.bluegreen.plugins.module_utils._errors import BadInput
from ansible_collections.cutover.bluegreen.plugins.module_utils._parameters import (
    Parameters,
    Size,
    parse_size,
    validate,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.search import examples
from ansible_collections.cutover.bluegreen.tests.unit.support.states import parameters


def steps(*texts: str) -> tuple[Size, ...]:
    return tuple(parse_size(text, "scale_up_steps") for text in texts)


names = st.from_regex(r"[a-z]{1,5}", fullmatch=True)


@given(
    st.builds(
        Parameters,
        replicas=st.none() | st.integers(3, 9),
        active_services=st.lists(names, min_size=1, max_size=2).map(tuple),
        preview_services=st.sampled_from([(), ("p-1",)]),
        pre_promotion_analysis=st.sampled_from(["", '{"args":[],"metrics":[]}']),
        post_promotion_analysis=st.sampled_from(["", '{"metrics":[{"name":"a"}]}']),
        analysis_secrets=st.sampled_from([(), ("datadog/api-key",)]),
        preview_replica_count=st.none() | st.integers(1, 3),
        scale_up_steps=st.sampled_from([steps("100%"), steps("1"), steps("5%", "50%")]),
        scale_up_interval_seconds=st.integers(0, 9),
        drain_http=st.sampled_from(["", '{"method":"GET","path":"/","port":80}']),
        drain_exec=st.sampled_from(["", '{"command":["/app","drain"]}']),
        drain=st.sampled_from(["", '{"metrics":[{"name":"a"}]}']),
        drain_timeout_seconds=st.integers(0, 99),
        scale_down_steps=st.sampled_from([steps("0"), steps("50%"), steps("2", "1")]),
        scale_down_interval_seconds=st.integers(0, 9),
        active_metadata=st.sampled_from(["", '{"labels":{"role":"active"}}']),
        preview_metadata=st.sampled_from(["", '{"annotations":{"a":"b"}}']),
        anti_affinity=st.sampled_from(["", '{"preferred":{"weight":7}}']),
        auto_promotion_enabled=st.booleans(),
        auto_promotion_seconds=st.integers(0, 9),
        scale_down_delay_seconds=st.integers(-1, 9),
        scale_down_delay_revision_limit=st.none() | st.integers(0, 3),
        progress_deadline_seconds=st.integers(10, 600),
        progress_deadline_abort=st.booleans(),
        min_ready_seconds=st.integers(0, 9),
    )
)
@settings(max_examples=examples(40))
def test_what_is_written_is_read_back(given_: Parameters) -> None:
    assert Parameters.from_json(given_.to_json()) == given_


def test_only_what_differs_is_written() -> None:
    assert parameters().to_json() == '{"active_services":["web"],"replicas":3}'


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "{",
        "[]",
        "5",
        "null",
        "{}",
        '{"active_services":[]}',
        '{"active_services":[5]}',
        '{"active_services":["web"],"auto_promotion_enabled":"no"}',
        '{"active_services":["web"],"auto_promotion_seconds":"5"}',
        '{"active_services":["web"],"auto_promotion_seconds":-5}',
        '{"active_services":["web"],"auto_promotion_seconds":true}',
        '{"active_services":["web"],"auto_promotion_seconds":null}',
        '{"active_services":["web"],"scale_up_steps":["many"]}',
        '{"active_services":["web"],"scale_up_steps":5}',
    ],
)
def test_an_annotation_edited_beyond_use_says_nothing(text: str | None) -> None:
    assert Parameters.from_json(text) is None


def test_a_later_release_may_have_written_more() -> None:
    text = '{"active_services":["web"],"replicas":3,"later":1}'
    assert Parameters.from_json(text) == parameters()


@pytest.mark.parametrize(
    ("texts", "full", "limit", "sizes"),
    [
        (["100%"], 5, None, (5,)),
        (["25%", "50%", "100%"], 10, None, (3, 5, 10)),
        (["1", "50%"], 4, None, (1, 2, 4)),
        (["1%"], 1, None, (1,)),
        (["10%", "20%", "30%"], 2, None, (1, 2)),
        (["5"], 3, None, (3,)),
        (["50%"], 10, 4, (2, 4)),
        (["100%"], 10, 4, (4,)),
        (["1"], 3, 9, (1, 3)),
    ],
)
def test_step_sizes(
    texts: list[str], full: int, limit: int | None, sizes: tuple[int, ...]
) -> None:
    p = parameters(scale_up_steps=steps(*texts), preview_replica_count=limit)
    assert p.step_sizes(full) == sizes


@given(
    st.lists(st.sampled_from(steps("1", "2", "7", "1%", "33%", "100%")), min_size=1),
    st.integers(1, 20),
    st.none() | st.integers(1, 20),
)
def test_steps_rise_to_the_size_before_promotion(
    given_: list[Size], full: int, limit: int | None
) -> None:
    p = parameters(scale_up_steps=tuple(given_), preview_replica_count=limit)
    sizes = p.step_sizes(full)
    assert list(sizes) == sorted(set(sizes))
    assert sizes[0] >= 1 and sizes[-1] == p.before_promotion(full)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("25%", Size(25, True)),
        (" 3 ", Size(3, False)),
        (4, Size(4, False)),
        ("5 %", Size(5, True)),
    ],
)
def test_a_size(text: object, size: Size) -> None:
    assert parse_size(text, "steps") == size


@pytest.mark.parametrize("text", ["", "many", "-1", "1.5", "50%%", True, None, "%"])
def test_no_size(text: object) -> None:
    with pytest.raises(BadInput, match="steps: .* is neither a count nor a percentage"):
        parse_size(text, "steps")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"replicas": 0}, "definition: spec.replicas: 0 is too low"),
        ({"scale_up_interval_seconds": -1}, "scale_up_interval_seconds: -1 is too low"),
        ({"auto_promotion_seconds": -1}, "auto_promotion_seconds: -1 is too low"),
        ({"scale_down_delay_seconds": -2}, "at least -1 (-1 means never)"),
        ({"abort_scale_down_delay_seconds": -2}, "at least -1 (-1 means never)"),
        ({"progress_deadline_seconds": 0}, "progress_deadline_seconds: 0 is too low"),
        ({"min_ready_seconds": -1}, "min_ready_seconds: -1 is too low"),
        ({"revision_history_limit": -1}, "a number of revisions of at least 0"),
        ({"scale_down_delay_revision_limit": -1}, "a number of revisions"),
        ({"preview_replica_count": 0}, "preview_replica_count: 0 is too low"),
        ({"preview_replica_count": 4}, "above the full size of 3 pods"),
        (
            {"progress_deadline_seconds": 9, "min_ready_seconds": 9},
            "is not above min_ready_seconds (9)",
        ),
        ({"active_services": ()}, "active_service: nothing was given"),
        ({"preview_services": ("web",)}, "is the active Service, too"),
        ({"scale_up_steps": ()}, "the list is empty"),
        ({"scale_up_steps": steps("0")}, "outside the range"),
        ({"scale_up_steps": steps("101%")}, "outside the range"),
        ({"scale_up_steps": steps("5")}, "above the size before promotion, 3"),
        ({"scale_up_steps": steps("2", "1")}, "1 comes after 2 and is lower"),
        ({"scale_up_steps": steps("100%", "50%")}, "50% comes after 100%"),
        ({"scale_up_steps": steps("100%", "1")}, "1 comes after 100% and is lower"),
    ],
)
def test_refusals(changes: dict[str, t.Any], sentence: str) -> None:
    with pytest.raises(BadInput) as refused:
        validate(dataclasses.replace(parameters(), **changes))
    assert sentence in str(refused.value)


def test_messages_name_the_variable_as_the_user_does() -> None:
    with pytest.raises(BadInput, match="^bluegreen_auto_promotion_seconds: "):
        validate(parameters(auto_promotion_seconds=-1), "bluegreen_")


@pytest.mark.parametrize(
    ("given_", "full", "sizes"),
    [
        (steps("0"), 5, (0,)),
        (steps("50%"), 5, (3, 0)),
        (steps("3", "1", "0"), 5, (3, 1, 0)),
        (steps("100%", "50%", "50%", "10%"), 4, (2, 1, 0)),
        (steps("9"), 4, (0,)),
        (steps("50%"), 1, (0,)),
    ],
)
def test_falling_sizes(
    given_: tuple[Size, ...], full: int, sizes: tuple[int, ...]
) -> None:
    assert parameters(scale_down_steps=given_).falling_sizes(full) == sizes


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"scale_down_steps": ()}, "scale_down_steps: the list is empty"),
        ({"scale_down_steps": steps("101%")}, "101% is above the revision's size"),
        ({"scale_down_steps": steps("1", "2")}, "2 comes after 1 and is higher"),
        ({"scale_down_steps": steps("10%", "3")}, "3 comes after 10% and is higher"),
        ({"drain_timeout_seconds": -1}, "drain_timeout_seconds: -1 is too low"),
        ({"scale_down_interval_seconds": -1}, "scale_down_interval_seconds: -1"),
    ],
)
def test_an_end_that_is_none_is_refused(changes: dict[str, t.Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        validate(parameters(**changes))
