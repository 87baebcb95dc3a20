"""Homes fall silent at random for hours: the plant still knows what the fleet does, and how well it knows it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from powerflock.compose.virtual import _virtual_plant
from powerflock.domain.arrays import Bools
from powerflock.domain.clock import MICROS_PER_DAY, MICROS_PER_HOUR
from powerflock.groups.hierarchy import PORTFOLIO
from powerflock.plant.model import Turn
from powerflock.settings import Settings
from powerflock.sim import homes, prices
from tests.unit.sim.simulated import START_US

HOMES, MINUTE_US, DAY_MINUTES = 60, 60_000_000, 24 * 60


class Dropouts:
    """Seeded outages: each home loses its link about twice a day, for a quarter of an hour to six hours."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.lost = np.zeros((DAY_MINUTES + 1, HOMES), np.bool_)
        for home in range(HOMES):
            for _ in range(rng.poisson(2.0)):
                start, length = int(rng.integers(0, DAY_MINUTES)), int(rng.integers(15, 360))
                self.lost[start : start + length, home] = True

    def at(self, now_us: int) -> Bools:
        row: Bools = self.lost[min(int(now_us - START_US) // MINUTE_US, DAY_MINUTES)]
        return row


@pytest.mark.parametrize("seed", [1, 3, 4])
def test_the_true_power_of_the_fleet_lies_inside_its_95_percent_band_while_homes_fall_silent(seed: int) -> None:
    fleet = homes.generate(HOMES, seed, 9, START_US - 7 * MICROS_PER_DAY)
    series = prices.generated(seed, START_US - 7 * MICROS_PER_DAY, 10)
    inside: list[bool] = []
    silent, width = [], []
    with ThreadPoolExecutor(2) as pool:
        simulation, runner = _virtual_plant(Settings(), fleet, series, seed, START_US, None, pool)
        simulation.link_lost = Dropouts(seed).at
        tick = runner.tick

        def watched(now_us: int) -> Turn:
            turn = tick(now_us)
            known, std = float(turn.groups.power_kw[PORTFOLIO]), float(turn.groups.std_kw[PORTFOLIO])
            true = float(simulation.vpp.net_kw.sum())
            if turn.groups.silent[PORTFOLIO] > 0:
                inside.append(abs(known - true) <= 1.96 * std)
                silent.append(float(turn.groups.silent[PORTFOLIO]))
                width.append(std)
            return turn

        runner.tick = watched  # type: ignore[method-assign]
        end_us = START_US + 24 * MICROS_PER_HOUR
        simulation.run(START_US, end_us, end_us, 10 * MICROS_PER_HOUR, lambda _: None)
    assert len(inside) > 1000, "nearly always some home is silent"
    assert np.mean(silent) > 5.0
    assert np.mean(inside) >= 0.93
    assert np.mean(width) < 0.6 * np.mean(silent), "the band says something: less than 0.6 kW of doubt a silent home"
