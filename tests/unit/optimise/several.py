"""Homes with several storages each, made at random: batteries, cars with and without vehicle-to-grid, hot water."""

from __future__ import annotations

import dataclasses

import numpy as np

from benchmarks.highs_reference import random_problems
from powerflock.optimise.problem import Batteries, Devices, SiteProblems, VaryingLimits


def several_storages(seed: int, homes: int, intervals: int) -> SiteProblems:
    """Up to three devices beside each home's battery; cars leave once, some of them full; some solar may be off."""
    rng = np.random.default_rng(seed)
    problems = random_problems(seed, homes, intervals)
    home = np.repeat(np.arange(homes), rng.integers(0, 4, homes))
    count, kind = home.size, rng.integers(0, 3, home.size)
    capacity, charge = rng.uniform(5, 60, count), rng.choice([3.0, 7.0, 11.0], count)
    discharge = np.where(kind == 1, charge, np.where(kind == 0, 0.0, rng.choice([0.0, 3.0], count)))
    tank = (kind == 2) & (discharge == 0)
    efficiency = np.where(tank, 1.0, rng.uniform(0.85, 1, count))
    cells = Batteries.of(
        count, capacity_kwh=capacity, charge_limit_kw=charge, discharge_limit_kw=discharge,
        charge_efficiency_ratio=efficiency, discharge_efficiency_ratio=np.where(discharge > 0, 0.95, 1.0),
        wear_per_kwh=rng.choice([0.0, 0.02], count),
    )  # fmt: skip
    stored, leaves = capacity * rng.uniform(0.2, 0.6, count), rng.integers(intervals // 2, intervals, count)
    car, times = (kind < 2)[:, None], np.arange(intervals)
    away = (times >= leaves[:, None]) & car
    stay = ((times < leaves[:, None]) * problems.hours).sum(axis=1)
    needed = np.minimum(capacity, stored + rng.uniform(0.1, 0.9, count) * charge * efficiency * stay)
    driven = away * 0.7 * needed[:, None]
    floor = (times == leaves[:, None] - 1) * car * needed[:, None]
    limits = VaryingLimits.of(
        cells, intervals, charge_limit_kw=charge[:, None] * ~away, discharge_limit_kw=discharge[:, None] * ~away,
        floor_kwh=floor + driven, capacity_kwh=capacity[:, None] + driven,
    )  # fmt: skip
    devices = Devices.of(home, cells, stored_kwh=stored, terminal_per_kwh=rng.uniform(0, 0.2, count), limits=limits)
    solar = np.maximum(0, -problems.net_load_kw) * rng.choice([0.0, 1.0], (homes, 1))
    return dataclasses.replace(problems, devices=devices, curtailable_kw=solar)
