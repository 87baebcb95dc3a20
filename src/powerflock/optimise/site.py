"""The exact site optimiser: dynamic programming over convex piecewise-linear value functions by merging slopes.

Backwards in time V_t is the infimal convolution of V_{t+1} with the interval's cost as a function of the energy
change, so its slopes are V_{t+1}'s with at most three more, clipped to the energy bounds. The optimal energy change
as a function of the stored energy is a sum of clamped ramps, one for each added slope: a policy, exact for *any*
state of charge. Refuses what is not convex (export above import price, strongly negative prices): never a wrong plan.
Source: Powerflock design, section 6; infimal convolution in Rockafellar, Convex Analysis (1970), section 16.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from powerflock.curve.jit import kernel
from powerflock.curve.slopes import clip_left, clip_right, merge, value_at
from powerflock.domain.arrays import F64, I32
from powerflock.domain.errors import Infeasible, InvalidInput, NotConvex
from powerflock.optimise.problem import SiteProblems, check_problems

SEGMENTS = 3
_OK, _NOT_CONVEX, _INFEASIBLE = 0, 1, 2
_TOLERANCE = 1e-12

A = TypeVar("A")
B = TypeVar("B")


class Mapper(Protocol):
    """`map`, or an executor's `map` when the caller owns threads."""

    def __call__(self, function: Callable[[A], B], items: Iterable[A], /) -> Iterable[B]:
        """Apply `function` to each item, results in order."""


@dataclass(frozen=True, slots=True)
class ValueFunctions:
    """Cost-to-go V_t(stored) of S homes at the starts of intervals 0 … K.

    `left, base, count` are (S, K+1), `slope, length` (S, K+1, M).
    """

    left: F64
    base: F64
    count: I32
    slope: F64
    length: F64


@dataclass(frozen=True, slots=True)
class Policies:
    """Optimal energy change at intervals 0 … K−1: most (S, K) less ramps `start, length` (S, K, 3), all kWh."""

    most_kwh: F64
    start: F64
    length: F64


@dataclass(frozen=True, slots=True)
class Plans:
    """`cost` (S,) $, optimal from `stored_kwh`; `battery_kw` (S, T); what was asked to be kept of V and the policy."""

    cost: F64
    battery_kw: F64
    values: ValueFunctions
    policies: Policies


@kernel
def interval_segments(
    net_kw: float, buy: float, sell: float, hours: float, cell: F64, slope: F64, length: F64
) -> tuple[int, float, float, float]:
    """One interval's cost by *falling* energy change: (count, most kWh, least kWh, cost at most).

    A count of −1 says that no power is feasible.
    `cell` (9,) as in `Batteries`; `slope, length` (3,) receive d cost / d(−energy change) and kWh, ascending if convex.
    """
    power = min(cell[0], cell[7] - net_kw)
    lowest = max(-cell[1], -cell[8] - net_kw)
    if power < lowest:
        return -1, 0.0, 0.0, 0.0
    most = power * hours * cell[2] if power > 0.0 else power * hours / cell[3]
    net = net_kw + power
    cost = (net * (buy if net > 0.0 else sell) + cell[4] * abs(power)) * hours
    least = lowest * hours * cell[2] if lowest > 0.0 else lowest * hours / cell[3]
    count = 0
    for step in range(SEGMENTS):
        stop = max(0.0, -net_kw) if step == 0 else (min(0.0, -net_kw) if step == 1 else lowest)
        stop = min(max(stop, lowest), power)
        if power - stop <= 0.0:
            continue
        middle = 0.5 * (power + stop)
        price = buy if net_kw + middle > 0.0 else sell
        if middle > 0.0:
            slope[count] = -(price + cell[4]) / cell[2]
            length[count] = (power - stop) * hours * cell[2]
        else:
            slope[count] = -(price - cell[4]) * cell[3]
            length[count] = (power - stop) * hours / cell[3]
        count += 1
        power = stop
    return count, most, least, cost


@kernel
def power_of(change_kwh: float, hours: float, charge_efficiency: float, discharge_efficiency: float) -> float:
    """Battery power in kW that changes the stored energy by `change_kwh` in `hours`."""
    if change_kwh > 0.0:
        return change_kwh / (hours * charge_efficiency)
    return change_kwh * discharge_efficiency / hours


