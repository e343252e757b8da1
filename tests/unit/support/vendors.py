# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests of the vendors' providers share: a place, requests, refusals."""

from __future__ import annotations

import typing as t
from datetime import datetime, timezone

from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.measurement import (  # noqa: E501 - a name
    Place,
    Request,
    SecretMissing,
)

# 1577880000 seconds after the epoch.
NOW = datetime(2020, 1, 1, 12, 0, 0, tzinfo=timezone.utc)
NOW_SECONDS = 1577880000

Secrets = t.Mapping[str, t.Mapping[str, str]]


def place(secrets: Secrets | None = None, now: datetime = NOW) -> Place:
    """A place at noon of the first day of 2020, with these Secrets in it."""

    def secret(name: str, key: str) -> str:
        try:
            return (secrets or {})[name][key]
        except KeyError:
            raise SecretMissing(f"no key {key} in the Secret {name}") from None

    def api() -> t.Any:
        raise AssertionError("no vendor is asked through the Kubernetes API")

    return Place(now=lambda: now, secret=secret, api=api)


def request(
    config: t.Mapping[str, t.Any],
    secrets: Secrets | None = None,
    metadata: t.Mapping[str, str] | None = None,
    now: datetime = NOW,
) -> Request:
    """One measurement of this block."""
    return Request("m", 1, config, config, place(secrets, now), metadata or {})


# Answers of a server that is not the vendor's, or not itself.
NO_ANSWERS: t.Sequence[t.Any] = (
    "",
    "<html>Bad gateway</html>",
    "{",
    "null",
    "[]",
    "{}",
    "7",
    '"text"',
    "[[[[[]]]]]",
    b"\xff\xfe\x00",
    "[" * 100_000,
)
