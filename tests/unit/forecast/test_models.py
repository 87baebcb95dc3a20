"""Baselines that say honestly what a home will use, its roof will give and a kWh will cost."""

from __future__ import annotations

import numpy as np
import pytest

from powerflock.domain.arrays import F64
from powerflock.domain.clock import MICROS_PER_DAY, MICROS_PER_HOUR
from powerflock.forecast.history import SLOT_US, SlotHistory
from powerflock.forecast.models import (
    RecentError,
    RecentSky,
    base_load_kw,
    base_price_per_mwh,
    base_solar_kw,
    clear_sky_day,
    clear_sky_ratio,
    neighbours_kw,
    net_load_ahead_kw,
    solar_yield_ratio,
    typical_load_kw,
)

DAY = 20_100
NOW_US = DAY * MICROS_PER_DAY
SYDNEY = (np.array([-33.9]), np.array([151.2]))
ONE_PLACE = np.zeros(1, np.int32)
HALF_HOURS = NOW_US + np.arange(48, dtype=np.int64) * SLOT_US


def week(by_slot: F64) -> SlotHistory:
    """The same 48 values on each of the seven days before `NOW_US`."""
    history = SlotHistory(1)
    for slot in range((DAY - 7) * 48, DAY * 48):
        history.put(slot, np.array([by_slot[slot % 48]]), (slot + 1) * SLOT_US)
    return history


def sky_by_slot() -> F64:
    return np.asarray(clear_sky_day(*SYDNEY, NOW_US).reshape(1, 48, 6).mean(axis=2))


def test_a_week_that_repeats_is_forecast_exactly() -> None:
    load = np.linspace(0.2, 3.0, 48)
    np.testing.assert_allclose(base_load_kw(week(load).as_of(NOW_US), np.zeros((48, 1)), HALF_HOURS)[0], load)


def test_a_home_without_history_is_taken_for_a_usual_one_of_its_size() -> None:
    prior = typical_load_kw(np.array([24.0, 6.0]), np.array([600, 600], np.int32))
    forecast = base_load_kw(SlotHistory(2).as_of(NOW_US), prior, HALF_HOURS)
    np.testing.assert_allclose(forecast.sum(axis=1) / 2, [24.0, 6.0])
    assert forecast[0].argmax() * 0.5 == pytest.approx((18.5 - 10.0) % 24), "the evening peak is local, half past six"


def test_a_recent_error_is_carried_on_and_fades() -> None:
    error = RecentError(np.zeros(2))
    for _ in range(30):
        error.update(np.array([3.0, np.nan]), np.array([1.0, 1.0]), 1 / 60)
    ahead = error.ahead(np.array([0.0, 1.0, 2.0]))
    np.testing.assert_allclose(ahead[0], [2.0, 1.0, 0.5], rtol=0.01)
    assert (ahead[1] == 0.0).all(), "an unknown load says nothing"


def test_there_is_no_sun_at_night_and_power_is_never_positive() -> None:
    times = NOW_US + np.arange(288, dtype=np.int64) * (MICROS_PER_DAY // 288)
    sky = clear_sky_ratio(*SYDNEY, times)
    power = base_solar_kw(np.ones((1, 288)), np.array([5.0]), sky, ONE_PLACE)[0]
    assert (power <= 0.0).all()
    local_hour = ((times // MICROS_PER_HOUR) + 10) % 24
    assert (power[(local_hour >= 21) | (local_hour < 3)] == 0.0).all()
    assert power.min() < -3.0


def test_a_roof_without_history_gives_a_usual_share_of_clear_sky() -> None:
    ratio = solar_yield_ratio(SlotHistory(1).as_of(NOW_US), sky_by_slot(), ONE_PLACE, np.array([5.0]))
    np.testing.assert_array_equal(ratio, np.full((1, 48), 0.75))


def test_a_western_roof_keeps_its_own_shape() -> None:
    sky = sky_by_slot()[0]
    noon = int(np.argmax(sky))
    shape = np.where(np.arange(48) < noon, 0.3, 0.9)
    ratio = solar_yield_ratio(week(-sky * 5.0 * shape).as_of(NOW_US), sky_by_slot(), ONE_PLACE, np.array([5.0]))[0]
    np.testing.assert_allclose(ratio[sky > 0.05], shape[sky > 0.05])
    dark = ratio[sky == 0.0]
    assert 0.3 < dark.min() == dark.max() < 0.9, "where no sun shines, the roof's mean"


def shares_ahead(sky: RecentSky, solar_kw: F64, leads: F64) -> F64:
    """(S, T) what is expected of roofs in full sun that would give all they have, of it, without any load."""
    nothing = np.zeros((solar_kw.size, 48)), np.zeros(solar_kw.size)
    times = NOW_US + (leads * MICROS_PER_HOUR).astype(np.int64)
    ahead = net_load_ahead_kw(
        nothing, np.ones((solar_kw.size, 48)), solar_kw, np.ones((1, 288)), np.zeros(solar_kw.size, np.int32),
        sky.share(solar_kw), times, leads,
    )  # fmt: skip
    return ahead / -solar_kw[:, None]


def test_load_is_never_expected_below_zero_and_its_recent_error_halves_every_hour() -> None:
    load, none = (np.full((2, 48), 1.0), np.array([2.0, -3.0])), np.zeros(2)
    times = NOW_US + np.array([0, 1, 2]) * MICROS_PER_HOUR
    leads = np.array([0.0, 1.0, 2.0])
    ahead = net_load_ahead_kw(
        load, np.ones((2, 48)), none, np.ones((1, 288)), np.zeros(2, np.int32), np.ones(2), times, leads
    )
    np.testing.assert_allclose(ahead, [[3.0, 2.0, 1.5], [0.0, 0.0, 0.25]])


def test_a_dark_morning_dims_the_hours_after_it_but_not_tomorrow() -> None:
    sky, size = RecentSky(np.zeros(1), np.zeros(1)), np.array([5.0])
    for _ in range(180):
        sky.update(np.array([-0.8]), np.array([-4.0]), 1 / 60)
    share = shares_ahead(sky, size, np.array([0.0, 6.0, 24.0]))[0]
    assert share[0] == pytest.approx(0.24, abs=0.06)
    assert share[0] < share[1] < 0.7
    assert 0.9 < share[2] < 1.0


def test_without_sun_or_readings_lately_the_base_stands() -> None:
    sky = RecentSky(np.zeros(2), np.zeros(2))
    sky.update(np.array([0.0, np.nan]), np.array([0.0, -4.0]), 1.0)
    np.testing.assert_allclose(shares_ahead(sky, np.array([5.0, 5.0]), np.array([0.0, 3.0])), 1.0)


def test_a_roof_that_always_gives_double_is_believed_up_to_double() -> None:
    sky = RecentSky(np.zeros(1), np.zeros(1))
    sky.update(np.array([-50.0]), np.array([-1.0]), 5.0)
    assert shares_ahead(sky, np.array([5.0]), np.zeros(1))[0, 0] == 2.0


def test_a_price_without_history_is_the_usual_one() -> None:
    assert (base_price_per_mwh(SlotHistory(1).as_of(NOW_US), HALF_HOURS, 75.0) == 75.0).all()


def test_a_roof_that_fell_silent_has_its_neighbours_sky() -> None:
    seen = np.array([-2.0, np.nan, -1.0, np.nan])
    base = np.array([-4.0, -6.0, -1.0, -3.0])
    place = np.array([0, 0, 1, 2], np.int32)
    np.testing.assert_array_equal(neighbours_kw(seen, base, place), [-2.0, -3.0, -1.0, np.nan])
