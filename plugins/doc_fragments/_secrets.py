# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: it may change in any release.

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  analysis_secrets:
    description:
      - Secrets for the measurements, as a mapping of Secret names to their keys and
        values.
      - It stands before the Kubernetes Secrets of the namespace, which are read where
        it says nothing.
      - Only names are recorded. A later run that measures needs it again; without it
        the gate stays shut.
    type: dict
"""
