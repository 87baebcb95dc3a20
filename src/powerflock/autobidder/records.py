"""What the plant writes of itself into the log, topic by topic, and its port to snapshots.

Topics: `registry` (`domain.enrolment`), `accounts` (owners' accounts where an interval begins) and `policies` (a
`PolicyBatch` whenever new ones are made) by partition; `market` (an event for each interval that begins), `plant` (a
row for each turn) and `alarms` (what changed in their book, see `alarm_desk`) in partition 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import msgspec

from powerflock.domain.errors import LogError
from powerflock.groups.hierarchy import PORTFOLIO
from powerflock.groups.sums import GroupTable
from powerflock.log.port import Claim, Log
from powerflock.market.account import Account, Settlement
from powerflock.market.bids import Bid
from powerflock.market.signs import to_market_mw
from powerflock.plant.model import Award, Turn
from powerflock.twins.apply import StepReport
from powerflock.twins.columns import Shard
from powerflock.twins.snapshot import Mark

T = TypeVar("T")

SEQUENCES_PER_EPOCH = 1_000_000_000


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


INTERVAL_BEGAN = msgspec.msgpack.Decoder(IntervalBegan)
PLANT_ROW = msgspec.msgpack.Decoder(PlantRow)


class Snapshots(Protocol):
    """Where snapshots are kept."""

    def save(self, mark: Mark, payload: bytes) -> None:
        """Keep the `payload` of the mark's partition durably; the newest two are enough."""

    def newest(self, partition: int, decode: Callable[[bytes], tuple[Shard, Mark]]) -> tuple[Shard, Mark] | None:
        """The newest that is whole and that `decode` accepts (else it raises `DamagedSnapshot`), or None."""

    def save_outlook(self, time_us: int, payload: bytes) -> None:
        """Keep what the outlook has learned."""

    def load_outlook(self, load: Callable[[bytes], None]) -> None:
        """Hand the newest kept one that `load` accepts to it; nothing where there is none."""


@dataclass(slots=True)
class Counts:
    """Readings by fate since the start of this process."""

    applied: int = 0
    repeated: int = 0
    refused: int = 0
    entries: int = 0

    def take(self, report: StepReport | None) -> None:
        """Count one entry of the log; `report` is None where it held no readings."""
        self.entries += 1
        if report is not None:
            self.applied += report.applied
            self.repeated += report.duplicate + report.late
            self.refused += report.unknown + report.future + report.invalid


@dataclass(frozen=True, slots=True)
class Followers:
    """Groups that read the telemetry too: it is kept until each has committed it, at most `entries` of a partition.

    The bound keeps a follower that has died from filling the disk: what it missed beyond that is gone for it.
    """

    groups: tuple[str, ...] = ()
    entries: int = 0

    def needed(self, log: Log, partition: int, newest: int) -> int:
        """The offset below which none of them needs a partition's readings any more; `newest` is where these end."""
        committed = [log.committed(group, "telemetry", partition) for group in self.groups]
        return max(min(committed, default=newest), newest - self.entries)


NOBODY = Followers()
"""No followers: snapshots alone say what is needed."""


def first_seq(claim: Claim) -> int:
    """Commands of the owner with this claim are numbered above this."""
    return claim.epoch * SEQUENCES_PER_EPOCH


def keep_newest(log: Log, topic: str, partition: int, kept: int, needed: int | None = None) -> None:
    """Trim a topic to so many of its newest entries; none that is `needed` (from that offset on) goes."""
    before = max(log.end(topic, partition) - kept, 0)
    log.trim(topic, partition, before if needed is None else min(before, needed))


def decoded(payload: bytes, decoder: msgspec.msgpack.Decoder[T]) -> T:
    """What the decoder finds in the bytes of a log's entry; `LogError` where this version knows no such thing.

    A decoder is made where its type is, before there are threads: two that make the first one of a type at the same
    moment end the process (msgspec 0.22, a segmentation fault).
    """
    try:
        return decoder.decode(payload)
    except msgspec.MsgspecError as error:
        kind = getattr(decoder.type, "__name__", str(decoder.type))
        raise LogError(
            f"an entry of the log is no {kind} of this version: {error}. Run here the version that wrote it."
        ) from error


def row_of(turn: Turn) -> PlantRow:
    """What a turn saw of the portfolio."""
    return plant_row(turn.groups, turn.award, turn.now_us)


def plant_row(groups: GroupTable, award: Award, now_us: int) -> PlantRow:
    """The portfolio at `now_us`."""
    capacity = float(groups.capacity_kwh[PORTFOLIO])
    return PlantRow(
        now_us,
        award.mw,
        known(to_market_mw(float(groups.power_kw[PORTFOLIO]))),
        known(float(groups.up_kw[PORTFOLIO]) / 1000.0),
        known(float(groups.down_kw[PORTFOLIO]) / 1000.0),
        known(float(groups.stored_kwh[PORTFOLIO]) / capacity) if capacity > 0 else None,
        known(float(groups.coverage_ratio[PORTFOLIO])),
        award.spot_per_mwh,
    )


def known(value: float) -> float | None:
    """The value, or None for NaN."""
    return None if math.isnan(value) else value
