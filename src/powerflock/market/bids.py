"""The bid: the portfolio's curve reduced to the market's ten price bands, and what a price dispatches of them.

Generation-positive MW. The bands rise in price; a band is dispatched whole when the price reaches it (AEMO, Dispatch
bids: ten price bands a day). `base_mw` is what the portfolio delivers below the lowest band, negative when it consumes.
"""

from __future__ import annotations

import msgspec
import numpy as np

from powerflock.curve.bands import largest_error, reduce_to_bands
from powerflock.curve.grid import PRICE_GRID
from powerflock.domain.arrays import F64
from powerflock.domain.errors import InvalidInput
from powerflock.market.programme import Programme, spot_per_mwh
from powerflock.market.signs import to_market_mw

BANDS = 10
_STEP_PER_MWH = 0.01
_FINE = np.array([0.0, 1, 2, 4, 6, 8, 10, 13, 16, 20, 25, 30, 40, 50, 65, 80, 100, 150, 200])
_NEAR_PER_MWH: F64 = np.concatenate([-_FINE[:0:-1], _FINE])


class Bid(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A bid for the interval that starts at `interval_us`; `error_mw` is how far it is from the curve at the most."""

    interval_us: int
    base_mw: float
    price_per_mwh: tuple[float, ...]
    quantity_mw: tuple[float, ...]
    error_mw: float


def bid_from_curve(interval_us: int, portfolio_kw: F64, programme: Programme, expected_per_mwh: float) -> Bid:
    """The ten-step approximation of the portfolio's (41,) passive curve that is best where the price is expected.

    Of all steps between candidate prices (the grid's, and finer ones around `expected_per_mwh`) those with the least
    squared error, weighted by how likely each price is. `error_mw` is the largest error at any price.
    """
    if not np.isfinite(portfolio_kw).all():
        raise InvalidInput(
            "portfolio curve", "NaN", "must be known at every price", "Leave unknown sites out of the sum."
        )
    grid = spot_per_mwh(programme, PRICE_GRID)
    near = expected_per_mwh + _NEAR_PER_MWH
    prices = np.unique(np.concatenate([grid, near[(near > grid[0]) & (near < grid[-1])]]))
    output_mw = np.interp(prices, grid, np.maximum.accumulate(to_market_mw(portfolio_kw)))
    bands = reduce_to_bands(output_mw, _likelihood(prices, expected_per_mwh), BANDS)
    edges = np.round(0.5 * (prices[bands.first[1:] - 1] + prices[bands.first[1:]]), 2)
    apart = _STEP_PER_MWH * np.arange(BANDS)
    edges = (np.maximum.accumulate(edges - apart) + apart).round(2)
    return Bid(
        interval_us, float(bands.level[0]), tuple(edges.tolist()), tuple(np.diff(bands.level).tolist()),
        largest_error(prices, output_mw, edges, bands.level),
    )  # fmt: skip


def _likelihood(prices: F64, expected_per_mwh: float) -> F64:
    """Weight of each candidate: most of it near the expected price, some everywhere, for surprises."""
    distance = np.abs(prices - expected_per_mwh)
    return np.asarray(np.exp(-distance / 15.0) + 0.05 * np.exp(-distance / 150.0) + 0.002)


def dispatched_mw(bid: Bid, spot: float) -> float:
    """What the bid delivers at the `spot` price, $/MWh: base and every band whose price is reached."""
    return bid.base_mw + sum(
        quantity for price, quantity in zip(bid.price_per_mwh, bid.quantity_mw, strict=True) if price <= spot
    )
