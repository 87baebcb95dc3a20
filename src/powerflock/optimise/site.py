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
from powerflock.curve.slopes import clip_left, clip_right, insert, value_at
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
    From the top: charging on bought power; then charging on surplus solar, or discharging into the own load;
    then discharging into the grid. Written without branches: which pieces exist is as good as random to a processor.
    """
    power = min(cell[0], cell[7] - net_kw)
    lowest = max(-cell[1], -cell[8] - net_kw)
    if power < lowest:
        return -1, 0.0, 0.0, 0.0
    upper = min(max(0.0, -net_kw, lowest), power)
    lower = min(max(min(0.0, -net_kw), lowest), upper)
    cheaper, surplus = 1.0 / cell[2], net_kw < 0.0
    into, out = hours * cell[2], hours / cell[3]
    slope[0] = -(buy + cell[4]) * cheaper
    length[0] = (power - upper) * into
    count = int(power > upper)
    slope[count] = -((sell + cell[4]) if surplus else (buy - cell[4])) * (cheaper if surplus else cell[3])
    length[count] = (upper - lower) * (into if surplus else out)
    count += int(upper > lower)
    slope[count] = -(sell - cell[4]) * cell[3]
    length[count] = (lower - lowest) * out
    count += int(lower > lowest)
    most = power * (into if power > 0.0 else out)
    least = lowest * (into if lowest > 0.0 else out)
    net = net_kw + power
    return count, most, least, (net * (buy if net > 0.0 else sell) + cell[4] * abs(power)) * hours


@kernel
def power_of(change_kwh: float, hours: float, charge_efficiency: float, discharge_efficiency: float) -> float:
    """Battery power in kW that changes the stored energy by `change_kwh` in `hours`."""
    if change_kwh > 0.0:
        return change_kwh / (hours * charge_efficiency)
    return change_kwh * discharge_efficiency / hours


@kernel
def _solve_home(
    hours: F64, net: F64, buy: F64, sell: F64, price: F64, terminal: float, stored: float, cell: F64, keep: int,
    work: F64, ramps: F64, left_out: F64, base_out: F64, count_out: I32, lists: F64, used: int, power_out: F64,
) -> tuple[int, int, float, int]:  # fmt: skip
    """Backward pass (values and policy), then forward pass (plan) for one home: (status, interval, cost, used).

    The value functions to keep are appended to `lists` (slopes, lengths) from `used` on, the last interval's first.
    """
    slope, length, add_slope, add_length, begins = work[0], work[1], work[2], work[3], work[4]
    floor, capacity = cell[5], cell[6]
    left, right, base = floor, capacity, -terminal * floor
    slope[0], length[0] = -terminal, capacity - floor
    first, end = 0, 1
    for step in range(hours.size, -1, -1):
        if step < hours.size:
            added, most, least, cost = interval_segments(
                net[step], buy[step] + price[step], sell[step] + price[step], hours[step], cell, add_slope, add_length
            )
            if added < 0:
                return _INFEASIBLE, step, 0.0, used
            if buy[step] < sell[step]:
                return _NOT_CONVEX, step, 0.0, used
            for index in range(1, added):
                if add_slope[index] < add_slope[index - 1] - _TOLERANCE:
                    return _NOT_CONVEX, step, 0.0, used
            left, right, base = left - most, right - least, base + cost
            end = insert(slope, length, first, end, add_slope, add_length, added, right, begins)
            ramps[step, 0] = most
            for index in range(SEGMENTS):
                ramps[step, 1 + index] = begins[index] if index < added else 0.0
                ramps[step, 1 + SEGMENTS + index] = add_length[index] if index < added else 0.0
            end = clip_right(length, first, end, right - capacity)
            first, rise = clip_left(slope, length, first, end, floor - left)
            left, right, base = max(left, floor), min(right, capacity), base + rise
            if left > right + 1e-9:
                return _INFEASIBLE, step, 0.0, used
        if step <= keep:
            left_out[step], base_out[step], count_out[step] = left, base, end - first
            for index in range(first, end):
                lists[0, used], lists[1, used] = slope[index], length[index]
                used += 1
    if stored < left - 1e-9 or stored > right + 1e-9:
        return _INFEASIBLE, 0, 0.0, used
    cost = value_at(left, base, slope[first:end], length[first:end], end - first, stored)
    for step in range(hours.size):
        change = ramp_change(ramps[step], stored)
        change = min(max(change, floor - stored), capacity - stored)
        power_out[step] = power_of(change, hours[step], cell[2], cell[3])
        stored += change
    return _OK, 0, cost, used


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
    keep: int, cost: F64, status: I32, left: F64, base: F64, count: I32, lists: F64, ramps: F64, power: F64,
) -> int:  # fmt: skip
    """Solve the homes one by one; returns how much of `lists` is used."""
    work = np.empty((5, SEGMENTS * (hours.size + 1)))
    home_ramps = np.empty((hours.size, 1 + 2 * SEGMENTS))
    used = 0
    for home in range(net.shape[0]):
        row = tariff[home]
        status[home, 0], status[home, 1], cost[home], used = _solve_home(
            hours, net[home], buy[row], sell[row], price, terminal[home], stored[home], cells[home], keep,
            work, home_ramps, left[home], base[home], count[home], lists, used, power[home],
        )  # fmt: skip
        ramps[home] = home_ramps[: ramps.shape[1]]
    return used


@kernel
def _spread(count: I32, lists: F64, slope: F64, length: F64) -> None:
    """Lay out a block's kept lists, one after another in `lists`, in rows of (homes, K+1, M) zeros."""
    used = 0
    for home in range(count.shape[0]):
        for step in range(count.shape[1] - 1, -1, -1):
            for index in range(count[home, step]):
                slope[home, step, index], length[home, step, index] = lists[0, used], lists[1, used]
                used += 1


