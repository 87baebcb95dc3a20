"""Prices down: homes add up to their feeder, feeders to the target, and nobody's limit is crossed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from powerflock.curve.grid import PRICE_GRID
from powerflock.dispatch.allocate import clear, portfolio_curve, setpoints
from powerflock.domain.arrays import F32, F64, I64

NO_LIMIT = np.inf


def homes(seed: int, sites: int, feeders: int) -> tuple[F32, I64, F64]:
    """Random non-increasing curves (S, 41), the feeder of each, and the feeders' sums (F, 41), all kW."""
    rng = np.random.default_rng(seed)
    steps = rng.exponential(0.4, (sites, PRICE_GRID.size)) * (rng.uniform(size=(sites, PRICE_GRID.size)) < 0.5)
    offers = np.asarray(rng.normal(2.0, 3.0, (sites, 1)) - np.cumsum(steps, axis=1), np.float32)
    feeder = rng.integers(0, feeders, sites)
    sums = np.zeros((feeders, PRICE_GRID.size))
    np.add.at(sums, feeder, offers)
    return offers, feeder.astype(np.int64), sums


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 4), st.floats(0.0, 1.0))
def test_setpoints_add_up_to_any_target_within_reach(seed: int, sites: int, feeders: int, at: float) -> None:
    offers, feeder, sums = homes(seed, sites, feeders)
    free = np.full(feeders, NO_LIMIT)
    whole = portfolio_curve(sums, free, free)
    target = float(whole[-1] + at * (whole[0] - whole[-1]))
    clearing = clear(sums, free, free, target)
    assert clearing.shortfall_kw == pytest.approx(0.0, abs=1e-6)
    assert (clearing.feeder_price_per_kwh == clearing.price_per_kwh).all()
    told = setpoints(offers, feeder, clearing)
    assert told.sum() == pytest.approx(target, abs=1e-6)
    np.testing.assert_allclose(np.bincount(feeder, told, feeders), clearing.feeder_kw, atol=1e-6)


@given(st.integers(0, 2**32 - 1), st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_a_feeder_at_its_limit_gets_its_own_price_and_stays_within(
    seed: int, at: float, low: float, high: float
) -> None:
    offers, feeder, sums = homes(seed, 20, 3)
    middle = np.median(sums, axis=1)
    take = np.maximum(middle, 0.0) + high * (sums[:, 0] - middle)
    give = np.maximum(-middle, 0.0) + low * (middle - sums[:, -1])
    whole = portfolio_curve(sums, take, give)
    target = float(whole[-1] + at * (whole[0] - whole[-1]))
    clearing = clear(sums, take, give, target)
    told = np.bincount(feeder, setpoints(offers, feeder, clearing), 3)
    assert (told <= take + 1e-6).all()
    assert (told >= -give - 1e-6).all()
    np.testing.assert_allclose(told, clearing.feeder_kw, atol=1e-6)
    assert told.sum() == pytest.approx(target, abs=1e-6)
    assert clearing.shortfall_kw == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("beyond_kw", [50.0, -50.0])
def test_a_target_out_of_reach_is_met_as_far_as_it_goes_and_the_rest_is_told(beyond_kw: float) -> None:
    offers, feeder, sums = homes(3, 10, 2)
    free = np.full(2, NO_LIMIT)
    whole = portfolio_curve(sums, free, free)
    nearest = float(whole[0] if beyond_kw > 0 else whole[-1])
    clearing = clear(sums, free, free, nearest + beyond_kw)
    assert clearing.shortfall_kw == pytest.approx(beyond_kw)
    assert setpoints(offers, feeder, clearing).sum() == pytest.approx(nearest)


def test_where_any_price_would_do_nobody_is_moved() -> None:
    flat = np.full((1, PRICE_GRID.size), 3.0)
    clearing = clear(flat, np.array([NO_LIMIT]), np.array([NO_LIMIT]), 3.0)
    assert clearing.price_per_kwh == 0.0
