"""Homes with a battery, a car and a tank at one connection: near the optimum, with a gap that is proven."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from benchmarks.central_reference import build, optimal_cost
from benchmarks.highs_reference import random_problems
from powerflock.domain.errors import InvalidInput
from powerflock.optimise.check import Schedule, check_plan
from powerflock.optimise.coupled import CoupledPlans, solve_coupled
from powerflock.optimise.interior_point.mehrotra import IMPOSSIBLE, SOLVED
from powerflock.optimise.problem import Batteries, Devices, SiteProblems, VaryingLimits
from powerflock.optimise.site import solve
from tests.unit.optimise.several import several_storages


def schedule(plans: CoupledPlans) -> Schedule:
    return Schedule(plans.battery_kw, plans.device_kw, plans.curtailed_kw)


@pytest.mark.parametrize(("seed", "intervals"), [(0, 12), (1, 24), (3, 48)])
def test_any_mix_of_storages_costs_what_highs_finds_and_the_gap_proves_it(seed: int, intervals: int) -> None:
    problems = several_storages(seed, 40, intervals)
    plans = solve_coupled(problems)
    optimum = np.array([optimal_cost(build(problems.rows(slice(home, home + 1)))) for home in range(40)])
    scale = np.maximum(1.0, np.abs(optimum))
    assert ((plans.cost - optimum) / scale).max() <= 1e-7
    assert ((optimum - (plans.cost - plans.gap)) / scale).min() >= -1e-9, "the bound is no bound"
    assert (plans.gap / scale).max() <= 1e-7
    assert (plans.status == SOLVED).all()
    assert check_plan(problems, schedule(plans), plans.cost) == []


def test_one_battery_costs_what_the_exact_solver_finds() -> None:
    problems = random_problems(4, 200, 48)
    plans = solve_coupled(problems)
    np.testing.assert_allclose(plans.cost, solve(problems).cost, rtol=1e-7, atol=1e-7)
    assert check_plan(problems, plans.battery_kw, plans.cost) == []


def test_chosen_homes_on_two_threads_have_the_same_bits_as_all_alone() -> None:
    problems = several_storages(5, 60, 12)
    alone, homes = solve_coupled(problems), np.arange(3, 60, 4)
    with ThreadPoolExecutor(2) as pool:
        chosen = solve_coupled(problems, homes, mapper=pool.map, block=3)
    np.testing.assert_array_equal(chosen.cost, alone.cost[homes])
    np.testing.assert_array_equal(chosen.battery_kw, alone.battery_kw[homes])
    assert problems.devices is not None
    mine = np.isin(problems.devices.home, homes)
    np.testing.assert_array_equal(chosen.device_kw[mine], alone.device_kw[mine])
    assert not chosen.device_kw[~mine].any()


def two_batteries(price_per_kwh: float = 0.0, load_kw: float = 1.0) -> SiteProblems:
    """Three homes with two batteries, which at a price far below 0 would burn energy if they could."""
    cells = Batteries.of(3, capacity_kwh=10.0, charge_limit_kw=5.0, discharge_limit_kw=5.0, export_limit_kw=20.0)
    devices = Devices.of([0, 1, 2], cells, stored_kwh=5.0)
    return SiteProblems.of(
        cells, np.full((3, 8), load_kw), hours=1.0, import_per_kwh=0.3, export_per_kwh=0.1, stored_kwh=5.0,
        coordination_per_kwh=price_per_kwh, devices=devices,
    )  # fmt: skip


def test_a_price_at_which_a_relaxation_would_burn_energy_gives_a_plan_with_a_gap_that_says_so() -> None:
    problems = two_batteries(price_per_kwh=-1.0)
    plans = solve_coupled(problems)
    assert check_plan(problems, schedule(plans), plans.cost) == []
    assert (plans.gap > 0.1).all()
    assert (plans.cost - plans.gap <= plans.cost).all()


def test_a_car_that_cannot_be_full_in_time_has_no_plan_and_costs_the_others_nothing() -> None:
    problems = two_batteries()
    assert problems.devices is not None
    floor = np.zeros((3, 8))
    floor[1, 2] = 9.5
    charge = np.array([[5.0], [1.0], [5.0]])
    limits = VaryingLimits.of(problems.devices.batteries, 8, floor_kwh=floor, charge_limit_kw=charge)
    asked = dataclasses.replace(problems, devices=dataclasses.replace(problems.devices, limits=limits))
    plans, before = solve_coupled(asked), solve_coupled(problems)
    assert plans.status.tolist() == [SOLVED, IMPOSSIBLE, SOLVED]
    assert np.isinf(plans.cost[1])
    assert np.isnan(plans.battery_kw[1]).all()
    np.testing.assert_allclose(plans.cost[[0, 2]], before.cost[[0, 2]], rtol=1e-9)


def test_storages_that_need_more_than_the_connection_carries_are_found_impossible() -> None:
    problems = two_batteries()
    assert problems.devices is not None
    floor = np.zeros((3, 8))
    floor[:, 3] = 10.0
    limits = VaryingLimits.of(problems.batteries, 8, floor_kwh=floor, import_limit_kw=2.0)
    others = VaryingLimits.of(problems.devices.batteries, 8, floor_kwh=floor)
    devices = dataclasses.replace(problems.devices, limits=others)
    plans = solve_coupled(dataclasses.replace(problems, limits=limits, devices=devices))
    assert (plans.status == IMPOSSIBLE).all()
    assert np.isinf(plans.gap).all()


def test_bad_columns_are_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match=r"home 0.*net_load_kw"):
        solve_coupled(two_batteries(load_kw=np.nan))
