"""Kafka's consumer groups as our membership: cooperative, with names that survive a restart.

Invariants: the consumer only keeps its place in the group and fetches nothing, for owners read through the log. One
that leaves in order gives its partitions to others at once. Of one that dies they wait for the session: it keeps them
if it comes back under its name before that is over.
The brokers end a member whose name another has taken, be it only an earlier attempt of its own from before a cut: it
joins again, unless that happens twice in a short time. A member's client id is its address. Must not know what owners
do.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from powerflock.domain.errors import LogError
from powerflock.log.kafka_errors import ask_leaders, cause, kafka_errors
from powerflock.log.kafka_options import KafkaOptions
from powerflock.log.kafka_topics import Topics
from powerflock.log.membership import Changes, Member

_POLL_S = 0.2
_SOON_SESSIONS = 5.0
_LEAVE_POLL_S, _LEAVE_POLLS = 0.02, 150
_log = logging.getLogger("powerflock")


class KafkaGroups:
    """Consumer groups on the cluster that `options` name."""

    def __init__(self, options: KafkaOptions) -> None:
        """Connects at the first question."""
        self._options = options
        self._admin = AdminClient(options.client())
        self._topics = Topics(options, self._admin)

    def join(self, group: str, topic: str, name: str, address: str, changes: Changes) -> Member:
        """See `Groups.join`."""
        self._topics.ensure(topic, 0)
        return _KafkaMember(self._options, (group, topic), name, address, changes)

    def owners(self, group: str, topic: str) -> dict[int, str]:
        """See `Groups.owners`."""
        full, wanted = self._options.named(group), self._options.named(topic)

        def ask(wait_s: float) -> dict[int, str]:
            try:
                found = self._admin.describe_consumer_groups([full], request_timeout=wait_s)[full].result()
            except KafkaException as error:
                if cause(error).code() == KafkaError.GROUP_ID_NOT_FOUND:
                    return {}
                raise
            return {
                place.partition: member.client_id
                for member in found.members
                for place in member.assignment.topic_partitions
                if place.topic == wanted
            }

        return dict(sorted(ask_leaders(self._options, f"asking who is in {group}", self._admin, ask).items()))

    def close(self) -> None:
        """See `Groups.close`; the client ends with its last reference."""


class _KafkaMember:
    """A consumer and the thread that keeps it in its group."""

    def __init__(
        self, options: KafkaOptions, place: tuple[str, str], name: str, address: str, changes: Changes
    ) -> None:
        self._group, self._topic = place
        self._changes, self._options, self._name = changes, options, name
        self._properties = options.member(self._group, name, address)
        self._lock = threading.Lock()
        self._owned: frozenset[int] = frozenset()
        self._joined, self._closing = threading.Event(), threading.Event()
        consumer = self._consumer()
        self._pool = ThreadPoolExecutor(1, f"member-{self._group}")
        self._running = self._pool.submit(self._run, consumer)

    def joined(self) -> bool:
        """See `Member.joined`: a member that is given nothing is told so too."""
        return self._joined.is_set()

    def owned(self) -> frozenset[int]:
        """See `Member.owned`."""
        if self._running.done() and not self._closing.is_set():
            self._running.result()
        with self._lock:
            return self._owned

    def close(self) -> None:
        """See `Member.close`."""
        self._closing.set()
        self._pool.shutdown()
        self._running.result()

    def _run(self, consumer: Consumer) -> None:
        """Stay in the group until closed; calls the changes from inside `poll` and `close`."""
        again = -math.inf
        while (ended := self._stay(consumer)) is not None and not self._closing.is_set():
            doing = f"log kafka://{self._options.servers}: staying in {self._group} as {self._name}: {ended.str()}"
            if time.monotonic() - again < _SOON_SESSIONS * self._options.session_s:
                raise LogError(f"{doing}. If another process has this process.name, give each a name of its own.")
            _log.warning("powerflock: %s: joining again", doing)
            if self._owned:
                self._changes.lost(sorted(self._owned))
                self._owned = frozenset()
            again, consumer = time.monotonic(), self._consumer()

    def _stay(self, consumer: Consumer) -> KafkaError | None:
        """One consumer's life: until closed, or until the brokers end it, and why they did."""
        try:
            while not self._closing.is_set():
                message = consumer.poll(_POLL_S)
                error = message.error() if message is not None else None
                if _is_fatal(error):
                    return error
            self._leave(consumer)
        finally:
            with kafka_errors(self._options.servers, f"leaving {self._group}"):
                consumer.close()
        return None

    def _leave(self, consumer: Consumer) -> None:
        """Give everything back and tell the group: of a member with a name that only closes it waits for the session.

        One that is about to leave has no member id; `close` then waits for the brokers' answer.
        """
        try:
            consumer.unsubscribe()
        except KafkaException:  # ended by the brokers: nothing is left that it could leave
            return
        for _ in range(_LEAVE_POLLS):  # not by the clock: giving back may take its time
            if not consumer.memberid():
                return
            message = consumer.poll(_LEAVE_POLL_S)
            if message is not None and _is_fatal(message.error()):
                return
        _log.warning("powerflock: %s did not leave %s in time: others wait for its session", self._name, self._group)

    def _consumer(self) -> Consumer:
        consumer = Consumer(self._properties)
        consumer.subscribe(
            [self._options.named(self._topic)],
            on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost,
        )  # fmt: skip
        return consumer

    def _assigned(self, consumer: Consumer, places: Sequence[TopicPartition]) -> None:
        consumer.incremental_assign(list(places))
        consumer.pause(list(places))
        partitions = sorted(place.partition for place in places)
        with self._lock:
            self._owned |= frozenset(partitions)
        if partitions:
            self._changes.assigned(partitions)
        self._joined.set()

    def _revoked(self, consumer: Consumer, places: Sequence[TopicPartition]) -> None:
        partitions = sorted(place.partition for place in places)
        if partitions:
            self._changes.revoked(partitions)
        self._give_up(consumer, places)

    def _lost(self, consumer: Consumer, places: Sequence[TopicPartition]) -> None:
        self._give_up(consumer, places)
        self._changes.lost(sorted(place.partition for place in places))

    def _give_up(self, consumer: Consumer, places: Sequence[TopicPartition]) -> None:
        with self._lock:
            self._owned -= frozenset(place.partition for place in places)
        consumer.incremental_unassign(list(places))


def _is_fatal(error: KafkaError | None) -> bool:
    """Whether the brokers ended this consumer."""
    return error is not None and error.code() == KafkaError._FATAL  # noqa: SLF001 - librdkafka's own codes begin so
