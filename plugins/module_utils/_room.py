# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether there is room for more pods: quotas, limit ranges, nodes.

Pure. The API server asks a quota only when pods are made, which is after a release
has begun. Private to the collection: it may change in any release.
"""

from __future__ import annotations

import copy
import typing as t
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal

from . import _deps
from ._findings import ERROR, NOTICE, WARNING, Finding
from ._objects import Object

Amounts = dict[str, Decimal]

_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_UNITS = (("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10))
_MILLI = Decimal(1000)
_BEST_EFFORT = ("BestEffort", "NotBestEffort")
_TERMINATING = ("Terminating", "NotTerminating")


@dataclass(frozen=True)
class Growth:
    """Pods of one template that a release makes, beside those that there are."""

    pod_spec: Object
    pods: int


@dataclass(frozen=True)
class Need:
    """All that a release makes at its largest, beside what there is."""

    growth: tuple[Growth, ...] = ()
    # Objects by resource as quotas count them: `services`, `deployments.apps`.
    objects: t.Mapping[str, int] = field(default_factory=dict)


def amount(text: object) -> Decimal:
    """A Kubernetes quantity as a number; what is none counts as 0."""
    try:
        number: Decimal = _deps.kubernetes.utils.quantity.parse_quantity(text)
    except (ValueError, ArithmeticError):
        # Admission refuses it, and says so itself.
        return Decimal(0)
    return number


def shown(number: Decimal, resource: str) -> str:
    """A number as people write it: 1500m, 2, 512Mi."""
    if resource.endswith("cpu"):
        if number == number.to_integral_value():
            return str(int(number))
        return f"{int((number * _MILLI).to_integral_value(ROUND_CEILING))}m"
    whole = int(number.to_integral_value(ROUND_CEILING))
    if resource.endswith(("memory", "storage")):
        for unit, size in _UNITS:
            if whole >= size and (whole % size == 0 or whole >= 10 * size):
                return f"{-(-whole // size)}{unit}"
    return str(whole)


def demand(pod_spec: Object, kind: str) -> Amounts:
    """What a pod asks for, as the scheduler and quotas count it.

    The greater of what runs at once in the end and at any time of its beginning, and
    the pod's overhead.

    :param kind: `requests` or `limits`; requests are the limits where not given.
    """
    running: Amounts = {}
    peak: Amounts = {}
    for container in pod_spec.get("initContainers") or []:
        asked = _asked(container, kind)
        at_once = _sum(running, asked)
        if container.get("restartPolicy") == "Always":
            running = at_once
        peak = _greater(peak, at_once)
    for container in pod_spec.get("containers") or []:
        running = _sum(running, _asked(container, kind))
    total = {**_greater(running, peak), **_asked(pod_spec, kind)}
    overhead = _amounts(pod_spec.get("overhead") or {})
    if kind == "limits":
        overhead = {k: v for k, v in overhead.items() if k in total}
    return _sum(total, overhead)


def _asked(container: Object, kind: str) -> Amounts:
    resources = container.get("resources") or {}
    given = resources.get(kind) or {}
    if kind == "requests":
        given = {**(resources.get("limits") or {}), **given}
    return _amounts(given)


def _amounts(given: Object) -> Amounts:
    return {key: amount(value) for key, value in given.items()}


def _sum(one: Amounts, other: Amounts) -> Amounts:
    zero = Decimal(0)
    return {k: one.get(k, zero) + other.get(k, zero) for k in {**one, **other}}


def _greater(one: Amounts, other: Amounts) -> Amounts:
    zero = Decimal(0)
    return {k: max(one.get(k, zero), other.get(k, zero)) for k in {**one, **other}}


# -- limit ranges ----------------------------------------------------------------------


def defaulted(pod_spec: Object, ranges: t.Iterable[Object]) -> Object:
    """A pod's spec with the requests and limits that LimitRanges give it."""
    spec = copy.deepcopy(pod_spec)
    limits = [i for i in _items(ranges) if i[1].get("type") == "Container"]
    for container in _containers(spec):
        resources = container["resources"] = {**(container.get("resources") or {})}
        given = dict(resources.get("limits") or {})
        asked = {**given, **(resources.get("requests") or {})}
        for _name, item in limits:
            given = {**(item.get("default") or {}), **given}
            asked = {**(item.get("defaultRequest") or {}), **asked}
        resources["limits"], resources["requests"] = given, asked
    return spec


def _items(ranges: t.Iterable[Object]) -> list[tuple[str, Object]]:
    return [
        (item["metadata"]["name"], limit)
        for item in ranges
        for limit in (item.get("spec") or {}).get("limits") or []
    ]


