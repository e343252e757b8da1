# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The objects beside a Rollout: which of them a conversion changes, needs or leaves.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import typing as t

from ._argo_documents import (
    HASH_KEY,
    ROLLOUT,
    Documents,
    name_of,
    namespace_of,
    spec_of,
    title,
    uses_of_hash,
)
from ._argo_report import Report
from ._names import LABEL_HASH
from ._objects import Object
from ._surroundings import matches

_TARGETS = ("scaleTargetRef", "targetRef")
_AMOUNTS = ("minAvailable", "maxUnavailable", "unhealthyPodEvictionPolicy")
_ROUTES = ("Ingress", "HTTPRoute", "VirtualService", "Route", "IngressRoute")
_OF_ARGO = ("AnalysisRun", "Experiment")
_OF_CONTROLLERS = ("Endpoints", "EndpointSlice", "Event", "Pod", "ReplicaSet")


class Neighbours:
    """What becomes of every object but the Rollout.

    :param definition: the Deployment that is released; empty where it is not known.
    """

    def __init__(
        self,
        documents: Documents,
        rollout: Object,
        namespace: str,
        definition: Object,
        report: Report,
    ) -> None:
        self._documents = documents
        self._namespace = namespace
        self._rollout = rollout
        self._definition = definition
        self._report = report
        self._used: list[Object] = [rollout]
        self._variables: Object = {}

    def is_used(self, item: Object) -> None:
        """An object has become a variable."""
        self._used.append(item)

    def variables(self, templates: t.Sequence[Object]) -> Object:
        """The role variables that come of the other objects; all are said.

        :param templates: those of the analyses, which are variables already.
        """
        used = {title(template) for template in templates}
        if self._definition:
            used.add(title(self._definition))
        for item in self._documents.all:
            if title(item) not in used and not any(item is u for u in self._used):
                self._place(item)
        return self._variables

    def _place(self, item: Object) -> None:
        kind = item["kind"]
        if namespace_of(item) not in ("", self._namespace):
            where = f"{title(item)} of namespace {namespace_of(item)}"
            self._report.keep(where, "it is of another namespace than the Rollout")
        elif self._targets_rollout(item):
            self._say_target(item)
        elif kind == "Service" and self._selects(spec_of(item).get("selector")):
            self._declare_service(item)
        elif kind == "PodDisruptionBudget" and self._is_over_pods(item):
            self._replace_budget(item)
        elif kind in _OF_ARGO:
            self._report.leave(
                title(item),
                kind,
                "only the controller of Argo Rollouts can carry it out",
                "nothing, where a Rollout has made it; else the module"
                " bluegreen_analysis, which runs any analysis by itself",
            )
        elif kind not in _OF_CONTROLLERS and uses_of_hash(spec_of(item)):
            self._say_hash(item)
        else:
            self._report.keep(title(item), _why_kept(kind))

    def _pod_labels(self) -> dict[str, str]:
        template = spec_of(self._definition).get("template")
        metadata = template.get("metadata") if isinstance(template, dict) else None
        labels = metadata.get("labels") if isinstance(metadata, dict) else None
        return labels if isinstance(labels, dict) else {}

    def _selects(self, selector: object) -> bool:
        """Whether a Service would select the pods of every revision."""
        wanted = dict(selector) if isinstance(selector, dict) else {}
        pinned = wanted.pop(HASH_KEY, None) is not None
        labels = self._pod_labels()
        holds = all(labels.get(key) == value for key, value in wanted.items())
        return bool(wanted) and holds and not pinned

    def _declare_service(self, item: Object) -> None:
        self._variables.setdefault("bluegreen_other_services", []).append(name_of(item))
        self._report.keep(
            title(item),
            "it selects the pods of every revision, and is declared as such in"
            " bluegreen_other_services",
        )

    def _targets_rollout(self, item: Object) -> bool:
        targets = [spec_of(item).get(field) for field in _TARGETS]
        return any(
            isinstance(target, dict)
            and target.get("kind") == ROLLOUT
            and target.get("name") == name_of(self._rollout)
            for target in targets
        )

    def _say_target(self, item: Object) -> None:
        name = name_of(self._definition) if self._definition else "of the definition"
        instead = f"name Deployment {name} (apps/v1) in it before the first release"
        if item["kind"] == "HorizontalPodAutoscaler":
            instead += "; it follows the users from revision to revision by itself"
        elif item["kind"] == "ScaledObject":
            instead = (
                "delete it, and give a HorizontalPodAutoscaler with the same metrics"
                f" for Deployment {name}; KEDA would put the target back"
            )
        field = next(f for f in _TARGETS if f in spec_of(item))
        self._report.leave(
            f"{title(item)}: spec.{field}",
            title(self._rollout),
            "there is no Rollout any more",
            instead,
        )

    def _is_over_pods(self, item: Object) -> bool:
        selector = spec_of(item).get("selector")
        labels = self._pod_labels()
        try:
            return bool(labels) and matches(selector, labels)
        except (AttributeError, KeyError, TypeError):
            # A manifest, which no API server has looked at.
            return False

    def _replace_budget(self, item: Object) -> None:
        asked = {k: spec_of(item)[k] for k in _AMOUNTS if k in spec_of(item)}
        if "bluegreen_pdb" not in self._variables:
            self._variables["bluegreen_pdb"] = asked
        self._report.leave(
            title(item),
            asked,
            "it counts the pods of both revisions as one; bluegreen_pdb keeps one for"
            " each revision",
            "delete it before the first release",
        )

    def _say_hash(self, item: Object) -> None:
        for path in uses_of_hash(spec_of(item), "spec"):
            self._report.leave(
                f"{title(item)}: {path}",
                HASH_KEY,
                f"pods carry their revision's hash in the label {LABEL_HASH}",
                "name that label",
            )


def _why_kept(kind: str) -> str:
    if kind in _ROUTES:
        return "it names Services, which keep their names"
    if kind in _OF_CONTROLLERS:
        return "a controller has made it, and no release needs its manifest"
    if kind == ROLLOUT:
        return "it is another Rollout, to be converted by itself"
    if kind.endswith("AnalysisTemplate"):
        return "no analysis of this Rollout names it"
    return "nothing in it is of Argo Rollouts"
