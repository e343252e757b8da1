# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What lies between the analysis and its providers.

A provider is a module of :mod:`.providers` with

- ``problems(config) -> list[Problem]``: what is wrong with its block of a metric as
  it was written (placeholders may still stand in it); pure;
- ``measure(request) -> Outcome``: one measurement; runs in a thread of its own;
- ``seconds_allowed(config) -> float``: after so many seconds a call is cut off;
- ``rights(config) -> dict``, only where it uses the Kubernetes API: the verbs that it
  needs, by resource;
- ``terminate(request)``, only where :class:`Unfinished` may be returned: end and
  clean up what the measurement has started.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field
from datetime import datetime

from .._errors import BluegreenError

if t.TYPE_CHECKING:
    from .._api import Api


class MeasurementError(BluegreenError):
    """A measurement could not be taken: one sentence, without secrets."""


class SecretMissing(BluegreenError):
    """A secret that a measurement needs is not there: name and key, never a value."""


@dataclass(frozen=True)
class Problem:
    """Bad input: the field below the provider's block, and one clause about it.

    ``field`` is a path such as ``web.url`` or ``job.spec``; ``text`` says what was
    found, what is expected and what to do.
    """

    field: str
    text: str


@dataclass(frozen=True)
class Value:
    """What was measured: plain JSON data, judged by the metric's conditions.

    ``None`` and an empty list or mapping are an answer without data.
    """

    value: t.Any
    # For people, kept with the measurement: the query as it was sent, for example.
    metadata: t.Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """A measurement that the provider has judged itself, as a Job does."""

    # Successful, Failed or Inconclusive.
    phase: str
    message: str = ""
    value: t.Any = None
    metadata: t.Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Unfinished:
    """A measurement that goes on elsewhere; it is asked for again with its metadata."""

    metadata: t.Mapping[str, str]
    resume_after_seconds: float


# Quoted: the oldest Python that ansible-test compiles for has no such operator.
Outcome: t.TypeAlias = "Value | Verdict | Unfinished"


@dataclass(frozen=True)
class Place:
    """Where an analysis runs, and what it may use there."""

    # Seconds that have passed count from here; the API server's time where known.
    now: t.Callable[[], datetime]
    # A secret's value by Secret name and key: from bluegreen_analysis_secrets, else
    # from the Kubernetes Secret in the namespace. Raises SecretMissing.
    secret: t.Callable[[str, str], str]
    # The Kubernetes API; it may raise BluegreenError where none can be reached. May
    # be called from several threads.
    api: t.Callable[[], Api]
    namespace: str = "default"
    # The rollout; empty where the analysis stands alone.
    rollout: str = ""
    # Hashes of the revision that is measured and of the stable one; empty if alone.
    revision: str = ""
    stable: str = ""
    # The name of this analysis, the same whenever it is resumed; a DNS label.
    run: str = "analysis"
    # The Deployment that Kubernetes objects of a measurement are owned by; else none.
    owner: t.Mapping[str, t.Any] | None = None
    preview_services: tuple[str, ...] = ()


@dataclass(frozen=True)
class Request:
    """One measurement that is asked of a provider."""

    metric: str
    # Counts the measurements of the metric from 1, errors too.
    number: int
    # The provider's block with every placeholder replaced.
    config: t.Mapping[str, t.Any]
    # The same, with the stable revision's hash where the new one's was asked for.
    config_of_stable: t.Mapping[str, t.Any]
    place: Place
    # What ``Unfinished`` gave, when it is resumed or terminated; else empty.
    metadata: t.Mapping[str, str] = field(default_factory=dict)
