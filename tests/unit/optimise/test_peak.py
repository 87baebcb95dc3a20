"""A demand charge is planned exactly: the best peak level to the end of the billing period, and why it is the best."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from benchmarks.peak_reference import optimal_peak_cost, random_peaks, real_sites
from powerflock.domain.errors import Infeasible, InvalidInput, NotConvex
from powerflock.optimise.check import Schedule, check_plan
from powerflock.optimise.demand import DemandCharges
from powerflock.optimise.peak import plan_peaks
from powerflock.optimise.problem import Batteries, SiteProblems, VaryingLimits
from tests.data import data_file

LOAD_KW = np.array([[2.0, 6.0, 9.0, 4.0]])


def shop(*, homes: int = 1, capacity_kwh: float = 4.0, wear_per_kwh: float = 0.0) -> SiteProblems:
    """Four hours; a lossless battery of 5 kW, full at the start."""
    cells = Batteries.of(
        homes, capacity_kwh=capacity_kwh, charge_limit_kw=5.0, discharge_limit_kw=5.0, charge_efficiency_ratio=1.0,
        discharge_efficiency_ratio=1.0, wear_per_kwh=wear_per_kwh,
    )  # fmt: skip
    load = np.repeat(LOAD_KW, homes, axis=0)
    return SiteProblems.of(cells, load, hours=1.0, import_per_kwh=0.2, export_per_kwh=0.1, stored_kwh=capacity_kwh)


def test_a_battery_shaves_the_peak_as_far_as_its_energy_reaches() -> None:
    """9 and 6 kW are cut to 5.5 kW with 0.5 + 3.5 kWh; more is not stored."""
    problems = shop()
    plans = plan_peaks(problems, DemandCharges.of(problems, per_kw=10.0))
    np.testing.assert_allclose(plans.level_kw, [[5.5]], atol=1e-9)
    np.testing.assert_allclose(plans.demand_charge, [55.0], atol=1e-7)
    np.testing.assert_allclose(plans.energy_bill, [0.2 * (21.0 - 4.0)], atol=1e-7)
    np.testing.assert_allclose(
        plans.cost, plans.energy_bill + plans.wear + plans.demand_charge - plans.terminal_value, rtol=1e-12
    )


def test_a_peak_that_is_billed_already_is_not_shaved_below() -> None:
    problems = shop(wear_per_kwh=0.3)
    charges = DemandCharges.of(problems, per_kw=10.0, billed_kw=7.0)
    plans = plan_peaks(problems, charges)
    np.testing.assert_allclose(plans.level_kw, [[7.0]], atol=1e-9)
    np.testing.assert_allclose(plans.plans.battery_kw, [[0.0, 0.0, -2.0, 0.0]], atol=1e-7)
    np.testing.assert_allclose(plans.demand_charge, [70.0], atol=1e-7)


def test_only_the_intervals_that_count_are_shaved_and_the_others_recharge() -> None:
    """6 and 4 kW are cut to 2 kW; the 2 kWh of the last hour are charged beside the 9 kW that are not counted."""
    problems = shop()
    plans = plan_peaks(problems, DemandCharges.of(problems, per_kw=10.0, counts=[1, 1, 0, 1]))
    np.testing.assert_allclose(plans.level_kw, [[2.0]], atol=1e-9)
    assert plans.plans.battery_kw[0, 2] > 2.0 - 1e-9


def test_shaving_stops_where_a_block_is_too_cheap_to_pay_for_the_wear() -> None:
    """Above 8 kW a kW costs $5, below $0.10, and a kWh from the battery wears $0.50 but saves $0.20 of import."""
    problems = shop(wear_per_kwh=0.5)
    plans = plan_peaks(problems, DemandCharges.of(problems, per_kw=[0.1, 5.0], block_from_kw=[0.0, 8.0]))
    np.testing.assert_allclose(plans.level_kw, [[8.0]], atol=1e-9)
    np.testing.assert_allclose(plans.demand_charge, [0.8], atol=1e-9)


@pytest.mark.parametrize("seed", range(30))
def test_random_homes_pay_exactly_what_highs_finds_with_the_peak_as_a_variable(seed: int) -> None:
    problems, charges = random_peaks(seed, 5, (24, 48, 96)[seed % 3])
    plans = plan_peaks(problems, charges)
    sound = [home for home in range(5) if home not in plans.errors]
    referee = [optimal_peak_cost(problems, charges, home) for home in sound]
    np.testing.assert_allclose(plans.cost[sound], referee, rtol=1e-7, atol=1e-7)
    schedule = Schedule(plans.plans.battery_kw, curtailed_kw=plans.plans.curtailed_kw)
    broken = {home for finding in check_plan(problems, schedule, plans.plans.cost) for home in finding.homes}
    assert broken <= set(plans.errors)


def test_real_sites_pay_exactly_what_highs_finds_over_a_month() -> None:
    sites = real_sites(data_file("commercial/microgrid_halfhourly.parquet"))
    net = sites.net_load_kw[:, -30 * 48 :]
    highest = net.max(axis=1)
    cells = Batteries.of(8, capacity_kwh=1.5 * highest, charge_limit_kw=0.5 * highest, discharge_limit_kw=0.5 * highest)
    problems = SiteProblems.of(
        cells, net, hours=0.5, import_per_kwh=0.2, export_per_kwh=0.05, stored_kwh=0.75 * highest
    )
    slot, weekday = sites.slot[-30 * 48 :], sites.weekday[-30 * 48 :]
    evening = weekday & (slot >= 28) & (slot < 40)
    charges = DemandCharges.of(problems, per_kw=[[4.0], [12.0]], counts=np.stack([np.ones(evening.size), evening]))
    for some in (charges, dataclasses.replace(charges, per_kw=charges.per_kw * [[1.0], [0.0]])):
        plans = plan_peaks(problems, some)
        for home in (0, 2, 5):
            assert plans.cost[home] == pytest.approx(optimal_peak_cost(problems, some, home), rel=1e-9)


def test_a_home_without_a_sound_forecast_costs_the_others_nothing() -> None:
    problems = shop(homes=3)
    problems.net_load_kw[1, 2] = np.nan
    charges = DemandCharges.of(problems, per_kw=10.0, billed_kw=[[0.0], [0.0], [-1.0]])
    plans = plan_peaks(problems, charges)
    assert str(plans.errors[1]).startswith("home 1, interval 2: net_load_kw is nan")
    assert str(plans.errors[2]).startswith("home 2, charge 0: billed_kw is -1.0")
    assert plans.level_kw[0, 0] == pytest.approx(5.5)
    assert np.isnan(plans.cost[1:]).all()
    assert np.isnan(plans.level_kw[1:]).all()


def test_a_home_that_cannot_be_run_is_named() -> None:
    problems = shop(homes=2)
    limits = VaryingLimits.of(problems.batteries, 4, import_limit_kw=[[100.0] * 4, [100.0, 100.0, 3.0, 100.0]])
    plans = plan_peaks(dataclasses.replace(problems, limits=limits), DemandCharges.of(problems, per_kw=10.0))
    assert list(plans.errors) == [1]
    assert isinstance(plans.errors[1], Infeasible)
    assert plans.level_kw[0, 0] == pytest.approx(5.5)


def test_a_price_that_falls_from_block_to_block_is_refused() -> None:
    with pytest.raises(NotConvex, match="charge 0: per_kw"):
        DemandCharges.of(shop(), per_kw=[5.0, 1.0], block_from_kw=[0.0, 8.0])


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"per_kw": -1.0}, "charge 0: per_kw"),
        ({"per_kw": np.nan}, "charge 0: per_kw"),
        ({"per_kw": [1.0, 2.0], "block_from_kw": [1.0, 2.0]}, "charge 0: block_from_kw"),
        ({"per_kw": 1.0, "counts": [1, 1]}, "shape of counts"),
        ({"per_kw": 1.0, "billed_kw": [1.0, 2.0, 3.0]}, "shape of billed_kw"),
    ],
)
def test_an_unsound_charge_is_refused_by_name(given: dict[str, float], named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        DemandCharges.of(shop(), **given)


def test_charges_for_other_homes_are_refused() -> None:
    with pytest.raises(InvalidInput, match="shape of billed_kw"):
        plan_peaks(shop(homes=2), DemandCharges.of(shop(), per_kw=1.0))
