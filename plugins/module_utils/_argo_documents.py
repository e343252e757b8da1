# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documents of a conversion: read, found by kind and name, and freed of what the
API server and Argo Rollouts have written into them.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import copy
import typing as t

from ._analysis.shapes import plain, shown
from ._deps import yaml
from ._errors import BadInput
from ._manifests import is_text, yaml_trouble
from ._objects import Object

ARGO = "argoproj.io/v1alpha1"
ROLLOUT = "Rollout"
# The key in selectors and labels, and as a label of metrics.
HASH_KEY = "rollouts-pod-template-hash"
_HASH_KEYS = (HASH_KEY, "rollouts_pod_template_hash")

SERVER_METADATA = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
)
_STATE_ANNOTATIONS = (
    "kubectl.kubernetes.io/last-applied-configuration",
    "deployment.kubernetes.io/revision",
    "notified.notifications.argoproj.io",
)
_STATE_PREFIXES = ("rollout.argoproj.io/", "argo-rollouts.argoproj.io/")
_SERVER_SERVICE_SPEC = ("clusterIP", "clusterIPs", "healthCheckNodePort")


class Documents:
    """The objects that were given, each once.

    :raises BadInput: what was given is no list of Kubernetes objects.
    """

    def __init__(self, given: object) -> None:
        self.all = _read(given, "manifests")
        seen = set()
        for item in self.all:
            identity = (title(item), namespace_of(item))
            if identity in seen:
                raise BadInput(f"manifests: {title(item)} is given twice; keep one.")
            seen.add(identity)

    def rollout(self, name: str) -> Object:
        """The Rollout of that name; without a name the only one.

        :raises BadInput: there is none, or more than one.
        """
        rollouts = [d for d in self.all if d["kind"] == ROLLOUT]
        found = [r for r in rollouts if not name or name_of(r) == name]
        listed = ", ".join(map(title, rollouts or self.all)) or "nothing"
        if not found:
            wanted = f"Rollout {name}" if name else "a Rollout of Argo Rollouts"
            raise BadInput(
                f"manifests: {wanted} is expected, {listed} was found; give it."
            )
        if len(found) > 1:
            raise BadInput(
                f"manifests: {listed} were found; say by the option rollout which is to"
                " be converted."
            )
        if found[0].get("apiVersion") != ARGO:
            raise BadInput(
                f"{title(found[0])}: apiVersion {ARGO} is expected,"
                f" {shown(found[0].get('apiVersion'))} was found."
            )
        return found[0]

    def find(self, kind: str, name: str, namespace: str) -> Object | None:
        """The object of that kind and name which may be of that namespace."""
        for item in self.all:
            is_it = item["kind"] == kind and name_of(item) == name
            if is_it and namespace_of(item) in ("", namespace):
                return item
        return None


def _read(given: object, where: str) -> list[Object]:
    if isinstance(given, str):
        return _read(_documents_of(given, where), where)
    if isinstance(given, (list, tuple, t.Iterator)):
        return [
            body
            for position, item in enumerate(given)
            if item is not None
            for body in _read(item, f"{where}[{position}]")
        ]
    body = plain(given, where)
    if not isinstance(body, dict) or not isinstance(body.get("kind"), str):
        # It may be anything, a file of passwords, too.
        found = "a mapping without kind" if isinstance(body, dict) else shown(body)
        raise BadInput(
            f"{where}: a Kubernetes object is expected, {found} was found; give"
            " mappings, or the text of manifests."
        )
    if body["kind"].endswith("List") and isinstance(body.get("items"), list):
        return _read(body["items"], f"{where}.items")
    if not isinstance(body.get("metadata"), dict) or not name_of(body):
        raise BadInput(f"{where}: {body['kind']} has no metadata.name; give it one.")
    for field in ("labels", "annotations"):
        found = body["metadata"].get(field)
        if found is not None and not isinstance(found, dict):
            raise BadInput(
                f"{title(body)}: metadata.{field}: a mapping is expected,"
                f" {shown(found)} was found; correct it."
            )
    return [body]


def _documents_of(text: str, where: str) -> list[t.Any]:
    if not is_text(text):
        raise BadInput(
            f"{where}: {shown(text)} is not the text of a manifest; where it is a path,"
            " read it: lookup('ansible.builtin.file', path)."
        )
    try:
        return list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        trouble = yaml_trouble(error)
    except (ValueError, RecursionError, OverflowError, AttributeError) as error:
        # PyYAML lets these through from dates and numbers that are none.
        trouble = " ".join(str(error).split())
    raise BadInput(f"{where}: this is not YAML ({trouble}); correct it.")


def name_of(item: Object) -> str:
    """The object's name; empty if it has none."""
    name = item["metadata"].get("name")
    return name if isinstance(name, str) else ""


def namespace_of(item: Object) -> str:
    """The object's namespace; empty if its manifest says none."""
    return str(item["metadata"].get("namespace") or "")


def title(item: Object) -> str:
    """How messages call an object."""
    return f"{item['kind']} {name_of(item)}"


def spec_of(item: Object) -> Object:
    """The object's spec; empty where there is none."""
    spec = item.get("spec")
    return spec if isinstance(spec, dict) else {}


def is_state(key: str) -> bool:
    """Whether an annotation says what tools have done, and not what a person wants."""
    return key in _STATE_ANNOTATIONS or key.startswith(_STATE_PREFIXES)


def cleaned(item: Object) -> Object:
    """The object as a person would have written it, of a live one, too."""
    found = copy.deepcopy(item)
    found.pop("status", None)
    metadata = found["metadata"]
    for key in (*SERVER_METADATA, "ownerReferences", "finalizers"):
        metadata.pop(key, None)
    annotations = {
        k: v
        for k, v in (metadata.pop("annotations", None) or {}).items()
        if not is_state(k)
    }
    if annotations:
        metadata["annotations"] = annotations
    return found


def cleaned_template(template: t.Any) -> t.Any:
    """A pod template without the null creation time that live objects have."""
    found = copy.deepcopy(template)
    metadata = found.get("metadata") if isinstance(found, dict) else None
    if isinstance(metadata, dict) and metadata.get("creationTimestamp", 0) is None:
        del metadata["creationTimestamp"]
    return found


def cleaned_service(item: Object) -> Object:
    """A Service with the selector that its owner wrote."""
    found = cleaned(item)
    spec = spec_of(found)
    if isinstance(spec.get("selector"), dict):
        spec["selector"].pop(HASH_KEY, None)
    for key in _SERVER_SERVICE_SPEC:
        # Headless is what its owner wants, an address is what the server gave.
        if spec.get(key) not in ("None", ["None"]):
            spec.pop(key, None)
    return found


def uses_of_hash(value: object, path: str = "") -> list[str]:
    """The paths at which Argo Rollouts' hash of the pod template is asked for."""
    if isinstance(value, str):
        return [path] if any(key in value for key in _HASH_KEYS) else []
    if isinstance(value, list):
        return [
            found
            for position, item in enumerate(value)
            for found in uses_of_hash(item, f"{path}[{position}]")
        ]
    if not isinstance(value, dict):
        return []
    return [
        found
        for key, item in value.items()
        for found in (
            [f"{path}.{key}"]
            if key in _HASH_KEYS
            else uses_of_hash(item, f"{path}.{key}")
        )
    ]
