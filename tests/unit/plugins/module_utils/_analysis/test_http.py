# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The HTTP client against a server that answers well and badly."""

from __future__ import annotations

import base64
import gzip
import pathlib
import socket
import threading
import typing as t

import pytest
from cluster import free_port
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis import http
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.measurement import (  # noqa: E501 - the name of the module alone is that long
    MeasurementError,
)
from ansible_collections.cutover.bluegreen.tests.unit.support.http_server import (
    Close,
    Drip,
    Hang,
    HttpServer,
    Received,
    Reply,
)

SECRET = "s3cr3t-value"


def send(method: str, url: str, timeout: float = 10, **options: t.Any) -> http.Answer:
    return http.send(method, url, timeout=timeout, **options)


def failure(method: str, url: str, **options: t.Any) -> str:
    with pytest.raises(MeasurementError) as caught:
        send(method, url, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert SECRET not in message
    return message


def ca(certificates: pathlib.Path) -> str:
    return (certificates / "ca.crt").read_text()


@pytest.fixture(autouse=True)
def _no_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_tokens", {})


# -- a request and its answer ----------------------------------------------------------


def test_request_and_answer(server: HttpServer) -> None:
    server.reply(b'{"a": [1, NaN]}', status=201, headers={"X-Answer": "yes"})
    answer = send("POST", f"{server.url}/a/b?q=1#f", headers={"X-A": "1"}, body=b"data")
    (request,) = server.requests
    assert (request.method, request.target) == ("POST", "/a/b?q=1")
    assert (request.headers["x-a"], request.body) == ("1", b"data")
    assert (answer.status, answer.headers["x-answer"]) == (201, "yes")
    assert answer.text() == '{"a": [1, NaN]}'
    assert answer.json()["a"][0] == 1
    assert answer.source == f"POST {server.url}/a/b"


def test_user_and_password_of_the_url(server: HttpServer) -> None:
    server.reply()
    send("GET", server.url.replace("//", "//me:p%40ss@") + "/")
    expected = base64.b64encode(b"me:p@ss").decode()
    assert server.requests[0].headers["authorization"] == f"Basic {expected}"


def test_a_header_wins_over_the_user_of_the_url(server: HttpServer) -> None:
    server.reply()
    url = server.url.replace("//", "//me:no@")
    send("GET", url, headers={"authorization": "Bearer x"})
    assert server.requests[0].headers["authorization"] == "Bearer x"


def test_compressed_answer(server: HttpServer) -> None:
    server.reply(gzip.compress(b"plain"), headers={"Content-Encoding": "gzip"})
    assert send("GET", server.url).text() == "plain"


def test_no_utf8(server: HttpServer) -> None:
    server.reply(b"\xff\xfe caf\xe9")
    assert "caf" in send("GET", server.url).text()


@pytest.mark.parametrize(
    "body", [b"<html>down</html>", b"", b"\xff", b"[" * 100_000, b"1" * 5000]
)
def test_no_json(server: HttpServer, body: bytes) -> None:
    server.reply(body)
    answer = send("GET", f"{server.url}/x")
    with pytest.raises(MeasurementError) as caught:
        answer.json()
    begin = f"GET {server.url}/x did not answer with JSON, but with "
    assert str(caught.value).startswith(begin)
    assert len(str(caught.value)) < 350


# -- statuses and redirects ------------------------------------------------------------


def test_status_that_is_not_2xx(server: HttpServer) -> None:
    server.reply("<h1>\n  it   broke</h1>" + "x" * 500, status=500)
    message = failure("GET", f"{server.url}/p?token={SECRET}")
    begin = f"GET {server.url}/p answered 500 Internal Server Error: <h1> it broke</h1>"
    assert message.startswith(begin)
    assert message.endswith("xxx...")
    assert len(message) < len(begin) + 210


def test_any_status_may_be_accepted(server: HttpServer) -> None:
    server.reply("no", status=503)
    assert send("GET", server.url, accept_any_status=True).status == 503


def test_a_server_that_repeats_the_secrets(server: HttpServer) -> None:
    server.reply(lambda r: Reply(f"{r.target} {dict(r.headers)}", status=403))
    headers = {"Authorization": f"Bearer {SECRET}", "X-Api-Key": SECRET}
    message = failure("GET", f"{server.url}/p?token={SECRET}&a=b", headers=headers)
    assert "answered 403 Forbidden" in message
    assert "*****" in message


def test_an_answer_that_repeats_the_secrets(server: HttpServer) -> None:
    """As a value it would be recorded, and credentials are seldom sent as given."""
    headers = {**http.basic("user", SECRET), "X-Api-Key": SECRET}
    sent = headers["Authorization"].split()[1]
    server.reply(lambda r: Reply({"told": [dict(r.headers)], "rate": 1}))
    value = send("GET", server.url, headers=headers).json()
    assert value["rate"] == 1
    server.reply(lambda r: Reply(f"rate 1 {dict(r.headers)}"))
    text = send("GET", server.url, headers=headers).text()
    assert text.startswith("rate 1 ")
    for found in (str(value), text):
        assert sent not in found
        assert SECRET not in found


def test_redirects_of_the_same_origin(server: HttpServer) -> None:
    server.reply(status=302, headers={"Location": "/b?x=1"})
    server.reply(status=308, headers={"Location": f"{server.url}/c"})
    server.reply("there")
    assert send("GET", f"{server.url}/a", headers={"X-Key": "k"}).text() == "there"
    assert [r.target for r in server.requests] == ["/a", "/b?x=1", "/c"]
    assert all(r.headers["x-key"] == "k" for r in server.requests)


def test_endless_redirects(server: HttpServer) -> None:
    server.reply(status=302, headers={"Location": "/a"}, path="/a")
    message = failure("GET", f"{server.url}/a")
    assert "was redirected more than 5 times" in message
    assert len(server.requests) == 6


def test_redirect_to_another_host_gets_no_credentials(server: HttpServer) -> None:
    with HttpServer() as other:
        where = f"{other.url}/login?session={SECRET}"
        server.reply(status=302, headers={"Location": where})
        headers = {"Authorization": f"Bearer {SECRET}"}
        message = failure("GET", f"{server.url}/a", headers=headers)
        assert f"redirects (302) to {other.url}/login, and" in message
        assert other.requests == []


@pytest.mark.parametrize("where", ["https://", "http://[", "//x:y/", "mailto:a", "::"])
def test_redirect_to_nowhere(server: HttpServer, where: str) -> None:
    server.reply(status=302, headers={"Location": where}, path="/a")
    assert failure("GET", f"{server.url}/a")


def test_a_post_is_not_redirected(server: HttpServer) -> None:
    server.reply(status=307, headers={"Location": "/b"})
    message = failure("POST", f"{server.url}/a", body=b"x")
    assert f"redirects (307) to {server.url}/b" in message
    assert len(server.requests) == 1


# -- a server that does not answer as it should ----------------------------------------


@pytest.mark.parametrize("script", [Hang(), Drip(), Drip(headers=True)])
def test_deadline(server: HttpServer, script: object) -> None:
    server.reply(script)
    before = set(threading.enumerate())
    message = failure("GET", f"{server.url}/x?token={SECRET}", timeout=0.3)
    assert message == (
        f"GET {server.url}/x was cut off after 0.3 s, before its answer was complete;"
        " look at the server, or allow it more seconds."
    )
    # The thread that was left behind ends, too: its socket is shut down.
    for thread in set(threading.enumerate()) - before:
        if thread.name.endswith("(_run)"):
            thread.join(10)
            assert not thread.is_alive()


def test_deadline_over_tls(tls_server: HttpServer, certificates: pathlib.Path) -> None:
    tls_server.reply(Drip(headers=True))
    message = failure("GET", tls_server.url, timeout=0.5, ca_cert=ca(certificates))
    assert "was cut off after 0.5 s" in message


def test_deadline_of_a_server_that_never_speaks_tls() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        message = failure("GET", f"https://127.0.0.1:{port}/", timeout=0.3)
    assert "0.3 s" in message


def test_deadline_of_all_redirects_together(server: HttpServer) -> None:
    server.reply(status=302, headers={"Location": "/b"})
    server.reply(Hang())
    assert "cut off after 0.5 s" in failure("GET", f"{server.url}/a", timeout=0.5)


def test_name_server_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def hang(*_arguments: object, **_options: object) -> t.NoReturn:
        released.wait(30)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    message = failure("GET", "http://metrics.example:9090/", timeout=0.2)
    released.set()
    assert message == (
        "metrics.example:9090 cannot be reached (no connection within 0.2 s);"
        " check the address, the network and proxies."
    )


def test_nobody_listens() -> None:
    port = free_port()
    message = failure("GET", f"http://me:{SECRET}@127.0.0.1:{port}/x?a={SECRET}")
    assert message == (
        f"127.0.0.1:{port} cannot be reached (connection refused); check the address,"
        " the network and proxies."
    )


def test_unknown_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_arguments: object, **_options: object) -> t.NoReturn:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    message = failure("GET", "http://metrics.example/")
    assert message.startswith(
        "metrics.example:80 cannot be reached (the name is not known);"
    )


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
    ],
)
def test_broken_answers(server: HttpServer, sent: bytes) -> None:
    server.reply(Close(sent))
    message = failure("GET", server.url)
    assert message.startswith(f"127.0.0.1:{server.port} cannot be reached (")


