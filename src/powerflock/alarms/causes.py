"""What sites may have in common: every group of the network's tree and every class that can fail together.

Invariants: a cause's id is given once and only appended; 0 is the portfolio. Sites of equal `Place` belong to the same
causes, so counts are kept by place: some thousand numbers stand for a million sites. Of two causes with the same sites
the one higher in the tree has the lower id. Must not know telemetry.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from powerflock.domain.arrays import F64, I64, Bools
from powerflock.domain.registry import Place, SiteTable

PORTFOLIO = 0
"""The id of the cause to which every site belongs."""

Key: TypeAlias = tuple[str, str]
"""A cause's kind (portfolio, region, area, feeder, gateway, provider, firmware, set) and its name."""


@dataclass(frozen=True, slots=True, eq=False)
class Causes:
    """N causes of P places, all partitions' places one after another.

    Row r of partition p's places is `first_place`[p] + r. `pairs` are, for each partition, (2, M) place rows and the
    ids of the causes they belong to; `place` and `cause` (M,) are the same for all partitions together.
    """

    id_of: dict[Key, int]
    keys: tuple[Key, ...]
    pairs: tuple[I64, ...]
    first_place: I64
    place: I64
    cause: I64

    @staticmethod
    def none(partitions: int) -> Causes:
        """No places yet: only the portfolio."""
        empty = np.empty(0, np.int64)
        key = ("portfolio", "")
        pairs = (np.empty((2, 0), np.int64),) * partitions
        return Causes({key: PORTFOLIO}, (key,), pairs, np.zeros(partitions + 1, np.int64), empty, empty)

    @property
    def places(self) -> int:
        """P, the number of places."""
        return int(self.first_place[-1])

    def grow(self, tables: Sequence[SiteTable]) -> Causes:
        """The causes after an enrolment: known ones keep their ids, new places follow those of their partition."""
        sizes = np.array([len(table.places) for table in tables], np.int64)
        if np.array_equal(sizes, np.diff(self.first_place)):
            return self
        id_of, pairs = dict(self.id_of), []
        for table, own, known in zip(tables, self.pairs, np.diff(self.first_place).tolist(), strict=True):
            new = [
                (row, id_of.setdefault(key, len(id_of)))
                for row, place in enumerate(table.places[known:], known)
                for key in _keys(place)
            ]
            pairs.append(np.concatenate((own, np.array(new, np.int64).reshape(-1, 2).T), axis=1))
        first = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
        place = np.concatenate([own[0] + start for own, start in zip(pairs, first[:-1], strict=True)])
        return Causes(id_of, tuple(id_of), tuple(pairs), first, place, np.concatenate([own[1] for own in pairs]))

    def sums(self, by_place: F64) -> F64:
        """(N,) sums of a (P,) column over each cause's places."""
        sums = np.bincount(self.cause, by_place[self.place], minlength=len(self.keys))
        return np.asarray(sums, np.float64)

    def places_of(self, cause: int) -> Bools:
        """(P,) the places that belong to a cause."""
        mask: Bools = np.zeros(self.places, np.bool_)
        mask[self.place[self.cause == cause]] = True
        return mask


def _keys(place: Place) -> Iterator[Key]:
    """The causes of a place, from the top of the tree; names of tree groups carry the groups above them."""
    yield "portfolio", ""
    path = _escaped(place.region)
    yield "region", path
    for name in place.path:
        path = f"{path}/{_escaped(name)}"
        yield "area", path
    yield "feeder", f"{path}/{_escaped(place.feeder)}"
    for kind, name in (("gateway", place.gateway), ("provider", place.provider), ("firmware", place.firmware)):
        if name:
            yield kind, name
    for name in place.sets:
        yield "set", _escaped(name)


def _escaped(name: str) -> str:
    """A name in which `/` stands for nothing else than the step down the tree."""
    return name.replace("%", "%25").replace("/", "%2F")
