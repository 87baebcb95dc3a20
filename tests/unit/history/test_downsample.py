"""Fewer points, the same picture: extremes stay, gaps stay gaps, and no more points come back than were asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from powerflock.history.downsample import Chosen, downsample

FAR_US = 10**15


@pytest.mark.parametrize("method", ["minmax", "lttb"])
def test_a_short_spike_is_still_seen(method: Chosen) -> None:
    time_us = np.arange(100_000, dtype=np.int64) * 1_000_000
    value = np.sin(time_us / 3e9)
    value[61_234], value[20_001] = 50.0, -40.0
    times, values = downsample(time_us, value, 200, method, FAR_US)
    assert len(values) <= 200
    assert (values.max(), values.min()) == (50.0, -40.0)
    assert (times[0], times[-1]) == (time_us[0], time_us[-1])


@pytest.mark.parametrize("method", ["minmax", "lttb"])
def test_an_unknown_stretch_is_one_gap_and_never_zero(method: Chosen) -> None:
    time_us = np.arange(10_000, dtype=np.int64)
    value = np.full(10_000, 5.0)
    value[4_000:6_000] = np.nan
    times, values = downsample(time_us, value, 100, method, FAR_US)
    gaps = times[np.isnan(values)]
    assert gaps.size == 1
    assert 4_000 <= gaps[0] < 6_000
    assert set(values[~np.isnan(values)]) == {5.0}


def test_a_flat_stretch_gives_no_point_twice() -> None:
    times, values = downsample(np.arange(1_000, dtype=np.int64), np.zeros(1_000), 100, "minmax", FAR_US)
    assert (np.diff(times) > 0).all()
    assert set(values) == {0.0}


def test_a_long_silence_is_a_gap_too() -> None:
    time_us = np.array([0, 10, 20, 1_000, 1_010], np.int64)
    times, values = downsample(time_us, np.ones(5), 100, "minmax", 50)
    assert times.tolist() == [0, 10, 20, 21, 1_000, 1_010]
    np.testing.assert_array_equal(values, [1, 1, 1, np.nan, 1, 1])


def test_what_is_unknown_throughout_has_no_points() -> None:
    assert downsample(np.arange(9, dtype=np.int64), np.full(9, np.nan), 8, "lttb", 5)[0].size == 0
    assert downsample(np.empty(0, np.int64), np.empty(0), 8, "minmax", 5)[0].size == 0


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 40), st.one_of(st.just(np.nan), st.floats(-9, 9))), max_size=120),
    st.integers(8, 60),
    st.sampled_from(["minmax", "lttb"]),
)
def test_points_are_chosen_from_those_given_and_breaks_are_shown(
    steps: list[tuple[int, float]], points: int, method: Chosen
) -> None:
    time_us = np.cumsum([0, *(step for step, _ in steps)], dtype=np.int64)[1:]
    value = np.array([each for _, each in steps], np.float64)
    times, values = downsample(time_us, value, points, method, 25)
    assert times.size <= points
    assert (np.diff(times) > 0).all()
    known = ~np.isnan(values)
    where = np.searchsorted(time_us, times[known])
    np.testing.assert_array_equal(value[where], values[known])
    for left, right in zip(range(times.size - 1), range(1, times.size), strict=True):
        if known[left] and known[right]:  # drawn as a line: then nothing between them may be unknown or silent
            between = slice(np.searchsorted(time_us, times[left]), np.searchsorted(time_us, times[right]) + 1)
            known_times = time_us[between][~np.isnan(value[between])]
            assert not np.isnan(value[between]).any()
            assert (np.diff(known_times) <= 25).all()
