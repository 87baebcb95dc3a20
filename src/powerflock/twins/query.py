"""Questions about a million sites at once: which match, how many, and the first of them in any order.

Invariants: filters and orders work on whole columns of one moment; rows are made for one page only. Order is by value,
then by site id, unknown values last whichever way it goes, so that a page can be continued after its last row whatever
happened in between: a site whose value changed meanwhile may be met twice or not at all, one that did not change is met
once. Must not know groups, prices or HTTP: who is in a group comes as a mask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from powerflock.domain.arrays import F64, I32, I64, Bools
from powerflock.domain.errors import InvalidInput

BY_SITE = "site"
"""The order by site id alone."""


@dataclass(frozen=True, slots=True, eq=False)
class SiteIds:
    """The (S,) site ids of a partition: as text, in lower case, and `rank` (S,), each one's place in their order."""

    text: pa.Array
    lower: pa.Array
    rank: I32

    @staticmethod
    def of(ids: Sequence[str]) -> SiteIds:
        """From the ids in row order."""
        text = pa.array(ids, pa.string())
        rank = np.empty(len(ids), np.int32)
        rank[pc.sort_indices(text).to_numpy()] = np.arange(len(ids), dtype=np.int32)
        return SiteIds(text, pc.utf8_lower(text), rank)

    def containing(self, part: str) -> Bools:
        """(S,) ids that hold `part`, whatever its case."""
        found: Bools = pc.match_substring(self.lower, part.lower()).to_numpy(zero_copy_only=False)
        return found

    def after(self, site: str) -> int:
        """How many ids are not after `site`: a row is after it where its rank is this or more."""
        return int(np.count_nonzero(pc.less_equal(self.text, site).to_numpy(zero_copy_only=False)))


class Bound(NamedTuple):
    """A column's inclusive range; NaN matches none."""

    column: str
    low: float
    high: float


class Cursor(NamedTuple):
    """Where a page ended: the last row's value (NaN: unknown) and its site."""

    value: float
    site: str


@dataclass(frozen=True, slots=True)
class Order:
    """By `column`, or `BY_SITE`; `descending` from the greatest."""

    column: str = BY_SITE
    descending: bool = False


class Hit(NamedTuple):
    """One row of a page."""

    key: float
    site: str
    partition: int
    row: int


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One partition at one moment: its ids, (S,) `columns` by name, and the `mask` of rows that may match."""

    ids: SiteIds
    columns: Mapping[str, F64]
    mask: Bools


class Page(NamedTuple):
    """The first rows in order, how many match in all, and where to go on; None at the end."""

    hits: list[Hit]
    total: int
    cursor: Cursor | None


def first_page(
    parts: Sequence[Part], bounds: Sequence[Bound], order: Order, limit: int, after: Cursor | None = None
) -> Page:
    """The first `limit` matching rows of all partitions in `order`, or those that follow `after`.

    Raises `InvalidInput` for a column that no part has.
    """
    hits: list[Hit] = []
    total = 0
    for number, part in enumerate(parts):
        mask = part.mask.copy()
        for bound in bounds:
            values = _column(part, bound.column)
            mask &= (values >= bound.low) & (values <= bound.high)
        total += int(np.count_nonzero(mask))
        keys = _keys(part, order)
        rows = np.flatnonzero(mask if after is None else mask & _follows(part, keys, order, after))
        best = _first(keys[rows], part.ids.rank[rows], limit + 1)
        chosen = rows[best]
        ids = part.ids.text.take(pa.array(chosen)).to_pylist()
        hits += [
            Hit(key, site, number, row)
            for key, site, row in zip(keys[chosen].tolist(), ids, chosen.tolist(), strict=True)
        ]
    hits.sort(key=lambda hit: (1, 0.0, hit.site) if np.isnan(hit.key) else (0, hit.key, hit.site))
    page, more = hits[:limit], len(hits) > limit
    cursor = None
    if more:
        last = page[-1]
        cursor = Cursor(-last.key if order.descending else last.key, last.site)
    return Page(page, total, cursor)


def _column(part: Part, name: str) -> F64:
    if name not in part.columns:
        raise InvalidInput("column", name, f"must be one of {', '.join(sorted(part.columns))}")
    return part.columns[name]


def _keys(part: Part, order: Order) -> F64:
    """(S,) what to sort by, ascending; NaN goes last."""
    if order.column == BY_SITE:
        return np.zeros(part.ids.rank.size)
    values = _column(part, order.column)
    return -values if order.descending else values


def _follows(part: Part, keys: F64, order: Order, after: Cursor) -> Bools:
    """(S,) rows that come after the cursor."""
    later = part.ids.rank >= part.ids.after(after.site)
    key = 0.0 if order.column == BY_SITE else (-after.value if order.descending else after.value)
    if np.isnan(key):
        return np.asarray(np.isnan(keys) & later)
    return np.asarray((keys > key) | np.isnan(keys) | ((keys == key) & later))


def _first(keys: F64, rank: I32, count: int) -> I64:
    """Positions of the `count` first by (key, rank), in no order; those with NaN after all others."""
    if keys.size <= count:
        return np.arange(keys.size)
    bound = np.partition(keys, count - 1)[count - 1]  # numpy puts NaN last too
    if np.isnan(bound):
        known, equal = np.flatnonzero(~np.isnan(keys)), np.flatnonzero(np.isnan(keys))
    else:
        known, equal = np.flatnonzero(keys < bound), np.flatnonzero(keys == bound)
    left = count - known.size
    if equal.size > left:
        equal = equal[np.argpartition(rank[equal], left - 1)[:left]]
    return np.concatenate((known, equal))
