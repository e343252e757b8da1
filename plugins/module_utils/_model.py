# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was observed of one rollout, as frozen data.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field
from datetime import datetime

from . import _names as names
from ._overlay import NOTHING, Overlay
from ._parameters import Parameters
from ._record import Record

if t.TYPE_CHECKING:
    from ._measuring import Measured


@dataclass(frozen=True)
class Revision:
    """One version of the pod template, and the Deployment that runs it."""

    number: int
    hash: str
    deployment: str
    # Of that Deployment.
    uid: str = ""
    replicas: int = 0
    available: int = 0
    # Pods that exist and are not being ended, ready or not.
    pods: int = 0
    parameters: Parameters | None = None
    aborted: bool = False
    # Since when the ReplicaSet controller has failed to create pods, and why.
    failing_since: datetime | None = None
    failure: str = ""
    created: str = ""
    images: tuple[str, ...] = ()
    autoscaled: bool = False
    # ``<kind>/<full name>`` of each ConfigMap and Secret that its pods read, where any
    # configuration was read.
    reads: frozenset[str] = frozenset()
    # The fewest and the most pods that its autoscaler allows; none: it has none.
    limits: tuple[int, int] | None = None
    # What its pod template has only for the time of a role; and whether the change to
    # it was begun and not ended, so that the Deployment is paused.
    overlay: Overlay = NOTHING
    changing: bool = False


@dataclass(frozen=True)
class Endpoints:
    """The pods that a Service's EndpointSlices send requests to at this moment.

    ``ready``: serving, not terminating, in a slice that has a number for every port.
    """

    ready: frozenset[str] = frozenset()
    # Pods that would be ready if their slice had a port: the revision lacks the
    # named target port, and every request to them would be refused.
    portless: frozenset[str] = frozenset()
    # Ready pods without an address of each family of the Service.
    partly: frozenset[str] = frozenset()
    # Pods that get requests though they are not ready, or end: the Service publishes
    # not-ready addresses.
    unready: frozenset[str] = frozenset()
    # The nodes that ready pods are on.
    nodes: frozenset[str] = frozenset()

    @property
    def reached(self) -> frozenset[str]:
        """All pods that get requests, whatever becomes of these."""
        return self.ready | self.partly | self.unready


SERVICE = "Service"
ROUTE = "HTTPRoute"


@dataclass(frozen=True)
class ServiceSeen:
    """A Service of the rollout, or the route through which its users come.

    A route counts as an active Service, its two backend Services as its proof
    Services: the one without weight shows what the other weights would give.
    """

    name: str
    role: str
    exists: bool = True
    kind: str = SERVICE
    # The revision hash that its selector names; none if it names none.
    target: str | None = None
    # Whether it selects every revision: a cutover overlaps.
    wide: bool = False
    # Why one write of its selector would not move all of its users at once, as a
    # clause about it; empty: nothing speaks against it.
    mixes: str = ""
    # What its load balancers have not taken in of a widened Service, as a clause.
    pending: str = ""
    # The traffic policy by which requests stay on the node that they reach, if any.
    local: str = ""
    selector: t.Mapping[str, str] = field(default_factory=dict)
    # The user's own selector, without the revision hash.
    original: t.Mapping[str, str] = field(default_factory=dict)
    endpoints: Endpoints = field(default_factory=Endpoints)
    # Of a proof Service: the active Service, or route, that it shows.
    of: str = ""
    # Of a proof Service: whether it is the user's own, a backend of a route.
    kept: bool = False
    # Of a backend: its share of the route's requests.
    weight: int = 0
    # What the gateways of a route have not said yet of its present version, and what
    # they refuse of it, as clauses.
    lagging: str = ""
    refused: str = ""


@dataclass(frozen=True)
class ConfigSeen:
    """A ConfigMap or a Secret that belongs to one revision."""

    # ``<kind>/<name>``, the name without the hash.
    ref: str
    hash: str
    # The uid of the Deployment that it goes with; empty: none.
    owner: str = ""

    @property
    def full_ref(self) -> str:
        """``<kind>/<name>`` as pods refer to it."""
        return names.config_name(self.ref, self.hash)


