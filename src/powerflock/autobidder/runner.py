"""The plant's shell: reads the log, turns the ring, writes its decisions back in one transaction, and recovers.

Invariants: a telemetry entry is applied once in effect; commands and market events are durable before anybody sees
them; a snapshot is taken where an interval begins, so after a crash the open interval's books start where they did.
Must not know sockets, HTTP or clocks: the caller passes the time.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from powerflock.autobidder.record import PlantRow, row_of
from powerflock.domain.arrays import Records
from powerflock.domain.batches import decode, encode
from powerflock.domain.columns import TELEMETRY
from powerflock.domain.errors import DamagedSnapshot, InvalidInput
from powerflock.domain.ids import partition_of
from powerflock.domain.outcomes import Outcome
from powerflock.domain.site import SiteSpec
from powerflock.forecast.history import SLOT_US
from powerflock.log.port import Log
from powerflock.market.account import Account, Settlement
from powerflock.market.bids import Bid
from powerflock.plant.model import Award, Turn
from powerflock.plant.owners import OWNER
from powerflock.plant.ring import Ring
from powerflock.twins.columns import Shard
from powerflock.twins.snapshot import Mark, dump, load

GROUP = "plant"
SEQUENCES_PER_EPOCH = 1_000_000_000
_COMMANDS_KEPT = 1000
_ROWS_KEPT = 100_000


class IntervalBegan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The market event that opens an interval: what it settled, its award, and the log offsets its books start at."""

    interval: int
    opened_us: int
    spot_per_mwh: float
    bid: Bid | None
    settled: tuple[Settlement, ...]
    offsets: tuple[int, ...]


class Snapshots(Protocol):
    """Where snapshots are kept; `newest` returns None where there is no good one."""

    def save(self, partition: int, offset: int, payload: bytes) -> None:
        """Keep `payload` durably."""

    def newest(self, partition: int, decode: Callable[[bytes], tuple[Shard, Mark]]) -> tuple[Shard, Mark] | None:
        """The newest snapshot that is whole."""

    def save_accounts(self, partition: int, offset: int, payload: bytes) -> None:
        """Keep owners' accounts durably."""

    def accounts(self, partition: int, decode: Callable[[bytes], Records]) -> Records | None:
        """The newest accounts that are whole."""

    def save_outlook(self, time_us: int, payload: bytes) -> None:
        """Keep what the outlook has learned."""

    def load_outlook(self, load: Callable[[bytes], None]) -> None:
        """Hand the newest kept one that `load` accepts to it; nothing where there is none."""


@dataclass(slots=True)
class Counts:
    """Readings by fate since the start of this process."""

    applied: int = 0
    repeated: int = 0
    refused: int = 0
    entries: int = 0
    by_reason: dict[str, int] = field(default_factory=dict)