def test_answer_that_is_too_large(server: HttpServer) -> None:
    server.reply(b"x" * (11 * 1024 * 1024))
    message = failure("GET", f"{server.url}/big")
    assert message == (
        f"GET {server.url}/big answered with more than 10 MiB; ask for less."
    )


def test_compressed_answer_that_is_too_large(server: HttpServer) -> None:
    bomb = gzip.compress(b"x" * (30 * 1024 * 1024))
    server.reply(bomb, headers={"Content-Encoding": "gzip"})
    assert "more than 10 MiB" in failure("GET", server.url)


# -- TLS -------------------------------------------------------------------------------


def test_authority_that_is_given(
    tls_server: HttpServer, certificates: pathlib.Path
) -> None:
    tls_server.reply("safe")
    assert send("GET", tls_server.url, ca_cert=ca(certificates)).text() == "safe"


def test_authority_that_nobody_trusts(tls_server: HttpServer) -> None:
    message = failure("GET", tls_server.url)
    assert message.startswith(
        f"The certificate of 127.0.0.1:{tls_server.port} is not trusted ("
    )
    assert message.endswith("; give its authority as caCert, or set insecure: true.")
    assert tls_server.requests == []


def test_insecure(tls_server: HttpServer) -> None:
    tls_server.reply("unsafe")
    assert send("GET", tls_server.url, insecure=True).text() == "unsafe"


