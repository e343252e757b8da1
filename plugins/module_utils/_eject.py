# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way out: the active revision becomes a plain Deployment again.

The reverse of an adoption: its ReplicaSet is given to a Deployment of the manifest's
own name and selector, so that no pod restarts. Each step is read back before the next,
and each begins where a killed run left off. The revision's two labels stay in the pod
template: a ReplicaSet's selector cannot be changed. Private to the collection: it may
change in any release.
"""

from __future__ import annotations

import copy
import dataclasses
import time
import typing as t

from . import _names as names
from ._await import STEP_SECONDS, await_collection, await_object
from ._clock import ServerClock
from ._engine import Engine
from ._errors import BadInput, BluegreenError, Conflict
from ._lock import Lock
from ._model import Observed, Revision, describe
from ._objects import (
    Object,
    annotation_of,
    annotation_pointer,
    controller_of,
    expect,
    is_observed,
)
from ._overlay import NOTHING
from ._preflight import merged_rights, refuse_missing_rights
from ._record import Record
from ._rehome import is_settled
from ._stages import HEALTHY, PROGRESSING, RETIRED
from ._surroundings import RIGHTS_TO_RETARGET
from ._view import View, Want
from ._watches import Collection

_RIGHTS = {
    "services": ("patch", "delete"),
    "configmaps": ("update", "delete"),
    "pods": ("list", "watch"),
    "deployments.apps": ("list", "watch", "create", "patch", "delete"),
    "replicasets.apps": ("list", "watch"),
    "leases.coordination.k8s.io": ("get", "create", "update", "delete"),
}
_RIGHTS_TO_DROP_BUDGETS = {"poddisruptionbudgets.policy": ("list", "delete")}
_MAX_CONFLICTS = 20


class Ejection:
    """One ejection; :meth:`find` tells whether there is, or was, anything to eject."""

    def __init__(self, engine: Engine, lock: Lock, clock: ServerClock) -> None:
        self._engine = engine
        self._cluster = engine.cluster
        self._api = engine.cluster.api
        self._lock = lock
        self._clock = clock
        self._folder = f"/apis/apps/v1/namespaces/{engine.cluster.namespace}"
        self._active: Revision | None = None
        # The Deployment that takes over, if it exists already.
        self._plain: Object | None = None
        self._announced: set[str] = set()

    # -- what there is to eject ----------------------------------------------------

    def find(self) -> bool:
        """Whether there is a rollout, or one was ejected; refuse what cannot be.

        :raises BadInput: the rollout is not at rest, or something stands in the way.
        """
        seen = self._engine.observe()
        listed = self._api.get(f"{self._folder}/deployments")["items"]
        self._plain = next((d for d in listed if self._took_over(d)), None)
        view = View(Want(RETIRED), seen, self._clock.now())
        self._active = view.active
        if not seen.revisions and self._plain is None and not seen.record_exists:
            return False
        self._refuse_release_in_flight(view)
        if self._active is not None:
            if not self._active.changing:
                # Else it is paused, and its controller counts no pod as up to date.
                self._refuse_unsettled(self._deployment_of(self._active))
            self._plain = self._begun(listed)
        if self._lines():
            self._refuse_missing_rights()
        return True

    def _took_over(self, deployment: Object) -> bool:
        """Whether this is the plain Deployment of an ejection of this rollout."""
        template = deployment["spec"]["template"]["metadata"].get("labels") or {}
        own = deployment["metadata"].get("labels") or {}
        return (
            template.get(names.LABEL_ROLLOUT) == self._cluster.rollout
            and names.LABEL_ROLLOUT not in own
        )

    def _refuse_release_in_flight(self, view: View) -> None:
        if view.in_flight_hash is not None:
            which = describe(
                view.seen.revision(view.in_flight_hash), view.in_flight_hash
            )
            raise BadInput(
                f"{which} is in flight; an ejection needs a rollout at rest: promote or"
                " abort first."
            )
        if self._active is None and (self._plain is None or view.seen.revisions):
            raise BadInput(
                f"No revision of {self._cluster.rollout} serves all users, so there is"
                " none to go on with as a plain Deployment; run the deploy playbook"
                " first."
            )

    def _refuse_unsettled(self, deployment: Object) -> None:
        if not is_settled(deployment):
            status = deployment.get("status") or {}
            raise BadInput(
                f"Deployment {deployment['metadata']['name']} is not settled"
                f" ({status.get('availableReplicas', 0)} of"
                f" {deployment['spec']['replicas']} pods available,"
                f" {status.get('updatedReplicas', 0)} up to date); wait until all are,"
                " then run again."
            )

    def _begun(self, listed: t.Sequence[Object]) -> Object | None:
        """The Deployment of the user's name, if an earlier run has created it.

        :raises BadInput: somebody else has.
        """
        for deployment in listed:
            if deployment["metadata"]["name"] != self._name:
                continue
            if not annotation_of(deployment, names.ANNOTATION_EJECTING):
                raise BadInput(
                    f"Deployment {self._name} exists beside the rollout, which is to"
                    " get that name back; delete it if it is not needed, then run"
                    " again."
                )
            return deployment
        return None

    def _refuse_missing_rights(self) -> None:
        more: list[t.Mapping[str, tuple[str, ...]]] = []
        if self._engine.observe().autoscalers:
            more.append(RIGHTS_TO_RETARGET)
        if self._engine.observe().budgets:
            more.append(_RIGHTS_TO_DROP_BUDGETS)
        overlaid = self._overlaid()
        if overlaid is not None:
            from ._asked_overlay import rights_to_lay

            more += rights_to_lay(overlaid.overlay.marks)
        refuse_missing_rights(
            self._cluster, "an ejection", merged_rights(_RIGHTS, *more)
        )

    @property
    def _name(self) -> str:
        """The name of the user's own Deployment."""
        if self._active is None:
            plain = t.cast(Object, self._plain)
            return str(plain["metadata"]["name"])
        ours = self._deployment_of(self._active)
        return annotation_of(ours, names.ANNOTATION_DEFINITION) or self._cluster.rollout

    def _deployment_of(self, revision: Revision) -> Object:
        return self._cluster.deployments.items[revision.deployment]

    # -- the steps -----------------------------------------------------------------

    def _steps(self) -> tuple[tuple[t.Callable[[], str], t.Callable[[], None]], ...]:
        """What is to be done as a line, empty if it is done; and how."""
        return (
            (self._preview_line, self._leave_preview),
            (self._proof_line, self._cluster.close_proof),
            (self._others_line, self._drop_others),
            (self._budgets_line, self._drop_budgets),
            (self._overlay_line, self._take_overlay),
            (self._takeover_line, self._take_over),
            (self._services_line, self._give_back_services),
            (self._end_line, self._end),
        )

    def _lines(self) -> list[str]:
        return [line for pending, _act in self._steps() if (line := pending())]

    def plan(self) -> None:
        """Say what :meth:`run` would do."""
        for line in self._lines():
            self._say(line)

    def run(self) -> Observed:
        """Eject, from wherever an earlier run stopped.

        :returns: what is left of the rollout.
        :raises BluegreenError: a step was not seen to have happened.
        """
        name = self._name
        for _try in range(_MAX_CONFLICTS):
            try:
                self._take_steps()
                break
            except Conflict:
                # Somebody else changed what a step is about: it is looked at anew.
                self._cluster.reload()
                self.find()
        else:
            raise BluegreenError(
                f"{self._cluster.rollout}: somebody else keeps changing its objects;"
                " find out who, then run again."
            )
        return Observed(
            record=Record(
                phase=HEALTHY,
                message=f"it is no rollout any more: Deployment {name} runs its pods",
            )
        )

    def _take_steps(self) -> None:
        for pending, act in self._steps():
            line = pending()
            if not line:
                continue
            self._engine.take_lock()
            if line not in self._announced:
                self._announced.add(line)
                self._say(line)
                self._note(line)
            act()

    def _say(self, line: str) -> None:
        self._engine.act_on_own(line)

    def _note(self, line: str) -> None:
        seen = self._engine.observe()
        if seen.record_exists and self._cluster.records.items:
            message = "it becomes a plain Deployment again"
            record = dataclasses.replace(
                seen.record, phase=PROGRESSING, message=message
            )
            self._engine.note(record.noted(self._clock.now(), line))

    # -- what only a rollout has ---------------------------------------------------

    def _preview_away(self) -> list[str]:
        if self._active is None:
            return []
        return [
            s.name
            for s in self._cluster.observe().with_role(names.ROLE_PREVIEW)
            if s.exists and s.target not in (None, self._active.hash)
        ]

    def _preview_line(self) -> str:
        away = ", ".join(self._preview_away())
        return f"direct Service {away} to {describe(self._active)}" if away else ""

    def _leave_preview(self) -> None:
        for name in self._preview_away():
            self._cluster.point(name, t.cast(Revision, self._active).hash)

    def _proof_line(self) -> str:
        proofs = self._cluster.observe().with_role(names.ROLE_PROOF)
        ours = any(not s.kept for s in proofs)
        return "remove the proof Service" if ours else ""

    def _others(self) -> list[Revision]:
        if self._active is None:
            return []
        revisions = self._cluster.observe().revisions
        return [r for r in revisions if r.hash != self._active.hash]

    def _others_line(self) -> str:
        listed = ", ".join(describe(r) for r in self._others())
        return f"delete {listed}" if listed else ""

    def _drop_others(self) -> None:
        for revision in self._others():
            if revision.replicas:
                self._cluster.scale(revision, 0)
            self._cluster.delete_revision(revision)

    def _budgets_line(self) -> str:
        budgets = self._cluster.observe().budgets
        return "remove the PodDisruptionBudgets of the rollout" if budgets else ""

    def _drop_budgets(self) -> None:
        for revision_hash in self._cluster.observe().budgets:
            self._cluster.remove_budget(revision_hash)

    # -- the pods ------------------------------------------------------------------

    def _overlaid(self) -> Revision | None:
        """The active revision as it is now, if its template is not the manifest's."""
        if self._active is None:
            return None
        now = self._cluster.observe().revision(self._active.hash)
        plain = now is None or (now.overlay == NOTHING and not now.changing)
        return None if plain else now

    def _overlay_line(self) -> str:
        overlaid = self._overlaid()
        if overlaid is None:
            return ""
        return f"take the metadata of an active revision from {describe(overlaid)}"

    def _take_overlay(self) -> None:
        overlaid = self._overlaid()
        if overlaid is not None:
            self._cluster.change_template(overlaid, NOTHING)

    def _takeover_line(self) -> str:
        if self._active is not None:
            count = self._active.replicas
            return (
                f"give the {count} pods of {describe(self._active)} to Deployment"
                f" {self._name}, without restarting them"
            )
        if annotation_of(t.cast(Object, self._plain), names.ANNOTATION_EJECTING):
            return f"give the pods of the rollout to Deployment {self._name}"
        return ""

    def _take_over(self) -> None:
        if self._active is not None:
            ours = self._deployment_of(self._active)
            self._plain = self._prepare(ours)
            self._retarget(self._plain["metadata"]["name"])
            self._bring_to_size(self._plain, ours["spec"]["replicas"])
            path = f"{self._folder}/deployments/{ours['metadata']['name']}"
            self._api.delete(path, ours["metadata"]["uid"], propagation="Orphan")
            self._cluster.deployments.drop(ours)
            self._active = None
        self._finish(t.cast(Object, self._plain))

    def _prepare(self, ours: Object) -> Object:
        """The plain Deployment, paused: it makes no ReplicaSet, and takes over the one
        that the revision's Deployment will let go.
        """
        wanted = _plain_body(ours, self._name)
        plain = self._plain
        if plain is not None and plain["spec"]["template"] != ours["spec"]["template"]:
            # Of an earlier try, before another release.
            path = f"{self._folder}/deployments/{plain['metadata']['name']}"
            self._api.delete(path, plain["metadata"]["uid"])
            plain = None
        if plain is None:
            plain = self._api.create(f"{self._folder}/deployments", wanted)
        return self._await_deployment(plain, is_observed, "be seen to be paused")

    def _retarget(self, name: str) -> None:
        """Before the size is compared: then nobody but the autoscaler changes it, and
        where it does so it means the pods that are taken over.
        """
        for autoscaler in self._cluster.observe().autoscalers:
            if autoscaler.target != name:
                self._cluster.retarget(autoscaler.name, name)

    def _bring_to_size(self, plain: Object, size: int) -> None:
        found = plain["spec"]["replicas"]
        if found >= size:
            return
        path = f"{self._folder}/deployments/{plain['metadata']['name']}"
        operations: list[Object] = [
            expect("/spec/replicas", found),
            {"op": "replace", "path": "/spec/replicas", "value": size},
        ]
        self._plain = self._api.patch(path, operations)

    def _finish(self, plain: Object) -> None:
        """The plain Deployment has the ReplicaSet; it goes on as any other does."""
        uid, name = plain["metadata"]["uid"], plain["metadata"]["name"]
        revision_hash = plain["spec"]["template"]["metadata"]["labels"][
            names.LABEL_HASH
        ]
        label = f"{names.LABEL_ROLLOUT}={self._cluster.rollout}"
        label = f"{label},{names.LABEL_HASH}={revision_hash}"
        replica_sets = Collection(
            f"{self._folder}/replicasets", {"labelSelector": label}
        )

        def all_taken() -> bool | None:
            owners = [controller_of(r) for r in replica_sets.items.values()]
            return True if owners and set(owners) == {uid} else None

        await_collection(
            self._api,
            replica_sets,
            all_taken,
            f"the ReplicaSets of revision {revision_hash} to be taken over by"
            f" Deployment {name}",
        )
        if plain["spec"].get("paused"):
            path = f"{self._folder}/deployments/{name}"
            operations: list[Object] = [
                expect("/metadata/uid", uid),
                {"op": "replace", "path": "/spec/paused", "value": False},
            ]
            plain = self._api.patch(path, operations)
        self._plain = self._await_deployment(plain, is_settled, "settle")

    def _await_deployment(
        self, item: Object, until: t.Callable[[Object], bool], what: str
    ) -> Object:
        name, generation = item["metadata"]["name"], item["metadata"]["generation"]
        return await_object(
            self._api,
            f"{self._folder}/deployments",
            name,
            lambda found: (
                found["metadata"]["generation"] >= generation and until(found)
            ),
            f"Deployment {name} to {what}",
        )

    # -- the Services, and the end -------------------------------------------------

    def _services_line(self) -> str:
        listed = ", ".join(self._cluster.directed_services())
        return f"give Service {listed} their own selectors back" if listed else ""

    def _give_back_services(self) -> None:
        self._await_others_gone()
        before = self._cluster.observe().ready_behind(names.ROLE_ACTIVE)
        for service in self._cluster.directed_services():
            self._cluster.give_back(service)
        deadline = time.monotonic() + STEP_SECONDS
        while self._cluster.observe().ready_behind(names.ROLE_ACTIVE) < before:
            left = deadline - time.monotonic()
            if left <= 0:
                raise BluegreenError(
                    f"The Services of {self._cluster.rollout} have their own selectors"
                    f" again, and fewer than {before} ready endpoints; look at their"
                    " pods, then run again."
                )
            self._cluster.wait(left)

    def _await_others_gone(self) -> None:
        """A Service's own selector takes in the pods of every revision."""
        plain = t.cast(Object, self._plain)
        kept = plain["spec"]["template"]["metadata"]["labels"][names.LABEL_HASH]
        label = f"{names.LABEL_ROLLOUT}={self._cluster.rollout}"
        pods = Collection(
            f"/api/v1/namespaces/{self._cluster.namespace}/pods",
            {"labelSelector": f"{label},{names.LABEL_HASH}!={kept}"},
        )
        await_collection(
            self._api,
            pods,
            lambda: None if pods.items else True,
            "the pods of the other revisions to end",
        )

    def _end_line(self) -> str:
        marked = self._plain is not None and annotation_of(
            self._plain, names.ANNOTATION_EJECTING
        )
        left = bool(self._cluster.records.items) or self._lock.exists()
        return (
            "remove the record and the lock" if self._active or marked or left else ""
        )

    def _end(self) -> None:
        plain = t.cast(Object, self._plain)
        if annotation_of(plain, names.ANNOTATION_EJECTING):
            pointer = annotation_pointer(names.ANNOTATION_EJECTING)
            operations: list[Object] = [
                expect("/metadata/uid", plain["metadata"]["uid"]),
                {"op": "remove", "path": pointer},
            ]
            path = f"{self._folder}/deployments/{plain['metadata']['name']}"
            self._plain = self._api.patch(path, operations)
        self._cluster.remove_record()
        self._lock.remove()


def _plain_body(ours: Object, name: str) -> Object:
    """The user's own Deployment with the pod template as it runs."""
    metadata = ours["metadata"]
    spec = copy.deepcopy(ours["spec"])
    spec["selector"].get("matchLabels", {}).pop(names.LABEL_HASH, None)
    spec["paused"] = True
    labels = metadata.get("labels") or {}
    annotations = metadata.get("annotations") or {}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "namespace": metadata["namespace"],
            "labels": {k: v for k, v in labels.items() if not _is_ours(k)},
            "annotations": {
                **{k: v for k, v in annotations.items() if not _is_ours(k)},
                names.ANNOTATION_EJECTING: labels[names.LABEL_HASH],
            },
        },
        "spec": spec,
    }


def _is_ours(key: str) -> bool:
    # The controller's own count of revisions begins anew, too.
    return key.startswith((f"{names.PREFIX}/", "deployment.kubernetes.io/"))
