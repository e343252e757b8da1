# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Roles of docs/permissions.md: nothing is missing in them, nothing is too much.

Each test gives an account some of them, lets it do what they are for, and reads in the
audit log what it asked for.
"""

from __future__ import annotations

import base64
import pathlib
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.tests.integration.support import session
from ansible_collections.cutover.bluegreen.tests.integration.support.access import (
    ClusterRights,
    Right,
    bind,
    documented_roles,
    make_account,
    rights_in,
    rules_of,
    write_token_kubeconfig,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.analysis import (
    PRE,
    as_file,
    job_metric,
    template,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.argo import (
    ARGO,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.gateway import (
    FIRST,
    ROUTE,
    SECOND,
    Gateway,
    Route,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
    Kube,
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
    Handle,
    Playbook,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.release import (
    ACTIVE,
    NAME,
    PREVIEW,
    Release,
    message,
    rollout_of,
    says,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.rollouts import (
    run_argo,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.waiting import (
    eventually,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.watcher import (
    REVISION_LABEL,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.wire import (
    Request,
    Wire,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.http_server import (
    HttpServer,
)

# Longer than any test.
LONG = 600
ACCOUNT = "releaser"
ROLES = documented_roles()
# What every authenticated user may ask.
REVIEW = "selfsubjectrulesreviews"


class User:
    """An account with some of the documented Roles, and what it asked for."""

    def __init__(
        self,
        kube: Kube,
        namespace: str,
        roles: t.Sequence[str],
        cluster_rights: ClusterRights,
        wire: Wire,
    ) -> None:
        self._name = f"system:serviceaccount:{namespace}:{ACCOUNT}"
        self._roles = roles
        self._wire = wire
        self.token = make_account(kube, namespace, ACCOUNT)
        for name in roles:
            if ROLES[name]["kind"] == "Role":
                kube.create(resource_path("roles", namespace), ROLES[name])
                bind(kube, namespace, ACCOUNT, namespace, "Role", name)
            else:
                # What is not in a namespace is not this test's alone.
                own = f"{namespace}-{name}"
                cluster_rights.make(own, ROLES[name]["rules"])
                cluster_rights.give(own, ACCOUNT, namespace)

    def _requests(self) -> list[Request]:
        return [
            r
            for r in self._wire.requests
            if r.user == self._name and r.resource != REVIEW
        ]

    def asked(self) -> set[Right]:
        """What was asked for; fail the test if any of it was refused."""
        requests = self._requests()
        assert requests, "nothing was asked as this user"
        refused = [str(r) for r in requests if r.code == 403]
        assert refused == []
        return self.tried()

    def tried(self) -> set[Right]:
        """What was asked for, whatever came of it."""
        return {right_of(r) for r in self._requests()}

    def assert_needs_all(self, *roles: str, watches: bool = True) -> None:
        """Nothing was refused, and every verb of these Roles was used.

        Without `watches`, one that is listed need not be watched: who waits lists
        first, and watches only for what has not happened by then.
        """
        granted = rights_in(rules_of(ROLES[name] for name in roles or self._roles))
        asked = self.asked()
        if not watches:
            asked |= {r._replace(verb="watch") for r in asked if r.verb == "list"}
        assert sorted(map(str, granted - asked)) == []


def right_of(request: Request) -> Right:
    parts = (request.resource, request.subresource)
    return Right(request.verb, "/".join(filter(None, parts)), request.group)


@pytest.fixture
def cluster_rights(kube: Kube) -> t.Iterator[ClusterRights]:
    made = ClusterRights(kube)
    yield made
    made.remove()


@pytest.fixture
def user(
    kube: Kube,
    namespace: str,
    cluster_rights: ClusterRights,
    wire: t.Callable[..., Wire],
) -> t.Callable[..., User]:
    """Make the user that has these Roles."""

    def make(*roles: str) -> User:
        # Not by namespace: nodes and ClusterAnalysisTemplates are in none.
        return User(kube, namespace, roles, cluster_rights, wire(None))

    return make


@pytest.fixture
def playbook_of(
    tmp_path: pathlib.Path, cluster: session.Cluster, collections_path: pathlib.Path
) -> t.Iterator[t.Callable[[User], Playbook]]:
    """Run ansible-playbook as a user."""
    made: list[Playbook] = []

    def make(user: User) -> Playbook:
        folder = tmp_path / f"user-{len(made)}"
        folder.mkdir()
        kubeconfig = folder / "kubeconfig"
        write_token_kubeconfig(kubeconfig, cluster.kubeconfig, user.token)
        made.append(Playbook(folder, kubeconfig, collections_path))
        return made[-1]

    yield make
    for playbook in made:
        playbook.end()


@pytest.fixture
def release_of(
    kube: Kube, namespace: str, playbook_of: t.Callable[[User], Playbook]
) -> t.Callable[[User], Release]:
    def make(user: User) -> Release:
        return Release(kube, namespace, playbook_of(user))

    return make


Users = t.Callable[..., User]
Releases = t.Callable[[User], Release]


# -- a release -------------------------------------------------------------------------


def promoted_by_another_job(release: Release, handle: Handle) -> None:
    """The run that waits is asked, which takes a look at who holds the lock."""
    release.pauses(handle)
    release.run("promote").check()
    handle.wait().check()


def killed_and_resumed(release: Release, handle: Handle) -> None:
    """The next run takes the lock over."""
    release.pauses(handle)
    handle.kill_tree()
    release.run("promote").check()


def test_a_release_from_its_first_deploy_to_its_last(
    user: Users, release_of: Releases
) -> None:
    who = user("bluegreen")
    release = release_of(who)
    kept: dict[str, t.Any] = {"revision_history_limit": 1}
    stepwise: dict[str, t.Any] = {
        "scale_up_steps": ["50%", "100%"],
        "auto_promotion_enabled": False,
    }

    release.deploy("1", **kept).check()
    release.run("status").check()
    release.deploy("2", **stepwise, **kept).check()
    assert release.directed_to(PREVIEW) == 2
    release.run("promote").check()
    assert release.directed_to(ACTIVE) == 2

    release.deploy("3", **stepwise, **kept).check()
    release.run("abort").check()
    assert release.aborted(3)
    waits: dict[str, t.Any] = {"auto_promotion_seconds": LONG, **kept}
    promoted_by_another_job(release, release.start_deploy("3", **waits))
    retried = release.directed_to(ACTIVE)

    promoted_by_another_job(release, release.start("rollback"))
    assert release.directed_to(ACTIVE) != retried
    release.run("restart").check()
    killed_and_resumed(release, release.start_deploy("4", **waits))

    release.deploy("5", scale_down_delay_seconds=1, wait="detach", **kept).check()
    release.run("resume").check()
    release.run("scale_down").check()
    release.deploy("5", args=["--check"], **kept).check()
    assert rollout_of(release.run("status").check())["phase"] == "Healthy"
    assert sum(release.sizes().values()) == 2
    who.assert_needs_all()


def test_looking_only(
    release: Release, user: Users, playbook_of: t.Callable[[User], Playbook]
) -> None:
    release.deploy("1", pdb={"minAvailable": 1}).check()
    who = user("bluegreen-status")
    variables = {"bluegreen_name": NAME, "bluegreen_namespace": release.namespace}
    run = playbook_of(who)("cutover.bluegreen.status", variables).check()
    assert rollout_of(run)["phase"] == "Healthy"
    who.assert_needs_all()


def test_watching_only(
    release: Release, user: Users, playbook_of: t.Callable[[User], Playbook]
) -> None:
    """Neither Role has a verb that writes, and nothing is refused."""
    release.deploy("1", pdb={"minAvailable": 1}).check()
    handle = release.start_deploy(
        "2", pdb={"minAvailable": 1}, auto_promotion_seconds=LONG
    )
    release.pauses(handle)
    who = user("bluegreen-status", "bluegreen-watch")
    variables = {"bluegreen_name": NAME, "bluegreen_namespace": release.namespace}
    watcher = playbook_of(who).start(
        "cutover.bluegreen.status",
        {**variables, "bluegreen_watch": True},
        env={"PYTHONUNBUFFERED": "1"},
    )
    says(watcher, "Paused, driven by")
    release.run("promote").check()
    handle.wait().check()
    assert rollout_of(watcher.wait().check())["phase"] == "Healthy"
    who.assert_needs_all()


# -- what comes on top -----------------------------------------------------------------


def test_an_adoption(
    kube: Kube,
    namespace: str,
    user: Users,
    playbook_of: t.Callable[[User], Playbook],
) -> None:
    plain = run_plain(kube, namespace)
    # An update of before, whose ReplicaSet is left over.
    image = {"name": NAME, "image": "example/web:0"}
    newer = {"spec": {"template": {"spec": {"containers": [image]}}}}
    kube.patch(plain.path("deployments"), newer, "strategic")
    eventually(plain.settled, 60, "the update of the plain Deployment")
    eventually(lambda: len(plain.replica_sets()) == 2, 30, "two ReplicaSets")
    who = user("bluegreen", "bluegreen-adopt")
    manifest = deployment(NAME)
    playbook_of(who)(
        "cutover.bluegreen.deploy", release_vars(namespace, manifest)
    ).check()
    assert plain.hash()
    who.assert_needs_all("bluegreen-adopt", watches=False)


def test_an_autoscaler_follows_the_users(
    kube: Kube, namespace: str, user: Users, release_of: Releases
) -> None:
    who = user("bluegreen", "bluegreen-autoscaler")
    release = release_of(who)
    release.deploy("1").check()
    target = release.revisions()[1]["metadata"]["name"]
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": target}
    spec = {"scaleTargetRef": reference, "minReplicas": 2, "maxReplicas": 4}
    path = resource_path("horizontalpodautoscalers", namespace)
    kube.create(path, {"metadata": {"name": NAME}, "spec": spec})
    release.deploy("2").check()
    assert release.directed_to(ACTIVE) == 2
    who.assert_needs_all("bluegreen-autoscaler")


def configured(level: str, *more: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The options of a release whose pods read a ConfigMap, and more."""
    manifest = deployment(NAME, replicas=2)
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    container["envFrom"] = [
        {f"{kind[0].lower()}{kind[1:]}Ref": {"name": "it"}}
        for kind in ("ConfigMap", *(item["kind"] for item in more))
    ]
    metadata = {"name": "it"}
    settings = {"kind": "ConfigMap", "metadata": metadata, "data": {"level": level}}
    config = [{"apiVersion": "v1", **item} for item in (settings, *more)]
    return {"definition": manifest, "config": config}


