"""One home with any number of storages as a mixed-integer programme for HiGHS: for what nothing faster solves exactly.

Milliseconds to seconds a home. Binary variables stand only where a relaxation could cheat: a direction for each storage
whose losses could pay, and for the connection where selling pays more than buying; on or off where there is a least
power. Should a relaxed storage still charge and discharge at once, to be rid of energy, all get a direction.
"""

from __future__ import annotations

from dataclasses import dataclass

import highspy
import numpy as np

from powerflock.domain.arrays import F64, I32, Bools
from powerflock.optimise.check import constant_limits
from powerflock.optimise.problem import Devices, SiteProblems

GAP_RATIO = 1e-9
_AT_ONCE_KW = 1e-6


@dataclass(frozen=True, slots=True)
class HomeSchedule:
    """One home's plan: `battery_kw` (T,), `device_kw` (D, T), `curtailed_kw` (T,), all kW.

    `gap` is how many $ it may cost more than the best.
    """

    battery_kw: F64
    device_kw: F64
    curtailed_kw: F64
    gap: float


class _Model:
    """HiGHS with columns and rows added as whole arrays."""

    def __init__(self, steps: int) -> None:
        self.highs, self.steps, self.columns = highspy.Highs(), steps, 0
        for option, value in (("output_flag", False), ("threads", 1), ("mip_rel_gap", GAP_RATIO), ("mip_abs_gap", 0.0)):
            self.highs.setOptionValue(option, value)
        self.highs.setOptionValue("mip_feasibility_tolerance", 1e-9)
        self.highs.setOptionValue("primal_feasibility_tolerance", 1e-9)

    def add(self, lower: F64 | float, upper: F64 | float, cost: F64 | float = 0.0, *, whole: bool = False) -> I32:
        """T variables between `lower` and `upper`; returns their indices."""
        low, high, each = (_spread(value, self.steps) for value in (lower, upper, cost))
        index = np.arange(self.columns, self.columns + self.steps, dtype=np.int32)
        self.columns += self.steps
        self.highs.addVars(self.steps, low, high)
        self.highs.changeColsCost(self.steps, index, each)
        if whole:
            self.highs.changeColsIntegrality(self.steps, index, np.ones(self.steps, np.uint8))
        return index

    def rows(self, lower: F64 | float, upper: F64 | float, *terms: tuple[I32, F64 | float]) -> None:
        """Rows lower ≤ Σ coefficient·variable ≤ upper, one for each interval that the terms' variables are of."""
        count = terms[0][0].size
        low, high = _spread(lower, count), _spread(upper, count)
        index = np.stack([index for index, _ in terms], axis=1).ravel().astype(np.int32)
        value = np.stack([_spread(coefficient, count) for _, coefficient in terms], axis=1).ravel()
        starts = np.arange(count, dtype=np.int32) * len(terms)
        self.highs.addRows(count, low, high, index.size, starts, index, value)


def _spread(value: F64 | float, count: int) -> F64:
    return np.array(np.broadcast_to(np.asarray(value, np.float64), (count,)))


def solve_milp(problems: SiteProblems, home: int) -> HomeSchedule | None:
    """The best schedule of one home with all its devices, to within HiGHS's gap; None where there is no schedule."""
    row = problems.tariff[home]
    cheapest = np.minimum(problems.import_per_kwh[row], problems.export_per_kwh[row]) + problems.coordination_per_kwh
    return _attempt(problems, home, cheapest < 0) or _attempt(problems, home, np.ones(problems.intervals, np.bool_))


