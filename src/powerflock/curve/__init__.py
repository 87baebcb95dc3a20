"""Convex piecewise-linear algebra: the one object everything flexible is described by.

A battery that is paid 30 cents for its first two kWh and 10 for two more, and a car that takes five at 20, together:

>>> from powerflock.curve import Curves, merge, reduce_to_bands, response
>>> battery = Curves.of(left=0.0, slope=[[-0.3, -0.1]], length=[[2.0, 2.0]])
>>> car = Curves.of(left=0.0, slope=[[-0.2]], length=[[5.0]])
>>> response(merge(battery, car), [0.05, 0.15, 0.25, 0.35])  # what both take at each price
array([[9., 7., 2., 0.]])

Must not know sites, markets or devices; only slopes, lengths, prices and powers.
"""

from powerflock.curve.algebra import clip, conjugate, evaluate, merge, response, sum_on_grid
from powerflock.curve.bands import Bands, largest_error, reduce_to_bands
from powerflock.curve.batch import Curves
from powerflock.curve.grid import PRICE_GRID, price_for, read_at

__all__ = [
    "PRICE_GRID",
    "Bands",
    "Curves",
    "clip",
    "conjugate",
    "evaluate",
    "largest_error",
    "merge",
    "price_for",
    "read_at",
    "reduce_to_bands",
    "response",
    "sum_on_grid",
]
