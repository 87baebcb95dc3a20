"""One row of the plant's own history per turn: what the console draws, kept in the log.

Market signs: MW, + = export. Unknown is None.
"""

from __future__ import annotations

import math

import msgspec

from powerflock.groups.hierarchy import PORTFOLIO
from powerflock.market.signs import to_market_mw
from powerflock.plant.model import Turn


class PlantRow(msgspec.Struct, frozen=True, array_like=True):
    """The portfolio at `time_us`; `target_mw` is the award of the interval in force."""

    time_us: int
    target_mw: float | None
    delivered_mw: float | None
    up_mw: float | None
    down_mw: float | None
    soc_ratio: float | None
    coverage_ratio: float | None
    spot_per_mwh: float | None


def row_of(turn: Turn) -> PlantRow:
    """What a turn saw of the portfolio."""
    groups = turn.groups
    capacity = float(groups.capacity_kwh[PORTFOLIO])
    return PlantRow(
        turn.now_us,
        turn.award.mw,
        known(to_market_mw(float(groups.power_kw[PORTFOLIO]))),
        known(float(groups.up_kw[PORTFOLIO]) / 1000.0),
        known(float(groups.down_kw[PORTFOLIO]) / 1000.0),
        known(float(groups.stored_kwh[PORTFOLIO]) / capacity) if capacity > 0 else None,
        known(float(groups.coverage_ratio[PORTFOLIO])),
        turn.award.spot_per_mwh,
    )


def known(value: float) -> float | None:
    """The value, or None for NaN."""
    return None if math.isnan(value) else value
