"""A plant of many processes on real brokers, with its homes: each can be killed, stopped for a while and replaced.

What it did is watched from outside: in a copy of the topics that is made while the plant runs, in the fleet's ledger,
on the pages of health and metrics, and over HTTP.
"""

from __future__ import annotations

import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import dropwhile
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np

from powerflock.autobidder.records import IntervalBegan
from powerflock.compose.logs import open_plant_groups, open_plant_log
from powerflock.domain.batches import decode
from powerflock.domain.columns import COMMAND, SITE_EVENT, TELEMETRY
from powerflock.domain.errors import LogError
from powerflock.domain.registry import Registry
from powerflock.log.port import Log
from powerflock.market.account import Settlement, newest_of
from powerflock.plant.messages import Report, decode_order, decode_report
from powerflock.settings import load
from powerflock.sim.fleet import HOME_KINDS
from tests.acceptance.networks import Apart
from tests.acceptance.processes import Process, Reading, Watcher, free_port, ledger_lines, until

SPEED, PARTITIONS = 60.0, 4
PATIENCE_S = 240.0
"""A start takes seconds on a quiet machine; on a crowded one its computing comes slowly."""
USUAL_RATIO, MOVED_RATIO, LOST_RATIO = 0.1, 0.25, 0.02
"""Bounds of the energy settled against what flowed: of the middle interval, on average, and in all."""
JUDGED = 20
"""Intervals that are enough to compare."""
Told = tuple[int, int, int]
"""A command: row of its site, sequence number, epoch."""


def tell(figure: str) -> None:
    """A figure of this run, for whoever looks (`pytest -s`)."""
    sys.stderr.write(f"{figure}\n")


