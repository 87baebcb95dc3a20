"""What the market was promised is delivered, and the simulated world keeps its energy."""

from __future__ import annotations

import numpy as np
import pytest

from powerflock.domain.clock import MICROS_PER_HOUR
from tests.unit.sim.simulated import START_US, Simulated, simulated


@pytest.fixture(scope="module", params=[True, False], ids=["perfect", "real"])
def day(request: pytest.FixtureRequest) -> Simulated:
    return simulated(1, perfect=request.param)


def test_delivery_is_within_five_per_cent_of_the_awards_energy(day: Simulated) -> None:
    account = day.runner.ring.account
    assert account.intervals == 288
    assert account.deviation_mwh <= 0.05 * account.absolute_award_mwh
    assert day.summary["delivered_kwh"] == pytest.approx(day.summary["awarded_kwh"], rel=0.05, abs=1.0)


def test_every_interval_but_the_first_had_an_award(day: Simulated) -> None:
    assert [item.award_mw is None for item in day.runner.settled] == [True] + [False] * 287
    assert [item.interval_us for item in day.runner.settled] == [START_US + i * 300_000_000 for i in range(288)]


def test_settled_energy_is_what_the_meters_registered(day: Simulated) -> None:
    fleet = day.simulation.vpp
    truth_kwh = (fleet.import_kwh - fleet.export_kwh).sum()
    settled_kwh = -1000.0 * sum(item.delivered_mwh for item in day.runner.settled)
    assert settled_kwh == pytest.approx(truth_kwh, abs=1e-6)


@pytest.mark.parametrize("world", ["vpp", "alone"])
def test_no_energy_appears_or_vanishes_at_a_home(day: Simulated, world: str) -> None:
    """Meter = load + solar + battery over the day, and the battery loses what its efficiencies say."""
    fleet = day.simulation.vpp if world == "vpp" else day.simulation.alone
    profiles, hours = fleet.profiles, fleet.profiles.step_us / MICROS_PER_HOUR
    columns = [profiles.index(START_US + step * profiles.step_us) for step in range(288)]
    load = profiles.load_kw[:, columns].astype(float).sum(axis=1) * hours
    solar = profiles.solar_kw[:, columns].astype(float).sum(axis=1) * hours
    np.testing.assert_allclose(fleet.solar_kwh, solar, atol=1e-6)
    np.testing.assert_allclose(fleet.import_kwh - fleet.export_kwh, load + solar + fleet.battery_kwh, atol=1e-6)
    charged, discharged = (fleet.throughput_kwh + fleet.battery_kwh) / 2, (fleet.throughput_kwh - fleet.battery_kwh) / 2
    limits = fleet.limits
    change = charged * limits.charge_efficiency_ratio - discharged / limits.discharge_efficiency_ratio
    if world == "vpp":
        np.testing.assert_allclose(fleet.stored_kwh - day.start_kwh, change, atol=1e-6)
    assert (fleet.stored_kwh <= limits.capacity_kwh + 1e-9).all()
    assert (fleet.stored_kwh >= limits.reserve_kwh - 1e-6).all()


def test_the_world_beside_begins_and_ends_each_day_where_the_real_batteries_stand(day: Simulated) -> None:
    np.testing.assert_array_equal(day.simulation.alone.stored_kwh, day.simulation.vpp.stored_kwh)
