# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Kubernetes REST API: retries, errors as sentences, watches.

Knows nothing of rollouts. Private to the collection: it may change in any release.
"""

from __future__ import annotations

import json
import random
import re
import threading
import time
import typing as t
from urllib.parse import urlencode

from ._auth import Connection
from ._clock import ServerClock
from ._deps import urllib3
from ._errors import ApiError, BluegreenError, Conflict, Gone, NotFound
from ._objects import Object

# As ValidatingAdmissionPolicies and webhooks begin what they say.
_DENIED = re.compile(r"denied (the )?request")
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"

_CONNECT_TIMEOUT = 5.0
_READ_TIMEOUT = 30.0
# How long a request is tried again: an API server that was never reached is more
# likely misconfigured than restarting.
_PATIENCE = 60.0
_FIRST_PATIENCE = 8.0
_RETRIED = (429, 500, 502, 503, 504)
_BACKOFF_BASE = 0.1
_BACKOFF_CAP = 5.0
_WATCH_SECONDS = 300
_LARGEST_PROXIED = 10 * 1024 * 1024
_VERBS = {
    "GET": "get",
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}


class NoAnswer(ApiError):
    """What stands behind the API server's proxy gave no whole answer."""


class Proxied(t.NamedTuple):
    """What came back through the API server's proxy."""

    status: int
    body: bytes


