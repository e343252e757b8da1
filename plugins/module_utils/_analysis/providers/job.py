# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Kubernetes Job decides: it completes, or it fails.

The Job's name follows from the analysis, the metric and the measurement's number, so
that a run which takes over from one that was killed finds it again. Private to the
collection: it may change in any release.
"""

from __future__ import annotations

import hashlib
import math
import re
import typing as t
from dataclasses import dataclass
from datetime import datetime

from ... import _names as names
from ..._api import Api
from ..._clock import parse_instant
from ..._errors import ApiError, Conflict
from ..fields import kind, refuse, text_problems, unknown_problems
from ..http import shown
from ..measurement import (
    MeasurementError,
    Outcome,
    Place,
    Problem,
    Request,
    Unfinished,
    Verdict,
)
from ..objects import (
    Object,
    asking,
    container_statuses,
    image_trouble,
    items,
    path,
)
from ..state import FAILED, INCONCLUSIVE, SUCCESSFUL

ANNOTATION_ANALYSIS = f"{names.PREFIX}/analysis"
ANNOTATION_METRIC = f"{names.PREFIX}/metric"
ANNOTATION_MEASUREMENT = f"{names.PREFIX}/measurement"

# The cluster deletes an ended Job by itself after so long, should nobody else do it.
TTL_SECONDS = 600

# A pod carries its Job's name as a label, and a label's value holds 63 characters.
_LONGEST_NAME = 63
_DIGEST_LENGTH = 8
_SUBDOMAIN = re.compile(
    r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
)
_BATCH = "batch/v1"
_MOST_LAST_WORDS = 160
_API_SECONDS = 120.0


# -- what is asked for ---------------------------------------------------------------


def problems(config: t.Mapping[str, t.Any]) -> list[Problem]:
    """What is wrong with the block; the API server checks the rest when it is asked."""
    found = unknown_problems(config, ("metadata", "spec"), "job")
    found += _metadata_problems(config.get("metadata"), "job.metadata")
    spec = config.get("spec")
    if not isinstance(spec, t.Mapping):
        return [*found, _expected("job.spec", spec, "the spec of a Kubernetes Job")]
    found += _number_problems(spec)
    template = spec.get("template")
    if not isinstance(template, t.Mapping):
        where = "job.spec.template"
        return [*found, _expected(where, template, "a pod template with a spec")]
    return found + _template_problems(template)


def rights(config: t.Mapping[str, t.Any]) -> dict[str, tuple[str, ...]]:
    """What the user of the Kubernetes API needs for it, by resource."""
    return {"jobs.batch": ("create", "get", "delete"), "pods": ("list",)}


def seconds_allowed(config: t.Mapping[str, t.Any]) -> float:
    """For one look at the Job, not for its run."""
    return _API_SECONDS


def _expected(field: str, found: object, expected: str) -> Problem:
    return Problem(field, f"{kind(found)} was found, expected is {expected}")


def _metadata_problems(metadata: object, field: str) -> list[Problem]:
    if metadata is None:
        return []
    if not isinstance(metadata, t.Mapping):
        return [_expected(field, metadata, "a mapping with labels and annotations")]
    found = []
    for key, given in metadata.items():
        where = f"{field}.{key}"
        if key not in ("labels", "annotations"):
            text = "only labels and annotations are taken over; remove it"
            found.append(Problem(where, text))
        elif given is not None and not _is_texts(given):
            expected = "a mapping of texts (put numbers in quotes)"
            found.append(_expected(where, given, expected))
    return found


def _is_texts(given: object) -> bool:
    return isinstance(given, t.Mapping) and all(
        isinstance(item, str) for pair in given.items() for item in pair
    )


def _number_problems(spec: t.Mapping[str, t.Any]) -> list[Problem]:
    numbers = ("activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished")
    return [
        Problem(
            f"job.spec.{key}",
            f"{shown(repr(spec[key]))} was found, expected is a whole number from 0",
        )
        for key in numbers
        if spec.get(key) is not None and not _is_count(spec[key])
    ]


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _template_problems(template: t.Mapping[str, t.Any]) -> list[Problem]:
    field = "job.spec.template"
    metadata = template.get("metadata")
    found = _metadata_problems(metadata, f"{field}.metadata")
    labels = metadata.get("labels") if isinstance(metadata, t.Mapping) else None
    found += [
        Problem(
            f"{field}.metadata.labels",
            f"{key} was found; Services send users to the pods that carry it, so a"
            " Job's pods must not; remove it",
        )
        for key in (names.LABEL_HASH, names.LABEL_ROLLOUT)
        if isinstance(labels, t.Mapping) and key in labels
    ]
    pod = template.get("spec")
    if not isinstance(pod, t.Mapping):
        expected = "a pod's spec with containers"
        return [*found, _expected(f"{field}.spec", pod, expected)]
    return found + _pod_problems(pod, f"{field}.spec")


def _pod_problems(pod: t.Mapping[str, t.Any], field: str) -> list[Problem]:
    found = []
    policy = pod.get("restartPolicy")
    if policy not in (None, "Never", "OnFailure"):
        text = f"{shown(repr(policy))} was found, expected is Never or OnFailure"
        found.append(Problem(f"{field}.restartPolicy", text))
    containers = pod.get("containers")
    if not isinstance(containers, list) or not containers:
        where = f"{field}.containers"
        return [*found, _expected(where, containers, "a list of containers")]
    for index, container in enumerate(containers):
        where = f"{field}.containers[{index}]"
        if not isinstance(container, t.Mapping):
            found.append(_expected(where, container, "a container"))
            continue
        for key in ("name", "image"):
            found += text_problems(container.get(key), f"{where}.{key}")
    return found


# -- the Job -------------------------------------------------------------------------


def job_name(run: str, metric: str, number: int) -> str:
    """``<run>.<metric>.<number>``, always the same for the same three.

    Where a Job could not be called so, a digest keeps the shorter name unique.
    """
    name = f"{run}.{metric}.{number}"
    if len(name) <= _LONGEST_NAME and _SUBDOMAIN.fullmatch(name):
        return name
    digest = hashlib.sha256(f"{run}\n{metric}".encode()).hexdigest()[:_DIGEST_LENGTH]
    end = f"-{digest}.{number}"
    readable = re.sub(r"[^a-z0-9]+", "-", f"{run}.{metric}".lower()).strip("-")
    return readable[: _LONGEST_NAME - len(end)].rstrip("-") + end


def job_body(request: Request) -> Object:
    """The Job of one measurement, as it is created.

    :raises MeasurementError: the block lacks what :func:`problems` asks for.
    """
    refuse(problems(request.config))
    place = request.place
    given = request.config.get("metadata") or {}
    spec = request.config["spec"]
    template = spec["template"]
    pod = template["spec"]
    metadata: Object = {
        "name": _name_of(request),
        "namespace": place.namespace,
        "labels": {**(given.get("labels") or {}), **_own_labels(place)},
        "annotations": {
            **(given.get("annotations") or {}),
            **_own_annotations(request),
        },
    }
    if place.owner is not None:
        metadata["ownerReferences"] = [dict(place.owner)]
    ttl = spec.get("ttlSecondsAfterFinished")
    policy = pod.get("restartPolicy") or "Never"
    return {
        "apiVersion": _BATCH,
        "kind": "Job",
        "metadata": metadata,
        "spec": {
            **spec,
            "ttlSecondsAfterFinished": TTL_SECONDS if ttl is None else ttl,
            "template": {**template, "spec": {**pod, "restartPolicy": policy}},
        },
    }


def _name_of(request: Request) -> str:
    return job_name(request.place.run, request.metric, request.number)


def _own_labels(place: Place) -> dict[str, str]:
    return {names.LABEL_ROLLOUT: place.rollout} if place.rollout else {}


def _own_annotations(request: Request) -> dict[str, str]:
    return {
        ANNOTATION_ANALYSIS: request.place.run,
        ANNOTATION_METRIC: request.metric,
        ANNOTATION_MEASUREMENT: str(request.number),
    }


def is_of(job: Object, request: Request) -> bool:
    """Whether a Job was made for this very measurement."""
    metadata = job["metadata"]
    carried = {**(metadata.get("labels") or {}), **(metadata.get("annotations") or {})}
    wanted = {**_own_labels(request.place), **_own_annotations(request)}
    # Labels and annotations have no key in common but the rollout's own.
    return all(carried.get(key) == value for key, value in wanted.items())


# -- measuring -----------------------------------------------------------------------


def try_creation(request: Request) -> None:
    """A dry-run of the Job.

    :raises ApiError: the API server, or what admits objects there, refuses it.
    """
    api, body = request.place.api(), job_body(request)
    api.create(_job_path(request.place), body, {"dryRun": "All"})


def measure(request: Request) -> Outcome:
    """Create the Job, or see how the one that was created fares."""
    with asking(f"Job {request.place.namespace}/{_name_of(request)}"):
        api = request.place.api()
        job = _seen_again(api, request) if request.metadata else _started(api, request)
        return _outcome(api, request.place, job)


def terminate(request: Request) -> None:
    """Delete the Job; its pods go with it."""
    with asking(f"Job {request.place.namespace}/{_name_of(request)}"):
        api = request.place.api()
        uid = request.metadata.get("uid")
        if uid is None:
            job = api.find(_job_path(request.place, _name_of(request)))
            if job is None or not is_of(job, request):
                return
            uid = job["metadata"]["uid"]
        _delete(api, request.place, _known_name(request), uid)


def _known_name(request: Request) -> str:
    return request.metadata.get("job") or _name_of(request)


def _job_path(place: Place, name: str = "") -> str:
    return path(place.namespace, "jobs", name, _BATCH)


def _started(api: Api, request: Request) -> Object:
    place = request.place
    try:
        return api.create(_job_path(place), job_body(request))
    except Conflict:
        # A run that was killed has created it, or an answer was lost.
        name = _name_of(request)
        found = api.find(_job_path(place, name))
    if found is None:
        raise MeasurementError(
            f"Job {place.namespace}/{name} existed and was deleted at the same moment;"
            " somebody else cleans up there."
        )
    if not is_of(found, request):
        raise MeasurementError(
            f"Job {place.namespace}/{name} exists and does not belong to this"
            " measurement; delete or rename it."
        )
    return found


def _seen_again(api: Api, request: Request) -> Object:
    name, uid = _known_name(request), request.metadata.get("uid")
    found = api.find(_job_path(request.place, name))
    if found is None or (uid and found["metadata"]["uid"] != uid):
        raise MeasurementError(
            f"Job {request.place.namespace}/{name} is gone before its end was seen:"
            " somebody else deleted it, or it ended and its ttlSecondsAfterFinished is"
            " over."
        )
    return found


@dataclass(frozen=True)
class _End:
    """How a Job has ended."""

    complete: bool
    why: str


def _end_of(job: Object) -> _End | None:
    for condition in (job.get("status") or {}).get("conditions") or []:
        kind = condition.get("type")
        if kind in ("Complete", "Failed") and condition.get("status") == "True":
            said = [condition.get("reason"), condition.get("message")]
            return _End(kind == "Complete", ": ".join(str(s) for s in said if s))
    return None


def _outcome(api: Api, place: Place, job: Object) -> Outcome:
    name, uid = job["metadata"]["name"], job["metadata"]["uid"]
    metadata = {"job": name, "uid": uid}
    what = f"Job {place.namespace}/{name}"
    end = _end_of(job)
    if end is not None and end.complete:
        _clean_up(api, place, name, uid)
        return Verdict(SUCCESSFUL, f"{what} completed", metadata=metadata)
    if end is not None:
        message = f"{what} failed{_reason(api, place, name, end.why)}"
        logs = f"kubectl logs job/{name} -n {place.namespace}"
        return Verdict(FAILED, f"{message}; read {logs}", metadata=metadata)
    if "deletionTimestamp" in job["metadata"]:
        raise MeasurementError(
            f"{what} is being deleted by somebody else before its end."
        )
    trouble = _image_trouble(api, place, job)
    if trouble:
        _clean_up(api, place, name, uid)
        message = f"{what} was ended: {trouble}"
        return Verdict(INCONCLUSIVE, message, metadata=metadata)
    return Unfinished(metadata, resume_gap(job, place.now()))


def resume_gap(job: Object, now: datetime) -> float:
    """Seconds until a look at a Job that runs: the longer it has run, the longer."""
    created = parse_instant(job["metadata"].get("creationTimestamp")) or now
    elapsed = max((now - created).total_seconds(), 0.0)
    return max(math.sqrt(2 * elapsed), 1.0)


def _clean_up(api: Api, place: Place, name: str, uid: str) -> None:
    """Delete a Job whose verdict is known; what refuses that changes no verdict."""
    try:
        _delete(api, place, name, uid)
    except ApiError:
        # It ends by its backoffLimit and is deleted after its ttlSecondsAfterFinished.
        return


def _delete(api: Api, place: Place, name: str, uid: str) -> None:
    try:
        api.delete(_job_path(place, name), uid)
    except Conflict:
        # Ours is gone, another one has its name by now.
        return


# -- its pods ------------------------------------------------------------------------


def _pods(api: Api, place: Place, job: str) -> list[Object]:
    """The Job's pods; none where they cannot be read: they only explain."""
    query = {"labelSelector": f"job-name={job}"}
    try:
        return items(api, path(place.namespace, "pods"), query)
    except ApiError:
        return []


