"""Homes lose their link before the dear evening: with a policy they plan on by themselves, and their bills show it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import msgspec
import numpy as np
import pytest

from powerflock.compose.virtual import _virtual_plant
from powerflock.domain.arrays import F64, Bools
from powerflock.domain.clock import MICROS_PER_DAY, MICROS_PER_HOUR
from powerflock.edge.ladder import Rung
from powerflock.edge.safety import Refusal
from powerflock.log.port import Log
from powerflock.plant.policies import PolicyBatch
from powerflock.settings import Settings
from powerflock.sim import homes, prices
from powerflock.sim.fleet import SimFleet
from powerflock.sim.simulate import Run, Simulation
from tests.unit.sim.simulated import START_US

HOMES, SEED, MINUTE_US = 20, 3, 60_000_000
LOST_US, NIGHT_US = START_US + 14 * MICROS_PER_HOUR, START_US + 23 * MICROS_PER_HOUR
WEEK_US = 7 * MICROS_PER_DAY
EVERY_OTHER: Bools = np.arange(HOMES) % 2 == 0


def plant(pool: ThreadPoolExecutor) -> Simulation:
    """A plant with real forecasts and its homes at midnight."""
    fleet = homes.generate(HOMES, SEED, 9, START_US - WEEK_US)
    series = prices.generated(SEED, START_US - WEEK_US, 10)
    return _virtual_plant(Settings(), fleet, series, SEED, START_US, None, pool)[0]


def newest(log: Log) -> PolicyBatch:
    """The last policies that went into the log."""
    return msgspec.msgpack.decode(log.read("policies", 0, log.end("policies", 0) - 1)[0].payload, type=PolicyBatch)


class Evening(NamedTuple):
    """The same homes from the same afternoon to the night without a link: (S,) $ with the energy left at its value."""

    with_policy: F64
    without: F64


@pytest.fixture(scope="module")
def evening() -> Evening:
    with ThreadPoolExecutor(2) as pool:
        simulation = plant(pool)
        simulation.run(START_US, LOST_US, LOST_US, 10 * MICROS_PER_HOUR, lambda _: None)
    costs = []
    for batch in (newest(simulation.log), None):
        fleet = SimFleet(simulation.vpp.specs, simulation.vpp.profiles, LOST_US, SEED)
        fleet.stored_kwh[:] = simulation.vpp.stored_kwh
        if batch is not None:
            assert batch.until_us > NIGHT_US
            for row, payload in zip(simulation.rows[0][batch.rows].tolist(), batch.payloads, strict=True):
                assert fleet.take_policy(row, payload, batch.epoch, LOST_US) is Refusal.ACCEPTED
        costs.append(by_itself(simulation, fleet))
    return Evening(*costs)


def by_itself(simulation: Simulation, fleet: SimFleet) -> F64:
    """Let `fleet` run until the night; its bill and wear, less what the energy left replaces."""
    cost = np.zeros(HOMES)
    for now in range(LOST_US, NIGHT_US, MINUTE_US):
        fleet.step(now, MINUTE_US)
        cost += simulation._cost(fleet, now, 1 / 60)
    worth = np.zeros(HOMES)
    worth[simulation.rows[0]] = simulation.cycle.ring.shards[0].terminal_per_kwh()
    return cost - worth * fleet.stored_kwh


def test_an_evening_without_a_link_costs_a_tenth_less_with_a_policy_than_with_self_consumption(
    evening: Evening,
) -> None:
    saved = evening.without - evening.with_policy
    assert saved.sum() > 0.1 * evening.without.sum() > 0.0
    assert saved.min() > -0.1, "what the real forecast of load and sun may cost a home"


def night_with_an_outage() -> tuple[Run, F64, list[list[int]]]:
    """Every other home loses its link from 1:00 to 3:00: the run, the batteries, and the rungs at 2:00 and at 4:00."""
    with ThreadPoolExecutor(2) as pool:
        simulation = plant(pool)
        rungs: dict[int, list[int]] = {}

        def lost(now_us: int) -> Bools:
            minute = (now_us - START_US) // MINUTE_US
            rungs[minute] = simulation.vpp.rung.tolist()
            return EVERY_OTHER if 60 <= minute < 180 else np.zeros_like(EVERY_OTHER)

        simulation.link_lost = lost
        end_us = START_US + 4 * MICROS_PER_HOUR
        run = simulation.run(START_US, end_us, end_us, 10 * MICROS_PER_HOUR, lambda _: None)
    return run, simulation.vpp.limits.capacity_kwh, [rungs[2 * 60], rungs[4 * 60]]


def test_homes_out_of_reach_go_by_their_policies_and_come_back_to_commands_the_same_way_every_time() -> None:
    run, capacity_kwh, (during, after) = night_with_an_outage()
    for home, (rung, later) in enumerate(zip(during, after, strict=True)):
        if capacity_kwh[home] > 0.0:
            assert rung == (Rung.POLICY if EVERY_OTHER[home] else Rung.COMMAND)
            assert later == Rung.COMMAND
        else:
            assert rung == later == Rung.SELF_CONSUMPTION
    assert night_with_an_outage()[0].trace_hash == run.trace_hash
