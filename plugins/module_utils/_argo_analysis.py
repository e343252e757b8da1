# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The analyses of a Rollout: what it asks for, and the templates that this needs.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import copy
import typing as t

from ._analysis.arguments import field_at, names_in
from ._analysis.shapes import shown
from ._analysis.templates import CLUSTER, NAMESPACED, PODS, compose, read_documents
from ._argo_documents import ARGO, Documents, name_of, spec_of, title, uses_of_hash
from ._argo_report import Report, Section
from ._errors import BadInput
from ._names import LABEL_HASH
from ._objects import Object

TEMPLATES = "bluegreen_analysis_templates"
ANALYSES = (
    ("prePromotionAnalysis", "bluegreen_pre_promotion_analysis"),
    ("postPromotionAnalysis", "bluegreen_post_promotion_analysis"),
)


class Analyses:
    """Converts both analyses; their templates are given once.

    :param rollout: the Rollout, whose fields arguments may read.
    :param definition: what they read from after the conversion.
    """

    def __init__(
        self,
        documents: Documents,
        namespace: str,
        rollout: Object,
        definition: Object,
        report: Report,
    ) -> None:
        self._documents = documents
        self._namespace = namespace
        self._rollout = rollout
        self._definition = definition
        self._report = report
        self._asked: dict[str, Object] = {}
        # By how messages call them.
        self._templates: dict[str, Object] = {}
        self._complete = True

    def add(self, section: Section, variable: str) -> None:
        """Take over what one analysis asks for; nothing if it names no template."""
        section.leave(
            "analysisRunMetadata",
            "there is no AnalysisRun that could carry labels",
            "nothing; measurements stand in the record of the rollout",
        )
        references = _list_of(section, "templates")
        arguments = _list_of(section, "args")
        asked = {
            "args": [self._argument(a, section.at("args")) for a in arguments],
            "dry_run": _list_of(section, "dryRun"),
            "measurement_retention": _list_of(section, "measurementRetention"),
        }
        if not references:
            self._report.leave(
                section.at("templates"),
                references,
                "no template is named, so there is nothing to measure by",
                f"name the templates in {variable}",
            )
            return
        self._collect(references, section.at("templates"))
        self._asked[variable] = {
            "templates": [_as_short_as_possible(r) for r in references],
            **{key: value for key, value in asked.items() if value},
        }

    def variables(self) -> Object:
        """The role variables.

        :raises BadInput: a line for each thing that cannot be measured so here.
        """
        if self._complete:
            self._drop_unused_arguments()
            self._drop_undeclared_arguments()
            self._prove()
        templates = list(self._templates.values())
        return {**({TEMPLATES: templates} if templates else {}), **self._asked}

    def uses(self, item: Object) -> bool:
        """Whether an object is one of the templates."""
        return title(item) in self._templates

    # -- templates -----------------------------------------------------------------

    def _collect(self, references: t.Sequence[t.Any], path: str) -> None:
        waiting = [(r, f"{path}[{i}]") for i, r in enumerate(references)]
        while waiting:
            reference, at = waiting.pop(0)
            kind, name = _kind_and_name(reference, at)
            if f"{kind} {name}" in self._templates:
                continue
            item = self._documents.find(kind, name, self._namespace)
            if item is None:
                self._complete = False
                self._say_missing(kind, name, at)
                continue
            self._templates[title(item)] = _bare(item)
            self._say_uses_of_hash(item)
            nested = spec_of(item).get("templates")
            of_item = f"{title(item)}: spec.templates"
            # Anything but a list is refused with all else that is wrong in it.
            nested = nested if isinstance(nested, list) else []
            waiting += [(r, f"{of_item}[{i}]") for i, r in enumerate(nested)]

    def _say_missing(self, kind: str, name: str, at: str) -> None:
        looked_up = "it is looked up in the cluster at each release"
        if kind == NAMESPACED and name == PODS.reference.name:
            looked_up = "the built-in template of that name would take its place"
        self._report.leave(
            at,
            name,
            f"{kind} {name} is not among the manifests, so it was not checked, and"
            f" {looked_up}",
            f"give it beside the Rollout, or add it to {TEMPLATES}",
        )

    def _say_uses_of_hash(self, item: Object) -> None:
        for path in uses_of_hash(spec_of(item), "spec"):
            self._report.leave(
                f"{title(item)}: {path}",
                "rollouts-pod-template-hash",
                f"pods carry their revision's hash in the label {LABEL_HASH}",
                "name that label; as a label of Prometheus it is"
                " cutover_bluegreen_revision_hash",
            )

    # -- arguments -----------------------------------------------------------------

    def _argument(self, argument: t.Any, path: str) -> t.Any:
        """The argument, with the value that it reads where no other place has it."""
        found = copy.deepcopy(argument)
        source = found.get("valueFrom") if isinstance(found, dict) else None
        reference = source.get("fieldRef") if isinstance(source, dict) else None
        field_path = reference.get("fieldPath") if isinstance(reference, dict) else None
        if not isinstance(field_path, str) or _has(self._definition, field_path):
            return found
        # What a controller writes would be that of the day of the conversion.
        if field_path.startswith("status") or not _has(self._rollout, field_path):
            return found
        value = field_at(self._rollout, field_path)
        self._report.leave(
            f"{path}[{found.get('name')}]",
            field_path,
            "this field is the Rollout's own",
            f"its present value, {value}, stands in its place",
        )
        return {"name": found.get("name"), "value": value}

    def _drop_unused_arguments(self) -> None:
        """Argo Rollouts lets a template declare what none of its metrics asks for."""
        used = names_in([spec_of(i).get("metrics") for i in self._templates.values()])
        for what, item in self._templates.items():
            self._keep_arguments(
                spec_of(item),
                used,
                f"{what}: spec.args",
                "no metric uses this argument, so that it decides nothing",
            )

    def _drop_undeclared_arguments(self) -> None:
        declared = {
            str(argument.get("name"))
            for item in self._templates.values()
            for argument in _dicts(spec_of(item).get("args"))
        }
        for variable, asked in self._asked.items():
            self._keep_arguments(
                asked,
                declared,
                f"{variable}: args",
                "no template needs this argument; Argo Rollouts drops it, too",
            )

    def _keep_arguments(
        self, holder: Object, names: t.Collection[str], at: str, why: str
    ) -> None:
        given = holder.get("args")
        for argument in _dicts(given):
            name = str(argument.get("name"))
            if name not in names:
                t.cast("list[t.Any]", given).remove(argument)
                self._report.leave(at, name, why, "nothing; it was left out")
        if given == []:
            del holder["args"]

    def _prove(self) -> None:
        """Have what comes out read as a release would read it."""
        templates = read_documents(list(self._templates.values()), TEMPLATES)
        problems: list[str] = []
        for variable, asked in self._asked.items():
            try:
                compose(
                    asked,
                    templates,
                    lambda _kind, _name: None,
                    self._definition or self._rollout,
                    variable,
                )
            except BadInput as error:
                problems.append(str(error))
        if problems:
            raise BadInput("\n".join(problems))


