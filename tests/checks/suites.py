# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps that run tests: pytest, the lanes, Molecule."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import environments
from environments import BUILD, ENVIRONMENTS, ROOT
from outcome import MINUTE, Outcome, base_environment, check, counted, failed, run

UNITS = "tests/unit"
INTEGRATION = "tests/integration"
NODE = "tests/node"
SCENARIOS = ROOT / "extensions" / "molecule"
WORKERS = "2"


def units() -> Outcome:
    """Run the unit tests."""
    return pytest("units", [UNITS])


def integration() -> Outcome:
    """Run the tests on a real Kubernetes API; they start it themselves."""
    # More workers than cores: most of what a test does is to wait.
    arguments = [INTEGRATION, "--durations=25", "-n", "3"]
    return pytest("integration", arguments, limit=60 * MINUTE)


def faults() -> Outcome:
    """Let every request of a release meet every fault; the tests share the workers."""
    arguments = [f"{INTEGRATION}/test_faults.py", "--dist=load", "--durations=0"]
    return pytest(
        "faults", arguments, limit=300 * MINUTE, env={"BLUEGREEN_FAULTS": "all"}
    )


def real_node() -> Outcome:
    """Run the tests with traffic, where a real node can run; say why where not."""
    program = ROOT / "tests" / "cluster" / "node.py"
    asked = subprocess.run(
        [sys.executable, program, "unavailable"],
        check=False,
        stdout=subprocess.PIPE,
        text=True,
    )
    why = asked.stdout.strip()
    if asked.returncode != 0:
        return failed(f"node.py unavailable ended with {asked.returncode}")
    if why:
        return Outcome(skipped=1, note=why, may_be_skipped=True)
    # A machine has one real node, and its load is measured: one worker.
    return pytest("node", [NODE, "--durations=10", "-n", "0"], limit=40 * MINUTE)


def cluster_binaries() -> Outcome:
    """Build the embedded cluster's programs, unless this machine has them."""
    program = ROOT / "tests" / "cluster" / "cluster.py"
    return check([sys.executable, program, "build"], limit=40 * MINUTE)


def lane(name: str) -> Outcome:
    """Run the units and the main paths on an older ansible-core and Python."""
    environment = ENVIRONMENTS[name]
    try:
        environments.ensure(environment)
    except environments.NoInterpreterError as error:
        return Outcome(skipped=1, note=str(error), may_be_skipped=True)
    except subprocess.CalledProcessError as error:
        return failed(f"its environment could not be made: {error}")
    python = environments.version_of(environment)
    print(f"Python {python} in {environment.path}", flush=True)
    parts = (
        pytest(f"{name}-units", [UNITS], name, env={"HYPOTHESIS_PROFILE": "lane"}),
        pytest(f"{name}-integration", [INTEGRATION, "-m", "lane"], name),
    )
    notes = [part.note for part in parts if part.note]
    return replace(sum(parts, Outcome()), note="; ".join(notes) or f"Python {python}")


def pytest(
    report: str,
    arguments: list[str],
    environment: str = "main",
    limit: float = 30 * MINUTE,
    env: Mapping[str, str] | None = None,
) -> Outcome:
    """Run pytest in an environment; return what its report counts.

    :param env: variables beside the environment's own.
    """
    path = BUILD / "reports" / f"{report}.xml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    code = run(
        [
            ENVIRONMENTS[environment].bin / "python",
            *("-m", "pytest", "-q", "-ra", "-n", WORKERS, "--dist", "loadfile"),
            f"--junitxml={path}",
            *arguments,
        ],
        env={**base_environment(environment), **(env or {})},
        limit=limit,
    )
    reports = [path] if path.exists() else []
    outcome = counted(reports, code)
    noted = [note for note in (outcome.note, faults_told(reports)) if note]
    return replace(outcome, note=f"{report}: {'; '.join(noted)}" if noted else "")


def faults_told(reports: list[pathlib.Path]) -> str:
    """Return how many faults the tests injected, and how many were survived."""
    told = Counter[str]()
    for report in reports:
        for noted in ET.parse(report).getroot().iter("property"):
            if noted.get("name", "").startswith("faults_"):
                told[noted.get("name", "")] += int(noted.get("value", "0"))
    injected, survived = told["faults_injected"], told["faults_survived"]
    return f"{injected} faults injected, {survived} survived" if injected else ""


def molecule() -> Outcome:
    """Run every Molecule scenario; they share one cluster that `default` makes."""
    scenarios = sorted(path.parent.name for path in SCENARIOS.glob("*/molecule.yml"))
    stories = [name for name in scenarios if name != "default"]
    if not stories:
        return failed(f"no scenario in {SCENARIOS}")
    molecule = ENVIRONMENTS["main"].bin / "molecule"
    code = run([molecule, "test", "--all", "--report"], limit=20 * MINUTE)
    if code != 0:
        return failed(f"molecule ended with {code}: its summary is above")
    return Outcome(passed=len(stories), note=", ".join(stories))
