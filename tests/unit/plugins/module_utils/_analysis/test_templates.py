# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Templates read, and composed into the analysis that is asked for."""

from __future__ import annotations

import copy
import json
import pathlib
import typing as t

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis import (
    parsing,
    templates,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._errors import BadInput

FOLDER = pathlib.Path(__file__).parent / "templates"
HASHES = {"Stable": "5555555555", "Latest": "1111111111"}


def not_in_cluster(kind: str, name: str) -> None:
    return None


def template(
    name: str, *metrics: str, kind: str = "AnalysisTemplate", **spec: t.Any
) -> dict[str, t.Any]:
    """A template of these metrics, each of which uses the declared arguments."""
    names = [a["name"] for a in spec.get("args", [])]
    url = "http://web/" + "/".join(f"{{{{ args.{n} }}}}" for n in names)
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {
            "metrics": [
                {"name": m, "provider": {"web": {"url": url}}} for m in metrics
            ],
            **spec,
        },
    }


def compose(
    asked: object,
    *documents: t.Any,
    from_cluster: templates.FromCluster = not_in_cluster,
    fields: t.Mapping[str, t.Any] | None = None,
    gate: bool = True,
) -> dict[str, t.Any] | None:
    read = templates.read_documents(list(documents), "given")
    return templates.compose(asked, read, from_cluster, fields or {}, "asked", gate)


def refusal(asked: object, *documents: t.Any, **more: t.Any) -> list[str]:
    with pytest.raises(BadInput) as error:
        compose(asked, *documents, **more)
    return str(error.value).split("\n")


def names(composed: dict[str, t.Any] | None) -> list[str]:
    assert composed is not None
    return [m["name"] for m in composed["metrics"]]


# -- what people have: equivalents of Argo Rollouts' public examples ------------------


@pytest.mark.parametrize(
    ("file", "asked", "metrics"),
    [
        ("cluster_job", [{"templateName": "smoke", "clusterScope": True}], ["smoke"]),
        ("job_with_its_own_secret", "browser", ["browser-suite"]),
        ("rollout_secret_and_web", "told-by-web", ["told"]),
        (
            "several_and_nested",
            {"templates": ["bad-share", "good-share"], "args": {"service": "shop"}},
            ["bad-share", "good-share"],
        ),
        (
            "several_and_nested",
            {"templates": ["shares"], "args": {"service": "shop"}},
            ["good-share", "bad-share"],
        ),
        (
            "all_kinds_of_arguments",
            {
                "templates": [{"templateName": "arguments"}],
                "args": [
                    {"name": "service", "value": "shop"},
                    {"name": "before", "valueFrom": {"podTemplateHashValue": "Stable"}},
                    {"name": "after", "valueFrom": {"podTemplateHashValue": "Latest"}},
                    {
                        "name": "zone",
                        "valueFrom": {
                            "fieldRef": {"fieldPath": "metadata.labels['zone']"}
                        },
                    },
                ],
            },
            ["compared", "newcomer"],
        ),
        ("limits", "limits", ["in-a-row", "undecided"]),
        (
            "measuring_services",
            {"templates": ["services"], "args": {"service": "shop"}},
            ["datadog", "new-relic", "wavefront", "graphite", "influx", "skywalking"]
            + ["cloud-watch", "kayenta"],
        ),
    ],
)
def test_templates_of_argo_rollouts_are_taken_as_they_are(
    file: str, asked: object, metrics: list[str]
) -> None:
    text = (FOLDER / f"{file}.manifests").read_text(encoding="utf-8")
    fields = {"metadata": {"labels": {"zone": "north"}}}
    composed = compose(asked, text, fields=fields)
    assert names(composed) == metrics
    assert composed is not None
    # It is kept in the cluster as JSON, and must mean the same ever after.
    kept = json.loads(json.dumps(composed, sort_keys=True))
    assert kept == composed == compose(asked, text, fields=fields)
    spec = parsing.parse(kept, parsing.values_of(kept, HASHES))
    assert [m.name for m in spec.metrics] == metrics


