# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a plan says: changes, endpoints, and who else has a say."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._findings import Finding
from ansible_collections.cutover.bluegreen.plugins.module_utils._model import (
    Autoscaler,
    Observed,
    Revision,
    ServiceSeen,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._plan import (
    Change,
    changes_of,
    differences,
    endpoints_line,
    endpoints_now,
    endpoints_shown,
    endpoints_then,
    from_warning,
    growth_of,
    of_autoscalers,
    of_budgets,
    of_jobs,
    of_managers,
    of_policies,
    of_services,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._record import Record
from ansible_collections.cutover.bluegreen.plugins.module_utils._steps import (
    Act,
    CreateRevision,
    CreateServices,
    Cutover,
    Delete,
    Done,
    KeepBudget,
    Note,
    OpenProof,
    Point,
    RemoveBudget,
    Retarget,
    Scale,
    Step,
    Wait,
    Widen,
)

OLD, NEW = "a" * 10, "b" * 10
REVISION = "cutover.bluegreen/revision-hash"
SEEN = Observed(
    revisions=(Revision(1, OLD, f"web-{OLD}", replicas=2),),
    services=(
        ServiceSeen("web", "active", target=OLD),
        ServiceSeen("web-preview", "preview", target=OLD),
    ),
)
BOTH = dataclasses.replace(
    SEEN, revisions=(*SEEN.revisions, Revision(2, NEW, f"web-{NEW}", replicas=3))
)


@pytest.mark.parametrize(
    ("step", "seen", "expected"),
    [
        (
            CreateRevision(NEW, 2, 1),
            SEEN,
            Change(f"Deployment web-{NEW}", "create", ("spec.replicas: 1",)),
        ),
        (
            Scale(OLD, 0, "why"),
            BOTH,
            Change(f"Deployment web-{OLD}", "update", ("spec.replicas: 2 -> 0",)),
        ),
        (Delete(OLD), BOTH, Change(f"Deployment web-{OLD}", "delete")),
        (
            CreateServices(("web",), NEW),
            BOTH,
            Change("Service web", "create", (f"directed to revision 2 (web-{NEW})",)),
        ),
        (
            Point(("web-preview",), NEW, "why"),
            BOTH,
            Change(
                "Service web-preview",
                "update",
                (f"directed to: revision 1 (web-{OLD}) -> revision 2 (web-{NEW})",),
            ),
        ),
        (
            Cutover(NEW),
            BOTH,
            Change(
                "Service web",
                "update",
                (f"directed to: revision 1 (web-{OLD}) -> revision 2 (web-{NEW})",),
            ),
        ),
        (Widen(NEW, "why"), BOTH, Change("Service web", "update", ("selects both",))),
        (
            OpenProof(NEW),
            BOTH,
            Change("Service web-bluegreen-proof", "create, then delete"),
        ),
        (
            Retarget("sized", NEW),
            BOTH,
            Change(
                "HorizontalPodAutoscaler sized",
                "update",
                (f"spec.scaleTargetRef.name: web-{NEW}",),
            ),
        ),
        (
            KeepBudget(NEW, "{}"),
            BOTH,
            Change(f"PodDisruptionBudget web-{NEW}", "create", ("{}",)),
        ),
        (RemoveBudget(OLD), BOTH, Change(f"PodDisruptionBudget web-{OLD}", "delete")),
        (Note(Record()), SEEN, Change("ConfigMap bluegreen-web", "create")),
        (Wait("pods"), SEEN, None),
        (Done(), SEEN, None),
    ],
)
def test_what_becomes_of_an_object(
    step: Step, seen: Observed, expected: Change | None
) -> None:
    assert changes_of([(step, seen)], "web") == [expected] * bool(expected)


def test_an_object_is_told_once() -> None:
    steps: list[Act] = [CreateRevision(NEW, 2, 3), Scale(NEW, 5, "why"), Delete(NEW)]
    (change,) = changes_of([(step, BOTH) for step in steps], "web")
    assert change.action == "create, then delete"
    assert change.fields == ("spec.replicas: 3", "spec.replicas: 3 -> 5")
    assert str(change) == (
        f"create, then delete Deployment web-{NEW} (planned, not dry-run):"
        " spec.replicas: 3; spec.replicas: 3 -> 5"
    )


def test_the_largest_that_a_revision_grows() -> None:
    small = dataclasses.replace(
        SEEN, revisions=(dataclasses.replace(SEEN.revisions[0], replicas=0),)
    )
    planned: list[tuple[Step, Observed]] = [
        (Wait("x"), SEEN),
        (Wait("x"), BOTH),
        (Done(), small),
    ]
    assert growth_of(planned) == {NEW: 3}
    assert growth_of([]) == {}


# -- what differs ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, ["a.b: 1 -> 2"]),
        ({}, {"a": [1]}, ["a: none -> [1]"]),
        ({"a": "x" * 99}, {}, [f"a: {'x' * 80}... -> none"]),
        (
            {"c": [{"name": "web", "image": "a:1"}]},
            {"c": [{"name": "web", "image": "a:2"}]},
            ["c.web.image: a:1 -> a:2"],
        ),
        (
            {"env": [{"name": "PASSWORD", "value": "hunter2"}]},
            {"env": [{"name": "PASSWORD", "value": "hunter3"}]},
            ["env.PASSWORD.value: changed"],
        ),
        (
            {"c": []},
            {"c": [{"name": "new", "env": [{"name": "P", "value": "hunter2"}]}]},
            ["c.new.name: none -> new", "c.new.env.P.name: added"]
            + ["c.new.env.P.value: added"],
        ),
        ({"args": ["--token=hunter2"]}, {}, ["args: removed"]),
        ({}, {"annotations": {"a.b/c": "hunter2"}}, ["annotations.a.b/c: added"]),
    ],
)
def test_differences(before: t.Any, after: t.Any, said: list[str]) -> None:
    found = differences(before, after)
    assert found == said
    assert "hunter" not in "".join(found)