def test_tls_asked_of_a_server_without(server: HttpServer) -> None:
    url = server.url.replace("http:", "https:")
    assert "cannot be reached (TLS failed: " in failure("GET", url)


def test_authority_that_is_no_certificate(tls_server: HttpServer) -> None:
    for text in (
        "rubbish",
        "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----",
    ):
        message = failure("GET", tls_server.url, ca_cert=text)
        assert message.startswith("caCert holds no certificate that can be read;")


# -- proxies ---------------------------------------------------------------------------


def test_proxy(server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.url.replace("//", "//me:pass@"))
    server.reply("through the proxy")
    answer = send("GET", "http://metrics.example/x", headers={"Authorization": "A b"})
    assert answer.text() == "through the proxy"
    (request,) = server.requests
    assert request.target == "http://metrics.example/x"
    expected = base64.b64encode(b"me:pass").decode()
    assert request.headers["proxy-authorization"] == f"Basic {expected}"
    assert request.headers["authorization"] == "A b"


def test_no_proxy(server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("NO_PROXY", "example.org,127.0.0.1")
    server.reply("direct")
    assert send("GET", server.url.replace("//", "//me:x@")).text() == "direct"


def test_proxy_that_refuses_a_tunnel(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", server.url.replace("//", f"//me:{SECRET}@"))
    message = failure("GET", "https://metrics.example/x")
    assert message.startswith("metrics.example:443 cannot be reached through the proxy")


def test_proxy_of_another_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", f"socks5://me:{SECRET}@127.0.0.1:1080")
    message = failure("GET", "http://metrics.example/x")
    assert "(socks5://127.0.0.1) is neither http:// nor https://" in message


# -- what is refused before it is sent -------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "",
        "metrics:9090",
        "ftp://metrics/",
        "http://",
        "http://:80",
        "http://a:x",
        "http://a:0/",
        "http://a:99999/",
        "http://[::1/",
        "http://a b/",
        "http://a/\r\nX: y",
    ],
)
def test_urls_that_are_none(url: str) -> None:
    assert failure("GET", url).startswith("The URL cann")


@pytest.mark.parametrize(
    ("name", "value", "about"),
    [
        ("X-Token", f"{SECRET}\n", "the header X-Token holds a line break"),
        ("X-Token", f"a\r\nX-B: {SECRET}", "the header X-Token holds a line break"),
        ("X Token", SECRET, "'X Token' is no name of an HTTP header"),
        ("X:\r\n", SECRET, "is no name of an HTTP header"),
        ("", SECRET, "'' is no name of an HTTP header"),
        ("X-Token", f"{SECRET}\u20ac", "a character that HTTP does not carry"),
    ],
)
def test_headers_that_are_none(
    server: HttpServer, name: str, value: str, about: str
) -> None:
    assert about in failure("GET", server.url, headers={name: value})
    assert server.requests == []


