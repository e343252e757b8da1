# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who runs webhooks and Jobs of hooks while the engine drives.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import dataclasses
import json
import typing as t

from ._analysis.measurement import Place
from ._analysis.registry import WEBHOOK
from ._analysis.spec import Metric
from ._analysis.state import RUNNING, Measurement
from ._asked_hooks import references
from ._decide_hooks import find, release_of
from ._hooks import KIND, Hook, HookState
from ._measuring import Assignment, Measured, Measuring

if t.TYPE_CHECKING:
    from ._clock import ServerClock
    from ._cluster import Cluster
    from ._model import Observed, Revision
    from ._secrets import Secrets
    from ._view import View

# A request that is sent again after a kill has at least so long to be answered.
_LEAST_SECONDS = 10.0


class Hooker:
    """Runs the webhooks and Jobs of one rollout in the background."""

    def __init__(self, cluster: Cluster, clock: ServerClock, secrets: Secrets) -> None:
        self._cluster = cluster
        self._clock = clock
        self._secrets = secrets
        self._measuring = Measuring(cluster.watches.nudge)

    def look(self, seen: Observed) -> Observed:
        """What was seen, with what runs and what has ended."""
        results = self._measuring.take()
        for result in results:
            state = seen.record.hooks.get(result.metric)
            if state is None or self._run(state) != result.run:
                # It belongs to a release that is no more.
                self._measuring.drop(result)
        return dataclasses.replace(
            seen,
            hooking=frozenset(name for _kind, name in self._measuring.under_way),
            hooked=self._measuring.take(),
        )

    def run(self, view: View, name: str) -> None:
        """Run a hook, or look how the one that was begun fares."""
        hook, state = find(view, name), view.record.hooks[name]
        metric = Metric(name, "job", hook.job)
        if hook.webhook:
            metric = Metric(name, WEBHOOK, self._request(view, hook, state))
        self._measuring.start(self._assignment(view, metric, references(hook)))

    def end(self, view: View, name: str) -> None:
        """End a Job that must not go on."""
        for result in self._measuring.take():
            if result.metric == name:
                self._measuring.drop(result)
        # It is found by its name, whatever it was made of.
        self._measuring.end(self._assignment(view, Metric(name, "job", {}), {}))

    def drop(self, measured: Measured) -> None:
        """Forget a result that is in the record."""
        self._measuring.drop(measured)

    def seconds_left(self, at_most: float) -> float:
        """Until a request must be cut off."""
        left = self._measuring.seconds_left()
        return at_most if left is None else min(left, at_most)

    def _assignment(
        self, view: View, metric: Metric, secrets: t.Mapping[str, tuple[str, str]]
    ) -> Assignment:
        state = view.record.hooks[metric.name]
        unfinished = None
        if state.metadata:
            began = state.began_at or self._clock.now()
            unfinished = Measurement(RUNNING, began, metadata=state.metadata)
        return Assignment(
            kind=KIND,
            metric=metric,
            number=state.attempts,
            place=self._place(view, state),
            values={},
            values_of_stable={},
            secrets=secrets,
            unfinished=unfinished,
        )

    def _request(self, view: View, hook: Hook, state: HookState) -> dict[str, t.Any]:
        asked = hook.webhook
        deadline = state.deadline(hook)
        left = hook.timeout_seconds * 1.0
        if deadline is not None:
            left = (deadline - self._clock.now()).total_seconds()
        # No brace of the text is to be taken for a placeholder.
        text = json.dumps(self._body(view, hook, state)).replace("{{", "{\\u007b")
        headers = asked.get("headers") or {}
        return {
            "url": "{{args.url}}" if asked.get("url_secret") else asked["url"],
            "secret_url": bool(asked.get("url_secret")),
            "headers": {
                k: f"{{{{args.{k}}}}}" if isinstance(v, dict) else v
                for k, v in headers.items()
            },
            "text": text,
            "timeout": max(left, min(_LEAST_SECONDS, hook.timeout_seconds)),
        }

    def _body(self, view: View, hook: Hook, state: HookState) -> dict[str, t.Any]:
        """What the server learns; fields of the user's own win."""
        record, rollout = view.record, self._cluster.rollout
        revision = release_of(view)
        number = revision.number if revision else record.last_number
        where = f"{self._cluster.namespace}/{rollout}"
        return {
            "rollout": rollout,
            "namespace": self._cluster.namespace,
            "hook": hook.name,
            "at": hook.at,
            "id": f"{where}/{state.id}",
            "attempt": state.attempts,
            "revision": {"number": number, "hash": record.revision},
            "stable": _brief(view.seen.revision(record.stable)),
            "active": _brief(view.active),
            "phase": record.phase,
            "stage": record.stage,
            "message": record.message,
            # What Slack and Teams show.
            "text": f"{where}, revision {number}, {hook.at}: {record.message}",
            **hook.webhook.get("body", {}),
        }

    def _run(self, state: HookState) -> str:
        """What tells the Jobs of one release from those of another."""
        return f"{self._cluster.rollout}-{state.id.rpartition('.')[0]}"

    def _place(self, view: View, state: HookState) -> Place:
        revision = release_of(view)
        return Place(
            now=self._clock.now,
            secret=self._secrets.get,
            api=lambda: self._cluster.api,
            namespace=self._cluster.namespace,
            rollout=self._cluster.rollout,
            revision=view.record.revision,
            stable=view.record.stable,
            run=self._run(state),
            owner=self._cluster.owner_reference(revision) if revision else None,
        )


def _brief(revision: Revision | None) -> dict[str, t.Any] | None:
    if revision is None:
        return None
    return {"number": revision.number, "hash": revision.hash}
