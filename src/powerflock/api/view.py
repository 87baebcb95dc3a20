"""The one thing the API needs from the plant: a view of it.

Methods are synchronous, called on the event loop and cheap (well under 10 ms): they read what the plant's tick
prepared; only `enrol` and `acknowledge`, which wait for the log, `sites` and `site`, which may look at all sites, run
in threads. They raise `InvalidInput`, `NotFound` and other `PowerflockError`s, which `problems` turns into HTTP. Must
not know HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from powerflock.api.alarms import AlarmView
from powerflock.api.group_models import GroupDetail, GroupRow
from powerflock.api.models import (
    AccountRow,
    BidRow,
    EnrolResult,
    Health,
    History,
    SiteDetail,
    SitePage,
    State,
)
from powerflock.api.queries import SitesQuery
from powerflock.domain.site import SiteSpec


class PlantView(AlarmView, Protocol):
    """What the plant shows to people and programs."""

    def state(self) -> State:
        """The plant now."""

    def history(self, minutes: float) -> History:
        """The last `minutes` (plant time) up to now, thinned to at most about 2,000 rows."""

    def sites(self, query: SitesQuery) -> SitePage:
        """The first sites that match the query, or those after its page token.

        `InvalidInput` for a token that no page of the same order gave (`paging.page_token`) and for an unknown group.
        """

    def site(self, site: str) -> SiteDetail:
        """One site, or `NotFound`."""

    def groups(self) -> Sequence[GroupRow]:
        """All groups, parents before children."""

    def group(self, group: str) -> GroupDetail:
        """One group by its name, or `NotFound`."""

    def bids(self, limit: int) -> Sequence[BidRow]:
        """The last `limit` bids, newest first."""

    def accounts(self, limit: int) -> Sequence[AccountRow]:
        """The last `limit` settled intervals, newest first."""

    def enrol(self, specs: Sequence[SiteSpec]) -> EnrolResult:
        """Enrol sites durably; an equal spec again changes nothing, a bad one is refused by name in the outcome."""

    def health(self) -> Health:
        """Whether the plant works and may serve totals."""

    def metrics(self) -> str:
        """Prometheus text, version 0.0.4, each line ended by a newline."""
