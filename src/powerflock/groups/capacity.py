"""What a site's battery can still give or take, over what it does now, for as long as it takes to be useful.

Invariants: nothing below the owner's reserve or above the full pack, nothing past the connection's limits, nothing
from a site out of reach (no command gets there), NaN where power or energy is unknown. Must not know prices.
"""

from __future__ import annotations

import numpy as np

from powerflock.curve.jit import kernel
from powerflock.domain.arrays import F64
from powerflock.domain.clock import MICROS_PER_HOUR, MICROS_PER_S
from powerflock.twins.estimate import SiteColumns

LASTING_US = 300 * MICROS_PER_S
"""Power counts only if the stored energy carries it for one market interval."""


def up_down(columns: SiteColumns, lasting_us: int = LASTING_US) -> tuple[F64, F64]:
    """(S,) kW ≥ 0: `up` more towards export, `down` more towards import, each lasting `lasting_us`.

    Unknown (NaN) where the battery's power or energy or the meter's power is; 0 for a site out of reach.
    """
    table, sites = columns.table, columns.meter_kw.size
    up_kw, down_kw = np.empty(sites), np.empty(sites)
    _up_down(
        columns.battery_kw,
        columns.meter_kw,
        columns.stored_kwh,
        columns.capacity_kwh,
        columns.charge_limit_kw,
        columns.discharge_limit_kw,
        table.reserve_kwh,
        table.charge_efficiency_ratio,
        table.discharge_efficiency_ratio,
        table.import_limit_kw,
        table.export_limit_kw,
        lasting_us / MICROS_PER_HOUR,
        up_kw,
        down_kw,
    )
    lost = ~columns.reachable
    up_kw[lost & ~np.isnan(up_kw)] = 0.0
    down_kw[lost & ~np.isnan(down_kw)] = 0.0
    return up_kw, down_kw


@kernel
def _up_down(
    battery_kw: F64,
    meter_kw: F64,
    stored_kwh: F64,
    capacity_kwh: F64,
    charge_limit_kw: F64,
    discharge_limit_kw: F64,
    reserve_kwh: F64,
    charge_efficiency_ratio: F64,
    discharge_efficiency_ratio: F64,
    import_limit_kw: F64,
    export_limit_kw: F64,
    hours: float,
    up_kw: F64,
    down_kw: F64,
) -> None:
    for i in range(battery_kw.size):
        give = (stored_kwh[i] - reserve_kwh[i]) * discharge_efficiency_ratio[i] / hours
        take = (capacity_kwh[i] - stored_kwh[i]) / charge_efficiency_ratio[i] / hours
        give = np.minimum(discharge_limit_kw[i], np.maximum(give, 0.0))
        take = np.minimum(charge_limit_kw[i], np.maximum(take, 0.0))
        up_kw[i] = np.maximum(np.minimum(battery_kw[i] + give, meter_kw[i] + export_limit_kw[i]), 0.0)
        down_kw[i] = np.maximum(np.minimum(take - battery_kw[i], import_limit_kw[i] - meter_kw[i]), 0.0)
