# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a user asks for that pods have only for the time of a role: labels, annotations
and an anti-affinity. Read, and refused in one sentence.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import json
import re
import typing as t

from . import _names as names
from ._errors import BadInput, shown
from ._manifests import parse
from ._objects import Object
from ._parameters import Parameters, canonical

RIGHTS_TO_CHANGE_TEMPLATES = {"replicasets.apps": ("list", "watch", "patch")}
RIGHTS_TO_MARK_PODS = {"pods": ("patch",)}
_SUFFIX = "DuringSchedulingIgnoredDuringExecution"
_KINDS = ("labels", "annotations")
_SEGMENT = "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_VALUE = re.compile(f"({_SEGMENT})?")
_NAME = re.compile(_SEGMENT)
_DOMAIN = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
# Set by the controller that makes a revision's pods.
_POD_TEMPLATE_HASH = "pod-template-hash"


def parse_metadata(value: object, variable: str) -> str:
    """Labels and annotations as canonical JSON text; empty: none.

    :raises BadInput: one sentence about the first that no pod could carry.
    """
    if value is None or value == "":
        return ""
    given = parse(value, variable)
    for kind in given:
        if kind not in _KINDS:
            raise BadInput(
                f"{variable}: {kind!r} is not known; give labels, annotations or both."
            )
    found = {kind: _texts(given[kind], f"{variable}.{kind}") for kind in given}
    for key, text in found.get("labels", {}).items():
        if not _VALUE.fullmatch(text):
            raise BadInput(
                f"{variable}.labels: {text!r} of {key} cannot be a label's value; use"
                " at most 63 letters, digits, hyphens, dots and underscores."
            )
    kept = {kind: texts for kind, texts in found.items() if texts}
    return canonical(kept) if kept else ""


def _texts(given: object, variable: str) -> dict[str, str]:
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise BadInput(
            f"{variable}: a mapping of keys to values is expected,"
            f" {type(given).__name__} was found."
        )
    for key, value in given.items():
        if not isinstance(key, str) or not _is_key(key):
            raise BadInput(
                f"{variable}: {key!r} cannot be a key; use a name of at most 63"
                " letters, digits, hyphens, dots and underscores, after a domain and a"
                " slash if wanted."
            )
        if not isinstance(value, str):
            raise BadInput(
                f"{variable}: {key} is {value!r}, which is no text; write it in quotes."
            )
        if key.startswith(f"{names.PREFIX}/") or key == _POD_TEMPLATE_HASH:
            raise BadInput(
                f"{variable}: {key} is set by the release itself; use another key."
            )
    return given


def _is_key(key: str) -> bool:
    domain, slash, name = key.rpartition("/")
    return bool(_NAME.fullmatch(name)) and (
        not slash or bool(_DOMAIN.fullmatch(domain))
    )


def parse_anti_affinity(value: object, variable: str) -> str:
    """How strongly pods keep off the stable revision's nodes, as canonical JSON text:
    ``required``, or ``preferred`` with its weight; empty: not at all.

    :raises BadInput: it is neither, or both.
    """
    if value is None or value == "":
        return ""
    given = {
        str(key)[: -len(_SUFFIX)] if str(key).endswith(_SUFFIX) else str(key): body
        for key, body in parse(value, variable).items()
    }
    if len(given) != 1 or next(iter(given)) not in ("required", "preferred"):
        found = " and ".join(given) or "neither"
        raise BadInput(
            f"{variable}: {found} was found; give one of required: {{}} and preferred:"
            " {weight: 1 to 100}."
        )
    ((kind, body),) = ((kind, body or {}) for kind, body in given.items())
    known = {"required": set(), "preferred": {"weight"}}[kind]
    if not isinstance(body, dict) or set(body) - known:
        raise BadInput(
            f"{variable}: {kind} is {body!r}; give required: {{}} or preferred:"
            " {weight: 1 to 100}."
        )
    if kind == "required":
        return canonical({kind: {}})
    return canonical({kind: {"weight": _weight(body.get("weight"), variable)}})


def _weight(given: object, variable: str) -> int:
    # AWX surveys send strings.
    weight = int(given) if isinstance(given, str) and given.isdigit() else given
    whole = isinstance(weight, int) and not isinstance(weight, bool)
    if not whole or not 1 <= t.cast(int, weight) <= 100:
        raise BadInput(
            f"{variable}: the weight of preferred is {shown(given)}; give a whole"
            " number from 1 to 100."
        )
    return t.cast(int, weight)


def refuse_taken_labels(
    parameters: Parameters,
    selector: Object,
    services: t.Mapping[str, t.Mapping[str, str]],
) -> None:
    """Refuse a label by which anything selects the pods: it would lose them.

    :param selector: of the user's Deployment.
    :param services: the own selector of each active or preview Service, by its name.
    :raises BadInput: one sentence about the first.
    """
    for variable in ("active_metadata", "preview_metadata"):
        asked = json.loads(getattr(parameters, variable) or "{}")
        for key in sorted(asked.get("labels", {})):
            by = _selected_by(key, selector, services)
            if by:
                raise BadInput(
                    f"{variable}.labels: {by} selects its pods by {key}, and would lose"
                    " them when it changes; use another key."
                )


def _selected_by(
    key: str, selector: Object, services: t.Mapping[str, t.Mapping[str, str]]
) -> str:
    expressions = selector.get("matchExpressions") or []
    keys = {*(selector.get("matchLabels") or {}), *(e.get("key") for e in expressions)}
    if key in keys:
        return "the definition"
    found = [f"Service {name}" for name, wanted in services.items() if key in wanted]
    return found[0] if found else ""


def rights_to_lay(marks: bool) -> list[t.Mapping[str, tuple[str, ...]]]:
    """What is needed to change a pod template in place: verbs by resource.

    :param marks: whether live pods are to follow.
    """
    rights: list[t.Mapping[str, tuple[str, ...]]] = [RIGHTS_TO_CHANGE_TEMPLATES]
    return [*rights, RIGHTS_TO_MARK_PODS] if marks else rights
