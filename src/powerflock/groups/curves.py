"""Sites' offer curves summed into groups: all that the fleet can do at each price, one short vector for each group.

Invariants: a site whose curve is not wholly known is left out whole and counted; tables of the same hierarchy add up in
any order. Must not know what the prices mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from powerflock.curve.jit import kernel
from powerflock.domain.arrays import F64, I32, I64
from powerflock.domain.errors import InvalidInput
from powerflock.groups.hierarchy import Hierarchy
from powerflock.groups.sums import feeders_of


@dataclass(frozen=True, slots=True, eq=False)
class CurveTable:
    """By group id: `sum_kw` (G, K) over the sites whose curve is known; how many `sites` and `known` (G,) there are."""

    sum_kw: F64
    sites: I64
    known: I64

    @property
    def offers_kw(self) -> F64:
        """(G, K) the groups' curves; NaN where a group has sites and not one known curve."""
        unknown = (self.sites > 0) & (self.known == 0)
        return np.where(unknown[:, None], np.nan, self.sum_kw)


def curve_table(hierarchy: Hierarchy, offers_kw: F64, partition: int = 0) -> CurveTable:
    """Every group's part of the (S, K) offer curves that lies in `partition`, with its counts."""
    feeder = feeders_of(hierarchy, partition, offers_kw.shape[0])
    return CurveTable(*_curves(feeder, np.ascontiguousarray(offers_kw), hierarchy.parent))


def curve_sums(hierarchy: Hierarchy, offers_kw: F64, partition: int = 0) -> F64:
    """(G, K) kW: each group's sum of its sites' (S, K) offer curves; NaN where it has sites and not one known curve."""
    return curve_table(hierarchy, offers_kw, partition).offers_kw


def add_curves(tables: Sequence[CurveTable]) -> CurveTable:
    """The groups' whole out of their parts; a table of an earlier hierarchy counts as zero for later groups."""
    if not tables:
        raise InvalidInput("curve tables", 0, "must be 1 or more")
    largest = max(tables, key=lambda table: table.sites.size)
    sums, sites, known = np.zeros_like(largest.sum_kw), np.zeros_like(largest.sites), np.zeros_like(largest.known)
    for table in tables:
        sums[: table.sites.size] += table.sum_kw
        sites[: table.sites.size] += table.sites
        known[: table.sites.size] += table.known
    return CurveTable(sums, sites, known)


@kernel
def _curves(feeder: I32, offers_kw: F64, parent: I32) -> tuple[F64, I64, I64]:
    prices = offers_kw.shape[1]
    sums = np.zeros((parent.size, prices))
    sites, known = np.zeros(parent.size, np.int64), np.zeros(parent.size, np.int64)
    for site in range(feeder.size):
        group = feeder[site]
        sites[group] += 1
        if not np.isnan(offers_kw[site].sum()):
            known[group] += 1
            for k in range(prices):
                sums[group, k] += offers_kw[site, k]
    for group in range(parent.size - 1, 0, -1):
        above = parent[group]
        sites[above] += sites[group]
        known[above] += known[group]
        sums[above] += sums[group]
    return sums, sites, known
