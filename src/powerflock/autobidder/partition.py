"""One partition's shell: its registry and readings from the log, orders followed, commands and a report back into it.

Invariants: as the plant's own runner: a reading counts once in effect; whatever a tick decided is durable, all or
nothing, before anybody sees it; snapshots follow and only shorten a replay. The claim fences every earlier owner of the
partition, at the log and, by the epoch in each command, at the edges. Topics, all by partition: `registry` and
`telemetry` are read; `commands`, `policies`, `reports`, `books` and `accounts` are written. Must not know sockets,
clocks, nor who else owns what.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor

import msgspec

from powerflock.autobidder.records import NOBODY, Counts, Followers, Snapshots, decoded, first_seq, keep_newest
from powerflock.autobidder.recovery import replay, restore_accounts
from powerflock.autobidder.saving import Saving
from powerflock.domain.arrays import Records
from powerflock.domain.batches import decode, encode, newest_us
from powerflock.domain.columns import SITE_EVENT, TELEMETRY
from powerflock.domain.enrolment import TOPIC as REGISTRY
from powerflock.log.follower import Follower, entries
from powerflock.log.port import Log
from powerflock.plant.member import Member
from powerflock.plant.messages import Closed, Order, Report
from powerflock.plant.messages import encode as encode_message
from powerflock.plant.policies import PolicyBatch
from powerflock.twins.columns import Shard
from powerflock.twins.snapshot import Mark

_KEPT = {"commands": 1000, "accounts": 2, "policies": 1, "reports": 2, "books": 2}
"""How many of its own entries a partition keeps in the log."""


class Opened(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a partition's books of an interval began: with the readings before `offset`.

    `closed` came before it, `earlier` before that: see `Report`.
    """

    interval: int
    spot_per_mwh: float
    opened_us: int
    offset: int
    closed: Closed | None
    earlier: tuple[Closed, ...] = ()


OPENED = msgspec.msgpack.Decoder(Opened)


