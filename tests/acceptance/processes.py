"""The plant and its homes as real processes, watched from outside: over HTTP, in the log, and in the fleet's ledger."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest

from powerflock.autobidder.records import IntervalBegan
from powerflock.domain.batches import decode
from powerflock.domain.columns import SITE_EVENT, TELEMETRY
from powerflock.domain.registry import Registry
from powerflock.log.sqlite import SqliteLog
from powerflock.sim.fleet import HOME_KINDS
from tests.data import ROOT

Reading = tuple[str, str, int]
"""Site, device kind, sequence number."""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment() -> dict[str, str]:
    """The developer's, without settings of their own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("POWERFLOCK_")}


def command(arguments: Sequence[str]) -> list[str]:
    """`powerflock ARGUMENTS` with this Python."""
    return [sys.executable, "-m", "powerflock", *arguments]


def until(what: str, ready: Callable[[], bool], timeout_s: float) -> float:
    """Seconds until `ready`."""
    start = time.monotonic()
    while time.monotonic() - start < timeout_s:
        if ready():
            return time.monotonic() - start
        time.sleep(0.05)
    pytest.fail(f"waited {timeout_s:g} s for {what}")


def ledger_lines(ledger: Path, kind: str) -> list[dict[str, Any]]:
    """The ledger's whole lines of one kind."""
    lines = ledger.read_text().splitlines() if ledger.exists() else []
    return [line for text in lines if (line := json.loads(text))["kind"] == kind]


