"""What the two halves of the ring tell each other: reports go up, orders come down.

Invariants: a message's size depends on groups and prices, never on sites; passive signs, kW and $/kWh; times in µs UTC.
Whatever is in a message is all that the other half knows. Must not know how messages travel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, cast

import msgspec
import numpy as np

from powerflock.domain.arrays import F64
from powerflock.domain.errors import InvalidInput
from powerflock.groups.roll import Roll
from powerflock.groups.sums import GroupTable


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """A partition's offers for one interval: `feeders_kw` (F, 41) by the roll's feeders, in its order.

    `portfolio_kw` (41,) is their sum without limits, `class_kw` (Q, 41) the part of it in each of the portfolio's pairs
    with a failure class, in the roll's order, and `held_kw` (Q,) what those sites do if they hear nothing more. Of
    `sites` sites `known` have a curve.
    """

    feeders_kw: F64
    portfolio_kw: F64
    class_kw: F64
    held_kw: F64
    sites: int
    known: int


class Closed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a partition's sites did from interval `first` up to, not including, `until`: kWh, and $ earned and paid.

    Of its `sites` at the end `fresh` had been read just before: what they did is metered, not estimated.
    """

    first: int
    until: int
    net_kwh: float
    earned: float
    paid: float
    topped_up: float
    sites: int = 0
    fresh: int = 0

    def each(self) -> Closed:
        """Of one of its intervals: where nothing was heard between several, they are shared by time."""
        count = self.until - self.first
        return msgspec.structs.replace(
            self, net_kwh=self.net_kwh / count, earned=self.earned / count, paid=self.paid / count,
            topped_up=self.topped_up / count,
        )  # fmt: skip


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that goes up from one partition at one time, by its owner of `epoch`.

    `interval` is the one whose books are open there, with `delivered_kwh` since; `closed` is the newest one before it,
    and `earlier` are those before that which no order has said to be taken. `next` is None while no plan reaches the
    interval after it.
    """

    partition: int
    epoch: int
    now_us: int
    interval: int
    roll: Roll
    groups: GroupTable
    now: Curves
    next: Curves | None
    delivered_kwh: float
    closed: Closed | None
    earlier: tuple[Closed, ...] = ()

    @property
    def told(self) -> tuple[Closed, ...]:
        """All the books that are closed and may not be settled yet, oldest first."""
        return self.earlier if self.closed is None else (*self.earlier, self.closed)


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that comes down to every partition: the interval that is open, its price, and the prices to answer.

    `ahead_per_kwh` (T,) are the coordination prices expected from `interval` on, for plans. `price_per_kwh` clears the
    portfolio, None before anything was reported; the feeders at their limit have one of their own, by name.
    `before_per_mwh` are the prices of the intervals that passed since a partition reported last. What a partition
    closed before interval `taken[partition]` is settled, and need not be told again.
    """

    now_us: int
    interval: int
    spot_per_mwh: float
    ahead_per_kwh: F64
    price_per_kwh: float | None = None
    feeder_price_per_kwh: dict[str, float] = {}
    before_per_mwh: dict[int, float] = {}
    taken: dict[int, int] = {}


class Told(Protocol):
    """What a partition's owner says at one time; the newest is all there is of it."""

    @property
    def epoch(self) -> int:
        """The owner's."""

    @property
    def now_us(self) -> int:
        """When."""


def supersedes(new: Told, known: Told | None) -> bool:
    """Whether `new` takes the place of `known`: an owner that was replaced is not heard once its successor was."""
    return known is None or (new.epoch, new.now_us) >= (known.epoch, known.now_us)


def plain_of(value: object) -> object:
    """An array as its dtype, shape and little-endian bytes."""
    if isinstance(value, np.ndarray):
        return value.dtype.newbyteorder("<").str, value.shape, np.ascontiguousarray(value).tobytes()
    raise NotImplementedError(f"{type(value).__name__} is no part of a message")


def array_of(kind: type, value: object) -> object:
    """The array again; `kind` is always one of `domain.arrays`."""
    del kind
    dtype, shape, data = cast("tuple[str, list[int], bytes]", value)
    return np.frombuffer(data, dtype).reshape(shape)


_ENCODER = msgspec.msgpack.Encoder(enc_hook=plain_of)
_REPORT = msgspec.msgpack.Decoder(Report, dec_hook=array_of)
_ORDER = msgspec.msgpack.Decoder(Order, dec_hook=array_of)


def encode(message: Report | Order) -> bytes:
    """The message as MessagePack."""
    return _ENCODER.encode(message)


def decode_report(payload: bytes) -> Report:
    """The report that `encode` gave; `InvalidInput` where it is none."""
    return cast("Report", _decoded(_REPORT, payload, "report"))


def decode_order(payload: bytes) -> Order:
    """The order that `encode` gave; `InvalidInput` where it is none."""
    return cast("Order", _decoded(_ORDER, payload, "order"))


def _decoded(
    decoder: msgspec.msgpack.Decoder[Report] | msgspec.msgpack.Decoder[Order], payload: bytes, what: str
) -> object:
    try:
        return decoder.decode(payload)
    except (msgspec.MsgspecError, TypeError, ValueError) as error:
        raise InvalidInput(what, payload[:16], f"must be one of this version: {error}") from error
