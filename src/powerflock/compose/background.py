"""Planning beside the turns: a plan is adopted at the first turn after it is ready, and no turn ever waits for one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from powerflock.optimise.site import Mapper
from powerflock.plant.plan import Plan
from powerflock.plant.planner import Job

T = TypeVar("T")
R = TypeVar("R")
_LOOK_S = 0.02


class BackgroundPlanner:
    """A `Planner` on the threads of `pool`; `done` hears how many seconds each plan took.

    `mapper` goes through the homes of a plan, block by block.
    """

    def __init__(self, pool: ThreadPoolExecutor, done: Callable[[float], None], mapper: Mapper = map) -> None:
        """Nothing under way."""
        self._pool, self._done, self._mapper = pool, done, mapper
        self._running: dict[int, tuple[int, Future[Plan]]] = {}

    def start(self, partition: int, first: int, job: Job) -> Plan | None:
        """See `Planner`."""
        self._running[partition] = first, self._pool.submit(self._make, job)
        return None

    def started(self, partition: int) -> int | None:
        """See `Planner`."""
        return self._running[partition][0] if partition in self._running else None

    def ready(self, partition: int) -> Plan | None:
        """See `Planner`; what a plan raised is raised here, in the turn."""
        if partition not in self._running or not self._running[partition][1].done():
            return None
        return self._running.pop(partition)[1].result()

    def _make(self, job: Job) -> Plan:
        began = time.perf_counter()
        plan = job(self._mapper)
        self._done(time.perf_counter() - began)
        return plan


def giving_way(busy: Callable[[], bool]) -> Mapper:
    """As `map`, but each block of homes waits while it is `busy` elsewhere: what is more urgent has the cores."""

    def mapper(function: Callable[[T], R], items: Iterable[T], /) -> Iterator[R]:
        for item in items:
            while busy():
                time.sleep(_LOOK_S)
            yield function(item)

    return mapper