def test_a_release_with_configuration(
    kube: Kube, namespace: str, user: Users, release_of: Releases
) -> None:
    who = user("bluegreen", "bluegreen-config")
    release = release_of(who)
    # An earlier release left it, which was killed before its revision was created.
    labels = {"cutover.bluegreen/rollout": NAME, REVISION_LABEL: "0123456789"}
    metadata = {"name": "it-0123456789", "labels": labels}
    for resource in ("configmaps", "secrets"):
        kube.create(resource_path(resource, namespace), {"metadata": metadata})
    secret = {
        "kind": "Secret",
        "metadata": {"name": "it"},
        "stringData": {"password": "hunter2-hunter2"},
    }
    release.deploy("1", **configured("info", secret)).check()
    release.run("restart").check()
    for resource in ("configmaps", "secrets"):
        path = resource_path(resource, namespace, "it-0123456789")
        assert kube.find(path) is None
    who.assert_needs_all("bluegreen-config")


def test_configuration_without_secrets_needs_no_right_to_them(
    kube: Kube, namespace: str, user: Users, release_of: Releases
) -> None:
    who = user("bluegreen")
    kube.create(
        resource_path("roles", namespace),
        {
            "metadata": {"name": "one-rule"},
            "rules": ROLES["bluegreen-config"]["rules"][:1],
        },
    )
    secret = {"kind": "Secret", "metadata": {"name": "it"}}
    release = release_of(who)
    refused = message(release.deploy("1", **configured("info", secret)))
    assert "list, create, patch, delete on secrets" in refused
    assert release.record() == {}
    refused = message(release.deploy("1", **configured("info")))
    assert "delete on configmaps" in refused
    assert release.record() == {}
    bind(kube, namespace, ACCOUNT, namespace, "Role", "one-rule")
    release.deploy("1", **configured("info")).check()
    release.deploy("2", **configured("debug")).check()
    release.run("rollback").check()
    assert release.directed_to(ACTIVE) == 3


