# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The provider `probe`: requests through a real API server to a real HTTP server.

KWOK's pods do not run, so a pod is given an address of this machine, where the
application of this test listens.
"""

from __future__ import annotations

import http.server
import ipaddress
import pathlib
import socket
import threading
import typing as t

import pytest

from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.measurement import (  # noqa: E501 - a module's name
    MeasurementError,
    Place,
    Value,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._analysis.providers import (  # noqa: E501 - a package's name
    probe,
)
from ansible_collections.cutover.bluegreen.tests.integration.support import session
from ansible_collections.cutover.bluegreen.tests.integration.support.kube import (
    Kube,
    Object,
    resource_path,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.manifests import (
    deployment,
    service,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.measuring import (
    place_on,
    request_at,
)
from ansible_collections.cutover.bluegreen.tests.integration.support.waiting import (
    eventually,
)

SERVICE = "web-preview"


class Application(http.server.ThreadingHTTPServer):
    """Answers /health with 200, /slow never, /broken with 500 and /echo in full."""

    daemon_threads = True

    def __init__(self, address: str) -> None:
        super().__init__((address, 0), Handler)
        self.asked: list[tuple[str, str, bytes, dict[str, str]]] = []
        self.ending = threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is what the slow test is about."""


class Handler(http.server.BaseHTTPRequestHandler):
    server: Application
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {k.lower(): v for k, v in self.headers.items()}
        self.server.asked.append((self.command, self.path, body, headers))
        if self.path == "/slow":
            self.server.ending.wait()
        codes = {"/broken": 500, "/gone": 404, "/moved": 302}
        self.send_response(codes.get(self.path, 200))
        self.send_header("Content-Length", "0")
        if self.path == "/moved":
            self.send_header("Location", "/health")
        self.end_headers()

    do_GET = do_POST = do_HEAD = _answer

    def log_message(self, *_arguments: object) -> None:
        """Not to the terminal."""


def own_address() -> str:
    """An address of this machine other than the loopback's; empty if it has none.

    Connecting a datagram socket sends nothing: it only chooses the address to send
    from.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as chooser:
        try:
            chooser.connect(("198.51.100.1", 9))
        except OSError:
            return ""
        address = str(chooser.getsockname()[0])
    unusable = ipaddress.ip_address(address)
    return "" if unusable.is_loopback or unusable.is_link_local else address


@pytest.fixture(scope="module")
def application(cluster: session.Cluster) -> t.Iterator[Application]:
    if not cluster.embedded:
        pytest.skip("the pods are steered by the embedded cluster's stages")
    address = own_address()
    if not address:
        pytest.skip(
            "this machine has only loopback addresses, to which an API server does not"
            " proxy"
        )
    running = Application(address)
    thread = threading.Thread(target=running.serve_forever, args=(0.02,))
    thread.start()
    yield running
    running.ending.set()
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture
def place(
    kube: Kube,
    account_kubeconfig: pathlib.Path,
    namespace: str,
    application: Application,
) -> Place:
    """A preview Service, and behind it a pod that is the application."""
    application.asked.clear()
    address, port = application.server_address[:2]
    pod = deployment("web", replicas=1, pod_ip=str(address))
    kube.create(resource_path("deployments", namespace), pod)
    preview = service(SERVICE, selector={"app": "web"}, target_port=int(port))
    kube.create(resource_path("services", namespace), preview)
    eventually(lambda: has_endpoint(kube, namespace), 20, "the pod behind the Service")
    return place_on(account_kubeconfig, namespace, preview_services=(SERVICE,))


def has_endpoint(kube: Kube, namespace: str) -> bool:
    slices = kube.list(
        resource_path("endpointslices", namespace),
        f"kubernetes.io/service-name={SERVICE}",
    )
    endpoints = [e for s in slices for e in s.get("endpoints") or []]
    return any(e["conditions"].get("ready") for e in endpoints)


def measured(place: Place, **config: t.Any) -> Object:
    outcome = probe.measure(request_at(place, config))
    assert isinstance(outcome, Value)
    return t.cast(Object, outcome.value)


def measured_once_known(place: Place, **config: t.Any) -> Object:
    """The API server's proxy learns of a new Service a little after it was created."""

    def value() -> Object | None:
        try:
            return measured(place, **config)
        except MeasurementError as error:
            if "not found" not in str(error):
                raise
            return None

    return t.cast(Object, eventually(value, 20, "the proxy to know the Service"))


