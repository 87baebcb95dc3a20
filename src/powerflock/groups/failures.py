"""What may fail together: the sites of one gateway, region, link provider or firmware; and how much of a group each is.

Invariants: a class is a kind and a name, `provider:northnet`; a site is in at most one class of each kind. A kind of
which a group has a single class says nothing of that group: nothing is spread there, and what is lost with the class is
the group itself. Must not know telemetry nor prices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from powerflock.domain.arrays import I32, I64, Bools
from powerflock.domain.registry import Place

KINDS = ("gateway", "provider", "firmware", "region")
"""The fields of a place that name what may fail; the last is that of a whole leaf."""


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """P pairs of a group and a class in it, `group` and `cls` (P,), ordered by group; K classes by `names`.

    `spread` (P,) are those of a kind of which the group has several classes: only they count as failures of it.
    """

    names: tuple[str, ...]
    group: I32
    cls: I32
    spread: Bools

    @staticmethod
    def of(names: tuple[str, ...], group: I32, cls: I32) -> Pairs:
        """The pairs of `names`, each `kind:name`."""
        kind = np.array([KINDS.index(name.partition(":")[0]) for name in names], np.int64)
        several = np.zeros((int(group.max(initial=-1)) + 1, len(KINDS)), np.int64)
        np.add.at(several, (group, kind[cls]), 1)
        return Pairs(names, group, cls, several[group, kind[cls]] > 1)

    @property
    def size(self) -> int:
        """P."""
        return self.group.size

    def of_group(self, group: int) -> Pairs:
        """The pairs of one group alone, which is then number 0."""
        own = self.group == group
        return Pairs(self.names, np.zeros(int(own.sum()), np.int32), self.cls[own], self.spread[own])


@dataclass(frozen=True, slots=True, eq=False)
class Failures:
    """The `pairs` of a group and a class in it, and how sites' numbers get there.

    Sums go from sites to L parts, a leaf's share of a class, and from part l to the pairs
    `part_pairs[part_start[l] : part_start[l + 1]]`. `place_parts` (C, 3) are the parts of each place's sites by kind;
    where a place names nothing of a kind it is L, which no pair has. `leaf_part` is the part that a leaf is as a whole:
    its region's.
    """

    pairs: Pairs
    part_start: I64
    part_pairs: I32
    place_parts: I32
    leaf_part: I32

    @staticmethod
    def of(places: Sequence[Place], leaf: I32, leaf_start: I64, leaf_groups: I32) -> Failures:
        """The classes of `places` (C of them) in `leaf` (C,), each leaf held by the groups of the CSR."""
        names, classes = _classes(places)
        count = len(names)
        key = np.where(classes >= 0, leaf[:, None].astype(np.int64) * max(count, 1) + classes, -1)
        parts, place_parts = np.unique(key, return_inverse=True)
        if parts.size and parts[0] < 0:  # the places that name nothing of a kind
            parts, place_parts = parts[1:], np.where(place_parts == 0, parts.size - 1, place_parts - 1)
        part_leaf, part_class = parts // max(count, 1), parts % max(count, 1)
        held = np.diff(leaf_start)[part_leaf]
        at = np.repeat(np.arange(parts.size), held)
        group = leaf_groups[_ranges(leaf_start[part_leaf], held)].astype(np.int64)
        pairs, pair = np.unique(group * max(count, 1) + part_class[at], return_inverse=True)
        starts = np.concatenate(([0], np.cumsum(held))).astype(np.int64)
        place_parts = place_parts.reshape(len(places), len(KINDS)).astype(np.int32)
        leaf_part = np.zeros(leaf_start.size - 1, np.int32)
        leaf_part[leaf] = place_parts[:, -1]
        group_of, class_of = (pairs // max(count, 1)).astype(np.int32), (pairs % max(count, 1)).astype(np.int32)
        return Failures(
            Pairs.of(names, group_of, class_of),
            starts,
            pair.astype(np.int32),
            np.ascontiguousarray(place_parts[:, :-1], np.int32),
            leaf_part,
        )

    @property
    def parts(self) -> int:
        """L."""
        return self.part_start.size - 1


def _classes(places: Sequence[Place]) -> tuple[tuple[str, ...], I64]:
    """The classes' names, and each place's class of each kind (C, 4), -1 where it names none."""
    ids: dict[str, int] = {}
    found = np.full((len(places), len(KINDS)), -1, np.int64)
    for kind, field in enumerate(KINDS):
        for row, place in enumerate(places):
            name = getattr(place, field)
            if not name:
                continue
            label = f"{field}:{name}"
            found[row, kind] = ids.setdefault(label, len(ids))
    return tuple(ids), found


def _ranges(start: I64, length: I64) -> I64:
    """All of `start[i] … start[i] + length[i] − 1`, one after another."""
    ends = np.cumsum(length)
    steps: I64 = np.arange(int(ends[-1]) if ends.size else 0, dtype=np.int64)
    return np.asarray(steps + np.repeat(start - (ends - length), length), np.int64)
