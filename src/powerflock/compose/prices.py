"""The live plant's replay venue: a generated series that never ends, or a file replayed from a day of its own.

A file is laid onto the plant's first day with a week before it where it has one, and starts again when it ends.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from powerflock.domain.arrays import F64
from powerflock.domain.clock import MICROS_PER_DAY, MICROS_PER_S
from powerflock.forecast.history import DAYS
from powerflock.settings import Settings
from powerflock.sim import prices as sim_prices
from powerflock.sim.price_files import read_prices
from powerflock.sim.prices import MARKET_TIME_US, STEP_US, PriceSeries, generated_day, market_midnight_from


class LivePrices:
    """A `Venue`. `source` is short, for the banner; `generated` says that the prices are invented."""

    def __init__(self, settings: Settings, first_us: int) -> None:
        """Prices for a plant whose time first began at `first_us`."""
        self._interval_us = settings.plant.interval_s * MICROS_PER_S
        self._seed = settings.market.seed
        self._file: PriceSeries | None = None
        self.source, self.generated = f"seed {self._seed}", True
        if settings.market.prices is not None:
            series = _whole_days(read_prices(settings.market.prices, settings.plant.region))
            week = DAYS if series.price_per_mwh.size * STEP_US > 2 * DAYS * MICROS_PER_DAY else 0
            today = first_us - (first_us + MARKET_TIME_US) % MICROS_PER_DAY
            self._file = series.shift_days((today - series.start_us) // MICROS_PER_DAY - week)
            self.source, self.generated = settings.market.prices.name, False

    def spot_per_mwh(self, interval_us: int) -> float:
        """Price of the interval that starts at `interval_us`, the mean of its 5-minute prices."""
        starts = range(interval_us, interval_us + self._interval_us, STEP_US)
        return float(np.mean([self._at(start) for start in starts]))

    def week_before(self, now_us: int) -> PriceSeries:
        """The prices of the 7 days before `now_us`, for the forecast's history."""
        start = now_us - now_us % STEP_US - DAYS * MICROS_PER_DAY
        if self._file is None:
            return sim_prices.generated(self._seed, start, DAYS)
        column = np.array([self._at(start + step * STEP_US) for step in range(DAYS * MICROS_PER_DAY // STEP_US)])
        return PriceSeries(start, column, self.source, generated=False)

    def _at(self, time_us: int) -> float:
        if self._file is not None:
            span = self._file.end_us - self._file.start_us
            return self._file.at(self._file.start_us + (time_us - self._file.start_us) % span)
        day, rest = divmod(time_us + MARKET_TIME_US, MICROS_PER_DAY)
        return float(_generated(self._seed, day)[rest // STEP_US])


@lru_cache(maxsize=16)
def _generated(seed: int, day: int) -> F64:
    return generated_day(seed, day)


def _whole_days(series: PriceSeries) -> PriceSeries:
    """From its first market midnight, as many whole days as it has."""
    start = market_midnight_from(series.start_us)
    days = (series.end_us - start) // MICROS_PER_DAY
    return series.window(start, start + days * MICROS_PER_DAY)
