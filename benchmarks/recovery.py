"""How long a shard of 1,000,000 devices takes to come back: the newest snapshot and the minute of log since, from disk.

Each device reports every ten seconds, in batches of 10,000, into a SQLite log; the snapshot is where the last minute
begins. The state hash after it must be that of the shard that never stopped. Held against replaying the whole log, as
without a snapshot. Given by the clock on the wall, with the disk and whatever else the machine does, and in seconds of
the one core that it takes. A last row has the pause that a snapshot costs the turn, against writing it within the turn.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

from benchmarks import fleets
from benchmarks.rows import Row, less_is_better, median_s
from powerflock.domain.arrays import Records
from powerflock.domain.batches import decode, encode
from powerflock.domain.clock import MICROS_PER_S
from powerflock.domain.columns import TELEMETRY
from powerflock.domain.registry import SiteTable
from powerflock.history import snapshots
from powerflock.history.blobs import FolderBlobs
from powerflock.log.sqlite import SqliteLog
from powerflock.twins.apply import step
from powerflock.twins.columns import Shard
from powerflock.twins.snapshot import Mark, dump, load, state_hash

NAME = "recovery"
SUMMARY = "1,000,000 devices back from a snapshot and a minute of log, against the whole log; a snapshot's pause"

SITES = 400_000
BATCH_ROWS = 10_000
EVERY_S, SINCE_S = 10, 60
BEFORE_S, QUICK_BEFORE_S = 300, 120
LIMIT_S = 10.0


def run(*, quick: bool) -> list[Row]:
    """Rows: recovery against the limit and against a whole replay; and what of a snapshot the turn waits for."""
    before_s = QUICK_BEFORE_S if quick else BEFORE_S
    folder = Path(tempfile.mkdtemp(prefix="powerflock-recovery-"))
    try:
        return _rows(folder, before_s // EVERY_S, SINCE_S // EVERY_S, runs=1 if quick else 3)
    finally:
        shutil.rmtree(folder)


def _rows(folder: Path, before: int, since: int, runs: int) -> list[Row]:
    table = fleets.table(SITES)
    log, live = SqliteLog(folder / "log.sqlite"), Shard.of(table)
    report(log, live, range(before))
    mark = Mark(0, log.end("telemetry", 0), 1)
    beside_s = median_s(live.copy, runs)
    blobs = FolderBlobs(folder)
    within_s = median_s(lambda: snapshots.write(blobs, 0, mark.epoch, mark.offset, dump(live, mark)), runs)
    readings = report(log, live, range(before, before + since))
    expected = state_hash(live)
    (ours_s, core_s), (_, whole_s) = (
        _recovered_s(log, blobs, table, expected, start) for start in ("snapshot", "beginning")
    )
    log.close()
    metric = f"recovery of {table.devices:,} devices, a snapshot and {readings:,} readings since"
    whole = f"the log's {readings * (before + since) // since:,} readings without a snapshot"
    return [
        less_is_better(f"{metric}, by the clock", ours_s, "s", "the limit", LIMIT_S),
        less_is_better(f"{metric}, of a core", core_s, "s", "the limit", LIMIT_S),
        less_is_better(f"{metric}, of a core", core_s, "s", whole, whole_s),
        less_is_better(
            f"a snapshot's pause of the turn, {table.devices:,} devices: the copy", beside_s * 1e3, "ms",
            "dumping it, and writing it to disk", within_s * 1e3,
        ),
    ]  # fmt: skip


def report(log: SqliteLog, shard: Shard, rounds: range) -> int:
    """Every device reports once a round, into the log and the shard; returns how many readings that were."""
    rows = fleets.readings(shard.table)
    for number in rounds:
        rows["seq"], rows["time_us"] = number, fleets.NOW_US + number * EVERY_S * MICROS_PER_S
        rows["energy_kwh"] += 0.01
        log.transact([("telemetry", 0, encode(batch)) for batch in batches(rows)])
        for batch in batches(rows):
            step(shard, batch, int(rows["time_us"][0]))
    return rows.size * len(rounds)


def batches(rows: Records) -> list[Records]:
    """As the gateway would put them into the log."""
    return [rows[start : start + BATCH_ROWS] for start in range(0, rows.size, BATCH_ROWS)]


def _recovered_s(
    log: SqliteLog, blobs: FolderBlobs, table: SiteTable, expected: str, start: str
) -> tuple[float, float]:  # fmt: skip
    """Seconds by the clock and of the core, from nothing in memory to the last entry applied and without the hash."""
    began, core_began = time.perf_counter(), time.process_time()
    shard, offset = Shard.of(table), 0
    if start == "snapshot":
        found = snapshots.newest_good(blobs, 0, lambda payload: load(payload, table)).state
        assert found is not None, "a snapshot was written"
        shard, offset = found[0], found[1].offset
    while entries := log.read("telemetry", 0, offset, 100):
        for entry in entries:
            batch = decode(entry.payload, TELEMETRY)
            step(shard, batch, int(batch["time_us"].max()))
        offset = entries[-1].offset + 1
    seconds = time.perf_counter() - began, time.process_time() - core_began
    if state_hash(shard) != expected:
        raise RuntimeError(f"recovered from the {start}, the shard is not what it was")
    return seconds