def test_budgets_are_kept(user: Users, release_of: Releases) -> None:
    who = user("bluegreen", "bluegreen-pdb")
    release = release_of(who)
    release.deploy("1", pdb={"minAvailable": 1}).check()
    release.deploy("1", pdb={"minAvailable": "50%"}).check()
    release.deploy("2", pdb={"minAvailable": "50%"}).check()
    who.assert_needs_all("bluegreen-pdb")


def test_metadata_of_a_role(user: Users, release_of: Releases) -> None:
    who = user("bluegreen", "bluegreen-metadata")
    release = release_of(who)
    labels: dict[str, t.Any] = {
        f"{role}_metadata": {"labels": {"role": role}} for role in ("active", "preview")
    }
    release.deploy("1", **labels).check()
    release.deploy("2", **labels).check()
    who.assert_needs_all("bluegreen-metadata", watches=False)


def test_an_anti_affinity(user: Users, release_of: Releases) -> None:
    who = user("bluegreen", "bluegreen-anti-affinity")
    release = release_of(who)
    asked: dict[str, t.Any] = {"anti_affinity": {"preferred": {"weight": 1}}}
    release.deploy("1", **asked).check()
    release.deploy("2", **asked).check()
    who.assert_needs_all("bluegreen-anti-affinity", watches=False)


