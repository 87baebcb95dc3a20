"""A home's linear programme in boxes, as an interior-point method sees it: point, residuals, stiffness and bound.

Every quantity of an interval lies in a box; see `riccati` for the columns. The net power's import and export, and the
slacks of the reserves, are columns too, so that all inequalities are boxes and all the rest are equations.
Boxes without width are constants (charge, discharge, curtailed, reserve) or are widened by a hair (the others).
`bound` is valid whatever the point: for *any* multipliers of the equations, the Lagrangian's least value over the
boxes is no more than the optimum (weak duality). Must not know groups.
"""

from __future__ import annotations

from powerflock.curve.jit import kernel
from powerflock.domain.arrays import F64

NARROW = 4e-6
"""kW or kWh: a box as narrow as this is widened to this about its middle, for the barrier only."""
_FIXED = 1e-9
_HELD = 1e-10
"""A stiffness that keeps flat directions still: it slows steps, and moves no solution."""
NET, IMPORT, EXPORT, CURTAILABLE, BUY, SELL = range(6)
CHARGE, DISCHARGE, FLOOR, CAPACITY = range(4)


@kernel
def fill(
    hours: F64, site: F64, cells: F64, rates: F64, channels: int, box: F64,
) -> None:  # fmt: skip
    """Write `box` (4, T, V): low, high, cost in $ per unit, and 1 for what may vary or 0 for constants.

    `site` (6, T), `cells` (D, 4, T), `rates` (D, 4): efficiencies in and out, wear, terminal value.
    """
    steps, storages = hours.size, rates.shape[0]
    low, high, cost, free = box[0], box[1], box[2], box[3]
    for t in range(steps):
        into = out = raised = lowered = 0.0
        for v in range(low.shape[1]):
            low[t, v], cost[t, v] = 0.0, 0.0
        for d in range(storages):
            high[t, d], high[t, storages + d] = cells[d, CHARGE, t], cells[d, DISCHARGE, t]
            cost[t, d] = cost[t, storages + d] = rates[d, 2] * hours[t]
            low[t, 2 * storages + d], high[t, 2 * storages + d] = cells[d, FLOOR, t], cells[d, CAPACITY, t]
            into, out = into + cells[d, CHARGE, t], out + cells[d, DISCHARGE, t]
            room = cells[d, CAPACITY, t] - cells[d, FLOOR, t]
            raised, lowered = raised + room * rates[d, 1], lowered + room / rates[d, 0]
            if t == steps - 1:
                cost[t, 2 * storages + d] = -rates[d, 3]
        b = 3 * storages
        high[t, b], high[t, b + 1], high[t, b + 2] = site[IMPORT, t], site[EXPORT, t], site[CURTAILABLE, t]
        cost[t, b], cost[t, b + 1] = site[BUY, t] * hours[t], -site[SELL, t] * hours[t]
        for r in range(channels - 1):
            at = b + 3 + 4 * r
            high[t, at] = high[t, at + 1] = into + out
            high[t, at + 2], high[t, at + 3] = raised if r == 0 else lowered, site[IMPORT, t] + site[EXPORT, t]
        for v in range(low.shape[1]):
            narrow = high[t, v] - low[t, v] < NARROW
            slack = v >= b + 3 and (v - b - 3) % 4 > 0
            if slack:
                fixed = free[t, v - (v - b - 3) % 4] == 0.0
            else:
                fixed = high[t, v] - low[t, v] <= _FIXED and (v < 2 * storages or v >= b + 2)
            free[t, v] = 0.0 if fixed else 1.0
            if fixed:
                low[t, v], high[t, v], cost[t, v] = -1.0, 1.0, 0.0
            elif narrow:
                middle = 0.5 * (low[t, v] + high[t, v])
                low[t, v], high[t, v] = middle - 0.5 * NARROW, middle + 0.5 * NARROW


@kernel
def begin(site: F64, box: F64, storages: int, scale: float, point: F64) -> None:
    """A first `point` (3, T, V), quantities and their multipliers below and above: inside the boxes, centred."""
    low, high, free = box[0], box[1], box[3]
    for t in range(low.shape[0]):
        near = 1.0
        for v in range(2 * storages):
            near += 0.5 * high[t, v] * free[t, v]
        for v in range(low.shape[1]):
            width = high[t, v] - low[t, v]
            x = low[t, v] + 0.5 * width
            if 3 * storages <= v < 3 * storages + 2:
                flow = site[NET, t] if v == 3 * storages else -site[NET, t]
                x = low[t, v] + min(near + max(flow, 0.0), 0.9 * width)
            if free[t, v] == 0.0:
                x = 0.0
            point[0, t, v] = x
            point[1, t, v] = free[t, v] * scale / (x - low[t, v])
            point[2, t, v] = free[t, v] * scale / (high[t, v] - x)


