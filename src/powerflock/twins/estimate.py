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

from powerflock.curve.jit import kernel
from powerflock.domain.arrays import F64, I32, U8, Records
from powerflock.domain.clock import MICROS_PER_HOUR, MICROS_PER_S
from powerflock.domain.registry import SiteTable
from powerflock.twins.columns import Shard


class Freshness(IntEnum):
    """How old what we know of a site is."""

    FRESH = 0
    STALE = 1
    SILENT = 2


_PACK_COLUMNS = 8
_FLOW_COLUMNS = 5


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


def observe(shard: Shard, now_us: int, settings: EstimateSettings) -> SiteColumns:
    """Every site of the shard at `now_us`."""
    table, devices = shard.table, shard.devices
    packs = np.zeros((_PACK_COLUMNS, table.sites))
    _carry_batteries(
        devices,
        table.battery_device,
        table.capacity_kwh,
        table.charge_limit_kw,
        table.discharge_limit_kw,
        table.charge_efficiency_ratio,
        table.discharge_efficiency_ratio,
        table.reserve_kwh,
        now_us,
        settings.report_period_us,
        packs,
    )
    reported_kw, battery_kw, stored_kwh, capacity_kwh, charge_kw, discharge_kw, stopped_h, battery_age_us = packs
    flows = np.zeros((_FLOW_COLUMNS, table.sites))
    _read_meters(devices, table.meter_device, table.solar_device, reported_kw, stopped_h, now_us, flows)
    meter_kw, solar_kw, register_kwh, meter_age_us, solar_age_us = flows
    age_us: F64 = np.maximum(np.maximum(meter_age_us, solar_age_us), battery_age_us)
    overdue_h = _overdue_h(meter_age_us, settings)
    net_load_kw = meter_kw - battery_kw
    return SiteColumns(
        table=table,
        meter_kw=meter_kw,
        meter_std_kw=settings.meter_drift_kw * np.sqrt(overdue_h),
        battery_kw=battery_kw,
        battery_std_kw=settings.battery_drift_kw * np.sqrt(_overdue_h(battery_age_us, settings)),
        solar_kw=solar_kw,
        load_kw=net_load_kw - solar_kw,
        net_load_kw=net_load_kw,
        stored_kwh=stored_kwh,
        capacity_kwh=capacity_kwh,
        charge_limit_kw=charge_kw,
        discharge_limit_kw=discharge_kw,
        register_kwh=register_kwh,
        register_std_kwh=settings.meter_drift_kw * overdue_h * np.sqrt(overdue_h / 3.0),
        age_us=age_us,
        freshness=_freshness(age_us, settings),
    )


def _overdue_h(age_us: F64, settings: EstimateSettings) -> F64:
    return np.asarray(np.maximum(age_us - settings.report_period_us, 0.0) / MICROS_PER_HOUR)


def _freshness(age_us: F64, settings: EstimateSettings) -> U8:
    known: U8 = np.full(age_us.size, Freshness.SILENT, np.uint8)
    known[age_us <= settings.silent_after_us] = Freshness.STALE
    known[age_us <= settings.stale_after_us] = Freshness.FRESH
    return known


@kernel
def _age_us(power_kw: float, time_us: int, now_us: int) -> float:
    """How long ago the power was known; NaN where it is not."""
    return np.nan if np.isnan(power_kw) else max(float(now_us - time_us), 0.0)


@kernel
def _carry_batteries(
    devices: Records,
    battery_device: I32,
    capacity_kwh: F64,
    charge_limit_kw: F64,
    discharge_limit_kw: F64,
    charge_efficiency_ratio: F64,
    discharge_efficiency_ratio: F64,
    reserve_kwh: F64,
    now_us: int,
    report_period_us: int,
    packs: F64,
) -> None:
    """Let each battery go on at its last power until it would be full, or down to its reserve; fills (8, S) `packs`.

    Its rows: power as reported; power now; energy now; capacity; limits; hours since it must have stopped (0: it goes
    on); age. All zero for a site without a battery.
    """
    for site in range(battery_device.size):
        if battery_device[site] < 0:
            continue
        device = devices[battery_device[site]]
        power, stored = np.float64(device.power_kw), device.energy_kwh
        age = _age_us(power, device.time_us, now_us)
        full = capacity_kwh[site] if np.isnan(device.capacity_kwh) else np.float64(device.capacity_kwh)
        if power > 0.0:
            filling, room = power * charge_efficiency_ratio[site], full - stored
        else:
            filling, room = power / discharge_efficiency_ratio[site], stored - reserve_kwh[site]
        until = np.inf if filling == 0.0 else np.maximum(room, 0.0) / abs(filling)
        hours = age / MICROS_PER_HOUR
        stopped = hours > until and age > report_period_us
        packs[0, site] = power
        packs[1, site] = 0.0 if stopped else power
        packs[2, site] = stored + filling * np.minimum(hours, until)
        packs[3, site] = full
        packs[4, site] = charge_limit_kw[site] if np.isnan(device.charge_limit_kw) else device.charge_limit_kw
        packs[5, site] = discharge_limit_kw[site] if np.isnan(device.discharge_limit_kw) else device.discharge_limit_kw
        packs[6, site] = hours - until if stopped else 0.0
        packs[7, site] = age


@kernel
def _read_meters(
    devices: Records,
    meter_device: I32,
    solar_device: I32,
    reported_kw: F64,
    stopped_h: F64,
    now_us: int,
    flows: F64,
) -> None:
    """Carry each meter to now, less the battery's power since it stopped; fills (5, S) `flows`.

    Its rows: meter power; solar power; meter register; the meter's age; the solar's age.
    """
    for site in range(meter_device.size):
        meter = devices[meter_device[site]]
        power = np.float64(meter.power_kw)
        age = _age_us(power, meter.time_us, now_us)
        flows[0, site] = power
        flows[2, site] = meter.energy_kwh + power * age / MICROS_PER_HOUR
        if 0.0 < stopped_h[site] < age / MICROS_PER_HOUR:  # the meter was read while the battery still ran
            flows[0, site] -= reported_kw[site]
            flows[2, site] -= reported_kw[site] * stopped_h[site]
        flows[3, site] = age
        if solar_device[site] >= 0:
            solar = devices[solar_device[site]]
            flows[1, site] = solar.power_kw
            flows[4, site] = _age_us(flows[1, site], solar.time_us, now_us)
