"""A bid says what the portfolio would do: ten bands, never further from its curve than it says, dispatched exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from powerflock.curve.grid import PRICE_GRID
from powerflock.domain.arrays import F64
from powerflock.domain.errors import InvalidInput
from powerflock.market.bids import BANDS, Bid, bid_from_curve, dispatched_mw
from powerflock.market.programme import Programme, coordination_per_kwh, spot_per_mwh

FRONT = Programme()
PROGRAMMES = [FRONT, Programme("aggregator", 0.08), Programme("retailer", 0.12, loss_factor_ratio=1.04)]


@st.composite
def curves(draw: st.DrawFn) -> F64:
    """Non-increasing kW over the grid: some smooth, some with jumps and flats."""
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    steps = rng.exponential(draw(st.sampled_from([0.1, 5.0, 400.0])), PRICE_GRID.size)
    steps[rng.uniform(size=steps.size) < draw(st.sampled_from([0.0, 0.6, 0.95]))] = 0.0
    return np.asarray(rng.normal(0.0, 3000.0) - np.cumsum(steps))


def output_mw(curve_kw: F64, programme: Programme, spot: float) -> float:
    """What the curve itself gives at a spot price, read as everything reads it."""
    price = float(coordination_per_kwh(programme, np.array([spot]))[0])
    return float(-np.interp(price, PRICE_GRID, curve_kw) / 1000.0)


@given(
    curves(), st.sampled_from(PROGRAMMES), st.floats(-500.0, 3000.0), st.lists(st.floats(-999.0, 16000.0), max_size=8)
)
def test_a_bid_is_nowhere_further_from_the_curve_than_it_says(
    curve: F64, programme: Programme, expected: float, spots: list[float]
) -> None:
    """At the grid's prices, on both sides of each band's price, and anywhere else."""
    bid = bid_from_curve(0, curve, programme, expected)
    edges = [price - before for price in bid.price_per_mwh for before in (0.0, 1e-9)]
    for spot in [*spot_per_mwh(programme, PRICE_GRID), *edges, *spots]:
        off = abs(dispatched_mw(bid, spot) - output_mw(curve, programme, spot))
        assert off <= bid.error_mw + 1e-6


@given(curves(), st.floats(-900.0, 15000.0))
def test_ten_bands_rise_in_price_and_never_take_back(curve: F64, expected: float) -> None:
    bid = bid_from_curve(7, curve, FRONT, expected)
    assert bid.interval_us == 7
    assert len(bid.price_per_mwh) == len(bid.quantity_mw) == BANDS
    assert np.diff(bid.price_per_mwh).min() >= 0.01 - 1e-9, "AEMO: each band dearer than the one before"
    assert min(bid.quantity_mw) >= -1e-12
    assert all(round(price, 2) == price for price in bid.price_per_mwh), "prices are in cents"


def test_a_portfolio_that_cannot_move_bids_its_own_power_at_every_price() -> None:
    bid = bid_from_curve(0, np.full(PRICE_GRID.size, 250.0), FRONT, 80.0)
    assert bid.base_mw == -0.25
    assert bid.error_mw == 0.0
    assert sum(bid.quantity_mw) == 0.0
    assert [dispatched_mw(bid, spot) for spot in (-1000.0, 80.0, 17500.0)] == [-0.25] * 3


def test_homes_that_consume_bid_a_negative_base_and_give_back_at_higher_prices() -> None:
    curve = np.where(PRICE_GRID < 0.1, 900.0, np.where(PRICE_GRID < 0.3, 100.0, -700.0))
    bid = bid_from_curve(0, curve, FRONT, 100.0)
    assert bid.base_mw == pytest.approx(-0.9)
    assert dispatched_mw(bid, 20.0) == pytest.approx(-0.9, abs=1e-9)
    assert dispatched_mw(bid, 5000.0) == pytest.approx(0.7)


def test_the_bands_are_spent_where_the_price_is_expected() -> None:
    curve = -np.linspace(0.0, 4000.0, PRICE_GRID.size)

    def error_at(expected: float, spot: float) -> float:
        return abs(dispatched_mw(bid_from_curve(0, curve, FRONT, expected), spot) - output_mw(curve, FRONT, spot))

    spots = np.linspace(80.0, 120.0, 41)
    near, far = (np.mean([error_at(expected, spot) for spot in spots]) for expected in (100.0, 5000.0))
    assert near < far


def test_bands_at_one_cent_stay_a_cent_apart() -> None:
    """Prices so close that they round to the same cent, as where a loss factor squeezes the grid."""
    curve = -1000.0 * np.arange(PRICE_GRID.size, dtype=np.float64)
    bid = bid_from_curve(0, curve, Programme(loss_factor_ratio=100_000.0), 0.0)
    assert np.diff(bid.price_per_mwh).min() >= 0.01 - 1e-9


def test_an_unknown_curve_is_refused() -> None:
    curve = np.zeros(PRICE_GRID.size)
    curve[3] = np.nan
    with pytest.raises(InvalidInput, match="portfolio curve"):
        bid_from_curve(0, curve, FRONT, 80.0)


def test_a_band_is_dispatched_whole_when_its_price_is_reached() -> None:
    bid = Bid(0, -1.0, (10.0, 50.0), (0.5, 2.0), 0.0)
    assert [dispatched_mw(bid, spot) for spot in (9.99, 10.0, 49.0, 50.0)] == [-1.0, -0.5, -0.5, 1.5]
