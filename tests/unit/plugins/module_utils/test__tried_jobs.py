# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Jobs of a release before its first write: which are tried, and what it tells."""

from __future__ import annotations

import json
import typing as t
from datetime import datetime, timezone

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.measurement import (  # noqa: E501 - a module's name
    Place,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._api import Api
from ansible_collections.cutover.bluegreen.plugins.module_utils._auth import connect
from ansible_collections.cutover.bluegreen.plugins.module_utils._clock import (
    ServerClock,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._errors import (
    ApiError,
    BadInput,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._tried_jobs import (
    try_jobs,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.http_server import (
    HttpServer,
)

JOBS = "/apis/batch/v1/namespaces/shop/jobs"
OPTION = "post_promotion_analysis"


@pytest.fixture
def server() -> t.Iterator[HttpServer]:
    with HttpServer() as made:
        made.reply({}, path=JOBS)
        yield made


@pytest.fixture
def place(server: HttpServer) -> Place:
    connection = connect({"host": server.url, "api_key": "token"}, {})
    api = Api(connection, ServerClock(), sleep=lambda seconds: None)
    return Place(
        now=lambda: datetime(2026, 1, 2, tzinfo=timezone.utc),
        secret=lambda name, key: "",
        api=lambda: api,
        namespace="shop",
        rollout="web",
        revision="7a855e71e2",
        stable="6b0402fd11",
        run="web-tried",
    )


def job(*command: str) -> dict[str, t.Any]:
    containers = [{"name": "a", "image": "a:1", "command": list(command)}]
    return {"job": {"spec": {"template": {"spec": {"containers": containers}}}}}


def hooks(*given: dict[str, t.Any]) -> str:
    return json.dumps([{"at": "after verified", **hook} for hook in given])


def analysis(*metrics: dict[str, t.Any]) -> dict[str, str]:
    args = [
        {"name": "path", "value": "/books"},
        {"name": "new", "valueFrom": {"podTemplateHashValue": "Latest"}},
        {"name": "token", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}},
    ]
    return {OPTION: json.dumps({"args": args, "metrics": list(metrics)})}


def commands(server: HttpServer) -> list[list[str]]:
    return [
        request.json()["spec"]["template"]["spec"]["containers"][0]["command"]
        for request in server.requests
    ]


def test_each_job_is_tried_as_it_will_run_and_nothing_is_made(
    server: HttpServer, place: Place
) -> None:
    metrics = [
        {"name": "books", "provider": job("look", "{{args.path}}", "{{args.new}}")},
        {"name": "hidden", "provider": job("look", "{{args.token}}")},
        {
            "name": "rate",
            "successCondition": "result > 1",
            "provider": {"web": {"url": "http://a.example/"}},
        },
    ]
    given = hooks(
        {"name": "expand", **job("expand")},
        {"name": "tell", "webhook": {"url": "http://a.example/"}},
    )
    try_jobs(place, given, analysis(*metrics))
    assert commands(server) == [["expand"], ["look", "/books", "7a855e71e2"]]
    assert {(r.method, r.path) for r in server.requests} == {("POST", JOBS)}
    assert [r.query["dryRun"] for r in server.requests] == ["All", "All"]


@pytest.mark.parametrize("status", [400, 403, 422])
def test_a_refusal_names_who_asked(
    server: HttpServer, place: Place, status: int
) -> None:
    refusal = {"kind": "Status", "message": "not here", "code": status}
    server.reply(refusal, status=status, path=JOBS)
    with pytest.raises(BadInput, match=r"^hooks: hook expand: .*not here"):
        try_jobs(place, hooks({"name": "expand", **job("expand")}), {})
    with pytest.raises(BadInput, match=rf"^{OPTION}: metric books: .*not here"):
        try_jobs(place, "", analysis({"name": "books", "provider": job("look")}))


def test_a_broken_api_server_is_nobody_s_input(
    server: HttpServer, place: Place
) -> None:
    server.reply({"kind": "Status", "message": "oh"}, status=500, path=JOBS)
    with pytest.raises(ApiError, match="did not succeed"):
        try_jobs(place, hooks({"name": "expand", **job("expand")}), {})
