# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The nine steps of a release, by the name of the stage that each one reaches.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

STABLE = "stable"
STARTED = "started"
CREATED = "created"
PREVIEWED = "previewed"
ANALYSED = "analysed"
PAUSED = "paused"
PROMOTED = "promoted"
VERIFIED = "verified"
RETIRED = "retired"
STAGES = (
    STABLE,
    STARTED,
    CREATED,
    PREVIEWED,
    ANALYSED,
    PAUSED,
    PROMOTED,
    VERIFIED,
    RETIRED,
)

# The phases that a person sees.
PROGRESSING = "Progressing"
PHASE_PAUSED = "Paused"
HEALTHY = "Healthy"
DEGRADED = "Degraded"
PHASES = (PROGRESSING, PHASE_PAUSED, HEALTHY, DEGRADED)


def at_least(stage: str, reached: str) -> bool:
    """Whether ``stage`` is ``reached`` or a later one."""
    return STAGES.index(stage) >= STAGES.index(reached)
