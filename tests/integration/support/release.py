# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One application, released as its user does, and looked at through the API."""

from __future__ import annotations

import json
import typing as t

from .kube import Kube, Object, resource_path
from .manifests import deployment, service
from .playbook import Handle, Playbook, Run
from .waiting import eventually
from .watcher import REVISION_LABEL, Stream

Path = t.Literal["action", "module"]

NAME = "web"
ACTIVE = "web"
PREVIEW = "web-preview"
REVISION = "cutover.bluegreen/revision"
ABORTED = "cutover.bluegreen/aborted"


class Release:
    """A rollout called `web` in one namespace.

    Variables are given without the prefix `bluegreen_`. Delays are 0 unless given.
    """

    def __init__(self, kube: Kube, namespace: str, playbook: Playbook) -> None:
        self.kube = kube
        self.namespace = namespace
        self._playbook = playbook
        self.path: Path = "action"

    # -- running -------------------------------------------------------------------

    def start(
        self,
        playbook: str,
        *,
        args: t.Sequence[str] = (),
        env: t.Mapping[str, str] | None = None,
        prefix: t.Sequence[str] = (),
        **variables: t.Any,
    ) -> Handle:
        """Start a playbook of the collection on this rollout."""
        values = {"name": NAME, "namespace": self.namespace, **variables}
        return self._playbook.start(
            f"cutover.bluegreen.{playbook}",
            {f"bluegreen_{key}": value for key, value in values.items()},
            args=args,
            path=self.path,
            # ansible-playbook leaves the flushing of a file or pipe to the system.
            env={"PYTHONUNBUFFERED": "1", **(env or {})},
            prefix=prefix,
        )

    def run(self, playbook: str, **variables: t.Any) -> Run:
        return self.start(playbook, **variables).wait()

    def start_deploy(
        self,
        version: str = "1",
        *,
        replicas: int = 2,
        steering: t.Mapping[str, t.Any] | None = None,
        args: t.Sequence[str] = (),
        **variables: t.Any,
    ) -> Handle:
        """Start a deploy of `example/web:<version>`; `steering` as in manifests."""
        inputs = {
            "definition": deployment(
                NAME, version=version, replicas=replicas, **(steering or {})
            ),
            "active_service": service(ACTIVE),
            "preview_service": service(PREVIEW, selector={"app": NAME}),
            "scale_down_delay_seconds": 0,
            "abort_scale_down_delay_seconds": 0,
            **variables,
        }
        given = {k: v for k, v in inputs.items() if v is not None}
        return self.start("deploy", args=args, **given)

    def deploy(self, version: str = "1", **options: t.Any) -> Run:
        return self.start_deploy(version, **options).wait()

    def play(self, *tasks: t.Mapping[str, t.Any]) -> Run:
        """Run modules of the collection: {"bluegreen_pause": {...}, "register": ...}.

        A module's options get the name and the namespace.
        """
        identity = {"name": NAME, "namespace": self.namespace}
        complete = [
            {
                (f"cutover.bluegreen.{key}" if key.startswith("bluegreen_") else key): (
                    {**identity, **value} if key.startswith("bluegreen_") else value
                )
                for key, value in task.items()
            }
            for task in tasks
        ]
        play = {"hosts": "localhost", "gather_facts": False, "tasks": complete}
        return self._playbook(play, path=self.path)

    # -- looking -------------------------------------------------------------------

    def service(self, name: str = ACTIVE) -> Object:
        return self.kube.get(resource_path("services", self.namespace, name))

    def directed_to(self, name: str = ACTIVE) -> int | None:
        """Return the number of the revision that a Service selects."""
        selector = self.service(name)["spec"]["selector"]
        wanted = selector.get(REVISION_LABEL)
        numbers = {
            d["metadata"]["labels"][REVISION_LABEL]: number
            for number, d in self.revisions().items()
        }
        return numbers.get(wanted)

    def revisions(self) -> dict[int, Object]:
        """Return each revision's Deployment by its number."""
        found = self.kube.list(
            resource_path("deployments", self.namespace),
            f"cutover.bluegreen/rollout={NAME}",
        )
        return {int(d["metadata"]["annotations"][REVISION]): d for d in found}

    def sizes(self) -> dict[int, int]:
        """Return the number of pods asked for, by revision."""
        return {n: d["spec"]["replicas"] for n, d in sorted(self.revisions().items())}

    def available(self, number: int) -> int:
        revision = self.revisions().get(number)
        return revision["status"].get("availableReplicas", 0) if revision else 0

    def hash_of(self, number: int) -> str:
        labels = self.revisions()[number]["metadata"]["labels"]
        return t.cast(str, labels[REVISION_LABEL])

    def aborted(self, number: int) -> bool:
        return ABORTED in self.revisions()[number]["metadata"]["annotations"]

    def record(self) -> dict[str, str]:
        """Return the record's flat keys; empty where there is no record."""
        found = self.kube.find(self.record_path)
        return found["data"] if found else {}

    @property
    def record_path(self) -> str:
        return resource_path("configmaps", self.namespace, f"bluegreen-{NAME}")

    def details(self) -> dict[str, t.Any]:
        return t.cast("dict[str, t.Any]", json.loads(self.record()["details"]))

    def edit_details(self, **changes: t.Any) -> None:
        """Change the record by hand, as nobody should."""
        details = {**self.details(), **changes}
        self.kube.patch(self.record_path, {"data": {"details": json.dumps(details)}})

    def phase(self) -> str:
        return self.record().get("phase", "")

    def reaches(self, **flat: str) -> None:
        """Wait until the record's flat keys are these."""

        def reached() -> bool:
            record = self.record()
            return all(record.get(k.replace("_", "-")) == v for k, v in flat.items())

        eventually(reached, 60, f"a record with {flat}")

    def pauses(self, handle: Handle) -> None:
        """Wait until the run that was started waits before the promotion."""

        def paused() -> bool:
            assert handle.running, f"it ended\n{handle.wait()}"
            return self.phase() == "Paused"

        eventually(paused, 60, "the pause")

    def holder(self) -> str:
        path = resource_path("leases", self.namespace, f"bluegreen-{NAME}")
        lease = self.kube.find(path)
        return (lease["spec"].get("holderIdentity") or "") if lease else ""

    def events(self) -> list[str]:
        """Return the reasons of our Events, oldest first."""
        found = self.kube.list(resource_path("events", self.namespace))
        ours = [e for e in found if e["source"].get("component") == "cutover.bluegreen"]
        ours.sort(key=lambda e: int(e["metadata"]["resourceVersion"]))
        return [e["reason"] for e in ours]


