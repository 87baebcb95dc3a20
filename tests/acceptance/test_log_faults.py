"""Three real brokers killed, filled and restarted under load: nothing acknowledged is lost, halved or doubled."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from powerflock.domain.errors import LogError
from powerflock.log.kafka_options import KafkaOptions
from powerflock.log.open import open_log
from powerflock.log.port import Fenced, Log
from tests.acceptance.processes import until
from tests.kafka import brokers

PATIENCE_S = 150.0
"""A failover takes a few seconds on a quiet machine and many on a crowded one."""
SMALL_DISK_MB = 200
TOPICS = ("commands", "market")


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[brokers.Cluster]:
    """Three brokers; the third has a small disk of its own where this user may mount one."""
    brokers.require()
    folder = tmp_path_factory.mktemp("three")
    disk = folder / "small"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_MB}m", "tmpfs", str(disk)]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    cluster = brokers.Cluster(folder, 3, data={3: disk / "data"})
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        if mounted:
            subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture
def cluster(three: brokers.Cluster) -> brokers.Cluster:
    """All three alive, whatever the test before did."""
    for broker in three.brokers.values():
        if not broker.alive:
            broker.start()
    three.wait()
    return three


def options(cluster: brokers.Cluster, folder: Path) -> KafkaOptions:
    prefix = f"test-{hashlib.sha256(str(folder).encode()).hexdigest()[:10]}."
    return KafkaOptions(
        servers=cluster.bootstrap,
        prefix=prefix,
        partitions=1,
        replication=3,
        min_insync_replicas=2,
        patience_s=20.0,
        transaction_s=60.0,
    )


def open_on(cluster: brokers.Cluster, folder: Path) -> Log:
    return open_log(f"kafka://{cluster.bootstrap}", options(cluster, folder))


def leader_of(cluster: brokers.Cluster, topic: str, partition: int) -> brokers.Broker:
    from confluent_kafka.admin import AdminClient

    found = AdminClient({"bootstrap.servers": cluster.bootstrap}).list_topics(timeout=20).topics[topic]
    return cluster.brokers[found.partitions[partition].leader]


def coordinated_by(name: str) -> int:
    """The partition of Kafka's own topics whose leader coordinates the group or transaction of this name."""
    value = 0
    for letter in name:
        value = (31 * value + ord(letter)) & 0xFFFFFFFF
    return abs(value - (value >> 31 << 32)) % int(str(brokers.SETTINGS["offsets.topic.num.partitions"]))


class Load:
    """Appends or transacts without pause on a thread, and keeps the books of what was tried and what acknowledged."""

    def __init__(self, log: Log, *, transactions: bool) -> None:
        self.tried: list[bytes] = []
        self.acknowledged: list[bytes] = []
        self.failures: list[str] = []
        self._log, self._stop = log, threading.Event()
        self._claim = log.claim("load", "a") if transactions else None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            payload = b"%d" % len(self.tried)
            self.tried.append(payload)
            entries = [(topic, 0, payload) for topic in TOPICS]
            try:
                if self._claim is None:
                    self._log.append_many(entries)
                else:
                    self._log.transact(entries, [("load", "commands", 0, 0)], self._claim)
                self.acknowledged.append(payload)
            except Fenced:
                raise
            except LogError as error:
                self.failures.append(str(error))

    def goes_on(self, more: int = 20) -> None:
        """Until so many more were acknowledged."""
        goal = len(self.acknowledged) + more
        until("acknowledgements", lambda: len(self.acknowledged) >= goal or not self._thread.is_alive(), PATIENCE_S)
        assert self._thread.is_alive(), "the load ended by itself"

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive()


def stored(log: Log, topic: str) -> list[bytes]:
    return [entry.payload for entry in log.read(topic, 0, 0, limit=1_000_000)]


def check_books(load: Load, log: Log, *, whole: bool) -> None:
    """Everything acknowledged is there once, in order, and nothing that was never sent."""
    for topic in TOPICS:
        found = stored(log, topic)
        assert found == sorted(set(found), key=int), "in order and none doubled"
        assert set(load.acknowledged) <= set(found) <= set(load.tried)
        if whole:
            assert found == load.acknowledged, "a transaction that failed left nothing"


@pytest.mark.parametrize("transactions", [False, True], ids=["appends", "transactions"])
def test_killing_the_leader_of_a_partition_loses_nothing(
    cluster: brokers.Cluster, tmp_path: Path, transactions: bool
) -> None:
    log = open_on(cluster, tmp_path)
    load = Load(log, transactions=transactions)
    load.goes_on()
    victim = leader_of(cluster, options(cluster, tmp_path).named("commands"), 0)
    victim.kill()
    load.goes_on()
    victim.start()
    cluster.wait()
    load.goes_on()
    load.stop()
    check_books(load, log, whole=transactions)
    log.close()


def test_what_is_asked_of_a_leader_that_died_is_answered_by_the_next(cluster: brokers.Cluster, tmp_path: Path) -> None:
    log = open_on(cluster, tmp_path)
    offsets = [log.append("commands", 0, b"%d" % number) for number in range(3)]
    assert log.end("commands", 0) == offsets[2] + 1
    leader_of(cluster, options(cluster, tmp_path).named("commands"), 0).kill()
    assert log.end("commands", 0) == offsets[2] + 1
    log.trim("commands", 0, offsets[1])
    assert [entry.offset for entry in log.read("commands", 0, offsets[1])] == offsets[1:]
    log.close()


