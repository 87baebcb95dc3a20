"""The home generator's fitted parameters, read from the JSON that `scripts/fit_homes.py` writes.

Invariants: statistics only, never an extract of anybody's data. Must not know how homes are generated from them.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

import msgspec


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Logarithms are natural; a `_keep` is the share of a deviation that lasts until the next day.

    Load: mean daily kWh is lognormal; the shape by half-hour is exp(mean + ways · standard normals); a day, and moments
    within it, deviate by factors; appliance events add power (kW). Solar: sizes (kW) are lognormal; output per kW is
    `clear_ratio` · (sine of the sun's height)^1.2 · clearness, with a day's clearness given by its 11 deciles.
    """

    level_log_mean: float
    level_log_std: float
    shape_log_mean: tuple[float, ...]
    shape_log_ways: tuple[tuple[float, ...], ...]
    day_log_std: float
    day_keep: float
    noise_log_std: float
    noise_memory_minutes: float
    events_per_day: float
    event_log_mean: float
    event_log_std: float
    solar_log_mean: float
    solar_log_std: float
    clear_ratio: float
    clearness_quantiles: tuple[float, ...]
    clearness_keep: float
    cloud_roughness: float


@cache
def fitted() -> Parameters:
    """The parameters shipped with the package."""
    text = resources.files("powerflock.sim").joinpath("parameters.json").read_bytes()
    return msgspec.json.decode(text, type=Parameters)
