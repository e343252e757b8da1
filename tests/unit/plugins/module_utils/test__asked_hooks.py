# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is taken as a hook, and what is refused before anything is written."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._asked_hooks import (
    parse_hooks,
    rights_needed,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._errors import BadInput
from ansible_collections.cutover.bluegreen.plugins.module_utils._hooks import (
    POINTS,
    Hook,
    read,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._parameters import (
    Parameters,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._secrets import Secrets

URL = "https://ci.example.com/hook"
JOB = {"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "b"}]}}}}


def hook(**changes: t.Any) -> dict[str, t.Any]:
    given = {
        "name": "tell",
        "at": "before promoted",
        "webhook": {"url": URL},
        **changes,
    }
    return {k: v for k, v in given.items() if v is not None}


def parsed(*hooks: t.Mapping[str, t.Any]) -> tuple[Hook, ...]:
    return read(parse_hooks(list(hooks), "hooks"))


def test_a_hook_has_defaults() -> None:
    (found,) = parsed(hook())
    assert found == Hook("tell", "before promoted", webhook={"url": URL})
    assert (found.timeout_seconds, found.retries, found.on_failure) == (300, 0, "abort")


@pytest.mark.parametrize("nothing", [None, "", [], {}])
def test_nothing_is_no_hook(nothing: object) -> None:
    assert parse_hooks(nothing, "hooks") == ""


@pytest.mark.parametrize("at", POINTS)
def test_every_point_takes_a_webhook(at: str) -> None:
    (found,) = parsed(hook(at=at))
    assert found.at == at
    last = at.startswith("on ") or at in (
        "after verified",
        "before retired",
        "after retired",
    )
    # Where nothing can be aborted, a failure is only said.
    assert found.on_failure == ("ignore" if last else "abort")
    assert found.stops is not last


def test_text_and_numbers_of_a_survey_are_taken() -> None:
    text = json.dumps([hook(timeout_seconds="20", retries="2", at="on  pause")])
    (found,) = read(parse_hooks(text, "hooks"))
    assert (found.timeout_seconds, found.retries, found.at) == (20, 2, "on pause")


REFUSED = [
    ("tell", "give a list of hooks"),
    (["x"], "a mapping with name and at"),
    ([hook(name="Tell Us")], "name is 'Tell Us'"),
    ([hook(at="before lunch")], "at is 'before lunch'; give one of before started"),
    ([hook(at="before stable")], "at is 'before stable'"),
    ([hook(when="x")], "when is not known"),
    ([hook(webhook=None)], "none of them was given; give exactly one of tasks"),
    ([hook(job=JOB)], "webhook and job was given"),
    ([hook(), hook()], "two hooks are called tell"),
    ([hook(webhook={"url": "ftp://x/y"})], "url is no http or https URL"),
    ([hook(webhook={"url": "nonsense"})], "url is no http or https URL"),
    ([hook(webhook={"url": "https://a:99999/"})], "url is no http or https URL"),
    ([hook(webhook={"url": "https://u:hunter22@a/"})], "url holds credentials"),
    ([hook(webhook={"body": {"a": 1}})], "give either url or url_secret"),
    ([hook(webhook={"url_secret": {"name": "x"}})], "key of the Secret is missing"),
    ([hook(webhook={"url": URL, "method": "PUT"})], "only POST is sent"),
    (
        [hook(webhook={"url": URL, "headers": {"Authorization": "hunter22"}})],
        "keep it in a Secret",
    ),
    ([hook(webhook={"url": URL, "headers": {"X": "a\nb"}})], "a line break"),
    (
        [hook(webhook=None, job={"spec": {"template": {"spec": {}}}})],
        "job.spec.template.spec.containers",
    ),
    (
        [hook(webhook=None, tasks="/x.yml", at="on abort")],
        "no task file can run 'on abort'",
    ),
    ([hook(webhook=None, tasks=["x"])], "give the path of a task file"),
    ([hook(timeout_seconds=0)], "timeout_seconds is 0; give a whole number from 1"),
    ([hook(retries=-1)], "retries is -1"),
    ([hook(retries="many")], "retries is 'many'"),
    ([hook(on_failure="panic")], "give one of abort, hold, ignore"),
    (
        [hook(at="after verified", on_failure="abort")],
        "there is nothing to abort any more",
    ),
    ([hook(at="on pause", on_failure="abort")], "there is nothing to abort any more"),
    ([hook(past_no_return=True)], "past_no_return stands at 'before promoted'"),
    (
        [hook(webhook={"url": URL, "body": {"a": "{{ args.x }}"}})],
        "a placeholder in double braces",
    ),
    ("[", "this is not YAML"),
]


@pytest.mark.parametrize(("given", "says"), REFUSED)
def test_bad_input_is_one_sentence(given: object, says: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_hooks(given, "hooks")
    text = str(refused.value)
    assert says in text
    assert text.startswith("hooks")
    assert text.count("\n") == 0
    assert "hunter22" not in text


def test_hold_where_nothing_can_be_held_goes_on_with_a_warning() -> None:
    (found,) = parsed(hook(at="after verified", on_failure="hold"))
    assert found.on_failure == "ignore"


def test_parameters_keep_hooks_and_are_read_back() -> None:
    kept = Parameters(active_services=("web",), hooks=parse_hooks([hook()], "hooks"))
    assert Parameters.from_json(kept.to_json()) == kept
    edited = kept.to_json().replace('"at"', '"no"')
    assert Parameters.from_json(edited) is None


def test_only_what_is_used_is_asked_for() -> None:
    def no_api() -> t.Any:
        raise AssertionError

    secrets = Secrets({}, no_api, "shop")
    plain = parse_hooks([hook()], "hooks")
    assert rights_needed(plain, secrets) == {}
    hidden = {"url_secret": {"name": "chat", "key": "url"}}
    both = parse_hooks(
        [hook(webhook=hidden), hook(name="job", webhook=None, job=JOB)], "hooks"
    )
    assert rights_needed(both, secrets) == {
        "secrets": ("get",),
        "jobs.batch": ("create", "get", "delete"),
        "pods": ("list",),
    }
    given = Secrets({"chat": {"url": URL}}, no_api, "shop")
    assert "secrets" not in rights_needed(both, given)