@kernel
def _solve_home(
    home: int, hours: F64, net: F64, buy: F64, sell: F64, price: F64, terminal: float, stored: float, cell: F64,
    keep: int, work: F64, ramps: F64, left_out: F64, base_out: F64, count_out: I32, slope_out: F64, length_out: F64,
    power_out: F64,
) -> tuple[int, int, float]:  # fmt: skip
    """Backward pass (values and policy), then forward pass (plan) for one home: (status, interval, cost)."""
    slope, length, other_slope, other_length = work[0], work[1], work[2], work[3]
    add_slope, add_length, added_at = work[4], work[5], work[6]
    floor, capacity = cell[5], cell[6]
    left, right, base = floor, capacity, -terminal * floor
    slope[0], length[0] = -terminal, capacity - floor
    count = 1
    for back in range(hours.size + 1):
        step = hours.size - back
        if back > 0:
            added, most, least, cost = interval_segments(
                net[step], buy[step] + price[step], sell[step] + price[step], hours[step], cell, add_slope, add_length
            )
            if added < 0:
                return _INFEASIBLE, step, 0.0
            if buy[step] < sell[step]:
                return _NOT_CONVEX, step, 0.0
            for index in range(1, added):
                if add_slope[index] < add_slope[index - 1] - _TOLERANCE:
                    return _NOT_CONVEX, step, 0.0
            count = merge(slope, length, count, add_slope, add_length, added, other_slope, other_length, added_at)
            left, right, base = left - most, right - least, base + cost
            ramps[step, 0] = most
            for index in range(SEGMENTS):
                ramps[step, 1 + index] = left + added_at[index]
                ramps[step, 4 + index] = add_length[index] if index < added else 0.0
            end = clip_right(other_length, 0, count, right - capacity)
            skipped, rise = clip_left(other_slope, other_length, end, floor - left)
            left, right, base = max(left, floor), min(right, capacity), base + rise
            if left > right + 1e-9:
                return _INFEASIBLE, step, 0.0
            count = end - skipped
            for index in range(count):
                slope[index] = other_slope[skipped + index]
                length[index] = other_length[skipped + index]
        if step <= keep:
            left_out[home, step], base_out[home, step], count_out[home, step] = left, base, count
            slope_out[home, step, :count] = slope[:count]
            length_out[home, step, :count] = length[:count]
    if stored < left - 1e-9 or stored > right + 1e-9:
        return _INFEASIBLE, 0, 0.0
    cost = value_at(left, base, slope, length, count, stored)
    for step in range(hours.size):
        change = ramp_change(ramps[step], stored)
        change = min(max(change, floor - stored), capacity - stored)
        power_out[home, step] = power_of(change, hours[step], cell[2], cell[3])
        stored += change
    return _OK, 0, cost


@kernel
def ramp_change(ramp: F64, stored: float) -> float:
    """Optimal energy change in kWh at `stored` kWh: `ramp` (7,) is most, three starts, three lengths."""
    change = ramp[0]
    for index in range(1, 1 + SEGMENTS):
        change -= min(max(stored - ramp[index], 0.0), ramp[index + SEGMENTS])
    return float(change)


@kernel
def _solve_block(
    hours: F64, net: F64, buy: F64, sell: F64, tariff: I32, price: F64, terminal: F64, stored: F64, cells: F64,
    keep: int, cost: F64, status: I32, left: F64, base: F64, count: I32, slope: F64, length: F64, ramps: F64,
    power: F64,
) -> None:  # fmt: skip
    work = np.empty((7, SEGMENTS * (hours.size + 1) + 4))
    home_ramps = np.empty((hours.size, 1 + 2 * SEGMENTS))
    for home in range(net.shape[0]):
        row = tariff[home]
        status[home, 0], status[home, 1], cost[home] = _solve_home(
            home, hours, net[home], buy[row], sell[row], price, terminal[home], stored[home], cells[home], keep,
            work, home_ramps, left, base, count, slope, length, power,
        )  # fmt: skip
        ramps[home] = home_ramps[: ramps.shape[1]]


