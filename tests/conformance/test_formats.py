"""What earlier versions wrote is read today: a log outlives its programs, and processes are renewed one by one."""

from __future__ import annotations

import pytest

from powerflock.twins.columns import Shard
from powerflock.twins.snapshot import Mark, load
from tests.formats import FORMATS, GOLDEN, Format, shard


@pytest.mark.parametrize("each", FORMATS, ids=lambda each: each.file)
def test_a_file_of_the_past_gives_the_value_that_was_written(each: Format) -> None:
    """Compared as today's version writes both, so that only what is in them counts."""
    assert each.rewrite(each.path.read_bytes()) == each.write()


def test_a_snapshot_of_the_first_version_gives_its_devices_and_mark() -> None:
    """It had no sites' commands and links: they are unknown then."""
    wanted = shard()
    found, mark = load((GOLDEN / "snapshot-v1.arrow").read_bytes(), wanted.table)
    assert found.devices.tobytes() == wanted.devices.tobytes()
    assert found.sites.tobytes() == Shard.of(wanted.table).sites.tobytes()
    assert mark == Mark(0, 17, 4)
