# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The user's manifests: read, refused in one sentence, and made into revisions.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import json
import re
import typing as t
from dataclasses import dataclass

from . import _names as names
from ._config import ConfigObject, fingerprint, versioned
from ._deps import yaml
from ._errors import BadInput
from ._objects import Object
from ._parameters import Parameters, canonical

# The version stands in the hashed text, so that another way to hash gives new hashes.
_HASH_VERSION = "bluegreen/v1"
_HASH_LENGTH = 10
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True)
class Deployment:
    """A user's Deployment manifest that can be released."""

    name: str
    body: Object
    # The ConfigMaps and Secrets that belong to the revision.
    config: tuple[ConfigObject, ...] = ()

    @property
    def template(self) -> Object:
        """The pod template as the user wrote it."""
        template: Object = self.body["spec"]["template"]
        return template

    @property
    def pod_labels(self) -> dict[str, str]:
        """The labels of its pods, without ours."""
        labels: dict[str, str] = self.template["metadata"]["labels"]
        return labels

    # Kept, because Secrets are hashed slowly.
    @functools.cached_property
    def hash(self) -> str:
        """The content hash of the pod template and its configuration, of the input and
        never of a live object, which the API server has defaulted.
        """
        return hash_of(self.template, self.config)


@dataclass(frozen=True)
class ServiceInput:
    """A Service by name, or by a manifest from which it is created if absent."""

    name: str
    manifest: Object | None = None


def hash_of(template: Object, config: tuple[ConfigObject, ...] = ()) -> str:
    """Ten hex digits of the canonical JSON of a pod template, and of the configuration
    that belongs to it, if any.
    """
    hashed = template
    if config:
        hashed = {"template": template, "config": fingerprint(config, template)}
    text = canonical(hashed)
    digest = hashlib.sha256(f"{_HASH_VERSION}\n{text}".encode()).hexdigest()
    return digest[:_HASH_LENGTH]


def is_name(text: str) -> bool:
    """Whether a string can be the name of a Service (an RFC 1035/1123 label)."""
    return len(text) <= 63 and bool(_DNS_LABEL.fullmatch(text))


def is_text(text: str) -> bool:
    """Whether a string is YAML or JSON text rather than a path."""
    return "\n" in text or ": " in text or text.lstrip()[:1] in ("{", "[")


def check_name(name: str) -> None:
    """Refuse a rollout name that no object could carry."""
    if not is_name(name) or len(name) > names.MAX_NAME_LENGTH:
        raise BadInput(
            f"name: {name!r} cannot name a rollout; use at most"
            f" {names.MAX_NAME_LENGTH} lower-case letters, digits and hyphens, a letter"
            " or digit first and last."
        )


def parse(value: object, variable: str) -> Object:
    """One manifest from a mapping or YAML text.

    :raises BadInput: it is not one mapping.
    """
    if isinstance(value, str):
        try:
            documents = [d for d in yaml.safe_load_all(value) if d is not None]
        except yaml.YAMLError as error:
            raise BadInput(
                f"{variable}: this is not YAML ({yaml_trouble(error)}); correct it, or"
                " give the path of a manifest."
            ) from error
        if len(documents) != 1:
            raise BadInput(
                f"{variable}: one manifest is expected, {len(documents)} documents were"
                " found; give the one, and others in their own variables."
            )
        value = documents[0]
    if not isinstance(value, dict):
        raise BadInput(
            f"{variable}: a manifest is expected, {type(value).__name__} was found:"
            f" {str(value)[:60]!r}."
        )
    return value


def loaded(value: object, variable: str, instead: str) -> object:
    """Data as it is, or as YAML text has it, which is how surveys send it.

    :param instead: what to give where it is not YAML.
    :raises BadInput: it is not.
    """
    if not isinstance(value, str):
        return value
    try:
        return t.cast(object, yaml.safe_load(value))
    except yaml.YAMLError as error:
        raise BadInput(
            f"{variable}: this is not YAML ({yaml_trouble(error)}); {instead}."
        ) from error


def refuse_unknown(
    given: t.Iterable[object], known: t.Sequence[str], variable: str
) -> None:
    """Refuse a key that nobody reads: it may be one that is misspelt.

    :raises BadInput: the first one.
    """
    unknown = sorted(str(key) for key in set(given) - set(known))
    if unknown:
        raise BadInput(
            f"{variable}: {unknown[0]} is not known; give any of {', '.join(known)}."
        )


