# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One list of options, written in four places: they say the same."""

from __future__ import annotations

import importlib
import pathlib
import typing as t

import pytest
import yaml

from ansible_collections.cutover.bluegreen.plugins.module_utils._argspec import (
    MODULES,
    Spec,
    mask,
    secrets_of,
    without_empty,
)

ROOT = pathlib.Path(__file__).parents[4]
PACKAGE = "ansible_collections.cutover.bluegreen.plugins"
FACETS = ("type", "default", "choices", "aliases", "elements", "required")
# Options of a module that the role sets by itself.
NOT_OF_THE_ROLE = {"until", "revision", "state", "approve", "full", "show"}
TO_RELEASE = ("active_service",)
# The role takes strings, as AWX sends them, and leaves it to the module to read them.
AS_TEXT = {"int", "bool", "list", "dict"}


def documented(module: str) -> dict[str, t.Any]:
    """The options of a module as ansible-doc shows them, fragments merged."""
    found = importlib.import_module(f"{PACKAGE}.modules.{module}")
    document = yaml.safe_load(found.DOCUMENTATION)
    options: dict[str, t.Any] = {}
    for fragment in document["extends_documentation_fragment"]:
        name = fragment.rpartition(".")[2]
        loaded = importlib.import_module(f"{PACKAGE}.doc_fragments.{name}")
        text = yaml.safe_load(loaded.ModuleDocFragment.DOCUMENTATION)
        options |= text.get("options") or {}
    # As in ansible-doc, what the module says itself goes before a fragment.
    return options | (document.get("options") or {})


def facets(option: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    found = {k: option[k] for k in FACETS if option.get(k) not in (None, False, [])}
    if option.get("default") is False:
        found["default"] = False
    found.setdefault("type", "str")
    return found


def compare(spec: Spec, options: dict[str, t.Any]) -> None:
    assert set(spec) == set(options)
    for name, rule in spec.items():
        assert facets(rule) == facets(options[name]), name
        if "options" in rule:
            compare(rule["options"], options[name]["suboptions"])


@pytest.mark.parametrize("module", MODULES)
def test_the_documentation_is_the_argument_spec(module: str) -> None:
    compare(MODULES[module], documented(module))


@pytest.mark.parametrize("module", MODULES)
def test_each_module_has_its_action_plugin(module: str) -> None:
    action = importlib.import_module(f"{PACKAGE}.action.{module}")
    assert action.ActionModule.run
    assert (ROOT / "plugins" / "modules" / f"{module}.py").is_file()


def test_there_is_no_module_without_a_spec() -> None:
    for folder in ("modules", "action"):
        found = {p.stem for p in (ROOT / "plugins" / folder).glob("bluegreen_*.py")}
        assert found == set(MODULES), folder


def test_the_action_group_lists_every_module_that_reaches_a_cluster() -> None:
    """Its defaults are how to reach one, which a module without these would refuse."""
    runtime = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())
    reaching = [name for name, spec in MODULES.items() if "kubeconfig" in spec]
    assert sorted(runtime["action_groups"]["bluegreen"]) == sorted(reaching)
    assert set(MODULES) - set(reaching) == {"bluegreen_lint"}


def role(path: str) -> dict[str, t.Any]:
    text = (ROOT / "roles" / "bluegreen" / path).read_text(encoding="utf-8")
    loaded: dict[str, t.Any] = yaml.safe_load(text)
    return loaded


def test_the_role_takes_every_option_of_a_release() -> None:
    specs = role("meta/argument_specs.yml")["argument_specs"]
    options = {**specs["take_over"]["options"], **specs["main"]["options"]}
    auth = {"kubeconfig", "context", "host", "api_key"}
    for name, rule in MODULES["bluegreen_rollout"].items():
        if name.startswith("_") or name in NOT_OF_THE_ROLE:
            continue
        given = options.get(f"bluegreen_{name}")
        if given is None:
            # Authentication comes by module_defaults and the environment.
            assert name not in auth or f"bluegreen_{name}" not in options
            assert name in MODULES["bluegreen_info"], name
            continue
        # The module needs these to release only, which is what the role's main does.
        required = rule.get("required", False) or name in TO_RELEASE
        assert given.get("required", False) == required, name
        if rule["type"] not in AS_TEXT:
            assert given["type"] == rule["type"], name
        default = rule.get("default")
        if "default" in given and default is not None:
            assert given["default"] == default, name


