"""The outlook that knows everything: for measuring what forecasts cost, never for a real plant."""

from __future__ import annotations

import numpy as np

from powerflock.domain.arrays import F64, I64
from powerflock.plant.terms import Terms
from powerflock.sim.prices import PriceSeries
from powerflock.sim.profiles import Profiles
from powerflock.twins.estimate import SiteColumns


class PerfectOutlook:
    """An `Outlook` that reads the simulation's own truth; `rows` maps each partition's sites to profile rows."""

    def __init__(self, profiles: Profiles, rows: list[I64], prices: PriceSeries) -> None:
        self._profiles, self._rows, self._prices = profiles, rows, prices

    def enrol(self, partition: int, terms: Terms) -> None:
        """The truth is known already."""

    def learn(self, partition: int, now_us: int, duration_us: int, columns: SiteColumns) -> None:
        """There is nothing left to learn."""

    def learn_price(self, now_us: int, duration_us: int, spot_per_mwh: float) -> None:
        """There is nothing left to learn."""

    def ahead(self, partition: int, now_us: int, times_us: I64) -> F64:
        """(S, T) true net load at each time."""
        del now_us
        columns = [self._profiles.index(int(time)) for time in times_us]
        rows = self._rows[partition]
        return (self._profiles.load_kw[rows][:, columns] + self._profiles.solar_kw[rows][:, columns]).astype(np.float64)

    def nowcast(self, partition: int, now_us: int, at_us: int, columns: SiteColumns) -> F64:
        """(S,) true net load at `at_us`."""
        del columns
        return self.ahead(partition, now_us, np.array([at_us], np.int64))[:, 0]

    def dump(self) -> bytes:
        """There is nothing to keep."""
        return b""

    def load(self, payload: bytes) -> None:
        """There is nothing to take over."""

    def spot_ahead(self, now_us: int, times_us: I64) -> F64:
        """(T,) true prices; beyond the end of the series its last day repeats."""
        del now_us
        day = 86_400_000_000
        end = self._prices.end_us
        inside = np.where(times_us < end, times_us, end - day + (times_us - end) % day)
        return np.asarray(self._prices.price_per_mwh[(inside - self._prices.start_us) // self._prices.step_us])
