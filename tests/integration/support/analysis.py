# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measured releases: what is measured, and what must hold however they end."""

from __future__ import annotations

import itertools
import json
import pathlib
import typing as t

from ansible_collections.cutover.bluegreen.tests.unit.support.http_server import (
    Hang,
    HttpServer,
)

from .kube import Kube, Object, resource_path
from .manifests import STEERING
from .release import ACTIVE, Release
from .waiting import eventually
from .watcher import Stream, Watcher

PRE, POST = "pre_promotion_analysis", "post_promotion_analysis"
KINDS = {PRE: "pre-promotion", POST: "post-promotion"}


class Meter:
    """What a metric reads: one number, which the test sets."""

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self.url = f"{server.url}/rate"
        self.reads(1.0)

    def reads(self, value: object) -> None:
        self._server.reply({"rate": value}, path="/rate")

    def breaks(self) -> None:
        self._server.reply("out of order", status=500, path="/rate")

    def hangs(self) -> None:
        self._server.reply(Hang(), path="/rate")

    @property
    def count(self) -> int:
        return len(self._server.requests)

    @property
    def queries(self) -> list[dict[str, str]]:
        """The fields of each request's query, oldest first."""
        return [request.query for request in self._server.requests]

    @property
    def tokens(self) -> list[str]:
        """What each request was authorised by, oldest first."""
        return [r.headers.get("authorization", "") for r in self._server.requests]

    def metric(self, **metric: t.Any) -> dict[str, t.Any]:
        """A metric that reads it, with what is given changed; None takes away."""
        complete = {
            "name": "rate",
            "interval": "200ms",
            "count": 3,
            "successCondition": "result >= 0.95",
            "failureCondition": "result < 0.5",
            "provider": {
                "web": {"url": self.url, "jsonPath": "{$.rate}", "timeoutSeconds": 5}
            },
            **metric,
        }
        return {k: v for k, v in complete.items() if v is not None}

    def template(self, **metric: t.Any) -> dict[str, t.Any]:
        """A template called `rate` with just this metric."""
        return template("rate", self.metric(**metric))


def template(
    name: str, *metrics: t.Mapping[str, t.Any], **spec: t.Any
) -> dict[str, t.Any]:
    """An AnalysisTemplate as Argo Rollouts has it."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AnalysisTemplate",
        "metadata": {"name": name},
        "spec": {"metrics": list(metrics), **spec},
    }


def as_file(tmp_path: pathlib.Path, *templates: t.Mapping[str, t.Any]) -> str:
    """Files are read as they are: no templating touches the placeholders."""
    file = tmp_path / "templates.yml"
    file.write_text("\n---\n".join(map(json.dumps, templates)))
    return str(file)


def job_metric(name: str = "smoke", **steering: str) -> dict[str, t.Any]:
    """A metric that a Job decides; `steering` is what KWOK's stages read, such as
    `runs_for="5s"`, `exit_code="3"`, `last_words="broken"`, `image_pull="fail"`.
    """
    annotations = {STEERING + k.replace("_", "-"): v for k, v in steering.items()}
    containers = [{"name": name, "image": "example/smoke:1"}]
    spec = {
        "backoffLimit": 0,
        "template": {
            "metadata": {"annotations": annotations},
            "spec": {"containers": containers},
        },
    }
    return {"name": name, "provider": {"job": {"spec": spec}}}


class Jobs:
    """Every Job that there was in a namespace, as it was watched."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self._seen: dict[str, Object] = {}
        self._gone: set[str] = set()
        path = resource_path("jobs", namespace)
        self._stream = Stream(kube, path, None, self._see)
        self._stream.start()

    def _see(self, jobs: list[tuple[Object, bool]]) -> None:
        for item, deleted in jobs:
            uid = item["metadata"]["uid"]
            self._seen[uid] = item
            if deleted:
                self._gone.add(uid)

    @property
    def seen(self) -> list[Object]:
        """Each Job's newest version, oldest Job first, those that are gone too."""
        eventually(self._stream.caught_up, 10, "catching up")
        return list(self._seen.values())

    @property
    def left(self) -> list[Object]:
        """The Jobs that nobody has deleted."""
        return [
            item
            for item in self.seen
            if item["metadata"]["uid"] not in self._gone
            and "deletionTimestamp" not in item["metadata"]
        ]

    def stop(self) -> None:
        self._stream.stop()


def state_of(release: Release, kind: str) -> dict[str, t.Any]:
    return t.cast("dict[str, t.Any]", release.details()["analysis"][KINDS[kind]])


def users_never_saw_it(release: Release, seen: Watcher) -> None:
    """Invariants 1 and 2, before a promotion."""
    assert seen.revisions_seen(ACTIVE) == [release.hash_of(1)]
    seen.assert_never_below(ACTIVE, 2)


def users_came_back(release: Release, seen: Watcher, new: int = 2) -> None:
    """Invariants 1 to 3, after one."""
    old, newer = release.hash_of(1), release.hash_of(new)
    served = [seen.revisions_of(moment) for moment in seen.moments(ACTIVE)]
    turns = [found for found, _same in itertools.groupby(filter(None, served))]
    assert turns == [{old}, {newer}, {old}]
    seen.assert_never_below(ACTIVE, 2)
    seen.assert_never_mixed(ACTIVE)
