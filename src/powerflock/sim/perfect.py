"""The outlook that knows everything: for measuring what forecasts cost, never for a real plant."""

from __future__ import annotations

import numpy as np

from powerflock.domain.arrays import F64, I64
from powerflock.market.programme import coordination_per_kwh
from powerflock.optimise.check import schedule_cost
from powerflock.optimise.site import convexified, solve
from powerflock.plant.ring import Ring
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


def hindsight(ring: Ring, profiles: Profiles, rows: list[I64], from_us: int, until_us: int, stored_kwh: F64) -> F64:
    """(S,) $ of the best schedule over [from, until) with every load and price known, from `stored_kwh` (S,).

    Owners' cost less the market's value of their energy, and less the plan's end value of what is left. Batteries
    are as on their nameplates. Where a price is too negative to be convex the schedule is made at the lowest convex one
    and still costed at the real one.
    """
    length, cost = ring.settings.interval_us, np.zeros(stored_kwh.size)
    times = np.arange(from_us, until_us, length, dtype=np.int64)
    spot = np.array([ring.venue.spot_per_mwh(int(time)) for time in times], np.float64)
    price = coordination_per_kwh(ring.settings.programme, spot)
    columns = [profiles.index(int(time)) for time in times]
    for shard, own in zip(ring.shards, rows, strict=True):
        if not times.size or not own.size:
            cost[own] = -shard.terminal_per_kwh() * stored_kwh[own]
            continue
        load = (profiles.load_kw[own][:, columns] + profiles.solar_kw[own][:, columns]).astype(np.float64)
        problems = shard.problems(from_us // length, length, load, price, stored_kwh[own])
        cost[own] = schedule_cost(problems, solve(convexified(problems), 0).battery_kw)[0]
    return cost
