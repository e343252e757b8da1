# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""examples/awx: what awx.awx takes, and what the role takes."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from jinja2 import Environment
from jinja2.nativetypes import NativeEnvironment

ROOT = pathlib.Path(__file__).parents[3]
AWX = ROOT / "examples" / "awx"
RECORDED = json.loads(
    pathlib.Path(__file__).with_name("awx_awx_options.json").read_text()
)
# What AWX knows as the type of a question, and the Python types of its default.
QUESTIONS = {
    "text": str,
    "textarea": str,
    "password": str,
    "integer": int,
    "float": float,
    "multiplechoice": str,
    "multiselect": str,
}
ROLE_ENTRIES = {"deploy": "main"}

Data = dict[str, t.Any]


def read(name: str) -> t.Any:
    return yaml.safe_load((AWX / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def variables() -> Data:
    """What the playbook sees: both files, and its own variables."""
    (play,) = read("playbooks/create_in_awx.yml")
    found: Data = dict(play["vars"])
    for name in play["vars_files"]:
        found |= read(f"playbooks/{name}")
    return found


OMIT = object()


def rendered(value: t.Any, variables: Data) -> t.Any:
    """The value as Ansible gives it to a module; what is omitted is left out."""
    if isinstance(value, dict):
        pairs = {k: rendered(v, variables) for k, v in value.items()}
        return {k: v for k, v in pairs.items() if v is not OMIT}
    if isinstance(value, list):
        return [rendered(v, variables) for v in value]
    if not isinstance(value, str) or "{{" not in value:
        return value
    template = NativeEnvironment().from_string(value)
    found: t.Any = template.render(**variables, omit=OMIT)
    found = list(found) if hasattr(found, "__next__") else found
    return found if found == value else rendered(found, variables)


def calls(variables: Data) -> list[tuple[str, Data]]:
    """Every call of a module that the playbook makes: its name and its options."""
    (play,) = read("playbooks/create_in_awx.yml")
    found = []
    for task in play["tasks"]:
        (module,) = [key for key in task if key.startswith("awx.awx.")]
        looped = task.get("loop")
        for item in rendered(looped, variables) if looped else [None]:
            options = rendered(task[module], {**variables, "item": item})
            found.append((module.rpartition(".")[2], options))
    return found


def test_awx_takes_each_call(variables: Data) -> None:
    made = calls(variables)
    assert {module for module, _options in made} == set(RECORDED["modules"])
    for module, options in made:
        checked = ArgumentSpecValidator(RECORDED["modules"][module]).validate(options)
        assert checked.error_messages == [], (module, options)


def test_a_misspelt_option_is_found(variables: Data) -> None:
    module, options = calls(variables)[0]
    wrong = {**options, "survey_specs": {}}
    checked = ArgumentSpecValidator(RECORDED["modules"][module]).validate(wrong)
    assert "survey_specs" in checked.error_messages[0]


def surveys(variables: Data) -> list[tuple[str, Data]]:
    found = [(x["name"], x["survey_spec"]) for x in variables["awx_job_templates"]]
    workflow = rendered(variables["awx_workflow"], variables)
    return [*found, (workflow["name"], workflow["survey_spec"])]


def check_question(question: Data) -> None:
    assert {"question_name", "variable", "type", "required"} <= set(question)
    kind = QUESTIONS[question["type"]]
    default = question.get("default")
    if default is not None:
        assert isinstance(default, kind), question
    if question["type"] == "multiplechoice":
        assert all(isinstance(choice, str) for choice in question["choices"])
        assert default in question["choices"]
    else:
        assert question["min"] <= question["max"]


def test_the_surveys_are_what_awx_takes(variables: Data) -> None:
    for name, survey in surveys(variables):
        assert {"name", "description", "spec"} == set(survey), name
        asked = [question["variable"] for question in survey["spec"]]
        assert len(asked) == len(set(asked)) > 0, name
        for question in survey["spec"]:
            check_question(question)


def role_options(entry: str) -> Data:
    path = ROOT / "roles" / "bluegreen" / "meta" / "argument_specs.yml"
    specs = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]
    options: Data = specs[entry]["options"]
    return options


def test_each_job_template_asks_what_its_playbook_knows(variables: Data) -> None:
    for template in variables["awx_job_templates"]:
        (play,) = read(template["playbook"])
        playbook = play["ansible.builtin.import_playbook"].rpartition(".")[2]
        assert (ROOT / "playbooks" / f"{playbook}.yml").is_file()
        assert template["playbook"] == f"playbooks/{playbook}.yml"
        known = role_options(ROLE_ENTRIES.get(playbook, playbook))
        questions = {q["variable"]: q for q in template["survey_spec"]["spec"]}
        assert set(questions) <= set(known), template["name"]
        needed = {name for name, rule in known.items() if rule.get("required")}
        assert needed <= {n for n, q in questions.items() if q["required"]}
        for name, question in questions.items():
            choices = str(known[name]["description"][-1])
            if name == "bluegreen_wait":
                assert choices == f"One of {', '.join(question['choices'])}."


def test_the_workflow_is_a_graph_that_a_person_opens(variables: Data) -> None:
    """Invariant 6: no way leads to the promotion but through the approval."""
    nodes = {node["identifier"]: node for node in variables["awx_workflow_nodes"]}
    templates = {x["name"]: x for x in variables["awx_job_templates"]}
    to_promotion = []
    for name, node in nodes.items():
        job = templates.get(node.get("unified_job_template"))
        assert (job is None) == ("approval_node" in node), name
        asked = {q["variable"] for q in job["survey_spec"]["spec"]} if job else set()
        # AWX drops what the job template does not ask for.
        assert set(node.get("extra_data", {})) <= asked, name
        for kind in ("success_nodes", "failure_nodes"):
            assert set(node.get(kind, [])) <= set(nodes), name
            if "promote" in node.get(kind, []):
                to_promotion.append((name, kind))
    assert to_promotion == [("approval", "success_nodes")]
    assert nodes["approval"]["failure_nodes"] == ["abort"]
    deploy = nodes["deploy"]["extra_data"]
    assert deploy["bluegreen_auto_promotion_enabled"] == "false"
    assert nodes["deploy"]["success_nodes"] == ["approval"]


def test_the_workflow_asks_what_its_nodes_do_not_set(variables: Data) -> None:
    survey = dict(surveys(variables))[variables["awx_workflow"]["name"]]
    asked = {question["variable"] for question in survey["spec"]}
    every = {q["variable"] for q in variables["awx_deploy_survey"]}
    deploy = variables["awx_workflow_nodes"][0]["extra_data"]
    assert asked.isdisjoint(deploy)
    assert every - asked == {*deploy, "bluegreen_auto_promotion_seconds"}


ROLLOUTS = {"shop/web": {"target": {"revision": 2, "hash": "3f2a9c1d0b"}}}


@pytest.mark.parametrize(
    ("given", "revision"),
    [
        ({}, ""),
        ({"bluegreen_rollouts": {}}, ""),
        ({"bluegreen_rollouts": {"shop/cart": {}}}, ""),
        ({"bluegreen_rollouts": ROLLOUTS}, "3f2a9c1d0b"),
        ({"bluegreen_rollouts": ROLLOUTS, "bluegreen_namespace": ""}, ""),
    ],
)
def test_the_promotion_is_of_what_was_approved(given: Data, revision: str) -> None:
    (play,) = read("playbooks/promote.yml")
    known = {"bluegreen_name": "web", "bluegreen_namespace": "shop", **given}
    expected = play["vars"]["bluegreen_revision"]
    assert Environment().from_string(expected).render(**known).strip() == revision
