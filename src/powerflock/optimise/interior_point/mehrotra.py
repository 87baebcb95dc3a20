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
from powerflock.optimise.interior_point.boxes import (
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
from powerflock.optimise.interior_point.newton import step
from powerflock.optimise.interior_point.riccati import factorise

SOLVED, IMPOSSIBLE, STALLED = 0, 1, 2
"""A home's status: solved within tolerance; proven to have no plan; stopped by rounding or too many iterations."""
SCALE = 0.05
"""Distance × multiplier to begin with, $."""
_WIDE = 0.02
"""Distance × multiplier, $, from which a home that has to be centred comes: easier to reach than a smaller one."""
_SHORT = 0.9995
"""The share of the way to the nearest bound that a step goes at most."""

Work: TypeAlias = tuple[F64, F64, F64, F64, F64, F64, F64, F64, F64, F64, F64, F64, F64, F64, F64]
"""What a home's solution needs: point, dynamics' multipliers, box, θ, gradient, residuals, corrected gradient, step,
the multipliers' step, the dynamics' step, prices that are 0, the channels' answers, `riccati`'s scratch and factors."""


@kernel
def aim(point: F64, box: F64, move: F64, barrier: float, rate: F64) -> None:
    """Complete a step: `rate` (2, T, V) becomes the multipliers' steps for `move` (T, V).

    On entry `rate` holds the second-order terms to allow for, which are 0 for a predictor.
    """
    x, lower, upper, low, high, free = _flat(point, box)
    steps, below_rate, above_rate = move.ravel(), rate[0].ravel(), rate[1].ravel()
    for i in range(x.size):
        wanted = free[i] * barrier
        below_rate[i] = (wanted - below_rate[i] - lower[i] * steps[i]) / (x[i] - low[i]) - lower[i]
        above_rate[i] = (wanted - above_rate[i] + upper[i] * steps[i]) / (high[i] - x[i]) - upper[i]


@kernel
def curve(move: F64, rate: F64) -> None:
    """Replace the multipliers' steps by the second-order terms of distance × multiplier along the step."""
    steps, below_rate, above_rate = move.ravel(), rate[0].ravel(), rate[1].ravel()
    for i in range(steps.size):
        below_rate[i] *= steps[i]
        above_rate[i] *= -steps[i]


@kernel
def limit(point: F64, box: F64, move: F64, rate: F64) -> tuple[float, float]:
    """How far the quantities and the multipliers may go before one reaches its bound: the inverse of each."""
    x, lower, upper, low, high, free = _flat(point, box)
    steps, below_rate, above_rate = move.ravel(), rate[0].ravel(), rate[1].ravel()
    first = second = 0.0
    for i in range(x.size):
        space = high[i] - x[i] if steps[i] > 0.0 else x[i] - low[i]
        if abs(steps[i]) > first * space:  # nearly always false: comparing is cheaper than dividing
            first = abs(steps[i]) / space
        fixed = 1.0 - free[i]
        if -below_rate[i] > second * (lower[i] + fixed):
            second = -below_rate[i] / (lower[i] + fixed)
        if -above_rate[i] > second * (upper[i] + fixed):
            second = -above_rate[i] / (upper[i] + fixed)
    return first, second


@kernel
def products(point: F64, box: F64, move: F64, rate: F64) -> tuple[float, float, float, float]:
    """Σ distance × multiplier after steps α, β is w + α·x + β·y + α·β·z: the four sums."""
    x, lower, upper, low, high, _ = _flat(point, box)
    steps, below_rate, above_rate = move.ravel(), rate[0].ravel(), rate[1].ravel()
    none = first = second = both = 0.0
    for i in range(x.size):
        below, above = x[i] - low[i], high[i] - x[i]
        none += below * lower[i] + above * upper[i]
        first += steps[i] * (lower[i] - upper[i])
        second += below * below_rate[i] + above * above_rate[i]
        both += steps[i] * (below_rate[i] - above_rate[i])
    return none, first, second, both


@kernel
def corrected(point: F64, box: F64, grad: F64, rate: F64, barrier: float, total: F64) -> None:
    """The gradient with the barrier and the second-order terms of `rate`, into `total` (T, V)."""
    x, _, _, low, high, free = _flat(point, box)
    plain, sums, below_rate, above_rate = grad.ravel(), total.ravel(), rate[0].ravel(), rate[1].ravel()
    for i in range(x.size):
        change = (below_rate[i] - barrier) / (x[i] - low[i]) - (above_rate[i] - barrier) / (high[i] - x[i])
        sums[i] = plain[i] + free[i] * change


@kernel
def advance(point: F64, force: F64, move: F64, rate: F64, turn: F64, first: float, second: float) -> None:
    """Take the step."""
    x, lower, upper = point[0].ravel(), point[1].ravel(), point[2].ravel()
    steps, below_rate, above_rate = move.ravel(), rate[0].ravel(), rate[1].ravel()
    for i in range(x.size):
        x[i] += first * steps[i]
        lower[i] += second * below_rate[i]
        upper[i] += second * above_rate[i]
    for t in range(force.shape[0]):
        for d in range(force.shape[1]):
            force[t, d] += second * turn[t, d]


@kernel
def _flat(point: F64, box: F64) -> tuple[F64, F64, F64, F64, F64, F64]:
    """Point and box as vectors: quantities, multipliers below and above, low, high, free."""
    return (
        point[0].ravel(), point[1].ravel(), point[2].ravel(), box[0].ravel(), box[1].ravel(), box[3].ravel()
    )  # fmt: skip


@kernel
def length(inverse: float) -> float:
    """A step's length from `limit`'s inverse."""
    return 1.0 if inverse <= _SHORT else _SHORT / inverse


def room(steps: int, storages: int, channels: int) -> Work:
    """Scratch for one home of T intervals, D storages and K channels."""
    columns, pivots = 3 * storages + 4 * channels - 1, channels + 2 * storages
    table, paths = (steps, columns), (channels, steps)
    shapes: tuple[tuple[int, ...], ...] = (
        (3, *table), (steps, storages), (4, *table), table, table, table, table, table, (2, *table), (steps, storages),
        paths, paths, (steps + 2, pivots), (steps, pivots, pivots + 2 * storages + channels),
        (steps, 3 * storages, storages),
    )  # fmt: skip
    point, force, box, theta, grad, gap, total, move, rate, turn, none, answer, scratch, fac, cur = map(
        np.zeros, shapes
    )
    return point, force, box, theta, grad, gap, total, move, rate, turn, none, answer, scratch, fac, cur


@kernel
def centre(
    hours: F64, site: F64, cells: F64, rates: F64, stored: F64, duration: float, prices: F64, barrier: float,
    rounds: int, work: Work,
) -> None:  # fmt: skip
    """Bring a home, at `prices` (K, T), near the point where every distance × multiplier is `barrier`.

    `work[0]`, `work[1]` receive the point and the dynamics' multipliers.
    """
    point, force, box, theta, grad, gap, total, move, rate, turn, none, answer, scratch, fac, cur = work
    fill(hours, site, cells, rates, none.shape[0], box)
    target = max(barrier, _WIDE)
    begin(site, box, rates.shape[0], target, point)
    force[:] = 0.0
    for _ in range(rounds):
        broken = residuals(hours, site, cells, rates, stored, duration, none.shape[0], box[3], point[0], gap)
        gradient(hours, rates, box, prices, force, grad)
        stiffness(point, box, theta)
        factorise(hours, rates, theta, duration, none.shape[0], fac, cur)
        rate[:] = 0.0
        corrected(point, box, grad, rate, target, total)
        step(hours, rates, theta, total, gap, none, duration, fac, cur, scratch, move, turn, answer)
        aim(point, box, move, target, rate)
        first, second = limit(point, box, move, rate)
        if broken < 1e-6 and max(first, second) < 0.5:
            if target == barrier:
                break
            target = max(barrier, 0.05 * target)
        advance(point, force, move, rate, turn, min(1.0, 0.9 / first), min(1.0, 0.9 / second))


@kernel
def solve_alone(
    hours: F64, site: F64, cells: F64, rates: F64, stored: F64, tolerance: float, most: int, work: Work
) -> tuple[int, int, float]:
    """One home without prices from others: (status, iterations, proven bound); `work[0][0]` is the last point.

    Stops once cost − bound is within `tolerance` of the cost and the equations hold, or gets no better.
    """
    point, force, box, theta, grad, gap, total, move, rate, turn, none, answer, scratch, fac, cur = work
    fill(hours, site, cells, rates, 1, box)
    storages, count = rates.shape[0], 2.0 * box[3].sum()
    begin(site, box, storages, SCALE, point)
    force[:] = 0.0
    best, dearest, stuck = -1e300, worst_cost(box), 0
    middle = SCALE
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
        rate[:] = 0.0
        aim(point, box, move, 0.0, rate)
        first, second = limit(point, box, move, rate)
        w, x, y, z = products(point, box, move, rate)
        first, second = length(first), length(second)
        after = (w + first * x + second * y + first * second * z) / count
        barrier = middle * min(1.0, (after / middle) ** 3)
        curve(move, rate)
        corrected(point, box, grad, rate, barrier, total)
        step(hours, rates, theta, total, gap, none, 0.0, fac, cur, scratch, move, turn, answer)
        aim(point, box, move, barrier, rate)
        first, second = limit(point, box, move, rate)
        first, second = length(first), length(second)
        stuck = stuck + 1 if max(first, second) < 1e-3 or not first * second > 0.0 else 0
        if stuck > 3:
            return STALLED, iteration, best
        advance(point, force, move, rate, turn, first, second)
    return STALLED, most, best
