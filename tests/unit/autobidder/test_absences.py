"""Whoever is away for however long: the energy that homes metered is settled once, in the interval in which it flowed.

The homes' loads change with every reading and nothing else moves, so that their registers are known between two
readings too: to a billionth, for powers travel in single precision.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from powerflock.autobidder.records import IntervalBegan
from powerflock.domain.arrays import F64
from powerflock.domain.batches import encode
from powerflock.market.account import Account, Settlement
from powerflock.plant.messages import decode_order
from tests.unit.autobidder.test_halves import PARTITIONS, Cluster
from tests.unit.plant.small import LENGTH_US, START_US, flow

STEP_US, PORTFOLIO = 46_000_000, PARTITIONS
"""Nobody looks just where an interval ends; whoever is not a partition is the portfolio."""


@dataclass(frozen=True, slots=True)
class Absence:
    """`who`, a partition or the portfolio, is dead from step `first` for so many `steps`."""

    who: int
    first: int
    steps: int


class Metered(Cluster):
    """Homes whose loads vary, and what flowed through all meters by interval; owners die and are replaced."""

    def __init__(self) -> None:
        super().__init__()
        self.random, self.step, self.linked = np.random.default_rng(7), 0, True
        self.truth_kwh: dict[int, float] = {}

    def live(self, steps: int, absences: list[Absence]) -> None:
        """Each step: the dead die, others take over, homes report, who is there ticks, and homes report again."""
        for _ in range(steps):
            for who in range(PARTITIONS + 1):
                dead = any(gone.who == who and gone.first <= self.step < gone.first + gone.steps for gone in absences)
                self._stand(who, dead=dead)
            self._report()
            orders = self.log.newest("orders", 0)
            for runner in self.twins:
                if runner is not None and orders:
                    runner.tick(decode_order(orders[0].payload), self.now_us, runner.end())
            if self.portfolio is not None:
                self.decided.append(self.portfolio.tick(self.now_us))
            self._flow()
            self._report()
            self._flow()
            self.step += 1

    def _report(self) -> None:
        """Loads change, and are told."""
        for part, meters in enumerate(self.meters):
            meters.load_kw = self.random.uniform(-3.0, 5.0, meters.load_kw.size)
            if self.linked:
                self.log.append("telemetry", part, encode(meters.read(self.now_us)))

    def _flow(self) -> None:
        """Half a step of time."""
        flow(self.meters, self.now_us, self.now_us + STEP_US // 2, self.truth_kwh)
        self.now_us += STEP_US // 2

    def _stand(self, who: int, *, dead: bool) -> None:
        if who == PORTFOLIO:
            self.portfolio = None if dead else self.portfolio or self.take_portfolio(f"at {self.step}")
        else:
            self.twins[who] = None if dead else self.twins[who] or self.take_over(who, f"at {self.step}")

    def events(self) -> list[IntervalBegan]:
        return [msgspec.msgpack.decode(entry.payload, type=IntervalBegan) for entry in self.log.read("market", 0, 0)]

    def newest(self) -> dict[int, Settlement]:
        """What each interval was settled to at last."""
        return {item.interval_us // LENGTH_US: item for event in self.events() for item in event.settled}

    def errors_kwh(self) -> F64:
        """What was settled more than what flowed, by interval, but for the first one, of which nobody saw the start."""
        first, *rest = sorted(self.newest())
        assert first == START_US // LENGTH_US
        return np.array([-1000.0 * self.newest()[number].delivered_mwh - self.truth_kwh[number] for number in rest])


def check(plant: Metered) -> None:
    """All that flowed is settled in its interval, every home is in it, and the account is the sum of what stands."""
    np.testing.assert_allclose(plant.errors_kwh(), 0.0, atol=1e-6)
    stands = plant.newest()
    assert sorted(stands) == list(range(min(stands), plant.events()[-1].interval))
    assert all(item.coverage_ratio == pytest.approx(1.0) for item in list(stands.values())[1:])
    account = Account()
    for item in stands.values():
        account = account.plus(item)
    kept = plant.events()[-1].account
    np.testing.assert_allclose(msgspec.structs.astuple(kept), msgspec.structs.astuple(account), atol=1e-9)


@pytest.mark.parametrize("intervals", [0.2, 1.5, 3.0])
@pytest.mark.parametrize("who", [(1,), (0, 1), (PORTFOLIO,), (1, PORTFOLIO)])
def test_energy_of_intervals_during_a_take_over_is_settled_where_it_flowed(
    who: tuple[int, ...], intervals: float
) -> None:
    plant = Metered()
    plant.live(50, [Absence(each, 17, round(intervals * LENGTH_US / STEP_US)) for each in who])
    check(plant)


ABSENCES = st.builds(Absence, st.integers(0, PORTFOLIO), st.integers(2, 35), st.integers(1, 25))


@settings(max_examples=12, deadline=None)
@given(st.lists(ABSENCES, max_size=6))
def test_whatever_the_pattern_of_absences_energy_is_settled_where_it_flowed(absences: list[Absence]) -> None:
    plant = Metered()
    plant.live(70, absences)
    check(plant)


def test_a_settlement_without_a_partition_says_so_and_is_revised_when_that_one_tells() -> None:
    plant = Metered()
    plant.live(60, [Absence(1, 17, 16)])
    missed = START_US // LENGTH_US + 2
    first, *revised = [
        item for event in plant.events() for item in event.settled if item.interval_us // LENGTH_US == missed
    ]
    share = len(plant.meters[0].specs) / sum(len(meters.specs) for meters in plant.meters)
    assert (first.revision, first.partitions) == (0, (0,))
    assert first.coverage_ratio == pytest.approx(share)
    assert [(item.revision, item.partitions) for item in revised] == [(1, (0, 1))]


def test_what_was_settled_is_not_told_for_ever() -> None:
    """Reports stay small, however long others are away; while nobody settles they keep all."""
    plant = Metered()
    plant.live(37, [Absence(PORTFOLIO, 17, 20)])
    assert plant.twins[0] is not None
    assert plant.twins[0].report is not None
    assert len(plant.twins[0].report.told) >= 3
    plant.live(3, [])
    assert plant.twins[0].report.earlier == ()


def test_homes_without_a_link_lose_no_energy_when_their_partition_changes_hands() -> None:
    """Their registers are estimates meanwhile: the next owner counts on from those that the last one settled by."""
    plant = Metered()
    plant.live(12, [])
    plant.linked = False
    plant.live(50, [Absence(0, 42, 3)])
    plant.linked = True
    plant.live(20, [])
    stands = plant.newest()
    assert min(item.coverage_ratio for item in stands.values()) == 0.0
    assert sum(plant.errors_kwh()) == pytest.approx(0.0, abs=1e-6)