def _containers(spec: Object) -> list[Object]:
    return [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]


def of_ranges(pod_spec: Object, ranges: t.Iterable[Object]) -> list[Finding]:
    """What LimitRanges refuse of pods.

    :param pod_spec: as :func:`defaulted` gives it.
    """
    found = []
    for name, limit in _items(ranges):
        for subject, requests, limits in _subjects(pod_spec, limit.get("type")):
            problems = _beyond(limit, requests, limits)
            found += [
                Finding(ERROR, f"LimitRange {name}", f"{subject}: {problem}")
                for problem in problems
            ]
    return found


def _subjects(pod_spec: Object, kind: object) -> list[tuple[str, Amounts, Amounts]]:
    """Whom a limit of that type is for, with what each requests and is limited to."""
    if kind == "Pod":
        requests, limits = demand(pod_spec, "requests"), demand(pod_spec, "limits")
        return [("a pod", requests, limits)]
    if kind != "Container":
        return []
    return [
        (f"container {c.get('name')}", _asked(c, "requests"), _asked(c, "limits"))
        for c in _containers(pod_spec)
    ]


def _beyond(limit: Object, requests: Amounts, limits: Amounts) -> list[str]:
    """What a request and limit are beyond the most or below the least of a range."""
    refused = "; its pods would not be made."
    problems = []
    for resource, most in (limit.get("max") or {}).items():
        asked = limits.get(resource)
        if asked is None:
            problems.append(
                f"limits.{resource} is not given, at most {most} is allowed{refused}"
            )
        elif asked > amount(most):
            problems.append(
                f"limits.{resource} is {shown(asked, resource)}, at most {most} is"
                f" allowed{refused}"
            )
    for resource, least in (limit.get("min") or {}).items():
        asked = requests.get(resource)
        if asked is None or asked < amount(least):
            present = "not given" if asked is None else shown(asked, resource)
            problems.append(
                f"requests.{resource} is {present}, at least {least} is asked"
                f" for{refused}"
            )
    return problems


# -- quotas ----------------------------------------------------------------------------


def of_quotas(quotas: t.Iterable[Object], need: Need) -> list[Finding]:
    """What ResourceQuotas have no room for.

    :param need: its templates as :func:`defaulted` gives them.
    """
    found: list[Finding] = []
    for quota in quotas:
        name = f"ResourceQuota {quota['metadata']['name']}"
        scopes = _scopes(quota["spec"])
        unknown = [s for s in scopes if not _is_known(s)]
        if unknown:
            listed = ", ".join(str(s.get("scopeName")) for s in unknown)
            found.append(
                Finding(NOTICE, name, f"not checked: it is only for pods of {listed}.")
            )
            continue
        growth = tuple(
            g
            for g in need.growth
            if g.pods and all(_is_in_scope(g.pod_spec, scope) for scope in scopes)
        )
        if scopes and need.growth and not growth:
            listed = ", ".join(str(s["scopeName"]) for s in scopes)
            found.append(
                Finding(NOTICE, name, f"not counted: it is for pods of {listed} only.")
            )
            continue
        found += _of_quota(name, quota, Need(growth, {} if scopes else need.objects))
    return found


def _scopes(spec: Object) -> list[Object]:
    """Both ways to say for which pods a quota is, as scope selector requirements."""
    plain = [{"scopeName": s, "operator": "Exists"} for s in spec.get("scopes") or []]
    selector = spec.get("scopeSelector") or {}
    return [*plain, *(selector.get("matchExpressions") or [])]


def _is_known(scope: Object) -> bool:
    name = scope.get("scopeName")
    return name in (*_BEST_EFFORT, *_TERMINATING, "PriorityClass")


def _is_in_scope(pod_spec: Object, scope: Object) -> bool:
    name = str(scope["scopeName"])
    if name in _BEST_EFFORT:
        best_effort = not (demand(pod_spec, "requests") or demand(pod_spec, "limits"))
        return best_effort == (name == "BestEffort")
    if name in _TERMINATING:
        ends = pod_spec.get("activeDeadlineSeconds") is not None
        return ends == (name == "Terminating")
    given, values = pod_spec.get("priorityClassName"), scope.get("values") or []
    return {
        "In": given in values,
        "NotIn": given not in values,
        "Exists": given is not None,
        "DoesNotExist": given is None,
    }.get(str(scope.get("operator")), False)


