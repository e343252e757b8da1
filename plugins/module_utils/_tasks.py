# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each module does: options in, result out. Knows nothing of Ansible.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import dataclasses
import time
import typing as t
from dataclasses import dataclass, field
from datetime import datetime

from . import _decide_hooks
from . import _names as names
from ._adopt import Adoption
from ._api import Api, forbidden, is_denied
from ._auth import connect
from ._clock import SKEW_WORTH_SAYING_SECONDS, ServerClock
from ._cluster import MOST_IN_ONE_SLICE, Cluster
from ._config import describe_config
from ._config_store import rights_to_keep
from ._decide import close_what_others_opened, finish_changes, next_task
from ._decide_config import missing_config
from ._driver import Guard, Holder
from ._eject import Ejection
from ._engine import HEARTBEAT_SECONDS, Engine
from ._errors import ApiError, BadInput, BluegreenError, Conflict, NotFound
from ._gate import Gatekeeper, Terminal, commands
from ._history import ended_as
from ._lock import Lock
from ._manifests import (
    Deployment,
    ServiceInput,
    check_name,
    parse_deployment,
    parse_services,
)
from ._model import Observed, Revision, describe
from ._objects import Object, annotation_of
from ._overlay import NOTHING, overlay_of
from ._parameters import AUTO, OVERLAP, Parameters, parse_size, validate
from ._preflight import (
    Preflight,
    RouteCheck,
    absent_namespace,
    refusal_of_manager,
    refuse_absent_namespace,
    refuse_missing_rights,
)
from ._record import Request, record_of_adopted
from ._rehome import blames_definition
from ._rest import UNKNOWN, unexpected
from ._route import RIGHTS as ROUTE_RIGHTS
from ._secrets import Secrets, parse_given
from ._stages import (
    ANALYSED,
    PAUSED,
    PHASE_PAUSED,
    PREVIEWED,
    PROGRESSING,
    PROMOTED,
    RETIRED,
    STABLE,
    VERIFIED,
)
from ._status import hook_result, rollout_result, tree, ways_back
from ._steps import Done, Step
from ._surroundings import Surroundings, parse_budget
from ._view import View, Want, full_size, is_quick_way_back, previous_stable
from ._watching import Watching
from ._workload import definition_of, name_of, parse_workload_ref, refusal_of

Params = t.Mapping[str, t.Any]
Result = dict[str, t.Any]

_GOES_ON = ("analysis", "pause", "promote", "scale_down", "hook")
_HEED_SECONDS = 60.0
_SHOWN_OF_MESSAGE = 300
_ANALYSES = ("pre_promotion_analysis", "post_promotion_analysis", "drain")
_OVERLAYS = ("active_metadata", "preview_metadata", "anti_affinity")
# What is no plain value, and is parsed by itself.
_PARSED = (
    *("config", "pdb", "probe", "drain_http", "drain_exec", "workload_ref"),
    *("hooks", *_OVERLAYS, *_ANALYSES),
)


@dataclass(frozen=True)
class Runtime:
    """What a module gets from where it runs.

    :param environment: the task's environment, laid over the process's.
    :param report: shows one line while the task runs.
    """

    environment: t.Mapping[str, str]
    report: t.Callable[[str], None]
    holder: Holder
    guard: Guard
    check_mode: bool = False
    # Where a person is asked at a gate.
    terminal: Terminal | None = None