# -- endpoints -------------------------------------------------------------------------


def pod(name: str, revision: str, *ips: str, **metadata: t.Any) -> dict[str, t.Any]:
    return {
        "metadata": {"name": name, "labels": {REVISION: revision}, **metadata},
        "status": {"podIPs": [{"ip": ip} for ip in ips]},
    }


def piece(service: str, *endpoints: dict[str, t.Any]) -> dict[str, t.Any]:
    labels = {"kubernetes.io/service-name": service}
    return {"metadata": {"labels": labels}, "endpoints": list(endpoints)}


def endpoint(name: str, *addresses: str, **conditions: bool) -> dict[str, t.Any]:
    found: dict[str, t.Any] = {"addresses": list(addresses)}
    if name:
        found["targetRef"] = {"name": name}
    return {**found, "conditions": conditions}


def test_the_endpoints_of_now() -> None:
    slices = [
        piece(
            "web", endpoint("p1", "10.0.0.1"), endpoint("p2", "10.0.0.2", ready=False)
        ),
        piece("web", endpoint("p1", "fd00::1", ready=True), endpoint("", "10.9.9.9")),
        piece("other", endpoint("p3", "10.0.0.3")),
    ]
    assert endpoints_now("web", slices, [pod("p1", OLD)], SEEN) == [
        {"pod": "10.9.9.9", "addresses": ["10.9.9.9"], "revision": None},
        {"pod": "p1", "addresses": ["10.0.0.1", "fd00::1"], "revision": 1},
    ]


def test_the_endpoints_of_then() -> None:
    service = ServiceSeen("web", "active", target=NEW)
    pods = [
        pod("p1", OLD, "10.0.0.1"),
        pod("p2", NEW, "10.0.0.2"),
        pod("p3", NEW, "10.0.0.3", deletionTimestamp="2026-01-01T00:00:00Z"),
    ]
    after = endpoints_then(service, BOTH, pods)
    assert after == {
        "revision": 2,
        "hash": NEW,
        "count": 3,
        "pods": [{"pod": "p2", "addresses": ["10.0.0.2"], "revision": 2}],
    }
    before = [{"pod": "p1", "addresses": ["10.0.0.1"], "revision": 1}]
    assert endpoints_line("web", before, after) == (
        "endpoints of Service web: 1 of revision 1 now, then 3 of revision 2"
        f" ({NEW}), 2 yet to be made"
    )
    assert endpoints_shown(before) == ["10.0.0.1 p1 (revision 1)"]
    assert endpoints_shown(after) == [
        "10.0.0.2 p2 (revision 2)",
        f"3 of revision 2 ({NEW}), 2 yet to be made",
    ]


