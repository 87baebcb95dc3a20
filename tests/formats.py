"""What the plant writes into its log and snapshots, with a value of each, as today's version writes it.

`tests/golden` keeps the bytes that each version wrote: later ones must read them, for a log outlives its programs and
processes are renewed one after another. `python -m tests.formats` writes those files that are not there yet; it never
changes one. For a new format give it a new name here, and keep the old file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from powerflock.autobidder.partition import Opened
from powerflock.autobidder.records import IntervalBegan, decoded
from powerflock.domain.arrays import F64, Records
from powerflock.domain.batches import decode, encode
from powerflock.domain.columns import COMMAND, SITE_EVENT, TELEMETRY
from powerflock.domain.registry import Registry
from powerflock.groups.hierarchy import Hierarchy
from powerflock.groups.roll import Roll
from powerflock.groups.sums import GroupTable
from powerflock.market.account import Account, Settlement
from powerflock.market.bids import Bid
from powerflock.plant.messages import Closed, Curves, Order, Report, decode_order, decode_report
from powerflock.plant.messages import encode as encode_message
from powerflock.plant.owners import OWNER
from powerflock.plant.policies import PolicyBatch
from powerflock.plant.seen import Seen
from powerflock.plant.seen import decode as decode_seen
from powerflock.plant.seen import encode as encode_seen
from powerflock.twins.columns import SITE, Shard
from powerflock.twins.snapshot import Mark, dump, load
from tests.data import ROOT
from tests.unit.plant.small import START_US, homes

GOLDEN = ROOT / "tests" / "golden"


@dataclass(frozen=True, slots=True)
class Format:
    """How today's version writes its value, and how it reads bytes and writes again what it read."""

    file: str
    write: Callable[[], bytes]
    rewrite: Callable[[bytes], bytes]

    @property
    def path(self) -> Path:
        return GOLDEN / self.file


def telemetry() -> bytes:
    """A battery, its meter whose register could not be read, and another meter."""
    nan = float("nan")
    rows = [
        (0, 7, START_US, START_US + 1000, -2.5, 6.25, 5.0, 4.5, 10.0),
        (1, 7, START_US, START_US + 1000, 1.5, nan, nan, nan, nan),
        (2, 9, START_US - 5, START_US + 1000, nan, 100.5, nan, nan, nan),
    ]
    return encode(np.array(rows, TELEMETRY))


def commands() -> bytes:
    """One at a price, and one that no price stands behind."""
    rows = [
        (0, 3_000_000_001, -2.5, 0.125, START_US, START_US + 600, 3, 2),
        (1, 3_000_000_002, 0.0, float("nan"), 0, 1, 3, 0),
    ]
    return encode(np.array(rows, COMMAND))


def site_events() -> bytes:
    """One of each kind's number."""
    return encode(np.array([(row, row, 4, 10 + row, START_US) for row in range(5)], SITE_EVENT))


def accounts() -> bytes:
    """One owner's, and one of which nothing is known yet."""
    nan = float("nan")
    return encode(np.array([np.arange(9.0), [nan, *[0.0] * 7, nan]]).view(OWNER).reshape(-1))


def market(*, revised: bool = False) -> bytes:
    """An interval that began with a bid, after one that was settled, or `revised`."""
    settled = Settlement(START_US, 0.0833, 90.0, 0.25, 0.02, 1.5, 0.5, 0.125, 0.75)
    if revised:
        settled = msgspec.structs.replace(settled, partitions=(0, 3), revision=1)
    bid = Bid(START_US + 300_000_000, 0.5, (-10.0, 90.0), (0.1, 0.2), 0.01)
    account = Account(1, 0.02, 0.02, 0.0, 0.02, 1.8, 1.5, 0.5, 0.125)
    event = IntervalBegan(5_894_665, START_US + 300_000_000, 95.5, bid, (settled,), account, (4, 8))
    return msgspec.msgpack.encode(event)


def closed(number: int, **more: int) -> Closed:
    """The books of one interval."""
    return Closed(number, number + 1, -0.5, 0.25, 0.125, 0.0625, **more)


def report(newest: Closed, *earlier: Closed) -> bytes:
    """Of three homes on two feeders, with books that were closed."""
    registry = Registry.empty(1)
    registry.enrol(0, homes(3))
    roll = Roll.of(Hierarchy.of([registry.table(0)]))
    groups, pairs = len(roll.names), len(roll.pair_groups)
    columns: dict[str, F64] = {
        item.name: np.arange(0.5, pairs if item.name.startswith("class_") else groups) for item in fields(GroupTable)
    }
    own = sum(group == 0 for group in roll.pair_groups)
    curves = Curves(np.ones((2, 41)), np.full(41, 2.0), np.full((own, 41), 0.25), np.full(own, 0.5), 3, 2)
    return encode_message(
        Report(0, 4, START_US, 5_894_665, roll, GroupTable(**columns), curves, None, -0.25, newest, earlier)
    )  # fmt: skip


