# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kayenta: the score of a canary analysis, which it computes in the background.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import json
import typing as t
from datetime import datetime, timedelta, timezone
from urllib.parse import quote, urlencode

from .. import fields
from ..fields import (
    Connection,
    connection,
    connection_problems,
    holds_placeholder,
    kind,
    mapping_problems,
    refuse,
    text_problems,
    unknown_problems,
    url_problems,
)
from ..http import Answer, shown
from ..measurement import (
    MeasurementError,
    Outcome,
    Problem,
    Request,
    Unfinished,
    Verdict,
)
from ..state import FAILED, INCONCLUSIVE, SUCCESSFUL
from . import _vendor

TIMEOUT_SECONDS = 15.0
RESUME_SECONDS = 15.0
# Between two samples of a metric.
STEP_SECONDS = 60
EXECUTION = "canaryExecutionId"
# Starting one takes two requests: the configuration's id, then the analysis.
_REQUESTS = 2
_AT = "kayenta"
_NAMES = (
    *("application", "canaryConfigName", "metricsAccountName"),
    *("configurationAccountName", "storageAccountName"),
)
_THRESHOLDS = ("threshold", "thresholds")
_SIDES = ("controlScope", "experimentScope")
_SCOPE_FIELDS = ("scope", "region", "step", "start", "end")
_FIELDS = (
    *("address", *_NAMES, *_THRESHOLDS, "scopes", "interval"),
    *_vendor.CONNECTION_FIELDS,
)


def problems(config: t.Mapping[str, t.Any]) -> list[Problem]:
    """What is wrong with the block as it was written."""
    return [
        *unknown_problems(config, _FIELDS, _AT),
        *url_problems(config.get("address"), f"{_AT}.address"),
        *(
            problem
            for name in _NAMES
            for problem in text_problems(
                config.get(name),
                f"{_AT}.{name}",
                required=name in ("application", "canaryConfigName"),
            )
        ),
        *_threshold_problems(config),
        *fields.window_problems(config.get("interval"), f"{_AT}.interval"),
        *_scopes_problems(config),
        *connection_problems(config, _AT),
    ]


def measure(request: Request) -> Outcome:
    """Start an analysis, or ask how far the one that was started has come.

    :returns: unfinished until there is a score; then what the thresholds say of it.
    """
    config = request.config
    refuse(problems(config))
    execution = request.metadata.get(EXECUTION)
    if execution:
        return _look(config, execution)
    return _start(config, request.place.now())


def seconds_allowed(config: t.Mapping[str, t.Any]) -> float:
    """Seconds after which one call is cut off; the analysis itself takes longer."""
    return _REQUESTS * _connection(config).timeout


def terminate(request: Request) -> None:
    """Cancel the analysis that a measurement has started.

    :raises MeasurementError: Kayenta could not be asked to.
    """
    execution = request.metadata.get(EXECUTION)
    if execution:
        url = _url(request.config, "pipelines", execution, "cancel")
        _connection(request.config).send("PUT", url, body=b"")


def _connection(config: t.Mapping[str, t.Any]) -> Connection:
    return connection(config, TIMEOUT_SECONDS)


def _url(config: t.Mapping[str, t.Any], *parts: str, **query: str) -> str:
    path = "/".join(quote(part, safe="") for part in parts)
    url = f"{config['address'].rstrip('/')}/{path}"
    given = {name: value for name, value in query.items() if value}
    return f"{url}?{urlencode(given)}" if given else url


# -- start -----------------------------------------------------------------------------


def _start(config: t.Mapping[str, t.Any], now: datetime) -> Unfinished:
    url = _url(
        config,
        "canary",
        _config_id(config),
        application=config["application"],
        metricsAccountName=config.get("metricsAccountName") or "",
        configurationAccountName=_configuration_account(config),
        storageAccountName=config.get("storageAccountName") or "",
    )
    thresholds = _thresholds(config)
    body = {
        "scopes": {
            scope["name"]: {side: _scope(config, scope[side], now) for side in _SIDES}
            for scope in config["scopes"]
        },
        "thresholds": {name: int(thresholds[name]) for name in ("pass", "marginal")},
    }
    answer = _connection(config).send(
        "POST",
        url,
        headers={"Content-Type": "application/json"},
        body=json.dumps(body).encode(),
    )
    execution = _vendor.part(answer.json(), EXECUTION)
    if not isinstance(execution, str) or not execution:
        raise _vendor.unexpected(answer, EXECUTION)
    return Unfinished({EXECUTION: execution}, RESUME_SECONDS)


def _config_id(config: t.Mapping[str, t.Any]) -> str:
    application, name = config["application"], config["canaryConfigName"]
    account = _configuration_account(config)
    asked = {"application": application, "configurationAccountName": account}
    answer = _connection(config).send("GET", _url(config, "canaryConfig", **asked))
    known = answer.json()
    if not isinstance(known, list):
        raise _vendor.unexpected(answer, "a list of canary configurations")
    for each in known:
        found = _vendor.part(each, "id")
        if _vendor.part(each, "name") == name and isinstance(found, str) and found:
            return found
    names = ", ".join(str(_vendor.part(each, "name")) for each in known)
    raise MeasurementError(
        f"Kayenta has no canary configuration {name!r} for the application"
        f" {application!r}; it has {shown(names) or 'none'}. Correct canaryConfigName,"
        " application or configurationAccountName."
    )


def _configuration_account(config: t.Mapping[str, t.Any]) -> str:
    names = ("configurationAccountName", "storageAccountName")
    return next((config[name] for name in names if config.get(name)), "")


