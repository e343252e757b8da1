# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What everything that brings a cluster up stands on: errors, folders, locks."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import sys
import typing as t


class ClusterError(Exception):
    """What went wrong, in words for the person at the terminal."""


def say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}m{int(seconds) % 60:02d}s"


def user_folder(variable: str, default: str) -> pathlib.Path:
    base = os.environ.get(variable) or pathlib.Path.home() / default
    return pathlib.Path(base) / "cutover-bluegreen"


def cache_folder(name: str) -> pathlib.Path:
    """Return the folder in the user's cache for things of one kind."""
    return user_folder("XDG_CACHE_HOME", ".cache") / name


@contextlib.contextmanager
def locked(path: pathlib.Path) -> t.Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"waiting for another process that holds {path}")
                fcntl.flock(file, fcntl.LOCK_EX)
            # down() unlinks it: then this is a lock that nobody else will see.
            if os.fstat(file.fileno()).st_nlink:
                yield
                return
