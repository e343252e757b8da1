# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is read of a Gateway API HTTPRoute, and how its weights are moved. Pure.

A rule counts if it refers to a backend of the rollout; all others are left alone.
Private to the collection: it may change in any release.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ._objects import Object, expect

GROUP_VERSION = "gateway.networking.k8s.io/v1"
RIGHTS = {
    "httproutes.gateway.networking.k8s.io": ("list", "watch", "patch"),
}
_CONDITIONS = ("Accepted", "ResolvedRefs")
_WHOLE = 100


@dataclass(frozen=True)
class Backend:
    """One reference of a rule to a Service of the route's own namespace.

    :param path: the JSON pointer of the reference.
    :param rule: the position of its rule, counted from 1.
    """

    path: str
    rule: int
    service: str
    weight: int


def _weight_of(reference: Object) -> int:
    weight = reference.get("weight")
    return 1 if weight is None else int(weight)


def _service_of(reference: Object, namespace: str) -> str:
    """The Service that a reference names; empty for any other kind of backend."""
    kind = (reference.get("group") or "", reference.get("kind") or "Service")
    there = reference.get("namespace") or namespace
    ours = kind == ("", "Service") and there == namespace
    return str(reference["name"]) if ours else ""


def _rules(route: Object) -> t.Iterator[tuple[int, list[Object]]]:
    for position, rule in enumerate(route["spec"].get("rules") or []):
        yield position, rule.get("backendRefs") or []


def backends_of(route: Object, services: t.Collection[str]) -> list[Backend]:
    """Each reference to one of these Services, in the order of the rules."""
    namespace = route["metadata"]["namespace"]
    return [
        Backend(
            f"/spec/rules/{position}/backendRefs/{index}",
            position + 1,
            _service_of(reference, namespace),
            _weight_of(reference),
        )
        for position, references in _rules(route)
        for index, reference in enumerate(references)
        if _service_of(reference, namespace) in services
    ]


def weights(route: Object, services: t.Iterable[str]) -> dict[str, int]:
    """The highest weight that any rule gives each of these Services."""
    listed = list(services)
    found = dict.fromkeys(listed, 0)
    for backend in backends_of(route, listed):
        found[backend.service] = max(found[backend.service], backend.weight)
    return found


def reached(route: Object, services: t.Iterable[str]) -> list[str]:
    """Those of the Services to which any rule sends requests."""
    return [name for name, weight in weights(route, services).items() if weight > 0]


def holder(route: Object, services: t.Collection[str]) -> str:
    """The one Service to which every rule sends all requests; empty if there is none.

    A rule that gives each of them nothing sends nobody anywhere: it holds no one.
    """
    by_rule: dict[int, set[str]] = {}
    for backend in backends_of(route, services):
        chosen = by_rule.setdefault(backend.rule, set())
        if backend.weight > 0:
            chosen.add(backend.service)
    first = next(iter(by_rule.values()), set())
    alone = len(first) == 1 and all(chosen == first for chosen in by_rule.values())
    return next(iter(first)) if alone else ""


def refusal_of_shape(route: Object, services: t.Sequence[str]) -> str:
    """Why no update of a route's weights could move its users between two Services, as
    a sentence; empty: nothing does.
    """
    name, (one, other) = route["metadata"]["name"], services
    if not route["spec"].get("parentRefs"):
        return (
            f"HTTPRoute {name} is attached to no Gateway, so no users come through it;"
            " give it parentRefs."
        )
    found = backends_of(route, services)
    if not found:
        return (
            f"HTTPRoute {name} refers to neither Service {one} nor {other} in any rule;"
            " give a rule both as backendRefs, one with weight 100, the other with 0."
        )
    for rule in sorted({b.rule for b in found}):
        named = {b.service for b in found if b.rule == rule}
        missing = [s for s in services if s not in named]
        if missing:
            return (
                f"rule {rule} of HTTPRoute {name} refers to Service {named.pop()} and"
                f" not to {missing[0]}, so its users could not be moved; give it both,"
                f" {missing[0]} with weight 0."
            )
        foreign = _other_backend(route, services, rule)
        if foreign:
            return (
                f"rule {rule} of HTTPRoute {name} also sends requests to {foreign},"
                " which this rollout does not direct; give it weight 0, or a rule of"
                " its own."
            )
    return ""


