"""Invents homes from a seed: specs and 5-minute profiles with the statistics of real ones.

Invariants: home i of a seed is the same whatever number of homes is asked for (feeders of 50 are drawn whole); load is
≥ 0, solar ≤ 0; profiles span whole days and repeat after them. Must not know batteries' states, prices or the platform.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypedDict

import msgspec
import numpy as np

from powerflock.domain.arrays import F32, F64, I64
from powerflock.domain.clock import MICROS_PER_DAY, MICROS_PER_HOUR
from powerflock.domain.errors import InvalidInput
from powerflock.domain.site import SLOTS_PER_DAY, BatterySpec, SiteSpec
from powerflock.sim.catalogue import (
    BATTERIES,
    BATTERY_SHARE,
    FEEDERS_PER_SUBSTATION,
    HOMES_PER_FEEDER,
    NEWEST_SHARE,
    PROVIDERS,
    REGIONS,
    RESERVES,
    SOLAR_SHARE,
    TARIFFS,
    TRIAL_SHARE,
)
from powerflock.sim.parameters import Parameters, fitted
from powerflock.sim.profiles import STEP_US, STEPS_PER_DAY, Fleet, Profiles

UTC_OFFSET_MINUTES = 600
SUN_EXPONENT = 1.2
FUSE_KW = 15.0
_STEP_MINUTES = 5.0
_EVENT_STEPS = 9  # appliance events last up to 40 minutes
_CLOUD_MEMORY_MINUTES = 20.0
_DAYS_0_TO_2000 = 10_957


@dataclass(frozen=True, slots=True)
class _Times:
    """Local half-hour, local day and solar time of each step, (T,)."""

    slot: I64
    day: I64
    solar_hour: F64
    day_of_year: F64

    @staticmethod
    def of(start_us: int, days: int, longitude: float) -> _Times:
        """Steps from `start_us`; `day` counts from the first local day touched."""
        step_us = start_us + np.arange(days * STEPS_PER_DAY, dtype=np.int64) * STEP_US
        local_us = step_us + UTC_OFFSET_MINUTES * 60_000_000
        day = local_us // MICROS_PER_DAY
        solar_hour = ((step_us + STEP_US // 2) % MICROS_PER_DAY) / MICROS_PER_HOUR + longitude / 15.0
        slot = local_us % MICROS_PER_DAY // (MICROS_PER_DAY // SLOTS_PER_DAY)
        day_of_year: F64 = ((day - _DAYS_0_TO_2000) % 365.25).astype(np.float64)
        return _Times(slot, day - day[0], solar_hour, day_of_year)


def generate(homes: int, seed: int, days: int, start_us: int) -> Fleet:
    """`homes` sites named `home-00001` on, with (homes, days·288) profiles from `start_us`, a 5-minute boundary."""
    for thing, value, low in (("number of homes", homes, 1), ("number of days", days, 1), ("seed", seed, 0)):
        if value < low:
            raise InvalidInput(thing, value, f"must be {low} or more")
    if start_us % STEP_US:
        raise InvalidInput("start_us", start_us, "must be a 5-minute boundary")
    specs: list[SiteSpec] = []
    load_kw = np.empty((homes, days * STEPS_PER_DAY), dtype=np.float32)
    solar_kw = np.empty_like(load_kw)
    for feeder in range(math.ceil(homes / HOMES_PER_FEEDER)):
        first = feeder * HOMES_PER_FEEDER
        members = min(HOMES_PER_FEEDER, homes - first)
        drawn = _specs(feeder, seed)
        specs += drawn[:members]
        rows = slice(first, first + members)
        load_kw[rows] = _load(drawn, feeder, seed, days, start_us)[:members]
        solar_kw[rows] = _solar(drawn, feeder, seed, days, start_us)[:members]
    return Fleet(specs, Profiles(start_us, load_kw, solar_kw), f"generated, seed {seed}")


def _specs(feeder: int, seed: int) -> list[SiteSpec]:
    """The 50 homes of a feeder."""
    rng, fit = np.random.default_rng([seed, feeder, 0]), fitted()
    region, latitude, longitude = REGIONS[feeder % len(REGIONS)]
    centre = np.array([latitude, longitude]) + rng.uniform(-0.08, 0.08, 2)
    places = centre + rng.normal(0.0, 0.01, (HOMES_PER_FEEDER, 2))
    daily = rng.lognormal(fit.level_log_mean, fit.level_log_std, HOMES_PER_FEEDER)
    solar = np.clip(rng.lognormal(fit.solar_log_mean, fit.solar_log_std, HOMES_PER_FEEDER), 1.0, 10.0)
    has_solar = rng.uniform(size=HOMES_PER_FEEDER) < SOLAR_SHARE
    tariffs = rng.integers(0, len(TARIFFS), HOMES_PER_FEEDER)
    batteries = _batteries(rng)
    membership = _memberships(feeder, seed, region, batteries)
    return [
        SiteSpec(
            site=f"home-{feeder * HOMES_PER_FEEDER + i + 1:05d}",
            feeder=f"{region}-{feeder // len(REGIONS) + 1:02d}",
            region=region,
            tariff=TARIFFS[tariffs[i]],
            battery=batteries[i],
            solar_kw=round(float(solar[i]), 1) if has_solar[i] else 0.0,
            daily_load_kwh=round(float(daily[i]), 2),
            latitude=round(float(places[i, 0]), 5),
            longitude=round(float(places[i, 1]), 5),
            utc_offset_minutes=UTC_OFFSET_MINUTES,
            import_limit_kw=FUSE_KW,
            export_limit_kw=10.0,
            **membership[i],
        )
        for i in range(HOMES_PER_FEEDER)
    ]


class _Membership(TypedDict):
    """With what a home may fail, and the groups it is in beside its feeder."""

    path: tuple[str, ...]
    sets: tuple[str, ...]
    provider: str
    firmware: str


def _memberships(feeder: int, seed: int, region: str, batteries: list[BatterySpec | None]) -> list[_Membership]:
    """Those of a feeder's 50 homes; each battery model has a firmware of its own, newest or the one before."""
    rng = np.random.default_rng([seed, feeder, 4])
    names, shares = [name for name, _ in PROVIDERS], [share for _, share in PROVIDERS]
    provider = rng.choice(len(names), HOMES_PER_FEEDER, p=shares)
    newest, trial = rng.uniform(size=(2, HOMES_PER_FEEDER)) < [[NEWEST_SHARE], [TRIAL_SHARE]]
    models = [_model(battery) for battery in batteries]
    substation = f"{region}-substation-{feeder // len(REGIONS) // FEEDERS_PER_SUBSTATION + 1:02d}"
    return [
        _Membership(
            path=(substation,),
            sets=("trial",) if trial[i] else (),
            provider=names[provider[i]],
            firmware=f"{models[i]}-{2 if newest[i] else 1}" if models[i] else "",
        )
        for i in range(HOMES_PER_FEEDER)
    ]


