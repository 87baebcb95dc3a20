"""How many readings a second one core applies to a million twins, against an object and an actor for each device."""

from __future__ import annotations

import asyncio
import itertools
import math
import statistics
import time
from dataclasses import dataclass

import numpy as np

from benchmarks.rows import Row, median_s, more_is_better
from powerflock.domain.arrays import Records
from powerflock.domain.batches import decode, encode
from powerflock.domain.columns import TELEMETRY, DeviceKind
from powerflock.domain.registry import TABLE_COLUMNS, SiteTable
from powerflock.twins.apply import StepReport, step
from powerflock.twins.columns import Shard

NAME = "twins"
SUMMARY = "readings applied per second on one core, 1,000,000 devices in random order"

DEVICES = 1_000_000
BATCH_ROWS = 10_000
OBJECTS = 200_000
ACTORS = 5_000
NOW_US = 1_770_000_000_000_000


Reading = tuple[int, int, int, float, float]


def run(*, quick: bool) -> list[Row]:
    """Rows: `step` against an object and against an actor for each device; and `step` with decoding from the log."""
    runs = 3 if quick else 9
    shard, stream = Shard.of(meters(DEVICES)), Stream(DEVICES)
    ours = DEVICES / median_s(lambda: stream.apply(shard), runs, stream.advance)
    decoded = DEVICES / median_s(lambda: stream.decode_and_apply(shard), runs, stream.advance_encoded)
    objects = OBJECTS / _objects_s(runs)
    actors = ACTORS / statistics.median(asyncio.run(_actors_s(_tuples(ACTORS, seq))) for seq in range(runs))
    metric = f"readings applied, {DEVICES:,} devices in random order, batches of {BATCH_ROWS:,}"
    by_object = f"an object per device in a dict, {OBJECTS:,} devices"
    by_actor = f"an asyncio actor per device, {ACTORS:,} devices"
    return [
        more_is_better(metric, ours, "readings/s", by_object, objects),
        more_is_better(metric, ours, "readings/s", by_actor, actors),
        more_is_better(f"{metric}, decoded from the log's Arrow bytes", decoded, "readings/s", by_object, objects),
    ]


class Stream:
    """The same devices reporting again and again: one reading of each, with the next sequence number each time."""

    def __init__(self, devices: int) -> None:
        """One reading of each of `devices`."""
        self.rows = readings(devices)
        self.batches = [self.rows[start : start + BATCH_ROWS] for start in range(0, devices, BATCH_ROWS)]
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
            _all_applied(step(shard, batch, NOW_US))

    def decode_and_apply(self, shard: Shard) -> None:
        """Decode and apply all batches; every row must take effect."""
        for payload in self.payloads:
            _all_applied(step(shard, decode(payload, TELEMETRY), NOW_US))


def meters(devices: int) -> SiteTable:
    """A table of sites with a meter each and nothing else."""
    columns = {name: np.zeros(devices, dtype) for name, dtype in TABLE_COLUMNS.items()}
    columns["battery_device"][:] = columns["solar_device"][:] = -1
    columns["meter_device"] = columns["device_site"] = np.arange(devices, dtype=np.int32)
    columns["device_kind"][:] = DeviceKind.METER
    return SiteTable.of(columns, ())


def readings(devices: int) -> Records:
    """One reading of each device, in random order."""
    rng = np.random.default_rng(1)
    rows: Records = np.zeros(devices, TELEMETRY)
    rows["device"] = rng.permutation(devices)
    rows["power_kw"] = rng.normal(1.0, 2.0, devices)
    rows["energy_kwh"] = rng.uniform(0.0, 1e4, devices)
    rows["time_us"] = rows["received_us"] = NOW_US
    for column in ("charge_limit_kw", "discharge_limit_kw", "capacity_kwh"):
        rows[column] = np.where(rng.random(devices) < 0.5, 5.0, math.nan)
    return rows


def _all_applied(report: StepReport) -> None:
    if report.applied != report.rows:
        raise RuntimeError(f"only {report.applied} of {report.rows} readings were applied")


@dataclass(slots=True)
class _Twin:
    """A twin as an object: what most systems have for each device."""

    seq: int = -1
    time_us: int = 0
    power_kw: float = math.nan
    energy_kwh: float = math.nan

    def update(self, reading: Reading) -> None:
        """Take a reading that is newer than the last."""
        _, seq, time_us, power_kw, energy_kwh = reading
        if seq > self.seq:
            self.seq, self.time_us, self.power_kw, self.energy_kwh = seq, time_us, power_kw, energy_kwh


def _tuples(devices: int, seq: int) -> list[Reading]:
    rng = np.random.default_rng(2)
    return [(int(device), seq, NOW_US, 1.5, 100.0) for device in rng.permutation(devices)]


def _objects_s(runs: int) -> float:
    twins = {device: _Twin() for device in range(OBJECTS)}
    stream: list[Reading] = []
    counter = itertools.count()

    def advance() -> None:
        stream[:] = _tuples(OBJECTS, next(counter))

    def apply() -> None:
        for reading in stream:
            twins[reading[0]].update(reading)

    return median_s(apply, runs, advance)


async def _actors_s(stream: list[Reading]) -> float:
    """Seconds until every actor has taken its reading; starting the actors is not counted."""
    inboxes: list[asyncio.Queue[Reading]] = [asyncio.Queue() for _ in stream]

    async def actor(inbox: asyncio.Queue[Reading]) -> None:
        twin = _Twin()
        while True:
            twin.update(await inbox.get())
            inbox.task_done()

    tasks = [asyncio.create_task(actor(inbox)) for inbox in inboxes]
    await asyncio.sleep(0)
    start = time.perf_counter()
    for reading in stream:
        inboxes[reading[0]].put_nowait(reading)
    for inbox in inboxes:
        await inbox.join()
    seconds = time.perf_counter() - start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return seconds