@kernel
def squeeze(box: F64, point: F64, middle: float) -> None:
    """Draw boxes that were widened together as the barrier `middle`, the mean of distance × multiplier, falls."""
    width = min(NARROW, max(2e-9, 2e-5 * middle**0.5))
    for t in range(box.shape[1]):
        for v in range(box.shape[2]):
            wide = box[1, t, v] - box[0, t, v]
            if wide <= 1.01 * NARROW:
                centre = 0.5 * (box[0, t, v] + box[1, t, v])
                point[0, t, v] = centre + (point[0, t, v] - centre) * width / wide
                box[0, t, v], box[1, t, v] = centre - 0.5 * width, centre + 0.5 * width


@kernel
def residuals(
    hours: F64, site: F64, cells: F64, rates: F64, stored: F64, duration: float, channels: int, free: F64, x: F64,
    gap: F64,
) -> float:  # fmt: skip
    """By how much each equation is broken at `x` (T, V), in the column that it defines; returns the worst."""
    storages, worst = rates.shape[0], 0.0
    for t in range(hours.size):
        power = 0.0
        for d in range(storages):
            s = 2 * storages + d
            power += x[t, d] - x[t, storages + d]
            gap[t, s] = x[t, s] - (x[t - 1, s] if t else stored[d])
            gap[t, s] -= hours[t] * (rates[d, 0] * x[t, d] - x[t, storages + d] / rates[d, 1])
            worst = max(worst, abs(gap[t, s]))
        b = 3 * storages
        net = site[NET, t] + power + x[t, b + 2]
        gap[t, b + 1] = x[t, b + 1] - x[t, b] + net
        worst = max(worst, abs(gap[t, b + 1]))
        for r in range(channels - 1):
            at, sign = b + 3 + 4 * r, 1.0 - 2.0 * r
            head, held = 0.0, 0.0
            for d in range(storages):
                head += cells[d, DISCHARGE - r, t]
                stock = x[t, 2 * storages + d]
                held += (
                    (stock - cells[d, FLOOR, t]) * rates[d, 1]
                    if r == 0
                    else ((cells[d, CAPACITY, t] - stock) / rates[d, 0])
                )
            gap[t, at + 1] = free[t, at] * (x[t, at + 1] - (head + sign * power - x[t, at]))
            gap[t, at + 2] = free[t, at] * (x[t, at + 2] - (held - duration * x[t, at]))
            line = site[EXPORT if r == 0 else IMPORT, t] + sign * net
            gap[t, at + 3] = free[t, at] * (x[t, at + 3] - (line - x[t, at]))
            worst = max(worst, abs(gap[t, at + 1]), abs(gap[t, at + 2]), abs(gap[t, at + 3]))
    return worst


@kernel
def gradient(hours: F64, rates: F64, box: F64, prices: F64, force: F64, grad: F64) -> None:
    """Each column's cost, with the channels' `prices` (K, T) and the dynamics' multipliers `force` (T, D)."""
    cost, free, storages = box[2], box[3], rates.shape[0]
    for t in range(hours.size):
        for v in range(cost.shape[1]):
            grad[t, v] = cost[t, v]
        for d in range(storages):
            grad[t, d] += free[t, d] * (prices[0, t] + hours[t] * rates[d, 0] * force[t, d])
            grad[t, storages + d] -= free[t, storages + d] * (prices[0, t] + hours[t] / rates[d, 1] * force[t, d])
            grad[t, 2 * storages + d] += (force[t + 1, d] if t + 1 < hours.size else 0.0) - force[t, d]
        grad[t, 3 * storages + 2] += free[t, 3 * storages + 2] * prices[0, t]
        for r in range(prices.shape[0] - 1):
            grad[t, 3 * storages + 3 + 4 * r] += free[t, 3 * storages + 3 + 4 * r] * prices[1 + r, t]


