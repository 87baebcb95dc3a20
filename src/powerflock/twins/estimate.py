"""What each site does now, from what its devices last said: known, estimated or unknown, and how sure.

Invariants: unknown is NaN and never zero; devices that a site does not have add exactly zero. A site not heard of keeps
its last power in the total, its batteries only until they would be full or at their reserve. Freshness is of knowledge,
not contact: a site is as old as the oldest of its meter, batteries and panels, each held to its own kind's ages and its
own report rate. A site whose link is down is at best stale, and not reachable. Must not know groups, plans or prices.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from powerflock.curve.jit import kernel
from powerflock.domain.arrays import F32, F64, I32, I64, U8, Bools, Records
from powerflock.domain.clock import MICROS_PER_HOUR, MICROS_PER_S
from powerflock.domain.columns import DeviceKind
from powerflock.domain.registry import SiteTable
from powerflock.twins.columns import Link, Shard
from powerflock.twins.uncertainty import integrated_std, wandered_std


class Freshness(IntEnum):
    """How old what we know of a site or device is."""

    FRESH = 0
    STALE = 1
    SILENT = 2


_PERIODS_UNTIL_STALE, _PERIODS_UNTIL_SILENT = 3, 10
_SLOW_US = 300 * MICROS_PER_S


@dataclass(frozen=True, slots=True)
class EstimateSettings:
    """When a device counts as stale and silent, by `DeviceKind`, and how far power wanders from where it was last seen.

    Power is taken to wander about its estimate with `..._wander_kw` (standard deviation, reached after some `relax_h`),
    of which the share `common_ratio` (of the variance) is common to all sites, as weather is. The defaults are what was
    found in simulated fleets whose homes fell silent for minutes to hours.
    """

    report_period_us: int = 10 * MICROS_PER_S
    stale_after_us: tuple[int, ...] = (30 * MICROS_PER_S,) * 3 + (_SLOW_US,) * 2
    silent_after_us: tuple[int, ...] = (300 * MICROS_PER_S,) * 3 + (10 * _SLOW_US,) * 2
    meter_wander_kw: float = 1.6
    battery_wander_kw: float = 1.4
    relax_h: float = 0.5
    common_ratio: float = 0.05

    @staticmethod
    def alike(report_period_us: int, stale_after_us: int, silent_after_us: int) -> EstimateSettings:
        """The same ages for devices of every kind."""
        kinds = len(DeviceKind)
        return EstimateSettings(report_period_us, (stale_after_us,) * kinds, (silent_after_us,) * kinds)


@dataclass(frozen=True, slots=True, eq=False)
class SiteColumns:
    """(S,) float64 columns by site row at one time, passive signs; NaN is unknown. `freshness` is (S,) u1.

    `load_kw` = meter − battery − solar (chargers and switched loads are part of it); `net_load_kw` = meter − battery;
    `register_kwh` is the net meter register carried from its last reading to now; `age_us` is NaN where a device never
    said its power. Only `reachable` (S,) sites can be told anything.
    """

    table: SiteTable
    meter_kw: F64
    meter_std_kw: F64
    battery_kw: F64
    battery_std_kw: F64
    solar_kw: F64
    load_kw: F64
    net_load_kw: F64
    stored_kwh: F64
    capacity_kwh: F64
    charge_limit_kw: F64
    discharge_limit_kw: F64
    register_kwh: F64
    register_std_kwh: F64
    age_us: F64
    freshness: U8
    reachable: Bools
    common_ratio: float


_COLUMNS = 14
(
    _METER, _BATTERY, _SOLAR, _LOAD, _NET, _STORED, _FULL, _CHARGE, _DISCHARGE, _REGISTER, _AGE, _METER_STD,
    _BATTERY_STD, _REGISTER_STD,
) = range(_COLUMNS)  # fmt: skip
_METER_AGE, _BATTERY_AGE = _METER_STD, _BATTERY_STD
"""What these columns hold until the uncertainties follow from it."""
_KIND_BATTERY, _KIND_SOLAR, _KIND_METER = int(DeviceKind.BATTERY), int(DeviceKind.SOLAR), int(DeviceKind.METER)
_FRESH, _STALE, _SILENT = int(Freshness.FRESH), int(Freshness.STALE), int(Freshness.SILENT)
_DOWN = int(Link.DOWN)


def observe(shard: Shard, now_us: int, settings: EstimateSettings) -> SiteColumns:
    """Every site of the shard at `now_us`."""
    table = shard.table
    columns, freshness = np.zeros((_COLUMNS, table.sites)), np.zeros(table.sites, np.uint8)
    ages = np.array([settings.stale_after_us, settings.silent_after_us], np.float64)
    _read_devices(
        shard.devices, table.device_site, table.device_kind, table.device_period_s, table.device_capacity_kwh,
        table.device_charge_limit_kw, table.device_discharge_limit_kw, table.meter_device, table.capacity_kwh,
        table.reserve_kwh, table.charge_efficiency_ratio, table.discharge_efficiency_ratio, now_us,
        settings.report_period_us, ages, columns, freshness,
    )  # fmt: skip
    reachable = np.empty(table.sites, np.bool_)
    wander = np.array([settings.meter_wander_kw, settings.battery_wander_kw, settings.relax_h])
    _finish(shard.sites, settings.report_period_us, wander, columns, freshness, reachable)
    return SiteColumns(
        table, columns[_METER], columns[_METER_STD], columns[_BATTERY], columns[_BATTERY_STD], columns[_SOLAR],
        columns[_LOAD], columns[_NET], columns[_STORED], columns[_FULL], columns[_CHARGE], columns[_DISCHARGE],
        columns[_REGISTER], columns[_REGISTER_STD], columns[_AGE], freshness, reachable, settings.common_ratio,
    )  # fmt: skip


def device_freshness(
    shard: Shard, now_us: int, settings: EstimateSettings, numbers: slice | I64 = slice(None)
) -> U8:  # fmt: skip
    """(N,) the `Freshness` of the devices of these `numbers`, of every kind; all (D,) if none are given."""
    table, devices = shard.table, shard.devices[numbers]
    freshness = np.empty(devices.size, np.uint8)
    ages = np.array([settings.stale_after_us, settings.silent_after_us], np.float64)
    _device_freshness(devices, table.device_kind[numbers], table.device_period_s[numbers], now_us, ages, freshness)
    return freshness


@kernel
def _age_us(power_kw: float, time_us: int, now_us: int) -> float:
    """How long ago the power was known; NaN where it is not."""
    return np.nan if np.isnan(power_kw) else max(float(now_us - time_us), 0.0)


@kernel
def _freshness(age_us: float, kind: int, period_s: float, ages: F64) -> int:
    period_us = period_s * MICROS_PER_S
    if age_us <= max(ages[0, kind], _PERIODS_UNTIL_STALE * period_us):
        return _FRESH
    if age_us <= max(ages[1, kind], _PERIODS_UNTIL_SILENT * period_us):
        return _STALE
    return _SILENT


@kernel
def _device_freshness(devices: Records, kinds: U8, period_s: F32, now_us: int, ages: F64, freshness: U8) -> None:
    for number in range(devices.size):
        age = _age_us(devices[number].power_kw, devices[number].time_us, now_us)
        freshness[number] = _freshness(age, kinds[number], period_s[number], ages)


@kernel
def _older(age_us: float, other_us: float) -> float:
    """The greater age; NaN, never known, is the greatest of all."""
    return age_us if np.isnan(age_us) or age_us > other_us else other_us


@kernel
def _read_devices(
    devices: Records, device_site: I32, device_kind: U8, period_s: F32, plate_kwh: F32, plate_charge_kw: F32,
    plate_discharge_kw: F32, meter_device: I32, capacity_kwh: F64, reserve_kwh: F64, charge_efficiency_ratio: F64,
    discharge_efficiency_ratio: F64, now_us: int, report_period_us: int, ages: F64, columns: F64, freshness: U8,
) -> None:  # fmt: skip
    """Add every device to its site's columns; batteries go on at their last power until full or at their reserve."""
    for number in range(devices.size):
        kind, site, device = device_kind[number], device_site[number], devices[number]
        if kind > _KIND_METER:
            continue
        power = np.float64(device.power_kw)
        age = _age_us(power, device.time_us, now_us)
        freshness[site] = max(freshness[site], _freshness(age, kind, period_s[number], ages))
        columns[_AGE, site] = _older(columns[_AGE, site], age)
        if kind == _KIND_SOLAR:
            columns[_SOLAR, site] += power
        elif kind == _KIND_METER:
            columns[_METER, site] += power
            columns[_REGISTER, site] += device.energy_kwh + power * age / MICROS_PER_HOUR
            columns[_METER_AGE, site] = age
        else:
            full = np.float64(plate_kwh[number] if np.isnan(device.capacity_kwh) else device.capacity_kwh)
            empty = reserve_kwh[site] * plate_kwh[number] / capacity_kwh[site]
            ratio = charge_efficiency_ratio[site] if power > 0.0 else 1.0 / discharge_efficiency_ratio[site]
            filling = power * ratio
            room = full - device.energy_kwh if power > 0.0 else device.energy_kwh - empty
            until = np.inf if filling == 0.0 else np.maximum(room, 0.0) / abs(filling)
            hours = age / MICROS_PER_HOUR
            stopped = hours > until and age > report_period_us
            columns[_BATTERY, site] += 0.0 if stopped else power
            columns[_STORED, site] += device.energy_kwh + filling * np.minimum(hours, until)
            columns[_FULL, site] += full
            limit = plate_charge_kw[number] if np.isnan(device.charge_limit_kw) else device.charge_limit_kw
            columns[_CHARGE, site] += limit
            limit = plate_discharge_kw[number] if np.isnan(device.discharge_limit_kw) else device.discharge_limit_kw
            columns[_DISCHARGE, site] += limit
            columns[_BATTERY_AGE, site] = _older(columns[_BATTERY_AGE, site], age)
            if stopped:  # if the meter was read while the battery still ran, its power has to come off the meter
                metered_h = float(now_us - devices[meter_device[site]].time_us) / MICROS_PER_HOUR
                if hours - until < metered_h:
                    columns[_METER, site] -= power
                    columns[_REGISTER, site] -= power * (hours - until)


