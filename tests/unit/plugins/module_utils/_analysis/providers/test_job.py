# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Job of a measurement: its name, what it is made of, how it is read."""

from __future__ import annotations

import re
import typing as t
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.measurement import (  # noqa: E501 - a module's name
    MeasurementError,
    Place,
    Request,
    Unfinished,
    Verdict,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.providers import (  # noqa: E501 - a package's name
    job,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._api import Api
from ansible_collections.cutover.bluegreen.plugins.module_utils._auth import connect
from ansible_collections.cutover.bluegreen.plugins.module_utils._clock import (
    ServerClock,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._errors import LockLost
from ansible_collections.cutover.bluegreen.tests.unit.support.http_server import (
    HttpServer,
)

Object = dict[str, t.Any]

NOW = datetime(2026, 1, 2, 12, 0, tzinfo=timezone.utc)
OWNER = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web-1", "uid": "u"}
JOBS = "/apis/batch/v1/namespaces/shop/jobs"
PODS = "/api/v1/namespaces/shop/pods"
NAME = "web-7-pre.smoke.2"


def spec(**pod: t.Any) -> Object:
    containers = [{"name": "test", "image": "example/test:1"}]
    return {"template": {"spec": {"containers": containers, **pod}}}


def request_of(
    config: Object | None = None, api: Api | None = None, **changes: t.Any
) -> Request:
    place: dict[str, t.Any] = {
        "namespace": "shop",
        "rollout": "web",
        "run": "web-7-pre",
        "owner": OWNER,
    }
    metadata = changes.pop("metadata", {})
    return Request(
        metric="smoke",
        number=2,
        config={"spec": spec()} if config is None else config,
        config_of_stable={},
        place=Place(
            now=lambda: NOW,
            secret=lambda name, key: "",
            api=lambda: t.cast(Api, api),
            **{**place, **changes},
        ),
        metadata=metadata,
    )


# -- the name ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run", "metric", "number", "name"),
    [
        ("web-7-pre", "smoke", 1, "web-7-pre.smoke.1"),
        ("web-7-pre", "smoke.deep", 12, "web-7-pre.smoke.deep.12"),
        ("web", "Smoke Test!", 1, "web-smoke-test-#.1"),
        ("web", "smoke_test", 1, "web-smoke-test-#.1"),
    ],
)
def test_names(run: str, metric: str, number: int, name: str) -> None:
    made = job.job_name(run, metric, number)
    assert re.sub(r"-[0-9a-f]{8}(?=\.\d+$)", "-#", made) == name


LABELS = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,60}[a-z0-9])?", fullmatch=True)
METRICS = st.text(min_size=1, max_size=80)
NAMED = st.tuples(LABELS, METRICS, st.integers(1, 100_000))


@given(NAMED)
def test_every_name_is_one_of_a_job(named: tuple[str, str, int]) -> None:
    name = job.job_name(*named)
    assert len(name) <= 63
    label = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
    assert re.fullmatch(rf"{label}(\.{label})*", name)
    assert name == job.job_name(*named)
    assert name.endswith(f".{named[2]}")


@given(NAMED, NAMED)
def test_no_two_measurements_share_a_name(
    one: tuple[str, str, int], other: tuple[str, str, int]
) -> None:
    assert (job.job_name(*one) == job.job_name(*other)) == (one == other)


@given(LABELS, METRICS, METRICS)
def test_no_two_metrics_share_a_name(run: str, one: str, other: str) -> None:
    same = job.job_name(run, one, 1) == job.job_name(run, other, 1)
    assert same == (one == other)


# -- the body ------------------------------------------------------------------------


