"""Group series on their way to the history: a row for each group and moment, as an entry of the log's topic `groups`.

Invariants: an entry is one Arrow IPC stream of the table `groups`' columns; what is unknown is NaN. Prices are those
that a group has of its own: the portfolio's and the feeders'. Must not know the log or files.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from powerflock.domain.arrays import F64, U8
from powerflock.domain.errors import InvalidInput
from powerflock.groups.hierarchy import PORTFOLIO, Hierarchy, Level
from powerflock.history.arrow import days, numbers, texts
from powerflock.history.tables import GROUPS
from powerflock.plant.model import Turn

TOPIC = "groups"


def encode_groups(turn: Turn, hierarchy: Hierarchy) -> bytes:
    """The entry for what `turn` saw of the groups it knows; `hierarchy` may have grown since."""
    known = turn.groups.sites.size
    values = _values(turn, hierarchy.level[:known])
    return encode_rows(turn.now_us, hierarchy.names[:known], values)


def encode_rows(now_us: int, names: tuple[str, ...], values: dict[str, F64]) -> bytes:
    """The entry for (G,) groups' `values` at one moment, by the names in `GROUP_VALUES`."""
    now = np.full(len(names), now_us, np.int64)
    columns = [
        days(now),
        texts(names),
        numbers(now),
        numbers(now),
        *(numbers(np.asarray(values[name], np.float64)) for name in GROUPS.schema.names[4:]),
    ]
    batch = pa.RecordBatch.from_arrays(columns, schema=GROUPS.schema)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, GROUPS.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def decode_groups(payload: bytes) -> pa.Table:
    """The rows in an entry. Raises `InvalidInput` for bytes that are none."""
    try:
        with pa.ipc.open_stream(payload) as reader:
            table = reader.read_all()
    except (pa.ArrowException, OSError) as error:
        raise InvalidInput("group rows", payload[:16], f"must be an Arrow IPC stream: {error}") from error
    if not table.schema.equals(GROUPS.schema):
        raise InvalidInput("columns of group rows", ", ".join(table.schema.names), f"must be {GROUPS.schema.names}")
    return table


def _values(turn: Turn, level: U8) -> dict[str, F64]:
    groups, unknown = turn.groups, np.full(level.size, np.nan)
    target, price = unknown.copy(), unknown.copy()
    if turn.target_kw is not None:
        target[PORTFOLIO] = turn.target_kw
    feeders = np.flatnonzero(level == Level.FEEDER)
    if turn.clearing is not None:
        price[PORTFOLIO] = turn.clearing.price_per_kwh
        price[feeders] = turn.clearing.feeder_price_per_kwh[: feeders.size]
    return {
        "sites": groups.sites,
        "power_kw": groups.power_kw,
        "std_kw": groups.std_kw,
        "stored_kwh": groups.stored_kwh,
        "capacity_kwh": groups.capacity_kwh,
        "up_kw": groups.up_kw,
        "down_kw": groups.down_kw,
        "firm_up_kw": turn.firm.up_kw,
        "firm_down_kw": turn.firm.down_kw,
        "coverage_ratio": groups.coverage_ratio,
        "target_kw": target,
        "price_per_kwh": price,
        "spot_per_kwh": np.full(level.size, turn.award.spot_per_mwh / 1000.0),
    }
