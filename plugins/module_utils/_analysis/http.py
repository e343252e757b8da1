# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTTP for the providers: one request, one strict deadline, errors as sentences.

What the providers' blocks say about it is read by :mod:`.fields`. Private to the
collection: it may change in any release.
"""

from __future__ import annotations

import base64
import concurrent.futures
import http.client
import json
import re
import socket
import ssl
import threading
import time
import typing as t
import urllib.request
from dataclasses import dataclass, field
from urllib.parse import (
    SplitResult,
    parse_qsl,
    quote,
    unquote,
    urlencode,
    urljoin,
    urlsplit,
)

from .._argspec import mask
from .._deps import urllib3
from .measurement import MeasurementError

LARGEST_ANSWER = 10 * 1024 * 1024
MOST_REDIRECTS = 5
_CHUNK = 64 * 1024
_SHOWN_OF_BODY = 200
_REDIRECTS = (301, 302, 303, 307, 308)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# What a header's value may not hold: with a line break it would begin another one.
_NOT_IN_HEADER = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_SECRET_NAME = re.compile(r"auth|key|token|secret|cookie|pass", re.IGNORECASE)
# A token is asked for anew so many seconds before it expires.
_TOKEN_MARGIN = 30.0

Fields: t.TypeAlias = "t.Iterable[tuple[str, str]]"

_tokens: dict[tuple[str, ...], tuple[str, float]] = {}
_tokens_lock = threading.Lock()


@dataclass(frozen=True)
class Answer:
    """What a server has answered.

    The names of the headers are in lower case. ``source`` is the request as it may
    be shown: the method, and the URL without user, password and query.
    """

    status: int
    headers: t.Mapping[str, str]
    body: bytes
    source: str = ""
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def text(self) -> str:
        """The body as text, without secrets; what is no UTF-8 is replaced."""
        return str(mask(self.body.decode("utf-8", "replace"), self.secrets))

    def json(self) -> t.Any:
        """The body as plain JSON data, without secrets; NaN and Infinity are taken as
        well.

        :raises MeasurementError: it is no JSON.
        """
        try:
            return mask(json.loads(self.body), self.secrets)
        except (ValueError, RecursionError):
            raise MeasurementError(
                f"{self.source} did not answer with JSON, but with"
                f" {self.shown() or 'nothing'}"
            ) from None

    def shown(self) -> str:
        """The begin of the body on one line, fit for a message."""
        return self.quoted(self.text())

    def quoted(self, text: str) -> str:
        """The begin of a text out of the answer, as :meth:`shown`, without secrets."""
        return shown(mask(text, self.secrets))


def send(
    method: str,
    url: str,
    *,
    headers: t.Mapping[str, str] | None = None,
    body: bytes | None = None,
    timeout: float,
    insecure: bool = False,
    ca_cert: str = "",
    accept_any_status: bool = False,
) -> Answer:
    """Send one request and read its answer.

    A user and password in the URL are sent as basic authentication. Redirects of a
    GET are followed within one origin, at most five. Proxies are those of
    ``HTTP_PROXY``, ``HTTPS_PROXY`` and ``NO_PROXY``.

    :param timeout: seconds for everything together, whatever the server does.
    :param insecure: the server's certificate is not verified.
    :param ca_cert: PEM text of the authorities to trust instead of the system's.
    :param accept_any_status: an answer of any status is returned, also a redirect
        that is not followed; else one that is not 2xx is an error.
    :raises MeasurementError: no such answer came; one sentence without secrets.
    """
    target = _split(url)
    given = dict(headers or {})
    _refuse_broken_headers(given)
    if target.username is not None and not _has(given, "Authorization"):
        given.update(basic(unquote(target.username), unquote(target.password or "")))
    exchange = _Exchange(
        method=method,
        target=target,
        headers=given,
        body=body,
        timeout=timeout,
        context=_tls(insecure, ca_cert) if target.scheme == "https" else None,
        secrets=_secrets(target, given),
    )
    answer = exchange.answer()
    if not accept_any_status:
        require_success(answer)
    return answer


def require_success(answer: Answer) -> None:
    """:raises MeasurementError: the status is not 2xx; with what the server said."""
    if not 200 <= answer.status < 300:
        raise MeasurementError(_refusal(answer))


def below(address: str, path: str, query: Fields = ()) -> str:
    """The URL of a path, such as ``/api``, below a server's address.

    :raises MeasurementError: the address is no URL of an HTTP server.
    """
    target = _split(address)
    given = parse_qsl(target.query, keep_blank_values=True)
    return target._replace(
        path=target.path.rstrip("/") + path, query=form([*given, *query]), fragment=""
    ).geturl()


def form(fields: Fields) -> str:
    """Fields of a form or query, encoded; a blank as %20, which every reader takes."""
    return urlencode(list(fields), errors="replace", quote_via=quote)


def basic(username: str, password: str) -> dict[str, str]:
    """The header of basic authentication."""
    pair = base64.b64encode(encoded(f"{username}:{password}")).decode()
    return {"Authorization": f"Basic {pair}"}


def encoded(text: str) -> bytes:
    """The text as UTF-8; what is no Unicode is replaced."""
    return text.encode("utf-8", "replace")


def bearer(token: str) -> dict[str, str]:
    """The header of a bearer token."""
    return {"Authorization": f"Bearer {token}"}


def shown(text: str) -> str:
    """The begin of a server's text, on one line, fit for a message."""
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN_OF_BODY else f"{line[:_SHOWN_OF_BODY]}..."


