"""Groups by name, so that what several partitions' hierarchies number differently can be put together.

A hierarchy's ids last as long as its process; a group's name is what lasts for ever. A `Roll` is what of a hierarchy
concerns others: its groups and the classes that may fail. `Union` numbers the groups of many rolls, each once, and adds
their tables up. Invariants: ids of a union are only appended, a parent before its children; adding tables of one roll
changes nothing. Must not know sites.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import msgspec
import numpy as np

from powerflock.domain.arrays import F64, I32, I64
from powerflock.groups.failures import Pairs
from powerflock.groups.hierarchy import Hierarchy, Level
from powerflock.groups.sums import GroupTable


class Roll(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """G groups: `names`, the `parents`' ids (−1: none) and `levels`; `classes` that may fail, P pairs of both."""

    names: tuple[str, ...] = ("portfolio",)
    parents: tuple[int, ...] = (-1,)
    levels: tuple[int, ...] = (int(Level.PORTFOLIO),)
    classes: tuple[str, ...] = ()
    pair_groups: tuple[int, ...] = ()
    pair_classes: tuple[int, ...] = ()

    @staticmethod
    def of(hierarchy: Hierarchy) -> Roll:
        """What others need to know of the hierarchy."""
        pairs = hierarchy.failures.pairs
        return Roll(
            hierarchy.names,
            tuple(hierarchy.parent.tolist()),
            tuple(hierarchy.level.tolist()),
            pairs.names,
            tuple(pairs.group.tolist()),
            tuple(pairs.cls.tolist()),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Where the rows of one roll go in the union: `groups` (G,) and `pairs` (P,)."""

    groups: I64
    pairs: I64


class Union:
    """All groups and pairs met so far. `names`, `parent`, `level` by group id; `pairs` as of now."""

    def __init__(self) -> None:
        """The portfolio alone."""
        own = Roll()
        self.id_of = {own.names[0]: 0}
        self.names, self.parents, self.levels = list(own.names), list(own.parents), list(own.levels)
        self._class_of: dict[str, int] = {}
        self._pairs: dict[tuple[int, int], int] = {}
        self._order: I64 = np.zeros(0, np.int64)
        self.pairs = Pairs.of((), np.zeros(0, np.int32), np.zeros(0, np.int32))
        self._known: dict[Roll, Rows] = {}

    @property
    def groups(self) -> int:
        """The number of groups."""
        return len(self.names)

    @property
    def level(self) -> I32:
        """(G,) the groups' levels."""
        return np.array(self.levels, np.int32)

    def rows(self, roll: Roll) -> Rows:
        """Where the roll's rows go, taking in what is new; its `pairs` are in the order of arrival, see `add`."""
        known = self._known.get(roll)
        if known is not None:
            return known
        groups = np.array([self._group(roll, row) for row in range(len(roll.names))], np.int64)
        classes = [self._class_of.setdefault(name, len(self._class_of)) for name in roll.classes]
        before = len(self._pairs)
        pairs = [
            self._pairs.setdefault((int(groups[group]), classes[cls]), len(self._pairs))
            for group, cls in zip(roll.pair_groups, roll.pair_classes, strict=True)
        ]
        if len(self._pairs) > before:
            self._sort()
        if len(self._known) >= 4 * 1024:
            self._known.clear()
        self._known[roll] = found = Rows(groups, np.array(pairs, np.int64))
        return found

    def add(self, parts: Sequence[tuple[Rows, GroupTable]]) -> GroupTable:
        """The groups' whole out of their parts."""
        names = [item.name for item in fields(GroupTable)]
        sums = {
            name: np.zeros(len(self._pairs) if name.startswith("class_") else self.groups) for name in names
        }  # fmt: skip
        for rows, table in parts:
            for name, total in sums.items():
                where = rows.pairs if name.startswith("class_") else rows.groups
                total[where] += getattr(table, name)  # a roll names each of its rows once
        return GroupTable(
            **{name: total[self._order] if name.startswith("class_") else total for name, total in sums.items()}
        )

    def add_rows(self, parts: Sequence[tuple[I64, F64]], rows: int) -> F64:
        """(rows, K) sums of the parts' (N, K), each put into the (N,) rows named with it."""
        prices = parts[0][1].shape[1] if parts else 0
        total = np.zeros((rows, prices))
        for where, values in parts:
            total[where] += values
        return total

    def add_pairs(self, parts: Sequence[tuple[I64, F64]]) -> F64:
        """(P, K) sums over pairs, in the order of `pairs`."""
        return np.asarray(self.add_rows(parts, len(self._pairs))[self._order])

    def _group(self, roll: Roll, row: int) -> int:
        """The union's id of the roll's group, given now if it is new; parents come first in every roll."""
        name, parent = roll.names[row], roll.parents[row]
        if name not in self.id_of:
            self.id_of[name] = len(self.names)
            self.names.append(name)
            self.parents.append(self.id_of[roll.names[parent]] if parent >= 0 else -1)
            self.levels.append(roll.levels[row])
        return self.id_of[name]

    def _sort(self) -> None:
        """Pairs group by group, as sums over them need."""
        found = np.array(list(self._pairs), np.int64).reshape(-1, 2)
        self._order = np.lexsort((found[:, 1], found[:, 0]))
        groups, classes = found[self._order].astype(np.int32).T
        self.pairs = Pairs.of(tuple(self._class_of), np.ascontiguousarray(groups), np.ascontiguousarray(classes))
