# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import threading
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._errors import BadInput
from ansible_collections.cutover.bluegreen.plugins.module_utils._prober import (
    KINDS,
    Answers,
    Prober,
    parse_probe,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.http_server import (
    Close,
    HttpServer,
    Received,
    Reply,
)

URL = "http://web.example.com/"


def test_an_address_is_enough() -> None:
    assert json.loads(parse_probe(URL, "probe")) == {"url": URL}
    assert parse_probe("", "probe") == parse_probe(None, "probe") == ""


def test_what_is_the_default_is_not_written_down() -> None:
    given = {"url": URL, "rate": "20", "settle_seconds": 9, "host": "shop"}
    found = json.loads(parse_probe(given, "probe"))
    assert found == {"url": URL, "settle_seconds": 9, "host": "shop"}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"url": "web:8080"}, "url is 'web:8080'; give the http:// or https://"),
        ({"rate": 3}, "url is missing; give the http:// or https:// address"),
        ({"url": URL, "rps": 3}, "rps is not known; give url, and any of rate,"),
        ({"url": URL, "rate": 51}, "rate is 51; give 1 to 50."),
        ({"url": URL, "rate": "many"}, "rate is 'many'; give a whole number."),
        ({"url": URL, "rate": True}, "rate is True; give a whole number."),
        ({"url": URL, "settle_seconds": 61}, "settle_seconds is 61; give 0 to 60."),
        ({"url": "http://me:pw@web/"}, "url holds credentials, which would stand"),
        ({"url": "http://web:port/"}, "url is 'http://web:port/'; give the http://"),
        ({"url": URL, "ca_cert": "none"}, "ca_cert holds no certificate"),
    ],
)
def test_bad_input_is_one_sentence(given: dict[str, t.Any], says: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_probe(given, "probe")
    assert str(caught.value).startswith(f"probe: {says}")
    assert "\n" not in str(caught.value)
    assert "pw" not in str(caught.value)


def test_the_longest_gap_is_between_two_successes() -> None:
    answers = Answers()
    for at in (1.0, 1.5):
        answers.took("v1", at)
    answers.failed("no answer in time")
    answers.took("v2", 3.25)
    assert answers.result(began=2.0) == {
        "requests": 4,
        "errors": 1,
        "longest_gap_ms": 1750,
        "first_error": "no answer in time",
        "versions": {
            "v1": {"first_ms": -1000, "last_ms": -500},
            "v2": {"first_ms": 1250, "last_ms": 1250},
        },
    }


class Counted:
    """A server's answers, by turns; says when there were enough of them."""

    def __init__(self, *answers: Reply, enough: int = 12) -> None:
        self._answers = answers
        self._left = enough
        self._lock = threading.Lock()
        self.enough = threading.Event()

    def __call__(self, _request: Received) -> Reply:
        with self._lock:
            self._left -= 1
            if self._left <= 0:
                self.enough.set()
            return self._answers[self._left % len(self._answers)]


def probed(
    server: HttpServer, until: threading.Event, **more: t.Any
) -> dict[str, t.Any]:
    probe = parse_probe({"url": server.url, "rate": 50, **more}, "probe")
    prober = Prober(probe)
    prober.start()
    assert until.wait(20)
    prober.stop()
    return prober.result(0.0)


def test_both_kinds_of_connection_are_tried() -> None:
    script = Counted(Reply("well", keeps=True, headers={"X-Version": "1"}), enough=12)
    with HttpServer() as server:
        server.reply(script, path="/")
        found = probed(server, script.enough, version_header="X-Version")
        closes = [r.headers.get("connection") for r in server.requests]
    assert set(found) == set(KINDS)
    assert [found[kind]["errors"] for kind in KINDS] == [0, 0]
    assert all(list(found[kind]["versions"]) == ["1"] for kind in KINDS)
    assert {"close", None} == set(closes)


def test_a_reused_connection_that_is_closed_politely_is_no_error() -> None:
    script = Counted(Reply("well", keeps=True), Reply("well"))
    with HttpServer() as server:
        server.reply(script, path="/")
        found = probed(server, script.enough)
    assert found["reused"]["errors"] == 0
    assert found["reused"]["requests"] > 1


def test_servers_errors_are_errors_and_users_are_not() -> None:
    failing = Counted(Reply("broken", status=503))
    with HttpServer() as server:
        server.reply(failing, path="/")
        found = probed(server, failing.enough)
    assert found["new"]["errors"] == found["new"]["requests"] > 0
    assert found["new"]["first_error"] == "HTTP status 503"
    missing = Counted(Reply("where?", status=404))
    with HttpServer() as server:
        server.reply(missing, path="/")
        found = probed(server, missing.enough)
    assert found["new"]["errors"] == 0


def test_no_answer_is_an_error() -> None:
    asked = threading.Event()
    with HttpServer() as server:
        server.reply(Close(), path="/")
        prober = Prober(parse_probe(server.url, "probe"))
        prober.start()
        asked.set()
        prober.stop()
    seen = prober.so_far()
    assert seen.errors == seen.requests > 0
    assert seen.first_error == "the connection was closed before an answer came"


def test_it_goes_on_for_a_while_after_the_last_write() -> None:
    with HttpServer() as server:
        server.reply(Reply("well"), path="/")
        prober = Prober(parse_probe({"url": server.url}, "probe"))
        assert prober.so_far().seconds_left == 0
        prober.settle()
        assert 4 < prober.so_far().seconds_left <= 5
        prober.stop()
        assert prober.so_far().seconds_left == 0
