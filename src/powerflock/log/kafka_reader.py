"""Reading a Kafka partition by offset, as the log's port wants it: a few consumers, each kept where it was read last.

Invariants: what is read is committed; a read ends where the partition ended when it was asked, and waits for nothing
newer. Reading on from where the last read ended costs one question to the broker. Must not know what an entry means.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from powerflock.log.kafka_errors import ask_leaders, cause, kafka_errors, log_error, too_slow
from powerflock.log.kafka_options import KafkaOptions
from powerflock.log.port import Entry

_END = KafkaError._PARTITION_EOF  # noqa: SLF001 - librdkafka's own codes begin so
_STEP_S = 0.2


class Readers:
    """At most `most` consumers, each on the place (topic on the cluster, partition) that it read last."""

    def __init__(self, options: KafkaOptions, most: int = 64) -> None:
        """No connection is made yet."""
        self._options, self._most = options, most
        self._lock = threading.Lock()
        self._readers: OrderedDict[tuple[str, int], _Reader] = OrderedDict()
        # It reads nothing, for behind a consumer's waiting fetch a question would wait too.
        self._asker = Consumer(options.reader())

    def read(self, topic: str, partition: int, between: tuple[int, int], limit: int) -> list[Entry]:
        """Up to `limit` entries from the first offset on; `between` lies within the place's `bounds`."""
        offset, end = between
        while offset < end:
            reader = self._reader(topic, partition)
            with reader.lock:
                if not reader.closed:
                    return reader.read(offset, limit, end)
        return []

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """The first offset kept and the end of what is committed."""
        place = TopicPartition(topic, partition)

        def ask(wait_s: float) -> tuple[int, int]:
            low, high = self._asker.get_watermark_offsets(place, timeout=wait_s)
            return low, high

        return ask_leaders(self._options, f"asking for the end of {topic}/{partition}", self._asker, ask)

    def close(self) -> None:
        """Leave all places."""
        with self._lock:
            while self._readers:
                self._readers.popitem()[1].close()
            self._asker.close()

    def _reader(self, topic: str, partition: int) -> _Reader:
        with self._lock:
            place = topic, partition
            if place not in self._readers:
                while len(self._readers) >= self._most:
                    self._readers.popitem(last=False)[1].close()
                self._readers[place] = _Reader(self._options, topic, partition)
            self._readers.move_to_end(place)
            return self._readers[place]


class _Reader:
    """One consumer on one place. `lock` is held by whoever calls."""

    def __init__(self, options: KafkaOptions, topic: str, partition: int) -> None:
        self.lock, self.closed = threading.Lock(), False
        self._options, self._topic, self._partition = options, topic, partition
        self._consumer = Consumer(options.reader())
        self._next = self._nothing_below = -1
        """The offset at which the consumer stands, and up to where no entry follows it (markers of transactions)."""

    def read(self, offset: int, limit: int, end: int) -> list[Entry]:
        self._stand_at(offset)
        entries: list[Entry] = []
        deadline = time.monotonic() + self._options.patience_s
        while len(entries) < limit and self._nothing_below < end:
            entries += self._some(limit - len(entries))
            if time.monotonic() > deadline and self._nothing_below < end:
                doing = f"reading {self._topic}/{self._partition} from {offset}"
                raise too_slow(self._options.servers, doing, self._options.patience_s)
        return entries

    def _stand_at(self, offset: int) -> None:
        if not self._next <= offset <= self._nothing_below:
            with kafka_errors(self._options.servers, f"reading {self._topic}/{self._partition} from {offset}"):
                self._consumer.assign([TopicPartition(self._topic, self._partition, offset)])
            self._next = self._nothing_below = offset

    def _some(self, most: int) -> list[Entry]:
        """Wait for a message, then take what else is there."""
        first = self._consumer.poll(_STEP_S)
        more = self._consumer.consume(most - 1, 0) if first is not None and most > 1 else []
        entries = []
        for message in [first, *more]:
            if message is None:
                continue
            offset, error = message.offset(), message.error()
            if error is not None and error.code() == _END:
                self._nothing_below = max(self._nothing_below, offset if offset is not None else -1)
            elif error is not None:
                self._check(error)
            elif offset is not None:
                entries.append(Entry(offset, message.value() or b""))
                self._next = self._nothing_below = offset + 1
        return entries

    def _check(self, error: KafkaError) -> None:
        """What a retry of the client's own mends is waited for, anything else is raised."""
        if not error.retriable() and error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001
            self._next = self._nothing_below = -1
            raise log_error(self._options.servers, f"reading {self._topic}/{self._partition}", error)

    def close(self) -> None:
        with self.lock:
            self.closed = True
            try:
                self._consumer.close()
            except KafkaException as error:
                raise log_error(self._options.servers, "leaving a partition", cause(error)) from error