class Task:
    """One run of one module on one rollout."""

    def __init__(self, params: Params, runtime: Runtime) -> None:
        self.params = params
        self.runtime = runtime
        self.name: str = params["name"]
        self.namespace: str = params["namespace"]
        check_name(self.name)
        self._began = time.monotonic()
        self.clock = ServerClock()
        connection = connect(params, runtime.environment)
        self.api = Api(connection, self.clock)
        self.cluster = Cluster(self.api, self.clock, self.namespace, self.name)
        self.lock = Lock(
            self.api,
            self.clock,
            self.namespace,
            self.name,
            runtime.holder,
            on_lost=self.cluster.watches.wake,
            on_takeover=self._taken_over,
        )
        self.engine = Engine(self.cluster, self.clock, self.lock, self.report)
        self.api.before_write += [runtime.guard.check, self.lock.check]
        self.want = Want(goal=RETIRED, inline=self.inline)
        self.only_looks = False
        self.diff_before: dict[str, t.Any] = {}
        # What the user's own objects are warned of, where a plan tells it.
        self.concerns: list[str] = []
        if not connection.verified:
            self.engine.warnings.append(
                f"TLS verification of {connection.host} is off: anybody on the way can"
                " read the token; give ca_cert, or set validate_certs."
            )

    @property
    def inline(self) -> bool:
        """Whether to stay for countdowns and delays."""
        return bool(self.params.get("wait", "inline") == "inline")

    def report(self, text: str) -> None:
        """One live line."""
        if not self.params.get("progress", True):
            return
        elapsed = time.monotonic() - self._began
        # Of a plan nobody needs to know when.
        planned = self.runtime.check_mode
        place = "plan" if planned else f"{self._stage()} +{elapsed:.0f}s".strip()
        self.runtime.report(f"bluegreen {self.namespace}/{self.name} [{place}] {text}")

    def _stage(self) -> str:
        loaded = bool(self.cluster.records.version)
        return self._look().record.stage if loaded else ""

    def _look(self) -> Observed:
        engine = self.engine
        return engine.observe_anew() if self.only_looks else engine.observe()

    def _taken_over(self, holder: str) -> None:
        self.engine.warnings.append(
            f"The run that drove {self.namespace}/{self.name} ({holder}) is gone; this"
            " run took over where it left off."
        )
        self.report(f"took over from {holder}, which is gone")
        self.cluster.raise_fence()
        self.cluster.reload()

    def reopen(self) -> None:
        """Read the rollout anew, with the Services that it has now."""
        self.cluster.close()
        self.cluster = Cluster(self.api, self.clock, self.namespace, self.name)
        self.engine.cluster = self.cluster
        self.cluster.load()

    def close(self) -> None:
        """End what runs in the background; let the lock go if no task goes on."""
        self.engine.close()
        self.cluster.close()

    # -- the way a task ends -------------------------------------------------------

    def drive(self, want: Want) -> Observed:
        """To the goal; in check mode only as a plan."""
        self.want = want = dataclasses.replace(want, by=self.runtime.holder.person)
        seen = self.engine.observe()
        self.diff_before = _summary(seen)
        self._prepare_to_measure(View(want, seen, self.clock.now()))
        if self.runtime.check_mode:
            return self.engine.plan(want)
        return self.engine.run(want)

    def secrets(self) -> Secrets:
        """The secrets of analyses: given with this task, else in the namespace."""
        given = parse_given(self.params.get("analysis_secrets"), "analysis_secrets")
        return Secrets(given, lambda: self.api, self.namespace)

    def _prepare_to_measure(self, view: View) -> None:
        """Refuse to go on without a secret that the release was started with."""
        waiting = any(not s.passed for s in view.record.hooks.values())
        if waiting or view.parameters.hooks:
            # Only a release with hooks pays for importing it.
            from ._hooking import Hooker

            self.engine.hooker = Hooker(self.cluster, self.clock, self.secrets())
        drains = any(
            view.parameters_to_end(r).drain for r in view.seen.revisions if r.replicas
        )
        if not (drains or view.parameters.has_analysis or view.record.analysis):
            return
        # Only a release with an analysis pays for importing it.
        from ._analyst import Analyst

        secrets = self.secrets()
        kept = view.target.parameters if view.target else None
        if kept is not None and view.is_to_be_measured:
            secrets.require(kept.analysis_secrets, "analysis_secrets")
        self.engine.analyst = Analyst(self.cluster, self.clock, secrets)

    def result(self, seen: Observed, goes_on: bool) -> Result:
        """The module's result.

        :param goes_on: whether a later task of the same play may take it on.
        """
        if self.runtime.check_mode:
            return self._planned(seen)
        following = next_task(self.want, seen, self.clock.now())
        if following == "hook":
            # Nobody else is to run the same task file meanwhile.
            self.engine.take_lock()
        stays = self.inline or following == "hook"
        if goes_on and following in _GOES_ON and stays:
            self.lock.suspend()
        elif self.engine.changed or self.lock.held or following in _GOES_ON:
            self._release()
        result = self._describe(seen, following)
        result["changed"] = self.engine.changed
        result["diff"] = {"before": self.diff_before, "after": _summary(seen)}
        return result

    def _planned(self, expected: Observed) -> Result:
        """The plan as steps and diff; the rollout itself as it is, not as it may be."""
        result = self._describe(self.engine.observe(), "none")
        result["changed"] = self.engine.changed
        result["planned"] = True
        result["diff"] = {"before": self.diff_before, "after": _summary(expected)}
        return result

    def _release(self) -> None:
        """Let the lock go, also one that an earlier task of this play has taken."""
        if not (self.runtime.check_mode or self.only_looks):
            self.lock.release()

    def _describe(self, seen: Observed, following: str) -> Result:
        view = View(self.want, seen, self.clock.now())
        target = view.target_hash
        rollout = rollout_result(
            self.name,
            self.namespace,
            seen,
            self.clock.now(),
            target,
            following,
            self.engine.steps,
        )
        rollout["hook"] = hook_result(view, _decide_hooks.awaited(view))
        self._warn_of_skew()
        return {
            "rollout": rollout,
            "warnings": self.engine.warnings,
            "ansible_stats": {
                "data": {
                    "bluegreen_rollouts": {
                        f"{self.namespace}/{self.name}": {
                            key: rollout[key]
                            for key in (
                                "phase",
                                "stage",
                                "message",
                                "active",
                                "stable",
                                "preview",
                                "target",
                                "next_at",
                            )
                        }
                    }
                },
                "per_host": False,
                "aggregate": True,
            },
        }

    def _warn_of_skew(self) -> None:
        skew = self.clock.skew_seconds()
        if abs(skew) > SKEW_WORTH_SAYING_SECONDS:
            direction = "ahead of" if skew > 0 else "behind"
            self.engine.warnings.append(
                f"This machine's clock is {abs(skew):.0f} s {direction} the API"
                " server's; deadlines go by the server's."
            )

    def failure(self, error: BluegreenError) -> Result:
        """The result of a failed task: the sentence, and what is known."""
        result: Result = {"failed": True, "msg": str(error), "changed": False}
        if not self.cluster.records.version:
            return result
        result["changed"] = self.engine.changed
        try:
            self._release()
            result.update(self._describe(self._look(), "none"))
        except BluegreenError:
            # What went wrong first is what a person needs to read.
            pass
        return result

    # -- what several modules share ------------------------------------------------

    def load(self) -> Observed:
        """Read a rollout that exists.

        :raises BadInput: there is none.
        """
        self.cluster.load()
        self.refuse_half_taken_over()
        seen = self.engine.observe()
        if not seen.revisions and not seen.record_exists:
            raise _no_such_rollout(self)
        return seen

    def refuse_half_taken_over(self) -> None:
        """Only a take-over goes on with one that was ended in its middle.

        :raises BadInput: there is one.
        """
        for name, deployment in sorted(self.cluster.deployments.items.items()):
            if annotation_of(deployment, names.ANNOTATION_TAKING_OVER):
                raise BadInput(
                    f"name: Deployment {name} is of a take-over that was ended in the"
                    " middle; run the take_over playbook again, then this."
                )

    def expected(self, seen: Observed, present: str | None) -> str | None:
        """The revision that this task is about.

        :raises BadInput: another one than the task expects.
        """
        asked = self.params.get("revision")
        if not asked or asked == present:
            # Also where somebody deleted it: what then, the state machine knows.
            return present
        revision = find_revision(seen, str(asked))
        if revision is None:
            raise BadInput(
                f"revision: {self.name} has no revision {asked}; run the status"
                " playbook to see those it has."
            )
        if revision.hash != present:
            found = describe(seen.revision(present))
            raise BadInput(
                f"revision: {describe(revision)} was expected, {found} is the one that"
                " this step would act on: another release came between. Nothing was"
                " changed."
            )
        return revision.hash


