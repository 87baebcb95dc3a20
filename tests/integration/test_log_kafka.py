"""The cluster's log on a real broker, where the embedded one differs: refusals, sizes, open transactions, TLS."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

import pytest

from powerflock.domain.errors import InvalidInput, LogError
from powerflock.log.kafka_options import KafkaOptions, Security, TopicOptions
from powerflock.log.open import open_log
from powerflock.log.port import Log
from tests.kafka import brokers

PASSWORD = "made-up-for-this-test"


def options(folder: Path, **given: object) -> KafkaOptions:
    prefix = f"test-{blake2b(str(folder).encode(), digest_size=6).hexdigest()}."
    return KafkaOptions(**{"prefix": prefix, "partitions": 2, "patience_s": 20.0, **given})  # type: ignore[arg-type]


@pytest.fixture
def log(kafka_servers: str, tmp_path: Path) -> Iterator[Log]:
    made = open_log(f"kafka://{kafka_servers}", options(tmp_path, topics={"market": TopicOptions(1)}))
    yield made
    made.close()


def test_an_unsafe_cluster_is_refused_in_production_with_every_reason(kafka_servers: str, tmp_path: Path) -> None:
    topics = {"market": TopicOptions(1), "telemetry": TopicOptions(2)}
    short = {"telemetry": TopicOptions(2, 3_600_000)}
    open_log(f"kafka://{kafka_servers}", options(tmp_path, topics=short)).close()
    with pytest.raises(LogError, match="is not safe for production") as refused:
        open_log(f"kafka://{kafka_servers}", options(tmp_path, topics=topics, production=True))
    for reason in (
        "kafka.security_protocol is PLAINTEXT",
        "kafka.replication is 1",
        "kafka.min_insync_replicas is 1",
        "topic market has 1 replicas",
        "topic telemetry has retention.ms 3600000: make it -1",
        "topic claims has min.insync.replicas 1",
        "offsets.topic.replication.factor 1",
        "transaction.state.log.min.isr 1",
    ):
        assert reason in str(refused.value)


def test_a_partition_that_a_topic_lacks_is_refused(log: Log) -> None:
    log.append("market", 0, b"x")
    with pytest.raises(InvalidInput, match=r"partition of topic market is 1; must be below 1"):
        log.append("market", 1, b"x")
    with pytest.raises(InvalidInput, match="partition of topic market"):
        log.transact([("telemetry", 0, b"x"), ("market", 1, b"y")])
    assert log.read("market", 1, 0) == []
    assert log.end("telemetry", 0) == 0


def test_a_name_that_kafka_cannot_hold_is_refused(log: Log) -> None:
    with pytest.raises(InvalidInput, match="letters, digits"):
        log.append("a topic", 0, b"x")


def test_an_entry_that_is_too_large_is_refused_and_the_log_goes_on(log: Log) -> None:
    large = bytes(9 << 20)
    claim = log.claim("twins", "a")
    with pytest.raises(LogError, match=r"writing to .*Send less at once"):
        log.append("telemetry", 0, large)
    with pytest.raises(LogError, match="Send less at once"):
        log.transact([("telemetry", 0, b"small"), ("telemetry", 1, large)], claim=claim)
    log.transact([("telemetry", 0, b"after")], claim=claim)
    assert [entry.payload for entry in log.read("telemetry", 0, 0)] == [b"after"]
    assert log.end("telemetry", 1) == 0


def test_brokers_that_cannot_be_reached_are_named_with_a_remedy(tmp_path: Path) -> None:
    (port,) = brokers.free_ports(1)
    with pytest.raises(LogError, match=rf"kafka://127\.0\.0\.1:{port}: listing its topics.*can be reached"):
        open_log(f"kafka://127.0.0.1:{port}", options(tmp_path, patience_s=1.0, topics={"market": TopicOptions(1)}))


def test_nobody_sees_half_of_an_open_transaction(log: Log, kafka_servers: str, tmp_path: Path) -> None:
    from confluent_kafka import Producer

    own = options(tmp_path, servers=kafka_servers)
    log.transact([("telemetry", 0, b"before"), ("market", 0, b"before")])
    stranger = Producer(own.transactional("stranger"))
    stranger.init_transactions(20)
    stranger.begin_transaction()
    for topic in ("telemetry", "market"):
        stranger.produce(own.named(topic), b"half", partition=0)
    stranger.flush(20)
    end = log.end("telemetry", 0)
    assert [entry.payload for entry in log.read("telemetry", 0, 0)] == [b"before"]
    stranger.abort_transaction(20)
    log.append("telemetry", 0, b"after")
    assert [entry.payload for entry in log.read("telemetry", 0, 0)] == [b"before", b"after"]
    assert [entry.payload for entry in log.read("telemetry", 0, end)] == [b"after"], "what comes next is never below"
    assert [entry.payload for entry in log.newest("market", 0)] == [b"before"]


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of a broker that takes only encrypted links of users it knows, and the certificate to trust."""
    brokers.require()
    folder = tmp_path_factory.mktemp("secure")
    store, ca = folder / "store.p12", folder / "ca.pem"
    keytool = ["keytool", "-keystore", str(store), "-storepass", PASSWORD, "-alias", "broker"]
    names = ["-dname", "CN=127.0.0.1", "-ext", "SAN=IP:127.0.0.1"]
    made = ["-genkeypair", "-keyalg", "EC", "-storetype", "PKCS12", *names]
    subprocess.run([*keytool, *made], check=True, capture_output=True)
    subprocess.run([*keytool, "-exportcert", "-rfc", "-file", str(ca)], check=True, capture_output=True)
    (port,) = brokers.free_ports(1)
    plain = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    cluster = brokers.Cluster(folder, 1)
    cluster.add_listener(
        "SASL_SSL",
        port,
        {
            "listener.name.sasl_ssl.ssl.keystore.location": store,
            "listener.name.sasl_ssl.ssl.keystore.password": PASSWORD,
            "listener.name.sasl_ssl.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl_ssl.plain.sasl.jaas.config": f'{plain} user_plant="{PASSWORD}";',
        },
    )
    try:
        cluster.start()
        yield f"127.0.0.1:{port}", ca
    finally:
        cluster.stop()


