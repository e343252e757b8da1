# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The providers' pages: their examples are right, and they name every field."""

from __future__ import annotations

import pathlib
import re
import typing as t

import pytest
import yaml

from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis import (
    expression,
    registry,
)

FOLDER = pathlib.Path(__file__).resolve().parents[5] / "docs" / "analysis_providers"
BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FIELDS = re.compile(r"there are ([\w, ]+)$")


def page(provider: str) -> str:
    return (FOLDER / f"{provider.lower()}.md").read_text()


def metrics(text: str) -> list[dict[str, t.Any]]:
    documents = [d for block in BLOCK.findall(text) for d in yaml.safe_load_all(block)]
    templates = [d for d in documents if d.get("kind") == "AnalysisTemplate"]
    return [metric for d in templates for metric in d["spec"]["metrics"]]


def test_each_provider_has_a_page_and_each_page_a_provider() -> None:
    pages = {path.stem for path in FOLDER.glob("*.md")}
    assert pages == {name.lower() for name in registry.NAMES}


@pytest.mark.parametrize("provider", registry.NAMES)
def test_examples(provider: str) -> None:
    examples = metrics(page(provider))
    assert any(provider in metric["provider"] for metric in examples)
    for metric in examples:
        ((name, block),) = metric["provider"].items()
        assert registry.provider(name).problems(block) == []
        for condition in ("successCondition", "failureCondition"):
            if condition in metric:
                expression.parse(metric[condition])


@pytest.mark.parametrize("provider", registry.NAMES)
def test_every_field_is_named(provider: str) -> None:
    problems = registry.provider(provider).problems({"noSuchField": 1})
    known = [m for problem in problems if (m := FIELDS.search(problem.text))]
    text = page(provider)
    for match in known:
        unnamed = [f for f in match[1].split(", ") if not re.search(rf"`{f}\b", text)]
        assert unnamed == []
