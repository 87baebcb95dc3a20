"""A whole fleet as one linear programme for HiGHS: homes, tree of groups, target and reserves in one model.

The benchmark measures against it and the tests hold the coordination, and the method for several storages, to it.
Shares nothing with either but the problem's columns.
"""

from __future__ import annotations

import highspy
import numpy as np

from benchmarks.highs_reference import run, tighten
from powerflock.domain.arrays import F64, I32
from powerflock.optimise.problem import Batteries, SiteProblems, VaryingLimits


class CentralModel:
    """A linear programme that grows by columns and rows; times are rows of (count, T) tables of column numbers."""

    def __init__(self) -> None:
        self.low: list[F64] = []
        self.high: list[F64] = []
        self.cost: list[F64] = []
        self.size = self.rows = 0
        self.entries: list[tuple[I32, I32, F64]] = []
        self.between: list[tuple[F64, F64]] = []

    def columns(self, low: F64 | float, high: F64, cost: F64 | float) -> I32:
        """New variables of the shape of `high`; returns their numbers in that shape."""
        shape = high.shape
        self.low.append(np.broadcast_to(low, shape).ravel())
        self.high.append(high.ravel())
        self.cost.append(np.broadcast_to(cost, shape).ravel())
        found = self.size + np.arange(high.size, dtype=np.int32).reshape(shape)
        self.size += high.size
        return found

    def equations(self, low: F64, high: F64, *terms: tuple[I32, F64 | float]) -> None:
        """One row for each element of `low` (…): Σ factor × column, of tables broadcast with a further last axis."""
        numbers = self.rows + np.arange(low.size, dtype=np.int32).reshape(low.shape)
        for columns, factor in terms:
            shape = np.broadcast_shapes(columns.shape, np.shape(factor), (*low.shape, 1))
            rows = np.broadcast_to(numbers[..., None], shape)
            values = np.broadcast_to(factor, shape)
            self.entries.append((rows.ravel(), np.broadcast_to(columns, shape).ravel(), values.ravel()))
        self.between.append((low.ravel(), high.ravel()))
        self.rows += low.size

    def model(self) -> highspy.Highs:
        """The programme, ready to run on one thread."""
        model = highspy.Highs()
        model.setOptionValue("output_flag", False)  # noqa: FBT003 - highspy knows no keyword
        model.setOptionValue("threads", 1)
        model.addVars(self.size, np.concatenate(self.low), np.concatenate(self.high))
        model.changeColsCost(self.size, np.arange(self.size, dtype=np.int32), np.concatenate(self.cost))
        rows, columns, values = (np.concatenate(part) for part in zip(*self.entries, strict=True))
        order = np.argsort(rows, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=self.rows))[:-1]]).astype(np.int32)
        low, high = (np.concatenate(part) for part in zip(*self.between, strict=True))
        model.addRows(self.rows, low, high, order.size, starts, columns[order].astype(np.int32), values[order])
        return model


def build(
    problems: SiteProblems, *, parent: I32 | None = None, group: I32 | None = None, import_limit_kw: F64 | None = None,
    export_limit_kw: F64 | None = None, target_kw: F64 | None = None, raise_kw: F64 | None = None,
    lower_kw: F64 | None = None, duration: float = 0.0, penalty_per_kwh: float = 0.0,
) -> highspy.Highs:  # fmt: skip
    """All homes in one model; groups' limits (G, T), target and reserves (T,) may each be missed at the penalty."""
    central, hours = CentralModel(), problems.hours
    homes, steps = problems.homes, problems.intervals
    limits = problems.limits or VaryingLimits.of(problems.batteries, steps)
    tariff, price = problems.tariff, problems.coordination_per_kwh
    bought = central.columns(0.0, limits.import_limit_kw, (problems.import_per_kwh[tariff] + price) * hours)
    sold = central.columns(0.0, limits.export_limit_kw, -(problems.export_per_kwh[tariff] + price) * hours)
    solar = np.zeros((homes, steps)) if problems.curtailable_kw is None else problems.curtailable_kw
    off = central.columns(0.0, solar, 0.0)
    everyone = np.arange(homes, dtype=np.int32)
    alike: list[tuple[I32, Batteries, VaryingLimits, F64, F64]] = [
        (everyone, problems.batteries, limits, problems.stored_kwh, problems.terminal_per_kwh)
    ]
    if problems.devices is not None:
        own = problems.devices
        theirs = own.limits or VaryingLimits.of(own.batteries, steps)
        alike.append((own.home, own.batteries, theirs, own.stored_kwh, own.terminal_per_kwh))
    storages = [_storages(central, hours, *each) for each in alike]
    _homes(central, problems, limits, (bought, sold, off), storages, raise_kw, lower_kw, duration, penalty_per_kwh)
    if parent is not None and group is not None and import_limit_kw is not None and export_limit_kw is not None:
        for node in range(parent.size):
            inside = np.array([_under(parent, int(leaf), node) for leaf in group], np.bool_)
            finite = np.isfinite(import_limit_kw[node]).any() or np.isfinite(export_limit_kw[node]).any()
            if inside.any() and finite:
                _total(
                    central, hours, bought[inside], sold[inside], -export_limit_kw[node], import_limit_kw[node],
                    penalty_per_kwh,
                )  # fmt: skip
    if target_kw is not None:
        _total(central, hours, bought, sold, target_kw, target_kw, penalty_per_kwh)
    return central.model()


