# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests of our own through the active Service while it moves, on new and on reused
connections, as users send them. None is ever sent again.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import dataclasses
import http.client
import json
import ssl
import threading
import time
import typing as t
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ._errors import BadInput, shown
from ._manifests import parse
from ._model import Probed
from ._parameters import canonical

NEW, REUSED = "new", "reused"
KINDS = (NEW, REUSED)
MOST_PER_SECOND = 50
# A cutover that is held open by nothing but a probe would never end.
_MOST_SECONDS = 60
_DEFAULTS: dict[str, t.Any] = {
    "rate": 20,
    "timeout_seconds": 2,
    "settle_seconds": 5,
    "host": "",
    "version_header": "",
    "ca_cert": "",
    "insecure": False,
}
# Before the first write both kinds of connection are seen to work, or not to.
_BASELINE_SECONDS = 1.0


def parse_probe(value: object, variable: str) -> str:
    """The probe of a release as canonical JSON text; empty if none is asked for.

    :raises BadInput: one sentence about the first thing that is wrong.
    """
    if value is None or value in ("", False):
        return ""
    given = {"url": value} if _is_url(value) else parse(value, variable)
    unknown = sorted(set(given) - {"url", *_DEFAULTS})
    if unknown:
        raise BadInput(
            f"{variable}: {unknown[0]} is not known; give url, and any of"
            f" {', '.join(_DEFAULTS)}."
        )
    if not _is_url(given.get("url")):
        raise BadInput(
            f"{variable}: url is {shown(given.get('url'))}; give the http:// or https://"
            " address at which users reach the active Service from here."
        )
    if "@" in urlsplit(str(given["url"])).netloc:
        raise BadInput(
            f"{variable}: url holds credentials, which would stand in the cluster for"
            " all to read; give one that needs none."
        )
    for name, least, most in (
        ("rate", 1, MOST_PER_SECOND),
        ("timeout_seconds", 1, 30),
        ("settle_seconds", 0, _MOST_SECONDS),
    ):
        number = _number(given.get(name, _DEFAULTS[name]), variable, name)
        if not least <= number <= most:
            raise BadInput(f"{variable}: {name} is {number}; give {least} to {most}.")
        given[name] = number
    ca_cert = str(given.get("ca_cert") or "")
    if ca_cert:
        try:
            ssl.create_default_context(cadata=ca_cert)
        except (ssl.SSLError, ValueError):
            raise BadInput(
                f"{variable}: ca_cert holds no certificate that can be read; give the"
                " PEM text."
            ) from None
    return canonical({k: v for k, v in given.items() if v != _DEFAULTS.get(k)})


def _is_url(value: object) -> bool:
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        return bool(
            parts
            and parts.scheme in ("http", "https")
            and parts.hostname
            and (parts.port is None or parts.port > 0)
        )
    except ValueError:
        return False


def _number(value: object, variable: str, name: str) -> int:
    # AWX surveys send strings.
    if isinstance(value, bool) or not str(value).isdigit():
        raise BadInput(f"{variable}: {name} is {value!r}; give a whole number.")
    return int(str(value))


@dataclass
class Answers:
    """What came back on one kind of connection. Instants are monotonic seconds."""

    requests: int = 0
    errors: int = 0
    first_error: str = ""
    last_success: float | None = None
    longest_gap: float = 0.0
    # When each version answered first and last.
    versions: dict[str, tuple[float, float]] = field(default_factory=dict)

    def took(self, version: str, at: float) -> None:
        """A request was answered well."""
        self.requests += 1
        if self.last_success is not None:
            self.longest_gap = max(self.longest_gap, at - self.last_success)
        self.last_success = at
        if version:
            first, _last = self.versions.get(version, (at, at))
            self.versions[version] = (first, at)

    def failed(self, why: str) -> None:
        """A request was not answered, or with a server's error."""
        self.requests += 1
        self.errors += 1
        self.first_error = self.first_error or why

    def result(self, began: float) -> dict[str, t.Any]:
        """Counts, and milliseconds from the first write."""
        found: dict[str, t.Any] = {
            "requests": self.requests,
            "errors": self.errors,
            "longest_gap_ms": round(self.longest_gap * 1000),
        }
        if self.first_error:
            found["first_error"] = self.first_error
        if self.versions:
            found["versions"] = {
                version: {
                    "first_ms": round((first - began) * 1000),
                    "last_ms": round((last - began) * 1000),
                }
                for version, (first, last) in self.versions.items()
            }
        return found


