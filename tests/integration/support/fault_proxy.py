# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A proxy in front of the API server that breaks the requests that it is told to.

with FaultProxy(kubeconfig, folder) as proxy:
    line = proxy.line(at(7, Fault.STATUS_503))
    ... a run with KUBECONFIG=line.kubeconfig ...
    line.arrivals, line.injected

Only the runs under test go through it: each has a line, a kubeconfig of its own, by
which its requests are known for as long as the proxy lives.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import http.client
import http.server
import json
import pathlib
import random
import select
import socket
import struct
import sys
import threading
import time
import typing as t
from urllib.parse import parse_qs, urlsplit

import urllib3
import yaml

from ansible_collections.cutover.bluegreen.plugins.module_utils._api import parse_path
from ansible_collections.cutover.bluegreen.plugins.module_utils._auth import connect

from .playbook import Handle

# A little longer than a driver waits for an answer; a watch is let go earlier, as the
# networks between do it.
HANG_SECONDS = 35.0
WATCH_HANG_SECONDS = 2.0
# A killed run may have sent what arrives now, but nothing arrives later.
GRACE_SECONDS = 1.0
# Only where a run has fewer requests than those before it.
QUIET_SECONDS = 6.0
KEPT_CONNECTIONS = 100
_VERBS = {
    "GET": "get",
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}
_NOT_PASSED_ON = {"connection", "content-length", "host", "transfer-encoding"}
_RESET = struct.pack("ii", 1, 0)


class Fault(enum.Enum):
    """What becomes of a request."""

    KILL_BEFORE = "everything killed before the request is forwarded"
    KILL_AFTER = "everything killed after it took effect, before the answer"
    KILL_GROUP = "only the process group killed, the request forwarded"
    DROP_ANSWER = "took effect, the answer lost"
    CLOSE = "connection closed before it took effect"
    HANG = "no answer"
    STATUS_409 = 409
    STATUS_410 = 410
    STATUS_429 = 429
    STATUS_500 = 500
    STATUS_503 = 503

    @property
    def kills(self) -> bool:
        return self in (Fault.KILL_BEFORE, Fault.KILL_AFTER, Fault.KILL_GROUP)

    def applies_to(self, arrival: Arrival) -> bool:
        """Whether this can befall such a request, and differs from another fault."""
        if self in (Fault.KILL_AFTER, Fault.DROP_ANSWER, Fault.STATUS_409):
            return arrival.writes
        if self is Fault.STATUS_410:
            return arrival.verb in ("list", "watch")
        return True


@dataclasses.dataclass(frozen=True)
class Arrival:
    """One request as it came in.

    `number` counts from 1 in its namespace and line; watches are counted apart.
    """

    number: int
    verb: str
    resource: str
    # Of a Service: there are few, and each has a part of its own.
    name: str
    namespace: str
    dry_run: bool
    at: float

    @property
    def kind(self) -> str:
        """What requests of the same kind have in common."""
        dry_run = " (dry-run)" if self.dry_run else ""
        name = f" {self.name}" if self.name else ""
        return f"{self.verb} {self.resource}{name}{dry_run}"

    @property
    def watches(self) -> bool:
        return self.verb == "watch"

    @property
    def writes(self) -> bool:
        return self.verb in ("create", "update", "patch", "delete") and not (
            self.dry_run or self.resource.endswith("reviews")
        )

    def __str__(self) -> str:
        number = f"W{self.number}" if self.watches else str(self.number)
        return f"{number} {self.kind} ({self.namespace})"


# Which fault befalls a request, if any; asked once for each, one at a time.
Plan = t.Callable[[Arrival], "Fault | None"]


def no_fault(arrival: Arrival) -> Fault | None:
    return None


def at(number: int, fault: Fault, watch: bool = False) -> Plan:
    """The fault befalls the request of this number."""

    def plan(arrival: Arrival) -> Fault | None:
        hit = (arrival.number, arrival.watches) == (number, watch)
        return fault if hit and fault.applies_to(arrival) else None

    return plan


def first_of(kinds: t.Collection[str], fault: Fault) -> Plan:
    """The fault befalls the first request of each of these kinds."""
    left = set(kinds)

    def plan(arrival: Arrival) -> Fault | None:
        if arrival.kind not in left or not fault.applies_to(arrival):
            return None
        left.discard(arrival.kind)
        return fault

    return plan


def by_namespace(plans: t.Mapping[str, Plan]) -> Plan:
    """Each namespace has a plan of its own."""
    return lambda arrival: plans.get(arrival.namespace, no_fault)(arrival)


