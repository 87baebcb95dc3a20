"""Offers are the exact answers to prices, and what an owner is paid makes the day no worse than alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.highs_reference import changing_problems, random_problems
from powerflock.curve.grid import PRICE_GRID, price_for, read_at
from powerflock.domain.arrays import F64
from powerflock.domain.errors import InvalidInput
from powerflock.optimise.problem import SiteProblems
from powerflock.optimise.respond import Moment, answers, best_cost, energy_cost, offers, stored_change, value
from powerflock.optimise.site import Plans, lowest_convex_price, solve, solve_each


def _cost(moment: Moment, plans: Plans, step: int, power: F64) -> F64:
    net_kwh = (moment.net_load_kw + power) * moment.hours
    wear = moment.batteries.wear_per_kwh * np.abs(power) * moment.hours
    end = moment.stored_kwh + stored_change(moment.batteries, power, moment.hours)
    return energy_cost(moment, net_kwh) + wear + value(plans.values, step, end)


def _alone(problems: SiteProblems) -> SiteProblems:
    return dataclasses.replace(problems, coordination_per_kwh=np.zeros(problems.intervals))


@given(st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_no_other_power_would_cost_an_owner_less_at_any_price(seed: int) -> None:
    problems = random_problems(seed, 12, 10)
    plans = solve(problems, keep=1)
    moment = Moment.of(problems, 0, problems.stored_kwh)
    power = answers(moment, plans.values, 1, PRICE_GRID)
    cells = problems.batteries
    room_up = (cells.capacity_kwh - moment.stored_kwh) / moment.hours / cells.charge_efficiency_ratio
    room_down = (moment.stored_kwh - cells.floor_kwh) / moment.hours * cells.discharge_efficiency_ratio
    high = np.minimum(np.minimum(cells.charge_limit_kw, cells.import_limit_kw - moment.net_load_kw), room_up)
    low = np.maximum(np.maximum(-cells.discharge_limit_kw, -cells.export_limit_kw - moment.net_load_kw), -room_down)
    assert (power <= high[:, None] + 1e-9).all()
    assert (power >= low[:, None] - 1e-9).all()
    for column, price in enumerate(PRICE_GRID):
        mine = _cost(moment, plans, 1, power[:, column]) + price * power[:, column] * moment.hours
        for share in np.linspace(0, 1, 23):
            other = low + share * (high - low)
            theirs = _cost(moment, plans, 1, other) + price * other * moment.hours
            assert (mine <= theirs + 1e-9 * (1 + np.abs(theirs))).all()


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_no_other_power_nor_switching_off_would_cost_less_under_limits_of_the_moment(seed: int) -> None:
    problems = changing_problems(seed, 12, 6)
    plans = solve_each(problems, keep=1)
    moment = Moment.of(problems, 0)
    assert moment.curtailable_kw is not None
    prices = PRICE_GRID[problems.coordination_per_kwh[0] <= PRICE_GRID][::4]
    power, net = answers(moment, plans.values, 1, prices), offers(moment, plans.values, 1, prices)
    dark, limits = net - power - moment.net_load_kw[:, None], moment.batteries
    for home in sorted(set(range(12)) - set(plans.errors)):
        one, values = problems.rows(slice(home, home + 1)), plans.values
        lowest, highest = values.left[home, 1], values.left[home, 1] + values.length[home, 1].sum()
        for column, price in enumerate(prices):
            mine = _total(plans, home, moment, power[home, column], dark[home, column], float(price))
            assert -limits.export_limit_kw[home] - 1e-9 <= net[home, column] <= limits.import_limit_kw[home] + 1e-9
            for p in np.linspace(-limits.discharge_limit_kw[home], limits.charge_limit_kw[home], 15):
                change = stored_change(one.batteries, np.array([p]), moment.hours)[0]
                for c in np.linspace(0, moment.curtailable_kw[home], 5):
                    total = moment.net_load_kw[home] + p + c
                    inside = -limits.export_limit_kw[home] <= total <= limits.import_limit_kw[home]
                    if inside and lowest <= one.stored_kwh[0] + change <= highest:
                        assert mine <= _total(plans, home, moment, p, c, float(price)) + 1e-9


def _total(plans: Plans, home: int, moment: Moment, power: float, dark: float, price: float) -> float:
    """What one home's interval costs with the coordination price, and what is left then."""
    net_kwh = (moment.net_load_kw[home] + power + dark) * moment.hours
    bill = (moment.import_per_kwh[home] if net_kwh > 0 else moment.export_per_kwh[home]) + price
    wear = moment.batteries.wear_per_kwh[home] * abs(power) * moment.hours
    powers = np.zeros(moment.net_load_kw.size)
    powers[home] = power
    end = moment.stored_kwh + stored_change(moment.batteries, powers, moment.hours)
    return float(bill * net_kwh + wear + value(plans.values, 1, end)[home])


def test_offers_never_rise_with_the_price_and_meet_the_plan_at_its_own_price() -> None:
    problems = random_problems(11, 200, 24)
    plans = solve(problems, keep=1)
    moment = Moment.of(problems, 0, problems.stored_kwh)
    curves = offers(moment, plans.values, 1, PRICE_GRID)
    assert (np.diff(curves, axis=1) <= 1e-12).all()
    own = answers(moment, plans.values, 1, problems.coordination_per_kwh[:1])[:, 0]
    at_plan = _cost(moment, plans, 1, plans.battery_kw[:, 0])
    extra = problems.coordination_per_kwh[0] * moment.hours
    np.testing.assert_allclose(
        _cost(moment, plans, 1, own) + own * extra, at_plan + plans.battery_kw[:, 0] * extra, rtol=1e-9
    )


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_what_the_market_pays_covers_what_the_owner_loses(seed: int) -> None:
    """λ·(what W would do − x) ≥ regret ≥ 0 whenever x is W's own answer to λ."""
    problems = _alone(random_problems(seed, 10, 12))
    plans = solve(problems, keep=1)
    moment = Moment.of(problems, 0, problems.stored_kwh)
    alone, best = best_cost(moment, plans.values, 1)
    power = answers(moment, plans.values, 1, PRICE_GRID)
    for column, price in enumerate(PRICE_GRID):
        regret = _cost(moment, plans, 1, power[:, column]) - best
        paid = price * (alone - power[:, column]) * moment.hours
        assert (regret >= -1e-9).all()
        assert (paid >= regret - 1e-9 * (1 + np.abs(paid))).all()


