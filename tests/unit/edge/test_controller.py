"""The control law: commands are followed, the home is served without them, and safety has the last word."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from powerflock.edge.controller import control
from powerflock.edge.limits import Limits
from powerflock.sim.physics import stored_change_kwh
from tests.unit.sim.homes_made import MINUTE_US, site

LIMITS = Limits.of([site("a", limit_kw=6.0)])
NONE = np.array([np.nan])


def power(
    net_load_kw: float, stored_kwh: float = 6.0, setpoint_kw: float = np.nan, policy_kw: float = np.nan,
    dt_us: int = MINUTE_US,
) -> float:  # fmt: skip
    take, give = np.array([5.0]), np.array([4.0])
    load, stored, setpoint, policy = (np.array([value]) for value in (net_load_kw, stored_kwh, setpoint_kw, policy_kw))
    return float(control(load, stored, take, give, setpoint, policy, LIMITS, dt_us)[0])


def test_without_a_command_the_battery_serves_the_home_alone() -> None:
    assert power(2.0) == -2.0
    assert power(-3.0) == 3.0


def test_a_command_holds_the_connection_point_whatever_the_home_does() -> None:
    assert power(2.0, setpoint_kw=-1.0) == -3.0
    assert power(-3.0, setpoint_kw=-1.0) == 2.0


def test_without_a_command_the_policy_runs_the_battery_and_a_command_comes_before_it() -> None:
    assert power(2.0, policy_kw=-3.0) == -3.0
    assert power(-3.0, policy_kw=0.0) == 0.0
    assert power(2.0, policy_kw=-3.0, setpoint_kw=-1.0) == -3.0
    assert power(2.0, policy_kw=3.0, setpoint_kw=-1.0) == -3.0


def test_a_policy_is_held_to_reserve_battery_and_connection_like_a_command() -> None:
    assert power(0.0, stored_kwh=2.0, policy_kw=-5.0) == 0.0
    assert power(2.0, policy_kw=60.0) == 4.0
    assert power(0.0, policy_kw=-60.0) == -4.0
    assert power(np.nan, policy_kw=-1.0) == 0.0


def test_no_command_takes_the_owners_reserve_or_overfills() -> None:
    assert power(0.0, stored_kwh=2.0, setpoint_kw=-5.0) == 0.0
    assert power(0.0, stored_kwh=1.0, setpoint_kw=-5.0) == 0.0
    assert power(0.0, stored_kwh=10.0, setpoint_kw=5.0) == 0.0


def test_a_command_beyond_the_connection_is_cut_to_it() -> None:
    assert power(2.0, setpoint_kw=60.0) == 4.0
    assert power(-4.0, setpoint_kw=-60.0) == -2.0
    assert power(8.0) == -4.0, "as far as the battery can"


def test_an_unknown_meter_or_battery_idles_instead_of_guessing() -> None:
    assert power(np.nan) == 0.0
    assert power(2.0, stored_kwh=np.nan) == 0.0


@given(
    st.floats(-50.0, 50.0),
    st.floats(0.0, 10.0),
    st.one_of(st.just(np.nan), st.floats(-200.0, 200.0)),
    st.one_of(st.just(np.nan), st.floats(-1e9, 1e9)),
    st.integers(1, 3_600_000_000),
)
def test_no_input_leads_outside_reserve_capacity_or_power_limits(
    net_load_kw: float, stored_kwh: float, setpoint_kw: float, policy_kw: float, dt_us: int
) -> None:
    asked = power(net_load_kw, stored_kwh, setpoint_kw, policy_kw, dt_us)
    after = stored_kwh + float(stored_change_kwh(np.array([asked]), LIMITS, dt_us / 3.6e9)[0])
    assert -4.0 <= asked <= 5.0
    assert min(stored_kwh, 2.0) - 1e-9 <= after <= 10.0 + 1e-9