def solve(problems: SiteProblems, keep: int = 1, mapper: Mapper = map, block: int = 256) -> Plans:
    """Exact plans for S homes, keeping V for the starts of intervals 0 … `keep` and the policy of the first `keep`.

    `mapper` may be an executor's `map`: blocks of `block` homes are independent and the kernels release the GIL.
    Raises `InvalidInput` (bad columns), `NotConvex` and `Infeasible`, naming the home, the interval and the remedy.
    """
    check_problems(problems)
    if not 0 <= keep <= problems.intervals:
        raise InvalidInput("keep", keep, f"must lie between 0 and the {problems.intervals} intervals")
    blocks = [problems.rows(slice(at, at + block)) for at in range(0, max(problems.homes, 1), block)]
    parts = list(mapper(lambda part: _solve_rows(part, keep), blocks))
    widest = max(part.values.slope.shape[2] for part in parts)
    values = [_widen(part.values, widest) for part in parts]
    return Plans(
        np.concatenate([part.cost for part in parts]),
        np.concatenate([part.battery_kw for part in parts]),
        ValueFunctions(*(np.concatenate(columns) for columns in zip(*map(_columns, values), strict=True))),
        Policies(
            np.concatenate([part.policies.most_kwh for part in parts]),
            np.concatenate([part.policies.start for part in parts]),
            np.concatenate([part.policies.length for part in parts]),
        ),
    )


def _solve_rows(problems: SiteProblems, keep: int) -> Plans:
    homes, intervals = problems.net_load_kw.shape
    cells = problems.batteries.stacked()
    cost, status = np.zeros(homes), np.zeros((homes, 2), np.int32)
    power = np.zeros((homes, intervals))
    ramps = np.zeros((homes, keep, 1 + 2 * SEGMENTS))
    shape, most = (homes, keep + 1), SEGMENTS * intervals + 1
    left, base, count = np.zeros(shape), np.zeros(shape), np.zeros(shape, np.int32)
    slope, length = np.zeros((*shape, most)), np.zeros((*shape, most))
    _solve_block(
        problems.hours, problems.net_load_kw, problems.import_per_kwh, problems.export_per_kwh, problems.tariff,
        problems.coordination_per_kwh, problems.terminal_per_kwh, problems.stored_kwh, cells, keep,
        cost, status, left, base, count, slope, length, ramps, power,
    )  # fmt: skip
    _raise_first(problems, status)
    widest = int(count.max(initial=1))
    slope, length = slope[:, :, :widest].copy(), length[:, :, :widest].copy()
    starts, lengths = ramps[:, :, 1 : 1 + SEGMENTS], ramps[:, :, 1 + SEGMENTS :]
    return Plans(
        cost, power, ValueFunctions(left, base, count, slope, length), Policies(ramps[:, :, 0], starts, lengths)
    )


def _raise_first(problems: SiteProblems, status: I32) -> None:
    for code, error, bound, remedy in (
        (
            _NOT_CONVEX, NotConvex,
            "the interval's cost is not convex (export above import price, or a price so negative that losses pay)",
            "Raise the coordination price to `lowest_convex_price` or plan this home with another method.",
        ),
        (
            _INFEASIBLE, Infeasible, "no battery power keeps the connection within its limits",
            "Widen the connection's import or export limit, or the battery's.",
        ),
    ):  # fmt: skip
        rows = np.flatnonzero(status[:, 0] == code)
        if rows.size:
            home, interval = int(rows[0]), int(status[rows[0], 1])
            raise error(
                f"home {home}, interval {interval}: net load",
                float(problems.net_load_kw[home, interval]),
                bound,
                remedy,
            )


def lowest_convex_price(problems: SiteProblems) -> F64:
    """(T,) the lowest coordination price at which every home's problem is convex in each interval, $/kWh.

    With price c at the battery's own zero, charging and discharging at once pays when
    c·(1/η_c − η_d) + wear·(1/η_c + η_d) < 0; the export price is the lower of the two, so it decides.
    """
    cells = problems.batteries
    spread = 1.0 / cells.charge_efficiency_ratio - cells.discharge_efficiency_ratio
    total = 1.0 / cells.charge_efficiency_ratio + cells.discharge_efficiency_ratio
    floor = np.where(spread > 0, -cells.wear_per_kwh * total / np.where(spread > 0, spread, 1.0), -np.inf)
    rows = problems.export_per_kwh.shape[0]
    by_tariff = np.full(rows, -np.inf)
    np.maximum.at(by_tariff, problems.tariff, floor)
    return np.asarray((by_tariff[:, None] - problems.export_per_kwh).max(axis=0) + 1e-9)


def _columns(values: ValueFunctions) -> tuple[F64, F64, I32, F64, F64]:
    return values.left, values.base, values.count, values.slope, values.length


def _widen(values: ValueFunctions, room: int) -> ValueFunctions:
    extra = ((0, 0), (0, 0), (0, room - values.slope.shape[2]))
    return ValueFunctions(
        values.left, values.base, values.count, np.pad(values.slope, extra), np.pad(values.length, extra)
    )