def test_pods_are_told_by_a_request(user: Users, release_of: Releases) -> None:
    who = user("bluegreen", "bluegreen-drain-http")
    release = release_of(who)
    release.deploy("1").check()
    # V1 goes as the second release asks, each later one as its own has asked.
    for version, method in (("2", "GET"), ("3", "POST"), ("4", "POST")):
        told = {"port": 8080, "path": "/drain", "method": method}
        release.deploy(version, drain_http=told, drain_timeout_seconds=1).check()
    # There is nobody behind these pods' addresses, and so no good answer.
    assert rights_in(rules_of([ROLES["bluegreen-drain-http"]])) <= who.tried()


def test_pods_are_told_by_a_command(user: Users, release_of: Releases) -> None:
    who = user("bluegreen", "bluegreen-drain-exec")
    release = release_of(who)
    release.deploy("1").check()
    release.deploy("2", drain_exec=["/app", "drain"], drain_timeout_seconds=1).check()
    # The create is asked for by the API server itself, which the audit log leaves out.
    assert Right("get", "pods/exec", "") in who.asked()


@pytest.mark.parametrize(
    ("asked", "lacking"),
    [
        ({"drain_http": {"port": 80}}, "get on pods/proxy"),
        ({"drain_exec": ["/app"]}, "create, get on pods/exec"),
        ({"active_metadata": {"labels": {"a": "b"}}}, "patch on pods"),
        ({"anti_affinity": {"required": {}}}, "watch, patch on replicasets"),
    ],
)
def test_who_may_not_reach_pods_is_refused_before_the_first_write(
    user: Users, release_of: Releases, asked: dict[str, t.Any], lacking: str
) -> None:
    release = release_of(user("bluegreen"))
    assert lacking in message(release.deploy("1", **asked))
    assert release.sizes() == {}


