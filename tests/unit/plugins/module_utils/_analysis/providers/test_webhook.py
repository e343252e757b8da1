# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each answer to a hook's webhook means."""

from __future__ import annotations

import typing as t
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.measurement import (  # noqa: E501
    MeasurementError,
    Place,
    Request,
    Unfinished,
    Verdict,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.providers import (  # noqa: E501
    webhook,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.http_server import (
    Close,
    Hang,
    HttpServer,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
SECRET = "services/T0000000/hunter2hunter2"


@pytest.fixture
def server() -> t.Iterator[HttpServer]:
    with HttpServer() as made:
        yield made


def sent(url: str, **config: t.Any) -> t.Any:
    def no_secret(name: str, key: str) -> str:
        raise AssertionError

    complete = {
        "url": url,
        "secret_url": False,
        "headers": {},
        "text": '{"hook": "tell"}',
        "timeout": 5.0,
        **config,
    }
    place = Place(now=lambda: NOW, secret=no_secret, api=lambda: t.cast("t.Any", None))
    return webhook.measure(Request("tell", 1, complete, complete, place))


def test_success(server: HttpServer) -> None:
    server.reply({"ok": True}, status=201)
    found = sent(server.url, headers={"X-Team": "web"})
    assert found == Verdict("Successful", 'it answered 201: {"ok": true}')
    (request,) = server.requests
    assert (request.method, request.body) == ("POST", b'{"hook": "tell"}')
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-team"] == "web"


@pytest.mark.parametrize("status", [400, 401, 404, 422])
def test_a_refusal(server: HttpServer, status: int) -> None:
    server.reply("no", status=status)
    assert sent(server.url) == Verdict("Failed", f"it answered {status}: no")


def test_a_redirect_is_not_followed(server: HttpServer) -> None:
    server.reply("", status=307, headers={"Location": f"{server.url}/other"})
    found = sent(server.url)
    assert found.phase == "Failed"
    assert "give the address that it redirects to" in found.message
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [408, 500, 503])
def test_what_may_be_tried_again(server: HttpServer, status: int) -> None:
    server.reply("boom", status=status)
    with pytest.raises(MeasurementError, match=f"it answered {status}: boom"):
        sent(server.url)


@pytest.mark.parametrize("status", [202, 429])
@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", 10),
        ("7", 7),
        ("0", 1),
        ("999999", 3600),
        ("soon", 10),
        (format_datetime(NOW + timedelta(seconds=30), usegmt=True), 30),
        (format_datetime(NOW - timedelta(seconds=30), usegmt=True), 1),
    ],
)
def test_not_yet(server: HttpServer, status: int, header: str, seconds: int) -> None:
    server.reply("", status=status, headers={"Retry-After": header} if header else {})
    found = sent(server.url)
    assert found == Unfinished({"message": f"it answered {status}"}, seconds)


def test_no_answer(server: HttpServer) -> None:
    server.reply(Hang())
    with pytest.raises(MeasurementError, match="cut off after 0.3 s"):
        sent(server.url, timeout=0.3)
    server.reply(Close())
    with pytest.raises(MeasurementError):
        sent(server.url)


@pytest.mark.parametrize("status", [200, 400, 202, 500])
def test_a_secret_url_and_headers_are_never_shown(
    server: HttpServer, status: int
) -> None:
    url = f"{server.url}/{SECRET}?code=geheim1"
    said = f"{SECRET} hunter2hunter2 geheim1 Bearer-geheim2"
    server.reply(said, status=status)
    headers = {"Authorization": "Bearer-geheim2"}
    try:
        shown = str(sent(url, secret_url=True, headers=headers))
    except MeasurementError as error:
        shown = str(error)
    assert not [s for s in ("hunter2", "geheim", "T0000000") if s in shown]


def test_nor_where_nobody_answers() -> None:
    with pytest.raises(MeasurementError) as failed:
        sent(f"http://127.0.0.1:1/{SECRET}", secret_url=True)
    assert "hunter2" not in str(failed.value)