def test_a_service_that_directs_to_no_revision() -> None:
    after = endpoints_then(ServiceSeen("web", "active"), BOTH, [pod("p1", OLD)])
    assert (after["revision"], after["count"], after["pods"]) == (None, 0, [])
    assert endpoints_line("web", [], after) == "endpoints of Service web: 0 now"


# -- who else has a say ----------------------------------------------------------------

LABELS = {"app": "web", REVISION: NEW}
PODS = {"matchLabels": {"app": "web"}}


def named(name: str, kind: str = "", **spec: t.Any) -> dict[str, t.Any]:
    return {"kind": kind, "metadata": {"name": name}, "spec": spec}


def subjects(findings: list[Finding]) -> list[str]:
    return [f"{f.level}: {f.object}" for f in findings]


def test_warnings_of_a_deploy() -> None:
    finding = from_warning("PodDisruptionBudget both counts the pods of both.")
    assert finding == Finding(
        "warning", "PodDisruptionBudget both", "counts the pods of both."
    )
    assert from_warning("Whether it fits was not checked.").object == "release"


def test_services_that_select_the_new_pods() -> None:
    services = [
        named("web", selector={"app": "web"}),
        named("metrics", selector={"app": "web"}),
        named("other", selector={"app": "other"}),
        named("external"),
    ]
    assert subjects(of_services(services, {"web"}, LABELS)) == [
        "notice: Service metrics"
    ]


def test_budgets_policies_and_autoscalers() -> None:
    budgets = [named("all", selector=PODS), named("none", selector=None)]
    assert subjects(of_budgets(budgets, {}, LABELS)) == [
        "notice: PodDisruptionBudget all"
    ]
    # Of one over both revisions there is a warning.
    assert of_budgets(budgets, {"app": "web"}, LABELS) == []
    policies = [
        named("everything", podSelector={}),
        named("other", podSelector={"matchLabels": {"app": "other"}}),
    ]
    assert subjects(of_policies(policies, LABELS)) == [
        "notice: NetworkPolicy everything"
    ]
    seen = dataclasses.replace(SEEN, autoscalers=(Autoscaler("sized", "web", 2, 5),))
    (finding,) = of_autoscalers(seen)
    assert "decides the size (2 to 5 pods)" in finding.message


@pytest.mark.parametrize(
    ("labels", "count"), [({"app": "web", "x": "y"}, 1), ({"app": "report"}, 0)]
)
def test_jobs(labels: dict[str, str], count: int) -> None:
    template = {"metadata": {"labels": labels}}
    jobs = [
        named("once", "Job", template=template),
        named("nightly", "CronJob", jobTemplate={"spec": {"template": template}}),
    ]
    services = [named("web", selector={"app": "web", REVISION: OLD})]
    assert (
        subjects(of_jobs(jobs, services))
        == [
            "warning: Job once",
            "warning: CronJob nightly",
        ][: 2 * count]
    )


def managed(**metadata: t.Any) -> dict[str, t.Any]:
    return {"kind": "Service", "metadata": {"name": "web", **metadata}}


def written_by(manager: str, operation: str = "Update") -> dict[str, t.Any]:
    fields = {"f:spec": {"f:selector": {}}}
    entry = {"manager": manager, "operation": operation, "fieldsV1": fields}
    return managed(managedFields=[entry, entry])


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (managed(), ""),
        (
            managed(labels={"argocd.argoproj.io/instance": "shop"}),
            "warning: Service web: Argo CD (shop) applies it",
        ),
        (
            managed(labels={"app.kubernetes.io/managed-by": "Helm"}),
            "notice: Service web: Helm applies it",
        ),
        (written_by("terraform"), "notice: Service web: terraform has written"),
        (written_by("kubectl-client-side-apply"), ""),
        (written_by("cutover.bluegreen"), ""),
        # What owns it by server-side apply is refused before.
        (written_by("terraform", "Apply"), ""),
    ],
)
def test_managers(item: dict[str, t.Any], said: str) -> None:
    found = of_managers(item, "selector", ())
    assert len(found) == bool(said)
    assert all(str(f).startswith(said) for f in found)


def test_managers_that_were_told_to_leave_it_alone() -> None:
    accepted = ("argocd-controller", "Helm", "terraform")
    marked = managed(labels={"argocd.argoproj.io/instance": "shop"})
    assert of_managers(marked, "selector", accepted) == []
    assert of_managers(written_by("terraform"), "selector", accepted) == []
