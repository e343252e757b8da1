# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who looks on while others release: shows each change until the rollout rests.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import math
import time
import typing as t

from ._driver import Driving
from ._engine import HEARTBEAT_SECONDS
from ._lock import RENEW_SECONDS, SeenLock
from ._model import Observed
from ._rest import UNKNOWN, why_at_rest
from ._status import tree_of_present, when

if t.TYPE_CHECKING:
    from ._tasks import Task

SECONDS_BETWEEN_TREES = 1.0


class Watching:
    """Shows a rollout's tree at each change, and writes nothing."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._lock = SeenLock(
            task.api, task.namespace, task.name, task.runtime.holder.identity()
        )
        # Trees as of this instant differ by more than their countdowns.
        self._began = task.clock.now()
        self._shown: list[str] = []
        self._shown_at = self._told_at = -math.inf

    def until_rest(self, seconds: float) -> str:
        """Watch, at most so long; 0 means for ever.

        :returns: why the rollout rests, as a clause; empty if the time is over.
        """
        deadline = time.monotonic() + seconds if seconds else math.inf
        self._lock.load()
        self._task.cluster.load_pods_of_rollout()
        while True:
            seen = self._look()
            rest = why_at_rest(seen, self._driving()) and self._confirmed()
            left = deadline - time.monotonic()
            if rest or left <= 0:
                return rest
            self._wait(min(left, self._show(seen)))

    def driver(self) -> str:
        """Who drives it, as a clause."""
        driving = self._driving()
        return f"driven by {driving.by}" if driving.live else "driven by no run"

    def _driving(self) -> Driving:
        return self._lock.driving()

    def _look(self) -> Observed:
        task = self._task
        if task.cluster.has_other_services:
            task.reopen()
            task.cluster.load_pods_of_rollout()
            self._lock.load()
        return task.engine.observe_anew()

    def _confirmed(self) -> str:
        # Each kind has a watch of its own: that the lock is free may be heard of before
        # the last that was written under it.
        self._task.cluster.reload()
        self._lock.load()
        return why_at_rest(self._look(), self._driving())

    def _show(self, seen: Observed) -> float:
        """Report the tree if it has changed; seconds until there is more to report."""
        now, driver = time.monotonic(), self.driver()
        comparable = [driver, *self._tree(seen, changing=False)]
        if comparable == self._shown:
            return self._keep_alive(seen, now)
        early = self._shown_at + SECONDS_BETWEEN_TREES - now
        if early > 0:
            return early
        self._shown = comparable
        self._shown_at = self._told_at = now
        head = f"{seen.record.phase or UNKNOWN}, {driver}"
        # An empty line tells one tree from the next; Ansible takes a newline at the end
        # for its own.
        self._task.report("\n".join((head, *self._tree(seen)[1:], "\n")))
        return float(RENEW_SECONDS)

    def _keep_alive(self, seen: Observed, now: float) -> float:
        # Some CI ends a job that is silent.
        if now - self._told_at >= HEARTBEAT_SECONDS:
            self._told_at = now
            goes_on = when(seen.record, self._task.clock.now())
            unchanged = f"{seen.record.phase or UNKNOWN}, unchanged"
            self._task.report("; ".join(filter(None, (unchanged, goes_on))))
        # A driver that is gone changes nothing: it is looked for when it should renew.
        return float(RENEW_SECONDS)

    def _tree(self, seen: Observed, changing: bool = True) -> list[str]:
        task = self._task
        at = task.clock.now() if changing else self._began
        pods = list(task.cluster.pods_of_rollout.items.values())
        return tree_of_present(task.name, task.namespace, seen, pods, at)

    def _wait(self, seconds: float) -> None:
        cluster = self._task.cluster
        cluster.watches.watch([self._lock.leases])
        cluster.wait(seconds)
