"""One partition in the ring: its twins, its owners' terms, its plans, and the books of the interval that is open.

Invariants: the plan holds two value functions per site, W (the owner alone) and V (with the expected coordination
price); an interval's books start from where the batteries really stand. Must not know other partitions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from powerflock.curve.grid import PRICE_GRID
from powerflock.dispatch.command import CommandBook
from powerflock.domain.arrays import F32, F64, I64, Bools
from powerflock.domain.clock import MICROS_PER_HOUR, MICROS_PER_S
from powerflock.domain.registry import SiteTable
from powerflock.domain.site import SiteSpec
from powerflock.optimise.problem import SiteProblems
from powerflock.optimise.respond import Moment, best_cost, energy_cost, offers, stored_change, value
from powerflock.optimise.site import Mapper, convexified
from powerflock.plant.books import Books, SiteResult
from powerflock.plant.owners import DayEnd, Real, close_day, follow, grow, live_beside, open_accounts
from powerflock.plant.plan import Plan, solve_checked
from powerflock.plant.policies import policy_batch
from powerflock.plant.projection import Projection, away, project, rest
from powerflock.plant.terms import Terms, batteries
from powerflock.twins.columns import Shard, enrol
from powerflock.twins.estimate import SiteColumns


class SiteShard:
    """State of one partition; every method takes the time and columns it works on."""

    def __init__(self) -> None:
        """A partition without sites."""
        self.twins = Shard.empty()
        self.terms = Terms.of([])
        self.plan: Plan | None = None
        self.books: Books | None = None
        self.book = CommandBook.empty(0, 0)
        self.accounts = open_accounts(0)
        self.projection = Projection()
        self.setpoint_kw, self.price_per_kwh = np.zeros(0), np.zeros(0)
        self.issuer = np.zeros(0, np.uint8)
        self.policies_from: int | None = None
        self.policies_for = 0

    def adopt(self, table: SiteTable, specs: Sequence[SiteSpec], first_seq: int) -> None:
        """The registry changed: more sites, or other terms. What runs goes on; new sites join with the next plan."""
        enrol(self.twins, table)
        self.terms = Terms.of(specs)
        if self.plan is not None:
            self.plan = self.plan.grown(table.sites)
        if self.books is not None:
            self.books = self.books.grown(table.sites)
        more = table.sites - self.accounts.size
        self.book.grow(table.sites, first_seq)
        self.accounts = grow(self.accounts, table.sites)
        self.projection.grow(table.sites)
        self.setpoint_kw = np.pad(self.setpoint_kw, (0, more), constant_values=np.nan)
        self.price_per_kwh = np.pad(self.price_per_kwh, (0, more))
        self.issuer = np.pad(self.issuer, (0, more))

    def take_policy_turn(self, interval: int, every: int) -> bool:
        """Whether the plan from `interval` on is to make policies; if so they count as made.

        They are every `every` intervals, and when the sites are a tenth more than those they were made for.
        """
        recent = self.policies_from is not None and interval - self.policies_from < every
        if recent and self.sites <= 1.1 * self.policies_for:
            return False
        self.policies_from, self.policies_for = interval, self.sites
        return True

    @property
    def sites(self) -> int:
        """S."""
        return self.twins.table.sites

    def problems(
        self, first: int, interval_us: int, net_load_kw: F64, price_per_kwh: F64, stored_kwh: F64
    ) -> SiteProblems:  # fmt: skip
        """The site problems of the T intervals from `first` on, by `net_load_kw` (S, T), `price_per_kwh` (T,)."""
        buy, sell = self.terms.prices(interval_starts(first, price_per_kwh.size, interval_us))
        cells = batteries(self.twins.table, self.terms.wear_per_kwh, net_load_kw)
        return SiteProblems(
            hours=np.full(price_per_kwh.size, interval_us / MICROS_PER_HOUR),
            net_load_kw=np.ascontiguousarray(net_load_kw),
            import_per_kwh=buy,
            export_per_kwh=sell,
            tariff=self.terms.tariff,
            coordination_per_kwh=price_per_kwh,
            terminal_per_kwh=self.terminal_per_kwh(),
            stored_kwh=np.clip(np.nan_to_num(stored_kwh), cells.floor_kwh, cells.capacity_kwh),
            batteries=cells,
        )

    def plan_job(
        self, first: int, interval_us: int, net_load_kw: F64, price_per_kwh: F64, keep: int,
        policy_epoch: int | None = None,
    ) -> Callable[[Mapper], Plan]:  # fmt: skip
        """The work of planning from interval `first` on, bound to the sites of now: it may run beside later turns.

        With `policy_epoch` policies for the edges are made too.
        """
        nowhere = np.zeros(self.sites)
        alone = self.problems(first, interval_us, net_load_kw, np.zeros_like(price_per_kwh), nowhere)
        fleet = convexified(replace(alone, coordination_per_kwh=price_per_kwh))
        kept = min(keep, price_per_kwh.size)

        def solve_both(mapper: Mapper) -> Plan:
            own, shared = solve_checked(alone, kept, mapper), solve_checked(fleet, kept, mapper)
            errors, made = {**shared.errors, **own.errors}, None
            if policy_epoch is not None:
                planned = np.setdiff1d(np.flatnonzero(alone.batteries.capacity_kwh > 0), list(errors))
                made = policy_batch(alone, planned, first * interval_us, policy_epoch, mapper)
            return Plan(first, own.values, shared.values, alone.homes, errors, made)

        return solve_both

    def terminal_per_kwh(self) -> F64:
        """(S,) value of energy left at a plan's end, $/kWh stored: it replaces at least the day's cheapest import."""
        cheapest = self.terms.import_per_kwh[self.terms.tariff].min(axis=1)
        return np.asarray(cheapest * self.twins.table.discharge_efficiency_ratio)

    def moment(self, time_us: int, hours: float, net_load_kw: F64, stored_kwh: F64) -> Moment:
        """The nameplate moment at `time_us`; unknown load and energy count as 0 and the reserve (mask later)."""
        buy, sell = self.terms.site_prices(time_us)
        load = np.where(np.isnan(net_load_kw), 0.0, net_load_kw)
        cells = batteries(self.twins.table, self.terms.wear_per_kwh, load)
        stored = np.where(np.isnan(stored_kwh), cells.floor_kwh, stored_kwh)
        return Moment(hours, load, buy, sell, stored, cells)

    def offer(
        self, columns: SiteColumns, interval: int, time_us: int, hours: float, net_load_kw: F64, stored_kwh: F64
    ) -> F32:
        """(S, 41) offer curves for the `hours` that remain of `interval`, with the limits that telemetry reports.

        A silent site cannot be reached: its curve is its estimated power at every price. NaN where nothing is known.
        """
        moment = self.moment(time_us, hours, net_load_kw, stored_kwh)
        reported = replace(
            moment.batteries,
            charge_limit_kw=columns.charge_limit_kw,
            discharge_limit_kw=columns.discharge_limit_kw,
        )
        step = self.plan.step(interval) if self.plan is not None else -1
        if self.plan is None or step < 0:
            return np.repeat(columns.meter_kw[:, None].astype(np.float32), PRICE_GRID.size, axis=1)
        curves = offers(replace(moment, batteries=reported), self.plan.fleet, step, PRICE_GRID)
        out_of_reach = ~columns.reachable | np.isnan(net_load_kw) | np.isnan(stored_kwh)
        out_of_reach |= ~self.plan.covers(self.sites)
        return np.where(out_of_reach[:, None], columns.meter_kw[:, None], curves).astype(np.float32)

    def project(self, columns: SiteColumns, now_us: int, expected: Callable[[], F64]) -> SiteColumns:
        """The columns with silent homes taken along; `expected` gives the (S,) net load to expect now, when needed."""
        silent, before_us = away(columns), self.projection.last_us
        if not silent.any():
            rest(self.projection, now_us)
            return columns
        net_load_kw = expected()
        cells = batteries(self.twins.table, self.terms.wear_per_kwh, net_load_kw)
        hold_us = max(now_us - before_us, MICROS_PER_S) if before_us >= 0 else MICROS_PER_S
        return project(self.projection, self.twins, columns, silent, net_load_kw, cells, now_us, hold_us)

    def open_books(self, columns: SiteColumns) -> None:
        """A new interval starts from where the batteries and meters stand."""
        self.accounts["register_kwh"] = columns.register_kwh
        self.reopen_books(columns)

    def reopen_books(self, columns: SiteColumns) -> None:
        """After a restart, with `columns` of where the books were opened: they go on from the registers of then.

        A silent home's register was an estimate, which this process might make otherwise: energy would be lost.
        """
        beside, register = self.accounts["beside_kwh"], self.accounts["register_kwh"]
        self.accounts["beside_kwh"] = np.where(np.isnan(beside), columns.stored_kwh, beside)
        register = np.where(np.isnan(register), columns.register_kwh, register)
        self.books = Books.opened(replace(columns, register_kwh=register))

    def meter(self, columns: SiteColumns, time_us: int, duration_us: int, interval_us: int) -> None:
        """Add what meters and batteries did, and the world beside, over the `duration_us` that ended at `time_us`."""
        books = self.books
        if books is None:
            return
        began, hours = time_us - duration_us, duration_us / MICROS_PER_HOUR
        net_kwh, unsound = books.register_rise(columns, hours), books.mark_unsound(columns, hours)
        battery_kwh = columns.battery_kw * hours
        if duration_us > interval_us // 2:
            battery_kwh = self._battery_kwh(columns)
        load_kwh = net_kwh - battery_kwh
        moment = self.moment(began, hours, load_kwh / hours, columns.stored_kwh)
        cost = energy_cost(moment, net_kwh) + self.terms.wear_per_kwh * np.abs(battery_kwh)
        books.cost += cost
        cost = np.nan_to_num(cost)
        self.accounts["day_cost"] += cost
        books.load_kwh += load_kwh
        change_kwh = stored_change(moment.batteries, np.nan_to_num(battery_kwh / hours), hours)
        change_kwh = np.where(unsound, np.nan_to_num(columns.stored_kwh - books.last_stored_kwh), change_kwh)
        real = Real(hours, net_kwh, cost, change_kwh)
        books.beside_kwh += self._live_beside(moment, began, interval_us, real, unsound)
        books.turned(columns)

    def _live_beside(self, moment: Moment, began_us: int, interval_us: int, real: Real, unsound: Bools) -> F64:
        """The world beside over the moment, (S,) kWh; `unsound` ones, or without a plan, do there as here."""
        step = self.plan.step(began_us // interval_us) if self.plan is not None else -1
        if self.plan is None or step < 0:
            return follow(self.accounts, real)
        left = interval_us / MICROS_PER_HOUR - began_us % interval_us / MICROS_PER_HOUR
        beside = replace(moment, hours=max(left, real.hours))
        return live_beside(self.accounts, beside, self.plan.alone, step, real, self.plan.covers(self.sites) & ~unsound)

    def _battery_kwh(self, columns: SiteColumns) -> F64:
        """(S,) energy through the batteries' terminals since the interval opened, from what they store: after a gap."""
        assert self.books is not None
        table, change = self.twins.table, columns.stored_kwh - self.books.stored_kwh
        return np.where(change > 0, change / table.charge_efficiency_ratio, change * table.discharge_efficiency_ratio)

    def delivered_kwh(self, columns: SiteColumns) -> float:
        """Net energy since the interval opened, over the sites whose meters were known then and are now."""
        if self.books is None:
            return 0.0
        return float(np.nansum(columns.register_kwh - self.books.register_kwh))

    def settle(self, columns: SiteColumns, first: int, last: int, interval_us: int, hours: float) -> SiteResult:
        """What intervals `first` to `last` gave each site, against the best its owner alone could have done."""
        books = self.books
        assert books is not None, "settle follows open_books"
        net_kwh = columns.register_kwh - books.register_kwh
        step = self.plan.step(last) if self.plan is not None else -1
        if self.plan is None or step < 0:
            return SiteResult(net_kwh, books.beside_kwh, np.zeros(self.sites))
        moment = self.moment(first * interval_us, hours, books.load_kwh / hours, books.stored_kwh)
        best = best_cost(moment, self.plan.alone, step)[1]
        spent = books.cost + value(self.plan.alone, step, columns.stored_kwh)
        known = (
            np.isfinite(net_kwh)
            & np.isfinite(spent)
            & np.isfinite(books.stored_kwh)
            & books.sound
            & self.plan.covers(self.sites)
        )
        return SiteResult(net_kwh, books.beside_kwh, np.where(known, np.maximum(spent - best, 0.0), 0.0))

    def pay(self, regret: F64, earned: F64) -> None:
        """Book an interval: its `regret` (S,) $ is paid, and what its deviation `earned` is remembered for the day."""
        self.accounts["paid"] += regret
        self.accounts["day_paid"] += regret
        self.accounts["day_earned"] += earned

    def close_day(self, columns: SiteColumns, interval: int, share_ratio: float) -> DayEnd:
        """Settle the local day that ends where `interval` begins."""
        real, beside = columns.stored_kwh, self.accounts["beside_kwh"]
        step = interval - self.plan.first if self.plan is not None else -1
        to_go = -self.terminal_per_kwh() * real, -self.terminal_per_kwh() * beside
        if self.plan is not None and 0 <= step < self.plan.alone.left.shape[1]:
            covered, worth = self.plan.covers(self.sites), self.plan.alone
            to_go = (
                np.where(covered, value(worth, step, real), to_go[0]),
                np.where(covered, value(worth, step, beside), to_go[1]),
            )
        return close_day(self.accounts, *to_go, real, share_ratio)


def interval_starts(first: int, count: int, interval_us: int) -> I64:
    """(count,) starts of intervals from `first` on, µs UTC."""
    return (first + np.arange(count, dtype=np.int64)) * interval_us
