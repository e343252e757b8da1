# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""AWS's signatures, made by botocore where it is installed."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils import _deps
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis import sigv4
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.measurement import (  # noqa: E501 - a name
    MeasurementError,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.http_server import (
    HttpServer,
)

URL = "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-1/api/v1/query"
SECRET = "aws-secret-value"
ASSUMED = """\
<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleResult><Credentials>
<AccessKeyId>ASIAROLE</AccessKeyId>
<SecretAccessKey>of-the-role</SecretAccessKey>
<SessionToken>role-token</SessionToken>
<Expiration>2099-01-01T00:00:00Z</Expiration>
</Credentials></AssumeRoleResult></AssumeRoleResponse>
"""
DENIED = f"""\
<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error>
<Type>Sender</Type><Code>AccessDenied</Code><Message>no {SECRET}</Message>
</Error></ErrorResponse>
"""


@pytest.fixture
def _aws(monkeypatch: pytest.MonkeyPatch, tmp_path: t.Any) -> None:
    """No credentials of this machine, and none of AWS's own network."""
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)


def signed(keys: t.Mapping[str, t.Any], body: bytes = b"query=up") -> dict[str, str]:
    return sigv4.headers(keys, "aps", "POST", URL, body, 5)


def failure(keys: t.Mapping[str, t.Any]) -> str:
    with pytest.raises(MeasurementError) as caught:
        signed(keys)
    assert SECRET not in str(caught.value)
    return str(caught.value)


def test_without_botocore(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_deps, "botocore", lambda: None)
    assert failure({"region": "eu-west-1"}).endswith("pip install botocore.")


@pytest.mark.usefixtures("_aws")
def test_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("botocore")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    headers = signed({"region": "eu-west-1"})
    scope = headers["Authorization"].partition("Credential=AKIDEXAMPLE/")[2]
    assert scope[8:].startswith("/eu-west-1/aps/aws4_request, SignedHeaders=")
    assert "X-Amz-Date" in headers
    # The signature covers the body.
    assert signed({"region": "eu-west-1"}, b"query=down") != headers


@pytest.mark.usefixtures("_aws")
def test_without_credentials() -> None:
    pytest.importorskip("botocore")
    assert "no credentials for AWS can be found" in failure({"region": "eu-west-1"})


@pytest.mark.usefixtures("_aws")
def test_without_region(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("botocore")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    assert "no region for AWS can be found" in failure({})


@pytest.mark.usefixtures("_aws")
def test_profile_that_is_not_there() -> None:
    pytest.importorskip("botocore")
    message = failure({"region": "eu-west-1", "profile": "nobody"})
    assert "AWS's credentials cannot be used (ProfileNotFound)" in message


@pytest.mark.usefixtures("_aws")
def test_role(server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is not AWS's; it answers as AWS documents AssumeRole."""
    pytest.importorskip("botocore")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.url)
    keys = {"region": "eu-west-1", "roleArn": "arn:aws:iam::123456789012:role/reader"}
    server.reply(ASSUMED, headers={"Content-Type": "text/xml"})
    headers = signed(keys)
    assert server.requests[0].form["RoleArn"] == keys["roleArn"]
    assert "Credential=ASIAROLE/" in headers["Authorization"]
    assert headers["X-Amz-Security-Token"] == "role-token"
    server.reply(DENIED, status=403, headers={"Content-Type": "text/xml"})
    assert "cannot be used (ClientError)" in failure(keys)


def test_problems() -> None:
    assert sigv4.problems(None, "p.s") == []
    assert sigv4.problems({"region": "r", "profile": "p", "roleArn": "a"}, "p.s") == []
    assert [p.field for p in sigv4.problems({"role": "x", "region": 1}, "p.s")] == [
        "p.s.role",
        "p.s.region",
    ]
    assert sigv4.problems("x", "p.s")[0].text.startswith("a text was found")
