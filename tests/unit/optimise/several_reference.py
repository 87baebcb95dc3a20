"""The referee for homes with any devices: each direction, switch and side of the connection is a whole number in HiGHS.

Written again from the problem's statement. It shares nothing with the product but the problem's columns, so that a
wrong model of the product's cannot agree with it; it is slow, for it leaves no binary out.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import highspy
import numpy as np

from benchmarks.milp_reference import run
from powerflock.domain.arrays import F64
from powerflock.optimise.problem import Batteries, SiteProblems, VaryingLimits

Terms = list[tuple[int, float]]
_INFINITE = highspy.kHighsInf


@dataclass(slots=True)
class _Model:
    """Variables with bounds and cost, and rows between bounds, one at a time."""

    lower: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    cost: list[float] = field(default_factory=list)
    whole: list[int] = field(default_factory=list)
    rows: list[tuple[float, float, Terms]] = field(default_factory=list)

    def add(self, lower: float, upper: float, cost: float = 0.0) -> int:
        self.lower.append(float(lower))
        self.upper.append(float(upper))
        self.cost.append(float(cost))
        return len(self.lower) - 1

    def switch(self) -> int:
        self.whole.append(self.add(0, 1))
        return self.whole[-1]

    def require(self, lower: float, upper: float, terms: Terms) -> None:
        self.rows.append((float(lower), float(upper), terms))

    def optimum(self) -> float | None:
        """The least cost, $, or None where there is none."""
        model = highspy.Highs()
        for option, value in (
            ("output_flag", False), ("threads", 1), ("mip_rel_gap", 1e-9), ("primal_feasibility_tolerance", 1e-9),
            ("dual_feasibility_tolerance", 1e-9), ("mip_feasibility_tolerance", 1e-9),
        ):  # fmt: skip
            model.setOptionValue(option, value)
        count, whole = len(self.lower), np.array(self.whole, np.int32)
        model.addVars(count, np.array(self.lower), np.array(self.upper))
        model.changeColsCost(count, np.arange(count, dtype=np.int32), np.array(self.cost))
        model.changeColsIntegrality(whole.size, whole, np.full(whole.size, highspy.HighsVarType.kInteger))
        for lower, upper, terms in self.rows:
            index = np.array([column for column, _ in terms], np.int32)
            model.addRow(lower, upper, len(terms), index, np.array([factor for _, factor in terms], np.float64))
        return run(model)


def least_cost(problems: SiteProblems, home: int) -> float | None:
    """The optimum of one home with all its devices, $; None where no plan is possible."""
    model, hours, row = _Model(), problems.hours, problems.tariff[home]
    buy = problems.import_per_kwh[row] + problems.coordination_per_kwh
    sell = problems.export_per_kwh[row] + problems.coordination_per_kwh
    limits = problems.limits or VaryingLimits.of(problems.batteries, problems.intervals)
    balance: list[Terms] = []
    for t, (most_in, most_out) in enumerate(
        zip(limits.import_limit_kw[home], limits.export_limit_kw[home], strict=True)
    ):
        bought, sold = model.add(0, most_in, buy[t] * hours[t]), model.add(0, most_out, -sell[t] * hours[t])
        dark = model.add(0, 0 if problems.curtailable_kw is None else problems.curtailable_kw[home, t])
        buying = model.switch()
        model.require(-_INFINITE, 0, [(bought, 1.0), (buying, -most_in)])
        model.require(-_INFINITE, most_out, [(sold, 1.0), (buying, most_out)])
        balance.append([(bought, 1.0), (sold, -1.0), (dark, -1.0)])
    start, worth = problems.stored_kwh[home], problems.terminal_per_kwh[home]
    _storage(model, balance, hours, problems.batteries, limits, home, start, worth)
    devices = problems.devices
    for row in [] if devices is None else np.flatnonzero(devices.home == home).tolist():
        assert devices is not None
        limits = devices.limits or VaryingLimits.of(devices.batteries, problems.intervals)
        start, worth = devices.stored_kwh[row], devices.terminal_per_kwh[row]
        _storage(model, balance, hours, devices.batteries, limits, row, start, worth)
    for net, terms in zip(problems.net_load_kw[home], balance, strict=True):
        model.require(net, net, terms)
    return model.optimum()


def _storage(
    model: _Model, balance: list[Terms], hours: F64, cells: Batteries, limits: VaryingLimits, row: int, start: float,
    worth: float,
) -> None:  # fmt: skip
    """Add storage `row` of `cells`, and its power to each interval's `balance`."""
    into, out, wear = cells.charge_efficiency_ratio[row], cells.discharge_efficiency_ratio[row], cells.wear_per_kwh[row]
    before: Terms = []
    for t, hour in enumerate(hours.tolist()):
        last = t == hours.size - 1
        most, least = limits.charge_limit_kw[row, t], limits.discharge_limit_kw[row, t]
        charge, discharge = model.add(0, most, wear * hour), model.add(0, least, wear * hour)
        stored = model.add(limits.floor_kwh[row, t], limits.capacity_kwh[row, t], -worth if last else 0.0)
        on, off = model.switch(), model.switch()
        for power, running, highest, lowest in (
            (charge, on, most, cells.least_charge_kw[row]), (discharge, off, least, cells.least_discharge_kw[row]),
        ):  # fmt: skip
            model.require(-_INFINITE, 0, [(power, 1.0), (running, -highest)])
            model.require(0, _INFINITE, [(power, 1.0), (running, -lowest)])
        model.require(-_INFINITE, 1, [(on, 1.0), (off, 1.0)])
        first = 0.0 if before else start
        model.require(first, first, [(stored, 1.0), *before, (charge, -into * hour), (discharge, hour / out)])
        before = [(stored, -1.0)]
        balance[t] += [(charge, -1.0), (discharge, 1.0)]
