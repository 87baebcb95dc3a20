"""The site problem again, as a plain linear programme for HiGHS: the referee of the exact solver.

The benchmark measures against it, and the tests hold the solver to it. Shares nothing with the solver but the
problem's columns.
"""

from __future__ import annotations

import dataclasses

import highspy
import numpy as np

from powerflock.domain.arrays import F64
from powerflock.optimise.problem import Batteries, SiteProblems, VaryingLimits
from powerflock.optimise.site import lowest_convex_price


def build(problems: SiteProblems, home: int) -> highspy.Highs:
    """A HiGHS model of one home: charge, discharge, import, export, stored energy and solar switched off, by interval.

    Without devices. Solar is a variable only where some may be switched off.
    """
    steps, hours = problems.intervals, problems.hours
    row, price, limits = problems.tariff[home], problems.coordination_per_kwh, _limits(problems, home)
    buy, sell = problems.import_per_kwh[row] + price, problems.export_per_kwh[row] + price
    kinds = 5 if problems.curtailable_kw is None else 6
    charge, discharge, bought, sold, stored, dark = (np.arange(steps) + k * steps for k in range(6))
    lower, upper, cost = np.zeros(kinds * steps), np.full(kinds * steps, highspy.kHighsInf), np.zeros(kinds * steps)
    upper[charge], upper[discharge], lower[stored], upper[stored], upper[bought], upper[sold] = limits
    if problems.curtailable_kw is not None:
        upper[dark] = problems.curtailable_kw[home]
    cost[bought], cost[sold] = buy * hours, -sell * hours
    cost[charge] = cost[discharge] = problems.batteries.wear_per_kwh[home] * hours
    cost[stored[-1]] = -problems.terminal_per_kwh[home]
    model = highspy.Highs()
    model.setOptionValue("output_flag", False)  # noqa: FBT003 - highspy knows no keyword
    model.setOptionValue("threads", 1)
    model.addVars(kinds * steps, lower, upper)
    model.changeColsCost(kinds * steps, np.arange(kinds * steps, dtype=np.int32), cost)
    into = problems.batteries.charge_efficiency_ratio[home]
    out = 1.0 / problems.batteries.discharge_efficiency_ratio[home]
    index: list[int] = []
    starts, value, bounds = [], [], []
    for t in range(steps):
        starts.append(len(index))
        index += [bought[t], sold[t], charge[t], discharge[t]] + ([dark[t]] if kinds > 5 else [])
        value += [1.0, -1.0, -1.0, 1.0] + ([-1.0] if kinds > 5 else [])
        bounds.append(problems.net_load_kw[home, t])
        starts.append(len(index))
        index += [stored[t], charge[t], discharge[t]] + ([stored[t - 1]] if t else [])
        value += [1.0, -into * hours[t], out * hours[t]] + ([-1.0] if t else [])
        bounds.append(0.0 if t else problems.stored_kwh[home])
    rows = np.array(bounds)
    model.addRows(
        rows.size, rows, rows, len(index), np.array(starts, np.int32), np.array(index, np.int32), np.array(value)
    )
    return model


def _limits(problems: SiteProblems, home: int) -> tuple[F64 | float, ...]:
    """Charge, discharge, floor, capacity, import and export limit of one home: numbers, or (T,) where they vary."""
    names = (
        "charge_limit_kw", "discharge_limit_kw", "floor_kwh", "capacity_kwh", "import_limit_kw", "export_limit_kw"
    )  # fmt: skip
    source = problems.batteries if problems.limits is None else problems.limits
    return tuple(getattr(source, name)[home] for name in names)


def optimal_cost(problems: SiteProblems, home: int) -> float:
    """The optimum of one home's linear programme, $, to rounding."""
    model = build(problems, home)
    tighten(model)
    return run(model)


def tighten(model: highspy.Highs) -> None:
    """Demand an optimum without visible error: HiGHS's own tolerances, 1e-7, let it cheat by some 1e-8 $."""
    model.setOptionValue("primal_feasibility_tolerance", 1e-10)
    model.setOptionValue("dual_feasibility_tolerance", 1e-10)


def run(model: highspy.Highs) -> float:
    """Solve the model and return its optimum, $; `RuntimeError` where there is none."""
    model.run()
    if model.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        raise RuntimeError(f"HiGHS found no optimum: {model.getModelStatus()}")
    return float(model.getInfo().objective_function_value)


