"""Battery physics: energy is conserved and limits taper."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from powerflock.edge.limits import Limits
from powerflock.sim.physics import battery_step, charge_limit_kw, discharge_limit_kw, interval_cost
from tests.unit.sim.homes_made import MINUTE_US, site

LIMITS = Limits.of([site("a")])  # 10 kWh, 5 kW in, 4 kW out, efficiencies 0.9 and 0.8, reserve 2 kWh


def at(stored_kwh: float) -> np.ndarray:
    return np.array([stored_kwh])


@given(st.floats(0.0, 10.0), st.floats(-20.0, 20.0), st.integers(1, 3_600_000_000))
def test_energy_in_less_losses_is_the_change_of_what_is_stored(stored: float, asked: float, dt_us: int) -> None:
    real, after = battery_step(at(stored), at(asked), LIMITS, dt_us)
    through = float(real[0]) * dt_us / 3.6e9
    stored_change = through * 0.9 if through > 0 else through / 0.8
    assert float(after[0]) - stored == pytest.approx(stored_change, abs=1e-12)
    assert 0.0 <= after[0] <= 10.0
    assert -4.0 <= real[0] <= 5.0
    assert abs(real[0]) <= abs(asked)


@pytest.mark.parametrize(("stored", "limit"), [(5.0, 5.0), (9.5, 5.0), (9.75, 2.75), (10.0, 0.0)])
def test_charging_tapers_above_95_percent(stored: float, limit: float) -> None:
    assert charge_limit_kw(at(stored), LIMITS)[0] == pytest.approx(limit)


@pytest.mark.parametrize(("stored", "limit"), [(5.0, 4.0), (2.3, 4.0), (2.15, 2.2), (2.0, 0.0), (1.0, 0.0)])
def test_discharging_tapers_towards_the_reserve_and_stops_there(stored: float, limit: float) -> None:
    assert discharge_limit_kw(at(stored), LIMITS)[0] == pytest.approx(limit)


def test_full_and_reserve_are_reached_in_finite_time() -> None:
    for asked, end in ((5.0, 10.0), (-4.0, 2.0)):
        stored = at(6.0)
        for _ in range(180):
            _, stored = battery_step(stored, at(asked), LIMITS, MINUTE_US)
        assert stored[0] == pytest.approx(end, abs=0.01)


def test_a_home_without_a_battery_does_nothing_and_divides_by_nothing() -> None:
    none = Limits.of([site("a", battery=None)])
    real, after = battery_step(at(0.0), at(3.0), none, MINUTE_US)
    assert (real[0], after[0]) == (0.0, 0.0)


def test_imports_are_bought_and_exports_sold() -> None:
    costs = interval_cost(np.array([2.0, -3.0, 0.0]), np.full(3, 0.3), np.full(3, 0.05))
    assert costs == pytest.approx([0.6, -0.15, 0.0])


@pytest.mark.parametrize(
    ("stored", "take", "give"), [(9.9, 5.0, 4.0), (10.0, 0.0, 4.0), (2.1, 5.0, 4.0), (2.0, 5.0, 0.0)]
)
def test_a_battery_that_does_not_taper_keeps_its_nameplate_to_the_end(stored: float, take: float, give: float) -> None:
    assert charge_limit_kw(at(stored), LIMITS, tapers=False)[0] == take
    assert discharge_limit_kw(at(stored), LIMITS, tapers=False)[0] == give
