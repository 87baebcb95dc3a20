"""The exact site optimiser: dynamic programming over convex piecewise-linear value functions by merging slopes.

Backwards in time V_t is the infimal convolution of V_{t+1} with the interval's cost as a function of the energy
change, so its slopes are V_{t+1}'s with at most four more, clipped to the energy bounds. The optimal energy change
as a function of the stored energy is a sum of clamped ramps, one for each added slope: a policy, exact for *any*
state of charge. Refuses what is not convex (export above import price, strongly negative prices, a least power):
never a wrong plan. One storage a home; `sites` plans homes of every kind.
Source: Powerflock design, section 6; infimal convolution in Rockafellar, Convex Analysis (1970), section 16.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

import numpy as np

from powerflock.curve.jit import kernel
from powerflock.curve.slopes import clip_left, clip_right, insert, value_at
from powerflock.domain.arrays import F64, I32
from powerflock.domain.errors import Infeasible, InvalidInput, NotConvex, PowerflockError
from powerflock.optimise.faults import faults
from powerflock.optimise.problem import SiteProblems
from powerflock.optimise.segments import SEGMENTS, curtailable_segments, interval_segments, power_of, ramp_change

_OK, _NOT_CONVEX, _INFEASIBLE, _FAULTY = 0, 1, 2, 3
_TOLERANCE, _SLACK = 1e-12, 1e-9

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
    """Optimal energy change at intervals 0 … K−1: most (S, K) less ramps `start, length` (S, K, 4), all kWh."""

    most_kwh: F64
    start: F64
    length: F64


@dataclass(frozen=True, slots=True)
class Plans:
    """`cost` (S,) $, optimal from `stored_kwh`; `battery_kw` (S, T); what was asked to be kept of V and the policy.

    `curtailed_kw` (S, T) is the solar switched off, None where none may be.

    `errors` names the homes that have no plan: their rows are NaN, their value functions without slopes.
    """

    cost: F64
    battery_kw: F64
    values: ValueFunctions
    policies: Policies
    curtailed_kw: F64 | None = None
    errors: Mapping[int, PowerflockError] = field(default_factory=dict)


@kernel
def _ascending(slope: F64, count: int) -> bool:
    for index in range(1, count):  # noqa: SIM110 - numba compiles loops, not generators
        if slope[index] < slope[index - 1] - _TOLERANCE:
            return False
    return True


@kernel
def _write_ramp(ramp: F64, most: float, begins: F64, length: F64, count: int) -> None:
    ramp[0] = most
    for index in range(SEGMENTS):
        ramp[1 + index] = begins[index] if index < count else 0.0
        ramp[1 + SEGMENTS + index] = length[index] if index < count else 0.0


@kernel
def _append(slope: F64, length: F64, first: int, end: int, lists: F64, used: int) -> int:
    """Copy the pieces from `first` to `end` into `lists` from `used` on; returns how many. Those of one slope are one.

    A tariff has few prices: hundreds of pieces of an owner's value function have three slopes or four.
    """
    at = used - 1
    for index in range(first, end):
        if length[index] == 0.0:
            continue
        if at >= used and lists[0, at] == slope[index]:
            lists[1, at] += length[index]
        else:
            at += 1
            lists[0, at], lists[1, at] = slope[index], length[index]
    return at + 1 - used


@kernel
def _backward(
    hours: F64, net: F64, buy: F64, sell: F64, price: F64, solar: F64, terminal: float, stored: float,
    cell: F64, varying: F64, keep: int, work: F64, ramps: F64, left_out: F64, base_out: F64, count_out: I32,
    lists: F64, used: int,
) -> tuple[int, int, float, int]:  # fmt: skip
    """Value functions and policy of one home, from the horizon back: (status, interval, cost from `stored`, used).

    The value functions to keep are appended to `lists` (slopes, lengths) from `used` on, the last interval's first.
    """
    slope, length, add_slope, add_length, begins = work[0], work[1], work[2], work[3], work[4]
    charge, discharge, into, out, wear = cell[0], cell[1], cell[2], 1.0 / cell[3], cell[4]
    floor, capacity, import_limit, export_limit = cell[5], cell[6], cell[7], cell[8]
    last, varies, roof = hours.size - 1, varying.size > 0, 0.0
    if varies:
        floor, capacity = varying[last, 2], varying[last, 3]
    left, right, base = floor, capacity, -terminal * floor
    slope[0], length[0] = -terminal, capacity - floor
    first, end = 0, 1
    for step in range(last + 1, -1, -1):
        if step <= last:
            if varies:
                charge, discharge = varying[step, 0], varying[step, 1]
                import_limit, export_limit = varying[step, 4], varying[step, 5]
                floor, capacity = varying[max(step - 1, 0), 2], varying[max(step - 1, 0), 3]
            if step == 0:
                floor, capacity = min(floor, stored), max(capacity, stored)
            load, dear, cheap = net[step], buy[step] + price[step], sell[step] + price[step]
            high = min(charge, import_limit - load)
            if solar.size > 0:
                roof = solar[step]
            if roof > 0.0:
                added, most, least, cost = curtailable_segments(
                    load, dear, cheap, roof, hours[step], high, max(-discharge, -export_limit - load - roof),
                    into, out, wear, import_limit, export_limit, add_slope, add_length,
                )  # fmt: skip
            else:
                added, most, least, cost = interval_segments(
                    load, dear, cheap, hours[step], high, max(-discharge, -export_limit - load),
                    into, out, wear, add_slope, add_length,
                )  # fmt: skip
            if added < 0:
                return _INFEASIBLE, step, 0.0, used
            if dear < cheap or not _ascending(add_slope, added):
                return _NOT_CONVEX, step, 0.0, used
            left, right, base = left - most, right - least, base + cost
            end = insert(slope, length, first, end, add_slope, add_length, added, right, begins)
            _write_ramp(ramps[step], most, begins, add_length, added)
            end = clip_right(length, first, end, right - capacity)
            first, rise = clip_left(slope, length, first, end, floor - left)
            left, right, base = max(left, floor), min(right, capacity), base + rise
            if left > right + _SLACK:
                return _INFEASIBLE, step, 0.0, used
        if step <= keep:
            pieces = _append(slope, length, first, end, lists, used)
            left_out[step], base_out[step], count_out[step] = left, base, pieces
            used += pieces
    if stored < left - _SLACK or stored > right + _SLACK:
        return _INFEASIBLE, 0, 0.0, used
    return _OK, 0, value_at(left, base, slope[first:end], length[first:end], end - first, stored), used


@kernel
def _forward(hours: F64, stored: float, cell: F64, varying: F64, ramps: F64, power_out: F64) -> None:
    """Follow the policy from `stored`."""
    floor, capacity, charge_efficiency, discharge_efficiency = cell[5], cell[6], cell[2], cell[3]
    for step in range(hours.size):
        if varying.size > 0:
            floor, capacity = varying[step, 2], varying[step, 3]
        change = ramp_change(ramps[step], stored)
        change = min(max(change, floor - stored), capacity - stored)
        power_out[step] = power_of(change, hours[step], charge_efficiency, discharge_efficiency)
        stored += change


@kernel
def _solve_block(
    hours: F64, net: F64, buy: F64, sell: F64, tariff: I32, price: F64, solar: F64, terminal: F64, stored: F64,
    cells: F64, varying: F64, keep: int, cost: F64, status: I32, left: F64, base: F64, count: I32, lists: F64,
    ramps: F64, power: F64,
) -> int:  # fmt: skip
    """Solve the homes one by one, but for the faulty; returns how much of `lists` is used."""
    work = np.empty((5, SEGMENTS * (hours.size + 1)))
    home_ramps = np.empty((hours.size, 1 + 2 * SEGMENTS))
    used = 0
    for home in range(net.shape[0]):
        power[home] = np.nan
        if status[home, 0] != _OK:
            continue
        row, cell = tariff[home], cells[home]
        limits = varying[home] if varying.shape[0] > 0 else varying.reshape(0, 6)
        roof = solar[home] if solar.shape[0] > 0 else solar.reshape(0)
        status[home, 0], status[home, 1], found, used = _backward(
            hours, net[home], buy[row], sell[row], price, roof, terminal[home], stored[home], cell, limits, keep,
            work, home_ramps, left[home], base[home], count[home], lists, used,
        )  # fmt: skip
        if cell[9] > 0.0 or cell[10] > 0.0:
            status[home, 0], status[home, 1] = _NOT_CONVEX, 0
        if status[home, 0] == _OK:
            cost[home] = found
            _forward(hours, stored[home], cell, limits, home_ramps, power[home])
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
    plans = solve_each(problems, keep, mapper, block)
    for _, error in sorted(plans.errors.items()):
        raise error
    return plans


def solve_each(problems: SiteProblems, keep: int = 1, mapper: Mapper = map, block: int = 512) -> Plans:
    """As `solve`, but a home that cannot be planned costs the others nothing: see `Plans.errors`.

    Raises `InvalidInput` only for what concerns all homes.
    """
    found = faults(problems)
    if problems.devices is not None:
        raise InvalidInput("devices", int(problems.devices.home.size), "must be None here", "Use `plan_sites`.")
    homes, intervals = problems.homes, problems.intervals
    if not 0 <= keep <= intervals:
        raise InvalidInput("keep", keep, f"must lie between 0 and the {intervals} intervals")
    if block < 1:
        raise InvalidInput("block", block, "must be 1 home or more")
    out = _Columns(homes, intervals, keep)
    out.status[list(found), 0] = _FAULTY
    blocks = [slice(start, min(start + block, homes)) for start in range(0, homes, block)]
    lists = list(mapper(lambda rows: out.solve_block(problems.rows(rows), rows), blocks))
    ramps = out.ramps
    policies = Policies(ramps[:, :, 0], ramps[:, :, 1 : 1 + SEGMENTS], ramps[:, :, 1 + SEGMENTS :])
    found |= _errors(problems, out.status)
    return Plans(out.cost, out.power, out.values(blocks, lists), policies, curtailment(problems, out.power), found)


def curtailment(problems: SiteProblems, battery_kw: F64) -> F64 | None:
    """(S, T) solar that is best switched off beside `battery_kw` (S, T), where buying costs no less than selling.

    None where none may be. The rule is `segments.curtailed`, over columns.
    """
    solar, cells, limits = problems.curtailable_kw, problems.batteries, problems.limits
    if solar is None:
        return None
    most = cells.import_limit_kw[:, None] if limits is None else limits.import_limit_kw
    least = -cells.export_limit_kw[:, None] if limits is None else -limits.export_limit_kw
    net = problems.net_load_kw + battery_kw
    free = problems.export_per_kwh[problems.tariff] + problems.coordination_per_kwh < 0
    paid = problems.import_per_kwh[problems.tariff] + problems.coordination_per_kwh < 0
    wanted = np.where(free, np.where(paid, most, 0.0), least) - net
    return np.asarray(np.minimum(np.maximum(wanted, 0.0), solar))


class _Columns:
    """What a batch's blocks fill in, side by side."""

    def __init__(self, homes: int, intervals: int, keep: int) -> None:
        kept = (homes, keep + 1)
        self.cost, self.power = np.full(homes, np.nan), np.empty((homes, intervals))
        self.status, self.count = np.zeros((homes, 2), np.int32), np.zeros(kept, np.int32)
        self.left, self.base = np.full(kept, np.nan), np.full(kept, np.nan)
        self.ramps = np.zeros((homes, keep, 1 + 2 * SEGMENTS))

    def solve_block(self, part: SiteProblems, rows: slice) -> F64:
        """Solve the homes of `rows`, which are `part`; returns the kept slopes and lengths, one after another."""
        keep, steps = self.left.shape[1] - 1, part.intervals
        lists = np.empty((2, part.homes * (keep + 1) * (SEGMENTS * steps + 1)))  # room; most is never touched
        varying = np.empty((0, steps, 6)) if part.limits is None else part.limits.stacked()
        solar = np.empty((0, steps)) if part.curtailable_kw is None else part.curtailable_kw
        used = _solve_block(
            part.hours, part.net_load_kw, part.import_per_kwh, part.export_per_kwh, part.tariff,
            part.coordination_per_kwh, solar, part.terminal_per_kwh, part.stored_kwh, part.batteries.stacked(),
            varying, keep, self.cost[rows], self.status[rows], self.left[rows], self.base[rows], self.count[rows],
            lists, self.ramps[rows], self.power[rows],
        )  # fmt: skip
        return lists[:, :used].copy()

    def values(self, blocks: list[slice], lists: list[F64]) -> ValueFunctions:
        """The kept value functions, padded to the widest."""
        widest = int(self.count.max(initial=1))
        slope, length = (np.zeros((*self.left.shape, widest)) for _ in range(2))
        for rows, found in zip(blocks, lists, strict=True):
            _spread(self.count[rows], found, slope[rows], length[rows])
        failed = self.status[:, 0] != _OK
        self.count[failed], self.left[failed], self.base[failed] = 0, np.nan, np.nan
        return ValueFunctions(self.left, self.base, self.count, slope, length)


