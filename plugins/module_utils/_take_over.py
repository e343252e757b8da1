# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Take-over: what an Argo Rollout or a Deployment of a pair runs becomes revision 1.

The ReplicaSet that serves users is given to a Deployment of ours. That is created
first, paused, and says what has begun; then the owner of before is deleted without its
pods; only then are they labelled and taken: so no controller ever sees a template that
it would act on, and a ReplicaSet never has two. Each step is read back before the next,
and each begins where a killed run left off. Private to the collection: it may change in
any release.
"""

from __future__ import annotations

import dataclasses
import time
import typing as t
from dataclasses import dataclass

from . import _names as names
from ._api import forbidden
from ._await import await_collection
from ._clock import ServerClock
from ._cluster import selects
from ._engine import Engine
from ._errors import ApiError, BadInput, BluegreenError, Conflict
from ._lock import Lock
from ._manifests import Deployment, deployment_body, hash_of, parse_services
from ._model import Observed
from ._objects import (
    Object,
    annotation_of,
    annotation_pointer,
    controller_of,
    expect,
    is_observed,
    labels_of,
)
from ._parameters import Parameters
from ._predecessor import (
    ARGO_GROUP,
    ARGO_KEY,
    ARGO_MANAGED_BY,
    DEPLOYMENT,
    ROLLOUT,
    Asked,
    Predecessor,
    active_of,
    as_it_runs,
    differing_labels,
    has_unseen_change,
    manifest_of,
    own_selector,
    pod_labels,
    refuse_rollout,
    refuse_service,
    refuse_undirected,
    refuse_unready,
    refuse_unsettled,
    services_of,
    stable_hash,
    template_as_run,
)
from ._preflight import merged_rights, refusal_of_manager, refuse_missing_rights
from ._record import record_of_adopted
from ._rehome import (
    Rehoming,
    bare_template,
    blames_definition,
)
from ._stages import PROGRESSING
from ._surroundings import RIGHTS_TO_RETARGET, matches, refuse_autoscalers
from ._watches import Collection, Watches

if t.TYPE_CHECKING:
    from ._tasks import Release

_RIGHTS = {
    "services": ("patch",),
    "configmaps": ("create", "update"),
    "pods": ("list", "patch"),
    "deployments.apps": ("list", "watch", "create", "patch"),
    "replicasets.apps": ("list", "watch", "patch", "delete"),
    "leases.coordination.k8s.io": ("get", "create", "update"),
}
_RIGHTS_ON_OWNER: dict[str, dict[str, tuple[str, ...]]] = {
    ROLLOUT: {"rollouts.argoproj.io": ("get", "list", "watch", "delete")},
    DEPLOYMENT: {"deployments.apps": ("get", "delete")},
}
_ENDED_PHASES = ("Succeeded", "Failed")
_MAX_CONFLICTS = 20
_ARGO_LEASE = "argo-rollouts-controller-lock"
# Argo Rollouts' own, where its Lease does not say.
_ARGO_LEASE_SECONDS = 15.0


@dataclass(frozen=True)
class Options:
    """What a take-over was asked for.

    :param active_service: as it was given; needed for a pair only.
    :param argo_namespace: where Argo's controller keeps its Lease.
    """

    asked: Asked
    active_service: object
    preview_service_given: bool
    definition_given: bool
    argo_is_stopped: bool
    argo_namespace: str
    accepted_managers: tuple[str, ...]


@dataclass(frozen=True)
class _Found:
    """What is about to be taken over."""

    before: Predecessor
    owner: Object
    replica_set: Object
    others: tuple[Object, ...]


class TakeOver:
    """One take-over; :meth:`find` tells whether there is anything left to do.

    :param parse: the release that these and the task's own options make.
    """

    def __init__(
        self,
        engine: Engine,
        lock: Lock,
        clock: ServerClock,
        options: Options,
        parse: t.Callable[[t.Mapping[str, object]], Release],
    ) -> None:
        self._engine = engine
        self._cluster = engine.cluster
        self._api = engine.cluster.api
        self._lock = lock
        self._clock = clock
        self._options = options
        self._parse = parse
        self._folder = f"/apis/apps/v1/namespaces/{engine.cluster.namespace}"
        # None once nothing owns the ReplicaSet any more.
        self._found: _Found | None = None
        self._before: Predecessor | None = None
        self._home: Object = {}
        self._announced: set[str] = set()
        self._argo_seen_still = False

    # -- what there is to take over ------------------------------------------------

    def find(self) -> bool:
        """Whether something is to be taken over, or a take-over has begun.

        :raises BadInput: it cannot be taken over as it is.
        """
        begun = begun_home(self._cluster.deployments.items.values())
        if begun is not None:
            self._find_what_is_left(begun)
            return True
        asked = self._options.asked
        if self._cluster.deployments.items:
            self._refuse_second(asked)
            return False
        found, release = self._find_pair() if asked.pair else self._find_rollout()
        self._before, self._found = found.before, found
        self._check(found, release)
        return True

    def _find_what_is_left(self, begun: Object) -> None:
        """What a take-over that has begun says of itself, and of before."""
        self._home = begun
        before = Predecessor.from_json(
            annotation_of(begun, names.ANNOTATION_TAKING_OVER)
        )
        if before is None:
            raise BluegreenError(
                f"Deployment {begun['metadata']['name']} has an annotation"
                f" {names.ANNOTATION_TAKING_OVER} that cannot be read: somebody else"
                " changed it. Delete that Deployment if it has no pods, then run again."
            )
        self._before, self._found = before, None
        owner = self._api.find(self._path_of(before.kind, before.name))
        if owner is None or owner["metadata"]["uid"] != before.uid:
            return
        found = (
            self._look_at_rollout(owner)
            if before.kind == ROLLOUT
            else self._look_at_deployment(owner, before.keys)
        )
        if found.before.replica_set_uid != before.replica_set_uid:
            raise BadInput(
                f"take_over: {before} runs ReplicaSet {found.before.replica_set} now,"
                f" and its take-over began with {before.replica_set}; delete Deployment"
                f" {begun['metadata']['name']}, which has no pods, then run again."
            )
        self._found = found
        if "deletionTimestamp" not in owner["metadata"]:
            self._refuse_live_argo()

    def _refuse_second(self, asked: Asked) -> None:
        name = asked.rollout
        if name and self._api.find(self._path_of(ROLLOUT, name)) is not None:
            raise BadInput(
                f"take_over: {self._cluster.rollout} is a rollout of this collection"
                f" already, and an Argo Rollout {name} exists beside it; see with the"
                " status playbook that users are on a revision of this collection, then"
                f" delete that Rollout (kubectl delete rollout {name})."
            )

    def _path_of(self, kind: str, name: str = "") -> str:
        folder = (
            f"/apis/{ARGO_GROUP}/namespaces/{self._cluster.namespace}/rollouts"
            if kind == ROLLOUT
            else f"{self._folder}/deployments"
        )
        return f"{folder}/{name}" if name else folder

    # -- an Argo Rollout -----------------------------------------------------------

    def _find_rollout(self) -> tuple[_Found, Release]:
        name = self._options.asked.rollout
        rollout = self._api.find(self._path_of(ROLLOUT, name))
        if rollout is None:
            raise self._absent_rollout(name)
        found = self._look_at_rollout(rollout)
        release = self._parse_with(found, self._services_not_given(rollout))
        active, preview = services_of(rollout)
        for variable, names_given, own in (
            ("active_service", release.parameters.active_services, active),
            ("preview_service", release.parameters.preview_services, preview),
        ):
            if own and names_given != (own,):
                raise BadInput(
                    f"{variable}: {', '.join(names_given)} was given, that of Rollout"
                    f" {name} is {own}; give that, or leave it out."
                )
        return found, release

    def _services_not_given(self, rollout: Object) -> dict[str, object]:
        active, preview = services_of(rollout)
        found: dict[str, object] = {}
        if self._options.active_service is None:
            found["active_service"] = active
        if preview and not self._options.preview_service_given:
            found["preview_service"] = preview
        return found

    def _absent_rollout(self, name: str) -> BadInput:
        namespace = self._cluster.namespace
        if self._api.find(self._path_of(ROLLOUT)) is None:
            return BadInput(
                f"take_over: this cluster knows no Rollout of {ARGO_GROUP}; to take"
                " over two Deployments, give take_over: {blue: NAME, green: NAME}."
            )
        return BadInput(
            f"take_over: there is no Rollout {name} in namespace {namespace}; check"
            " both, or give take_over: {rollout: NAME}."
        )

    def _look_at_rollout(self, rollout: Object) -> _Found:
        going = self._is_going(rollout)
        if not going:
            refuse_rollout(rollout)
        owned = self._owned_by(rollout, ARGO_KEY)
        stable = stable_hash(rollout)
        serving = [r for r in owned if labels_of(r).get(ARGO_KEY) == stable]
        return self._found_of(ROLLOUT, rollout, serving, owned, (ARGO_KEY,))

    # -- a pair of Deployments -----------------------------------------------------

    def _find_pair(self) -> tuple[_Found, Release]:
        pair = [self._deployment(name) for name in self._options.asked.pair]
        if self._options.active_service is None:
            raise BadInput(
                "active_service: nothing was given; name the Service that users reach."
            )
        given = parse_services(
            self._options.active_service, "active_service", self._cluster.namespace
        )
        services = [self._service(s.name, "active_service") for s in given]
        active = active_of(pair, services)
        found = self._look_at_deployment(active, differing_labels(*pair))
        idle = next(d for d in pair if d is not active)["metadata"]["name"]
        left = (
            f"Deployment {idle} is left as it is, and no Service of this rollout"
            " selects it; delete it when nobody needs it as a way back."
        )
        if left not in self._engine.warnings:
            self._engine.warnings.append(left)
        return found, self._parse_with(found, {})

    def _deployment(self, name: str) -> Object:
        found = self._api.find(self._path_of(DEPLOYMENT, name))
        if found is None:
            raise BadInput(
                f"take_over: there is no Deployment {name} in namespace"
                f" {self._cluster.namespace}; name both of the pair."
            )
        if names.LABEL_ROLLOUT in labels_of(found):
            raise BadInput(
                f"take_over: Deployment {name} belongs to the rollout"
                f" {labels_of(found)[names.LABEL_ROLLOUT]} of this collection; there is"
                " nothing to take over."
            )
        return found

    def _service(self, name: str, variable: str) -> Object:
        found = self._cluster.services.items.get(name)
        if found is None:
            raise BadInput(
                f"{variable}: Service {name} does not exist in namespace"
                f" {self._cluster.namespace}; name the one that users reach."
            )
        return found

    def _look_at_deployment(self, owner: Object, keys: tuple[str, ...]) -> _Found:
        going = self._is_going(owner)
        if not going:
            refuse_unsettled(owner)
        owned = self._owned_by(owner, "")
        running = [r for r in owned if r["spec"].get("replicas", 0) > 0]
        return self._found_of(DEPLOYMENT, owner, running, owned, keys)

    # -- what both have ------------------------------------------------------------

    def _is_going(self, owner: Object) -> bool:
        """Whether a run of ours has deleted it, and its end is on the way."""
        return bool(self._home) and "deletionTimestamp" in owner["metadata"]

    def _owned_by(self, owner: Object, selector: str) -> list[Object]:
        query = {"labelSelector": selector} if selector else None
        listed = self._api.get(f"{self._folder}/replicasets", query)["items"]
        return [r for r in listed if controller_of(r) == owner["metadata"]["uid"]]

    def _found_of(
        self,
        kind: str,
        owner: Object,
        serving: t.Sequence[Object],
        owned: t.Sequence[Object],
        keys: tuple[str, ...],
    ) -> _Found:
        name, uid = owner["metadata"]["name"], owner["metadata"]["uid"]
        if not serving and self._before is not None and self._is_going(owner):
            # It has let its ReplicaSet go already.
            serving = self._replica_sets_named(self._before.replica_set)
        if len(serving) != 1:
            raise BadInput(
                f"take_over: {kind} {name} has {len(serving)} ReplicaSets that serve"
                " users, one is expected; wait until its own rollout has ended, then"
                " run again."
            )
        replica_set = serving[0]
        before = Predecessor(
            kind,
            name,
            uid,
            replica_set["metadata"]["name"],
            replica_set["metadata"]["uid"],
            keys,
        )
        others = tuple(r for r in owned if r is not replica_set)
        return _Found(before, owner, replica_set, others)

    def _parse_with(self, found: _Found, given: t.Mapping[str, object]) -> Release:
        if not self._options.definition_given:
            manifest = manifest_of(found.owner, found.replica_set)
            given = {**given, "definition": manifest}
        release = self._parse(given)
        if release.parameters.route:
            raise BadInput(
                "route: nothing is taken over behind a route; take it over without,"
                " then release it with route."
            )
        return release

    # -- what is refused -----------------------------------------------------------

    def _check(self, found: _Found, release: Release) -> None:
        p = release.parameters
        self._cluster.load(release.services, p.active_services, p.preview_services)
        refuse_unready(found.replica_set)
        self._check_services(found, release)
        self._refuse_foreign_pods(found, p.active_services)
        self._refuse_adopters(found)
        self._refuse_reached(found.others)
        autoscalers = self._autoscalers()
        refuse_autoscalers(autoscalers, self._options.accepted_managers)
        rights: list[t.Mapping[str, tuple[str, ...]]] = [
            _RIGHTS,
            _RIGHTS_ON_OWNER[found.before.kind],
        ]
        if autoscalers:
            rights.append(RIGHTS_TO_RETARGET)
        refuse_missing_rights(self._cluster, "a take-over", merged_rights(*rights))
        self._refuse_live_argo()
        self._home = self._home_of(found, release, bool(autoscalers))
        with blames_definition():
            self._api.create(self._path_of(DEPLOYMENT), self._home, {"dryRun": "All"})

    def _check_services(self, found: _Found, release: Release) -> None:
        for variable, services in (
            ("active_service", release.active),
            ("preview_service", release.preview),
        ):
            for given in services:
                service = self._cluster.services.items.get(given.name)
                if service is None and variable == "preview_service":
                    # A release creates it from its manifest.
                    continue
                service = self._service(given.name, variable)
                refuse_service(
                    service,
                    variable,
                    self._cluster.rollout,
                    found.before,
                    release.deployment.pod_labels,
                )
                refusal = refusal_of_manager(
                    service, variable, self._options.accepted_managers
                )
                if refusal:
                    raise BadInput(refusal)
                if variable == "active_service":
                    refuse_undirected(service, found.replica_set)

    def _refuse_foreign_pods(self, found: _Found, services: t.Iterable[str]) -> None:
        uid = found.replica_set["metadata"]["uid"]
        for name in services:
            selector = self._cluster.services.items[name]["spec"]["selector"]
            wanted = ",".join(f"{k}={v}" for k, v in sorted(selector.items()))
            for pod in self._cluster.pods(wanted):
                ended = (pod.get("status") or {}).get("phase") in _ENDED_PHASES
                if controller_of(pod) == uid or ended:
                    continue
                raise BadInput(
                    f"active_service: Service {name} also selects pod"
                    f" {pod['metadata']['name']}, which is not of ReplicaSet"
                    f" {found.before.replica_set} and would lose its users; remove the"
                    " pod, or narrow the Service's selector."
                )

    def _refuse_adopters(self, found: _Found) -> None:
        """A ReplicaSet that is let go is taken by any Deployment that selects it."""
        labels = labels_of(found.replica_set)
        for other in self._api.get(self._path_of(DEPLOYMENT))["items"]:
            if other["metadata"]["uid"] == found.before.uid:
                continue
            if matches(other["spec"]["selector"], labels):
                name = other["metadata"]["name"]
                raise BadInput(
                    f"take_over: the selector of Deployment {name} takes in ReplicaSet"
                    f" {found.before.replica_set}, whose pods it would replace; delete"
                    " that Deployment without its pods first (kubectl delete deployment"
                    f" {name} --cascade=orphan)."
                )

    def _refuse_reached(self, others: t.Iterable[Object]) -> None:
        """Pods of earlier revisions go: none of them may have users."""
        for replica_set in others:
            if not replica_set["spec"].get("replicas", 0):
                continue
            labels = pod_labels(replica_set)
            for name, service in sorted(self._cluster.services.items.items()):
                if selects(service, labels):
                    raise BadInput(
                        f"take_over: ReplicaSet {replica_set['metadata']['name']} of an"
                        " earlier revision still has pods, and Service"
                        f" {name} selects them; scale it to 0 (kubectl scale replicaset"
                        f" {replica_set['metadata']['name']} --replicas=0), or narrow"
                        " the Service's selector."
                    )

    def _refuse_live_argo(self) -> None:
        """Argo's controller must not act meanwhile: it renews a Lease while it does.

        Alive is who is seen renewing; clocks are never compared.
        """
        before = self._owner_of_before
        still = self._options.argo_is_stopped or self._argo_seen_still
        if before.kind != ROLLOUT or still:
            return
        lease = self._argo_lease()
        spec = lease.items[_ARGO_LEASE].get("spec") or {}
        holder = str(spec.get("holderIdentity") or "")
        seconds = float(spec.get("leaseDurationSeconds") or _ARGO_LEASE_SECONDS)
        if holder and self._is_renewed(lease, seconds):
            raise BadInput(
                f"take_over: the controller of Argo Rollouts ({holder}) is running and"
                f" would go on to direct {before}; stop it first (kubectl scale"
                f" deployment argo-rollouts -n {self._options.argo_namespace}"
                " --replicas=0)."
            )
        self._argo_seen_still = True

    def _argo_lease(self) -> Collection:
        namespace = self._options.argo_namespace
        lease = Collection(
            f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases",
            {"fieldSelector": f"metadata.name={_ARGO_LEASE}"},
        )
        why = f"there is no Lease {_ARGO_LEASE} in namespace {namespace}"
        try:
            lease.load(self._api)
        except ApiError as error:
            if not forbidden(error):
                raise
            why = f"this user may not list and watch Leases in namespace {namespace}"
        if _ARGO_LEASE in lease.items:
            return lease
        raise BadInput(
            "argo_is_stopped: whether the controller of Argo Rollouts is stopped cannot"
            f" be seen, as {why}; give its namespace with argo_namespace, or scale the"
            " controller to 0 and say so with argo_is_stopped: true."
        )

    def _is_renewed(self, lease: Collection, seconds: float) -> bool:
        version = lease.items[_ARGO_LEASE]["metadata"]["resourceVersion"]
        watches = Watches(self._api)
        deadline = time.monotonic() + seconds
        try:
            watches.watch([lease])
            while (left := deadline - time.monotonic()) > 0:
                watches.wait(left)
                present = lease.items.get(_ARGO_LEASE)
                if present and present["metadata"]["resourceVersion"] != version:
                    return True
        finally:
            watches.close()
        return False

    # -- the revision that it becomes ----------------------------------------------

    def _home_of(self, found: _Found, release: Release, autoscaled: bool) -> Object:
        """Our Deployment, as it is created."""
        return Rehoming(self._cluster, self._hash_of(found, release)).home(
            as_it_runs(release.deployment, found.replica_set),
            release.parameters,
            found.replica_set,
            autoscaled,
            {names.ANNOTATION_TAKING_OVER: found.before.to_json()},
        )

    def _hash_of(self, found: _Found, release: Release) -> str:
        """The manifest's hash if releasing it would change nothing, else that of what
        runs.
        """
        selector = found.replica_set["spec"]["selector"].get("matchLabels") or {}
        kept = selector.get(names.LABEL_HASH)
        if kept:
            # Of an earlier rollout that was ejected: nobody can change it.
            return str(kept)
        running = Deployment(
            found.before.name, manifest_of(found.owner, found.replica_set)
        )
        if found.before.kind == ROLLOUT and has_unseen_change(found.owner):
            self._refuse_unseen_change(found, running, release.parameters)
        if self._is_same(release.deployment, found, release.parameters):
            # It runs with configuration that belongs to no revision.
            return hash_of(release.deployment.template)
        return running.hash

    def _refuse_unseen_change(
        self, found: _Found, running: Deployment, parameters: Parameters
    ) -> None:
        """Its template may have been changed while nobody looked."""
        if not self._is_same(running, found, parameters):
            raise BadInput(
                f"take_over: the template of {found.before} was changed and its"
                " controller has not seen it; put it back, or have Argo Rollouts"
                " release it first."
            )

    def _is_same(
        self, deployment: Deployment, found: _Found, parameters: Parameters
    ) -> bool:
        """Whether a manifest is what runs; asked by a dry-run, so that the API server's
        own defaults decide.
        """
        body = deployment_body(
            deployment,
            self._cluster.rollout,
            self._cluster.namespace,
            number=1,
            replicas=1,
            parameters=parameters,
            fence="0",
        )
        with blames_definition():
            given = self._api.create(self._path_of(DEPLOYMENT), body, {"dryRun": "All"})
        template = bare_template(given["spec"]["template"], found.before.keys)
        return template == template_as_run(found.replica_set, found.before.keys)

    # -- the steps -----------------------------------------------------------------

    def _steps(self) -> tuple[tuple[t.Callable[[], str], t.Callable[[], None]], ...]:
        """What is to be done as a line, empty if it is done; and how."""
        return (
            (self._home_line, self._create_home),
            (self._others_line, self._drop_others),
            (self._owner_line, self._drop_owner),
            (self._pods_line, self._take_pods),
            (self._services_line, self._narrow_services),
            (self._autoscaler_line, self._retarget),
        )

    def plan(self) -> None:
        """Say what :meth:`run` would do."""
        for pending, _act in self._steps():
            line = pending()
            if line:
                self._engine.act_on_own(line)

    def run(self) -> Observed:
        """Take over, from wherever an earlier run stopped.

        :returns: the rollout that it has become.
        :raises BluegreenError: a step was not seen to have happened.
        """
        for _try in range(_MAX_CONFLICTS):
            try:
                self._take_steps()
                self._end()
                return self._engine.observe()
            except Conflict:
                # Somebody else changed what a step is about: it is looked at anew.
                self._cluster.reload()
                self._home = {}
                if not self.find():
                    return self._engine.observe()
        raise BluegreenError(
            f"{self._cluster.rollout}: somebody else keeps changing its objects; find"
            " out who, then run again."
        )

    def _take_steps(self) -> None:
        for pending, act in self._steps():
            line = pending()
            if not line:
                continue
            self._engine.take_lock()
            if line not in self._announced:
                self._announced.add(line)
                self._engine.act_on_own(line)
                self._note(line)
            act()

    def _note(self, line: str) -> None:
        record = dataclasses.replace(
            self._engine.observe().record, phase=PROGRESSING, message=line
        )
        self._engine.note(record.noted(self._clock.now(), line))

    @property
    def _owner_of_before(self) -> Predecessor:
        return t.cast(Predecessor, self._before)

    @property
    def _hash(self) -> str:
        return labels_of(self._home)[names.LABEL_HASH]

    @property
    def _rehoming(self) -> Rehoming:
        return Rehoming(self._cluster, self._hash)

    @property
    def _is_home_created(self) -> bool:
        return "uid" in self._home["metadata"]

    def _home_line(self) -> str:
        if self._is_home_created:
            return ""
        return (
            f"take over {self._before} as revision 1 ({self._hash}), without restarting"
            " its pods"
        )

    def _create_home(self) -> None:
        self._home = self._rehoming.create_home(self._home)

    def _others_line(self) -> str:
        others = self._found.others if self._found else ()
        if not others:
            return ""
        listed = ", ".join(r["metadata"]["name"] for r in others)
        return f"delete the earlier ReplicaSets of {self._before}: {listed}"

    def _drop_others(self) -> None:
        found = t.cast(_Found, self._found)
        self._cluster.services.load(self._api)
        self._refuse_reached(found.others)
        for replica_set in found.others:
            path = f"{self._folder}/replicasets/{replica_set['metadata']['name']}"
            self._api.delete(path, replica_set["metadata"]["uid"])
        self._found = dataclasses.replace(found, others=())

    def _owner_line(self) -> str:
        if self._found is None:
            return ""
        return f"delete {self._before}, and let its ReplicaSet and pods run on"

    def _drop_owner(self) -> None:
        found, before = t.cast(_Found, self._found), self._owner_of_before
        if not is_observed(self._home):
            # From now on its controller knows that it is paused.
            self._home = self._rehoming.await_paused(self._home)
        metadata = found.owner["metadata"]
        if "deletionTimestamp" not in metadata:
            self._api.delete(
                self._path_of(before.kind, before.name),
                before.uid,
                propagation="Orphan",
                version=metadata["resourceVersion"],
            )
        self._await_owner_gone(before)
        self._rehoming.await_replica_set(
            before.replica_set,
            lambda seen: controller_of(seen) != before.uid,
            f"ReplicaSet {before.replica_set} to be let go by {before}",
        )
        self._found = None

    def _await_owner_gone(self, before: Predecessor) -> None:
        """Kubernetes takes the pods from an owner, and only then ends it."""
        left = Collection(
            self._path_of(before.kind),
            {"fieldSelector": f"metadata.name={before.name}"},
        )

        def is_gone() -> bool | None:
            uids = [item["metadata"]["uid"] for item in left.items.values()]
            return None if before.uid in uids else True

        await_collection(self._api, left, is_gone, f"{before} to be gone")

    def _pods_line(self) -> str:
        if self._is_home_created and not self._home["spec"].get("paused"):
            return ""
        name = self._home["metadata"]["name"]
        replica_set = self._owner_of_before.replica_set
        return f"give ReplicaSet {replica_set} and its pods to Deployment {name}"

    def _take_pods(self) -> None:
        replica_set = self._replica_set()
        if not self._rehoming.is_labelled(replica_set):
            self._match_size(replica_set)
        replica_set = self._rehoming.label_replica_set(replica_set)
        self._rehoming.label_pods(replica_set)
        self._rehoming.await_owner(self._home)
        self._home = self._rehoming.resume(self._home)
        self._cluster.deployments.take(self._home)

    def _replica_set(self) -> Object:
        before = self._owner_of_before
        for found in self._replica_sets_named(before.replica_set):
            if found["metadata"]["uid"] == before.replica_set_uid:
                return found
        raise BluegreenError(
            f"ReplicaSet {before.replica_set}, which ran the pods of {before}, is"
            " gone; somebody else deleted it. Delete Deployment"
            f" {self._home['metadata']['name']}, then deploy the manifest."
        )

    def _replica_sets_named(self, name: str) -> list[Object]:
        query = {"fieldSelector": f"metadata.name={name}"}
        found: list[Object] = self._api.get(f"{self._folder}/replicasets", query)[
            "items"
        ]
        return found

    def _match_size(self, replica_set: Object) -> None:
        """An autoscaler may have changed it: the Deployment would change it back."""
        size, planned = replica_set["spec"]["replicas"], self._home["spec"]["replicas"]
        if size == planned:
            return
        operations: list[Object] = [
            expect("/spec/replicas", planned),
            {"op": "replace", "path": "/spec/replicas", "value": size},
        ]
        path = self._path_of(DEPLOYMENT, self._home["metadata"]["name"])
        self._home = self._rehoming.await_paused(self._api.patch(path, operations))

    # -- the Services, the autoscaler, and the end ---------------------------------

    def _services_left(self) -> list[str]:
        """The Services that do not select the revision alone, as it is marked."""
        before = self._owner_of_before
        wanted = {names.LABEL_HASH: self._hash}
        found = []
        for seen in self._cluster.observe().services:
            service = self._cluster.services.items.get(seen.name)
            if service is None or seen.role == names.ROLE_PROOF:
                continue
            selector = {**own_selector(service, before.keys), **wanted}
            marked = annotation_of(service, ARGO_MANAGED_BY)
            if service["spec"].get("selector") != selector or marked:
                found.append(seen.name)
        return found

    def _services_line(self) -> str:
        left = ", ".join(self._services_left())
        return f"direct Service {left} to revision 1 ({self._hash})" if left else ""

    def _narrow_services(self) -> None:
        self._cluster.reload()
        self._rehoming.refuse_foreign_endpoints()
        for name in self._services_left():
            self._cluster.take_service(
                name, self._hash, self._owner_of_before.keys, (ARGO_MANAGED_BY,)
            )

    def _autoscalers(self) -> list[Object]:
        before = self._owner_of_before
        return self._cluster.autoscalers_of([before.name], before.kind)

    def _autoscaler_line(self) -> str:
        listed = ", ".join(a["metadata"]["name"] for a in self._autoscalers())
        name = self._home["metadata"]["name"]
        if not listed:
            return ""
        return f"have HorizontalPodAutoscaler {listed} decide the size of {name}"

    def _retarget(self) -> None:
        self._cluster.load_autoscalers()
        for autoscaler in self._autoscalers():
            self._cluster.retarget(
                autoscaler["metadata"]["name"], self._home["metadata"]["name"]
            )

    def _end(self) -> None:
        """The record says what it has become before the mark goes: who is killed here
        ends it with the next run.
        """
        self._engine.take_lock()
        self._engine.note(
            record_of_adopted(
                self._engine.observe().record,
                self._hash,
                "revision 1 was taken over; it is stable and serves all users",
            )
        )
        pointer = annotation_pointer(names.ANNOTATION_TAKING_OVER)
        operations: list[Object] = [
            expect("/metadata/uid", self._home["metadata"]["uid"]),
            {"op": "remove", "path": pointer},
        ]
        path = self._path_of(DEPLOYMENT, self._home["metadata"]["name"])
        self._cluster.deployments.take(self._api.patch(path, operations))
        self._cluster.reload()


def begun_home(deployments: t.Iterable[Object]) -> Object | None:
    """The Deployment of a take-over whose last step was not reached, if any."""
    for deployment in deployments:
        if annotation_of(deployment, names.ANNOTATION_TAKING_OVER):
            return deployment
    return None
