# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Analysis templates and what is asked of them, composed into one analysis.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import copy
import re
import typing as t
from dataclasses import dataclass, field

from .. import _manifests as manifests
from .._deps import yaml
from .._errors import BadInput
from .arguments import (
    LATEST,
    STABLE,
    Argument,
    field_at,
    names_in,
    read_arguments,
)
from .parsing import TEMPLATE, problems_of, values_of
from .shapes import did_you_mean, list_at, plain, shown, unknown_fields

API_VERSION = "argoproj.io/v1alpha1"
NAMESPACED = "AnalysisTemplate"
CLUSTER = "ClusterAnalysisTemplate"
KINDS = (NAMESPACED, CLUSTER)

_SPEC_FIELDS = ("metrics", "args", "dryRun", "measurementRetention", "templates")
_REFERENCE_FIELDS = ("templateName", "clusterScope")
_ASKED_FIELDS = ("templates", "args", "dryRun", "measurementRetention")
_OTHER_SPELLINGS = {
    "dry_run": "dryRun",
    "measurement_retention": "measurementRetention",
}
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
# What stands for a revision's hash where only the form of a metric is looked at.
_SOME_HASHES = {STABLE: "0000000000", LATEST: "0000000000"}

# By kind and name; none where the cluster has no such template. Quoted: the oldest
# Python that ansible-test compiles for has no such operator.
FromCluster: t.TypeAlias = "t.Callable[[str, str], t.Mapping[str, t.Any] | None]"
Composed = dict[str, t.Any]