def test_the_log_speaks_tls_and_proves_who_it_is(secure: tuple[str, Path], tmp_path: Path) -> None:
    servers, ca = secure
    (tmp_path / "password").write_text(PASSWORD)
    security = Security("SASL_SSL", "PLAIN", "plant", tmp_path / "password", ca)
    log = open_log(f"kafka://{servers}", options(tmp_path, security=security))
    claim = log.claim("twins", "a")
    log.transact([("telemetry", 0, b"secret")], [("twins", "telemetry", 0, 1)], claim)
    assert [entry.payload for entry in log.read("telemetry", 0, 0)] == [b"secret"]
    assert log.committed("twins", "telemetry", 0) == 1
    log.close()


def test_a_wrong_password_or_an_unknown_certificate_is_refused(secure: tuple[str, Path], tmp_path: Path) -> None:
    servers, ca = secure
    (tmp_path / "password").write_text("wrong")
    wrong = Security("SASL_SSL", "PLAIN", "plant", tmp_path / "password", ca)
    with pytest.raises(LogError, match=f"log kafka://{servers}"):
        open_log(f"kafka://{servers}", options(tmp_path, security=wrong, patience_s=3.0))
    (tmp_path / "password").write_text(PASSWORD)
    stranger = Security("SASL_SSL", "PLAIN", "plant", tmp_path / "password")
    with pytest.raises(LogError, match=f"log kafka://{servers}"):
        open_log(f"kafka://{servers}", options(tmp_path, security=stranger, patience_s=3.0))
