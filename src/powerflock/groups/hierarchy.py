"""All groups over all partitions' sites: the network's tree, portfolio → region → … → feeder, and sets across it.

A feeder's sites that are in the same sets form a leaf. Sums go from sites to leaves, and from leaves to every group
above them. Invariants: group ids are given once and only appended, a parent before its children; every partition uses
the same ids, so the partitions' tables add up. Sites come in any order and may move. Ids last as long as the process; a
group's name is what lasts for ever. Must not know telemetry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from powerflock.domain.arrays import I32, I64, U8, Bools
from powerflock.domain.registry import Place, SiteTable
from powerflock.groups.failures import Failures

PORTFOLIO = 0
"""The id of the root; its parent is -1, as a set's is."""
SET_PREFIX = "set:"
"""What the names of sets begin with; no place in the tree can."""


class Level(IntEnum):
    """What a group is; an area lies between region and feeder."""

    PORTFOLIO = 0
    REGION = 1
    FEEDER = 2
    AREA = 3
    SET = 4


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """A partition's sites cell by cell, leaf after leaf; a cell's C sites go to the same leaf and parts, `rows` (C, 4).

    Cell c has the sites `sites[start[c] : start[c + 1]]`, ascending.
    """

    sites: I32
    start: I64
    rows: I32

    @staticmethod
    def of(rows: I32, cell: I32) -> Cells:
        """The cells with such `rows` (C, 4) that the sites with these `cell` (S,) are in."""
        order = np.argsort(rows[:, 0], kind="stable")
        rank = np.empty_like(order)
        rank[order] = np.arange(order.size)
        start = np.concatenate(([0], np.cumsum(np.bincount(cell, minlength=order.size)[order])))
        return Cells(np.argsort(rank[cell], kind="stable").astype(np.int32), start, rows[order])


@dataclass(frozen=True, slots=True, eq=False)
class Hierarchy:
    """G groups by id: `names`, `parent` (G,), `level` (G,), `depth` (G,) below the portfolio.

    For each partition `feeder_of_site` (S,) are group ids, and `rows_of_site` (S, 4) say where a site's numbers go: its
    leaf, and its parts of what may fail (see `failures`); `cells` has the same sites in that order. The groups that
    hold leaf l are `leaf_groups[leaf_start[l] : leaf_start[l + 1]]`.
    """

    names: tuple[str, ...]
    parent: I32
    level: U8
    depth: U8
    feeder_of_site: tuple[I32, ...]
    rows_of_site: tuple[I32, ...]
    cells: tuple[Cells, ...]
    leaf_start: I64
    leaf_groups: I32
    failures: Failures
    id_of: dict[str, int] = field(repr=False)
    leaf_of: dict[tuple[int, ...], int] = field(repr=False)
    place_of: dict[Place, tuple[int, int]] = field(repr=False)

    @staticmethod
    def of(tables: Sequence[SiteTable]) -> Hierarchy:
        """The groups of all partitions' `tables`, in partition order."""
        return _Growing().grown(tables)

    @property
    def groups(self) -> int:
        """G, the number of groups."""
        return len(self.names)

    @property
    def leaves(self) -> int:
        """The number of leaves."""
        return self.leaf_start.size - 1

    def members(self, group: int, partition: int) -> Bools:
        """(S,) the partition's sites that are in the group."""
        inside: Bools = np.zeros(self.leaves, np.bool_)
        inside[np.searchsorted(self.leaf_start, np.flatnonzero(self.leaf_groups == group), side="right") - 1] = True
        found: Bools = inside[self.rows_of_site[partition][:, 0]]
        return found

    def grow(self, tables: Sequence[SiteTable]) -> Hierarchy:
        """The groups after an enrolment: groups and cells known so far keep their ids, new ones follow them."""
        return _Growing(self).grown(tables)


