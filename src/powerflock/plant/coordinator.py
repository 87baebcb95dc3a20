"""The portfolio's half of the ring: reports of all partitions up, one price for each group down, and the market.

open → gather → settle → clear → bid. Invariants: it knows groups, never sites; the newest report of a partition is all
there is of it; a partition whose report is old stays in the totals with what it did last, out of reach, so that what
drops is the coverage; an interval is settled by what was metered, and again when a partition tells of it later, so that
all energy counts once, where it flowed. Deterministic, as the whole ring. Must not know how reports come and orders go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

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
from powerflock.plant.settling import unsettled, with_parts
from powerflock.plant.shard import interval_starts

_REVISED = 576
"""So many intervals may still be revised: two days of 5 minutes."""
_SPOTS_TOLD = 288
"""Of so many intervals a partition that comes back is told the price: a day of 5 minutes."""


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
        self._ended: dict[int, Settlement] = {}
        self._settled: dict[int, Settlement] = {}
        self._order: Order | None = None

    def resume(self, award: Award | None, opened_us: int) -> None:
        """After a restart: the interval that was open."""
        self.award, self.opened_us = award, opened_us

    def owe(self, number: int, award: Award | None, opened_us: int) -> None:
        """This interval has ended, by `award` if it had one, was ours from `opened_us` on, and is not settled yet."""
        length = self.settings.interval_us
        hours = ((number + 1) * length - opened_us) / MICROS_PER_HOUR
        spot = self.venue.spot_per_mwh(number * length)
        self._ended[number] = unsettled(number, None if award is None else award.mw, hours, spot, length)

    def remember(self, settled: Iterable[Settlement]) -> None:
        """These are in the account; what a partition tells of them later revises them."""
        for item in settled:
            self._settled[item.interval_us // self.settings.interval_us] = item
        for number in list(islice(self._settled, max(len(self._settled) - _REVISED, 0))):
            del self._settled[number]

    def open(self, now_us: int) -> tuple[Order, bool]:
        """The order under which partitions look at `now_us`, without prices yet; whether it opens an interval."""
        length = self.settings.interval_us
        interval = now_us // length
        begins = self.award is None or interval > self.award.interval
        if begins:
            self._begin(interval, now_us)
        elif self._order is None:
            assert self.award is not None
            ahead = self._ahead(self.award.interval, now_us)
            self._order = Order(now_us, self.award.interval, self.award.spot_per_mwh, ahead)
        assert self._order is not None
        return msgspec.structs.replace(self._order, now_us=now_us), begins

    def decide(self, order: Order, reports: Sequence[Report], now_us: int) -> Decision:
        """Settle, clear and bid by the newest `reports`, one for each partition that has reported."""
        assert self.award is not None, "decide follows open"
        reports = [aged(report, now_us, self.settings.report_life_us) for report in reports]
        rows = [self.union.rows(report.roll) for report in reports]
        groups = self.union.add([(own, report.groups) for own, report in zip(rows, reports, strict=True)])
        settled = self._settle(reports, float(groups.sites[PORTFOLIO]))
        order = self._order = self._answered(order, reports)
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
        length, start = self.settings.interval_us, interval * self.settings.interval_us
        passed = range(interval, interval) if self.award is None else range(self.award.interval, interval)
        for number in passed:
            first = number == passed.start
            self.owe(number, self.award if first else None, self.opened_us if first else number * length)
            self.outlook.learn_price((number + 1) * length, length, self._ended[number].spot_per_mwh)
        standing = self.bid if self.bid is not None and self.bid.interval_us == start else None
        opened_us = now_us if self.award is None else start
        self.award, self.opened_us = Award(interval, self.venue.spot_per_mwh(start), standing), opened_us
        self._order = Order(
            now_us, interval, self.award.spot_per_mwh, self._ahead(interval, now_us), before_per_mwh=self._spots(passed)
        )

    def _ahead(self, interval: int, now_us: int) -> F64:
        """(T,) expected coordination prices from `interval` on."""
        settings, horizon = self.settings, self.settings.horizon_intervals
        if settings.horizon_end_us is not None:
            horizon = settings.horizon_end_us // settings.interval_us - interval
        if horizon < 1:
            return np.zeros(0)
        times = interval_starts(interval, horizon, settings.interval_us)
        return coordination_per_kwh(settings.programme, self.outlook.spot_ahead(now_us, times))

    def _settle(self, reports: Sequence[Report], sites: float) -> tuple[Settlement, ...]:
        """What ended, once every partition has told what came of it, or the next interval has ended too; revisions."""
        assert self.award is not None
        done, parts = list[Settlement](), _parts(reports)
        for number, item in list(self._ended.items()):
            if number + 1 < self.award.interval or all(report.interval > number for report in reports):
                del self._ended[number]
                done.append(with_parts(item, parts.get(number, {}), sites))
                self.account = self.account.plus(done[-1])
        self.remember(done)
        for number, told in parts.items():
            known = self._settled.get(number)
            if known is None or known.partitions is None:
                continue
            late = {partition: part for partition, part in told.items() if partition not in known.partitions}
            if late:
                revised = msgspec.structs.replace(with_parts(known, late, sites), revision=known.revision + 1)
                self.account = self.account.revised(known, revised)
                done.append(revised)
        self.remember(done)
        return tuple(done)

    def _answered(self, order: Order, reports: Sequence[Report]) -> Order:
        """The order with what of each partition is settled, and the prices that those who were away have missed."""
        since = min((report.interval for report in reports), default=order.interval)
        return msgspec.structs.replace(
            order,
            before_per_mwh=self._spots(range(since, order.interval)),
            taken={report.partition: self._taken(report) for report in reports},
        )

    def _spots(self, numbers: range) -> dict[int, float]:
        """The prices of these intervals, but of the newest day at most."""
        length = self.settings.interval_us
        return {number: self.venue.spot_per_mwh(number * length) for number in numbers[-_SPOTS_TOLD:]}

    def _taken(self, report: Report) -> int:
        """The interval before which all that the partition told is settled, or was no concern of this portfolio."""
        return min(
            (closed.first for closed in report.told if not self._has(closed, report.partition)), default=report.interval
        )

    def _has(self, closed: Closed, partition: int) -> bool:
        """Whether nothing of it is to be settled any more."""
        assert self.award is not None
        for number in range(closed.first, closed.until):
            item = self._settled.get(number)
            if number in self._ended or number >= self.award.interval:
                return False
            if item is not None and item.partitions is not None and partition not in item.partitions:
                return False
        return True

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
        offers = [_offer(report, self.award.interval + 1) for report in reports]
        chosen = [
            (own, report, offer) for own, report, offer in zip(rows, reports, offers, strict=True) if offer is not None
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


def _offer(report: Report, interval: int) -> Curves | None:
    """What the partition offers in `interval`; by a clock that is ahead of ours it may have begun there."""
    if report.interval == interval:
        return report.now
    return report.next if report.interval + 1 == interval else None


def _parts(reports: Sequence[Report]) -> Mapping[int, Mapping[int, Closed]]:
    """What partitions tell of intervals, by interval and partition."""
    parts: dict[int, dict[int, Closed]] = {}
    for report in reports:
        for closed in report.told:
            for number in range(closed.first, closed.until):
                parts.setdefault(number, {})[report.partition] = closed.each()
    return parts


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
