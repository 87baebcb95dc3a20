"""What may fail together: the sites of one gateway, region, link provider or firmware; and how much of a group each is.

Invariants: a class is a kind and a name, `provider:northnet`; a site is in at most one class of each kind. A kind of
which a group has a single class is left out for that group: nothing is spread there, and what is lost with the class is
the group itself. Must not know telemetry nor prices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from powerflock.domain.arrays import I32, I64
from powerflock.domain.registry import Place

KINDS = ("gateway", "provider", "firmware", "region")
"""The fields of a place that name what may fail; the last is that of a whole leaf."""


@dataclass(frozen=True, slots=True, eq=False)
class Failures:
    """K classes by `names`, P pairs of a group and a class in it by `pair_group`, `pair_class` (P,), ordered by group.

    Sums go from sites to L parts, a leaf's share of a class, and from part l to the pairs
    `part_pairs[part_start[l] : part_start[l + 1]]`. `place_parts` (C, 3) are the parts of each place's sites by kind;
    where a place names nothing of a kind it is L, which no pair has. `leaf_part` is the part that a leaf is as a whole:
    its region's.
    """

    names: tuple[str, ...]
    pair_group: I32
    pair_class: I32
    part_start: I64
    part_pairs: I32
    place_parts: I32
    leaf_part: I32

    @staticmethod
    def of(places: Sequence[Place], leaf: I32, leaf_start: I64, leaf_groups: I32) -> Failures:
        """The classes of `places` (C of them) in `leaf` (C,), each leaf held by the groups of the CSR."""
        names, kinds, classes = _classes(places)
        count, width = len(names), leaf_groups.max(initial=0) + 1
        key = np.where(classes >= 0, leaf[:, None].astype(np.int64) * max(count, 1) + classes, -1)
        parts, place_parts = np.unique(key, return_inverse=True)
        if parts.size and parts[0] < 0:  # the places that name nothing of a kind
            parts, place_parts = parts[1:], np.where(place_parts == 0, parts.size - 1, place_parts - 1)
        part_leaf, part_class = parts // max(count, 1), parts % max(count, 1)
        held = np.diff(leaf_start)[part_leaf]
        at = np.repeat(np.arange(parts.size), held)
        group = leaf_groups[_ranges(leaf_start[part_leaf], held)].astype(np.int64)
        kind = kinds[part_class][at]
        pairs, pair = np.unique(group * max(count, 1) + part_class[at], return_inverse=True)
        of_kind = np.zeros((width, len(KINDS)), np.int64)
        np.add.at(of_kind, (pairs // max(count, 1), kinds[pairs % max(count, 1)]), 1)
        kept = of_kind[group, kind] > 1
        spread = np.unique(pair[kept])
        renumbered = np.zeros(pairs.size, np.int64)
        renumbered[spread] = np.arange(spread.size)
        starts = np.concatenate(([0], np.cumsum(np.bincount(at[kept], minlength=parts.size)))).astype(np.int64)
        place_parts = place_parts.reshape(len(places), len(KINDS)).astype(np.int32)
        leaf_part = np.zeros(leaf_start.size - 1, np.int32)
        leaf_part[leaf] = place_parts[:, -1]
        return Failures(
            names,
            (pairs[spread] // max(count, 1)).astype(np.int32),
            (pairs[spread] % max(count, 1)).astype(np.int32),
            starts,
            renumbered[pair[kept]].astype(np.int32),
            np.ascontiguousarray(place_parts[:, :-1], np.int32),
            leaf_part,
        )

    @property
    def pairs(self) -> int:
        """P."""
        return self.pair_group.size

    @property
    def parts(self) -> int:
        """L."""
        return self.part_start.size - 1


def _classes(places: Sequence[Place]) -> tuple[tuple[str, ...], I64, I64]:
    """The classes' names, their kinds (K,), and each place's class of each kind (C, 4), -1 where it names none."""
    ids: dict[str, int] = {}
    kinds: list[int] = []
    found = np.full((len(places), len(KINDS)), -1, np.int64)
    for kind, field in enumerate(KINDS):
        for row, place in enumerate(places):
            name = getattr(place, field)
            if not name:
                continue
            label = f"{field}:{name}"
            if label not in ids:
                ids[label] = len(ids)
                kinds.append(kind)
            found[row, kind] = ids[label]
    return tuple(ids), np.array(kinds, np.int64), found


def _ranges(start: I64, length: I64) -> I64:
    """All of `start[i] … start[i] + length[i] − 1`, one after another."""
    ends = np.cumsum(length)
    steps: I64 = np.arange(int(ends[-1]) if ends.size else 0, dtype=np.int64)
    return np.asarray(steps + np.repeat(start - (ends - length), length), np.int64)