@dataclass(frozen=True)
class Reference:
    """A template by kind and name."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True)
class Template:
    """An analysis template: its spec as it was written, plain data."""

    reference: Reference
    spec: t.Mapping[str, t.Any]
    # Ansible's templating cannot have been at work in the cluster.
    from_cluster: bool = False


@dataclass(frozen=True)
class Asked:
    """What is asked of templates for one analysis."""

    references: tuple[Reference, ...]
    arguments: tuple[Argument, ...] = ()
    dry_run: tuple[t.Any, ...] = ()
    measurement_retention: tuple[t.Any, ...] = ()


# The built-in template: the new revision's own health, without anything else to ask.
PODS = Template(
    Reference(NAMESPACED, "pods"),
    {
        "metrics": [
            {
                "name": "pods",
                "interval": "5s",
                "count": 6,
                "failureLimit": 0,
                "successCondition": " && ".join(
                    f"result.{what} == 0"
                    for what in (
                        "restarts",
                        "unready",
                        "crash_loops",
                        "image_errors",
                        "warnings",
                    )
                ),
                "provider": {"pods": {}},
            }
        ]
    },
)


def read_documents(given: object, variable: str) -> tuple[Template, ...]:
    """The templates among manifests: mappings, or YAML text of one or more each.

    Other objects beside a template in one text are left alone.

    :param given: a list of such items, or one; none and '' are none.
    :raises BadInput: a line for each item that cannot be read.
    """
    items = given if isinstance(given, (list, tuple)) else [given]
    problems: list[str] = []
    found: dict[Reference, Template] = {}
    for position, item in enumerate(items):
        if item is None or item == "":
            continue
        for template in _templates_in(item, f"{variable}[{position}]", problems):
            if template.reference in found:
                problems.append(
                    f"{variable}: {template.reference} is given twice; keep one."
                )
            found[template.reference] = template
    _refuse(problems)
    return tuple(found.values())


def compose(
    asked: object,
    documents: t.Sequence[Template],
    from_cluster: FromCluster,
    fields: t.Mapping[str, t.Any],
    variable: str,
    gate: bool = True,
) -> Composed | None:
    """The templates that are asked for, merged into one: plain data, to be kept.

    :param asked: a template's name, a list of names, or a mapping with ``templates``
        and what Argo Rollouts has beside it; or YAML text of it.
    :param fields: the rollout, for ``fieldRef``: ``metadata`` and ``spec``.
    :returns: ``metrics``, ``args``, ``dryRun`` and ``measurementRetention`` in Argo
        Rollouts' spelling, without any secret's value; none if nothing is asked for.
    :param gate: whether a release waits for it, so that it must end by itself.
    :raises BadInput: a line for each thing that is wrong, in a metric, too.
    """
    problems: list[str] = []
    wanted = _asked(asked, variable, problems)
    if wanted is None:
        _refuse(problems)
        return None
    merge = _Merge(documents, from_cluster, variable, problems)
    composed = _composed(wanted, merge, fields)
    # Where a template is missing, what it would have brought is no other mistake.
    if merge.complete:
        found = problems_of(composed, values_of(composed, _SOME_HASHES), gate)
        problems += [f"{variable}: {sentence}" for sentence in found]
    _refuse(problems)
    return composed


def _refuse(problems: t.Sequence[str]) -> None:
    if problems:
        raise BadInput("\n".join(dict.fromkeys(problems)))


# -- documents -------------------------------------------------------------------------


def _templates_in(item: object, where: str, problems: list[str]) -> list[Template]:
    try:
        bodies = _documents(item, where)
    except BadInput as error:
        problems.append(str(error))
        return []
    templates = [b for b in bodies if isinstance(b, dict) and b.get("kind") in KINDS]
    for body in bodies:
        is_other_object = isinstance(body, dict) and isinstance(body.get("kind"), str)
        if body not in templates and not (templates and is_other_object):
            problems.append(_not_a_template(body, where))
    if not bodies:
        problems.append(
            f"{where}: there is nothing in it; give an {NAMESPACED}, or remove it."
        )
    found = [_template(body, where, problems) for body in templates]
    return [template for template in found if template is not None]


def _documents(item: object, where: str) -> list[t.Any]:
    """The documents of an item as plain data; empty ones are left out.

    :raises BadInput: it is not YAML, or nothing that JSON could hold.
    """
    return [plain(d, where) for d in _loaded(item, where) if d is not None]


def _loaded(item: object, where: str) -> list[t.Any]:
    if not isinstance(item, str):
        return [item]
    try:
        return list(yaml.safe_load_all(item))
    except yaml.YAMLError as error:
        trouble = manifests.yaml_trouble(error)
    except (ValueError, RecursionError, OverflowError, AttributeError) as error:
        # PyYAML lets these through from dates and numbers that are none.
        trouble = " ".join(str(error).split())
    raise BadInput(f"{where}: this is not YAML ({trouble}); correct it.")


def _not_a_template(body: object, where: str) -> str:
    kind = body.get("kind") if isinstance(body, dict) else None
    found = shown(kind if isinstance(kind, str) else body)
    return f"{where}: an {NAMESPACED} or a {CLUSTER} is expected, {found} was found."


def _template(
    body: t.Mapping[str, t.Any], where: str, problems: list[str]
) -> Template | None:
    kind = body["kind"]
    metadata = body.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        problems.append(
            f"{where}: {kind}: metadata.name is {shown(name)}; give it a name of"
            " lower-case letters, digits, hyphens and dots."
        )
        return None
    where = f"{where}: {kind} {name}"
    if body.get("apiVersion") != API_VERSION:
        problems.append(
            f"{where}: apiVersion {API_VERSION} is expected,"
            f" {shown(body.get('apiVersion'))} was found."
        )
    known = ("apiVersion", "kind", "metadata", "spec", "status")
    problems += unknown_fields(body, known, where)
    spec = body.get("spec")
    if not isinstance(spec, dict):
        problems.append(f"{where}: spec is missing or is not a mapping; give one.")
        return None
    return Template(Reference(kind, name), spec)


# -- what is asked ---------------------------------------------------------------------


def _asked(asked: object, variable: str, problems: list[str]) -> Asked | None:
    """What is asked for; none if nothing is, or if it cannot be read."""
    try:
        given = _documents_of_asked(asked, variable)
    except BadInput as error:
        problems.append(str(error))
        return None
    if given is None or given in ("", [], {}):
        return None
    if isinstance(given, (str, list)):
        given = {"templates": given}
    if not isinstance(given, dict):
        problems.append(
            f"{variable}: a template's name, a list of names, or a mapping with"
            f" templates is expected, {shown(given)} was found."
        )
        return None
    return _asked_mapping(given, variable, problems)


def _documents_of_asked(asked: object, variable: str) -> t.Any:
    if not isinstance(asked, str) or not manifests.is_text(asked):
        return plain(asked.strip() if isinstance(asked, str) else asked, variable)
    documents = _documents(asked, variable)
    if len(documents) > 1:
        raise BadInput(
            f"{variable}: one document is expected, {len(documents)} were found."
        )
    return documents[0] if documents else None


def _asked_mapping(
    given: dict[str, t.Any], variable: str, problems: list[str]
) -> Asked | None:
    for other, spelling in _OTHER_SPELLINGS.items():
        if other in given and spelling in given:
            problems.append(
                f"{variable}: {other} and {spelling} are both given; keep one."
            )
    given = {_OTHER_SPELLINGS.get(k, k): v for k, v in given.items()}
    problems += unknown_fields(given, _ASKED_FIELDS, variable)
    if "templates" not in given:
        problems.append(
            f"{variable}: templates is missing; name the templates to measure by."
        )
        return None
    if isinstance(given["templates"], str):
        given["templates"] = [given["templates"]] if given["templates"].strip() else []
    references = _references(given, variable, problems)
    if not given["templates"]:
        return None
    given["args"] = _listed_arguments(given.get("args"))
    where = f"{variable}: args"
    return Asked(
        references,
        read_arguments(list_at(given, "args", variable, problems), where, problems),
        _rules(given, "dryRun", variable, problems),
        _rules(given, "measurementRetention", variable, problems),
    )


def _listed_arguments(given: object) -> object:
    """A mapping of arguments by name as Argo Rollouts' list of them."""
    if not isinstance(given, dict):
        return given
    return [
        {**value, "name": name}
        if isinstance(value, dict)
        else {"name": name, "value": value}
        for name, value in given.items()
    ]


