# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with the input of a deploy, seen without a cluster.

It is parsed by what a deploy parses it with. An option that is refused is left out and
the rest is parsed again, so that all of them are told at once. Private to the
collection: it may change in any release.
"""

from __future__ import annotations

import re
import typing as t

from . import _argspec
from ._errors import BadInput, NotFound
from ._findings import (
    ERROR,
    NOTICE,
    Finding,
    of_definition,
    of_service,
    ordered,
    refusal_of_labels,
    summary,
)
from ._manifests import check_name
from ._objects import Object
from ._secrets import Secrets, parse_given

if t.TYPE_CHECKING:
    from ._api import Api
    from ._tasks import Params, Release, Result, Runtime

_OPTION = re.compile(r"(?P<option>[a-z_]+)(?P<place>[^\s:]*): (?P<message>.+)", re.S)
_IN_CLUSTER = "was found neither among the templates"
# They are required: something stands in for one that is refused.
_LABELS = {"app": "refused"}
_STAND_INS: dict[str, t.Any] = {
    "name": "refused",
    "active_service": "refused",
    "definition": {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "refused"},
        "spec": {
            "selector": {"matchLabels": _LABELS},
            "template": {
                "metadata": {"labels": _LABELS},
                "spec": {"containers": [{"name": "refused"}]},
            },
        },
    },
}


class NoCluster:
    """Stands where templates are looked up in the cluster, which nobody asks here."""

    def get(self, path: str, query: t.Mapping[str, str] | None = None) -> Object:
        """Nothing is there.

        :raises NotFound: always.
        """
        raise NotFound(f"{path} is not looked up.")


class Input:
    """The options of a deploy, as far as they are not refused yet."""

    def __init__(self, params: Params) -> None:
        self.params: dict[str, t.Any] = dict(params)
        self.namespace: str = params["namespace"]
        self.refused: list[str] = []

    @property
    def api(self) -> Api:
        """No API: what is only in the cluster is not looked at."""
        return t.cast("Api", NoCluster())

    def secrets(self) -> Secrets:
        """Those that were given."""
        given = parse_given(self.params.get("analysis_secrets"), "analysis_secrets")
        return Secrets(given, lambda: self.api, self.namespace)

    def leave_out(self, option: str) -> bool:
        """Go on without an option; whether that was possible."""
        if option not in self.params or option in self.refused:
            return False
        self.refused.append(option)
        default = _argspec.MODULES["bluegreen_lint"][option].get("default")
        self.params[option] = _STAND_INS.get(option, default)
        return True


def lint(params: Params, runtime: Runtime) -> Result:
    """All that is found; a failed result where any of it is an error."""
    given = Input(params)
    findings = ordered(_findings(given))
    told = summary(findings)
    if params.get("progress", True):
        place = f"bluegreen {params['namespace']}/{params['name']} [lint]"
        for finding in findings:
            runtime.report(f"{place} {finding}")
        runtime.report(f"{place} summary: {told}")
    errors = [f for f in findings if f.level == ERROR]
    result: Result = {
        "changed": False,
        "findings": [finding.as_data() for finding in findings],
        "summary": told,
    }
    if errors:
        result["failed"] = True
        result["msg"] = "\n".join(f"{f.object}: {f.message}" for f in errors)
    return result


def _findings(given: Input) -> list[Finding]:
    found: list[Finding] = []
    release = _parsed(given, found)
    if release is None or "definition" in given.refused:
        return found
    found += of_definition(release.deployment, release.parameters)
    for variable, services in (
        ("active_service", release.active),
        ("preview_service", release.preview),
    ):
        for service in services:
            if service.manifest is None or variable in given.refused:
                continue
            refusal = refusal_of_labels(
                service.name, service.manifest, variable, release.deployment.pod_labels
            )
            found += [_finding(refusal)] if refusal else []
            found += of_service(service.manifest, release.deployment)
    return found


def _parsed(given: Input, found: list[Finding]) -> Release | None:
    """The release, without what is refused of it; none where nothing is left."""
    from ._tasks import parse_release, with_analyses

    if given.params.get("workload_ref") and given.params.get("definition") is None:
        # What revisions are made from is in the cluster.
        given.leave_out("definition")
    # What the action plugin could not read.
    for line in given.params.get("_unread") or ():
        found.append(_finding(line))
        given.leave_out(_option_of(found[-1]))
    while True:
        try:
            check_name(given.params["name"])
            if given.params["state"] != "released":
                raise BadInput(
                    f"state: {given.params['state']} takes no manifest, so there is"
                    " nothing to look at; leave it out."
                )
            given.secrets()
            return with_analyses(given, parse_release(given.params))
        except BadInput as error:
            told = [_finding(line) for line in str(error).splitlines()]
            found += told
            options = {_option_of(finding) for finding in told}
            # One that is refused again, or is none, cannot be left out.
            if not all(given.leave_out(option) for option in sorted(options)):
                return None


def _finding(line: str) -> Finding:
    """A refusal as a finding about the option that it begins with."""
    named = _OPTION.fullmatch(line)
    if named is None:
        return Finding(ERROR, "input", line)
    option = f"{named['option']}{named['place']}"
    if _IN_CLUSTER in line:
        what = named["message"].partition(_IN_CLUSTER)[0].strip()
        return Finding(
            NOTICE,
            option,
            f"{what} is not among analysis_templates; whether the cluster has it is"
            " not checked here.",
        )
    return Finding(ERROR, option, named["message"])


def _option_of(finding: Finding) -> str:
    named = re.match(r"[a-z_]+", finding.object)
    return named.group() if named else ""
