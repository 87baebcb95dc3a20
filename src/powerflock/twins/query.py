"""Questions about a million sites at once: which match, how many, and the first of them in any order.

Invariants: filters and orders work on whole columns of one moment; rows are made for one page only, found in one pass
that keeps no more than a page. Order is by value, then by site id, unknown values last whichever way it goes, so that a
page can be continued after its last row whatever happened in between: a site whose value changed meanwhile may be met
twice or not at all, one that did not change is met once. Must not know groups, prices or HTTP: who is in a group comes
as a mask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heappush, heapreplace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from powerflock.curve.jit import kernel
from powerflock.domain.arrays import F64, I32, I64, U8, Bools
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
        found: Bools = np.zeros(self.rank.size, np.bool_)
        if found.size:  # as bytes, because pyarrow's own search takes three times as long
            _, ends, letters = self.lower.buffers()
            wanted = np.frombuffer(part.lower().encode(), np.uint8)
            _search(np.frombuffer(ends, np.int32), np.frombuffer(letters, np.uint8), wanted, found)
        return found

    def up_to(self, site: str, *, itself: bool) -> int:
        """How many ids are before `site`, or are `itself`."""
        compare = pc.less_equal if itself else pc.less
        return int(np.count_nonzero(compare(self.text, site).to_numpy(zero_copy_only=False)))


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
    """By `column`, or `BY_SITE`; `descending` from the greatest. Of equal values the first by id comes first."""

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
            mask &= values >= bound.low
            mask &= values <= bound.high
        total += int(np.count_nonzero(mask))
        values, rows = _first(part, mask, order, limit + 1, after)
        ids = part.ids.text.take(pa.array(rows)).to_pylist()
        keys = values[rows].tolist()
        hits += [Hit(key, site, number, row) for key, site, row in zip(keys, ids, rows.tolist(), strict=True)]
    hits.sort(key=lambda hit: hit.site, reverse=order == Order(BY_SITE, descending=True))
    if order.column != BY_SITE:
        sign = -1.0 if order.descending else 1.0
        hits.sort(key=lambda hit: (np.isnan(hit.key), sign * hit.key if not np.isnan(hit.key) else 0.0))
    page, more = hits[:limit], len(hits) > limit
    return Page(page, total, Cursor(page[-1].key, page[-1].site) if more else None)


def _column(part: Part, name: str) -> F64:
    if name not in part.columns:
        raise InvalidInput("column", name, f"must be one of {', '.join(sorted(part.columns))}")
    return part.columns[name]


def _first(part: Part, mask: Bools, order: Order, count: int, after: Cursor | None) -> tuple[F64, I64]:
    """(S,) what the order is by, and the `count` first rows by it in no order, of those that follow `after`."""
    backwards = order == Order(BY_SITE, descending=True)
    values = np.zeros(mask.size) if order.column == BY_SITE else _column(part, order.column)
    sign = -1.0 if order.descending else 1.0
    rank = -part.ids.rank if backwards else part.ids.rank
    if after is None:
        return values, _select(values, sign, rank, mask, -1, 0.0, 0, count)
    place = -part.ids.up_to(after.site, itself=False) if backwards else part.ids.up_to(after.site, itself=True) - 1
    unknown = np.isnan(after.value)
    return values, _select(values, sign, rank, mask, int(unknown), 0.0 if unknown else sign * after.value, place, count)


@kernel
def _search(ends: I32, letters: U8, wanted: U8, found: Bools) -> None:
    """Mark the texts `letters[ends[i] : ends[i + 1]]` that hold `wanted`."""
    for row in range(found.size):
        for start in range(ends[row], ends[row + 1] - wanted.size + 1):
            same = 0
            while same < wanted.size and letters[start + same] == wanted[same]:
                same += 1
            if same == wanted.size:
                found[row] = True
                break


@kernel
def _select(
    values: F64, sign: float, rank: I32, mask: Bools, after_class: int, after_key: float, after_rank: int, count: int
) -> I64:  # fmt: skip
    """The `count` ≥ 1 rows of `mask` that are first by (unknown, sign × value, rank) after the one given, in no order.

    A heap holds the best so far with the worst of them on top, so that nearly every row costs one comparison.
    """
    best = [(0, 0.0, 0, 0) for _ in range(0)]
    for row in range(mask.size):
        if not mask[row]:
            continue
        unknown, place = int(np.isnan(values[row])), int(rank[row])
        key = 0.0 if unknown else sign * values[row]
        if (unknown, key, place) <= (after_class, after_key, after_rank):
            continue
        if len(best) < count:
            heappush(best, (-unknown, -key, -place, row))
        elif (-unknown, -key, -place, row) > best[0]:
            heapreplace(best, (-unknown, -key, -place, row))
    rows = np.empty(len(best), np.int64)
    for i in range(len(best)):
        rows[i] = best[i][3]
    return rows