def _storages(
    central: CentralModel, hours: F64, home: I32, cells: Batteries, limits: VaryingLimits, start: F64, worth: F64
) -> tuple[I32, Batteries, VaryingLimits, I32, I32, I32]:  # fmt: skip
    wear = cells.wear_per_kwh[:, None] * hours
    charge = central.columns(0.0, limits.charge_limit_kw, wear)
    discharge = central.columns(0.0, limits.discharge_limit_kw, wear)
    left = np.zeros(limits.floor_kwh.shape)
    left[:, -1] = -worth
    stored = central.columns(limits.floor_kwh, limits.capacity_kwh, left)
    into, out = cells.charge_efficiency_ratio[:, None] * hours, hours / cells.discharge_efficiency_ratio[:, None]
    steps = hours.size
    for t in range(steps):
        terms: list[tuple[I32, F64 | float]] = [(stored[:, t, None], 1.0), (charge[:, t, None], -into[:, t, None])]
        terms += [(discharge[:, t, None], out[:, t, None])]
        terms += [(stored[:, t - 1, None], -1.0)] if t else []
        begin = np.zeros(start.size) if t else start
        central.equations(begin, begin, *terms)
    return home.astype(np.int32), cells, limits, charge, discharge, stored


def _homes(
    central: CentralModel, problems: SiteProblems, limits: VaryingLimits, connection: tuple[I32, I32, I32],
    storages: list[tuple[I32, Batteries, VaryingLimits, I32, I32, I32]], raise_kw: F64 | None, lower_kw: F64 | None,
    duration: float, penalty: float,
) -> None:  # fmt: skip
    """Each home's balance, and what it can hold in reserve."""
    bought, sold, off = connection
    homes, steps = bought.shape
    most = np.full((homes, steps), 1e4)
    kept = {
        name: central.columns(0.0, most, 0.0)
        for name, wanted in (("raise", raise_kw), ("lower", lower_kw))
        if wanted is not None
    }
    for home in range(homes):
        power: list[tuple[I32, float]] = []
        held: dict[str, list[tuple[I32, float]]] = {"raise": [], "lower": []}
        spare = {"raise": np.zeros(steps), "lower": np.zeros(steps)}
        stock = {"raise": np.zeros(steps), "lower": np.zeros(steps)}
        for owner, cells, own, charge, discharge, stored in storages:
            for row in np.flatnonzero(owner == home):
                out, into = (
                    float(cells.discharge_efficiency_ratio[row]),
                    1.0 / float(cells.charge_efficiency_ratio[row]),
                )
                power += [(charge[row, :, None], 1.0), (discharge[row, :, None], -1.0)]
                spare["raise"] += own.discharge_limit_kw[row]
                spare["lower"] += own.charge_limit_kw[row]
                held["raise"].append((stored[row, :, None], -out))
                held["lower"].append((stored[row, :, None], into))
                stock["raise"] -= out * own.floor_kwh[row]
                stock["lower"] += into * own.capacity_kwh[row]
        load = problems.net_load_kw[home]
        minus = [(columns, -factor) for columns, factor in power]
        central.equations(
            load, load, (bought[home, :, None], 1.0), (sold[home, :, None], -1.0), (off[home, :, None], -1.0), *minus
        )
        lowest = np.full(steps, -highspy.kHighsInf)
        for name, columns in kept.items():
            mine, sign = (columns[home, :, None], 1.0), 1.0 if name == "raise" else -1.0
            line = limits.export_limit_kw[home] if name == "raise" else limits.import_limit_kw[home]
            central.equations(lowest, spare[name], mine, *[(number, -sign * factor) for number, factor in power])
            central.equations(lowest, stock[name], (columns[home, :, None], duration), *held[name])
            central.equations(lowest, line, mine, (bought[home, :, None], -sign), (sold[home, :, None], sign))
    for name, wanted in (("raise", raise_kw), ("lower", lower_kw)):
        if wanted is not None:
            short = central.columns(0.0, np.full(steps, 1e6), penalty * problems.hours)
            free = np.full(steps, highspy.kHighsInf)
            central.equations(wanted, free, (kept[name].T, 1.0), (short[:, None], 1.0))


def _total(
    central: CentralModel, hours: F64, bought: I32, sold: I32, low: F64, high: F64, penalty: float
) -> None:  # fmt: skip
    """The homes' net power between `low` and `high` (T,), or else at the penalty."""
    most = np.full(hours.size, 1e6)
    over, under = central.columns(0.0, most, penalty * hours), central.columns(0.0, most, penalty * hours)
    central.equations(low, high, (bought.T, 1.0), (sold.T, -1.0), (over[:, None], -1.0), (under[:, None], 1.0))


def _under(parent: I32, leaf: int, node: int) -> bool:
    while leaf >= 0 and leaf != node:
        leaf = int(parent[leaf])
    return leaf == node


def optimal_cost(model: highspy.Highs) -> float:
    """The optimum, $, to rounding."""
    tighten(model)
    return run(model)
