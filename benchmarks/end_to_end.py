"""How long a reading takes from a home to its group's total, and to its acknowledgement: real processes and sockets.

A plant is started as a user starts it (gateway, SQLite log, ring, API), with a folder of its own; a thousand homes send
a message a second each over WebSockets. A group's total is watched through the REST API, so its latency includes being
asked. The peer commits each message by itself.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.device_clients import STEADY_KW, STEP_KW, Clients
from benchmarks.rows import Row, less_is_better, more_is_better
from powerflock.domain.site import SiteSpec
from powerflock.sim.enrol import enrol, read_key
from powerflock.sim.homes import generate

NAME = "end_to_end"
SUMMARY = "from a home's reading to its group's total: gateway, SQLite log, ring, REST; 1,000 homes, 1 Hz"

HOMES = 1_000
HOMES_PER_FEEDER = 10
SECONDS, QUICK_SECONDS = 30, 5
MESSAGES, QUICK_MESSAGES = 20, 5
LIMIT_MS = 2_000.0
_START_S = 40.0
_POLL_S = 0.02
_ADDRESS = re.compile(r"(https?://[\w.]+:\d+|ws://[\w.]+:\d+/v1)")


def run(*, quick: bool) -> list[Row]:
    """Rows: reading to group total against two turns of the ring; acknowledgement and CPU against the peer."""
    seconds, messages = (QUICK_SECONDS, QUICK_MESSAGES) if quick else (SECONDS, MESSAGES)
    specs = homes(HOMES)
    with tempfile.TemporaryDirectory(prefix="powerflock-bench-") as folder:
        peer = asyncio.run(_measure_peer(specs, Path(folder) / "peer", seconds, messages))
        ours = asyncio.run(_measure_plant(specs, Path(folder) / "plant", seconds, messages))
    load = f"{HOMES:,} homes, 1 Hz"
    limit, committing = "limit: two turns of the ring at 1 Hz", "a commit for each message"
    rows = [
        less_is_better(f"reading to group total, {load}, {name}", value, "ms", limit, LIMIT_MS)
        for name, value in spread(ours.group_s)
    ]
    for (name, value), (_, theirs) in zip(spread(ours.ack_s), spread(peer.ack_s), strict=True):
        rows.append(less_is_better(f"reading to durable acknowledgement, {name}", value, "ms", committing, theirs))
    return [
        *rows,
        less_is_better("CPU of the whole plant, share of a core", ours.cpu_ratio, "cores", committing, peer.cpu_ratio),
        Row(metric=f"readings under that load, {load}", value=ours.readings_per_s, unit="readings/s"),
        more_is_better(
            f"most readings acknowledged, {HOMES:,} homes at once",
            ours.most_per_s,
            "readings/s",
            committing,
            peer.most_per_s,
        ),
    ]


@dataclass(slots=True)
class Measured:
    """What one server did under the load; `group_s` stays empty for the peer."""

    ack_s: list[float] = field(default_factory=list)
    group_s: list[float] = field(default_factory=list)
    cpu_ratio: float = 0.0
    readings_per_s: float = 0.0
    most_per_s: float = 0.0


def homes(count: int) -> list[SiteSpec]:
    """Generated homes, ten to a feeder."""
    specs = generate(count, 1, 1, 0).specs
    return [
        msgspec.structs.replace(spec, region="R", path=(), feeder=f"F{row // HOMES_PER_FEEDER:03d}")
        for row, spec in enumerate(specs)
    ]


async def _measure_peer(specs: list[SiteSpec], folder: Path, seconds: int, messages: int) -> Measured:
    with process([sys.executable, "-m", "benchmarks.naive_plant", str(folder)], folder, Path.cwd()) as (child, output):
        (url,) = addresses(child, output, 1)
        clients = Clients(specs, {})
        await clients.connect(url)
        await clients.send(1)
        measured = await _load(clients, child.pid, seconds)
        measured.most_per_s = await clients.burst(messages)
        return measured


async def _measure_plant(specs: list[SiteSpec], folder: Path, seconds: int, messages: int) -> Measured:
    data = folder / "data"
    command = [sys.executable, "-m", "powerflock", "up", "--data-dir", str(data), "--port", "0", "--gateway-port", "0"]
    with process(command, folder, folder) as (child, output):
        api, url = addresses(child, output, 2)
        tokens = enrol(api, read_key(data / "enrol.key"), specs)
        clients = Clients(specs, tokens)
        await clients.connect(url)
        await clients.send(3)
        measured = await _load(clients, child.pid, seconds)
        await watch(clients, api, seconds, messages, measured, LIMIT_MS / 1e3)
        _check_counts(api, (3 + 2 * seconds + messages) * (clients.readings // messages))
        clients.leave()
        return measured


async def watch(
    clients: Clients, api: str, seconds: int, messages: int, measured: Measured, settle_s: float
) -> None:  # fmt: skip
    """Measure how long readings take into their groups' totals at `api`, and how many are acknowledged at most."""
    watcher = Watcher(api)
    await asyncio.to_thread(watcher.wait_until_known, clients.members)
    await clients.send(seconds)
    await asyncio.sleep(settle_s)
    measured.group_s = watcher.stop(clients)
    measured.most_per_s = await clients.burst(messages)
    await asyncio.sleep(settle_s)


