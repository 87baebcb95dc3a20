"""Topics on the cluster: made with what the options say, checked, and never made by accident.

Invariants: a topic that exists is never changed, only judged; in production an unsafe one is refused with every reason.
Must not know what is in a topic.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from powerflock.domain.errors import InvalidInput, LogError
from powerflock.log.kafka_commits import COMMITS
from powerflock.log.kafka_commits import PARTITIONS as COMMIT_PARTITIONS
from powerflock.log.kafka_errors import cause, kafka_errors, patiently, too_slow
from powerflock.log.kafka_options import KEPT_FOR_EVER, MESSAGE_BYTES, KafkaOptions, TopicOptions

CLAIMS = "claims"
OWN = {CLAIMS: 1, COMMITS: COMMIT_PARTITIONS}
"""The log's own topics and their partitions; compacted, so each keeps the newest record of a key."""
_ASK_S = 5.0
_STEP_S = 0.02


class Topics:
    """The topics of one plant: how many partitions each has, by our name for it."""

    def __init__(self, options: KafkaOptions, admin: AdminClient) -> None:
        """Nothing is asked or made yet."""
        self._options, self._admin = options, admin
        self._lock = threading.Lock()
        self._partitions: dict[str, int] = {}

    def prepare(self) -> None:
        """Make every topic that the options name, and the log's own; in production refuse what is unsafe."""
        for name in (*OWN, *self._options.topics):
            self._make(name)
        if self._options.production:
            self._refuse_unsafe()

    def exists(self, name: str, partition: int) -> bool:
        """Whether the topic is there and has that partition."""
        if name not in self._partitions:
            self._look()
        return partition < self._partitions.get(name, 0)

    def ensure(self, name: str, partition: int) -> None:
        """Make the topic if it is not there; `InvalidInput` where it has no such partition."""
        if not self.exists(name, partition):
            self._make(name)
        if partition >= self._partitions[name]:
            raise InvalidInput(
                f"partition of topic {name}", partition, f"must be below {self._partitions[name]}, as many as it has",
                "plant.partitions is fixed once the first site is enrolled.",
            )  # fmt: skip

    def _look(self) -> None:
        prefix, ask_s = self._options.prefix, min(_ASK_S, self._options.patience_s)
        # A broker that hangs is not waited for: the next question goes to another.
        asked = patiently(self._options, "listing its topics", lambda: self._admin.list_topics(timeout=ask_s))
        found = asked.topics
        led = {
            name: len(topic.partitions)
            for name, topic in found.items()
            if topic.partitions and all(part.leader >= 0 for part in topic.partitions.values())
        }
        self._partitions |= {name.removeprefix(prefix): n for name, n in led.items() if name.startswith(prefix)}

    def _make(self, name: str) -> None:
        """Make the topic unless it is there, and wait until it has leaders."""
        with self._lock:
            self._look()
            if name in self._partitions:
                return
            self._create(name)
            deadline = time.monotonic() + self._options.patience_s
            while name not in self._partitions:
                if time.monotonic() > deadline:
                    raise too_slow(self._options.servers, f"making topic {name}", self._options.patience_s)
                time.sleep(_STEP_S)
                self._look()

    def _create(self, name: str) -> None:
        own = TopicOptions(OWN[name]) if name in OWN else self._options.topic(name)
        config = {
            "cleanup.policy": "compact" if name in OWN else "delete",
            "min.insync.replicas": str(self._options.min_insync_replicas),
            "max.message.bytes": str(MESSAGE_BYTES),
            "unclean.leader.election.enable": "false",
        }
        if name in OWN:  # small segments, for only those that are closed are compacted
            config |= {"segment.bytes": str(16 << 20), "segment.ms": "3600000", "min.cleanable.dirty.ratio": "0.1"}
        else:
            config["retention.ms"] = str(own.retention_ms)
        topic = NewTopic(
            self._options.named(name), own.partitions, replication_factor=self._options.replication, config=config
        )
        with kafka_errors(self._options.servers, f"making topic {name}"):
            try:
                self._admin.create_topics([topic])[topic.topic].result(self._options.patience_s)
            except KafkaException as error:
                if cause(error).code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise

    def _refuse_unsafe(self) -> None:
        reasons = [*unsafe_options(self._options)]
        for name in (*OWN, *self._options.topics):
            config = self._config(ResourceType.TOPIC, self._options.named(name))
            replicas = self._replicas(self._options.named(name))
            kept_ms = KEPT_FOR_EVER if name in OWN else self._options.topic(name).retention_ms
            reasons += unsafe_topic(name, config, replicas, kept_ms)
        nodes = self._admin.list_topics(timeout=self._options.patience_s).brokers
        reasons += unsafe_broker(self._config(ResourceType.BROKER, str(min(nodes))))
        if reasons:
            raise LogError(
                f"log kafka://{self._options.servers} is not safe for production: {'; '.join(reasons)}. "
                "Mend each, or set kafka.production = false to run without these guarantees."
            )

    def _replicas(self, full: str) -> int:
        found = self._admin.list_topics(timeout=self._options.patience_s).topics[full]
        return min(len(part.replicas) for part in found.partitions.values())

    def _config(self, kind: ResourceType, name: str) -> Mapping[str, str]:
        resource = ConfigResource(kind, name)
        with kafka_errors(self._options.servers, f"asking for the settings of {name}"):
            found = self._admin.describe_configs([resource])[resource].result(self._options.patience_s)
        return {key: str(entry.value) for key, entry in found.items()}


