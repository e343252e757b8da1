# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The hooks as they are asked for, checked before anything is written.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import re
import typing as t
from urllib.parse import urlsplit

from . import _hooks
from ._analysis.arguments import placeholders_in
from ._analysis.measurement import SecretMissing
from ._analysis.providers import job as job_provider
from ._errors import BadInput, shown
from ._manifests import loaded, refuse_unknown
from ._parameters import canonical
from ._preflight import merged_rights
from ._secrets import Secrets

Given = t.Mapping[str, t.Any]
Rights = dict[str, tuple[str, ...]]

_KINDS = ("tasks", "webhook", "job")
_FIELDS = (
    *("name", "at", *_KINDS),
    *("timeout_seconds", "retries", "on_failure", "past_no_return"),
)
_WEBHOOK = ("url", "url_secret", "headers", "body", "method")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BREAK = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_SECRET_NAME = re.compile(r"auth|key|token|secret|cookie|pass", re.IGNORECASE)
_MAX_TEXT = 100 * 1024
# Each one of a task file is one more level of includes.
_MOST_RETRIES = 10


def parse_hooks(value: object, variable: str) -> str:
    """The hooks as canonical JSON text; empty if none are asked for.

    :raises BadInput: one sentence about the first thing that is wrong.
    """
    if value in (None, "", [], {}):
        return ""
    given = loaded(value, variable, "give a list")
    if not isinstance(given, list):
        kind = type(given).__name__
        raise BadInput(f"{variable}: {kind} was found; give a list of hooks.")
    hooks = [_hook(item, f"{variable}[{n}]") for n, item in enumerate(given)]
    names = [hook["name"] for hook in hooks]
    for name in names:
        if names.count(name) > 1:
            raise BadInput(
                f"{variable}: two hooks are called {name}; give each a name of its own."
            )
    text = canonical(hooks)
    if len(text) > _MAX_TEXT:
        raise BadInput(
            f"{variable}: they take {len(text) // 1024} KiB, more than"
            f" {_MAX_TEXT // 1024} KiB; keep what a Job runs in its image."
        )
    return text


def _hook(given: object, where: str) -> dict[str, t.Any]:
    """One hook with what differs from the defaults."""
    asked = _mapping(given, where, "a mapping with name and at")
    name = asked.get("name")
    if not isinstance(name, str) or not _LABEL.fullmatch(name):
        raise BadInput(
            f"{where}: name is {shown(name)}; give lower-case letters, digits and -, at"
            " most 63."
        )
    where = f"{where} ({name})"
    refuse_unknown(asked, _FIELDS, where)
    at = " ".join(str(asked.get("at") or "").split())
    if at not in _hooks.POINTS:
        raise BadInput(
            f"{where}: at is {shown(asked.get('at'))}; give one of"
            f" {', '.join(_hooks.POINTS)}."
        )
    found: dict[str, t.Any] = {"name": name, "at": at, **_kind(asked, at, where)}
    for key, least, most in (
        ("timeout_seconds", 1, 24 * 3600),
        ("retries", 0, _MOST_RETRIES),
    ):
        if asked.get(key) not in (None, ""):
            found[key] = _number(asked[key], least, most, f"{where}: {key}")
    found["on_failure"] = _outcome(asked.get("on_failure"), at, where)
    if _flag(asked.get("past_no_return"), f"{where}: past_no_return"):
        found["past_no_return"] = True
        if at not in _hooks.BEYOND_VERIFIED:
            raise BadInput(
                f"{where}: past_no_return stands at {at!r}, from where users may still"
                f" go back; give one of {', '.join(_hooks.BEYOND_VERIFIED)}."
            )
    if placeholders_in(found):
        raise BadInput(
            f"{where}: it holds a placeholder in double braces, which is only filled in"
            " for an analysis; write what it stands for."
        )
    return found


def _kind(asked: Given, at: str, where: str) -> dict[str, t.Any]:
    kinds = [kind for kind in _KINDS if asked.get(kind) not in (None, "", {})]
    if len(kinds) != 1:
        found = " and ".join(kinds) or "none of them"
        raise BadInput(
            f"{where}: {found} was given; give exactly one of {', '.join(_KINDS)}."
        )
    kind = kinds[0]
    if kind == "webhook":
        return {kind: _webhook(asked[kind], f"{where}: webhook")}
    if kind == "job":
        return {kind: _job(asked[kind], where)}
    path = asked[kind]
    if not isinstance(path, str):
        raise BadInput(f"{where}: tasks is {path!r}; give the path of a task file.")
    if at in _hooks.WITHOUT_TASKS:
        raise BadInput(
            f"{where}: no task file can run {at!r}, because the play has failed or is"
            " at its handlers by then; give a webhook or a job."
        )
    return {kind: path}


