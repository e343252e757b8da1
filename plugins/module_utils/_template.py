# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Another pod template for a revision whose pods stay: nothing is rolled out.

The Deployment is paused while the templates of its ReplicaSets and its own change, and
goes on once its controller was seen to take them for the same. Each step is read back
before the next, and a run that begins again finds what is done. Private to the
collection: it may change in any release.
"""

from __future__ import annotations

import typing as t

from . import _names as names
from ._api import Api
from ._await import await_object
from ._errors import BluegreenError, Conflict, NotFound
from ._objects import (
    Object,
    annotation_pointer,
    controller_of,
    escaped,
    expect,
    is_observed,
)
from ._overlay import Kept, Overlay, marks_of_pod

# Somebody may label the same pods meanwhile.
_MOST_ROUNDS = 10

Marks = t.Mapping[str, t.Mapping[str, "str | None"]]


def mark_pod(api: Api, pod: Object, marks: Marks) -> None:
    """Set labels and annotations of a live pod, or take them from it; one that is gone
    or has changed since it was read is left alone.

    :param marks: values by kind and key; none: the key goes. Only keys that it has may
        go.
    """
    metadata = pod["metadata"]
    operations: list[Object] = [expect("/metadata/uid", metadata["uid"])]
    for kind, wanted in marks.items():
        if metadata.get(kind) is None:
            operations.append({"op": "add", "path": f"/metadata/{kind}", "value": {}})
        for key, value in wanted.items():
            path = f"/metadata/{kind}/{escaped(key)}"
            operations.append(
                {"op": "remove", "path": path}
                if value is None
                else {"op": "add", "path": path, "value": value}
            )
    path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
    try:
        api.patch(path, operations)
    except (NotFound, Conflict):
        return


class TemplateChange:
    """Lays another overlay over the pod template of one Deployment.

    :param patch: patches the Deployment under its uid and returns it.
    :param pods: lists its pods.
    """

    def __init__(
        self,
        api: Api,
        deployment: Object,
        patch: t.Callable[[list[Object]], Object],
        pods: t.Callable[[], list[Object]],
    ) -> None:
        self._api = api
        self._deployment = deployment
        self._patch = patch
        self._pods = pods
        metadata = deployment["metadata"]
        self._name: str = metadata["name"]
        self._rollout: str = metadata["labels"][names.LABEL_ROLLOUT]
        self._hash: str = metadata["labels"][names.LABEL_HASH]
        self._folder = f"/apis/apps/v1/namespaces/{metadata['namespace']}"

    def run(self, overlay: Overlay) -> None:
        """Change to an overlay, from wherever an earlier run stopped.

        :raises BluegreenError: a step was not seen to have happened.
        :raises Conflict: somebody else changed what was read.
        """
        before = Kept.of(self._deployment)
        kept = before.begun(self._deployment["spec"]["template"], overlay)
        self._pause(before, kept)
        for replica_set in self._replica_sets():
            self._change_replica_set(replica_set, kept)
        if any(kept.wanted(kind) for kind in ("labels", "annotations")):
            self._mark_pods(kept)
        self._change_deployment(kept)
        self._resume(kept)

    def _pause(self, before: Kept, kept: Kept) -> None:
        """What the template has of its own is remembered in the write that pauses."""
        if before != kept or not self._deployment["spec"].get("paused"):
            self._deployment = self._patch(
                [
                    self._expect_template(),
                    {"op": "add", "path": "/spec/paused", "value": True},
                    self._remember(kept),
                ]
            )
        self._deployment = self._await_deployment(is_observed, "be seen to be paused")

    def _remember(self, kept: Kept) -> Object:
        path = annotation_pointer(names.ANNOTATION_OVERLAY)
        return {"op": "add", "path": path, "value": kept.to_text()}

    def _expect_template(self) -> Object:
        return expect("/spec/template", self._deployment["spec"]["template"])

    def _replica_sets(self) -> list[Object]:
        label = f"{names.LABEL_ROLLOUT}={self._rollout},{names.LABEL_HASH}={self._hash}"
        listed = self._api.get(f"{self._folder}/replicasets", {"labelSelector": label})
        uid = self._deployment["metadata"]["uid"]
        return [item for item in listed["items"] if controller_of(item) == uid]

    def _change_replica_set(self, replica_set: Object, kept: Kept) -> None:
        name, before = replica_set["metadata"]["name"], replica_set["spec"]["template"]
        wanted = kept.laid(before, self._rollout)
        if wanted != before:
            self._api.patch(
                f"{self._folder}/replicasets/{name}",
                [
                    expect("/metadata/uid", replica_set["metadata"]["uid"]),
                    expect("/spec/template", before),
                    {"op": "replace", "path": "/spec/template", "value": wanted},
                ],
            )
        # From then on its controller makes no pod of the template before.
        await_object(
            self._api,
            f"{self._folder}/replicasets",
            name,
            is_observed,
            f"the changed ReplicaSet {name} to be seen",
        )

    def _mark_pods(self, kept: Kept) -> None:
        for _round in range(_MOST_ROUNDS):
            unlike = [
                (pod, marks)
                for pod in self._pods()
                if "deletionTimestamp" not in pod["metadata"]
                and (marks := marks_of_pod(pod, kept))
            ]
            if not unlike:
                return
            for pod, marks in unlike:
                mark_pod(self._api, pod, marks)
        raise BluegreenError(
            f"Somebody else keeps changing labels or annotations of the pods of"
            f" {self._name}; find out who, then run again."
        )

    def _change_deployment(self, kept: Kept) -> None:
        template = self._deployment["spec"]["template"]
        wanted = kept.laid(template, self._rollout)
        if wanted != template:
            self._deployment = self._patch(
                [
                    self._expect_template(),
                    {"op": "replace", "path": "/spec/template", "value": wanted},
                ]
            )
        self._deployment = self._await_deployment(
            _runs_its_template, "take its ReplicaSet for the changed one"
        )

    def _resume(self, kept: Kept) -> None:
        self._patch(
            [
                self._expect_template(),
                {"op": "add", "path": "/spec/paused", "value": False},
                self._remember(kept.ended()),
            ]
        )

    def _await_deployment(self, until: t.Callable[[Object], bool], what: str) -> Object:
        generation = self._deployment["metadata"]["generation"]
        return await_object(
            self._api,
            f"{self._folder}/deployments",
            self._name,
            lambda found: (
                found["metadata"]["generation"] >= generation and until(found)
            ),
            f"Deployment {self._name} to {what}",
        )


def _runs_its_template(deployment: Object) -> bool:
    """Whether its controller takes pods for up to date: while it is paused it makes no
    others, so resumed now it would not replace any.
    """
    status = deployment.get("status") or {}
    up_to_date = status.get("updatedReplicas", 0)
    return is_observed(deployment) and (
        up_to_date > 0 or status.get("replicas", 0) == 0
    )
