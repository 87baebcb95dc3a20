"""Real Kafka brokers on loopback: installed once, formatted, started, stopped, killed and paused like any process.

A broker is a folder (its data and what it said) and two ports; it keeps both while the cluster lives. Brokers die with
the process that started them. `python -m tests.kafka.brokers` only installs.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.data import ROOT

CACHE = ROOT / ".kafka"
POM = Path(__file__).with_name("pom.xml")
CLUSTER_ID = "cG93ZXJmbG9ja3Rlc3RzMQ"
READY_S = 240.0
"""A broker takes 3 s on a quiet machine; on a crowded one its 10 s of computing come slowly."""
SETTINGS = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,APART:PLAINTEXT",
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 1000,
    "offsets.topic.num.partitions": 4,
    "transaction.state.log.num.partitions": 4,
    "auto.create.topics.enable": "false",
    "num.recovery.threads.per.data.dir": 1,
    "log.cleaner.dedupe.buffer.size": 2_000_000,
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
    "controlled.shutdown.max.retries": 1,
    "broker.session.timeout.ms": 6000,
    "broker.heartbeat.interval.ms": 1000,
}
"""What lets a small cluster start, notice a death and hand over quickly; all else is Kafka's own default."""


def missing() -> str:
    """What is not installed here, or an empty string."""
    tools = {"java": "default-jre-headless", "mvn": "maven", "setpriv": "util-linux"}
    absent = [package for tool, package in tools.items() if shutil.which(tool) is None]
    return f"no Kafka broker can run: as root, 'apt-get install {' '.join(absent)}'" if absent else ""


def require() -> None:
    """Skip the test where brokers cannot run; in CI that is a failure."""
    reason = missing()
    if not reason:
        try:
            install()
        except subprocess.CalledProcessError as error:
            reason = f"Kafka's jars cannot be had: {error.stdout[-300:]!r}"
    if reason and os.environ.get("CI") == "true":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


def install() -> Path:
    """The folder of the broker's jars, filled with Maven at first; processes that ask at once wait for one another."""
    CACHE.mkdir(exist_ok=True)
    jars, done = CACHE / "lib", CACHE / f"complete-{POM.stat().st_mtime_ns}-{POM.stat().st_size}"
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(jars, ignore_errors=True)
            goal = ["dependency:copy-dependencies", f"-DoutputDirectory={jars}"]
            command = ["mvn", "-q", "-B", "-f", str(POM), *goal]
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
            done.touch()
    return jars


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


class Broker:
    """One broker, also a voter of the controllers' quorum."""

    def __init__(
        self, node: int, folder: Path, port: int, properties: Mapping[str, object], heap_mb: int, *, quick: bool
    ) -> None:
        self.node, self.folder, self.port = node, folder, port
        compiler = ["-XX:TieredStopAtLevel=1"] if quick else []
        self._java = ["java", f"-Xmx{heap_mb}m", "-Xms64m", "-XX:+UseSerialGC", *compiler, "-cp", f"{install()}/*"]
        self._file = folder / "server.properties"
        self.running: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        lines = [f"{key}={value}" for key, value in properties.items()]
        self._file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        format_it = ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(self._file)]
        subprocess.run([*self._java, *format_it], check=True, capture_output=True, timeout=60)

    def add_listener(self, protocol: str, port: int, properties: Mapping[str, object], host: str = "127.0.0.1") -> None:
        """One more, beside the plain one that tells when the broker is ready."""
        address = f"{protocol}://{host}:{port}"
        lines = [
            f"{line},{address}" if line.startswith(("listeners=", "advertised.listeners=")) else line
            for line in self._file.read_text(encoding="utf-8").splitlines()
        ]
        lines += [f"{key}={value}" for key, value in properties.items()]
        self._file.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def start(self) -> None:
        """Begin; `Cluster.wait` says when it serves."""
        leash = ["setpriv", "--pdeathsig", "KILL"]
        with (self.folder / "said.txt").open("ab") as said:
            command = [*leash, *self._java, "kafka.Kafka", str(self._file)]
            self.running = subprocess.Popen(command, stdout=said, stderr=said, cwd=self.folder)

    def signal(self, number: signal.Signals) -> None:
        """For a pause (`SIGSTOP`, `SIGCONT`)."""
        assert self.running is not None
        self.running.send_signal(number)

    def kill(self) -> None:
        """SIGKILL: no warning, no goodbye."""
        if self.running is not None:
            self.running.kill()
            self.running.wait(10)

    def stop(self) -> None:
        """A controlled shutdown: leadership is handed over first."""
        if self.running is not None:
            self.running.terminate()
            try:
                self.running.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()

    @property
    def alive(self) -> bool:
        return self.running is not None and self.running.poll() is None

    def said(self) -> str:
        """The end of what it said."""
        return (self.folder / "said.txt").read_text(encoding="utf-8", errors="replace")[-3000:]


