"""Writing to Kafka: one idempotent producer for all that stands alone, one transactional producer for each owner.

Invariants: an offset is returned only after all replicas in sync have the entry; a transaction is whole or absent; a
producer whose fate is unknown is given up, never used again. Must not know what an entry means.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from powerflock.log.kafka_errors import cause, is_fenced, log_error, too_slow
from powerflock.log.kafka_options import KafkaOptions

Sending = tuple[str, int, bytes | None, bytes]
"""Topic on the cluster, partition, key and payload."""
_logger = logging.getLogger(__name__)
_STEP_S = 0.05
_SERVE_S = 0.1


class LostProducer(Exception):  # noqa: N818 - reads as a sentence where it is raised and caught
    """Another producer of the same identity has begun, or the brokers gave this one's transaction up."""


class Deliveries:
    """What becomes of some messages: their offsets, or the first error."""

    def __init__(self, count: int) -> None:
        """Nothing is delivered yet."""
        self.offsets = [-1] * count
        self.error: KafkaError | None = None
        self.done = threading.Event()
        self._left = count

    def report(self, position: int) -> Callable[[KafkaError | None, Message], None]:
        """The callback of the message at `position`. They come one at a time: the client serves them under a lock."""

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self.error = self.error or error
            else:
                self.offsets[position] = message.offset() or 0
            self._left -= 1
            if not self._left:
                self.done.set()

        return delivered

    def send(self, producer: Producer, messages: Sequence[Sending], deadline: float) -> None:
        """Hand all to the client; a full queue is waited for."""
        for position, (topic, partition, key, payload) in enumerate(messages):
            report = self.report(position)
            while True:
                try:
                    producer.produce(topic, payload, key, partition=partition, on_delivery=report)
                    break
                except BufferError as error:
                    if time.monotonic() > deadline:
                        raise KafkaException(KafkaError(KafkaError._QUEUE_FULL)) from error  # noqa: SLF001
                    producer.poll(_STEP_S)


class PlainProducer:
    """Many threads' entries, each by itself, in the order in which each thread sends its own."""

    def __init__(self, options: KafkaOptions) -> None:
        """Begin to serve deliveries on a thread of its own."""
        self._options = options
        self._lock = threading.Lock()
        self._producer = Producer(options.producer())
        self._closing = threading.Event()
        self._server = threading.Thread(target=self._serve, name="kafka-deliveries", daemon=True)
        self._server.start()

    def write(self, messages: Sequence[Sending]) -> list[int]:
        """The offsets of `messages`, all acknowledged; raises `LogError`, and then any of them may be there."""
        doing, patience_s = f"writing to {messages[0][0]}/{messages[0][1]}", self._options.patience_s
        sent = Deliveries(len(messages))
        producer = self._producer
        try:
            sent.send(producer, messages, time.monotonic() + patience_s)
        except KafkaException as error:
            raise log_error(self._options.servers, doing, cause(error)) from error
        if not sent.done.wait(2 * patience_s):
            raise too_slow(self._options.servers, doing, 2 * patience_s)
        if sent.error is not None:
            if sent.error.fatal():
                self._renew(producer)
            raise log_error(self._options.servers, doing, sent.error)
        return sent.offsets

    def close(self) -> None:
        """Send what is under way and end."""
        self._closing.set()
        self._server.join()
        self._producer.flush(self._options.patience_s)

    def _serve(self) -> None:
        while not self._closing.is_set():
            self._producer.poll(_SERVE_S)

    def _renew(self, failed: Producer) -> None:
        """After a fatal error a producer writes nothing more; another begins in its place."""
        with self._lock:
            if self._producer is failed:
                self._producer = Producer(self._options.producer())


class Owner:
    """The transactional producer of one identity: to make it is to fence every older one."""

    def __init__(self, options: KafkaOptions, identity: str) -> None:
        """Raises `KafkaException` where the brokers do not answer."""
        self._options = options
        self._lock = threading.Lock()
        self._producer = Producer(options.transactional(identity), logger=_logger)
        self._open = False
        self._lost = False
        self._patiently(lambda: self._producer.init_transactions(options.patience_s))

    def write(self, messages: Sequence[Sending]) -> list[int]:
        """Write all `messages` and return their offsets, or nothing.

        Raises `LostProducer` where this producer may write no more, and `KafkaException` for any other failure, after
        which nothing was written.
        """
        with self._lock:
            if self._lost:
                raise LostProducer
            try:
                self._abort()
                self._open = True
                self._producer.begin_transaction()
                sent = self._send(messages)
                self._patiently(lambda: self._producer.commit_transaction(self._options.patience_s))
            except KafkaException as error:
                if self._is_lost(error):
                    raise LostProducer from error
                self._try_to_abort()
                raise
            self._open = False
            return sent.offsets

    def _send(self, messages: Sequence[Sending]) -> Deliveries:
        sent = Deliveries(len(messages))
        deadline = time.monotonic() + self._options.patience_s
        sent.send(self._producer, messages, deadline)
        while messages and not sent.done.is_set():
            self._producer.poll(_STEP_S)
            if time.monotonic() > deadline + _SERVE_S:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001
        if sent.error is not None:
            raise KafkaException(sent.error)
        return sent

    def _patiently(self, call: Callable[[], None]) -> None:
        """Call again what may be; with no answer in the end a transaction's fate is unknown, the producer lost."""
        deadline = time.monotonic() + 2 * self._options.transaction_s
        while True:
            try:
                return call()
            except KafkaException as error:
                if not cause(error).retriable():
                    raise
                if time.monotonic() > deadline:
                    self._lost = self._open
                    raise
                time.sleep(_STEP_S)

    def _abort(self) -> None:
        """Forget what an earlier call left open."""
        if self._open:
            self._producer.abort_transaction(self._options.patience_s)
            self._open = False

    def _try_to_abort(self) -> None:
        """As `_abort`; while the brokers do not answer, the next call does it."""
        try:
            self._abort()
        except KafkaException as error:
            self._is_lost(error)

    def _is_lost(self, error: KafkaException) -> bool:
        """Whether this producer may write no more, now that it got `error`."""
        self._lost = self._lost or is_fenced(cause(error))
        return self._lost
