"""Nothing leaks from the future: what was not yet available at a moment never changes what is forecast then."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from powerflock.domain.arrays import F64
from powerflock.domain.clock import MICROS_PER_DAY
from powerflock.forecast.history import DAYS, SLOT_US, SlotHistory
from powerflock.forecast.models import base_load_kw, base_price_per_mwh, clear_sky_day, solar_yield_ratio

SERIES = 2
NOW_SLOT = 20_000 * 48 + 17
SLOTS = DAYS * 48
TIMES = (NOW_SLOT + np.arange(48, dtype=np.int64)) * SLOT_US
SKY = clear_sky_day(np.array([-33.9]), np.array([151.2]), NOW_SLOT * SLOT_US).reshape(1, 48, 6).mean(axis=2)


def forecasts(history: SlotHistory, now_us: int) -> F64:
    """All that the models make of a history."""
    view = history.as_of(now_us)
    place = np.zeros(SERIES, np.int32)
    return np.concatenate([
        base_load_kw(view, np.ones((48, SERIES)), TIMES).ravel(),
        base_price_per_mwh(view, TIMES, 80.0),
        solar_yield_ratio(view, SKY, place, np.array([3.0, 5.0])).ravel(),
    ])  # fmt: skip


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(-SLOTS - 50, 60), st.integers(0, 100), st.floats(-9, 9)), max_size=40),
    st.lists(st.tuples(st.integers(-SLOTS + 1, 60), st.integers(1, 10_000_000), st.floats(-9, 9)), max_size=10),
)
def test_what_is_not_yet_available_never_changes_a_forecast(
    known: list[tuple[int, int, float]], later: list[tuple[int, int, float]]
) -> None:
    """`known` came in by now; `later` holds facts of any time, past ones too, that only become available after now."""
    now_us = NOW_SLOT * SLOT_US + 7
    seen, leaky = SlotHistory(SERIES), SlotHistory(SERIES)
    taken = {(NOW_SLOT + slot) % SLOTS for slot, _, _ in known if slot < 0}
    for slot, delay, value in known:
        if slot < 0:
            available = min((NOW_SLOT + slot + 1) * SLOT_US + delay, now_us)
            for history in (seen, leaky):
                history.put(NOW_SLOT + slot, np.full(SERIES, value), available)
    for slot, delay, value in later:
        if (NOW_SLOT + slot) % SLOTS not in taken:
            leaky.put(NOW_SLOT + slot, np.full(SERIES, value), now_us + delay)
    np.testing.assert_array_equal(forecasts(seen, now_us), forecasts(leaky, now_us))


def test_a_sample_counts_once_its_half_hour_is_over() -> None:
    history, slot = SlotHistory(1), NOW_SLOT
    minute = SLOT_US // 30
    for step in range(1, 31):
        history.record(slot * SLOT_US + step * minute, minute, np.array([2.0 if step <= 15 else 4.0]))
    assert np.isnan(history.as_of((slot + 1) * SLOT_US).mean).all()
    history.record((slot + 1) * SLOT_US + minute, minute, np.array([9.0]))
    seen = history.as_of((slot + 1) * SLOT_US + minute)
    assert seen.mean[np.isfinite(seen.mean)].tolist() == [3.0]
    assert np.isnan(history.as_of((slot + 1) * SLOT_US).mean).all(), "it became available when it was closed"


def test_unknown_samples_are_left_out_and_not_taken_for_zero() -> None:
    history = SlotHistory(1)
    for step, value in enumerate([4.0, np.nan, np.nan], start=1):
        history.record(NOW_SLOT * SLOT_US + step * (SLOT_US // 3), SLOT_US // 3, np.array([value]))
    history.record((NOW_SLOT + 1) * SLOT_US + 1, 1, np.array([np.nan]))
    assert np.nanmax(history.as_of((NOW_SLOT + 2) * SLOT_US).mean) == 4.0


def test_a_week_is_remembered_and_no_more() -> None:
    history = SlotHistory(1)
    history.put(NOW_SLOT, np.array([5.0]), 0)
    week = NOW_SLOT * SLOT_US + DAYS * MICROS_PER_DAY
    assert np.isfinite(history.as_of(week).mean).any()
    assert not np.isfinite(history.as_of(week + SLOT_US).mean).any()


def test_the_mean_and_the_middle_are_over_the_days_that_are_known() -> None:
    history = SlotHistory(1)
    for day, value in enumerate([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 14_000.0]):
        history.put(NOW_SLOT - 48 * (day + 1), np.array([value]), 0)
    view = history.as_of(NOW_SLOT * SLOT_US)
    at = NOW_SLOT % 48
    assert view.by_time_of_day()[at, 0] == np.mean([1, 2, 3, 4, 5, 6, 14_000])
    assert view.middle_by_time_of_day()[at, 0] == 4.0, "one day of scarcity does not make the next one dear"
    assert np.isnan(np.delete(view.middle_by_time_of_day(), at, axis=0)).all()


def test_homes_that_join_are_unknown_and_the_others_keep_their_history() -> None:
    history = SlotHistory(1)
    history.put(NOW_SLOT - 1, np.array([5.0]), 0)
    history.grow(2)
    mean = history.as_of(NOW_SLOT * SLOT_US).mean
    assert np.nanmax(mean[..., 0]) == 5.0
    assert np.isnan(mean[..., 1]).all()


def test_a_restart_keeps_what_was_finished() -> None:
    history = SlotHistory(2)
    history.put(NOW_SLOT - 3, np.array([5.0, np.nan]), 11)
    again = SlotHistory(3)
    again.restore(history.state())
    old, new = (one.as_of(NOW_SLOT * SLOT_US).mean for one in (history, again))
    np.testing.assert_array_equal(old, new[..., :2])