@pytest.mark.parametrize("kept", ["__transaction_state", "__consumer_offsets"])
def test_killing_the_coordinators_leaves_every_transaction_whole(
    cluster: brokers.Cluster, tmp_path: Path, kept: str
) -> None:
    log = open_on(cluster, tmp_path)
    load = Load(log, transactions=True)
    load.goes_on(5)
    victim = leader_of(cluster, kept, coordinated_by(options(cluster, tmp_path).named("load")))
    victim.kill()
    load.goes_on(5)
    victim.start()
    cluster.wait()
    load.goes_on(5)
    load.stop()
    check_books(load, log, whole=True)
    assert stored(log, "commands") == stored(log, "market"), "all or nothing across partitions"
    log.close()


def test_a_rolling_restart_of_all_brokers_loses_nothing(cluster: brokers.Cluster, tmp_path: Path) -> None:
    log = open_on(cluster, tmp_path)
    load = Load(log, transactions=False)
    for broker in cluster.brokers.values():
        load.goes_on(5)
        broker.stop()
        load.goes_on(5)
        broker.start()
        cluster.wait()
    load.goes_on(5)
    load.stop()
    check_books(load, log, whole=False)
    log.close()


def test_a_full_disk_on_one_broker_stops_nobody(cluster: brokers.Cluster, tmp_path: Path) -> None:
    disk = cluster.brokers[3].folder.parent / "small"
    if not os.path.ismount(disk):
        assert os.environ.get("CI") != "true", "no small disk could be mounted"
        pytest.skip("this user may not mount a small disk")
    log = open_on(cluster, tmp_path)
    load = Load(log, transactions=False)
    load.goes_on(5)
    ballast = disk / "ballast"
    try:
        subprocess.run(["dd", "if=/dev/zero", f"of={ballast}", "bs=64k"], capture_output=True, check=False)
        until("the broker to notice", lambda: not cluster.brokers[3].alive or _grow(log), PATIENCE_S)
        load.goes_on()
    finally:
        ballast.unlink(missing_ok=True)
    load.stop()
    check_books(load, log, whole=False)
    log.close()


def _grow(log: Log) -> bool:
    """More than what is left in the pages of a full disk."""
    log.append("ballast", 0, bytes(1_000_000))
    return False


CHILD = """
import hashlib, sys
from pathlib import Path
from tests.acceptance.test_log_faults import TOPICS
from powerflock.log.kafka_options import KafkaOptions
from powerflock.log.open import open_log
servers, prefix = sys.argv[1:]
options = KafkaOptions(prefix=prefix, partitions=1, replication=3, min_insync_replicas=2)
log = open_log(f"kafka://{servers}", options)
claim = log.claim("load", "child")
found = log.newest("commands", 0)
number = int(found[0].payload.split()[0]) + 1 if found else 0
while True:
    payload = b"%d " % number + bytes(50_000)
    log.transact([(topic, 0, payload) for topic in TOPICS], [("load", "commands", 0, number)], claim)
    print(number, flush=True)
    number += 1
"""


def child(cluster: brokers.Cluster, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, cluster.bootstrap, options(cluster, folder).prefix]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )


def test_a_producer_killed_within_its_transactions_leaves_each_whole(cluster: brokers.Cluster, tmp_path: Path) -> None:
    last = -1
    for number in range(3):
        running = child(cluster, tmp_path)
        assert running.stdout is not None
        assert running.stderr is not None
        for _ in range(3):
            last = int(running.stdout.readline())
        time.sleep(0.013 * number)
        running.kill()
        last = max([last, *(int(line) for line in running.stdout if line.endswith("\n"))])
        running.wait(10)
        running.stdout.close()
        running.stderr.close()
    log = open_on(cluster, tmp_path)
    log.claim("load", "reader")
    numbers = {topic: [int(payload.split()[0]) for payload in stored(log, topic)] for topic in TOPICS}
    assert numbers["commands"] == numbers["market"] == list(range(len(numbers["market"])))
    assert len(numbers["market"]) > last, "what was acknowledged is there"
    assert log.committed("load", "commands", 0) == len(numbers["market"]) - 1
    log.close()


def test_an_owner_that_slept_through_its_transaction_is_fenced(cluster: brokers.Cluster, tmp_path: Path) -> None:
    running = child(cluster, tmp_path)
    assert running.stdout is not None
    assert running.stderr is not None
    for _ in range(3):
        running.stdout.readline()
    running.send_signal(signal.SIGSTOP)
    log = open_on(cluster, tmp_path)
    newer = log.claim("load", "b")
    log.transact([(topic, 0, b"1000000 ") for topic in TOPICS], claim=newer)
    time.sleep(2)
    running.send_signal(signal.SIGCONT)
    _, said = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 1
    assert f"the newest is {newer.epoch}" in said
    assert "Another member has taken over" in said
    for topic in TOPICS:
        found = [int(payload.split()[0]) for payload in stored(log, topic)]
        assert found[-1] == 1_000_000, "the sleeper wrote nothing after it"
        assert found[:-1] == list(range(len(found) - 1))
    log.close()
