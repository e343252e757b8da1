# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of the modules: each fragment here has its twin in doc_fragments.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import typing as t
from urllib.parse import unquote

from ._config import secret_values
from ._stages import PHASES, STAGES

# What results say of any release.
_WORDS = (*STAGES, *PHASES)

Spec = dict[str, dict[str, t.Any]]

AUTH: Spec = {
    "kubeconfig": {"type": "raw"},
    "context": {"type": "str"},
    "host": {"type": "str"},
    "api_key": {"type": "str", "no_log": True},
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "validate_certs": {"type": "bool", "aliases": ["verify_ssl"]},
    "ca_cert": {"type": "path", "aliases": ["ssl_ca_cert"]},
    "client_cert": {"type": "path", "aliases": ["cert_file"]},
    "client_key": {"type": "path", "aliases": ["key_file"], "no_log": False},
    "proxy": {"type": "str"},
    "no_proxy": {"type": "str"},
    "proxy_headers": {
        "type": "dict",
        "options": {
            "proxy_basic_auth": {"type": "str", "no_log": True},
            "basic_auth": {"type": "str", "no_log": True},
            "user_agent": {"type": "str"},
        },
    },
    "persist_config": {"type": "bool"},
    "impersonate_user": {"type": "str"},
    "impersonate_groups": {"type": "list", "elements": "str"},
}

ROLLOUT: Spec = {
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str", "default": "default"},
    "progress": {"type": "bool", "default": True},
    # The playbook run that hands this task over to another process.
    "_holder": {"type": "str"},
}

EXPECTED: Spec = {"revision": {"type": "str"}}

WAIT: Spec = {
    "wait": {"type": "str", "choices": ["inline", "detach"], "default": "inline"},
}

RELEASE: Spec = {
    "state": {
        "type": "str",
        "choices": ["released", "restarted", "ejected", "taken_over"],
        "default": "released",
    },
    "take_over": {"type": "raw"},
    "argo_is_stopped": {"type": "bool", "default": False},
    "argo_namespace": {"type": "str", "default": "argo-rollouts"},
    # Both are required to release.
    "definition": {"type": "raw"},
    "workload_ref": {"type": "raw"},
    # May hold Secrets. One text where it is handed over: each part of a structure would
    # be masked wherever it occurs.
    "config": {"type": "raw", "no_log": True},
    "active_service": {"type": "raw"},
    "preview_service": {"type": "raw"},
    "other_services": {"type": "list", "elements": "str", "default": []},
    "accept_field_manager": {"type": "list", "elements": "str", "default": []},
    "preview_replica_count": {"type": "int"},
    "scale_up_steps": {"type": "list", "elements": "str", "default": ["100%"]},
    "scale_up_interval_seconds": {"type": "int", "default": 0},
    "auto_promotion_enabled": {"type": "bool", "default": True},
    "auto_promotion_seconds": {"type": "int", "default": 0},
    "scale_down_delay_seconds": {"type": "int", "default": 30},
    "scale_down_delay_revision_limit": {"type": "int"},
    "abort_scale_down_delay_seconds": {"type": "int", "default": 30},
    "on_failure": {"type": "str", "choices": ["abort", "hold"], "default": "abort"},
    "preview_when_idle": {
        "type": "str",
        "choices": ["stable", "none"],
        "default": "stable",
    },
    "gate_first_deploy": {"type": "bool", "default": False},
    "progress_deadline_seconds": {"type": "int"},
    "progress_deadline_abort": {"type": "bool", "default": False},
    "min_ready_seconds": {"type": "int"},
    "revision_history_limit": {"type": "int", "default": 10},
    "rollback_window": {"type": "int"},
    "retry_aborted": {"type": "bool", "default": True},
    "analysis_templates": {"type": "raw"},
    "pre_promotion_analysis": {"type": "raw"},
    "post_promotion_analysis": {"type": "raw"},
    "hooks": {"type": "raw"},
    "drain_http": {"type": "raw"},
    "drain_exec": {"type": "raw"},
    "drain": {"type": "raw"},
    "drain_timeout_seconds": {"type": "int", "default": 60},
    "scale_down_steps": {"type": "list", "elements": "str", "default": ["0"]},
    "scale_down_interval_seconds": {"type": "int", "default": 0},
    "pdb": {"type": "raw"},
    "active_metadata": {"type": "raw"},
    "preview_metadata": {"type": "raw"},
    "anti_affinity": {"type": "raw"},
    "cutover": {
        "type": "str",
        "choices": ["auto", "atomic", "overlap"],
        "default": "auto",
    },
    "overlap_seconds": {"type": "int", "default": 10},
    "route": {"type": "str"},
    "probe": {"type": "raw"},
    "probe_max_errors": {"type": "int"},
    "until": {
        "type": "str",
        "choices": ["previewed", "promoted", "verified"],
        "default": "previewed",
    },
}

WATCH: Spec = {
    "watch": {"type": "bool", "default": False},
    "watch_timeout_seconds": {"type": "int", "default": 0},
    "expect": {
        "type": "list",
        "elements": "str",
        "choices": ["Healthy", "Paused", "Degraded", "Progressing"],
        "default": [],
    },
    "status_file": {"type": "path"},
}

