"""The plant's book of alarms beside its ring: each turn is looked at, and what changed goes into the log with it.

Topic `alarms`, partition 0: an `AlarmsChanged` whenever an alarm is raised, cleared or acknowledged, with the whole
book after it, so that the newest entry is all that a restart needs. Invariants: `book` is what the log has; a change
that the log could not take stays owed, and nobody sees it. Must not know who is told.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from powerflock.alarms import Alarm, AlarmBook, AlarmSettings, AlarmState, acknowledge, watch
from powerflock.domain.arrays import Records
from powerflock.log.port import Claim, Log
from powerflock.twins.estimate import SiteColumns

TOPIC = "alarms"
KEPT = 1000
"""How many changes the log keeps."""


class AlarmsChanged(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What changed in the book at `time_us`, and all alarms in it afterwards."""

    time_us: int
    raised: tuple[Alarm, ...]
    cleared: tuple[Alarm, ...]
    acknowledged: tuple[Alarm, ...]
    book: tuple[Alarm, ...]


_CHANGED = msgspec.msgpack.Decoder(AlarmsChanged)


class AlarmDesk:
    """State of the alarms of one owner; its caller holds the lock."""

    def __init__(self, settings: AlarmSettings, partitions: int) -> None:
        """An empty book."""
        self._settings, self._partitions = settings, partitions
        self._state = AlarmState.empty(partitions)
        self._owed: list[AlarmsChanged] = []
        self.book = AlarmBook()

    def recover(self, log: Log) -> None:
        """Open the book that the log has."""
        self.book = newest_book(log)
        self._state = AlarmState.empty(self._partitions, self.book)

    def look(self, columns: Sequence[SiteColumns], sites: Sequence[Records], now_us: int) -> None:
        """Take in what every partition's sites did (with their `SITE` records); what changed is owed to the log."""
        change = watch(self._state, columns, sites, now_us, self._settings)
        if change.raised or change.cleared:
            book = tuple(change.book.by_id.values())
            self._owed.append(AlarmsChanged(now_us, change.raised, change.cleared, (), book))

    def entries(self) -> list[tuple[str, int, bytes]]:
        """What is owed to the log, oldest first."""
        return [(TOPIC, 0, msgspec.msgpack.encode(change)) for change in self._owed]

    def written(self) -> None:
        """All `entries` are in the log: the book may be seen."""
        self._owed = []
        self.book = self._state.book

    def acknowledge(self, log: Log, claim: Claim, alarm_id: str, who: str, now_us: int) -> Alarm:
        """`who` has seen the alarm: durable, with all that is owed, then in the book. `NotFound` if it is not in it."""
        change = self._acknowledged(alarm_id, who, now_us)
        log.transact([*self.entries(), (TOPIC, 0, msgspec.msgpack.encode(change))], claim=claim)
        self._state.book = AlarmBook({alarm.id: alarm for alarm in change.book})
        self.written()
        return change.acknowledged[0]

    def _acknowledged(self, alarm_id: str, who: str, now_us: int) -> AlarmsChanged:
        book = acknowledge(self._state.book, alarm_id, who, now_us)
        alarm = book.by_id.get(alarm_id) or msgspec.structs.replace(
            self._state.book.by_id[alarm_id], acknowledged_us=now_us, acknowledged_by=who
        )
        return AlarmsChanged(now_us, (), (), (alarm,), tuple(book.by_id.values()))


def newest_book(log: Log) -> AlarmBook:
    """The book as the log has it; empty where nothing was ever wrong."""
    for entry in log.newest(TOPIC, 0):
        newest = _CHANGED.decode(entry.payload)
        return AlarmBook({alarm.id: alarm for alarm in newest.book})
    return AlarmBook()
