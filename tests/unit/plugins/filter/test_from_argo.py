# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter: what it is called, and what a person reads when it refuses."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.cutover.bluegreen.plugins.filter.from_argo import FilterModule


def test_it_refuses_in_one_sentence_of_its_own() -> None:
    from_argo = FilterModule().filters()["from_argo"]
    with pytest.raises(AnsibleFilterError) as error:
        from_argo("kind: Service\nmetadata: {name: web}\n")
    assert error.value.message == (
        "from_argo: manifests: a Rollout of Argo Rollouts is expected, Service web was"
        " found; give it."
    )