def _references(
    given: t.Mapping[str, t.Any], where: str, problems: list[str]
) -> tuple[Reference, ...]:
    found = []
    for position, raw in enumerate(list_at(given, "templates", where, problems)):
        reference = _reference(raw, f"{where}: templates[{position}]", problems)
        if reference is not None:
            found.append(reference)
    return tuple(dict.fromkeys(found))


def _reference(raw: object, where: str, problems: list[str]) -> Reference | None:
    body = {"templateName": raw} if isinstance(raw, str) else raw
    if not isinstance(body, dict):
        problems.append(
            f"{where}: a template's name, or a mapping with templateName and"
            f" clusterScope, is expected, {shown(raw)} was found."
        )
        return None
    problems += unknown_fields(body, _REFERENCE_FIELDS, where)
    name, cluster = body.get("templateName"), body.get("clusterScope")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        problems.append(
            f"{where}: {shown(name)} cannot name a template; use lower-case letters,"
            " digits, hyphens and dots."
        )
        return None
    if cluster not in (None, True, False):
        problems.append(
            f"{where}: clusterScope is {shown(cluster)}; write true or false."
        )
    return Reference(CLUSTER if cluster else NAMESPACED, name)


def _rules(
    given: t.Mapping[str, t.Any], name: str, where: str, problems: list[str]
) -> tuple[t.Any, ...]:
    """Rules as they were written; a text stands for the metrics that it names."""
    return tuple(
        {"metricName": rule} if isinstance(rule, str) else rule
        for rule in list_at(given, name, where, problems)
    )


# -- merging ---------------------------------------------------------------------------


def _composed(wanted: Asked, merge: _Merge, fields: t.Mapping[str, t.Any]) -> Composed:
    merge.add(wanted.references)
    if merge.complete:
        merge.refuse_undeclared(wanted.arguments)
        merge.refuse_lost_placeholders()
    given = {argument.name: argument for argument in wanted.arguments}
    arguments = []
    for declared in merge.arguments.values():
        chosen = given.get(declared.name, declared)
        chosen = chosen if chosen.is_set else declared
        arguments.append(_resolved(chosen, fields, merge.variable, merge.problems))
    return {
        "metrics": merge.metrics,
        "args": [argument.to_plain() for argument in arguments],
        "dryRun": [*wanted.dry_run, *merge.dry_run],
        "measurementRetention": [
            *wanted.measurement_retention,
            *merge.measurement_retention,
        ],
    }


def _resolved(
    argument: Argument,
    fields: t.Mapping[str, t.Any],
    variable: str,
    problems: list[str],
) -> Argument:
    """The argument with the rollout's field in its place, if it asks for one."""
    if not argument.field_path:
        return argument
    try:
        value = field_at(fields, argument.field_path)
    except KeyError as error:
        problems.append(
            f"{variable}: argument {argument.name}: fieldPath"
            f" {shown(argument.field_path)} {error.args[0]}; name a field of the"
            " rollout that holds text, a number, true or false."
        )
        value = ""
    return Argument(argument.name, value=value)


