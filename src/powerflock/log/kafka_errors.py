"""Kafka's errors in our words: the cluster, what was being done, what it answered, and what to do.

Must not know who asks. The one place where a `KafkaException` becomes a `LogError`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from powerflock.domain.errors import LogError
from powerflock.log.kafka_options import KafkaOptions

T = TypeVar("T")

_FENCED = frozenset({KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH})  # noqa: SLF001 - librdkafka's own codes begin so
_PASSING = frozenset({
    KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.REPLICA_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.OFFSET_NOT_AVAILABLE, KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.NOT_COORDINATOR, KafkaError.UNSTABLE_OFFSET_COMMIT,
    KafkaError.REQUEST_TIMED_OUT, KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
    KafkaError._UNKNOWN_PARTITION, KafkaError._UNKNOWN_TOPIC, KafkaError._WAIT_COORD,  # noqa: SLF001
    KafkaError._DESTROY_BROKER,  # noqa: SLF001 - the client forgets a broker that left the cluster, and what it was asked
})  # fmt: skip
"""What a cluster answers while a leader moves: asking again is enough."""
_AGAIN_S, _ASK_S = 0.05, 2.0
"""How soon a question is asked again; and how long one of a leader waits, for a dead one never answers."""
_REACH = "Check that its brokers run and can be reached from here; a later call tries again."
_RIGHTS = "Give this user the right to it (docs/kafka.md lists them)."
_REMEDIES = {
    KafkaError._AUTHENTICATION: "Check kafka.username, kafka.password_file and kafka.sasl_mechanism.",  # noqa: SLF001
    KafkaError.SASL_AUTHENTICATION_FAILED: "Check kafka.username, kafka.password_file and kafka.sasl_mechanism.",
    KafkaError._SSL: "Check kafka.security_protocol, kafka.ca_file, kafka.certificate_file and kafka.key_file.",  # noqa: SLF001
    KafkaError.MSG_SIZE_TOO_LARGE: "Send less at once, or raise the topic's max.message.bytes.",
    KafkaError.NOT_ENOUGH_REPLICAS: "Too few replicas are in sync: bring the missing brokers back.",
    KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND: "Too few replicas are in sync: bring the missing brokers back.",
    KafkaError.KAFKA_STORAGE_ERROR: "A broker's disk is full or failed: free space on it and start it again.",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: _RIGHTS,
    KafkaError.GROUP_AUTHORIZATION_FAILED: _RIGHTS,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: _RIGHTS,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: _RIGHTS,
    KafkaError.INVALID_REPLICATION_FACTOR: "Set kafka.replication to at most the number of brokers.",
}


def cause(error: KafkaException) -> KafkaError:
    """What Kafka said."""
    found = error.args[0]
    assert isinstance(found, KafkaError)
    return found


def is_fenced(error: KafkaError) -> bool:
    """Whether a newer producer has taken this one's place, or the brokers have given it up."""
    return error.code() in _FENCED or error.fatal()


def log_error(servers: str, doing: str, error: KafkaError) -> LogError:
    """`error` as ours."""
    return LogError(f"log kafka://{servers}: {doing}: {error.str()}. {_REMEDIES.get(error.code(), _REACH)}")


def too_slow(servers: str, doing: str, patience_s: float) -> LogError:
    """Nothing was answered in time."""
    return LogError(f"log kafka://{servers}: {doing}: no answer within {patience_s:g} s. {_REACH}")


def patiently(options: KafkaOptions, doing: str, ask: Callable[[], T]) -> T:
    """What `ask` returns, asked again while leaders move; raises `LogError` where that does not help."""
    deadline = time.monotonic() + options.patience_s
    while True:
        try:
            return ask()
        except KafkaException as error:
            if cause(error).code() not in _PASSING or time.monotonic() > deadline:
                raise log_error(options.servers, doing, cause(error)) from error
            time.sleep(_AGAIN_S)


def ask_leaders(options: KafkaOptions, doing: str, client: AdminClient | Consumer, ask: Callable[[float], T]) -> T:
    """As `patiently`, of leaders and coordinators: `ask` is told how long to wait; who leads is looked up in between.

    Without that the client would ask a leader that died for as long as it may.
    """
    wait_s = min(_ASK_S, options.patience_s)

    def once() -> T:
        try:
            return ask(wait_s)
        except KafkaException:
            client.list_topics(timeout=wait_s)
            raise

    return patiently(options, doing, once)


@contextmanager
def kafka_errors(servers: str, doing: str) -> Iterator[None]:
    """Whatever Kafka raises inside becomes a `LogError`."""
    try:
        yield
    except KafkaException as error:
        raise log_error(servers, doing, cause(error)) from error
