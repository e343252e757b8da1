# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What released an application before: an Argo Rollout, or a pair of Deployments.

Pure: reads raw objects, and refuses in one sentence what cannot be taken over. Private
to the collection: it may change in any release.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import typing as t
from dataclasses import dataclass

from . import _names as names
from ._errors import BadInput
from ._manifests import Deployment, original_selector, parse
from ._objects import Object, annotation_of, labels_of
from ._rehome import POD_TEMPLATE_HASH, bare_template, is_settled

ROLLOUT = "Rollout"
DEPLOYMENT = "Deployment"
# Of Argo Rollouts: the label by which its Services select, and the annotation that
# tells which Rollout directs one.
ARGO_KEY = "rollouts-pod-template-hash"
ARGO_MANAGED_BY = "argo-rollouts.argoproj.io/managed-by-rollouts"
ARGO_GROUP = "argoproj.io/v1alpha1"

_SETTLED = ("Healthy", "Paused")
_FORMS = "{rollout: NAME}, or {blue: NAME, green: NAME}"
# What other controllers and kubectl note for themselves.
_NOTES = (
    "deployment.kubernetes.io/",
    "kubectl.kubernetes.io/last-applied-configuration",
    "rollout.argoproj.io/",
)
_KEPT_OF_ROLLOUT = (
    *("replicas", "selector", "minReadySeconds"),
    *("progressDeadlineSeconds", "revisionHistoryLimit"),
)


@dataclass(frozen=True)
class Asked:
    """What is to be taken over: a Rollout, or else two Deployments."""

    rollout: str = ""
    pair: tuple[str, ...] = ()


def parse_take_over(value: object, name: str) -> Asked:
    """The option ``take_over``; without it, the Rollout of the rollout's own name.

    :raises BadInput: it is neither form.
    """
    if value is None or value == "":
        return Asked(rollout=name)
    given = parse(value, "take_over") if isinstance(value, str) else value
    if not isinstance(given, dict):
        raise BadInput(f"take_over: {given!r} was found; give {_FORMS}.")
    unknown = sorted(str(k) for k in set(given) - {"rollout", "blue", "green"})
    if unknown:
        raise BadInput(f"take_over: {unknown[0]} is not known; give {_FORMS}.")
    for key, found in given.items():
        if not isinstance(found, str) or not found:
            raise BadInput(
                f"take_over: {key} is {found!r}; give the name of an object in the"
                " namespace."
            )
    if set(given) == {"rollout"}:
        return Asked(rollout=given["rollout"])
    if set(given) != {"blue", "green"} or given["blue"] == given["green"]:
        found = ", ".join(f"{k}: {v}" for k, v in sorted(given.items())) or "nothing"
        raise BadInput(f"take_over: {found} was found; give {_FORMS}.")
    return Asked(pair=(given["blue"], given["green"]))


