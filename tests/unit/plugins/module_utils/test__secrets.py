# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The secrets of an analysis: where they come from, and what is said without them."""

from __future__ import annotations

import base64
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.measurement import (  # noqa: E501 - one name
    SecretMissing,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._errors import (
    BadInput,
    NotFound,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._secrets import (
    Secrets,
    parse_given,
)


class OneSecret:
    """Stands for the API where there is the Secret `web` alone."""

    def get(self, path: str) -> dict[str, t.Any]:
        if not path.endswith("/namespaces/shop/secrets/web"):
            raise NotFound("not found", 404)
        return {
            "data": {
                "token": base64.b64encode(b"from-cluster").decode(),
                "binary": base64.b64encode(b"\xff\xfe").decode(),
                "damaged": "%%%",
            }
        }


def secrets(given: dict[str, dict[str, str]] | None = None) -> Secrets:
    api: t.Any = OneSecret()
    return Secrets(given or {}, lambda: api, "shop")


def test_what_is_given_goes_before_the_cluster() -> None:
    assert secrets({"web": {"token": "given"}}).get("web", "token") == "given"
    assert secrets().get("web", "token") == "from-cluster"
    assert secrets({"web": {"other": "given"}}).get("web", "token") == "from-cluster"


@pytest.mark.parametrize(
    ("name", "key", "said"),
    [
        ("nope", "token", "Secret nope does not exist in namespace shop"),
        ("web", "nope", "Secret web in namespace shop has no key nope"),
        ("web", "binary", "Secret web, key binary, in namespace shop is no text"),
        ("web", "damaged", "Secret web, key damaged, in namespace shop is no text"),
    ],
)
def test_what_is_missing_is_named(name: str, key: str, said: str) -> None:
    with pytest.raises(SecretMissing, match=said):
        secrets().get(name, key)


def test_what_the_release_was_started_with_is_asked_for_again() -> None:
    held = secrets({"web": {"token": "x"}, "vendor": {"key": "y"}})
    assert held.names_given() == ("vendor/key", "web/token")
    held.require(["web/token"], "analysis_secrets")
    with pytest.raises(
        BadInput, match=r"^analysis_secrets: datadog/api-key was given .*shut"
    ):
        held.require(["datadog/api-key", "web/token"], "analysis_secrets")


@pytest.mark.parametrize("empty", [None, {}, ""])
def test_nothing_given_is_no_secret(empty: object) -> None:
    assert parse_given(empty, "analysis_secrets") == {}


def test_numbers_are_taken_as_text() -> None:
    assert parse_given({"web": {"pin": 4711}}, "v") == {"web": {"pin": "4711"}}


@pytest.mark.parametrize(
    "bad", [["hunter2"], {"web": "hunter2"}, {"web": {"k": ["hunter2"]}}, "hunter2"]
)
def test_another_shape_is_refused_without_showing_it(bad: object) -> None:
    with pytest.raises(BadInput) as refused:
        parse_given(bad, "analysis_secrets")
    assert str(refused.value).startswith("analysis_secrets: ")
    assert "hunter2" not in str(refused.value)