def test_a_route(
    user: Users, release_of: Releases, route: Route, gateway: Gateway
) -> None:
    who = user("bluegreen", "bluegreen-route")
    release = release_of(who)
    route.create()
    options: dict[str, t.Any] = {
        "route": ROUTE,
        "active_service": [service(n, selector={"app": NAME}) for n in (FIRST, SECOND)],
    }
    release.deploy("1", **options).check()
    # A gateway that is slow to answer is watched.
    gateway.held = True
    handle = release.start_deploy("2", **options)
    eventually(lambda: route.weights() == [{FIRST: 0, SECOND: 100}], 60, "the cutover")
    gateway.answer()
    handle.wait().check()
    who.assert_needs_all("bluegreen-route")


def test_a_take_over_of_a_rollout(
    kube: Kube, namespace: str, user: Users, release_of: Releases, rollouts: None
) -> None:
    """Its ReplicaSet is given to a Deployment as in an adoption."""
    roles = ("bluegreen-take-over", "bluegreen-argo-lease")
    who = user("bluegreen", "bluegreen-adopt", *roles)
    argo = run_argo(kube, namespace, replicas=1)
    argo.create_lease("argo-rollouts-0", seconds=1)
    release = release_of(who)
    release.run("take_over", argo_namespace=namespace).check()
    assert argo.service()["spec"]["selector"].keys() == {"app", REVISION_LABEL}
    who.assert_needs_all(*roles, watches=False)


def test_a_plan(user: Users, release_of: Releases) -> None:
    who = user("bluegreen", "bluegreen-plan", "bluegreen-plan-nodes")
    release = release_of(who)
    release.deploy("1").check()
    run = release.deploy("2", args=["--check"]).check()
    (planned,) = run.of("bluegreen_rollout")
    told = planned.result["plan"]["findings"]
    assert [f for f in told if f["object"] == "not checked"] == []
    who.assert_needs_all("bluegreen-plan", "bluegreen-plan-nodes")


def test_a_plan_by_who_may_only_release(user: Users, release_of: Releases) -> None:
    """It says what it left out, and asks for nothing that would be refused."""
    who = user("bluegreen")
    release = release_of(who)
    release.deploy("1").check()
    run = release.deploy("2", args=["--check"]).check()
    (planned,) = run.of("bluegreen_rollout")
    told = planned.result["plan"]["findings"]
    (left_out,) = [f for f in told if f["object"] == "not checked"]
    for what in ("resourcequotas", "limitranges", "jobs", "cronjobs", "nodes"):
        assert what in left_out["message"]
    assert who.asked()


def test_an_ejection(user: Users, release_of: Releases) -> None:
    who = user("bluegreen", "bluegreen-eject")
    release = release_of(who)
    release.deploy("1").check()
    release.run("eject").check()
    assert release.record() == {}
    who.assert_needs_all("bluegreen-eject", watches=False)


def test_a_look_at_the_nodes(user: Users, release_of: Releases) -> None:
    who = user("bluegreen", "bluegreen-nodes")
    release = release_of(who)
    release.deploy("1", replicas=1).check()
    spec = deployment(NAME, version="2", replicas=1)
    pod = spec["spec"]["template"]["spec"]
    pod["containers"][0]["ports"][0]["hostPort"] = 8080
    release.deploy("2", definition=spec).check()
    assert release.directed_to(ACTIVE) == 2
    who.assert_needs_all("bluegreen-nodes")


# -- analyses --------------------------------------------------------------------------