@kernel
def stiffness(point: F64, box: F64, theta: F64) -> float:
    """θ = z/(distance to the bound), summed over both bounds; returns the sum of distance × multiplier."""
    x, lower, upper = point[0].ravel(), point[1].ravel(), point[2].ravel()
    low, high, free, stiff = box[0].ravel(), box[1].ravel(), box[3].ravel(), theta.ravel()
    total = 0.0
    for i in range(x.size):
        below, above = x[i] - low[i], high[i] - x[i]
        stiff[i] = lower[i] / below + upper[i] / above + _HELD * free[i]
        total += lower[i] * below + upper[i] * above
    return total


@kernel
def bound(
    hours: F64, site: F64, cells: F64, rates: F64, stored: F64, duration: float, box: F64, grad: F64, point: F64,
    force: F64, prices: F64,
) -> float:  # fmt: skip
    """A proven lower bound on cost + Σ prices·channels over all plans of the home: the Lagrangian's least value.

    `grad` as `gradient` writes it. The multipliers of the equations that define slacks are taken from `point`.
    """
    storages, total = rates.shape[0], 0.0
    for d in range(storages):
        total += force[0, d] * stored[d]
    for t in range(hours.size):
        b = 3 * storages
        bought = point[1, t, b] - point[2, t, b] - grad[t, b]
        sold = grad[t, b + 1] - point[1, t, b + 1] + point[2, t, b + 1]
        args = (site, cells, rates, duration, box, grad, point, t)
        total += prices[0, t] * site[NET, t] + max(_lagrangian(*args, bought), _lagrangian(*args, sold))
    return total


@kernel
def _lagrangian(
    site: F64, cells: F64, rates: F64, duration: float, box: F64, grad: F64, point: F64, t: int, balance: float
) -> float:
    """An interval's least value over its boxes; `balance` multiplies import − export − net power."""
    storages, b = rates.shape[0], 3 * rates.shape[0]
    total, power, net = -balance * site[NET, t], -balance, -balance
    for r in range((grad.shape[1] - b) // 4):
        at, sign = b + 3 + 4 * r, 1.0 - 2.0 * r
        if box[3, t, at] > 0.0:
            head = point[1, t, at + 1] - point[2, t, at + 1]
            held = point[1, t, at + 2] - point[2, t, at + 2]
            line = point[1, t, at + 3] - point[2, t, at + 3]
            power, net = power - sign * (head + line), net - sign * line
            total -= line * (site[EXPORT if r == 0 else IMPORT, t] + sign * site[NET, t])
            total += least(0.0, box[1, t, at], grad[t, at] + head + duration * held + line)
            total += least(0.0, box[1, t, at + 1], head) + least(0.0, box[1, t, at + 2], held)
            total += least(0.0, box[1, t, at + 3], line)
            for d in range(storages):
                total -= head * cells[d, DISCHARGE - r, t]
                total += held * (cells[d, FLOOR, t] * rates[d, 1] if r == 0 else -cells[d, CAPACITY, t] / rates[d, 0])
    for d in range(storages):
        total += least(0.0, cells[d, CHARGE, t], grad[t, d] + power)
        total += least(0.0, cells[d, DISCHARGE, t], grad[t, storages + d] - power)
        worth = grad[t, 2 * storages + d]
        for r in range((grad.shape[1] - b) // 4):
            at = b + 5 + 4 * r
            if box[3, t, at] > 0.0:
                worth -= (point[1, t, at] - point[2, t, at]) * (rates[d, 1] if r == 0 else -1.0 / rates[d, 0])
        total += least(cells[d, FLOOR, t], cells[d, CAPACITY, t], worth)
    total += least(0.0, site[IMPORT, t], grad[t, b] + balance) + least(0.0, site[EXPORT, t], grad[t, b + 1] - balance)
    return float(total + least(0.0, site[CURTAILABLE, t], grad[t, b + 2] + net))


@kernel
def least(low: float, high: float, slope: float) -> float:
    """The least of slope × x over a box."""
    return min(slope * low, slope * high)


@kernel
def objective(box: F64, x: F64) -> float:
    """The point's cost, $."""
    total, cost, point = 0.0, box[2].ravel(), x.ravel()
    for i in range(point.size):
        total += cost[i] * point[i]
    return total


@kernel
def worst_cost(box: F64) -> float:
    """No plan costs more: each column at its dearer bound."""
    total = 0.0
    for t in range(box.shape[1]):
        for v in range(box.shape[2]):
            total += max(box[2, t, v] * box[0, t, v], box[2, t, v] * box[1, t, v])
    return total
