# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""AWS Signature Version 4 by botocore, where it is installed.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import typing as t

from .. import _deps
from . import fields
from .measurement import MeasurementError, Problem

_FIELDS = ("region", "profile", "roleArn")


def problems(value: object, at: str) -> list[Problem]:
    """Unless it is ``{region, profile, roleArn}``, or absent."""
    if value is None:
        return []
    if not isinstance(value, t.Mapping):
        return fields.mapping_problems(value, at)
    found = fields.unknown_problems(value, _FIELDS, at)
    for name in _FIELDS:
        found += fields.text_problems(value.get(name), f"{at}.{name}", required=False)
    return found


def headers(
    keys: t.Mapping[str, t.Any],
    service: str,
    method: str,
    url: str,
    body: bytes | None,
    timeout: float,
) -> dict[str, str]:
    """The headers that sign a request, with the credentials of AWS's standard chain.

    :raises MeasurementError: botocore or the credentials are not there.
    """
    botocore = _deps.botocore()
    if botocore is None:
        raise MeasurementError(
            "authentication.sigv4 needs the Python library botocore; install it where"
            " the release runs: pip install botocore."
        )
    try:
        session = botocore.session.Session(profile=keys.get("profile") or None)
        region = keys.get("region") or session.get_config_variable("region")
        credentials = session.get_credentials()
        if keys.get("roleArn"):
            credentials = _assumed(botocore, session, keys["roleArn"], region, timeout)
        if credentials is None or not region:
            raise MeasurementError(
                f"authentication.sigv4: no {'region' if credentials else 'credentials'}"
                " for AWS can be found; give it in one of the ways that AWS's own tools"
                " know."
            )
        request = botocore.awsrequest.AWSRequest(method=method, url=url, data=body)
        botocore.auth.SigV4Auth(credentials, service, region).add_auth(request)
        return {str(name): str(value) for name, value in request.headers.items()}
    except (
        botocore.exceptions.BotoCoreError,
        botocore.exceptions.ClientError,
        ValueError,
    ) as error:
        # Only the kind: the text may repeat parts of a profile.
        raise MeasurementError(
            f"authentication.sigv4: AWS's credentials cannot be used"
            f" ({type(error).__name__}); check profile, roleArn and region."
        ) from error


def _assumed(
    botocore: t.Any, session: t.Any, role: str, region: str, timeout: float
) -> t.Any:
    settings = botocore.config.Config(
        connect_timeout=timeout, read_timeout=timeout, retries={"total_max_attempts": 1}
    )
    client = session.create_client("sts", region_name=region, config=settings)
    given = client.assume_role(RoleArn=role, RoleSessionName="cutover-bluegreen")
    keys = given["Credentials"]
    return botocore.credentials.Credentials(
        keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"]
    )
