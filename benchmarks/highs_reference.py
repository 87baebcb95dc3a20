"""The site problem again, as a plain linear programme for HiGHS: the referee of the exact solver.

The benchmark measures against it, and the tests hold the solver to it. Shares nothing with the solver but the
problem's columns.
"""

from __future__ import annotations

import highspy
import numpy as np

from powerflock.optimise.problem import Batteries, SiteProblems


def build(problems: SiteProblems, home: int) -> highspy.Highs:
    """A HiGHS model of one home: charge, discharge, import, export ≥ 0 and stored energy per interval."""
    cells, steps, hours = problems.batteries, problems.intervals, problems.hours
    row, price = problems.tariff[home], problems.coordination_per_kwh
    buy, sell = problems.import_per_kwh[row] + price, problems.export_per_kwh[row] + price
    charge, discharge, bought, sold, stored = (np.arange(steps) + k * steps for k in range(5))
    lower, upper, cost = np.zeros(5 * steps), np.full(5 * steps, highspy.kHighsInf), np.zeros(5 * steps)
    upper[charge], upper[discharge] = cells.charge_limit_kw[home], cells.discharge_limit_kw[home]
    upper[bought], upper[sold] = cells.import_limit_kw[home], cells.export_limit_kw[home]
    lower[stored], upper[stored] = cells.floor_kwh[home], cells.capacity_kwh[home]
    cost[bought], cost[sold] = buy * hours, -sell * hours
    cost[charge] = cost[discharge] = cells.wear_per_kwh[home] * hours
    cost[stored[-1]] = -problems.terminal_per_kwh[home]
    model = highspy.Highs()
    model.setOptionValue("output_flag", False)  # noqa: FBT003 - highspy knows no keyword
    model.setOptionValue("threads", 1)
    model.addVars(5 * steps, lower, upper)
    model.changeColsCost(5 * steps, np.arange(5 * steps, dtype=np.int32), cost)
    into, out = cells.charge_efficiency_ratio[home], 1.0 / cells.discharge_efficiency_ratio[home]
    index: list[int] = []
    starts, value, bounds = [], [], []
    for t in range(steps):
        starts.append(len(index))
        index += [bought[t], sold[t], charge[t], discharge[t]]
        value += [1.0, -1.0, -1.0, 1.0]
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
