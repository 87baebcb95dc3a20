"""A curve in few bands: no other bands are nearer to it, more are never worse, and the error stated is the true one."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from powerflock.curve import largest_error, reduce_to_bands
from powerflock.domain.arrays import F64
from powerflock.domain.errors import InvalidInput


@st.composite
def outputs(draw: st.DrawFn, most: int = 9) -> tuple[F64, F64]:
    """A curve that rises, with jumps and flats, far from zero or near; and how likely each price is."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = draw(st.integers(4, most))
    steps = rng.exponential(1.0, size) * (rng.uniform(size=size) < draw(st.sampled_from([0.3, 1.0])))
    weight = rng.exponential(1.0, size) * (rng.uniform(size=size) < draw(st.sampled_from([0.5, 1.0])))
    return np.cumsum(steps) + draw(st.sampled_from([0.0, -2.0, 1e4])), weight


def error_of(first: tuple[int, ...], output: F64, weight: F64) -> float:
    """Least weighted squared error of the steps that begin at `first`: means inside, the curve's own ends outside."""
    parts = np.split(np.arange(output.size), first[1:])
    total = 0.0
    for place, part in enumerate(parts):
        mass = weight[part].sum()
        level = float(weight[part] @ output[part] / mass) if mass > 0 else 0.0
        level = float(output[0]) if place == 0 else float(output[-1]) if place == len(parts) - 1 else level
        total += float(weight[part] @ (output[part] - level) ** 2)
    return total


@settings(max_examples=60)
@given(outputs(), st.integers(1, 4))
def test_no_other_bands_are_nearer_to_the_curve(case: tuple[F64, F64], bands: int) -> None:
    output, weight = case
    bands = min(bands, output.size - 1)
    found = reduce_to_bands(output, weight, bands)
    every = [(0, *edges) for edges in combinations(range(1, output.size), bands)]
    least = min(error_of(first, output, weight) for first in every)
    assert found.squared_error == pytest.approx(least, rel=1e-9, abs=1e-12)
    assert found.squared_error == pytest.approx(error_of(tuple(found.first.tolist()), output, weight), abs=1e-9)


@settings(max_examples=60)
@given(outputs(most=60))
def test_more_bands_are_never_worse_and_always_within_the_stated_bound(case: tuple[F64, F64]) -> None:
    """Root mean square ≤ range / (2 × bands)."""
    output, weight = case
    counts = range(1, min(output.size, 12))
    errors = [reduce_to_bands(output, weight, bands).squared_error for bands in counts]
    assert (np.diff(errors) <= 1e-9).all()
    for bands, error in zip(counts, errors, strict=True):
        assert error <= weight.sum() * ((output[-1] - output[0]) / (2 * bands)) ** 2 + 1e-9


@settings(max_examples=60)
@given(outputs(most=30), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_the_largest_error_is_the_largest_at_any_price_and_is_reached(
    case: tuple[F64, F64], bands: int, seed: int
) -> None:
    output, weight = case
    rng = np.random.default_rng(seed)
    prices = np.cumsum(rng.uniform(0.5, 20.0, output.size))
    found = reduce_to_bands(output, weight, min(bands, output.size - 1))
    edges = np.sort(rng.uniform(prices[0] - 5.0, prices[-1] + 5.0, found.level.size - 1))
    stated = largest_error(prices, output, edges, found.level)
    reached = [edge - near for edge in edges for near in (0.0, 1e-9)]
    tried = np.concatenate([rng.uniform(prices[0], prices[-1], 300), prices, np.clip(reached, prices[0], prices[-1])])
    step = found.level[np.searchsorted(edges, tried, side="right")]
    errors = np.abs(step - np.interp(tried, prices, output))
    assert errors.max() == pytest.approx(stated, rel=1e-6, abs=1e-6)
    assert errors.max() <= stated + 1e-9


@settings(max_examples=60)
@given(outputs(most=40), st.integers(1, 8))
def test_levels_never_fall_and_end_where_the_curve_ends(case: tuple[F64, F64], bands: int) -> None:
    output, weight = case
    found = reduce_to_bands(output, weight, min(bands, output.size - 1))
    assert (np.diff(found.level) >= 0).all()
    assert (np.diff(found.first) > 0).all()
    assert (found.level[0], found.level[-1]) == (output[0], output[-1])


def test_as_many_bands_as_the_curve_has_jumps_are_exact() -> None:
    output = np.repeat([1e6, 1e6 + 0.1, 1e6 + 7.0, 1e6 + 7.5], 5)
    found = reduce_to_bands(output, np.linspace(0.1, 1.0, 20), 3)
    assert found.first.tolist() == [0, 5, 10, 15]
    assert found.level.tolist() == output[::5].tolist()
    assert found.squared_error == 0.0


def test_a_falling_curve_is_reduced_as_a_rising_one_is() -> None:
    output, weight = np.array([9.0, 5.0, 4.0, 0.0, 0.0]), np.ones(5)
    assert reduce_to_bands(output, weight, 2).level.tolist() == [9.0, 4.5, 0.0]


@pytest.mark.parametrize(
    ("output", "weight", "bands", "message"),
    [
        ([1.0, 2.0], [1.0, 1.0], 0, "bands is 0"),
        ([1.0, 2.0], [1.0, 1.0], 2, "with 3 prices or more"),
        ([1.0, 2.0, 3.0], [1.0, 1.0], 1, "shapes of output and weight"),
        ([1.0, float("nan"), 3.0], [1.0, 1.0, 1.0], 1, "output is nan"),
        ([1.0, 2.0, 3.0], [1.0, -1.0, 1.0], 1, "weight is -1.0"),
        ([1.0, 2.0, 3.0], [1.0, float("inf"), 1.0], 1, "weight is inf"),
    ],
)
def test_a_curve_that_cannot_be_reduced_is_refused(
    output: list[float], weight: list[float], bands: int, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        reduce_to_bands(np.array(output), np.array(weight), bands)
