"""Curves from plain numbers: what is built, what can be read back, and errors that name the curve and the field."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings

from powerflock.curve import Curves, evaluate
from powerflock.curve.batch import Numbers, Rows
from powerflock.domain.errors import InvalidInput, NotConvex
from tests.unit.curve.convex import batches

NAN = float("nan")


@settings(max_examples=60)
@given(batches(1))
def test_the_breakpoints_of_a_curve_build_it_again(one: list[Curves]) -> None:
    (curves,) = one
    for curve in range(len(curves)):
        x, y = curves.points(curve)
        apart = np.append(True, np.diff(x) > 0)
        again = Curves.through([x[apart]], [y[apart]])
        at = np.linspace(x[0], x[-1], 9)
        np.testing.assert_allclose(evaluate(again, at), evaluate(curves.rows(slice(curve, curve + 1)), at), atol=1e-12)


def test_rows_of_a_table_may_be_read_in_part() -> None:
    """As value functions are kept: as wide as the widest, with a count for each."""
    table = Curves.of(0.0, np.array([[1.0, 2.0], [3.0, 0.0]]), np.array([[1.0, 1.0], [5.0, 0.0]]), count=[2, 1])
    assert table.offsets.tolist() == [0, 2, 3]
    assert table.right.tolist() == [2.0, 5.0]


def test_some_of_the_curves_can_be_taken_out() -> None:
    three = Curves.of([0.0, 1.0, 2.0], [[1.0], [], [2.0, 3.0]], [[1.0], [], [2.0, 3.0]])
    last = three.rows(slice(1, None))
    assert (len(last), last.left.tolist(), last.offsets.tolist()) == (2, [1.0, 2.0], [0, 0, 2])
    assert len(three.rows(slice(3, None))) == 0


def test_points_on_a_line_are_convex_whatever_their_rounding() -> None:
    position = np.cumsum(np.full((1, 200), 0.1), axis=1)
    line = Curves.through(position, 1e3 + 0.3 * position)
    assert (np.diff(line.slope) >= 0).all()
    np.testing.assert_allclose(line.slope, 0.3, rtol=1e-9)


@pytest.mark.parametrize(
    ("left", "slope", "length", "error", "message"),
    [
        (0.0, [[1.0], [2.0, 1.0]], [[1.0], [1.0, 1.0]], NotConvex, "curve 1: slope is 1.0; comes after 2.0"),
        (0.0, [[1.0], [NAN]], [[1.0], [1.0]], InvalidInput, "curve 1: slope is nan"),
        (0.0, [[], [1.0], [1.0]], [[], [1.0], [-0.5]], InvalidInput, "curve 2: length is -0.5"),
        (0.0, [[1.0]], [[float("inf")]], InvalidInput, "curve 0: length is inf"),
        ([0.0, NAN], [[1.0]] * 2, [[1.0]] * 2, InvalidInput, "curve 1: left is nan"),
        ([0.0, 1.0], [[1.0]] * 3, [[1.0]] * 3, InvalidInput, r"shape of left is \(2,\)"),
        (0.0, [[1.0], [1.0]], [[1.0], [1.0, 2.0]], InvalidInput, "curve 1: pieces in length"),
        (0.0, [[1.0]], [[1.0], [2.0]], InvalidInput, "curve 1: pieces in length"),
        (0.0, [[1.0]], [["long"]], InvalidInput, "length"),
        (0.0, [1.0, 2.0], [1.0, 2.0], InvalidInput, "shape of slope"),
    ],
)
def test_numbers_that_are_no_convex_function_are_named(
    left: Numbers, slope: Rows, length: Rows, error: type[InvalidInput], message: str
) -> None:
    with pytest.raises(error, match=message):
        Curves.of(left, slope, length)


@pytest.mark.parametrize(
    ("position", "value", "error", "message"),
    [
        ([[0.0, 1.0, 2.0]], [[0.0, 1.0, 1.5]], NotConvex, "curve 0: slope is 0.5; comes after 1.0"),
        ([[0.0], [0.0, 0.0]], [[0.0], [0.0, 1.0]], InvalidInput, "curve 1: step of position is 0.0"),
        ([[0.0], []], [[0.0], []], InvalidInput, "curve 1: position"),
        ([[0.0], [1.0, NAN]], [[0.0], [1.0, 2.0]], InvalidInput, "curve 1: position is nan"),
        ([[0.0, 1.0]], [[0.0]], InvalidInput, "points in value"),
        ([[0.0, 1e-308]], [[0.0, 1e10]], InvalidInput, "curve 0: slope is inf"),
    ],
)
def test_points_that_are_no_convex_function_are_named(
    position: Rows, value: Rows, error: type[InvalidInput], message: str
) -> None:
    with pytest.raises(error, match=message):
        Curves.through(position, value)


@pytest.mark.parametrize("count", [[2, 3], [1], [1, -1], [1.0, 1.0]])
def test_a_count_beyond_its_row_is_refused(count: list[int]) -> None:
    with pytest.raises(InvalidInput, match="count"):
        Curves.of(0.0, np.zeros((2, 2)), np.ones((2, 2)), count=count)


@pytest.mark.parametrize(
    ("name", "column", "message"),
    [
        ("offsets", np.array([0, 1, 5]), "last offset"),
        ("offsets", np.array([0, 3, 2]), "offsets"),
        ("offsets", np.array([0, 2]), "sizes of left"),
        ("base", np.zeros(3), "sizes of left"),
        ("length", np.ones(1), "sizes of slope"),
        ("slope", np.zeros(2, np.float32), "slope is 'float32"),
        ("left", np.zeros((2, 1)), "left is"),
    ],
)
def test_hand_made_columns_that_would_be_read_past_their_end_are_refused(
    name: str, column: npt.NDArray[np.generic], message: str
) -> None:
    good = Curves.of([0.0, 0.0], [[1.0], [2.0]], [[1.0], [1.0]])
    columns = {field.name: getattr(good, field.name) for field in dataclasses.fields(good)}
    with pytest.raises(InvalidInput, match=message):
        Curves(**(columns | {name: column}))