async def _load(clients: Clients, pid: int, seconds: int) -> Measured:
    """Send for `seconds`; nobody asks the server anything meanwhile."""
    cpu, start = cpu_s(pid), time.perf_counter()
    await clients.send(seconds)
    if clients.late_s > 0.25:
        sys.stderr.write(f"end_to_end: the clients were up to {clients.late_s:.2f} s late: the machine is busy\n")
    wall = time.perf_counter() - start
    return Measured(list(clients.ack_s), [], (cpu_s(pid) - cpu) / wall, clients.readings / seconds)


class Watcher:
    """A thread that asks for the groups again and again and notes when each feeder's total was first seen."""

    def __init__(self, api: str) -> None:
        """Watch the plant at `api`."""
        self._url = f"{api}/api/v1/groups"
        self._seen: dict[str, list[tuple[float, int]]] = {}
        self._members: Mapping[str, int] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)

    def wait_until_known(self, members: Mapping[str, int]) -> None:
        """Return when every feeder, of `members` homes each, has a total; then start to watch."""
        self._members = members
        end = time.perf_counter() + _START_S
        while not members.keys() <= {row.group for row in self._ask() if row.power_kw is not None}:
            if time.perf_counter() > end:
                raise RuntimeError(f"after {_START_S:g} s some feeders still have no total")
            time.sleep(0.1)
        self._thread.start()

    def stop(self, clients: Clients) -> list[float]:
        """Seconds from each of the probes' readings to the first total that held it; every one must be found."""
        self._stop.set()
        self._thread.join()
        latencies = []
        for feeder, number, sent in clients.probes:
            found = next((at for at, seen in self._seen.get(feeder, []) if at > sent and seen >= number), None)
            if found is None:
                raise RuntimeError(f"reading {number} of the probe in {feeder} never reached its group's total")
            latencies.append(found - sent)
        return latencies

    def _watch(self) -> None:
        while not self._stop.wait(_POLL_S):
            rows = self._ask()
            at = time.perf_counter()
            for row in rows:
                if row.group in self._members and row.power_kw is not None:
                    steady = STEADY_KW * (self._members[row.group] - 1)
                    number = round((row.power_kw - steady) / STEP_KW)
                    seen = self._seen.setdefault(row.group, [])
                    if not seen or seen[-1][1] != number:
                        seen.append((at, number))

    def _ask(self) -> list[_Group]:
        with urllib.request.urlopen(self._url, timeout=10.0) as answer:  # noqa: S310 - our own http address
            return _GROUPS.decode(answer.read())


class _Group(msgspec.Struct, frozen=True):
    group: str
    power_kw: float | None


_GROUPS = msgspec.json.Decoder(list[_Group])


def _check_counts(api: str, readings: int) -> None:
    """Every reading took effect, once: the plant's own counters say so."""
    with urllib.request.urlopen(f"{api}/metrics", timeout=10.0) as answer:  # noqa: S310 - our own http address
        text = answer.read().decode()
    lines = re.findall(r"^powerflock_readings_(\w+)_total (\S+)$", text, re.MULTILINE)
    found = {name: float(value) for name, value in lines}
    expected = {"applied": float(readings), "repeated": 0.0, "refused": 0.0}
    if found != expected:
        raise RuntimeError(f"the plant counts {found} where {expected} were acknowledged")


@contextmanager
def process(command: list[str], folder: Path, cwd: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """The command as a process without our settings and thread limits; yields it and the file of what it prints."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    environment = {name: value for name, value in kept.items() if not name.startswith("POWERFLOCK_")}
    folder.mkdir()
    output = folder / "output.txt"
    with output.open("wb") as target:
        child = subprocess.Popen(command, stdout=target, stderr=subprocess.STDOUT, cwd=cwd, env=environment)
        try:
            yield child, output
        finally:
            child.terminate()
            try:
                child.wait(10.0)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def addresses(child: subprocess.Popen[bytes], output: Path, count: int) -> list[str]:
    """The first `count` addresses that the process prints."""
    end = time.perf_counter() + _START_S
    while len(found := _ADDRESS.findall(output.read_text())) < count:
        if child.poll() is not None or time.perf_counter() > end:
            raise RuntimeError(f"the process printed no address, exit {child.returncode}: {output.read_text()[-2000:]}")
        time.sleep(0.05)
    return list(found[:count])


def cpu_s(pid: int) -> float:
    """Processor seconds that the process has used, all its threads."""
    parts = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


def spread(seconds: list[float]) -> list[tuple[str, float]]:
    """Median and tails, ms."""
    values = np.percentile(np.array(seconds) * 1e3, [50, 95, 99]).tolist()
    return list(zip(("median", "95th percentile", "99th percentile"), values, strict=True))