class Runner:
    """One owner of all partitions. Every method may be called from any thread."""

    def __init__(self, log: Log, make_ring: Callable[[int], Ring], snapshots: Snapshots | None) -> None:
        """Claim the plant (fencing any other owner); `make_ring` gets the epoch."""
        self._log, self._snapshots = log, snapshots
        self._claim = log.claim(GROUP, "runner")
        self.ring = make_ring(self._claim.epoch)
        self._lock = threading.Lock()
        self.counts = Counts()
        self.settled: list[Settlement] = []
        self.awards: list[IntervalBegan] = []
        self.rows: deque[PlantRow] = deque(maxlen=_ROWS_KEPT)
        self._next = [0] * self.ring.registry.partitions
        self._learned_slot = -1
        self._outbox: list[tuple[str, int, bytes]] = []
        self._kept: list[list[int]] = [[] for _ in self._next]

    @property
    def first_seq(self) -> int:
        """Commands of this owner are numbered above this."""
        return self._claim.epoch * SEQUENCES_PER_EPOCH

    def recover(self) -> None:
        """Registry, account and open interval from the log; twins from snapshots and the readings after them."""
        for partition in range(self.ring.registry.partitions):
            self._replay_registry(partition)
        last = self._replay_market()
        self._replay_rows()
        for partition in range(self.ring.registry.partitions):
            self._restore_twins(partition)
        if self._snapshots is not None:
            self._snapshots.load_outlook(self.ring.outlook.load)
        if last is not None:
            award = Award(last.interval, last.spot_per_mwh, last.bid)
            whole = tuple(self._next) == last.offsets
            self.ring.resume(award if whole else None, last.opened_us)

    def enrol(self, specs: Sequence[SiteSpec]) -> Outcome:
        """Enrol `specs`: durable in the log, then known to the ring; refused ones come back with their reasons."""
        with self._lock:
            applied = 0
            reasons: dict[str, str] = {}
            registry = self.ring.registry
            for partition in range(registry.partitions):
                own = [spec for spec in specs if partition_of(spec.site, registry.partitions) == partition]
                if not own:
                    continue
                new = [spec for spec in own if not registry.holds(spec)]
                if new:
                    self._log.transact([("registry", partition, msgspec.msgpack.encode(new))], claim=self._claim)
                done = registry.enrol(partition, own)
                applied, reasons = applied + done.outcome.applied, reasons | done.outcome.reasons
                if done.added.size or done.updated.size:
                    self.ring.enrolled(partition, self.first_seq)
            return Outcome.of(applied, reasons)

    def tick(self, now_us: int) -> Turn:
        """Apply what the log has, turn the ring, write what it decided; what the log refuses goes first next time."""
        with self._lock:
            for partition in range(len(self._next)):
                self._ingest(partition, now_us)
            turn = self.ring.turn(now_us)
            entries = [
                ("commands", partition, encode(rows)) for partition, rows in enumerate(turn.commands) if rows.size
            ]
            if turn.began is not None:
                event = IntervalBegan(
                    turn.interval, now_us, turn.began.spot_per_mwh, turn.began.bid, turn.settled, tuple(self._next)
                )
                entries.append(("market", 0, msgspec.msgpack.encode(event)))
                self._remember(event)
                self._save(now_us)
            row = row_of(turn)
            self.rows.append(row)
            entries.append(("plant", 0, msgspec.msgpack.encode(row)))
            commits = [(GROUP, "telemetry", partition, offset) for partition, offset in enumerate(self._next)]
            self._outbox += entries
            self._log.transact(self._outbox, commits, self._claim)
            self._outbox = []
            if turn.began is not None:
                self._trim()
            return turn

    def _ingest(self, partition: int, now_us: int) -> None:
        while True:
            entries = self._log.read("telemetry", partition, self._next[partition])
            for entry in entries:
                report = self.ring.ingest(partition, decode(entry.payload, TELEMETRY), now_us)
                self.counts.applied += report.applied
                self.counts.repeated += report.duplicate + report.late
                self.counts.refused += report.unknown + report.future + report.invalid
                self.counts.entries += 1
            if not entries:
                return
            self._next[partition] = entries[-1].offset + 1

    def _save(self, now_us: int) -> None:
        """Snapshot every partition as it stands where the interval begins; every half-hour, what was learned."""
        if self._snapshots is None:
            return
        if now_us // SLOT_US != self._learned_slot:
            self._learned_slot = now_us // SLOT_US
            self._snapshots.save_outlook(now_us, self.ring.outlook.dump())
        for partition, shard in enumerate(self.ring.shards):
            mark = Mark(partition, self._next[partition], self._claim.epoch)
            self._snapshots.save(partition, mark.offset, dump(shard.twins, mark))
            self._snapshots.save_accounts(partition, mark.offset, encode(shard.accounts))

    def _trim(self) -> None:
        """Readings older than the last-but-one snapshot are not needed any more, nor old commands."""
        for partition, offset in enumerate(self._next):
            self._kept[partition] = [*self._kept[partition], offset][-2:]
            self._log.trim("telemetry", partition, self._kept[partition][0])
            self._log.trim("commands", partition, max(self._log.end("commands", partition) - _COMMANDS_KEPT, 0))

        self._log.trim("plant", 0, max(self._log.end("plant", 0) - _ROWS_KEPT, 0))

    def _replay_rows(self) -> None:
        offset = 0
        while entries := self._log.read("plant", 0, offset):
            self.rows.extend(msgspec.msgpack.decode(entry.payload, type=PlantRow) for entry in entries)
            offset = entries[-1].offset + 1

    def _replay_registry(self, partition: int) -> None:
        offset = 0
        while entries := self._log.read("registry", partition, offset):
            for entry in entries:
                self.ring.registry.enrol(partition, msgspec.msgpack.decode(entry.payload, type=list[SiteSpec]))
            offset = entries[-1].offset + 1
        if offset:
            self.ring.enrolled(partition, self.first_seq)

    def _replay_market(self) -> IntervalBegan | None:
        offset, last, account = 0, None, Account()
        while entries := self._log.read("market", 0, offset):
            for entry in entries:
                last = msgspec.msgpack.decode(entry.payload, type=IntervalBegan)
                self._remember(last)
                for item in last.settled:
                    account = account.plus(item)
            offset = entries[-1].offset + 1
        self.ring.account = account
        return last

    def _restore_twins(self, partition: int) -> None:
        found = self._snapshots.newest(partition, load) if self._snapshots is not None else None
        if found is None:
            return
        shard, mark = found
        known = self.ring.shards[partition].twins
        if shard.devices.size <= known.devices.size:
            known.devices[: shard.devices.size] = shard.devices
            self._next[partition] = mark.offset
        accounts = self._snapshots.accounts(partition, _decode_accounts) if self._snapshots is not None else None
        if accounts is not None and accounts.size <= known.table.sites:
            self.ring.shards[partition].accounts[: accounts.size] = accounts

    def _remember(self, event: IntervalBegan) -> None:
        self.settled = [*self.settled, *event.settled][-2000:]
        self.awards = [*self.awards, event][-2000:]


def _decode_accounts(payload: bytes) -> Records:
    """`DamagedSnapshot` where the bytes are no accounts of this version."""
    try:
        return decode(payload, OWNER)
    except InvalidInput as error:
        raise DamagedSnapshot(str(error)) from error
