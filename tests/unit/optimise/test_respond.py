"""Offers are the exact answers to prices, and what an owner is paid makes the day no worse than alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.highs_reference import random_problems
from powerflock.curve.grid import PRICE_GRID, price_for, read_at
from powerflock.domain.arrays import F64
from powerflock.optimise.problem import SiteProblems
from powerflock.optimise.respond import Moment, answers, best_cost, energy_cost, offers, stored_change, value
from powerflock.optimise.site import Plans, solve


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


def test_members_powers_add_up_to_the_groups_target_exactly() -> None:
    problems = random_problems(2, 500, 24)
    curves = offers(Moment.of(problems, 0, problems.stored_kwh), solve(problems).values, 1, PRICE_GRID)
    total = curves.sum(axis=0)
    for share in np.linspace(0.001, 0.999, 41):
        target = total[-1] + share * (total[0] - total[-1])
        setpoints = read_at(curves, price_for(total, target))
        assert setpoints.sum() == pytest.approx(target, abs=1e-8)