def test_the_body() -> None:
    given_spec = {"backoffLimit": 1, **spec()}
    config = {
        "metadata": {"labels": {"team": "a"}, "annotations": {"note": "b"}},
        "spec": given_spec,
    }
    body = job.job_body(request_of(config))
    assert body == {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": NAME,
            "namespace": "shop",
            "labels": {"team": "a", "cutover.bluegreen/rollout": "web"},
            "annotations": {
                "note": "b",
                "cutover.bluegreen/analysis": "web-7-pre",
                "cutover.bluegreen/metric": "smoke",
                "cutover.bluegreen/measurement": "2",
            },
            "ownerReferences": [OWNER],
        },
        "spec": {
            "backoffLimit": 1,
            "ttlSecondsAfterFinished": 600,
            "template": {
                "spec": {
                    "containers": [{"name": "test", "image": "example/test:1"}],
                    "restartPolicy": "Never",
                }
            },
        },
    }
    assert config["spec"] == {"backoffLimit": 1, **spec()}


def test_what_is_given_stays() -> None:
    config = {"spec": {"ttlSecondsAfterFinished": 0, **spec(restartPolicy="OnFailure")}}
    body = job.job_body(request_of(config, rollout="", owner=None))
    assert body["spec"]["ttlSecondsAfterFinished"] == 0
    assert body["spec"]["template"]["spec"]["restartPolicy"] == "OnFailure"
    assert body["metadata"]["labels"] == {}
    assert "ownerReferences" not in body["metadata"]


def test_the_labels_of_ours_win() -> None:
    config = {
        "metadata": {"labels": {"cutover.bluegreen/rollout": "other"}},
        "spec": spec(),
    }
    body = job.job_body(request_of(config))
    assert body["metadata"]["labels"] == {"cutover.bluegreen/rollout": "web"}


# -- bad input -----------------------------------------------------------------------


def labelled(key: str) -> Object:
    template = {"metadata": {"labels": {key: "x"}}, **spec()["template"]}
    return {"spec": {"template": template}}


@pytest.mark.parametrize(
    ("config", "field", "text"),
    [
        ({}, "job.spec", "nothing was found, expected is the spec"),
        ({"spec": []}, "job.spec", "a list was found"),
        ({"specs": 1, "spec": spec()}, "job.specs", "there is no such field"),
        ({"spec": {}}, "job.spec.template", "expected is a pod template"),
        ({"spec": {"template": {}}}, "job.spec.template.spec", "a pod's spec"),
        (
            {"spec": {"template": {"spec": {"containers": []}}}},
            "job.spec.template.spec.containers",
            "a list of containers",
        ),
        (
            {"spec": spec(containers=[{"name": "a"}])},
            "job.spec.template.spec.containers[0].image",
            "expected is a text",
        ),
        (
            {"spec": spec(containers=["a"])},
            "job.spec.template.spec.containers[0]",
            "a text was found",
        ),
        (
            {"spec": spec(restartPolicy="Always")},
            "job.spec.template.spec.restartPolicy",
            "'Always' was found, expected is Never or OnFailure",
        ),
        (
            {"spec": {"backoffLimit": "1", **spec()}},
            "job.spec.backoffLimit",
            "'1' was found, expected is a whole number",
        ),
        (
            {"spec": {"backoffLimit": True, **spec()}},
            "job.spec.backoffLimit",
            "True was found",
        ),
        (
            {"spec": {"ttlSecondsAfterFinished": -1, **spec()}},
            "job.spec.ttlSecondsAfterFinished",
            "-1 was found",
        ),
        (
            {"metadata": {"name": "a"}, "spec": spec()},
            "job.metadata.name",
            "only labels and annotations",
        ),
        (
            {"metadata": {"labels": {"a": 1}}, "spec": spec()},
            "job.metadata.labels",
            "put numbers in quotes",
        ),
        (
            labelled("cutover.bluegreen/revision-hash"),
            "job.spec.template.metadata.labels",
            "Services send users to the pods that carry it",
        ),
        (
            labelled("cutover.bluegreen/rollout"),
            "job.spec.template.metadata.labels",
            "remove it",
        ),
    ],
)
def test_problems(config: Object, field: str, text: str) -> None:
    (problem,) = job.problems(config)
    assert problem.field == field
    assert text in problem.text
    with pytest.raises(MeasurementError, match=re.escape(field)):
        job.job_body(request_of(config))


