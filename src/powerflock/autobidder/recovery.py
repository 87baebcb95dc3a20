"""Coming back after a stop: everything that the log and the snapshots hold, read into a ring that knows only its sites.

Invariants: the open interval's books start from the very readings they started from before, because the snapshot is
replayed exactly up to the offsets that the interval's event names; later readings are left to the next turn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from powerflock.autobidder.records import INTERVAL_BEGAN, PLANT_ROW, IntervalBegan, PlantRow, Snapshots, decoded
from powerflock.domain.arrays import Records
from powerflock.domain.batches import decode, newest_us
from powerflock.domain.columns import COMMAND, SITE_EVENT, TELEMETRY
from powerflock.domain.errors import DamagedSnapshot
from powerflock.log.follower import entries
from powerflock.log.port import Log
from powerflock.market.account import Account
from powerflock.plant.model import Award
from powerflock.plant.owners import OWNER, OWNER_V1
from powerflock.plant.ring import Ring
from powerflock.twins.apply import desire
from powerflock.twins.columns import Shard
from powerflock.twins.snapshot import Mark, load

EVENTS_SHOWN = 2000
"""How many intervals are kept in mind; the account carries the sums of all that were ever settled."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """Of each partition the next readings and the snapshot used; the newest market events and rows, oldest first.

    Where there was no snapshot its mark is the log's very beginning.
    """

    next_offset: list[int]
    marks: list[Mark]
    events: list[IntervalBegan]
    rows: list[PlantRow]


def recover(log: Log, ring: Ring, snapshots: Snapshots | None) -> Recovered:
    """Bring `ring`, which knows its sites, to where the open interval began."""
    partitions = range(ring.registry.partitions)
    newest = log.newest("market", 0, EVENTS_SHOWN)
    events = [decoded(entry.payload, INTERVAL_BEGAN) for entry in newest]
    rows = [decoded(entry.payload, PLANT_ROW) for entry in entries(log, "plant", 0, 0)]
    ring.account = events[-1].account if events else Account()
    offsets = list(events[-1].offsets) if events else [0 for _ in partitions]
    marks = [
        replay(log, ring.shards[part].twins, snapshots, part, offsets[part], ring.members[part].ingest)
        for part in partitions
    ]
    for partition in partitions:
        restore_accounts(log, ring.shards[partition].accounts, partition)
    if snapshots is not None:
        snapshots.load_outlook(ring.outlook.load)
    if events:
        last = events[-1]
        ring.resume(Award(last.interval, last.spot_per_mwh, last.bid), last.opened_us)
    return Recovered(offsets, marks, events, rows)


def replay(
    log: Log, twins: Shard, snapshots: Snapshots | None, partition: int, until: int,
    ingest: Callable[[Records, int], object],
) -> Mark:  # fmt: skip
    """The newest snapshot not newer than offset `until`, and the readings from it up to there; returns its mark."""
    mark = Mark(partition, 0, 0)

    def not_later(payload: bytes) -> tuple[Shard, Mark]:
        shard, mark = load(payload, twins.table)
        if mark.offset > until:
            raise DamagedSnapshot(f"the snapshot was taken at offset {mark.offset}, after {until}: an older one serves")
        return shard, mark

    found = snapshots.newest(partition, not_later) if snapshots is not None else None
    if found is not None:
        shard, mark = found
        twins.devices, twins.sites = shard.devices, shard.sites
    for entry in entries(log, "commands", partition, mark.commands):
        desire(twins, decode(entry.payload, COMMAND))
    for entry in entries(log, "telemetry", partition, mark.offset, until):
        batch = decode(entry.payload, TELEMETRY, SITE_EVENT)
        ingest(batch, newest_us(batch))
    return mark


def restore_accounts(log: Log, accounts: Records, partition: int) -> None:
    """Owners' accounts as they were where the open interval began; of sites enrolled since there is nothing yet."""
    for entry in log.newest("accounts", partition):
        kept = decode(entry.payload, OWNER, OWNER_V1)
        for name in kept.dtype.names or ():
            accounts[name][: kept.size] = kept[name]
