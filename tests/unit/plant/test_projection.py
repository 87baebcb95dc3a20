"""A home that has gone silent stays in the plant's books as its own edge would run it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from powerflock.domain.clock import MICROS_PER_HOUR, MICROS_PER_S
from powerflock.domain.columns import SITE_EVENT, SiteEventKind
from powerflock.domain.policy import Basis, Levels, Policy
from powerflock.plant.policies import PolicyBatch
from powerflock.plant.ring import Ring
from powerflock.twins.estimate import Freshness, SiteColumns, observe
from tests.unit.plant.small import LENGTH_US, START_US, TICK_US, Meters, enrolled, homes
from tests.unit.twins.fleet import commands_of

LOAD_KW = 0.8
SILENT_US = START_US + 3 * MICROS_PER_HOUR


def quiet() -> Ring:
    """Two homes that idle at 5 kWh and 0.8 kW, last heard three hours ago."""
    ring, meters = enrolled(homes(2)), Meters(homes(2))
    ring.ingest(0, meters.read(START_US), START_US)
    return ring


def seen(ring: Ring, now_us: int, expected_kw: float = LOAD_KW) -> SiteColumns:
    shard = ring.shards[0]
    columns = observe(shard.twins, now_us, ring.settings.estimate)
    return shard.project(columns, now_us, lambda: np.full(2, expected_kw))


def policy(level_kwh: float) -> Policy:
    """Bring the battery to `level_kwh` and keep it there, for six hours from the start."""
    bounds = tuple(START_US + hour * MICROS_PER_HOUR for hour in range(7))
    return Policy(bounds, (Levels(level_kwh, level_kwh, level_kwh, level_kwh),) * 6, 0.95, 0.95, Basis.OWNER)


def test_a_home_that_is_heard_is_left_as_it_reports() -> None:
    ring = quiet()
    columns = observe(ring.shards[0].twins, START_US, ring.settings.estimate)
    assert ring.shards[0].project(columns, START_US, lambda: pytest.fail("nobody is silent")) is columns


def test_without_a_policy_a_silent_home_covers_its_own_load() -> None:
    ring = quiet()
    first = seen(ring, SILENT_US)
    assert first.freshness.tolist() == [Freshness.SILENT] * 2
    np.testing.assert_allclose(first.meter_kw, 0.0, atol=1e-9)
    np.testing.assert_allclose(first.battery_kw, -LOAD_KW)
    later = seen(ring, SILENT_US + MICROS_PER_HOUR)
    np.testing.assert_allclose(later.stored_kwh, first.stored_kwh - LOAD_KW / 0.95)
    assert np.isnan(later.solar_kw).all(), "what of it is sun is not known"


def test_a_silent_home_follows_the_policy_it_was_sent_while_in_reach() -> None:
    ring = quiet()
    payload, other = policy(8.0).to_bytes(), policy(2.0).to_bytes()
    projection = ring.shards[0].projection
    projection.send(PolicyBatch(1, START_US + 6 * MICROS_PER_HOUR, [0, 1], [payload, payload]))
    first = seen(ring, SILENT_US)
    assert (first.battery_kw > 2.0).all(), "3 kWh more by the end of the hour"
    projection.send(PolicyBatch(1, START_US + 6 * MICROS_PER_HOUR, [0, 1], [other, other]))
    later = seen(ring, SILENT_US + TICK_US)
    assert (later.battery_kw > 2.0).all(), "the newer one never reached it"


def test_a_confirmed_command_holds_until_it_expires() -> None:
    ring = quiet()
    told = commands_of((0, 5, -1.5))
    told["expires_us"] = SILENT_US + LENGTH_US
    ring.told([told])
    ring.ingest(0, np.array([(0, SiteEventKind.APPLIED, 0, 5, START_US)], SITE_EVENT), START_US)
    assert seen(ring, SILENT_US).meter_kw.tolist() == pytest.approx([-1.5, 0.0])
    assert seen(ring, SILENT_US + LENGTH_US + MICROS_PER_S).meter_kw.tolist() == pytest.approx([0.0, 0.0])


def test_a_battery_stops_at_its_reserve_and_the_grid_takes_over() -> None:
    ring = quiet()
    last = None
    for tick in range(8):
        last = seen(ring, SILENT_US + tick * MICROS_PER_HOUR)
    assert last is not None
    np.testing.assert_allclose(last.stored_kwh, 1.0)
    np.testing.assert_allclose(last.meter_kw, LOAD_KW)


def test_a_home_heard_again_starts_from_its_own_readings() -> None:
    ring, meters = quiet(), Meters(homes(2))
    seen(ring, SILENT_US)
    meters.seq = 5
    ring.ingest(0, meters.read(SILENT_US + TICK_US), SILENT_US + TICK_US)
    columns = seen(ring, SILENT_US + TICK_US)
    assert columns.stored_kwh.tolist() == [5.0, 5.0]
    assert not ring.shards[0].projection.policies.held.any()
    again = seen(ring, SILENT_US + MICROS_PER_HOUR)
    assert again.freshness[0] == Freshness.SILENT
    assert again.stored_kwh[0] == pytest.approx(5.0), "it idled when it was last heard"


def test_a_home_never_heard_stays_unknown() -> None:
    ring = enrolled(homes(2))
    assert np.isnan(seen(ring, SILENT_US).meter_kw).all()


def test_columns_are_new_ones() -> None:
    ring = quiet()
    columns = observe(ring.shards[0].twins, SILENT_US, ring.settings.estimate)
    before = replace(columns, meter_kw=columns.meter_kw.copy())
    ring.shards[0].project(columns, SILENT_US, lambda: np.full(2, LOAD_KW))
    np.testing.assert_array_equal(columns.meter_kw, before.meter_kw)
