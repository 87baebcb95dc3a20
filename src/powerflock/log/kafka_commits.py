"""How far each group has come: records in a compacted topic of the log's own, written like any other entry.

Not Kafka's group offsets: the client's call that commits those within a transaction waits for ever when the group's
broker dies at the wrong moment (docs/decisions/0009). Invariants: a commit is in force with the transaction that wrote
it; the newest record of a key holds. Must not know transactions.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable

import msgspec

from powerflock.log.port import Entry

COMMITS = "commits"
PARTITIONS = 16
"""Groups are spread over so many, so that one that pauses in its transaction hides no other's commits."""
_COMMIT = msgspec.json.Decoder(tuple[str, str, int, int])


def place_of(group: str) -> int:
    """The partition of a group's commits."""
    return zlib.crc32(group.encode()) % PARTITIONS


def record(commit: tuple[str, str, int, int]) -> tuple[bytes, bytes]:
    """Key and payload of a `commit` (group, topic, partition, next)."""
    return msgspec.json.encode(commit[:3]), msgspec.json.encode(commit)


class Commits:
    """What the topic said so far, read on at each question."""

    def __init__(self, read: Callable[[str, int, int], list[Entry]]) -> None:
        """`read` a topic, partition and offset of the log."""
        self._read = read
        self._lock = threading.Lock()
        self._next = [0] * PARTITIONS
        self._known: dict[tuple[str, str, int], int] = {}

    def committed(self, group: str, topic: str, partition: int) -> int:
        """See `Log.committed`."""
        own = place_of(group)
        with self._lock:
            while entries := self._read(COMMITS, own, self._next[own]):
                for entry in entries:
                    whose, what, where, offset = _COMMIT.decode(entry.payload)
                    self._known[whose, what, where] = offset
                self._next[own] = entries[-1].offset + 1
            return self._known.get((group, topic, partition), 0)