def _scope(
    config: t.Mapping[str, t.Any], scope: t.Mapping[str, t.Any], now: datetime
) -> dict[str, t.Any]:
    end = now.astimezone(timezone.utc)
    start = end - timedelta(seconds=fields.window(config.get("interval")))
    return {
        "scope": scope["scope"],
        # Kayenta has renamed it.
        "region": scope.get("region") or "",
        "location": scope.get("region") or "",
        "step": int(scope.get("step") or STEP_SECONDS),
        "start": scope.get("start") or _instant(start),
        "end": scope.get("end") or _instant(end),
    }


def _instant(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


# -- resume ----------------------------------------------------------------------------


def _look(config: t.Mapping[str, t.Any], execution: str) -> Outcome:
    answer = _connection(config).send("GET", _url(config, "canary", execution))
    document = answer.json()
    metadata = {EXECUTION: execution}
    complete = _vendor.part(document, "complete")
    if not isinstance(complete, bool):
        raise _vendor.unexpected(answer, "complete: true or false")
    if not complete:
        return Unfinished(metadata, RESUME_SECONDS)
    score = _vendor.number(
        answer,
        _vendor.part(document, "result", "judgeResult", "score", "score"),
    )
    if score is None:
        raise _without_score(answer, document)
    return _judged(config, score, metadata)


def _judged(
    config: t.Mapping[str, t.Any], score: float, metadata: t.Mapping[str, str]
) -> Verdict:
    thresholds = _thresholds(config)
    if score >= int(thresholds["pass"]):
        return Verdict(SUCCESSFUL, "", score, metadata)
    if score >= int(thresholds["marginal"]):
        message = f"score {score:g} is below {thresholds['pass']}, which passes"
        return Verdict(INCONCLUSIVE, message, score, metadata)
    message = f"score {score:g} is below {thresholds['marginal']}, which is marginal"
    return Verdict(FAILED, message, score, metadata)


def _without_score(answer: Answer, document: object) -> MeasurementError:
    status = _vendor.part(document, "status") or "unknown"
    exception = _vendor.part(document, "exception")
    said = f": {shown(json.dumps(exception))}" if exception else ""
    return MeasurementError(
        f"{answer.source} tells of an analysis that ended without a score, with the"
        f" status {shown(str(status))}{said}"
    )


# -- what is wrong ---------------------------------------------------------------------


def _thresholds(config: t.Mapping[str, t.Any]) -> t.Any:
    return config.get("threshold") or config.get("thresholds")


def _threshold_problems(config: t.Mapping[str, t.Any]) -> list[Problem]:
    given = [name for name in _THRESHOLDS if config.get(name) is not None]
    if len(given) > 1:
        text = "threshold and thresholds were found; give only one of them"
        return [Problem(f"{_AT}.thresholds", text)]
    at = f"{_AT}.{given[0] if given else 'threshold'}"
    thresholds = config.get(given[0]) if given else None
    if not isinstance(thresholds, t.Mapping):
        return mapping_problems(thresholds, at)
    found = unknown_problems(thresholds, ("pass", "marginal"), at)
    for name in ("pass", "marginal"):
        found += _score_problems(thresholds.get(name), f"{at}.{name}")
    if found or holds_placeholder(thresholds):
        return found
    if int(thresholds["marginal"]) > int(thresholds["pass"]):
        text = f"it is above pass ({thresholds['pass']}); a pass needs the higher score"
        return [Problem(f"{at}.marginal", text)]
    return []


def _score_problems(value: object, at: str) -> list[Problem]:
    whole = _vendor.whole(value)
    if holds_placeholder(value) or (whole is not None and whole <= 100):
        return []
    text = f"{_found(value)} was found, expected is a whole number from 0 to 100"
    return [Problem(at, text)]


def _scopes_problems(config: t.Mapping[str, t.Any]) -> list[Problem]:
    scopes, at = config.get("scopes"), f"{_AT}.scopes"
    if not isinstance(scopes, list) or not scopes:
        found = "an empty list" if scopes == [] else kind(scopes)
        return [Problem(at, f"{found} was found, expected is a list of scopes")]
    return [
        problem
        for index, scope in enumerate(scopes)
        for problem in _scope_problems(scope, f"{at}[{index}]")
    ]


def _scope_problems(scope: object, at: str) -> list[Problem]:
    if not isinstance(scope, t.Mapping):
        return mapping_problems(scope, at)
    return [
        *unknown_problems(scope, ("name", *_SIDES), at),
        *text_problems(scope.get("name"), f"{at}.name"),
        *(
            problem
            for side in _SIDES
            for problem in _side_problems(scope.get(side), f"{at}.{side}")
        ),
    ]


def _side_problems(side: object, at: str) -> list[Problem]:
    if not isinstance(side, t.Mapping):
        return mapping_problems(side, at)
    found = [
        *unknown_problems(side, _SCOPE_FIELDS, at),
        *text_problems(side.get("scope"), f"{at}.scope"),
    ]
    for name in ("region", "start", "end"):
        found += text_problems(side.get(name), f"{at}.{name}", required=False)
    step = side.get("step")
    if step is not None and not holds_placeholder(step) and _vendor.whole(step) is None:
        text = f"{_found(step)} was found, expected is a whole number of seconds"
        found.append(Problem(f"{at}.step", text))
    return found


def _found(value: object) -> str:
    return repr(value) if isinstance(value, (int, float)) else kind(value)
