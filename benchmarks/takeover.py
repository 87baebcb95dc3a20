"""How long 100,000 devices are without an owner when their twins process is killed: real processes, a real broker.

Two twins processes share a fleet; readings of every device come every five seconds, straight into the topic as gateways
write them. One process is killed with SIGKILL: the group has to miss it for a session, another takes its partitions
over from the newest snapshot and the log since, and reports. It is killed just before an interval ends, so that the
other partitions have commands to write meanwhile: how many, and how long they were silent at most, is told too.
"""

from __future__ import annotations

import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import numpy as np

from benchmarks.cluster import enrolled, role_process
from benchmarks.kafka import broker, produce
from benchmarks.rows import Row, less_is_better
from powerflock.domain.arrays import Records
from powerflock.domain.batches import decode
from powerflock.domain.columns import COMMAND, TELEMETRY
from powerflock.domain.registry import Registry
from powerflock.log.follower import entries
from powerflock.log.kafka_options import KafkaOptions
from powerflock.log.open import open_log
from powerflock.log.port import Log
from powerflock.plant.messages import decode_report
from powerflock.sim.homes import generate

NAME = "takeover"
PREFIX = f"{NAME}."
SUMMARY = "100,000 devices taken over from a twins process that was killed, the other partitions going on"

HOMES, QUICK_HOMES = 72_000, 2_000
PARTITIONS, INTERVAL_S, BATCH_ROWS, PERIOD_S = 4, 300, 10_000, 5.0
SESSION_S, LIMIT_S, SILENCE_S = KafkaOptions().session_s, 15.0, 3.0
_PATIENCE_S, _LOOK_S, _BEFORE_S = 300.0, 0.1, 3.0
_OWNED = 'powerflock_partition_owned{partition="'


def run(*, quick: bool) -> list[Row]:
    """Rows: seconds from the kill to the new owner's reports; and what the other partitions did meanwhile."""
    with tempfile.TemporaryDirectory(prefix="powerflock-bench-") as folder, broker() as servers:
        log = open_log(f"kafka://{servers}", KafkaOptions(prefix=PREFIX, partitions=PARTITIONS))
        with _plant(Path(folder), servers, QUICK_HOMES if quick else HOMES, log) as plant, _load(log, plant.rows):
            _until("both processes to have applied a reading of each device", plant.applied)
            _until("each partition to have reported", lambda: len(_reports(log, range(PARTITIONS))) == PARTITIONS)
            time.sleep(2 * PERIOD_S)
            time.sleep(-(time.time() + _BEFORE_S) % INTERVAL_S)
            taken = _take_over(log, plant)
        log.close()
    devices = f"{taken.devices:,} devices"
    return [
        less_is_better(f"{devices} of a killed process reported by another", taken.seconds, "s", "limit", LIMIT_S),
        Row(metric="of which the group waits for the killed one", value=SESSION_S, unit="s"),
        less_is_better("longest silence of any other partition", taken.silence_s, "s", "limit: 3 turns", SILENCE_S),
        Row(metric="commands written for the other partitions meanwhile", value=taken.commands, unit="commands"),
    ]


@dataclass(frozen=True, slots=True)
class Taken:
    """What a takeover took, and what the others did meanwhile."""

    devices: int
    seconds: float
    silence_s: float
    commands: int


@dataclass(frozen=True, slots=True)
class Plant:
    """Two twins processes with their pages of health, and a reading of each device by partition."""

    twins: Sequence[tuple[Popen[bytes], str]]
    rows: Sequence[Records]

    def applied(self) -> bool:
        """Whether every device has reported."""
        counted = sum(_number(health, "powerflock_readings_applied_total") for _, health in self.twins)
        return counted >= sum(own.size for own in self.rows)


