"""A plant and its homes in virtual time: the live plant's own parts without sockets, and the owner-alone world beside.

Two fleets run the same days: one follows the plant's commands; in the other every home does the best for its owner
alone, on the same forecasts, starting each local midnight from where the first one's batteries really stand and with
nameplate power to the end: the battery that the guarantee measures against. Bills are kept from the homes' own
registers, not from telemetry. Deterministic: the same inputs give the same trace hash.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Protocol

import msgspec
import numpy as np

from powerflock.domain.arrays import F64, I64, Bools
from powerflock.domain.batches import encode
from powerflock.domain.clock import MICROS_PER_DAY, MICROS_PER_HOUR
from powerflock.domain.columns import COMMAND, SITE_EVENT, Issuer, SiteEventKind
from powerflock.edge.safety import Refusal
from powerflock.log.port import Log
from powerflock.market.programme import coordination_per_kwh
from powerflock.optimise.respond import answers, energy_cost, value
from powerflock.plant.model import Turn
from powerflock.plant.owners import open_accounts
from powerflock.plant.plan import Plan
from powerflock.plant.ring import Ring
from powerflock.sim.fleet import Devices, SimFleet
from powerflock.sim.perfect import hindsight


class Cycle(Protocol):
    """The plant's shell, as the simulation needs it."""

    ring: Ring

    def tick(self, now_us: int) -> Turn:
        """One pass over the log and the ring."""


@dataclass(frozen=True, slots=True)
class DayBills:
    """One local day, (S,) $ by home: `alone` and `vpp` before payments, energy left valued alike in both.

    What the plant paid for it: `paid` interval by interval, `top_up` and `share` at the day's end.
    """

    day_us: int
    alone: F64
    vpp: F64
    paid: F64
    top_up: F64
    share: F64


@dataclass(frozen=True, slots=True)
class Series:
    """What the report draws: one row per tick. kW passive, $/MWh, ratio."""

    time_us: list[int]
    target_kw: list[float]
    delivered_kw: list[float]
    spot_per_mwh: list[float]
    soc_ratio: list[float]
    alone_kw: list[float]


@dataclass(frozen=True, slots=True)
class Run:
    """Everything a simulation produced. `joint_*`: the homes' own cost less the market value of their energy, $."""

    trace_hash: str
    days: tuple[DayBills, ...]
    series: Series
    intervals: int
    joint_alone: float
    joint_vpp: float
    joint_perfect: float

    @property
    def share_of_perfect(self) -> float:
        """What the plant gained over owners alone, of what perfect knowledge would have; NaN if nothing."""
        possible = self.joint_alone - self.joint_perfect
        return (self.joint_alone - self.joint_vpp) / possible if possible > 1e-9 else float("nan")

    @property
    def top_up(self) -> F64:
        """(days, S) $ that the plant's day-end settlement added."""
        return np.stack([day.top_up for day in self.days])


