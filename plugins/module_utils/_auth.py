# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From authentication options to a connection, with kubernetes.core's vocabulary.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass

from ._deps import kubernetes, urllib3, yaml
from ._errors import BadInput

# Option -> attribute of the kubernetes client's Configuration, as in kubernetes.core.
_CONFIGURATION = {
    "host": "host",
    "username": "username",
    "password": "password",
    "validate_certs": "verify_ssl",
    "ca_cert": "ssl_ca_cert",
    "client_cert": "cert_file",
    "client_key": "key_file",
    "proxy": "proxy",
    "no_proxy": "no_proxy",
}
_OTHER = (
    "kubeconfig",
    "context",
    "api_key",
    "persist_config",
    "impersonate_user",
    "impersonate_groups",
)
_PROXY_HEADERS = ("proxy_basic_auth", "basic_auth", "user_agent")
_BOOLEANS = ("validate_certs", "persist_config")
_FALSE = ("0", "false", "no")


@dataclass(frozen=True)
class Connection:
    """Where the API server is and how to speak to it."""

    host: str
    pool: t.Any
    configuration: t.Any
    headers: t.Mapping[str, str]
    impersonated_groups: tuple[str, ...]
    verified: bool

    def auth_headers(self) -> t.Any:
        """The headers of one request; a token that expires is refreshed."""
        headers = urllib3.HTTPHeaderDict(self.headers)
        for group in self.impersonated_groups:
            headers.add("Impersonate-Group", group)
        for setting in self.configuration.auth_settings().values():
            if setting.get("in") == "header" and setting.get("value"):
                headers[setting["key"]] = setting["value"]
        has_basic = self.configuration.username and self.configuration.password
        if has_basic and "authorization" not in headers:
            headers["authorization"] = self.configuration.get_basic_auth_token()
        return headers


def resolve(
    params: t.Mapping[str, t.Any], environment: t.Mapping[str, str]
) -> dict[str, t.Any]:
    """Options first, then ``K8S_AUTH_*``: what was given, by option name."""
    given: dict[str, t.Any] = {}
    for option in (*_CONFIGURATION, *_OTHER):
        value = params.get(option)
        if value is None:
            value = _from_environment(option, environment)
        if value is not None:
            given[option] = value
    headers = dict(params.get("proxy_headers") or {})
    for key in _PROXY_HEADERS:
        from_env = environment.get(f"K8S_AUTH_PROXY_HEADERS_{key.upper()}")
        if headers.get(key) is None and from_env:
            headers[key] = from_env
    headers = {k: v for k, v in headers.items() if v is not None}
    if headers:
        given["proxy_headers"] = headers
    return given


def _from_environment(option: str, environment: t.Mapping[str, str]) -> t.Any:
    attribute = _CONFIGURATION.get(option, option)
    for name in (option, attribute):
        value = environment.get(f"K8S_AUTH_{name.upper()}")
        if value:
            break
    else:
        return None
    if option in _BOOLEANS:
        return value.lower() not in _FALSE
    if option == "impersonate_groups":
        return value.split(",")
    return value


def connect(
    params: t.Mapping[str, t.Any], environment: t.Mapping[str, str]
) -> Connection:
    """The connection that the options and the environment describe.

    :raises BadInput: the configuration is absent or cannot be read.
    """
    auth = resolve(params, environment)
    configuration = _configuration(auth, environment)
    for option, attribute in _CONFIGURATION.items():
        if option in auth:
            setattr(configuration, attribute, auth[option])
    if "api_key" in auth:
        configuration.api_key = {"authorization": f"Bearer {auth['api_key']}"}
    if "proxy_headers" in auth:
        configuration.proxy_headers = urllib3.util.make_headers(**auth["proxy_headers"])
    try:
        pool = kubernetes.client.rest.RESTClientObject(configuration).pool_manager
    except (OSError, ValueError) as error:
        raise BadInput(
            "The TLS files of the Kubernetes connection cannot be used"
            f" ({error}); check ca_cert, client_cert and client_key."
        ) from error
    headers = {"Accept": "application/json", "User-Agent": "cutover.bluegreen"}
    if "impersonate_user" in auth:
        headers["Impersonate-User"] = auth["impersonate_user"]
    return Connection(
        host=configuration.host.rstrip("/"),
        pool=pool,
        configuration=configuration,
        headers=headers,
        impersonated_groups=tuple(auth.get("impersonate_groups") or ()),
        verified=bool(configuration.verify_ssl),
    )


def _configuration(auth: dict[str, t.Any], environment: t.Mapping[str, str]) -> t.Any:
    """As kubernetes.core: enough in the options, else a kubeconfig that was named,
    else the pod's service account, else the default kubeconfig.
    """
    configuration = kubernetes.client.configuration.Configuration()
    sufficient = "host" in auth and (
        "api_key" in auth
        or ("username" in auth and "password" in auth)
        or ("client_cert" in auth and "client_key" in auth)
    )
    if sufficient:
        return configuration
    if "kubeconfig" not in auth and "context" not in auth:
        try:
            kubernetes.config.load_incluster_config(client_configuration=configuration)
            return configuration
        except kubernetes.config.ConfigException:
            pass
    _load_kubeconfig(auth, environment, configuration)
    return configuration


def _load_kubeconfig(
    auth: dict[str, t.Any], environment: t.Mapping[str, str], configuration: t.Any
) -> None:
    kubeconfig = auth.get("kubeconfig")
    options = {
        "context": auth.get("context"),
        "client_configuration": configuration,
        "persist_config": auth.get("persist_config", False),
    }
    where = kubeconfig or environment.get("KUBECONFIG") or "~/.kube/config"
    label = "the kubeconfig given as a mapping" if isinstance(where, dict) else where
    if isinstance(where, str) and not any(
        os.path.exists(os.path.expanduser(path)) for path in where.split(os.pathsep)
    ):
        raise BadInput(
            f"kubeconfig: the file {where} does not exist; name a kubeconfig with"
            " kubeconfig or KUBECONFIG, or give host and api_key."
        )
    try:
        if isinstance(kubeconfig, dict):
            kubernetes.config.load_kube_config_from_dict(
                config_dict=kubeconfig, **options
            )
        else:
            kubernetes.config.load_kube_config(config_file=where, **options)
    except kubernetes.config.ConfigException as error:
        raise BadInput(
            f"kubeconfig: {label} gives no usable connection ({_first_line(error)});"
            " name a kubeconfig with kubeconfig or KUBECONFIG, or give host and"
            " api_key."
        ) from error
    except (TypeError, AttributeError, KeyError) as error:
        raise _not_a_kubeconfig(label, "its structure is another one") from error
    except (OSError, ValueError) as error:
        raise _not_a_kubeconfig(label, _first_line(error)) from error
    except yaml.YAMLError as error:
        raise _not_a_kubeconfig(label, _first_line(error)) from error


def _not_a_kubeconfig(label: str, why: str) -> BadInput:
    return BadInput(
        f"kubeconfig: {label} is not a kubeconfig ({why}); give the path of a file with"
        " clusters, users and contexts."
    )


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