@contextmanager
def _plant(folder: Path, servers: str, homes: int, log: Log) -> Iterator[Plant]:
    settings = folder / "plant.toml"
    settings.write_text(
        f'[plant]\ndata_dir = "{folder / "plant"}"\npartitions = {PARTITIONS}\n'
        f'[log]\nurl = "kafka://{servers}"\n[kafka]\ntopic_prefix = "{PREFIX}"\nsession_s = {SESSION_S}\n'
        "[api]\nport = 0\n[process]\nport = 0\n"
    )
    with ExitStack() as stack:
        _, api = role_process(stack, settings, "api", "p1")
        enrolled(api, folder / "plant" / "enrol.key", generate(homes, 1, 1, 0).specs)
        role_process(stack, settings, "autobidder", "a1")
        twins = []
        for name in ("t1", "t2"):
            twins.append(role_process(stack, settings, "twins", name))
            _until(f"{name} to own a partition", lambda: bool(_owned(twins[-1][1])))
        _until(
            "the partitions to be shared", lambda: all(len(_owned(health)) == PARTITIONS // 2 for _, health in twins)
        )
        yield Plant(twins, _readings(log))


def _readings(log: Log) -> list[Records]:
    """A reading of each device, by partition, in random order."""
    registry, rng = Registry.empty(PARTITIONS), np.random.default_rng(1)
    rows = []
    for part in range(PARTITIONS):
        registry.replay(part, [entry.payload for entry in entries(log, "registry", part, 0)])
        own: Records = np.zeros(registry.table(part).devices, TELEMETRY)
        own["device"] = rng.permutation(own.size)
        own["energy_kwh"] = 5.0
        own["charge_limit_kw"] = own["discharge_limit_kw"] = own["capacity_kwh"] = np.nan
        rows.append(own)
    return rows


@contextmanager
def _load(log: Log, rows: Sequence[Records]) -> Iterator[None]:
    """Readings without end, from a thread."""
    stop = threading.Event()

    def send() -> None:
        pause_s = 0.0
        while not stop.wait(pause_s):
            began = time.monotonic()
            for own in rows:
                own["seq"] += np.int64(1)
                own["time_us"] = own["received_us"] = time.time_ns() // 1_000
            produce(log, rows, BATCH_ROWS)
            pause_s = max(began + PERIOD_S - time.monotonic(), 0.0)

    thread = threading.Thread(target=send, name="load")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _take_over(log: Log, plant: Plant) -> Taken:
    child, health = plant.twins[0]
    gone = _owned(health)
    others = [part for part in range(PARTITIONS) if part not in gone]
    before, ends = _reports(log, gone), {part: log.end("commands", part) for part in others}
    heard, silence_s = dict.fromkeys(others, (0, time.monotonic())), 0.0
    child.kill()
    killed = time.monotonic()
    while any(epoch <= before[part][0] for part, (epoch, _) in _reports(log, gone).items()):
        for part, (_, time_us) in _reports(log, others).items():
            silence_s = max(silence_s, time.monotonic() - heard[part][1])
            if time_us > heard[part][0]:
                heard[part] = time_us, time.monotonic()
        if time.monotonic() - killed > _PATIENCE_S:
            raise RuntimeError(f"nobody took over within {_PATIENCE_S:g} s")
        time.sleep(_LOOK_S)
    seconds = time.monotonic() - killed
    written = (entry for part in others for entry in entries(log, "commands", part, ends[part]))
    commands = sum(decode(entry.payload, COMMAND).size for entry in written)
    return Taken(sum(plant.rows[part].size for part in gone), seconds, silence_s, commands)


def _reports(log: Log, parts: Collection[int]) -> dict[int, tuple[int, int]]:
    """Epoch and time of each partition's newest report."""
    found = {}
    for part in parts:
        for entry in log.newest("reports", part):
            report = decode_report(entry.payload)
            found[part] = report.epoch, report.now_us
    return found


def _owned(health: str) -> set[int]:
    """The partitions that the process at `health` says it turns."""
    return {int(line.removeprefix(_OWNED).partition('"')[0]) for line in _metrics(health) if line.startswith(_OWNED)}


def _number(health: str, name: str) -> float:
    return sum(float(line.rsplit(" ", 1)[1]) for line in _metrics(health) if line.startswith(f"{name} "))


def _metrics(health: str) -> list[str]:
    with urllib.request.urlopen(f"{health}/metrics", timeout=10.0) as answer:  # noqa: S310 - our own http address
        return list(answer.read().decode().splitlines())


def _until(what: str, ready: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE_S
    while not ready():
        if time.monotonic() > end:
            raise RuntimeError(f"waited {_PATIENCE_S:g} s in vain for {what}")
        time.sleep(_LOOK_S)
