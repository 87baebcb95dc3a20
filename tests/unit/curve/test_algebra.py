"""The algebra of curves against its definitions, tried out breakpoint by breakpoint."""

from __future__ import annotations

import doctest
import functools
import importlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import powerflock.curve
from powerflock.curve import Curves, clip, conjugate, evaluate, merge, response, sum_on_grid
from powerflock.domain.arrays import F64
from powerflock.domain.errors import Infeasible, InvalidInput
from tests.unit.curve.convex import batches, cheapest, eighths, merged, transformed, value

SLOPES = np.arange(-6.0, 6.01, 0.25)
"""Wider than any made-up slope, and through many of them."""
few = settings(max_examples=60)


def across(curves: Curves) -> F64:
    """(N, 13) positions from end to end of each curve, exact for eighths."""
    return curves.left[:, None] + (curves.right - curves.left)[:, None] * np.arange(13) / 16


@pytest.mark.parametrize("module", ["", ".algebra", ".bands", ".batch"])
def test_the_examples_are_true(module: str) -> None:
    result = doctest.testmod(importlib.import_module(powerflock.curve.__name__ + module))
    assert result.attempted > 1
    assert result.failed == 0


@few
@given(batches(2))
def test_merging_finds_the_cheapest_split_between_two(pair: list[Curves]) -> None:
    both = merge(*pair)
    expected = [[merged(pair, curve, at) for at in row] for curve, row in enumerate(across(both))]
    np.testing.assert_array_equal(evaluate(both, across(both)), expected)


@few
@given(batches(3))
def test_members_may_be_merged_in_any_order(parts: list[Curves]) -> None:
    one, two, three = parts
    whole = merge(merge(one, two), three)
    for other in (merge(one, merge(two, three)), merge(three, merge(two, one))):
        np.testing.assert_array_equal(other.slope, whole.slope)
        np.testing.assert_array_equal(evaluate(other, across(whole)), evaluate(whole, across(whole)))


@few
@given(batches(2))
def test_what_a_group_takes_at_a_price_is_what_its_members_take(pair: list[Curves]) -> None:
    members = Curves.of(
        np.concatenate([part.left for part in pair]),
        [part.slope[part.offsets[i] : part.offsets[i + 1]] for part in pair for i in range(len(part))],
        [part.length[part.offsets[i] : part.offsets[i + 1]] for part in pair for i in range(len(part))],
    )
    pairs = np.tile(np.arange(len(pair[0])), 2)
    sums = sum_on_grid(response(members, SLOPES), pairs, len(pair[0]))
    np.testing.assert_array_equal(sums, response(merge(*pair), SLOPES))


@few
@given(batches(1), st.lists(st.tuples(eighths, eighths), min_size=4, max_size=4))
def test_a_limit_takes_away_what_is_beyond_it_and_changes_nothing_else(
    one: list[Curves], limits: list[tuple[float, float]]
) -> None:
    (curves,) = one
    low, high = np.sort(np.array(limits[: len(curves)]), axis=1).T
    if (low > curves.right).any() or (high < curves.left).any():
        with pytest.raises(Infeasible, match=r"curve \d: (low|high)"):
            clip(curves, low, high)
        return
    inside = clip(curves, low, high)
    np.testing.assert_array_equal(inside.left, np.maximum(curves.left, low))
    np.testing.assert_array_equal(inside.right, np.minimum(curves.right, high))
    at = np.tile(np.arange(-8.0, 16.0, 0.5), (len(curves), 1))
    beyond = (at < low[:, None]) | (at > high[:, None])
    np.testing.assert_array_equal(evaluate(inside, at), np.where(beyond, np.inf, evaluate(curves, at)))


@few
@given(batches(1))
def test_a_value_is_read_between_breakpoints_and_is_infinite_outside(one: list[Curves]) -> None:
    (curves,) = one
    at = np.arange(-6.0, 20.0, 0.25)
    expected = np.array([value(curves, curve, at) for curve in range(len(curves))])
    np.testing.assert_allclose(evaluate(curves, at), expected, rtol=0, atol=1e-12)


@few
@given(batches(1))
def test_the_conjugate_is_the_most_that_can_be_earned_at_each_slope(one: list[Curves]) -> None:
    (curves,) = one
    turned = conjugate(curves, -6.0, 6.0)
    expected = [[transformed(curves, curve, slope) for slope in SLOPES] for curve in range(len(curves))]
    np.testing.assert_array_equal(evaluate(turned, SLOPES), expected)


@few
@given(batches(2))
def test_the_conjugate_of_a_merge_is_the_sum_of_the_conjugates(pair: list[Curves]) -> None:
    sum_of_both = sum(evaluate(conjugate(part, -6.0, 6.0), SLOPES) for part in pair)
    np.testing.assert_array_equal(evaluate(conjugate(merge(*pair), -6.0, 6.0), SLOPES), sum_of_both)


@few
@given(batches(1))
def test_turning_a_curve_over_twice_gives_it_back(one: list[Curves]) -> None:
    (curves,) = one
    again = conjugate(conjugate(curves, -6.0, 6.0), curves.left, curves.right)
    np.testing.assert_array_equal(again.left, curves.left)
    np.testing.assert_array_equal(again.right, curves.right)
    np.testing.assert_array_equal(evaluate(again, across(curves)), evaluate(curves, across(curves)))


@few
@given(batches(1))
def test_a_narrow_range_of_slopes_limits_the_curves_own(one: list[Curves]) -> None:
    """Outside the range the curve is continued at the range's ends: nobody pays more than `high` for a unit."""
    (curves,) = one
    again = conjugate(conjugate(curves, -1.0, 2.0), curves.left, curves.right)
    limited = Curves(curves.left, again.base, curves.offsets, np.clip(curves.slope, -1.0, 2.0), curves.length)
    np.testing.assert_array_equal(evaluate(again, across(curves)), evaluate(limited, across(curves)))


