"""All sites of one turn as a list that can be filtered, sorted and paged, a page at a time.

Invariants: which rows match and what they show comes from the same columns of the same turn; the work is over whole
columns but for the rows of one page. Sites enrolled since the turn are not in it yet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from powerflock.api import models
from powerflock.api.paging import LastRow, page_start, page_token
from powerflock.api.queries import SitesQuery
from powerflock.compose.directory import Listed
from powerflock.domain.arrays import I64, Bools
from powerflock.domain.errors import InvalidInput
from powerflock.groups.hierarchy import Hierarchy
from powerflock.plant.site_numbers import SiteNumbers
from powerflock.twins.commanded import Commanded
from powerflock.twins.estimate import SiteColumns
from powerflock.twins.query import Bound, Cursor, Order, Part, first_page


class SiteList:
    """The sites of one turn."""

    def __init__(
        self, hierarchy: Hierarchy, now_us: int, columns: Sequence[SiteColumns], commanded: Sequence[Commanded],
        listed: Sequence[Listed],
    ) -> None:  # fmt: skip
        """What the turn at `now_us` saw, partition by partition."""
        self._hierarchy, self._listed = hierarchy, listed
        self._numbers = [
            SiteNumbers(now_us, own, told, sites.has_solar)
            for own, told, sites in zip(columns, commanded, listed, strict=True)
        ]

    def page(self, query: SitesQuery) -> models.SitePage:
        """The first sites that match, or those that follow the query's page token."""
        after = None if query.page_token is None else Cursor(*page_start(query.sort, query.page_token))
        order = Order(query.sort.removeprefix("-"), query.sort.startswith("-"))
        parts = [Part(own.ids, self._numbers[p], self._mask(p, query)) for p, own in enumerate(self._listed)]
        found = first_page(parts, [Bound(*bound) for bound in query.bounds()], order, query.limit, after)
        rows: dict[str, models.SiteRow] = {}
        for partition in {hit.partition for hit in found.hits}:
            own = np.array([hit.row for hit in found.hits if hit.partition == partition], np.int64)
            rows |= {row.site: row for row in self.rows(partition, own)}
        token = page_token(query.sort, LastRow(*found.cursor)) if found.cursor is not None else None
        return models.SitePage([rows[hit.site] for hit in found.hits], found.total, token)

    def rows(self, partition: int, rows: I64) -> list[models.SiteRow]:
        """These sites' numbers now."""
        numbers, listed = self._numbers[partition], self._listed[partition]
        columns, told, table = numbers.columns, numbers.commanded, listed.table
        values = zip(*(numbers.at(name, rows).tolist() for name in models.SITE_COLUMNS), strict=True)
        return [
            models.SiteRow(
                site,
                table.places[table.place[row]].feeder,
                table.places[table.place[row]].region,
                models.FRESHNESS_NAMES[columns.freshness[row]],
                models.LINK_NAMES[told.link[row]],
                bool(columns.reachable[row]),
                models.COMMAND_NAMES[told.state[row]],
                *(None if math.isnan(value) else value for value in own),
            )
            for site, row, own in zip(listed.ids.text.take(rows).to_pylist(), rows.tolist(), values, strict=True)
        ]

    def _mask(self, partition: int, query: SitesQuery) -> Bools:
        """(S,) sites in the states, the group and with the text that the query asks for."""
        columns, told = self._numbers[partition].columns, self._numbers[partition].commanded
        mask: Bools = np.ones(columns.freshness.size, np.bool_)
        if query.freshness is not None:
            mask &= columns.freshness == models.FRESHNESS_NAMES.index(query.freshness)
        if query.link is not None:
            mask &= told.link == models.LINK_NAMES.index(query.link)
        if query.command is not None:
            mask &= told.state == models.COMMAND_NAMES.index(query.command)
        if query.reachable is not None:
            mask &= columns.reachable == query.reachable
        if query.group is not None:
            group = self._hierarchy.id_of.get(query.group)
            if group is None:
                raise InvalidInput("group", query.group, "is no group of this plant", "GET /api/v1/groups names them.")
            mask &= self._hierarchy.members(group, partition)[: mask.size]
        if query.search is not None:
            mask &= self._listed[partition].containing(query.search)
        return mask