def unsafe_options(options: KafkaOptions) -> Iterable[str]:
    """What in our own settings puts entries or secrets at risk."""
    if options.security.protocol in {"PLAINTEXT", "SASL_PLAINTEXT"}:
        yield f"kafka.security_protocol is {options.security.protocol}, so nothing is encrypted: use SASL_SSL or SSL"
    if options.security.protocol == "SSL" and options.security.certificate_file is None:
        yield "kafka.security_protocol is SSL without kafka.certificate_file, so clients prove nothing: use SASL_SSL"
    if options.replication < 3:
        yield f"kafka.replication is {options.replication}: 3 or more survive the loss of a broker"
    if options.min_insync_replicas < 2:
        yield f"kafka.min_insync_replicas is {options.min_insync_replicas}: 2 keep an entry on two disks"


def unsafe_topic(name: str, config: Mapping[str, str], replicas: int, kept_ms: int) -> Iterable[str]:
    """What a topic's settings on the cluster put at risk; it must not forget by itself before `kept_ms`."""
    least = int(config["min.insync.replicas"])
    if replicas < 3:
        yield f"topic {name} has {replicas} replicas: make it 3"
    if least < 2:
        yield f"topic {name} has min.insync.replicas {least}: make it 2"
    if least >= replicas > 1:
        yield f"topic {name} has min.insync.replicas {least} of {replicas} replicas: one lost broker stops all writing"
    if config["unclean.leader.election.enable"] == "true":
        yield f"topic {name} has unclean.leader.election.enable true: acknowledged entries can be lost, set it to false"
    if int(config["max.message.bytes"]) < MESSAGE_BYTES:
        yield f"topic {name} has max.message.bytes {config['max.message.bytes']}: make it {MESSAGE_BYTES} or more"
    kept = int(config["retention.ms"])
    if "delete" in config["cleanup.policy"] and kept != KEPT_FOR_EVER and not 0 <= kept_ms <= kept:
        yield f"topic {name} has retention.ms {kept}: make it {kept_ms}"
    if "delete" in config["cleanup.policy"] and int(config["retention.bytes"]) != KEPT_FOR_EVER:
        yield f"topic {name} has retention.bytes {config['retention.bytes']}: make it {KEPT_FOR_EVER}"
    if "compact" in config["cleanup.policy"] and name not in OWN:
        yield f"topic {name} has cleanup.policy {config['cleanup.policy']}: entries have no keys, make it delete"


def unsafe_broker(config: Mapping[str, str]) -> Iterable[str]:
    """What a broker's own settings put at risk: members, transactions."""
    for topic, key in (
        ("group members", "offsets.topic.replication.factor"),
        ("transactions", "transaction.state.log.replication.factor"),
    ):
        if int(config[key]) < 3:
            yield f"the brokers keep {topic} with {key} {config[key]}: make it 3"
    if int(config["transaction.state.log.min.isr"]) < 2:
        yield f"the brokers have transaction.state.log.min.isr {config['transaction.state.log.min.isr']}: make it 2"
