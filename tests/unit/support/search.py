# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How far a property test searches."""

from __future__ import annotations

import os


def examples(count: int) -> int:
    """So many examples; twenty times as many with HYPOTHESIS_PROFILE=explore, a tenth
    with HYPOTHESIS_PROFILE=lane: another Python decides no otherwise.
    """
    if os.environ.get("HYPOTHESIS_PROFILE") == "lane":
        return max(5, count // 10)
    return count * 20 if os.environ.get("HYPOTHESIS_PROFILE") == "explore" else count
