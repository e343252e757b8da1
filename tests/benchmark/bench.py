# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a blue-green update costs, beside no-op tasks and beside one written by hand.

    make bench

Prints medians of five from one run on an embedded cluster of its own, and whether
each target is met. It measures and asserts nothing: a machine that is busy with
something else gives other figures.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import typing as t
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [
    str(ROOT / ".build" / "collections"),
    *(str(ROOT / "tests" / folder) for folder in ("checks", "cluster")),
]

import cutover  # noqa: E402
import environments  # noqa: E402
from measure import Cost, Request, Wire, Witness, run  # noqa: E402
from toolbox import unavailable  # noqa: E402

from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (  # noqa: E402
    Kube,
    resource_path,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.manifests import (  # noqa: E402
    deployment,
    service,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.http_server import (  # noqa: E402
    HttpServer,
    Received,
    Reply,
)

CLUSTER = ROOT / "tests" / "cluster" / "cluster.py"
NODE = CLUSTER.with_name("node.py")
HANDWRITTEN = pathlib.Path(__file__).with_name("handwritten.yml")
REPLICAS = 3
FORKS = 10
MEASUREMENTS = 10
INTERVAL_SECONDS = 1
# Measurements that take no time: from the first to the last.
IDEAL_SECONDS = (MEASUREMENTS - 1) * INTERVAL_SECONDS
MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class Row:
    """One line of the report."""

    what: str
    value: float
    unit: str
    target: float | None = None

    def __str__(self) -> str:
        digits = 0 if self.unit in ("", "ms", "MB") else 2
        line = f"  {self.what:58}{self.value:9.{digits}f} {self.unit:3}"
        if self.target is None:
            return line
        met = "ok" if self.value <= self.target else "missed"
        return f"{line}  at most {self.target:g}: {met}"


class Bench:
    """Runs playbooks on one cluster; every measurement gets namespaces of its own."""

    def __init__(self, kubeconfig: pathlib.Path, folder: pathlib.Path) -> None:
        self._folder = folder
        self._kubeconfig = kubeconfig
        self._audit_log = kubeconfig.with_name("audit.log")
        self._files = 0
        self._namespaces = 0
        self.kube = Kube(kubeconfig)

    def wire(self) -> Wire:
        return Wire(self._audit_log)

    def namespace(self) -> str:
        self._namespaces += 1
        name = f"bench-{self._namespaces}"
        path = resource_path("namespaces")
        self.kube.create(path, {"metadata": {"name": name}})
        return name

    def file(self, content: t.Any) -> str:
        self._files += 1
        path = self._folder / f"{self._files}.yml"
        path.write_text(json.dumps(content))
        return str(path)

    def play(self, playbook: str, *arguments: str, by: str = "main") -> Cost:
        """Run a playbook in one of the environments, with nothing inherited."""
        environment = environments.ENVIRONMENTS[by]
        variables = {
            "PATH": f"{environment.bin}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self._folder),
            "LC_ALL": "C.UTF-8",
            "KUBECONFIG": str(self._kubeconfig),
            "ANSIBLE_HOME": str(self._folder / by),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_PYTHON_INTERPRETER": str(environment.bin / "python"),
        }
        if by == "main":
            variables["ANSIBLE_COLLECTIONS_PATH"] = str(environments.COLLECTIONS)
        program = environment.bin / "ansible-playbook"
        return run([str(program), playbook, *arguments], variables)

    def deploy(self, namespace: str, version: str, **given: t.Any) -> Cost:
        variables = {"bluegreen_namespace": namespace, **release(version), **given}
        return self.play("cutover.bluegreen.deploy", "-e", f"@{self.file(variables)}")

    def noop(self, like: Cost, hosts: int = 1, *arguments: str) -> Cost:
        """Run as many no-op tasks as a playbook had tasks for each host."""
        tasks = (like.ok + like.skipped) // hosts
        task = {"name": "Do nothing", "ansible.builtin.debug": {"msg": ""}}
        play = {
            "name": "Do nothing",
            "hosts": "all" if hosts > 1 else "localhost",
            "connection": "local",
            "gather_facts": False,
            "strategy": "free",
            "tasks": [task] * tasks,
        }
        return self.play(self.file([play]), *arguments)

    def sleep(self, seconds: int) -> Cost:
        """Run one task that only waits: what waiting costs Ansible itself."""
        task = {"name": "Wait", "ansible.builtin.command": f"sleep {seconds}"}
        play = {
            "name": "Wait",
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "tasks": [task],
        }
        return self.play(self.file([play]))

    def handwritten(self) -> Cost:
        namespace = self.namespace()
        path = resource_path("services", namespace)
        for name in ("web", "web-preview"):
            selector = {"app": "web", "version": "1"}
            self.kube.create(path, service(name, selector=selector))
        folder = resource_path("deployments", namespace)
        self.kube.create(folder, plain_version(namespace, "1"))
        variables = {"version_2": plain_version(namespace, "2")}
        extra = f"@{self.file(variables)}"
        return self.play(str(HANDWRITTEN), "-e", extra, by="bench")

    def inventory(self, hosts: int) -> str:
        names = [self.namespace() for _host in range(hosts)]
        return self.file(
            {"all": {"hosts": {n: {"bluegreen_namespace": n} for n in names}}}
        )

    def fleet(
        self, inventory: str, version: str, forks: int = FORKS, **given: t.Any
    ) -> Cost:
        variables = {"bluegreen_hosts": "all", **release(version), **given}
        return self.play(
            "cutover.bluegreen.deploy",
            *("-i", inventory, "-f", str(forks)),
            *("-e", f"@{self.file(variables)}"),
        )


def release(version: str) -> dict[str, t.Any]:
    """Return the role's variables; all delays are zero."""
    return {
        "bluegreen_name": "web",
        "bluegreen_definition": deployment("web", version=version, replicas=REPLICAS),
        "bluegreen_active_service": service("web"),
        "bluegreen_preview_service": service("web-preview", selector={"app": "web"}),
        "bluegreen_scale_down_delay_seconds": 0,
    }


class Meter:
    """A web server that every measurement is good by, and when it was asked."""

    def __init__(self, server: HttpServer) -> None:
        self.asked_at: list[float] = []
        self._url = f"{server.url}/rate"
        server.reply(self._answer, path="/rate")

    def _answer(self, _request: Received) -> Reply:
        self.asked_at.append(time.monotonic())
        return Reply({"rate": 1})

    def analysis(self) -> dict[str, t.Any]:
        """Return the role's variables that measure a release by this server."""
        metric = {
            "name": "rate",
            "interval": f"{INTERVAL_SECONDS}s",
            "count": MEASUREMENTS,
            "successCondition": "result >= 0.95",
            "provider": {"web": {"url": self._url, "jsonPath": "{$.rate}"}},
        }
        template = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "AnalysisTemplate",
            "metadata": {"name": "rate"},
            "spec": {"metrics": [metric]},
        }
        return {
            "bluegreen_analysis_templates": template,
            "bluegreen_pre_promotion_analysis": "rate",
        }


def plain_version(namespace: str, version: str) -> dict[str, t.Any]:
    """Return a Deployment as people name them who do it by hand."""
    labels = {"app": "web", "version": version}
    return deployment(
        f"web-{version}",
        namespace=namespace,
        version=version,
        replicas=REPLICAS,
        labels=labels,
    )


# --- what is measured


@dataclass(frozen=True)
class Update:
    """One update, its witness, and the run after it that had nothing to do."""

    cost: Cost
    requests: list[Request]
    started: float
    to_patch: float
    to_slices: float
    again: Cost
    again_requests: list[Request]


def measure_update(bench: Bench) -> Update:
    namespace = bench.namespace()
    bench.deploy(namespace, "1")
    witness = Witness(bench.kube, namespace)
    wire = bench.wire()
    cost = bench.deploy(namespace, "2")
    requests = wire.requests()
    to_patch, to_slices = witness.latencies(REPLICAS)
    wire = bench.wire()
    again = bench.deploy(namespace, "2")
    return Update(
        cost=cost,
        requests=requests,
        started=requests[0].at,
        to_patch=to_patch,
        to_slices=to_slices,
        again=again,
        again_requests=wire.requests(),
    )


@dataclass(frozen=True)
class Analysed:
    """One update that was measured, beside one that was not, on the same cluster."""

    cost: Cost
    requests: list[Request]
    beside: Update
    measured_seconds: float
    """From the first measurement to the last."""
    waiting_cpu_seconds: float
    """What Ansible itself costs while a task takes as long as the ideal analysis."""

    @property
    def more_wall_seconds(self) -> float:
        return self.cost.wall_seconds - self.beside.cost.wall_seconds

    @property
    def more_cpu_seconds(self) -> float:
        return self.cost.cpu_seconds - self.beside.cost.cpu_seconds

    @property
    def more_requests(self) -> int:
        return len(self.requests) - len(self.beside.requests)

    @property
    def more_writes(self) -> int:
        return writes(self.requests) - writes(self.beside.requests)


def measure_analysed(bench: Bench, meter: Meter, beside: Update) -> Analysed:
    namespace = bench.namespace()
    bench.deploy(namespace, "1")
    wire = bench.wire()
    meter.asked_at.clear()
    cost = bench.deploy(namespace, "2", **meter.analysis())
    requests = wire.requests()
    measured_seconds = meter.asked_at[-1] - meter.asked_at[0]
    waiting = bench.sleep(IDEAL_SECONDS).cpu_seconds - bench.sleep(0).cpu_seconds
    return Analysed(cost, requests, beside, measured_seconds, waiting)


def median(values: t.Iterable[float]) -> float:
    return statistics.median(list(values))


def writes(requests: list[Request]) -> int:
    return sum(request.write for request in requests)


def report_update(updates: list[Update], noops: list[Cost], hand: list[Cost]) -> None:
    wall = median(u.cost.wall_seconds for u in updates)
    cpu = median(u.cost.cpu_seconds for u in updates)
    noop_wall = median(c.wall_seconds for c in noops)
    noop_cpu = median(c.cpu_seconds for c in noops)
    hand_wall = median(c.wall_seconds for c in hand)
    hand_cpu = median(c.cpu_seconds for c in hand)
    tasks = updates[0].cost.ok + updates[0].cost.skipped
    show(
        f"One update of {REPLICAS} pods, all delays 0, medians of {len(updates)}",
        Row("cutover.bluegreen.deploy, wall", wall, "s"),
        Row("cutover.bluegreen.deploy, CPU", cpu, "s"),
        Row(f"a playbook of as many no-op tasks ({tasks}), wall", noop_wall, "s"),
        Row(f"a playbook of as many no-op tasks ({tasks}), CPU", noop_cpu, "s"),
        Row("by hand with kubernetes.core, wall", hand_wall, "s"),
        Row("by hand with kubernetes.core, CPU", hand_cpu, "s"),
        Row("wall, ratio to no-op tasks", wall / noop_wall, "x", 1.8),
        Row("CPU, ratio to no-op tasks", cpu / noop_cpu, "x"),
        Row("wall, ratio to by hand", wall / hand_wall, "x", 0.35),
        Row("CPU, ratio to by hand", cpu / hand_cpu, "x"),
    )
    show(
        "On the wire",
        Row("requests in an update", median(len(u.requests) for u in updates), "", 40),
        Row("of them writes", median(writes(u.requests) for u in updates), "", 15),
        Row(
            "requests in a run without a change",
            median(len(u.again_requests) for u in updates),
            "",
        ),
        Row("of them writes", median(writes(u.again_requests) for u in updates), "", 0),
        Row(
            "a run without a change, wall",
            median(u.again.wall_seconds for u in updates),
            "s",
        ),
    )
    show(
        "Cutover, as an independent watch sees it",
        Row(
            "last new pod ready until the active Service's patch",
            1000 * median(u.to_patch for u in updates),
            "ms",
            150,
        ),
        Row(
            "that patch until the slices list only the new revision",
            1000 * median(u.to_slices for u in updates),
            "ms",
        ),
    )


def report_analysed(analysed: list[Analysed]) -> None:
    more_wall = median(a.more_wall_seconds for a in analysed)
    drift = median(a.measured_seconds for a in analysed) - IDEAL_SECONDS
    show(
        f"The same update, measured {MEASUREMENTS} times, every"
        f" {INTERVAL_SECONDS} s: at best {IDEAL_SECONDS} s more,"
        f" medians of {len(analysed)}",
        Row("wall", median(a.cost.wall_seconds for a in analysed), "s"),
        Row("wall, beyond the update without it", more_wall, "s"),
        Row("of that overhead", more_wall - IDEAL_SECONDS, "s"),
        Row("of that between the first measurement and the last", 1000 * drift, "ms"),
        Row(
            "CPU, beyond the update without it",
            median(a.more_cpu_seconds for a in analysed),
            "s",
        ),
        Row(
            f"CPU that Ansible takes for a task that sleeps {IDEAL_SECONDS} s",
            median(a.waiting_cpu_seconds for a in analysed),
            "s",
        ),
        Row(
            "requests, beyond the update without it",
            median(a.more_requests for a in analysed),
            "",
        ),
        Row("of them writes", median(a.more_writes for a in analysed), ""),
    )


def report_fleet(hosts: int, updates: list[Cost], noops: list[Cost]) -> None:
    wall = median(c.wall_seconds for c in updates)
    cpu = median(c.cpu_seconds for c in updates)
    peak = median(c.peak_bytes for c in updates) / MEGABYTE
    noop_wall = median(c.wall_seconds for c in noops)
    noop_cpu = median(c.cpu_seconds for c in noops)
    noop_peak = median(c.peak_bytes for c in noops) / MEGABYTE
    show(
        f"{hosts} rollouts updated in one playbook run, forks {FORKS},"
        f" medians of {len(updates)}",
        Row("wall", wall, "s"),
        Row("CPU", cpu, "s"),
        Row("peak memory (resident, summed over the processes)", peak, "MB"),
        Row("wall, per rollout", 1000 * wall / hosts, "ms"),
        Row("CPU, per rollout", 1000 * cpu / hosts, "ms"),
        Row("peak memory, per rollout", peak / hosts, "MB"),
        Row("as many hosts and no-op tasks, wall", noop_wall, "s"),
        Row("as many hosts and no-op tasks, CPU", noop_cpu, "s"),
        Row("as many hosts and no-op tasks, peak memory", noop_peak, "MB"),
        Row("wall, ratio to no-op tasks", wall / noop_wall, "x", 3),
        Row("CPU, ratio to no-op tasks", cpu / noop_cpu, "x"),
    )


def report_analysed_fleet(hosts: int, plain: list[Cost], analysed: list[Cost]) -> None:
    wall, plain_wall = (median(c.wall_seconds for c in x) for x in (analysed, plain))
    cpu, plain_cpu = (median(c.cpu_seconds for c in x) for x in (analysed, plain))
    peaks = (median(c.peak_bytes for c in x) for x in (analysed, plain))
    peak, plain_peak = (each / MEGABYTE for each in peaks)
    overhead = wall - plain_wall - IDEAL_SECONDS
    show(
        f"{hosts} rollouts that are all measured at once, forks {hosts},"
        f" medians of {len(analysed)}",
        Row("wall", wall, "s"),
        Row("CPU", cpu, "s"),
        Row("peak memory (resident, summed over the processes)", peak, "MB"),
        Row("the same without an analysis, wall", plain_wall, "s"),
        Row("the same without an analysis, CPU", plain_cpu, "s"),
        Row("the same without an analysis, peak memory", plain_peak, "MB"),
        Row(f"wall, beyond that and the best ({IDEAL_SECONDS} s)", overhead, "s"),
        Row("CPU, per rollout beyond that", 1000 * (cpu - plain_cpu) / hosts, "ms"),
    )


def report_cutovers(ours: list[cutover.Latency], bare: list[cutover.Latency]) -> None:
    def compared(what: str, of: t.Callable[[cutover.Latency], float]) -> list[Row]:
        mine, patched = median(map(of, ours)), median(map(of, bare))
        return [
            Row(f"{what}, ours", mine, "ms"),
            Row(f"{what}, a patch of the selector", patched, "ms"),
            Row(f"{what}, ours ÷ patch", mine / patched, "x"),
        ]

    show(
        f"A cutover on a real node, {cutover.RATE} requests a second",
        *compared("write to endpoints", lambda one: one.to_endpoints),
        *compared("write to the last answer of V1", lambda one: one.to_last_old_answer),
    )


def show(title: str, *rows: Row) -> None:
    print(f"\n{title}")
    for row in rows:
        print(row)
    sys.stdout.flush()


def show_requests(title: str, requests: list[Request], started: float) -> None:
    """Print each request: when it came, how long it took, what it was."""
    print(f"\n{title}\n       ms   took  code  verb and object")
    for request in requests:
        # A watch's end says nothing: it lasts as long as somebody listens.
        watch = request.verb == "watch"
        took = "" if watch else f"{1000 * request.seconds:.1f}"
        print(
            f"  {1000 * (request.at - started):7.0f} {took:>6}  {request.code:4}"
            f"  {request.verb:17} {request.what}"
        )
    sys.stdout.flush()


# --- command line


def say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def main(quick: bool, profile: bool) -> None:
    environments.ensure(environments.ENVIRONMENTS["bench"])
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        try:
            with HttpServer() as server:
                bench = Bench(cluster_up(CLUSTER, "--embedded"), pathlib.Path(folder))
                measure(bench, Meter(server), quick, profile)
        finally:
            cluster_down(CLUSTER)
        measure_on_a_node(pathlib.Path(folder), 1 if quick else 5)


def cluster_up(script: pathlib.Path, *options: str) -> pathlib.Path:
    """Bring up a cluster of its own: its audit log tells what was sent."""
    up = ["up", "--name=bench", f"--end-with={os.getpid()}", *options]
    printed = subprocess.run(
        [sys.executable, script, *up], check=True, stdout=subprocess.PIPE, text=True
    )
    return pathlib.Path(printed.stdout.splitlines()[-1])


def cluster_down(script: pathlib.Path) -> None:
    subprocess.run([sys.executable, script, "down", "--name=bench"], check=True)


def measure_on_a_node(folder: pathlib.Path, times: int) -> None:
    """The cutover itself; a machine that cannot run a node is told why not."""
    why = unavailable()
    if why:
        say(f"the cutover under requests is not measured: {why}")
        return
    try:
        bench = Bench(cluster_up(NODE), folder)
        namespace = bench.namespace()

        def deploy(manifest: t.Any, service: t.Any) -> None:
            given = {
                "name": manifest["metadata"]["name"],
                "namespace": namespace,
                "definition": manifest,
                "active_service": service,
                "cutover": "atomic",
            }
            variables = {f"bluegreen_{key}": value for key, value in given.items()}
            # V1's pods must be there as long as the node still sends requests to it.
            variables["bluegreen_scale_down_delay_seconds"] = 5
            bench.play("cutover.bluegreen.deploy", "-e", f"@{bench.file(variables)}")

        say(f"the cutover under requests: {times} of ours, {times} by a patch")
        report_cutovers(*cutover.measure(bench.kube, namespace, deploy, times))
    finally:
        cluster_down(NODE)


def measure(bench: Bench, meter: Meter, quick: bool, profile: bool) -> None:
    times, hosts, fleets = (1, 10, 1) if quick else (5, 50, 3)
    say("warming up")
    bench.noop(measure_update(bench).cost)
    measure_updates(bench, meter, times, profile)
    say(f"{hosts} rollouts: the first version of each")
    inventory = bench.inventory(hosts)
    bench.fleet(inventory, "1")
    measure_fleets(bench, inventory, hosts, fleets)
    measure_analysed_fleets(bench, meter, inventory, hosts, fleets)


def measure_updates(bench: Bench, meter: Meter, times: int, profile: bool) -> None:
    updates, analysed, noops, hand = [], [], [], []
    for number in range(1, times + 1):
        say(f"one update: run {number} of {times}")
        updates.append(measure_update(bench))
        analysed.append(measure_analysed(bench, meter, updates[-1]))
        noops.append(bench.noop(updates[-1].cost))
        hand.append(bench.handwritten())
    report_update(updates, noops, hand)
    report_analysed(analysed)
    if profile:
        last = updates[-1]
        show_requests("Requests of an update", last.requests, last.started)
        for title, requests in (
            ("Requests of a run without a change", last.again_requests),
            ("Requests of an update that is measured", analysed[-1].requests),
        ):
            show_requests(title, requests, requests[0].at)


def measure_fleets(bench: Bench, inventory: str, hosts: int, fleets: int) -> None:
    many, many_noops = [], []
    for number in range(1, fleets + 1):
        say(f"{hosts} rollouts: run {number} of {fleets}")
        many.append(bench.fleet(inventory, str(number + 1)))
        same = ("-i", inventory, "-f", str(FORKS))
        many_noops.append(bench.noop(many[-1], hosts, *same))
    report_fleet(hosts, many, many_noops)


def measure_analysed_fleets(
    bench: Bench, meter: Meter, inventory: str, hosts: int, fleets: int
) -> None:
    plain, analysed = [], []
    for number in range(1, fleets + 1):
        say(f"{hosts} rollouts that are measured: run {number} of {fleets}")
        plain.append(bench.fleet(inventory, f"plain-{number}", hosts))
        version = f"analysed-{number}"
        analysed.append(bench.fleet(inventory, version, hosts, **meter.analysis()))
    report_analysed_fleet(hosts, plain, analysed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="one run of each, and 10 rollouts"
    )
    parser.add_argument(
        "--profile", action="store_true", help="list the requests of one update, too"
    )
    given = parser.parse_args()
    try:
        main(given.quick, given.profile)
    except KeyboardInterrupt:
        sys.exit(130)