class Api:
    """Raw JSON in, raw JSON out, over one connection pool.

    :param before_write: called before each write; it raises to stop it.
    """

    def __init__(
        self,
        connection: Connection,
        clock: ServerClock,
        sleep: t.Callable[[float], None] = time.sleep,
        monotonic: t.Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._sleep = sleep
        self._monotonic = monotonic
        self._reached = False
        self.before_write: list[t.Callable[[], None]] = []

    # -- requests ------------------------------------------------------------------

    def get(self, path: str, query: t.Mapping[str, str] | None = None) -> Object:
        """One object, or a list."""
        return self._request("GET", path, query=query)

    def find(self, path: str) -> Object | None:
        """One object, or none if it does not exist."""
        try:
            return self.get(path)
        except NotFound:
            return None

    def create(
        self, path: str, body: Object, query: t.Mapping[str, str] | None = None
    ) -> Object:
        """Create an object.

        :raises Conflict: it exists already.
        """
        return self._request("POST", path, query=query, body=body)

    def replace(
        self, path: str, body: Object, query: t.Mapping[str, str] | None = None
    ) -> Object:
        """Write an object whole, under its resourceVersion.

        :raises Conflict: it was changed since it was read.
        """
        return self._request("PUT", path, query=query, body=body)

    def patch(
        self,
        path: str,
        operations: list[Object],
        query: t.Mapping[str, str] | None = None,
    ) -> Object:
        """A JSON Patch; its ``test`` operations are the preconditions.

        :raises Conflict: a precondition did not hold.
        """
        return self._request(
            "PATCH", path, query, body=operations, content_type=JSON_PATCH
        )

    def delete(
        self,
        path: str,
        uid: str,
        propagation: str = "Background",
        version: str = "",
    ) -> None:
        """Delete an object if it still is the one with that uid.

        :param version: the resourceVersion that it has to have, too; empty: any.
        :raises Conflict: it is another one by now.
        """
        expected = {"uid": uid, "resourceVersion": version}
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {k: v for k, v in expected.items() if v},
            "propagationPolicy": propagation,
        }
        try:
            self._request("DELETE", path, body=body)
        except NotFound:
            return

    def proxied(
        self,
        method: str,
        path: str,
        *,
        headers: t.Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout: float,
    ) -> Proxied:
        """One request to what a ``.../proxy/...`` path leads to, never tried again.

        A status says nothing here: it may be that of the API server, too. GET and
        HEAD are no writes.

        :param path: may hold a query.
        :param timeout: seconds for everything together.
        :raises NoAnswer: none came in time, it broke off, or is over 10 MiB.
        :raises ApiError: the API server cannot be reached.
        """
        if method not in ("GET", "HEAD"):
            for check in self.before_write:
                check()
        sent = self._connection.auth_headers()
        # The Date of the answer is not the API server's, so its clock does not hear it.
        sent.update({"Accept": "*/*", **(headers or {})})
        stream = Stream()
        # A server that sends a byte now and then would hold a plain timeout off.
        ending = threading.Timer(timeout, stream.close)
        ending.daemon = True
        ending.start()
        what = f"{method} {path.partition('?')[0]}"
        try:
            response = self._connection.pool.request(
                method,
                self._url(path, {}),
                body=body,
                headers=sent,
                retries=False,
                redirect=False,
                preload_content=False,
                timeout=urllib3.Timeout(total=timeout),
            )
            return _whole(response, stream, what, timeout)
        except urllib3.exceptions.ReadTimeoutError as error:
            raise _late(what, timeout) from error
        except urllib3.exceptions.HTTPError as error:
            raise _unreachable(self._host, error) from error
        finally:
            ending.cancel()

    def execute(
        self, path: str, command: t.Sequence[str], container: str, timeout: float
    ) -> None:
        """Run a command in a pod, once, and wait for its end.

        :param path: of the pod's ``exec`` subresource.
        :param container: its name; empty: the pod's default one.
        :param timeout: seconds for everything together.
        :raises ApiError: it could not be run, did not end in time, or failed.
        """
        # Only a release that asks for it pays for importing it.
        from ._exec import execute

        for check in self.before_write:
            check()
        execute(self._connection, path, command, container, timeout)

    def _request(
        self,
        method: str,
        path: str,
        query: t.Mapping[str, str] | None = None,
        body: object = None,
        content_type: str = "application/json",
    ) -> Object:
        """One request, tried again while the server asks for it.

        Every write carries a precondition or a fixed name, so that one whose answer
        was lost may be sent again: had it taken effect, it conflicts.
        """
        write = method != "GET"
        parameters = dict(query or {})
        if write:
            parameters["fieldManager"] = "cutover.bluegreen"
            if method == "DELETE":
                del parameters["fieldManager"]
        url = self._url(path, parameters)
        payload = None if body is None else json.dumps(body)
        started = self._monotonic()
        for attempt in range(1000):
            if write:
                for check in self.before_write:
                    check()
            delay = _backoff(attempt)
            try:
                response = self._send(method, url, payload, content_type)
            except urllib3.exceptions.HTTPError as error:
                unreachable = _unreachable(self._host, error)
                if "certificate verify failed" in str(error):
                    # Nobody vouches for it, and trying again changes nothing.
                    raise unreachable from error
                self._give_up_after(started, delay, unreachable)
            else:
                if response.status not in _RETRIED:
                    return self._answer(method, path, response)
                delay = max(delay, _retry_after(response))
                self._give_up_after(
                    started, delay, _refusal(method, path, response, self._host)
                )
            self._sleep(delay)
        raise ApiError(f"{method} {path} did not succeed.")

    @property
    def _host(self) -> str:
        return self._connection.host

    def _url(self, path: str, parameters: t.Mapping[str, str]) -> str:
        query = f"?{urlencode(parameters)}" if parameters else ""
        return f"{self._host}{path}{query}"

    def _send(
        self, method: str, url: str, payload: str | None, content_type: str
    ) -> t.Any:
        headers = self._connection.auth_headers()
        if payload is not None:
            headers["Content-Type"] = content_type
        response = self._connection.pool.request(
            method,
            url,
            body=payload,
            headers=headers,
            retries=False,
            redirect=False,
            timeout=urllib3.Timeout(connect=_CONNECT_TIMEOUT, read=_READ_TIMEOUT),
        )
        self._reached = True
        self._clock.heard(response.headers.get("Date"))
        return response

    def _give_up_after(self, started: float, delay: float, error: ApiError) -> None:
        patience = _PATIENCE if self._reached else _FIRST_PATIENCE
        if self._monotonic() + delay - started > patience:
            raise error

    def _answer(self, method: str, path: str, response: t.Any) -> Object:
        if response.status >= 400:
            raise _refusal(method, path, response, self._host)
        try:
            answer = json.loads(response.data)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise ApiError(
                f"{self._host} did not answer as a Kubernetes API server does"
                f" ({method} {path}); check host and the kubeconfig."
            )
        return answer

    # -- watches -------------------------------------------------------------------

    def watch(
        self, path: str, query: t.Mapping[str, str], version: str, stream: Stream
    ) -> t.Iterator[tuple[str, Object]]:
        """The changes of a list after ``version``, reconnected for as long as wanted.

        Yields ``(type, object)``; after a 410 the list is read again and yielded as
        ``("RELISTED", list)``. Ends when the stream is closed.
        """
        failures = 0
        while not stream.is_closed():
            parameters = {
                **query,
                "watch": "1",
                "allowWatchBookmarks": "true",
                "resourceVersion": version,
                "timeoutSeconds": str(_WATCH_SECONDS),
            }
            try:
                for kind, item in self._watch_once(path, parameters, stream):
                    failures = 0
                    version = item["metadata"]["resourceVersion"]
                    if kind != "BOOKMARK":
                        yield kind, item
                continue
            except Gone:
                relisted = self.get(path, query)
                version = relisted["metadata"]["resourceVersion"]
                yield "RELISTED", relisted
                continue
            except urllib3.exceptions.HTTPError:
                if stream.is_closed():
                    return
            except ApiError as error:
                if error.status not in _RETRIED:
                    raise
            failures += 1
            self._sleep(_backoff(failures))

    def _watch_once(
        self, path: str, parameters: t.Mapping[str, str], stream: Stream
    ) -> t.Iterator[tuple[str, Object]]:
        response = self._connection.pool.request(
            "GET",
            self._url(path, parameters),
            headers=self._connection.auth_headers(),
            retries=False,
            redirect=False,
            preload_content=False,
            timeout=urllib3.Timeout(
                connect=_CONNECT_TIMEOUT, read=_WATCH_SECONDS + _READ_TIMEOUT
            ),
        )
        stream.opened(response)
        try:
            if response.status != 200:
                response.read()
                raise _refusal("WATCH", path, response, self._host)
            rest = b""
            for chunk in response.stream(65536):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield _watch_event(path, self._host, line)
        finally:
            response.close()


