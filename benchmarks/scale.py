"""Whether a reading costs the same in a small fleet and in a large one, on one partition and on many.

Through a real Kafka broker, as in the benchmark `kafka`: produced, consumed, decoded and applied, by the processor time
of the client's process. Every case sends batches of much the same size and about as many readings, in random order; the
first case is what the others are held against: a ratio of 1 is work that stays flat.
"""

from __future__ import annotations

import statistics

import numpy as np

from benchmarks import fleets
from benchmarks.kafka import apply, broker, produce, timed
from benchmarks.rows import Row, less_is_better
from powerflock.domain.arrays import Records
from powerflock.log.kafka_options import KafkaOptions, TopicOptions
from powerflock.log.open import open_log
from powerflock.log.port import Log
from powerflock.twins.columns import Shard

NAME = "scale"
SUMMARY = "work per reading through Kafka, from 10,000 to 1,000,000 sites and from 1 to 32 partitions"

CASES = ((10_000, 1), (10_000, 32), (100_000, 1), (100_000, 32), (1_000_000, 1), (1_000_000, 32))
"""Sites, and the partitions they are spread over."""
BATCH_ROWS = 850
"""Room for all that a partition of 10,000 sites on 32 has, so that it sends one batch each time and no rest."""
READINGS, QUICK_READINGS = 2_500_000, 500_000
RUNS = 3


def run(*, quick: bool) -> list[Row]:
    """Rows: microseconds of the client's processor for each reading; from the second on against the first."""
    cases, readings = (CASES[:4], QUICK_READINGS) if quick else (CASES, READINGS)
    with broker() as servers:
        spent = [_spent_us(servers, sites, partitions, readings) for sites, partitions in cases]
    names = [f"{sites:,} sites on {partitions} partition{'s' * (partitions > 1)}" for sites, partitions in cases]
    first = Row(metric=f"a reading through Kafka, {names[0]}", value=spent[0], unit="µs of the processor")
    rest = zip(names[1:], spent[1:], strict=True)
    return [first, *(less_is_better(name, us, "µs of the processor", names[0], spent[0]) for name, us in rest)]


def _spent_us(servers: str, sites: int, partitions: int, readings: int) -> float:
    """Median µs of the client's processor for a reading; the first run is not counted."""
    options = KafkaOptions(prefix=f"scale-{sites}-{partitions}.", topics={"telemetry": TopicOptions(partitions)})
    log = open_log(f"kafka://{servers}", options)
    tables = [fleets.table(sites // partitions, seed) for seed in range(partitions)]
    shards, rows = [Shard.of(table) for table in tables], [fleets.readings(table) for table in tables]
    devices = sum(table.devices for table in tables)
    rounds, offsets = max(1, round(readings / devices)), [0] * partitions
    spent = []
    for run in range(RUNS + 1):
        with timed() as seconds:
            _send(log, rows, rounds)
            offsets = [apply(log, place, shard, offsets[place], rounds) for place, shard in enumerate(shards)]
        if run:
            spent.append(seconds[0] * 1e6 / (rounds * devices))
        for place, offset in enumerate(offsets):
            log.trim("telemetry", place, offset)
    log.close()
    return statistics.median(spent)


def _send(log: Log, rows: list[Records], rounds: int) -> None:
    """So many readings of each device, as a gateway sends them: partition beside partition."""
    for _ in range(rounds):
        for own in rows:
            own["seq"] += np.int64(1)
        produce(log, rows, BATCH_ROWS)