def _no_such_rollout(task: Task) -> BadInput:
    return BadInput(
        f"name: there is no rollout {task.name} in namespace {task.namespace}; check"
        " both, or deploy it first."
    )


def find_revision(seen: Observed, asked: str) -> Revision | None:
    """A revision by its hash or its number."""
    for revision in seen.revisions:
        if asked in (revision.hash, str(revision.number)):
            return revision
    return None


def _summary(seen: Observed) -> dict[str, t.Any]:
    """What matters of a rollout, for a diff."""
    return {
        "phase": seen.record.phase,
        "services": {
            s.name: _number_of(seen, s.target)
            for s in seen.services
            if s.role != names.ROLE_PROOF
        },
        "revisions": {
            f"{r.number} ({r.hash})": f"{r.replicas} pods" for r in seen.revisions
        },
    }


def _number_of(seen: Observed, revision_hash: str | None) -> str:
    revision = seen.revision(revision_hash)
    return f"revision {revision.number}" if revision else "no revision"


# -- bluegreen_rollout ---------------------------------------------------------------


@dataclass(frozen=True)
class Release:
    """What a deploy was given, parsed."""

    deployment: Deployment
    active: tuple[ServiceInput, ...]
    preview: tuple[ServiceInput, ...]
    parameters: Parameters
    services: tuple[ServiceInput, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "services", (*self.active, *self.preview))


def parse_release(params: Params, workload: Object | None = None) -> Release:
    """The options of a deploy.

    :param workload: the manifest that ``workload_ref`` leads to.
    :raises BadInput: one sentence about the first that is wrong.
    """
    namespace = params["namespace"]
    reference = parse_workload_ref(params.get("workload_ref"), "workload_ref")
    definition = params.get("definition") if workload is None else workload
    for option, value in (
        ("definition", definition),
        ("active_service", params.get("active_service")),
    ):
        if value is None:
            raise BadInput(f"{option}: nothing was given, and it is required.")
    deployment = parse_deployment(definition, namespace)
    deployment = _with_config(deployment, params.get("config"), namespace)
    active = parse_services(params["active_service"], "active_service", namespace)
    preview = parse_services(
        params.get("preview_service"), "preview_service", namespace
    )
    spec = deployment.body["spec"]
    known = {f.name for f in dataclasses.fields(Parameters)} - set(_PARSED)
    given = {k: v for k, v in params.items() if k in known and v is not None}
    for option in ("scale_up_steps", "scale_down_steps"):
        given[option] = tuple(parse_size(step, option) for step in params[option])
    given.update(_parse_telling(params))
    given.update(_parse_overlays(params))
    for option, key in (
        ("min_ready_seconds", "minReadySeconds"),
        ("progress_deadline_seconds", "progressDeadlineSeconds"),
    ):
        if option not in given and isinstance(spec.get(key), int):
            given[option] = spec[key]
    parameters = Parameters(
        replicas=spec.get("replicas"),
        active_services=tuple(s.name for s in active),
        preview_services=tuple(s.name for s in preview),
        config=tuple(c.ref for c in deployment.config),
        pdb=parse_budget(params.get("pdb"), "pdb"),
        probe=_parse_probe(params.get("probe")),
        workload_ref=reference,
        hooks=_parse_hooks(params.get("hooks")),
        **given,
    )
    validate(parameters)
    return Release(deployment, active, preview, parameters)


def _with_config(deployment: Deployment, value: object, namespace: str) -> Deployment:
    if not value:
        return deployment
    # Only a release with configuration of its own pays for importing it.
    from ._asked_config import parse_config

    config = parse_config(value, "config", namespace, deployment.template)
    return dataclasses.replace(deployment, config=config)


def _parse_probe(value: object) -> str:
    if value is None or value == "":
        return ""
    # Only a release that probes pays for importing it.
    from ._prober import parse_probe

    return parse_probe(value, "probe")


def _parse_hooks(value: object) -> str:
    if value is None or value == "":
        return ""
    # Only a release with hooks pays for importing it.
    from ._asked_hooks import parse_hooks

    return parse_hooks(value, "hooks")


def _rights_to_hook(
    task: Task, parameters: Parameters
) -> list[t.Mapping[str, tuple[str, ...]]]:
    if not parameters.hooks:
        return []
    from ._asked_hooks import rights_needed

    return [rights_needed(parameters.hooks, task.secrets())]


def _refuse_missing_hook_secrets(task: Task, parameters: Parameters) -> None:
    if parameters.hooks:
        from ._asked_hooks import refuse_missing_secrets

        refuse_missing_secrets(parameters.hooks, task.secrets(), "hooks")


def _parse_telling(params: Params) -> dict[str, str]:
    """How pods are told to close what they hold."""
    if not (params.get("drain_http") or params.get("drain_exec")):
        return {}
    # Only a release that asks for it pays for importing it.
    from ._asked_drain import drain_exec, drain_http

    return {
        "drain_http": drain_http(params.get("drain_http"), "drain_http"),
        "drain_exec": drain_exec(params.get("drain_exec"), "drain_exec"),
    }


def _parse_overlays(params: Params) -> dict[str, str]:
    """What pods have only for the time of a role."""
    if not any(params.get(option) for option in _OVERLAYS):
        return {}
    # Only a release that asks for it pays for importing it.
    from ._asked_overlay import parse_anti_affinity, parse_metadata

    return {
        option: (parse_anti_affinity if option == "anti_affinity" else parse_metadata)(
            params.get(option), option
        )
        for option in _OVERLAYS
    }


