# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is refused before the first write: what stands in the way in the cluster.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import json
import typing as t

from . import _names as names
from . import _route as routes
from ._api import forbidden
from ._cluster import Cluster, selects
from ._errors import ApiError, BadInput
from ._findings import refusal_of_labels
from ._manifests import Deployment, ServiceInput, original_selector
from ._model import describe
from ._objects import Object
from ._parameters import Parameters
from ._stages import HEALTHY
from ._view import View

_HOSTNAME = "kubernetes.io/hostname"
_RULES_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
# What a release asks for between its first write and its last.
_RIGHTS = {
    "services": ("watch", "create", "patch", "delete"),
    "configmaps": ("watch", "create", "update", "patch"),
    "pods": ("list",),
    "deployments.apps": ("watch", "create", "patch", "delete"),
    "replicasets.apps": (),
    "endpointslices.discovery.k8s.io": ("watch",),
    "leases.coordination.k8s.io": ("get", "list", "watch", "create", "update"),
}
_RIGHTS_TO_ADOPT = {
    "pods": ("patch",),
    "replicasets.apps": ("list", "watch", "patch", "delete"),
}
# A person's one-off server-side apply: no reconciler will put its selector back.
_ONE_OFF_MANAGERS = ("kubectl", names.FIELD_MANAGER)


