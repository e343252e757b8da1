# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A blue-green Rollout of Argo Rollouts, made into the variables of the role.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import copy
import json
import typing as t
from dataclasses import dataclass

from . import _names as names
from ._analysis.shapes import shown
from ._argo_analysis import ANALYSES, TEMPLATES, Analyses
from ._argo_documents import (
    HASH_KEY,
    SERVER_METADATA,
    Documents,
    cleaned,
    cleaned_service,
    cleaned_template,
    is_state,
    name_of,
    namespace_of,
    spec_of,
    title,
    uses_of_hash,
)
from ._argo_neighbours import Neighbours
from ._argo_report import Report, Section
from ._deps import yaml
from ._errors import BadInput
from ._manifests import check_name, parse_deployment, parse_services
from ._objects import Object
from ._parameters import NEVER, Parameters, validate

_PREFIX = "bluegreen_"
_SUBSCRIPTION = "notifications.argoproj.io/subscribe."
# Where a hook would say what a subscription says.
_HOOKS = {
    "on-rollout-updated": "when a release begins",
    "on-rollout-paused": "on pause",
    "on-rollout-completed": "after verified",
    "on-rollout-aborted": "on abort",
    "on-analysis-run-running": "after previewed",
    "on-analysis-run-failed": "on failure",
    "on-analysis-run-error": "on failure",
}
_SCALES_DOWN = {
    "never": "it leaves the Deployment's pods alone",
    "onsuccess": "it scales the Deployment to 0 once the Rollout is healthy",
    "progressively": "it scales the Deployment down while the Rollout grows",
}
# What the Rollout says of its pods in place of the Deployment that it refers to.
_SIZES = ("replicas", "minReadySeconds", "progressDeadlineSeconds")


@dataclass(frozen=True)
class Conversion:
    """Role variables, and what was not, or need not be, converted."""

    variables: Object
    report: Report

    def to_plain(self) -> Object:
        """The result as plain data; ``vars_file`` is the text of a variables file."""
        return {
            "variables": self.variables,
            "not_converted": [dict(vars(left)) for left in self.report.left],
            "kept": [dict(vars(kept)) for kept in self.report.kept],
            "vars_file": self._vars_file(),
        }

    def _vars_file(self) -> str:
        lines = [
            f"# Not converted: {x.field}: {x.found}: {x.why}. Instead: {x.instead}."
            for x in self.report.left
        ]
        return "\n".join(["---", *lines, _as_yaml(self.variables)])


def convert(manifests: object, rollout: str = "") -> Conversion:
    """The role variables that release what a Rollout releases.

    :param manifests: the Rollout and what belongs to it: text of several documents, a
        mapping, or a list of either.
    :param rollout: which one, where several are given.
    :raises BadInput: it cannot be released so, and why; a line for each thing that is
        wrong with the analyses.
    """
    documents = Documents(manifests)
    body = documents.rollout(rollout)
    try:
        return _Rollout(documents, body).converted()
    except BadInput as error:
        lines = str(error).split("\n")
        found = "\n".join(f"{title(body)}: {line}" for line in lines)
        raise BadInput(found) from error


