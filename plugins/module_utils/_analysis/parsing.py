# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A composed analysis made into a spec, or all that is wrong with it.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import dataclasses
import math
import re
import typing as t
import warnings

from .._errors import BadInput
from . import expression, registry
from .arguments import (
    Argument,
    fill,
    names_in,
    read_arguments,
    unknown_placeholders,
)
from .durations import seconds_of
from .measurement import MeasurementError
from .shapes import did_you_mean, list_at, plain, shown, unknown_fields
from .spec import (
    CONSECUTIVE_ERROR_LIMIT,
    NO_DATA,
    RETENTION,
    UNLIMITED,
    Metric,
    Range,
    Spec,
)

# The template that a metric of a composed analysis comes from.
TEMPLATE = "_template"

METRIC_FIELDS = (
    "name",
    "interval",
    "initialDelay",
    "count",
    "successCondition",
    "failureCondition",
    "thresholdRange",
    "noData",
    "failureLimit",
    "inconclusiveLimit",
    "consecutiveErrorLimit",
    "consecutiveSuccessLimit",
    "provider",
)

_MAX_NUMBER = 2**31 - 1


def parse(composed: object, values: t.Mapping[str, str], gate: bool = True) -> Spec:
    """The spec of a composed analysis.

    :param values: the arguments that are not secret; for a hash, the revision's.
    :param gate: whether a release waits for it, so that it must end by itself.
    :raises BadInput: a line for each thing that is wrong.
    """
    spec, problems = _read(composed, values, gate)
    if problems:
        raise BadInput("\n".join(problems))
    return spec


def problems_of(
    composed: object, values: t.Mapping[str, str], gate: bool = True
) -> list[str]:
    """A sentence for each thing that is wrong with a composed analysis.

    Parameters are those of :func:`parse`.
    """
    return _read(composed, values, gate)[1]


def arguments_of(composed: t.Mapping[str, t.Any]) -> tuple[Argument, ...]:
    """The arguments of a composed analysis; what cannot be read is left out."""
    return read_arguments(list_at(composed, "args", "", []), "args", [])


def values_of(
    composed: t.Mapping[str, t.Any], hashes: t.Mapping[str, str]
) -> dict[str, str]:
    """The arguments of a composed analysis that are not secret, by name.

    :param hashes: the revisions' hashes by ``Stable`` and ``Latest``.
    """
    values = {}
    for argument in arguments_of(composed):
        if argument.value is not None:
            values[argument.name] = argument.value
        elif argument.hash_of in hashes:
            values[argument.name] = hashes[argument.hash_of]
    return values


def secrets_of(composed: t.Mapping[str, t.Any]) -> dict[str, tuple[str, str]]:
    """The secret arguments of a composed analysis: Secret name and key, by name."""
    return {a.name: a.secret for a in arguments_of(composed) if a.secret}


def _read(
    composed: object, values: t.Mapping[str, str], gate: bool
) -> tuple[Spec, list[str]]:
    problems: list[str] = []
    try:
        whole = plain(composed, "the analysis")
    except BadInput as error:
        return Spec(()), [str(error)]
    if not isinstance(whole, dict):
        return Spec(()), [
            f"the analysis: a mapping is expected, {shown(whole)} was found."
        ]
    arguments = _arguments(whole, problems)
    raw_metrics = _raw_metrics(whole, problems)
    names = list(dict.fromkeys(raw["name"] for raw, _name in raw_metrics))
    dry = _rules(whole, "dryRun", ("metricName",), names, problems)
    kept = _rules(
        whole, "measurementRetention", ("metricName", "limit"), names, problems
    )
    metrics = tuple(
        _MetricReader(raw, where, arguments, values, gate, problems).metric(
            raw["name"] in dry, _retention(kept.get(raw["name"]), problems)
        )
        for raw, where in raw_metrics
    )
    return Spec(metrics), problems


def _arguments(
    whole: t.Mapping[str, t.Any], problems: list[str]
) -> tuple[Argument, ...]:
    raw = list_at(whole, "args", "the analysis", problems)
    arguments = read_arguments(raw, "args", problems)
    for argument in arguments:
        if not argument.is_set:
            problems.append(
                f"argument {argument.name}: no value was given, and its template has no"
                " default; give it below args."
            )
        elif argument.field_path:
            problems.append(
                f"argument {argument.name}: valueFrom.fieldRef was not resolved; give"
                " a value."
            )
    return arguments


