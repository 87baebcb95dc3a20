"""One interval of a home whose cost need not be convex: its cost, the value function before it, the best thing to do.

The cost f of a change of stored energy and the value function V after it are polylines (`curve.piecewise`). V before is
min over Δ of f(Δ) + V(s + Δ): f falls into a few convex runs, V is slid along each segment of a run, and the lower
envelope over the runs is taken. The best Δ is where f or V has a point, for between them all is straight.
Kernels on numbers and polylines, to be called from compiled loops. Must not know which homes need them.
"""

from __future__ import annotations

import numpy as np

from powerflock.curve.jit import kernel
from powerflock.curve.piecewise import add, convex_end, find, lower, near, restrict, slide, value
from powerflock.domain.arrays import F64

COST_POINTS = 128
"""Room for one interval's cost: at most six chains of 5 points each go into it."""
SLACK_KWH = 1e-9
"""What rounding may put between the energy stored and a point where a value function stands alone."""
JUMP = 1e-7
"""Cost in $ by which a point that near must be lower than the function itself to be what is meant."""
_PENALTY = 1e-8
"""More than `SLACK_KWH` is worth at any price, so that it is only used where nothing else is possible."""
_TIE = 1e-12


@kernel
def _chain(
    side: float, net: float, price: float, solar: float, limit: float, low: float, high: float,
    factor: float, hours: float, wear: float, points: F64, out: F64,
) -> int:  # fmt: skip
    """Cost by energy change of battery powers in [low, high] while the meter only imports (`side` 1) or exports (−1).

    The bill, and switching off solar at no cost, make a convex chain of two segments over the net power before
    curtailment: the cheaper comes first.
    """
    first, last = (-solar, limit) if side > 0.0 else (-limit - solar, 0.0)
    bend = first + (solar if price >= 0.0 else limit)
    start, end = (0.0, price * limit) if side > 0.0 else (-price * limit, 0.0)
    points[0, 0], points[0, 1], points[0, 2] = first - net, bend - net, last - net
    points[1, 0], points[1, 1], points[1, 2] = start, start if price >= 0.0 else end, end
    points[2, 0], points[2, 1], points[2, 2] = 1.0, 1.0, 0.0
    count = restrict(points, 3, low, high, SLACK_KWH, out)
    for index in range(count):
        power = out[0, index]
        out[0, index] = power * factor
        out[1, index] = (out[1, index] + wear * abs(power)) * hours
    return count


@kernel
def interval_cost(
    net: float, buy: float, sell: float, solar: float, hours: float, cell: F64, work: F64, out: F64
) -> int:  # fmt: skip
    """One interval's least cost in $ by the change of stored energy in kWh; returns the count of `out`, 0: impossible.

    `cell` (11,) as in `Batteries`; `work` (4, 3, COST_POINTS), `out` (3, COST_POINTS). With a least power, charging,
    nothing and discharging are apart.
    """
    end, counts = 0, np.zeros(2, np.int64)
    for mode in range(3):
        low, high, factor = 0.0, 0.0, 1.0
        if mode == 0:
            low, high, factor = -cell[1], -cell[10], hours / cell[3]
        elif mode == 2:
            low, high, factor = cell[9], cell[0], hours * cell[2]
        if low > high or (mode == 1 and min(cell[9], cell[10]) <= 0.0):
            continue  # a range that begins at 0 holds doing nothing already
        for side in range(2):
            bound, price = (cell[7], buy) if side == 1 else (cell[8], sell)
            counts[side] = _chain(
                2.0 * side - 1.0, net, price, solar, bound, low, high, factor, hours, cell[4], work[0], work[1 + side]
            )
        count = lower(work[1], counts[0], work[2], counts[1], work[3])
        for index in range(count):
            end = add(out, end, work[3, 0, index], work[3, 1, index], work[3, 2, index - 1] if index > 0 else 0.0)
    return end


@kernel
def _slide_run(
    cost: F64, first: int, last: int, after: F64, count: int, work: F64, taken: int
) -> tuple[int, int]:  # fmt: skip
    """`after` slid along the convex run of `cost` from point `first` to `last`: (which of `work`, count).

    Leaves work[taken] as it is; a count of −1 says that there is not enough room.
    """
    used, shift, lift = -1, cost[0, first], cost[1, first]
    for index in range(first, max(last, first + 1)):
        length = cost[0, index + 1] - cost[0, index] if last > first else 0.0
        if length <= 0.0 and used >= 0:
            continue
        if 3 * count + 2 > work.shape[2]:
            return 0, -1
        target = 0
        while target in (taken, used):
            target += 1
        slope = (cost[1, index + 1] - cost[1, index]) / length if length > 0.0 else 0.0
        count = slide(work[used] if used >= 0 else after, count, shift, lift, slope, length, work[target])
        shift, lift, used = 0.0, 0.0, target
    return used, count


@kernel
def step_back(cost: F64, cost_count: int, after: F64, after_count: int, work: F64) -> tuple[int, int]:
    """The value function before an interval: (which of `work` (4, 3, room) holds it, count or −1: not enough room)."""
    best, total, first = -1, 0, 0
    while first < cost_count:
        last = convex_end(cost, cost_count, first)
        used, count = _slide_run(cost, first, last, after, after_count, work, best)
        if count < 0 or 4 * (total + count) > work.shape[2]:
            return 0, -1
        if best < 0:
            best, total = used, count
        else:
            target = 0
            while target in (best, used):
                target += 1
            total = lower(work[best], total, work[used], count, work[target])
            best = target
        first = last if last > first and cost[2, last] == 1.0 else last + 1
    return best, total


@kernel
def best_change(
    cost: F64, cost_count: int, after: F64, after_count: int, stored: float
) -> tuple[float, float, float]:  # fmt: skip
    """What is best from `stored` kWh: (change in kWh, kWh stored then, cost of the interval and all after, +inf: none).

    Of changes that cost the same, the smallest.
    """
    best, change, then = np.inf, 0.0, stored
    if cost_count == 0:
        return change, then, best
    index = find(after, after_count, stored + cost[0, 0] - SLACK_KWH)
    while index < after_count and after[0, index] <= stored + cost[0, cost_count - 1] + SLACK_KWH:
        wanted = after[0, index] - stored
        own, at = near(cost, cost_count, wanted, SLACK_KWH, JUMP)
        total = own + after[1, index] + (_PENALTY if at != wanted else 0.0)
        if total < best - _TIE or (total < best + _TIE and abs(at) < abs(change)):
            best, change, then = total, at, after[0, index]
        index += 1
    for point in range(cost_count):
        at = cost[0, point]
        total = cost[1, point] + value(after, after_count, stored + at)
        if total < best - _TIE or (total < best + _TIE and abs(at) < abs(change)):
            best, change, then = total, at, stored + at
    return change, then, best


@kernel
def least_bill(
    net: float, buy: float, sell: float, solar: float, import_limit: float, export_limit: float
) -> tuple[float, float]:  # fmt: skip
    """(kW to switch off, $/h to pay) for `net` kW before curtailment: the least of both that costs the least."""
    least = min(max(-export_limit - net, 0.0), solar)
    most = max(min(solar, import_limit - net), least)
    off, bill = 0.0, np.inf
    for choice in range(3):
        candidate = least if choice == 0 else (min(max(-net, least), most) if choice == 1 else most)
        metered = net + candidate
        price = metered * (buy if metered > 0.0 else sell)
        if price < bill - _TIE:
            off, bill = candidate, price
    return off, bill
