# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was sent to the API server, as its audit log has it."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import typing as t
import urllib.parse

from .kube import AGENT
from .waiting import eventually

WRITES = ("create", "update", "patch", "delete", "deletecollection")


@dataclasses.dataclass(frozen=True)
class Request:
    """One request; `code` is 0 for a watch that was still being opened."""

    verb: str
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str
    uri: str
    user: str
    user_agent: str
    code: int
    dry_run: bool

    @property
    def write(self) -> bool:
        return self.verb in WRITES and not self.dry_run

    def __str__(self) -> str:
        return f"{self.verb} {self.uri} {self.code} ({self.user}, {self.user_agent})"


class Wire:
    """The requests since it was made or marked, without those of the tests' own client.

    `namespace` limits them to one namespace (and so leaves out discovery and the
    like); None takes all.
    """

    def __init__(self, audit_log: pathlib.Path, namespace: str | None) -> None:
        self._log = audit_log
        self._namespace = namespace
        self._offset = 0
        self.mark()

    def mark(self) -> None:
        """Forget what was before."""
        self._offset = eventually(
            self._end_of_last_line, 5, f"a whole line in {self._log}"
        )

    def _end_of_last_line(self) -> int:
        content = self._log.read_bytes()
        return len(content) if content.endswith(b"\n") else 0

    @property
    def requests(self) -> list[Request]:
        """The requests received since the mark, in that order, all answered.

        The server logs a request before it handles it, and once more when it has
        answered: so the log itself tells when it is complete.
        """
        latest: dict[str, dict[str, t.Any]] = {}

        def complete() -> bool:
            latest.clear()
            for event in self._events():
                if event["stage"] == "RequestReceived" or event["auditID"] in latest:
                    latest[event["auditID"]] = event
            return not any(map(_unanswered, latest.values()))

        eventually(complete, 10, "an answer, in the audit log, to each request")
        return [_request(event) for event in latest.values()]

    @property
    def writes(self) -> list[Request]:
        return [request for request in self.requests if request.write]

    @property
    def reads(self) -> list[Request]:
        return [request for request in self.requests if not request.write]

    def _events(self) -> t.Iterator[dict[str, t.Any]]:
        with self._log.open("rb") as file:
            file.seek(self._offset)
            content = file.read()
        for line in content[: content.rfind(b"\n") + 1].splitlines():
            event = json.loads(line)
            if self._counts(event):
                yield event

    def _counts(self, event: dict[str, t.Any]) -> bool:
        if event.get("userAgent", "").startswith(AGENT):
            return False
        namespace = event.get("objectRef", {}).get("namespace")
        return self._namespace is None or namespace == self._namespace


def _unanswered(event: dict[str, t.Any]) -> bool:
    return bool(event["stage"] == "RequestReceived")


def _request(event: dict[str, t.Any]) -> Request:
    target = event.get("objectRef", {})
    query = urllib.parse.urlsplit(event["requestURI"]).query
    return Request(
        verb=event["verb"],
        group=target.get("apiGroup", ""),
        resource=target.get("resource", ""),
        subresource=target.get("subresource", ""),
        namespace=target.get("namespace", ""),
        name=target.get("name", ""),
        uri=event["requestURI"],
        user=event["user"]["username"],
        user_agent=event.get("userAgent", ""),
        code=event.get("responseStatus", {}).get("code", 0),
        dry_run="dryRun" in urllib.parse.parse_qs(query),
    )
