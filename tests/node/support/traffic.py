# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a test waits for while users' requests go on."""

from __future__ import annotations

import typing as t

from ansible_collections.cutover.bluegreen.tests.integration.support.waiting import (
    eventually,
)

from .load import Load


def flows(load: Load, count: int = 300) -> None:
    """Wait for so many more requests of each kind."""
    before = load.answers()

    def flowed() -> bool:
        now = load.answers()
        kinds: t.Sequence[t.Literal["new", "reused"]] = ("new", "reused")
        return all(len(now.of(k)) >= len(before.of(k)) + count for k in kinds)

    eventually(flowed, 60, f"{count} more requests of each kind")
