# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The release parameters: what the user asks of a release besides the pod template.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import typing as t
from dataclasses import dataclass

from . import _hooks
from ._analysis.state import DRAIN, POST_PROMOTION, PRE_PROMOTION
from ._errors import BadInput

NEVER = -1

# How the active Services move: AUTO decides by what is seen.
AUTO = "auto"
ATOMIC = "atomic"
OVERLAP = "overlap"
CUTOVERS = (AUTO, ATOMIC, OVERLAP)

# What becomes of a release that has failed.
ABORT = "abort"
HOLD = "hold"

# What the preview Services show while no update is in flight.
STABLE_REVISION = "stable"
NOTHING = "none"

_CHOICES = {
    "cutover": CUTOVERS,
    "on_failure": (ABORT, HOLD),
    "preview_when_idle": (STABLE_REVISION, NOTHING),
}

_OBJECT_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")

# Structures, which are kept as canonical JSON text; empty: none.
_TEXTS = (
    *("pre_promotion_analysis", "post_promotion_analysis", "pdb", "probe"),
    *("drain_http", "drain_exec", "drain", "hooks", "workload_ref"),
    *("active_metadata", "preview_metadata", "anti_affinity"),
)
_TUPLES = ("active_services", "preview_services", "config", "analysis_secrets")
_SIZES = ("scale_up_steps", "scale_down_steps")