@few
@given(batches(1))
def test_the_answer_to_a_price_is_the_cheapest_position_the_highest_of_equals(one: list[Curves]) -> None:
    (curves,) = one
    answer = response(curves, SLOPES)
    expected = [[cheapest(curves, curve, price) for price in SLOPES] for curve in range(len(curves))]
    np.testing.assert_array_equal(answer, expected)
    assert (np.diff(answer, axis=1) <= 0).all()
    own = np.tile(SLOPES, (len(curves), 1)) + np.arange(len(curves))[:, None] / 4
    alone = [response(curves.rows(slice(i, i + 1)), own[i])[0] for i in range(len(curves))]
    np.testing.assert_array_equal(response(curves, own), alone)


@few
@given(st.lists(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3), min_size=1, max_size=12), st.data())
def test_a_groups_sum_is_its_members_added_by_hand_bit_for_bit(rows: list[list[float]], data: st.DataObject) -> None:
    members = np.array(rows)
    group = data.draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows)))
    sums = sum_on_grid(members, np.array(group), 4)
    for own in range(4):
        mine = [row for row, of in zip(members, group, strict=True) if of == own]
        assert functools.reduce(np.add, mine, np.zeros(3)).tobytes() == sums[own].tobytes()


@few
@given(st.integers(0, 2**32 - 1))
def test_numbers_of_any_size_agree_to_rounding(seed: int) -> None:
    """The laws that hold exactly for eighths hold for measured numbers to 10⁻¹¹ of their size."""
    rng = np.random.default_rng(seed)
    scale, size = 10.0 ** rng.uniform(-3, 5), rng.integers(0, 30, 2)

    def made(pieces: int) -> Curves:
        slope = np.sort(rng.normal(0, 0.3, (3, pieces)), axis=1)
        return Curves.of(rng.normal(0, scale, 3), slope, rng.exponential(scale, (3, pieces)), rng.normal(0, scale, 3))

    one, other = made(size[0]), made(size[1])
    both = merge(one, other)
    slopes = np.linspace(-2.0, 2.0, 9)
    summed = evaluate(conjugate(one, -2.0, 2.0), slopes) + evaluate(conjugate(other, -2.0, 2.0), slopes)
    large = 1e-11 * scale * (1 + size.sum())
    np.testing.assert_allclose(evaluate(conjugate(both, -2.0, 2.0), slopes), summed, rtol=0, atol=large)
    again = conjugate(conjugate(both, -5.0, 5.0), both.left, both.right)
    np.testing.assert_allclose(evaluate(again, across(both)), evaluate(both, across(both)), rtol=0, atol=large)
    ends = np.stack([one.left + other.left, one.right + other.right], axis=1)
    assert np.isfinite(evaluate(both, ends)).all(), "an end that is a rounded sum is still an end"
    middle = clip(both, both.left + 0.25 * (both.right - both.left), np.inf)
    np.testing.assert_allclose(
        evaluate(middle, across(middle)), evaluate(both, across(middle)), rtol=0, atol=large
    )  # fmt: skip


def test_a_position_that_is_unknown_has_an_unknown_value() -> None:
    point = Curves.of([0.0, 1.0], [[], [2.0]], [[], [1.0]], base=[3.0, 4.0])
    np.testing.assert_array_equal(evaluate(point, [[0.0, np.nan], [np.nan, 1.5]]), [[3.0, np.nan], [np.nan, 5.0]])


def test_an_unknown_member_makes_its_groups_sum_unknown_and_no_other() -> None:
    sums = sum_on_grid(np.array([[1.0, np.nan], [2.0, 3.0], [4.0, 5.0]]), np.array([0, 0, 1]), 3)
    np.testing.assert_array_equal(sums, [[3.0, np.nan], [4.0, 5.0], [0.0, 0.0]])


TWO = Curves.of([0.0, 1.0], [[0.5], [0.5]], [[1.0], [1.0]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: merge(TWO, TWO.rows(slice(1))), r"curves in the two batches is \(2, 1\)"),
        (lambda: clip(TWO, [0.0, np.nan], 2.0), "curve 1: low is nan"),
        (lambda: clip(TWO, 1.0, 0.5), "curve 0: low is 1.0"),
        (lambda: clip(TWO, -np.inf, 0.5), r"curve 1: high is 0.5; leaves nothing of \[1.0, 2.0\]"),
        (lambda: clip(TWO, [0.0, 2.5], 9.0), "curve 1: low is 2.5"),
        (lambda: clip(TWO, [0.0, 0.0, 0.0], 9.0), r"shape of low is \(3,\)"),
        (lambda: conjugate(TWO, -np.inf, 1.0), "curve 0: low is -inf; must be a finite number"),
        (lambda: evaluate(TWO, np.zeros((3, 1))), r"shape of positions is \(3, 1\)"),
        (lambda: evaluate(TWO, np.array(["a"])), "positions"),
        (lambda: response(TWO, [0.2, 0.1]), "prices.*must ascend"),
        (lambda: response(TWO, [0.2, np.nan]), "prices.*must ascend"),
        (lambda: sum_on_grid(np.zeros((2, 3)), np.array([0, 2]), 2), "group"),
        (lambda: sum_on_grid(np.zeros((2, 3)), np.array([0.0, 1.0]), 2), "group"),
        (lambda: sum_on_grid(np.zeros((2, 3)), np.array([0]), 2), "shapes of responses and group"),
    ],
)
def test_what_does_not_fit_is_named(call: object, message: str) -> None:
    assert callable(call)
    with pytest.raises(InvalidInput, match=message):
        call()