SECRETS: Spec = {"analysis_secrets": {"type": "dict", "no_log": True}}

MODULES: dict[str, Spec] = {
    "bluegreen_rollout": {**ROLLOUT, **RELEASE, **SECRETS, **WAIT, **AUTH},
    # It reaches no cluster, so it takes nothing to reach one with.
    "bluegreen_lint": {**ROLLOUT, **RELEASE, **SECRETS, **WAIT},
    "bluegreen_analysis": {
        **ROLLOUT,
        # Without it the analysis stands alone.
        "name": {"type": "str"},
        "analysis_templates": {"type": "raw"},
        "analysis": {"type": "raw"},
        "until": {
            "type": "str",
            "choices": ["analysed", "promoted", "verified"],
            "default": "analysed",
        },
        **SECRETS,
        **EXPECTED,
        **WAIT,
        **AUTH,
    },
    "bluegreen_pause": {
        **ROLLOUT,
        "interactive": {"type": "bool", "default": False},
        **EXPECTED,
        **WAIT,
        **AUTH,
    },
    "bluegreen_promote": {
        **ROLLOUT,
        "state": {
            "type": "str",
            "choices": ["promoted", "aborted", "rolled_back"],
            "default": "promoted",
        },
        "approve": {"type": "bool", "default": False},
        "full": {"type": "bool", "default": False},
        "to_revision": {"type": "str"},
        "past_no_return": {"type": "bool", "default": False},
        "until": {
            "type": "str",
            "choices": ["promoted", "verified"],
            "default": "promoted",
        },
        **SECRETS,
        **EXPECTED,
        **WAIT,
        **AUTH,
    },
    "bluegreen_scale_down": {**ROLLOUT, **SECRETS, **EXPECTED, **WAIT, **AUTH},
    "bluegreen_hook": {
        **ROLLOUT,
        "hook": {"type": "str", "required": True},
        "succeeded": {"type": "bool", "default": True},
        "reason": {"type": "str"},
        **WAIT,
        **AUTH,
    },
    "bluegreen_info": {
        **ROLLOUT,
        "show": {"type": "bool", "default": False},
        **WATCH,
        **WAIT,
        **AUTH,
    },
}


def without_empty(params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Options as they were meant: an empty string is how AWX sends "not given"."""
    return {k: v for k, v in params.items() if v is not None and v != ""}


def secrets_of(spec: Spec, params: t.Mapping[str, t.Any]) -> set[str]:
    """The values that must never be shown."""
    found: set[str] = set()
    for option, rule in spec.items():
        value = params.get(option)
        if isinstance(value, dict) and "options" in rule:
            found |= secrets_of(rule["options"], value)
        elif rule.get("no_log"):
            found |= _texts(value)
    found |= _of_config(params)
    kubeconfig = params.get("kubeconfig")
    if isinstance(kubeconfig, dict):
        for user in _sections(kubeconfig, "user"):
            found |= _strings(user)
        for cluster in _sections(kubeconfig, "cluster"):
            found |= _passwords(cluster.get("proxy-url"))
    return found | _passwords(params.get("proxy"))


def _of_config(params: t.Mapping[str, t.Any]) -> set[str]:
    """The values of the Secrets in a configuration, but for those that other options
    say openly: to mask a name or a port everywhere would hide nothing, and make what a
    module returns unusable.
    """
    given = params.get("config")
    if not given:
        return set()
    openly = " ".join([*_WORDS, *(str(v) for k, v in params.items() if k != "config")])
    return {v for v in secret_values(given) if len(v) > 3 and v not in openly}


def _sections(kubeconfig: dict[str, t.Any], kind: str) -> t.Iterator[dict[str, t.Any]]:
    """Each user or cluster; one of another shape is refused elsewhere."""
    listed = kubeconfig.get(f"{kind}s")
    for item in listed if isinstance(listed, list) else []:
        section = item.get(kind) if isinstance(item, dict) else None
        if isinstance(section, dict):
            yield section


def _passwords(url: object) -> set[str]:
    """The password in a URL, as it is written and as it is meant."""
    before_host = str(url or "").rpartition("@")[0]
    user = before_host.partition("://")[2] or before_host
    password = user.partition(":")[2]
    return {password, unquote(password)} if password else set()


def _texts(value: object) -> set[str]:
    """Every text of a no_log value, which may be a structure."""
    if isinstance(value, dict):
        return set().union(*(_texts(v) for v in value.values()))
    return {str(value)} if value not in (None, "") else set()


def _strings(value: object) -> set[str]:
    if isinstance(value, dict):
        return set().union(*(_strings(v) for v in value.values()))
    if isinstance(value, list):
        return set().union(*(_strings(v) for v in value))
    return {value} if isinstance(value, str) and len(value) > 3 else set()


def mask(value: t.Any, secrets: t.Collection[str]) -> t.Any:
    """The same structure with every secret replaced by asterisks."""
    if isinstance(value, str):
        for secret in sorted(secrets, key=len, reverse=True):
            value = value.replace(secret, "********")
        return value
    if isinstance(value, dict):
        return {k: mask(v, secrets) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [mask(v, secrets) for v in value]
    return value
