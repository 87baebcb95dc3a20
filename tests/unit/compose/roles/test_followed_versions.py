"""A process that follows the topics passes over what a later version wrote."""

from __future__ import annotations

import pytest

from powerflock.compose.parts import ring_settings
from powerflock.compose.roles.followed import Followed
from powerflock.compose.roles.process import Parts


@pytest.mark.parametrize("topic", ["reports", "views", "market", "plant"])
def test_what_a_later_version_wrote_is_counted_and_passed_over(parts: Parts, topic: str) -> None:
    followed = Followed(parts.log, 2, ring_settings(parts.settings))
    parts.log.append(topic, 0, b"\x81\xa3new\x01")
    followed.follow()
    followed.follow()
    assert followed.refused == 1
