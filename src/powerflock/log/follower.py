"""A topic read on from a place: each entry once, in order. Must not know what a payload means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from powerflock.log.port import Entry, Log


def entries(log: Log, topic: str, partition: int, offset: int, until: int | None = None) -> Iterator[Entry]:
    """The entries from `offset` on, to the end or, where it is given, before `until`; read page by page as taken."""
    while until is None or offset < until:
        page = log.read(topic, partition, offset)
        if not page:
            return
        yield from (entry for entry in page if until is None or entry.offset < until)
        offset = page[-1].offset + 1


class Follower:
    """One reader's place in each partition of a topic."""

    def __init__(self, log: Log, topic: str, offsets: Sequence[int]) -> None:
        """`offsets[partition]` is the next entry to read."""
        self._log, self._topic, self.offsets = log, topic, list(offsets)

    def new(self, partition: int) -> list[bytes]:
        """The payloads that are new in the partition."""
        found = list(entries(self._log, self._topic, partition, self.offsets[partition]))
        if found:
            self.offsets[partition] = found[-1].offset + 1
        return [entry.payload for entry in found]
