"""What a site's battery can still give or take, over what it does now, for as long as it takes to be useful.

Invariants: nothing below the owner's reserve or above the full pack, nothing past the connection's limits, nothing
from a silent site (no command reaches it), NaN where power or energy is unknown. Must not know prices.
"""

from __future__ import annotations

import numpy as np

from powerflock.domain.arrays import F64, Bools
from powerflock.domain.clock import MICROS_PER_HOUR, MICROS_PER_S
from powerflock.twins.estimate import Freshness, SiteColumns

LASTING_US = 300 * MICROS_PER_S
"""Power counts only if the stored energy carries it for one market interval."""


def up_down(columns: SiteColumns, lasting_us: int = LASTING_US) -> tuple[F64, F64]:
    """(S,) kW ≥ 0: `up` more towards export, `down` more towards import, each lasting `lasting_us`.

    Unknown (NaN) where the battery's power or energy or the meter's power is; 0 for a site that is silent.
    """
    table, hours = columns.table, lasting_us / MICROS_PER_HOUR
    give_kw = (columns.stored_kwh - table.reserve_kwh) * table.discharge_efficiency_ratio / hours
    take_kw = (columns.capacity_kwh - columns.stored_kwh) / table.charge_efficiency_ratio / hours
    give_kw = np.minimum(columns.discharge_limit_kw, np.maximum(give_kw, 0.0))
    take_kw = np.minimum(columns.charge_limit_kw, np.maximum(take_kw, 0.0))
    up = np.minimum(columns.battery_kw + give_kw, columns.meter_kw + table.export_limit_kw)
    down = np.minimum(take_kw - columns.battery_kw, table.import_limit_kw - columns.meter_kw)
    reached = columns.freshness != Freshness.SILENT
    return _if(reached, np.maximum(up, 0.0)), _if(reached, np.maximum(down, 0.0))


def _if(reached: Bools, power_kw: F64) -> F64:
    return np.where(reached | np.isnan(power_kw), power_kw, 0.0)
