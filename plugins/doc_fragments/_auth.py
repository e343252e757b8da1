# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: it may change in any release.

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  kubeconfig:
    description:
      - The kubeconfig to use, as a path or as a mapping.
      - Also taken from E(K8S_AUTH_KUBECONFIG), and at last from E(KUBECONFIG) or
        C(~/.kube/config).
    type: raw
  context:
    description: The context of the kubeconfig. Also E(K8S_AUTH_CONTEXT).
    type: str
  host:
    description: The URL of the API server. Also E(K8S_AUTH_HOST).
    type: str
  api_key:
    description: The bearer token. Also E(K8S_AUTH_API_KEY).
    type: str
  username:
    description: The user name for basic authentication. Also E(K8S_AUTH_USERNAME).
    type: str
  password:
    description: The password for basic authentication. Also E(K8S_AUTH_PASSWORD).
    type: str
  validate_certs:
    description:
      - Whether to verify the API server's certificate. Also E(K8S_AUTH_VERIFY_SSL).
      - It is verified unless this or the kubeconfig says otherwise; a task that does
        not verify it warns.
    type: bool
    aliases: [verify_ssl]
  ca_cert:
    description:
      - The path of the certificate authority that signed the API server's certificate.
        Also E(K8S_AUTH_SSL_CA_CERT).
    type: path
    aliases: [ssl_ca_cert]
  client_cert:
    description: The path of the client certificate. Also E(K8S_AUTH_CERT_FILE).
    type: path
    aliases: [cert_file]
  client_key:
    description: The path of the client certificate's key. Also E(K8S_AUTH_KEY_FILE).
    type: path
    aliases: [key_file]
  proxy:
    description: The URL of an HTTP proxy. Also E(K8S_AUTH_PROXY).
    type: str
  no_proxy:
    description: Hosts that are reached without the proxy. Also E(K8S_AUTH_NO_PROXY).
    type: str
  proxy_headers:
    description: Headers for the proxy.
    type: dict
    suboptions:
      proxy_basic_auth:
        description:
          - C(user:password) for the proxy. Also
            E(K8S_AUTH_PROXY_HEADERS_PROXY_BASIC_AUTH).
        type: str
      basic_auth:
        description:
          - C(user:password) for basic authentication. Also
            E(K8S_AUTH_PROXY_HEADERS_BASIC_AUTH).
        type: str
      user_agent:
        description: The user agent. Also E(K8S_AUTH_PROXY_HEADERS_USER_AGENT).
        type: str
  persist_config:
    description:
      - Whether a refreshed token is written back to the kubeconfig. Also
        E(K8S_AUTH_PERSIST_CONFIG).
    type: bool
  impersonate_user:
    description: The user to act as. Also E(K8S_AUTH_IMPERSONATE_USER).
    type: str
  impersonate_groups:
    description: The groups to act as. Also E(K8S_AUTH_IMPERSONATE_GROUPS), by commas.
    type: list
    elements: str
requirements:
  - kubernetes >= 36.0.2
"""
