"""When plans are made: at once, or beside the turns by a shell that owns threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from powerflock.optimise.site import Mapper
from powerflock.plant.plan import Plan

Job = Callable[[Mapper], Plan]


class Planner(Protocol):
    """Makes the plans that partitions ask for, one at a time for each partition."""

    def start(self, partition: int, first: int, job: Job) -> Plan | None:
        """Make the plan from interval `first` on: returned if made at once, else `ready` hands it over later."""

    def started(self, partition: int) -> int | None:
        """First interval of the plan that is being made for `partition`; None if there is none."""

    def ready(self, partition: int) -> Plan | None:
        """The plan for `partition` that was finished since the last call, if any."""


class PlanNow:
    """Plans at once: for virtual time, where nothing else waits."""

    def __init__(self, mapper: Mapper = map) -> None:
        """`mapper` spreads the homes of one plan."""
        self._mapper = mapper

    def start(self, partition: int, first: int, job: Job) -> Plan | None:
        """See `Planner`."""
        del partition, first
        return job(self._mapper)

    def started(self, partition: int) -> int | None:
        """See `Planner`."""
        del partition
        return None

    def ready(self, partition: int) -> Plan | None:
        """See `Planner`."""
        del partition
        return None
