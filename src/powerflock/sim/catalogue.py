"""What simulated homes are equipped with: batteries in common sizes, tariffs in A$, feeders and regions.

Sizes and limits follow makers' data sheets, rounded; a round-trip efficiency is split evenly over both ways. Tariffs
are invented in the range of Australian residential offers. Must not know load, weather or time.
"""

from __future__ import annotations

import math

from powerflock.domain.site import SLOTS_PER_DAY, BatterySpec, Tariff

HOMES_PER_FEEDER = 50
REGIONS = (("west", -37.75, 144.75), ("north", -37.65, 145.02), ("east", -37.82, 145.25), ("south", -38.05, 145.18))
"""Name, latitude and longitude of the middle of each region; feeders are dealt to them in turn."""


def _battery(capacity_kwh: float, charge_kw: float, discharge_kw: float, round_trip_ratio: float) -> BatterySpec:
    one_way = round(math.sqrt(round_trip_ratio), 4)
    return BatterySpec(capacity_kwh, charge_kw, discharge_kw, one_way, one_way, reserve_ratio=0.2, wear_per_kwh=0.02)


BATTERIES: tuple[tuple[float, BatterySpec], ...] = (
    (0.30, _battery(13.5, 5.0, 5.0, 0.90)),
    (0.15, _battery(13.5, 5.0, 10.0, 0.89)),
    (0.20, _battery(9.6, 4.8, 4.8, 0.90)),
    (0.15, _battery(9.8, 5.0, 5.0, 0.90)),
    (0.10, _battery(6.5, 3.3, 3.3, 0.92)),
    (0.10, _battery(5.0, 3.8, 3.8, 0.90)),
)
"""Share of homes with a battery, and the battery."""
PROVIDERS = (("northnet", 0.25), ("fibrelink", 0.25), ("skymobile", 0.2), ("coastwave", 0.15), ("outback", 0.15))
"""Who carries a home's link, with shares of homes; the names are invented."""
NEWEST_SHARE = 0.6
"""Share of each battery model that runs its newest firmware."""
TRIAL_SHARE = 0.1
"""Share of homes in the set `trial`."""
FEEDERS_PER_SUBSTATION = 4
RESERVES = (0.1, 0.2, 0.2, 0.3)
"""Backup reserves that owners choose among, as ratios of capacity."""
BATTERY_SHARE, SOLAR_SHARE = 0.95, 0.88


def _by_hour(name: str, default: float, export: float, *periods: tuple[int, int, float]) -> Tariff:
    """A tariff that costs `default` except in periods (from hour, to hour, price)."""
    prices = [default] * SLOTS_PER_DAY
    for start, end, price in periods:
        prices[2 * start : 2 * end] = [price] * (2 * (end - start))
    return Tariff(name, tuple(prices), (export,) * SLOTS_PER_DAY)


TARIFFS: tuple[Tariff, ...] = (
    _by_hour("flat", 0.31, 0.06),
    _by_hour("time-of-use", 0.27, 0.05, (0, 6, 0.21), (15, 21, 0.45)),
    _by_hour("solar-soaker", 0.29, 0.04, (10, 15, 0.14), (16, 21, 0.49)),
)
