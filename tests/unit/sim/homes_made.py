"""A few small homes for tests."""

from __future__ import annotations

import numpy as np

from powerflock.domain.site import BatterySpec, SiteSpec, Tariff
from powerflock.sim.profiles import STEPS_PER_DAY, Profiles

START_US = 1_767_225_600_000_000
MINUTE_US = 60_000_000
FLAT = Tariff("flat", (0.3,) * 48, (0.06,) * 48)
BATTERY = BatterySpec(10.0, 5.0, 4.0, 0.9, 0.8, reserve_ratio=0.2)


def site(
    name: str, *, battery: BatterySpec | None = BATTERY, solar_kw: float = 5.0, limit_kw: float = 100.0
) -> SiteSpec:
    return SiteSpec(name, "f", "r", FLAT, battery, solar_kw, import_limit_kw=limit_kw, export_limit_kw=limit_kw)


def steady(load_kw: list[float], solar_kw: list[float]) -> Profiles:
    """A day on which nothing changes."""
    load, solar = (
        np.repeat(np.array(kw, dtype=np.float32)[:, None], STEPS_PER_DAY, axis=1) for kw in (load_kw, solar_kw)
    )
    return Profiles(START_US, load, solar)