def randomly(seed: int, share: float, faults: t.Sequence[Fault]) -> Plan:
    """So large a share of all requests fails, each with one of the faults."""
    source = random.Random(seed)

    def plan(arrival: Arrival) -> Fault | None:
        fault = source.choice(faults) if source.random() < share else None
        return fault if fault and fault.applies_to(arrival) else None

    return plan


class Line:
    """One run's way to the API server.

    A kill waits until `kills` requests are to be killed at: so one run of many hosts
    is killed in the middle of a request of each of them.
    """

    def __init__(self, kubeconfig: pathlib.Path, plan: Plan, kills: int) -> None:
        self.kubeconfig = kubeconfig
        self.arrivals: list[Arrival] = []
        self.injected: list[tuple[Arrival, Fault]] = []
        self._plan = plan
        self._lock = threading.Lock()
        self._numbers: dict[tuple[str, bool], int] = {}
        self._kills = kills
        self._held = 0
        self._last_arrival = time.monotonic()
        self._victim: Handle | None = None
        self._changed = threading.Condition(self._lock)
        self._killed_at: float | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What a run needs to come this way."""
        return {"KUBECONFIG": str(self.kubeconfig)}

    def leads(self, victim: Handle) -> None:
        """Say whose requests these are: whom a kill hits."""
        with self._changed:
            self._victim = victim
            self._changed.notify_all()

    def take(
        self, verb: str, resource: str, name: str, namespace: str, dry_run: bool
    ) -> tuple[Arrival, Fault | None]:
        """Count a request; return it, and the fault that befalls it."""
        with self._lock:
            key = (namespace, verb == "watch")
            number = self._numbers[key] = self._numbers.get(key, 0) + 1
            now = time.monotonic()
            arrival = Arrival(number, verb, resource, name, namespace, dry_run, now)
            self.arrivals.append(arrival)
            if resource != "leases":
                self._last_arrival = now
            fault = self._plan(arrival)
            if fault is not None:
                self.injected.append((arrival, fault))
            return arrival, fault

    def kill(self, fault: Fault) -> None:
        """Kill the run as the fault says, when it is held at every request to be
        killed at, or goes on nowhere else.
        """
        with self._changed:
            self._held += 1
            self._changed.notify_all()
            while not (self._killed_at or self._is_time()):
                self._changed.wait(0.1)
            if self._killed_at is None:
                victim = t.cast(Handle, self._victim)
                # Nothing arrives meanwhile: this holds the lock.
                if fault is Fault.KILL_GROUP:
                    victim.kill_group()
                else:
                    victim.kill_tree()
                self._killed_at = time.monotonic()
                self._changed.notify_all()

    def _is_time(self) -> bool:
        quiet = time.monotonic() - self._last_arrival > QUIET_SECONDS
        return self._victim is not None and (self._held >= self._kills or quiet)

    def await_kill(self) -> None:
        """Wait until a kill that was begun is done."""
        with self._changed:
            if any(fault.kills for _arrival, fault in self.injected):
                done = self._changed.wait_for(lambda: self._killed_at, 60)
                assert done, "the kill did not end"

    def assert_silent_since_kill(self) -> None:
        """Fail if a request of the killed run arrived a second later, or since."""
        if self._killed_at is None:
            return
        left = self._killed_at + GRACE_SECONDS - time.monotonic()
        if left > 0:
            time.sleep(left)
        with self._lock:
            late = [
                f"+{a.at - self._killed_at:.2f}s {a}"
                for a in self.arrivals
                if a.at > self._killed_at + GRACE_SECONDS
            ]
        assert not late, f"requests of a killed run: {late}"


class FaultProxy:
    """The proxy; it speaks to the API server as the kubeconfig's user."""

    def __init__(self, kubeconfig: pathlib.Path, folder: pathlib.Path) -> None:
        self._folder = folder
        self._lines: list[Line] = []
        self.upstream = connect({"kubeconfig": str(kubeconfig)}, {})
        # Watches stay open: more connections at once than the client's default keeps.
        self.upstream.pool.connection_pool_kw["maxsize"] = KEPT_CONNECTIONS
        self.stopping = threading.Event()
        self.errors: list[BaseException] = []
        self._open: set[t.Any] = set()
        self._lock = threading.Lock()
        self._held_back: set[str] = set()
        self._let_go = threading.Condition(self._lock)
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> FaultProxy:
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}
        ).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stopping.set()
        self.let_go()
        self._server.shutdown()
        self._server.server_close()
        with self._lock:
            left = list(self._open)
        for response in left:
            _shut(response)
        if self.errors:
            raise self.errors[0]

    def line(self, plan: Plan = no_fault, kills: int = 1) -> Line:
        """Return a way for one run, and what befalls its requests."""
        number = len(self._lines)
        path = self._folder / f"kubeconfig-{number}"
        path.write_text(yaml.safe_dump(_kubeconfig(f"{self.url}/{number}")))
        line = Line(path, plan, kills)
        self._lines.append(line)
        return line

    def hold_back(self, resource: str) -> None:
        """From now on no event of a resource gets through, until it is let go."""
        with self._lock:
            self._held_back.add(resource)

    def let_go(self) -> None:
        """Everything that was held back gets through, in its order."""
        with self._lock:
            self._held_back.clear()
            self._let_go.notify_all()

    def await_turn(self, resource: str) -> None:
        """Block for as long as the events of a resource are held back."""
        with self._lock:
            self._let_go.wait_for(lambda: resource not in self._held_back)

    def line_of(self, number: str) -> Line:
        return self._lines[int(number)]

    @contextlib.contextmanager
    def opened(self, response: t.Any) -> t.Iterator[None]:
        """While this lasts, the end of the proxy breaks the response off."""
        with self._lock:
            self._open.add(response)
        try:
            if not self.stopping.is_set():
                yield
        finally:
            with self._lock:
                self._open.discard(response)
            response.close()