class _Rollout:
    """One Rollout while it is converted."""

    def __init__(self, documents: Documents, body: Object) -> None:
        self._documents = documents
        self._body = body
        self._name = name_of(body)
        self._namespace = namespace_of(body) or "default"
        self._report = Report()
        self._variables: Object = {f"{_PREFIX}name": self._name}

    def converted(self) -> Conversion:
        check_name(self._name)
        whole = self._report.section(self._body, "")
        for field in ("apiVersion", "kind", "status"):
            whole.take(field)
        metadata = whole.section("metadata")
        spec = whole.section("spec")
        if metadata is None or spec is None:
            raise BadInput("spec is missing; give the whole manifest.")
        strategy = self._blue_green(spec)
        definition = self._definition(spec, self._metadata(metadata))
        self._spec(spec)
        neighbours = Neighbours(
            self._documents, self._body, self._namespace, definition, self._report
        )
        self._services(strategy, neighbours)
        self._strategy(strategy)
        analyses = Analyses(
            self._documents, self._namespace, self._body, definition, self._report
        )
        for field, variable in ANALYSES:
            section = strategy.section(field)
            if section is not None:
                analyses.add(section, variable)
        measured = analyses.variables()
        self._variables.update(measured)
        self._variables.update(neighbours.variables(measured.get(TEMPLATES, [])))
        self._report.say_what_nobody_took()
        self._prove(definition)
        return Conversion(self._variables, self._report)

    def _give(self, variable: str, value: object) -> None:
        """Set a variable, unless there is nothing to say by it."""
        if value is not None:
            self._variables[f"{_PREFIX}{variable}"] = value

    # -- metadata and the pod template -----------------------------------------------

    def _metadata(self, section: Section) -> Object:
        """The metadata of the Deployment that is made of the Rollout."""
        for field in (*SERVER_METADATA, "name", "namespace"):
            section.take(field)
        self._give("namespace", namespace_of(self._body) or None)
        for field in ("generateName", "ownerReferences", "finalizers"):
            section.leave(
                field,
                "the Deployments of the revisions have none of it",
                "see to it where the Rollout was made",
            )
        metadata: Object = {"name": self._name}
        if namespace_of(self._body):
            metadata["namespace"] = namespace_of(self._body)
        for field in ("labels", "annotations"):
            given = section.take(field) or {}
            kept = {k: v for k, v in given.items() if self._stays(field, k, v)}
            if kept:
                metadata[field] = kept
        return metadata

    def _stays(self, field: str, key: str, value: object) -> bool:
        """Whether a label or annotation goes over to the Deployments."""
        domain = key.partition("/")[0]
        if field == "annotations" and is_state(key):
            return False
        if not domain.endswith("argoproj.io"):
            return True
        at = f"metadata.{field}['{key}']"
        if key.startswith(_SUBSCRIPTION):
            self._say_subscription(at, key[len(_SUBSCRIPTION) :], value)
        elif "argocd" in domain:
            self._report.leave(
                at,
                value,
                "it is how Argo CD keeps the Rollout, and would make it claim the"
                " revisions' Deployments",
                "read docs/gitops.md, if Argo CD is to keep the Services",
            )
        else:
            self._report.leave(
                at,
                value,
                "it speaks to the controller of Argo Rollouts, and there is none",
                "nothing",
            )
        return False

    def _say_subscription(self, at: str, subscription: str, value: object) -> None:
        trigger, _dot, service = subscription.partition(".")
        point = _HOOKS.get(trigger, "at the stage that the trigger is about")
        self._report.leave(
            at,
            value,
            f"there is no controller that could send to {service or 'it'}",
            f"a hook (bluegreen_hooks) {point}, which sends it to {service or 'them'}",
        )

    def _definition(self, spec: Section, metadata: Object) -> Object:
        """The Deployment to release; empty where it is not among the manifests."""
        sizes = {f: spec.whole(f) for f in _SIZES}
        sizes = {f: value for f, value in sizes.items() if value is not None}
        selector, template = spec.take("selector"), spec.take("template")
        reference = spec.section("workloadRef")
        if reference is None:
            definition: Object = {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": metadata,
                "spec": {
                    **sizes,
                    "selector": selector,
                    "template": cleaned_template(template),
                },
            }
        else:
            if template:
                raise BadInput(
                    "spec.template and spec.workloadRef are both given; keep one."
                )
            definition = self._referred(reference, sizes, selector)
        if definition:
            self._give("definition", definition)
            self._say_uses_of_hash(definition)
        return definition

    def _referred(self, reference: Section, sizes: Object, selector: object) -> Object:
        """The Deployment that the Rollout refers to, of the size that it asks for."""
        kind, name = reference.text("kind"), reference.text("name")
        reference.take("apiVersion")
        scale_down = reference.text("scaleDown") or "never"
        found = self._documents.find(kind, name, self._namespace)
        if kind != "Deployment" or found is None:
            instead = "give a Deployment beside the Rollout"
            if kind == "Deployment":
                instead = (
                    "give it beside the Rollout, or its name as bluegreen_workload_ref"
                    " once it is the size that it is to have"
                )
            self._report.leave(
                "spec.workloadRef",
                f"{kind} {name}",
                "the pod template stands elsewhere, and bluegreen_definition holds it"
                " here",
                instead,
            )
            return {}
        self._report.leave(
            "spec.workloadRef.scaleDown",
            scale_down,
            _SCALES_DOWN.get(scale_down, "it is not known"),
            f"nothing; Deployment {name} is the definition itself, and one that runs is"
            " taken over with its pods",
        )
        definition = cleaned(found)
        spec = {k: v for k, v in spec_of(definition).items() if k not in _SIZES}
        spec["template"] = cleaned_template(spec.get("template"))
        if selector:
            spec["selector"] = selector
        definition["spec"] = {**sizes, **spec}
        return definition

    def _say_uses_of_hash(self, definition: Object) -> None:
        for path in uses_of_hash(spec_of(definition), "spec"):
            self._report.leave(
                path,
                HASH_KEY,
                "pods carry their revision's hash in the label"
                f" {names.LABEL_HASH} and have no other",
                "name that label; no controller sets the other one any more",
            )

    # -- spec ------------------------------------------------------------------------

    def _spec(self, spec: Section) -> None:
        if spec.flag("progressDeadlineAbort"):
            self._give("progress_deadline_abort", True)
        self._give("revision_history_limit", spec.whole("revisionHistoryLimit"))
        window = spec.section("rollbackWindow")
        if window is not None:
            self._give("rollback_window", window.whole("revisions"))
        spec.leave(
            "restartAt",
            "there is no schedule without a controller",
            "run the playbook restart when it is due",
        )
        if spec.flag("paused"):
            self._give("auto_promotion_enabled", False)
            self._report.leave(
                "spec.paused",
                True,
                "a release is held at its gate, before the promotion, and nowhere else",
                "bluegreen_auto_promotion_enabled is false in its place; remove it to"
                " have releases go on by themselves",
            )
        analysis = spec.section("analysis")
        if analysis is not None:
            self._run_history(analysis)

    def _run_history(self, analysis: Section) -> None:
        for field in ("successfulRunHistoryLimit", "unsuccessfulRunHistoryLimit"):
            if analysis.whole(field) not in (None, 5):
                analysis.leave(
                    field,
                    "there are no AnalysisRuns; measurements stand in the record",
                    "say with measurement_retention how many are kept of a metric",
                )

    def _blue_green(self, spec: Section) -> Section:
        strategy = spec.section("strategy")
        canary = strategy.take("canary") if strategy is not None else None
        if canary is not None:
            raise BadInput(
                "spec.strategy.canary: it moves users share by share, and a blue-green"
                " release moves all of them at once; only spec.strategy.blueGreen can"
                " be converted."
            )
        found = strategy.section("blueGreen") if strategy is not None else None
        if found is None:
            raise BadInput("spec.strategy.blueGreen is missing; give it.")
        return found

    # -- spec.strategy.blueGreen -----------------------------------------------------

    def _services(self, strategy: Section, neighbours: Neighbours) -> None:
        active, preview = (
            strategy.text("activeService"),
            strategy.text("previewService"),
        )
        if not active:
            raise BadInput(
                f"{strategy.at('activeService')} is missing; name the Service that"
                " users reach."
            )
        self._give("active_service", self._service(active, neighbours))
        if preview:
            self._give("preview_service", self._service(preview, neighbours))

    def _service(self, name: str, neighbours: Neighbours) -> t.Any:
        """The Service's manifest, where it was given; else its name."""
        found = self._documents.find("Service", name, self._namespace)
        if found is None:
            return name
        neighbours.is_used(found)
        return cleaned_service(found)

    def _strategy(self, strategy: Section) -> None:
        self._preview_size(strategy)
        enabled = strategy.flag("autoPromotionEnabled")
        # A Rollout that is paused has shut the gate already.
        if f"{_PREFIX}auto_promotion_enabled" not in self._variables:
            self._give("auto_promotion_enabled", enabled)
        for field, variable in (
            ("autoPromotionSeconds", "auto_promotion_seconds"),
            ("scaleDownDelayRevisionLimit", "scale_down_delay_revision_limit"),
        ):
            self._give(variable, strategy.whole(field))
        for field, variable in (
            ("scaleDownDelaySeconds", "scale_down_delay_seconds"),
            ("abortScaleDownDelaySeconds", "abort_scale_down_delay_seconds"),
        ):
            delay = strategy.whole(field)
            self._give(variable, NEVER if delay == 0 else delay)
        if strategy.take("maxUnavailable") != "25%":
            strategy.leave(
                "maxUnavailable",
                "it only says how a restart goes about",
                "nothing; a restart has each new pod ready before an old one goes",
            )
        self._anti_affinity(strategy)
        for field, variable in (
            ("activeMetadata", "active_metadata"),
            ("previewMetadata", "preview_metadata"),
        ):
            self._give(variable, self._pod_metadata(strategy, field))

    def _preview_size(self, strategy: Section) -> None:
        count = strategy.whole("previewReplicaCount")
        full = spec_of(self._body).get("replicas")
        if count is None or (count > 0 and (full is None or count <= full)):
            self._give("preview_replica_count", count)
            return
        strategy.leave(
            "previewReplicaCount",
            "a preview has at least one pod, and at most as many as the release",
            "the preview has as many pods as the release; give"
            " bluegreen_preview_replica_count for fewer",
        )

    def _anti_affinity(self, strategy: Section) -> None:
        given = strategy.section("antiAffinity")
        if given is None:
            return
        required = given.section("requiredDuringSchedulingIgnoredDuringExecution")
        preferred = given.section("preferredDuringSchedulingIgnoredDuringExecution")
        if (required is None) == (preferred is None):
            raise BadInput(
                f"{strategy.at('antiAffinity')}: one of required and preferred"
                " (DuringSchedulingIgnoredDuringExecution) is expected; give one."
            )
        if preferred is None:
            self._give("anti_affinity", {"required": {}})
            return
        weight = preferred.whole("weight")
        if weight is None or not 1 <= weight <= 100:
            raise BadInput(
                f"{preferred.at('weight')}: a number from 1 to 100 is expected,"
                f" {shown(weight)} was found; correct it."
            )
        self._give("anti_affinity", {"preferred": {"weight": weight}})

    @staticmethod
    def _pod_metadata(strategy: Section, field: str) -> Object | None:
        section = strategy.section(field)
        if section is None:
            return None
        given = {key: section.take(key) for key in ("labels", "annotations")}
        return {key: value for key, value in given.items() if value} or None

    # -- the result ------------------------------------------------------------------

    def _prove(self, definition: Object) -> None:
        """Have what comes out read as a release would read it.

        :raises BadInput: it would be refused.
        """
        given = self._variables
        namespace = given.get(f"{_PREFIX}namespace", "default")
        services = {
            option: parse_services(given.get(f"{_PREFIX}{option}"), option, namespace)
            for option in ("active_service", "preview_service")
        }
        spec = spec_of(definition)
        numbers = {
            name: given[f"{_PREFIX}{name}"]
            for name in (
                "preview_replica_count",
                "auto_promotion_seconds",
                "scale_down_delay_seconds",
                "scale_down_delay_revision_limit",
                "abort_scale_down_delay_seconds",
                "revision_history_limit",
                "rollback_window",
            )
            if f"{_PREFIX}{name}" in given
        }
        parameters = Parameters(
            replicas=spec.get("replicas"),
            active_services=tuple(s.name for s in services["active_service"]),
            preview_services=tuple(s.name for s in services["preview_service"]),
            min_ready_seconds=spec.get("minReadySeconds", 0),
            progress_deadline_seconds=spec.get("progressDeadlineSeconds", 600),
            **numbers,
        )
        if definition:
            parse_deployment(copy.deepcopy(definition), namespace)
        validate(parameters, _PREFIX)


def _as_yaml(variables: Object) -> str:
    """A variables file, in which Ansible leaves every text as it is."""
    # No two places share a value: a file for people is no place for anchors.
    given = json.loads(json.dumps(variables))
    node = yaml.representer.SafeRepresenter(sort_keys=False).represent_data(given)
    _mark_texts(node)
    return str(yaml.serialize(node, Dumper=yaml.SafeDumper, width=100))


def _mark_texts(node: t.Any) -> None:
    """Keep Ansible from reading braces as its own, and lines readable."""
    if isinstance(node, yaml.MappingNode):
        for _key, value in node.value:
            _mark_texts(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _mark_texts(value)
    elif node.tag.endswith(":str"):
        if "\n" in node.value:
            node.style = "|"
        if any(opening in node.value for opening in ("{{", "{%", "{#")):
            node.tag = "!unsafe"
