"""Groups share an award and a reserve at least cost; each price says what one more kW is worth."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from powerflock.curve.grid import PRICE_GRID, read_at
from powerflock.domain.arrays import F64
from powerflock.domain.errors import Infeasible, InvalidInput, NotConvex
from powerflock.optimise.reserve import Dispatch, GroupOffers, ReserveMarket, co_optimise

ZERO = int(np.flatnonzero(PRICE_GRID == 0.0)[0])


def offer(own_kw: float, exports: dict[float, float], imports: dict[float, float] | None = None) -> F64:
    """(41,) a curve from `own_kw` at price 0 that falls (rises) by so many kW in the cell that ends at each price."""
    curve = np.full(PRICE_GRID.size, own_kw)
    for price, kw in exports.items():
        curve[np.flatnonzero(price == PRICE_GRID)[0] :] -= kw
    for price, kw in (imports or {}).items():
        curve[: np.flatnonzero(price == PRICE_GRID)[0] + 1] += kw
    return curve


def mean_price(price: float) -> float:
    """The mean price of the cell that ends at `price`."""
    at = int(np.flatnonzero(price == PRICE_GRID)[0])
    return float(PRICE_GRID[at - 1] + PRICE_GRID[at]) / 2


CHEAP, DEAR = offer(1.0, {0.06: 2.0}), offer(2.0, {0.4: 4.0})


def test_an_award_is_met_by_the_cheapest_group_first() -> None:
    """3 kW at price 0; 1 kW is wanted, so the cheap group gives its 2 kW and the dear one nothing."""
    groups = GroupOffers.of(np.stack([CHEAP, DEAR])[:, None])
    plan = co_optimise(groups, ReserveMarket.of(1, hours=1.0, least_kw=0.5, most_kw=0.5), parts=1)
    np.testing.assert_allclose(plan.power_kw, [[-1.0], [1.5]], atol=1e-9)
    assert plan.cost == pytest.approx(2.0 * mean_price(0.06) + 0.5 * mean_price(0.4))
    assert plan.price_per_kwh[0, 0] >= 0.06
    assert plan.price_per_kwh[1, 0] == pytest.approx(0.32 + 0.08 * 0.5 / 4.0)
    np.testing.assert_allclose(plan.energy_price_per_kwh, [mean_price(0.4)])


def test_a_reserve_is_held_by_the_group_whose_energy_pays_least() -> None:
    """At 0.2 $/kWh the cheap group exports all it can; the raise must come from the dear one, which stays."""
    groups = GroupOffers.of(np.stack([CHEAP, DEAR])[:, None])
    market = ReserveMarket.of(1, hours=1.0, energy_per_kwh=0.2, raise_required_kw=3.0)
    plan = co_optimise(groups, market)
    np.testing.assert_allclose(plan.power_kw, [[-1.0], [2.0]], atol=1e-9)
    assert (plan.raise_kw.sum(), plan.raise_price[0]) == pytest.approx((3.0, 0.0))


def test_more_reserve_than_that_is_paid_for_with_energy_not_sold() -> None:
    """5 kW are asked and the dear group has 4: the cheap one exports 1 kW less, at what that kWh would have earned."""
    groups = GroupOffers.of(np.stack([CHEAP, DEAR])[:, None])
    market = ReserveMarket.of(1, hours=1.0, energy_per_kwh=0.2, raise_required_kw=5.0)
    plan = co_optimise(groups, market, parts=1)
    np.testing.assert_allclose(plan.power_kw, [[0.0], [2.0]], atol=1e-9)
    assert plan.raise_price[0] == pytest.approx(0.2 - mean_price(0.06))
    assert plan.price_per_kwh[0, 0] == pytest.approx(mean_price(0.06))  # half-way down the cell


def test_reserve_that_pays_is_sold_up_to_the_cap_and_earns_only_what_is_firm() -> None:
    groups = GroupOffers.of(DEAR[None, None], coverage_ratio=0.8)
    plan = co_optimise(groups, ReserveMarket.of(1, hours=0.5, raise_per_kw_hour=0.1, raise_cap_kw=2.0))
    assert 0.8 * plan.raise_kw[0, 0] >= 2.0 - 1e-9
    assert plan.cost == pytest.approx(-0.1 * 2.0 * 0.5)


def test_reserve_needs_the_energy_to_sustain_it() -> None:
    groups = GroupOffers.of(DEAR[None, None], releasable_kwh=1.0)
    market = ReserveMarket.of(1, hours=1.0, raise_required_kw=4.0, shortage_per_kw_hour=5.0, sustain_hours=0.5)
    plan = co_optimise(groups, market)
    assert (plan.raise_kw[0, 0], plan.raise_missing_kw[0]) == pytest.approx((2.0, 2.0))
    assert plan.raise_price[0] == pytest.approx(5.0)


def test_energy_given_in_one_interval_is_missing_behind_the_next_ones_reserve() -> None:
    """2 kWh: one kWh exported at 1 $ leaves 1 kWh, so of the 2 kW that are asked 1 kW is missing at 0.3 $."""
    groups = GroupOffers.of(np.stack([offer(0.0, {0.06: 1.0}), offer(0.0, {0.4: 9.0})])[None], releasable_kwh=2.0)
    market = ReserveMarket.of(
        2, hours=1.0, energy_per_kwh=[1.0, 0.0], raise_required_kw=[0.0, 2.0], shortage_per_kw_hour=0.3
    )
    plan = co_optimise(groups, market)
    np.testing.assert_allclose(plan.power_kw, [[-1.0, 0.0]], atol=1e-9)
    np.testing.assert_allclose(plan.raise_missing_kw, [0.0, 1.0], atol=1e-9)


def test_energy_taken_early_stands_behind_later_reserve_after_losses() -> None:
    curves = np.stack([offer(0.0, {}, {-0.02: 4.0}), offer(0.0, {0.4: 9.0})])[None]
    groups = GroupOffers.of(curves, releasable_kwh=0.0, round_trip_ratio=0.8)
    plan = co_optimise(groups, ReserveMarket.of(2, hours=1.0, raise_required_kw=[0.0, 2.0]))
    assert plan.power_kw[0, 0] == pytest.approx(2.5)


def test_ramps_begin_before_they_are_needed() -> None:
    curves = np.broadcast_to(offer(0.0, {0.06: 3.0}), (1, 3, PRICE_GRID.size))
    groups = GroupOffers.of(curves, ramp_kw=1.0)
    plan = co_optimise(groups, ReserveMarket.of(3, hours=1.0, least_kw=[-9, -9, -3], most_kw=[9, 9, -3]))
    np.testing.assert_allclose(plan.power_kw, [[-1.0, -2.0, -3.0]], atol=1e-9)


def test_an_award_out_of_reach_is_missed_at_the_imbalance_price() -> None:
    groups = GroupOffers.of(CHEAP[None, None])
    market = ReserveMarket.of(1, hours=1.0, least_kw=-5.0, most_kw=-3.0, imbalance_per_kwh=2.0)
    plan = co_optimise(groups, market)
    assert plan.imbalance_kw[0] == pytest.approx(2.0)
    assert plan.energy_price_per_kwh[0] == pytest.approx(2.0)


def integer_case(seed: int, groups: int, steps: int) -> tuple[GroupOffers, ReserveMarket]:
    """Curves, limits and energies in whole kW and hours, so that an optimum is in whole kW too."""
    rng = np.random.default_rng(seed)
    drop = rng.integers(0, 2, (groups, steps, PRICE_GRID.size)) * (rng.random((groups, steps, PRICE_GRID.size)) < 0.1)
    curves = rng.integers(0, 4, (groups, steps, 1)) - drop.cumsum(axis=-1)
    own = curves[..., ZERO].astype(float)
    energy = rng.integers(0, 4, (2, groups, steps)).astype(float)
    most = rng.integers(-3, 4, steps).astype(float)
    return (
        GroupOffers.of(
            curves.astype(float), releasable_kwh=energy[0], absorbable_kwh=energy[1], round_trip_ratio=1.0,
            raise_limit_kw=rng.integers(0, 4, (groups, steps)), lower_limit_kw=3.0,
            ramp_kw=float(rng.integers(2, 9)), before_kw=own[:, 0],
        ),
        ReserveMarket.of(
            steps, hours=1.0, energy_per_kwh=rng.uniform(-0.2, 0.4, steps), least_kw=most - rng.integers(0, 3),
            most_kw=most, imbalance_per_kwh=0.7, raise_per_kw_hour=rng.uniform(0, 0.2, steps),
            lower_per_kw_hour=rng.uniform(0, 0.2, steps), raise_required_kw=rng.integers(0, 3, steps),
            lower_required_kw=rng.integers(0, 3, steps), raise_cap_kw=2.0, lower_cap_kw=1.0, shortage_per_kw_hour=0.9,
        ),
    )  # fmt: skip


def own_cost(curve: F64, power: float) -> float:
    """What a group's move from its own optimum to `power` costs it: the mean price of each cell on the way."""
    low, high = np.sort([power, curve[ZERO]])
    moved = np.clip(np.minimum(curve[:-1], high) - np.maximum(curve[1:], low), 0.0, None)
    return float(np.abs((PRICE_GRID[:-1] + PRICE_GRID[1:]) / 2) @ moved)