class Process:
    """A command that is started, killed and started again; what it said on stderr is kept in a file.

    `sources` are those of another version that runs from the next start on, None of this one.
    """

    sources: Path | None = None

    def __init__(self, arguments: Sequence[str], said: Path, within: Sequence[str] = ()) -> None:
        """`within` is a command that runs another, such as one in a network of its own."""
        self._command, self._said = [*within, *command(arguments)], said
        self.running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        of = environment() | ({"PYTHONPATH": str(self.sources)} if self.sources is not None else {})
        with self._said.open("ab") as said:
            self.running = subprocess.Popen(self._command, cwd=ROOT, env=of, stdout=said, stderr=said)

    @property
    def alive(self) -> bool:
        return self.running is not None and self.running.poll() is None

    def kill(self) -> None:
        """SIGKILL: no warning, no goodbye."""
        if self.running is not None:
            self.running.kill()
            self.running.wait(10)

    def end(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self.running is not None
        self.running.send_signal(signal.SIGTERM)
        return self.running.wait(20)

    def said(self) -> str:
        return self._said.read_text() if self._said.exists() else ""


class Plant(Process):
    """`powerflock up` on ports and a folder of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.data, self.api, self.gateway = folder / "plant", free_port(), free_port()
        self.url, self.ws = f"http://127.0.0.1:{self.api}", f"ws://127.0.0.1:{self.gateway}/v1"
        own = ["--data-dir", str(self.data), "--port", str(self.api), "--gateway-port", str(self.gateway)]
        super().__init__(["up", *own, *options], folder / "plant.txt")

    @property
    def enrol_key(self) -> Path:
        return self.data / "enrol.key"

    def get(self, path: str) -> Any:
        return httpx.get(f"{self.url}{path}", timeout=10.0).raise_for_status().json()

    def state(self) -> dict[str, Any] | None:
        """The state, or None while nobody answers."""
        try:
            return dict(self.get("/api/v1/state"))
        except httpx.HTTPError:
            return None

    def covered(self) -> bool:
        """Whether live numbers are shown and every home is fresh."""
        state = self.state()
        return (
            state is not None
            and state["phase"] == "running"
            and state["output"]["delivered_mw"] is not None
            and state["coverage"]["ratio"] == 1.0
        )

    def intervals(self) -> int:
        """How many intervals are settled; −1 while that is not known."""
        state = self.state()
        return -1 if state is None or state["phase"] == "recovering" else int(state["account"]["intervals"])

    def metric(self, name: str) -> float:
        lines = httpx.get(f"{self.url}/metrics").text.splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith(f"{name} ")))

    def market(self) -> list[IntervalBegan]:
        """Every interval that began, from the log."""
        log = SqliteLog(self.data / "log.sqlite")
        try:
            entries = log.read("market", 0, 0, 1_000_000)
        finally:
            log.close()
        return [msgspec.msgpack.decode(entry.payload, type=IntervalBegan) for entry in entries]


class Homes(Process):
    """`powerflock fleet` at a plant, with a ledger."""

    def __init__(self, folder: Path, plant: Plant, *options: str) -> None:
        self.ledger = folder / "ledger.jsonl"
        at = ["--url", plant.ws, "--api", plant.url, "--enrol-key-file", str(plant.enrol_key)]
        super().__init__(["fleet", *at, "--ledger", str(self.ledger), *options], folder / "homes.txt")

    def lines(self, kind: str) -> list[dict[str, Any]]:
        """The ledger's whole lines of one kind."""
        return ledger_lines(self.ledger, kind)

    def readings(self, kind: str) -> set[Reading]:
        """The readings in the ledger's `sent` or `acked` batches."""
        return {(line["site"], device, seq) for line in self.lines(kind) for device, seq in line["seqs"].items()}


class Watcher:
    """Does `look` every `period_s` beside the test until `finish`, which raises what it raised."""

    def __init__(self, period_s: float, look: Callable[[], None]) -> None:
        self._period_s, self._look, self._stopping = period_s, look, threading.Event()
        self._pool = ThreadPoolExecutor(1)
        self._done = self._pool.submit(self._run)

    def _run(self) -> None:
        while not self._stopping.wait(self._period_s):
            self._look()
        self._look()

    def stop(self) -> None:
        """Look once more, and stop."""
        self._stopping.set()
        self._pool.shutdown()

    def finish(self) -> None:
        """Stop, and raise what went wrong."""
        self.stop()
        self._done.result()


class Tail:
    """A copy of every telemetry entry, read beside the plant through the log's own port before retention trims it."""

    def __init__(self, plant: Plant) -> None:
        self._file, self._log = plant.data / "log.sqlite", None
        self._next: dict[int, int] = {}
        self._devices: dict[int, list[tuple[str, str]]] = {}
        self.readings: list[Reading] = []

    def look(self) -> None:
        """Copy what is new; a gap in the offsets fails."""
        if not (self._file.exists() and self._file.stat().st_size):
            return
        log = SqliteLog(self._file)
        try:
            for partition in range(4):
                self._copy(log, partition)
        finally:
            log.close()

    def _copy(self, log: SqliteLog, partition: int) -> None:
        while entries := log.read("telemetry", partition, self._next.get(partition, 0)):
            for entry in entries:
                assert entry.offset == self._next.get(partition, 0), "an entry was trimmed before it was copied"
                self._next[partition] = entry.offset + 1
                rows = decode(entry.payload, TELEMETRY, SITE_EVENT)
                if rows.dtype == SITE_EVENT:
                    continue
                names = self._names(log, partition, int(rows["device"].max()))
                self.readings += [
                    (*names[device], seq)
                    for device, seq in zip(rows["device"].tolist(), rows["seq"].tolist(), strict=True)
                ]

    def _names(self, log: SqliteLog, partition: int, most: int) -> list[tuple[str, str]]:
        """Site and kind by device number, from the registry's events."""
        if len(self._devices.get(partition, [])) <= most:
            registry = Registry.empty(4)
            registry.replay(partition, [entry.payload for entry in log.read("registry", partition, 0, 1_000_000)])
            table, specs = registry.table(partition), registry.specs(partition)
            numbers = np.stack([table.first_of(kind) for kind in HOME_KINDS])
            names = {
                int(numbers[kind, row]): (spec.site, kind.wire) for row, spec in enumerate(specs) for kind in HOME_KINDS
            }
            self._devices[partition] = [names[device] for device in range(max(names) + 1)]
        return self._devices[partition]
