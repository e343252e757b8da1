# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How hooks are kept in the record, and read back."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._hooks import (
    FAILED,
    RUNNING,
    Hook,
    HookState,
    from_plain,
    to_plain,
    written,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._record import Record
from ansible_collections.cutover.bluegreen.tests.unit.support.states import NOW, V1

STATE = HookState(
    id=f"{V1}-1.smoke",
    at="before promoted",
    phase=FAILED,
    due=True,
    attempts=2,
    started_at=NOW,
    began_at=NOW,
    next_at=NOW,
    finished_at=NOW,
    message="it answered 500",
    heeded=True,
    metadata={"job": "a"},
)


@pytest.mark.parametrize("state", [STATE, HookState("a", "on pause")])
def test_a_state_is_read_back(state: HookState) -> None:
    assert from_plain(to_plain(state)) == state
    record = Record(V1, hooks={"smoke": state}, held="why", no_return=V1)
    found = Record.from_data(record.to_data())
    assert found.hooks == {"smoke": state}
    assert (found.held, found.no_return) == ("why", V1)


@pytest.mark.parametrize(
    "plain", [None, [], {}, {"id": "a", "phase": "Lost"}, {"id": 1, "phase": "Failed"}]
)
def test_what_was_edited_beyond_use_was_never_written(plain: t.Any) -> None:
    assert from_plain(plain) is None


def test_a_task_file_that_runs_is_known_from_the_record_alone() -> None:
    hook = Hook("smoke", "before created", tasks="/srv/smoke.yml", retries=2)
    state = HookState("a", hook.at, RUNNING, metadata={"hook": written(hook)})
    assert state.task_file == hook
    assert STATE.task_file is None
    assert HookState("a", hook.at, metadata={"hook": "edited"}).task_file is None
