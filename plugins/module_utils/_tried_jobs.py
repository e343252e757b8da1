# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Jobs of a release, tried before its first write.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import typing as t

from . import _hooks
from ._analysis import plan
from ._analysis.arguments import fill, names_in
from ._analysis.measurement import MeasurementError, Place, Request
from ._analysis.providers import job as job_provider
from ._errors import ApiError, BadInput

# What was asked is not to be had: invalid, not permitted, or denied by admission.
_REFUSALS = (400, 403, 422)

Given = t.Mapping[str, t.Any]


def try_jobs(place: Place, hooks: str, analyses: t.Mapping[str, str]) -> None:
    """A dry-run of each Job of hooks, and of analyses by the option they came with.

    One that needs a secret argument cannot be known in full, and is not tried.

    :raises BadInput: a Job cannot be made; it names the hook or metric.
    """
    for hook in _hooks.read(hooks):
        if hook.job:
            _try_job(place, hook.name, hook.job, {}, f"hooks: hook {hook.name}")
    for option, text in analyses.items():
        analysis = plan.read(text, place.revision, place.stable)
        for metric in analysis.spec.metrics:
            secret = names_in(metric.config) & set(analysis.secrets)
            if metric.provider == "job" and not secret:
                where = f"{option}: metric {metric.name}"
                _try_job(place, metric.name, metric.config, analysis.values, where)


def _try_job(
    place: Place, name: str, config: Given, values: t.Mapping[str, str], where: str
) -> None:
    try:
        filled = fill(config, values)
        job_provider.try_creation(Request(name, 1, filled, filled, place))
    except (ApiError, MeasurementError) as error:
        if isinstance(error, ApiError) and error.status not in _REFUSALS:
            raise
        raise BadInput(f"{where}: {error}") from error