def _rights_to_lay(
    seen: Observed, parameters: Parameters
) -> list[t.Mapping[str, tuple[str, ...]]]:
    """What this release lays over pod templates, or takes from them."""
    marks = parameters.marks or any(r.overlay.marks for r in seen.revisions)
    laid = any(r.overlay != NOTHING for r in seen.revisions)
    if not (marks or laid or parameters.anti_affinity):
        return []
    from ._asked_overlay import rights_to_lay

    return rights_to_lay(marks)


def _rights_to_tell(parameters: Parameters) -> list[t.Mapping[str, tuple[str, ...]]]:
    if not parameters.tells:
        return []
    from ._asked_drain import rights_to_tell

    return [rights_to_tell(parameters)]


class Given(t.Protocol):
    """What the analyses of a release are composed from: a task, or its input alone."""

    params: t.Any
    namespace: str

    @property
    def api(self) -> Api: ...

    def secrets(self) -> Secrets: ...


def with_analyses(task: Given, release: Release) -> Release:
    """The release with the analyses that it is given, composed and checked.

    :raises BadInput: a line for each thing that is wrong with any of them.
    """
    templates = task.params.get("analysis_templates")
    if not (templates or any(task.params.get(o) for o in _ANALYSES)):
        return release
    from ._asked_analysis import Asked

    body = release.deployment.body
    problems: list[str] = []
    texts: dict[str, t.Any] = {}
    asked = Asked(templates, lambda: task.api, task.namespace, body)
    for option in _ANALYSES:
        try:
            texts[option] = asked.text(task.params.get(option), option)
        except BadInput as error:
            problems.append(str(error))
    if problems:
        raise BadInput("\n".join(problems))
    parameters = dataclasses.replace(release.parameters, **texts)
    if parameters.has_analysis:
        names_given = task.secrets().names_given()
        parameters = dataclasses.replace(parameters, analysis_secrets=names_given)
    return dataclasses.replace(release, parameters=parameters)


def _analyses_of(parameters: Parameters) -> dict[str, str]:
    return {o: getattr(parameters, o) for o in _ANALYSES if getattr(parameters, o)}


def _rights_to_overlap(
    seen: Observed, parameters: Parameters
) -> list[t.Mapping[str, tuple[str, ...]]]:
    """What is watched while two revisions serve, where this release may come to it."""
    served = seen.with_role(names.ROLE_ACTIVE)
    size = full_size(parameters, seen.revision(seen.active_hash))
    chosen = any(s.mixes for s in served) or size > MOST_IN_ONE_SLICE
    if parameters.cutover == OVERLAP or (parameters.cutover == AUTO and chosen):
        return [{"pods": ("watch",)}]
    return []


def _rights_to_analyse(
    task: Task, parameters: Parameters
) -> list[t.Mapping[str, tuple[str, ...]]]:
    if not parameters.has_analysis:
        return []
    from ._asked_analysis import rights_needed

    secrets = task.secrets()
    return [rights_needed(text, secrets) for text in _analyses_of(parameters).values()]


def _refuse_missing_secrets(task: Task, parameters: Parameters) -> None:
    """Refuse a release for which a secret is missing.

    :raises BadInput: a line for each that is missing.
    """
    if not parameters.has_analysis:
        return
    from ._asked_analysis import missing_secrets

    secrets = task.secrets()
    problems = [
        problem
        for option, text in _analyses_of(parameters).items()
        for problem in missing_secrets(text, secrets, option)
    ]
    if problems:
        raise BadInput("\n".join(problems))


def _restart(task: Task) -> Result:
    """Replace the pods of the active revision, each new one ready before one goes."""
    engine, seen = task.engine, task.load()
    view = View(Want(RETIRED), seen, task.clock.now())
    active = view.active
    if view.in_flight_hash is not None or active is None:
        found = "is in flight" if view.in_flight_hash else "serves all users"
        which = describe(seen.revision(view.in_flight_hash), "no revision")
        raise BadInput(
            f"{which} {found}; a restart needs a rollout at rest: promote or abort"
            " first."
        )
    line = f"restart the {active.replicas} pods of {describe(active)}"
    task.report(line)
    engine.steps.append(line)
    engine.changed = True
    if task.runtime.check_mode:
        return task.result(seen, goes_on=False)
    engine.run(Want(RETIRED), finish_changes)
    engine.take_lock()
    new, wanted, failure = task.cluster.restart_progress(active)
    if new >= wanted:
        # Else an earlier restart was ended midway: it goes on where it is.
        task.cluster.restart(active)
    said = ""
    while True:
        new, wanted, failure = task.cluster.restart_progress(active)
        if failure:
            evidence = task.cluster.evidence(active.hash)
            raise BluegreenError(
                f"{describe(active)}: its restart does not go on at {new}/{wanted} new"
                f" pods: {failure} {evidence}".rstrip()
            )
        if new >= wanted:
            break
        text = f"{describe(active)}: {new}/{wanted} new pods"
        if text != said:
            task.report(text)
            said = text
        task.cluster.wait(HEARTBEAT_SECONDS)
    now, record = task.clock.now(), engine.observe().record
    engine.note(record.noted(now, f"{describe(active)} was restarted"))
    return task.result(engine.observe(), goes_on=False)


def _eject(task: Task) -> Result:
    """Back to a plain Deployment and plain Services, without touching a pod."""
    task.cluster.load()
    task.refuse_half_taken_over()
    ejection = Ejection(task.engine, task.lock, task.clock)
    if not ejection.find():
        raise _no_such_rollout(task)
    if task.runtime.check_mode:
        ejection.plan()
        return task.result(task.engine.observe(), goes_on=False)
    return task.result(ejection.run(), goes_on=False)


def _take_over(task: Task) -> Result:
    """What something else released before becomes revision 1, with its pods."""
    # Only this state pays for importing it.
    from ._predecessor import parse_take_over
    from ._take_over import Options, TakeOver

    params = task.params
    options = Options(
        parse_take_over(params.get("take_over"), task.name),
        params.get("active_service"),
        params.get("preview_service") is not None,
        params.get("definition") is not None,
        params["argo_is_stopped"],
        params["argo_namespace"],
        tuple(params.get("accept_field_manager") or ()),
    )
    take_over = TakeOver(
        task.engine,
        task.lock,
        task.clock,
        options,
        lambda found: with_analyses(task, parse_release({**params, **found})),
    )
    task.cluster.load()
    if not take_over.find():
        return task.result(task.engine.observe(), goes_on=False)
    if task.runtime.check_mode:
        take_over.plan()
        return task.result(task.engine.observe(), goes_on=False)
    return task.result(take_over.run(), goes_on=False)


