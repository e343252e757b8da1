# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever people write and servers answer, it ends as a problem or a sentence."""

from __future__ import annotations

import json
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis import (
    http,
    registry,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.measurement import (  # noqa: E501 - a name
    MeasurementError,
    Problem,
    Value,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.vendors import request

NAMES = ("compare", "graphite", "influxdb", "prometheus", "web")
URL = "http://metrics.example"
# What answers and blocks are made of, so that the search gets past the first check.
TEXT = """
status success error data result resultType vector matrix scalar string value values
metric histogram warnings target datapoints 1 NaN +Inf now() 1m {$.a} provider samples
minSamples prometheus web query address url rangeQuery start end step headers key
authentication oauth2 basicAuth sigv4 body jsonBody method POST jsonPath jmespath
timeout timeoutSeconds caCert insecure profile
"""
WORDS = st.sampled_from(TEXT.split())
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(WORDS | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)
KINDS = st.sampled_from(["vector", "matrix", "scalar", "string"])
PROMETHEUS = st.fixed_dictionaries(
    {"status": st.sampled_from(["success", "error"])},
    optional={
        "data": st.fixed_dictionaries(
            {"resultType": KINDS | PLAIN},
            optional={
                "result": st.lists(
                    st.fixed_dictionaries(
                        {}, optional={"value": PLAIN, "values": st.lists(PLAIN)}
                    )
                    | PLAIN
                )
            },
        ),
        "warnings": PLAIN,
        "error": PLAIN,
        "errorType": PLAIN,
    },
)
GRAPHITE = st.lists(st.fixed_dictionaries({"datapoints": st.lists(PLAIN)}) | PLAIN)
CSV = st.text(alphabet='#datypefultsringo_v,"\r\n1.', max_size=80) | st.lists(
    st.sampled_from(
        [
            "#datatype,string,long,double",
            "#datatype,string",
            "#default,_result,,",
            ",result,table,_value",
            ",error,reference",
            ",,0,1.5",
            ",,0",
            ",,0,x",
            "",
        ]
    )
).map("\r\n".join)
BLOCKS: dict[str, dict[str, t.Any]] = {
    "prometheus": {"address": URL, "query": "up"},
    "graphite": {"address": URL, "query": "target=a"},
    "influxdb": {"address": URL, "query": "q", "org": "o", "authToken": "t"},
    "web": {"url": URL, "jsonPath": "{$.data.result[0].value}"},
}


@pytest.mark.parametrize("name", NAMES)
@given(config=PLAIN)
def test_blocks(name: str, config: t.Any) -> None:
    for problem in registry.provider(name).problems(config):
        assert isinstance(problem, Problem)
        assert problem.field.startswith(name)
        assert "\n" not in problem.text


def answered(name: str, body: bytes) -> None:
    """Measure, while the server answers so."""
    answer = http.Answer(200, {}, body, f"GET {URL}/")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http, "send", lambda *_a, **_k: answer)
        try:
            outcome = registry.provider(name).measure(request(BLOCKS[name]))
        except MeasurementError as error:
            assert "\n" not in str(error)
        else:
            assert isinstance(outcome, Value)


@pytest.mark.parametrize("name", sorted(BLOCKS))
@given(document=PLAIN | PROMETHEUS | GRAPHITE)
def test_json_answers(name: str, document: t.Any) -> None:
    answered(name, json.dumps(document).encode())


@pytest.mark.parametrize("name", sorted(BLOCKS))
@given(body=st.binary(max_size=100))
def test_other_answers(name: str, body: bytes) -> None:
    answered(name, body)


@given(text=CSV)
def test_csv_answers(text: str) -> None:
    answered("influxdb", text.encode())
