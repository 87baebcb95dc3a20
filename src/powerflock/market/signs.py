"""The one border between the passive sign (kW, positive into the homes) and the market's (MW, positive to the grid)."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", float, NDArray[np.float64])


def to_market_mw(passive_kw: Number) -> Number:
    """From kW into the portfolio to MW to the grid."""
    return passive_kw * -0.001


def to_passive_kw(market_mw: Number) -> Number:
    """From MW to the grid to kW into the portfolio."""
    return market_mw * -1000.0
