# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The new revision's own health, from the Kubernetes API alone.

It grows while it is measured, so a pod that is still starting is no trouble: what is
normal then, such as probes that fail or a node that is not there yet, counts only once
the pod was ready or its time to start is over. Private to the collection: it may
change in any release.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from datetime import datetime, timedelta

from ... import _names as names
from ..._clock import parse_instant
from ..._cluster import pod_trouble
from ..fields import (
    refuse,
    seconds,
    seconds_problems,
    text_problems,
    unknown_problems,
    window,
    window_problems,
)
from ..http import shown
from ..measurement import MeasurementError, Outcome, Place, Problem, Request, Value
from ..objects import (
    Object,
    asking,
    container_statuses,
    image_trouble,
    items,
    path,
    waiting_reason,
)

STARTUP_SECONDS = 60.0
WINDOW_SECONDS = 300.0

_API_SECONDS = 120.0
_FIELDS = ("selector", "startupSeconds", "window")
_MOST_REASONS = 10
# kubelet writes a pod's start and its first conditions together, in whole seconds.
_FIRST_CONDITIONS = timedelta(seconds=2)
# Kubernetes repeats these for pods that work, for as long as they live.
_HARMLESS = ("DNSConfigForming", "FailedToRetrieveImagePullSecret")


def problems(config: t.Mapping[str, t.Any]) -> list[Problem]:
    """What is wrong with the block."""
    return [
        *unknown_problems(config, _FIELDS, "pods"),
        *text_problems(config.get("selector"), "pods.selector", required=False),
        *seconds_problems(config.get("startupSeconds"), "pods.startupSeconds"),
        *window_problems(config.get("window"), "pods.window"),
    ]


def rights(config: t.Mapping[str, t.Any]) -> dict[str, tuple[str, ...]]:
    """What the user of the Kubernetes API needs for it, by resource."""
    return {"pods": ("list",), "events": ("list",)}


def seconds_allowed(config: t.Mapping[str, t.Any]) -> float:
    """For two lists."""
    return _API_SECONDS


def measure(request: Request) -> Outcome:
    """Look at the pods and their Events once."""
    config, place = request.config, request.place
    refuse(problems(config))
    selector = _selector(config, place)
    with asking(f"The pods of {place.namespace} with {selector}"):
        api = place.api()
        pods = items(api, path(place.namespace, "pods"), {"labelSelector": selector})
        warnings = {"fieldSelector": "type=Warning,involvedObject.kind=Pod"}
        health = health_of(
            pods,
            items(api, path(place.namespace, "events"), warnings) if pods else [],
            place.now(),
            startup_seconds=seconds(config.get("startupSeconds"), STARTUP_SECONDS),
            window_seconds=window(config.get("window"), WINDOW_SECONDS),
        )
    return Value(health if health["pods"] else None, {"selector": selector})


def _selector(config: t.Mapping[str, t.Any], place: Place) -> str:
    given = str(config.get("selector") or "").strip()
    if given:
        return given
    if not place.rollout or not place.revision:
        raise MeasurementError(
            "pods.selector: nothing was found, and this analysis belongs to no rollout"
            " whose pods could be looked at; give a label selector such as app=web."
        )
    return f"{names.LABEL_ROLLOUT}={place.rollout},{names.LABEL_HASH}={place.revision}"


def health_of(
    pods: t.Sequence[Object],
    events: t.Sequence[Object],
    now: datetime,
    startup_seconds: float = STARTUP_SECONDS,
    window_seconds: float = WINDOW_SECONDS,
) -> dict[str, t.Any]:
    """How these pods fare.

    :param pods: as the API lists them.
    :param events: Events of any pods.
    :param startup_seconds: so long a pod may take until it is ready for the first time.
    :param window_seconds: an Event counts for so long after it was last seen.
    """
    startup = timedelta(seconds=startup_seconds)
    present = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    # Kubernetes has replaced a pod that it took from its node, for want of memory
    # there or because the node was shut down; that is not the revision's health.
    living = [_seen(pod, startup) for pod in present if not _has_ended(pod)]
    began = now - timedelta(seconds=window_seconds)
    working_since = {pod.uid: pod.working_since for pod in living}
    warnings = [e for e in events if _is_warning(e, working_since, began)]
    ready_since = [pod.ready_since for pod in living if pod.ready_since is not None]
    oldest = (now - min(ready_since, default=now)).total_seconds()
    unready = [pod for pod in living if pod.is_unready(now)]
    reasons = [f"{pod.name}: {pod.trouble}" for pod in unready]
    reasons += [f"{pod.name}: {restart}" for pod in living for restart in pod.restarted]
    reasons += [_reason(event) for event in warnings]
    return {
        "pods": len(living),
        "ready": len(ready_since),
        "unready": len(unready),
        # Early: what is long is cut at its end where it is kept.
        "reasons": _capped([shown(reason) for reason in reasons]),
        "lost_ready": sum(pod.lost_ready for pod in living),
        "restarts": sum(pod.restarts for pod in living),
        "crash_loops": sum(pod.crash_loops for pod in living),
        "image_errors": sum(pod.lacks_image for pod in living),
        "ended": len(present) - len(living),
        "warnings": len(warnings),
        "oldest_ready_seconds": max(int(oldest), 0),
    }