def _raw_metrics(
    whole: t.Mapping[str, t.Any], problems: list[str]
) -> list[tuple[dict[str, t.Any], str]]:
    """The metrics that have a name, and what messages call them."""
    given = list_at(whole, "metrics", "the analysis", problems)
    if not given:
        problems.append(
            "the analysis has no metrics; name a template that has at least one."
        )
    found: list[tuple[dict[str, t.Any], str]] = []
    first: dict[str, str] = {}
    for position, raw in enumerate(given):
        name = raw.get("name") if isinstance(raw, dict) else None
        if not isinstance(raw, dict) or not isinstance(name, str) or not name:
            problems.append(
                f"{_where(raw, f'metrics[{position}]')}: a mapping with a name is"
                f" expected, {shown(raw)} was found."
            )
            continue
        where = _where(raw, f"metric {name}")
        found.append((raw, where))
        if "{{" in name:
            problems.append(f"{where}: name: placeholders are not replaced in names.")
        if name in first:
            problems.append(
                f"{where}: the name is also that of {first[name]}; rename one of them."
            )
        first.setdefault(name, where)
    return found


def _where(raw: object, metric: str) -> str:
    template = raw.get(TEMPLATE) if isinstance(raw, dict) else None
    return f"template {template}, {metric}" if template else metric


# -- rules about several metrics -------------------------------------------------------


def _rules(
    whole: t.Mapping[str, t.Any],
    field: str,
    fields: tuple[str, ...],
    names: t.Sequence[str],
    problems: list[str],
) -> dict[str, dict[str, t.Any]]:
    """The last rule that matches each metric."""
    found: dict[str, dict[str, t.Any]] = {}
    seen = set()
    for position, rule in enumerate(list_at(whole, field, "the analysis", problems)):
        where = f"{field}[{position}]"
        pattern = rule.get("metricName") if isinstance(rule, dict) else None
        if not isinstance(rule, dict) or not isinstance(pattern, str):
            problems.append(
                f"{where}: a mapping with {' and '.join(fields)} is expected,"
                f" {shown(rule)} was found."
            )
            continue
        problems += unknown_fields(rule, fields, where)
        if pattern in seen:
            problems.append(
                f"{where}: there are two rules for {shown(pattern)}; keep one."
            )
        seen.add(pattern)
        found.update(
            {name: rule for name in _matching(pattern, names, where, problems)}
        )
    return found


def _matching(
    pattern: str, names: t.Sequence[str], where: str, problems: list[str]
) -> list[str]:
    """The names that a regular expression matches anywhere, as in Argo Rollouts."""
    try:
        with warnings.catch_warnings():
            # Python warns of what it may read otherwise one day.
            warnings.simplefilter("ignore")
            compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        problems.append(
            f"{where}: metricName {shown(pattern)} is not a regular expression"
            f" ({error}); write one, or a metric's name."
        )
        return []
    matching = [name for name in names if compiled.search(name)]
    if not matching:
        problems.append(
            f"{where}: metricName {shown(pattern)} matches no metric; there are"
            f" {', '.join(names) or 'none'}."
        )
    return matching


def _retention(rule: t.Mapping[str, t.Any] | None, problems: list[str]) -> int:
    """How many measurements are kept; 0 is the default, as in Argo Rollouts."""
    if rule is None:
        return RETENTION
    limit = _whole_number(rule.get("limit"))
    if limit is None or limit < 0:
        sentence = (
            f"measurementRetention: {shown(rule['metricName'])}: limit:"
            f" {shown(rule.get('limit'))} is no number of measurements; give a whole"
            " number of at least 1, or 0 for the default."
        )
        # One rule may be that of several metrics.
        if sentence not in problems:
            problems.append(sentence)
    return limit or RETENTION


