# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests of our own to the new revision, where nobody else sends any yet.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import json
import math
import re
import threading
import time
import typing as t
from collections import Counter
from dataclasses import dataclass
from urllib.parse import unquote

from ..._api import NoAnswer, Proxied
from ..._manifests import is_name
from ..fields import (
    ca_cert_problems,
    connection,
    flag_problems,
    header_problems,
    holds_placeholder,
    refuse,
    seconds,
    text_problems,
    unknown_problems,
    url_problems,
    window,
    window_problems,
)
from ..http import send, shown, shown_url
from ..measurement import MeasurementError, Outcome, Place, Problem, Request, Value
from ..objects import Object, asking, items, path

MOST_PER_SECOND = 50.0
MOST_SECONDS = 300.0
MOST_REQUESTS = 1000
MOST_AT_ONCE = 50

_REQUESTS = 10
_PER_SECOND = 10.0
_AT_ONCE = 10
_TIMEOUT = 5.0
_LONGEST_TIMEOUT = 60.0
_EXPECTED_STATUS = "200-399"
# For what comes before the first request: the Service is read.
_API_SECONDS = 90.0
_METHODS = ("GET", "HEAD", "POST")
_SCHEMES = ("http", "https")
_WAYS = ("apiserver", "direct")
_STATUS_RANGE = re.compile(r"\s*([1-5]\d\d)\s*(?:-\s*([1-5]\d\d)\s*)?")
_PERCENTILES = (50, 90, 95, 99)
# They would replace the credentials for the API server, or undo its routing.
_NOT_PROXIED = re.compile(
    r"authorization|host|connection|impersonate-.*", re.IGNORECASE
)
_FIELDS = (
    *("url", "service", "port", "path", "scheme", "via"),
    *("method", "headers", "body", "expectedStatus"),
    *("requests", "rate", "duration", "concurrency"),
    *("timeoutSeconds", "insecure", "caCert"),
)

Config: t.TypeAlias = "t.Mapping[str, t.Any]"


# -- what is asked for ---------------------------------------------------------------


def problems(config: Config) -> list[Problem]:
    """What is wrong with the block."""
    return [
        *unknown_problems(config, _FIELDS, "probe"),
        *header_problems(config.get("headers"), "probe.headers"),
        *flag_problems(config.get("insecure"), "probe.insecure"),
        *ca_cert_problems(config.get("caCert"), "probe.caCert"),
        *_target_problems(config),
        *_choice_problems(config, "method", _METHODS),
        *_body_problems(config),
        *_status_problems(config.get("expectedStatus")),
        *_load_problems(config),
    ]


def rights(config: Config) -> dict[str, tuple[str, ...]]:
    """What the user of the Kubernetes API needs for it, by resource."""
    if config.get("url"):
        return {}
    needed: dict[str, tuple[str, ...]] = {"services": ("list",)}
    if config.get("via") != "direct":
        verb = "create" if config.get("method") == "POST" else "get"
        needed["services/proxy"] = (verb,)
    return needed


def _target_problems(config: Config) -> list[Problem]:
    found = [
        *url_problems(config.get("url"), "probe.url", required=False),
        *_service_problems(config.get("service")),
        *_path_problems(config.get("path")),
        *_choice_problems(config, "scheme", _SCHEMES),
        *_choice_problems(config, "via", _WAYS),
        *_port_problems(config.get("port")),
    ]
    if config.get("url"):
        of_service = ("service", "port", "path", "scheme")
        given = [name for name in of_service if config.get(name)]
        if given:
            text = f"{' and '.join(given)} were found as well; give url or the service"
            found.append(Problem("probe.url", text))
        if config.get("via") == "apiserver":
            text = "the API server reaches Services only; remove via, or give service"
            found.append(Problem("probe.via", text))
    elif config.get("via") != "direct":
        found += _proxied_header_problems(config.get("headers"))
    return found


def _choice_problems(
    config: Config, name: str, known: t.Sequence[str]
) -> list[Problem]:
    value = config.get(name)
    if value is None or value in known or holds_placeholder(value):
        return []
    text = f"{shown(repr(value))} was found, expected is {' or '.join(known)}"
    return [Problem(f"probe.{name}", text)]


def _service_problems(value: object) -> list[Problem]:
    found = text_problems(value, "probe.service", required=False)
    if found or not value or holds_placeholder(value) or is_name(str(value)):
        return found
    text = f"{shown(repr(value))} was found, expected is the name of a Service"
    return [Problem("probe.service", text)]


def _path_problems(value: object) -> list[Problem]:
    found = text_problems(value, "probe.path", required=False)
    if found or not value:
        return found
    # Resolved before it is sent, it would lead out of the proxy to other objects.
    if ".." in unquote(str(value).partition("?")[0]).split("/"):
        text = ".. was found in it; give the path that it leads to"
        return [Problem("probe.path", text)]
    return []