def _list_of(section: Section, field: str) -> list[t.Any]:
    value = section.take(field)
    if value is not None and not isinstance(value, list):
        raise BadInput(
            f"{section.at(field)}: a list is expected, {shown(value)} was found;"
            " correct it."
        )
    return value or []


def _dicts(value: object) -> list[Object]:
    items = value if isinstance(value, list) else []
    return [item for item in items if isinstance(item, dict)]


def _kind_and_name(reference: t.Any, at: str) -> tuple[str, str]:
    name = reference.get("templateName") if isinstance(reference, dict) else None
    if not isinstance(name, str) or not name:
        raise BadInput(
            f"{at}: a mapping with templateName is expected, {shown(reference)} was"
            " found; correct it."
        )
    return CLUSTER if reference.get("clusterScope") else NAMESPACED, name


def _as_short_as_possible(reference: Object) -> t.Any:
    return reference["templateName"] if len(reference) == 1 else reference


def _bare(item: Object) -> Object:
    """A template without what it has of the place where it was read."""
    return {
        "apiVersion": item.get("apiVersion", ARGO),
        "kind": item["kind"],
        "metadata": {"name": name_of(item)},
        "spec": copy.deepcopy(item.get("spec")),
    }


def _has(fields: Object, path: str) -> bool:
    try:
        field_at(fields, path)
    except KeyError:
        return False
    return True
