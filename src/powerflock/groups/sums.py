"""Sites summed into groups: power with its uncertainty, energy, capacity to move and how long it lasts, coverage.

Invariants: all is summed afresh each time, sites into leaves and leaves into groups, so nothing drifts; what is unknown
is left out of a sum and counted, never taken for zero; a sum of which no part is known is NaN; tables of the same
hierarchy add up in any order to what one table of all sites would be. Must not know markets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from powerflock.curve.jit import kernel
from powerflock.curve.prefetch import LINE_BYTES, prefetch
from powerflock.domain.arrays import F64, I32, I64, U8, Bools
from powerflock.domain.clock import MICROS_PER_HOUR
from powerflock.domain.errors import InvalidInput
from powerflock.groups.capacity import LASTING_US, RESERVE_US, move_down, move_up
from powerflock.groups.failures import KINDS
from powerflock.groups.hierarchy import Hierarchy
from powerflock.twins.estimate import SiteColumns


@dataclass(frozen=True, slots=True, eq=False)
class GroupTable:
    """(G,) float64 columns by group id, each additive over sites; passive signs. Counts are whole numbers of sites.

    `known` sites have a known power; of the sites with a battery, `energy_known` have a known energy, and only theirs
    counts in `capacity_kwh`. The `..._kw` of fresh, stale, silent and unreachable sites are the batteries' nameplate
    power, in all `rated_kw`. What can be relied on, from sites in reach only: `up_kw` and `down_kw` for five minutes,
    `raise_kw` and `lower_kw` for one (a frequency reserve's headroom), and the energy behind them at the meter,
    `up_kwh` and `down_kwh`. `class_up_kw` and `class_down_kw` (P,) are the parts of `up_kw` and `down_kw` that are in
    each pair of a group and a failure class.
    """

    sites: F64
    known: F64
    fresh: F64
    stale: F64
    silent: F64
    unreachable: F64
    batteries: F64
    energy_known: F64
    power_sum_kw: F64
    variance_kw2: F64
    common_kw: F64
    stored_sum_kwh: F64
    capacity_kwh: F64
    up_kw: F64
    down_kw: F64
    raise_kw: F64
    lower_kw: F64
    up_kwh: F64
    down_kwh: F64
    fresh_kw: F64
    stale_kw: F64
    silent_kw: F64
    unreachable_kw: F64
    class_up_kw: F64
    class_down_kw: F64

    @property
    def power_kw(self) -> F64:
        """Net power of the sites whose power is known; NaN where a group has sites and none is."""
        return np.where((self.known == 0) & (self.sites > 0), np.nan, self.power_sum_kw)

    @property
    def std_kw(self) -> F64:
        """Standard deviation of `power_kw`: the sites' own doubts add as independent, what is common to all adds up."""
        std = np.sqrt(self.variance_kw2 + self.common_kw**2)
        return np.asarray(np.where(np.isnan(self.power_kw), np.nan, std))

    @property
    def stored_kwh(self) -> F64:
        """Energy in the batteries where it is known; NaN where a group has batteries and none is."""
        return np.where((self.energy_known == 0) & (self.batteries > 0), np.nan, self.stored_sum_kwh)

    @property
    def rated_kw(self) -> F64:
        """The batteries' nameplate power."""
        return self.fresh_kw + self.stale_kw + self.silent_kw

    @property
    def coverage_ratio(self) -> F64:
        """Share of the sites that is fresh; NaN for a group without sites."""
        return _ratio(self.fresh, self.sites)

    @property
    def coverage_kw_ratio(self) -> F64:
        """Share of the batteries' nameplate power that is at fresh sites; NaN for a group without batteries."""
        return _ratio(self.fresh_kw, self.rated_kw)

    @property
    def up_h(self) -> F64:
        """How long `up_kw` lasts on the energy above the reserves; NaN where there is none."""
        return _ratio(self.up_kwh, self.up_kw)

    @property
    def down_h(self) -> F64:
        """How long `down_kw` lasts until the batteries are full; NaN where there is none."""
        return _ratio(self.down_kwh, self.down_kw)


_NAMES = tuple(item.name for item in fields(GroupTable))
_COLUMNS = len(_NAMES) - 2
(
    _SITES, _KNOWN, _FRESH, _STALE, _SILENT, _UNREACHABLE, _BATTERIES, _ENERGY_KNOWN, _POWER, _VARIANCE, _COMMON,
    _STORED, _CAPACITY, _UP, _DOWN, _RAISE, _LOWER, _UP_KWH, _DOWN_KWH, _FRESH_KW, _STALE_KW, _SILENT_KW,
    _UNREACHABLE_KW,
) = range(_COLUMNS)  # fmt: skip
_ROWS = len(KINDS)
"""A site's rows: its leaf, and a part for each kind but the region, which is the leaf's. Known here, loops unroll."""
_AHEAD, _LINE = 8, LINE_BYTES // 8
"""How many sites ahead the rows they go to are fetched: a million sites in any order then take 24 ms instead of 28."""
_LASTING_H, _RESERVE_H = LASTING_US / MICROS_PER_HOUR, RESERVE_US / MICROS_PER_HOUR


def group_sums(hierarchy: Hierarchy, columns: SiteColumns, partition: int = 0) -> GroupTable:
    """Every group's part that lies in `partition`, whose sites are `columns`."""
    rows, table, failures = rows_of(hierarchy, partition, columns.meter_kw.size), columns.table, hierarchy.failures
    leaves, parts = np.zeros((hierarchy.leaves, _COLUMNS)), np.zeros((failures.parts + 1, 2))
    _accumulate(
        rows, columns.freshness, columns.reachable, columns.meter_kw, columns.meter_std_kw, columns.common_ratio,
        columns.battery_kw, columns.stored_kwh, columns.capacity_kwh, columns.charge_limit_kw,
        columns.discharge_limit_kw, table.capacity_kwh, table.reserve_kwh, table.charge_limit_kw,
        table.discharge_limit_kw, table.charge_efficiency_ratio, table.discharge_efficiency_ratio,
        table.import_limit_kw, table.export_limit_kw, leaves, parts,
    )  # fmt: skip
    sums, classes = np.zeros((hierarchy.groups, _COLUMNS)), np.zeros((failures.pairs.size, 2))
    roll_up(hierarchy.leaf_start, hierarchy.leaf_groups, leaves, sums)
    parts[failures.leaf_part] = leaves[:, [_UP, _DOWN]]
    roll_up(failures.part_start, failures.part_pairs, parts[:-1], classes)
    return GroupTable(*np.ascontiguousarray(sums.T), *np.ascontiguousarray(classes.T))


def add(tables: Sequence[GroupTable]) -> GroupTable:
    """The groups' whole out of their parts, which must be of one hierarchy."""
    if not tables:
        raise InvalidInput("group tables", 0, "must be 1 or more")
    sizes = {(table.sites.size, table.class_up_kw.size) for table in tables}
    if len(sizes) > 1:
        raise InvalidInput("group tables' groups", sorted(sizes), "must be of one hierarchy")
    return GroupTable(*(np.sum([getattr(table, name) for table in tables], axis=0) for name in _NAMES))


def rows_of(hierarchy: Hierarchy, partition: int, sites: int) -> I32:
    """(S, 4) where the numbers of the partition's `sites` go; `InvalidInput` where the hierarchy has not so many."""
    if not 0 <= partition < len(hierarchy.rows_of_site):
        raise InvalidInput("partition", partition, f"must lie between 0 and {len(hierarchy.rows_of_site) - 1}")
    rows = hierarchy.rows_of_site[partition]
    if rows.shape[0] != sites:
        raise InvalidInput("sites in the columns", sites, f"must be the hierarchy's {rows.shape[0]}", "Grow it first.")
    return rows


def _ratio(part: F64, whole: F64) -> F64:
    return np.divide(part, whole, out=np.full_like(whole, np.nan), where=whole > 0)


@kernel
def _accumulate(
    rows: I32, freshness: U8, reachable: Bools, meter_kw: F64, meter_std_kw: F64, common_ratio: float, battery_kw: F64,
    stored_kwh: F64, full_kwh: F64, charge_limit_kw: F64, discharge_limit_kw: F64, plate_kwh: F64, reserve_kwh: F64,
    plate_charge_kw: F64, plate_discharge_kw: F64, charge_ratio: F64, discharge_ratio: F64, import_limit_kw: F64,
    export_limit_kw: F64, leaves: F64, parts: F64,
) -> None:  # fmt: skip
    """Add each site to its leaf's row of `leaves`, and its up and down power to its `parts` (L + 1, 2)."""
    common, last = np.sqrt(common_ratio), rows.shape[0] - 1
    for site in range(rows.shape[0]):
        soon = min(site + _AHEAD, last)
        for column in range(0, _COLUMNS, _LINE):
            prefetch(leaves, rows[soon, 0], column)
        for kind in range(1, _ROWS):
            prefetch(parts, rows[soon, kind])
        leaf, fresh = rows[site, 0], freshness[site]
        leaves[leaf, _SITES] += 1.0
        leaves[leaf, _FRESH + fresh] += 1.0
        meter = meter_kw[site]
        if not np.isnan(meter):
            leaves[leaf, _KNOWN] += 1.0
            leaves[leaf, _POWER] += meter
            leaves[leaf, _VARIANCE] += (1.0 - common_ratio) * meter_std_kw[site] * meter_std_kw[site]
            leaves[leaf, _COMMON] += common * meter_std_kw[site]
        if not reachable[site]:
            leaves[leaf, _UNREACHABLE] += 1.0
        if plate_kwh[site] == 0.0:
            continue
        leaves[leaf, _BATTERIES] += 1.0
        rated_kw = max(plate_charge_kw[site], plate_discharge_kw[site])
        leaves[leaf, _FRESH_KW + fresh] += rated_kw
        stored = stored_kwh[site]
        if not np.isnan(stored):
            leaves[leaf, _ENERGY_KNOWN] += 1.0
            leaves[leaf, _STORED] += stored
            leaves[leaf, _CAPACITY] += full_kwh[site]
        if not reachable[site]:
            leaves[leaf, _UNREACHABLE_KW] += rated_kw
        elif not np.isnan(meter + stored + battery_kw[site]):
            power, above, room = battery_kw[site], stored - reserve_kwh[site], full_kwh[site] - stored
            limit, ratio, edge = discharge_limit_kw[site], discharge_ratio[site], export_limit_kw[site]
            up_kw = move_up(power, meter, above, limit, ratio, edge, _LASTING_H)
            leaves[leaf, _RAISE] += move_up(power, meter, above, limit, ratio, edge, _RESERVE_H)
            leaves[leaf, _UP_KWH] += max(above, 0.0) * ratio
            limit, ratio, edge = charge_limit_kw[site], charge_ratio[site], import_limit_kw[site]
            down_kw = move_down(power, meter, room, limit, ratio, edge, _LASTING_H)
            leaves[leaf, _LOWER] += move_down(power, meter, room, limit, ratio, edge, _RESERVE_H)
            leaves[leaf, _DOWN_KWH] += max(room, 0.0) / ratio
            leaves[leaf, _UP] += up_kw
            leaves[leaf, _DOWN] += down_kw
            for kind in range(1, _ROWS):
                parts[rows[site, kind], 0] += up_kw
                parts[rows[site, kind], 1] += down_kw


@kernel
def roll_up(start: I64, above: I32, low: F64, high: F64) -> None:
    """Add every row i of `low` (N, columns) to the rows `above[start[i] : start[i + 1]]` of `high`."""
    for row in range(low.shape[0]):
        own = low[row]
        for at in range(start[row], start[row + 1]):
            total = high[above[at]]
            for column in range(own.size):
                total[column] += own[column]
