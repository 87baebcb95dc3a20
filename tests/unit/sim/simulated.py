"""Whole simulated days for tests, run once each and shared: the plant, its homes, the run and its summary."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import NamedTuple

import numpy as np

from powerflock.autobidder.runner import Runner
from powerflock.compose.virtual import _virtual_plant, summary
from powerflock.domain.arrays import F64
from powerflock.domain.clock import MICROS_PER_DAY, MICROS_PER_HOUR, from_rfc3339
from powerflock.settings import Settings
from powerflock.sim import homes, prices
from powerflock.sim.price_files import read_prices
from powerflock.sim.simulate import Run, Simulation
from tests.data import data_file

START_US = from_rfc3339("2026-01-15T00:00:00+10:00")
REAL_PRICES = "nem/vic1_price_demand_5min_2024-12_2025-07.parquet"


class Simulated(NamedTuple):
    """One simulation that ended."""

    run: Run
    summary: dict[str, object]
    simulation: Simulation
    runner: Runner
    start_kwh: F64
    seconds: float

    @property
    def after(self) -> F64:
        """(days, S) $ by which a bill with the plant exceeds the bill alone, all payments counted."""
        return np.stack([day.vpp - day.paid - day.top_up - day.share - day.alone for day in self.run.days])

    @property
    def before(self) -> F64:
        """(days, S) $ the same before what the days' ends added."""
        return np.stack([day.vpp - day.paid - day.alone for day in self.run.days])


def simulated(
    seed: int, count: int = 20, days: int = 1, *, perfect: bool, real_from: str = "", again: int = 0
) -> Simulated:
    """`days` of `count` generated homes, on generated prices or real ones from the date `real_from` on.

    The same arguments give the run made before; `again` asks for another one.
    """
    return _simulated(seed, count, days, perfect, real_from, again)


@cache
def _simulated(seed: int, count: int, days: int, perfect: bool, real_from: str, again: int) -> Simulated:
    del again
    start = from_rfc3339(f"{real_from}T00:00:00+10:00") if real_from else START_US
    end, week = start + days * MICROS_PER_DAY, 7 * MICROS_PER_DAY
    if real_from:
        series = read_prices(data_file(REAL_PRICES), "VIC1")
    else:
        series = prices.generated(seed, start - week, 7 + days + 2)
    fleet = homes.generate(count, seed, 7 + days + 1, start - week)
    with ThreadPoolExecutor(2) as pool:
        simulation, runner = _virtual_plant(Settings(), fleet, series, seed, start, end if perfect else None, pool)
        start_kwh = simulation.vpp.stored_kwh.copy()
        run = simulation.run(start, end, end, 10 * MICROS_PER_HOUR, lambda _: None)
    found = summary(run, runner, fleet, series, perfect=perfect)
    return Simulated(run, found, simulation, runner, start_kwh, (end - start) / 1e6)