def _model(battery: BatterySpec | None) -> str:
    """What the battery is called after its size, 13.5 kWh and 10 kW: `135x100`; empty without one."""
    return "" if battery is None else f"{battery.capacity_kwh * 10:.0f}x{battery.discharge_limit_kw * 10:.0f}"


def _batteries(rng: np.random.Generator) -> list[BatterySpec | None]:
    kinds = rng.choice(len(BATTERIES), HOMES_PER_FEEDER, p=[share for share, _ in BATTERIES])
    reserves, has = rng.choice(RESERVES, HOMES_PER_FEEDER), rng.uniform(size=HOMES_PER_FEEDER) < BATTERY_SHARE
    return [
        msgspec.structs.replace(BATTERIES[kind][1], reserve_ratio=float(reserve)) if one else None
        for kind, reserve, one in zip(kinds, reserves, has, strict=True)
    ]


def _load(specs: list[SiteSpec], feeder: int, seed: int, days: int, start_us: int) -> F32:
    """Load of a feeder's homes, (50, T) kW: level × shape × day × moment, and appliance events."""
    rng, fit = np.random.default_rng([seed, feeder, 1]), fitted()
    times = _Times.of(start_us, days, 0.0)
    ways = rng.normal(size=(HOMES_PER_FEEDER, len(fit.shape_log_ways))) @ np.array(fit.shape_log_ways)
    shape = np.exp(np.array(fit.shape_log_mean) + ways)
    shape /= shape.mean(axis=1, keepdims=True)
    day_log = _persistent(rng, fit.day_log_std, fit.day_keep, int(times.day[-1]) + 1)
    keep = math.exp(-_STEP_MINUTES / fit.noise_memory_minutes)
    moment_log = _persistent(rng, fit.noise_log_std, keep, times.slot.size)
    factor = np.exp(moment_log + day_log[:, times.day] - (fit.noise_log_std**2 + fit.day_log_std**2) / 2.0)
    level_kw = np.array([spec.daily_load_kwh for spec in specs]) / 24.0
    events_kw, events_mean_kw = _events(rng, fit, shape, times)
    base_kw = np.maximum(level_kw - events_mean_kw, 0.4 * level_kw)
    load_kw = base_kw[:, None] * shape[:, times.slot] * factor + events_kw
    fused: F32 = np.minimum(load_kw, FUSE_KW).astype(np.float32)
    return fused