def _errors(problems: SiteProblems, status: I32) -> dict[int, InvalidInput]:
    """Why each home without a plan has none, but for those known to be faulty."""
    found: dict[int, InvalidInput] = {}
    for home in np.flatnonzero((status[:, 0] == _NOT_CONVEX) | (status[:, 0] == _INFEASIBLE)).tolist():
        interval = int(status[home, 1])
        thing, load = f"home {home}, interval {interval}: net load", float(problems.net_load_kw[home, interval])
        if status[home, 0] == _NOT_CONVEX:
            found[home] = NotConvex(
                thing, load,
                "the interval's cost is not convex (export above import price, a price so negative that losses pay, or "
                "a least power)",
                "Use `plan_sites`, which solves it exactly another way; `convexified` raises prices that are too low.",
            )  # fmt: skip
        else:
            found[home] = Infeasible(
                thing, load, "no battery power keeps the connection and the stored energy within their limits",
                "Widen the connection's import or export limit, or the battery's.",
            )  # fmt: skip
    return found


def lowest_convex_price(problems: SiteProblems) -> F64:
    """(T,) the lowest coordination price at which no home's battery gains by losing energy, in each interval, $/kWh.

    With price c at the battery's own zero, charging and discharging at once pays when
    c·(1/η_c − η_d) + wear·(1/η_c + η_d) < 0; the export price is the lower of the two, so it decides. Unsound homes
    (see `faults`) do not count; export above import and least powers stay as they are, not convex at any price.
    """
    cells = problems.batteries
    with np.errstate(all="ignore"):
        spread = 1.0 / cells.charge_efficiency_ratio - cells.discharge_efficiency_ratio
        total = 1.0 / cells.charge_efficiency_ratio + cells.discharge_efficiency_ratio
        floor = np.where(spread > 0, -cells.wear_per_kwh * total / spread, -np.inf)
    floor = np.where(np.isfinite(floor), floor, -np.inf)
    rows = problems.export_per_kwh.shape[0]
    by_tariff = np.full(rows, -np.inf)
    np.maximum.at(by_tariff, problems.tariff, floor)
    return np.asarray((by_tariff[:, None] - problems.export_per_kwh).max(axis=0) + 1e-9)


def convexified(problems: SiteProblems) -> SiteProblems:
    """The same problems with the coordination price raised to `lowest_convex_price` where it is below."""
    lowest = lowest_convex_price(problems)
    return replace(problems, coordination_per_kwh=np.maximum(problems.coordination_per_kwh, lowest))
