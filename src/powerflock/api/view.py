"""The one thing the API needs from the plant: a view of it.

Methods are synchronous, called on the event loop and cheap (well under 10 ms): they read what the plant's tick
prepared; only `enrol` and `acknowledge`, which wait for the log, run in threads of their own. They raise
`InvalidInput`, `NotFound` and other `PowerflockError`s, which `problems` turns into HTTP. Must not know HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from powerflock.api.alarms import AlarmView
from powerflock.api.models import (
    AccountRow,
    BidRow,
    EnrolResult,
    FreshnessName,
    GroupRow,
    Health,
    History,
    SiteDetail,
    SitePage,
    State,
)
from powerflock.domain.site import SiteSpec


class PlantView(AlarmView, Protocol):
    """What the plant shows to people and programs."""

    def state(self) -> State:
        """The plant now."""

    def history(self, minutes: float) -> History:
        """The last `minutes` (plant time) up to now, thinned to at most about 2,000 rows."""

    def sites(
        self, limit: int, page_token: str | None, freshness: FreshnessName | None, search: str | None
    ) -> SitePage:
        """At most `limit` sites in order of id; `search` is a case-insensitive part of id, feeder or region.

        `page_token` comes from the page before (`paging.page_token`); a bad one is `InvalidInput`.
        """

    def site(self, site: str) -> SiteDetail:
        """One site, or `NotFound`."""

    def groups(self) -> Sequence[GroupRow]:
        """All groups, parents before children."""

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
