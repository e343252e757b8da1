# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a release lays over the pod template of a revision for the time that it has a
role: labels, annotations, and an anti-affinity against another revision.

Pure. It is no part of the revision's hash, and goes without a trace. Private to the
collection: it may change in any release.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import typing as t
from dataclasses import dataclass, field

from . import _names as names
from ._objects import Object, annotation_of
from ._parameters import canonical

_HOSTNAME = "kubernetes.io/hostname"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_KINDS = ("labels", "annotations")


@dataclass(frozen=True)
class Overlay:
    """What a pod template has beside what its manifest gives it."""

    labels: t.Mapping[str, str] = field(default_factory=dict)
    annotations: t.Mapping[str, str] = field(default_factory=dict)
    # The revision whose nodes new pods keep off; empty: none.
    keeps_off: str = ""
    # How strongly they prefer that, from 1 to 100; 0: they do not start there.
    weight: int = 0

    @property
    def marks(self) -> bool:
        """Whether live pods carry any of it."""
        return bool(self.labels or self.annotations)

    def keeps_off_as(self, other: Overlay) -> bool:
        """Whether new pods find the same nodes with another one."""
        return (self.keeps_off, self.weight) == (other.keeps_off, other.weight)


NOTHING = Overlay()


def overlay_of(metadata: str, anti_affinity: str = "", keeps_off: str = "") -> Overlay:
    """The overlay of a role.

    :param metadata: what the release parameters say of it, canonical JSON or empty.
    :param anti_affinity: what they say of the nodes, canonical JSON or empty.
    :param keeps_off: the hash of the revision on them; empty: there is none.
    """
    marks = json.loads(metadata) if metadata else {}
    asked = json.loads(anti_affinity) if anti_affinity and keeps_off else {}
    return Overlay(
        marks.get("labels", {}),
        marks.get("annotations", {}),
        keeps_off if asked else "",
        asked.get("preferred", {}).get("weight", 0),
    )


@dataclass(frozen=True)
class Kept:
    """What an annotation of the revision's Deployment remembers of its overlay."""

    overlay: Overlay = NOTHING
    # By kind and key what the template has without it; none: it has no such key.
    own: t.Mapping[str, t.Mapping[str, str | None]] = field(default_factory=dict)
    # The template's own affinity, in a list that is empty where it was not touched.
    affinity: tuple[t.Any, ...] = ()
    # Whether the change to it was begun and has not been seen to its end.
    changing: bool = False

    def to_text(self) -> str:
        """The annotation's value."""
        return canonical(dataclasses.asdict(self))

    @classmethod
    def of(cls, deployment: Object) -> Kept:
        """Read it back; what was edited beyond use remembers nothing."""
        text = annotation_of(deployment, names.ANNOTATION_OVERLAY)
        try:
            return _kept(json.loads(text or "{}"))
        except (ValueError, TypeError, AttributeError):
            return cls()

    def begun(self, template: Object, overlay: Overlay) -> Kept:
        """What to remember before a template's overlay gives way to another."""
        own = {
            kind: {
                **dict.fromkeys(getattr(overlay, kind)),
                **{
                    key: value
                    for key, value in (template["metadata"].get(kind) or {}).items()
                    if key in getattr(overlay, kind)
                },
                **self.own.get(kind, {}),
            }
            for kind in _KINDS
        }
        affinity = self.affinity
        if overlay.keeps_off and not affinity:
            affinity = (template["spec"].get("affinity"),)
        known = {kind: found for kind, found in own.items() if found}
        return Kept(overlay, known, affinity, changing=True)

    def ended(self) -> Kept:
        """What is to be remembered once the change was seen to its end."""
        own = {
            kind: {
                key: value
                for key, value in found.items()
                if key in getattr(self.overlay, kind)
            }
            for kind, found in self.own.items()
        }
        known = {kind: found for kind, found in own.items() if found}
        affinity = self.affinity if self.overlay.keeps_off else ()
        return Kept(self.overlay, known, affinity)

    def wanted(self, kind: str) -> dict[str, str | None]:
        """Labels or annotations as they are to be; none: the key is to go."""
        overlay: t.Mapping[str, str] = getattr(self.overlay, kind)
        return {**self.own.get(kind, {}), **overlay}

    def laid(self, template: Object, rollout: str) -> Object:
        """The template with the overlay, whichever it has had."""
        laid = copy.deepcopy(template)
        for kind in _KINDS:
            merged = {**(laid["metadata"].get(kind) or {}), **self.wanted(kind)}
            found = {key: value for key, value in merged.items() if value is not None}
            if found:
                laid["metadata"][kind] = found
            else:
                laid["metadata"].pop(kind, None)
        if self.affinity:
            affinity = _with_term(self.affinity[0], self.overlay, rollout)
            laid["spec"]["affinity"] = affinity
            if affinity is None:
                del laid["spec"]["affinity"]
        return laid


