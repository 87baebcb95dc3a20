"""Whatever stands at a home, it gets a plan that keeps every limit, and is told how it was made and how good it is."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from benchmarks.highs_reference import random_problems
from powerflock.domain.arrays import F64, I64
from powerflock.domain.errors import Infeasible, PowerflockError, Unsolved, UnsoundPlan
from powerflock.optimise import sites
from powerflock.optimise.check import check_plan
from powerflock.optimise.coupled import CoupledPlans, solve_coupled
from powerflock.optimise.linear import Optimum, Programme
from powerflock.optimise.problem import Batteries, Devices, SiteProblems, VaryingLimits
from powerflock.optimise.sessions import Stays, cars, tanks, within_reach
from powerflock.optimise.site import Plans, solve, solve_each
from powerflock.optimise.sites import Method, SitePlans, plan_sites
from tests.unit.optimise.several_reference import least_cost

STEPS = 24


def _cars(seed: int, homes: list[int], *, discharge_kw: float = 0.0, least_kw: float = 0.0) -> Devices:
    rng, count = np.random.default_rng(seed), len(homes)
    cells = Batteries.of(
        count, capacity_kwh=50, charge_limit_kw=7, discharge_limit_kw=discharge_kw, floor_kwh=5, wear_per_kwh=0.01,
        charge_efficiency_ratio=0.92, discharge_efficiency_ratio=0.92, least_charge_kw=least_kw,
    )  # fmt: skip
    stays = Stays.of(
        np.arange(count), arrival=rng.integers(0, 8, count), departure=rng.integers(14, STEPS, count),
        needed_kwh=rng.uniform(20, 30, count),
    )  # fmt: skip
    return cars(homes, cells, stays, STEPS, stored_kwh=rng.uniform(15, 25, count))


def _tanks(homes: list[int]) -> Devices:
    return tanks(homes, 3.0, tank=np.arange(len(homes)), start=3, end=20, needed_kwh=5.0, intervals=STEPS)


def _problems(seed: int, homes: int, devices: Devices | None = None) -> SiteProblems:
    return dataclasses.replace(random_problems(seed, homes, STEPS), hours=np.full(STEPS, 1.0), devices=devices)


def test_each_home_is_solved_the_fastest_way_that_is_right_for_it() -> None:
    problems = _problems(
        3, 12, _cars(1, [1, 2, 3], discharge_kw=5.0).with_(_tanks([3, 4])).with_(_cars(2, [5], least_kw=3))
    )
    cells = problems.batteries
    owned = np.isin(np.arange(12), [1, 3, 5])
    cells = dataclasses.replace(
        cells, charge_limit_kw=np.where(owned, 4.0, 0.0), capacity_kwh=np.where(owned, 9.0, cells.floor_kwh)
    )
    cells = dataclasses.replace(cells, discharge_limit_kw=cells.charge_limit_kw, floor_kwh=np.zeros(12))
    dear_export = problems.export_per_kwh.copy()
    dear_export[0] = problems.import_per_kwh[0] + 0.1
    stored = np.minimum(problems.stored_kwh, cells.capacity_kwh)
    tariff = np.where(np.arange(12) == 1, 1, 2).astype(np.int32)
    tariff[6] = 0
    problems = dataclasses.replace(
        problems, batteries=cells, export_per_kwh=dear_export, stored_kwh=stored, tariff=tariff
    )  # fmt: skip
    plans = plan_sites(problems)
    assert not plans.errors
    assert Method(int(plans.method[1])) is Method.COUPLED
    assert Method(int(plans.method[2])) is Method.MERGED
    assert Method(int(plans.method[3])) is Method.COUPLED
    assert Method(int(plans.method[4])) is Method.MERGED
    assert Method(int(plans.method[5])) is Method.MIXED_INTEGER
    assert check_plan(problems, plans.schedule, plans.cost) == []


@pytest.mark.parametrize("seed", range(4))
def test_no_plan_costs_more_than_an_independent_programme_finds_but_for_its_stated_gap(seed: int) -> None:
    devices = (
        _cars(seed, [0, 1, 2, 5], discharge_kw=4.0).with_(_tanks([1, 3, 5])).with_(_cars(seed + 9, [4], least_kw=2))
    )
    problems = within_reach(_problems(seed, 8, devices))[0]
    plans = plan_sites(problems)
    assert not plans.errors
    assert check_plan(problems, plans.schedule, plans.cost) == []
    for home in range(8):
        best = least_cost(problems, home)
        assert best is not None
        slack = 1e-6 * max(1.0, abs(best))
        assert best - slack <= plans.cost[home] <= best + plans.gap[home] + slack
        assert plans.gap[home] <= 2e-6 * max(1.0, abs(best))


def test_a_car_alone_is_planned_as_exactly_as_a_battery() -> None:
    problems = _problems(2, 3, _cars(4, [0, 1, 2]))
    none = np.zeros(3)
    cells = dataclasses.replace(problems.batteries, charge_limit_kw=none, discharge_limit_kw=none)
    problems = dataclasses.replace(problems, batteries=cells)
    plans = plan_sites(problems)
    assert set(plans.method.tolist()) == {Method.MERGED}
    for home in range(3):
        assert plans.cost[home] == pytest.approx(least_cost(problems, home), abs=1e-7)


def test_plain_homes_get_the_very_plan_that_merging_slopes_gives() -> None:
    problems = _problems(7, 40)
    plans, plain = plan_sites(problems), solve(problems)
    np.testing.assert_array_equal(plans.schedule.battery_kw, plain.battery_kw)
    np.testing.assert_allclose(plans.cost, plain.cost, rtol=1e-12)
    assert (plans.gap == 0).all()


def test_a_car_that_leaves_too_soon_is_charged_as_far_as_it_can_be_and_the_shortfall_is_told() -> None:
    cells = Batteries.of(1, capacity_kwh=50, charge_limit_kw=7, discharge_limit_kw=0, charge_efficiency_ratio=1.0)
    stays = Stays.of(0, arrival=0, departure=2, needed_kwh=30)
    plans = plan_sites(_problems(1, 2, cars(1, cells, stays, STEPS, stored_kwh=10.0)))
    assert not plans.errors
    assert plans.short_kwh.tolist() == [0.0, pytest.approx(6.0)]
    assert plans.schedule.device_kw is not None
    np.testing.assert_allclose(plans.schedule.device_kw[0, :2], 7.0)


def test_homes_without_a_plan_are_named_and_the_others_planned() -> None:
    problems = _problems(1, 6, _cars(1, [3, 4]))
    load = problems.net_load_kw.copy()
    load[0, 3], load[4, 5], load[2, 1] = np.nan, 500.0, 500.0
    plans = plan_sites(dataclasses.replace(problems, net_load_kw=load))
    assert set(plans.errors) == {0, 2, 4}
    assert "net_load_kw" in str(plans.errors[0])
    assert isinstance(plans.errors[2], Infeasible)
    assert isinstance(plans.errors[4], Infeasible)
    assert plans.method[[0, 2, 4]].tolist() == [Method.NONE] * 3
    assert np.isnan(plans.cost[[0, 2, 4]]).all()
    assert np.isfinite(plans.cost[[1, 3, 5]]).all()


def test_a_solver_that_cheats_is_caught_before_its_plan_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    def cheat(problems: SiteProblems, **options: object) -> Plans:
        plans = solve(problems)
        power: F64 = plans.battery_kw.copy()
        power[2, 5] += 50.0
        return dataclasses.replace(plans, battery_kw=power)

    monkeypatch.setattr(sites, "solve_each", cheat)
    plans = plan_sites(_problems(1, 4))
    assert set(plans.errors) == {2}
    assert isinstance(plans.errors[2], UnsoundPlan)
    assert "charge limit" in str(plans.errors[2]) or "import limit" in str(plans.errors[2])


def test_a_storage_without_losses_is_planned_though_both_directions_at_once_would_cost_it_nothing() -> None:
    """HiGHS may answer with both, which cancel; in the last interval energy is free, so nothing else decides."""
    battery = Batteries.of(
        1, capacity_kwh=9.8, floor_kwh=1.96, charge_limit_kw=2.5, discharge_limit_kw=10, wear_per_kwh=0,
        charge_efficiency_ratio=1, discharge_efficiency_ratio=1, import_limit_kw=8,
    )  # fmt: skip
    second = Batteries.of(
        1, capacity_kwh=20, charge_limit_kw=7, discharge_limit_kw=7, wear_per_kwh=0, charge_efficiency_ratio=0.92,
        discharge_efficiency_ratio=0.92,
    )  # fmt: skip
    problems = SiteProblems.of(
        battery, [[2.7, 1.9, 4.0]], hours=1, import_per_kwh=[-1.2, -0.2, 0], export_per_kwh=[-1.3, 0, 0],
        stored_kwh=5.88, terminal_per_kwh=-0.05, devices=Devices.of(0, second, stored_kwh=2.7),
    )  # fmt: skip
    plans = plan_sites(problems)
    assert not plans.errors
    assert Method(int(plans.method[0])) is Method.MIXED_INTEGER


def test_a_home_that_the_interior_point_gives_up_gets_its_plan_as_a_mixed_integer_programme(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def give_up(problems: SiteProblems, homes: I64, **options: object) -> CoupledPlans:
        plans = solve_coupled(problems, homes)
        nothing = np.full(homes.size, np.inf)
        return dataclasses.replace(plans, cost=nothing, gap=nothing, battery_kw=np.full_like(plans.battery_kw, np.nan))

    problems = _problems(3, 3, _cars(1, [0, 1, 2], discharge_kw=5.0))
    problems = dataclasses.replace(problems, export_per_kwh=problems.export_per_kwh - 0.01)
    expected = plan_sites(problems)
    assert Method.COUPLED in expected.method
    monkeypatch.setattr(sites, "solve_coupled", give_up)
    plans = plan_sites(problems)
    assert not plans.errors
    assert Method.COUPLED not in plans.method
    np.testing.assert_allclose(plans.cost, expected.cost, rtol=2e-6, atol=2e-6)


def test_a_refused_home_hears_of_its_own_excess_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def cheat(problems: SiteProblems, **options: object) -> Plans:
        plans = solve_each(problems)
        plans.battery_kw[2, 5] += 50.0
        return plans

    monkeypatch.setattr(sites, "solve_each", cheat)
    problems = _problems(1, 4)
    problems.net_load_kw[0, 0] = np.nan
    errors = plan_sites(problems).errors
    assert "net_load_kw" in str(errors.pop(0))
    assert [error for error in errors.values() if isinstance(error, UnsoundPlan) and "inf" not in str(error)]


IDLE = Batteries.of(1, capacity_kwh=0, charge_limit_kw=0, discharge_limit_kw=0, import_limit_kw=5)


def _near(
    cells: Batteries, devices: Devices | None = None, *, limits: VaryingLimits | None = None, load_kw: float = 1.0
) -> SitePlans:
    """The plan of one home over six hours, of which the first is the dearest."""
    problems = SiteProblems.of(
        cells, np.full((1, 6), load_kw), hours=1, import_per_kwh=[0.9, 0.3, 0.3, 0.2, 0.2, 0.2], export_per_kwh=0.05,
        stored_kwh=0.0, limits=limits, devices=devices,
    )  # fmt: skip
    plans = plan_sites(problems)
    assert not plans.errors
    assert plans.gap[0] <= 1e-4
    return plans


def _car(stored: float, needed: float, departure: int, *, least_kw: float = 0.0) -> Devices:
    cells = Batteries.of(
        1, capacity_kwh=50, charge_limit_kw=7, discharge_limit_kw=0, charge_efficiency_ratio=1.0,
        least_charge_kw=least_kw,
    )  # fmt: skip
    return cars(0, cells, Stays.of(0, arrival=0, departure=departure, needed_kwh=needed), 6, stored_kwh=stored)


def test_a_car_too_full_for_its_least_power_leaves_as_it_is() -> None:
    plans = _near(IDLE, _car(49.8, 50.0, 2, least_kw=1.4))
    assert plans.short_kwh[0] == pytest.approx(0.2)
    assert plans.schedule.device_kw == pytest.approx(np.zeros((1, 6)))


def test_a_car_that_needs_more_than_the_connection_gives_takes_all_it_gives_however_dear() -> None:
    plans = _near(IDLE, _car(10.0, 20.0, 2))
    assert plans.short_kwh[0] == pytest.approx(2.0)
    assert plans.schedule.device_kw is not None
    assert plans.schedule.device_kw[0, :2] == pytest.approx(4.0)


def test_a_car_and_a_tank_that_share_too_little_import_use_all_of_it() -> None:
    tank = tanks(0, 3.0, tank=0, start=0, end=2, needed_kwh=4.0, intervals=6)
    plans = _near(IDLE, _car(10.0, 16.0, 2).with_(tank))
    assert plans.short_kwh[0] == pytest.approx(2.0)
    assert plans.schedule.device_kw is not None
    assert plans.schedule.device_kw[:, :2].sum(axis=0) == pytest.approx(4.0)


def test_a_tank_that_is_on_or_off_is_heated_for_as_many_hours_as_fit() -> None:
    plans = _near(IDLE, tanks(0, 3.0, tank=0, start=0, end=6, needed_kwh=7.0, intervals=6, least_kw=3.0))
    assert plans.short_kwh[0] == pytest.approx(1.0)
    assert plans.schedule.device_kw is not None
    assert plans.schedule.device_kw.sum() == pytest.approx(6.0)


def test_a_storm_reserve_that_a_car_leaves_no_import_for_is_filled_as_far_as_the_connection_allows() -> None:
    cells = Batteries.of(
        1, capacity_kwh=10, charge_limit_kw=5, discharge_limit_kw=5, charge_efficiency_ratio=1.0, import_limit_kw=5
    )  # fmt: skip
    limits = VaryingLimits.of(cells, 6, floor_kwh=[0, 9, 9, 9, 9, 9])
    assert _near(cells, limits=limits).short_kwh[0] == pytest.approx(1.0)
    shared = _near(cells, _car(10.0, 13.0, 2), limits=limits)
    assert shared.short_kwh[0] == pytest.approx(4.0)
    stored = np.cumsum(np.maximum(shared.schedule.battery_kw[0], 0.0))
    assert stored[2:].min() >= 9.0 - 1e-6


def test_a_load_beyond_the_connection_is_refused_with_what_to_do() -> None:
    problems = SiteProblems.of(
        IDLE, np.full((1, 2), 6.0), hours=1, import_per_kwh=0.3, export_per_kwh=0.0, stored_kwh=0.0
    )  # fmt: skip
    error = plan_sites(problems).errors[0]
    assert isinstance(error, Infeasible)
    assert "curtailable_kw" in str(error)


def test_a_home_that_highs_gives_up_is_not_called_infeasible(monkeypatch: pytest.MonkeyPatch) -> None:
    def give_up(programme: Programme) -> Optimum:
        raise Unsolved("HiGHS ended the programme with 'Time limit reached'")

    problems = _problems(3, 2, _cars(5, [0], least_kw=3))
    monkeypatch.setattr(Programme, "solve", give_up)
    errors: dict[int, PowerflockError] = plan_sites(problems).errors
    assert set(errors) == {0}
    assert isinstance(errors[0], Unsolved)
    assert "Time limit" in str(errors[0])


def test_what_highs_claims_to_save_but_the_bill_does_not_show_is_in_the_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    def boast(programme: Programme) -> Optimum:
        found = honest(programme)
        return dataclasses.replace(found, value=found.value - 0.25)

    problems, honest = _problems(3, 2, _cars(5, [0], least_kw=3)), Programme.solve
    monkeypatch.setattr(Programme, "solve", boast)
    plans = plan_sites(problems)
    assert Method(int(plans.method[0])) is Method.MIXED_INTEGER
    assert plans.gap[0] == pytest.approx(0.25, abs=1e-5)