@dataclass
class _Merge:
    """Collects what the templates have, each template once."""

    documents: t.Sequence[Template]
    from_cluster: FromCluster
    variable: str
    problems: list[str]
    metrics: list[dict[str, t.Any]] = field(default_factory=list)
    arguments: dict[str, Argument] = field(default_factory=dict)
    dry_run: list[t.Any] = field(default_factory=list)
    measurement_retention: list[t.Any] = field(default_factory=list)
    # Arguments that a template in a variable or file declares.
    written: set[str] = field(default_factory=set)
    complete: bool = True

    def add(self, references: t.Sequence[Reference]) -> None:
        """Merge these templates and those that they name, in the order of reading."""
        waiting = list(reversed(references))
        seen = set()
        while waiting:
            reference = waiting.pop()
            if reference in seen:
                continue
            seen.add(reference)
            template = self._found(reference)
            if template is None:
                self.complete = False
            else:
                waiting += reversed(self._merged(template))

    def _found(self, reference: Reference) -> Template | None:
        for template in (*self.documents, PODS):
            if template.reference == reference:
                return template
        body = self.from_cluster(reference.kind, reference.name)
        if body is None:
            self.problems.append(
                f"{self.variable}: {reference} was found neither among the templates"
                f" that were given nor in the cluster{self._hint(reference)}; give it,"
                " or correct the name."
            )
            return None
        return self._of_cluster(reference, body)

    def _hint(self, reference: Reference) -> str:
        given = [template.reference for template in self.documents]
        for other in given:
            if other.name == reference.name:
                scope = "true" if other.kind == CLUSTER else "false"
                return (
                    f" (but {other} was given: write {{templateName: {other.name},"
                    f" clusterScope: {scope}}})"
                )
        names = [other.name for other in (*given, PODS.reference)]
        return did_you_mean(reference.name, names)

    def _of_cluster(
        self, reference: Reference, body: t.Mapping[str, t.Any]
    ) -> Template | None:
        where = f"{self.variable}: {reference} in the cluster"
        try:
            spec = plain(body.get("spec"), where)
        except BadInput as error:
            self.problems.append(str(error))
            return None
        if not isinstance(spec, dict):
            self.problems.append(f"{where}: it has no spec; give it one.")
            return None
        return Template(reference, spec, from_cluster=True)

    def _merged(self, template: Template) -> tuple[Reference, ...]:
        """Take over what a template has; the templates that it names."""
        spec, problems = template.spec, self.problems
        where = f"{self.variable}: template {template.reference.name}"
        problems += unknown_fields(spec, _SPEC_FIELDS, where)
        for position, metric in enumerate(list_at(spec, "metrics", where, problems)):
            self._add_metric(metric, template, f"{where}: metrics[{position}]")
        raw = list_at(spec, "args", where, problems)
        for argument in read_arguments(raw, f"{where}: args", problems):
            self._declare(argument, template, where)
        self.dry_run += _rules(spec, "dryRun", where, problems)
        self.measurement_retention += _rules(
            spec, "measurementRetention", where, problems
        )
        return _references(spec, where, problems)

    def _add_metric(self, metric: object, template: Template, where: str) -> None:
        if not isinstance(metric, dict) or TEMPLATE in metric:
            found = (
                f"the field {TEMPLATE}" if isinstance(metric, dict) else shown(metric)
            )
            self.problems.append(f"{where}: a metric is expected, {found} was found.")
            return
        named = {**copy.deepcopy(metric), TEMPLATE: template.reference.name}
        self.metrics.append(named)

    def _declare(self, argument: Argument, template: Template, where: str) -> None:
        if not template.from_cluster:
            self.written.add(argument.name)
        before = self.arguments.get(argument.name)
        if before is not None and before.is_set and argument.is_set:
            if before != argument:
                self.problems.append(
                    f"{where}: argument {argument.name} has another default than in"
                    " another template; make them the same, or rename one."
                )
            return
        if before is None or not before.is_set:
            self.arguments[argument.name] = argument

    def refuse_undeclared(self, given: t.Sequence[Argument]) -> None:
        """A value for an argument that no template has would change nothing."""
        for argument in given:
            if argument.name not in self.arguments:
                self.problems.append(
                    f"{self.variable}: args: no template declares the argument"
                    f" {argument.name}{did_you_mean(argument.name, self.arguments)};"
                    f" declared are {', '.join(self.arguments) or 'none'}."
                )

    def refuse_lost_placeholders(self) -> None:
        """An argument that stands nowhere would decide nothing, unnoticed."""
        used = names_in(self.metrics)
        for name in self.arguments:
            if name in self.written and name not in used:
                self.problems.append(
                    f"{self.variable}: the argument {name} is declared, but no"
                    f" {{{{ args.{name} }}}} is left in any metric: Ansible has"
                    " probably templated it away, with a variable called args for"
                    " example; give the template by file path, or mark its text"
                    " !unsafe; if nothing needs the argument, remove it."
                )
