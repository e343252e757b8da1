# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a Rollout of Argo Rollouts to role variables: nothing is lost without a word."""

from __future__ import annotations

import contextlib
import copy
import pathlib
import typing as t

import pytest
import yaml

from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.templates import (  # noqa: E501
    compose,
    read_documents,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._argo import convert
from ansible_collections.cutover.bluegreen.plugins.module_utils._argspec import RELEASE
from ansible_collections.cutover.bluegreen.plugins.module_utils._errors import BadInput
from ansible_collections.cutover.bluegreen.plugins.module_utils._parameters import (
    Parameters,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._tasks import (
    parse_release,
)

Object = dict[str, t.Any]

SPECS = pathlib.Path(__file__).parents[4] / "roles/bluegreen/meta/argument_specs.yml"
HASH = "rollouts-pod-template-hash"
LABELS = {"app": "web"}
PREFIX = "bluegreen_"


def rollout(name: str = "web", **strategy: t.Any) -> Object:
    """A Rollout with this blue-green strategy, beside its active Service."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": name},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": dict(LABELS)},
            "template": {
                "metadata": {"labels": dict(LABELS)},
                "spec": {"containers": [{"name": "web", "image": "example/web:1"}]},
            },
            "strategy": {"blueGreen": {"activeService": "web", **strategy}},
        },
    }


def with_spec(**spec: t.Any) -> Object:
    """The same with fields of its spec; None takes one away."""
    found = rollout()
    complete = {**found["spec"], **spec}
    found["spec"] = {k: v for k, v in complete.items() if v is not None}
    return found


def with_metadata(**metadata: t.Any) -> Object:
    found = rollout()
    found["metadata"].update(metadata)
    return found


def service(name: str, **selector: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": selector or dict(LABELS), "ports": [{"port": 80}]},
    }


def deployment(name: str = "web") -> Object:
    spec = {k: v for k, v in rollout()["spec"].items() if k != "strategy"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": dict(LABELS)},
        "spec": {**spec, "replicas": 0, "progressDeadlineSeconds": 30},
    }


def template(
    name: str = "rate", kind: str = "AnalysisTemplate", **spec: t.Any
) -> Object:
    url = "http://{{ args.service }}/rate"
    metric = {
        "name": name,
        "interval": "1s",
        "count": 3,
        "successCondition": "result > 0.9",
        "provider": {"web": {"url": url, "jsonPath": "{$.rate}"}},
    }
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"args": [{"name": "service"}], "metrics": [metric], **spec},
    }


def measured(**asked: t.Any) -> Object:
    """A Rollout whose pre-promotion analysis is `rate` of web-preview."""
    complete = {
        "templates": [{"templateName": "rate"}],
        "args": [{"name": "service", "value": "web-preview"}],
        **asked,
    }
    return rollout(prePromotionAnalysis=complete)


def variables(*manifests: t.Any) -> Object:
    """The variables without their prefix; everything was converted."""
    result = convert(list(manifests)).to_plain()
    assert result["not_converted"] == []
    return {k[len(PREFIX) :]: v for k, v in result["variables"].items()}


def left(*manifests: t.Any) -> dict[str, Object]:
    """What was not converted, by its field."""
    result = convert(list(manifests)).to_plain()
    return {entry["field"]: entry for entry in result["not_converted"]}


def released(*manifests: t.Any) -> Parameters:
    """The parameters of the release that the variables ask for."""
    found = {k[len(PREFIX) :]: v for k, v in convert(list(manifests)).variables.items()}
    defaults = {option: rule.get("default") for option, rule in RELEASE.items()}
    return parse_release({"namespace": "default", **defaults, **found}).parameters


def refused(*manifests: t.Any, name: str = "") -> str:
    with pytest.raises(BadInput) as error:
        convert(list(manifests), name)
    return str(error.value)


# -- every shape -----------------------------------------------------------------------


def test_the_least_that_a_rollout_has() -> None:
    found = variables(rollout())
    definition = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {k: v for k, v in rollout()["spec"].items() if k not in ("strategy",)},
    }
    assert found == {
        "name": "web",
        "definition": definition,
        "active_service": "web",
    }
    assert released(rollout()) == Parameters(replicas=3, active_services=("web",))


def test_everything_that_has_a_counterpart() -> None:
    body = rollout(
        previewService="web-preview",
        previewReplicaCount=1,
        autoPromotionEnabled=False,
        autoPromotionSeconds=60,
        scaleDownDelaySeconds=600,
        scaleDownDelayRevisionLimit=2,
        abortScaleDownDelaySeconds=5,
        maxUnavailable="25%",
    )
    body["metadata"].update(namespace="default", labels={"team": "a"})
    body["spec"].update(
        minReadySeconds=7,
        progressDeadlineSeconds=90,
        progressDeadlineAbort=True,
        revisionHistoryLimit=4,
        rollbackWindow={"revisions": 3},
        paused=False,
        analysis={"successfulRunHistoryLimit": 5},
    )
    assert variables(body)["namespace"] == "default"
    assert variables(body)["definition"]["metadata"]["labels"] == {"team": "a"}
    assert released(body) == Parameters(
        replicas=3,
        active_services=("web",),
        preview_services=("web-preview",),
        preview_replica_count=1,
        auto_promotion_enabled=False,
        auto_promotion_seconds=60,
        scale_down_delay_seconds=600,
        scale_down_delay_revision_limit=2,
        abort_scale_down_delay_seconds=5,
        progress_deadline_seconds=90,
        progress_deadline_abort=True,
        min_ready_seconds=7,
        revision_history_limit=4,
        rollback_window=3,
    )


def test_argos_zero_is_never() -> None:
    found = released(rollout(scaleDownDelaySeconds=0, abortScaleDownDelaySeconds=0))
    assert found.scale_down_delay_seconds == -1
    assert found.abort_scale_down_delay_seconds == -1


def test_what_is_null_is_not_given() -> None:
    body = rollout(previewReplicaCount=None, prePromotionAnalysis=None)
    assert variables(body) == variables(rollout())


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"requiredDuringSchedulingIgnoredDuringExecution": {}},
            {"required": {}},
        ),
        (
            {"preferredDuringSchedulingIgnoredDuringExecution": {"weight": 50}},
            {"preferred": {"weight": 50}},
        ),
    ],
)
def test_anti_affinity(given: Object, expected: Object) -> None:
    assert variables(rollout(antiAffinity=given))["anti_affinity"] == expected


def test_metadata_of_pods_by_their_role() -> None:
    active = {"labels": {"role": "active"}, "annotations": {"a": "b"}}
    found = variables(
        rollout(activeMetadata=active, previewMetadata={"labels": {"role": "preview"}})
    )
    assert found["active_metadata"] == active
    assert found["preview_metadata"] == {"labels": {"role": "preview"}}


def test_services_that_are_given_become_manifests() -> None:
    live = service("web", app="web", **{HASH: "5c9f"})
    live["metadata"].update(
        uid="1", annotations={"argo-rollouts.argoproj.io/managed-by-rollouts": "web"}
    )
    live["spec"].update(clusterIP="10.0.0.7", clusterIPs=["10.0.0.7"])
    preview = service("web-preview")
    preview["spec"]["clusterIP"] = "None"
    found = variables(rollout(previewService="web-preview"), live, preview)
    assert found["active_service"] == service("web")
    assert found["preview_service"] == preview


def test_a_live_export_is_what_a_person_would_have_written() -> None:
    body = rollout()
    body["metadata"].update(
        uid="1",
        generation=4,
        resourceVersion="77",
        creationTimestamp="2026-11-23T10:00:00Z",
        managedFields=[{"manager": "kubectl"}],
        annotations={
            "kubectl.kubernetes.io/last-applied-configuration": "{}",
            "rollout.argoproj.io/revision": "9",
            "notified.notifications.argoproj.io": "{}",
        },
    )
    body["spec"]["template"]["metadata"]["creationTimestamp"] = None
    body["status"] = {"phase": "Healthy", "blueGreen": {"activeSelector": "5c9f"}}
    assert variables(body) == variables(rollout())


def test_text_lists_and_one_mapping_are_the_same() -> None:
    documents = [rollout(), service("web")]
    text = yaml.safe_dump_all(documents, sort_keys=False)
    expected = convert(documents).to_plain()
    listed = {"apiVersion": "v1", "kind": "List", "items": documents}
    for given in (text, [text], iter(documents), listed, [None, *documents]):
        assert convert(given).to_plain() == expected
    assert convert(rollout()).to_plain()["variables"]["bluegreen_name"] == "web"


def test_nothing_that_was_given_is_changed() -> None:
    given = [measured(), template(), service("web", app="web", **{HASH: "1"})]
    before = copy.deepcopy(given)
    convert(given)
    assert given == before


# -- what has no counterpart -----------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "field", "found", "instead"),
    [
        (with_spec(restartAt="2026-11-23T10:00:00Z"), "spec.restartAt", "2026", "rest"),
        (with_spec(paused=True), "spec.paused", "true", "auto_promotion_enabled"),
        (
            with_spec(analysis={"unsuccessfulRunHistoryLimit": 2}),
            "spec.analysis.unsuccessfulRunHistoryLimit",
            "2",
            "measurement_retention",
        ),
        (
            rollout(maxUnavailable=2),
            "spec.strategy.blueGreen.maxUnavailable",
            "2",
            "nothing",
        ),
        (
            rollout(previewReplicaCount=0),
            "spec.strategy.blueGreen.previewReplicaCount",
            "0",
            "bluegreen_preview_replica_count",
        ),
        (
            rollout(previewReplicaCount=9),
            "spec.strategy.blueGreen.previewReplicaCount",
            "9",
            "bluegreen_preview_replica_count",
        ),
        (
            rollout(prePromotionAnalysis={"templates": []}),
            "spec.strategy.blueGreen.prePromotionAnalysis.templates",
            "[]",
            "bluegreen_pre_promotion_analysis",
        ),
        (
            with_metadata(ownerReferences=[{"kind": "App"}]),
            "metadata.ownerReferences",
            '[{"kind":"App"}]',
            "see to it",
        ),
        (
            with_metadata(annotations={"argocd.argoproj.io/tracking-id": "shop"}),
            "metadata.annotations['argocd.argoproj.io/tracking-id']",
            "shop",
            "gitops",
        ),
        (
            with_metadata(
                labels={"argo-rollouts.argoproj.io/controller-instance-id": "b"}
            ),
            "metadata.labels['argo-rollouts.argoproj.io/controller-instance-id']",
            "b",
            "nothing",
        ),
    ],
)
def test_a_field_without_counterpart_is_said(
    body: Object, field: str, found: str, instead: str
) -> None:
    entries = left(body)
    assert list(entries) == [field]
    assert entries[field]["found"].startswith(found)
    assert instead in entries[field]["instead"]
    assert released(body)


def test_a_paused_rollout_keeps_its_gate_shut() -> None:
    body = with_spec(paused=True)
    body["spec"]["strategy"]["blueGreen"]["autoPromotionEnabled"] = True
    assert not released(body).auto_promotion_enabled


@pytest.mark.parametrize(
    ("body", "field", "hint"),
    [
        (with_spec(minReadySecond=3), "spec.minReadySecond", "minReadySeconds"),
        (rollout(autoPromotion=3), "spec.strategy.blueGreen.autoPromotion", "auto"),
        (
            with_spec(rollbackWindow={"revision": 3}),
            "spec.rollbackWindow.revision",
            "revisions",
        ),
        (
            rollout(activeMetadata={"label": {}}),
            "spec.strategy.blueGreen.activeMetadata.label",
            "labels",
        ),
        ({**rollout(), "specs": {}}, "specs", "spec"),
        (with_metadata(lables={}), "metadata.lables", "labels"),
        (
            rollout(prePromotionAnalysis={"template": [{"templateName": "rate"}]}),
            "spec.strategy.blueGreen.prePromotionAnalysis.template",
            "templates",
        ),
    ],
)
def test_an_unknown_field_is_said(body: Object, field: str, hint: str) -> None:
    entry = left(body)[field]
    assert "no field that is known" in entry["why"]
    assert hint in entry["why"]


def test_what_stands_in_an_unknown_field_is_not_shown() -> None:
    misplaced = [{"name": "PASSWORD", "value": "hunter2"}]
    entries = left(with_spec(env=misplaced, token="hunter2"))
    assert entries["spec.env"]["found"] == "a list"
    assert entries["spec.token"]["found"] == "a text"


@pytest.mark.parametrize(
    ("subscription", "instead"),
    [
        ("on-rollout-completed.slack", "after verified"),
        ("on-rollout-aborted.teams", "on abort"),
        ("on-rollout-paused.webhook", "on pause"),
        ("on-analysis-run-failed.pagerduty", "on failure"),
        ("on-something-of-ours.email", "at the stage"),
    ],
)
def test_a_subscription_becomes_the_hint_of_a_hook(
    subscription: str, instead: str
) -> None:
    key = f"notifications.argoproj.io/subscribe.{subscription}"
    entry = left(with_metadata(annotations={key: "team-a"}))[
        f"metadata.annotations['{key}']"
    ]
    assert entry["found"] == "team-a"
    assert instead in entry["instead"]
    assert subscription.partition(".")[2] in entry["instead"]


def test_argos_hash_in_the_pod_template_is_said() -> None:
    body = rollout()
    path = f"metadata.labels['{HASH}']"
    env = [{"name": "V", "valueFrom": {"fieldRef": {"fieldPath": path}}}]
    body["spec"]["template"]["spec"]["containers"][0]["env"] = env
    (entry,) = left(body).values()
    assert entry["field"].startswith("spec.template.spec.containers[0].env[0]")
    assert "cutover.bluegreen/revision-hash" in entry["why"]


# -- workloadRef -----------------------------------------------------------------------


def referring(**reference: t.Any) -> Object:
    complete = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    return with_spec(
        template=None, selector=None, workloadRef={**complete, **reference}
    )


@pytest.mark.parametrize("scale_down", ["never", "onsuccess", "progressively"])
def test_the_deployment_that_is_referred_to_is_the_definition(scale_down: str) -> None:
    given = [referring(scaleDown=scale_down), deployment()]
    (entry,) = left(*given).values()
    assert entry["field"] == "spec.workloadRef.scaleDown"
    assert entry["found"] == scale_down
    definition = convert(given).variables["bluegreen_definition"]
    expected = deployment()
    expected["spec"]["replicas"] = 3
    # Those of the Rollout hold, which has its default.
    del expected["spec"]["progressDeadlineSeconds"]
    assert definition == expected
    assert released(*given).progress_deadline_seconds == 600


@pytest.mark.parametrize(
    ("given", "instead"),
    [
        (
            [referring()],
            "give it beside the Rollout, or its name as bluegreen_workload_ref once it"
            " is the size that it is to have",
        ),
        (
            [referring(kind="ReplicaSet"), deployment()],
            "give a Deployment beside the Rollout",
        ),
    ],
)
def test_a_workload_that_is_not_there_leaves_the_definition_out(
    given: list[Object], instead: str
) -> None:
    assert left(*given)["spec.workloadRef"]["instead"] == instead
    assert "bluegreen_definition" not in convert(given).variables


# -- analyses --------------------------------------------------------------------------


def test_both_analyses_with_their_arguments() -> None:
    body = measured(dryRun=[{"metricName": "rate"}])
    body["metadata"]["labels"] = {"tier": "front"}
    body["spec"]["strategy"]["blueGreen"]["postPromotionAnalysis"] = {
        "templates": [{"templateName": "by-hash", "clusterScope": True}],
        "args": [
            {"name": "new", "valueFrom": {"podTemplateHashValue": "Latest"}},
            {
                "name": "tier",
                "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['tier']"}},
            },
        ],
        "measurementRetention": [{"metricName": ".*", "limit": 3}],
    }
    by_hash = template("by-hash", "ClusterAnalysisTemplate")
    by_hash["spec"]["args"] = [{"name": "new"}, {"name": "tier"}]
    web = by_hash["spec"]["metrics"][0]["provider"]["web"]
    web["url"] = "http://measure/{{ args.tier }}/{{args.new}}"
    found = variables(body, by_hash, template())
    assert found["pre_promotion_analysis"] == {
        "templates": ["rate"],
        "args": [{"name": "service", "value": "web-preview"}],
        "dry_run": [{"metricName": "rate"}],
    }
    asked = found["post_promotion_analysis"]
    assert asked["templates"] == [{"templateName": "by-hash", "clusterScope": True}]
    documents = read_documents(found["analysis_templates"], "analysis_templates")
    composed = compose(asked, documents, lambda _k, _n: None, found["definition"], "x")
    assert composed is not None
    assert composed["args"][1] == {"name": "tier", "value": "front"}


def test_templates_come_with_those_that_they_name_and_no_others() -> None:
    outer = template(templates=[{"templateName": "inner"}])
    outer["status"] = {}
    outer["metadata"]["uid"] = "1"
    given = [measured(), outer, template("inner"), template("other")]
    result = convert(given).to_plain()
    found = result["variables"]["bluegreen_analysis_templates"]
    assert [item["metadata"] for item in found] == [{"name": "rate"}, {"name": "inner"}]
    assert [kept["object"] for kept in result["kept"]] == ["AnalysisTemplate other"]


def test_arguments_that_decide_nothing_are_left_out_and_said() -> None:
    spare = template(args=[{"name": "service"}, {"name": "spare", "value": "1"}])
    body = measured(args=[{"name": n, "value": "v"} for n in ("service", "spare", "x")])
    entries = convert([body, spare]).to_plain()["not_converted"]
    assert [(e["field"], e["found"]) for e in entries] == [
        ("AnalysisTemplate rate: spec.args", "spare"),
        ("bluegreen_pre_promotion_analysis: args", "spare"),
        ("bluegreen_pre_promotion_analysis: args", "x"),
    ]
    (kept,) = convert([body, spare]).variables["bluegreen_analysis_templates"]
    assert kept["spec"]["args"] == [{"name": "service"}]


def test_a_field_of_the_rollout_alone_becomes_its_value() -> None:
    path = "spec.strategy.blueGreen.activeService"
    argument = {"name": "service", "valueFrom": {"fieldRef": {"fieldPath": path}}}
    given = [measured(args=[argument]), template()]
    (entry,) = left(*given).values()
    assert entry["found"] == path
    asked = convert(given).variables["bluegreen_pre_promotion_analysis"]
    assert asked["args"] == [{"name": "service", "value": "web"}]


def test_a_template_that_is_not_given_is_looked_up_at_each_release() -> None:
    (entry,) = left(measured()).values()
    assert entry["found"] == "rate"
    assert "looked up in the cluster" in entry["why"]
    assert "bluegreen_analysis_templates" not in convert(measured()).variables
    # Otherwise the built-in one would measure something else, unnoticed.
    (entry,) = left(measured(templates=[{"templateName": "pods"}])).values()
    assert "built-in" in entry["why"]


def test_labels_for_an_analysis_run_are_said() -> None:
    entries = left(measured(analysisRunMetadata={"labels": {"a": "b"}}), template())
    assert [field.rpartition(".")[2] for field in entries] == ["analysisRunMetadata"]


def test_argos_hash_in_a_query_is_said() -> None:
    found = template()
    found["spec"]["metrics"][0]["provider"] = {
        "prometheus": {
            "address": "http://{{ args.service }}",
            "query": 'errors{rollouts_pod_template_hash="1"}',
        }
    }
    (entry,) = left(measured(), found).values()
    assert entry["field"] == (
        "AnalysisTemplate rate: spec.metrics[0].provider.prometheus.query"
    )
    assert "cutover_bluegreen_revision_hash" in entry["instead"]


# -- what lies beside ------------------------------------------------------------------


def beside(kind: str, name: str = "web", **spec: t.Any) -> Object:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


@pytest.mark.parametrize(
    ("kind", "field", "instead"),
    [
        ("HorizontalPodAutoscaler", "scaleTargetRef", "name Deployment web"),
        ("ScaledObject", "scaleTargetRef", "HorizontalPodAutoscaler"),
        ("VerticalPodAutoscaler", "targetRef", "name Deployment web"),
    ],
)
def test_an_autoscaler_needs_another_target(
    kind: str, field: str, instead: str
) -> None:
    target = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "web"}
    entries = left(rollout(), beside(kind, **{field: target}))
    assert instead in entries[f"{kind} web: spec.{field}"]["instead"]


def test_a_budget_becomes_one_for_each_revision() -> None:
    given = [
        rollout(),
        beside(
            "PodDisruptionBudget", minAvailable=1, selector={"matchLabels": {**LABELS}}
        ),
    ]
    assert "delete it" in left(*given)["PodDisruptionBudget web"]["instead"]
    assert convert(given).variables["bluegreen_pdb"] == {"minAvailable": 1}
    assert released(*given).pdb == '{"minAvailable":1}'


def test_a_third_service_over_the_pods_is_declared() -> None:
    given = [rollout(), service("web-metrics"), service("db", app="db")]
    assert variables(*given)["other_services"] == ["web-metrics"]


@pytest.mark.parametrize("kind", ["Experiment", "AnalysisRun"])
def test_what_only_the_controller_carries_out_is_said(kind: str) -> None:
    assert left(rollout(), beside(kind))[f"{kind} web"]["found"] == kind


def test_what_stays_is_said() -> None:
    ingress = beside("Ingress", rules=[])
    elsewhere = {**service("web"), "metadata": {"name": "web", "namespace": "other"}}
    secret = {**beside("Secret"), "data": {"password": "aHVudGVyMg=="}}
    result = convert([rollout(), ingress, elsewhere, secret]).to_plain()
    assert not result["not_converted"]
    assert [kept["object"] for kept in result["kept"]] == [
        "Ingress web",
        "Service web of namespace other",
        "Secret web",
    ]
    assert "aHVudGVyMg" not in str(result)


def test_argos_hash_in_another_object_is_said() -> None:
    policy = beside("NetworkPolicy", podSelector={"matchLabels": {HASH: "1"}})
    (entry,) = left(rollout(), policy).values()
    assert entry["field"] == f"NetworkPolicy web: spec.podSelector.matchLabels.{HASH}"


# -- the file of variables -------------------------------------------------------------


def test_the_file_holds_the_variables_and_what_was_not_converted() -> None:
    query = "sum(a)\n/ sum(b{x='{{ args.service }}'})\n"
    found = template()
    found["spec"]["metrics"][0]["provider"] = {
        "prometheus": {"address": "http://a", "query": query}
    }
    body = measured()
    body["spec"]["restartAt"] = "2026-11-23T10:00:00Z"
    result = convert([body, found]).to_plain()

    class Loader(yaml.SafeLoader):
        """What Ansible adds to YAML."""

    Loader.add_constructor("!unsafe", lambda _loader, node: node.value)
    text = result["vars_file"]
    assert yaml.load(text, Loader) == result["variables"]
    assert "query: !unsafe |" in text
    assert text.splitlines()[1].startswith("# Not converted: spec.restartAt: 2026")


def test_every_variable_is_one_of_the_role() -> None:
    known = yaml.safe_load(SPECS.read_text())["argument_specs"]["main"]["options"]
    budget = beside(
        "PodDisruptionBudget", maxUnavailable=1, selector={"matchLabels": {**LABELS}}
    )
    body = measured()
    body["spec"]["strategy"]["blueGreen"].update(
        previewService="web-preview",
        previewReplicaCount=1,
        autoPromotionEnabled=True,
        autoPromotionSeconds=1,
        scaleDownDelaySeconds=1,
        scaleDownDelayRevisionLimit=1,
        abortScaleDownDelaySeconds=1,
        antiAffinity={"requiredDuringSchedulingIgnoredDuringExecution": {}},
        activeMetadata={"labels": {"role": "active"}},
        previewMetadata={"labels": {"role": "preview"}},
        postPromotionAnalysis=body["spec"]["strategy"]["blueGreen"][
            "prePromotionAnalysis"
        ],
    )
    body["spec"].update(
        progressDeadlineAbort=True,
        revisionHistoryLimit=1,
        rollbackWindow={"revisions": 1},
    )
    body["metadata"]["namespace"] = "default"
    given = convert([body, template(), budget, service("metrics")]).variables
    assert len(given) == 22
    assert set(given) <= set(known)


# -- refused ---------------------------------------------------------------------------


def with_strategy(strategy: t.Any) -> Object:
    return with_spec(strategy=strategy)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "a Rollout of Argo Rollouts is expected, nothing was found"),
        ([service("web")], "is expected, Service web was found"),
        (
            [rollout(), rollout("api")],
            "Rollout web, Rollout api were found; say by the",
        ),
        ([rollout(), rollout()], "Rollout web is given twice"),
        (
            [{**rollout(), "apiVersion": "apps/v1"}],
            "apiVersion argoproj.io/v1alpha1 is",
        ),
        (["rollout.yml"], "lookup('ansible.builtin.file', path)"),
        (["a: [1"], "this is not YAML (line 1"),
        ([{"password": "hunter2"}], "a mapping without kind was found"),
        ([7], "a Kubernetes object is expected, 7 was found"),
        ([{"kind": "Rollout"}], "Rollout has no metadata.name"),
        ([{**rollout(), "spec": None}], "Rollout web: spec is missing"),
        ([{**rollout(), "spec": 3}], "Rollout web: spec: a mapping is expected, 3 was"),
        ([rollout("w" * 60)], "cannot name a rollout"),
        ([with_metadata(labels=["a"])], "metadata.labels: a mapping is expected"),
        ([with_strategy({"canary": {}})], "spec.strategy.canary: it moves users share"),
        ([with_strategy(None)], "spec.strategy.blueGreen is missing"),
        ([with_strategy({})], "spec.strategy.blueGreen is missing"),
        ([rollout(activeService=None)], "blueGreen.activeService is missing"),
        ([rollout(activeService=7)], "activeService: a text is expected, 7 was found"),
        ([rollout(previewService="web")], "the preview needs a Service of its own"),
        ([rollout(autoPromotionSeconds="30")], "a whole number is expected, '30' was"),
        ([rollout(scaleDownDelaySeconds=True)], "a whole number is expected, True was"),
        ([rollout(autoPromotionEnabled="yes")], "true or false is expected, 'yes' was"),
        ([rollout(scaleDownDelaySeconds=-7)], "-7 is too low"),
        ([rollout(antiAffinity={})], "one of required and preferred"),
        (
            [
                rollout(
                    antiAffinity={
                        "preferredDuringSchedulingIgnoredDuringExecution": {
                            "weight": 200
                        }
                    }
                )
            ],
            "weight: a number from 1 to 100 is expected, 200 was found",
        ),
        ([with_spec(replicas=0)], "spec.replicas: 0 is too low"),
        ([with_spec(selector=None)], "spec.selector is missing"),
        ([with_spec(template=None)], "spec.template is missing"),
        ([with_spec(workloadRef={"name": "web"})], "are both given; keep one"),
        ([with_spec(minReadySeconds=700)], "is not above min_ready_seconds"),
        ([rollout(), service("web", **{HASH: "1"})], "Service web has no selector"),
        ([measured(templates="rate")], "templates: a list is expected, 'rate' was"),
        ([measured(templates=["rate"])], "a mapping with templateName is expected"),
        ([measured(args=[]), template()], "argument service: no value was given"),
        (
            [measured(dryRun=[{"metricName": "else"}]), template()],
            "metricName 'else' matches no metric",
        ),
    ],
)
def test_what_cannot_be_converted_is_refused_in_a_sentence(
    given: list[t.Any], said: str
) -> None:
    sentence = refused(*given)
    assert said in sentence
    assert "hunter2" not in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ({"provider": {"plugin": {"argoproj/sample": {}}}}, "'plugin'"),
        (
            {"intervall": "3s"},
            "'intervall' is no field of it (did you mean 'interval'?)",
        ),
        ({"count": None}, "interval"),
    ],
)
def test_a_metric_that_cannot_be_measured_is_named(metric: Object, said: str) -> None:
    found = template()
    found["spec"]["metrics"][0].update(metric)
    found["spec"]["args"] = []
    sentence = refused(measured(args=[]), found)
    assert "Rollout web: bluegreen_pre_promotion_analysis: template rate" in sentence
    assert "metric rate" in sentence
    assert said in sentence


def test_a_name_chooses_one_of_several() -> None:
    given = [rollout(), rollout("api")]
    result = convert(given, "api").to_plain()
    assert result["variables"]["bluegreen_name"] == "api"
    assert "another Rollout" in result["kept"][0]["why"]
    assert "Rollout db is expected, Rollout web, Rollout api was" in refused(
        *given, name="db"
    )


# -- anything at all -------------------------------------------------------------------


def places(value: t.Any, path: tuple[t.Any, ...] = ()) -> t.Iterator[tuple[t.Any, ...]]:
    """The path of every value in a structure."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in inner if isinstance(value, (dict, list)) else ():
        if isinstance(item, (dict, list)):
            yield from places(item, (*path, key))
        else:
            yield (*path, key)


def everything() -> list[Object]:
    """A document of each kind that is looked into."""
    body = measured(dryRun=[{"metricName": "rate"}])
    body["metadata"].update(
        namespace="default",
        labels={"a": "b"},
        annotations={"notifications.argoproj.io/subscribe.on-rollout-paused.x": "y"},
    )
    body["spec"]["strategy"]["blueGreen"].update(
        previewService="web-preview",
        antiAffinity={"preferredDuringSchedulingIgnoredDuringExecution": {"weight": 1}},
        activeMetadata={"labels": {"a": "b"}},
    )
    target = {"kind": "Rollout", "name": "web"}
    selector = {"matchExpressions": [{"key": "app", "operator": "Exists"}]}
    return [
        body,
        service("web"),
        template(templates=[{"templateName": "inner"}]),
        template("inner"),
        beside("HorizontalPodAutoscaler", scaleTargetRef=target),
        beside("PodDisruptionBudget", maxUnavailable=1, selector=selector),
        beside("Ingress", rules=[{"host": "a"}]),
    ]


@pytest.mark.parametrize("junk", [None, 7, [3], {"k": 1}, "{{ args.no }}"])
@pytest.mark.parametrize("build", [everything, lambda: [referring(), deployment()]])
def test_whatever_stands_anywhere_ends_in_a_result_or_a_sentence(
    build: t.Callable[[], list[Object]], junk: t.Any
) -> None:
    for place in places(build()):
        documents = build()
        holder: t.Any = documents
        for key in place[:-1]:
            holder = holder[key]
        holder[place[-1]] = junk
        with contextlib.suppress(BadInput):
            convert(documents)
