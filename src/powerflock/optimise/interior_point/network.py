"""Small systems on a tree: how prices at every node follow from what homes would do, eliminated from the leaves up.

Each node may have one row per interval on one channel (a limit on the sum of all homes below it, a target, a
reserve); its price reaches all homes below. The homes' response slopes are summed up the tree; a node with a row
answers for its subtree: what passes upwards is the response of the subtree *with* the node's own price adjusting.
Then the prices follow downwards. The cost is a few T×T products for each node. Must not know homes or barriers.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from powerflock.domain.arrays import F64, I32, I64, Bools


@dataclass(slots=True)
class Network:
    """N nodes, a parent before its children (−1: none): `channel` (N,) of the node's row, or −1 without one."""

    parent: I32
    channel: I32
    levels: list[I64] = field(init=False)
    _inverse: dict[tuple[int, int], F64] = field(init=False, default_factory=dict)
    _answer: dict[tuple[int, int], F64] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Sort the nodes by depth."""
        depth = np.zeros(self.parent.size, np.int64)
        for node, above in enumerate(self.parent.tolist()):
            depth[node] = depth[above] + 1 if above >= 0 else 0
        self.levels = [np.flatnonzero(depth == level) for level in range(int(depth.max(initial=0)) + 1)]

    def _rows(self, level: int) -> list[tuple[int, I64]]:
        """The nodes of a level that have a row, by channel."""
        nodes = self.levels[level]
        return [(k, nodes[self.channel[nodes] == k]) for k in np.unique(self.channel[nodes]).tolist() if k >= 0]

    def factorise(self, slope: F64, compliance: F64) -> None:
        """From `slope` (N, T, K, T, K), the response of the homes attached to each node, and `compliance` (N, T).

        `slope` is overwritten by sums over subtrees. A row's own quantities answer to its price by `compliance` ≥ 0.
        """
        count, steps, channels = slope.shape[:3]
        flat = slope.reshape(count, channels * steps, channels * steps)
        for level in range(len(self.levels) - 1, -1, -1):
            for k, nodes in self._rows(level):
                part = slice(k, None, channels)
                own = flat[nodes]
                answer = own[:, part, :].copy()
                inverse = _inverses(answer[:, :, part], compliance[nodes])
                own -= np.swapaxes(answer, 1, 2) @ (inverse @ answer)
                flat[nodes] = own
                self._inverse[level, k], self._answer[level, k] = inverse, answer
            self._add_up(flat, level)

    def solve(self, steps: F64, own: F64) -> tuple[F64, F64]:
        """Changes of the rows' prices (N, T), and of the prices that homes at each node see (N, K, T).

        `steps` (N, K, T) what the homes attached to each node would do were prices unchanged, `own` (N, T) what else
        each row is out of balance by.
        """
        count, channels, width = steps.shape
        flat = np.swapaxes(steps, 1, 2).reshape(count, channels * width).copy()
        change, seen, wanted = np.zeros((count, width)), np.zeros((count, channels * width)), np.zeros((count, width))
        for level in range(len(self.levels) - 1, -1, -1):
            for k, nodes in self._rows(level):
                part = slice(k, None, channels)
                wanted[nodes] = flat[nodes][:, part] + own[nodes]
                moved = self._inverse[level, k] @ wanted[nodes][:, :, None]
                flat[nodes] -= (np.swapaxes(self._answer[level, k], 1, 2) @ moved)[:, :, 0]
            self._add_up(flat, level)
        for level, nodes in enumerate(self.levels):
            above = self.parent[nodes]
            seen[nodes[above >= 0]] = seen[above[above >= 0]]
            for k, chosen in self._rows(level):
                part = slice(k, None, channels)
                told = (self._answer[level, k] @ seen[chosen][:, :, None])[:, :, 0]
                change[chosen] = (self._inverse[level, k] @ (wanted[chosen] - told)[:, :, None])[:, :, 0]
                seen[chosen, part] += change[chosen]
        return change, np.ascontiguousarray(np.swapaxes(seen.reshape(count, width, channels), 1, 2))

    def down(self, prices: F64, channels: int) -> F64:
        """(N, K, T) what homes at each node see of the rows' prices (N, T): the sum over the nodes above."""
        seen = np.zeros((prices.shape[0], channels, prices.shape[1]))
        for nodes in self.levels:
            above = self.parent[nodes]
            seen[nodes[above >= 0]] = seen[above[above >= 0]]
            rows: Bools = self.channel[nodes] >= 0
            seen[nodes[rows], self.channel[nodes[rows]]] += prices[nodes[rows]]
        return seen

    def up(self, totals: F64) -> F64:
        """(N, K, T) sums over each node's subtree of `totals` (N, K, T)."""
        sums = totals.copy()
        for level in range(len(self.levels) - 1, -1, -1):
            self._add_up(sums, level)
        return sums

    def _add_up(self, values: F64, level: int) -> None:
        for node in self.levels[level].tolist():
            if self.parent[node] >= 0:
                values[self.parent[node]] += values[node]


def _inverses(slope: F64, compliance: F64) -> F64:
    """(N, T, T) inverses of slope + diagonal compliance, scaled to a unit diagonal first: they span many magnitudes."""
    whole = slope + np.eye(slope.shape[1]) * compliance[:, None, :]
    scale = 1.0 / np.sqrt(np.maximum(np.diagonal(whole, axis1=1, axis2=2), 1e-300))
    return np.asarray(np.linalg.inv(whole * scale[:, :, None] * scale[:, None, :]) * scale[:, :, None] * scale[:, None])


def symmetric(slope: F64) -> F64:
    """The whole of a slope (T, K, T, K) of which only j ≤ t was filled."""
    steps = slope.shape[0]
    later = np.tril(np.ones((steps, steps)), -1)
    return np.asarray(slope + np.transpose(slope * later[:, None, :, None], (2, 3, 0, 1)))
