"""What of a partition's sites only changes with the registry: their ids in order, their places' names, who has panels.

Invariants: made when first asked for after the registry has changed, never per turn or per question; ids only when
sites were added. Made by one thread at a time, read by any.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from powerflock.domain.arrays import Bools
from powerflock.domain.columns import DeviceKind
from powerflock.domain.registry import Registry, SiteTable
from powerflock.twins.query import SiteIds


@dataclass(frozen=True, slots=True, eq=False)
class Listed:
    """The (S,) sites of one table: `ids`, `places` (P,) as lower-case text to search, and `has_solar` (S,)."""

    table: SiteTable
    ids: SiteIds
    places: pa.Array
    has_solar: Bools

    @staticmethod
    def of(table: SiteTable, ids: SiteIds) -> Listed:
        """Of the sites of `table`, which are `ids`."""
        places = pa.array([f"{place.feeder} {place.region}" for place in table.places], pa.string())
        has_solar: Bools = np.zeros(table.sites, np.bool_)
        has_solar[table.device_site[table.device_kind == DeviceKind.SOLAR]] = True
        return Listed(table, ids, pc.utf8_lower(places), has_solar)

    def containing(self, part: str) -> Bools:
        """(S,) sites that hold `part` in their id, feeder or region, whatever its case."""
        found = self.ids.containing(part)
        near: Bools = pc.match_substring(self.places, part.lower()).to_numpy(zero_copy_only=False)
        return found | near[self.table.place] if near.any() else found


@dataclass(slots=True)
class Directory:
    """The sites of every partition of a registry."""

    registry: Registry
    _known: dict[int, Listed] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def of(self, partition: int, table: SiteTable) -> Listed:
        """The sites of the partition's `table`."""
        with self._lock:
            known = self._known.get(partition)
            if known is not None and known.table is table:
                return known
            if known is not None and known.table.sites == table.sites:
                ids = known.ids
            else:
                ids = SiteIds.of([spec.site for spec in self.registry.specs(partition)[: table.sites]])
            listed = self._known[partition] = Listed.of(table, ids)
            return listed