def _other_backend(route: Object, services: t.Collection[str], rule: int) -> str:
    namespace = route["metadata"]["namespace"]
    for reference in route["spec"]["rules"][rule - 1]["backendRefs"]:
        if _service_of(reference, namespace) not in services and _weight_of(reference):
            kind = reference.get("kind") or "Service"
            return f"{kind} {reference['name']} (weight {_weight_of(reference)})"
    return ""


def refusal_of_split(route: Object, services: t.Sequence[str]) -> str:
    """Why it is not known which Service users reach, as a sentence; empty: it is."""
    if holder(route, services):
        return ""
    listed = ", ".join(
        f"{b.service} {b.weight} (rule {b.rule})" for b in backends_of(route, services)
    )
    return (
        f"HTTPRoute {route['metadata']['name']} does not send all requests to one of"
        f" its two Services: the weights are {listed}; give one of them 100 and the"
        " other 0, in each rule."
    )


def moved(route: Object, services: t.Collection[str], to: str) -> list[Object]:
    """The JSON Patch that sends all requests to one of two Services, at once in every
    rule, if the route still is what was seen; empty if it does so already.
    """
    if holder(route, services) == to:
        return []
    version = route["metadata"]["resourceVersion"]
    return [
        expect("/metadata/resourceVersion", version),
        *(
            {
                "op": "add",
                "path": f"{backend.path}/weight",
                "value": _WHOLE if backend.service == to else 0,
            }
            for backend in backends_of(route, services)
        ),
    ]


# -- what the gateways say -------------------------------------------------------------


def verdict(route: Object) -> tuple[str, str]:
    """What the route's parents say of its present version.

    :returns: what is still waited for, and what is refused, each as a clause that
        follows the route's name; empty where there is nothing to say.
    """
    refused = [_refusal(route, parent) for parent in _parents(route)]
    lagging = [_lag(route, parent) for parent in _parents(route)]
    return next(filter(None, lagging), ""), next(filter(None, refused), "")


def _parents(route: Object) -> list[Object]:
    parents: list[Object] = route["spec"].get("parentRefs") or []
    return parents


def _identity(route: Object, parent: Object) -> tuple[object, ...]:
    return (
        parent.get("group", "gateway.networking.k8s.io"),
        parent.get("kind") or "Gateway",
        parent.get("namespace") or route["metadata"]["namespace"],
        parent["name"],
        parent.get("sectionName"),
        parent.get("port"),
    )


def _called(parent: Object) -> str:
    return f"{parent.get('kind') or 'Gateway'} {parent['name']}"


def _conditions(route: Object, parent: Object) -> list[Object]:
    """What every controller says of the route at one parent, of those that decide."""
    wanted = _identity(route, parent)
    return [
        condition
        for status in (route.get("status") or {}).get("parents") or []
        if _identity(route, status["parentRef"]) == wanted
        for condition in status.get("conditions") or []
        if condition["type"] in _CONDITIONS
    ]


def _is_present(route: Object, condition: Object) -> bool:
    generation: int = route["metadata"].get("generation", 0)
    return int(condition.get("observedGeneration", 0)) >= generation


def _refusal(route: Object, parent: Object) -> str:
    for condition in _conditions(route, parent):
        if _is_present(route, condition) and condition["status"] == "False":
            why = ": ".join(
                str(condition[key]).rstrip(".")
                for key in ("reason", "message")
                if condition.get(key)
            )
            detail = f" ({why})" if why else ""
            return f"{_called(parent)} says {condition['type']}=False of it{detail}"
    return ""


def _lag(route: Object, parent: Object) -> str:
    found = _conditions(route, parent)
    present = [c for c in found if _is_present(route, c) and c["status"] == "True"]
    missing = [
        kind for kind in _CONDITIONS if not any(c["type"] == kind for c in present)
    ]
    stale = any(not _is_present(route, c) or c["status"] != "True" for c in found)
    if not missing and not stale:
        return ""
    what = " and ".join(missing or _CONDITIONS)
    return f"{_called(parent)} does not say {what} of its present version yet"
