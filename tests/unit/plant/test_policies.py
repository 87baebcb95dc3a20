"""Policies come from the owners' own plan, on half-hours, and are made again every few hours."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from powerflock.domain.clock import MICROS_PER_DAY, MICROS_PER_HOUR
from powerflock.domain.policy import Basis, Policy
from powerflock.optimise.problem import SiteProblems
from powerflock.plant import policies
from powerflock.plant.policies import half_hourly, policy_batch
from powerflock.plant.ring import Ring
from tests.unit.plant.small import LENGTH_US, SETTINGS, START_US, TICK_US, Meters, enrolled, homes

MIXED = [
    *homes(3),
    *(msgspec.structs.replace(spec, site=f"n{spec.site}") for spec in homes(2, battery=None)),
    *homes(4)[3:],
]
HOMES = np.array([0, 1, 2, 5])
HALF_HOUR_US = MICROS_PER_HOUR // 2


def problems(start_us: int = START_US, intervals: int = 288) -> SiteProblems:
    """The owners' problems of `MIXED` from `start_us` on, with loads that differ from interval to interval."""
    shard = enrolled(MIXED).shards[0]
    load = 0.5 + np.random.default_rng(0).random((len(MIXED), intervals))
    return shard.problems(start_us // LENGTH_US, LENGTH_US, load, np.zeros(intervals), np.zeros(len(MIXED)))


def test_each_home_gets_one_for_a_day_at_most_and_on_its_own_prices() -> None:
    batch = policy_batch(problems(intervals=400), HOMES, START_US, 7, map)
    assert (batch.epoch, batch.rows, batch.until_us) == (7, [0, 1, 2, 5], START_US + MICROS_PER_DAY)
    made = [Policy.from_bytes(payload) for payload in batch.payloads]
    assert {(policy.basis, policy.bounds_us[0], policy.horizon_us) for policy in made} == {
        (Basis.OWNER, START_US, batch.until_us)
    }
    assert max(map(len, batch.payloads)) < 400


def test_homes_whose_policies_are_made_in_several_blocks_get_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = policy_batch(problems(), HOMES, START_US, 7, map)
    monkeypatch.setattr(policies, "_BLOCK", 3)
    assert policy_batch(problems(), HOMES, START_US, 7, map) == whole


def test_a_home_on_a_day_and_night_tariff_keeps_its_energy_for_the_day() -> None:
    policy = Policy.from_bytes(policy_batch(problems(), HOMES, START_US, 1, map).payloads[0])
    at_night, by_day = (policy.power_kw(START_US + hour * MICROS_PER_HOUR, 8.0, 1.0, -5.0, 5.0) for hour in (3, 19))
    assert at_night is not None
    assert by_day is not None
    assert at_night >= 0.0
    assert by_day == -1.0


def test_intervals_become_whole_half_hours_and_energy_stays_what_it_was() -> None:
    start_us = START_US + 4 * LENGTH_US
    fine = problems(start_us, 100)
    coarse = half_hourly(fine, start_us)
    ends_us = start_us + np.rint(np.cumsum(coarse.hours) * MICROS_PER_HOUR).astype(np.int64)
    assert (ends_us[:-1] % HALF_HOUR_US == 0).all()
    assert coarse.hours[[0, 1, -1]] == pytest.approx([1 / 6, 0.5, 1 / 6])
    np.testing.assert_allclose((coarse.net_load_kw * coarse.hours).sum(1), (fine.net_load_kw * fine.hours).sum(1))
    np.testing.assert_allclose((coarse.import_per_kwh * coarse.hours).sum(1), (fine.import_per_kwh * fine.hours).sum(1))
    assert set(np.unique(coarse.import_per_kwh.round(9))) == {0.12, 0.36}, "no half-hour spans two prices"


def policies_at(ring: Ring, minutes: list[int]) -> list[bool]:
    """Whether the turns at these minutes bring policies."""
    meters, out = Meters(homes(6)), []
    for minute in range(minutes[-1] + 1):
        now = START_US + minute * TICK_US
        ring.ingest(0, meters.read(now), now)
        brought = bool(ring.turn(now).policies)
        out += [brought] if minute in minutes else []
        assert minute in minutes or not brought
    return out


def test_they_come_with_the_first_plan_and_then_every_few_intervals_not_with_each_plan() -> None:
    ring = enrolled(homes(6), settings=replace(SETTINGS, plan_every=2, policy_every=6))
    assert policies_at(ring, [0, 30, 60]) == [True, True, True]


def test_a_fleet_that_grew_by_a_tenth_gets_them_at_once() -> None:
    shard = enrolled(homes(6)).shards[0]
    assert shard.take_policy_turn(10, 36)
    assert not shard.take_policy_turn(12, 36)
    shard.policies_for = 5
    assert shard.take_policy_turn(12, 36)
    assert not shard.take_policy_turn(47, 36)
    assert shard.take_policy_turn(48, 36)