def _whole_number(value: object) -> int | None:
    """A whole number, or a text that is one; else none."""
    if isinstance(value, str) and re.fullmatch(r"\s*-?[0-9]{1,10}\s*", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if abs(value) <= _MAX_NUMBER else None


def _finite(value: object) -> float | None:
    """A finite number, or a text that is one; else none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


# -- one metric ------------------------------------------------------------------------


class _MetricReader:
    """Reads one metric, and adds a sentence to ``problems`` for all that is wrong."""

    def __init__(
        self,
        raw: t.Mapping[str, t.Any],
        where: str,
        arguments: t.Sequence[Argument],
        values: t.Mapping[str, str],
        gate: bool,
        problems: list[str],
    ) -> None:
        self._raw = {k: v for k, v in raw.items() if k != TEMPLATE}
        self._values = values
        self._declared = {a.name for a in arguments}
        self._secrets = {a.name for a in arguments if a.secret}
        self._unset = {a.name for a in arguments if not a.is_set}
        self._gate = gate
        self._problems = problems
        self._where = where

    def metric(self, dry_run: bool, retention: int) -> Metric:
        """The metric; where anything was wrong, with defaults in its place."""
        self._problems += unknown_fields(self._raw, METRIC_FIELDS, self._where)
        for clause in unknown_placeholders(self._raw, self._declared):
            self._problems.append(f"{self._where}: {clause}")
        provider, config = self._provider()
        found = len(self._problems)
        metric = Metric(
            name=self._raw["name"],
            provider=provider,
            config=config,
            interval=self._duration("interval"),
            initial_delay=self._duration("initialDelay") or 0.0,
            count=self._number("count", 0, 0),
            success_condition=self._condition("successCondition"),
            failure_condition=self._condition("failureCondition"),
            threshold_range=self._range(),
            failure_limit=self._number("failureLimit", 0, UNLIMITED),
            inconclusive_limit=self._number("inconclusiveLimit", 0, 0),
            consecutive_error_limit=self._number(
                "consecutiveErrorLimit", CONSECUTIVE_ERROR_LIMIT, 0
            ),
            consecutive_success_limit=self._number("consecutiveSuccessLimit", 0, 0),
            no_data=self._no_data(),
            dry_run=dry_run,
            retention=retention,
        )
        metric = _with_effective_count(metric)
        if len(self._problems) == found:
            self._judge(metric)
        return metric

    def _say(self, field: str, text: str) -> None:
        self._problems.append(f"{self._where}: {field}: {text.rstrip('.')}.")

    def _filled(self, field: str) -> t.Any:
        """A field's value with the placeholders replaced; none where one cannot be."""
        value = self._raw.get(field)
        used = names_in(value)
        for name in sorted(used & self._secrets):
            self._say(
                field,
                f"the secret argument {name} stands here, where it would be shown; use"
                " it only below provider",
            )
        # What these are has been said already.
        if used & (self._secrets | self._unset) or used - self._declared:
            return None
        try:
            return fill(value, self._values)
        except MeasurementError as error:
            if used - set(self._values):
                self._say(field, str(error))
            return None

    def _duration(self, field: str) -> float | None:
        value = self._filled(field)
        if value is None or value == "":
            return None
        try:
            return seconds_of(value)
        except ValueError:
            self._say(
                field,
                f"{shown(value)} is not a duration; write a number and a unit, such as"
                " 500ms, 10s, 5m or 1h30m",
            )
            return None

    def _number(self, field: str, default: int, least: int) -> int:
        value = self._filled(field)
        if value is None or value == "":
            return default
        number = _whole_number(value)
        if number is None or number < least:
            never = " (-1 means no limit)" if least == UNLIMITED else ""
            self._say(
                field,
                f"{shown(value)} is no whole number of at least {least}{never}; give"
                " one",
            )
            return default
        return number

    def _condition(self, field: str) -> str:
        value = self._filled(field)
        if value is None or value == "":
            return ""
        if not isinstance(value, str):
            self._say(field, f"{shown(value)} is not text; put it in quotes")
            return ""
        try:
            expression.parse(value)
        except expression.ExpressionError as error:
            self._say(field, str(error))
        return value

    def _no_data(self) -> str:
        value = self._filled("noData")
        if value is None or value in NO_DATA:
            return value or ""
        hint = did_you_mean(value, NO_DATA) if isinstance(value, str) else ""
        self._say(
            "noData", f"{shown(value)} is not known{hint}; write {', '.join(NO_DATA)}"
        )
        return ""

    def _range(self) -> Range | None:
        value = self._filled("thresholdRange")
        if value is None:
            return None
        if not isinstance(value, dict) or not set(value) <= {"min", "max"}:
            self._say(
                "thresholdRange",
                f"a mapping with min, max or both is expected, {shown(value)} was"
                " found",
            )
            return None
        least = self._bound("min", value.get("min"))
        most = self._bound("max", value.get("max"))
        if all(bound is None for bound in value.values()):
            self._say(
                "thresholdRange", "neither min nor max is given; give at least one"
            )
        elif least is not None and most is not None and least > most:
            self._say(
                "thresholdRange",
                f"min {least:g} is above max {most:g}, which no value can meet; swap"
                " them",
            )
        return Range(least, most)

    def _bound(self, name: str, value: object) -> float | None:
        if value is None:
            return None
        number = _finite(value)
        if number is None:
            self._say(
                "thresholdRange", f"{name} is {shown(value)}; give a finite number"
            )
        return number

    def _provider(self) -> tuple[str, dict[str, t.Any]]:
        given = self._raw.get("provider")
        if not isinstance(given, dict):
            self._say(
                "provider",
                f"a mapping with one provider is expected, {shown(given)} was found",
            )
            return "", {}
        names = [name for name, block in given.items() if block is not None]
        if len(names) != 1:
            found = " and ".join(shown(n) for n in names) or "none with settings"
            self._say(
                "provider",
                f"exactly one is expected, {found} was found; give one, with {{}} where"
                " it needs no settings",
            )
            return "", {}
        name = names[0]
        if name not in registry.NAMES:
            self._say(
                "provider",
                f"{shown(name)} is not known{did_you_mean(name, registry.NAMES)}; there"
                f" are {', '.join(registry.NAMES)}",
            )
            return "", {}
        return name, self._config(name, given[name])

    def _config(self, name: str, block: object) -> dict[str, t.Any]:
        if not isinstance(block, dict):
            self._say(
                f"provider.{name}",
                f"a mapping is expected, {shown(block)} was found",
            )
            return {}
        for problem in registry.provider(name).problems(block):
            self._say(f"provider.{problem.field}", problem.text)
        return block

    # -- what belongs together ---------------------------------------------------------

    def _judge(self, metric: Metric) -> None:
        self._judge_range(metric)
        self._judge_length(metric)
        self._judge_limits(metric)

    def _judge_range(self, metric: Metric) -> None:
        if metric.threshold_range and metric.success_condition:
            self._say(
                "thresholdRange",
                "it stands for a successCondition, and one is given, too; keep one",
            )

    def _judge_length(self, metric: Metric) -> None:
        if metric.interval == 0:
            self._say("interval", "0 seconds is no interval; give more")
        elif metric.interval is None and (metric.count or 0) > 1:
            self._say(
                "interval",
                f"count is {metric.count}, and nothing says how long to wait between"
                " measurements; give an interval such as 10s",
            )
        elif metric.count is None and self._gate:
            self._say(
                "count",
                "there is an interval without a count, so the metric would never end"
                " and the release wait for ever; give the number of measurements",
            )

    def _judge_limits(self, metric: Metric) -> None:
        if metric.failure_limit == UNLIMITED and not metric.consecutive_success_limit:
            self._say(
                "failureLimit",
                "it is off (-1) and consecutiveSuccessLimit is, too, so that nothing"
                " could decide; give one of them",
            )
        if metric.count is None:
            return
        needed = max(metric.failure_limit, 0) + metric.consecutive_success_limit
        if metric.count < needed:
            self._say(
                "count",
                f"{metric.count} is less than failureLimit ({metric.failure_limit}) and"
                f" consecutiveSuccessLimit ({metric.consecutive_success_limit})"
                f" together, which could never be met; give {needed} or more, or lower"
                " them",
            )
        if metric.count < metric.inconclusive_limit:
            self._say(
                "count",
                f"{metric.count} is less than inconclusiveLimit"
                f" ({metric.inconclusive_limit}), which could never be met; raise it,"
                " or lower the limit",
            )


def _with_effective_count(metric: Metric) -> Metric:
    """A count of 0 is none: one measurement, or with an interval endless."""
    if metric.count:
        return metric
    count = 1 if metric.interval is None else None
    return dataclasses.replace(metric, count=count)
