"""The ring's words: its settings, its market, an award, and what one turn saw and decided."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from powerflock.dispatch.allocate import Clearing
from powerflock.domain.arrays import Records
from powerflock.domain.clock import MICROS_PER_HOUR, MICROS_PER_S
from powerflock.groups.firm import FirmCapacity
from powerflock.groups.sums import GroupTable
from powerflock.market.account import Settlement
from powerflock.market.bids import Bid, dispatched_mw
from powerflock.market.programme import Programme
from powerflock.plant.policies import PolicyBatch
from powerflock.twins.commanded import Commanded
from powerflock.twins.estimate import EstimateSettings, SiteColumns

Promise: TypeAlias = Literal["firm", "expected"]


class Venue(Protocol):
    """What the ring asks of a market."""

    def spot_per_mwh(self, interval_us: int) -> float:
        """The price of the interval that starts at `interval_us`; known once it has started."""


@dataclass(frozen=True, slots=True)
class RingSettings:
    """How the ring turns; times in µs, `plan_every` and `policy_every` in intervals.

    `horizon_end_us`, if given, ends every plan there. Bids `promise` all that is expected, or only what is firm, left
    after the largest correlated failure. A partition not heard of for `report_life_us` is out of reach. Owners' days
    end at midnight `day_offset_us` east of UTC. Feeders' limits are kW at its head, alike for all.
    """

    interval_us: int = 300 * MICROS_PER_S
    horizon_intervals: int = 288
    horizon_end_us: int | None = None
    promise: Promise = "expected"
    plan_every: int = 6
    policy_every: int = 36
    command_life_us: int = 600 * MICROS_PER_S
    report_life_us: int = 600 * MICROS_PER_S
    day_offset_us: int = 10 * MICROS_PER_HOUR
    feeder_import_limit_kw: float = math.inf
    feeder_export_limit_kw: float = math.inf
    estimate: EstimateSettings = field(default_factory=EstimateSettings)
    programme: Programme = field(default_factory=Programme)

    def end_before(self, time_us: int, interval: int) -> int | None:
        """The newest end of an interval before `time_us`, of `interval` or a later one; None where none has ended."""
        last = (time_us - 1) // self.interval_us
        return last * self.interval_us if last > interval else None


@dataclass(frozen=True, slots=True)
class Award:
    """What the market took of a bid at the interval's price; `bid` is None where none stood."""

    interval: int
    spot_per_mwh: float
    bid: Bid | None

    @property
    def mw(self) -> float | None:
        """MW, + = export; None without a bid."""
        return None if self.bid is None else dispatched_mw(self.bid, self.spot_per_mwh)


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn: `columns` and `commands` by partition, the `groups`' sums, the award in force and the bid that stands.

    `firm` is what of the groups' capacity is left after the largest failure. `policies` are those that became ready,
    with their partitions. `commanded` is what the sites had been told and had confirmed before, by partition.
    `target_kw` is the portfolio's net power asked for now (passive), None without an award. When an interval began,
    `began` is its award and `settled` what came before.
    """

    now_us: int
    interval: int
    groups: GroupTable
    firm: FirmCapacity
    columns: tuple[SiteColumns, ...]
    commanded: tuple[Commanded, ...]
    commands: tuple[Records, ...]
    award: Award
    bid: Bid | None
    clearing: Clearing | None
    target_kw: float | None
    policies: tuple[tuple[int, PolicyBatch], ...]
    began: Award | None
    settled: tuple[Settlement, ...]