def test_an_endless_template_cannot_hold_a_gate() -> None:
    text = (FOLDER / "endless_job.manifests").read_text(encoding="utf-8")
    assert names(compose("coin", text, gate=False)) == ["coin"]
    assert refusal("coin", text) == [
        "asked: template coin, metric coin: count: there is an interval without a"
        " count, so the metric would never end and the release wait for ever; give the"
        " number of measurements."
    ]


def test_every_file_of_the_folder_is_composed_by_a_test() -> None:
    source = pathlib.Path(__file__).read_text(encoding="utf-8")
    files = sorted(file.stem for file in FOLDER.glob("*.manifests"))
    assert len(files) >= 8
    assert [file for file in files if f'"{file}' not in source] == []


def test_what_a_full_example_is_composed_to() -> None:
    text = (FOLDER / "all_kinds_of_arguments.manifests").read_text(encoding="utf-8")
    composed = compose(
        {
            "templates": ["arguments"],
            "args": {
                "service": "shop",
                "zone": {"valueFrom": {"fieldRef": {"fieldPath": "spec.zone"}}},
                "before": {"valueFrom": {"podTemplateHashValue": "Stable"}},
                "after": 7,
                "address": "http://other.example",
            },
            "dry_run": ["compared"],
            "measurement_retention": [{"metricName": "newcomer", "limit": 3}],
        },
        text,
        fields={"spec": {"zone": "north"}},
    )
    assert composed is not None
    assert composed["args"] == [
        {"name": "service", "value": "shop"},
        {"name": "before", "valueFrom": {"podTemplateHashValue": "Stable"}},
        {"name": "after", "value": "7"},
        {"name": "zone", "value": "north"},
        {"name": "address", "value": "http://other.example"},
        {
            "name": "token",
            "valueFrom": {"secretKeyRef": {"name": "measure", "key": "token"}},
        },
    ]
    assert composed["dryRun"] == [{"metricName": "compared"}, {"metricName": "new.*"}]
    assert composed["measurementRetention"] == [
        {"metricName": "newcomer", "limit": 3},
        {"metricName": "compared", "limit": 25},
    ]


# -- documents ------------------------------------------------------------------------


def test_mappings_and_texts_of_several_documents_are_read() -> None:
    text = yaml.safe_dump_all([template("b", "b"), None, template("c", "c")])
    read = templates.read_documents([template("a", "a"), text, "", None], "given")
    assert [str(r.reference) for r in read] == [
        "AnalysisTemplate a",
        "AnalysisTemplate b",
        "AnalysisTemplate c",
    ]


@pytest.mark.parametrize("given_", [None, "", [], [None], [""]])
def test_nothing_given_is_no_template(given_: object) -> None:
    assert templates.read_documents(given_, "given") == ()


def test_one_item_needs_no_list() -> None:
    assert len(templates.read_documents(template("a", "a"), "given")) == 1
    assert len(templates.read_documents(yaml.safe_dump(template("a")), "given")) == 1


def test_objects_beside_a_template_are_left_alone_and_others_are_not() -> None:
    rollout = {"kind": "Rollout", "metadata": {"name": "shop"}}
    beside = yaml.safe_dump_all([rollout, template("a", "a")])
    assert len(templates.read_documents([beside], "given")) == 1
    with pytest.raises(BadInput) as error:
        templates.read_documents([yaml.safe_dump(rollout), beside], "given")
    assert str(error.value) == (
        "given[0]: an AnalysisTemplate or a ClusterAnalysisTemplate is expected,"
        " 'Rollout' was found."
    )


@pytest.mark.parametrize(
    ("item", "sentence"),
    [
        (
            "templates/error-rate.yml",
            "given[0]: an AnalysisTemplate or a ClusterAnalysisTemplate is expected,"
            " 'templates/error-rate.yml' was found.",
        ),
        (
            "a: [",
            "given[0]: this is not YAML (line 1, column 5: expected the node content,"
            " but found '<stream end>'); correct it.",
        ),
        (
            "day: 2026-13-01",
            "given[0]: this is not YAML (month must be in 1..12); correct it.",
        ),
        (
            "---\n# nothing\n",
            "given[0]: there is nothing in it; give an AnalysisTemplate, or remove it.",
        ),
        (
            f"{yaml.safe_dump(template('a'))}---\nmetrics: []",
            "given[0]: an AnalysisTemplate or a ClusterAnalysisTemplate is expected,"
            " {'metrics': []} was found.",
        ),
        (
            5,
            "given[0]: an AnalysisTemplate or a ClusterAnalysisTemplate is expected, 5"
            " was found.",
        ),
        (
            {**template("a"), "metadata": {}},
            "given[0]: AnalysisTemplate: metadata.name is None; give it a name of"
            " lower-case letters, digits, hyphens and dots.",
        ),
        (
            {**template("a"), "metadata": {"name": "../a"}},
            "given[0]: AnalysisTemplate: metadata.name is '../a'; give it a name of"
            " lower-case letters, digits, hyphens and dots.",
        ),
        (
            {**template("a"), "apiVersion": "argoproj.io/v1"},
            "given[0]: AnalysisTemplate a: apiVersion argoproj.io/v1alpha1 is expected,"
            " 'argoproj.io/v1' was found.",
        ),
        (
            {**template("a"), "metrics": []},
            "given[0]: AnalysisTemplate a: 'metrics' is no field of it; known are"
            " apiVersion, kind, metadata, spec, status.",
        ),
        (
            {**template("a"), "spec": None},
            "given[0]: AnalysisTemplate a: spec is missing or is not a mapping; give"
            " one.",
        ),
        (
            {**template("a"), "spec": {"metrics": float("inf")}},
            "given[0]: spec.metrics: inf is not plain data; give text, a finite number,"
            " true, false, a list or a mapping.",
        ),
    ],
)
def test_what_is_no_template_is_refused_in_one_sentence(
    item: object, sentence: str
) -> None:
    with pytest.raises(BadInput) as error:
        templates.read_documents([item], "given")
    assert str(error.value) == sentence


def test_every_bad_item_is_said_at_once() -> None:
    with pytest.raises(BadInput) as error:
        templates.read_documents([5, "a: [", template("a"), template("a")], "given")
    lines = str(error.value).split("\n")
    assert [line.split(":")[0] for line in lines] == ["given[0]", "given[1]", "given"]
    assert lines[2] == "given: AnalysisTemplate a is given twice; keep one."


def test_a_namespaced_and_a_cluster_template_may_share_a_name() -> None:
    both = [template("a", "x"), template("a", "y", kind="ClusterAnalysisTemplate")]
    asked = [{"templateName": "a", "clusterScope": c} for c in (False, True)]
    assert names(compose(asked, *both)) == ["x", "y"]
    assert names(compose("a", *both)) == ["x"]


# -- what is asked --------------------------------------------------------------------


@pytest.mark.parametrize(
    "asked",
    [None, "", " ", [], {}, "{}", "---\n", {"templates": []}, {"templates": None}]
    + [{"templates": ""}, {"templates": [], "args": {"a": 1}}],
)
def test_nothing_asked_is_no_analysis(asked: object) -> None:
    assert compose(asked) is None


@pytest.mark.parametrize(
    "asked",
    [
        "a",
        " a ",
        ["a"],
        "[a]",
        "- a\n",
        "- templateName: a",
        {"templates": "a"},
        {"templates": ["a", "a"]},
        {"templates": [{"templateName": "a"}]},
        {"templates": [{"templateName": "a", "clusterScope": False}]},
        "templates:\n- templateName: a\n",
        {"templates": ["a"], "args": None, "dryRun": None, "dry_run": None}
        | {"measurementRetention": []},
    ],
)
def test_a_template_is_asked_for_in_many_ways(asked: t.Any) -> None:
    if isinstance(asked, dict):
        asked.pop("dry_run", None)
    assert names(compose(asked, template("a", "x"))) == ["x"]


@pytest.mark.parametrize(
    "args",
    [
        {"a": "1", "b": True},
        [{"name": "a", "value": 1}, {"name": "b", "value": "true"}],
    ],
)
def test_arguments_are_a_mapping_or_argo_rollouts_list(args: object) -> None:
    given_ = template("t", "x", args=[{"name": "a"}, {"name": "b"}])
    composed = compose({"templates": ["t"], "args": args}, given_)
    assert composed is not None
    assert composed["args"] == [
        {"name": "a", "value": "1"},
        {"name": "b", "value": "true"},
    ]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (
            5,
            "asked: a template's name, a list of names, or a mapping with templates is"
            " expected, 5 was found.",
        ),
        (
            {"args": {}},
            "asked: templates is missing; name the templates to measure by.",
        ),
        (
            {"templates": ["a"], "dryrun": ["x"]},
            "asked: 'dryrun' is no field of it (did you mean 'dryRun'?).",
        ),
        (
            {"templates": ["a"], "dryRun": [], "dry_run": []},
            "asked: dry_run and dryRun are both given; keep one.",
        ),
        (
            {"templates": {"a": 1}},
            "asked: templates: a list is expected, {'a': 1} was found.",
        ),
        (
            {"templates": [5, "a"]},
            "asked: templates[0]: a template's name, or a mapping with templateName and"
            " clusterScope, is expected, 5 was found.",
        ),
        (
            {"templates": [{"templateName": "a", "clusterScoped": True}]},
            "asked: templates[0]: 'clusterScoped' is no field of it (did you mean"
            " 'clusterScope'?).",
        ),
        (
            {"templates": [{"templateName": "a", "clusterScope": "no"}, "a"]},
            "asked: templates[0]: clusterScope is 'no'; write true or false.",
        ),
        (
            ["A b", "a"],
            "asked: templates[0]: 'A b' cannot name a template; use lower-case letters,"
            " digits, hyphens and dots.",
        ),
        (
            {"templates": ["a"], "args": "x"},
            "asked: args: a list is expected, 'x' was found.",
        ),
        (
            {"templates": ["a"], "args": ["x"]},
            "asked: args[0]: a mapping with a name is expected, 'x' was found.",
        ),
        (
            {"templates": ["a"], "args": {"x": 1}},
            "asked: args: no template declares the argument x; declared are none.",
        ),
        (
            {"templates": ["a"], "dry_run": ["other"]},
            "asked: dryRun[0]: metricName 'other' matches no metric; there are x.",
        ),
        (
            {"templates": ["a"], "measurement_retention": [{"metricName": "x"}]},
            "asked: measurementRetention: 'x': limit: None is no number of"
            " measurements; give a whole number of at least 1, or 0 for the default.",
        ),
        (
            "templates: [a",
            "asked: this is not YAML (line 1, column 14: expected ',' or ']', but got"
            " '<stream end>'); correct it.",
        ),
        (
            "- a\n---\n- a\n",
            "asked: one document is expected, 2 were found.",
        ),
        (
            {"templates": ["a"], True: 1},
            "asked: the key True is not text; put it in quotes.",
        ),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_sentence(
    asked: object, sentence: str
) -> None:
    assert sentence in refusal(asked, template("a", "x"))


def test_a_template_that_is_not_there_is_named() -> None:
    given_ = [
        template("error-rate", "x"),
        template("all", kind="ClusterAnalysisTemplate"),
    ]
    assert refusal(["error-rates", "all", "zebra"], *given_) == [
        "asked: AnalysisTemplate error-rates was found neither among the templates that"
        " were given nor in the cluster (did you mean 'error-rate'?); give it, or"
        " correct the name.",
        "asked: AnalysisTemplate all was found neither among the templates that were"
        " given nor in the cluster (but ClusterAnalysisTemplate all was given: write"
        " {templateName: all, clusterScope: true}); give it, or correct the name.",
        "asked: AnalysisTemplate zebra was found neither among the templates that were"
        " given nor in the cluster; give it, or correct the name.",
    ]


# -- the built-in template ------------------------------------------------------------


def test_the_built_in_template_asks_for_nothing_but_the_pods() -> None:
    composed = compose("pods")
    assert composed is not None
    (metric,) = parsing.parse(composed, {}).metrics
    assert (metric.provider, metric.config) == ("pods", {})
    assert (metric.interval, metric.count, metric.failure_limit) == (5.0, 6, 0)


def test_a_template_of_the_user_beats_the_built_in_one() -> None:
    assert names(compose("pods", template("pods", "mine"))) == ["mine"]


def test_what_is_composed_is_never_the_built_in_template_itself() -> None:
    before = copy.deepcopy(templates.PODS)
    composed = compose("pods")
    assert composed is not None
    composed["metrics"][0]["provider"]["pods"]["selector"] = "changed"
    assert before == templates.PODS


# -- templates in the cluster ---------------------------------------------------------


def test_a_template_is_looked_up_in_the_cluster_only_where_none_was_given() -> None:
    asked_for = []

    def cluster(kind: str, name: str) -> dict[str, t.Any]:
        asked_for.append((kind, name))
        return template(name, f"{name}-there", kind=kind)

    asked = ["here", "there", {"templateName": "all", "clusterScope": True}, "pods"]
    composed = compose(asked, template("here", "here"), from_cluster=cluster)
    assert names(composed) == ["here", "there-there", "all-there", "pods"]
    assert asked_for == [
        ("AnalysisTemplate", "there"),
        ("ClusterAnalysisTemplate", "all"),
    ]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({}, "asked: AnalysisTemplate a in the cluster: it has no spec; give it one."),
        (
            {"spec": {"x": float("nan")}},
            "asked: AnalysisTemplate a in the cluster: x: nan is not plain data; give"
            " text, a finite number, true, false, a list or a mapping.",
        ),
    ],
)
def test_what_the_cluster_has_is_read_with_the_same_care(
    body: dict[str, t.Any], sentence: str
) -> None:
    assert refusal("a", from_cluster=lambda kind, name: body) == [sentence]


# -- merging --------------------------------------------------------------------------


def test_nested_templates_are_merged_once_in_the_order_of_reading() -> None:
    given_ = [
        template(
            "top", "top", templates=[{"templateName": n} for n in ("left", "right")]
        ),
        template("left", "left", templates=[{"templateName": "bottom"}]),
        template("right", "right", templates=[{"templateName": "bottom"}]),
        template("bottom", "bottom", templates=[{"templateName": "top"}]),
    ]
    composed = compose(["top", "bottom"], *given_)
    assert names(composed) == ["top", "left", "bottom", "right"]
    assert composed is not None
    assert [m["_template"] for m in composed["metrics"]] == names(composed)


def test_a_long_chain_of_templates_is_merged() -> None:
    chain = [
        template(f"t{i}", f"m{i}", templates=[{"templateName": f"t{i + 1}"}])
        for i in range(1500)
    ]
    assert len(names(compose("t0", *chain, template("t1500")))) == 1500


def test_a_metric_of_two_templates_is_refused_by_both_names() -> None:
    assert refusal(["a", "b"], template("a", "x"), template("b", "x")) == [
        "asked: template b, metric x: the name is also that of template a, metric x;"
        " rename one of them."
    ]


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ({"value": "1"}, {"value": "1"}, True),
        ({"value": "1"}, {}, True),
        ({}, {"value": "1"}, True),
        ({"value": "1"}, {"value": "2"}, False),
        ({"value": "1"}, {"valueFrom": {"podTemplateHashValue": "Stable"}}, False),
    ],
)
def test_an_argument_of_two_templates_has_one_default(
    first: dict[str, t.Any], second: dict[str, t.Any], same: bool
) -> None:
    given_ = [
        template("t", "x", args=[{"name": "a", **first}]),
        template("u", "y", args=[{"name": "a", **second}]),
    ]
    if same:
        composed = compose(["t", "u"], *given_)
        assert composed is not None
        assert composed["args"] == [{"name": "a", "value": "1"}]
    else:
        assert refusal(["t", "u"], *given_) == [
            "asked: template u: argument a has another default than in another"
            " template; make them the same, or rename one."
        ]


@pytest.mark.parametrize(
    ("default", "given_", "kept"),
    [
        ({"value": "1"}, {}, {"value": "1"}),
        ({"value": "1"}, {"a": None}, {"value": "1"}),
        ({"value": "1"}, {"a": "2"}, {"value": "2"}),
        ({"value": "1"}, {"a": ""}, {"value": ""}),
        ({"valueFrom": {"podTemplateHashValue": "Stable"}}, {"a": "2"}, {"value": "2"}),
        (
            {"value": "1"},
            {"a": {"valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}},
            {"valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        ),
    ],
)
def test_a_value_that_is_given_beats_the_default(
    default: dict[str, t.Any], given_: dict[str, t.Any], kept: dict[str, t.Any]
) -> None:
    composed = compose(
        {"templates": ["t"], "args": given_},
        template("t", "x", args=[{"name": "a", **default}]),
    )
    assert composed is not None
    assert composed["args"] == [{"name": "a", **kept}]


def test_an_argument_without_any_value_is_refused() -> None:
    assert refusal("t", template("t", "x", args=[{"name": "a"}])) == [
        "asked: argument a: no value was given, and its template has no default; give"
        " it below args."
    ]


def test_an_argument_that_no_template_declares_is_refused() -> None:
    given_ = template("t", "x", args=[{"name": "service", "value": "1"}])
    assert refusal({"templates": ["t"], "args": {"servce": 1}}, given_) == [
        "asked: args: no template declares the argument servce (did you mean"
        " 'service'?); declared are service."
    ]


def test_a_field_that_the_rollout_lacks_is_refused() -> None:
    source = {"valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['zone']"}}}
    given_ = template("t", "x", args=[{"name": "zone", **source}])
    assert refusal("t", given_, fields={"metadata": {"labels": {}}}) == [
        "asked: argument zone: fieldPath \"metadata.labels['zone']\" is not there:"
        " nothing was found at metadata.labels['zone']; name a field of the rollout"
        " that holds text, a number, true or false."
    ]


LOST = (
    "asked: the argument service is declared, but no {{ args.service }} is left in any"
    " metric: Ansible has probably templated it away, with a variable called args for"
    " example; give the template by file path, or mark its text !unsafe; if nothing"
    " needs the argument, remove it."
)


def templated_away() -> dict[str, t.Any]:
    given_ = template("t", "x")
    given_["spec"]["args"] = [{"name": "service", "value": "shop"}]
    return given_


def test_a_placeholder_that_ansible_has_templated_away_is_noticed() -> None:
    assert refusal("t", templated_away()) == [LOST]


def test_a_placeholder_that_another_template_still_has_is_enough() -> None:
    other = template("u", "y", args=[{"name": "service"}])
    assert names(compose(["t", "u"], templated_away(), other)) == ["x", "y"]


def test_in_the_cluster_nothing_was_templated_away() -> None:
    composed = compose("t", from_cluster=lambda kind, name: templated_away())
    assert names(composed) == ["x"]


def test_an_unknown_placeholder_is_refused() -> None:
    given_ = template("t", "x")
    given_["spec"]["metrics"][0]["provider"]["web"]["url"] = "http://{{ args.host }}"
    (sentence,) = refusal("t", given_)
    assert "template t, metric x: the placeholder '{{ args.host }}'" in sentence


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (
            {"metric": []},
            "asked: template t: 'metric' is no field of it (did you mean 'metrics'?).",
        ),
        (
            {"metrics": {"x": 1}},
            "asked: template t: metrics: a list is expected, {'x': 1} was found.",
        ),
        (
            {"metrics": ["x"]},
            "asked: template t: metrics[0]: a metric is expected, 'x' was found.",
        ),
        (
            {"metrics": [{"name": "x", "_template": "other"}]},
            "asked: template t: metrics[0]: a metric is expected, the field _template"
            " was found.",
        ),
        (
            {"args": [{"name": ""}]},
            "asked: template t: args[0]: '' cannot name an argument; use neither spaces"
            " nor braces.",
        ),
        (
            {"args": [{"name": "a", "value": []}]},
            "asked: template t: args[0] (a): value: text, a number, true or false is"
            " expected, [] was found.",
        ),
        (
            {"templates": [{"name": "u"}]},
            "asked: template t: templates[0]: None cannot name a template; use"
            " lower-case letters, digits, hyphens and dots.",
        ),
    ],
)
def test_what_is_wrong_with_a_template_is_said_with_its_name(
    spec: dict[str, t.Any], sentence: str
) -> None:
    assert sentence in refusal("t", template("t", "x", **spec))


def test_rules_of_the_analysis_and_of_templates_are_refused_if_they_are_the_same() -> (
    None
):
    given_ = template("t", "x", dryRun=[{"metricName": "x"}])
    assert refusal({"templates": ["t"], "dry_run": ["x"]}, given_) == [
        "asked: dryRun[1]: there are two rules for 'x'; keep one."
    ]


def test_everything_that_is_wrong_is_said_at_once_and_once() -> None:
    given_ = template("t", "x", "x", args=[{"name": "a"}])
    lines = refusal({"templates": ["t"], "args": {"b": 1}, "typo": 2}, given_)
    assert [line.removeprefix("asked: ").split(":")[0] for line in lines] == [
        "'typo' is no field of it; known are templates, args, dryRun,"
        " measurementRetention.",
        "args",
        "argument a",
        "template t, metric x",
    ]


def test_no_value_of_a_secret_can_come_in() -> None:
    source = {"valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "value": "hush"}}}
    lines = refusal("t", template("t", "x", args=[{"name": "a", **source}]))
    assert "a mapping with the texts name and key is expected" in lines[0]


# -- hostile input --------------------------------------------------------------------

_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=6),
    st.dates(),
    st.sampled_from(
        ["t", "pods", "a", "{{ args.a }}", "- t", "{templates: [t]}", "5s"]
    ),
)
_KEYS = st.sampled_from(
    ["apiVersion", "kind", "metadata", "name", "spec", "metrics", "args", "dryRun"]
    + ["measurementRetention", "templates", "templateName", "clusterScope", "value"]
    + ["valueFrom", "fieldRef", "fieldPath", "provider", "pods", "web", "metricName"]
)
_STRUCTURES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(_KEYS, st.booleans()), inner, max_size=4),
        st.dictionaries(_KEYS, inner, max_size=4),
    ),
    max_leaves=10,
)


@settings(deadline=None)
@given(st.one_of(_STRUCTURES, st.dictionaries(_KEYS, _STRUCTURES)), _STRUCTURES)
def test_no_input_is_more_than_refused(asked: object, spec: object) -> None:
    try:
        composed = compose(asked, {**template("t", "x"), "spec": spec})
    except BadInput as error:
        assert str(error)
    else:
        assert composed == json.loads(json.dumps(composed))


@settings(deadline=None)
@given(st.dictionaries(_KEYS, _STRUCTURES), _STRUCTURES)
def test_no_template_is_more_than_refused(spec: dict[str, t.Any], there: t.Any) -> None:
    try:
        composed = compose(
            ["t", "other"],
            {**template("t", "x"), "spec": spec},
            from_cluster=lambda kind, name: {"spec": there},
        )
    except BadInput as error:
        assert str(error)
    else:
        assert composed is not None
        assert parsing.problems_of(composed, parsing.values_of(composed, HASHES)) == []


@settings(deadline=None)
@given(st.one_of(st.text(), st.binary(), _STRUCTURES, st.lists(_STRUCTURES)))
def test_no_document_is_more_than_refused(item: object) -> None:
    try:
        templates.read_documents(item, "given")
    except BadInput as error:
        assert str(error)


@settings(deadline=None)
@given(st.text(alphabet="-: []{}&*!'\"\n\tabc0123|>%@,?#e.", max_size=30))
def test_no_text_is_more_than_refused(text: str) -> None:
    try:
        templates.read_documents(text, "given")
        compose(text)
    except BadInput as error:
        assert str(error)
