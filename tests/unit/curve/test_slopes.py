"""Infimal convolution and clipping of slope lists, against their definitions."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from powerflock.curve.slopes import clip_left, clip_right, insert, value_at

_lists = st.lists(st.tuples(st.floats(-5, 5), st.floats(0.1, 3)), min_size=1, max_size=6).map(
    lambda rows: np.array(sorted(rows)).T.copy()
)


@given(_lists, _lists)
@settings(max_examples=100, deadline=None)
def test_merging_slopes_is_the_cheapest_split_of_a_quantity(first: np.ndarray, second: np.ndarray) -> None:
    own, added = first.shape[1], second.shape[1]
    slope, length, begins = np.empty(own + added), np.empty(own + added), np.empty(added)
    slope[:own], length[:own] = first
    whole = first[1].sum() + second[1].sum()
    count = insert(slope, length, 0, own, second[0], second[1], added, whole, begins)
    assert count == own + added
    assert (np.diff(slope) >= 0).all()
    before = [first[1][first[0] < at].sum() + second[1][:index].sum() for index, at in enumerate(second[0])]
    np.testing.assert_allclose(begins, before, atol=1e-12)
    for total in np.linspace(0, whole, 9):
        merged = value_at(0.0, 0.0, slope, length, count, total)
        shares = np.linspace(max(0.0, total - second[1].sum()), min(total, first[1].sum()), 50)
        split = [
            value_at(0.0, 0.0, first[0], first[1], first.shape[1], part)
            + value_at(0.0, 0.0, second[0], second[1], second.shape[1], total - part)
            for part in shares
        ]
        assert merged <= min(split) + 1e-9


@given(_lists, st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=100, deadline=None)
def test_clipping_keeps_the_function_inside_the_new_domain(pieces: np.ndarray, cut: float, drop: float) -> None:
    slope, length, count = pieces[0], pieces[1].copy(), pieces.shape[1]
    whole = length.sum()
    left, right = cut * whole / 2, drop * whole / 2
    inside = np.linspace(left, whole - right, 7)
    before = [value_at(0.0, 1.0, slope, length, count, at) for at in inside]
    end = clip_right(length, 0, count, right)
    skipped, rise = clip_left(slope, length, 0, end, left)
    after = [value_at(left, 1.0 + rise, slope[skipped:], length[skipped:], end - skipped, at) for at in inside]
    np.testing.assert_allclose(after, before, atol=1e-9)
