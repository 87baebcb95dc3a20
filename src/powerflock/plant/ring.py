"""The ring's tick: read `Ring.turn` from top to bottom and you have seen the power plant work.

observe → learn → settle and award at an interval's start → plan → offers up → bid → clear → prices down → commands.
Deterministic: the same registry, batches, times, prices and outlook give the same commands and events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from powerflock.curve.grid import PRICE_GRID, read_at
from powerflock.dispatch.allocate import Clearing, clear, portfolio_curve, setpoints
from powerflock.dispatch.arbitrate import Proposal, resolve
from powerflock.dispatch.command import issue
from powerflock.dispatch.track import remaining_kw
from powerflock.domain.arrays import F64, Records
from powerflock.domain.clock import MICROS_PER_HOUR, MICROS_PER_S
from powerflock.domain.columns import Issuer
from powerflock.domain.registry import Registry
from powerflock.groups.curves import add_curves, curve_table
from powerflock.groups.hierarchy import Hierarchy, Level
from powerflock.groups.sums import GroupTable, add, group_sums
from powerflock.market.account import Account, Settlement
from powerflock.market.bids import Bid, bid_from_curve, dispatched_mw
from powerflock.market.programme import Programme, coordination_per_kwh, owner_payments
from powerflock.market.signs import to_market_mw, to_passive_kw
from powerflock.optimise.respond import stored_change
from powerflock.plant.outlook import Outlook
from powerflock.plant.planner import Planner
from powerflock.plant.shard import SiteShard, interval_starts
from powerflock.plant.terms import batteries
from powerflock.twins.apply import StepReport, step
from powerflock.twins.estimate import EstimateSettings, SiteColumns, observe


class Venue(Protocol):
    """What the ring asks of a market."""

    def spot_per_mwh(self, interval_us: int) -> float:
        """The price of the interval that starts at `interval_us`; known once it has started."""


@dataclass(frozen=True, slots=True)
class RingSettings:
    """How the ring turns. Times in µs; `plan_every` and `plan_keep` in intervals; `horizon_end_us` fixes the plan's end."""

    interval_us: int = 300 * MICROS_PER_S
    horizon_intervals: int = 288
    horizon_end_us: int | None = None
    plan_every: int = 6
    command_life_us: int = 600 * MICROS_PER_S
    estimate: EstimateSettings = field(default_factory=EstimateSettings)
    programme: Programme = field(default_factory=Programme)


