"""An order that this version cannot read is counted and passed over: processes are renewed one after another."""

from __future__ import annotations

import msgspec
import numpy as np

from powerflock.compose.roles.orders import NewestOrder
from powerflock.log.memory import MemoryLog
from powerflock.plant.messages import Order, encode

OF_LATER = msgspec.msgpack.encode({"now_us": 5, "interval": 1, "prices_by_cohort": {}})
"""What a version to come may write."""


def order(now_us: int) -> bytes:
    return encode(Order(now_us, 1, 90.0, np.array([0.1, 0.2])))


def test_an_order_of_a_later_version_is_counted_and_the_one_before_it_stays() -> None:
    log = MemoryLog()
    orders = NewestOrder(log)
    log.append("orders", 0, order(1))
    orders.follow()
    log.append("orders", 0, OF_LATER)
    orders.follow()
    assert orders.newest is not None
    assert orders.newest.now_us == 1
    assert orders.refused == 1
    assert "order" in orders.trouble
    log.append("orders", 0, order(2))
    orders.follow()
    assert orders.newest.now_us == 2
    assert orders.trouble == ""


def test_where_the_only_order_is_of_a_later_version_there_is_none() -> None:
    log = MemoryLog()
    orders = NewestOrder(log)
    log.append("orders", 0, OF_LATER)
    orders.follow()
    orders.follow()
    assert orders.newest is None
    assert orders.refused == 1
