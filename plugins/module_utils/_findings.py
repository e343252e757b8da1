# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a person should know before a release: one line each, worst first.

Pure. What can be seen in the manifests alone is here; plans add what they see in the
cluster. Private to the collection: it may change in any release.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from . import _names as names
from ._manifests import Deployment, original_selector
from ._objects import Object
from ._parameters import Parameters
from ._surroundings import has_pre_stop, reconciler_of

ERROR = "error"
WARNING = "warning"
NOTICE = "notice"
LEVELS = (ERROR, WARNING, NOTICE)

_DEFAULT_GRACE_SECONDS = 30
_SLEEP = re.compile(r"\bsleep\s+(\d+)\s*(?:;|&&|$)")


@dataclass(frozen=True)
class Finding:
    """One line for whoever signs a release off."""

    level: str
    # What it is about: a kind and a name, or an option.
    object: str
    message: str

    def __str__(self) -> str:
        return f"{self.level}: {self.object}: {self.message}"

    def as_data(self) -> dict[str, str]:
        """As results have it."""
        return {"level": self.level, "object": self.object, "message": self.message}


def ordered(findings: t.Iterable[Finding]) -> list[Finding]:
    """Each once, worst first, else in the order that they were found in."""
    once = dict.fromkeys(findings)
    return sorted(once, key=lambda f: LEVELS.index(f.level))


def summary(findings: t.Iterable[Finding]) -> str:
    """How many there are of each level: `1 error, 2 warnings`."""
    levels = [f.level for f in findings]
    counts = [(levels.count(level), level) for level in LEVELS if level in levels]
    told = [f"{n} {level}{'' if n == 1 else 's'}" for n, level in counts]
    return ", ".join(told) or "nothing found"


def of_definition(deployment: Deployment, parameters: Parameters) -> list[Finding]:
    """What is seen in a Deployment's manifest.

    :param parameters: the release's, for its size and steps.
    """
    name = f"Deployment {deployment.name}"
    pod_spec = deployment.template["spec"]
    containers = [c for c in pod_spec["containers"] if isinstance(c, dict)]
    found = [
        *_of_probes(containers),
        *_of_end(pod_spec),
        *(line for c in containers for line in _of_image(c)),
        *_of_resources(containers),
        *_of_size(parameters),
        *_of_reconciler(deployment.body),
    ]
    return [Finding(level, name, message) for level, message in found]


Lines = list[tuple[str, str]]


def _named(containers: t.Iterable[Object]) -> str:
    listed = [str(c.get("name")) for c in containers]
    return f"container{'' if len(listed) == 1 else 's'} {', '.join(listed)}"


def _of_probes(containers: list[Object]) -> Lines:
    without = [c for c in containers if not c.get("readinessProbe")]
    if len(without) == len(containers):
        return [
            (
                WARNING,
                f"{_named(without)} without readinessProbe: a pod gets users as soon as"
                " it runs, and a release is promoted before it can answer; give one.",
            )
        ]
    open_ones = [c for c in without if c.get("ports")]
    if not open_ones:
        return []
    return [
        (
            NOTICE,
            f"{_named(open_ones)} with ports and without readinessProbe: what it"
            " serves does not count for readiness.",
        )
    ]


def _of_end(pod_spec: Object) -> Lines:
    if not has_pre_stop(pod_spec):
        return [
            (
                WARNING,
                "no preStop hook: whenever a pod ends, nodes send it requests for"
                " 1-2 s more, and these are dropped; give a preStop sleep of 5 s.",
            )
        ]
    grace = pod_spec.get("terminationGracePeriodSeconds", _DEFAULT_GRACE_SECONDS)
    longest = max(_sleeps(pod_spec), default=0)
    if not isinstance(grace, int) or grace > longest:
        return []
    return [
        (
            WARNING,
            f"terminationGracePeriodSeconds is {grace} and its preStop hook sleeps"
            f" {longest} s, so the application is killed without being told to end;"
            " raise it.",
        )
    ]


def _sleeps(pod_spec: Object) -> t.Iterator[int]:
    """The seconds that preStop hooks are seen to sleep."""
    for container in pod_spec.get("containers") or []:
        hook = (container.get("lifecycle") or {}).get("preStop") or {}
        seconds = (hook.get("sleep") or {}).get("seconds")
        if isinstance(seconds, int):
            yield seconds
        command = (hook.get("exec") or {}).get("command") or []
        text = " ".join(map(str, command))
        yield from (int(found) for found in _SLEEP.findall(text))


