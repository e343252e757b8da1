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
    replicas: int = 0
    available: int = 0
    parameters: Parameters | None = None
    aborted: bool = False
    # Since when the ReplicaSet controller has failed to create pods, and why.
    failing_since: datetime | None = None
    failure: str = ""
    created: str = ""
    images: tuple[str, ...] = ()
    autoscaled: bool = False
    # The fewest and the most pods that its autoscaler allows; none: it has none.
    limits: tuple[int, int] | None = None


@dataclass(frozen=True)
class Endpoints:
    """The pods that a Service's EndpointSlices send requests to at this moment.

    ``ready``: serving, not terminating, in a slice that has a number for every port.
    """

    ready: frozenset[str] = frozenset()
    # Pods that would be ready if their slice had a port: the revision lacks the
    # named target port, and every request to them would be refused.
    portless: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ServiceSeen:
    """A Service of the rollout."""

    name: str
    role: str
    exists: bool = True
    # The revision hash that its selector names; none if it names none.
    target: str | None = None
    selector: t.Mapping[str, str] = field(default_factory=dict)
    # The user's own selector, without the revision hash.
    original: t.Mapping[str, str] = field(default_factory=dict)
    endpoints: Endpoints = field(default_factory=Endpoints)


@dataclass(frozen=True)
class Autoscaler:
    """A user's HorizontalPodAutoscaler that targets a Deployment of the rollout."""

    name: str
    # The name of that Deployment, which may be gone.
    target: str
    least: int
    most: int


@dataclass(frozen=True)
class Observed:
    """All that was seen of a rollout at one instant."""

    revisions: tuple[Revision, ...] = ()
    services: tuple[ServiceSeen, ...] = ()
    record: Record = field(default_factory=Record)
    record_exists: bool = False
    autoscalers: tuple[Autoscaler, ...] = ()
    # The PodDisruptionBudgets of ours by revision, as Parameters.pdb gives them.
    budgets: t.Mapping[str, str] = field(default_factory=dict)
    # Kind and metric of each measurement that this run takes at the moment.
    measuring: frozenset[tuple[str, str]] = frozenset()
    # What it has measured and not noted yet.
    measured: tuple[Measured, ...] = ()

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
        targets = self.targets("active")
        return next(iter(targets)) if len(targets) == 1 else None

    @property
    def next_number(self) -> int:
        """The number that the next revision gets."""
        seen = [r.number for r in self.revisions]
        return max([0, self.record.last_number, *seen]) + 1

    def ready_behind(self, role: str) -> int:
        """The fewest ready endpoints of any Service of that role."""
        counts = [len(s.endpoints.ready) for s in self.with_role(role)]
        return min(counts, default=0)


def describe(revision: Revision | None, unknown: str = "none") -> str:
    """A revision as messages name it."""
    if revision is None:
        return unknown
    return f"revision {revision.number} ({revision.deployment})"
