"""A block of homes in a coordination: what a trial price makes them do, and how steeply they respond to prices.

Three passes for each step of the method, over homes that share nothing, so that blocks go to threads as they come:
`respond` takes the last step and gives the block's response and its slope; `predict` follows a first change of prices
and measures the second order; `correct` follows the final one. The homes' points stay here between the passes.
Must not know groups or what is asked of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from powerflock.curve.jit import kernel
from powerflock.domain.arrays import F64
from powerflock.optimise.interior_point.boxes import bound, fill, gradient, objective, residuals, stiffness
from powerflock.optimise.interior_point.buckets import Bucket
from powerflock.optimise.interior_point.mehrotra import (
    Work,
    advance,
    aim,
    centre,
    corrected,
    curve,
    limit,
    products,
    room,
)
from powerflock.optimise.interior_point.newton import respond, step
from powerflock.optimise.interior_point.response import add_response
from powerflock.optimise.interior_point.riccati import factorise

_ROUNDS = 80
_Homes = tuple[F64, F64, F64, F64, F64]
_State = tuple[F64, F64, F64, F64, F64, F64, F64]
_Scratch = tuple[F64, F64, F64, F64, F64, F64, F64]


@dataclass(frozen=True, slots=True)
class Block:
    """Homes of one group with as many storages each, their points, and scratch for one home at a time."""

    bucket: Bucket
    group: int
    channels: int
    duration: float
    state: _State
    """Each with a first axis of N homes: points (3, T, V), dynamics' multipliers (T, D), steps of both: (T, V),
    (2, T, V) and (T, D), and `riccati`'s factors."""

    @staticmethod
    def of(bucket: Bucket, group: int, duration: float, prices: F64, scale: float) -> Block:
        """Homes near the points where, at `prices` (K, T), every distance × multiplier is `scale`."""
        homes, storages, _, steps = bucket.cells.shape
        channels = prices.shape[0]
        columns, pivots = 3 * storages + 4 * channels - 1, channels + 2 * storages
        shapes: tuple[tuple[int, ...], ...] = (
            (3, steps, columns), (steps, storages), (steps, columns), (2, steps, columns), (steps, storages),
            (steps, pivots, pivots + 2 * storages + channels), (steps, 3 * storages, storages),
        )  # fmt: skip
        point, force, move, rate, turn, fac, cur = (np.zeros((homes, *shape)) for shape in shapes)
        block = Block(bucket, group, channels, duration, (point, force, move, rate, turn, fac, cur))
        _begin(block.homes, duration, prices, scale, room(steps, storages, channels), point, force)
        return block

    @property
    def homes(self) -> _Homes:
        """What the kernels read of the homes."""
        of = self.bucket
        return of.hours, of.site, of.cells, of.rates, of.stored_kwh

    def scratch(self) -> _Scratch:
        """Box, θ, gradient, residuals, total gradient, and two for `riccati` and `response`."""
        _, storages, _, steps = self.bucket.cells.shape
        columns, pivots = self.state[0].shape[3], self.channels + 2 * storages
        table = (steps, columns)
        wide = self.channels * steps + 2 * storages + self.channels
        return (
            np.zeros((4, *table)), np.zeros(table), np.zeros(table), np.zeros(table), np.zeros(table),
            np.zeros((steps + 2, pivots)), np.zeros((storages, wide)),
        )  # fmt: skip

    def totals(self) -> F64:
        """(K, T) the channels' totals at the present points."""
        x, storages = self.state[0][:, 0], self.bucket.rates.shape[1]
        power = x[:, :, :storages].sum(axis=2) - x[:, :, storages : 2 * storages].sum(axis=2)
        net = self.bucket.site[:, 0] + power + x[:, :, 3 * storages + 2]
        held = [x[:, :, 3 * storages + 3 + 4 * r].sum(axis=0) for r in range(self.channels - 1)]
        return np.stack([net.sum(axis=0), *held])

    def respond(self, prices: F64, first: float, second: float, *, prove: bool) -> tuple[F64, F64, F64, F64]:
        """Take the last step with lengths `first, second`; then answer `prices` (K, T).

        The channels' totals (K, T); their steps were prices unchanged (K, T); the slope (T, K, T, K) for j ≤ t; and
        cost, bound (0 if not to `prove`), worst residual, Σ distance × multiplier and how many these are.
        """
        totals, steps, sums = np.zeros(prices.shape), np.zeros(prices.shape), np.zeros(5)
        slope = np.zeros(prices.T.shape * 2)
        _respond(
            self.homes, self.duration, prices, first, second, prove, self.state, self.scratch(), totals, steps, slope,
            sums,
        )  # fmt: skip
        return totals, steps, slope, sums

    def predict(self, prices: F64, change: F64) -> tuple[F64, F64, F64]:
        """Follow `change` (K, T) of `prices`.

        The steps' limits and products; the channels' steps for the second order; and those for a barrier of 1.
        """
        sums, steps, pulled = np.zeros(6), np.zeros(prices.shape), np.zeros(prices.shape)
        _predict(self.homes, self.duration, prices, change, self.state, self.scratch(), sums, steps, pulled)
        return sums, steps, pulled

    def correct(self, prices: F64, change: F64, barrier: float) -> F64:
        """Follow the final `change` of `prices` with `barrier`: the steps' limits."""
        sums = np.zeros(2)
        _correct(self.homes, self.duration, prices, change, barrier, self.state, self.scratch(), sums)
        return sums