class Stream:
    """What closes a watch from outside the thread that reads it."""

    def __init__(self) -> None:
        self._closed = threading.Event()
        self._response: t.Any = None

    def is_closed(self) -> bool:
        """Whether the watch is to end."""
        return self._closed.is_set()

    def opened(self, response: t.Any) -> None:
        """The watch reads from this response now."""
        self._response = response
        if self.is_closed():
            self.close()

    def close(self) -> None:
        """End the watch, also in the middle of a read."""
        self._closed.set()
        response = self._response
        if response is None:
            return
        try:
            response.shutdown()
        except (ValueError, RuntimeError, OSError, AttributeError):
            # It is closed already, or this urllib3 cannot: the read ends with the
            # process, whose daemon thread it is.
            return


def _watch_event(path: str, host: str, line: bytes) -> tuple[str, Object]:
    try:
        event = json.loads(line)
        kind, item = str(event["type"]), dict(event["object"])
        if kind != "ERROR":
            item["metadata"]["resourceVersion"]
    except (ValueError, KeyError, TypeError) as error:
        raise ApiError(
            f"{host} did not answer as a Kubernetes API server does (watch of {path});"
            " check host, the kubeconfig and proxies on the way."
        ) from error
    if kind != "ERROR":
        return kind, item
    if item.get("code") == 410:
        raise Gone("The watch is too old.", 410)
    raise ApiError(
        f"The watch of {path} failed: {item.get('message')}", int(item.get("code", 0))
    )


def _whole(response: t.Any, stream: Stream, what: str, timeout: float) -> Proxied:
    stream.opened(response)
    body = bytearray()
    try:
        for chunk in response.stream(65536, decode_content=False):
            body += chunk
            if len(body) > _LARGEST_PROXIED:
                size = f"{_LARGEST_PROXIED // 1024 // 1024} MiB"
                raise NoAnswer(f"{what} answered with more than {size}.")
    except (urllib3.exceptions.HTTPError, OSError) as error:
        if stream.is_closed():
            raise _late(what, timeout) from error
        raise NoAnswer(f"{what} broke off its answer.") from error
    finally:
        # Also gives back a connection whose answer was read to its end.
        response.close()
    if stream.is_closed():
        raise _late(what, timeout)
    return Proxied(int(response.status), bytes(body))


