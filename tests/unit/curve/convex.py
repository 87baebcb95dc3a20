"""Made-up batches of curves, and the definitions of convex analysis written out: slow, obvious, one curve at a time.

A convex piecewise-linear function is cheapest, dearest or split best at breakpoints, so trying them all is exact.
Numbers are eighths, so that every sum and product is exact and results can be held to equality.
"""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from powerflock.curve import Curves
from powerflock.domain.arrays import F64

eighths = st.integers(-40, 40).map(lambda n: n / 8)
_pieces = st.lists(st.tuples(eighths, st.integers(0, 24).map(lambda n: n / 8)), max_size=5).map(sorted)
_rows = st.tuples(eighths, eighths, _pieces)

Row = tuple[float, float, list[tuple[float, float]]]


def batch(rows: list[Row]) -> Curves:
    slopes = [[slope for slope, _ in pieces] for _, _, pieces in rows]
    lengths = [[length for _, length in pieces] for _, _, pieces in rows]
    return Curves.of([left for left, _, _ in rows], slopes, lengths, [base for _, base, _ in rows])


def batches(number: int) -> st.SearchStrategy[list[Curves]]:
    """`number` batches of the same size, one to four curves each, some without pieces, some pieces of no length."""
    sizes = st.integers(1, 4)
    return sizes.flatmap(
        lambda size: st.lists(
            st.lists(_rows, min_size=size, max_size=size).map(batch), min_size=number, max_size=number
        )
    )


def value(curves: Curves, curve: int, at: F64) -> F64:
    """By interpolation between breakpoints; infinite outside."""
    x, y = curves.points(curve)
    return np.where((at < x[0]) | (at > x[-1]), np.inf, np.interp(at, x, y))


def merged(pair: list[Curves], curve: int, total: float) -> float:
    """Infimal convolution at `total`: the cheapest of all splits that use a breakpoint of either."""
    one, other = pair
    split = np.concatenate([one.points(curve)[0], total - other.points(curve)[0]])
    return float((value(one, curve, split) + value(other, curve, total - split)).min())


def transformed(curves: Curves, curve: int, slope: float) -> float:
    """Legendre transform at `slope`."""
    x, y = curves.points(curve)
    return float((slope * x - y).max())


def cheapest(curves: Curves, curve: int, price: float) -> float:
    """The highest of the cheapest positions at `price`."""
    x, y = curves.points(curve)
    cost = y + price * x
    return float(x[cost == cost.min()].max())
