# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps that judge the repository without running it.

What walks the whole collection (ansible-lint, antsibull-docs, ansible-test, the
build) gets a clean copy at the place that its name asks for: the checkout holds
environments that are nobody's content, and is seldom called bluegreen.
"""

from __future__ import annotations

import fcntl
import os
import pathlib
import re
import shutil
import subprocess
import sys

from environments import BUILD, ENVIRONMENTS, ROOT
from outcome import MINUTE, Outcome, check, counted, failed, run

BIN = ENVIRONMENTS["main"].bin
TREE = BUILD / "tree"
COPY = TREE / "ansible_collections" / "cutover" / "bluegreen"
IN_TREE = {"ANSIBLE_COLLECTIONS_PATH": str(TREE)}
DIST = BUILD / "dist"
PLUGINS = ".build/collections/ansible_collections/cutover/bluegreen/plugins"


def ruff_check() -> Outcome:
    """Run the linter on every Python file."""
    return check([BIN / "ruff", "check", "--no-cache", "."])


def ruff_format() -> Outcome:
    """Tell whether every Python file is formatted."""
    return check([BIN / "ruff", "format", "--no-cache", "--check", "--diff", "."])


def mypy() -> Outcome:
    """Check the types, strictly, of what is shipped and of what tests stand on."""
    return check([BIN / "mypy", PLUGINS, "tests/checks", "tests/cluster", "tests/node"])


def yamllint() -> Outcome:
    """Run yamllint on every YAML file of the repository."""
    return check([BIN / "yamllint", "--strict", "."])


def changelog() -> Outcome:
    """Check the changelog and its fragments."""
    return check([BIN / "antsibull-changelog", "lint"])


def ansible_lint() -> Outcome:
    """Run ansible-lint in its strictest profile."""
    clean_copy()
    return check([BIN / "ansible-lint", "--offline"], cwd=COPY, env=IN_TREE)


def antsibull_docs() -> Outcome:
    """Check the documentation of plugins and roles, and what it refers to."""
    clean_copy()
    return check(
        [
            BIN / "antsibull-docs",
            "lint-collection-docs",
            "--plugin-docs",
            "--validate-collection-refs=self",
            ".",
        ],
        cwd=COPY,
        env=IN_TREE,
    )


def sanity() -> Outcome:
    """Run all of ansible-test's sanity tests, with no ignore file."""
    ignored = sorted(path.name for path in ROOT.glob("tests/sanity/ignore*"))
    if ignored:
        return failed(f"findings are mended, not ignored: {', '.join(ignored)}")
    clean_copy()
    home = sanity_home()
    python = "{}.{}".format(*sys.version_info)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # its environments are shared by checkouts
        code = run(
            [BIN / "ansible-test", "sanity", "--junit", "--python", python],
            cwd=COPY,
            env={**IN_TREE, "HOME": str(home)},
            limit=20 * MINUTE,
        )
    return counted((COPY / "tests" / "output" / "junit").glob("*.xml"), code)


def galaxy_importer() -> Outcome:
    """Build the tarball and import it as Galaxy and Automation Hub do."""
    clean_copy()
    shutil.rmtree(DIST, ignore_errors=True)
    built = run(
        [BIN / "ansible-galaxy", "collection", "build", "--output-path", DIST],
        cwd=COPY,
        limit=2 * MINUTE,
    )
    tarballs = sorted(DIST.glob("*.tar.gz"))
    if built != 0 or len(tarballs) != 1:
        return failed(f"ansible-galaxy ended with {built}, {len(tarballs)} tarballs")
    return check(
        [BIN / "python", "-m", "galaxy_importer.main", tarballs[0]],
        cwd=DIST,
        env={"GALAXY_IMPORTER_CONFIG": str(ROOT / "tests/checks/galaxy-importer.cfg")},
    )


def clean_copy() -> None:
    """Copy what git tracks, or would track, to where a collection has to be."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    shutil.rmtree(COPY, ignore_errors=True)
    # A repository of its own: inside the checkout's, its files are ignored ones, and
    # ansible-test would pass without having looked at any.
    subprocess.run(["git", "init", "--quiet", str(COPY)], check=True)
    for name in filter(None, listed.stdout.split("\0")):
        source, target = ROOT / name, COPY / name
        if source.exists():  # deleted, and not yet committed
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)


def sanity_home() -> pathlib.Path:
    """Return the home folder that ansible-test keeps its own environments in.

    It lies in the user's cache, because they take a minute to make and depend on
    ansible-core alone. ansible-test wants to download the script that brings pip
    into them; Python's own ensurepip does that without a download.
    """
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    home = cache / "cutover-bluegreen" / "ansible-test"
    script = home / ".ansible" / "test" / "cache" / f"get_pip_{pip_version()}.py"
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text("import ensurepip\n\nensurepip.bootstrap()\n")
    settings = pathlib.Path("~/.config/pip").expanduser()
    link = home / ".config" / "pip"
    if settings.is_dir() and not link.exists():
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(settings)
    return home


def pip_version() -> str:
    """Return the version of pip in the name of the script that is looked for."""
    found = next(
        ENVIRONMENTS["main"].path.glob(
            "lib/python*/site-packages/ansible_test/_internal/python_requirements.py"
        )
    )
    match = re.search(r"\bpip='([\d.]+)'", found.read_text())
    return match[1].replace(".", "_") if match else "unknown"
