"""Owners are settled against the best they could have done alone, from meters and from where the batteries stood."""

from __future__ import annotations

import numpy as np
import pytest

from powerflock.curve.grid import PRICE_GRID
from powerflock.plant.planner import PlanNow
from powerflock.plant.shard import SiteShard, interval_starts
from powerflock.twins.apply import step
from powerflock.twins.estimate import EstimateSettings, SiteColumns, observe
from tests.unit.plant.small import LENGTH_US, START_US, TICK_US, Meters, enrolled, homes

FIRST = START_US // LENGTH_US
HOURS = 1 / 12
SETTINGS = EstimateSettings.alike(TICK_US, 2 * TICK_US, 5 * TICK_US)


def shard_of(count: int, price_per_kwh: float = 0.0) -> tuple[SiteShard, Meters]:
    """A planned shard of `count` homes, whose meters were just read."""
    specs = homes(count)
    shard, meters = enrolled(specs).shards[0], Meters(specs)
    step(shard.twins, meters.read(START_US), START_US)
    plan = PlanNow().start(0, FIRST, shard.plan_job(
        FIRST, LENGTH_US, np.full((count, 72), 0.8), np.full(72, price_per_kwh), 12
    ))  # fmt: skip
    shard.plan = plan
    return shard, meters


def live(shard: SiteShard, meters: Meters, minutes: int) -> SiteColumns:
    """Time passes and is metered; the columns at the end."""
    columns = observe(shard.twins, START_US, SETTINGS)
    shard.open_books(columns)
    for minute in range(1, minutes + 1):
        meters.run(TICK_US)
        now = START_US + minute * TICK_US
        step(shard.twins, meters.read(now), now)
        columns = observe(shard.twins, now, SETTINGS)
        shard.meter(columns, now, TICK_US, LENGTH_US)
    return columns


def test_an_owner_who_did_what_they_would_alone_has_no_regret() -> None:
    shard, meters = shard_of(3)
    curve = shard.offer(
        observe(shard.twins, START_US, SETTINGS), FIRST, START_US, HOURS, np.full(3, 0.8), np.full(3, 5.0)
    )
    meters.battery_kw[:] = curve[:, PRICE_GRID == 0.0][:, 0] - 0.8
    result = shard.settle(live(shard, meters, 5), FIRST, FIRST, LENGTH_US, HOURS)
    np.testing.assert_allclose(result.regret, 0.0, atol=1e-6)
    np.testing.assert_allclose(result.net_kwh, result.beside_kwh, atol=1e-6)


def test_a_home_that_cannot_be_planned_is_left_to_itself_and_the_others_are_planned() -> None:
    shard, meters = shard_of(3)
    load = np.full((3, 72), 0.8)
    load[1, 40] = np.nan
    job = shard.plan_job(FIRST, LENGTH_US, load, np.zeros(72), 12, policy_epoch=1)
    shard.plan = PlanNow().start(0, FIRST, job)
    assert shard.plan is not None
    assert "home 1, interval 40: net_load_kw" in str(shard.plan.errors[1])
    assert shard.plan.covers(3).tolist() == [True, False, True]
    assert shard.plan.policies is not None
    assert shard.plan.policies.rows == [0, 2]
    columns = observe(shard.twins, START_US, SETTINGS)
    curves = shard.offer(columns, FIRST, START_US, HOURS, np.full(3, 0.8), np.full(3, 5.0))
    assert (curves[1] == columns.meter_kw[1]).all()
    assert (curves[[0, 2], 0] > curves[[0, 2], -1]).all()
    result = shard.settle(live(shard, meters, 5), FIRST, FIRST, LENGTH_US, HOURS)
    assert result.regret[1] == 0.0
    assert np.isfinite(shard.close_day(columns, FIRST + 1, 0.5).top_up).all()


@pytest.mark.parametrize("battery_kw", [5.0, -5.0, 2.0])
def test_being_moved_costs_the_owner_and_is_found(battery_kw: float) -> None:
    """Day and night prices differ, so a battery that is filled at noon or emptied into the grid is missed later."""
    shard, meters = shard_of(2)
    meters.battery_kw[0] = battery_kw
    result = shard.settle(live(shard, meters, 5), FIRST, FIRST, LENGTH_US, HOURS)
    assert result.net_kwh[0] == pytest.approx((0.8 + battery_kw) * HOURS)
    assert (result.regret >= 0.0).all()
    assert result.regret[0] > 0.001


def test_a_home_that_nobody_has_seen_is_paid_and_charged_nothing() -> None:
    specs = homes(2)
    shard = enrolled(specs).shards[0]
    columns = observe(shard.twins, START_US, SETTINGS)
    shard.open_books(columns)
    result = shard.settle(columns, FIRST, FIRST, LENGTH_US, HOURS)
    assert result.regret.tolist() == [0.0, 0.0]
    assert np.isnan(result.net_kwh).all()