def _of_image(container: Object) -> Lines:
    image = str(container.get("image", ""))
    if not image:
        return [(ERROR, f"container {container.get('name')} has no image; give one.")]
    tag = image.rpartition("/")[2].partition(":")[2]
    if "@" in image or tag not in ("", "latest"):
        return []
    said = f"image {image} of container {container.get('name')} names no version"
    if container.get("imagePullPolicy") in ("IfNotPresent", "Never"):
        policy = container["imagePullPolicy"]
        return [
            (
                WARNING,
                f"{said}, and by {policy} a node runs whatever it pulled first; give a"
                " tag or a digest.",
            )
        ]
    return [
        (
            WARNING,
            f"{said}: a pod of the old revision that starts again runs the new code,"
            " and a way back leads nowhere; give a tag or a digest.",
        )
    ]


def _of_resources(containers: list[Object]) -> Lines:
    without = [c for c in containers if not _asks_for_room(c)]
    if not without:
        return []
    return [
        (
            NOTICE,
            f"{_named(without)} without resources.requests: nobody keeps room for the"
            " pods, and they are the first to be evicted.",
        )
    ]


def _asks_for_room(container: Object) -> bool:
    resources = container.get("resources") or {}
    # Without requests, the limits are the requests.
    return bool(resources.get("requests") or resources.get("limits"))


def _of_size(parameters: Parameters) -> Lines:
    found: Lines = []
    full = parameters.replicas
    if full in (None, 1):
        asked = "is not given, and 1 by default" if full is None else "is 1"
        found.append(
            (
                NOTICE,
                f"spec.replicas {asked}: users of one pod have none while it is evicted"
                " or restarted.",
            )
        )
    if full is not None and len(parameters.scale_up_steps) > 1:
        sizes = parameters.step_sizes(full)
        if len(sizes) < len(parameters.scale_up_steps):
            listed = ", ".join(map(str, sizes))
            found.append(
                (
                    NOTICE,
                    f"scale_up_steps names {len(parameters.scale_up_steps)} steps; of"
                    f" {full} pods these are {len(sizes)}: {listed}.",
                )
            )
    return found


def _of_reconciler(body: Object) -> Lines:
    who, _manager = reconciler_of(body["metadata"])
    if not who:
        return []
    return [
        (
            WARNING,
            f"its metadata says that {who} applies it: each revision would carry that"
            " mark, and be pruned as unknown; take it out of the manifest.",
        )
    ]


def of_service(service: Object, deployment: Deployment) -> list[Finding]:
    """What is seen in a Service that is to direct to a Deployment's pods."""
    name = f"Service {service['metadata']['name']}"
    ports = [
        port
        for key in ("containers", "initContainers")
        for container in deployment.template["spec"].get(key) or []
        for port in container.get("ports") or []
    ]
    known = {p.get("name") for p in ports}
    missing = [
        target
        for port in service["spec"].get("ports") or []
        if isinstance(target := port.get("targetPort"), str) and target not in known
    ]
    return [
        Finding(
            ERROR,
            name,
            f"targetPort {target} is the name of no port of Deployment"
            f" {deployment.name}, so it would have no endpoint; make them agree.",
        )
        for target in missing
    ]


def refusal_of_labels(
    name: str, service: Object, variable: str, pod_labels: t.Mapping[str, str]
) -> str:
    """Why a Service could not direct to pods with these labels; empty: it could."""
    selector = original_selector(service)
    if not selector:
        return (
            f"{variable}: Service {name} has no selector, so nobody can direct it;"
            " give it the labels of the pods that it serves."
        )
    for key, value in selector.items():
        found = pod_labels.get(key)
        if found != value:
            return (
                f"{variable}: Service {name} selects {key}={value}, the pods of the"
                f" definition have {key}={found}, so it would never reach them;"
                " make them agree."
            )
    return ""


def labels_of_revision(deployment: Deployment, rollout: str) -> dict[str, str]:
    """The labels of the pods of a manifest's revision, ours among them."""
    return {
        **deployment.pod_labels,
        names.LABEL_ROLLOUT: rollout,
        names.LABEL_HASH: deployment.hash,
    }