def _events(rng: np.random.Generator, fit: Parameters, shape: F64, times: _Times) -> tuple[F64, F64]:
    """Appliance events, (50, T) kW, likelier where the home's shape is high; and their mean power by home, (50,) kW."""
    chance = fit.events_per_day / STEPS_PER_DAY * shape[:, times.slot]
    home, start = np.nonzero(rng.uniform(size=chance.shape) < chance)
    power = rng.lognormal(fit.event_log_mean, fit.event_log_std, home.size)
    length = rng.integers(2, _EVENT_STEPS, home.size)
    events = np.zeros(chance.shape)
    for later in range(_EVENT_STEPS):
        on = (later < length) & (start + later < times.slot.size)
        np.add.at(events, (home[on], start[on] + later), power[on])
    mean_kw = fit.events_per_day / STEPS_PER_DAY * (1 + _EVENT_STEPS) / 2.0
    mean_kw *= math.exp(fit.event_log_mean + fit.event_log_std**2 / 2.0)
    return events, np.full(HOMES_PER_FEEDER, mean_kw)


def _solar(specs: list[SiteSpec], feeder: int, seed: int, days: int, start_us: int) -> F32:
    """Solar power of a feeder's homes, (50, T) kW ≤ 0: one sky over the feeder, days alike across the region."""
    rng, fit = np.random.default_rng([seed, feeder, 2]), fitted()
    region = feeder % len(REGIONS)
    _, latitude, longitude = REGIONS[region]
    times = _Times.of(start_us, days, longitude)
    clear = fit.clear_ratio * sun_sine(latitude, times.day_of_year, times.solar_hour) ** SUN_EXPONENT
    day = _clearness(np.random.default_rng([seed, region, 3]), fit, int(times.day[-1]) + 1)[times.day]
    keep = math.exp(-_STEP_MINUTES / _CLOUD_MEMORY_MINUTES)
    cloud = _persistent(rng, 1.0, keep, times.slot.size)[0] * fit.cloud_roughness
    sky = np.clip(day + cloud * np.clip(day * (1.1 - day), 0.02, None), 0.02, None)
    size_kw = np.array([spec.solar_kw for spec in specs])
    aspect = np.clip(rng.normal(1.0, 0.06, HOMES_PER_FEEDER), 0.75, 1.15)
    per_kw = np.minimum(aspect[:, None] * clear * sky, 1.0)
    solar: F32 = (-size_kw[:, None] * per_kw).astype(np.float32)
    return solar


def sun_sine(latitude: float, day_of_year: F64, solar_hour: F64) -> F64:
    """Sine of the sun's height above the horizon, 0 at night; shapes broadcast, latitude in degrees north."""
    declination = np.radians(-23.44) * np.cos(2.0 * np.pi * (day_of_year + 10.0) / 365.25)
    phi, hour_angle = math.radians(latitude), np.radians(15.0) * (solar_hour - 12.0)
    height = np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(hour_angle)
    sine: F64 = np.maximum(height, 0.0)
    return sine


def _clearness(rng: np.random.Generator, fit: Parameters, days: int) -> F64:
    """Clearness of each day, (days,): AR(1) through the fitted deciles."""
    level = _persistent(rng, 1.0, fit.clearness_keep, days, rows=1)[0]
    rank = np.array([0.5 * (1.0 + math.erf(value / math.sqrt(2.0))) for value in level])
    deciles = np.linspace(0.0, 1.0, len(fit.clearness_quantiles))
    clearness: F64 = np.interp(rank, deciles, fit.clearness_quantiles)
    return clearness


def _persistent(rng: np.random.Generator, spread: float, keep: float, steps: int, rows: int = HOMES_PER_FEEDER) -> F64:
    """AR(1) paths of stationary standard deviation `spread`, (rows, steps); a longer path continues a shorter one."""
    paths = rng.normal(0.0, spread, (steps, rows))
    paths[1:] *= math.sqrt(1.0 - keep**2)
    for step in range(1, steps):
        paths[step] += keep * paths[step - 1]
    columns: F64 = paths.T
    return columns