def test_no_problems() -> None:
    pod = {"spec": {"containers": [{"name": "{{args.a}}", "image": "{{args.b}}"}]}}
    metadata = {"labels": {"app": "{{args.a}}"}, "annotations": None}
    template = {"metadata": metadata, **pod}
    assert job.problems({"spec": {"template": template}, "metadata": metadata}) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["metadata", "spec", "template", "containers", "labels", "name"]
            )
            | st.text(),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["metadata", "spec"]) | st.text(), JSON))
def test_nothing_breaks_the_check(config: Object) -> None:
    for problem in job.problems(config):
        assert problem.field.startswith("job.")
        assert problem.text


# -- reading -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("elapsed", "gap"), [(-5, 1.0), (0, 1.0), (0.4, 1.0), (8, 4.0), (200, 20.0)]
)
def test_the_gap_grows_with_the_time(elapsed: float, gap: float) -> None:
    created = (NOW - timedelta(seconds=elapsed)).isoformat()
    found = {"metadata": {"creationTimestamp": created}}
    assert job.resume_gap(found, NOW) == pytest.approx(gap)


def pod(name: str, created: int, *containers: Object) -> Object:
    return {
        "metadata": {"name": name, "creationTimestamp": f"2026-01-02T12:00:{created}Z"},
        "status": {"containerStatuses": list(containers)},
    }


def ended(code: int, **more: t.Any) -> Object:
    return {"name": "test", "state": {"terminated": {"exitCode": code, **more}}}


def test_the_last_words_are_of_the_newest_pod_that_failed() -> None:
    pods = [
        pod("a", 10, ended(1, message="first")),
        pod("b", 30, ended(0, message="fine")),
        pod("c", 20, ended(0), ended(137, reason="OOMKilled", message="a\n  b")),
    ]
    assert job.exit_of(pods) == (
        "container test of pod c ended with exit code 137 (OOMKilled): a b"
    )


def test_a_container_that_was_restarted_tells_of_its_last_end() -> None:
    again = {
        "name": "test",
        "state": {"running": {}},
        "lastState": {"terminated": {"exitCode": 2, "reason": "Error"}},
    }
    assert job.exit_of([pod("a", 10, again)]) == (
        "container test of pod a ended with exit code 2"
    )


def test_nothing_failed() -> None:
    assert job.exit_of([]) == ""
    assert job.exit_of([pod("a", 10, ended(0))]) == ""


# -- an API server that does not do what it should -----------------------------------


@pytest.fixture
def api(server: HttpServer) -> Api:
    connection = connect({"host": server.url, "api_key": "token"}, {})
    return Api(connection, ServerClock(), sleep=lambda seconds: None)


def made(request: Request, uid: str = "u1", **status: t.Any) -> Object:
    body = job.job_body(request)
    metadata = {**body["metadata"], "uid": uid, "creationTimestamp": NOW.isoformat()}
    return {**body, "metadata": metadata, "status": status}


CONFLICT = {"kind": "Status", "message": "exists", "code": 409}


def test_a_job_of_a_killed_run_is_gone_on_with(server: HttpServer, api: Api) -> None:
    request = request_of(api=api)
    server.reply(CONFLICT, status=409, path=JOBS)
    server.reply(made(request), path=f"{JOBS}/{NAME}")
    outcome = job.measure(request)
    assert outcome == Unfinished({"job": NAME, "uid": "u1"}, 1.0)


@pytest.mark.parametrize(
    "change",
    [{"run": "web-8-pre"}, {"rollout": "api"}],
)
def test_a_job_of_somebody_else_is_left_alone(
    server: HttpServer, api: Api, change: dict[str, str]
) -> None:
    request = request_of(api=api)
    server.reply(CONFLICT, status=409, path=JOBS)
    server.reply(made(request_of(api=api, **change)), path=f"{JOBS}/{NAME}")
    with pytest.raises(MeasurementError, match="does not belong to this measurement"):
        job.measure(request)
    job.terminate(request)
    assert "DELETE" not in [r.method for r in server.requests]