def _kubeconfig(server: str) -> dict[str, t.Any]:
    context = {"cluster": "proxy", "user": "nobody"}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "proxy", "cluster": {"server": server}}],
        "users": [{"name": "nobody", "user": {}}],
        "contexts": [{"name": "proxy", "context": context}],
        "current-context": "proxy",
    }


def _shut(response: t.Any) -> None:
    with contextlib.suppress(ValueError, RuntimeError, OSError):
        response.shutdown()


class _Server(http.server.ThreadingHTTPServer):
    # The threads of idle connections end with the clients.
    daemon_threads = True

    def __init__(self, proxy: FaultProxy) -> None:
        self.proxy = proxy
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: t.Any, client_address: t.Any) -> None:
        """A client that has gone is what the tests are about; the rest is an error."""
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, OSError):
            self.proxy.errors.append(error)


class _BrokenOff(OSError):
    """The connection to the client is of no more use."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *_arguments: object) -> None:
        """The arrivals say it better."""

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        number, _slash, rest = self.path[1:].partition("/")
        target = f"/{rest}"
        line = self.server.proxy.line_of(number)
        arrival, fault = line.take(*_described(self.command, target, body))
        try:
            if fault is None:
                self._pass_on(target, body, arrival)
            elif fault.kills:
                self._kill(line, fault, target, body, arrival)
            else:
                self._break(fault, target, body, arrival)
        except _BrokenOff:
            self._reset()

    # -- what befalls a request ----------------------------------------------------

    def _kill(
        self, line: Line, fault: Fault, target: str, body: bytes, arrival: Arrival
    ) -> None:
        if fault is Fault.KILL_AFTER:
            self._answer_of(target, body)
        line.kill(fault)
        if fault is not Fault.KILL_GROUP:
            raise _BrokenOff
        # Under way already; and a worker that goes on in spite of it shows itself.
        self._pass_on(target, body, arrival)

    def _break(self, fault: Fault, target: str, body: bytes, arrival: Arrival) -> None:
        if fault is Fault.DROP_ANSWER:
            self._answer_of(target, body)
            raise _BrokenOff
        if fault is Fault.HANG:
            self._hang(arrival)
        if fault is Fault.CLOSE and not arrival.watches:
            raise _BrokenOff
        if arrival.watches and fault in (Fault.CLOSE, Fault.STATUS_410):
            self._break_watch(fault)
        self._refuse(int(fault.value))

    def _hang(self, arrival: Arrival) -> t.NoReturn:
        """Until the client gives up, or it has been long enough."""
        if arrival.watches:
            self._begin_watch()
        limit = WATCH_HANG_SECONDS if arrival.watches else HANG_SECONDS
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline and not self.server.proxy.stopping.is_set():
            readable, _w, _x = select.select([self.connection], [], [], 0.1)
            if readable:
                break
        raise _BrokenOff

    def _break_watch(self, fault: Fault) -> t.NoReturn:
        """Open it as ever; then its end, or the one event that it is too old."""
        self._begin_watch()
        if fault is Fault.STATUS_410:
            event = {"type": "ERROR", "object": _status(410)}
            self._send_chunk(json.dumps(event).encode() + b"\n")
            self._send_chunk(b"")
        raise _BrokenOff

    def _refuse(self, code: int) -> None:
        content = json.dumps(_status(code)).encode()
        headers = {"Content-Type": "application/json", "Date": self.date_time_string()}
        if code == 429:
            headers["Retry-After"] = "1"
        self._send_whole(code, headers, content)

    # -- the API server ------------------------------------------------------------

    def _pass_on(self, target: str, body: bytes, arrival: Arrival) -> None:
        if arrival.watches:
            self._stream(target, arrival.resource)
            return
        status, headers, content = self._answer_of(target, body)
        self._send_whole(status, headers, content)

    def _answer_of(
        self, target: str, body: bytes
    ) -> tuple[int, t.Mapping[str, str], bytes]:
        response = self._request(target, body, preload_content=True, timeout=30)
        return response.status, _passed_on(response.headers), response.data

    def _request(self, target: str, body: bytes, **options: t.Any) -> t.Any:
        upstream = self.server.proxy.upstream
        headers = {**_passed_on(self.headers), **upstream.auth_headers()}
        try:
            return upstream.pool.request(
                self.command,
                upstream.host + target,
                body=body or None,
                headers=headers,
                retries=False,
                redirect=False,
                **options,
            )
        except urllib3.exceptions.HTTPError as error:
            raise _BrokenOff from error

    def _stream(self, target: str, resource: str) -> None:
        timeout = urllib3.Timeout(connect=5, read=None)
        response = self._request(target, b"", preload_content=False, timeout=timeout)
        with self.server.proxy.opened(response):
            if response.status != 200:
                headers = _passed_on(response.headers)
                self._send_whole(response.status, headers, response.read())
                return
            self._begin_watch(_passed_on(response.headers))
            try:
                for chunk in response.stream(amt=None, decode_content=False):
                    self.server.proxy.await_turn(resource)
                    self._send_chunk(chunk)
            except (urllib3.exceptions.HTTPError, http.client.HTTPException) as error:
                raise _BrokenOff from error
        self._send_chunk(b"")

    # -- the client ----------------------------------------------------------------

    def _send_whole(
        self, status: int, headers: t.Mapping[str, str], content: bytes
    ) -> None:
        self._send_head(status, {**headers, "Content-Length": str(len(content))})
        self._send(content)

    def _begin_watch(self, headers: t.Mapping[str, str] | None = None) -> None:
        given = headers or {"Content-Type": "application/json"}
        self._send_head(200, {**given, "Transfer-Encoding": "chunked"})
        self._send(b"")

    def _send_head(self, status: int, headers: t.Mapping[str, str]) -> None:
        self.send_response_only(status)
        for key, value in headers.items():
            self.send_header(key, value)

    def _send(self, content: bytes) -> None:
        # In one piece with the headers, which send_header() has only collected.
        head = b"".join(getattr(self, "_headers_buffer", [])) + b"\r\n"
        self._headers_buffer: list[bytes] = []
        self._send_raw(head + content)

    def _send_chunk(self, content: bytes) -> None:
        self._send_raw(b"%x\r\n%s\r\n" % (len(content), content))

    def _send_raw(self, content: bytes) -> None:
        try:
            self.wfile.write(content)
        except OSError as error:
            raise _BrokenOff from error

    def _reset(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.connection.shutdown(socket.SHUT_RDWR)


def _passed_on(headers: t.Any) -> dict[str, str]:
    return {k: v for k, v in headers.items() if k.lower() not in _NOT_PASSED_ON}


def _status(code: int) -> dict[str, t.Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "the fault proxy refuses this request",
        "reason": {409: "Conflict", 410: "Expired", 429: "TooManyRequests"}.get(
            code, "InternalError"
        ),
        "code": code,
    }


def _described(
    method: str, target: str, body: bytes
) -> tuple[str, str, str, str, bool]:
    """Verb, resource, name (of a Service), namespace, and whether it is a dry-run."""
    parts = urlsplit(target)
    query = parse_qs(parts.query)
    resource, name, namespace = parse_path(parts.path)
    verb = _VERBS[method]
    if verb == "get" and "watch" in query:
        verb = "watch"
    elif verb == "get" and not name:
        verb = "list"
    if resource.endswith("reviews"):
        spec = json.loads(body).get("spec", {})
        namespace = spec.get("namespace") or namespace
    shown = name if resource == "services" else ""
    return verb, resource, shown, namespace, "dryRun" in query