def shown_url(url: str) -> str:
    """The URL as it may be shown: without user, password, query and fragment."""
    return _shown(_split(url))


def oauth2_token(
    oauth2: t.Mapping[str, t.Any],
    timeout: float,
    insecure: bool = False,
    ca_cert: str = "",
) -> str:
    """An access token by OAuth2's client credentials, kept until shortly before it
    expires.

    :param oauth2: ``tokenUrl``, ``clientId``, ``clientSecret`` and, if any, ``scopes``.
    :raises MeasurementError: the token server gave none.
    """
    scopes = " ".join(str(scope) for scope in oauth2.get("scopes") or ())
    names = ("tokenUrl", "clientId", "clientSecret")
    asked = (*(str(oauth2.get(name) or "") for name in names), scopes)
    with _tokens_lock:
        token, expires = _tokens.get(asked, ("", 0.0))
    if time.monotonic() < expires - _TOKEN_MARGIN:
        return token
    begun = time.monotonic()
    answer = _ask_for_token(asked, timeout, insecure, ca_cert)
    token, seconds = _read_token(answer)
    with _tokens_lock:
        _tokens[asked] = (token, begun + seconds)
    return token


# -- the request -----------------------------------------------------------------------


@dataclass
class _Exchange:
    """One request with its redirects, in a thread that can be left behind.

    urllib3 bounds each wait on the socket, but not all of them together: a server
    that sends a byte now and then would hold a measurement for ever, and so would a
    name server. So the request has a thread of its own, and at the deadline its
    socket is shut down, which ends the thread.
    """

    method: str
    target: SplitResult
    headers: t.Mapping[str, str]
    body: bytes | None
    timeout: float
    context: ssl.SSLContext | None
    secrets: tuple[str, ...]
    _connections: list[t.Any] = field(default_factory=list)
    _reached: bool = False

    def answer(self) -> Answer:
        """:raises MeasurementError: none came in time."""
        coming: concurrent.futures.Future[Answer] = concurrent.futures.Future()
        threading.Thread(target=self._run, args=(coming,), daemon=True).start()
        try:
            return coming.result(self.timeout)
        except concurrent.futures.TimeoutError:
            self._cut_off()
            raise MeasurementError(self._too_late()) from None

    def _run(self, coming: concurrent.futures.Future[Answer]) -> None:
        # Whatever it is, the thread that waits gets it.
        try:
            coming.set_result(self._request())
        except Exception as error:
            coming.set_exception(error)

    def _request(self) -> Answer:
        try:
            return self._follow()
        except urllib3.exceptions.NewConnectionError as error:
            # To urllib3 it is a timeout, too.
            raise MeasurementError(self._failure(error)) from error
        except urllib3.exceptions.TimeoutError as error:
            raise MeasurementError(self._too_late()) from error
        except (
            urllib3.exceptions.HTTPError,
            http.client.HTTPException,
            OSError,
            ValueError,
        ) as error:
            raise MeasurementError(self._failure(error)) from error

    def _follow(self) -> Answer:
        target = self.target
        deadline = time.monotonic() + self.timeout
        for _redirect in range(MOST_REDIRECTS + 1):
            answer = self._once(target, deadline)
            where = answer.headers.get("location")
            if self.method != "GET" or answer.status not in _REDIRECTS or not where:
                return answer
            following = urlsplit(urljoin(_address(target), where))
            if _origin(following) != _origin(target):
                return answer
            target = following
        raise MeasurementError(
            f"{self._source} was redirected more than {MOST_REDIRECTS} times; give the"
            " address that answers."
        )

    def _once(self, target: SplitResult, deadline: float) -> Answer:
        url = _address(target)
        with _manager(target, self.context) as manager:
            pool = manager.connection_from_url(url)
            pool.ConnectionCls = self._remembered(type(pool).ConnectionCls)
            response = manager.request(
                self.method,
                url,
                body=self.body,
                headers={"User-Agent": "cutover.bluegreen", **self.headers},
                retries=False,
                redirect=False,
                preload_content=False,
                timeout=urllib3.Timeout(total=max(deadline - time.monotonic(), 0.001)),
            )
            try:
                return self._answer(response)
            finally:
                response.close()

    def _answer(self, response: t.Any) -> Answer:
        return Answer(
            status=int(response.status),
            headers={k.lower(): v for k, v in response.headers.items()},
            body=self._read(response),
            source=self._source,
            secrets=self.secrets,
        )

    def _read(self, response: t.Any) -> bytes:
        body = bytearray()
        for chunk in response.stream(_CHUNK):
            body += chunk
            if len(body) > LARGEST_ANSWER:
                raise MeasurementError(
                    f"{self._source} answered with more than"
                    f" {LARGEST_ANSWER // 1024 // 1024} MiB; ask for less."
                )
        return bytes(body)

    def _remembered(self, make: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
        def connection(*args: t.Any, **kwargs: t.Any) -> t.Any:
            made = make(*args, **kwargs)
            made.connect = self._noting(made.connect)
            self._connections.append(made)
            return made

        return connection

    def _noting(self, connect: t.Callable[[], None]) -> t.Callable[[], None]:
        def noted() -> None:
            connect()
            self._reached = True

        return noted

    def _cut_off(self) -> None:
        for connection in self._connections:
            try:
                connection.sock.shutdown(socket.SHUT_RDWR)
            except (AttributeError, OSError):
                # Not connected, or closed meanwhile: it ends by its own timeout.
                continue

    @property
    def _source(self) -> str:
        return f"{self.method} {_shown(self.target)}"

    def _too_late(self) -> str:
        if not self._reached:
            return (
                f"{_place(self.target)} cannot be reached (no connection within"
                f" {self.timeout:g} s); check the address, the network and proxies."
            )
        return (
            f"{self._source} was cut off after {self.timeout:g} s, before its answer"
            " was complete; look at the server, or allow it more seconds."
        )

    def _failure(self, error: BaseException) -> str:
        causes = list(_causes(error))
        for cause in causes:
            if isinstance(cause, ssl.SSLCertVerificationError):
                return (
                    f"The certificate of {_place(self.target)} is not trusted"
                    f" ({cause.verify_message}); give its authority as caCert, or set"
                    " insecure: true."
                )
        reason = shown(mask(_reason(causes), self.secrets))
        if any(isinstance(cause, urllib3.exceptions.ProxyError) for cause in causes):
            return (
                f"{_place(self.target)} cannot be reached through the proxy"
                f" ({reason}); check HTTP_PROXY, HTTPS_PROXY and NO_PROXY."
            )
        return (
            f"{_place(self.target)} cannot be reached ({reason}); check the address,"
            " the network and proxies."
        )


def _manager(target: SplitResult, context: ssl.SSLContext | None) -> t.Any:
    options: dict[str, t.Any] = {}
    if context is not None:
        options["ssl_context"] = context
        options["cert_reqs"] = context.verify_mode
    proxy = _proxy(target)
    if proxy is None:
        return urllib3.PoolManager(**options)
    credentials = None
    if proxy.username is not None:
        pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        credentials = urllib3.util.make_headers(proxy_basic_auth=pair)
    return urllib3.ProxyManager(_address(proxy), proxy_headers=credentials, **options)


def _proxy(target: SplitResult) -> SplitResult | None:
    # Not getproxies(): on macOS it also asks the system, which may kill a process
    # that was forked, as Ansible's workers are.
    proxies = urllib.request.getproxies_environment()
    found = proxies.get(target.scheme) or proxies.get("all")
    if not found or urllib.request.proxy_bypass(_netloc(target)):
        return None
    proxy = urlsplit(found if "://" in found else f"http://{found}")
    if proxy.scheme in _DEFAULT_PORTS and proxy.hostname:
        return proxy
    raise MeasurementError(
        f"{_place(target)} cannot be reached: the proxy that the environment names for"
        f" it ({proxy.scheme}://{proxy.hostname or ''}) is neither http:// nor"
        " https://; change HTTP_PROXY or HTTPS_PROXY, or name the host in NO_PROXY."
    )


def _tls(insecure: bool, ca_cert: str) -> ssl.SSLContext:
    if not insecure:
        return trusting(ca_cert)
    # The user has said so; a warning at each measurement would say nothing more.
    urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def trusting(ca_cert: str) -> ssl.SSLContext:
    """TLS that trusts these authorities, or the system's if there are none.

    :raises MeasurementError: the text holds no certificates in PEM form.
    """
    try:
        return ssl.create_default_context(cadata=ca_cert or None)
    except (ssl.SSLError, ValueError, TypeError):
        raise MeasurementError(
            "caCert holds no certificate that can be read; give the PEM text, from"
            " -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----."
        ) from None


# -- URLs ------------------------------------------------------------------------------


def _split(url: str) -> SplitResult:
    try:
        target = urlsplit(url)
        port_is_a_number = target.port is None or target.port > 0
    except ValueError:
        raise MeasurementError(
            "The URL cannot be read: its host or port is malformed; expected is"
            " http://host:port/path."
        ) from None
    if target.scheme not in _DEFAULT_PORTS or not target.hostname:
        raise MeasurementError(
            "The URL cannot be used: it does not begin with http:// or https:// and a"
            " host."
        )
    if not port_is_a_number or re.search(r"[\s\x00-\x1f\x7f]", url):
        raise MeasurementError(
            "The URL cannot be used: it holds a blank, a line break or port 0; write"
            " blanks as %20."
        )
    return target


def _netloc(target: SplitResult) -> str:
    return target.netloc.rpartition("@")[2]


def _address(target: SplitResult) -> str:
    """The URL without what is no part of the request."""
    return target._replace(netloc=_netloc(target), fragment="").geturl()


def _shown(target: SplitResult) -> str:
    return target._replace(netloc=_place(target), query="", fragment="").geturl()


def _origin(target: SplitResult) -> tuple[str, str | None, int | None]:
    try:
        port = target.port
    except ValueError:
        return (target.scheme, None, None)
    return target.scheme, target.hostname, port or _DEFAULT_PORTS.get(target.scheme)


def _place(target: SplitResult) -> str:
    """Host and port."""
    host = target.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{target.port or _DEFAULT_PORTS[target.scheme]}"


# -- messages --------------------------------------------------------------------------


def _refuse_broken_headers(headers: t.Mapping[str, str]) -> None:
    for name, value in headers.items():
        wrong = header_problem(name, value)
        if wrong:
            raise MeasurementError(f"The request was not sent: {wrong}.")


def header_problem(name: str, value: str) -> str:
    """One clause about what makes it no HTTP header, without its value; else empty."""
    if not _HEADER_NAME.fullmatch(name):
        return f"{name!r} is no name of an HTTP header; use letters, digits and hyphens"
    if _NOT_IN_HEADER.search(value):
        return (
            f"the value of the header {name} holds a line break or another control"
            " character; remove it (a Secret often ends with a line break)"
        )
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        return (
            f"the value of the header {name} holds a character that HTTP does not"
            " carry; use ASCII"
        )
    return ""


def _has(headers: t.Mapping[str, str], name: str) -> bool:
    return any(key.lower() == name.lower() for key in headers)


def _secrets(target: SplitResult, headers: t.Mapping[str, str]) -> tuple[str, ...]:
    """What a server may repeat, and nobody is to read."""
    found = [target.query, target.netloc.rpartition("@")[0], target.password or ""]
    for name, value in parse_qsl(target.query):
        if _SECRET_NAME.search(name):
            found.append(value)
    for name, value in headers.items():
        if _SECRET_NAME.search(name):
            found += [value, *value.split()[1:]]
    return tuple(sorted({s for s in found if len(s) > 2}, key=len, reverse=True))


def _refusal(answer: Answer) -> str:
    if answer.status in _REDIRECTS:
        return (
            f"{answer.source} redirects ({answer.status}) to"
            f" {_shown_redirect(answer)}, and only a GET is redirected, within one"
            " host and port; give the address that answers."
        )
    reason = http.client.responses.get(answer.status, "")
    said = answer.shown()
    return (
        f"{answer.source} answered {f'{answer.status} {reason}'.strip()}"
        f"{f': {said}' if said else '.'}"
    )


def _shown_redirect(answer: Answer) -> str:
    asked = answer.source.partition(" ")[2]
    try:
        return shown(shown_url(urljoin(asked, answer.headers.get("location", ""))))
    except (MeasurementError, ValueError):
        return "an address that is none"


def _causes(error: BaseException) -> t.Iterator[BaseException]:
    """The error and what led to it, the outermost first."""
    seen: set[int] = set()
    queue: list[t.Any] = [error]
    while queue:
        found = queue.pop(0)
        if not isinstance(found, BaseException) or id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        queue += [found.__cause__, found.__context__, *found.args]


def _reason(causes: t.Sequence[BaseException]) -> str:
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            return "the name is not known"
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed: {(cause.reason or 'no reason given').lower()}"
        if isinstance(cause, OSError) and str(cause.strerror or cause):
            return str(cause.strerror or cause).lower()
    for cause in causes:
        if isinstance(cause, http.client.RemoteDisconnected):
            return "it closed the connection without an answer"
        if isinstance(cause, (http.client.IncompleteRead, http.client.BadStatusLine)):
            return "it broke off its answer, or does not speak HTTP"
    return str(causes[0]) or type(causes[0]).__name__


# -- OAuth2 ----------------------------------------------------------------------------


def _ask_for_token(
    asked: tuple[str, ...], timeout: float, insecure: bool, ca_cert: str
) -> Answer:
    """Servers take the client's credentials as a header, or as fields of the form;
    the standard asks for the header, so that comes first.
    """
    url, client_id, client_secret, scopes = asked
    asking = [("grant_type", "client_credentials")]
    if scopes:
        asking.append(("scope", scopes))
    credentials = [("client_id", client_id), ("client_secret", client_secret)]
    deadline = time.monotonic() + timeout
    tries: tuple[tuple[dict[str, str], Fields], ...] = (
        (basic(_form_encoded(client_id), _form_encoded(client_secret)), asking),
        ({}, [*asking, *credentials]),
    )
    for header, fields in tries:
        answer = send(
            "POST",
            url,
            headers={"Content-Type": "application/x-www-form-urlencoded", **header},
            body=encoded(form(fields)),
            timeout=max(deadline - time.monotonic(), 0.001),
            insecure=insecure,
            ca_cert=ca_cert,
            accept_any_status=True,
        )
        if answer.status not in (400, 401):
            break
    if 200 <= answer.status < 300:
        return answer
    # The text is not shown: it may repeat the credentials in any form.
    raise MeasurementError(
        f"The token server gave no access token: {answer.source} answered"
        f" {answer.status}{_oauth2_error(answer)}; check clientId, clientSecret and"
        " scopes."
    )


def _form_encoded(text: str) -> str:
    return form([("", text)])[1:]


def _oauth2_error(answer: Answer) -> str:
    try:
        code = answer.json().get("error")
    except (MeasurementError, AttributeError):
        return ""
    known = isinstance(code, str) and re.fullmatch(r"[a-z_]{1,40}", code)
    return f" ({code})" if known else ""


def _read_token(answer: Answer) -> tuple[str, float]:
    """The token, and the seconds that it may be used."""
    try:
        document = json.loads(answer.body)
        token, seconds = document["access_token"], document.get("expires_in", 0)
        lifetime = float(seconds)
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        token, lifetime = None, 0.0
    if not isinstance(token, str) or not token or header_problem("Token", token):
        raise MeasurementError(
            f"The token server gave no access token: {answer.source} answered without"
            " a usable access_token; check tokenUrl."
        )
    return token, lifetime
