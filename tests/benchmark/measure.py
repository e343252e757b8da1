# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measuring: what a program costs, what was sent, what a release looked like."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import pathlib
import re
import subprocess
import threading
import time
import typing as t

from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
    Kube,
    Object,
    resource_path,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.watcher import (
    REVISION_LABEL,
    SERVICE_LABEL,
    Stream,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.wire import WRITES

AGENT = "bluegreen-tests"
PAGE = os.sysconf("SC_PAGE_SIZE")
RECAP = re.compile(r"^\S+\s+: ok=(\d+) .*failed=(\d+)\s+skipped=(\d+)", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Cost:
    """What one program cost, its children included."""

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int
    """The most that its process tree held at a time: the sum of resident sizes."""
    ok: int
    skipped: int
    stdout: str


def run(command: t.Sequence[str], environment: t.Mapping[str, str]) -> Cost:
    """Run ansible-playbook to its end; a failure of it ends the benchmark."""
    started = time.monotonic()
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        memory = Memory(process.pid)
        memory.start()
        assert process.stdout is not None
        stdout = process.stdout.read()
        _pid, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        memory.stop()
    counts = RECAP.findall(stdout)
    if process.returncode != 0 or not counts:
        raise SystemExit(f"{' '.join(command)} failed:\n{stdout}")
    return Cost(
        wall_seconds=wall,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_bytes=memory.peak_bytes,
        ok=sum(int(ok) for ok, _failed, _skipped in counts),
        skipped=sum(int(skipped) for _ok, _failed, skipped in counts),
        stdout=stdout,
    )


class Memory(threading.Thread):
    """Samples the resident size of a process and all of its descendants."""

    def __init__(self, pid: int, every_seconds: float = 0.1) -> None:
        super().__init__(daemon=True, name="memory")
        self._pid = pid
        self._every = every_seconds
        self._ending = threading.Event()
        self.peak_bytes = 0

    def run(self) -> None:
        while not self._ending.wait(self._every):
            self.peak_bytes = max(self.peak_bytes, tree_bytes(self._pid))

    def stop(self) -> None:
        self._ending.set()
        self.join()


def tree_bytes(root: int) -> int:
    """Return the sum of the resident sizes of a process and its descendants."""
    total, waiting = 0, [root]
    while waiting:
        process = pathlib.Path(f"/proc/{waiting.pop()}")
        try:
            total += int((process / "statm").read_text().split()[1]) * PAGE
            for task in (process / "task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
        except OSError:
            continue  # it has ended
    return total


# --- the wire


@dataclasses.dataclass(frozen=True)
class Request:
    """One request, and when the API server received it (epoch seconds)."""

    at: float
    seconds: float
    verb: str
    what: str
    code: int

    @property
    def write(self) -> bool:
        """Whether it changes what is stored: no dry run or access review does."""
        return self.verb in WRITES and not self.what.startswith("selfsubject")


class Wire:
    """The requests since it was made, from the audit log, but for those of our own."""

    def __init__(self, audit_log: pathlib.Path) -> None:
        self._log = audit_log
        self._offset = audit_log.stat().st_size

    def requests(self) -> list[Request]:
        """The requests up to now, in the order in which they were received."""
        with self._log.open("rb") as file:
            file.seek(self._offset)
            content = file.read()
        found: dict[str, Request] = {}
        for line in content[: content.rfind(b"\n") + 1].splitlines():
            event = json.loads(line)
            if not event.get("userAgent", "").startswith(AGENT):
                found[event["auditID"]] = _request(event)
        return sorted(found.values(), key=lambda request: request.at)


def _request(event: Object) -> Request:
    target = event.get("objectRef", {})
    parts = [target.get(key, "") for key in ("resource", "subresource", "name")]
    what = "/".join(part for part in parts if part) or event["requestURI"]
    query = event["requestURI"].partition("?")[2]
    verb = event["verb"]
    if "dryRun" in query:
        verb = f"{verb} (dry run)"
    at = _instant(event["requestReceivedTimestamp"])
    return Request(
        at=at,
        seconds=_instant(event["stageTimestamp"]) - at,
        verb=verb,
        what=what,
        code=event.get("responseStatus", {}).get("code", 0),
    )


def _instant(text: str) -> float:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def _is_ready(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


# --- a release, as an independent witness sees it


class Witness:
    """Watches one namespace; instants are this process's monotonic clock."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self._ready: dict[str, dict[str, float]] = {}
        self._directed: dict[str, float] = {}
        self._only: dict[str, float] = {}
        self._revisions: dict[str, str] = {}
        self._lock = threading.Lock()
        self._streams = [
            Stream(kube, resource_path(resource, namespace), selector, see)
            for resource, selector, see in (
                ("pods", REVISION_LABEL, self._see_pods),
                ("services", None, self._see_services),
                ("endpointslices", f"{SERVICE_LABEL}=web", self._see_slices),
            )
        ]
        for stream in self._streams:
            stream.start()

    def _see_pods(self, items: list[tuple[Object, bool]]) -> None:
        now = time.monotonic()
        for pod, _deleted in items:
            metadata = pod["metadata"]
            revision = metadata["labels"][REVISION_LABEL]
            with self._lock:
                self._revisions[metadata["name"]] = revision
                if _is_ready(pod):
                    ready = self._ready.setdefault(revision, {})
                    ready.setdefault(metadata["name"], now)

    def _see_services(self, items: list[tuple[Object, bool]]) -> None:
        now = time.monotonic()
        for service, _deleted in items:
            revision = service["spec"].get("selector", {}).get(REVISION_LABEL)
            if service["metadata"]["name"] == "web" and revision:
                self._directed.setdefault(revision, now)

    def _see_slices(self, items: list[tuple[Object, bool]]) -> None:
        now = time.monotonic()
        for each, _deleted in items:
            pods = [e["targetRef"]["name"] for e in each.get("endpoints") or []]
            with self._lock:
                revisions = {self._revisions.get(pod, "") for pod in pods}
            if len(revisions) == 1:
                self._only.setdefault(revisions.pop(), now)

    def latencies(self, replicas: int) -> tuple[float, float]:
        """Return seconds from the last pod's readiness to the active Service's write,
        and from there to the slices that list the new revision alone.
        """
        time.sleep(0.5)  # what was sent has been read by now
        for stream in self._streams:
            stream.stop()
        newest = max(self._directed, key=lambda revision: self._directed[revision])
        ready = sorted(self._ready[newest].values())[:replicas]
        directed = self._directed[newest]
        return directed - ready[-1], self._only[newest] - directed
