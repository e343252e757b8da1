# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configuration of a revision: ConfigMaps and Secrets that belong to it alone, and
the references to them in its pod template.

Pure. Private to the collection: it may change in any release.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import copy
import hashlib
import json
import typing as t
from dataclasses import dataclass

from . import _names as names
from ._deps import yaml
from ._objects import Object
from ._parameters import canonical

CONFIG_MAP = "ConfigMap"
SECRET = "Secret"
RESOURCES = {CONFIG_MAP: "configmaps", SECRET: "secrets"}

# What one guess at the contents of the Secrets costs. Names are read by more people
# than Secrets are, and the hash in them would confirm a guess.
_ITERATIONS = 600_000
_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
_SECRET_REFS = ("secretRef", "nodePublishSecretRef")


@dataclass(frozen=True)
class ConfigObject:
    """A ConfigMap or a Secret as the user gave it.

    ``content``: type, data, binaryData, labels and annotations, as far as given; all of
    a Secret's data in base64.
    """

    kind: str
    name: str
    content: Object

    @property
    def ref(self) -> str:
        """``<kind>/<name>``, as release parameters name it."""
        return f"{self.kind}/{self.name}"

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of its data, sorted."""
        both = (self.content.get(part) or {} for part in ("data", "binaryData"))
        return tuple(sorted(key for data in both for key in data))

    def body(self, rollout: str, namespace: str, revision_hash: str) -> Object:
        """The object of one revision, which nobody can change."""
        content = dict(self.content)
        labels = content.pop("labels", {})
        annotations = content.pop("annotations", {})
        ours = {names.LABEL_ROLLOUT: rollout, names.LABEL_HASH: revision_hash}
        return {
            "apiVersion": "v1",
            "kind": self.kind,
            "metadata": {
                "name": names.config_name(self.name, revision_hash),
                "namespace": namespace,
                "labels": {**labels, **ours},
                "annotations": annotations,
            },
            "immutable": True,
            **content,
        }


def objects_of(refs: t.Iterable[str], revision_hash: str) -> list[str]:
    """Kind and name of each object of a revision."""
    parts = (ref.split("/", 1) for ref in refs)
    return [f"{kind} {names.config_name(name, revision_hash)}" for kind, name in parts]


def describe_config(refs: t.Iterable[str], revision_hash: str) -> str:
    """The objects of a revision, as messages name them."""
    return ", ".join(objects_of(refs, revision_hash))


# -- what a revision's hash says of it -------------------------------------------------


def fingerprint(config: t.Iterable[ConfigObject], template: Object) -> Object:
    """What is hashed of a configuration, whatever the order it was given in.

    The hash of a revision is in names and labels. It is cut to 40 bits, which says
    nothing of a Secret to whom cannot guess it, but would confirm a guess: whoever
    reads the template and the name could try a word list in no time. So Secrets enter
    it slowly derived, salted with everything else that is hashed: a guess costs as
    much as at a good password store, and is of use for one release only. A key would
    be better still, and would have to be kept where losing it makes every release a
    new revision.
    """
    ordered = sorted(config, key=lambda c: c.ref)
    public = {c.ref: c.content for c in ordered if c.kind != SECRET}
    secret = {c.ref: c.content for c in ordered if c.kind == SECRET}
    found: Object = {"public": public}
    if secret:
        salt = canonical({"template": template, "public": public})
        found["secret"] = hashlib.pbkdf2_hmac(
            "sha256", canonical(secret).encode(), salt.encode(), _ITERATIONS
        ).hex()
    return found


# -- references ------------------------------------------------------------------------


@dataclass(frozen=True)
class Reference:
    """A place in a pod template that names a ConfigMap or a Secret.

    ``holder[field]`` is the name; ``keys`` are those that have to be in it.
    """

    kind: str
    holder: Object
    field: str
    where: str
    keys: tuple[str, ...] = ()

    @property
    def ref(self) -> str:
        """What it refers to, as :attr:`ConfigObject.ref`."""
        return f"{self.kind}/{self.holder[self.field]}"


def references(template: Object) -> t.Iterator[Reference]:
    """Each reference of a pod template to a ConfigMap or a Secret."""
    spec = _mapping(template.get("spec"))
    for group in _CONTAINERS:
        for container in _mappings(spec.get(group)):
            yield from _of_container(container)
    for volume in _mappings(spec.get("volumes")):
        yield from _of_volume(volume)
    for secret in _mappings(spec.get("imagePullSecrets")):
        yield from _named(secret, SECRET, "imagePullSecrets")


def _of_container(container: Object) -> t.Iterator[Reference]:
    where = f"container {container.get('name')}"
    for entry in _mappings(container.get("env")):
        source = _mapping(entry.get("valueFrom"))
        of_entry = f"env {entry.get('name')} of {where}"
        yield from _named(source.get("configMapKeyRef"), CONFIG_MAP, of_entry)
        yield from _named(source.get("secretKeyRef"), SECRET, of_entry)
    for entry in _mappings(container.get("envFrom")):
        yield from _named(entry.get("configMapRef"), CONFIG_MAP, f"envFrom of {where}")
        yield from _named(entry.get("secretRef"), SECRET, f"envFrom of {where}")


def _of_volume(volume: Object) -> t.Iterator[Reference]:
    where = f"volume {volume.get('name')}"
    projected = _mappings(_mapping(volume.get("projected")).get("sources"))
    for source in (volume, *projected):
        yield from _named(source.get("configMap"), CONFIG_MAP, where)
        field = "secretName" if source is volume else "name"
        yield from _named(source.get("secret"), SECRET, where, field)
    yield from _named(volume.get("azureFile"), SECRET, where, "secretName")
    for source in volume.values():
        for key in _SECRET_REFS:
            yield from _named(_mapping(source).get(key), SECRET, where)


def _named(
    holder: object, kind: str, where: str, field: str = "name"
) -> t.Iterator[Reference]:
    """The reference in that mapping, if it is one and names anything."""
    found = _mapping(holder)
    if not isinstance(found.get(field), str):
        return
    keys: tuple[str, ...] = ()
    if not found.get("optional"):
        items = (item.get("key") for item in _mappings(found.get("items")))
        keys = tuple(k for k in (found.get("key"), *items) if isinstance(k, str))
    yield Reference(kind, found, field, where, keys)


def _mapping(value: object) -> Object:
    return value if isinstance(value, dict) else {}


def _mappings(value: object) -> list[Object]:
    items = value if isinstance(value, list) else []
    return [item for item in items if isinstance(item, dict)]


def versioned(
    template: Object, config: t.Collection[ConfigObject], revision_hash: str
) -> Object:
    """A copy of a pod template that refers to the objects of one revision."""
    copied = copy.deepcopy(template)
    given = {c.ref for c in config}
    for reference in list(references(copied)) if given else ():
        if reference.ref in given:
            name = reference.holder[reference.field]
            reference.holder[reference.field] = names.config_name(name, revision_hash)
    return copied


# -- as it is given --------------------------------------------------------------------


def documents(value: object) -> t.Iterator[object]:
    """Each manifest of a list, of YAML or JSON text, or of a list of either.

    :raises ValueError: a text is not JSON.
    :raises yaml.YAMLError: nor YAML.
    """
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, str):
            for document in _loaded(item):
                yield from document if isinstance(document, list) else [document]
        else:
            yield item


def _loaded(text: str) -> list[object]:
    """The documents of a text."""
    if text.lstrip()[:1] in ("{", "["):
        try:
            # Tens of times as fast as YAML, and what the controller hands over.
            whole = json.loads(text)
        except ValueError:
            pass
        else:
            return list(documents(whole)) if isinstance(whole, list) else [whole]
    return [d for d in yaml.safe_load_all(text) if d is not None]


def secret_values(value: object) -> set[str]:
    """Every value of the Secrets in a given configuration, as it is written and as it
    is meant; of a configuration that cannot be read, none.
    """
    try:
        given = list(documents(value))
    except (ValueError, yaml.YAMLError):
        return set()
    found: set[str] = set()
    for body in given:
        if isinstance(body, dict) and body.get("kind") != CONFIG_MAP:
            for part in ("data", "stringData"):
                for text in _mapping(body.get(part)).values():
                    found |= _both_ways(str(text))
    return found - {""}


def _both_ways(text: str) -> set[str]:
    found = {text, base64.b64encode(text.encode()).decode()}
    with contextlib.suppress(binascii.Error, ValueError):
        found.add(base64.b64decode(text, validate=True).decode())
    return found
