"""Coming back after a stop: everything that the log and the snapshots hold, read into a ring that knows only its sites.

Invariants: the open interval's books start from the very readings they started from before, because the snapshot is
replayed exactly up to the offsets that the interval's event names; later readings are left to the next turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from powerflock.autobidder.records import IntervalBegan, PlantRow, Snapshots
from powerflock.domain.batches import decode
from powerflock.domain.columns import COMMAND, SITE_EVENT, TELEMETRY
from powerflock.log.port import Log
from powerflock.market.account import Account
from powerflock.plant.model import Award
from powerflock.plant.owners import OWNER
from powerflock.plant.ring import Ring
from powerflock.twins.apply import desire
from powerflock.twins.snapshot import load

EVENTS_SHOWN = 2000
"""How many intervals are kept in mind; the account carries the sums of all that were ever settled."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """`next_offset` of each partition's readings, the newest market events and the plant's rows, oldest first."""

    next_offset: list[int]
    events: list[IntervalBegan]
    rows: list[PlantRow]


def recover(log: Log, ring: Ring, snapshots: Snapshots | None) -> Recovered:
    """Bring `ring`, which knows its sites, to where the open interval began."""
    partitions = range(ring.registry.partitions)
    newest = max(log.end("market", 0) - EVENTS_SHOWN, 0)
    events = [msgspec.msgpack.decode(payload, type=IntervalBegan) for payload in _payloads(log, "market", 0, newest)]
    rows = [msgspec.msgpack.decode(payload, type=PlantRow) for payload in _payloads(log, "plant", 0)]
    ring.account = events[-1].account if events else Account()
    offsets = list(events[-1].offsets) if events else [0 for _ in partitions]
    for partition in partitions:
        _restore_twins(log, ring, snapshots, partition, offsets[partition])
        _restore_accounts(log, ring, partition)
    if snapshots is not None:
        snapshots.load_outlook(ring.outlook.load)
    if events:
        last = events[-1]
        ring.resume(Award(last.interval, last.spot_per_mwh, last.bid), last.opened_us)
    return Recovered(offsets, events, rows)


def _payloads(log: Log, topic: str, partition: int, offset: int = 0) -> Iterator[bytes]:
    while entries := log.read(topic, partition, offset):
        yield from (entry.payload for entry in entries)
        offset = entries[-1].offset + 1


def _restore_twins(log: Log, ring: Ring, snapshots: Snapshots | None, partition: int, until: int) -> None:
    """The newest snapshot that is not newer than `until`, and the readings from it up to there."""
    twins = ring.shards[partition].twins
    found = snapshots.newest(partition, lambda payload: load(payload, twins.table)) if snapshots is not None else None
    offset, told = 0, 0
    if found is not None and found[1].offset <= until:
        shard, mark = found
        twins.devices, twins.sites = shard.devices, shard.sites
        offset, told = mark.offset, mark.commands
    for payload in _payloads(log, "commands", partition, told):
        desire(twins, decode(payload, COMMAND))
    while offset < until:
        entries = log.read("telemetry", partition, offset, limit=until - offset)
        for entry in entries:
            batch = decode(entry.payload, TELEMETRY, SITE_EVENT)
            ring.ingest(partition, batch, int(batch["time_us"].max(initial=0)))
        if not entries:
            return
        offset = entries[-1].offset + 1


def _restore_accounts(log: Log, ring: Ring, partition: int) -> None:
    end = log.end("accounts", partition)
    if end:
        accounts = decode(log.read("accounts", partition, end - 1)[0].payload, OWNER)
        ring.shards[partition].accounts[: accounts.size] = accounts
