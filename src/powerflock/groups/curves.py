"""Sites' offer curves summed into groups: all that the fleet can do at each price, one short vector for each group.

Invariants: curves are float32, exact to a ten-millionth as commands are, and their sums float64; a site whose curve is
not wholly known is left out whole and counted; tables of the same hierarchy add up column by column, in any order. Must
not know what the prices mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from powerflock.curve.jit import kernel
from powerflock.curve.prefetch import LINE_BYTES, prefetch
from powerflock.domain.arrays import F32, F64, I32, I64
from powerflock.groups.hierarchy import Hierarchy
from powerflock.groups.sums import roll_up, rows_of

_AHEAD, _LINE = 8, LINE_BYTES // 4
"""How many sites ahead a curve is fetched, for sites come in any order; and how many prices are fetched at once."""


@dataclass(frozen=True, slots=True, eq=False)
class CurveTable:
    """By group id: `sum_kw` (G, K) over the sites whose curve is known; how many `sites` and `known` (G,) there are.

    `class_kw` (P, K) is the part of it in each pair of a group and a failure class.
    """

    sum_kw: F64
    sites: I64
    known: I64
    class_kw: F64

    @property
    def offers_kw(self) -> F64:
        """(G, K) the groups' curves; NaN where a group has sites and not one known curve."""
        unknown = (self.sites > 0) & (self.known == 0)
        return np.where(unknown[:, None], np.nan, self.sum_kw)


def curve_table(hierarchy: Hierarchy, offers_kw: F32, partition: int = 0) -> CurveTable:
    """Every group's part of the (S, K) offer curves that lies in `partition`, with its counts. Parts add up."""
    rows_of(hierarchy, partition, offers_kw.shape[0])
    cells, failures, prices = hierarchy.cells[partition], hierarchy.failures, offers_kw.shape[1]
    leaves, parts = np.zeros((hierarchy.leaves, prices + 2)), np.zeros((failures.parts + 1, prices))
    _accumulate(cells.sites, cells.start, cells.rows, np.ascontiguousarray(offers_kw), leaves, parts)
    sums, classes = np.zeros((hierarchy.groups, prices + 2)), np.zeros((failures.pairs.size, prices))
    roll_up(hierarchy.leaf_start, hierarchy.leaf_groups, leaves, sums)
    parts[failures.leaf_part] = leaves[:, :prices]
    roll_up(failures.part_start, failures.part_pairs, parts[:-1], classes)
    counts = sums[:, prices:].astype(np.int64)
    return CurveTable(np.ascontiguousarray(sums[:, :prices]), counts[:, 0], counts[:, 1], classes)


@kernel
def _accumulate(sites: I32, start: I64, rows: I32, offers_kw: F32, leaves: F64, parts: F64) -> None:
    """Add up each cell's curves, and its sum to its leaf and its three parts; count sites and known curves."""
    prices, last = offers_kw.shape[1], sites.size - 1
    total = np.empty(prices)
    for cell in range(rows.shape[0]):
        total[:] = 0.0
        for at in range(start[cell], start[cell + 1]):
            site, soon = sites[at], sites[min(at + _AHEAD, last)]
            for k in range(0, prices, _LINE):
                prefetch(offers_kw, soon, k)
            for k in range(prices):
                total[k] += offers_kw[site, k]
        known = start[cell + 1] - start[cell]
        leaf, first, second, third = rows[cell, 0], rows[cell, 1], rows[cell, 2], rows[cell, 3]
        leaves[leaf, prices] += known
        if _is_unknown(total):
            known = _sum_known(sites[start[cell] : start[cell + 1]], offers_kw, total)
        leaves[leaf, prices + 1] += known
        for k in range(prices):
            leaves[leaf, k] += total[k]
            parts[first, k] += total[k]
            parts[second, k] += total[k]
            parts[third, k] += total[k]


@kernel
def _is_unknown(curve: F32 | F64) -> bool:
    unknown = False
    for k in range(curve.size):
        unknown |= np.isnan(curve[k])
    return unknown


@kernel
def _sum_known(sites: I32, offers_kw: F32, total: F64) -> int:
    """Put the sum of the sites' known curves into `total`, and return how many there are."""
    known = 0
    total[:] = 0.0
    for site in sites:
        if not _is_unknown(offers_kw[site]):
            known += 1
            for k in range(total.size):
                total[k] += offers_kw[site, k]
    return known
