# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How pods are to be told to close what they hold: what is taken, what is refused."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._asked_drain import (
    drain_exec,
    drain_http,
    rights_to_tell,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._errors import BadInput
from ansible_collections.cutover.bluegreen.tests.unit.support.states import parameters

REQUESTS: list[tuple[object, dict[str, t.Any]]] = [
    ({"port": 8080}, {"port": 8080, "path": "/", "method": "GET"}),
    ({"port": "8080"}, {"port": 8080, "path": "/", "method": "GET"}),
    (
        {"port": "admin", "path": "/drain?how=soft", "method": "post"},
        {"port": "admin", "path": "/drain?how=soft", "method": "POST"},
    ),
    ("port: http\npath: /x\n", {"port": "http", "path": "/x", "method": "GET"}),
]


@pytest.mark.parametrize(("given", "kept"), REQUESTS)
def test_a_request(given: object, kept: dict[str, t.Any]) -> None:
    assert json.loads(drain_http(given, "drain_http")) == kept


COMMANDS: list[tuple[object, dict[str, t.Any]]] = [
    (["/app", "drain"], {"command": ["/app", "drain"]}),
    ('["sleep", 5]', {"command": ["sleep", "5"]}),
    (
        {"command": ["nginx", "-s", "quit"], "container": "web"},
        {"command": ["nginx", "-s", "quit"], "container": "web"},
    ),
    ("command: [a]\n", {"command": ["a"]}),
]


@pytest.mark.parametrize(("given", "kept"), COMMANDS)
def test_a_command(given: object, kept: dict[str, t.Any]) -> None:
    assert json.loads(drain_exec(given, "drain_exec")) == kept


@pytest.mark.parametrize("nothing", [None, "", {}])
def test_nothing_is_asked_for(nothing: object) -> None:
    assert drain_http(nothing, "drain_http") == drain_exec(nothing, "drain_exec") == ""


BAD_REQUESTS: list[tuple[object, str]] = [
    ({"path": "/x"}, "port is missing"),
    ({"port": 0}, "port is 0"),
    ({"port": True}, "port is True"),
    ({"port": 70000}, "port is 70000"),
    ({"port": "a port"}, "port is 'a port'"),
    ({"port": 80, "path": "drain"}, "path is 'drain'"),
    ({"port": 80, "path": "/a b"}, "path is '/a b'"),
    ({"port": 80, "path": "/x?api_key=1"}, "path holds credentials"),
    ({"port": 80, "method": "DELETE"}, "method is 'DELETE'"),
    ({"port": 80, "header": "x"}, "header is not known"),
    ([80], "a manifest is expected"),
    ("{", "this is not YAML"),
]


@pytest.mark.parametrize(("given", "said"), BAD_REQUESTS)
def test_a_request_that_is_refused(given: object, said: str) -> None:
    with pytest.raises(BadInput, match="^drain_http: ") as error:
        drain_http(given, "drain_http")
    assert said in str(error.value)


BAD_COMMANDS: list[tuple[object, str]] = [
    ("nginx -s quit", "'nginx -s quit' is no command"),
    (5, "'5' is no command"),
    ({"command": "a"}, "'a' is no command"),
    ({"command": []}, "'[]' is no command"),
    ([["a"]], "is no command"),
    ([None], "is no command"),
    ({"container": "web"}, "'None' is no command"),
    ({"command": ["a"], "container": "A B"}, "container is 'A B'"),
    ({"command": ["a"], "shell": True}, "shell is not known"),
    ("[", "this is not YAML"),
]


@pytest.mark.parametrize(("given", "said"), BAD_COMMANDS)
def test_a_command_that_is_refused(given: object, said: str) -> None:
    with pytest.raises(BadInput, match="^drain_exec: ") as error:
        drain_exec(given, "drain_exec")
    assert said in str(error.value)


def test_rights_are_asked_for_what_is_asked_for() -> None:
    get, post = (
        drain_http({"port": 1, "method": method}, "drain_http")
        for method in ("GET", "POST")
    )
    command = drain_exec(["a"], "drain_exec")
    assert rights_to_tell(parameters()) == {}
    assert rights_to_tell(parameters(drain_http=get)) == {"pods/proxy": ("get",)}
    assert rights_to_tell(parameters(drain_http=post, drain_exec=command)) == {
        "pods/proxy": ("create",),
        "pods/exec": ("create", "get"),
    }