def solve(problems: SiteProblems, keep: int = 1, mapper: Mapper = map, block: int = 512) -> Plans:
    """Exact plans for S homes, keeping V for the starts of intervals 0 … `keep` and the policy of the first `keep`.

    `mapper` may be an executor's `map`: blocks of `block` homes are independent and the kernels release the GIL.
    Raises `InvalidInput` (bad columns), `NotConvex` and `Infeasible`, naming the home, the interval and the remedy.
    """
    check_problems(problems)
    homes, intervals = problems.homes, problems.intervals
    if not 0 <= keep <= intervals:
        raise InvalidInput("keep", keep, f"must lie between 0 and the {intervals} intervals")
    if block < 1:
        raise InvalidInput("block", block, "must be 1 home or more")
    kept = (homes, keep + 1)
    cost, status, power = np.empty(homes), np.zeros((homes, 2), np.int32), np.empty((homes, intervals))
    left, base, count = np.empty(kept), np.empty(kept), np.empty(kept, np.int32)
    ramps = np.empty((homes, keep, 1 + 2 * SEGMENTS))
    blocks = [slice(start, min(start + block, homes)) for start in range(0, homes, block)]

    def solve_block(rows: slice) -> F64:
        part = problems.rows(rows)
        lists = np.empty((2, part.homes * (keep + 1) * (SEGMENTS * intervals + 1)))  # room; most is never touched
        used = _solve_block(
            part.hours, part.net_load_kw, part.import_per_kwh, part.export_per_kwh, part.tariff,
            part.coordination_per_kwh, part.terminal_per_kwh, part.stored_kwh, part.batteries.stacked(), keep,
            cost[rows], status[rows], left[rows], base[rows], count[rows], lists, ramps[rows], power[rows],
        )  # fmt: skip
        return lists[:, :used].copy()

    found = list(mapper(solve_block, blocks))
    _raise_first(problems, status)
    widest = int(count.max(initial=1))
    slope, length = np.zeros((*kept, widest)), np.zeros((*kept, widest))
    for rows, lists in zip(blocks, found, strict=True):
        _spread(count[rows], lists, slope[rows], length[rows])
    policies = Policies(ramps[:, :, 0], ramps[:, :, 1 : 1 + SEGMENTS], ramps[:, :, 1 + SEGMENTS :])
    return Plans(cost, power, ValueFunctions(left, base, count, slope, length), policies)


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
