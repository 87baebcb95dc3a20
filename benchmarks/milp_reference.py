"""The site problem without any convexity, as a mixed-integer programme for HiGHS: the referee of the exact solver.

A binary says whether a storage may charge or discharge, and whether a home imports or exports, in each interval where
that can matter; bounds are as tight as the limits allow, so that the referee is at its best. Shares nothing with the
solver but the problem's columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import highspy
import numpy as np

from powerflock.domain.arrays import F64, Bools
from powerflock.optimise.problem import Batteries, SiteProblems, VaryingLimits


@dataclass(frozen=True, slots=True)
class _Home:
    """One home's columns, each (T,) float64, limits and prices as they are in the interval."""

    hours: F64
    net: F64
    buy: F64
    sell: F64
    solar: F64
    limits: VaryingLimits


def _home(problems: SiteProblems, home: int) -> _Home:
    row, price, steps = problems.tariff[home], problems.coordination_per_kwh, problems.intervals
    limits = problems.limits or VaryingLimits.of(problems.batteries, steps)
    own = VaryingLimits(*(limits.stacked()[home].T.copy()))
    solar = np.zeros(steps) if problems.curtailable_kw is None else problems.curtailable_kw[home]
    buy, sell = problems.import_per_kwh[row] + price, problems.export_per_kwh[row] + price
    return _Home(problems.hours, problems.net_load_kw[home], buy, sell, solar, own)


def _both_ways_may_pay(problems: SiteProblems, home: int, own: _Home) -> Bools:
    """(T,) where charging and discharging at once could help, or a least power holds: there a binary must forbid it."""
    cells = problems.batteries
    lossy = 1.0 / cells.charge_efficiency_ratio[home] - cells.discharge_efficiency_ratio[home]
    total = 1.0 / cells.charge_efficiency_ratio[home] + cells.discharge_efficiency_ratio[home]
    pays = np.minimum(own.buy, own.sell) * lossy + cells.wear_per_kwh[home] * total < 1e-9
    export_binds = own.net - own.limits.discharge_limit_kw < -own.limits.export_limit_kw
    least = cells.least_charge_kw[home] > 0 or cells.least_discharge_kw[home] > 0
    return np.asarray(pays | export_binds | least)


class _Rows:
    """Rows of a model, collected and then added at once."""

    def __init__(self) -> None:
        self.lower: list[float] = []
        self.upper: list[float] = []
        self.starts: list[int] = []
        self.index: list[int] = []
        self.value: list[float] = []

    def add(self, lower: float, upper: float, terms: list[tuple[int, float]]) -> None:
        self.lower.append(lower)
        self.upper.append(upper)
        self.starts.append(len(self.index))
        self.index += [int(column) for column, _ in terms]
        self.value += [float(factor) for _, factor in terms]

    def into(self, model: highspy.Highs) -> None:
        model.addRows(
            len(self.lower), np.array(self.lower), np.array(self.upper), len(self.index),
            np.array(self.starts, np.int32), np.array(self.index, np.int32), np.array(self.value),
        )  # fmt: skip


def build(problems: SiteProblems, home: int, *, relaxed: bool = False) -> highspy.Highs:
    """A HiGHS model of one home; `relaxed` leaves the binaries out, so that a plan may charge and discharge at once.

    Columns by interval: charge, discharge, bought, sold, curtailed, stored; then binaries for charging, discharging and
    importing where they matter.
    """
    own, cells, steps = _home(problems, home), problems.batteries, problems.intervals
    limits, inf = own.limits, highspy.kHighsInf
    charge, discharge, bought, sold, curtailed, stored = (np.arange(steps) + k * steps for k in range(6))
    lower, upper, cost = np.zeros(6 * steps), np.full(6 * steps, inf), np.zeros(6 * steps)
    upper[charge], upper[discharge] = limits.charge_limit_kw, limits.discharge_limit_kw
    upper[bought] = np.clip(own.net + limits.charge_limit_kw + own.solar, 0.0, limits.import_limit_kw)
    upper[sold] = np.clip(limits.discharge_limit_kw - own.net, 0.0, limits.export_limit_kw)
    upper[curtailed] = own.solar
    lower[stored], upper[stored] = limits.floor_kwh, limits.capacity_kwh
    cost[bought], cost[sold] = own.buy * own.hours, -own.sell * own.hours
    cost[charge] = cost[discharge] = cells.wear_per_kwh[home] * own.hours
    cost[stored[-1]] = -problems.terminal_per_kwh[home]
    one_way = np.flatnonzero(_both_ways_may_pay(problems, home, own)) if not relaxed else np.empty(0, np.int64)
    one_side = np.flatnonzero(own.sell > own.buy) if not relaxed else np.empty(0, np.int64)
    binaries = 2 * one_way.size + one_side.size
    model = highspy.Highs()
    model.setOptionValue("output_flag", False)  # noqa: FBT003 - highspy knows no keyword
    model.setOptionValue("threads", 1)
    model.addVars(6 * steps + binaries, np.r_[lower, np.zeros(binaries)], np.r_[upper, np.ones(binaries)])
    model.changeColsCost(6 * steps, np.arange(6 * steps, dtype=np.int32), cost)
    whole = np.arange(6 * steps, 6 * steps + binaries, dtype=np.int32)
    if binaries:
        model.changeColsIntegrality(binaries, whole, np.full(binaries, highspy.HighsVarType.kInteger))
    rows = _Rows()
    into, out = cells.charge_efficiency_ratio[home], 1.0 / cells.discharge_efficiency_ratio[home]
    for t in range(steps):
        net, hours = own.net[t], own.hours[t]
        meter = [(bought[t], 1.0), (sold[t], -1.0), (charge[t], -1.0), (discharge[t], 1.0), (curtailed[t], -1.0)]
        rows.add(net, net, meter)
        before = [(stored[t - 1], -1.0)] if t else []
        start = 0.0 if t else problems.stored_kwh[home]
        rows.add(start, start, [(stored[t], 1.0), (charge[t], -into * hours), (discharge[t], out * hours), *before])
    for k, t in enumerate(one_way.tolist()):
        charging, discharging = whole[2 * k], whole[2 * k + 1]
        rows.add(-inf, 0.0, [(charge[t], 1.0), (charging, -limits.charge_limit_kw[t])])
        rows.add(-inf, 0.0, [(discharge[t], 1.0), (discharging, -limits.discharge_limit_kw[t])])
        rows.add(-inf, 1.0, [(charging, 1.0), (discharging, 1.0)])
        if cells.least_charge_kw[home] > 0:
            rows.add(0.0, inf, [(charge[t], 1.0), (charging, -cells.least_charge_kw[home])])
        if cells.least_discharge_kw[home] > 0:
            rows.add(0.0, inf, [(discharge[t], 1.0), (discharging, -cells.least_discharge_kw[home])])
    for k, t in enumerate(one_side.tolist()):
        importing = whole[2 * one_way.size + k]
        rows.add(-inf, 0.0, [(bought[t], 1.0), (importing, -upper[bought[t]])])
        rows.add(-inf, upper[sold[t]], [(sold[t], 1.0), (importing, upper[sold[t]])])
    rows.into(model)
    return model


