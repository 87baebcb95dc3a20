"""Small fleets and readings for the tests of twins and groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from powerflock.domain.arrays import Records
from powerflock.domain.columns import COMMAND, SITE_EVENT, TELEMETRY, SiteEventKind
from powerflock.domain.registry import Registry, SiteTable
from powerflock.domain.site import BatterySpec, SiteSpec, Tariff

NOW_US = 1_770_000_000_000_000
TARIFF = Tariff("flat", (0.3,) * 48, (0.05,) * 48)


def home(
    site: str, *, battery: bool = True, solar_kw: float = 5.0, feeder: str = "f1", region: str = "VIC1"
) -> SiteSpec:
    pack = BatterySpec(10.0, 5.0, 4.0, 0.9, 0.8) if battery else None
    return SiteSpec(site, feeder, region, TARIFF, pack, solar_kw, import_limit_kw=14.0, export_limit_kw=10.0)


def table_of(specs: Sequence[SiteSpec]) -> SiteTable:
    registry = Registry.empty(1)
    assert not registry.enrol(0, specs).outcome.reasons
    return registry.table(0)


def reading(
    device: int, seq: int, power_kw: float, energy_kwh: float = np.nan, *, time_us: int = NOW_US, limits: float = np.nan
) -> tuple[float, ...]:
    return (device, seq, time_us, time_us + 1000, power_kw, energy_kwh, limits, limits, np.nan)


def batch_of(*rows: tuple[float, ...]) -> Records:
    return np.array(list(rows), TELEMETRY)


def commands_of(*rows: tuple[int, int, float]) -> Records:
    """Commands of (site, seq, setpoint kW), issued now for ten minutes."""
    commands = np.zeros(len(rows), COMMAND)
    for command, (site, seq, setpoint_kw) in zip(commands, rows, strict=True):
        command["site"], command["seq"], command["setpoint_kw"] = site, seq, setpoint_kw
        command["not_before_us"], command["expires_us"] = NOW_US, NOW_US + 600_000_000
    return commands


def events_of(*rows: tuple[int, SiteEventKind, int], gateway: int = 0, time_us: int = NOW_US) -> Records:
    """Site events of (site, kind, seq)."""
    return np.array([(site, kind, gateway, seq, time_us) for site, kind, seq in rows], SITE_EVENT)
