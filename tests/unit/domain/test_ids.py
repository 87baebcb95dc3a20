"""Site ids are checked at the door, and a site stays in its partition for ever."""

from __future__ import annotations

from collections import Counter

import pytest

from powerflock.domain.errors import InvalidInput
from powerflock.domain.ids import check_site_id, partition_of

PINNED = [8, 50, 1]


@pytest.mark.parametrize("site", ["a", "7", "home-1", "Fontana_12.b", "x" * 64])
def test_good_ids_pass(site: str) -> None:
    assert check_site_id(site) == site


@pytest.mark.parametrize("site", ["", ".", "-a", "a b", "a/b", "é", "a\n", "x" * 65])
def test_bad_ids_are_refused_with_the_rule(site: str) -> None:
    with pytest.raises(InvalidInput, match="1 to 64 characters"):
        check_site_id(site)


def test_partitions_are_those_of_every_other_version_and_language() -> None:
    assert [partition_of(site, 64) for site in ("home-1", "home-2", "Fontana_12.b")] == PINNED
    assert partition_of("home-1", 1) == 0


def test_sites_spread_over_the_partitions() -> None:
    counts = Counter(partition_of(f"home-{number}", 16) for number in range(16_000))
    assert len(counts) == 16
    assert max(counts.values()) < 1.2 * 1000
