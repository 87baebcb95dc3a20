"""The site optimiser is exact: against HiGHS, by its own policy, and by the independent checker."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.highs_reference import changing_problems, optimal_cost, random_problems
from powerflock.domain.errors import Infeasible, InvalidInput, NotConvex
from powerflock.optimise.check import Schedule, check_plan, unsound_plans
from powerflock.optimise.problem import Batteries, SiteProblems
from powerflock.optimise.segments import ramp_change
from powerflock.optimise.site import convexified, lowest_convex_price, solve, solve_each


@pytest.mark.parametrize("seed", range(40))
def test_plans_cost_exactly_what_highs_finds(seed: int) -> None:
    homes, intervals = 60, 4 + seed
    problems = random_problems(seed, homes, intervals)
    plans = solve(problems)
    referee = np.array([optimal_cost(problems, home) for home in range(homes)])
    np.testing.assert_allclose(plans.cost, referee, rtol=1e-9, atol=1e-9)
    assert check_plan(problems, plans.battery_kw, plans.cost) == []


def test_a_day_of_five_minutes_costs_exactly_what_highs_finds() -> None:
    problems = random_problems(7, 8, 288)
    plans = solve(problems)
    referee = [optimal_cost(problems, home) for home in range(8)]
    np.testing.assert_allclose(plans.cost, referee, rtol=1e-9, atol=1e-9)
    assert check_plan(problems, plans.battery_kw, plans.cost) == []


@pytest.mark.parametrize("seed", range(25))
def test_limits_that_change_and_solar_to_switch_off_are_planned_exactly(seed: int) -> None:
    problems = changing_problems(seed, 40, 4 + seed)
    plans = solve_each(problems)
    assert len(plans.errors) < 30
    sound = np.array([home for home in range(40) if home not in plans.errors])
    referee = np.array([optimal_cost(problems, int(home)) for home in sound])
    np.testing.assert_allclose(plans.cost[sound], referee, rtol=1e-9, atol=1e-8)
    schedule = Schedule(plans.battery_kw, curtailed_kw=plans.curtailed_kw)
    assert {home for finding in check_plan(problems, schedule, plans.cost) for home in finding.homes} <= set(
        plans.errors
    )
    for home in plans.errors:
        with pytest.raises(RuntimeError, match="Infeasible"):
            optimal_cost(problems, home)


@given(st.integers(0, 10_000), st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_the_policy_is_optimal_from_any_state_of_charge(seed: int, share: float) -> None:
    problems = random_problems(seed, 6, 12)
    keep = problems.intervals
    policies = solve(problems, keep=keep).policies
    cells = problems.batteries
    start = cells.floor_kwh + share * (cells.capacity_kwh - cells.floor_kwh)
    elsewhere = solve(dataclasses.replace(problems, stored_kwh=start), keep=keep)
    for home in range(problems.homes):
        stored = start[home]
        for step in range(keep):
            ramp = np.concatenate(
                [[policies.most_kwh[home, step]], policies.start[home, step], policies.length[home, step]]
            )
            stored += ramp_change(ramp, stored)
        into = np.maximum(elsewhere.battery_kw[home], 0) * cells.charge_efficiency_ratio[home]
        out = np.minimum(elsewhere.battery_kw[home], 0) / cells.discharge_efficiency_ratio[home]
        assert stored == pytest.approx(start[home] + ((into + out) * problems.hours).sum(), abs=1e-8)


def test_blocks_on_an_executor_give_the_same_bits() -> None:
    from concurrent.futures import ThreadPoolExecutor

    problems = random_problems(3, 100, 48)
    with ThreadPoolExecutor(2) as pool:
        threaded = solve(problems, keep=6, mapper=pool.map, block=17)
    alone = solve(problems, keep=6)
    np.testing.assert_array_equal(threaded.cost, alone.cost)
    np.testing.assert_array_equal(threaded.battery_kw, alone.battery_kw)


def test_export_above_import_price_is_refused_loudly() -> None:
    problems = random_problems(1, 3, 6)
    swapped = dataclasses.replace(problems, export_per_kwh=problems.import_per_kwh + 0.01)
    with pytest.raises(NotConvex, match="home 0, interval 5"):
        solve(swapped)


def test_a_home_that_cannot_be_planned_is_named_by_its_place_in_the_whole_batch() -> None:
    problems = random_problems(1, 40, 6)
    limits = problems.batteries.import_limit_kw.copy()
    limits[33], problems.net_load_kw[33] = 0.0, 50.0
    tight = dataclasses.replace(problems.batteries, import_limit_kw=limits)
    with pytest.raises(Infeasible, match="home 33, interval 5"):
        solve(dataclasses.replace(problems, batteries=tight), block=16)


def test_what_is_kept_does_not_depend_on_the_blocks() -> None:
    problems = random_problems(3, 50, 24)
    blocks, whole = solve(problems, keep=5, block=7), solve(problems, keep=5)
    for field in ("left", "base", "count", "slope", "length"):
        np.testing.assert_array_equal(getattr(blocks.values, field), getattr(whole.values, field))
    for field in ("most_kwh", "start", "length"):
        np.testing.assert_array_equal(getattr(blocks.policies, field), getattr(whole.policies, field))


def test_a_price_so_negative_that_losses_pay_is_refused_and_the_bound_named_is_accepted() -> None:
    problems = random_problems(1, 30, 6)
    deep = dataclasses.replace(problems, coordination_per_kwh=np.full(6, -5.0))
    with pytest.raises(NotConvex, match="negative"):
        solve(deep)
    raised = dataclasses.replace(deep, coordination_per_kwh=np.maximum(-5.0, lowest_convex_price(deep)))
    plans = solve(raised)
    for home in range(0, 30, 5):
        assert plans.cost[home] == pytest.approx(optimal_cost(raised, home), rel=1e-9, abs=1e-9)


def test_a_connection_limit_below_the_load_is_infeasible_by_name() -> None:
    problems = random_problems(1, 3, 6)
    tight = dataclasses.replace(problems.batteries, import_limit_kw=np.zeros(3), discharge_limit_kw=np.zeros(3))
    with pytest.raises(Infeasible, match="home"):
        solve(dataclasses.replace(problems, batteries=tight, net_load_kw=np.ones((3, 6))))


def test_limits_that_leave_just_one_power_are_kept_however_their_difference_rounds() -> None:
    """0.3 kW of surplus, 0.2 kW may leave, 0.1 kW can be charged: 0.3 − 0.2 is more than 0.1 in floating point."""
    cells = Batteries.of(1, capacity_kwh=5, charge_limit_kw=0.1, discharge_limit_kw=0.2, export_limit_kw=0.2)
    for curtailable_kw in (None, 0.0):
        problems = SiteProblems.of(
            cells, [[0.1 * 3 * -1.0]], hours=0.5, import_per_kwh=0.3, export_per_kwh=0.1, stored_kwh=2.0,
            curtailable_kw=curtailable_kw,
        )  # fmt: skip
        plans = solve(problems)
        assert plans.battery_kw[0, 0] == pytest.approx(0.1)
        assert check_plan(problems, plans.battery_kw, plans.cost) == []


def _with(problems: SiteProblems, field: str, value: float) -> SiteProblems:
    if hasattr(problems.batteries, field):
        column = getattr(problems.batteries, field).copy()
        column[2] = value
        return dataclasses.replace(problems, batteries=dataclasses.replace(problems.batteries, **{field: column}))
    column = getattr(problems, field).copy()
    column[2] = value
    return dataclasses.replace(problems, **{field: column})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("net_load_kw", np.nan), ("stored_kwh", np.nan), ("stored_kwh", 1e3), ("floor_kwh", 1e3),
        ("charge_limit_kw", -1.0), ("charge_efficiency_ratio", -0.5), ("discharge_efficiency_ratio", 1.5),
        ("wear_per_kwh", np.inf),
    ],
)  # fmt: skip
def test_bad_input_names_the_home_and_the_field(field: str, value: float) -> None:
    with pytest.raises(InvalidInput, match=rf"home 2.*{field}"):
        solve(_with(random_problems(1, 5, 6), field, value))


def test_wrong_shapes_name_the_column() -> None:
    problems = random_problems(1, 5, 6)
    with pytest.raises(InvalidInput, match="shape of coordination_per_kwh"):
        solve(dataclasses.replace(problems, coordination_per_kwh=np.zeros(5)))


def test_the_checker_takes_rounding_at_a_large_site_for_what_it_is_and_a_watt_too_much_at_a_small_one() -> None:
    for size, sound in ((1e5, True), (1.0, False)):
        cells = Batteries.of(
            1, capacity_kwh=10 * size, charge_limit_kw=size, discharge_limit_kw=size, import_limit_kw=2 * size
        )  # fmt: skip
        problems = SiteProblems.of(
            cells, np.zeros((1, 4)), hours=1, import_per_kwh=0.0, export_per_kwh=0.0, stored_kwh=2 * size,
        )  # fmt: skip
        power = np.full((1, 4), size + 1e-3)
        findings = check_plan(problems, power, 0.02 * 4 * power[:, 0])
        assert [finding.rule for finding in findings] == ([] if sound else ["charge limit"])


def test_the_checker_sees_a_plan_that_cheats() -> None:
    problems = random_problems(5, 20, 12)
    plans = solve(problems)
    power = plans.battery_kw.copy()
    power[3, 2] -= 30.0
    rules = {finding.rule for finding in check_plan(problems, power, plans.cost)}
    assert {"discharge limit", "reserve", "cost"} <= rules
    assert all(3 in finding.homes for finding in check_plan(problems, power, plans.cost))


def test_one_unsound_home_does_not_change_the_price_at_which_the_others_are_planned() -> None:
    problems = random_problems(1, 30, 6)
    spoilt = _with(_with(problems, "wear_per_kwh", np.nan), "charge_efficiency_ratio", 0.0)
    assert np.isfinite(lowest_convex_price(spoilt)).all()
    deep = dataclasses.replace(spoilt, coordination_per_kwh=np.full(6, -5.0))
    assert set(solve_each(convexified(deep)).errors) == {2}


def test_a_kept_value_function_has_one_piece_for_each_slope() -> None:
    """A day of five minutes on a tariff of few prices has few slopes: no more is kept of it."""
    problems = random_problems(3, 20, 288)
    values = solve(problems, keep=12).values
    pieces = np.arange(values.slope.shape[2]) < values.count[:, :, None]
    assert (values.length[pieces] > 0.0).all()
    assert (np.diff(values.slope, axis=2)[pieces[:, :, 1:]] > 0.0).all()


def test_an_unsound_plan_is_found_by_its_home_however_many_there_are() -> None:
    problems = random_problems(5, 1_030, 6)
    plans = solve(problems)
    power = plans.battery_kw.copy()
    power[1_027, 2] += 1_000.0
    found = unsound_plans(problems, power, plans.cost, ())
    assert list(found) == [1_027]
    assert "home 1027" in str(found[1_027])
