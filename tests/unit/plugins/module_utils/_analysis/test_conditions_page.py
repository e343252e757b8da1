# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What docs/analysis_conditions.md shows is what happens."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis import (
    expression,
    expression_functions,
)

PAGE = Path(__file__).parents[5].joinpath("docs", "analysis_conditions.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


EXAMPLES = [line for block in blocks("expr") for line in block.splitlines()]
ERRORS = [pair for block in blocks("text") for pair in block.strip().split("\n\n")]


def test_the_page_has_examples() -> None:
    assert len(EXAMPLES) > 20
    assert len(ERRORS) > 4


@pytest.mark.parametrize("line", EXAMPLES)
def test_an_example_gives_what_stands_behind_it(line: str) -> None:
    _condition, comment = line.split(" // ")
    result, _colon, outcome = comment.rpartition(": ")
    # With its comment: it is part of the language.
    judged = expression.parse(line).judge(json.loads(result))
    assert json.dumps(judged) == outcome


@pytest.mark.parametrize("pair", ERRORS)
def test_an_error_reads_as_it_is_shown(pair: str) -> None:
    line, sentence = pair.split("\n")
    condition, result = line.split(" // ")
    with pytest.raises(expression.ExpressionError) as caught:
        expression.parse(condition.rstrip()).judge(json.loads(result))
    assert str(caught.value) == sentence


def test_every_function_is_named() -> None:
    table = PAGE.partition("## The language")[2].partition("## What differs")[0]
    named = set(re.findall(r"`([A-Za-z]+)[`(]", table))
    known = {
        *expression_functions.FUNCTIONS,
        *expression_functions.PREDICATE_FUNCTIONS,
    }
    assert known <= named