def test_a_job_that_another_replaced(server: HttpServer, api: Api) -> None:
    request = request_of(api=api, metadata={"job": NAME, "uid": "u1"})
    server.reply(made(request, "u2"), path=f"{JOBS}/{NAME}")
    with pytest.raises(MeasurementError, match="is gone before its end was seen"):
        job.measure(request)


def test_terminate_finds_the_job_of_a_killed_run(server: HttpServer, api: Api) -> None:
    request = request_of(api=api)
    server.reply(made(request), path=f"{JOBS}/{NAME}")
    job.terminate(request)
    assert server.requests[-1].method == "DELETE"
    assert server.requests[-1].json()["preconditions"] == {"uid": "u1"}


def test_terminate_with_nothing_there(server: HttpServer, api: Api) -> None:
    missing = {"kind": "Status", "code": 404, "message": "none"}
    server.reply(missing, status=404, path=f"{JOBS}/{NAME}")
    job.terminate(request_of(api=api))
    job.terminate(request_of(api=api, metadata={"job": NAME, "uid": "u1"}))
    assert [r.method for r in server.requests] == ["GET", "DELETE"]


def test_a_success_stays_one_where_the_job_cannot_be_deleted(
    server: HttpServer, api: Api
) -> None:
    request = request_of(api=api, metadata={"job": NAME, "uid": "u1"})
    complete = made(request, conditions=[{"type": "Complete", "status": "True"}])
    server.reply(complete)
    server.reply({"kind": "Status", "message": "no"}, status=403)
    outcome = job.measure(request)
    assert isinstance(outcome, Verdict)
    assert outcome.phase == "Successful"
    assert [r.method for r in server.requests] == ["GET", "DELETE"]


def test_a_failure_stays_one_where_pods_cannot_be_read(
    server: HttpServer, api: Api
) -> None:
    request = request_of(api=api, metadata={"job": NAME, "uid": "u1"})
    condition = {"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}
    server.reply(made(request, conditions=[condition]))
    server.reply({"kind": "Status", "message": "no"}, status=403, path=PODS)
    outcome = job.measure(request)
    assert isinstance(outcome, Verdict)
    assert outcome.phase == "Failed"
    assert outcome.message == (
        f"Job shop/{NAME} failed (DeadlineExceeded); read kubectl logs job/{NAME} -n"
        " shop"
    )


def test_a_job_that_is_being_deleted(server: HttpServer, api: Api) -> None:
    request = request_of(api=api, metadata={"job": NAME, "uid": "u1"})
    found = made(request)
    found["metadata"]["deletionTimestamp"] = NOW.isoformat()
    server.reply(found)
    with pytest.raises(MeasurementError, match="is being deleted by somebody else"):
        job.measure(request)


@pytest.mark.parametrize(
    "answer", [{}, {"metadata": None}, {"metadata": {}, "status": "x"}, "<html>", "[]"]
)
def test_answers_that_no_api_server_gives(
    server: HttpServer, api: Api, answer: object
) -> None:
    server.reply(answer, path=JOBS)
    with pytest.raises(MeasurementError, match="check host"):
        job.measure(request_of(api=api))


def test_a_refusal_names_what_is_missing(server: HttpServer, api: Api) -> None:
    server.reply({"kind": "Status", "message": "no"}, status=403)
    with pytest.raises(MeasurementError, match="a Role with the verb create on jobs"):
        job.measure(request_of(api=api))


def test_a_lost_lock_is_no_failed_measurement(api: Api) -> None:
    def lost() -> None:
        raise LockLost("another run drives")

    api.before_write.append(lost)
    with pytest.raises(LockLost):
        job.measure(request_of(api=api))
