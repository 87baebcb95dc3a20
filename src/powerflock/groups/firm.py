"""What a group can still promise when the largest correlated failure drops out: its firm curve and firm capacity.

When a class of sites is lost (a gateway, a region, a link provider, a firmware) they no longer answer to prices: each
stays at what it does at price 0, and still flows in the total. Let R(p) = curve(p) − curve(0) be a group's movement and
R_c(p) that of class c. The firm curve moves by the least over every single failure: for p > 0 by the greatest of R and
all R − R_c (they are ≤ 0), for p < 0 by the least. Each of these is non-increasing in p and zero at 0, and so is their
greatest or least, hence the firm curve is an offer curve like any other. But a lost site goes on with the command that
it has, which may be far from what it does at price 0: `firm_reach` says how far the others can make up for that. Must
not know telemetry.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from powerflock.curve.grid import PRICE_GRID
from powerflock.curve.jit import kernel
from powerflock.domain.arrays import F64, I32, Bools
from powerflock.groups.curves import CurveTable
from powerflock.groups.failures import Pairs
from powerflock.groups.sums import GroupTable

ZERO = int(np.flatnonzero(PRICE_GRID == 0.0)[0])
"""Where on the grid the coordination price is zero."""
NONE = -1
"""No class: losing any would not matter."""


@dataclass(frozen=True, slots=True, eq=False)
class FirmCapacity:
    """(G,) `up_kw` and `down_kw` that are left after the worst single failure, and the class (G,) that costs most.

    `worst` indexes the classes' `names`; -1 where no failure takes anything.
    """

    up_kw: F64
    down_kw: F64
    worst: I32
    names: tuple[str, ...]


def firm_curves(pairs: Pairs, table: CurveTable, zero: int = ZERO) -> F64:
    """(G, K) kW: the groups' firm curves on the grid of `table`, with price 0 at `zero`; NaN where unknown."""
    firm = table.offers_kw.copy()
    _firm_curves(pairs.group, pairs.spread, table.sum_kw, table.class_kw, zero, firm)
    return firm


def firm_reach(pairs: Pairs, table: CurveTable, held_kw: F64) -> tuple[F64, F64]:
    """(G,) least and most kW (passive) that each group can still be at after any single failure, at whatever price.

    A class that is lost does `held_kw` (P,), the commands that its sites go on to hold; the others answer to the ends
    of the grid. Unbounded where no failure takes anything.
    """
    groups, spread = table.sum_kw.shape[0], pairs.spread
    group = pairs.group[spread]
    left = table.sum_kw[group] - table.class_kw[spread] + held_kw[spread, None]
    least, most = np.full(groups, -np.inf), np.full(groups, np.inf)
    np.maximum.at(least, group, left[:, -1])
    np.minimum.at(most, group, left[:, 0])
    return least, most


def firm_capacity(pairs: Pairs, table: GroupTable) -> FirmCapacity:
    """What is left of each group's `up_kw` and `down_kw` after its worst single failure."""
    groups = table.sites.size
    lost_up, lost_down = np.zeros(groups), np.zeros(groups)
    np.maximum.at(lost_up, pairs.group, table.class_up_kw * pairs.spread)
    np.maximum.at(lost_down, pairs.group, table.class_down_kw * pairs.spread)
    worst = np.full(groups, NONE, np.int32)
    _worst(pairs.group, pairs.cls, (table.class_up_kw + table.class_down_kw) * pairs.spread, worst)
    left_up, left_down = np.maximum(table.up_kw - lost_up, 0.0), np.maximum(table.down_kw - lost_down, 0.0)
    return FirmCapacity(left_up, left_down, worst, pairs.names)


@kernel
def _firm_curves(pair_group: I32, spread: Bools, sum_kw: F64, class_kw: F64, zero: int, firm: F64) -> None:
    for pair in range(pair_group.size):
        group = pair_group[pair]
        if not spread[pair] or np.isnan(firm[group, zero]):
            continue
        still = class_kw[pair, zero]
        for k in range(sum_kw.shape[1]):
            left = sum_kw[group, k] - (class_kw[pair, k] - still)
            if k > zero:
                firm[group, k] = max(firm[group, k], left)
            elif k < zero:
                firm[group, k] = min(firm[group, k], left)


@kernel
def _worst(pair_group: I32, pair_class: I32, moved_kw: F64, worst: I32) -> None:
    """The class that moves most in each group; pairs come group by group."""
    most = 0.0
    for pair in range(pair_group.size):
        if pair == 0 or pair_group[pair] != pair_group[pair - 1]:
            most = 0.0
        if moved_kw[pair] > most:
            most = moved_kw[pair]
            worst[pair_group[pair]] = pair_class[pair]