def inputs_of(tasks: str) -> dict[str, t.Any]:
    """What the first task of a file gives its module."""
    first: t.Any = role(f"tasks/{tasks}.yml")
    (given,) = (v for k, v in first[0].items() if k.startswith("cutover.bluegreen."))
    return t.cast("dict[str, t.Any]", given)


def test_the_role_lints_what_it_deploys() -> None:
    deployed = inputs_of("main")
    # The role sets them itself, or they are of a take-over.
    for option in ("until", "state", "take_over", "argo_is_stopped", "argo_namespace"):
        del deployed[option]
    assert inputs_of("lint") == deployed


def test_the_roles_defaults_are_those_of_its_spec() -> None:
    defaults = role("defaults/main.yml")
    for entry, spec in role("meta/argument_specs.yml")["argument_specs"].items():
        for name, option in spec["options"].items():
            if name in defaults:
                assert option.get("default") == defaults[name], (entry, name)
    known: set[str] = set()
    for spec in role("meta/argument_specs.yml")["argument_specs"].values():
        known |= set(spec["options"])
    assert set(defaults) <= known


def test_what_awx_leaves_empty_is_not_given() -> None:
    given: dict[str, t.Any] = {
        "a": "",
        "b": None,
        "c": 0,
        "d": False,
        "e": [],
        "f": "x",
    }
    assert without_empty(given) == {"c": 0, "d": False, "e": [], "f": "x"}


SECRETS: dict[str, t.Any] = {
    "name": "web",
    "api_key": "token-1",
    "password": "pass-1",
    "client_key": "/path/of/key",
    "analysis_secrets": {"datadog": {"api-key": "vendor-1", "number": 4711}},
    "proxy_headers": {"basic_auth": "user:proxy-1", "user_agent": "me"},
    "kubeconfig": {
        "users": [
            {"name": "a", "user": {"token": "token-2", "exec": {"args": ["arg-1"]}}}
        ]
    },
}


def test_secrets_are_found() -> None:
    found = secrets_of(MODULES["bluegreen_rollout"], SECRETS)
    assert found >= {"token-1", "pass-1", "user:proxy-1", "token-2", "arg-1"}
    assert found >= {"vendor-1", "4711"}
    assert not found & {"web", "/path/of/key", "me", "datadog", "api-key"}


def test_passwords_of_proxies_are_found() -> None:
    """As they are written, and as they are meant."""
    cluster = {"server": "https://here", "proxy-url": "http://a:proxy-3@proxy:3128"}
    given = {
        "proxy": "http://user:proxy%402@proxy:3128",
        "kubeconfig": {"clusters": [{"name": "c", "cluster": cluster}]},
    }
    found = secrets_of(MODULES["bluegreen_info"], given)
    assert found == {"proxy%402", "proxy@2", "proxy-3"}
    for harmless in ("http://proxy:3128", "proxy:3128", "http://user@proxy:1", None):
        assert secrets_of(MODULES["bluegreen_info"], {"proxy": harmless}) == set()


@pytest.mark.parametrize("broken", ["x", ["x"], [{"user": "x"}], [{"cluster": ["x"]}]])
def test_a_kubeconfig_of_another_shape_holds_none(broken: object) -> None:
    given = {"kubeconfig": {"users": broken, "clusters": broken}}
    assert secrets_of(MODULES["bluegreen_info"], given) == set()


def test_secrets_are_masked_wherever_they_stand() -> None:
    result = {
        "msg": "Bearer token-1 and token-12",
        "list": ["pass-1", 5, None, ("token-1",)],
        "nested": {"deep": {"x": "user:pass-1@host"}},
        "number": 7,
    }
    masked = mask(result, {"token-1", "token-12", "pass-1"})
    assert masked == {
        "msg": "Bearer ******** and ********",
        "list": ["********", 5, None, ["********"]],
        "nested": {"deep": {"x": "user:********@host"}},
        "number": 7,
    }


@pytest.mark.parametrize(
    "params",
    [{}, {"kubeconfig": {"users": [{}]}}, {"kubeconfig": "/path"}, {"api_key": ""}],
)
def test_without_secrets_nothing_is_masked(params: dict[str, t.Any]) -> None:
    assert secrets_of(MODULES["bluegreen_rollout"], params) == set()
