# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Invariants 1 to 3 and 5, whatever befalls any request of a run.

A case is one rollout in a namespace of its own, one request of its run, and what
becomes of it. Many cases share a run of ansible-playbook, each as a host. With
BLUEGREEN_FAULTS=all every request gets every fault; else each kind of request does.
With BLUEGREEN_FAULTS_AT=40,41 beside it, only those requests do.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import itertools
import os
import pathlib
import re
import secrets
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.tests.integration.support import session
from ansible_collections.cutover.bluegreen.tests.integration.support.analysis import (
    template,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.fault_proxy import (  # noqa: E501 - a module's name
    Arrival,
    Fault,
    FaultProxy,
    Line,
    Plan,
    at,
    by_namespace,
    first_of,
    no_fault,
    randomly,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
    Kube,
    Object,
    resource_path,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.manifests import (
    deployment,
    service,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.playbook import (
    Playbook,
    Run,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.release import (
    ACTIVE,
    NAME,
    PREVIEW,
    Release,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.selections import (
    Selections,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.waiting import (
    eventually,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.watcher import (
    REVISION_LABEL,
    Stream,
    Watcher,
)

EVERY = os.environ.get("BLUEGREEN_FAULTS") == "all"
NUMBERS = {int(n) for n in os.environ.get("BLUEGREEN_FAULTS_AT", "").split(",") if n}
PODS = 2
# Hosts in one run: more would only wait for each other on a small machine.
BATCH = 24 if EVERY else 40
KILLS = (Fault.KILL_BEFORE, Fault.KILL_AFTER)
# What passes by itself: a run may meet many of them, one after another.
PASSING = (
    Fault.DROP_ANSWER,
    Fault.CLOSE,
    Fault.STATUS_429,
    Fault.STATUS_500,
    Fault.STATUS_503,
)
# These say that something is the case, and it is not: they may end a run.
LIES = (Fault.STATUS_409, Fault.STATUS_410)
MANY, SHARE = (20, 0.01) if EVERY else (5, 0.05)

FINE = {
    "name": "fine",
    "interval": "200ms",
    "count": 2,
    "successCondition": "result.crash_loops == 0",
    "provider": {"pods": {}},
}
MEASURED = {
    "analysis_templates": [template("fine", FINE)],
    "pre_promotion_analysis": {"templates": [{"templateName": "fine"}]},
}


def released(version: str, **options: t.Any) -> dict[str, t.Any]:
    """The variables of a deploy, without their prefix."""
    return {
        "definition": deployment(NAME, version=version, replicas=PODS),
        "active_service": service(ACTIVE),
        "preview_service": service(PREVIEW, selector={"app": NAME}),
        "scale_down_delay_seconds": 0,
        "abort_scale_down_delay_seconds": 0,
        **options,
    }


@dataclasses.dataclass(frozen=True, eq=False)
class Scenario:
    """What a run is to do, from where, and where the rollout stands then.

    `versions` are those that the active Service goes through, `active` the last.
    """

    name: str
    begins: tuple[t.Mapping[str, t.Any], ...]
    playbook: str
    variables: t.Mapping[str, t.Any]
    versions: tuple[str, ...]
    sizes: t.Mapping[str, int]
    phase: str
    # What the record's history says last, and of which version.
    outcome: str
    ends: str
    # Whether two revisions may serve at a time.
    overlaps: bool = False

    @property
    def active(self) -> str:
        return self.versions[-1]


STEPS = {"scale_up_steps": [1, PODS]}
UPDATE = Scenario(
    name="update",
    begins=(released("1"),),
    playbook="deploy",
    variables=released("2", **STEPS),
    versions=("1", "2"),
    sizes={"1": 0, "2": PODS},
    phase="Healthy",
    outcome="promoted",
    ends="2",
)
MEASURED_UPDATE = dataclasses.replace(
    UPDATE, name="measured", variables=released("2", **STEPS, **MEASURED)
)
ABORT = Scenario(
    name="abort",
    begins=(released("1"), released("2", auto_promotion_enabled=False)),
    playbook="abort",
    variables={},
    versions=("1",),
    sizes={"1": PODS, "2": 0},
    phase="Degraded",
    outcome="aborted",
    ends="2",
)
ROLLBACK = Scenario(
    name="rollback",
    begins=(released("1"), released("2")),
    playbook="deploy",
    variables=released("1"),
    versions=("2", "1"),
    sizes={"1": PODS, "2": 0},
    phase="Healthy",
    outcome="promoted",
    ends="1",
)
# By its own playbook, which needs no manifest.
UNDO = dataclasses.replace(ROLLBACK, name="undo", playbook="rollback")
# In the sample its requests are those of an update: the window is in test_overlap.py.
OVERLAP = dataclasses.replace(
    UPDATE,
    name="overlap",
    variables=released("2", cutover="overlap", overlap_seconds=1),
    overlaps=True,
)
SCENARIOS = (
    UPDATE,
    MEASURED_UPDATE,
    ABORT,
    ROLLBACK,
    *((UNDO, OVERLAP) if EVERY else ()),
)
Group = tuple[Scenario, ...]


def _released_by(playbook: str) -> Group:
    return tuple(s for s in SCENARIOS if s.playbook == playbook)


# What is released by one playbook may share its run.
GROUPS = tuple(filter(None, map(_released_by, ("deploy", "abort", "rollback"))))
each_group = pytest.mark.parametrize(
    "scenarios",
    [(s,) for s in SCENARIOS] if EVERY else GROUPS,
    ids=lambda group: "-".join(s.name for s in group),
)


# -- beginnings --------------------------------------------------------------------

COPIED = ("deployments", "services", "configmaps", "leases")


class Beginnings:
    """Rollouts as a real release left them, copied into new namespaces."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._kept: dict[str, list[tuple[str, Object]]] = {}

    def keep(self, scenario: Scenario, namespace: str) -> None:
        """Remember a namespace's objects as the beginning of a scenario."""
        self._kept[scenario.name] = [
            (resource, _as_new(item))
            for resource in COPIED
            for item in self._kube.list(resource_path(resource, namespace))
            if item["metadata"]["name"] != "kube-root-ca.crt"
        ]

    def copy(self, scenario: Scenario, namespace: str) -> None:
        for resource, item in self._kept[scenario.name]:
            path = resource_path(resource, namespace)
            self._kube.create(path, item, fieldManager="cutover.bluegreen")


def _as_new(item: Object) -> Object:
    kept = ("name", "labels", "annotations")
    metadata = {k: v for k, v in item["metadata"].items() if k in kept}
    spec = {
        k: v
        for k, v in item.get("spec", {}).items()
        if k not in ("clusterIP", "clusterIPs")
    }
    body = {k: v for k, v in item.items() if k in ("data",)}
    return {**body, "metadata": metadata, **({"spec": spec} if spec else {})}


@pytest.fixture(scope="module")
def beginnings(kube: Kube) -> Beginnings:
    return Beginnings(kube)


# -- cases -------------------------------------------------------------------------


class Directions:
    """Every direction that a Service was given, and when each revision was there."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self._first: dict[str, int] = {}
        self._last: dict[str, int] = {}
        self._given: list[tuple[int, str, str]] = []
        self._listed = False
        self._streams = [
            Stream(kube, resource_path(resource, namespace), None, see)
            for resource, see in (
                ("deployments", self._see_revisions),
                ("services", self._see_services),
            )
        ]
        self._listed = True
        for stream in self._streams:
            stream.start()

    def _see_revisions(self, seen: list[tuple[Object, bool]]) -> None:
        for item, deleted in seen:
            revision = item["metadata"].get("labels", {}).get(REVISION_LABEL)
            version = int(item["metadata"]["resourceVersion"])
            if deleted:
                self._last[revision] = version
            else:
                # What was there at the beginning is older than any direction since.
                self._first.setdefault(revision, version if self._listed else 0)
                self._last.pop(revision, None)

    def _see_services(self, seen: list[tuple[Object, bool]]) -> None:
        for item, deleted in seen:
            revision = (item["spec"].get("selector") or {}).get(REVISION_LABEL)
            if revision and not deleted:
                version = int(item["metadata"]["resourceVersion"])
                self._given.append((version, item["metadata"]["name"], revision))

    def assert_always_there(self) -> None:
        """Fail if a Service was ever directed to a revision that was not there.

        One API server's versions are in the order of its writes.
        """
        for stream in self._streams:
            eventually(stream.caught_up, 10, f"{stream.name}: catching up")
        wrong = [
            f"{name} to {revision} at {version}"
            for version, name, revision in self._given
            if self._first.get(revision, version + 1) > version
            or self._last.get(revision, version + 1) < version
        ]
        assert not wrong, wrong

    def stop(self) -> None:
        for stream in self._streams:
            stream.stop()


@dataclasses.dataclass
class Case:
    """One rollout, and what befalls the run on it."""

    scenario: Scenario
    what: str
    plan: Plan
    kills: bool = False
    # Whether the next run needs only the name, once the release has begun.
    resumes: bool = False
    release: Release = dataclasses.field(init=False)
    watcher: Watcher = dataclasses.field(init=False)
    directions: Directions = dataclasses.field(init=False)
    selections: Selections = dataclasses.field(init=False)

    @property
    def namespace(self) -> str:
        return self.release.namespace

    def beginning(self, step: int) -> Case:
        """The same rollout, with a release that the scenario begins with."""
        begins = self.scenario.begins[step]
        scenario = dataclasses.replace(
            self.scenario, playbook="deploy", variables=begins
        )
        case = Case(scenario, self.what, no_fault)
        case.release = self.release
        return case

    def ready(self) -> bool:
        """Whether the beginning is as the real release left it: users are served."""
        found = self.release.revisions().values()
        return bool(found) and all(
            d.get("status", {}).get("availableReplicas", 0) == d["spec"]["replicas"]
            and d["status"].get("observedGeneration") == d["metadata"]["generation"]
            for d in found
        )

    def watch(self, kube: Kube) -> None:
        self.watcher = Watcher(kube, self.namespace, [ACTIVE])
        self.directions = Directions(kube, self.namespace)
        self.selections = Selections(kube, self.namespace)

    def stop(self) -> None:
        for each in (self.watcher, self.directions, self.selections):
            each.stop()

    def by_version(self) -> dict[str, Object]:
        """The revisions' Deployments by the version in their image's tag."""
        return {
            _image(d).rpartition(":")[2]: d for d in self.release.revisions().values()
        }

    def assert_kept(self) -> None:
        """Fail if the run, or the one after it, broke invariants 1 to 3."""
        self.watcher.assert_never_below(ACTIVE, PODS)
        if self.scenario.overlaps:
            self.selections.assert_mixed_only_as_declared(self.watcher, ACTIVE)
        else:
            self.watcher.assert_never_mixed(ACTIVE)
        self.directions.assert_always_there()

    def assert_arrived(self) -> None:
        """Fail unless the rollout is where its scenario leads, and nothing is left."""
        revisions, record = self.by_version(), self.release.record()
        sizes = {v: d["spec"]["replicas"] for v, d in revisions.items()}
        assert sizes == self.scenario.sizes
        hashes = {
            v: d["metadata"]["labels"][REVISION_LABEL] for v, d in revisions.items()
        }
        active = hashes[self.scenario.active]
        for name in (ACTIVE, PREVIEW):
            selector = self.release.service(name)["spec"]["selector"]
            assert selector == {"app": NAME, REVISION_LABEL: active}
        served = self.watcher.revisions_seen(ACTIVE)
        assert served == [hashes[v] for v in self.scenario.versions]
        told = {k: record.get(k) for k in ("phase", "active", "stable", "preview")}
        there = {"active": active, "stable": active, "preview": active}
        assert told == {"phase": self.scenario.phase, **there}, record
        ended = self.release.details()["history"][-1]
        left = hashes[self.scenario.ends]
        assert (ended["outcome"], ended["hash"]) == (self.scenario.outcome, left)
        services = self.release.kube.list(resource_path("services", self.namespace))
        assert {s["metadata"]["name"] for s in services} == {ACTIVE, PREVIEW}


def _image(item: Object) -> str:
    containers = item["spec"]["template"]["spec"]["containers"]
    return t.cast(str, containers[0]["image"])


@dataclasses.dataclass(frozen=True)
class Lab:
    """What a test of faults works with."""

    kube: Kube
    playbook: Playbook
    proxy: FaultProxy
    beginnings: Beginnings
    make_namespace: t.Callable[[], str]
    note: t.Callable[[str, object], None]

    def start_and_wait(self, playbook: str, cases: t.Sequence[Case], line: Line) -> Run:
        """Run a playbook of the collection, each case as one host."""
        hosts = {
            case.namespace: {
                f"bluegreen_{key}": value
                for key, value in {
                    "name": NAME,
                    "namespace": case.namespace,
                    **(case.scenario.variables if playbook == "deploy" else {}),
                }.items()
            }
            for case in cases
        }
        handle = self.playbook.start(
            f"cutover.bluegreen.{playbook}",
            {"bluegreen_hosts": "all"},
            inventory={"all": {"hosts": hosts}},
            args=[f"--forks={len(cases)}"],
            env={**line.environment, "PYTHONUNBUFFERED": "1"},
            timeout=300,
        )
        line.leads(handle)
        run = handle.wait()
        line.await_kill()
        assert "Traceback" not in run.stdout + run.stderr, run
        return run

    def release_all(self, cases: t.Sequence[Case]) -> Line:
        """Have real releases made, that nothing befalls; return their requests."""
        line = self.proxy.line()
        run = self.start_and_wait(cases[0].scenario.playbook, cases, line)
        assert run.rc == 0, run
        return line

    def placed(self, case: Case, namespace: str) -> Case:
        case.release = Release(self.kube, namespace, self.playbook)
        return case

    def prepare(self, cases: t.Sequence[Case]) -> None:
        """Give each case its rollout, served and watched."""
        for case in cases:
            self.placed(case, self.make_namespace())
            self.beginnings.copy(case.scenario, case.namespace)
        for case in cases:
            eventually(case.ready, 60, f"{case.namespace}: the beginning")
            case.watch(self.kube)
            eventually(functools.partial(served, case), 30, "served users")

    def suffer(self, cases: t.Sequence[Case]) -> Suffered:
        """Run the cases together through the proxy; then again, without a fault."""
        self.prepare(cases)
        try:
            return self._suffer(cases)
        finally:
            for case in cases:
                case.stop()

    def _suffer(self, cases: t.Sequence[Case]) -> Suffered:
        playbook = cases[0].scenario.playbook
        plan = by_namespace({case.namespace: case.plan for case in cases})
        line = self.proxy.line(plan, kills=sum(case.kills for case in cases))
        first = self.start_and_wait(playbook, cases, line)
        # A second rollback would go on to the revision before.
        same = "abort" if playbook == "abort" else "deploy"
        again = [c for c in cases if self._needs_inputs(c)]
        resumed = [c for c in cases if c not in again]
        runs = [
            self.start_and_wait(name, some, self.proxy.line())
            for name, some in ((same, again), ("resume", resumed))
            if some
        ]
        line.assert_silent_since_kill()
        return Suffered(cases, line, first, runs)

    @staticmethod
    def _needs_inputs(case: Case) -> bool:
        """Whether the next run is given again what this one was given."""
        if case.scenario.playbook == "abort":
            return True
        record = case.release.record()
        revision = case.by_version().get(case.scenario.active)
        begun = (
            revision
            and record.get("observed-revision")
            == (revision["metadata"]["labels"][REVISION_LABEL])
        )
        return not (begun and case.resumes)


def served(case: Case) -> bool:
    moments = case.watcher.moments(ACTIVE)
    return bool(moments) and len(moments[-1].ready) == PODS


@dataclasses.dataclass(frozen=True)
class Suffered:
    """What became of cases that ran together."""

    cases: t.Sequence[Case]
    line: Line
    first: Run
    after: t.Sequence[Run]

    def problems(self) -> list[str]:
        """What is wrong, a paragraph for each case; empty if all is well."""
        return [f"{self.told(c)}\n{p}" for c in self.cases if (p := self.problem(c))]

    def problem(self, case: Case) -> str:
        try:
            case.assert_kept()
            failed = [r for run in self.after for r in _failures(run, case)]
            assert not failed, f"the run after it failed: {failed}"
            case.assert_arrived()
            if _succeeded(self.first, case):
                again = [r for run in self.after for r in _changes(run, case)]
                assert not again, f"it said that it had done all, and then: {again}"
            for result in _failures(self.first, case):
                assert SENTENCE.match(result), f"not a sentence: {result}"
        except AssertionError as error:
            return f"{error}"
        return ""

    def told(self, case: Case) -> str:
        befell = ", ".join(
            f"{fault.name} at {arrival}" for arrival, fault in self.injected(case)
        )
        failed = _failures(self.first, case)
        said = f"; the run said: {failed}" if failed else ""
        return f"{case.scenario.name} {case.what}: {befell or 'no fault'}{said}"

    def injected(self, case: Case) -> list[tuple[Arrival, Fault]]:
        return [x for x in self.line.injected if x[0].namespace == case.namespace]


SENTENCE = re.compile(r"\S.*[.)]$", re.DOTALL)


def _failures(run: Run, case: Case) -> list[str]:
    return [
        str(r.result.get("msg", r.result))
        for r in run.results
        if r.host == case.namespace and r.status in ("failed", "unreachable")
    ]


def _succeeded(run: Run, case: Case) -> bool:
    recap = run.recap.get(case.namespace)
    return recap is not None and not recap["failures"] and not recap["unreachable"]


def _changes(run: Run, case: Case) -> list[str]:
    return [r.task for r in run.results if r.host == case.namespace and r.changed]


# -- fixtures ----------------------------------------------------------------------


@pytest.fixture
def lab(
    kube: Kube,
    cluster: session.Cluster,
    playbook: Playbook,
    beginnings: Beginnings,
    make_namespace: t.Callable[[], str],
    record_property: t.Callable[[str, object], None],
    tmp_path: pathlib.Path,
) -> t.Iterator[Lab]:
    with FaultProxy(cluster.kubeconfig, tmp_path) as proxy:
        yield Lab(kube, playbook, proxy, beginnings, make_namespace, record_property)


Clean = t.Mapping[str, t.Sequence[Arrival]]
_CLEAN: dict[str, list[Arrival]] = {}


@pytest.fixture
def clean(lab: Lab) -> Clean:
    """The requests of each scenario's run when nothing befalls it."""
    if not _CLEAN:
        placed = [
            lab.placed(Case(s, "clean", no_fault), lab.make_namespace())
            for s in SCENARIOS
        ]
        for step in range(max(len(s.begins) for s in SCENARIOS)):
            cases = [c.beginning(step) for c in placed if step < len(c.scenario.begins)]
            lab.release_all(cases)
        for case in placed:
            lab.beginnings.keep(case.scenario, case.namespace)
        for group in GROUPS:
            line = lab.release_all([c for c in placed if c.scenario in group])
            for case in placed:
                if case.scenario in group:
                    found = [a for a in line.arrivals if a.namespace == case.namespace]
                    _CLEAN[case.scenario.name] = found
    return _CLEAN


# -- choosing ----------------------------------------------------------------------


def cases_of(
    clean: Clean, scenarios: t.Sequence[Scenario], faults: t.Sequence[Fault]
) -> list[Case]:
    """A case for each fault and request, or for as many requests as the sample has."""
    return [
        Case(
            scenario,
            f"{fault.name} {arrival}",
            at(arrival.number, fault, arrival.watches),
            fault.kills,
            resumes=arrival.number % 2 == 1,
        )
        for fault in faults
        for scenario in scenarios
        for arrival in (
            clean[scenario.name] if EVERY else sampled(clean, scenario, fault)
        )
        if fault.applies_to(arrival) and (not NUMBERS or arrival.number in NUMBERS)
    ]


def sampled(clean: Clean, scenario: Scenario, fault: Fault) -> list[Arrival]:
    """The first request of each kind that no scenario before it has; of each kind of
    write, too, where it matters from where to where the rollout is on its way.
    """
    before = itertools.takewhile(lambda s: s is not scenario, SCENARIOS)
    known = {arrival.kind for s in before for arrival in clean[s.name]}
    depends = fault not in (Fault.KILL_BEFORE, Fault.HANG)
    return [
        arrival
        for arrival in firsts(clean[scenario.name])
        if arrival.kind not in known or (depends and arrival.writes)
    ]


def firsts(requests: t.Iterable[Arrival]) -> list[Arrival]:
    found: dict[str, Arrival] = {}
    for arrival in requests:
        found.setdefault(arrival.kind, arrival)
    return list(found.values())


class Tally:
    """What was injected into how many cases, and what it broke."""

    def __init__(self) -> None:
        self.injected = collections.Counter[str]()
        self.problems: list[str] = []

    def add(self, result: Suffered) -> None:
        found = result.problems()
        self.problems += found
        self.injected.update(fault.name for _arrival, fault in result.line.injected)
        print(*found, f"{self.injected.total()} faults so far", sep="\n\n", flush=True)

    def conclude(self, lab: Lab) -> None:
        """Say how many faults were survived; fail unless it is all of them."""
        total, broken = self.injected.total(), len(self.problems)
        lab.note("faults_injected", total)
        lab.note("faults_survived", total - broken)
        print(f"{total} faults: {dict(self.injected)}; {broken} broke something")
        assert not self.problems, "\n\n".join([f"{broken} broke:", *self.problems])
        assert total, "no fault was injected"


def survive(lab: Lab, cases: t.Sequence[Case]) -> None:
    """Run the cases in batches; fail if one of them broke what has to hold."""
    tally = Tally()
    for start in range(0, len(cases), BATCH):
        tally.add(lab.suffer(cases[start : start + BATCH]))
    tally.conclude(lab)


def survive_each_kind(lab: Lab, clean: Clean, scenarios: Group) -> None:
    """The first request of each kind of a run gets a fault that passes by itself.

    Where one of them ends the run, another rollout goes on with those that are left.
    """
    tally = Tally()
    left = {
        (scenario, fault): {a.kind for a in clean[scenario.name] if fault.applies_to(a)}
        for scenario in scenarios
        for fault in PASSING
    }
    while left:
        cases = {
            key: Case(key[0], f"{key[1].name} everywhere", first_of(kinds, key[1]))
            for key, kinds in left.items()
        }
        result = lab.suffer(list(cases.values()))
        tally.add(result)
        for key, case in cases.items():
            befell = {arrival.kind for arrival, _fault in result.injected(case)}
            left[key] -= befell
            # What a run watches depends on how fast its pods are.
            assert befell or all(kind.startswith("watch ") for kind in left[key])
            if not befell or not left[key]:
                del left[key]
    tally.conclude(lab)


# -- the tests ---------------------------------------------------------------------


@each_group
def test_killed_with_every_descendant(lab: Lab, clean: Clean, scenarios: Group) -> None:
    survive(lab, cases_of(clean, scenarios, KILLS))


@each_group
def test_only_the_process_group_killed(
    lab: Lab, clean: Clean, scenarios: Group
) -> None:
    survive(lab, cases_of(clean, scenarios, [Fault.KILL_GROUP]))


@each_group
def test_refused_dropped_or_closed(lab: Lab, clean: Clean, scenarios: Group) -> None:
    if EVERY:
        survive(lab, cases_of(clean, scenarios, PASSING))
    else:
        survive_each_kind(lab, clean, scenarios)


@each_group
def test_lied_to_or_not_answered(lab: Lab, clean: Clean, scenarios: Group) -> None:
    survive(lab, cases_of(clean, scenarios, (*LIES, Fault.HANG)))


@pytest.mark.usefixtures("clean")
def test_many_rollouts_while_requests_fail(lab: Lab) -> None:
    """All are Healthy after one run."""
    seed = int(os.environ.get("BLUEGREEN_FAULTS_SEED") or secrets.randbelow(10**6))
    print(f"BLUEGREEN_FAULTS_SEED={seed}")
    plan = randomly(seed, SHARE, PASSING)
    result = lab.suffer([Case(UPDATE, f"seed {seed}", plan) for _case in range(MANY)])
    tally = Tally()
    tally.add(result)
    assert result.first.rc == 0, result.first
    tally.conclude(lab)
