"""What a site's battery can still give or take, over what it does now, for as long as it takes to be useful.

Invariants: nothing below the owner's reserve or above the full pack, nothing past the connection's limits, nothing
from a site out of reach (no command gets there), NaN where power or energy is unknown. Must not know prices.
"""

from __future__ import annotations

import numpy as np

from powerflock.curve.jit import kernel
from powerflock.domain.arrays import F64, I64
from powerflock.domain.clock import MICROS_PER_HOUR, MICROS_PER_S
from powerflock.twins.estimate import SiteColumns

LASTING_US = 300 * MICROS_PER_S
"""Power counts only if the stored energy carries it for one market interval."""
RESERVE_US = 60 * MICROS_PER_S
"""How long a frequency reserve has to be held: the slow (60 s) contingency services of AEMO's market ancillary service
specification."""


@kernel
def move_up(
    battery_kw: float, meter_kw: float, above_reserve_kwh: float, discharge_limit_kw: float,
    discharge_efficiency_ratio: float, export_limit_kw: float, hours: float,
) -> float:  # fmt: skip
    """How many kW ≥ 0 more towards export, for `hours`."""
    give = np.minimum(discharge_limit_kw, np.maximum(above_reserve_kwh * discharge_efficiency_ratio / hours, 0.0))
    return float(np.maximum(np.minimum(battery_kw + give, meter_kw + export_limit_kw), 0.0))


@kernel
def move_down(
    battery_kw: float, meter_kw: float, room_kwh: float, charge_limit_kw: float, charge_efficiency_ratio: float,
    import_limit_kw: float, hours: float,
) -> float:  # fmt: skip
    """How many kW ≥ 0 more towards import, for `hours`."""
    take = np.minimum(charge_limit_kw, np.maximum(room_kwh / charge_efficiency_ratio / hours, 0.0))
    return float(np.maximum(np.minimum(take - battery_kw, import_limit_kw - meter_kw), 0.0))


def up_down(
    columns: SiteColumns, lasting_us: int = LASTING_US, rows: slice | I64 = slice(None)
) -> tuple[F64, F64]:  # fmt: skip
    """(R,) kW ≥ 0 of the `rows`, all (S,) if not given: `up` more towards export, `down` more towards import.

    Each lasts `lasting_us`. Unknown (NaN) where the battery's power or energy or the meter's power is; 0 for a site out
    of reach.
    """
    table, lost = columns.table, ~columns.reachable[rows]
    up_kw, down_kw = np.empty(lost.size), np.empty(lost.size)
    _up_down(
        columns.battery_kw[rows],
        columns.meter_kw[rows],
        columns.stored_kwh[rows],
        columns.capacity_kwh[rows],
        columns.charge_limit_kw[rows],
        columns.discharge_limit_kw[rows],
        table.reserve_kwh[rows],
        table.charge_efficiency_ratio[rows],
        table.discharge_efficiency_ratio[rows],
        table.import_limit_kw[rows],
        table.export_limit_kw[rows],
        lasting_us / MICROS_PER_HOUR,
        up_kw,
        down_kw,
    )
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
        above, room = stored_kwh[i] - reserve_kwh[i], capacity_kwh[i] - stored_kwh[i]
        up_kw[i] = move_up(
            battery_kw[i], meter_kw[i], above, discharge_limit_kw[i], discharge_efficiency_ratio[i],
            export_limit_kw[i], hours,
        )  # fmt: skip
        down_kw[i] = move_down(
            battery_kw[i], meter_kw[i], room, charge_limit_kw[i], charge_efficiency_ratio[i], import_limit_kw[i], hours
        )
