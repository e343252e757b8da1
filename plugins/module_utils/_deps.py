# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The libraries that may be missing where a module runs, imported in one place.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import functools
import importlib
import traceback
import typing as t

# The traceback of a failed import, for ``missing_required_lib``.
MISSING: dict[str, str] = {}


def _imported(library: str, name: str, *submodules: str) -> t.Any:
    try:
        for submodule in submodules:
            importlib.import_module(f"{name}.{submodule}")
        return importlib.import_module(name)
    except ImportError:
        MISSING[library] = traceback.format_exc()
        return None


def _optional(name: str, *submodules: str) -> t.Any:
    """A library that only some metrics use: the metric says so where it is missing."""
    try:
        for submodule in submodules:
            importlib.import_module(f"{name}.{submodule}")
        return importlib.import_module(name)
    except ImportError:
        return None


urllib3: t.Any = _imported("urllib3", "urllib3")
kubernetes: t.Any = _imported(
    "kubernetes", "kubernetes", "client.configuration", "client.rest", "config"
)
yaml: t.Any = _imported("PyYAML", "yaml")
jmespath: t.Any = _optional("jmespath")


@functools.lru_cache(maxsize=1)
def websocket() -> t.Any:
    """What kubernetes speaks WebSocket with, or none: only a command needs it."""
    return _optional("websocket")


@functools.lru_cache(maxsize=1)
def botocore() -> t.Any:
    """AWS's library, or none: too large to be imported before a metric needs it."""
    return _optional(
        "botocore", "auth", "awsrequest", "config", "exceptions", "parsers", "session"
    )
