# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The examples of docs/analysis.md do what the page says."""

from __future__ import annotations

import pathlib
import re
import typing as t

import pytest
import yaml

from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis import (
    parsing,
    registry,
    spec,
    templates,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._errors import BadInput

DOCS = pathlib.Path(__file__).parents[5] / "docs"
PAGE = (DOCS / "analysis.md").read_text(encoding="utf-8")
FIELDS = {"metadata": {"labels": {"app.kubernetes.io/name": "web"}}}
ASKED = ("bluegreen_pre_promotion_analysis", "bluegreen_post_promotion_analysis")


class VariablesLoader(yaml.SafeLoader):
    """Reads a file of variables as Ansible does, without templating."""


VariablesLoader.add_constructor(
    "!unsafe", lambda loader, node: loader.construct_scalar(node)
)


def blocks() -> list[dict[str, t.Any]]:
    texts = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    # SafeLoader with one constructor more, which makes text.
    return [yaml.load(text, VariablesLoader) for text in texts]  # noqa: S506


def given_templates() -> tuple[templates.Template, ...]:
    """Every template of the page, in a variable or as a file."""
    given: list[object] = [b for b in blocks() if b.get("kind") in templates.KINDS]
    for block in blocks():
        listed = block.get("bluegreen_analysis_templates", [])
        # Paths are read elsewhere: the files stand on the page by themselves.
        given += [item for item in listed if isinstance(item, dict)]
    return templates.read_documents(given, "page")


def compose(asked: object) -> dict[str, t.Any]:
    composed = templates.compose(
        asked, given_templates(), lambda kind, name: None, FIELDS, "page"
    )
    assert composed is not None
    return composed


def asked_on_the_page() -> list[object]:
    return [block[name] for block in blocks() for name in ASKED if name in block]


@pytest.mark.parametrize("asked", asked_on_the_page(), ids=str)
def test_what_the_page_asks_for_is_composed_and_parsed(asked: object) -> None:
    composed = compose(asked)
    values = parsing.values_of(composed, {"Stable": "5", "Latest": "1"})
    assert parsing.parse(composed, values).metrics


def test_every_template_of_the_page_is_asked_for_on_it() -> None:
    used = {
        m["_template"]
        for asked in asked_on_the_page()
        for m in compose(asked)["metrics"]
    }
    assert used == {"pods", *(t_.reference.name for t_ in given_templates())}


def test_every_block_is_one_that_is_run_here() -> None:
    known = (*ASKED, "bluegreen_analysis_templates", "bluegreen_analysis_secrets")
    for block in blocks():
        assert block.get("kind") in templates.KINDS or set(block) <= {
            *known,
            "metrics",
        }, block
    assert len(blocks()) >= 8


def test_the_metrics_of_the_page_are_parsed() -> None:
    metrics = [m for block in blocks() for m in block.get("metrics", [])]
    parsed = parsing.parse({"metrics": metrics}, {}).metrics
    assert [m.name for m in parsed] == ["latency", "five-in-a-row"]
    assert parsed[0].threshold_range == spec.Range(None, 0.3)
    assert parsed[0].no_data == "fail"


def test_the_dry_run_of_the_page_decides_nothing() -> None:
    asked = next(
        a for a in asked_on_the_page() if isinstance(a, dict) and "dry_run" in a
    )
    composed = compose(asked)
    metrics = parsing.parse(composed, parsing.values_of(composed, {})).metrics
    assert {m.name: (m.dry_run, m.retention) for m in metrics} == {
        "pods": (False, 10),
        "error-rate": (True, 20),
    }


def test_the_messages_of_the_page_are_those_that_are_given() -> None:
    (template,) = [
        b for b in blocks() if b.get("metadata", {}).get("name") == "error-rate"
    ]
    metric = template["spec"]["metrics"][0]
    metric["failure_limit"] = metric.pop("failureLimit")
    metric["interval"] = "30"
    read = templates.read_documents([template], "page")
    asked = {"templates": ["error-rate"], "args": {"service": "web"}}
    with pytest.raises(BadInput) as error:
        templates.compose(
            asked, read, lambda kind, name: None, {}, "pre_promotion_analysis"
        )
    assert f"```text\n{error.value}\n```" in PAGE


def test_the_page_names_every_field_provider_and_page() -> None:
    for field in parsing.METRIC_FIELDS:
        assert f"| `{field}` |" in PAGE
    for name in registry.NAMES:
        assert f"[{name}](analysis_providers/{name.lower()}.md)" in PAGE
