"""A plant of a few homes for tests: its registry, its ring and the readings that its meters would send."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from powerflock.domain.arrays import F64, Records
from powerflock.domain.columns import TELEMETRY
from powerflock.domain.ids import partition_of
from powerflock.domain.registry import Registry
from powerflock.domain.site import BatterySpec, SiteSpec, Tariff
from powerflock.market.venues.replay import ReplayVenue
from powerflock.plant.model import RingSettings
from powerflock.plant.outlook import BaselineOutlook
from powerflock.plant.planner import PlanNow
from powerflock.plant.ring import Ring

START_US = 1_768_399_200_000_000
"""A market midnight: 2026-01-15T00:00:00+10:00."""
LENGTH_US = 300_000_000
TICK_US = 60_000_000
TARIFF = Tariff("day and night", (0.12,) * 14 + (0.36,) * 34, (0.05,) * 48)
BATTERY = BatterySpec(10.0, 5.0, 5.0, 0.95, 0.95, reserve_ratio=0.1)


def homes(count: int, *, battery: BatterySpec | None = BATTERY) -> list[SiteSpec]:
    """Homes `h0`, `h1`, … on two feeders of one region, without solar."""
    return [SiteSpec(f"h{i}", f"f{i % 2}", "VIC1", TARIFF, battery) for i in range(count)]


def venue(spot_per_mwh: float | F64 = 90.0) -> ReplayVenue:
    """Two days of prices from `START_US`."""
    return ReplayVenue(START_US, LENGTH_US, np.broadcast_to(np.float64(spot_per_mwh), (576,)), LENGTH_US)


SETTINGS = RingSettings(horizon_intervals=72)
"""Plans reach six hours ahead."""


def ring_of(
    registry: Registry, epoch: int = 1, spot_per_mwh: float | F64 = 90.0, settings: RingSettings = SETTINGS
) -> Ring:
    """A ring on `registry` with the honest outlook."""
    return Ring(registry, settings, BaselineOutlook(registry.partitions), venue(spot_per_mwh), PlanNow(), epoch)


def enrolled(specs: Sequence[SiteSpec], spot_per_mwh: float | F64 = 90.0, settings: RingSettings = SETTINGS) -> Ring:
    """A ring of one partition that knows `specs`."""
    registry = Registry.empty(1)
    assert not registry.enrol(0, specs).outcome.reasons
    ring = ring_of(registry, 1, spot_per_mwh, settings)
    ring.enrolled(0, 0)
    return ring


def flow(homes: Sequence[Meters], now_us: int, until_us: int, truth_kwh: dict[int, float]) -> None:
    """Time passes from `now_us` on; what flows through all meters is added to its interval in `truth_kwh`."""
    while now_us < until_us:
        interval = now_us // LENGTH_US
        end_us = min(until_us, (interval + 1) * LENGTH_US)
        before = sum(meters.register_kwh.sum() for meters in homes)
        for meters in homes:
            meters.run(end_us - now_us)
        after = sum(meters.register_kwh.sum() for meters in homes)
        truth_kwh[interval] = truth_kwh.get(interval, 0.0) + float(after - before)
        now_us = end_us


class Meters:
    """Homes with a constant load and an obedient battery, read by each device of `specs` (no solar), one partition."""

    def __init__(self, specs: Sequence[SiteSpec], partition: int = 0, partitions: int = 1) -> None:
        """Batteries half full, registers at 100 kWh."""
        own = [spec for spec in specs if partition_of(spec.site, partitions) == partition]
        self.specs, self.seq = own, 0
        self.load_kw, self.battery_kw = np.full(len(own), 0.8), np.zeros(len(own))
        self.stored_kwh, self.register_kwh = np.full(len(own), 5.0), np.full(len(own), 100.0)

    def obey(self, commands: Records) -> None:
        """Set the batteries so that the meters show the setpoints, within 5 kW."""
        rows = commands["site"]
        self.battery_kw[rows] = np.clip(commands["setpoint_kw"] - self.load_kw[rows], -5.0, 5.0)

    def run(self, duration_us: int) -> None:
        """Let time pass."""
        hours = duration_us / 3.6e9
        factor = np.where(self.battery_kw > 0, 0.95, 1 / 0.95)
        self.stored_kwh = np.clip(self.stored_kwh + self.battery_kw * factor * hours, 1.0, 10.0)
        self.register_kwh = self.register_kwh + (self.load_kw + self.battery_kw) * hours

    def read(self, now_us: int) -> Records:
        """One reading of every device."""
        self.seq += 1
        nan = np.nan
        rows: list[tuple[float, ...]] = []
        for home, spec in enumerate(self.specs):
            net = self.load_kw[home] + self.battery_kw[home]
            if spec.battery is not None:
                power, stored = self.battery_kw[home], self.stored_kwh[home]
                rows.append((len(rows), self.seq, now_us, now_us, power, stored, 5.0, 5.0, 10.0))
            rows.append((len(rows), self.seq, now_us, now_us, net, self.register_kwh[home], nan, nan, nan))
        return np.array(rows, TELEMETRY)