def _rollout(task: Task) -> Result:
    if task.params["state"] == "restarted":
        return _restart(task)
    if task.params["state"] == "ejected":
        return _eject(task)
    if task.params["state"] == "taken_over":
        return _take_over(task)
    workload = _workload_of(task)
    definition = definition_of(workload) if workload is not None else None
    release = with_analyses(task, parse_release(task.params, definition))
    p = release.parameters
    task.engine.deployment = release.deployment
    task.cluster.load(
        release.services,
        p.active_services,
        p.preview_services,
        budgets=bool(p.pdb),
        route=p.route,
        workload_ref=p.workload_ref,
    )
    task.refuse_half_taken_over()
    _load_config(task, p.config)
    want = Want(
        goal=PREVIEWED,
        hash=release.deployment.hash,
        deploy=p,
        retry=bool(task.params["retry_aborted"]),
        inline=task.inline,
    )
    task.want = want
    route = RouteCheck(
        task.cluster, p, tuple(task.params.get("accept_field_manager") or ())
    )
    route.check_shape(View(want, task.engine.observe(), task.clock.now()))
    _close_first(task, want, release)
    route.check_state(View(want, task.engine.observe(), task.clock.now()))
    adoption = _preflight(task, release, workload)
    if adoption is not None:
        if task.runtime.check_mode:
            task.engine.steps.append(adoption.describe())
            task.engine.changed = True
            if adoption.hash == want.hash:
                result = task.result(task.engine.observe(), goes_on=False)
                return _with_plan(task, release, adoption, result)
        else:
            _adopt(task, adoption, release)
    _refuse_to_retry(task, release)
    result = _release_until(task, want)
    if task.runtime.check_mode:
        return _with_plan(task, release, adoption, result)
    return result


def _with_plan(
    task: Task, release: Release, adoption: Adoption | None, result: Result
) -> Result:
    """A planned result with what a person signs off: changes, endpoints, findings."""
    if not task.engine.changed:
        task.report("summary: nothing to do")
        return {**result, "plan": {"changes": [], "endpoints": {}, "findings": []}}
    # Only a plan pays for importing it.
    from ._plan import endpoints_shown
    from ._planner import Asked, Planner

    asked = Asked(
        release.deployment,
        release.services,
        release.parameters,
        tuple(task.params.get("accept_field_manager") or ()),
        adoption.plain if adoption else None,
        tuple(task.concerns),
    )
    planner = Planner(task.cluster, asked, task.engine.planned)
    plan = planner.plan()
    for line in planner.lines:
        task.report(line)
    for side in ("before", "after"):
        result["diff"][side]["endpoints"] = {
            name: endpoints_shown(seen[side])
            for name, seen in plan["endpoints"].items()
        }
    return {**result, "plan": plan}


def _load_config(task: Task, refs: tuple[str, ...]) -> None:
    try:
        task.cluster.load_config(refs)
    except ApiError as error:
        if forbidden(error):
            refuse_missing_rights(task.cluster, "a release", rights_to_keep(refs))
        raise


def _close_first(task: Task, want: Want, release: Release) -> None:
    """What others opened is closed before anything is refused: users reach it.

    :raises BadInput: a tool has opened it, and would do it again.
    """
    step = close_what_others_opened(want, task.engine.observe(), task.clock.now())
    if isinstance(step, Done) or task.runtime.check_mode:
        return
    # Who owned the selector is seen no more once it is ours again.
    accepted = tuple(task.params.get("accept_field_manager") or ())
    known = task.cluster.services.items
    refusals = [
        refusal_of_manager(known[s.name], "active_service", accepted)
        for s in release.active
        if s.name in known
    ]
    task.engine.run(want, close_what_others_opened)
    for refusal in filter(None, refusals):
        raise BadInput(refusal)


def _refuse_to_retry(task: Task, release: Release) -> None:
    """Where a scheduled run must not try again what a person has to look at. One that
    is held stays so, and the state machine says it.

    :raises BadInput: the revision was aborted.
    """
    seen = task.engine.observe()
    target = seen.revision(release.deployment.hash)
    if task.params["retry_aborted"] or target is None or not target.aborted:
        return
    reason = next(
        (
            " ".join(filter(None, ended_as(entry)))
            for entry in reversed(seen.record.history)
            if entry.get("hash") == target.hash
        ),
        "aborted",
    )
    raise BadInput(
        f"retry_aborted: {describe(target)} was {reason} and is not tried again; deploy"
        " another manifest, or allow it with retry_aborted."
    )


def _release_until(task: Task, want: Want) -> Result:
    """To the preview, and on to ``until`` where nothing lies between."""
    if task.runtime.check_mode:
        # One plan to the end; the later tasks have nothing to add to it.
        return task.result(
            task.drive(dataclasses.replace(want, goal=RETIRED)), goes_on=False
        )
    return task.result(_drive_until(task, want), goes_on=True)


def _drive_until(task: Task, want: Want) -> Observed:
    """To the goal, and on to ``until`` where the gate is open: no task's start-up
    stands between what is ready and its promotion.
    """
    seen = task.drive(want)
    if task.runtime.check_mode:
        return seen
    nothing_between = next_task(want, seen, task.clock.now()) == "promote"
    until = task.params["until"]
    if until in (PROMOTED, VERIFIED) and nothing_between:
        want = dataclasses.replace(want, goal=until)
        seen = task.engine.run(want)
    return seen


