"""Reading curves on the price grid."""

from __future__ import annotations

import numpy as np
import pytest

from powerflock.curve.grid import PRICE_GRID, price_for, read_at


def test_a_target_out_of_reach_gets_the_mildest_price_that_gives_the_most() -> None:
    curve = np.interp(PRICE_GRID, [-0.1, 0.1], [5.0, -5.0])
    assert price_for(curve, 9.0) == pytest.approx(-0.12)
    assert price_for(curve, -9.0) == pytest.approx(0.10)


def test_where_any_price_would_do_nobody_is_moved() -> None:
    assert price_for(np.full(PRICE_GRID.size, 3.0), 3.0) == 0.0
    assert price_for(np.full(PRICE_GRID.size, 3.0), 7.0) == 0.0


def test_reading_beyond_the_grid_holds_the_end_value() -> None:
    curve = np.linspace(4.0, -4.0, PRICE_GRID.size)
    assert read_at(curve, 1e6) == -4.0
    assert read_at(curve, -1e6) == 4.0


def test_a_curve_read_at_the_price_of_a_target_gives_the_target() -> None:
    curve = np.linspace(4.0, -4.0, PRICE_GRID.size) ** 3
    for target in (-63.0, -1.0, 0.0, 1e-9, 17.0, 64.0):
        assert read_at(curve, price_for(curve, target)) == pytest.approx(target, abs=1e-9)
