# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The provider `job`: real Jobs, run by the cluster's own Job controller."""

from __future__ import annotations

import dataclasses
import pathlib
import typing as t

import pytest

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
from ansible_collections.cutover.bluegreen.tests.integration.support import session
from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
    Kube,
    Object,
    resource_path,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.manifests import (
    STEERING,
    deployment,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.measuring import (
    finished,
    place_on,
    request_at,
    resumed,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.waiting import (
    eventually,
)

RUN = "web-3-pre"
NAME = f"{RUN}.m.1"


@pytest.fixture(autouse=True)
def _embedded(cluster: session.Cluster) -> None:
    if not cluster.embedded:
        pytest.skip("the Jobs are steered by the embedded cluster's stages")


@pytest.fixture
def place(account_kubeconfig: pathlib.Path, namespace: str) -> Place:
    return place_on(account_kubeconfig, namespace, rollout="web", run=RUN)


def config(backoff_limit: int = 0, **steering: str) -> Object:
    annotations = {STEERING + k.replace("_", "-"): v for k, v in steering.items()}
    containers = [{"name": "test", "image": "example/test:1"}]
    return {
        "spec": {
            "backoffLimit": backoff_limit,
            "template": {
                "metadata": {"annotations": annotations},
                "spec": {"containers": containers},
            },
        }
    }


def find(kube: Kube, request: Request, name: str = NAME) -> Object | None:
    return kube.find(resource_path("jobs", request.place.namespace, name))


def verdict(request: Request) -> Verdict:
    outcome = finished(job.measure, request)
    assert isinstance(outcome, Verdict)
    return outcome


def test_a_job_that_completes(kube: Kube, place: Place) -> None:
    request = request_at(place, config(runs_for="1s"))
    begun = job.measure(request)
    assert isinstance(begun, Unfinished)
    assert begun.resume_after_seconds >= 1
    created = find(kube, request)
    assert created is not None
    assert begun.metadata == {"job": NAME, "uid": created["metadata"]["uid"]}
    found = verdict(resumed(request, begun))
    assert found.phase == "Successful"
    assert found.message == f"Job {place.namespace}/{NAME} completed"
    # Deleted at once, with its pods.
    assert find(kube, request) is None
    pods = resource_path("pods", place.namespace)
    eventually(lambda: not kube.list(pods), 20, "no pod of the Job")


def test_a_job_that_fails(kube: Kube, place: Place) -> None:
    request = request_at(place, config(exit_code="3", last_words="2 of 9 tests failed"))
    found = verdict(request)
    assert found.phase == "Failed"
    assert "(BackoffLimitExceeded: " in found.message
    assert "ended with exit code 3: 2 of 9 tests failed; read " in found.message
    assert found.message.endswith(f"kubectl logs job/{NAME} -n {place.namespace}")
    # Its logs can be read until the cluster deletes it.
    left = find(kube, request)
    assert left is not None
    assert left["spec"]["ttlSecondsAfterFinished"] == 600


def test_an_image_that_cannot_be_had(kube: Kube, place: Place) -> None:
    request = request_at(place, config(image_pull="fail"))
    found = verdict(request)
    assert found.phase == "Inconclusive"
    assert found.message == (
        f"Job {place.namespace}/{NAME} was ended: the image example/test:1 of container"
        " test cannot be had (ImagePullBackOff: Back-off pulling image"
        ' "example/test:1")'
    )
    assert find(kube, request) is None


def test_what_it_is_made_of(kube: Kube, place: Place) -> None:
    """Owned by the Deployment, found by the rollout, selected by no Service."""
    path = resource_path("deployments", place.namespace)
    owner = kube.create(path, deployment("web", replicas=0))
    reference = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": "web",
        "uid": owner["metadata"]["uid"],
    }
    request = request_at(
        dataclasses.replace(place, owner=reference), config(ready="never")
    )
    job.measure(request)
    created = find(kube, request)
    assert created is not None
    metadata = created["metadata"]
    assert metadata["labels"]["cutover.bluegreen/rollout"] == "web"
    assert metadata["annotations"]["cutover.bluegreen/analysis"] == RUN
    assert metadata["annotations"]["cutover.bluegreen/metric"] == "m"
    assert [o["uid"] for o in metadata["ownerReferences"]] == [reference["uid"]]
    template = created["spec"]["template"]
    assert not [k for k in template["metadata"]["labels"] if "cutover.bluegreen" in k]
    assert template["spec"]["restartPolicy"] == "Never"
    # It ends with its owner.
    kube.delete(
        resource_path("deployments", place.namespace, "web"),
        propagationPolicy="Background",
    )
    eventually(lambda: find(kube, request) is None, 30, "the end of the Job")


def test_a_killed_run_finds_its_job_again(kube: Kube, place: Place) -> None:
    request = request_at(place, config(ready="never"))
    begun = job.measure(request)
    again = job.measure(request)
    assert isinstance(begun, Unfinished)
    assert isinstance(again, Unfinished)
    assert again.metadata == begun.metadata
    assert len(kube.list(resource_path("jobs", place.namespace))) == 1


def test_each_measurement_has_a_job_of_its_own(kube: Kube, place: Place) -> None:
    for number in (1, 2):
        job.measure(request_at(place, config(ready="never"), number))
    job.measure(request_at(place, config(ready="never"), metric="A Test"))
    jobs = kube.list(resource_path("jobs", place.namespace))
    names = sorted(j["metadata"]["name"] for j in jobs)
    assert names[1:] == [NAME, f"{RUN}.m.2"]
    assert names[0].startswith(f"{RUN}-a-test-")


def test_a_job_of_somebody_else_is_left_alone(kube: Kube, place: Place) -> None:
    template = config(ready="never")["spec"]["template"]
    template["spec"]["restartPolicy"] = "Never"
    theirs = {"metadata": {"name": NAME}, "spec": {"template": template}}
    kube.create(resource_path("jobs", place.namespace), theirs)
    request = request_at(place, config())
    with pytest.raises(MeasurementError, match="does not belong to this measurement"):
        job.measure(request)
    job.terminate(request)
    found = find(kube, request)
    assert found is not None
    assert "deletionTimestamp" not in found["metadata"]


def test_a_job_that_somebody_deletes(kube: Kube, place: Place) -> None:
    request = request_at(place, config(ready="never"))
    begun = job.measure(request)
    path = resource_path("jobs", place.namespace, NAME)
    kube.delete(path, propagationPolicy="Background")
    eventually(lambda: find(kube, request) is None, 20, "the deletion")
    with pytest.raises(MeasurementError, match="is gone before its end was seen"):
        job.measure(resumed(request, begun))


@pytest.mark.parametrize("knows", [True, False])
def test_terminate(kube: Kube, place: Place, knows: bool) -> None:
    """Also where the run was killed before it could note what it had begun."""
    request = request_at(place, config(ready="never"))
    begun = job.measure(request)
    ending = resumed(request, begun) if knows else request
    job.terminate(ending)
    eventually(lambda: find(kube, request) is None, 20, "the end of the Job")
    job.terminate(ending)


def test_the_cluster_s_refusal_is_one_sentence(place: Place) -> None:
    wrong = config()
    wrong["spec"]["template"]["spec"]["volumes"] = [{"name": "UPPER CASE"}]
    with pytest.raises(MeasurementError, match=r"refused to create jobs.*\(422\)") as e:
        job.measure(request_at(place, wrong))
    assert "\n" not in str(e.value)


def test_a_missing_right_is_named(
    restricted_kubeconfig: t.Callable[..., pathlib.Path], namespace: str
) -> None:
    place = place_on(restricted_kubeconfig({"jobs": ["get"]}), namespace, run=RUN)
    with pytest.raises(MeasurementError, match="a Role with the verb create on jobs"):
        job.measure(request_at(place, config()))


def test_the_rights_that_are_documented_suffice(
    kube: Kube,
    restricted_kubeconfig: t.Callable[..., pathlib.Path],
    namespace: str,
) -> None:
    rights = {"jobs": ["create", "get", "delete"], "pods": ["list"]}
    place = place_on(restricted_kubeconfig(rights), namespace, run=RUN)
    request = request_at(place, config(exit_code="1"))
    assert "exit code 1" in verdict(request).message
    job.terminate(request)
    eventually(lambda: find(kube, request) is None, 20, "the end of the Job")
    assert verdict(request_at(place, config(), number=2)).phase == "Successful"