class Sizes:
    """Every size that a revision's Deployment went through, as it was watched."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self._versions: list[tuple[str, int, int]] = []
        self._stream = Stream(
            kube, resource_path("deployments", namespace), None, self._see
        )
        self._stream.start()

    def _see(self, deployments: list[tuple[Object, bool]]) -> None:
        for item, deleted in deployments:
            revision = item["metadata"].get("labels", {}).get(REVISION_LABEL)
            if revision and not deleted:
                available = item.get("status", {}).get("availableReplicas", 0)
                seen = (revision, item["spec"]["replicas"], available)
                self._versions.append(seen)

    def of(self, revision: str) -> list[tuple[int, int]]:
        """Return (asked for, available) of each version of the Deployment."""
        eventually(self._stream.caught_up, 10, "catching up")
        return [(size, have) for seen, size, have in self._versions if seen == revision]

    def asked_for(self, revision: str) -> list[int]:
        """Return the sizes asked for, in their order."""
        sizes: list[int] = []
        for size, _available in self.of(revision):
            if not sizes or sizes[-1] != size:
                sizes.append(size)
        return sizes

    def stop(self) -> None:
        self._stream.stop()


def says(handle: Handle, text: str) -> None:
    """Wait until a run that was started says so; fail the test if it never did."""

    def said() -> bool:
        assert handle.running or text in handle.stdout, f"it ended\n{handle.wait()}"
        return text in handle.stdout

    eventually(said, 60, f"a line with {text!r}")


def message(run: Run) -> str:
    """Return what the task that failed said; fail the test if none did."""
    failed = [r for r in run.results if r.status == "failed" and not r.ignored]
    assert failed, f"no task failed\n{run}"
    text = str(failed[-1].result["msg"])
    assert "Traceback" not in f"{text}{run.stdout}{run.stderr}", run
    return text


def rollout_of(run: Run) -> dict[str, t.Any]:
    """Return the last rollout that a module of the run reported."""
    found = _reported(run)
    assert found, f"no result has a rollout\n{run}"
    return found[-1]


def steps_of(run: Run) -> list[str]:
    """Return what all modules of the run say they did, in its order."""
    return [step for rollout in _reported(run) for step in rollout["steps"]]


def _reported(run: Run) -> list[dict[str, t.Any]]:
    # A handler that loops has a result for each item.
    results = [i for r in run.results for i in r.result.get("results", [r.result])]
    return [r["rollout"] for r in results if isinstance(r, dict) and "rollout" in r]
