# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Container images that are packed here, so that a node never pulls one."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import pathlib
import platform
import tarfile
import typing as t

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclasses.dataclass(frozen=True)
class Image:
    """A name, and the command that its containers run."""

    name: str
    command: tuple[str, ...]


def architecture() -> str:
    machine = platform.machine()
    return ARCHITECTURES.get(machine, machine)


def pack(
    program: pathlib.Path, images: t.Sequence[Image], target: pathlib.Path
) -> None:
    """Write a docker-archive with images that hold one static program, as `/<name>`."""
    layer = layer_of(program)
    with tarfile.open(target, "w") as archive:
        add(archive, "layer.tar", layer)
        manifest = []
        for image in images:
            configuration = configuration_of(image, layer)
            name = f"{hashlib.sha256(configuration).hexdigest()}.json"
            add(archive, name, configuration)
            manifest.append(
                {"Config": name, "RepoTags": [image.name], "Layers": ["layer.tar"]}
            )
        add(archive, "manifest.json", json.dumps(manifest).encode())


def layer_of(program: pathlib.Path) -> bytes:
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as files:
        add(files, program.name, program.read_bytes(), mode=0o755)
    return layer.getvalue()


def configuration_of(image: Image, layer: bytes) -> bytes:
    return json.dumps(
        {
            "architecture": architecture(),
            "os": "linux",
            "config": {"Entrypoint": list(image.command)},
            "rootfs": {
                "type": "layers",
                "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"],
            },
        }
    ).encode()


def add(archive: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    entry.mode = mode
    archive.addfile(entry, io.BytesIO(content))
