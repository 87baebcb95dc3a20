"""Homes that are not convex get exact plans: against a mixed-integer optimum, brute force and the convex solver."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import highspy
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.highs_reference import random_problems as convex_problems
from benchmarks.milp_reference import build, optimal_cost, random_problems
from powerflock.curve.grid import PRICE_GRID
from powerflock.domain.arrays import F64
from powerflock.domain.errors import Infeasible, InvalidInput
from powerflock.optimise import envelope
from powerflock.optimise.check import Schedule, check_plan
from powerflock.optimise.envelope import EnvelopePlans, solve_envelope
from powerflock.optimise.envelope_respond import envelope_answers, envelope_value
from powerflock.optimise.problem import Batteries, SiteProblems, VaryingLimits
from powerflock.optimise.respond import Moment
from powerflock.optimise.site import solve
from tests.data import data_file


def planned(plans: EnvelopePlans) -> list[int]:
    return [home for home in plans.homes.tolist() if home not in plans.errors]


def sound(problems: SiteProblems, plans: EnvelopePlans) -> bool:
    """Whether the independent checker finds nothing wrong with any home that has a plan."""
    good = np.array(planned(plans), np.int64)
    curtailed = None if problems.curtailable_kw is None else plans.curtailed_kw[good]
    return check_plan(problems.pick(good), Schedule(plans.battery_kw[good], None, curtailed), plans.cost[good]) == []


@pytest.mark.parametrize("seed", range(44))
def test_plans_cost_exactly_what_a_mixed_integer_programme_finds(seed: int) -> None:
    problems = random_problems(seed, 8, 3 + seed % 22)
    plans = solve_envelope(problems)
    for home in range(problems.homes):
        optimum = optimal_cost(problems, home)
        if optimum is None:
            assert isinstance(plans.errors[home], Infeasible)
        else:
            assert plans.cost[home] == pytest.approx(optimum, rel=1e-7, abs=1e-7)
    assert sound(problems, plans)


def test_convex_homes_cost_what_merging_slopes_finds() -> None:
    for seed in range(6):
        problems = convex_problems(seed, 20, 12 + 7 * seed)
        plans = solve_envelope(problems)
        np.testing.assert_allclose(plans.cost, solve(problems).cost, rtol=1e-9, atol=1e-9)
        assert sound(problems, plans)


@given(st.integers(0, 10_000), st.floats(0, 1))
@settings(max_examples=25, deadline=None)
def test_value_functions_tell_the_cost_from_any_stored_energy(seed: int, share: float) -> None:
    problems = random_problems(seed, 6, 9)
    middle = 4
    plans = solve_envelope(problems, keep=middle)
    cells = problems.batteries
    limits = problems.limits or VaryingLimits.of(cells, 9)
    floor, capacity = limits.floor_kwh[:, middle - 1], limits.capacity_kwh[:, middle - 1]
    stored = floor + share * (capacity - floor)
    later = dataclasses.replace(
        problems,
        hours=problems.hours[middle:],
        net_load_kw=problems.net_load_kw[:, middle:].copy(),
        import_per_kwh=problems.import_per_kwh[:, middle:].copy(),
        export_per_kwh=problems.export_per_kwh[:, middle:].copy(),
        coordination_per_kwh=problems.coordination_per_kwh[middle:],
        stored_kwh=stored,
        batteries=dataclasses.replace(cells, floor_kwh=floor.copy(), capacity_kwh=capacity.copy()),
        limits=VaryingLimits(*(limits.stacked()[:, middle:].transpose(2, 0, 1).copy())),
        curtailable_kw=None if problems.curtailable_kw is None else problems.curtailable_kw[:, middle:].copy(),
    )
    fresh, told = solve_envelope(later), envelope_value(plans.values, middle, stored)
    for home in planned(plans):
        expected = np.inf if home in fresh.errors else fresh.cost[home]
        assert told[home] == pytest.approx(expected, rel=1e-9, abs=1e-9)


def _cost_now(moment: Moment, power: F64, curtailed: F64, price: float) -> F64:
    net = moment.net_load_kw + power + curtailed
    rate = np.where(net > 0, moment.import_per_kwh, moment.export_per_kwh) + price
    return (rate * net + moment.batteries.wear_per_kwh * np.abs(power)) * moment.hours


@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_no_other_power_would_cost_less_at_any_price(seed: int) -> None:
    problems = random_problems(seed, 6, 8)
    plans = solve_envelope(problems, keep=1)
    homes = np.array(planned(plans), np.int64)
    if not homes.size:
        return
    solar = np.zeros((6, 8)) if problems.curtailable_kw is None else problems.curtailable_kw
    moment, own = Moment.of(problems), solar[:, 0]
    cells, hours = moment.batteries, moment.hours
    answers = envelope_answers(moment, plans.values, 1, PRICE_GRID)
    net = moment.net_load_kw[:, None] + answers.battery_kw + answers.curtailed_kw
    assert (np.diff(net[homes], axis=1) <= 1e-9).all()
    for column, price in list(enumerate(PRICE_GRID.tolist()))[::4]:

        def total(power: F64, curtailed: F64, price: float = price) -> F64:
            change = np.maximum(power, 0) * cells.charge_efficiency_ratio * hours
            change = change + np.minimum(power, 0) / cells.discharge_efficiency_ratio * hours
            after = envelope_value(plans.values, 1, moment.stored_kwh + change)
            metered = moment.net_load_kw + power + curtailed
            outside = (metered > cells.import_limit_kw + 1e-9) | (metered < -cells.export_limit_kw - 1e-9)
            outside |= (power > 0) & (power < cells.least_charge_kw - 1e-9)
            outside |= (power < 0) & (power > -cells.least_discharge_kw + 1e-9)
            return np.where(outside, np.inf, _cost_now(moment, power, curtailed, price) + after)

        mine = total(answers.battery_kw[:, column], answers.curtailed_kw[:, column])
        for share in np.linspace(-1, 1, 21):
            power = share * np.where(share > 0, cells.charge_limit_kw, cells.discharge_limit_kw)
            for curtailed in (0 * own, own, np.clip(-moment.net_load_kw - power, 0, own)):
                theirs = total(power, curtailed)
                better = (theirs < mine - 1e-9 * (1 + np.abs(mine)))[homes] & np.isfinite(mine[homes])
                assert not better.any()


def test_an_answer_at_the_plans_own_price_is_the_plan() -> None:
    problems = random_problems(5, 30, 10)
    plans = solve_envelope(problems)
    own = envelope_answers(Moment.of(problems), plans.values, 1, problems.coordination_per_kwh[:1])
    homes = planned(plans)
    np.testing.assert_array_equal(own.battery_kw[homes, 0], plans.battery_kw[homes, 0])
    np.testing.assert_array_equal(own.curtailed_kw[homes, 0], plans.curtailed_kw[homes, 0])


def test_chosen_homes_are_planned_as_if_alone_and_threads_change_nothing() -> None:
    problems = random_problems(5, 40, 16)
    chosen = np.array([3, 4, 19, 38])
    with ThreadPoolExecutor(2) as pool:
        threaded = solve_envelope(problems, keep=3, mapper=pool.map, block=7)
    some, every = solve_envelope(problems, chosen, keep=3), solve_envelope(problems, keep=3)
    np.testing.assert_array_equal(some.battery_kw, every.battery_kw[chosen])
    np.testing.assert_array_equal(threaded.battery_kw, every.battery_kw)
    np.testing.assert_array_equal(threaded.values.points[:2], every.values.points[:2])
    assert some.errors.keys() == every.errors.keys() & set(chosen.tolist())


def test_homes_without_a_plan_are_named_and_the_others_planned() -> None:
    problems = dataclasses.replace(random_problems(6, 12, 6), limits=None)
    problems.net_load_kw[7, 3], problems.net_load_kw[9, 2] = np.nan, 500.0
    plans = solve_envelope(problems, np.arange(2, 12))
    assert str(plans.errors[7]).startswith("home 7, interval 3: net_load_kw is nan")
    assert str(plans.errors[9]).startswith("home 9, interval 2: net load is 500.0")
    assert np.isnan(plans.cost[[5, 7]]).all()
    assert np.isfinite(plans.cost[[row for row, home in enumerate(plans.homes) if home not in plans.errors]]).all()


def test_a_storage_that_only_runs_at_full_power_meets_an_exact_need() -> None:
    """Ten kWh wanted at the end, 2.5 a half-hour at full power: four half-hours, the cheapest, and nothing between."""
    price = np.array([0.3, 0.1, 0.2, 0.4, 0.15, 0.25, 0.12, 0.5])
    cell = Batteries.of(
        1, capacity_kwh=10.0, charge_limit_kw=5.0, discharge_limit_kw=0.0, charge_efficiency_ratio=1.0,
        wear_per_kwh=0.0, least_charge_kw=5.0,
    )  # fmt: skip
    floor = np.r_[np.zeros(7), 10.0]
    problems = SiteProblems.of(
        cell, np.zeros((1, 8)), hours=0.5, import_per_kwh=price, export_per_kwh=0.6, stored_kwh=0.0,
        limits=VaryingLimits.of(cell, 8, floor_kwh=floor),
    )  # fmt: skip
    plans = solve_envelope(problems)
    assert plans.battery_kw[0].tolist() == [0, 5, 5, 0, 5, 0, 5, 0]
    assert plans.cost[0] == pytest.approx(2.5 * (0.1 + 0.2 + 0.15 + 0.12))


def test_room_grows_with_the_value_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    problems = random_problems(8, 12, 20)
    plans = solve_envelope(problems)
    monkeypatch.setattr(envelope, "POINTS", 2)
    np.testing.assert_array_equal(solve_envelope(problems).cost, plans.cost)


def test_a_home_too_fine_for_memory_is_left_to_another_method_not_called_infeasible(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(envelope, "POINTS", 8)
    monkeypatch.setattr(envelope, "MOST_POINTS", 8)
    plans = solve_envelope(convex_problems(2, 6, 24))
    assert plans.errors
    assert not any(isinstance(error, Infeasible) for error in plans.errors.values())
    assert "mixed-integer" in str(next(iter(plans.errors.values())))


def test_wrong_arguments_are_refused() -> None:
    problems = random_problems(1, 3, 4)
    with pytest.raises(InvalidInput, match="keep is 5"):
        solve_envelope(problems, keep=5)
    with pytest.raises(InvalidInput, match="block is 0"):
        solve_envelope(problems, block=0)


def test_negative_prices_earn_what_a_battery_can_and_not_what_a_relaxation_claims() -> None:
    """Victoria, December to July, half-hours: 1 MW and 2 MWh, round trip 0.9; A$ a year at the file's 243 days.

    A linear programme earns 258,000 by charging and discharging at once. The best a battery can is 256,200; with a wear
    of 10 or 20 A$/MWh each way it takes fewer chances and earns 249,600 or 241,100 before wear.
    """
    file = data_file("nem/vic1_price_demand_5min_2024-12_2025-07.parquet")
    price = pq.read_table(file)["RRP"].to_numpy().reshape(-1, 6).mean(axis=1)
    a_year = 365 * 48 / price.size

    def battery(wear_per_mwh: float) -> SiteProblems:
        return SiteProblems.of(
            Batteries.of(
                1, capacity_kwh=2.0, charge_limit_kw=1.0, discharge_limit_kw=1.0, wear_per_kwh=wear_per_mwh,
                charge_efficiency_ratio=0.9**0.5, discharge_efficiency_ratio=0.9**0.5,
            ),
            np.zeros((1, price.size)), hours=0.5, import_per_kwh=price, export_per_kwh=price, stored_kwh=0.0,
        )  # fmt: skip

    model = build(battery(0.0), 0, relaxed=True)
    model.run()
    assert model.getModelStatus() == highspy.HighsModelStatus.kOptimal
    claimed = -model.getInfo().objective_function_value * a_year
    earned = {}
    for wear in (0.0, 10.0, 20.0):
        plans = solve_envelope(battery(wear))
        assert sound(battery(wear), plans)
        earned[wear] = -float((price * plans.battery_kw[0]).sum()) * 0.5 * a_year
    assert claimed == pytest.approx(258_061, rel=2e-3)
    assert earned[0.0] == pytest.approx(256_157, abs=1)
    assert earned[20.0] < 247_620 < earned[10.0] < earned[0.0] < claimed
