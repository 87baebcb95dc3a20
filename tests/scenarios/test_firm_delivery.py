"""A bid of only what is firm is kept: whatever single class of homes drops out right after it, the true fleet delivers.

The bid stands, the class is lost at the moment its interval begins, and what is compared with the award is the power of
the simulated homes themselves, not what the plant believes. Load and sun are known, so that all that can miss is the
answer to the failure. Lost homes hold their last command, as edges do.
"""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
import pytest

from powerflock.autobidder.runner import Runner
from powerflock.compose.virtual import _virtual_plant
from powerflock.domain.arrays import Bools
from powerflock.domain.clock import MICROS_PER_DAY, MICROS_PER_HOUR
from powerflock.groups.hierarchy import PORTFOLIO
from powerflock.log.memory import MemoryLog
from powerflock.settings import load
from powerflock.sim import homes, prices
from powerflock.sim.simulate import Simulation
from tests.unit.sim.simulated import START_US

HOMES, SEED, MINUTE_US, INTERVAL_MINUTES = 100, 2, 60_000_000, 5
HOURS = (4, 12)
NOTHING = ""
TOLERANCE_MW = 0.004
"""One percent of the batteries' power: what a taper near full or reserve takes within five minutes."""
SPOTS_PER_MWH = (-500.0, 8000.0)
"""A glut and a scarcity: the bid's two ends."""


class Delivery(NamedTuple):
    """One interval: which class was lost, what was awarded, and what the homes did on average."""

    lost: str
    hour: int
    award_mw: float
    real_mw: float


@dataclass(frozen=True)
class Spot:
    """A market with one price."""

    per_mwh: float

    def spot_per_mwh(self, interval_us: int) -> float:
        del interval_us
        return self.per_mwh


def a_minute(simulation: Simulation, now_us: int) -> None:
    """Readings in, one turn, its commands to whoever hears them, and the homes move on."""
    simulation._report(now_us)
    simulation._tell(now_us, simulation.cycle.tick(now_us))
    simulation.vpp.step(now_us, MINUTE_US)


def fork(simulation: Simulation, runner: Runner, pool: ThreadPoolExecutor) -> Simulation:
    """The same plant and homes once more, from here on apart."""
    assert isinstance(simulation.log, MemoryLog)
    shared = (runner._lock, simulation.log._lock, simulation._hash, pool, simulation.vpp.profiles, simulation.alone)
    return copy.deepcopy(simulation, {id(each): each for each in shared})


def interval(simulation: Simulation, start_us: int, spot: float, lost: Bools) -> tuple[float, float]:
    """The award, and the homes' true power over the interval at which `lost` dropped out; MW, + = export."""
    simulation.cycle.ring.coordinator.venue = Spot(spot)
    simulation.link_lost = lambda _: lost
    power_kw = []
    for minute in range(INTERVAL_MINUTES):
        a_minute(simulation, start_us + minute * MINUTE_US)
        power_kw.append(simulation.vpp.net_kw.sum())
    award = simulation.cycle.ring.award
    assert award is not None
    assert award.mw is not None
    return award.mw, -float(np.mean(power_kw)) / 1000.0


def members(simulation: Simulation, name: str) -> Bools:
    """(S,) the homes of a class, `provider:northnet`."""
    kind, _, value = name.partition(":")
    mask: Bools = np.array([name != NOTHING and getattr(spec, kind) == value for spec in simulation.vpp.specs])
    return mask


@pytest.fixture(scope="module")
def deliveries() -> list[Delivery]:
    """Every class in turn, at two hours of a day and two prices; and nothing lost."""
    settings = load(overrides={"market.promise": "firm"}).settings
    fleet = homes.generate(HOMES, SEED, 9, START_US - 7 * MICROS_PER_DAY)
    series = prices.generated(SEED, START_US - 7 * MICROS_PER_DAY, 10)
    known_until_us, found, now_us = START_US + 2 * MICROS_PER_DAY, [], START_US
    with ThreadPoolExecutor(2) as pool:
        simulation, runner = _virtual_plant(settings, fleet, series, SEED, START_US, known_until_us, pool)
        for hour in HOURS:
            start_us = START_US + hour * MICROS_PER_HOUR
            while now_us < start_us:
                a_minute(simulation, now_us)
                now_us += MINUTE_US
            pairs = runner.ring.hierarchy.failures.pairs
            names = [pairs.names[i] for i in pairs.cls[(pairs.group == PORTFOLIO) & pairs.spread]]
            for spot, name in product(SPOTS_PER_MWH, [NOTHING, *names]):
                again = fork(simulation, runner, pool)
                found.append(Delivery(name, hour, *interval(again, start_us, spot, members(again, name))))
    return found


def test_what_is_firm_is_delivered_whatever_class_fails(deliveries: list[Delivery]) -> None:
    assert len({each.lost for each in deliveries}) > 15, "regions, providers and firmwares"
    missed = {(each.lost, each.hour, each.award_mw): each.real_mw - each.award_mw for each in deliveries}
    assert {case: miss for case, miss in missed.items() if abs(miss) > TOLERANCE_MW} == {}


def test_the_promise_is_worth_something(deliveries: list[Delivery]) -> None:
    """From a glut to a scarcity the awards span more than half of the batteries' power, each way and back."""
    for hour in HOURS:
        awards = [each.award_mw for each in deliveries if each.hour == hour and each.lost == NOTHING]
        assert max(awards) - min(awards) > 0.3
