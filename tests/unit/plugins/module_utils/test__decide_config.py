# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configuration of revisions in the state machine."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._decide import (
    decide,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._decide_config import (
    missing_config,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._engine import (
    planned_line,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._model import (
    ConfigSeen,
    Observed,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._record import Record
from ansible_collections.cutover.bluegreen.plugins.module_utils._stages import (
    HEALTHY,
    PREVIEWED,
    RETIRED,
    STARTED,
    VERIFIED,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._steps import (
    CreateConfig,
    CreateRevision,
    Done,
    DropConfig,
    OwnConfig,
    Step,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._view import Want
from ansible_collections.cutover.bluegreen.tests.unit.support.states import (
    NOW,
    V1,
    V2,
    V3,
    World,
    observed,
    parameters,
    preview,
    revision,
    service,
)

SETTINGS, LOGIN = "ConfigMap/settings", "Secret/login"
BOTH = frozenset({"ConfigMap", "Secret"})
CONFIGURED = parameters(config=(SETTINGS, LOGIN), preview_services=("web-preview",))
UID = "uid-of-1"
AT_REST = Record(
    revision=V1, stage=RETIRED, phase=HEALTHY, active=V1, stable=V1, last_number=1
)


def deploys(revision_hash: str, goal: str = RETIRED, **options: t.Any) -> Want:
    return Want(goal, hash=revision_hash, deploy=CONFIGURED, **options)


def has(
    seen: Observed, *config: ConfigSeen, kinds: t.Collection[str] = BOTH
) -> Observed:
    return dataclasses.replace(seen, config=config, config_kinds=frozenset(kinds))


def of(revision_hash: str, owner: str = "") -> tuple[ConfigSeen, ...]:
    return tuple(ConfigSeen(r, revision_hash, owner) for r in (SETTINGS, LOGIN))


def nothing() -> Observed:
    return observed([], [service(None), preview(None)])


def at_rest(**changes: t.Any) -> Observed:
    """V1 serves, and its configuration is its own."""
    first = revision(V1, uid=UID, parameters=CONFIGURED, **changes)
    return has(observed([first], [service(V1), preview(V1)], AT_REST), *of(V1, UID))


def starting(*config: ConfigSeen) -> Observed:
    """V2 is started, and its Deployment is not there yet."""
    record = dataclasses.replace(
        AT_REST, revision=V2, stage=STARTED, last_number=2, phase="Progressing"
    )
    return has(dataclasses.replace(at_rest(), record=record), *of(V1, UID), *config)


def next_step(seen: Observed, want: Want | None = None) -> Step:
    return decide(want or deploys(V2), seen, NOW)


# -- a release -------------------------------------------------------------------------


def test_it_is_there_before_the_revision_and_goes_with_it() -> None:
    world = World(has(nothing()))
    assert isinstance(world.run(deploys(V1)), Done)
    kinds = world.kinds()
    assert kinds.index("CreateConfig") < kinds.index("CreateRevision")
    assert kinds.count("CreateConfig") == 1
    # The engine makes it the owner together with its creation.
    assert "OwnConfig" not in kinds
    assert {c.owner for c in world.seen.config} == {V1}


def test_the_record_says_so_before() -> None:
    world = World(at_rest())
    world.run(deploys(V2))
    names = [type(s).__name__ for s in world.steps]
    assert names.index("Note") < names.index("CreateConfig")


def test_a_release_without_any_does_nothing_about_it() -> None:
    want = Want(RETIRED, hash=V1, deploy=parameters())
    world = World(nothing())
    assert isinstance(world.run(want), Done)
    assert not {"CreateConfig", "OwnConfig", "DropConfig"} & set(world.kinds())


def test_a_plan_names_what_is_created() -> None:
    step = next_step(starting())
    assert step == CreateConfig(V2, (SETTINGS, LOGIN))
    line = planned_line(step, starting())
    assert line == f"create ConfigMap settings-{V2}, Secret login-{V2}"


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ((), CreateConfig(V2, (SETTINGS, LOGIN))),
        (of(V2)[:1], CreateConfig(V2, (LOGIN,))),
        # The Deployment of before is gone, and these are about to go with it.
        (of(V2, "uid-of-before"), CreateConfig(V2, (SETTINGS, LOGIN))),
    ],
)
def test_killed_in_the_middle_it_goes_on(
    there: tuple[ConfigSeen, ...], expected: Step
) -> None:
    assert next_step(starting(*there)) == expected


def test_killed_before_the_deployment_it_goes_on_with_that() -> None:
    assert isinstance(next_step(starting(*of(V2))), CreateRevision)


@pytest.mark.parametrize("owner", ["", "uid-of-before"])
def test_what_has_no_owner_gets_it(owner: str) -> None:
    world = World(has(at_rest(), *of(V1, owner)))
    step = next_step(world.seen, deploys(V1))
    assert step == OwnConfig(V1)
    assert "revision 1 (web-1111111111) go with it" in planned_line(step, world.seen)
    assert isinstance(world.run(deploys(V1)), Done)
    assert world.kinds() == ["OwnConfig", "Done"]


def test_at_rest_nothing_is_done() -> None:
    assert next_step(at_rest(), deploys(V1)) == Done()


def test_what_was_deleted_by_hand_is_created_again() -> None:
    world = World(has(at_rest(), *of(V1, UID)[:1]))
    assert isinstance(world.run(deploys(V1)), Done)
    assert world.kinds() == ["CreateConfig", "Done"]


def test_what_was_not_read_is_not_missing() -> None:
    seen = has(at_rest(), of(V1, UID)[0], kinds={"ConfigMap"})
    assert next_step(seen, deploys(V1)) == Done()
    assert missing_config(seen, V1, CONFIGURED.config) == ()


# -- what is left over -----------------------------------------------------------------


def test_what_an_earlier_release_left_is_deleted() -> None:
    seen = starting(*of(V2), *of(V3))
    assert next_step(seen) == DropConfig(V3)
    line = planned_line(DropConfig(V3), seen)
    assert line == f"delete the configuration of revision {V3}, which was never created"
    world = World(seen)
    assert isinstance(world.run(deploys(V2)), Done)
    assert {c.hash for c in world.seen.config} == {V1, V2}


def test_what_users_may_need_is_not_left_over() -> None:
    """Somebody deleted the Deployment of the stable revision."""
    record = dataclasses.replace(AT_REST, revision=V2, stage=VERIFIED, active=V2)
    second = revision(V2, uid="uid-of-2", parameters=CONFIGURED)
    seen = observed([second], [service(V2), preview(V2)], record)
    seen = has(seen, *of(V1), *of(V2, "uid-of-2"))
    assert not isinstance(next_step(seen, deploys(V2)), DropConfig)


def test_what_goes_with_a_revision_that_was_just_deleted_is_not_left_over() -> None:
    """Else a second run would write."""
    seen = at_rest()
    assert next_step(has(seen, *seen.config, *of(V3, "gone")), deploys(V1)) == Done()


def test_what_an_adopted_revision_reads_is_not_left_over() -> None:
    """It was ejected, changed by hand, and got another hash when it was adopted."""
    reads = frozenset({f"{LOGIN}-{V3}"})
    seen = at_rest(reads=reads)
    kept = has(seen, *seen.config, *of(V3))
    assert next_step(kept, deploys(V1)) == Done()
    unread = has(kept, *kept.config, *of("4444444444"))
    assert next_step(unread, deploys(V1)) == DropConfig("4444444444")


def test_it_goes_with_its_revision() -> None:
    none_kept = dataclasses.replace(
        CONFIGURED, revision_history_limit=0, scale_down_delay_seconds=0
    )
    world = World(at_rest())
    want = dataclasses.replace(deploys(V2), deploy=none_kept)
    assert isinstance(world.run(want), Done)
    assert "Delete" in world.kinds()
    assert {c.hash for c in world.seen.config} == {V2}


# -- other runs ------------------------------------------------------------------------


def test_a_rollback_creates_nothing() -> None:
    """It was not given any; the task has looked whether it needs it."""
    first = revision(V1, pods=0, uid=UID, parameters=CONFIGURED)
    second = revision(V2, uid="uid-of-2", parameters=CONFIGURED)
    record = dataclasses.replace(
        AT_REST, revision=V2, active=V2, stable=V2, last_number=2
    )
    seen = observed([first, second], [service(V2), preview(V2)], record)
    world = World(has(seen, *of(V2, "uid-of-2")))
    assert isinstance(world.run(deploys(V1, rollback=True)), Done)
    assert "Cutover" in world.kinds()
    assert "CreateConfig" not in world.kinds()
    gone = missing_config(world.seen, V1, CONFIGURED.config)
    assert gone == (SETTINGS, LOGIN)


@pytest.mark.parametrize("goal", [PREVIEWED, VERIFIED, RETIRED])
def test_who_deploys_nothing_leaves_it_alone(goal: str) -> None:
    seen = has(at_rest(), *of(V1, "uid-of-before"), *of(V3))
    assert next_step(seen, Want(goal)) == Done()