class Cluster:
    """Brokers 1 to `count` and their address."""

    def __init__(
        self,
        folder: Path,
        count: int,
        properties: Mapping[str, object] | None = None,
        data: Mapping[int, Path] | None = None,
        heap_mb: int = 256,
        *,
        quick: bool = True,
    ) -> None:
        """Formatted, not started. `data` gives a broker another folder for its data; `quick` to start, or to run."""
        ports, controllers = free_ports(count), free_ports(2 * count)[count:]
        voters = ",".join(f"{node}@127.0.0.1:{port}" for node, port in enumerate(controllers, 1))
        self.bootstrap = ",".join(f"127.0.0.1:{port}" for port in ports)
        self.brokers: dict[int, Broker] = {}
        for node, (port, controller) in enumerate(zip(ports, controllers, strict=True), 1):
            home = folder / f"broker-{node}"
            listeners = f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}"
            own = {
                "node.id": node,
                "controller.quorum.voters": voters,
                "listeners": listeners,
                "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
                "log.dirs": (data or {}).get(node, home / "data"),
                "offsets.topic.replication.factor": count,
                "transaction.state.log.replication.factor": count,
                "transaction.state.log.min.isr": 2 if count > 1 else 1,
                "default.replication.factor": count,
                "min.insync.replicas": 2 if count > 1 else 1,
            }
            if count == 1:  # nobody can take over from it: on a crowded machine it shall not be given up for slow
                own["broker.session.timeout.ms"] = 60_000
            self.brokers[node] = Broker(node, home, port, SETTINGS | own | dict(properties or {}), heap_mb, quick=quick)

    def add_listener(self, protocol: str, port: int, properties: Mapping[str, object], host: str = "127.0.0.1") -> None:
        """Let the first broker, before it starts, listen on one more `port`."""
        self.brokers[1].add_listener(protocol, port, properties, host)

    def start(self) -> None:
        for broker in self.brokers.values():
            broker.start()
        self.wait()

    def wait(self, timeout_s: float = READY_S) -> None:
        """Until every broker that runs is a member of the cluster and answers."""
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        want = {broker.node for broker in self.brokers.values() if broker.alive}
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            try:
                if want <= set(admin.list_topics(timeout=2).brokers):
                    return
            except KafkaException:
                pass
            dead = [broker.said() for broker in self.brokers.values() if broker.node in want and not broker.alive]
            assert not dead, f"a broker ended: {dead[0]}"
            time.sleep(0.1)
        pytest.fail(f"the brokers {sorted(want)} did not answer within {timeout_s:g} s")

    def stop(self) -> None:
        """End what runs, at once: nobody reads these data again."""
        for broker in self.brokers.values():
            broker.kill()


@contextmanager
def running(
    folder: Path,
    count: int = 1,
    properties: Mapping[str, object] | None = None,
    heap_mb: int = 256,
    *,
    quick: bool = True,
) -> Iterator[Cluster]:
    """A cluster that serves, until the block ends."""
    cluster = Cluster(folder, count, properties, heap_mb=heap_mb, quick=quick)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


if __name__ == "__main__":
    install()