@given(st.text(), st.text(max_size=20))
def test_whatever_the_url_it_ends_as_a_sentence(host: str, path: str) -> None:
    for url in (host, f"http://{host}/{path}", f"http://127.0.0.1:1/{path}?{host}"):
        try:
            http.shown_url(url)
        except MeasurementError:
            continue


def test_whatever_is_asked_and_answered_it_ends_as_a_sentence() -> None:
    begins = st.sampled_from(
        [b"", b"HTTP/1.1 ", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 302 X\r\nLocation: "]
    )
    ends = st.sampled_from([b"", b"\r\n\r\n", b"\r\nContent-Length: 9\r\n\r\nx"])
    headers = st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2)
    with HttpServer() as server:

        @given(st.text(max_size=9), headers, begins, st.binary(max_size=20), ends)
        def ask(
            path: str, names: dict[str, str], begin: bytes, middle: bytes, end: bytes
        ) -> None:
            server.reply(Close(begin + middle + end))
            try:
                answer = send("GET", f"{server.url}/{path}", headers=names)
            except MeasurementError as error:
                assert "\n" not in str(error)
            else:
                assert 200 <= answer.status < 300

        ask()


# -- OAuth2 ----------------------------------------------------------------------------


def oauth2(server: HttpServer, **more: t.Any) -> dict[str, t.Any]:
    return {
        "tokenUrl": f"{server.url}/token",
        "clientId": "my client",
        "clientSecret": SECRET,
        **more,
    }


def token(asked: t.Mapping[str, t.Any]) -> str:
    return http.oauth2_token(asked, 10)


def test_token_is_asked_for_once(server: HttpServer) -> None:
    server.reply({"access_token": "abc", "expires_in": 3600})
    asked = oauth2(server, scopes=["read", "write"])
    assert [token(asked), token(asked)] == ["abc", "abc"]
    (request,) = server.requests
    pair = base64.b64encode(f"my%20client:{SECRET}".encode()).decode()
    assert request.headers["authorization"] == f"Basic {pair}"
    assert b"+" not in request.body
    assert request.form == {"grant_type": "client_credentials", "scope": "read write"}


def test_token_that_is_about_to_expire_is_asked_for_anew(server: HttpServer) -> None:
    server.reply({"access_token": "first", "expires_in": 29})
    server.reply({"access_token": "second"})
    server.reply({"access_token": "third", "expires_in": "3600"})
    tokens = [token(oauth2(server)) for _time in range(4)]
    assert tokens == ["first", "second", "third", "third"]


def test_another_client_gets_another_token(server: HttpServer) -> None:
    server.reply({"access_token": "first", "expires_in": 3600})
    server.reply({"access_token": "second", "expires_in": 3600})
    assert token(oauth2(server)) == "first"
    assert token(oauth2(server, clientSecret="other")) == "second"


def test_server_that_wants_the_credentials_in_the_form(server: HttpServer) -> None:
    server.reply({"error": "invalid_client"}, status=401)
    server.reply({"access_token": "abc"})
    assert token(oauth2(server)) == "abc"
    last = server.requests[1]
    assert "authorization" not in last.headers
    assert last.form["client_id"] == "my client"
    assert last.form["client_secret"] == SECRET


def token_failure(server: HttpServer) -> str:
    with pytest.raises(MeasurementError) as caught:
        token(oauth2(server))
    assert SECRET not in str(caught.value)
    return str(caught.value)


def test_token_that_is_refused(server: HttpServer) -> None:
    def refuse(request: Received) -> Reply:
        said = {"error": "invalid_client", "error_description": request.body.decode()}
        return Reply(said, status=401)

    server.reply(refuse, path="/token")
    assert token_failure(server) == (
        f"The token server gave no access token: POST {server.url}/token answered 401"
        " (invalid_client); check clientId, clientSecret and scopes."
    )


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        "<html>",
        {"access_token": 1},
        {"access_token": ""},
        {"access_token": "a\r\nX: b"},
        {"access_token": "a", "expires_in": "soon"},
        {"access_token": "a", "expires_in": []},
    ],
)
def test_token_that_is_none(server: HttpServer, body: object) -> None:
    server.reply(body)
    assert "answered without a usable access_token" in token_failure(server)
