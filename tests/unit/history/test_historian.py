"""What was logged is in the history once, whatever stops the historian and whenever."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from powerflock.domain.batches import encode
from powerflock.domain.columns import SITE_EVENT
from powerflock.domain.errors import HistoryError, LogError
from powerflock.domain.ids import partition_of
from powerflock.history.historian import Historian
from powerflock.history.store import Overtaken, Table
from powerflock.history.tables import READINGS, REVISIONS
from powerflock.history.words import Device, Group, Span
from powerflock.log.memory import MemoryLog
from powerflock.log.port import Fenced
from powerflock.log.sqlite import SqliteLog
from tests.unit.history.past import DAY_US, EVER, HOUR_US, LATE_US, PARTITIONS, Past
from tests.unit.plant.small import START_US, homes

MINUTE_US = 60_000_000


@pytest.fixture
def past(tmp_path: Path) -> Past:
    return Past(tmp_path)


def test_a_reading_comes_back_as_it_was_sent(past: Past) -> None:
    times = [START_US + i * MINUTE_US for i in range(4)]
    past.report("h0", times, [1.5, np.nan, -2.25, 0.0])
    past.report("h1", times, [9.0] * 4)
    assert past.historian().step() == 8
    series = past.history.series(Device("h0"), "power_kw", EVER, 100, "raw")
    assert series.time_us.tolist() == times
    np.testing.assert_array_equal(series.value, [1.5, np.nan, -2.25, 0.0])
    assert np.isnan(past.history.series(Device("h0"), "charge_limit_kw", EVER, 100, "raw").value).all()
    assert past.powers(Device("h1")) == [9.0] * 4
    assert past.powers(Device("h0", "battery")) == []


def test_groups_come_back_by_name(past: Past) -> None:
    for minute, power in enumerate((1.0, np.nan, 3.0)):
        past.tell_groups(START_US + minute * MINUTE_US, power)
    past.historian().step()
    np.testing.assert_array_equal(past.powers(Group("portfolio")), [1.0, np.nan, 3.0])
    assert len(past.log.read("groups", 0, 0)) == 1, "what is in the history is trimmed from the log"


def test_a_second_start_goes_on_where_the_first_ended(past: Past) -> None:
    past.report("h0", [START_US], [1.0])
    assert past.historian().step() == 1
    past.report("h0", [START_US + 1], [2.0])
    again = past.historian()
    assert again.behind() == 1
    assert (again.step(), again.step(), again.behind()) == (1, 0, 0)
    assert past.powers() == [1.0, 2.0]


class Killed(BaseException):
    """As a SIGKILL would end the process here."""


def killed(*_: object, **__: object) -> None:
    raise Killed


def before(name: str) -> Callable[[pytest.MonkeyPatch, Historian], None]:
    """Die before the table `name` is written."""

    def set_up(patch: pytest.MonkeyPatch, historian: Historian) -> None:
        write = Table.append

        def append(table: Table, *given: object) -> None:
            if table.spec.name == name:
                raise Killed
            write(table, *given)  # type: ignore[arg-type] # handed on as it came

        patch.setattr(Table, "append", append)

    return set_up


def before_commit(patch: pytest.MonkeyPatch, historian: Historian) -> None:
    patch.setattr(historian._log, "transact", killed)


@pytest.mark.parametrize("die", [before("readings"), before("revisions"), before("groups"), before_commit])
@pytest.mark.parametrize("durable", [False, True])
def test_killed_at_any_step_nothing_is_lost_or_doubled(
    past: Past, monkeypatch: pytest.MonkeyPatch, die: Callable[[pytest.MonkeyPatch, Historian], None], durable: bool
) -> None:
    if durable:
        past.log = SqliteLog(past.folder / "log.sqlite")
    past.report("h0", [START_US], [1.0])
    past.historian().step()
    past.report("h0", [START_US + 1], [2.0], delay_us=HOUR_US)
    past.tell_groups(START_US, 5.0)
    with monkeypatch.context() as patch:
        first = past.historian()
        die(patch, first)
        with pytest.raises(Killed):
            first.step()
    past.report("h0", [START_US + 2], [3.0])
    past.historian().step()
    assert past.powers() == [1.0, 2.0, 3.0]
    assert past.powers(Group("portfolio")) == [5.0]
    revised = past.history.revisions(EVER).to_pylist()
    assert [(row["name"], row["readings"]) for row in revised if row["scope"] == "site"] == [("h0", 1)]
    past.log.close()


def test_of_two_historians_on_one_log_the_older_is_refused_and_no_row_is_doubled(past: Past) -> None:
    first, second = past.historian(), past.historian()
    past.report("h0", [START_US], [1.0])
    with pytest.raises(Fenced):
        first.step()
    assert past.powers() == [1.0], "its rows are in, though it could not commit"
    with pytest.raises(Overtaken):
        second.step()
    assert second.counts.overtaken == 1
    past.report("h0", [START_US + 1], [2.0])
    assert second.step() > 0
    assert past.powers() == [1.0, 2.0]


def test_historians_of_two_logs_write_one_history(past: Past) -> None:
    other = Past(past.folder, identity="another log")
    a, b = past.historian(), other.historian()
    for turn in range(3):
        past.report("h0", [START_US + turn], [1.0])
        other.report("h0", [START_US + 10 + turn], [2.0])
        assert (a.step(), b.step()) == (1, 1)
    assert past.powers() == [1.0] * 3 + [2.0] * 3


def test_a_new_log_beside_an_old_history_is_followed_from_its_start(past: Past) -> None:
    past.report("h0", [START_US], [1.0])
    past.historian().step()
    past.log, past.identity = MemoryLog(), "a new log"
    past.report("h0", [START_US + 1], [2.0])
    again = past.historian()
    assert again.step() == 1
    assert past.powers() == [1.0, 2.0]


def test_a_step_is_bounded_and_the_next_goes_on(past: Past) -> None:
    past.batch_rows = 100
    for minute in range(200):
        past.report("h0", [START_US + minute], [1.0])
    historian = past.historian()
    steps = [historian.step() for _ in range(5)]
    assert sum(steps) == 200
    assert max(steps) < 100 + 16
    assert len(past.powers()) == 200


def test_a_busy_partition_does_not_keep_the_others_waiting(past: Past) -> None:
    past.batch_rows = 16
    for minute in range(64):
        past.report("h0", [START_US + minute], [1.0])
    sites = [spec.site for spec in homes(6)]
    other = next(site for site in sites if partition_of(site, PARTITIONS) != partition_of("h0", PARTITIONS))
    past.report(other, [START_US], [2.0])
    historian = past.historian()
    historian.step()
    historian.step()
    assert past.powers(Device(other)) == [2.0]
    assert len(past.powers()) < 64


def test_what_was_trimmed_before_it_was_read_is_counted(past: Past) -> None:
    past.report("h0", [START_US], [1.0])
    historian = past.historian()
    historian.step()
    partition = past.registry.resolve("h0")
    assert partition is not None
    for minute in range(5):
        past.report("h0", [START_US + 1 + minute], [2.0])
    past.log.trim("telemetry", partition.partition, 4)
    historian.step()
    assert historian.counts.missed == 3
    assert past.powers() == [1.0, 2.0, 2.0]


def test_a_reading_sent_twice_is_shown_once(past: Past) -> None:
    rows = past.report("h0", [START_US, START_US + MINUTE_US], [1.0, 2.0])
    past.append("h0", rows)
    past.historian().step()
    assert past.powers() == [1.0, 2.0]
    assert past.history.series(Device("h0"), "power_kw", EVER, 8, "mean").rows == 2


def test_a_backfilled_reading_is_in_the_day_it_is_about_and_revises_its_hour(past: Past) -> None:
    historian = past.historian()
    past.report("h0", [START_US], [1.0])
    historian.step()
    yesterday = START_US - DAY_US
    past.report("h0", [yesterday, yesterday + MINUTE_US], [7.0, 8.0], delay_us=DAY_US)
    historian.step()
    day = Span(yesterday, yesterday + DAY_US)
    assert past.history.series(Device("h0"), "power_kw", day, 100, "raw").value.tolist() == [7.0, 8.0]
    folders = {path.name for path in Path(past.uri, "readings").glob("day=*")}
    assert folders == {"day=2026-01-13", "day=2026-01-14"}
    revised = past.history.revisions(day).to_pylist()
    assert {(row["scope"], row["name"]) for row in revised} == {
        ("site", "h0"), ("group", "VIC1/f0"), ("group", "VIC1"), ("group", "portfolio"),
    }  # fmt: skip
    for row in revised:
        assert row["hour_us"] == yesterday // HOUR_US * HOUR_US
        assert row["revised_us"] == yesterday + MINUTE_US + DAY_US, "when the last of them came"
        assert row["readings"] == 2
    assert past.history.revisions(day, "VIC1").num_rows == 1
    assert past.history.revisions(day, since_us=yesterday + 2 * DAY_US).num_rows == 0
    assert past.history.revisions(Span(START_US, START_US + DAY_US)).num_rows == 0


def test_a_reading_as_late_as_allowed_revises_nothing(past: Past) -> None:
    past.report("h0", [START_US], [1.0], delay_us=LATE_US)
    past.historian().step()
    assert past.history.revisions(EVER).num_rows == 0


def test_a_wrong_clock_and_an_unknown_device_are_refused_and_counted(past: Past) -> None:
    rows = past.records("h0", [START_US, START_US + 3 * DAY_US, START_US + 1], [1.0, 2.0, 3.0])
    rows["received_us"] = START_US
    rows["device"][2] = 4000
    past.append("h0", rows)
    historian = past.historian()
    historian.step()
    assert past.powers() == [1.0]
    assert historian.counts.refused == 2


def test_events_of_links_are_passed_over(past: Past) -> None:
    past.log.append("telemetry", 0, encode(np.zeros(3, SITE_EVENT)))
    historian = past.historian()
    assert (historian.step(), historian.behind()) == (0, 0)
    assert past.log.committed("historian", "telemetry", 0) == 1, "so that the log may be trimmed"


def test_homes_that_join_later_are_known_by_name(past: Past) -> None:
    historian = past.historian()
    historian.step()
    past.enrol(12)
    past.report("h11", [START_US], [4.0])
    historian.step()
    assert past.powers(Device("h11")) == [4.0]


def test_a_log_that_fails_leaves_the_step_to_be_done_again(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    past.report("h0", [START_US], [1.0])
    historian = past.historian()

    def full(*_: object) -> None:
        msg = "the disk is full"
        raise LogError(msg)

    with monkeypatch.context() as patch:
        patch.setattr(past.log, "transact", full)
        with pytest.raises(LogError, match="full"):
            historian.step()
    historian.step()
    assert past.powers() == [1.0]


def test_a_folder_that_cannot_be_written_is_named(past: Past) -> None:
    (past.folder / "history").write_text("a file in the way")
    with pytest.raises(HistoryError, match="history"):
        past.historian()


def test_tables_follow_every_partition(past: Past) -> None:
    historian = past.historian()
    for site in (f"h{i}" for i in range(6)):
        past.report(site, [START_US], [1.0])
    historian.step()
    table = Table(past.uri, {}, READINGS)
    assert [table.covered(f"this log/telemetry/{part}") for part in range(PARTITIONS)] == [
        past.log.end("telemetry", part) for part in range(PARTITIONS)
    ]
    assert Table(past.uri, {}, REVISIONS).covered("this log/telemetry/0") is None