def _late(what: str, timeout: float) -> NoAnswer:
    return NoAnswer(f"{what} had not answered after {timeout:g} s.")


def _backoff(attempt: int) -> float:
    """Seconds before the next try: exponential, with full jitter."""
    ceiling = min(_BACKOFF_CAP, _BACKOFF_BASE * 2 ** min(attempt, 10))
    return random.uniform(ceiling / 2, ceiling)


def _retry_after(response: t.Any) -> float:
    try:
        return min(float(response.headers.get("Retry-After", 0)), _READ_TIMEOUT)
    except ValueError:
        return 0.0


def _unreachable(host: str, error: Exception) -> ApiError:
    text = re.sub(r" ?\(_ssl\.c:\d+\)", "", str(error))
    cause = text.rsplit(":", 1)[-1].strip(" )'\"") or type(error).__name__
    hint = "check host, the kubeconfig and the network"
    if "certificate" in str(error).lower():
        hint = "check ca_cert, or the certificate authority in the kubeconfig"
    return ApiError(f"The API server at {host} cannot be reached ({cause}); {hint}.")


def _status_message(response: t.Any) -> str:
    try:
        status = json.loads(response.data)
        return str(status.get("message") or status.get("reason") or "")
    except (ValueError, AttributeError):
        return str(response.reason or "")


def _is_failed_test(response: t.Any) -> bool:
    """Whether a precondition of a patch did not hold. Who refuses the object that would
    come of it, an admission policy or a rule of its kind, names that object.
    """
    if response.status != 422:
        return False
    try:
        details = json.loads(response.data).get("details") or {}
        return not details.get("name")
    except (ValueError, AttributeError):
        return True


def _refusal(method: str, path: str, response: t.Any, host: str) -> ApiError:
    status = int(response.status)
    message = _status_message(response)
    verb = _VERBS.get(method, method.lower())
    resource, name, namespace = parse_path(path)
    if method in ("GET", "WATCH") and not name:
        verb = "watch" if method == "WATCH" else "list"
    where = f" in namespace {namespace}" if namespace else ""
    what = f"{resource} {name}".strip() + where
    if status == 401:
        return ApiError(
            f"The API server at {host} does not accept the credentials (401); check"
            " api_key, the client certificate or the kubeconfig's user.",
            status,
        )
    if status == 403:
        return ApiError(
            f"The API server forbids to {verb} {what} (403): {message}. Give the user"
            f" a Role with the verb {verb} on {resource}{where}.",
            status,
        )
    if status == 404:
        return NotFound(f"There is no {what} (404): {message}", status)
    if status == 410:
        return Gone(
            f"The API server no longer knows what to {verb} of {what} (410):"
            f" {message.rstrip('.')}; run again.",
            status,
        )
    if status == 409 or (method == "PATCH" and _is_failed_test(response)):
        return Conflict(f"Somebody else changed {what}: {message}", status)
    return ApiError(
        f"The API server refused to {verb} {what} ({status}): {message.rstrip('.')}.",
        status,
    )


def parse_path(path: str) -> tuple[str, str, str]:
    """``(resource, name, namespace)`` of a REST path; the subresource is part of
    the resource, as RBAC writes it.
    """
    parts = path.strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    namespace = ""
    if parts[:1] == ["namespaces"] and len(parts) > 2:
        namespace = parts[1]
        parts = parts[2:]
    resource = parts[0] if parts else ""
    name = parts[1] if len(parts) > 1 else ""
    if len(parts) > 2:
        resource = f"{resource}/{parts[2]}"
    return resource, name, namespace


def forbidden(error: BluegreenError) -> bool:
    """Whether the API server refused for want of a permission."""
    return isinstance(error, ApiError) and error.status == 403


def is_denied(error: BluegreenError) -> bool:
    """Whether an admission policy or webhook refused, in its own words."""
    return bool(_DENIED.search(str(error)))