class Preflight:
    """The checks of one deploy.

    :param adopted: the plain Deployment that is about to be adopted, if any.
    """

    def __init__(
        self,
        cluster: Cluster,
        deployment: Deployment,
        active: tuple[ServiceInput, ...],
        preview: tuple[ServiceInput, ...],
        other: tuple[str, ...],
        accepted_managers: tuple[str, ...],
        adopted: Object | None,
    ) -> None:
        self._cluster = cluster
        self._deployment = deployment
        self._active = active
        self._preview = preview
        self._other = other
        self._accepted = accepted_managers
        self._adopted = adopted
        self.warnings: list[str] = []

    def check(self) -> None:
        """Refuse what no release should begin with.

        :raises BadInput: one sentence about the first obstacle.
        """
        for service in self._active:
            self._check_service(service, "active_service")
        for service in self._preview:
            self._check_service(service, "preview_service")
        self._check_undeclared({})
        for service in self._active:
            self._check_other_workloads(service.name)

    def check_rights(
        self, adopts: bool, more: t.Sequence[t.Mapping[str, tuple[str, ...]]] = ()
    ) -> None:
        """Refuse a user who could begin a release and not end it.

        :param adopts: whether a plain Deployment is to be adopted first.
        :param more: what else is needed: verbs by resource.
        """
        to_adopt = _RIGHTS_TO_ADOPT if adopts else {}
        refuse_missing_rights(
            self._cluster, "a release", merged_rights(_RIGHTS, to_adopt, *more)
        )

    def check_placement(self, size: int) -> None:
        """Refuse a new revision whose pods find no node beside the active one's.

        :param size: how many pods it will have.
        """
        pod_spec = self._deployment.template["spec"]
        ports = _host_ports(pod_spec)
        repelled = _repels_itself(pod_spec, self._deployment.pod_labels)
        if not ports and not repelled:
            return
        usable = self._usable_nodes()
        if usable is None:
            return
        free = usable - self._nodes_of(_selector_of(self._deployment.pod_labels))
        if len(free) < size:
            why = (
                f"host port {', '.join(map(str, ports))}"
                if ports
                else "required pod anti-affinity"
            )
            raise BadInput(
                f"definition: {why} keeps the new revision off the nodes that run the"
                f" active one: {size} pods need a free node each, {len(free)} of"
                f" {len(usable)} are free; add nodes, lift that requirement, or"
                " lower preview_replica_count."
            )

    def check_anti_affinity(self, parameters: Parameters, active: str) -> None:
        """Refuse a new revision that has to keep off every node.

        :param active: the hash of the revision that it keeps off; empty: that of the
            Deployment which is about to be adopted.
        """
        if "required" not in json.loads(parameters.anti_affinity or "{}"):
            return
        usable = self._usable_nodes()
        if usable is None:
            return
        labels = {names.LABEL_HASH: active} if active else self._deployment.pod_labels
        if not usable - self._nodes_of(_selector_of(labels)):
            raise BadInput(
                "anti_affinity: required keeps the new revision off the nodes that run"
                f" the active one, and that is each of {len(usable)}; add nodes, or"
                " give preferred."
            )

    def _usable_nodes(self) -> set[str] | None:
        """The nodes that take such pods; none where this user may not list them."""
        try:
            nodes = self._cluster.api.get("/api/v1/nodes")["items"]
        except ApiError as error:
            if not forbidden(error):
                raise
            warning = (
                "Whether the nodes have room for both revisions was not checked:"
                f" {error}"
            )
            if warning not in self.warnings:
                self.warnings.append(warning)
            return None
        pod_spec = self._deployment.template["spec"]
        return {n["metadata"]["name"] for n in nodes if accepts(n, pod_spec)}

    def _nodes_of(self, selector: str) -> set[str]:
        """The nodes that run the pods with these labels."""
        return {p["spec"].get("nodeName", "") for p in self._cluster.pods(selector)}

    def check_metadata(self, parameters: Parameters) -> None:
        """Refuse labels by which pods would leave a Service, or enter one too early.

        :raises BadInput: one sentence about the first.
        """
        if not parameters.marks:
            return
        # Only a release that asks for it pays for importing it.
        from ._asked_overlay import refuse_taken_labels

        known = self._cluster.services.items
        given = ((s.name, known.get(s.name) or s.manifest) for s in self._directed)
        selectors = {n: original_selector(found) for n, found in given if found}
        selector = self._deployment.body["spec"]["selector"]
        refuse_taken_labels(parameters, selector, selectors)
        previewed = json.loads(parameters.preview_metadata or "{}")
        self._check_undeclared(previewed.get("labels", {}))

    @property
    def _directed(self) -> tuple[ServiceInput, ...]:
        return (*self._active, *self._preview)

    def _check_service(self, given: ServiceInput, variable: str) -> None:
        service = self._cluster.services.items.get(given.name)
        if service is None:
            if given.manifest is None:
                refuse_absent_namespace(self._cluster)
                raise BadInput(
                    f"{variable}: Service {given.name} does not exist in namespace"
                    f" {self._cluster.namespace}; create it, or give its manifest."
                )
            self._check_labels(given.name, given.manifest, variable)
            return
        annotations = service["metadata"].get("annotations") or {}
        owner = annotations.get(names.ANNOTATION_ROLLOUT)
        if owner not in (None, self._cluster.rollout):
            raise BadInput(
                f"{variable}: Service {given.name} belongs to the rollout {owner}; give"
                " this rollout a Service of its own."
            )
        self._check_labels(given.name, service, variable)
        self._check_manager(service, variable)

    def _check_labels(self, name: str, service: Object, variable: str) -> None:
        refusal = refusal_of_labels(
            name, service, variable, self._deployment.pod_labels
        )
        if refusal:
            raise BadInput(refusal)

    def _check_manager(self, service: Object, variable: str) -> None:
        refusal = refusal_of_manager(service, variable, self._accepted)
        if refusal:
            raise BadInput(refusal)

    def _check_undeclared(self, more: t.Mapping[str, str]) -> None:
        """Every Service that would select the new pods must be declared.

        :param more: labels that they have beside those of the definition.
        """
        declared = {s.name for s in self._directed} | set(self._other)
        labels = {
            **self._deployment.pod_labels,
            **more,
            names.LABEL_ROLLOUT: self._cluster.rollout,
            names.LABEL_HASH: self._deployment.hash,
        }
        for name, service in self._cluster.services.items.items():
            if name in declared or self._is_ours(service):
                continue
            if selects(service, labels):
                raise BadInput(
                    f"Service {name} would send its users to the new revision before it"
                    " is promoted; declare it with active_service, preview_service or"
                    " other_services, or narrow its selector."
                )

    def _is_ours(self, service: Object) -> bool:
        annotations = service["metadata"].get("annotations") or {}
        return annotations.get(names.ANNOTATION_ROLE) == names.ROLE_PROOF

    def _check_other_workloads(self, name: str) -> None:
        """An active Service that has no hash yet must select this workload alone."""
        service = self._cluster.services.items.get(name)
        if service is None or names.LABEL_HASH in service["spec"]["selector"]:
            return
        own = _own_selector(self._adopted)
        for pod in self._cluster.pods(_selector_of(original_selector(service))):
            labels = pod["metadata"].get("labels") or {}
            if labels.get(names.LABEL_ROLLOUT) == self._cluster.rollout:
                continue
            if own and all(labels.get(k) == v for k, v in own.items()):
                continue
            raise BadInput(
                f"active_service: Service {name} also selects pod"
                f" {pod['metadata']['name']}, which is not of this rollout and would"
                " lose its users; narrow the Service's selector, or give the definition"
                " the name of the Deployment that runs it."
            )


