# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configuration of a rollout's revisions in the cluster.

Each object is owned by its revision's Deployment, so that whatever deletes that one
takes it along. Private to the collection: it may change in any release.
"""

from __future__ import annotations

import typing as t

from . import _names as names
from ._api import Api, forbidden
from ._config import RESOURCES, ConfigObject
from ._errors import ApiError, Conflict, NotFound
from ._model import ConfigSeen
from ._objects import Object, expect
from ._watches import Collection

_VERBS = ("list", "create", "patch", "delete")


def rights_to_keep(refs: t.Iterable[str]) -> dict[str, tuple[str, ...]]:
    """What is needed for a configuration: verbs by resource."""
    return {RESOURCES[ref.partition("/")[0]]: _VERBS for ref in refs}


class ConfigStore:
    """The ConfigMaps and Secrets of one rollout's revisions.

    Read only where a release or a revision has any: who may release need not be allowed
    to read Secrets.
    """

    def __init__(self, api: Api, namespace: str, rollout: str) -> None:
        self._api = api
        self._namespace = namespace
        self._rollout = rollout
        selector = f"{names.LABEL_ROLLOUT}={rollout},{names.LABEL_HASH}"
        self._collections = {
            kind: Collection(
                f"/api/v1/namespaces/{namespace}/{resource}",
                {"labelSelector": selector},
            )
            for kind, resource in RESOURCES.items()
        }

    def load(self, given: t.Iterable[str], kept: t.Iterable[str]) -> None:
        """Read the kinds that a release is given, and those that revisions have.

        :raises ApiError: a kind that is given cannot be read; the others are left out
            where this user may not read them.
        """
        needed, known = _kinds(given), _kinds(kept)
        for kind, collection in self._collections.items():
            if kind in needed | known:
                try:
                    collection.load(self._api)
                except ApiError as error:
                    if kind in needed or not forbidden(error):
                        raise

    def reload(self) -> None:
        """Read again what was read, after a conflict."""
        for kind in self.kinds:
            self._collections[kind].load(self._api)

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds that were read."""
        return frozenset(k for k, c in self._collections.items() if c.version)

    def _items(self) -> t.Iterator[tuple[ConfigSeen, str, Object]]:
        """Each object with its kind, as it was read."""
        for kind, collection in self._collections.items():
            for full_name, item in sorted(collection.items.items()):
                metadata = item["metadata"]
                revision_hash = metadata["labels"].get(names.LABEL_HASH, "")
                name = full_name.removesuffix(names.config_name("", revision_hash))
                if "deletionTimestamp" in metadata or name == full_name:
                    continue
                owners = metadata.get("ownerReferences") or []
                owner = next((str(o["uid"]) for o in owners), "")
                seen = ConfigSeen(f"{kind}/{name}", revision_hash, owner)
                yield seen, kind, item

    def seen(self) -> tuple[ConfigSeen, ...]:
        """What there is."""
        return tuple(seen for seen, _kind, _item in self._items())

    def keep(
        self, item: ConfigObject, revision_hash: str, dry_run: bool = False
    ) -> None:
        """Have an object of a revision that is about to be created.

        :raises Conflict: there is one of that name that is not of this rollout.
        """
        collection = self._collections[item.kind]
        full_name = names.config_name(item.name, revision_hash)
        known = collection.items.get(full_name)
        if known is not None:
            if not dry_run:
                # Its owner is gone, and the garbage collector about to take it along.
                self._set_owners(item.kind, known, [])
            return
        body = item.body(self._rollout, self._namespace, revision_hash)
        query = {"dryRun": "All"} if dry_run else None
        written = self._api.create(collection.path, body, query)
        if not dry_run:
            collection.take(written)

    def own(self, revision_hash: str, owner: Object) -> None:
        """Have the objects of a revision go with its Deployment.

        :param owner: the reference to it.
        """
        for seen, kind, item in list(self._items()):
            if seen.hash == revision_hash and seen.owner != owner["uid"]:
                self._set_owners(kind, item, [owner])

    def _set_owners(self, kind: str, item: Object, owners: list[Object]) -> None:
        metadata = item["metadata"]
        operations = [
            expect("/metadata/uid", metadata["uid"]),
            {"op": "add", "path": "/metadata/ownerReferences", "value": owners},
        ]
        collection = self._collections[kind]
        try:
            collection.take(
                self._api.patch(f"{collection.path}/{metadata['name']}", operations)
            )
        except NotFound as error:
            raise Conflict(f"{kind} {metadata['name']} is gone") from error

    def drop(self, revision_hash: str) -> None:
        """Delete the objects of a revision that is no more."""
        for seen, kind, item in list(self._items()):
            if seen.hash == revision_hash:
                collection, metadata = self._collections[kind], item["metadata"]
                path = f"{collection.path}/{metadata['name']}"
                self._api.delete(path, metadata["uid"])
                collection.drop(item)

    def forget(self, owner: str) -> None:
        """Whose owner was deleted, the garbage collector deletes.

        :param owner: the uid of the Deployment.
        """
        for seen, kind, item in list(self._items()):
            if seen.owner == owner:
                self._collections[kind].drop(item)


def _kinds(refs: t.Iterable[str]) -> set[str]:
    return {ref.partition("/")[0] for ref in refs}
