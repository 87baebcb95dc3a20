"""Sites' offer curves summed into groups: all that the fleet can do at each price, one short vector for each group.

Invariants: a site whose curve is not wholly known is left out whole and counted; tables of the same hierarchy add up in
any order. Must not know what the prices mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from powerflock.curve.jit import kernel
from powerflock.domain.arrays import F32, F64, I32, I64
from powerflock.domain.errors import InvalidInput
from powerflock.groups.hierarchy import Hierarchy
from powerflock.groups.sums import roll_up, rows_of


@dataclass(frozen=True, slots=True, eq=False)
class CurveTable:
    """By group id: `sum_kw` (G, K) over the sites whose curve is known; how many `sites` and `known` (G,) there are.

    `class_kw` (P, K) is the part of it in each pair of a group and a failure class: summed in single precision, a watt
    in ten megawatts, because that halves the time of the whole (a million sites: 58 ms instead of 95).
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


def curve_table(hierarchy: Hierarchy, offers_kw: F64, partition: int = 0) -> CurveTable:
    """Every group's part of the (S, K) offer curves that lies in `partition`, with its counts."""
    rows, failures = rows_of(hierarchy, partition, offers_kw.shape[0]), hierarchy.failures
    prices = offers_kw.shape[1]
    leaves, parts = np.zeros((hierarchy.leaves, prices + 2)), np.zeros((failures.parts + 1, prices), np.float32)
    _accumulate(rows, np.ascontiguousarray(offers_kw), leaves, parts)
    sums, classes = np.zeros((hierarchy.groups, prices + 2)), np.zeros((failures.pairs.size, prices))
    roll_up(hierarchy.leaf_start, hierarchy.leaf_groups, leaves, sums)
    parts[failures.leaf_part] = leaves[:, :prices]
    roll_up(failures.part_start, failures.part_pairs, parts[:-1].astype(np.float64), classes)
    counts = sums[:, prices:].astype(np.int64)
    return CurveTable(np.ascontiguousarray(sums[:, :prices]), counts[:, 0], counts[:, 1], classes)


def add_curves(tables: Sequence[CurveTable]) -> CurveTable:
    """The groups' whole out of their parts, which must be of one hierarchy."""
    if not tables:
        raise InvalidInput("curve tables", 0, "must be 1 or more")
    sizes = {(table.sites.size, table.class_kw.shape[0]) for table in tables}
    if len(sizes) > 1:
        raise InvalidInput("curve tables' groups", sorted(sizes), "must be of one hierarchy")
    names = ("sum_kw", "sites", "known", "class_kw")
    return CurveTable(*(np.sum([getattr(table, name) for table in tables], axis=0) for name in names))


@kernel
def _accumulate(rows: I32, offers_kw: F64, leaves: F64, parts: F32) -> None:
    """Add each curve to its leaf and its three parts, in one pass over the prices; count sites and known curves."""
    prices = offers_kw.shape[1]
    for site in range(rows.shape[0]):
        curve, own = offers_kw[site], leaves[rows[site, 0]]
        own[prices] += 1.0
        unknown = False
        for k in range(prices):
            unknown |= np.isnan(curve[k])
        if unknown:
            continue
        own[prices + 1] += 1.0
        first, second = parts[rows[site, 1]], parts[rows[site, 2]]
        third = parts[rows[site, 3]]
        for k in range(prices):
            power = curve[k]
            own[k] += power
            first[k] += power
            second[k] += power
            third[k] += power