def _port_problems(value: object) -> list[Problem]:
    if value is None or holds_placeholder(value):
        return []
    if isinstance(value, str) and is_name(value):
        return []
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536:
        return []
    text = f"{shown(repr(value))} was found, expected is a port's number or name"
    return [Problem("probe.port", text)]


def _proxied_header_problems(headers: object) -> list[Problem]:
    listed = headers if isinstance(headers, list) else []
    given = [h.get("key") for h in listed if isinstance(h, t.Mapping)]
    return [
        Problem(
            f"probe.headers[{index}]",
            f"{key} does not go through the API server, whose own it is; set via to"
            " direct, or give url",
        )
        for index, key in enumerate(given)
        if isinstance(key, str) and _NOT_PROXIED.fullmatch(key)
    ]


def _body_problems(config: Config) -> list[Problem]:
    found = text_problems(config.get("body"), "probe.body", required=False)
    if config.get("body") and _method(config) != "POST":
        text = f"{_method(config)} sends no body; set method to POST, or remove it"
        found.append(Problem("probe.body", text))
    return found


def _status_problems(value: object) -> list[Problem]:
    if value is None or holds_placeholder(value) or _status_ranges(value):
        return []
    return [
        Problem(
            "probe.expectedStatus",
            f"{shown(repr(value))} was found, expected are codes from 100 to 599 and"
            ' ranges of them, such as 200, "200-399" or [200, "300-399"]',
        )
    ]


def _status_ranges(value: object) -> tuple[tuple[int, int], ...]:
    """The codes that are expected, as ranges; none if they cannot be read."""
    parts = value if isinstance(value, list) else str(value).split(",")
    ranges = []
    for part in parts:
        match = _STATUS_RANGE.fullmatch(str(part))
        if match is None:
            return ()
        least, most = int(match[1]), int(match[2] or match[1])
        if least > most:
            return ()
        ranges.append((least, most))
    return tuple(ranges)


def _load_problems(config: Config) -> list[Problem]:
    found = [
        *_number_problems(config, "requests", MOST_REQUESTS, whole=True),
        *_number_problems(config, "rate", MOST_PER_SECOND),
        *_number_problems(config, "concurrency", MOST_AT_ONCE, whole=True),
        *_number_problems(config, "timeoutSeconds", _LONGEST_TIMEOUT),
        *window_problems(config.get("duration"), "probe.duration"),
    ]
    if config.get("requests") is not None and config.get("duration") is not None:
        text = "requests was found as well; give one of them (rate goes with both)"
        found.append(Problem("probe.duration", text))
    if found or holds_placeholder([config.get(n) for n in ("rate", "duration")]):
        return found
    load = _Load.of(config)
    if load.seconds > MOST_SECONDS:
        text = (
            f"{load.requests} requests at {load.rate:g}/s take {load.seconds:.0f} s, at"
            f" most {MOST_SECONDS:.0f} s are allowed; ask for fewer, or a higher rate"
        )
        found.append(Problem("probe", text))
    if load.requests > MOST_REQUESTS:
        text = (
            f"{load.requests} requests were asked for, at most {MOST_REQUESTS} are"
            " allowed; lower rate or duration"
        )
        found.append(Problem("probe", text))
    return found


def _number_problems(
    config: Config, name: str, most: float, whole: bool = False
) -> list[Problem]:
    value = config.get(name)
    if value is None or holds_placeholder(value):
        return []
    number = seconds(value, 0.0)
    if 0 < number <= most and (not whole or number == int(number)):
        return []
    expected = "a whole number" if whole else "a number"
    text = f"{shown(repr(value))} was found, expected is {expected} up to {most:g}"
    return [Problem(f"probe.{name}", text)]


def _method(config: Config) -> str:
    return str(config.get("method") or "GET")


@dataclass(frozen=True)
class _Load:
    """How many requests, and how fast."""

    requests: int
    # Per second.
    rate: float
    at_once: int
    # Per request.
    timeout: float

    @classmethod
    def of(cls, config: Config) -> _Load:
        rate = seconds(config.get("rate"), _PER_SECOND)
        requests = int(seconds(config.get("requests"), _REQUESTS))
        if config.get("duration") is not None:
            requests = max(math.ceil(rate * window(config["duration"])), 1)
        return cls(
            requests=requests,
            rate=rate,
            at_once=min(int(seconds(config.get("concurrency"), _AT_ONCE)), requests),
            timeout=seconds(config.get("timeoutSeconds"), _TIMEOUT),
        )

    @property
    def seconds(self) -> float:
        """From the first request to the last one, where all of them are answered."""
        return (self.requests - 1) / self.rate

    @property
    def last_begin(self) -> float:
        """No request begins later, counted from the first one."""
        return self.seconds + self.timeout


