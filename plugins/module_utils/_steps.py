# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps that the state machine decides on. The engine carries them out.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from datetime import datetime

from ._overlay import NOTHING, Overlay
from ._parameters import Parameters
from ._record import Record

if t.TYPE_CHECKING:
    # Only a release with an analysis pays for importing it.
    from ._analysis.spec import Metric
    from ._measuring import Measured

ROLLOUT_ABORTED = "RolloutAborted"
ROLLOUT_UPDATED = "RolloutUpdated"


@dataclass(frozen=True)
class Event:
    """A Kubernetes Event, named as Argo Rollouts names it."""

    reason: str
    message: str
    warning: bool = False


@dataclass(frozen=True)
class CreateConfig:
    """Create ConfigMaps and Secrets of a revision, before its pods ask for them."""

    hash: str
    # ``<kind>/<name>`` of each.
    refs: tuple[str, ...]


@dataclass(frozen=True)
class OwnConfig:
    """Have the configuration of a revision go with its Deployment."""

    hash: str


@dataclass(frozen=True)
class DropConfig:
    """Delete the configuration of a revision that was never created."""

    hash: str


@dataclass(frozen=True)
class CreateRevision:
    """Create the Deployment of a new revision, which no Service of users selects."""

    hash: str
    number: int
    replicas: int
    overlay: Overlay = NOTHING


@dataclass(frozen=True)
class CreateServices:
    """Create the Services that were given as manifests and do not exist."""

    names: tuple[str, ...]
    hash: str


@dataclass(frozen=True)
class Revive:
    """Start an aborted or older revision anew, as the newest one."""

    hash: str
    number: int
    replicas: int


@dataclass(frozen=True)
class UpdateParameters:
    """Write changed release parameters, and the size where it changed with them."""

    hash: str
    parameters: Parameters
    replicas: int | None


@dataclass(frozen=True)
class ChangeTemplate:
    """Lay another overlay over a revision's pod template, and its live pods."""

    hash: str
    overlay: Overlay
    why: str


@dataclass(frozen=True)
class MarkAborted:
    """Mark a revision so that no later run takes it for one in flight."""

    hash: str


@dataclass(frozen=True)
class Scale:
    """Set the number of pods of a revision."""

    hash: str
    replicas: int
    why: str


@dataclass(frozen=True)
class EndWorkload:
    """Scale the Deployment that is only the template of revisions down to nothing."""

    name: str
    why: str


@dataclass(frozen=True)
class OpenProof:
    """Point the proof Services at a revision; they are created if absent."""

    hash: str


@dataclass(frozen=True)
class CloseProof:
    """Delete the proof Services."""


@dataclass(frozen=True)
class Point:
    """Direct Services to a revision outside a cutover."""

    services: tuple[str, ...]
    hash: str
    why: str
    # The release has failed, and the task ends with this sentence.
    failure: str = ""
    # The revision whose pods explain it.
    evidence: str | None = None


@dataclass(frozen=True)
class Widen:
    """Let every active Service select all revisions, of which two have pods."""

    hash: str
    why: str


@dataclass(frozen=True)
class Cutover:
    """Direct every active Service to a revision that passed the proof."""

    hash: str
    # How it moves, and why so.
    how: str = ""


@dataclass(frozen=True)
class Delete:
    """Delete an old revision that has no pods."""

    hash: str


@dataclass(frozen=True)
class Retarget:
    """Have a HorizontalPodAutoscaler decide the size of a revision."""

    autoscaler: str
    hash: str


@dataclass(frozen=True)
class KeepBudget:
    """Create or correct the PodDisruptionBudget of a revision."""

    hash: str
    # What the user gave, as canonical JSON text.
    spec: str


@dataclass(frozen=True)
class RemoveBudget:
    """Delete the PodDisruptionBudget of a revision."""

    hash: str


@dataclass(frozen=True)
class Measure:
    """Take a measurement in the background, or ask for an unfinished one again."""

    kind: str
    metric: Metric


@dataclass(frozen=True)
class EndMeasurement:
    """End a measurement that goes on elsewhere, and clean up after it."""

    kind: str
    metric: Metric


@dataclass(frozen=True)
class RunHook:
    """Run a hook's webhook or Job in the background, or look how it fares."""

    name: str


@dataclass(frozen=True)
class EndHook:
    """End a hook's Job, and clean up after it."""

    name: str


@dataclass(frozen=True)
class RunTasks:
    """Stop here: whoever runs the tasks includes a hook's task file."""

    name: str


@dataclass(frozen=True)
class Tell:
    """Tell the pods of an old revision to close what they hold. Told twice, they must
    do no other than told once.
    """

    hash: str
    # How, as :class:`Parameters` has it.
    http: str
    exec: str
    timeout_seconds: int


@dataclass(frozen=True)
class Note:
    """Change the record."""

    record: Record
    say: str = ""
    events: tuple[Event, ...] = ()
    # The result that is in the record now, if it was one.
    measured: Measured | None = None
    # What a person is to read, though the release goes on.
    warning: str = ""


@dataclass(frozen=True)
class Wait:
    """Wait for something to change in the cluster, or for an instant."""

    what: str
    until: datetime | None = None
    # What happens at ``until``, as live lines say it: "s left until ...".
    then: str = ""
    # Look again at this instant, too: something else is due that nobody waits for.
    wake: datetime | None = None
    # Whether a decision ends it.
    at_gate: bool = False


@dataclass(frozen=True)
class Done:
    """The goal is reached, or nothing can go on without a decision."""


@dataclass(frozen=True)
class Fail:
    """The release cannot go on; the task fails with this sentence."""

    message: str
    # The revision whose pods explain it.
    evidence: str | None = None
    # Whether the rollout is Degraded by it; a refusal changes nothing.
    degrades: bool = False


# Quoted: the oldest Python that ansible-test compiles for has no such operator.
Act: t.TypeAlias = """
    CreateConfig
    | OwnConfig
    | DropConfig
    | CreateRevision
    | CreateServices
    | Revive
    | UpdateParameters
    | ChangeTemplate
    | MarkAborted
    | Scale
    | OpenProof
    | CloseProof
    | Point
    | Widen
    | Cutover
    | Delete
    | Retarget
    | KeepBudget
    | RemoveBudget
    | EndWorkload
"""
Aside: t.TypeAlias = "Measure | EndMeasurement | RunHook | EndHook | RunTasks"
Step: t.TypeAlias = "Act | Aside | Tell | Note | Wait | Done | Fail"
