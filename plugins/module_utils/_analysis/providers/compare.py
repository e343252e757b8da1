# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``compare``: one metric of the new revision and of the stable one, side by side.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import dataclasses
import math
import typing as t
from dataclasses import dataclass

from .. import fields, registry
from ..measurement import MeasurementError, Problem, Request, Value
from ..shapes import shown

# Those that ask a server for a value, which may differ from revision to revision.
COMPARABLE = (
    "cloudWatch",
    "datadog",
    "graphite",
    "influxdb",
    "newRelic",
    "prometheus",
    "skywalking",
    "wavefront",
    "web",
)
_FIELDS = ("provider", "samples", "minSamples")
_BLOCKS = ("provider", "samples")


class _NoData(Exception):
    """One side has no number: why, as a sentence."""


@dataclass(frozen=True)
class _Side:
    """One revision: ``latest`` or ``stable``, and the block as it is for it."""

    name: str
    request: Request
    config: t.Mapping[str, t.Any]


def problems(config: t.Mapping[str, t.Any]) -> list[Problem]:
    """What is wrong with the block, and with the providers' blocks in it."""
    found = fields.mapping_problems(config, "compare")
    if found:
        return found
    found += fields.unknown_problems(config, _FIELDS, "compare")
    found += _block_problems(config.get("provider"), "compare.provider")
    if config.get("samples") is not None:
        found += _block_problems(config["samples"], "compare.samples")
    return found + _least_problems(config)


def seconds_allowed(config: t.Mapping[str, t.Any]) -> float:
    """Seconds that a measurement may take: each block is measured twice."""
    blocks = [config[name] for name in _BLOCKS if config.get(name)]
    each = [
        registry.provider(name).seconds_allowed(inner)
        for block in blocks
        for name, inner in block.items()
    ]
    return 2 * sum(each)


def measure(request: Request) -> Value:
    """``latest``, ``stable``, their ``ratio`` and ``difference``, and with ``samples``
    the counts of both; None where there is nothing to compare.

    The ratio of two zeros is 1, that of anything else and zero is infinite.

    :raises MeasurementError: a block cannot be measured, or is the same for both.
    """
    config = request.config
    fields.refuse(problems(config))
    if not request.place.stable:
        return Value(None, {"reason": "There is no stable revision to compare with."})
    if config["provider"] == request.config_of_stable["provider"]:
        raise MeasurementError(
            "compare.provider is the same for both revisions; use an argument with"
            " valueFrom.podTemplateHashValue: Latest in it."
        )
    metadata: dict[str, str] = {}
    try:
        return Value(_compared(_sides(request), metadata), metadata)
    except _NoData as reason:
        return Value(None, {**metadata, "reason": str(reason)})


def _sides(request: Request) -> tuple[_Side, _Side]:
    """Both look at the same instant: what one measures is what the other does."""
    now = request.place.now()
    place = dataclasses.replace(request.place, now=lambda: now)
    at_once = dataclasses.replace(request, place=place)
    return (
        _Side("latest", at_once, request.config),
        _Side("stable", at_once, request.config_of_stable),
    )


def _compared(sides: tuple[_Side, _Side], metadata: dict[str, str]) -> dict[str, t.Any]:
    values = {side.name: _number(side, "provider", metadata) for side in sides}
    latest, stable = values["latest"], values["stable"]
    result: dict[str, t.Any] = {
        **values,
        "ratio": _ratio(latest, stable),
        "difference": latest - stable,
    }
    if sides[0].config.get("samples") is not None:
        result["samples"] = {side.name: _samples(side, metadata) for side in sides}
    return result


def _ratio(latest: float, stable: float) -> float:
    if stable:
        return latest / stable
    return math.copysign(math.inf, latest) if latest else 1.0


def _samples(side: _Side, metadata: dict[str, str]) -> float:
    least = _least(side.config)
    count = _number(side, "samples", metadata)
    if count < least:
        raise _NoData(
            f"There are {count:g} samples of the {side.name} revision, at least"
            f" {least:g} are expected."
        )
    return count


def _number(side: _Side, block: str, metadata: dict[str, str]) -> float:
    ((name, inner),) = side.config[block].items()
    request = dataclasses.replace(side.request, config=inner, config_of_stable=inner)
    outcome = registry.provider(name).measure(request)
    where = f"compare.{block} of the {side.name} revision"
    if not isinstance(outcome, Value):
        raise MeasurementError(f"{where}: {name} gives no value to compare.")
    for key, text in outcome.metadata.items():
        metadata[f"{side.name}.{block}.{key}"] = text
    return _as_number(outcome.value, where)


def _as_number(value: t.Any, where: str) -> float:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if value is None or value in ([], {}, ""):
        raise _NoData(f"{where}: there is no data.")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise MeasurementError(
            f"{where}: {fields.kind(value)} was found, expected is one number or a list"
            " of one; make one number of it, such as by sum()."
        )
    try:
        number = float(value)
    except OverflowError:
        raise MeasurementError(f"{where}: the number is too large.") from None
    if math.isnan(number):
        # The rate of no requests, for one.
        raise _NoData(f"{where}: the value is not a number (NaN), so there is no data.")
    return number


# -- what is wrong ---------------------------------------------------------------------


def _block_problems(block: t.Any, at: str) -> list[Problem]:
    found = fields.mapping_problems(block, at)
    if found:
        return found
    if len(block) != 1:
        given = ", ".join(sorted(map(str, block))) or "none"
        text = f"{given} was found, expected is exactly one provider"
        return [Problem(at, text)]
    ((name, inner),) = block.items()
    if name not in COMPARABLE:
        text = f"it cannot be compared; there are {', '.join(COMPARABLE)}"
        return [Problem(f"{at}.{name}", text)]
    place = at.partition(".")[2]
    return [
        Problem(f"compare.{place}.{problem.field}", problem.text)
        for problem in registry.provider(name).problems(inner)
    ]


def _least(config: t.Mapping[str, t.Any]) -> float:
    return fields.number(config.get("minSamples")) or 1.0


def _least_problems(config: t.Mapping[str, t.Any]) -> list[Problem]:
    value, at = config.get("minSamples"), "compare.minSamples"
    if value is None or fields.holds_placeholder(value):
        return []
    number = fields.number(value)
    if number is None or number < 1:
        text = f"{shown(value)} was found, expected is a number from 1 on"
        return [Problem(at, text)]
    if config.get("samples") is None:
        text = "it says how many, but not of what; give compare.samples, too"
        return [Problem(at, text)]
    return []
