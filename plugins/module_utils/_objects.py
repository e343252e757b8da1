# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every part reads of a raw Kubernetes object, and how a patch names it.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import typing as t

Object = dict[str, t.Any]


def annotation_of(item: Object, key: str) -> str:
    """An annotation's value; empty if there is none."""
    return str((item["metadata"].get("annotations") or {}).get(key, ""))


def labels_of(item: Object) -> dict[str, str]:
    """The labels of an object."""
    return dict(item["metadata"].get("labels") or {})


def controller_of(item: Object) -> str:
    """The uid of the controller that owns an object; empty if none does."""
    for reference in item["metadata"].get("ownerReferences") or []:
        if reference.get("controller"):
            return str(reference["uid"])
    return ""


def is_observed(deployment: Object) -> bool:
    """Whether its controller has seen the present spec of a Deployment."""
    status = deployment.get("status") or {}
    observed: int = status.get("observedGeneration", 0)
    return observed >= int(deployment["metadata"]["generation"])


def annotation_pointer(key: str) -> str:
    """The JSON pointer of an annotation."""
    return f"/metadata/annotations/{escaped(key)}"


def label_pointer(key: str) -> str:
    """The JSON pointer of a label."""
    return f"/metadata/labels/{escaped(key)}"


def escaped(key: str) -> str:
    """A key as a JSON pointer has it."""
    return key.replace("~", "~0").replace("/", "~1")


def expect(pointer: str, value: object) -> Object:
    """The JSON Patch operation that lets a patch fail unless the value is there."""
    return {"op": "test", "path": pointer, "value": value}
