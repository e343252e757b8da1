# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make the Python environments that tests and checks run in, below .build/.

Run by any Python from 3.10 on, with nothing but its standard library:

    python3 tests/checks/environments.py [main] [lane-2.19] [lane-2.16] [bench] [moto]

Each environment holds exactly what its file in tests/requirements/ pins, and is
made anew only when that file changes or its interpreter goes away. Interpreters
are found on PATH and among pyenv's; none is ever downloaded. Exit code 3: no
interpreter for one of them.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / ".build"
REQUIREMENTS = ROOT / "tests" / "requirements"
COLLECTIONS = BUILD / "collections"
NO_INTERPRETER = 3
OLDEST = (3, 10)


@dataclass(frozen=True)
class Environment:
    """One virtual environment: where it is, what is in it, which Pythons will do."""

    name: str
    folder: str
    pythons: tuple[str, ...]
    """Versions that will do, the preferred one first."""

    @property
    def path(self) -> pathlib.Path:
        return BUILD / self.folder

    @property
    def bin(self) -> pathlib.Path:
        return self.path / "bin"

    @property
    def requirements(self) -> pathlib.Path:
        return REQUIREMENTS / f"{self.name}.txt"


ENVIRONMENTS = {
    environment.name: environment
    for environment in (
        Environment("main", "venv", ("3.13", "3.12", "3.14")),
        Environment("lane-2.19", "lane-2.19", ("3.11",)),
        Environment("lane-2.16", "lane-2.16", ("3.10",)),
        Environment("bench", "bench", ("3.13", "3.12", "3.14")),
        # AWS for tests/integration/test_cloudwatch.py, which makes it when it runs.
        Environment("moto", "moto", ("3.13", "3.12", "3.14")),
    )
}
BOOTSTRAP = Environment("bootstrap", "bootstrap", ())


class NoInterpreterError(Exception):
    """This machine has no Python of the versions that an environment needs."""


def main(names: list[str]) -> int:
    """Make the environments of these names and say what was made."""
    if sys.version_info < OLDEST:
        found = ".".join(str(part) for part in sys.version_info[:3])
        say(
            f"{sys.executable} is Python {found}; 3.10 or newer is needed to start."
            " Name one: make PYTHON=/path/to/python3 …"
        )
        return 1
    try:
        for name in names:
            ensure(ENVIRONMENTS[name])
    except NoInterpreterError as error:
        say(str(error))
        return NO_INTERPRETER
    except subprocess.CalledProcessError as error:
        say(f"{error}\nWhat it printed is above.")
        return 1
    link_collection()
    return 0


def ensure(environment: Environment) -> None:
    """Make the environment, unless it is there and as its requirements say.

    Raises NoInterpreterError when this machine has no Python for it, and
    subprocess.CalledProcessError when an installation fails.
    """
    with only_one(environment):
        if is_current(environment):
            return
        started = time.monotonic()
        uv = ensure_uv()
        create(uv, environment)
        run(
            uv,
            # Compiled now, once: every ansible-playbook would do it anew otherwise.
            ["pip", "sync", "--quiet", "--compile-bytecode"]
            + ["--python", str(environment.bin / "python")]
            + [str(environment.requirements)],
        )
        stamp(environment).write_text(fingerprint(environment))
        say(
            f"environment {environment.name}: Python {version_of(environment)},"
            f" made in {time.monotonic() - started:.0f} s"
        )


def version_of(environment: Environment) -> str:
    """Return the version of the environment's Python, as 3.13.0."""
    for line in (environment.path / "pyvenv.cfg").read_text().splitlines():
        key, equals, value = line.partition(" = ")
        if equals and key in ("version_info", "version"):
            return value.strip()
    return "unknown"


def ensure_uv() -> pathlib.Path:
    """Return uv, installed by pip into an environment of its own if need be."""
    uv = BOOTSTRAP.bin / "uv"
    with only_one(BOOTSTRAP):
        if not is_current(BOOTSTRAP) or not uv.exists():
            subprocess.run(
                [sys.executable, "-m", "venv", "--clear", str(BOOTSTRAP.path)],
                check=True,
                stdout=sys.stderr,
            )
            subprocess.run(
                [str(BOOTSTRAP.bin / "python"), "-m", "pip", "install", "--quiet"]
                + ["--requirement", str(BOOTSTRAP.requirements)],
                check=True,
                stdout=sys.stderr,
            )
            stamp(BOOTSTRAP).write_text(fingerprint(BOOTSTRAP))
    return uv