@dataclass(frozen=True, slots=True)
class Award:
    """What the market took of a bid; passive kW. `bid` is None and the award unknown when no bid stood."""

    interval: int
    spot_per_mwh: float
    bid: Bid | None

    @property
    def mw(self) -> float | None:
        """Generation-positive MW."""
        return None if self.bid is None else dispatched_mw(self.bid, self.spot_per_mwh)


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn saw and decided. `commands` by partition; `settled` and `award` when an interval began; curves kW."""

    now_us: int
    interval: int
    groups: GroupTable
    columns: tuple[SiteColumns, ...]
    commands: tuple[Records, ...]
    settled: tuple[Settlement, ...]
    award: Award | None
    bid: Bid | None
    clearing: Clearing | None
    target_kw: float | None
    planned: bool
    began: Award | None


class Ring:
    """The plant's state. Shells feed it registry events, batches and the time, and carry out what it decides."""

    def __init__(
        self, registry: Registry, settings: RingSettings, outlook: Outlook, venue: Venue, planner: Planner, epoch: int = 0
    ) -> None:  # fmt: skip
        """An idle ring; `epoch` goes into every command."""
        self.registry, self.settings, self.outlook, self.venue = registry, settings, outlook, venue
        self.planner, self.epoch = planner, epoch
        self.shards = [SiteShard() for _ in range(registry.partitions)]
        self.hierarchy = Hierarchy.of([registry.table(part) for part in range(registry.partitions)])
        self.account = Account()
        self.award: Award | None = None
        self.bid: Bid | None = None
        self.last_us, self.opened_us = -1, -1
        self.target_kw: float | None = None

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

    def ingest(self, partition: int, batch: Records, now_us: int) -> StepReport:
        """Readings into twins."""
        return step(self.shards[partition].twins, batch, now_us)

    def turn(self, now_us: int) -> Turn:
        """One tick of the ring at `now_us`."""
        interval = now_us // self.settings.interval_us
        columns = tuple(observe(shard.twins, now_us, self.settings.estimate) for shard in self.shards)
        self._learn(columns, now_us)
        begins = self.award is None or interval != self.award.interval
        settled = self._begin(columns, interval, now_us) if begins else ()
        planned = self._plan_if_due(interval, now_us)
        curves = self._offers(columns, interval, now_us)
        clearing = self._clear(curves, columns, now_us)
        commands = self._command(curves, clearing, columns, now_us)
        self.bid = self._bid(columns, interval, now_us)
        self.last_us = now_us
        groups = add([group_sums(self.hierarchy, own, part) for part, own in enumerate(columns)])
        return Turn(
            now_us, interval, groups, columns, commands, settled, self.award, self.bid, clearing, self.target_kw, planned,
            self.award if begins else None,
        )  # fmt: skip

    def _learn(self, columns: Sequence[SiteColumns], now_us: int) -> None:
        """Books and outlook take in what happened since the last turn."""
        duration = now_us - self.last_us
        if self.last_us < 0 or duration <= 0:
            return
        for part, (shard, own) in enumerate(zip(self.shards, columns, strict=True)):
            if shard.sites:
                shard.meter(own, now_us, duration)
                self.outlook.learn(part, now_us, duration, own)

    def _begin(self, columns: Sequence[SiteColumns], interval: int, now_us: int) -> tuple[Settlement, ...]:
        """A new interval: settle what came before at its real price, then take the award of the standing bid."""
        settled = self._settle(columns, interval, now_us) if self.award is not None else ()
        for item in settled:
            self.account = self.account.plus(item)
        spot = self.venue.spot_per_mwh(interval * self.settings.interval_us)
        standing = self.bid if self.bid and self.bid.interval_us == interval * self.settings.interval_us else None
        self.award = Award(interval, spot, standing)
        self.opened_us = now_us
        for shard, own in zip(self.shards, columns, strict=True):
            shard.open_books(own)
        return settled

    def _settle(self, columns: Sequence[SiteColumns], interval: int, now_us: int) -> tuple[Settlement, ...]:
        """Every interval from the open one up to `interval`, the metered energy shared by time if there are several."""
        assert self.award is not None
        first, length = self.award.interval, self.settings.interval_us
        hours = (now_us - self.opened_us) / MICROS_PER_HOUR
        programme, results = self.settings.programme, []
        price = float(coordination_per_kwh(programme, np.array([self.award.spot_per_mwh]))[0])
        for shard, own in zip(self.shards, columns, strict=True):
            if shard.sites and shard.books is not None:
                result = shard.settle(own, first, length, hours)
                earned = np.nan_to_num(price * (result.alone_kwh - result.net_kwh))
                payments = owner_payments(programme, result.regret, earned)
                shard.paid += payments
                results.append((float(np.nansum(result.net_kwh)), float(earned.sum()), float(payments.sum())))
        delivered, earned_all, paid = (
            (sum(column) for column in zip(*results, strict=True)) if results else (0.0, 0.0, 0.0)
        )
        fresh = sum(float((own.freshness == 0).sum()) for own in columns)
        sites = max(sum(own.freshness.size for own in columns), 1)
        out = []
        for number in range(first, interval):
            spot = self.venue.spot_per_mwh(number * length)
            self.outlook.learn_price((number + 1) * length, length, spot)
            share = 1.0 / (interval - first)
            own_share = share if number == first else 0.0
            out.append(
                Settlement(
                    number * length,
                    hours * share,
                    spot,
                    self.award.mw if number == first else None,
                    to_market_mw(delivered * share),
                    earned_all * own_share * (interval - first),
                    paid * own_share * (interval - first),
                    fresh / sites,
                )  # fmt: skip
            )
        return tuple(out)

    def _plan_if_due(self, interval: int, now_us: int) -> bool:
        """Adopt the plans that are ready; start new ones every `plan_every` intervals and where sites changed."""
        for part, plan in self.planner.ready():
            if plan.fleet.left.shape[0] == self.shards[part].sites:
                self.shards[part].plan = plan
        horizon = self._horizon(interval)
        due = [part for part, shard in enumerate(self.shards) if shard.sites and self._is_due(part, interval)]
        if horizon < 1 or not due:
            return False
        times = interval_starts(interval, horizon, self.settings.interval_us)
        price = coordination_per_kwh(self.settings.programme, self.outlook.spot_ahead(now_us, times))
        for part in due:
            load, shard = self.outlook.ahead(part, now_us, times), self.shards[part]
            job = shard.plan_job(interval, self.settings.interval_us, load, price, 2 * self.settings.plan_every)
            plan = self.planner.start(part, interval, job)
            if plan is not None:
                shard.plan = plan
        return True

    def _horizon(self, interval: int) -> int:
        """How many intervals the plans from `interval` on cover."""
        end, length = self.settings.horizon_end_us, self.settings.interval_us
        return self.settings.horizon_intervals if end is None else int(end // length - interval)

    def _is_due(self, part: int, interval: int) -> bool:
        started = self.planner.started(part)
        plan = self.shards[part].plan
        newest = max(started if started is not None else -1, plan.first if plan is not None else -1)
        return newest < 0 or interval - newest >= self.settings.plan_every

    def _offers(self, columns: Sequence[SiteColumns], interval: int, now_us: int) -> list[F64]:
        """Each partition's (S, 41) curves for what is left of the interval."""
        hours = max((interval + 1) * self.settings.interval_us - now_us, MICROS_PER_S) / MICROS_PER_HOUR
        return [
            shard.offer(own, interval, now_us, hours, self.outlook.nowcast(part, now_us, now_us, own), own.stored_kwh)
            if shard.sites
            else np.zeros((0, PRICE_GRID.size))
            for part, (shard, own) in enumerate(zip(self.shards, columns, strict=True))
        ]

    def _feeder_curves(self, curves: Sequence[F64]) -> F64:
        """(F, 41) the feeders' curves over all partitions; what is unknown is left out (and shows in the coverage)."""
        whole = add_curves([curve_table(self.hierarchy, own, part) for part, own in enumerate(curves)])
        return np.asarray(whole.sum_kw[self.hierarchy.level == Level.FEEDER])

    def _limits(self, feeders: int) -> tuple[F64, F64]:
        """Import and export limits of the feeders, kW: none are configured, so they are infinite."""
        return np.full(feeders, np.inf), np.full(feeders, np.inf)

    def _clear(self, curves: Sequence[F64], columns: Sequence[SiteColumns], now_us: int) -> Clearing | None:
        """The price at which the portfolio delivers what is left of its award; without an award, λ = spot's own price."""
        feeders = self._feeder_curves(curves)
        self.target_kw = None
        if self.award is None or feeders.shape[0] == 0:
            return None
        limits = self._limits(feeders.shape[0])
        award_mw = self.award.mw
        if award_mw is None:
            price = coordination_per_kwh(self.settings.programme, np.array([self.award.spot_per_mwh]))[0]
            return clear(feeders, *limits, float(read_at(portfolio_curve(feeders, *limits), float(price))))
        length = self.settings.interval_us
        done = sum(shard.delivered_kwh(own) for shard, own in zip(self.shards, columns, strict=True))
        elapsed = (now_us - self.opened_us) / MICROS_PER_HOUR
        whole = ((self.award.interval + 1) * length - self.opened_us) / MICROS_PER_HOUR
        self.target_kw = remaining_kw(to_passive_kw(award_mw), whole, elapsed, done)
        return clear(feeders, *limits, self.target_kw)

    def _command(
        self, curves: Sequence[F64], clearing: Clearing | None, columns: Sequence[SiteColumns], now_us: int
    ) -> tuple[Records, ...]:
        """Prices to setpoints, arbitrated, as commands for the sites that need telling."""
        out = []
        feeder_ids = np.flatnonzero(self.hierarchy.level == Level.FEEDER)
        index = np.zeros(self.hierarchy.groups, np.int64)
        index[feeder_ids] = np.arange(feeder_ids.size)
        for part, (shard, own, curve) in enumerate(zip(self.shards, columns, curves, strict=True)):
            if clearing is None or shard.plan is None:
                out.append(
                    issue(shard.book, np.full(shard.sites, np.nan), np.zeros(shard.sites), shard.issuer, now_us, 1, 0)
                )
                continue
            feeder = index[self.hierarchy.feeder_of_site[part]]
            wish = np.where(shard.twins.table.capacity_kwh > 0, setpoints(curve, feeder, clearing), np.nan)
            cells = batteries(shard.twins.table, shard.terms.wear_per_kwh, np.nan_to_num(own.net_load_kw))
            network = Proposal(Issuer.NETWORK, -cells.export_limit_kw, cells.import_limit_kw)
            resolved = resolve([network], wish)
            shard.setpoint_kw, shard.issuer = resolved.setpoint_kw, resolved.issuer
            prices = clearing.feeder_price_per_kwh[feeder]
            life = self.settings.command_life_us
            out.append(issue(shard.book, resolved.setpoint_kw, prices, resolved.issuer, now_us, life, self.epoch))
        return tuple(out)

    def _bid(self, columns: Sequence[SiteColumns], interval: int, now_us: int) -> Bid | None:
        """The bid for the next interval, from where the batteries will stand when it begins; renewed every turn."""
        length = self.settings.interval_us
        start = (interval + 1) * length
        left = (start - now_us) / MICROS_PER_HOUR
        curves = []
        for part, (shard, own) in enumerate(zip(self.shards, columns, strict=True)):
            if not shard.sites:
                curves.append(np.zeros((0, PRICE_GRID.size)))
                continue
            load = self.outlook.nowcast(part, now_us, start, own)
            cells = batteries(shard.twins.table, shard.terms.wear_per_kwh, np.nan_to_num(load))
            told = np.where(np.isnan(shard.setpoint_kw), own.meter_kw, shard.setpoint_kw)
            battery = np.clip(told - own.net_load_kw, -own.discharge_limit_kw, own.charge_limit_kw)
            stored = own.stored_kwh + stored_change(cells, battery, left)
            stored = np.clip(stored, np.minimum(cells.floor_kwh, own.stored_kwh), cells.capacity_kwh)
            curves.append(shard.offer(own, interval + 1, start, length / MICROS_PER_HOUR, load, stored))
        if not any(shard.plan is not None and shard.plan.step(interval + 1) >= 0 for shard in self.shards):
            return None
        feeders = self._feeder_curves(curves)
        curve = portfolio_curve(feeders, *self._limits(feeders.shape[0]))
        expected = float(self.outlook.spot_ahead(now_us, interval_starts(interval + 1, 1, length))[0])
        return bid_from_curve(start, curve, self.settings.programme, expected)