def reserve_cost(most: F64, paid: float, required: float, cap: float, shortage: float) -> float:
    """The best of holding anything up to the sum of what groups can hold."""
    able = float(np.maximum(most, 0.0).sum())
    choices = (min(held, able) for held in (0.0, cap, required, able))
    return min(shortage * max(required - held, 0.0) - paid * min(held, cap) for held in choices)


def cost_of(groups: GroupOffers, market: ReserveMarket, power: F64) -> float:
    """What powers (G, T) cost with the best reserve they allow, by hand; infinite where a rule is broken."""
    curves = groups.offer_kw
    change = np.diff(power, axis=1, prepend=groups.before_kw[:, None])
    taken = (power - curves[..., ZERO]).cumsum(axis=1)
    up, down = groups.releasable_kwh + taken, groups.absorbable_kwh - taken
    if (np.abs(change) > groups.ramp_kw + 1e-9).any() or min(up.min(), down.min()) < -1e-9:
        return np.inf
    raised = np.minimum(np.minimum(power - curves[..., -1], up), groups.raise_limit_kw)
    lowered = np.minimum(np.minimum(curves[..., 0] - power, down), groups.lower_limit_kw)
    cost = sum(own_cost(curves[at], float(power[at])) for at in np.ndindex(power.shape))
    for t, total in enumerate(power.sum(axis=0)):
        missed = max(total - market.most_kw[t], market.least_kw[t] - total, 0.0)
        cost += market.energy_per_kwh[t] * total + market.imbalance_per_kwh[t] * missed
        cost += reserve_cost(raised[:, t], market.raise_per_kw_hour[t], market.raise_required_kw[t], 2.0, 0.9)
        cost += reserve_cost(lowered[:, t], market.lower_per_kw_hour[t], market.lower_required_kw[t], 1.0, 0.9)
    return float(cost)


