"""A topic read on from where it was: each entry once, in order. Must not know what a payload means."""

from __future__ import annotations

from collections.abc import Sequence

from powerflock.log.port import Log


class Follower:
    """One reader's place in each partition of a topic."""

    def __init__(self, log: Log, topic: str, offsets: Sequence[int]) -> None:
        """`offsets[partition]` is the next entry to read."""
        self._log, self._topic, self.offsets = log, topic, list(offsets)

    def new(self, partition: int) -> list[bytes]:
        """The payloads that are new in the partition."""
        found: list[bytes] = []
        while entries := self._log.read(self._topic, partition, self.offsets[partition]):
            found += [entry.payload for entry in entries]
            self.offsets[partition] = entries[-1].offset + 1
        return found
