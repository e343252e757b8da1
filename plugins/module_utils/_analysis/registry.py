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


# What runs a hook, and is no provider that an analysis could name.
WEBHOOK = "webhook"

# Their measurements go on elsewhere, and have to be found again and ended there.
RESUMABLE = ("job", "kayenta")


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
        from .providers import cloudwatch

        return cloudwatch
    if name == "compare":
        from .providers import compare

        return compare
    if name == "datadog":
        from .providers import datadog

        return datadog
    if name == "graphite":
        from .providers import graphite

        return graphite
    if name == "influxdb":
        from .providers import influxdb

        return influxdb
    if name == "job":
        from .providers import job

        return job
    if name == "kayenta":
        from .providers import kayenta

        return kayenta
    if name == "newRelic":
        from .providers import newrelic

        return newrelic
    if name == "pods":
        from .providers import pods

        return pods
    if name == "probe":
        from .providers import probe

        return probe
    if name == "prometheus":
        from .providers import prometheus

        return prometheus
    if name == "skywalking":
        from .providers import skywalking

        return skywalking
    if name == "wavefront":
        from .providers import wavefront

        return wavefront
    if name == "web":
        from .providers import web

        return web
    if name == WEBHOOK:
        from .providers import webhook

        return webhook
    raise KeyError(name)
