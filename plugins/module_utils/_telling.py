# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pods are told to close what they hold: by a request, or by a command in them.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import json
import threading
import typing as t
from collections.abc import Callable, Mapping, Sequence

from ._api import Api, Proxied
from ._asked_drain import parse_exec, parse_http
from ._drain import Drain, Told
from ._errors import BluegreenError
from ._objects import Object

# So many at a time, so that whoever drives hears of an abort in between.
AT_ONCE = 16
TIMEOUT_SECONDS = 10.0


class _Untold(BluegreenError):
    """Why a pod was not told, as a clause."""


def tell(api: Api, pods: Sequence[Object], http: str, exec_: str, drain: Drain) -> Told:
    """Tell some of the pods that were not told yet, those first that nobody tried.

    :param pods: as the API lists them; one that does not run is left alone.
    :param http: the request, as :class:`Parameters` has it; empty: none.
    :param exec_: the command, likewise.
    """
    waiting = [p for p in pods if _runs(p) and _name(p) not in drain.told]
    order = {name: place for place, name in enumerate(drain.untold, 1)}
    waiting.sort(key=lambda pod: order.get(_name(pod), 0))
    now, later = waiting[:AT_ONCE], waiting[AT_ONCE:]
    # Who lost the lock, or whose playbook has ended, tells nobody.
    for check in api.before_write if now else ():
        check()
    reasons = _at_once(now, lambda pod: _tell(api, pod, http, exec_))
    return Told(
        pods=tuple(_name(p) for p in now if not reasons[_name(p)]),
        failed={name: why for name, why in reasons.items() if why},
        left=tuple(map(_name, later)),
    )


def _runs(pod: Object) -> bool:
    running = (pod.get("status") or {}).get("phase") == "Running"
    return running and "deletionTimestamp" not in pod["metadata"]


def _name(pod: Object) -> str:
    return str(pod["metadata"]["name"])


def _at_once(pods: Sequence[Object], one: Callable[[Object], None]) -> dict[str, str]:
    """Why each pod was not told, by its name; empty: it was."""
    reasons: dict[str, str] = {}

    def work(pod: Object) -> None:
        try:
            one(pod)
            reasons[_name(pod)] = ""
        except BluegreenError as error:
            reasons[_name(pod)] = str(error)
        # Whatever a pod answers must end as a reason, not as a silent thread.
        except Exception as error:  # noqa: BLE001
            name = type(error).__name__
            reasons[_name(pod)] = f"unexpected {name} ({error}); please report this"

    threads = [
        threading.Thread(target=work, args=(pod,), daemon=True, name="tell")
        for pod in pods
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        # Each request and command ends by itself at its timeout.
        thread.join(3 * TIMEOUT_SECONDS)
    late = f"nothing came back within {3 * TIMEOUT_SECONDS:g} s"
    return {_name(pod): reasons.get(_name(pod), late) for pod in pods}


def _tell(api: Api, pod: Object, http: str, exec_: str) -> None:
    if http:
        _request(api, pod, parse_http(http, "drain_http"))
    if exec_:
        asked = parse_exec(exec_, "drain_exec")
        try:
            api.execute(
                f"{_path(pod, _name(pod))}/exec",
                asked["command"],
                asked.get("container", ""),
                TIMEOUT_SECONDS,
            )
        except BluegreenError as error:
            raise _Untold(f"command {asked['command'][0]}: {error}") from error


def _path(pod: Object, name: str) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{name}"


def _request(api: Api, pod: Object, asked: Mapping[str, t.Any]) -> None:
    port, method = _port(pod, asked["port"]), asked["method"]
    what = f"{method} {asked['path']} on port {asked['port']}"
    proxy = f"{_path(pod, f'{_name(pod)}:{port}')}/proxy{asked['path']}"
    answer = api.proxied(method, proxy, timeout=TIMEOUT_SECONDS)
    if answer.status >= 400:
        raise _Untold(f"{what} answered {answer.status}{_said_by_api(answer)}")


def _port(pod: Object, port: int | str) -> int:
    """The number of a container port that is asked for by number or name."""
    if isinstance(port, int):
        return port
    for container in pod["spec"]["containers"]:
        for each in container.get("ports") or []:
            if each.get("name") == port:
                return int(each["containerPort"])
    raise _Untold(f"it has no container port called {port}")


def _said_by_api(answer: Proxied) -> str:
    """What the API server says, if the answer is its own and not the pod's."""
    try:
        status = json.loads(answer.body)
    except (ValueError, RecursionError):
        return ""
    is_status = isinstance(status, dict) and status.get("kind") == "Status"
    said = " ".join(str(status.get("message") or "").split()) if is_status else ""
    return f": {said}" if said else ""
