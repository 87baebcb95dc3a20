"""Whether a reading costs the same in a small fleet and in a large one, on one partition and on many.

Through a real Kafka broker, as in the benchmark `kafka`: produced, consumed, decoded and applied, by the processor time
of the client's process. Every case sends about as many readings, in random order, in entries of the same size, for an
entry costs something beside its readings; the first case is what the others are held against: a ratio of 1 is work that
stays flat. The last rows are what smaller entries cost (a gateway writes what came within `gateway.batch_ms`, an entry
for each partition), and so what an entry costs beside its readings.
"""

from __future__ import annotations

import statistics
from typing import NamedTuple

import numpy as np

from benchmarks import fleets
from benchmarks.kafka import apply, broker, produce, timed
from benchmarks.rows import Row, less_is_better
from benchmarks.twins import BATCH_ROWS
from powerflock.domain.arrays import Records
from powerflock.log.kafka_options import KafkaOptions, TopicOptions
from powerflock.log.open import open_log
from powerflock.twins.columns import Shard

NAME = "scale"
SUMMARY = "work per reading through Kafka, from 10,000 to 1,000,000 sites and from 1 to 32 partitions"

CASES = ((10_000, 1), (10_000, 32), (100_000, 1), (100_000, 32), (1_000_000, 1), (1_000_000, 32))
"""Sites, and the partitions they are spread over."""
SMALL_ROWS = 100
"""About what a gateway of 10,000 sites with a report of 3 devices every 10 s has for one of 4 partitions in 130 ms."""
READINGS, QUICK_READINGS = 2_500_000, 500_000
RUNS = 3


class _Spent(NamedTuple):
    """Median µs of the client's processor for a reading written, and for one read and applied; readings of an entry."""

    write_us: float
    read_us: float
    entry: float

    @property
    def whole_us(self) -> float:
        """The whole way of a reading."""
        return self.write_us + self.read_us


def run(*, quick: bool) -> list[Row]:
    """Rows: microseconds of the client's processor for each reading; from the second on against the first."""
    cases, readings = (CASES[:4], QUICK_READINGS) if quick else (CASES, READINGS)
    with broker() as servers:
        spent = [_spent(servers, *case, BATCH_ROWS, readings) for case in cases]
        small = _spent(servers, *cases[1], SMALL_ROWS, readings)
    names = [f"{sites:,} sites on {partitions} partition{'s' * (partitions > 1)}" for sites, partitions in cases]
    unit, first, large = "µs of the processor", spent[0].whole_us, spent[1]
    more = 1.0 / small.entry - 1.0 / large.entry
    return [
        Row(metric=f"a reading through Kafka in entries of {BATCH_ROWS:,}, {names[0]}", value=first, unit=unit),
        *(
            less_is_better(name, each.whole_us, unit, names[0], first)
            for name, each in zip(names[1:], spent[1:], strict=True)
        ),
        less_is_better(f"{names[1]}, entries of {SMALL_ROWS:,}", small.whole_us, unit, names[0], first),
        _beside("writing", (small.write_us - large.write_us) / more),
        _beside("reading", (small.read_us - large.read_us) / more),
    ]


def _beside(doing: str, value_us: float) -> Row:
    return Row(metric=f"{doing} an entry, beside its readings", value=value_us, unit="µs")


def _spent(servers: str, sites: int, partitions: int, entry_rows: int, readings: int) -> _Spent:
    """Of about so many readings; the first run is not counted."""
    prefix = f"scale-{sites}-{partitions}-{entry_rows}."
    options = KafkaOptions(prefix=prefix, topics={"telemetry": TopicOptions(partitions)})
    log = open_log(f"kafka://{servers}", options)
    tables = [fleets.table(sites // partitions, seed) for seed in range(partitions)]
    shards, rows = [Shard.of(table) for table in tables], [fleets.readings(table) for table in tables]
    devices = sum(table.devices for table in tables)
    rounds, offsets = max(1, round(readings / devices)), [0] * partitions
    spent: list[tuple[float, float]] = []
    for run in range(RUNS + 1):
        rows = [_next(own, rounds) for own in rows]
        with timed() as written:
            produce(log, rows, entry_rows)
        with timed() as applied:
            offsets = [apply(log, place, shard, offsets[place], rounds) for place, shard in enumerate(shards)]
        if run:
            spent.append((written[0], applied[0]))
        for place, offset in enumerate(offsets):
            log.trim("telemetry", place, offset)
    log.close()
    entries = sum(-(-own.size // entry_rows) for own in rows)
    write_us, read_us = (statistics.median(each) * 1e6 / (rounds * devices) for each in zip(*spent, strict=True))
    return _Spent(write_us, read_us, rounds * devices / entries)


def _next(rows: Records, rounds: int) -> Records:
    """So many readings of each device that `rows` has, one after another, all newer than those."""
    devices = np.unique(rows["device"]).size
    newer = np.tile(rows[-devices:], rounds)
    newer["seq"] += np.repeat(np.arange(1, rounds + 1), devices)
    return newer
