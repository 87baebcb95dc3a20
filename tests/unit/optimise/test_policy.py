"""A policy is the exact plan from any state, costs next to nothing when rounded, and stands a wrong forecast."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.highs_reference import random_problems
from powerflock.domain.arrays import F64
from powerflock.domain.errors import InvalidInput
from powerflock.domain.policy import Basis, Policy
from powerflock.optimise.check import check_plan, schedule_cost
from powerflock.optimise.policy import levels_kwh, policies_of, solve_levels
from powerflock.optimise.problem import SiteProblems, VaryingLimits
from powerflock.optimise.site import solve

START = 1_767_225_600_000_000


def made(problems: SiteProblems) -> list[Policy]:
    return policies_of(problems, solve_levels(problems), range(problems.homes), START, Basis.OWNER)


def followed(problems: SiteProblems, policies: list[Policy], net_load_kw: F64) -> F64:
    """Battery power (S, T) of homes that follow their policies from `stored_kwh` on while the load is as given."""
    cells, power = problems.batteries, np.zeros(net_load_kw.shape)
    for home, policy in enumerate(policies):
        stored = float(problems.stored_kwh[home])
        into, out = float(cells.charge_efficiency_ratio[home]), float(cells.discharge_efficiency_ratio[home])
        for step, hours in enumerate(problems.hours.tolist()):
            load = float(net_load_kw[home, step])
            room, above = max(cells.capacity_kwh[home] - stored, 0.0), max(stored - cells.floor_kwh[home], 0.0)
            high = min(cells.charge_limit_kw[home], max(cells.import_limit_kw[home] - load, 0.0), room / into / hours)
            low = max(
                -cells.discharge_limit_kw[home], min(-cells.export_limit_kw[home] - load, 0.0), -above * out / hours
            )
            given = policy.power_kw(policy.bounds_us[step], stored, load, float(low), float(high))
            assert given is not None
            power[home, step] = given
            stored += given * hours * (into if given > 0 else 1.0 / out)
    return power


@given(st.integers(0, 10_000), st.floats(0, 1), st.sampled_from([3, 12, 48]))
@settings(max_examples=25, deadline=None)
def test_following_the_policy_from_any_state_of_charge_costs_the_optimum(
    seed: int, share: float, intervals: int
) -> None:
    problems = random_problems(seed, 8, intervals)
    policies = made(problems)
    cells = problems.batteries
    elsewhere = dataclasses.replace(
        problems, stored_kwh=cells.floor_kwh + share * (cells.capacity_kwh - cells.floor_kwh)
    )
    optimum = solve(elsewhere).cost
    power = followed(elsewhere, policies, elsewhere.net_load_kw)
    assert check_plan(elsewhere, power, optimum, tolerance=1e-9) == []


@given(st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_a_storm_reserve_that_rises_over_the_day_is_kept_by_the_policy_itself(seed: int) -> None:
    problems = random_problems(seed, 8, 24)
    cells = problems.batteries
    rising = cells.floor_kwh[:, None] + np.linspace(0.0, 0.5, 24) * (cells.capacity_kwh - cells.floor_kwh)[:, None]
    slow = np.minimum(np.diff(rising, axis=1, prepend=rising[:, :1]), 0.2 * cells.charge_limit_kw[:, None] / 12)
    floors = cells.floor_kwh[:, None] + np.cumsum(slow, axis=1)
    stormy = dataclasses.replace(problems, limits=VaryingLimits.of(cells, 24, floor_kwh=floors))
    optimum = solve(stormy).cost
    assert check_plan(stormy, followed(stormy, made(stormy), stormy.net_load_kw), optimum, tolerance=1e-9) == []


@pytest.mark.parametrize("intervals", [48, 288])
def test_rounded_for_the_wire_it_costs_less_than_a_hundredth_of_a_cent_more_a_day(intervals: int) -> None:
    problems = random_problems(5, 60, intervals)
    day = dataclasses.replace(problems, hours=np.full(intervals, 24.0 / intervals))
    arrived = [Policy.from_bytes(policy.to_bytes()) for policy in made(day)]
    extra = schedule_cost(day, followed(day, arrived, day.net_load_kw))[0] - solve(day).cost
    assert extra.min() > -1e-9
    assert extra.mean() < 1e-4, "at random prices of up to $3 a kWh; at real tariffs a tenth of it"


def test_a_wrong_forecast_costs_a_home_with_a_policy_far_less_than_one_with_a_schedule() -> None:
    problems = random_problems(11, 60, 48)
    battery = problems.batteries.capacity_kwh > 0
    actual = problems.net_load_kw + np.random.default_rng(11).normal(0.0, 1.0, problems.net_load_kw.shape)
    wide = np.full(60, 100.0)
    problems = dataclasses.replace(
        problems, batteries=dataclasses.replace(problems.batteries, import_limit_kw=wide, export_limit_kw=wide)
    )
    real = dataclasses.replace(problems, net_load_kw=actual)
    perfect = solve(real).cost
    by_policy = schedule_cost(real, followed(real, made(problems), actual))[0] - perfect
    by_schedule = schedule_cost(real, solve(problems).battery_kw)[0] - perfect
    assert by_policy.min() > -1e-9
    assert by_policy[battery].mean() < 0.5 * by_schedule[battery].mean()


def test_a_price_at_which_losses_pay_leaves_the_levels_in_order() -> None:
    problems = random_problems(2, 20, 24)
    odd = dataclasses.replace(problems, coordination_per_kwh=np.full(24, -3.0))
    levels = levels_kwh(odd, solve(problems, 24).values)
    assert (levels[:, :, 0] <= levels[:, :, 1:3].min(axis=2)).all()
    assert (levels[:, :, 1:3].max(axis=2) <= levels[:, :, 3]).all()


def test_levels_of_other_homes_are_refused() -> None:
    problems = random_problems(2, 20, 24)
    with pytest.raises(InvalidInput, match="shape of levels"):
        policies_of(problems, np.zeros((19, 24, 4)), [0], START, Basis.OWNER)
