"""How a battery really behaves: energy, losses, and power that tapers near full and near the owner's reserve.

Invariants: stored energy never leaves [0, capacity]; energy drawn − losses = change of stored energy, exactly as the
site optimiser assumes (charging stores p·η_c, discharging takes p/η_d). Must not know commands, tariffs or time of day.
"""

from __future__ import annotations

import numpy as np

from powerflock.domain.arrays import F64
from powerflock.domain.clock import MICROS_PER_HOUR
from powerflock.edge.limits import Limits

FULL_TAPER_RATIO = 0.05
"""Charging tapers over the last 5% of capacity below full."""
RESERVE_TAPER_RATIO = 0.03
"""Discharging tapers over the last 3% of capacity above the reserve."""
TAPER_FLOOR_RATIO = 0.1
"""The taper ends at a tenth of the nameplate, so that full and reserve are reached in finite time."""


def charge_limit_kw(stored_kwh: F64, limits: Limits, *, tapers: bool = True) -> F64:
    """Power the battery can take now, (S,) kW ≥ 0: nameplate below 95%, then falling linearly, 0 when full.

    A battery that does not taper is the one that a plan has in mind: nameplate until full.
    """
    room_kwh = limits.capacity_kwh - stored_kwh
    return _tapered(limits.charge_limit_kw, room_kwh, FULL_TAPER_RATIO * limits.capacity_kwh * tapers)


def discharge_limit_kw(stored_kwh: F64, limits: Limits, *, tapers: bool = True) -> F64:
    """Power the battery can give now, (S,) kW ≥ 0: nameplate, falling linearly in the last 3%, 0 at the reserve."""
    band_kwh = RESERVE_TAPER_RATIO * limits.capacity_kwh * tapers
    return _tapered(limits.discharge_limit_kw, stored_kwh - limits.reserve_kwh, band_kwh)


def _tapered(nameplate_kw: F64, left_kwh: F64, band_kwh: F64) -> F64:
    """Nameplate while `left_kwh` ≥ `band_kwh`, linearly less inside the band down to the floor, 0 when none is left."""
    share = np.divide(left_kwh, band_kwh, out=np.ones_like(left_kwh), where=band_kwh > 0.0)
    taper = TAPER_FLOOR_RATIO + (1.0 - TAPER_FLOOR_RATIO) * np.clip(share, 0.0, 1.0)
    return np.where(left_kwh > 0.0, nameplate_kw * taper, 0.0)


def battery_step(stored_kwh: F64, power_kw: F64, limits: Limits, dt_us: int, *, tapers: bool = True) -> tuple[F64, F64]:
    """Ask each battery for `power_kw` (+ = charging) for `dt_us`; returns (power it really had, energy stored after).

    All (S,) float64. Power is cut to the limits at the start of the step and to the energy there is.
    """
    hours = dt_us / MICROS_PER_HOUR
    can_give_kw = discharge_limit_kw(stored_kwh, limits, tapers=tapers)
    can_take_kw = charge_limit_kw(stored_kwh, limits, tapers=tapers)
    give_kw = np.minimum(can_give_kw, stored_kwh * limits.discharge_efficiency_ratio / hours)
    room_kwh = limits.capacity_kwh - stored_kwh
    take_kw = np.minimum(can_take_kw, room_kwh / (limits.charge_efficiency_ratio * hours))
    real_kw = np.clip(power_kw, -give_kw, take_kw)
    change_kwh = stored_change_kwh(real_kw, limits, hours)
    return real_kw, np.clip(stored_kwh + change_kwh, 0.0, limits.capacity_kwh)


def stored_change_kwh(power_kw: F64, limits: Limits, hours: float) -> F64:
    """Change of stored energy, (S,) kWh, when `power_kw` flows for `hours`: losses are taken both ways."""
    charged = np.maximum(power_kw, 0.0) * limits.charge_efficiency_ratio
    discharged = np.minimum(power_kw, 0.0) / limits.discharge_efficiency_ratio
    change: F64 = (charged + discharged) * hours
    return change


def interval_cost(net_kwh: F64, import_per_kwh: F64, export_per_kwh: F64) -> F64:
    """What the owner pays for net energy through the meter in an interval, $: imports bought, exports sold (≤ 0).

    Shapes broadcast. An interval is netted before it is priced, as a meter that registers intervals does.
    """
    cost: F64 = np.maximum(net_kwh, 0.0) * import_per_kwh + np.minimum(net_kwh, 0.0) * export_per_kwh
    return cost
