# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The users' own objects that act on the pods of a rollout: autoscalers, disruption
budgets and network policies.

What stands in the way of a release is refused before its first write, what it would
change for users is said. Private to the collection: it may change in any release.
"""

from __future__ import annotations

import re
import typing as t

from . import _names as names
from ._api import forbidden
from ._cluster import Cluster
from ._errors import ApiError, BadInput
from ._manifests import Deployment, parse
from ._objects import Object
from ._parameters import canonical

Labels = t.Mapping[str, str]

RIGHTS_TO_RETARGET = {"horizontalpodautoscalers.autoscaling": ("patch",)}
RIGHTS_TO_KEEP_BUDGETS = {
    "poddisruptionbudgets.policy": ("list", "create", "patch", "delete")
}
_POLICIES = "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies"
_AMOUNTS = ("minAvailable", "maxUnavailable")
_EVICTION = "unhealthyPodEvictionPolicy"
_PERCENTAGE = re.compile(r"\d+%")
# What says that a reconciler applies an object by itself: a label or an annotation,
# who that is, and its field manager.
_RECONCILERS = (
    ("argocd.argoproj.io/tracking-id", "Argo CD", "argocd-controller"),
    ("argocd.argoproj.io/instance", "Argo CD", "argocd-controller"),
    ("kustomize.toolkit.fluxcd.io/name", "Flux", "kustomize-controller"),
    ("helm.toolkit.fluxcd.io/name", "Flux", "helm-controller"),
)
# A person's one-off server-side apply: nobody will put it back.
_ONE_OFF_MANAGERS = ("kubectl", names.FIELD_MANAGER)
# What a pod needs at its end: for a proxy on each node to hear of it, with a margin.
_SYNC_SECONDS = 5
_KEDA_LABEL = "scaledobject.keda.sh/name"


def parse_budget(value: object, variable: str) -> str:
    """What a PodDisruptionBudget is to ask for, as canonical JSON text; empty: none.

    :raises BadInput: it is not the specification of one.
    """
    if value is None or value == "":
        return ""
    given = parse(value, variable)
    unknown = sorted(set(given) - {*_AMOUNTS, _EVICTION})
    if unknown:
        raise BadInput(
            f"{variable}: {unknown[0]} is not known; give minAvailable or"
            f" maxUnavailable, and {_EVICTION} if wanted. The selector is that of each"
            " revision."
        )
    amounts = [key for key in _AMOUNTS if given.get(key) is not None]
    if len(amounts) != 1:
        found = " and ".join(amounts) or "neither"
        raise BadInput(
            f"{variable}: {found} was found; give one of minAvailable and"
            " maxUnavailable."
        )
    amount = given[amounts[0]]
    if isinstance(amount, str) and amount.isdigit():
        # AWX surveys send strings.
        amount = int(amount)
    if not _is_amount(amount):
        raise BadInput(
            f"{variable}: {amounts[0]} is {amount!r}; give a number of pods, or a"
            " percentage such as 50%."
        )
    asked = {amounts[0]: amount}
    if given.get(_EVICTION):
        asked[_EVICTION] = given[_EVICTION]
    return canonical(asked)


def _is_amount(amount: object) -> bool:
    if isinstance(amount, str):
        return bool(_PERCENTAGE.fullmatch(amount))
    return isinstance(amount, int) and not isinstance(amount, bool) and amount >= 0


def matches(selector: Object | None, labels: Labels) -> bool:
    """Whether a label selector matches: an empty one all, an absent one nothing."""
    if selector is None:
        return False
    wanted = selector.get("matchLabels") or {}
    return all(labels.get(k) == v for k, v in wanted.items()) and all(
        _holds(e, labels) for e in selector.get("matchExpressions") or []
    )


def _holds(expression: Object, labels: Labels) -> bool:
    key, values = expression["key"], expression.get("values") or []
    return {
        "In": key in labels and labels.get(key) in values,
        "NotIn": labels.get(key) not in values,
        "Exists": key in labels,
        "DoesNotExist": key not in labels,
    }.get(expression.get("operator", ""), False)


def owner_of(autoscaler: Object) -> tuple[str, str]:
    """Who would put an autoscaler's target back, and its field manager; empty: nobody.

    The manager of a ScaledObject is empty: it has no way to leave the target alone.
    """
    metadata = autoscaler["metadata"]
    marks = {**(metadata.get("annotations") or {}), **(metadata.get("labels") or {})}
    for reference in metadata.get("ownerReferences") or []:
        if reference.get("kind") == "ScaledObject":
            return f"the ScaledObject {reference.get('name')} of KEDA", ""
    if _KEDA_LABEL in marks:
        return f"the ScaledObject {marks[_KEDA_LABEL]} of KEDA", ""
    for entry in metadata.get("managedFields") or []:
        owned = (entry.get("fieldsV1") or {}).get("f:spec") or {}
        manager = str(entry.get("manager"))
        applied = entry.get("operation") == "Apply" and "f:scaleTargetRef" in owned
        if applied and manager not in _ONE_OFF_MANAGERS:
            return manager, manager
    return reconciler_of(metadata)


def reconciler_of(metadata: Object) -> tuple[str, str]:
    """Who says on an object that it applies it, and its field manager; empty: nobody.

    :param metadata: the object's.
    """
    marks = {**(metadata.get("annotations") or {}), **(metadata.get("labels") or {})}
    for mark, who, manager in _RECONCILERS:
        if mark in marks:
            return f"{who} ({marks[mark]})", manager
    return "", ""


def refuse_autoscalers(
    autoscalers: t.Sequence[Object], accepted: t.Collection[str]
) -> None:
    """Refuse more than one, and one whose target somebody else would put back.

    :param accepted: field managers that may own the target.
    :raises BadInput: one sentence.
    """
    if len(autoscalers) > 1:
        listed = ", ".join(a["metadata"]["name"] for a in autoscalers)
        raise BadInput(
            f"HorizontalPodAutoscalers {listed} all decide the size of this"
            " rollout; keep one, which follows the users from revision to revision."
        )
    for autoscaler in autoscalers:
        owner, manager = owner_of(autoscaler)
        if owner and manager not in accepted:
            _refuse_owner(autoscaler["metadata"]["name"], owner, manager)


def _refuse_owner(name: str, owner: str, manager: str) -> t.NoReturn:
    way_out = (
        "tell it to ignore that field, then accept it with accept_field_manager:"
        f" [{manager}]"
        if manager
        else "delete that, and give a HorizontalPodAutoscaler of your own with the"
        " same metrics"
    )
    raise BadInput(
        f"HorizontalPodAutoscaler {name} must follow the users to the new revision,"
        f" and {owner} would put its spec.scaleTargetRef back; {way_out}."
    )


class Surroundings:
    """What acts on the pods of one rollout, at one deploy.

    :param pdb: what each revision's PodDisruptionBudget is to ask for; empty: none.
    :param adopted: the plain Deployment that is about to be adopted, if any.
    """

    def __init__(
        self,
        cluster: Cluster,
        deployment: Deployment,
        pdb: str,
        accepted_managers: tuple[str, ...],
        adopted: Object | None,
    ) -> None:
        self._cluster = cluster
        self._deployment = deployment
        self._pdb = pdb
        self._accepted = accepted_managers
        self._adopted = adopted
        self._autoscalers = cluster.autoscalers_of(
            {deployment.name, *cluster.names_of_deployments()}
        )
        self.warnings: list[str] = []

    def rights(self) -> list[t.Mapping[str, tuple[str, ...]]]:
        """What is needed for them: verbs by resource."""
        needed: list[t.Mapping[str, tuple[str, ...]]] = []
        if self._autoscalers:
            needed.append(RIGHTS_TO_RETARGET)
        if self._pdb:
            needed.append(RIGHTS_TO_KEEP_BUDGETS)
        return needed

    def check(self) -> None:
        """Refuse what this rollout could not live with.

        :raises BadInput: one sentence about the first such object.
        """
        refuse_autoscalers(self._autoscalers, self._accepted)
        if self._pdb:
            self._refuse_second_budget()

    def check_new_revision(self) -> None:
        """Say what the users' own objects do with a new revision beside the active."""
        old, new = self._labels_of_active(), self._labels_of_new()
        if not old:
            return
        self._warn_of_sudden_end()
        if not self._pdb:
            self._warn_of_shared_budgets(old, new)
        self._warn_of_policies(old, new)

    def _warn_of_sudden_end(self) -> None:
        """Nodes hear of an end a moment after the pod does."""
        deployment = self._active_deployment()
        pod_spec = deployment["spec"]["template"]["spec"] if deployment else {}
        grace = pod_spec.get("terminationGracePeriodSeconds", 30)
        if deployment is None or grace >= _SYNC_SECONDS or has_pre_stop(pod_spec):
            return
        self.warnings.append(
            f"The pods of the active revision (Deployment"
            f" {deployment['metadata']['name']}) have no preStop hook and are killed"
            f" {grace} s after they are told to end, which takes nodes and load"
            " balancers 1-2 s to follow: what is then on its way to them, or still held"
            " by them, is cut off. Give their containers a preStop sleep, and a"
            f" terminationGracePeriodSeconds of at least {_SYNC_SECONDS}."
        )

    # -- disruption budgets --------------------------------------------------------

    def _others_budgets(self) -> list[Object]:
        return [
            budget
            for _name, budget in sorted(self._cluster.budgets.items.items())
            if not self._cluster.is_our_budget(budget)
        ]

    def _refuse_second_budget(self) -> None:
        pods = [p for p in (self._labels_of_new(), self._labels_of_active()) if p]
        for budget in self._others_budgets():
            if any(matches(budget["spec"].get("selector"), labels) for labels in pods):
                raise BadInput(
                    f"pdb: PodDisruptionBudget {budget['metadata']['name']} selects the"
                    " pods of this rollout already, and two over one pod make every"
                    " eviction fail; delete it, or leave pdb out."
                )

    def _warn_of_shared_budgets(self, old: Labels, new: Labels) -> None:
        if not self._is_read(
            self._cluster.load_budgets_once,
            "Whether a PodDisruptionBudget counts both revisions as one",
        ):
            return
        for budget in self._others_budgets():
            selector = budget["spec"].get("selector")
            if matches(selector, old) and matches(selector, new):
                self.warnings.append(
                    f"PodDisruptionBudget {budget['metadata']['name']} counts the pods"
                    " of both revisions as one, so that a drain of nodes may evict all"
                    " pods of the active one; delete it, and have one kept for each"
                    " revision with pdb."
                )

    # -- network policies ----------------------------------------------------------

    def _warn_of_policies(self, old: Labels, new: Labels) -> None:
        listed: list[Object] = []

        def read() -> None:
            path = _POLICIES.format(self._cluster.namespace)
            listed.extend(self._cluster.api.get(path)["items"])

        self._is_read(read, "Whether the NetworkPolicies fit the new revision")
        for policy in listed:
            name, spec = policy["metadata"]["name"], policy["spec"]
            if _leaves_out(spec.get("podSelector") or {}, old, new):
                self.warnings.append(
                    f"NetworkPolicy {name} holds for the pods of the active revision"
                    " and not for those of the new one, whose labels differ; widen its"
                    " podSelector before the promotion."
                )
            if any(_leaves_out(peer, old, new) for peer in _peers(spec)):
                self.warnings.append(
                    f"NetworkPolicy {name} lets the pods of the active revision through"
                    " and not those of the new one, whose labels differ; widen the"
                    " podSelector of its peers before the promotion."
                )

    def _is_read(self, read: t.Callable[[], None], what: str) -> bool:
        try:
            read()
        except ApiError as error:
            if not forbidden(error):
                raise
            self.warnings.append(f"{what} was not checked: {error}")
            return False
        return True

    # -- labels --------------------------------------------------------------------

    def _labels_of_new(self) -> dict[str, str]:
        return {
            **self._deployment.pod_labels,
            names.LABEL_ROLLOUT: self._cluster.rollout,
            names.LABEL_HASH: self._deployment.hash,
        }

    def _active_deployment(self) -> Object | None:
        seen = self._cluster.observe()
        active = seen.revision(seen.active_hash)
        if active is None:
            return self._adopted
        return self._cluster.deployments.items.get(active.deployment)

    def _labels_of_active(self) -> dict[str, str]:
        """Of the pods that serve users now; empty if there are none."""
        deployment = self._active_deployment()
        if deployment is None:
            return {}
        found: dict[str, str] = deployment["spec"]["template"]["metadata"]["labels"]
        return found


def has_pre_stop(pod_spec: Object) -> bool:
    """Whether any container of a pod does something before it is told to end."""
    containers = pod_spec.get("containers") or []
    return any((c.get("lifecycle") or {}).get("preStop") for c in containers)


def _leaves_out(selector: Object, old: Labels, new: Labels) -> bool:
    return matches(selector, old) and not matches(selector, new)


def _peers(spec: Object) -> list[Object]:
    """The pod selectors of the same namespace that a policy lets through."""
    rules = [
        peer
        for direction, key in (("ingress", "from"), ("egress", "to"))
        for rule in spec.get(direction) or []
        for peer in rule.get(key) or []
    ]
    return [
        peer["podSelector"]
        for peer in rules
        if "podSelector" in peer and "namespaceSelector" not in peer
    ]
