# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: it may change in any release.

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  wait:
    description:
      - Whether to stay for countdowns and delays (V(inline)), or to end the task at
        each of them, so that a later run goes on (V(detach)).
      - Pods that must become ready are waited for in both cases.
    type: str
    choices: [inline, detach]
    default: inline
"""
