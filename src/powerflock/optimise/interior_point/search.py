"""The rounds of a coordination: homes answer prices with steps and slopes, the network answers with prices.

Mehrotra's predictor–corrector method with one step length for all, so that what holds for sums of homes keeps
holding. See `blocks` for the homes' part, `network` and `rows` for the rest. Must not know what the rows mean.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from powerflock.domain.arrays import F64
from powerflock.optimise.asks import Asked
from powerflock.optimise.interior_point.blocks import Block
from powerflock.optimise.interior_point.mehrotra import length
from powerflock.optimise.interior_point.network import symmetric
from powerflock.optimise.interior_point.rows import Rows
from powerflock.optimise.site import Mapper

_BROKEN = 1e-4
"""kW or kWh: by how much an equation may be off at the end; plans are made sound afterwards."""


class Search:
    """Homes in `blocks` and what is asked of them together, from prices (R, T) in $ per kW on."""

    def __init__(
        self, blocks: Sequence[Block], asked: Asked, price: F64, penalty: F64, scale: float, mapper: Mapper
    ) -> None:
        self.blocks, self.network, self.at, self.mapper, self.asked = blocks, asked.network, asked.at, mapper, asked
        self.place = np.array([block.group + asked.first for block in blocks], np.int64)
        self.channels, self._channel = blocks[0].channels, asked.network.channel[asked.at]
        totals = np.zeros((asked.network.parent.size, self.channels, price.shape[1]))
        for node, block in zip(self.place.tolist(), blocks, strict=True):
            totals[node] += block.totals()
        start = asked.network.up(totals)[self.at, self._channel]
        self.rows = Rows.of(asked.low_kw, asked.high_kw, asked.most_kw, penalty, start, price, scale)
        self.bound, self.iterations, self._count = -np.inf, 0, 1.0
        self._first = self._second = 0.0

    def seen(self) -> F64:
        """(N, K, T) the prices that homes at each node see, $ per kW."""
        return self.network.down(self.asked.spread(self.rows.price), self.channels)

    def run(self, tolerance: float, most: int) -> None:
        """Rounds until cost − bound is within `tolerance` of the cost, or they get nowhere, or `most`."""
        stuck, near = 0, False
        while self.iterations < most and stuck < 4:
            gap, steps, cost, worst, middle = self._respond(prove=near)
            near = middle * self._count <= 10.0 * tolerance * max(1.0, abs(cost))
            if worst <= _BROKEN and cost - self.bound <= tolerance * max(1.0, abs(cost)):
                return
            self._step(gap, steps, middle)
            stuck = stuck + 1 if max(self._first, self._second) < 1e-3 else 0
            self.iterations += 1
        self._respond(prove=True)

    def _respond(self, *, prove: bool) -> tuple[F64, F64, float, float, float]:
        """Answers and slopes at the present prices: rows' gaps, homes' steps by node, cost, worst residual, mean."""
        nodes, steps_count = self.network.parent.size, self.rows.price.shape[1]
        table = (nodes, self.channels, steps_count)
        prices = self.seen()

        def respond(row: int) -> tuple[F64, F64, F64, F64]:
            return self.blocks[row].respond(prices[self.place[row]], self._first, self._second, prove=prove)

        totals, steps, slope, sums = (
            np.zeros(table),
            np.zeros(table),
            np.zeros((nodes, *(table[2], table[1]) * 2)),
            np.zeros(5),
        )
        for row, answer in enumerate(self.mapper(respond, range(len(self.blocks)))):
            node = self.place[row]
            totals[node] += answer[0]
            steps[node] += answer[1]
            slope[node] += answer[2]
            worst = max(sums[2], answer[3][2])
            sums += answer[3]
            sums[2] = worst
        for node in np.unique(self.place).tolist():
            slope[node] = symmetric(slope[node])
        theta = self.rows.stiffness()
        self.network.factorise(slope, self.asked.spread((1.0 / theta).sum(axis=0)))
        gap = self.rows.residual(self.network.up(totals)[self.at, self._channel])
        if prove:
            self.bound = max(self.bound, float(sums[1]) + self.rows.bound())
        count = float(sums[4]) + 2.0 * float(self.rows.free.sum())
        self._count = count
        cost = float(sums[0]) + float((self.rows.cost * self.rows.x * self.rows.free).sum())
        worst = max(float(sums[2]), float(np.abs(gap).max(initial=0.0)))
        return gap, steps, cost, worst, (float(sums[3]) + self.rows.products()) / count

    def _step(self, gap: F64, steps: F64, middle: float) -> None:
        """Predictor and corrector; moves the rows, and keeps the lengths for the homes' next answer."""
        rows, prices = self.rows, self.seen()
        gradient, theta = rows.gradient(), rows.stiffness()
        change, told = self._solve(steps, rows.own(gradient, theta, gap))
        move = rows.moves(gradient, theta, change)
        none = (np.zeros_like(move), np.zeros_like(move))
        rates = rows.rates(move, 0.0, none)
        blocks, place = self.blocks, self.place

        def predict(row: int) -> tuple[F64, F64, F64]:
            return blocks[row].predict(prices[place[row]], told[place[row]])

        second_steps, pulled, sums = np.zeros_like(steps), np.zeros_like(steps), np.zeros(6)
        for row, answer in enumerate(self.mapper(predict, range(len(blocks)))):
            limits = np.maximum(sums[:2], answer[0][:2])
            sums += answer[0]
            sums[:2] = limits
            second_steps[place[row]] += answer[1]
            pulled[place[row]] += answer[2]
        first, second = (length(max(a, b)) for a, b in zip(sums[:2].tolist(), rows.limit(move, rates), strict=True))
        x, y, z = (a + b for a, b in zip(sums[3:].tolist(), rows.along(move, rates), strict=True))
        after = (sums[2] + rows.products() + first * x + second * y + first * second * z) / self._count
        barrier = middle * min(1.0, (after / middle) ** 3)
        curved = (move * rates[0], -move * rates[1])
        gradient = rows.corrected(gradient, barrier, curved)
        change, told = self._solve(second_steps + barrier * pulled, rows.own(gradient, theta, gap))

        def correct(row: int) -> F64:
            return blocks[row].correct(prices[place[row]], told[place[row]], barrier)

        limits = np.array(list(self.mapper(correct, range(len(blocks))))).max(axis=0, initial=0.0)
        move = rows.moves(gradient, theta, change)
        rates = rows.rates(move, barrier, curved)
        own = rows.limit(move, rates)
        self._first, self._second = length(max(limits[0], own[0])), length(max(limits[1], own[1]))
        rows.advance(move, rates, change, self._first, self._second)

    def _solve(self, steps: F64, own: F64) -> tuple[F64, F64]:
        change, told = self.network.solve(steps, self.asked.spread(own))
        return change[self.at], told
