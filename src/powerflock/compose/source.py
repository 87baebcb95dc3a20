"""What the plant's view reads: a port that the one-process plant's runner and a process of many both have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from powerflock.alarms import Alarm, AlarmBook
from powerflock.autobidder.records import Counts, IntervalBegan, PlantRow
from powerflock.autobidder.saving import Saving
from powerflock.domain.outcomes import Outcome
from powerflock.domain.registry import Registry
from powerflock.domain.site import SiteSpec
from powerflock.groups.hierarchy import Hierarchy
from powerflock.market.account import Account, Settlement
from powerflock.plant.model import RingSettings


class Ring(Protocol):
    """What of a ring is shown beside its turns."""

    @property
    def registry(self) -> Registry:
        """Who is enrolled."""

    @property
    def hierarchy(self) -> Hierarchy:
        """In which groups."""

    @property
    def settings(self) -> RingSettings:
        """How it turns."""


class Accounted(Ring, Protocol):
    """And what it has earned."""

    @property
    def account(self) -> Account:
        """The sums of all that was settled."""


class Source(Protocol):
    """Where the view's records come from: the plant's runner, or a process that follows the topics of others."""

    @property
    def ring(self) -> Accounted:
        """The ring, or as much of it as is known."""

    @property
    def rows(self) -> Sequence[PlantRow]:
        """The portfolio's recent past, oldest first."""

    @property
    def awards(self) -> Sequence[IntervalBegan]:
        """Intervals that began, oldest first."""

    @property
    def settled(self) -> Sequence[Settlement]:
        """Intervals settled, oldest first."""

    @property
    def counts(self) -> Counts | None:
        """Readings by fate, where this process applies them."""

    @property
    def saving(self) -> Saving | None:
        """The snapshots, where this process writes them."""

    @property
    def book(self) -> AlarmBook:
        """What is wrong."""

    @property
    def missing(self) -> Sequence[int]:
        """Partitions of which nothing is known yet, or not any more."""

    def enrol(self, specs: Sequence[SiteSpec]) -> Outcome:
        """Enrol sites durably; waits for the database and the log."""

    def acknowledge(self, alarm_id: str, who: str, now_us: int) -> Alarm:
        """`who` has seen the alarm; waits for the log."""
