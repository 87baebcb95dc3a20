"""The exact optimiser for homes that are not convex: dynamic programming over any piecewise-linear value functions.

Export priced above import, prices so negative that losses pay, least powers, solar to switch off, limits that vary.
Invariants: no storage charges and discharges at once; a plan's cost is its value function's at the start, or the home
is refused. One storage a home; `sites` decides which homes come here. `stages` has the mathematics.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from powerflock.curve.jit import kernel
from powerflock.curve.piecewise import restrict, value
from powerflock.domain.arrays import F64, I64
from powerflock.domain.errors import Infeasible, InvalidInput
from powerflock.optimise.faults import faults
from powerflock.optimise.problem import SiteProblems
from powerflock.optimise.segments import power_of
from powerflock.optimise.site import Mapper
from powerflock.optimise.stages import COST_POINTS, SLACK_KWH, best_change, interval_cost, least_bill, step_back

_OK, _INFEASIBLE, _FULL, _LOST, _FAULTY = 0, 1, 2, 3, 4
MOST_POINTS = 16_384
"""A value function with more points is given up: storages that only run at one power can have endlessly many."""
POINTS = 128
_AGREE = 1e-6


@dataclass(frozen=True, slots=True)
class EnvelopeValues:
    """Cost-to-go V_t(stored) of H homes at the starts of intervals 0 … K, as polylines one after another.

    Row r = home·(K+1) + t has the points from `offsets[r]` to `offsets[r + 1]` of `points` (3, N): stored kWh, cost in
    $, and 1 where a point is joined to the next (see `curve.piecewise`). A home without a plan has no points.
    """

    keep: int
    offsets: I64
    points: F64


@dataclass(frozen=True, slots=True)
class EnvelopePlans:
    """`homes` (H,) that were planned: `cost` (H,) $, `battery_kw` and `curtailed_kw` (H, T), and the kept `values`.

    `errors` says by home of the whole batch why it has no plan: its row is NaN. `Infeasible` is proven; any other error
    is not, and the home is for another method.
    """

    homes: I64
    cost: F64
    battery_kw: F64
    curtailed_kw: F64
    values: EnvelopeValues
    errors: dict[int, InvalidInput] = field(default_factory=dict)


@kernel
def _limits_at(cell: F64, varying: F64, step: int, now: F64) -> None:
    """Fill `now` (11,) with the battery's columns as they are in interval `step`."""
    for index in range(cell.size):
        now[index] = cell[index]
    if varying.size > 0:
        now[0], now[1], now[5] = varying[step, 0], varying[step, 1], varying[step, 2]
        now[6], now[7], now[8] = varying[step, 3], varying[step, 4], varying[step, 5]


@kernel
def _backward(
    hours: F64, net: F64, buy: F64, sell: F64, solar: F64, terminal: float, stored: float, cell: F64, varying: F64,
    small: F64, work: F64, store: F64, count: I64, base: F64,
) -> tuple[int, int]:  # fmt: skip
    """Value functions from the horizon back: V_t is `count[t]` points of `store[t]` (3, room) and `base[t]` more.

    Returns (status, interval). `base` keeps y small, so that rounding stays so in a long horizon.
    """
    steps, now = hours.size, np.empty(cell.size)
    _limits_at(cell, varying, steps - 1, now)
    store[steps, 0, 0], store[steps, 1, 0], store[steps, 2, 0] = now[5], 0.0, 1.0
    store[steps, 0, 1], store[steps, 1, 1], store[steps, 2, 1] = now[6], -terminal * (now[6] - now[5]), 0.0
    count[steps], base[steps] = 2, -terminal * now[5]
    for step in range(steps - 1, -1, -1):
        _limits_at(cell, varying, max(step - 1, 0), now)
        floor, capacity = now[5], now[6]
        if step == 0:
            floor, capacity = min(floor, stored), max(capacity, stored)
        _limits_at(cell, varying, step, now)
        points = interval_cost(net[step], buy[step], sell[step], solar[step], hours[step], now, small[1:], small[0])
        at, found = step_back(small[0], points, store[step + 1], count[step + 1], work)
        if found < 0 or found + 2 > store.shape[2]:
            return _FULL, step
        count[step] = restrict(work[at], found, floor, capacity, SLACK_KWH, store[step])
        if count[step] == 0:
            return _INFEASIBLE, step
        lift = store[step, 1, 0]
        base[step] = base[step + 1] + lift
        for index in range(count[step]):
            store[step, 1, index] -= lift
    return _OK, 0


