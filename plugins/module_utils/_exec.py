# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One command in a container, over a WebSocket, with the connection's own credentials.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import base64
import json
import ssl
import time
import typing as t
from urllib.parse import urlencode

from ._auth import Connection
from ._deps import websocket
from ._errors import ApiError

# What the API server ends a command with; the output goes on channels 1 and 2.
_ERROR_CHANNEL = 3
_PROTOCOLS = ["v5.channel.k8s.io", "v4.channel.k8s.io"]
# Credentials and impersonation; the library makes all other headers itself.
_NOT_SENT = ("accept", "user-agent")


def execute(
    connection: Connection,
    path: str,
    command: t.Sequence[str],
    container: str,
    timeout: float,
) -> None:
    """Run a command and wait for its end. Its output is read and forgotten.

    :param path: of the pod's ``exec`` subresource.
    :param container: its name; empty: the pod's first or default one.
    :param timeout: seconds for everything together.
    :raises ApiError: it could not be run, did not end in time, or failed.
    """
    library = websocket()
    if library is None:
        raise ApiError(
            "the Python package websocket-client, which kubernetes needs, is not there"
        )
    query = [("command", part) for part in command]
    query += [("stdout", "true"), ("stderr", "true")]
    query += [("container", container)] if container else []
    url = f"ws{connection.host.removeprefix('http')}{path}?{urlencode(query)}"
    deadline = time.monotonic() + timeout
    try:
        opened = library.create_connection(
            url,
            timeout=timeout,
            header=[
                f"{name}: {value}"
                for name, value in connection.auth_headers().iteritems()
                if name.lower() not in _NOT_SENT
            ],
            subprotocols=_PROTOCOLS,
            sslopt=_tls(connection.configuration),
            **_proxy(connection.pool),
        )
    except library.WebSocketBadStatusException as error:
        raise ApiError(_refused(error), int(error.status_code)) from error
    except (library.WebSocketException, OSError, ValueError) as error:
        raise ApiError(f"no connection ({error})") from error
    try:
        _wait_for_the_end(library, opened, deadline, timeout)
    finally:
        opened.close(timeout=0)


def _wait_for_the_end(
    library: t.Any, opened: t.Any, deadline: float, timeout: float
) -> None:
    late = ApiError(f"it had not ended after {timeout:g} s")
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise late
        opened.settimeout(left)
        try:
            frame = opened.recv()
        except library.WebSocketTimeoutException as error:
            raise late from error
        except (library.WebSocketException, OSError) as error:
            raise ApiError(f"the connection broke off ({error})") from error
        if not isinstance(frame, bytes) or not frame:
            raise ApiError("the connection was closed before it ended")
        if frame[0] == _ERROR_CHANNEL:
            _raise_failure(frame[1:])
            return


def _raise_failure(text: bytes) -> None:
    """Raise what the Status at the end of a command says, unless it is a success."""
    status = _status(text)
    if status.get("status") == "Success":
        return
    causes = (status.get("details") or {}).get("causes") or []
    codes = [c.get("message") for c in causes if c.get("reason") == "ExitCode"]
    if codes:
        raise ApiError(f"it ended with exit code {codes[0]}")
    raise ApiError(str(status.get("message") or "the API server gave no reason"))


def _refused(error: t.Any) -> str:
    said = _status(error.resp_body or b"").get("message") or "no reason given"
    return f"the API server refused it ({error.status_code}): {said}"


def _status(text: bytes) -> dict[str, t.Any]:
    try:
        status = json.loads(text)
    except ValueError:
        return {}
    return status if isinstance(status, dict) else {}


def _tls(configuration: t.Any) -> dict[str, t.Any]:
    """As the connection pool has it."""
    options: dict[str, t.Any] = {
        "cert_reqs": ssl.CERT_REQUIRED if configuration.verify_ssl else ssl.CERT_NONE,
        "ca_certs": configuration.ssl_ca_cert,
        "certfile": configuration.cert_file,
        "keyfile": configuration.key_file,
        "server_hostname": configuration.tls_server_name,
    }
    if configuration.assert_hostname is False or not configuration.verify_ssl:
        options["check_hostname"] = False
    return {k: v for k, v in options.items() if v is not None}


def _proxy(pool: t.Any) -> dict[str, t.Any]:
    """The proxy that the pool goes through, and none of the environment's own."""
    proxy = getattr(pool, "proxy", None)
    if proxy is None:
        return {"http_no_proxy": ["*"]}
    found = {"http_proxy_host": proxy.host, "http_proxy_port": proxy.port}
    given = dict(getattr(pool, "proxy_headers", None) or {})
    kind, _space, text = str(given.get("proxy-authorization", "")).partition(" ")
    if kind == "Basic":
        user, _colon, password = base64.b64decode(text).decode().partition(":")
        found["http_proxy_auth"] = (user, password)
    return found
