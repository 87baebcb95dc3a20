"""The fixed grid of coordination prices on which every offer curve is sampled, and reading between its points.

Invariant: a curve is read between grid points by linear interpolation, for a member exactly as for a sum, so the
members' powers at any price add up to the group's power at that price.
"""

from __future__ import annotations

import numpy as np

from powerflock.domain.arrays import F32, F64

_POSITIVE = (0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.10, 0.12, 0.15, 0.18, 0.22, 0.26, 0.32, 0.40)
_SCARCITY = (0.55, 0.8, 1.2, 2.0, 4.0, 8.0, 14.0, 20.0)
_NEGATIVE = (-1.0, -0.6, -0.4, -0.3, -0.22, -0.16, -0.12, -0.09, -0.07, -0.05, -0.04, -0.03, -0.02, -0.01, -0.005)

PRICE_GRID: F64 = np.array((*_NEGATIVE, 0.0, *_POSITIVE, *_SCARCITY))
"""(41,) coordination prices in $/kWh, ascending, from the market's floor to above its cap, dense around zero."""
PRICE_GRID.setflags(write=False)


def read_at(offers_kw: F32 | F64, price: float) -> F64:
    """Power at `price` of curves sampled on `PRICE_GRID`: (..., 41) kW → (...) kW; outside the grid its end value."""
    cell = int(np.clip(np.searchsorted(PRICE_GRID, price, side="right") - 1, 0, PRICE_GRID.size - 2))
    share = float(np.clip((price - PRICE_GRID[cell]) / (PRICE_GRID[cell + 1] - PRICE_GRID[cell]), 0.0, 1.0))
    low, high = (np.asarray(offers_kw[..., at], np.float64) for at in (cell, cell + 1))
    return np.asarray(low + share * (high - low))


def price_for(offer_kw: F64, target_kw: float) -> float:
    """The price at which a non-increasing (41,) curve gives `target_kw`; the nearest end of the grid where it cannot.

    Where the curve is flat at the target any price would do: the one nearest zero is returned, so nobody is moved
    (nor paid) without need.
    """
    target_kw = float(np.clip(target_kw, offer_kw[-1], offer_kw[0]))
    equal = np.flatnonzero(offer_kw == target_kw)
    if equal.size:
        return _nearest_zero(int(equal[0]), int(equal[-1]))
    cell = int(np.flatnonzero(offer_kw > target_kw)[-1])
    share = (offer_kw[cell] - target_kw) / (offer_kw[cell] - offer_kw[cell + 1])
    return float(PRICE_GRID[cell] + share * (PRICE_GRID[cell + 1] - PRICE_GRID[cell]))


def _nearest_zero(first: int, last: int) -> float:
    return float(np.clip(0.0, PRICE_GRID[first], PRICE_GRID[last]))
