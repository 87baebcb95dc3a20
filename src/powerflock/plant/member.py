"""One partition's half of the ring: readings in, a report up; an order down, commands out.

Invariants: everything about single sites happens here and stays here. Books are closed and opened where an interval
ends, by what the sites' readings say of that moment, whether anybody bids meanwhile or not; what was closed is told
until an order says that it was taken. Deterministic, as the whole ring. Must not know other partitions, nor the market
but for an interval's price.
"""

from __future__ import annotations

import numpy as np

from powerflock.dispatch.allocate import Clearing
from powerflock.domain.arrays import F32, Records
from powerflock.domain.clock import MICROS_PER_DAY, MICROS_PER_HOUR
from powerflock.domain.columns import COMMAND, SITE_EVENT
from powerflock.domain.registry import Registry
from powerflock.groups.curves import curve_table
from powerflock.groups.hierarchy import PORTFOLIO, Hierarchy, Level
from powerflock.groups.roll import Roll
from powerflock.groups.sums import group_sums
from powerflock.market.programme import coordination_per_kwh
from powerflock.plant.commanding import commands
from powerflock.plant.messages import Closed, Curves, Order, Report
from powerflock.plant.model import RingSettings
from powerflock.plant.offering import held_next, offer_next, offer_now
from powerflock.plant.outlook import Outlook
from powerflock.plant.plan import Plan
from powerflock.plant.planner import Planner
from powerflock.plant.policies import PolicyBatch
from powerflock.plant.shard import SiteShard, interval_starts
from powerflock.twins.apply import StepReport, desire, note, step
from powerflock.twins.estimate import Freshness, observe


