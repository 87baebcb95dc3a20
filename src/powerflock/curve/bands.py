"""A curve over many prices reduced to a few price bands: the best step function, and how far it is from the curve.

Invariant: the first and the last level are the curve's own ends, so what it does at the lowest and at the highest price
is offered whole. Must not know markets, their signs or how prices are rounded there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from powerflock.domain.arrays import F64, I64
from powerflock.domain.errors import InvalidInput


@dataclass(frozen=True, slots=True, eq=False)
class Bands:
    """N bands: a step function with N+1 levels over P candidate prices.

    `first` (N+1,) int64 is the first candidate of each level, `level` (N+1,) the level, `squared_error` the weighted
    sum of squares of level − curve over the candidates, which is the least possible. Whoever needs prices for the edges
    takes any in the gap before a level's first candidate; `largest_error` then says how good the choice is.
    """

    first: I64
    level: F64
    squared_error: float


def reduce_to_bands(output: F64, weight: F64, bands: int) -> Bands:
    """The step function with `bands` edges that is nearest to `output` (P,), the curve at P candidate prices.

    Nearest is the least squared error weighted by `weight` (P,) ≥ 0, found exactly by dynamic programming in
    O(bands × P²); the end levels are fixed. More bands are never worse, and for a monotone curve the weighted
    root-mean-square error is at most (largest − smallest output) / (2 × bands).
    Raises `InvalidInput` for fewer than 1 band or bands + 1 candidates, negative weights and what is not finite.

    >>> import numpy as np
    >>> from powerflock.curve import reduce_to_bands
    >>> found = reduce_to_bands(np.array([0.0, 0.0, 4.0, 5.0, 9.0]), np.ones(5), bands=2)
    >>> found.first, found.level, found.squared_error
    (array([0, 2, 4]), array([0. , 4.5, 9. ]), 0.5)
    """
    if bands < 1:
        raise InvalidInput("bands", bands, "must be 1 or more")
    if output.ndim != 1 or output.shape != weight.shape or output.size <= bands:
        shapes = (output.shape, weight.shape)
        raise InvalidInput("shapes of output and weight", shapes, f"must be equal, with {bands + 1} prices or more")
    for name, column, wrong in (("output", output, ~np.isfinite(output)), ("weight", weight, ~(weight >= 0))):
        if (wrong | np.isinf(column)).any():
            value = float(column[wrong | np.isinf(column)][0])
            raise InvalidInput(name, value, "must be finite, and weights 0 or more")
    first = _best_steps(output, weight, bands)
    level = _levels(output, weight, first)
    error = np.repeat(level, np.diff(np.append(first, output.size))) - output
    return Bands(first, level, float((weight * error * error).sum()))


def largest_error(prices: F64, output: F64, edges: F64, level: F64) -> float:
    """The largest |step − curve| at any price in [prices[0], prices[-1]], exactly.

    The curve is `output` (P,) at ascending `prices` (P,) and linear between them; the step function is `level[0]` below
    `edges[0]` and `level[k]` from `edges[k − 1]` on, edges (N,) ascending, level (N+1,). Where they are furthest apart
    is at a price of the curve or on either side of an edge.
    """
    at_prices = np.abs(level[np.searchsorted(edges, prices, side="right")] - output)
    inside = np.flatnonzero((edges >= prices[0]) & (edges <= prices[-1]))
    curve = np.interp(edges[inside], prices, output)
    below = inside[edges[inside] > prices[0]]
    at_edges = np.abs(level[inside + 1] - curve)
    before = np.abs(level[below] - np.interp(edges[below], prices, output))
    return float(max(part.max(initial=0.0) for part in (at_prices, at_edges, before)))


def _best_steps(output: F64, weight: F64, bands: int) -> I64:
    """(N+1,) first candidate of each step, none empty, with the least weighted squared error."""
    cost = _costs(output, weight)
    own = weight * (output - output[0]) ** 2, weight * (output - output[-1]) ** 2
    best = np.concatenate([[np.inf], np.cumsum(own[0])])
    choice = []
    for _ in range(bands - 1):
        through = best[:, None] + cost
        choice.append(through.argmin(axis=0))
        best = through.min(axis=0)
    tail = np.concatenate([np.cumsum(own[1][::-1])[::-1], [np.inf]])
    starts = [int((best + tail).argmin())]
    for chosen in reversed(choice):
        starts.append(int(chosen[starts[-1]]))
    return np.array([0, *reversed(starts)], np.int64)


def _costs(output: F64, weight: F64) -> F64:
    """(P+1, P+1) weighted squared error of candidates i … j−1 around their own mean; infinite where there are none."""
    centred = output - np.median(output)  # so that little is lost when large squares are subtracted
    total, first, second = (
        np.concatenate([[0.0], np.cumsum(part)]) for part in (weight, weight * centred, weight * centred**2)
    )
    mass, moment = total[None, :] - total[:, None], first[None, :] - first[:, None]
    mean_square = np.divide(moment**2, mass, out=np.zeros_like(mass), where=mass > 0)
    cost = np.maximum(second[None, :] - second[:, None] - mean_square, 0.0)
    cost[np.tril_indices_from(cost)] = np.inf
    return np.asarray(cost)


def _levels(output: F64, weight: F64, first: I64) -> F64:
    """Each step's weighted mean, kept within what the step holds; the ends are the curve's own."""
    mass, moment = np.add.reduceat(weight, first), np.add.reduceat(weight * output, first)
    least, most = np.minimum.reduceat(output, first), np.maximum.reduceat(output, first)
    level = np.clip(np.divide(moment, mass, out=0.5 * (least + most), where=mass > 0), least, most)
    level[0], level[-1] = output[0], output[-1]
    return level
