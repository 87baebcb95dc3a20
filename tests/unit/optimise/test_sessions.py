"""Cars leave with what they need, water is hot in time, and a late storm reserve is served as far as it can be."""

from __future__ import annotations

import numpy as np
import pytest

from powerflock.domain.arrays import F64
from powerflock.domain.errors import InvalidInput
from powerflock.optimise.check import stored_kwh
from powerflock.optimise.milp import solve_milp
from powerflock.optimise.problem import Batteries, Devices, SiteProblems, Values, VaryingLimits
from powerflock.optimise.sessions import Stays, cars, tanks, within_reach

HOURS = 12
CHEAP_LATE = np.where(np.arange(HOURS) >= 8, 0.1, 0.3)


def _home(devices: Devices | None = None, *, stored: float = 0.0, limits: VaryingLimits | None = None) -> SiteProblems:
    cells = Batteries.of(1, capacity_kwh=10, charge_limit_kw=2, discharge_limit_kw=2, charge_efficiency_ratio=1.0)
    if devices is not None:
        cells = Batteries.of(1, capacity_kwh=0, charge_limit_kw=0, discharge_limit_kw=0)
    return SiteProblems.of(
        cells, np.ones((1, HOURS)), hours=1, import_per_kwh=CHEAP_LATE, export_per_kwh=0.05, stored_kwh=stored,
        devices=devices, limits=limits,
    )  # fmt: skip


def _car(discharge_kw: float = 0.0) -> Batteries:
    return Batteries.of(
        1, capacity_kwh=50, charge_limit_kw=7, discharge_limit_kw=discharge_kw, floor_kwh=5, wear_per_kwh=0.0,
        charge_efficiency_ratio=0.9, discharge_efficiency_ratio=0.9,
    )  # fmt: skip


def _driven_plan(devices: Devices) -> tuple[F64, F64]:
    """Power of the one device, and its energy as counted in the plan."""
    problems = _home(devices)
    found = solve_milp(problems, 0)
    assert found is not None
    return found.device_kw[0], stored_kwh(devices.batteries, devices.stored_kwh, found.device_kw, problems.hours)[0]


def test_a_car_leaves_with_what_it_needs_and_charges_only_while_it_is_at_home() -> None:
    stays = Stays.of([0, 0], arrival=[0, 9], departure=[4, 12], needed_kwh=[30, 20], driven_kwh=[12, 0])
    power, counted = _driven_plan(cars(0, _car(), stays, HOURS, stored_kwh=20.0))
    held = counted - np.where(np.arange(HOURS) >= 4, 12.0, 0.0)
    assert held[3] == pytest.approx(30.0)
    assert (power[4:9] == 0.0).all()
    assert held[-1] == pytest.approx(20.0)
    assert (held >= 5.0 - 1e-9).all()


def test_a_car_that_may_give_back_does_so_while_power_is_dear() -> None:
    stays = Stays.of(0, arrival=0, departure=12, needed_kwh=30)
    power, _ = _driven_plan(cars(0, _car(7.0), stays, HOURS, stored_kwh=30.0))
    assert power[:8].sum() < -5.0
    assert power[8:].sum() > 5.0


def test_water_is_heated_within_its_windows_when_power_is_cheapest() -> None:
    devices = tanks(0, 3.0, tank=[0, 0], start=[1, 6], end=[3, 10], needed_kwh=[4.0, 5.0], intervals=HOURS)
    power, _ = _driven_plan(devices)
    np.testing.assert_allclose(power[1:3].sum(), 4.0)
    np.testing.assert_allclose(power[8:10].sum(), 5.0)
    assert power.sum() == pytest.approx(9.0)


def test_a_storm_reserve_announced_late_is_served_as_fast_as_charging_can() -> None:
    limits = VaryingLimits.of(_home().batteries, HOURS, floor_kwh=np.where(np.arange(HOURS) >= 2, 9.0, 0.0))
    reachable, short = within_reach(_home(stored=1.0, limits=limits))
    assert short.tolist() == [pytest.approx(2.0)]
    found = solve_milp(reachable, 0)
    assert found is not None
    np.testing.assert_allclose(found.battery_kw[:4], 2.0)


def test_a_battery_found_below_its_reserve_is_planned_back_up() -> None:
    problems = _home(stored=0.0)
    low = SiteProblems.of(
        Batteries.of(1, capacity_kwh=10, charge_limit_kw=2, discharge_limit_kw=2, floor_kwh=3), problems.net_load_kw,
        hours=1, import_per_kwh=CHEAP_LATE, export_per_kwh=0.05, stored_kwh=0.0,
    )  # fmt: skip
    reachable, short = within_reach(low)
    assert short[0] == pytest.approx(3.0 - 1.9)
    found = solve_milp(reachable, 0)
    assert found is not None
    np.testing.assert_allclose(found.battery_kw[0], 2.0)


@pytest.mark.parametrize(
    ("arrival", "departure", "needed", "message"),
    [(3, 3, 10.0, "car 0: window"), (0, 13, 10.0, "car 0: window"), (0, 5, 60.0, "car 0: needed_kwh")],
)
def test_a_stay_that_cannot_be_is_named(arrival: Values, departure: Values, needed: Values, message: str) -> None:
    stays = Stays.of(0, arrival=arrival, departure=departure, needed_kwh=needed)
    with pytest.raises(InvalidInput, match=message):
        cars(0, _car(), stays, HOURS, stored_kwh=20.0)
