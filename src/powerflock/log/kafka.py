"""The cluster's log: Kafka topics, written durably to all replicas in sync, read as committed.

Invariants: as the port's. A claim is a transactional producer named after its group, so the brokers themselves refuse
every older one; its epoch is the place of its record in the topic `claims`, and so only grows. Offsets have gaps where
transactions ended. Must not know what a payload means.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Sequence

import msgspec
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from powerflock.domain.errors import InvalidInput, LogError
from powerflock.log.kafka_commits import COMMITS, Commits, place_of, record
from powerflock.log.kafka_errors import ask_leaders, cause, kafka_errors, log_error
from powerflock.log.kafka_options import KafkaOptions
from powerflock.log.kafka_producers import LostProducer, Owner, PlainProducer, Sending
from powerflock.log.kafka_reader import Readers
from powerflock.log.kafka_topics import CLAIMS, OWN, Topics
from powerflock.log.port import (
    Claim,
    Entry,
    Fenced,
    check_commit,
    check_place,
    check_read,
    check_transaction,
)

_SEEN_S, _STEP_S = 5.0, 0.002


class _ClaimRecord(msgspec.Struct, frozen=True):
    group: str
    member: str


_CLAIM = msgspec.json.Decoder(_ClaimRecord)


class KafkaLog:
    """The log on the cluster that `options` name; its topics are made where they are missing.

    Raises `LogError` where the brokers cannot be reached or, in production, are not safe.
    """

    def __init__(self, options: KafkaOptions) -> None:
        """Connect, make the topics, and in production judge them."""
        self._options = options
        with kafka_errors(options.servers, "opening it"):
            self._admin = AdminClient(options.client())
            self._plain = PlainProducer(options)
        self._topics = Topics(options, self._admin)
        self._readers = Readers(options)
        self._commits = Commits(self.read)
        self._lock = threading.Lock()
        self._claims: dict[str, tuple[Claim, Owner]] = {}
        self._anybody: Owner | None = None
        self._newest: dict[tuple[str, int], int] = {}
        self._closed = False
        try:
            self._topics.prepare()
        except BaseException:
            self.close()
            raise

    def append(self, topic: str, partition: int, payload: bytes) -> int:
        """See `Log.append`."""
        return self.append_many([(topic, partition, payload)])[0]

    def append_many(self, entries: Sequence[tuple[str, int, bytes]]) -> list[int]:
        """See `Log.append_many`."""
        check_transaction(entries, (), None)
        self._check_open()
        offsets = self._plain.write(self._messages(entries)) if entries else []
        self._seen(entries, offsets)
        return offsets

    def transact(
        self,
        entries: Sequence[tuple[str, int, bytes]],
        commits: Sequence[tuple[str, str, int, int]] = (),
        claim: Claim | None = None,
    ) -> list[int]:
        """See `Log.transact`."""
        check_transaction(entries, commits, claim)
        self._check_open()
        owner = self._owner(claim)
        messages = self._messages(entries)
        for commit in commits:
            self._check_commit(commit, sum(entry[:2] == commit[1:3] for entry in entries))
        messages += [(self._options.named(COMMITS), place_of(each[0]), *record(each)) for each in commits]
        if not messages:
            return []
        doing = f"a transaction of {len(entries)} entries and {len(commits)} commits"
        try:
            offsets = owner.write(messages)
        except KafkaException as error:
            raise log_error(self._options.servers, doing, cause(error)) from error
        except LostProducer as error:
            raise self._given_up(claim, doing) from error
        written = [*entries, *((COMMITS, place_of(each[0]), b"") for each in commits)]
        self._seen(written, offsets)
        return offsets[: len(entries)]

    def read(self, topic: str, partition: int, offset: int, limit: int = 1000) -> list[Entry]:
        """See `Log.read`."""
        check_read(topic, partition, offset, limit)
        self._check_open()
        if not self._topics.exists(topic, partition):
            return []
        low, end = self._bounds(topic, partition)
        entries = self._readers.read(self._options.named(topic), partition, (max(offset, low), end), limit)
        if entries:
            self._seen([(topic, partition, b"")], [entries[-1].offset])
        return entries

    def newest(self, topic: str, partition: int, limit: int = 1) -> list[Entry]:
        """See `Log.newest`."""
        check_read(topic, partition, 0, limit)
        self._check_open()
        if not self._topics.exists(topic, partition):
            return []
        full, reach = self._options.named(topic), 2 * limit + 2
        while True:
            low, end = self._bounds(topic, partition)
            start = max(end - reach, low)
            entries = self._readers.read(full, partition, (start, end), reach)
            if len(entries) >= limit or start == low:
                return entries[-limit:]
            reach *= 8

    def trim(self, topic: str, partition: int, before: int) -> None:
        """See `Log.trim`."""
        check_read(topic, partition, before, 1)
        self._check_open()
        if not self._topics.exists(topic, partition):
            return
        if before > self._newest.get((topic, partition), -1):
            newest = self.newest(topic, partition)
            before = min(before, newest[0].offset if newest else 0)
        place = TopicPartition(self._options.named(topic), partition, before)
        if before <= self._bounds(topic, partition)[0]:
            return

        def delete(wait_s: float) -> None:
            self._admin.delete_records([place], request_timeout=wait_s, operation_timeout=wait_s)[place].result()

        ask_leaders(self._options, f"trimming {topic}/{partition} before {before}", self._admin, delete)

    def end(self, topic: str, partition: int) -> int:
        """See `Log.end`."""
        check_place(topic, partition)
        self._check_open()
        if not self._topics.exists(topic, partition):
            return 0
        return self._bounds(topic, partition)[1]

    def committed(self, group: str, topic: str, partition: int) -> int:
        """See `Log.committed`."""
        check_place(topic, partition)
        self._check_open()
        return self._commits.committed(group, topic, partition)

    def claim(self, group: str, member: str) -> Claim:
        """See `Log.claim`."""
        self._check_open()
        record = msgspec.json.encode(_ClaimRecord(group, member))
        place = self._options.named(CLAIMS), 0
        with self._lock, kafka_errors(self._options.servers, f"claiming {group}"):
            owner = Owner(self._options, group)
            try:
                (offset,) = owner.write([(*place, group.encode(), record)])
            except LostProducer as error:
                raise LogError(f"{member} claimed {group!r}, and so did another at once: claim again.") from error
            claim = Claim(group, member, offset + 1)
            self._claims[group] = claim, owner
        return claim

    def close(self) -> None:
        """See `Log.close`."""
        if not self._closed:
            self._closed = True
            self._plain.close()
            self._readers.close()

    def _check_open(self) -> None:
        if self._closed:
            raise LogError(f"the log kafka://{self._options.servers} is closed. Open a new one.")

    def _messages(self, entries: Sequence[tuple[str, int, bytes]]) -> list[Sending]:
        for topic, partition in {entry[:2] for entry in entries}:
            if topic in OWN:
                raise InvalidInput("topic", topic, "must not be the log's own")
            self._topics.ensure(topic, partition)
        return [(self._options.named(topic), partition, None, payload) for topic, partition, payload in entries]

    def _seen(self, entries: Sequence[tuple[str, int, bytes]], offsets: Sequence[int]) -> None:
        """Remember that these exist: a trim or a commit up to there needs no question to the brokers."""
        for (topic, partition, _), offset in zip(entries, offsets, strict=True):
            self._newest[topic, partition] = max(offset, self._newest.get((topic, partition), -1))

    def _bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """First offset kept and end of what is committed, what this process wrote or saw included.

        Kafka answers a commit some milliseconds before readers see it: we wait for that. An open transaction of others
        may hold it up for longer: then readers see less, and later all.
        """
        deadline = time.monotonic() + _SEEN_S
        while True:
            low, end = self._readers.bounds(self._options.named(topic), partition)
            if end > self._newest.get((topic, partition), -1) or time.monotonic() > deadline:
                return low, end
            time.sleep(_STEP_S)

    def _check_commit(self, commit: tuple[str, str, int, int], added: int) -> None:
        _, topic, partition, offset = commit
        if offset > self._newest.get((topic, partition), -1) + 1:
            check_commit(commit, self.end(topic, partition) + added)

    def _owner(self, claim: Claim | None) -> Owner:
        """Who writes for `claim`; without one, a producer of this log's own."""
        with self._lock:
            if claim is None:
                if self._anybody is None:
                    with kafka_errors(self._options.servers, "beginning transactions"):
                        self._anybody = Owner(self._options, f"anybody-{uuid.uuid4().hex}")
                return self._anybody
            held, owner = self._claims.get(claim.group, (None, None))
        if owner is None or held != claim:
            raise Fenced(claim, self._epoch(claim.group))
        return owner

    def _given_up(self, claim: Claim | None, doing: str) -> LogError:
        """What to raise when a producer may write no more; without a claim another takes its place."""
        if claim is not None:
            return Fenced(claim, self._epoch(claim.group))
        with self._lock:
            self._anybody = None
        return LogError(f"log kafka://{self._options.servers}: {doing}: the brokers gave it up. Try it again.")

    def _epoch(self, group: str) -> int:
        """The newest claim of `group`; 0 if there is none."""
        epoch, offset = 0, 0
        while entries := self.read(CLAIMS, 0, offset):
            records = [(entry.offset, _CLAIM.decode(entry.payload)) for entry in entries]
            epoch = max((place + 1 for place, record in records if record.group == group), default=epoch)
            offset = entries[-1].offset + 1
        return epoch
