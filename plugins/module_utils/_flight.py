# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The flight recorder: what is seen of one cutover while it happens.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import itertools
import time
import typing as t
from dataclasses import dataclass, field

from ._model import Endpoints, Probed

if t.TYPE_CHECKING:
    # Only a release that probes pays for importing it.
    from ._prober import Prober

_MOST_VERSIONS = 200


@dataclass(frozen=True)
class Version:
    """The endpoints of a Service at one moment, as counts.

    :param ms: milliseconds from the first write to when they were seen.
    :param ready: how many endpoints get requests.
    :param new: how many of them are of the revision that the cutover goes to.
    """

    ms: int
    ready: int
    new: int

    @property
    def is_mixed(self) -> bool:
        """Whether two revisions serve."""
        return 0 < self.new < self.ready

    @property
    def is_new(self) -> bool:
        """Whether the new revision alone serves."""
        return 0 < self.new == self.ready


@dataclass
class Track:
    """One active Service: each version of its endpoints, in order."""

    versions: list[Version] = field(default_factory=list)
    written_ms: int = 0

    def add(self, version: Version) -> None:
        """Keep it if the counts have changed, up to a limit."""
        last = self.versions[-1] if self.versions else None
        same = last and (last.ready, last.new) == (version.ready, version.new)
        if not same and len(self.versions) < _MOST_VERSIONS:
            self.versions.append(version)

    def result(self) -> dict[str, t.Any]:
        """For the record: see the documentation of ``rollout.cutover``."""
        # What nobody was served by before cannot be taken away.
        served = list(itertools.dropwhile(lambda v: v.ready == 0, self.versions))
        moved = [v.ms for v in self.versions if v.is_new]
        mixed = [
            (following.ms if following else v.ms) - v.ms
            for v, following in zip(
                self.versions, [*self.versions[1:], None], strict=True
            )
            if v.is_mixed
        ]
        return {
            "written_ms": self.written_ms,
            "proven_ms": moved[0] if moved else None,
            "mixed_ms": sum(mixed),
            "least_ready": min((v.ready for v in served), default=0),
            "versions": [
                {"ms": v.ms, "ready": v.ready, "new": v.new} for v in self.versions
            ],
        }


class Flight:
    """What is seen of one cutover, from before its first write.

    :param look: gives the endpoints of a Service as they are known now.
    :param proven: gives those that a Service's proof shows of the revision.
    :param taken_in: whether the gateways of a route have taken in its weights; none
        where users come through Services.
    """

    def __init__(
        self,
        revision_hash: str,
        how: t.Mapping[str, t.Any],
        services: t.Iterable[str],
        look: t.Callable[[str], Endpoints],
        proven: t.Callable[[str, str], frozenset[str]],
        prober: Prober | None = None,
        taken_in: t.Callable[[], bool] | None = None,
    ) -> None:
        self._hash = revision_hash
        self._how = {key: how.get(key, "") for key in ("cutover", "why")}
        self._tracks = {name: Track() for name in services}
        self._look = look
        self._proven = proven
        # All that were ever proven: on the way back the proof shows another revision.
        self._new: set[str] = set()
        self._prober = prober
        self._taken_in = taken_in
        self._written = False
        self._taken_in_ms: int | None = None
        self._began = time.monotonic()
        self.look()

    def _ms(self) -> int:
        return round((time.monotonic() - self._began) * 1000)

    def begin(self) -> None:
        """The first write is about to be sent."""
        self._began = time.monotonic()

    def written(self, service: str) -> None:
        """A Service was written; the last write of each counts."""
        self._tracks.setdefault(service, Track()).written_ms = self._ms()
        self._written = True

    def all_written(self) -> None:
        """The last Service was directed to the new revision alone."""
        if self._prober is not None:
            self._prober.settle()

    def look(self) -> None:
        """Note the endpoints of each Service, and what is said of a route: called at
        each slice and route that changes.
        """
        for name, track in self._tracks.items():
            ready = self._look(name).ready
            self._new |= self._proven(name, self._hash)
            track.add(Version(self._ms(), len(ready), len(ready & self._new)))
        waits = self._written and self._taken_in_ms is None
        if waits and self._taken_in is not None and self._taken_in():
            self._taken_in_ms = self._ms()

    @property
    def probed(self) -> Probed | None:
        """What requests have shown so far; none where none are sent."""
        return self._prober.so_far() if self._prober is not None else None

    def close(self) -> None:
        """Send no more requests."""
        if self._prober is not None:
            self._prober.stop()

    def result(self) -> dict[str, t.Any]:
        """For the record: see the documentation of ``rollout.cutover``."""
        services = {name: track.result() for name, track in self._tracks.items()}
        proven = [s["proven_ms"] for s in services.values() if s["proven_ms"]]
        found: dict[str, t.Any] = {
            "revision": self._hash,
            **self._how,
            "written_ms": max((s["written_ms"] for s in services.values()), default=0),
            "proven_ms": max(proven, default=self._ms()),
            "mixed_ms": max((s["mixed_ms"] for s in services.values()), default=0),
            "least_ready": min(
                (s["least_ready"] for s in services.values()), default=0
            ),
            "services": services,
        }
        if self._taken_in is not None:
            found["taken_in_ms"] = self._taken_in_ms
        if self._prober is not None:
            self._prober.stop()
            found["probe"] = self._prober.result(self._began)
        return found


def told(result: t.Mapping[str, t.Any]) -> str:
    """What was seen of a cutover, in one line."""
    late = result["proven_ms"] - result["written_ms"]
    parts = [
        f"endpoints seen {max(late, 0)} ms after the last write",
        f"never fewer than {result['least_ready']} ready",
    ]
    if result["mixed_ms"]:
        parts.append(f"two revisions served for {result['mixed_ms']} ms")
    taken_in = result.get("taken_in_ms")
    if taken_in is not None:
        late = max(taken_in - result["written_ms"], 0)
        parts.append(f"taken in by the gateways {late} ms after it")
    for kind, seen in (result.get("probe") or {}).items():
        parts.append(
            f"{kind} connections: {seen['errors']} of {seen['requests']} requests"
            f" failed, longest gap {seen['longest_gap_ms']} ms"
        )
    return f"seen of the cutover: {'; '.join(parts)}"