class Prober:
    """Sends requests in the background until it is stopped.

    :param text: the probe, as :func:`parse_probe` gives it.
    """

    def __init__(self, text: str) -> None:
        config = {**_DEFAULTS, **json.loads(text)}
        self._config = config
        self._target = urlsplit(config["url"])
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._answers = {kind: Answers() for kind in KINDS}
        self._settled_at: float | None = None
        self._threads = [
            threading.Thread(target=self._send, args=(kind,), daemon=True)
            for kind in KINDS
        ]

    def start(self) -> None:
        """Begin, and see that both kinds of connection were tried before the move."""
        for thread in self._threads:
            thread.start()
        self._stop.wait(_BASELINE_SECONDS)

    def settle(self) -> None:
        """The move is written: go on for so long, and no longer."""
        self._settled_at = time.monotonic() + self._config["settle_seconds"]

    def stop(self) -> None:
        """End it; a request that is on its way is not waited for beyond its timeout."""
        self._stop.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(self._config["timeout_seconds"] + 1)

    def so_far(self) -> Probed:
        """What was seen until now."""
        with self._lock:
            answers = [dataclasses.replace(a) for a in self._answers.values()]
        left = 0.0
        if self._settled_at is not None and not self._stop.is_set():
            left = max(self._settled_at - time.monotonic(), 0.0)
        return Probed(
            requests=sum(a.requests for a in answers),
            errors=sum(a.errors for a in answers),
            first_error=next((a.first_error for a in answers if a.first_error), ""),
            seconds_left=left,
        )

    def result(self, began: float) -> dict[str, t.Any]:
        """For the record, by the kind of connection."""
        with self._lock:
            return {kind: a.result(began) for kind, a in self._answers.items()}

    def _send(self, kind: str) -> None:
        period = 1 / self._config["rate"]
        connection: http.client.HTTPConnection | None = None
        while not self._stop.is_set():
            began = time.monotonic()
            if connection is None:
                connection = self._connection()
            keeps = self._once(kind, connection)
            if kind == NEW or not keeps:
                connection.close()
                connection = None
            self._stop.wait(max(period - (time.monotonic() - began), 0.0))
        if connection is not None:
            connection.close()

    def _once(self, kind: str, connection: http.client.HTTPConnection) -> bool:
        """One request; whether the connection may be used again."""
        config, target = self._config, self._target
        path = target.path or "/"
        headers = {"User-Agent": "cutover.bluegreen"}
        if config["host"]:
            headers["Host"] = config["host"]
        if kind == NEW:
            headers["Connection"] = "close"
        try:
            connection.request(
                "GET", f"{path}?{target.query}" if target.query else path, None, headers
            )
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException) as error:
            with self._lock:
                self._answers[kind].failed(_reason(error))
            return False
        version = ""
        if config["version_header"]:
            version = response.getheader(config["version_header"]) or ""
        with self._lock:
            if response.status >= 500:
                self._answers[kind].failed(f"HTTP status {response.status}")
            else:
                self._answers[kind].took(version[:100], time.monotonic())
        return not response.will_close

    def _connection(self) -> http.client.HTTPConnection:
        target, seconds = self._target, self._config["timeout_seconds"]
        host = str(target.hostname)
        if target.scheme == "http":
            return http.client.HTTPConnection(host, target.port, timeout=seconds)
        context = ssl.create_default_context(cadata=self._config["ca_cert"] or None)
        if self._config["insecure"]:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return http.client.HTTPSConnection(
            host, target.port, timeout=seconds, context=context
        )


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, http.client.RemoteDisconnected):
        return "the connection was closed before an answer came"
    return f"{type(error).__name__}: {error}"[:200]
