# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible.plugins.connection.local import Connection as LocalConnection

# The options are those of the local connection: Ansible reads them from this text.
DOCUMENTATION = r"""
name: forced_module
short_description: The local connection under another name
description:
  - An action plugin that works in its own process on a local connection hands over to
    its module here.
options:
  become_success_timeout:
    type: int
    default: 10
    description: As of the local connection.
  become_strip_preamble:
    type: bool
    default: true
    description: As of the local connection.
extends_documentation_fragment:
  - connection_pipelining
"""


class Connection(LocalConnection):  # type: ignore[misc]
    transport = "forced_module"
