# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A composed analysis made ready to run: metrics, and what its arguments are.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass, field
from functools import lru_cache

from .arguments import LATEST, STABLE
from .parsing import parse, secrets_of, values_of
from .spec import Spec


@dataclass(frozen=True)
class Plan:
    """One analysis of one revision beside the stable one."""

    spec: Spec
    # The arguments that are not secret, by name.
    values: t.Mapping[str, str] = field(default_factory=dict)
    # The same where the new revision's hash reads the stable one's.
    values_of_stable: t.Mapping[str, str] = field(default_factory=dict)
    # The arguments that are: Secret name and key.
    secrets: t.Mapping[str, tuple[str, str]] = field(default_factory=dict)


@lru_cache(maxsize=16)
def read(text: str, latest: str, stable: str, gate: bool = True) -> Plan:
    """A composed analysis from JSON text, as it is kept in the cluster.

    :param latest: the hash of the revision that is measured.
    :param stable: the hash of the stable revision.
    :param gate: whether a release waits for it, so that it must end by itself.
    :raises BadInput: a line for each thing that is wrong.
    :raises ValueError: it is no JSON.
    """
    composed = json.loads(text)
    values = values_of(composed, {LATEST: latest, STABLE: stable})
    return Plan(
        parse(composed, values, gate),
        values,
        values_of(composed, {LATEST: stable, STABLE: stable}),
        secrets_of(composed),
    )