def _image_trouble(api: Api, place: Place, job: Object) -> str:
    status = job.get("status") or {}
    if not status.get("active") or status.get("ready"):
        # Nothing waits for an image, so the pods need not be read.
        return ""
    for pod in _pods(api, place, job["metadata"]["name"]):
        trouble = image_trouble(pod)
        if trouble:
            return trouble
    return ""


def _reason(api: Api, place: Place, job: str, why: str) -> str:
    last_words = exit_of(_pods(api, place, job))
    said = [f" ({shown(why)})" if why else "", f"; {last_words}" if last_words else ""]
    return "".join(said)


def exit_of(pods: t.Sequence[Object]) -> str:
    """How the newest container that failed has ended; empty if none did."""
    newest_first = sorted(
        pods,
        key=lambda p: str(p["metadata"].get("creationTimestamp", "")),
        reverse=True,
    )
    for pod in newest_first:
        for container in container_statuses(pod):
            states = (container.get("state") or {}, container.get("lastState") or {})
            for ended in (state.get("terminated") for state in states):
                if ended and ended.get("exitCode"):
                    return _exit(pod, container, ended)
    return ""


def _exit(pod: Object, container: Object, ended: Object) -> str:
    # What comes after it, where to read the rest, must not be cut off.
    said = shown(str(ended.get("message") or "")[:_MOST_LAST_WORDS])
    reason = ended.get("reason")
    known = f" ({reason})" if reason not in (None, "", "Error") else ""
    return (
        f"container {container.get('name')} of pod {pod['metadata']['name']} ended with"
        f" exit code {ended['exitCode']}{known}{f': {said}' if said else ''}"
    )