def _workload_of(task: Task) -> Object | None:
    """The Deployment that revisions are made from; none if a manifest is given.

    :raises BadInput: no revision can be made from it.
    """
    name = name_of(parse_workload_ref(task.params.get("workload_ref"), "workload_ref"))
    if not name:
        return None
    if task.params.get("definition") is not None:
        raise BadInput(
            "workload_ref: revisions are made from that Deployment, and definition was"
            " given, too; give one of them."
        )
    folder = f"/apis/apps/v1/namespaces/{task.namespace}/deployments"
    workload = task.api.find(f"{folder}/{name}")
    if workload is None:
        refuse_absent_namespace(task.cluster)
        raise BadInput(
            f"workload_ref: Deployment {name} does not exist in namespace"
            f" {task.namespace}; create it, or give definition."
        )
    refusal = refusal_of(workload, task.name, "workload_ref")
    if refusal:
        raise BadInput(refusal)
    return workload


def _preflight(
    task: Task, release: Release, workload: Object | None
) -> Adoption | None:
    adoption = Adoption(
        task.cluster, release.deployment, release.parameters, task.report
    )
    # What is referred to stays the user's own.
    found = workload is None and adoption.find()
    beside = adoption.plain if workload is None else workload
    if found and release.parameters.route:
        raise BadInput(
            f"route: Deployment {release.deployment.name} runs already, and is not"
            " adopted behind a route; release it once without route, with the Service"
            " that has all of the weight as active_service and the other one among"
            " other_services, then with route."
        )
    checks = Preflight(
        task.cluster,
        release.deployment,
        release.active,
        release.preview,
        tuple(task.params.get("other_services") or ()),
        tuple(task.params.get("accept_field_manager") or ()),
        beside,
    )
    checks.check()
    checks.check_metadata(release.parameters)
    around = Surroundings(
        task.cluster,
        release.deployment,
        release.parameters.pdb,
        tuple(task.params.get("accept_field_manager") or ()),
        beside,
    )
    around.check()
    more = around.rights()
    if release.parameters.route:
        more.append(ROUTE_RIGHTS)
    seen = task.engine.observe()
    target = seen.revision(release.deployment.hash)
    more += _rights_to_lay(seen, release.parameters)
    if target is None and not (found and adoption.hash == release.deployment.hash):
        active = seen.revision(seen.active_hash)
        if active is not None or beside is not None:
            full = full_size(release.parameters, active)
            checks.check_placement(release.parameters.before_promotion(full))
            stable = active.hash if active else ""
            checks.check_anti_affinity(release.parameters, stable)
        more += _rights_to_analyse(task, release.parameters)
        more += _rights_to_tell(release.parameters)
        more += _rights_to_hook(task, release.parameters)
        more += _rights_to_overlap(seen, release.parameters)
        more.append(rights_to_keep(release.parameters.config))
        checks.check_rights(found, more)
        _refuse_missing_secrets(task, release.parameters)
        _refuse_missing_hook_secrets(task, release.parameters)
        around.check_new_revision()
        _try_creation(task, release)
        _try_jobs(task, release)
    elif found or (target and not _has_overlays_of(target, release.parameters)):
        checks.check_rights(found, more)
    warnings = checks.warnings + around.warnings
    if task.runtime.check_mode:
        # A plan tells them among its findings, by how much they matter.
        task.concerns += warnings
    else:
        task.engine.warnings += warnings
    _try_config(task, release)
    return adoption if found else None


def _has_overlays_of(revision: Revision, parameters: Parameters) -> bool:
    """Whether a revision was released with the same ones."""
    before = revision.parameters
    return before is not None and all(
        getattr(before, option) == getattr(parameters, option) for option in _OVERLAYS
    )


def _try_creation(task: Task, release: Release) -> None:
    """A dry-run: what admission or RBAC refuses is refused before the first write."""
    try:
        with blames_definition():
            task.cluster.create_revision(
                release.deployment,
                0,
                1,
                release.parameters,
                overlay_of(release.parameters.preview_metadata),
                dry_run=True,
            )
    except NotFound as error:
        raise absent_namespace(task.namespace) from error
    except BluegreenError as error:
        # A plan tells what a policy refuses beside all else that it finds.
        if not (task.runtime.check_mode and is_denied(error)):
            raise


def _try_jobs(task: Task, release: Release) -> None:
    parameters = release.parameters
    if not (parameters.hooks or parameters.has_analysis):
        return
    # Only a release that may run one pays for importing it.
    from ._analysis.measurement import Place
    from ._tried_jobs import try_jobs

    place = Place(
        now=task.clock.now,
        secret=task.secrets().get,
        api=lambda: task.api,
        namespace=task.namespace,
        rollout=task.name,
        revision=release.deployment.hash,
        stable=task.engine.observe().active_hash or "",
        run=f"{task.name}-tried",
    )
    try_jobs(place, parameters.hooks, _analyses_of(parameters))


def _try_config(task: Task, release: Release) -> None:
    """A dry-run of what is missing of the revision's configuration."""
    deployment, seen = release.deployment, task.engine.observe()
    refs = release.parameters.config
    missing = missing_config(seen, deployment.hash, refs)
    for item in deployment.config:
        if item.ref not in missing:
            continue
        try:
            task.cluster.config.keep(item, deployment.hash, dry_run=True)
        except Conflict as error:
            which = describe_config([item.ref], deployment.hash)
            raise BadInput(
                f"config: {which} exists already and is not of this rollout's"
                f" configuration; delete it, or give {item.kind} {item.name} another"
                " name."
            ) from error
        except ApiError as error:
            if error.status not in (400, 422):
                raise
            raise BadInput(f"config: {error}") from error


def _adopt(task: Task, adoption: Adoption, release: Release) -> None:
    engine = task.engine
    seen = engine.observe()
    now = task.clock.now()
    line = adoption.describe()
    engine.take_lock()
    engine.note(
        dataclasses.replace(seen.record, phase=PROGRESSING, message=line).noted(
            now, line
        )
    )
    engine.steps.append(line)
    adoption.run()
    engine.note(
        record_of_adopted(
            engine.observe().record,
            adoption.hash,
            "revision 1 was adopted; it is stable and serves all users",
        )
    )
    task.cluster.reload()