def test_delivered_energy_is_what_the_meters_rose_by() -> None:
    shard, meters = shard_of(2)
    meters.battery_kw[:] = [3.0, -2.0]
    columns = live(shard, meters, 3)
    assert shard.delivered_kwh(columns) == pytest.approx((3.8 - 1.2) * 0.05)


def test_a_replaced_meter_brings_no_phantom_energy() -> None:
    shard, meters = shard_of(1)
    shard.open_books(observe(shard.twins, START_US, SETTINGS))
    meters.run(TICK_US)
    meters.register_kwh[:] = 0.0
    now = START_US + TICK_US
    step(shard.twins, meters.read(now), now)
    columns = observe(shard.twins, now, SETTINGS)
    shard.meter(columns, now, TICK_US, LENGTH_US)
    assert shard.delivered_kwh(columns) == pytest.approx(0.8 / 60)


def test_a_silent_home_offers_no_flexibility() -> None:
    shard, _ = shard_of(1, price_per_kwh=0.1)
    later = START_US + 20 * TICK_US
    columns = observe(shard.twins, later, SETTINGS)
    curve = shard.offer(columns, FIRST + 4, later, HOURS, columns.net_load_kw, columns.stored_kwh)
    assert (curve == columns.meter_kw[0]).all()


def test_offers_never_rise_with_the_price() -> None:
    shard, _ = shard_of(4, price_per_kwh=0.05)
    columns = observe(shard.twins, START_US, SETTINGS)
    curve = shard.offer(columns, FIRST, START_US, HOURS, columns.net_load_kw, np.array([1.0, 3.0, 6.0, 10.0]))
    assert (np.diff(curve, axis=1) <= 1e-9).all()
    assert curve[3, 0] > curve[3, -1] + 4.0


def test_intervals_start_one_after_another() -> None:
    assert interval_starts(3, 2, 10).tolist() == [30, 40]


def test_a_battery_found_elsewhere_is_no_loss_of_the_owner() -> None:
    """After a replacement or a restart the store is another: the fleet pays nobody for energy that never flowed."""
    shard, meters = shard_of(2)
    shard.open_books(observe(shard.twins, START_US, SETTINGS))
    meters.stored_kwh[0] -= 3.0
    meters.run(TICK_US)
    now = START_US + TICK_US
    step(shard.twins, meters.read(now), now)
    columns = observe(shard.twins, now, SETTINGS)
    beside = shard.accounts["beside_kwh"].copy()
    shard.meter(columns, now, TICK_US, LENGTH_US)
    assert shard.accounts["beside_kwh"][0] - beside[0] == pytest.approx(-3.0, abs=0.01)
    assert shard.settle(columns, FIRST, FIRST, LENGTH_US, 1 / 60).regret[0] == 0.0


def test_a_home_that_returns_from_silence_is_believed_and_paid_nothing_for_our_guess() -> None:
    shard, meters = shard_of(1)
    for minute in range(1, 31):  # half an hour of silence, while 4 kW flow that nobody sees
        now = START_US + minute * TICK_US
        columns = observe(shard.twins, now, SETTINGS)
        if minute % 5 == 0:
            shard.open_books(columns)
        shard.meter(columns, now, TICK_US, LENGTH_US)
    meters.battery_kw[:] = 3.2
    meters.run(30 * TICK_US)
    before = shard.delivered_kwh(columns)
    now += TICK_US
    step(shard.twins, meters.read(now), now)
    columns = observe(shard.twins, now, SETTINGS)
    shard.meter(columns, now, TICK_US, LENGTH_US)
    assert shard.delivered_kwh(columns) - before == pytest.approx(1.6, abs=0.05), "the energy did flow"
    assert shard.settle(columns, FIRST + 6, FIRST + 6, LENGTH_US, HOURS).regret[0] == 0.0


def test_a_coarse_meter_is_not_taken_for_a_replaced_one() -> None:
    """A register with steps of 0.1 kWh, read each minute, counts what it counts."""
    shard, meters = shard_of(1)
    shard.open_books(observe(shard.twins, START_US, SETTINGS))
    true_kwh = meters.register_kwh.copy()
    for minute in range(1, 61):
        meters.run(TICK_US)
        true_kwh = true_kwh + 0.8 / 60
        exact, meters.register_kwh = meters.register_kwh, np.floor(meters.register_kwh * 10.0) / 10.0
        now = START_US + minute * TICK_US
        step(shard.twins, meters.read(now), now)
        meters.register_kwh = exact
        columns = observe(shard.twins, now, SETTINGS)
        shard.meter(columns, now, TICK_US, LENGTH_US)
    assert shard.delivered_kwh(columns) == pytest.approx(0.8, abs=0.11)
