"""The portfolio's shell: partitions' reports from the log, orders and the market's events back into it.

Invariants: orders and market events are durable before anybody sees them; of two owners only the newest can write; a
report of an owner that was replaced is not heard once its successor has reported. The topics `reports` are read by
partition; `orders`, `market` and `plant` are written in partition 0. Must not know sockets, clocks, nor how many
processes own the partitions.
"""

from __future__ import annotations

from collections import deque

import msgspec

from powerflock.alarms import Alarm, AlarmSettings
from powerflock.autobidder import alarm_desk
from powerflock.autobidder.alarm_desk import AlarmDesk
from powerflock.autobidder.records import INTERVAL_BEGAN, IntervalBegan, PlantRow, decoded, keep_newest, plant_row
from powerflock.autobidder.recovery import EVENTS_SHOWN
from powerflock.domain.errors import InvalidInput
from powerflock.log.port import Log
from powerflock.market.account import Settlement, newest_of
from powerflock.plant.coordinator import Coordinator, Decision
from powerflock.plant.messages import Report, decode_report, supersedes
from powerflock.plant.messages import encode as encode_message
from powerflock.plant.model import Award

GROUP = "portfolio"
_ORDERS_KEPT, _ROWS_KEPT = 10, 100_000


class PortfolioRunner:
    """The portfolio's only owner, from its claim to the next one's; not to be used by two threads at once."""

    def __init__(
        self, log: Log, name: str, coordinator: Coordinator, partitions: int,
        alarms: AlarmSettings = AlarmSettings(),  # noqa: B008 - frozen
    ) -> None:  # fmt: skip
        """Claim the portfolio as `name`, fencing any other owner."""
        self._log, self.coordinator, self._partitions = log, coordinator, partitions
        self._claim = log.claim(GROUP, name)
        self.reports: dict[int, Report] = {}
        self.rows: deque[PlantRow] = deque(maxlen=_ROWS_KEPT)
        self.refused = 0
        """Reports that could not be read: of a version that this process does not know."""
        self._next = [0] * partitions
        self._owed: list[IntervalBegan] = []
        self.alarms = AlarmDesk(alarms, partitions)
        """Its caller has it look at what the sites do."""

    def recover(self) -> None:
        """Take up the account and the interval that was open; those that were not settled yet are settled now."""
        self.alarms.recover(self._log)
        newest = self._log.newest("market", 0, EVENTS_SHOWN)
        events = [decoded(entry.payload, INTERVAL_BEGAN) for entry in newest]
        if not events:
            return
        last, length = events[-1], self.coordinator.settings.interval_us
        self.coordinator.account = last.account
        self.coordinator.resume(_award(last), last.opened_us)
        settled = newest_of(item for event in events for item in event.settled)
        self.coordinator.remember(settled)
        began, done = {event.interval: event for event in events}, {item.interval_us // length for item in settled}
        for number in range(events[0].interval, last.interval):
            if number in done:
                continue
            if number in began:
                self.coordinator.owe(number, _award(began[number]), began[number].opened_us)
            else:
                self.coordinator.owe(number, None, number * length)

    def tick(self, now_us: int) -> Decision:
        """Hear the partitions, decide, and write the order and what happened in the market."""
        for partition in range(self._partitions):
            self._hear(partition)
        opened, begins = self.coordinator.open(now_us)
        if begins:
            self._owed.append(self._event(now_us, ()))
        decided = self.coordinator.decide(opened, list(self.reports.values()), now_us)
        if decided.settled:
            self._owed.append(self._event(self.coordinator.opened_us, decided.settled))
        row = plant_row(decided.groups, decided.award, now_us)
        entries = [("orders", 0, encode_message(decided.order)), ("plant", 0, msgspec.msgpack.encode(row))]
        entries += [("market", 0, msgspec.msgpack.encode(event)) for event in self._owed]
        entries += self.alarms.entries()
        self._log.transact(entries, claim=self._claim)
        self.alarms.written()
        self._owed = []
        self.rows.append(row)
        if begins:
            for topic, kept in (("orders", _ORDERS_KEPT), ("plant", _ROWS_KEPT), (alarm_desk.TOPIC, alarm_desk.KEPT)):
                keep_newest(self._log, topic, 0, kept)
        return decided

    def acknowledge(self, alarm_id: str, who: str, now_us: int) -> Alarm:
        """`who` has seen the alarm: durable, then in the book. `NotFound` for an alarm that is not in it."""
        return self.alarms.acknowledge(self._log, self._claim, alarm_id, who, now_us)

    def _event(self, opened_us: int, settled: tuple[Settlement, ...]) -> IntervalBegan:
        """The market's state after an interval began, or after one was settled."""
        award = self.coordinator.award
        assert award is not None, "an event follows open"
        return IntervalBegan(
            interval=award.interval,
            opened_us=opened_us,
            spot_per_mwh=award.spot_per_mwh,
            bid=award.bid,
            settled=settled,
            account=self.coordinator.account,
            offsets=(),
        )

    def _hear(self, partition: int) -> None:
        """The partition's newest report; one of an earlier owner is not heard again."""
        while entries := self._log.read("reports", partition, self._next[partition]):
            self._next[partition] = entries[-1].offset + 1
            for entry in entries[-2:]:
                try:
                    report = decode_report(entry.payload)
                except InvalidInput:
                    self.refused += 1
                    continue
                if supersedes(report, self.reports.get(partition)):
                    self.reports[partition] = report


def _award(event: IntervalBegan) -> Award:
    return Award(event.interval, event.spot_per_mwh, event.bid)
