"""The portfolio's half of the ring: reports of all partitions up, one price for each group down, and the market.

open → gather → settle → clear → bid. Invariants: it knows groups, never sites; the newest report of a partition is all
there is of it; a partition whose report is old stays in the totals with what it did last, out of reach, so that what
drops is the coverage. Deterministic, as the whole ring. Must not know how reports come and orders go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from powerflock.dispatch.allocate import Clearing
from powerflock.domain.arrays import F64
from powerflock.domain.clock import MICROS_PER_HOUR
from powerflock.groups.curves import CurveTable
from powerflock.groups.firm import FirmCapacity, firm_capacity, firm_curves, firm_reach
from powerflock.groups.hierarchy import PORTFOLIO, Level
from powerflock.groups.roll import Rows, Union
from powerflock.groups.sums import GroupTable
from powerflock.market.account import Account, Settlement
from powerflock.market.bids import Bid
from powerflock.market.programme import coordination_per_kwh
from powerflock.plant.commanding import clearing, target_kw
from powerflock.plant.messages import Closed, Curves, Order, Report
from powerflock.plant.model import Award, RingSettings, Venue
from powerflock.plant.offering import Firm, next_bid
from powerflock.plant.outlook import Outlook
from powerflock.plant.settling import settlements
from powerflock.plant.shard import interval_starts


@dataclass(frozen=True, slots=True)
class Decision:
    """What one gathering of reports came to; `order` is for every partition. The rest is as in a `Turn`."""

    order: Order
    groups: GroupTable
    firm: FirmCapacity
    award: Award
    bid: Bid | None
    clearing: Clearing | None
    target_kw: float | None
    settled: tuple[Settlement, ...]


@dataclass(slots=True)
class _Closing:
    """An interval that has ended: its award, and what came of it so far, by partition."""

    award: Award
    opened_us: int
    closed_us: int
    until: int
    parts: dict[int, Closed]
    coverage_ratio: float


class Coordinator:
    """A portfolio's account, award and bid; `union` numbers its groups."""

    def __init__(self, settings: RingSettings, outlook: Outlook, venue: Venue) -> None:
        """With nothing awarded yet."""
        self.settings, self.outlook, self.venue = settings, outlook, venue
        self.union = Union()
        self.account = Account()
        self.award: Award | None = None
        self.bid: Bid | None = None
        self.opened_us = -1
        self._closing: _Closing | None = None
        self._late: tuple[Settlement, ...] = ()
        self._order: Order | None = None

    def resume(self, award: Award | None, opened_us: int) -> None:
        """After a restart: the interval that was open."""
        self.award, self.opened_us = award, opened_us

    def owe(self, award: Award, opened_us: int, closed_us: int, until: int) -> None:
        """After a restart: this award's interval ended at `closed_us`, before `until`, and was not settled yet."""
        self._closing = _Closing(award, opened_us, closed_us, until, {}, 0.0)

    def open(self, now_us: int) -> tuple[Order, bool]:
        """The order under which partitions look at `now_us`, without prices yet; whether it opens an interval."""
        length = self.settings.interval_us
        interval = now_us // length
        begins = self.award is None or interval > self.award.interval
        if begins:
            self._begin(interval, now_us)
        assert self.award is not None
        if begins or self._order is None:
            ahead = self._ahead(self.award.interval, now_us)
            self._order = Order(now_us, self.award.interval, self.award.spot_per_mwh, ahead)
        return msgspec.structs.replace(self._order, now_us=now_us), begins

    def decide(self, order: Order, reports: Sequence[Report], now_us: int) -> Decision:
        """Settle, clear and bid by the newest `reports`, one for each partition that has reported."""
        assert self.award is not None, "decide follows open"
        reports = [aged(report, now_us, self.settings.report_life_us) for report in reports]
        rows = [self.union.rows(report.roll) for report in reports]
        groups = self.union.add([(own, report.groups) for own, report in zip(rows, reports, strict=True)])
        settled = self._settle(reports, groups)
        done_kwh = sum(report.delivered_kwh for report in reports if report.interval == self.award.interval)
        target = target_kw(self.award, done_kwh, self.opened_us, now_us, self.settings.interval_us)
        feeders_kw = self._feeders(rows, reports, [report.now for report in reports])
        cleared = clearing(feeders_kw, self.award, target, self.settings)
        self.bid = self._next_bid(rows, reports, now_us)
        return Decision(
            order=self._priced(order, cleared),
            groups=groups,
            firm=firm_capacity(self.union.pairs, groups),
            award=self.award,
            bid=self.bid,
            clearing=cleared,
            target_kw=target,
            settled=settled,
        )

    def _begin(self, interval: int, now_us: int) -> None:
        """The new interval's award: what its price dispatches of the standing bid; the one before is to be settled."""
        length = self.settings.interval_us
        if self._closing is not None:
            self._late = self._finish(self._closing)
        if self.award is not None:
            self._closing = _Closing(self.award, self.opened_us, now_us, interval, {}, 0.0)
            for number in range(self.award.interval, interval):
                spot = self.venue.spot_per_mwh(number * length)
                self.outlook.learn_price((number + 1) * length, length, spot)
        start = interval * length
        standing = self.bid if self.bid is not None and self.bid.interval_us == start else None
        self.award, self.opened_us = Award(interval, self.venue.spot_per_mwh(start), standing), now_us

    def _ahead(self, interval: int, now_us: int) -> F64:
        """(T,) expected coordination prices from `interval` on."""
        settings, horizon = self.settings, self.settings.horizon_intervals
        if settings.horizon_end_us is not None:
            horizon = settings.horizon_end_us // settings.interval_us - interval
        if horizon < 1:
            return np.zeros(0)
        times = interval_starts(interval, horizon, settings.interval_us)
        return coordination_per_kwh(settings.programme, self.outlook.spot_ahead(now_us, times))

    def _settle(self, reports: Sequence[Report], groups: GroupTable) -> tuple[Settlement, ...]:
        """What ended, once every partition has said what came of it, or the next interval has ended too."""
        late, self._late = self._late, ()
        closing = self._closing
        if closing is None:
            return late
        closing.coverage_ratio = float(groups.fresh[PORTFOLIO]) / max(float(groups.sites[PORTFOLIO]), 1.0)
        for report in reports:
            if report.closed is not None and report.closed.first == closing.award.interval:
                closing.parts[report.partition] = report.closed
        if any(report.interval < closing.until for report in reports):
            return late
        self._closing = None
        return (*late, *self._finish(closing))

    def _finish(self, closing: _Closing) -> tuple[Settlement, ...]:
        """Settle by what is known of it."""
        hours = (closing.closed_us - closing.opened_us) / MICROS_PER_HOUR
        settled = settlements(
            closing.award, closing.until, hours, list(closing.parts.values()), self.venue, self.settings.interval_us,
            closing.coverage_ratio,
        )  # fmt: skip
        for item in settled:
            self.account = self.account.plus(item)
        return settled

    def _feeders(self, rows: Sequence[Rows], reports: Sequence[Report], curves: Sequence[Curves]) -> F64:
        """(F, 41) all feeders' curves, by the union's order."""
        parts = [
            (own.groups[np.array(report.roll.levels) == Level.FEEDER], each.feeders_kw)
            for own, report, each in zip(rows, reports, curves, strict=True)
        ]
        return np.asarray(self.union.add_rows(parts, self.union.groups)[self.union.level == Level.FEEDER])

    def _next_bid(self, rows: Sequence[Rows], reports: Sequence[Report], now_us: int) -> Bid | None:
        """The bid for the next interval; None while no plan reaches it."""
        assert self.award is not None
        chosen = [
            (own, report, report.next)
            for own, report in zip(rows, reports, strict=True)
            if report.next is not None and report.interval == self.award.interval
        ]
        if not chosen:
            return None
        own_rows, own_reports, curves = zip(*chosen, strict=True)
        feeders_kw = self._feeders(own_rows, own_reports, curves)
        firm = self._firm(own_rows, own_reports, curves) if self.settings.promise == "firm" else None
        return next_bid(feeders_kw, firm, self.outlook, self.award.interval + 1, now_us, self.settings)

    def _firm(self, rows: Sequence[Rows], reports: Sequence[Report], curves: Sequence[Curves]) -> Firm:
        """What the portfolio can promise whatever fails."""
        of_portfolio = [np.array(report.roll.pair_groups, np.int64) == PORTFOLIO for report in reports]
        parts = [(own.pairs[mine], each) for own, mine, each in zip(rows, of_portfolio, curves, strict=True)]
        class_kw = self.union.add_pairs([(pairs, each.class_kw) for pairs, each in parts])
        held_kw = self.union.add_pairs([(pairs, each.held_kw[:, None]) for pairs, each in parts])
        pairs = self.union.pairs
        table = CurveTable(
            np.sum([each.portfolio_kw for each in curves], axis=0)[None, :],
            np.array([sum(each.sites for each in curves)]),
            np.array([sum(each.known for each in curves)]),
            class_kw[pairs.group == PORTFOLIO],
        )
        own_pairs = pairs.of_group(PORTFOLIO)
        least, most = firm_reach(own_pairs, table, held_kw[pairs.group == PORTFOLIO, 0])
        return Firm(firm_curves(own_pairs, table)[0], float(least[0]), float(most[0]))

    def _priced(self, order: Order, cleared: Clearing | None) -> Order:
        """The order with the prices that cleared; feeders have a name, and their own price where they are limited."""
        if cleared is None:
            return order
        names = [self.union.names[group] for group in np.flatnonzero(self.union.level == Level.FEEDER)]
        own = {
            name: price
            for name, price in zip(names, cleared.feeder_price_per_kwh.tolist(), strict=True)
            if price != cleared.price_per_kwh
        }
        return msgspec.structs.replace(order, price_per_kwh=cleared.price_per_kwh, feeder_price_per_kwh=own)