def yaml_trouble(error: Exception) -> str:
    """What the parser met and where, in one line."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None)
    if mark is None or not problem:
        return " ".join(str(error).split())
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}"


def parse_deployment(value: object, namespace: str) -> Deployment:
    """The user's Deployment.

    :raises BadInput: it is not one that can be released, and why.
    """
    body = parse(value, "definition")
    _expect_kind(body, "definition", "apps/v1", "Deployment")
    name = _metadata_name(body, "definition", namespace)
    spec = _section(body, "definition", "spec")
    template = _section(spec, "definition: spec", "template")
    pod_spec = _section(template, "definition: spec.template", "spec")
    containers = pod_spec.get("containers")
    if not isinstance(containers, list) or not containers:
        raise BadInput(
            f"definition: Deployment {name} has no containers in spec.template.spec;"
            " give at least one."
        )
    metadata = template.setdefault("metadata", {})
    labels = metadata.get("labels") if isinstance(metadata, dict) else None
    if not isinstance(labels, dict) or not labels:
        raise BadInput(
            f"definition: Deployment {name} has no labels in spec.template.metadata;"
            " give its pods the labels that its selector and Services use."
        )
    for key in (names.LABEL_HASH, names.LABEL_ROLLOUT):
        if key in labels:
            raise BadInput(
                f"definition: the pod template of Deployment {name} carries the label"
                f" {key}, which this collection sets itself; remove it."
            )
    _check_selector(name, spec, labels)
    replicas = spec.get("replicas")
    if replicas is not None and (
        not isinstance(replicas, int) or isinstance(replicas, bool)
    ):
        raise BadInput(
            f"definition: spec.replicas of Deployment {name} is {replicas!r}; give a"
            " whole number."
        )
    return Deployment(name, copy.deepcopy(body))


def _check_selector(name: str, spec: Object, labels: t.Mapping[str, t.Any]) -> None:
    selector = _section(spec, "definition: spec", "selector")
    wanted = selector.get("matchLabels") or {}
    if not isinstance(wanted, dict):
        raise BadInput(
            f"definition: spec.selector.matchLabels of Deployment {name} is {wanted!r};"
            " give a mapping of labels."
        )
    if not wanted and not selector.get("matchExpressions"):
        raise BadInput(
            f"definition: the selector of Deployment {name} is empty; give matchLabels."
        )
    for key, value in wanted.items():
        if labels.get(key) != value:
            raise BadInput(
                f"definition: the selector of Deployment {name} asks for {key}={value},"
                f" its pod template has {key}={labels.get(key)}; make them agree."
            )


def _section(parent: Object, where: str, key: str) -> Object:
    section = parent.get(key)
    if not isinstance(section, dict):
        raise BadInput(f"{where}.{key} is missing or is not a mapping; give one.")
    return section


def _expect_kind(body: Object, variable: str, api_version: str, kind: str) -> None:
    found = f"{body.get('apiVersion')} {body.get('kind')}"
    if found != f"{api_version} {kind}":
        raise BadInput(
            f"{variable}: a manifest of {api_version} {kind} is expected, {found} was"
            " found."
        )


def _metadata_name(body: Object, variable: str, namespace: str) -> str:
    metadata = _section(body, variable, "metadata")
    name = metadata.get("name")
    if not isinstance(name, str) or not name:
        raise BadInput(f"{variable}: metadata.name is missing; give the object a name.")
    found = metadata.get("namespace")
    if found not in (None, namespace):
        raise BadInput(
            f"{variable}: {body['kind']} {name} is of namespace {found}, the rollout of"
            f" {namespace}; set namespace to {found}, or change the manifest."
        )
    return name


def parse_services(
    value: object, variable: str, namespace: str
) -> tuple[ServiceInput, ...]:
    """Services: a name, a manifest, or a list of either; none and '' are none."""
    if value is None or value == "":
        return ()
    if isinstance(value, str) and not is_name(value):
        value = _loaded(value, variable)
    items = value if isinstance(value, list) else [value]
    services = tuple(_service(item, variable, namespace) for item in items)
    seen: set[str] = set()
    for service in services:
        if service.name in seen:
            raise BadInput(f"{variable}: Service {service.name} is listed twice.")
        seen.add(service.name)
    return services


def _loaded(text: str, variable: str) -> object:
    if not is_text(text):
        raise BadInput(
            f"{variable}: {text!r} is neither the name of a Service nor a manifest."
        )
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return parse(text, variable)


def _service(item: object, variable: str, namespace: str) -> ServiceInput:
    if isinstance(item, str) and is_name(item):
        return ServiceInput(item)
    body = parse(item, variable)
    _expect_kind(body, variable, "v1", "Service")
    name = _metadata_name(body, variable, namespace)
    spec = _section(body, variable, "spec")
    if not isinstance(spec.get("selector"), dict) or not spec["selector"]:
        raise BadInput(
            f"{variable}: Service {name} has no selector; give it the labels of the"
            " pods that it serves."
        )
    return ServiceInput(name, copy.deepcopy(body))


def deployment_body(
    deployment: Deployment,
    rollout: str,
    namespace: str,
    number: int,
    replicas: int,
    parameters: Parameters,
    fence: str,
    revision_hash: str = "",
) -> Object:
    """The Deployment of one revision: the user's manifest, narrowed by the hash.

    :param revision_hash: the hash, where it is not that of the template: an adopted
        ReplicaSet runs the manifest as the API server has defaulted it.
    """
    revision_hash = revision_hash or deployment.hash
    ours = {names.LABEL_ROLLOUT: rollout, names.LABEL_HASH: revision_hash}
    metadata = deployment.body["metadata"]
    annotations = dict(metadata.get("annotations") or {})
    annotations.pop(_LAST_APPLIED, None)
    spec = copy.deepcopy(deployment.body["spec"])
    selector = spec["selector"]
    selector["matchLabels"] = {
        **(selector.get("matchLabels") or {}),
        names.LABEL_HASH: revision_hash,
    }
    spec["template"] = versioned(deployment.template, deployment.config, revision_hash)
    pod_metadata = spec["template"].setdefault("metadata", {})
    pod_metadata["labels"] = {**(pod_metadata.get("labels") or {}), **ours}
    spec["replicas"] = replicas
    spec["minReadySeconds"] = parameters.min_ready_seconds
    spec["progressDeadlineSeconds"] = parameters.progress_deadline_seconds
    spec.pop("paused", None)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": names.deployment_name(rollout, revision_hash),
            "namespace": namespace,
            "labels": {**(metadata.get("labels") or {}), **ours},
            "annotations": {
                **annotations,
                names.ANNOTATION_DEFINITION: deployment.name,
                names.ANNOTATION_REVISION: str(number),
                names.ANNOTATION_PARAMETERS: parameters.to_json(),
                names.ANNOTATION_FENCE: fence,
            },
        },
        "spec": spec,
    }


def service_annotations(
    rollout: str, role: str, original: t.Mapping[str, str]
) -> dict[str, str]:
    """What tells later runs that a Service belongs to a rollout, and its selector."""
    return {
        names.ANNOTATION_ROLLOUT: rollout,
        names.ANNOTATION_ROLE: role,
        names.ANNOTATION_ORIGINAL_SELECTOR: json.dumps(
            dict(original), sort_keys=True, separators=(",", ":")
        ),
    }


def original_selector(service: Object) -> dict[str, str]:
    """A Service's own selector: the annotation, else what it has but for the hash.

    Somebody who re-applies a manifest with another selector means that one.
    """
    selector = dict(service["spec"].get("selector") or {})
    for ours in (names.LABEL_HASH, names.LABEL_ROLLOUT):
        selector.pop(ours, None)
    return selector


def proof_body(
    service: Object, rollout: str, namespace: str, revision_hash: str
) -> Object:
    """A headless Service that shows what an active Service would give a revision."""
    spec = service["spec"]
    ports = [
        {k: p[k] for k in ("name", "port", "targetPort", "protocol") if k in p}
        for p in spec.get("ports") or []
    ]
    name = service["metadata"]["name"]
    original = original_selector(service)
    body: Object = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": names.proof_service_name(name),
            "namespace": namespace,
            # Its slices get the label: they tell which selector they were made for.
            "labels": {names.LABEL_HASH: revision_hash},
            "annotations": service_annotations(rollout, names.ROLE_PROOF, original),
        },
        "spec": {
            "clusterIP": "None",
            "selector": {**original, names.LABEL_HASH: revision_hash},
        },
    }
    if ports:
        body["spec"]["ports"] = ports
    for key in ("ipFamilies", "ipFamilyPolicy", "publishNotReadyAddresses"):
        if key in spec:
            body["spec"][key] = spec[key]
    return body
