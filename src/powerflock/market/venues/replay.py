"""The replay venue: real or generated prices of the past, at which standing bids would have been dispatched.

A price-taker's market: our bid does not move the price. Prices are A$/MWh by interval of 5 minutes; a longer market
interval takes their mean. Must not read files: it is handed the column.
"""

from __future__ import annotations

from powerflock.domain.arrays import F64
from powerflock.domain.clock import to_rfc3339
from powerflock.domain.errors import InvalidInput


class ReplayVenue:
    """`price_per_mwh` (T,) from `start_us` in steps of `step_us`; `interval_us` is a whole number of steps."""

    def __init__(self, start_us: int, step_us: int, price_per_mwh: F64, interval_us: int) -> None:
        if interval_us % step_us:
            raise InvalidInput("market interval", interval_us, f"must be a whole number of price steps of {step_us} µs")
        self._start_us, self._step_us, self._price, self._steps = (
            start_us,
            step_us,
            price_per_mwh,
            interval_us // step_us,
        )

    def spot_per_mwh(self, interval_us: int) -> float:
        """Price of the interval that starts at `interval_us`."""
        first = (interval_us - self._start_us) // self._step_us
        if not 0 <= first <= self._price.size - self._steps:
            raise InvalidInput(
                "interval", to_rfc3339(interval_us), "must lie within the price series", "Give a longer price file."
            )
        return float(self._price[first : first + self._steps].mean())
