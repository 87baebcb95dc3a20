"""Mehrotra's predictor–corrector method for one home: steps, their lengths, and the loop where homes are alone.

A step towards the optimum itself (the predictor) tells how far one may go, and with it how much of the barrier to keep
and what its second order is; the corrector uses the same factors. Source: Mehrotra, SIAM J. Optim. 2 (1992).
Must not know groups: who couples homes calls `aim`, `limit` and `advance` with a step length shared by all.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from powerflock.curve.jit import kernel
from powerflock.domain.arrays import F64
from powerflock.optimise.barrier import (
    begin,
    bound,
    fill,
    gradient,
    objective,
    residuals,
    squeeze,
    stiffness,
    worst_cost,
)
from powerflock.optimise.riccati import factorise, step

SOLVED, IMPOSSIBLE, STALLED = 0, 1, 2
"""A home's status: solved within tolerance; proven to have no plan; stopped by rounding or too many iterations."""
_SHORT = 0.9995
"""The share of the way to the nearest bound that a step goes at most."""

Work: TypeAlias = tuple[F64, F64, F64, F64, F64, F64, F64, F64, F64, F64, F64, F64, F64, F64, F64]
"""What a home's solution needs: point, dynamics' multipliers, box, θ, gradient, residuals, corrected gradient, step,
the multipliers' step, the dynamics' step, prices that are 0, the channels' answers, `riccati`'s scratch and factors."""


@kernel
def aim(point: F64, box: F64, move: F64, barrier: float, move2: F64) -> None:
    """Complete a step: `move2` (2, T, V) becomes the multipliers' steps for `move` (T, V).

    On entry `move2` holds the second-order terms to allow for, which are 0 for a predictor.
    """
    for t in range(move.shape[0]):
        for v in range(move.shape[1]):
            below, above = point[0, t, v] - box[0, t, v], box[1, t, v] - point[0, t, v]
            d, free = move[t, v], box[3, t, v]
            move2[0, t, v] = (free * barrier - move2[0, t, v] - point[1, t, v] * d) / below - point[1, t, v]
            move2[1, t, v] = (free * barrier - move2[1, t, v] + point[2, t, v] * d) / above - point[2, t, v]


@kernel
def curve(move: F64, move2: F64) -> None:
    """Replace the multipliers' steps by the second-order terms of distance × multiplier along the step."""
    for t in range(move.shape[0]):
        for v in range(move.shape[1]):
            move2[0, t, v], move2[1, t, v] = move[t, v] * move2[0, t, v], -move[t, v] * move2[1, t, v]


@kernel
def limit(point: F64, box: F64, move: F64, move2: F64) -> tuple[float, float]:
    """How far the quantities and the multipliers may go before one reaches its bound: the inverse of each."""
    first = second = 0.0
    for t in range(move.shape[0]):
        for v in range(move.shape[1]):
            d = move[t, v]
            room = box[1, t, v] - point[0, t, v] if d > 0.0 else point[0, t, v] - box[0, t, v]
            first = max(first, abs(d) / room)
            if box[3, t, v] > 0.0:
                second = max(second, -move2[0, t, v] / point[1, t, v], -move2[1, t, v] / point[2, t, v])
    return first, second


@kernel
def products(point: F64, box: F64, move: F64, move2: F64) -> tuple[float, float, float, float]:
    """Σ distance × multiplier after steps α, β is w + α·x + β·y + α·β·z: the four sums."""
    w = x = y = z = 0.0
    for t in range(move.shape[0]):
        for v in range(move.shape[1]):
            below, above, d = point[0, t, v] - box[0, t, v], box[1, t, v] - point[0, t, v], move[t, v]
            w += below * point[1, t, v] + above * point[2, t, v]
            x += d * point[1, t, v] - d * point[2, t, v]
            y += below * move2[0, t, v] + above * move2[1, t, v]
            z += d * move2[0, t, v] - d * move2[1, t, v]
    return w, x, y, z


@kernel
def corrected(point: F64, box: F64, grad: F64, move2: F64, barrier: float, total: F64) -> None:
    """The gradient with the barrier and the second-order terms of `move2`, into `total` (T, V)."""
    for t in range(grad.shape[0]):
        for v in range(grad.shape[1]):
            below, above = point[0, t, v] - box[0, t, v], box[1, t, v] - point[0, t, v]
            change = (move2[0, t, v] - barrier) / below - (move2[1, t, v] - barrier) / above
            total[t, v] = grad[t, v] + box[3, t, v] * change