def _kept(values: Object) -> Kept:
    """What was remembered, from its JSON.

    :raises TypeError: somebody edited it beyond use.
    """
    given, own = values.get("overlay", {}), values.get("own", {})
    marks = {kind: _texts(given.get(kind, {})) for kind in _KINDS}
    overlay = Overlay(**{**given, **marks})
    if not isinstance(overlay.keeps_off, str) or not isinstance(overlay.weight, int):
        raise TypeError("overlay")
    known = {kind: _texts(own[kind]) for kind in _KINDS if own.get(kind)}
    affinity = tuple(values.get("affinity", ()))
    if any(not isinstance(each, (dict, type(None))) for each in affinity):
        raise TypeError("affinity")
    return Kept(overlay, known, affinity, bool(values.get("changing", False)))


def _texts(value: object) -> dict[str, t.Any]:
    if not isinstance(value, dict) or any(
        not isinstance(text, (str, type(None))) for text in value.values()
    ):
        raise TypeError("texts")
    return value


def _with_term(own: t.Any, overlay: Overlay, rollout: str) -> t.Any:
    """An affinity with the term that keeps pods off the nodes of a revision."""
    if not overlay.keeps_off:
        return own
    term = {
        "labelSelector": {
            "matchLabels": {
                names.LABEL_ROLLOUT: rollout,
                names.LABEL_HASH: overlay.keeps_off,
            }
        },
        "topologyKey": _HOSTNAME,
    }
    affinity = copy.deepcopy(own) or {}
    anti = affinity.get("podAntiAffinity") or {}
    if overlay.weight:
        weighted = {"weight": overlay.weight, "podAffinityTerm": term}
        anti = {**anti, _PREFERRED: [*(anti.get(_PREFERRED) or []), weighted]}
    else:
        anti = {**anti, _REQUIRED: [*(anti.get(_REQUIRED) or []), term]}
    return {**affinity, "podAntiAffinity": anti}


def lay_from_the_start(body: Object, overlay: Overlay, rollout: str) -> None:
    """Lay it over the template of a Deployment that does not exist yet."""
    if overlay == NOTHING:
        return
    template = body["spec"]["template"]
    begun = Kept().begun(template, overlay)
    body["spec"]["template"] = begun.laid(template, rollout)
    kept = begun.ended().to_text()
    body["metadata"]["annotations"][names.ANNOTATION_OVERLAY] = kept


def without_overlay(deployment: Object, rollout: str) -> Object:
    """The pod template of a Deployment as its manifest gives it."""
    template: Object = deployment["spec"]["template"]
    return Kept.of(deployment).begun(template, NOTHING).laid(template, rollout)


def marks_of_pod(pod: Object, kept: Kept) -> dict[str, dict[str, str | None]]:
    """The labels and annotations that a live pod is to get, or lose, by kind."""
    missing: dict[str, dict[str, str | None]] = {}
    for kind in _KINDS:
        present = pod["metadata"].get(kind) or {}
        differs = {
            key: value
            for key, value in kept.wanted(kind).items()
            if present.get(key) != value
        }
        if differs:
            missing[kind] = differs
    return missing
