# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The names that this collection puts on Kubernetes objects.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import hashlib

PREFIX = "cutover.bluegreen"

FIELD_MANAGER = PREFIX

LABEL_ROLLOUT = f"{PREFIX}/rollout"
LABEL_HASH = f"{PREFIX}/revision-hash"

ANNOTATION_ABORTED = f"{PREFIX}/aborted"
# The name of the manifest that a revision was made from.
ANNOTATION_DEFINITION = f"{PREFIX}/definition"
# On the plain Deployment that takes over from the revision with that hash.
ANNOTATION_EJECTING = f"{PREFIX}/ejecting"
ANNOTATION_FENCE = f"{PREFIX}/fence"
ANNOTATION_ORIGINAL_SELECTOR = f"{PREFIX}/original-selector"
# What its pod template has only for the time that it has a role.
ANNOTATION_OVERLAY = f"{PREFIX}/overlay"
ANNOTATION_PARAMETERS = f"{PREFIX}/parameters"
ANNOTATION_REVISION = f"{PREFIX}/revision"
ANNOTATION_ROLE = f"{PREFIX}/role"
# On the Deployment of a take-over that has begun: what owned its pods before.
ANNOTATION_TAKING_OVER = f"{PREFIX}/taking-over"
# The user's Services carry the rollout as an annotation: a label would be
# copied onto their EndpointSlices and so rewrite each of them.
ANNOTATION_ROLLOUT = f"{PREFIX}/rollout"

# The hash of no revision: what a Service of ours that selects nothing names.
NO_REVISION = "none"

ROLE_ACTIVE = "active"
ROLE_PREVIEW = "preview"
ROLE_PROOF = "proof"
# One of the two Services between which a route sends its users.
ROLE_BACKEND = "backend"

# A Deployment is called <name>-<10 hex digits>; its pods add 17 characters more,
# and a label value holds 63.
MAX_NAME_LENGTH = 52
_MAX_SERVICE_NAME_LENGTH = 63


def deployment_name(rollout: str, revision_hash: str) -> str:
    """The name of the Deployment of one revision."""
    return f"{rollout}-{revision_hash}"


def config_name(name: str, revision_hash: str) -> str:
    """The name of a ConfigMap or Secret that belongs to one revision."""
    return f"{name}-{revision_hash}"


def record_name(rollout: str) -> str:
    """The name of the ConfigMap and of the Lease of a rollout."""
    return f"bluegreen-{rollout}"


def proof_service_name(service: str) -> str:
    """The name of the proof Service of an active Service, at most 63 characters."""
    name = f"{service}-bluegreen-proof"
    if len(name) <= _MAX_SERVICE_NAME_LENGTH:
        return name
    digest = hashlib.sha256(service.encode()).hexdigest()[:8]
    return f"{service[:38]}-{digest}-bluegreen-proof"
