"""Each unsafe setting of a cluster is found, and a safe one is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from powerflock.log.kafka_options import KafkaOptions, Security

topics = pytest.importorskip("powerflock.log.kafka_topics", reason="confluent-kafka is not installed")

SAFE_TOPIC = {
    "cleanup.policy": "delete",
    "min.insync.replicas": "2",
    "max.message.bytes": str(8 << 20),
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "unclean.leader.election.enable": "false",
}
SAFE_BROKER = {
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
}


def test_what_is_safe_is_accepted(tmp_path: Path) -> None:
    security = Security("SASL_SSL", "PLAIN", "plant", tmp_path / "password")
    assert not list(
        topics.unsafe_options(KafkaOptions(replication=3, min_insync_replicas=2, security=security)),
    )
    assert not list(topics.unsafe_topic("market", SAFE_TOPIC, 3, -1))
    assert not list(topics.unsafe_topic("claims", SAFE_TOPIC | {"cleanup.policy": "compact"}, 3, -1))
    assert not list(topics.unsafe_topic("telemetry", SAFE_TOPIC | {"retention.ms": "604800000"}, 3, 604_800_000))
    assert not list(topics.unsafe_broker(SAFE_BROKER))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("min.insync.replicas", "1"),
        ("min.insync.replicas", "3"),
        ("unclean.leader.election.enable", "true"),
        ("max.message.bytes", "1048588"),
        ("retention.ms", "604800000"),
        ("retention.bytes", "1000000"),
        ("cleanup.policy", "compact"),
    ],
)
def test_a_topic_that_could_lose_entries_is_named(key: str, value: str) -> None:
    (reason,) = topics.unsafe_topic("market", SAFE_TOPIC | {key: value}, 3, -1)
    assert "market" in reason
    assert key in reason
    assert value in reason


def test_few_replicas_and_short_retention_are_named() -> None:
    assert any("2 replicas" in reason for reason in topics.unsafe_topic("market", SAFE_TOPIC, 2, -1))
    (short,) = topics.unsafe_topic("telemetry", SAFE_TOPIC | {"retention.ms": "3600000"}, 3, 604_800_000)
    assert "retention.ms 3600000: make it 604800000" in short


@pytest.mark.parametrize("key", SAFE_BROKER)
def test_a_broker_that_could_lose_members_or_transactions_is_named(key: str) -> None:
    (reason,) = topics.unsafe_broker(SAFE_BROKER | {key: "1"})
    assert f"{key} 1" in reason


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SASL_PLAINTEXT", "SSL"])
def test_an_open_link_is_named(protocol: str) -> None:
    options = KafkaOptions(replication=3, min_insync_replicas=2, security=Security(protocol))
    (reason,) = topics.unsafe_options(options)
    assert f"kafka.security_protocol is {protocol}" in reason