@dataclass(frozen=True)
class Predecessor:
    """What owned the pods before, as a take-over that has begun keeps it."""

    kind: str
    name: str
    uid: str
    # Of the ReplicaSet that runs the pods.
    replica_set: str
    replica_set_uid: str
    # What Services selected its pods by: these keys they lose.
    keys: tuple[str, ...]

    def to_json(self) -> str:
        """The value of the annotation."""
        values = dataclasses.asdict(self)
        return json.dumps(values, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Predecessor | None:
        """Read the annotation back; none if it was edited beyond use."""
        try:
            values = json.loads(text)
            values["keys"] = tuple(map(str, values["keys"]))
            found = cls(**values)
        except (ValueError, TypeError, KeyError):
            return None
        return found if found.kind in (ROLLOUT, DEPLOYMENT) else None

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def _section(parent: Object, key: str) -> Object:
    found = parent.get(key)
    return found if isinstance(found, dict) else {}


def blue_green_of(rollout: Object) -> Object:
    """The strategy of a blue-green Rollout; empty: it has another one."""
    return _section(_section(rollout["spec"], "strategy"), "blueGreen")


def services_of(rollout: Object) -> tuple[str, str]:
    """The names of a Rollout's active and preview Service; empty: it has none."""
    strategy = blue_green_of(rollout)
    return (
        str(strategy.get("activeService") or ""),
        str(strategy.get("previewService") or ""),
    )


def stable_hash(rollout: Object) -> str:
    """The hash that Argo Rollouts gave to the revision that serves all users."""
    return str(_section(rollout, "status").get("stableRS") or "")


def has_unseen_change(rollout: Object) -> bool:
    """Whether its controller has not seen the present spec."""
    observed = _section(rollout, "status").get("observedGeneration")
    return str(observed) != str(rollout["metadata"].get("generation"))


def refuse_rollout(rollout: Object) -> None:
    """Refuse a Rollout that is not blue-green, or not at rest.

    :raises BadInput: one sentence.
    """
    name = rollout["metadata"]["name"]
    if not services_of(rollout)[0]:
        kind = ", ".join(_section(rollout["spec"], "strategy")) or "none"
        raise BadInput(
            f"take_over: Rollout {name} has the strategy {kind} and no"
            " blueGreen.activeService; only a blue-green Rollout with an active Service"
            " is taken over."
        )
    if "deletionTimestamp" in rollout["metadata"]:
        raise BadInput(
            f"take_over: Rollout {name} is being deleted by somebody else, and its pods"
            " with it; keep or create it, then run again."
        )
    status = _section(rollout, "status")
    stable, current = stable_hash(rollout), status.get("currentPodHash")
    if not stable or current != stable:
        raise BadInput(
            f"take_over: an update of Rollout {name} is in flight (stable is"
            f" {stable or 'none'}, current {current or 'none'}); promote it or undo it"
            " in Argo Rollouts first."
        )
    if status.get("phase") not in _SETTLED:
        raise BadInput(
            f"take_over: Rollout {name} is {status.get('phase') or 'without a phase'},"
            f" {' or '.join(_SETTLED)} is expected; have Argo Rollouts bring it to rest"
            " first."
        )
    served = _section(status, "blueGreen").get("activeSelector")
    if served != stable:
        raise BadInput(
            f"take_over: the active Service of Rollout {name} selects"
            f" {served or 'none'}, its stable revision is {stable}; have Argo Rollouts"
            " bring it to rest first."
        )


def refuse_unsettled(deployment: Object) -> None:
    """Refuse a Deployment that rolls out, is paused, or goes.

    :raises BadInput: one sentence.
    """
    name = deployment["metadata"]["name"]
    if "deletionTimestamp" in deployment["metadata"]:
        raise BadInput(
            f"take_over: Deployment {name} is being deleted by somebody else, and its"
            " pods with it; wait until it is gone."
        )
    if deployment["spec"].get("paused"):
        raise BadInput(
            f"take_over: Deployment {name} is paused; resume it (kubectl rollout resume"
            f" deployment {name}), then run again."
        )
    if not is_settled(deployment):
        status = _section(deployment, "status")
        raise BadInput(
            f"take_over: Deployment {name} is not settled"
            f" ({status.get('availableReplicas', 0)} of"
            f" {deployment['spec']['replicas']} pods available,"
            f" {status.get('updatedReplicas', 0)} up to date); wait until its own"
            " rollout has ended, then run again."
        )


def refuse_unready(replica_set: Object) -> None:
    """Refuse a ReplicaSet without pods, or some of whose pods are not available.

    :raises BadInput: one sentence.
    """
    wanted = replica_set["spec"].get("replicas", 1)
    available = _section(replica_set, "status").get("availableReplicas", 0)
    if not wanted or available != wanted:
        raise BadInput(
            f"take_over: ReplicaSet {replica_set['metadata']['name']} has"
            f" {available} of {wanted} pods available; all of at least one are needed,"
            " so that its users miss none."
        )


def pod_labels(workload: Object) -> dict[str, str]:
    """The labels of the pods that a Deployment or ReplicaSet makes."""
    return dict(workload["spec"]["template"]["metadata"].get("labels") or {})


def differing_labels(blue: Object, green: Object) -> tuple[str, ...]:
    """The labels by which pods of two Deployments are told apart."""
    one, other = pod_labels(blue), pod_labels(green)
    ours = (names.LABEL_ROLLOUT, names.LABEL_HASH)
    keys = {k for k in {*one, *other} if one.get(k) != other.get(k)}
    return tuple(sorted(keys.difference(ours)))


def active_of(pair: t.Sequence[Object], services: t.Sequence[Object]) -> Object:
    """The one of two Deployments that every active Service selects, and it alone.

    :raises BadInput: there is no such one.
    """
    for service in services:
        name = service["metadata"]["name"]
        selector = service["spec"].get("selector") or {}
        chosen = [
            d for d in pair if selector and selector.items() <= pod_labels(d).items()
        ]
        if len(chosen) == 1:
            pair = chosen
            continue
        both = " and ".join(d["metadata"]["name"] for d in pair)
        found = "the pods of each" if len(chosen) > 1 else "no pod"
        raise BadInput(
            f"active_service: Service {name} selects {found} of Deployment {both}; it"
            " has to select those of one, as every other active Service does."
        )
    return pair[0]


def own_selector(service: Object, keys: t.Collection[str]) -> dict[str, str]:
    """What is left of a Service's selector without what only its predecessor used."""
    return {k: v for k, v in original_selector(service).items() if k not in keys}


def refuse_service(
    service: Object,
    variable: str,
    rollout: str,
    before: Predecessor,
    later_labels: t.Mapping[str, str],
) -> None:
    """Refuse a Service that is somebody else's, or would not reach later revisions.

    :param later_labels: those of the pods that later releases make.
    :raises BadInput: one sentence.
    """
    name = service["metadata"]["name"]
    owner = annotation_of(service, names.ANNOTATION_ROLLOUT)
    if owner not in ("", rollout):
        raise BadInput(
            f"{variable}: Service {name} belongs to the rollout {owner}; give this"
            " rollout a Service of its own."
        )
    manager = annotation_of(service, ARGO_MANAGED_BY)
    if manager and (before.kind, before.name) != (ROLLOUT, manager):
        raise BadInput(
            f"{variable}: Service {name} is directed by the Argo Rollout {manager},"
            f" {before} is to be taken over; give its own Service."
        )
    left = own_selector(service, before.keys)
    if not left:
        raise BadInput(
            f"{variable}: Service {name} selects by"
            f" {', '.join(before.keys)} alone, which later revisions do not have; add a"
            " label that all pods of the application carry to its selector."
        )
    for key, value in left.items():
        if later_labels.get(key) != value:
            raise BadInput(
                f"{variable}: Service {name} selects {key}={value}, the pods of the"
                f" definition have {key}={later_labels.get(key)}, so it would never"
                " reach them; make them agree."
            )


def refuse_undirected(service: Object, replica_set: Object) -> None:
    """Refuse an active Service that does not select the pods to be taken over.

    :raises BadInput: one sentence.
    """
    selector = service["spec"].get("selector") or {}
    if selector.items() <= pod_labels(replica_set).items():
        return
    wanted = ", ".join(f"{k}={v}" for k, v in sorted(selector.items()))
    raise BadInput(
        f"active_service: Service {service['metadata']['name']} selects {wanted}, which"
        f" are not the pods of ReplicaSet {replica_set['metadata']['name']}; direct it"
        " to the revision that is to be taken over."
    )


def template_as_run(replica_set: Object, keys: t.Iterable[str] = ()) -> Object:
    """The pod template of a ReplicaSet without what controllers add to it.

    :param keys: more labels that do not count.
    """
    return bare_template(
        replica_set["spec"]["template"], (POD_TEMPLATE_HASH, ARGO_KEY, *keys)
    )


def manifest_of(owner: Object, replica_set: Object) -> Object:
    """What runs, as the manifest of a Deployment: the template as its user gave it,
    or that of the ReplicaSet where the Rollout refers to one.
    """
    metadata, spec = owner["metadata"], owner["spec"]
    given = spec if owner["kind"] == DEPLOYMENT else _of_rollout(spec)
    template = spec.get("template") or {}
    if not _section(template, "spec").get("containers"):
        template = template_as_run(replica_set)
    return {
        "apiVersion": "apps/v1",
        "kind": DEPLOYMENT,
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "labels": labels_of(owner),
            "annotations": {
                key: value
                for key, value in (metadata.get("annotations") or {}).items()
                if not key.startswith(_NOTES)
            },
        },
        "spec": copy.deepcopy(
            {
                **given,
                "selector": selector_as_run(replica_set),
                "template": template,
            }
        ),
    }


def _of_rollout(spec: Object) -> Object:
    return {k: spec[k] for k in _KEPT_OF_ROLLOUT if spec.get(k) is not None}


def selector_as_run(replica_set: Object) -> Object:
    """A ReplicaSet's selector without what controllers and earlier releases add."""
    selector = copy.deepcopy(replica_set["spec"]["selector"])
    labels = selector.get("matchLabels") or {}
    for key in (POD_TEMPLATE_HASH, ARGO_KEY, names.LABEL_HASH):
        labels.pop(key, None)
    return t.cast(Object, selector)


def as_it_runs(deployment: Deployment, replica_set: Object) -> Deployment:
    """A manifest with the selector that its running ReplicaSet has."""
    body = copy.deepcopy(deployment.body)
    body["spec"]["selector"] = selector_as_run(replica_set)
    return Deployment(deployment.name, body)
