"""A small past for the history's tests: two partitions of homes, a log, and readings with chosen times and powers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from powerflock.domain.arrays import Records
from powerflock.domain.batches import encode
from powerflock.domain.clock import MICROS_PER_S
from powerflock.domain.columns import TELEMETRY
from powerflock.domain.ids import partition_of
from powerflock.domain.registry import Registry
from powerflock.groups.hierarchy import Hierarchy
from powerflock.history.group_series import encode_rows
from powerflock.history.historian import Historian
from powerflock.history.names import Directory
from powerflock.history.query import History
from powerflock.history.tables import GROUP_VALUES
from powerflock.history.words import Device, Group, Span
from powerflock.log.memory import MemoryLog
from powerflock.log.port import Log
from tests.unit.plant.small import START_US, homes

PARTITIONS = 2
HOUR_US = 3600 * MICROS_PER_S
DAY_US = 24 * HOUR_US
LATE_US = 120 * MICROS_PER_S
EVER = Span(START_US - 40 * DAY_US, START_US + 40 * DAY_US)
METER = Device("h0")


@dataclass
class Past:
    """A log that gateways write to, the homes that are enrolled, and the folder of the history."""

    folder: Path
    log: Log = field(default_factory=MemoryLog)
    batch_rows: int = 1000
    identity: str = "this log"

    def __post_init__(self) -> None:
        self.registry = Registry.empty(PARTITIONS)
        self.seq = 0
        self.enrol(6)

    def enrol(self, count: int) -> None:
        for partition in range(PARTITIONS):
            own = [spec for spec in homes(count) if partition_of(spec.site, PARTITIONS) == partition]
            self.registry.enrol(partition, own)
        self.hierarchy = Hierarchy.of([self.registry.table(part) for part in range(PARTITIONS)])

    @property
    def uri(self) -> str:
        return str(self.folder / "history")

    @property
    def history(self) -> History:
        return History(self.uri)

    def look(self, directory: Directory) -> None:
        directory.look(self.registry, self.hierarchy)

    def historian(self) -> Historian:
        return Historian(
            self.log, self.uri, {}, Directory(PARTITIONS), self.look, lambda: self.identity,
            late_us=LATE_US, batch_rows=self.batch_rows,
        )  # fmt: skip

    def records(self, site: str, times_us: Sequence[int], power_kw: Sequence[float], delay_us: int = 0) -> Records:
        """Readings of a site's meter that came `delay_us` after their moment."""
        address = self.registry.resolve(site)
        assert address is not None
        rows = np.zeros(len(times_us), TELEMETRY)
        rows["device"], rows["time_us"], rows["power_kw"] = address.devices["meter"], times_us, power_kw
        rows["seq"] = self.seq + np.arange(len(times_us))
        rows["received_us"] = rows["time_us"] + delay_us
        rows["energy_kwh"], rows["charge_limit_kw"] = 100.0, np.nan
        self.seq += len(times_us)
        return rows

    def report(self, site: str, times_us: Sequence[int], power_kw: Sequence[float], delay_us: int = 0) -> Records:
        """The same, into the log."""
        rows = self.records(site, times_us, power_kw, delay_us)
        self.append(site, rows)
        return rows

    def append(self, site: str, rows: Records) -> None:
        address = self.registry.resolve(site)
        assert address is not None
        self.log.append("telemetry", address.partition, encode(rows))

    def tell_groups(self, now_us: int, power_kw: float) -> None:
        """A row of the portfolio into the log."""
        values = {name: np.array([np.nan]) for name in GROUP_VALUES} | {"power_kw": np.array([power_kw])}
        self.log.append("groups", 0, encode_rows(now_us, ("portfolio",), values))

    def powers(self, subject: Device | Group = METER) -> list[float]:
        """Everything that the history holds of it, in order of time."""
        return [float(value) for value in self.history.series(subject, "power_kw", EVER, 1000, "raw").value]