# -- the other modules ---------------------------------------------------------------


def _analysis(task: Task) -> Result:
    for option in ("analysis", "analysis_templates"):
        if task.params.get(option):
            raise BadInput(
                f"{option}: a rollout is measured by what its release was started with;"
                " leave it out, or leave out name to run an analysis alone."
            )
    view = View(Want(ANALYSED), task.load(), task.clock.now())
    if view.is_active:
        return _go_on(task, VERIFIED)
    want = Want(
        ANALYSED,
        hash=task.expected(view.seen, view.target_hash),
        inline=task.inline,
    )
    seen = _drive_until(task, want)
    return task.result(seen, goes_on=True)


def _pause(task: Task) -> Result:
    task.load()
    runtime = task.runtime
    with Gatekeeper(
        task.name,
        task.namespace,
        task.report,
        task.cluster.watches.nudge,
        runtime.holder.display,
        runtime.terminal,
    ) as gatekeeper:
        task.engine.gatekeeper = gatekeeper
        attended = runtime.terminal is not None
        result = _go_on(task, PAUSED, leaves_if="pause", attended=attended)
    record = task.engine.observe().record
    if record.phase == PHASE_PAUSED and not runtime.check_mode:
        gatekeeper.leave(record.promote_at)
        result["commands"] = commands(task.name, task.namespace)
    return result


def _go_on(
    task: Task, goal: str, leaves_if: str = "", attended: bool = False
) -> Result:
    """Take the release in flight on to a stage; with none in flight, do nothing."""
    seen = task.engine.observe()
    view = View(Want(goal, inline=task.inline), seen, task.clock.now())
    target = task.expected(seen, view.target_hash)
    want = Want(goal, hash=target, inline=task.inline, attended=attended)
    task.want = want
    seen = task.drive(want)
    following = next_task(want, seen, task.clock.now())
    return task.result(seen, goes_on=following != leaves_if)


def _roll_back(task: Task) -> Result:
    """To an earlier revision, by the policy of the present one: no manifest needed."""
    seen = task.load()
    target = _way_back(task, seen)
    present = seen.revision(seen.record.stable) or seen.revision(seen.active_hash)
    parameters = (present and present.parameters) or target.parameters
    if parameters is None:
        raise BluegreenError(
            f"{describe(target)}: its release parameters cannot be read; deploy its"
            " manifest instead."
        )
    parameters = _with_config_of(task, target, parameters)
    now = task.clock.now()
    if not is_quick_way_back(target, parameters, seen, now):
        task.secrets().require(parameters.analysis_secrets, "analysis_secrets")
    want = Want(
        PREVIEWED,
        hash=target.hash,
        deploy=parameters,
        rollback=True,
        inline=task.inline,
    )
    return _release_until(task, want)


def _with_config_of(task: Task, target: Revision, parameters: Parameters) -> Parameters:
    """The policy of the present revision, with what belongs to the one before.

    :raises BadInput: that is gone, and no new pod of it could start.
    """
    task.cluster.load_config()
    config = target.parameters.config if target.parameters else ()
    missing = missing_config(task.engine.observe(), target.hash, config)
    if missing and target.replicas == 0:
        raise BadInput(
            f"to_revision: {describe_config(missing, target.hash)} of"
            f" {describe(target)} is gone, somebody deleted it; deploy its manifest"
            " with its configuration instead."
        )
    return dataclasses.replace(parameters, config=config)


def _way_back(task: Task, seen: Observed) -> Revision:
    """The revision that a rollback goes to.

    :raises BadInput: there is none, or another release is in flight.
    """
    asked = str(task.params.get("to_revision") or "")
    in_flight = View(Want(PROMOTED), seen, task.clock.now()).in_flight_hash
    target = find_revision(seen, asked) if asked else previous_stable(seen)
    known = ", ".join(str(r.number) for r in ways_back(seen)) or "none"
    if target is None:
        found = f"there is no revision {asked}" if asked else "there is none"
        raise BadInput(
            f"to_revision: {found} to go back to; those that can be rolled back to:"
            f" {known}. Deploy an earlier manifest instead."
        )
    if target.aborted and target.hash != in_flight:
        raise BadInput(
            f"to_revision: {describe(target)} was aborted and never stable; those that"
            f" can be rolled back to: {known}."
        )
    _refuse_past_no_return(task, seen, target)
    if not asked and in_flight not in (None, target.hash):
        raise BadInput(
            f"to_revision: {describe(seen.revision(in_flight))} is in flight; run the"
            " abort playbook to leave it, or name the revision to go back to."
        )
    return target


def _refuse_past_no_return(task: Task, seen: Observed, target: Revision) -> None:
    """Where a hook has closed the way back, only who knows better takes it.

    :raises BadInput: the way was closed.
    """
    closed = seen.record.no_return
    numbers = {str(e.get("hash")): e.get("revision") for e in seen.record.history}
    known = seen.revision(closed)
    number = known.number if known is not None else numbers.get(closed)
    if task.params["past_no_return"] or not isinstance(number, int):
        return
    if target.hash != closed and target.number < number:
        raise BadInput(
            f"to_revision: {describe(target)} is before revision {number}, a hook of"
            " which has done what earlier revisions cannot work with, so users could"
            " not be served by it; deploy a corrected manifest, or go back all the same"
            " with past_no_return."
        )


def _promote(task: Task) -> Result:
    if task.params["full"] and not task.params["approve"]:
        raise BadInput("full: it is a person's decision; give approve as well.")
    if task.params["state"] == "rolled_back":
        return _roll_back(task)
    abort = task.params["state"] == "aborted"
    seen = task.load()
    view = View(Want(PROMOTED), seen, task.clock.now())
    target = task.expected(seen, view.target_hash)
    approve = bool(task.params["approve"])
    want = Want(
        STABLE if abort else task.params["until"],
        hash=target,
        approve=approve,
        abort=abort,
        full=bool(task.params["full"]),
        inline=task.inline,
    )
    task.want = want
    already = abort and view.in_flight_hash is None
    if already and _was_aborted(seen):
        return task.result(seen, goes_on=True)
    asks = (approve or abort) and view.in_flight_hash is not None
    if asks and not task.runtime.check_mode:
        holder = task.lock.live_holder()
        if holder:
            verb = "promote_full" if want.full else "promote"
            return _ask(task, "abort" if abort else verb, str(target), holder)
    return task.result(task.drive(want), goes_on=True)


