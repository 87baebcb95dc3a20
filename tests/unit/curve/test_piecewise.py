"""Piecewise-linear functions with gaps, jumps and lone points: each operation is its definition at every x."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from powerflock.curve.piecewise import convex_end, lower, restrict, slide, value
from powerflock.domain.arrays import F64

INF = float("inf")


def polyline(*parts: list[tuple[float, float]]) -> F64:
    """Parts that are joined within, and not to each other."""
    rows = [(x, y, float(index + 1 < len(part))) for part in parts for index, (x, y) in enumerate(part)]
    return np.array(rows, np.float64).reshape(-1, 3).T.copy()


def random_polyline(rng: np.random.Generator) -> F64:
    """Up to 12 points on a grid, so that x and y often coincide: jumps, gaps, lone points, slopes of either sign."""
    count = int(rng.integers(1, 13))
    joined = (rng.random(count) < 0.75).astype(np.float64)
    joined[-1] = 0.0
    return np.stack([np.sort(rng.integers(0, 12, count)) / 2, rng.integers(-4, 5, count) / 2, joined])


def room(*curves: F64) -> F64:
    return np.empty((3, 4 * sum(curve.shape[1] for curve in curves) + 4))


def at(curve: F64, count: int, x: float) -> float:
    """The least y at `x` of the points and joined segments, read off one by one."""
    least = INF
    for index in range(count):
        left, y = curve[0, index], curve[1, index]
        if left == x:
            least = min(least, y)
        if index + 1 < count and curve[2, index] == 1.0 and left < x < curve[0, index + 1]:
            least = min(least, y + (curve[1, index + 1] - y) * (x - left) / (curve[0, index + 1] - left))
    return float(least)


def grid() -> F64:
    """Twice as fine as the points, and off it."""
    return np.arange(-8, 33) / 4.0


def sound(curve: F64, count: int) -> bool:
    return bool((np.diff(curve[0, :count]) >= 0).all()) and (count == 0 or curve[2, count - 1] == 0.0)


@given(st.integers(0, 1_000_000), st.integers(0, 8), st.integers(-3, 3))
@settings(max_examples=300, deadline=None)
def test_sliding_a_segment_along_finds_the_cheapest_split(seed: int, half_length: int, slope: int) -> None:
    curve = random_polyline(np.random.default_rng(seed))
    length, out = half_length / 2, room(curve)
    count = slide(curve, curve.shape[1], 1.0, 0.5, slope / 2, length, out)
    assert sound(out, count)
    for x in grid():
        # of all splits one is best that puts either the curve at a point, or the segment at an end
        points = [(u, u - x - 1.0) for u in {*curve[0].tolist(), x + 1.0, x + 1.0 + length}]
        splits = [at(curve, curve.shape[1], u) + 0.5 + slope / 2 * d for u, d in points if 0 <= d <= length]
        assert at(out, count, x) == pytest.approx(min(splits, default=INF), abs=1e-9)


@given(st.integers(0, 1_000_000))
@settings(max_examples=300, deadline=None)
def test_the_lower_of_two_is_the_lower_at_every_x(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = random_polyline(rng), random_polyline(rng)
    out = room(one, other)
    count = lower(one, one.shape[1], other, other.shape[1], out)
    assert sound(out, count)
    for x in grid():
        expected = min(at(one, one.shape[1], x), at(other, other.shape[1], x))
        assert at(out, count, x) == pytest.approx(expected, abs=1e-9)
        assert value(out, count, x) == pytest.approx(expected, abs=1e-9)


@given(st.integers(0, 1_000_000), st.integers(0, 12), st.integers(0, 12))
@settings(max_examples=300, deadline=None)
def test_a_restricted_function_is_the_same_within_and_nothing_without(seed: int, low: int, width: int) -> None:
    curve = random_polyline(np.random.default_rng(seed))
    left, right, out = low / 2, (low + width) / 2, room(curve)
    count = restrict(curve, curve.shape[1], left, right, 1e-9, out)
    assert sound(out, count)
    for x in grid():
        expected = at(curve, curve.shape[1], x) if left <= x <= right else INF
        assert at(out, count, x) == pytest.approx(expected, abs=1e-9)


def test_what_rounding_put_just_outside_its_bounds_is_kept() -> None:
    curve = polyline([(1.0 - 1e-12, 3.0)], [(2.0, 0.0), (3.0, 1.0)], [(4.0 + 1e-12, 5.0)])
    out = room(curve)
    count = restrict(curve, 4, 1.0, 4.0, 1e-9, out)
    assert out[0, :count].tolist() == [1.0, 2.0, 3.0, 4.0]
    assert restrict(curve, 4, 1.0, 4.0, 0.0, out) == 2


def test_the_foot_of_a_jump_that_rounding_put_just_outside_a_bound_counts_on_it() -> None:
    curve = polyline([(0.0, 3.0), (1.0 - 1e-16, 1.0), (1.0 - 1e-16, 2.0), (4.0, 2.0), (4.0 + 1e-15, 0.0), (5.0, 4.0)])
    out = room(curve)
    count = restrict(curve, 6, 1.0, 4.0, 1e-9, out)
    assert (value(out, count, 1.0), value(out, count, 2.0), value(out, count, 4.0)) == (1.0, 2.0, 0.0)


def test_points_on_a_line_are_forgotten() -> None:
    one, other = polyline([(0.0, 0.0), (1.0, 1.0), (3.0, 3.0)]), polyline([(0.0, 5.0), (2.0, 5.0), (3.0, 5.0)])
    out = room(one, other)
    count = lower(one, 3, other, 3, out)
    assert out[:2, :count].tolist() == [[0.0, 3.0], [0.0, 3.0]]


def test_convex_runs_end_where_the_slope_falls_or_a_gap_begins() -> None:
    curve = polyline([(0.0, 1.0), (1.0, 0.0), (2.0, 0.0), (3.0, 1.0), (4.0, 0.0)], [(5.0, 0.0)])
    assert [convex_end(curve, 6, first) for first in (0, 3, 4, 5)] == [3, 4, 4, 5]
