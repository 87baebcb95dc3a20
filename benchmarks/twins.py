"""How many readings a second one core applies to the twins of a million sites, and what a twin costs in memory.

Held against an object for each device, and against actors: of asyncio, of Pykka (threads) and of Ray (processes), each
with as many devices as it takes; with `--against pekko` also of Apache Pekko, on the JVM. A second is one of a core's
own time, but for Ray, whose processes are timed by the clock on the wall.
"""

from __future__ import annotations

import gc
import time

from benchmarks import actors, fleets, pekko
from benchmarks.rows import Row, less_is_better, median_s, more_is_better
from powerflock.domain.batches import decode, encode
from powerflock.domain.columns import TELEMETRY
from powerflock.domain.registry import SiteTable
from powerflock.twins.apply import StepReport, step
from powerflock.twins.columns import Shard

NAME = "twins"
SUMMARY = "readings applied per second on one core and bytes per device, 1,000,000 sites, against objects and actors"
AGAINST = {"pekko": pekko.rows}

SITES = 1_000_000
BATCH_ROWS = 10_000
LIMIT_BYTES = 200.0
"""What a device may cost in memory, its share of its site's columns included."""


def run(*, quick: bool) -> list[Row]:
    """Rows: `step` against each peer, with decoding from the log too; and bytes per device, as counted and as grown."""
    runs = 3 if quick else 9
    gc.collect()
    before = actors.resident_bytes()
    shard = fleets.fleet(SITES)
    gc.collect()
    after, devices = actors.resident_bytes(), shard.table.devices
    stream = Stream(shard.table)
    ours = devices / median_s(lambda: stream.apply(shard), runs, stream.advance, time.process_time)
    decoded = devices / median_s(
        lambda: stream.decode_and_apply(shard), runs, stream.advance_encoded, time.process_time
    )
    metric = f"readings applied, {SITES:,} sites with {devices:,} devices in random order, batches of {BATCH_ROWS:,}"
    peers = _peer_rates(quick=quick)
    objects, object_bytes = actors.object_rate(runs)
    by_object = f"an object per device in a dict, {actors.OBJECTS:,} devices"
    rows = [more_is_better(metric, ours, "readings/s", by_object, objects)]
    rows += [more_is_better(metric, ours, "readings/s", name, rate) for name, rate in peers]
    rows += [
        more_is_better(f"{metric}, decoded from the log's Arrow bytes", decoded, "readings/s", by_object, objects),
        less_is_better("bytes per device, sites included", shard.nbytes / devices, "B", "the limit", LIMIT_BYTES),
    ]
    if before is not None and after is not None and after > before:
        grown, metric = (after - before) / devices, "bytes per device, as the process grew in RAM"
        rows.append(less_is_better(f"{metric}, places' names included", grown, "B", "the limit", LIMIT_BYTES))
        if object_bytes:
            rows.append(less_is_better(metric, grown, "B", by_object, object_bytes))
    return rows


def _peer_rates(*, quick: bool) -> list[tuple[str, float]]:
    """Name and readings per second of every actor system that runs here."""
    rounds = 3 if quick else 7
    threads = actors.QUICK_PYKKA_ACTORS if quick else actors.PYKKA_ACTORS
    processes = actors.QUICK_RAY_ACTORS if quick else actors.RAY_ACTORS
    found = [
        (f"an asyncio actor per device, {actors.ACTORS:,} devices", actors.asyncio_rate(rounds)),
        (f"a Pykka actor per device, {threads:,} devices", actors.peer_rate(actors.PYKKA, threads, rounds)),
        (f"a Ray actor per device, {processes:,} devices", actors.peer_rate(actors.RAY, processes, rounds)),
    ]
    return [(name, rate) for name, rate in found if rate is not None]


class Stream:
    """The same devices reporting again and again: one reading of each, with the next sequence number each time."""

    def __init__(self, table: SiteTable) -> None:
        """One reading of each of the table's devices, in random order."""
        self.rows = fleets.readings(table)
        self.batches = [self.rows[start : start + BATCH_ROWS] for start in range(0, self.rows.size, BATCH_ROWS)]
        self.payloads: list[bytes] = []

    def advance(self) -> None:
        """Make every reading the device's next."""
        self.rows["seq"] += 1

    def advance_encoded(self) -> None:
        """As `advance`, and put the batches as the log has them."""
        self.advance()
        self.payloads = [encode(batch) for batch in self.batches]

    def apply(self, shard: Shard) -> None:
        """Apply all batches; every row must take effect."""
        for batch in self.batches:
            _all_applied(step(shard, batch, fleets.NOW_US))

    def decode_and_apply(self, shard: Shard) -> None:
        """Decode and apply all batches; every row must take effect."""
        for payload in self.payloads:
            _all_applied(step(shard, decode(payload, TELEMETRY), fleets.NOW_US))


def _all_applied(report: StepReport) -> None:
    if report.applied != report.rows:
        raise RuntimeError(f"only {report.applied} of {report.rows} readings were applied")
