"""How to reach a Kafka cluster and what our topics are to be there: values, and librdkafka's properties from them.

Invariants: knows Kafka's names but imports no client, so that anybody may build these options; a secret is read from
its file when a client is made and never kept. Must not know which topics exist.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from powerflock.domain.errors import InvalidInput

MESSAGE_BYTES = 8 << 20
"""Largest entry with its envelope. A topic is made with it, and a producer's batches stay far below."""
BATCH_BYTES = 100_000
IN_FLIGHT = 3
"""What goes together in a request, and requests of a producer on the way to a broker.

Once five entries of a partition are on their way and more are queued, librdkafka does not sleep: its thread asks again
and again until the broker answers, up to four times the processor time that the writing itself takes. Entries of more
than half of `BATCH_BYTES` go alone, and so few requests stay below that. Smaller ones pass it only in bulk.
"""
_HEARTBEATS = 12
"""Heartbeats in a session: once that of a lost member is over, the others hear of it within one."""
KEPT_FOR_EVER = -1
TOPIC_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")

Properties: TypeAlias = dict[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class TopicOptions:
    """A topic's `partitions`, and how long an entry is kept if nobody trims it (ms; `KEPT_FOR_EVER`)."""

    partitions: int
    retention_ms: int = KEPT_FOR_EVER


@dataclass(frozen=True, slots=True)
class Security:
    """How a client proves who it is and knows whom it talks to; secrets are in files."""

    protocol: str = "PLAINTEXT"
    sasl_mechanism: str = ""
    username: str = ""
    password_file: Path | None = None
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None

    def properties(self) -> Properties:
        """Librdkafka's properties; `InvalidInput` where a file cannot be read or something needed is missing."""
        made: Properties = {"security.protocol": self.protocol}
        if self.protocol.startswith("SASL"):
            if not (self.sasl_mechanism and self.username and self.password_file):
                raise InvalidInput(
                    "kafka.security_protocol", self.protocol,
                    "needs kafka.sasl_mechanism, kafka.username and kafka.password_file",
                )  # fmt: skip
            made |= {
                "sasl.mechanism": self.sasl_mechanism,
                "sasl.username": self.username,
                "sasl.password": _secret("kafka.password_file", self.password_file),
            }
        files = {
            "ssl.ca.location": ("kafka.ca_file", self.ca_file),
            "ssl.certificate.location": ("kafka.certificate_file", self.certificate_file),
            "ssl.key.location": ("kafka.key_file", self.key_file),
        }
        for name, (setting, file) in files.items():
            if file is not None:
                _secret(setting, file)
                made[name] = str(file)
        return made


@dataclass(frozen=True, slots=True)
class KafkaOptions:
    """One cluster as one plant uses it.

    `partitions` is for topics that `topics` does not name. `prefix` begins the name of every topic, group and
    transaction, so that plants can share a cluster.
    `patience_s` is how long a call waits for the brokers; `transaction_s` how long an owner may pause in the middle of
    a transaction before the brokers take it away; `session_s` how long a member may be silent before others take its
    partitions: the least that brokers allow unless told otherwise, as the client's own threads keep the membership
    however busy the process is.
    """

    servers: str = "localhost:9092"
    prefix: str = "powerflock."
    partitions: int = 4
    topics: Mapping[str, TopicOptions] = field(default_factory=dict)
    replication: int = 1
    min_insync_replicas: int = 1
    production: bool = False
    security: Security = Security()
    patience_s: float = 30.0
    transaction_s: float = 30.0
    session_s: float = 6.0

    def __post_init__(self) -> None:
        """Refuse what no cluster accepts."""
        if not re.fullmatch(r"[^\s,;/@]+:\d+(,[^\s,;/@]+:\d+)*", self.servers):
            raise InvalidInput("log URL", f"kafka://{self.servers}", "must be kafka://HOST:PORT[,HOST:PORT]")
        if not re.fullmatch(r"[a-zA-Z0-9._-]{0,100}", self.prefix):
            raise InvalidInput(
                "kafka.topic_prefix", self.prefix, "must be letters, digits, '.', '_' or '-', 100 at most"
            )

    def topic(self, name: str) -> TopicOptions:
        """What the topic `name` is made with."""
        return self.topics.get(name, TopicOptions(self.partitions))

    def named(self, name: str) -> str:
        """The name on the cluster of a topic, group or transaction."""
        full = self.prefix + name
        if not TOPIC_NAME.fullmatch(full):
            raise InvalidInput("topic", name, "must be letters, digits, '.', '_' or '-', and short")
        return full

    def client(self) -> Properties:
        """What every client is made with."""
        return {
            "bootstrap.servers": self.servers,
            "client.id": "powerflock",
            "log_level": 0,  # what a client would say about a lost broker is in our errors
            "socket.keepalive.enable": True,
            "reconnect.backoff.max.ms": 1000,
            "topic.metadata.refresh.interval.ms": 60_000,
            **self.security.properties(),
        }

    def producer(self) -> Properties:
        """A producer whose acknowledged messages are on all replicas in sync, once and in order."""
        return {
            **self.client(),
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 1,
            "batch.size": BATCH_BYTES,
            "max.in.flight": IN_FLIGHT,
            "message.max.bytes": MESSAGE_BYTES,
            "queue.buffering.max.kbytes": 256 << 10,
            "message.timeout.ms": round(self.patience_s * 1000),
        }

    def transactional(self, identity: str) -> Properties:
        """The same for the producer `identity`, of which the brokers let only the newest write."""
        return {
            **self.producer(),
            "linger.ms": 0,
            "transactional.id": self.named(identity),
            "transaction.timeout.ms": round(self.transaction_s * 1000),
            "message.timeout.ms": round(min(self.patience_s, self.transaction_s) * 1000),
        }

    def reader(self) -> Properties:
        """A consumer that sees what is committed, and tells where a partition ends."""
        return {
            **self.client(),
            "group.id": self.named("readers"),
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "allow.auto.create.topics": False,
            "fetch.message.max.bytes": MESSAGE_BYTES,
            "queued.max.messages.kbytes": 16 << 10,
            "fetch.wait.max.ms": 100,  # a waiting fetch delays a jump to another offset by as much
            "fetch.error.backoff.ms": 50,
            "fetch.queue.backoff.ms": 10,  # a reader that filled its queue and emptied it would wait a second
        }

    def member(self, group: str, name: str, address: str) -> Properties:
        """A member of `group` that fetches nothing: owners read by themselves."""
        return {
            **self.client(),
            "client.id": address,
            "group.id": self.named(group),
            "group.instance.id": name,
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": round(self.session_s * 1000),
            "heartbeat.interval.ms": round(self.session_s * 1000 / _HEARTBEATS),
            "enable.auto.commit": False,
            "allow.auto.create.topics": False,
        }


def _secret(setting: str, file: Path | None) -> str:
    """The first line of the file that a setting names."""
    try:
        return file.read_text(encoding="utf-8").split("\n", 1)[0] if file is not None else ""
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(setting, str(file), f"cannot be read: {error}") from error
