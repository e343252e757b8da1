# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Durations as Go writes them, such as ``1h30m``, in seconds.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import re

_UNITS = {
    "ns": 1e-9,
    "us": 1e-6,
    "\u00b5s": 1e-6,
    "\u03bcs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)")
# As Go's: 64 bits of nanoseconds.
_LONGEST = 2**63 / 1e9
_MAX_DURATION_TEXT = 100


def seconds_of(text: object) -> float:
    """A duration such as ``1h30m``, ``500ms`` or ``10s``, in seconds.

    :raises ValueError: it is none, or is negative or too long.
    """
    if not isinstance(text, str):
        raise ValueError(text)
    if text == "0":
        return 0.0
    end = 0
    total = 0.0
    while len(text) <= _MAX_DURATION_TEXT and (part := _PART.match(text, end)):
        total += float(part.group(1)) * _UNITS[part.group(2)]
        end = part.end()
    if not end or end < len(text) or total > _LONGEST:
        raise ValueError(text)
    return total
