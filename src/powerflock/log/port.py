"""The log as everybody sees it: ordered batches per topic and partition, kept until trimmed, written all or nothing.

Invariants: offsets of a partition ascend, and may skip numbers; `end` lies beyond every entry that can be read; what
`append` or `transact` returned survives a crash of the process; a claim fences every older claim of its group. Must not
know what a payload means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from powerflock.domain.errors import InvalidInput, LogError


class Entry(NamedTuple):
    """One entry and its place in its partition."""

    offset: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Claim:
    """A member's right to write for its group, until a claim with a higher epoch is made."""

    group: str
    member: str
    epoch: int


class Fenced(LogError):  # noqa: N818 - reads as a sentence where it is raised and caught
    """The claim is older than the newest of its group: another member has taken over; nothing was written."""

    code = "fenced"

    def __init__(self, claim: Claim, epoch: int) -> None:
        """Name the stale `claim` and the newest `epoch`; where they are equal the log itself has given the claim up."""
        why = "Another member has taken over"
        if claim.epoch == epoch:
            why = "It was made elsewhere, or given up after a long pause in the middle of a transaction"
        super().__init__(
            f"claim of {claim.member!r} on {claim.group!r} has epoch {claim.epoch}; the newest is {epoch}. "
            f"{why}: stop, or claim again."
        )


class Log(Protocol):
    """What every backend does. Each method may be called from any thread.

    Raises `InvalidInput` for a value that no log accepts and `LogError` where the infrastructure fails.
    """

    def append(self, topic: str, partition: int, payload: bytes) -> int:
        """Write one entry and return its offset; it is durable when this returns."""

    def append_many(self, entries: Sequence[tuple[str, int, bytes]]) -> list[int]:
        """Write `entries` (topic, partition, payload), each by itself, and return their offsets; all are then durable.

        The fastest way for writers who may repeat themselves: after a `LogError` any of the entries may be there.
        """

    def transact(
        self,
        entries: Sequence[tuple[str, int, bytes]],
        commits: Sequence[tuple[str, str, int, int]] = (),
        claim: Claim | None = None,
    ) -> list[int]:
        """Write all `entries` (topic, partition, payload) and `commits` (group, topic, partition, next), or nothing.

        Returns the offset of each entry. A stale `claim` raises `Fenced`, and so may one that another process made. A
        commit must not lie beyond the end that its partition has after the entries.
        """

    def read(self, topic: str, partition: int, offset: int, limit: int = 1000) -> list[Entry]:
        """Up to `limit` entries from `offset` on, ascending; none beyond the end or of a topic nobody wrote."""

    def newest(self, topic: str, partition: int, limit: int = 1) -> list[Entry]:
        """The last `limit` entries, ascending; fewer where there are fewer."""

    def trim(self, topic: str, partition: int, before: int) -> None:
        """Forget entries below offset `before`; the newest entry is always kept. Reading then starts later."""

    def end(self, topic: str, partition: int) -> int:
        """An offset above every entry's: the next entry has this one or a higher one. 0 where nothing was written."""

    def committed(self, group: str, topic: str, partition: int) -> int:
        """The last `next` offset committed by `group`; 0 if none."""

    def claim(self, group: str, member: str) -> Claim:
        """A new claim for `member`, durable, fencing every older one of `group`."""

    def close(self) -> None:
        """Release the backend; closing twice is harmless, and any other later call raises `LogError`."""


def check_place(topic: str, partition: int) -> None:
    """Raise `InvalidInput` unless `topic` has a name and `partition` is 0 or more."""
    if not topic:
        raise InvalidInput("topic", topic, "must not be empty")
    if partition < 0:
        raise InvalidInput(f"partition of topic {topic}", partition, "must be 0 or more")


def check_read(topic: str, partition: int, offset: int, limit: int) -> None:
    """Raise `InvalidInput` unless the place exists in principle, `offset` is 0 or more and `limit` 1 or more."""
    check_place(topic, partition)
    if offset < 0:
        raise InvalidInput(f"offset in {topic}/{partition}", offset, "must be 0 or more", "The first entry is 0.")
    if limit < 1:
        raise InvalidInput(f"limit for {topic}/{partition}", limit, "must be 1 or more")


def check_transaction(
    entries: Sequence[tuple[str, int, bytes]], commits: Sequence[tuple[str, str, int, int]], claim: Claim | None
) -> None:
    """Raise `InvalidInput` for a malformed entry or commit, or a commit for another group than the claim's."""
    for topic, partition, payload in entries:
        check_place(topic, partition)
        if not isinstance(payload, bytes):
            raise InvalidInput(f"payload for {topic}/{partition}", type(payload).__name__, "must be bytes")
    for group, topic, partition, offset in commits:
        check_place(topic, partition)
        if offset < 0:
            raise InvalidInput(f"commit of {group} in {topic}/{partition}", offset, "must be 0 or more")
        if claim is not None and group != claim.group:
            raise InvalidInput("group of a commit", group, f"must be the claim's, {claim.group!r}")


def check_commit(commit: tuple[str, str, int, int], end: int) -> None:
    """Raise `InvalidInput` if `commit` lies beyond `end`, its partition's next offset."""
    group, topic, partition, offset = commit
    if offset > end:
        raise InvalidInput(f"commit of {group} in {topic}/{partition}", offset, f"must not exceed the end, {end}")