def random_problems(seed: int, homes: int, intervals: int) -> SiteProblems:
    """Homes with random loads, tariffs, batteries and coordination prices, some without solar or battery."""
    rng = np.random.default_rng(seed)
    capacity = rng.choice([0.0, 5.0, 9.8, 13.5, 27.0], homes) * rng.uniform(0.8, 1.0, homes)
    floor = capacity * rng.choice([0.0, 0.1, 0.2, 0.5], homes)
    limit = np.where(capacity > 0, rng.choice([2.5, 5.0, 10.0], homes), 0.0)
    sell = rng.uniform(0.0, 0.15, (3, intervals))
    load = rng.gamma(1.2, 0.8, (homes, intervals))
    solar = rng.uniform(0, 8, (homes, 1)) * np.maximum(0, np.sin(np.linspace(0, 2 * np.pi, intervals)))
    batteries = Batteries(
        limit, limit * rng.uniform(0.7, 1.0, homes), rng.uniform(0.85, 1.0, homes), rng.uniform(0.85, 1.0, homes),
        rng.choice([0.0, 0.02, 0.08], homes), floor, capacity,
        np.full(homes, 40.0), rng.choice([5.0, 10.0, 40.0], homes) + solar.max(axis=1),
        np.zeros(homes), np.zeros(homes),
    )  # fmt: skip
    return SiteProblems(
        hours=rng.choice([1 / 12, 0.5, 1.0], 1).repeat(intervals) * rng.choice([1.0, 2.0], intervals),
        net_load_kw=load - solar,
        import_per_kwh=sell + rng.choice([0.0, 0.1, 0.3], (3, intervals)),
        export_per_kwh=sell,
        tariff=rng.integers(0, 3, homes).astype(np.int32),
        coordination_per_kwh=rng.choice([0.0, 0.05, 0.2, 3.0], intervals) * rng.uniform(0, 1, intervals),
        terminal_per_kwh=rng.uniform(0, 0.3, homes),
        stored_kwh=floor + rng.uniform(0, 1, homes) * (capacity - floor),
        batteries=batteries,
    )


def changing_problems(seed: int, homes: int, intervals: int) -> SiteProblems:
    """As `random_problems`, with limits and reserves that change over time, solar to switch off and prices below 0.

    Each is convex, and a linear programme may not gain by burning energy: capacities only grow, and the prices that
    would make losses pay are raised.
    """
    rng = np.random.default_rng(seed + 1_000_003)
    plain = random_problems(seed, homes, intervals)
    cells, shape = plain.batteries, (homes, intervals)
    solar = np.maximum(-plain.net_load_kw, 0.0) * rng.choice([0.0, 0.5, 1.0], shape)
    smaller = cells.capacity_kwh[:, None] - (cells.capacity_kwh - cells.floor_kwh)[:, None] * rng.choice(
        [0.0, 0.2], shape
    )
    floor = cells.floor_kwh[:, None] * rng.choice([0.5, 1.0], shape)
    limits = VaryingLimits.of(
        cells, intervals,
        charge_limit_kw=cells.charge_limit_kw[:, None] * rng.choice([0.0, 0.5, 1.0], shape),
        discharge_limit_kw=cells.discharge_limit_kw[:, None] * rng.choice([0.0, 0.3, 1.0], shape),
        floor_kwh=floor,
        capacity_kwh=np.maximum.accumulate(np.maximum(floor, np.maximum(smaller, plain.stored_kwh[:, None])), axis=1),
        import_limit_kw=np.maximum(plain.net_load_kw + rng.choice([0.0, 1.0, 20.0], shape), 0.0),
        export_limit_kw=np.maximum(rng.choice([0.0, 1.5, 20.0], shape), -plain.net_load_kw - solar),
    )  # fmt: skip
    lowered = dataclasses.replace(
        plain, coordination_per_kwh=plain.coordination_per_kwh - rng.choice([0.0, 0.3, 0.6], intervals)
    )
    price = np.maximum(lowered.coordination_per_kwh, lowest_convex_price(lowered))
    return dataclasses.replace(plain, coordination_per_kwh=price, limits=limits, curtailable_kw=solar)
