"""What each site does now, from what its devices last said: known, estimated or unknown, and how sure.

Invariants: unknown is NaN and never zero; a device that a site does not have is a known zero. A silent site keeps its
last power in the total, its battery only until it would be full or at its reserve, and its uncertainty grows with the
square root of the time overdue. Freshness counts knowledge, not contact: a site is as old as the oldest power among
its devices. Must not know groups, plans or commands.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from powerflock.domain.arrays import F64, I32, U8, Bools
from powerflock.domain.clock import MICROS_PER_HOUR, MICROS_PER_S
from powerflock.domain.registry import SiteTable
from powerflock.twins.columns import Shard


class Freshness(IntEnum):
    """How old what we know of a site is."""

    FRESH = 0
    STALE = 1
    SILENT = 2


@dataclass(frozen=True, slots=True)
class EstimateSettings:
    """When a site counts as stale and silent, and how fast power wanders (kW per square root of an hour overdue)."""

    report_period_us: int = 10 * MICROS_PER_S
    stale_after_us: int = 30 * MICROS_PER_S
    silent_after_us: int = 300 * MICROS_PER_S
    meter_drift_kw: float = 1.5
    battery_drift_kw: float = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class SiteColumns:
    """(S,) float64 columns by site row at one time, passive signs; NaN is unknown. `freshness` is (S,) u1.

    `load_kw` = meter − battery − solar; `net_load_kw` = meter − battery; `register_kwh` is the net meter register
    carried from its last reading to now; `age_us` is NaN where a device never said its power.
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


@dataclass(frozen=True, slots=True, eq=False)
class _Reported:
    """(S,) columns of one kind of device by site row; where `present` is false the site has none."""

    present: Bools
    power_kw: F64
    energy_kwh: F64
    charge_limit_kw: F64
    discharge_limit_kw: F64
    capacity_kwh: F64
    age_us: F64


@dataclass(frozen=True, slots=True, eq=False)
class _Battery:
    """(S,) batteries carried to now; `stopped_h` hours ago they stopped, full or at the reserve (0: they go on)."""

    power_kw: F64
    stored_kwh: F64
    capacity_kwh: F64
    stopped_h: F64


def observe(shard: Shard, now_us: int, settings: EstimateSettings) -> SiteColumns:
    """Every site of the shard at `now_us`."""
    table = shard.table
    meter = _reported(shard, table.meter_device, now_us)
    solar = _reported(shard, table.solar_device, now_us)
    reported = _reported(shard, table.battery_device, now_us)
    battery = _carry(table, reported, settings)
    age_us = np.maximum(np.maximum(meter.age_us, solar.age_us), reported.age_us)
    meter_h = meter.age_us / MICROS_PER_HOUR
    stopped_h = np.where(meter_h > battery.stopped_h, battery.stopped_h, 0.0)
    meter_kw = meter.power_kw - np.where(stopped_h > 0.0, reported.power_kw, 0.0)
    used_since = meter.power_kw * meter_h - np.where(stopped_h > 0.0, reported.power_kw * stopped_h, 0.0)
    overdue_h = _overdue_h(meter.age_us, settings)
    return SiteColumns(
        table=table,
        meter_kw=meter_kw,
        meter_std_kw=settings.meter_drift_kw * np.sqrt(overdue_h),
        battery_kw=battery.power_kw,
        battery_std_kw=np.where(
            reported.present, settings.battery_drift_kw * np.sqrt(_overdue_h(reported.age_us, settings)), 0.0
        ),
        solar_kw=solar.power_kw,
        load_kw=meter_kw - battery.power_kw - solar.power_kw,
        net_load_kw=meter_kw - battery.power_kw,
        stored_kwh=battery.stored_kwh,
        capacity_kwh=battery.capacity_kwh,
        charge_limit_kw=_or(reported.charge_limit_kw, table.charge_limit_kw),
        discharge_limit_kw=_or(reported.discharge_limit_kw, table.discharge_limit_kw),
        register_kwh=meter.energy_kwh + used_since,
        register_std_kwh=settings.meter_drift_kw * overdue_h**1.5 / np.sqrt(3.0),
        age_us=age_us,
        freshness=_freshness(age_us, settings),
    )


def _reported(shard: Shard, device: I32, now_us: int) -> _Reported:
    present: Bools = device >= 0
    rows = shard.devices[np.maximum(device, 0)]
    power = np.where(present, rows["power_kw"], 0.0).astype(np.float64)
    age = np.where(present, np.maximum(now_us - rows["time_us"], 0), 0).astype(np.float64)
    return _Reported(
        present=present,
        power_kw=power,
        energy_kwh=np.where(present, rows["energy_kwh"], 0.0),
        charge_limit_kw=np.where(present, rows["charge_limit_kw"], np.nan).astype(np.float64),
        discharge_limit_kw=np.where(present, rows["discharge_limit_kw"], np.nan).astype(np.float64),
        capacity_kwh=np.where(present, rows["capacity_kwh"], np.nan).astype(np.float64),
        age_us=np.where(np.isnan(power), np.nan, age),
    )


def _carry(table: SiteTable, battery: _Reported, settings: EstimateSettings) -> _Battery:
    """Let each battery go on at its last power until it would be full, or down to its reserve."""
    power, stored = battery.power_kw, battery.energy_kwh
    capacity = _or(battery.capacity_kwh, table.capacity_kwh)
    filling = np.where(power > 0.0, power * table.charge_efficiency_ratio, power / table.discharge_efficiency_ratio)
    bound = np.where(power > 0.0, np.maximum(capacity, stored), np.minimum(table.reserve_kwh, stored))
    bound_h = np.divide(bound - stored, filling, out=np.full_like(filling, np.inf), where=filling != 0.0)
    hours = battery.age_us / MICROS_PER_HOUR
    stopped: Bools = (battery.age_us > settings.report_period_us) & (hours > bound_h)
    return _Battery(
        power_kw=np.where(stopped, 0.0, power),
        stored_kwh=stored + filling * np.minimum(hours, bound_h),
        capacity_kwh=capacity,
        stopped_h=np.where(stopped, hours - bound_h, 0.0),
    )


def _or(reported: F64, nameplate: F64) -> F64:
    return np.where(np.isnan(reported), nameplate, reported)


def _overdue_h(age_us: F64, settings: EstimateSettings) -> F64:
    return np.asarray(np.maximum(age_us - settings.report_period_us, 0.0) / MICROS_PER_HOUR)


def _freshness(age_us: F64, settings: EstimateSettings) -> U8:
    fresh, stale = age_us <= settings.stale_after_us, age_us <= settings.silent_after_us
    return np.where(fresh, Freshness.FRESH, np.where(stale, Freshness.STALE, Freshness.SILENT)).astype(np.uint8)
