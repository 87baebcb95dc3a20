"""Everything compiled that the edge needs, run on made-up homes and curves: what must be the same without numba."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.highs_reference import random_problems
from powerflock.curve import PRICE_GRID, Curves, algebra, batch, clip, conjugate, evaluate, merge, response, sum_on_grid
from powerflock.curve import least_level as least
from powerflock.curve import slopes as slope_lists
from powerflock.domain.arrays import F64
from powerflock.optimise import Moment, offers, policy, respond, segments, site, value
from powerflock.optimise.problem import SiteProblems, VaryingLimits

MODULES = (algebra, batch, least, slope_lists, policy, respond, segments, site)
"""Where the kernels are."""


def results(seed: int) -> dict[str, F64]:
    """By name, arrays that depend on every kernel of `MODULES`."""
    found = {f"curves: {name}": column for name, column in _curves(seed).items()}
    problems = random_problems(seed, 8, 16)
    found["least levels"] = _least_levels(problems, seed)
    for name, case in (("homes", problems), ("changing homes", _changing(problems, seed))):
        found |= {f"{name}: {field}": column for field, column in _homes(case).items()}
    return found


def _curves(seed: int) -> dict[str, F64]:
    rng = np.random.default_rng(seed)

    def made(widest: int) -> Curves:
        count = rng.integers(0, widest + 1, 5)
        slope = np.sort(rng.normal(0, 0.3, (5, widest)).round(rng.integers(1, 9)), axis=1)
        return Curves.of(rng.normal(0, 3, 5), slope, rng.exponential(2, (5, widest)), rng.normal(0, 9, 5), count)

    one, other = made(6), made(4)
    both = merge(one, other)
    middle = clip(both, both.left + 0.2 * (both.right - both.left), both.left + 0.7 * (both.right - both.left))
    turned = conjugate(both, -0.4, 0.3)
    answers = response(both, PRICE_GRID)
    positions = both.left[:, None] + (both.right - both.left)[:, None] * rng.uniform(-0.1, 1.1, (5, 9))
    positions[0, 0] = np.nan
    return {
        "merge": both.slope, "merged length": both.length, "right": both.right,
        "clip": middle.base, "clipped length": middle.length, "conjugate": turned.base, "turned length": turned.length,
        "turned slope": turned.slope, "evaluate": evaluate(both, positions), "response": answers,
        "sum": sum_on_grid(answers, rng.integers(0, 2, 5), 2),
    }  # fmt: skip


def _least_levels(problems: SiteProblems, seed: int) -> F64:
    """The lowest import that a battery of 3 kW and 6 kWh can hold against each of the homes' loads."""
    counts = np.random.default_rng(seed).random(problems.intervals) < 0.7
    limits = np.array([[3.0, 3.0, 1.0, 6.0, 100.0, np.inf]] * problems.intervals)
    levels = np.empty(problems.homes)
    least.least_levels(problems.hours, problems.net_load_kw, 4.0, 0.93, 0.97, limits, counts, levels)
    return levels


def _changing(problems: SiteProblems, seed: int) -> SiteProblems:
    """The same homes with lossless batteries, a floor that rises, solar that may be off and prices below zero."""
    rng = np.random.default_rng(seed)
    shape, lossless = problems.net_load_kw.shape, np.ones(problems.homes)
    cells = replace(problems.batteries, charge_efficiency_ratio=lossless, discharge_efficiency_ratio=lossless)
    ramp = np.linspace(0.0, 0.1, problems.intervals)
    floor = cells.floor_kwh[:, None] + ramp * (cells.capacity_kwh - cells.floor_kwh)[:, None]
    return replace(
        problems,
        batteries=cells,
        limits=VaryingLimits.of(cells, problems.intervals, floor_kwh=floor),
        curtailable_kw=np.maximum(-problems.net_load_kw, 0.0) * rng.uniform(0, 1, shape),
        coordination_per_kwh=problems.coordination_per_kwh - rng.choice([0.0, 0.05, 0.4], problems.intervals),
    )


def _homes(problems: SiteProblems) -> dict[str, F64]:
    plans = site.solve(problems, keep=problems.intervals)
    moment = Moment.of(problems, 0, problems.stored_kwh)
    columns = {
        "cost": plans.cost, "power": plans.battery_kw, "most": plans.policies.most_kwh, "start": plans.policies.start,
        "ramp": plans.policies.length, "left": plans.values.left, "base": plans.values.base,
        "slope": plans.values.slope, "length": plans.values.length,
        "levels": policy.solve_levels(problems), "value": value(plans.values, 0, problems.stored_kwh),
    }  # fmt: skip
    return columns | {"offers": offers(moment, plans.values, 1, PRICE_GRID)}