def _of_quota(name: str, quota: Object, need: Need) -> list[Finding]:
    status = quota.get("status") or {}
    hard = status.get("hard") or quota["spec"].get("hard") or {}
    used = status.get("used") or {}
    found = []
    for resource, most in sorted(hard.items()):
        for growth in need.growth:
            silent = _silent_on(growth.pod_spec, resource)
            if silent:
                found.append(
                    Finding(
                        ERROR,
                        name,
                        f"{resource} is counted and {', '.join(silent)} asks for none;"
                        " the new pods would not be made.",
                    )
                )
        wanted = _wanted(resource, need)
        left = amount(most) - amount(used.get(resource, "0"))
        if wanted > left:
            found.append(
                Finding(
                    ERROR,
                    name,
                    f"{resource}: the release needs {shown(wanted, resource)} more,"
                    f" {shown(max(left, Decimal(0)), resource)} of {most} are left;"
                    " raise the quota, or release smaller.",
                )
            )
    return list(dict.fromkeys(found))


def _kind_and_resource(resource: str) -> tuple[str, str]:
    """What a quota's resource counts of pods; an empty kind: nothing of them."""
    kind, dot, rest = resource.partition(".")
    if dot and kind in ("requests", "limits"):
        return kind, rest
    return ("requests", resource) if resource in _COMPUTE else ("", resource)


def _silent_on(pod_spec: Object, resource: str) -> list[str]:
    """Containers that do not ask for what a quota counts: they would be refused."""
    kind, what = _kind_and_resource(resource)
    if not kind or what not in _COMPUTE[:2]:
        return []
    if what in _asked(pod_spec, kind):
        return []
    return [
        f"container {c.get('name')}"
        for c in _containers(pod_spec)
        if what not in _asked(c, kind)
    ]


def _wanted(resource: str, need: Need) -> Decimal:
    kind, what = _kind_and_resource(resource)
    if kind:
        return sum(
            (
                demand(g.pod_spec, kind).get(what, Decimal(0)) * g.pods
                for g in need.growth
            ),
            Decimal(0),
        )
    counted = resource[len("count/") :] if resource.startswith("count/") else resource
    if counted == "pods":
        return Decimal(sum(g.pods for g in need.growth))
    return Decimal(need.objects.get(counted, 0))


# -- nodes -----------------------------------------------------------------------------


def of_nodes(
    nodes: t.Sequence[Object], pods: t.Iterable[Object], growth: Growth
) -> list[Finding]:
    """Whether the nodes have room for more pods, as far as requests go.

    :param nodes: those that take such pods.
    :param pods: all that run on any node.
    """
    free = {n["metadata"]["name"]: _allocatable(n) for n in nodes}
    for pod in pods:
        name = pod["spec"].get("nodeName")
        if name in free:
            taken = {**demand(pod["spec"], "requests"), "pods": Decimal(1)}
            free[name] = {
                k: v - taken.get(k, Decimal(0)) for k, v in free[name].items()
            }
    asked = {**demand(growth.pod_spec, "requests"), "pods": Decimal(1)}
    room = sum(_fits(amounts, asked) for amounts in free.values())
    if room >= growth.pods:
        return []
    each = ", ".join(
        f"{k} {shown(v, k)}" for k, v in sorted(asked.items()) if v and k != "pods"
    )
    return [
        Finding(
            WARNING,
            "nodes",
            f"{len(nodes)} nodes have room for {room} of {growth.pods} more pods"
            f" ({each or 'no requests'} each); the others wait until there are more"
            " nodes.",
        )
    ]


def _allocatable(node: Object) -> Amounts:
    status = node.get("status") or {}
    return _amounts(status.get("allocatable") or {})


def _fits(free: Amounts, asked: Amounts) -> int:
    counts = [
        int(free.get(resource, Decimal(0)) // wanted)
        for resource, wanted in asked.items()
        if wanted > 0
    ]
    return max(0, min(counts, default=0))


def tolerated(node: Object, pod_spec: Object) -> bool:
    """Whether pods may be put onto a node in spite of its taints."""
    taints = node["spec"].get("taints") or []
    return all(
        any(_tolerates(one, taint) for one in pod_spec.get("tolerations") or [])
        for taint in taints
        if taint.get("effect") in ("NoSchedule", "NoExecute")
    )


def _tolerates(toleration: Object, taint: Object) -> bool:
    if toleration.get("effect") not in (None, "", taint.get("effect")):
        return False
    exists = str(toleration.get("operator")) == "Exists"
    if not toleration.get("key"):
        return exists
    if toleration["key"] != taint.get("key"):
        return False
    return exists or str(toleration.get("value") or "") == str(taint.get("value") or "")