def test_the_preview_is_asked_through_the_api_server(
    place: Place, application: Application
) -> None:
    value = measured(place, path="/health", requests=20, rate=50, concurrency=4)
    assert (value["requests"], value["ok"], value["errors"]) == (20, 20, 0)
    assert value["status"] == {"200": 20}
    assert value["success_rate"] == 1.0
    assert value["unsent"] == 0
    latency = value["latency_ms"]
    assert 0 < latency["p50"] <= latency["p95"] <= latency["max"]
    assert [asked[:2] for asked in application.asked] == [("GET", "/health")] * 20


def test_what_is_sent_arrives(place: Place, application: Application) -> None:
    value = measured(
        place,
        path="/echo?a=b",
        method="POST",
        body='{"a": 1}',
        headers=[{"key": "X-Test", "value": "1"}],
        requests=1,
    )
    assert value["ok"] == 1
    ((method, path, body, headers),) = application.asked
    assert (method, path, body) == ("POST", "/echo?a=b", b'{"a": 1}')
    assert headers["x-test"] == "1"
    # The credentials for the API server end there.
    assert "authorization" not in headers


@pytest.mark.parametrize(
    ("path", "code", "ok"),
    [("/broken", "500", 0), ("/gone", "404", 0), ("/moved", "302", 2)],
)
def test_what_the_application_answers_counts(
    place: Place, path: str, code: str, ok: int
) -> None:
    value = measured(place, path=path, requests=2)
    assert value["status"] == {code: 2}
    assert value["ok"] == ok
    proxy = f"/api/v1/namespaces/{place.namespace}/services/http:{SERVICE}:80/proxy"
    error = f"GET {proxy}{path} answered {code}"
    assert value["first_error"] == ("" if ok else error)


def test_head(place: Place, application: Application) -> None:
    assert measured(place, method="HEAD", requests=2)["ok"] == 2
    assert application.asked[0][0] == "HEAD"


def test_an_application_that_does_not_answer(place: Place) -> None:
    value = measured(place, path="/slow", requests=2, timeoutSeconds=0.5)
    assert value["errors"] == 2
    assert value["status"] == {}
    assert value["first_error"].endswith("/slow had not answered after 0.5 s.")


def test_nothing_listens_behind_the_service(
    kube: Kube, place: Place, application: Application
) -> None:
    """A port on which the application does not listen; and no pod at all."""
    with socket.socket() as closed:
        # Bound and not listening: nobody else takes it meanwhile.
        closed.bind((application.server_address[0], 0))
        port = closed.getsockname()[1]
        body = service("web-dead", selector={"app": "web"}, target_port=port)
        kube.create(resource_path("services", place.namespace), body)
        refused = eventually(
            lambda: (
                (v := measured_once_known(place, service="web-dead", requests=2))
                and "refused" in v["first_error"]
                and v
            ),
            20,
            "a refused connection",
        )
    assert refused["errors"] == 2
    nobody = service("web-none", selector={"app": "nobody"})
    kube.create(resource_path("services", place.namespace), nobody)
    value = measured_once_known(place, service="web-none", requests=2)
    assert value["status"] == {"503": 2}
    text = 'no endpoints available for service "web-none"'
    assert value["first_error"].endswith(f" answered 503: {text}")


def test_a_service_that_does_not_exist(place: Place) -> None:
    with pytest.raises(MeasurementError, match=r"Service .*/nowhere does not exist"):
        measured(place, service="nowhere")


def test_a_missing_right_is_named(
    place: Place, restricted_kubeconfig: t.Callable[..., pathlib.Path]
) -> None:
    kubeconfig = restricted_kubeconfig({"services": ["list"]})
    restricted = place_on(kubeconfig, place.namespace, preview_services=(SERVICE,))
    with pytest.raises(MeasurementError, match=r"did not let GET .* through \(403\)"):
        measured(restricted, requests=3)


def test_the_rights_that_are_documented_suffice(
    place: Place, restricted_kubeconfig: t.Callable[..., pathlib.Path]
) -> None:
    rights = {"services": ["list"], "services/proxy": ["get", "create"]}
    kubeconfig = restricted_kubeconfig(rights)
    restricted = place_on(kubeconfig, place.namespace, preview_services=(SERVICE,))
    for method in ("GET", "HEAD", "POST"):
        assert measured(restricted, method=method, requests=1)["ok"] == 1


def test_straight_to_the_pod(place: Place, application: Application) -> None:
    address, port = application.server_address[:2]
    value = measured(place, url=f"http://{address!s}:{port}/health", requests=3)
    assert value["ok"] == 3