@kernel
def _begin(
    homes: _Homes, duration: float, prices: F64, scale: float, work: Work, point: F64, force: F64
) -> None:  # fmt: skip
    hours, site, cells, rates, stored = homes
    for home in range(site.shape[0]):
        centre(hours, site[home], cells[home], rates[home], stored[home], duration, prices, scale, _ROUNDS, work)
        point[home], force[home] = work[0], work[1]


@kernel
def _look(
    homes: _Homes, home: int, duration: float, prices: F64, state: _State, scratch: _Scratch
) -> tuple[float, float]:
    """Box, residuals, gradient and stiffness of a home at its point: the worst residual, Σ products."""
    hours, site, cells, rates, stored = homes
    box, theta, grad, gap = scratch[0], scratch[1], scratch[2], scratch[3]
    point, channels = state[0][home], prices.shape[0]
    fill(hours, site[home], cells[home], rates[home], channels, box)
    worst = residuals(
        hours, site[home], cells[home], rates[home], stored[home], duration, channels, box[3], point[0], gap
    )
    gradient(hours, rates[home], box, prices, state[1][home], grad)
    return worst, stiffness(point, box, theta)


@kernel
def _respond(
    homes: _Homes, duration: float, prices: F64, first: float, second: float, prove: bool, state: _State,  # noqa: FBT001
    scratch: _Scratch, totals: F64, steps: F64, slope: F64, sums: F64,
) -> None:  # fmt: skip
    hours, site, cells, rates, stored = homes
    points, forces, moves, changes, turns, facs, curs = state
    box, theta, grad, gap, _, work, wide = scratch
    channels, storages = prices.shape[0], rates.shape[1]
    none = np.zeros(prices.shape)
    for home in range(site.shape[0]):
        point, force, move, turn = points[home], forces[home], moves[home], turns[home]
        if first > 0.0:
            advance(point, force, move, changes[home], turn, first, second)
        worst, total = _look(homes, home, duration, prices, state, scratch)
        sums[0] += objective(box, point[0])
        if prove:
            sums[1] += bound(
                hours, site[home], cells[home], rates[home], stored[home], duration, box, grad, point, force, prices
            )
        sums[2], sums[3] = max(sums[2], worst), sums[3] + total
        for t in range(hours.size):
            totals[0, t] += site[home, 0, t] + point[0, t, 3 * storages + 2]
            for d in range(storages):
                totals[0, t] += point[0, t, d] - point[0, t, storages + d]
            for r in range(channels - 1):
                totals[1 + r, t] += point[0, t, 3 * storages + 3 + 4 * r]
            for v in range(box.shape[2]):
                sums[4] += 2.0 * box[3, t, v]
        factorise(hours, rates[home], theta, duration, channels, facs[home], curs[home])
        respond(hours, rates[home], theta, grad, gap, none, duration, facs[home], curs[home], work, steps)
        add_response(hours, rates[home], theta, facs[home], curs[home], channels, wide, slope)


@kernel
def _predict(
    homes: _Homes, duration: float, prices: F64, change: F64, state: _State, scratch: _Scratch, sums: F64, steps: F64,
    pulled: F64,
) -> None:  # fmt: skip
    hours, rates = homes[0], homes[3]
    points, _, moves, changes, turns, facs, curs = state
    box, theta, grad, gap, total, work, _ = scratch
    none, answer = np.zeros(prices.shape), np.zeros(prices.shape)
    for home in range(rates.shape[0]):
        point, move, rate, turn = points[home], moves[home], changes[home], turns[home]
        _look(homes, home, duration, prices, state, scratch)
        own = (hours, rates[home], theta)
        step(*own, grad, gap, change, duration, facs[home], curs[home], work, move, turn, answer)
        rate[:] = 0.0
        aim(point, box, move, 0.0, rate)
        first, second = limit(point, box, move, rate)
        sums[0], sums[1] = max(sums[0], first), max(sums[1], second)
        w, x, y, z = products(point, box, move, rate)
        sums[2], sums[3], sums[4], sums[5] = sums[2] + w, sums[3] + x, sums[4] + y, sums[5] + z
        curve(move, rate)
        corrected(point, box, grad, rate, 0.0, total)
        respond(*own, total, gap, none, duration, facs[home], curs[home], work, steps)
        grad[:] = 0.0
        gap[:] = 0.0
        for t in range(hours.size):
            for v in range(box.shape[2]):
                below, above = point[0, t, v] - box[0, t, v], box[1, t, v] - point[0, t, v]
                grad[t, v] = box[3, t, v] * (1.0 / above - 1.0 / below)
        respond(*own, grad, gap, none, duration, facs[home], curs[home], work, pulled)


@kernel
def _correct(
    homes: _Homes, duration: float, prices: F64, change: F64, barrier: float, state: _State, scratch: _Scratch,
    sums: F64,
) -> None:  # fmt: skip
    hours, rates = homes[0], homes[3]
    points, _, moves, changes, turns, facs, curs = state
    box, theta, grad, gap, total, work, _ = scratch
    answer = np.zeros(prices.shape)
    for home in range(rates.shape[0]):
        point, move, rate = points[home], moves[home], changes[home]
        _look(homes, home, duration, prices, state, scratch)
        corrected(point, box, grad, rate, barrier, total)
        step(
            hours, rates[home], theta, total, gap, change, duration, facs[home], curs[home], work, move, turns[home],
            answer,
        )  # fmt: skip
        aim(point, box, move, barrier, rate)
        first, second = limit(point, box, move, rate)
        sums[0], sums[1] = max(sums[0], first), max(sums[1], second)
