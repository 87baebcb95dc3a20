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
        made, before = planner.start(3, 7, job), (planner.started(3), planner.started(2), planner.ready(3))
        go.set()
    assert made is None
    assert before == (7, None, None)
    assert planner.ready(3) is _PLAN
    assert (planner.ready(3), planner.started(3), len(seconds)) == (None, None, 1)


def test_a_plan_waits_between_two_blocks_while_something_urgent_goes_on() -> None:
    urgent, seen = [True, True, False, False, True, False], list[object]()

    def busy() -> bool:
        seen.append("looked")
        return urgent.pop(0)

    def work(block: int) -> int:
        seen.append(block)
        return -block

    assert list(giving_way(busy)(work, [1, 2, 3])) == [-1, -2, -3]
    assert seen == ["looked", "looked", "looked", 1, "looked", 2, "looked", "looked", 3]
