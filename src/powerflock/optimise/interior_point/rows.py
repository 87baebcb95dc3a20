"""What is asked of sums of homes: limits, targets and reserves as rows with a price each, under a barrier.

A row says that a channel's sum Y over a subtree is f + over − under, with f free within [low, high] and what is over
or under at the penalty, so that the whole always has a plan. All three are boxed; a row's multiplier is its price.
Must not know homes or trees.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from powerflock.domain.arrays import F64

_SHORT = 0.9995
_AWAY = 100.0
"""How far from 0 what is missed begins, as a multiple of where it would be centred."""
_SIGN = np.array([1.0, 1.0, -1.0])[:, None, None]


@dataclass(slots=True)
class Rows:
    """N rows over T intervals; columns (3, N, T): what is wanted, over, under.

    `low`, `high`, `cost` in $ per kW, `free` 1 where a column may vary and else 0, `x` the point with multipliers
    `below` and `above`; `price` (N, T) in $ per kW.
    """

    low: F64
    high: F64
    cost: F64
    free: F64
    x: F64
    below: F64
    above: F64
    price: F64

    @staticmethod
    def of(low: F64, high: F64, most: F64, penalty: F64, start: F64, price: F64, scale: float) -> Rows:
        """Rows that want Y within [low, high] (N, T), or else pay `penalty` (T,) $ per kW for at most `most` (N, 1)."""
        shape = (3, *low.shape)
        lows, highs, costs = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        lows[0], highs[0], highs[1:], costs[1:] = low, high, most, penalty
        free = (highs - lows > 1e-9).astype(np.float64)
        x = np.zeros(shape)
        x[0] = np.clip(start, low + 0.1 * np.minimum(high - low, 1.0), high - 0.1 * np.minimum(high - low, 1.0))
        slope = costs - _SIGN * price
        x[1], x[2] = np.maximum(start - x[0], 0.0), np.maximum(x[0] - start, 0.0)
        x[1:] = np.minimum(0.5 * highs[1:], x[1:] + _AWAY * scale / np.maximum(costs[1:], 1e-6))
        lows, highs = np.where(free > 0, lows, x - 1.0), np.where(free > 0, highs, x + 1.0)
        below, above = free * np.maximum(scale / (x - lows), slope), free * np.maximum(scale / (highs - x), -slope)
        return Rows(lows, highs, costs, free, x, below, above, price)

    def residual(self, totals: F64) -> F64:
        """(N, T) by how much each row is out of balance where the sums are `totals` (N, T)."""
        return np.asarray(totals - self.x[0] - self.x[1] + self.x[2])

    def gradient(self) -> F64:
        """(3, N, T) each column's cost with the row's price."""
        return np.where(self.free > 0, self.cost - _SIGN * self.price, 0.0)

    def stiffness(self) -> F64:
        """(3, N, T), infinite for constants."""
        return np.where(self.free > 0, self.below / (self.x - self.low) + self.above / (self.high - self.x), np.inf)

    def products(self) -> float:
        """Σ distance × multiplier."""
        return float(((self.x - self.low) * self.below + (self.high - self.x) * self.above).sum())

    def bound(self) -> float:
        """The least of Σ gradient × column over the boxes: the rows' part of the proven lower bound."""
        slope = self.gradient()
        return float(
            np.where(self.free > 0, np.minimum(slope * self.low, slope * self.high), -_SIGN * self.price * self.x).sum()
        )

    def own(self, gradient: F64, theta: F64, gap: F64) -> F64:
        """(N, T) what the rows' own columns add to the imbalance that prices must settle."""
        return np.asarray(gap + (_SIGN * gradient / theta).sum(axis=0))

    def moves(self, gradient: F64, theta: F64, change: F64) -> F64:
        """(3, N, T) the columns' steps for a change of prices (N, T)."""
        return np.asarray((_SIGN * change - gradient) / theta)

    def rates(self, move: F64, barrier: float, second: tuple[F64, F64]) -> tuple[F64, F64]:
        """The multipliers' steps for `move`, with second-order terms to allow for."""
        below, above = self.x - self.low, self.high - self.x
        lower = (self.free * barrier - second[0] - self.below * move) / below - self.below
        return lower, (self.free * barrier - second[1] + self.above * move) / above - self.above

    def corrected(self, gradient: F64, barrier: float, second: tuple[F64, F64]) -> F64:
        """The gradient with the barrier and second-order terms."""
        change = (second[0] - barrier) / (self.x - self.low) - (second[1] - barrier) / (self.high - self.x)
        return np.asarray(gradient + self.free * change)

    def limit(self, move: F64, rates: tuple[F64, F64]) -> tuple[float, float]:
        """How far columns and multipliers may go: the inverse of each."""
        first = np.where(move > 0, move / (self.high - self.x), -move / (self.x - self.low)).max(initial=0.0)
        down = (np.where(self.free > 0, -rate, 0.0) for rate in rates)
        held = (np.where(self.free > 0, z, 1.0) for z in (self.below, self.above))
        second = max(float((d / z).max(initial=0.0)) for d, z in zip(down, held, strict=True))
        return float(first), second

    def along(self, move: F64, rates: tuple[F64, F64]) -> tuple[float, float, float]:
        """Σ products along a step: the factors of α, β and α·β."""
        below, above = self.x - self.low, self.high - self.x
        return (
            float((move * (self.below - self.above)).sum()),
            float((below * rates[0] + above * rates[1]).sum()),
            float((move * (rates[0] - rates[1])).sum()),
        )

    def advance(self, move: F64, rates: tuple[F64, F64], change: F64, first: float, second: float) -> None:
        """Take the step."""
        self.x += first * move
        self.below += second * rates[0]
        self.above += second * rates[1]
        self.price += second * change
