"""From WebSocket frames to groups' totals through Kafka: five real processes and a real broker, on this machine.

Gateway, twins, autobidder and API are started as users start them, with a broker beside them; a thousand homes send a
message a second each. A group's total is watched through the API process, which knows it by the topics alone: a reading
passes the gateway, the broker, its partition's turn, the broker again and the API's next look, each once a second.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

from benchmarks.device_clients import Clients
from benchmarks.end_to_end import Measured, addresses, cpu_s, homes, process, spread, watch
from benchmarks.kafka import broker
from benchmarks.rows import Row, less_is_better
from powerflock.domain.site import SiteSpec
from powerflock.sim.enrol import NotThere, enrol, read_key

NAME = "cluster"
SUMMARY = "from WebSocket frames to groups' totals through Kafka and five processes; 1,000 homes, 1 Hz"

HOMES = 1_000
PARTITIONS = 4
SECONDS, QUICK_SECONDS = 30, 5
MESSAGES, QUICK_MESSAGES = 20, 5
LIMIT_MS = 4_000.0
ROLES = ("gateway", "twins", "autobidder", "api")
_START_S, _HEARD_S = 60.0, 2.0
"""How long the plant may take to take sites; and after how long its gateway has read of new ones for certain."""


def run(*, quick: bool) -> list[Row]:
    """Rows: reading to group total against four looks at 1 Hz; acknowledgement, rate and each role's processor."""
    seconds, messages = (QUICK_SECONDS, QUICK_MESSAGES) if quick else (SECONDS, MESSAGES)
    with (
        tempfile.TemporaryDirectory(prefix="powerflock-bench-") as folder,
        broker() as servers,
        _plant(Path(folder), servers) as plant,
    ):
        measured, shares = asyncio.run(_measure(plant, seconds, messages))
    load = f"{HOMES:,} homes, 1 Hz, through Kafka"
    limit, most = "limit: four looks at 1 Hz", f"most readings acknowledged, {HOMES:,} homes at once"
    return [
        *(less_is_better(f"reading to group total, {load}, {name}", ms, "ms", limit, LIMIT_MS)
          for name, ms in spread(measured.group_s)),
        *(Row(metric=f"reading to durable acknowledgement, {name}", value=ms, unit="ms")
          for name, ms in spread(measured.ack_s)),
        Row(metric=f"readings under that load, {load}", value=measured.readings_per_s, unit="readings/s"),
        *(Row(metric=f"CPU of the {role} process", value=share, unit="cores") for role, share in shares.items()),
        Row(metric=most, value=measured.most_per_s, unit="readings/s"),
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plant:
    """Where it answers, and each role's process number."""

    api: str
    gateway: str
    data: Path
    pids: dict[str, int]


@contextmanager
def _plant(folder: Path, servers: str) -> Iterator[Plant]:
    """A process of each role, on ports that the system chooses."""
    data, settings = folder / "plant", folder / "plant.toml"
    settings.write_text(
        f'[plant]\ndata_dir = "{data}"\npartitions = {PARTITIONS}\n[log]\nurl = "kafka://{servers}"\n'
        f'[kafka]\ntopic_prefix = "{NAME}."\n'
        "[api]\nport = 0\n[gateway]\nport = 0\n[process]\nport = 0\n"
    )
    with ExitStack() as stack:
        pids, found = {}, {}
        for role in ROLES:
            child, found[role] = role_process(stack, settings, role, role)
            pids[role] = child.pid
        yield Plant(found["api"], found["gateway"], data, pids)


def role_process(stack: ExitStack, settings: Path, role: str, name: str) -> tuple[Popen[bytes], str]:
    """A role's process until the stack ends, and its address: its door where it has one, else its page of health."""
    command = [sys.executable, "-m", "powerflock", role, "--name", name, "--config", str(settings)]
    child, output = stack.enter_context(process(command, settings.parent / name, settings.parent))
    return child, addresses(child, output, 2 if role in {"gateway", "api"} else 1)[-1]


async def _measure(plant: Plant, seconds: int, messages: int) -> tuple[Measured, dict[str, float]]:
    specs = homes(HOMES)
    clients = Clients(specs, await asyncio.to_thread(enrolled, plant.api, plant.data / "enrol.key", specs))
    await asyncio.sleep(_HEARD_S)
    await clients.connect(plant.gateway)
    await clients.send(3)
    before, start = {role: cpu_s(pid) for role, pid in plant.pids.items()}, time.perf_counter()
    await clients.send(seconds)
    wall_s = time.perf_counter() - start
    shares = {role: (cpu_s(pid) - before[role]) / wall_s for role, pid in plant.pids.items()}
    measured = Measured(list(clients.ack_s), readings_per_s=clients.readings / seconds)
    await watch(clients, plant.api, seconds, messages, measured, LIMIT_MS / 1e3)
    clients.leave()
    return measured, shares


def enrolled(api: str, key_file: Path, specs: list[SiteSpec]) -> dict[str, str]:
    """Tokens of the homes, asked for until the plant takes sites."""
    end = time.perf_counter() + _START_S
    while True:
        try:
            return enrol(api, read_key(key_file), specs)
        except NotThere:
            if time.perf_counter() > end:
                raise
            time.sleep(0.5)