def aged(report: Report, now_us: int, life_us: int) -> Report:
    """The report; one older than `life_us` as its partition was last, but out of reach and offering nothing."""
    age_us = now_us - report.now_us
    if age_us <= life_us:
        return report
    groups, zeros = report.groups, np.zeros_like(report.groups.sites)
    still = replace(
        groups, fresh=zeros, stale=zeros, silent=groups.sites, unreachable=groups.sites, up_kw=zeros, down_kw=zeros,
        raise_kw=zeros, lower_kw=zeros, up_kwh=zeros, down_kwh=zeros, fresh_kw=zeros, stale_kw=zeros,
        silent_kw=groups.rated_kw, unreachable_kw=groups.rated_kw,
        class_up_kw=np.zeros_like(groups.class_up_kw), class_down_kw=np.zeros_like(groups.class_down_kw),
    )  # fmt: skip
    flat = _still(report, groups)
    done_kwh = report.delivered_kwh + float(groups.power_sum_kw[PORTFOLIO]) * age_us / MICROS_PER_HOUR
    following = None if report.next is None else flat
    return msgspec.structs.replace(report, groups=still, now=flat, next=following, delivered_kwh=done_kwh)


def _still(report: Report, groups: GroupTable) -> Curves:
    """Curves that stay at the powers of `groups` whatever the price."""
    now, feeder = report.now, np.array(report.roll.levels) == Level.FEEDER
    feeders_kw = np.repeat(groups.power_sum_kw[feeder][:, None], now.portfolio_kw.size, axis=1)
    portfolio_kw = np.full(now.portfolio_kw.size, groups.power_sum_kw[PORTFOLIO])
    no_kw, nothing = np.zeros_like(now.class_kw), np.zeros_like(now.held_kw)
    return Curves(feeders_kw, portfolio_kw, no_kw, nothing, now.sites, now.known)
