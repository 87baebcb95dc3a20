"""A restart continues exactly where the shard was."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from powerflock.domain.columns import SiteEventKind
from powerflock.domain.errors import DamagedSnapshot
from powerflock.domain.registry import TABLE_COLUMNS, SiteTable
from powerflock.twins import snapshot
from powerflock.twins.apply import desire, note, step
from powerflock.twins.columns import Shard
from powerflock.twins.snapshot import Mark, dump, load, state_hash
from tests.unit.twins.fleet import NOW_US, batch_of, commands_of, events_of, home, reading, table_of

HOMES = [home("a"), home("b", battery=False, feeder="f/2"), home("c", solar_kw=0.0, region="NSW1")]
MARK = Mark(partition=3, offset=41, epoch=7)


def test_a_snapshot_gives_back_every_column_and_its_place_in_the_log() -> None:
    twins = Shard.of(table_of(HOMES))
    step(twins, batch_of(reading(0, 1, -2.0, 6.5, limits=4.5), reading(3, 9, np.nan)), NOW_US)
    desire(twins, commands_of((1, 5, -3.0)))
    note(twins, events_of((1, SiteEventKind.APPLIED, 5), (0, SiteEventKind.LINK_DOWN, 1)))
    again, mark = load(dump(twins, MARK), twins.table)
    assert mark == MARK
    assert again.devices.tobytes() == twins.devices.tobytes()
    assert again.sites.tobytes() == twins.sites.tobytes()
    assert state_hash(again) == state_hash(twins)


def test_the_hash_tells_states_apart() -> None:
    twins = Shard.of(table_of(HOMES))
    unseen = state_hash(twins)
    step(twins, batch_of(reading(0, 1, -2.0)), NOW_US)
    assert state_hash(twins) != unseen
    assert state_hash(Shard.of(table_of(HOMES[:2]))) != unseen


def test_an_empty_shard_survives() -> None:
    again, _ = load(dump(Shard.empty(), MARK), SiteTable.empty())
    assert state_hash(again) == state_hash(Shard.empty())


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 20), st.floats(-9, 9, width=32)), max_size=30), st.data())
def test_snapshot_and_replay_end_where_never_stopping_does(
    rows: list[tuple[int, int, float]], data: st.DataObject
) -> None:
    batches = [batch_of(reading(*row)) for row in rows]
    cut = data.draw(st.integers(0, len(batches)))
    steady, before = Shard.of(table_of(HOMES)), Shard.of(table_of(HOMES))
    for batch in batches:
        step(steady, batch, NOW_US)
    for batch in batches[:cut]:
        step(before, batch, NOW_US)
    after, mark = load(dump(before, Mark(0, cut, 1)), before.table)
    for batch in batches[mark.offset :]:
        step(after, batch, NOW_US)
    assert state_hash(after) == state_hash(steady)


@pytest.mark.parametrize("cut", [0, 1, 100, 1500, -9, -1])
def test_a_cut_snapshot_is_refused(cut: int) -> None:
    with pytest.raises(DamagedSnapshot):
        load(dump(Shard.of(table_of(HOMES)), MARK)[:cut], table_of(HOMES))


def test_bytes_of_something_else_are_refused() -> None:
    with pytest.raises(DamagedSnapshot, match="can't be read"):
        load(b"not a snapshot at all", SiteTable.empty())
    sink = pa.BufferOutputStream()
    batch = pa.RecordBatch.from_pydict({"x": [1]})
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    with pytest.raises(DamagedSnapshot):
        load(sink.getvalue().to_pybytes() * 2, SiteTable.empty())


def test_a_snapshot_of_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "SCHEMA_VERSION", 9)
    with pytest.raises(DamagedSnapshot, match="schema version 9; this reads"):
        load(dump(Shard.empty(), MARK), SiteTable.empty())


def test_a_snapshot_of_the_first_version_still_gives_its_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    twins = Shard.of(table_of(HOMES))
    step(twins, batch_of(reading(0, 1, -2.0, 6.5)), NOW_US)
    monkeypatch.setattr(snapshot, "SCHEMA_VERSION", 1)
    monkeypatch.setattr(twins, "sites", np.zeros(3, [(name, "f8") for name in TABLE_COLUMNS if name[:6] != "device"]))
    monkeypatch.setattr(snapshot, "SITE", twins.sites.dtype)
    again, _ = load(dump(twins, MARK), twins.table)
    assert again.devices.tobytes() == twins.devices.tobytes()
    assert again.sites.tobytes() == Shard.of(twins.table).sites.tobytes()


def test_a_snapshot_keeps_its_devices_when_more_were_enrolled_and_refuses_another_partitions() -> None:
    twins = Shard.of(table_of(HOMES[:2]))
    step(twins, batch_of(reading(0, 1, -2.0)), NOW_US)
    again, _ = load(dump(twins, MARK), table_of(HOMES))
    assert again.devices["power_kw"][0] == -2.0
    assert (again.devices.size, again.sites.size) == (7, 3)
    with pytest.raises(DamagedSnapshot, match="not this partition's"):
        load(dump(twins, MARK), table_of(HOMES[1:]))
