"""Sites summed into groups: power with its uncertainty, energy, capacity to move, and coverage.

Invariants: what is unknown is left out of a sum and counted, never taken for zero; a sum of which no part is known is
NaN; tables of the same hierarchy add up in any order to what one table of all sites would be. Must not know markets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from powerflock.curve.jit import kernel
from powerflock.domain.arrays import F64, I32, U8
from powerflock.domain.errors import InvalidInput
from powerflock.groups.capacity import up_down
from powerflock.groups.hierarchy import Hierarchy
from powerflock.twins.estimate import Freshness, SiteColumns

_FRESH = int(Freshness.FRESH)


@dataclass(frozen=True, slots=True, eq=False)
class GroupTable:
    """(G,) float64 columns by group id, each additive over sites; passive signs. Counts are whole numbers of sites.

    `known` sites have a known power; of the sites with a battery, `energy_known` have a known energy, and only theirs
    counts in `capacity_kwh`. `up_kw` and `down_kw` are what can be relied on: unknown and silent sites add nothing.
    `rated_kw` is the batteries' nameplate power, `fresh_kw` the part of it at fresh sites.
    """

    sites: F64
    known: F64
    fresh: F64
    stale: F64
    silent: F64
    batteries: F64
    energy_known: F64
    power_sum_kw: F64
    variance_kw2: F64
    stored_sum_kwh: F64
    capacity_kwh: F64
    up_kw: F64
    down_kw: F64
    rated_kw: F64
    fresh_kw: F64

    @property
    def power_kw(self) -> F64:
        """Net power of the sites whose power is known; NaN where a group has sites and none is."""
        return np.where((self.known == 0) & (self.sites > 0), np.nan, self.power_sum_kw)

    @property
    def std_kw(self) -> F64:
        """Standard deviation of `power_kw`, the sites' errors taken as independent."""
        return np.asarray(np.where(np.isnan(self.power_kw), np.nan, np.sqrt(self.variance_kw2)))

    @property
    def stored_kwh(self) -> F64:
        """Energy in the batteries where it is known; NaN where a group has batteries and none is."""
        return np.where((self.energy_known == 0) & (self.batteries > 0), np.nan, self.stored_sum_kwh)

    @property
    def coverage_ratio(self) -> F64:
        """Share of the sites that is fresh; NaN for a group without sites."""
        return _ratio(self.fresh, self.sites)

    @property
    def coverage_kw_ratio(self) -> F64:
        """Share of the batteries' nameplate power that is at fresh sites; NaN for a group without batteries."""
        return _ratio(self.fresh_kw, self.rated_kw)


def group_sums(hierarchy: Hierarchy, columns: SiteColumns, partition: int = 0) -> GroupTable:
    """Every group's part that lies in `partition`, whose sites are `columns`."""
    feeder = feeders_of(hierarchy, partition, columns.meter_kw.size)
    table, (up_kw, down_kw) = columns.table, up_down(columns)
    sums = np.zeros((hierarchy.groups, len(fields(GroupTable))))
    _accumulate(
        feeder,
        table.capacity_kwh,
        columns.freshness,
        columns.meter_kw,
        columns.meter_std_kw,
        columns.stored_kwh,
        columns.capacity_kwh,
        up_kw,
        down_kw,
        table.charge_limit_kw,
        table.discharge_limit_kw,
        sums,
    )
    _roll_up(hierarchy.parent, sums)
    return GroupTable(*np.ascontiguousarray(sums.T))


def add(tables: Sequence[GroupTable]) -> GroupTable:
    """The groups' whole out of their parts; a table of an earlier hierarchy counts as zero for later groups."""
    if not tables:
        raise InvalidInput("group tables", 0, "must be 1 or more")
    groups = max(table.sites.size for table in tables)
    names = [item.name for item in fields(GroupTable)]
    return GroupTable(**{name: _add([getattr(table, name) for table in tables], groups) for name in names})


def feeders_of(hierarchy: Hierarchy, partition: int, sites: int) -> I32:
    """(S,) the feeder of each of the partition's `sites`; `InvalidInput` where the hierarchy has not so many."""
    if not 0 <= partition < len(hierarchy.feeder_of_site):
        raise InvalidInput("partition", partition, f"must lie between 0 and {len(hierarchy.feeder_of_site) - 1}")
    feeder = hierarchy.feeder_of_site[partition]
    if feeder.size != sites:
        raise InvalidInput("sites in the columns", sites, f"must be the hierarchy's {feeder.size}", "Grow it first.")
    return feeder


def _add(parts: Sequence[F64], groups: int) -> F64:
    whole = np.zeros(groups)
    for part in parts:
        whole[: part.size] += part
    return whole


def _ratio(part: F64, whole: F64) -> F64:
    return np.divide(part, whole, out=np.full_like(whole, np.nan), where=whole > 0)


@kernel
def _accumulate(
    feeder: I32,
    plate_kwh: F64,
    freshness: U8,
    meter_kw: F64,
    meter_std_kw: F64,
    stored_kwh: F64,
    capacity_kwh: F64,
    up_kw: F64,
    down_kw: F64,
    charge_limit_kw: F64,
    discharge_limit_kw: F64,
    sums: F64,
) -> None:
    """Add each site to its feeder's row of `sums` (G, C), whose columns are the table's fields in their order."""
    for site in range(feeder.size):
        group = sums[feeder[site]]
        group[0] += 1.0
        group[2 + freshness[site]] += 1.0
        if not np.isnan(meter_kw[site]):
            group[1] += 1.0
            group[7] += meter_kw[site]
            group[8] += meter_std_kw[site] ** 2
        if plate_kwh[site] > 0.0:
            group[5] += 1.0
            if not np.isnan(stored_kwh[site]):
                group[6] += 1.0
                group[9] += stored_kwh[site]
                group[10] += capacity_kwh[site]
        if not np.isnan(up_kw[site]):
            group[11] += up_kw[site]
        if not np.isnan(down_kw[site]):
            group[12] += down_kw[site]
        rated_kw = max(charge_limit_kw[site], discharge_limit_kw[site])
        group[13] += rated_kw
        if freshness[site] == _FRESH:
            group[14] += rated_kw


@kernel
def _roll_up(parent: I32, sums: F64) -> None:
    """Add every group to the one above it, from the leaves up: a parent's id is lower than its children's."""
    for group in range(parent.size - 1, 0, -1):
        sums[parent[group]] += sums[group]
