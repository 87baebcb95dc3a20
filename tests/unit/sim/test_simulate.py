"""A simulation can be repeated: the same seed gives the same trace, another seed another."""

from __future__ import annotations

import math

import numpy as np

from powerflock.sim.simulate import DayBills, Run, Series
from tests.unit.sim.simulated import simulated

NOTHING = Series([], [], [], [], [], [])


def run_of(alone: float, vpp: float, perfect: float) -> Run:
    zero = np.zeros(2)
    day = DayBills(0, zero, zero, zero, np.array([0.0, 0.4]), zero)
    return Run("x", (day, day), NOTHING, 0, alone, vpp, perfect)


def test_the_same_seed_gives_the_same_trace_and_another_seed_another() -> None:
    first, again = (simulated(1, perfect=False, again=number) for number in (0, 1))
    assert first.run.trace_hash == again.run.trace_hash
    assert first.summary == again.summary
    assert simulated(2, perfect=False).run.trace_hash != first.run.trace_hash


def test_the_series_has_a_row_for_every_tick() -> None:
    series = simulated(1, perfect=False).run.series
    assert len(series.time_us) == len(series.delivered_kw) == len(series.soc_ratio) == 1440
    assert np.isnan(series.target_kw[:5]).all(), "no award in the first interval"
    assert np.isfinite(series.target_kw[5:]).all()
    assert 0.0 < min(series.soc_ratio) <= max(series.soc_ratio) <= 1.0


def test_the_share_of_perfect_is_what_was_gained_of_what_could_be() -> None:
    assert run_of(10.0, 7.0, 6.0).share_of_perfect == 0.75
    assert math.isnan(run_of(10.0, 10.0, 10.0).share_of_perfect)


def test_top_ups_are_kept_by_day_and_home() -> None:
    assert run_of(1.0, 1.0, 0.0).top_up.tolist() == [[0.0, 0.4], [0.0, 0.4]]