def _webhook(given: object, where: str) -> dict[str, t.Any]:
    asked = _mapping(given, where, "a mapping with url or url_secret")
    refuse_unknown(asked, _WEBHOOK, where)
    if bool(asked.get("url")) == bool(asked.get("url_secret")):
        raise BadInput(f"{where}: give either url or url_secret.")
    found: dict[str, t.Any] = {}
    if asked.get("url"):
        found["url"] = _url(asked["url"], where)
    else:
        found["url_secret"] = _reference(asked["url_secret"], f"{where}: url_secret")
    method = str(asked.get("method") or "POST").upper()
    if method != "POST":
        raise BadInput(f"{where}: method is {method}; only POST is sent.")
    headers = _mapping(asked.get("headers") or {}, f"{where}: headers", "a mapping")
    if headers:
        found["headers"] = {
            str(k): _header(str(k), v, f"{where}: headers") for k, v in headers.items()
        }
    body = _mapping(asked.get("body") or {}, f"{where}: body", "a mapping")
    if body:
        found["body"] = dict(body)
    return found


def _url(value: object, where: str) -> str:
    try:
        parts = urlsplit(str(value))
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
        usable = usable and (parts.port is None or parts.port > 0)
    except ValueError:
        usable, parts = False, urlsplit("")
    if not usable or " " in str(value):
        raise BadInput(
            f"{where}: url is no http or https URL; give one such as"
            " https://ci.example.com/hooks/web."
        )
    if parts.username is not None:
        raise BadInput(
            f"{where}: url holds credentials, which would stand in the cluster for all"
            " to read; keep it in a Secret and name that as url_secret."
        )
    return str(value)


def _header(name: str, value: object, where: str) -> t.Any:
    if not _HEADER.fullmatch(name):
        raise BadInput(f"{where}: {name!r} cannot name a header.")
    if isinstance(value, t.Mapping):
        return _reference(value, f"{where}: {name}")
    text = str(value)
    if _BREAK.search(text):
        raise BadInput(f"{where}: {name} holds a line break or control character.")
    if _SECRET_NAME.search(name):
        raise BadInput(
            f"{where}: {name} would stand in the cluster for all to read; keep it in a"
            " Secret and give name and key of that in its place."
        )
    return text


def _reference(value: object, where: str) -> dict[str, str]:
    given = _mapping(value, where, "a mapping with name and key of a Secret")
    refuse_unknown(given, ("name", "key"), where)
    for key in ("name", "key"):
        if not isinstance(given.get(key), str) or not given[key]:
            raise BadInput(f"{where}: {key} of the Secret is missing; give it.")
    return {"name": given["name"], "key": given["key"]}


def _job(given: object, where: str) -> dict[str, t.Any]:
    asked = _mapping(given, f"{where}: job", "a mapping with the spec of a Job")
    problems = job_provider.problems(asked)
    if problems:
        raise BadInput(f"{where}: {problems[0].field}: {problems[0].text}.")
    return dict(asked)


def _outcome(value: object, at: str, where: str) -> str:
    last = at in _hooks.BEYOND_ABORT
    if value in (None, ""):
        return _hooks.IGNORE if last else _hooks.ABORT
    if value not in _hooks.OUTCOMES:
        raise BadInput(
            f"{where}: on_failure is {value!r}; give one of"
            f" {', '.join(_hooks.OUTCOMES)}."
        )
    if last and value == _hooks.ABORT:
        raise BadInput(
            f"{where}: on_failure is abort, and {at!r} there is nothing to abort any"
            " more; give ignore."
        )
    return _hooks.IGNORE if last else str(value)


def _mapping(value: object, where: str, expected: str) -> dict[str, t.Any]:
    if not isinstance(value, dict):
        raise BadInput(
            f"{where}: {type(value).__name__} was found, {expected} is expected."
        )
    return value


def _number(value: object, least: int, most: int, where: str) -> int:
    # AWX surveys send strings.
    text = str(value).strip()
    if isinstance(value, bool) or not text.isdigit() or not least <= int(text) <= most:
        raise BadInput(
            f"{where} is {value!r}; give a whole number from {least} to {most}."
        )
    return int(text)


def _flag(value: object, where: str) -> bool:
    known = {"true": True, "yes": True, "false": False, "no": False, "": False}
    text = str("" if value is None else value).strip().lower()
    if text not in known:
        raise BadInput(f"{where} is {value!r}; give true or false.")
    return known[text]


def references(hook: _hooks.Hook) -> dict[str, tuple[str, str]]:
    """Name and key of each Secret that a webhook needs, by what it is for."""
    found = {"url": hook.webhook.get("url_secret")}
    found.update(hook.webhook.get("headers") or {})
    return {
        what: (each["name"], each["key"])
        for what, each in found.items()
        if isinstance(each, dict)
    }


def rights_needed(text: str, secrets: Secrets) -> Rights:
    """What the hooks ask of the Kubernetes API: verbs by resource."""
    needed: Rights = {}
    given = secrets.names_given()
    for hook in _hooks.read(text):
        if hook.job:
            needed = merged_rights(needed, job_provider.rights(hook.job))
        if any("/".join(r) not in given for r in references(hook).values()):
            needed = merged_rights(needed, {"secrets": ("get",)})
    return needed


def refuse_missing_secrets(text: str, secrets: Secrets, variable: str) -> None:
    """Refuse a release whose webhook would lack a secret only when it is due.

    :raises BadInput: it names the hook, the Secret and the key.
    """
    for hook in _hooks.read(text):
        for reference in references(hook).values():
            try:
                secrets.get(*reference)
            except SecretMissing as error:
                raise BadInput(f"{variable}: hook {hook.name}: {error}") from None