def _capped(reasons: list[str]) -> list[str]:
    left = len(reasons) - _MOST_REASONS
    return reasons if left <= 0 else [*reasons[:_MOST_REASONS], f"and {left} more"]


# -- a pod ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Pod:
    """What counts of a pod."""

    uid: str
    name: str
    # None unless it is ready.
    ready_since: datetime | None
    # It was ready before, and is not now.
    lost_ready: bool
    # When its time to start is over.
    started_until: datetime
    # From here on a warning about it is no part of its start.
    working_since: datetime
    restarts: int
    restarted: tuple[str, ...]
    crash_loops: bool
    lacks_image: bool
    trouble: str

    def is_unready(self, now: datetime) -> bool:
        """Whether it should be ready by now, and is not."""
        late = now > self.started_until
        return self.ready_since is None and (self.lost_ready or late)


def _seen(pod: Object, startup: timedelta) -> _Pod:
    metadata, status = pod["metadata"], pod.get("status") or {}
    start = _instant(status.get("startTime") or metadata["creationTimestamp"])
    ready = _ready_condition(status)
    changed = _instant(ready.get("lastTransitionTime") or metadata["creationTimestamp"])
    is_ready = ready.get("status") == "True"
    lost = bool(ready) and not is_ready and changed - start > _FIRST_CONDITIONS
    was_ready = is_ready or lost
    restarting = _restarting(pod)
    return _Pod(
        uid=metadata["uid"],
        name=metadata["name"],
        ready_since=changed if is_ready else None,
        lost_ready=lost,
        started_until=start + startup,
        working_since=min(changed, start + startup) if was_ready else start + startup,
        restarts=sum(c.get("restartCount") or 0 for c in restarting),
        restarted=tuple(_restart(c) for c in restarting if c.get("restartCount")),
        crash_loops="CrashLoopBackOff" in map(waiting_reason, container_statuses(pod)),
        lacks_image=bool(image_trouble(pod)),
        trouble=pod_trouble(pod) or "not ready",
    )


def _has_ended(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded")


def _ready_condition(status: Object) -> Object:
    for condition in status.get("conditions") or []:
        if condition.get("type") == "Ready":
            return t.cast(Object, condition)
    return {}


def _instant(text: object) -> datetime:
    instant = parse_instant(str(text))
    if instant is None:
        raise ValueError(f"no instant: {text!r}")
    return instant


def _restarting(pod: Object) -> list[Object]:
    """The containers whose restart is a failure: one that only initialises may well
    be tried until what it waits for is there.
    """
    initial = (pod.get("spec") or {}).get("initContainers") or []
    once = {c["name"] for c in initial if c.get("restartPolicy") != "Always"}
    return [c for c in container_statuses(pod) if c.get("name") not in once]


def _restart(container: Object) -> str:
    ended = (container.get("lastState") or {}).get("terminated") or {}
    why = f", last with exit code {ended['exitCode']}" if "exitCode" in ended else ""
    reason = f" ({ended['reason']})" if ended.get("reason") else ""
    times = container["restartCount"]
    return (
        f"container {container.get('name')} was restarted"
        f" {times} time{'' if times == 1 else 's'}{why}{reason}"
    )


# -- Events --------------------------------------------------------------------------


def _is_warning(
    event: Object, working_since: t.Mapping[str, datetime], began: datetime
) -> bool:
    about = str((event.get("involvedObject") or {}).get("uid"))
    if event.get("type") != "Warning" or about not in working_since:
        return False
    if event.get("reason") in _HARMLESS:
        return False
    return _last_seen(event) > max(working_since[about], began)


def _last_seen(event: Object) -> datetime:
    return _instant(
        (event.get("series") or {}).get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or event["metadata"]["creationTimestamp"]
    )


def _reason(event: Object) -> str:
    said = (event["involvedObject"].get("name"), event.get("reason"))
    return ": ".join(str(s) for s in (*said, event.get("message")) if s)
