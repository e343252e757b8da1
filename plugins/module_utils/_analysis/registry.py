# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The providers by the name that stands below a metric's ``provider``.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import typing as t

from .measurement import Outcome, Problem, Request

NAMES = (
    "cloudWatch",
    "compare",
    "datadog",
    "graphite",
    "influxdb",
    "job",
    "kayenta",
    "newRelic",
    "pods",
    "probe",
    "prometheus",
    "skywalking",
    "wavefront",
    "web",
)


class Provider(t.Protocol):
    """What every module of :mod:`.providers` offers."""

    def problems(self, config: t.Mapping[str, t.Any]) -> list[Problem]: ...

    def measure(self, request: Request) -> Outcome: ...

    def seconds_allowed(self, config: t.Mapping[str, t.Any]) -> float: ...


def provider(name: str) -> Provider:  # noqa: C901 - one line a provider
    """The provider of that name.

    The imports are static, so that what builds the module's archive sees them, and
    inside the function, so that a release without analysis does not pay for them.

    :raises KeyError: there is none.
    """
    if name == "cloudWatch":
        from .providers import cloudwatch as found
    elif name == "compare":
        from .providers import compare as found
    elif name == "datadog":
        from .providers import datadog as found
    elif name == "graphite":
        from .providers import graphite as found
    elif name == "influxdb":
        from .providers import influxdb as found
    elif name == "job":
        from .providers import job as found
    elif name == "kayenta":
        from .providers import kayenta as found
    elif name == "newRelic":
        from .providers import newrelic as found
    elif name == "pods":
        from .providers import pods as found
    elif name == "probe":
        from .providers import probe as found
    elif name == "prometheus":
        from .providers import prometheus as found
    elif name == "skywalking":
        from .providers import skywalking as found
    elif name == "wavefront":
        from .providers import wavefront as found
    elif name == "web":
        from .providers import web as found
    else:
        raise KeyError(name)
    return found