class PartitionRunner:
    """The owner of one partition, from its claim to the next one's; not to be used by two threads at once."""

    def __init__(
        self,
        log: Log,
        partition: int,
        name: str,
        make_member: Callable[[int], Member],
        snapshots: Snapshots | None,
        executor: Executor | None = None,
        followers: Followers = NOBODY,
    ) -> None:
        """Claim the partition as `name`, fencing any other owner; `make_member` gets the epoch."""
        self.partition, self._log, self._snapshots, self._followers = partition, log, snapshots, followers
        self.group = f"twins-{partition}"
        self._claim = log.claim(self.group, name)
        self.member = make_member(self._claim.epoch)
        self.counts = Counts()
        self.saving = None if snapshots is None else Saving(snapshots, executor)
        self.report: Report | None = None
        self._enrolments = Follower(log, REGISTRY, [0] * self.member.registry.partitions)
        self._next = 0
        self._owed: list[tuple[str, int, bytes]] = []
        self._policies_owed: list[PolicyBatch] = []
        self._kept: list[Mark] = []
        self.lag = 0
        """Entries of readings that waited when the last tick began."""
        self.commands_issued = 0

    @property
    def first_seq(self) -> int:
        """Commands of this owner are numbered above this."""
        return first_seq(self._claim)

    @property
    def saved_us(self) -> int:
        """When the newest snapshot of this owner that is durable was taken; 0: none yet."""
        return 0 if self.saving is None else self.saving.saved_us

    def recover(self) -> None:
        """Take up where the open interval began; the readings since are applied by the next tick."""
        self._follow_registry()
        newest = [decoded(entry.payload, OPENED) for entry in self._log.newest("books", self.partition)]
        until = newest[0].offset if newest else 0
        shard = self.member.shard
        self._kept = [replay(self._log, shard.twins, self._snapshots, self.partition, until, self.member.ingest)]
        self._next = until
        restore_accounts(self._log, shard.accounts, self.partition)
        if self._snapshots is not None:
            self._snapshots.load_outlook(self.member.outlook.load)
        for opened in newest:
            self.member.resume(opened.interval, opened.spot_per_mwh, opened.opened_us)
            self.member.closed, self.member.earlier = opened.closed, opened.earlier

    def end(self) -> int:
        """Where the readings end now. Asked before the time is, no reading before it is from later than that time."""
        return self._log.end("telemetry", self.partition)

    def ingest(self, now_us: int, until: int, order: Order | None = None) -> None:
        """What is new in the registry, and of readings before offset `until`; where an interval ended books are closed.

        They are closed between the readings from before its end and those from after it, also of intervals that passed
        while nobody owned the partition: each has what flowed in it, at the price that `order` tells.
        """
        if order is not None:
            self.member.heed(order)
        self._follow_registry()
        self.lag = max(until - self._next, 0)
        for entry in entries(self._log, "telemetry", self.partition, self._next, until):
            batch = decode(entry.payload, TELEMETRY, SITE_EVENT)
            self._close_before(min(newest_us(batch), now_us))
            self.counts.take(self.member.ingest(batch, now_us))
            self._next = entry.offset + 1
        self._next = max(self._next, until)
        self._close_before(now_us)

    def tick(self, order: Order, now_us: int, until: int) -> Records:
        """Take in what is new, look under `order`, follow it unless it has grown old, and write it all down.

        Readings are taken up to the offset `until`. Returns the commands, which are in the log now.
        """
        self.ingest(now_us, until, order)
        member, was = self.member, self.member.interval
        self.report, policies = member.look(order, now_us)
        self._policies_owed += policies
        if member.interval != was:
            self._owe()
        followed = now_us - order.now_us < member.settings.command_life_us // 2
        commands = member.follow(order, now_us) if followed else member.nothing()
        rows = [("reports", self.partition, encode_message(self.report))]
        if commands.size:
            rows.append(("commands", self.partition, encode(commands)))
        began = bool(self._owed)
        self._write(rows)
        member.told(commands)
        self.commands_issued += commands.size
        if began:
            self._keep(now_us)
        return commands

    def _close_before(self, time_us: int) -> None:
        """If an interval ended before `time_us` whose books are open, close them there, and make that durable."""
        end_us = self.member.end_before(time_us)
        if end_us is not None:
            self.member.see(end_us)
            self._owe()
            self._write([])
            self._keep(end_us)

    def _owe(self) -> None:
        """Books were opened: where, and the owners' accounts of then, are to be written."""
        member = self.member
        opened = Opened(
            member.interval, member.spot_per_mwh, member.opened_us, self._next, member.closed, member.earlier
        )  # fmt: skip
        self._owed.append(("books", self.partition, msgspec.msgpack.encode(opened)))
        self._owed.append(("accounts", self.partition, encode(member.shard.accounts)))

    def _follow_registry(self) -> None:
        """Take up what is new; a process that owned the partition before knows its sites already, the member not."""
        payloads, registry = self._enrolments.new(self.partition), self.member.registry
        changed = bool(payloads) and bool(registry.replay(self.partition, payloads))
        if changed or self.member.shard.sites < registry.table(self.partition).sites:
            self.member.enrolled(self.first_seq)
            self.member.regroup()

    def _write(self, rows: list[tuple[str, int, bytes]]) -> None:
        """The rows and what is owed in one transaction; if it fails books and policies stay owed; commands expire."""
        partition = self.partition
        policies = [("policies", partition, msgspec.msgpack.encode(made)) for made in self._policies_owed[-1:]]
        commits = [(self.group, "telemetry", partition, self._next)]
        self._log.transact([*rows, *self._owed, *policies], commits, self._claim)
        self._owed, self._policies_owed = [], []

    def _keep(self, now_us: int) -> None:
        """Books were opened: what a restart needs is kept from here on, and what it does not is forgotten."""
        self._save(now_us)
        self._trim()

    def _save(self, now_us: int) -> None:
        """Copy the partition as it stands, and every half-hour what was learned, to be written beside the ticks."""
        mark = Mark(self.partition, self._next, self._claim.epoch, self._log.end("commands", self.partition))

        def copy() -> list[tuple[Mark, Shard]]:
            return [(mark, self.member.shard.twins.copy())]

        durable = (mark,) if self.saving is None else self.saving.due(now_us, copy, self.member.outlook.dump)
        self._kept = [*self._kept, *durable][-2:]  # the log must reach back to the older of them

    def _trim(self) -> None:
        """Forget the readings before the last-but-one snapshot, and what nobody reads again of the rest."""
        needed = self._kept[0]
        followed = self._followers.needed(self._log, self.partition, self._next)
        self._log.trim("telemetry", self.partition, min(needed.offset, followed))
        for topic, kept in _KEPT.items():
            keep_newest(self._log, topic, self.partition, kept, needed.commands if topic == "commands" else None)