def _was_aborted(seen: Observed) -> bool:
    last = seen.revision(seen.record.revision)
    return last is not None and last.aborted and seen.record.stage == STABLE


def _ask(task: Task, verb: str, revision: str, holder: str) -> Result:
    """Ask the run that drives the rollout, and wait until it has heeded."""
    engine, cluster = task.engine, task.cluster
    by = f"{task.runtime.holder.display}"
    for _try in range(20):
        record = cluster.observe().record
        try:
            cluster.write_record(
                dataclasses.replace(record, request=Request(verb, revision, by))
            )
            break
        except Conflict:
            cluster.reload()
    line = f"asked {holder} to {verb} revision {revision}"
    task.report(line)
    engine.steps.append(line)
    engine.changed = True
    deadline = time.monotonic() + _HEED_SECONDS
    while cluster.observe().record.request is not None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise BluegreenError(
                f"{holder} drives {task.namespace}/{task.name} and did not heed the"
                f" request to {verb} within {_HEED_SECONDS:.0f} s; if that run is gone,"
                " run this again."
            )
        cluster.wait(left)
    return task.result(cluster.observe(), goes_on=False)


def _hook(task: Task) -> Result:
    """Note how a task file has ended, for the run that goes on from there."""
    seen = task.load()
    name, succeeded = str(task.params["hook"]), bool(task.params["succeeded"])
    message = _first_line(str(task.params.get("reason") or ""))
    now = task.clock.now()
    awaited = _decide_hooks.awaited(View(task.want, seen, now))
    if awaited is None or awaited.name != name:
        found = f"{awaited.name} is the one" if awaited else "none is"
        raise BadInput(
            f"hook: no outcome of {name} is awaited ({found}): it has taken too long,"
            " its outcome is known, or the release was left meanwhile. Nothing was"
            " changed."
        )

    def tell(want: Want, seen: Observed, now: datetime) -> Step:
        view = View(want, seen, now)
        return _decide_hooks.told(view, name, succeeded, message) or Done()

    if task.runtime.check_mode:
        task.engine.act_on_own(f"note how hook {name} has ended")
        return task.result(seen, goes_on=False)
    task.diff_before = _summary(seen)
    return task.result(task.engine.run(task.want, tell), goes_on=True)


def _first_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN_OF_MESSAGE else f"{line[:_SHOWN_OF_MESSAGE]}..."


def _scale_down(task: Task) -> Result:
    seen = task.load()
    target = task.expected(seen, seen.active_hash)
    want = Want(RETIRED, hash=target, inline=task.inline)
    task.want = want
    return task.result(task.drive(want), goes_on=False)


def _info(task: Task) -> Result:
    task.only_looks = True
    seconds = _watch_timeout(task.params)
    task.cluster.load()
    late = rest = ""
    if task.params["watch"]:
        watching = Watching(task)
        rest = watching.until_rest(seconds)
        late = "" if rest else _late(task, seconds, watching.driver())
        if rest:
            task.report(f"at rest: {rest}")
    seen = task.engine.observe_anew()
    now = task.clock.now()
    result = task._describe(seen, next_task(task.want, seen, now))
    result["changed"] = False
    result["exists"] = bool(seen.revisions) or seen.record_exists
    result["tree"] = tree(task.name, task.namespace, seen, task.cluster.pods(), now)
    if rest:
        result["rest"] = rest
    failure = late or _unexpected(task, seen)
    return {**result, "failed": True, "msg": failure} if failure else result


def _watch_timeout(params: Params) -> int:
    seconds: int = params["watch_timeout_seconds"]
    if seconds < 0:
        raise BadInput(
            f"watch_timeout_seconds: {seconds} was found, a number of seconds is"
            " expected, or 0 to watch for as long as it takes."
        )
    return seconds


def _late(task: Task, seconds: int, driver: str) -> str:
    record = task.engine.observe_anew().record
    return (
        f"watch_timeout_seconds: {task.namespace}/{task.name} did not come to rest"
        f" within {seconds} s; it is {record.phase or UNKNOWN} ({record.stage}),"
        f" {driver}: {record.message.rstrip('.')}; watch it again, with more seconds if"
        " it needs them."
    )


def _unexpected(task: Task, seen: Observed) -> str:
    expected: list[str] = task.params["expect"]
    if expected and not (seen.revisions or seen.record_exists):
        return str(_no_such_rollout(task))
    return unexpected(task.name, task.namespace, seen, expected, task.clock.now())


_MODULES: dict[str, t.Callable[[Task], Result]] = {
    "bluegreen_rollout": _rollout,
    "bluegreen_analysis": _analysis,
    "bluegreen_pause": _pause,
    "bluegreen_promote": _promote,
    "bluegreen_scale_down": _scale_down,
    "bluegreen_hook": _hook,
    "bluegreen_info": _info,
}


def execute(module: str, params: Params, runtime: Runtime) -> Result:
    """Run a module; a failure is a result with ``failed`` and one sentence."""
    if module == "bluegreen_analysis" and not params.get("name"):
        from ._alone import run_alone

        return run_alone(params, runtime)
    if module == "bluegreen_lint":
        from ._lint import lint

        return lint(params, runtime)
    task: Task | None = None
    try:
        task = Task(params, runtime)
        return _MODULES[module](task)
    except BluegreenError as error:
        if task is None:
            return {"failed": True, "msg": str(error), "changed": False}
        return task.failure(error)
    finally:
        if task is not None:
            task.close()
