"""The whole plant as its topics tell it, for a process that owns nothing of it: what a page or an alarm needs.

Invariants: all is read, nothing written; a partition's newest report and sites are all there is of it, and a partition
whose report is old stays in the totals, out of reach; what a newer version wrote is counted in `refused` and passed
over. Not to be used by two threads at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import TypeVar

import numpy as np

from powerflock.autobidder.enrolment import follow
from powerflock.autobidder.records import INTERVAL_BEGAN, PLANT_ROW, IntervalBegan, PlantRow, decoded
from powerflock.autobidder.recovery import EVENTS_SHOWN
from powerflock.compose.roles.orders import NewestOrder
from powerflock.dispatch.allocate import Clearing
from powerflock.domain.arrays import F64, I64, Records
from powerflock.domain.enrolment import TOPIC as REGISTRY
from powerflock.domain.errors import InvalidInput, LogError
from powerflock.domain.registry import Registry
from powerflock.groups.failures import Pairs
from powerflock.groups.firm import firm_capacity
from powerflock.groups.hierarchy import Hierarchy, Level
from powerflock.groups.roll import Union
from powerflock.groups.sums import GroupTable
from powerflock.log.follower import Follower
from powerflock.log.port import Log
from powerflock.market.account import Account, Settlement, newest_of
from powerflock.plant.coordinator import aged
from powerflock.plant.messages import Report, decode_report, supersedes
from powerflock.plant.model import Award, RingSettings, Turn
from powerflock.plant.seen import Seen, columns_of
from powerflock.plant.seen import decode as decode_seen
from powerflock.twins.columns import Shard
from powerflock.twins.commanded import commanded
from powerflock.twins.estimate import SiteColumns

Key = TypeVar("Key")
T = TypeVar("T")
_ROWS_KEPT = 100_000


class Followed:
    """The topics' newest, as of the last `follow`."""

    def __init__(self, log: Log, partitions: int, settings: RingSettings) -> None:
        """Nothing read yet."""
        self._log, self.settings = log, settings
        self.registry = Registry.empty(partitions)
        self.hierarchy = Hierarchy.of([self.registry.table(part) for part in range(partitions)])
        self.orders = NewestOrder(log)
        self.refused = 0
        """Entries that could not be read."""
        self.reports: dict[int, Report] = {}
        self.account = Account()
        self.rows: deque[PlantRow] = deque(maxlen=_ROWS_KEPT)
        self.awards: list[IntervalBegan] = []
        self.settled: list[Settlement] = []
        self.sites: list[tuple[SiteColumns, Shard]] = []
        self._enrolments = Follower(log, REGISTRY, [0] * partitions)
        self._events, self._plant = (Follower(log, topic, [0]) for topic in ("market", "plant"))
        self._seen: dict[int, Seen] = {}
        self._seen_at, self._reported_at = [0] * partitions, [0] * partitions
        self._union = Union()

    @property
    def partitions(self) -> range:
        """All of them."""
        return range(self.registry.partitions)

    @property
    def recovering(self) -> list[int]:
        """Partitions with sites of which no owner has reported yet, or not for long."""
        now_us = self.orders.newest.now_us if self.orders.newest is not None else 0
        life_us = self.settings.report_life_us
        return [
            part
            for part in self.partitions
            if self.registry.table(part).sites
            and (part not in self.reports or now_us - self.reports[part].now_us > life_us)
        ]

    def follow(self) -> None:
        """Read everything that is new."""
        self.follow_sites()
        self.orders.follow()
        for part in self.partitions:
            for report in self._readable(self._newest("reports", part, self._reported_at), decode_report):
                if supersedes(report, self.reports.get(part)):
                    self.reports[part] = report
        for event in self._readable(self._events.new(0), lambda payload: decoded(payload, INTERVAL_BEGAN)):
            self._take(event)
        self.rows.extend(self._readable(self._plant.new(0), lambda payload: decoded(payload, PLANT_ROW)))

    def follow_sites(self) -> None:
        """Who is enrolled, and what the sites do: `sites` by partition."""
        changed = bool(list(follow(self.registry, self._enrolments)))
        if changed:
            self.hierarchy = self.hierarchy.grow([self.registry.table(part) for part in self.partitions])
        for part in self.partitions:
            for found in self._readable(self._newest("views", part, self._seen_at), decode_seen):
                if supersedes(found, self._seen.get(part)):
                    self._seen[part], changed = found, True
        if changed or not self.sites:
            tables = [self.registry.table(part) for part in self.partitions]
            self.sites = [columns_of(self._seen.get(part), table) for part, table in enumerate(tables)]

    def turn(self) -> Turn | None:
        """The plant at the newest order; None before there is one, or a report."""
        order = self.orders.newest
        if order is None or not self.reports or not self.awards:
            return None
        last, patience_us = self.awards[-1], self.settings.estimate.report_period_us
        cleared = order.price_per_kwh
        groups = self._groups(order.now_us)
        return Turn(
            now_us=order.now_us,
            interval=order.interval,
            groups=groups,
            firm=firm_capacity(self.hierarchy.failures.pairs, groups),
            columns=tuple(columns for columns, _ in self.sites),
            commanded=tuple(commanded(shard, order.now_us, patience_us) for _, shard in self.sites),
            commands=(),
            award=Award(last.interval, last.spot_per_mwh, last.bid),
            bid=None,
            clearing=None if cleared is None else self._clearing(cleared, order.feeder_price_per_kwh),
            target_kw=None,
            policies=(),
            began=None,
            settled=(),
        )

    def records(self) -> list[Records]:
        """Every partition's `SITE` records."""
        return [shard.sites for _, shard in self.sites]

    def _clearing(self, price_per_kwh: float, feeders: Mapping[str, float]) -> Clearing:
        """The prices, by the hierarchy's feeders; their powers were not told."""
        names = [self.hierarchy.names[group] for group in np.flatnonzero(self.hierarchy.level == Level.FEEDER)]
        prices = np.array([feeders.get(name, price_per_kwh) for name in names], np.float64)
        return Clearing(price_per_kwh, prices, np.full(prices.size, np.nan), 0.0)

    def _groups(self, now_us: int) -> GroupTable:
        """All partitions' sums, by the groups of `hierarchy`."""
        reports = [aged(report, now_us, self.settings.report_life_us) for report in self.reports.values()]
        rows = [self._union.rows(report.roll) for report in reports]
        total = self._union.add([(own, report.groups) for own, report in zip(rows, reports, strict=True)])
        groups = _places(self.hierarchy.names, self._union.id_of)
        pairs, own = self._union.pairs, self.hierarchy.failures.pairs
        names = {(self._union.names[group], pairs.names[cls]): row for row, (group, cls) in enumerate(_ids(pairs))}
        keys = [(self.hierarchy.names[group], own.names[cls]) for group, cls in _ids(own)]
        places = _places(keys, names)
        return GroupTable(
            **{
                item.name: _gathered(getattr(total, item.name), places if item.name.startswith("class_") else groups)
                for item in fields(GroupTable)
            }
        )

    def _take(self, event: IntervalBegan) -> None:
        """A market event; of an interval's two the later one has the same award, and what was settled."""
        self.account = event.account
        self.settled = newest_of([*self.settled, *event.settled])[-EVENTS_SHOWN:]
        before = self.awards[:-1] if self.awards and self.awards[-1].interval == event.interval else self.awards
        self.awards = [*before, event][-EVENTS_SHOWN:]

    def _readable(self, payloads: Sequence[bytes], read: Callable[[bytes], T]) -> list[T]:
        """What `read` makes of those that it understands."""
        found = []
        for payload in payloads:
            try:
                found.append(read(payload))
            except (InvalidInput, LogError):
                self.refused += 1
        return found

    def _newest(self, topic: str, partition: int, at: list[int]) -> list[bytes]:
        """The newest entry of the topic, if it was not read before."""
        entries = [entry for entry in self._log.newest(topic, partition) if entry.offset >= at[partition]]
        for entry in entries:
            at[partition] = entry.offset + 1
        return [entry.payload for entry in entries]


def _ids(pairs: Pairs) -> list[tuple[int, int]]:
    return list(zip(pairs.group.tolist(), pairs.cls.tolist(), strict=True))


def _places(keys: Sequence[Key], places: Mapping[Key, int]) -> I64:
    """Where each key's value is; -1 where there is none."""
    return np.array([places.get(key, -1) for key in keys], np.int64)


def _gathered(values: F64, places: I64) -> F64:
    """The values at these places; 0 at -1."""
    return np.append(values, 0.0)[places]