def canonical(value: t.Any) -> str:
    """JSON text that is the same for the same data."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True)
class Size:
    """A number of pods, or a percentage of the full size."""

    value: int
    percent: bool

    def of(self, full: int) -> int:
        """The number of pods, percentages rounded up, at least one of a full size."""
        return math.ceil(full * self.value / 100) if self.percent else self.value

    def __str__(self) -> str:
        return f"{self.value}%" if self.percent else str(self.value)


def parse_size(text: object, variable: str) -> Size:
    """A step of the scale-up, or of the scale-down.

    :raises BadInput: it is neither a count nor a percentage.
    """
    match = re.fullmatch(r"\s*(\d+)\s*(%?)\s*", str(text))
    if not match or isinstance(text, bool):
        raise BadInput(
            f"{variable}: {text!r} is neither a count nor a percentage; write a whole"
            " number of pods, or a percentage such as 25%."
        )
    return Size(int(match.group(1)), bool(match.group(2)))


ALL_AT_ONCE = (Size(100, True),)
NONE_AT_ONCE = (Size(0, False),)


@dataclass(frozen=True)
class Parameters:
    """The release parameters of one revision. Durations are in seconds.

    They stand on the revision's Deployment as an annotation, so that every later
    run needs only the name and the namespace.
    """

    replicas: int | None = None
    # The Deployment that revisions are made from, and when it gives up its pods, as
    # canonical JSON text; empty: they are made from a manifest.
    workload_ref: str = ""
    active_services: tuple[str, ...] = ()
    preview_services: tuple[str, ...] = ()
    preview_replica_count: int | None = None
    scale_up_steps: tuple[Size, ...] = ALL_AT_ONCE
    scale_up_interval_seconds: int = 0
    auto_promotion_enabled: bool = True
    auto_promotion_seconds: int = 0
    scale_down_delay_seconds: int = 30
    scale_down_delay_revision_limit: int | None = None
    abort_scale_down_delay_seconds: int = 30
    on_failure: str = ABORT
    preview_when_idle: str = STABLE_REVISION
    # Whether the very first release passes its analyses and its pause, too.
    gate_first_deploy: bool = False
    progress_deadline_seconds: int = 600
    progress_deadline_abort: bool = False
    min_ready_seconds: int = 0
    revision_history_limit: int = 10
    # How many revisions back a way back needs no gates; none: only within the delay.
    rollback_window: int | None = None
    cutover: str = AUTO
    # The HTTPRoute that sends users to one of the two active Services; empty: none.
    route: str = ""
    # How long both revisions serve in an overlap.
    overlap_seconds: int = 10
    # The requests that watch a cutover, as canonical JSON text; empty: none.
    probe: str = ""
    # More failed ones abort the release; none: they are only counted.
    probe_max_errors: int | None = None
    # How each pod is told to close what it holds before it ends, and what then has to
    # hold, as canonical JSON text; empty: none.
    drain_http: str = ""
    drain_exec: str = ""
    drain: str = ""
    # From the telling on: then it ends, drained or not.
    drain_timeout_seconds: int = 60
    scale_down_steps: tuple[Size, ...] = NONE_AT_ONCE
    scale_down_interval_seconds: int = 0
    # The composed analyses as canonical JSON text; empty: none.
    pre_promotion_analysis: str = ""
    post_promotion_analysis: str = ""
    # ``<kind>/<name>`` of each ConfigMap and Secret that belongs to the revision.
    config: tuple[str, ...] = ()
    # What runs at points of the release, as canonical JSON text; empty: nothing.
    hooks: str = ""
    # ``<Secret>/<key>`` of each secret that was given as a variable.
    analysis_secrets: tuple[str, ...] = ()
    # What each revision's PodDisruptionBudget asks for, as canonical JSON text.
    pdb: str = ""
    # Labels and annotations that pods carry in a role, as canonical JSON text.
    active_metadata: str = ""
    preview_metadata: str = ""
    # How new pods keep off the nodes of the stable revision, as canonical JSON text.
    anti_affinity: str = ""

    def to_json(self) -> str:
        """The annotation's value: what differs from the defaults, keys sorted."""
        values: dict[str, t.Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                values[field.name] = value
        for name in _SIZES:
            if name in values:
                values[name] = [str(size) for size in values[name]]
        for name in _TEXTS:
            if name in values:
                # A person may read it, so it is no text within the text.
                values[name] = json.loads(values[name])
        return canonical(values)

    @classmethod
    def from_json(cls, text: str | None) -> Parameters | None:
        """Read the annotation back; none if it is absent or was edited beyond use."""
        try:
            values = json.loads(text or "")
            # No release is without one: an annotation that was emptied says nothing.
            values["active_services"]
            known = {f.name for f in dataclasses.fields(cls)}
            kept = {k: v for k, v in values.items() if k in known}
            for name in _TUPLES:
                kept[name] = tuple(kept.get(name, ()))
            for name in _TEXTS:
                kept[name] = canonical(kept[name]) if name in kept else ""
            for name in _SIZES:
                if name in kept:
                    kept[name] = tuple(parse_size(step, name) for step in kept[name])
            parameters = cls(**kept)
            _refuse_other_types(parameters)
            validate(parameters)
            return parameters
        except (ValueError, TypeError, KeyError, AttributeError, BadInput):
            return None

    @property
    def has_analysis(self) -> bool:
        """Whether anything is measured in this release."""
        return bool(
            self.pre_promotion_analysis or self.post_promotion_analysis or self.drain
        )

    @property
    def marks(self) -> bool:
        """Whether pods carry anything only for the time that they have a role."""
        return bool(self.active_metadata or self.preview_metadata)

    @property
    def tells(self) -> bool:
        """Whether each pod is told to close what it holds before it ends."""
        return bool(self.drain_http or self.drain_exec)

    @property
    def drains(self) -> bool:
        """Whether anything comes between the end of the delay and the scale-down."""
        return self.tells or bool(self.drain)

    @property
    def ends_gently(self) -> bool:
        """Whether a revision does not just go when its delay is over."""
        return self.drains or self.scale_down_steps != NONE_AT_ONCE

    def analysis(self, kind: str) -> str:
        """The composed analysis of that kind as JSON text; empty: none."""
        return {
            PRE_PROMOTION: self.pre_promotion_analysis,
            POST_PROMOTION: self.post_promotion_analysis,
            DRAIN: self.drain,
        }[kind]

    def step_sizes(self, full: int) -> tuple[int, ...]:
        """The sizes that the new revision passes through before promotion.

        They end with its size before promotion: ``preview_replica_count``, or all.
        """
        last = self.before_promotion(full)
        sizes = [min(step.of(last), last) for step in self.scale_up_steps]
        steps = [s for i, s in enumerate(sizes) if s > max([0, *sizes[:i]])]
        return tuple(steps) if steps and steps[-1] == last else (*steps, last)

    def falling_sizes(self, full: int) -> tuple[int, ...]:
        """The sizes that an old revision passes through at its end; the last is 0."""
        sizes = [step.of(full) for step in self.scale_down_steps]
        steps = [s for i, s in enumerate(sizes) if 0 < s < min([full, *sizes[:i]])]
        return (*steps, 0)

    def before_promotion(self, full: int) -> int:
        """How many pods the new revision has while it is previewed and analysed."""
        if self.preview_replica_count is None:
            return full
        return min(self.preview_replica_count, full)


def _refuse_other_types(parameters: Parameters) -> None:
    """Refuse what an edited annotation may hold: a gate is no place for a guess.

    :raises TypeError: a value is of another type than its field.
    """
    for field in dataclasses.fields(parameters):
        value = getattr(parameters, field.name)
        if isinstance(field.default, str):
            fits = isinstance(value, str)
        elif isinstance(field.default, tuple):
            element = Size if field.name in _SIZES else str
            fits = all(isinstance(v, element) for v in value)
        elif isinstance(field.default, bool):
            fits = isinstance(value, bool)
        else:
            optional = field.default is None and value is None
            fits = optional or (isinstance(value, int) and not isinstance(value, bool))
        if not fits:
            raise TypeError(field.name)


def _refuse_below(value: int | None, least: int, variable: str, unit: str) -> None:
    if value is not None and value < least:
        never = " (-1 means never)" if least == NEVER else ""
        raise BadInput(
            f"{variable}: {value} is too low; give {unit} of at least {least}{never}."
        )


def validate(parameters: Parameters, prefix: str = "") -> None:
    """Refuse parameters that no release could keep to.

    :param prefix: stands before each name in messages.
    :raises BadInput: one sentence about the first that is wrong.
    """
    p = parameters
    seconds = "a number of seconds"
    _refuse_below(p.replicas, 1, "definition: spec.replicas", "a number of pods")
    for name, least in (
        ("scale_up_interval_seconds", 0),
        ("auto_promotion_seconds", 0),
        ("scale_down_delay_seconds", NEVER),
        ("abort_scale_down_delay_seconds", NEVER),
        ("progress_deadline_seconds", 1),
        ("min_ready_seconds", 0),
        ("overlap_seconds", 0),
        ("drain_timeout_seconds", 0),
        ("scale_down_interval_seconds", 0),
    ):
        _refuse_below(getattr(p, name), least, prefix + name, seconds)
    for name in (
        "scale_down_delay_revision_limit",
        "revision_history_limit",
        "rollback_window",
    ):
        _refuse_below(getattr(p, name), 0, prefix + name, "a number of revisions")
    _refuse_below(
        p.preview_replica_count, 1, f"{prefix}preview_replica_count", "a number of pods"
    )
    if p.progress_deadline_seconds <= p.min_ready_seconds:
        raise BadInput(
            f"{prefix}progress_deadline_seconds: {p.progress_deadline_seconds} is not"
            f" above min_ready_seconds ({p.min_ready_seconds}), so no pod could ever"
            " become available in time; raise it."
        )
    _refuse_below(p.probe_max_errors, 0, f"{prefix}probe_max_errors", "a number")
    if p.probe_max_errors is not None and not p.probe:
        raise BadInput(
            f"{prefix}probe_max_errors: there is no probe whose errors could be"
            f" counted; give {prefix}probe, or leave this out."
        )
    for name, choices in _CHOICES.items():
        if getattr(p, name) not in choices:
            raise BadInput(
                f"{prefix}{name}: {getattr(p, name)!r} is none of {', '.join(choices)}."
            )
    # What the option's parser wrote; an edited annotation is no longer that.
    _hooks.read(p.hooks)
    _validate_services(p, prefix)
    if p.route:
        _validate_route(p, prefix)
    _validate_overlays(p, prefix)
    _validate_sizes(p, prefix)
    _validate_falling_sizes(p, prefix)


def _validate_services(p: Parameters, prefix: str) -> None:
    if not p.active_services:
        raise BadInput(
            f"{prefix}active_service: nothing was given; name the Service that users"
            " reach, or give its manifest."
        )
    for name in p.preview_services:
        if name in p.active_services:
            raise BadInput(
                f"{prefix}preview_service: Service {name} is the active Service, too;"
                " the preview needs a Service of its own."
            )


def _validate_overlays(p: Parameters, prefix: str) -> None:
    """Users' input is refused earlier, in more words: this is what was kept of it."""
    for name in ("active_metadata", "preview_metadata", "anti_affinity"):
        kept = json.loads(getattr(p, name) or "{}")
        if not isinstance(kept, dict) or any(
            not isinstance(value, dict) for value in kept.values()
        ):
            raise BadInput(f"{prefix}{name}: {kept!r} is no mapping of mappings.")


def _validate_route(p: Parameters, prefix: str) -> None:
    if not _OBJECT_NAME.fullmatch(p.route):
        raise BadInput(
            f"{prefix}route: {p.route!r} cannot name an HTTPRoute; give the name of one"
            " in the namespace."
        )
    if p.gate_first_deploy:
        raise BadInput(
            f"{prefix}gate_first_deploy: HTTPRoute {p.route} always sends its users"
            " somewhere; leave it out, or release once without route."
        )
    if len(p.active_services) != 2:
        raise BadInput(
            f"{prefix}active_service: HTTPRoute {p.route} moves its users between two"
            f" Services, {len(p.active_services)} were given; give the two that it"
            " refers to."
        )
    if p.cutover != AUTO:
        raise BadInput(
            f"{prefix}cutover: {p.cutover} is how Services move, and HTTPRoute"
            f" {p.route} moves its users by its weights, in one update; leave it out."
        )
    if p.route in p.preview_services:
        raise BadInput(
            f"{prefix}preview_service: Service {p.route} has the name of the HTTPRoute,"
            " so messages could not tell them apart; rename one of them."
        )


def _validate_sizes(p: Parameters, prefix: str) -> None:
    full = p.replicas
    if full is not None and (p.preview_replica_count or 0) > full:
        raise BadInput(
            f"{prefix}preview_replica_count: {p.preview_replica_count} is above the"
            f" full size of {full} pods that the definition asks for; lower it."
        )
    if not p.scale_up_steps:
        raise BadInput(
            f"{prefix}scale_up_steps: the list is empty; leave it out, or give counts"
            " or percentages that rise to 100%."
        )
    last = None if full is None else p.before_promotion(full)
    previous: Size | None = None
    for step in p.scale_up_steps:
        _validate_step(step, previous, last, f"{prefix}scale_up_steps")
        previous = step


def _validate_falling_sizes(p: Parameters, prefix: str) -> None:
    variable = f"{prefix}scale_down_steps"
    if not p.scale_down_steps:
        raise BadInput(
            f"{variable}: the list is empty; leave it out, or give counts or"
            " percentages that fall to 0."
        )
    full = p.replicas or 100
    before: Size | None = None
    for step in p.scale_down_steps:
        if step.percent and step.value > 100:
            raise BadInput(
                f"{variable}: {step} is above the revision's size; give percentages"
                " that fall from 100% to 0."
            )
        if before is not None and _is_above(step, before, full):
            raise BadInput(
                f"{variable}: {step} comes after {before} and is higher; steps only go"
                " down, to 0."
            )
        before = step


def _is_above(size: Size, other: Size, full: int) -> bool:
    if size.percent == other.percent:
        return size.value > other.value
    return size.of(full) > other.of(full)


def _validate_step(
    step: Size, previous: Size | None, last: int | None, variable: str
) -> None:
    if step.value < 1 or (step.percent and step.value > 100):
        raise BadInput(
            f"{variable}: {step} is outside the range; steps go from 1 pod (or 1%)"
            " to 100%."
        )
    if not step.percent and last is not None and step.value > last:
        raise BadInput(
            f"{variable}: {step} pods are above the size before promotion, {last};"
            " lower the step."
        )
    if previous is None:
        return
    comparable = step.percent == previous.percent
    scale = last if last is not None else 100
    now, before = (
        (step.value, previous.value)
        if comparable
        else (step.of(scale), previous.of(scale))
    )
    if now < before:
        raise BadInput(
            f"{variable}: {step} comes after {previous} and is lower; steps only go up."
        )
