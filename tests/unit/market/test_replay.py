"""The replay venue gives each interval its price, and says so when it has none."""

from __future__ import annotations

import numpy as np
import pytest

from powerflock.domain.errors import InvalidInput
from powerflock.market.venues.replay import ReplayVenue

STEP = 300_000_000


def test_an_interval_has_the_price_of_its_step() -> None:
    venue = ReplayVenue(10 * STEP, STEP, np.array([5.0, -7.0]), STEP)
    assert [venue.spot_per_mwh(at * STEP) for at in (10, 11)] == [5.0, -7.0]


def test_a_longer_interval_takes_the_mean_of_its_steps() -> None:
    assert ReplayVenue(0, STEP, np.arange(12.0), 6 * STEP).spot_per_mwh(6 * STEP) == 8.5


@pytest.mark.parametrize("at", [-1, 12])
def test_time_outside_the_prices_is_refused_by_name(at: int) -> None:
    with pytest.raises(InvalidInput, match="must lie within the price series"):
        ReplayVenue(0, STEP, np.zeros(12), STEP).spot_per_mwh(at * STEP)


def test_intervals_that_cut_a_price_step_are_refused() -> None:
    with pytest.raises(InvalidInput, match="whole number of price steps"):
        ReplayVenue(0, STEP, np.zeros(12), STEP + 1)