@pytest.fixture
def server() -> t.Iterator[HttpServer]:
    with HttpServer() as running:
        running.reply({"rate": 1}, path="/rate")
        yield running


Given = dict[str, t.Any]
Measures = t.Callable[[Kube, str, HttpServer], Given]


def the_pods(kube: Kube, namespace: str, _server: HttpServer) -> Given:
    run_plain(kube, namespace)
    metric = {
        "name": "pods",
        "successCondition": "result.restarts == 0",
        "provider": {"pods": {"selector": "app=web"}},
    }
    return {"analysis_templates": template("it", metric), "analysis": "it"}


def a_job(_kube: Kube, _namespace: str, _server: HttpServer) -> Given:
    return {"analysis_templates": template("it", job_metric()), "analysis": "it"}


def a_job_that_fails(_kube: Kube, _namespace: str, _server: HttpServer) -> Given:
    """Its pods are asked why; the analysis lets it pass."""
    dry = [{"metricName": "smoke"}]
    it = template("it", job_metric(exit_code="1"), dryRun=dry)
    return {"analysis_templates": it, "analysis": "it"}


def a_probe(kube: Kube, namespace: str, _server: HttpServer) -> Given:
    """Nobody is behind the Service: that its answer is 503 is an answer."""
    kube.create(resource_path("services", namespace), service("it"))
    metrics = [
        {
            "name": method.lower(),
            "successCondition": "result.requests == 1",
            "provider": {"probe": {"service": "it", "method": method, "requests": 1}},
        }
        for method in ("GET", "HEAD", "POST")
    ]
    return {"analysis_templates": template("it", *metrics), "analysis": "it"}


def web_metric(server: HttpServer, name: str = "it") -> Given:
    web = {"url": f"{server.url}/rate", "jsonPath": "{$.rate}"}
    return {"name": name, "successCondition": "result == 1", "provider": {"web": web}}


def a_secret(kube: Kube, namespace: str, server: HttpServer) -> Given:
    body = {"metadata": {"name": "measure"}, "stringData": {"token": "x"}}
    kube.create(resource_path("secrets", namespace), body)
    metric = web_metric(server, "secret")
    header = {"key": "Authorization", "value": "Bearer {{args.token}}"}
    metric["provider"]["web"]["headers"] = [header]
    source = {"secretKeyRef": {"name": "measure", "key": "token"}}
    args = [{"name": "token", "valueFrom": source}]
    return {"analysis_templates": template("it", metric, args=args), "analysis": "it"}


def a_template(kube: Kube, namespace: str, server: HttpServer) -> Given:
    path = f"{ARGO}/namespaces/{namespace}/analysistemplates"
    kube.create(path, template("it", web_metric(server)))
    return {"analysis": "it"}


def a_cluster_template(kube: Kube, namespace: str, server: HttpServer) -> Given:
    # Its namespace's name is unique; the template goes with its definition.
    body = {
        **template(namespace, web_metric(server)),
        "kind": "ClusterAnalysisTemplate",
    }
    kube.create(f"{ARGO}/clusteranalysistemplates", body)
    named = [{"templateName": namespace, "clusterScope": True}]
    return {"analysis": {"templates": named}}


KINDS: dict[str, tuple[Measures, ...]] = {
    "bluegreen-analysis-pods": (the_pods,),
    "bluegreen-analysis-job": (a_job, a_job_that_fails),
    "bluegreen-analysis-probe": (a_probe,),
    "bluegreen-analysis-secrets": (a_secret,),
    "bluegreen-analysis-templates": (a_template,),
    "bluegreen-analysis-cluster-templates": (a_cluster_template,),
}


def test_every_documented_analysis_is_tried() -> None:
    documented = {name for name in ROLES if name.startswith("bluegreen-analysis-")}
    assert set(KINDS) == documented