def create(uv: pathlib.Path, environment: Environment) -> None:
    """Make an empty environment with the first of its Pythons that is found."""
    for version in environment.pythons:
        made = subprocess.run(
            [str(uv), "venv", "--quiet", "--clear", "--no-python-downloads"]
            + ["--no-project", "--python", version, str(environment.path)],
            env=search_environment(),
            check=False,
            capture_output=True,
            text=True,
        )
        if made.returncode == 0:
            return
    wanted = " or ".join(environment.pythons)
    raise NoInterpreterError(
        f"environment {environment.name}: no Python {wanted} on PATH or in"
        f" {pyenv_root() / 'versions'}"
    )


def search_environment() -> dict[str, str]:
    """Return this process's environment, with pyenv's interpreters on PATH.

    They come before pyenv's own shims, which answer only for the versions that
    the user has switched on.
    """
    folders = sorted((pyenv_root() / "versions").glob("*/bin"), reverse=True)
    path = os.environ.get("PATH", os.defpath)
    return {**os.environ, "PATH": os.pathsep.join([*map(str, folders), path])}


def pyenv_root() -> pathlib.Path:
    """Return the folder that pyenv keeps its interpreters in."""
    return pathlib.Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()


def run(uv: pathlib.Path, arguments: list[str]) -> None:
    """Run uv; its output goes to stderr, so that stdout stays the caller's."""
    subprocess.run([str(uv), *arguments], check=True, stdout=sys.stderr)


def is_current(environment: Environment) -> bool:
    """Tell whether the environment is what its requirements say, and runs."""
    python = environment.bin / "python"
    return (
        python.exists()  # a link to an interpreter that is gone does not exist
        and stamp(environment).exists()
        and stamp(environment).read_text() == fingerprint(environment)
    )


def fingerprint(environment: Environment) -> str:
    """Return what the environment depends on: its requirements and its place."""
    content = environment.requirements.read_bytes() + str(environment.path).encode()
    return hashlib.sha256(content).hexdigest()


def stamp(environment: Environment) -> pathlib.Path:
    """Return the file that says what the environment was made from."""
    return environment.path / "requirements.sha256"


@contextmanager
def only_one(environment: Environment) -> Iterator[None]:
    """Keep two runs in one checkout from making an environment at a time."""
    BUILD.mkdir(exist_ok=True)
    with (BUILD / f"{environment.folder}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def link_collection() -> None:
    """Let Python and Ansible import the checkout as ansible_collections.…"""
    link = COLLECTIONS / "ansible_collections" / "cutover" / "bluegreen"
    target = pathlib.Path("..", "..", "..", "..")
    if link.is_symlink() and link.readlink() == target:
        return
    if link.exists() and not link.is_symlink():
        shutil.rmtree(link)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def lock_requirements() -> int:
    """Pin every tests/requirements/*.in to the newest versions that fit."""
    uv = ensure_uv()
    for environment in ENVIRONMENTS.values():
        oldest = min(environment.pythons, key=lambda v: int(v.split(".")[1]))
        source = environment.requirements.with_suffix(".in")
        run(
            uv,
            ["pip", "compile", "--quiet", "--upgrade", "--universal"]
            + ["--python-version", oldest, "--no-python-downloads"]
            + ["--custom-compile-command", "make requirements"]
            + ["--output-file", str(environment.requirements), str(source)],
        )
    return 0


def say(message: str) -> None:
    """Tell a person; never on stdout, which belongs to the make target."""
    print(message, file=sys.stderr, flush=True)


def arguments() -> argparse.Namespace:
    """Return the command line, parsed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "names", nargs="*", choices=[*ENVIRONMENTS, []], help="what to make"
    )
    parser.add_argument(
        "--lock", action="store_true", help="pin tests/requirements/*.in anew"
    )
    return parser.parse_args()


if __name__ == "__main__":
    given = arguments()
    if given.lock:
        sys.exit(lock_requirements())
    sys.exit(main(given.names or ["main"]))
