"""The bid: the portfolio's curve reduced to the market's ten price bands, and what a price dispatches of them.

Generation-positive MW. The bands rise in price; a band is dispatched whole when the price reaches it (AEMO, Dispatch
bids: ten price bands a day). `base_mw` is what the portfolio delivers below the lowest band, negative when it consumes.
"""

from __future__ import annotations

import msgspec
import numpy as np

from powerflock.curve.grid import PRICE_GRID
from powerflock.domain.arrays import F64
from powerflock.domain.errors import InvalidInput
from powerflock.market.programme import Programme, spot_per_mwh
from powerflock.market.signs import to_market_mw

BANDS = 10
_STEP_PER_MWH = 0.01


class Bid(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A bid for the interval that starts at `interval_us`."""

    interval_us: int
    base_mw: float
    price_per_mwh: tuple[float, ...]
    quantity_mw: tuple[float, ...]


def bid_from_curve(interval_us: int, portfolio_kw: F64, programme: Programme) -> Bid:
    """Ten equal-quantity bands of the portfolio's (41,) passive offer curve.

    Each band is priced where the curve reaches the band's middle, so at any price what the bands dispatch differs from
    the curve by at most half a band: a twentieth of the portfolio's range.
    """
    if not np.isfinite(portfolio_kw).all():
        raise InvalidInput("portfolio curve", "NaN", "must be known at every price", "Leave unknown sites out of the sum.")
    output_mw = np.maximum.accumulate(to_market_mw(portfolio_kw))
    spot = spot_per_mwh(programme, PRICE_GRID)
    reach = float(output_mw[-1] - output_mw[0])
    middles = output_mw[0] + (np.arange(BANDS) + 0.5) * reach / BANDS
    rising = np.concatenate([[True], np.diff(output_mw) > 0])
    prices = np.interp(middles, output_mw[rising], spot[rising]) if reach > 0 else np.linspace(0.0, 300.0, BANDS)
    prices = np.round(prices, 2)
    for band in range(1, BANDS):
        prices[band] = max(prices[band], round(prices[band - 1] + _STEP_PER_MWH, 2))
    quantity = (reach / BANDS,) * BANDS
    return Bid(interval_us, float(output_mw[0]), tuple(float(price) for price in prices), quantity)


def dispatched_mw(bid: Bid, spot: float) -> float:
    """What the bid delivers at the `spot` price, $/MWh: base and every band whose price is reached."""
    return bid.base_mw + sum(
        quantity for price, quantity in zip(bid.price_per_mwh, bid.quantity_mw, strict=True) if price <= spot
    )
