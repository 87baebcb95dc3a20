"""Generated homes: reproducible, valid, and like real ones."""

from __future__ import annotations

import time

import numpy as np
import pytest

from powerflock.domain.errors import InvalidInput
from powerflock.domain.site import check_spec
from powerflock.sim.homes import generate
from powerflock.sim.profiles import Profiles
from tests.homes_data import bondi, fontana
from tests.unit.sim.homes_made import MINUTE_US

START_US = 1_751_292_000_000_000  # 2025-07-01T00:00:00+10:00


def test_a_home_is_the_same_in_a_fleet_of_any_size() -> None:
    few, many = generate(7, 11, 2, START_US), generate(120, 11, 2, START_US)
    assert few.specs == many.specs[:7]
    assert np.array_equal(few.profiles.load_kw, many.profiles.load_kw[:7])
    assert np.array_equal(few.profiles.solar_kw, many.profiles.solar_kw[:7])
    assert generate(7, 12, 2, START_US).specs != few.specs


def test_homes_are_valid_spread_over_feeders_and_regions_and_keep_their_signs() -> None:
    made = generate(230, 1, 1, START_US)
    for spec in made.specs:
        check_spec(spec)
    assert len({spec.site for spec in made.specs}) == 230
    assert len({spec.feeder for spec in made.specs}) == 5
    assert len({spec.region for spec in made.specs}) == 4
    without = np.array([spec.solar_kw == 0.0 for spec in made.specs])
    assert made.profiles.load_kw.min() >= 0.0
    assert made.profiles.solar_kw.max() <= 0.0
    assert not made.profiles.solar_kw[without].any()


def test_a_thousand_homes_for_nine_days_take_under_three_seconds() -> None:
    began = time.perf_counter()
    made = generate(1000, 1, 9, START_US)
    assert time.perf_counter() - began < 3.0
    assert made.profiles.load_kw.shape == (1000, 9 * 288)


def test_profiles_repeat_by_whole_days_for_ever() -> None:
    profiles = generate(3, 1, 2, START_US).profiles
    later = START_US + 7 * 24 * 60 * MINUTE_US + 61 * MINUTE_US
    assert profiles.index(later) == profiles.index(later - 2 * 24 * 60 * MINUTE_US) == 288 + 12
    assert profiles.step_end_us(later) == later + 4 * MINUTE_US


def test_profiles_refuse_part_days_and_unknown_values() -> None:
    zeros = np.zeros((1, 288), dtype=np.float32)
    with pytest.raises(InvalidInput, match="must be whole"):
        Profiles(START_US, zeros[:, :100], zeros[:, :100])
    with pytest.raises(InvalidInput, match="every step must be known"):
        Profiles(START_US, zeros * np.nan, zeros)
    with pytest.raises(InvalidInput, match="passive"):
        Profiles(START_US, zeros, zeros + 1.0)


def test_generated_homes_use_and_generate_as_the_real_ones_do() -> None:
    """Tolerances: daily use 20%, its spread over homes 0.15, evening share 15%, day-to-day spread 25%, yield 15%."""
    fontana_load, fontana_solar, sizes = fontana(0, 364)
    bondi_load, bondi_solar = bondi(0, 364)
    real = np.delete(np.concatenate([fontana_load, bondi_load]), 11, axis=0).reshape(15, 364, 48)
    made = generate(150, 2, 364, START_US)
    load = made.profiles.load_kw.reshape(150, 364, 48, 6).mean(axis=3) / 2.0

    def log_daily(kwh: np.ndarray) -> np.ndarray:
        return np.asarray(np.log(kwh.sum(axis=2).mean(axis=1)))

    def evening(kwh: np.ndarray) -> float:
        return float((kwh[:, :, 34:44].sum(axis=(1, 2)) / kwh.sum(axis=(1, 2))).mean())

    def daily_spread(kwh: np.ndarray) -> float:
        daily = kwh.sum(axis=2)
        return float(np.median(np.abs(np.diff(daily, axis=1)).mean(axis=1) / daily.mean(axis=1)))

    assert log_daily(load).mean() == pytest.approx(log_daily(real).mean(), abs=np.log(1.2))
    assert log_daily(load).std() == pytest.approx(log_daily(real).std(ddof=1), abs=0.15)
    assert evening(load) == pytest.approx(evening(real), rel=0.15)
    assert daily_spread(load) == pytest.approx(daily_spread(real), rel=0.25)
    real_yield = (
        (fontana_solar.sum(axis=1) / np.array(sizes)).mean() / 364.0,
        (bondi_solar.sum(axis=1) / (2.0 * bondi_solar.max(axis=1))).mean() / 364.0,
    )
    size = np.array([spec.solar_kw for spec in made.specs])
    made_yield = (-made.profiles.solar_kw.mean(axis=1)[size > 0] * 24.0 / size[size > 0]).mean()
    assert made_yield == pytest.approx(np.mean(real_yield), rel=0.15)