@dataclass(frozen=True)
class Autoscaler:
    """A user's HorizontalPodAutoscaler that targets a Deployment of the rollout."""

    name: str
    # The name of that Deployment, which may be gone.
    target: str
    least: int
    most: int


@dataclass(frozen=True)
class Workload:
    """A Deployment that the user keeps as the template of revisions."""

    name: str
    replicas: int
    # Whether it gives up its own pods once its users have moved to a revision.
    ends_on_success: bool = False


@dataclass(frozen=True)
class Probed:
    """What requests of our own through an active Service have shown of a cutover."""

    requests: int = 0
    errors: int = 0
    first_error: str = ""
    # How long they go on before the cutover counts as seen, in seconds.
    seconds_left: float = 0.0


@dataclass(frozen=True)
class Observed:
    """All that was seen of a rollout at one instant."""

    revisions: tuple[Revision, ...] = ()
    services: tuple[ServiceSeen, ...] = ()
    record: Record = field(default_factory=Record)
    record_exists: bool = False
    autoscalers: tuple[Autoscaler, ...] = ()
    # None where revisions are made from a manifest, or it is gone.
    workload: Workload | None = None
    # The PodDisruptionBudgets of ours by revision, as Parameters.pdb gives them.
    budgets: t.Mapping[str, str] = field(default_factory=dict)
    # The configuration of revisions, as far as it was read, and the kinds that were.
    config: tuple[ConfigSeen, ...] = ()
    config_kinds: frozenset[str] = frozenset()
    # Whether this very run has widened the Services that are wide.
    window: bool = False
    # The revision of each pod of the rollout, while a cutover overlaps.
    pods: t.Mapping[str, str] = field(default_factory=dict)
    # None where this run sends no requests.
    probed: Probed | None = None
    # Kind and metric of each measurement that this run takes at the moment.
    measuring: frozenset[tuple[str, str]] = frozenset()
    # What it has measured and not noted yet.
    measured: tuple[Measured, ...] = ()
    # The hooks that this run runs at the moment, and what it has heard of them.
    hooking: frozenset[str] = frozenset()
    hooked: tuple[Measured, ...] = ()

    def revision(self, revision_hash: str | None) -> Revision | None:
        """The revision with that hash, if its Deployment exists."""
        for revision in self.revisions:
            if revision.hash == revision_hash:
                return revision
        return None

    def with_role(self, role: str) -> tuple[ServiceSeen, ...]:
        """The Services of one role."""
        return tuple(s for s in self.services if s.role == role)

    def targets(self, role: str) -> frozenset[str | None]:
        """The revisions that the existing Services of a role direct to."""
        return frozenset(s.target for s in self.with_role(role) if s.exists)

    @property
    def active_hash(self) -> str | None:
        """The revision that every active Service directs to; none if they differ."""
        targets = self.targets(names.ROLE_ACTIVE)
        hash_ = next(iter(targets)) if len(targets) == 1 else None
        return None if hash_ == names.NO_REVISION else hash_

    @property
    def next_number(self) -> int:
        """The number that the next revision gets."""
        seen = [r.number for r in self.revisions]
        return max([0, self.record.last_number, *seen]) + 1

    def ready_behind(self, role: str) -> int:
        """The fewest ready endpoints of any Service of that role."""
        counts = [len(s.endpoints.ready) for s in self.with_role(role)]
        return min(counts, default=0)


def listed(services: t.Iterable[ServiceSeen]) -> str:
    """Services of one kind as messages name them: `Service web, api`."""
    found = list(services)
    kind = found[0].kind if found else SERVICE
    return f"{kind} {', '.join(s.name for s in found)}"


def describe(revision: Revision | None, unknown: str = "none") -> str:
    """A revision as messages name it."""
    if revision is None:
        return unknown
    return f"revision {revision.number} ({revision.deployment})"