class Member:
    """The state of partition `part` and what it does; `shard` has the sites' own columns."""

    def __init__(
        self, part: int, registry: Registry, settings: RingSettings, outlook: Outlook, planner: Planner, epoch: int = 0
    ) -> None:
        """Idle; `epoch` goes into every report and command."""
        self.part, self.registry, self.settings = part, registry, settings
        self.outlook, self.planner, self.epoch = outlook, planner, epoch
        self.shard = SiteShard()
        self.interval, self.opened_us, self.last_us = -1, -1, -1
        self.closed: Closed | None = None
        self.earlier: tuple[Closed, ...] = ()
        self._spots = {-1: 0.0}
        self.columns = observe(self.shard.twins, 0, settings.estimate)
        self._offers_kw: F32 = np.zeros((0, 0), np.float32)
        self.stand(Hierarchy.of([registry.table(part)]), 0)

    def stand(self, hierarchy: Hierarchy, index: int) -> None:
        """From now on the sites' groups are those of `hierarchy`, in which this partition is number `index`."""
        self.hierarchy, self.index, self.roll = hierarchy, index, Roll.of(hierarchy)

    def enrolled(self, first_seq: int) -> None:
        """The registry's sites of this partition changed; commands continue above `first_seq`."""
        self.shard.adopt(self.registry.table(self.part), self.registry.specs(self.part), first_seq)
        self.outlook.enrol(self.part, self.shard.terms)

    def regroup(self) -> None:
        """Groups follow the registry, where this partition stands by itself."""
        self.stand(self.hierarchy.grow([self.registry.table(self.part)]), 0)

    def resume(self, interval: int, spot_per_mwh: float, opened_us: int) -> None:
        """After a restart, before newer readings are replayed: the interval that was open, its books from its start."""
        self.interval, self._spots = interval, {interval: spot_per_mwh}
        self.opened_us = self.last_us = opened_us
        self.shard.reopen_books(observe(self.shard.twins, opened_us, self.settings.estimate))

    @property
    def spot_per_mwh(self) -> float:
        """The price of the interval whose books are open, as far as it was told."""
        return self._spot(self.interval)

    def heed(self, order: Order) -> None:
        """The prices that the order tells, and what it says to be taken: before the readings that came with it."""
        known = max(number for number in self._spots if number <= self.interval)
        told = {**self._spots, **order.before_per_mwh, order.interval: order.spot_per_mwh}
        self._spots = {number: spot for number, spot in told.items() if number >= known}
        taken = order.taken.get(self.part, 0)
        self.earlier = tuple(closed for closed in self.earlier if closed.until > taken)

    def end_before(self, time_us: int) -> int | None:
        """The newest end of an interval before `time_us` that the open books have not seen; None if there is none."""
        return None if self.interval < 0 else self.settings.end_before(time_us, self.interval)

    def see(self, now_us: int) -> None:
        """What the sites do now and did since the last look; if an interval has ended its books are closed, new opened.

        Whoever has readings of both sides of an interval's end lets the member see that end between them.
        """
        self._observe(now_us)
        self._learn(now_us)
        interval = now_us // self.settings.interval_us
        if interval > self.interval:
            self._close(interval, now_us)
            self.interval, self.opened_us = interval, now_us
            self.shard.open_books(self.columns)
        self.last_us = now_us

    def ingest(self, batch: Records, now_us: int) -> StepReport | None:
        """Readings, or events of links and commands, into twins; a report of the readings."""
        if batch.dtype == SITE_EVENT:
            note(self.shard.twins, batch)
            return None
        return step(self.shard.twins, batch, now_us)

    def told(self, rows: Records) -> None:
        """These commands are on their way: from now on they are what the sites should do."""
        desire(self.shard.twins, rows)

    def look(self, order: Order, now_us: int) -> tuple[Report, list[PolicyBatch]]:
        """See what the sites do at `now_us`, plan as `order` expects prices, and report.

        Returns the policies that became ready too.
        """
        self.heed(order)
        self.see(now_us)
        policies = self._plan(order, now_us)
        return self._report(now_us), policies

    def follow(self, order: Order, now_us: int) -> Records:
        """The commands that answer the order's prices by the offers of the last look."""
        if order.price_per_kwh is None or self.shard.plan is None or not self.shard.sites:
            return self.nothing()
        prices = np.full(self.hierarchy.groups, order.price_per_kwh)
        own = [(self.hierarchy.id_of.get(name), price) for name, price in order.feeder_price_per_kwh.items()]
        for group, price in own:
            if group is not None:
                prices[group] = price
        cleared = Clearing(order.price_per_kwh, prices, np.zeros(0), 0.0)
        return commands(
            self.shard, self.columns, self._offers_kw, self.hierarchy.feeder_of_site[self.index], cleared, now_us,
            self.settings.command_life_us, self.epoch,
        )  # fmt: skip

    def nothing(self) -> Records:
        """No commands: what the sites were told runs out, and they go on by their policies."""
        return np.zeros(0, COMMAND)

    def _observe(self, now_us: int) -> None:
        """What every site does now: as reported, and where it is silent as projected."""
        self.columns = observe(self.shard.twins, now_us, self.settings.estimate)
        if self.shard.sites:
            now = np.array([now_us], np.int64)
            self.columns = self.shard.project(
                self.columns, now_us, lambda: self.outlook.ahead(self.part, now_us, now)[:, 0]
            )

    def _learn(self, now_us: int) -> None:
        """Books and outlook take in what happened since the last look."""
        duration = now_us - self.last_us
        if self.last_us >= 0 and duration > 0 and self.shard.sites:
            self.shard.meter(self.columns, now_us, duration, self.settings.interval_us)
            self.outlook.learn(self.part, now_us, duration, self.columns)

    def _close(self, until: int, now_us: int) -> None:
        """What came of the books that are open, at the price of their interval; owners' payments are booked."""
        shard, settings = self.shard, self.settings
        if self.interval < 0 or shard.books is None or not shard.sites:
            return
        hours = (now_us - self.opened_us) / MICROS_PER_HOUR
        result = shard.settle(self.columns, self.interval, until - 1, settings.interval_us, hours)
        spots = np.array([self._spot(number) for number in range(self.interval, until)])
        price = float(coordination_per_kwh(settings.programme, spots).mean())
        earned = np.nan_to_num(price * (result.beside_kwh - result.net_kwh))
        shard.pay(result.regret, earned)
        paid, topped_up = float(result.regret.sum()), 0.0
        if _day(self.opened_us, settings) != _day(now_us, settings):
            end = shard.close_day(self.columns, until, settings.programme.owner_share_ratio)
            paid, topped_up = paid + float(end.share.sum()), float(end.top_up.sum())
        if self.closed is not None:
            self.earlier = (*self.earlier, self.closed)
        fresh = int((self.columns.freshness == Freshness.FRESH).sum())
        self.closed = Closed(
            self.interval, until, float(np.nansum(result.net_kwh)), float(earned.sum()), paid, topped_up,
            shard.sites, fresh,
        )  # fmt: skip

    def _spot(self, number: int) -> float:
        """The interval's price; where no order told it, for nobody bid then, the one before it stands in."""
        return self._spots[max(known for known in self._spots if known <= number)]

    def _plan(self, order: Order, now_us: int) -> list[PolicyBatch]:
        """Adopt the plan that is ready; start a new one every `plan_every` intervals and where sites changed."""
        made = [self.planner.ready(self.part), self._start_plan(order, now_us)]
        policies = []
        for plan in made:
            if plan is None:
                continue
            self.shard.plan = plan.grown(self.shard.sites)
            if plan.policies is not None:
                self.shard.projection.send(plan.policies)
                policies.append(plan.policies)
        return policies

    def _start_plan(self, order: Order, now_us: int) -> Plan | None:
        """Start the plan that is due; it comes back if it was ready at once."""
        settings, shard, horizon = self.settings, self.shard, order.ahead_per_kwh.size
        if not shard.sites or not horizon or not self._is_due(order.interval):
            return None
        times = interval_starts(order.interval, horizon, settings.interval_us)
        load = self.outlook.ahead(self.part, now_us, times)
        epoch = self.epoch if shard.take_policy_turn(order.interval, settings.policy_every) else None
        job = shard.plan_job(
            order.interval, settings.interval_us, load, order.ahead_per_kwh, 2 * settings.plan_every, epoch
        )
        return self.planner.start(self.part, order.interval, job)

    def _is_due(self, interval: int) -> bool:
        """Whether the newest plan, made or being made, is `plan_every` intervals old, lacks sites, or there is none."""
        plan, started = self.shard.plan, self.planner.started(self.part)
        if started is None and plan is not None and plan.homes < self.shard.sites:
            return True
        known = [first for first in (started, plan.first if plan is not None else None) if first is not None]
        return not known or interval - max(known) >= self.settings.plan_every

    def _report(self, now_us: int) -> Report:
        """What goes up."""
        shard, settings, outlook = self.shard, self.settings, self.outlook
        self._offers_kw = offer_now(shard, self.columns, outlook, self.part, now_us, settings.interval_us)
        following = None
        if shard.plan is not None and shard.plan.step(now_us // settings.interval_us + 1) >= 0:
            next_kw = offer_next(shard, self.columns, outlook, self.part, now_us, settings.interval_us)
            following = self._curves(next_kw, ahead=True)
        return Report(
            partition=self.part,
            epoch=self.epoch,
            now_us=now_us,
            interval=self.interval,
            roll=self.roll,
            groups=group_sums(self.hierarchy, self.columns, self.index),
            now=self._curves(self._offers_kw, ahead=False),
            next=following,
            delivered_kwh=shard.delivered_kwh(self.columns),
            closed=self.closed,
            earlier=self.earlier,
        )

    def _curves(self, offers_kw: F32, *, ahead: bool) -> Curves:
        """By group; what sites do if they hear nothing more matters for what is promised `ahead` alone."""
        table, pairs = curve_table(self.hierarchy, offers_kw, self.index), self.hierarchy.failures.pairs
        of_portfolio = pairs.group == PORTFOLIO
        held_kw = np.zeros(int(of_portfolio.sum()))
        if ahead:
            held = curve_table(self.hierarchy, held_next(self.shard, offers_kw), self.index)
            held_kw = held.class_kw[of_portfolio, 0]
        return Curves(
            table.sum_kw[self.hierarchy.level == Level.FEEDER],
            table.sum_kw[PORTFOLIO],
            table.class_kw[of_portfolio],
            held_kw,
            int(table.sites[PORTFOLIO]),
            int(table.known[PORTFOLIO]),
        )


def _day(time_us: int, settings: RingSettings) -> int:
    """Number of the local day that holds `time_us`."""
    return (time_us + settings.day_offset_us) // MICROS_PER_DAY
