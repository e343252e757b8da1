# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file on the controller that a rollout's status is written to.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
import typing as t

from ansible_collections.cutover.bluegreen.plugins.module_utils._errors import BadInput

_KEYS = ("rollout", "exists", "tree", "rest")
# Names of people and machines are nobody else's business, unless it is made so.
_MODE = 0o600


def place_of(value: object) -> str:
    """The absolute path of the file; empty if none is asked for.

    :raises BadInput: nothing can be written there.
    """
    if value is None or value == "":
        return ""
    if not isinstance(value, str):
        raise BadInput(f"status_file: {value!r} was found, a path is expected.")
    path = os.path.realpath(os.path.expanduser(os.path.expandvars(value)))
    folder = os.path.dirname(path)
    why = ""
    if not os.path.isdir(folder):
        why = f"the folder {folder} does not exist; create it first"
    elif os.path.exists(path) and not os.path.isfile(path):
        why = "it is no regular file; give the path of a file"
    elif not os.access(folder, os.W_OK | os.X_OK):
        why = f"the folder {folder} is not writable; give another one"
    if why:
        raise BadInput(f"status_file: {path} cannot be written: {why}.")
    return path


def write(path: str, result: t.Mapping[str, t.Any]) -> None:
    """Replace the file in one step, so that nobody reads half of it.

    :raises BadInput: it cannot be written.
    """
    content = {key: result[key] for key in _KEYS if key in result}
    try:
        mode = stat.S_IMODE(os.stat(path).st_mode) if os.path.exists(path) else _MODE
        _replace(path, f"{json.dumps(content, indent=2)}\n", mode)
    except OSError as error:
        why = error.strerror or error
        raise BadInput(f"status_file: {path} cannot be written: {why}.") from error


def _replace(path: str, text: str, mode: int) -> None:
    folder, name = os.path.split(path)
    handle, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
        os.replace(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise
