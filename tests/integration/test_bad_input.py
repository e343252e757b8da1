# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bad input: one sentence that says what to do, before the first write.

Each case is an inventory host with a namespace of its own; one playbook runs them all.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib
import re
import secrets
import typing as t

import pytest
import yaml

from ansible_collections.cutover.bluegreen.tests.integration.support import session
from ansible_collections.cutover.bluegreen.tests.integration.support.access import (
    DocumentedAccount,
    Right,
    documented_roles,
    make_account,
    rights_in,
    write_token_kubeconfig,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.analysis import (
    template,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
    Kube,
    Object,
    resource_path,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.manifests import (
    deployment,
    service,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.plain import (
    release_vars,
    run_plain,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.playbook import (
    Playbook,
    Run,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.wire import (
    Request,
    Wire,
)

APPLY = "application/apply-patch+yaml"
SESSION_LABEL = "test.cutover.bluegreen/session"
# Without these a release goes on, with a warning.
DISPENSABLE = ("events", "poddisruptionbudgets", "networkpolicies")
RIGHTS = rights_in(documented_roles()["bluegreen"]["rules"])
NEEDED = sorted(right for right in RIGHTS if right.resource not in DISPENSABLE)


@dataclasses.dataclass(frozen=True)
class Place:
    """Where one case happens."""

    kube: Kube
    namespace: str
    folder: pathlib.Path
    template: pathlib.Path

    def path(self, resource: str, name: str | None = None) -> str:
        return resource_path(resource, self.namespace, name)

    def service(self, name: str, **options: t.Any) -> None:
        self.kube.create(self.path("services"), service(name, **options))

    def patch_service(self, body: Object) -> None:
        self.kube.patch(self.path("services", "web"), body)

    def kubeconfig(self, change: t.Callable[[Object], None]) -> dict[str, str]:
        config = yaml.safe_load(self.template.read_text())
        change(config)
        path = self.folder / f"{self.namespace}.config"
        path.write_text(yaml.safe_dump(config))
        return {"K8S_AUTH_KUBECONFIG": str(path)}


Setup = t.Callable[[Place], "dict[str, str] | None"]


def with_service(place: Place) -> None:
    place.service("web")


def without(taken: Right) -> Setup:
    """Let the case's user do all that is documented for a release, but for this."""

    def setup(place: Place) -> dict[str, str]:
        place.service("web")
        rules = [
            {"apiGroups": [r.group], "resources": [r.resource], "verbs": [r.verb]}
            for r in sorted(RIGHTS - {taken})
        ]
        token = make_account(place.kube, place.namespace, "user", rules)
        path = place.folder / f"{place.namespace}.config"
        write_token_kubeconfig(path, place.template, token)
        return {"K8S_AUTH_KUBECONFIG": str(path)}

    return setup


def as_admin(place: Place) -> dict[str, str]:
    """Who may look beyond the case's namespace."""
    return {"K8S_AUTH_KUBECONFIG": str(place.template)}


@dataclasses.dataclass(frozen=True)
class Case:
    """Input that is refused; `variables` are the role's, without their prefix.

    In `says`, {namespace} is the case's own.
    """

    says: tuple[str, ...]
    variables: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    setup: Setup = with_service
    manifest: t.Mapping[str, t.Any] = dataclasses.field(
        default_factory=lambda: deployment("web")
    )


def changed(version: str = "2", **pod_spec: t.Any) -> Object:
    """Return a manifest whose pod spec is changed."""
    manifest = deployment("web", version=version)
    manifest["spec"]["template"]["spec"].update(pod_spec)
    return manifest


def with_labels(**labels: str) -> Object:
    manifest = deployment("web")
    manifest["spec"]["template"]["metadata"]["labels"] = labels
    return manifest


def other_pod(place: Place) -> None:
    place.service("web")
    container = {"name": "x", "image": "example/x"}
    metadata = {"name": "stranger", "labels": {"app": "web"}}
    body = {"metadata": metadata, "spec": {"containers": [container]}}
    place.kube.create(place.path("pods"), body)


def undeclared(place: Place) -> None:
    place.service("web")
    place.service("web-all", selector={"app": "web"})


def of_another_rollout(place: Place) -> None:
    place.service("web")
    annotations = {"cutover.bluegreen/rollout": "shop"}
    place.patch_service({"metadata": {"annotations": annotations}})


def without_selector(place: Place) -> None:
    place.service("web")
    place.patch_service({"spec": {"selector": None}})


def applied_by(manager: str) -> Setup:
    def setup(place: Place) -> None:
        body = service("web")
        place.kube.request(
            "PATCH",
            place.path("services", "web"),
            body,
            {"fieldManager": manager, "force": True},
            APPLY,
        )

    return setup


def crowded(**pod_spec: t.Any) -> Setup:
    """Run version 1 on more than half of the nodes."""

    def setup(place: Place) -> None:
        nodes = len(place.kube.list(resource_path("nodes")))
        manifest = changed(version="1", **pod_spec)
        manifest["spec"]["replicas"] = nodes // 2 + 1
        run_plain(place.kube, place.namespace, manifest)

    return setup


def running(place: Place) -> None:
    run_plain(place.kube, place.namespace)


def unreachable(place: Place) -> dict[str, str]:
    def change(config: Object) -> None:
        for cluster in config["clusters"]:
            cluster["cluster"]["server"] = "https://127.0.0.1:9"

    return place.kubeconfig(change)


def unknown_token(place: Place) -> dict[str, str]:
    def change(config: Object) -> None:
        for user in config["users"]:
            user["user"] = {"token": "nobody-knows-it"}

    return place.kubeconfig(change)


def foreign_authority(place: Place) -> dict[str, str]:
    def change(config: Object) -> None:
        for cluster in config["clusters"]:
            cluster["cluster"].pop("certificate-authority", None)
            cluster["cluster"].pop("certificate-authority-data", None)

    return place.kubeconfig(change)


def no_kubeconfig_at_all(place: Place) -> dict[str, str]:
    path = place.folder / "hello"
    path.write_text("hello\n")
    return {"K8S_AUTH_KUBECONFIG": str(path)}


def half_a_kubeconfig(place: Place) -> dict[str, str]:
    path = place.folder / "half"
    path.write_text(json.dumps({"clusters": [], "contexts": []}))
    return {"K8S_AUTH_KUBECONFIG": str(path)}


APART = {
    "podAntiAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [
            {
                "labelSelector": {"matchLabels": {"app": "web"}},
                "topologyKey": "kubernetes.io/hostname",
            }
        ]
    }
}
# A node has a port once: workers that run these tests side by side take others.
HOST_PORT = 40_000 + secrets.randbelow(10_000)
PORT = [
    {
        "name": "web",
        "image": "example/web:2",
        "ports": [{"name": "http", "containerPort": 8080, "hostPort": HOST_PORT}],
    }
]
MOUNT = {"name": "nowhere", "mountPath": "/data"}
JOB_POD = {"containers": [{"name": "a", "image": "a:1", "volumeMounts": [MOUNT]}]}
UNMOUNTED = {"job": {"spec": {"template": {"spec": JOB_POD}}}}
BOOKS = {"name": "books", "provider": UNMOUNTED}
STATEFUL = {**deployment("web"), "kind": "StatefulSet"}
TWO = yaml.safe_dump_all([deployment("web"), service("web")])


CASES = {
    # The manifest.
    "not-a-deployment": Case(
        (
            "bluegreen_definition: a manifest of apps/v1 Deployment is expected",
            "apps/v1 StatefulSet was found",
        ),
        {"definition": STATEFUL},
    ),
    "not-yaml": Case(
        ("bluegreen_definition: this is not YAML (line 2, column 7: ", "correct it"),
        {"definition": "kind: Deployment\n  spec: {\n"},
    ),
    "a-list": Case(
        ("bluegreen_definition: a manifest is expected, list was found",),
        {"definition": "- one\n- two\n"},
    ),
    "two-documents": Case(
        ("bluegreen_definition: one manifest is expected, 2 documents were found",),
        {"definition": TWO},
    ),
    "no-such-file": Case(
        (
            "bluegreen_definition: the file app/absent.yml was not found; searched",
            "/work/app/absent.yml",
        ),
        {"definition": "app/absent.yml"},
    ),
    "no-definition": Case(("bluegreen_definition",), {"definition": ""}),
    "no-active-service": Case(("bluegreen_active_service",), {"active_service": ""}),
    "labels-disagree": Case(
        (
            "bluegreen_definition: the selector of Deployment web asks for app=web",
            "its pod template has app=shop; make them agree",
        ),
        {"definition": with_labels(app="shop")},
    ),
    "another-namespace": Case(
        (
            "bluegreen_definition: Deployment web is of namespace elsewhere",
            "{namespace}",
            "change the manifest",
        ),
        {"definition": deployment("web", namespace="elsewhere")},
    ),
    "admission-refuses": Case(
        ("bluegreen_definition: ", "spec.restartPolicy", "Sometimes"),
        {"definition": changed(restartPolicy="Sometimes")},
    ),
    "admission-refuses-the-update": Case(
        ("bluegreen_definition: ", "spec.restartPolicy", "Sometimes"),
        {"definition": changed(restartPolicy="Sometimes")},
        running,
    ),
    "selector-of-the-running-one-differs": Case(
        (
            'bluegreen_definition: its selector is {"matchLabels":',
            "Deployment web has",
            "give the running one's selector",
        ),
        {"definition": deployment("web", labels={"app": "web", "tier": "front"})},
        running,
    ),
    "required-anti-affinity": Case(
        (
            "bluegreen_definition: required pod anti-affinity",
            "keeps the new revision off the nodes that run the active one",
        ),
        {"definition": changed(affinity=APART)},
        crowded(affinity=APART),
    ),
    "host-port": Case(
        (f"bluegreen_definition: host port {HOST_PORT}", "need a free node each"),
        {"definition": changed(containers=PORT)},
        crowded(containers=[{**PORT[0], "image": "example/web:1"}]),
    ),
    # The Jobs that it would run.
    "admission-refuses-the-job-of-a-hook": Case(
        ("bluegreen_hooks: hook contract: ", "volumeMounts[0].name", "nowhere"),
        {"hooks": [{"name": "contract", "at": "after verified", **UNMOUNTED}]},
    ),
    "admission-refuses-the-job-of-a-metric": Case(
        (
            "bluegreen_post_promotion_analysis: metric books: ",
            "volumeMounts[0].name",
            "nowhere",
        ),
        {
            "analysis_templates": [template("books", BOOKS)],
            "post_promotion_analysis": {"templates": [{"templateName": "books"}]},
        },
    ),
    # The Services.
    "active-service-missing": Case(
        (
            "bluegreen_active_service: Service web does not exist in namespace"
            " {namespace}; create it, or give its manifest.",
        ),
        setup=lambda place: None,
    ),
    "active-service-of-others-too": Case(
        (
            "bluegreen_active_service: Service web also selects pod stranger",
            "narrow the Service's selector",
        ),
        setup=other_pod,
    ),
    "undeclared-service": Case(
        (
            "Service web-all would send its users to the new revision before it is"
            " promoted",
            "bluegreen_active_service, bluegreen_preview_service or"
            " bluegreen_other_services",
        ),
        setup=undeclared,
    ),
    "active-is-preview": Case(
        (
            "bluegreen_preview_service: Service web is the active Service, too",
            "a Service of its own",
        ),
        {"preview_service": "web"},
    ),
    "service-of-another-rollout": Case(
        ("bluegreen_active_service: Service web belongs to the rollout shop",),
        setup=of_another_rollout,
    ),
    "service-without-selector": Case(
        ("bluegreen_active_service: Service web has no selector",),
        setup=without_selector,
    ),
    "service-selects-other-labels": Case(
        ("bluegreen_active_service: Service web selects app=shop", "app=web"),
        setup=lambda place: place.service("web", selector={"app": "shop"}),
    ),
    "service-of-a-reconciler": Case(
        (
            "bluegreen_active_service: kustomize-controller owns spec.selector of"
            " Service web",
            "bluegreen_accept_field_manager",
        ),
        setup=applied_by("kustomize-controller"),
    ),
    # Sizes and times.
    "preview-above-full": Case(
        (
            "bluegreen_preview_replica_count: 4 is above the full size of 3 pods",
            "lower it",
        ),
        {"preview_replica_count": 4},
    ),
    "steps-down": Case(
        ("bluegreen_scale_up_steps: 25% comes after 50% and is lower",),
        {"scale_up_steps": ["50%", "25%"]},
    ),
    "steps-past-the-end": Case(
        ("bluegreen_scale_up_steps: 150% is outside the range",),
        {"scale_up_steps": "50%,150%"},
    ),
    "steps-above-the-size": Case(
        ("bluegreen_scale_up_steps: 4 pods are above the size before promotion, 3",),
        {"scale_up_steps": [1, 4]},
    ),
    "steps-unparsable": Case(
        (
            "bluegreen_scale_up_steps: 'half' is neither a count nor a percentage",
            "such as 25%",
        ),
        {"scale_up_steps": ["half"]},
    ),
    "interval-below-0": Case(
        ("bluegreen_scale_up_interval_seconds: -1 is too low", "at least 0"),
        {"scale_up_interval_seconds": -1},
    ),
    "auto-promotion-below-0": Case(
        ("bluegreen_auto_promotion_seconds: -1 is too low", "at least 0"),
        {"auto_promotion_seconds": "-1"},
    ),
    "scale-down-below-never": Case(
        ("bluegreen_scale_down_delay_seconds: -2 is too low", "-1 means never"),
        {"scale_down_delay_seconds": -2},
    ),
    "abort-scale-down-below-never": Case(
        ("bluegreen_abort_scale_down_delay_seconds: -2 is too low", "-1 means never"),
        {"abort_scale_down_delay_seconds": -2},
    ),
    "min-ready-below-0": Case(
        ("bluegreen_min_ready_seconds: -1 is too low", "at least 0"),
        {"min_ready_seconds": -1},
    ),
    "not-a-number": Case(
        (
            "bluegreen_auto_promotion_seconds: 'soon' was found, a whole number is"
            " expected.",
        ),
        {"auto_promotion_seconds": "soon"},
    ),
    "not-a-choice": Case(
        ("bluegreen_cutover: 'sideways' was found, one of auto, atomic, overlap is",),
        {"cutover": "sideways"},
    ),
    "deadline-not-above-min-ready": Case(
        (
            "bluegreen_progress_deadline_seconds: 30 is not above"
            " bluegreen_min_ready_seconds (30)",
            "raise it",
        ),
        {"progress_deadline_seconds": 30, "min_ready_seconds": 30},
    ),
    # The rollout's name and place.
    "invalid-name": Case(
        ("bluegreen_name: 'Web_1' cannot name a rollout", "lower-case letters"),
        {"name": "Web_1"},
    ),
    "name-too-long": Case(("bluegreen_name: ", "at most 52"), {"name": "w" * 53}),
    "no-such-namespace": Case(
        ("namespace nowhere does not exist", "create it"),
        {"namespace": "nowhere"},
        setup=as_admin,
    ),
    "no-such-namespace-for-a-new-service": Case(
        ("namespace nowhere does not exist", "create it"),
        {"namespace": "nowhere", "active_service": service("web")},
        setup=as_admin,
    ),
    # The connection.
    "unreachable": Case(
        ("The API server at https://127.0.0.1:9 cannot be reached", "refused"),
        setup=unreachable,
    ),
    "unknown-authority": Case(
        ("cannot be reached (unable to get local issuer certificate); check ca_cert",),
        setup=foreign_authority,
    ),
    "unauthorized": Case(
        ("does not accept the credentials (401)", "check api_key"), setup=unknown_token
    ),
    "kubeconfig-that-is-none": Case(
        ("kubeconfig: ", "hello is not a kubeconfig (its structure"),
        setup=no_kubeconfig_at_all,
    ),
    "kubeconfig-that-is-empty": Case(
        ("kubeconfig: ", "half", "context"), setup=half_a_kubeconfig
    ),
    "kubeconfig-absent": Case(
        ("kubeconfig: the file /nowhere/config does not exist; name a kubeconfig",),
        setup=lambda place: {"K8S_AUTH_KUBECONFIG": "/nowhere/config"},
    ),
    "no-such-context": Case(
        ("production-east", "context"),
        setup=lambda place: {"K8S_AUTH_CONTEXT": "production-east"},
    ),
    # Permissions: each is named, also what only a later step would ask for.
    **{
        f"may-not-{right.verb}-{right.resource}": Case(
            ("(403)", f"{right.verb} on {right.resource}", "Give the user a Role"),
            setup=without(right),
        )
        for right in NEEDED
    },
}


# What the action plugin and the module do not share is reading files; what they do
# with parsed input is the same code, so the module is shown a sample of that.
SAMPLE = (
    *("not-a-deployment", "no-such-file", "steps-down", "invalid-name"),
    *("may-not-list-services", "may-not-create-deployments"),
)
BY_PATH = {
    "action": list(CASES),
    "module": [
        name
        for name, case in CASES.items()
        if name in SAMPLE
        or (case.setup != with_service and not name.startswith("may-not-"))
    ],
}


@dataclasses.dataclass(frozen=True)
class Refusals:
    """What the run on one path did, one host a case."""

    run: Run
    writes: list[Request]
    namespaces: dict[str, str]

    def message(self, case: str) -> str:
        results = [r for r in self.run.results if r.host == case]
        assert [r.status for r in results][-1] == "failed", results
        assert self.run.recap[case]["failures"] == 1
        assert self.run.recap[case]["changed"] == 0
        return str(results[-1].result["msg"])


@pytest.fixture(scope="module")
def places(
    kube: Kube,
    cluster: session.Cluster,
    session_label: str,
    account: DocumentedAccount,
    tmp_path_factory: pytest.TempPathFactory,
) -> t.Iterator[dict[str, Place]]:
    """Make a namespace for each case, by its name."""
    folder = tmp_path_factory.mktemp("bad-input")
    made = {}
    for name in CASES:
        labels = {SESSION_LABEL: session_label}
        metadata = {"generateName": "bad-", "labels": labels}
        namespace = kube.create(resource_path("namespaces"), {"metadata": metadata})
        account.bind(namespace["metadata"]["name"])
        made[name] = Place(
            kube, namespace["metadata"]["name"], folder, cluster.kubeconfig
        )
    yield made
    for place in made.values():
        kube.delete(resource_path("namespaces", name=place.namespace))


@pytest.fixture(scope="module")
def hosts(places: dict[str, Place]) -> dict[str, t.Any]:
    """Set every case up; return the inventory's hosts and their variables."""
    result = {}
    for name, case in CASES.items():
        environment = case.setup(places[name]) or {}
        release = release_vars(places[name].namespace, case.manifest)
        release |= {f"bluegreen_{k}": v for k, v in case.variables.items()}
        result[name] = {**release, "given_environment": environment}
    return result


@pytest.fixture(scope="module")
def refusals(
    cluster: session.Cluster,
    account_kubeconfig: pathlib.Path,
    collections_path: pathlib.Path,
    places: dict[str, Place],
    hosts: dict[str, t.Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> t.Iterator[t.Callable[[str], Refusals]]:
    """Return what runs every case of one path, once."""
    if cluster.audit_log is None:
        pytest.skip("counting writes needs the embedded cluster's audit log")
    play = {
        "hosts": "all",
        "connection": "local",
        "gather_facts": False,
        "strategy": "free",
        "environment": "{{ given_environment }}",
        "roles": ["cutover.bluegreen.bluegreen"],
    }
    audit_log = cluster.audit_log
    namespaces = {name: place.namespace for name, place in places.items()}
    folder = tmp_path_factory.mktemp("runs")
    playbook = Playbook(folder, account_kubeconfig, collections_path)

    @functools.cache
    def of(path: str) -> Refusals:
        chosen = {name: hosts[name] for name in BY_PATH[path]}
        wire = Wire(audit_log, None)
        inventory = {"all": {"hosts": chosen}}
        run = playbook(play, inventory=inventory, args=["--forks=10"], path=path)
        return Refusals(run, wire.writes, namespaces)

    yield of
    playbook.end()


@pytest.mark.parametrize(
    ("path", "case"),
    [(path, case) for path, cases in BY_PATH.items() for case in cases],
)
def test_is_refused_in_one_sentence_before_any_write(
    refusals: t.Callable[[str], Refusals], path: str, case: str
) -> None:
    refused = refusals(path)
    message = refused.message(case)
    namespace = refused.namespaces[case]
    for part in CASES[case].says:
        assert part.replace("{namespace}", namespace) in message
    assert "\n" not in message
    assert message.endswith(".")
    assert len(message) < 1000
    assert [w for w in refused.writes if w.namespace == namespace] == []


def test_nobody_sees_a_traceback(
    refusals: t.Callable[[str], Refusals], path: str
) -> None:
    run = refusals(path).run
    assert run.rc != 0
    for text in (run.stdout, run.stderr):
        assert not re.search(r"traceback", text, re.IGNORECASE)
    for result in run.results:
        assert "Traceback" not in json.dumps(result.result)


ACCEPTED: dict[str, tuple[str, dict[str, t.Any]]] = {
    "one-off": ("kubectl", {}),
    "accepted": ("argocd-controller", {"accept_field_manager": "argocd-controller"}),
}


def test_a_manager_that_will_not_put_its_selector_back_is_no_obstacle(
    kube: Kube,
    cluster: session.Cluster,
    playbook: Playbook,
    make_namespace: t.Callable[[], str],
    tmp_path: pathlib.Path,
) -> None:
    chosen = {}
    for name, (manager, options) in ACCEPTED.items():
        place = Place(kube, make_namespace(), tmp_path, cluster.kubeconfig)
        applied_by(manager)(place)
        chosen[name] = release_vars(place.namespace, deployment("web"), **options)
    run = playbook(
        "cutover.bluegreen.deploy",
        {"bluegreen_hosts": "all"},
        inventory={"all": {"hosts": chosen}},
    ).check()
    assert {r.host for r in run.of("bluegreen_rollout")} == set(ACCEPTED)