@pytest.mark.parametrize("role", KINDS)
def test_an_analysis_without_a_rollout(
    kube: Kube,
    namespace: str,
    server: HttpServer,
    argo: None,
    user: Users,
    playbook_of: t.Callable[[User], Playbook],
    tmp_path: pathlib.Path,
    role: str,
) -> None:
    """It needs its own Role only."""
    who = user(role)
    tasks = []
    for make in KINDS[role]:
        options = {"namespace": namespace, **make(kube, namespace, server)}
        if "analysis_templates" in options:
            folder = tmp_path / make.__name__
            folder.mkdir()
            given = options["analysis_templates"]
            options["analysis_templates"] = as_file(folder, given)
        tasks.append({"cutover.bluegreen.bluegreen_analysis": options})
    play = {"hosts": "localhost", "gather_facts": False, "tasks": tasks}
    playbook_of(who)(play).check()
    who.assert_needs_all()


def test_an_analysis_of_a_release(
    kube: Kube,
    namespace: str,
    server: HttpServer,
    argo: None,
    user: Users,
    release_of: Releases,
) -> None:
    """The kinds all at once, beside the Role of a release."""
    who = user("bluegreen", *KINDS)
    release = release_of(who)
    release.deploy("1").check()
    a_cluster_template(kube, namespace, server)
    wide = [{"templateName": namespace, "clusterScope": True}]
    probe = a_probe(kube, namespace, server)["analysis_templates"]["spec"]["metrics"]
    metrics = [job_metric(), *probe]
    secret = a_secret(kube, namespace, server)["analysis_templates"]["spec"]
    given = template(
        "all", *metrics, *secret["metrics"], args=secret["args"], templates=wide
    )
    path = f"{ARGO}/namespaces/{namespace}/analysistemplates"
    kube.create(path, given)
    release.deploy("2", **{PRE: {"templates": ["all", "pods"]}}).check()
    assert release.directed_to(ACTIVE) == 2
    who.assert_needs_all(*KINDS)


def test_hooks(
    kube: Kube, namespace: str, server: HttpServer, user: Users, release_of: Releases
) -> None:
    """A Job that passes, one that takes too long and is ended, and a secret URL."""
    who = user("bluegreen", "bluegreen-hooks")
    release = release_of(who)
    release.deploy("1").check()
    url = base64.b64encode(f"{server.url}/chat".encode()).decode()
    chat = {"metadata": {"name": "chat"}, "data": {"url": url}}
    kube.create(resource_path("secrets", namespace), chat)
    server.reply("ok", path="/chat")
    slow = {**job_metric("slow", runs_for="1h")["provider"], "timeout_seconds": 1}
    hooks = [
        {"name": "slow", "at": "after created", **slow, "on_failure": "ignore"},
        {"name": "smoke", "at": "before promoted", **job_metric()["provider"]},
        {
            "name": "tell",
            "at": "after verified",
            "webhook": {"url_secret": {"name": "chat", "key": "url"}},
        },
    ]
    run = release.deploy("2", hooks=hooks).check()
    phases = {k: h["phase"] for k, h in rollout_of(run)["hooks"].items()}
    assert phases == {"slow": "Failed", "smoke": "Successful", "tell": "Successful"}
    who.assert_needs_all("bluegreen-hooks")


def test_what_an_analysis_lacks_is_said_before_the_first_write(
    kube: Kube,
    namespace: str,
    server: HttpServer,
    user: Users,
    release_of: Releases,
    wire: t.Callable[..., Wire],
) -> None:
    release = release_of(user("bluegreen"))
    release.deploy("1").check()
    probe = a_probe(kube, namespace, server)["analysis_templates"]["spec"]["metrics"]
    given = template("all", job_metric(), *probe)
    requests = wire()
    run = release.deploy("2", analysis_templates=given, **{PRE: ["all", "pods"]})
    text = message(run)
    for missing in (
        "create, get, delete on jobs",
        "get, create on services/proxy",
        "list on events",
    ):
        assert missing in text
    assert not requests.writes
