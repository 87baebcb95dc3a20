"""Homes as columns: physics, commands, registers and readings."""

from __future__ import annotations

import numpy as np
import pytest

from powerflock.domain.columns import COMMAND, TELEMETRY_SCHEMA, DeviceKind
from powerflock.domain.errors import InvalidInput
from powerflock.edge.safety import Refusal
from powerflock.sim.fleet import Devices, SimFleet
from powerflock.sim.homes import generate
from powerflock.sim.profiles import Profiles
from tests.unit.sim.homes_made import MINUTE_US, START_US, site, steady

SPECS = [site("a"), site("b", battery=None), site("c", solar_kw=0.0)]


def fleet(soc: float = 0.5) -> SimFleet:
    return SimFleet(SPECS, steady([2.0, 2.0, 1.0], [-1.0, -3.0, 0.0]), START_US, initial_soc_ratio=soc)


def commands(setpoint_kw: float, sites: list[int], seq: int = 1, start_us: int = START_US) -> np.ndarray:
    batch = np.zeros(len(sites), dtype=COMMAND)
    batch["site"], batch["setpoint_kw"], batch["seq"] = sites, setpoint_kw, seq
    batch["not_before_us"], batch["expires_us"] = start_us, start_us + 10 * MINUTE_US
    return batch


def test_homes_left_alone_use_their_own_sun_and_battery() -> None:
    homes = fleet()
    homes.step(START_US, MINUTE_US)
    assert homes.battery_kw == pytest.approx([-1.0, 0.0, -1.0])
    assert homes.net_kw == pytest.approx([0.0, -1.0, 0.0])
    assert homes.export_kwh == pytest.approx([0.0, 1.0 / 60.0, 0.0])
    assert homes.stored_kwh == pytest.approx([5.0 - 1.0 / 48.0, 0.0, 5.0 - 1.0 / 48.0])


def test_a_command_moves_the_meter_until_it_expires_and_not_the_neighbours() -> None:
    homes = fleet()
    assert homes.apply(commands(-2.0, [0]), START_US).tolist() == [Refusal.ACCEPTED]
    homes.step(START_US, 10 * MINUTE_US)
    assert homes.net_kw == pytest.approx([-2.0, -1.0, 0.0])
    homes.step(homes.now_us, MINUTE_US)
    assert homes.net_kw[0] == pytest.approx(0.0)


def test_commands_of_a_partition_reach_the_rows_they_are_mapped_to() -> None:
    homes = fleet()
    reasons = homes.apply(commands(1.0, [0, 1]), START_US, rows=np.array([2]))
    assert reasons.tolist() == [Refusal.ACCEPTED, Refusal.UNKNOWN_SITE]
    homes.step(START_US, MINUTE_US)
    assert homes.net_kw == pytest.approx([0.0, -1.0, 1.0])


def test_a_step_across_profile_steps_sums_each_with_its_own_load() -> None:
    load = np.tile(np.array([1.0, 3.0], dtype=np.float32), 144)[None, :]
    homes = SimFleet([site("a", battery=None)], Profiles(START_US, load, np.zeros_like(load)), START_US)
    homes.step(START_US, 7 * MINUTE_US)
    assert homes.import_kwh[0] == pytest.approx((5.0 * 1.0 + 2.0 * 3.0) / 60.0)


def test_meter_register_equals_load_plus_sun_plus_battery_over_a_day() -> None:
    made = generate(60, 3, 1, START_US)
    homes = SimFleet(made.specs, made.profiles, START_US, seed=3)
    for _ in range(96):
        homes.step(homes.now_us, 15 * MINUTE_US)
    load_kwh = made.profiles.load_kw.astype(np.float64).sum(axis=1) / 12.0
    assert homes.import_kwh - homes.export_kwh == pytest.approx(load_kwh + homes.solar_kwh + homes.battery_kwh)
    assert (homes.stored_kwh >= homes.limits.reserve_kwh - 1e-9).all()


def test_readings_number_devices_battery_solar_meter_and_count_up_by_device() -> None:
    homes, devices = fleet(), Devices.dense(SPECS)
    assert devices.index.tolist() == [[0, -1, 5], [1, 3, -1], [2, 4, 6]]
    first, second = homes.readings(START_US, devices), homes.readings(START_US, devices, rows=np.array([0]))
    assert sorted(first["device"].tolist()) == list(range(7))
    assert first["seq"].tolist() == [1] * 7
    assert second[["device", "seq"]].tolist() == [(0, 2), (1, 2), (2, 2)]
    battery = first[first["device"] == 0][0]
    assert (battery["energy_kwh"], battery["charge_limit_kw"], battery["capacity_kwh"]) == (5.0, 5.0, 10.0)
    assert np.isnan(first[first["device"] == 2]["capacity_kwh"]).all()
    for column in TELEMETRY_SCHEMA.columns:
        values = first[column.name]
        inside = (values >= column.low) & (values <= column.high)
        assert (inside | (np.isnan(values) if values.dtype.kind == "f" else False)).all(), column.name


def test_a_silent_home_sends_nothing_and_goes_on_living() -> None:
    homes, devices = fleet(), Devices.dense(SPECS)
    homes.silence(np.array([True, False, False]))
    homes.step(START_US, MINUTE_US)
    assert set(homes.readings(homes.now_us, devices)["device"].tolist()) == {3, 4, 5, 6}
    assert homes.stored_kwh[0] < 5.0
    homes.silence(np.zeros(3, dtype=bool))
    back = homes.readings(homes.now_us, devices)
    assert back[back["device"] == 0]["seq"] == 1, "nothing that was numbered is missing"


def test_the_same_seed_gives_the_same_bytes() -> None:
    made = generate(50, 9, 1, START_US)

    def run() -> bytes:
        homes, devices = SimFleet(made.specs, made.profiles, START_US, seed=9), Devices.dense(made.specs)
        for _ in range(20):
            homes.apply(commands(-1.0, list(range(50)), seq=homes.now_us, start_us=homes.now_us), homes.now_us)
            homes.step(homes.now_us, 4 * MINUTE_US)
        return homes.readings(homes.now_us, devices).tobytes()

    assert run() == run()


def test_steps_must_follow_each_other_and_profiles_must_fit() -> None:
    with pytest.raises(InvalidInput, match="must start at"):
        fleet().step(START_US + 1, MINUTE_US)
    with pytest.raises(InvalidInput, match="one per home"):
        SimFleet(SPECS, steady([1.0], [0.0]), START_US)
    with pytest.raises(InvalidInput, match="between 0 and 1"):
        fleet(soc=1.5)


def test_device_columns_follow_the_kinds() -> None:
    homes = fleet()
    assert homes.device_power_kw()[DeviceKind.SOLAR].tolist() == [-1.0, -3.0, 0.0]
    assert homes.device_energy_kwh().shape == (3, 3)
