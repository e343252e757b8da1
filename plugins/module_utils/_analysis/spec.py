# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a metric asks for, parsed: durations in seconds, limits as numbers.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

# Argo Rollouts' own defaults.
CONSECUTIVE_ERROR_LIMIT = 4
RETENTION = 10
# A limit that never ends a metric.
UNLIMITED = -1

NO_DATA = ("inconclusive", "fail", "pass")


@dataclass(frozen=True)
class Range:
    """``thresholdRange``: the value must lie within both bounds, if they are given."""

    least: float | None = None
    most: float | None = None


@dataclass(frozen=True)
class Metric:
    """One metric of an analysis.

    Every placeholder of an argument that is not a secret has been replaced, except
    in ``config``: there hashes of revisions and secrets are filled in when measuring.
    """

    name: str
    # The key below ``provider``, such as ``prometheus``.
    provider: str
    # The provider's block as it was written.
    config: t.Mapping[str, t.Any] = field(default_factory=dict)
    # Seconds between the end of one measurement and the begin of the next.
    interval: float | None = None
    # Seconds between the begin of the analysis and the first measurement.
    initial_delay: float = 0.0
    # How many measurements, errors not counted; none means endless.
    count: int | None = 1
    # Empty: none. Argo Rollouts' expressions, on ``result``.
    success_condition: str = ""
    failure_condition: str = ""
    threshold_range: Range | None = None
    failure_limit: int = 0
    inconclusive_limit: int = 0
    consecutive_error_limit: int = CONSECUTIVE_ERROR_LIMIT
    # 0: off.
    consecutive_success_limit: int = 0
    # What an answer without data is; empty: not said, which counts as inconclusive
    # unless a condition itself deals with it.
    no_data: str = ""
    # Measured and shown, never decides.
    dry_run: bool = False
    # How many measurements are kept in the record.
    retention: int = RETENTION


@dataclass(frozen=True)
class Spec:
    """One analysis: metrics that all must succeed."""

    metrics: tuple[Metric, ...]

    def metric(self, name: str) -> Metric:
        """The metric of that name.

        :raises KeyError: there is none.
        """
        for metric in self.metrics:
            if metric.name == name:
                return metric
        raise KeyError(name)
