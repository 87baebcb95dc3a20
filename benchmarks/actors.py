"""Twins as most systems keep them, for `twins` to be held against: an object, or an actor, for each device.

Each takes the same readings, one message each, in random order, and keeps the newest. What is timed begins with the
first message and ends when every device has taken its own; making the devices is not counted. Pykka and Ray run in
environments of their own (`peers`).
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import math
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from benchmarks import peers
from benchmarks.rows import median_s

OBJECTS = 200_000
ACTORS = 5_000
PYKKA_ACTORS, QUICK_PYKKA_ACTORS = 1_000, 300
RAY_ACTORS, QUICK_RAY_ACTORS = 50, 8
NOW_US = 1_770_000_000_000_000

PYKKA = peers.Peer("pykka", ("pykka==4.5.0",), "pykka_peer.py")
RAY = peers.Peer("ray", ("ray==2.60.0",), "ray_peer.py")

Reading = tuple[int, int, int, float, float]


@dataclass(slots=True)
class Twin:
    """A twin as an object."""

    seq: int = -1
    time_us: int = 0
    power_kw: float = math.nan
    energy_kwh: float = math.nan

    def update(self, reading: Reading) -> None:
        """Take a reading that is newer than the last."""
        _, seq, time_us, power_kw, energy_kwh = reading
        if seq > self.seq:
            self.seq, self.time_us, self.power_kw, self.energy_kwh = seq, time_us, power_kw, energy_kwh


def stream(devices: int, seq: int) -> list[Reading]:
    """A reading of each device with this sequence number, in random order."""
    order = np.random.default_rng(2).permutation(devices).tolist()
    return [(device, seq, NOW_US + seq, 1.5 + seq, 100.0 + device) for device in order]


def object_rate(runs: int) -> tuple[float, float | None]:
    """Updates per second of an object per device in a dict, and the bytes of each that the process grew by."""
    gc.collect()
    before, numbers = resident_bytes(), itertools.count()
    twins = {device: Twin() for device in range(OBJECTS)}
    given: list[Reading] = []

    def advance() -> None:
        given[:] = stream(OBJECTS, next(numbers))

    def apply() -> None:
        for reading in given:
            twins[reading[0]].update(reading)

    rate = OBJECTS / median_s(apply, runs, advance, time.process_time)
    given.clear()
    gc.collect()
    after = resident_bytes()
    return rate, None if before is None or after is None else (after - before) / OBJECTS


def asyncio_rate(runs: int) -> float:
    """Updates per second of an asyncio task with a queue per device."""
    return ACTORS / statistics.median(asyncio.run(_asyncio_s(stream(ACTORS, seq))) for seq in range(runs))


async def _asyncio_s(given: list[Reading]) -> float:
    inboxes: list[asyncio.Queue[Reading]] = [asyncio.Queue() for _ in given]

    async def actor(inbox: asyncio.Queue[Reading]) -> None:
        twin = Twin()
        while True:
            twin.update(await inbox.get())
            inbox.task_done()

    tasks = [asyncio.create_task(actor(inbox)) for inbox in inboxes]
    await asyncio.sleep(0)
    start = time.process_time()
    for reading in given:
        inboxes[reading[0]].put_nowait(reading)
    for inbox in inboxes:
        await inbox.join()
    seconds = time.process_time() - start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return seconds


def peer_rate(peer: peers.Peer, devices: int, rounds: int) -> float | None:
    """Updates per second of a peer's actors, median of the rounds; None where it cannot be installed."""
    found = peers.ask(peer, msgspec.json.encode({"devices": devices, "rounds": rounds}))
    return None if found is None else devices / statistics.median(msgspec.json.decode(found, type=list[float]))


def resident_bytes() -> int | None:
    """The memory that this process has in RAM; None where the system does not say."""
    file = Path("/proc/self/status")
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmRSS:")), None)
