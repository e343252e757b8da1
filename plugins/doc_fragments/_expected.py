# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: it may change in any release.

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  revision:
    description:
      - The revision that this task expects to act on, by its hash or number.
      - If another release came between, the task fails and changes nothing.
      - If not given, it is the one in flight.
    type: str
"""