def order(before_per_mwh: dict[int, float], taken: dict[int, int]) -> bytes:
    """With one feeder at its limit."""
    ahead = np.array([0.09, 0.12, -0.01])
    return encode_message(
        Order(START_US, 5_894_665, 90.0, ahead, 0.1, {"VIC1/f0": 0.2}, before_per_mwh, taken)
    )  # fmt: skip


def policies() -> bytes:
    """Of two homes."""
    return msgspec.msgpack.encode(PolicyBatch(4, START_US, [0, 2], [b"first", b"second"]))


def books(newest: Closed, *earlier: Closed) -> bytes:
    """Opened after an interval was closed."""
    return msgspec.msgpack.encode(Opened(5_894_665, 90.0, START_US, 17, newest, earlier))


def shard() -> Shard:
    """Three homes of which each number of a device or site is another one."""
    registry = Registry.empty(1)
    registry.enrol(0, homes(3))
    made = Shard.of(registry.table(0))
    for rows in (made.devices, made.sites):
        for column, name in enumerate(rows.dtype.names or ()):
            rows[name] = np.arange(rows.size) + column
    return made


def snapshot() -> bytes:
    """Of that shard."""
    return dump(shard(), Mark(0, 17, 4, 5))


def _columns(dtype: np.dtype[np.void]) -> Callable[[bytes], bytes]:
    return lambda payload: encode(decode(payload, dtype))


def _message(kind: type) -> Callable[[bytes], bytes]:
    decoder: msgspec.msgpack.Decoder[object] = msgspec.msgpack.Decoder(kind)
    return lambda payload: msgspec.msgpack.encode(decoded(payload, decoder))


CLOSED_V1 = closed(5_894_664)
CLOSED = closed(5_894_664, sites=3, fresh=2), closed(5_894_662, sites=3, fresh=3)
SETTLED: tuple[dict[int, float], dict[int, int]] = {5_894_664: 80.5}, {0: 5_894_663, 1: 5_894_665}


def views() -> bytes:
    """Two sites: one fresh, one never heard of."""
    numbers = np.linspace(-7.0, 6.5, 28, dtype=np.float32).reshape(14, 2)
    numbers[:, 1] = np.nan
    sites: Records = np.zeros(2, SITE)
    sites["link"] = 1, 0
    return encode_seen(
        Seen(
            partition=3,
            epoch=9,
            now_us=START_US,
            numbers=numbers,
            freshness=np.array([0, 2], np.uint8),
            reachable=np.array([1, 0], np.uint8),
            common_ratio=0.25,
            sites=sites.tobytes(),
            metered_us=np.array([START_US - 5, 0]),
        )
    )


FORMATS = (
    Format("telemetry-v1.arrow", telemetry, _columns(TELEMETRY)),
    Format("commands-v1.arrow", commands, _columns(COMMAND)),
    Format("site-events-v1.arrow", site_events, _columns(SITE_EVENT)),
    Format("accounts-v2.arrow", accounts, _columns(OWNER)),
    Format("market-v1.msgpack", market, _message(IntervalBegan)),
    Format("market-v2.msgpack", partial(market, revised=True), _message(IntervalBegan)),
    Format("report-v1.msgpack", partial(report, CLOSED_V1), lambda payload: encode_message(decode_report(payload))),
    Format("report-v2.msgpack", partial(report, *CLOSED), lambda payload: encode_message(decode_report(payload))),
    Format("order-v1.msgpack", partial(order, {}, {}), lambda payload: encode_message(decode_order(payload))),
    Format("order-v2.msgpack", partial(order, *SETTLED), lambda payload: encode_message(decode_order(payload))),
    Format("policies-v1.msgpack", policies, _message(PolicyBatch)),
    Format("books-v1.msgpack", partial(books, CLOSED_V1), _message(Opened)),
    Format("books-v2.msgpack", partial(books, *CLOSED), _message(Opened)),
    Format("views-v1.msgpack", views, lambda payload: encode_seen(decode_seen(payload))),
    Format("snapshot-v2.arrow", snapshot, lambda payload: dump(*load(payload, shard().table))),
)


if __name__ == "__main__":
    for each in FORMATS:
        if not each.path.exists():
            each.path.write_bytes(each.write())