@given(st.integers(0, 10_000), st.integers(0, 100))
@settings(max_examples=40, deadline=None)
def test_paying_the_regret_makes_any_dispatch_cost_what_alone_costs(seed: int, dispatch_seed: int) -> None:
    """Σ regret telescopes: cost − payments = cost alone, for any feasible sequence of powers."""
    problems = _alone(random_problems(seed, 10, 12))
    plans = solve(problems, keep=problems.intervals)
    rng = np.random.default_rng(dispatch_seed)
    stored, spent, paid = problems.stored_kwh.copy(), np.zeros(10), np.zeros(10)
    for step in range(problems.intervals):
        moment = Moment.of(problems, step, stored)
        bounds = answers(moment, plans.values, step + 1, np.array([-1e6, 1e6]))
        power = bounds[:, 1] + rng.uniform(0, 1, 10) * (bounds[:, 0] - bounds[:, 1])
        paid += _cost(moment, plans, step + 1, power) - best_cost(moment, plans.values, step + 1)[1]
        wear = problems.batteries.wear_per_kwh * np.abs(power) * moment.hours
        spent += energy_cost(moment, (moment.net_load_kw + power) * moment.hours) + wear
        stored += stored_change(problems.batteries, power, moment.hours)
    spent -= problems.terminal_per_kwh * stored
    np.testing.assert_allclose(spent - paid, plans.cost, rtol=1e-8, atol=1e-8)


@given(st.integers(0, 10_000), st.integers(0, 1000), st.floats(0.0, 0.6))
@settings(max_examples=60, deadline=None)
def test_an_owner_paid_the_regret_is_never_worse_off_whatever_prices_come(seed: int, other: int, swing: float) -> None:
    """Plans made with one expected λ, dispatched at another, from where the battery really stands, by any tariff."""
    rng = np.random.default_rng(other)
    problems = _alone(random_problems(seed, 8, 12))
    expected = dataclasses.replace(problems, coordination_per_kwh=rng.uniform(-0.05, swing, 12))
    expected = dataclasses.replace(
        expected, coordination_per_kwh=np.maximum(expected.coordination_per_kwh, lowest_convex_price(expected))
    )
    alone, fleet = solve(problems, keep=12), solve(expected, keep=12)
    stored, spent, paid = problems.stored_kwh.copy(), np.zeros(8), np.zeros(8)
    for step in range(12):
        moment = Moment.of(problems, step, stored)
        price = rng.choice([rng.uniform(-0.05, 0.6), 0.0, 15.0, -1.0])
        power = answers(moment, fleet.values, step + 1, np.array([price]))[:, 0]
        regret = _cost(moment, alone, step + 1, power) - best_cost(moment, alone.values, step + 1)[1]
        assert (regret >= -1e-9).all()
        paid += regret
        wear = problems.batteries.wear_per_kwh * np.abs(power) * moment.hours
        spent += energy_cost(moment, (moment.net_load_kw + power) * moment.hours) + wear
        stored = stored + stored_change(problems.batteries, power, moment.hours)
    spent -= problems.terminal_per_kwh * stored
    assert (spent - paid <= alone.cost + 1e-8 * (1 + np.abs(alone.cost))).all()


def test_members_powers_add_up_to_the_groups_target_exactly() -> None:
    problems = random_problems(2, 500, 24)
    curves = offers(Moment.of(problems, 0, problems.stored_kwh), solve(problems).values, 1, PRICE_GRID)
    total = curves.sum(axis=0)
    for share in np.linspace(0.001, 0.999, 41):
        target = total[-1] + share * (total[0] - total[-1])
        setpoints = read_at(curves, price_for(total, target))
        assert setpoints.sum() == pytest.approx(target, abs=1e-8)


def test_a_home_without_a_plan_or_whose_energy_is_unknown_offers_nothing_that_could_be_taken_for_an_answer() -> None:
    problems = random_problems(2, 6, 8)
    problems.net_load_kw[2, 5] = np.nan
    plans, stored = solve_each(problems), problems.stored_kwh.copy()
    stored[4] = np.nan
    curves = offers(Moment.of(problems, 0, stored), plans.values, 1, PRICE_GRID)
    assert np.isnan(curves).all(axis=1).tolist() == [False, False, True, False, True, False]


def test_prices_and_moments_that_do_not_fit_are_refused_by_name() -> None:
    problems = random_problems(2, 6, 8)
    plans, moment = solve(problems), Moment.of(problems)
    for prices in (PRICE_GRID[::-1], np.array([0.0, np.nan]), np.zeros((4, 3))):
        with pytest.raises(InvalidInput, match="prices"):
            offers(moment, plans.values, 1, prices)
    with pytest.raises(InvalidInput, match=r"step is 2.*keep"):
        offers(moment, plans.values, 2, PRICE_GRID)
    with pytest.raises(InvalidInput, match="homes of the moment"):
        offers(Moment.of(problems, 0, problems.stored_kwh[:2]), plans.values, 1, PRICE_GRID)
