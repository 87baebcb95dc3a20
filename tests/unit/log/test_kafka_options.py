"""A cluster's settings become the client's properties; what no cluster accepts is refused before anything connects."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from powerflock.domain.errors import InvalidInput
from powerflock.log.kafka_options import BATCH_BYTES, MESSAGE_BYTES, KafkaOptions, Security, TopicOptions
from powerflock.log.membership import SoleGroups
from powerflock.log.open import open_groups, open_log


def test_writers_wait_for_all_replicas_and_repeat_nothing() -> None:
    made = KafkaOptions().transactional("twins")
    assert (made["acks"], made["enable.idempotence"]) == ("all", True)
    assert made["transactional.id"] == "powerflock.twins"
    assert float(made["message.timeout.ms"]) <= float(made["transaction.timeout.ms"]), "librdkafka refuses it otherwise"
    assert BATCH_BYTES < MESSAGE_BYTES, "or the brokers refuse full batches"
    assert KafkaOptions().reader()["isolation.level"] == "read_committed"


def test_plants_share_a_cluster_by_prefix() -> None:
    options = KafkaOptions(prefix="north.", partitions=16, topics={"market": TopicOptions(1)})
    assert options.named("market") == "north.market"
    assert (options.topic("market").partitions, options.topic("telemetry").partitions) == (1, 16)
    with pytest.raises(InvalidInput, match="'a b'"):
        options.named("a b")
    with pytest.raises(InvalidInput, match="topic_prefix"):
        KafkaOptions(prefix="north/")


@pytest.mark.parametrize("servers", ["", "broker", "broker:9092;other:9092", "user@broker:9092", "broker:9092,"])
def test_an_address_that_is_none_is_refused(servers: str) -> None:
    with pytest.raises(InvalidInput, match="kafka://HOST:PORT"):
        open_log(f"kafka://{servers}")


def test_secrets_come_from_files(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("correct horse\nanything else\n")
    ca = tmp_path / "ca.pem"
    ca.write_text("a certificate")
    made = Security("SASL_SSL", "SCRAM-SHA-512", "plant", password, ca).properties()
    assert made["sasl.password"] == "correct horse"
    assert made["ssl.ca.location"] == str(ca)
    assert "correct horse" not in repr(Security("SASL_SSL", "PLAIN", "plant", password))
    password.unlink()
    with pytest.raises(InvalidInput, match=r"kafka\.password_file"):
        Security("SASL_SSL", "PLAIN", "plant", password).properties()
    with pytest.raises(InvalidInput, match=r"needs kafka\.sasl_mechanism"):
        Security("SASL_SSL").properties()


def test_without_the_client_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("powerflock.log.kafka", "powerflock.log.kafka_membership", "powerflock.log.kafka_errors"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(InvalidInput, match=r"confluent_kafka.*Install powerflock\[kafka\]"):
        open_log("kafka://broker:9092")
    with pytest.raises(InvalidInput, match=r"confluent_kafka.*Install powerflock\[kafka\]"):
        open_groups("kafka://broker:9092", 4)


def test_a_log_of_one_process_has_groups_of_one() -> None:
    assert isinstance(open_groups("sqlite:log.sqlite", 4), SoleGroups)


def test_once_a_members_session_is_over_the_others_hear_of_it_soon() -> None:
    for session_s in (2.0, 6.0, 45.0):
        made = KafkaOptions(session_s=session_s).member("twins", "t1", "http://t1")
        session_ms, beat_ms = int(made["session.timeout.ms"]), int(made["heartbeat.interval.ms"])
        assert session_ms == session_s * 1000
        assert 100 <= beat_ms <= session_ms / 3, "Kafka advises no more than a third of the session"