class Node(Process):
    """One process of the plant, with a page of health and metrics."""

    def __init__(
        self, role: str, name: str, settings: Path, host: str = "127.0.0.1", within: Sequence[str] = ()
    ) -> None:
        self.role, self.name, self.health = role, name, f"http://{host}:{(port := free_port())}"
        own = ["--name", name, "--health-port", str(port), "--config", str(settings)]
        super().__init__([role, *own], settings.parent / f"{name}.txt", within)

    def ready(self) -> bool:
        """Whether it may be given work."""
        try:
            return httpx.get(f"{self.health}/readyz", timeout=5.0).status_code == 200
        except httpx.HTTPError:
            return False

    def metrics(self) -> dict[str, float]:
        """Every number of its own by name and labels; none while it does not answer."""
        try:
            text = httpx.get(f"{self.health}/metrics", timeout=5.0).text
        except httpx.HTTPError:
            return {}
        return {
            name: float(value) for name, value in (line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
        }

    def owned(self) -> set[int]:
        """The partitions that it says it owns."""
        begin = 'powerflock_partition_owned{partition="'
        return {int(name.removeprefix(begin)[:-2]) for name in self.metrics() if name.startswith(begin)}

    def send(self, number: signal.Signals) -> None:
        """For a pause (`SIGSTOP`, `SIGCONT`)."""
        assert self.running is not None
        self.running.send_signal(number)


@dataclass(slots=True)
class Copied:
    """What the topics had, in their order, by partition."""

    readings: Counter[Reading] = field(default_factory=Counter)
    commands: dict[int, list[Told]] = field(default_factory=dict)
    reports: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    """Epoch and time of each."""
    orders: list[int] = field(default_factory=list)
    """Time of each."""
    settled: list[Settlement] = field(default_factory=list)


class Copy:
    """Reads the plant's topics through the log's own port while they are written, before anything is trimmed."""

    def __init__(self, log: Log) -> None:
        self._log, self._next = log, dict[tuple[str, int], int]()
        self._registry, self._names = Registry.empty(PARTITIONS), dict[int, list[tuple[str, str]]]()
        self.seen = Copied()

    def try_to_look(self) -> None:
        """Copy what is new, as far as the brokers answer."""
        with suppress(LogError):
            self.look()

    def look(self) -> None:
        """Copy what is new."""
        seen = self.seen
        for part in range(PARTITIONS):
            self._registry.replay(part, self._new("registry", part))
            for payload in self._new("telemetry", part):
                rows = decode(payload, TELEMETRY, SITE_EVENT)
                if rows.dtype == TELEMETRY:
                    names = self._devices(part)
                    pairs = zip(rows["device"].tolist(), rows["seq"].tolist(), strict=True)
                    seen.readings.update([(*names[device], seq) for device, seq in pairs])
            for payload in self._new("commands", part):
                told = decode(payload, COMMAND)[["site", "seq", "epoch"]].tolist()
                seen.commands.setdefault(part, []).extend(told)
            for report in map(decode_report, self._new("reports", part)):
                seen.reports.setdefault(part, []).append((report.epoch, report.now_us))
        seen.orders += [decode_order(payload).now_us for payload in self._new("orders", 0)]
        for payload in self._new("market", 0):
            seen.settled += msgspec.msgpack.decode(payload, type=IntervalBegan).settled

    def address(self, site: str) -> tuple[int, int]:
        """The site's partition and row."""
        found = self._registry.resolve(site)
        assert found is not None
        return found.partition, found.row

    def _new(self, topic: str, partition: int) -> list[bytes]:
        payloads: list[bytes] = []
        while entries := self._log.read(topic, partition, self._next.get((topic, partition), 0)):
            payloads += [entry.payload for entry in entries]
            self._next[topic, partition] = entries[-1].offset + 1
        return payloads

    def _devices(self, part: int) -> list[tuple[str, str]]:
        """Site and kind by device number."""
        table, specs = self._registry.table(part), self._registry.specs(part)
        if len(self._names.get(part, [])) != table.devices:
            numbers = {kind: table.first_of(kind).tolist() for kind in HOME_KINDS}
            names = {
                numbers[kind][row]: (spec.site, kind.wire) for row, spec in enumerate(specs) for kind in HOME_KINDS
            }
            self._names[part] = [names[device] for device in range(table.devices)]
        return self._names[part]


class Cluster:
    """Twins, autobidders, a gateway, an API process and homes, each by its name."""

    def __init__(self, folder: Path, servers: str, homes: int, more: Mapping[str, Mapping[str, object]]) -> None:
        self.folder, self.data = folder, folder / "plant"
        self.api, self.gateway = free_port(), free_port()
        self.settings = folder / "plant.toml"
        tables: dict[str, dict[str, object]] = {
            "plant": {"speed": SPEED, "data_dir": str(self.data), "partitions": PARTITIONS},
            "log": {"url": f"kafka://{servers}"},
            "kafka": {"session_s": 6.0, "patience_s": 15.0, "transaction_s": 10.0},
            "api": {"port": self.api},
            "gateway": {"port": self.gateway},
        }
        for name, values in more.items():
            tables[name] = {**tables.get(name, {}), **values}
        lines = [
            f"[{name}]\n" + "".join(f"{key} = {msgspec.json.encode(value).decode()}\n" for key, value in table.items())
            for name, table in tables.items()
        ]
        self.settings.write_text("\n".join(lines))
        self.nodes: dict[str, Node] = {}
        for role, names in {"autobidder": "a1 a2", "twins": "t1 t2", "gateway": "g1", "api": "p1"}.items():
            for name in names.split():
                self.add(role, name)
        self.ledger = folder / "ledger.jsonl"
        at = ["--url", f"ws://127.0.0.1:{self.gateway}/v1", "--api", f"http://127.0.0.1:{self.api}"]
        own = ["--homes", str(homes), "--period-s", "1", "--ledger", str(self.ledger)]
        self.homes = Process(
            ["fleet", *at, *own, "--enrol-key-file", str(self.data / "enrol.key")], folder / "homes.txt"
        )
        self.log = open_plant_log(load(config=self.settings).settings, folder / "no.sqlite")
        self.groups = open_plant_groups(load(config=self.settings).settings, folder / "no.sqlite")
        self._copy = Copy(self.log)
        self._watcher: Watcher | None = None

    def add(self, role: str, name: str) -> Node:
        """One more process, not started."""
        self.nodes[name] = Node(role, name, self.settings)
        return self.nodes[name]

    def add_apart(self, role: str, name: str, servers: str, net: Apart) -> Node:
        """The same in the network `net`, where the brokers are `servers`."""
        own = self.settings.with_name(f"{name}.toml")
        text = re.sub(r'url = "kafka://.*"', f'url = "kafka://{servers}"', self.settings.read_text())
        own.write_text(f'{text}\n[process]\nhost = "{net.inside}"\n')
        self.nodes[name] = Node(role, name, own, net.inside, net.within)
        return self.nodes[name]

    def start(self) -> None:
        """All of it, until every home is fresh and an award was delivered."""
        for name in ("a1", "t1", "g1", "p1"):
            self.nodes[name].start()
        until("the first processes to be there", lambda: self.nodes["p1"].metrics() != {}, PATIENCE_S)
        for name in ("a2", "t2"):
            self.nodes[name].start()
        self._watcher = Watcher(0.3, self._copy.try_to_look)
        self.homes.start()
        until("every home to report", self.covered, PATIENCE_S)

    @property
    def seen(self) -> Copied:
        """The copy, of which the newest is some tenths of a second old."""
        return self._copy.seen

    def address(self, site: str) -> tuple[int, int]:
        """The site's partition and row."""
        return self._copy.address(site)

    def get(self, path: str) -> Any:
        return httpx.get(f"http://127.0.0.1:{self.api}{path}", timeout=10.0).raise_for_status().json()

    def got(self, path: str) -> Any:
        """The same, asked again as a 503 advises."""
        found: list[Any] = []

        def ask() -> bool:
            try:
                found.append(self.get(path))
            except (httpx.TransportError, httpx.HTTPStatusError):
                return False
            return True

        until(f"an answer to {path}", ask, PATIENCE_S)
        return found[0]

    def covered(self) -> bool:
        """Whether live numbers are shown and every home is fresh."""
        try:
            state = self.get("/api/v1/state")
        except httpx.HTTPError:
            return False
        return (
            state["phase"] == "running"
            and state["output"]["delivered_mw"] is not None
            and state["coverage"]["ratio"] == 1.0
        )

    def newest(self) -> dict[int, tuple[int, int]]:
        """Of each partition the newest report's epoch and time."""
        found: dict[int, tuple[int, int]] = {}
        for part in range(PARTITIONS):
            reports: list[Report] = [decode_report(entry.payload) for entry in self.log.newest("reports", part)]
            if reports:
                found[part] = reports[0].epoch, reports[0].now_us
        return found

    def taken_over_s(self, partitions: set[int], before: Mapping[int, tuple[int, int]]) -> float:
        """Seconds until an owner of a higher epoch than `before` has reported of each of the `partitions`."""

        def newer() -> bool:
            now = self.newest()
            return all(part in now and now[part][0] > before[part][0] for part in partitions)

        return until(f"another owner of partitions {sorted(partitions)}", newer, PATIENCE_S)

    def reports_again_s(self, before: Mapping[int, tuple[int, int]]) -> float:
        """Seconds until every partition has reported something newer than `before`."""

        def newer() -> bool:
            now = self.newest()
            return all(now[part][1] > time_us for part, (_, time_us) in before.items())

        return until("every partition to report", newer, PATIENCE_S)

    def settles_s(self, count: int = 2) -> float:
        """Seconds until so many more intervals are settled; one that is revised is none."""
        before = self.settled
        return until("intervals to be settled", lambda: self.settled >= before + count, PATIENCE_S)

    @property
    def settled(self) -> int:
        """How many intervals are settled."""
        return len(newest_of(self.seen.settled))

    def shared(self) -> bool:
        """Whether every partition is turned by one process, and each twins process that runs turns some."""
        owned = [node.owned() for node in self.nodes.values() if node.role == "twins" and node.alive]
        return all(owned) and sorted(part for each in owned for part in each) == list(range(PARTITIONS))

    def owner(self, role: str) -> Node:
        """The autobidder that owns the portfolio, or the twins process with most partitions."""
        nodes = [node for node in self.nodes.values() if node.role == role and node.alive]
        if role == "autobidder":
            until("an autobidder to own the portfolio", lambda: any(map(owns_portfolio, nodes)), PATIENCE_S)
            return next(node for node in nodes if owns_portfolio(node))
        return max(nodes, key=lambda node: len(node.owned()))

    def replace(self, node: Node) -> None:
        """Start a process that was ended, and wait until it may be given work."""
        node.start()
        until(f"{node.name} to be ready", node.ready, PATIENCE_S)

    def renew(self, node: Node) -> None:
        """End a process in order and start it again: the partitions of others go on meanwhile."""
        others = {part for part in range(PARTITIONS) if part not in node.owned()}
        before = self.newest()
        assert node.end() == 0, node.said()[-2000:]
        self.replace(node)
        now = self.newest()
        assert all(now[part][1] > before[part][1] for part in others), f"while {node.name} was renewed: {before}, {now}"
        until("the partitions to be shared again", self.shared, PATIENCE_S)

    def finish(self) -> None:
        """The homes go; what they sent last has its effect, and all is copied."""
        assert self.homes.end() == 0
        time.sleep(3.0)
        assert self._watcher is not None
        self._watcher.finish()
        self._copy.look()

    def stop(self) -> None:
        """Kill what is left."""
        if self._watcher is not None:
            self._watcher.stop()
        for process in [self.homes, *self.nodes.values()]:
            process.kill()
        self.groups.close()
        self.log.close()

    def said(self) -> str:
        """The end of what each process said, for a failure's report."""
        return "\n".join(f"{node.name}: {node.said()[-2000:]}" for node in self.nodes.values())

    def lines(self, kind: str) -> list[dict[str, Any]]:
        """The ledger's whole lines of one kind."""
        return ledger_lines(self.ledger, kind)


def owns_portfolio(node: Node) -> bool:
    """Whether it says so."""
    return node.metrics().get("powerflock_portfolio_owned") == 1.0


@contextmanager
def plant(
    folder: Path, servers: str, homes: int, *, sources: Path | None = None, **more: Mapping[str, object]
) -> Iterator[Cluster]:
    """A plant that runs, every home fresh, until the block ends; `sources` are those of the processes' version."""
    cluster = Cluster(folder, servers, homes, more)
    try:
        for node in cluster.nodes.values():
            node.sources = sources
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def check_readings(cluster: Cluster) -> str:
    """Nothing acknowledged is missing, nothing is stored that was not sent. Returns how many there were."""
    sent, acked = (
        {(line["site"], device, seq) for line in cluster.lines(kind) for device, seq in line["seqs"].items()}
        for kind in ("sent", "acked")
    )
    stored = cluster.seen.readings
    assert len(acked) > 1000
    assert acked <= stored.keys(), f"{len(acked - stored.keys())} readings were acknowledged but not stored"
    assert stored.keys() <= sent, "readings were stored that were never sent"
    repeats = sum(stored.values()) - len(stored)
    return f"{len(acked)} readings acknowledged, 0 lost, {repeats} stored twice"


def check_commands(cluster: Cluster) -> str:
    """Each command was written by the newest owner of its time, and applied once, in order, at the edge."""
    for part, told in cluster.seen.commands.items():
        epochs = [epoch for *_, epoch in told]
        assert epochs == sorted(epochs), f"an owner of partition {part} wrote after its successor"
    written = {(part, *row) for part, told in cluster.seen.commands.items() for row in told}
    newest: dict[str, tuple[int, int]] = {}
    applied = 0
    for line in cluster.lines("command"):
        part, row = cluster.address(line["site"])
        assert (part, row, line["seq"], line["epoch"]) in written, "a command came that nobody wrote"
        if line["status"] == "applied":
            applied += 1
            assert (line["epoch"], line["seq"]) > newest.get(line["site"], (0, 0)), "applied twice, or out of order"
            newest[line["site"]] = line["epoch"], line["seq"]
    assert applied > 0
    return f"{applied} commands applied, 0 twice, 0 of an older owner"


def check_account(cluster: Cluster, interval_us: int) -> str:
    """Every interval is settled, with the energy that flowed in it. Returns how far that is from the truth.

    Energy is counted by registers, so whatever was estimated meanwhile comes right: in all, only what was estimated at
    the two ends of some fifty intervals may be missing, a part of what flows between two readings of a home (a fifth of
    an interval here). By interval as much may move to a neighbour, so that half of them are nearly right. The worst are
    those in which the gateway was away: its homes are estimated, and come right in the interval of their return.
    """
    settled = newest_of(cluster.seen.settled)
    starts = [item.interval_us for item in settled]
    assert starts == [starts[0] + number * interval_us for number in range(len(starts))]
    truth = {
        line["start_us"]: -sum(line["net_kwh"].values()) / 1000.0
        for line in cluster.lines("energy")
        if line["end_us"] - line["start_us"] == interval_us
    }
    whole = tuple(range(PARTITIONS))
    known = dropwhile(lambda item: item.partitions != whole, settled)  # before that the plant was being started
    judged = [item for item in known if item.interval_us in truth]
    assert len(judged) >= JUDGED
    missing = [item for item in judged if item.partitions != whole]
    assert not missing, f"what came late was never settled: {missing}"
    told, real = np.array([(item.delivered_mwh, truth[item.interval_us]) for item in judged]).T
    off, flowed = np.abs(told - real), float(np.abs(real).mean())
    usual, moved = float(np.median(off)) / flowed, float(off.mean()) / flowed
    lost = float(told.mean() - real.mean()) / flowed
    revised = sum(item.revision > 0 for item in settled)
    figure = f"energy off by {usual:.1%} in the middle interval, by {moved:.1%} on average, in all {lost:+.2%}"
    assert usual <= USUAL_RATIO, figure
    assert moved <= MOVED_RATIO, figure
    assert abs(lost) <= LOST_RATIO, figure
    return f"{len(starts)} intervals settled, {revised} of them revised; {figure}"
