# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A thin REST client of the tests' own, so that they do not trust the engine's."""

from __future__ import annotations

import copy
import json
import pathlib
import typing as t
import urllib.parse

import kubernetes.client
import kubernetes.config
import urllib3

AGENT = "bluegreen-tests"
PREFIXES = {
    "deployments": "/apis/apps/v1",
    "replicasets": "/apis/apps/v1",
    "endpointslices": "/apis/discovery.k8s.io/v1",
    "httproutes": "/apis/gateway.networking.k8s.io/v1",
    "leases": "/apis/coordination.k8s.io/v1",
    "horizontalpodautoscalers": "/apis/autoscaling/v2",
    "poddisruptionbudgets": "/apis/policy/v1",
    "jobs": "/apis/batch/v1",
    "cronjobs": "/apis/batch/v1",
    "networkpolicies": "/apis/networking.k8s.io/v1",
    "roles": "/apis/rbac.authorization.k8s.io/v1",
    "rolebindings": "/apis/rbac.authorization.k8s.io/v1",
    "validatingadmissionpolicies": "/apis/admissionregistration.k8s.io/v1",
    "validatingadmissionpolicybindings": "/apis/admissionregistration.k8s.io/v1",
    "clusterroles": "/apis/rbac.authorization.k8s.io/v1",
    "clusterrolebindings": "/apis/rbac.authorization.k8s.io/v1",
}
PATCH_TYPES = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
}

Params = t.Mapping[str, "str | int | bool"]
Body = t.Mapping[str, t.Any]
Object = dict[str, t.Any]


class ApiError(Exception):
    """The API's refusal: its code, and its Status as the body."""

    def __init__(self, method: str, path: str, code: int, body: str) -> None:
        super().__init__(f"{method} {path}: {code} {body}")
        self.code = code
        self.body = body


def resource_path(
    resource: str,
    namespace: str | None = None,
    name: str | None = None,
    subresource: str | None = None,
) -> str:
    """Return the path of a built-in resource's collection or object."""
    parts = [PREFIXES.get(resource, "/api/v1")]
    if namespace is not None:
        parts += ["namespaces", namespace]
    parts += [part for part in (resource, name, subresource) if part is not None]
    return "/".join(parts)


class Kube:
    """Requests by path; bodies and answers are dicts; a refusal is an ApiError."""

    def __init__(
        self, kubeconfig: pathlib.Path, agent: str = AGENT, context: str | None = None
    ) -> None:
        configuration = kubernetes.client.Configuration()
        load: t.Any = kubernetes.config.load_kube_config
        load(str(kubeconfig), context, client_configuration=configuration)
        self._server: str = configuration.host.rstrip("/")
        self._headers = {"User-Agent": agent, "Accept": "application/json"}
        auth: t.Any
        for auth in configuration.auth_settings().values():
            self._headers[auth["key"]] = auth["value"]
        self._pool = urllib3.PoolManager(
            maxsize=10,
            retries=False,
            cert_reqs="CERT_REQUIRED" if configuration.verify_ssl else "CERT_NONE",
            ca_certs=configuration.ssl_ca_cert,
            cert_file=configuration.cert_file,
            key_file=configuration.key_file,
        )

    def acting_as(self, user: str) -> Kube:
        """The same, with what this user may do."""
        other = copy.copy(self)
        other._headers = {**self._headers, "Impersonate-User": user}
        return other

    def get(self, path: str, **params: str | int | bool) -> Object:
        return self.request("GET", path, params=params)

    def find(self, path: str) -> Object | None:
        """Return the object, or None where there is none."""
        try:
            return self.get(path)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    def list(self, path: str, selector: str | None = None) -> list[Object]:
        params = {} if selector is None else {"labelSelector": selector}
        return t.cast("list[Object]", self.request("GET", path, params=params)["items"])

    def create(self, path: str, body: Body, **params: str | int | bool) -> Object:
        """Create the object in the collection at `path`."""
        return self.request("POST", path, body, params)

    def replace(self, path: str, body: Body, **params: str | int | bool) -> Object:
        return self.request("PUT", path, body, params)

    def patch(
        self,
        path: str,
        body: Body | t.Sequence[Body],
        kind: str = "merge",
        **params: str | int | bool,
    ) -> Object:
        """Patch the object; `kind` is json, merge or strategic."""
        return self.request("PATCH", path, body, params, PATCH_TYPES[kind])

    def delete(self, path: str, **params: str | int | bool) -> Object:
        return self.request("DELETE", path, params=params)

    def request(
        self,
        method: str,
        path: str,
        body: Body | t.Sequence[Body] | None = None,
        params: Params | None = None,
        content_type: str = "application/json",
    ) -> Object:
        text = self._text(method, path, body, params, content_type)
        return t.cast(Object, json.loads(text))

    def text(self, path: str) -> str:
        """Return an answer that is no JSON, such as a pod's through the API."""
        return self._text("GET", path)

    def _text(
        self,
        method: str,
        path: str,
        body: Body | t.Sequence[Body] | None = None,
        params: Params | None = None,
        content_type: str = "application/json",
    ) -> str:
        response = self._pool.request(
            method,
            self._url(path, params),
            body=None if body is None else json.dumps(body),
            headers={**self._headers, "Content-Type": content_type},
            timeout=30,
        )
        text = response.data.decode()
        if response.status >= 400:
            raise ApiError(method, path, response.status, text)
        return text

    def open_watch(self, path: str, params: Params) -> urllib3.BaseHTTPResponse:
        """Return the open answer to a watch; its lines are the events."""
        response = self._pool.request(
            "GET",
            self._url(path, {**params, "watch": True}),
            headers=self._headers,
            preload_content=False,
            timeout=urllib3.Timeout(connect=5, read=None),
        )
        if response.status >= 400:
            text = response.read().decode()
            raise ApiError("WATCH", path, response.status, text)
        return response

    def _url(self, path: str, params: Params | None) -> str:
        query = {
            key: str(value).lower() if isinstance(value, bool) else value
            for key, value in (params or {}).items()
        }
        return (
            self._server + path + ("?" + urllib.parse.urlencode(query) if query else "")
        )