class _Growing:
    """A hierarchy on its way to the next one."""

    def __init__(self, known: Hierarchy | None = None) -> None:
        """From what is known so far, or from the portfolio alone."""
        self._known = known
        self._id_of = dict(known.id_of) if known else {"portfolio": PORTFOLIO}
        self._names = list(known.names) if known else ["portfolio"]
        self._parent: list[int] = known.parent.tolist() if known else [-1]
        self._level: list[int] = known.level.tolist() if known else [Level.PORTFOLIO]
        self._depth: list[int] = known.depth.tolist() if known else [0]
        self._leaf_of = dict(known.leaf_of) if known else {}
        self._place_of = dict(known.place_of) if known else {}
        self._chain_of: dict[tuple[str, ...], tuple[int, ...]] = {}

    def grown(self, tables: Sequence[SiteTable]) -> Hierarchy:
        """With the places of `tables` added."""
        before = len(self._place_of)
        places = [np.array([self._place(place) for place in table.places], np.int64) for table in tables]
        leaf = np.array([leaf for _, leaf in self._place_of.values()], np.int32)
        feeder = np.array([groups[0] for groups in self._leaf_of], np.int32)
        counts = np.array([len(groups) for groups in self._leaf_of], np.int64)
        start = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        groups = np.array([group for groups in self._leaf_of for group in groups], np.int32)
        if self._known is not None and len(self._place_of) == before:
            failures = self._known.failures
        else:
            failures = Failures.of(list(self._place_of), leaf, start, groups)
        rows = np.column_stack((leaf, failures.place_parts)).astype(np.int32)
        of_site = [own[table.place] for own, table in zip(places, tables, strict=True)]
        return Hierarchy(
            names=tuple(self._names),
            parent=np.array(self._parent, np.int32),
            level=np.array(self._level, np.uint8),
            depth=np.array(self._depth, np.uint8),
            feeder_of_site=tuple(feeder[leaf[place]] for place in of_site),
            rows_of_site=tuple(np.ascontiguousarray(rows[place]) for place in of_site),
            cells=tuple(Cells.of(rows[own], table.place) for own, table in zip(places, tables, strict=True)),
            leaf_start=start,
            leaf_groups=groups,
            failures=failures,
            id_of=self._id_of,
            leaf_of=self._leaf_of,
            place_of=self._place_of,
        )

    def _place(self, place: Place) -> int:
        """The number of the place, given now if it is new."""
        if place not in self._place_of:
            groups = self._groups_of(place)
            leaf = self._leaf_of.setdefault(groups, len(self._leaf_of))
            self._place_of[place] = len(self._place_of), leaf
        return self._place_of[place][0]

    def _groups_of(self, place: Place) -> tuple[int, ...]:
        """The feeder first, then all groups above it, then the sets."""
        way = (place.region, *place.path, place.feeder)
        if way not in self._chain_of:
            self._chain_of[way] = self._chain(way)
        return (*self._chain_of[way], *(self._group(SET_PREFIX + _escaped(each), -1, Level.SET) for each in place.sets))

    def _chain(self, way: tuple[str, ...]) -> tuple[int, ...]:
        """The groups on the `way` from a region through areas to a feeder, from the feeder up to the portfolio."""
        levels = [Level.REGION, *(Level.AREA for _ in way[1:-1]), Level.FEEDER]
        chain, name = [PORTFOLIO], ""
        for step, level in zip(way, levels, strict=True):
            name = f"{name}/{_escaped(step)}" if name else _escaped(step)
            chain.append(self._group(name, chain[-1], level))
        return tuple(reversed(chain))

    def _group(self, name: str, above: int, level: Level) -> int:
        """The id of the group, given now if it is new."""
        if name in self._id_of and self._level[self._id_of[name]] != level:
            name += "/"  # a feeder with the path of an area: two groups all the same
        if name not in self._id_of:
            self._id_of[name] = len(self._names)
            self._names.append(name)
            self._parent.append(above)
            self._level.append(level)
            self._depth.append(self._depth[above] + 1 if above >= 0 else 0)
        return self._id_of[name]


def _escaped(name: str) -> str:
    """A name in which `/` and `:` stand for nothing else than the steps of the tree and the sets' prefix."""
    return name.replace("%", "%25").replace("/", "%2F").replace(":", "%3A")