@kernel
def _forward(
    hours: F64, net: F64, buy: F64, sell: F64, solar: F64, terminal: float, stored: float, cell: F64, varying: F64,
    small: F64, store: F64, count: I64, power: F64, curtailed: F64,
) -> tuple[int, int, float]:  # fmt: skip
    """The best plan from `stored`: (status, interval, its cost as it is billed)."""
    cost, now = 0.0, np.empty(cell.size)
    for step in range(hours.size):
        _limits_at(cell, varying, step, now)
        points = interval_cost(net[step], buy[step], sell[step], solar[step], hours[step], now, small[1:], small[0])
        change, stored, best = best_change(small[0], points, store[step + 1], count[step + 1], stored)
        if best == np.inf:
            return (_LOST if step > 0 else _INFEASIBLE), step, 0.0
        power[step] = power_of(change, hours[step], cell[2], cell[3])
        off, bill = least_bill(net[step] + power[step], buy[step], sell[step], solar[step], now[7], now[8])
        curtailed[step] = off
        cost += (bill + cell[4] * abs(power[step])) * hours[step]
    return _OK, 0, cost - terminal * stored


@kernel
def _solve_home(
    hours: F64, net: F64, buy: F64, sell: F64, solar: F64, terminal: float, stored: float, cell: F64, varying: F64,
    small: F64, work: F64, store: F64, count: I64, base: F64, power: F64, curtailed: F64,
) -> tuple[int, int, float]:  # fmt: skip
    """Value functions and plan of one home: (status, interval, cost)."""
    status, interval = _backward(
        hours, net, buy, sell, solar, terminal, stored, cell, varying, small, work, store, count, base
    )
    if status != _OK:
        return status, interval, np.nan
    status, interval, cost = _forward(
        hours, net, buy, sell, solar, terminal, stored, cell, varying, small, store, count, power, curtailed
    )
    expected = value(store[0], count[0], stored) + base[0]
    if status == _OK and cost > expected + _AGREE * (1.0 + abs(expected)):  # lower: a jump was within rounding
        return _LOST, 0, cost
    return status, interval, cost


class _Room:
    """Working memory for one home after another, doubled whenever a value function outgrows it."""

    def __init__(self, intervals: int, points: int) -> None:
        self.points = points
        self.small = np.empty((5, 3, COST_POINTS))
        self.work = np.empty((4, 3, 8 * points))
        self.store = np.empty((intervals + 1, 3, points))
        self.count, self.base = np.zeros(intervals + 1, np.int64), np.zeros(intervals + 1)

    def kept(self, keep: int) -> list[F64]:
        """V_0 … V_keep as (3, count) each."""
        lists = [self.store[step, :, : self.count[step]].copy() for step in range(keep + 1)]
        for step, points in enumerate(lists):
            points[1] += self.base[step]
        return lists


@dataclass(frozen=True, slots=True)
class _Columns:
    """What a batch's blocks fill in, side by side."""

    status: I64
    cost: F64
    power: F64
    curtailed: F64

    def solve_block(self, part: SiteProblems, rows: slice, keep: int) -> list[list[F64]]:
        """Solve the homes of `rows`, which are `part`; returns each one's kept value functions."""
        room, cells, kept = _Room(part.intervals, POINTS), part.batteries.stacked(), []
        buy = part.import_per_kwh + part.coordination_per_kwh
        sell = part.export_per_kwh + part.coordination_per_kwh
        varying = np.empty((part.homes, 0, 6)) if part.limits is None else part.limits.stacked()
        solar = np.zeros_like(part.net_load_kw) if part.curtailable_kw is None else part.curtailable_kw
        for home in range(part.homes):
            at, tariff = rows.start + home, part.tariff[home]
            status = int(self.status[at, 0])
            while status in (_OK, _FULL):
                status, interval, cost = _solve_home(
                    part.hours, part.net_load_kw[home], buy[tariff], sell[tariff], solar[home],
                    part.terminal_per_kwh[home], part.stored_kwh[home], cells[home], varying[home],
                    room.small, room.work, room.store, room.count, room.base, self.power[at], self.curtailed[at],
                )  # fmt: skip
                self.status[at], self.cost[at] = (status, interval), cost
                if status != _FULL or room.points >= MOST_POINTS:
                    break
                room = _Room(part.intervals, 2 * room.points)
            kept.append(room.kept(keep) if status == _OK else [np.empty((3, 0))] * (keep + 1))
        return kept


