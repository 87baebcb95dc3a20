"""What a partition's sites do at one moment, for whoever lists, maps or watches them elsewhere.

Invariants: numbers are in single precision, for people and alarms, not for money; what is unknown stays NaN; a reader
whose registry is behind or ahead of the writer's leaves out what it does not know, or shows it as not heard of. Must
not know how it travels.
"""

from __future__ import annotations

from dataclasses import fields

import msgspec
import numpy as np

from powerflock.domain.arrays import F32, I64, U8, Records
from powerflock.domain.errors import InvalidInput
from powerflock.domain.registry import SiteTable
from powerflock.plant.member import Member
from powerflock.plant.messages import array_of, plain_of
from powerflock.twins.columns import SITE, Shard
from powerflock.twins.estimate import Freshness, SiteColumns

_NUMBERS = tuple(
    item.name for item in fields(SiteColumns) if item.name not in {"table", "freshness", "reachable", "common_ratio"}
)


class Seen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Partition `partition` at `now_us`, by its owner of `epoch`: `numbers` (N, S) are `SiteColumns`' in their order.

    `sites` are the (S,) `SITE` records as bytes, `metered_us` (S,) when each meter was read last, µs, 0: never.
    """

    partition: int
    epoch: int
    now_us: int
    numbers: F32
    freshness: U8
    reachable: U8
    common_ratio: float
    sites: bytes
    metered_us: I64


_ENCODER = msgspec.msgpack.Encoder(enc_hook=plain_of)
_DECODER = msgspec.msgpack.Decoder(Seen, dec_hook=array_of)


def seen(member: Member, now_us: int) -> bytes:
    """What the member's sites did at its last look, which was at `now_us`."""
    columns, twins = member.columns, member.shard.twins
    numbers = np.array([getattr(columns, name) for name in _NUMBERS], np.float32)
    count = columns.freshness.size
    return encode(
        Seen(
            partition=member.part,
            epoch=member.epoch,
            now_us=now_us,
            numbers=numbers,
            freshness=columns.freshness,
            reachable=columns.reachable.astype(np.uint8),
            common_ratio=columns.common_ratio,
            sites=np.ascontiguousarray(twins.sites[:count]).tobytes(),
            metered_us=twins.devices["time_us"][twins.table.meter_device[:count]],
        )
    )


def encode(found: Seen) -> bytes:
    """As it goes into the log."""
    return _ENCODER.encode(found)


def decode(payload: bytes) -> Seen:
    """What `encode` gave, or `InvalidInput`."""
    try:
        return _DECODER.decode(payload)
    except (msgspec.MsgspecError, TypeError, ValueError) as error:
        raise InvalidInput("sites seen", payload[:16], f"must be one of this version: {error}") from error


def columns_of(found: Seen | None, table: SiteTable) -> tuple[SiteColumns, Shard]:
    """The columns of `table`'s sites, and a shard with their connections and meters' times; None: nothing was seen."""
    sites, shard = table.sites, Shard.of(table)
    known = 0 if found is None else min(found.freshness.size, sites)
    numbers = np.full((len(_NUMBERS), sites), np.nan)
    freshness: U8 = np.full(sites, Freshness.SILENT, np.uint8)
    reachable = np.zeros(sites, np.bool_)
    if found is not None:
        numbers[:, :known] = found.numbers[:, :known]
        freshness[:known], reachable[:known] = found.freshness[:known], found.reachable[:known] > 0
        records: Records = np.frombuffer(found.sites, SITE)
        shard.sites[:known] = records[:known]
        shard.devices["time_us"][table.meter_device[:known]] = found.metered_us[:known]
    columns = SiteColumns(
        table=table,
        **dict(zip(_NUMBERS, numbers, strict=True)),
        freshness=freshness,
        reachable=reachable,
        common_ratio=0.0 if found is None else found.common_ratio,
    )
    return columns, shard