def rules_of_user(cluster: Cluster) -> list[Object] | None:
    """What the user may do in the namespace; none where the cluster does not say."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": cluster.namespace},
    }
    try:
        status = cluster.api.create(_RULES_REVIEWS, review)["status"]
    except ApiError:
        return None
    if status.get("incomplete"):
        return None
    rules: list[Object] = status.get("resourceRules") or []
    return rules


def refuse_missing_rights(
    cluster: Cluster, what: str, needed: t.Mapping[str, tuple[str, ...]]
) -> None:
    """Refuse a user who could begin something and not end it.

    :param what: what is to be done, as it stands before "needs".
    :param needed: verbs by resource.
    :raises BadInput: all that is missing.
    """
    name, rules = cluster.namespace, rules_of_user(cluster)
    if rules is None:
        # Then each request answers for itself.
        return
    missing = []
    for resource, wanted in needed.items():
        lacking = [v for v in wanted if not is_allowed(rules, resource, v)]
        if lacking:
            missing.append(f"{', '.join(lacking)} on {resource.partition('.')[0]}")
    if missing:
        raise BadInput(
            f"The user of this connection lacks what {what} needs in namespace {name}"
            f" (403): {'; '.join(missing)}. Give the user a Role with these verbs."
        )


def refuse_absent_namespace(cluster: Cluster) -> None:
    """The API lists what is in a namespace that does not exist as empty.

    Only asked where something is missing: reading it takes a right of its own.
    """
    try:
        found = cluster.api.find(f"/api/v1/namespaces/{cluster.namespace}")
    except ApiError as error:
        if not forbidden(error):
            raise
        return
    if found is None:
        raise absent_namespace(cluster.namespace)


class RouteCheck:
    """What is refused of the route of a deploy, or of a change from or to one.

    :param accepted: field managers that may own the weights.
    """

    def __init__(
        self, cluster: Cluster, parameters: Parameters, accepted: tuple[str, ...]
    ) -> None:
        self._cluster = cluster
        self._parameters = parameters
        self._accepted = accepted
        self._route = cluster.routes.items.get(parameters.route)
        # Who owns the weights is seen no more once this run has moved them.
        self._managers = _appliers(self._route, "f:rules") if self._route else []

    def check_shape(self, view: View) -> None:
        """Refuse what no update of weights could move, before anything is written.

        :raises BadInput: one sentence.
        """
        if self._parameters.route:
            self._refuse_absent()
            route = t.cast(Object, self._route)
            problem = routes.refusal_of_shape(route, self._parameters.active_services)
            if problem:
                raise BadInput(f"route: {problem}")
        self._refuse_change(view)

    def _refuse_absent(self) -> None:
        if self._route is not None:
            return
        name = self._parameters.route
        if not self._cluster.routes.version:
            raise BadInput(
                f"route: this cluster knows no HTTPRoute of {routes.GROUP_VERSION};"
                " install the Gateway API, or leave route out."
            )
        refuse_absent_namespace(self._cluster)
        raise BadInput(
            f"route: HTTPRoute {name} does not exist in namespace"
            f" {self._cluster.namespace}; create it."
        )

    def _refuse_change(self, view: View) -> None:
        """Users stay where they are when a rollout begins to direct a route."""
        newest = max(
            (r for r in view.seen.revisions if r.parameters is not None),
            key=lambda r: r.number,
            default=None,
        )
        before = newest.parameters if newest else None
        if newest is None or before is None:
            return
        now = self._parameters
        if before.route != now.route and before.route:
            raise BadInput(
                f"route: {describe(newest)} was released with HTTPRoute {before.route},"
                f" {now.route or 'none'} is given now; give {before.route}, or run the"
                " eject playbook first."
            )
        same = set(before.active_services) == set(now.active_services)
        if before.route and not same:
            raise BadInput(
                f"active_service: {describe(newest)} was released with"
                f" {' and '.join(before.active_services)} behind HTTPRoute"
                f" {before.route}, {' and '.join(now.active_services)} are given now;"
                " give the same two, or run the eject playbook first."
            )
        if now.route and not before.route:
            self._refuse_other_holder(view, before)

    def _refuse_other_holder(self, view: View, before: Parameters) -> None:
        route = t.cast(Object, self._route)
        held = routes.holder(route, self._parameters.active_services)
        if before.active_services == (held,) and view.in_flight_hash is None:
            return
        raise BadInput(
            f"route: users come through Service {', '.join(before.active_services)}"
            f" now; a rollout at rest changes to HTTPRoute {self._parameters.route}"
            " where that route sends all requests to its one active Service, and"
            f" {held or 'none of the two'} has all of them; make them agree."
        )

    def check_state(self, view: View) -> None:
        """Refuse weights that others would put back or that say nothing of where users
        are, and a route that its gateways refuse.

        :raises BadInput: one sentence.
        """
        if self._route is None:
            return
        name = self._parameters.route
        for manager in self._managers:
            if manager in _ONE_OFF_MANAGERS or manager in self._accepted:
                continue
            raise BadInput(
                f"route: {manager} owns spec.rules of HTTPRoute {name} by server-side"
                " apply and would put its own weights back; tell it to ignore that"
                " field, or accept it with accept_field_manager."
            )
        present = self._cluster.routes.items.get(name, self._route)
        split = routes.refusal_of_split(present, self._parameters.active_services)
        if split and not view.seen.revisions:
            # Later, a split is what others opened, and is closed.
            raise BadInput(f"route: {split}")
        refused = routes.verdict(present)[1]
        if refused and _begins_update(view):
            raise BadInput(
                f"route: a release of HTTPRoute {name} could not be seen to work, as"
                f" {refused}; correct that first."
            )


def _begins_update(view: View) -> bool:
    """Whether a release begins while another revision serves users."""
    if view.active is None or view.in_flight_hash is not None:
        return False
    return not view.is_active or view.record.phase != HEALTHY


def absent_namespace(name: str) -> BadInput:
    """What a person is told whose namespace does not exist."""
    return BadInput(
        f"namespace: namespace {name} does not exist; create it, or correct its name."
    )


def refusal_of_manager(
    service: Object, variable: str, accepted: t.Collection[str]
) -> str:
    """Why a Service is refused that a tool would direct back; empty if none would."""
    name = service["metadata"]["name"]
    for manager in _appliers(service, "f:selector"):
        if manager in _ONE_OFF_MANAGERS or manager in accepted:
            continue
        return (
            f"{variable}: {manager} owns spec.selector of Service {name} by"
            " server-side apply and would put its own selector back; tell it to"
            " ignore that field, or accept it with accept_field_manager."
        )
    return ""


def merged_rights(
    *rights: t.Mapping[str, tuple[str, ...]],
) -> dict[str, tuple[str, ...]]:
    """Verbs by resource, each once."""
    merged: dict[str, tuple[str, ...]] = {}
    for each in rights:
        for resource, verbs in each.items():
            known = merged.get(resource, ())
            merged[resource] = tuple(dict.fromkeys((*known, *verbs)))
    return merged


def is_allowed(rules: t.Sequence[Object], resource: str, verb: str) -> bool:
    """Whether RBAC rules allow a verb, maybe on some names only."""
    name, _dot, group = resource.partition(".")
    _parent, slash, subresource = name.partition("/")
    names_it = {name, "*", *([f"*/{subresource}"] if slash else [])}
    return any(
        {verb, "*"}.intersection(rule.get("verbs") or [])
        and {group, "*"}.intersection(rule.get("apiGroups") or [])
        and names_it.intersection(rule.get("resources") or [])
        for rule in rules
    )


def _own_selector(deployment: Object | None) -> dict[str, str]:
    if deployment is None:
        return {}
    selector: dict[str, str] = deployment["spec"]["selector"].get("matchLabels") or {}
    return selector


def _selector_of(labels: t.Mapping[str, str]) -> str:
    return ",".join(f"{k}={v}" for k, v in sorted(labels.items()))


def _appliers(item: Object, field: str) -> list[str]:
    """The field managers that own a field of the spec by server-side apply."""
    found = []
    for entry in item["metadata"].get("managedFields") or []:
        owned = (entry.get("fieldsV1") or {}).get("f:spec") or {}
        if entry.get("operation") == "Apply" and field in owned:
            found.append(str(entry.get("manager")))
    return found


def _host_ports(pod_spec: Object) -> list[int]:
    return [
        port["hostPort"]
        for container in pod_spec.get("containers") or []
        for port in container.get("ports") or []
        if port.get("hostPort")
    ]


def _repels_itself(pod_spec: Object, labels: t.Mapping[str, str]) -> bool:
    """Whether required anti-affinity keeps pods with these labels off one node."""
    affinity = pod_spec.get("affinity") or {}
    terms = (affinity.get("podAntiAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    ) or []
    return any(
        term.get("topologyKey") == _HOSTNAME
        and _term_matches(term.get("labelSelector") or {}, labels)
        for term in terms
    )


def _term_matches(selector: Object, labels: t.Mapping[str, str]) -> bool:
    wanted = selector.get("matchLabels") or {}
    expressions = selector.get("matchExpressions") or []
    if not wanted and not expressions:
        return False
    return all(labels.get(k) == v for k, v in wanted.items()) and all(
        e.get("operator") == "In" and labels.get(e.get("key")) in e.get("values", [])
        for e in expressions
    )


def accepts(node: Object, pod_spec: Object) -> bool:
    """Whether a node takes such pods, as far as selectors and cordons go."""
    if node["spec"].get("unschedulable"):
        return False
    labels = node["metadata"].get("labels") or {}
    wanted = pod_spec.get("nodeSelector") or {}
    return all(labels.get(k) == v for k, v in wanted.items())
