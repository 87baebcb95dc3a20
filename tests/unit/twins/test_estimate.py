"""What a site does now: reported, estimated with growing doubt, or unknown; never a made-up zero."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from powerflock.domain.clock import MICROS_PER_HOUR, MICROS_PER_S
from powerflock.domain.columns import DeviceKind, SiteEventKind
from powerflock.domain.site import BatterySpec, DeviceSpec
from powerflock.twins.apply import note, step
from powerflock.twins.columns import Shard, power_of
from powerflock.twins.estimate import EstimateSettings, Freshness, device_freshness, observe
from tests.unit.twins.fleet import NOW_US, batch_of, events_of, home, reading, table_of

SETTINGS = EstimateSettings()
BATTERY, SOLAR, METER = 0, 1, 2


def home_twin(battery_kw: float = 2.0, stored_kwh: float = 5.0, limits: float = np.nan) -> Shard:
    twins = Shard.of(table_of([home("a")]))
    rows = (
        reading(BATTERY, 1, battery_kw, stored_kwh, limits=limits),
        reading(SOLAR, 1, -3.0, -100.0),
        reading(METER, 1, 1.0, 700.0),
    )
    step(twins, batch_of(*rows), NOW_US)
    return twins


def test_a_fresh_site_is_what_its_devices_say_without_doubt() -> None:
    site = observe(home_twin(), NOW_US, SETTINGS)
    assert (site.meter_kw[0], site.battery_kw[0], site.solar_kw[0]) == (1.0, 2.0, -3.0)
    assert (site.load_kw[0], site.net_load_kw[0]) == (2.0, -1.0)
    assert (site.stored_kwh[0], site.capacity_kwh[0], site.register_kwh[0]) == (5.0, 10.0, 700.0)
    assert (site.charge_limit_kw[0], site.discharge_limit_kw[0]) == (5.0, 4.0)
    assert site.meter_std_kw[0] == site.register_std_kwh[0] == site.battery_std_kw[0] == 0.0
    assert site.freshness[0] == Freshness.FRESH


def test_reported_limits_replace_the_nameplate() -> None:
    assert observe(home_twin(limits=3.5), NOW_US, SETTINGS).discharge_limit_kw[0] == 3.5


def test_the_register_runs_on_with_the_last_power_between_readings() -> None:
    site = observe(home_twin(), NOW_US + 6 * MICROS_PER_S, SETTINGS)
    assert site.register_kwh[0] == pytest.approx(700.0 + 1.0 * 6 / 3600)
    assert site.register_std_kwh[0] == 0.0


@pytest.mark.parametrize(
    ("age_s", "expected"),
    [(30, Freshness.FRESH), (31, Freshness.STALE), (300, Freshness.STALE), (301, Freshness.SILENT)],
)
def test_a_site_grows_stale_then_silent(age_s: int, expected: Freshness) -> None:
    assert observe(home_twin(), NOW_US + age_s * MICROS_PER_S, SETTINGS).freshness[0] == expected


def test_a_site_is_as_old_as_its_oldest_device() -> None:
    twins = home_twin()
    later = NOW_US + 100 * MICROS_PER_S
    step(twins, batch_of(reading(METER, 2, 1.0, time_us=later), reading(BATTERY, 2, 1.0, time_us=later)), later)
    site = observe(twins, later, SETTINGS)
    assert site.age_us[0] == 100 * MICROS_PER_S
    assert site.freshness[0] == Freshness.STALE


def test_doubt_about_a_silent_site_grows() -> None:
    doubts = [observe(home_twin(), NOW_US + hours * MICROS_PER_HOUR, SETTINGS) for hours in (1, 4)]
    assert SETTINGS.meter_wander_kw > doubts[1].meter_std_kw[0] > doubts[0].meter_std_kw[0] > 0.0
    assert doubts[1].battery_std_kw[0] > doubts[0].battery_std_kw[0] > 0.0
    assert doubts[1].register_std_kwh[0] > 2 * doubts[0].register_std_kwh[0]


def test_a_silent_battery_charges_on_until_full_and_the_meter_follows() -> None:
    half_way = observe(home_twin(), NOW_US + MICROS_PER_HOUR, SETTINGS)
    assert half_way.stored_kwh[0] == pytest.approx(5.0 + 2.0 * 0.9)
    assert (half_way.battery_kw[0], half_way.meter_kw[0]) == (2.0, 1.0)
    full_h = 5.0 / (2.0 * 0.9)
    full = observe(home_twin(), NOW_US + 5 * MICROS_PER_HOUR, SETTINGS)
    assert full.stored_kwh[0] == pytest.approx(10.0)
    assert (full.battery_kw[0], full.meter_kw[0]) == (0.0, -1.0)
    assert full.register_kwh[0] == pytest.approx(700.0 + 1.0 * full_h - 1.0 * (5 - full_h))
    assert full.load_kw[0] == 2.0


def test_a_silent_battery_gives_no_more_than_to_its_reserve() -> None:
    spent = observe(home_twin(battery_kw=-4.0), NOW_US + 3 * MICROS_PER_HOUR, SETTINGS)
    assert spent.stored_kwh[0] == pytest.approx(2.0)
    assert spent.battery_kw[0] == 0.0
    assert spent.meter_kw[0] == 5.0


def test_a_fresh_reading_at_the_bound_is_believed() -> None:
    site = observe(home_twin(battery_kw=-0.1, stored_kwh=1.9), NOW_US + 5 * MICROS_PER_S, SETTINGS)
    assert site.battery_kw[0] == pytest.approx(-0.1)


def test_a_site_never_heard_is_silent_and_unknown() -> None:
    site = observe(Shard.of(table_of([home("a")])), NOW_US, SETTINGS)
    assert site.freshness[0] == Freshness.SILENT
    for column in (site.meter_kw, site.battery_kw, site.load_kw, site.stored_kwh, site.register_kwh, site.age_us):
        assert np.isnan(column[0])
    assert site.capacity_kwh[0] == 10.0


def test_a_device_the_site_does_not_have_is_a_known_zero() -> None:
    twins = Shard.of(table_of([home("a", battery=False, solar_kw=0.0)]))
    step(twins, batch_of(reading(0, 1, 1.5, 10.0)), NOW_US)
    site = observe(twins, NOW_US, SETTINGS)
    assert (site.battery_kw[0], site.solar_kw[0], site.load_kw[0]) == (0.0, 0.0, 1.5)
    assert (site.stored_kwh[0], site.capacity_kwh[0], site.charge_limit_kw[0]) == (0.0, 0.0, 0.0)
    assert site.freshness[0] == Freshness.FRESH


def test_an_unknown_power_is_not_fresh_and_spreads_as_unknown() -> None:
    twins = home_twin()
    step(twins, batch_of(reading(SOLAR, 2, np.nan, -100.0)), NOW_US)
    site = observe(twins, NOW_US, SETTINGS)
    assert np.isnan(site.solar_kw[0])
    assert np.isnan(site.load_kw[0])
    assert site.net_load_kw[0] == -1.0
    assert site.freshness[0] == Freshness.SILENT


def test_a_device_clock_slightly_ahead_counts_as_now() -> None:
    twins = home_twin()
    assert observe(twins, NOW_US - 5 * MICROS_PER_S, SETTINGS).register_kwh[0] == 700.0


def test_an_empty_shard_has_empty_columns() -> None:
    assert observe(Shard.empty(), NOW_US, SETTINGS).meter_kw.size == 0


def test_any_number_of_devices_of_each_kind_add_up() -> None:
    second = DeviceSpec("battery-2", "battery", BatterySpec(5.0, 2.0, 2.0, reserve_ratio=0.2))
    twins = Shard.of(
        table_of([msgspec.structs.replace(home("a"), devices=(second, DeviceSpec("car", "ev_charger", rated_kw=7.0)))])
    )
    rows = (
        reading(BATTERY, 1, 2.0, 5.0),
        reading(SOLAR, 1, -3.0),
        reading(METER, 1, 4.5, 700.0),
        reading(3, 1, -1.0, 3.0),
        reading(4, 1, 6.0, 11.0),
    )
    step(twins, batch_of(*rows), NOW_US)
    site = observe(twins, NOW_US, SETTINGS)
    assert (site.battery_kw[0], site.stored_kwh[0], site.capacity_kwh[0]) == (1.0, 8.0, 15.0)
    assert (site.charge_limit_kw[0], site.discharge_limit_kw[0]) == (7.0, 6.0)
    assert site.load_kw[0] == pytest.approx(4.5 - 1.0 + 3.0)
    assert power_of(twins, DeviceKind.EV_CHARGER).tolist() == [6.0]


def test_a_device_that_reports_seldom_is_held_to_its_own_rate_and_kind() -> None:
    slow = msgspec.structs.replace(home("a"), report_period_s=60.0, devices=(DeviceSpec("pump", "load", rated_kw=1.0),))
    twins = Shard.of(table_of([slow]))
    step(twins, batch_of(*(reading(device, 1, 0.5, 5.0) for device in (0, 2, 3)), reading(1, 1, -0.5)), NOW_US)
    later = NOW_US + 170 * MICROS_PER_S
    assert observe(twins, later, SETTINGS).freshness[0] == Freshness.FRESH
    assert observe(twins, later + 20 * MICROS_PER_S, SETTINGS).freshness[0] == Freshness.STALE
    assert device_freshness(twins, later + 20 * MICROS_PER_S, SETTINGS).tolist() == [1, 1, 1, 0]


def test_a_site_whose_link_is_down_cannot_be_reached_and_is_stale_at_once() -> None:
    twins = home_twin()
    assert observe(twins, NOW_US, SETTINGS).reachable[0]
    note(twins, events_of((0, SiteEventKind.LINK_UP, 1), (0, SiteEventKind.LINK_DOWN, 1)))
    lost = observe(twins, NOW_US, SETTINGS)
    assert (lost.freshness[0], lost.reachable[0], lost.meter_kw[0]) == (Freshness.STALE, False, 1.0)
    note(twins, events_of((0, SiteEventKind.LINK_UP, 2)))
    assert observe(twins, NOW_US, SETTINGS).freshness[0] == Freshness.FRESH
