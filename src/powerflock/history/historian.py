"""The historian: follows the log and appends what it reads to the history, each entry once in effect.

It reads `telemetry` of every partition and `groups`, from where each table stands. A table's own record of the offsets
it covers is the truth; the offset committed in the log for group `historian` follows, once all tables have the rows,
and is what the log may be trimmed to. So a historian that is killed at any moment goes on without a row lost or
doubled. Memory is bounded by a step's rows. Must not know clocks or threads: the caller sets the pace.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa

from powerflock.domain.arrays import Records
from powerflock.domain.batches import decode
from powerflock.domain.columns import SITE_EVENT, TELEMETRY
from powerflock.history import group_series
from powerflock.history.group_series import decode_groups
from powerflock.history.names import Directory
from powerflock.history.rows import Part, reading_rows, revision_rows, usable
from powerflock.history.store import Overtaken, Table
from powerflock.history.tables import GROUPS, READINGS, REVISIONS
from powerflock.history.words import GROUP, HistoryCounts
from powerflock.log.port import Log

TELEMETRY_TOPIC, GROUPS_TOPIC = "telemetry", group_series.TOPIC
IDENTITY_TOPIC = "history"
_ENTRIES_READ = 16

Place: TypeAlias = tuple[str, int]
"""A topic and a partition of it."""


class Taken(NamedTuple):
    """One log entry, decoded: readings of a partition, or rows of groups."""

    place: Place
    offset: int
    rows: Records | pa.Table


class Historian:
    """One follower of the log. Its methods are to be called from one thread at a time."""

    def __init__(
        self,
        log: Log,
        uri: str,
        options: Mapping[str, str],
        directory: Directory,
        look: Callable[[Directory], None],
        new_identity: Callable[[], str],
        *,
        late_us: int,
        batch_rows: int,
        counts: HistoryCounts | None = None,
    ) -> None:
        """Open the tables at `uri`, fence any other historian of this log, and see where each table stands.

        Args:
            log: the log to follow.
            uri: a folder or an object store's address.
            options: deltalake's storage options.
            directory: the names of devices, brought up to date before each step.
            look: brings it up to date.
            new_identity: a text that no other log has; asked for once in a log's life.
            late_us: how old a reading may be when it comes without revising its hour.
            batch_rows: rows after which a step takes no more entries.
            counts: what to count on, over the lives of several historians.
        """
        self.counts = counts or HistoryCounts()
        self._log, self._directory, self._look = log, directory, look
        self._batch_rows = batch_rows
        self._identity = log_identity(log, new_identity)
        self._claim = log.claim(GROUP, "historian")
        partitions: list[Place] = [(TELEMETRY_TOPIC, part) for part in range(len(directory.partitions))]
        groups: list[Place] = [(GROUPS_TOPIC, 0)]
        self._sinks = [
            _Sink(Table(uri, options, READINGS), partitions, self._readings),
            _Sink(Table(uri, options, REVISIONS), partitions, lambda new: self._revisions(new, late_us)),
            _Sink(Table(uri, options, GROUPS), groups, _group_rows),
        ]
        self._places = deque([*partitions, *groups])
        self._committed: dict[Place, int] = {}
        self._reopen()

    def step(self) -> int:
        """Take what the log has, about `batch_rows` rows at most, append it and commit; returns the rows taken.

        Raises `HistoryError` or `LogError` where a store fails: the next step does again whatever was not done. Raises
        `Fenced` where another historian has taken over.
        """
        self._look(self._directory)
        taken, ends = self._take()
        if not ends:
            return 0
        try:
            for sink in self._sinks:
                sink.write(taken, ends, self._app)
        except Overtaken:
            self.counts.overtaken += 1
            self._reopen()
            raise
        commits = [(GROUP, topic, partition, end) for (topic, partition), end in ends.items()]
        self._log.transact([], commits, self._claim)
        self._committed |= ends
        if (GROUPS_TOPIC, 0) in ends:
            self._log.trim(GROUPS_TOPIC, 0, ends[GROUPS_TOPIC, 0])
        rows = sum(len(each.rows) for each in taken)
        self.counts.rows += rows
        return rows

    def behind(self) -> int:
        """Entries of the log that are not in the history yet."""
        ends = {place: self._log.end(*place) for place in self._places}
        return sum(max(end - self._committed[place], 0) for place, end in ends.items())

    def _reopen(self) -> None:
        self._committed = {place: self._log.committed(GROUP, *place) for place in self._places}
        for sink in self._sinks:
            sink.open(self._committed, self._app)

    def _app(self, place: Place) -> str:
        """The name under which a table records how much of a place it covers."""
        return f"{self._identity}/{place[0]}/{place[1]}"

    def _take(self) -> tuple[list[Taken], dict[Place, int]]:
        """Entries from the least advanced table on, a few of each place in turn, and where each place then stands.

        A step that is full leaves the next one to begin with the place whose turn it is.
        """
        taken: list[Taken] = []
        ends: dict[Place, int] = {}
        rows, empty = 0, 0
        while empty < len(self._places) and rows < self._batch_rows:
            place = self._places[0]
            self._places.rotate(-1)
            start = ends.get(place, self._start(place))
            entries = self._log.read(*place, start, _ENTRIES_READ)
            empty = 0 if entries else empty + 1
            if not entries:
                continue
            if start:  # a place never followed before begins where the log does
                self.counts.missed += entries[0].offset - start
            found = [Taken(place, entry.offset, _decoded(place, entry.payload)) for entry in entries]
            taken += [each for each in found if len(each.rows)]
            ends[place] = entries[-1].offset + 1
            rows += sum(len(each.rows) for each in found)
        return taken, ends

    def _start(self, place: Place) -> int:
        return min(sink.positions[place] for sink in self._sinks if place in sink.positions)

    def _readings(self, new: Sequence[Taken]) -> pa.Table:
        parts = _parts(new)
        good = [usable(part, self._directory) for part in parts]
        self.counts.refused += sum(part.records.size for part in parts) - sum(part.records.size for part in good)
        return reading_rows(good, self._directory)

    def _revisions(self, new: Sequence[Taken], late_us: int) -> pa.Table:
        return revision_rows([usable(part, self._directory) for part in _parts(new)], self._directory, late_us)


class _Sink:
    """One table that follows some places; `positions` are the next offsets that it does not cover."""

    def __init__(self, table: Table, places: Sequence[Place], make: Callable[[Sequence[Taken]], pa.Table]) -> None:
        self.positions: dict[Place, int] = {}
        self._table, self._places, self._make = table, places, make

    def open(self, committed: Mapping[Place, int], app: Callable[[Place], str]) -> None:
        """See where the table stands; what the log has as committed needed no row in it."""
        self._table.reopen()
        self.positions = {place: max(committed[place], self._table.covered(app(place)) or 0) for place in self._places}

    def write(self, taken: Sequence[Taken], ends: Mapping[Place, int], app: Callable[[Place], str]) -> None:
        """Append the rows of what is not covered yet, with the places they reach up to; without rows do nothing."""
        advanced = {place: end for place, end in ends.items() if end > self.positions.get(place, end)}
        new = [each for each in taken if each.place in advanced and each.offset >= self.positions[each.place]]
        rows = self._make(new)
        if rows.num_rows:
            self._table.append(rows, {app(place): end for place, end in advanced.items()})
        self.positions |= advanced


def log_identity(log: Log, new_identity: Callable[[], str]) -> str:
    """What tells this log from any other that the history may have followed: its first entry in topic `history`."""
    if not log.read(IDENTITY_TOPIC, 0, 0, 1):
        log.append(IDENTITY_TOPIC, 0, new_identity().encode())
    return log.read(IDENTITY_TOPIC, 0, 0, 1)[0].payload.decode()


def _decoded(place: Place, payload: bytes) -> Records | pa.Table:
    """An entry's readings or group rows; events of links are no history of readings, so none of those."""
    if place[0] == GROUPS_TOPIC:
        return decode_groups(payload)
    records = decode(payload, TELEMETRY, SITE_EVENT)
    return records if records.dtype == TELEMETRY else np.empty(0, TELEMETRY)


def _parts(taken: Sequence[Taken]) -> list[Part]:
    """The readings of each partition together, in the log's order."""
    ordered = sorted(taken, key=lambda each: each.place)
    return [
        Part(place[1], np.concatenate([each.rows for each in own]))
        for place, own in groupby(ordered, key=lambda each: each.place)
    ]


def _group_rows(taken: Sequence[Taken]) -> pa.Table:
    return pa.concat_tables([GROUPS.schema.empty_table(), *(each.rows for each in taken)])
