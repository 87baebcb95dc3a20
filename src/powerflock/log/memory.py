"""A log in memory, for tests, notebooks and simulations: everything but surviving the process.

Invariants: as the port's; offsets skip none. Must not know files.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Sequence

from powerflock.domain.errors import LogError
from powerflock.log.port import (
    Claim,
    Entry,
    Fenced,
    check_commit,
    check_place,
    check_read,
    check_transaction,
)


class MemoryLog:
    """The log as lists of payloads, one lock around them."""

    def __init__(self) -> None:
        """Start empty."""
        self._lock = threading.Lock()
        self._entries: defaultdict[tuple[str, int], list[bytes]] = defaultdict(list)
        self._first: Counter[tuple[str, int]] = Counter()
        self._commits: dict[tuple[str, str, int], int] = {}
        self._epochs: Counter[str] = Counter()
        self._closed = False

    def append(self, topic: str, partition: int, payload: bytes) -> int:
        """See `Log.append`."""
        return self.transact([(topic, partition, payload)])[0]

    def append_many(self, entries: Sequence[tuple[str, int, bytes]]) -> list[int]:
        """See `Log.append_many`."""
        return self.transact(entries)

    def transact(
        self,
        entries: Sequence[tuple[str, int, bytes]],
        commits: Sequence[tuple[str, str, int, int]] = (),
        claim: Claim | None = None,
    ) -> list[int]:
        """See `Log.transact`."""
        check_transaction(entries, commits, claim)
        with self._lock:
            self._check_open()
            if claim is not None and claim.epoch != self._epochs[claim.group]:
                raise Fenced(claim, self._epochs[claim.group])
            added = Counter((topic, partition) for topic, partition, _ in entries)
            for commit in commits:
                place = commit[1], commit[2]
                check_commit(commit, self._end(place) + added[place])
            offsets = []
            for topic, partition, payload in entries:
                offsets.append(self._end((topic, partition)))
                self._entries[topic, partition].append(payload)
            self._commits |= {(group, topic, partition): offset for group, topic, partition, offset in commits}
            return offsets

    def read(self, topic: str, partition: int, offset: int, limit: int = 1000) -> list[Entry]:
        """See `Log.read`."""
        check_read(topic, partition, offset, limit)
        with self._lock:
            self._check_open()
            first = self._first[topic, partition]
            offset = max(offset, first)
            payloads = self._entries.get((topic, partition), [])[offset - first : offset - first + limit]
        return [Entry(number, payload) for number, payload in enumerate(payloads, offset)]

    def newest(self, topic: str, partition: int, limit: int = 1) -> list[Entry]:
        """See `Log.newest`."""
        check_read(topic, partition, 0, limit)
        return self.read(topic, partition, max(self.end(topic, partition) - limit, 0), limit)

    def trim(self, topic: str, partition: int, before: int) -> None:
        """See `Log.trim`."""
        check_read(topic, partition, before, 1)
        place = topic, partition
        with self._lock:
            self._check_open()
            gone = min(before, self._end(place) - 1) - self._first[place]
            if gone > 0:
                del self._entries[place][:gone]
                self._first[place] += gone

    def end(self, topic: str, partition: int) -> int:
        """See `Log.end`."""
        check_place(topic, partition)
        with self._lock:
            self._check_open()
            return self._end((topic, partition))

    def committed(self, group: str, topic: str, partition: int) -> int:
        """See `Log.committed`."""
        check_place(topic, partition)
        with self._lock:
            self._check_open()
            return self._commits.get((group, topic, partition), 0)

    def claim(self, group: str, member: str) -> Claim:
        """See `Log.claim`."""
        with self._lock:
            self._check_open()
            self._epochs[group] += 1
            return Claim(group, member, self._epochs[group])

    def close(self) -> None:
        """See `Log.close`."""
        self._closed = True

    def _end(self, place: tuple[str, int]) -> int:
        return self._first[place] + len(self._entries.get(place, []))

    def _check_open(self) -> None:
        if self._closed:
            raise LogError("the memory log is closed. Open a new one.")
