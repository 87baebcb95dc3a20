"""Plans are made beside the turns, and give way to what is more urgent."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from powerflock.compose.background import BackgroundPlanner, giving_way
from powerflock.optimise.site import Mapper, ValueFunctions
from powerflock.plant.plan import Plan

_NOTHING = ValueFunctions(*(np.zeros((0, 1)),) * 2, np.zeros((0, 1), np.int64), *(np.zeros((0, 1, 1)),) * 2)
_PLAN = Plan(7, _NOTHING, _NOTHING, 0, {})


def test_a_plan_is_handed_over_once_when_it_is_ready_and_no_turn_waits_for_it() -> None:
    go, seconds = threading.Event(), list[float]()

    def job(mapper: Mapper) -> Plan:
        assert list(mapper(lambda item: item + 1, [1, 2])) == [2, 3]
        go.wait()
        return _PLAN

    with ThreadPoolExecutor(1) as pool:
        planner = BackgroundPlanner(pool, seconds.append)
        assert planner.start(3, 7, job) is None
        assert (planner.started(3), planner.started(2), planner.ready(3)) == (7, None, None)
        go.set()
    assert planner.ready(3) is _PLAN
    assert (planner.ready(3), planner.started(3), len(seconds)) == (None, None, 1)


def test_a_plan_waits_between_two_homes_while_something_urgent_goes_on() -> None:
    urgent, done = threading.Event(), list[int]()
    urgent.set()

    def work(item: int) -> int:
        done.append(item)
        urgent.set()
        return item

    items = iter(giving_way(urgent.is_set)(work, [1, 2]))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(next, items)
        assert done == []
        urgent.clear()
        assert first.result() == 1
        second = pool.submit(next, items)
        assert done == [1]
        urgent.clear()
        assert second.result() == 2
