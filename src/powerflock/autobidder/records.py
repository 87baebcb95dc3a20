"""What the plant writes of itself into the log, topic by topic, and its port to snapshots.

Topics: `registry` (`domain.enrolment`), `accounts` (owners' accounts where an interval begins) and `policies` (a
`PolicyBatch` whenever new ones are made) by partition; `market` (an event for each interval that begins) and `plant` (a
row for each turn) in partition 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import msgspec

from powerflock.groups.hierarchy import PORTFOLIO
from powerflock.market.account import Account, Settlement
from powerflock.market.bids import Bid
from powerflock.market.signs import to_market_mw
from powerflock.plant.model import Turn
from powerflock.twins.columns import Shard
from powerflock.twins.snapshot import Mark


class IntervalBegan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The market event that opens an interval: what it settled, its award, and the log offsets its books start at.

    `account` holds the sums of everything settled so far.
    """

    interval: int
    opened_us: int
    spot_per_mwh: float
    bid: Bid | None
    settled: tuple[Settlement, ...]
    account: Account
    offsets: tuple[int, ...]


class PlantRow(msgspec.Struct, frozen=True, array_like=True):
    """The portfolio at `time_us`, MW, + = export; `target_mw` is the award of the interval in force. None: unknown."""

    time_us: int
    target_mw: float | None
    delivered_mw: float | None
    up_mw: float | None
    down_mw: float | None
    soc_ratio: float | None
    coverage_ratio: float | None
    spot_per_mwh: float | None


class Snapshots(Protocol):
    """Where snapshots are kept."""

    def save(self, mark: Mark, payload: bytes) -> None:
        """Keep the `payload` of the mark's partition durably; the newest two are enough."""

    def newest(self, partition: int, decode: Callable[[bytes], tuple[Shard, Mark]]) -> tuple[Shard, Mark] | None:
        """The newest that is whole, or None."""

    def save_outlook(self, time_us: int, payload: bytes) -> None:
        """Keep what the outlook has learned."""

    def load_outlook(self, load: Callable[[bytes], None]) -> None:
        """Hand the newest kept one that `load` accepts to it; nothing where there is none."""


def row_of(turn: Turn) -> PlantRow:
    """What a turn saw of the portfolio."""
    groups = turn.groups
    capacity = float(groups.capacity_kwh[PORTFOLIO])
    return PlantRow(
        turn.now_us,
        turn.award.mw,
        known(to_market_mw(float(groups.power_kw[PORTFOLIO]))),
        known(float(groups.up_kw[PORTFOLIO]) / 1000.0),
        known(float(groups.down_kw[PORTFOLIO]) / 1000.0),
        known(float(groups.stored_kwh[PORTFOLIO]) / capacity) if capacity > 0 else None,
        known(float(groups.coverage_ratio[PORTFOLIO])),
        turn.award.spot_per_mwh,
    )


def known(value: float) -> float | None:
    """The value, or None for NaN."""
    return None if math.isnan(value) else value
