# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How pods are to be told to close what they hold, as a task is given it.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import json
import re
import typing as t

from ._errors import BadInput, shown
from ._manifests import is_name, loaded, parse, refuse_unknown
from ._parameters import Parameters, canonical

METHODS = ("GET", "POST")
_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?")
# Who may read the Deployment reads what is asked for.
_CREDENTIALS = re.compile(r"(token|password|secret|api_?key)=", re.IGNORECASE)

Rights = dict[str, tuple[str, ...]]


def drain_http(value: object, variable: str) -> str:
    """The request to each pod as canonical JSON text; empty if none is asked for.

    :raises BadInput: one sentence about the first thing that is wrong.
    """
    return "" if value in (None, "", {}) else canonical(parse_http(value, variable))


def parse_http(value: object, variable: str) -> dict[str, t.Any]:
    """``port`` (a number or a name), ``path`` and ``method`` of the request.

    :raises BadInput: one sentence about the first thing that is wrong.
    """
    given = parse(value, variable)
    refuse_unknown(given, ("port", "path", "method"), variable)
    port, path = given.get("port"), given.get("path", "/")
    method = str(given.get("method") or "GET").upper()
    if isinstance(port, str) and port.isdigit():
        # AWX surveys send strings.
        port = int(port)
    if not _is_port(port):
        raise BadInput(
            f"{variable}: port is {shown(port)}; give the number or the name of a"
            " container port."
        )
    if not isinstance(path, str) or not path.startswith("/") or " " in path:
        raise BadInput(
            f"{variable}: path is {path!r}; give one that begins with / and has no"
            " spaces."
        )
    if _CREDENTIALS.search(path):
        raise BadInput(
            f"{variable}: path holds credentials, which would stand in the cluster for"
            " all to read; give one that needs none."
        )
    if method not in METHODS:
        raise BadInput(f"{variable}: method is {method!r}; give GET or POST.")
    return {"port": port, "path": path, "method": method}


def _is_port(port: object) -> bool:
    if isinstance(port, str):
        return bool(_PORT_NAME.fullmatch(port))
    return isinstance(port, int) and not isinstance(port, bool) and 0 < port < 65536


def drain_exec(value: object, variable: str) -> str:
    """The command in each pod as canonical JSON text; empty if none is asked for.

    :raises BadInput: one sentence about the first thing that is wrong.
    """
    if value in (None, "", {}, []):
        return ""
    return canonical(parse_exec(value, variable))


def parse_exec(value: object, variable: str) -> dict[str, t.Any]:
    """``command``, a list, and ``container``, if one was given.

    :raises BadInput: one sentence about the first thing that is wrong.
    """
    found = loaded(value, variable, "give the command as a list")
    given = {"command": found} if isinstance(found, list) else found
    if not isinstance(given, dict):
        raise BadInput(_expected_command(variable, given))
    refuse_unknown(given, ("command", "container"), variable)
    command, container = given.get("command"), given.get("container")
    # A number in YAML is an argument like any other.
    parts = command if isinstance(command, list) else []
    if not parts or not all(_is_argument(p) for p in parts):
        raise BadInput(_expected_command(variable, command))
    asked: dict[str, t.Any] = {"command": [str(p) for p in parts]}
    if container:
        if not is_name(str(container)):
            raise BadInput(
                f"{variable}: container is {container!r}; give the name of one of the"
                " pod's containers."
            )
        asked["container"] = str(container)
    return asked


def _is_argument(part: object) -> bool:
    return isinstance(part, (str, int, float)) and not isinstance(part, bool)


def _expected_command(variable: str, found: object) -> str:
    return (
        f"{variable}: {str(found)[:60]!r} is no command; give it as a list, such as"
        " [/app/drain, now], or as a mapping with command and container."
    )


def rights_to_tell(parameters: Parameters) -> Rights:
    """What the user of the Kubernetes API needs for it: verbs by resource."""
    needed: Rights = {}
    if parameters.drain_http:
        method = json.loads(parameters.drain_http)["method"]
        needed["pods/proxy"] = ("create" if method == "POST" else "get",)
    if parameters.drain_exec:
        # Newer API servers ask for both, whatever the request is.
        needed["pods/exec"] = ("create", "get")
    return needed