@kernel
def _finish(
    sites: Records, report_period_us: int, wander: F64, columns: F64, freshness: U8, reachable: Bools
) -> None:  # fmt: skip
    """What follows from the sums: loads, uncertainties, and whom a command can reach."""
    meter_wander_kw, battery_wander_kw, relax_h = wander
    for site in range(freshness.size):
        columns[_NET, site] = columns[_METER, site] - columns[_BATTERY, site]
        columns[_LOAD, site] = columns[_NET, site] - columns[_SOLAR, site]
        overdue_h = np.maximum(columns[_METER_AGE, site] - report_period_us, 0.0) / MICROS_PER_HOUR
        columns[_METER_STD, site] = wandered_std(meter_wander_kw, relax_h, overdue_h)
        columns[_REGISTER_STD, site] = integrated_std(meter_wander_kw, relax_h, overdue_h)
        overdue_h = np.maximum(columns[_BATTERY_AGE, site] - report_period_us, 0.0) / MICROS_PER_HOUR
        columns[_BATTERY_STD, site] = wandered_std(battery_wander_kw, relax_h, overdue_h)
        lost = sites[site].link == _DOWN
        reachable[site] = not lost and freshness[site] != _SILENT
        if lost:
            freshness[site] = max(freshness[site], _STALE)
