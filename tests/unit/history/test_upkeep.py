"""The history stays small: few files a day, old days gone, and never another answer than before."""

from __future__ import annotations

from pathlib import Path

import pytest

from powerflock.history.store import Overtaken, open_table, place_of
from powerflock.history.tables import READINGS
from powerflock.history.upkeep import compact, newest_us, retain
from powerflock.history.words import Device
from tests.unit.history.past import DAY_US, EVER, Past
from tests.unit.plant.small import START_US

MINUTE_US = 60_000_000


@pytest.fixture
def past(tmp_path: Path) -> Past:
    """Two days of readings of two homes in ten appends each, the second day still growing."""
    past = Past(tmp_path)
    historian = past.historian()
    for step in range(10):
        for day in range(2):
            moment = START_US + day * DAY_US + step * MINUTE_US
            for site in ("h0", "h1"):
                past.report(site, [moment, moment + 1], [float(step), float(day)], delay_us=0 if day else DAY_US)
        past.tell_groups(START_US + step, float(step))
        historian.step()
    return past


def files(past: Past) -> dict[str, int]:
    """Files of readings that a reader of the newest version opens, by day."""
    days = [Path(uri).parent.name for uri in open_table(place_of(past.uri, READINGS), {}).file_uris()]
    return {day: days.count(day) for day in set(days)}


def now_us() -> int:
    return START_US + DAY_US + 60 * MINUTE_US


def test_compaction_makes_one_file_of_many_and_changes_no_answer(past: Past) -> None:
    before = past.powers(), past.powers(Device("h1")), past.history.revisions(EVER).to_pylist()
    assert min(files(past).values()) == 10
    shares: list[float] = []
    done = compact(past.uri, {}, now_us(), shares.append)
    assert {(each.table, each.files_before, each.files_after) for each in done if each.table == "readings"} == {
        ("readings", 10, 1)
    }
    assert set(files(past).values()) == {1}
    assert (past.powers(), past.powers(Device("h1")), past.history.revisions(EVER).to_pylist()) == before
    assert shares[-1] == 1.0
    assert compact(past.uri, {}, now_us()) == [], "there is nothing left to do"


def test_the_historian_goes_on_through_a_compaction_and_stays_exact(past: Past) -> None:
    historian = past.historian()
    past.report("h0", [START_US + 2 * DAY_US], [1.0])
    historian.step()
    compact(past.uri, {}, now_us())
    past.report("h0", [START_US + 2 * DAY_US + 1], [2.0])
    historian.step()
    past.historian().step()
    assert past.powers()[-2:] == [1.0, 2.0]
    assert len(past.powers()) == 42


def test_old_days_go_and_their_files_with_them(past: Past) -> None:
    old = sorted(Path(past.uri, "readings").glob("day=2026-01-14/*.parquet"))
    assert len(old) == 10
    done = retain(past.uri, {}, START_US + 2 * DAY_US, readings_days=1, series_days=100, keep_h=0)
    assert {each.table: each.expired for each in done} == {"readings": 10, "revisions": 0, "groups": 0}
    assert past.powers() == [value for step in range(10) for value in (float(step), 1.0)]
    assert [file for file in old if file.exists()] == []


def test_after_retention_the_historian_goes_on(past: Past) -> None:
    historian = past.historian()
    retain(past.uri, {}, START_US + 2 * DAY_US, readings_days=1, series_days=100)
    past.report("h0", [START_US + 2 * DAY_US], [99.0])
    with pytest.raises(Overtaken):
        historian.step()
    historian.step()
    assert past.powers()[-1] == 99.0
    assert past.powers().count(99.0) == 1


def test_what_a_killed_writer_left_is_cleared(past: Past) -> None:
    orphan = Path(past.uri, "readings", "day=2026-01-14", "part-left-behind.parquet")
    orphan.write_bytes(b"half")
    retain(past.uri, {}, now_us(), readings_days=100, series_days=100, keep_h=0)
    assert not orphan.exists()
    assert len(past.powers()) == 40


def test_the_newest_day_counts_as_today(past: Past) -> None:
    assert newest_us(past.uri, {}) == (START_US + DAY_US) // DAY_US * DAY_US
