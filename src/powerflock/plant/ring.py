"""The ring's tick: read `Ring.turn` from top to bottom and you have seen the power plant work.

observe → learn → settle and award at an interval's start → plan → offers up → clear → prices down → commands → bid.
Deterministic: the same registry, batches, times, prices and outlook give the same commands and events.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from powerflock.domain.arrays import Records
from powerflock.domain.columns import SITE_EVENT
from powerflock.domain.registry import Registry
from powerflock.groups.firm import firm_capacity
from powerflock.groups.hierarchy import Hierarchy
from powerflock.groups.sums import add, group_sums
from powerflock.market.account import Account, Settlement
from powerflock.market.bids import Bid
from powerflock.market.programme import coordination_per_kwh
from powerflock.plant.commanding import clearing, commands, target_kw
from powerflock.plant.model import Award, RingSettings, Turn, Venue
from powerflock.plant.offering import next_bid, offers_now
from powerflock.plant.outlook import Outlook
from powerflock.plant.plan import Plan
from powerflock.plant.planner import Planner
from powerflock.plant.policies import PolicyBatch
from powerflock.plant.settling import settle
from powerflock.plant.shard import SiteShard, interval_starts
from powerflock.twins.apply import StepReport, desire, note, step
from powerflock.twins.estimate import SiteColumns, observe


class Ring:
    """The plant's state. Shells feed it registry events, batches and the time, and carry out what it decides."""

    def __init__(
        self,
        registry: Registry,
        settings: RingSettings,
        outlook: Outlook,
        venue: Venue,
        planner: Planner,
        epoch: int = 0,
    ) -> None:
        """An idle ring; `epoch` goes into every command."""
        self.registry, self.settings, self.outlook, self.venue = registry, settings, outlook, venue
        self.planner, self.epoch = planner, epoch
        self.shards = [SiteShard() for _ in range(registry.partitions)]
        self.hierarchy = Hierarchy.of([registry.table(part) for part in range(registry.partitions)])
        self.account = Account()
        self.award: Award | None = None
        self.bid: Bid | None = None
        self.last_us, self.opened_us = -1, -1

    def enrolled(self, partition: int, first_seq: int) -> None:
        """The registry's sites of `partition` changed; commands continue above `first_seq`."""
        shard = self.shards[partition]
        shard.adopt(self.registry.table(partition), self.registry.specs(partition), first_seq)
        self.outlook.enrol(partition, shard.terms)
        self.hierarchy = self.hierarchy.grow([self.registry.table(part) for part in range(self.registry.partitions)])

    def resume(self, award: Award | None, opened_us: int) -> None:
        """After a restart, before newer readings are replayed: the interval that was open, its books from its start."""
        self.award, self.opened_us, self.last_us = award, opened_us, opened_us
        for shard in self.shards:
            shard.open_books(observe(shard.twins, opened_us, self.settings.estimate))

    def ingest(self, partition: int, batch: Records, now_us: int) -> StepReport | None:
        """Readings, or events of links and commands, into twins; a report of the readings."""
        twins = self.shards[partition].twins
        if batch.dtype == SITE_EVENT:
            note(twins, batch)
            return None
        return step(twins, batch, now_us)

    def told(self, commands: Sequence[Records]) -> None:
        """These commands, by partition, are on their way: from now on they are what the sites should do."""
        for shard, own in zip(self.shards, commands, strict=True):
            desire(shard.twins, own)

    def turn(self, now_us: int) -> Turn:
        """One tick of the ring at `now_us`."""
        settings, shards = self.settings, self.shards
        interval = now_us // settings.interval_us
        columns = tuple(self._observe(part, now_us) for part in range(len(shards)))
        self._learn(columns, now_us)
        begins = self.award is None or interval != self.award.interval
        settled = self._settle(columns, now_us) if begins else ()
        award = self._open(columns, interval, now_us) if begins or self.award is None else self.award
        planned, policies = self._plan(interval, now_us)
        curves = offers_now(shards, columns, self.outlook, now_us, settings.interval_us)
        target = target_kw(shards, columns, award, self.opened_us, now_us, settings.interval_us)
        cleared = clearing(self.hierarchy, curves, award, target, settings)
        told = commands(
            self.hierarchy, shards, columns, curves, cleared, now_us, settings.command_life_us, self.epoch
        )  # fmt: skip
        self.bid = next_bid(shards, columns, self.hierarchy, self.outlook, now_us, settings)
        self.last_us = now_us
        groups = add([group_sums(self.hierarchy, own, part) for part, own in enumerate(columns)])
        return Turn(
            now_us=now_us,
            interval=interval,
            groups=groups,
            firm=firm_capacity(self.hierarchy, groups),
            columns=columns,
            commands=told,
            award=award,
            bid=self.bid,
            clearing=cleared,
            target_kw=target,
            planned=planned,
            policies=policies,
            began=award if begins else None,
            settled=settled,
        )

    def _observe(self, part: int, now_us: int) -> SiteColumns:
        """What every site of a partition does now: as reported, and where it is silent as projected."""
        shard, settings = self.shards[part], self.settings
        columns = observe(shard.twins, now_us, settings.estimate)
        if not shard.sites:
            return columns
        now = np.array([now_us], np.int64)
        return shard.project(columns, now_us, lambda: self.outlook.ahead(part, now_us, now)[:, 0])

    def _learn(self, columns: Sequence[SiteColumns], now_us: int) -> None:
        """Books and outlook take in what happened since the last turn."""
        duration = now_us - self.last_us
        if self.last_us < 0 or duration <= 0:
            return
        for part, (shard, own) in enumerate(zip(self.shards, columns, strict=True)):
            if shard.sites:
                shard.meter(own, now_us, duration, self.settings.interval_us)
                self.outlook.learn(part, now_us, duration, own)

    def _settle(self, columns: Sequence[SiteColumns], now_us: int) -> tuple[Settlement, ...]:
        """Whatever was open, at its real price; the outlook learns the prices."""
        if self.award is None:
            return ()
        settled = settle(self.shards, columns, self.award, self.opened_us, now_us, self.venue, self.settings)
        for item in settled:
            self.account = self.account.plus(item)
            length = self.settings.interval_us
            self.outlook.learn_price(item.interval_us + length, length, item.spot_per_mwh)
        return settled

    def _open(self, columns: Sequence[SiteColumns], interval: int, now_us: int) -> Award:
        """The new interval's award: what its price dispatches of the standing bid. Its books start from the meters."""
        start = interval * self.settings.interval_us
        standing = self.bid if self.bid is not None and self.bid.interval_us == start else None
        self.award, self.opened_us = Award(interval, self.venue.spot_per_mwh(start), standing), now_us
        for shard, own in zip(self.shards, columns, strict=True):
            shard.open_books(own)
        return self.award

    def _plan(self, interval: int, now_us: int) -> tuple[bool, tuple[tuple[int, PolicyBatch], ...]]:
        """Adopt the plans that are ready; start new ones every `plan_every` intervals and where sites changed.

        Returns whether any was started, and the policies of those adopted, with their partitions.
        """
        before = self._adopt(self.planner.ready())
        started, at_once = self._start_plans(interval, now_us)
        return started, (*before, *self._adopt(at_once))

    def _adopt(self, plans: Sequence[tuple[int, Plan]]) -> tuple[tuple[int, PolicyBatch], ...]:
        """Go by these plans of partitions from now on; returns the policies among them."""
        for part, plan in plans:
            self.shards[part].plan = plan.grown(self.shards[part].sites)
            if plan.policies is not None:
                self.shards[part].projection.send(plan.policies)
        return tuple((part, plan.policies) for part, plan in plans if plan.policies is not None)

    def _start_plans(self, interval: int, now_us: int) -> tuple[bool, list[tuple[int, Plan]]]:
        """Start the plans that are due; whether there were any, and those that were ready at once."""
        settings = self.settings
        due = [part for part, shard in enumerate(self.shards) if shard.sites and self._is_due(part, interval)]
        horizon = settings.horizon_intervals
        if settings.horizon_end_us is not None:
            horizon = settings.horizon_end_us // settings.interval_us - interval
        if horizon < 1 or not due:
            return False, []
        at_once = []
        times = interval_starts(interval, horizon, settings.interval_us)
        price = coordination_per_kwh(settings.programme, self.outlook.spot_ahead(now_us, times))
        for part in due:
            load = self.outlook.ahead(part, now_us, times)
            epoch = self.epoch if self.shards[part].take_policy_turn(interval, settings.policy_every) else None
            keep = 2 * settings.plan_every
            job = self.shards[part].plan_job(interval, settings.interval_us, load, price, keep, epoch)
            plan = self.planner.start(part, interval, job)
            if plan is not None:
                at_once.append((part, plan))
        return True, at_once

    def _is_due(self, part: int, interval: int) -> bool:
        """Whether the newest plan, made or being made, is `plan_every` intervals old, lacks sites, or there is none."""
        plan, started = self.shards[part].plan, self.planner.started(part)
        if started is None and plan is not None and plan.homes < self.shards[part].sites:
            return True
        known = [first for first in (started, plan.first if plan is not None else None) if first is not None]
        return not known or interval - max(known) >= self.settings.plan_every