def brute_force(groups: GroupOffers, market: ReserveMarket) -> float:
    """The least cost over every whole-kW power of every group and interval."""
    shape = groups.offer_kw.shape[:2]
    ends = groups.offer_kw[..., [-1, 0]].reshape(-1, 2).astype(int)
    choices = itertools.product(*(range(low, high + 1) for low, high in ends))
    return min(cost_of(groups, market, np.array(choice, float).reshape(shape)) for choice in choices)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), shape=st.sampled_from([(1, 1), (2, 1), (1, 2), (3, 1), (2, 2), (1, 3)]))
def test_a_dispatch_costs_what_it_says_and_none_in_whole_kw_is_cheaper(seed: int, shape: tuple[int, int]) -> None:
    """Over one interval the best is in whole kW, so there both are the same."""
    groups, market = integer_case(seed, *shape)
    expected = brute_force(groups, market)
    try:
        plan = co_optimise(groups, market, parts=1)
    except Infeasible:
        assert np.isinf(expected)
        return
    assert plan.cost == pytest.approx(cost_of(groups, market, plan.power_kw), abs=1e-6)
    assert plan.cost <= expected + 1e-6
    if shape[1] == 1:
        assert plan.cost == pytest.approx(expected, abs=1e-6)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), raises=st.booleans())