def _attempt(problems: SiteProblems, home: int, directed: Bools) -> HomeSchedule | None:
    """The best schedule, with a direction for each storage in `directed` (T,); None if none, or one that cheats."""
    steps, hours, row = problems.intervals, problems.hours, problems.tariff[home]
    buy = problems.import_per_kwh[row] + problems.coordination_per_kwh
    sell = problems.export_per_kwh[row] + problems.coordination_per_kwh
    limits = problems.limits or constant_limits(problems.batteries)
    model = _Model(steps)
    most_in, most_out = _spread(limits.import_limit_kw[home], steps), _spread(limits.export_limit_kw[home], steps)
    bought, sold = model.add(0.0, most_in, buy * hours), model.add(0.0, most_out, -sell * hours)
    if (sell > buy).any():
        buying = model.add(0.0, 1.0, whole=True)
        model.rows(-highspy.kHighsInf, 0.0, (bought, 1.0), (buying, -most_in))
        model.rows(-highspy.kHighsInf, most_out, (sold, 1.0), (buying, most_out))
    dark = model.add(0.0, 0.0 if problems.curtailable_kw is None else problems.curtailable_kw[home])
    powers = [_storage(model, cell, hours, directed) for cell in _storages(problems, home)]
    balance = [term for charge, discharge in powers for term in ((charge, -1.0), (discharge, 1.0))]
    net = problems.net_load_kw[home]
    model.rows(net, net, (bought, 1.0), (sold, -1.0), (dark, -1.0), *balance)
    model.highs.run()
    if model.highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return None
    found, info = np.array(model.highs.getSolution().col_value), model.highs.getInfo()
    if any((np.minimum(found[charge], found[discharge]) > _AT_ONCE_KW).any() for charge, discharge in powers):
        return None
    power = np.array([found[charge] - found[discharge] for charge, discharge in powers])
    gap = max(float(info.objective_function_value - info.mip_dual_bound), 0.0) if np.isfinite(info.mip_gap) else 0.0
    return HomeSchedule(power[0], power[1:], found[dark], gap)


def _storages(problems: SiteProblems, home: int) -> list[Devices]:
    """The home's battery and its devices, each as one row with its limits."""
    everyone = np.arange(problems.homes, dtype=np.int32)
    batteries = Devices(
        everyone, problems.batteries, problems.stored_kwh, problems.terminal_per_kwh, problems.limits
    )  # fmt: skip
    found = [batteries.rows(np.array([home]))]
    if problems.devices is not None:
        rows = np.flatnonzero(problems.devices.home == home)
        found += [problems.devices.rows(np.array([row])) for row in rows.tolist()]
    return found


def _storage(model: _Model, device: Devices, hours: F64, directed: Bools) -> tuple[I32, I32]:
    """Add one storage, a single row; returns its charge and discharge variables."""
    cell, limits = device.batteries, device.limits or constant_limits(device.batteries)
    wear, into, out = cell.wear_per_kwh[0], cell.charge_efficiency_ratio[0], 1.0 / cell.discharge_efficiency_ratio[0]
    most, least = _spread(limits.charge_limit_kw[0], model.steps), _spread(limits.discharge_limit_kw[0], model.steps)
    charge, discharge = model.add(0.0, most, wear * hours), model.add(0.0, least, wear * hours)
    worth = np.zeros(model.steps)
    worth[-1] = -device.terminal_per_kwh[0]
    level = model.add(limits.floor_kwh[0], limits.capacity_kwh[0], worth)
    for now in (slice(0, 1), slice(1, None)):
        flow = [(level[now], 1.0), (charge[now], -into * hours[now]), (discharge[now], out * hours[now])]
        start = 0.0 if now.start else device.stored_kwh[0]
        model.rows(start, start, *flow, *([(level[:-1], -1.0)] if now.start else []))
    both_ways = directed & (most > 0) & (least > 0) & (into < out)
    if both_ways.any() or cell.least_charge_kw[0] > 0 or cell.least_discharge_kw[0] > 0:
        on, off = model.add(0.0, 1.0, whole=True), model.add(0.0, 1.0, whole=True)
        for power, running, highest, lowest in (
            (charge, on, most, cell.least_charge_kw[0]), (discharge, off, least, cell.least_discharge_kw[0]),
        ):  # fmt: skip
            model.rows(-highspy.kHighsInf, 0.0, (power, 1.0), (running, -highest))
            model.rows(0.0, highspy.kHighsInf, (power, 1.0), (running, -lowest))
        model.rows(-highspy.kHighsInf, 1.0, (on, 1.0), (off, 1.0))
    return charge, discharge