def solve_envelope(
    problems: SiteProblems, homes: I64 | None = None, keep: int = 1, mapper: Mapper = map, block: int = 64
) -> EnvelopePlans:
    """Exact plans for `homes` (H,), ascending, or all, keeping V for the starts of intervals 0 … `keep`.

    A home that cannot be planned costs the others nothing: see `EnvelopePlans.errors`, by home of `problems`. `mapper`
    may be an executor's `map`. Raises `InvalidInput` for what concerns all homes, and for homes with `devices`.
    """
    chosen = np.arange(problems.homes, dtype=np.int64) if homes is None else np.asarray(homes, np.int64)
    if not 0 <= keep <= problems.intervals:
        raise InvalidInput("keep", keep, f"must lie between 0 and the {problems.intervals} intervals")
    if block < 1:
        raise InvalidInput("block", block, "must be 1 home or more")
    if problems.devices is not None and np.isin(problems.devices.home, chosen).any():
        raise InvalidInput(
            "devices", int(problems.devices.home.size), "must not be at these homes", "Use `plan_sites`."
        )
    part, count = problems.pick(chosen), chosen.size
    faulty = faults(part)
    out = _Columns(
        np.zeros((count, 2), np.int64), np.full(count, np.nan), np.full((count, part.intervals), np.nan),
        np.full((count, part.intervals), np.nan),
    )  # fmt: skip
    out.status[list(faulty), 0] = _FAULTY
    blocks = [slice(start, min(start + block, count)) for start in range(0, count, block)]
    kept = [
        lists for found in mapper(lambda rows: out.solve_block(part.rows(rows), rows, keep), blocks) for lists in found
    ]
    flat = [points for lists in kept for points in lists]
    offsets = np.concatenate([[0], np.cumsum([points.shape[1] for points in flat], dtype=np.int64)])
    values = EnvelopeValues(keep, offsets, np.concatenate([np.empty((3, 0)), *flat], axis=1))
    planned = out.status[:, 0] == _OK
    for column in (out.cost, out.power, out.curtailed):
        column[~planned] = np.nan
    if faulty:
        faulty = {home: error for home, error in faults(problems).items() if home in chosen}
    errors = faulty | _errors(part, chosen, out.status)
    return EnvelopePlans(chosen, out.cost, out.power, out.curtailed, values, errors)


def _errors(part: SiteProblems, chosen: I64, status: I64) -> dict[int, InvalidInput]:
    """Why each home without a plan has none, but for those known to be faulty."""
    found: dict[int, InvalidInput] = {}
    for row in np.flatnonzero((status[:, 0] != _OK) & (status[:, 0] != _FAULTY)).tolist():
        interval, load = int(status[row, 1]), float(part.net_load_kw[row, status[row, 1]])
        thing = f"home {chosen[row]}, interval {interval}: net load"
        if status[row, 0] == _INFEASIBLE:
            found[int(chosen[row])] = Infeasible(
                thing, load, "no battery power keeps the connection and the stored energy within their limits",
                "Widen the connection's import or export limit, or the battery's.",
            )  # fmt: skip
        else:
            found[int(chosen[row])] = InvalidInput(
                thing, load, "the value function is finer here than rounding or memory allow",
                "Plan this home as a mixed-integer programme, or widen its limits a little.",
            )  # fmt: skip
    return found