class Simulation:
    """Homes `vpp` under the plant and `alone` beside it; `rows` maps each partition's rows to the fleets' homes.

    `link_lost`, if set, says which homes (S,) neither report nor hear at a time; what they would have said is lost.
    """

    def __init__(
        self, cycle: Cycle, log: Log, vpp: SimFleet, alone: SimFleet, rows: list[I64], devices: Devices, tick_us: int
    ) -> None:  # fmt: skip
        self.cycle, self.log, self.vpp, self.alone = cycle, log, vpp, alone
        self.rows, self.devices, self.tick_us = rows, devices, tick_us
        self.alone.tapers = False
        self.link_lost: Callable[[int], Bools] | None = None
        self._hash = blake2b(digest_size=16)
        homes = len(vpp.specs)
        self._cost_vpp, self._cost_alone = np.zeros(homes), np.zeros(homes)
        self._accounts = open_accounts(homes)
        self._linked: Bools = np.zeros(homes, np.bool_)
        self._joint_vpp, self._joint_alone = np.zeros(homes), np.zeros(homes)
        self._days: list[DayBills] = []
        self._series = Series([], [], [], [], [], [])
        self._seq = 0
        self._plans: list[Plan | None] = []

    def run(
        self, start_us: int, end_us: int, known_until_us: int, offset_us: int, progress: Callable[[float], None]
    ) -> Run:
        """Run from `start_us` to `end_us`; days end at midnight in the zone `offset_us` east of UTC.

        What is left in the batteries at the end is valued by the best use of it until `known_until_us`, up to which
        prices are known.
        """
        now, intervals, day_us = start_us, 0, start_us
        first_stored = self.vpp.stored_kwh.copy()
        self._report(now)
        while True:
            self._plans = [shard.plan for shard in self.cycle.ring.shards]
            turn = self.cycle.tick(now)
            self._trace(turn)
            intervals += len(turn.settled)
            last = now >= end_us
            if now > start_us and ((now + offset_us) % MICROS_PER_DAY == 0 or last):
                self._close_day(day_us, now)
                day_us = now
            if last:
                break
            self._step(now, turn)
            now += self.tick_us
            self._report(now)
            progress((now - start_us) / (end_us - start_us))
        left = hindsight(self.cycle.ring, self.vpp.profiles, self.rows, end_us, known_until_us, self.vpp.stored_kwh)
        best = hindsight(self.cycle.ring, self.vpp.profiles, self.rows, start_us, known_until_us, first_stored)
        return Run(
            self._hash.hexdigest(), tuple(self._days), self._series, intervals,
            float((self._joint_alone + left).sum()), float((self._joint_vpp + left).sum()),
            float(best.sum()),
        )  # fmt: skip

    def _report(self, now_us: int) -> None:
        """Readings of the plant's homes into the log, a batch for each partition; none from homes without a link."""
        if self.link_lost is not None:
            self.vpp.silence(self.link_lost(now_us))
        changed, self._linked = self._linked == self.vpp.silent, ~self.vpp.silent
        for partition, rows in enumerate(self.rows):
            sites = np.flatnonzero(changed[rows])
            kinds = np.where(self._linked[rows[sites]], SiteEventKind.LINK_UP, SiteEventKind.LINK_DOWN)
            self._note(partition, sites, kinds, now_us, now_us)
            if rows.size:
                payload = encode(self.vpp.readings(now_us, self.devices, rows))
                self._hash.update(payload)
                self.log.append("telemetry", partition, payload)

    def _note(self, partition: int, sites: I64, kinds: I64, seq: I64 | int, now_us: int) -> None:
        """Events of links and answers into the log, as a gateway would write them."""
        if sites.size:
            events = np.zeros(sites.size, SITE_EVENT)
            events["site"], events["kind"], events["seq"], events["time_us"] = sites, kinds, seq, now_us
            self.log.append("telemetry", partition, encode(events))

    def _trace(self, turn: Turn) -> None:
        for commands in turn.commands:
            self._hash.update(np.ascontiguousarray(commands).view(np.uint8).data)
        for _, batch in turn.policies:
            self._hash.update(msgspec.msgpack.encode(batch))
        for item in turn.settled:
            self._hash.update(msgspec.msgpack.encode(item))

    def _step(self, now_us: int, turn: Turn) -> None:
        """Both worlds move one tick on; costs are kept from what the meters really did."""
        self._tell(now_us, turn)
        self._let_owners_decide(now_us, turn.interval)
        self.vpp.step(now_us, self.tick_us)
        self.alone.step(now_us, self.tick_us)
        hours = self.tick_us / MICROS_PER_HOUR
        spot = turn.award.spot_per_mwh
        price = float(coordination_per_kwh(self.cycle.ring.settings.programme, np.array([spot]))[0])
        cost_vpp, cost_alone = self._cost(self.vpp, now_us, hours), self._cost(self.alone, now_us, hours)
        self._cost_vpp += cost_vpp
        self._cost_alone += cost_alone
        self._joint_vpp += cost_vpp + price * self.vpp.net_kw * hours
        self._joint_alone += cost_alone + price * self.alone.net_kw * hours
        series = self._series
        series.time_us.append(now_us)
        series.target_kw.append(float("nan") if turn.target_kw is None else turn.target_kw)
        series.delivered_kw.append(float(self.vpp.net_kw.sum()))
        series.alone_kw.append(float(self.alone.net_kw.sum()))
        series.spot_per_mwh.append(spot)
        series.soc_ratio.append(float(self.vpp.stored_kwh.sum() / max(self.vpp.limits.capacity_kwh.sum(), 1e-9)))

    def _tell(self, now_us: int, turn: Turn) -> None:
        """Policies and commands reach the homes whose link is up."""
        for partition, commands in enumerate(turn.commands):
            rows = self.rows[partition]
            heard = commands[~self.vpp.silent[rows[commands["site"]]]]
            refusals = self.vpp.apply(heard, now_us, rows)
            kinds = np.where(refusals == Refusal.ACCEPTED, SiteEventKind.APPLIED, SiteEventKind.REFUSED)
            self._note(partition, heard["site"], kinds, heard["seq"], now_us)
        for partition, batch in turn.policies:
            for row, payload in zip(self.rows[partition][batch.rows].tolist(), batch.payloads, strict=True):
                if not self.vpp.silent[row]:
                    self.vpp.take_policy(row, payload, batch.epoch, now_us)

    def _let_owners_decide(self, now_us: int, interval: int) -> None:
        """In the world beside, each home answers λ = 0 with its own value function and its true load."""
        settings = self.cycle.ring.settings
        hours = ((interval + 1) * settings.interval_us - now_us) / MICROS_PER_HOUR
        load, solar = self.alone.profiles.at(now_us)
        self._seq += 1
        for shard, rows in zip(self.cycle.ring.shards, self.rows, strict=True):
            step = shard.plan.step(interval) if shard.plan is not None else -1
            if shard.plan is None or step < 0:
                continue
            moment = shard.moment(now_us, hours, (load + solar)[rows], self.alone.stored_kwh[rows])
            limits = replace(
                moment.batteries,
                charge_limit_kw=self.alone.charge_limit_kw()[rows],
                discharge_limit_kw=self.alone.discharge_limit_kw()[rows],
            )
            power = answers(replace(moment, batteries=limits), shard.plan.alone, step, np.zeros(1))[:, 0]
            commands = np.zeros(rows.size, COMMAND)
            commands["site"], commands["seq"], commands["issuer"] = np.arange(rows.size), self._seq, Issuer.OWNER
            commands["setpoint_kw"] = moment.net_load_kw + power
            commands["not_before_us"], commands["expires_us"] = now_us, now_us + settings.interval_us
            self.alone.apply(commands, now_us, rows)

    def _cost(self, fleet: SimFleet, now_us: int, hours: float) -> F64:
        """(S,) bill and wear of one tick, $."""
        cost = np.zeros(len(fleet.specs))
        for shard, rows in zip(self.cycle.ring.shards, self.rows, strict=True):
            moment = shard.moment(now_us, hours, fleet.net_kw[rows], fleet.stored_kwh[rows])
            wear = shard.terms.wear_per_kwh * np.abs(fleet.battery_kw[rows]) * hours
            cost[rows] = energy_cost(moment, fleet.net_kw[rows] * hours) + wear
        return cost

    def _to_go(self, stored_kwh: F64, now_us: int) -> F64:
        """(S,) what the owner alone would still have to spend from here, $, by the plan that settled the day."""
        ring, out = self.cycle.ring, np.zeros(stored_kwh.size)
        for plan, rows in zip(self._plans, self.rows, strict=True):
            if plan is not None:
                out[rows] = value(plan.alone, now_us // ring.settings.interval_us - plan.first, stored_kwh[rows])
        return out

    def _close_day(self, day_us: int, now_us: int) -> None:
        """The day's bills; then the world beside starts the next day from where the real batteries stand."""
        ahead = self._to_go(self.alone.stored_kwh, now_us) - self._to_go(self.vpp.stored_kwh, now_us)
        accounts = open_accounts(ahead.size)
        for shard, rows in zip(self.cycle.ring.shards, self.rows, strict=True):
            accounts[rows] = shard.accounts
        paid, top_up, share = (accounts[name] - self._accounts[name] for name in ("paid", "topped_up", "shared"))
        self._days.append(DayBills(day_us, self._cost_alone + ahead, self._cost_vpp.copy(), paid, top_up, share))
        self._joint_alone += ahead
        self._accounts = accounts
        self._cost_vpp[:], self._cost_alone[:] = 0.0, 0.0
        self.alone.stored_kwh = self.vpp.stored_kwh.copy()
