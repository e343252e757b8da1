# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file that a status is written to."""

from __future__ import annotations

import json
import os
import pathlib

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._errors import BadInput
from ansible_collections.cutover.bluegreen.plugins.plugin_utils._status_file import (
    place_of,
    write,
)

RESULT = {"rollout": {"phase": "Healthy"}, "exists": True, "tree": ["ä"], "msg": "x"}


def mode_of(path: pathlib.Path) -> int:
    return path.stat().st_mode & 0o777


def test_it_holds_the_status_and_nobody_else_reads_it(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "s.json"
    write(str(path), RESULT)
    assert json.loads(path.read_text()) == {
        "rollout": {"phase": "Healthy"},
        "exists": True,
        "tree": ["ä"],
    }
    assert mode_of(path) == 0o600
    assert os.listdir(tmp_path) == ["s.json"]


def test_a_file_that_is_there_keeps_its_mode_and_its_place(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    path = tmp_path / "real" / "s.json"
    path.write_text("old")
    path.chmod(0o644)
    link = tmp_path / "link"
    link.symlink_to(path)
    monkeypatch.chdir(tmp_path)
    write(place_of("link"), RESULT)
    assert link.is_symlink() and mode_of(path) == 0o644
    assert json.loads(path.read_text())["exists"] is True


def test_where_nothing_is_asked_for_there_is_no_place() -> None:
    for value in (None, ""):
        assert place_of(value) == ""


def test_what_is_no_path_is_refused() -> None:
    for value in (["x"], {"a": 1}, True):
        with pytest.raises(BadInput) as info:
            place_of(value)
        expected = f"status_file: {value!r} was found, a path is expected."
        assert str(info.value) == expected


def test_a_place_where_nothing_can_be_written(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for path, why in (
        (tmp_path / "absent" / "s.json", f"{tmp_path}/absent does not exist"),
        (tmp_path, "it is no regular file"),
        (file / "s.json", "file does not exist; create it first"),
    ):
        with pytest.raises(BadInput, match="status_file: .* cannot be written") as info:
            place_of(str(path))
        assert why in str(info.value)


def test_what_fails_later_is_one_sentence_and_leaves_nothing(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(BadInput, match=r"s.json cannot be written: No space left"):
        write(str(tmp_path / "s.json"), RESULT)
    assert os.listdir(tmp_path) == []
