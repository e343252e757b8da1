# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The errors that end a task with one sentence.

Private to the collection: it may change in any release.
"""

from __future__ import annotations


class BluegreenError(Exception):
    """What a person reads when a task fails: one sentence that names the object,
    what was found, what is expected and what to do.
    """


class BadInput(BluegreenError):
    """The input is refused; nothing was written."""


def shown(value: object) -> str:
    """How such a sentence names what was found."""
    return "missing" if value is None else repr(value)


class ApiError(BluegreenError):
    """The API server refused a request, or could not be reached."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Conflict(ApiError):
    """A precondition of a write did not hold (409 or 422): read again, decide anew."""


class NotFound(ApiError):
    """The object does not exist (404)."""


class Gone(ApiError):
    """A watch is too old to go on (410): list again."""


class LockHeld(BluegreenError):
    """Another run drives this rollout."""


class LockLost(BluegreenError):
    """Another run has taken this rollout over."""