def seconds_allowed(config: Config) -> float:
    """For all requests together."""
    if problems(config):
        return _API_SECONDS
    load = _Load.of(config)
    return _API_SECONDS + load.last_begin + load.timeout


# -- measuring -----------------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    """What one request came to."""

    # Seconds since the first request, and until its end.
    began: float
    took: float
    # None where no answer came.
    status: int | None
    # What to say of it if it is an error.
    text: str


class _Unanswered(Exception):
    """No answer came to one request."""


# One request: the status of its answer, and what to say if that is not expected.
_Once: t.TypeAlias = "t.Callable[[], tuple[int, str]]"


@dataclass(frozen=True)
class _Target:
    """Where the requests go."""

    shown: str
    once: _Once


def measure(request: Request) -> Outcome:
    """Send all requests, and sum up what came of them."""
    config = request.config
    refuse(problems(config))
    load = _Load.of(config)
    with asking("The Service of the probe"):
        target = _target(config, request.place)
    with asking("What the probe was answered"):
        results = _Run(load, target.once).results()
    expected = _status_ranges(config.get("expectedStatus") or _EXPECTED_STATUS)
    value = value_of(results, expected, load.requests)
    return Value(value, {"target": target.shown})


def value_of(
    results: t.Sequence[Result], expected: t.Sequence[tuple[int, int]], planned: int
) -> dict[str, t.Any]:
    """The value of a probe.

    :param expected: ranges of status codes, both ends included.
    :param planned: how many requests were to be sent.
    """
    in_order = sorted(results, key=lambda result: result.began)
    errors = [r for r in in_order if not _is_expected(r.status, expected)]
    ok = len(in_order) - len(errors)
    statuses = Counter(str(r.status) for r in in_order if r.status is not None)
    return {
        "requests": len(in_order),
        "ok": ok,
        "errors": len(errors),
        "unsent": planned - len(in_order),
        "success_rate": ok / len(in_order) if in_order else 0.0,
        "status": dict(sorted(statuses.items())),
        "latency_ms": _latency([r.took for r in in_order if r.status is not None]),
        "first_error": errors[0].text if errors else "",
    }


def _is_expected(status: int | None, expected: t.Sequence[tuple[int, int]]) -> bool:
    return status is not None and any(a <= status <= b for a, b in expected)


def _latency(took: t.Sequence[float]) -> dict[str, float | None]:
    """Percentiles by nearest rank, in milliseconds; none where no answer came."""
    ranked = sorted(round(seconds_taken * 1000, 1) for seconds_taken in took)
    if not ranked:
        return {**{f"p{p}": None for p in _PERCENTILES}, "max": None}
    found: dict[str, float | None] = {
        f"p{p}": ranked[math.ceil(len(ranked) * p / 100) - 1] for p in _PERCENTILES
    }
    return {**found, "max": ranked[-1]}


class Pace:
    """When each request may begin: evenly spread, never more at once to catch up.

    What a slow server leaves no time for is not sent.
    """

    def __init__(
        self,
        requests: int,
        rate: float,
        last_begin: float,
        clock: t.Callable[[], float] = time.monotonic,
    ) -> None:
        self._left = requests
        self._gap = 1 / rate
        self._clock = clock
        self.began = clock()
        self._next = self.began
        self._end = self.began + last_begin
        self._lock = threading.Lock()

    def take(self) -> float | None:
        """Seconds until the next request may begin; none if no more may."""
        with self._lock:
            now = self._clock()
            at = max(self._next, now)
            if not self._left or at > self._end:
                return None
            self._left -= 1
            self._next = at + self._gap
            return at - now


