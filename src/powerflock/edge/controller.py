"""One home's control law, for one home or thousands at once: net setpoint in, safe battery power out.

The ladder: a command valid now → follow it at the connection point; else the home's policy → its battery power; else
self-consumption. Safety comes last.
Invariants: never discharges below the owner's reserve, never charges above capacity, never exceeds the battery's
limits; connection limits are kept as far as the battery can. Passive signs. Pure: state comes in, power goes out.
"""

from __future__ import annotations

import numpy as np

from powerflock.domain.arrays import F64
from powerflock.domain.clock import MICROS_PER_HOUR
from powerflock.edge.limits import Limits


def control(
    net_load_kw: F64,
    stored_kwh: F64,
    charge_limit_kw: F64,
    discharge_limit_kw: F64,
    setpoint_kw: F64,
    policy_kw: F64,
    limits: Limits,
    dt_us: int,
) -> F64:
    """Battery power to hold for the next `dt_us`, (S,) kW, + = charging.

    Args:
        net_load_kw: (S,) load + solar: the connection point without the battery; NaN (meter silent) idles the battery.
        stored_kwh: (S,) energy in the battery; NaN idles it.
        charge_limit_kw: (S,) what the battery can take now, ≥ 0.
        discharge_limit_kw: (S,) what the battery can give now, ≥ 0.
        setpoint_kw: (S,) net power commanded at the connection point and valid now; NaN where there is none.
        policy_kw: (S,) battery power that the home's policy wants; NaN where there is none.
        limits: what was commissioned, (S,) columns.
        dt_us: how long the power will be held, > 0 µs.
    """
    unbidden_kw = np.where(np.isnan(policy_kw), 0.0, net_load_kw + policy_kw)
    target_net_kw = np.where(np.isnan(setpoint_kw), unbidden_kw, setpoint_kw)
    net_kw = np.clip(target_net_kw, -limits.export_limit_kw, limits.import_limit_kw)
    low_kw, high_kw = safe_range(stored_kwh, charge_limit_kw, discharge_limit_kw, limits, dt_us)
    battery_kw: F64 = np.clip(net_kw - net_load_kw, low_kw, high_kw)
    return np.where(np.isnan(battery_kw), 0.0, battery_kw)


def safe_range(
    stored_kwh: F64, charge_limit_kw: F64, discharge_limit_kw: F64, limits: Limits, dt_us: int
) -> tuple[F64, F64]:
    """Lowest (≤ 0) and highest (≥ 0) battery power, (S,) kW, that holds for `dt_us` inside [reserve, capacity]."""
    hours = dt_us / MICROS_PER_HOUR
    room_kwh = np.maximum(limits.capacity_kwh - stored_kwh, 0.0)
    above_reserve_kwh = np.maximum(stored_kwh - limits.reserve_kwh, 0.0)
    high_kw = np.minimum(charge_limit_kw, limits.charge_limit_kw)
    low_kw = np.minimum(discharge_limit_kw, limits.discharge_limit_kw)
    high_kw = np.minimum(high_kw, room_kwh / (limits.charge_efficiency_ratio * hours))
    low_kw = np.minimum(low_kw, above_reserve_kwh * limits.discharge_efficiency_ratio / hours)
    return -low_kw, high_kw
