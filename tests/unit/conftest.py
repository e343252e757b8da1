# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How Hypothesis searches: the same examples in every run, so that CI never flickers.

HYPOTHESIS_PROFILE=explore looks at twenty times as many, other ones each time.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

settings.register_profile(
    "repeatable",
    derandomize=True,
    database=None,
    # Two busy cores: how long one example takes says nothing about the code.
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
)
settings.register_profile(
    "explore",
    parent=settings.get_profile("repeatable"),
    derandomize=False,
    max_examples=2000,
)
settings.register_profile("lane", parent=settings.get_profile("repeatable"))
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))