class _Run:
    """All requests of one measurement, each in one of a few threads."""

    def __init__(self, load: _Load, once: _Once) -> None:
        self._load = load
        self._once = once
        self._pace = Pace(load.requests, load.rate, load.last_begin)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._done: list[Result] = []
        self._failure: BaseException | None = None

    def results(self) -> list[Result]:
        """Send them; whatever else than a missing answer goes wrong is raised."""
        # Not a pool of executors: Python would wait for those before it ends.
        threads = [
            threading.Thread(target=self._work, daemon=True, name="probe")
            for _number in range(self._load.at_once)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            # Each request ends by itself at its timeout, so these threads end.
            thread.join()
        if self._failure is not None:
            raise self._failure
        return self._done

    def _work(self) -> None:
        try:
            while (wait := self._pace.take()) is not None:
                if self._stop.wait(wait):
                    return
                self._send()
        except Exception as error:
            # Whatever it is, the thread that waits for all of them gets it.
            self._failure = error
            self._stop.set()

    def _send(self) -> None:
        began = time.monotonic()
        status: int | None = None
        try:
            status, text = self._once()
        except _Unanswered as error:
            text = str(error)
        took = time.monotonic() - began
        with self._lock:
            self._done.append(Result(began - self._pace.began, took, status, text))


# -- where the requests go -----------------------------------------------------------


def _target(config: Config, place: Place) -> _Target:
    if config.get("url"):
        return _direct(config, str(config["url"]))
    service = config.get("service") or next(iter(place.preview_services), "")
    if not service:
        raise MeasurementError(
            "probe.service: nothing was found, and there is no preview Service to take"
            " instead; give service, or url."
        )
    scheme = config.get("scheme") or "http"
    tail = "/" + str(config.get("path") or "").lstrip("/")
    if config.get("via") == "direct":
        asked = str(config.get("port") or "")
        # A number needs no look at the Service, and no right to see it.
        port = int(asked) if asked.isdigit() else _port(config, place, service)
        host = f"{service}.{place.namespace}.svc"
        return _direct(config, f"{scheme}://{host}:{port}{tail}")
    name = f"{scheme}:{service}:{_port(config, place, service)}"
    return _proxied(config, place, name, tail)


def _port(config: Config, place: Place, service: str) -> int:
    """The number of the Service's port that is asked for."""
    asked = config.get("port")
    query = {"fieldSelector": f"metadata.name={service}"}
    found = items(place.api(), path(place.namespace, "services"), query)
    what = f"Service {place.namespace}/{service}"
    if not found:
        raise MeasurementError(
            f"{what} does not exist; create it, or give another one."
        )
    ports: list[Object] = found[0]["spec"].get("ports") or []
    for port in ports:
        if asked is None or str(asked) in (str(port["port"]), port.get("name")):
            return int(port["port"])
    known = ", ".join(_port_text(port) for port in ports)
    raise MeasurementError(
        f"{what} has no port {'at all' if asked is None else asked}; it has"
        f" {known or 'none'}."
    )


def _port_text(port: Object) -> str:
    return f"{port['port']} ({port['name']})" if port.get("name") else str(port["port"])


def _direct(config: Config, url: str) -> _Target:
    given = connection(config, _TIMEOUT)
    method, body = _method(config), _body(config)
    what = f"{method} {shown_url(url)}"

    def once() -> tuple[int, str]:
        try:
            answer = send(
                method,
                url,
                headers=given.headers,
                body=body,
                timeout=given.timeout,
                insecure=given.insecure,
                ca_cert=given.ca_cert,
                accept_any_status=True,
            )
        except MeasurementError as error:
            raise _Unanswered(str(error)) from None
        return answer.status, f"{what} answered {answer.status}"

    return _Target(what, once)


def _proxied(config: Config, place: Place, name: str, tail: str) -> _Target:
    given = connection(config, _TIMEOUT)
    method, body = _method(config), _body(config)
    api = place.api()
    proxy = f"{path(place.namespace, 'services', name)}/proxy{tail}"
    what = f"{method} {proxy.partition('?')[0]}"

    def once() -> tuple[int, str]:
        try:
            answer = api.proxied(
                method,
                proxy,
                headers=given.headers,
                body=body,
                timeout=given.timeout,
            )
        except NoAnswer as error:
            raise _Unanswered(str(error)) from error
        said = _refuse_unless_answered(answer, what)
        return answer.status, f"{what} answered {answer.status}{said}"

    return _Target(what, once)


def _body(config: Config) -> bytes | None:
    text = config.get("body")
    return str(text).encode() if text else None


def _refuse_unless_answered(answer: Proxied, what: str) -> str:
    """What the API server itself has said, if the answer is its own.

    :raises MeasurementError: it let the request not through, which says nothing of
        the revision.
    """
    status = _api_status(answer)
    message = shown(str(status.get("message") or "")).rstrip(".")
    if status.get("reason") in ("Forbidden", "Unauthorized"):
        raise MeasurementError(
            f"The API server did not let {what} through ({answer.status}): {message}."
            " Give the user a Role with the verbs get and, for POST, create on"
            " services/proxy, or set via to direct."
        )
    if status.get("reason") in ("NotFound", "TooManyRequests"):
        raise MeasurementError(
            f"The API server did not let {what} through ({answer.status}): {message}."
        )
    return f": {message}" if message else ""


def _api_status(answer: Proxied) -> Object:
    """The answer as a Kubernetes Status about Services, if it is one."""
    if answer.status < 400:
        return {}
    try:
        status = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    is_status = isinstance(status, dict) and status.get("kind") == "Status"
    return status if is_status and status.get("apiVersion") == "v1" else {}
