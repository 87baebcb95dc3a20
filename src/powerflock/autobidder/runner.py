"""The plant's shell: reads the log, turns the ring, writes its decisions back in one transaction, and recovers.

Invariants: a telemetry entry is applied once in effect; commands, market events and owners' accounts are durable, all
or nothing, before anybody sees them; snapshots follow, and only shorten a replay. One owner: a newer one fences it.
Must not know sockets, HTTP or clocks: the caller passes the time.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

import msgspec

from powerflock.alarms import Alarm, AlarmBook, AlarmSettings
from powerflock.autobidder import alarm_desk
from powerflock.autobidder.alarm_desk import AlarmDesk
from powerflock.autobidder.enrolment import LogRegistrar, Registrar, follow
from powerflock.autobidder.records import (
    NOBODY,
    Counts,
    Followers,
    IntervalBegan,
    PlantRow,
    Snapshots,
    first_seq,
    keep_newest,
    row_of,
)
from powerflock.autobidder.recovery import EVENTS_SHOWN, recover
from powerflock.autobidder.saving import Saving
from powerflock.domain.batches import decode, encode, newest_us
from powerflock.domain.columns import SITE_EVENT, TELEMETRY
from powerflock.domain.enrolment import TOPIC
from powerflock.domain.outcomes import Outcome
from powerflock.domain.site import SiteSpec
from powerflock.log.follower import Follower, entries
from powerflock.log.port import Log
from powerflock.market.account import Settlement, newest_of
from powerflock.plant.model import Turn
from powerflock.plant.policies import PolicyBatch
from powerflock.plant.ring import Ring
from powerflock.twins.columns import Shard
from powerflock.twins.snapshot import Mark

GROUP = "plant"
_COMMANDS_KEPT, _ACCOUNTS_KEPT, _POLICIES_KEPT = 1000, 2, 1
_ROWS_KEPT = 100_000


class Runner:
    """One owner of all partitions. Every method may be called from any thread."""

    def __init__(
        self,
        log: Log,
        make_ring: Callable[[int], Ring],
        snapshots: Snapshots | None,
        registrar: Registrar | None = None,
        executor: Executor | None = None,
        alarms: AlarmSettings = AlarmSettings(),  # noqa: B008 - frozen
        followers: Followers = NOBODY,
    ) -> None:
        """Claim the plant (fencing any other owner); `make_ring` gets the epoch. Without a registrar: the log alone.

        Snapshots are written by `executor`; without one, or in virtual time, within the turn.
        """
        self._log, self._snapshots, self._followers = log, snapshots, followers
        self.saving = None if snapshots is None else Saving(snapshots, executor)
        self._claim = log.claim(GROUP, "runner")
        self.ring = make_ring(self._claim.epoch)
        self._registrar = registrar or LogRegistrar(log, self.ring.registry)
        self._enrolments = Follower(log, TOPIC, [0] * self.ring.registry.partitions)
        self._lock = threading.Lock()
        self.alarms = AlarmDesk(alarms, self.ring.registry.partitions)
        self.counts = Counts()
        self.settled: list[Settlement] = []
        self.awards: list[IntervalBegan] = []
        self.rows: deque[PlantRow] = deque(maxlen=_ROWS_KEPT)
        self._next = [0] * self.ring.registry.partitions
        self._owed: list[IntervalBegan] = []
        self._policies_owed: dict[int, PolicyBatch] = {}
        self._kept: list[list[Mark]] = [[] for _ in self._next]

    @property
    def first_seq(self) -> int:
        """Commands of this owner are numbered above this."""
        return first_seq(self._claim)

    @property
    def book(self) -> AlarmBook:
        """The book of alarms, as it is in the log."""
        return self.alarms.book

    @property
    def missing(self) -> Sequence[int]:
        """Partitions that do not turn: none, as one owner turns them all."""
        return ()

    def recover(self) -> None:
        """Take up where the open interval began; the readings since are applied by the next tick."""
        with self._lock:
            self._follow_registry()
            self._registrar.reconcile(self.ring.registry)
            self._registrar.publish(self._claim)
            self._follow_registry()
            found = recover(self._log, self.ring, self._snapshots)
            self._next, self._kept = found.next_offset, [[mark] for mark in found.marks]
            self.rows.extend(found.rows)
            self.alarms.recover(self._log)
            for event in found.events[-EVENTS_SHOWN:]:
                self._remember(event)

    def between_turns(self, look: Callable[[Ring], None]) -> None:
        """Let `look` read the ring while nothing in it changes."""
        with self._lock:
            look(self.ring)

    def enrol(self, specs: Sequence[SiteSpec]) -> Outcome:
        """Enrol `specs`: durable, then in the log, then known to the ring; refused ones come back with reasons."""
        with self._lock:
            outcome = self._registrar.enrol(specs, self._claim)
            self._registrar.publish(self._claim)
            self._follow_registry()
            return outcome

    def publish(self) -> None:
        """Enrolments that others kept, or that the log could not take, go into the log; the next tick finds them."""
        self._registrar.publish(self._claim)

    def _follow_registry(self) -> None:
        """What is new in the registry topic, whoever wrote it."""
        for partition in follow(self.ring.registry, self._enrolments):
            self.ring.enrolled(partition, self.first_seq)

    def acknowledge(self, alarm_id: str, who: str, now_us: int) -> Alarm:
        """`who` has seen the alarm: durable, then in the book. `NotFound` for an alarm that is not in it."""
        with self._lock:
            return self.alarms.acknowledge(self._log, self._claim, alarm_id, who, now_us)

    def tick(self, now_us: int) -> Turn:
        """Apply what the log has, turn the ring, write what it decided; what it owes the log goes with the next.

        Where an interval has ended the ring is turned there first, by the readings from before its end alone: what
        flowed is counted in its interval, however late the tick. Readings that come while it works wait for the next:
        they would be from after `now_us`.
        """
        ends = [self._log.end("telemetry", partition) for partition in range(len(self._next))]
        with self._lock:
            award = self.ring.award
            end_us = None if award is None else self.ring.settings.end_before(now_us, award.interval)
            if end_us is not None:
                self._turn(end_us, ends, until_us=end_us)
            return self._turn(now_us, ends)

    def _turn(self, now_us: int, ends: Sequence[int], until_us: int | None = None) -> Turn:
        """One turn at `now_us`, with the readings before `ends`, and of up to `until_us` where that is given."""
        self._follow_registry()
        for partition, end in enumerate(ends):
            self._ingest(partition, now_us, end, until_us)
        turn = self.ring.turn(now_us)
        if turn.began is not None:
            self._owed.append(self._event(turn, now_us))
        self._policies_owed |= dict(turn.policies)
        self.alarms.look(turn.columns, [shard.twins.sites for shard in self.ring.shards], now_us)
        row = row_of(turn)
        self._write(turn, row)
        self.alarms.written()
        self.ring.told(turn.commands)
        for event in self._owed:
            self._remember(event)
        self._owed, self._policies_owed = [], {}
        self.rows.append(row)
        if turn.began is not None:
            self._save(now_us)
            self._trim()
        return turn

    def _event(self, turn: Turn, now_us: int) -> IntervalBegan:
        """The market event of a turn in which an interval began."""
        assert turn.began is not None, "an event needs an interval's beginning"
        return IntervalBegan(
            interval=turn.interval,
            opened_us=now_us,
            spot_per_mwh=turn.began.spot_per_mwh,
            bid=turn.began.bid,
            settled=turn.settled,
            account=self.ring.account,
            offsets=tuple(self._next),
        )

    def _write(self, turn: Turn, row: PlantRow) -> None:
        """All that the turn decided, in one transaction; if it fails events and policies stay owed; commands expire."""
        entries = [("commands", partition, encode(rows)) for partition, rows in enumerate(turn.commands) if rows.size]
        entries += [("market", 0, msgspec.msgpack.encode(event)) for event in self._owed]
        if self._owed:
            shards = enumerate(self.ring.shards)
            entries += [("accounts", partition, encode(shard.accounts)) for partition, shard in shards]
        entries += [("policies", part, msgspec.msgpack.encode(made)) for part, made in self._policies_owed.items()]
        entries += self.alarms.entries()
        entries.append(("plant", 0, msgspec.msgpack.encode(row)))
        commits = [(GROUP, "telemetry", partition, offset) for partition, offset in enumerate(self._next)]
        self._log.transact(entries, commits, self._claim)

    def _ingest(self, partition: int, now_us: int, end: int, until_us: int | None) -> None:
        """Apply the partition's readings before offset `end`, or up to the first from after `until_us`."""
        for entry in entries(self._log, "telemetry", partition, self._next[partition], end):
            batch = decode(entry.payload, TELEMETRY, SITE_EVENT)
            if until_us is not None and newest_us(batch) > until_us:
                return
            self.counts.take(self.ring.ingest(partition, batch, now_us))
            self._next[partition] = entry.offset + 1

    def _save(self, now_us: int) -> None:
        """Save a copy of each partition as it stands where the interval begins; every half-hour, what was learned."""
        marks = [
            Mark(partition, offset, self._claim.epoch, self._log.end("commands", partition))
            for partition, offset in enumerate(self._next)
        ]

        def copy() -> list[tuple[Mark, Shard]]:
            return [(mark, shard.twins.copy()) for mark, shard in zip(marks, self.ring.shards, strict=True)]

        durable = marks if self.saving is None else self.saving.due(now_us, copy, self.ring.outlook.dump)
        for mark in durable:  # the last two: the log must reach back to the older of them
            self._kept[mark.partition] = [*self._kept[mark.partition], mark][-2:]

    def _trim(self) -> None:
        """Forget what lies before the last-but-one snapshot and was followed, and what nobody reads again."""
        for partition, kept in enumerate(self._kept):
            if kept:
                self._log.trim("telemetry", partition, min(kept[0].offset, self._needed(partition)))
                keep_newest(self._log, "commands", partition, _COMMANDS_KEPT, kept[0].commands)
            keep_newest(self._log, "accounts", partition, _ACCOUNTS_KEPT)
            keep_newest(self._log, "policies", partition, _POLICIES_KEPT)
        keep_newest(self._log, "plant", 0, _ROWS_KEPT)
        keep_newest(self._log, alarm_desk.TOPIC, 0, alarm_desk.KEPT)

    def _needed(self, partition: int) -> int:
        return self._followers.needed(self._log, partition, self._next[partition])

    def _remember(self, event: IntervalBegan) -> None:
        self.settled = newest_of([*self.settled, *event.settled])[-EVENTS_SHOWN:]
        self.awards = [*self.awards, event][-EVENTS_SHOWN:]
