"""The plant as the API shows it: what the last turn prepared, turned into the API's models.

Reads immutable turns and the runner's records only; nothing here changes the plant but `enrol`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from powerflock.alarms import AlarmBook
from powerflock.api import models
from powerflock.api.alarm_models import AlarmRow
from powerflock.api.group_models import GroupDetail, GroupRow
from powerflock.api.queries import SitesQuery
from powerflock.autobidder.records import PlantRow, known
from powerflock.compose.alarm_view import alarm_counts, alarm_metrics, alarm_row, alarm_rows
from powerflock.compose.directory import Directory
from powerflock.compose.past import BackgroundHistory
from powerflock.compose.rows import account_row, bid_row, coverage, group_detail, group_rows, prometheus
from powerflock.compose.site_list import SiteList
from powerflock.compose.source import Source
from powerflock.domain.clock import MICROS_PER_S, Clock, to_rfc3339
from powerflock.domain.errors import NotReady
from powerflock.domain.outcomes import Status
from powerflock.domain.site import SiteSpec
from powerflock.groups.hierarchy import PORTFOLIO
from powerflock.plant.model import Turn

_MOST_ROWS = 2000
Detail: TypeAlias = Callable[[str, Turn, Directory], models.SiteDetail]


@dataclass(slots=True)
class Vitals:
    """How the process is doing, kept by the live loop."""

    started_us: int
    readings_per_s: float = 0.0
    tick_ms: float = 0.0
    plan_ms: float = 0.0
    log_entries: int = 0
    trouble: str = ""
    commands_issued: int = 0
    command_acks: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Labels:
    """What the plant says of itself on every screen.

    The only venue there is replays or invents prices, so that nobody is paid for real: every plant is `simulated`.
    """

    price_source: str
    generated_prices: bool
    utc_offset_minutes: int
    simulated: bool = True


class LiveView:
    """A `PlantView` of a source; `turn` is None until the ring has turned once.

    `detail` gives one site whole at the newest turn.
    """

    def __init__(self, clock: Clock, labels: Labels, token_of: Callable[[str], str], detail: Detail) -> None:
        """`token_of` issues a device token for a site id."""
        self._clock, self._labels, self._token_of, self._detail = clock, labels, token_of, detail
        self.vitals = Vitals(clock.now_us())
        self.turn: Turn | None = None
        self._source: Source | None = None
        self._directory: Directory | None = None
        self._sites: tuple[Turn, SiteList] | None = None
        self.past: BackgroundHistory | None = None

    @property
    def runner(self) -> Source | None:
        """Where the records come from; None while it recovers."""
        return self._source

    @runner.setter
    def runner(self, source: Source) -> None:
        self._source, self._directory = source, Directory(source.ring.registry)

    def state(self) -> models.State:
        """See `PlantView`."""
        now, turn, runner = self._clock.now_us(), self.turn, self.runner
        length = 300 * MICROS_PER_S if runner is None else runner.ring.settings.interval_us
        start = (turn.interval if turn else now // length) * length
        row = runner.rows[-1] if runner is not None and runner.rows else PlantRow(now, *([None] * 7))
        return models.State(
            time=to_rfc3339(now),
            utc_offset_minutes=self._labels.utc_offset_minutes,
            speed=self._clock.speed,
            simulated=self._labels.simulated,
            price_source=self._labels.price_source,
            generated_prices=self._labels.generated_prices,
            phase=self._phase(),
            interval_start=to_rfc3339(start),
            interval_end=to_rfc3339(start + length),
            sites=runner.ring.registry.sites if runner is not None else 0,
            output=models.Output(row.target_mw, row.delivered_mw, row.up_mw, row.down_mw),
            battery=self._battery(turn),
            coverage=coverage(turn.groups, PORTFOLIO) if turn else models.Coverage(0, 0, 0, None),
            price=models.Price(row.spot_per_mwh, turn.clearing.price_per_kwh if turn and turn.clearing else None),
            bid=self._bid(turn),
            account=self._account(),
            alarms=alarm_counts(self._book()),
            ring=models.Ring(
                self.vitals.readings_per_s, self.vitals.tick_ms, self.vitals.plan_ms, self.vitals.log_entries,
                to_rfc3339(self.vitals.started_us),
            ),
        )  # fmt: skip

    def history(self, minutes: float) -> models.History:
        """See `PlantView`."""
        rows = list(self.runner.rows) if self.runner is not None else []
        since = self._clock.now_us() - round(minutes * 60 * MICROS_PER_S)
        chosen = [row for row in rows if row.time_us >= since]
        step = -(-len(chosen) // _MOST_ROWS) if chosen else 1
        thinned = chosen[:: max(step, 1)]
        return models.History(
            [row.time_us for row in thinned],
            [row.target_mw for row in thinned],
            [row.delivered_mw for row in thinned],
            [row.up_mw for row in thinned],
            [row.down_mw for row in thinned],
            [row.soc_ratio for row in thinned],
            [row.coverage_ratio for row in thinned],
            [row.spot_per_mwh for row in thinned],
        )

    def sites(self, query: SitesQuery) -> models.SitePage:
        """See `PlantView`."""
        listed = self._site_list()
        return listed.page(query) if listed is not None else models.SitePage([], 0, None)

    def site(self, site: str) -> models.SiteDetail:
        """See `PlantView`."""
        if self.turn is None or self._directory is None:
            raise self._not_ready("shows no sites")
        return self._detail(site, self.turn, self._directory)

    def _site_list(self) -> SiteList | None:
        """The sites of the newest turn: made once a turn, so that its columns are worked out once."""
        turn, source, known = self.turn, self.runner, self._sites
        if turn is None or source is None or self._directory is None:
            return None
        if known is None or known[0] is not turn:
            listed = [self._directory.of(part, columns.table) for part, columns in enumerate(turn.columns)]
            known = turn, SiteList(source.ring.hierarchy, turn.now_us, turn.columns, turn.commanded, listed)
            self._sites = known
        return known[1]

    def groups(self) -> Sequence[GroupRow]:
        """See `PlantView`."""
        if self.runner is None or self.turn is None:
            return []
        return group_rows(self.runner.ring.hierarchy, self.turn.groups, self.turn.firm)

    def alarms(self) -> Sequence[AlarmRow]:
        """See `AlarmView`."""
        return alarm_rows(self._book(), self.runner.ring.registry) if self.runner is not None else []

    def acknowledge(self, alarm: str, by: str) -> AlarmRow:
        """See `AlarmView`."""
        if self.runner is None:
            raise self._not_ready("hears of no alarms")
        return alarm_row(self.runner.acknowledge(alarm, by, self._clock.now_us()), self.runner.ring.registry)

    def group(self, group: str) -> GroupDetail:
        """See `PlantView`."""
        if self.runner is None or self.turn is None:
            raise self._not_ready("shows no groups")
        return group_detail(self.runner.ring.hierarchy, self.turn.groups, self.turn.firm, group)

    def bids(self, limit: int) -> Sequence[models.BidRow]:
        """See `PlantView`."""
        if self.runner is None:
            return []
        length = self.runner.ring.settings.interval_us
        return [bid_row(event, length) for event in reversed(self.runner.awards[-limit:]) if event.bid is not None]

    def accounts(self, limit: int) -> Sequence[models.AccountRow]:
        """See `PlantView`."""
        if self.runner is None:
            return []
        length = self.runner.ring.settings.interval_us
        return [account_row(item, length) for item in reversed(self.runner.settled[-limit:])]

    def enrol(self, specs: Sequence[SiteSpec]) -> models.EnrolResult:
        """See `PlantView`."""
        if self.runner is None:
            raise self._not_ready("takes no sites")
        outcome = self.runner.enrol(specs)
        kept = [spec.site for spec in specs if spec.site not in outcome.reasons]
        tokens = {site: self._token_of(site) for site in kept} if outcome.status != Status.REFUSED else {}
        return models.EnrolResult(tokens, outcome)

    def health(self) -> models.Health:
        """See `PlantView`."""
        phase, checks = self._phase(), {}
        if phase == "recovering":
            parts = [] if self.runner is None else self.runner.missing
            checks["plant"] = f"partitions {list(parts)} do not report" if parts else "recovering from the log"
        if self.vitals.trouble:
            checks["ring"] = self.vitals.trouble
        ready = not checks
        if self.runner is not None and self.runner.saving is not None and self.runner.saving.trouble:
            checks["snapshots"] = self.runner.saving.trouble  # only a restart will take longer: totals are right
        if self.past is not None and self.past.trouble:  # told, though the plant's totals do not need it
            checks["history"] = self.past.trouble
        return models.Health(live=True, ready=ready, checks=checks)

    def metrics(self) -> str:
        """See `PlantView`."""
        counts, saving = (self.runner.counts, self.runner.saving) if self.runner is not None else (None, None)
        own = prometheus(self.state(), counts, saving, self.vitals.commands_issued, self.vitals.command_acks)
        return own + alarm_metrics(self._book()) + (self.past.metrics() if self.past is not None else "")

    def _book(self) -> AlarmBook:
        return self.runner.book if self.runner is not None else AlarmBook()

    def _not_ready(self, what: str) -> NotReady:
        return NotReady(f"the plant is {self._phase()}: it {what} yet. Try again in a few seconds.")

    def _phase(self) -> models.Phase:
        if self.runner is None or self.runner.missing:
            return "recovering"
        return "waiting" if self.turn is None or not self.turn.groups.known[PORTFOLIO] else "running"

    def _battery(self, turn: Turn | None) -> models.Storage:
        if turn is None:
            return models.Storage(None, None, None)
        stored = known(float(turn.groups.stored_kwh[PORTFOLIO]))
        capacity = float(turn.groups.capacity_kwh[PORTFOLIO])
        ratio = stored / capacity if stored is not None and capacity > 0 else None
        return models.Storage(None if stored is None else stored / 1000.0, capacity / 1000.0, ratio)

    def _bid(self, turn: Turn | None) -> models.Bid | None:
        if turn is None or turn.award.bid is None:
            return None
        bid = turn.award.bid
        bands = [models.Band(*band) for band in zip(bid.price_per_mwh, bid.quantity_mw, strict=True)]
        return models.Bid(to_rfc3339(bid.interval_us), bands, bid.base_mw, turn.award.mw)

    def _account(self) -> models.Account:
        if self.runner is None:
            return models.Account(None, None, None, None, None, None, None)
        account = self.runner.ring.account
        return models.Account(
            account.intervals, account.awarded_mwh, account.delivered_mwh, account.market_revenue, account.earned,
            account.owner_payments + account.top_up, account.fleet_margin,
        )  # fmt: skip


def mean_of(previous: float, seen: float, weight: float = 0.2) -> float:
    """An exponential mean for the vitals."""
    return float(np.where(previous == 0.0, seen, previous + weight * (seen - previous)))
