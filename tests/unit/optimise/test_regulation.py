"""A storage in front of the meter sells energy and regulation at once: what it may promise, and what that is worth."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from powerflock.domain.arrays import I32
from powerflock.domain.errors import Infeasible, InvalidInput
from powerflock.optimise.linear import INFINITE, Programme
from powerflock.optimise.regulation import RegulationMarket, Storage, StorageSchedule, schedule_storage

LOSSLESS = Storage(charge_limit_kw=1.0, discharge_limit_kw=1.0, capacity_kwh=2.0, final_kwh=0.0)
LOSSY = Storage(
    charge_limit_kw=2.0, discharge_limit_kw=3.0, capacity_kwh=5.0, floor_kwh=1.0, charge_efficiency_ratio=0.9,
    discharge_efficiency_ratio=0.8, variable_per_kwh=0.01, stored_kwh=2.0, terminal_per_kwh=0.1,
)  # fmt: skip


def test_energy_is_bought_cheap_and_sold_dear() -> None:
    plan = schedule_storage(LOSSLESS, RegulationMarket.of([0.1, 0.2, 0.5]))
    np.testing.assert_allclose(plan.charge_kw - plan.discharge_kw, [1.0, 0.0, -1.0], atol=1e-9)
    np.testing.assert_allclose(plan.stored_kwh, [1.0, 1.0, 0.0], atol=1e-9)
    assert plan.cost == pytest.approx(-0.4)


def test_power_is_sold_once_and_needs_the_energy_to_sustain_it() -> None:
    """Regulation up in the second hour earns 0.3 $ a kW, so the storage fills first to be able to give it."""
    market = RegulationMarket.of([0.1, 0.1, 0.1], up_per_kw_hour=[0.0, 0.3, 0.0])
    plan = schedule_storage(LOSSLESS, market)
    assert plan.stored_kwh[0] == pytest.approx(1.0)
    assert (plan.up_charge_kw + plan.up_discharge_kw)[1] == pytest.approx(1.0)
    longer = schedule_storage(LOSSLESS, RegulationMarket.of([0.1] * 3, up_per_kw_hour=[0, 0.3, 0], sustain_hours=4.0))
    assert (longer.up_charge_kw + longer.up_discharge_kw)[1] == pytest.approx(0.25)


def test_a_charging_storage_can_promise_to_stop_and_to_discharge_as_well() -> None:
    """Full at the start of its hour of charge it may go from +1 to −1 kW: 2 kW of regulation up from 1 kW."""
    storage = Storage(1.0, 1.0, 4.0, stored_kwh=2.0, final_kwh=3.0)
    plan = schedule_storage(storage, RegulationMarket.of([0.1], up_per_kw_hour=1.0))
    assert (plan.up_charge_kw[0], plan.up_discharge_kw[0]) == pytest.approx((1.0, 1.0))


def test_regulation_down_that_is_used_is_energy_at_the_energy_price() -> None:
    market = RegulationMarket.of([0.2], down_per_kw_hour=0.5, down_use_ratio=0.25)
    plan = schedule_storage(Storage(2.0, 2.0, 10.0, final_kwh=0.5), market)
    assert plan.down_charge_kw[0] == pytest.approx(2.0)
    assert (plan.regulation_down[0], plan.settlement[0], plan.stored_kwh[0]) == pytest.approx((-1.0, 0.1, 0.5))


def test_energy_is_not_burnt_by_charging_and_discharging_at_once() -> None:
    """At −1 $/kWh a relaxation burns 0.5 kWh each hour by doing both; a real storage empties first, then charges."""
    storage = Storage(1.0, 1.0, 1.0, charge_efficiency_ratio=0.5, stored_kwh=1.0)
    market = RegulationMarket.of([-1.0, -1.0])
    real = schedule_storage(storage, market)
    relaxed = schedule_storage(storage, market, exclusive=False)
    assert real.cost == pytest.approx(-0.5)
    assert relaxed.cost == pytest.approx(-1.0)
    assert np.minimum(real.charge_kw, real.discharge_kw).max() < 1e-7


def test_a_caller_adds_rules_and_variables_of_his_own() -> None:
    """At most 0.5 kWh discharged in a day, beyond which each costs 10 $."""

    def cycles(programme: Programme, names: Mapping[str, I32]) -> None:
        beyond = programme.add(1, 0.0, INFINITE, 10.0)
        programme.require(-INFINITE, 0.5, (names["discharge_kw"][None, :], 1.0), (beyond, -1.0))

    plan = schedule_storage(LOSSLESS, RegulationMarket.of([0.1, 0.2, 0.5]), extra=cycles)
    assert plan.discharge_kw.sum() == pytest.approx(0.5)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1))
def test_exclusive_schedules_equal_the_best_over_every_pattern_of_directions(seed: int) -> None:
    """Brute force: one linear programme for each of the 2^3 patterns of charge or discharge."""
    rng = np.random.default_rng(seed)
    market = RegulationMarket.of(
        rng.uniform(-1.0, 0.5, 3), hours=rng.choice([0.5, 1.0]), up_per_kw_hour=rng.uniform(0, 0.2, 3),
        down_per_kw_hour=rng.uniform(0, 0.2, 3), up_use_ratio=0.3, down_use_ratio=0.15, sustain_hours=0.5,
    )  # fmt: skip
    costs = []
    for pattern in itertools.product((0.0, 1.0), repeat=3):
        charging = np.array(pattern)

        def fixed(programme: Programme, names: Mapping[str, I32], charging: np.ndarray = charging) -> None:
            programme.require(-INFINITE, 2.0 * charging, (names["charge_kw"], 1.0))
            programme.require(-INFINITE, 3.0 * (1.0 - charging), (names["discharge_kw"], 1.0))

        costs.append(schedule_storage(LOSSY, market, exclusive=False, extra=fixed).cost)
    plan = schedule_storage(LOSSY, market)
    assert plan.cost == pytest.approx(min(costs), rel=1e-8, abs=1e-9)
    assert_deliverable(plan, market)


def assert_deliverable(plan: StorageSchedule, market: RegulationMarket) -> None:
    """Whatever regulation calls for, power and energy stay within the storage's limits."""
    up = plan.up_charge_kw + plan.up_discharge_kw
    down = plan.down_charge_kw + plan.down_discharge_kw
    net = plan.charge_kw - plan.discharge_kw
    assert (net - up >= -LOSSY.discharge_limit_kw - 1e-7).all()
    assert (net + down <= LOSSY.charge_limit_kw + 1e-7).all()
    before = np.concatenate([[LOSSY.stored_kwh], plan.stored_kwh[:-1]])
    given_kwh = (0.9 * plan.up_charge_kw + plan.up_discharge_kw / 0.8) * market.sustain_hours
    taken_kwh = (0.9 * plan.down_charge_kw + plan.down_discharge_kw / 0.8) * market.sustain_hours
    assert (before - given_kwh >= LOSSY.floor_kwh - 1e-7).all()
    assert (before + taken_kwh <= LOSSY.capacity_kwh + 1e-7).all()
    parts = (plan.energy, plan.regulation_up, plan.regulation_down, plan.settlement, plan.variable)
    total = sum(part.sum() for part in parts) - LOSSY.terminal_per_kwh * plan.stored_kwh[-1]
    assert total == pytest.approx(plan.cost, abs=1e-9)


@pytest.mark.parametrize(
    ("storage", "prices", "named"),
    [
        (Storage(1.0, 1.0, 2.0, stored_kwh=3.0), [0.1], "stored_kwh is 3.0; must lie between floor_kwh 0.0"),
        (Storage(1.0, 1.0, 2.0, charge_efficiency_ratio=-0.9), [0.1], "charge_efficiency_ratio is -0.9"),
        (Storage(-1.0, 1.0, 2.0), [0.1], "charge_limit_kw is -1.0"),
        (LOSSLESS, [0.1, float("nan")], "interval 1: energy_per_kwh"),
    ],
)
def test_bad_numbers_are_named(storage: Storage, prices: list[float], named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        schedule_storage(storage, RegulationMarket.of(prices))


def test_an_end_out_of_reach_is_infeasible_and_says_what_to_do() -> None:
    with pytest.raises(Infeasible, match=r"final_kwh is 2\.0; cannot be reached .* Leave it free"):
        schedule_storage(Storage(1.0, 1.0, 2.0, final_kwh=2.0), RegulationMarket.of([0.1]))
