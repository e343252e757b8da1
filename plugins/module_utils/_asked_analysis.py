# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The analyses that a task is given, composed and checked before the first write.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import json
import typing as t

from ._analysis.measurement import SecretMissing
from ._analysis.parsing import secrets_of
from ._analysis.registry import provider
from ._analysis.templates import compose, read_documents
from ._errors import BadInput, NotFound
from ._parameters import canonical
from ._preflight import merged_rights
from ._secrets import Secrets

if t.TYPE_CHECKING:
    from ._api import Api

# As long as an annotation may be, less what else stands beside it on the Deployment.
_MAX_TEXT = 200 * 1024
_ARGO = "/apis/argoproj.io/v1alpha1"


class Asked:
    """What may be asked of a task: templates, and analyses that use them.

    :param api: gives the Kubernetes API, where templates may be, too.
    :param fields: what ``fieldRef`` reads: the manifest of the rollout.
    """

    def __init__(
        self,
        templates: object,
        api: t.Callable[[], Api],
        namespace: str,
        fields: t.Mapping[str, t.Any],
    ) -> None:
        self._documents = read_documents(templates, "analysis_templates")
        self._api = api
        self._namespace = namespace
        self._fields = fields

    def text(self, asked: object, variable: str, gate: bool = True) -> str:
        """The composed analysis as JSON text; empty if none is asked for.

        :raises BadInput: a line for each thing that is wrong.
        """
        composed = compose(
            asked, self._documents, self._from_cluster, self._fields, variable, gate
        )
        if composed is None:
            return ""
        text = canonical(composed)
        if len(text) > _MAX_TEXT:
            raise BadInput(
                f"{variable}: its templates take {len(text) // 1024} KiB, more than"
                f" {_MAX_TEXT // 1024} KiB; leave out metrics that it does not need."
            )
        return text

    def _from_cluster(self, kind: str, name: str) -> dict[str, t.Any] | None:
        scope = "" if kind.startswith("Cluster") else f"/namespaces/{self._namespace}"
        try:
            return self._api().get(f"{_ARGO}{scope}/{kind.lower()}s/{name}")
        except NotFound:
            return None


def rights_needed(text: str, secrets: Secrets) -> dict[str, tuple[str, ...]]:
    """What an analysis asks of the Kubernetes API: verbs by resource."""
    composed = json.loads(text)
    found: dict[str, tuple[str, ...]] = {}
    for metric in composed["metrics"]:
        for name, config in metric["provider"].items():
            of_provider = getattr(provider(name), "rights", None)
            if of_provider is not None:
                found = merged_rights(found, of_provider(config))
    given = secrets.names_given()
    if any("/".join(r) not in given for r in secrets_of(composed).values()):
        found["secrets"] = ("get",)
    return found


def missing_secrets(text: str, secrets: Secrets, variable: str) -> list[str]:
    """A sentence for each secret argument of an analysis that is nowhere."""
    problems = []
    for name, reference in secrets_of(json.loads(text)).items():
        try:
            secrets.get(*reference)
        except SecretMissing as error:
            problems.append(f"{variable}: argument {name}: {error}")
    return problems
