"""The network's tree over all partitions' sites: portfolio → region → feeder.

Invariants: group ids are given once and only appended, a parent before its children; every partition uses the same ids,
so the partitions' tables add up. Sites come in any order and may move between feeders. Ids last as long as the
process; a group's name is what lasts for ever. Must not know telemetry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from powerflock.domain.arrays import I32, U8
from powerflock.domain.registry import Place, SiteTable

PORTFOLIO = 0
"""The id of the root; its parent is -1."""


class Level(IntEnum):
    """How high in the tree a group is."""

    PORTFOLIO = 0
    REGION = 1
    FEEDER = 2


@dataclass(frozen=True, slots=True, eq=False)
class Hierarchy:
    """G groups by id: `names`, `parent` (G,), `level` (G,); and for each partition `feeder_of_site` (S,) group ids.

    A feeder's name carries its region, so feeders of the same name in two regions are two groups.
    """

    names: tuple[str, ...]
    parent: I32
    level: U8
    feeder_of_site: tuple[I32, ...]
    id_of: dict[str, int]

    @staticmethod
    def of(tables: Sequence[SiteTable]) -> Hierarchy:
        """The tree of all partitions' `tables`, in partition order."""
        root = Hierarchy(("portfolio",), np.array([-1], np.int32), np.array([Level.PORTFOLIO], np.uint8), (), {})
        return root.grow(tables)

    @property
    def groups(self) -> int:
        """G, the number of groups."""
        return len(self.names)

    def grow(self, tables: Sequence[SiteTable]) -> Hierarchy:
        """The tree after an enrolment: groups known so far keep their ids, new ones follow them."""
        names, parent, level = list(self.names), self.parent.tolist(), self.level.tolist()
        id_of = dict(self.id_of)

        def group(name: str, above: int, at: Level) -> int:
            if name not in id_of:
                id_of[name] = len(names)
                names.append(name)
                parent.append(above)
                level.append(at)
            return id_of[name]

        def feeder(place: Place) -> int:
            region = group(_escaped(place.region), PORTFOLIO, Level.REGION)
            return group(f"{names[region]}/{_escaped(place.feeder)}", region, Level.FEEDER)

        ids = [np.array([feeder(place) for place in table.places], np.int32) for table in tables]
        of_site = tuple(own[table.place] for own, table in zip(ids, tables, strict=True))
        return Hierarchy(tuple(names), np.array(parent, np.int32), np.array(level, np.uint8), of_site, id_of)


def _escaped(name: str) -> str:
    """A name in which `/` stands for nothing else than the step from region to feeder."""
    return name.replace("%", "%25").replace("/", "%2F")