@kernel
def advance(point: F64, force: F64, move: F64, move2: F64, turn: F64, first: float, second: float) -> None:
    """Take the step."""
    for t in range(move.shape[0]):
        for v in range(move.shape[1]):
            point[0, t, v] += first * move[t, v]
            point[1, t, v] += second * move2[0, t, v]
            point[2, t, v] += second * move2[1, t, v]
        for d in range(force.shape[1]):
            force[t, d] += second * turn[t, d]


@kernel
def length(inverse: float) -> float:
    """A step's length from `limit`'s inverse."""
    return 1.0 if inverse <= _SHORT else _SHORT / inverse


def room(steps: int, storages: int, channels: int) -> Work:
    """Scratch for one home of T intervals, D storages and K channels."""
    columns, pivots = 3 * storages + (3 if channels == 1 else 11), channels + 2 * storages
    table, paths = (steps, columns), (channels, steps)
    shapes: tuple[tuple[int, ...], ...] = (
        (3, *table), (steps, storages), (4, *table), table, table, table, table, table, (2, *table), (steps, storages),
        paths, paths, (steps + 1, pivots), (steps, pivots, pivots + 2 * storages + channels),
        (steps, 3 * storages, storages),
    )  # fmt: skip
    point, force, box, theta, grad, gap, total, move, rate, turn, none, answer, scratch, fac, cur = map(
        np.zeros, shapes
    )
    return point, force, box, theta, grad, gap, total, move, rate, turn, none, answer, scratch, fac, cur


@kernel
def solve_alone(
    hours: F64, site: F64, cells: F64, rates: F64, stored: F64, tolerance: float, most: int, work: Work
) -> tuple[int, int, float]:
    """One home without prices from others: (status, iterations, proven bound); `work[0][0]` is the last point.

    Stops once cost − bound is within `tolerance` of the cost and the equations hold, or gets no better.
    """
    point, force, box, theta, grad, gap, total, move, move2, turn, none, answer, scratch, fac, cur = work
    fill(hours, site, cells, rates, 1, box)
    storages, count = rates.shape[0], 2.0 * box[3].sum()
    begin(site, box, storages, 0.05, point)
    force[:] = 0.0
    best, dearest, stuck = -1e300, worst_cost(box), 0
    middle = 0.05
    for iteration in range(most):
        squeeze(box, point, middle)
        broken = residuals(hours, site, cells, rates, stored, 0.0, 1, box[3], point[0], gap)
        gradient(hours, rates, box, none, force, grad)
        best = max(best, bound(hours, site, cells, rates, stored, 0.0, box, grad, point, force, none))
        cost = objective(box, point[0])
        if broken <= 1e-8 and cost - best <= tolerance * max(1.0, abs(cost)):
            return SOLVED, iteration, best
        if best > dearest + 1e-6 * max(1.0, abs(dearest)):
            return IMPOSSIBLE, iteration, best
        middle = stiffness(point, box, theta) / count
        factorise(hours, rates, theta, 0.0, 1, fac, cur)
        step(hours, rates, theta, grad, gap, none, 0.0, fac, cur, scratch, move, turn, answer)
        move2[:] = 0.0
        aim(point, box, move, 0.0, move2)
        first, second = limit(point, box, move, move2)
        w, x, y, z = products(point, box, move, move2)
        first, second = length(first), length(second)
        after = (w + first * x + second * y + first * second * z) / count
        barrier = middle * min(1.0, (after / middle) ** 3)
        curve(move, move2)
        corrected(point, box, grad, move2, barrier, total)
        step(hours, rates, theta, total, gap, none, 0.0, fac, cur, scratch, move, turn, answer)
        aim(point, box, move, barrier, move2)
        first, second = limit(point, box, move, move2)
        first, second = length(first), length(second)
        stuck = stuck + 1 if max(first, second) < 1e-3 or not first * second > 0.0 else 0
        if stuck > 3:
            return STALLED, iteration, best
        advance(point, force, move, move2, turn, first, second)
    return STALLED, most, best