def tighten(model: highspy.Highs) -> None:
    """Demand the optimum itself: no gap, and no tolerance that would let a plan cheat visibly."""
    for option, value in (
        ("mip_rel_gap", 0.0), ("mip_abs_gap", 0.0), ("mip_feasibility_tolerance", 1e-9),
        ("primal_feasibility_tolerance", 1e-9), ("dual_feasibility_tolerance", 1e-9),
    ):  # fmt: skip
        model.setOptionValue(option, value)


def run(model: highspy.Highs) -> float | None:
    """Solve the model: its optimum in $, or None where there is none; `RuntimeError` for any other end."""
    model.run()
    status = model.getModelStatus()
    if status in {highspy.HighsModelStatus.kInfeasible, highspy.HighsModelStatus.kUnboundedOrInfeasible}:
        return None
    if status != highspy.HighsModelStatus.kOptimal:
        raise RuntimeError(f"HiGHS found no optimum: {status}")
    return float(model.getInfo().objective_function_value)


def optimal_cost(problems: SiteProblems, home: int) -> float | None:
    """The optimum of one home, $; None where no plan is possible."""
    model = build(problems, home)
    tighten(model)
    return run(model)


def random_problems(seed: int, homes: int, intervals: int) -> SiteProblems:
    """Homes that mix all that is not convex, some of which no plan can serve.

    Export above import, prices of either sign with losses, least powers, solar to switch off, tight connections, limits
    that vary.
    """
    rng = np.random.default_rng(seed)
    shape = (homes, intervals)
    capacity = rng.choice([0.0, 5.0, 9.8, 13.5], homes, p=[0.05, 0.3, 0.3, 0.35])
    floor = capacity * rng.choice([0.0, 0.1, 0.3], homes)
    charge = np.where(capacity > 0, rng.choice([2.5, 5.0, 10.0], homes), 0.0)
    discharge = charge * rng.uniform(0.7, 1.0, homes)
    sell = rng.choice([-0.3, 0.0, 0.05, 0.1, 0.3], (3, intervals)) + rng.uniform(-0.05, 0.05, (3, intervals))
    solar = rng.uniform(0, 8, (homes, 1)) * np.maximum(0, np.sin(np.linspace(0, 2 * np.pi, intervals)))
    cells = Batteries(
        charge, discharge, rng.uniform(0.85, 1, homes), rng.uniform(0.85, 1, homes), rng.choice([0, 0.02, 0.08], homes),
        floor, capacity, rng.choice([8.0, 40.0], homes), rng.choice([1.0, 5.0, 40.0], homes),
        charge * rng.choice([0, 0.3, 1.0], homes, p=[0.5, 0.4, 0.1]),
        discharge * rng.choice([0, 0.3, 1.0], homes, p=[0.5, 0.4, 0.1]),
    )  # fmt: skip
    highest = capacity[:, None] * rng.choice([0.8, 1.0], shape)
    limits = VaryingLimits(
        charge[:, None] * rng.choice([0, 0.5, 1.0], shape), discharge[:, None] * rng.choice([0, 0.5, 1.0], shape),
        np.minimum(floor[:, None] * rng.choice([0, 1.0, 1.5], shape), highest), highest,
        cells.import_limit_kw[:, None] * rng.choice([0.5, 1], shape),
        cells.export_limit_kw[:, None] * rng.choice([0.5, 1], shape),
    )  # fmt: skip
    return SiteProblems(
        hours=rng.choice([0.25, 0.5, 1.0]) * rng.choice([1.0, 2.0], intervals),
        net_load_kw=rng.gamma(1.2, 0.8, shape) - solar,
        import_per_kwh=sell + rng.choice([-0.2, -0.05, 0.0, 0.1, 0.2], (3, intervals)),
        export_per_kwh=sell,
        tariff=rng.integers(0, 3, homes).astype(np.int32),
        coordination_per_kwh=rng.choice([0, 0.05, -0.2], intervals) * rng.uniform(0, 1, intervals),
        terminal_per_kwh=rng.uniform(0, 0.3, homes),
        stored_kwh=floor + rng.uniform(0, 1, homes) * (capacity - floor),
        batteries=cells,
        limits=limits if seed % 2 else None,
        curtailable_kw=solar * rng.choice([0, 1.0], (homes, 1)) if seed % 3 else None,
    )
