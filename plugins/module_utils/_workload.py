# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Deployment that the user keeps as the template that revisions are made from.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import copy
import json

from . import _names as names
from ._errors import BadInput, shown
from ._manifests import is_name, is_text, parse, refuse_unknown
from ._model import Workload
from ._objects import Object, annotation_of, controller_of, expect
from ._parameters import canonical

NEVER = "never"
ON_SUCCESS = "on_success"

# `<planned>/<written>`: the size that it had, and the one that we gave it. Another one
# than that was given by its owner.
ANNOTATION_REPLICAS = f"{names.PREFIX}/replicas"
_SERVER_SIDE = ("deployment.kubernetes.io/", f"{names.PREFIX}/")
_RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"


def parse_workload_ref(value: object, variable: str) -> str:
    """The reference as canonical JSON text; empty if there is none.

    :raises BadInput: one sentence about the first thing that is wrong.
    """
    if value in (None, "", {}):
        return ""
    if isinstance(value, str) and not is_text(value):
        value = {"name": value}
    given = parse(value, variable)
    refuse_unknown(given, ("name", "scale_down"), variable)
    name, how = given.get("name"), given.get("scale_down", NEVER)
    if not isinstance(name, str) or not is_name(name):
        raise BadInput(
            f"{variable}: name is {shown(name)}; give the name of a Deployment in the"
            " namespace."
        )
    if how == "progressively":
        raise BadInput(
            f"{variable}: scale_down: progressively would end pods that the active"
            " Service still selects; give on_success, which ends them once their users"
            " have moved."
        )
    if how not in (NEVER, ON_SUCCESS):
        raise BadInput(f"{variable}: scale_down is {how!r}; give never or on_success.")
    return canonical({"name": name, "scale_down": how})


def name_of(reference: str) -> str:
    """The name of the Deployment that is referred to; empty if none is."""
    return str(json.loads(reference)["name"]) if reference else ""


def refusal_of(workload: Object, rollout: str, variable: str) -> str:
    """Why no revision can be made from a Deployment, as a sentence; else empty."""
    name = workload["metadata"]["name"]
    labels = workload["metadata"].get("labels") or {}
    owner = labels.get(names.LABEL_ROLLOUT)
    if owner is not None:
        return (
            f"{variable}: Deployment {name} is a revision of the rollout {owner}; name"
            " the Deployment that you keep as its template."
        )
    if controller_of(workload):
        return (
            f"{variable}: Deployment {name} belongs to another object, which decides"
            f" what it is; name one of your own for {rollout}."
        )
    if workload["spec"].get("paused"):
        return (
            f"{variable}: Deployment {name} is paused, so its template may be half"
            f" edited; resume it (kubectl rollout resume deployment {name}), then run"
            " again."
        )
    return ""


def definition_of(workload: Object) -> Object:
    """The manifest that revisions are made from: the template, and the planned size."""
    spec, metadata = workload["spec"], workload["metadata"]
    kept = ("selector", "template", "minReadySeconds", "progressDeadlineSeconds")
    template = copy.deepcopy(spec["template"])
    own = template["metadata"]
    own.pop("creationTimestamp", None)
    annotations = own.get("annotations") or {}
    # A restart of its pods is no new version of them.
    annotations.pop(_RESTARTED_AT, None)
    if not annotations:
        own.pop("annotations", None)
    body: Object = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": metadata["name"],
            "labels": dict(metadata.get("labels") or {}),
            "annotations": {
                k: v
                for k, v in (metadata.get("annotations") or {}).items()
                if not k.startswith(_SERVER_SIDE)
            },
        },
        "spec": {k: copy.deepcopy(spec[k]) for k in kept if k in spec},
    }
    body["spec"]["template"] = template
    planned = planned_size(workload)
    if planned:
        body["spec"]["replicas"] = planned
    return body


def planned_size(workload: Object) -> int:
    """How many pods it is to have: what it has, unless we have scaled it."""
    size = int(workload["spec"].get("replicas", 1))
    planned, _slash, written = annotation_of(workload, ANNOTATION_REPLICAS).partition(
        "/"
    )
    return int(planned) if planned.isdigit() and written == str(size) else size


def seen(workload: Object, reference: str) -> Workload:
    """What the state machine needs to know of it."""
    return Workload(
        name=workload["metadata"]["name"],
        replicas=workload["spec"].get("replicas", 1),
        ends_on_success=json.loads(reference).get("scale_down") == ON_SUCCESS,
    )


def resize(workload: Object, replicas: int) -> list[Object]:
    """The JSON Patch that sets its size, if it still is what was seen."""
    annotations = workload["metadata"].get("annotations") or {}
    mark = f"{planned_size(workload)}/{replicas}"
    return [
        expect("/metadata/uid", workload["metadata"]["uid"]),
        expect("/spec/replicas", workload["spec"].get("replicas", 1)),
        {"op": "replace", "path": "/spec/replicas", "value": replicas},
        {
            "op": "add",
            "path": "/metadata/annotations",
            "value": {**annotations, ANNOTATION_REPLICAS: mark},
        },
    ]
