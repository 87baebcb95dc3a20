"""What earlier versions wrote is read today: a log outlives its programs, and processes are renewed one by one."""

from __future__ import annotations

import pytest

from powerflock.autobidder.recovery import restore_accounts
from powerflock.log.memory import MemoryLog
from powerflock.plant.owners import OWNER, open_accounts
from powerflock.twins.columns import Shard
from powerflock.twins.snapshot import Mark, load
from tests.formats import FORMATS, GOLDEN, Format, shard


@pytest.mark.parametrize("each", FORMATS, ids=lambda each: each.file)
def test_a_file_of_the_past_gives_the_value_that_was_written(each: Format) -> None:
    """Compared as today's version writes both, so that only what is in them counts."""
    assert each.rewrite(each.path.read_bytes()) == each.write()


def test_accounts_of_the_first_version_are_taken_up() -> None:
    """They had no register where the books began: it is unknown then."""
    log, found = MemoryLog(), open_accounts(3)
    log.append("accounts", 0, (GOLDEN / "accounts-v1.arrow").read_bytes())
    restore_accounts(log, found, 0)
    wanted = open_accounts(3)
    for column, name in enumerate((OWNER.names or ())[:-1]):
        wanted[name][:2] = column, float("nan") if column == 0 else 0.0
    assert found.tobytes() == wanted.tobytes()


def test_a_snapshot_of_the_first_version_gives_its_devices_and_mark() -> None:
    """It had no sites' commands and links: they are unknown then."""
    wanted = shard()
    found, mark = load((GOLDEN / "snapshot-v1.arrow").read_bytes(), wanted.table)
    assert found.devices.tobytes() == wanted.devices.tobytes()
    assert found.sites.tobytes() == Shard.of(wanted.table).sites.tobytes()
    assert mark == Mark(0, 17, 4)
