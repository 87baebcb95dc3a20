"""What can still be given or taken is real: energy, reserve, connection and reach are all respected."""

from __future__ import annotations

import numpy as np
import pytest

from powerflock.domain.clock import MICROS_PER_HOUR
from powerflock.groups.capacity import up_down
from powerflock.twins.apply import step
from powerflock.twins.columns import Shard
from powerflock.twins.estimate import EstimateSettings, observe
from tests.unit.twins.fleet import NOW_US, batch_of, home, reading, table_of


def capacity(
    battery_kw: float, stored_kwh: float, meter_kw: float = 0.0, age_us: int = 0, *, battery: bool = True
) -> tuple[float, float]:
    twins = Shard.of(table_of([home("a", battery=battery, solar_kw=0.0)]))
    readings = [reading(0, 1, battery_kw, stored_kwh)] if battery else []
    readings.append(reading(len(readings), 1, meter_kw, 0.0))
    step(twins, batch_of(*readings), NOW_US)
    up, down = up_down(observe(twins, NOW_US + age_us, EstimateSettings()))
    return float(up[0]), float(down[0])


def test_an_idle_half_full_battery_offers_its_limits() -> None:
    assert capacity(0.0, 6.0) == (4.0, 5.0)


def test_what_it_does_now_counts() -> None:
    assert capacity(2.0, 6.0) == pytest.approx((6.0, 3.0))
    assert capacity(-3.0, 6.0) == pytest.approx((1.0, 8.0))


def test_a_battery_at_its_reserve_gives_nothing_but_can_stop_charging() -> None:
    assert capacity(0.0, 2.0) == (0.0, 5.0)
    assert capacity(1.0, 1.5) == pytest.approx((1.0, 4.0))


def test_energy_must_last_five_minutes() -> None:
    up, _ = capacity(0.0, 2.1)
    assert up == pytest.approx(0.1 * 0.8 * 12)
    _, down = capacity(0.0, 9.9)
    assert down == pytest.approx(0.1 / 0.9 * 12)


def test_a_full_battery_takes_nothing() -> None:
    assert capacity(0.0, 10.0)[1] == 0.0


def test_the_connection_bounds_both() -> None:
    assert capacity(0.0, 6.0, meter_kw=-9.0)[0] == pytest.approx(1.0)
    assert capacity(0.0, 6.0, meter_kw=13.0)[1] == pytest.approx(1.0)


def test_a_silent_site_offers_nothing() -> None:
    assert capacity(0.0, 6.0, age_us=MICROS_PER_HOUR) == (0.0, 0.0)


def test_an_unknown_battery_stays_unknown() -> None:
    assert np.isnan(capacity(0.0, np.nan)).all()
    assert np.isnan(capacity(np.nan, 6.0)).all()


def test_a_site_without_a_battery_has_none() -> None:
    assert capacity(0.0, 0.0, meter_kw=2.0, battery=False) == (0.0, 0.0)
