"""Whether a reading costs the same in a small fleet and in a large one, on one partition and on many.

Through a real Kafka broker, as in the benchmark `kafka`: produced, consumed, decoded and applied, by the processor time
of the client's process. Every case sends about as many readings, in random order, in entries of the same size, for an
entry costs something beside its readings; the first case is what the others are held against: a ratio of 1 is work that
stays flat. The last row is what smaller entries cost: a gateway sends what came within `gateway.batch_ms`, an entry for
each partition.
"""

from __future__ import annotations

import statistics

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
SMALL_ROWS = 800
"""About what a partition has to say at once of 10,000 sites on 32."""
READINGS, QUICK_READINGS = 2_500_000, 500_000
RUNS = 3


def run(*, quick: bool) -> list[Row]:
    """Rows: microseconds of the client's processor for each reading; from the second on against the first."""
    cases, readings = (CASES[:4], QUICK_READINGS) if quick else (CASES, READINGS)
    with broker() as servers:
        spent = [_spent_us(servers, *case, BATCH_ROWS, readings) for case in cases]
        small = _spent_us(servers, *cases[1], SMALL_ROWS, readings)
    names = [f"{sites:,} sites on {partitions} partition{'s' * (partitions > 1)}" for sites, partitions in cases]
    unit, against = "µs of the processor", (names[0], spent[0])
    return [
        Row(metric=f"a reading through Kafka in batches of {BATCH_ROWS:,}, {names[0]}", value=spent[0], unit=unit),
        *(less_is_better(name, us, unit, *against) for name, us in zip(names[1:], spent[1:], strict=True)),
        less_is_better(f"{names[1]}, batches of {SMALL_ROWS:,}", small, unit, *against),
    ]


def _spent_us(servers: str, sites: int, partitions: int, batch_rows: int, readings: int) -> float:
    """Median µs of the client's processor for a reading; the first run is not counted."""
    prefix = f"scale-{sites}-{partitions}-{batch_rows}."
    options = KafkaOptions(prefix=prefix, topics={"telemetry": TopicOptions(partitions)})
    log = open_log(f"kafka://{servers}", options)
    tables = [fleets.table(sites // partitions, seed) for seed in range(partitions)]
    shards, rows = [Shard.of(table) for table in tables], [fleets.readings(table) for table in tables]
    devices = sum(table.devices for table in tables)
    rounds, offsets = max(1, round(readings / devices)), [0] * partitions
    spent = []
    for run in range(RUNS + 1):
        rows = [_next(own, rounds) for own in rows]
        with timed() as seconds:
            produce(log, rows, batch_rows)
            offsets = [apply(log, place, shard, offsets[place], rounds) for place, shard in enumerate(shards)]
        if run:
            spent.append(seconds[0] * 1e6 / (rounds * devices))
        for place, offset in enumerate(offsets):
            log.trim("telemetry", place, offset)
    log.close()
    return statistics.median(spent)


def _next(rows: Records, rounds: int) -> Records:
    """So many readings of each device that `rows` has, one after another, all newer than those."""
    devices = np.unique(rows["device"]).size
    newer = np.tile(rows[-devices:], rounds)
    newer["seq"] += np.repeat(np.arange(1, rounds + 1), devices)
    return newer