def test_prices_are_what_one_more_kw_of_load_costs_and_one_more_of_reserve_is_worth(seed: int, raises: bool) -> None:
    """The last group has load and either raise or lower, but no energy at a price that is ever paid."""
    groups, market = integer_case(seed, 3, 1)
    market = dataclasses.replace(market, least_kw=market.most_kw, imbalance_per_kwh=np.array([0.3]))
    for column in (groups.releasable_kwh, groups.absorbable_kwh, groups.raise_limit_kw, groups.lower_limit_kw):
        column[2] = 9.0
    groups.before_kw[2] = 1.0
    if not raises:
        market.raise_per_kw_hour[0] = market.raise_required_kw[0] = 0.0

    def dispatch(*, load: float = 0.0, reserve: float = 0.0) -> Dispatch:
        curves = groups.offer_kw.copy()
        room = ({20.0: 0.5 + reserve}, {}) if raises else ({}, {-1.0: 0.5 + reserve})
        curves[2, 0] = offer(1.0 + load, *room)
        return co_optimise(dataclasses.replace(groups, offer_kw=curves), market)

    plan, step = dispatch(), 1e-3
    less, more = dispatch(load=-step).cost, dispatch(load=step).cost
    assert (plan.cost - less) / step - 1e-6 <= plan.energy_price_per_kwh[0] <= (more - plan.cost) / step + 1e-6
    price = (plan.raise_price if raises else plan.lower_price)[0]
    less, more = dispatch(reserve=-step).cost, dispatch(reserve=step).cost
    assert (plan.cost - more) / step - 1e-6 <= price <= (less - plan.cost) / step + 1e-6


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_group_that_answers_its_price_does_exactly_what_was_dispatched(seed: int) -> None:
    """For smooth curves, flat ones and their ends."""
    rng = np.random.default_rng(seed)
    smooth = 3.0 - 6.0 * np.tanh(PRICE_GRID * rng.uniform(0.5, 3.0))
    groups = GroupOffers.of(np.stack([smooth, CHEAP, DEAR])[:, None])
    asked = rng.uniform(-6.0, 10.0)
    market = ReserveMarket.of(1, least_kw=asked, most_kw=asked, raise_required_kw=rng.choice([0.0, 2.0]))
    plan = co_optimise(groups, market)
    answers = [read_at(groups.offer_kw[g, 0], float(plan.price_per_kwh[g, 0])) for g in range(3)]
    np.testing.assert_allclose(answers, plan.power_kw[:, 0], atol=1e-7)


def test_bad_columns_are_named_with_group_and_interval() -> None:
    curves = np.stack([CHEAP, DEAR])[:, None]
    with pytest.raises(NotConvex, match="group 1, interval 0: offer_kw"):
        co_optimise(GroupOffers.of(curves * np.array([1.0, -1.0])[:, None, None]), ReserveMarket.of(1))
    with pytest.raises(InvalidInput, match="group 0, interval 0: releasable_kwh is nan"):
        co_optimise(GroupOffers.of(curves, releasable_kwh=[[np.nan], [1.0]]), ReserveMarket.of(1))
    with pytest.raises(InvalidInput, match=r"interval 0: least_kw is 2\.0; must not be above most_kw 1\.0"):
        co_optimise(GroupOffers.of(curves), ReserveMarket.of(1, least_kw=2.0, most_kw=1.0))
    with pytest.raises(InvalidInput, match="the market's intervals is 2"):
        co_optimise(GroupOffers.of(curves), ReserveMarket.of(2))
    with pytest.raises(InvalidInput, match="shape of offer_kw"):
        GroupOffers.of(curves[:, 0])
