# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measurements as the engine asks providers for them, on a real API."""

from __future__ import annotations

import dataclasses
import pathlib
import time
import typing as t

from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.measurement import (  # noqa: E501 - a module's name
    Outcome,
    Place,
    Request,
    Unfinished,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._api import Api
from ansible_collections.cutover.bluegreen.plugins.module_utils._auth import connect
from ansible_collections.cutover.bluegreen.plugins.module_utils._clock import (
    ServerClock,
)


def place_on(kubeconfig: pathlib.Path, namespace: str, **more: t.Any) -> Place:
    """The place of an analysis, with the API as modules make it."""
    clock = ServerClock()
    api = Api(connect({"kubeconfig": str(kubeconfig)}, {}), clock)
    return Place(
        now=clock.now,
        secret=lambda name, key: "",
        api=lambda: api,
        namespace=namespace,
        **more,
    )


def request_at(
    place: Place, config: t.Mapping[str, t.Any], number: int = 1, metric: str = "m"
) -> Request:
    return Request(metric, number, config, config, place)


def resumed(request: Request, outcome: Outcome) -> Request:
    """The request that asks again for a measurement that goes on."""
    assert isinstance(outcome, Unfinished), outcome
    return dataclasses.replace(request, metadata=outcome.metadata)


def finished(
    measure: t.Callable[[Request], Outcome], request: Request, timeout: float = 30
) -> Outcome:
    """The outcome when it is no longer unfinished; it is asked for more often than
    it asks to be.
    """
    deadline = time.monotonic() + timeout
    outcome = measure(request)
    while isinstance(outcome, Unfinished):
        if time.monotonic() > deadline:
            raise AssertionError(f"not finished within {timeout} s: {outcome}")
        time.sleep(0.05)
        outcome = measure(resumed(request, outcome))
    return outcome
