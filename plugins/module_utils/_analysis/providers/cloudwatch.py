# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Amazon CloudWatch: what GetMetricData returns.

botocore finds the credentials and the endpoint, signs, and reads the answer; the
request itself goes through :mod:`..http`, as that of every provider, for its strict
deadline. Private to the collection: it may change in any release.
"""

from __future__ import annotations

import io
import os
import re
import typing as t
from datetime import datetime, timedelta, timezone

from ... import _deps
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
from ..http import send, shown
from ..measurement import MeasurementError, Outcome, Problem, Request, Value
from . import _vendor

TIMEOUT_SECONDS = 10.0
# Where credentials come from a service of AWS, that is asked first.
_CREDENTIALS_SECONDS = 20.0
_AT = "cloudWatch"
_FIELDS = (
    *("interval", "metricDataQueries", "region", "endpointUrl", "secretRef"),
    *("timeoutSeconds", "insecure", "caCert"),
)
_QUERY_FIELDS = ("id", "expression", "label", "metricStat", "period", "returnData")
_STAT_FIELDS = ("metric", "period", "stat", "unit")
_METRIC_FIELDS = ("namespace", "metricName", "dimensions")
_DIMENSION_FIELDS = ("name", "value")
_ID = re.compile(r"[a-z][a-zA-Z0-9_]*")
_NUMBERS = ("period",)


def problems(config: t.Mapping[str, t.Any]) -> list[Problem]:
    """What is wrong with the block as it was written."""
    return [
        *unknown_problems(config, _FIELDS, _AT),
        *fields.window_problems(config.get("interval"), f"{_AT}.interval"),
        *text_problems(config.get("region"), f"{_AT}.region", required=False),
        *url_problems(config.get("endpointUrl"), f"{_AT}.endpointUrl", required=False),
        *_vendor.secret_ref_problems(config.get("secretRef"), f"{_AT}.secretRef"),
        *_queries_problems(config.get("metricDataQueries")),
        *connection_problems(config, _AT),
    ]


def measure(request: Request) -> Outcome:
    """One GetMetricData over the last ``interval``.

    :returns: a list of mappings with ``Id``, ``Label``, ``Values``, ``Timestamps``
        (RFC 3339), ``StatusCode`` and ``Messages``; empty where no query gave a value.
    """
    config = request.config
    refuse(problems(config))
    botocore = _deps.botocore()
    if botocore is None:
        raise MeasurementError(
            "The Python library botocore is not installed where this runs, and the"
            " provider cloudWatch needs it; install it there: pip install botocore."
        )
    credentials = _Credentials.of(request)
    end = request.place.now()
    window = timedelta(seconds=fields.window(config.get("interval")))
    asked = {
        "MetricDataQueries": [_converted(q) for q in config["metricDataQueries"]],
        "StartTime": end - window,
        "EndTime": end,
    }
    return _ask(botocore, config, credentials, asked)


def seconds_allowed(config: t.Mapping[str, t.Any]) -> float:
    """Seconds after which a measurement is cut off."""
    return _connection(config).timeout + _CREDENTIALS_SECONDS


def _connection(config: t.Mapping[str, t.Any]) -> Connection:
    return connection(config, TIMEOUT_SECONDS)


# -- the request -----------------------------------------------------------------------


class _Credentials(t.NamedTuple):
    """What the block's Secret gives; empty: as AWS's own tools find it."""

    access_key: str = ""
    secret_key: str = ""
    token: str = ""
    region: str = ""

    @classmethod
    def of(cls, request: Request) -> _Credentials:
        secret, place = _vendor.secret_name(request.config), request.place
        if not secret:
            return cls()
        return cls(
            _vendor.credential(place, secret, "AWS_ACCESS_KEY_ID"),
            _vendor.credential(place, secret, "AWS_SECRET_ACCESS_KEY"),
            _vendor.optional_credential(place, secret, "AWS_SESSION_TOKEN"),
            _vendor.optional_credential(place, secret, "AWS_REGION"),
        )


def _ask(
    botocore: t.Any,
    config: t.Mapping[str, t.Any],
    credentials: _Credentials,
    asked: t.Mapping[str, t.Any],
) -> Value:
    errors = botocore.exceptions
    try:
        client = _client(botocore, config, credentials)
        return _read(client.get_metric_data(**asked))
    except errors.ClientError as error:
        told = error.response.get("Error", {})
        said = " ".join(str(told.get(name) or "") for name in ("Code", "Message"))
        raise MeasurementError(
            f"CloudWatch refused the request: {_safe(said)}"
        ) from None
    except errors.NoRegionError:
        raise MeasurementError(
            "There is no AWS region; give region, AWS_REGION in the Secret, or the"
            " environment variable AWS_REGION."
        ) from None
    except (errors.NoCredentialsError, errors.PartialCredentialsError):
        raise MeasurementError(
            "There are no AWS credentials; give secretRef, or what AWS's own tools take"
            " where this runs (environment, profile, role)."
        ) from None
    except (errors.BotoCoreError, errors.HTTPClientError) as error:
        raise MeasurementError(
            f"CloudWatch was not asked: {_safe(str(error))}"
        ) from None
    except (
        # What botocore's parser makes of an answer that is none of CloudWatch's.
        botocore.parsers.ResponseParserError,
        *(ArithmeticError, AttributeError, LookupError, OSError),
        *(RecursionError, TypeError, ValueError),
    ) as error:
        raise MeasurementError(
            f"CloudWatch gave an answer that cannot be read: {_safe(str(error))}"
        ) from None


def _client(
    botocore: t.Any, config: t.Mapping[str, t.Any], credentials: _Credentials
) -> t.Any:
    session = botocore.session.Session()
    if credentials.access_key:
        session.set_credentials(
            credentials.access_key, credentials.secret_key, credentials.token or None
        )
    region = (
        config.get("region")
        or credentials.region
        or os.environ.get("AWS_REGION")
        or None
    )
    given = _connection(config)
    client = session.create_client(
        "cloudwatch",
        region_name=region,
        endpoint_url=config.get("endpointUrl") or None,
        # The analysis itself takes the next measurement: one try each.
        config=botocore.config.Config(
            retries={"total_max_attempts": 1},
            connect_timeout=given.timeout,
            read_timeout=given.timeout,
        ),
    )

    def sent(request: t.Any, **_event: t.Any) -> t.Any:
        return _send(botocore, given, request)

    client.meta.events.register("before-send.cloudwatch.GetMetricData", sent)
    return client


class _Body(io.BytesIO):
    """A body as botocore reads one."""

    def stream(self) -> t.Iterator[bytes]:
        yield self.getvalue()


def _send(botocore: t.Any, given: Connection, request: t.Any) -> t.Any:
    body = request.body
    answer = send(
        request.method,
        request.url,
        headers={name: _text(value) for name, value in request.headers.items()},
        body=body.encode() if isinstance(body, str) else body,
        timeout=given.timeout,
        insecure=given.insecure,
        ca_cert=given.ca_cert,
        accept_any_status=True,
    )
    return botocore.awsrequest.AWSResponse(
        request.url, answer.status, dict(answer.headers), _Body(answer.body)
    )


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _safe(text: str) -> str:
    """A message without the session token, which AWS repeats in some refusals."""
    return shown(re.sub(r"(?i)(x-amz-security-token\W*)\S+", r"\1*****", text))


# -- what was written, as AWS spells it ------------------------------------------------


def _converted(value: t.Any, name: str = "") -> t.Any:
    """Argo Rollouts' spelling with a small first letter made into AWS's."""
    if isinstance(value, t.Mapping):
        return {
            f"{key[:1].upper()}{key[1:]}": _converted(each, key)
            for key, each in value.items()
            if each is not None
        }
    if isinstance(value, (list, tuple)):
        return [_converted(each) for each in value]
    return int(value) if name in _NUMBERS else value


# -- the answer ------------------------------------------------------------------------


def _read(answer: t.Any) -> Value:
    results = answer.get("MetricDataResults")
    if not isinstance(results, list):
        raise MeasurementError(
            "CloudWatch gave an answer without MetricDataResults; check endpointUrl."
        )
    if answer.get("NextToken"):
        raise MeasurementError(
            "CloudWatch has more values than one answer holds; make interval shorter or"
            " the periods longer."
        )
    metadata = {}
    messages = [_message(message) for message in answer.get("Messages") or ()]
    if messages:
        metadata["messages"] = shown("; ".join(messages))
    if not any(result.get("Values") for result in results):
        return Value([], metadata)
    return Value([_plain(result) for result in results], metadata)


def _plain(result: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {
        "Id": str(result.get("Id") or ""),
        "Label": str(result.get("Label") or ""),
        "StatusCode": str(result.get("StatusCode") or ""),
        "Timestamps": [_instant(each) for each in result.get("Timestamps") or ()],
        "Values": [float(each) for each in result.get("Values") or ()],
        "Messages": [_message(each) for each in result.get("Messages") or ()],
    }


def _instant(instant: datetime) -> str:
    return instant.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _message(message: t.Mapping[str, t.Any]) -> str:
    return f"{message.get('Code') or ''}: {message.get('Value') or ''}"


# -- what is wrong ---------------------------------------------------------------------


def _queries_problems(queries: object) -> list[Problem]:
    at = f"{_AT}.metricDataQueries"
    if not isinstance(queries, list) or not queries:
        found = "an empty list" if queries == [] else kind(queries)
        return [Problem(at, f"{found} was found, expected is a list of queries")]
    found_problems = [
        problem
        for index, query in enumerate(queries)
        for problem in _query_problems(query, f"{at}[{index}]")
    ]
    if not found_problems and all(q.get("returnData") is False for q in queries):
        text = "every query has returnData: false; leave it out of the one to judge"
        return [Problem(at, text)]
    return found_problems


def _query_problems(query: object, at: str) -> list[Problem]:
    if not isinstance(query, t.Mapping):
        return mapping_problems(query, at)
    found = [
        *unknown_problems(query, _QUERY_FIELDS, at),
        *_id_problems(query.get("id"), f"{at}.id"),
        *text_problems(query.get("expression"), f"{at}.expression", required=False),
        *text_problems(query.get("label"), f"{at}.label", required=False),
        *_period_problems(query.get("period"), f"{at}.period"),
    ]
    if not isinstance(query.get("returnData"), (bool, type(None))):
        text = f"{kind(query['returnData'])} was found, expected is true or false"
        found.append(Problem(f"{at}.returnData", text))
    stat = query.get("metricStat")
    if (stat is None) == (not query.get("expression")):
        text = "expected is either expression or metricStat; give one of them"
        return [*found, Problem(at, text)]
    return (
        found if stat is None else [*found, *_stat_problems(stat, f"{at}.metricStat")]
    )


def _id_problems(value: object, at: str) -> list[Problem]:
    found = text_problems(value, at)
    if found or holds_placeholder(value) or _ID.fullmatch(str(value)):
        return found
    text = (
        f"{shown(str(value))!r} was found, expected is a small letter, then letters,"
        " digits and underscores"
    )
    return [Problem(at, text)]


def _stat_problems(stat: object, at: str) -> list[Problem]:
    if not isinstance(stat, t.Mapping):
        return mapping_problems(stat, at)
    return [
        *unknown_problems(stat, _STAT_FIELDS, at),
        *_period_problems(stat.get("period"), f"{at}.period", required=True),
        *text_problems(stat.get("stat"), f"{at}.stat"),
        *text_problems(stat.get("unit"), f"{at}.unit", required=False),
        *_metric_problems(stat.get("metric"), f"{at}.metric"),
    ]


def _metric_problems(metric: object, at: str) -> list[Problem]:
    if not isinstance(metric, t.Mapping):
        return mapping_problems(metric, at)
    found = [
        *unknown_problems(metric, _METRIC_FIELDS, at),
        *text_problems(metric.get("metricName"), f"{at}.metricName"),
        *text_problems(metric.get("namespace"), f"{at}.namespace"),
    ]
    dimensions = metric.get("dimensions")
    if not isinstance(dimensions, (list, type(None))):
        text = f"{kind(dimensions)} was found, expected is a list of dimensions"
        return [*found, Problem(f"{at}.dimensions", text)]
    for index, dimension in enumerate(dimensions or ()):
        found += _dimension_problems(dimension, f"{at}.dimensions[{index}]")
    return found


def _dimension_problems(dimension: object, at: str) -> list[Problem]:
    if not isinstance(dimension, t.Mapping):
        return mapping_problems(dimension, at)
    return [
        *unknown_problems(dimension, _DIMENSION_FIELDS, at),
        *text_problems(dimension.get("name"), f"{at}.name"),
        *text_problems(dimension.get("value"), f"{at}.value"),
    ]


def _period_problems(value: object, at: str, required: bool = False) -> list[Problem]:
    if holds_placeholder(value) or (value is None and not required):
        return []
    if _vendor.whole(value):
        return []
    found = repr(value) if isinstance(value, (int, float)) else kind(value)
    return [Problem(at, f"{found} was found, expected is a whole number of seconds")]
